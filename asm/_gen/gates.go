package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gates writes the kernels of Gemma's gated unit and of its soft caps, for both
// widths of registers: their steps are those of the Go functions, none fused.
func gates(c expConstants) {
	k := gateConstants{
		linear: vector("geluLinear", 0xbfcc422a), cubic: vector("geluCubic", 0xbd922279),
		one: c.one, two: vector("two", 0x40000000), sign: c.sign, absolute: vector("absolute", 0x7fffffff),
		near: vector("tanhNear", 0x3f200000),
		p:    [3]Mem{vector("tanhP0", 0x41a80000), vector("tanhP1", 0x449d8000), vector("tanhP2", 0x46226c00)},
		q:    [2]Mem{vector("tanhQ0", 0x43520000), vector("tanhQ1", 0x4593a800)},
	}
	for _, l := range []string{"AVX2", "AVX512"} {
		geluMul(l, c, k)
		softCap(l, c, k)
	}
}

type gateConstants struct {
	linear, cubic, one, two, sign, absolute, near Mem
	p                                             [3]Mem
	q                                             [2]Mem
}

// each16 runs body on 16 elements at a time: on both halves with AVX2, on all
// with AVX-512. A constant is loaded once into a register, or read from memory
// where there are too few.
func each16(level string, c expConstants, n Register, body func(s steps), pointers ...Register) {
	if level == "AVX2" {
		s := steps{new: YMM, constant: func(m Mem) Op { return m }, at: at, exp: func(x VecVirtual) { expBody(c, x) }}
		loop16(n, func() {
			for h := range 2 {
				s.half = h
				body(s)
			}
		}, pointers...)
		return
	}
	r := c.load()
	loaded := map[Mem]Op{}
	s := steps{
		new: ZMM, wide: true,
		constant: func(m Mem) Op { return loaded[m] },
		at:       func(p Register, _ int) Mem { return Mem{Base: p} },
		exp:      func(x VecVirtual) { expBody512(r, x, true) },
	}
	for _, m := range gateVectors {
		loaded[m] = broadcast(m)
	}
	loop16(n, func() { body(s) }, pointers...)
}

// gateVectors are the constants that the kernel being written wants.
var gateVectors []Mem

// steps are what differs between the widths.
type steps struct {
	new      func() VecVirtual
	wide     bool
	constant func(Mem) Op
	at       func(p Register, half int) Mem
	half     int
	exp      func(VecVirtual)
}

// and, or and xor of floats have other names where registers are wide.
func (s steps) and(a Op, b, dst VecVirtual) {
	if s.wide {
		VPANDD(a, b, dst)
	} else {
		VANDPS(a, b, dst)
	}
}

func (s steps) or(a Op, b, dst VecVirtual) {
	if s.wide {
		VPORD(a, b, dst)
	} else {
		VORPS(a, b, dst)
	}
}

func geluMul(level string, c expConstants, k gateConstants) {
	name := "geluMul" + level
	TEXT(name, NOSPLIT, "func(dst, gate, up *float32, n int)")
	Pragma("noescape")
	Doc(name + " sets dst[i] = gate[i]/(1+exp(gate[i]*(gate[i]²*b + a))) * up[i] for i < n, a multiple of 16; see geluMulGeneric.")
	dst := Load(Param("dst"), GP64())
	gate := Load(Param("gate"), GP64())
	up := Load(Param("up"), GP64())
	n := Load(Param("n"), GP64())
	gateVectors = []Mem{k.linear, k.cubic, k.one}
	each16(level, c, n, func(s steps) {
		g, e := s.new(), s.new()
		VMOVUPS(s.at(gate, s.half), g)
		VMULPS(g, g, e)
		VMULPS(s.constant(k.cubic), e, e)
		VADDPS(s.constant(k.linear), e, e)
		VMULPS(e, g, e)
		s.exp(e)
		VADDPS(s.constant(k.one), e, e)
		VDIVPS(e, g, g)
		VMULPS(s.at(up, s.half), g, g)
		VMOVUPS(g, s.at(dst, s.half))
	}, dst, gate, up)
	VZEROUPPER()
	RET()
}

func softCap(level string, c expConstants, k gateConstants) {
	name := "softCap" + level
	TEXT(name, NOSPLIT, "func(x *float32, n int, scale, limit float32)")
	Pragma("noescape")
	Doc(fmt.Sprint(name, " sets x[i] = limit*tanh(x[i]*scale) for i < n, a multiple of 16; see softCapGeneric."))
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	var scale, limit VecVirtual
	if level == "AVX2" {
		scale, limit = broadcastParam("scale"), broadcastParam("limit")
	} else {
		scale, limit = broadcast(address("scale")), broadcast(address("limit"))
	}
	gateVectors = append([]Mem{k.one, k.two, k.sign, k.absolute, k.near}, append(k.p[:], k.q[:]...)...)
	each16(level, c, n, func(s steps) {
		y, far, near, z := s.new(), s.new(), s.new(), s.new()
		VMULPS(s.at(x, s.half), scale, y)
		// 1 - 2/(e+1), with the sign of y.
		s.and(s.constant(k.absolute), y, far)
		VADDPS(far, far, far)
		s.exp(far)
		VADDPS(s.constant(k.one), far, far)
		two, one := s.new(), s.new()
		VMOVUPS(s.constant(k.two), two)
		VDIVPS(far, two, far)
		VMOVUPS(s.constant(k.one), one)
		VSUBPS(far, one, far)
		s.and(s.constant(k.sign), y, z)
		s.or(z, far, far)
		// The fraction, beside 0.
		VMULPS(y, y, z)
		VMULPS(s.constant(k.p[0]), z, near)
		VADDPS(s.constant(k.p[1]), near, near)
		VMULPS(z, near, near)
		VADDPS(s.constant(k.p[2]), near, near)
		VMULPS(y, near, near)
		q := s.new()
		VADDPS(s.constant(k.q[0]), z, q)
		VMULPS(z, q, q)
		VADDPS(s.constant(k.q[1]), q, q)
		VMULPS(z, q, q)
		VADDPS(s.constant(k.p[2]), q, q)
		VDIVPS(q, near, near)
		s.and(s.constant(k.absolute), y, z)
		if s.wide {
			isNear, isNaN := K(), K()
			VCMPPS(Imm(0x11), s.constant(k.near), z, isNear) // |y| < 0.625
			VMOVAPS(near, isNear, far)
			VCMPPS(Imm(0x03), y, y, isNaN)
			VMOVAPS(y, isNaN, far)
		} else {
			VCMPPS(Imm(0x11), s.constant(k.near), z, z)
			VBLENDVPS(z, near, far, far)
			VCMPPS(Imm(0x03), y, y, z)
			VBLENDVPS(z, y, far, far)
		}
		VMULPS(limit, far, far)
		VMOVUPS(far, s.at(x, s.half))
	}, x)
	VZEROUPPER()
	RET()
}
