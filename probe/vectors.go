package probe

import (
	"fmt"
	"math"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
)

// A Form says which of an emotion's vectors is meant.
type Form string

// The forms. Denoised is what reading and steering use unless told otherwise.
// The plain forms do without centring within hands; where the corpus names no
// hands they equal the others.
const (
	Denoised      Form = "denoised"       // Contrast without the neutral components
	Contrast      Form = "contrast"       // centred within hands, minus the mean over emotions
	PlainDenoised Form = "denoised_plain" // PlainContrast without the neutral components
	PlainContrast Form = "contrast_plain" // raw mean minus the mean over emotions
	RawMean       Form = "mean"           // mean of the emotion's story means
)

// Forms lists all forms.
func Forms() []Form { return []Form{Denoised, Contrast, PlainDenoised, PlainContrast, RawMean} }

// Vectors are the emotion vectors of a model, with what is needed to read and
// steer with them.
type Vectors struct {
	Provenance Provenance
	// Emotions are the names, in the order of all per-emotion data.
	Emotions []string
	// Width of the residual stream.
	Width int
	// Counts is the number of stories of each emotion, and MeanTokens their
	// mean length in tokens.
	Counts     []int
	MeanTokens []float64
	// Sites holds the vectors of each site, in the order of the forward pass.
	Sites []SiteVectors
}

// Provenance says where vectors come from. Every field but the counts and
// hashes of what came out is an input: equal inputs give equal MeansSHA256.
type Provenance struct {
	Limbic       string   `json:"limbic"`           // version that built them
	Model        string   `json:"model"`            // the model's own name
	ModelSHA256  string   `json:"model_sha256"`     // of its file
	Architecture string   `json:"architecture"`     //
	Quantisation string   `json:"quantisation"`     // storage format of most weights
	Tokenizer    string   `json:"tokenizer_sha256"` //
	Blocks       int      `json:"blocks"`           //
	Corpus       string   `json:"corpus_sha256"`    // of the texts used
	Format       Format   `json:"format"`           // how texts were wrapped
	From         int      `json:"from"`             // first pooled token, counted from 1 without BOS
	Topics       []string `json:"topics"`           // of the stories used
	Excluded     []string `json:"excluded_topics"`  // topics of the corpus left out
	Neutral      string   `json:"neutral"`          // dialogues, passages or both
	Hands        bool     `json:"centred_in_hands"` // whether Contrast differs from PlainContrast; see CentringHands
	Threshold    float64  `json:"neutral_variance"` // share of neutral variance removed
	Precision    string   `json:"precision"`        //
	KV           string   `json:"kv,omitempty"`     // how keys and values were kept; see KVName
	Seed         uint64   `json:"seed"`             // nothing is drawn; recorded for form
	Stories      int      `json:"stories"`          // pooled
	Dropped      int      `json:"dropped"`          // stories too short to pool
	Cut          int      `json:"cut"`              // texts cut at the model's context
	Texts        int      `json:"neutral_texts"`    // pooled neutral texts
	Tokens       int      `json:"tokens"`           // tokens read, BOS excluded
	MeansSHA256  string   `json:"means_sha256"`     // of sums, counts and calibration
}

// KVName is how keys and values were kept: KV, or f32 where that is empty.
func (p *Provenance) KVName() string {
	if p.KV == "" {
		return llama.KVFloat32.String()
	}
	return p.KV
}

// SiteVectors is what was found at one site. Matrices are row-major float32,
// one row of the stream's width for each emotion.
type SiteVectors struct {
	Site llama.Site
	// ByForm holds the vectors [emotions, width] of every form.
	ByForm map[Form][]float32
	// Grand is the mean of the emotions' raw means.
	Grand []float32
	// NeutralMean is the mean of the neutral texts' means, by text format.
	NeutralMean map[Format][]float32
	// Basis are the principal components of neutral texts that were removed,
	// orthonormal rows [k, width], and Shares the share of neutral variance
	// of each, largest first, up to and beyond those removed (at most 32).
	Basis  []float32
	Shares []float64
	// ProjectionMean and ProjectionSD are the mean and standard deviation,
	// over all stories, of the projection of a story's mean on each
	// emotion's unit denoised vector: for z scores.
	ProjectionMean, ProjectionSD []float32
	// Norm is the calibration of strengths.
	Norm Calibration
}

// A Calibration is the distribution of the L2 norm of the residual stream at a
// site over neutral texts, position 0 excluded.
type Calibration struct {
	Mean   float64 `json:"mean"`   // the unit of steering strengths
	Median float64 `json:"median"` // to within 3e-5 of its value
	P99    float64 `json:"p99"`    // 99th percentile, likewise
	N      int     `json:"n"`      // positions
}

// Skewed reports whether a few large norms dominate the mean: mean/median
// above 1.2.
func (c Calibration) Skewed() bool { return c.Mean > 1.2*c.Median }

// At finds the vectors of a site.
func (v *Vectors) At(s llama.Site) (*SiteVectors, error) {
	for i := range v.Sites {
		if v.Sites[i].Site == s {
			return &v.Sites[i], nil
		}
	}
	return nil, fmt.Errorf("probe: the vectors have no site %v; they have %v", s, v.SiteNames())
}

// DefaultSite is the site that is read and steered unless told otherwise: the
// model's default site if the vectors have it, else their last.
func (v *Vectors) DefaultSite() llama.Site {
	want := llama.DefaultSite(v.Provenance.Blocks)
	for _, s := range v.Sites {
		if s.Site == want {
			return want
		}
	}
	return v.Sites[len(v.Sites)-1].Site
}

// SiteNames lists the sites as they are spelled.
func (v *Vectors) SiteNames() []string {
	var names []string
	for _, s := range v.Sites {
		names = append(names, s.Site.String())
	}
	return names
}

// Index finds an emotion by its name, in any accepted spelling.
func (v *Vectors) Index(name string) (int, error) {
	name, err := emotion.Resolve(v.Emotions, name)
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	for i, e := range v.Emotions {
		if e == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("probe: unknown emotion %q", name)
}

// Vector is a copy of an emotion's vector at a site, in a form.
func (v *Vectors) Vector(s llama.Site, f Form, e int) ([]float32, error) {
	sv, err := v.At(s)
	if err != nil {
		return nil, err
	}
	m, ok := sv.ByForm[f]
	if !ok {
		return nil, fmt.Errorf("probe: the vectors have no form %q", f)
	}
	return append([]float32(nil), m[e*v.Width:][:v.Width]...), nil
}

// Unit scales a vector to length 1, in float64, rounded once. A zero vector
// stays zero.
func Unit(v []float32) []float32 {
	u := make([]float32, len(v))
	norm := norm64(v)
	if norm == 0 {
		return u
	}
	for i, x := range v {
		u[i] = float32(float64(x) / norm)
	}
	return u
}

// norm64 is the L2 norm of v, computed in float64.
func norm64(v []float32) float64 { return math.Sqrt(dot64(v, v)) }

func dot64(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(float64(x) * float64(b[i]))
	}
	return sum
}

// Cosine is the cosine between two vectors of equal length, computed in
// float64; 0 where either is zero.
func Cosine(a, b []float32) float64 {
	n := norm64(a) * norm64(b)
	if n == 0 {
		return 0
	}
	return dot64(a, b) / n
}

// CheckModel refuses vectors that were built from another model than m: other
// weights, or another tokenizer. The error names the field that differs.
func (v *Vectors) CheckModel(sha256, tokenizer string, width int) error {
	switch {
	case v.Width != width:
		return fmt.Errorf("probe: the vectors have width %d, the model %d", v.Width, width)
	case v.Provenance.ModelSHA256 != sha256:
		return fmt.Errorf("probe: the vectors were built from another model file: model_sha256 is %s, the model's %s", v.Provenance.ModelSHA256, sha256)
	case v.Provenance.Tokenizer != tokenizer:
		return fmt.Errorf("probe: the vectors were built with another tokenizer: tokenizer_sha256 is %s, the model's %s", v.Provenance.Tokenizer, tokenizer)
	}
	return nil
}
