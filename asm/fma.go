package asm

import "math"

// FMA is the fused multiply-add x*y + z of float32, rounded once to nearest
// even, as the instructions of every supported processor compute it.
//
// The product of two float32 is exact in float64. Adding z rounds to float64
// and narrowing rounds again, which goes wrong only where the first rounding
// lands on the midpoint of two float32 (or where the result is subnormal and
// midpoints lie elsewhere). Then the sum is formed again with rounding to odd,
// after which the second rounding is innocuous (Boldo and Melquiond,
// "Emulation of FMA and correctly rounded sums", 2008).
func FMA(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	const (
		low      = 1<<29 - 1 // bits of a float64 below a float32's last
		midpoint = 1 << 28
		// Exponents (biased) of results well inside float32's normal range.
		smallest = 1023 - 125
		largest  = 1023 + 127
	)
	b := math.Float64bits(s)
	if e := b >> 52 & 0x7ff; b&low != midpoint && e >= smallest && e <= largest || s == 0 {
		return float32(s)
	}
	return float32(addToOdd(p, float64(z)))
}

// addToOdd is a+b rounded to odd: where the sum is inexact, its last bit is 1.
func addToOdd(a, b float64) float64 {
	s := a + b
	if math.IsInf(s, 0) || math.IsNaN(s) {
		return s
	}
	// TwoSum (Knuth): s + e is a+b exactly. Only additions, nothing to fuse.
	t := s - a
	e := (a - (s - t)) + (b - t)
	if bits := math.Float64bits(s); e != 0 && bits&1 == 0 {
		// Step one unit toward the error; s is not 0 here, as a float64 sum
		// that rounds to 0 is exact.
		if (e > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		return math.Float64frombits(bits)
	}
	return s
}
