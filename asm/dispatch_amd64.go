//go:build amd64 && !purego

package asm

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/cpu"
)

// Best is the highest level that this build can run on this processor.
func Best() Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return Generic
	// These say that the operating system saves the registers, too.
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL:
		return AVX2
	case !x.HasAVX512VNNI:
		return AVX512
	}
	return AVX512VNNI
}

// Pause tells the processor that the caller spins on memory.
func Pause() { pause() }

// panelKernel multiplies a fixed number of panels with a fixed number of
// columns.
type panelKernel = func(y *float32, ys int, w *float32, ws int, x *float32, xs int, k int, add bool)

// The kernels of one and of four panels by their number of columns, less one.
var (
	panels16AVX2 = []panelKernel{
		panels16x1AVX2, panels16x2AVX2, panels16x3AVX2, panels16x4AVX2, panels16x5AVX2, panels16x6AVX2,
	}
	panels16AVX512 = []panelKernel{
		panels16x1AVX512, panels16x2AVX512, panels16x3AVX512, panels16x4AVX512, panels16x5AVX512, panels16x6AVX512,
		panels16x7AVX512, panels16x8AVX512, panels16x9AVX512, panels16x10AVX512, panels16x11AVX512, panels16x12AVX512,
	}
	panels64AVX512 = []panelKernel{
		panels64x1AVX512, panels64x2AVX512, panels64x3AVX512, panels64x4AVX512, panels64x5AVX512, panels64x6AVX512,
	}
)

func mulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if level < AVX2 || k == 0 {
		mulPanelsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	p := 0
	if level >= AVX512 {
		for ; p+4 <= panels; p += 4 {
			eachColumn(panels64AVX512, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
		}
		for ; p < panels; p++ {
			eachColumn(panels16AVX512, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
		}
		return
	}
	if cols == 1 {
		// A single column has too few chains to hide the latency of a fused
		// multiply-add unless four panels run side by side.
		for ; p+4 <= panels; p += 4 {
			panels64x1AVX2(&y[p*Rows], ys, &w[p*ws], ws, &x[0], xs, k, add)
		}
	}
	for ; p < panels; p++ {
		eachColumn(panels16AVX2, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
	}
}

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

// The kernels of one and of four panels whose columns have chains of growing
// length, by their number of columns, less one.
var (
	stairs16AVX2   = []panelKernel{panels16x1AVX2, stairs16x2AVX2, stairs16x3AVX2, stairs16x4AVX2, stairs16x5AVX2, stairs16x6AVX2}
	stairs64AVX512 = []panelKernel{panels64x1AVX512, stairs64x2AVX512, stairs64x3AVX512, stairs64x4AVX512, stairs64x5AVX512, stairs64x6AVX512}
)

func mulStairs(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if level < AVX2 || k == 0 {
		mulStairsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	p := 0
	if level >= AVX512 {
		for ; p+4 <= panels; p += 4 {
			eachStair(stairs64AVX512, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
		}
	}
	for ; p < panels; p++ {
		eachStair(stairs16AVX2, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
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
	switch {
	case level >= AVX512:
		return maxAVX512(&x[0], len(x))
	case level >= AVX2:
		return maxAVX2(&x[0], len(x))
	}
	return maxGeneric(x)
}

// sumSquaresRows sums four rows, or tells that it has no kernel for that.
func sumSquaresRows(sums, x []float32, stride, n int) bool {
	if level < AVX2 {
		return false
	}
	sumSquaresRowsAVX2(&sums[0], &x[0], stride, n)
	return true
}

// dotRows multiplies four rows with as many of the n columns as the kernel takes
// at once, and tells how many.
func dotRows(dst []float32, ds int, rows []float32, stride int, x []float32, xs, cols, n int) int {
	switch {
	case level >= AVX512 && cols >= 4:
		dotRowsAVX512(&dst[0], ds, &rows[0], stride, &x[0], xs, n)
		return 4
	case level >= AVX2:
		dotRowsAVX2(&dst[0], &rows[0], stride, &x[0], n)
		return 1
	}
	return 0
}

func finite(x []float32) bool {
	if level < AVX2 {
		return finiteGeneric(x)
	}
	return finiteAVX2(&x[0], len(x))
}

// rotateHalves turns the first n pairs of every head, of which half in all, as
// far as the kernel can, and tells how many.
func rotateHalves(x []float32, stride, heads int, cos, sin []float32, half, n int) int {
	if level < AVX2 {
		return 0
	}
	rotateHalvesAVX2(&x[0], stride, heads, &cos[0], &sin[0], half, n)
	return n
}

// rotatePairs turns the first n pairs of every head as far as the kernel can,
// and tells how many.
func rotatePairs(x []float32, stride, heads int, cos, sin []float32, n int) int {
	if level < AVX2 {
		return 0
	}
	rotatePairsAVX2(&x[0], stride, heads, &cos[0], &sin[0], n)
	return n
}

func panelRows(dst []float32, ds int, src []float32, stride, panels, n int) {
	if level < AVX2 {
		panelRowsGeneric(dst, ds, src, stride, panels, n)
		return
	}
	panelRowsAVX2(&dst[0], ds, &src[0], stride, panels, n)
}

// f16c says that the processor converts float16 without AVX-512. Every one known
// that has AVX2 does.
var f16c = cpuid.CPU.Supports(cpuid.F16C)

func widen(dst []float32, src []uint16) {
	switch {
	case level >= AVX512:
		widenAVX512(&dst[0], &src[0], len(src))
	case level >= AVX2 && f16c:
		widenAVX2(&dst[0], &src[0], len(src))
	default:
		widenGeneric(dst, src)
	}
}

func narrow(dst []uint16, src []float32) float32 {
	switch {
	case level >= AVX512:
		return narrowAVX512(&dst[0], &src[0], len(src))
	case level >= AVX2 && f16c:
		return narrowAVX2(&dst[0], &src[0], len(src))
	}
	return narrowGeneric(dst, src)
}

// addFixed adds elements, a multiple of 8, up to some group of 8 that the kernel
// cannot add, and tells how many.
func addFixed[T ~struct{ Hi, Lo uint64 }](sums []T, x []float32) int {
	s := (*uint64)(unsafe.Pointer(&sums[0]))
	switch {
	case level >= AVX512:
		return addFixedAVX512(s, &x[0], len(x))
	case level >= AVX2:
		return addFixedAVX2(s, &x[0], len(x))
	}
	return 0
}

func expSum(lanes *[16]float32, x []float32, scale, shift float32) {
	switch {
	case level >= AVX512:
		expSumAVX512(lanes, &x[0], len(x), scale, shift)
	case level >= AVX2:
		expSumAVX2(lanes, &x[0], len(x), scale, shift)
	default:
		expSumGeneric(lanes, x, scale, shift)
	}
}

// softmax gives the sum, or tells that it has no kernel.
func softmax(x []float32, scale float32) (sum float32, ok bool) {
	if level < AVX512 {
		return 0, false
	}
	return softmaxAVX512(&x[0], len(x), scale), true
}

func siluMul(dst, gate, up []float32) {
	switch {
	case level >= AVX512:
		siluMulAVX512(&dst[0], &gate[0], &up[0], len(dst))
	case level >= AVX2:
		siluMulAVX2(&dst[0], &gate[0], &up[0], len(dst))
	default:
		siluMulGeneric(dst, gate, up)
	}
}

func geluMul(dst, gate, up []float32) {
	switch {
	case level >= AVX512:
		geluMulAVX512(&dst[0], &gate[0], &up[0], len(dst))
	case level >= AVX2:
		geluMulAVX2(&dst[0], &gate[0], &up[0], len(dst))
	default:
		geluMulGeneric(dst, gate, up)
	}
}

func softCap(x []float32, scale, limit float32) {
	switch {
	case level >= AVX512:
		softCapAVX512(&x[0], len(x), scale, limit)
	case level >= AVX2:
		softCapAVX2(&x[0], len(x), scale, limit)
	default:
		softCapGeneric(x, scale, limit)
	}
}

func scaleMul(dst, x, w []float32, scale float32) {
	if level < AVX2 {
		scaleMulGeneric(dst, x, w, scale)
		return
	}
	scaleMulAVX2(&dst[0], &x[0], &w[0], len(dst), scale)
}

func scale(dst, x []float32, by float32) {
	if level < AVX2 {
		scaleGeneric(dst, x, by)
		return
	}
	scaleAVX2(&dst[0], &x[0], len(dst), by)
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
	switch {
	case level >= AVX512:
		transposeAVX512(&dst[0], &src[0], stride, n)
		return n &^ 3
	case level >= AVX2:
		transposeAVX2(&dst[0], &src[0], stride, n)
		return n &^ 7
	}
	return 0
}

func dequantizeQ8(dst []float32, src []byte, blocks int) {
	if level < AVX512 {
		dequantizeQ8Generic(dst, src, blocks)
		return
	}
	q8AVX512(&dst[0], &src[0], blocks)
}

func interleaveCodes(dst, src []byte, stride, n int) int {
	// Four codes move together, whatever they mean.
	d, s := (*float32)(unsafe.Pointer(&dst[0])), (*float32)(unsafe.Pointer(&src[0]))
	switch {
	case level >= AVX512:
		transposeAVX512(d, s, stride/4, n/4)
		return n &^ 15
	case level >= AVX2:
		transposeAVX2(d, s, stride/4, n/4)
		return n &^ 31
	}
	return 0
}

func quantizeInt8(q []int8, scales []float32, sums []int32, x []float32) {
	if level < AVX2 {
		quantizeGeneric(q, scales, sums, x, limitInt8)
		return
	}
	quantizeInt8AVX2(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

func quantizeInt16(q []int16, scales []float32, sums []int32, x []float32) {
	if level < AVX2 {
		quantizeGeneric(q, scales, sums, x, limitInt16)
		return
	}
	quantizeInt16AVX2(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

// intKernel multiplies a fixed number of panels with a fixed number of columns
// (see _gen/integer.go).
type intKernel[T int8 | int16] func(y *float32, ys int, w *byte, ws int, s, m *float32, ss int, x *T, xs int, t *float32, ts int, blocks, steps int, add bool)

// intKernels are the kernels of four panels and of one by their number of
// columns, less one.
type intKernels[T int8 | int16] struct{ four, one []intKernel[T] }

var (
	int8VNNI = intKernels[int8]{
		four: []intKernel[int8]{int8x64x1VNNI, int8x64x2VNNI, int8x64x3VNNI},
		one: []intKernel[int8]{
			int8x16x1VNNI, int8x16x2VNNI, int8x16x3VNNI, int8x16x4VNNI, int8x16x5VNNI, int8x16x6VNNI,
			int8x16x7VNNI, int8x16x8VNNI, int8x16x9VNNI, int8x16x10VNNI, int8x16x11VNNI, int8x16x12VNNI,
		},
	}
	int16VNNI = intKernels[int16]{
		four: []intKernel[int16]{int16x64x1VNNI, int16x64x2VNNI, int16x64x3VNNI},
		one: []intKernel[int16]{
			int16x16x1VNNI, int16x16x2VNNI, int16x16x3VNNI, int16x16x4VNNI, int16x16x5VNNI, int16x16x6VNNI,
			int16x16x7VNNI, int16x16x8VNNI, int16x16x9VNNI, int16x16x10VNNI, int16x16x11VNNI, int16x16x12VNNI,
		},
	}
	int8AVX2       = intKernels[int8]{one: []intKernel[int8]{int8x16x1AVX2, int8x16x2AVX2, int8x16x3AVX2, int8x16x4AVX2}}
	int8SignedAVX2 = intKernels[int8]{one: []intKernel[int8]{int8Signedx16x1AVX2, int8Signedx16x2AVX2, int8Signedx16x3AVX2, int8Signedx16x4AVX2}}
	int16AVX2      = intKernels[int16]{one: []intKernel[int16]{int16x16x1AVX2, int16x16x2AVX2, int16x16x3AVX2, int16x16x4AVX2}}
)

func mulInt8(y []float32, ys int, w *IntPanels, x []int8, xs int, t []Term, ts, k, panels, cols int, add bool) {
	switch {
	case level < AVX2 || k == 0:
		mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	case level >= AVX512VNNI:
		int8VNNI.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	case w.Offset == 128:
		int8SignedAVX2.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	default:
		int8AVX2.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	}
}

func mulInt16(y []float32, ys int, w *IntPanels, x []int16, xs int, t []Term, ts, k, panels, cols int, add bool) {
	switch {
	case level < AVX2 || k == 0:
		mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	case level >= AVX512VNNI:
		int16VNNI.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	default:
		int16AVX2.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	}
}

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
