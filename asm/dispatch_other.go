//go:build (!amd64 && !arm64) || purego

package asm

func available() []Level { return []Level{Generic} }

// Pause tells the processor that the caller spins on memory; here it does
// nothing.
func Pause() {}

func prefetch(*byte, int) {}

func mulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	mulPanelsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
}

func mulStairs(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	mulStairsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
}

func geluMul(dst, gate, up []float32)           { geluMulGeneric(dst, gate, up) }
func softCap(x []float32, scale, limit float32) { softCapGeneric(x, scale, limit) }

func softmax(x []float32, scale float32) (sum float32, ok bool) { return 0, false }

func sumSquares(lanes *[16]float32, x []float32)  { sumSquaresGeneric(lanes, x) }
func dot(lanes *[16]float32, x, y []float32)      { dotGeneric(lanes, x, y) }
func maxOf(x []float32) float32                   { return maxGeneric(x) }
func siluMul(dst, gate, up []float32)             { siluMulGeneric(dst, gate, up) }
func scaleMul(dst, x, w []float32, scale float32) { scaleMulGeneric(dst, x, w, scale) }
func scale(dst, x []float32, by float32)          { scaleGeneric(dst, x, by) }
func add(dst, x []float32)                        { addGeneric(dst, x) }
func axpy(dst, x []float32, a float32)            { axpyGeneric(dst, x, a) }

func sumSquaresRows(sums, x []float32, stride, n int) bool { return false }

func dotRows(dst []float32, ds int, rows []float32, stride int, x []float32, xs, cols, n int) int {
	return 0
}

func finite(x []float32) bool { return finiteGeneric(x) }

func rotateHalves(x []float32, stride, heads int, cos, sin []float32, half, n int) int { return 0 }

func rotatePairs(x []float32, stride, heads int, cos, sin []float32, n int) int { return 0 }

func panelRows(dst []float32, ds int, src []float32, stride, panels, n int) {
	panelRowsGeneric(dst, ds, src, stride, panels, n)
}

func widen(dst []float32, src []uint16)          { widenGeneric(dst, src) }
func narrow(dst []uint16, src []float32) float32 { return narrowGeneric(dst, src) }

func addFixed[T ~struct{ Hi, Lo uint64 }](sums []T, x []float32) int { return 0 }

func expSum(lanes *[16]float32, x []float32, scale, shift float32) {
	expSumGeneric(lanes, x, scale, shift)
}

func transpose([]float32, []float32, int, int) int { return 0 }

func dequantizeQ8(dst []float32, src []byte, blocks int) { dequantizeQ8Generic(dst, src, blocks) }

func quantizeInt8(q []int8, scales []float32, sums []int32, x []float32) {
	quantizeGeneric(q, scales, sums, x, limitInt8)
}

func quantizeInt16(q []int16, scales []float32, sums []int32, x []float32) {
	quantizeGeneric(q, scales, sums, x, limitInt16)
}

func mulInt8(y []float32, ys int, w *IntPanels, x []int8, xs int, t []Term, ts, k, panels, cols int, add bool) {
	mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
}

func mulInt16(y []float32, ys int, w *IntPanels, x []int16, xs int, t []Term, ts, k, panels, cols int, add bool) {
	mulIntGeneric(y, ys, w, x, xs, t, ts, k, panels, cols, add)
}

func unpack(p Packing, codes []byte, scales, mins []float32, src, packed []byte) {
	unpackGeneric(p, codes, scales, mins, src, packed)
}

func mulPackedInt8(y []float32, w *PackedPanels, first int, x []int8, t []Term, n, panels int) {
	mulPackedGeneric(y, w, first, x, t, n, panels)
}

func mulPackedInt16(y []float32, w *PackedPanels, first int, x []int16, t []Term, n, panels int) {
	mulPackedGeneric(y, w, first, x, t, n, panels)
}

func dequantizeInts(dst []float32, codes []byte, scales, mins []float32, sub, offset int) {
	dequantizeIntsGeneric(dst, codes, scales, mins, sub, offset)
}

func widenBFloat16(dst []float32, src []uint16) { widenBFloat16Generic(dst, src) }
