//go:build (amd64 || arm64) && !purego

package asm

// panelKernel multiplies a fixed number of panels with a fixed number of
// columns.
type panelKernel = func(y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool)

// eachColumn deals the columns to as few kernels as can take them, and evenly:
// a kernel with few columns waits for its chains.
func eachColumn(kernels []panelKernel, y []float32, ys int, w []float32, ws int, x []float32, xs int, k, cols int, add bool) {
	for parts := (cols + len(kernels) - 1) / len(kernels); parts > 0; parts-- {
		n := (cols + parts - 1) / parts
		kernels[n-1](&y[0], ys, &w[0], ws, &x[0], xs, k, add)
		if cols -= n; cols > 0 {
			y, x = y[n*ys:], x[n*xs:]
		}
	}
}

// eachStair is eachColumn for chains of growing length.
func eachStair(kernels []panelKernel, y []float32, ys int, w []float32, ws int, x []float32, xs int, k, cols int, add bool) {
	for parts := (cols + len(kernels) - 1) / len(kernels); parts > 0; parts-- {
		n := (cols + parts - 1) / parts
		kernels[n-1](&y[0], ys, &w[0], ws, &x[0], xs, k, add)
		k += n
		if cols -= n; cols > 0 {
			y, x = y[n*ys:], x[n*xs:]
		}
	}
}

// intKernel multiplies a fixed number of panels with a fixed number of columns
// (see integer.go in _gen and _gen/arm64).
type intKernel[T int8 | int16] func(y *float32, ys int, w *byte, ws int, s, m *float32, ss int, x *T, xs int, t *float32, ts int, blocks, steps int, add bool)

// intKernels are the kernels of four panels and of one by their number of
// columns, less one.
type intKernels[T int8 | int16] struct{ four, one []intKernel[T] }

// mul deals panels and columns to kernels. A few columns have too few chains
// unless four panels run side by side. Otherwise some columns, which fit the
// nearest cache, meet all panels before the next ones do.
func (ks *intKernels[T]) mul(y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, k, panels, cols int, add bool) {
	call := func(kernel intKernel[T], p, c int) {
		var m *float32
		if w.Mins != nil {
			m = &w.Mins[p*w.ScaleStride]
		}
		kernel(&y[c*ys+p*Rows], ys, &w.Codes[p*w.CodeStride], w.CodeStride, &w.Scales[p*w.ScaleStride], m, w.ScaleStride,
			&x[c*xs], xs, &t[c].Scale, ts, k/w.Sub, w.Sub/16, add)
	}
	first := 0
	if cols <= len(ks.four) {
		for ; first+4 <= panels; first += 4 {
			call(ks.four[cols-1], first, 0)
		}
	}
	if first == panels {
		return
	}
	c := 0
	for parts := (cols + len(ks.one) - 1) / len(ks.one); parts > 0; parts-- {
		n := (cols - c + parts - 1) / parts
		for p := first; p < panels; p++ {
			call(ks.one[n-1], p, c)
		}
		c += n
	}
}

// The kernels of packed weights by packing (see packed.go in _gen and
// _gen/arm64).
type (
	unpackKernel                 = func(codes *byte, s, m *float32, src, scales *byte, blocks int)
	packedKernel[T int8 | int16] = func(y *float32, src, scales *byte, x *T, t *float32, blocks int)
)

func eachPackedPanel[T int8 | int16](kernel packedKernel[T], y []float32, w *PackedPanels, first int, x []T, t []Term, n, panels int) {
	for p := range panels {
		src, scales := w.at(first+p, 0, n)
		kernel(&y[p*Rows], &src[0], &scales[0], &x[0], &t[0].Scale, n/w.Packing.Block())
	}
}
