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
