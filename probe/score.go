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
	vectors  [][]float32 // the stored vectors, for Dot
	units    [][]float32
	mean, sd []float32
	buf      []float32
}

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
	r := &Reader{site: site, score: o.Score, center: o.Center, buf: make([]float32, v.Width)}
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
		r.vectors = append(r.vectors, row)
		r.units = append(r.units, Unit(row))
		r.mean = append(r.mean, sv.ProjectionMean[i])
		r.sd = append(r.sd, sv.ProjectionSD[i])
	}
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
	norm := asm.Norm(h)
	x, length := h, norm
	if r.score == Centered {
		for i, c := range r.center {
			r.buf[i] = h[i] - c
		}
		x = r.buf
		length = asm.Norm(x)
	}
	for e, u := range r.units {
		if cosine != nil {
			cosine[e] = ratio(asm.Dot(h, u), norm)
		}
		switch r.score {
		case Dot:
			scores[e] = asm.Dot(h, r.vectors[e])
		case Z:
			scores[e] = ratio(asm.Dot(h, u)-r.mean[e], r.sd[e])
		default:
			scores[e] = ratio(asm.Dot(x, u), length)
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
	scores, cosine := make([]float32, len(r.units)), make([]float32, len(r.units))
	return &llama.Hook{Name: "read", Sites: []llama.Site{r.site}, Func: func(v *llama.View) error {
		for i := range v.Rows {
			r.Read(v.At(i), scores, cosine)
			if err := see(v.Rows[i], scores, cosine); err != nil {
				return err
			}
		}
		return nil
	}}
}
