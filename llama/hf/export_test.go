package hf

import (
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token/hftoken"
)

// SetTokenizer makes Open take a tokenizer's keys from elsewhere than
// tokenizer.json, until undo is called.
func SetTokenizer(kvs []gguf.KV) (undo func()) {
	before := readTokenizer
	readTokenizer = func(hftoken.Files) ([]gguf.KV, error) { return kvs, nil }
	return func() { readTokenizer = before }
}
