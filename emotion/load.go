package emotion

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The names of the layout.
const (
	emotionsFile = "emotions.txt"
	writersFile  = "writers.tsv"
	storiesDir   = "stories"
	neutralDir   = "neutral"
	dialoguesDir = "dialogues"
	textExt      = ".txt"
)

// A FileError says what is wrong with a file of a corpus, and where.
type FileError struct {
	File string // the path given to LoadDir joined with the file's own
	Line int    // counted from 1; 0 if the error is about the whole file
	Err  error
}

// Error returns "emotion: file:line: what is wrong".
func (e *FileError) Error() string {
	// What is wrong may be an error of this package with a prefix of its own.
	what := strings.TrimPrefix(e.Err.Error(), prefix)
	if e.Line == 0 {
		return fmt.Sprintf("%s%s: %s", prefix, e.File, what)
	}
	return fmt.Sprintf("%s%s:%d: %s", prefix, e.File, e.Line, what)
}

// Unwrap returns the error without its place.
func (e *FileError) Unwrap() error { return e.Err }

func fileErr(file string, line int, format string, args ...any) error {
	return &FileError{File: file, Line: line, Err: fmt.Errorf(format, args...)}
}

// LoadDir reads a corpus from a folder in the layout of the package
// documentation. emotions.txt and one story file for each emotion are needed;
// neutral texts, dialogues and writers may be missing. A fault in a file is a
// [*FileError] that names the file and the line.
func LoadDir(dir string) (*Corpus, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("emotion: corpus folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("emotion: corpus folder: %s is not a folder", dir)
	}
	c, err := LoadFS(os.DirFS(dir))
	var fe *FileError
	if errors.As(err, &fe) {
		fe.File = filepath.Join(dir, filepath.FromSlash(fe.File))
	}
	return c, err
}

// LoadFS is [LoadDir] for any file system, such as an embedded folder or a zip
// archive.
func LoadFS(fsys fs.FS) (*Corpus, error) {
	files := make(map[string]string)
	read := func(name string) error {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			// A path error repeats the name; keep its cause only.
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return &FileError{File: name, Err: err}
		}
		files[name] = string(b)
		return nil
	}
	for _, name := range []string{emotionsFile, writersFile} {
		if err := read(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, dir := range []string{storiesDir, neutralDir, dialoguesDir} {
		entries, err := fs.ReadDir(fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &FileError{File: dir, Err: err}
		}
		for _, e := range entries {
			// Names that begin with a dot are leavings of systems and editors.
			if e.IsDir() || path.Ext(e.Name()) != textExt || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if err := read(path.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return parse(files)
}

// parse makes a corpus of the files of its layout, given by slash-separated name.
func parse(files map[string]string) (*Corpus, error) {
	for name, text := range files {
		files[name] = unifyLines(text)
	}
	// The first fault by name, so that the message doesn't change from run to run.
	for _, name := range sortedKeys(files) {
		if line := invalidLine(files[name]); line > 0 {
			return nil, fileErr(name, line, "not valid utf-8")
		}
	}
	c := new(Corpus)
	if err := c.parseEmotions(files); err != nil {
		return nil, err
	}
	if err := c.parseStories(files); err != nil {
		return nil, err
	}
	if err := c.parseNeutral(files); err != nil {
		return nil, err
	}
	if err := c.parseDialogues(files); err != nil {
		return nil, err
	}
	if err := c.parseWriters(files); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Corpus) parseEmotions(files map[string]string) error {
	text, ok := files[emotionsFile]
	if !ok {
		return &FileError{File: emotionsFile, Err: fs.ErrNotExist}
	}
	seen := make(map[string]int)
	for i, line := range strings.Split(text, "\n") {
		name := strings.TrimSpace(line)
		if name == "" {
			continue
		}
		if err := checkName(name); err != nil {
			return fileErr(emotionsFile, i+1, "emotion %q: %w", name, err)
		}
		k := key(name)
		if first, ok := seen[k]; ok {
			return fileErr(emotionsFile, i+1, "emotion %q is already on line %d", name, first)
		}
		seen[k] = i + 1
		c.Emotions = append(c.Emotions, name)
	}
	if len(c.Emotions) == 0 {
		return fileErr(emotionsFile, 0, "no emotions")
	}
	return nil
}

func (c *Corpus) parseStories(files map[string]string) error {
	if err := c.checkFiles(files, storiesDir); err != nil {
		return err
	}
	var (
		perEmotion = make([][]section, len(c.Emotions))
		topicIndex = make(map[string]int)
		spelling   = make(map[string]string)
	)
	for i, e := range c.Emotions {
		name := textFile(storiesDir, e)
		text, ok := files[name]
		if !ok {
			return &FileError{File: name, Err: fmt.Errorf("no stories for emotion %q: %w", e, fs.ErrNotExist)}
		}
		secs, err := parseSections(name, text)
		if err != nil {
			return err
		}
		for _, s := range secs {
			if err := checkName(s.name); err != nil {
				return fileErr(name, s.line, "topic %q: %w", s.name, err)
			}
			k := key(s.name)
			if other, ok := spelling[k]; ok && other != s.name {
				return fileErr(name, s.line, "topic %q is spelled %q elsewhere", s.name, other)
			}
			spelling[k] = s.name
			if _, ok := topicIndex[s.name]; !ok {
				topicIndex[s.name] = len(c.Topics)
				c.Topics = append(c.Topics, s.name)
			}
		}
		perEmotion[i] = secs
	}
	for i, secs := range perEmotion {
		slices.SortStableFunc(secs, func(a, b section) int { return topicIndex[a.name] - topicIndex[b.name] })
		for _, s := range secs {
			c.Stories = append(c.Stories, Story{Emotion: c.Emotions[i], Topic: s.name, Text: s.text})
		}
	}
	return nil
}

func (c *Corpus) parseNeutral(files map[string]string) error {
	spelling := make(map[string]string) // of topics, by key
	for _, t := range c.Topics {
		spelling[key(t)] = t
	}
	var known, extra []string // file names
	for _, t := range c.Topics {
		if name := textFile(neutralDir, t); hasKey(files, name) {
			known = append(known, name)
		}
	}
	topicOf := make(map[string]string)
	for _, name := range filesIn(files, neutralDir) {
		t := stemOf(name)
		if other, ok := spelling[key(t)]; !ok {
			if err := checkName(t); err != nil {
				return fileErr(name, 0, "topic %q: %w", t, err)
			}
			spelling[key(t)] = t
			topicOf[name] = t
			extra = append(extra, name)
		} else if stem(other) != t {
			return fileErr(name, 0, "topic %q is spelled %q elsewhere", t, other)
		} else {
			topicOf[name] = other
		}
	}
	for _, name := range append(known, extra...) {
		topic := topicOf[name]
		secs, err := parseSections(name, files[name])
		if err != nil {
			return err
		}
		for _, s := range secs {
			n := Neutral{Kind: s.name, Topic: topic, Text: s.text}
			switch s.name {
			case KindDialogue:
				// The text need not follow its heading directly; the line does.
				if n.Turns, err = parseTurns(name, s.textLine, s.text); err != nil {
					return err
				}
			case KindPassage:
			default:
				return fileErr(name, s.line, "kind %q is neither %q nor %q", s.name, KindDialogue, KindPassage)
			}
			c.Neutral = append(c.Neutral, n)
		}
	}
	return nil
}

func (c *Corpus) parseDialogues(files map[string]string) error {
	if err := c.checkFiles(files, dialoguesDir); err != nil {
		return err
	}
	for _, e := range c.Emotions {
		name := textFile(dialoguesDir, e)
		raw, ok := files[name]
		if !ok {
			continue
		}
		text, skipped := trimBlank(raw)
		if text == "" {
			return fileErr(name, 0, "no text")
		}
		turns, err := parseTurns(name, 1+skipped, text)
		if err != nil {
			return err
		}
		c.Dialogues = append(c.Dialogues, Dialogue{Emotion: e, Text: text, Turns: turns})
	}
	return nil
}

// writerColumn matches the heading of a column of writers.tsv.
var writerColumn = regexp.MustCompile(`^writer_of_topics_([0-9]+)_to_([0-9]+)$`)

func (c *Corpus) parseWriters(files map[string]string) error {
	text, ok := files[writersFile]
	if !ok {
		return nil
	}
	lines := strings.Split(text, "\n")
	head := strings.Split(lines[0], "\t")
	if len(head) < 2 || head[0] != "emotion" {
		return fileErr(writersFile, 1, `the first line must be "emotion" and columns of writers, separated by tabs`)
	}
	// column[t] is the column that holds the writer of topic t.
	column := make([]int, len(c.Topics))
	next := 1 // the topic, counted from 1, that the next column must begin at
	for i, h := range head[1:] {
		from, to := 1, len(c.Topics)
		if h != "writer" {
			m := writerColumn.FindStringSubmatch(h)
			if m == nil {
				return fileErr(writersFile, 1, `column %q is neither "writer" nor like "writer_of_topics_1_to_%d"`, h, len(c.Topics))
			}
			var err1, err2 error
			from, err1 = strconv.Atoi(m[1])
			to, err2 = strconv.Atoi(m[2])
			if err1 != nil || err2 != nil {
				return fileErr(writersFile, 1, "column %q: number out of range", h)
			}
		}
		if from != next || to < from || to > len(c.Topics) {
			return fileErr(writersFile, 1, "column %q: the columns must cover topics 1 to %d in order; expected one from %d", h, len(c.Topics), next)
		}
		for t := from; t <= to; t++ {
			column[t-1] = i + 1
		}
		next = to + 1
	}
	if next != len(c.Topics)+1 {
		return fileErr(writersFile, 1, "no column for topics %d to %d", next, len(c.Topics))
	}
	rows := make(map[string][]string)
	lineOf := make(map[string]int)
	for i, line := range lines[1:] {
		if isBlank(line) {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != len(head) {
			return fileErr(writersFile, i+2, "%d columns, but the first line has %d", len(cells), len(head))
		}
		e, err := resolve("emotion", c.Emotions, cells[0])
		if err != nil {
			return &FileError{File: writersFile, Line: i + 2, Err: err}
		}
		if first, ok := lineOf[e]; ok {
			return fileErr(writersFile, i+2, "emotion %q is already on line %d", e, first)
		}
		for j, w := range cells[1:] {
			if w == "" || w != strings.TrimSpace(w) {
				return fileErr(writersFile, i+2, `writer %q in column %d is empty or padded; write "-" if it is not known`, w, j+2)
			}
		}
		rows[e], lineOf[e] = cells, i+2
	}
	for _, e := range c.Emotions {
		if !hasKey(rows, e) {
			return fileErr(writersFile, 0, "no line for emotion %q", e)
		}
	}
	topicIndex := make(map[string]int)
	for i, t := range c.Topics {
		topicIndex[t] = i
	}
	for i := range c.Stories {
		s := &c.Stories[i]
		if w := rows[s.Emotion][column[topicIndex[s.Topic]]]; w != unknownWriter {
			s.Writer = w
		}
	}
	return nil
}

// unknownWriter is how writers.tsv says that a writer is not known.
const unknownWriter = "-"

// checkFiles makes sure that every file of a folder belongs to an emotion: one
// that does not is more likely a slip of spelling than meant to be ignored.
func (c *Corpus) checkFiles(files map[string]string, dir string) error {
	stems := make([]string, len(c.Emotions))
	for i, e := range c.Emotions {
		stems[i] = stem(e)
	}
	for _, name := range filesIn(files, dir) {
		if !slices.Contains(stems, stemOf(name)) {
			_, err := resolve("emotion", c.Emotions, stemOf(name))
			if err == nil {
				err = fmt.Errorf("no emotion of %s is spelled like this", emotionsFile)
			}
			return &FileError{File: name, Err: err}
		}
	}
	return nil
}

// A section is what stands under one heading.
type section struct {
	name     string
	line     int // of the heading, counted from 1
	text     string
	textLine int // of the first line of the text
}

// parseSections splits a file at its headings. The lines must have been unified.
func parseSections(file, text string) ([]section, error) {
	var (
		secs  []section
		begin int // where the text of the last section begins
		line  int
	)
	finish := func(end int) error {
		if len(secs) == 0 {
			return nil
		}
		s := &secs[len(secs)-1]
		var skipped int
		s.text, skipped = trimBlank(text[begin:end])
		s.textLine = s.line + 1 + skipped
		if s.text == "" {
			return fileErr(file, s.line, "no text under the heading %q", s.name)
		}
		return nil
	}
	for pos := 0; pos < len(text); {
		line++
		end, next := len(text), len(text)
		if i := strings.IndexByte(text[pos:], '\n'); i >= 0 {
			end, next = pos+i, pos+i+1
		}
		l := text[pos:end]
		switch {
		case strings.HasPrefix(l, "##"):
			name := strings.TrimSpace(l[2:])
			if name == "" || !strings.HasPrefix(l, "## ") {
				return nil, fileErr(file, line, `malformed heading %q: expected "## name"`, l)
			}
			if err := finish(pos); err != nil {
				return nil, err
			}
			secs = append(secs, section{name: name, line: line})
			begin = next
		case len(secs) == 0 && !isBlank(l):
			return nil, fileErr(file, line, `text before the first heading: expected "## name"`)
		}
		pos = next
	}
	if err := finish(len(text)); err != nil {
		return nil, err
	}
	if len(secs) == 0 {
		return nil, fileErr(file, 0, `no texts: expected headings "## name"`)
	}
	return secs, nil
}

// parseTurns splits a chat into turns. Every line is a turn, and blank lines
// between them are skipped. A line without a label is an error rather than a
// continuation: it is nearly always a label misspelled.
func parseTurns(file string, first int, text string) ([]Turn, error) {
	var turns []Turn
	for i, l := range strings.Split(text, "\n") {
		if isBlank(l) {
			continue
		}
		var t Turn
		if s, ok := strings.CutPrefix(l, labelUser); ok {
			t = Turn{RoleUser, s}
		} else if s, ok := strings.CutPrefix(l, labelAssistant); ok {
			t = Turn{RoleAssistant, s}
		} else {
			return nil, fileErr(file, first+i, "line begins neither with %q nor with %q", labelUser, labelAssistant)
		}
		switch {
		case isBlank(t.Text):
			return nil, fileErr(file, first+i, "the %s says nothing", t.Role)
		case len(turns) == 0 && t.Role != RoleUser:
			return nil, fileErr(file, first+i, "the %s speaks first; expected the %s", t.Role, RoleUser)
		case len(turns) > 0 && turns[len(turns)-1].Role == t.Role:
			return nil, fileErr(file, first+i, "the %s speaks twice in a row", t.Role)
		}
		turns = append(turns, t)
	}
	return turns, nil
}

// The labels of turns.
const (
	labelUser      = "User: "
	labelAssistant = "Assistant: "
)

// unifyLines drops a byte order mark and makes every line end in LF.
func unifyLines(s string) string {
	s = strings.TrimPrefix(s, "\ufeff")
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// invalidLine returns the first line that is not UTF-8, or 0.
func invalidLine(s string) int {
	if utf8.ValidString(s) {
		return 0
	}
	for i, l := range strings.Split(s, "\n") {
		if !utf8.ValidString(l) {
			return i + 1
		}
	}
	return 0
}

func isBlank(line string) bool { return strings.TrimSpace(line) == "" }

// trimBlank returns text without the blank lines at its ends and without the
// line feed of its last line, and how many lines it dropped at the beginning.
func trimBlank(text string) (trimmed string, skipped int) {
	for {
		i := strings.IndexByte(text, '\n')
		if i < 0 || !isBlank(text[:i]) {
			break
		}
		text = text[i+1:]
		skipped++
	}
	for {
		i := strings.LastIndexByte(text, '\n')
		if !isBlank(text[i+1:]) {
			return text, skipped
		}
		if i < 0 {
			return "", skipped
		}
		text = text[:i]
	}
}

// checkName says why a name cannot be one of an emotion or a topic: it must
// survive as a file name on every system and as a cell of a table.
func checkName(name string) error {
	switch {
	case strings.ContainsAny(name, `/\:*?"<>|`):
		return errors.New(`must not contain any of / \ : * ? " < > |`)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must not contain tabs, control characters or spaces other than the plain one")
	case strings.Contains(name, "  "):
		return errors.New("must not contain two spaces in a row")
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, "."):
		return errors.New("must not begin or end with a full stop")
	case key(name) == "":
		return errors.New("must contain something other than hyphens")
	case len(name) > 100:
		return errors.New("must not be longer than 100 bytes")
	}
	return nil
}

// stem is the name of the file of an emotion or topic, without its extension.
func stem(name string) string { return strings.ReplaceAll(name, " ", "-") }

func textFile(dir, name string) string { return dir + "/" + stem(name) + textExt }

func stemOf(file string) string { return strings.TrimSuffix(path.Base(file), textExt) }

func filesIn(files map[string]string, dir string) []string {
	var names []string
	for name := range files {
		if path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func hasKey[V any](m map[string]V, k string) bool {
	_, ok := m[k]
	return ok
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
