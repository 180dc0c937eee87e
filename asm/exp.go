package asm

import "math"

// The constants of Exp. expLow is the argument below which the result is 0:
// down to it the scaled polynomial stays a normal float32. Above expHigh the
// argument is clamped. The polynomial is a minimax fit of (exp(r)-1-r)/r² on
// |r| ≤ ln2/2 with a relative error of 3e-9 before rounding.
const (
	expLow   = -86.5
	expHigh  = 88
	expMagic = 3 << 22 // adding it leaves the nearest integer in the low bits
)

var (
	expLog2e = math.Float32frombits(0x3fb8aa3b)
	expLn2hi = math.Float32frombits(0x3f317200)
	expLn2lo = math.Float32frombits(0x35bfbe8e)
	expPoly  = [...]float32{
		math.Float32frombits(0x3ab511ab),
		math.Float32frombits(0x3c091d36),
		math.Float32frombits(0x3d2aac7a),
		math.Float32frombits(0x3e2aaa48),
		math.Float32frombits(0x3efffffe),
	}
)

// Exp is e to the power x, the same bits on every machine. Its error is below
// 1.2 units in the last place for x in [-86.5, 88]. Below that it gives 0
// (the true value is under 2.7e-38), above it gives Exp(88); NaN gives 0.
func Exp(x float32) float32 {
	if !(x >= expLow) {
		return 0
	}
	x = min(x, expHigh)
	t := float32(x*expLog2e) + expMagic
	n := t - expMagic
	r := FMA(-expLn2hi, n, x)
	r = FMA(-expLn2lo, n, r)
	q := expPoly[0]
	for _, c := range expPoly[1:] {
		q = FMA(q, r, c)
	}
	p := FMA(q, float32(r*r), r) + 1
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(t)<<23)
}

// ExpSum replaces x[i] by e = Exp(x[i]*scale - shift), rounded after each
// step, and returns the sum of all e in 16 virtual lanes (see Fold). With
// shift the largest x[i]*scale it is the numerator and the denominator of a
// softmax.
func ExpSum(x []float32, scale, shift float32) float32 {
	var lanes [16]float32
	n := len(x) &^ 15
	if n > 0 {
		expSum(&lanes, x[:n], scale, shift)
	}
	switch tail := x[n:]; {
	case len(tail) == 0:
	case scale > 0:
		// Exp(-Inf) is +0, and adding that changes no lane.
		t := padded(tail, negativeInf)
		expSum(&lanes, t[:], scale, shift)
		copy(tail, t[:])
	default:
		expSumGeneric(&lanes, tail, scale, shift)
	}
	return Fold(&lanes)
}

func expSumGeneric(lanes *[16]float32, x []float32, scale, shift float32) {
	for i, v := range x {
		e := Exp(float32(v*scale) - shift)
		x[i] = e
		lanes[i%16] += e
	}
}

// Softmax replaces x[i] by Exp(x[i]*scale - shift), with shift the greatest
// x[i]*scale, and returns the sum: a softmax's numerators and denominator, as
// ExpSum(x, scale, float32(Max(x)*scale)) gives them. The scale is positive.
func Softmax(x []float32, scale float32) float32 {
	if len(x) > 0 && scale > 0 {
		if sum, ok := softmax(x, scale); ok {
			return sum
		}
	}
	return ExpSum(x, scale, float32(Max(x)*scale))
}

// SiLUMul sets dst[i] = gate[i]/(1+Exp(-gate[i])) * up[i]: the gated unit of
// Llama's feed-forward blocks (Shazeer, "GLU Variants Improve Transformer",
// 2020). The slices have equal length and may be the same.
func SiLUMul(dst, gate, up []float32) {
	sameLength(len(dst), len(gate), len(up))
	n := len(dst) &^ 15
	if n > 0 {
		siluMul(dst[:n], gate[:n], up[:n])
	}
	if n < len(dst) {
		g, u := padded(gate[n:], 0), padded(up[n:], 0)
		siluMul(g[:], g[:], u[:])
		copy(dst[n:], g[:])
	}
}

func siluMulGeneric(dst, gate, up []float32) {
	for i, g := range gate {
		dst[i] = float32(g/(1+Exp(-g))) * up[i]
	}
}
