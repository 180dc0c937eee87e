package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/limbic-go/limbic/tensor"
)

// A KV is a metadata key with its value, to be written.
type KV struct {
	Key   string
	Value Value
}

// TensorData is a tensor to be written.
type TensorData struct {
	Name string
	Type tensor.Type
	Dims []int  // 1 to 4 dimensions, each at least 1; Dims[0] is the row length
	Data []byte // rows one after another, of the size that Type and Dims give
}

// EncodeOptions are the options of Encode. The zero value is good.
type EncodeOptions struct {
	Version int // 2 or 3, which differ in this number only; 0 means 3
}

// Encode writes a GGUF file: metadata in the order of kvs, tensors and their
// data in the order of tensors. The same arguments give the same bytes.
//
// Tensors are aligned to the value of the key general.alignment, which must be
// a uint32 and a power of two, or else to 32 bytes. Encode fails, before it
// writes anything, on names that are empty, too long or repeated, on invalid
// values, on unknown tensor types, and where the length of a tensor's data is
// not what its shape and type need.
func Encode(w io.Writer, kvs []KV, tensors []TensorData, opts EncodeOptions) error {
	head, alignment, sizes, err := encodeHead(kvs, tensors, opts)
	if err != nil {
		return err
	}
	for i, t := range tensors {
		if sizes[i] != len(t.Data) {
			return encodeError(tensorItem(t.Name), "there are %d bytes of data, shape %v and type %v need %d", len(t.Data), t.Dims, t.Type, sizes[i])
		}
	}
	// The first error sticks in out, so that Flush reports it.
	out := bufio.NewWriterSize(w, 1<<16)
	_, _ = out.Write(head)
	pad(out, len(head), alignment)
	for _, t := range tensors {
		_, _ = out.Write(t.Data)
		pad(out, len(t.Data), alignment)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	return nil
}

// pad fills up to the alignment after n bytes.
func pad(out *bufio.Writer, n, alignment int) {
	var zeros [4096]byte
	for left := alignUp(n, alignment) - n; left > 0; left -= len(zeros) {
		_, _ = out.Write(zeros[:min(left, len(zeros))])
	}
}

// encodeHead gives everything before the tensor data, the alignment, and the
// bytes that the data of each tensor needs.
func encodeHead(kvs []KV, tensors []TensorData, opts EncodeOptions) (head []byte, alignment int, sizes []int, err error) {
	version := opts.Version
	switch version {
	case 0:
		version = 3
	case 2, 3:
	default:
		return nil, 0, nil, encodeError("", "version %d cannot be written, only 2 and 3", version)
	}

	le := binary.LittleEndian
	head = le.AppendUint32([]byte(magic), uint32(version))
	head = le.AppendUint64(head, uint64(len(tensors)))
	head = le.AppendUint64(head, uint64(len(kvs)))

	alignment = defaultAlignment
	seen := make(map[string]bool)
	for _, kv := range kvs {
		item := keyItem(kv.Key)
		if msg := checkName(kv.Key, seen); msg != "" {
			return nil, 0, nil, encodeError(item, "key %s", msg)
		}
		v := kv.Value
		if v == (Value{}) {
			return nil, 0, nil, encodeError(item, "there is no value")
		}
		if kv.Key == alignmentKey {
			var msg string
			if alignment, msg = asAlignment(v); msg != "" {
				return nil, 0, nil, encodeError(item, "%s", msg)
			}
			if v.typ != TypeUint32 { // other readers insist on it
				return nil, 0, nil, encodeError(item, "%s, want a uint32", wrong(v))
			}
		}
		head = appendString(head, kv.Key)
		head = le.AppendUint32(head, uint32(v.typ))
		head = v.appendPayload(head)
	}

	clear(seen)
	offset := 0
	for _, t := range tensors {
		item := tensorItem(t.Name)
		if msg := checkName(t.Name, seen); msg != "" {
			return nil, 0, nil, encodeError(item, "name %s", msg)
		}
		if len(t.Dims) < 1 || len(t.Dims) > maxDims || slices.Min(t.Dims) < 1 {
			return nil, 0, nil, encodeError(item, "shape is %v, want 1 to %d dimensions of at least 1", t.Dims, maxDims)
		}
		if !t.Type.Known() {
			return nil, 0, nil, encodeError(item, "%v is not supported", t.Type)
		}
		size, msg := dataSize(t.Type, t.Dims)
		if msg != "" {
			return nil, 0, nil, encodeError(item, "%s", msg)
		}
		if size > math.MaxInt-alignment-offset { // only where the data need not be in memory
			return nil, 0, nil, encodeError(item, "the file would have more bytes than can be counted")
		}
		head = appendString(head, t.Name)
		head = le.AppendUint32(head, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			head = le.AppendUint64(head, uint64(d))
		}
		head = le.AppendUint32(head, uint32(t.Type))
		head = le.AppendUint64(head, uint64(offset))
		offset += alignUp(size, alignment)
		sizes = append(sizes, size)
	}
	return head, alignment, sizes, nil
}

func encodeError(item, format string, args ...any) error {
	return &FormatError{Offset: -1, Item: item, Msg: fmt.Sprintf(format, args...)}
}

// checkName says what is wrong with a key or tensor name; seen holds those
// before it.
func checkName(name string, seen map[string]bool) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return fmt.Sprintf("is %d bytes long, at most %d are allowed", len(name), maxName)
	case seen[name]:
		return "is there twice"
	}
	seen[name] = true
	return ""
}
