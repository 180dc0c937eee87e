package hf

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/llama/gguf"
)

// A family says how the models of a model_type map to those of a GGUF
// architecture. The zero value of a field means Llama's way. Settings are named
// as in config.json; their defaults are those of the classes in the library
// transformers, where published files rely on them.
type family struct {
	arch string // general.architecture

	// interleaved architectures turn neighbouring rows of queries and keys
	// together in GGUF files, and row i with i + d/2 in folders.
	interleaved bool
	normPlusOne bool // norms are stored as their difference from one
	tied        bool // default of tie_word_embeddings
	names       map[string]string

	act     string // the only activation, "silu" if empty
	kvHeads int    // default of num_key_value_heads; 0 means num_attention_heads
	headDim int    // default of head_dim; 0 means hidden_size / num_attention_heads
	theta   float64
	windows func(c *config) []bool // by block; nil where no block has one
	more    func(c *config)        // what else there is to read
}

var families = map[string]*family{
	"llama":     {arch: "llama", interleaved: true, theta: 10000, names: llamaNames},
	"mistral":   {arch: "llama", interleaved: true, theta: 10000, names: llamaNames, kvHeads: 8, windows: mistralWindows},
	"mixtral":   {arch: "llama", interleaved: true, theta: 1e6, names: mixtralNames, kvHeads: 8, windows: allWindows, more: mixtral},
	"qwen2":     {arch: "qwen2", theta: 10000, names: llamaNames, windows: optionalWindows},
	"qwen3":     {arch: "qwen3", theta: 10000, names: llamaNames, headDim: 128, windows: optionalWindows},
	"qwen3_moe": {arch: "qwen3moe", theta: 10000, names: qwenMoENames, kvHeads: 4, windows: optionalWindows, more: qwenMoE},
	"gemma2": {arch: "gemma2", normPlusOne: true, tied: true, names: gemmaNames, act: "gelu_pytorch_tanh",
		kvHeads: 4, headDim: 256, theta: 10000, windows: gemmaWindows, more: gemma2},
	"gemma3_text": {arch: "gemma3", normPlusOne: true, tied: true, names: gemmaNames, act: "gelu_pytorch_tanh",
		kvHeads: 4, headDim: 256, theta: 1e6, windows: gemmaWindows, more: gemma3},
	"phi3":    {arch: "phi3", theta: 10000, names: llamaNames, windows: allWindows},
	"smollm3": {arch: "smollm3", interleaved: true, tied: true, theta: 2e6, names: llamaNames, kvHeads: 4, windows: optionalWindows, more: smollm3},
	"granite": {arch: "granite", interleaved: true, theta: 10000, names: llamaNames, more: granite},
	"olmo2":   {arch: "olmo2", theta: 10000, names: olmoNames},
}

// Families lists the values of model_type that Open accepts, in alphabetical
// order; "gemma3", the one with images, is read for its text model.
func Families() []string {
	names := append(slices.Collect(maps.Keys(families)), "gemma3")
	slices.Sort(names)
	return names
}

// A config is a config.json on the way to metadata keys.
type config struct {
	*object
	arch    string
	outer   *object // where text_config lies in it, else the same
	wrapped bool    // the text model is part of another
	kvs     []gguf.KV

	blocks, heads, kvHeads, headDim int
	ropeFactors                     map[string][]float32 // by tensor name
}

// The most blocks and experts: far above any model, and few enough to make
// lists of them.
const (
	maxBlocks  = 1 << 12
	maxExperts = 1 << 12
)

func (c *config) set(key string, v gguf.Value) {
	c.kvs = append(c.kvs, gguf.KV{Key: c.arch + "." + key, Value: v})
}
func (c *config) setCount(key string, n int)      { c.set(key, gguf.Scalar(uint32(n))) }
func (c *config) setFloat(key string, v float64)  { c.set(key, gguf.Scalar(float32(v))) }
func (c *config) setString(key string, s string)  { c.set(key, gguf.Scalar(s)) }
func (c *config) setBool(key string, b bool)      { c.set(key, gguf.Scalar(b)) }
func (c *config) setBools(key string, all []bool) { c.set(key, gguf.Array(all)) }

// parseConfig reads a config.json. file names it in errors.
func parseConfig(file string, text []byte) (*config, *family, error) {
	o, err := parseObject(file, text)
	if err != nil {
		return nil, nil, err
	}
	c := &config{object: o, outer: o, ropeFactors: map[string][]float32{}}
	kind := o.text("model_type", "")
	if kind == "gemma3" {
		c.wrapped = true
		if c.object = o.object("text_config"); c.object == nil {
			o.missing("text_config")
			return nil, nil, *o.err
		}
		kind = c.text("model_type", "gemma3_text")
	}
	fam := families[kind]
	if fam == nil {
		o.fail("%q: %.99q is %w (supported: %s)", "model_type", kind, ErrUnsupported, strings.Join(Families(), ", "))
		return nil, nil, *o.err
	}
	c.arch = fam.arch
	c.read(fam)
	return c, fam, *o.err
}

func (c *config) read(fam *family) {
	for _, o := range []*object{c.outer, c.object} {
		if o.has("quantization_config") {
			o.fail("%q: quantised weights are %w", "quantization_config", ErrUnsupported)
		}
	}
	gemma3 := fam.arch == "gemma3"
	or := func(def int) int { // its published files state little
		if gemma3 {
			return def
		}
		return required
	}
	width := c.count("hidden_size", required)
	c.blocks = c.count("num_hidden_layers", required)
	c.heads = c.count("num_attention_heads", or(8))
	if *c.err == nil && (width < 1 || c.heads < 1 || c.blocks < 1 || c.blocks > maxBlocks) {
		c.fail("%d blocks of width %d with %d heads are no model", c.blocks, width, c.heads)
	}
	if *c.err != nil {
		return
	}
	kv := fam.kvHeads
	if kv == 0 || c.hasNull("num_key_value_heads") {
		kv = c.heads
	}
	c.kvHeads = c.count("num_key_value_heads", kv)
	dim := fam.headDim
	if dim == 0 {
		dim = width / c.heads
		if width%c.heads != 0 && !c.has("head_dim") {
			c.fail("%q: %d is no multiple of the %d heads, and there is no %q", "hidden_size", width, c.heads, "head_dim")
		}
	}
	c.headDim = c.count("head_dim", dim)

	c.setCount("context_length", c.count("max_position_embeddings", or(131072)))
	c.setCount("embedding_length", width)
	c.setCount("block_count", c.blocks)
	c.setCount("feed_forward_length", c.count("intermediate_size", required))
	c.setCount("attention.head_count", c.heads)
	c.setCount("attention.head_count_kv", c.kvHeads)
	eps := math.NaN()
	if gemma3 {
		eps = 1e-6
	}
	c.setFloat("attention.layer_norm_rms_epsilon", c.number("rms_norm_eps", eps))
	c.setCount("attention.key_length", c.headDim)
	c.setCount("attention.value_length", c.headDim)

	act := fam.act
	if act == "" {
		act = "silu"
	}
	key := "hidden_act"
	if fam.normPlusOne { // Gemma's; some of its files state another hidden_act, which does not count
		key = "hidden_activation"
	}
	if c.text(key, act) != act {
		c.unsupported(key)
	}
	if c.truth("use_bidirectional_attention", false) {
		c.unsupported("use_bidirectional_attention")
	}
	c.readRope(fam)
	c.readWindows(fam)
	if fam.more != nil {
		fam.more(c)
	}
}

// hasNull reports whether a key is null, which differs from a missing one where
// that has a default.
func (c *config) hasNull(key string) bool {
	_, ok := c.fields[key]
	return ok && !c.has(key)
}

// readRope reads base and scaling of the rotations, as rope_theta and
// rope_scaling or together as rope_parameters.
func (c *config) readRope(fam *family) {
	p := c.object.object("rope_parameters")
	theta := c.number("rope_theta", fam.theta)
	local := c.number("rope_local_base_freq", 10000)
	if p == nil {
		p = c.object.object("rope_scaling")
	}
	if p == nil {
		p = &object{file: c.file, err: c.err}
	}
	if fam.arch == "gemma3" && (p.has("full_attention") || p.has("sliding_attention")) {
		if s := p.object("sliding_attention"); s != nil {
			local = s.number("rope_theta", local)
			if s.text("rope_type", "default") != "default" {
				s.unsupported("rope_type")
			}
		}
		if p = p.object("full_attention"); p == nil {
			p = &object{file: c.file, err: c.err}
		}
	}
	theta = p.number("rope_theta", theta)

	partial := p.number("partial_rotary_factor", c.number("partial_rotary_factor", 1))
	if !(partial > 0 && partial <= 1) {
		c.fail("%q: %v is not between 0 and 1", "partial_rotary_factor", partial)
		return
	}
	dim := int(float64(c.headDim) * partial)
	if fam.interleaved && dim != c.headDim {
		c.fail("%q: rotating %d of %d dimensions is %w here", "partial_rotary_factor", dim, c.headDim, ErrUnsupported)
	}
	c.setCount("rope.dimension_count", dim)
	c.setFloat("rope.freq_base", theta)
	if fam.arch == "gemma3" && local != 10000 {
		c.setFloat("rope.freq_base_swa", local)
	}
	key := "rope_type"
	if !p.has(key) {
		key = "type"
	}
	switch kind := p.text(key, "default"); kind {
	case "default":
	case "linear":
		c.setString("rope.scaling.type", "linear")
		c.setFloat("rope.scaling.factor", p.number("factor", math.NaN()))
	case "llama3":
		c.llama3Rope(p, theta, dim)
	case "yarn":
		c.yarn(p)
	case "longrope", "su":
		c.longRope(p, fam, dim)
	default:
		p.unsupported(key)
	}
}

// llama3Rope makes the divisors of the frequencies that the scaling of Llama 3.1
// means: 1 for short wavelengths, the factor for long ones, and a transition in
// wavelengths between.
func (c *config) llama3Rope(p *object, theta float64, dim int) {
	factor, low, high := p.number("factor", math.NaN()), p.number("low_freq_factor", math.NaN()), p.number("high_freq_factor", math.NaN())
	context := float64(p.count("original_max_position_embeddings", required))
	if *c.err != nil {
		return
	}
	if !(factor > 0 && low > 0 && high > low && context > 0 && theta > 0) || dim > 1<<16 {
		p.fail("%q: factors %v, %v and %v with a context of %v are not possible", "rope_scaling", factor, low, high, context)
		return
	}
	divisors := make([]float32, dim/2)
	for i := range divisors {
		wavelength := 2 * math.Pi * math.Pow(theta, float64(2*i)/float64(dim))
		switch turns := context / wavelength; {
		case turns > high:
			divisors[i] = 1
		case turns < low:
			divisors[i] = float32(factor)
		default:
			smooth := (turns - low) / (high - low)
			divisors[i] = float32(1 / ((1-smooth)/factor + smooth))
		}
	}
	c.ropeFactors["rope_freqs.weight"] = divisors
}

// originalContext is what scalings of long contexts start from.
func (c *config) originalContext(p *object) int {
	return p.count("original_max_position_embeddings", c.count("original_max_position_embeddings", c.count("max_position_embeddings", required)))
}

func (c *config) yarn(p *object) {
	factor := p.number("factor", math.NaN())
	if *c.err == nil && !(factor >= 1) {
		p.fail("%q: a factor of %v is not possible", "rope_scaling", factor)
	}
	if !p.truth("truncate", true) {
		p.unsupported("truncate")
	}
	c.setString("rope.scaling.type", "yarn")
	c.setFloat("rope.scaling.factor", factor)
	c.setCount("rope.scaling.original_context_length", c.originalContext(p))
	for _, key := range []string{"beta_fast", "beta_slow"} {
		if p.has(key) {
			c.setFloat("rope.scaling.yarn_"+key, p.number(key, 0))
		}
	}
	// A GGUF file states a factor on the usual magnitude.
	magnitude := func(m float64) float64 { return 0.1*m*math.Log(factor) + 1 }
	want := magnitude(1)
	if p.number("mscale", 0) != 0 && p.number("mscale_all_dim", 0) != 0 {
		want = magnitude(p.number("mscale", 0)) / magnitude(p.number("mscale_all_dim", 0))
	}
	want = p.number("attention_factor", want)
	if further := want / magnitude(1); math.Abs(further-1) > 1e-6 && *c.err == nil {
		c.setFloat("rope.scaling.attn_factor", further)
	}
}

func (c *config) longRope(p *object, fam *family, dim int) {
	if fam.arch != "phi3" {
		p.fail("%q: %w here", "longrope", ErrUnsupported)
		return
	}
	full, original := c.count("max_position_embeddings", required), c.originalContext(p)
	for key, name := range map[string]string{"short_factor": "rope_factors_short.weight", "long_factor": "rope_factors_long.weight"} {
		var factors []float32
		if !p.decode(key, &factors, "a list of numbers") && *c.err == nil {
			p.missing(key)
		}
		if *c.err != nil {
			return
		}
		if len(factors) != dim/2 {
			p.fail("%q: %d factors for %d rotated dimensions", p.at+key, len(factors), dim)
			return
		}
		c.ropeFactors[name] = factors
	}
	magnitude := 1.0
	if full > original && original > 1 {
		magnitude = math.Sqrt(1 + math.Log(float64(full)/float64(original))/math.Log(float64(original)))
	}
	c.setString("rope.scaling.type", "longrope")
	c.setCount("rope.scaling.original_context_length", original)
	c.setFloat("rope.scaling.attn_factor", p.number("attention_factor", magnitude))
}

// readWindows reads which blocks have a sliding window. GGUF files name the
// pattern only where it is not the architecture's own.
func (c *config) readWindows(fam *family) {
	if fam.windows == nil || *c.err != nil {
		return
	}
	var windows []bool
	if c.has("layer_types") {
		var kinds []string
		c.decode("layer_types", &kinds, "a list of names")
		if *c.err == nil && len(kinds) != c.blocks {
			c.fail("%q: %d names for %d blocks", "layer_types", len(kinds), c.blocks)
		}
		for _, kind := range kinds {
			switch kind {
			case "full_attention", "sliding_attention":
				windows = append(windows, kind == "sliding_attention")
			default:
				c.fail("%q: %.99q is %w", "layer_types", kind, ErrUnsupported)
			}
		}
	} else {
		windows = fam.windows(c)
	}
	if *c.err != nil {
		return
	}
	gemma := fam.normPlusOne
	if !slices.Contains(windows, true) {
		if gemma { // which has a window unless a file says otherwise
			c.setCount("attention.sliding_window", 0)
		}
		return
	}
	def := required
	if gemma || fam.arch == "llama" {
		def = 4096
	}
	c.setCount("attention.sliding_window", c.count("sliding_window", def))
	own := map[string]int{"gemma2": 2, "gemma3": 6, "llama": c.blocks + 1, "phi3": c.blocks + 1}[fam.arch]
	for b, w := range windows {
		if own == 0 || w != ((b+1)%own != 0) {
			c.setBools("attention.sliding_window_pattern", windows)
			return
		}
	}
}

// every makes a list of windows in all blocks but each n-th.
func (c *config) every(n int) []bool {
	windows := make([]bool, c.blocks)
	for b := range windows {
		windows[b] = n == 0 || (b+1)%n != 0
	}
	return windows
}

func allWindows(c *config) []bool {
	if !c.has("sliding_window") {
		return nil
	}
	return c.every(0)
}

func mistralWindows(c *config) []bool {
	if c.hasNull("sliding_window") {
		return nil
	}
	return c.every(0) // also where the key is missing
}

func gemmaWindows(c *config) []bool {
	n := 2
	if c.arch == "gemma3" {
		n = c.count("sliding_window_pattern", 6)
		if n == 0 {
			c.unsupported("sliding_window_pattern")
		}
	}
	return c.every(n)
}

func optionalWindows(c *config) []bool {
	if !c.truth("use_sliding_window", false) || !c.has("sliding_window") {
		return nil
	}
	windows := make([]bool, c.blocks)
	if c.arch == "smollm3" { // in blocks that do not rotate
		for b := range windows {
			windows[b] = (b+1)%4 == 0
		}
		return windows
	}
	from := 0
	if c.arch != "qwen3moe" {
		from = c.count("max_window_layers", 28)
	}
	for b := range windows {
		windows[b] = b >= from
	}
	return windows
}

func (c *config) experts(count string) {
	n := c.count(count, required)
	if n > maxExperts {
		c.fail("%q: %d are more than %d", count, n, maxExperts)
	}
	c.setCount("expert_count", n)
	c.setCount("expert_used_count", c.count("num_experts_per_tok", required))
}

func mixtral(c *config) { c.experts("num_local_experts") }

func qwenMoE(c *config) {
	key := "num_experts"
	if !c.has(key) {
		key = "num_local_experts"
	}
	c.experts(key)
	c.setCount("expert_feed_forward_length", c.count("moe_intermediate_size", required))
	if !c.truth("norm_topk_prob", false) {
		c.setBool("expert_weights_norm", false)
	}
	var dense []int
	if c.decode("mlp_only_layers", &dense, "a list of numbers"); len(dense) > 0 {
		c.unsupported("mlp_only_layers")
	}
	if c.count("decoder_sparse_step", 1) != 1 {
		c.unsupported("decoder_sparse_step")
	}
}

// queryScale passes on what scores are divided by the root of.
func (c *config) queryScale(widthScaled int) {
	own := float64(c.headDim)
	if c.blocks == widthScaled { // what GGUF files of these sizes mean
		own = float64(c.count("hidden_size", required) / c.heads)
	}
	scalar := c.number("query_pre_attn_scalar", 256)
	if *c.err == nil && !(scalar > 0) {
		c.fail("%q: %v is not positive", "query_pre_attn_scalar", scalar)
	}
	if scalar != own {
		c.setFloat("attention.scale", 1/math.Sqrt(scalar))
	}
}

// softCaps passes on soft bounds, with the given defaults; null is none.
func (c *config) softCaps(attention, logits float64) {
	for _, x := range []struct {
		from, to string
		def      float64
	}{
		{"attn_logit_softcapping", "attn_logit_softcapping", attention},
		{"final_logit_softcapping", "final_logit_softcapping", logits},
	} {
		v := x.def
		if c.hasNull(x.from) {
			v = 0
		}
		if v = c.number(x.from, v); v != 0 || x.def != 0 {
			c.setFloat(x.to, v)
		}
	}
}

func gemma2(c *config) {
	c.softCaps(50, 30)
	c.queryScale(46)
}

func gemma3(c *config) {
	c.softCaps(0, 0)
	c.queryScale(62)
}

// smollm3 sees that rotations are left out where they are in GGUF files.
func smollm3(c *config) {
	every := c.count("no_rope_layer_interval", 4)
	var rotates []int
	if !c.decode("no_rope_layers", &rotates, "a list of numbers") {
		if every != 4 {
			c.unsupported("no_rope_layer_interval")
		}
		return
	}
	if len(rotates) != c.blocks {
		c.fail("%q: %d numbers for %d blocks", "no_rope_layers", len(rotates), c.blocks)
		return
	}
	for b, r := range rotates {
		if (r != 0) != ((b+1)%4 != 0) {
			c.fail("%q: another pattern than leaving out every fourth block is %w", "no_rope_layers", ErrUnsupported)
			return
		}
	}
}

func granite(c *config) {
	for _, x := range []struct{ from, to string }{
		{"logits_scaling", "logit_scale"}, {"residual_multiplier", "residual_scale"},
		{"embedding_multiplier", "embedding_scale"}, {"attention_multiplier", "attention.scale"},
	} {
		v := c.number(x.from, 1)
		if v == 0 { // which GGUF files use to say that there is none
			c.unsupported(x.from)
		}
		c.setFloat(x.to, v)
	}
}
