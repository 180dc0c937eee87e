package main

import "fmt"

// panels writes the float32 matrix kernel for a fixed number of 16-row panels
// and columns.
//
// Four registers hold the sums of a panel and a column, one lane a row, so that
// a sum is one chain of fused multiply-adds in index order. A register of x
// holds four inputs of a column; the multiplication picks one by its index, so
// that none is spread over a register first. Six columns take 24 registers of
// sums, six of inputs and the two of weights that are left, and load 14 times
// (pairs count once) for 96 multiply-adds.
//
// In a kernel for stairs every column's chain is one longer than that of the
// column before it. The first k steps are common to all.
func panels(panels, cols int, stairs bool) {
	name, twin := "panels", "mulPanelsGeneric"
	if stairs {
		name, twin = "stairs", "mulStairsGeneric"
	}
	name = fmt.Sprintf("%s%dx%dNEON", name, panels*16, cols)
	function(name, fmt.Sprintf("%s multiplies %d panel(s) of 16 rows with %d column(s); see %s.", name, panels, cols, twin),
		"y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool", "")
	y := pointers("y", "ys", 4, cols)
	w := pointers("w", "ws", 4, panels)
	x := pointers("x", "xs", 4, cols)
	k, resume := load("k"), load("add")
	xv := vectors(cols)
	acc := make([][][]V, cols) // [column][panel][quarter]
	for c := range acc {
		for range panels {
			acc[c] = append(acc[c], vectors(4))
		}
	}
	wv := vectors(min(8, len(freeV)&^1)) // pairs of weights, in turn
	scalar("CBZ  %v, zero", resume)
	for c := range acc {
		for p := range panels {
			load64(acc[c][p], y[c], 64*p)
		}
	}
	scalar("B    begin")
	label("zero")
	for c := range acc {
		for p := range panels {
			for _, a := range acc[c][p] {
				movi(a, 0)
			}
		}
	}
	label("begin")

	next := 0
	column := func(j, i, p, first int) { // multiplies the weights at 64*j with inputs i, from a first column on
		for h := 0; h < 4; h += 2 {
			a, b := wv[next], wv[next+1]
			next = (next + 2) % len(wv)
			ldp(a, b, w[p], 64*j+16*h)
			for c := first; c < cols; c++ {
				fmlaElement(acc[c][p][h], a, xv[c], i)
				fmlaElement(acc[c][p][h+1], b, xv[c], i)
			}
		}
	}
	scalar("SUBS $4, %v, %v", k, k)
	scalar("BLT  rest")
	scalar("PCALIGN $16")
	label("loop")
	for c := range x {
		ldrMove(xv[c], x[c], 16)
	}
	for i := range 4 {
		for p := range panels {
			column(i, i, p, 0)
		}
	}
	for p := range panels {
		scalar("ADD  $256, %v, %v", w[p], w[p])
	}
	scalar("SUBS $4, %v, %v", k, k)
	scalar("BGE  loop")
	label("rest")
	scalar("ADDS $4, %v, %v", k, k)
	scalar("BEQ  done")
	single := func(first int) {
		for c := first; c < cols; c++ {
			ldrSingleMove(xv[c], x[c], 4)
		}
		for p := range panels {
			column(0, 0, p, first)
			scalar("ADD  $64, %v, %v", w[p], w[p])
		}
	}
	label("single")
	single(0)
	again(k, "single")
	label("done")
	for first := 1; stairs && first < cols; first++ {
		single(first)
	}
	for c := range acc {
		for p := range panels {
			store64(acc[c][p], y[c], 64*p)
		}
	}
	ret()
}

// transpose moves 4x4 blocks: pairs of rows are interleaved, then pairs of
// pairs.
func transpose() {
	function("transposeNEON", "transposeNEON sets dst[i*16+r] = src[r*stride+i] for r < 16 and i < n, a positive multiple of 4.",
		"dst *float32, src *float32, stride int, n int", "")
	dst, src, stride, n := load("dst"), load("src"), load("stride"), load("n")
	row := general()
	a, b := vectors(4), vectors(4)
	scalar("LSL  $2, %v, %v", stride, stride)
	scalar("LSR  $2, %v, %v", n, n)
	label("loop")
	scalar("MOVD %v, %v", src, row)
	for quarter := range 4 {
		for r := range a {
			ldr(a[r], row, 0)
			scalar("ADD  %v, %v, %v", stride, row, row)
		}
		for r := 0; r < 4; r += 2 {
			zip1Singles(b[r], a[r], a[r+1]) // rows r and r+1 of columns 0 and 1
			zip2Singles(b[r+1], a[r], a[r+1])
		}
		for h := range 2 {
			zip1Doubles(a[2*h], b[h], b[h+2]) // column 2*h
			zip2Doubles(a[2*h+1], b[h], b[h+2])
		}
		for c := range a {
			str(a[c], dst, 64*c+16*quarter)
		}
	}
	scalar("ADD  $16, %v, %v", src, src)
	scalar("ADD  $256, %v, %v", dst, dst)
	again(n, "loop")
	ret()
}
