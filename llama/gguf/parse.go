package gguf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/limbic-go/limbic/tensor"
)

const (
	magic        = "GGUF"
	alignmentKey = "general.alignment"

	defaultAlignment = 32
	// maxAlignment is generous (a large page is 2 MiB) and keeps the sums of
	// offsets and padding far from overflow.
	maxAlignment = 16 << 20

	maxName = 1<<16 - 1 // bytes of a key (by the specification) or tensor name
	maxDims = 4

	// The bytes that an entry takes at least, from which the counts in the
	// header are judged: a name's length, a type and one byte of value; a
	// name's length, a dimension count, a type and an offset.
	minEntry  = 8 + 4 + 1
	minTensor = 8 + 4 + 4 + 8
)

// A cursor reads forward through a file and checks each length against what is
// left before using it.
type cursor struct {
	data []byte
	pos  int
	file string

	// What is being read, for errors.
	item func() string
}

// fail makes an error about the current item and the byte at offset.
func (c *cursor) fail(offset int, format string, args ...any) error {
	e := &FormatError{File: c.file, Offset: int64(offset), Msg: fmt.Sprintf(format, args...)}
	if c.item != nil {
		e.Item = c.item()
	}
	return e
}

func (c *cursor) left() int { return len(c.data) - c.pos }

// take gives the next n bytes. What they are (of and what, joined only when
// needed, as this runs for every word of a vocabulary) goes into the error.
func (c *cursor) take(n int, of, what string) ([]byte, error) {
	if n > c.left() {
		return nil, c.fail(c.pos, "file is truncated: %s%s needs %d bytes, %d are left", of, what, n, c.left())
	}
	b := c.data[c.pos : c.pos+n]
	c.pos += n
	return b, nil
}

func (c *cursor) uint32(what string) (uint32, error) {
	b, err := c.take(4, "", what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) uint64(of, what string) (uint64, error) {
	b, err := c.take(8, of, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a 64-bit number of things that take at least least bytes each,
// and refuses a number for which the file is too short.
func (c *cursor) count(least int, what string) (int, error) {
	at := c.pos
	n, err := c.uint64("the number of ", what)
	if err != nil {
		return 0, err
	}
	if n > uint64(c.left()/least) {
		return 0, c.fail(at, "%d %s do not fit in the %d bytes that are left", n, what, c.left())
	}
	return int(n), nil
}

// text reads a string; what names it in errors.
func (c *cursor) text(what string) ([]byte, error) {
	at := c.pos
	n, err := c.uint64("the length of ", what)
	if err != nil {
		return nil, err
	}
	if n > uint64(c.left()) {
		return nil, c.fail(at, "%s is %d bytes long, %d are left", what, n, c.left())
	}
	return c.take(int(n), "", what)
}

// name reads a key or a tensor name.
func (c *cursor) name(what string) (string, error) {
	at := c.pos
	b, err := c.text(what)
	switch {
	case err != nil:
		return "", err
	case len(b) == 0:
		return "", c.fail(at, "%s is empty", what)
	case len(b) > maxName:
		return "", c.fail(at, "%s is %d bytes long, at most %d are allowed", what, len(b), maxName)
	}
	return string(b), nil
}

// valueType reads the type of a value or of an array's elements.
func (c *cursor) valueType(what string) (ValueType, error) {
	at := c.pos
	n, err := c.uint32(what)
	if err != nil {
		return 0, err
	}
	t := ValueType(n)
	if !t.valid() {
		return 0, c.fail(at, "%s is %v, which is not defined", what, t)
	}
	return t, nil
}

// value validates a value of type t, and moves past it. The caller gives the
// result its raw bytes, which are those from start to the new position: it
// knows what memory they should live in. depth is the number of arrays around.
func (c *cursor) value(t ValueType, depth int) (v Value, start int, err error) {
	start = c.pos
	switch t {
	case TypeString:
		_, err = c.text("a string")
		return Value{typ: t, elem: t, n: 1}, start, err

	case TypeArray:
		return c.array(depth + 1)

	default:
		b, err := c.take(t.size(), "a ", t.String())
		if err == nil && t == TypeBool && b[0] > 1 {
			err = c.fail(start, "a bool is %d, want 0 or 1", b[0])
		}
		return Value{typ: t, elem: t, n: 1}, start, err
	}
}

// array is value for arrays; depth counts this one.
func (c *cursor) array(depth int) (v Value, start int, err error) {
	if depth > maxDepth {
		return v, 0, c.fail(c.pos, "arrays nest more than %d deep", maxDepth)
	}
	elem, err := c.valueType("the element type of an array")
	if err != nil {
		return v, 0, err
	}
	n, err := c.count(elem.size(), elem.String()+" elements of an array")
	if err != nil {
		return v, 0, err
	}
	v = Value{typ: TypeArray, elem: elem, n: n, depth: 1}
	start = c.pos

	switch elem {
	case TypeString, TypeArray:
		for range n {
			e, _, err := c.value(elem, depth)
			if err != nil {
				return v, 0, err
			}
			v.depth = max(v.depth, e.depth+1)
		}
	case TypeBool:
		b, _ := c.take(n, "", "") // count made sure of the length
		for i, x := range b {
			if x > 1 {
				return v, 0, c.fail(start+i, "element %d of an array of bools is %d, want 0 or 1", i, x)
			}
		}
	default:
		c.pos += n * elem.size()
	}
	return v, start, nil
}

// parse reads everything before the tensor data. It leaves the fields of the
// File that concern its memory to the caller.
func (c *cursor) parse() (*File, error) {
	f := &File{Path: c.file, alignment: defaultAlignment}
	if err := c.header(f); err != nil {
		return nil, err
	}
	tensors, err := c.count(minTensor, "tensors")
	if err != nil {
		return nil, err
	}
	keys, err := c.count(minEntry, "metadata keys")
	if err != nil {
		return nil, err
	}
	if err := c.metadata(f, keys); err != nil {
		return nil, err
	}
	if err := c.tensorTable(f, tensors); err != nil {
		return nil, err
	}
	return f, nil
}

// header reads the magic and the version.
func (c *cursor) header(f *File) error {
	notGGUF := func(msg string) error {
		return &FormatError{File: c.file, Offset: 0, Msg: "not a GGUF file: " + msg, Err: ErrNotGGUF}
	}
	if len(c.data) == 0 {
		return notGGUF("it is empty")
	}
	// The first bytes tell a reader at once that this is, say, an HTML error
	// page or the pointer that Git LFS left in place of the model.
	if start := c.data[:min(len(c.data), 16)]; len(start) < len(magic) || string(start[:len(magic)]) != magic {
		return notGGUF(fmt.Sprintf("it starts with %q, not %q", start, magic))
	}
	c.pos = len(magic)

	at := c.pos
	version, err := c.uint32("the version")
	if err != nil {
		return err
	}
	switch {
	case version == 2 || version == 3:
		f.Version = int(version)
		return nil
	case version == 1:
		return c.fail(at, "version 1 is not supported, only 2 and 3: convert the model again with a current tool")
	case version != 0 && version&0xffff == 0:
		return c.fail(at, "file is big-endian (version %d), only little-endian files are supported", bits.ReverseBytes32(version))
	}
	return c.fail(at, "version %d is not supported, only 2 and 3", version)
}

// metadata reads n keys and their values.
func (c *cursor) metadata(f *File, n int) error {
	f.meta = make(map[string]entry)
	starts := make([]int, 0, min(n, 256)) // grows with what is really there
	for i := range n {
		c.item = func() string { return fmt.Sprintf("key %d of %d", i+1, n) }
		at := c.pos
		key, err := c.name("the key")
		if err != nil {
			return err
		}
		c.item = func() string { return keyItem(key) }
		if _, ok := f.meta[key]; ok {
			return c.fail(at, "key is there twice")
		}
		typ, err := c.valueType("the value type")
		if err != nil {
			return err
		}
		offset := c.pos
		v, start, err := c.value(typ, 0)
		if err != nil {
			return err
		}
		v.raw = "" // given below
		f.keys = append(f.keys, key)
		f.meta[key] = entry{value: v, offset: int64(offset)}
		starts = append(starts, start, c.pos)
	}
	c.item = nil

	// One copy of all metadata, of which values are substrings, so that they
	// survive the mapping.
	raw := string(c.data[:c.pos])
	for i, key := range f.keys {
		e := f.meta[key]
		e.value.raw = raw[starts[2*i]:starts[2*i+1]]
		f.meta[key] = e
	}

	if e, ok := f.meta[alignmentKey]; ok {
		alignment, msg := asAlignment(e.value)
		if msg != "" {
			return f.valueError(alignmentKey, "%s", msg)
		}
		f.alignment = alignment
	}
	return nil
}

// asAlignment reads the value of general.alignment, or says what is wrong.
func asAlignment(v Value) (int, string) {
	a, msg := asUint(v)
	switch {
	case msg != "":
		return 0, msg + ", want a power of two"
	case a == 0 || a&(a-1) != 0:
		return 0, fmt.Sprintf("alignment is %d, want a power of two", a)
	case a > maxAlignment:
		return 0, fmt.Sprintf("alignment is %d, at most %d is supported", a, maxAlignment)
	}
	return int(a), ""
}

// alignUp gives the least multiple of a power of two that is at least n.
func alignUp(n, alignment int) int { return (n + alignment - 1) &^ (alignment - 1) }

// tensorTable reads n entries and checks that their data lies in the file and
// does not overlap.
func (c *cursor) tensorTable(f *File, n int) error {
	f.byName = make(map[string]int)
	var fields []int // where each offset field is, for errors
	for i := range n {
		c.item = func() string { return fmt.Sprintf("tensor %d of %d", i+1, n) }
		at := c.pos
		name, err := c.name("the name")
		if err != nil {
			return err
		}
		c.item = func() string { return tensorItem(name) }
		if _, ok := f.byName[name]; ok {
			return c.fail(at, "tensor is there twice")
		}
		t, field, err := c.tensor(f.alignment)
		if err != nil {
			return err
		}
		t.Name = name
		f.byName[name] = i
		f.tensors = append(f.tensors, t)
		fields = append(fields, field)
	}
	c.item = nil

	f.dataStart = alignUp(c.pos, f.alignment)
	have := max(0, len(c.data)-f.dataStart)
	order := make([]int, n)
	for i := range f.tensors {
		order[i] = i
		t := &f.tensors[i]
		if t.offset > have || t.occupied() > have-t.offset {
			c.item = func() string { return tensorItem(t.Name) }
			return c.fail(fields[i], "file is truncated: data of %d bytes at offset %d of a data section that starts at byte %d and has %d bytes",
				t.occupied(), t.offset, f.dataStart, have)
		}
	}

	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.tensors[a].offset, f.tensors[b].offset) })
	for i := 1; i < n; i++ {
		a, b := &f.tensors[order[i-1]], &f.tensors[order[i]]
		if a.offset+a.occupied() > b.offset {
			c.item = func() string { return tensorItem(b.Name) }
			return c.fail(fields[order[i]], "data at offset %d overlaps the %d bytes of %s at offset %d", b.offset, a.occupied(), tensorItem(a.Name), a.offset)
		}
	}

	for i := range f.tensors {
		f.tensors[i].offset += f.dataStart
	}
	return nil
}

// occupied is the number of bytes to count for a tensor where offsets are
// checked. One of unknown type has at least a byte.
func (t *Tensor) occupied() int {
	if !t.Type.Known() {
		return 1
	}
	return t.size
}

// tensor reads what follows a tensor's name. The offset in the result is that
// in the file, relative to the data section; field is the position of it.
func (c *cursor) tensor(alignment int) (t Tensor, field int, err error) {
	at := c.pos
	n, err := c.uint32("the number of dimensions")
	if err != nil {
		return t, 0, err
	}
	if n > maxDims {
		return t, 0, c.fail(at, "tensor has %d dimensions, at most %d are allowed", n, maxDims)
	}
	t.Dims = make([]int, 0, max(n, 1))
	elements := uint64(1)
	for i := range n {
		at := c.pos
		d, err := c.uint64("", "a dimension")
		if err != nil {
			return t, 0, err
		}
		if d == 0 || d > math.MaxInt {
			return t, 0, c.fail(at, "dimension %d is %d, want 1 to %d", i, d, math.MaxInt)
		}
		high, low := bits.Mul64(elements, d)
		if high != 0 || low > math.MaxInt {
			return t, 0, c.fail(at, "dimension %d is %d, which makes more elements than can be counted", i, d)
		}
		elements = low
		t.Dims = append(t.Dims, int(d))
	}
	if n == 0 {
		t.Dims = append(t.Dims, 1)
	}

	at = c.pos
	typ, err := c.uint32("the tensor type")
	if err != nil {
		return t, 0, err
	}
	t.Type = tensor.Type(typ)
	if t.Type.Known() {
		var msg string
		if t.size, msg = dataSize(t.Type, t.Dims); msg != "" {
			return t, 0, c.fail(at, "%s", msg)
		}
	}

	field = c.pos
	offset, err := c.uint64("", "the data offset")
	if err != nil {
		return t, 0, err
	}
	if offset%uint64(alignment) != 0 {
		return t, 0, c.fail(field, "data offset %d is not a multiple of the alignment %d", offset, alignment)
	}
	if offset > uint64(len(c.data)) {
		return t, 0, c.fail(field, "data offset %d is past the end of the file, which has %d bytes", offset, len(c.data))
	}
	t.offset = int(offset)
	return t, field, nil
}

// dataSize gives the bytes that the elements of a tensor of a known type take,
// or says why they cannot be.
func dataSize(t tensor.Type, dims []int) (int, string) {
	row, err := t.RowBytes(dims[0])
	if err != nil {
		return 0, err.Error()
	}
	size := uint64(row)
	for _, d := range dims[1:] {
		high, low := bits.Mul64(size, uint64(d))
		if high != 0 || low > math.MaxInt {
			return 0, fmt.Sprintf("a tensor of shape %v and type %v has more bytes than can be counted", dims, t)
		}
		size = low
	}
	return int(size), ""
}
