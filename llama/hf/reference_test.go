package hf_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/hf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
	"github.com/limbic-go/limbic/tensor/npy"
)

// maxError is how far logits may be from those of the library transformers in
// float32, as relative root mean square. Both round, in different orders.
const maxError = 1e-5

// A folder of each family, saved by transformers with random weights: limbic
// computes the logits that transformers computes. Converted to float32, which
// holds all types exactly, or to a file of the same types, it computes the same
// bits as from the folder.
func TestReference(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("..", "..", "testdata", "hf", "*", "config.json"))
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, path := range folders {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var ref struct {
				Tokens    []int32
				Positions []int
			}
			text, err := os.ReadFile(filepath.Join(dir, "logits.json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &ref))
			array, err := npy.ReadFile(filepath.Join(dir, "logits.npy"))
			require.NoError(t, err)
			want, err := npy.As[float32](array)
			require.NoError(t, err)

			f, err := hf.Open(dir)
			require.NoError(t, err)
			m, err := llama.New(f)
			require.NoError(t, err)
			defer m.Close()
			tok := m.Tokenizer()
			require.Equal(t, 288, tok.Size(), "as many as the embedding has rows")
			tokens := tok.Encode("the cat", token.EncodeOptions{})
			require.Equal(t, "the cat", string(tok.Decode(token.IDs(tokens))))
			require.Len(t, tokens, 3, "t, he and Ġcat")
			end, ok := tok.EOS()
			require.True(t, ok)
			require.Equal(t, "<|im_end|>", tok.Text(end))
			template, err := f.String("tokenizer.chat_template")
			require.NoError(t, err)
			require.Contains(t, template, "<|im_start|>")
			got := logits(t, m, ref.Tokens)
			var at []float32
			for _, p := range ref.Positions {
				at = append(at, got[p]...)
			}
			require.Len(t, at, len(want))
			e := relative(want, at)
			t.Logf("relative error %.1e", e)
			require.Less(t, e, maxError)

			for name, o := range map[string]hf.ConvertOptions{"float32": {Type: tensor.F32}, "as it is": {Keep: true}} {
				file := filepath.Join(t.TempDir(), "m.gguf")
				out, err := os.Create(file)
				require.NoError(t, err)
				require.NoError(t, hf.Convert(t.Context(), out, f, o))
				require.NoError(t, out.Close())
				c, err := llama.Open(file)
				require.NoError(t, err)
				require.Equal(t, m.Tokenizer().Hash(), c.Tokenizer().Hash())
				require.Equal(t, got, logits(t, c, ref.Tokens), name)
				require.NoError(t, c.Close())
			}
		})
	}
}

// logits gives the logits at each position.
func logits(t *testing.T, m *llama.Model, ids []int32) [][]float32 {
	r, err := m.NewRunner(llama.RunnerOptions{Threads: 1})
	require.NoError(t, err)
	defer r.Close()
	tokens := make([]token.Token, len(ids))
	for i, id := range ids {
		tokens[i].ID = id
	}
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{Spans: []llama.Span{{Seq: r.NewSequence(), Tokens: tokens, Logits: llama.AllLogits}}}))
	var out [][]float32
	for i := range ids {
		out = append(out, append([]float32{}, r.LogitsAt(0, i)...))
	}
	return out
}

// relative is the root mean square of the difference over that of want.
func relative(want, got []float32) float64 {
	var d, n float64
	for i, w := range want {
		d += (float64(got[i]) - float64(w)) * (float64(got[i]) - float64(w))
		n += float64(w) * float64(w)
	}
	return math.Sqrt(d / n)
}
