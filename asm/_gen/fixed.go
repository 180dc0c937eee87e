package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fixed writes the kernels that add float32 to 128-bit numbers. The halves of
// such numbers lie in turn, the upper first. Interleaving two registers by
// quadwords parts upper from lower halves, in the order 0 4 1 5 2 6 3 7 (0 2 1 3
// in registers of half the width), into which the floats are brought, too;
// interleaving again restores the order.
//
// A float is mantissa·2^shift units. Shifted left by shift, the mantissa is the
// lower half of the magnitude, and shifted right by 64-shift the upper. Of
// negative numbers both are complemented, and the 1 that completes the two's
// complement is added as a carry.
//
// Where an element is out of range, or its sum would overflow, a kernel stops
// before its group and tells how many elements it has added.
func fixed() {
	c := fixedConstants{
		exponent: quads("fixedExponent", 0xff),
		bias:     quads("fixedBias", 86),
		limit:    quads("fixedLimit", 64),
		mantissa: quads("fixedMantissa", 0x7fffff),
		leading:  quads("fixedLeading", 0x800000),
		sign:     quads("fixedSign", 1<<63),
		order:    GLOBL("fixedOrder", RODATA|NOPTR),
	}
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	addFixedAVX2(c)
	addFixedAVX512(c)
}

type fixedConstants struct{ exponent, bias, limit, mantissa, leading, sign, order Mem }

// quads places a constant four times in read-only memory.
func quads(name string, v uint64) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 4 {
		DATA(8*i, U64(v))
	}
	return m
}

const fixedDoc = " adds x[i] to the 128-bit number in units of 2⁻⁶⁴ at sums[2*i:], upper half first, and gives how many it has added: fewer than n, a multiple of "

func addFixedAVX2(c fixedConstants) {
	TEXT("addFixedAVX2", NOSPLIT, "func(sums *uint64, x *float32, n int) int")
	Pragma("noescape")
	Doc("addFixedAVX2" + fixedDoc + "4, where one in the next 4 is out of range.")
	sums := Load(Param("sums"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("end"))
	b, shift, t := YMM(), YMM(), YMM()
	VPERMILPS(Imm(0xd8), Mem{Base: x, Index: done, Scale: 4}, b.AsX())
	VPMOVZXDQ(b.AsX(), b)
	VPSRLQ(Imm(23), b, shift)
	VPAND(c.exponent, shift, shift)
	VPSUBQ(c.bias, shift, shift)
	// In range are shifts from 0 to 63: neither negative nor above.
	bad := YMM()
	VMOVDQU(c.limit, t)
	VPCMPGTQ(shift, t, bad) // 64 > shift
	VPANDN(bad, shift, t)   // … and the sign of shift is clear
	flags := GP32()
	VMOVMSKPD(t, flags)
	CMPL(flags, Imm(15))
	JNE(LabelRef("end"))
	lo, hi, negative := YMM(), YMM(), YMM()
	VPAND(c.mantissa, b, lo)
	VPOR(c.leading, lo, lo)
	VMOVDQU(c.limit, t)
	VPSUBQ(shift, t, t)
	VPSRLVQ(t, lo, hi)
	VPSLLVQ(shift, lo, lo)
	VPSLLQ(Imm(32), b, b) // the float's sign becomes that of the quadword
	VPXOR(negative, negative, negative)
	VPCMPGTQ(b, negative, negative)
	VPXOR(negative, lo, lo)
	VPXOR(negative, hi, hi)
	low, high, u, v := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: sums}, u)
	VMOVDQU(Mem{Base: sums, Disp: 32}, v)
	VPUNPCKLQDQ(v, u, high)
	VPUNPCKHQDQ(v, u, low)
	// The carry of low + lo + carry: unsigned comparisons, by signed ones of
	// numbers with the top bit turned.
	carry, flipped := YMM(), YMM()
	sign := YMM()
	VMOVDQU(c.sign, sign)
	VPADDQ(lo, low, low)
	VPXOR(sign, lo, lo)
	VPXOR(sign, low, flipped)
	VPCMPGTQ(flipped, lo, carry) // the sum is less than a summand
	VPSUBQ(negative, low, low)   // adds 1 where negative
	VPXOR(sign, low, t)
	VPCMPGTQ(t, flipped, t)
	VPOR(t, carry, carry)
	sum := YMM()
	VPADDQ(hi, high, sum)
	VPSUBQ(carry, sum, sum)
	// Overflow: both summands have one sign and the sum the other.
	VPXOR(high, sum, t)
	VPXOR(high, negative, u)
	VPANDN(t, u, t)
	VMOVMSKPD(t, flags)
	TESTL(flags, flags)
	JNZ(LabelRef("end"))
	VPUNPCKLQDQ(low, sum, u)
	VPUNPCKHQDQ(low, sum, v)
	VMOVDQU(u, Mem{Base: sums})
	VMOVDQU(v, Mem{Base: sums, Disp: 32})
	ADDQ(Imm(64), sums)
	ADDQ(Imm(4), done)
	JMP(LabelRef("loop"))
	Label("end")
	Store(done, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func addFixedAVX512(c fixedConstants) {
	TEXT("addFixedAVX512", NOSPLIT, "func(sums *uint64, x *float32, n int) int")
	Pragma("noescape")
	Doc("addFixedAVX512" + fixedDoc + "8, where one in the next 8 is out of range.")
	sums := Load(Param("sums"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	all := func(m Mem) VecVirtual {
		v := ZMM()
		VPBROADCASTQ(m, v)
		return v
	}
	exponent, bias, limit, mantissa, leading := all(c.exponent), all(c.bias), all(c.limit), all(c.mantissa), all(c.leading)
	order, ones := YMM(), ZMM()
	VMOVDQU(c.order, order)
	VPTERNLOGD(Imm(0xff), ones, ones, ones)
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("end"))
	b, shift, right := ZMM(), ZMM(), ZMM()
	VPERMPS(Mem{Base: x, Index: done, Scale: 4}, order, b.AsY())
	VPMOVZXDQ(b.AsY(), b)
	VPSRLQ(Imm(23), b, shift)
	VPANDQ(exponent, shift, shift)
	VPSUBQ(bias, shift, shift)
	bad := K()
	flags := GP32()
	VPCMPUQ(Imm(5), limit, shift, bad) // shift >= 64, or negative
	KMOVB(bad, flags)
	TESTL(flags, flags)
	JNZ(LabelRef("end"))
	lo, hi := ZMM(), ZMM()
	VPANDQ(mantissa, b, lo)
	VPORQ(leading, lo, lo)
	VPSUBQ(shift, limit, right)
	VPSRLVQ(right, lo, hi)
	VPSLLVQ(shift, lo, lo)
	VPSLLQ(Imm(32), b, b) // the float's sign becomes that of the quadword
	VPSRAQ(Imm(63), b, b)
	VPXORQ(b, lo, lo)
	VPXORQ(b, hi, hi)
	low, high, u, v := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: sums}, u)
	VMOVDQU64(Mem{Base: sums, Disp: 64}, v)
	VPUNPCKLQDQ(v, u, high)
	VPUNPCKHQDQ(v, u, low)
	first, second, carry := K(), K(), K()
	t, sum := ZMM(), ZMM()
	VPADDQ(lo, low, t)
	VPCMPUQ(Imm(1), lo, t, first) // the sum is less than a summand
	VPSUBQ(b, t, low)             // adds 1 where negative
	VPCMPUQ(Imm(1), t, low, second)
	KORB(first, second, carry)
	VPADDQ(hi, high, sum)
	VPSUBQ(ones, sum, carry, sum)
	// Overflow: both summands have one sign and the sum the other.
	over := K()
	VPXORQ(high, sum, t)
	VPXORQ(high, b, u)
	VPANDNQ(t, u, t)
	VPMOVQ2M(t, over)
	KMOVB(over, flags)
	TESTL(flags, flags)
	JNZ(LabelRef("end"))
	VPUNPCKLQDQ(low, sum, u)
	VPUNPCKHQDQ(low, sum, v)
	VMOVDQU64(u, Mem{Base: sums})
	VMOVDQU64(v, Mem{Base: sums, Disp: 64})
	ADDQ(U32(128), sums)
	ADDQ(Imm(8), done)
	JMP(LabelRef("loop"))
	Label("end")
	Store(done, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
