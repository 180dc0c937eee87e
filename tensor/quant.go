package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Dequantize decodes src, stored as t, into dst. The values are bit for bit
// those of ggml's reference code and of the Python package gguf, on every
// machine and with every build of this package.
//
// The length of dst says how many elements there are. It must be a multiple
// of [Type.Block], and src must hold exactly [Type.RowBytes] of it; otherwise
// the error says which of the two is wrong and dst is untouched. Any bytes
// are accepted: a block whose scale is infinite or NaN decodes to elements
// that are.
func Dequantize(dst []float32, t Type, src []byte) error {
	if err := checkLengths(t, len(dst), len(src)); err != nil {
		return err
	}
	known[t].dequantize(dst, src)
	return nil
}

// Quantize encodes src as t into dst. It writes F32, F16, BF16, Q8_0 and
// Q4_0, with the bytes of ggml's reference code; the other formats are only
// read, and asking for one is an error.
//
// The length of src must be a multiple of [Type.Block] and dst must have
// exactly [Type.RowBytes] of it. An element that is NaN, infinite, or so large
// that t would store it as an infinity is an error that names the element.
// After an error dst is untouched.
func Quantize(dst []byte, t Type, src []float32) error {
	if err := checkLengths(t, len(src), len(dst)); err != nil {
		return err
	}
	f := known[t]
	if f.quantize == nil {
		return fmt.Errorf("tensor: %v can be read but not written", t)
	}
	limit := overflowAt(t)
	for i, x := range src {
		if !(abs32(x) < limit) { // also true of NaN
			return unstorable(t, i, x)
		}
	}
	f.quantize(dst, src)
	return nil
}

// checkLengths checks that t is known and that n elements of it take exactly
// size bytes.
func checkLengths(t Type, n, size int) error {
	want, err := t.RowBytes(n)
	if err != nil {
		return err
	}
	if size != want {
		return fmt.Errorf("tensor: %d elements of %v take %d bytes, not %d", n, t, want, size)
	}
	return nil
}

// overflowAt is the smallest magnitude that t cannot store: at which the
// element itself or its block's float16 scale would round to infinity.
func overflowAt(t Type) float32 {
	// float16 ends at 65504, and its next step would be at 65536: from half
	// way between them numbers round to infinity.
	const half = 65520
	switch t {
	case F16:
		return half
	case BF16:
		return math.Float32frombits(0x7f7f8000)
	case Q8_0:
		return half * 127 // the scale is the largest magnitude over 127
	case Q4_0:
		return half * 8
	}
	return float32(math.Inf(1))
}

// unstorable is the error for element i, whose value x does not fit into t.
func unstorable(t Type, i int, x float32) error {
	if y := float64(x); math.IsNaN(y) || math.IsInf(y, 0) {
		return fmt.Errorf("tensor: element %d is %v: only finite numbers can be stored as %v", i, x, t)
	}
	return fmt.Errorf("tensor: element %d is %v: too large to be stored as %v", i, x, t)
}

// What the decoders share: quants are first unpacked to one byte each, and a
// table turns a byte into the float32 it stands for. That is faster than
// converting integers, and leaves one loop for all formats.

// levels are the values of the 256 bytes, of which most formats use a few.
type levels [256]float32

var (
	minus0  = makeLevels(func(i int) float32 { return float32(i) })
	minus4  = makeLevels(func(i int) float32 { return float32(i - 4) })
	minus8  = makeLevels(func(i int) float32 { return float32(i - 8) })
	minus16 = makeLevels(func(i int) float32 { return float32(i - 16) })
	minus32 = makeLevels(func(i int) float32 { return float32(i - 32) })
)

func makeLevels(f func(i int) float32) (l levels) {
	for i := range l {
		l[i] = f(i)
	}
	return l
}

// scale16 is y = d·q.
func scale16(y *[16]float32, q *[16]byte, d float32, l *levels) {
	y[0] = d * l[q[0]]
	y[1] = d * l[q[1]]
	y[2] = d * l[q[2]]
	y[3] = d * l[q[3]]
	y[4] = d * l[q[4]]
	y[5] = d * l[q[5]]
	y[6] = d * l[q[6]]
	y[7] = d * l[q[7]]
	y[8] = d * l[q[8]]
	y[9] = d * l[q[9]]
	y[10] = d * l[q[10]]
	y[11] = d * l[q[11]]
	y[12] = d * l[q[12]]
	y[13] = d * l[q[13]]
	y[14] = d * l[q[14]]
	y[15] = d * l[q[15]]
}

// affine16 is y = d·q + m.
//
// The conversions keep the compiler from fusing product and sum into one
// instruction with one rounding, which it does on arm64 and for GOAMD64=v3,
// and which the formats do not mean. As it happens the products here are exact
// (at most 11 bits of a float16, 6 of a sub-scale and 5 of a quant), so that
// both ways agree; the conversions say that nothing rests on it.
func affine16(y *[16]float32, q *[16]byte, d, m float32) {
	l := &minus0
	y[0] = float32(d*l[q[0]]) + m
	y[1] = float32(d*l[q[1]]) + m
	y[2] = float32(d*l[q[2]]) + m
	y[3] = float32(d*l[q[3]]) + m
	y[4] = float32(d*l[q[4]]) + m
	y[5] = float32(d*l[q[5]]) + m
	y[6] = float32(d*l[q[6]]) + m
	y[7] = float32(d*l[q[7]]) + m
	y[8] = float32(d*l[q[8]]) + m
	y[9] = float32(d*l[q[9]]) + m
	y[10] = float32(d*l[q[10]]) + m
	y[11] = float32(d*l[q[11]]) + m
	y[12] = float32(d*l[q[12]]) + m
	y[13] = float32(d*l[q[13]]) + m
	y[14] = float32(d*l[q[14]]) + m
	y[15] = float32(d*l[q[15]]) + m
}

func scale32(y *[32]float32, q *[32]byte, d float32, l *levels) {
	scale16((*[16]float32)(y[:16]), (*[16]byte)(q[:16]), d, l)
	scale16((*[16]float32)(y[16:]), (*[16]byte)(q[16:]), d, l)
}

func affine32(y *[32]float32, q *[32]byte, d, m float32) {
	affine16((*[16]float32)(y[:16]), (*[16]byte)(q[:16]), d, m)
	affine16((*[16]float32)(y[16:]), (*[16]byte)(q[16:]), d, m)
}

// Masks that keep the same bits of each of eight bytes.
const (
	each01 = 0x0101010101010101
	each03 = 0x03 * each01
	each0f = 0x0f * each01
	each30 = 0x30 * each01
)

// load8 and store8 handle eight quants at a time, the first in the low byte.
func load8(b []byte) uint64     { return binary.LittleEndian.Uint64(b) }
func store8(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

// nibbles unpacks the low halves of b, then the high halves.
func nibbles(q *[32]byte, b *[16]byte) {
	v, w := load8(b[:8]), load8(b[8:])
	store8(q[0:8], v&each0f)
	store8(q[8:16], w&each0f)
	store8(q[16:24], v>>4&each0f)
	store8(q[24:32], w>>4&each0f)
}
