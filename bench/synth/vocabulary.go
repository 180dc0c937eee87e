package synth

import (
	"fmt"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
)

// minVocabulary is all bytes, one merge, and what begins and ends a text.
const minVocabulary = 256 + 1 + 2

// tokenizer is a byte-level BPE vocabulary of the right size: a token for each
// byte, one merge, since some readers expect any, dummies that no text becomes,
// and two control tokens at the end.
func (s *Shape) tokenizer() []gguf.KV {
	tokens := make([]string, 0, s.Vocabulary)
	types := make([]int32, 0, s.Vocabulary)
	add := func(text string, typ int32) {
		tokens = append(tokens, text)
		types = append(types, typ)
	}
	// In the byte alphabet of GPT-2, printable characters stand for themselves
	// and the other bytes, in order, for U+0100 and up.
	moved := rune(0x100)
	for b := range rune(256) {
		switch {
		case b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae:
			add(string(b), token.TypeNormal)
		default:
			add(string(moved), token.TypeNormal)
			moved++
		}
	}
	add("th", token.TypeNormal)
	for len(tokens) < s.Vocabulary-2 {
		add(fmt.Sprintf("Ġdummy%d", len(tokens)), token.TypeNormal) // Ġ is a space
	}
	bos, eos := uint32(len(tokens)), uint32(len(tokens)+1)
	add("<|begin|>", token.TypeControl)
	add("<|end|>", token.TypeControl)
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: gguf.Scalar("gpt2")},
		{Key: "tokenizer.ggml.pre", Value: gguf.Scalar(s.Splitter)},
		{Key: "tokenizer.ggml.tokens", Value: gguf.Array(tokens)},
		{Key: "tokenizer.ggml.token_type", Value: gguf.Array(types)},
		{Key: "tokenizer.ggml.merges", Value: gguf.Array([]string{"t h"})},
		{Key: "tokenizer.ggml.bos_token_id", Value: gguf.Scalar(bos)},
		{Key: "tokenizer.ggml.eos_token_id", Value: gguf.Scalar(eos)},
		{Key: "tokenizer.ggml.add_bos_token", Value: gguf.Scalar(s.AddBOS)},
	}
}
