package main

// Vector instructions of A64, from the Arm Architecture Reference Manual for
// A-profile (DDI 0487). All act on whole registers of 16 bytes except where
// half of one is widened.

// three makes an instruction with a destination and two sources; d, n and m say
// what the registers hold. One that adds to its destination reads it, too.
func three(base uint32, name, d, n, m string) func(rd, rn, rm V) {
	return func(rd, rn, rm V) {
		word(base|uint32(rm)<<16|uint32(rn)<<5|uint32(rd), "%s %v.%s, %v.%s, %v.%s", name, rd, d, rn, n, rm, m)
	}
}

var (
	fadd  = three(0x4e20d400, "fadd", "4s", "4s", "4s")
	fsub  = three(0x4ea0d400, "fsub", "4s", "4s", "4s")
	fmul  = three(0x6e20dc00, "fmul", "4s", "4s", "4s")
	fdiv  = three(0x6e20fc00, "fdiv", "4s", "4s", "4s")
	fmla  = three(0x4e20cc00, "fmla", "4s", "4s", "4s") // fused: rounded once
	fmls  = three(0x4ea0cc00, "fmls", "4s", "4s", "4s")
	fmin  = three(0x4ea0f400, "fmin", "4s", "4s", "4s")
	fmax  = three(0x4e20f400, "fmax", "4s", "4s", "4s")
	fcmge = three(0x6e20e400, "fcmge", "4s", "4s", "4s") // all ones where n >= m; not for NaN

	fcmeq = three(0x4e20e400, "fcmeq", "4s", "4s", "4s") // all ones where n = m; not for NaN
	fcmgt = three(0x6ea0e400, "fcmgt", "4s", "4s", "4s") // all ones where n > m; not for NaN

	addInt = three(0x4ea08400, "add", "4s", "4s", "4s")
	subInt = three(0x6ea08400, "sub", "4s", "4s", "4s")
	addp   = three(0x4ea0bc00, "addp", "4s", "4s", "4s") // sums of neighbours in n, then in m
	umax   = three(0x6ea06400, "umax", "4s", "4s", "4s")
	and    = three(0x4e201c00, "and", "16b", "16b", "16b")
	bit    = three(0x6ea01c00, "bit", "16b", "16b", "16b") // takes those bits of n where m has ones
	eor    = three(0x6e201c00, "eor", "16b", "16b", "16b")

	// Products of bytes, in words; the second form takes the upper halves.
	smull  = three(0x0e20c000, "smull", "8h", "8b", "8b")
	smull2 = three(0x4e20c000, "smull2", "8h", "16b", "16b")
	smlal  = three(0x0e208000, "smlal", "8h", "8b", "8b")
	smlal2 = three(0x4e208000, "smlal2", "8h", "16b", "16b")
	// Products of words, in 32 bits.
	smlalWords  = three(0x0e608000, "smlal", "4s", "4h", "4h")
	smlal2Words = three(0x4e608000, "smlal2", "4s", "8h", "8h")
	subWords    = three(0x6e608400, "sub", "8h", "8h", "8h")
	// The dot product of each four unsigned bytes is added.
	udot = three(0x6e809400, "udot", "4s", "16b", "16b")

	// Elements of n and m in turn, from their lower or upper halves; then the
	// even or odd elements of n and m.
	zip1Singles = three(0x4e803800, "zip1", "4s", "4s", "4s")
	zip2Singles = three(0x4e807800, "zip2", "4s", "4s", "4s")
	zip1Doubles = three(0x4ec03800, "zip1", "2d", "2d", "2d")
	zip2Doubles = three(0x4ec07800, "zip2", "2d", "2d", "2d")
	uzp1Bytes   = three(0x4e001800, "uzp1", "16b", "16b", "16b")
	uzp2Bytes   = three(0x4e005800, "uzp2", "16b", "16b", "16b")
	uzp1Words   = three(0x4e401800, "uzp1", "8h", "8h", "8h")
)

// two makes an instruction with a destination and a source.
func two(base uint32, name, d, n string) func(rd, rn V) {
	return func(rd, rn V) {
		word(base|uint32(rn)<<5|uint32(rd), "%s %v.%s, %v.%s", name, rd, d, rn, n)
	}
}

var (
	fabs   = two(0x4ea0f800, "fabs", "4s", "4s")
	fneg   = two(0x6ea0f800, "fneg", "4s", "4s")
	frintn = two(0x4e218800, "frintn", "4s", "4s") // to an integer, halves to even
	scvtf  = two(0x4e21d800, "scvtf", "4s", "4s")  // float32 of int32
	fcvtns = two(0x4e21a800, "fcvtns", "4s", "4s") // int32 of float32, halves to even
	sadalp = two(0x4e606800, "sadalp", "4s", "8h") // adds the sum of each two words
	sxtlB  = two(0x0f08a400, "sxtl", "8h", "8b")   // words of bytes
	sxtl2B = two(0x4f08a400, "sxtl2", "8h", "16b") //
	uxtlB  = two(0x2f08a400, "uxtl", "8h", "8b")   //
	uxtl2B = two(0x6f08a400, "uxtl2", "8h", "16b") //
	sxtlH  = two(0x0f10a400, "sxtl", "4s", "4h")   // int32 of words
	uxtlH  = two(0x2f10a400, "uxtl", "4s", "4h")   //
	sxtl2H = two(0x4f10a400, "sxtl2", "4s", "8h")  //
)

// What widens halves: float16, and bfloat16 by a shift of 16 bits. The second
// form takes the upper four.
var (
	fcvtl  = two(0x0e217800, "fcvtl", "4s", "4h")
	fcvtl2 = two(0x4e217800, "fcvtl2", "4s", "8h")
)

// fcvtn narrows to float16, to the nearest, ties to even.
var (
	fcvtn  = two(0x0e216800, "fcvtn", "4h", "4s")
	fcvtn2 = two(0x4e216800, "fcvtn2", "8h", "4s")
)

func shll(d, n V)  { word(0x2e613800|uint32(n)<<5|uint32(d), "shll %v.4s, %v.4h, #16", d, n) }
func shll2(d, n V) { word(0x6e613800|uint32(n)<<5|uint32(d), "shll2 %v.4s, %v.8h, #16", d, n) }

// across makes an instruction that leaves one number of four in element 0.
func across(base uint32, name string) func(rd, rn V) {
	return func(rd, rn V) {
		word(base|uint32(rn)<<5|uint32(rd), "%s s%d, %v.4s", name, int(rd), rn)
	}
}

var (
	addv  = across(0x4eb1b800, "addv")
	umaxv = across(0x6eb0a800, "umaxv")
	fmaxv = across(0x6e30f800, "fmaxv")
)

// byElement makes an instruction whose second factor is one element of 32 bits
// for all of the first's.
func byElement(base uint32, name, d, n, m string) func(rd, rn, rm V, i int) {
	return func(rd, rn, rm V, i int) {
		index := uint32(i&1)<<21 | uint32(i>>1)<<11
		word(base|index|uint32(rm)<<16|uint32(rn)<<5|uint32(rd), "%s %v.%s, %v.%s, %v.%s[%d]", name, rd, d, rn, n, rm, m, i)
	}
}

var (
	fmulElement = byElement(0x4f809000, "fmul", "4s", "4s", "s")
	fmlaElement = byElement(0x4f801000, "fmla", "4s", "4s", "s")
	// An element is four bytes. Each lane adds the dot product of its own four
	// bytes with them. These need the dot product extension.
	sdotElement = byElement(0x4f80e000, "sdot", "4s", "16b", "4b")
	udotElement = byElement(0x6f80e000, "udot", "4s", "16b", "4b")
)

// byWord makes an instruction whose second factor is one word, in register 0 to
// 15, for four words of the first.
func byWord(base uint32, name, n string) func(rd, rn, rm V, i int) {
	return func(rd, rn, rm V, i int) {
		if rm > 15 {
			panic("a word of a register above 15")
		}
		index := uint32(i&1)<<20 | uint32(i>>1&1)<<21 | uint32(i>>2)<<11
		word(base|index|uint32(rm)<<16|uint32(rn)<<5|uint32(rd), "%s %v.4s, %v.%s, %v.h[%d]", name, rd, rn, n, rm, i)
	}
}

var (
	smlalWord  = byWord(0x0f402000, "smlal", "4h")
	smlal2Word = byWord(0x4f402000, "smlal2", "8h")
)

// faddp leaves the sum of n's first two elements in element 0.
func faddp(d, n V) {
	word(0x7e30d800|uint32(n)<<5|uint32(d), "faddp s%d, %v.2s", int(d), n)
}

// exchange gives the halves of n in the other order.
func exchange(d, n V) {
	word(0x6e004000|uint32(n)<<16|uint32(n)<<5|uint32(d), "ext %v.16b, %v.16b, %v.16b, #8", d, n, n)
}

func mov(d, n V) {
	word(0x4ea01c00|uint32(n)<<16|uint32(n)<<5|uint32(d), "mov %v.16b, %v.16b", d, n)
}

func shl(d, n V, by int) {
	word(0x4f205400|uint32(by)<<16|uint32(n)<<5|uint32(d), "shl %v.4s, %v.4s, #%d", d, n, by)
}

// shiftBytes moves the bits of each byte to the left, or by a negative number to
// the right.
func shiftBytes(d, n V, left int) {
	if left > 0 {
		word(0x4f005400|uint32(8+left)<<16|uint32(n)<<5|uint32(d), "shl %v.16b, %v.16b, #%d", d, n, left)
	} else {
		word(0x6f000400|uint32(16+left)<<16|uint32(n)<<5|uint32(d), "ushr %v.16b, %v.16b, #%d", d, n, -left)
	}
}

// tbl replaces each byte of m, an index, by that byte of n.
func tbl(d, n, m V) {
	word(0x4e000000|uint32(m)<<16|uint32(n)<<5|uint32(d), "tbl %v.16b, {%v.16b}, %v.16b", d, n, m)
}

// dupWords gives all words the low one of r.
func dupWords(d V, r R) {
	word(0x4e020c00|uint32(r)<<5|uint32(d), "dup %v.8h, w%d", d, int(r))
}

// dup gives all lanes the element i of n.
func dup(d, n V, i int) {
	word(0x4e040400|uint32(i)<<19|uint32(n)<<5|uint32(d), "dup %v.4s, %v.s[%d]", d, n, i)
}

// movi gives all bytes a value.
func movi(d V, b uint8) {
	word(0x4f00e400|uint32(b>>5)<<16|uint32(b&31)<<5|uint32(d), "movi %v.16b, #%d", d, b)
}

// fcvt widens the float16 in element 0 of n to float32.
func fcvt(d, n V) {
	word(0x1ee24000|uint32(n)<<5|uint32(d), "fcvt s%d, h%d", int(d), int(n))
}

// Loads and stores. Offsets are in bytes; a load that moves its pointer does so
// afterwards.

// ranged is a multiple of size, divided by it and cut to so many bits.
func ranged(offset, size, from, below int) uint32 {
	if offset%size != 0 || offset/size < from || offset/size >= below {
		panic("an offset does not fit its instruction")
	}
	return uint32(offset/size) & uint32(below-from-1)
}

func loadStore(base uint32, name, prefix string, size int) func(v V, p R, offset int) {
	return func(v V, p R, offset int) {
		word(base|ranged(offset, size, 0, 4096)<<10|uint32(p)<<5|uint32(v), "%s %s%d, [%s, #%d]", name, prefix, int(v), p.arm(), offset)
	}
}

var (
	ldr       = loadStore(0x3dc00000, "ldr", "q", 16)
	str       = loadStore(0x3d800000, "str", "q", 16)
	ldrSingle = loadStore(0xbd400000, "ldr", "s", 4)
	strSingle = loadStore(0xbd000000, "str", "s", 4)
	ldrDouble = loadStore(0xfd400000, "ldr", "d", 8)
	ldrHalf   = loadStore(0x7d400000, "ldr", "h", 2)
)

// unscaled makes a load at any offset from -256 to 255, or one that moves its
// pointer by as much.
func unscaled(base uint32, name, prefix, form string) func(v V, p R, offset int) {
	return func(v V, p R, offset int) {
		word(base|ranged(offset, 1, -256, 256)<<12|uint32(p)<<5|uint32(v), "%s %s%d, "+form, name, prefix, int(v), p.arm(), offset)
	}
}

var (
	ldur          = unscaled(0x3cc00000, "ldur", "q", "[%s, #%d]")
	ldurDouble    = unscaled(0xfc400000, "ldur", "d", "[%s, #%d]")
	ldrMove       = unscaled(0x3cc00400, "ldr", "q", "[%s], #%d")
	ldrSingleMove = unscaled(0xbc400400, "ldr", "s", "[%s], #%d")
	strMove       = unscaled(0x3c800400, "str", "q", "[%s], #%d")
	strSingleMove = unscaled(0xbc000400, "str", "s", "[%s], #%d")
)

// pair makes a load or store of two registers side by side in memory.
func pair(base uint32, name, form string) func(a, b V, p R, offset int) {
	return func(a, b V, p R, offset int) {
		word(base|ranged(offset, 16, -64, 64)<<15|uint32(b)<<10|uint32(p)<<5|uint32(a), "%s q%d, q%d, "+form, name, int(a), int(b), p.arm(), offset)
	}
}

var (
	ldp     = pair(0xad400000, "ldp", "[%s, #%d]")
	stp     = pair(0xad000000, "stp", "[%s, #%d]")
	ldpMove = pair(0xacc00000, "ldp", "[%s], #%d")
	stpMove = pair(0xac800000, "stp", "[%s], #%d")
)

// ld1rMove gives all lanes the 32 bits at p and moves p past them.
func ld1rMove(v V, p R) {
	word(0x4ddfc800|uint32(p)<<5|uint32(v), "ld1r {%v.4s}, [%s], #4", v, p.arm())
}

// ld1rDoubleMove is the same for 64 bits.
func ld1rDoubleMove(v V, p R) {
	word(0x4ddfcc00|uint32(p)<<5|uint32(v), "ld1r {%v.2d}, [%s], #8", v, p.arm())
}

// ld4Move deals 64 bytes to four registers that follow each other, byte i to
// register i%4, and moves p past them.
func ld4Move(v []V, p R) {
	for i := range v {
		if v[i] != v[0]+V(i) {
			panic("ld4 needs consecutive registers")
		}
	}
	word(0x4cdf0000|uint32(p)<<5|uint32(v[0]), "ld4 {%v.16b, %v.16b, %v.16b, %v.16b}, [%s], #64", v[0], v[1], v[2], v[3], p.arm())
}

// ld2 deals pairs of 32 bits to two registers that follow each other; st2Move
// stores them as pairs and moves p past them.
func ld2(a, b V, p R) {
	if b != a+1 {
		panic("ld2 needs consecutive registers")
	}
	word(0x4c408800|uint32(p)<<5|uint32(a), "ld2 {%v.4s, %v.4s}, [%s]", a, b, p.arm())
}

func st2Move(a, b V, p R) {
	if b != a+1 {
		panic("st2 needs consecutive registers")
	}
	word(0x4c9f8800|uint32(p)<<5|uint32(a), "st2 {%v.4s, %v.4s}, [%s], #32", a, b, p.arm())
}

// load64 and store64 move 64 bytes, the 16 float32 of a panel's rows or of the
// virtual lanes.
func load64(v []V, p R, offset int) {
	for h := 0; h < 4; h += 2 {
		ldp(v[h], v[h+1], p, offset+16*h)
	}
}

func store64(v []V, p R, offset int) {
	for h := 0; h < 4; h += 2 {
		stp(v[h], v[h+1], p, offset+16*h)
	}
}

// load64Move moves p past the 64 bytes, too.
func load64Move(v []V, p R) {
	for h := 0; h < 4; h += 2 {
		ldpMove(v[h], v[h+1], p, 32)
	}
}
