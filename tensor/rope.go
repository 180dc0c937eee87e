package tensor

import (
	"math"

	"github.com/limbic-go/limbic/asm"
)

// RopeOptions say how a Rope turns.
type RopeOptions struct {
	// Dim is the number of rotated dimensions of a head, an even number; the
	// dimensions beyond stay as they are.
	Dim int
	// Halves pairs dimension i with i + Dim/2, as GPT-NeoX does, instead of
	// 2i with 2i+1.
	Halves bool
	// Base and Scale: pair i turns by Base^(-2i/Dim) * Scale radians a
	// position. A linear scaling by s is a Scale of 1/s. Base is at least 1.
	Base, Scale float64
	// Factors divide the frequencies, one a pair; nil means that none does.
	Factors []float32
	// Magnitude multiplies what is turned; 0 means 1.
	Magnitude float64
	// Yarn, where its Context is set, gives the scale to slow pairs only.
	Yarn Yarn
}

// Yarn is the "NTK-by-parts" interpolation of YaRN (Peng et al., "YaRN:
// Efficient Context Window Extension of Large Language Models", 2023, §3.2):
// pairs that turn more than Fast times within the context keep their
// frequency, those that turn fewer than Slow times are scaled, and between the
// two the share grows with the pair's index.
type Yarn struct {
	Context    int // the length that the model was trained for at first
	Fast, Slow float64
}

// A Rope holds the rotations of rotary position embeddings (Su et al.,
// "RoFormer", 2021): for each position and each pair of dimensions the cosine
// and the sine of position x frequency. It is extended as positions are
// needed.
type Rope struct {
	freqs     []float64 // one a pair of dimensions, radians per position
	cos, sin  []float32 // [position][pair]
	magnitude float64
	halves    bool
}

// NewRope makes the rotations. The frequencies and angles are computed in
// float64 by this package's own functions, so that they are the same on every
// machine.
func NewRope(o RopeOptions) *Rope {
	r := &Rope{freqs: make([]float64, o.Dim/2), magnitude: o.Magnitude, halves: o.Halves}
	if r.magnitude == 0 {
		r.magnitude = 1
	}
	lnBase := log(o.Base)
	low, high := o.ramp(lnBase)
	for i := range r.freqs {
		f := exp(-float64(float64(2*i) / float64(o.Dim) * lnBase))
		switch {
		case o.Yarn.Context == 0:
			f *= o.Scale
		default:
			scaled := min(max((float64(i)-low)/(high-low), 0), 1)
			f = float64(float64(f*o.Scale)*scaled) + float64(f*(1-scaled))
		}
		if o.Factors != nil {
			f /= float64(o.Factors[i])
		}
		r.freqs[i] = f
	}
	return r
}

// ramp gives the pairs between which YaRN goes over to the scaled frequencies.
func (o *RopeOptions) ramp(lnBase float64) (low, high float64) {
	if o.Yarn.Context == 0 {
		return 0, 1
	}
	// The pair that turns so many times within the context.
	pair := func(turns float64) float64 {
		return float64(float64(o.Dim)*log(float64(o.Yarn.Context)/float64(turns*2*math.Pi))) / float64(2*lnBase)
	}
	low = max(math.Floor(pair(o.Yarn.Fast)), 0)
	high = min(math.Ceil(pair(o.Yarn.Slow)), float64(o.Dim-1))
	return low, max(high, low+0.001)
}

// Extend prepares the positions below n.
func (r *Rope) Extend(n int) {
	pairs := len(r.freqs)
	if pairs == 0 {
		return
	}
	for pos := len(r.cos) / pairs; pos < n; pos++ {
		for _, f := range r.freqs {
			sin, cos := sincos(float64(float64(pos) * f)) // rounded, whatever is inlined
			r.sin = append(r.sin, float32(sin*r.magnitude))
			r.cos = append(r.cos, float32(cos*r.magnitude))
		}
	}
}

// Rotate turns the vectors of some heads, x[h*stride:], to position pos, which
// Extend has prepared.
func (r *Rope) Rotate(x []float32, stride, heads, pos int) {
	n := len(r.freqs)
	cos, sin := r.cos[pos*n:][:n], r.sin[pos*n:][:n]
	if r.halves {
		asm.RotateHalves(x, stride, heads, cos, sin)
	} else {
		asm.RotatePairs(x, stride, heads, cos, sin)
	}
}

// YarnMagnitude is the magnitude that YaRN gives to keys and queries stretched
// by a factor: 0.1 ln(factor) + 1, its equation 22, and 1 for factors below 1.
func YarnMagnitude(factor float64) float64 {
	if factor <= 1 {
		return 1
	}
	return float64(0.1*log(factor)) + 1
}

// LongRopeMagnitude is the magnitude that LongRoPE (Ding et al., "LongRoPE:
// Extending LLM Context Window Beyond 2 Million Tokens", 2024, as Phi 3 uses it)
// gives to keys and queries of a model whose context was stretched from so many
// positions to so many: √(1 + ln(to/from) / ln from), or 1 where it was not.
func LongRopeMagnitude(from, to int) float64 {
	if from <= 1 || to <= from {
		return 1
	}
	return math.Sqrt(1 + log(float64(to)/float64(from))/log(float64(from)))
}
