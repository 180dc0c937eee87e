package gguf

import (
	"fmt"
	"slices"

	"github.com/limbic-go/limbic/tensor"
)

// A Tensor is an entry of a file's tensor table.
type Tensor struct {
	Name string
	// Type is the storage format. A file may hold tensors of types that
	// package tensor does not know; Data refuses those.
	Type tensor.Type
	// Dims has 1 to 4 entries, each at least 1, in the file's order: Dims[0]
	// is the length of a contiguous row. A scalar that the file stores with
	// no dimensions has Dims [1]. Dims must not be modified.
	Dims []int

	file   *File // the part that holds it
	offset int   // of the data in the file
	size   int   // of the data in bytes; 0 for an unknown type

	// For tensors of a Source.
	read    func(from, to int) ([]byte, error)
	release func()
}

// Tensors gives the tensors in file order.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor gives the tensor of a name, and whether the file has it.
func (f *File) Tensor(name string) (*Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return nil, false
	}
	t := f.tensors[i]
	return &t, true
}

// Rows is the number of rows: the product of all dimensions but the first.
func (t *Tensor) Rows() int {
	rows := 1
	for _, d := range t.Dims[1:] {
		rows *= d
	}
	return rows
}

// Elements is the number of elements: the product of all dimensions.
func (t *Tensor) Elements() int { return t.Dims[0] * t.Rows() }

// Size is the number of bytes of the tensor's data, or 0 where its type is
// unknown.
func (t *Tensor) Size() int { return t.size }

// Offset is where the tensor's data starts, in bytes from the start of the
// file, or of the part of a split file. It is 0 for a tensor of a Source.
func (t *Tensor) Offset() int64 { return int64(t.offset) }

// Data gives the tensor's bytes: Rows() rows of Type.RowBytes(Dims[0]) bytes
// each. They are a view of the mapped file, must not be written to, and are
// valid until the file is closed; only a tensor of a Source that has to be
// converted is in new memory, at each call. It fails where the type is unknown,
// and after Close (errors.Is fs.ErrClosed).
func (t *Tensor) Data() ([]byte, error) { return t.ReadRows(0, t.Rows()) }

// ReadRows is Data for the rows from, from+1, … to-1. It panics where these are
// not rows of the tensor, like a slice expression.
func (t *Tensor) ReadRows(from, to int) ([]byte, error) {
	if from < 0 || from > to || to > t.Rows() {
		panic(fmt.Sprintf("gguf: rows %d to %d of %d", from, to, t.Rows()))
	}
	if t.file.closed {
		return nil, t.file.closedError(tensorItem(t.Name))
	}
	if !t.Type.Known() {
		return nil, &FormatError{File: t.file.Path, Offset: int64(t.offset), Item: tensorItem(t.Name),
			Msg: fmt.Sprintf("elements are stored as %v, which is not supported", t.Type)}
	}
	row := t.size / t.Rows()
	if t.read == nil {
		end := t.offset + to*row
		return t.file.data[t.offset+from*row : end : end], nil
	}
	b, err := t.read(from, to)
	if err == nil && len(b) != (to-from)*row {
		err = fmt.Errorf("%d rows came as %d bytes, not %d", to-from, len(b), (to-from)*row)
	}
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %s: %w", t.file.Path, tensorItem(t.Name), err)
	}
	return b, nil
}

// Release tells the kernel that the tensor's pages need not stay in memory,
// once its data has been copied elsewhere. It is a hint: the data stays
// readable, at the cost of reading the file again.
func (t *Tensor) Release() {
	switch {
	case t.release != nil && !t.file.closed:
		t.release()
	case t.read == nil:
		t.file.release(t.offset, t.offset+t.size)
	}
}
