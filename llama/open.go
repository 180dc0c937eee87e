package llama

import (
	"errors"
	"os"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/hf"
)

// OpenFile opens the file of a model without loading its weights: a GGUF file,
// any part of a split one, or a folder in the format of Hugging Face, which is
// presented as if it were a GGUF file (see package hf).
func OpenFile(path string) (*gguf.File, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return gguf.Open(path)
	}
	f, err := hf.Open(path)
	if errors.Is(err, hf.ErrUnsupported) {
		err = unsupportedError{err}
	}
	return f, err
}

// An unsupportedError is ErrUnsupported, too.
type unsupportedError struct{ error }

func (e unsupportedError) Unwrap() []error { return []error{e.error, ErrUnsupported} }
