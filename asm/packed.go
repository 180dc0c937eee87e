package asm

import (
	"encoding/binary"
	"fmt"
)

// A Packing is a layout in which the quantised weights of a storage format lie
// in memory: the format's own bits, none added but for alignment and for scales
// of less than a byte, in the order in which kernels take them.
//
// Rows rows form a panel. Of each 32 columns of a panel, a unit, the codes form
// eight words of 64 bytes: word i holds, as in IntPanels, columns 4i to 4i+3 of
// all rows, four bytes a row. Those bytes are cut into planes of bits:
//
//	8 bits: the words, one after the other
//	4 bits: 64 bytes for words i and i+4, in the low and the high half of each byte
//	2 bits: 64 bytes for words 4j … 4j+3, from the lowest bits up
//	1 bit:  64 bytes for all words, from the lowest bit up
//
// so that kernels unpack a word with shifts and masks alone. A format has one or
// two planes; the second holds the upper bits.
//
// Scales lie apart from codes. A row's float16 scale, and minimum, come for all
// rows of a panel; so do, of formats with blocks of 256 columns, the bytes that
// they are multiplied with in each sub-block (see scaleLayout).
type Packing int

// The packings, named for the storage formats. See package tensor for what
// those are.
const (
	PackedQ8_0 Packing = iota
	PackedQ4_0
	PackedQ4_1
	PackedQ5_0
	PackedQ5_1
	PackedQ2_K
	PackedQ3_K
	PackedQ4_K
	PackedQ5_K
	PackedQ6_K
	PackedIQ4NL
	PackedIQ4XS
	packingCount
)

const (
	unitCols  = 32
	wordBytes = 4 * Rows
	words     = unitCols / 4 // of a unit
)

// A scaleLayout says what is kept of the scales, for each unit or each 256
// columns of a panel. Everything comes Rows times.
type scaleLayout int

const (
	// Each unit: a float16 scale.
	scaleHalf scaleLayout = iota
	// Each unit: a float16 scale, then a float16 minimum.
	scaleHalves
	// Each 256 columns: a float16 d; then for each sub-block an int8 s.
	// The scale is d*s.
	scaleSigned
	// Each 256 columns: float16 d and dmin; then for each sub-block bytes s
	// and m. The scale is d*s, the minimum -(dmin*m).
	scaleMin
	// As scaleMin, with s and m in the low and the high half of a byte.
	scaleNibbles
)

// packings describe the formats to the generic code; _gen/packed.go has the same
// table for the kernels.
var packings = [packingCount]struct {
	low, high   int // bits of the planes
	sub, offset int // see IntPanels
	scales      scaleLayout
	levels      *[16]byte // what the bits stand for, if not for themselves
}{
	PackedQ8_0:  {8, 0, 32, 128, scaleHalf, nil},
	PackedQ4_0:  {4, 0, 32, 8, scaleHalf, nil},
	PackedQ4_1:  {4, 0, 32, 0, scaleHalves, nil},
	PackedQ5_0:  {4, 1, 32, 16, scaleHalf, nil},
	PackedQ5_1:  {4, 1, 32, 0, scaleHalves, nil},
	PackedQ2_K:  {2, 0, 16, 0, scaleNibbles, nil},
	PackedQ3_K:  {2, 1, 16, 4, scaleSigned, nil},
	PackedQ4_K:  {4, 0, 32, 0, scaleMin, nil},
	PackedQ5_K:  {4, 1, 32, 0, scaleMin, nil},
	PackedQ6_K:  {4, 2, 16, 32, scaleSigned, nil},
	PackedIQ4NL: {4, 0, 32, 128, scaleHalf, &iq4Levels},
	PackedIQ4XS: {4, 0, 32, 128, scaleSigned, &iq4Levels},
}

// iq4Levels are the sixteen levels of the IQ4 formats, plus 128.
var iq4Levels = [16]byte{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}

// Sub is the number of columns of a sub-block, and Offset what is subtracted
// from a code, as in IntPanels; a packing with an offset of 0 has minima.
func (p Packing) Sub() int    { return packings[p].sub }
func (p Packing) Offset() int { return packings[p].offset }

// Block is the number of columns that belong together: 32 or 256.
func (p Packing) Block() int {
	if packings[p].scales >= scaleSigned {
		return 256
	}
	return unitCols
}

// CodeBytes and ScaleBytes are the sizes of a panel of n columns, which are
// whole blocks.
func (p Packing) CodeBytes(n int) int { return n * Rows * (packings[p].low + packings[p].high) / 8 }

func (p Packing) ScaleBytes(n int) int { return n / p.Block() * p.scaleBlock() }

func (p Packing) scaleBlock() int {
	f := &packings[p]
	switch f.scales {
	case scaleHalf:
		return 2 * Rows
	case scaleHalves:
		return 4 * Rows
	case scaleSigned:
		return 2*Rows + 256/f.sub*Rows
	case scaleMin:
		return 4*Rows + 256/f.sub*2*Rows
	}
	return 4*Rows + 256/f.sub*Rows
}

// A Block is a row's part of a block of columns on its way into a packing.
type Block struct {
	Codes [256]byte // each below 2 to the number of bits
	D, M  uint16    // float16: the scale, and the minimum or what minima are multiplied with
	S, Ms [16]byte  // of the sub-blocks, where the block has 256 columns
}

// Put stores a block of row r of a panel as its block number n. codes and scales
// are the panel's, of CodeBytes and ScaleBytes.
func (p Packing) Put(codes, scales []byte, r, n int, b *Block) {
	f := &packings[p]
	unit := unitCols * Rows * (f.low + f.high) / 8
	for u := range p.Block() / unitCols {
		putUnit(codes[(n*p.Block()/unitCols+u)*unit:][:unit], 4*r, f.low, f.high, (*[unitCols]byte)(b.Codes[u*unitCols:]))
	}
	scales = scales[n*p.scaleBlock():][:p.scaleBlock()]
	binary.LittleEndian.PutUint16(scales[2*r:], b.D)
	if f.scales == scaleHalf {
		return
	}
	at := 2*Rows + r
	if f.scales != scaleSigned {
		binary.LittleEndian.PutUint16(scales[2*Rows+2*r:], b.M)
		at = 4*Rows + r
	}
	if f.scales == scaleHalves {
		return
	}
	for i := range 256 / f.sub {
		switch f.scales {
		case scaleSigned:
			scales[at+i*Rows] = b.S[i]
		case scaleMin:
			scales[at+2*i*Rows], scales[at+(2*i+1)*Rows] = b.S[i], b.Ms[i]
		case scaleNibbles:
			scales[at+i*Rows] = b.S[i] | b.Ms[i]<<4
		}
	}
}

// putUnit stores the codes q of a row, whose bytes are at the given place of
// each word. It handles two words at a time.
func putUnit(unit []byte, at, low, high int, q *[unitCols]byte) {
	const each = 0x0101010101010101
	var w [words / 2]uint64 // w[i] has words 2i and 2i+1
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(q[8*i:])
	}
	plane := 0
	switch low {
	case 8:
		for i, v := range w {
			putWords(unit, 2*i, at, v)
		}
	case 4:
		putWords(unit, 0, at, w[0]&(15*each)|w[2]&(15*each)<<4)
		putWords(unit, 2, at, w[1]&(15*each)|w[3]&(15*each)<<4)
		plane = 4
	case 2:
		putWords(unit, 0, at, quarters(w[0]&(3*each), w[1]&(3*each))|quarters(w[2]&(3*each), w[3]&(3*each))<<32)
		plane = 2
	}
	switch high {
	case 1:
		var v uint64
		for i, x := range w {
			x = x >> low & each
			v |= x<<(2*i) | x>>32<<(2*i+1)
		}
		binary.LittleEndian.PutUint32(unit[plane*wordBytes+at:], uint32(v))
	case 2:
		for i, x := range w {
			w[i] = x >> low & (3 * each)
		}
		putWords(unit, plane, at, quarters(w[0], w[1])|quarters(w[2], w[3])<<32)
	}
}

// quarters puts four words of 2 bits a byte, which a and b hold, into one.
func quarters(a, b uint64) uint64 {
	return uint64(uint32(a) | uint32(a>>32)<<2 | uint32(b)<<4 | uint32(b>>32)<<6)
}

// putWords stores the halves of v at the given place of a word and of the next.
func putWords(unit []byte, word, at int, v uint64) {
	p := unit[word*wordBytes+at:][:wordBytes+4]
	binary.LittleEndian.PutUint32(p, uint32(v))
	binary.LittleEndian.PutUint32(p[wordBytes:], uint32(v>>32))
}

// PackedPanels are panels of a packing, one behind the other.
type PackedPanels struct {
	Packing       Packing
	Codes, Scales []byte
	CodeStride    int // from one panel to the next, in bytes: CodeBytes of its columns
	ScaleStride   int // ScaleBytes of them
}

// at is where the columns from column k on of a panel begin. k is a multiple of
// a block, and n columns are there or it panics.
func (w *PackedPanels) at(panel, k, n int) (codes, scales []byte) {
	p := w.Packing
	if k%p.Block() != 0 || n%p.Block() != 0 {
		panic(fmt.Sprintf("asm: columns %d to %d of blocks of %d", k, k+n, p.Block()))
	}
	return w.Codes[panel*w.CodeStride+p.CodeBytes(k):][:p.CodeBytes(n)],
		w.Scales[panel*w.ScaleStride+p.ScaleBytes(k):][:p.ScaleBytes(n)]
}

// Unpack writes n columns of a panel, from column k on, as panel number to of
// dst. Both are whole blocks. The scales are d, or float32(d*s) with the numbers
// that Packing tells, and the minima likewise.
//
// It panics where dst is too small or is not of the packing's Sub, or w has not
// these columns.
func (w *PackedPanels) Unpack(dst *IntPanels, to, panel, k, n int) {
	if n == 0 {
		return
	}
	p := w.Packing
	src, packed := w.at(panel, k, n)
	if dst.Sub != p.Sub() || dst.Offset != p.Offset() || (dst.Mins != nil) != (p.Offset() == 0) {
		panic("asm: unpacking into panels of another kind")
	}
	codes := dst.Codes[to*dst.CodeStride:][:n*Rows]
	scales := dst.Scales[to*dst.ScaleStride:][:n/p.Sub()*Rows]
	var mins []float32
	if dst.Mins != nil {
		mins = dst.Mins[to*dst.ScaleStride:][:n/p.Sub()*Rows]
	}
	unpack(p, codes, scales, mins, src, packed)
}

// unpackGeneric defines the bits of Unpack.
func unpackGeneric(p Packing, codes []byte, scales, mins []float32, src, packed []byte) {
	f := &packings[p]
	unit := unitCols * Rows * (f.low + f.high) / 8
	for ; len(src) > 0; src, codes = src[unit:], codes[unitCols*Rows:] {
		for i := range unitCols * Rows {
			u := plane(src, f.low, i)
			if f.high > 0 {
				u |= plane(src[unitCols*Rows*f.low/8:], f.high, i) << f.low
			}
			if f.levels != nil {
				u = f.levels[u]
			}
			codes[i] = u
		}
	}
	for ; len(packed) > 0; packed = packed[p.scaleBlock():] {
		half := func(i int) float32 { return Float16(binary.LittleEndian.Uint16(packed[2*i:])) }
		for r := range Rows {
			switch f.scales {
			case scaleHalf:
				scales[r] = half(r)
			case scaleHalves:
				scales[r], mins[r] = half(r), half(Rows+r)
			case scaleSigned:
				for i := range 256 / f.sub {
					scales[i*Rows+r] = half(r) * float32(int8(packed[(2+i)*Rows+r]))
				}
			case scaleMin:
				for i := range 256 / f.sub {
					s, m := packed[(4+2*i)*Rows+r], packed[(5+2*i)*Rows+r]
					scales[i*Rows+r], mins[i*Rows+r] = half(r)*float32(s), -float32(half(Rows+r)*float32(m))
				}
			case scaleNibbles:
				for i := range 256 / f.sub {
					b := packed[(4+i)*Rows+r]
					scales[i*Rows+r], mins[i*Rows+r] = half(r)*float32(b&15), -float32(half(Rows+r)*float32(b>>4))
				}
			}
		}
		scales = scales[p.Block()/f.sub*Rows:]
		if mins != nil {
			mins = mins[p.Block()/f.sub*Rows:]
		}
	}
}

// plane gives the bits of code i of a unit from a plane of so many bits.
func plane(src []byte, bits, i int) byte {
	word, b := i/wordBytes, i%wordBytes
	switch bits {
	case 8:
		return src[i]
	case 4:
		return src[word%4*wordBytes+b] >> (word / 4 * 4) & 15
	case 2:
		return src[word/4*wordBytes+b] >> (word % 4 * 2) & 3
	}
	return src[b] >> word & 1
}

// MulPackedInt8 multiplies panels from a packing, all n columns of them, with one
// column that QuantizeInt8 made: what Unpack and MulInt8 give, in one pass over
// the weights. x has n quants, sub-block b the term t[b], and y gets panels*Rows
// outputs.
//
// It panics where a slice is too short or n is no multiple of a block.
func MulPackedInt8(y []float32, w *PackedPanels, first int, x []int8, t []Term, n, panels int) {
	if checkPacked(y, w, len(x), t, n, panels) {
		mulPackedInt8(y, w, first, x, t, n, panels)
	}
}

// MulPackedInt16 is MulPackedInt8 for a column that QuantizeInt16 made.
func MulPackedInt16(y []float32, w *PackedPanels, first int, x []int16, t []Term, n, panels int) {
	if checkPacked(y, w, len(x), t, n, panels) {
		mulPackedInt16(y, w, first, x, t, n, panels)
	}
}

func checkPacked(y []float32, w *PackedPanels, x int, t []Term, n, panels int) bool {
	if panels <= 0 || n <= 0 {
		return false
	}
	if n%w.Packing.Block() != 0 {
		panic(fmt.Sprintf("asm: %d columns of blocks of %d", n, w.Packing.Block()))
	}
	_ = y[panels*Rows-1]
	_ = t[n/w.Packing.Sub()-1]
	if x < n {
		panic(fmt.Sprintf("asm: %d quants for a column of %d", x, n))
	}
	return true
}

// mulPackedGeneric defines the bits of MulPackedInt8 and MulPackedInt16.
func mulPackedGeneric[T int8 | int16](y []float32, w *PackedPanels, first int, x []T, t []Term, n, panels int) {
	p := w.Packing
	var codes [256 * Rows]byte
	var scales, mins [16 * Rows]float32
	tile := IntPanels{Codes: codes[:], Scales: scales[:], Sub: p.Sub(), Offset: p.Offset()}
	if p.Offset() == 0 {
		tile.Mins = mins[:]
	}
	for panel := range panels {
		out := y[panel*Rows:][:Rows]
		clear(out)
		for k := 0; k < n; k += p.Block() {
			w.Unpack(&tile, 0, first+panel, k, p.Block())
			mulIntGeneric(out, Rows, &tile, x[k:], 0, t[k/p.Sub():], 1, p.Block(), 1, 1, true)
		}
	}
}

// Dequantize writes the weights of k columns of some panels as float32: element
// dst[p*stride + i*Rows + r] is row r of panel p at column i, as MulPanels reads
// it. A weight is float32(scale*(code - Offset)), and plus the minimum, rounded
// again, where there are minima.
//
// k is a multiple of w.Sub. It panics where a slice is too short.
func (w *IntPanels) Dequantize(dst []float32, stride, k, panels int) {
	if k <= 0 || panels <= 0 {
		return
	}
	if k%w.Sub != 0 {
		panic(fmt.Sprintf("asm: %d columns in sub-blocks of %d", k, w.Sub))
	}
	for p := range panels {
		codes, scales := w.Codes[p*w.CodeStride:][:k*Rows], w.Scales[p*w.ScaleStride:][:k/w.Sub*Rows]
		var mins []float32
		if w.Mins != nil {
			mins = w.Mins[p*w.ScaleStride:][:k/w.Sub*Rows]
		}
		dequantizeInts(dst[p*stride:][:k*Rows], codes, scales, mins, w.Sub, w.Offset)
	}
}

// dequantizeIntsGeneric defines the bits of Dequantize.
func dequantizeIntsGeneric(dst []float32, codes []byte, scales, mins []float32, sub, offset int) {
	for i := range len(dst) / Rows {
		for r := range Rows {
			u, at := codes[i/4*wordBytes+4*r+i%4], i/sub*Rows+r
			v := float32(scales[at] * float32(int32(u)-int32(offset)))
			if mins != nil {
				v += mins[at]
			}
			dst[i*Rows+r] = v
		}
	}
}
