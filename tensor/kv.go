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
// Out[c*OutStride:][:dim]. Query c sees the first Len + c*Step positions.
type Queries struct {
	Q, Out             []float32
	QStride, OutStride int
	N                  int
	Len, Step          int
}

// Attend computes scaled dot-product attention (Vaswani et al., "Attention is
// all you need", 2017) of the queries over one head of a sequence's pages, in
// two passes: all scores and their softmax, then the values in order of
// position. So the result for a query does not depend on which queries
// accompany it.
func Attend(s *AttentionScratch, q Queries, pages []*Page, head int, scale float32) {
	shape := pages[0].shape
	dim, vp := shape.Dim, shape.valuePanels()
	longest := q.Len + (q.N-1)*q.Step
	stride := (longest + PageLen - 1) / PageLen * PageLen
	scores := grow(&s.scores, q.N*stride)
	for i := 0; i < longest; i += PageLen {
		keys := pages[i/PageLen].keys[head*PageLen*dim:]
		panels := (min(PageLen, longest-i) + asm.Rows - 1) / asm.Rows
		asm.MulPanels(scores[i:], stride, keys, asm.Rows*dim, q.Q, q.QStride, dim, panels, q.N, false)
	}
	// The denominators lie behind the weighted sums.
	width := vp * asm.Rows
	sums := grow(&s.sums, q.N*width+q.N)
	totals := sums[q.N*width:]
	for c := range q.N {
		row := scores[c*stride:][:q.Len+c*q.Step]
		totals[c] = asm.ExpSum(row, scale, float32(asm.Max(row)*scale))
	}
	// The positions that all queries see, then those that only later ones do.
	weigh(sums, width, scores, stride, pages, head, 0, q.Len, q.N)
	for c := 1; c < q.N && q.Step > 0; c++ {
		weigh(sums[c*width:], width, scores[c*stride:], stride, pages, head, q.Len, q.Len+c*q.Step, 1)
	}
	for c := range q.N {
		out, inverse := q.Out[c*q.OutStride:][:dim], 1/totals[c]
		for d, v := range sums[c*width:][:dim] {
			out[d] = v * inverse
		}
	}
}

// weigh adds the values at positions from … to-1, times their scores, to n
// sums; a position 0 begins the sums.
func weigh(sums []float32, width int, scores []float32, stride int, pages []*Page, head, from, to, n int) {
	shape := pages[0].shape
	vp := shape.valuePanels()
	for i := from; i < to; {
		slot := i % PageLen
		count := min(PageLen-slot, to-i)
		values := pages[i/PageLen].values[head*PageLen*vp*asm.Rows+slot*asm.Rows:]
		asm.MulPanels(sums, width, values, PageLen*asm.Rows, scores[i:], stride, count, vp, n, i > 0)
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
