package tensor

import (
	"github.com/limbic-go/limbic/asm"
)

// PageLen is the number of positions that a page of keys and values holds.
const PageLen = 64

// A Page holds the float32 keys and values of PageLen consecutive positions of
// one block, in the layouts that asm.MulPanels reads: for keys a lane is a
// position and the chain runs over the head's dimensions, for values a lane is
// a dimension and the chain runs over positions.
type Page struct {
	// Refs counts the sequences that share the page. It is for those who
	// share; the page itself does not look at it.
	Refs int

	keys   []float32 // [head][PageLen/16][dim][16]
	values []float32 // [head][dim/16, rounded up][PageLen][16]
	shape  PageShape
}

// A PageShape is the number of key-value heads and their size.
type PageShape struct{ Heads, Dim int }

// valuePanels is the number of 16-lane panels that a head's values fill.
func (s PageShape) valuePanels() int { return (s.Dim + asm.Rows - 1) / asm.Rows }

// NewPage allocates an empty page.
func NewPage(s PageShape) *Page {
	return &Page{
		keys:   make([]float32, s.Heads*PageLen*s.Dim),
		values: make([]float32, s.Heads*PageLen*s.valuePanels()*asm.Rows),
		shape:  s,
	}
}

// CopyFrom makes p a copy of another page of the same shape.
func (p *Page) CopyFrom(q *Page) {
	copy(p.keys, q.keys)
	copy(p.values, q.values)
}

// Put stores the key and the value of all heads, [head][dim], at slot i.
func (p *Page) Put(i int, key, value []float32) {
	dim, vp := p.shape.Dim, p.shape.valuePanels()
	for h := range p.shape.Heads {
		k := p.keys[h*PageLen*dim+i/asm.Rows*asm.Rows*dim+i%asm.Rows:]
		for d, v := range key[h*dim:][:dim] {
			k[d*asm.Rows] = v
		}
		vs := p.values[h*PageLen*vp*asm.Rows+i*asm.Rows:]
		for d := 0; d < dim; d += asm.Rows {
			copy(vs[d*PageLen:], value[h*dim+d:h*dim+min(d+asm.Rows, dim)])
		}
	}
}

// An AttentionScratch is the memory that one Attend call needs. Its zero value
// is ready; it grows as needed.
type AttentionScratch struct {
	scores, sums []float32
}

// Queries are some query vectors that attend to the same key-value head, and
// where their outputs go: query c is Q[c*QStride:][:dim] and its output
// Out[c*OutStride:][:dim]. Query c sees the first Len + c*Step positions, or,
// with a Window, only the last Window of those.
type Queries struct {
	Q, Out             []float32
	QStride, OutStride int
	N                  int
	Len, Step          int
	Window             int // 0 means no window
}

// end is the number of positions before the end of what query c sees, and start
// the number before its beginning.
func (q *Queries) end(c int) int { return q.Len + c*q.Step }

func (q *Queries) start(c int) int {
	if q.Window == 0 {
		return 0
	}
	return max(0, q.end(c)-q.Window)
}

// Softmax says how scores become weights.
type Softmax struct {
	// Scale multiplies the scores: usually 1/√dim.
	Scale float32
	// Cap, unless it is 0, bounds the scaled scores softly: see asm.SoftCap.
	Cap float32
}

// weights replaces scores by the softmax's numerators and gives its denominator.
func (s Softmax) weights(scores []float32) float32 {
	scale := s.Scale
	if s.Cap != 0 {
		asm.SoftCap(scores, scale/s.Cap, s.Cap)
		scale = 1
	}
	return asm.ExpSum(scores, scale, float32(asm.Max(scores)*scale))
}

// Attend computes scaled dot-product attention (Vaswani et al., "Attention is
// all you need", 2017) of the queries over one head of a sequence's pages, in
// two passes: all scores and their softmax, then the values in order of
// position. So the result for a query does not depend on which queries
// accompany it.
func Attend(s *AttentionScratch, q Queries, pages []*Page, head int, softmax Softmax) {
	shape := pages[0].shape
	dim, vp := shape.Dim, shape.valuePanels()
	// Scores are kept from the page on in which the first query's window begins.
	first, longest := q.start(0)/PageLen*PageLen, q.end(q.N-1)
	stride := (longest - first + PageLen - 1) / PageLen * PageLen
	scores := grow(&s.scores, q.N*stride)
	for i := first; i < longest; i += PageLen {
		keys := pages[i/PageLen].keys[head*PageLen*dim:]
		panels := (min(PageLen, longest-i) + asm.Rows - 1) / asm.Rows
		asm.MulPanels(scores[i-first:], stride, keys, asm.Rows*dim, q.Q, q.QStride, dim, panels, q.N, false)
	}
	// The denominators lie behind the weighted sums.
	width := vp * asm.Rows
	sums := grow(&s.sums, q.N*width+q.N)
	totals := sums[q.N*width:]
	for c := range q.N {
		totals[c] = softmax.weights(scores[c*stride:][q.start(c)-first : q.end(c)-first])
	}
	clear(sums[:q.N*width])
	weigh := func(c, n, from, to int) {
		addValues(sums[c*width:], width, scores[c*stride:], stride, first, pages, head, from, to, n)
	}
	// The positions that all queries see, after those that only earlier and
	// before those that only later ones do.
	from, to := q.start(q.N-1), q.Len
	if from >= to {
		from, to = longest, longest // there are none
	}
	for c := range q.N {
		weigh(c, 1, q.start(c), min(from, q.end(c)))
	}
	weigh(0, q.N, from, to)
	for c := range q.N {
		weigh(c, 1, to, q.end(c))
	}
	for c := range q.N {
		out, inverse := q.Out[c*q.OutStride:][:dim], 1/totals[c]
		for d, v := range sums[c*width:][:dim] {
			out[d] = v * inverse
		}
	}
}

// addValues adds the values at positions from … to-1, times their scores, to n
// sums. Scores are those of the positions from first on.
func addValues(sums []float32, width int, scores []float32, stride, first int, pages []*Page, head, from, to, n int) {
	shape := pages[0].shape
	vp := shape.valuePanels()
	for i := from; i < to; {
		slot := i % PageLen
		count := min(PageLen-slot, to-i)
		values := pages[i/PageLen].values[head*PageLen*vp*asm.Rows+slot*asm.Rows:]
		asm.MulPanels(sums, width, values, PageLen*asm.Rows, scores[i-first:], stride, count, vp, n, true)
		i += count
	}
}

func grow(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n+n/2)
	}
	*buf = (*buf)[:n]
	return *buf
}
