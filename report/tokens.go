package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Tokens is a text scored token by token: what "limbic probe --json" prints.
type Tokens struct {
	// ID of the text, where it was one of many: any JSON value.
	ID json.RawMessage `json:"id,omitempty"`
	// Site that was read, such as "resid_post:10".
	Site string `json:"site"`
	// Score is the kind of score: centered, cosine, dot or z.
	Score string `json:"score"`
	// Center is what centered scores subtract; "none" for the others.
	Center string `json:"center"`
	// Text is what was scored; TextBase64 takes its place where it is not
	// valid UTF-8.
	Text       *string `json:"text,omitempty"`
	TextBase64 []byte  `json:"text_base64,omitempty"`
	// Tokens of the text, BOS included.
	Tokens []Token `json:"tokens"`
	// Emotions name the columns of Scores and Cosine.
	Emotions []string `json:"emotions"`
	// Shown are the emotions to look at first; the first of them colours the
	// text. Empty means those with the highest mean.
	Shown []string `json:"shown,omitempty"`
	// Scores are [tokens][emotions], and Cosine their uncentred twin.
	Scores [][]float32 `json:"scores"`
	Cosine [][]float32 `json:"cosine"`
	// Mean of each emotion's scores over the tokens from index MeanFrom on:
	// all but BOS.
	Mean     Means `json:"mean"`
	MeanFrom int   `json:"mean_from"`
	// Read are the indices of the tokens that Mean is over, where it is over
	// some that were asked for.
	Read []int `json:"read,omitempty"`

	Provenance Provenance `json:"provenance"`
}

// A Token is a token of a text. Start and End are offsets in bytes.
type Token struct {
	ID    int32  `json:"id"`
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// Means are means, of which one over nothing is NaN: null in JSON, which has
// no NaN.
type Means []float64

// MarshalJSON writes a list of numbers and nulls.
func (m Means) MarshalJSON() ([]byte, error) {
	list := make([]*float64, len(m))
	for i := range m {
		if !math.IsNaN(m[i]) {
			list[i] = &m[i]
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads a list of numbers and nulls.
func (m *Means) UnmarshalJSON(b []byte) error {
	var list []*float64
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*m = make(Means, len(list))
	for i, x := range list {
		(*m)[i] = math.NaN()
		if x != nil {
			(*m)[i] = *x
		}
	}
	return nil
}

// Provenance is the part of a result's provenance that pages show.
type Provenance struct {
	Limbic          string            `json:"limbic"`
	Revision        string            `json:"revision"`
	Kernels         string            `json:"kernels"`
	Model           string            `json:"model"`
	ModelSHA256     string            `json:"model_sha256"`
	Architecture    string            `json:"architecture"`
	Quantisation    string            `json:"quantisation"`
	TokenizerSHA256 string            `json:"tokenizer_sha256"`
	Precision       string            `json:"precision"`
	KV              string            `json:"kv"`
	Sites           []Site            `json:"sites"`
	Definitions     map[string]string `json:"definitions"`
	// Vectors are the files of emotion vectors that had a part in the result;
	// the first is the one that it was read with.
	Vectors []Vectors `json:"vectors"`
	// Steering holds the plans that the model was steered by.
	Steering []string `json:"steering"`
}

// A Site names a site and says in words what it is.
type Site struct {
	Site        string `json:"site"`
	Description string `json:"description"`
}

// Vectors says what a file of emotion vectors is. Of files that were only
// steered with, just the hashes and Emotions are known.
type Vectors struct {
	Path            string  `json:"path,omitempty"`
	FileSHA256      string  `json:"file_sha256"`
	MeansSHA256     string  `json:"means_sha256"`
	Emotions        int     `json:"emotions"`
	CorpusSHA256    string  `json:"corpus_sha256,omitempty"`
	Form            string  `json:"form,omitempty"`
	Limbic          string  `json:"limbic,omitempty"` // version that built them
	Format          string  `json:"format,omitempty"`
	From            int     `json:"from,omitempty"`
	Topics          int     `json:"topics,omitempty"`
	Stories         int     `json:"stories,omitempty"`
	Neutral         string  `json:"neutral,omitempty"`
	NeutralTexts    int     `json:"neutral_texts,omitempty"`
	NeutralVariance float64 `json:"neutral_variance,omitempty"`
	CentredInHands  bool    `json:"centred_in_hands,omitempty"`
	Precision       string  `json:"precision,omitempty"`
	KV              string  `json:"kv,omitempty"`
}

// Check says what is wrong with a result that does not fit together. Its
// errors name the field.
func (t *Tokens) Check() error {
	e := len(t.Emotions)
	switch {
	case e == 0:
		return fmt.Errorf("report: emotions: there are none")
	case len(t.Mean) != e:
		return fmt.Errorf("report: mean: %d values for %d emotions", len(t.Mean), e)
	case t.MeanFrom < 0 || t.MeanFrom > len(t.Tokens):
		return fmt.Errorf("report: mean_from: %d of %d tokens", t.MeanFrom, len(t.Tokens))
	}
	for _, i := range t.Read {
		if i < 0 || i >= len(t.Tokens) {
			return fmt.Errorf("report: read: %d of %d tokens", i, len(t.Tokens))
		}
	}
	for _, m := range t.Mean {
		if math.IsInf(m, 0) {
			return fmt.Errorf("report: mean: %v", m)
		}
	}
	for _, x := range []struct {
		name string
		rows [][]float32
	}{{"scores", t.Scores}, {"cosine", t.Cosine}} {
		if len(x.rows) != len(t.Tokens) {
			return fmt.Errorf("report: %s: %d rows for %d tokens", x.name, len(x.rows), len(t.Tokens))
		}
		for i, row := range x.rows {
			if len(row) != e {
				return fmt.Errorf("report: %s: row %d has %d values for %d emotions", x.name, i, len(row), e)
			}
			for k, v := range row {
				if v-v != 0 {
					return fmt.Errorf("report: %s: %q at token %d is %v", x.name, t.Emotions[k], i, v)
				}
			}
		}
	}
	for _, name := range t.Shown {
		if !slices.Contains(t.Emotions, name) {
			return fmt.Errorf("report: shown: %q is not among the emotions", name)
		}
	}
	return nil
}

// MeanOver reports whether Mean takes the token with an index.
func (t *Tokens) MeanOver(i int) bool {
	if len(t.Read) > 0 {
		return slices.Contains(t.Read, i)
	}
	return i >= t.MeanFrom
}

// MeanCount is the number of tokens that Mean is over.
func (t *Tokens) MeanCount() int {
	if len(t.Read) > 0 {
		return len(t.Read)
	}
	return len(t.Tokens) - t.MeanFrom
}

// Order gives the indices of the emotions from the highest mean to the lowest;
// of equals the first in the list comes first.
func (t *Tokens) Order() []int {
	order := make([]int, len(t.Emotions))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.Mean[b], t.Mean[a]) })
	return order
}

// Display gives the indices of the emotions to look at first: those that Shown
// names, or the k with the highest mean.
func (t *Tokens) Display(k int) []int {
	var list []int
	for _, name := range t.Shown {
		if i := slices.Index(t.Emotions, name); i >= 0 {
			list = append(list, i)
		}
	}
	if list != nil {
		return list
	}
	order := t.Order()
	return order[:min(k, len(order))]
}

// Highest gives the indices of the n emotions that score highest at a token.
func (t *Tokens) Highest(token, n int) []int {
	row := t.Scores[token]
	var best []int
	for i := range row {
		at, _ := slices.BinarySearchFunc(best, row[i], func(j int, v float32) int {
			if row[j] >= v {
				return -1
			}
			return 1
		})
		if at < n {
			best = slices.Insert(best, at, i)
			best = best[:min(n, len(best))]
		}
	}
	return best
}

// Scale is the score at which colours are strongest, the same for all emotions
// of the text: the 99th percentile of the scores' absolute values, over all
// emotions and all tokens but BOS, whose state is often far from all others.
// It is 1 where there is nothing to take it from.
func (t *Tokens) Scale() float64 {
	var all []float64
	for _, row := range t.Scores[t.MeanFrom:] {
		for _, v := range row {
			all = append(all, math.Abs(float64(v)))
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	if s := all[(len(all)*99+99)/100-1]; s > 0 {
		return s
	}
	return 1
}

// Levels is how many steps of colour a score can have to each side of zero.
const Levels = 12

// Level is the step of colour for a score: from -Levels, the strongest blue,
// over 0, no colour, to Levels, the strongest red.
func Level(score, scale float64) int {
	return int(math.Round(max(-1, min(1, score/scale)) * Levels))
}

// Number writes a score for people, with its sign and three decimals or, where
// it is large, four digits. What rounds to zero has no sign, and NaN is "-".
func Number(x float64) string {
	switch {
	case math.IsNaN(x):
		return "-"
	case math.Abs(x) < 0.0005:
		return "0.000"
	case math.Abs(x) < 100:
		return fmt.Sprintf("%+.3f", x)
	}
	return fmt.Sprintf("%+.4g", x)
}
