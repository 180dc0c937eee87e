package main

import "fmt"

// Kernels for weights as they lie in memory. See Packing in ../../packed.go for
// the layout; the table below is the one there.

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
	levels := func(offset int) (words []uint32) {
		all := []int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
		for i := range 4 {
			word := uint32(0)
			for j, v := range all[4*i:][:4] {
				word |= uint32(byte(v+offset)) << (8 * j)
			}
			words = append(words, word)
		}
		return words
	}
	table("levels", levels(128)...)
	table("signedLevels", levels(0)...)
	for _, f := range packings {
		unpackPacked(f)
		for _, bits := range []int{8, 16} {
			mulPacked(f, bits, false)
			mulPacked(f, bits, true)
		}
	}
	for _, sub := range []int{16, 32} {
		for _, affine := range []bool{false, true} {
			dequantizeInts(sub, affine)
		}
	}
	widenHalves("widenNEON", fcvtl, fcvtl2)
	widenHalves("widenBFloat16NEON", shll, shll2)
}

// A decoder has what a kernel keeps in registers to make words of codes, a
// quarter of one at a time: the quarter h holds rows 4*h to 4*h+3.
type decoder struct {
	packing
	src                            R
	lowMask, highMask, table, flip V
	signed                         bool // codes less 128, for kernels that want them so
}

func newDecoder(f packing, src R, signed bool) *decoder {
	d := &decoder{packing: f, src: src, signed: signed}
	if f.low < 8 {
		d.lowMask = vector()
		movi(d.lowMask, 1<<f.low-1)
	}
	if f.high > 0 {
		d.highMask = vector()
		movi(d.highMask, (1<<f.high-1)<<f.low)
	}
	switch {
	case f.levels:
		d.table = vector()
		name, p := "levels", general()
		if signed {
			name = "signedLevels"
		}
		scalar("MOVD $%s<>(SB), %v", name, p)
		ldr(d.table, p, 0)
	case signed:
		d.flip = highBits(true)
	}
	return d
}

// unit makes a quarter of the eight words of a unit from its planes and hands
// each to use. The words of a sub-block follow each other.
func (d *decoder) unit(h int, use func(word int, v V)) {
	finish := func(word int, v V) {
		if d.levels {
			tbl(v, d.table, v)
		} else if d.signed {
			eor(v, v, d.flip)
		}
		use(word, v)
	}
	both, v, high := vector(), vector(), V(0)
	if d.high > 0 {
		high = vector()
	}
	upper := 64 * d.low // where the second plane begins
	if d.high == 1 {
		ldr(high, d.src, upper+16*h)
	}
	addHigh := func(word int) {
		left := d.low - word // how far the bits must move
		if d.high == 2 {
			left = d.low - word%4*2
			if word%4 == 0 {
				ldr(high, d.src, upper+64*(word/4)+16*h)
			}
		}
		if d.high > 0 {
			temporary(func() {
				moved := high
				if left != 0 {
					moved = vector()
					shiftBytes(moved, high, left)
				}
				bit(v, moved, d.highMask)
			})
		}
	}
	for i := range 8 {
		word := i
		switch d.low {
		case 8:
			ldr(v, d.src, 64*i+16*h)
		case 4:
			plane, upper := i%4, i >= 4
			if d.sub == 32 { // both words of a register, one after the other
				plane, upper = i/2, i%2 == 1
				word = plane + i%2*4
			}
			if !upper || d.sub != 32 {
				ldr(both, d.src, 64*plane+16*h)
			}
			if upper {
				shiftBytes(v, both, -4)
			} else {
				and(v, both, d.lowMask)
			}
		case 2:
			if i%4 == 0 {
				ldr(both, d.src, 64*(i/4)+16*h)
			}
			switch i % 4 {
			case 0:
				and(v, both, d.lowMask)
			case 3:
				shiftBytes(v, both, -6)
			default:
				shiftBytes(v, both, -2*(i%4))
				and(v, v, d.lowMask)
			}
		}
		addHigh(word)
		finish(word, v)
	}
}

// A scaler gives the scales and minima of a unit's sub-blocks.
type scaler struct {
	packing
	base, p R // of the block, and of the sub-blocks' bytes
	d, dmin []V
}

func newScaler(f packing) *scaler {
	s := &scaler{packing: f, base: load("scales")}
	if f.units() > 1 {
		s.p = general()
		s.d = vectors(4)
		if f.affine() {
			s.dmin = vectors(4)
		}
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

// half loads four float16 as float32.
func (s *scaler) half(v V, offset int) {
	ldrDouble(v, s.base, offset)
	fcvtl(v, v)
}

// beginBlock reads what the units of a block share.
func (s *scaler) beginBlock() {
	if s.units() == 1 {
		return
	}
	scalar("ADD  $%d, %v, %v", s.headerBytes(), s.base, s.p)
	for h, d := range s.d {
		s.half(d, 8*h)
	}
	for h, d := range s.dmin {
		s.half(d, 32+8*h)
		fneg(d, d)
	}
}

// scale and minimum give those of a sub-block of the unit, for a quarter.
func (s *scaler) scale(sub, h int) V {
	v := vector()
	if s.units() == 1 {
		s.half(v, 8*h)
		return v
	}
	switch s.scales {
	case scaleSigned:
		ldrSingle(v, s.p, 16*sub+4*h)
		sxtlB(v, v)
		sxtlH(v, v)
	case scaleMin:
		ldrSingle(v, s.p, 32*sub+4*h)
		uxtlB(v, v)
		uxtlH(v, v)
	default:
		ldrSingle(v, s.p, 16*sub+4*h)
		shiftBytes(v, v, 4)
		shiftBytes(v, v, -4)
		uxtlB(v, v)
		uxtlH(v, v)
	}
	scvtf(v, v)
	fmul(v, s.d[h], v)
	return v
}

func (s *scaler) minimum(sub, h int) V {
	v := vector()
	if s.units() == 1 {
		s.half(v, 32+8*h)
		return v
	}
	if s.scales == scaleMin {
		ldrSingle(v, s.p, 32*sub+16+4*h)
	} else {
		ldrSingle(v, s.p, 16*sub+4*h)
		shiftBytes(v, v, -4)
	}
	uxtlB(v, v)
	uxtlH(v, v)
	scvtf(v, v)
	fmul(v, s.dmin[h], v)
	return v
}

// eachUnit runs body for all units of the blocks, and then end.
func (s *scaler) eachUnit(body, end func()) {
	blocks := load("blocks")
	label("block")
	s.beginBlock()
	if s.units() == 1 {
		body()
		scalar("ADD  $%d, %v, %v", s.headerBytes(), s.base, s.base)
	} else {
		units := general()
		scalar("MOVD $%d, %v", s.units(), units)
		label("unit")
		body()
		step := 16 * s.subs()
		if s.scales == scaleMin {
			step *= 2
		}
		scalar("ADD  $%d, %v, %v", step, s.p, s.p)
		again(units, "unit")
		scalar("MOVD %v, %v", s.p, s.base)
	}
	again(blocks, "block")
	end()
	ret()
}

// unpackPacked writes the kernel that unpacks blocks of a panel.
func unpackPacked(f packing) {
	name := "unpack" + f.name + "NEON"
	function(name, name+" unpacks blocks of a panel, at least one; see unpackGeneric.",
		"codes *byte, s *float32, m *float32, src *byte, scales *byte, blocks int", "")
	dst, ds, dm, src := load("codes"), load("s"), load("m"), load("src")
	decode, scale := newDecoder(f, src, false), newScaler(f)
	scale.eachUnit(func() {
		for h := range 4 {
			temporary(func() {
				decode.unit(h, func(word int, v V) { str(v, dst, 64*word+16*h) })
			})
			for sub := range f.subs() {
				temporary(func() {
					str(scale.scale(sub, h), ds, 64*sub+16*h)
					if f.affine() {
						str(scale.minimum(sub, h), dm, 64*sub+16*h)
					}
				})
			}
		}
		scalar("ADD  $%d, %v, %v", f.bytesOfUnit(), src, src)
		scalar("ADD  $512, %v, %v", dst, dst)
		scalar("ADD  $%d, %v, %v", 64*f.subs(), ds, ds)
		if f.affine() {
			scalar("ADD  $%d, %v, %v", 64*f.subs(), dm, dm)
		}
	}, func() {})
}

// mulPacked writes the kernel that multiplies a panel, unpacked on the way, with
// one column of activations of so many bits.
//
// Integer sums of a sub-block and four rows are independent of the next ones, so
// that a processor overlaps them. Of Q4_K with the dot product extension four
// rows of a unit, 72 bytes, take 38 instructions.
func mulPacked(f packing, bits int, dotProd bool) {
	level := "NEON"
	if dotProd {
		level = "DotProd"
	}
	name := fmt.Sprintf("int%d%s%s", bits, f.name, level)
	function(name, fmt.Sprintf("%s multiplies a panel of 16 rows with one column, over at least one block; see mulPackedGeneric.", name),
		fmt.Sprintf("y *float32, src *byte, scales *byte, x *int%d, t *float32, blocks int", bits), "")
	src, x, t := load("src"), load("x"), load("t")
	signed := bits == 8 && f.offset == 128
	decode, scale := newDecoder(f, src, signed), newScaler(f)
	sums := vectors(4)
	for _, s := range sums {
		movi(s, 0)
	}
	var p products
	switch {
	case bits == 8 && dotProd:
		p = &bytesDotProd{signed, vectors(2), vector()}
	case bits == 8:
		p = newBytesNEON(signed)
	case dotProd:
		p = newWordsDotProd(f.offset == 128)
	default:
		p = &wordsNEON{x: vectors(8), sums: vectors(4)}
	}
	scale.eachUnit(func() {
		p.load(x)
		for h := range 4 {
			done := 0
			finish := func(word int) {
				sub := 4 * word / f.sub
				dot, term := p.dot(), vector()
				ldurDouble(term, t, termBytes*sub+termScale)
				if f.offset != 0 && !p.exact() {
					temporary(func() {
						bias := vector()
						ldrSingle(bias, t, termBytes*sub+termBias)
						dup(bias, bias, 0)
						addInt(dot, dot, bias)
					})
				}
				if f.affine() {
					temporary(func() { fmlaElement(sums[h], scale.minimum(sub, h), term, 1) })
				}
				s := scale.scale(sub, h)
				fmulElement(s, s, term, 0)
				scvtf(dot, dot)
				fmla(sums[h], s, dot)
			}
			temporary(func() {
				decode.unit(h, func(word int, v V) {
					if done%(f.sub/4) == 0 {
						p.begin()
					}
					temporary(func() { p.add(word, v) })
					if done++; done%(f.sub/4) == 0 {
						temporary(func() { finish(word) })
					}
				})
			})
		}
		scalar("ADD  $%d, %v, %v", f.bytesOfUnit(), src, src)
		scalar("ADD  $%d, %v, %v", termBytes*f.subs(), t, t)
	}, func() {
		store64(sums, load("y"), 0)
	})
}

// products are the ways to multiply words of four rows with a unit of quants.
type products interface {
	load(x R)          // loads a unit of quants and moves x past them
	begin()            // begins the sums of a sub-block
	add(word int, v V) // multiplies the codes v with the word's quants
	dot() V            // the sums of the four rows
	exact() bool       // whether they are those of code - offset
}

// bytesDotProd is how int8DotProd multiplies.
type bytesDotProd struct {
	signed bool
	x      []V // sixteen quants each
	sum    V
}

func (p *bytesDotProd) load(x R)          { ldpMove(p.x[0], p.x[1], x, 32) }
func (p *bytesDotProd) begin()            { movi(p.sum, 0) }
func (p *bytesDotProd) add(word int, v V) { sdotElement(p.sum, v, p.x[word/4], word%4) }
func (p *bytesDotProd) dot() V            { return p.sum }
func (p *bytesDotProd) exact() bool       { return p.signed }

// bytesNEON is how int8NEON multiplies.
type bytesNEON struct {
	signed       bool
	x            []V  // a word's quants each, spread
	halves       [2]V // sums of two rows each
	words        [2]V // of some products
	group, added int  // how many words' products may be added in words, and were
}

func newBytesNEON(signed bool) *bytesNEON {
	p := &bytesNEON{signed: signed, x: vectors(8), group: 4}
	if signed {
		p.group = 2
	}
	for i := range 2 {
		p.halves[i], p.words[i] = vector(), vector()
	}
	return p
}

func (p *bytesNEON) load(x R) {
	for _, v := range p.x {
		ld1rMove(v, x)
	}
}

func (p *bytesNEON) begin() {
	for _, v := range p.halves {
		movi(v, 0)
	}
}

func (p *bytesNEON) add(word int, v V) {
	lower, upper := smlal, smlal2
	if p.added == 0 {
		lower, upper = smull, smull2
	}
	lower(p.words[0], v, p.x[word])
	upper(p.words[1], v, p.x[word])
	if p.added++; p.added == p.group {
		p.added = 0
		for i, h := range p.halves {
			sadalp(h, p.words[i])
		}
	}
}

func (p *bytesNEON) dot() V {
	addp(p.halves[0], p.halves[0], p.halves[1])
	return p.halves[0]
}

func (p *bytesNEON) exact() bool { return p.signed }

// wordsDotProd is how int16DotProd multiplies.
type wordsDotProd struct {
	signed       bool
	upper, lower []V // bytes of sixteen quants each
	dots, rest   V   // sums of products with them
	flip, excess V
}

func newWordsDotProd(signed bool) *wordsDotProd {
	p := &wordsDotProd{signed: signed, upper: vectors(2), lower: vectors(2), dots: vector(), rest: vector()}
	if signed {
		p.flip, p.excess = highBits(true), vector()
	}
	return p
}

// A sub-block is a whole unit wherever the offset is 128, so that the excess is
// that of the unit.
func (p *wordsDotProd) load(x R) {
	if p.signed {
		movi(p.excess, 0)
	}
	temporary(func() {
		a, b := vector(), vector()
		for i := range p.upper {
			ldpMove(a, b, x, 32)
			uzp1Bytes(p.lower[i], a, b)
			uzp2Bytes(p.upper[i], a, b)
			if p.signed {
				udot(p.excess, p.lower[i], p.flip)
			}
		}
	})
	if p.signed {
		addv(p.excess, p.excess)
		dup(p.excess, p.excess, 0)
	}
}

func (p *wordsDotProd) begin() {
	movi(p.dots, 0)
	movi(p.rest, 0)
}

func (p *wordsDotProd) add(word int, v V) {
	udotElement(p.rest, v, p.lower[word/4], word%4)
	if p.signed {
		eor(v, v, p.flip)
	}
	sdotElement(p.dots, v, p.upper[word/4], word%4)
}

func (p *wordsDotProd) dot() V {
	shl(p.dots, p.dots, 8)
	if p.signed {
		subInt(p.dots, p.dots, p.excess)
	}
	addInt(p.dots, p.dots, p.rest)
	return p.dots
}

func (p *wordsDotProd) exact() bool { return p.signed }

// wordsNEON multiplies codes of 16 bits, two rows in a register, with a word's
// quants. Each row has a register of sums, one for each column of a word.
type wordsNEON struct {
	x    []V // a word's quants each, twice
	sums []V
}

func (p *wordsNEON) load(x R) {
	for _, v := range p.x {
		ld1rDoubleMove(v, x)
	}
}

func (p *wordsNEON) begin() {
	for _, v := range p.sums {
		movi(v, 0)
	}
}

func (p *wordsNEON) add(word int, v V) {
	wide := vector()
	for i, extend := range []func(d, n V){uxtlB, uxtl2B} {
		extend(wide, v)
		smlalWords(p.sums[2*i], wide, p.x[word])
		smlal2Words(p.sums[2*i+1], wide, p.x[word])
	}
}

func (p *wordsNEON) dot() V {
	s := p.sums
	addp(s[0], s[0], s[1])
	addp(s[2], s[2], s[3])
	addp(s[0], s[0], s[2])
	return s[0]
}

func (p *wordsNEON) exact() bool { return false }

// dequantizeInts writes the kernel that makes float32 of unpacked codes. LD4
// deals a word so that a register holds one column of all rows.
func dequantizeInts(sub int, affine bool) {
	kind := "Scaled"
	if affine {
		kind = "Affine"
	}
	name := fmt.Sprintf("dequantize%s%dNEON", kind, sub)
	function(name, name+" dequantises sub-blocks of a panel, at least one; see dequantizeIntsGeneric.",
		"dst *float32, codes *byte, s *float32, m *float32, offset int, blocks int", "")
	dst, codes, s, m := load("dst"), load("codes"), load("s"), load("m")
	offsets, blocks, words := load("offset"), load("blocks"), general()
	w, offset, scales, minima := vectors(4), vector(), vectors(4), vectors(4)
	wide, y := vectors(2), vectors(4)
	dupWords(offset, offsets)
	label("block")
	load64Move(scales, s)
	if affine {
		load64Move(minima, m)
	}
	scalar("MOVD $%d, %v", sub/4, words)
	label("word")
	ld4Move(w, codes)
	for _, w := range w {
		uxtlB(wide[0], w)
		uxtl2B(wide[1], w)
		for i, v := range wide {
			subWords(v, v, offset)
			sxtlH(y[2*i], v)
			sxtl2H(y[2*i+1], v)
		}
		for _, y := range y {
			scvtf(y, y)
		}
		for h, y := range y {
			fmul(y, y, scales[h])
		}
		if affine {
			for h, y := range y {
				fadd(y, y, minima[h])
			}
		}
		for h := 0; h < 4; h += 2 {
			stpMove(y[h], y[h+1], dst, 32)
		}
	}
	again(words, "word")
	again(blocks, "block")
	ret()
}

// widenHalves writes a kernel that widens 16-bit floats, given instructions for
// the lower and the upper four of a register.
func widenHalves(name string, lower, upper func(d, n V)) {
	function(name, name+" widens src[i] to dst[i] for i < n, a positive multiple of 16.", "dst *float32, src *uint16, n int", "")
	dst, src, n := load("dst"), load("src"), load("n")
	h, y := vectors(2), vectors(4)
	loop16(n, func() {
		ldpMove(h[0], h[1], src, 32)
		for i := range h {
			lower(y[2*i], h[i])
			upper(y[2*i+1], h[i])
		}
		for i := 0; i < 4; i += 2 {
			stpMove(y[i], y[i+1], dst, 32)
		}
	})
	ret()
}
