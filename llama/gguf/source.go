package gguf

import (
	"fmt"
	"os"
	"slices"

	"github.com/limbic-go/limbic/tensor"
)

// A Source describes a model that is kept in another format than GGUF, in the
// terms of GGUF: see FromSource.
type Source struct {
	// Path names the model in errors.
	Path string
	// KVs and Tensors are what a GGUF file of the model would hold, with the
	// same demands as Encode has.
	KVs     []KV
	Tensors []SourceTensor
	// Files are the paths of the files that all of this comes from. File.Size
	// and File.SHA256 are about them.
	Files []string
	// Close, unless it is nil, is called once by File.Close.
	Close func() error
}

// A SourceTensor is a tensor of a Source, read when it is wanted.
type SourceTensor struct {
	Name string
	Type tensor.Type // must be known
	Dims []int       // as in TensorData
	// Read gives the bytes of the rows from, from+1, … to-1: a view that is
	// valid until Source.Close, or new memory. It may be called concurrently.
	Read func(from, to int) ([]byte, error)
	// Release, unless it is nil, is called when what Read gave views of is not
	// needed at present.
	Release func()
}

// FromSource presents a model in another format as a File, so that whatever
// works on a GGUF file works on that. Where it fails, which is with the errors
// of Encode and of the operating system, it does not call Close.
func FromSource(s Source) (*File, error) {
	infos := make([]TensorData, len(s.Tensors))
	for i, t := range s.Tensors {
		infos[i] = TensorData{Name: t.Name, Type: t.Type, Dims: t.Dims}
	}
	_, alignment, sizes, err := encodeHead(s.KVs, infos, EncodeOptions{})
	if err != nil {
		if format, ok := err.(*FormatError); ok {
			format.File = s.Path
		}
		return nil, err
	}
	f := &File{
		Path: s.Path, Version: 3, alignment: alignment,
		meta: make(map[string]entry, len(s.KVs)), byName: make(map[string]int, len(s.Tensors)),
		origin: append([]string{}, s.Files...), undo: s.Close, hashing: make(chan struct{}, 1),
	}
	for _, path := range s.Files {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("gguf: %w", err)
		}
		f.size += info.Size()
	}
	for _, kv := range s.KVs {
		f.keys = append(f.keys, kv.Key)
		f.meta[kv.Key] = entry{value: kv.Value, offset: -1}
	}
	for i, t := range s.Tensors {
		f.byName[t.Name] = i
		f.tensors = append(f.tensors, Tensor{
			Name: t.Name, Type: t.Type, Dims: slices.Clone(t.Dims),
			file: f, size: sizes[i], read: t.Read, release: t.Release,
		})
	}
	return f, nil
}
