package llama

import (
	"context"
	"fmt"
	"slices"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/tensor"
)

// chunk computes parts of spans together. It gives the number of logit rows it
// wrote, from row logitsDone on. On any error the sequences are as before.
func (r *Runner) chunk(ctx context.Context, parts []part, p *Pass, e extent, logitsDone int) (int, error) {
	r.begin(parts, e.depth())
	if len(r.rows) == 0 {
		return 0, nil
	}
	c := &r.model.config
	r.later(embedRows)
	for b := range e.block + 1 {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("llama: stopped before block %d: %w", b, err)
		}
		r.block = b
		if err := r.visit(p, Site{ResidPre, b}, r.x); err != nil {
			return 0, err
		}
		until := stageMLP
		if b == e.block {
			until = e.stage
		}
		if err := r.runBlock(p, b, until); err != nil {
			return 0, err
		}
	}
	if e.stage == stageHead {
		if err := r.head(p, logitsDone); err != nil {
			return 0, err
		}
	}
	r.now()
	// Damaged weights and overflows show in the stream or in the logits.
	if i := firstNonFinite(r.x, padded(c.Width), c.Width, len(r.rows)); i >= 0 {
		return 0, fmt.Errorf("llama: the residual stream at position %d of span %d is not finite: the model is damaged, or an edit too large", r.rows[i].Pos, r.rows[i].Span)
	}
	n := len(r.logitRows)
	if i := firstNonFinite(r.logits[logitsDone*r.logitsWidth:], r.logitsWidth, r.model.config.Vocabulary, n); i >= 0 {
		row := &r.rows[r.logitRows[i]]
		return 0, fmt.Errorf("llama: the logits at position %d of span %d are not finite: the model is damaged, or an edit too large", row.Pos, row.Span)
	}
	r.commit(e.depth())
	return n, nil
}

// begin lays out the rows of a chunk and makes room for them.
func (r *Runner) begin(parts []part, depth int) {
	c := &r.model.config
	r.rows, r.logitRows, r.attention = r.rows[:0], r.logitRows[:0], r.attention[:0]
	r.groups, r.ops, r.alone = r.groups[:0], r.ops[:0], r.alone[:0]
	longest := 0
	for _, s := range parts {
		base := s.Seq.Len()
		if len(s.Tokens) == 0 {
			continue
		}
		s.Seq.prepare(len(s.Tokens), depth)
		r.addAttention(s.Seq, len(r.rows), len(s.Tokens))
		r.addGroups(base, len(r.rows), len(s.Tokens))
		for j, t := range s.Tokens {
			row := Row{Token: t, Seq: s.Seq, Span: s.index, Pos: base + j}
			if s.Roles != nil {
				row.Role = s.Roles[j]
			}
			if s.Logits == AllLogits || s.Logits == LastLogits && j == len(s.Tokens)-1 {
				r.logitRows = append(r.logitRows, len(r.rows))
			}
			r.rows = append(r.rows, row)
		}
		longest = max(longest, base+len(s.Tokens))
	}
	r.addAlone()
	r.rope.Extend(longest)
	r.localRope.Extend(longest)
	n := len(r.rows)
	r.x = resize(r.x, n*padded(c.Width))
	r.norm = resize(r.norm, n*padded(c.Width))
	r.out = resize(r.out, n*padded(c.Width))
	r.q = resize(r.q, n*padded(c.Heads*c.HeadDim))
	r.heads = resize(r.heads, n*padded(c.Heads*c.HeadDim))
	r.k = resize(r.k, n*padded(c.KVHeads*c.HeadDim))
	r.v = resize(r.v, n*padded(c.KVHeads*c.HeadDim))
	r.gate = resize(r.gate, n*padded(c.FeedForward))
	r.up = resize(r.up, n*padded(c.FeedForward))
	if c.Experts > 0 {
		r.mixture.resize(c, n)
	}
	if cap(r.tainted) < n {
		r.tainted = make([]int, n)
	}
	r.tainted = r.tainted[:n]
	for i := range r.tainted {
		r.tainted[i] = 1 << 30
	}
}

// commit appends the chunk's rows to their sequences.
func (r *Runner) commit(depth int) {
	for i := range r.rows {
		row := &r.rows[i]
		edits := r.sets.at(*row)
		if t := r.tainted[i]; t < depth {
			edits = effective(append(slices.Clone(edits), edit{what: taint, first: t}), depth)
			r.undeclared = true
		}
		s := row.Seq
		s.rows = append(s.rows, position{row.Token, row.Role, depth, edits})
	}
}

// runBlock takes the rows through block b as far as needed.
func (r *Runner) runBlock(p *Pass, b int, until stage) error {
	if until == stageInput {
		return nil
	}
	c, w, n := &r.model.config, &r.model.blocks[b], len(r.rows)
	width := padded(c.Width)

	r.later(attnNormRows)
	r.now()
	if until == stageKV {
		if err := r.mul.Mul(r.norm, width, n, tensor.Product{W: w.k.w, Y: r.k}, tensor.Product{W: w.v.w, Y: r.v}); err != nil {
			return err
		}
		return r.store(false)
	}
	if err := r.mul.Mul(r.norm, width, n, tensor.Product{W: w.q.w, Y: r.q}, tensor.Product{W: w.k.w, Y: r.k}, tensor.Product{W: w.v.w, Y: r.v}); err != nil {
		return err
	}
	if err := r.store(true); err != nil {
		return err
	}
	r.attend()
	if err := r.mul.Mul(r.heads, padded(c.Heads*c.HeadDim), n, tensor.Product{W: w.o.w, Y: r.out}); err != nil {
		return err
	}
	r.later(finishAttentionRows)
	if err := r.visit(p, Site{AttnOut, b}, r.out); err != nil {
		return err
	}
	r.later(addRows)
	if err := r.visit(p, Site{ResidMid, b}, r.x); err != nil {
		return err
	}
	if until == stageAttn {
		return nil
	}

	r.later(ffnNormRows)
	r.now()
	if err := r.runFeedForward(w); err != nil {
		return err
	}
	r.later(finishFeedForwardRows)
	if err := r.visit(p, Site{MLPOut, b}, r.out); err != nil {
		return err
	}
	r.later(addRows)
	return r.visit(p, Site{ResidPost, b}, r.x)
}

// runFeedForward computes a block's feed-forward layer, or those that its router
// chooses, from r.norm to r.out.
func (r *Runner) runFeedForward(w *block) error {
	if w.router != nil {
		return r.runExperts(w)
	}
	return r.feedForward(&w.ffn, r.norm, len(r.rows), r.out)
}

// feedForward computes a feed-forward layer of n rows, from x to y.
func (r *Runner) feedForward(f *feedForward, x []float32, n int, y []float32) error {
	c := &r.model.config
	if err := r.mul.Mul(x, padded(c.Width), n, tensor.Product{W: f.gate.w, Y: r.gate}, tensor.Product{W: f.up.w, Y: r.up}); err != nil {
		return err
	}
	r.layer, r.layerOut = f, y
	r.each(n, activateRow)
	if err := r.mul.Mul(r.gate, padded(c.FeedForward), n, tensor.Product{W: f.down.w, Y: y}); err != nil {
		return err
	}
	if f.down.bias != nil {
		r.each(n, downBiasRow)
	}
	return nil
}

// head computes the final norm and, for the rows that want them, logits.
func (r *Runner) head(p *Pass, logitsDone int) error {
	c := &r.model.config
	width := padded(c.Width)
	r.later(finalNormRows)
	r.now()
	if err := r.visit(p, Site{Point: FinalNorm}, r.norm); err != nil {
		return err
	}
	// Rows with logits move to the front; a row only ever moves down.
	for i, row := range r.logitRows {
		copy(r.norm[i*width:][:width], r.norm[row*width:][:width])
	}
	r.newLogits = r.logits[logitsDone*r.logitsWidth:]
	if err := r.mul.Mul(r.norm, width, len(r.logitRows), tensor.Product{W: r.model.output, Y: r.newLogits}); err != nil {
		return err
	}
	if c.LogitScale != 1 || c.LogitCap != 0 {
		r.each(len(r.logitRows), finishLogitsRow)
	}
	return nil
}

// visit calls the hooks that want a site.
func (r *Runner) visit(p *Pass, site Site, data []float32) error {
	for _, h := range p.Hooks {
		if !slices.Contains(h.Sites, site) {
			continue
		}
		r.now()
		width := r.model.config.Width
		r.view = View{Site: site, Rows: r.rows, data: data, stride: padded(width), width: width, edits: h.Edits, runner: r}
		if err := h.Func(&r.view); err != nil {
			return fmt.Errorf("llama: hook %s at %v: %w", h.Name, site, err)
		}
	}
	return nil
}

// rowJob applies an operation to n rows, some an item.
type rowJob struct {
	r  *Runner
	n  int
	op func(r *Runner, row int)
}

const rowsPerItem = 16

func (j *rowJob) Do(_, item int) {
	for i := item * rowsPerItem; i < min((item+1)*rowsPerItem, j.n); i++ {
		j.op(j.r, i)
	}
}

// each runs op, a plain function and no closure, so that nothing is allocated,
// for the rows 0 to n-1.
func (r *Runner) each(n int, op func(*Runner, int)) {
	r.rowJob.n, r.rowJob.op = n, op
	r.pool.Run(&r.rowJob, (n+rowsPerItem-1)/rowsPerItem)
}

func (r *Runner) eachRow(op func(*Runner, int)) { r.each(len(r.rows), op) }

// A group is the rows from … to-1 of a chunk. Rows of one sequence are in one
// group where their positions share a panel of keys, and few of a sequence go
// with others: then there is enough to do for a group.
type group struct{ from, to int }

// addGroups lists the groups of a span whose n rows, from a position on, begin
// at row.
func (r *Runner) addGroups(pos, row, n int) {
	for n > 0 {
		count := min(n, asm.Rows-pos%asm.Rows)
		if last := len(r.groups) - 1; last >= 0 && row+count-r.groups[last].from <= asm.Rows {
			r.groups[last].to = row + count
		} else {
			r.groups = append(r.groups, group{row, row + count})
		}
		pos, row, n = pos+count, row+count, n-count
	}
}

// A rowOp is an operation on the rows from … to-1 that waits to be run.
type rowOp struct {
	run   func(r *Runner, b *block, from, to int)
	block *block
}

// later has op run before the next product or hook, together with those before
// it: a row that is in the nearest cache meets all of them.
func (r *Runner) later(op func(*Runner, *block, int, int)) {
	r.ops = append(r.ops, rowOp{op, &r.model.blocks[r.block]})
}

// now runs what waits.
func (r *Runner) now() {
	if len(r.ops) > 0 {
		r.pool.Run(&r.opsJob, len(r.groups))
		r.ops = r.ops[:0]
	}
}

// opsJob runs the waiting operations on a group, some rows at a time.
type opsJob struct{ r *Runner }

// together is how many rows meet all operations before others do.
const together = 4

func (j *opsJob) Do(_, item int) {
	g := j.r.groups[item]
	for from := g.from; from < g.to; from += together {
		for _, op := range j.r.ops {
			op.run(j.r, op.block, from, min(from+together, g.to))
		}
	}
}

// at is row i of a buffer whose rows are n wide.
func at(buf []float32, i, n int) []float32 { return buf[i*padded(n):][:n] }

func embedRows(r *Runner, _ *block, from, to int) {
	c := &r.model.config
	for i := from; i < to; i++ {
		x := at(r.x, i, c.Width)
		r.model.embedding.Row(x, int(r.rows[i].ID))
		scale(x, c.EmbeddingScale)
	}
}

func attnNormRows(r *Runner, b *block, from, to int) { r.normRows(from, to, b.attnNorm) }

func ffnNormRows(r *Runner, b *block, from, to int) { r.normRows(from, to, b.ffnNorm) }

func finalNormRows(r *Runner, _ *block, from, to int) { r.normRows(from, to, r.model.outputNorm) }

// normRows normalises rows of the stream, or copies them where there are no
// weights to do so.
func (r *Runner) normRows(from, to int, weight []float32) {
	c := &r.model.config
	width := padded(c.Width)
	dst, x := r.norm[from*width:to*width], r.x[from*width:to*width]
	if weight == nil {
		copy(dst, x)
		return
	}
	tensor.RMSNormRows(dst, width, x, width, to-from, weight, c.NormEpsilon)
}

// store finishes the chunk's keys and values, and its queries if they are
// wanted, and puts them into pages.
func (r *Runner) store(queries bool) error {
	r.storeJob.queries = queries
	r.lost.Store(noRow)
	r.pool.Run(&r.storeJob, len(r.groups))
	if i := r.lost.Load(); i != noRow {
		row := &r.rows[i]
		return fmt.Errorf("llama: a key or value of block %d at position %d of span %d is beyond the range of float16: keep them as %v", r.block, row.Pos, row.Span, KVFloat32)
	}
	return nil
}

// noRow is more than the index of any row.
const noRow = 1 << 62

type storeJob struct {
	r       *Runner
	queries bool
}

func (j *storeJob) Do(worker, item int) {
	r := j.r
	c, w, g := &r.model.config, &r.model.blocks[r.block], r.groups[item]
	for i := g.from; i < g.to; i++ {
		if j.queries {
			r.rotateHeads(at(r.q, i, c.Heads*c.HeadDim), w.q.bias, w.qNorm, r.rows[i].Pos)
		}
		r.rotateHeads(at(r.k, i, c.KVHeads*c.HeadDim), w.k.bias, w.kNorm, r.rows[i].Pos)
		addBias(at(r.v, i, c.KVHeads*c.HeadDim), w.v.bias)
	}
	stride := padded(c.KVHeads * c.HeadDim)
	for i := g.from; i < g.to; {
		seq, pos, n := r.rows[i].Seq, r.rows[i].Pos, 1
		// Positions of one sequence follow each other.
		for i+n < g.to && r.rows[i+n].Seq == seq && (pos+n)%asm.Rows != 0 {
			n++
		}
		page := seq.pages[r.block][pos/tensor.PageLen]
		if !page.Put(&r.attendScratch[worker], pos%tensor.PageLen, n, r.k[i*stride:], stride, r.v[i*stride:], stride) {
			for old := r.lost.Load(); int64(i) < old && !r.lost.CompareAndSwap(old, int64(i)); old = r.lost.Load() {
			}
		}
		i += n
	}
}

// rotateHeads makes queries or keys of what was projected: bias, norm, rotation.
func (r *Runner) rotateHeads(x, bias, norm []float32, pos int) {
	c := &r.model.config
	addBias(x, bias)
	if n := len(norm); n > 0 {
		tensor.RMSNormRows(x, n, x, n, len(x)/n, norm, c.NormEpsilon)
	}
	if !c.rotated(r.block) {
		return
	}
	rope := r.rope
	if c.Windowed(r.block) {
		rope = r.localRope
	}
	rope.Rotate(x, c.HeadDim, len(x)/c.HeadDim, pos)
}

// finishAttentionRows and finishFeedForwardRows make what is added to the
// stream of what a half of a block computed.
func finishAttentionRows(r *Runner, b *block, from, to int) {
	r.finishRows(from, to, b.o.bias, b.postAttnNorm)
}

func finishFeedForwardRows(r *Runner, b *block, from, to int) {
	r.finishRows(from, to, nil, b.postFFNNorm) // its bias is there already
}

func (r *Runner) finishRows(from, to int, bias, norm []float32) {
	c := &r.model.config
	for i := from; i < to; i++ {
		x := at(r.out, i, c.Width)
		addBias(x, bias)
		if norm != nil {
			tensor.RMSNorm(x, x, norm, c.NormEpsilon)
		}
		scale(x, c.ResidualScale)
	}
}

func addRows(r *Runner, _ *block, from, to int) {
	c := &r.model.config
	for i := from; i < to; i++ {
		asm.Add(at(r.x, i, c.Width), at(r.out, i, c.Width))
	}
}

func activateRow(r *Runner, i int) {
	c := &r.model.config
	gate, up := at(r.gate, i, c.FeedForward), at(r.up, i, c.FeedForward)
	addBias(gate, r.layer.gate.bias)
	addBias(up, r.layer.up.bias)
	if c.arch.gelu {
		asm.GELUMul(gate, gate, up)
	} else {
		asm.SiLUMul(gate, gate, up)
	}
}

func downBiasRow(r *Runner, i int) {
	addBias(at(r.layerOut, i, r.model.config.Width), r.layer.down.bias)
}

func finishLogitsRow(r *Runner, i int) {
	c := &r.model.config
	x := r.newLogits[i*r.logitsWidth:][:c.Vocabulary]
	scale(x, c.LogitScale)
	if c.LogitCap != 0 {
		asm.SoftCap(x, 1/c.LogitCap, c.LogitCap)
	}
}

func addBias(x, bias []float32) {
	if bias != nil {
		asm.Add(x, bias)
	}
}

func scale(x []float32, by float32) {
	if by == 1 {
		return
	}
	asm.Scale(x, x, by)
}

// attentionItem is some queries of one sequence that share a key-value head.
type attentionItem struct {
	seq       *Sequence
	row, rows int
	head      int  // a query head, or
	grouped   bool // a key-value head with all its query heads, for one row
}

// queryRows is how many positions of a head attend together: they share what
// is loaded of keys and values. It divides a page, so that those which see each
// other are on one.
const queryRows = 32

// addAttention lists the items of a span whose n rows begin at row; those of
// single rows follow in addAlone.
func (r *Runner) addAttention(s *Sequence, row, n int) {
	c := &r.model.config
	if n == 1 {
		r.alone = append(r.alone, row)
		return
	}
	for pos := s.Len(); n > 0; {
		count := min(n, queryRows-pos%queryRows)
		for h := range c.Heads {
			r.attention = append(r.attention, attentionItem{s, row, count, h, false})
		}
		pos, row, n = pos+count, row+count, n-count
	}
}

// addAlone lists the items of rows that are the only ones of their sequences: all
// query heads of a key-value head form one. Those of a head follow one another,
// because sequences may share pages.
func (r *Runner) addAlone() {
	for h := range r.model.config.KVHeads {
		for _, row := range r.alone {
			r.attention = append(r.attention, attentionItem{r.rows[row].Seq, row, 1, h, true})
		}
	}
}

// attend computes the attention of the chunk's queries.
func (r *Runner) attend() {
	if r.unbalanced() {
		r.attendDivided()
		return
	}
	r.pool.Run(&r.attnJob, len(r.attention))
}

// dividedFrom is the length of a sequence from which on dividing its attention
// among threads takes less time than it costs.
const dividedFrom = 256

// unbalanced reports whether the items, which are those of one token of a long
// sequence, leave threads idle.
func (r *Runner) unbalanced() bool {
	n, threads := len(r.attention), r.pool.Size()
	return len(r.rows) == 1 && r.rows[0].Pos >= dividedFrom && n%threads != 0 && n < 4*threads
}

// attendDivided computes the attention of one token in the steps of
// tensor.Attend, each of which falls into enough items for all threads.
func (r *Runner) attendDivided() {
	d := &r.divided
	it := &r.attention[0]
	q, _ := r.queries(it)
	d.first, d.pages = q.Pages()
	d.pages -= d.first
	d.stride = q.N * q.ScoreStride()
	d.scores = resize(d.scores, len(r.attention)*d.stride)
	d.parts = min(d.pages, 4*r.pool.Size())
	d.step = stepScore
	r.pool.Run(d, len(r.attention)*d.parts)
	d.step, d.parts = stepWeigh, q.N
	r.pool.Run(d, len(r.attention)*d.parts)
	// Fewer dimensions at a time would wait for their chains.
	d.step, d.parts = stepSum, max(1, r.model.config.HeadDim/(2*asm.Rows))
	r.pool.Run(d, len(r.attention)*d.parts)
}

type attentionStep uint8

const (
	stepScore attentionStep = iota // parts are of pages
	stepWeigh                      // a part is a query
	stepSum                        // parts are of dimensions
)

// dividedJob is one step of the attention of one token: parts of each item of
// Runner.attention.
type dividedJob struct {
	r            *Runner
	step         attentionStep
	parts        int
	first, pages int
	scores       []float32 // of each item
	stride       int
}

func (d *dividedJob) Do(worker, item int) {
	r := d.r
	it, part := &r.attention[item/d.parts], item%d.parts
	q, head := r.queries(it)
	scores := d.scores[item/d.parts*d.stride:][:d.stride]
	pages, scratch := it.seq.pages[r.block], &r.attendScratch[worker]
	// cut is where part i of n things begins.
	cut := func(i, n int) int { return i * n / d.parts }
	switch d.step {
	case stepScore:
		q.Score(scratch, scores, pages, head, d.first+cut(part, d.pages), d.first+cut(part+1, d.pages))
	case stepWeigh:
		q.Weigh(scores, part, r.softmax())
	case stepSum:
		panels := (r.model.config.HeadDim + asm.Rows - 1) / asm.Rows
		q.Sum(scratch, scores, pages, head, cut(part, panels), cut(part+1, panels))
	}
}

// queries are those of an item, and the key-value head that they attend to.
func (r *Runner) queries(it *attentionItem) (q tensor.Queries, head int) {
	c := &r.model.config
	group := c.Heads / c.KVHeads
	stride := padded(c.Heads * c.HeadDim)
	q.Len = r.rows[it.row].Pos + 1
	offset, head := it.row*stride, it.head
	if it.grouped {
		offset += it.head * group * c.HeadDim
		q.N, q.QStride, q.OutStride = group, c.HeadDim, c.HeadDim
	} else {
		offset += it.head * c.HeadDim
		head = it.head / group
		q.N, q.Step, q.QStride, q.OutStride = it.rows, 1, stride, stride
	}
	q.Q, q.Out = r.q[offset:], r.heads[offset:]
	if c.Windowed(r.block) {
		q.Window = c.Window
	}
	return q, head
}

func (r *Runner) softmax() tensor.Softmax {
	c := &r.model.config
	return tensor.Softmax{Scale: c.AttentionScale, Cap: c.AttentionCap}
}

type attentionJob struct{ r *Runner }

func (j *attentionJob) Do(worker, item int) {
	r := j.r
	it := &r.attention[item]
	q, head := r.queries(it)
	tensor.Attend(&r.attendScratch[worker], q, it.seq.pages[r.block], head, r.softmax())
}
