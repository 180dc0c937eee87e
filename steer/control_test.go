package steer

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// controlSource builds real vectors of a small model, with the stories' means
// beside them.
func controlSource(t *testing.T) *ControlSource {
	t.Helper()
	m := openModel(t, filepath.Join("..", "testdata", "models", "tiny-f32.gguf"))
	r := newRunner(t, m, llama.RunnerOptions{})
	c, err := emotion.Embedded().Select(emotion.Filter{Emotions: []string{"afraid", "calm", "happy"}, Topics: []string{"sea", "cafe", "farm", "court"}})
	require.NoError(t, err)
	c.Neutral = c.Neutral[:6]
	for i := range c.Stories {
		c.Stories[i].Text = c.Stories[i].Text[:220]
	}
	out := filepath.Join(t.TempDir(), "v.safetensors")
	res, err := probe.Build(t.Context(), r, c, probe.BuildOptions{Out: out})
	require.NoError(t, err)
	stories, err := probe.LoadStories(probe.SidecarPath(out))
	require.NoError(t, err)
	return &ControlSource{
		Vectors: res.Vectors, Form: probe.Denoised, Site: res.Vectors.DefaultSite(), Emotion: 1, Stories: stories,
	}
}

func TestControlsAreUnitVectorsOfTheirSeed(t *testing.T) {
	s := controlSource(t)
	for _, kind := range Controls() {
		three, err := s.Directions(kind, 7, 3)
		require.NoError(t, err)
		two, err := s.Directions(kind, 7, 2)
		require.NoError(t, err)
		require.Equal(t, three[:2], two, kind)
		other, err := s.Directions(kind, 8, 1)
		require.NoError(t, err)
		require.NotEqual(t, two[0], other[0], kind)
		for _, d := range three {
			require.InDelta(t, 1, probe.Norm(d), 1e-6, kind)
		}
	}
	parsed, err := ParseControl("LABELS")
	require.NoError(t, err)
	require.Equal(t, Labels, parsed)
	_, err = ParseControl("noise")
	require.ErrorContains(t, err, `unknown control "noise" (known: isotropic, coordinates, covariance, labels)`)
	_, err = s.Directions("noise", 1, 1)
	require.ErrorContains(t, err, "unknown control")
}

// Covariance controls spread as the stories do: along a direction in which
// stories vary more, so do the controls.
func TestCovarianceControlsFollowTheStories(t *testing.T) {
	s := controlSource(t)
	f := s.Stories
	varied := *f
	varied.Means = append([]float32(nil), f.Means...)
	for i := range varied.Emotion {
		varied.Means[i*f.Width+5] += float32(100 * (i%2*2 - 1))
	}
	s.Stories = &varied
	ds, err := s.Directions(Covariance, 1, 20)
	require.NoError(t, err)
	share := 0.0
	for _, d := range ds {
		share += float64(d[5]) * float64(d[5]) / 20
	}
	require.Greater(t, share, 0.9)
}

// Shuffled labels carry nothing of the emotion, and the recipe is the vectors'
// own: with the labels as they are it gives the vector itself.
func TestLabelControlsAreTheRecipe(t *testing.T) {
	s := controlSource(t)
	v, err := s.Vectors.Vector(s.Site, s.Form, s.Emotion)
	require.NoError(t, err)
	same, err := s.relabelled(s.Stories.Emotion)
	require.NoError(t, err)
	require.InDelta(t, 1, probe.Cosine(v, same), 1e-6)
	ds, err := s.Directions(Labels, 3, 40)
	require.NoError(t, err)
	sum := 0.0
	for _, d := range ds {
		cos := probe.Cosine(v, d)
		require.Less(t, math.Abs(cos), 0.999)
		sum += cos
	}
	require.Less(t, math.Abs(sum/40), 0.3)
}

func TestControlsRefuseOtherStories(t *testing.T) {
	s := controlSource(t)
	own := s.Stories
	s.Stories = nil
	_, err := s.Directions(Labels, 1, 1)
	require.ErrorContains(t, err, "which are missing")
	other := *own
	other.Provenance.MeansSHA256 = "00"
	s.Stories = &other
	_, err = s.Directions(Covariance, 1, 1)
	require.ErrorContains(t, err, "means_sha256 is 00")
	other = *own
	other.Site = llama.Site{Point: llama.ResidPost, Block: 0}
	_, err = s.Directions(Covariance, 1, 1)
	require.ErrorContains(t, err, "of resid_post:0, the vector of resid_post:2")
	_, err = s.Directions(Coordinates, 1, 1)
	require.NoError(t, err, "which needs no stories")
}
