package tensor

import (
	"encoding/binary"
	"math"
)

// The formats with blocks of 32 and one float16 scale d. Four- and five-bit
// blocks hold element j in the low and element j+16 in the high half of byte
// j, and the fifth bits of all 32 elements in a little-endian word.
//
// Decoders unpack the quants of a block to one byte each, eight at a time in a
// uint64, and then turn bytes into floats with scale16 or affine16.

// Q8_0: d, then 32 int8. y = d·q. asm.DequantizeQ8_0 decodes it.
func quantizeQ8_0(dst []byte, src []float32) {
	for ; len(src) >= 32 && len(dst) >= 34; dst, src = dst[34:], src[32:] {
		x, b := (*[32]float32)(src), (*[34]byte)(dst)
		var amax float32
		for _, v := range x {
			if a := abs32(v); a > amax {
				amax = a
			}
		}
		d := amax / 127
		binary.LittleEndian.PutUint16(b[:2], f32to16(d))
		q := (*[32]byte)(b[2:])
		id, ok := inverse(d)
		if !ok {
			clear(q[:])
			continue
		}
		for j, v := range x {
			// Half away from zero. In float64 the sum is exact wherever the
			// fraction is near one half, so that truncating it is right.
			y := float64(v * id)
			q[j] = byte(int8(y + math.Copysign(0.5, y)))
		}
	}
}

// Q4_0: d, then 16 bytes of nibbles. y = d·(q − 8).
func dequantizeQ4_0(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 32 && len(src) >= 18 {
		b := (*[18]byte)(src)
		nibbles(&q, (*[16]byte)(b[2:]))
		scale32((*[32]float32)(dst), &q, f16at(b[:2]), &minus8)
		dst, src = dst[32:], src[18:]
	}
}

func quantizeQ4_0(dst []byte, src []float32) {
	for ; len(src) >= 32 && len(dst) >= 18; dst, src = dst[18:], src[32:] {
		x, b := (*[32]float32)(src), (*[18]byte)(dst)
		// The element of the largest magnitude, the first of them if there are
		// several, becomes exactly −8: its sign decides that of d.
		var amax, extreme float32
		for _, v := range x {
			if a := abs32(v); a > amax {
				amax, extreme = a, v
			}
		}
		d := extreme / -8
		binary.LittleEndian.PutUint16(b[:2], f32to16(d))
		q := (*[16]byte)(b[2:])
		id, ok := inverse(d)
		if !ok {
			clear(q[:])
			continue
		}
		for j := range q {
			q[j] = nibble(x[j], id) | nibble(x[j+16], id)<<4
		}
	}
}

// abs32 is the magnitude of x.
func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// inverse is 1/d for scaling a block down, and 0 for a block of zeros. It is
// not ok where 1/d overflows: d is then far below the smallest float16, so the
// block is stored with a scale of zero and any quants would do. Both quantisers
// store the zero bytes that ggml ends up with there.
func inverse(d float32) (id float32, ok bool) {
	if d == 0 {
		return 0, true
	}
	id = 1 / d
	return id, id-id == 0
}

// nibble quantises x to 0…15 around a zero of 8, given the inverse scale. With
// x·id from −8 to 8 only the upper end needs care. The conversion is not
// superfluous: without it the compiler may round product and sum only once,
// which stores some elements differently.
func nibble(x, id float32) byte {
	return byte(min(int32(float32(x*id)+8.5), 15))
}

// Q4_1: d, an offset m, then 16 bytes of nibbles. y = d·q + m.
func dequantizeQ4_1(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 32 && len(src) >= 20 {
		b := (*[20]byte)(src)
		nibbles(&q, (*[16]byte)(b[4:]))
		affine32((*[32]float32)(dst), &q, f16at(b[:2]), f16at(b[2:4]))
		dst, src = dst[32:], src[20:]
	}
}

// Q5_0: d, 32 fifth bits, then 16 bytes of nibbles. y = d·(q − 16).
func dequantizeQ5_0(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 32 && len(src) >= 22 {
		b := (*[22]byte)(src)
		nibbles(&q, (*[16]byte)(b[6:]))
		fifths(&q, (*[4]byte)(b[2:]))
		scale32((*[32]float32)(dst), &q, f16at(b[:2]), &minus16)
		dst, src = dst[32:], src[22:]
	}
}

// Q5_1: d, an offset m, 32 fifth bits, then 16 bytes of nibbles. y = d·q + m.
func dequantizeQ5_1(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 32 && len(src) >= 24 {
		b := (*[24]byte)(src)
		nibbles(&q, (*[16]byte)(b[8:]))
		fifths(&q, (*[4]byte)(b[4:]))
		affine32((*[32]float32)(dst), &q, f16at(b[:2]), f16at(b[2:4]))
		dst, src = dst[32:], src[24:]
	}
}

// fifths adds 16 to each quant whose bit is set in h.
func fifths(q *[32]byte, h *[4]byte) {
	for i := range h {
		// Put a copy of the byte into each lane, leave lane k its bit k, and
		// carry that into the lane's bit 7.
		w := uint64(h[i]) * each01 & 0x8040201008040201
		w = (w + 0x00406070787c7e7f) & 0x8080808080808080
		store8(q[8*i:8*i+8], load8(q[8*i:8*i+8])|w>>3)
	}
}
