package probe

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
)

func TestDerive(t *testing.T) {
	s := &Samples{
		Site: llama.Site{Point: llama.ResidPost, Block: 1}, Width: 2, Emotions: 2, Hands: 3,
		Emotion: []int{0, 0, 1, 1}, Hand: []int{1, 2, 1, 2},
		// Hand 2 adds (10, 0); emotion 1 adds (0, 4).
		Means:   []float32{0, 0, 10, 0, 0, 4, 10, 4},
		Neutral: [][]float32{{-1, 0}, {1, 0}, {0, 0.5}, {0, -0.5}}, Threshold: 0.5,
	}
	v, err := s.Derive()
	require.NoError(t, err)
	require.Equal(t, s.Site, v.Site)
	require.Equal(t, []float32{5, 0, 5, 4}, v.ByForm[RawMean])
	require.Equal(t, []float32{0, -2, 0, 2}, v.ByForm[Contrast])
	require.Equal(t, []float32{1, 0}, v.Basis)
	require.Equal(t, []float32{0, 0}, v.NeutralMean[FormatRaw])
	require.Equal(t, []float32{-2, 2}, v.ProjectionMean)

	// Given components are removed in place of the neutral ones.
	s.Basis = []float32{0, 1}
	v, err = s.Derive()
	require.NoError(t, err)
	require.Equal(t, []float32{0, -2, 0, 2}, v.ByForm[Contrast])
	require.Equal(t, []float32{0, 0, 0, 0}, v.ByForm[Denoised])
	require.Equal(t, []float32{0, 0, 0, 0}, v.ByForm[PlainDenoised])

	for want, change := range map[string]func(*Samples){
		"3 hands":              func(s *Samples) { s.Hand = s.Hand[:3] },
		"width 0":              func(s *Samples) { s.Width = 0 },
		"emotion 2 of 2":       func(s *Samples) { s.Emotion = []int{0, 0, 1, 2} },
		"hand 3 of 3":          func(s *Samples) { s.Hand = []int{0, 0, 1, 3} },
		"emotion 1 was":        func(s *Samples) { s.Emotion = []int{0, 0, 0, 0} },
		"a basis of 3":         func(s *Samples) { s.Basis = []float32{1, 0, 0} },
		"neutral text 0 has w": func(s *Samples) { s.Neutral = [][]float32{{1}} },
	} {
		bad := *s
		change(&bad)
		_, err := bad.Derive()
		require.ErrorContains(t, err, want)
	}
}

func TestLoadStories(t *testing.T) {
	c := &emotion.Corpus{
		Emotions: []string{"calm", "sad"}, Topics: []string{"sea", "farm"},
		Stories: []emotion.Story{
			{Emotion: "calm", Topic: "sea", Writer: "h2"}, {Emotion: "calm", Topic: "farm"},
			{Emotion: "sad", Topic: "sea", Writer: "h1"}, {Emotion: "sad", Topic: "farm", Writer: "h2"},
		},
	}
	v := &Vectors{Width: 2, Provenance: Provenance{Blocks: 3, MeansSHA256: "0123"}}
	s := &StoryMeans{Site: llama.Site{Point: llama.ResidPost, Block: 2}, Index: []int{0, 1, 3}, Means: []float32{1, 2, 3, 4, 5, 6}}
	path := filepath.Join(t.TempDir(), "s")
	require.NoError(t, s.Save(path, v, c))
	again := filepath.Join(t.TempDir(), "s")
	require.NoError(t, s.Save(again, v, c))
	require.Equal(t, fileBytes(t, path), fileBytes(t, again))

	got, err := LoadStories(path)
	require.NoError(t, err)
	require.Equal(t, &StoryFile{
		Provenance: v.Provenance, Site: s.Site, Width: 2,
		Emotions: c.Emotions, Topics: c.Topics, Writers: []string{"", "h1", "h2"},
		Emotion: []int{0, 0, 1}, Topic: []int{0, 1, 1}, Writer: []int{2, 0, 2}, Index: s.Index, Means: s.Means,
	}, got)

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	for want, change := range map[string][2]string{
		"limbic stories 1":                  {"limbic stories 1", "limbic stories 9"},
		`tensor "story_emotion": element 2`: {`[\"calm\",\"sad\"]`, `[\"calm,    sad\"]`},
		"resid_post.1/story_mean":           {`\"site\":\"resid_post:2\"`, `\"site\":\"resid_post:1\"`},
	} {
		require.True(t, bytes.Contains(file, []byte(change[0])), change[0])
		bad := filepath.Join(t.TempDir(), "bad")
		require.NoError(t, os.WriteFile(bad, bytes.Replace(file, []byte(change[0]), []byte(change[1]), 1), 0o666))
		_, err := LoadStories(bad)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, bad)
	}
	// Rows that are out of order.
	for want, index := range map[string][]int{
		`tensor "story_index": element 1 is 0 after 1`: {1, 0, 3},
		`tensor "story_index": element 2 is 3 after 3`: {0, 3, 3},
	} {
		bad := *s
		bad.Index = index
		require.NoError(t, bad.Save(again, v, c))
		_, err := LoadStories(again)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, again)
	}
	_, err = LoadStories(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
