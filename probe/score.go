package probe

import (
	"fmt"
	"strings"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama"
)

// A Score says how an activation is compared with a vector.
type Score string

// The scores of an activation h with an emotion's vector v. Activations share
// one large common component, so that Cosine and Dot mostly rank that; use
// them beside Centered, not instead.
const (
	Centered Score = "centered" // cosine(h - c, v), with c the neutral mean, of texts in the vectors' text format
	CosineOf Score = "cosine"   // cosine(h, v)
	Dot      Score = "dot"      // the inner product of h and v, v not normalised
	Z        Score = "z"        // the projection of h on unit v, standardised over the stories' means
)

// ParseScore reads a score's name.
func ParseScore(s string) (Score, error) {
	for _, k := range []Score{Centered, CosineOf, Dot, Z} {
		if strings.EqualFold(string(k), s) {
			return k, nil
		}
	}
	return "", fmt.Errorf("probe: unknown score %q (known: centered, cosine, dot, z)", s)
}

// ReaderOptions are the options of NewReader. The zero value is good.
type ReaderOptions struct {
	// Site to read; nil means the vectors' default site.
	Site *llama.Site
	// Emotions to score, in any spelling; nil means all.
	Emotions []string
	// Score to compute; "" means Centered.
	Score Score
	// Form of the vectors; "" means Denoised.
	Form Form
	// Center replaces the neutral mean that Centered subtracts.
	Center []float32
}

// A Reader scores activations at one site. It may be used by one goroutine.
type Reader struct {
	site     llama.Site
	score    Score
	emotions []string
	center   []float32
	width    int
	vectors  []float32 // [emotion][width]: as stored, for Dot, or of length 1
	units    []float32 // [emotion][width], of length 1
	mean, sd []float32

	// Some activations, as they are and as they are compared, and their inner
	// products with units and with vectors.
	rows, compared []float32 // [row][width]
	dots, products []float32 // [row][emotion]
}

// readTogether is how many activations are read at a time: they share what is
// loaded of the vectors.
const readTogether = 8

// NewReader makes a reader.
func (v *Vectors) NewReader(o ReaderOptions) (*Reader, error) {
	site := v.DefaultSite()
	if o.Site != nil {
		site = *o.Site
	}
	sv, err := v.At(site)
	if err != nil {
		return nil, err
	}
	if o.Score == "" {
		o.Score = Centered
	}
	if _, err := ParseScore(string(o.Score)); err != nil {
		return nil, err
	}
	if o.Form == "" {
		o.Form = Denoised
	}
	if o.Form == RawMean {
		return nil, fmt.Errorf("probe: raw means are no directions to read with")
	}
	matrix, ok := sv.ByForm[o.Form]
	if !ok {
		return nil, fmt.Errorf("probe: the vectors have no form %q", o.Form)
	}
	r := &Reader{site: site, score: o.Score, center: o.Center, width: v.Width}
	if r.center == nil {
		r.center = sv.NeutralMean[v.Provenance.Format]
	}
	switch {
	case o.Score == Centered && r.center == nil:
		return nil, fmt.Errorf("probe: the vectors have no neutral mean to centre by: they were built without neutral texts; use another score or center")
	case o.Score == Centered && len(r.center) != v.Width:
		return nil, fmt.Errorf("probe: a centre of %d elements for width %d", len(r.center), v.Width)
	case o.Score == Z && o.Form != Denoised:
		return nil, fmt.Errorf("probe: z scores exist for the form %q only", Denoised)
	}
	indices := make([]int, 0, len(v.Emotions))
	for _, name := range o.Emotions {
		i, err := v.Index(name)
		if err != nil {
			return nil, err
		}
		indices = append(indices, i)
	}
	if o.Emotions == nil {
		for i := range v.Emotions {
			indices = append(indices, i)
		}
	}
	for _, i := range indices {
		row := matrix[i*v.Width:][:v.Width]
		r.emotions = append(r.emotions, v.Emotions[i])
		r.units = append(r.units, Unit(row)...)
		if o.Score == Dot {
			r.vectors = append(r.vectors, row...)
		}
		r.mean = append(r.mean, sv.ProjectionMean[i])
		r.sd = append(r.sd, sv.ProjectionSD[i])
	}
	if o.Score != Dot {
		r.vectors = r.units
	}
	r.rows = make([]float32, readTogether*r.width)
	r.compared = r.rows
	if o.Score == Centered {
		r.compared = make([]float32, readTogether*r.width)
	}
	r.dots = make([]float32, readTogether*len(r.emotions))
	r.products = make([]float32, readTogether*len(r.emotions))
	return r, nil
}

// Site is where the reader reads.
func (r *Reader) Site() llama.Site { return r.site }

// Score is what the reader computes.
func (r *Reader) Score() Score { return r.score }

// Emotions are the names of the scores, as the vectors spell them.
func (r *Reader) Emotions() []string { return r.emotions }

// Read scores an activation: one score for each emotion, written to scores,
// and the uncentred cosine, written to cosine unless that is nil. All are
// computed in float32, the same bits on every machine.
func (r *Reader) Read(h, scores, cosine []float32) {
	r.load(0, h)
	r.multiply(1, cosine != nil)
	r.read(0, scores, cosine)
}

// load makes h activation i of those to be read.
func (r *Reader) load(i int, h []float32) {
	if len(h) != r.width {
		panic(fmt.Sprintf("probe: an activation of %d elements for vectors of %d", len(h), r.width))
	}
	copy(r.rows[i*r.width:], h)
	if r.score == Centered {
		x := r.compared[i*r.width:][:r.width]
		for d, c := range r.center {
			x[d] = h[d] - c
		}
	}
}

// multiply computes the inner products of n activations.
func (r *Reader) multiply(n int, cosine bool) {
	e := len(r.emotions)
	asm.DotRows(r.products, e, r.vectors, r.width, e, r.compared, r.width, n, r.width)
	if cosine {
		asm.DotRows(r.dots, e, r.units, r.width, e, r.rows, r.width, n, r.width)
	}
}

// read makes scores of the inner products of activation i.
func (r *Reader) read(i int, scores, cosine []float32) {
	n := len(r.emotions)
	dots, products := r.dots[i*n:][:n], r.products[i*n:][:n]
	if cosine != nil {
		norm := asm.Norm(r.rows[i*r.width:][:r.width])
		for e, d := range dots {
			cosine[e] = ratio(d, norm)
		}
	}
	switch r.score {
	case Dot:
		copy(scores, products)
	case Z:
		for e, d := range products {
			scores[e] = ratio(d-r.mean[e], r.sd[e])
		}
	default:
		length := asm.Norm(r.compared[i*r.width:][:r.width])
		for e, d := range products {
			scores[e] = ratio(d, length)
		}
	}
}

// ratio is a/b, and 0 where b is 0.
func ratio(a, b float32) float32 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Hook makes a hook that scores every row at the reader's site and hands the
// scores on; they are valid during the call.
func (r *Reader) Hook(see func(row llama.Row, scores, cosine []float32) error) *llama.Hook {
	scores, cosine := make([]float32, len(r.emotions)), make([]float32, len(r.emotions))
	return &llama.Hook{Name: "read", Sites: []llama.Site{r.site}, Func: func(v *llama.View) error {
		for from := 0; from < v.Len(); from += readTogether {
			n := min(readTogether, v.Len()-from)
			for i := range n {
				r.load(i, v.At(from+i))
			}
			r.multiply(n, true)
			for i := range n {
				r.read(i, scores, cosine)
				if err := see(v.Rows[from+i], scores, cosine); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}
