package asm

import "math"

// QuantBlock is the number of consecutive elements of a column that
// QuantizeInt8 and QuantizeInt16 give one scale.
const QuantBlock = 32

// The largest magnitudes of the quants. -128 and -32768 are not used, so that
// every quant can be negated.
const (
	limitInt8  = 127
	limitInt16 = 32767
)

// QuantizeInt8 writes each block of QuantBlock elements of x as integers and a
// scale: with amax the largest magnitude of the block and L = 127 or 126,
//
//	scales[b] = amax/L
//	q[i] = x[i]*(L/amax), rounded to the nearest integer, halves to even
//
// each operation in float32. L is 126 where that loses less: with e(L) the sum of
// squares of x[i]*(L/amax) - q[i], where e(126)*127² < e(127)*126². One of two
// roundings of a block is a tenth better than a given one in the mean of squares.
// e is a sum in 16 lanes, (d[l]*d[l] rounded, then d[l+16]² by a fused
// multiply-add), and Fold.
//
// No q[i] needs clamping: the relative errors of two roundings do not carry L to
// L + 1/2. sums[j] is the sum of the quants q[16*j : 16*(j+1)].
//
// A block for which 127/amax overflows (amax is 0 or below 127*2^-128) becomes
// zeros with a scale of 0. A block with a NaN or an infinity becomes zeros with
// a scale of NaN, so that whatever it is multiplied with is not finite.
//
// It panics where len(x) is no multiple of QuantBlock or a slice is too short.
func QuantizeInt8(q []int8, scales []float32, sums []int32, x []float32) {
	if checkQuantize(len(q), scales, sums, len(x)) {
		quantizeInt8(q, scales, sums, x)
	}
}

// QuantizeInt16 is QuantizeInt8 with L = 32767 always.
func QuantizeInt16(q []int16, scales []float32, sums []int32, x []float32) {
	if checkQuantize(len(q), scales, sums, len(x)) {
		quantizeInt16(q, scales, sums, x)
	}
}

func checkQuantize(q int, scales []float32, sums []int32, x int) bool {
	if x%QuantBlock != 0 || q < x {
		panic("asm: part of a block, or too few quants")
	}
	if x == 0 {
		return false
	}
	_ = scales[x/QuantBlock-1]
	_ = sums[x/16-1]
	return true
}

const infinityBits = 0x7f800000

// quantizeGeneric defines the bits of QuantizeInt8 and QuantizeInt16.
func quantizeGeneric[T int8 | int16](q []T, scales []float32, sums []int32, x []float32, limit float32) {
	for b := range len(x) / QuantBlock {
		block, out, sum := x[b*QuantBlock:][:QuantBlock], q[b*QuantBlock:][:QuantBlock], sums[2*b:][:2]
		// Magnitudes of floats order like their bits, infinities and NaN last.
		var most uint32
		for _, v := range block {
			most = max(most, math.Float32bits(v)&^(1<<31))
		}
		amax := math.Float32frombits(most)
		inverse := limit / amax
		sum[0], sum[1] = 0, 0
		if most >= infinityBits || inverse > math.MaxFloat32 {
			scales[b] = 0
			if most >= infinityBits {
				scales[b] = math.Float32frombits(0x7fc00000)
			}
			clear(out)
			continue
		}
		l := limit
		if l == limitInt8 {
			other := float32(limitInt8-1) / amax
			if float32(roundingLoss(block, other)*(limitInt8*limitInt8)) < float32(roundingLoss(block, inverse)*((limitInt8-1)*(limitInt8-1))) {
				l, inverse = limitInt8-1, other
			}
		}
		scales[b] = amax / l
		for i, v := range block {
			// Adding 3*2^22 leaves the nearest integer in the low bits.
			const magic = 3 << 22
			n := int32(math.Float32bits(float32(v*inverse)+magic)) - 0x4b400000
			out[i] = T(n)
			sum[i/16] += n
		}
	}
}

// roundingLoss is e of QuantizeInt8.
func roundingLoss(block []float32, inverse float32) float32 {
	var lanes [16]float32
	for i, v := range block {
		r := float32(v * inverse)
		d := r - float32(math.RoundToEven(float64(r)))
		if i < 16 {
			lanes[i] = d * d
		} else {
			lanes[i-16] = FMA(d, d, lanes[i-16])
		}
	}
	return Fold(&lanes)
}

// MakeTerms gives the terms of some columns for weights with the given offset in
// sub-blocks of sub columns: dst[b*stride+c] is that of sub-block b and column c.
// scales and sums are what QuantizeInt8 or QuantizeInt16 gave for whole blocks, one
// column after the other.
//
// Columns that are made together are written side by side: 16 of them, from a
// multiple of 16 on, share no cache line with others. It panics where cols is below 1
// or a slice is too short.
func MakeTerms(dst []Term, stride int, scales []float32, sums []int32, sub, offset, cols int) {
	blocks := len(scales) / cols // of a column
	if sub == QuantBlock {
		for b := range blocks {
			for c, d := 0, dst[b*stride:][:cols]; c < len(d); c++ {
				i := c*blocks + b
				scale, sum := scales[i], sums[2*i]+sums[2*i+1]
				d[c] = Term{scale, scale * float32(sum), -int32(offset) * sum}
			}
		}
		return
	}
	for b := range 2 * blocks {
		for c, d := 0, dst[b*stride:][:cols]; c < len(d); c++ {
			i := 2*c*blocks + b
			scale, sum := scales[i/2], sums[i]
			d[c] = Term{scale, scale * float32(sum), -int32(offset) * sum}
		}
	}
}
