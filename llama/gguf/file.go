// Package gguf reads and writes GGUF files, versions 2 and 3, little-endian:
// the metadata and the tensors of a language model, its vocabulary alone, or
// a control vector.
//
// Open maps a file into memory and validates its whole structure (every count,
// offset, length and type, before it is used), so that what follows cannot
// fail on a damaged or hostile file:
//
//	f, err := gguf.Open("model.gguf")
//	if err != nil {
//		return err
//	}
//	defer f.Close()
//	arch, err := f.String("general.architecture")
//	t, ok := f.Tensor("token_embd.weight")
//
// Encode writes one. Tensor data is passed through as bytes; package tensor
// knows what they mean.
package gguf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// A File is a GGUF file, validated. All methods but Close may be called
// concurrently; Close must be the last.
type File struct {
	// Path is the path given to Open or the name given to Parse. Errors
	// carry it.
	Path string
	// Version of the format: 2 or 3.
	Version int

	keys      []string
	meta      map[string]entry
	tensors   []Tensor
	byName    map[string]int
	alignment int
	dataStart int // where tensor data starts; may lie past the end if there is none

	data   []byte // the whole file; nil once closed
	size   int64
	mapped bool // data is a mapping, to be unmapped, whose pages can be released

	// hashing guards hash. It is a channel so that a caller whose context
	// ends need not wait for another caller's hash of a large file.
	hashing chan struct{}
	hash    string
}

// entry is a metadata value with the byte offset of its content in the file.
type entry struct {
	value  Value
	offset int64
}

// Open maps a file and validates it. The file must not be changed or truncated
// before Close: the tensors' bytes are read from it as they are used. Where
// the system has no mmap the file is read into memory.
//
// Its error is a *FormatError for bad content (errors.Is ErrNotGGUF where the
// file is something else altogether), or one of the operating system.
func Open(path string) (*File, error) {
	data, mapped, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	f, err := Parse(data, path)
	if err != nil {
		if mapped {
			_ = unmap(data) // the parse error is the one to report
		}
		return nil, err
	}
	f.mapped = mapped
	f.release(0, min(f.dataStart, len(data))) // metadata was copied
	return f, nil
}

// Parse validates a file whose bytes are in memory; name stands for its path
// in errors. data is kept until Close and must not change before.
func Parse(data []byte, name string) (*File, error) {
	c := cursor{data: data, file: name}
	f, err := c.parse()
	if err != nil {
		return nil, err
	}
	f.data, f.size = data, int64(len(data))
	f.hashing = make(chan struct{}, 1)
	for i := range f.tensors {
		f.tensors[i].file = f
	}
	return f, nil
}

// Close unmaps the file. The bytes that Tensor.Data gave are invalid from then
// on; metadata stays. Closing again does nothing.
func (f *File) Close() error {
	data, mapped := f.data, f.mapped
	f.data, f.mapped = nil, false
	if !mapped {
		return nil
	}
	if err := unmap(data); err != nil {
		return fmt.Errorf("gguf: unmap %s: %w", f.Path, err)
	}
	return nil
}

// Size is the size of the file in bytes.
func (f *File) Size() int64 { return f.size }

// Alignment is the alignment in bytes of tensors within the file.
func (f *File) Alignment() int { return f.alignment }

// SHA256 gives the hash of the whole file as 64 hexadecimal digits. It is
// computed at the first call, which takes seconds for a model of gigabytes, and
// kept. It fails where ctx ends first (errors.Is ctx.Err()), and
// after Close unless it was computed before.
func (f *File) SHA256(ctx context.Context) (string, error) {
	select {
	case f.hashing <- struct{}{}:
		defer func() { <-f.hashing }()
	case <-ctx.Done():
		return "", fmt.Errorf("gguf: hash %s: %w", f.Path, ctx.Err())
	}
	if f.hash != "" {
		return f.hash, nil
	}
	if f.closed() {
		return "", f.closedError("")
	}

	// Pages are released behind the hash, lest the whole model become
	// resident on top of its repacked weights.
	const chunk = 4 << 20
	h := sha256.New()
	for start := 0; start < len(f.data); start += chunk {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("gguf: hash %s: %w", f.Path, err)
		}
		end := min(start+chunk, len(f.data))
		h.Write(f.data[start:end])
		f.release(start, end)
	}
	f.hash = hex.EncodeToString(h.Sum(nil))
	return f.hash, nil
}

// release tells the kernel that whole pages within data[start:end] are not
// needed at present. They are read from the file again when touched.
func (f *File) release(start, end int) {
	if f.mapped && start < end {
		adviseUnneeded(f.data, start, end)
	}
}

// No file parses that is empty, so nil data means closed.
func (f *File) closed() bool { return f.data == nil }

func (f *File) closedError(item string) error {
	return &FormatError{File: f.Path, Offset: -1, Item: item, Msg: "file is closed", Err: fs.ErrClosed}
}
