package probe

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/limbic-go/limbic/asm"
)

// ErrOverflow says that a sum left the range of a Fixed.
var ErrOverflow = errors.New("probe: a sum of activations overflows 2^63")

// A Fixed is an exact sum: a 128-bit two's complement number in units of
// 2⁻⁶⁴. Adding is associative and commutative, unlike float addition, so that
// sums can be formed in any order, in parts and on many machines, and end with
// the same bits.
//
// A float32 of at least 2⁻⁴¹ is represented exactly; a smaller one is rounded
// to the nearest unit, ties to even.
type Fixed struct {
	Hi, Lo uint64 // the number is Hi·2⁶⁴ + Lo units
}

// fixedOf converts a float32; ok is false for NaN, infinities and magnitudes
// of 2^63 and more.
func fixedOf(x float32) (f Fixed, ok bool) {
	b := math.Float32bits(x)
	exponent := int(b >> 23 & 0xff)
	mantissa := uint64(b & 0x7fffff)
	switch {
	case exponent >= 127+63:
		return Fixed{}, false
	case exponent > 0:
		mantissa |= 1 << 23
	default:
		exponent = 1
	}
	// x = mantissa · 2^(exponent-150), in units of 2^-64.
	switch shift := exponent - 150 + 64; {
	case shift >= 64:
		f.Hi = mantissa << (shift - 64)
	case shift >= 0:
		f.Hi, f.Lo = mantissa>>(64-shift), mantissa<<shift
	case shift > -26:
		f.Lo = mantissa >> -shift
		rest, half := mantissa&(1<<-shift-1), uint64(1)<<(-shift-1)
		if rest > half || rest == half && f.Lo&1 == 1 {
			f.Lo++
		}
	}
	if b>>31 == 1 {
		f = f.negated()
	}
	return f, true
}

func (f Fixed) negated() Fixed {
	lo, borrow := bits.Sub64(0, f.Lo, 0)
	hi, _ := bits.Sub64(0, f.Hi, borrow)
	return Fixed{hi, lo}
}

// Add adds a float32. It reports whether the result is in range; if not, f is
// unchanged.
func (f *Fixed) Add(x float32) bool {
	g, ok := fixedOf(x)
	return ok && f.AddFixed(g)
}

// AddFixed adds another sum. It reports whether the result is in range; if
// not, f is unchanged.
func (f *Fixed) AddFixed(g Fixed) bool {
	lo, carry := bits.Add64(f.Lo, g.Lo, 0)
	hi, _ := bits.Add64(f.Hi, g.Hi, carry)
	// Overflow: both operands have one sign and the sum the other.
	if (f.Hi^hi)&(g.Hi^hi)>>63 == 1 {
		return false
	}
	f.Hi, f.Lo = hi, lo
	return true
}

// Mean is f/n, rounded once to the nearest float64, ties to even. n must be
// positive.
func (f Fixed) Mean(n uint64) float64 {
	negative := f.Hi>>63 == 1
	if negative {
		f = f.negated()
	}
	if f.Hi == 0 && f.Lo == 0 {
		return 0
	}
	// With the leading bit of the dividend at the top, the quotient has at
	// least 64 significant bits.
	exponent := -64
	for f.Hi>>63 == 0 {
		shift := bits.LeadingZeros64(f.Hi)
		f.Hi = f.Hi<<shift | f.Lo>>(64-shift)
		f.Lo <<= shift
		exponent -= shift
	}
	qhi, rest := f.Hi/n, f.Hi%n
	qlo, rest := bits.Div64(rest, f.Lo, n)
	if qhi == 0 {
		qhi, qlo = qlo, 0
		exponent -= 64
	}
	// The quotient counts units of 2^exponent. Keep 53 bits of it.
	shift := bits.LeadingZeros64(qhi)
	top := qhi<<shift | qlo>>(64-shift)
	sticky := qlo<<shift != 0 || rest != 0
	exponent += 64 - shift
	mantissa, dropped := top>>11, top&(1<<11-1)
	const half = 1 << 10
	if dropped > half || dropped == half && (sticky || mantissa&1 == 1) {
		mantissa++
	}
	v := math.Ldexp(float64(mantissa), exponent+11)
	if negative {
		return -v
	}
	return v
}

// appendTo appends the 16 bytes of f, most significant first.
func (f Fixed) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.Hi), f.Lo)
}

// A Sum adds vectors of equal length exactly. The zero value is empty and
// takes the length of the first vector.
type Sum struct {
	Components []Fixed
	N          uint64 // number of vectors added
}

// Add adds a vector.
func (s *Sum) Add(x []float32) error {
	if s.Components == nil {
		s.Components = make([]Fixed, len(x))
	}
	sums := s.Components[:len(x)]
	for len(x) > 0 {
		// The common magnitudes, from 2^-41 to 2^22, side by side; f.Add does the
		// same for all.
		n := asm.AddFixed(sums, x)
		if n == len(x) {
			break
		}
		if !sums[n].Add(x[n]) {
			return ErrOverflow
		}
		sums, x = sums[n+1:], x[n+1:]
	}
	s.N++
	return nil
}

// Merge adds another sum.
func (s *Sum) Merge(t *Sum) error {
	if t.N == 0 {
		return nil
	}
	if s.Components == nil {
		s.Components = make([]Fixed, len(t.Components))
	}
	for i, v := range t.Components {
		if !s.Components[i].AddFixed(v) {
			return ErrOverflow
		}
	}
	s.N += t.N
	return nil
}

// Mean writes the mean of the vectors to dst, each component rounded to
// float64 and then to float32.
func (s *Sum) Mean(dst []float32) {
	for i, v := range s.Components {
		dst[i] = float32(v.Mean(s.N))
	}
}

// Reset empties the sum and keeps its memory.
func (s *Sum) Reset() {
	clear(s.Components)
	s.N = 0
}
