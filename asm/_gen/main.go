// Command _gen writes the amd64 assembly of package asm.
//
// Run it with `go generate ./asm` after a change; .ci/run fails when its
// output and the committed files differ.
package main

import (
	"flag"
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	family := flag.String("family", "kernels", "which kernels to write: kernels, packed or amx")
	flag.Parse()
	ConstraintExpr("amd64,!purego")
	switch *family {
	case "packed":
		packed()
		Generate()
		return
	case "amx":
		amx()
		Generate()
		return
	}
	for cols := 1; cols <= 6; cols++ {
		panelsAVX2(1, cols, false)
	}
	panelsAVX2(4, 1, false)
	sumSquaresAVX2()
	dotAVX2()
	maxAVX2()
	c := loadExpConstants()
	expSumAVX2(c)
	siluMulAVX2(c)
	scaleMulAVX2()
	scaleAVX2()
	addAVX2()
	axpyAVX2()
	transposeAVX2()
	pauseAMD64()
	prefetchAMD64()
	avx512(c)
	integers()
	attention(c)
	fixed()
	gates(c)
	Generate()
}

// panelsAVX2 writes the float32 matrix kernel for a fixed number of 16-row
// panels and columns. A YMM register holds 8 of a panel's rows, so that an
// output is one lane and its sum one chain of fused multiply-adds in index
// order, whatever the register width. With stairs, each column's chain is longer
// by one than that of the column before it.
func panelsAVX2(panels, cols int, stairs bool) {
	name := fmt.Sprintf("panels%dx%dAVX2", panels*16, cols)
	doc := fmt.Sprintf("multiplies %d panel(s) of 16 rows with %d column(s); see mulPanelsGeneric.", panels, cols)
	if stairs {
		name, doc = stairsOf(name, doc)
	}
	TEXT(name, NOSPLIT, "func(y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool)")
	Pragma("noescape")
	Doc(name + " " + doc)
	y := Load(Param("y"), GP64())
	w := Load(Param("w"), GP64())
	x := Load(Param("x"), GP64())
	k := Load(Param("k"), GP64())
	acc := make([][]VecVirtual, cols) // [column][half panel]
	for c := range acc {
		for range 2 * panels {
			acc[c] = append(acc[c], YMM())
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
			VXORPS(a, a, a)
		}
	}
	Label("begin")

	// Panels lie ws floats apart; columns of x lie xs floats apart and are
	// reached from two pointers, three columns each.
	var ws, xs, x3, w2 Register
	if panels > 1 {
		ws = Load(Param("ws"), GP64())
		SHLQ(Imm(2), ws)
		w2 = GP64()
		LEAQ(Mem{Base: w, Index: ws, Scale: 2}, w2)
	}
	if cols > 1 {
		xs = Load(Param("xs"), GP64())
		SHLQ(Imm(2), xs)
	}
	if cols > 3 {
		x3 = GP64()
		LEAQ(Mem{Base: x, Index: xs, Scale: 2}, x3)
		ADDQ(xs, x3)
	}
	column := func(c int) Mem {
		base := x
		if c >= 3 {
			base, c = x3, c-3
		}
		if c == 0 {
			return Mem{Base: base}
		}
		return Mem{Base: base, Index: xs, Scale: uint8(c)}
	}
	panel := func(p int) Mem {
		base := w
		if p >= 2 {
			base, p = w2, p-2
		}
		if p == 0 {
			return Mem{Base: base}
		}
		return Mem{Base: base, Index: ws, Scale: 1}
	}

	// link adds one link to the chains of the columns from first on.
	link := func(first int) {
		wv := [2]VecVirtual{YMM(), YMM()}
		xv := YMM()
		for p := range panels {
			VMOVUPS(panel(p), wv[0])
			VMOVUPS(panel(p).Offset(32), wv[1])
			for c := first; c < cols; c++ {
				if p == 0 {
					VBROADCASTSS(column(c), xv)
				}
				VFMADD231PS(xv, wv[0], acc[c][2*p])
				VFMADD231PS(xv, wv[1], acc[c][2*p+1])
			}
		}
		ADDQ(Imm(64), w)
		if panels > 2 {
			ADDQ(Imm(64), w2)
		}
		ADDQ(Imm(4), x)
		if cols > 3 {
			ADDQ(Imm(4), x3)
		}
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

// stairsOf names the kernel with stairs that belongs to one of panels.
func stairsOf(name, doc string) (string, string) {
	return strings.Replace(name, "panels", "stairs", 1), strings.Replace(doc, ";", ", the chain of column c being k+c long;", 1)
}

// walk visits the accumulators with their places in y, advancing y a column
// at a time.
func walk(y, ys Register, acc [][]VecVirtual, visit func(Mem, VecVirtual)) {
	for c := range acc {
		for i, a := range acc[c] {
			visit(Mem{Base: y, Disp: int(a.Size()) * i}, a)
		}
		if c+1 < len(acc) {
			ADDQ(ys, y)
		}
	}
}

// loop16 runs body for n/16 blocks of 16 elements, advancing the pointers.
func loop16(n Register, body func(), pointers ...Register) {
	SHRQ(Imm(4), n)
	JZ(LabelRef("done"))
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(64), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
}

// at is the half h (0 or 1) of the 16 elements that p points to.
func at(p Register, h int) Mem { return Mem{Base: p, Disp: 32 * h} }

// vectors are those already placed.
var vectors = map[string]Mem{}

// vector places a constant eight times in read-only memory.
func vector(name string, bits uint32) Mem {
	m, ok := vectors[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(bits))
		}
		vectors[name] = m
	}
	return m
}

func sumSquaresAVX2() {
	TEXT("sumSquaresAVX2", NOSPLIT, "func(lanes *[16]float32, x *float32, n int)")
	Pragma("noescape")
	Doc("sumSquaresAVX2 adds x[i]*x[i] to lanes[i%16] for i < n, a multiple of 16.")
	lanes := Load(Param("lanes"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	a := [2]VecVirtual{YMM(), YMM()}
	v := [2]VecVirtual{YMM(), YMM()}
	for h := range 2 {
		VMOVUPS(at(lanes, h), a[h])
	}
	loop16(n, func() {
		for h := range 2 {
			VMOVUPS(at(x, h), v[h])
			VFMADD231PS(v[h], v[h], a[h])
		}
	}, x)
	for h := range 2 {
		VMOVUPS(a[h], at(lanes, h))
	}
	VZEROUPPER()
	RET()
}

func dotAVX2() {
	TEXT("dotAVX2", NOSPLIT, "func(lanes *[16]float32, x, y *float32, n int)")
	Pragma("noescape")
	Doc("dotAVX2 adds x[i]*y[i] to lanes[i%16] for i < n, a multiple of 16.")
	lanes := Load(Param("lanes"), GP64())
	x := Load(Param("x"), GP64())
	y := Load(Param("y"), GP64())
	n := Load(Param("n"), GP64())
	a := [2]VecVirtual{YMM(), YMM()}
	v := [2]VecVirtual{YMM(), YMM()}
	for h := range 2 {
		VMOVUPS(at(lanes, h), a[h])
	}
	loop16(n, func() {
		for h := range 2 {
			VMOVUPS(at(x, h), v[h])
			VFMADD231PS(at(y, h), v[h], a[h])
		}
	}, x, y)
	for h := range 2 {
		VMOVUPS(a[h], at(lanes, h))
	}
	VZEROUPPER()
	RET()
}

func maxAVX2() {
	TEXT("maxAVX2", NOSPLIT, "func(x *float32, n int) float32")
	Pragma("noescape")
	Doc("maxAVX2 gives the greatest x[i] for i < n, a positive multiple of 16.")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	a := [2]VecVirtual{YMM(), YMM()}
	for h := range 2 {
		VMOVUPS(at(x, h), a[h])
	}
	loop16(n, func() {
		for h := range 2 {
			VMAXPS(at(x, h), a[h], a[h])
		}
	}, x)
	// The greatest of 16 is the same whichever way they are compared.
	VMAXPS(a[1], a[0], a[0])
	Store(greatest(a[0], upperVEX), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// expConstants hold the numbers of Exp, as bits.
type expConstants struct {
	low, high, log2e, magic, ln2hi, ln2lo, one, sign Mem
	poly                                             []Mem
}

func loadExpConstants() expConstants {
	c := expConstants{
		low:   vector("expLow", 0xc2ad0000),
		high:  vector("expHigh", 0x42b00000),
		log2e: vector("expLog2e", 0x3fb8aa3b),
		magic: vector("expMagic", 0x4b400000),
		ln2hi: vector("expLn2hi", 0x3f317200),
		ln2lo: vector("expLn2lo", 0x35bfbe8e),
		one:   vector("one", 0x3f800000),
		sign:  vector("signBit", 0x80000000),
	}
	for i, b := range []uint32{0x3ab511ab, 0x3c091d36, 0x3d2aac7a, 0x3e2aaa48, 0x3efffffe} {
		c.poly = append(c.poly, vector(fmt.Sprintf("expPoly%d", i), b))
	}
	return c
}

// expBody replaces x by its exponential, step by step as the Go function Exp
// does. The constants stay in memory: with two halves in flight they and the
// temporaries would not fit the register file.
func expBody(c expConstants, x VecVirtual) {
	keep, t, n, q, z := YMM(), YMM(), YMM(), YMM(), YMM()
	VCMPPS(Imm(0x1d), c.low, x, keep) // x >= low; false for NaN
	VMINPS(c.high, x, x)
	VMULPS(c.log2e, x, t)
	VADDPS(c.magic, t, t)
	VSUBPS(c.magic, t, n)
	VFNMADD231PS(c.ln2hi, n, x)
	VFNMADD231PS(c.ln2lo, n, x)
	VMOVUPS(c.poly[0], q)
	for _, p := range c.poly[1:] {
		VFMADD213PS(p, x, q)
	}
	VMULPS(x, x, z)
	VFMADD231PS(q, z, x)
	VADDPS(c.one, x, x)
	VPSLLD(Imm(23), t, t)
	VPADDD(t, x, x)
	VANDPS(keep, x, x)
}

func expSumAVX2(c expConstants) {
	TEXT("expSumAVX2", NOSPLIT, "func(lanes *[16]float32, x *float32, n int, scale, shift float32)")
	Pragma("noescape")
	Doc("expSumAVX2 replaces x[i] by e = exp(x[i]*scale - shift) and adds e to lanes[i%16] for i < n, a multiple of 16.")
	lanes := Load(Param("lanes"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	scale, shift := broadcastParam("scale"), broadcastParam("shift")
	a := [2]VecVirtual{YMM(), YMM()}
	for h := range 2 {
		VMOVUPS(at(lanes, h), a[h])
	}
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMULPS(at(x, h), scale, v)
			VSUBPS(shift, v, v)
			expBody(c, v)
			VMOVUPS(v, at(x, h))
			VADDPS(v, a[h], a[h])
		}
	}, x)
	for h := range 2 {
		VMOVUPS(a[h], at(lanes, h))
	}
	VZEROUPPER()
	RET()
}

func siluMulAVX2(c expConstants) {
	TEXT("siluMulAVX2", NOSPLIT, "func(dst, gate, up *float32, n int)")
	Pragma("noescape")
	Doc("siluMulAVX2 sets dst[i] = gate[i]/(1+exp(-gate[i])) * up[i] for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	gate := Load(Param("gate"), GP64())
	up := Load(Param("up"), GP64())
	n := Load(Param("n"), GP64())
	loop16(n, func() {
		for h := range 2 {
			g, e := YMM(), YMM()
			VMOVUPS(at(gate, h), g)
			VXORPS(c.sign, g, e)
			expBody(c, e)
			VADDPS(c.one, e, e)
			VDIVPS(e, g, g)
			VMULPS(at(up, h), g, g)
			VMOVUPS(g, at(dst, h))
		}
	}, dst, gate, up)
	VZEROUPPER()
	RET()
}

func scaleMulAVX2() {
	TEXT("scaleMulAVX2", NOSPLIT, "func(dst, x, w *float32, n int, scale float32)")
	Pragma("noescape")
	Doc("scaleMulAVX2 sets dst[i] = x[i]*scale*w[i], rounded after each product, for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	w := Load(Param("w"), GP64())
	n := Load(Param("n"), GP64())
	scale := broadcastParam("scale")
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMULPS(at(x, h), scale, v)
			VMULPS(at(w, h), v, v)
			VMOVUPS(v, at(dst, h))
		}
	}, dst, x, w)
	VZEROUPPER()
	RET()
}

func scaleAVX2() {
	TEXT("scaleAVX2", NOSPLIT, "func(dst, x *float32, n int, by float32)")
	Pragma("noescape")
	Doc("scaleAVX2 sets dst[i] = x[i]*by for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	by := broadcastParam("by")
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMULPS(at(x, h), by, v)
			VMOVUPS(v, at(dst, h))
		}
	}, dst, x)
	VZEROUPPER()
	RET()
}

func addAVX2() {
	TEXT("addAVX2", NOSPLIT, "func(dst, x *float32, n int)")
	Pragma("noescape")
	Doc("addAVX2 sets dst[i] += x[i] for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMOVUPS(at(dst, h), v)
			VADDPS(at(x, h), v, v)
			VMOVUPS(v, at(dst, h))
		}
	}, dst, x)
	VZEROUPPER()
	RET()
}

func axpyAVX2() {
	TEXT("axpyAVX2", NOSPLIT, "func(dst, x *float32, n int, a float32)")
	Pragma("noescape")
	Doc("axpyAVX2 sets dst[i] = fma(a, x[i], dst[i]) for i < n, a multiple of 16.")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	a := broadcastParam("a")
	loop16(n, func() {
		for h := range 2 {
			v := YMM()
			VMOVUPS(at(dst, h), v)
			VFMADD231PS(at(x, h), a, v)
			VMOVUPS(v, at(dst, h))
		}
	}, dst, x)
	VZEROUPPER()
	RET()
}

// transposeAVX2 moves 8x8 blocks: pairs of rows are interleaved, then pairs of
// pairs, then the halves of registers are exchanged.
func transposeAVX2() {
	TEXT("transposeAVX2", NOSPLIT, "func(dst, src *float32, stride, n int)")
	Pragma("noescape")
	Doc("transposeAVX2 sets dst[i*16+r] = src[r*stride+i] for r < 16 and i < n, a multiple of 8.")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	stride := Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	SHLQ(Imm(2), stride)
	SHRQ(Imm(3), n)
	JZ(LabelRef("done"))
	Label("loop")
	row := GP64()
	MOVQ(src, row)
	for half := range 2 {
		var a, b [8]VecVirtual
		for r := range a {
			a[r] = YMM()
			VMOVUPS(Mem{Base: row}, a[r])
			ADDQ(stride, row)
		}
		for r := 0; r < 8; r += 2 {
			b[r], b[r+1] = YMM(), YMM()
			VUNPCKLPS(a[r+1], a[r], b[r])
			VUNPCKHPS(a[r+1], a[r], b[r+1])
		}
		for r := 0; r < 8; r += 4 {
			for k := range 2 {
				a[r+2*k], a[r+2*k+1] = YMM(), YMM()
				VSHUFPS(Imm(0x44), b[r+2+k], b[r+k], a[r+2*k])
				VSHUFPS(Imm(0xee), b[r+2+k], b[r+k], a[r+2*k+1])
			}
		}
		for c := range 4 {
			lo, hi := YMM(), YMM()
			VPERM2F128(Imm(0x20), a[c+4], a[c], lo)
			VPERM2F128(Imm(0x31), a[c+4], a[c], hi)
			VMOVUPS(lo, Mem{Base: dst, Disp: 64*c + 32*half})
			VMOVUPS(hi, Mem{Base: dst, Disp: 64*(c+4) + 32*half})
		}
	}
	ADDQ(Imm(32), src)
	ADDQ(U32(512), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

func broadcastParam(name string) VecVirtual {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := YMM()
	VBROADCASTSS(p.Addr, v)
	return v
}

func pauseAMD64() {
	TEXT("pause", NOSPLIT, "func()")
	Doc("pause tells the processor that the caller spins.")
	PAUSE()
	RET()
}

// prefetchAMD64 asks for cache lines from p on, for the level-2 cache.
func prefetchAMD64() {
	TEXT("prefetch", NOSPLIT, "func(p *byte, lines int)")
	Pragma("noescape")
	Doc("prefetch asks for lines of 64 bytes.")
	p, lines := Load(Param("p"), GP64()), Load(Param("lines"), GP64())
	Label("loop")
	PREFETCHT1(Mem{Base: p})
	ADDQ(Imm(64), p)
	DECQ(lines)
	JNZ(LabelRef("loop"))
	RET()
}
