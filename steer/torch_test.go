package steer_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

// The whole recipe, from tokens to steered logits, against PyTorch on the
// embedded model: testdata/torch/README.md says how its numbers were made.
func TestRecipeAgainstPyTorch(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 181 texts")
	}
	var want struct {
		SHA256     string `json:"model_sha256"`
		Topics     []string
		Stories    int
		Emotions   []string
		Components []int
		Sites      []struct {
			Site        string
			Norm        float64     `json:"norm_mean"`
			Neutral     int         `json:"neutral_components"`
			Raw         [][]float64 // [emotion][component], as the others
			Contrast    [][]float64
			Denoised    [][]float64
			RawRMS      float64 `json:"raw_rms"` // of a component, over all
			ContrastRMS float64 `json:"contrast_rms"`
			DenoisedRMS float64 `json:"denoised_rms"`
		}
		Steered struct {
			Text, Emotion string
			Strength      float64
			Every         int
			Logits        []float64
		}
	}
	b, err := os.ReadFile("../testdata/torch/demo-sea.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))
	require.Equal(t, demo.ModelSHA256, want.SHA256, "the embedded model is another one: make testdata/torch/demo-sea.json anew")

	m, err := demo.Model()
	require.NoError(t, err)
	defer m.Close()
	r, err := m.NewRunner(llama.RunnerOptions{Precision: llama.Exact})
	require.NoError(t, err)
	defer r.Close()
	c, err := emotion.Embedded().Select(emotion.Filter{Topics: want.Topics})
	require.NoError(t, err)
	require.Len(t, c.Stories, want.Stories)
	built, err := probe.Build(t.Context(), r, c, probe.BuildOptions{})
	require.NoError(t, err)
	v := built.Vectors
	require.True(t, v.Provenance.Hands, "the recipe centres within hands")

	// Both engines add some hundred products in float32 for each number.
	const tolerance = 3e-6
	for _, s := range want.Sites {
		site, err := llama.ParseSite(s.Site, m.Config().Blocks)
		require.NoError(t, err)
		got, err := v.At(site)
		require.NoError(t, err)
		require.InEpsilon(t, s.Norm, got.Norm.Mean, tolerance, "%v: mean norm", site)
		require.Equal(t, s.Neutral*v.Width, len(got.Basis), "%v: neutral components", site)
		for _, form := range []struct {
			form probe.Form
			want [][]float64
			rms  float64
		}{{probe.RawMean, s.Raw, s.RawRMS}, {probe.Contrast, s.Contrast, s.ContrastRMS}, {probe.Denoised, s.Denoised, s.DenoisedRMS}} {
			require.Len(t, form.want, len(want.Emotions))
			for i, name := range want.Emotions {
				e, err := v.Index(name)
				require.NoError(t, err)
				x, err := v.Vector(site, form.form, e)
				require.NoError(t, err)
				for j, at := range want.Components {
					require.InDelta(t, form.want[i][j], x[at], tolerance*form.rms, "%v: %s of %s, component %d", site, form.form, name, at)
				}
			}
		}
	}

	w := want.Steered
	injector, err := steer.New(m, []steer.Plan{{Vectors: "built", Emotion: w.Emotion, Strength: w.Strength}}, steer.From(v), steer.Options{})
	require.NoError(t, err)
	s := r.NewSequence()
	defer s.Close()
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{
		Spans: []llama.Span{{Seq: s, Tokens: probe.Encode(m, w.Text).Tokens, Logits: llama.LastLogits}},
		Hooks: injector.Hooks(),
	}))
	logits := r.Logits(0)
	require.Len(t, w.Logits, (len(logits)+w.Every-1)/w.Every)
	for i, l := range w.Logits {
		require.InDelta(t, l, logits[i*w.Every], 1e-4, "steered logit of token %d", i*w.Every)
	}
}
