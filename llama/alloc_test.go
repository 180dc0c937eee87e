package llama

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// Generating a token allocates nothing, once buffers have grown and as long as
// the sequence needs no new page of keys and values.
func TestDecodeDoesNotAllocate(t *testing.T) {
	read := func(v *View) error {
		for i := range v.Len() {
			_ = v.At(i)[0]
		}
		return nil
	}
	site := Site{ResidPost, 0}
	for name, hooks := range map[string][]*Hook{
		"no hooks":    nil,
		"one reads":   {{Sites: []Site{site}, Func: read}},
		"one edits":   {plus(0.5, nil, site)},
		"some rows":   {plus(0.5, Row.Generated, site), plus(2, func(r Row) bool { return r.Pos%2 == 0 }, Site{ResidMid, 1})},
		"many points": {{Sites: []Site{site, {AttnOut, 1}, {Point: FinalNorm}}, Func: read}},
	} {
		for typ, precision := range map[tensor.Type]Precision{tensor.F32: Exact, tensor.Q4_0: Exact, tensor.Q4_1: Probe, tensor.Q8_0: Fast} {
			t.Run(name+" "+typ.String()+" "+precision.String(), func(t *testing.T) {
				m := small.of(typ).model(t)
				kv := KVFloat32
				if typ == tensor.Q8_0 {
					kv = KVFloat16
				}
				r := runner(t, m, RunnerOptions{Threads: 2, Precision: precision, KV: kv})
				x := sampler(t, Sampling{Temperature: 0.8, TopK: 40, TopP: 0.9, MinP: 0.01, RepeatPenalty: 1.1}, 0)
				s := r.NewSequence()
				s.SetPrompt(10)
				next := make([]token.Token, 1)
				p := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 10, 0), Logits: LastLogits}}, Hooks: hooks}
				require.NoError(t, r.Forward(t.Context(), p))
				step := func() {
					next[0].ID = x.Next(r.Logits(0))
					p.Spans[0].Tokens = next
					if err := r.Forward(t.Context(), p); err != nil {
						t.Error(err)
					}
				}
				for range 40 {
					step()
				}
				s.Truncate(12)
				require.Zero(t, testing.AllocsPerRun(30, step))
			})
		}
	}
}

// benchModel is the largest float32 model of the test material, or else a
// quantised one of this repository.
func benchModel(b *testing.B, name string) *Model {
	path := filepath.Join("..", "testdata", "models", name+".gguf")
	if !exists(path) {
		path = shared(b, "models", "zoo", name+".gguf")
	}
	return open(b, path)
}

var benchModels = []string{"quant-base-f32", "quant-q4_k_m"}

// A prompt of 512 tokens, as in extraction: many columns for every weight.
func BenchmarkPrompt(b *testing.B) {
	for _, name := range benchModels {
		b.Run(name, func(b *testing.B) {
			m := benchModel(b, name)
			r := runner(b, m, RunnerOptions{})
			s := r.NewSequence()
			p := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 512, 0), Logits: LastLogits}}}
			for b.Loop() {
				require.NoError(b, r.Forward(b.Context(), p))
				s.Truncate(0)
			}
			b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

// One token at a time behind 128 others, as in generation.
func BenchmarkDecode(b *testing.B) {
	for _, name := range benchModels {
		b.Run(name, func(b *testing.B) {
			m := benchModel(b, name)
			r := runner(b, m, RunnerOptions{})
			s := r.NewSequence()
			p := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 128, 0), Logits: LastLogits}}}
			require.NoError(b, r.Forward(b.Context(), p))
			p.Spans[0].Tokens = text(m, 1, 1)
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, r.Forward(b.Context(), p))
				s.Truncate(128)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}
