package hf

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// configText has what every config.json has; fields are added or replaced, and
// removed where they have no value.
func configText(kind string, fields ...string) string {
	all := map[string]string{
		"model_type": `"` + kind + `"`, "hidden_size": "64", "num_hidden_layers": "6", "num_attention_heads": "4", "num_key_value_heads": "2",
		"intermediate_size": "96", "max_position_embeddings": "256", "rms_norm_eps": "0.5", "head_dim": "16",
	}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		if value == "" {
			delete(all, key)
			continue
		}
		all[key] = value
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, `"`+key+`": `+all[key])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// What settings of config.json mean in a GGUF file. Keys are without their
// architecture; values as gguf.Value prints them; "-" is a key that is not there.
func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"sizes": {configText("llama"),
			"context_length=256 embedding_length=64 block_count=6 feed_forward_length=96 attention.head_count=4 attention.head_count_kv=2 " +
				"attention.layer_norm_rms_epsilon=0.5 attention.key_length=16 attention.value_length=16 rope.dimension_count=16 rope.freq_base=10000 " +
				"rope.scaling.type=- attention.sliding_window=-"},
		"as many key-value heads as heads": {configText("llama", "num_key_value_heads"), "attention.head_count_kv=4"},
		"null is a default":                {configText("mistral", "num_key_value_heads=null"), "attention.head_count_kv=4"},
		"the class has a default":          {configText("mistral", "num_key_value_heads"), "attention.head_count_kv=8"},
		"head size follows":                {configText("llama", "head_dim", "hidden_size=128"), "attention.key_length=32 rope.dimension_count=32"},
		"head size of its own":             {configText("qwen3", "head_dim", "hidden_size=128"), "attention.key_length=128"},

		"base":                {configText("llama", "rope_theta=5e5"), "rope.freq_base=500000"},
		"base, as of 5":       {configText("llama", `rope_parameters={"rope_theta": 5e5, "rope_type": "default"}`), "rope.freq_base=500000 rope.scaling.type=-"},
		"linear":              {configText("llama", `rope_scaling={"type": "linear", "factor": 4.0}`), `rope.scaling.type="linear" rope.scaling.factor=4`},
		"partial":             {configText("phi3", "partial_rotary_factor=0.75"), "rope.dimension_count=12"},
		"yarn":                {configText("qwen2", `rope_scaling={"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64}`), `rope.scaling.type="yarn" rope.scaling.factor=4 rope.scaling.original_context_length=64 rope.scaling.attn_factor=-`},
		"yarn with all":       {configText("qwen2", `rope_scaling={"rope_type": "yarn", "factor": 4, "beta_fast": 16, "beta_slow": 2, "attention_factor": 1}`), `rope.scaling.original_context_length=256 rope.scaling.yarn_beta_fast=16 rope.scaling.yarn_beta_slow=2 rope.scaling.attn_factor=0.8782489`},
		"yarn, usual":         {configText("qwen2", `rope_scaling={"rope_type": "yarn", "factor": 4, "attention_factor": 1.1386294361119891}`), `rope.scaling.attn_factor=-`},
		"yarn, equal mscales": {configText("qwen2", `rope_scaling={"rope_type": "yarn", "factor": 4, "mscale": 0.7, "mscale_all_dim": 0.7}`), `rope.scaling.attn_factor=0.8782489`},
		"longrope": {configText("phi3", "original_max_position_embeddings=64", `rope_scaling={"type": "su", "short_factor": [1,1,1,1,1,1,1,1], "long_factor": [1,2,3,4,5,6,7,8]}`),
			`rope.scaling.type="longrope" rope.scaling.original_context_length=64 rope.scaling.attn_factor=1.1547005`},

		"no window":                   {configText("mistral", "sliding_window=null"), "attention.sliding_window=-"},
		"window everywhere":           {configText("mistral", "sliding_window=8"), "attention.sliding_window=8 attention.sliding_window_pattern=-"},
		"a window unless null":        {configText("mistral"), "attention.sliding_window=4096"},
		"window switched off":         {configText("qwen2", "sliding_window=8", "use_sliding_window=false"), "attention.sliding_window=-"},
		"window in upper blocks":      {configText("qwen2", "sliding_window=8", "use_sliding_window=true", "max_window_layers=4"), "attention.sliding_window=8 attention.sliding_window_pattern=[false false false false true true]"},
		"windows by name":             {configText("qwen3", "sliding_window=8", "num_hidden_layers=2", `layer_types=["full_attention", "sliding_attention"]`), "attention.sliding_window=8 attention.sliding_window_pattern=[false true]"},
		"Gemma's alternate":           {configText("gemma2", "sliding_window=8"), "attention.sliding_window=8 attention.sliding_window_pattern=-"},
		"Gemma's without any":         {configText("gemma2", "num_hidden_layers=2", `layer_types=["full_attention", "full_attention"]`), "attention.sliding_window=0"},
		"Gemma 3 leaves out each 6th": {configText("gemma3_text"), "attention.sliding_window=4096 attention.sliding_window_pattern=-"},
		"or another":                  {configText("gemma3_text", "sliding_window_pattern=3"), "attention.sliding_window_pattern=[true true false true true false]"},

		"soft caps":         {configText("gemma2"), "attn_logit_softcapping=50 final_logit_softcapping=30"},
		"one soft cap":      {configText("gemma2", "attn_logit_softcapping=null", "final_logit_softcapping=20.0"), "attn_logit_softcapping=0 final_logit_softcapping=20"},
		"scale of scores":   {configText("gemma2"), "attention.scale=0.0625"},
		"usual scale":       {configText("gemma2", "query_pre_attn_scalar=16"), "attention.scale=-"},
		"local base":        {configText("gemma3_text", "rope_theta=1e6", "rope_local_base_freq=20000"), "rope.freq_base=1e+06 rope.freq_base_swa=20000"},
		"two bases":         {configText("gemma3_text", `rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 5e5}, "sliding_attention": {"rope_theta": 10000}}`), `rope.freq_base=500000 rope.freq_base_swa=- rope.scaling.factor=8`},
		"text with images":  {`{"model_type": "gemma3", "text_config": {"hidden_size": 64, "num_hidden_layers": 6, "intermediate_size": 96}}`, "attention.head_count=8 attention.head_count_kv=4 attention.key_length=256 context_length=131072 rope.freq_base=1e+06"},
		"experts":           {configText("mixtral", "num_local_experts=8", "num_experts_per_tok=2"), "expert_count=8 expert_used_count=2"},
		"many experts":      {configText("qwen3_moe", "num_experts=16", "num_experts_per_tok=4", "moe_intermediate_size=24", "norm_topk_prob=true"), "expert_count=16 expert_used_count=4 expert_feed_forward_length=24 expert_weights_norm=-"},
		"weights as a sum":  {configText("qwen3_moe", "num_experts=16", "num_experts_per_tok=4", "moe_intermediate_size=24"), "expert_weights_norm=false"},
		"Granite's factors": {configText("granite", "embedding_multiplier=12", "attention_multiplier=0.015625", "logits_scaling=8", "residual_multiplier=0.25"), "embedding_scale=12 attention.scale=0.015625 logit_scale=8 residual_scale=0.25"},
		"or none":           {configText("granite"), "embedding_scale=1 attention.scale=1"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, fam, err := parseConfig("config.json", []byte(c.text))
			require.NoError(t, err)
			have := map[string]string{}
			for _, kv := range c2.kvs {
				key, ok := strings.CutPrefix(kv.Key, fam.arch+".")
				require.True(t, ok, kv.Key)
				require.NotContains(t, have, key, "twice")
				have[key] = kv.Value.String()
			}
			// Values with spaces are lists.
			for _, want := range strings.Fields(strings.NewReplacer("false ", "false,", "true ", "true,").Replace(c.want)) {
				key, value, _ := strings.Cut(want, "=")
				if value == "-" {
					require.NotContains(t, have, key)
					continue
				}
				require.Equal(t, strings.ReplaceAll(value, ",", " "), have[key], key)
			}
		})
	}
}

// The divisors of Llama 3.1, computed apart: 1 for wavelengths below 8192/4, 8
// above 8192, and 1/((1-s)/8 + s) between, for s from (8192/wavelength - 1)/3.
func TestLlama3Rope(t *testing.T) {
	c, _, err := parseConfig("config.json", []byte(configText("llama", "head_dim=128", "rope_theta=500000.0",
		`rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}`)))
	require.NoError(t, err)
	factors := c.ropeFactors["rope_freqs.weight"]
	require.Len(t, factors, 64)
	require.Equal(t, float32(1), factors[0])
	require.Equal(t, float32(1), factors[28]) // wavelength 1956
	for i, want := range map[int]float64{29: 1.2074839, 30: 1.5534146, 31: 2.0263132, 34: 5.2573266} {
		require.InEpsilon(t, want, factors[i], 1e-6, i)
	}
	require.Equal(t, float32(8), factors[35]) // wavelength 8219
	require.Equal(t, float32(8), factors[63])
	require.True(t, slices.IsSorted(factors))
}

func TestConfigErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text        string
		err         string
		unsupported bool
	}{
		"no JSON":            {`<html>`, `hf: config.json: not a JSON object`, false},
		"a list":             {`[1]`, `hf: config.json: not a JSON object`, false},
		"null":               {`null`, `hf: config.json: "model_type": "" is not supported (supported: gemma2, gemma3, gemma3_text, granite, llama, mistral, mixtral, olmo2, phi3, qwen2, qwen3, qwen3_moe, smollm3)`, true},
		"model_type":         {configText("gpt2"), `"model_type": "gpt2" is not supported`, true},
		"not a name":         {`{"model_type": 3}`, `"model_type": 3 is not a string`, false},
		"missing":            {configText("llama", "hidden_size"), `hf: config.json: "hidden_size" is missing`, false},
		"missing number":     {configText("llama", "rms_norm_eps"), `"rms_norm_eps" is missing`, false},
		"text":               {configText("llama", `hidden_size="64"`), `"hidden_size": "64" is not a whole number`, false},
		"fraction":           {configText("llama", "hidden_size=64.5"), `"hidden_size": 64.5 is not a whole number`, false},
		"negative":           {configText("llama", "hidden_size=-64"), `"hidden_size": -64 is not a count`, false},
		"large":              {configText("llama", "hidden_size=1e300"), `is not a whole number`, false},
		"larger than int32":  {configText("llama", "intermediate_size=4294967296"), `"intermediate_size": 4294967296 is not a count`, false},
		"no blocks":          {configText("llama", "num_hidden_layers=0"), `0 blocks of width 64 with 4 heads are no model`, false},
		"many blocks":        {configText("llama", "num_hidden_layers=5000"), `5000 blocks`, false},
		"no heads":           {configText("llama", "num_attention_heads=0"), `with 0 heads`, false},
		"heads":              {configText("llama", "num_attention_heads=5", "head_dim"), `"hidden_size": 64 is no multiple of the 5 heads, and there is no "head_dim"`, false},
		"quantised":          {configText("llama", `quantization_config={"quant_method": "gptq"}`), `"quantization_config": quantised weights are not supported`, true},
		"activation":         {configText("llama", `hidden_act="relu"`), `"hidden_act": "relu" is not supported`, true},
		"Gemma's activation": {configText("gemma2", `hidden_activation="silu"`), `"hidden_activation": "silu" is not supported`, true},
		"both ways":          {configText("gemma3_text", "use_bidirectional_attention=true"), `"use_bidirectional_attention": true is not supported`, true},
		"rope":               {configText("llama", `rope_scaling={"rope_type": "dynamic", "factor": 2}`), `"rope_scaling.rope_type": "dynamic" is not supported`, true},
		"rope is no object":  {configText("llama", `rope_scaling=[1]`), `"rope_scaling": [1] is not an object`, false},
		"linear factor":      {configText("llama", `rope_scaling={"type": "linear"}`), `"rope_scaling.factor" is missing`, false},
		"llama3 context":     {configText("llama", `rope_scaling={"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}`), `"rope_scaling.original_max_position_embeddings" is missing`, false},
		"llama3 factors":     {configText("llama", `rope_scaling={"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 8}`), `are not possible`, false},
		"yarn":               {configText("llama", `rope_scaling={"rope_type": "yarn", "factor": 0.5}`), `a factor of 0.5 is not possible`, false},
		"yarn untruncated":   {configText("llama", `rope_scaling={"rope_type": "yarn", "factor": 2, "truncate": false}`), `"rope_scaling.truncate": false is not supported`, true},
		"longrope":           {configText("llama", `rope_scaling={"rope_type": "longrope"}`), `"longrope": not supported here`, true},
		"no factors":         {configText("phi3", `rope_scaling={"rope_type": "longrope"}`), `_factor" is missing`, false},
		"few factors":        {configText("phi3", `rope_scaling={"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}`), `1 factors for 16 rotated dimensions`, false},
		"partial":            {configText("llama", "partial_rotary_factor=0.5"), `rotating 8 of 16 dimensions is not supported here`, true},
		"no part":            {configText("phi3", "partial_rotary_factor=-1"), `"partial_rotary_factor": -1 is not between 0 and 1`, false},
		"layer types":        {configText("qwen2", `layer_types=["full_attention"]`), `"layer_types": 1 names for 6 blocks`, false},
		"layer type":         {configText("qwen2", "num_hidden_layers=1", `layer_types=["chunked_attention"]`), `"layer_types": "chunked_attention" is not supported`, true},
		"no window":          {configText("qwen2", "num_hidden_layers=1", `layer_types=["sliding_attention"]`), `"sliding_window" is missing`, false},
		"pattern":            {configText("gemma3_text", "sliding_window_pattern=0"), `"sliding_window_pattern": 0 is not supported`, true},
		"no text":            {`{"model_type": "gemma3"}`, `"text_config" is missing`, false},
		"other text":         {`{"model_type": "gemma3", "text_config": {"model_type": "t5"}}`, `"model_type": "t5" is not supported`, true},
		"in the text":        {`{"model_type": "gemma3", "text_config": {"hidden_size": true}}`, `"text_config.hidden_size": true is not a whole number`, false},
		"dense blocks":       {configText("qwen3_moe", "num_experts=16", "num_experts_per_tok=4", "moe_intermediate_size=24", "mlp_only_layers=[0]"), `"mlp_only_layers": [0] is not supported`, true},
		"every other block":  {configText("qwen3_moe", "num_experts=16", "num_experts_per_tok=4", "moe_intermediate_size=24", "decoder_sparse_step=2"), `"decoder_sparse_step": 2 is not supported`, true},
		"many experts":       {configText("mixtral", "num_local_experts=100000", "num_experts_per_tok=2"), `"num_local_experts": 100000 are more than 4096`, false},
		"rotations":          {configText("smollm3", "no_rope_layers=[1,1,1,1,1,1]"), `another pattern than leaving out every fourth block is not supported`, true},
		"few rotations":      {configText("smollm3", "no_rope_layers=[1]"), `"no_rope_layers": 1 numbers for 6 blocks`, false},
		"rotation interval":  {configText("smollm3", "no_rope_layer_interval=2"), `"no_rope_layer_interval": 2 is not supported`, true},
		"no factor":          {configText("granite", "logits_scaling=0"), `"logits_scaling": 0 is not supported`, true},
		"query scalar":       {configText("gemma2", "query_pre_attn_scalar=0"), `"query_pre_attn_scalar": 0 is not positive`, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseConfig("config.json", []byte(c.text))
			require.ErrorContains(t, err, c.err)
			if c.unsupported {
				require.ErrorIs(t, err, ErrUnsupported)
			} else {
				require.NotErrorIs(t, err, ErrUnsupported)
			}
		})
	}
}

func TestIndexErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, err string }{
		"no JSON":     {`x`, `hf: index: invalid character`},
		"no map":      {`{"metadata": {}}`, `hf: index: there is no "weight_map"`},
		"not a name":  {`{"weight_map": {"a": 1}}`, `hf: index: json: cannot unmarshal number`},
		"parent":      {`{"weight_map": {"a": "../model.safetensors"}}`, `tensor "a" is said to be in "../model.safetensors", which is not the name of a .safetensors file in this folder`},
		"absolute":    {`{"weight_map": {"a": "/etc/model.safetensors"}}`, `which is not the name`},
		"folder":      {`{"weight_map": {"a": "x/model.safetensors"}}`, `which is not the name`},
		"backslash":   {`{"weight_map": {"a": "..\\model.safetensors"}}`, `which is not the name`},
		"drive":       {`{"weight_map": {"a": "C:model.safetensors"}}`, `which is not the name`},
		"other file":  {`{"weight_map": {"a": "passwd"}}`, `which is not the name`},
		"empty":       {`{"weight_map": {"a": ""}}`, `which is not the name`},
		"hostile key": {`{"weight_map": {"\u001b[2J": "x"}}`, `tensor "\x1b[2J" is said to be in "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseIndex("index", []byte(c.text))
			require.ErrorContains(t, err, c.err)
		})
	}
	names, byShard, err := parseIndex("index", []byte(`{"weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "1.safetensors"}}`))
	require.NoError(t, err)
	require.Equal(t, []string{"1.safetensors", "2.safetensors"}, names)
	require.Equal(t, map[string]bool{"a": true, "c": true}, byShard["1.safetensors"])
}

// A head of size 6 in a folder has the pairs 0 3, 1 4, 2 5, which lie together
// in a GGUF file.
func TestPermuted(t *testing.T) {
	var got []int
	for r := range 12 {
		got = append(got, permuted(r, 6))
	}
	require.Equal(t, []int{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}, got)
	require.Equal(t, 7, permuted(7, 0))
}

// FuzzConfig looks for a config.json and an index that make reading them panic.
func FuzzConfig(f *testing.F) {
	for _, kind := range Families() {
		f.Add([]byte(configText(kind)), []byte(`{"weight_map": {"a": "1.safetensors"}}`))
	}
	f.Add([]byte(configText("phi3", `rope_scaling={"type": "su", "short_factor": [1,1,1,1,1,1,1,1], "long_factor": [1,2,3,4,5,6,7,8]}`)), []byte(`{"weight_map": {"a": "../b"}}`))
	f.Add([]byte(configText("llama", `rope_scaling={"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}`)), []byte(`{}`))
	f.Add([]byte(`{"model_type": "gemma3", "text_config": {"hidden_size": 64, "num_hidden_layers": 6, "intermediate_size": 96}}`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, config, index []byte) {
		if c, _, err := parseConfig("config.json", config); err == nil {
			seen := map[string]bool{}
			for _, kv := range c.kvs {
				require.False(t, seen[kv.Key], "key %q twice", kv.Key)
				seen[kv.Key] = true
			}
		}
		if names, _, err := parseIndex("index", index); err == nil {
			for _, name := range names {
				require.NotContains(t, name, "/")
				require.NotContains(t, name, `\`)
				require.NotContains(t, []string{"", ".", ".."}, name)
			}
		}
	})
}
