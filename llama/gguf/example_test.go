package gguf_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// A control vector is a small GGUF file: write one and read it back.
func Example() {
	dir, err := os.MkdirTemp("", "gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "calm.gguf")

	out, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	err = errors.Join(gguf.Encode(out, []gguf.KV{
		{Key: "general.architecture", Value: gguf.Scalar("controlvector")},
		{Key: "controlvector.layer_count", Value: gguf.Scalar(uint32(1))},
	}, []gguf.TensorData{{
		Name: "direction.1",
		Type: tensor.F32,
		Dims: []int{2},
		Data: []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40},
	}}, gguf.EncodeOptions{}), out.Close())
	if err != nil {
		log.Fatal(err)
	}

	f, err := gguf.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	for _, key := range f.Keys() {
		v, _ := f.Get(key)
		fmt.Println(key, "=", v)
	}
	layers, err := f.Uint("controlvector.layer_count")
	fmt.Println(layers, err)
	_, err = f.String("controlvector.model_hint")
	fmt.Println(errors.Is(err, gguf.ErrMissing))
	for _, t := range f.Tensors() {
		data, err := t.Data()
		fmt.Println(t.Name, t.Type, t.Dims, data, err)
	}
	// Output:
	// general.architecture = "controlvector"
	// controlvector.layer_count = 1
	// 1 <nil>
	// true
	// direction.1 F32 [2] [0 0 128 63 0 0 0 64] <nil>
}
