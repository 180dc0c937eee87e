package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// amx writes the kernels that multiply integers in the tile registers of AMX,
// by how many columns they take at a time.
//
// A tile has up to 16 rows of 64 bytes. TDPBSSD and its kin take a tile of
// quants (a row for each column of activations, the bytes of a sub-block) and
// one of codes (64 bytes are four columns of 16 rows of weights, as they lie in
// IntPanels) and add the products to a tile of sums: a row for each column of
// activations, 16 int32 for the rows of weights. So one instruction makes the
// integer sums of a sub-block for all its columns. The rest of mulIntGeneric is
// done in vector registers, to which tiles can only go by way of memory.
//
// Codes are taken as signed after their offset is subtracted, once at the
// beginning; so the terms' biases are not needed. Quants of 16 bits are 256
// times their high byte, which is signed, plus their low byte, which is not.
// Rows of quants stay as they are, both bytes in turn, and two tiles of codes
// with zeros in between pick one of them each; hence two planes of codes and of
// sums. Both sums are exact in float32, and fma(256, high, low) rounds once.
//
// Integers become floats without a conversion: sums do not start at 0 but at
// the bits of 1.5*2^23. Adding a number below 2^22 to these gives the bits of
// 1.5*2^23 plus that number, from which an exact subtraction takes 1.5*2^23
// again. The reason is that while tiles are in use only one of two vector units
// multiplies and converts, but both add.
func amx() {
	enabledState()
	for cols := 6; cols <= 12; cols++ {
		intAMX(8, 2, cols)
	}
	for cols := 8; cols <= 16; cols++ {
		intAMX(8, 1, cols)
		intAMX(16, 1, cols)
	}
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
//	TILELOADD   memory, tile          F2    4B /r
//	TILESTORED  tile, memory          F3    4B /r
//	TDPBSSD     codes, quants, sums   F2    5E /r, sums in reg, quants in r/m, codes in vvvv
//	TDPBUSD     codes, quants, sums   66    5E /r, the same with unsigned quants
const (
	vexNone, vex66, vexF3, vexF2 = 0, 1, 2, 3

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

// repeatTile loads the same 64 bytes to all rows of a tile.
func repeatTile(base GPPhysical, disp int, t tile) {
	encode(fmt.Sprintf("TILELOADD %d(%s), tmm%d", disp, base.Asm(), t), []Op{base},
		vexF2, opTileMove, noIndex, number(base), 0, tileAddress(int(t), number(base), noIndex, disp)...)
}

func storeTile(t tile, base, stride GPPhysical, disp int) {
	encode(fmt.Sprintf("TILESTORED tmm%d, %d(%s)(%s*1)", t, disp, base.Asm(), stride.Asm()), []Op{base, stride},
		vexF3, opTileMove, number(stride), number(base), 0, tileAddress(int(t), number(base), number(stride), disp)...)
}

// multiplyTiles adds products of bytes, of which the codes are signed.
func multiplyTiles(codes, quants, sums tile, signedQuants bool) {
	name, pp := "TDPBUSD", vex66
	if signedQuants {
		name, pp = "TDPBSSD", vexF2
	}
	encode(fmt.Sprintf("%s tmm%d, tmm%d, tmm%d", name, codes, quants, sums), nil, pp, opTileDot, noIndex, 0, int(codes), byte(0xc0|int(sums)<<3|int(quants)))
}

// The tiles. tileConfigs has their shapes.
const (
	sumTiles  = tile(0) // four: by panel, or by plane
	quantTile = tile(4)
	codeTiles = tile(5) // two: by panel, or by plane
)

// amxCodes is how many bytes of prepared codes there may be, in a panel and a
// plane.
const amxCodes = 8192

// intAMX writes the kernel for a fixed number of panels, either of which may be
// 1 only if activations have 16 bits, and groups of a fixed number of columns.
//
// It is a pipeline. While the vectors work on a sub-block, the sums of the next
// are stored and those of the one after are made, and that does not stop at the
// end of a group: the sub-blocks of all groups are one sequence. After its end
// the last group is loaded once more, in vain but from memory that is there.
func intAMX(bits, panels, cols int) {
	size := bits / 8
	name := fmt.Sprintf("int%dx%dx%dAMX", bits, panels*16, cols)
	TEXT(name, 0, fmt.Sprintf("func(y *float32, ys int, w *byte, ws int, s, m *float32, ss int, x *int%d, xs int, t *float32, ts int, blocks, steps, groups, offset int, config *byte, add bool)", bits))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s multiplies %d panel(s) of 16 rows with groups of %d columns; see mulIntGeneric.", name, panels, cols))

	// Registers. Those in the addresses of tiles must be fixed, and as they leave
	// few to choose from, all are.
	var (
		quants, xs    = RSI.(GPPhysical), RDI.(GPPhysical) // of the sub-block to multiply
		codes         = []GPPhysical{R8.(GPPhysical), R9.(GPPhysical)}[:panels]
		line          = R10.(GPPhysical) // 64
		now, next     = RBX.(GPPhysical), R14.(GPPhysical)
		scale, minima = R11, R12 // of the sub-block that vectors work on
		ss            = R13
		term, ts      = RDX, R15
		blocks        = RCX // sub-blocks of a group that vectors have to do
		tmp           = RAX.(GPPhysical)
	)
	// Memory. Two buffers hold sums, 1024 bytes for a tile, and a line with 16
	// times the bits of 1.5*2^23. Then come prepared codes.
	variable := func() Mem { return AllocLocal(8) }
	y, t, groups := variable(), variable(), variable()                  // of the vectors
	x, groupsToLoad, blocksToLoad := variable(), variable(), variable() // of the tiles
	firstCodes, ws, codeStep, quantStep := variable(), variable(), variable(), variable()
	magicAt := 1024 * panels * size
	buffer := magicAt + 64
	frame := AllocLocal(2*buffer + panels*size*amxCodes + 64)

	get := func(name string, shift int, to Op) {
		Load(Param(name), tmp)
		if shift > 0 {
			SHLQ(Imm(uint64(shift)), tmp)
		}
		MOVQ(tmp, to)
	}
	Load(Param("config"), tmp)
	loadTileConfig(tmp)
	get("y", 0, y)
	get("t", 0, t)
	get("groups", 0, groups)
	get("x", 0, x)
	get("groups", 0, groupsToLoad)
	get("w", 0, firstCodes)
	get("ws", 0, ws)
	get("steps", 8+size-1, codeStep)
	get("steps", 4+size-1, quantStep)
	get("xs", size-1, xs)
	get("ss", 2, ss)
	MOVQ(U32(64), line)
	LEAQ(frame.Offset(63), now)
	ANDQ(I8(-64), now)
	minusMagic := ZMM()
	MOVL(U32(0x4b400000), tmp.As32()) // 1.5*2^23
	VPBROADCASTD(tmp.As32(), minusMagic)
	VMOVDQA32(minusMagic, Mem{Base: now, Disp: magicAt})
	VMOVDQA32(minusMagic, Mem{Base: now, Disp: magicAt + buffer})
	MOVL(U32(0xcb400000), tmp.As32()) // -1.5*2^23
	VPBROADCASTD(tmp.As32(), minusMagic)

	toCodes := func() { // of the first sub-block
		MOVQ(firstCodes, codes[0])
		if panels > 1 {
			MOVQ(codes[0], codes[1])
			ADDQ(ws, codes[1])
		}
	}
	Load(Param("offset"), tmp)
	if bits == 8 {
		TESTQ(tmp, tmp)
		JZ(LabelRef("prepared"))
	}
	offset := ZMM()
	VPBROADCASTB(tmp.As32(), offset)
	toCodes()
	LEAQ(Mem{Base: now, Disp: 2 * buffer}, next)
	MOVQ(next, firstCodes)
	MOVQ(U32(amxCodes), ws)
	Load(Param("blocks"), blocks)
	Load(Param("steps"), tmp)
	IMULQ(tmp, blocks)
	Label("prepare")
	for p := range panels {
		for i := range 4 {
			w := ZMM()
			VMOVDQU32(Mem{Base: codes[p], Disp: 64 * i}, w)
			VPSUBB(offset, w, w)
			if bits == 8 {
				VMOVDQA32(w, Mem{Base: next, Disp: amxCodes*p + 64*i})
				continue
			}
			for pair, shuffle := range widenShuffles() {
				low, high := ZMM(), ZMM()
				VPSHUFB(shuffle, w, low)
				VMOVDQA32(low, Mem{Base: next, Disp: 128*i + 64*pair})
				VPSLLW(Imm(8), low, high)
				VMOVDQA32(high, Mem{Base: next, Disp: amxCodes + 128*i + 64*pair})
			}
		}
		ADDQ(U32(256), codes[p])
	}
	ADDQ(U32(256*size), next)
	DECQ(blocks)
	JNZ(LabelRef("prepare"))
	Label("prepared")
	LEAQ(Mem{Base: now, Disp: buffer}, next)

	labels := 0
	label := func(name string) string {
		labels++
		return fmt.Sprint(name, labels)
	}
	toGroup := func() { // go to its first sub-block
		last := label("last")
		MOVQ(x, quants)
		toCodes()
		get("blocks", 0, blocksToLoad)
		DECQ(groupsToLoad)
		JLE(LabelRef(last))
		IMUL3Q(U32(uint32(cols)), xs, tmp)
		ADDQ(tmp, x)
		Label(last)
	}
	// Both the tiles of sums are made and stored in two steps, by panel or plane.
	steps := panels * size
	store := func(step int, to GPPhysical) {
		storeTile(sumTiles+tile(step), to, line, 1024*step)
	}
	multiply := func(step int) {
		if step == 0 {
			loadTile(quants, xs, 0, quantTile)
		}
		panel, plane := step/size, step%size
		repeatTile(now, magicAt, sumTiles+tile(step))
		loadTile(codes[panel], line, amxCodes*plane, codeTiles+tile(step))
		multiplyTiles(codeTiles+tile(step), quantTile, sumTiles+tile(step), plane == size-1)
		if step < steps-1 {
			return
		}
		more := label("more")
		MOVQ(quantStep, tmp)
		ADDQ(tmp, quants)
		MOVQ(codeStep, tmp)
		for p := range panels {
			ADDQ(tmp, codes[p])
		}
		DECQ(blocksToLoad)
		JNZ(LabelRef(more))
		toGroup()
		Label(more)
	}
	toGroup()
	for step := range steps {
		multiply(step)
	}
	for step := range steps {
		store(step, now)
		multiply(step)
	}

	// The vectors, with minima and without.
	Load(Param("m"), minima)
	TESTQ(minima, minima)
	JZ(LabelRef("plain_group"))
	for _, kind := range []string{"affine", "plain"} {
		at := func(name string) string { return kind + "_" + name }
		Label(at("group"))
		sums := make([][]VecVirtual, cols) // [column][panel]
		for c := range sums {
			for range panels {
				sums[c] = append(sums[c], ZMM())
			}
		}
		toY := func() { // term and ts are not in use then
			MOVQ(y, term)
			get("ys", 2, ts)
		}
		Load(Param("add"), tmp.As8())
		TESTB(tmp.As8(), tmp.As8())
		JZ(LabelRef(at("zero")))
		toY()
		walk(term, ts, sums, func(m Mem, a VecVirtual) { VMOVUPS(m, a) })
		JMP(LabelRef(at("begin")))
		Label(at("zero"))
		for c := range sums {
			for _, a := range sums[c] {
				VPXORD(a, a, a)
			}
		}
		Label(at("begin"))
		get("s", 0, scale)
		get("m", 0, minima)
		MOVQ(t, term)
		get("ts", 2, ts)
		LEAQ(Mem{Base: ts, Index: ts, Scale: 2}, ts)
		get("blocks", 0, blocks)

		Label(at("block"))
		ofPanel := func(base Register, p int) Mem {
			if p == 0 {
				return Mem{Base: base}
			}
			return Mem{Base: base, Index: ss, Scale: 1}
		}
		var s, m []VecVirtual
		for p := range panels {
			s, m = append(s, ZMM()), append(m, ZMM())
			VMOVUPS(ofPanel(scale, p), s[p])
			if kind == "affine" {
				VMOVUPS(ofPanel(minima, p), m[p])
			}
		}
		for c := range cols {
			if c*steps%cols < steps { // the work of the tiles is spread evenly
				store(c*steps/cols, next)
				multiply(c * steps / cols)
			}
			field := func(f int) Mem { return Mem{Base: term, Disp: termBytes*c + f} }
			if kind == "affine" {
				for p := range panels {
					VFMADD231PS_BCST(field(termSum), m[p], sums[c][p])
				}
			}
			for p := range panels {
				product, dot := ZMM(), ZMM()
				VMULPS_BCST(field(termScale), s[p], product)
				stored := Mem{Base: now, Disp: 1024*size*p + 64*c}
				VADDPS(stored, minusMagic, dot)
				if bits == 16 {
					low := dot
					dot = ZMM()
					VADDPS(stored.Offset(1024), minusMagic, dot)
					VFMADD132PS_BCST(vector("float256", 0x43800000), low, dot)
				}
				VFMADD231PS(dot, product, sums[c][p])
			}
		}
		ADDQ(Imm(64), scale)
		ADDQ(Imm(64), minima)
		ADDQ(ts, term)
		XCHGQ(now, next)
		DECQ(blocks)
		JNZ(LabelRef(at("block")))

		toY()
		walk(term, ts, sums, func(m Mem, a VecVirtual) { VMOVUPS(a, m) })
		ADDQ(ts, term)
		MOVQ(term, y)
		ADDQ(U32(cols*termBytes), t)
		DECQ(groups)
		JNZ(LabelRef(at("group")))
		if kind == "affine" {
			JMP(LabelRef("end"))
		}
	}
	Label("end")
	releaseTiles()
	VZEROUPPER()
	RET()
}
