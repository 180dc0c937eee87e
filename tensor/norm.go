package tensor

import (
	"math"

	"github.com/limbic-go/limbic/asm"
)

// RMSNorm sets dst = x / sqrt(mean(x²) + eps) * weight (Zhang and Sennrich,
// "Root Mean Square Layer Normalization", 2019). The slices have equal length;
// dst may be x.
func RMSNorm(dst, x, weight []float32, eps float32) {
	mean := asm.SumSquares(x) / float32(len(x))
	asm.ScaleMul(dst, x, weight, 1/float32(math.Sqrt(float64(mean+eps))))
}
