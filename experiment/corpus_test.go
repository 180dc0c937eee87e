package experiment

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/probe"
)

// vectorsOf has the provenance of vectors built from a corpus, and no vectors.
func vectorsOf(c *emotion.Corpus, excluded ...string) *probe.Vectors {
	return &probe.Vectors{
		Emotions:   c.Emotions,
		Provenance: probe.Provenance{Corpus: c.Hash(), Topics: c.Topics, Excluded: excluded},
	}
}

func TestTrainingCorpus(t *testing.T) {
	base := emotion.Embedded()
	filters := map[string]emotion.Filter{
		"everything":  {},
		"excluded":    {ExcludeTopics: []string{"sea", "cafe"}},
		"chosen":      {Topics: []string{"sea", "cafe"}},
		"all neutral": {Topics: []string{"sea", "cafe"}, AllNeutral: true},
		"emotions":    {Emotions: []string{"calm", "sad"}, ExcludeTopics: []string{"sea"}},
	}
	for name, f := range filters {
		c, err := base.Select(f)
		require.NoError(t, err)
		got, err := TrainingCorpus(vectorsOf(c, f.ExcludeTopics...), base)
		require.NoError(t, err, name)
		require.Equal(t, c.Hash(), got.Hash(), name)
	}

	c, err := base.Select(emotion.Filter{Topics: []string{"sea"}})
	require.NoError(t, err)
	c.Stories[0].Text += " "
	_, err = TrainingCorpus(vectorsOf(c), base)
	require.ErrorIs(t, err, ErrCorpus)
	require.ErrorContains(t, err, c.Hash())
}

func TestHeldOutCorpus(t *testing.T) {
	base := emotion.Embedded()
	c, err := base.Select(emotion.Filter{Emotions: []string{"calm", "sad"}, ExcludeTopics: []string{"sea", "cafe"}})
	require.NoError(t, err)

	for _, v := range []*probe.Vectors{vectorsOf(c, "sea", "cafe"), vectorsOf(c)} {
		got, err := HeldOutCorpus(v, base, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"sea", "cafe"}, got.Topics)
		require.Equal(t, []string{"calm", "sad"}, got.Emotions)
		require.Len(t, got.Stories, 4)
	}
	got, err := HeldOutCorpus(vectorsOf(c, "sea", "cafe"), base, []string{"Cafe"})
	require.NoError(t, err)
	require.Equal(t, []string{"cafe"}, got.Topics)

	// Another corpus may spell an emotion in another way.
	other := &emotion.Corpus{
		Emotions: []string{"at-ease", "Weltschmerz"}, Topics: []string{"moor"},
		Stories: []emotion.Story{{Emotion: "at-ease", Topic: "moor"}, {Emotion: "Weltschmerz", Topic: "moor"}},
	}
	got, err = HeldOutCorpus(vectorsOf(base), other, []string{"moor"})
	require.NoError(t, err)
	require.Equal(t, []string{"at-ease"}, got.Emotions)

	_, err = HeldOutCorpus(vectorsOf(base), base, nil)
	require.ErrorIs(t, err, ErrInSample)
	require.ErrorContains(t, err, "all 24 topics")
	_, err = HeldOutCorpus(vectorsOf(c), base, []string{"seaside"})
	require.ErrorIs(t, err, emotion.ErrUnknown)
	_, err = HeldOutCorpus(&probe.Vectors{Emotions: []string{"Weltschmerz"}}, base, []string{"sea"})
	require.ErrorContains(t, err, "none of the vectors' 1 emotions")
}
