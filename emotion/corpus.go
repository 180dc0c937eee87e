package emotion

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
)

// A Corpus is a set of texts about emotions in canonical order (see the package
// documentation). It is data: nothing in this package changes a Corpus once it
// has been made, and the one that [Embedded] returns is shared, so treat it as
// read-only.
type Corpus struct {
	Emotions  []string   // in the order of emotions.txt, which is the row order of vectors
	Topics    []string   // the topics of the stories
	Stories   []Story    // by emotion, then topic, then place in the file
	Neutral   []Neutral  // by topic, then place in the file; may be empty
	Dialogues []Dialogue // by emotion; may be empty
}

// A Story is a short text that shows an emotion without naming it.
type Story struct {
	Emotion string
	Topic   string
	Writer  string // the hand that wrote it, such as "h01"; empty if not known
	Text    string
}

// The kinds of [Neutral] text.
const (
	KindDialogue = "dialogue" // a user–assistant exchange, with turns
	KindPassage  = "passage"  // running text
)

// A Neutral is a text without emotion, from which the directions that have
// nothing to do with emotion are estimated.
type Neutral struct {
	Kind  string // KindDialogue or KindPassage
	Topic string
	Text  string
	Turns []Turn // the turns of a dialogue; nil for a passage
}

// A Dialogue is a chat in which the user is in the grip of an emotion, which is
// never named, and the assistant answers fittingly.
type Dialogue struct {
	Emotion string
	Text    string // the whole chat, with its role labels
	Turns   []Turn
}

// The roles of a [Turn].
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// A Turn is what one side says before the other answers.
type Turn struct {
	Role string // RoleUser or RoleAssistant
	Text string // without the label
}

// Hash returns the SHA-256, in hexadecimal, of the canonical serialisation of
// the corpus. It depends on names, writers, texts and their order in the
// corpus, and on nothing else: not on compression, file names, file order, line
// endings or the blank lines around texts.
//
// The serialisation is a sequence of strings, each written as its length in
// bytes in decimal, a colon, the bytes, and a line feed:
//
//	"limbic-corpus-1"
//	"emotions"   the number of emotions, then each emotion
//	"topics"     the number of topics, then each topic
//	"stories"    the number of stories, then for each: emotion, topic, writer, text
//	"neutral"    the number of neutral texts, then for each: kind, topic, text
//	"dialogues"  the number of dialogues, then for each: emotion, text
//
// Numbers are strings in decimal. Turns are not included: they follow from the
// text.
func (c *Corpus) Hash() string {
	h := sha256.New()
	var buf []byte
	put := func(fields ...string) {
		for _, s := range fields {
			buf = strconv.AppendInt(buf[:0], int64(len(s)), 10)
			buf = append(buf, ':')
			buf = append(buf, s...)
			buf = append(buf, '\n')
			h.Write(buf)
		}
	}
	put("limbic-corpus-1")
	put("emotions", strconv.Itoa(len(c.Emotions)))
	put(c.Emotions...)
	put("topics", strconv.Itoa(len(c.Topics)))
	put(c.Topics...)
	put("stories", strconv.Itoa(len(c.Stories)))
	for _, s := range c.Stories {
		put(s.Emotion, s.Topic, s.Writer, s.Text)
	}
	put("neutral", strconv.Itoa(len(c.Neutral)))
	for _, n := range c.Neutral {
		put(n.Kind, n.Topic, n.Text)
	}
	put("dialogues", strconv.Itoa(len(c.Dialogues)))
	for _, d := range c.Dialogues {
		put(d.Emotion, d.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Writers returns the names of the hands that wrote the stories, sorted. It is
// empty if the corpus does not say.
func (c *Corpus) Writers() []string {
	seen := make(map[string]bool)
	var names []string
	for _, s := range c.Stories {
		if s.Writer != "" && !seen[s.Writer] {
			seen[s.Writer] = true
			names = append(names, s.Writer)
		}
	}
	slices.Sort(names)
	return names
}

// Writer returns the hand that wrote the story (the first, if there are
// several) of an emotion on a topic, both in the spelling of the corpus. It is
// false if there is no such story or its writer is not known. It searches the
// stories: loops should read [Story.Writer] instead.
func (c *Corpus) Writer(emotion, topic string) (string, bool) {
	for _, s := range c.Stories {
		if s.Emotion == emotion && s.Topic == topic {
			return s.Writer, s.Writer != ""
		}
	}
	return "", false
}

// StoriesOf returns the stories of one emotion, given in the spelling of the
// corpus. The slice is a view of c.Stories.
func (c *Corpus) StoriesOf(emotion string) []Story {
	i := slices.IndexFunc(c.Stories, func(s Story) bool { return s.Emotion == emotion })
	if i < 0 {
		return nil
	}
	j := i
	for j < len(c.Stories) && c.Stories[j].Emotion == emotion {
		j++
	}
	return c.Stories[i:j:j]
}

// NeutralOf returns the neutral texts of one kind, KindDialogue or KindPassage.
func (c *Corpus) NeutralOf(kind string) []Neutral {
	var out []Neutral
	for _, n := range c.Neutral {
		if n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

// Export writes the corpus as a folder in the layout of the package
// documentation, making dir if need be. It overwrites files of the same names
// and leaves others alone. A corpus put together by hand that the layout cannot
// hold, so that [LoadDir] would not give it back, is an error, and nothing is
// written.
func (c *Corpus) Export(dir string) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	return writeFiles(dir, files)
}

// WriteTar writes the files that [Corpus.Export] would write as a tar archive:
// names sorted, times zero, no owners, so that equal corpora give equal bytes.
// The archive embedded in this package is this one, compressed by gzip.
func (c *Corpus) WriteTar(w io.Writer) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	return writeTar(w, files)
}
