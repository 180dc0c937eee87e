package probe

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
)

// What a part gives is what a build of the part alone gives, to the bit.
func TestParts(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	part, err := c.Select(emotion.Filter{ExcludeTopics: []string{"cafe"}})
	require.NoError(t, err)
	few, err := c.Select(emotion.Filter{Emotions: []string{"calm", "sad"}})
	require.NoError(t, err)
	o := BuildOptions{Neutral: "passages"}
	alone := build(t, r, part, BuildOptions{Neutral: o.Neutral, Excluded: []string{"cafe"}})
	aloneFew := build(t, r, few, o)
	whole := build(t, r, c, o)

	o.Parts = []*emotion.Corpus{part, few}
	res := build(t, r, c, o)
	require.Equal(t, whole.Vectors, res.Vectors)
	require.Equal(t, whole.Stories, res.Stories)
	require.Len(t, res.Parts, 2)
	for i, want := range []*Result{alone, aloneFew} {
		require.Equal(t, want.Vectors, res.Parts[i].Vectors)
		require.Equal(t, want.Stories, res.Parts[i].Stories)
		require.Equal(t, want.Report.Sites, res.Parts[i].Report.Sites)
	}
	require.NotEqual(t, res.Vectors.Provenance.MeansSHA256, res.Parts[0].Vectors.Provenance.MeansSHA256)

	other := *part
	other.Stories = slices.Clone(part.Stories)
	other.Stories[1].Text += "."
	o.Parts[1] = &other
	_, err = Build(t.Context(), r, c, o)
	require.ErrorContains(t, err, `part 1 of the corpus: story 1, of "calm" on "school", is not in the corpus`)
}

// A compact file lacks what follows from the rest, and gives it back to the bit.
func TestCompact(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	v := build(t, newRunner(t, m, llama.RunnerOptions{}), c, BuildOptions{From: 20}).Vectors
	require.NotEmpty(t, v.Sites[0].Basis)
	dir := t.TempDir()
	for _, hands := range []bool{false, true} {
		v.Provenance.Hands = hands
		if hands { // as if centring made a difference
			for i := range v.Sites {
				s := &v.Sites[i]
				s.ByForm[Contrast] = slices.Clone(s.ByForm[PlainContrast])
				s.ByForm[Contrast][3] += 0.25
				s.ByForm[Denoised] = without(s.ByForm[Contrast], s.Basis, v.Width)
			}
		}
		path := filepath.Join(dir, "v")
		require.NoError(t, v.Save(path))
		full := fileBytes(t, path)
		require.NoError(t, v.Compact().Save(path))
		small := fileBytes(t, path)
		require.Less(t, len(small), len(full)*2/3)

		got, err := Load(path)
		require.NoError(t, err)
		parsed, err := Parse(small, "small")
		require.NoError(t, err)
		require.Equal(t, got, parsed)
		for i := range v.Sites {
			require.NotContains(t, got.Sites[i].ByForm, RawMean)
			for form, want := range v.Sites[i].ByForm {
				if form != RawMean {
					require.Equal(t, want, got.Sites[i].ByForm[form], "%s, hands %v", form, hands)
				}
			}
			got.Sites[i].ByForm = v.Sites[i].ByForm
		}
		require.Equal(t, v, got, "all but the forms")
		_, err = parsed.Vector(v.Sites[0].Site, RawMean, 0)
		require.ErrorContains(t, err, `no form "mean"`)
	}

	// What follows from nothing is missed.
	bare := *v
	bare.Sites = slices.Clone(v.Sites)
	path := filepath.Join(dir, "bare")
	for _, form := range []Form{Contrast, PlainContrast} {
		bare.Sites[1].ByForm = map[Form][]float32{Denoised: v.Sites[1].ByForm[Denoised], Contrast: v.Sites[1].ByForm[Contrast], PlainContrast: v.Sites[1].ByForm[PlainContrast]}
		delete(bare.Sites[1].ByForm, form)
		require.NoError(t, bare.Save(path))
		_, err := Load(path)
		require.ErrorContains(t, err, string(form))
		require.ErrorContains(t, err, path)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		_, err = Parse(b, "memory")
		require.ErrorContains(t, err, "probe: memory: ")
	}
	_, err := Parse([]byte("nothing"), "memory")
	require.ErrorContains(t, err, "memory")
}
