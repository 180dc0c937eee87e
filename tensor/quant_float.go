package tensor

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/limbic-go/limbic/asm"
	"github.com/x448/float16"
)

// littleEndian reports whether this machine stores float32 as files do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// f16at widens the little-endian float16 at the start of b, which is where
// most blocks keep a scale.
func f16at(b []byte) float32 { return asm.Float16(binary.LittleEndian.Uint16(b)) }

func dequantizeF32(dst []float32, src []byte) {
	if len(dst) == 0 {
		return
	}
	if littleEndian {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*len(dst)), src)
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func quantizeF32(dst []byte, src []float32) {
	if len(src) == 0 {
		return
	}
	if littleEndian {
		copy(dst, unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), 4*len(src)))
		return
	}
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func dequantizeF16(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 64 {
		f16run((*[32]float32)(dst), (*[64]byte)(src))
		dst, src = dst[32:], src[64:]
	}
	for i := range dst {
		dst[i] = f16at(src[2*i:])
	}
}

// f16run widens 32 float16 numbers, four at a time in the lanes of a uint64.
func f16run(y *[32]float32, b *[64]byte) {
	const (
		each4 = 0x0001000100010001
		each2 = 0x0000000100000001
	)
	for i := 0; i < 32; i += 4 {
		w, y := load8(b[2*i:2*i+8]), (*[4]float32)(y[i:i+4])
		// Nearly all weights are normal numbers, whose bits only move and change
		// their bias: two at a time. Exponents of 0 and 31, alone, become 0 in e;
		// then the subtraction borrows into the top bit of the lane.
		e := (w&(0x7c00*each4) + 0x0400*each4) & (0x7800 * each4)
		if (e-each4)&^e&(0x8000*each4) != 0 {
			f16slow(y, w)
			continue
		}
		even, odd := w&(0xffff*each2), w>>16&(0xffff*each2)
		even = (even&(0x7fff*each2)<<13 + (127-15)<<23*each2) | even&(0x8000*each2)<<16
		odd = (odd&(0x7fff*each2)<<13 + (127-15)<<23*each2) | odd&(0x8000*each2)<<16
		y[0] = math.Float32frombits(uint32(even))
		y[1] = math.Float32frombits(uint32(odd))
		y[2] = math.Float32frombits(uint32(even >> 32))
		y[3] = math.Float32frombits(uint32(odd >> 32))
	}
}

// f16slow widens the four float16 numbers in w, of any kind.
//
//go:noinline
func f16slow(y *[4]float32, w uint64) {
	for i := range y {
		y[i] = asm.Float16(uint16(w >> (16 * i)))
	}
}

func quantizeF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], float16.Fromfloat32(x).Bits())
	}
}

func dequantizeBF16(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 64 {
		bf16run((*[32]float32)(dst), (*[64]byte)(src))
		dst, src = dst[32:], src[64:]
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// bf16run widens 32 bfloat16 numbers, which are the upper halves of float32.
func bf16run(y *[32]float32, b *[64]byte) {
	for i := 0; i < 32; i += 4 {
		w := load8(b[2*i : 2*i+8])
		even, odd := w<<16, w&0xffff0000ffff0000
		y := (*[4]float32)(y[i : i+4])
		y[0] = math.Float32frombits(uint32(even))
		y[1] = math.Float32frombits(uint32(odd))
		y[2] = math.Float32frombits(uint32(even>>32) & 0xffff0000)
		y[3] = math.Float32frombits(uint32(odd >> 32))
	}
}

func quantizeBF16(dst []byte, src []float32) {
	for i, x := range src {
		// Round to nearest even by carrying into the half that is kept.
		b := math.Float32bits(x)
		b += 0x7fff + b>>16&1
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(b>>16))
	}
}

// f32to16 rounds to the nearest float16, ties to even.
func f32to16(x float32) uint16 { return float16.Fromfloat32(x).Bits() }
