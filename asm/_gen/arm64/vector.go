package main

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
