package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

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

// quantizeAVX512 writes the kernel that quantises 16 blocks at a time. What is one
// number for a block, its largest magnitude and what follows from that, is a lane
// then.
func quantizeAVX512(bits int) {
	TEXT(fmt.Sprintf("quantizeInt%dAVX512", bits), NOSPLIT,
		fmt.Sprintf("func(q *int%d, scales *float32, sums *int32, x *float32, blocks int)", bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("quantizeInt%dAVX512 quantises blocks of 32 elements, a multiple of 16 of them; see quantizeGeneric.", bits))
	q, x := Load(Param("q"), GP64()), Load(Param("x"), GP64())
	scales, sums := Load(Param("scales"), GP64()), Load(Param("sums"), GP64())
	blocks := Load(Param("blocks"), GP64())
	// Numbers of 16 blocks, to be broadcast.
	inverseAt, otherAt, keepAt := AllocLocal(64), AllocLocal(64), AllocLocal(64)
	of := func(at Mem, block int) Mem { return at.Offset(4 * block) }
	constant := func(bits uint32) VecVirtual {
		v, g := ZMM(), GP32()
		MOVL(U32(bits), g)
		VPBROADCASTD(g, v)
		return v
	}
	magnitude, infinity, nan := constant(0x7fffffff), constant(0x7f800000), constant(0x7fc00000)
	limit := constant(map[int]uint32{8: 0x42fe0000, 16: 0x46fffe00}[bits])
	var limit126, square126, square127, round VecVirtual
	if bits == 8 {
		limit126, square126, square127 = constant(0x42fc0000), constant(0x46781000), constant(0x467c0400)
		round = constant(0x4b400000) // 1.5*2^23: adding it rounds to an integer
	}
	half := func(leaf int) Mem { return Mem{Base: x, Disp: 64 * leaf} } // of a block

	Label("loop")
	most := reduce16(func(block int) VecVirtual {
		m, t := ZMM(), ZMM()
		VPANDD(half(2*block), magnitude, m)
		VPANDD(half(2*block+1), magnitude, t)
		VPMAXUD(t, m, m)
		return m
	}, func(a, b VecVirtual) { VPMAXUD(b, a, a) })
	inverse := ZMM()
	VDIVPS(most, limit, inverse)
	chosen := limit
	if bits == 8 {
		// The choice of L, as in chooseLimit.
		other, chosenLimit := ZMM(), ZMM()
		VDIVPS(most, limit126, other)
		VMOVUPS(inverse, inverseAt)
		VMOVUPS(other, otherAt)
		loss := func(at Mem) VecVirtual {
			return reduce16(func(block int) VecVirtual {
				var squares VecVirtual
				for h := range 2 {
					r, n := ZMM(), ZMM()
					VMOVUPS(half(2*block+h), r)
					VMULPS_BCST(of(at, block), r, r)
					VADDPS(round, r, n)
					VSUBPS(round, n, n)
					VSUBPS(n, r, r)
					if h == 0 {
						VMULPS(r, r, r)
						squares = r
					} else {
						VFMADD231PS(r, r, squares)
					}
				}
				return squares
			}, func(a, b VecVirtual) { VADDPS(b, a, a) })
		}
		a := loss(inverseAt)
		VMULPS(square126, a, a)
		b := loss(otherAt)
		VMULPS(square127, b, b)
		better := K()
		VCMPPS(Imm(0x11), a, b, better)
		VBLENDMPS(limit126, limit, better, chosenLimit)
		VBLENDMPS(other, inverse, better, inverse)
		chosen = chosenLimit
	}
	const less = 0x11 // false for NaN
	scale, finite, keep := ZMM(), K(), K()
	VDIVPS(chosen, most, scale)
	VCMPPS(Imm(less), infinity, most, finite)
	VCMPPS(Imm(less), infinity, inverse, finite, keep)
	VMOVUPS_Z(scale, keep, scale)
	KNOTW(finite, finite)
	VMOVUPS(nan, finite, scale)
	VMOVUPS(scale, Mem{Base: scales})
	VMOVUPS(inverse, inverseAt)
	kept := ZMM()
	VPMOVM2D(keep, kept)
	VMOVDQU32(kept, keepAt)
	for part := range 2 { // 8 blocks
		sum := reduce16(func(leaf int) VecVirtual {
			leaf += 16 * part
			v := ZMM()
			VMOVUPS(half(leaf), v)
			VMULPS_BCST(of(inverseAt, leaf/2), v, v)
			VCVTPS2DQ(v, v)
			VPANDD_BCST(of(keepAt, leaf/2), v, v)
			if bits == 8 {
				VPMOVDB(v, Mem{Base: q, Disp: 16 * leaf})
			} else {
				VPMOVDW(v, Mem{Base: q, Disp: 32 * leaf})
			}
			return v
		}, func(a, b VecVirtual) { VPADDD(b, a, a) })
		VMOVDQU32(sum, Mem{Base: sums, Disp: 64 * part})
	}
	ADDQ(U32(uint32(64*bits)), q)
	ADDQ(U32(2048), x)
	ADDQ(Imm(64), scales)
	ADDQ(U32(128), sums)
	SUBQ(Imm(16), blocks)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// reduce16 joins the 16 lanes of each of 16 vectors to one: lane i of the result is
// that of vector i. Lanes are joined as Fold does: i with i+8, then with i+4, i+2 and
// i+1. Each step joins two vectors, halves of which it shuffles beside each other.
func reduce16(vector func(i int) VecVirtual, join func(a, b VecVirtual)) VecVirtual {
	shuffles := []func(a, b VecVirtual, half int, to VecVirtual){
		func(a, b VecVirtual, half int, to VecVirtual) { VSHUFF32X4(Imm([]uint64{0x44, 0xee}[half]), b, a, to) },
		func(a, b VecVirtual, half int, to VecVirtual) { VSHUFF32X4(Imm([]uint64{0x88, 0xdd}[half]), b, a, to) },
		func(a, b VecVirtual, half int, to VecVirtual) { VSHUFPS(Imm([]uint64{0x44, 0xee}[half]), b, a, to) },
		func(a, b VecVirtual, half int, to VecVirtual) { VSHUFPS(Imm([]uint64{0x88, 0xdd}[half]), b, a, to) },
	}
	// Where vectors end up: the first two steps leave a lane of four in order, the
	// others put four such vectors in turn.
	var tree func(step, i int) VecVirtual
	tree = func(step, i int) VecVirtual {
		if step < 0 {
			return vector(i)
		}
		distance := []int{4, 8, 1, 2}[step]
		a, b := tree(step-1, i), tree(step-1, i+distance)
		low, high := ZMM(), ZMM()
		shuffles[step](a, b, 0, low)
		shuffles[step](a, b, 1, high)
		join(low, high)
		return low
	}
	return tree(3, 0)
}
