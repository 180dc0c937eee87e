package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/limbic-go/limbic/emotion"
)

// A gram holds the inner products of n vectors, [n][n]. All geometry follows
// from it, so that its cost does not depend on the width of the vectors.
type gram [][]float64

// gramOf computes inner products in float64, in the order of the columns.
func gramOf[T float32 | float64](rows [][]T) gram {
	g := newGram(len(rows))
	for i, a := range rows {
		for j := range i + 1 {
			sum := 0.0
			for k, x := range rows[j] {
				sum += float64(float64(a[k]) * float64(x))
			}
			g[i][j], g[j][i] = sum, sum
		}
	}
	return g
}

func newGram(n int) gram {
	g := make(gram, n)
	for i := range g {
		g[i] = make([]float64, n)
	}
	return g
}

// cosines is the Gram matrix of the vectors scaled to length 1; zero vectors
// stay zero.
func cosines(g gram) gram {
	out := newGram(len(g))
	for i := range g {
		for j := range g {
			if n := math.Sqrt(g[i][i]) * math.Sqrt(g[j][j]); n > 0 {
				out[i][j] = g[i][j] / n
			}
		}
	}
	return out
}

// centred is the Gram matrix of the vectors minus their mean.
func (g gram) centred() gram {
	n := float64(len(g))
	means, all := make([]float64, len(g)), 0.0
	for i, row := range g {
		for _, x := range row {
			means[i] += x / n
		}
		all += means[i] / n
	}
	out := newGram(len(g))
	for i := range g {
		for j := range g {
			out[i][j] = g[i][j] - means[i] - means[j] + all
		}
	}
	return out
}

// upper lists what stands above the diagonal.
func upper(g gram) []float64 {
	var out []float64
	for i, row := range g {
		out = append(out, row[i+1:]...)
	}
	return out
}

// axes are principal components.
type axes struct {
	spectrum []float64 // share of variance of every component, largest first
	// coordinates on the first components: [component][vector].
	coordinates [][]float64
}

func (a *axes) shares() []float64 { return a.spectrum[:len(a.coordinates)] }

// components finds the principal components of vectors from their inner
// products: eigenvectors of the centred Gram matrix, scaled by the root of the
// eigenvalue, are the vectors' coordinates.
func components(g gram, k int) (*axes, error) {
	n := len(g)
	c := g.centred()
	sym := mat.NewSymDense(n, nil)
	for i := range c {
		for j := i; j < n; j++ {
			sym.SetSym(i, j, c[i][j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(sym, true) {
		return nil, fmt.Errorf("experiment: the principal components did not converge")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total := 0.0
	for _, l := range values {
		total += max(l, 0)
	}
	// Equal vectors still differ by the rounding of their inner products.
	// Written so that NaN fails too.
	scale := 0.0
	for i := range g {
		scale = max(scale, g[i][i])
	}
	if !(total > 1e-12*float64(n)*scale) {
		return nil, fmt.Errorf("experiment: the emotions' vectors do not differ: they have no principal components")
	}
	a := &axes{}
	for at := n - 1; at >= 0; at-- {
		share := max(values[at], 0) / total
		if share < 1e-9 {
			break
		}
		a.spectrum = append(a.spectrum, share)
		if len(a.coordinates) == k {
			continue
		}
		x := make([]float64, n)
		largest := 0
		for i := range x {
			x[i] = vectors.At(i, at) * math.Sqrt(values[at])
			if math.Abs(x[i]) > math.Abs(x[largest]) {
				largest = i
			}
		}
		if x[largest] < 0 {
			negate(x)
		}
		a.coordinates = append(a.coordinates, x)
	}
	return a, nil
}

func negate(x []float64) {
	for i := range x {
		x[i] = -x[i]
	}
}

// A ratingSet is some emotions with their ratings.
type ratingSet struct {
	at               []int // indices of the emotions
	valence, arousal []float64
}

func (s *ratingSet) add(at int, r *emotion.Rating) {
	s.at = append(s.at, at)
	s.valence = append(s.valence, r.Valence)
	s.arousal = append(s.arousal, r.Arousal)
}

// pick gives the values of the set's emotions.
func (s *ratingSet) pick(x []float64) []float64 {
	out := make([]float64, len(s.at))
	for i, at := range s.at {
		out[i] = x[at]
	}
	return out
}

type ratingSets struct {
	words, proxies, all ratingSet
	of                  []*emotion.Rating // of each emotion; nil where it has none
}

func newRatingSets(emotions []string, ratings []emotion.Rating) ratingSets {
	s := ratingSets{of: make([]*emotion.Rating, len(emotions))}
	for i, name := range emotions {
		if c, ok := emotion.Canonical(name); ok {
			name = c
		}
		k := slices.IndexFunc(ratings, func(r emotion.Rating) bool { return r.Word == name })
		if k < 0 {
			continue
		}
		r := &ratings[k]
		s.of[i] = r
		s.all.add(i, r)
		if r.Proxy {
			s.proxies.add(i, r)
		} else {
			s.words.add(i, r)
		}
	}
	return s
}

// pearson is the correlation of two lists; NaN for fewer than three pairs or
// a constant list.
func pearson(x, y []float64) float64 {
	if len(x) < 3 {
		return math.NaN()
	}
	return dot(standardised(x), standardised(y))
}

// standardised centres a list and scales it to length 1; NaN if it is constant.
func standardised(x []float64) []float64 {
	mean, size := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
		size = max(size, math.Abs(v))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - mean
	}
	return scaled(out, size)
}

// scaled scales a list to length 1, in place. What is nothing but the rounding
// of numbers of the given size becomes NaN.
func scaled(x []float64, size float64) []float64 {
	norm := math.Sqrt(dot(x, x))
	if norm <= 1e-12*size*math.Sqrt(float64(len(x))) {
		norm = math.NaN()
	}
	for i := range x {
		x[i] /= norm
	}
	return x
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v * y[i])
	}
	return sum
}

// without regresses a standardised list z out of a standardised list x, and
// scales what is left to length 1.
func without(x, z []float64) []float64 {
	b := dot(x, z)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] - float64(b*z[i])
	}
	// Standardised values are of the size 1/√n.
	return scaled(out, 1/math.Sqrt(float64(len(x))))
}

// A compared holds what correlations of components with ratings are the inner
// products of: standardised lists over the same words.
type compared struct {
	valence, arousal, rest []float64 // rest: arousal without valence
	x, xRest               [][]float64
}

func compare(coordinates [][]float64, valence, arousal []float64) *compared {
	c := &compared{valence: standardised(valence), arousal: standardised(arousal)}
	c.rest = without(c.arousal, c.valence)
	for _, x := range coordinates {
		z := standardised(x)
		c.x = append(c.x, z)
		c.xRest = append(c.xRest, without(z, c.valence))
	}
	return c
}

// r gives the correlations of all components, by rating.
func (c *compared) r() map[string]Numbers {
	n := len(c.valence)
	out := map[string]Numbers{}
	for k := range c.x {
		v, a, p := math.NaN(), math.NaN(), math.NaN()
		if n >= 3 {
			v, a = dot(c.x[k], c.valence), dot(c.x[k], c.arousal)
		}
		if n >= 4 {
			p = dot(c.xRest[k], c.rest)
		}
		out[RateValence] = append(out[RateValence], v)
		out[RateArousal] = append(out[RateArousal], a)
		out[RateArousalPartial] = append(out[RateArousalPartial], p)
	}
	return out
}

func (a *axes) over(s *ratingSet) [][]float64 {
	var out [][]float64
	for _, x := range a.coordinates {
		out = append(out, s.pick(x))
	}
	return out
}

// correlate gives the correlations of the components with a set of ratings.
func (a *axes) correlate(s *ratingSet) map[string]Numbers {
	return compare(a.over(s), s.valence, s.arousal).r()
}

// align turns the components so that the larger of a component's correlations
// with valence and arousal is positive.
func (a *axes) align(s *ratingSet) {
	r := a.correlate(s)
	for k, x := range a.coordinates {
		v, ar := r[RateValence][k], r[RateArousal][k]
		if math.IsNaN(v) || math.Abs(ar) > math.Abs(v) {
			v = ar
		}
		if v < 0 {
			negate(x)
		}
	}
}

// axesOf is the components of vectors, aligned.
func (g *geometer) axesOf(m gram) (*axes, error) {
	if g.opts.Unit {
		m = cosines(m)
	}
	a, err := components(m, g.opts.Components)
	if err != nil {
		return nil, err
	}
	a.align(&g.rated.words)
	return a, nil
}

// geometryDraws are the random choices that all sets of vectors share, so that
// they can be compared.
type geometryDraws struct {
	ratings  [][]int // of each permutation: whose ratings each word gets
	words    [][]int // of each bootstrap draw: words, with replacement
	families [][]int // of each permutation: the family of each emotion that has one
}

// newGeometryDraws draws. Generators of their own make the kinds of draws
// independent of each other's number.
func newGeometryDraws(words int, family []int, o GeometryOptions) geometryDraws {
	var d geometryDraws
	rng := rand.New(rand.NewPCG(o.Seed, 11))
	for range o.Permutations {
		d.ratings = append(d.ratings, rng.Perm(words))
	}
	rng = rand.New(rand.NewPCG(o.Seed, 12))
	for range o.Bootstrap {
		draw := make([]int, words)
		for i := range draw {
			draw[i] = rng.IntN(words)
		}
		d.words = append(d.words, draw)
	}
	rng = rand.New(rand.NewPCG(o.Seed, 13))
	known := slices.DeleteFunc(slices.Clone(family), func(f int) bool { return f < 0 })
	for range o.Permutations {
		p := slices.Clone(known)
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
		d.families = append(d.families, p)
	}
	return d
}

// null gives, for each permutation of the ratings, the largest |r| over all
// components of all axes. For the partial correlation, what is left of arousal
// without valence is permuted (Freedman and Lane 1983), so that the
// component's own relation to valence stays.
func (d *geometryDraws) null(s *ratingSet, all ...*axes) map[string][]float64 {
	var x [][]float64
	for _, a := range all {
		x = append(x, a.over(s)...)
	}
	c := compare(x, s.valence, s.arousal)
	n := len(s.at)
	out := map[string][]float64{}
	v, a, rest := make([]float64, n), make([]float64, n), make([]float64, n)
	for _, p := range d.ratings {
		for i, at := range p {
			v[i], a[i], rest[i] = c.valence[at], c.arousal[at], c.rest[at]
		}
		left := without(rest, c.valence)
		var most [3]float64
		for k := range c.x {
			for i, r := range [...]float64{dot(c.x[k], v), dot(c.x[k], a), dot(c.xRest[k], left)} {
				if math.Abs(r) > most[i] {
					most[i] = math.Abs(r)
				}
			}
		}
		for i, kind := range RatingKinds() {
			out[kind] = append(out[kind], most[i])
		}
	}
	return out
}

// reached is (k+1)/(N+1), with k of N values reaching x.
func reached(null []float64, x float64) float64 {
	k := 1.0
	for _, y := range null {
		// The same sum in another order may differ by rounding.
		if y >= x-1e-12 {
			k++
		}
	}
	return k / float64(len(null)+1)
}

// percentile95 interpolates as interval does.
func percentile95(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(x))
	pos := 0.95 * float64(len(s)-1)
	i := int(pos)
	j := min(i+1, len(s)-1)
	return s[i] + float64((pos-float64(i))*(s[j]-s[i]))
}

// measured is a set of vectors that was measured.
type measured struct {
	axes    *axes
	cosines gram
	groups  *grouping
	figures GeometryFigures
	words   int // rated
	// best holds, for each rating and bootstrap draw, the largest |r|; NaN
	// where a draw has none.
	best map[string][]float64
}

// measureGram measures vectors, given by their inner products.
func (g *geometer) measureGram(m gram) (*measured, error) {
	a, err := g.axesOf(m)
	if err != nil {
		return nil, err
	}
	out := &measured{axes: a, cosines: cosines(m), words: len(g.rated.words.at), best: map[string][]float64{}}
	s := &g.rated.words
	observed := a.correlate(s)
	null := g.draws.null(s, a)
	drawn := map[string][]Numbers{}
	over := a.over(s)
	for _, draw := range g.draws.words {
		pick := func(x []float64) []float64 {
			y := make([]float64, len(draw))
			for i, at := range draw {
				y[i] = x[at]
			}
			return y
		}
		x := make([][]float64, len(over))
		for k := range over {
			x[k] = pick(over[k])
		}
		r := compare(x, pick(s.valence), pick(s.arousal)).r()
		for _, kind := range RatingKinds() {
			drawn[kind] = append(drawn[kind], r[kind])
			out.best[kind] = append(out.best[kind], largest(r[kind]))
		}
	}
	f := GeometryFigures{
		Explained: a.shares(), ValenceR: observed[RateValence], ArousalR: observed[RateArousal],
		ArousalPartialR: observed[RateArousalPartial], Tests: map[string]RatingTest{},
	}
	for _, kind := range RatingKinds() {
		t := RatingTest{R: observed[kind]}
		for k, r := range t.R {
			t.P = append(t.P, math.NaN())
			var in *Interval
			if !math.IsNaN(r) {
				t.P[k] = reached(null[kind], math.Abs(r))
				if math.Abs(r) > t.best() {
					t.Component = k + 1
				}
				if len(s.at) >= minWords {
					in = drawnInterval(drawn[kind], k)
				}
			}
			t.Intervals = append(t.Intervals, in)
		}
		if t.Component > 0 {
			t.Null95 = percentile95(null[kind])
		}
		f.Tests[kind] = t
	}
	out.groups = cluster(out.cosines, g.opts.Clusters, g.opts.Restarts, g.opts.Seed)
	f.Agreement = g.agreement(out.groups)
	out.figures = f
	return out, nil
}

// largest is the largest absolute value; NaN if there is none.
func largest(r Numbers) float64 {
	most := math.NaN()
	for _, x := range r {
		if x = math.Abs(x); !math.IsNaN(x) && !(x <= most) {
			most = x
		}
	}
	return most
}

// minWords is how many words an interval over words needs to mean anything.
const minWords = 5

// drawnInterval is that of a component's r over bootstrap draws. Draws that
// hold one value only, as there are with few words, have none.
func drawnInterval(drawn []Numbers, k int) *Interval {
	var x []float64
	for _, r := range drawn {
		if !math.IsNaN(r[k]) {
			x = append(x, r[k])
		}
	}
	if len(x) == 0 {
		return nil
	}
	in := interval(x)
	return &in
}

// minus compares the largest |r| of two sets of vectors.
func (m *measured) minus(b *measured) map[string]PairedCorrelation {
	out := map[string]PairedCorrelation{}
	for _, kind := range RatingKinds() {
		t, u := m.figures.Tests[kind], b.figures.Tests[kind]
		if t.Component == 0 || u.Component == 0 {
			continue
		}
		p := PairedCorrelation{Difference: t.best() - u.best()}
		var drawn []float64
		for i, x := range m.best[kind] {
			if d := x - b.best[kind][i]; !math.IsNaN(d) {
				drawn = append(drawn, d)
			}
		}
		if len(drawn) > 0 && m.words >= minWords {
			in := interval(drawn)
			p.Interval = &in
		}
		out[kind] = p
	}
	return out
}

// ranks gives the rank of each value, equal ones the mean of theirs.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareDown(x[b], x[a]) })
	out := make([]float64, len(x))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = float64(from+to-1) / 2
		}
		from = to
	}
	return out
}
