package steer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// tiny is a random model of 3 blocks and width 128.
const tiny = "llama-tied-ropescaled-mqa-f32"

func openModel(t testing.TB, path string) *llama.Model {
	t.Helper()
	m, err := llama.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func tinyModel(t testing.TB) *llama.Model {
	t.Helper()
	return openModel(t, filepath.Join("..", "testdata", "models", tiny+".gguf"))
}

func newRunner(t testing.TB, m *llama.Model, o llama.RunnerOptions) *llama.Runner {
	t.Helper()
	r, err := m.NewRunner(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// vectorsFor makes vectors of a model by hand: four emotions at the output of
// every block, with elements drawn from a generator. The mean norm at block b
// is 4+b.
func vectorsFor(m *llama.Model) *probe.Vectors {
	c := m.Config()
	rng := rand.New(rand.NewPCG(1, 2))
	v := &probe.Vectors{
		Provenance: probe.Provenance{Tokenizer: m.Tokenizer().Hash(), ModelSHA256: "by hand", Blocks: c.Blocks},
		Emotions:   []string{"at ease", "calm", "desperate", "grief-stricken"},
		Width:      c.Width,
	}
	for b := range c.Blocks {
		s := probe.SiteVectors{
			Site:   llama.Site{Point: llama.ResidPost, Block: b},
			ByForm: map[probe.Form][]float32{},
			Norm:   probe.Calibration{Mean: float64(4 + b), Median: 3.9 + float64(b), P99: 9, N: 1000},
		}
		for _, f := range probe.Forms() {
			x := make([]float32, len(v.Emotions)*c.Width)
			for i := range x {
				x[i] = float32(int32(rng.Uint32()>>8)-1<<23) / (1 << 23)
			}
			s.ByForm[f] = x
		}
		v.Sites = append(v.Sites, s)
	}
	return v
}

// text makes n tokens; texts of other seeds differ.
func text(m *llama.Model, n, seed int) []token.Token {
	ts := make([]token.Token, n)
	for i := range ts {
		id := int32((7*i*i + 31*i + 101*seed + 5) % m.Config().Vocabulary)
		ts[i] = token.Token{ID: id, Start: 3 * i, End: 3*i + 3}
	}
	return ts
}

func parse(t testing.TB, text string) Plan {
	t.Helper()
	p, err := ParsePlan(text)
	require.NoError(t, err)
	return p
}

// inject makes an injector of plans in text form.
func inject(t testing.TB, m *llama.Model, v *probe.Vectors, plans ...string) *Injector {
	t.Helper()
	var ps []Plan
	for _, text := range plans {
		ps = append(ps, parse(t, text))
	}
	in, err := New(m, ps, From(v), Options{})
	require.NoError(t, err)
	return in
}

// forward appends tokens to a sequence.
func forward(t testing.TB, r *llama.Runner, s *llama.Sequence, tokens []token.Token, hooks ...*llama.Hook) {
	t.Helper()
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{
		Spans: []llama.Span{{Seq: s, Tokens: tokens, Logits: llama.AllLogits}}, Hooks: hooks,
	}))
}

// allLogits runs a text whose first tokens are the prompt, in passes of some
// tokens, and gives the logits of all positions in a row.
func allLogits(t testing.TB, r *llama.Runner, tokens []token.Token, prompt, pass int, hooks ...*llama.Hook) []float32 {
	t.Helper()
	s := r.NewSequence()
	defer s.Close()
	s.SetPrompt(prompt)
	var all []float32
	for len(tokens) > 0 {
		n := min(pass, len(tokens))
		forward(t, r, s, tokens[:n], hooks...)
		for i := range n {
			all = append(all, r.LogitsAt(0, i)...)
		}
		tokens = tokens[n:]
	}
	return all
}

// requireBits fails unless both slices have the same bits.
func requireBits(t testing.TB, want, got []float32, msg string) {
	t.Helper()
	require.Len(t, got, len(want), msg)
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			require.Failf(t, "bits differ", "%s: element %d is %v, want %v", msg, i, got[i], want[i])
		}
	}
}

func hashFloats(xs ...[]float32) string {
	h := sha256.New()
	for _, x := range xs {
		for _, v := range x {
			h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stories is a small model that has learnt to write, where it is there.
func stories(t testing.TB) *llama.Model {
	t.Helper()
	path := filepath.Join("..", "..", "shared", "models", "stories260K-f32.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the shared test material is not beside this checkout: no %s", path)
	}
	return openModel(t, path)
}
