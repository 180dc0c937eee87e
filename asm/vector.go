package asm

import (
	"fmt"
	"math"
)

// Fold adds 16 lanes as a fixed tree: lane i+8 to lane i, then i+4, i+2, i+1.
func Fold(lanes *[16]float32) float32 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[i+half]
		}
	}
	return lanes[0]
}

func sameLength(a, b, c int) {
	if a != b || a != c {
		panic(fmt.Sprintf("asm: lengths differ: %d, %d, %d", a, b, c))
	}
}

// SumSquares is the sum of x[i]², a chain of fused multiply-adds in each of 16
// virtual lanes (see Fold).
func SumSquares(x []float32) float32 {
	var lanes [16]float32
	n := len(x) &^ 15
	if n > 0 {
		sumSquares(&lanes, x[:n])
	}
	sumSquaresGeneric(&lanes, x[n:])
	return Fold(&lanes)
}

// SumSquaresRows sets sums[r] to SumSquares(x[r*stride:][:n]). Rows side by side
// take less time than one after another.
func SumSquaresRows(sums, x []float32, stride, n int) {
	for n%16 == 0 && n > 0 && len(sums) >= 4 {
		_ = x[3*stride+n-1]
		if !sumSquaresRows(sums, x, stride, n) {
			break
		}
		sums, x = sums[4:], x[min(4*stride, len(x)):]
	}
	for r := range sums {
		sums[r] = SumSquares(x[r*stride:][:n])
	}
}

func sumSquaresGeneric(lanes *[16]float32, x []float32) {
	for i, v := range x {
		lanes[i%16] = FMA(v, v, lanes[i%16])
	}
}

// Norm is the Euclidean length of x: the square root of SumSquares.
func Norm(x []float32) float32 {
	// The float64 root of a float32 narrows to the correctly rounded one.
	return float32(math.Sqrt(float64(SumSquares(x))))
}

// Dot is the sum of x[i]*y[i], a chain of fused multiply-adds in each of 16
// virtual lanes (see Fold). The slices have equal length.
func Dot(x, y []float32) float32 {
	sameLength(len(x), len(y), len(y))
	var lanes [16]float32
	n := len(x) &^ 15
	if n > 0 {
		dot(&lanes, x[:n], y[:n])
	}
	dotGeneric(&lanes, x[n:], y[n:])
	return Fold(&lanes)
}

func dotGeneric(lanes *[16]float32, x, y []float32) {
	for i, v := range x {
		lanes[i%16] = FMA(v, y[i], lanes[i%16])
	}
}

// DotRows sets dst[c*ds+r] to Dot(rows[r*stride:][:n], x[c*xs:][:n]) for r below
// rn and c below cn. Many side by side take less time than one after another.
func DotRows(dst []float32, ds int, rows []float32, stride, rn int, x []float32, xs, cn, n int) {
	if rn <= 0 || cn <= 0 {
		return
	}
	_ = dst[(cn-1)*ds+rn-1]
	_, _ = rows[:(rn-1)*stride+n], x[:(cn-1)*xs+n]
	r := 0
	if n%16 == 0 && n > 0 {
		for ; r+4 <= rn; r += 4 {
			for c := 0; c < cn; {
				k := dotRows(dst[c*ds+r:], ds, rows[r*stride:], stride, x[c*xs:], xs, cn-c, n)
				for ; k == 0; k++ {
					dotRowsGeneric(dst[c*ds+r:], ds, rows[r*stride:], stride, 4, x[c*xs:], xs, 1, n)
				}
				c += k
			}
		}
	}
	if r < rn {
		dotRowsGeneric(dst[r:], ds, rows[r*stride:], stride, rn-r, x, xs, cn, n)
	}
}

func dotRowsGeneric(dst []float32, ds int, rows []float32, stride, rn int, x []float32, xs, cn, n int) {
	for c := range cn {
		for r := range rn {
			dst[c*ds+r] = Dot(rows[r*stride:][:n], x[c*xs:][:n])
		}
	}
}

// Finite reports whether x holds neither infinities nor NaN.
func Finite(x []float32) bool {
	n := len(x) &^ 15
	return (n == 0 || finite(x[:n])) && finiteGeneric(x[n:])
}

func finiteGeneric(x []float32) bool {
	for _, v := range x {
		if v-v != 0 { // true for NaN too
			return false
		}
	}
	return true
}

// Max is the greatest element of x, or -Inf if x is empty. A zero is positive.
func Max(x []float32) float32 {
	n := len(x) &^ 15
	m := negativeInf
	if n > 0 {
		m = maxOf(x[:n])
	}
	if n < len(x) {
		t := padded(x[n:], negativeInf)
		m = maxGeneric([]float32{m, maxOf(t[:])})
	}
	return m + 0 // -0 + 0 is +0
}

func maxGeneric(x []float32) float32 {
	m := negativeInf
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

var negativeInf = float32(math.Inf(-1))

// padded copies a tail of fewer than 16 elements to the front of 16, for
// kernels on which the padding has no effect.
func padded(x []float32, with float32) (t [16]float32) {
	for i := copy(t[:], x); i < len(t); i++ {
		t[i] = with
	}
	return t
}

// ScaleMul sets dst[i] = (x[i]*scale)*w[i], rounded after each product: the
// second half of an RMS normalisation. The slices have equal length; dst may
// be x.
func ScaleMul(dst, x, w []float32, scale float32) {
	sameLength(len(dst), len(x), len(w))
	n := len(dst) &^ 15
	if n > 0 {
		scaleMul(dst[:n], x[:n], w[:n], scale)
	}
	scaleMulGeneric(dst[n:], x[n:], w[n:], scale)
}

func scaleMulGeneric(dst, x, w []float32, scale float32) {
	for i, v := range x {
		dst[i] = float32(v*scale) * w[i]
	}
}

// Scale sets dst[i] = x[i]*by. The slices have equal length; dst may be x.
func Scale(dst, x []float32, by float32) {
	sameLength(len(dst), len(x), len(x))
	n := len(dst) &^ 15
	if n > 0 {
		scale(dst[:n], x[:n], by)
	}
	scaleGeneric(dst[n:], x[n:], by)
}

func scaleGeneric(dst, x []float32, by float32) {
	for i, v := range x {
		dst[i] = v * by
	}
}

// Add sets dst[i] += x[i]. The slices have equal length.
func Add(dst, x []float32) {
	sameLength(len(dst), len(x), len(x))
	n := len(dst) &^ 15
	if n > 0 {
		add(dst[:n], x[:n])
	}
	addGeneric(dst[n:], x[n:])
}

func addGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

// Axpy sets dst[i] = fma(a, x[i], dst[i]). The slices have equal length.
func Axpy(dst, x []float32, a float32) {
	sameLength(len(dst), len(x), len(x))
	n := len(dst) &^ 15
	if n > 0 {
		axpy(dst[:n], x[:n], a)
	}
	axpyGeneric(dst[n:], x[n:], a)
}

func axpyGeneric(dst, x []float32, a float32) {
	for i, v := range x {
		dst[i] = FMA(a, v, dst[i])
	}
}
