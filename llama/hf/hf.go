// Package hf reads models from folders in the format of Hugging Face:
// config.json, tokenizer.json and weights in safetensors files.
//
// Open presents such a folder as a gguf.File with the metadata keys and tensors
// that a GGUF file of the model has, so that everything that works on a GGUF
// file works on a folder. Weights are mapped into memory and read when they are
// wanted; those that GGUF files keep otherwise (queries and keys in another
// order, experts as one tensor, norms plus one) are converted then.
//
// What a config.json says is taken seriously: a setting that changes what the
// model computes and that could not be passed on is an error, and so is a
// tensor that nobody knows.
package hf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/limbic-go/limbic/llama/gguf"
)

// ErrUnsupported is wrapped by the error of Open where a folder is sound but
// needs something that limbic does not have: another architecture, weights that
// are quantised, another rope scaling.
var ErrUnsupported = errors.New("not supported")

// The files of a folder beside those of the tokenizer, and the most bytes of
// each that are read.
const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"

	maxConfig = 16 << 20
	maxIndex  = 64 << 20
)

// Open opens a folder. The files must not be changed until File.Close. Errors
// name the file, and the key or tensor; errors.Is(err, ErrUnsupported) tells a
// folder that is sound but not for this version.
//
// The File's path is the folder, its size that of the files that were read, and
// its hash that of the list of their hashes in the order of their names: in the
// folder, `sha256sum FILES | sha256sum` prints it.
func Open(dir string) (*gguf.File, error) {
	f := &folder{dir: dir}
	file, err := f.open()
	if err != nil {
		f.close()
		return nil, err
	}
	return file, nil
}

// A folder is being opened.
type folder struct {
	dir    string
	files  []string // names of those that were read
	shards []*shard
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) close() error {
	var errs []error
	for _, s := range f.shards {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

func (f *folder) open() (*gguf.File, error) {
	text, err := f.read(configFile, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hf: %s: a folder is only a model if it has a %s: %w", f.dir, configFile, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	c, fam, err := parseConfig(f.path(configFile), text)
	if err != nil {
		return nil, err
	}
	if err := f.mapWeights(); err != nil {
		return nil, err
	}
	weights, err := fam.gather(c, f.shards)
	if err != nil {
		return nil, err
	}
	tensors, rows, err := c.tensors(fam, weights)
	if err != nil {
		return nil, err
	}
	vocabulary, err := f.vocabulary(c, rows)
	if err != nil {
		return nil, err
	}
	infos := make([]gguf.TensorInfo, len(tensors))
	for i, t := range tensors {
		infos[i] = gguf.TensorInfo{Name: t.Name, Type: t.Type, Dims: t.Dims}
	}
	kvs := []gguf.KV{
		{Key: "general.architecture", Value: gguf.Scalar(fam.arch)},
		{Key: "general.type", Value: gguf.Scalar("model")},
		{Key: "general.name", Value: gguf.Scalar(f.name())},
		{Key: "general.alignment", Value: gguf.Scalar(uint32(32))},
		{Key: fileTypeKey, Value: gguf.Scalar(fileType(infos))},
		{Key: "general.quantization_version", Value: gguf.Scalar(uint32(2))},
	}
	kvs = slices.Concat(kvs, c.kvs, []gguf.KV{{Key: fam.arch + ".vocab_size", Value: gguf.Scalar(uint32(rows))}}, vocabulary)

	slices.Sort(f.files)
	paths := make([]string, len(f.files))
	for i, name := range f.files {
		paths[i] = f.path(name)
	}
	return gguf.FromSource(gguf.Source{Path: f.dir, KVs: kvs, Tensors: tensors, Files: paths, Close: f.close})
}

// name is that of the folder itself.
func (f *folder) name() string {
	if abs, err := filepath.Abs(f.dir); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(f.dir)
}

// read gives the content of a file of at most limit bytes. The error for a file
// that is not there is fs.ErrNotExist.
func (f *folder) read(name string, limit int64) ([]byte, error) {
	r, err := os.Open(f.path(name))
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("hf: %w", err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("hf: %s: more than %d bytes are not read", f.path(name), limit)
	}
	f.files = append(f.files, name)
	return text, nil
}
