package tensor

import (
	"fmt"
	"strings"

	"github.com/limbic-go/limbic/asm"
)

// PageLen is the number of positions that a page of keys and values holds.
const PageLen = 64

// A KVType says in which form keys and values are kept. Like the precision it
// changes results, and is part of them.
type KVType int

// The types.
const (
	// KVFloat32 keeps them as they were computed.
	KVFloat32 KVType = iota
	// KVFloat16 rounds them to the nearest float16, ties to even, which halves
	// their memory. Attention computes in float32 with what was kept.
	KVFloat16
)

var kvTypeNames = []string{KVFloat32: "f32", KVFloat16: "f16"}

// Valid reports whether t is one of the types above.
func (t KVType) Valid() bool { return t >= 0 && int(t) < len(kvTypeNames) }

// String gives the name that ParseKVType reads.
func (t KVType) String() string {
	if t.Valid() {
		return kvTypeNames[t]
	}
	return fmt.Sprintf("KVType(%d)", int(t))
}

// ParseKVType reads a type's name, f32 or f16, in either case.
func ParseKVType(s string) (KVType, error) {
	for i, n := range kvTypeNames {
		if strings.EqualFold(n, s) {
			return KVType(i), nil
		}
	}
	return 0, fmt.Errorf("tensor: unknown type of keys and values %q (known: %s)", s, strings.Join(kvTypeNames, ", "))
}

// A Page holds the keys and values of PageLen consecutive positions of one
// block, in the layouts that asm.MulPanels reads: for keys a lane is a position
// and the chain runs over the head's dimensions, for values a lane is a
// dimension and the chain runs over positions.
type Page struct {
	// Refs counts the sequences that share the page. It is for those who
	// share; the page itself does not look at it.
	Refs int

	shape PageShape
	// Keys are [head][PageLen/16][dim][16], values
	// [head][dim/16, rounded up][PageLen][16]. Those of the shape's type are there.
	keys, values         []float32
	halfKeys, halfValues []uint16
}

// A PageShape is the number of key-value heads, their size, and the form in
// which they are kept.
type PageShape struct {
	Heads, Dim int
	Type       KVType
}

// valuePanels is the number of 16-lane panels that a head's values fill.
func (s PageShape) valuePanels() int { return (s.Dim + asm.Rows - 1) / asm.Rows }

// floats is how many numbers a page's keys and its values are.
func (s PageShape) floats() (keys, values int) {
	return s.Heads * PageLen * s.Dim, s.Heads * PageLen * s.valuePanels() * asm.Rows
}

// Bytes is the memory of a page.
func (s PageShape) Bytes() int {
	keys, values := s.floats()
	if s.Type == KVFloat16 {
		return 2 * (keys + values)
	}
	return 4 * (keys + values)
}

// NewPages allocates some empty pages side by side, in huge pages of the system if
// that is worthwhile: a token of a long text reads parts of all of them.
func NewPages(s PageShape, n int) []*Page {
	pages := make([]*Page, n)
	keys, values := s.floats()
	if s.Type == KVFloat16 {
		all := MakeBuffer[uint16](n * (keys + values))
		for i := range pages {
			both := all[i*(keys+values):][:keys+values]
			pages[i] = &Page{shape: s, halfKeys: both[:keys:keys], halfValues: both[keys:]}
		}
		return pages
	}
	all := MakeBuffer[float32](n * (keys + values))
	for i := range pages {
		both := all[i*(keys+values):][:keys+values]
		pages[i] = &Page{shape: s, keys: both[:keys:keys], values: both[keys:]}
	}
	return pages
}

// CopyFrom makes p a copy of another page of the same shape.
func (p *Page) CopyFrom(q *Page) {
	copy(p.keys, q.keys)
	copy(p.values, q.values)
	copy(p.halfKeys, q.halfKeys)
	copy(p.halfValues, q.halfValues)
}

// Put stores the keys and the values of n positions from slot on. Those of
// position i are keys[i*ks:] and values[i*vs:], each [head][dim]. It reports
// whether all finite ones stayed finite, which those from asm.MaxFloat16 on do
// not in float16.
func (p *Page) Put(s *AttentionScratch, slot, n int, keys []float32, ks int, values []float32, vs int) bool {
	most := p.putKeys(s, slot, n, keys, ks)
	most = max(most, p.putValues(s, slot, n, values, vs))
	return most < asm.MaxFloat16
}

// putKeys and putValues give the greatest magnitude of what was rounded, or 0.
func (p *Page) putKeys(s *AttentionScratch, slot, n int, keys []float32, ks int) (most float32) {
	dim := p.shape.Dim
	for n > 0 {
		lane := slot % asm.Rows
		count := min(n, asm.Rows-lane)
		for h := range p.shape.Heads {
			from, to := keys[h*dim:], h*PageLen*dim+slot/asm.Rows*asm.Rows*dim
			switch {
			case p.shape.Type == KVFloat32 && count == asm.Rows:
				asm.Transpose(p.keys[to:], from, ks, dim)
			case p.shape.Type == KVFloat32:
				scatter(p.keys[to+lane:], from, ks, dim, count)
			case count == asm.Rows:
				panel := grow(&s.wide, asm.Rows*dim)
				asm.Transpose(panel, from, ks, dim)
				most = max(most, asm.Narrow(p.halfKeys[to:][:asm.Rows*dim], panel))
			default:
				half := grow(&s.half, dim)
				for i := range count {
					most = max(most, asm.Narrow(half, from[i*ks:][:dim]))
					scatter(p.halfKeys[to+lane+i:], half, 0, dim, 1)
				}
			}
		}
		if n -= count; n > 0 {
			slot, keys = slot+count, keys[count*ks:]
		}
	}
	return most
}

// scatter puts n rows side by side into lanes of a panel.
func scatter[T any](panel, rows []T, stride, dim, n int) {
	for i := range n {
		for d, v := range rows[i*stride:][:dim] {
			panel[d*asm.Rows+i] = v
		}
	}
}

func (p *Page) putValues(s *AttentionScratch, slot, n int, values []float32, vs int) (most float32) {
	dim, vp := p.shape.Dim, p.shape.valuePanels()
	whole := dim / asm.Rows
	for h := range p.shape.Heads {
		to := (h*vp*PageLen + slot) * asm.Rows
		if p.shape.Type == KVFloat32 {
			asm.PanelRows(p.values[to:], PageLen*asm.Rows, values[h*dim:], vs, whole, n)
			for i := 0; i < n && whole < vp; i++ {
				copy(p.values[to+(whole*PageLen+i)*asm.Rows:], values[i*vs+h*dim:][whole*asm.Rows:dim])
			}
			continue
		}
		run := grow(&s.wide, n*asm.Rows)
		for j := range vp {
			width := min(asm.Rows, dim-j*asm.Rows)
			if width < asm.Rows {
				clear(run)
			}
			for i := range n {
				copy(run[i*asm.Rows:], values[i*vs+h*dim+j*asm.Rows:][:width])
			}
			most = max(most, asm.Narrow(p.halfValues[to+j*PageLen*asm.Rows:][:len(run)], run))
		}
	}
	return most
}

// prefetchKeys and prefetchValues ask for what headKeys and headValues will read.
func (p *Page) prefetchKeys(head int) {
	from, n := head*PageLen*p.shape.Dim, PageLen*p.shape.Dim
	if p.shape.Type == KVFloat32 {
		prefetchPanels(p.keys[from:][:n], p.shape.Dim*asm.Rows)
	} else {
		prefetchPanels(p.halfKeys[from:][:n], p.shape.Dim*asm.Rows)
	}
}

func (p *Page) prefetchValues(head, panel, panels int) {
	from, n := (head*p.shape.valuePanels()+panel)*PageLen*asm.Rows, panels*PageLen*asm.Rows
	if p.shape.Type == KVFloat32 {
		prefetchPanels(p.values[from:][:n], PageLen*asm.Rows)
	} else {
		prefetchPanels(p.halfValues[from:][:n], PageLen*asm.Rows)
	}
}

// prefetchPanels asks for the beginnings of panels of n elements, side by side. From
// there processors follow by themselves, and more at a time would wait.
func prefetchPanels[T float32 | uint16](panels []T, n int) {
	const begin = 256
	for len(panels) > 0 {
		asm.Prefetch(panels[:min(begin, n)])
		panels = panels[n:]
	}
}

// headKeys are the first panels of a head's keys, as float32.
func (p *Page) headKeys(s *AttentionScratch, head, panels int) []float32 {
	from, n := head*PageLen*p.shape.Dim, panels*asm.Rows*p.shape.Dim
	if p.shape.Type == KVFloat32 {
		return p.keys[from:][:n]
	}
	wide := grow(&s.wide, n)
	asm.Widen(wide, p.halfKeys[from:][:n])
	return wide
}

// headValues are panels of a head's values, PageLen*16 apart, as float32: n
// positions from slot on.
func (p *Page) headValues(s *AttentionScratch, head, panel, panels, slot, n int) []float32 {
	from := ((head*p.shape.valuePanels()+panel)*PageLen + slot) * asm.Rows
	if p.shape.Type == KVFloat32 {
		return p.values[from:]
	}
	wide := grow(&s.wide, panels*PageLen*asm.Rows)
	for j := range panels {
		at := j * PageLen * asm.Rows
		asm.Widen(wide[at:][:n*asm.Rows], p.halfValues[from+at:][:n*asm.Rows])
	}
	return wide
}

// An AttentionScratch is the memory that one call of Attend or Put needs. Its
// zero value is ready; it grows as needed.
type AttentionScratch struct {
	scores, sums []float32
	wide         []float32 // keys or values that are kept as float16
	half         []uint16
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

// first is the position from which on scores are kept, where the page begins in
// which the first query's window does, and longest the number of positions that
// the last one sees.
func (q *Queries) first() int   { return q.start(0) / PageLen * PageLen }
func (q *Queries) longest() int { return q.end(q.N - 1) }

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
	return asm.Softmax(scores, scale)
}

// Attend computes scaled dot-product attention (Vaswani et al., "Attention is
// all you need", 2017) of the queries over one head of a sequence's pages, in
// two passes: all scores and their softmax, then the values in order of
// position. So the result for a query does not depend on which queries
// accompany it.
func Attend(s *AttentionScratch, q Queries, pages []*Page, head int, softmax Softmax) {
	scores := grow(&s.scores, q.N*q.ScoreStride())
	from, to := q.Pages()
	q.Score(s, scores, pages, head, from, to)
	for c := range q.N {
		q.Weigh(scores, c, softmax)
	}
	q.Sum(s, scores, pages, head, 0, pages[0].shape.valuePanels())
}

// Score, Weigh and Sum are the steps of Attend, for callers that divide its
// work: scores of some pages, softmax of some queries, sums of some dimensions.
// Each step needs all of the one before. The scores are N*ScoreStride floats.
func (q *Queries) Score(s *AttentionScratch, scores []float32, pages []*Page, head, from, to int) {
	dim, stride, first := pages[0].shape.Dim, q.ScoreStride(), q.first()
	for page := from; page < to; page++ {
		if page+1 < to {
			pages[page+1].prefetchKeys(head)
		}
		at := page * PageLen
		panels := (min(PageLen, q.longest()-at) + asm.Rows - 1) / asm.Rows
		keys := pages[page].headKeys(s, head, panels)
		// Panels that every query sees, and others, for the queries that do.
		all := min(panels, max(0, q.Len-at+asm.Rows-1)/asm.Rows)
		asm.MulPanels(scores[at-first:], stride, keys, asm.Rows*dim, q.Q, q.QStride, dim, all, q.N, false)
		for p := all; p < panels; p++ {
			i := at + p*asm.Rows
			c := (i-q.Len)/q.Step + 1 // the first query whose end is beyond i
			asm.MulPanels(scores[c*stride+i-first:], stride, keys[p*asm.Rows*dim:], 0, q.Q[c*q.QStride:], q.QStride, dim, 1, q.N-c, false)
		}
	}
}

// Weigh replaces the scores of query c by the weights of its positions, but for
// a common denominator, which it puts behind them. See Score.
func (q *Queries) Weigh(scores []float32, c int, softmax Softmax) {
	row := scores[c*q.ScoreStride():][:q.ScoreStride()]
	row[len(row)-1] = softmax.weights(row[q.start(c)-q.first() : q.end(c)-q.first()])
}

// Sum adds the values, times their weights, for the dimensions from*16 to
// to*16-1, and divides by the denominators. See Score.
func (q *Queries) Sum(s *AttentionScratch, scores []float32, pages []*Page, head, from, to int) {
	stride, width := q.ScoreStride(), (to-from)*asm.Rows
	v := valueSums{
		sums: grow(&s.sums, q.N*width), scores: scores, stride: stride, first: q.first(),
		scratch: s, pages: pages, head: head, panel: from, panels: to - from,
	}
	clear(v.sums)
	// The positions that all queries see, after those that only earlier and before
	// those that only later ones do.
	begin, end := q.start(q.N-1), q.Len
	if begin >= end {
		begin, end = q.longest(), q.longest() // there are none
	}
	for c := 0; c < q.N && q.start(c) < begin; c++ {
		v.add(c, 1, q.start(c), min(begin, q.end(c)), 0)
	}
	last := max(begin, (q.longest()-1)/PageLen*PageLen)
	if q.Step == 1 && last < end {
		// On the last page each sees a position more than the one before it.
		v.add(0, q.N, begin, last, 0)
		v.add(0, q.N, last, end, 1)
	} else {
		v.add(0, q.N, begin, end, 0)
		for c := range q.N {
			v.add(c, 1, end, q.end(c), 0)
		}
	}
	width = min(width, pages[0].shape.Dim-from*asm.Rows)
	for c := range q.N {
		out := q.Out[c*q.OutStride+from*asm.Rows:][:width]
		asm.Scale(out, v.sums[c*(to-from)*asm.Rows:][:width], 1/scores[(c+1)*stride-1])
	}
}

// ScoreStride is the number of floats that the scores of a query take, with the
// denominator behind them.
func (q *Queries) ScoreStride() int {
	from, to := q.Pages()
	return (to-from)*PageLen + asm.Rows
}

// Pages are the pages from … to-1 that hold what the queries see.
func (q *Queries) Pages() (from, to int) {
	return q.first() / PageLen, (q.longest() + PageLen - 1) / PageLen
}

// valueSums are weighted sums of values under way.
type valueSums struct {
	sums, scores  []float32
	stride, first int // of scores
	scratch       *AttentionScratch
	pages         []*Page
	head          int
	panel, panels int
}

// add adds the values at positions from … to-1 to the sums of n queries from c
// on, or, with a step of 1, to each as many positions more as it lies behind
// the first; these are on one page.
func (v *valueSums) add(c, n, from, to, step int) {
	width := v.panels * asm.Rows
	sums, scores := v.sums[c*width:], v.scores[c*v.stride:]
	for i := from; i < to; {
		slot := i % PageLen
		count := min(PageLen-slot, to-i)
		longest := count + step*(n-1)
		if i+count < to {
			v.pages[i/PageLen+1].prefetchValues(v.head, v.panel, v.panels)
		}
		values := v.pages[i/PageLen].headValues(v.scratch, v.head, v.panel, v.panels, slot, longest)
		if step > 0 {
			asm.MulStairs(sums, width, values, PageLen*asm.Rows, scores[i-v.first:], v.stride, count, v.panels, n, true)
		} else {
			asm.MulPanels(sums, width, values, PageLen*asm.Rows, scores[i-v.first:], v.stride, count, v.panels, n, true)
		}
		i += count
	}
}

func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = make([]T, n+n/2)
	}
	*buf = (*buf)[:n]
	return *buf
}
