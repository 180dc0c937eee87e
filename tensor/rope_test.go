package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The rotations are those of the definition, up to the longest contexts.
func TestRope(t *testing.T) {
	for _, o := range []RopeOptions{
		{Dim: 2, Base: 10000, Scale: 1},
		{Dim: 10, Base: 10000, Scale: 0.25},
		{Dim: 10, Base: 10000, Scale: 0.25, Halves: true},
		{Dim: 32, Base: 500000, Scale: 1},
		{Dim: 8, Base: 1e6, Scale: 1, Factors: []float32{1, 2.5, 8, 32}},
		{Dim: 8, Base: 1e6, Scale: 1, Factors: []float32{1, 2.5, 8, 32}, Halves: true, Magnitude: 1.19},
		{Dim: 128, Base: 1e7, Scale: 1},
		{Dim: 8, Base: 1, Scale: 1}, // every pair turns alike
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			r := NewRope(o)
			last := 131071
			if o.Dim > 10 {
				last = 5000 // the table would be large
			}
			r.Extend(last + 1)
			x := make([]float32, o.Dim+1)
			for pos := 0; pos <= last; pos += 1 + pos/9 {
				for i := range o.Dim / 2 {
					angle := float64(pos) * math.Pow(o.Base, -2*float64(i)/float64(o.Dim)) * o.Scale
					if o.Factors != nil {
						angle /= float64(o.Factors[i])
					}
					sin, cos := math.Sincos(angle)
					if o.Magnitude != 0 {
						sin, cos = sin*o.Magnitude, cos*o.Magnitude
					}
					first, second := 2*i, 2*i+1
					if o.Halves {
						first, second = i, i+o.Dim/2
					}
					clear(x)
					x[first], x[second], x[o.Dim] = 3, 4, 5
					r.Rotate(x, o.Dim, 1, pos)
					require.InDelta(t, 3*cos-4*sin, float64(x[first]), 1e-6, "position %d pair %d", pos, i)
					require.InDelta(t, 3*sin+4*cos, float64(x[second]), 1e-6, "position %d pair %d", pos, i)
					require.Equal(t, float32(5), x[o.Dim], "what is not rotated stays")
				}
			}
		})
	}
}

// YaRN's frequencies, as the paper's equations give them, and the pairs at which
// its ramp begins and ends for models in use.
func TestYarn(t *testing.T) {
	for _, c := range []struct {
		o         RopeOptions
		low, high int // the last pair that keeps its frequency, the first that is scaled
	}{
		// Qwen 2.5 and 3: 128 dimensions, 32768 positions times 4.
		{RopeOptions{Dim: 128, Base: 1e6, Scale: 1. / 4, Yarn: Yarn{Context: 32768, Fast: 32, Slow: 1}}, 23, 40},
		// OLMo 3: 8192 positions times 8.
		{RopeOptions{Dim: 128, Base: 500000, Scale: 1. / 8, Yarn: Yarn{Context: 8192, Fast: 32, Slow: 1}}, 18, 35},
		{RopeOptions{Dim: 64, Base: 10000, Scale: 1. / 16, Yarn: Yarn{Context: 4096, Fast: 32, Slow: 1}, Halves: true}, 10, 23},
		// A context so short that every pair is scaled.
		{RopeOptions{Dim: 16, Base: 10000, Scale: 1. / 2, Yarn: Yarn{Context: 3, Fast: 32, Slow: 1}}, 0, 0},
	} {
		t.Run(fmt.Sprintf("%+v", c.o), func(t *testing.T) {
			for i, got := range NewRope(c.o).freqs {
				plain := math.Pow(c.o.Base, -2*float64(i)/float64(c.o.Dim))
				// The share of the frequency that is scaled.
				ramp := 0.0
				switch {
				case i >= c.high && i > c.low || c.high == 0 && i > 0:
					ramp = 1
				case i > c.low:
					ramp = float64(i-c.low) / float64(c.high-c.low)
				}
				require.InEpsilon(t, plain*c.o.Scale*ramp+plain*(1-ramp), got, 1e-13, "pair %d", i)
				// A pair that keeps its frequency turns often within the context, one
				// that is scaled seldom.
				turns := plain * float64(c.o.Yarn.Context) / (2 * math.Pi)
				if ramp == 0 && c.high > 0 {
					require.GreaterOrEqual(t, turns, c.o.Yarn.Fast)
				}
				if ramp == 1 {
					require.LessOrEqual(t, turns, c.o.Yarn.Slow)
				}
			}
		})
	}
}

// The table is the same however it grew.
func TestRopeGrows(t *testing.T) {
	o := RopeOptions{Dim: 6, Base: 10000, Scale: 1}
	whole, parts := NewRope(o), NewRope(o)
	whole.Extend(100)
	for _, n := range []int{1, 7, 3, 0, 99, 100, 100} {
		parts.Extend(n)
	}
	requireSameBits(t, whole.cos, parts.cos)
	requireSameBits(t, whole.sin, parts.sin)
}

func TestSincos(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(x float64) {
		sin, cos := sincos(x)
		wantSin, wantCos := math.Sincos(x)
		if math.Abs(sin-wantSin) > 1e-15 || math.Abs(cos-wantCos) > 1e-15 {
			t.Fatalf("sincos(%v) = %v, %v, want %v, %v", x, sin, cos, wantSin, wantCos)
		}
	}
	for _, x := range []float64{0, 1e-300, 1e-9, math.Pi / 4, math.Pi / 2, math.Pi, 3 * math.Pi / 2, 2 * math.Pi, 131071, 1 << 20, 1e9 - 1} {
		check(x)
	}
	for range 20000 {
		check(r.Float64() * 10)
		check(r.Float64() * 131072)
		check(r.Float64() * 1e9)
		check(float64(r.IntN(600000000)) * (math.Pi / 2)) // next to where the sign turns
	}
}

func TestLogAndExp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	require.Zero(t, log(1))
	require.Equal(t, 1.0, exp(0))
	for _, x := range []float64{1.5, 2, math.E, 10, 10000, 500000, 1e6, 0x1p-1022, math.MaxFloat64} {
		require.InEpsilon(t, math.Log(x), log(x), 4e-16, "log %v", x)
	}
	require.InEpsilon(t, -1074*math.Ln2, log(0x1p-1074), 4e-16, "a subnormal, for which math.Log is wrong on amd64")
	for range 20000 {
		x := math.Exp(r.Float64()*1400 - 700)
		require.InEpsilon(t, math.Log(x), log(x), 1e-15, "log %v", x)
		y := r.Float64()*1400 - 700
		require.InEpsilon(t, math.Exp(y), exp(y), 1e-15, "exp %v", y)
	}
}
