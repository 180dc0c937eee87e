package asm

// GELUMul sets dst[i] = g/(1+Exp(-2u)) * up[i] for g = gate[i] and
// u = √(2/π)(g + 0.044715 g³): the gated unit of Gemma's feed-forward blocks,
// GELU in its tanh form (Hendrycks and Gimpel, "Gaussian Error Linear Units",
// 2016), since (1+tanh(u))/2 = 1/(1+e^(-2u)). The slices have equal length and
// may be the same. The error of the unit is below 2e-7·|g|.
func GELUMul(dst, gate, up []float32) {
	sameLength(len(dst), len(gate), len(up))
	n := len(dst) &^ 15
	if n > 0 {
		geluMul(dst[:n], gate[:n], up[:n])
	}
	if n < len(dst) {
		g, u := padded(gate[n:], 0), padded(up[n:], 0)
		geluMul(g[:], g[:], u[:])
		copy(dst[n:], g[:])
	}
}

func geluMulGeneric(dst, gate, up []float32) {
	for i, g := range gate {
		const a, b = -1.5957691216057308, -1.5957691216057308 * 0.044715 // -2√(2/π)
		e := Exp(g * (float32(float32(g*g)*b) + a))
		dst[i] = float32(g/(1+e)) * up[i]
	}
}

// SoftCap sets x[i] = limit*tanh(x[i]*scale), which stays between -limit and
// limit; with scale 1/limit it is about x[i] where that is small (Bello et al.,
// "Neural Combinatorial Optimization with Reinforcement Learning", 2016). The
// relative error of the hyperbolic tangent is below 3e-7.
func SoftCap(x []float32, scale, limit float32) {
	n := len(x) &^ 15
	if n > 0 {
		softCap(x[:n], scale, limit)
	}
	if n < len(x) {
		t := padded(x[n:], 0)
		softCap(t[:], scale, limit)
		copy(x[n:], t[:])
	}
}

func softCapGeneric(x []float32, scale, limit float32) {
	for i, v := range x {
		y := v * scale
		x[i] = limit * tanh(y, Exp(2*abs(y)))
	}
}

// tanh is the hyperbolic tangent of y, given e = Exp(2|y|).
func tanh(y, e float32) float32 {
	if a := abs(y); a < 0.625 {
		// Near 0 the quotient below cancels. This is Lambert's continued
		// fraction y/(1 + y²/(3 + y²/(5 + …))), cut after 11: the part left out is
		// below 1e-9 of it.
		z := float32(y * y)
		p := float32((float32((float32(z*21)+1260)*z) + 10395) * y)
		q := float32((float32((z+210)*z)+4725)*z) + 10395
		return p / q
	}
	t := 1 - 2/(e+1)
	switch {
	case y > 0:
		return t
	case y < 0:
		return -t
	}
	return y // not a number: it must not be hidden
}

func abs(x float32) float32 {
	if x < 0 {
		return -x
	}
	return x
}
