package asm

import (
	"encoding/binary"
	"math"
)

// A block of Q8_0: a float16, little-endian, and 32 int8.
const (
	q8Elements = 32
	q8Bytes    = 2 + q8Elements
)

// DequantizeQ8_0 decodes the whole blocks of src into dst: element i of a
// block with scale d and quants q is d*q[i]. It panics where dst is too short.
func DequantizeQ8_0(dst []float32, src []byte) {
	blocks := len(src) / q8Bytes
	if blocks == 0 {
		return
	}
	_ = dst[blocks*q8Elements-1]
	dequantizeQ8(dst, src, blocks)
}

func dequantizeQ8Generic(dst []float32, src []byte, blocks int) {
	for range blocks {
		d := Float16(binary.LittleEndian.Uint16(src))
		q, y := (*[q8Elements]byte)(src[2:]), (*[q8Elements]float32)(dst)
		for i := 0; i < q8Elements; i += 8 {
			y[i] = d * signed[q[i]]
			y[i+1] = d * signed[q[i+1]]
			y[i+2] = d * signed[q[i+2]]
			y[i+3] = d * signed[q[i+3]]
			y[i+4] = d * signed[q[i+4]]
			y[i+5] = d * signed[q[i+5]]
			y[i+6] = d * signed[q[i+6]]
			y[i+7] = d * signed[q[i+7]]
		}
		dst, src = dst[q8Elements:], src[q8Bytes:]
	}
}

// signed holds the int8 of a byte: looking it up is faster than converting.
var signed = func() (f [256]float32) {
	for i := range f {
		f[i] = float32(int8(i))
	}
	return f
}()

// Float16 widens a float16, which is always exact. NaN payloads are kept, with
// the quiet bit set, as the conversion instructions do.
func Float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	m := uint32(h & 0x7fff)
	switch {
	case m-0x0400 < 0x7c00-0x0400: // normal: only the exponent's bias differs
		return math.Float32frombits(sign | (m<<13 + (127-15)<<23))
	case m < 0x0400: // zero or subnormal: m units of 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(int32(m))*0x1p-24))
	case m == 0x7c00:
		return math.Float32frombits(sign | 0x7f800000)
	}
	return math.Float32frombits(sign | 0x7fc00000 | m<<13)
}
