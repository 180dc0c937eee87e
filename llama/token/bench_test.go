package token

import (
	"strings"
	"testing"
)

// prose is about a megabyte of text with the usual mixture of things in it.
var prose = strings.Repeat("She didn't say anything at first; then, after 12 minutes, she laughed. "+
	"“Why,” he asked, “would anyone do that?” — Ärger, naïveté, 愤怒 and 🚀.\n\n    return x[i] + 3.14\n", 5300)

// BenchmarkEncode measures a megabyte of prose, and the same as many short
// texts would be: a megabyte at a time hides what each call costs.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"llama-spm", "gpt-2", "deepseek-llm", "llama-bpe", "qwen2"} {
		b.Run(name, func(b *testing.B) {
			tok := loadVocab(b, name)
			for _, c := range []struct {
				name string
				text string
			}{{"1MB", prose}, {"200B", prose[:200]}} {
				b.Run(c.name, func(b *testing.B) {
					b.SetBytes(int64(len(c.text)))
					b.ReportAllocs()
					for b.Loop() {
						tok.Encode(c.text, EncodeOptions{})
					}
				})
			}
		})
	}
}

// BenchmarkEncodeHostile measures one long word, where merging is all there is.
func BenchmarkEncodeHostile(b *testing.B) {
	for _, name := range []string{"llama-spm", "gpt-2"} {
		tok := loadVocab(b, name)
		for _, kind := range []string{"letter", "spaces"} {
			text := hostile(100_000)[kind]
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					tok.Encode(text, EncodeOptions{})
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := loadVocab(b, "gpt-2")
	ids := IDs(tok.Encode(prose, EncodeOptions{}))
	b.SetBytes(int64(len(prose)))
	for b.Loop() {
		tok.Decode(ids)
	}
}

func BenchmarkFromGGUF(b *testing.B) {
	for _, name := range []string{"llama-spm", "gpt-2", "llama-bpe"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				loadVocab(b, name)
			}
		})
	}
}
