package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// fillers make the inputs that kernels are compared on.
var fillers = map[string]func(r *rand.Rand) float32{
	"normal":    func(r *rand.Rand) float32 { return float32(r.NormFloat64()) },
	"wide":      func(r *rand.Rand) float32 { return float32(r.NormFloat64() * math.Exp2(float64(r.IntN(40)-20))) },
	"subnormal": func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() & 0x807fffff) },
	"tiny":      func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 1e-20) },
	"special":   func(r *rand.Rand) float32 { return specials[r.IntN(8)] },
	"large":     func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 100) },
}

func fill(t testing.TB, r *rand.Rand, n int, f func(*rand.Rand) float32) []float32 {
	x := guarded(t, n)
	for i := range x {
		x[i] = f(r)
	}
	return x
}

func copyOf(t testing.TB, x []float32) []float32 {
	c := guarded(t, len(x))
	copy(c, x)
	return c
}

// sameBits fails the test unless a and b have equal bits.
func sameBits(t testing.TB, want, got []float32, what string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			t.Fatalf("%s: element %d is %x (%v), the generic twin gives %x (%v)", what, i, got[i], got[i], want[i], want[i])
		}
	}
}

// eachKernel runs a kernel at every length up to 70 and on every kind of
// input, under each level.
func eachKernel(t *testing.T, f func(t testing.TB, r *rand.Rand, n int, fill func(n int) []float32)) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			r := rand.New(rand.NewPCG(7, 11))
			t.Run(name, func(t *testing.T) {
				for n := range 70 {
					f(t, r, n, func(n int) []float32 { return fill(t, r, n, filler) })
				}
			})
		}
	})
}

// columnCounts are numbers of columns of which each kernel of a fixed number is
// given some, alone and with others.
var columnCounts = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 24, 25, 29, 37}

func TestMulPanelsEqualsGeneric(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for name, filler := range fillers {
			t.Run(name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 4))
				lengths := []int{0, 1, 2, 7, 32, 65}
				if testing.Short() {
					lengths = []int{0, 1, 7}
				}
				for _, k := range lengths {
					for _, panels := range []int{1, 2, 3, 4, 5, 9} {
						for _, cols := range columnCounts {
							ys, ws, xs := panels*Rows+r.IntN(3)*8, k*Rows+r.IntN(2)*32, k+r.IntN(4)
							w := fill(t, r, (panels-1)*ws+k*Rows, filler)
							x := fill(t, r, (cols-1)*xs+k, filler)
							y := fill(t, r, (cols-1)*ys+panels*Rows, filler)
							for _, add := range []bool{false, true} {
								want, got := slices.Clone(y), copyOf(t, y)
								mulPanelsGeneric(want, ys, w, ws, x, xs, k, panels, cols, add)
								MulPanels(got, ys, w, ws, x, xs, k, panels, cols, add)
								sameBits(t, want, got, fmt.Sprintf("k=%d panels=%d cols=%d add=%v", k, panels, cols, add))
							}
						}
					}
				}
			})
		}
	})
}

// A chain may be cut anywhere: that is what lets a matrix be multiplied tile
// by tile and a KV cache be read page by page.
func TestMulPanelsResumes(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		const k, panels, cols = 40, 5, 7
		w := fill(t, r, panels*k*Rows, fillers["wide"])
		x := fill(t, r, cols*k, fillers["wide"])
		whole := make([]float32, cols*panels*Rows)
		MulPanels(whole, panels*Rows, w, k*Rows, x, k, k, panels, cols, false)
		for cut := range k + 1 {
			parts := make([]float32, len(whole))
			MulPanels(parts, panels*Rows, w, k*Rows, x, k, cut, panels, cols, false)
			if cut < k {
				MulPanels(parts, panels*Rows, w[cut*Rows:], k*Rows, x[cut:], k, k-cut, panels, cols, true)
			}
			sameBits(t, whole, parts, fmt.Sprint("cut at ", cut))
		}
	})
}

// The definition, written without the package's own helpers.
func TestMulPanelsIsAMatrixProduct(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		w := make([]float32, 2*3*Rows) // 32 rows, 3 columns
		for p := range 2 {
			for i := range 3 {
				for r := range Rows {
					w[p*3*Rows+i*Rows+r] = float32(100*(p*Rows+r) + i)
				}
			}
		}
		y := make([]float32, 32)
		MulPanels(y, 32, w, 3*Rows, []float32{1, 10, 100}, 3, 3, 2, 1, false)
		for r, got := range y {
			require.Equal(t, float32(100*r*111+0*1+1*10+2*100), got)
		}
	})
}

func TestTranspose(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 40 {
			stride := n + r.IntN(5)
			src := fill(t, r, (Rows-1)*stride+n, anyFloat)
			dst := fill(t, r, n*Rows, anyFloat)
			Transpose(dst, src, stride, n)
			for i := range n {
				for row := range Rows {
					require.Equal(t, math.Float32bits(src[row*stride+i]), math.Float32bits(dst[i*Rows+row]), "n=%d row=%d column=%d", n, row, i)
				}
			}
		}
		require.Panics(t, func() { Transpose(make([]float32, 15), make([]float32, 16), 1, 1) })
		require.Panics(t, func() { Transpose(make([]float32, 16), make([]float32, 15), 1, 1) })
	})
}

func TestMulPanelsRefusesShortSlices(t *testing.T) {
	w, x, y := make([]float32, 64), make([]float32, 4), make([]float32, 16)
	require.Panics(t, func() { MulPanels(y[:15], 16, w, 64, x, 4, 4, 1, 1, false) })
	require.Panics(t, func() { MulPanels(y, 16, w[:63], 64, x, 4, 4, 1, 1, false) })
	require.Panics(t, func() { MulPanels(y, 16, w, 64, x[:3], 4, 4, 1, 1, false) })
	require.Panics(t, func() { MulPanels(y, 16, w, 64, x, 4, -1, 1, 1, false) })
	require.NotPanics(t, func() { MulPanels(nil, 0, nil, 0, nil, 0, 4, 0, 1, false) })
}

func TestReductionsEqualGeneric(t *testing.T) {
	eachKernel(t, func(t testing.TB, r *rand.Rand, n int, fill func(int) []float32) {
		x, y := fill(n), fill(n)
		var lanes [16]float32
		sumSquaresGeneric(&lanes, x)
		sameBits(t, []float32{Fold(&lanes)}, []float32{SumSquares(x)}, "SumSquares")
		lanes = [16]float32{}
		dotGeneric(&lanes, x, y)
		sameBits(t, []float32{Fold(&lanes)}, []float32{Dot(x, y)}, "Dot")
		if n > 0 {
			require.Equal(t, slices.Max(x), Max(x))
		}
		require.Equal(t, float32(math.Sqrt(float64(SumSquares(x)))), Norm(x))
	})
	require.True(t, math.IsInf(float64(Max(nil)), -1))
}

func TestElementwiseEqualGeneric(t *testing.T) {
	eachKernel(t, func(t testing.TB, r *rand.Rand, n int, fill func(int) []float32) {
		x, y := fill(n), fill(n)
		s := float32(r.NormFloat64())

		want, got := slices.Clone(x), copyOf(t, x)
		addGeneric(want, y)
		Add(got, y)
		sameBits(t, want, got, "Add")

		want, got = slices.Clone(x), copyOf(t, x)
		axpyGeneric(want, y, s)
		Axpy(got, y, s)
		sameBits(t, want, got, "Axpy")

		want, got = slices.Clone(x), copyOf(t, x)
		scaleMulGeneric(want, x, y, s)
		ScaleMul(got, got, y, s)
		sameBits(t, want, got, "ScaleMul")

		want, got = slices.Clone(x), copyOf(t, x)
		scaleGeneric(want, x, s)
		Scale(got, got, s)
		sameBits(t, want, got, "Scale")

		want, got = slices.Clone(x), copyOf(t, x)
		siluMulGeneric(want, x, y)
		SiLUMul(got, got, y)
		sameBits(t, want, got, "SiLUMul")

		want, got = slices.Clone(x), copyOf(t, x)
		var lanes [16]float32
		expSumGeneric(&lanes, want, s, s/2)
		sum := ExpSum(got, s, s/2)
		sameBits(t, want, got, "ExpSum")
		sameBits(t, []float32{Fold(&lanes)}, []float32{sum}, "ExpSum's sum")
	})
}

func TestExpIsAccurate(t *testing.T) {
	worst := 0.0
	for x := -86.5; x <= 88; x += 0.00137 {
		v := float32(x)
		got, want := float64(Exp(v)), math.Exp(float64(v))
		ulp := math.Abs(float64(math.Nextafter32(float32(want), 1e38)) - float64(float32(want)))
		worst = max(worst, math.Abs(got-want)/ulp)
	}
	require.Less(t, worst, 1.2)
	require.Equal(t, float32(1), Exp(0))
	require.Equal(t, float32(0), Exp(-87))
	require.Equal(t, float32(0), Exp(float32(math.Inf(-1))))
	require.Equal(t, Exp(88), Exp(float32(math.Inf(1))))
	require.Equal(t, float32(0), Exp(float32(math.NaN())))
}

func TestSiLUMulIsAccurate(t *testing.T) {
	for x := -80.0; x <= 80; x += 0.0173 {
		got := []float32{0}
		SiLUMul(got, []float32{float32(x)}, []float32{2})
		v := float64(float32(x))
		require.InEpsilon(t, 2*v/(1+math.Exp(-v)), float64(got[0]), 5e-7)
	}
}

func BenchmarkMulPanels(b *testing.B) {
	for _, l := range Levels() {
		for _, shape := range []struct{ k, panels, cols int }{{2048, 4, 1}, {2048, 4, 6}, {64, 4, 48}, {2048, 1, 48}} {
			b.Run(fmt.Sprintf("%v/k=%d/panels=%d/cols=%d", l, shape.k, shape.panels, shape.cols), func(b *testing.B) {
				restore, err := Use(l)
				require.NoError(b, err)
				defer restore()
				r := rand.New(rand.NewPCG(1, 1))
				w := fill(b, r, shape.panels*shape.k*Rows, fillers["normal"])
				x := fill(b, r, shape.cols*shape.k, fillers["normal"])
				y := make([]float32, shape.cols*shape.panels*Rows)
				for b.Loop() {
					MulPanels(y, shape.panels*Rows, w, shape.k*Rows, x, shape.k, shape.k, shape.panels, shape.cols, false)
				}
				flops := 2 * float64(shape.k*shape.panels*Rows*shape.cols) * float64(b.N)
				b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func BenchmarkExpSum(b *testing.B) {
	for _, l := range Levels() {
		b.Run(l.String(), func(b *testing.B) {
			restore, err := Use(l)
			require.NoError(b, err)
			defer restore()
			x := make([]float32, 1024)
			b.SetBytes(4 * int64(len(x)))
			for b.Loop() {
				ExpSum(x, 0.5, 1)
			}
		})
	}
}
