package asm

// gateChunk is how many elements GELUMul and SoftCap hand to a kernel at a time.
const gateChunk = 256

// GELUMul sets dst[i] = g/(1+Exp(-2u)) * up[i] for g = gate[i] and
// u = √(2/π)(g + 0.044715 g³): the gated unit of Gemma's feed-forward blocks,
// GELU in its tanh form (Hendrycks and Gimpel, "Gaussian Error Linear Units",
// 2016), since (1+tanh(u))/2 = 1/(1+e^(-2u)). The slices have equal length and
// may be the same. The error of the unit is below 2e-7·|g|.
func GELUMul(dst, gate, up []float32) {
	sameLength(len(dst), len(gate), len(up))
	var buf [gateChunk]float32
	for len(dst) > 0 {
		n := min(gateChunk, len(dst))
		e := buf[:n]
		for i, g := range gate[:n] {
			const a, b = -1.5957691216057308, -1.5957691216057308 * 0.044715 // -2√(2/π)
			e[i] = g * (float32(float32(g*g)*b) + a)
		}
		ExpSum(e, 1, 0) // only for the exponentials, which it leaves in e
		for i, g := range gate[:n] {
			dst[i] = float32(g/(1+e[i])) * up[i]
		}
		dst, gate, up = dst[n:], gate[n:], up[n:]
	}
}

// SoftCap sets x[i] = limit*tanh(x[i]*scale), which stays between -limit and
// limit; with scale 1/limit it is about x[i] where that is small (Bello et al.,
// "Neural Combinatorial Optimization with Reinforcement Learning", 2016). The
// relative error of the hyperbolic tangent is below 3e-7.
func SoftCap(x []float32, scale, limit float32) {
	var args, buf [gateChunk]float32
	for len(x) > 0 {
		n := min(gateChunk, len(x))
		ys, e := args[:n], buf[:n]
		for i, v := range x[:n] {
			ys[i] = v * scale
			e[i] = 2 * abs(ys[i])
		}
		ExpSum(e, 1, 0)
		for i, y := range ys {
			x[i] = limit * tanh(y, e[i])
		}
		x = x[n:]
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
