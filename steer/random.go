package steer

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/limbic-go/limbic/probe"
)

// RandomDirections draws n isotropic unit vectors: Gaussian vectors, scaled to
// length 1. Direction i depends on seed, i and width alone, and has the same
// bits on every machine: only operations that IEEE 754 rounds correctly take
// part, none of package math's functions and not the ziggurat of math/rand,
// which use logarithms.
func RandomDirections(seed uint64, n, width int) [][]float32 {
	directions := make([][]float32, n)
	for i := range directions {
		g := gaussian{src: rand.NewPCG(seed, uint64(i))}
		x := make([]float32, width)
		for j := range x {
			x[j] = float32(g.next())
		}
		directions[i] = probe.Unit(x)
	}
	return directions
}

// gaussian draws from the standard normal distribution, in pairs: a direction
// in the plane from a point in the unit disk (Marsaglia, 1964), and a radius
// whose square is twice an exponential variate.
type gaussian struct {
	src   *rand.PCG
	spare float64
	has   bool
}

func (g *gaussian) next() float64 {
	if g.has {
		g.has = false
		return g.spare
	}
	for {
		// 54 bits with a sign, over 2^53: in [-1, 1), exact.
		u := float64(int64(g.src.Uint64())>>10) / (1 << 53)
		v := float64(int64(g.src.Uint64())>>10) / (1 << 53)
		// Products are converted so that no compiler fuses them into the sum.
		s := float64(u*u) + float64(v*v)
		if s == 0 || s >= 1 {
			continue
		}
		radius := math.Sqrt(2 * g.exponential() / s)
		g.spare, g.has = v*radius, true
		return u * radius
	}
}

// exponential draws from the exponential distribution of mean 1 by comparing
// uniform numbers (von Neumann, 1951): in a run that descends for as long as it
// can, from u, an odd length has probability e^-u.
func (g *gaussian) exponential() float64 {
	for whole := 0.0; ; whole++ {
		first := g.src.Uint64() >> 11
		last, odd := first, true
		for {
			next := g.src.Uint64() >> 11
			if next >= last {
				break
			}
			last, odd = next, !odd
		}
		if odd {
			return whole + float64(first)/(1<<53)
		}
	}
}

// Permuted gives v with its coordinates in a random order: a control of the
// same length and the same distribution of coordinates, outliers included.
func Permuted(v []float32, seed uint64) []float32 {
	src := rand.NewPCG(seed, 0)
	p := append([]float32(nil), v...)
	for i := len(p) - 1; i > 0; i-- {
		// The high word is uniform over 0 to i, up to i/2^64.
		j, _ := bits.Mul64(src.Uint64(), uint64(i)+1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// WithoutSubspace gives the part of a direction that is orthogonal to all of
// some vectors, such as all emotions', scaled to length 1. It is an error where
// lengths differ, and where nothing is left.
func WithoutSubspace(direction []float32, vectors [][]float32) ([]float32, error) {
	var basis [][]float64
	for i, v := range vectors {
		if len(v) != len(direction) {
			return nil, fmt.Errorf("steer: vector %d has %d elements, the direction %d", i, len(v), len(direction))
		}
		if x, ok := orthogonal(v, basis); ok {
			basis = append(basis, x)
		}
	}
	x, ok := orthogonal(direction, basis)
	if !ok {
		return nil, errors.New("steer: nothing of the direction is left outside the subspace")
	}
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out, nil
}

// orthogonal is the unit vector along the part of v outside the span of an
// orthonormal basis; false where that part is no more than rounding.
func orthogonal(v []float32, basis [][]float64) ([]float64, bool) {
	x := make([]float64, len(v))
	for i, e := range v {
		x[i] = float64(e)
	}
	before := math.Sqrt(dot(x, x))
	for _, b := range basis { // modified Gram–Schmidt
		c := dot(x, b)
		for i := range x {
			x[i] -= float64(c * b[i])
		}
	}
	after := math.Sqrt(dot(x, x))
	// float32 has 24 bits. A remainder above this is orthogonal to about
	// 1e-16/1e-6, far below them.
	if !(after > 1e-6*before) {
		return nil, false
	}
	for i := range x {
		x[i] /= after
	}
	return x, true
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x * b[i])
	}
	return sum
}
