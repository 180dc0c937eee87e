package hf

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// ConvertOptions are the options of Convert.
type ConvertOptions struct {
	// Type is how matrices are stored: F32, F16, BF16, Q8_0 or Q4_0. Vectors and
	// the routers of experts stay float32, and matrices whose rows cannot be cut
	// into the type's blocks become F16.
	Type tensor.Type
	// Keep leaves matrices as they are, whatever Type says.
	Keep bool
	// Progress, unless it is nil, is told how many elements of all are done.
	Progress func(done, total int)
}

// Convert writes a model as one GGUF file. The model may come from Open, or be
// any GGUF file that is not quantised. It is read some rows at a time, so that
// little of it is in memory.
//
// Convert fails where a number does not fit the type, with the tensor's name,
// and where ctx ends (errors.Is ctx.Err()); then part of the file has been
// written.
func Convert(ctx context.Context, w io.Writer, f *gguf.File, o ConvertOptions) error {
	switch o.Type {
	case tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0:
	default:
		return fmt.Errorf("hf: models are not converted to %v", o.Type)
	}
	var kvs []gguf.KV
	for _, key := range f.Keys() {
		v, _ := f.Get(key)
		switch {
		case strings.HasPrefix(key, "split."):
			continue
		case key == fileTypeKey:
			continue
		}
		kvs = append(kvs, gguf.KV{Key: key, Value: v})
	}
	tensors := f.Tensors()
	infos := make([]gguf.TensorInfo, len(tensors))
	total, done := 0, 0
	for i := range tensors {
		t := &tensors[i]
		to := o.typeOf(t)
		if !float(t.Type) && t.Type != to {
			return fmt.Errorf("hf: %s: tensor %.99q is stored as %v: converting that again would lose precision", f.Path, t.Name, t.Type)
		}
		infos[i] = gguf.TensorInfo{Name: t.Name, Type: to, Dims: t.Dims}
		total += t.Elements()
	}
	kvs = append(kvs, gguf.KV{Key: fileTypeKey, Value: gguf.Scalar(fileType(infos))})
	var c chunk
	return gguf.EncodeStream(w, kvs, infos, func(w io.Writer, i int) error {
		t := &tensors[i]
		cols, rows := t.Dims[0], t.Rows()
		step, held := max(1, chunkElements/cols), 0
		for from := 0; from < rows; from += step {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(step, rows-from)
			data, err := t.ReadRows(from, from+n)
			if err != nil {
				return err
			}
			if data, err = c.convert(data, t.Type, infos[i].Type, n, cols); err != nil {
				return fmt.Errorf("rows from %d: %w", from, err)
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
			if held += n * cols; held >= releaseElements {
				t.Release()
				held = 0
			}
			if done += n * cols; o.Progress != nil {
				o.Progress(done, total)
			}
		}
		t.Release()
		return nil
	}, gguf.EncodeOptions{})
}

const (
	chunkElements   = 1 << 18 // converted at a time, unless a row is longer
	releaseElements = 1 << 24 // after which pages of the source are given back
)

func float(t tensor.Type) bool { return t == tensor.F32 || t == tensor.F16 || t == tensor.BF16 }

// typeOf is the type in which a tensor is written.
func (o *ConvertOptions) typeOf(t *gguf.Tensor) tensor.Type {
	switch {
	case len(t.Dims) == 1 || strings.HasSuffix(t.Name, ".ffn_gate_inp.weight"):
		return tensor.F32
	case o.Keep:
		return t.Type
	case t.Dims[0]%o.Type.Block() != 0:
		return tensor.F16
	}
	return o.Type
}

const fileTypeKey = "general.file_type"

// fileType gives the value of general.file_type: the number that llama.cpp has
// for the type of most elements of matrices.
func fileType(tensors []gguf.TensorInfo) uint32 {
	elements := map[tensor.Type]int{}
	most := tensor.F32
	for _, t := range tensors {
		if len(t.Dims) < 2 {
			continue
		}
		n := 1
		for _, d := range t.Dims {
			n *= d // an overflow is found when the tensor is written
		}
		elements[t.Type] += n
		if elements[t.Type] > elements[most] {
			most = t.Type
		}
	}
	return map[tensor.Type]uint32{tensor.F16: 1, tensor.Q4_0: 2, tensor.Q8_0: 7, tensor.BF16: 32}[most]
}

// A chunk is memory for some rows.
type chunk struct {
	floats []float32
	bytes  []byte
}

// convert gives rows in another type; the result is valid until the next call.
func (c *chunk) convert(data []byte, from, to tensor.Type, rows, cols int) ([]byte, error) {
	if from == to {
		return data, nil
	}
	row, err := to.RowBytes(cols)
	if err != nil {
		return nil, err
	}
	if len(c.floats) < rows*cols {
		c.floats = make([]float32, rows*cols)
	}
	if len(c.bytes) < rows*row {
		c.bytes = make([]byte, rows*row)
	}
	x, b := c.floats[:rows*cols], c.bytes[:rows*row]
	if err := tensor.Dequantize(x, from, data); err != nil {
		return nil, err
	}
	return b, tensor.Quantize(b, to, x)
}
