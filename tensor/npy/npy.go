// Package npy reads and writes the array files of NumPy: .npy, which holds one
// array, and .npz, a zip archive of several.
//
// It covers what tables of numbers and names need: little-endian float32,
// float64, int32, int64 and Unicode strings, in C order. Everything else, such
// as Fortran order, big-endian numbers and pickled objects, is refused with an
// error that says so. Files are read defensively: memory grows with the data
// that is there and not with what a header claims.
package npy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// An Array is a multi-dimensional array in C order: the last index varies
// fastest. Data is []float32, []float64, []int32, []int64 or []string, with as
// many elements as the product of Shape; an empty Shape is a single value.
type Array struct {
	Shape []int
	Data  any
}

// An Element is what arrays are made of.
type Element interface {
	float32 | float64 | int32 | int64 | string
}

// A Number is an Element of a fixed size.
type Number interface {
	float32 | float64 | int32 | int64
}

// As gives the elements of an array, or an error if they are not of type T.
func As[T Element](a Array) ([]T, error) {
	data, ok := a.Data.([]T)
	if !ok {
		return nil, fmt.Errorf("npy: the array is %T, not %T", a.Data, data)
	}
	return data, nil
}

// Write writes an array in the .npy format, with the same bytes as numpy.save.
//
// Strings must be valid UTF-8 and must not end in a NUL character, which the
// format cannot tell from padding.
func Write(w io.Writer, a Array) error {
	switch data := a.Data.(type) {
	case []float32:
		return writeNumbers(w, a.Shape, data)
	case []float64:
		return writeNumbers(w, a.Shape, data)
	case []int32:
		return writeNumbers(w, a.Shape, data)
	case []int64:
		return writeNumbers(w, a.Shape, data)
	case []string:
		return writeStrings(w, a.Shape, data)
	}
	return fmt.Errorf("npy: arrays of %T cannot be written", a.Data)
}

func writeNumbers[T Number](w io.Writer, shape []int, data []T) error {
	if err := checkCount(shape, len(data)); err != nil {
		return err
	}
	out, err := NewWriter[T](w, shape...)
	if err != nil {
		return err
	}
	if err := out.Append(data...); err != nil {
		return err
	}
	return out.Close()
}

// checkCount checks that an array of the given shape has n elements.
func checkCount(shape []int, n int) error {
	want, err := count(shape)
	if err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("npy: an array of shape %v has %d elements, not %d", shape, want, n)
	}
	return nil
}

// maxDims is the largest number of dimensions in NumPy.
const maxDims = 64

// count is the number of elements in an array.
func count(shape []int) (int, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("npy: %d dimensions are more than %d", len(shape), maxDims)
	}
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("npy: shape %v has a negative dimension", shape)
		case d == 0:
			empty = true // but see that the others are sane
		case n > math.MaxInt/d:
			return 0, fmt.Errorf("npy: shape %v is too large", shape)
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// A Writer writes an array piece by piece, for arrays that need not be in
// memory as a whole.
type Writer[T Number] struct {
	w     io.Writer
	buf   []byte
	shape []int
	n     int // elements still to come
	err   error
}

// NewWriter writes the header of an array of the given shape; without one it
// is a single value. The elements follow with [Writer.Append] and must be
// complete at [Writer.Close].
func NewWriter[T Number](w io.Writer, shape ...int) (*Writer[T], error) {
	n, err := count(shape)
	if err != nil {
		return nil, err
	}
	size := sizeOf[T]()
	if n > math.MaxInt/size {
		return nil, fmt.Errorf("npy: shape %v is too large", shape)
	}
	if _, err := w.Write(header(descrOf[T](), shape)); err != nil {
		return nil, fmt.Errorf("npy: write header: %w", err)
	}
	return &Writer[T]{w: w, shape: slices.Clone(shape), n: n}, nil
}

// chunk is the size in bytes of the pieces in which arrays are read and
// written: a multiple of all element sizes.
const chunk = 64 << 10

// Append writes the next elements in C order, any number of them: a value, a
// row, or all. More than the array has room for are an error, and none of them
// is written.
func (w *Writer[T]) Append(values ...T) error {
	if w.err != nil {
		return w.err
	}
	if len(values) > w.n {
		return fmt.Errorf("npy: an array of shape %v has room for %d more elements, not %d", w.shape, w.n, len(values))
	}
	size := sizeOf[T]()
	for len(values) > 0 {
		k := min(len(values), chunk/size)
		w.buf = encode(w.buf[:0], values[:k])
		if _, err := w.w.Write(w.buf); err != nil {
			// Part of the data may be out: what follows would be misplaced.
			w.err = fmt.Errorf("npy: write: %w", err)
			return w.err
		}
		w.n -= k
		values = values[k:]
	}
	return nil
}

// Close checks that all elements were written. It does not close the
// underlying writer.
func (w *Writer[T]) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.n > 0 {
		return fmt.Errorf("npy: an array of shape %v lacks its last %d elements", w.shape, w.n)
	}
	return nil
}

// Read reads one array in the .npy format (versions 1.0 and 2.0) and leaves r
// after its last byte.
func Read(r io.Reader) (Array, error) { return read(r, -1) }

// ReadFile reads a .npy file, which must end where the array does.
func ReadFile(path string) (Array, error) {
	f, err := os.Open(path)
	if err != nil {
		return Array{}, fmt.Errorf("npy: %w", err)
	}
	defer f.Close()
	have := int64(-1)
	// Only of a regular file is the size that of the data.
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		have = info.Size()
	}
	a, err := readAll(f, have)
	if err != nil {
		return Array{}, fmt.Errorf("%w (in %s)", err, path)
	}
	return a, nil
}

// readAll reads an array that ends where r does.
func readAll(r io.Reader, have int64) (Array, error) {
	a, err := read(r, have)
	if err != nil {
		return Array{}, err
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n != 0:
		return Array{}, errors.New("npy: there is more data than the array has")
	case err != io.EOF:
		return Array{}, fmt.Errorf("npy: %w", err) // a wrong checksum, for instance
	}
	return a, nil
}

// read reads one array. Where it is known how many bytes r has, header
// included, have says so, and memory is allocated at once; it is -1 otherwise.
func read(r io.Reader, have int64) (Array, error) {
	h, headerBytes, err := readHeader(r)
	if err != nil {
		return Array{}, err
	}
	n, err := count(h.shape)
	if err != nil {
		return Array{}, err
	}
	if n > 0 && h.size > math.MaxInt/n {
		return Array{}, fmt.Errorf("npy: shape %v of %q is too large", h.shape, h.descr)
	}
	atOnce := have >= 0
	if need := int64(n) * int64(h.size); atOnce && need > have-headerBytes {
		return Array{}, fmt.Errorf("npy: shape %v of %q takes %d bytes, but there are %d", h.shape, h.descr, need, have-headerBytes)
	}
	a := Array{Shape: h.shape}
	switch h.descr {
	case "<f4":
		a.Data, err = readNumbers[float32](r, n, atOnce)
	case "<f8":
		a.Data, err = readNumbers[float64](r, n, atOnce)
	case "<i4":
		a.Data, err = readNumbers[int32](r, n, atOnce)
	case "<i8":
		a.Data, err = readNumbers[int64](r, n, atOnce)
	default:
		a.Data, err = readStrings(r, n, h.size/4)
	}
	if err != nil {
		return Array{}, err
	}
	return a, nil
}

// readNumbers reads n numbers, and allocates all of them at once only if the
// caller knows that they are there.
func readNumbers[T Number](r io.Reader, n int, atOnce bool) ([]T, error) {
	size := sizeOf[T]()
	out := []T{}
	if atOnce {
		out = make([]T, 0, n)
	}
	buf := make([]byte, min(n*size, chunk))
	for len(out) < n {
		k := min(n-len(out), chunk/size)
		if got, err := io.ReadFull(r, buf[:k*size]); err != nil {
			return nil, short(err, len(out)+got/size, n)
		}
		out = decode(out, buf[:k*size])
	}
	return out, nil
}

// short is the error for data that end early.
func short(err error, got, n int) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("npy: the data end after %d of %d elements: %w", got, n, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("npy: read: %w", err)
}
