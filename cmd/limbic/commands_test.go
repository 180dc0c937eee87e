package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
	"github.com/limbic-go/limbic/tensor/npy"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// reference reads what an independent program computed from testModel.
func reference(t *testing.T, what string) npy.Array {
	a, err := npy.ReadFile("testdata/reference/quant-q4_k_m.exact." + what + ".npy")
	require.NoError(t, err)
	return a
}

func referencePrompt(t *testing.T) (prompt string, tokens []int32) {
	b, err := os.ReadFile("testdata/reference/quant-q4_k_m.exact.json")
	require.NoError(t, err)
	var r struct {
		Prompt string
		Tokens []int32
	}
	require.NoError(t, json.Unmarshal(b, &r))
	return r.Prompt, r.Tokens
}

// near checks that values agree to a relative error, in the root mean square.
func near(t *testing.T, want, got []float32, most float64) {
	t.Helper()
	require.Len(t, got, len(want))
	var d, n float64
	for i := range want {
		e := float64(want[i]) - float64(got[i])
		d += e * e
		n += float64(want[i]) * float64(want[i])
	}
	assert.LessOrEqual(t, math.Sqrt(d/n), most)
}

// fields checks that a JSON document has fields of these names, as scripts use
// them, and full provenance.
func fields(t *testing.T, doc string, names ...string) map[string]any {
	t.Helper()
	m := decode[map[string]any](t, doc)
	for _, n := range append(names, "provenance") {
		assert.Contains(t, m, n)
	}
	p := m["provenance"].(map[string]any)
	for _, n := range []string{"limbic", "go", "kernels", "seed"} {
		assert.Contains(t, p, n)
	}
	return m
}

// ran checks the provenance of something that ran the model.
func ran(t *testing.T, p provenance) {
	t.Helper()
	ranIn(t, llama.Probe, p)
}

func ranIn(t *testing.T, precision llama.Precision, p provenance) {
	t.Helper()
	assert.Equal(t, version, p.Limbic)
	assert.Equal(t, testModel, p.ModelPath)
	assert.Equal(t, "quant-base", p.Model)
	assert.Equal(t, "llama", p.Architecture)
	assert.Equal(t, "Q4_K", p.Quantisation)
	assert.Equal(t, precision.String(), p.Precision)
	assert.Equal(t, "f32", p.KV)
	assert.Len(t, p.ModelSHA256, 64)
	assert.Len(t, p.TokenizerSHA256, 64)
	assert.NotZero(t, p.Threads)
	assert.NotEmpty(t, p.Definitions)
}

func TestVersion(t *testing.T) {
	fields(t, ok(t, "version", "--json"), "version", "kernels", "go", "cpu", "features", "levels")
	r := okJSON[versionResult](t, "version")
	assert.Equal(t, version, r.Version)
	assert.Contains(t, r.Levels, r.Kernels)
	assert.Contains(t, ok(t, "version"), "limbic")
}

func TestInfo(t *testing.T) {
	m := fields(t, ok(t, "info", testModel, "--json"),
		"architecture", "blocks", "width", "parameters", "quantisation", "context_length", "sha256",
		"heads", "kv_heads", "head_dim", "feed_forward", "vocabulary", "tensors", "tokenizer", "chat_template", "memory", "runnable")
	assert.Equal(t, "llama", m["architecture"])
	assert.Equal(t, 2.0, m["blocks"])
	assert.Equal(t, 256.0, m["width"])
	assert.Equal(t, 4.0, m["heads"])
	assert.Equal(t, 2.0, m["kv_heads"])
	assert.Equal(t, 64.0, m["head_dim"])
	assert.Equal(t, 2048.0, m["context_length"])
	assert.Equal(t, 512.0, m["vocabulary"])
	assert.Equal(t, "Q4_K", m["quantisation"])
	assert.Equal(t, true, m["runnable"])
	assert.Equal(t, "Q4_K", m["tensors"].(map[string]any)["attn_q"])
	assert.Equal(t, "F32", m["tensors"].(map[string]any)["attn_norm"])
	assert.Equal(t, 2*4*2*2*64.0, m["memory"].(map[string]any)["kv_bytes_per_token"])

	human := ok(t, "info", testModel)
	for _, s := range []string{m["sha256"].(string), "1,443,072", "output of block 1 of 2 (counted from 0)", "attn_q"} {
		assert.Contains(t, human, s)
	}
	assert.Equal(t, "F32", okJSON[infoResult](t, "info", tiedModel).Quantisation)
}

func TestInfoOfFilesThatCannotRun(t *testing.T) {
	r := okJSON[infoResult](t, "info", foreignModel(t))
	assert.False(t, r.Runnable)
	assert.Contains(t, r.Reason, `"rwkv9"`)
	assert.NotContains(t, r.Reason, "foreign.gguf", "the path stands beside it")
	assert.Equal(t, uint64(3), *r.Blocks)
	assert.Equal(t, uint64(32), *r.HeadDim)

	for _, name := range []string{"gpt-2", "llama-spm", "deepseek-llm"} {
		r := okJSON[infoResult](t, "info", shared(t, "vocab/"+name+".gguf"))
		assert.False(t, r.Runnable)
		assert.Contains(t, r.Reason, "vocabulary")
		require.NotNil(t, r.Tokenizer)
		assert.Equal(t, uint64(r.Tokenizer.Size), *r.Vocabulary)
		ok(t, "info", shared(t, "vocab/"+name+".gguf"))
	}
}

// Files of well-known families that limbic does not run say so in one line,
// whatever is asked of them, and are described as far as they go.
func TestOtherFamilies(t *testing.T) {
	for _, arch := range []string{
		"gemma", "gemma3n", "gemma4", "llama4", "mistral3", "qwen2moe", "qwen3next", "gpt-oss", "deepseek2", "glm4", "command-r", "cohere2",
		"granitemoe", "granitehybrid", "olmo", "olmoe", "phi2", "phimoe", "stablelm", "starcoder2", "internlm2", "mpt", "bloom",
		"gpt2", "gptj", "gptneox", "falcon", "falcon-h1", "mamba", "mamba2", "rwkv7", "jamba", "lfm2", "bert", "clip", "t5",
	} {
		var b bytes.Buffer
		require.NoError(t, gguf.Encode(&b, []gguf.KV{
			{Key: "general.architecture", Value: gguf.Scalar(arch)}, {Key: arch + ".block_count", Value: gguf.Scalar(uint32(2))},
		}, []gguf.TensorData{{Name: "blk.0.x.weight", Type: tensor.F32, Dims: []int{1}, Data: make([]byte, 4)}}, gguf.EncodeOptions{}))
		path := filepath.Join(t.TempDir(), "m.gguf")
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
		says := `m.gguf: architecture "` + arch + `" is not supported (supported: gemma2, `
		limbic("generate", path, "x").fails(t, exitFailed, says)
		info := okJSON[infoResult](t, "info", path)
		assert.False(t, info.Runnable)
		assert.Contains(t, info.Reason, `architecture "`+arch+`" is not supported`)
		assert.Equal(t, arch, info.Architecture)
		assert.Equal(t, uint64(2), *info.Blocks)
		assert.Contains(t, ok(t, "info", path), `no: architecture "`+arch+`" is not supported`)
	}
	for _, kind := range []string{"gemma3n", "llama4", "deepseek_v3", "phi4mm", "mamba", "falcon", "gpt2", "gpt_neox", "stablelm", "cohere", "gpt_oss"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"`+kind+`"}`), 0o600))
		limbic("info", dir).fails(t, exitFailed, filepath.Join(dir, "config.json")+`: "model_type": "`+kind+`" is not supported (supported: gemma2, `)
	}
}

func TestKinds(t *testing.T) {
	for name, want := range map[string]string{
		"blk.3.attn_q.weight": "attn_q", "blk.12.attn_q.bias": "attn_q.bias", "output.weight": "output",
		"blk.3.ffn_up.7.weight": "ffn_up", "blk.3.ffn_up.x.weight": "ffn_up.x",
		"blk.x.attn_q.weight": "blk.x.attn_q", "blk.": "blk.", "": "",
	} {
		assert.Equal(t, want, kindOf(name))
	}
}

func TestTokenize(t *testing.T) {
	fields(t, ok(t, "tokenize", testModel, "x", "--json"), "tokens")
	assert.Equal(t, `#   id  start  end  text
0    1      0    0  "<s>"
1  403      0    4  " Once"
2  410      4    5  " "
3  131      5    6  "<0x80>"
4   13      6    7  "\n"
5 tokens for 7 bytes
`, ok(t, "tokenize", testModel, "Once \x80\n"))

	// Whatever the bytes, offsets are contiguous and cover them.
	dir := t.TempDir()
	for _, text := range []string{"", " ", "a", "\n", "\xff\xfe\x00", "héllo 🙂 wörld", "  two  \r\n", strings.Repeat("long ", 5000)} {
		path := filepath.Join(dir, "text")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		r := okJSON[tokenizeResult](t, "tokenize", testModel, "--file", path)
		require.NotEmpty(t, r.Tokens)
		assert.Equal(t, "<s>", r.Tokens[0].Text)
		at := 0
		for _, tok := range r.Tokens {
			require.Equal(t, at, tok.Start)
			at = tok.End
		}
		assert.Equal(t, len(text), at)
		// The same bytes from elsewhere are the same tokens.
		in := limbicIn(t.Context(), text, "tokenize", testModel, "-", "--json")
		assert.Equal(t, r, decode[tokenizeResult](t, in.stdout))
		in = limbicIn(t.Context(), text, "tokenize", testModel, "--file", "-", "--json")
		assert.Equal(t, r, decode[tokenizeResult](t, in.stdout))
		if !strings.Contains(text, "\x00") && len(text) < 1000 {
			assert.Equal(t, r, okJSON[tokenizeResult](t, "tokenize", testModel, text))
		}
	}

	none := okJSON[tokenizeResult](t, "tokenize", testModel, "", "--no-bos")
	assert.NotNil(t, none.Tokens, "null in place of an empty list")
	assert.Empty(t, none.Tokens)

	plain := okJSON[tokenizeResult](t, "tokenize", testModel, "</s>")
	assert.Greater(t, len(plain.Tokens), 2)
	special := okJSON[tokenizeResult](t, "tokenize", testModel, "</s>", "--special")
	assert.Equal(t, int32(2), special.Tokens[1].ID)
	assert.Equal(t, "tokens", special.Provenance.Definitions["special_tokens_in_text"])

	// A BOS that the text spells is the one that is added.
	once := okJSON[tokenizeResult](t, "tokenize", testModel, "<s>once", "--special")
	assert.Equal(t, int32(1), once.Tokens[0].ID)
	assert.NotEqual(t, int32(1), once.Tokens[1].ID)
	assert.Equal(t, once.Tokens, okJSON[tokenizeResult](t, "tokenize", testModel, "<s>once", "--special", "--no-bos").Tokens)
	r := limbic("tokenize", testModel, "<s><s>twice", "--special")
	assert.Equal(t, exitDone, r.status)
	assert.Contains(t, r.stderr, "warning: the text itself begins with BOS twice")
}

func TestTokenizeVocabularies(t *testing.T) {
	for _, name := range []string{"gpt-2", "llama-spm", "deepseek-llm"} {
		path := shared(t, "vocab/"+name+".gguf")
		text := "Hello, wörld \xff 🙂"
		r := okJSON[tokenizeResult](t, "tokenize", path, text)
		assert.Equal(t, len(text), r.Tokens[len(r.Tokens)-1].End)
	}
}

func TestLogits(t *testing.T) {
	prompt, tokens := referencePrompt(t)
	all, err := npy.As[float32](reference(t, "logits"))
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "l.npy")
	fields(t, ok(t, "logits", testModel, prompt, "--json"), "tokens", "top")
	r := okJSON[logitsResult](t, "logits", testModel, prompt, "--top", "512", "--out", out)
	ranIn(t, llama.Exact, r.Provenance)
	assert.Equal(t, tokens, r.Tokens)
	assert.Equal(t, out, r.Out)

	a, err := npy.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, []int{len(tokens), 512}, a.Shape)
	got, err := npy.As[float32](a)
	require.NoError(t, err)
	near(t, all, got, 1e-5)

	last := got[(len(tokens)-1)*512:]
	require.Len(t, r.Top, 512)
	sum := 0.0
	for i, row := range r.Top {
		assert.Equal(t, last[row.ID], row.Logit)
		if i > 0 {
			assert.LessOrEqual(t, row.Logit, r.Top[i-1].Logit)
		}
		sum += math.Exp(row.LogProb)
	}
	assert.InDelta(t, 1, sum, 1e-12)

	// Neither the number of threads, nor what else is asked for, changes a bit.
	few := okJSON[logitsResult](t, "logits", testModel, prompt, "--threads", "1")
	assert.Equal(t, r.Top[:10], few.Top)
	assert.Equal(t, 1, few.Provenance.Threads)
	none := okJSON[logitsResult](t, "logits", testModel, prompt, "--top", "0")
	assert.NotNil(t, none.Top)
	assert.Empty(t, none.Top)
	assert.Len(t, okJSON[logitsResult](t, "logits", testModel, "", "--top", "9999").Top, 512)
	assert.Contains(t, ok(t, "logits", testModel, prompt), "after 31 tokens")
}

func TestLogitsOverSteps(t *testing.T) {
	// More tokens than a step computes.
	text := strings.Repeat("little words ", 150)
	out := filepath.Join(t.TempDir(), "l.npy")
	with := okJSON[logitsResult](t, "logits", testModel, text, "--out", out)
	require.Greater(t, len(with.Tokens), stepTokens)
	without := okJSON[logitsResult](t, "logits", testModel, text)
	assert.Equal(t, with.Top, without.Top)
	a, err := npy.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, []int{len(with.Tokens), 512}, a.Shape)
}

func TestTrace(t *testing.T) {
	prompt, tokens := referencePrompt(t)
	want, err := npy.As[float32](reference(t, "resid_post"))
	require.NoError(t, err)
	dir := t.TempDir()
	npz, st := filepath.Join(dir, "t.npz"), filepath.Join(dir, "t.safetensors")

	fields(t, ok(t, "trace", testModel, prompt, "--out", npz, "--json"), "sites", "tokens", "out")
	r := okJSON[traceResult](t, "trace", testModel, prompt, "--sites", "resid_post:all,final_norm", "--out", npz)
	ranIn(t, llama.Exact, r.Provenance)
	assert.Equal(t, []string{"resid_post.0", "resid_post.1", "final_norm"}, r.Sites)
	assert.Equal(t, tokens, r.Tokens)
	assert.Equal(t, npz, r.Out)
	assert.Equal(t, siteNote{"resid_post:0", "output of block 0 of 2 (counted from 0)"}, r.Provenance.Sites[0])

	z, err := npy.OpenArchive(npz)
	require.NoError(t, err)
	defer z.Close()
	arrays := map[string][]float32{}
	for _, name := range r.Sites {
		a, err := z.Read(name)
		require.NoError(t, err)
		assert.Equal(t, []int{len(tokens), 256}, a.Shape)
		arrays[name], err = npy.As[float32](a)
		require.NoError(t, err)
	}
	near(t, want, append(append([]float32{}, arrays["resid_post.0"]...), arrays["resid_post.1"]...), 1e-5)
	a, err := z.Read("tokens")
	require.NoError(t, err)
	assert.Equal(t, npy.Array{Shape: []int{len(tokens)}, Data: tokens}, a)

	ok(t, "trace", testModel, prompt, "--sites", "resid_post:all,final_norm", "--out", st)
	f, err := safetensors.Open(st)
	require.NoError(t, err)
	defer f.Close()
	for _, name := range r.Sites {
		got, err := f.Float32s(name)
		require.NoError(t, err)
		assert.Equal(t, arrays[name], got)
	}
	var p provenance
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["provenance"]), &p))
	assert.Equal(t, r.Provenance.ModelSHA256, p.ModelSHA256)

	// The default site, and files that do not depend on the number of threads.
	one, two := filepath.Join(dir, "1.npz"), filepath.Join(dir, "2.npz")
	d := okJSON[traceResult](t, "trace", testModel, prompt, "--out", one, "--threads", "1")
	assert.Equal(t, []string{llama.DefaultSite(2).Key()}, d.Sites)
	ok(t, "trace", testModel, prompt, "--out", two, "--threads", "2")
	b1, err := os.ReadFile(one)
	require.NoError(t, err)
	b2, err := os.ReadFile(two)
	require.NoError(t, err)
	assert.True(t, string(b1) == string(b2), "the files differ")

	for _, out := range []string{npz, st} {
		r := okJSON[traceResult](t, "trace", testModel, "", "--no-bos", "--out", out)
		assert.NotNil(t, r.Tokens)
		assert.Empty(t, r.Tokens)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 4, "temporary files were left behind")
}

func TestTraceOverSteps(t *testing.T) {
	text := strings.Repeat("little words ", 150)
	out := filepath.Join(t.TempDir(), "t.safetensors")
	r := okJSON[traceResult](t, "trace", testModel, text, "--sites", "resid_pre:0", "--out", out)
	require.Greater(t, len(r.Tokens), stepTokens)
	f, err := safetensors.Open(out)
	require.NoError(t, err)
	defer f.Close()
	rows, err := f.Float32s("resid_pre.0")
	require.NoError(t, err)
	require.Len(t, rows, 256*len(r.Tokens))
	// What enters the first block depends on the token alone.
	first := map[int32][]float32{}
	for i, id := range r.Tokens {
		row := rows[i*256:][:256]
		if seen, ok := first[id]; ok {
			require.Equal(t, seen, row, "row %d", i)
		}
		first[id] = row
	}
}

func TestPerplexity(t *testing.T) {
	prompt, tokens := referencePrompt(t)
	logits, err := npy.As[float32](reference(t, "logits"))
	require.NoError(t, err)
	nll := 0.0
	for i, id := range tokens[1:] {
		row := logits[i*512:][:512]
		nll += llama.LogSumExp(row) - float64(row[id])
	}
	nll /= float64(len(tokens) - 1)
	fields(t, ok(t, "perplexity", testModel, prompt, "--json"), "perplexity", "stderr", "tokens")
	r := okJSON[perplexityResult](t, "perplexity", testModel, prompt)
	ranIn(t, llama.Exact, r.Provenance)
	assert.Equal(t, len(tokens)-1, r.Tokens)
	assert.Equal(t, 1, r.Windows)
	assert.InDelta(t, nll, r.NLL, 1e-4)
	assert.InEpsilon(t, math.Exp(r.NLL), r.Perplexity, 1e-12)
	assert.Greater(t, r.StdErr, 0.0)
	assert.Contains(t, ok(t, "perplexity", testModel, prompt), "30 tokens scored in 1 window")

	cut := okJSON[perplexityResult](t, "perplexity", testModel, prompt, "--context", "11")
	assert.Equal(t, 3, cut.Windows)
	assert.Equal(t, 30, cut.Tokens)
	bare := okJSON[perplexityResult](t, "perplexity", testModel, prompt, "--context", "10", "--no-bos")
	assert.Equal(t, 3, bare.Windows)
	assert.Equal(t, 27, bare.Tokens)
}

// Phi 3 was trained for a short context and stretched to a long one, with other
// rotations, which are used where --context asks for it.
func TestLongContext(t *testing.T) {
	const phi3 = "testdata/hf/phi3"
	text := strings.Repeat("the cat ", 20) // 40 tokens or more; the short context is 32
	logits := func(more ...string) logitsResult {
		return okJSON[logitsResult](t, append([]string{"logits", phi3}, more...)...)
	}
	short, long := logits("the cat"), logits("the cat", "--context", "64")
	assert.Equal(t, 0, short.Provenance.Context)
	assert.Equal(t, 64, long.Provenance.Context)
	assert.NotEqual(t, short.Top[0].Logit, long.Top[0].Logit, "other rotations")
	assert.Equal(t, short.Top, logits("the cat", "--context", "32").Top)
	assert.Greater(t, len(logits(text, "--context", "64").Tokens), 32)

	r := okJSON[perplexityResult](t, "perplexity", phi3, text, "--context", "64")
	assert.Equal(t, 1, r.Windows)
	assert.Equal(t, 2, okJSON[perplexityResult](t, "perplexity", phi3, text).Windows)

	g := okJSON[generateResult](t, "generate", testModel, "Once upon a time", "--context", "8", "--ignore-eos")
	assert.Equal(t, finishContext, g.Finish)
	assert.Equal(t, 8, len(g.PromptTokens)+len(g.Tokens)-1) // the last token's state is not computed
}

func TestGenerate(t *testing.T) {
	const prompt = "Once upon a time"
	fields(t, ok(t, "generate", testModel, prompt, "--max-tokens", "4", "--json"), "prompt_tokens", "tokens", "text", "receipt", "trace")
	r := okJSON[generateResult](t, "generate", testModel, prompt, "--max-tokens", "24", "--ignore-eos")
	ran(t, r.Provenance)
	assert.Len(t, r.Tokens, 24)
	assert.Equal(t, finishLength, r.Finish)
	assert.Nil(t, r.Copies)
	assert.Nil(t, r.Receipt)
	assert.Nil(t, r.Trace)
	assert.Equal(t, "greedy", r.Provenance.Definitions["sampling"])
	logits := okJSON[logitsResult](t, "logits", testModel, prompt)
	assert.Equal(t, logits.Tokens, r.PromptTokens)
	assert.Equal(t, logits.Top[0].ID, r.Tokens[0])
	text := r.Text
	if r.TextBase64 != nil {
		text = string(r.TextBase64)
	}
	assert.Equal(t, text, ok(t, "generate", testModel, prompt, "--max-tokens", "24", "--ignore-eos"))

	none := okJSON[generateResult](t, "generate", testModel, prompt, "--max-tokens", "0")
	assert.NotNil(t, none.Tokens)
	assert.Empty(t, none.Tokens)
	assert.Len(t, okJSON[generateResult](t, "generate", testModel, "", "--max-tokens", "1", "--ignore-eos").Tokens, 1)
}

func TestGenerateStops(t *testing.T) {
	text := ok(t, "generate", testModel, "Once", "--max-tokens", "40", "--ignore-eos")
	stop := text[len(text)/2:][:3]
	want, _, _ := strings.Cut(text, stop)
	args := []string{"generate", testModel, "Once", "--max-tokens", "40", "--ignore-eos", "--stop", "never seen", "--stop", stop}
	assert.Equal(t, want, ok(t, args...))
	r := okJSON[generateResult](t, args...)
	assert.Equal(t, finishStop, r.Finish)
	assert.Less(t, len(r.Tokens), 40)
}

func TestGenerateCopies(t *testing.T) {
	args := func(n string) []string {
		return []string{"generate", testModel, "Once upon a time", "--max-tokens", "12", "--temp", "1.5", "--top-k", "200",
			"--top-p", "0.99", "--min-p", "0.001", "--repeat-penalty", "1.1", "--seed", "5", "--n", n}
	}
	three := okJSON[generateResult](t, args("3")...)
	require.Len(t, three.Copies, 3)
	assert.Equal(t, three.Copies[0], three.continuation)
	assert.NotEqual(t, three.Copies[0].Tokens, three.Copies[1].Tokens)
	assert.NotEqual(t, three.Copies[1].Tokens, three.Copies[2].Tokens)
	assert.Equal(t, uint64(5), three.Provenance.Seed)
	// A copy does not depend on how many others there are.
	assert.Equal(t, three.Copies[0], okJSON[generateResult](t, args("1")...).continuation)
	human := ok(t, args("3")...)
	assert.Contains(t, human, "--- 1 of 3 ---\n")
	assert.Contains(t, human, "--- 3 of 3 ---\n")
}

func TestGenerateToTheEndOfTheContext(t *testing.T) {
	text := strings.Repeat("hello ", 680)
	r := okJSON[generateResult](t, "generate", testModel, text, "--max-tokens", "100", "--ignore-eos")
	assert.Equal(t, finishContext, r.Finish)
	assert.Less(t, len(r.Tokens), 100)
	assert.Equal(t, 2049, len(r.PromptTokens)+len(r.Tokens), "the last token needs no place in the context")
}

func TestGenerateStory(t *testing.T) {
	model := shared(t, "models/stories260K-f32.gguf")
	for _, n := range []string{"1", "2", "3", "4"} {
		b, err := os.ReadFile(shared(t, "reference/stories260K-"+n+".json"))
		require.NoError(t, err)
		var want struct {
			Prompt         string
			Tokens, Greedy []int32
		}
		require.NoError(t, json.Unmarshal(b, &want))
		r := okJSON[generateResult](t, "generate", model, want.Prompt, "--max-tokens", "64", "--ignore-eos")
		assert.Equal(t, want.Tokens, r.PromptTokens)
		assert.Equal(t, want.Greedy, r.Tokens)
	}
}

func TestStopper(t *testing.T) {
	for _, c := range []struct {
		stops, pieces []string
		want          string
		stopped       bool
	}{
		{nil, []string{"ab", "c"}, "abc", false},
		{[]string{"bc"}, []string{"ab", "cd"}, "a", true},
		{[]string{"bc"}, []string{"ab", "d"}, "abd", false},
		{[]string{"aab"}, []string{"a", "a", "a", "b"}, "a", true},
		{[]string{"xyz", "y"}, []string{"wx", "yz"}, "wx", true},
		{[]string{"yz", "xyz"}, []string{"wxyz"}, "w", true},
		{[]string{"abc", "bcd"}, []string{"ab", "xbc", "d"}, "abx", true},
		{[]string{"end"}, []string{"the en"}, "the en", false},
		{[]string{"🙂"}, []string{"a\xf0\x9f", "\x99\x82b"}, "a", true},
	} {
		s := stopper{stops: c.stops}
		var got string
		stopped := false
		for _, p := range c.pieces {
			ready, end := s.add([]byte(p))
			got += string(ready)
			if stopped = end; end {
				break
			}
		}
		if !stopped {
			got += string(s.pending)
		}
		assert.Equal(t, c.want, got, "%q", c)
		assert.Equal(t, c.stopped, stopped, "%q", c)
	}
}

func TestForTerminal(t *testing.T) {
	assert.Equal(t, "a\n\tb�[31mé", string(forTerminal([]byte("a\n\tb\x1b[31mé"))))
}
