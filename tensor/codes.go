package tensor

import (
	"encoding/binary"

	"github.com/limbic-go/limbic/asm"
)

// An intFormat says how a format's weights are read as integers: a weight of a
// sub-block is scale·(code − offset) for some formats and scale·code + minimum
// for the others, with the very scales and minima that the format's decoder
// computes. See asm.IntPanels, whose kernels multiply them.
type intFormat struct {
	sub    int // columns of a sub-block
	offset int // 0 where there are minima

	// unpack reads the whole blocks of src: a code for each element, and for
	// sub-block i the scale scales[i*asm.Rows] and, where there are minima,
	// mins[i*asm.Rows].
	unpack func(codes []byte, scales, mins []float32, src []byte)
}

// affine reports whether sub-blocks have a minimum.
func (f intFormat) affine() bool { return f.offset == 0 }

// How blocks are laid out is told beside their decoders, in quant_legacy.go,
// quant_k.go and quant_iq4.go.

func unpackQ8_0(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 34; i++ {
		b, q := (*[34]byte)(src), (*[32]byte)(codes)
		scales[i*asm.Rows] = f16at(b[:2])
		for j := 0; j < 32; j += 8 { // adds 128 to an int8
			store8(q[j:j+8], load8(b[2+j:10+j])^0x80*each01)
		}
		codes, src = codes[32:], src[34:]
	}
}

func unpackQ4_0(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 18; i++ {
		b := (*[18]byte)(src)
		scales[i*asm.Rows] = f16at(b[:2])
		nibbles((*[32]byte)(codes), (*[16]byte)(b[2:]))
		codes, src = codes[32:], src[18:]
	}
}

func unpackQ4_1(codes []byte, scales, mins []float32, src []byte) {
	for i := 0; len(src) >= 20; i++ {
		b := (*[20]byte)(src)
		scales[i*asm.Rows], mins[i*asm.Rows] = f16at(b[:2]), f16at(b[2:4])
		nibbles((*[32]byte)(codes), (*[16]byte)(b[4:]))
		codes, src = codes[32:], src[20:]
	}
}

func unpackQ5_0(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 22; i++ {
		b, q := (*[22]byte)(src), (*[32]byte)(codes)
		scales[i*asm.Rows] = f16at(b[:2])
		nibbles(q, (*[16]byte)(b[6:]))
		fifths(q, (*[4]byte)(b[2:]))
		codes, src = codes[32:], src[22:]
	}
}

func unpackQ5_1(codes []byte, scales, mins []float32, src []byte) {
	for i := 0; len(src) >= 24; i++ {
		b, q := (*[24]byte)(src), (*[32]byte)(codes)
		scales[i*asm.Rows], mins[i*asm.Rows] = f16at(b[:2]), f16at(b[2:4])
		nibbles(q, (*[16]byte)(b[8:]))
		fifths(q, (*[4]byte)(b[4:]))
		codes, src = codes[32:], src[24:]
	}
}

// iq4codes are the levels of the IQ4 formats, plus 128.
var iq4codes = func() (c [16]byte) {
	for i, v := range iq4values {
		c[i] = byte(int(v) + 128)
	}
	return c
}()

func unpackIQ4NL(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 18; i++ {
		b := (*[18]byte)(src)
		scales[i*asm.Rows] = f16at(b[:2])
		iq4nibbles((*[32]byte)(codes), (*[16]byte)(b[2:]))
		codes, src = codes[32:], src[18:]
	}
}

func unpackIQ4XS(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 136; i += 8 {
		b := (*[136]byte)(src)
		d, upper := f16at(b[0:2]), binary.LittleEndian.Uint16(b[2:4])
		for j := range 8 {
			s := int32(b[4+j/2]>>(j%2*4)&15) | int32(upper>>(2*j)&3)<<4
			scales[(i+j)*asm.Rows] = d * float32(s-32)
			iq4nibbles((*[32]byte)(codes[32*j:]), (*[16]byte)(b[8+16*j:]))
		}
		codes, src = codes[256:], src[136:]
	}
}

// iq4nibbles unpacks the low halves of b, then the high halves, and looks them
// up.
func iq4nibbles(q *[32]byte, b *[16]byte) {
	for j, v := range b {
		q[j], q[j+16] = iq4codes[v&15], iq4codes[v>>4]
	}
}

func unpackQ2_K(codes []byte, scales, mins []float32, src []byte) {
	for i := 0; len(src) >= 84; i += 16 {
		b, q := (*[84]byte)(src), (*[256]byte)(codes)
		d, dmin := f16at(b[80:82]), f16at(b[82:84])
		for j, s := range b[:16] {
			scales[(i+j)*asm.Rows], mins[(i+j)*asm.Rows] = d*float32(int32(s&15)), -float32(dmin*float32(int32(s>>4)))
		}
		for j := 0; j < 32; j += 8 {
			quarters((*[128]byte)(q[:]), j, load8(b[16+j:24+j]))
			quarters((*[128]byte)(q[128:]), j, load8(b[48+j:56+j]))
		}
		codes, src = codes[256:], src[84:]
	}
}

// quarters unpacks eight bytes of four 2-bit quants each: those of byte l go to
// q[l], q[l+32], q[l+64] and q[l+96], counted from q[at].
func quarters(q *[128]byte, at int, w uint64) {
	store8(q[at:at+8], w&each03)
	store8(q[at+32:at+40], w>>2&each03)
	store8(q[at+64:at+72], w>>4&each03)
	store8(q[at+96:at+104], w>>6&each03)
}

func unpackQ3_K(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 110; i += 16 {
		b, q := (*[110]byte)(src), (*[256]byte)(codes)
		d := f16at(b[108:110])
		for j, s := range scalesQ3((*[12]byte)(b[96:])) {
			scales[(i+j)*asm.Rows] = d * float32(int32(s)-32)
		}
		for j := 0; j < 32; j += 8 {
			quarters((*[128]byte)(q[:]), j, load8(b[32+j:40+j]))
			quarters((*[128]byte)(q[128:]), j, load8(b[64+j:72+j]))
			for run, h := 0, load8(b[j:j+8]); run < 256; run, h = run+32, h>>1 {
				store8(q[run+j:run+j+8], load8(q[run+j:run+j+8])|h&each01<<2)
			}
		}
		codes, src = codes[256:], src[110:]
	}
}

func unpackQ4_K(codes []byte, scales, mins []float32, src []byte) {
	for i := 0; len(src) >= 144; i += 8 {
		b, q := (*[144]byte)(src), (*[256]byte)(codes)
		kScales(scales[i*asm.Rows:], mins[i*asm.Rows:], (*[16]byte)(b[:]))
		for run := 0; run < 256; run += 64 {
			packed := (*[32]byte)(b[16+run/2:])
			for j := 0; j < 32; j += 8 {
				w := load8(packed[j : j+8])
				store8(q[run+j:run+j+8], w&each0f)
				store8(q[run+j+32:run+j+40], w>>4&each0f)
			}
		}
		codes, src = codes[256:], src[144:]
	}
}

func unpackQ5_K(codes []byte, scales, mins []float32, src []byte) {
	for i := 0; len(src) >= 176; i += 8 {
		b, q := (*[176]byte)(src), (*[256]byte)(codes)
		kScales(scales[i*asm.Rows:], mins[i*asm.Rows:], (*[16]byte)(b[:]))
		fifth := (*[32]byte)(b[16:48])
		for run := 0; run < 256; run += 64 {
			packed := (*[32]byte)(b[48+run/2:])
			for j := 0; j < 32; j += 8 {
				w, h := load8(packed[j:j+8]), load8(fifth[j:j+8])>>(run/32)
				store8(q[run+j:run+j+8], w&each0f|h&each01<<4)
				store8(q[run+j+32:run+j+40], w>>4&each0f|h>>1&each01<<4)
			}
		}
		codes, src = codes[256:], src[176:]
	}
}

// kScales gives the eight scales and minima of a block of Q4_K or Q5_K, which
// begins with d, dmin and the 12 bytes of scalesMins.
func kScales(scales, mins []float32, b *[16]byte) {
	d, dmin := f16at(b[0:2]), f16at(b[2:4])
	s, m := scalesMins((*[12]byte)(b[4:]))
	for j := range s {
		scales[j*asm.Rows] = d * float32(int32(s[j]))
		mins[j*asm.Rows] = -float32(dmin * float32(int32(m[j])))
	}
}

func unpackQ6_K(codes []byte, scales, _ []float32, src []byte) {
	for i := 0; len(src) >= 210; i += 16 {
		b := (*[210]byte)(src)
		d := f16at(b[208:210])
		for j, s := range b[192:208] {
			scales[(i+j)*asm.Rows] = d * float32(int8(s))
		}
		for half := range 2 {
			sixBits((*[128]byte)(codes[128*half:]), (*[64]byte)(b[64*half:]), (*[32]byte)(b[128+32*half:]))
		}
		codes, src = codes[256:], src[210:]
	}
}
