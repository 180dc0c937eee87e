package llama

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// ErrUnsupported is wrapped by the error of Open where a file is sound but
// needs something that limbic does not have: another architecture, another rope
// scaling.
var ErrUnsupported = errors.New("not supported")

// A Config is the shape of a model, as its file states it.
type Config struct {
	Architecture string // one of Architectures
	Name         string // general.name, may be empty
	Blocks       int    // number of transformer blocks
	Width        int    // width of the residual stream
	FeedForward  int    // width of the feed-forward layers, or of an expert
	Heads        int    // query heads
	KVHeads      int    // key-value heads; divides Heads
	HeadDim      int    // size of a head, even
	RopeDim      int    // rotated dimensions of a head, even, at most HeadDim
	Vocabulary   int    // rows of the output matrix

	// Context is the longest sequence that the model was trained for.
	// LongContext, where it is not 0, is a greater length to which "longrope"
	// scaling stretches that, with other rotations: RunnerOptions.Context asks
	// for it.
	Context, LongContext int

	// Experts is the number of feed-forward layers in each block from which the
	// router takes ExpertsUsed; 0 means one layer and no router.
	Experts, ExpertsUsed int

	// Window is how many positions blocks with a sliding window see, the
	// current one among them; 0 means that no block has one. See Windowed.
	Window int

	NormEpsilon float32 // added to the mean square in RMS norms

	// Rope is how queries and keys are rotated, LocalRope how they are in
	// blocks with a sliding window.
	Rope, LocalRope RopeConfig

	// Factors on the token embeddings, the attention scores, what attention and
	// feed-forward layers add to the stream, and the logits.
	EmbeddingScale, AttentionScale, ResidualScale, LogitScale float32

	// Soft bounds of the attention scores and the logits (see asm.SoftCap); 0
	// means none.
	AttentionCap, LogitCap float32

	arch     architecture
	windows  []bool // by block; nil where none has a window
	rotates  bool   // unless the file switches rotations off
	longrope bool   // frequencies have short and long factors
}

// A RopeConfig says how fast the pairs of a head's dimensions turn: see
// tensor.RopeOptions.
type RopeConfig struct {
	Base      float64     // base of the frequencies
	Scale     float64     // factor on the frequencies: 1, or 1/s for a scaling by s
	Magnitude float64     // factor on what is rotated, usually 1
	Yarn      tensor.Yarn // where Scale is that of YaRN
}

// Windowed reports whether a block sees only Window positions.
func (c *Config) Windowed(block int) bool { return c.windows != nil && c.windows[block] }

// rotated reports whether a block rotates queries and keys.
func (c *Config) rotated(block int) bool {
	n := c.arch.noRopeEvery
	return c.rotates && (n == 0 || (block+1)%n != 0)
}

// limits keep the products of sizes that a file claims far from overflow.
const (
	maxBlocks  = 1 << 12
	maxWidth   = 1 << 20
	maxExperts = 1 << 10
	maxCount   = 1<<31 - 1
)

// maxScale bounds factors to what float32 arithmetic can bear.
const maxScale = 1e6

// noModels are values of general.type of files that say an architecture and are
// no models by themselves.
var noModels = map[string]string{
	"adapter": "an adapter (LoRA) for a model",
	"mmproj":  "the part of a model that reads images or sound",
	"imatrix": "what helps to quantise a model",
}

// ConfigOf reads the shape of a model from the metadata of its file. Errors
// name the file and the key.
func ConfigOf(f *gguf.File) (Config, error) {
	arch, err := f.String("general.architecture")
	if err != nil {
		return Config{}, err
	}
	k := keys{file: f, arch: arch}
	if what, err := f.StringOr("general.type", "model"); err != nil {
		return Config{}, err
	} else if part, ok := noModels[what]; ok {
		return Config{}, k.errorf("key %q: the file holds %s, and no model: that is %w", "general.type", part, ErrUnsupported)
	}
	var known bool
	c := Config{Architecture: arch, rotates: true}
	if c.arch, known = architectures[arch]; !known {
		return Config{}, k.errorf("architecture %q is %w (supported: %s)", arch, ErrUnsupported, supportedArchitectures())
	}
	if c.Name, err = f.StringOr("general.name", ""); err != nil {
		return Config{}, err
	}
	c.read(&k)
	if k.err != nil {
		return Config{}, k.err
	}
	return c, nil
}

// read reads all that the file states; the first error stays in k.
func (c *Config) read(k *keys) {
	c.Blocks = k.size("block_count", required, maxBlocks)
	c.Width = k.size("embedding_length", required, maxWidth)
	c.FeedForward = k.size("feed_forward_length", required, maxWidth)
	c.Heads = k.size("attention.head_count", required, maxWidth)
	c.KVHeads = k.size("attention.head_count_kv", c.Heads, maxWidth)
	c.Context = k.size("context_length", required, maxCount)
	if k.err != nil {
		return
	}
	if c.Width%c.Heads != 0 && !k.has("attention.key_length") {
		k.fail("width %d is no multiple of the %d heads, and no head size is given", c.Width, c.Heads)
	}
	c.HeadDim = k.size("attention.key_length", max(c.Width/c.Heads, 1), maxWidth)
	value := k.size("attention.value_length", c.HeadDim, maxWidth)
	c.RopeDim = k.size("rope.dimension_count", c.HeadDim, maxWidth)
	c.NormEpsilon = float32(k.number("attention.layer_norm_rms_epsilon", math.NaN(), 0, 1))
	if k.err != nil {
		return
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		k.fail("%d heads are no multiple of %d key-value heads", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0 || c.RopeDim%2 != 0 || c.RopeDim > c.HeadDim:
		k.fail("head size %d with %d rotated dimensions: both must be even, the second at most the first", c.HeadDim, c.RopeDim)
	case value != c.HeadDim:
		k.fail("heads with keys of size %d and values of size %d are %w", c.HeadDim, value, ErrUnsupported)
	case c.Heads > maxWidth/c.HeadDim:
		k.fail("%d heads of size %d are too large", c.Heads, c.HeadDim)
	}
	c.readExperts(k)
	c.readScales(k)
	c.readRope(k)
	c.readWindows(k)
	k.checkNeutral(c.arch.scales)
}

func (c *Config) readExperts(k *keys) {
	c.Experts = k.whole("expert_count", 0, 0, maxExperts)
	if c.Experts > 0 && !c.arch.experts {
		k.fail("mixture of %d experts is %w for architecture %q", c.Experts, ErrUnsupported, k.arch)
	} else if c.Experts > 0 {
		c.ExpertsUsed = k.size("expert_used_count", required, c.Experts)
		c.FeedForward = k.size("expert_feed_forward_length", c.FeedForward, maxWidth)
	}
}

func (c *Config) readScales(k *keys) {
	c.EmbeddingScale, c.ResidualScale, c.LogitScale = 1, 1, 1
	scale := func(key string, def float64) float64 {
		// 0 in a file means that the factor is not used.
		v := k.number(key, 0, 0, maxScale)
		if v == 0 {
			return def
		}
		return k.number(key, def, 1/maxScale, maxScale)
	}
	if c.arch.scales {
		c.EmbeddingScale = float32(scale("embedding_scale", 1))
		c.ResidualScale = float32(scale("residual_scale", 1))
		c.LogitScale = float32(1 / scale("logit_scale", 1))
	}
	if c.arch.scaleEmbedding {
		c.EmbeddingScale = float32(math.Sqrt(float64(c.Width)))
	}
	size := c.HeadDim
	if c.arch.widthScaled == c.Blocks {
		size = max(c.Width/c.Heads, 1)
	}
	c.AttentionScale = float32(scale("attention.scale", 1/math.Sqrt(float64(size))))
	c.AttentionCap = float32(k.number("attn_logit_softcapping", c.arch.attentionCap, 0, maxScale))
	c.LogitCap = float32(k.number("final_logit_softcapping", c.arch.logitCap, 0, maxScale))
}

// The tensors of "longrope" scaling: divisors of the frequencies within the
// first context, and beyond.
const (
	shortFactors = "rope_factors_short.weight"
	longFactors  = "rope_factors_long.weight"
)

// readRope reads the rotary frequencies' base and scaling.
func (c *Config) readRope(k *keys) {
	c.Rope.Base = k.number("rope.freq_base", 10000, 1, math.MaxFloat32)
	// Older files give the linear factor without a type; 0 means none.
	factor := k.number("rope.scaling.factor", k.number("rope.scale_linear", 1, 0, math.MaxFloat32), 0, math.MaxFloat32)
	if factor == 0 && k.err == nil {
		k.fail("key %q: 0 is not a factor", k.arch+".rope.scaling.factor")
	}
	kind := k.text("rope.scaling.type", "linear")
	if _, ok := k.file.Tensor(longFactors); ok && kind == "linear" {
		kind = "longrope" // files of Phi 3 do not say so
	}
	context := k.size("rope.scaling.original_context_length", c.Context, maxCount)
	magnitude := k.number("rope.scaling.attn_factor", 0, 0, maxScale)
	fast, slow := k.number("rope.scaling.yarn_beta_fast", 32, 0, maxScale), k.number("rope.scaling.yarn_beta_slow", 1, 0, maxScale)
	if k.err != nil {
		return
	}
	c.Rope.Scale, c.Rope.Magnitude = 1, 1
	switch kind {
	case "none":
	case "linear":
		c.Rope.Scale = 1 / factor
	case "yarn":
		c.Rope.Scale = 1 / factor
		c.Rope.Yarn = tensor.Yarn{Context: context, Fast: fast, Slow: slow}
		c.Rope.Magnitude = tensor.YarnMagnitude(factor)
		// A further factor; but files of OLMo 3 state the magnitude itself.
		if magnitude != 0 && math.Abs(magnitude-c.Rope.Magnitude) > 1e-4 {
			c.Rope.Magnitude *= magnitude
		}
		magnitude = 0
		if slow == 0 || fast < slow || c.Rope.Base == 1 {
			k.fail("key %q: YaRN with betas %v and %v and a base of %v is not possible", k.arch+".rope.scaling.yarn_beta_fast", fast, slow, c.Rope.Base)
		}
	case "longrope":
		c.longrope = true
		c.Rope.Magnitude = tensor.LongRopeMagnitude(context, c.Context)
		if context < c.Context {
			c.Context, c.LongContext = context, c.Context
		}
	default:
		k.fail("key %q: rope scaling %q is %w (supported: none, linear, yarn, longrope)", k.arch+".rope.scaling.type", kind, ErrUnsupported)
	}
	if magnitude != 0 {
		c.Rope.Magnitude = magnitude
	}
	if c.arch.ropeSwitch {
		c.rotates = k.truth("rope.scaling.finetuned", true)
	}
	c.LocalRope = c.Rope
	if c.arch.localPlain {
		c.LocalRope = RopeConfig{Base: c.Rope.Base, Scale: 1, Magnitude: 1}
	}
	if c.arch.localBase != 0 {
		c.LocalRope.Base = c.arch.localBase
	}
	c.LocalRope.Base = k.number("rope.freq_base_swa", c.LocalRope.Base, 1, math.MaxFloat32)
	if k.err == nil && c.maxFrequency()*float64(max(c.Context, c.LongContext)) > maxAngle {
		k.fail("key %q: factor %v is too small for a context of %d", k.arch+".rope.scaling.factor", factor, max(c.Context, c.LongContext))
	}
}

// maxAngle is the largest rotary angle, in radians: up to it sines and cosines
// are exact enough, and alike everywhere.
const maxAngle = 1e9

// maxFrequency is the highest rotary frequency, but for factors from a tensor.
func (c *Config) maxFrequency() float64 { return max(1, c.Rope.Scale) }

// readWindows reads which blocks have a sliding window, and how wide it is.
func (c *Config) readWindows(k *keys) {
	c.Window = k.whole("attention.sliding_window", c.arch.window, 0, maxCount)
	if k.err != nil || c.Window == 0 {
		return
	}
	windows := make([]bool, c.Blocks)
	every := c.arch.globalEvery
	if k.has("attention.sliding_window_pattern") {
		key := k.arch + ".attention.sliding_window_pattern"
		if n, err := k.file.Uint(key); err == nil {
			every = int(min(n, noGlobal))
			if n == 0 {
				every = noGlobal
			}
		} else {
			every = 0
			if windows, err = k.file.Bools(key); err != nil || len(windows) != c.Blocks {
				k.fail("key %q: is neither a number nor a list of %d truth values", key, c.Blocks)
				return
			}
		}
	} else if every == 0 && c.Window < c.Context {
		k.fail("key %q: a sliding window of %d, without a word on which blocks have it, is %w for architecture %q",
			k.arch+".attention.sliding_window", c.Window, ErrUnsupported, k.arch)
		return
	}
	for b := range windows {
		if every > 0 {
			windows[b] = (b+1)%every != 0
		}
	}
	if slices.Contains(windows, true) {
		c.windows = windows
	} else {
		c.Window = 0
	}
}

// A keys reads the keys of an architecture and remembers the first error.
type keys struct {
	file *gguf.File
	arch string
	err  error
}

func (k *keys) errorf(format string, args ...any) error {
	return fmt.Errorf("llama: %s: %w", k.file.Path, fmt.Errorf(format, args...))
}

func (k *keys) fail(format string, args ...any) {
	if k.err == nil {
		k.err = k.errorf(format, args...)
	}
}

func (k *keys) has(key string) bool {
	_, ok := k.file.Get(k.arch + "." + key)
	return ok
}

// required is a default for what a file must state.
const required = -1

// size reads a positive whole number up to a limit.
func (k *keys) size(key string, def, limit int) int { return k.whole(key, def, 1, limit) }

// whole reads a whole number within limits.
func (k *keys) whole(key string, def, least, limit int) int {
	if k.err != nil {
		return least
	}
	key = k.arch + "." + key
	var v uint64
	if def == required {
		v, k.err = k.file.Uint(key)
	} else {
		v, k.err = k.file.UintOr(key, uint64(def))
	}
	if k.err == nil && (v < uint64(least) || v > uint64(limit)) {
		k.fail("key %q: %d is outside %d to %d", key, v, least, limit)
	}
	if k.err != nil {
		return least
	}
	return int(v)
}

// number reads a number of any type within limits. A default that is not a
// number stands for what a file must state.
func (k *keys) number(key string, def, least, most float64) float64 {
	if k.err != nil {
		return def
	}
	key = k.arch + "." + key
	v := def
	if _, ok := k.file.Get(key); ok || math.IsNaN(def) {
		if n, err := k.file.Int(key); err == nil {
			v = float64(n)
		} else if v, k.err = k.file.Float(key); k.err != nil {
			return def
		}
	}
	if !(v >= least && v <= most) {
		k.fail("key %q: %v is outside %v to %v", key, v, least, most)
		return least
	}
	return v
}

func (k *keys) text(key, def string) string {
	if k.err != nil {
		return def
	}
	var v string
	v, k.err = k.file.StringOr(k.arch+"."+key, def)
	return v
}

func (k *keys) truth(key string, def bool) bool {
	if k.err != nil {
		return def
	}
	var v bool
	v, k.err = k.file.BoolOr(k.arch+"."+key, def)
	return v
}

// neutral lists keys of computations that limbic does not have, with the values
// at which they do nothing.
var neutral = map[string][]float64{
	"attention.causal":                 {1},
	"attention.clamp_kqv":              {0},
	"attention.max_alibi_bias":         {0},
	"attention.temperature_scale":      {0},
	"embedding_scale":                  {0, 1},
	"residual_scale":                   {0, 1},
	"logit_scale":                      {0, 1},
	"use_parallel_residual":            {0},
	"expert_shared_count":              {0},
	"expert_group_count":               {0, 1},
	"expert_gating_func":               {0, 1}, // a softmax
	"expert_weights_norm":              {1},
	"expert_weights_scale":             {0, 1},
	"leading_dense_block_count":        {0},
	"interleave_moe_layer_step":        {0, 1},
	"nextn_predict_layers":             {0},
	"rope.scaling.yarn_ext_factor":     {1},
	"rope.scaling.yarn_attn_factor":    {1},
	"rope.scaling.yarn_log_multiplier": {0},
}

// checkNeutral refuses a file that asks for what the forward pass would
// silently leave out.
func (k *keys) checkNeutral(scales bool) {
	for _, key := range slices.Sorted(maps.Keys(neutral)) {
		if !k.has(key) || scales && slices.Contains([]string{"embedding_scale", "residual_scale", "logit_scale"}, key) {
			continue
		}
		full := k.arch + "." + key
		var v float64
		if b, err := k.file.Bool(full); err != nil {
			v = k.number(key, 0, -math.MaxFloat64, math.MaxFloat64)
		} else if b {
			v = 1
		}
		if !slices.Contains(neutral[key], v) {
			k.fail("key %q: %v is %w for architecture %q", full, v, ErrUnsupported, k.arch)
		}
	}
}
