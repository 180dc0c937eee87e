package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// guardedInts allocates n integers before an unreadable page.
func guardedInts[T int8 | int16](t testing.TB, n int) []T {
	var zero T
	b := guardedBytes(t, n*int(unsafe.Sizeof(zero)))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}

// guardedTerms allocates n terms before an unreadable page.
func guardedTerms(t testing.TB, n int) []Term {
	f := guarded(t, n*int(unsafe.Sizeof(Term{}))/4)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*Term)(unsafe.Pointer(&f[0])), n)
}

// An intCase is what quantised weights and activations may look like.
type intCase struct {
	name           string
	sub, offset    int
	most           int // the largest code
	mins           bool
	code           func(r *rand.Rand, most int) byte
	activation     func(r *rand.Rand) float32
	weightScale    func(r *rand.Rand) float32
	zeroActivation int // one block in so many is zero; 0 means none
}

func anyCode(r *rand.Rand, most int) byte { return byte(r.IntN(most + 1)) }

func intCases() []intCase {
	normal, tiny := fillers["normal"], fillers["tiny"]
	highest := func(_ *rand.Rand, most int) byte { return byte(most) }
	extremes := func(r *rand.Rand, most int) byte { return byte(r.IntN(2) * most) }
	lowest := func(*rand.Rand, int) byte { return 0 }
	one := func(*rand.Rand) float32 { return 1 }
	sign := func(r *rand.Rand) float32 { return float32(2*r.IntN(2) - 1) }
	minus := func(*rand.Rand) float32 { return -3e38 }
	subnormal := func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() & 0x800fffff) }
	huge := func(r *rand.Rand) float32 { return float32(r.NormFloat64()) * 1e37 }
	return []intCase{
		// The shapes of the storage formats.
		{"Q4_0", 32, 8, 15, false, anyCode, normal, normal, 0},
		{"Q4_1, Q4_K", 32, 0, 15, true, anyCode, normal, normal, 5},
		{"Q5_0", 32, 16, 31, false, anyCode, fillers["wide"], normal, 0},
		{"Q5_1, Q5_K", 32, 0, 31, true, anyCode, normal, fillers["wide"], 0},
		{"Q8_0", 32, 128, 255, false, anyCode, normal, normal, 3},
		{"Q2_K", 16, 0, 3, true, anyCode, normal, normal, 0},
		{"Q3_K", 16, 4, 7, false, anyCode, normal, normal, 0},
		{"Q6_K", 16, 32, 63, false, anyCode, normal, normal, 2},
		// No format has these, but kernels do.
		{"bytes with minima", 32, 128, 255, true, anyCode, normal, normal, 0},
		// The largest sums that there can be.
		{"all highest", 32, 0, 63, true, highest, one, normal, 0},
		{"all highest, negative", 32, 32, 63, false, highest, minus, tiny, 0},
		{"bytes all highest", 32, 128, 255, false, highest, one, normal, 0},
		{"bytes all lowest", 32, 128, 255, false, lowest, one, normal, 0},
		{"bytes all lowest, negative", 16, 128, 255, false, lowest, minus, tiny, 0},
		{"bytes of extremes", 32, 128, 255, false, extremes, sign, normal, 0},
		{"extremes", 16, 0, 63, true, extremes, sign, normal, 0},
		// Scales whose products are subnormal, vanish or are large.
		{"subnormal scales", 32, 8, 15, false, anyCode, normal, subnormal, 0},
		{"subnormal products", 16, 0, 15, true, anyCode, fillers["tiny"], tiny, 0},
		{"vanishing activations", 32, 8, 15, false, anyCode, subnormal, normal, 0},
		{"huge activations", 32, 128, 255, false, anyCode, huge, tiny, 0},
	}
}

// An intProblem is a product with IntPanels.
type intProblem[T int8 | int16] struct {
	w     IntPanels
	x     []T
	xs    int
	terms []Term
	ts    int
}

func makeInt[T int8 | int16](t testing.TB, r *rand.Rand, c intCase, k, panels, cols int, quantize func([]T, []float32, []int32, []float32)) intProblem[T] {
	p := intProblem[T]{xs: k + 4*r.IntN(4), ts: cols + r.IntN(3)}
	blocks := k / c.sub
	p.w = IntPanels{CodeStride: k*Rows + 64*r.IntN(2), ScaleStride: blocks*Rows + 4*r.IntN(3), Sub: c.sub, Offset: c.offset}
	p.w.Codes = guardedBytes(t, (panels-1)*p.w.CodeStride+k*Rows)
	for i := range p.w.Codes {
		p.w.Codes[i] = c.code(r, c.most)
	}
	p.w.Scales = fill(t, r, (panels-1)*p.w.ScaleStride+blocks*Rows, c.weightScale)
	if c.mins {
		p.w.Mins = fill(t, r, len(p.w.Scales), c.weightScale)
	}
	p.x = guardedInts[T](t, (cols-1)*p.xs+k)
	p.terms = guardedTerms(t, (blocks-1)*p.ts+cols)
	scales, sums := make([]float32, k/QuantBlock), make([]int32, k/16)
	column := make([]float32, k)
	for col := range cols {
		for i := range column {
			column[i] = c.activation(r)
		}
		for b := 0; c.zeroActivation > 0 && b < k; b += QuantBlock {
			if r.IntN(c.zeroActivation) == 0 {
				clear(column[b:][:QuantBlock])
			}
		}
		quantize(p.x[col*p.xs:][:k], scales, sums, column)
		MakeTerms(p.terms[col:], p.ts, scales, sums, c.sub, c.offset, 1)
	}
	return p
}

type mulInt[T int8 | int16] func(y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, k, panels, cols int, add bool)

// Every kernel, alone and beside others: some panels by each number of columns
// for which there is one.
func testMulInt[T int8 | int16](t *testing.T, quantize func([]T, []float32, []int32, []float32), mul mulInt[T]) {
	for _, c := range intCases() {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(21, 22))
			for _, k := range []int{32, 96} {
				for _, panels := range []int{1, 5} {
					for _, cols := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 25, 31} {
						p := makeInt(t, r, c, k, panels, cols, quantize)
						k := k
						if c.sub == 16 {
							k -= 16 * r.IntN(2) // an odd number of sub-blocks
						}
						ys, add := panels*Rows+r.IntN(3)*8, r.IntN(2) == 0
						y := fill(t, r, (cols-1)*ys+panels*Rows, fillers["normal"])
						want, got := slices.Clone(y), copyOf(t, y)
						mulIntGeneric(want, ys, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, add)
						for _, l := range Levels() {
							restore, err := Use(l)
							require.NoError(t, err)
							copy(got, y)
							mul(got, ys, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, add)
							restore()
							sameBits(t, want, got, fmt.Sprintf("%v k=%d panels=%d cols=%d add=%v", l, k, panels, cols, add))
						}
					}
				}
			}
		})
	}
	eachLevel(t, func(t *testing.T) { // without columns of the matrix
		w, y := IntPanels{Sub: 32}, []float32{0: 1, 15: 1}
		mul(y, Rows, &w, nil, 0, nil, 0, 0, 1, 1, true)
		require.Equal(t, []float32{0: 1, 15: 1}, y)
		mul(y, Rows, &w, nil, 0, nil, 0, 0, 1, 1, false)
		require.Equal(t, make([]float32, 16), y)
	})
}

func TestMulInt8EqualsGeneric(t *testing.T)  { testMulInt(t, QuantizeInt8, MulInt8) }
func TestMulInt16EqualsGeneric(t *testing.T) { testMulInt(t, QuantizeInt16, MulInt16) }

// testDefinition computes what MulInt8's comment says, in integers of 64 bits
// and without the bias, and checks that the sums fit as it says.
func testDefinition[T int8 | int16](t *testing.T, quantize func([]T, []float32, []int32, []float32), mul mulInt[T], bound int64) {
	for _, c := range intCases() {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(31, 32))
			const k, panels, cols = 64, 2, 3
			p := makeInt(t, r, c, k, panels, cols, quantize)
			got := make([]float32, cols*panels*Rows)
			mul(got, panels*Rows, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, false)
			var want []float32
			for col := range cols {
				for row := range panels * Rows {
					acc := float32(0)
					for b := range k / c.sub {
						var d, sum int64
						for i := b * c.sub; i < (b+1)*c.sub; i++ {
							u := p.w.Codes[row/Rows*p.w.CodeStride+i/4*4*Rows+4*(row%Rows)+i%4]
							d += (int64(u) - int64(c.offset)) * int64(p.x[col*p.xs+i])
							sum += int64(p.x[col*p.xs+i])
						}
						require.LessOrEqual(t, max(d, -d), bound)
						term := p.terms[b*p.ts+col]
						at := row/Rows*p.w.ScaleStride + b*Rows + row%Rows
						if c.mins {
							acc = exactFMA(p.w.Mins[at], float32(term.Scale*float32(sum)), acc)
						}
						acc = exactFMA(float32(p.w.Scales[at]*term.Scale), float32(d), acc)
					}
					want = append(want, acc)
				}
			}
			require.Equal(t, want, got) // zeros of either sign are equal
		})
	}
}

func TestMulInt8Definition(t *testing.T) {
	testDefinition(t, QuantizeInt8, MulInt8, 128*127*32)
}

func TestMulInt16Definition(t *testing.T) {
	testDefinition(t, QuantizeInt16, MulInt16, 128*32767*32)
}

func TestMulIntResumes(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		c := intCases()[1]
		r := rand.New(rand.NewPCG(5, 6))
		const k, panels, cols = 160, 5, 7
		p := makeInt(t, r, c, k, panels, cols, QuantizeInt16)
		whole := make([]float32, cols*panels*Rows)
		MulInt16(whole, panels*Rows, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, false)
		for cut := 0; cut < k; cut += c.sub {
			parts := make([]float32, len(whole))
			MulInt16(parts, panels*Rows, &p.w, p.x, p.xs, p.terms, p.ts, cut, panels, cols, false)
			rest := p.w
			rest.Codes, rest.Scales, rest.Mins = rest.Codes[cut*Rows:], rest.Scales[cut/c.sub*Rows:], rest.Mins[cut/c.sub*Rows:]
			MulInt16(parts, panels*Rows, &rest, p.x[cut:], p.xs, p.terms[cut/c.sub*p.ts:], p.ts, k-cut, panels, cols, true)
			sameBits(t, whole, parts, fmt.Sprint("cut at ", cut))
		}
	})
}

func TestMulIntRefuses(t *testing.T) {
	w := IntPanels{Codes: make([]byte, 512), Scales: make([]float32, 16), Mins: make([]float32, 16), CodeStride: 512, ScaleStride: 16, Sub: 32}
	x, terms, y := make([]int8, 32), make([]Term, 1), make([]float32, 16)
	require.NotPanics(t, func() { MulInt8(y, 16, &w, x, 32, terms, 1, 32, 1, 1, false) })
	require.NotPanics(t, func() { MulInt8(nil, 0, &w, nil, 0, nil, 0, 32, 0, 1, false) })
	require.Panics(t, func() { MulInt8(y[:15], 16, &w, x, 32, terms, 1, 32, 1, 1, false) })
	require.Panics(t, func() { MulInt8(y, 16, &w, x[:31], 32, terms, 1, 32, 1, 1, false) })
	require.Panics(t, func() { MulInt8(y, 16, &w, x, 32, nil, 1, 32, 1, 1, false) })
	require.Panics(t, func() { MulInt8(y, 16, &w, x, 32, terms, 1, 16, 1, 1, false) }, "half a sub-block")
	require.Panics(t, func() { MulInt8(y, 16, &w, x, 32, terms, 1, -32, 1, 1, false) })
	for name, damage := range map[string]func(*IntPanels){
		"codes":  func(w *IntPanels) { w.Codes = w.Codes[:511] },
		"scales": func(w *IntPanels) { w.Scales = w.Scales[:15] },
		"minima": func(w *IntPanels) { w.Mins = w.Mins[:15] },
		"sub":    func(w *IntPanels) { w.Sub = 8 },
	} {
		bad := w
		damage(&bad)
		require.Panics(t, func() { MulInt8(y, 16, &bad, x, 32, terms, 1, 32, 1, 1, false) }, name)
	}
}

func testQuantize[T int8 | int16](t *testing.T, limit float32, quantize func([]T, []float32, []int32, []float32)) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	threshold := limit / math.MaxFloat32
	eachLevel(t, func(t *testing.T) {
		blocks := func(name string, f func(r *rand.Rand) float32) {
			r := rand.New(rand.NewPCG(41, 42))
			for n := 0; n <= 35*QuantBlock; n += QuantBlock { // kernels take up to 16 blocks at a time
				x := fill(t, r, n, f)
				want, got := make([]T, n), guardedInts[T](t, n)
				wantScales, scales := make([]float32, n/QuantBlock), guarded(t, n/QuantBlock)
				wantSums, sums := make([]int32, n/16), make([]int32, n/16)
				quantizeGeneric(want, wantScales, wantSums, x, limit)
				quantize(got, scales, sums, x)
				require.Equal(t, want, append(make([]T, 0), got...), name)
				require.Equal(t, wantSums, sums, name)
				sameBits(t, wantScales, scales, name)
			}
		}
		for name, f := range fillers {
			blocks(name, f)
		}
		blocks("any", anyFloat)
		blocks("halves", func(r *rand.Rand) float32 { // x*(L/amax) is x with amax = L
			if r.IntN(8) == 0 {
				return limit
			}
			return float32(r.IntN(int(2*limit))) - limit + 0.5
		})
		for _, amax := range []float32{threshold, math.Nextafter32(threshold, 0), math.Nextafter32(threshold, 1), 2 * threshold, math.MaxFloat32} {
			blocks(fmt.Sprint("amax ", amax), func(r *rand.Rand) float32 { return amax * float32(r.IntN(3)-1) })
		}
		blocks("some not finite", func(r *rand.Rand) float32 {
			if r.IntN(60) == 0 {
				return []float32{inf, -inf, nan, math.Float32frombits(0xff800001)}[r.IntN(4)]
			}
			return float32(r.NormFloat64())
		})
		require.Panics(t, func() { quantize(make([]T, 32), make([]float32, 1), make([]int32, 2), make([]float32, 31)) })
		require.Panics(t, func() { quantize(make([]T, 31), make([]float32, 1), make([]int32, 2), make([]float32, 32)) })
		require.Panics(t, func() { quantize(make([]T, 32), nil, make([]int32, 2), make([]float32, 32)) })
		require.Panics(t, func() { quantize(make([]T, 32), make([]float32, 1), make([]int32, 1), make([]float32, 32)) })
	})

	// What the comment says, block by block, in float64 where that is exact
	// enough to judge.
	r := rand.New(rand.NewPCG(51, 52))
	for _, f := range []func(*rand.Rand) float32{anyFloat, fillers["wide"], fillers["special"], fillers["subnormal"]} {
		for range 200 {
			x := fill(t, r, QuantBlock, f)
			q, scales, sums := make([]T, QuantBlock), make([]float32, 1), make([]int32, 2)
			quantize(q, scales, sums, x)
			amax := float32(0)
			for _, v := range x {
				amax = max(amax, max(v, -v))
			}
			if amax < threshold {
				require.Equal(t, make([]T, QuantBlock), q)
				require.Zero(t, scales[0])
				continue
			}
			l := limit
			if limit == limitInt8 {
				loss := func(l float32) (sum float64) { // of the block, in its own units
					for _, v := range x {
						r := float64(float32(v * (l / amax)))
						d := (r - math.RoundToEven(r)) / float64(l)
						sum += d * d
					}
					return sum
				}
				if scales[0] != amax/127 {
					l = 126
				}
				require.LessOrEqual(t, loss(l), loss(127+126-l)*(1+1e-6), "the better of two")
			}
			require.Equal(t, amax/l, scales[0])
			var want [2]int32
			for i, v := range x {
				exact := float64(float32(v * (l / amax)))
				require.Equal(t, math.RoundToEven(exact), float64(q[i]))
				require.LessOrEqual(t, math.Abs(float64(q[i])), float64(l))
				want[i/16] += int32(q[i])
			}
			require.Equal(t, want[:], sums)
		}
	}
	for _, bad := range []float32{inf, -inf, nan} {
		x := make([]float32, 2*QuantBlock)
		x[0], x[QuantBlock], x[QuantBlock+7] = 1, 1, bad
		q, scales, sums := make([]T, len(x)), make([]float32, 2), make([]int32, 4)
		q[QuantBlock] = 5
		quantize(q, scales, sums, x)
		require.Equal(t, T(limit), q[0])
		require.True(t, math.IsNaN(float64(scales[1])))
		require.Equal(t, make([]T, QuantBlock), q[QuantBlock:])
		terms := make([]Term, 2)
		MakeTerms(terms, 1, scales, sums, 32, 8, 1)
		require.Equal(t, Term{1 / limit, 1 / limit * limit, -8 * int32(limit)}, terms[0])
		require.True(t, math.IsNaN(float64(terms[1].ScaledSum)))
	}
}

func TestQuantizeInt8(t *testing.T)  { testQuantize(t, 127, QuantizeInt8) }
func TestQuantizeInt16(t *testing.T) { testQuantize(t, 32767, QuantizeInt16) }

func benchmarkMulInt[T int8 | int16](b *testing.B, quantize func([]T, []float32, []int32, []float32), mul mulInt[T]) {
	for _, l := range Levels() {
		for _, i := range []int{1, 4, 7} { // with minima, of bytes, in sub-blocks of 16
			c := intCases()[i]
			for _, cols := range []int{1, 12, 96, 512} {
				b.Run(fmt.Sprintf("%v/%s/cols=%d", l, c.name, cols), func(b *testing.B) {
					restore, err := Use(l)
					require.NoError(b, err)
					defer restore()
					const k, panels = 512, 4
					p := makeInt(b, rand.New(rand.NewPCG(1, 1)), c, k, panels, cols, quantize)
					y := make([]float32, cols*panels*Rows)
					for b.Loop() {
						mul(y, panels*Rows, &p.w, p.x, p.xs, p.terms, p.ts, k, panels, cols, true)
					}
					ops := 2 * float64(k*panels*Rows*cols) * float64(b.N)
					b.ReportMetric(ops/b.Elapsed().Seconds()/1e9, "GOP/s")
				})
			}
		}
	}
}

func BenchmarkMulInt8(b *testing.B)  { benchmarkMulInt(b, QuantizeInt8, MulInt8) }
func BenchmarkMulInt16(b *testing.B) { benchmarkMulInt(b, QuantizeInt16, MulInt16) }

func BenchmarkQuantizeInt8(b *testing.B) {
	for _, l := range Levels() {
		b.Run(l.String(), func(b *testing.B) {
			restore, err := Use(l)
			require.NoError(b, err)
			defer restore()
			x := fill(b, rand.New(rand.NewPCG(1, 1)), 2048, fillers["normal"])
			q, scales, sums := make([]int8, len(x)), make([]float32, len(x)/QuantBlock), make([]int32, len(x)/16)
			b.SetBytes(4 * int64(len(x)))
			for b.Loop() {
				QuantizeInt8(q, scales, sums, x)
			}
		})
	}
}
