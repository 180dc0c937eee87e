package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// integers writes the kernels that multiply quantised weights with quantised
// activations, and those that quantise activations.
//
// All multiply like mulIntGeneric: y, w and x as there; s and m are the panels'
// scales and minima (or nil), ss floats from panel to panel; t are the columns'
// terms of the first sub-block, ts terms before those of the next; there are
// that many blocks, of steps times 16 columns each. A lane holds a row.
func integers() {
	for cols := 1; cols <= 4; cols++ {
		intAVX2(unsignedBytes, cols)
		intAVX2(signedBytes, cols)
		intAVX2(words, cols)
	}
	quantizeAVX2(8)
	quantizeAVX2(16)
	for _, bits := range []int{8, 16} {
		for cols := 1; cols <= 12; cols++ {
			intVNNI(bits, 1, cols)
		}
		for cols := 1; cols <= 3; cols++ {
			intVNNI(bits, 4, cols)
		}
	}
}

func intSignature(bits int) string {
	return fmt.Sprintf("func(y *float32, ys int, w *byte, ws int, s, m *float32, ss int, x *int%d, xs int, t *float32, ts int, blocks, steps int, add bool)", bits)
}

// Where the fields of a Term are, and its size.
const (
	termScale = 0
	termSum   = 4
	termBias  = 8
	termBytes = 12
)

// terms gives access to the fields of the columns' terms, and a way to move on
// to the next sub-block.
func terms() (at func(c, field int) Mem, next func()) {
	t, step := Load(Param("t"), GP64()), Load(Param("ts"), GP64())
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step)
	SHLQ(Imm(2), step)
	at = func(c, field int) Mem { return Mem{Base: t, Disp: termBytes*c + field} }
	return at, func() { ADDQ(step, t) }
}

// Shuffles that widen the first and the last two of each four bytes to words.
var widen [2]Mem

func widenShuffles() [2]Mem {
	if widen[0].Symbol.Name == "" {
		for pair := range widen {
			widen[pair] = GLOBL(fmt.Sprintf("widen%d", pair), RODATA|NOPTR)
			for i := range 64 {
				b := uint8(0x80) // makes a zero
				if i%2 == 0 {
					b = uint8(i%16&^3 + 2*pair + i%4/2)
				}
				DATA(i, U8(b))
			}
		}
	}
	return widen
}

// intVNNI writes the kernel for a fixed number of panels and columns and
// activations of 8 or 16 bits.
//
// The integer sums of a sub-block start at the column's bias and so end as the
// sums of (code - offset)*quant. VPDPBUSD and VPDPWSSD do not saturate.
// Activations are broadcast on their way from memory. Integer and float sums
// of twelve columns, or of four panels and three columns, fit the registers.
func intVNNI(bits, panels, cols int) {
	size := bits / 8
	TEXT(fmt.Sprintf("int%dx%dx%dVNNI", bits, panels*16, cols), NOSPLIT, intSignature(bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("int%dx%dx%dVNNI multiplies %d panel(s) of 16 rows with %d column(s); see mulIntGeneric.", bits, panels*16, cols, panels, cols))
	y := Load(Param("y"), GP64())
	sums, dots := make([][]VecVirtual, cols), make([][]VecVirtual, cols) // [column][panel]
	for c := range cols {
		for range panels {
			sums[c], dots[c] = append(sums[c], ZMM()), append(dots[c], ZMM())
		}
	}
	ys := strideOf("ys", 4, cols)
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JZ(LabelRef("zero"))
	walk(y, ys, sums, func(m Mem, a VecVirtual) { VMOVUPS(m, a) })
	JMP(LabelRef("begin"))
	Label("zero")
	for c := range sums {
		for _, a := range sums[c] {
			VPXORD(a, a, a)
		}
	}
	Label("begin")
	column, nextColumn := stridedFrom(Load(Param("x"), GP64()), strideOf("xs", size, cols), cols)
	codes, nextCodes := stridedFrom(Load(Param("w"), GP64()), strideOf("ws", 1, panels), panels)
	ss := strideOf("ss", 4, panels)
	scale, nextScale := stridedFrom(Load(Param("s"), GP64()), ss, panels)
	minimum, nextMinimum := stridedFrom(Load(Param("m"), GP64()), ss, panels)
	term, nextTerm := terms()
	blocks, steps := Load(Param("blocks"), GP64()), GP64()

	Label("block")
	for c := range cols {
		for p := range panels {
			VPBROADCASTD(term(c, termBias), dots[c][p])
		}
	}
	Load(Param("steps"), steps)
	Label("step")
	for i := range 4 { // four columns of the matrix
		for p := range panels {
			w := ZMM()
			VMOVDQU32(codes(p).Offset(64*i), w)
			if bits == 8 {
				for c := range cols {
					VPDPBUSD_BCST(column(c).Offset(4*i), w, dots[c][p])
				}
				continue
			}
			for pair, shuffle := range widenShuffles() {
				v := ZMM()
				VPSHUFB(shuffle, w, v)
				for c := range cols {
					VPDPWSSD_BCST(column(c).Offset(8*i+4*pair), v, dots[c][p])
				}
			}
		}
	}
	nextCodes(256)
	nextColumn(16 * size)
	DECQ(steps)
	JNZ(LabelRef("step"))

	TESTQ(minimum(0).Base, minimum(0).Base)
	JZ(LabelRef("scale"))
	for p := range panels {
		m := ZMM()
		VMOVUPS(minimum(p), m)
		for c := range cols {
			VFMADD231PS_BCST(term(c, termSum), m, sums[c][p])
		}
	}
	nextMinimum(64)
	Label("scale")
	for p := range panels {
		s := ZMM()
		VMOVUPS(scale(p), s)
		for c := range cols {
			product := ZMM()
			VMULPS_BCST(term(c, termScale), s, product)
			VCVTDQ2PS(dots[c][p], dots[c][p])
			VFMADD231PS(dots[c][p], product, sums[c][p])
		}
	}
	nextScale(64)
	nextTerm()
	DECQ(blocks)
	JNZ(LabelRef("block"))

	y = Load(Param("y"), GP64())
	ys = strideOf("ys", 4, cols)
	walk(y, ys, sums, func(m Mem, a VecVirtual) { VMOVUPS(a, m) })
	VZEROUPPER()
	RET()
}

// How an AVX2 kernel multiplies integers.
type avx2Products struct {
	name string
	bits int
}

var (
	// VPMADDUBSW adds two products of an unsigned byte, the code, and a signed
	// one, the quant, and would saturate beyond 16 bits. Codes are below 64:
	// 2*63*127 = 16002 < 2^15.
	unsignedBytes = avx2Products{"int8", 8}
	// With an offset of 128, code - 128 is an int8. Its magnitude is the
	// unsigned byte and its sign goes to the quant: 2*128*127 = 32512 < 2^15.
	// The sums need no bias.
	signedBytes = avx2Products{"int8Signed", 8}
	// Codes are widened to words; VPMADDWD adds two products in 32 bits.
	words = avx2Products{"int16", 16}
)

// intAVX2 writes the kernel for one panel and a fixed number of columns. The
// float sums stay in y, which is read and written once a sub-block.
func intAVX2(kind avx2Products, cols int) {
	size := kind.bits / 8
	TEXT(fmt.Sprintf("%sx16x%dAVX2", kind.name, cols), NOSPLIT, intSignature(kind.bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("%sx16x%dAVX2 multiplies a panel of 16 rows with %d column(s); see mulIntGeneric.", kind.name, cols, cols))
	sum, _ := strided("y", "ys", cols)
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JNZ(LabelRef("begin"))
	zero := YMM()
	VPXOR(zero, zero, zero)
	for c := range cols {
		for h := range 2 {
			VMOVDQU(zero, sum(c).Offset(32*h))
		}
	}
	Label("begin")
	column, nextColumn := stridedFrom(Load(Param("x"), GP64()), strideOf("xs", size, cols), cols)
	codes, nextCodes := stridedFrom(Load(Param("w"), GP64()), nil, 1)
	scale, nextScale := stridedFrom(Load(Param("s"), GP64()), nil, 1)
	minimum, nextMinimum := stridedFrom(Load(Param("m"), GP64()), nil, 1)
	term, nextTerm := terms()
	blocks, steps := Load(Param("blocks"), GP64()), GP64()
	var ones VecVirtual
	if kind != words {
		ones = YMM()
		VMOVDQU(vector("wordOnes", 0x00010001), ones)
	}
	dots := make([][2]VecVirtual, cols)
	for c := range dots {
		dots[c] = [2]VecVirtual{YMM(), YMM()}
	}

	Label("block")
	for c := range cols {
		for h := range 2 {
			if kind == signedBytes {
				VPXOR(dots[c][h], dots[c][h], dots[c][h])
			} else {
				VPBROADCASTD(term(c, termBias), dots[c][h])
			}
		}
	}
	Load(Param("steps"), steps)
	Label("step")
	for i := range 4 {
		w := [2]VecVirtual{YMM(), YMM()}
		for h := range 2 {
			VMOVDQU(codes(0).Offset(64*i+32*h), w[h])
		}
		multiply := func(activation func(c int) Mem, product func(q VecVirtual, h int, t VecVirtual)) {
			for c := range cols {
				q := YMM()
				VPBROADCASTD(activation(c), q)
				for h := range 2 {
					t := YMM()
					product(q, h, t)
					VPADDD(t, dots[c][h], dots[c][h])
				}
			}
		}
		bytes := func(c int) Mem { return column(c).Offset(4 * i) }
		switch kind {
		case unsignedBytes:
			multiply(bytes, func(q VecVirtual, h int, t VecVirtual) {
				VPMADDUBSW(q, w[h], t)
				VPMADDWD(ones, t, t)
			})
		case signedBytes:
			magnitude := [2]VecVirtual{YMM(), YMM()}
			for h := range 2 {
				VPXOR(vector("byteSigns", 0x80808080), w[h], w[h])
				VPABSB(w[h], magnitude[h])
			}
			multiply(bytes, func(q VecVirtual, h int, t VecVirtual) {
				VPSIGNB(w[h], q, t)
				VPMADDUBSW(t, magnitude[h], t)
				VPMADDWD(ones, t, t)
			})
		case words:
			for pair, shuffle := range widenShuffles() {
				v := [2]VecVirtual{YMM(), YMM()}
				for h := range 2 {
					VPSHUFB(shuffle, w[h], v[h])
				}
				multiply(func(c int) Mem { return column(c).Offset(8*i + 4*pair) }, func(q VecVirtual, h int, t VecVirtual) {
					VPMADDWD(q, v[h], t)
				})
			}
		}
	}
	nextCodes(256)
	nextColumn(16 * size)
	DECQ(steps)
	JNZ(LabelRef("step"))

	TESTQ(minimum(0).Base, minimum(0).Base)
	JZ(LabelRef("scale"))
	for h := range 2 {
		m := YMM()
		VMOVUPS(minimum(0).Offset(32*h), m)
		for c := range cols {
			a, t := YMM(), YMM()
			VBROADCASTSS(term(c, termSum), t)
			VMOVUPS(sum(c).Offset(32*h), a)
			VFMADD231PS(t, m, a)
			VMOVUPS(a, sum(c).Offset(32*h))
		}
	}
	nextMinimum(64)
	Label("scale")
	for h := range 2 {
		s := YMM()
		VMOVUPS(scale(0).Offset(32*h), s)
		for c := range cols {
			a, t := YMM(), YMM()
			VBROADCASTSS(term(c, termScale), t)
			VMULPS(s, t, t)
			VCVTDQ2PS(dots[c][h], dots[c][h])
			VMOVUPS(sum(c).Offset(32*h), a)
			VFMADD231PS(dots[c][h], t, a)
			VMOVUPS(a, sum(c).Offset(32*h))
		}
	}
	nextScale(64)
	nextTerm()
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// chooseLimit gives 126 or 127 as quantizeGeneric chooses between them, in all
// places, and the inverse that belongs to it.
func chooseLimit(v [4]VecVirtual, most, limit, inverse VecVirtual) VecVirtual {
	// loss is the sum of squares of what rounding takes away.
	loss := func(inverse VecVirtual) VecVirtual {
		var lanes [2]VecVirtual
		for i := range v {
			r, n := YMM(), YMM()
			VMULPS(inverse, v[i], r)
			VROUNDPS(Imm(0), r, n)
			VSUBPS(n, r, r)
			if i < 2 {
				VMULPS(r, r, r)
				lanes[i] = r
			} else {
				VFMADD231PS(r, r, lanes[i-2])
			}
		}
		// Fold.
		t, x := XMM(), lanes[0].AsX()
		VADDPS(lanes[1], lanes[0], lanes[0])
		VEXTRACTF128(Imm(1), lanes[0], t)
		VADDPS(t, x, x)
		VPERMILPS(Imm(0x4e), x, t)
		VADDPS(t, x, x)
		VPERMILPS(Imm(0xb1), x, t)
		VADDPS(t, x, x)
		return lanes[0]
	}
	other, otherInverse, better := YMM(), YMM(), YMM()
	VMOVUPS(vector("limit126", 0x42fc0000), other)
	VDIVPS(most, other, otherInverse)
	a, b := loss(inverse), loss(otherInverse)
	VMULPS(vector("square126", 0x46781000), a, a)
	VMULPS(vector("square127", 0x467c0400), b, b)
	VCMPPS(Imm(0x11), a.AsX(), b.AsX(), better.AsX())
	VBROADCASTSS(better.AsX(), better)
	VBLENDVPS(better, other, limit, other)
	VBLENDVPS(better, otherInverse, inverse, inverse)
	return other
}

// quantizeAVX2 writes the kernel that quantises blocks of 32 elements to 8 or
// 16 bits, step by step as quantizeGeneric does.
func quantizeAVX2(bits int) {
	TEXT(fmt.Sprintf("quantizeInt%dAVX2", bits), NOSPLIT,
		fmt.Sprintf("func(q *int%d, scales *float32, sums *int32, x *float32, blocks int)", bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("quantizeInt%dAVX2 quantises blocks of 32 elements; see quantizeGeneric.", bits))
	q, x := Load(Param("q"), GP64()), Load(Param("x"), GP64())
	scales, sums := Load(Param("scales"), GP64()), Load(Param("sums"), GP64())
	blocks := Load(Param("blocks"), GP64())
	constant := func(m Mem) VecVirtual {
		v := YMM()
		VMOVUPS(m, v)
		return v
	}
	limit := constant(vector(fmt.Sprintf("limitInt%d", bits), map[int]uint32{8: 0x42fe0000, 16: 0x46fffe00}[bits]))
	magnitude, infinity := vector("magnitude", 0x7fffffff), vector("infinity", 0x7f800000)
	var order Mem
	if bits == 8 {
		order = GLOBL("packOrder", RODATA|NOPTR)
		for i, from := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, U32(from))
		}
	}
	Label("loop")
	var v [4]VecVirtual
	most, t := YMM(), YMM()
	for i := range v {
		v[i] = YMM()
		VMOVUPS(at(x, i), v[i])
		if i == 0 {
			VPAND(magnitude, v[i], most)
			continue
		}
		VPAND(magnitude, v[i], t)
		VPMAXUD(t, most, most)
	}
	VPERM2F128(Imm(1), most, most, t)
	VPMAXUD(t, most, most)
	VPSHUFD(Imm(0x4e), most, t)
	VPMAXUD(t, most, most)
	VPSHUFD(Imm(0xb1), most, t)
	VPMAXUD(t, most, most)

	inverse, scale, finite, keep := YMM(), YMM(), YMM(), YMM()
	const less = 0x11 // false for NaN
	VDIVPS(most, limit, inverse)
	if bits == 8 {
		limit = chooseLimit(v, most, limit, inverse)
	}
	VDIVPS(limit, most, scale)
	VCMPPS(Imm(less), infinity, most, finite)
	VCMPPS(Imm(less), infinity, inverse, keep)
	VPAND(finite, keep, keep)
	VPAND(keep, scale, scale)
	VPANDN(vector("nan", 0x7fc00000), finite, t)
	VPOR(t, scale, scale)
	VMOVSS(scale.AsX(), Mem{Base: scales})
	for i := range v {
		VMULPS(inverse, v[i], v[i])
		VCVTPS2DQ(v[i], v[i])
		VPAND(keep, v[i], v[i])
	}

	a, b := YMM(), YMM()
	VPADDD(v[1], v[0], a)
	VPADDD(v[3], v[2], b)
	VPHADDD(b, a, a)
	VPHADDD(a, a, a)
	VEXTRACTI128(Imm(1), a, b.AsX())
	VPADDD(b.AsX(), a.AsX(), a.AsX())
	VMOVQ(a.AsX(), Mem{Base: sums})

	// Packing works on halves of registers, so that quarters must be put in
	// order afterwards.
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	if bits == 8 {
		VPACKSSWB(v[2], v[0], v[0])
		VPERMD(v[0], constant(order), v[0])
		VMOVDQU(v[0], Mem{Base: q})
		ADDQ(Imm(32), q)
	} else {
		VPERMQ(Imm(0xd8), v[0], v[0])
		VPERMQ(Imm(0xd8), v[2], v[2])
		VMOVDQU(v[0], at(q, 0))
		VMOVDQU(v[2], at(q, 1))
		ADDQ(Imm(64), q)
	}
	ADDQ(U32(128), x)
	ADDQ(Imm(4), scales)
	ADDQ(Imm(8), sums)
	DECQ(blocks)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
