package gguf

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotGGUF is wrapped by the error of Open and Parse where the bytes do
	// not start like a GGUF file at all, as opposed to a damaged one.
	ErrNotGGUF = errors.New("not a GGUF file")

	// ErrMissing is wrapped by the error of a typed getter such as File.Uint
	// where the file has no such key.
	ErrMissing = errors.New("key is missing")
)

// A FormatError says what is wrong with a file, or with what was asked of it,
// and where. Every error of this package that concerns content is one; only
// errors of the operating system and of contexts are not.
type FormatError struct {
	File   string // path or name of the file, "" where it is being encoded
	Offset int64  // byte offset in the file, or -1 where no byte is at fault
	Item   string // what it concerns, such as `key "general.name"`, or ""
	Msg    string // what is wrong with it
	Err    error  // ErrNotGGUF, ErrMissing, fs.ErrClosed or nil
}

// Error gives everything that is known on one line, such as
// `gguf: m.gguf: tensor "output.weight" at byte 812: offset 33 is not a multiple of the alignment 32`.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString("gguf: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	switch {
	case e.Item != "" && e.Offset >= 0:
		fmt.Fprintf(&b, "%s at byte %d: ", e.Item, e.Offset)
	case e.Item != "":
		b.WriteString(e.Item + ": ")
	case e.Offset >= 0:
		fmt.Fprintf(&b, "at byte %d: ", e.Offset)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Unwrap returns the sentinel error, if any.
func (e *FormatError) Unwrap() error { return e.Err }

// quote makes a name from a file safe to print: quoted, and cut where a
// hostile file would fill the screen.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func keyItem(key string) string     { return "key " + quote(key) }
func tensorItem(name string) string { return "tensor " + quote(name) }
