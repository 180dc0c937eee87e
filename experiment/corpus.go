package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/probe"
)

// ErrCorpus says that the texts at hand are not those that vectors were built
// from.
var ErrCorpus = errors.New("another corpus")

// ErrInSample says that vectors would be tested on what they were built from.
var ErrInSample = errors.New("test stories are not held out")

// TrainingCorpus finds the part of a corpus that vectors were built from: the
// selection by the emotions and topics of their provenance, with the neutral
// texts of those topics or all of them, whose hash is that of the provenance.
// If there is none, the error wraps ErrCorpus.
func TrainingCorpus(v *probe.Vectors, base *emotion.Corpus) (*emotion.Corpus, error) {
	p := &v.Provenance
	if base.Hash() == p.Corpus {
		return base, nil
	}
	filters := []emotion.Filter{
		{Topics: p.Topics},
		{ExcludeTopics: p.Excluded},
		{Topics: p.Topics, AllNeutral: true},
	}
	for _, f := range filters {
		for _, names := range [][]string{nil, v.Emotions} {
			f.Emotions = names
			// A selection that fails names what base does not have: then
			// base is another corpus.
			if c, err := base.Select(f); err == nil && c.Hash() == p.Corpus {
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("experiment: the vectors were built from %w: their corpus_sha256 is %s, and no selection of the corpus at hand (%s) by their %d emotions and %d topics has it",
		ErrCorpus, p.Corpus, base.Hash(), len(v.Emotions), len(p.Topics))
}

// HeldOutCorpus selects the stories that vectors are tested on: those of the
// given topics and of the vectors' emotions. No topics means those that the
// vectors' provenance says were left out or, where it names none, those of the
// corpus that the vectors were not built from; if there are none, the error
// wraps ErrInSample.
func HeldOutCorpus(v *probe.Vectors, base *emotion.Corpus, topics []string) (*emotion.Corpus, error) {
	if len(topics) == 0 {
		topics = v.Provenance.Excluded
	}
	if len(topics) == 0 {
		for _, t := range base.Topics {
			if !slices.Contains(v.Provenance.Topics, t) {
				topics = append(topics, t)
			}
		}
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("experiment: %w: the vectors were built from all %d topics of the corpus; build them again without some, or give other stories",
			ErrInSample, len(base.Topics))
	}
	var names []string
	for _, e := range base.Emotions {
		if _, err := emotion.Resolve(v.Emotions, e); err == nil {
			names = append(names, e)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("experiment: the corpus has none of the vectors' %d emotions", len(v.Emotions))
	}
	c, err := base.Select(emotion.Filter{Emotions: names, Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("experiment: test stories: %w", err)
	}
	return c, nil
}

// checkHeldOut finds the topics and the number of stories that training and
// test stories share.
func checkHeldOut(train, test *emotion.Corpus) (topics []string, stories int) {
	for _, t := range test.Topics {
		if slices.Contains(train.Topics, t) {
			topics = append(topics, t)
		}
	}
	texts := make(map[string]bool, len(train.Stories))
	for i := range train.Stories {
		texts[train.Stories[i].Text] = true
	}
	for i := range test.Stories {
		if texts[test.Stories[i].Text] {
			stories++
		}
	}
	return topics, stories
}

// inSampleError explains what is shared.
func inSampleError(topics []string, stories int) error {
	what := fmt.Sprintf("%d of them are among the training stories", stories)
	if len(topics) > 0 {
		what = fmt.Sprintf("the vectors were built from the topics %s too, and %s", strings.Join(topics, ", "), what)
	}
	return fmt.Errorf("experiment: %w: %s; build the vectors without these topics, give other stories, or ask for a result in sample, which is marked so", ErrInSample, what)
}
