package probe

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/limbic-go/limbic/asm"
)

// siteSums is what a build adds up at one site.
type siteSums struct {
	// byHand holds the sum of story means of each emotion and hand:
	// [emotion][hand].
	byHand [][]Sum
	// neutral is the sum of neutral texts' means, and texts those means.
	neutral Sum
	texts   [][]float32
	norms   Norms
}

// derive computes a site's vectors from its sums, centred within hands if
// centre is set.
func (s *siteSums) derive(width int, threshold float64, centre bool) (SiteVectors, error) {
	emotions := len(s.byHand)
	v := SiteVectors{
		ByForm: map[Form][]float32{},
		Norm: Calibration{
			Mean: s.norms.Mean(), Median: s.norms.Quantile(0.5), P99: s.norms.Quantile(0.99), N: int(s.norms.N()),
		},
	}

	means := make([][]float64, emotions)
	for e, sums := range s.byHand {
		var all Sum
		for h := range sums {
			if err := all.Merge(&sums[h]); err != nil {
				return v, err
			}
		}
		if all.N == 0 {
			return v, fmt.Errorf("probe: no story of emotion %d was long enough to pool", e)
		}
		means[e] = all.mean64(width)
	}
	grand := columnMean(means, width)
	v.Grand = narrow(grand)
	v.ByForm[RawMean] = flatten(means, nil)
	v.ByForm[PlainContrast] = flatten(means, grand)
	v.ByForm[Contrast] = v.ByForm[PlainContrast]
	if centre {
		centred, err := s.withinHands(means, width)
		if err != nil {
			return v, err
		}
		v.ByForm[Contrast] = flatten(centred, columnMean(centred, width))
	}

	if s.neutral.N > 0 {
		v.NeutralMean = map[Format][]float32{FormatRaw: narrow(s.neutral.mean64(width))}
	}
	var err error
	if v.Basis, v.Shares, err = leadingComponents(s.texts, width, threshold); err != nil {
		return v, err
	}
	v.ByForm[Denoised] = without(v.ByForm[Contrast], v.Basis, width)
	v.ByForm[PlainDenoised] = without(v.ByForm[PlainContrast], v.Basis, width)
	return v, nil
}

// withinHands gives the mean of each emotion's stories, each minus the mean of
// the hand that wrote it. means are the emotions' means.
func (s *siteSums) withinHands(means [][]float64, width int) ([][]float64, error) {
	hands := make([]Sum, len(s.byHand[0]))
	for _, sums := range s.byHand {
		for h := range sums {
			if err := hands[h].Merge(&sums[h]); err != nil {
				return nil, err
			}
		}
	}
	handMeans := make([][]float64, len(hands))
	for h := range hands {
		handMeans[h] = hands[h].mean64(width)
	}
	centred := make([][]float64, len(means))
	for e, sums := range s.byHand {
		offset := make([]float64, width)
		n := 0.0
		for h := range sums {
			weight := float64(sums[h].N)
			n += weight
			if weight == 0 {
				continue
			}
			for i := range offset {
				offset[i] += float64(weight * handMeans[h][i])
			}
		}
		centred[e] = make([]float64, width)
		for i := range offset {
			centred[e][i] = means[e][i] - offset[i]/n
		}
	}
	return centred, nil
}

// mean64 is the mean of the sum's vectors in float64; zero where it is empty.
func (s *Sum) mean64(width int) []float64 {
	m := make([]float64, width)
	for i, f := range s.Components {
		if s.N > 0 {
			m[i] = f.Mean(s.N)
		}
	}
	return m
}

func columnMean(rows [][]float64, width int) []float64 {
	m := make([]float64, width)
	for _, r := range rows {
		for i, x := range r {
			m[i] += x
		}
	}
	for i := range m {
		m[i] /= float64(len(rows))
	}
	return m
}

// flatten puts rows, minus an offset if there is one, into one float32 slice.
func flatten(rows [][]float64, offset []float64) []float32 {
	var out []float32
	for _, r := range rows {
		for i, x := range r {
			if offset != nil {
				x -= offset[i]
			}
			out = append(out, float32(x))
		}
	}
	return out
}

func narrow(x []float64) []float32 { return flatten([][]float64{x}, nil) }

// maxShares is how many shares of variance are kept for the report.
const maxShares = 32

// leadingComponents finds the fewest principal components of the texts' means,
// centred, that hold a share of their variance: orthonormal rows [k, width].
// It also gives the shares of the largest components. With fewer than two
// texts there are none.
func leadingComponents(texts [][]float32, width int, threshold float64) (basis []float32, shares []float64, err error) {
	n := len(texts)
	if n < 2 || threshold <= 0 {
		return nil, nil, nil
	}
	x := mat.NewDense(n, width, nil)
	for j := range width {
		sum := 0.0
		for _, t := range texts {
			sum += float64(t[j])
		}
		mean := sum / float64(n)
		for i, t := range texts {
			x.Set(i, j, float64(t[j])-mean)
		}
	}
	// The smaller of the two matrices that share their nonzero eigenvalues:
	// covariances between dimensions, or inner products between texts.
	var product mat.SymDense
	small := n < width
	if small {
		product.SymOuterK(1, x)
	} else {
		product.SymOuterK(1, x.T())
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(&product, true) {
		return nil, nil, fmt.Errorf("probe: the principal components of the neutral texts did not converge")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total := 0.0
	for _, l := range values {
		total += max(l, 0)
	}
	if total == 0 {
		return nil, nil, nil
	}
	reached := 0.0
	for c := len(values) - 1; c >= 0 && len(shares) < maxShares; c-- {
		share := max(values[c], 0) / total
		if reached < threshold && share > 0 {
			direction := mat.NewVecDense(width, nil)
			if small {
				direction.MulVec(x.T(), vectors.ColView(c))
			} else {
				direction.CopyVec(vectors.ColView(c))
			}
			direction.ScaleVec(1/mat.Norm(direction, 2), direction)
			basis = append(basis, narrow(signed(direction.RawVector().Data))...)
		}
		reached += share
		shares = append(shares, share)
	}
	return basis, shares, nil
}

// signed turns a direction so that its largest component is positive: an
// eigenvector's sign is arbitrary.
func signed(v []float64) []float64 {
	largest := 0
	for i, x := range v {
		if math.Abs(x) > math.Abs(v[largest]) {
			largest = i
		}
	}
	if v[largest] < 0 {
		for i := range v {
			v[i] = -v[i]
		}
	}
	return v
}

// without removes the components along the orthonormal rows of basis from each
// row of m.
func without(m, basis []float32, width int) []float32 {
	out := make([]float32, len(m))
	row := make([]float64, width)
	for at := 0; at < len(m); at += width {
		for i, x := range m[at : at+width] {
			row[i] = float64(x)
		}
		for b := 0; b < len(basis); b += width {
			dot := 0.0
			for i, x := range basis[b : b+width] {
				dot += float64(float64(x) * row[i])
			}
			for i, x := range basis[b : b+width] {
				row[i] -= float64(dot * float64(x))
			}
		}
		copy(out[at:], narrow(row))
	}
	return out
}

// projections collects the projections of stories' means on unit vectors.
type projections struct {
	units [][]float32 // [emotion]
	rows  []projectionRow
}

type projectionRow struct {
	unit   int
	values []float32 // [emotion]
}

func newProjections(vectors []float32, width int) *projections {
	p := &projections{}
	for at := 0; at < len(vectors); at += width {
		p.units = append(p.units, Unit(vectors[at:at+width]))
	}
	return p
}

func (p *projections) add(unit int, mean []float32) {
	values := make([]float32, len(p.units))
	for e, u := range p.units {
		values[e] = asm.Dot(mean, u)
	}
	p.rows = append(p.rows, projectionRow{unit, values})
}

// moments gives the mean and the standard deviation (n-1) of each projection,
// computed in two passes in the order of stories.
func (p *projections) moments() (mean, sd []float32) {
	slices.SortFunc(p.rows, func(a, b projectionRow) int { return a.unit - b.unit })
	n := float64(len(p.rows))
	for e := range p.units {
		m, v := 0.0, 0.0
		for _, r := range p.rows {
			m += float64(r.values[e])
		}
		m /= n
		for _, r := range p.rows {
			d := float64(r.values[e]) - m
			v += float64(d * d)
		}
		mean = append(mean, float32(m))
		sd = append(sd, float32(math.Sqrt(v/max(n-1, 1))))
	}
	return mean, sd
}
