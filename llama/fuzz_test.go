package llama

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// Whatever a sound GGUF file says about a model, New refuses it or makes a
// model that runs or says why it cannot.
func FuzzNew(f *testing.F) {
	s := spec{blocks: 1, width: 8, ff: 10, heads: 2, kvHeads: 1, headDim: 4, ropeDim: 4, vocab: 270, context: 32, ropeFactors: true}
	f.Add(s.file().encode(f))
	s.separateOutput = true
	f.Add(s.file().encode(f))
	for _, s := range smallArchitectures {
		s = s.of(tensor.F32)
		s.blocks, s.width, s.ff, s.heads, s.kvHeads, s.headDim, s.ropeDim, s.context = 1, 8, 10, 2, 1, 4, 4, 32
		if s.longrope > 0 {
			s.longrope = 16
		}
		f.Add(s.file().encode(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := gguf.Parse(b, "fuzz.gguf")
		if err != nil {
			return
		}
		checked := Check(g)
		m, err := New(g)
		require.Equal(t, err, checked)
		if err != nil {
			return
		}
		defer m.Close()
		r, err := m.NewRunner(RunnerOptions{Threads: 1})
		require.NoError(t, err)
		defer r.Close()
		q := r.NewSequence()
		// Damaged weights may give an error, nothing worse.
		err = r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: ids(1, 2, 3), Logits: AllLogits}}})
		if err == nil {
			require.Equal(t, 3, q.Len())
		}
	})
}
