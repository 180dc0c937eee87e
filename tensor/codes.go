package tensor

import (
	"encoding/binary"

	"github.com/limbic-go/limbic/asm"
)

// An intFormat says how a format's weights are kept in memory and multiplied as
// integers: a weight of a sub-block is scale·(code − offset) for some formats
// and scale·code + minimum for the others, with the very scales and minima that
// the format's decoder computes. See asm.Packing and asm.IntPanels.
type intFormat struct {
	packing asm.Packing

	// read takes a block, as a file stores it, apart.
	read func(b *asm.Block, src []byte)
}

// How blocks are laid out is told beside their decoders, in quant_legacy.go,
// quant_k.go and quant_iq4.go.

// half is the float16 at the start of src.
func half(src []byte) uint16 { return binary.LittleEndian.Uint16(src) }

func readQ8_0(b *asm.Block, src []byte) {
	src, q := src[:34], (*[32]byte)(b.Codes[:])
	b.D = half(src)
	for j := 0; j < 32; j += 8 { // adds 128 to an int8
		store8(q[j:j+8], load8(src[2+j:10+j])^0x80*each01)
	}
}

func readQ4_0(b *asm.Block, src []byte) {
	b.D = half(src)
	nibbles((*[32]byte)(b.Codes[:]), (*[16]byte)(src[2:]))
}

func readQ4_1(b *asm.Block, src []byte) {
	b.D, b.M = half(src), half(src[2:])
	nibbles((*[32]byte)(b.Codes[:]), (*[16]byte)(src[4:]))
}

func readQ5_0(b *asm.Block, src []byte) {
	q := (*[32]byte)(b.Codes[:])
	b.D = half(src)
	nibbles(q, (*[16]byte)(src[6:]))
	fifths(q, (*[4]byte)(src[2:]))
}

func readQ5_1(b *asm.Block, src []byte) {
	q := (*[32]byte)(b.Codes[:])
	b.D, b.M = half(src), half(src[2:])
	nibbles(q, (*[16]byte)(src[8:]))
	fifths(q, (*[4]byte)(src[4:]))
}

func readIQ4XS(b *asm.Block, src []byte) {
	src = src[:136]
	b.D = half(src)
	upper := binary.LittleEndian.Uint16(src[2:4])
	for j := range 8 {
		b.S[j] = src[4+j/2]>>(j%2*4)&15 | byte(upper>>(2*j)&3)<<4 - 32
		nibbles((*[32]byte)(b.Codes[32*j:]), (*[16]byte)(src[8+16*j:]))
	}
}

func readQ2_K(b *asm.Block, src []byte) {
	src = src[:84]
	b.D, b.M = half(src[80:]), half(src[82:])
	for j, s := range src[:16] {
		b.S[j], b.Ms[j] = s&15, s>>4
	}
	for j := 0; j < 32; j += 8 {
		quarters((*[128]byte)(b.Codes[:]), j, load8(src[16+j:24+j]))
		quarters((*[128]byte)(b.Codes[128:]), j, load8(src[48+j:56+j]))
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

func readQ3_K(b *asm.Block, src []byte) {
	src, q := src[:110], &b.Codes
	b.D = half(src[108:])
	b.S = scalesQ3((*[12]byte)(src[96:]))
	for j := range b.S {
		b.S[j] -= 32
	}
	for j := 0; j < 32; j += 8 {
		quarters((*[128]byte)(q[:]), j, load8(src[32+j:40+j]))
		quarters((*[128]byte)(q[128:]), j, load8(src[64+j:72+j]))
		for run, h := 0, load8(src[j:j+8]); run < 256; run, h = run+32, h>>1 {
			store8(q[run+j:run+j+8], load8(q[run+j:run+j+8])|h&each01<<2)
		}
	}
}

func readQ4_K(b *asm.Block, src []byte) {
	src, q := src[:144], &b.Codes
	readScalesMins(b, src)
	for run := 0; run < 256; run += 64 {
		packed := (*[32]byte)(src[16+run/2:])
		for j := 0; j < 32; j += 8 {
			w := load8(packed[j : j+8])
			store8(q[run+j:run+j+8], w&each0f)
			store8(q[run+j+32:run+j+40], w>>4&each0f)
		}
	}
}

func readQ5_K(b *asm.Block, src []byte) {
	src, q := src[:176], &b.Codes
	readScalesMins(b, src)
	fifth := (*[32]byte)(src[16:48])
	for run := 0; run < 256; run += 64 {
		packed := (*[32]byte)(src[48+run/2:])
		for j := 0; j < 32; j += 8 {
			w, h := load8(packed[j:j+8]), load8(fifth[j:j+8])>>(run/32)
			store8(q[run+j:run+j+8], w&each0f|h&each01<<4)
			store8(q[run+j+32:run+j+40], w>>4&each0f|h>>1&each01<<4)
		}
	}
}

// readScalesMins reads how a block of Q4_K or Q5_K begins: d, dmin and the 12
// bytes of scalesMins.
func readScalesMins(b *asm.Block, src []byte) {
	b.D, b.M = half(src), half(src[2:])
	s, m := scalesMins((*[12]byte)(src[4:]))
	copy(b.S[:], s[:])
	copy(b.Ms[:], m[:])
}

func readQ6_K(b *asm.Block, src []byte) {
	src = src[:210]
	b.D = half(src[208:])
	copy(b.S[:], src[192:208])
	for half := range 2 {
		sixBits((*[128]byte)(b.Codes[128*half:]), (*[64]byte)(src[64*half:]), (*[32]byte)(src[128+32*half:]))
	}
}
