package main

import (
	"fmt"
	"slices"
)

// integers writes the kernels that multiply quantised weights with quantised
// activations, and those that quantise activations.
//
// All multiply like mulIntGeneric: y, w and x as there; s and m are the panels'
// scales and minima (or nil), ss floats from panel to panel; t are the columns'
// terms of the first sub-block, ts terms before those of the next; there are
// that many blocks, of steps times 16 columns each.
//
// A register of codes holds four rows, four bytes of each. "Signed" kernels are
// those for an offset of 128: with its highest bit flipped a code is code - 128
// as a signed byte, and its sum needs no bias. The codes of the others are below
// 64, positive as signed bytes, and the bias, -offset times the sum of the
// quants, takes the offset away.
func integers() {
	for _, signed := range []bool{false, true} {
		for cols := 1; cols <= 4; cols++ {
			int8DotProd(signed, 1, cols)
		}
		int8DotProd(signed, 4, 1)
		for cols := 1; cols <= 2; cols++ {
			int16DotProd(signed, cols)
			int8NEON(signed, cols)
		}
	}
	for cols := 1; cols <= 4; cols++ {
		int16NEON(cols)
	}
	quantize(8)
	quantize(16)
}

// Where the fields of a Term are, and its size. Its first two are loaded as
// one, so that they are elements 0 and 1.
const (
	termScale = 0
	termBias  = 8
	termBytes = 12
)

// An intKernel is what the kernels have in common.
type intKernel struct {
	panels, cols  int
	y, w, x, s, m []R
	t, ts         R
	blocks        R
	steps, step   R
}

func beginInt(kind, level string, bits, panels, cols int) *intKernel {
	name := fmt.Sprintf("%sx%dx%d%s", kind, panels*16, cols, level)
	function(name, fmt.Sprintf("%s multiplies %d panel(s) of 16 rows with %d column(s); see mulIntGeneric.", name, panels, cols),
		fmt.Sprintf("y *float32, ys int, w *byte, ws int, s *float32, m *float32, ss int, x *int%d, xs int, t *float32, ts int, blocks int, steps int, add bool", bits), "")
	return &intKernel{panels: panels, cols: cols}
}

// begin reads the arguments and begins the loop over sub-blocks.
func (k *intKernel) begin(bits int) {
	k.y = pointers("y", "ys", 4, k.cols)
	k.w = pointers("w", "ws", 1, k.panels)
	k.x = pointers("x", "xs", bits/8, k.cols)
	k.s = pointers("s", "ss", 4, k.panels)
	k.m = pointers("m", "ss", 4, k.panels)
	k.t, k.ts = load("t"), load("ts")
	scalar("ADD  %v<<1, %v, %v", k.ts, k.ts, k.ts)
	scalar("LSL  $2, %v, %v", k.ts, k.ts)
	k.blocks, k.steps, k.step = load("blocks"), load("steps"), general()
	add := load("add")
	scalar("CBNZ %v, block", add)
	for c := range k.y {
		for i := range 4 * k.panels {
			scalar("STP  (ZR, ZR), %d(%v)", 16*i, k.y[c])
		}
	}
	label("block")
}

// eachStep writes the loop over the steps of a sub-block.
func (k *intKernel) eachStep(body func()) {
	scalar("MOVD %v, %v", k.steps, k.step)
	scalar("PCALIGN $16")
	label("step")
	body()
	again(k.step, "step")
}

// bias gives all lanes of each register a column's bias.
func (k *intKernel) bias(c int, to ...V) {
	ldrSingle(to[len(to)-1], k.t, termBytes*c+termBias)
	for _, v := range to {
		dup(v, to[len(to)-1], 0)
	}
}

// end adds the sums of a sub-block to y and ends the loop over sub-blocks. All
// registers but the sums and those to keep are free for it.
//
// The float sums stay in y, which is in the nearest cache: the registers are
// worth more as integer sums.
func (k *intKernel) end(dots [][][]V, keep ...V) { // [column][panel][quarter]
	for _, column := range dots {
		keep = append(keep, slices.Concat(column...)...)
	}
	finish := func(minima bool) {
		others(keep, func() {
			s, m, y, product, term := vectors(4), vectors(4), vectors(2), vectors(2), vector()
			for p := range k.panels {
				load64Move(s, k.s[p])
				if minima {
					load64Move(m, k.m[p])
				}
				for c := range k.cols {
					ldurDouble(term, k.t, termBytes*c+termScale)
					for h := 0; h < 4; h += 2 {
						ldp(y[0], y[1], k.y[c], 64*p+16*h)
						for i := range y {
							if minima {
								fmlaElement(y[i], m[h+i], term, 1)
							}
							d := dots[c][p][h+i]
							scvtf(d, d)
							fmulElement(product[i], s[h+i], term, 0)
						}
						for i := range y {
							fmla(y[i], product[i], dots[c][p][h+i])
						}
						stp(y[0], y[1], k.y[c], 64*p+16*h)
					}
				}
			}
		})
	}
	scalar("CBZ  %v, scale", k.m[0])
	finish(true)
	scalar("B    next")
	label("scale")
	finish(false)
	label("next")
	scalar("ADD  %v, %v, %v", k.ts, k.t, k.t)
	again(k.blocks, "block")
	ret()
}

// sums are four registers for each panel and column.
func (k *intKernel) sums() [][][]V {
	sums := make([][][]V, k.cols)
	for c := range sums {
		for range k.panels {
			sums[c] = append(sums[c], vectors(4))
		}
	}
	return sums
}

// highBits is a register with the highest bit of each byte; it is one that must
// not be used where it is not wanted.
func highBits(wanted bool) (v V) {
	if wanted {
		v = vector()
		movi(v, 0x80)
	}
	return v
}

func signedName(kind string, signed bool) string {
	if signed {
		return kind + "Signed"
	}
	return kind
}

// int8DotProd writes the kernel for a fixed number of panels and columns and
// processors with the dot product extension: SDOT multiplies a register of
// codes with four quants, which it picks from a register of 16 of a column, and
// adds four products to each row's sum. Four columns load 12 times (pairs count
// once) for 64 of them.
func int8DotProd(signed bool, panels, cols int) {
	k := beginInt(signedName("int8", signed), "DotProd", 8, panels, cols)
	flip := highBits(signed)
	dots, x, w := k.sums(), vectors(cols), vectors(4)
	k.begin(8)
	for c := range dots {
		for p := range dots[c] {
			if !signed {
				k.bias(c, dots[c][p]...)
				continue
			}
			for _, d := range dots[c][p] {
				movi(d, 0)
			}
		}
	}
	k.eachStep(func() {
		for c := range x {
			ldrMove(x[c], k.x[c], 16)
		}
		for i := range 4 { // four columns of the matrix
			for p := range panels {
				load64Move(w, k.w[p])
				for h := range w {
					if signed {
						eor(w[h], w[h], flip)
					}
				}
				for h := range w {
					for c := range x {
						sdotElement(dots[c][p][h], w[h], x[c], i)
					}
				}
			}
		}
	})
	k.end(dots, flip)
}

// int16DotProd writes the kernel for quants of 16 bits, which are dealt with a
// byte at a time: a quant is 256*h + l with h its upper byte, signed, and l its
// lower byte, unsigned, so
//
//	sum of u*q = 256 * (sum of u*h) + sum of u*l
//
// with SDOT for the first sum and UDOT for the second, which takes the codes as
// unsigned bytes. Where the first takes code - 128, the second's excess of
// 128*l is added up beside it and taken away at the end. Two instructions
// multiply what takes four without the extension. No sum comes near 2^31.
func int16DotProd(signed bool, cols int) {
	k := beginInt(signedName("int16", signed), "DotProd", 16, 1, cols)
	flip := highBits(true) // also 128 as unsigned bytes
	dots, lower := k.sums(), k.sums()
	xh, xl, w, flipped, excess := vectors(cols), vectors(cols), vectors(4), vectors(2), vectors(cols)
	k.begin(16)
	for c := range dots {
		for _, d := range dots[c][0] {
			movi(d, 0)
		}
		if !signed {
			k.bias(c, lower[c][0]...)
			continue
		}
		movi(excess[c], 0)
		for _, d := range lower[c][0] {
			movi(d, 0)
		}
	}
	k.eachStep(func() {
		for c := range cols {
			ldpMove(w[0], w[1], k.x[c], 32)
			uzp1Bytes(xl[c], w[0], w[1])
			uzp2Bytes(xh[c], w[0], w[1])
			if signed {
				udot(excess[c], xl[c], flip)
			}
		}
		for i := range 4 {
			load64Move(w, k.w[0])
			for h := range w {
				upper := w[h]
				if signed {
					upper = flipped[h%2]
					eor(upper, w[h], flip)
				}
				for c := range cols {
					sdotElement(dots[c][0][h], upper, xh[c], i)
					udotElement(lower[c][0][h], w[h], xl[c], i)
				}
			}
		}
	})
	for c := range dots {
		if signed {
			addv(excess[c], excess[c])
			dup(excess[c], excess[c], 0)
		}
		for h, d := range dots[c][0] {
			shl(d, d, 8)
			if signed {
				subInt(d, d, excess[c])
			}
			addInt(d, d, lower[c][0][h])
		}
	}
	k.end(dots, flip)
}

// int8NEON writes the kernel for processors without the dot product extension.
//
// SMULL and SMLAL multiply the bytes of two rows with four quants, which LD1R
// spread over a register, and add the products in words: as many as fit 15 bits
// and the sign. Codes below 64 allow four, 4*63*127 = 32004, signed bytes two,
// 2*128*127 = 32512. SADALP adds pairs of words to sums of 32 bits, two for each
// row, which are added at the end.
func int8NEON(signed bool, cols int) {
	k := beginInt(signedName("int8", signed), "NEON", 8, 1, cols)
	flip := highBits(signed)
	dots := make([][][]V, cols) // the four registers that the sums end in
	halves := make([][]V, cols) // eight registers of two rows each
	for c := range halves {
		dots[c] = [][]V{vectors(4)}
	}
	for c := range halves {
		halves[c] = append(append(halves[c], dots[c][0]...), vectors(4)...)
	}
	x := make([][]V, cols)
	for c := range x {
		x[c] = vectors(4)
	}
	group := 4 // how many registers of codes are added in words
	if signed {
		group = 2
	}
	w, words := vectors(group), vectors(4)
	k.begin(8)
	for c := range halves {
		for _, d := range halves[c] {
			movi(d, 0)
		}
	}
	k.eachStep(func() {
		for c := range x {
			for _, x := range x[c] {
				ld1rMove(x, k.x[c])
			}
		}
		next := 0
		for h := range 4 {
			for first := 0; first < 4; first += group {
				for i := range w {
					ldr(w[i], k.w[0], 64*(first+i)+16*h)
					if signed {
						eor(w[i], w[i], flip)
					}
				}
				for c := range cols {
					for half, multiply := range [][]func(d, n, m V){{smull, smlal}, {smull2, smlal2}} {
						sum := words[next%4]
						next++
						for i := range w {
							multiply[min(i, 1)](sum, w[i], x[c][first+i])
						}
						sadalp(halves[c][2*h+half], sum)
					}
				}
			}
		}
		scalar("ADD  $256, %v, %v", k.w[0], k.w[0])
	})
	for c := range dots {
		for h, d := range dots[c][0] {
			addp(d, halves[c][2*h], halves[c][2*h+1])
		}
		if !signed {
			k.bias(c, words[0])
			for _, d := range dots[c][0] {
				addInt(d, d, words[0])
			}
		}
	}
	k.end(dots, flip)
}

// int16NEON writes the kernel for quants of 16 bits without the dot product
// extension. LD4 deals the codes so that a register holds one column of all
// rows; widened to words they meet one quant, which SMLAL picks from a register
// of eight. Codes of all offsets are taken as unsigned; the bias does the rest.
func int16NEON(cols int) {
	k := beginInt("int16", "NEON", 16, 1, cols)
	x := vectors(cols) // SMLAL picks from registers below 16 only
	dots, w, wide := k.sums(), vectors(4), vectors(4)
	k.begin(16)
	for c := range dots {
		k.bias(c, dots[c][0]...)
	}
	k.eachStep(func() {
		for range 2 {
			for c := range x {
				ldrMove(x[c], k.x[c], 16)
			}
			for group := range 2 {
				ld4Move(w, k.w[0])
				for i := range w {
					a, b := wide[i%2*2], wide[i%2*2+1]
					uxtlB(a, w[i])
					uxtl2B(b, w[i])
					for c, d := range dots {
						smlalWord(d[0][0], a, x[c], 4*group+i)
						smlal2Word(d[0][1], a, x[c], 4*group+i)
						smlalWord(d[0][2], b, x[c], 4*group+i)
						smlal2Word(d[0][3], b, x[c], 4*group+i)
					}
				}
			}
		}
	})
	k.end(dots)
}

// chooseLimit puts 126 in limit, and the inverse that belongs to it in inverse,
// where quantizeGeneric chooses it over 127, which they hold before.
func chooseLimit(v []V, amax, limit, inverse V) {
	other, otherInverse, a, b, factor, bits := vector(), vector(), vector(), vector(), vector(), general()
	constant := func(w uint32, to V) {
		scalar("MOVD $0x%x, %v", w, bits)
		scalar("FMOVS %v, F%d", bits, int(to))
	}
	// loss is the sum of squares of what rounding takes away.
	loss := func(inverse, to V) {
		temporary(func() {
			lanes, r, n := vectors(4), vectors(2), vectors(2)
			for i, v := range v {
				r, n := r[i%2], n[i%2]
				fmulElement(r, v, inverse, 0)
				frintn(n, r)
				fsub(r, r, n)
				if i < 4 {
					fmul(lanes[i], r, r)
				} else {
					fmla(lanes[i-4], r, r)
				}
			}
			fold(to, lanes)
		})
	}
	constant(0x42fc0000, other) // 126
	scalar("FDIVS F%d, F%d, F%d", int(amax), int(other), int(otherInverse))
	loss(inverse, a)
	loss(otherInverse, b)
	constant(0x46781000, factor) // 126²
	scalar("FMULS F%d, F%d, F%d", int(factor), int(a), int(a))
	constant(0x467c0400, factor) // 127²
	scalar("FMULS F%d, F%d, F%d", int(factor), int(b), int(b))
	scalar("FCMPS F%d, F%d", int(a), int(b))
	scalar("FCSELS MI, F%d, F%d, F%d", int(other), int(limit), int(limit)) // b < a
	scalar("FCSELS MI, F%d, F%d, F%d", int(otherInverse), int(inverse), int(inverse))
}

// quantize writes the kernel that quantises blocks of 32 elements to 8 or 16
// bits, step by step as quantizeGeneric does.
func quantize(bits int) {
	name := fmt.Sprintf("quantizeInt%dNEON", bits)
	function(name, name+" quantises blocks of 32 elements, at least one; see quantizeGeneric.",
		fmt.Sprintf("q *int%d, scales *float32, sums *int32, x *float32, blocks int", bits), "")
	q, scales, sums, x, blocks := load("q"), load("scales"), load("sums"), load("x"), load("blocks")
	infinity, most, inverse := general(), general(), general()
	v, t := vectors(8), vectors(4)
	zero, highest, limit, amax, inv, scale := vector(), vector(), vector(), vector(), vector(), vector()
	movi(zero, 0)
	scalar("MOVD $0x7f800000, %v", infinity)
	scalar("MOVD $0x%x, %v", map[int]uint32{8: 0x42fe0000, 16: 0x46fffe00}[bits], most)
	scalar("FMOVS %v, F%d", most, int(highest))

	label("loop")
	for i := 0; i < 8; i += 2 {
		ldpMove(v[i], v[i+1], x, 32)
	}
	// Magnitudes of floats order like their bits, infinities and NaN last.
	for i := range 4 {
		fabs(t[i], v[i])
	}
	for i := range 4 {
		fabs(amax, v[4+i])
		umax(t[i], t[i], amax)
	}
	umax(t[0], t[0], t[1])
	umax(t[2], t[2], t[3])
	umax(t[0], t[0], t[2])
	umaxv(amax, t[0])
	scalar("FMOVS F%d, F%d", int(highest), int(limit))
	scalar("FDIVS F%d, F%d, F%d", int(amax), int(limit), int(inv)) // limit/amax
	scalar("FMOVS F%d, %v", int(amax), most)
	scalar("FMOVS F%d, %v", int(inv), inverse)
	scalar("CMPW %v, %v", infinity, most)
	scalar("BHS  broken")
	scalar("CMPW %v, %v", infinity, inverse)
	scalar("BHS  vanishing")
	if bits == 8 {
		temporary(func() { chooseLimit(v, amax, limit, inv) })
	}
	scalar("FDIVS F%d, F%d, F%d", int(limit), int(amax), int(scale)) // amax/limit
	strSingleMove(scale, scales, 4)
	for _, v := range v {
		fmulElement(v, v, inv, 0)
	}
	for _, v := range v {
		fcvtns(v, v)
	}
	for h := range 2 {
		a := v[4*h:]
		addInt(t[0], a[0], a[1])
		addInt(t[1], a[2], a[3])
		addInt(t[0], t[0], t[1])
		addv(t[0], t[0])
		strSingleMove(t[0], sums, 4)
	}
	// The lower halves, twice where bytes are wanted.
	for i := range 4 {
		uzp1Words(v[i], v[2*i], v[2*i+1])
	}
	n := 4
	if bits == 8 {
		n = 2
		for i := range n {
			uzp1Bytes(v[i], v[2*i], v[2*i+1])
		}
	}
	for i := 0; i < n; i += 2 {
		stpMove(v[i], v[i+1], q, 32)
	}
	label("next")
	again(blocks, "loop")
	ret()

	label("broken") // not finite
	scalar("MOVD $0x7fc00000, %v", most)
	scalar("B    zeros")
	label("vanishing") // too small for an inverse
	scalar("MOVD $0, %v", most)
	label("zeros")
	scalar("MOVW.P %v, 4(%v)", most, scales)
	scalar("MOVD.P ZR, 8(%v)", sums)
	for i := 0; i < n; i += 2 {
		stpMove(zero, zero, q, 32)
	}
	scalar("B    next")
}
