package asm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// geluArguments are all over the float32 that occur, dense where the function
// bends, and the awkward ones.
func geluArguments() []float32 {
	r := rand.New(rand.NewPCG(5, 8))
	x := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, 1e-30, 0.624999, 0.625, -0.625, 1e10, -1e10, 3e38, -3e38}
	for range 100000 {
		x = append(x, float32(r.NormFloat64()*3), float32(math.Exp(r.Float64()*40-30)), -float32(math.Exp(r.Float64()*40-30)))
	}
	return x
}

func TestGELUIsExactEnough(t *testing.T) {
	x := geluArguments()
	got, ones := make([]float32, len(x)), make([]float32, len(x))
	for i := range ones {
		ones[i] = 1
	}
	GELUMul(got, x, ones)
	worst := 0.0
	for i, v := range x {
		g := float64(v)
		want := 0.5 * g * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g)))
		if v != 0 {
			worst = max(worst, math.Abs(float64(got[i])-want)/max(math.Abs(g), 1e-37))
		}
	}
	require.Less(t, worst, 2e-7, "the bound in the comment")
	t.Logf("largest error %.2g of the argument", worst)
}

func TestSoftCapIsExactEnough(t *testing.T) {
	x := geluArguments()
	got := slices.Clone(x)
	SoftCap(got, 1, 1)
	worst := 0.0
	for i, v := range x {
		if math.Abs(float64(v)) < 1e-37 {
			require.Equal(t, v, got[i], "subnormals and zeros are themselves")
			continue
		}
		want := math.Tanh(float64(v))
		worst = max(worst, math.Abs(float64(got[i])-want)/math.Abs(want))
	}
	require.Less(t, worst, 3e-7, "the bound in the comment")
	t.Logf("largest relative error %.2g", worst)

	y := []float32{1, -40, 1e30, 0}
	SoftCap(y, 1./30, 30)
	require.InDeltaSlice(t, []float64{30 * math.Tanh(1./30), 30 * math.Tanh(-40./30), 30, 0}, y, 1e-5)

	// Damage must not look like a number within the limits.
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 16} {
			x := make([]float32, n)
			x[n/2] = float32(math.NaN())
			SoftCap(x, 1, 30)
			require.NotEqual(t, x[n/2], x[n/2])
			x[n/2] = float32(math.NaN())
			GELUMul(x, x, x)
			require.NotEqual(t, x[n/2], x[n/2])
		}
	})
}

func TestGELUAndSoftCapEqualAtAllLevels(t *testing.T) {
	for name, filler := range fillers {
		r := rand.New(rand.NewPCG(9, 1))
		for _, n := range []int{0, 1, 15, 16, 17, 70, 259} {
			gate, up := fill(t, r, n, filler), fill(t, r, n, filler)
			wantGate, wantCap := slices.Clone(gate), slices.Clone(gate)
			geluMulGeneric(wantGate, wantGate, up)
			softCapGeneric(wantCap, 0.1, 7)
			eachLevel(t, func(t *testing.T) {
				got := copyOf(t, gate)
				GELUMul(got, got, up)
				sameBits(t, wantGate, got, name)
				got = copyOf(t, gate)
				SoftCap(got, 0.1, 7)
				sameBits(t, wantCap, got, name)
			})
		}
	}
}
