package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is packed stands for the very weights that the decoder gives: whatever
// the bytes, for each row of a panel and of one that is not full.
func TestPackedIsDequantize(t *testing.T) {
	for _, typ := range allTypes() {
		f := known[typ]
		t.Run(typ.String(), func(t *testing.T) {
			inputs := [][]byte{golden(t, "dequant/"+typ.String()+".blocks")}
			r := rand.New(rand.NewPCG(uint64(typ), 1))
			random := make([]byte, 40*f.bytes)
			for i := range random {
				random[i] = byte(r.Uint32())
			}
			inputs = append(inputs, random, randomMatrix(t, r, typ, 5, 8*f.block))
			for _, src := range inputs {
				blocks := len(src) / f.bytes
				for _, rows := range []int{1, 5, 20} {
					if blocks%rows != 0 {
						continue
					}
					cols := blocks / rows * f.block
					var arena Arena
					m, err := NewMatrix(typ, rows, cols, src, &arena)
					require.NoError(t, err)
					want, got := make([]float32, rows*cols), make([]float32, rows*cols)
					require.NoError(t, Dequantize(want, typ, src))
					for i := range rows {
						m.Row(got[i*cols:], i)
					}
					for i, w := range want {
						if w != w { // a NaN has many forms
							require.True(t, math.IsNaN(float64(got[i])))
							want[i], got[i] = 0, 0
						}
					}
					requireSameBits(t, want, got)
					require.NoError(t, arena.Close())
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
					m, err := NewMatrix(typ, rows, cols, randomMatrix(b, r, typ, rows, cols), new(Arena))
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
