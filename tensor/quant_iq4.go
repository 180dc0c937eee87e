package tensor

import "encoding/binary"

// iq4values are the sixteen levels that a nibble of the IQ4 formats stands
// for: dense near zero, where most weights are.
var iq4values = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

var iq4 = makeLevels(func(i int) float32 { return iq4values[i%16] })

// IQ4_NL: a float16 scale d, then 16 bytes of nibbles laid out as in Q4_0.
// y = d·level(q).
func dequantizeIQ4NL(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 32 && len(src) >= 18 {
		b := (*[18]byte)(src)
		nibbles(&q, (*[16]byte)(b[2:]))
		scale32((*[32]float32)(dst), &q, f16at(b[:2]), &iq4)
		dst, src = dst[32:], src[18:]
	}
}

// IQ4_XS: super-blocks of 256 with a float16 scale d, a word with the upper two
// bits of eight scales, 4 bytes with their low four bits, 128 bytes of nibbles.
// For each run of 32, laid out as in IQ4_NL: y = (d·(s − 32))·level(q).
func dequantizeIQ4XS(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 256 && len(src) >= 136 {
		b := (*[136]byte)(src)
		d, upper := f16at(b[0:2]), binary.LittleEndian.Uint16(b[2:4])
		for i := range 8 {
			s := int32(b[4+i/2]>>(i%2*4)&15) | int32(upper>>(2*i)&3)<<4
			nibbles(&q, (*[16]byte)(b[8+16*i:]))
			scale32((*[32]float32)(dst[32*i:]), &q, d*float32(s-32), &iq4)
		}
		dst, src = dst[256:], src[136:]
	}
}
