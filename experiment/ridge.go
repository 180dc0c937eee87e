package experiment

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// A ridge predicts activations from features: activation ≈ mean + Bᵀ·z with z
// the standardised features. B minimises Σ|y − Bᵀz|² + λ|B|² over the texts it
// was fitted to, y being the centred activations: B = (ZᵀZ + λI)⁻¹ZᵀY.
type ridge struct {
	scaling scaling
	coef    *mat.Dense // [features, width]
	// explained is the share of the activations' variance that the fit
	// explains where it was fitted.
	explained float64
}

// fitRidge fits to n rows of features and activations [n, width], with
// λ = share·n: as standardised features have n on the diagonal of ZᵀZ, share
// is how much a coefficient of a lone feature shrinks.
func fitRidge(features [][]float64, means []float32, width int, share float64) (*ridge, error) {
	n := len(features)
	r := &ridge{scaling: fitScaling(features)}
	p := len(features[0])
	z := mat.NewDense(n, p, nil)
	for i, row := range features {
		z.SetRow(i, r.scaling.apply(row))
	}
	y := mat.NewDense(n, width, nil)
	total := 0.0
	for j := range width {
		mean := 0.0
		for i := range n {
			mean += float64(means[i*width+j]) / float64(n)
		}
		for i := range n {
			d := float64(means[i*width+j]) - mean
			y.Set(i, j, d)
			total += float64(d * d)
		}
	}
	gram := mat.NewSymDense(p, nil)
	gram.SymOuterK(1, z.T())
	for j := range p {
		gram.SetSym(j, j, gram.At(j, j)+share*float64(n))
	}
	var chol mat.Cholesky
	if !chol.Factorize(gram) {
		return nil, fmt.Errorf("experiment: the ridge regression on %d features is singular: use a larger penalty than %v", p, share)
	}
	var product mat.Dense
	product.Mul(z.T(), y)
	r.coef = new(mat.Dense)
	// The condition number is bounded by the penalty; an error here is a
	// warning about it.
	if err := chol.SolveTo(r.coef, &product); err != nil {
		return nil, fmt.Errorf("experiment: ridge regression on %d features with penalty %v: %w", p, share, err)
	}
	var fitted mat.Dense
	fitted.Mul(z, r.coef)
	rest := 0.0
	for i := range n {
		for j := range width {
			d := y.At(i, j) - fitted.At(i, j)
			rest += float64(d * d)
		}
	}
	if total > 0 {
		r.explained = 1 - rest/total
	}
	return r, nil
}

// residual takes from an activation what its features predict beyond the mean
// of the texts that the ridge was fitted to.
func (r *ridge) residual(features []float64, h []float32) []float32 {
	z := mat.NewVecDense(len(features), r.scaling.apply(features))
	var predicted mat.VecDense
	predicted.MulVec(r.coef.T(), z)
	out := make([]float32, len(h))
	for i, x := range h {
		out[i] = float32(float64(x) - predicted.AtVec(i))
	}
	return out
}
