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

	file   *File
	offset int // of the data in the file
	size   int // of the data in bytes; 0 for an unknown type
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
// file.
func (t *Tensor) Offset() int64 { return int64(t.offset) }

// Data gives the tensor's bytes: Rows() rows of Type.RowBytes(Dims[0]) bytes
// each. They are a view of the mapped file, must not be written to, and are
// valid until the file is closed. It fails where the type is unknown, and
// after Close (errors.Is fs.ErrClosed).
func (t *Tensor) Data() ([]byte, error) {
	if t.file.closed() {
		return nil, t.file.closedError(tensorItem(t.Name))
	}
	if !t.Type.Known() {
		return nil, &FormatError{File: t.file.Path, Offset: int64(t.offset), Item: tensorItem(t.Name),
			Msg: fmt.Sprintf("elements are stored as %v, which is not supported", t.Type)}
	}
	end := t.offset + t.size
	return t.file.data[t.offset:end:end], nil
}

// Release tells the kernel that the tensor's pages need not stay in memory,
// once its data has been copied elsewhere. It is a hint: the data stays
// readable, at the cost of reading the file again.
func (t *Tensor) Release() { t.file.release(t.offset, t.offset+t.size) }
