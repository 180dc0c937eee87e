package asm

import "fmt"

// IntPanels are panels of Rows rows of quantised weights, unpacked to integers:
// row r of panel p has at column i the code
//
//	Codes[p*CodeStride + i/4*4*Rows + 4*r + i%4]
//
// so that 64 bytes hold four columns of all rows. The columns fall into
// sub-blocks of Sub. A code u of sub-block b stands for the weight
//
//	Scales[p*ScaleStride + b*Rows + r] * (u - Offset) + Mins[p*ScaleStride + b*Rows + r]
//
// where Mins may be nil. Codes are below 64, or Offset is 128: that keeps the
// 16-bit products of the AVX2 kernels from overflowing.
type IntPanels struct {
	Codes        []byte
	Scales, Mins []float32
	CodeStride   int // from one panel to the next, in bytes
	ScaleStride  int // from one panel to the next, in float32
	Sub          int // 16 or 32
	Offset       int
}

// A Term is what a product with IntPanels needs of a sub-block of one column
// beside its quants: the block's scale, that scale times the sum of the quants,
// and the sum times -Offset. MakeTerms makes them; kernels know the layout.
type Term struct {
	Scale     float32
	ScaledSum float32
	Bias      int32
}

// MulInt8 multiplies panels of integer weights with columns that QuantizeInt8
// made. Column c has the quants x[c*xs : c*xs+k] and, for its sub-block b, the
// term t[b*ts+c]. The outputs of panel p and column c are
// y[c*ys+p*Rows : c*ys+(p+1)*Rows]. Each is one chain over the sub-blocks in
// order,
//
//	acc = fma(min, term.ScaledSum, acc)                  if there are Mins
//	acc = fma(float32(scale*term.Scale), float32(D), acc)
//
// where D is the sum of (code - Offset)*quant over the sub-block, exactly. The
// chain starts at 0, or, if add is set, at the value already in y.
//
// For every storage format D fits: its magnitude is at most 128*127*32 < 2^24
// with int8, which float32 holds exactly, and 128*32767*32 < 2^27 with int16,
// which is rounded to nearest even. Sums of codes before the offset is taken
// away are below 2^29.
//
// k is a multiple of w.Sub. MulInt8 panics where a slice is too short.
func MulInt8(y []float32, ys int, w *IntPanels, x []int8, xs int, t []Term, ts, k, panels, cols int, add bool) {
	if checkInt(y, ys, w, len(x), xs, t, ts, k, panels, cols) {
		mulInt8(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	}
}

// MulInt16 is MulInt8 for columns that QuantizeInt16 made.
func MulInt16(y []float32, ys int, w *IntPanels, x []int16, xs int, t []Term, ts, k, panels, cols int, add bool) {
	if checkInt(y, ys, w, len(x), xs, t, ts, k, panels, cols) {
		mulInt16(y, ys, w, x, xs, t, ts, k, panels, cols, add)
	}
}

// checkInt makes the bounds checks that the kernels do without, and tells
// whether there is something to do.
func checkInt(y []float32, ys int, w *IntPanels, x, xs int, t []Term, ts, k, panels, cols int) bool {
	switch {
	case k < 0 || panels < 0 || cols < 0:
		panic("asm: negative shape")
	case w.Sub != 16 && w.Sub != 32 || k%w.Sub != 0:
		panic(fmt.Sprintf("asm: %d columns in sub-blocks of %d", k, w.Sub))
	case panels == 0 || cols == 0:
		return false
	}
	_ = y[(cols-1)*ys+panels*Rows-1]
	if k > 0 {
		_ = w.Codes[(panels-1)*w.CodeStride+k*Rows-1]
		_ = w.Scales[(panels-1)*w.ScaleStride+k/w.Sub*Rows-1]
		if w.Mins != nil {
			_ = w.Mins[(panels-1)*w.ScaleStride+k/w.Sub*Rows-1]
		}
		_ = t[(k/w.Sub-1)*ts+cols-1]
		if x < (cols-1)*xs+k {
			panic(fmt.Sprintf("asm: %d quants for %d columns of %d", x, cols, k))
		}
	}
	return true
}

// mulIntGeneric defines the bits of MulInt8 and MulInt16.
func mulIntGeneric[T int8 | int16](y []float32, ys int, w *IntPanels, x []T, xs int, t []Term, ts, k, panels, cols int, add bool) {
	for p := range panels {
		for c := range cols {
			out := y[c*ys+p*Rows:][:Rows]
			if !add {
				clear(out)
			}
			for b := range k / w.Sub {
				var dots [Rows]int32
				for i := b * w.Sub; i < (b+1)*w.Sub; i += 4 {
					q, codes := x[c*xs+i:][:4], w.Codes[p*w.CodeStride+i*Rows:][:4*Rows]
					q0, q1, q2, q3 := int32(q[0]), int32(q[1]), int32(q[2]), int32(q[3])
					for r := range dots {
						u := codes[4*r:][:4]
						dots[r] += int32(u[0])*q0 + int32(u[1])*q1 + int32(u[2])*q2 + int32(u[3])*q3
					}
				}
				term := t[b*ts+c]
				scales := w.Scales[p*w.ScaleStride+b*Rows:][:Rows]
				if w.Mins != nil {
					for r, m := range w.Mins[p*w.ScaleStride+b*Rows:][:Rows] {
						out[r] = FMA(m, term.ScaledSum, out[r])
					}
				}
				for r, s := range scales {
					// The sum of (u - Offset)*q, as the sum of u*q less Offset times that of q.
					out[r] = FMA(float32(s*term.Scale), float32(dots[r]+term.Bias), out[r])
				}
			}
		}
	}
}
