package experiment

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRidgeOneFeature(t *testing.T) {
	// Features -1 and 1 are standardised already, so that B = Σzy/(n + λ).
	features := [][]float64{{-1}, {1}, {-1}, {1}}
	r, err := fitRidge(features, []float32{1, 5, 3, 7}, 1, 0.25)
	require.NoError(t, err)
	require.InDelta(t, (-1+5-3+7)/(4+1.0), r.coef.At(0, 0), 1e-12)
	require.InDeltaSlice(t, []float32{8.4}, r.residual([]float64{1}, []float32{10}), 1e-6)
	require.InDeltaSlice(t, []float32{10}, r.residual([]float64{0}, []float32{10}), 1e-6)
	// Centred activations -3 1 -1 3, predictions ±1.6.
	require.InDelta(t, 1-(1.4*1.4+0.6*0.6+0.6*0.6+1.4*1.4)/20, r.explained, 1e-12)
}

func TestRidgeNormalEquations(t *testing.T) {
	const n, p, width, share = 40, 6, 3, 0.05
	rng := rand.New(rand.NewPCG(1, 1))
	features := make([][]float64, n)
	var y []float32
	for i := range features {
		for range p - 1 {
			features[i] = append(features[i], 3*rng.NormFloat64()+1)
		}
		features[i] = append(features[i], features[i][0]) // collinear
		for j := range width {
			y = append(y, float32(features[i][j]-2*features[i][4]+rng.NormFloat64()))
		}
	}
	r, err := fitRidge(features, y, width, share)
	require.NoError(t, err)
	for a := range p {
		for j := range width {
			mean := 0.0
			for i := range n {
				mean += float64(y[i*width+j]) / n
			}
			// (ZᵀZ + λI)B = ZᵀY, row a, column j.
			left, right := share*n*r.coef.At(a, j), 0.0
			for i := range n {
				z := r.scaling.apply(features[i])
				right += z[a] * (float64(y[i*width+j]) - mean)
				for b := range p {
					left += z[a] * z[b] * r.coef.At(b, j)
				}
			}
			require.InDelta(t, right, left, 1e-9)
		}
	}
	for j := range width {
		require.InDelta(t, r.coef.At(0, j), r.coef.At(p-1, j), 1e-9, "equal features share their weight")
	}
}

// TestRidgeRecovers takes a strong confound out almost completely.
func TestRidgeRecovers(t *testing.T) {
	const n = 500
	rng := rand.New(rand.NewPCG(2, 1))
	var features [][]float64
	var y []float32
	for range n {
		x := rng.NormFloat64()
		features = append(features, []float64{x})
		y = append(y, float32(10*x+rng.NormFloat64()))
	}
	r, err := fitRidge(features, y, 1, 1e-6)
	require.NoError(t, err)
	require.InDelta(t, 100.0/101, r.explained, 0.005)
	slope := 0.0
	for i := range n {
		slope += r.scaling.apply(features[i])[0] * float64(r.residual(features[i], y[i:i+1])[0]) / n
	}
	require.Less(t, math.Abs(slope), 1e-4)
}
