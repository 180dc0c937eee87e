package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx512 writes the kernels of the level avx512: those that gain from
// registers of 16 lanes. A chain in 16 virtual lanes (a sum of squares, a dot
// product) waits for its own additions, whatever the width, and has no kernel
// here.
func avx512(c expConstants) {
	for cols := 1; cols <= 12; cols++ {
		panelsAVX512(1, cols, false)
	}
	for cols := 1; cols <= 6; cols++ {
		panelsAVX512(4, cols, false)
	}
	expSumAVX512(c)
	siluMulAVX512(c)
	transposeAVX512()
	q8AVX512()
	quantizeAVX512(8)
	quantizeAVX512(16)
}

// panelsAVX512 writes the float32 matrix kernel for a fixed number of 16-row
// panels and columns. A ZMM register holds a panel's rows, so that an output is
// one lane and its sum one chain, as in panelsAVX2. Inputs are broadcast on
// their way from memory where only one panel wants them; four panels with six
// columns load the least for a multiplication, and came out fastest.
func panelsAVX512(panels, cols int, stairs bool) {
	name := fmt.Sprintf("panels%dx%dAVX512", panels*16, cols)
	doc := fmt.Sprintf("multiplies %d panel(s) of 16 rows with %d column(s): a register holds 16 sums, acc[p][c] = fma(w[p*ws+16*i:][:16], x[c*xs+i], acc[p][c]) for i < k; see mulPanelsGeneric.", panels, cols)
	if stairs {
		name, doc = stairsOf(name, doc)
	}
	TEXT(name, NOSPLIT, "func(y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool)")
	Pragma("noescape")
	Doc(name + " " + doc)
	y := Load(Param("y"), GP64())
	k := Load(Param("k"), GP64())
	acc := make([][]VecVirtual, cols) // [column][panel]
	for c := range acc {
		for range panels {
			acc[c] = append(acc[c], ZMM())
		}
	}
	var ys Register
	if cols > 1 {
		ys = Load(Param("ys"), GP64())
		SHLQ(Imm(2), ys)
	}
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JZ(LabelRef("zero"))
	walk(y, ys, acc, func(m Mem, a VecVirtual) { VMOVUPS(m, a) })
	JMP(LabelRef("begin"))
	Label("zero")
	for c := range acc {
		for _, a := range acc[c] {
			VPXORD(a, a, a)
		}
	}
	Label("begin")
	column, nextColumn := strided("x", "xs", cols)
	panel, nextPanel := strided("w", "ws", panels)

	// link adds one link to the chains of the columns from first on.
	link := func(first int) {
		wv := make([]VecVirtual, panels)
		for p := range wv {
			wv[p] = ZMM()
			VMOVUPS(panel(p), wv[p])
		}
		for c := first; c < cols; c++ {
			if panels == 1 {
				VFMADD231PS_BCST(column(c), wv[0], acc[c][0])
				continue
			}
			xv := ZMM()
			VBROADCASTSS(column(c), xv)
			for p := range panels {
				VFMADD231PS(xv, wv[p], acc[c][p])
			}
		}
		nextPanel(64)
		nextColumn(4)
	}
	TESTQ(k, k)
	JZ(LabelRef("done"))
	Label("loop")
	link(0)
	DECQ(k)
	JNZ(LabelRef("loop"))
	Label("done")
	if stairs {
		for c := 1; c < cols; c++ {
			link(c)
		}
	}
	y = Load(Param("y"), GP64())
	walk(y, ys, acc, func(m Mem, a VecVirtual) { VMOVUPS(a, m) })
	VZEROUPPER()
	RET()
}

// strided gives access to n vectors that lie a stride of floats apart, three
// from each pointer, and a way to move on by some bytes.
func strided(base, stride string, n int) (at func(i int) Mem, next func(bytes int)) {
	b := Load(Param(base), GP64())
	return stridedFrom(b, strideOf(stride, 4, n), n)
}

// strideOf loads the stride of n vectors, which counts elements of some bytes,
// as bytes. One vector needs none.
func strideOf(stride string, size, n int) Register {
	if n == 1 {
		return nil
	}
	s := Load(Param(stride), GP64())
	if size > 1 {
		SHLQ(Imm(uint64(bits.TrailingZeros(uint(size)))), s)
	}
	return s
}

// stridedFrom is strided with base and stride in registers.
func stridedFrom(base, s Register, n int) (at func(i int) Mem, next func(bytes int)) {
	p := []Register{base}
	for i := 3; i < n; i += 3 {
		q := GP64()
		LEAQ(Mem{Base: p[len(p)-1], Index: s, Scale: 2}, q)
		ADDQ(s, q)
		p = append(p, q)
	}
	at = func(i int) Mem {
		if i%3 == 0 {
			return Mem{Base: p[i/3]}
		}
		return Mem{Base: p[i/3], Index: s, Scale: uint8(i % 3)}
	}
	next = func(bytes int) {
		for _, q := range p {
			if bytes < 128 {
				ADDQ(Imm(uint64(bytes)), q)
			} else {
				ADDQ(U32(bytes), q)
			}
		}
	}
	return at, next
}

// expRegisters hold the numbers of Exp in registers, of which there are
// enough.
type expRegisters struct {
	low, high, log2e, magic, ln2hi, ln2lo, one VecVirtual
	poly                                       []VecVirtual
}

func (c expConstants) load() expRegisters {
	r := expRegisters{
		low: broadcast(c.low), high: broadcast(c.high), log2e: broadcast(c.log2e), magic: broadcast(c.magic),
		ln2hi: broadcast(c.ln2hi), ln2lo: broadcast(c.ln2lo), one: broadcast(c.one),
	}
	for _, p := range c.poly {
		r.poly = append(r.poly, broadcast(p))
	}
	return r
}

func broadcast(m Mem) VecVirtual {
	v := ZMM()
	VBROADCASTSS(m, v)
	return v
}

// expBody512 replaces x by its exponential, step by step as the Go function
// Exp does. Arguments known to be below Exp's upper bound need not be bounded.
func expBody512(c expRegisters, x VecVirtual, bound bool) {
	keep := K()
	t, n, q, z := ZMM(), ZMM(), ZMM(), ZMM()
	VCMPPS(Imm(0x1d), c.low, x, keep) // x >= low; false for NaN
	if bound {
		VMINPS(c.high, x, x)
	}
	VMULPS(c.log2e, x, t)
	VADDPS(c.magic, t, t)
	VSUBPS(c.magic, t, n)
	VFNMADD231PS(c.ln2hi, n, x)
	VFNMADD231PS(c.ln2lo, n, x)
	VMOVAPS(c.poly[0], q)
	for _, p := range c.poly[1:] {
		VFMADD213PS(p, x, q)
	}
	VMULPS(x, x, z)
	VFMADD231PS(q, z, x)
	VADDPS(c.one, x, x)
	VPSLLD(Imm(23), t, t)
	VPADDD_Z(t, x, keep, x)
}

func expSumAVX512(c expConstants) {
	TEXT("expSumAVX512", NOSPLIT, "func(lanes *[16]float32, x *float32, n int, scale, shift float32)")
	Pragma("noescape")
	Doc("expSumAVX512 replaces x[i] by e = exp(x[i]*scale - shift) and adds e to lanes[i%16] for i < n, a multiple of 16.")
	lanes := Load(Param("lanes"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	scale, shift := broadcast(address("scale")), broadcast(address("shift"))
	r := c.load()
	a := ZMM()
	VMOVUPS(Mem{Base: lanes}, a)
	loop16(n, func() {
		v := ZMM()
		VMULPS(Mem{Base: x}, scale, v)
		VSUBPS(shift, v, v)
		expBody512(r, v, true)
		VMOVUPS(v, Mem{Base: x})
		VADDPS(v, a, a)
	}, x)
	VMOVUPS(a, Mem{Base: lanes})
	VZEROUPPER()
	RET()
}

func siluMulAVX512(c expConstants) {
	TEXT("siluMulAVX512", NOSPLIT, "func(dst, gate, up *float32, n int)")
	Pragma("noescape")
	Doc("siluMulAVX512 sets dst[i] = gate[i]/(1+exp(-gate[i])) * up[i] for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	gate := Load(Param("gate"), GP64())
	up := Load(Param("up"), GP64())
	n := Load(Param("n"), GP64())
	r, sign := c.load(), broadcast(c.sign)
	loop16(n, func() {
		g, e := ZMM(), ZMM()
		VMOVUPS(Mem{Base: gate}, g)
		VPXORD(sign, g, e)
		expBody512(r, e, true)
		VADDPS(r.one, e, e)
		VDIVPS(e, g, g)
		VMULPS(Mem{Base: up}, g, g)
		VMOVUPS(g, Mem{Base: dst})
	}, dst, gate, up)
	VZEROUPPER()
	RET()
}

// transposeAVX512 moves blocks of 16 rows and 4 columns. Rows r, r+4, r+8 and
// r+12 are loaded into the quarters of register r, so that transposing the
// quarters of four registers leaves a column of 16 in each.
func transposeAVX512() {
	TEXT("transposeAVX512", NOSPLIT, "func(dst, src *float32, stride, n int)")
	Pragma("noescape")
	Doc("transposeAVX512 sets dst[i*16+r] = src[r*stride+i] for r < 16 and i < n, a multiple of 4.")
	dst := Load(Param("dst"), GP64())
	n := Load(Param("n"), GP64())
	row, next := strided("src", "stride", 16)
	SHRQ(Imm(2), n)
	JZ(LabelRef("done"))
	Label("loop")
	var a, b [4]VecVirtual
	for r := range a {
		a[r], b[r] = ZMM(), ZMM()
		VMOVUPS(row(r), a[r].AsX())
		for q := 1; q < 4; q++ {
			VINSERTF32X4(Imm(uint64(q)), row(r+4*q), a[r], a[r])
		}
	}
	for r := 0; r < 4; r += 2 {
		VUNPCKLPS(a[r+1], a[r], b[r])
		VUNPCKHPS(a[r+1], a[r], b[r+1])
	}
	for k := range 2 {
		VSHUFPS(Imm(0x44), b[2+k], b[k], a[2*k])
		VSHUFPS(Imm(0xee), b[2+k], b[k], a[2*k+1])
	}
	for c := range a {
		VMOVUPS(a[c], Mem{Base: dst, Disp: 64 * c})
	}
	next(16)
	ADDQ(U32(256), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// q8AVX512 lets the conversion instructions do what dequantizeQ8Generic does: a
// product of 11 bits and 8 is exact.
func q8AVX512() {
	TEXT("q8AVX512", NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	Doc("q8AVX512 sets dst[32*b+i] = d*float32(q[i]) for i < 32 and b < blocks, where d is the float16 and q the 32 int8 of the 34 bytes of block b.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	blocks := Load(Param("blocks"), GP64())
	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))
	Label("loop")
	d := ZMM()
	VPBROADCASTW(Mem{Base: src}, d.AsY())
	VCVTPH2PS(d.AsY(), d)
	for h := range 2 {
		v := ZMM()
		VPMOVSXBD(Mem{Base: src, Disp: 2 + 16*h}, v)
		VCVTDQ2PS(v, v)
		VMULPS(d, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 64 * h})
	}
	ADDQ(Imm(34), src)
	ADDQ(U32(128), dst)
	DECQ(blocks)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// address is where a parameter lies.
func address(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}
