package asm

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// exactFMA computes x*y + z with unbounded precision and rounds once.
func exactFMA(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(2000).SetFloat64(float64(x))
	p.Mul(p, new(big.Float).SetFloat64(float64(y)))
	p.Add(p, new(big.Float).SetFloat64(float64(z)))
	r, _ := p.Float32()
	return r
}

// specials are the values at which a float32 kernel is likely to go wrong.
var specials = []float32{
	0, 1, -1, 0.5, 1 + 1.0/(1<<23), 1 - 1.0/(1<<24), 3, 1.0 / 3,
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
	1.17549435e-38, -1.17549421e-38, // the smallest normal, the largest subnormal
	1e-20, -1e-20, 1e19, -1e19, math.MaxFloat32, -math.MaxFloat32, 1 << 24, 1<<24 - 1,
}

func TestFMARoundsOnce(t *testing.T) {
	check := func(x, y, z float32) {
		got, want := FMA(x, y, z), exactFMA(x, y, z)
		// big.Float has no sign for an exact zero sum.
		if got != want {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	}
	for _, x := range specials {
		for _, y := range specials {
			for _, z := range specials {
				check(x, y, z)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 30_000 {
		// Any bits, and sums whose float64 rounding lands on a midpoint.
		x, y, z := anyFloat(r), anyFloat(r), anyFloat(r)
		check(x, y, z)
		x = math.Float32frombits(r.Uint32()&0x7fff | 0x3f800000)
		y = math.Float32frombits(r.Uint32()&0x7f00 | 0x3f800000)
		z = float32(math.Ldexp(float64(r.IntN(1<<24)), 5+r.IntN(40)))
		check(x, y, z)
		check(x, y, -z)
	}
}

func TestFMASpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	require.Equal(t, inf, FMA(inf, 1, 0))
	require.Equal(t, -inf, FMA(math.MaxFloat32, -2, 0))
	require.True(t, math.IsNaN(float64(FMA(inf, 0, 1))))
	negativeZero := float32(math.Copysign(0, -1))
	require.Equal(t, uint32(1<<31), math.Float32bits(FMA(negativeZero, 1, negativeZero)))
	require.Equal(t, uint32(0), math.Float32bits(FMA(1, 1, -1)))
}

// anyFloat is a finite float32 with random bits.
func anyFloat(r *rand.Rand) float32 {
	for {
		if f := math.Float32frombits(r.Uint32()); f-f == 0 {
			return f
		}
	}
}

func FuzzFMA(f *testing.F) {
	f.Add(float32(1.5), float32(1+1.0/(1<<23)), float32(1<<24))
	f.Fuzz(func(t *testing.T, x, y, z float32) {
		if x-x != 0 || y-y != 0 || z-z != 0 {
			return
		}
		if got, want := FMA(x, y, z), exactFMA(x, y, z); got != want {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	})
}

func BenchmarkFMA(b *testing.B) {
	x := float32(1.0001)
	acc := float32(0)
	for b.Loop() {
		acc = FMA(acc, x, x)
	}
	_ = acc
}
