package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
)

// scaleOffsets says where a block format keeps its float16 scales, so that
// random blocks can have sane ones.
var scaleOffsets = map[Type][]int{
	Q8_0: {0}, Q4_0: {0}, Q4_1: {0, 2}, Q5_0: {0}, Q5_1: {0, 2},
	Q2_K: {80, 82}, Q3_K: {108}, Q4_K: {0, 2}, Q5_K: {0, 2}, Q6_K: {208}, IQ4NL: {0}, IQ4XS: {0},
}

// randomMatrix fills rows in any format. Random bytes are as good as weights.
func randomMatrix(t testing.TB, r *rand.Rand, typ Type, rows, cols int) []byte {
	t.Helper()
	size, err := typ.RowBytes(cols)
	require.NoError(t, err)
	data := make([]byte, rows*size)
	if typ.Block() == 1 {
		require.NoError(t, Quantize(data, typ, randomFloats(r, rows*cols)))
		return data
	}
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for i := 0; i < len(data); i += known[typ].bytes {
		for _, at := range scaleOffsets[typ] {
			binary.LittleEndian.PutUint16(data[i+at:], 0x2400+uint16(r.Uint32()&0x3ff)) // 1/64 … 1/32
		}
	}
	return data
}

func randomFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// relativeError is the root mean square of the differences over that of want.
func relativeError(t testing.TB, want []float64, got []float32) float64 {
	t.Helper()
	require.Len(t, got, len(want))
	var d, n float64
	for i, w := range want {
		d += (float64(got[i]) - w) * (float64(got[i]) - w)
		n += w * w
	}
	require.Positive(t, n)
	return math.Sqrt(d / n)
}

// multiply gives the product of one matrix with n columns, without padding.
func multiply(t testing.TB, p *Pool, precision Precision, m *Matrix, x []float32, stride, n int) []float32 {
	t.Helper()
	y := make([]float32, n*m.Stride())
	require.NoError(t, NewMultiplier(p, precision).Mul(x, stride, n, Product{m, y}))
	var rows []float32
	for c := range n {
		rows = append(rows, y[c*m.Stride():][:m.Rows]...)
	}
	return rows
}

// Every format, at shapes that fit no panel and no tile: the product is that
// of the dequantised rows, and its bits depend on nothing else.
func TestMul(t *testing.T) {
	pools := map[int]*Pool{1: NewPool(1), 2: NewPool(2), 5: NewPool(5)}
	for _, p := range pools {
		defer p.Close()
	}
	for _, typ := range allTypes() {
		for _, shape := range []struct{ rows, blocks, cols int }{{1, 1, 1}, {16, 1, 3}, {37, 1, 1}, {37, 3, 7}, {85, 3, 2}, {133, 2, 13}} {
			cols := shape.blocks * typ.Block()
			if typ.Block() == 1 {
				cols = 33*shape.blocks + 500*(shape.blocks-1) // more than a tile
			}
			t.Run(fmt.Sprintf("%v %dx%d by %d", typ, shape.rows, cols, shape.cols), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(typ), uint64(shape.rows)))
				data := randomMatrix(t, r, typ, shape.rows, cols)
				var arena Arena
				defer arena.Close()
				m, err := NewMatrix(typ, shape.rows, cols, data, &arena)
				require.NoError(t, err)
				require.Equal(t, Stride(shape.rows), m.Stride())
				if shape.rows == 16 && typ != Q3_K { // full panels: no more memory than stored, but for alignment
					require.LessOrEqual(t, arena.Size(), int64(len(data)+2*arenaAlign))
				}
				table, err := NewTable(typ, shape.rows, cols, data)
				require.NoError(t, err)

				n, stride := shape.cols, cols+3
				x := randomFloats(r, n*stride)
				weights := make([]float32, shape.rows*cols)
				require.NoError(t, Dequantize(weights, typ, data))
				var want []float64
				row := make([]float32, cols)
				for c := range n {
					for i := range shape.rows {
						m.Row(row, i)
						requireSameBits(t, weights[i*cols:][:cols], row)
						table.Row(row, i)
						requireSameBits(t, weights[i*cols:][:cols], row)
						sum := 0.0
						for k, w := range row {
							sum += float64(w) * float64(x[c*stride+k])
						}
						want = append(want, sum)
					}
				}
				for precision, limit := range map[Precision]float64{Exact: 1e-6, Probe: 4e-5, Fast: 1e-2} {
					if known[typ].ints == nil {
						limit = 1e-6
					}
					got := multiply(t, pools[1], precision, m, x, stride, n)
					if limit == 1e-6 {
						require.Less(t, relativeError(t, want, got), limit, precision)
					} else if shape.rows > 1 { // a single sum may cancel
						require.Less(t, relativeError(t, want, got), limit, precision)
						require.Greater(t, relativeError(t, want, got), limit/100, precision)
					}

					for _, p := range pools {
						requireSameBits(t, got, multiply(t, p, precision, m, x, stride, n))
						for c := range n {
							requireSameBits(t, got[c*m.Rows:][:m.Rows], multiply(t, p, precision, m, x[c*stride:], stride, 1))
						}
					}
				}
			})
		}
	}
}

// What Mul promises of Probe and Fast, from the dequantised weights and the
// quantised columns alone. Sub-blocks are summed in float64, which leaves only
// the roundings of the chain.
func TestMulInts(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	for _, typ := range allTypes() {
		if known[typ].ints == nil {
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(typ), 3))
			const rows, cols, n = 17, 768, 2
			data := randomMatrix(t, r, typ, rows, cols)
			m, err := NewMatrix(typ, rows, cols, data, new(Arena))
			require.NoError(t, err)
			weights, x := make([]float32, rows*cols), randomFloats(r, n*cols)
			require.NoError(t, Dequantize(weights, typ, data))
			scales, sums := make([]float32, n*cols/32), make([]int32, n*cols/16)
			q8, q16 := make([]int8, n*cols), make([]int16, n*cols)
			for precision, quant := range map[Precision]func(i int) float64{
				Fast:  func(i int) float64 { return float64(q8[i]) },
				Probe: func(i int) float64 { return float64(q16[i]) },
			} {
				if precision == Fast {
					asm.QuantizeInt8(q8, scales, sums, x)
				} else {
					asm.QuantizeInt16(q16, scales, sums, x)
				}
				var want []float64
				for c := range n {
					for row := range rows {
						sum := 0.0
						for k := range cols {
							sum += float64(weights[row*cols+k]) * quant(c*cols+k) * float64(scales[(c*cols+k)/32])
						}
						want = append(want, sum)
					}
				}
				require.Less(t, relativeError(t, want, multiply(t, p, precision, m, x, cols, n)), 1e-6, precision)
			}
		})
	}
}

// An input that is not finite reaches the outputs of its column, and no others.
func TestMulOfNonFinite(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	const rows, cols = 20, 256
	for _, typ := range []Type{Q4_0, Q4_K} {
		m, err := NewMatrix(typ, rows, cols, randomMatrix(t, rand.New(rand.NewPCG(1, 1)), typ, rows, cols), new(Arena))
		require.NoError(t, err)
		for _, precision := range []Precision{Exact, Probe, Fast} {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				x := randomFloats(rand.New(rand.NewPCG(1, 2)), 3*cols)
				x[cols+100] = float32(bad)
				for i, y := range multiply(t, p, precision, m, x, cols, 3) {
					require.Equal(t, i/rows != 1, y-y == 0, "%v %v %v: output %d is %v", typ, precision, bad, i, y)
				}
			}
		}
	}
}

// Enough work for many items, so that the pool takes part; three matrices of
// different formats and heights at once.
func TestMulOfSeveral(t *testing.T) {
	for _, precision := range []Precision{Exact, Probe, Fast} {
		t.Run(precision.String(), func(t *testing.T) { testMulOfSeveral(t, precision) })
	}
}

func testMulOfSeveral(t *testing.T, precision Precision) {
	r := rand.New(rand.NewPCG(1, 2))
	const cols, n = 256, 100
	x := randomFloats(r, n*cols)
	var arena Arena
	defer arena.Close()
	var ms []*Matrix
	for _, c := range []struct {
		typ  Type
		rows int
	}{{F32, 40}, {Q4_K, 17}, {F32, 150}, {F16, 5}, {Q6_K, 70}, {Q8_0, 33}, {Q5_1, 16}} {
		m, err := NewMatrix(c.typ, c.rows, cols, randomMatrix(t, r, c.typ, c.rows, cols), &arena)
		require.NoError(t, err)
		ms = append(ms, m)
	}
	one, three := NewPool(1), NewPool(3)
	defer one.Close()
	defer three.Close()
	var ps []Product
	for _, m := range ms {
		ps = append(ps, Product{m, make([]float32, n*m.Stride())})
	}
	mul := NewMultiplier(three, precision)
	for range 2 { // buffers are used again
		require.NoError(t, mul.Mul(x, cols, n, ps...))
		for i, m := range ms {
			want := multiply(t, one, precision, m, x, cols, n)
			for c := range n {
				requireSameBits(t, want[c*m.Rows:][:m.Rows], ps[i].Y[c*m.Stride():][:m.Rows])
			}
			clear(ps[i].Y)
		}
	}
	require.Zero(t, testing.AllocsPerRun(1, func() {
		_ = mul.Mul(x, cols, n, ps...)
	}))
}

func TestMulRefuses(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	var arena Arena
	defer arena.Close()
	matrix := func(rows, cols int) *Matrix {
		m, err := NewMatrix(F32, rows, cols, make([]byte, 4*rows*cols), &arena)
		require.NoError(t, err)
		return m
	}
	mul := NewMultiplier(p, Exact)
	m := matrix(17, 8)
	x, y := make([]float32, 16), make([]float32, 96)
	require.NoError(t, mul.Mul(x, 8, 2, Product{m, y}))
	require.NoError(t, mul.Mul(nil, 8, 0, Product{m, nil}), "nothing to do")
	require.ErrorContains(t, mul.Mul(x, 9, 2, Product{m, y}), "16 input elements for 2 columns of 8")
	require.ErrorContains(t, mul.Mul(x, 8, 2, Product{m, y[:95]}), "95 output elements for 2 columns of 48")
	require.ErrorContains(t, mul.Mul(x, 8, 1, Product{m, y}, Product{matrix(3, 7), y}), "equal columns")
}

func TestNewMatrixRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		typ        Type
		rows, cols int
		bytes      int
		want       string
	}{
		"no rows":          {F32, 0, 4, 0, "0 rows and 4 columns"},
		"no columns":       {F32, 4, 0, 0, "4 rows and 0 columns"},
		"negative":         {F32, -1, 4, 16, "-1 rows"},
		"too few bytes":    {F32, 2, 4, 31, "31 bytes for 2 rows of 16 bytes"},
		"too many bytes":   {Q8_0, 2, 32, 69, "69 bytes for 2 rows of 34 bytes"},
		"a row too many":   {Q8_0, 2, 32, 102, "102 bytes for 2 rows"},
		"part of a block":  {Q4_K, 2, 255, 288, "255 elements cannot be stored as Q4_K"},
		"unknown format":   {Type(19), 2, 4, 8, "type 19 is not supported"},
		"size overflows":   {F32, 1, math.MaxInt / 2, 8, "too large"},
		"length overflows": {F32, math.MaxInt, 4, 8, "8 bytes for"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewMatrix(c.typ, c.rows, c.cols, make([]byte, c.bytes), new(Arena))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestStride(t *testing.T) {
	for n, want := range map[int]int{1: 16, 16: 16, 17: 48, 32: 48, 48: 48, 2048: 2064} {
		require.Equal(t, want, Stride(n), n)
	}
}
