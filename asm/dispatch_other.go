//go:build (!amd64 && !arm64) || purego

package asm

func available() []Level { return []Level{Generic} }

// Pause tells the processor that the caller spins on memory; here it does
// nothing.
func Pause() {}

func mulPanels(y []float32, ys int, w []float32, ws int, x []float32, xs int, k, panels, cols int, add bool) {
	mulPanelsGeneric(y, ys, w, ws, x, xs, k, panels, cols, add)
}

func sumSquares(lanes *[16]float32, x []float32)  { sumSquaresGeneric(lanes, x) }
func dot(lanes *[16]float32, x, y []float32)      { dotGeneric(lanes, x, y) }
func maxOf(x []float32) float32                   { return maxGeneric(x) }
func siluMul(dst, gate, up []float32)             { siluMulGeneric(dst, gate, up) }
func scaleMul(dst, x, w []float32, scale float32) { scaleMulGeneric(dst, x, w, scale) }
func add(dst, x []float32)                        { addGeneric(dst, x) }
func axpy(dst, x []float32, a float32)            { axpyGeneric(dst, x, a) }

func expSum(lanes *[16]float32, x []float32, scale, shift float32) {
	expSumGeneric(lanes, x, scale, shift)
}

func transpose([]float32, []float32, int, int) int { return 0 }

func dequantizeQ8(dst []float32, src []byte, blocks int) { dequantizeQ8Generic(dst, src, blocks) }

func interleaveCodes([]byte, []byte, int, int) int { return 0 }

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

func widenFloat16([]float32, []byte) int { return 0 }

func widenBFloat16([]float32, []byte) int { return 0 }
