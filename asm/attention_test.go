package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/x448/float16"
)

func TestRotationsEqualGeneric(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			t.Run(name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				for n := range 37 {
					for _, heads := range []int{1, 2, 5} {
						stride := 2*n + r.IntN(4)
						x := fill(t, r, (heads-1)*stride+2*n, filler)
						cos, sin := fill(t, r, n, filler), fill(t, r, n, filler)

						want, got := slices.Clone(x), copyOf(t, x)
						rotateHalvesGeneric(want, stride, heads, cos, sin, n)
						RotateHalves(got, stride, heads, cos, sin)
						sameBits(t, want, got, fmt.Sprintf("halves, %d pairs of %d heads", n, heads))

						want, got = slices.Clone(x), copyOf(t, x)
						rotatePairsGeneric(want, stride, heads, cos, sin)
						RotatePairs(got, stride, heads, cos, sin)
						sameBits(t, want, got, fmt.Sprintf("pairs, %d pairs of %d heads", n, heads))
					}
				}
			})
		}
	})
	require.Panics(t, func() { RotateHalves(make([]float32, 15), 8, 2, make([]float32, 4), make([]float32, 4)) })
	require.Panics(t, func() { RotatePairs(make([]float32, 16), 8, 2, make([]float32, 4), make([]float32, 3)) })
}

// A quarter turn takes the first dimension of a pair to the second.
func TestRotationsTurn(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		x := []float32{1, 2, 3, 4, 9, 5, 6, 7, 8, 9} // two heads and what lies behind each
		halves, pairs := slices.Clone(x), slices.Clone(x)
		RotateHalves(halves, 5, 2, []float32{0, 1}, []float32{1, 0})
		require.Equal(t, []float32{-3, 2, 1, 4, 9, -7, 6, 5, 8, 9}, halves)
		RotatePairs(pairs, 5, 2, []float32{0, 1}, []float32{1, 0})
		require.Equal(t, []float32{-2, 1, 3, 4, 9, -6, 5, 7, 8, 9}, pairs)
	})
}

func TestMulStairsEqualsGeneric(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			t.Run(name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 4))
				for _, k := range []int{0, 1, 9} {
					for _, panels := range []int{1, 4, 5} {
						for _, cols := range []int{1, 2, 3, 4, 5, 6, 7, 11, 24} {
							longest := k + cols - 1
							ys, ws, xs := panels*Rows+r.IntN(3)*8, longest*Rows+r.IntN(2)*32, longest+r.IntN(4)
							w := fill(t, r, max(0, (panels-1)*ws+longest*Rows), filler)
							x := fill(t, r, max(0, (cols-1)*xs+longest), filler)
							y := fill(t, r, (cols-1)*ys+panels*Rows, filler)
							for _, add := range []bool{false, true} {
								want, got := slices.Clone(y), copyOf(t, y)
								for c := range cols { // each column alone
									MulPanels(want[c*ys:], ys, w, ws, x[min(c*xs, len(x)):], xs, k+c, panels, 1, add)
								}
								MulStairs(got, ys, w, ws, x, xs, k, panels, cols, add)
								sameBits(t, want, got, fmt.Sprintf("k=%d panels=%d cols=%d add=%v", k, panels, cols, add))
								mulStairsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
								sameBits(t, y, got, fmt.Sprintf("k=%d panels=%d cols=%d add=%v", k, panels, cols, add))
								copy(y, want) // other values for the next
							}
						}
					}
				}
			})
		}
	})
	w, x, y := make([]float32, 64), make([]float32, 7), make([]float32, 32)
	require.NotPanics(t, func() { MulStairs(y, 16, w, 64, x, 3, 3, 1, 2, false) })
	require.Panics(t, func() { MulStairs(y, 16, w, 64, x, 4, 3, 1, 2, false) })
	require.Panics(t, func() { MulStairs(y, 16, w[:63], 64, x, 3, 3, 1, 2, false) })
	require.Panics(t, func() { MulStairs(y[:31], 16, w, 64, x, 3, 3, 1, 2, false) })
}

func TestSoftmaxEqualsItsParts(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			r := rand.New(rand.NewPCG(5, 6))
			for n := range 150 {
				x := fill(t, r, n, filler)
				scale := float32(r.Float64() * 2)
				want := slices.Clone(x)
				var lanes [16]float32
				greatest := float32(0)
				if n > 0 {
					greatest = maxGeneric(x) + 0
				}
				expSumGeneric(&lanes, want, scale, float32(greatest*scale))
				sum := Softmax(x, scale)
				sameBits(t, want, x, fmt.Sprintf("%s, %d elements", name, n))
				sameBits(t, []float32{Fold(&lanes)}, []float32{sum}, fmt.Sprintf("%s, the sum of %d elements", name, n))
			}
		}
	})
}

func BenchmarkSoftmax(b *testing.B) {
	for _, l := range Levels() {
		for _, n := range []int{61, 2000} {
			b.Run(fmt.Sprintf("%v/%d", l, n), func(b *testing.B) {
				restore, err := Use(l)
				require.NoError(b, err)
				defer restore()
				x := make([]float32, n)
				b.SetBytes(4 * int64(len(x)))
				for b.Loop() {
					Softmax(x, 0.5)
				}
			})
		}
	}
}

func TestSumSquaresRowsEqualsSumSquares(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{0, 1, 15, 16, 17, 48, 96} {
				for rows := range 10 {
					stride := n + r.IntN(20)
					x := fill(t, r, max(0, (rows-1)*stride+n), filler)
					sums := guarded(t, rows)
					SumSquaresRows(sums, x, stride, n)
					for i, sum := range sums {
						sameBits(t, []float32{SumSquares(x[i*stride:][:n])}, []float32{sum}, fmt.Sprintf("%s, row %d of %d, %d elements", name, i, rows, n))
					}
				}
			}
		}
	})
	require.Panics(t, func() { SumSquaresRows(make([]float32, 4), make([]float32, 63), 16, 16) })
}

func TestDotRowsEqualsDot(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{0, 1, 16, 17, 48} {
				for _, rn := range []int{0, 1, 3, 4, 5, 9} {
					for cn := range 10 {
						stride, xs, ds := n+r.IntN(20), n+r.IntN(20), rn+r.IntN(3)
						rows, x := fill(t, r, max(0, (rn-1)*stride+n), filler), fill(t, r, max(0, (cn-1)*xs+n), filler)
						dst := fill(t, r, max(0, (cn-1)*ds+rn), filler)
						want := slices.Clone(dst)
						for i := range rn {
							for c := range cn {
								want[c*ds+i] = Dot(rows[i*stride:][:n], x[c*xs:][:n])
							}
						}
						DotRows(dst, ds, rows, stride, rn, x, xs, cn, n)
						sameBits(t, want, dst, fmt.Sprintf("%s, %d rows, %d columns, %d elements", name, rn, cn, n))
					}
				}
			}
		}
	})
	require.Panics(t, func() { DotRows(make([]float32, 3), 4, make([]float32, 64), 16, 4, make([]float32, 16), 16, 1, 16) })
	require.Panics(t, func() { DotRows(make([]float32, 4), 4, make([]float32, 63), 16, 4, make([]float32, 16), 16, 1, 16) })
	require.Panics(t, func() { DotRows(make([]float32, 4), 4, make([]float32, 64), 16, 4, make([]float32, 15), 16, 1, 16) })
}

func TestFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := range 70 {
			x := fill(t, r, n, anyFloat)
			require.True(t, Finite(x))
			for i, v := range x {
				for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0xff800001)} {
					x[i] = bad
					require.False(t, Finite(x), "%v at %d of %d", bad, i, n)
				}
				x[i] = v
			}
		}
	})
}

func TestPanelRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for panels := range 6 {
			for n := range 19 {
				stride, ds := panels*Rows+r.IntN(5), n*Rows+r.IntN(40)
				src := fill(t, r, max(0, (n-1)*stride+panels*Rows), anyFloat)
				dst := fill(t, r, max(0, (panels-1)*ds+n*Rows), anyFloat)
				want := slices.Clone(dst)
				for i := range n {
					for c := range panels * Rows {
						want[c/Rows*ds+i*Rows+c%Rows] = src[i*stride+c]
					}
				}
				PanelRows(dst, ds, src, stride, panels, n)
				sameBits(t, want, dst, fmt.Sprintf("%d panels, %d rows", panels, n))
			}
		}
	})
	require.Panics(t, func() { PanelRows(make([]float32, 31), 16, make([]float32, 32), 32, 2, 1) })
	require.Panics(t, func() { PanelRows(make([]float32, 32), 16, make([]float32, 31), 32, 2, 1) })
}

// guarded16 is guarded for 16-bit elements.
func guarded16(t testing.TB, n int) []uint16 {
	g := guarded(t, (n+1)/2)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(&g[0])), (n+1)/2*2)[n%2:]
}

func TestWiden(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := range 70 {
			src, dst := guarded16(t, n), guarded(t, n)
			for i := range src {
				src[i] = uint16(n*1009 + i*37)
			}
			Widen(dst, src)
			for i, h := range src {
				require.Equal(t, math.Float32bits(Float16(h)), math.Float32bits(dst[i]), "%#x", h)
			}
		}
		all, wide, back := make([]uint16, 1<<16), make([]float32, 1<<16), make([]uint16, 1<<16)
		for i := range all {
			all[i] = uint16(i)
		}
		Widen(wide, all)
		for i, v := range wide {
			require.Equal(t, math.Float32bits(Float16(uint16(i))), math.Float32bits(v), "%#x", i)
		}
		// Narrowing is the way back; NaN become quiet.
		Narrow(back, wide)
		for i, h := range back {
			if v := wide[i]; v != v {
				require.Equal(t, uint16(i)|0x200, h)
				continue
			}
			require.Equal(t, uint16(i), h)
		}
	})
}

func TestNarrow(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		halfway := func(r *rand.Rand) float32 { // between two float16, or next to there
			a, b := Float16(uint16(r.IntN(0x7bff))), float32(0)
			b = math.Float32frombits(math.Float32bits((a+Float16(toFloat16(a)+1))/2) + uint32(r.IntN(3)) - 1)
			return b * float32(1-2*r.IntN(2))
		}
		for name, filler := range map[string]func(*rand.Rand) float32{"any": anyFloat, "wide": fillers["wide"], "subnormal": fillers["subnormal"], "special": fillers["special"], "halfway": halfway} {
			for n := range 100 {
				x := fill(t, r, n, filler)
				dst := guarded16(t, n)
				most, want := Narrow(dst, x), float32(0)
				for i, v := range x {
					require.Equal(t, float16.Fromfloat32(v).Bits(), dst[i], "%s: %x", name, v)
					want = max(want, float32(math.Abs(float64(v))))
					require.Equal(t, math.IsInf(float64(Float16(dst[i])), 0), math.Abs(float64(v)) >= MaxFloat16)
				}
				require.Equal(t, want, most)
			}
		}
		x := make([]float32, 35)
		x[3], x[20], x[33] = float32(math.NaN()), -2, float32(math.Inf(-1))
		require.Equal(t, float32(math.Inf(1)), Narrow(make([]uint16, 35), x))
		require.Equal(t, float32(2), Narrow(make([]uint16, 33), x[:33]))
	})
}

type int128 struct{ Hi, Lo uint64 }

func TestAddFixedEqualsGeneric(t *testing.T) {
	kinds := map[string]func(*rand.Rand) float32{
		"normal":     fillers["normal"],
		"whole":      func(r *rand.Rand) float32 { return float32(r.IntN(2001) - 1000) },
		"wide":       fillers["wide"], // some out of range
		"large":      func(r *rand.Rand) float32 { return float32((r.Float64() - 0.5) * 0x1p24) },
		"small":      func(r *rand.Rand) float32 { return float32((r.Float64() - 0.5) * 0x1p-39) },
		"limits":     func(r *rand.Rand) float32 { return []float32{0x1p-41, -0x1p-41, 8388607.5, -8388607.5, 1}[r.IntN(5)] },
		"some zeros": func(r *rand.Rand) float32 { return float32(r.IntN(9)) },
		"any":        anyFloat,
	}
	starts := map[string]func(*rand.Rand) int128{
		"zero":        func(r *rand.Rand) int128 { return int128{} },
		"any":         func(r *rand.Rand) int128 { return int128{r.Uint64(), r.Uint64()} },
		"carries":     func(r *rand.Rand) int128 { return int128{r.Uint64N(3) - 1, r.Uint64N(3) - 1} },
		"near limits": func(r *rand.Rand) int128 { return int128{1<<63 - 1 + r.Uint64N(2), r.Uint64()} },
	}
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for kind, filler := range kinds {
			for start, of := range starts {
				for n := range 60 {
					x := fill(t, r, n, filler)
					sums := guardedInt128(t, n)
					for i := range sums {
						sums[i] = of(r)
					}
					want := slices.Clone(sums)
					k := addFixedGeneric(want, x)
					require.Equal(t, k, AddFixed(sums, x), "%s to %s", kind, start)
					require.Equal(t, want, slices.Clone(sums), "%s to %s", kind, start)
				}
			}
		}
	})
}

func guardedInt128(t testing.TB, n int) []int128 {
	g := guarded(t, 4*n)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*int128)(unsafe.Pointer(&g[0])), n)
}

func TestAddFixedAdds(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		sums := make([]int128, 9)
		x := []float32{1, -1, 0.5, -0.5, 3, 0x1p-41, -0x1p-41, 4194304, 2}
		for range 2 {
			require.Equal(t, 9, AddFixed(sums, x))
		}
		require.Equal(t, []int128{{2, 0}, {1<<64 - 2, 0}, {1, 0}, {1<<64 - 1, 0}, {6, 0}, {0, 1 << 24}, {1<<64 - 1, 1<<64 - 1<<24}, {8388608, 0}, {4, 0}}, sums)
		require.Equal(t, 3, AddFixed(sums, []float32{1, 1, 1, 8388608, 1, 1, 1, 1, 1}))
		require.Equal(t, int128{3, 0}, sums[0])
		require.Equal(t, int128{8388608, 0}, sums[7], "what follows is left alone")
	})
}
