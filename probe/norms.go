package probe

import (
	"encoding/binary"
	"math"
	"slices"
)

// Norms is the distribution of residual-stream norms at a site: an exact sum
// and a histogram, so that parts merge in any order to the same result. The
// zero value is empty.
type Norms struct {
	sum  Fixed
	n    uint64
	bins map[uint32]uint64 // keyed by the norm's bits without the last 8
}

// binShift leaves 15 bits of mantissa: a bin is 3e-5 of its norm wide.
const binShift = 8

// Add adds a norm, which must be finite and not negative.
func (s *Norms) Add(norm float32) error {
	if !(norm >= 0) || !s.sum.Add(norm) {
		return ErrOverflow
	}
	if s.bins == nil {
		s.bins = map[uint32]uint64{}
	}
	s.bins[math.Float32bits(norm)>>binShift]++
	s.n++
	return nil
}

// N is the number of norms.
func (s *Norms) N() uint64 { return s.n }

// Mean is the mean norm, or 0 where there is none.
func (s *Norms) Mean() float64 {
	if s.n == 0 {
		return 0
	}
	return s.sum.Mean(s.n)
}

// Quantile is the norm that a share p of all norms does not exceed, to within
// 3e-5 of its value, or 0 where there is none.
func (s *Norms) Quantile(p float64) float64 {
	rank := uint64(math.Ceil(p * float64(s.n)))
	seen := uint64(0)
	for _, bin := range s.sorted() {
		if seen += s.bins[bin]; seen >= max(rank, 1) {
			// The middle of the bin.
			return float64(math.Float32frombits(bin<<binShift | 1<<(binShift-1)))
		}
	}
	return 0
}

func (s *Norms) sorted() []uint32 {
	bins := make([]uint32, 0, len(s.bins))
	for b := range s.bins {
		bins = append(bins, b)
	}
	slices.Sort(bins)
	return bins
}

// appendTo appends the canonical bytes of the distribution.
func (s *Norms) appendTo(b []byte) []byte {
	b = s.sum.appendTo(b)
	b = binary.BigEndian.AppendUint64(b, s.n)
	for _, bin := range s.sorted() {
		b = binary.BigEndian.AppendUint32(b, bin)
		b = binary.BigEndian.AppendUint64(b, s.bins[bin])
	}
	return b
}
