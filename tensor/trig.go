package tensor

import "math"

// The functions of this file replace those of package math where a result
// reaches the model: math's differ between architectures in the last bit.
// They use only additions, multiplications and divisions in a fixed order,
// with every product rounded explicitly, so that none is fused but by math.FMA,
// which is exact everywhere.

// sincos gives the sine and cosine of x, 0 <= x < 1e9, with an absolute error
// below 1e-15: far below the last bit of the float32 that they are rounded to.
func sincos(x float64) (sin, cos float64) {
	// x = n*π/2 + r, with π/2 in three parts of 33 bits each (Cody and Waite).
	// Fused, because n times a part is exact in float64 only up to n = 2^20.
	const (
		pio2a = 1.57079632673412561417e+00
		pio2b = 6.07710050630396597660e-11
		pio2c = 2.02226624879595063154e-21
	)
	n := math.Floor(float64(x*(2/math.Pi)) + 0.5)
	r := math.FMA(-n, pio2a, x)
	r = math.FMA(-n, pio2b, r)
	r = math.FMA(-n, pio2c, r)
	z := float64(r * r)
	// Taylor series on |r| <= π/4: the first term left out is below 1e-15.
	s, c := 0.0, 0.0
	for i := 8; i >= 1; i-- {
		k := float64(2 * i)
		s = float64((1+s)*z) / -float64(k*(k+1))
		c = float64((1+c)*z) / -float64(k*(k-1))
	}
	s, c = r+float64(r*s), 1+c
	switch int64(n) & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	default:
		return -c, s
	}
}

// log is the natural logarithm of a positive, finite x.
func log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	// ln m = 2 artanh((m-1)/(m+1)); |s| <= 0.172, and s^33/33 is below 1e-26.
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	sum := 0.0
	for k := 31; k >= 1; k -= 2 {
		sum = 1/float64(k) + float64(z*sum)
	}
	return float64(2*s*sum) + float64(float64(e)*math.Ln2)
}

// exp is e to the power x for |x| < 700.
func exp(x float64) float64 {
	n := math.Floor(float64(x/math.Ln2) + 0.5)
	r := x - float64(n*6.93147180369123816490e-01)
	r -= float64(n * 1.90821492927058770002e-10)
	// Taylor series on |r| <= 0.35: the first term left out is below 1e-17.
	sum := 1.0
	for k := 14; k >= 1; k-- {
		sum = 1 + float64(r*sum)/float64(k)
	}
	return math.Ldexp(sum, int(n))
}
