package llama_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor/npy"
)

const perplexityModel = "../testdata/models/llama-tied-ropescaled-mqa-f32.gguf"

func openRunner(t *testing.T, path string, o llama.RunnerOptions) *llama.Runner {
	t.Helper()
	m, err := llama.Open(path)
	require.NoError(t, err)
	r, err := m.NewRunner(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		r.Close()
		m.Close()
	})
	return r
}

func textTokens(r *llama.Runner, text string) []token.Token {
	return r.Model().Tokenizer().Encode(text, token.EncodeOptions{BOS: token.Never, EOS: token.Never})
}

const perplexityText = "Once upon a time, a fox and a bear went to the big red house. They were very happy there, and stayed."

// scores gives the negative log-likelihoods of a window's tokens but the first,
// from one pass over it.
func scores(t *testing.T, r *llama.Runner, window []token.Token) []float64 {
	t.Helper()
	s := r.NewSequence()
	defer s.Close()
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: window, Logits: llama.AllLogits}}}))
	var out []float64
	for i, next := range window[1:] {
		sum := 0.0
		row := r.LogitsAt(0, i)
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		out = append(out, -math.Log(math.Exp(float64(row[next.ID]))/sum))
	}
	return out
}

// summary is the definition of the result, in the plainest form.
func summary(scores []float64) llama.PerplexityResult {
	n := float64(len(scores))
	mean, squares := 0.0, 0.0
	for _, x := range scores {
		mean += x / n
	}
	for _, x := range scores {
		squares += (x - mean) * (x - mean)
	}
	p := math.Exp(mean)
	return llama.PerplexityResult{Perplexity: p, StdErr: p * math.Sqrt(squares/(n-1)) / math.Sqrt(n), NLL: mean, Tokens: len(scores)}
}

func TestPerplexityWindows(t *testing.T) {
	r := openRunner(t, perplexityModel, llama.RunnerOptions{})
	tokens := textTokens(r, perplexityText)
	bos, ok := r.Model().Tokenizer().BOS()
	require.True(t, ok)
	for _, context := range []int{2, 3, 7, len(tokens), len(tokens) + 1, 0} {
		for _, noBOS := range []bool{false, true} {
			per := context
			if context == 0 {
				per = r.Model().Config().Context
			}
			if !noBOS {
				per--
			}
			var want []float64
			windows := 0
			for from := 0; from < len(tokens); from += per {
				window := tokens[from:min(from+per, len(tokens))]
				if !noBOS {
					window = append([]token.Token{{ID: bos}}, window...)
				}
				if len(window) > 1 {
					want = append(want, scores(t, r, window)...)
					windows++
				}
			}
			last := 0
			got, err := llama.Perplexity(t.Context(), r, tokens, llama.PerplexityOptions{
				Context: context, NoBOS: noBOS,
				Progress: func(done, total int) {
					assert.Equal(t, len(tokens), total)
					assert.GreaterOrEqual(t, done, last)
					last = done
				},
			})
			require.NoError(t, err)
			s := summary(want)
			assert.Equal(t, s.Tokens, got.Tokens, "context %d, no BOS %v", context, noBOS)
			assert.Equal(t, windows, got.Windows)
			assert.InEpsilon(t, s.Perplexity, got.Perplexity, 1e-9)
			assert.InEpsilon(t, s.StdErr, got.StdErr, 1e-9)
			assert.InEpsilon(t, s.NLL, got.NLL, 1e-9)
			assert.Equal(t, len(tokens), last)
		}
	}
}

// TestPerplexityRepeats: neither threads nor how a window is cut into passes
// changes a bit.
func TestPerplexityRepeats(t *testing.T) {
	var first llama.PerplexityResult
	for i, o := range []llama.RunnerOptions{{}, {Threads: 1}, {Threads: 3, BatchTokens: 1}, {BatchTokens: 5}} {
		r := openRunner(t, perplexityModel, o)
		got, err := llama.Perplexity(t.Context(), r, textTokens(r, perplexityText), llama.PerplexityOptions{Context: 13})
		require.NoError(t, err)
		if i == 0 {
			first = got
		}
		assert.Equal(t, first, got, "%+v", o)
	}
}

func TestPerplexityErrors(t *testing.T) {
	r := openRunner(t, perplexityModel, llama.RunnerOptions{BatchTokens: 4})
	tokens := textTokens(r, perplexityText)
	run := func(tokens []token.Token, o llama.PerplexityOptions) error {
		_, err := llama.Perplexity(t.Context(), r, tokens, o)
		return err
	}
	assert.ErrorContains(t, run(nil, llama.PerplexityOptions{}), "too short")
	assert.ErrorContains(t, run(tokens[:1], llama.PerplexityOptions{}), "too short")
	assert.NoError(t, run(tokens[:2], llama.PerplexityOptions{}))
	assert.ErrorContains(t, run(tokens[:2], llama.PerplexityOptions{NoBOS: true}), "too short")
	assert.NoError(t, run(tokens[:3], llama.PerplexityOptions{NoBOS: true}))
	assert.ErrorContains(t, run(tokens[:3], llama.PerplexityOptions{NoBOS: true, Context: 2}), "too short")
	assert.ErrorContains(t, run(tokens, llama.PerplexityOptions{Context: 1}), "windows of 1")
	assert.ErrorContains(t, run(tokens, llama.PerplexityOptions{Context: -5}), "windows of -5")
	assert.ErrorContains(t, run(tokens, llama.PerplexityOptions{Context: 1 << 30}), "windows of 1073741824")

	broken := errors.New("broken")
	hook := &llama.Hook{Name: "h", Sites: []llama.Site{{Point: llama.ResidPost}}, Func: func(*llama.View) error { return broken }}
	assert.ErrorIs(t, run(tokens, llama.PerplexityOptions{Hooks: []*llama.Hook{hook}}), broken)
}

// TestPerplexityCancelled: what was scored before the context ended is not lost.
func TestPerplexityCancelled(t *testing.T) {
	r := openRunner(t, perplexityModel, llama.RunnerOptions{BatchTokens: 4})
	tokens := textTokens(r, perplexityText)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := llama.Perplexity(ctx, r, tokens, llama.PerplexityOptions{Context: 9, Progress: func(done, _ int) {
		if done >= 8 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 8, p.Tokens)
	assert.Equal(t, 1, p.Windows)
	want, err := llama.Perplexity(t.Context(), r, tokens[:8], llama.PerplexityOptions{Context: 9})
	require.NoError(t, err)
	assert.Equal(t, want, p)
}

// TestPerplexityReference compares with logits that another program computed
// from a trained model.
func TestPerplexityReference(t *testing.T) {
	const shared = "../../shared/"
	b, err := os.ReadFile(shared + "reference/stories260K-long.json")
	if err != nil {
		t.Skipf("no shared test material: %v", err)
	}
	var ref struct{ Tokens []int32 }
	require.NoError(t, json.Unmarshal(b, &ref))
	a, err := npy.ReadFile(shared + "reference/stories260K-long.logits.npy")
	require.NoError(t, err)
	logits, err := npy.As[float32](a)
	require.NoError(t, err)
	var tokens []token.Token
	var want []float64
	for i, id := range ref.Tokens[1:] {
		tokens = append(tokens, token.Token{ID: id})
		row := logits[i*a.Shape[1]:][:a.Shape[1]]
		want = append(want, llama.LogSumExp(row)-float64(row[id]))
	}
	r := openRunner(t, shared+"models/stories260K-f32.gguf", llama.RunnerOptions{})
	got, err := llama.Perplexity(t.Context(), r, tokens, llama.PerplexityOptions{})
	require.NoError(t, err)
	s := summary(want)
	assert.Equal(t, s.Tokens, got.Tokens)
	assert.InEpsilon(t, s.Perplexity, got.Perplexity, 1e-4)
	assert.InEpsilon(t, s.StdErr, got.StdErr, 1e-4)
}

func TestLogSumExp(t *testing.T) {
	assert.Equal(t, math.Log(2), llama.LogSumExp([]float32{0, 0}))
	assert.InDelta(t, 1000+math.Log(3), llama.LogSumExp([]float32{1000, 1000, 1000}), 1e-12)
	assert.InDelta(t, -1000, llama.LogSumExp([]float32{-1000}), 1e-12)
	assert.True(t, math.IsInf(llama.LogSumExp(nil), -1))
	assert.True(t, math.IsInf(llama.LogSumExp([]float32{0, float32(math.Inf(1))}), 1))
	assert.True(t, math.IsNaN(llama.LogSumExp([]float32{0, float32(math.NaN())})))
}
