package hf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/hf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
	"github.com/limbic-go/limbic/tensor/safetensors"
)

// A file of weights in the making.
type weights []safetensors.Tensor

func (w *weights) add(name string, d safetensors.DType, data []byte, shape ...int) {
	*w = append(*w, safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: data})
}

func (w weights) write(t testing.TB, path string) {
	var b bytes.Buffer
	require.NoError(t, safetensors.Write(&b, nil, w))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
}

// vocabulary is a tokenizer of n tokens, one more than those for every byte.
func vocabulary(n int) []gguf.KV {
	tokens, types := make([]string, n), make([]int32, n)
	for i := range tokens {
		tokens[i], types[i] = fmt.Sprintf("<0x%02X>", i), token.TypeByte
		if i >= 256 {
			tokens[i], types[i] = fmt.Sprintf("<%d>", i), token.TypeControl
		}
	}
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: gguf.Scalar("llama")},
		{Key: "tokenizer.ggml.tokens", Value: gguf.Array(tokens)},
		{Key: "tokenizer.ggml.scores", Value: gguf.Array(make([]float32, n))},
		{Key: "tokenizer.ggml.token_type", Value: gguf.Array(types)},
	}
}

const tinyConfig = `{"model_type": "llama", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
	"intermediate_size": 3, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": [256, 257]}`

// tiny gives the weights of a model of one block of width 4, numbered through.
func tiny() weights {
	var w weights
	number := float32(0)
	add := func(name string, shape ...int) {
		n := 1
		for _, k := range shape {
			n *= k
		}
		data := make([]byte, 4*n)
		for i := range n {
			number++
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(number))
		}
		w.add(name, safetensors.F32, data, shape...)
	}
	add("model.layers.0.self_attn.q_proj.weight", 4, 4) // 1 to 16
	add("model.layers.0.self_attn.k_proj.weight", 2, 4)
	add("model.layers.0.self_attn.v_proj.weight", 2, 4)
	add("model.layers.0.self_attn.o_proj.weight", 4, 4)
	add("model.layers.0.mlp.gate_proj.weight", 3, 4)
	add("model.layers.0.mlp.up_proj.weight", 3, 4)
	add("model.layers.0.mlp.down_proj.weight", 4, 3)
	add("model.layers.0.input_layernorm.weight", 4)
	add("model.layers.0.post_attention_layernorm.weight", 4)
	add("model.norm.weight", 4)
	add("model.embed_tokens.weight", 258, 4)
	return w
}

// tinyFolder writes it.
func tinyFolder(t testing.TB) string {
	t.Cleanup(hf.SetTokenizer(vocabulary(257)))
	dir := filepath.Join(t.TempDir(), "tiny")
	require.NoError(t, os.Mkdir(dir, 0o700))
	for name, text := range map[string]string{"config.json": tinyConfig, "tokenizer.json": "{}", "tokenizer_config.json": `{"chat_template": "T"}`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	tiny().write(t, filepath.Join(dir, "model.safetensors"))
	return dir
}

func floats(t *testing.T, f *gguf.File, name string) []float32 {
	x, ok := f.Tensor(name)
	require.True(t, ok, name)
	data, err := x.Data()
	require.NoError(t, err)
	out := make([]float32, x.Elements())
	require.NoError(t, tensor.Dequantize(out, x.Type, data))
	return out
}

func TestOpen(t *testing.T) {
	dir := tinyFolder(t)
	f, err := hf.Open(dir)
	require.NoError(t, err)
	require.Equal(t, dir, f.Path)
	for key, want := range map[string]string{
		"general.architecture": `"llama"`, "general.type": `"model"`, "general.name": `"tiny"`, "general.alignment": "32", "general.file_type": "0",
		"general.quantization_version": "2", "llama.vocab_size": "258",
		"tokenizer.ggml.eos_token_id": "256", "tokenizer.ggml.eot_token_id": "257", // the second that config.json names
	} {
		v, ok := f.Get(key)
		require.True(t, ok, key)
		require.Equal(t, want, v.String(), key)
	}
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	require.Len(t, tokens, 258)
	require.Equal(t, "[PAD257]", tokens[257])
	types, err := f.Int32s("tokenizer.ggml.token_type")
	require.NoError(t, err)
	require.Equal(t, []int32{token.TypeControl, token.TypeUnused}, types[256:])

	// Heads of size 2: rows of queries in their order, whatever the head.
	q, _ := f.Tensor("blk.0.attn_q.weight")
	require.Equal(t, []int{4, 4}, q.Dims)
	require.Equal(t, []float32{1, 2, 3, 4, 5, 6, 7, 8}, floats(t, f, "blk.0.attn_q.weight")[:8])
	var names []string
	for _, x := range f.Tensors() {
		names = append(names, x.Name)
		x.Release()
	}
	require.Equal(t, []string{
		"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.attn_output.weight",
		"blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "output_norm.weight",
	}, names)

	var size int64
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		size += info.Size()
	}
	require.Equal(t, size, f.Size())
	require.NoError(t, f.Close())
	_, err = q.Data()
	require.ErrorIs(t, err, fs.ErrClosed)

	m, err := llama.Open(dir)
	require.NoError(t, err)
	require.Equal(t, 258, m.Config().Vocabulary)
	require.NoError(t, m.Close())
}

func TestOpenErrors(t *testing.T) {
	replace := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(strings.Replace(tinyConfig, old, new, 1)), 0o600))
		}
	}
	change := func(edit func(w *weights)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			w := tiny()
			edit(&w)
			w.write(t, filepath.Join(dir, "model.safetensors"))
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, name))) }
	}
	sharded := func(index string, shards map[string]weights) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "model.safetensors")))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte(index), 0o600))
			for name, w := range shards {
				w.write(t, filepath.Join(dir, name))
			}
		}
	}
	raw := func(data []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), data, 0o600))
		}
	}
	header := func(h string) []byte { return append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...) }
	norm := tiny()[9:10]

	for name, c := range map[string]struct {
		edit        func(t *testing.T, dir string)
		err         string
		unsupported bool
	}{
		"no config":        {remove("config.json"), `a folder is only a model if it has a config.json`, false},
		"no tokenizer":     {remove("tokenizer.json"), `there is no tokenizer.json; other tokenizers are not read`, false},
		"no weights":       {remove("model.safetensors"), `there is neither model.safetensors nor model.safetensors.index.json`, false},
		"architecture":     {replace("llama", "bert"), `config.json: "model_type": "bert" is not supported`, true},
		"end token":        {replace("257", "258"), `config.json: "eos_token_id": there is no token 258`, false},
		"no embedding":     {change(func(w *weights) { *w = (*w)[:10] }), `tensor "model.embed_tokens.weight" is missing`, false},
		"no output":        {replace("true", "false"), `tensor "lm_head.weight" is missing, and config.json does not tie it to the embedding`, false},
		"type":             {change(func(w *weights) { (*w)[0].DType, (*w)[0].Shape = safetensors.F64, []int{2, 4} }), `model.safetensors: tensor "model.layers.0.self_attn.q_proj.weight": elements of type F64 are not supported: only F32, F16 and BF16 are`, true},
		"dimensions":       {change(func(w *weights) { (*w)[1].Shape = []int{2, 2, 2} }), `shape [2 2 2] is not that of a matrix or a vector`, false},
		"scalar":           {change(func(w *weights) { (*w)[1].Shape, (*w)[1].Data = nil, make([]byte, 4) }), `shape [] is not that of a matrix or a vector`, false},
		"empty":            {change(func(w *weights) { (*w)[1].Shape, (*w)[1].Data = []int{0, 4}, []byte{} }), `shape [0 4] is not that of a matrix`, false},
		"rows of heads":    {change(func(w *weights) { (*w)[0].Shape = []int{1, 16} }), `1 rows are no heads of an even size 2`, false},
		"embedding":        {change(func(w *weights) { (*w)[10].Shape = []int{1032} }), `shape [1032] is not that of a matrix`, false},
		"rows to spare":    {change(func(w *weights) { (*w)[10].Shape, (*w)[10].Data = []int{70_000, 4}, make([]byte, 16*70_000) }), `the embedding has 70000 rows, the tokenizer only 257 tokens`, false},
		"unknown":          {change(func(w *weights) { w.add("model.layers.0.mlp.extra.weight", safetensors.F32, make([]byte, 4), 1) }), `tensor "model.layers.0.mlp.extra.weight": a tensor that models of this kind do not have: running without it is not supported`, true},
		"unknown suffix":   {change(func(w *weights) { w.add("model.layers.0.mlp.up_proj.qweight", safetensors.F32, make([]byte, 4), 1) }), `a tensor that models of this kind do not have`, true},
		"block":            {change(func(w *weights) { w.add("model.layers.1.mlp.up_proj.weight", safetensors.F32, make([]byte, 4), 1) }), `tensor "model.layers.1.mlp.up_proj.weight": block 1 of a model of 1 blocks`, false},
		"block number":     {change(func(w *weights) { w.add("model.layers.00.mlp.up_proj.weight", safetensors.F32, make([]byte, 4), 1) }), `a tensor that models of this kind do not have`, true},
		"missing shard":    {sharded(`{"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}`, nil), `model-00001-of-00001.safetensors: no such file`, false},
		"missing tensor":   {sharded(`{"weight_map": {"model.norm.weight": "a.safetensors", "b": "a.safetensors"}}`, map[string]weights{"a.safetensors": norm}), `a.safetensors: tensor "b" is missing, which model.safetensors.index.json promises`, false},
		"further tensor":   {sharded(`{"weight_map": {"b": "a.safetensors"}}`, map[string]weights{"a.safetensors": norm}), `a.safetensors: tensor "model.norm.weight" is there, but not in model.safetensors.index.json`, false},
		"outside":          {sharded(`{"weight_map": {"b": "../a.safetensors"}}`, nil), `"../a.safetensors", which is not the name`, false},
		"no safetensors":   {raw([]byte("version https://git-lfs.github.com/spec/v1\n")), `model.safetensors`, false},
		"gigantic header":  {raw(binary.LittleEndian.AppendUint64(nil, 1<<62)), `a header of 4611686018427387904 bytes is longer than 100000000`, false},
		"header and no":    {raw(binary.LittleEndian.AppendUint64(nil, 99_000_000)), `the header of 99000000 bytes is longer than the file of 8`, false},
		"past the file":    {raw(header(`{"model.norm.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`)), `tensor "model.norm.weight" is at bytes 0 to 16 of 0`, false},
		"shape and offset": {raw(append(header(`{"model.norm.weight":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}`), make([]byte, 16)...)), `needs 20 bytes, but has 16`, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tinyFolder(t)
			c.edit(t, dir)
			_, err := hf.Open(dir)
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, dir)
			_, err = llama.Open(dir)
			if c.unsupported {
				require.ErrorIs(t, err, llama.ErrUnsupported)
			} else {
				require.NotErrorIs(t, err, llama.ErrUnsupported)
			}
		})
	}
}

// Experts must all be there and alike.
func TestExpertErrors(t *testing.T) {
	const name = "model.layers.0.block_sparse_moe.experts.%d.w1.weight"
	expert := func(w *weights, e, rows int) {
		w.add(fmt.Sprintf(name, e), safetensors.F32, make([]byte, 16*rows), rows, 4)
	}
	for what, c := range map[string]struct {
		add func(w *weights)
		err string
	}{
		"gap":     {func(w *weights) { expert(w, 0, 3); expert(w, 2, 3) }, `experts.0.w1.weight": there are 2 experts, but none with number 1`},
		"no zero": {func(w *weights) { expert(w, 1, 3) }, `experts.1.w1.weight": there is no expert 0 beside it`},
		"unlike":  {func(w *weights) { expert(w, 0, 3); expert(w, 1, 2) }, `experts.1.w1.weight": type F32 and shape [2 4], but "model.layers.0.block_sparse_moe.experts.0.w1.weight" has type F32 and shape [3 4]`},
		"many":    {func(w *weights) { expert(w, 5000, 1) }, `a tensor that models of this kind do not have`},
		"vector": {func(w *weights) { w.add(fmt.Sprintf(name, 0), safetensors.F32, make([]byte, 4), 1) },
			`experts.0.w1.weight": shape [1] is not that of a matrix`},
	} {
		t.Run(what, func(t *testing.T) {
			dir := tinyFolder(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(strings.Replace(tinyConfig, `"llama"`,
				`"mixtral", "num_local_experts": 2, "num_experts_per_tok": 1`, 1)), 0o600))
			w := slices.DeleteFunc(tiny(), func(x safetensors.Tensor) bool { return strings.Contains(x.Name, ".mlp.") })
			c.add(&w)
			w.write(t, filepath.Join(dir, "model.safetensors"))
			_, err := hf.Open(dir)
			require.ErrorContains(t, err, c.err)
		})
	}
}

// shared gives a path of the test material beside the repository.
func shared(t *testing.T, parts ...string) string {
	path := filepath.Join(append([]string{"..", "..", "..", "shared"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("there is no shared test material")
	}
	return path
}

// A zooModel is a GGUF file that another program wrote, and the settings of a
// config.json that mean the same.
var zoo = map[string]struct{ kind, settings string }{
	"llama":                     {"llama", ``},
	"llama-tied-ropescaled-mqa": {"", ``}, // its factors are not those of any setting
	"llama-moe":                 {"mixtral", `"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": null, "rope_theta": 10000`},
	"qwen2":                     {"qwen2", `"rope_theta": 1e6`},
	"qwen3":                     {"qwen3", `"rope_theta": 1e6`},
	"qwen3moe":                  {"qwen3_moe", `"rope_theta": 1e6, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "norm_topk_prob": true`},
	"gemma2":                    {"gemma2", `"sliding_window": 8, "query_pre_attn_scalar": 32`},
	"gemma3":                    {"gemma3_text", `"sliding_window": 8, "query_pre_attn_scalar": 32`},
	"fused-qkv":                 {"phi3", ``},
	"smollm3":                   {"smollm3", `"rope_theta": 5e6`},
	"granite":                   {"granite", `"logits_scaling": 8, "residual_multiplier": 0.22, "embedding_multiplier": 12, "attention_multiplier": 0.015625`},
	"olmo2":                     {"olmo2", ``},
}

// Models that another program wrote as GGUF files, taken apart into folders: Open
// gives the same metadata and the same tensors again, and Convert the bytes.
func TestZoo(t *testing.T) {
	for name, c := range zoo {
		if c.kind == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			want, err := gguf.Open(shared(t, "models", "zoo", name+"-f32.gguf"))
			require.NoError(t, err)
			defer want.Close()
			dir := filepath.Join(t.TempDir(), name)
			takeApart(t, want, dir, c.kind, c.settings)
			got, err := hf.Open(dir)
			require.NoError(t, err)
			defer got.Close()
			compare(t, want, got)

			path := filepath.Join(dir, "out.gguf")
			out, err := os.Create(path)
			require.NoError(t, err)
			require.NoError(t, hf.Convert(t.Context(), out, got, hf.ConvertOptions{Type: tensor.F32}))
			require.NoError(t, out.Close())
			converted, err := gguf.Open(path)
			require.NoError(t, err)
			defer converted.Close()
			compare(t, want, converted)
			require.NoError(t, llama.Check(converted))
		})
	}
}

// compare compares metadata and tensors, whatever their order. Files may have
// more keys than want.
func compare(t *testing.T, want, got *gguf.File) {
	for _, key := range want.Keys() {
		w, _ := want.Get(key)
		g, ok := got.Get(key)
		require.True(t, ok, key)
		require.Equal(t, w.Type(), g.Type(), key)
		require.True(t, w == g, "%s: %v, want %v", key, g, w)
	}
	require.Len(t, got.Tensors(), len(want.Tensors()))
	for _, w := range want.Tensors() {
		g, ok := got.Tensor(w.Name)
		require.True(t, ok, w.Name)
		require.Equal(t, w.Dims, g.Dims, w.Name)
		require.Equal(t, w.Type, g.Type, w.Name)
		wd, err := w.Data()
		require.NoError(t, err)
		gd, err := g.Data()
		require.NoError(t, err)
		require.True(t, bytes.Equal(wd, gd), w.Name)
		// And in pieces.
		var pieces []byte
		for from := 0; from < g.Rows(); from += 7 {
			b, err := g.ReadRows(from, min(from+7, g.Rows()))
			require.NoError(t, err)
			pieces = append(pieces, b...)
		}
		require.True(t, bytes.Equal(wd, pieces), w.Name)
	}
}

// takeApart writes a GGUF file in float32 as a folder. It is the way back from
// package hf, written from the other side.
func takeApart(t *testing.T, f *gguf.File, dir, kind, settings string) {
	arch, err := f.String("general.architecture")
	require.NoError(t, err)
	count := func(key string) int {
		n, err := f.Uint(arch + "." + key)
		require.NoError(t, err)
		return int(n)
	}
	eps, err := f.Float(arch + ".attention.layer_norm_rms_epsilon")
	require.NoError(t, err)
	_, separate := f.Tensor("output.weight")
	config := fmt.Sprintf(`{"model_type": %q, "hidden_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
		"head_dim": %d, "intermediate_size": %d, "max_position_embeddings": %d, "rms_norm_eps": %v, "tie_word_embeddings": %v`, kind,
		count("embedding_length"), count("block_count"), count("attention.head_count"), count("attention.head_count_kv"),
		count("attention.key_length"), count("feed_forward_length"), count("context_length"), eps, !separate)
	if settings != "" {
		config += ", " + settings
	}
	require.True(t, json.Valid([]byte(config+"}")), config)
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config+"}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{}"), 0o600))
	var kvs []gguf.KV
	for _, key := range f.Keys() {
		if strings.HasPrefix(key, "tokenizer.") {
			v, _ := f.Get(key)
			kvs = append(kvs, gguf.KV{Key: key, Value: v})
		}
	}
	t.Cleanup(hf.SetTokenizer(kvs))

	interleaved := slices.Contains([]string{"llama", "smollm3", "granite"}, arch)
	gemma := strings.HasPrefix(arch, "gemma")
	layer := map[string]string{
		"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
		"attn_output": "self_attn.o_proj", "attn_qkv": "self_attn.qkv_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
		"ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
		"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
		"ffn_gate_inp": "mlp.gate", "ffn_gate_exps": "mlp.experts.%d.gate_proj", "ffn_up_exps": "mlp.experts.%d.up_proj", "ffn_down_exps": "mlp.experts.%d.down_proj",
	}
	if gemma {
		layer["ffn_norm"] = "pre_feedforward_layernorm"
	}
	if arch == "phi3" {
		layer["ffn_up"] = "mlp.gate_up_proj"
	}
	if kind == "mixtral" {
		layer["ffn_gate_inp"] = "block_sparse_moe.gate"
		layer["ffn_gate_exps"], layer["ffn_down_exps"], layer["ffn_up_exps"] =
			"block_sparse_moe.experts.%d.w1", "block_sparse_moe.experts.%d.w2", "block_sparse_moe.experts.%d.w3"
	}

	// Every third tensor goes into another file.
	shards := [2]weights{}
	index := map[string]string{}
	add := func(name string, data []byte, shape ...int) {
		s := len(index) % 3 / 2
		shards[s].add(name, safetensors.F32, data, shape...)
		index[name] = fmt.Sprintf("model-%05d-of-00002.safetensors", s+1)
	}
	for _, x := range f.Tensors() {
		data, err := x.Data()
		require.NoError(t, err)
		switch x.Name {
		case "token_embd.weight":
			add("model.embed_tokens.weight", data, x.Dims[1], x.Dims[0])
			continue
		case "output.weight":
			add("lm_head.weight", data, x.Dims[1], x.Dims[0])
			continue
		case "output_norm.weight":
			add("model.norm.weight", minusOne(data, gemma), x.Dims[0])
			continue
		}
		parts := strings.Split(x.Name, ".") // blk.0.attn_q.weight
		name := "model.layers." + parts[1] + "." + layer[parts[2]] + "." + parts[3]
		require.NotEmpty(t, layer[parts[2]], x.Name)
		switch {
		case len(x.Dims) == 3:
			each := len(data) / x.Dims[2]
			for e := range x.Dims[2] {
				add(fmt.Sprintf(name, e), data[e*each:(e+1)*each], x.Dims[1], x.Dims[0])
			}
		case len(x.Dims) == 1 && strings.HasSuffix(parts[2], "norm"):
			add(name, minusOne(data, gemma), x.Dims[0])
		case len(x.Dims) == 1:
			add(name, data, x.Dims[0])
		case interleaved && (parts[2] == "attn_q" || parts[2] == "attn_k"):
			// Even rows of a head come first.
			head, row := count("attention.key_length"), 4*x.Dims[0]
			var out []byte
			for h := 0; h < x.Dims[1]; h += head {
				for first := range 2 {
					for r := first; r < head; r += 2 {
						out = append(out, data[(h+r)*row:(h+r+1)*row]...)
					}
				}
			}
			add(name, out, x.Dims[1], x.Dims[0])
		default:
			add(name, data, x.Dims[1], x.Dims[0])
		}
	}
	for s, w := range shards {
		w.write(t, filepath.Join(dir, fmt.Sprintf("model-%05d-of-00002.safetensors", s+1)))
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": index})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), text, 0o600))
}

// minusOne takes one from each element, if asked to, so that adding one gives
// the element again.
func minusOne(data []byte, really bool) []byte {
	if !really {
		return data
	}
	out := slices.Clone(data)
	for i := 0; i < len(data); i += 4 {
		x := math.Float32frombits(binary.LittleEndian.Uint32(data[i:]))
		y := x - 1
		for range 4 { // rounding: look beside
			if y+1 == x {
				break
			}
			if y+1 < x {
				y = math.Nextafter32(y, float32(math.Inf(1)))
			} else {
				y = math.Nextafter32(y, float32(math.Inf(-1)))
			}
		}
		binary.LittleEndian.PutUint32(out[i:], math.Float32bits(y))
	}
	return out
}

func TestConvert(t *testing.T) {
	dir := tinyFolder(t)
	f, err := hf.Open(dir)
	require.NoError(t, err)
	defer f.Close()
	for typ, want := range map[tensor.Type]struct {
		matrix tensor.Type
		number string
	}{
		tensor.F32: {tensor.F32, "0"}, tensor.F16: {tensor.F16, "1"}, tensor.BF16: {tensor.BF16, "32"},
		tensor.Q8_0: {tensor.F16, "1"}, tensor.Q4_0: {tensor.F16, "1"}, // rows of 4 and 3 have no blocks of 32
	} {
		var b bytes.Buffer
		last := 0
		require.NoError(t, hf.Convert(t.Context(), &b, f, hf.ConvertOptions{Type: typ, Progress: func(done, total int) {
			require.True(t, last < done && done <= total)
			last = done
		}}))
		g, err := gguf.Parse(b.Bytes(), "out")
		require.NoError(t, err)
		for _, x := range g.Tensors() {
			if len(x.Dims) == 1 {
				require.Equal(t, tensor.F32, x.Type, x.Name)
			} else {
				require.Equal(t, want.matrix, x.Type, x.Name)
			}
			require.Zero(t, x.Offset()%32)
		}
		v, _ := g.Get("general.file_type")
		require.Equal(t, want.number, v.String())
		if typ == tensor.F16 {
			again := io.Discard
			require.NoError(t, hf.Convert(t.Context(), again, g, hf.ConvertOptions{Keep: true}), "a GGUF file will do")
			require.Equal(t, floats(t, f, "token_embd.weight"), floats(t, g, "token_embd.weight"), "small whole numbers")
		}
	}

	require.ErrorContains(t, hf.Convert(t.Context(), io.Discard, f, hf.ConvertOptions{Type: tensor.Q4_K}), "models are not converted to Q4_K")
}

func TestConvertErrors(t *testing.T) {
	dir := tinyFolder(t)
	w := tiny()
	big := w[10].Data.([]byte)
	binary.LittleEndian.PutUint32(big[4*5:], math.Float32bits(1e6))
	w.write(t, filepath.Join(dir, "model.safetensors"))
	f, err := hf.Open(dir)
	require.NoError(t, err)
	defer f.Close()
	err = hf.Convert(t.Context(), io.Discard, f, hf.ConvertOptions{Type: tensor.F16})
	require.ErrorContains(t, err, `tensor "token_embd.weight": rows from 0: tensor: element 5 is 1e+06: too large to be stored as F16`)
	require.NoError(t, hf.Convert(t.Context(), io.Discard, f, hf.ConvertOptions{Type: tensor.BF16}))

	g, err := gguf.Open(filepath.Join("..", "..", "testdata", "models", "quant-q4_0.gguf"))
	require.NoError(t, err)
	defer g.Close()
	require.ErrorContains(t, hf.Convert(t.Context(), io.Discard, g, hf.ConvertOptions{Type: tensor.F16}),
		`quant-q4_0.gguf: tensor "output.weight" is stored as Q4_0: converting that again would lose precision`)
}
