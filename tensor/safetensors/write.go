package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// A Tensor is a tensor to be written.
type Tensor struct {
	Name string
	// DType may be left empty where Data has a type of its own.
	DType DType
	// Shape is empty for a single value. The last index varies fastest.
	Shape []int
	// Data is one of
	//   - []float32, []float64, []int64, []int32 or []bool with the elements
	//     of a tensor of F32, F64, I64, I32 or BOOL;
	//   - []byte with the data of a tensor of any type, as they are in the file;
	//   - func(io.Writer) error, which writes such data, so that they need not
	//     be in memory at once. It must write as many bytes as DType and Shape
	//     need.
	Data any
}

// Write writes a file. Its bytes are determined by the arguments: metadata in
// the order of its keys, tensors in the order given.
//
// Names must be distinct, and names and metadata valid UTF-8. All of that, and
// that the data fit their shapes, is checked before anything is written; only
// a Data function can fail, or write too little or too much, later.
// Readers that map files into memory like tensors of larger elements to come
// first, which keeps all of them aligned.
func Write(w io.Writer, meta map[string]string, tensors []Tensor) error {
	sizes := make([]int64, len(tensors))
	for i, t := range tensors {
		var err error
		if sizes[i], err = t.check(); err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", t.Name, err)
		}
	}
	h, err := header(meta, tensors, sizes)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	if _, err := w.Write(h); err != nil {
		return fmt.Errorf("safetensors: write the header: %w", err)
	}
	var buf []byte
	for i, t := range tensors {
		c := &counter{w: w}
		if buf, err = t.write(c, buf); err != nil {
			return fmt.Errorf("safetensors: write tensor %q: %w", t.Name, err)
		}
		if c.n != sizes[i] {
			return fmt.Errorf("safetensors: tensor %q of type %s and shape %v needs %d bytes, but %d were written", t.Name, t.dtype(), t.Shape, sizes[i], c.n)
		}
	}
	return nil
}

// dtype is the type that goes into the header.
func (t Tensor) dtype() DType {
	if t.DType != "" {
		return t.DType
	}
	switch t.Data.(type) {
	case []float32:
		return F32
	case []float64:
		return F64
	case []int64:
		return I64
	case []int32:
		return I32
	case []bool:
		return Bool
	}
	return ""
}

// check checks a tensor and says how many bytes it takes.
func (t Tensor) check() (int64, error) {
	have := -1 // bytes, where they are known beforehand
	own := t
	own.DType = ""
	switch data := t.Data.(type) {
	case []float32:
		have = 4 * len(data)
	case []float64:
		have = 8 * len(data)
	case []int64:
		have = 8 * len(data)
	case []int32:
		have = 4 * len(data)
	case []bool:
		have = len(data)
	case []byte:
		have = len(data)
	case func(io.Writer) error:
	default:
		return 0, fmt.Errorf("data of type %T cannot be written", t.Data)
	}
	d := t.dtype()
	if o := own.dtype(); o != "" && o != d {
		return 0, fmt.Errorf("data of type %T are not %s", t.Data, d)
	}
	if d.Size() == 0 {
		return 0, fmt.Errorf("its type %q is not known", d)
	}
	size, err := byteCount(d, t.Shape)
	if err != nil {
		return 0, err
	}
	if have >= 0 && int64(have) != size {
		return 0, fmt.Errorf("type %s and shape %v need %d bytes, but there are %d", d, t.Shape, size, have)
	}
	return size, nil
}

// header builds the length and the header.
func header(meta map[string]string, tensors []Tensor, sizes []int64) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	separator := ""
	if len(meta) > 0 {
		b.WriteString(`"` + metadataKey + `":{`)
		for _, key := range slices.Sorted(maps.Keys(meta)) {
			b.WriteString(separator)
			if err := quote(&b, key); err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
			b.WriteByte(':')
			if err := quote(&b, meta[key]); err != nil {
				return nil, fmt.Errorf("metadata %q: %w", key, err)
			}
			separator = ","
		}
		b.WriteByte('}')
	}
	seen := map[string]bool{metadataKey: true}
	at := int64(0)
	for i, t := range tensors {
		if seen[t.Name] {
			return nil, fmt.Errorf("the name %q is taken", t.Name)
		}
		seen[t.Name] = true
		b.WriteString(separator)
		separator = ","
		if err := quote(&b, t.Name); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `:{"dtype":"%s","shape":[`, t.dtype())
		for j, k := range t.Shape {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, k)
		}
		if sizes[i] > math.MaxInt64-at {
			return nil, errors.New("the tensors are too large")
		}
		fmt.Fprintf(&b, `],"data_offsets":[%d,%d]}`, at, at+sizes[i])
		at += sizes[i]
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // so that the data are aligned
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > maxHeader {
		return nil, fmt.Errorf("the header of %d bytes is longer than %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

// quote writes a JSON string.
func quote(b *bytes.Buffer, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not valid UTF-8", s)
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder ends with a newline
	return nil
}

// write writes the data of a tensor through a buffer, which it returns for the
// next one.
func (t Tensor) write(w io.Writer, buf []byte) ([]byte, error) {
	le := binary.LittleEndian
	switch data := t.Data.(type) {
	case []float32:
		return encode(w, buf, data, F32, func(b []byte, data []float32) {
			for i, x := range data {
				le.PutUint32(b[4*i:], math.Float32bits(x))
			}
		})
	case []float64:
		return encode(w, buf, data, F64, func(b []byte, data []float64) {
			for i, x := range data {
				le.PutUint64(b[8*i:], math.Float64bits(x))
			}
		})
	case []int64:
		return encode(w, buf, data, I64, func(b []byte, data []int64) {
			for i, x := range data {
				le.PutUint64(b[8*i:], uint64(x))
			}
		})
	case []int32:
		return encode(w, buf, data, I32, func(b []byte, data []int32) {
			for i, x := range data {
				le.PutUint32(b[4*i:], uint32(x))
			}
		})
	case []bool:
		return encode(w, buf, data, Bool, func(b []byte, data []bool) {
			for i, x := range data {
				b[i] = 0
				if x {
					b[i] = 1
				}
			}
		})
	case []byte:
		_, err := w.Write(data)
		return buf, err
	}
	return buf, t.Data.(func(io.Writer) error)(w) // check has seen to it
}

// encode writes elements in pieces that put encodes into a buffer.
func encode[T any](w io.Writer, buf []byte, data []T, d DType, put func(b []byte, data []T)) ([]byte, error) {
	if buf == nil {
		buf = make([]byte, chunk)
	}
	for len(data) > 0 {
		n := min(len(data), chunk/d.Size())
		b := buf[:n*d.Size()]
		put(b, data[:n])
		if _, err := w.Write(b); err != nil {
			return buf, err
		}
		data = data[n:]
	}
	return buf, nil
}
