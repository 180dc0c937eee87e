package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// An output is standard output, which remembers its first error: then nothing
// more is written, and the command fails even if whoever wrote did not look.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("standard output: %w", err)
	}
	return n, o.err
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// writeJSON writes the one document of a command with --json. Strings that are
// not valid UTF-8 come with U+FFFD in the place of what is not.
func (a *app) writeJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("the result has no JSON form: %w", err)
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// checkOut refuses a file that could not be written, or must not be, before
// work is spent on what it is to hold. Results replace their file by a rename,
// which as root would put a regular file in the place of a device such as
// /dev/null, for every program on the machine.
func checkOut(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("write %s: is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("write %s: exists and is not a regular file", path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write %s: %w", path, pathCause(err))
	}
	dir := filepath.Dir(path)
	if info, err = os.Stat(dir); err != nil {
		return fmt.Errorf("write %s: folder %s: %w", path, dir, pathCause(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("write %s: %s is not a folder", path, dir)
	}
	return nil
}

// pathCause drops the path from an error whose message names it already.
func pathCause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// warn writes a warning.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.stderr, "limbic: warning: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// colour reports whether standard output may be coloured (https://no-color.org).
func (a *app) colour() bool {
	return a.stdoutTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// A table is text in columns.
type table struct {
	head  []string // column titles; none are shown where all are empty
	right []bool   // columns that align to the right: numbers
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table, indented.
func (a *app) print(t *table) error {
	rows := t.rows
	titled := strings.Join(t.head, "") != ""
	if titled {
		rows = append([][]string{t.head}, rows...)
	}
	width := make([]int, len(t.head))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b bytes.Buffer
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if i < len(t.right) && t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 && titled && a.colour() {
			text = "\x1b[1m" + text + "\x1b[0m"
		}
		b.WriteString(text + "\n")
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// forTerminal makes generated text safe to show: a model must not be able to
// send escape sequences to a terminal.
func forTerminal(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// grouped writes a count with separators between thousands.
func grouped[T int | int64 | uint64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// byteSize writes a number of bytes for people.
func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/unit, "KMGTPE"
	for v >= unit && len(units) > 1 {
		v, units = v/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, units[0])
}

// counted writes a number with its noun, which gets an s unless it is one.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}
