// Command _gen writes the model tiny-f32.gguf of testdata: random weights,
// seeded, in a shape that plain Go runs fast, with the vocabulary of another
// test model. Run it in this folder.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

const (
	blocks, width, ff, heads, kvHeads = 3, 32, 40, 4, 2
	context, vocabulary               = 512, 512
)

func main() {
	log.SetFlags(0)
	from, err := gguf.Open("../models/quant-q4_0.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer from.Close()
	kvs := []gguf.KV{
		{Key: "general.architecture", Value: gguf.Scalar("llama")},
		{Key: "general.name", Value: gguf.Scalar("tiny")},
		{Key: "llama.block_count", Value: gguf.Scalar(uint32(blocks))},
		{Key: "llama.context_length", Value: gguf.Scalar(uint32(context))},
		{Key: "llama.embedding_length", Value: gguf.Scalar(uint32(width))},
		{Key: "llama.feed_forward_length", Value: gguf.Scalar(uint32(ff))},
		{Key: "llama.attention.head_count", Value: gguf.Scalar(uint32(heads))},
		{Key: "llama.attention.head_count_kv", Value: gguf.Scalar(uint32(kvHeads))},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: gguf.Scalar(float32(1e-5))},
	}
	for _, key := range from.Keys() {
		if strings.HasPrefix(key, "tokenizer.") {
			v, _ := from.Get(key)
			kvs = append(kvs, gguf.KV{Key: key, Value: v})
		}
	}
	r := rand.New(rand.NewPCG(2026, 11))
	var tensors []gguf.TensorData
	add := func(name string, scale float64, dims ...int) {
		n := 1
		for _, d := range dims {
			n *= d
		}
		var data []byte
		for range n {
			x := float32(scale * (2*r.Float64() - 1))
			if len(dims) == 1 {
				x += 1 // a norm's gain
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		tensors = append(tensors, gguf.TensorData{Name: name, Type: tensor.F32, Dims: dims, Data: data})
	}
	add("token_embd.weight", 1, width, vocabulary)
	add("output_norm.weight", 0.2, width)
	for b := range blocks {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", b, s) }
		kv := width / heads * kvHeads
		add(name("attn_norm"), 0.2, width)
		add(name("attn_q"), 0.3, width, width)
		add(name("attn_k"), 0.3, width, kv)
		add(name("attn_v"), 0.3, width, kv)
		add(name("attn_output"), 0.3, width, width)
		add(name("ffn_norm"), 0.2, width)
		add(name("ffn_gate"), 0.3, width, ff)
		add(name("ffn_up"), 0.3, width, ff)
		add(name("ffn_down"), 0.3, ff, width)
	}
	var out bytes.Buffer
	if err := gguf.Encode(&out, kvs, tensors, gguf.EncodeOptions{}); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("../models/tiny-f32.gguf", out.Bytes(), 0o666); err != nil {
		log.Fatal(err)
	}
}
