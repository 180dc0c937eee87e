//go:build arm64 && !purego

package asm

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// available lists the levels that this build can run on this processor, lowest
// first. Every arm64 processor that Go runs on has NEON.
func available() []Level {
	if cpu.ARM64.HasASIMDDP {
		return []Level{Generic, NEON, NEONDotProd}
	}
	return []Level{Generic, NEON}
}

// Pause tells the processor that the caller spins on memory.
func Pause() { pause() }

func prefetch(*byte, int) {}

// The kernels of one panel by their number of columns, less one.
var panels16NEON = []panelKernel{
	panels16x1NEON, panels16x2NEON, panels16x3NEON, panels16x4NEON, panels16x5NEON, panels16x6NEON,
}

func mulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if level < NEON || k == 0 {
		mulPanelsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	p := 0
	if cols == 1 {
		// A single column has too few chains to hide the latency of a fused
		// multiply-add unless four panels run side by side.
		for ; p+4 <= panels; p += 4 {
			panels64x1NEON(&y[p*Rows], ys, &w[p*ws], ws, &x[0], xs, k, add)
		}
	}
	for ; p < panels; p++ {
		eachColumn(panels16NEON, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
	}
}

// The same for columns whose chains grow.
var stairs16NEON = []panelKernel{
	panels16x1NEON, stairs16x2NEON, stairs16x3NEON, stairs16x4NEON, stairs16x5NEON, stairs16x6NEON,
}

func mulStairs(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	if level < NEON || k == 0 {
		mulStairsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	if cols == 1 {
		mulPanels(y, ys, w, ws, x, xs, k, panels, cols, add)
		return
	}
	for p := range panels {
		eachStair(stairs16NEON, y[p*Rows:], ys, w[p*ws:], ws, x, xs, k, cols, add)
	}
}

func sumSquares(lanes *[16]float32, x []float32) {
	if level < NEON {
		sumSquaresGeneric(lanes, x)
		return
	}
	sumSquaresNEON(lanes, &x[0], len(x))
}

func dot(lanes *[16]float32, x, y []float32) {
	if level < NEON {
		dotGeneric(lanes, x, y)
		return
	}
	dotNEON(lanes, &x[0], &y[0], len(x))
}

func maxOf(x []float32) float32 {
	if level < NEON {
		return maxGeneric(x)
	}
	return maxNEON(&x[0], len(x))
}

// sumSquaresRows sums four rows, or tells that it has no kernel for that.
func sumSquaresRows(sums, x []float32, stride, n int) bool {
	if level < NEON {
		return false
	}
	sumSquaresRowsNEON(&sums[0], &x[0], stride, n)
	return true
}

// dotRows multiplies four rows with as many columns as the kernel takes at once,
// and tells how many.
func dotRows(dst []float32, ds int, rows []float32, stride int, x []float32, xs, cols, n int) int {
	if level < NEON {
		return 0
	}
	dotRowsNEON(&dst[0], &rows[0], stride, &x[0], n)
	return 1
}

func finite(x []float32) bool {
	if level < NEON {
		return finiteGeneric(x)
	}
	return finiteNEON(&x[0], len(x))
}

// rotateHalves turns the first n pairs of every head, of which half in all, as
// far as the kernel can, and tells how many.
func rotateHalves(x []float32, stride, heads int, cos, sin []float32, half, n int) int {
	if level < NEON {
		return 0
	}
	rotateHalvesNEON(&x[0], stride, heads, &cos[0], &sin[0], half, n)
	return n
}

// rotatePairs turns the first n pairs of every head as far as the kernel can,
// and tells how many.
func rotatePairs(x []float32, stride, heads int, cos, sin []float32, n int) int {
	if level < NEON {
		return 0
	}
	rotatePairsNEON(&x[0], stride, heads, &cos[0], &sin[0], n)
	return n
}

// Go's copies of 64 bytes are what a kernel would do.
func panelRows(dst []float32, ds int, src []float32, stride, panels, n int) {
	panelRowsGeneric(dst, ds, src, stride, panels, n)
}

func narrow(dst []uint16, src []float32) float32 {
	if level < NEON {
		return narrowGeneric(dst, src)
	}
	return narrowNEON(&dst[0], &src[0], len(src))
}

// addFixed has no kernel: Go adds with carry as well.
func addFixed[T ~struct{ Hi, Lo uint64 }](sums []T, x []float32) int { return 0 }

// softmax tells that it has no kernel; those of its parts do.
func softmax(x []float32, scale float32) (sum float32, ok bool) { return 0, false }

func expSum(lanes *[16]float32, x []float32, scale, shift float32) {
	if level < NEON {
		expSumGeneric(lanes, x, scale, shift)
		return
	}
	expSumNEON(lanes, &x[0], len(x), scale, shift)
}

func siluMul(dst, gate, up []float32) {
	if level < NEON {
		siluMulGeneric(dst, gate, up)
		return
	}
	siluMulNEON(&dst[0], &gate[0], &up[0], len(dst))
}

func scaleMul(dst, x, w []float32, scale float32) {
	if level < NEON {
		scaleMulGeneric(dst, x, w, scale)
		return
	}
	scaleMulNEON(&dst[0], &x[0], &w[0], len(dst), scale)
}

func scale(dst, x []float32, by float32) {
	if level < NEON {
		scaleGeneric(dst, x, by)
		return
	}
	scaleNEON(&dst[0], &x[0], len(dst), by)
}

func geluMul(dst, gate, up []float32) {
	if level < NEON {
		geluMulGeneric(dst, gate, up)
		return
	}
	geluMulNEON(&dst[0], &gate[0], &up[0], len(dst))
}

func softCap(x []float32, scale, limit float32) {
	if level < NEON {
		softCapGeneric(x, scale, limit)
		return
	}
	softCapNEON(&x[0], len(x), scale, limit)
}

func add(dst, x []float32) {
	if level < NEON {
		addGeneric(dst, x)
		return
	}
	addNEON(&dst[0], &x[0], len(dst))
}

func axpy(dst, x []float32, a float32) {
	if level < NEON {
		axpyGeneric(dst, x, a)
		return
	}
	axpyNEON(&dst[0], &x[0], len(dst), a)
}

// transpose moves as many of the n columns as the kernel can and tells how
// many.
func transpose(dst, src []float32, stride, n int) int {
	if level < NEON || n < 4 {
		return 0
	}
	transposeNEON(&dst[0], &src[0], stride, n)
	return n &^ 3
}

func dequantizeQ8(dst []float32, src []byte, blocks int) {
	if level < NEON {
		dequantizeQ8Generic(dst, src, blocks)
		return
	}
	q8NEON(&dst[0], &src[0], blocks)
}

func quantizeInt8(q []int8, scales []float32, sums []int32, x []float32) {
	if level < NEON {
		quantizeGeneric(q, scales, sums, x, limitInt8)
		return
	}
	quantizeInt8NEON(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

func quantizeInt16(q []int16, scales []float32, sums []int32, x []float32) {
	if level < NEON {
		quantizeGeneric(q, scales, sums, x, limitInt16)
		return
	}
	quantizeInt16NEON(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

var (
	int8DotProd = intKernels[int8]{
		four: []intKernel[int8]{int8x64x1DotProd},
		one:  []intKernel[int8]{int8x16x1DotProd, int8x16x2DotProd, int8x16x3DotProd, int8x16x4DotProd},
	}
	int8SignedDotProd = intKernels[int8]{
		four: []intKernel[int8]{int8Signedx64x1DotProd},
		one:  []intKernel[int8]{int8Signedx16x1DotProd, int8Signedx16x2DotProd, int8Signedx16x3DotProd, int8Signedx16x4DotProd},
	}
	int16DotProd       = intKernels[int16]{one: []intKernel[int16]{int16x16x1DotProd, int16x16x2DotProd}}
	int16SignedDotProd = intKernels[int16]{one: []intKernel[int16]{int16Signedx16x1DotProd, int16Signedx16x2DotProd}}
	int8NEON           = intKernels[int8]{one: []intKernel[int8]{int8x16x1NEON, int8x16x2NEON}}
	int8SignedNEON     = intKernels[int8]{one: []intKernel[int8]{int8Signedx16x1NEON, int8Signedx16x2NEON}}
	int16NEON          = intKernels[int16]{one: []intKernel[int16]{int16x16x1NEON, int16x16x2NEON, int16x16x3NEON, int16x16x4NEON}}
)

func mulInt8(y []float32, ys int, w *IntPanels, x []int8, xs int, t []Term, ts, k, panels, cols int, add bool) {
	if level < NEON || k == 0 {
		mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
		return
	}
	kernels := &int8NEON
	switch signed := w.Offset == 128; {
	case level >= NEONDotProd && signed:
		kernels = &int8SignedDotProd
	case level >= NEONDotProd:
		kernels = &int8DotProd
	case signed:
		kernels = &int8SignedNEON
	}
	kernels.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
}

func mulInt16(y []float32, ys int, w *IntPanels, x []int16, xs int, t []Term, ts, k, panels, cols int, add bool) {
	if level < NEON || k == 0 {
		mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
		return
	}
	kernels := &int16NEON
	switch {
	case level >= NEONDotProd && w.Offset == 128:
		kernels = &int16SignedDotProd
	case level >= NEONDotProd:
		kernels = &int16DotProd
	}
	kernels.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
}

// The kernels of packed weights by packing.
var (
	unpackNEON = [packingCount]unpackKernel{
		PackedQ8_0:  unpackQ8_0NEON,
		PackedQ4_0:  unpackQ4_0NEON,
		PackedQ4_1:  unpackQ4_1NEON,
		PackedQ5_0:  unpackQ5_0NEON,
		PackedQ5_1:  unpackQ5_1NEON,
		PackedQ2_K:  unpackQ2_KNEON,
		PackedQ3_K:  unpackQ3_KNEON,
		PackedQ4_K:  unpackQ4_KNEON,
		PackedQ5_K:  unpackQ5_KNEON,
		PackedQ6_K:  unpackQ6_KNEON,
		PackedIQ4NL: unpackIQ4NLNEON,
		PackedIQ4XS: unpackIQ4XSNEON,
	}
	packedInt8NEON = [packingCount]packedKernel[int8]{
		PackedQ8_0:  int8Q8_0NEON,
		PackedQ4_0:  int8Q4_0NEON,
		PackedQ4_1:  int8Q4_1NEON,
		PackedQ5_0:  int8Q5_0NEON,
		PackedQ5_1:  int8Q5_1NEON,
		PackedQ2_K:  int8Q2_KNEON,
		PackedQ3_K:  int8Q3_KNEON,
		PackedQ4_K:  int8Q4_KNEON,
		PackedQ5_K:  int8Q5_KNEON,
		PackedQ6_K:  int8Q6_KNEON,
		PackedIQ4NL: int8IQ4NLNEON,
		PackedIQ4XS: int8IQ4XSNEON,
	}
	packedInt8DotProd = [packingCount]packedKernel[int8]{
		PackedQ8_0:  int8Q8_0DotProd,
		PackedQ4_0:  int8Q4_0DotProd,
		PackedQ4_1:  int8Q4_1DotProd,
		PackedQ5_0:  int8Q5_0DotProd,
		PackedQ5_1:  int8Q5_1DotProd,
		PackedQ2_K:  int8Q2_KDotProd,
		PackedQ3_K:  int8Q3_KDotProd,
		PackedQ4_K:  int8Q4_KDotProd,
		PackedQ5_K:  int8Q5_KDotProd,
		PackedQ6_K:  int8Q6_KDotProd,
		PackedIQ4NL: int8IQ4NLDotProd,
		PackedIQ4XS: int8IQ4XSDotProd,
	}
	packedInt16NEON = [packingCount]packedKernel[int16]{
		PackedQ8_0:  int16Q8_0NEON,
		PackedQ4_0:  int16Q4_0NEON,
		PackedQ4_1:  int16Q4_1NEON,
		PackedQ5_0:  int16Q5_0NEON,
		PackedQ5_1:  int16Q5_1NEON,
		PackedQ2_K:  int16Q2_KNEON,
		PackedQ3_K:  int16Q3_KNEON,
		PackedQ4_K:  int16Q4_KNEON,
		PackedQ5_K:  int16Q5_KNEON,
		PackedQ6_K:  int16Q6_KNEON,
		PackedIQ4NL: int16IQ4NLNEON,
		PackedIQ4XS: int16IQ4XSNEON,
	}
	packedInt16DotProd = [packingCount]packedKernel[int16]{
		PackedQ8_0:  int16Q8_0DotProd,
		PackedQ4_0:  int16Q4_0DotProd,
		PackedQ4_1:  int16Q4_1DotProd,
		PackedQ5_0:  int16Q5_0DotProd,
		PackedQ5_1:  int16Q5_1DotProd,
		PackedQ2_K:  int16Q2_KDotProd,
		PackedQ3_K:  int16Q3_KDotProd,
		PackedQ4_K:  int16Q4_KDotProd,
		PackedQ5_K:  int16Q5_KDotProd,
		PackedQ6_K:  int16Q6_KDotProd,
		PackedIQ4NL: int16IQ4NLDotProd,
		PackedIQ4XS: int16IQ4XSDotProd,
	}
)

func unpack(p Packing, codes []byte, scales, mins []float32, src, packed []byte) {
	if level < NEON {
		unpackGeneric(p, codes, scales, mins, src, packed)
		return
	}
	unpackNEON[p](&codes[0], &scales[0], unsafe.SliceData(mins), &src[0], &packed[0], len(packed)/p.scaleBlock())
}

func mulPackedInt8(y []float32, w *PackedPanels, first int, x []int8, t []Term, n, panels int) {
	switch {
	case level < NEON:
		mulPackedGeneric(y, w, first, x, t, n, panels)
	case level < NEONDotProd:
		eachPackedPanel(packedInt8NEON[w.Packing], y, w, first, x, t, n, panels)
	default:
		eachPackedPanel(packedInt8DotProd[w.Packing], y, w, first, x, t, n, panels)
	}
}

func mulPackedInt16(y []float32, w *PackedPanels, first int, x []int16, t []Term, n, panels int) {
	switch {
	case level < NEON:
		mulPackedGeneric(y, w, first, x, t, n, panels)
	case level < NEONDotProd:
		eachPackedPanel(packedInt16NEON[w.Packing], y, w, first, x, t, n, panels)
	default:
		eachPackedPanel(packedInt16DotProd[w.Packing], y, w, first, x, t, n, panels)
	}
}

func dequantizeInts(dst []float32, codes []byte, scales, mins []float32, sub, offset int) {
	if level < NEON {
		dequantizeIntsGeneric(dst, codes, scales, mins, sub, offset)
		return
	}
	kernel := dequantizeScaled32NEON
	switch {
	case sub == 16 && mins == nil:
		kernel = dequantizeScaled16NEON
	case sub == 16:
		kernel = dequantizeAffine16NEON
	case mins != nil:
		kernel = dequantizeAffine32NEON
	}
	kernel(&dst[0], &codes[0], &scales[0], unsafe.SliceData(mins), offset, len(dst)/Rows/sub)
}

func widen(dst []float32, src []uint16) {
	if level < NEON {
		widenGeneric(dst, src)
		return
	}
	widenNEON(&dst[0], &src[0], len(src))
}

func widenBFloat16(dst []float32, src []uint16) {
	if level < NEON {
		widenBFloat16Generic(dst, src)
		return
	}
	widenBFloat16NEON(&dst[0], &src[0], len(src))
}
