package tensor

// A Rope holds the rotations of rotary position embeddings (Su et al.,
// "RoFormer", 2021): for each position and each pair of dimensions the cosine
// and the sine of position x frequency. It is extended as positions are
// needed.
type Rope struct {
	freqs    []float64 // one a pair of dimensions, radians per position
	cos, sin []float32 // [position][pair]
}

// NewRope makes the rotations of dim dimensions (dim/2 pairs): pair i turns by
// base^(-2i/dim) * scale / factors[i] radians a position. factors may be nil.
// The frequencies and angles are computed in float64 by this package's own
// functions, so that they are the same on every machine.
func NewRope(dim int, base, scale float64, factors []float32) *Rope {
	r := &Rope{freqs: make([]float64, dim/2)}
	lnBase := log(base)
	for i := range r.freqs {
		f := exp(-float64(float64(2*i)/float64(dim)*lnBase)) * scale
		if factors != nil {
			f /= float64(factors[i])
		}
		r.freqs[i] = f
	}
	return r
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
			r.sin = append(r.sin, float32(sin))
			r.cos = append(r.cos, float32(cos))
		}
	}
}

// RotatePairs turns the dimension pairs (2i, 2i+1) of one head's vector x to
// position pos, which Extend has prepared. Dimensions beyond the rotated ones
// stay as they are.
func (r *Rope) RotatePairs(x []float32, pos int) {
	n := len(r.freqs)
	cos, sin := r.cos[pos*n:][:n], r.sin[pos*n:][:n]
	for i, c := range cos {
		s := sin[i]
		a, b := x[2*i], x[2*i+1]
		x[2*i] = float32(a*c) - float32(b*s)
		x[2*i+1] = float32(a*s) + float32(b*c)
	}
}
