package emotion

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// files renders the corpus as the files of its layout and makes sure that
// reading them gives the same corpus.
func (c *Corpus) files() (map[string]string, error) {
	build := make(map[string]*strings.Builder)
	section := func(file, heading, text string) {
		b := build[file]
		if b == nil {
			b = new(strings.Builder)
			build[file] = b
		} else {
			b.WriteByte('\n')
		}
		b.WriteString("## " + heading + "\n" + text + "\n")
	}
	for _, s := range c.Stories {
		section(textFile(storiesDir, s.Emotion), s.Topic, s.Text)
	}
	for _, n := range c.Neutral {
		section(textFile(neutralDir, n.Topic), n.Kind, n.Text)
	}
	files := make(map[string]string)
	for name, b := range build {
		files[name] = b.String()
	}
	for _, d := range c.Dialogues {
		files[textFile(dialoguesDir, d.Emotion)] = d.Text + "\n"
	}
	files[emotionsFile] = strings.Join(c.Emotions, "\n") + "\n"
	if w := c.writersTable(); w != "" {
		files[writersFile] = w
	}
	back, err := parse(maps.Clone(files))
	if err != nil {
		return nil, fmt.Errorf("emotion: export: the folder layout cannot hold this corpus: %w", err)
	}
	if back.Hash() != c.Hash() {
		return nil, errors.New("emotion: export: the folder layout cannot hold this corpus: " +
			"reading it back gives another one (are its parts in canonical order, and its texts trimmed?)")
	}
	return files, nil
}

// writersTable renders writers.tsv with as few columns as can say who wrote
// what. It is empty if no writer is known.
func (c *Corpus) writersTable() string {
	if len(c.Writers()) == 0 {
		return ""
	}
	type cell struct{ emotion, topic string }
	writers := make(map[cell]string)
	for _, s := range c.Stories {
		w := s.Writer
		if w == "" {
			w = unknownWriter
		}
		writers[cell{s.Emotion, s.Topic}] = w
	}
	head := "emotion"
	rows := make([]string, len(c.Emotions))
	copy(rows, c.Emotions)
	// A column grows topic by topic until some emotion changes hands.
	column := make([]string, len(c.Emotions))
	from := 0
	flush := func(to int) {
		head += fmt.Sprintf("\twriter_of_topics_%d_to_%d", from+1, to)
		for i, w := range column {
			if w == "" { // no story of this emotion in the block
				w = unknownWriter
			}
			rows[i] += "\t" + w
		}
		clear(column)
		from = to
	}
	for t, topic := range c.Topics {
		for i, e := range c.Emotions {
			if w, ok := writers[cell{e, topic}]; ok && column[i] != "" && column[i] != w {
				flush(t)
				break
			}
		}
		for i, e := range c.Emotions {
			if w, ok := writers[cell{e, topic}]; ok {
				column[i] = w
			}
		}
	}
	flush(len(c.Topics))
	return head + "\n" + strings.Join(rows, "\n") + "\n"
}

func writeFiles(dir string, files map[string]string) error {
	for _, name := range sortedKeys(files) {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			return fmt.Errorf("emotion: export: %w", err)
		}
		if err := os.WriteFile(full, []byte(files[name]), 0o666); err != nil {
			return fmt.Errorf("emotion: export: %w", err)
		}
	}
	return nil
}

func writeTar(w io.Writer, files map[string]string) error {
	tw := tar.NewWriter(w)
	for _, name := range sortedKeys(files) {
		// USTAR and zero times leave nothing that differs between machines.
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Format: tar.FormatUSTAR}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("emotion: tar: %s: %w", name, err)
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			return fmt.Errorf("emotion: tar: %s: %w", name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("emotion: tar: %w", err)
	}
	return nil
}
