package tensor

import "encoding/binary"

// The K formats: super-blocks of 256 elements with one float16 scale d, or
// two, and small integer scales for sub-blocks of 16 or 32 elements. They are
// decoded like those in quant_legacy.go.

// Q2_K: 16 bytes of scales, 64 bytes with four 2-bit quants each, d, dmin.
// For each run of 16: y = (d·s)·q − dmin·m, with s and m the low and high half
// of the run's scale byte. The quants of each half block take 32 bytes: byte l
// holds elements l, l+32, l+64 and l+96 of that half.
func dequantizeQ2_K(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 256 && len(src) >= 84 {
		b := (*[84]byte)(src)
		d, dmin := f16at(b[80:82]), f16at(b[82:84])
		for half := range 2 {
			packed := (*[32]byte)(b[16+32*half:])
			w0, w1, w2, w3 := load8(packed[0:8]), load8(packed[8:16]), load8(packed[16:24]), load8(packed[24:32])
			scales := (*[8]byte)(b[8*half:])
			for j := range 4 {
				store8(q[0:8], w0&each03)
				store8(q[8:16], w1&each03)
				store8(q[16:24], w2&each03)
				store8(q[24:32], w3&each03)
				w0, w1, w2, w3 = w0>>2, w1>>2, w2>>2, w3>>2
				for i := range 2 {
					s := scales[2*j+i]
					scale, minimum := d*float32(int32(s&15)), float32(dmin*float32(int32(s>>4)))
					affine16((*[16]float32)(dst[128*half+32*j+16*i:]), (*[16]byte)(q[16*i:]), scale, -minimum)
				}
			}
		}
		dst, src = dst[256:], src[84:]
	}
}

// Q3_K: 32 bytes with the third bits, 64 bytes with four 2-bit quants each laid
// out as in Q2_K, 12 bytes with sixteen 6-bit scales, d.
// For each run of 16: y = (d·(s − 32))·(q − 4).
func dequantizeQ3_K(dst []float32, src []byte) {
	var q [32]byte
	for len(dst) >= 256 && len(src) >= 110 {
		b := (*[110]byte)(src)
		d, s := f16at(b[108:110]), scalesQ3((*[12]byte)(b[96:]))
		h0, h1, h2, h3 := load8(b[0:8]), load8(b[8:16]), load8(b[16:24]), load8(b[24:32])
		for half := range 2 {
			packed := (*[32]byte)(b[32+32*half:])
			w0, w1, w2, w3 := load8(packed[0:8]), load8(packed[8:16]), load8(packed[16:24]), load8(packed[24:32])
			for j := range 4 {
				store8(q[0:8], w0&each03|h0&each01<<2)
				store8(q[8:16], w1&each03|h1&each01<<2)
				store8(q[16:24], w2&each03|h2&each01<<2)
				store8(q[24:32], w3&each03|h3&each01<<2)
				w0, w1, w2, w3 = w0>>2, w1>>2, w2>>2, w3>>2
				h0, h1, h2, h3 = h0>>1, h1>>1, h2>>1, h3>>1
				for i := range 2 {
					scale := d * float32(int32(s[8*half+2*j+i])-32)
					scale16((*[16]float32)(dst[128*half+32*j+16*i:]), (*[16]byte)(q[16*i:]), scale, &minus4)
				}
			}
		}
		dst, src = dst[256:], src[110:]
	}
}

// scalesQ3 unpacks the sixteen 6-bit scales of Q3_K. Scales 0…7 have their low
// four bits in the low halves of bytes 0…7, scales 8…15 in the high halves. The
// upper two bits of scale i are in byte 8 + i%4, at bit i/4·2.
func scalesQ3(b *[12]byte) (s [16]byte) {
	le := binary.LittleEndian
	first, last, upper := le.Uint32(b[0:4]), le.Uint32(b[4:8]), le.Uint32(b[8:12])
	const low4, low2 = 0x0f0f0f0f, 0x03030303
	le.PutUint32(s[0:4], first&low4|upper&low2<<4)
	le.PutUint32(s[4:8], last&low4|upper>>2&low2<<4)
	le.PutUint32(s[8:12], first>>4&low4|upper>>4&low2<<4)
	le.PutUint32(s[12:16], last>>4&low4|upper>>6&low2<<4)
	return s
}

// scalesMins unpacks the 12 bytes of Q4_K and Q5_K: eight scales and eight
// minima of 6 bits. The first four of each lie in the low six bits of bytes 0…3
// and 4…7. Of the last four, the low four bits share bytes 8…11 and the upper
// two are at the top of bytes 0…3 and 4…7.
func scalesMins(b *[12]byte) (scales, mins [8]byte) {
	le := binary.LittleEndian
	s, m, both := le.Uint32(b[0:4]), le.Uint32(b[4:8]), le.Uint32(b[8:12])
	const low6, low4, top2 = 0x3f3f3f3f, 0x0f0f0f0f, 0x30303030
	le.PutUint32(scales[0:4], s&low6)
	le.PutUint32(scales[4:8], both&low4|s>>2&top2)
	le.PutUint32(mins[0:4], m&low6)
	le.PutUint32(mins[4:8], both>>4&low4|m>>2&top2)
	return scales, mins
}

// Q4_K: d, dmin, 12 bytes of scales and minima, 128 bytes of nibbles. For
// each run of 32: y = (d·s)·q − dmin·m. Each 32 bytes hold a run in their low
// halves and the next one in their high halves.
func dequantizeQ4_K(dst []float32, src []byte) {
	var q [64]byte
	for len(dst) >= 256 && len(src) >= 144 {
		b := (*[144]byte)(src)
		d, dmin := f16at(b[0:2]), f16at(b[2:4])
		scales, mins := scalesMins((*[12]byte)(b[4:16]))
		for i := range 4 {
			packed := (*[32]byte)(b[16+32*i:])
			for j := 0; j < 32; j += 8 {
				w := load8(packed[j : j+8])
				store8(q[j:j+8], w&each0f)
				store8(q[j+32:j+40], w>>4&each0f)
			}
			kRuns((*[64]float32)(dst[64*i:]), &q, d, dmin, scales[2*i:], mins[2*i:])
		}
		dst, src = dst[256:], src[144:]
	}
}

// Q5_K: as Q4_K, with 32 bytes between scales and nibbles that hold the fifth
// bits: bit i of byte l belongs to element l of run i.
func dequantizeQ5_K(dst []float32, src []byte) {
	var q [64]byte
	for len(dst) >= 256 && len(src) >= 176 {
		b := (*[176]byte)(src)
		d, dmin := f16at(b[0:2]), f16at(b[2:4])
		scales, mins := scalesMins((*[12]byte)(b[4:16]))
		fifth := (*[32]byte)(b[16:48])
		for i := range 4 {
			packed := (*[32]byte)(b[48+32*i:])
			for j := 0; j < 32; j += 8 {
				w, h := load8(packed[j:j+8]), load8(fifth[j:j+8])>>(2*i)
				store8(q[j:j+8], w&each0f|h&each01<<4)
				store8(q[j+32:j+40], w>>4&each0f|h>>1&each01<<4)
			}
			kRuns((*[64]float32)(dst[64*i:]), &q, d, dmin, scales[2*i:], mins[2*i:])
		}
		dst, src = dst[256:], src[176:]
	}
}

// kRuns decodes two runs of 32 of Q4_K or Q5_K.
func kRuns(y *[64]float32, q *[64]byte, d, dmin float32, scales, mins []byte) {
	for i := range 2 {
		scale, minimum := d*float32(int32(scales[i])), float32(dmin*float32(int32(mins[i])))
		affine32((*[32]float32)(y[32*i:]), (*[32]byte)(q[32*i:]), scale, -minimum)
	}
}

// Q6_K: 128 bytes with the low four bits, 64 bytes with the upper two, sixteen
// int8 scales, d. For each run of 16: y = (d·s)·(q − 32). Each half block has
// 64 low bytes, of which byte l holds elements l and l+64, and 32 upper bytes,
// of which byte l holds elements l, l+32, l+64 and l+96.
func dequantizeQ6_K(dst []float32, src []byte) {
	var q [128]byte
	for len(dst) >= 256 && len(src) >= 210 {
		b := (*[210]byte)(src)
		d := f16at(b[208:210])
		for half := range 2 {
			sixBits(&q, (*[64]byte)(b[64*half:]), (*[32]byte)(b[128+32*half:]))
			y := (*[128]float32)(dst[128*half:])
			for i, s := range b[192+8*half : 200+8*half] {
				scale16((*[16]float32)(y[16*i:]), (*[16]byte)(q[16*i:]), d*float32(int8(s)), &minus32)
			}
		}
		dst, src = dst[256:], src[210:]
	}
}

// sixBits unpacks the quants of half a block of Q6_K.
func sixBits(q *[128]byte, low *[64]byte, upper *[32]byte) {
	for j := 0; j < 32; j += 8 {
		v, w, h := load8(low[j:j+8]), load8(low[j+32:j+40]), load8(upper[j:j+8])
		store8(q[j:j+8], v&each0f|h<<4&each30)
		store8(q[j+32:j+40], w&each0f|h<<2&each30)
		store8(q[j+64:j+72], v>>4&each0f|h&each30)
		store8(q[j+96:j+104], w>>4&each0f|h>>2&each30)
	}
}
