package emotion

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestEmbeddedCounts(t *testing.T) {
	c := Embedded()
	require.Same(t, c, Embedded())
	require.Len(t, c.Emotions, 171)
	require.Equal(t, Emotions(), c.Emotions)
	require.Equal(t, strings.Fields("school kitchen office hospital farm sea match workshop street journey letter animal"+
		" party library stage winter garden cafe court hotel night interview machine memory"), c.Topics)
	require.Len(t, c.Stories, 4104)
	require.Len(t, c.Neutral, 240)
	require.Len(t, c.Dialogues, 171)
	require.Len(t, c.Writers(), 14)

	for i, s := range c.Stories { // canonical order also means 24 for each emotion, one for each topic
		require.Equal(t, c.Emotions[i/24], s.Emotion)
		require.Equal(t, c.Topics[i%24], s.Topic)
		require.NotEmpty(t, s.Writer)
		requireText(t, s.Text)
	}
	for i, n := range c.Neutral {
		require.Equal(t, c.Topics[i/10], n.Topic)
		requireText(t, n.Text)
		require.Equal(t, n.Kind == KindDialogue, len(n.Turns) > 0)
	}
	require.Len(t, c.NeutralOf(KindDialogue), 120)
	require.Len(t, c.NeutralOf(KindPassage), 120)
	require.Empty(t, c.NeutralOf("poem"))
	for i, d := range c.Dialogues {
		require.Equal(t, c.Emotions[i], d.Emotion)
		requireText(t, d.Text)
		require.GreaterOrEqual(t, len(d.Turns), 2)
		require.Equal(t, RoleUser, d.Turns[0].Role)
		require.Equal(t, RoleAssistant, d.Turns[len(d.Turns)-1].Role)
	}
}

func requireText(t *testing.T, s string) {
	t.Helper()
	require.True(t, utf8.ValidString(s))
	require.NotEmpty(t, s)
	require.Equal(t, strings.TrimSpace(s), s)
	require.NotContains(t, s, "\r")
}

// The figures of the README.
func TestEmbeddedLengths(t *testing.T) {
	c := Embedded()
	count := func(n int, text func(int) string) (total, least, median, most int) {
		var w []int
		for i := range n {
			w = append(w, len(strings.Fields(text(i))))
			total += w[i]
		}
		slices.Sort(w)
		return total, w[0], w[n/2], w[n-1]
	}
	check := func(want [4]int, n int, text func(int) string) {
		t.Helper()
		total, least, median, most := count(n, text)
		require.Equal(t, want, [4]int{total, least, median, most})
	}
	check([4]int{519054, 109, 128, 130}, len(c.Stories), func(i int) string { return c.Stories[i].Text })
	check([4]int{28499, 85, 120, 141}, len(c.Neutral), func(i int) string { return c.Neutral[i].Text })
	check([4]int{24235, 128, 143, 146}, len(c.Dialogues), func(i int) string { return c.Dialogues[i].Text })
}

// Emotions are shown, never named.
func TestStoriesDoNotNameTheirEmotion(t *testing.T) {
	c := Embedded()
	named := func(emotion, text string) bool {
		pattern := `(?i)\b` + strings.ReplaceAll(regexp.QuoteMeta(key(emotion)), " ", `[- ]`) + `\b`
		return regexp.MustCompile(pattern).MatchString(text)
	}
	require.True(t, named("at ease", "She was At-Ease."))
	for _, e := range c.Emotions {
		for _, s := range c.StoriesOf(e) {
			require.False(t, named(e, s.Text), "%s, %s", e, s.Topic)
		}
	}
	for _, d := range c.Dialogues {
		require.False(t, named(d.Emotion, d.Text), d.Emotion)
	}
}

func TestHashGolden(t *testing.T) {
	// The constant was computed by a program in another language from the
	// plain folder, following the documentation of Hash.
	require.Equal(t, EmbeddedHash, Embedded().Hash())
}

func TestHashSeesEverything(t *testing.T) {
	base := mustLoad(t, small())
	seen := map[string]string{base.Hash(): "base"}
	for name, change := range map[string]func(*Corpus){
		"emotion":       func(c *Corpus) { c.Emotions[0] += "x" },
		"emotion order": func(c *Corpus) { slices.Reverse(c.Emotions) },
		"topic":         func(c *Corpus) { c.Topics[0] += "x" },
		"story emotion": func(c *Corpus) { c.Stories[0].Emotion += "x" },
		"story topic":   func(c *Corpus) { c.Stories[0].Topic += "x" },
		"story writer":  func(c *Corpus) { c.Stories[0].Writer += "x" },
		"story text":    func(c *Corpus) { c.Stories[0].Text += "x" },
		"story border": func(c *Corpus) {
			c.Stories[0].Writer += c.Stories[0].Text[:1]
			c.Stories[0].Text = c.Stories[0].Text[1:]
		},
		"story missing":  func(c *Corpus) { c.Stories = c.Stories[1:] },
		"neutral kind":   func(c *Corpus) { c.Neutral[0].Kind += "x" },
		"neutral topic":  func(c *Corpus) { c.Neutral[0].Topic += "x" },
		"neutral text":   func(c *Corpus) { c.Neutral[0].Text += "x" },
		"dialogue":       func(c *Corpus) { c.Dialogues[0].Emotion += "x" },
		"dialogue text":  func(c *Corpus) { c.Dialogues[0].Text += "x" },
		"no dialogues":   func(c *Corpus) { c.Dialogues = nil },
		"no neutral":     func(c *Corpus) { c.Neutral = nil },
		"two stories on": func(c *Corpus) { c.Stories[0], c.Stories[1] = c.Stories[1], c.Stories[0] },
	} {
		c := mustLoad(t, small())
		change(c)
		h := c.Hash()
		require.NotContains(t, seen, h, name)
		seen[h] = name
	}
}

// The folder that the archive was made of, where there is one.
func sharedCorpus(t *testing.T) string {
	for _, dir := range []string{"../shared/corpus", "../../shared/corpus"} {
		if _, err := os.Stat(filepath.Join(dir, emotionsFile)); err == nil {
			return dir
		}
	}
	t.Skip("no shared test material")
	return ""
}

func TestEmbeddedEqualsSharedFolder(t *testing.T) {
	dir := sharedCorpus(t)
	c, err := LoadDir(dir)
	require.NoError(t, err)
	require.Equal(t, Embedded(), c)
	require.Equal(t, EmbeddedHash, c.Hash())

	// An export gives the very files back, but for blank lines at their ends.
	files, err := c.files()
	require.NoError(t, err)
	for name, text := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, strings.TrimRight(string(b), "\n")+"\n" == text, name)
	}
}

func TestArchiveIsWhatWriteTarWrites(t *testing.T) {
	// Compared after decompression: the compressor may change with Go.
	var a, b bytes.Buffer
	require.NoError(t, Embedded().WriteTar(&a))
	require.NoError(t, Embedded().WriteTar(&b))
	require.Equal(t, gunzip(t, archive), a.Bytes())
	require.Equal(t, a.Bytes(), b.Bytes())
}

func TestDecodeRejectsDamage(t *testing.T) {
	_, err := decode("no archive")
	require.ErrorContains(t, err, "emotion: embedded archive")
	_, err = decode(archive[:len(archive)/2])
	require.ErrorContains(t, err, "emotion: embedded archive")
	b := []byte(archive)
	b[len(b)-6] ^= 1 // the checksum at the end
	_, err = decode(string(b))
	require.ErrorContains(t, err, "checksum")
}

func TestExportRoundTrip(t *testing.T) {
	heldOut, err := Embedded().Select(Filter{Emotions: []string{"on edge", "sad"}, ExcludeTopics: []string{"sea", "party"}})
	require.NoError(t, err)
	ragged := small()
	ragged["stories/at-ease.txt"] = "## lane\nAnother.\n\n## lane\nAnd another.\n"
	ragged["writers.tsv"] = "emotion\twriter_of_topics_1_to_1\twriter_of_topics_2_to_2\nsad\tA\tB\nat ease\t-\tC\n"
	bare := fstest.MapFS{}
	for name, text := range map[string]string{"emotions.txt": "sad\n", "stories/sad.txt": "## a\nx\n"} {
		bare[name] = &fstest.MapFile{Data: []byte(text)}
	}
	bareCorpus, err := LoadFS(bare)
	require.NoError(t, err)
	for name, c := range map[string]*Corpus{
		"embedded": Embedded(), "held out": heldOut, "small": mustLoad(t, small()), "ragged": mustLoad(t, ragged), "bare": bareCorpus,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "corpus")
			require.NoError(t, c.Export(dir))
			back, err := LoadDir(dir)
			require.NoError(t, err)
			require.Equal(t, c, back)
		})
	}
}

func TestExportRefusesWhatTheLayoutCannotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Corpus)
		err    string
	}{
		"untrimmed text":     {func(c *Corpus) { c.Stories[0].Text += "\n" }, "canonical order"},
		"heading in a text":  {func(c *Corpus) { c.Stories[0].Text += "\n##x" }, "malformed heading"},
		"order":              {func(c *Corpus) { slices.Reverse(c.Stories) }, "canonical order"},
		"name with a slash":  {func(c *Corpus) { c.Emotions[0] = "a/b" }, "must not contain"},
		"topic outside":      {func(c *Corpus) { c.Neutral[0].Topic = "../../x" }, "canonical order"},
		"dialogue of nobody": {func(c *Corpus) { c.Dialogues[0].Emotion = "glad" }, "unknown emotion"},
		"writers within a pair": {func(c *Corpus) {
			c.Stories = slices.Insert(c.Stories, 1, c.Stories[0])
			c.Stories[1].Writer = "else"
		}, "canonical order"},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, small())
			tc.change(c)
			dir := filepath.Join(t.TempDir(), "out")
			err := c.Export(dir)
			require.ErrorContains(t, err, "emotion: export: ")
			require.ErrorContains(t, err, tc.err)
			require.NoDirExists(t, dir)
			require.Error(t, c.WriteTar(new(bytes.Buffer)))
		})
	}
}

func TestExportFailsOnAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.ErrorContains(t, mustLoad(t, small()).Export(file), "emotion: export: ")
}

// small is a complete corpus of two emotions.
func small() map[string]string {
	return map[string]string{
		"emotions.txt":          "sad\nat ease\n",
		"stories/sad.txt":       "## lane\nOne.\n\n## well\nTwo,\n\n  and more. \n",
		"stories/at-ease.txt":   "\n## well\n\n\nFour.\n \n## lane\nThree.",
		"neutral/lane.txt":      "## passage\nA road.\n## dialogue\nUser: How long?\nAssistant: A mile.\n",
		"neutral/airport.txt":   "## passage\nGates.\n",
		"dialogues/at-ease.txt": "User: Ah.\n\nAssistant: Quite.\nUser: Mm.\n",
		"writers.tsv":           "emotion\twriter\nat ease\tB\nSad\tA\n",
	}
}

func mapFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func mustLoad(t *testing.T, files map[string]string) *Corpus {
	t.Helper()
	c, err := LoadFS(mapFS(files))
	require.NoError(t, err)
	return c
}

func TestLoadSmall(t *testing.T) {
	require.Equal(t, &Corpus{
		Emotions: []string{"sad", "at ease"},
		Topics:   []string{"lane", "well"},
		Stories: []Story{
			{"sad", "lane", "A", "One."},
			{"sad", "well", "A", "Two,\n\n  and more. "},
			{"at ease", "lane", "B", "Three."},
			{"at ease", "well", "B", "Four."},
		},
		Neutral: []Neutral{
			{KindPassage, "lane", "A road.", nil},
			{KindDialogue, "lane", "User: How long?\nAssistant: A mile.", []Turn{{RoleUser, "How long?"}, {RoleAssistant, "A mile."}}},
			{KindPassage, "airport", "Gates.", nil},
		},
		Dialogues: []Dialogue{{
			"at ease", "User: Ah.\n\nAssistant: Quite.\nUser: Mm.",
			[]Turn{{RoleUser, "Ah."}, {RoleAssistant, "Quite."}, {RoleUser, "Mm."}},
		}},
	}, mustLoad(t, small()))
}

func TestLoadIgnoresLineEndingsAndStrayFiles(t *testing.T) {
	want := mustLoad(t, small()).Hash()
	for name, f := range map[string]func(string) string{
		"windows": func(s string) string { return "\ufeff" + strings.ReplaceAll(s, "\n", "\r\n") },
		"old mac": func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"padded":  func(s string) string { return s + "\n \n\t\n" },
	} {
		files := small()
		for k := range files {
			files[k] = f(files[k])
		}
		require.Equal(t, want, mustLoad(t, files).Hash(), name)
	}
	files := small()
	files["README.md"] = "read me"
	files["stories/notes.md"] = "note"
	files["stories/.sad.txt"] = "\xff"
	files["stories/old/sad.txt"] = "\xff"
	require.Equal(t, want, mustLoad(t, files).Hash())
}

func TestLoadErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		file, text string // "" for the text removes the file
		err        string
	}{
		"no emotions file":        {"emotions.txt", "", "emotions.txt: file does not exist"},
		"no emotions":             {"emotions.txt", "\n \n", "emotions.txt: no emotions"},
		"emotion twice":           {"emotions.txt", "sad\nat ease\n\nAt-Ease", `emotions.txt:4: emotion "At-Ease" is already on line 2`},
		"emotion with slash":      {"emotions.txt", "sad\na/b", `emotions.txt:2: emotion "a/b": must not contain any of`},
		"emotion with tab":        {"emotions.txt", "a\tb", `emotions.txt:1: emotion "a\tb": must not contain tabs`},
		"emotion with two spaces": {"emotions.txt", "a  b", `emotions.txt:1: emotion "a  b": must not contain two spaces`},
		"emotion with full stop":  {"emotions.txt", "..", `emotions.txt:1: emotion "..": must not begin or end with a full stop`},
		"emotion of hyphens":      {"emotions.txt", "-", `emotions.txt:1: emotion "-": must contain something`},
		"emotion too long":        {"emotions.txt", strings.Repeat("a", 101), "emotions.txt:1: emotion"},
		"not utf-8":               {"stories/sad.txt", "## a\nx\n\xffy\n", "stories/sad.txt:3: not valid utf-8"},
		"story file missing":      {"stories/sad.txt", "", `stories/sad.txt: no stories for emotion "sad": file does not exist`},
		"story file too many":     {"stories/sadd.txt", "## a\nx", `stories/sadd.txt: unknown emotion "sadd": did you mean "sad"?`},
		"story file misnamed":     {"stories/at ease.txt", "## a\nx", "stories/at ease.txt: no emotion of emotions.txt is spelled like this"},
		"story file empty":        {"stories/sad.txt", "\n", "stories/sad.txt: no texts"},
		"text before heading":     {"stories/sad.txt", "\nx\n## a\nx", "stories/sad.txt:2: text before the first heading"},
		"empty story":             {"stories/sad.txt", "## a\nx\n\n## b\n \n## c\nx", `stories/sad.txt:4: no text under the heading "b"`},
		"empty last story":        {"stories/sad.txt", "## a\nx\n\n## b", `stories/sad.txt:4: no text under the heading "b"`},
		"heading without space":   {"stories/sad.txt", "## a\nx\n##b\nx", `stories/sad.txt:3: malformed heading "##b"`},
		"heading too deep":        {"stories/sad.txt", "## a\nx\n### b\nx", `stories/sad.txt:3: malformed heading "### b"`},
		"heading without name":    {"stories/sad.txt", "## a\nx\n## \nx", `stories/sad.txt:3: malformed heading "## "`},
		"topic name":              {"stories/sad.txt", "## a:b\nx", `stories/sad.txt:1: topic "a:b": must not contain`},
		"topic spelled twice":     {"stories/at-ease.txt", "## a\nx\n## Lane\nx", `stories/at-ease.txt:3: topic "Lane" is spelled "lane" elsewhere`},
		"neutral kind":            {"neutral/lane.txt", "## passage\nx\n## poem\nx", `neutral/lane.txt:3: kind "poem" is neither`},
		"neutral empty":           {"neutral/lane.txt", " ", "neutral/lane.txt: no texts"},
		"neutral topic spelled":   {"neutral/Well.txt", "## passage\nx", `neutral/Well.txt: topic "Well" is spelled "well" elsewhere`},
		"neutral topic name":      {"neutral/a:b.txt", "## passage\nx", `neutral/a:b.txt: topic "a:b": must not contain`},
		"neutral label":           {"neutral/lane.txt", "## dialogue\n\nUser: x\nAsistant: y", "neutral/lane.txt:4: line begins neither with"},
		"dialogue too many":       {"dialogues/glad.txt", "User: x", `dialogues/glad.txt: unknown emotion "glad"`},
		"dialogue empty":          {"dialogues/sad.txt", "\n\n", "dialogues/sad.txt: no text"},
		"dialogue label":          {"dialogues/sad.txt", "\nUser: x\nBot: y", "dialogues/sad.txt:3: line begins neither with"},
		"dialogue assistant":      {"dialogues/sad.txt", "Assistant: x", "dialogues/sad.txt:1: the assistant speaks first"},
		"dialogue twice":          {"dialogues/sad.txt", "User: x\n\nUser: y", "dialogues/sad.txt:3: the user speaks twice in a row"},
		"dialogue silent":         {"dialogues/sad.txt", "User: x\nAssistant:  \n", "dialogues/sad.txt:2: the assistant says nothing"},
		"writers header":          {"writers.tsv", "who\twriter\n", "writers.tsv:1: the first line must be"},
		"writers empty":           {"writers.tsv", "\n", "writers.tsv:1: the first line must be"},
		"writers column":          {"writers.tsv", "emotion\thand\n", `writers.tsv:1: column "hand" is neither`},
		"writers gap":             {"writers.tsv", "emotion\twriter_of_topics_2_to_2\n", "writers.tsv:1: column \"writer_of_topics_2_to_2\": the columns must cover topics 1 to 2 in order; expected one from 1"},
		"writers too far":         {"writers.tsv", "emotion\twriter_of_topics_1_to_3\n", "expected one from 1"},
		"writers backwards":       {"writers.tsv", "emotion\twriter_of_topics_1_to_0\n", "expected one from 1"},
		"writers huge":            {"writers.tsv", "emotion\twriter_of_topics_1_to_99999999999999999999\n", "number out of range"},
		"writers short":           {"writers.tsv", "emotion\twriter_of_topics_1_to_1\n", "writers.tsv:1: no column for topics 2 to 2"},
		"writers twice":           {"writers.tsv", "emotion\twriter\twriter\n", "expected one from 3"},
		"writers cells":           {"writers.tsv", "emotion\twriter\nsad\tA\tB\n", "writers.tsv:2: 3 columns, but the first line has 2"},
		"writers unknown":         {"writers.tsv", "emotion\twriter\n\nsda\tA\n", `writers.tsv:3: unknown emotion "sda": did you mean "sad"?`},
		"writers repeated":        {"writers.tsv", "emotion\twriter\nsad\tA\nSAD\tA\n", `writers.tsv:3: emotion "sad" is already on line 2`},
		"writers blank cell":      {"writers.tsv", "emotion\twriter\nsad\t\n", `writers.tsv:2: writer "" in column 2 is empty or padded`},
		"writers padded cell":     {"writers.tsv", "emotion\twriter\nsad\tA \n", `writers.tsv:2: writer "A " in column 2 is empty or padded`},
		"writers missing":         {"writers.tsv", "emotion\twriter\nsad\tA\n", `writers.tsv: no line for emotion "at ease"`},
	} {
		t.Run(name, func(t *testing.T) {
			files := small()
			if files[tc.file] = tc.text; tc.text == "" {
				delete(files, tc.file)
			}
			c, err := LoadFS(mapFS(files))
			require.Nil(t, c)
			var fe *FileError
			require.ErrorAs(t, err, &fe)
			require.True(t, strings.HasPrefix(err.Error(), "emotion: "+tc.file), err.Error())
			require.ErrorContains(t, err, tc.err)
			require.Equal(t, 1, strings.Count(err.Error(), "emotion: "))
		})
	}
}

func TestLoadDir(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadDir(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "emotion: corpus folder: ")

	_, err = LoadDir(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "emotion: "+filepath.Join(dir, "emotions.txt")+": file does not exist")

	require.NoError(t, writeFiles(dir, small()))
	c, err := LoadDir(dir)
	require.NoError(t, err)
	require.Equal(t, mustLoad(t, small()), c)

	_, err = LoadDir(filepath.Join(dir, "emotions.txt"))
	require.ErrorContains(t, err, "is not a folder")

	bad := filepath.Join(dir, "stories", "sad.txt")
	require.NoError(t, os.WriteFile(bad, []byte("## a\n"), 0o666))
	_, err = LoadDir(dir)
	require.EqualError(t, err, "emotion: "+bad+`:1: no text under the heading "a"`)

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "stories")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stories"), nil, 0o666))
	_, err = LoadDir(dir)
	require.ErrorContains(t, err, filepath.Join(dir, "stories"))
}

func TestLookups(t *testing.T) {
	c := Embedded()
	for _, tc := range []struct{ emotion, topic, writer string }{
		{"afraid", "animal", "h01"}, {"afraid", "party", "h09"}, {"sensitive", "school", "h06"}, {"sensitive", "memory", "h13"},
		{"worthless", "school", "h08"}, {"worthless", "memory", "h14"},
	} {
		w, ok := c.Writer(tc.emotion, tc.topic)
		require.True(t, ok)
		require.Equal(t, tc.writer, w)
	}
	_, ok := c.Writer("afraid", "moon")
	require.False(t, ok)
	_, ok = (&Corpus{Stories: []Story{{"a", "b", "", "x"}}}).Writer("a", "b")
	require.False(t, ok)

	s := c.StoriesOf("at ease")
	require.Len(t, s, 24)
	require.Equal(t, cap(s), len(s))
	for _, x := range s {
		require.Equal(t, "at ease", x.Emotion)
	}
	require.Empty(t, c.StoriesOf("glad"))

	e, err := c.Emotion("Worn-Out")
	require.NoError(t, err)
	require.Equal(t, "worn out", e)
	topic, err := c.Topic("Cafe")
	require.NoError(t, err)
	require.Equal(t, "cafe", topic)
	_, err = c.Topic("caffe")
	require.EqualError(t, err, `emotion: unknown topic "caffe": did you mean "cafe"?`)
}

func TestSelect(t *testing.T) {
	c := Embedded()
	all, err := c.Select(Filter{})
	require.NoError(t, err)
	require.Equal(t, c, all)

	got, err := c.Select(Filter{Emotions: []string{"sad", "At-Ease", "sad"}, Topics: []string{"memory", "sea", "school"}, ExcludeTopics: []string{"SEA", "farm"}})
	require.NoError(t, err)
	require.Equal(t, []string{"at ease", "sad"}, got.Emotions)
	require.Equal(t, []string{"school", "memory"}, got.Topics)
	require.Len(t, got.Stories, 4)
	require.Equal(t, c.StoriesOf("at ease")[0], got.Stories[0])
	require.Equal(t, c.StoriesOf("sad")[23], got.Stories[3])
	require.Len(t, got.Neutral, 20)
	require.Len(t, got.Dialogues, 2)

	got, err = c.Select(Filter{ExcludeTopics: []string{"night"}})
	require.NoError(t, err)
	require.Len(t, got.Stories, 171*23)
	require.Len(t, got.Neutral, 230)
	got, err = c.Select(Filter{ExcludeTopics: []string{"night"}, AllNeutral: true})
	require.NoError(t, err)
	require.Equal(t, c.Neutral, got.Neutral)

	// The parts can be changed without touching the whole.
	got.Stories[0].Text, got.Emotions[0], got.Topics[0] = "", "", ""
	got.Neutral[0].Text, got.Dialogues[0].Text = "", ""
	require.Equal(t, EmbeddedHash, c.Hash())
}

func TestSelectSmall(t *testing.T) {
	files := small()
	files["stories/at-ease.txt"] = "## well\nFour.\n"
	c := mustLoad(t, files)
	topics := func(c *Corpus) (out []string) {
		for _, n := range c.Neutral {
			out = append(out, n.Topic)
		}
		return out
	}
	got, err := c.Select(Filter{ExcludeTopics: []string{"lane"}})
	require.NoError(t, err)
	require.Equal(t, []string{"airport"}, topics(got))
	got, err = c.Select(Filter{Topics: []string{"lane"}})
	require.NoError(t, err)
	require.Equal(t, []string{"lane", "lane"}, topics(got))
	require.Equal(t, []string{"sad"}, got.Emotions)
	require.Empty(t, got.Dialogues)

	_, err = c.Select(Filter{Emotions: []string{"sad", "at ease"}, Topics: []string{"lane"}})
	require.EqualError(t, err, `emotion: select: no stories of "at ease" on the chosen topics`)
	_, err = c.Select(Filter{Topics: []string{"lane"}, ExcludeTopics: []string{"lane"}})
	require.EqualError(t, err, "emotion: select: the filter leaves no stories")
	for _, f := range []Filter{{Emotions: []string{"sadd"}}, {Topics: []string{"lame"}}, {ExcludeTopics: []string{"lame"}}} {
		_, err = c.Select(f)
		require.ErrorIs(t, err, ErrUnknown)
		require.ErrorContains(t, err, "did you mean")
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"at ease": "at ease", "at-ease": "at ease", " At  Ease ": "at ease", "AT_EASE": "at ease",
		"grief stricken": "grief-stricken", "Grief-Stricken": "grief-stricken", "sad": "sad",
	} {
		got, ok := Canonical(in)
		require.True(t, ok, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "-", "atease", "glad"} {
		_, ok := Canonical(in)
		require.False(t, ok, in)
	}
	for _, e := range Emotions() {
		for _, in := range []string{e, stem(e), strings.ToUpper(e)} {
			got, err := Resolve(Emotions(), in)
			require.NoError(t, err)
			require.Equal(t, e, got)
		}
	}
	// An exact match wins over one that comes earlier.
	got, err := Resolve([]string{"a-b", "a b"}, "a b")
	require.NoError(t, err)
	require.Equal(t, "a b", got)
}

func TestResolveNear(t *testing.T) {
	for in, want := range map[string]string{
		"desprate":               `emotion: unknown emotion "desprate": did you mean "desperate"?`,
		"hapy":                   `emotion: unknown emotion "hapy": did you mean "happy"`,
		"exited":                 `emotion: unknown emotion "exited": did you mean "excited"`,
		"sceptical":              `emotion: unknown emotion "sceptical": did you mean "skeptical"`,
		"grief":                  `emotion: unknown emotion "grief": did you mean "grief-stricken"`,
		"xqzvwk":                 `emotion: unknown emotion "xqzvwk"`,
		"":                       `emotion: unknown emotion ""`,
		"ahppy":                  `emotion: unknown emotion "ahppy": did you mean "happy"`,
		strings.Repeat("x", 200): `emotion: unknown emotion "xxx`,
	} {
		_, err := Resolve(Emotions(), in)
		require.ErrorIs(t, err, ErrUnknown)
		require.ErrorContains(t, err, want)
		var ue *UnknownError
		require.ErrorAs(t, err, &ue)
		require.LessOrEqual(t, len(ue.Near), 3)
	}
	_, err := Resolve([]string{"one", "ones", "tone", "bone"}, "onee")
	require.EqualError(t, err, `emotion: unknown emotion "onee": did you mean "one", "ones" or "tone"?`)
}

func TestEditDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "axc", 1},
		{"kitten", "sitting", 3}, {"ca", "abc", 3}, {"é", "e", 1}, {"ab", "ba", 1},
	} {
		require.Equal(t, tc.want, editDistance(tc.a, tc.b), "%q %q", tc.a, tc.b)
		require.Equal(t, tc.want, editDistance(tc.b, tc.a), "%q %q", tc.b, tc.a)
	}
}

func TestFamilies(t *testing.T) {
	sizes := map[string]int{
		"Exuberant Joy": 20, "Peaceful Contentment": 9, "Compassionate Gratitude": 15, "Competitive Pride": 9,
		"Playful Amusement": 2, "Depleted Disengagement": 15, "Vigilant Suspicion": 3, "Hostile Anger": 25,
		"Fear and Overwhelm": 41, "Despair and Shame": 32,
	}
	fams := Families()
	require.Len(t, fams, len(sizes))
	in := make(map[string]int)
	for _, f := range fams {
		require.Len(t, f.Members, sizes[f.Name], f.Name)
		require.True(t, slices.IsSorted(f.Members))
		for _, m := range f.Members {
			in[m]++
			got, ok := FamilyOf(strings.ToUpper(stem(m)))
			require.True(t, ok)
			require.Equal(t, f.Name, got)
		}
	}
	require.Len(t, in, 171)
	for _, e := range Embedded().Emotions {
		require.Equal(t, 1, in[e], e)
	}
	_, ok := FamilyOf("glad")
	require.False(t, ok)

	// What callers get is theirs.
	fams[0].Members[0], fams[0].Name = "x", "x"
	require.Equal(t, "blissful", Families()[0].Members[0])
	require.Equal(t, "Exuberant Joy", Families()[0].Name)
}

func TestCanonical12(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range Canonical12() {
		require.Contains(t, Emotions(), e)
		seen[e] = true
	}
	require.Len(t, seen, 12)
}

func TestFunctionWords(t *testing.T) {
	w := FunctionWords()
	require.Len(t, w, 180)
	require.True(t, slices.IsSorted(w))
	require.Len(t, slices.Compact(slices.Clone(w)), len(w))
	for _, x := range w {
		require.Regexp(t, `^[a-z]+$`, x)
		_, ok := Canonical(x)
		require.False(t, ok, x)
	}
	w[0] = "x"
	require.Equal(t, "a", FunctionWords()[0])
}
