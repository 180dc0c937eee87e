package main

import "math"

// loop16 writes a loop over n/16 blocks of 16 elements; the body moves its
// pointers. n is a positive multiple of 16.
func loop16(n R, body func()) {
	scalar("LSR  $4, %v, %v", n, n)
	scalar("PCALIGN $16")
	label("loop")
	body()
	again(n, "loop")
}

func sumSquares() {
	function("sumSquaresNEON", "sumSquaresNEON adds x[i]*x[i] to lanes[i%16] for i < n, a positive multiple of 16.",
		"lanes *[16]float32, x *float32, n int", "")
	lanes, x, n := load("lanes"), load("x"), load("n")
	a, v := vectors(4), vectors(4)
	load64(a, lanes, 0)
	loop16(n, func() {
		load64Move(v, x)
		for h := range a {
			fmla(a[h], v[h], v[h])
		}
	})
	store64(a, lanes, 0)
	ret()
}

func dot() {
	function("dotNEON", "dotNEON adds x[i]*y[i] to lanes[i%16] for i < n, a positive multiple of 16.",
		"lanes *[16]float32, x *float32, y *float32, n int", "")
	lanes, x, y, n := load("lanes"), load("x"), load("y"), load("n")
	a, v, u := vectors(4), vectors(4), vectors(4)
	load64(a, lanes, 0)
	loop16(n, func() {
		load64Move(v, x)
		load64Move(u, y)
		for h := range a {
			fmla(a[h], v[h], u[h])
		}
	})
	store64(a, lanes, 0)
	ret()
}

func maximum() {
	function("maxNEON", "maxNEON gives the greatest x[i] for i < n, a positive multiple of 16.", "x *float32, n int", "float32")
	x, n := load("x"), load("n")
	a, v := vectors(4), vectors(4)
	load64(a, x, 0)
	loop16(n, func() {
		load64Move(v, x)
		for h := range a {
			fmax(a[h], a[h], v[h])
		}
	})
	// The greatest of 16 is the same whichever way they are compared.
	fmax(a[0], a[0], a[1])
	fmax(a[2], a[2], a[3])
	fmax(a[0], a[0], a[2])
	fmaxv(a[0], a[0])
	scalar("FMOVS F%d, ret+%d(FP)", int(a[0]), parameters["ret"].offset)
	ret()
}

// expConstants hold the numbers of Exp in all lanes.
type expConstants struct {
	low, high, log2e, magic, ln2hi, ln2lo, one V
	poly                                       []V
}

var expBits = []uint32{
	0xc2ad0000, 0x42b00000, 0x3fb8aa3b, 0x4b400000, 0x3f317200, 0x35bfbe8e, 0x3f800000,
	0x3ab511ab, 0x3c091d36, 0x3d2aac7a, 0x3e2aaa48, 0x3efffffe,
}

func loadExpConstants() expConstants {
	v, p := vectors(len(expBits)), general()
	scalar("MOVD $exp<>(SB), %v", p)
	for _, v := range v {
		ld1rMove(v, p)
	}
	return expConstants{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7:]}
}

// exponentials replaces each x by its exponential, step by step as the Go
// function Exp does; the steps of one fill the waits of another.
func exponentials(k expConstants, xs ...V) {
	type work struct{ x, keep, t, n, q V }
	var all []work
	for _, x := range xs {
		all = append(all, work{x, vector(), vector(), vector(), vector()})
	}
	each := func(step func(w *work)) {
		for i := range all {
			step(&all[i])
		}
	}
	each(func(w *work) { fcmge(w.keep, w.x, k.low) })
	each(func(w *work) { fmin(w.x, w.x, k.high) })
	each(func(w *work) { fmul(w.t, w.x, k.log2e) })
	each(func(w *work) { fadd(w.t, w.t, k.magic) })
	each(func(w *work) { fsub(w.n, w.t, k.magic) })
	each(func(w *work) { fmls(w.x, w.n, k.ln2hi) })
	each(func(w *work) { fmls(w.x, w.n, k.ln2lo) })
	for i, p := range k.poly[1:] {
		each(func(w *work) { mov(w.n, p) })
		each(func(w *work) {
			q := w.q
			if i == 0 {
				q = k.poly[0]
			}
			fmla(w.n, q, w.x)
			w.q, w.n = w.n, w.q
		})
	}
	each(func(w *work) { fmul(w.n, w.x, w.x) })
	each(func(w *work) { fmla(w.x, w.q, w.n) })
	each(func(w *work) { fadd(w.x, w.x, k.one) })
	each(func(w *work) { shl(w.t, w.t, 23) })
	each(func(w *work) { addInt(w.x, w.x, w.t) })
	each(func(w *work) { and(w.x, w.x, w.keep) })
}

func expSum() {
	table("exp", expBits...)
	function("expSumNEON", "expSumNEON replaces x[i] by e = exp(x[i]*scale - shift) and adds e to lanes[i%16] for i < n, a positive multiple of 16.",
		"lanes *[16]float32, x *float32, n int, scale float32, shift float32", "")
	lanes, x, n := load("lanes"), load("x"), load("n")
	scale, shift := loadFloat("scale"), loadFloat("shift")
	dup(shift, shift, 0)
	k := loadExpConstants()
	a := vectors(4)
	load64(a, lanes, 0)
	loop16(n, func() {
		for h := 0; h < 4; h += 2 {
			temporary(func() {
				v := vectors(2)
				ldp(v[0], v[1], x, 0)
				for _, v := range v {
					fmulElement(v, v, scale, 0)
				}
				for _, v := range v {
					fsub(v, v, shift)
				}
				exponentials(k, v...)
				stpMove(v[0], v[1], x, 32)
				for i, v := range v {
					fadd(a[h+i], a[h+i], v)
				}
			})
		}
	})
	store64(a, lanes, 0)
	ret()
}

func siluMul() {
	function("siluMulNEON", "siluMulNEON sets dst[i] = gate[i]/(1+exp(-gate[i])) * up[i] for i < n, a positive multiple of 16.",
		"dst *float32, gate *float32, up *float32, n int", "")
	dst, gate, up, n := load("dst"), load("gate"), load("up"), load("n")
	k := loadExpConstants()
	loop16(n, func() {
		for range 2 {
			temporary(func() {
				g, e, u := vectors(2), vectors(2), vectors(2)
				ldpMove(g[0], g[1], gate, 32)
				for i := range g {
					fneg(e[i], g[i])
				}
				exponentials(k, e...)
				for i := range g {
					fadd(e[i], e[i], k.one)
				}
				ldpMove(u[0], u[1], up, 32)
				for i := range g {
					fdiv(g[i], g[i], e[i])
				}
				for i := range g {
					fmul(g[i], g[i], u[i])
				}
				stpMove(g[0], g[1], dst, 32)
			})
		}
	})
	ret()
}

func scaleMul() {
	function("scaleMulNEON", "scaleMulNEON sets dst[i] = x[i]*scale*w[i], rounded after each product, for i < n, a positive multiple of 16.",
		"dst *float32, x *float32, w *float32, n int, scale float32", "")
	dst, x, w, n := load("dst"), load("x"), load("w"), load("n")
	scale := loadFloat("scale")
	v, u := vectors(4), vectors(4)
	loop16(n, func() {
		load64Move(v, x)
		load64Move(u, w)
		for h := range v {
			fmulElement(v[h], v[h], scale, 0)
		}
		for h := range v {
			fmul(v[h], v[h], u[h])
		}
		for h := 0; h < 4; h += 2 {
			stpMove(v[h], v[h+1], dst, 32)
		}
	})
	ret()
}

func add() {
	function("addNEON", "addNEON sets dst[i] += x[i] for i < n, a positive multiple of 16.", "dst *float32, x *float32, n int", "")
	accumulate(func(d, x V) { fadd(d, d, x) })
}

func axpy() {
	function("axpyNEON", "axpyNEON sets dst[i] = fma(a, x[i], dst[i]) for i < n, a positive multiple of 16.",
		"dst *float32, x *float32, n int, a float32", "")
	a := loadFloat("a")
	accumulate(func(d, x V) { fmlaElement(d, x, a, 0) })
}

// accumulate writes a loop that adds something of x to dst.
func accumulate(step func(d, x V)) {
	dst, x, n := load("dst"), load("x"), load("n")
	d, v := vectors(4), vectors(4)
	loop16(n, func() {
		load64Move(v, x)
		load64(d, dst, 0)
		for h := range d {
			step(d[h], v[h])
		}
		for h := 0; h < 4; h += 2 {
			stpMove(d[h], d[h+1], dst, 32)
		}
	})
	ret()
}

// q8 writes the decoder of Q8_0.
func q8() {
	function("q8NEON", "q8NEON decodes blocks of Q8_0, at least one; see dequantizeQ8Generic.", "dst *float32, src *byte, blocks int", "")
	dst, src, blocks := load("dst"), load("src"), load("blocks")
	scale := vector()
	q, words, y := vectors(2), vectors(2), vectors(4)
	label("loop")
	ldrHalf(scale, src, 0)
	fcvt(scale, scale)
	for i := range q {
		ldur(q[i], src, 2+16*i)
	}
	for i := range q {
		sxtlB(words[0], q[i])
		sxtl2B(words[1], q[i])
		for j, w := range words {
			sxtlH(y[2*j], w)
			sxtl2H(y[2*j+1], w)
		}
		for _, y := range y {
			scvtf(y, y)
		}
		for _, y := range y {
			fmulElement(y, y, scale, 0)
		}
		for h := 0; h < 4; h += 2 {
			stpMove(y[h], y[h+1], dst, 32)
		}
	}
	scalar("ADD  $34, %v, %v", src, src)
	again(blocks, "loop")
	ret()
}

// fold adds 16 lanes as the Go function Fold does and leaves the sum in element
// 0 of to.
func fold(to V, lanes []V) {
	fadd(lanes[0], lanes[0], lanes[2])
	fadd(lanes[1], lanes[1], lanes[3])
	fadd(lanes[0], lanes[0], lanes[1])
	exchange(lanes[1], lanes[0])
	fadd(lanes[0], lanes[0], lanes[1])
	faddp(to, lanes[0])
}

// Four rows side by side are sixteen chains, which is what hides the latency of
// a fused multiply-add.
func sumSquaresRows() {
	function("sumSquaresRowsNEON", "sumSquaresRowsNEON sets sums[r] to the folded sum of squares of x[r*stride:][:n] for r < 4; n is a positive multiple of 16.",
		"sums *float32, x *float32, stride int, n int", "")
	sums, x, n := load("sums"), pointers("x", "stride", 4, 4), load("n")
	sumRows(sums, x, n, func() {}, func(a, v []V) {
		for h := range a {
			fmla(a[h], v[h], v[h])
		}
	})
}

func dotRows() {
	function("dotRowsNEON", "dotRowsNEON sets dst[r] to the folded dot product of rows[r*stride:][:n] and x for r < 4; n is a positive multiple of 16.",
		"dst *float32, rows *float32, stride int, x *float32, n int", "")
	dst, rows, x, n := load("dst"), pointers("rows", "stride", 4, 4), load("x"), load("n")
	u := vectors(4)
	sumRows(dst, rows, n, func() { load64Move(u, x) }, func(a, v []V) {
		for h := range a {
			fmla(a[h], v[h], u[h])
		}
	})
}

// sumRows writes what the two have in common: add adds something of v, 16
// elements of a row, to its lanes.
func sumRows(dst R, rows []R, n R, begin func(), add func(a, v []V)) {
	v := vectors(4)
	var lanes [4][]V
	for r := range lanes {
		lanes[r] = vectors(4)
		for _, a := range lanes[r] {
			movi(a, 0)
		}
	}
	loop16(n, func() {
		begin()
		for r, a := range lanes {
			load64Move(v, rows[r])
			add(a, v)
		}
	})
	for r, a := range lanes {
		fold(a[0], a)
		strSingle(a[0], dst, 4*r)
	}
	ret()
}

func finite() {
	function("finiteNEON", "finiteNEON reports whether x[i] is finite for all i < n, a positive multiple of 16.", "x *float32, n int", "bool")
	x, n, most, infinity := load("x"), load("n"), general(), general()
	a, v := vectors(4), vectors(4)
	for _, a := range a {
		movi(a, 0)
	}
	loop16(n, func() {
		load64Move(v, x)
		for _, v := range v {
			fabs(v, v)
		}
		for h := range a {
			umax(a[h], a[h], v[h]) // infinities and NaN have the greatest bits
		}
	})
	umax(a[0], a[0], a[1])
	umax(a[2], a[2], a[3])
	umax(a[0], a[0], a[2])
	umaxv(a[0], a[0])
	scalar("FMOVS F%d, %v", int(a[0]), most)
	scalar("MOVD $0x7f800000, %v", infinity)
	scalar("CMPW %v, %v", infinity, most)
	scalar("CSET LO, %v", most)
	scalar("MOVB %v, ret+%d(FP)", most, parameters["ret"].offset)
	ret()
}

func scale() {
	function("scaleNEON", "scaleNEON sets dst[i] = x[i]*by for i < n, a positive multiple of 16.", "dst *float32, x *float32, n int, by float32", "")
	dst, x, n := load("dst"), load("x"), load("n")
	by, v := loadFloat("by"), vectors(4)
	loop16(n, func() {
		load64Move(v, x)
		for _, v := range v {
			fmulElement(v, v, by, 0)
		}
		for h := 0; h < 4; h += 2 {
			stpMove(v[h], v[h+1], dst, 32)
		}
	})
	ret()
}

// rotate writes the kernel that turns pairs of dimensions, four at a time: those
// that lie half apart, or those that lie side by side, which LD2 and ST2 take
// apart and join.
func rotate(pairs bool) {
	name, signature := "rotateHalvesNEON", "x *float32, stride int, heads int, cos *float32, sin *float32, half int, n int"
	if pairs {
		name, signature = "rotatePairsNEON", "x *float32, stride int, heads int, cos *float32, sin *float32, n int"
	}
	function(name, name+" turns the first n pairs of some heads, at least one; n is a positive multiple of 4.", signature, "")
	x, stride, heads := load("x"), load("stride"), load("heads")
	cos, sin := load("cos"), load("sin")
	var half R
	if !pairs {
		half = load("half")
	}
	n, left, first, second, c, s := load("n"), general(), general(), general(), general(), general()
	v := vectors(2) // consecutive
	a, b := v[0], v[1]
	cv, sv, as, bs := vector(), vector(), vector(), vector()
	scalar("LSR  $2, %v, %v", n, n)
	label("head")
	scalar("MOVD %v, %v", x, first)
	if !pairs {
		scalar("ADD  %v<<2, %v, %v", half, x, second)
	}
	scalar("MOVD %v, %v", cos, c)
	scalar("MOVD %v, %v", sin, s)
	scalar("MOVD %v, %v", n, left)
	label("loop")
	ldrMove(cv, c, 16)
	ldrMove(sv, s, 16)
	if pairs {
		ld2(a, b, first)
	} else {
		ldr(a, first, 0)
		ldr(b, second, 0)
	}
	fmul(bs, b, sv)
	fmul(as, a, sv)
	fmul(a, a, cv)
	fmul(b, b, cv)
	fsub(a, a, bs)
	fadd(b, as, b)
	if pairs {
		st2Move(a, b, first)
	} else {
		strMove(a, first, 16)
		strMove(b, second, 16)
	}
	again(left, "loop")
	scalar("ADD  %v<<2, %v, %v", stride, x, x)
	again(heads, "head")
	ret()
}

func narrow() {
	function("narrowNEON", "narrowNEON rounds src[i] to float16 and gives the greatest |src[i]| that is a number, or 0, for i < n, a positive multiple of 16.",
		"dst *uint16, src *float32, n int", "float32")
	dst, src, n := load("dst"), load("src"), load("n")
	v, a, h, greater := vectors(4), vectors(4), vectors(2), vectors(4)
	for _, a := range a {
		movi(a, 0)
	}
	loop16(n, func() {
		load64Move(v, src)
		for i := range h {
			fcvtn(h[i], v[2*i])
			fcvtn2(h[i], v[2*i+1])
		}
		stpMove(h[0], h[1], dst, 32)
		for i := range v {
			fabs(v[i], v[i])
			fcmgt(greater[i], v[i], a[i])
			bit(a[i], v[i], greater[i])
		}
	})
	fmax(a[0], a[0], a[1])
	fmax(a[2], a[2], a[3])
	fmax(a[0], a[0], a[2])
	fmaxv(a[0], a[0])
	scalar("FMOVS F%d, ret+%d(FP)", int(a[0]), parameters["ret"].offset)
	ret()
}

// constants are float32 in all lanes, from a table of their bits.
func constants(name string, bits ...uint32) []V {
	table(name, bits...)
	v, p := vectors(len(bits)), general()
	scalar("MOVD $%s<>(SB), %v", name, p)
	for _, v := range v {
		ld1rMove(v, p)
	}
	return v
}

func geluMul() {
	function("geluMulNEON", "geluMulNEON sets dst[i] = gelu(gate[i])*up[i] for i < n, a positive multiple of 16; see geluMulGeneric.",
		"dst *float32, gate *float32, up *float32, n int", "")
	dst, gate, up, n := load("dst"), load("gate"), load("up"), load("n")
	k := loadExpConstants()
	// -2√(2/π), and that times 0.044715
	c := constants("gelu", math.Float32bits(-1.5957691216057308), math.Float32bits(-1.5957691216057308*0.044715))
	loop16(n, func() {
		for range 2 {
			temporary(func() {
				g, e, u := vectors(2), vectors(2), vectors(2)
				ldpMove(g[0], g[1], gate, 32)
				for i := range g {
					fmul(e[i], g[i], g[i])
					fmul(e[i], e[i], c[1])
					fadd(e[i], e[i], c[0])
					fmul(e[i], e[i], g[i])
				}
				exponentials(k, e...)
				ldpMove(u[0], u[1], up, 32)
				for i := range g {
					fadd(e[i], e[i], k.one)
					fdiv(g[i], g[i], e[i])
					fmul(g[i], g[i], u[i])
				}
				stpMove(g[0], g[1], dst, 32)
			})
		}
	})
	ret()
}

// softCap computes both forms of the hyperbolic tangent and takes the one that
// the Go function tanh would.
func softCap() {
	function("softCapNEON", "softCapNEON sets x[i] = limit*tanh(x[i]*scale) for i < n, a positive multiple of 16; see softCapGeneric.",
		"x *float32, n int, scale float32, limit float32", "")
	x, n := load("x"), load("n")
	scale, limit := loadFloat("scale"), loadFloat("limit")
	k := loadExpConstants()
	f := math.Float32bits
	c := constants("tanh", f(0.625), f(21), f(1260), f(10395), f(210), f(4725), f(2), 1<<31)
	near, c21, c1260, c10395, c210, c4725, two, sign := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	scalar("LSL  $2, %v, %v", n, n)
	loop16(n, func() { // four elements
		temporary(func() {
			y, e := vector(), vector()
			ldr(y, x, 0)
			fmulElement(y, y, scale, 0)
			fabs(e, y)
			fadd(e, e, e)
			temporary(func() { exponentials(k, e) })
			z, p := vector(), vector()
			fadd(e, e, k.one)
			fdiv(e, two, e)
			fsub(e, k.one, e)
			bit(e, y, sign)
			// NaN stay what they are.
			fcmeq(p, y, y)
			mov(z, y)
			bit(z, e, p)
			mov(e, z)
			// Lambert's continued fraction, where it is wanted.
			fmul(z, y, y)
			q, small := vector(), vector()
			fabs(small, y)
			fcmgt(small, near, small)
			fmul(p, z, c21)
			fadd(p, p, c1260)
			fmul(p, p, z)
			fadd(p, p, c10395)
			fmul(p, p, y)
			fadd(q, z, c210)
			fmul(q, q, z)
			fadd(q, q, c4725)
			fmul(q, q, z)
			fadd(q, q, c10395)
			fdiv(p, p, q)
			bit(e, p, small)
			fmulElement(e, e, limit, 0)
			strMove(e, x, 16)
		})
	})
	ret()
}
