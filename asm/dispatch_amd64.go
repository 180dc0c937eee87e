//go:build amd64 && !purego

package asm

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/cpu"
)

// available lists the levels that this build can run on this processor, lowest
// first.
func available() []Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return []Level{Generic}
	// These say that the operating system saves the registers, too.
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL:
		return []Level{Generic, AVX2}
	case !x.HasAVX512VNNI:
		return []Level{Generic, AVX2, AVX512}
	case !x.HasAMXTile || !x.HasAMXInt8 || !x.HasAVX512VBMI || !x.HasOSXSAVE || enabledState()&tileState != tileState || !requestTiles():
		return []Level{Generic, AVX2, AVX512, AVX512VNNI}
	}
	return []Level{Generic, AVX2, AVX512, AVX512VNNI, AMX}
}

// tileState are the bits of the tiles' configuration and data among the states
// that the operating system saves.
const tileState = 1<<17 | 1<<18

// Pause tells the processor that the caller spins on memory.
func Pause() { pause() }

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

func quantizeInt8(q []int8, scales []float32, sums []int32, x []float32) {
	if level < AVX2 {
		quantizeGeneric(q, scales, sums, x, limitInt8)
		return
	}
	if n := len(x) &^ (16*QuantBlock - 1); n > 0 && level >= AVX512 {
		quantizeInt8AVX512(&q[0], &scales[0], &sums[0], &x[0], n/QuantBlock)
		if n == len(x) {
			return
		}
		q, scales, sums, x = q[n:], scales[n/QuantBlock:], sums[n/16:], x[n:]
	}
	quantizeInt8AVX2(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

func quantizeInt16(q []int16, scales []float32, sums []int32, x []float32) {
	if level < AVX2 {
		quantizeGeneric(q, scales, sums, x, limitInt16)
		return
	}
	if n := len(x) &^ (16*QuantBlock - 1); n > 0 && level >= AVX512 {
		quantizeInt16AVX512(&q[0], &scales[0], &sums[0], &x[0], n/QuantBlock)
		if n == len(x) {
			return
		}
		q, scales, sums, x = q[n:], scales[n/QuantBlock:], sums[n/16:], x[n:]
	}
	quantizeInt16AVX2(&q[0], &scales[0], &sums[0], &x[0], len(x)/QuantBlock)
}

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
		mulIntWide(int8AMXKind, &int8VNNI, y, ys, w, x, xs, t, ts, k, panels, cols, add)
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
		mulIntWide(int16AMXKind, &int16VNNI, y, ys, w, x, xs, t, ts, k, panels, cols, add)
	default:
		int16AVX2.mul(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	}
}

var (
	unpackAVX2 = [packingCount]unpackKernel{
		PackedQ8_0:  unpackQ8_0AVX2,
		PackedQ4_0:  unpackQ4_0AVX2,
		PackedQ4_1:  unpackQ4_1AVX2,
		PackedQ5_0:  unpackQ5_0AVX2,
		PackedQ5_1:  unpackQ5_1AVX2,
		PackedQ2_K:  unpackQ2_KAVX2,
		PackedQ3_K:  unpackQ3_KAVX2,
		PackedQ4_K:  unpackQ4_KAVX2,
		PackedQ5_K:  unpackQ5_KAVX2,
		PackedQ6_K:  unpackQ6_KAVX2,
		PackedIQ4NL: unpackIQ4NLAVX2,
		PackedIQ4XS: unpackIQ4XSAVX2,
	}
	unpackAVX512 = [packingCount]unpackKernel{
		PackedQ8_0:  unpackQ8_0AVX512,
		PackedQ4_0:  unpackQ4_0AVX512,
		PackedQ4_1:  unpackQ4_1AVX512,
		PackedQ5_0:  unpackQ5_0AVX512,
		PackedQ5_1:  unpackQ5_1AVX512,
		PackedQ2_K:  unpackQ2_KAVX512,
		PackedQ3_K:  unpackQ3_KAVX512,
		PackedQ4_K:  unpackQ4_KAVX512,
		PackedQ5_K:  unpackQ5_KAVX512,
		PackedQ6_K:  unpackQ6_KAVX512,
		PackedIQ4NL: unpackIQ4NLAVX512,
		PackedIQ4XS: unpackIQ4XSAVX512,
	}
	packedInt8AVX2 = [packingCount]packedKernel[int8]{
		PackedQ8_0:  int8Q8_0AVX2,
		PackedQ4_0:  int8Q4_0AVX2,
		PackedQ4_1:  int8Q4_1AVX2,
		PackedQ5_0:  int8Q5_0AVX2,
		PackedQ5_1:  int8Q5_1AVX2,
		PackedQ2_K:  int8Q2_KAVX2,
		PackedQ3_K:  int8Q3_KAVX2,
		PackedQ4_K:  int8Q4_KAVX2,
		PackedQ5_K:  int8Q5_KAVX2,
		PackedQ6_K:  int8Q6_KAVX2,
		PackedIQ4NL: int8IQ4NLAVX2,
		PackedIQ4XS: int8IQ4XSAVX2,
	}
	packedInt8VNNI = [packingCount]packedKernel[int8]{
		PackedQ8_0:  int8Q8_0VNNI,
		PackedQ4_0:  int8Q4_0VNNI,
		PackedQ4_1:  int8Q4_1VNNI,
		PackedQ5_0:  int8Q5_0VNNI,
		PackedQ5_1:  int8Q5_1VNNI,
		PackedQ2_K:  int8Q2_KVNNI,
		PackedQ3_K:  int8Q3_KVNNI,
		PackedQ4_K:  int8Q4_KVNNI,
		PackedQ5_K:  int8Q5_KVNNI,
		PackedQ6_K:  int8Q6_KVNNI,
		PackedIQ4NL: int8IQ4NLVNNI,
		PackedIQ4XS: int8IQ4XSVNNI,
	}
	packedInt16AVX2 = [packingCount]packedKernel[int16]{
		PackedQ8_0:  int16Q8_0AVX2,
		PackedQ4_0:  int16Q4_0AVX2,
		PackedQ4_1:  int16Q4_1AVX2,
		PackedQ5_0:  int16Q5_0AVX2,
		PackedQ5_1:  int16Q5_1AVX2,
		PackedQ2_K:  int16Q2_KAVX2,
		PackedQ3_K:  int16Q3_KAVX2,
		PackedQ4_K:  int16Q4_KAVX2,
		PackedQ5_K:  int16Q5_KAVX2,
		PackedQ6_K:  int16Q6_KAVX2,
		PackedIQ4NL: int16IQ4NLAVX2,
		PackedIQ4XS: int16IQ4XSAVX2,
	}
	packedInt16VNNI = [packingCount]packedKernel[int16]{
		PackedQ8_0:  int16Q8_0VNNI,
		PackedQ4_0:  int16Q4_0VNNI,
		PackedQ4_1:  int16Q4_1VNNI,
		PackedQ5_0:  int16Q5_0VNNI,
		PackedQ5_1:  int16Q5_1VNNI,
		PackedQ2_K:  int16Q2_KVNNI,
		PackedQ3_K:  int16Q3_KVNNI,
		PackedQ4_K:  int16Q4_KVNNI,
		PackedQ5_K:  int16Q5_KVNNI,
		PackedQ6_K:  int16Q6_KVNNI,
		PackedIQ4NL: int16IQ4NLVNNI,
		PackedIQ4XS: int16IQ4XSVNNI,
	}
)

func unpack(p Packing, codes []byte, scales, mins []float32, src, packed []byte) {
	if level < AVX2 {
		unpackGeneric(p, codes, scales, mins, src, packed)
		return
	}
	kernel := unpackAVX2[p]
	if level >= AVX512 {
		kernel = unpackAVX512[p]
	}
	kernel(&codes[0], &scales[0], unsafe.SliceData(mins), &src[0], &packed[0], len(packed)/p.scaleBlock())
}

func mulPackedInt8(y []float32, w *PackedPanels, first int, x []int8, t []Term, n, panels int) {
	switch {
	case level < AVX2:
		mulPackedGeneric(y, w, first, x, t, n, panels)
	case level < AVX512VNNI:
		eachPackedPanel(packedInt8AVX2[w.Packing], y, w, first, x, t, n, panels)
	default:
		eachPackedPanel(packedInt8VNNI[w.Packing], y, w, first, x, t, n, panels)
	}
}

func mulPackedInt16(y []float32, w *PackedPanels, first int, x []int16, t []Term, n, panels int) {
	switch {
	case level < AVX2:
		mulPackedGeneric(y, w, first, x, t, n, panels)
	case level < AVX512VNNI:
		eachPackedPanel(packedInt16AVX2[w.Packing], y, w, first, x, t, n, panels)
	default:
		eachPackedPanel(packedInt16VNNI[w.Packing], y, w, first, x, t, n, panels)
	}
}

func dequantizeInts(dst []float32, codes []byte, scales, mins []float32, sub, offset int) {
	if level < AVX2 || mins != nil && offset != 0 { // no format has both
		dequantizeIntsGeneric(dst, codes, scales, mins, sub, offset)
		return
	}
	wide, narrow := dequantizeScaled32AVX512, dequantizeScaled32AVX2
	switch {
	case sub == 16 && mins == nil:
		wide, narrow = dequantizeScaled16AVX512, dequantizeScaled16AVX2
	case sub == 16:
		wide, narrow = dequantizeAffine16AVX512, dequantizeAffine16AVX2
	case mins != nil:
		wide, narrow = dequantizeAffine32AVX512, dequantizeAffine32AVX2
	}
	if level < AVX512 {
		wide = narrow
	}
	wide(&dst[0], &codes[0], &scales[0], unsafe.SliceData(mins), offset, len(dst)/Rows/sub)
}

func widenBFloat16(dst []float32, src []uint16) {
	switch {
	case level >= AVX512:
		widenBFloat16AVX512(&dst[0], &src[0], len(src))
	case level >= AVX2:
		widenBFloat16AVX2(&dst[0], &src[0], len(src))
	default:
		widenBFloat16Generic(dst, src)
	}
}

// An amxKind is what a kernel takes at a time (see _gen/amx.go).
type amxKind struct {
	panels, cols int
	fewest       int // columns from which on it is faster than kernels without AMX
}

var (
	int8AMXKind  = amxKind{panels: 2, cols: 12, fewest: 7}
	int16AMXKind = amxKind{panels: 1, cols: 16, fewest: 10}
)

const (
	amxRun  = 512 // elements of a column that a kernel takes at most
	amxCols = 16  // columns that any takes at most
)

// share is how many of the first panels and columns are for AMX. Kernels part
// quants of 16 bits in blocks of 32, and have either an offset or minima.
func (a amxKind) share(w *IntPanels, k, panels, cols int) (p, c int) {
	if rest := cols % a.cols; rest < a.fewest {
		cols -= rest
	}
	if level < AMX || cols == 0 || k%32 != 0 || w.Mins != nil && w.Offset != 0 {
		return 0, 0
	}
	return panels / a.panels * a.panels, cols
}

// tileConfig is what LDTILECFG reads: the shape of each tile register.
type tileConfig struct {
	palette  byte
	_        [15]byte
	rowBytes [8]uint16
	_        [16]byte
	rows     [8]byte
	_        [8]byte
}

// tileConfigs are the shapes that kernels want, by their columns and for sub-blocks
// of 16 and of 32.
var tileConfigs = func() (configs [amxCols + 1][2]tileConfig) {
	for cols := range configs {
		for i, sub := range []int{16, 32} {
			c := &configs[cols][i]
			c.palette = 1
			for t := range c.rows {
				switch {
				case t < 4: // sums
					c.rows[t], c.rowBytes[t] = byte(cols), 64
				case t < 6: // quants
					c.rows[t], c.rowBytes[t] = byte(cols), uint16(sub)
				default: // codes
					c.rows[t], c.rowBytes[t] = byte(sub/4), 64
				}
			}
		}
	}
	return configs
}()

// mulIntWide multiplies what is for AMX with its kernel and the rest with VNNI's.
func mulIntWide[T int8 | int16](amx amxKind, vnni *intKernels[T], y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, k, panels, cols int, add bool) {
	p, n := amx.share(w, k, panels, cols)
	mulAMX(amx, y, ys, w, x, xs, t, ts, k, p, n, add)
	if p > 0 && n < cols {
		vnni.mul(y[n*ys:], ys, w, x[n*xs:], xs, t[n:], ts, k, p, cols-n, add)
	}
	if p < panels {
		vnni.mul(y[p*Rows:], ys, w.from(p), x, xs, t, ts, k, panels-p, cols, add)
	}
}

// mulAMX multiplies panels and columns that are for AMX with its kernel.
func mulAMX[T int8 | int16](kind amxKind, y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, k, panels, cols int, add bool) {
	for from := 0; from < k && panels > 0; from += amxRun {
		n, add := min(amxRun, k-from), add || from > 0
		for c := 0; c < cols; c += kind.cols {
			if rest := cols - c; rest < kind.cols {
				mulRestAMX(kind, y[c*ys:], ys, w, x[c*xs:], xs, t[c:], ts, from, n, panels, rest, add)
				break
			}
			callAMX(kind, &y[c*ys], ys, w, 0, &x[c*xs+from], xs, t[c:], ts, from, n, panels, kind.cols, add)
		}
	}
}

// mulRestAMX multiplies with fewer columns than a kernel writes.
func mulRestAMX[T int8 | int16](kind amxKind, y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, from, n, panels, cols int, add bool) {
	const most = 8 // panels
	var all [most * Rows * amxCols]float32
	for p := 0; p < panels; p += most {
		width := min(most, panels-p) * Rows
		for c := 0; c < cols && add; c++ {
			copy(all[c*width:][:width], y[c*ys+p*Rows:])
		}
		callAMX(kind, &all[0], width, w, p, &x[from], xs, t, ts, from, n, width/Rows, cols, add)
		for c := range cols {
			copy(y[c*ys+p*Rows:], all[c*width:][:width])
		}
	}
}

// callAMX calls a kernel for n elements from an element on and panels from a panel on.
func callAMX[T int8 | int16](kind amxKind, y *float32, ys int, w *IntPanels, panel int, x *T, xs int, t []Term, ts, from, n, panels, cols int, add bool) {
	s, m := panel*w.ScaleStride+from/w.Sub*Rows, (*float32)(nil)
	if w.Mins != nil {
		m = &w.Mins[s]
	}
	codes, terms := &w.Codes[panel*w.CodeStride+from*Rows], &t[from/w.Sub*ts].Scale
	config, turns := &tileConfigs[cols][w.Sub/32].palette, panels/kind.panels
	switch x := any(x).(type) {
	case *int8:
		int8AMX(y, ys, codes, w.CodeStride, &w.Scales[s], m, w.ScaleStride, x, xs, terms, ts, n/w.Sub, w.Sub, turns, cols, config, add)
	case *int16:
		int16AMX(y, ys, codes, w.CodeStride, &w.Scales[s], m, w.ScaleStride, x, xs, terms, ts, n/w.Sub, w.Sub, turns, cols, config, add)
	}
}

// from gives the panels from one on.
func (w IntPanels) from(panel int) *IntPanels {
	w.Codes, w.Scales = w.Codes[panel*w.CodeStride:], w.Scales[panel*w.ScaleStride:]
	if w.Mins != nil {
		w.Mins = w.Mins[panel*w.ScaleStride:]
	}
	return &w
}
