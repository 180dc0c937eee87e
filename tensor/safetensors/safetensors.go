// Package safetensors reads and writes the safetensors format: named tensors
// with a JSON header and a map of strings as metadata, and nothing that could
// be executed.
//
// A file has eight bytes with the length of the header, the header, and the
// data of all tensors one after another. Files are read defensively: whatever
// the header claims is checked against the size of the file before it is used.
package safetensors

import (
	"fmt"
	"io"
	"math"
)

// A DType is the type of a tensor's elements, as the header spells it.
type DType string

// The types that the format defines and whose size is checked. Others are
// accepted when reading, and their tensors available as bytes.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size is the number of bytes of an element, or 0 for a type that this package
// does not know.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

// maxHeader is the limit of the reference implementation.
const maxHeader = 100_000_000

// maxDims is the largest number of dimensions in NumPy.
const maxDims = 64

// metadataKey is the header's one key that names no tensor.
const metadataKey = "__metadata__"

// byteCount is the number of bytes of a tensor, whose type must be known.
func byteCount(d DType, shape []int) (int64, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("%d dimensions are more than %d", len(shape), maxDims)
	}
	n, empty := int64(d.Size()), false
	for _, k := range shape {
		switch {
		case k < 0:
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		case k == 0:
			empty = true // but see that the others are sane
		case n > math.MaxInt64/int64(k):
			return 0, fmt.Errorf("shape %v is too large", shape)
		default:
			n *= int64(k)
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// chunk is the size in bytes of the pieces in which tensors are converted: a
// multiple of all element sizes.
const chunk = 64 << 10

// A counter counts the bytes that pass to a writer.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
