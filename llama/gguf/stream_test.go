package gguf

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/tensor"
)

// EncodeStream writes the file that Encode writes.
func TestEncodeStream(t *testing.T) {
	kvs := []KV{{"general.alignment", Scalar(uint32(64))}, {"k", Scalar("v")}}
	tensors := []TensorData{
		{"a", tensor.F32, []int{3}, []byte("twelve bytes")},
		{"b", tensor.F16, []int{1, 2}, []byte("four")},
	}
	var want, got bytes.Buffer
	require.NoError(t, Encode(&want, kvs, tensors, EncodeOptions{}))
	var infos []TensorInfo
	for _, x := range tensors {
		infos = append(infos, TensorInfo{x.Name, x.Type, x.Dims})
	}
	require.NoError(t, EncodeStream(&got, kvs, infos, func(w io.Writer, i int) error {
		for _, c := range tensors[i].Data { // in any pieces
			if _, err := w.Write([]byte{c}); err != nil {
				return err
			}
		}
		return nil
	}, EncodeOptions{}))
	require.Equal(t, want.Bytes(), got.Bytes())
}

func TestEncodeStreamErrors(t *testing.T) {
	one := []TensorInfo{{"t", tensor.F32, []int{1}}}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		tensors []TensorInfo
		data    string
		fails   error
		err     string
	}{
		"too little": {one, "abc", nil, `gguf: tensor "t": 3 bytes of data were written, shape [1] and type F32 need 4`},
		"too much":   {one, "abcde", nil, `gguf: write tensor "t": 1 bytes too many`},
		"data fails": {one, "", broken, `gguf: write tensor "t": broken`},
		"overflow": {[]TensorInfo{{"s", tensor.F32, []int{1 << 60}}, {"t", tensor.F32, []int{1 << 60}}}, "", nil,
			`gguf: tensor "t": the file would have more bytes than can be counted`},
		"unknown type": {[]TensorInfo{{"t", 99, []int{1}}}, "", nil, `gguf: tensor "t": type 99 is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			err := EncodeStream(io.Discard, nil, c.tensors, func(w io.Writer, _ int) error {
				if c.fails != nil {
					return c.fails
				}
				_, err := io.WriteString(w, c.data)
				return err
			}, EncodeOptions{})
			require.ErrorContains(t, err, c.err)
			if c.fails != nil {
				require.ErrorIs(t, err, c.fails)
			}
		})
	}
	require.ErrorIs(t, EncodeStream(&fullDisk{10}, nil, one, func(w io.Writer, _ int) error {
		_, err := w.Write(make([]byte, 4))
		return err
	}, EncodeOptions{}), errFull)
}
