package gguf

import (
	"bufio"
	"fmt"
	"io"

	"github.com/limbic-go/limbic/tensor"
)

// A TensorInfo is a tensor to be written by EncodeStream: TensorData without
// the data.
type TensorInfo struct {
	Name string
	Type tensor.Type
	Dims []int // 1 to 4 dimensions, each at least 1; Dims[0] is the row length
}

// EncodeStream is Encode for tensors that need not be in memory: it calls data
// for one tensor after the other, in the order of tensors, to write the bytes of
// tensors[i] to w. A file is the same whichever of the two writes it.
//
// It fails as Encode does, and where data fails or writes another number of
// bytes than the tensor's shape and type need; then part of the file has been
// written.
func EncodeStream(w io.Writer, kvs []KV, tensors []TensorInfo, data func(w io.Writer, i int) error, opts EncodeOptions) error {
	described := make([]TensorData, len(tensors))
	for i, t := range tensors {
		described[i] = TensorData{Name: t.Name, Type: t.Type, Dims: t.Dims}
	}
	head, alignment, sizes, err := encodeHead(kvs, described, opts)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	_, _ = out.Write(head)
	pad(out, len(head), alignment)
	for i, t := range tensors {
		counted := &countWriter{w: out, left: sizes[i]}
		if err := data(counted, i); err != nil {
			return fmt.Errorf("gguf: write tensor %q: %w", t.Name, err)
		}
		if counted.left != 0 {
			return encodeError(tensorItem(t.Name), "%d bytes of data were written, shape %v and type %v need %d",
				sizes[i]-counted.left, t.Dims, t.Type, sizes[i])
		}
		pad(out, sizes[i], alignment)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	return nil
}

// A countWriter writes on and refuses more bytes than a tensor has.
type countWriter struct {
	w    io.Writer
	left int
}

func (c *countWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, fmt.Errorf("%d bytes too many", len(p)-c.left)
	}
	n, err := c.w.Write(p)
	c.left -= n
	return n, err
}
