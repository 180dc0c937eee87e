package asm

// Rows is the number of matrix rows that a panel holds side by side.
const Rows = 16

// MulPanels multiplies a matrix in panel layout with columns of float32.
//
// A panel holds Rows rows of a matrix, k-major: the weight of row r at column
// i of panel p is w[p*ws + i*Rows + r]. Column c of the input is
// x[c*xs : c*xs+k]; the outputs of panel p and column c are
// y[c*ys + p*Rows : c*ys + (p+1)*Rows]. Each output is one chain over i in
// increasing order,
//
//	acc = fma(w, x[i], acc)
//
// that starts at 0, or, if add is set, at the value already in y: a chain may
// be cut anywhere and resumed without changing a bit.
//
// The strides count float32 elements. MulPanels panics where a slice is too
// short for the given shape.
func MulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if k < 0 || panels < 0 || cols < 0 {
		panic("asm: negative shape")
	}
	if panels == 0 || cols == 0 {
		return
	}
	// One bounds check for each operand: the kernels have none.
	_ = y[(cols-1)*ys+panels*Rows-1]
	if k > 0 {
		_ = w[(panels-1)*ws+k*Rows-1]
		_ = x[(cols-1)*xs+k-1]
	}
	mulPanels(y, ys, w, ws, x, xs, k, panels, cols, add)
}

// MulStairs is MulPanels where the chain of column c is k+c long, as in causal
// attention, where each query sees one position more than the one before it: w
// and x hold as much as the last column needs.
func MulStairs(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if k < 0 || panels < 0 || cols < 0 {
		panic("asm: negative shape")
	}
	if panels == 0 || cols == 0 {
		return
	}
	_ = y[(cols-1)*ys+panels*Rows-1]
	if longest := k + cols - 1; longest > 0 {
		_ = w[(panels-1)*ws+longest*Rows-1]
		_ = x[(cols-1)*xs+longest-1]
	}
	mulStairs(y, ys, w, ws, x, xs, k, panels, cols, add)
}

func mulStairsGeneric(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	for c := range cols {
		mulPanelsGeneric(y[c*ys:], ys, w, ws, x[min(c*xs, len(x)):], xs, k+c, panels, 1, add)
	}
}

// Transpose brings Rows rows of n elements into panel layout:
// dst[i*Rows+r] = src[r*stride+i] for i < n. It panics where a slice is too
// short.
func Transpose(dst, src []float32, stride, n int) {
	if n <= 0 {
		return
	}
	_ = dst[n*Rows-1]
	_ = src[(Rows-1)*stride+n-1]
	done := transpose(dst, src, stride, n)
	transposeGeneric(dst[done*Rows:], src[done:], stride, n-done)
}

func transposeGeneric(dst, src []float32, stride, n int) {
	for i := range n {
		row := dst[i*Rows:][:Rows]
		for r := range row {
			row[r] = src[r*stride+i]
		}
	}
}

// PanelRows brings n rows of panels*Rows elements into panels, of which each
// holds a run of every row, row after row:
// dst[p*ds+i*Rows+l] = src[i*stride+p*Rows+l] for l < Rows. It panics where a
// slice is too short.
func PanelRows(dst []float32, ds int, src []float32, stride, panels, n int) {
	if panels <= 0 || n <= 0 {
		return
	}
	_ = dst[(panels-1)*ds+n*Rows-1]
	_ = src[(n-1)*stride+panels*Rows-1]
	panelRows(dst, ds, src, stride, panels, n)
}

func panelRowsGeneric(dst []float32, ds int, src []float32, stride, panels, n int) {
	for i := range n {
		for p := range panels {
			*(*[Rows]float32)(dst[p*ds+i*Rows:]) = *(*[Rows]float32)(src[i*stride+p*Rows:])
		}
	}
}

// mulPanelsGeneric defines the bits of MulPanels.
func mulPanelsGeneric(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	for p := range panels {
		for c := range cols {
			out := y[c*ys+p*Rows:][:Rows]
			col := x[c*xs:][:k]
			var acc [Rows]float32
			if add {
				copy(acc[:], out)
			}
			rows := w[p*ws:]
			for i, xv := range col {
				wv := rows[i*Rows:][:Rows]
				for r := range acc {
					acc[r] = FMA(wv[r], xv, acc[r])
				}
			}
			copy(out, acc[:])
		}
	}
}
