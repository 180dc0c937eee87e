package gguf

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/tensor"
)

// The bytes of a file, one by one: what the format looks like.
func TestEncodeBytes(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Encode(&b, []KV{
		{"general.alignment", Scalar(uint32(8))},
		{"k", Array([]string{"x"})},
	}, []TensorData{
		{"a", tensor.F32, []int{1}, []byte{1, 2, 3, 4}},
		{"b", tensor.F16, []int{1, 2}, []byte{5, 6, 7, 8}},
	}, EncodeOptions{}))

	want := raw("GGUF").u32(3).u64(2).u64(2)
	want = want.str("general.alignment").u32(4).u32(8)
	want = want.str("k").u32(9).u32(8).u64(1).str("x")
	want = want.str("a").u32(1).u64(1).u32(0).u64(0)
	want = want.str("b").u32(2).u64(1).u64(2).u32(1).u64(8)
	want = want.align(8)
	want = append(want, 1, 2, 3, 4, 0, 0, 0, 0)
	want = append(want, 5, 6, 7, 8, 0, 0, 0, 0)
	require.Equal(t, []byte(want), b.Bytes())
}

func TestEncodeLargeAlignment(t *testing.T) {
	f, data := encode(t, []KV{{"general.alignment", Scalar(uint32(16384))}}, []TensorData{
		{"a", tensor.F32, []int{1}, []byte{1, 2, 3, 4}},
		{"b", tensor.F32, []int{1}, []byte{5, 6, 7, 8}},
	}, EncodeOptions{})
	require.Len(t, data, 3*16384)
	b, _ := f.Tensor("b")
	require.EqualValues(t, 2*16384, b.Offset())
	got, err := b.Data()
	require.NoError(t, err)
	require.Equal(t, []byte{5, 6, 7, 8}, got)
}

func TestEncodeErrors(t *testing.T) {
	one := []byte{0, 0, 0, 0}
	ok := TensorData{"t", tensor.F32, []int{1}, one}
	for name, c := range map[string]struct {
		kvs     []KV
		tensors []TensorData
		opts    EncodeOptions
		err     string
	}{
		"version":          {nil, nil, EncodeOptions{Version: 1}, `gguf: version 1 cannot be written, only 2 and 3`},
		"empty key":        {[]KV{{"", Scalar("")}}, nil, EncodeOptions{}, `gguf: key "": key is empty`},
		"long key":         {[]KV{{strings.Repeat("k", 65536), Scalar("")}}, nil, EncodeOptions{}, `key is 65536 bytes long, at most 65535 are allowed`},
		"duplicate key":    {[]KV{{"k", Scalar("")}, {"k", Scalar(true)}}, nil, EncodeOptions{}, `gguf: key "k": key is there twice`},
		"zero value":       {[]KV{{"k", Value{}}}, nil, EncodeOptions{}, `gguf: key "k": there is no value`},
		"alignment":        {[]KV{{"general.alignment", Scalar(uint32(12))}}, nil, EncodeOptions{}, `gguf: key "general.alignment": alignment is 12, want a power of two`},
		"alignment type":   {[]KV{{"general.alignment", Scalar(uint64(32))}}, nil, EncodeOptions{}, `gguf: key "general.alignment": value is uint64 32, want a uint32`},
		"empty name":       {nil, []TensorData{{"", tensor.F32, []int{1}, one}}, EncodeOptions{}, `gguf: tensor "": name is empty`},
		"duplicate tensor": {nil, []TensorData{ok, ok}, EncodeOptions{}, `gguf: tensor "t": name is there twice`},
		"no shape":         {nil, []TensorData{{"t", tensor.F32, nil, one}}, EncodeOptions{}, `gguf: tensor "t": shape is [], want 1 to 4 dimensions of at least 1`},
		"five dimensions":  {nil, []TensorData{{"t", tensor.F32, []int{1, 1, 1, 1, 1}, one}}, EncodeOptions{}, `shape is [1 1 1 1 1], want 1 to 4`},
		"empty dimension":  {nil, []TensorData{{"t", tensor.F32, []int{1, 0}, nil}}, EncodeOptions{}, `shape is [1 0], want 1 to 4`},
		"unknown type":     {nil, []TensorData{{"t", 99, []int{1}, one}}, EncodeOptions{}, `gguf: tensor "t": type 99 is not supported`},
		"part of a block":  {nil, []TensorData{{"t", tensor.Q8_0, []int{16}, one}}, EncodeOptions{}, `gguf: tensor "t": tensor: a row of 16 elements cannot be stored as Q8_0`},
		"short data":       {nil, []TensorData{{"t", tensor.F32, []int{2}, one}}, EncodeOptions{}, `gguf: tensor "t": there are 4 bytes of data, shape [2] and type F32 need 8`},
		"overflow":         {nil, []TensorData{{"t", tensor.F32, []int{1 << 20, 1 << 30, 1 << 30}, one}}, EncodeOptions{}, `more bytes than can be counted`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			err := Encode(&b, c.kvs, c.tensors, c.opts)
			require.ErrorContains(t, err, c.err)
			var format *FormatError
			require.ErrorAs(t, err, &format)
			require.Zero(t, b.Len(), "nothing is written")
		})
	}
}

type fullDisk struct{ room int }

var errFull = errors.New("disk is full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return 0, errFull
	}
	d.room -= len(b)
	return len(b), nil
}

func TestEncodeReportsWriteErrors(t *testing.T) {
	big := TensorData{"t", tensor.F32, []int{1 << 16}, make([]byte, 1<<18)}
	for _, room := range []int{0, 1 << 10, 1 << 18} {
		err := Encode(&fullDisk{room}, nil, []TensorData{big, {"u", tensor.F32, []int{1}, make([]byte, 4)}}, EncodeOptions{})
		require.ErrorIs(t, err, errFull)
		require.ErrorContains(t, err, "gguf: write: ")
	}
}
