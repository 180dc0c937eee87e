package synth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

func shape(t *testing.T, name string) Shape {
	t.Helper()
	s, err := ShapeByName(name)
	require.NoError(t, err)
	return s
}

func mix(t *testing.T, name string) Mix {
	t.Helper()
	m, err := MixByName(name)
	require.NoError(t, err)
	return m
}

// write writes a model and opens it.
func write(t *testing.T, s Shape, m Mix, seed uint64) (*gguf.File, []byte) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, s, m, seed))
	f, err := gguf.Parse(b.Bytes(), m.Name)
	require.NoError(t, err)
	return f, b.Bytes()
}

// typesOf counts the matrices of each type: "Q4_K 10, Q6_K 2".
func typesOf(parts []part, infix string) map[string]int {
	counts := map[string]int{}
	for _, p := range parts {
		if len(p.Dims) == 2 && strings.Contains(p.Name, infix) {
			counts[p.Type.String()]++
		}
	}
	return counts
}

// The sizes, in millions of bytes, are those of files that another project's
// quantiser made of F16 models of the same shapes.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		shape string
		sizes map[string]float64
	}{
		{"Llama-3.2-1B", map[string]float64{"Q8_0": 1313, "Q6_K": 1014, "Q5_K_M": 904, "Q4_K_M": 800, "Q4_0": 763, "F16": 2472, "BF16": 2472}},
		{"SmolLM2-135M", map[string]float64{"Q8_0": 143, "Q6_K": 137, "Q5_K_M": 110, "Q4_K_M": 104, "Q4_0": 90, "F16": 269, "BF16": 269}},
	} {
		s := shape(t, c.shape)
		for name, want := range c.sizes {
			m := mix(t, name)
			total := 0
			for _, p := range s.parts(&m) {
				row, err := p.Type.RowBytes(p.Dims[0])
				require.NoError(t, err)
				total += row * (elements(p.Dims) / p.Dims[0])
			}
			assert.InDelta(t, want, float64(total)/1e6, 1, "%s %s", c.shape, name)
		}
	}
}

func elements(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func TestMixes(t *testing.T) {
	for _, c := range []struct {
		shape, mix, infix string
		want              map[string]int
	}{
		{"Llama-3.2-1B", "Q8_0", "", map[string]int{"Q8_0": 1 + 16*7}},
		{"Llama-3.2-1B", "Q4_0", "blk.", map[string]int{"Q4_0": 16 * 7}},
		{"Llama-3.2-1B", "Q4_0", "token_embd", map[string]int{"Q6_K": 1}},
		{"Llama-3.2-1B", "Q4_K_M", "token_embd", map[string]int{"Q6_K": 1}},
		// Blocks 0, 1, 4, 7, 10, 13, 14 and 15.
		{"Llama-3.2-1B", "Q4_K_M", "attn_v", map[string]int{"Q4_K": 8, "Q6_K": 8}},
		{"Llama-3.2-1B", "Q4_K_M", "ffn_down", map[string]int{"Q4_K": 8, "Q6_K": 8}},
		{"Llama-3.2-1B", "Q4_K_M", "ffn_up", map[string]int{"Q4_K": 16}},
		{"Llama-3.2-1B", "Q5_K_M", "attn_v", map[string]int{"Q5_K": 8, "Q6_K": 8}},
		{"Llama-3.2-1B", "Q4_K_S", "attn_v", map[string]int{"Q4_K": 12, "Q5_K": 4}},
		{"Llama-3.2-1B", "Q4_K_S", "ffn_down", map[string]int{"Q4_K": 14, "Q5_K": 2}},
		{"Llama-3.2-1B", "Q3_K_M", "attn_v", map[string]int{"Q4_K": 14, "Q5_K": 2}},
		{"Llama-3.2-1B", "Q3_K_M", "ffn_down", map[string]int{"Q4_K": 15, "Q5_K": 1}},
		{"Llama-3.2-1B", "Q3_K_M", "attn_output", map[string]int{"Q4_K": 16}},
		{"Llama-3.2-1B", "Q2_K", "attn_v", map[string]int{"Q4_K": 16}}, // four query heads share a value head
		{"SmolLM2-135M", "Q2_K", "attn_v", map[string]int{"Q4_0": 30}}, // three do; and Q3_K does not fit
		{"Llama-3.2-1B", "IQ4_XS", "attn_v", map[string]int{"Q5_K": 16}},
		{"Llama-3.2-1B", "IQ4_XS", "attn_q", map[string]int{"IQ4_XS": 16}},
		// Rows of 576 elements hold no whole blocks of 256; those of 1536 do.
		{"SmolLM2-135M", "Q4_K_M", "token_embd", map[string]int{"Q8_0": 1}},
		{"SmolLM2-135M", "Q4_K_M", "attn_q", map[string]int{"Q5_0": 30}},
		// Blocks 0 to 2, 5, 8, 11, 14, 17, 20, 23 and 26 to 29 of 30 get more bits.
		{"SmolLM2-135M", "Q4_K_M", "attn_v", map[string]int{"Q5_0": 16, "Q8_0": 14}},
		{"SmolLM2-135M", "Q4_K_M", "ffn_down", map[string]int{"Q4_K": 16, "Q6_K": 14}},
		{"SmolLM2-135M", "Q5_K_M", "attn_q", map[string]int{"Q5_1": 30}},
		{"SmolLM2-135M", "Q6_K", "attn_q", map[string]int{"Q8_0": 30}},
		{"SmolLM2-135M", "IQ4_XS", "attn_q", map[string]int{"IQ4_NL": 30}},
		{"Qwen2.5-0.5B", "Q4_K_M", "ffn_gate", map[string]int{"Q5_0": 24}},
		{"Qwen2.5-0.5B", "Q4_K_M", "ffn_down", map[string]int{"Q4_K": 12, "Q6_K": 12}},
		{"tiny", "pure-q4_k", "", map[string]int{"Q4_K": 1 + 2*7}},
		{"tiny", "F16", "", map[string]int{"F16": 1 + 2*7}},
	} {
		s, m := shape(t, c.shape), mix(t, c.mix)
		assert.Equal(t, c.want, typesOf(s.parts(&m), c.infix), "%s %s %s", c.shape, c.mix, c.infix)
	}
	_, err := MixByName("Q4_K_X")
	assert.ErrorContains(t, err, `unknown quantisation "Q4_K_X" (known: F32, F16,`)
	_, err = MixByName("pure-Q9")
	assert.ErrorContains(t, err, `"pure-Q9"`)
	_, err = ShapeByName("gpt")
	assert.ErrorContains(t, err, `unknown shape "gpt" (known: Llama-3.2-1B,`)
}

// Rows that hold no whole blocks even of 32 stay F16. The way out of the
// feed-forward layers has rows of 512; that of the last block gets more bits.
func TestOddWidth(t *testing.T) {
	s, m := shape(t, "tiny"), mix(t, "Q4_K_M")
	s.Width, s.Heads, s.KVHeads, s.HeadDim = 40, 2, 1, 20
	assert.Equal(t, map[string]int{"F16": 1 + 2*6, "Q4_K": 1, "Q6_K": 1}, typesOf(s.parts(&m), ""))
}

// Elements have mean 0 and a standard deviation of 1/√(row length), in every
// format.
func TestStatistics(t *testing.T) {
	s := shape(t, "tiny")
	s.Vocabulary = 2048
	for _, typ := range types() {
		t.Run(typ.String(), func(t *testing.T) {
			f, _ := write(t, s, mix(t, "pure-"+typ.String()), 1)
			for _, x := range f.Tensors() {
				if len(x.Dims) != 2 {
					continue
				}
				require.Equal(t, typ, x.Type)
				data, err := x.Data()
				require.NoError(t, err)
				ys := make([]float32, x.Elements())
				require.NoError(t, tensor.Dequantize(ys, x.Type, data))
				sum, squares := 0.0, 0.0
				for _, y := range ys {
					sum += float64(y)
					squares += float64(y) * float64(y)
				}
				n := float64(len(ys))
				sigma := 1 / math.Sqrt(float64(x.Dims[0]))
				// The smallest matrix has 32768 elements, in 128 blocks of 256.
				assert.InDelta(t, 1, math.Sqrt(squares/n)/sigma, 0.04, x.Name)
				assert.InDelta(t, 0, sum/n/sigma, 0.03, x.Name)
			}
		})
	}
}

// A model runs: its states are finite through all blocks, and its logits about
// as large as they should be.
func TestRuns(t *testing.T) {
	s := shape(t, "tiny")
	s.Blocks = 6
	for _, name := range []string{"F32", "Q8_0", "Q4_K_M", "Q2_K"} {
		t.Run(name, func(t *testing.T) {
			f, _ := write(t, s, mix(t, name), 3)
			m, err := llama.New(f)
			require.NoError(t, err)
			defer m.Close()
			require.Equal(t, s.Vocabulary, m.Tokenizer().Size())
			tokens := m.Tokenizer().Encode("the weather, über", token.EncodeOptions{})
			require.NotEmpty(t, tokens)
			require.Less(t, len(tokens), len("the weather, über"), "the merge is not used")
			r, err := m.NewRunner(llama.RunnerOptions{Threads: 1})
			require.NoError(t, err)
			defer r.Close()
			require.NoError(t, r.Forward(context.Background(), &llama.Pass{
				Spans: []llama.Span{{Seq: r.NewSequence(), Tokens: tokens, Logits: llama.LastLogits}},
			}))
			squares := 0.0
			for _, x := range r.Logits(0) {
				squares += float64(x) * float64(x)
			}
			assert.InDelta(t, 1, math.Sqrt(squares/float64(s.Vocabulary)), 0.3)
		})
	}
}

// The same arguments give the same bytes, on every machine.
func TestDeterministic(t *testing.T) {
	s := shape(t, "tiny")
	sum := func(name string, seed uint64) string {
		_, data := write(t, s, mix(t, name), seed)
		h := sha256.Sum256(data)
		return hex.EncodeToString(h[:])[:16]
	}
	assert.Equal(t, "6c0fbbf23d30e07b", sum("Q4_K_M", 1))
	assert.Equal(t, "5bd738758bd75447", sum("F16", 1))
	assert.NotEqual(t, sum("Q4_K_M", 1), sum("Q4_K_M", 2))
}

// Every shape and mix has a valid head: metadata, names and sizes.
func TestAllShapes(t *testing.T) {
	for _, name := range Shapes() {
		s := shape(t, name)
		s.Blocks, s.Untied = 1, true
		for _, m := range mixes {
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
			require.NotEmpty(t, s.parts(&m))
			require.NoError(t, headOnly(s, m), "%s %s", name, m.Name)
		}
	}
}

// headOnly stops behind the head of a file.
func headOnly(s Shape, m Mix) error {
	parts := s.parts(&m)
	infos := make([]gguf.TensorInfo, len(parts))
	for i, p := range parts {
		infos[i] = p.TensorInfo
	}
	stop := fmt.Errorf("stop")
	err := gguf.EncodeStream(io.Discard, s.metadata(&m, 0), infos, func(io.Writer, int) error { return stop }, gguf.EncodeOptions{})
	if err != nil && strings.HasSuffix(err.Error(), "stop") {
		return nil
	}
	return err
}

// The factors of Llama 3.2, as that model was published with them: high
// frequencies stay, low ones are divided by 32.
func TestRopeFactors(t *testing.T) {
	s := shape(t, "Llama-3.2-1B")
	f := s.ropeFactors()
	require.Len(t, f, 32)
	assert.Equal(t, []float32{1, 1, 1}, f[:3])
	assert.Equal(t, float32(32), f[31])
	for i := 1; i < len(f); i++ {
		assert.GreaterOrEqual(t, f[i], f[i-1])
	}
}

func TestWriteRefuses(t *testing.T) {
	s := shape(t, "tiny")
	assert.ErrorContains(t, Write(io.Discard, s, Mix{}, 0), "MixByName")
	s.Vocabulary = 100
	assert.ErrorContains(t, Write(io.Discard, s, mix(t, "Q8_0"), 0), "vocabulary of 100")
	s = shape(t, "tiny")
	s.KVHeads = 3
	assert.ErrorContains(t, Write(io.Discard, s, mix(t, "Q8_0"), 0), "4 heads")
	s.KVHeads = 0
	assert.ErrorContains(t, Write(io.Discard, s, mix(t, "Q8_0"), 0), "sizes")
}
