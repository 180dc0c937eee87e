package tensor

import "github.com/limbic-go/limbic/asm"

// activations hold the input of a Mul call as integers: columns that have been
// quantised once for all products, and for each kind of weights the terms that
// kernels want of them.
type activations struct {
	precision Precision
	cols, n   int // elements of a column, and columns
	stride    int // from one column to the next

	int8s  []int8    // [column][cols], of Fast
	int16s []int16   // [column][cols], of Probe
	scales []float32 // [column][cols/asm.QuantBlock]
	sums   []int32   // [column][cols/16]
	terms  []termSet
}

// A termSet holds the terms for all formats with the same sub-blocks and
// offset.
type termSet struct {
	sub, offset int
	terms       []asm.Term // [sub-block][column]
}

// columnPadding, in bytes, keeps columns from falling into the same few sets of a
// cache (see Stride).
const columnPadding = 64

// reset begins with n other columns, and no terms.
func (a *activations) reset(cols, n int) {
	a.cols, a.n = cols, n
	a.stride = cols + columnPadding
	if a.precision == Probe {
		a.stride = cols + columnPadding/2
	}
	a.terms = a.terms[:0]
}

// allocate makes room for the columns.
func (a *activations) allocate() {
	n, cols := a.n, a.cols
	if a.precision == Fast {
		a.int8s = extend(a.int8s, n*a.stride)
	} else {
		a.int16s = extend(a.int16s, n*a.stride)
	}
	a.scales = extend(a.scales, n*cols/asm.QuantBlock)
	a.sums = extend(a.sums, n*cols/16)
}

// set makes sure that there will be terms for a format, and gives their index.
func (a *activations) set(p asm.Packing) int {
	for i := range a.terms {
		if s := &a.terms[i]; s.sub == p.Sub() && s.offset == p.Offset() {
			return i
		}
	}
	i := len(a.terms)
	if i < cap(a.terms) { // keep the memory of a set that was used before
		a.terms = a.terms[:i+1]
	} else {
		a.terms = append(a.terms, termSet{})
	}
	s := &a.terms[i]
	s.sub, s.offset = p.Sub(), p.Offset()
	s.terms = extend(s.terms, a.n*a.cols/s.sub)
	return i
}

// quantize fills the columns from … to-1 from x, where column c begins at c*stride.
func (a *activations) quantize(from, to int, x []float32, stride int) {
	blocks := a.cols / asm.QuantBlock
	scales, sums := a.scales[from*blocks:to*blocks], a.sums[from*2*blocks:to*2*blocks]
	for c := from; c < to; c++ {
		scales, sums := scales[(c-from)*blocks:][:blocks], sums[(c-from)*2*blocks:][:2*blocks]
		if a.precision == Fast {
			asm.QuantizeInt8(a.int8s[c*a.stride:][:a.cols], scales, sums, x[c*stride:][:a.cols])
		} else {
			asm.QuantizeInt16(a.int16s[c*a.stride:][:a.cols], scales, sums, x[c*stride:][:a.cols])
		}
	}
	for i := range a.terms {
		s := &a.terms[i]
		asm.MakeTerms(s.terms[from:], a.n, scales, sums, s.sub, s.offset, to-from)
	}
}

// multiply multiplies panels, which hold the weights of k columns of a matrix
// from column from on, with some columns of the activations, from column col
// on.
func (a *activations) multiply(y []float32, ys int, w *asm.IntPanels, set, from, k, panels, col, cols int) {
	terms, at := a.terms[set].terms[from/w.Sub*a.n+col:], col*a.stride+from
	if a.precision == Fast {
		asm.MulInt8(y, ys, w, a.int8s[at:], a.stride, terms, a.n, k, panels, cols, from > 0)
	} else {
		asm.MulInt16(y, ys, w, a.int16s[at:], a.stride, terms, a.n, k, panels, cols, from > 0)
	}
}

// multiplyPacked multiplies panels of a matrix with the only column.
func (a *activations) multiplyPacked(y []float32, w *asm.PackedPanels, set, first, panels int) {
	if terms := a.terms[set].terms; a.precision == Fast {
		asm.MulPackedInt8(y, w, first, a.int8s, terms, a.cols, panels)
	} else {
		asm.MulPackedInt16(y, w, first, a.int16s, terms, a.cols, panels)
	}
}

// extend gives a slice of n elements, reusing buf where it is large enough.
func extend[T int8 | int16 | int32 | float32 | asm.Term](buf []T, n int) []T {
	if cap(buf) < n {
		return MakeBuffer[T](n)
	}
	return buf[:n]
}

// A quantizeJob quantises columns, some an item.
type quantizeJob struct {
	activations *activations
	x           []float32
	stride      int
	perItem     int
}

func (j *quantizeJob) Do(_, item int) {
	from := item * j.perItem
	j.activations.quantize(from, min(from+j.perItem, j.activations.n), j.x, j.stride)
}
