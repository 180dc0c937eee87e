package asm

import "math"

// MaxFloat16 is the magnitude from which on Narrow gives infinities: half a
// unit above the greatest float16, 65504.
const MaxFloat16 = 65520

// Narrow rounds src to the nearest float16, ties to even, and gives the
// greatest |src[i]|, or 0 where there is none that is a number. Where that is
// MaxFloat16 or more, something became infinite. The slices have equal length.
func Narrow(dst []uint16, src []float32) float32 {
	sameLength(len(dst), len(src), len(src))
	n := len(src) &^ 15
	var most float32
	if n > 0 {
		most = narrow(dst[:n], src[:n])
	}
	return max(most, narrowGeneric(dst[n:], src[n:]))
}

func narrowGeneric(dst []uint16, src []float32) (most float32) {
	for i, v := range src {
		dst[i] = toFloat16(v)
		if a := math.Float32frombits(math.Float32bits(v) &^ (1 << 31)); a > most {
			most = a
		}
	}
	return most
}

// toFloat16 rounds to nearest even. Payloads of NaN keep their upper bits.
func toFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16&0x8000), b&^(1<<31)
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // MaxFloat16
		return sign | 0x7c00
	case b >= 0x38800000: // at least 2⁻¹⁴: only the exponent's bias differs
		return sign | uint16((b-(127-15)<<23+0xfff+b>>13&1)>>13)
	}
	// Beside 1/2 the last bit of a float32 is worth 2⁻²⁴, the unit of subnormal
	// float16.
	return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
}

// Widen sets dst to the float16 of src, exactly. The slices have equal length.
func Widen(dst []float32, src []uint16) {
	sameLength(len(dst), len(src), len(src))
	n := len(src) &^ 15
	if n > 0 {
		widen(dst[:n], src[:n])
	}
	widenGeneric(dst[n:], src[n:])
}

func widenGeneric(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = Float16(h)
	}
}

// WidenBFloat16 is Widen for bfloat16, the upper half of a float32.
func WidenBFloat16(dst []float32, src []uint16) {
	sameLength(len(dst), len(src), len(src))
	n := len(src) &^ 15
	if n > 0 {
		widenBFloat16(dst[:n], src[:n])
	}
	widenBFloat16Generic(dst[n:], src[n:])
}

func widenBFloat16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = math.Float32frombits(uint32(h) << 16)
	}
}
