package synth

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Shape is what a model's size and speed depend on.
type Shape struct {
	Name         string // of the model whose shape it is
	Architecture string // "llama" or "qwen2"
	Blocks       int
	Width        int // of the residual stream
	FeedForward  int
	Heads        int
	KVHeads      int
	HeadDim      int
	Vocabulary   int // at least 259: all bytes, a merge and two control tokens
	Context      int
	NormEpsilon  float32
	RopeBase     float32
	RopeFactors  bool   // has the frequency factors of Llama 3.1 and later
	Biases       bool   // queries, keys and values have biases
	Untied       bool   // has an output matrix of its own
	Splitter     string // tokenizer.ggml.pre
	AddBOS       bool
}

// shapes are those of published models, from their configuration files.
// tiny is for tests.
var shapes = []Shape{
	{
		Name: "Llama-3.2-1B", Architecture: "llama", Blocks: 16, Width: 2048, FeedForward: 8192, Heads: 32, KVHeads: 8, HeadDim: 64,
		Vocabulary: 128256, Context: 131072, NormEpsilon: 1e-5, RopeBase: 500000, RopeFactors: true, Splitter: "llama-bpe", AddBOS: true,
	},
	{
		Name: "Llama-3.2-3B", Architecture: "llama", Blocks: 28, Width: 3072, FeedForward: 8192, Heads: 24, KVHeads: 8, HeadDim: 128,
		Vocabulary: 128256, Context: 131072, NormEpsilon: 1e-5, RopeBase: 500000, RopeFactors: true, Splitter: "llama-bpe", AddBOS: true,
	},
	{
		Name: "SmolLM2-135M", Architecture: "llama", Blocks: 30, Width: 576, FeedForward: 1536, Heads: 9, KVHeads: 3, HeadDim: 64,
		Vocabulary: 49152, Context: 8192, NormEpsilon: 1e-5, RopeBase: 100000, Splitter: "smollm",
	},
	{
		Name: "Qwen2.5-0.5B", Architecture: "qwen2", Blocks: 24, Width: 896, FeedForward: 4864, Heads: 14, KVHeads: 2, HeadDim: 64,
		Vocabulary: 151936, Context: 32768, NormEpsilon: 1e-6, RopeBase: 1000000, Biases: true, Splitter: "qwen2",
	},
	{
		Name: "tiny", Architecture: "llama", Blocks: 2, Width: 256, FeedForward: 512, Heads: 4, KVHeads: 2, HeadDim: 64,
		Vocabulary: 512, Context: 2048, NormEpsilon: 1e-5, RopeBase: 10000, Splitter: "gpt-2",
	},
}

// Shapes lists the shapes that ShapeByName knows.
func Shapes() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.Name)
	}
	return names
}

// ShapeByName finds a shape, in either case.
func ShapeByName(name string) (Shape, error) {
	for _, s := range shapes {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Shape{}, fmt.Errorf("synth: unknown shape %q (known: %s)", name, strings.Join(Shapes(), ", "))
}

// check refuses shapes that no model could have.
func (s *Shape) check() error {
	sizes := []int{s.Blocks, s.Width, s.FeedForward, s.Heads, s.KVHeads, s.HeadDim, s.Context}
	switch {
	case slices.Min(sizes) < 1 || slices.Max(sizes) > 1<<24:
		return fmt.Errorf("synth: shape %q: sizes must be between 1 and %d", s.Name, 1<<24)
	case s.Vocabulary < minVocabulary || s.Vocabulary > 1<<22:
		return fmt.Errorf("synth: shape %q: vocabulary of %d is not between %d and %d", s.Name, s.Vocabulary, minVocabulary, 1<<22)
	case s.Heads%s.KVHeads != 0 || s.HeadDim%2 != 0:
		return fmt.Errorf("synth: shape %q: %d heads of size %d do not share %d key-value heads", s.Name, s.Heads, s.HeadDim, s.KVHeads)
	}
	return nil
}

// A role is what a matrix does; mixtures treat matrices by it.
type role int

const (
	embedding role = iota
	head           // the output matrix
	query
	key
	value
	attnOutput
	gate
	up
	down
)

// names are those of GGUF files, within a block or alone.
var names = [...]string{
	embedding: "token_embd", head: "output", query: "attn_q", key: "attn_k", value: "attn_v", attnOutput: "attn_output",
	gate: "ffn_gate", up: "ffn_up", down: "ffn_down",
}

// dims gives the length of a row and the number of rows of a matrix.
func (s *Shape) dims(r role) (cols, rows int) {
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	switch r {
	case embedding, head:
		return s.Width, s.Vocabulary
	case query:
		return s.Width, q
	case key, value:
		return s.Width, kv
	case attnOutput:
		return q, s.Width
	case down:
		return s.FeedForward, s.Width
	}
	return s.Width, s.FeedForward
}

// ropeFactors are the divisors of the rotary frequencies that Llama 3.1 and
// 3.2 were published with: wavelengths above the original context of 8192 are
// stretched by 32, those below a quarter of it not at all, with a smooth
// passage between them.
func (s *Shape) ropeFactors() []float32 {
	const (
		factor   = 32
		original = 8192
		high     = 4
	)
	factors := make([]float32, s.HeadDim/2)
	for i := range factors {
		wavelength := 2 * math.Pi * math.Pow(float64(s.RopeBase), float64(2*i)/float64(s.HeadDim))
		smooth := (original/wavelength - 1) / (high - 1)
		smooth = min(max(smooth, 0), 1)
		factors[i] = float32(1 / ((1-smooth)/factor + smooth))
	}
	return factors
}
