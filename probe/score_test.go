package probe

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
)

// handMade has two emotions in a stream of width 4, at two sites.
func handMade() *Vectors {
	site := func(b int) SiteVectors {
		contrast := []float32{3, 0, 4, 0, 0, 2, 0, 0}
		return SiteVectors{
			Site:           llama.Site{Point: llama.ResidPost, Block: b},
			ByForm:         map[Form][]float32{Denoised: contrast, Contrast: contrast, PlainContrast: contrast, PlainDenoised: contrast, RawMean: contrast},
			NeutralMean:    map[Format][]float32{FormatRaw: {0, 0, 0, 1}},
			ProjectionMean: []float32{1, 2}, ProjectionSD: []float32{2, 0},
		}
	}
	return &Vectors{
		Emotions: []string{"at ease", "sad"}, Width: 4, Sites: []SiteVectors{site(1), site(2)},
		Provenance: Provenance{Blocks: 4, Format: FormatRaw},
	}
}

func TestReaderScores(t *testing.T) {
	h := []float32{1, 2, 2, 1}
	// Unit vectors: (0.6, 0, 0.8, 0) and (0, 1, 0, 0). Projections 2.2 and 2.
	// |h| = √10; h minus the neutral mean is (1, 2, 2, 0), of length 3.
	cosine := []float32{2.2 / 3.1622777, 2 / 3.1622777}
	for score, want := range map[Score][]float32{
		Centered: {2.2 / 3, 2. / 3},
		CosineOf: cosine,
		Dot:      {11, 4},
		Z:        {0.6, 0}, // no spread: 0
	} {
		r, err := handMade().NewReader(ReaderOptions{Score: score})
		require.NoError(t, err)
		require.Equal(t, "resid_post:2", r.Site().String())
		scores, cos := make([]float32, 2), make([]float32, 2)
		r.Read(h, scores, cos)
		require.InDeltaSlice(t, want, scores, 1e-6, score)
		require.InDeltaSlice(t, cosine, cos, 1e-6)
		r.Read(h, scores, nil)
		require.InDeltaSlice(t, want, scores, 1e-6, score)
		r.Read(make([]float32, 4), scores, cos) // no direction: no cosine
		require.Equal(t, []float32{0, 0}, cos)
	}
}

func TestReaderOptions(t *testing.T) {
	v := handMade()
	other := llama.Site{Point: llama.ResidPost, Block: 1}
	r, err := v.NewReader(ReaderOptions{Site: &other, Emotions: []string{"Sad", "at-ease"}, Center: []float32{1, 2, 2, 0}})
	require.NoError(t, err)
	require.Equal(t, other, r.Site())
	require.Equal(t, []string{"sad", "at ease"}, r.Emotions())
	require.Equal(t, Centered, r.Score())
	scores := make([]float32, 2)
	r.Read([]float32{1, 3, 2, 0}, scores, nil)
	require.Equal(t, []float32{1, 0}, scores)

	missing := llama.Site{Point: llama.ResidPost, Block: 3}
	for want, o := range map[string]ReaderOptions{
		"no site resid_post:3; they have [resid_post:1 resid_post:2]": {Site: &missing},
		`unknown emotion "sat": did you mean "sad"`:                   {Emotions: []string{"sat"}},
		"unknown score":          {Score: "loudness"},
		"no form":                {Form: "x"},
		"no directions":          {Form: RawMean},
		"z scores exist":         {Score: Z, Form: Contrast},
		"a centre of 3 elements": {Center: []float32{1, 2, 3}},
	} {
		_, err := v.NewReader(o)
		require.ErrorContains(t, err, want)
	}
	v.Sites[1].NeutralMean = nil
	_, err = v.NewReader(ReaderOptions{})
	require.ErrorContains(t, err, "no neutral mean")
}

func TestParseScore(t *testing.T) {
	s, err := ParseScore("Z")
	require.NoError(t, err)
	require.Equal(t, Z, s)
	_, err = ParseScore("loudness")
	require.ErrorContains(t, err, `unknown score "loudness"`)
}

// The hook scores every row once, with what a plain read of the state gives.
func TestReaderHook(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{BatchTokens: 5})
	v := build(t, r, smallCorpus(t), BuildOptions{}).Vectors
	reader, err := v.NewReader(ReaderOptions{})
	require.NoError(t, err)
	var rows []int
	var scores [][]float32
	tokens := Encode(m, "The door was open, and nobody was there.").Tokens
	states := map[int][]float32{}
	s := r.NewSequence()
	defer s.Close()
	require.NoError(t, r.Forward(context.Background(), &llama.Pass{
		Spans: []llama.Span{{Seq: s, Tokens: tokens}},
		Hooks: []*llama.Hook{
			reader.Hook(func(row llama.Row, sc, cos []float32) error {
				rows = append(rows, row.Pos)
				scores = append(scores, append([]float32(nil), sc...))
				require.Len(t, cos, 4)
				return nil
			}),
			{Name: "keep", Sites: []llama.Site{reader.Site()}, Func: func(v *llama.View) error {
				for i, row := range v.Rows {
					states[row.Pos] = append([]float32(nil), v.At(i)...)
				}
				return nil
			}},
		},
	}))
	require.Len(t, rows, len(tokens))
	for i, pos := range rows {
		require.Equal(t, i, pos)
		want := make([]float32, 4)
		reader.Read(states[pos], want, nil)
		require.Equal(t, want, scores[i])
	}
}
