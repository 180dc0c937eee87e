package bench

import (
	"fmt"
	"slices"
)

// A Spread is what repeated measurements of one thing gave.
type Spread struct {
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"` // in the order in which they were taken
}

// NewSpread sums samples up. Without any, all is 0.
func NewSpread(samples []float64) Spread {
	if len(samples) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	return Spread{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Min:    sorted[0], Max: sorted[n-1], Samples: slices.Clone(samples),
	}
}

// Ratios is the spread of a's samples over b's, taken pair by pair: what was
// measured one after the other was measured in the same state of the machine. It
// uses as many pairs as there are.
func Ratios(a, b Spread) Spread {
	var rs []float64
	for i := range min(len(a.Samples), len(b.Samples)) {
		if b.Samples[i] > 0 {
			rs = append(rs, a.Samples[i]/b.Samples[i])
		}
	}
	return NewSpread(rs)
}

// String gives "median (min–max)" with three digits or more.
func (s Spread) String() string {
	if len(s.Samples) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits writes a positive number with at least three digits.
func digits(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
