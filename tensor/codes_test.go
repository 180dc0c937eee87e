package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
)

// What is unpacked to integers stands for the very weights that the decoder
// gives, and fits the kernels.
func TestUnpackIsDequantize(t *testing.T) {
	for _, typ := range allTypes() {
		f := known[typ]
		if f.ints == nil {
			require.Contains(t, []Type{F32, F16, BF16}, typ)
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			inputs := [][]byte{golden(t, "dequant/"+typ.String()+".blocks")}
			r := rand.New(rand.NewPCG(uint64(typ), 1))
			random := make([]byte, 40*f.bytes)
			for i := range random {
				random[i] = byte(r.Uint32())
			}
			for blocks := range 5 { // and lengths
				inputs = append(inputs, random[:blocks*f.bytes])
			}
			inputs = append(inputs, random, randomMatrix(t, r, typ, 4, 4*f.block))
			for _, src := range inputs {
				n := len(src) / f.bytes * f.block
				subs := n / f.ints.sub
				codes, scales, mins := make([]byte, n), make([]float32, subs*asm.Rows), make([]float32, subs*asm.Rows)
				f.ints.unpack(codes, scales, mins, src)
				want, got := make([]float32, n), make([]float32, n)
				require.NoError(t, Dequantize(want, typ, src))
				for i, u := range codes {
					if f.ints.offset != 128 {
						require.Less(t, u, byte(64))
					}
					at := i / f.ints.sub * asm.Rows
					got[i] = float32(scales[at] * float32(int(u)-f.ints.offset))
					if f.ints.affine() {
						got[i] += mins[at]
					}
				}
				for i, w := range want {
					if w != w { // a NaN has many forms
						require.True(t, math.IsNaN(float64(got[i])))
						want[i], got[i] = 0, 0
					}
				}
				requireSameBits(t, want, got)
				// Only the columns of asm.Rows are written.
				for i, s := range scales {
					require.True(t, i%asm.Rows == 0 || s == 0 && mins[i] == 0)
				}
			}
		})
	}
}

func TestParsePrecision(t *testing.T) {
	for p := Exact; p.Valid(); p++ {
		got, err := ParsePrecision(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	_, err := ParsePrecision("sloppy")
	require.EqualError(t, err, `tensor: unknown precision "sloppy" (known: exact, probe, fast)`)
	require.Equal(t, "Precision(-1)", Precision(-1).String())
	require.Equal(t, "exact", Precision(0).String(), "the zero value")
}

// BenchmarkMul multiplies a matrix that fits a level-2 cache, unpacking
// included, as a prompt and as a single token do.
func BenchmarkMul(b *testing.B) {
	const rows, cols = 576, 1536
	p := NewPool(1)
	defer p.Close()
	for _, typ := range []Type{Q8_0, Q4_0, Q4_K, Q6_K} {
		for _, precision := range []Precision{Exact, Probe, Fast} {
			for _, n := range []int{1, 128} {
				b.Run(fmt.Sprintf("%v/%v/columns=%d", typ, precision, n), func(b *testing.B) {
					r := rand.New(rand.NewPCG(1, 2))
					m, err := NewMatrix(typ, rows, cols, randomMatrix(b, r, typ, rows, cols), nil)
					require.NoError(b, err)
					x, y := randomFloats(r, n*cols), make([]float32, n*m.Stride())
					mul := NewMultiplier(p, precision)
					for b.Loop() {
						require.NoError(b, mul.Mul(x, cols, n, Product{m, y}))
					}
					b.ReportMetric(2*rows*cols*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
				})
			}
		}
	}
}
