package tensor

import (
	"fmt"
	"strings"
)

// A Precision says how activations meet quantised weights. Weights in F32, F16
// and BF16 are multiplied with float32 activations in every precision.
type Precision int

// The precisions.
const (
	// Exact multiplies float32 activations with dequantised weights: what the
	// model file says.
	Exact Precision = iota
	// Probe rounds activations to 16-bit integers, in blocks of 32 with a
	// common scale, and multiplies integers. That moves the residual stream
	// by about 5e-5 of its size; 2e-3 is promised.
	Probe
	// Fast rounds activations to 8-bit integers, in blocks of 32 with a common
	// scale, as other engines do. It is off by one or two hundredths.
	Fast
)

var precisionNames = []string{Exact: "exact", Probe: "probe", Fast: "fast"}

// Valid reports whether p is one of the precisions above.
func (p Precision) Valid() bool { return p >= 0 && int(p) < len(precisionNames) }

// String gives the name that ParsePrecision reads.
func (p Precision) String() string {
	if p.Valid() {
		return precisionNames[p]
	}
	return fmt.Sprintf("Precision(%d)", int(p))
}

// ParsePrecision reads a precision's name, in either case.
func ParsePrecision(s string) (Precision, error) {
	for i, n := range precisionNames {
		if strings.EqualFold(n, s) {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("tensor: unknown precision %q (known: %s)", s, strings.Join(precisionNames, ", "))
}
