package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/limbic-go/limbic/internal/mmap"
	"github.com/limbic-go/limbic/tensor"
)

// A File is a safetensors file that is open for reading. It is safe for
// concurrent use.
type File struct {
	meta    map[string]string
	tensors map[string]entry
	names   []string

	data   io.ReaderAt // of all tensors, from offset 0
	memory []byte      // the same, if the file is in memory or mapped
	closer io.Closer

	mapping *mmap.File // of a mapped file
	start   int64      // of the data in the mapping
	closed  atomic.Bool
}

// An Info describes a tensor in a file.
type Info struct {
	Name  string
	DType DType
	Shape []int
	Bytes int64 // size of its data
}

// An entry is what the header says of a tensor.
type entry struct {
	dtype      DType
	shape      []int
	begin, end int64
}

// Open opens a file and reads its header; the data is read when it is asked
// for. The caller closes the File.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	file, err := open(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return file, nil
}

func open(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("safetensors: not a regular file")
	}
	file, start, err := read(f, info.Size())
	if err != nil {
		return nil, err
	}
	file.data = io.NewSectionReader(f, start, info.Size()-start)
	file.closer = f
	return file, nil
}

// Map maps a file into memory and reads its header: Bytes then gives views of
// the mapping, and nothing is read before it is touched. The file must not be
// changed or truncated before Close. The caller closes the File.
func Map(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	file, err := Parse(m.Data)
	if err != nil {
		_ = m.Close() // the parse error is the one to report
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	file.mapping, file.start, file.closer = m, int64(len(m.Data)-len(file.memory)), m
	return file, nil
}

// Parse reads a file in memory. The File refers to b, which must not change.
func Parse(b []byte) (*File, error) {
	file, start, err := read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	file.memory = b[start:]
	file.data = bytes.NewReader(file.memory)
	return file, nil
}

// read reads and checks the header of a file of the given size, and says where
// the data starts.
func read(r io.ReaderAt, size int64) (f *File, start int64, err error) {
	var length [8]byte
	if size < int64(len(length)) {
		return nil, 0, fmt.Errorf("safetensors: a file of %d bytes is too short", size)
	}
	if err := readAt(r, length[:], 0); err != nil {
		return nil, 0, fmt.Errorf("safetensors: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeader:
		return nil, 0, fmt.Errorf("safetensors: not a safetensors file, or damaged: a header of %d bytes is longer than %d", n, maxHeader)
	case int64(n) > size-int64(len(length)):
		return nil, 0, fmt.Errorf("safetensors: the header of %d bytes is longer than the file of %d", n, size)
	}
	header := make([]byte, n)
	if err := readAt(r, header, int64(len(length))); err != nil {
		return nil, 0, fmt.Errorf("safetensors: %w", err)
	}
	start = int64(len(length)) + int64(n)
	f = &File{meta: map[string]string{}, tensors: map[string]entry{}}
	if err := f.parseHeader(header); err != nil {
		return nil, 0, fmt.Errorf("safetensors: malformed header: %w", err)
	}
	if err := f.layOut(size - start); err != nil {
		return nil, 0, fmt.Errorf("safetensors: %w", err)
	}
	return f, start, nil
}

// readAt fills b. It forgives the EOF that comes with the last bytes.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF // the file has become shorter
	}
	return err
}

// parseHeader reads the JSON. The standard decoder alone would let duplicate
// keys, keys in another case and invalid UTF-8 pass.
func (f *File) parseHeader(header []byte) error {
	if !bytes.HasPrefix(header, []byte("{")) {
		return errors.New("it does not begin with {")
	}
	if !utf8.Valid(header) {
		return errors.New("it is not valid UTF-8")
	}
	if !json.Valid(header) {
		return errors.New("it is not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	sawMeta := false
	return object(d, func(name string) error {
		if name == metadataKey {
			if sawMeta {
				return fmt.Errorf("a second %.99q", name)
			}
			sawMeta = true
			return object(d, f.parseMetadata(d))
		}
		if _, ok := f.tensors[name]; ok {
			return fmt.Errorf("a second tensor %.99q", name)
		}
		e, err := parseEntry(d)
		if err != nil {
			return fmt.Errorf("tensor %.99q: %w", name, err)
		}
		f.tensors[name] = e
		f.names = append(f.names, name)
		return nil
	})
}

// object calls field for each key of an object; field reads the value.
func object(d *json.Decoder, field func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("something else where an object should be")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := field(key.(string)); err != nil { // valid JSON has no other keys
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (f *File) parseMetadata(d *json.Decoder) func(key string) error {
	return func(key string) error {
		if _, ok := f.meta[key]; ok {
			return fmt.Errorf("a second %.99q in the metadata", key)
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("the value of %.99q in the metadata is not a string", key)
		}
		f.meta[key] = s
		return nil
	}
}

func parseEntry(d *json.Decoder) (entry, error) {
	var e entry
	seen := map[string]bool{}
	err := object(d, func(key string) error {
		if seen[key] {
			return fmt.Errorf("a second %.99q", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			t, err := d.Token()
			if err != nil {
				return err
			}
			s, ok := t.(string)
			if !ok || s == "" {
				return errors.New("its dtype is not a name")
			}
			e.dtype = DType(s)
		case "shape":
			shape, err := integers(d)
			if err != nil {
				return fmt.Errorf("its shape %w", err)
			}
			if len(shape) > maxDims {
				return fmt.Errorf("%d dimensions are more than %d", len(shape), maxDims)
			}
			e.shape = make([]int, len(shape))
			for i, k := range shape {
				if k > math.MaxInt {
					return fmt.Errorf("its shape has a dimension of %d", k)
				}
				e.shape[i] = int(k)
			}
		case "data_offsets":
			offsets, err := integers(d)
			if err != nil {
				return fmt.Errorf("its data_offsets %w", err)
			}
			if len(offsets) != 2 {
				return fmt.Errorf("it has %d data_offsets", len(offsets))
			}
			e.begin, e.end = offsets[0], offsets[1]
		default:
			return fmt.Errorf("an unknown field %.99q", key)
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return e, fmt.Errorf("no %q", key)
		}
	}
	return e, nil
}

// integers reads an array of integers that are not negative.
func integers(d *json.Decoder) ([]int64, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("is not an array")
	}
	list := []int64{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		// Neither 1.0 nor 1e3, and no number beyond 63 bits.
		number, ok := t.(json.Number)
		if !ok || strings.Trim(number.String(), "0123456789") != "" {
			return nil, errors.New("holds something else than counts")
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("holds %.99s, which is too large", number)
		}
		list = append(list, n)
	}
	_, err := d.Token()
	return list, err
}

// layOut checks that the tensors fill size bytes of data one after another,
// each with the bytes that its type and shape need, and brings the names into
// the order of the data.
func (f *File) layOut(size int64) error {
	for _, name := range f.names {
		e := f.tensors[name]
		if e.begin > e.end || e.end > size {
			return fmt.Errorf("tensor %.99q is at bytes %d to %d of %d", name, e.begin, e.end, size)
		}
		if n := e.end - e.begin; int64(int(n)) != n {
			return fmt.Errorf("tensor %.99q of %d bytes is too large for this machine", name, n)
		}
		if e.dtype.Size() == 0 {
			continue
		}
		n, err := byteCount(e.dtype, e.shape)
		if err != nil {
			return fmt.Errorf("tensor %.99q: %w", name, err)
		}
		if n != e.end-e.begin {
			return fmt.Errorf("tensor %.99q of type %.99s and shape %v needs %d bytes, but has %d", name, e.dtype, e.shape, n, e.end-e.begin)
		}
	}
	slices.SortStableFunc(f.names, func(a, b string) int {
		x, y := f.tensors[a], f.tensors[b]
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.end, y.end))
	})
	at := int64(0)
	for _, name := range f.names {
		e := f.tensors[name]
		switch {
		case e.begin < at:
			return fmt.Errorf("tensor %.99q overlaps the one before it", name)
		case e.begin > at:
			return fmt.Errorf("%d bytes before tensor %.99q belong to none", e.begin-at, name)
		}
		at = e.end
	}
	if at < size {
		return fmt.Errorf("the last %d bytes belong to no tensor", size-at)
	}
	return nil
}

// Metadata is a copy of the file's metadata.
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// Names lists the tensors in the order of their data.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Info describes a tensor. The error for a name that is not there is
// [fs.ErrNotExist], here and in all that follows.
func (f *File) Info(name string) (Info, error) {
	e, err := f.lookup(name)
	if err != nil {
		return Info{}, err
	}
	return Info{name, e.dtype, slices.Clone(e.shape), e.end - e.begin}, nil
}

func (f *File) lookup(name string) (entry, error) {
	e, ok := f.tensors[name]
	if !ok {
		return entry{}, fmt.Errorf("safetensors: no tensor %q: %w", name, fs.ErrNotExist)
	}
	return e, nil
}

// readable is lookup for those who want the data.
func (f *File) readable(name string) (entry, error) {
	if f.mapping != nil && f.closed.Load() {
		return entry{}, fmt.Errorf("safetensors: read tensor %q: %w", name, fs.ErrClosed)
	}
	return f.lookup(name)
}

// Section reads the data of a tensor piece by piece.
func (f *File) Section(name string) (*io.SectionReader, error) {
	e, err := f.readable(name)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(f.data, e.begin, e.end-e.begin), nil
}

// Release tells the kernel that the pages of a tensor of a mapped file are not
// needed at present. It is a hint, and does nothing for other files and names.
func (f *File) Release(name string) {
	if e, ok := f.tensors[name]; ok && f.mapping != nil && !f.closed.Load() {
		f.mapping.Release(int(f.start+e.begin), int(f.start+e.end))
	}
}

// Bytes gives the data of a tensor as the file has them: little-endian, the
// last index varying fastest. After [Parse] and [Map] it is a view of the file
// and must not be changed; after [Map] it is valid until Close.
func (f *File) Bytes(name string) ([]byte, error) {
	e, err := f.readable(name)
	if err != nil {
		return nil, err
	}
	if f.memory != nil {
		return f.memory[e.begin:e.end:e.end], nil
	}
	b := make([]byte, e.end-e.begin) // no more than the file has
	if err := readAt(f.data, b, e.begin); err != nil {
		return nil, fmt.Errorf("safetensors: read tensor %q: %w", name, err)
	}
	return b, nil
}

// Float32s gives the elements of a tensor of F32, F16 or BF16, all of which
// float32 holds exactly. A tensor of another type is an error.
func (f *File) Float32s(name string) ([]float32, error) {
	types := map[DType]tensor.Type{F32: tensor.F32, F16: tensor.F16, BF16: tensor.BF16}
	return elements(f, name, func(d DType) func([]float32, []byte) {
		t, ok := types[d]
		if !ok {
			return nil
		}
		return func(dst []float32, src []byte) {
			if err := tensor.Dequantize(dst, t, src); err != nil {
				panic(err) // only for lengths that do not match
			}
		}
	})
}

// Float64s gives the elements of a tensor of F64. A tensor of another type is
// an error.
func (f *File) Float64s(name string) ([]float64, error) {
	return elements(f, name, func(d DType) func([]float64, []byte) {
		if d != F64 {
			return nil
		}
		return func(dst []float64, src []byte) {
			for i := range dst {
				dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
			}
		}
	})
}

// Int64s gives the elements of a tensor of integers: I64, I32, I16, I8, U32,
// U16 or U8. A tensor of another type is an error.
func (f *File) Int64s(name string) ([]int64, error) {
	le := binary.LittleEndian
	get := map[DType]func(b []byte) int64{
		I64: func(b []byte) int64 { return int64(le.Uint64(b)) },
		I32: func(b []byte) int64 { return int64(int32(le.Uint32(b))) },
		I16: func(b []byte) int64 { return int64(int16(le.Uint16(b))) },
		I8:  func(b []byte) int64 { return int64(int8(b[0])) },
		U32: func(b []byte) int64 { return int64(le.Uint32(b)) },
		U16: func(b []byte) int64 { return int64(le.Uint16(b)) },
		U8:  func(b []byte) int64 { return int64(b[0]) },
	}
	return elements(f, name, func(d DType) func([]int64, []byte) {
		one, size := get[d], d.Size()
		if one == nil {
			return nil
		}
		return func(dst []int64, src []byte) {
			for i := range dst {
				dst[i] = one(src[size*i:])
			}
		}
	})
}

// Bools gives the elements of a tensor of BOOL; every byte but 0 is true. A
// tensor of another type is an error.
func (f *File) Bools(name string) ([]bool, error) {
	return elements(f, name, func(d DType) func([]bool, []byte) {
		if d != Bool {
			return nil
		}
		return func(dst []bool, src []byte) {
			for i := range dst {
				dst[i] = src[i] != 0
			}
		}
	})
}

// elements converts a tensor piece by piece. The function decoder gives is nil
// for a type that cannot be converted.
func elements[T any](f *File, name string, decoder func(DType) func(dst []T, src []byte)) ([]T, error) {
	e, err := f.readable(name)
	if err != nil {
		return nil, err
	}
	decode := decoder(e.dtype)
	if decode == nil {
		return nil, fmt.Errorf("safetensors: tensor %q is of type %s, which is not read as %T", name, e.dtype, []T(nil))
	}
	size := int64(e.dtype.Size())
	out := make([]T, (e.end-e.begin)/size)
	buf := make([]byte, min(chunk, e.end-e.begin))
	for rest, at := out, e.begin; len(rest) > 0; {
		n := min(int64(len(rest)), chunk/size)
		if err := readAt(f.data, buf[:n*size], at); err != nil {
			return nil, fmt.Errorf("safetensors: read tensor %q: %w", name, err)
		}
		decode(rest[:n], buf[:n*size])
		rest, at = rest[n:], at+n*size
	}
	return out, nil
}

// Close closes the file. Views of a file in memory stay valid, those of a mapped
// one do not; nothing else of a mapped file may be in use. Closing it again does
// nothing.
func (f *File) Close() error {
	if f.closer == nil || f.closed.Swap(true) && f.mapping != nil {
		return nil
	}
	return f.closer.Close()
}
