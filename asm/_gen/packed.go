package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Kernels for weights as they lie in memory. See Packing in ../packed.go for the
// layout; the table below is the one there.

type scaleLayout int

const (
	scaleHalf scaleLayout = iota
	scaleHalves
	scaleSigned
	scaleMin
	scaleNibbles
)

type packing struct {
	name        string
	low, high   int // bits of the planes
	sub, offset int
	scales      scaleLayout
	levels      bool
}

var packings = []packing{
	{"Q8_0", 8, 0, 32, 128, scaleHalf, false},
	{"Q4_0", 4, 0, 32, 8, scaleHalf, false},
	{"Q4_1", 4, 0, 32, 0, scaleHalves, false},
	{"Q5_0", 4, 1, 32, 16, scaleHalf, false},
	{"Q5_1", 4, 1, 32, 0, scaleHalves, false},
	{"Q2_K", 2, 0, 16, 0, scaleNibbles, false},
	{"Q3_K", 2, 1, 16, 4, scaleSigned, false},
	{"Q4_K", 4, 0, 32, 0, scaleMin, false},
	{"Q5_K", 4, 1, 32, 0, scaleMin, false},
	{"Q6_K", 4, 2, 16, 32, scaleSigned, false},
	{"IQ4NL", 4, 0, 32, 128, scaleHalf, true},
	{"IQ4XS", 4, 0, 32, 128, scaleSigned, true},
}

func (f packing) affine() bool { return f.offset == 0 }

// units is the number of units of 32 columns that share d.
func (f packing) units() int {
	if f.scales >= scaleSigned {
		return 8
	}
	return 1
}

// subs is the number of sub-blocks of a unit.
func (f packing) subs() int { return 32 / f.sub }

// bytesOfUnit is the size of a panel's codes for a unit.
func (f packing) bytesOfUnit() int { return 64 * (f.low + f.high) }

// packed writes all of them.
func packed() {
	for _, f := range packings {
		for _, wide := range []bool{false, true} {
			unpackPacked(f, wide)
			mulPacked(f, wide, 8)
			mulPacked(f, wide, 16)
		}
	}
	for _, wide := range []bool{false, true} {
		for _, sub := range []int{16, 32} {
			for _, affine := range []bool{false, true} {
				dequantizeInts(sub, affine, wide)
			}
		}
		widenBFloat16(wide)
	}
}

// lanes are registers of a width: a wide one holds all 16 rows of a panel, and a
// narrow one rows 0 to 7 or 8 to 15, the halves 0 and 1.
type lanes struct {
	wide   bool
	bytes  int
	halves int
}

func lanesOf(wide bool) lanes {
	if wide {
		return lanes{true, 64, 1}
	}
	return lanes{false, 32, 2}
}

func (l lanes) suffix(ifWide string) string {
	if l.wide {
		return ifWide
	}
	return "AVX2"
}

func (l lanes) reg() VecVirtual {
	if l.wide {
		return ZMM()
	}
	return YMM()
}

// lower is a register of half the width.
func (l lanes) lower() VecVirtual {
	if l.wide {
		return YMM()
	}
	return XMM()
}

func (l lanes) load(m Mem) VecVirtual {
	v := l.reg()
	VMOVUPS(m, v)
	return v
}

func (l lanes) and(a Op, b, dst Op) {
	if l.wide {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}

func (l lanes) xor(a Op, b, dst Op) {
	if l.wide {
		VPXORD(a, b, dst)
	} else {
		VPXOR(a, b, dst)
	}
}

// orMasked sets dst |= v & mask.
func (l lanes) orMasked(v, dst, mask VecVirtual) {
	if l.wide {
		VPTERNLOGD(Imm(0xf8), mask, v, dst)
		return
	}
	VPAND(mask, v, v)
	VPOR(v, dst, dst)
}

// shifted is v shifted to the left, or by a negative number to the right. Bits
// cross from byte to byte: the caller masks them.
func (l lanes) shifted(v VecVirtual, left int) VecVirtual {
	s := l.reg()
	switch {
	case left > 0:
		VPSLLD(Imm(uint64(left)), v, s)
	case left < 0:
		VPSRLD(Imm(uint64(-left)), v, s)
	case l.wide:
		VMOVDQA32(v, s)
	default:
		VMOVDQA(v, s)
	}
	return s
}

// everyByte holds a byte in each place of a register.
func (l lanes) everyByte(b uint32) VecVirtual {
	v := l.reg()
	VPBROADCASTD(vector(fmt.Sprintf("bytes%02x", b), b*0x01010101), v)
	return v
}

// A decoder has what a kernel keeps in registers to make words of codes.
type decoder struct {
	packing
	lanes
	lowMask, highMask, table VecVirtual
	signed                   bool // codes less the offset, for kernels that want them so
}

func newDecoder(f packing, l lanes, signed bool) *decoder {
	d := &decoder{packing: f, lanes: l, signed: signed}
	if f.low < 8 {
		d.lowMask = l.everyByte(1<<f.low - 1)
	}
	if f.high > 0 {
		d.highMask = l.everyByte((1<<f.high - 1) << f.low)
	}
	if f.levels {
		d.table = l.reg()
		table := levelTable(signed)
		if l.wide {
			VBROADCASTI32X4(table, d.table)
		} else {
			VBROADCASTI128(table, d.table)
		}
	}
	return d
}

var levelTables [2]Mem

// levelTable holds the levels of the IQ4 formats, plus 128 unless signed.
func levelTable(signed bool) Mem {
	i, add := 0, 128
	if signed {
		i, add = 1, 0
	}
	if levelTables[i].Symbol.Name == "" {
		m := GLOBL(fmt.Sprintf("levels%d", add), RODATA|NOPTR)
		for j, v := range []int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113} {
			DATA(j, U8(byte(v+add)))
		}
		levelTables[i] = m
	}
	return levelTables[i]
}

// unit makes the eight words of a unit from its planes, in an order that keeps
// few registers busy, and hands each to use. at is where byte n of the unit is.
func (d *decoder) unit(at func(n int) Mem, use func(word int, v VecVirtual)) {
	finish := func(word int, v VecVirtual) {
		if d.levels {
			VPSHUFB(v, d.table, v)
		} else if d.signed {
			d.xor(vector("bytes80", 0x80808080), v, v)
		}
		use(word, v)
	}
	if d.low == 8 {
		for word := range 8 {
			finish(word, d.load(at(64*word)))
		}
		return
	}
	upper := 64 * d.low // where the second plane begins
	var high [2]VecVirtual
	if d.high == 1 {
		high[0] = d.load(at(upper))
	}
	// addHigh adds the upper bits of a word.
	addHigh := func(word int, v VecVirtual) {
		switch d.high {
		case 1:
			d.orMasked(d.shifted(high[0], d.low-word), v, d.highMask)
		case 2:
			if word%4 == 0 && high[word/4] == nil {
				high[word/4] = d.load(at(upper + 64*(word/4)))
			}
			d.orMasked(d.shifted(high[word/4], d.low-2*(word%4)), v, d.highMask)
		}
	}
	perByte := 8 / d.low // words that share a register
	for i := range 8 / perByte {
		both := d.load(at(64 * i))
		for j := range perByte {
			word := i + 4*j // of a nibble
			if d.low == 2 {
				word = 4*i + j
			}
			v := both
			if j == 0 {
				v = d.reg()
				d.and(d.lowMask, both, v)
			} else {
				if j+1 < perByte { // it is needed again
					v = d.shifted(both, -d.low*j)
				} else {
					VPSRLD(Imm(uint64(d.low*j)), v, v)
				}
				d.and(d.lowMask, v, v)
			}
			addHigh(word, v)
			finish(word, v)
		}
	}
}

// fromHalf, fromInt8 and fromByte load numbers and make them float32.
func (l lanes) fromHalf(m Mem) VecVirtual {
	v := l.reg()
	VCVTPH2PS(m, v)
	return v
}

func (l lanes) fromInt8(m Mem) VecVirtual {
	v := l.reg()
	VPMOVSXBD(m, v)
	VCVTDQ2PS(v, v)
	return v
}

func (l lanes) fromByte(m Mem) VecVirtual {
	v := l.reg()
	VPMOVZXBD(m, v)
	VCVTDQ2PS(v, v)
	return v
}

// A scaler gives the scales and minima of a unit's sub-blocks.
type scaler struct {
	packing
	lanes
	base, p GPVirtual // of the block, and of the sub-blocks' bytes
	d, dmin []VecVirtual
}

func newScaler(f packing, l lanes) *scaler {
	s := &scaler{packing: f, lanes: l, base: GP64()}
	Load(Param("scales"), s.base)
	if f.units() > 1 {
		s.p = GP64()
	}
	return s
}

// headerBytes is what precedes the bytes of the sub-blocks.
func (s *scaler) headerBytes() int {
	if s.scales == scaleSigned || s.scales == scaleHalf {
		return 32
	}
	return 64
}

// beginBlock reads what the units of a block share, if registers suffice.
func (s *scaler) beginBlock() {
	if s.units() == 1 {
		return
	}
	LEAQ(Mem{Base: s.base, Disp: s.headerBytes()}, s.p)
	if s.wide {
		s.d = []VecVirtual{s.fromHalf(Mem{Base: s.base})}
		if s.affine() {
			s.dmin = []VecVirtual{s.negativeMin(0)}
		}
	}
}

func (s *scaler) negativeMin(half int) VecVirtual {
	v := s.fromHalf(Mem{Base: s.base, Disp: 32 + 16*half})
	sign := s.reg()
	VPBROADCASTD(vector("signBit", 0x80000000), sign)
	s.xor(sign, v, v)
	return v
}

// scale and minimum are those of a sub-block of the unit, for a half.
func (s *scaler) scale(sub, half int) VecVirtual {
	if s.units() == 1 {
		return s.fromHalf(Mem{Base: s.base, Disp: 16 * half})
	}
	var v VecVirtual
	switch s.scales {
	case scaleSigned:
		v = s.fromInt8(Mem{Base: s.p, Disp: 16*sub + 8*half})
	case scaleMin:
		v = s.fromByte(Mem{Base: s.p, Disp: 32*sub + 8*half})
	default:
		v = s.reg()
		VPMOVZXBD(Mem{Base: s.p, Disp: 16*sub + 8*half}, v)
		low := s.reg()
		VPBROADCASTD(vector("low4", 15), low)
		s.and(low, v, v)
		VCVTDQ2PS(v, v)
	}
	if s.d != nil {
		VMULPS(s.d[0], v, v)
	} else {
		d := s.fromHalf(Mem{Base: s.base, Disp: 16 * half})
		VMULPS(d, v, v)
	}
	return v
}

func (s *scaler) minimum(sub, half int) VecVirtual {
	if s.units() == 1 {
		return s.fromHalf(Mem{Base: s.base, Disp: 32 + 16*half})
	}
	var v VecVirtual
	if s.scales == scaleMin {
		v = s.fromByte(Mem{Base: s.p, Disp: 32*sub + 16 + 8*half})
	} else {
		v = s.reg()
		VPMOVZXBD(Mem{Base: s.p, Disp: 16*sub + 8*half}, v)
		VPSRLD(Imm(4), v, v)
		VCVTDQ2PS(v, v)
	}
	if s.dmin != nil {
		VMULPS(s.dmin[0], v, v)
	} else {
		VMULPS(s.negativeMin(half), v, v)
	}
	return v
}

// endUnit and endBlock move on.
func (s *scaler) endUnit() {
	if s.units() > 1 {
		n := 16 * s.subs()
		if s.scales == scaleMin {
			n *= 2
		}
		ADDQ(Imm(uint64(n)), s.p)
	}
}

func (s *scaler) endBlock() {
	if s.units() > 1 {
		MOVQ(s.p, s.base)
	} else {
		ADDQ(Imm(uint64(s.headerBytes())), s.base)
	}
}

// eachUnit runs body for all units of the blocks, and then end.
func (s *scaler) eachUnit(body, end func()) {
	blocks := Load(Param("blocks"), GP64())
	Label("block")
	s.beginBlock()
	if s.units() == 1 {
		body()
	} else {
		units := GP64()
		MOVQ(U32(uint32(s.units())), units)
		Label("unit")
		body()
		s.endUnit()
		DECQ(units)
		JNZ(LabelRef("unit"))
	}
	s.endBlock()
	DECQ(blocks)
	JNZ(LabelRef("block"))
	end()
	VZEROUPPER()
	RET()
}

// unpackPacked writes the kernel that unpacks blocks of a panel.
func unpackPacked(f packing, wide bool) {
	l := lanesOf(wide)
	name := "unpack" + f.name + l.suffix("AVX512")
	TEXT(name, NOSPLIT, "func(codes *byte, s, m *float32, src, scales *byte, blocks int)")
	Pragma("noescape")
	Doc(name + " unpacks blocks of a panel; see unpackGeneric.")
	dst, src := Load(Param("codes"), GP64()), Load(Param("src"), GP64())
	ds, dm := Load(Param("s"), GP64()), GPVirtual(nil)
	if f.affine() {
		dm = GP64()
		Load(Param("m"), dm)
	}
	decode, scale := newDecoder(f, l, false), newScaler(f, l)
	scale.eachUnit(func() {
		for h := range l.halves {
			decode.unit(func(n int) Mem { return Mem{Base: src, Disp: n + 32*h} }, func(word int, v VecVirtual) {
				VMOVUPS(v, Mem{Base: dst, Disp: 64*word + 32*h})
			})
			for sub := range f.subs() {
				VMOVUPS(scale.scale(sub, h), Mem{Base: ds, Disp: 64*sub + 32*h})
				if f.affine() {
					VMOVUPS(scale.minimum(sub, h), Mem{Base: dm, Disp: 64*sub + 32*h})
				}
			}
		}
		ADDQ(U32(uint32(f.bytesOfUnit())), src)
		ADDQ(U32(512), dst)
		ADDQ(U32(uint32(64*f.subs())), ds)
		if f.affine() {
			ADDQ(U32(uint32(64*f.subs())), dm)
		}
	}, func() {})
}

// codesAhead is how far ahead mulPacked asks for codes, in bytes. Processors follow a
// stream by themselves, but not beyond a page of 4096 bytes. It gained a seventh where
// two threads read codes of 4 or 6 bits, a little more in the second cache than in the
// first; half and twice as much gained less.
const codesAhead = 4096

// mulPacked writes the kernel that multiplies a panel, unpacked on the way, with
// one column of activations of so many bits.
//
// It is bound by memory. Integer sums of a sub-block are independent of those of
// the next one, so that a processor overlaps them.
func mulPacked(f packing, wide bool, bits int) {
	l, size := lanesOf(wide), bits/8
	name := fmt.Sprintf("int%d%s%s", bits, f.name, l.suffix("VNNI"))
	TEXT(name, NOSPLIT, fmt.Sprintf("func(y *float32, src, scales *byte, x *int%d, t *float32, blocks int)", bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s multiplies a panel of 16 rows with one column; see mulPackedGeneric.", name))
	// With an offset of 128, bytes are multiplied as int8: see signedBytes.
	signed := !wide && bits == 8 && f.offset == 128
	src, x, t := Load(Param("src"), GP64()), Load(Param("x"), GP64()), Load(Param("t"), GP64())
	decode, scale := newDecoder(f, l, signed), newScaler(f, l)
	var sums, ones [2]VecVirtual
	for h := range l.halves {
		sums[h] = l.reg()
		l.xor(sums[h], sums[h], sums[h])
	}
	if !wide && bits == 8 {
		ones[0] = YMM()
		VMOVDQU(vector("wordOnes", 0x00010001), ones[0])
	}
	scale.eachUnit(func() {
		for h := range l.halves {
			dots := make([]VecVirtual, f.subs())
			for sub := range dots {
				dots[sub] = l.reg()
				if signed {
					VPXOR(dots[sub], dots[sub], dots[sub])
				} else {
					VPBROADCASTD(Mem{Base: t, Disp: termBytes*sub + termBias}, dots[sub])
				}
			}
			decode.unit(func(n int) Mem { return Mem{Base: src, Disp: n + 32*h} }, func(word int, v VecVirtual) {
				dot := dots[4*word/f.sub]
				quants := func(pair int) Mem { return Mem{Base: x, Disp: size*4*word + 4*pair} }
				switch {
				case wide && bits == 8:
					VPDPBUSD_BCST(quants(0), v, dot)
				case bits == 8:
					q := YMM()
					VPBROADCASTD(quants(0), q)
					if signed {
						VPSIGNB(v, q, q)
						VPABSB(v, v)
					}
					VPMADDUBSW(q, v, q)
					VPMADDWD(ones[0], q, q)
					VPADDD(q, dot, dot)
				default:
					for pair, shuffle := range widenShuffles() {
						u := l.reg()
						VPSHUFB(shuffle, v, u)
						if wide {
							VPDPWSSD_BCST(quants(pair), u, dot)
							continue
						}
						q := YMM()
						VPBROADCASTD(quants(pair), q)
						VPMADDWD(q, u, q)
						VPADDD(q, dot, dot)
					}
				}
			})
			for sub, dot := range dots {
				if f.affine() {
					minimum := scale.minimum(sub, h)
					if wide {
						VFMADD231PS_BCST(Mem{Base: t, Disp: termBytes*sub + termSum}, minimum, sums[h])
					} else {
						sum := YMM()
						VBROADCASTSS(Mem{Base: t, Disp: termBytes*sub + termSum}, sum)
						VFMADD231PS(sum, minimum, sums[h])
					}
				}
				product := scale.scale(sub, h)
				if wide {
					VMULPS_BCST(Mem{Base: t, Disp: termBytes*sub + termScale}, product, product)
				} else {
					a := YMM()
					VBROADCASTSS(Mem{Base: t, Disp: termBytes*sub + termScale}, a)
					VMULPS(a, product, product)
				}
				VCVTDQ2PS(dot, dot)
				VFMADD231PS(dot, product, sums[h])
			}
		}
		for i := 0; i < f.bytesOfUnit(); i += 64 {
			PREFETCHT1(Mem{Base: src, Disp: codesAhead + i})
		}
		ADDQ(U32(uint32(f.bytesOfUnit())), src)
		ADDQ(Imm(uint64(32*size)), x)
		ADDQ(Imm(uint64(termBytes*f.subs())), t)
	}, func() {
		y := Load(Param("y"), GP64())
		for h := range l.halves {
			VMOVUPS(sums[h], Mem{Base: y, Disp: 32 * h})
		}
	})
}

// dequantizeInts writes the kernel that makes float32 of unpacked codes: a word
// of four columns is shifted and masked to have a code of each row in a lane.
func dequantizeInts(sub int, affine, wide bool) {
	l := lanesOf(wide)
	kind := "Scaled"
	if affine {
		kind = "Affine"
	}
	name := fmt.Sprintf("dequantize%s%d%s", kind, sub, l.suffix("AVX512"))
	TEXT(name, NOSPLIT, "func(dst *float32, codes *byte, s, m *float32, offset, blocks int)")
	Pragma("noescape")
	Doc(name + " dequantises sub-blocks of a panel; see dequantizeIntsGeneric.")
	dst, codes := Load(Param("dst"), GP64()), Load(Param("codes"), GP64())
	s, m := Load(Param("s"), GP64()), Load(Param("m"), GP64())
	blocks := Load(Param("blocks"), GP64())
	offset, mask := l.reg(), l.reg()
	parameter, err := Param("offset").Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTD(parameter.Addr, offset)
	VPBROADCASTD(vector("lowByte", 255), mask)
	steps := GP64()
	Label("block")
	var scales, mins [2]VecVirtual
	for h := range l.halves {
		scales[h] = l.load(Mem{Base: s, Disp: 32 * h})
		if affine {
			mins[h] = l.load(Mem{Base: m, Disp: 32 * h})
		}
	}
	MOVQ(U32(uint32(sub/4)), steps)
	Label("step")
	for h := range l.halves {
		word := l.load(Mem{Base: codes, Disp: 32 * h})
		for c := range 4 {
			v := l.shifted(word, -8*c)
			if c < 3 {
				l.and(mask, v, v)
			}
			if !affine {
				VPSUBD(offset, v, v)
			}
			VCVTDQ2PS(v, v)
			VMULPS(scales[h], v, v)
			if affine {
				VADDPS(mins[h], v, v)
			}
			VMOVUPS(v, Mem{Base: dst, Disp: 64*c + 32*h})
		}
	}
	ADDQ(Imm(64), codes)
	ADDQ(U32(256), dst)
	DECQ(steps)
	JNZ(LabelRef("step"))
	ADDQ(Imm(64), s)
	ADDQ(Imm(64), m)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

func widenBFloat16(wide bool) {
	l := lanesOf(wide)
	name := "widenBFloat16" + l.suffix("AVX512")
	TEXT(name, NOSPLIT, "func(dst *float32, src *uint16, n int)")
	Pragma("noescape")
	Doc(name + " widens the bfloat16 src[i] to dst[i] for i < n, a multiple of 16.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	SHRQ(Imm(4), n)
	JZ(LabelRef("done"))
	Label("loop")
	for h := range l.halves {
		v := l.reg()
		VPMOVZXWD(Mem{Base: src, Disp: 16 * h}, v)
		VPSLLD(Imm(16), v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * h})
	}
	ADDQ(Imm(32), src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
