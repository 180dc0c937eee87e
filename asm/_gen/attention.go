package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	. "github.com/mmcloughlin/avo/reg"
)

// attention writes what surrounds the products of attention: rotations, the
// layouts of keys and values, their float16 form, and the greatest score.
func attention(c expConstants) {
	for cols := 2; cols <= 6; cols++ {
		panelsAVX2(1, cols, true)
		panelsAVX512(4, cols, true)
	}
	softmaxAVX512(c)
	maxAVX512()
	sumSquaresRowsAVX2()
	dotRowsAVX2()
	dotRowsAVX512()
	finiteAVX2()
	rotateHalvesAVX2()
	rotatePairsAVX2()
	panelRowsAVX2()
	widenAVX2()
	widenAVX512()
	narrowAVX2()
	narrowAVX512()
}

// maxAVX512 keeps four registers of greatest elements: one would wait for its
// own comparisons. The greatest of many is the same whichever way they are
// compared.
func maxAVX512() {
	TEXT("maxAVX512", NOSPLIT, "func(x *float32, n int) float32")
	Pragma("noescape")
	Doc("maxAVX512 gives the greatest x[i] for i < n, a positive multiple of 16.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	var a [4]VecVirtual
	for i := range a {
		a[i] = ZMM()
		VMOVUPS(Mem{Base: x}, a[i])
	}
	SHRQ(Imm(4), n)
	Label("four")
	CMPQ(n, Imm(4))
	JLT(LabelRef("one"))
	for i := range a {
		VMAXPS(Mem{Base: x, Disp: 64 * i}, a[i], a[i])
	}
	ADDQ(U32(256), x)
	SUBQ(Imm(4), n)
	JMP(LabelRef("four"))
	Label("one")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	VMAXPS(Mem{Base: x}, a[0], a[0])
	ADDQ(Imm(64), x)
	DECQ(n)
	JMP(LabelRef("one"))
	Label("done")
	VMAXPS(a[1], a[0], a[0])
	VMAXPS(a[3], a[2], a[2])
	VMAXPS(a[2], a[0], a[0])
	upper := YMM()
	VEXTRACTF64X4(Imm(1), a[0], upper)
	VMAXPS(upper, a[0].AsY(), a[0].AsY())
	Store(greatest(a[0], upperEVEX), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// greatest reduces the eight lower lanes of m to the greatest.
func greatest(m VecVirtual, extract func(v, half VecVirtual)) Register {
	half := XMM()
	extract(m, half)
	q := m.AsX()
	VMAXPS(half, q, q)
	VPERMILPS(Imm(0x4e), q, half)
	VMAXPS(half, q, q)
	VPERMILPS(Imm(0xb1), q, half)
	VMAXPS(half, q, q)
	return q
}

// softmaxAVX512 finds the greatest, takes exponentials two registers at a time,
// so that one chain of instructions waits while the other goes on, and adds
// them. In the last register elements beyond n are left out by a mask. The
// exponents are not positive, so that Exp's upper bound is not needed.
func softmaxAVX512(c expConstants) {
	TEXT("softmaxAVX512", NOSPLIT, "func(x *float32, n int, scale float32) float32")
	Pragma("noescape")
	Doc("softmaxAVX512 replaces x[i] by exp(x[i]*scale - shift) for i < n, n > 0, with shift the greatest x[i]*scale, and gives the sum; see Softmax.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	// A mask of the last 1 to 16 elements, and the registers before them.
	ones, count, tail := GP64(), reg.RCX, K()
	MOVQ(n, count)
	DECQ(count)
	ANDQ(Imm(15), count)
	MOVQ(U32(2), ones)
	SHLQ(reg.CL, ones)
	DECQ(ones)
	KMOVW(ones.As32(), tail)
	DECQ(n)
	SHRQ(Imm(4), n)

	// The greatest. Lanes beyond n repeat those of -Inf.
	p, left := GP64(), GP64()
	MOVQ(x, p)
	MOVQ(n, left)
	lowest := broadcast(vector("negativeInfinity", 0xff800000))
	var m [4]VecVirtual
	for i := range m {
		m[i] = ZMM()
		VMOVAPS(lowest, m[i])
	}
	Label("maxFour")
	CMPQ(left, Imm(4))
	JLT(LabelRef("maxOne"))
	for i := range m {
		VMAXPS(Mem{Base: p, Disp: 64 * i}, m[i], m[i])
	}
	ADDQ(U32(256), p)
	SUBQ(Imm(4), left)
	JMP(LabelRef("maxFour"))
	Label("maxOne")
	TESTQ(left, left)
	JZ(LabelRef("maxLast"))
	VMAXPS(Mem{Base: p}, m[0], m[0])
	ADDQ(Imm(64), p)
	DECQ(left)
	JMP(LabelRef("maxOne"))
	Label("maxLast")
	VMAXPS(Mem{Base: p}, m[1], tail, m[1])
	VMAXPS(m[1], m[0], m[0])
	VMAXPS(m[3], m[2], m[2])
	VMAXPS(m[2], m[0], m[0])
	upper := YMM()
	VEXTRACTF64X4(Imm(1), m[0], upper)
	VMAXPS(upper, m[0].AsY(), m[0].AsY())
	top := greatest(m[0], upperEVEX)
	zero := XMM()
	VXORPS(zero, zero, zero)
	VADDSS(zero, top, top) // -0 becomes +0
	scale := broadcast(address("scale"))
	shift := ZMM()
	VBROADCASTSS(top, shift)
	VMULPS(scale, shift, shift)

	r := c.load()
	sum := ZMM()
	VPXORD(sum, sum, sum)
	exponential := func(v VecVirtual) {
		VMULPS(scale, v, v)
		VSUBPS(shift, v, v)
		expBody512(r, v, false)
	}
	Label("expTwo")
	CMPQ(n, Imm(2))
	JLT(LabelRef("expOne"))
	a, b := ZMM(), ZMM()
	VMOVUPS(Mem{Base: x}, a)
	VMOVUPS(Mem{Base: x, Disp: 64}, b)
	exponential(a)
	exponential(b)
	VMOVUPS(a, Mem{Base: x})
	VMOVUPS(b, Mem{Base: x, Disp: 64})
	VADDPS(a, sum, sum)
	VADDPS(b, sum, sum)
	ADDQ(U32(128), x)
	SUBQ(Imm(2), n)
	JMP(LabelRef("expTwo"))
	Label("expOne")
	TESTQ(n, n)
	JZ(LabelRef("expLast"))
	a = ZMM()
	VMOVUPS(Mem{Base: x}, a)
	exponential(a)
	VMOVUPS(a, Mem{Base: x})
	VADDPS(a, sum, sum)
	ADDQ(Imm(64), x)
	Label("expLast")
	a = ZMM()
	VMOVUPS_Z(Mem{Base: x}, tail, a)
	exponential(a)
	VMOVUPS(a, tail, Mem{Base: x})
	VADDPS(a, sum, tail, sum)
	Store(folded(sum), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// folded adds the lanes of a ZMM register as Fold does: lane i+8 to lane i, then
// i+4, i+2 and i+1.
func folded(v VecVirtual) Register {
	upper := YMM()
	VEXTRACTF64X4(Imm(1), v, upper)
	return folded8(v, upper, upperEVEX)
}

// The upper half of a YMM register; the first reaches only the registers 0 to
// 15, the second needs AVX-512.
func upperVEX(v, half VecVirtual)  { VEXTRACTF128(Imm(1), v.AsY(), half) }
func upperEVEX(v, half VecVirtual) { VEXTRACTF32X4(Imm(1), v.AsY(), half) }

// folded8 is folded for lanes in two registers, of which the first holds the
// lower ones.
func folded8(v, upper VecVirtual, extract func(v, half VecVirtual)) Register {
	w := XMM()
	VADDPS(upper, v.AsY(), v.AsY())
	extract(v, w)
	x := v.AsX()
	VADDPS(w, x, x)
	VPERMILPS(Imm(0x4e), x, w)
	VADDPS(w, x, x)
	VPERMILPS(Imm(0xb1), x, w)
	VADDSS(w, x, x)
	return x
}

// sumSquaresRowsAVX2 sums four rows side by side. A row has two chains of fused
// multiply-adds and would wait for them; eight keep the units busy.
func sumSquaresRowsAVX2() {
	const rows = 4
	TEXT("sumSquaresRowsAVX2", NOSPLIT, "func(sums, x *float32, stride, n int)")
	Pragma("noescape")
	Doc("sumSquaresRowsAVX2 sets sums[r] to the sum of x[r*stride+i]² for r < 4 and i < n, a multiple of 16, in 16 lanes that are added as Fold does.")
	row, next := strided("x", "stride", rows)
	n := Load(Param("n"), GP64())
	var a [rows][2]VecVirtual
	for r := range a {
		for h := range a[r] {
			a[r][h] = YMM()
			VXORPS(a[r][h], a[r][h], a[r][h])
		}
	}
	SHRQ(Imm(4), n)
	JZ(LabelRef("done"))
	Label("loop")
	for r := range a {
		for h := range a[r] {
			v := YMM()
			VMOVUPS(row(r).Offset(32*h), v)
			VFMADD231PS(v, v, a[r][h])
		}
	}
	next(64)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	sums := Load(Param("sums"), GP64())
	for r := range a {
		VMOVSS(folded8(a[r][0], a[r][1], upperVEX), Mem{Base: sums, Disp: 4 * r})
	}
	VZEROUPPER()
	RET()
}

// dotRowsAVX2 multiplies four rows with a vector side by side, for the same
// reason as sumSquaresRowsAVX2.
func dotRowsAVX2() {
	const rows = 4
	TEXT("dotRowsAVX2", NOSPLIT, "func(dst, rows *float32, stride int, x *float32, n int)")
	Pragma("noescape")
	Doc("dotRowsAVX2 sets dst[r] to the sum of rows[r*stride+i]*x[i] for r < 4 and i < n, a multiple of 16, in 16 lanes that are added as Fold does.")
	row, next := strided("rows", "stride", rows)
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	var a [rows][2]VecVirtual
	for r := range a {
		for h := range a[r] {
			a[r][h] = YMM()
			VXORPS(a[r][h], a[r][h], a[r][h])
		}
	}
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMOVUPS(at(x, h), v)
			for r := range a {
				VFMADD231PS(row(r).Offset(32*h), v, a[r][h])
			}
		}
		next(64)
	}, x)
	dst := Load(Param("dst"), GP64())
	for r := range a {
		VMOVSS(folded8(a[r][0], a[r][1], upperVEX), Mem{Base: dst, Disp: 4 * r})
	}
	VZEROUPPER()
	RET()
}

// dotRowsAVX512 multiplies four rows with four vectors: sixteen chains, of which
// each loaded register serves four.
func dotRowsAVX512() {
	const rows = 4
	TEXT("dotRowsAVX512", NOSPLIT, "func(dst *float32, ds int, rows *float32, stride int, x *float32, xs, n int)")
	Pragma("noescape")
	Doc("dotRowsAVX512 sets dst[c*ds+r] to the sum of rows[r*stride+i]*x[c*xs+i] for r < 4, c < 4 and i < n, a multiple of 16, in 16 lanes that are added as Fold does.")
	row, nextRow := strided("rows", "stride", rows)
	column, nextColumn := strided("x", "xs", rows)
	n := Load(Param("n"), GP64())
	var a [rows][rows]VecVirtual // [column][row]
	for c := range a {
		for r := range a[c] {
			a[c][r] = ZMM()
			VPXORD(a[c][r], a[c][r], a[c][r])
		}
	}
	loop16(n, func() {
		var w [rows]VecVirtual
		for r := range w {
			w[r] = ZMM()
			VMOVUPS(row(r), w[r])
		}
		for c := range a {
			v := ZMM()
			VMOVUPS(column(c), v)
			for r := range w {
				VFMADD231PS(w[r], v, a[c][r])
			}
		}
		nextRow(64)
		nextColumn(64)
	})
	dst := Load(Param("dst"), GP64())
	ds := Load(Param("ds"), GP64())
	SHLQ(Imm(2), ds)
	for c := range a {
		for r := range a[c] {
			VMOVSS(folded(a[c][r]), Mem{Base: dst, Disp: 4 * r})
		}
		ADDQ(ds, dst)
	}
	VZEROUPPER()
	RET()
}

func finiteAVX2() {
	TEXT("finiteAVX2", NOSPLIT, "func(x *float32, n int) bool")
	Pragma("noescape")
	Doc("finiteAVX2 tells whether the exponent of every x[i] is less than that of infinities, for i < n, a multiple of 16.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	exponent := YMM()
	VMOVUPS(vector("exponent", 0x7f800000), exponent)
	found := [2]VecVirtual{YMM(), YMM()}
	for _, f := range found {
		VXORPS(f, f, f)
	}
	loop16(n, func() {
		for h, f := range found {
			v := YMM()
			VANDPS(at(x, h), exponent, v)
			VPCMPEQD(exponent, v, v)
			VORPS(v, f, f)
		}
	}, x)
	VORPS(found[1], found[0], found[0])
	flags, finite := GP32(), GP8()
	VMOVMSKPS(found[0], flags)
	TESTL(flags, flags)
	SETEQ(finite)
	Store(finite, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// eachHead runs body for every head at the same place within it.
func eachHead(x Register, body func(p Register)) {
	heads := Load(Param("heads"), GP64())
	stride := Load(Param("stride"), GP64())
	SHLQ(Imm(2), stride)
	p := GP64()
	MOVQ(x, p)
	Label("head")
	body(p)
	ADDQ(stride, p)
	DECQ(heads)
	JNZ(LabelRef("head"))
}

// rotateHalvesAVX2 turns eight pairs of every head at a time: their cosines and
// sines are loaded once.
func rotateHalvesAVX2() {
	TEXT("rotateHalvesAVX2", NOSPLIT, "func(x *float32, stride, heads int, cos, sin *float32, half, n int)")
	Pragma("noescape")
	Doc("rotateHalvesAVX2 turns the pairs (x[h*stride+i], x[h*stride+half+i]) for h < heads and i < n, a multiple of 8; see rotateHalvesGeneric.")
	x := Load(Param("x"), GP64())
	cos := Load(Param("cos"), GP64())
	sin := Load(Param("sin"), GP64())
	half := Load(Param("half"), GP64())
	n := Load(Param("n"), GP64())
	SHRQ(Imm(3), n)
	JZ(LabelRef("done"))
	Label("loop")
	c, s := YMM(), YMM()
	VMOVUPS(Mem{Base: cos}, c)
	VMOVUPS(Mem{Base: sin}, s)
	eachHead(x, func(p Register) {
		first, second := Mem{Base: p}, Mem{Base: p, Index: half, Scale: 4}
		a, b, as, bs := YMM(), YMM(), YMM(), YMM()
		VMOVUPS(first, a)
		VMOVUPS(second, b)
		VMULPS(s, a, as)
		VMULPS(s, b, bs)
		VMULPS(c, a, a)
		VMULPS(c, b, b)
		VSUBPS(bs, a, a)
		VADDPS(b, as, b)
		VMOVUPS(a, first)
		VMOVUPS(b, second)
	})
	for _, p := range []Register{x, cos, sin} {
		ADDQ(Imm(32), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// rotatePairsAVX2 turns four pairs of every head at a time. With each element
// multiplied by its pair's cosine, and its neighbour by the sine, first elements
// want the difference and second ones the sum.
func rotatePairsAVX2() {
	TEXT("rotatePairsAVX2", NOSPLIT, "func(x *float32, stride, heads int, cos, sin *float32, n int)")
	Pragma("noescape")
	Doc("rotatePairsAVX2 turns the pairs (x[h*stride+2*i], x[h*stride+2*i+1]) for h < heads and i < n, a multiple of 4; see rotatePairsGeneric.")
	x := Load(Param("x"), GP64())
	cos := Load(Param("cos"), GP64())
	sin := Load(Param("sin"), GP64())
	n := Load(Param("n"), GP64())
	twice := YMM()
	VMOVUPS(eachTwice(), twice)
	SHRQ(Imm(2), n)
	JZ(LabelRef("done"))
	Label("loop")
	c, s := YMM(), YMM()
	VMOVUPS(Mem{Base: cos}, c.AsX())
	VMOVUPS(Mem{Base: sin}, s.AsX())
	VPERMPS(c, twice, c)
	VPERMPS(s, twice, s)
	eachHead(x, func(p Register) {
		v, w := YMM(), YMM()
		VMOVUPS(Mem{Base: p}, v)
		VPERMILPS(Imm(0xb1), v, w) // neighbours change places
		VMULPS(c, v, v)
		VMULPS(s, w, w)
		VADDSUBPS(w, v, v)
		VMOVUPS(v, Mem{Base: p})
	})
	ADDQ(Imm(32), x)
	ADDQ(Imm(16), cos)
	ADDQ(Imm(16), sin)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// eachTwice holds the indices 0 0 1 1 2 2 3 3.
func eachTwice() Mem {
	m := GLOBL("eachTwice", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(i/2)))
	}
	return m
}

func panelRowsAVX2() {
	TEXT("panelRowsAVX2", NOSPLIT, "func(dst *float32, ds int, src *float32, stride, panels, n int)")
	Pragma("noescape")
	Doc("panelRowsAVX2 sets dst[p*ds+16*i+l] = src[i*stride+16*p+l] for l < 16, p < panels and i < n; panels and n are positive.")
	dst := Load(Param("dst"), GP64())
	ds := Load(Param("ds"), GP64())
	src := Load(Param("src"), GP64())
	stride := Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	SHLQ(Imm(2), ds)
	SHLQ(Imm(2), stride)
	Label("row")
	from, to, panels := GP64(), GP64(), Load(Param("panels"), GP64())
	MOVQ(src, from)
	MOVQ(dst, to)
	Label("panel")
	for h := range 2 {
		v := YMM()
		VMOVUPS(at(from, h), v)
		VMOVUPS(v, at(to, h))
	}
	ADDQ(Imm(64), from)
	ADDQ(ds, to)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	ADDQ(stride, src)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func widenAVX2() {
	TEXT("widenAVX2", NOSPLIT, "func(dst *float32, src *uint16, n int)")
	Pragma("noescape")
	Doc("widenAVX2 widens the float16 src[i] to dst[i] for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VCVTPH2PS(Mem{Base: src, Disp: 16 * h}, v)
			VMOVUPS(v, at(dst, h))
		}
		ADDQ(Imm(32), src)
	}, dst)
	VZEROUPPER()
	RET()
}

func widenAVX512() {
	TEXT("widenAVX512", NOSPLIT, "func(dst *float32, src *uint16, n int)")
	Pragma("noescape")
	Doc("widenAVX512 widens the float16 src[i] to dst[i] for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	loop16(n, func() {
		v := ZMM()
		VCVTPH2PS(Mem{Base: src}, v)
		VMOVUPS(v, Mem{Base: dst})
		ADDQ(Imm(32), src)
	}, dst)
	VZEROUPPER()
	RET()
}

// narrowAVX2 rounds as the instruction does when told to round to the nearest,
// ties to even.
func narrowAVX2() {
	TEXT("narrowAVX2", NOSPLIT, "func(dst *uint16, src *float32, n int) float32")
	Pragma("noescape")
	Doc("narrowAVX2 rounds src[i] to the float16 dst[i] for i < n, a multiple of 16, and gives the greatest |src[i]|.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	absolute := vector("absolute", 0x7fffffff)
	most := [2]VecVirtual{YMM(), YMM()}
	for _, m := range most {
		VXORPS(m, m, m)
	}
	loop16(n, func() {
		for h, m := range most {
			v := YMM()
			VMOVUPS(at(src, h), v)
			VCVTPS2PH(Imm(0), v, Mem{Base: dst, Disp: 16 * h})
			VANDPS(absolute, v, v)
			VMAXPS(m, v, m) // m where v is not a number
		}
		ADDQ(Imm(32), dst)
	}, src)
	VMAXPS(most[1], most[0], most[0])
	Store(greatest(most[0], upperVEX), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func narrowAVX512() {
	TEXT("narrowAVX512", NOSPLIT, "func(dst *uint16, src *float32, n int) float32")
	Pragma("noescape")
	Doc("narrowAVX512 rounds src[i] to the float16 dst[i] for i < n, a multiple of 16, and gives the greatest |src[i]|.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	absolute, most := broadcast(vector("absolute", 0x7fffffff)), ZMM()
	VPXORD(most, most, most)
	loop16(n, func() {
		v := ZMM()
		VMOVUPS(Mem{Base: src}, v)
		VCVTPS2PH(Imm(0), v, Mem{Base: dst})
		VPANDD(absolute, v, v)
		VMAXPS(most, v, most)
		ADDQ(Imm(32), dst)
	}, src)
	upper := YMM()
	VEXTRACTF64X4(Imm(1), most, upper)
	VMAXPS(upper, most.AsY(), most.AsY())
	Store(greatest(most, upperEVEX), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
