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
	for _, c := range []struct {
		dim         int
		base, scale float64
		factors     []float32
	}{
		{2, 10000, 1, nil},
		{10, 10000, 0.25, nil},
		{32, 500000, 1, nil},
		{8, 1e6, 1, []float32{1, 2.5, 8, 32}},
		{128, 1e7, 1, nil},
		{8, 1, 1, nil}, // every pair turns alike
	} {
		t.Run(fmt.Sprintf("%d dimensions, base %v", c.dim, c.base), func(t *testing.T) {
			r := NewRope(c.dim, c.base, c.scale, c.factors)
			last := 131071
			if c.dim > 10 {
				last = 5000 // the table would be large
			}
			r.Extend(last + 1)
			x := make([]float32, c.dim+1)
			for pos := 0; pos <= last; pos += 1 + pos/9 {
				for i := range c.dim / 2 {
					angle := float64(pos) * math.Pow(c.base, -2*float64(i)/float64(c.dim)) * c.scale
					if c.factors != nil {
						angle /= float64(c.factors[i])
					}
					sin, cos := math.Sincos(angle)
					clear(x)
					x[2*i], x[2*i+1], x[c.dim] = 3, 4, 5
					r.RotatePairs(x, pos)
					require.InDelta(t, 3*cos-4*sin, float64(x[2*i]), 1e-6, "position %d pair %d", pos, i)
					require.InDelta(t, 3*sin+4*cos, float64(x[2*i+1]), 1e-6, "position %d pair %d", pos, i)
					require.Equal(t, float32(5), x[c.dim], "what is not rotated stays")
				}
			}
		})
	}
}

// The table is the same however it grew.
func TestRopeGrows(t *testing.T) {
	whole, parts := NewRope(6, 10000, 1, nil), NewRope(6, 10000, 1, nil)
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
