package llama

import (
	"errors"
	"fmt"
	"math"

	"github.com/limbic-go/limbic/llama/gguf"
)

// ErrUnsupported is wrapped by the error of Open where a file is sound but
// needs something that limbic does not have: another architecture, a rope
// scaling, mixtures of experts.
var ErrUnsupported = errors.New("not supported")

// A Config is the shape of a model, as its file states it.
type Config struct {
	Architecture string // "llama"
	Name         string // general.name, may be empty
	Blocks       int    // number of transformer blocks
	Width        int    // width of the residual stream
	FeedForward  int    // width of the feed-forward layers
	Heads        int    // query heads
	KVHeads      int    // key-value heads; divides Heads
	HeadDim      int    // size of a head, even
	RopeDim      int    // rotated dimensions of a head, even, at most HeadDim
	Context      int    // longest sequence the model was trained for
	Vocabulary   int    // rows of the output matrix

	NormEpsilon float32 // added to the mean square in RMS norms
	RopeBase    float64 // base of the rotary frequencies
	RopeScale   float64 // factor on the rotary frequencies: 1, or 1/s for linear scaling by s
}

// architectures lists what Forward can run. An architecture is data and a few
// switches; the forward pass is one.
var architectures = map[string]bool{"llama": true}

// limits keep the products of sizes that a file claims far from overflow.
const (
	maxBlocks = 1 << 12
	maxWidth  = 1 << 20
	maxCount  = 1 << 31
)

// ConfigOf reads the shape of a model from the metadata of its file. Errors
// name the file and the key.
func ConfigOf(f *gguf.File) (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("llama: %s: %w", f.Path, fmt.Errorf(format, args...))
	}
	arch, err := f.String("general.architecture")
	if err != nil {
		return Config{}, err
	}
	if !architectures[arch] {
		return fail("architecture %q is %w (supported: llama)", arch, ErrUnsupported)
	}
	c := Config{Architecture: arch}
	if c.Name, err = f.StringOr("general.name", ""); err != nil {
		return Config{}, err
	}
	size := func(key string, def int, limit uint64) int {
		if err != nil {
			return 0
		}
		var v uint64
		if def < 0 {
			v, err = f.Uint(arch + "." + key)
		} else {
			v, err = f.UintOr(arch+"."+key, uint64(def))
		}
		if err == nil && (v == 0 || v > limit) {
			err = fmt.Errorf("llama: %s: key %q: %d is outside 1 to %d", f.Path, arch+"."+key, v, limit)
		}
		return int(v)
	}
	c.Blocks = size("block_count", -1, maxBlocks)
	c.Width = size("embedding_length", -1, maxWidth)
	c.FeedForward = size("feed_forward_length", -1, maxWidth)
	c.Heads = size("attention.head_count", -1, maxWidth)
	c.KVHeads = size("attention.head_count_kv", c.Heads, maxWidth)
	c.Context = size("context_length", -1, maxCount)
	if err != nil {
		return Config{}, err
	}
	if c.Width%c.Heads != 0 {
		if _, ok := f.Get(arch + ".attention.key_length"); !ok {
			return fail("width %d is no multiple of the %d heads, and no head size is given", c.Width, c.Heads)
		}
	}
	c.HeadDim = size("attention.key_length", max(c.Width/c.Heads, 1), maxWidth)
	value := size("attention.value_length", c.HeadDim, maxWidth)
	c.RopeDim = size("rope.dimension_count", c.HeadDim, maxWidth)
	if err != nil {
		return Config{}, err
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fail("%d heads are no multiple of %d key-value heads", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0 || c.RopeDim%2 != 0 || c.RopeDim > c.HeadDim:
		return fail("head size %d with %d rotated dimensions: both must be even, the second at most the first", c.HeadDim, c.RopeDim)
	case value != c.HeadDim:
		return fail("heads with keys of size %d and values of size %d are %w", c.HeadDim, value, ErrUnsupported)
	case c.Heads > maxWidth/c.HeadDim:
		return fail("%d heads of size %d are too large", c.Heads, c.HeadDim)
	}
	if experts, err := f.UintOr(arch+".expert_count", 0); err != nil {
		return Config{}, err
	} else if experts > 0 {
		return fail("mixture of %d experts is %w", experts, ErrUnsupported)
	}
	eps, err := f.Float(arch + ".attention.layer_norm_rms_epsilon")
	if err != nil {
		return Config{}, err
	}
	if !(eps >= 0 && eps < 1) {
		return fail("key %q: epsilon %v is outside 0 to 1", arch+".attention.layer_norm_rms_epsilon", eps)
	}
	c.NormEpsilon = float32(eps)
	return c, c.readRope(f)
}

// readRope reads the rotary frequencies' base and scaling.
func (c *Config) readRope(f *gguf.File) error {
	key := c.Architecture + ".rope."
	var err error
	if c.RopeBase, err = f.FloatOr(key+"freq_base", 10000); err != nil {
		return err
	}
	if !(c.RopeBase >= 1 && c.RopeBase < math.MaxFloat32) {
		return fmt.Errorf("llama: %s: key %q: base %v is outside 1 to 3e38", f.Path, key+"freq_base", c.RopeBase)
	}
	// Older files give the linear factor without a type.
	scale, err := f.FloatOr(key+"scale_linear", 1)
	if err != nil {
		return err
	}
	kind, err := f.StringOr(key+"scaling.type", "linear")
	if err != nil {
		return err
	}
	switch kind {
	case "none":
		scale = 1
	case "linear":
		if scale, err = f.FloatOr(key+"scaling.factor", scale); err != nil {
			return err
		}
	default:
		return fmt.Errorf("llama: %s: key %q: rope scaling %q is %w", f.Path, key+"scaling.type", kind, ErrUnsupported)
	}
	if !(scale > 0 && scale < math.MaxFloat32) {
		return fmt.Errorf("llama: %s: key %q: factor %v is not positive", f.Path, key+"scaling.factor", scale)
	}
	c.RopeScale = 1 / scale
	if float64(c.Context)*c.RopeScale > maxAngle {
		return fmt.Errorf("llama: %s: key %q: factor %v is too small for a context of %d", f.Path, key+"scaling.factor", scale, c.Context)
	}
	return nil
}

// scoreScale is the factor on attention scores: 1/√(head size).
func (c *Config) scoreScale() float32 { return float32(1 / math.Sqrt(float64(c.HeadDim))) }
