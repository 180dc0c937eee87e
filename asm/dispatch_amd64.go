//go:build amd64 && !purego

package asm

import "golang.org/x/sys/cpu"

// Best is the highest level that this build can run on this processor.
func Best() Level {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return AVX2
	}
	return Generic
}

// Pause tells the processor that the caller spins on memory.
func Pause() { pause() }

// kernels of one 16-row panel by their number of columns, less one.
var panels16AVX2 = [...]func(y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool){
	panels16x1AVX2, panels16x2AVX2, panels16x3AVX2, panels16x4AVX2, panels16x5AVX2, panels16x6AVX2,
}

func mulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if level < AVX2 || k == 0 {
		mulPanelsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	p := 0
	if cols == 1 {
		// A single column has too few chains to hide the latency of a fused
		// multiply-add unless four panels run side by side.
		for ; p+4 <= panels; p += 4 {
			panels64x1AVX2(&y[p*Rows], ys, &w[p*ws], ws, &x[0], xs, k, add)
		}
	}
	for ; p < panels; p++ {
		for c := 0; c < cols; {
			n := min(cols-c, len(panels16AVX2))
			panels16AVX2[n-1](&y[c*ys+p*Rows], ys, &w[p*ws], ws, &x[c*xs], xs, k, add)
			c += n
		}
	}
}

func sumSquares(lanes *[16]float32, x []float32) {
	if level < AVX2 {
		sumSquaresGeneric(lanes, x)
		return
	}
	sumSquaresAVX2(lanes, &x[0], len(x))
}

func dot(lanes *[16]float32, x, y []float32) {
	if level < AVX2 {
		dotGeneric(lanes, x, y)
		return
	}
	dotAVX2(lanes, &x[0], &y[0], len(x))
}

func maxOf(x []float32) float32 {
	if level < AVX2 {
		return maxGeneric(x)
	}
	return maxAVX2(&x[0], len(x))
}

func expSum(lanes *[16]float32, x []float32, scale, shift float32) {
	if level < AVX2 {
		expSumGeneric(lanes, x, scale, shift)
		return
	}
	expSumAVX2(lanes, &x[0], len(x), scale, shift)
}

func siluMul(dst, gate, up []float32) {
	if level < AVX2 {
		siluMulGeneric(dst, gate, up)
		return
	}
	siluMulAVX2(&dst[0], &gate[0], &up[0], len(dst))
}

func scaleMul(dst, x, w []float32, scale float32) {
	if level < AVX2 {
		scaleMulGeneric(dst, x, w, scale)
		return
	}
	scaleMulAVX2(&dst[0], &x[0], &w[0], len(dst), scale)
}

func add(dst, x []float32) {
	if level < AVX2 {
		addGeneric(dst, x)
		return
	}
	addAVX2(&dst[0], &x[0], len(dst))
}

func axpy(dst, x []float32, a float32) {
	if level < AVX2 {
		axpyGeneric(dst, x, a)
		return
	}
	axpyAVX2(&dst[0], &x[0], len(dst), a)
}

// transpose moves as many of the n columns as the kernel can and tells how
// many.
func transpose(dst, src []float32, stride, n int) int {
	if level < AVX2 || n < 8 {
		return 0
	}
	transposeAVX2(&dst[0], &src[0], stride, n)
	return n &^ 7
}
