package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRMSNorm(t *testing.T) {
	for _, n := range []int{1, 2, 15, 16, 17, 64, 1000} {
		for _, size := range []float32{1, 1e-6, 1e6} { // the epsilon decides, or is nothing
			t.Run(fmt.Sprintf("%d elements of size %v", n, size), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(n), 3))
				x, w := randomFloats(r, n), randomFloats(r, n)
				squares := 0.0
				for i := range x {
					x[i] *= size
					squares += float64(x[i]) * float64(x[i])
				}
				const eps = 1e-6
				var want []float64
				for i, v := range x {
					want = append(want, float64(v)/math.Sqrt(squares/float64(n)+eps)*float64(w[i]))
				}
				got := make([]float32, n)
				RMSNorm(got, x, w, eps)
				require.Less(t, relativeError(t, want, got), 3e-7)
				RMSNorm(x, x, w, eps) // in place
				requireSameBits(t, got, x)
			})
		}
	}
}
