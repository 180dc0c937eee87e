package emotion

import (
	"errors"
	"fmt"
	"slices"
)

// A Filter says which part of a corpus to keep. Its zero value keeps
// everything. Names may be spelled as [Resolve] allows.
type Filter struct {
	Emotions      []string // keep only these; empty keeps all
	Topics        []string // keep only these; empty keeps all
	ExcludeTopics []string // drop these, after Topics has been applied

	// AllNeutral keeps every neutral text. Otherwise the topics decide about
	// neutral texts too, so that a topic held out is held out altogether.
	// Neutral texts on topics that no story has then stay unless Topics is
	// given; such topics cannot be named.
	AllNeutral bool
}

// Select returns the part of the corpus that a filter keeps, in the order of
// the corpus (the order within the filter does not matter). Unknown names are
// an [*UnknownError]. A filter that leaves no story, or none of an emotion that
// it names, is an error. Topics, and emotions it doesn't name, that are left
// without stories are left out. The result has slices of its own.
func (c *Corpus) Select(f Filter) (*Corpus, error) {
	emotions, err := choose("emotion", c.Emotions, f.Emotions)
	if err != nil {
		return nil, err
	}
	topics, err := choose("topic", c.Topics, f.Topics)
	if err != nil {
		return nil, err
	}
	// Every name to be excluded must exist, even if Topics has dropped it
	// already: a misspelled one would leave a topic in that should be out.
	drop := make(map[string]bool)
	for _, name := range f.ExcludeTopics {
		t, err := c.Topic(name)
		if err != nil {
			return nil, err
		}
		drop[t] = true
	}
	keepEmotion, keepTopic := make(map[string]bool), make(map[string]bool)
	for _, e := range emotions {
		keepEmotion[e] = true
	}
	for _, t := range topics {
		keepTopic[t] = !drop[t]
	}
	out := new(Corpus)
	haveEmotion, haveTopic := make(map[string]bool), make(map[string]bool)
	for _, s := range c.Stories {
		if keepEmotion[s.Emotion] && keepTopic[s.Topic] {
			out.Stories = append(out.Stories, s)
			haveEmotion[s.Emotion], haveTopic[s.Topic] = true, true
		}
	}
	if len(out.Stories) == 0 {
		return nil, errors.New("emotion: select: the filter leaves no stories")
	}
	if len(f.Emotions) > 0 {
		for _, e := range emotions {
			if !haveEmotion[e] {
				return nil, fmt.Errorf("emotion: select: no stories of %q on the chosen topics", e)
			}
		}
	}
	// What is left without stories would be a row without data.
	for _, e := range c.Emotions {
		if haveEmotion[e] {
			out.Emotions = append(out.Emotions, e)
		}
	}
	for _, t := range c.Topics {
		if haveTopic[t] {
			out.Topics = append(out.Topics, t)
		}
	}
	for _, n := range c.Neutral {
		// A topic that only neutral texts have is kept unless Topics is given.
		only := len(f.Topics) == 0 && !slices.Contains(c.Topics, n.Topic)
		if f.AllNeutral || keepTopic[n.Topic] || only {
			out.Neutral = append(out.Neutral, n)
		}
	}
	for _, d := range c.Dialogues {
		if haveEmotion[d.Emotion] {
			out.Dialogues = append(out.Dialogues, d)
		}
	}
	return out, nil
}

// choose resolves names against a list; no names mean the whole list.
func choose(noun string, list, names []string) ([]string, error) {
	if len(names) == 0 {
		return list, nil
	}
	var out []string
	for _, name := range names {
		s, err := resolve(noun, list, name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
