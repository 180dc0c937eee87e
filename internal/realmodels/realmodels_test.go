package realmodels

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/llama/token"
)

// golden is what testdata/torch/golden.py wrote about a model.
type golden struct {
	path string

	SHA256     string
	Format     string // of answers and conversation
	Perplexity struct {
		TextSHA256 string `json:"text_sha256"`
		Bytes      int    // of text, at least
		Context    int
		Tokens     int
		IDsSHA256  string `json:"ids_sha256"` // of the ids in decimal, a space between them
		Scored     int
		Perplexity float64
	}
	Answers []struct {
		Message string
		Prompt  []int32
		Answer  []int32
		Gaps    []float64 // between the best and the second best logit
	}
	Conversation struct {
		Messages []chat.Message
		Text     string
		Tokens   []int32
	}
}

// maxPerplexity is how far perplexities may be apart, relatively. What is asked for
// is 5e-4; two engines in float32 are within 1e-7.
const maxPerplexity = 1e-6

// maxGap is how close two logits must be for two engines in float32 to choose
// differently.
const maxGap = 1e-3

// Published models, where they lie, against PyTorch.
func TestRealModels(t *testing.T) {
	dir := os.Getenv("LIMBIC_TEST_MODELS")
	if dir == "" {
		t.Skip("LIMBIC_TEST_MODELS names no folder with models: see testdata/real/README.md")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.gguf"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "LIMBIC_TEST_MODELS=%s: no *.gguf there", dir)
	known := map[string]golden{}
	for _, path := range goldenFiles(t) {
		g := read(t, path)
		known[g.SHA256] = g
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".gguf"), func(t *testing.T) {
			m, err := llama.Open(file)
			if errors.Is(err, llama.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
			defer m.Close()
			format, err := chat.FromGGUF(m.File(), m.Tokenizer(), "")
			if errors.Is(err, chat.ErrNoTemplate) {
				format, err = chat.HumanAssistant(m.Tokenizer()), nil
			}
			require.NoError(t, err)
			sum, err := m.SHA256(t.Context())
			require.NoError(t, err)

			t.Run("same bits", func(t *testing.T) { sameBits(t, m, format) })
			g, ok := known[sum]
			if !ok {
				t.Logf("testdata/real has no figures of the file with SHA-256 %s", sum)
				return
			}
			require.Equal(t, g.Format, format.Name())
			r, err := m.NewRunner(llama.RunnerOptions{Precision: llama.Exact})
			require.NoError(t, err)
			defer r.Close()
			t.Run("conversation", func(t *testing.T) { conversation(t, m, format, g) })
			t.Run("answers", func(t *testing.T) { answers(t, r, format, g) })
			t.Run("perplexity", func(t *testing.T) { perplexity(t, r, g) })
		})
	}
}

// The golden files are read in any case, so that a spoilt one shows.
func TestGoldenFiles(t *testing.T) {
	text := map[int]string{}
	for _, path := range goldenFiles(t) {
		g := read(t, path)
		require.Len(t, g.SHA256, 64, path)
		require.Len(t, g.Answers, 10, path)
		for _, a := range g.Answers {
			require.Len(t, a.Gaps, len(a.Answer), path)
		}
		n := g.Perplexity.Bytes
		if text[n] == "" {
			text[n] = neutral(n)
		}
		require.Equal(t, g.Perplexity.TextSHA256, sum(text[n]), "%s: the text of the perplexity", path)
	}
}

func goldenFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/real/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func read(t *testing.T, path string) golden {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	g := golden{path: path}
	require.NoError(t, json.Unmarshal(b, &g), path)
	return g
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// neutral gives the embedded neutral texts, in their order, until there are n bytes.
func neutral(n int) string {
	var b strings.Builder
	for _, text := range emotion.Embedded().Neutral {
		b.WriteString(text.Text + "\n\n")
		if b.Len() >= n {
			break
		}
	}
	return b.String()
}

func ask(t *testing.T, f *chat.Format, messages ...chat.Message) *chat.Prompt {
	t.Helper()
	p, err := f.Prompt(t.Context(), chat.Conversation{Messages: messages}, chat.Options{})
	require.NoError(t, err)
	return p
}

// Eight tokens of an answer, and their logits, are the same with one thread and with
// two, and however the prompt is cut.
func sameBits(t *testing.T, m *llama.Model, f *chat.Format) {
	prompt := ask(t, f, chat.Message{Role: chat.User, Content: "Tell me about your day."})
	require.NotEmpty(t, prompt.Tokens)
	var first []uint32
	for _, o := range []llama.RunnerOptions{{Threads: 1}, {Threads: 2}, {Threads: 2, BatchTokens: 3}} {
		r, err := m.NewRunner(o)
		require.NoError(t, err)
		s := r.NewSequence()
		var bits []uint32
		for step, err := range r.Generate(t.Context(), s, llama.GenerateOptions{Prompt: prompt.Tokens, Roles: prompt.Roles, MaxTokens: 8, IgnoreEnd: true}) {
			require.NoError(t, err)
			bits = append(bits, uint32(step.ID))
			for _, l := range step.Logits {
				bits = append(bits, math.Float32bits(l))
			}
		}
		r.Close()
		if first == nil {
			first = bits
		}
		require.Len(t, bits, 8*(1+m.Config().Vocabulary))
		for i := range bits {
			require.Equal(t, first[i], bits[i], "%+v", o) // one at a time: a difference prints shortly
		}
	}
}

// The token table of a conversation of three turns: the text that Jinja2 renders, the
// ids of another tokenizer, and spans that hold what was said.
func conversation(t *testing.T, m *llama.Model, f *chat.Format, g golden) {
	p := ask(t, f, g.Conversation.Messages...)
	require.Equal(t, g.Conversation.Text, p.Text)
	require.Equal(t, g.Conversation.Tokens, token.IDs(p.Tokens))
	tok := m.Tokenizer()
	if bos, ok := tok.BOS(); ok && tok.AddsBOS() {
		for i, x := range p.Tokens {
			require.Equal(t, i == 0, x.ID == bos, "BOS at token %d", i)
		}
	}
	require.Len(t, p.Turns, len(g.Conversation.Messages))
	for i, turn := range p.Turns {
		said := g.Conversation.Messages[i]
		require.Equal(t, said.Role, turn.Role)
		require.Equal(t, strings.TrimSpace(said.Content), strings.TrimSpace(p.Text[turn.Content.Start:turn.Content.End]), "message %d", i)
		for k := turn.Content.From; k < turn.Content.Until; k++ {
			require.Equal(t, said.Role, p.Roles[k].String(), "token %d, of message %d", k, i)
		}
	}
	require.NotNil(t, p.Start)
	require.Equal(t, len(p.Text), p.Start.End, "the answer begins where the prompt ends")
}

// Greedy answers, token by token. Where they part, two logits are as good as equal.
func answers(t *testing.T, r *llama.Runner, f *chat.Format, g golden) {
	tokens, parted := 0, 0
	for _, a := range g.Answers {
		prompt := ask(t, f, chat.Message{Role: chat.User, Content: a.Message})
		require.Equal(t, a.Prompt, token.IDs(prompt.Tokens), a.Message)
		s := r.NewSequence()
		var got []int32
		for step, err := range r.Generate(t.Context(), s, llama.GenerateOptions{Prompt: prompt.Tokens, Roles: prompt.Roles, MaxTokens: len(a.Answer)}) {
			require.NoError(t, err)
			got = append(got, step.ID)
		}
		s.Close()
		for i := range a.Answer {
			require.Less(t, i, len(got), "%q: the answer ends early", a.Message)
			tokens++
			if got[i] != a.Answer[i] {
				parted++
				t.Logf("%q: answers part at token %d, where PyTorch's best logits are %.2g apart", a.Message, i, a.Gaps[i])
				require.Less(t, a.Gaps[i], maxGap, a.Message)
				break
			}
		}
	}
	t.Logf("%d tokens of %d answers alike; %d answers part", tokens-parted, len(g.Answers), parted)
}

func perplexity(t *testing.T, r *llama.Runner, g golden) {
	want := g.Perplexity
	tok := r.Model().Tokenizer()
	tokens := tok.Encode(neutral(want.Bytes), token.EncodeOptions{BOS: token.Never, EOS: token.Never})
	require.Len(t, tokens, want.Tokens)
	require.Equal(t, want.IDsSHA256, sum(strings.Trim(fmt.Sprint(token.IDs(tokens)), "[]")), "tokens of the text")
	got, err := llama.Perplexity(t.Context(), r, tokens, llama.PerplexityOptions{Context: want.Context})
	require.NoError(t, err)
	assert.Equal(t, want.Scored, got.Tokens)
	t.Logf("perplexity %.6f, PyTorch's %.6f: %+.1e of it", got.Perplexity, want.Perplexity, got.Perplexity/want.Perplexity-1)
	assert.InEpsilon(t, want.Perplexity, got.Perplexity, maxPerplexity)
}
