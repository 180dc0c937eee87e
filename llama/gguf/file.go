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
// A file that is split into parts is opened by any of them (see Open), and a
// model in another format is presented as a File by FromSource.
//
// Encode writes one. Tensor data is passed through as bytes; package tensor
// knows what they mean.
package gguf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/limbic-go/limbic/internal/mmap"
)

// A File is a GGUF file, validated. All methods but Close may be called
// concurrently; Close must be the last.
type File struct {
	// Path is the path given to Open or the name given to Parse; of a split
	// file, that of its first part. Errors carry it.
	Path string
	// Version of the format: 2 or 3.
	Version int

	keys      []string
	meta      map[string]entry
	tensors   []Tensor
	byName    map[string]int
	alignment int
	dataStart int // where tensor data starts; may lie past the end if there is none

	data    []byte     // the whole file
	mapping *mmap.File // of data, whose pages can be released; nil for a file in memory
	size    int64
	closed  bool

	rest   []*File  // the parts of a split file after this one
	origin []string // paths of the files of a Source, and
	undo   func() error

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
// A file that is one of several parts (its key split.count says so, and its name
// ends like -00002-of-00003.gguf) opens them all: the File has the metadata of
// the first and the tensors of all.
//
// Its error is a *FormatError for bad content (errors.Is ErrNotGGUF where the
// file is something else altogether), or one of the operating system. Where it
// is about a part, it names that part's file.
func Open(path string) (*File, error) {
	f, err := openPart(path)
	if err != nil {
		return nil, err
	}
	return f.openOthers()
}

// openPart opens one file.
func openPart(path string) (*File, error) {
	mapping, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	f, err := Parse(mapping.Data, path)
	if err != nil {
		_ = mapping.Close() // the parse error is the one to report
		return nil, err
	}
	f.mapping = mapping
	f.release(0, min(f.dataStart, len(f.data))) // metadata was copied
	return f, nil
}

// Parse validates a file whose bytes are in memory; name stands for its path
// in errors. data is kept until Close and must not change before. Of a split
// file it reads the one part that it is given.
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
	if f.closed {
		return nil
	}
	f.closed = true
	f.data = nil
	var errs []error
	if f.mapping != nil {
		if err := f.mapping.Close(); err != nil {
			errs = append(errs, fmt.Errorf("gguf: unmap %s: %w", f.Path, err))
		}
	}
	if f.undo != nil {
		errs = append(errs, f.undo())
	}
	for _, part := range f.rest {
		errs = append(errs, part.Close())
	}
	return errors.Join(errs...)
}

// Size is the size in bytes of the file, or of all the files that it consists
// of.
func (f *File) Size() int64 { return f.size }

// Files are the paths of all the files that the File is read from: the one that
// it is, the parts of a split one, or those of a Source.
func (f *File) Files() []string {
	if f.origin != nil {
		return slices.Clone(f.origin)
	}
	paths := []string{f.Path}
	for _, part := range f.rest {
		paths = append(paths, part.Path)
	}
	return paths
}

// Alignment is the alignment in bytes of tensors within the file.
func (f *File) Alignment() int { return f.alignment }

// SHA256 gives the hash of the whole file as 64 hexadecimal digits. It is
// computed at the first call, which takes seconds for a model of gigabytes, and
// kept. It fails where ctx ends first (errors.Is ctx.Err()), and
// after Close unless it was computed before.
//
// Of a File that consists of several it is the hash of the list of their hashes
// as the program sha256sum prints it, with names and no folders, in the order
// of the parts or of Source.Files.
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
	if f.closed {
		return "", f.closedError("")
	}
	sum, err := f.sum(ctx)
	if err != nil {
		return "", fmt.Errorf("gguf: hash %s: %w", f.Path, err)
	}
	f.hash = sum
	return sum, nil
}

func (f *File) sum(ctx context.Context) (string, error) {
	list := sha256.New()
	add := func(path string, hash func(hash.Hash) error) error {
		h := sha256.New()
		err := hash(h)
		fmt.Fprintf(list, "%x  %s\n", h.Sum(nil), filepath.Base(path))
		return err
	}
	switch {
	case f.origin != nil:
		for _, path := range f.origin {
			if err := add(path, func(h hash.Hash) error { return hashFile(ctx, h, path) }); err != nil {
				return "", err
			}
		}
	case f.rest != nil:
		for _, part := range append([]*File{f}, f.rest...) {
			if err := add(part.Path, func(h hash.Hash) error { return part.hashData(ctx, h) }); err != nil {
				return "", err
			}
		}
	default:
		list.Reset()
		if err := f.hashData(ctx, list); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(list.Sum(nil)), nil
}

// hashChunk is how much is hashed between looks at the context.
const hashChunk = 4 << 20

// hashData hashes a file in memory. Pages are released behind the hash, lest
// the whole model become resident on top of its repacked weights.
func (f *File) hashData(ctx context.Context, h hash.Hash) error {
	for start := 0; start < len(f.data); start += hashChunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(start+hashChunk, len(f.data))
		h.Write(f.data[start:end])
		f.release(start, end)
	}
	return nil
}

func hashFile(ctx context.Context, h hash.Hash, path string) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(h, r, hashChunk); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// release tells the kernel that whole pages within data[start:end] are not
// needed at present. They are read from the file again when touched.
func (f *File) release(start, end int) {
	if f.mapping != nil {
		f.mapping.Release(start, end)
	}
}

func (f *File) closedError(item string) error {
	return &FormatError{File: f.Path, Offset: -1, Item: item, Msg: "file is closed", Err: fs.ErrClosed}
}
