package tensor

import (
	"math"

	"github.com/limbic-go/limbic/asm"
)

// RMSNorm sets dst = x / sqrt(mean(x²) + eps) * weight (Zhang and Sennrich,
// "Root Mean Square Layer Normalization", 2019). The slices have equal length;
// dst may be x.
func RMSNorm(dst, x, weight []float32, eps float32) {
	asm.ScaleMul(dst, x, weight, rms(asm.SumSquares(x), len(x), eps))
}

// rms is what a row of n elements is multiplied by, given the sum of their
// squares.
func rms(sum float32, n int, eps float32) float32 {
	mean := sum / float32(n)
	return 1 / float32(math.Sqrt(float64(mean+eps)))
}

// RMSNormRows is RMSNorm of n rows, ds and xs floats apart.
func RMSNormRows(dst []float32, ds int, x []float32, xs, n int, weight []float32, eps float32) {
	var sums [8]float32
	width := len(weight)
	for i := 0; i < n; {
		some := sums[:min(len(sums), n-i)]
		asm.SumSquaresRows(some, x[i*xs:], xs, width)
		for _, sum := range some {
			asm.ScaleMul(dst[i*ds:][:width], x[i*xs:][:width], weight, rms(sum, width, eps))
			i++
		}
	}
}
