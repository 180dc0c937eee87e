package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// amx writes the kernels that multiply integers in the tile registers of AMX.
//
// A tile has up to 16 rows of 64 bytes. TDPBSUD and its kin take a tile of
// quants (a row for each column of activations, the bytes of a sub-block) and
// one of codes (64 bytes are four columns of 16 rows of weights, as they lie in
// IntPanels) and add the products to a tile of sums: a row for each column of
// activations, 16 int32 for the rows of weights. So one instruction makes the
// integer sums of a sub-block for 16 columns. The rest of mulIntGeneric is done in
// vector registers, to which tiles can only go by way of memory.
//
// Quants of 16 bits are 256 times their high byte, which is signed, plus their low
// byte, which is not. A kernel first parts these bytes of its columns; then two
// tiles of quants meet the same tile of codes.
//
// What is chosen for speed, as measured on a Sapphire Rapids:
//   - While tiles are multiplied, only one of two vector units multiplies, converts
//     and shifts; but both add, and the other one moves bytes. So sums of 8 bits do
//     not start at 0 but at their bias and the bits of 1.5*2^23: adding a number below
//     2^22 to these gives the bits of 1.5*2^23 plus that number, from which an exact
//     subtraction takes 1.5*2^23 again. Sums of high bytes are multiplied by 256 by
//     moving their bytes.
//   - Tiles of sums of 16 bits are cleared, which gives them new registers. Those that
//     are loaded wait for the old ones, which does no harm where there are two panels.
//   - All panels meet the same columns before others are taken: these and what is
//     known of them stay in the nearest cache, in one piece.
func amx() {
	enabledState()
	intAMX(8, 2, 12)
	intAMX(16, 1, 16)
}

// enabledState writes the function that reads XCR0.
func enabledState() {
	TEXT("enabledState", NOSPLIT, "func() uint32")
	Doc("enabledState tells which registers the operating system saves (XCR0).")
	XORL(ECX, ECX)
	XGETBV()
	Store(EAX, ReturnIndex(0))
	RET()
}

// Neither the assembler nor avo knows the instructions of AMX, so that they are
// written as bytes: a VEX prefix of three bytes, the opcode, and what it works
// on. All have W = 0, L = 0 and opcodes of the map 0F38.
//
//	                                  pp    opcode
//	LDTILECFG   memory                none  49 /0
//	TILERELEASE                       none  49 C0
//	TILEZERO    tile                  F2    49 /r, tile in reg
//	TILELOADD   memory, tile          F2    4B /r
//	TILESTORED  tile, memory          F3    4B /r
//	TDPBSUD     codes, quants, sums   F3    5E /r, sums in reg, quants in r/m, codes in vvvv
//	TDPBUUD     codes, quants, sums   none  5E /r, the same with unsigned quants
const (
	vexNone, vexF3, vexF2 = 0, 2, 3

	opTileConfig, opTileMove, opTileDot = 0x49, 0x4b, 0x5e
)

// A tile is the number of a tile register.
type tile int

// noIndex, where an index register is encoded, stands for none.
const noIndex = 4

// encode writes an instruction of AMX, which the text describes and which reads
// some registers: index and base are the numbers of those in its address, vvvv
// its third operand, rest what follows the opcode.
func encode(text string, reads []Op, pp, opcode, index, base, vvvv int, rest ...byte) {
	code := append([]byte{0xc4, byte(0x02 | 0x80 | (^index>>3&1)<<6 | (^base>>3&1)<<5), byte((^vvvv&15)<<3 | pp), byte(opcode)}, rest...)
	Comment(text)
	for len(code) > 0 {
		i := &ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(code[0])}, Inputs: reads}
		n := 1
		if len(code) >= 4 {
			i.Opcode, n = "LONG", 4
			i.Operands[0] = U32(uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24)
		}
		Instruction(i)
		code = code[n:]
	}
}

// tileAddress is how memory is encoded: ModRM with a field reg, SIB, displacement.
func tileAddress(reg, base, index, disp int) []byte {
	return []byte{byte(0x84 | reg<<3), byte(index&7<<3 | base&7), byte(disp), byte(disp >> 8), byte(disp >> 16), byte(disp >> 24)}
}

func number(r GPPhysical) int { return int(r.PhysicalIndex()) }

func loadTileConfig(base GPPhysical) {
	encode(fmt.Sprintf("LDTILECFG (%s)", base.Asm()), []Op{base}, vexNone, opTileConfig, noIndex, number(base), 0, tileAddress(0, number(base), noIndex, 0)...)
}

func releaseTiles() {
	encode("TILERELEASE", nil, vexNone, opTileConfig, noIndex, 0, 0, 0xc0)
}

// loadTile loads a tile whose rows lie stride bytes apart.
func loadTile(base, stride GPPhysical, disp int, t tile) {
	encode(fmt.Sprintf("TILELOADD %d(%s)(%s*1), tmm%d", disp, base.Asm(), stride.Asm(), t), []Op{base, stride},
		vexF2, opTileMove, number(stride), number(base), 0, tileAddress(int(t), number(base), number(stride), disp)...)
}

// zeroTile clears a tile.
func zeroTile(t tile) {
	encode(fmt.Sprintf("TILEZERO tmm%d", t), nil, vexF2, opTileConfig, noIndex, 0, 0, byte(0xc0|int(t)<<3))
}

func storeTile(t tile, base, stride GPPhysical, disp int) {
	encode(fmt.Sprintf("TILESTORED tmm%d, %d(%s)(%s*1)", t, disp, base.Asm(), stride.Asm()), []Op{base, stride},
		vexF3, opTileMove, number(stride), number(base), 0, tileAddress(int(t), number(base), number(stride), disp)...)
}

// multiplyTiles adds products of bytes, of which the codes are unsigned.
func multiplyTiles(codes, quants, sums tile, signedQuants bool) {
	name, pp := "TDPBUUD", vexNone
	if signedQuants {
		name, pp = "TDPBSUD", vexF3
	}
	encode(fmt.Sprintf("%s tmm%d, tmm%d, tmm%d", name, codes, quants, sums), nil, pp, opTileDot, noIndex, 0, int(codes), byte(0xc0|int(sums)<<3|int(quants)))
}

// The tiles. tileConfigs has their shapes.
const (
	sumTiles   = tile(0) // by part
	quantTiles = tile(4) // by plane
	codeTiles  = tile(6) // by panel
)

// amxRun is how many elements of a column a kernel has room for on its stack.
const amxRun = 512

// intAMX writes the kernel for quants of so many bits, which takes some panels and
// some columns at a time. There are two tiles of sums in any case, parts of the
// work: for two panels, or for the two planes of the bytes of quants of 16 bits.
//
// It is a pipeline. While the vectors work on a sub-block, the sums of the next
// are stored and those of the one after are made, and that does not stop at the
// end of a panel: the sub-blocks of all panels are one sequence. After its end
// the last panels are loaded once more, in vain but from memory that is there.
func intAMX(bits, panels, cols int) {
	planes := bits / 8
	parts := panels * planes
	name := fmt.Sprintf("int%dAMX", bits)
	TEXT(name, 0, fmt.Sprintf("func(y *float32, ys int, w *byte, ws int, s, m *float32, ss int, x *int%d, xs int, t *float32, ts int, blocks, sub, turns, cols int, config *byte, add bool)", bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s multiplies %d panel(s) of 16 rows at a turn with up to %d columns of up to %d elements, of which there are blocks*sub, an even number of times 16; see mulIntGeneric. Without minima, codes have an offset; with them, none. It writes %d columns of y: those beyond cols mean nothing.", name, panels, cols, amxRun, cols))

	// Registers. Those in the addresses of tiles must be fixed, and as they leave
	// few to choose from, all are.
	var (
		quants, quantStride = RSI.(GPPhysical), RDI.(GPPhysical) // of the sub-block to multiply
		codes               = []GPPhysical{R8.(GPPhysical), R9.(GPPhysical)}[:panels]
		bias, biasStride    = R13.(GPPhysical), RCX.(GPPhysical) // what sums start at
		line                = R10.(GPPhysical)                   // 64
		now, next           = RBX.(GPPhysical), R14.(GPPhysical)
		scale, minima       = R11, R12 // of the sub-block that vectors work on
		term, ys            = RDX, R15
		tmp, count          = RAX.(GPPhysical), R9
	)
	// Memory. Two buffers hold sums, 1024 bytes for a tile. Then come the terms,
	// one sub-block after the other; of 8 bits what sums start at, likewise, 64 bytes
	// for a column; of 16 bits the quants, of every 32 elements of a column first the
	// low bytes and then the high ones.
	variable := func() Mem { return AllocLocal(8) }
	y, s, m, turns, terms := variable(), variable(), variable(), variable(), variable() // of the vectors
	turnsToLoad, blocksToLoad, firstCodes, firstQuants, firstBias := variable(), variable(), variable(), variable(), variable()
	codeStep, quantStep, quantFlip, biasStep := variable(), variable(), variable(), variable()
	blocks := variable()   // sub-blocks of a turn that vectors have to do
	const termsBytes = 192 // room for the terms of a sub-block, in whole registers
	buffer := 1024 * parts
	termsAt := 2 * buffer
	restAt := termsAt + amxRun/16*termsBytes
	rest := amxRun / 16 * 64 * cols // bias
	if bits == 16 {
		rest = amxRun * 2 * cols // quants
	}
	frame := AllocLocal(restAt + rest + 64)

	get := func(name string, shift int, to Op) {
		Load(Param(name), tmp)
		if shift > 0 {
			SHLQ(Imm(uint64(shift)), tmp)
		}
		MOVQ(tmp, to)
	}
	LEAQ(frame.Offset(63), now)
	ANDQ(I8(-64), now)
	LEAQ(Mem{Base: now, Disp: buffer}, next)
	LEAQ(Mem{Base: now, Disp: termsAt}, term)
	MOVQ(term, terms)
	LEAQ(Mem{Base: now, Disp: restAt}, bias)
	MOVQ(bias, firstBias)
	MOVQ(U32(64), line)
	Load(Param("config"), tmp)
	loadTileConfig(tmp)

	Comment("Copy the terms, and spread the biases.")
	masks := []Register{K1, K2, K3}
	Load(Param("cols"), RCX)
	LEAQ(Mem{Base: RCX, Index: RCX, Scale: 2}, RCX)
	MOVQ(I32(-1), tmp)
	SHLQ(CL, tmp)
	NOTQ(tmp)
	for _, k := range masks {
		KMOVW(tmp.As32(), k)
		SHRQ(Imm(16), tmp)
	}
	broadcast := func(bits uint32) VecVirtual {
		v := ZMM()
		MOVL(U32(bits), tmp.As32())
		VPBROADCASTD(tmp.As32(), v)
		return v
	}
	var magic VecVirtual // 1.5*2^23
	if bits == 8 {
		magic = broadcast(0x4b400000)
	}
	Load(Param("t"), quants)
	get("ts", 2, quantStride)
	LEAQ(Mem{Base: quantStride, Index: quantStride, Scale: 2}, quantStride)
	if bits == 8 {
		// With minima there is no bias: all sums start at the same.
		VMOVDQA32(magic, Mem{Base: bias})
		XORQ(biasStride, biasStride)
		MOVQ(biasStride, biasStep)
		Load(Param("m"), tmp)
		TESTQ(tmp, tmp)
		JNZ(LabelRef("unbiased"))
		MOVQ(line, biasStride)
		MOVQ(U32(uint32(64*cols)), biasStep)
		Label("unbiased")
	}
	Load(Param("blocks"), count)
	Label("terms")
	for i, k := range masks {
		v := ZMM()
		VMOVDQU32_Z(Mem{Base: quants, Disp: 64 * i}, k, v)
		VMOVDQA32(v, Mem{Base: term, Disp: 64 * i})
	}
	if bits == 8 {
		TESTQ(biasStride, biasStride)
		JZ(LabelRef("no_bias"))
		for c := range cols {
			v := ZMM()
			VPADDD_BCST(Mem{Base: term, Disp: termBytes*c + termBias}, magic, v)
			VMOVDQA32(v, Mem{Base: bias, Disp: 64 * c})
		}
		ADDQ(U32(uint32(64*cols)), bias)
		Label("no_bias")
	}
	ADDQ(quantStride, quants)
	ADDQ(U32(termsBytes), term)
	DECQ(count)
	JNZ(LabelRef("terms"))

	quantsBytes := 64 * cols // of 32 elements
	if bits == 16 {
		Comment("Part the bytes of the quants.")
		parting := ZMM()
		VMOVDQU32(partBytes(), parting)
		Load(Param("blocks"), RCX)
		Load(Param("sub"), tmp)
		IMULQ(tmp, RCX)
		SHRQ(Imm(5), RCX)
		MOVQ(bias, scale)
		Load(Param("x"), minima)
		get("xs", 1, ys)
		Load(Param("cols"), count)
		Label("column")
		MOVQ(minima, quants)
		MOVQ(scale, term)
		MOVQ(RCX, quantStride)
		Label("part")
		v := ZMM()
		VPERMB(Mem{Base: quants}, parting, v)
		VMOVDQA32(v, Mem{Base: term})
		ADDQ(Imm(64), quants)
		ADDQ(U32(uint32(quantsBytes)), term)
		DECQ(quantStride)
		JNZ(LabelRef("part"))
		ADDQ(ys, minima)
		ADDQ(Imm(64), scale)
		DECQ(count)
		JNZ(LabelRef("column"))
	}

	get("y", 0, y)
	get("s", 0, s)
	get("m", 0, m)
	get("turns", 0, turns)
	get("turns", 0, turnsToLoad)
	get("w", 0, firstCodes)
	Load(Param("sub"), tmp)
	MOVQ(tmp, quantStep)
	SHLQ(Imm(4), tmp)
	MOVQ(tmp, codeStep)
	if bits == 8 {
		Load(Param("xs"), quantStride)
		get("x", 0, firstQuants)
	} else {
		// Sub-blocks of 16 are halves of 32 bytes, so that steps alternate.
		MOVQ(line, quantStride)
		MOVQ(bias, firstQuants)
		MOVQ(U32(uint32(16^(quantsBytes-16))), quantFlip)
		CMPQ(quantStep, Imm(16))
		JEQ(LabelRef("halves"))
		MOVQ(U32(uint32(quantsBytes)), quantStep)
		MOVQ(U32(0), quantFlip)
		Label("halves")
	}
	var minusMagic, byteUp VecVirtual
	if bits == 8 {
		minusMagic = broadcast(0xcb400000)
	} else {
		byteUp = ZMM()
		VMOVDQU32(moveByteUp(), byteUp)
	}

	labels := 0
	label := func(name string) string {
		labels++
		return fmt.Sprint(name, labels)
	}
	toTurn := func() { // go to its first sub-block
		last := label("last")
		get("blocks", 0, blocksToLoad)
		MOVQ(firstQuants, quants)
		MOVQ(firstBias, bias)
		MOVQ(firstCodes, codes[0])
		Load(Param("ws"), tmp)
		if panels > 1 {
			LEAQ(Mem{Base: codes[0], Index: tmp, Scale: 1}, codes[1])
			ADDQ(tmp, tmp)
		}
		DECQ(turnsToLoad)
		JLE(LabelRef(last))
		ADDQ(tmp, firstCodes)
		Label(last)
	}
	store := func(part int, to GPPhysical) {
		storeTile(sumTiles+tile(part), to, line, 1024*part)
	}
	multiply := func(part int) {
		panel, plane := part/planes, part%planes
		q, c, sum := quantTiles+tile(plane), codeTiles+tile(panel), sumTiles+tile(part)
		if panel == 0 {
			loadTile(quants, quantStride, 32*plane, q)
		}
		if plane == 0 {
			loadTile(codes[panel], line, 0, c)
		}
		if bits == 8 {
			loadTile(bias, biasStride, 0, sum)
		} else {
			zeroTile(sum)
		}
		multiplyTiles(c, q, sum, plane == planes-1)
		if part < parts-1 {
			return
		}
		more := label("more")
		for _, c := range codes {
			ADDQ(codeStep, c)
		}
		MOVQ(quantStep, tmp)
		ADDQ(tmp, quants)
		if bits == 8 {
			MOVQ(biasStep, tmp)
			ADDQ(tmp, bias)
		} else {
			XORQ(quantFlip, tmp)
			MOVQ(tmp, quantStep)
		}
		DECQ(blocksToLoad)
		JNZ(LabelRef(more))
		toTurn()
		Label(more)
	}
	toTurn()
	for p := range parts {
		multiply(p)
	}
	for p := range parts {
		store(p, now)
		multiply(p)
	}

	// The vectors, with minima and without.
	get("ys", 2, ys)
	Load(Param("m"), minima)
	TESTQ(minima, minima)
	JZ(LabelRef("plain_turn"))
	for _, kind := range []string{"affine", "plain"} {
		at := func(name string) string { return kind + "_" + name }
		Label(at("turn"))
		sums := make([][]VecVirtual, cols) // [column][panel]
		for c := range sums {
			for range panels {
				sums[c] = append(sums[c], ZMM())
			}
		}
		Load(Param("add"), tmp.As8())
		TESTB(tmp.As8(), tmp.As8())
		JZ(LabelRef(at("zero")))
		MOVQ(y, term)
		walk(term, ys, sums, func(m Mem, a VecVirtual) { VMOVUPS(m, a) })
		JMP(LabelRef(at("begin")))
		Label(at("zero"))
		for c := range sums {
			for _, a := range sums[c] {
				VPXORD(a, a, a)
			}
		}
		Label(at("begin"))
		// The outputs of the next turn are asked for now.
		MOVQ(y, term)
		walk(term, ys, sums, func(m Mem, _ VecVirtual) { PREFETCHT0(m.Offset(64 * panels)) })
		MOVQ(s, scale)
		if kind == "affine" {
			MOVQ(m, minima)
		}
		MOVQ(terms, term)
		get("blocks", 0, blocks)

		Label(at("block"))
		var scales, mins []VecVirtual
		load := func(base Register) (of []VecVirtual) {
			for p := range panels {
				v := ZMM()
				if p == 0 {
					VMOVUPS(Mem{Base: base}, v)
				} else {
					Load(Param("ss"), tmp)
					VMOVUPS(Mem{Base: base, Index: tmp, Scale: 4}, v)
				}
				of = append(of, v)
			}
			return of
		}
		scales = load(scale)
		if kind == "affine" {
			mins = load(minima)
		}
		for c := range cols {
			if c%(cols/parts) == 0 { // the work of the tiles is spread evenly
				store(c*parts/cols, next)
				multiply(c * parts / cols)
			}
			field := func(f int) Mem { return Mem{Base: term, Disp: termBytes*c + f} }
			if kind == "affine" {
				fma(field(termSum), mins, sums[c])
			}
			for p, product := range mul(field(termScale), scales) {
				dot := ZMM()
				stored := Mem{Base: now, Disp: 1024*planes*p + 64*c}
				if bits == 8 {
					VADDPS(stored, minusMagic, dot)
				} else {
					VMOVDQA32(stored.Offset(1024), dot)
					VPSHUFB(byteUp, dot, dot)
					VPADDD(stored, dot, dot)
					if kind == "plain" {
						VPADDD_BCST(field(termBias), dot, dot)
					}
					VCVTDQ2PS(dot, dot)
				}
				VFMADD231PS(dot, product, sums[c][p])
			}
		}
		ADDQ(Imm(64), scale)
		if kind == "affine" {
			ADDQ(Imm(64), minima)
		}
		ADDQ(U32(termsBytes), term)
		XCHGQ(now, next)
		DECQ(blocks)
		JNZ(LabelRef(at("block")))

		MOVQ(y, term)
		walk(term, ys, sums, func(m Mem, a VecVirtual) { VMOVUPS(a, m) })
		ADDQ(U32(uint32(64*panels)), y)
		Load(Param("ss"), tmp)
		SHLQ(Imm(uint64(1+panels)), tmp)
		ADDQ(tmp, s)
		if kind == "affine" {
			ADDQ(tmp, m)
		}
		DECQ(turns)
		JNZ(LabelRef(at("turn")))
		if kind == "affine" {
			JMP(LabelRef("end"))
		}
	}
	Label("end")
	releaseTiles()
	VZEROUPPER()
	RET()
}

// fma adds the products of a number in memory and some vectors to others.
func fma(number Mem, v, sums []VecVirtual) {
	if len(v) == 1 {
		VFMADD231PS_BCST(number, v[0], sums[0])
		return
	}
	x := ZMM()
	VBROADCASTSS(number, x)
	for i := range v {
		VFMADD231PS(x, v[i], sums[i])
	}
}

// mul multiplies some vectors with a number in memory.
func mul(number Mem, v []VecVirtual) []VecVirtual {
	x := ZMM()
	if len(v) == 1 {
		VMULPS_BCST(number, v[0], x)
		return []VecVirtual{x}
	}
	VBROADCASTSS(number, x)
	products := []VecVirtual{x} // takes its place
	for i := 1; i < len(v); i++ {
		product := ZMM()
		VMULPS(x, v[i], product)
		products = append(products, product)
	}
	VMULPS(x, v[0], x)
	return products
}

// moveByteUp moves the bytes of each int32 one up, and a zero to the lowest.
func moveByteUp() Mem {
	m := GLOBL("moveByteUp", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(0x02010080+0x04040400*uint32(i%4)))
	}
	return m
}

// partBytes are the places of the low bytes of 32 int16, and then of the high ones.
func partBytes() Mem {
	m := GLOBL("partBytes", RODATA|NOPTR)
	for i := range 16 {
		first := uint32(8*i%64 + i/8)
		DATA(4*i, U32(0x01010101*first+0x06040200))
	}
	return m
}
