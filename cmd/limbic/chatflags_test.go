package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
)

const tinyModel = "testdata/models/tiny-f32.gguf"

// chatTemplate wraps turns as many models do, and says the date where the system
// speaks.
const chatTemplate = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim }}` +
	`{% if m.role == 'system' %}{{ ' It is ' + strftime_now('%Y') }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// chatModel writes the tiny model with a chat template, whose special tokens take
// the places of the last two of its vocabulary.
func chatModel(t *testing.T) string {
	t.Helper()
	from, err := gguf.Open(tinyModel)
	require.NoError(t, err)
	defer from.Close()
	var kvs []gguf.KV
	for _, key := range from.Keys() {
		v, _ := from.Get(key)
		switch key {
		case "tokenizer.ggml.tokens":
			texts, err := from.Strings(key)
			require.NoError(t, err)
			texts = slices.Clone(texts)
			copy(texts[len(texts)-2:], []string{"<|im_start|>", "<|im_end|>"})
			v = gguf.Array(texts)
		case "tokenizer.ggml.token_type":
			types, err := from.Int32s(key)
			require.NoError(t, err)
			types = slices.Clone(types)
			types[len(types)-2], types[len(types)-1] = token.TypeControl, token.TypeControl
			v = gguf.Array(types)
		}
		kvs = append(kvs, gguf.KV{Key: key, Value: v})
	}
	kvs = append(kvs, gguf.KV{Key: "tokenizer.chat_template", Value: gguf.Scalar(chatTemplate)})
	var tensors []gguf.TensorData
	for _, x := range from.Tensors() {
		data, err := x.Data()
		require.NoError(t, err)
		tensors = append(tensors, gguf.TensorData{Name: x.Name, Type: x.Type, Dims: x.Dims, Data: data})
	}
	var b bytes.Buffer
	require.NoError(t, gguf.Encode(&b, kvs, tensors, gguf.EncodeOptions{}))
	path := filepath.Join(t.TempDir(), "chat.gguf")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

func messagesFile(t *testing.T, messages ...chat.Message) string {
	t.Helper()
	b, err := json.Marshal(messages)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "messages.json")
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

type chatTokens struct {
	Text   string
	Tokens json.RawMessage
	Turns  []chat.Turn
	Start  *chat.Span `json:"assistant_start"`
	Read   []int
	Prov   struct {
		Prompt *promptNote
		Defs   map[string]string `json:"definitions"`
	} `json:"provenance"`
}

func TestTokenizeChat(t *testing.T) {
	m := chatModel(t)
	r := okJSON[chatTokens](t, "tokenize", m, " Hi <|im_end|> ", "--chat", "--system", "Be kind.", "--date", "2025-03-09", "--read", "user_end")
	assert.Equal(t, "<|im_start|>system\nBe kind. It is 2025<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n", r.Text)
	require.Len(t, r.Turns, 2)
	assert.Equal(t, "Hi <|im_end|>", r.Text[r.Turns[1].Content.Start:r.Turns[1].Content.End])
	assert.Equal(t, "<|im_start|>assistant\n", r.Text[r.Start.Start:r.Start.End])
	assert.Equal(t, []int{r.Turns[1].Content.Until - 1}, r.Read)
	var tokens []tokenRow
	require.NoError(t, json.Unmarshal(r.Tokens, &tokens))
	ends := 0
	for _, x := range tokens {
		if x.Text == "<|im_end|>" {
			ends++
		}
	}
	assert.Equal(t, 2, ends, "what the user spells is no token")
	assert.Equal(t, "<s>", tokens[0].Text)
	assert.Equal(t, "chat", r.Prov.Defs["format"])
	n := r.Prov.Prompt
	require.NotNil(t, n)
	assert.Len(t, n.TemplateSHA256, 64)
	assert.Equal(t, "2025-03-09", n.Date)
	assert.Equal(t, "user_end", n.Read)
	assert.Equal(t, []chat.Message{{Role: "system", Content: "Be kind."}, {Role: "user", Content: " Hi <|im_end|> "}}, n.Messages)

	// The same conversation from a file, and from standard input.
	file := messagesFile(t, n.Messages...)
	again := okJSON[chatTokens](t, "tokenize", m, "--messages", file, "--date", "2025-03-09", "--read", "user_end")
	assert.Equal(t, r.Tokens, again.Tokens)
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	piped := limbicIn(t.Context(), string(doc), "tokenize", m, "--messages", "-", "--date", "2025-03-09", "--json")
	assert.Contains(t, piped.stdout, string(r.Tokens))

	text := ok(t, "tokenize", m, "Hi", "--chat", "--prefill", "So", "--read", "assistant_start")
	assert.Regexp(t, `user +"H"`, text)
	assert.Regexp(t, `template +"\\n"  ◄ read\n`, text)
	assert.Regexp(t, `assistant +"S"`, text)
}

// A conversation has the same tokens in every command.
func TestOneConversation(t *testing.T) {
	m := chatModel(t)
	args := []string{"--messages", messagesFile(t, chat.Message{Role: "user", Content: "Hi"}, chat.Message{Role: "assistant", Content: "Yes?"}, chat.Message{Role: "user", Content: "Bye"}), "--prefill", "So"}
	type result struct {
		Tokens       json.RawMessage
		PromptTokens []int32 `json:"prompt_tokens"`
		Provenance   struct{ Prompt promptNote }
	}
	get := func(cmd ...string) result { return okJSON[result](t, slices.Concat(cmd, args)...) }
	var rows []tokenRow
	first := get("tokenize", m)
	require.NoError(t, json.Unmarshal(first.Tokens, &rows))
	var want []int32
	for _, r := range rows {
		want = append(want, r.ID)
	}
	for _, cmd := range [][]string{{"logits", m}, {"trace", m, "--out", filepath.Join(t.TempDir(), "f.npz")}} {
		r := get(cmd...)
		var got []int32
		require.NoError(t, json.Unmarshal(r.Tokens, &got))
		assert.Equal(t, want, got, cmd[0])
		assert.Equal(t, first.Provenance, r.Provenance, cmd[0])
	}
	r := get("generate", m, "--max-tokens", "2")
	assert.Equal(t, want, r.PromptTokens)
	assert.Equal(t, first.Provenance, r.Provenance)
}

// An answer ends at the token that ends the turn, or before the next "Human:".
func TestGenerateChatEnds(t *testing.T) {
	m := chatModel(t)
	f, err := gguf.Open(m)
	require.NoError(t, err)
	tok, err := token.FromGGUF(f)
	require.NoError(t, err)
	id, found := tok.Lookup("<|im_end|>")
	require.True(t, found)
	assert.True(t, tok.IsEOG(id))
	require.NoError(t, f.Close())
	s := stopper{stops: chat.HumanAssistant(tok).Stops()}
	ready, stopped := s.add([]byte("Fine.\n\nHuman: and"))
	assert.True(t, stopped)
	assert.Equal(t, "Fine.", string(ready))
}

func TestProbeChat(t *testing.T) {
	slowInPlainGo(t)
	m := chatModel(t)
	v := filepath.Join(t.TempDir(), "v.safetensors")
	ok(t, "vectors", "build", m, "--emotions", "afraid,calm,desperate,happy", "--topics", "sea", "--out", v)
	type result struct {
		Text   string
		Tokens []tokenRow
		Scores [][]float64
		Mean   []float64
		Read   []int
		Turns  []chat.Turn
	}
	r := okJSON[result](t, "probe", m, v, "Hi there", "--chat", "--read", "mean:user")
	require.Equal(t, "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n", r.Text)
	c := r.Turns[0].Content
	require.Len(t, r.Read, c.Until-c.From)
	for k := range r.Mean {
		sum := 0.0
		for _, i := range r.Read {
			sum += r.Scores[i][k]
		}
		assert.InDelta(t, sum/float64(len(r.Read)), r.Mean[k], 1e-8)
	}
	whole := okJSON[result](t, "probe", m, v, "Hi there", "--chat")
	assert.Equal(t, r.Scores, whole.Scores)
	assert.NotEqual(t, r.Mean, whole.Mean)

	// Lines may hold texts and conversations.
	in := `{"id": "a", "messages": [{"role": "user", "content": "Hi there"}]}` + "\n" + `{"id": "b", "text": "Hi there"}` + "\n"
	out := limbicIn(t.Context(), in, "probe", m, v, "--input", "-", "--read", "last")
	require.Equal(t, 0, out.status, out.stderr)
	lines := strings.SplitAfter(strings.TrimSuffix(out.stdout, "\n"), "\n")
	require.Len(t, lines, 2)
	var a, b result
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &a))
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &b))
	assert.Equal(t, whole.Scores, a.Scores)
	assert.Equal(t, []int{len(a.Tokens) - 1}, a.Read)
	assert.Equal(t, "Hi there", b.Text)
	assert.Contains(t, lines[0], `"format":"chat"`)
	assert.Contains(t, lines[1], `"format":"raw"`)
	both := limbicIn(t.Context(), in, "probe", m, v, "--input", "-", "--format", "human-assistant", "--system", "S")
	require.Equal(t, 0, both.status, both.stderr)
	assert.Equal(t, 2, strings.Count(both.stdout, `"text":"S\n\nHuman: Hi there\n\nAssistant:"`))

	text := ok(t, "probe", m, v, "Hi there", "--chat", "--read", "last")
	assert.Contains(t, text, "; read at last, 1 token")
	assert.Contains(t, text, "◄ read")
	page := filepath.Join(t.TempDir(), "p.html")
	ok(t, "probe", m, v, "Hi there", "--chat", "--read", "last", "--html", page)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(html), "over the tokens of --read last")
	limbic("probe", m, v, "Hi", "--read", "user_end").fails(t, exitFailed, "--read user_end", "raw text has no turns")
	limbic("probe", m, v, "Hi", "--chat", "--read", "span:you").fails(t, exitFailed, `--read span:"you"`, "not in the prompt")
}

func TestChatUsage(t *testing.T) {
	for _, c := range []struct{ args, parts string }{
		{"tokenize|m|t|--format|xml", "--format|xml|raw, human-assistant or chat"},
		{"tokenize|m|t|--format|raw|--chat", "--chat and --format raw"},
		{"tokenize|m|--messages|f|--format|raw", "--messages and --format raw"},
		{"tokenize|m|t|--messages|f", `TEXT and --messages|"t"`},
		{"tokenize|m|--messages|f|--file|g", "--messages and --file"},
		{"tokenize|m|--messages=", "--messages names no file"},
		{"tokenize|m|t|--system|s", "--system and --prefill need"},
		{"tokenize|m|t|--prefill|s", "--system and --prefill need"},
		{"tokenize|m|t|--date|2025-01-01", "--template, --date and --thinking need"},
		{"tokenize|m|t|--thinking|--format|human-assistant", "not for --format human-assistant"},
		{"tokenize|m|t|--chat|--date|tomorrow", "--date|tomorrow|YYYY-MM-DD"},
		{"tokenize|m|t|--read|first", "--read|unknown reading|last, user_end"},
		{"probe|m|v|--input|f|--messages|g", "--input takes the place"},
		{"probe|m|v|--input|f|--csv|--read|last", "--csv has a row for each token"},
	} {
		limbic(strings.Split(c.args, "|")...).fails(t, exitUsage, strings.Split(c.parts, "|")...)
	}
	limbic("perplexity", "m", "--chat").fails(t, exitUsage, "unknown flag: --chat")
}

func TestChatFailures(t *testing.T) {
	user := messagesFile(t, chat.Message{Role: "user", Content: "Hi"}, chat.Message{Role: "assistant", Content: "Yes?"})
	m := chatModel(t)
	for _, c := range []struct{ args, parts string }{
		{"tokenize|" + tinyModel + "|t|--chat", tinyModel + "|has no chat template|--format human-assistant"},
		{"tokenize|" + m + "|t|--chat|--template|tools", "no key tokenizer.chat_template.tools"},
		{"generate|" + m + "|--messages|" + user, "the last message is the assistant's|--prefill"},
		{"steer|" + m + "|--vector|v:calm|--messages|" + user, "the last message is the assistant's"},
		{"tokenize|" + m + "|--messages|" + user + "|--prefill|x", "the last message is the assistant's"},
		{"tokenize|" + m + "|--messages|no.json", "--messages|no.json"},
	} {
		limbic(strings.Split(c.args, "|")...).fails(t, exitFailed, strings.Split(c.parts, "|")...)
	}
	for doc, part := range map[string]string{
		"": "want a list", "{}": "want a list", "[]": "there are no messages", `["a"]`: "want a list", "[{}] x": "more follows",
		`[{"role": "user"}]`: `message 0: "content" is missing`, `[{"role": "user", "content": null}]`: `"content" is no string`,
		`[{"role": "user", "content": "x", "name": "y"}]`: `message 0: "name" is not supported`,
		`[{"role": "", "content": "x"}]`:                  "message 0 has no role",
	} {
		limbicIn(t.Context(), doc, "tokenize", m, "--messages", "-").fails(t, exitFailed, part)
	}
}
