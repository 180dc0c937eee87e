package llama

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/klauspost/cpuid/v2"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// A Precision says how activations meet quantised weights. It is part of every
// result, and a sequence keeps that of its runner.
type Precision = tensor.Precision

// The precisions; see package tensor.
const (
	Exact = tensor.Exact
	Probe = tensor.Probe
	Fast  = tensor.Fast
)

// ParsePrecision reads a precision's name: exact, probe or fast.
func ParsePrecision(s string) (Precision, error) { return tensor.ParsePrecision(s) }

// A KVType says in which form a runner keeps keys and values. It is part of
// every result, as the precision is.
type KVType = tensor.KVType

// The types of keys and values; see package tensor.
const (
	KVFloat32 = tensor.KVFloat32
	KVFloat16 = tensor.KVFloat16
)

// ParseKVType reads a type's name: f32 or f16.
func ParseKVType(s string) (KVType, error) { return tensor.ParseKVType(s) }

// RunnerOptions are the options of NewRunner. The zero value is good.
type RunnerOptions struct {
	// Threads computes in parallel; 0 means DefaultThreads. It does not
	// change any result.
	Threads int
	// Precision of products with quantised weights; the zero value is Exact.
	Precision Precision
	// KV is the form in which keys and values are kept; the zero value is
	// KVFloat32. With KVFloat16 a pass fails where one of them is beyond the
	// range of float16, ±65504.
	KV KVType
	// BatchTokens bounds how many positions are computed together, and with
	// it the memory for activations; 0 means 512. It does not change any
	// result.
	BatchTokens int
	// Context bounds the length of sequences; 0 means Config.Context. It does
	// not change any result, but that a length beyond Config.Context, up to
	// Config.LongContext, makes a model rotate in the way that is meant for it.
	Context int
}

// DefaultThreads is the number of physical cores that the process may use.
func DefaultThreads() int {
	n := runtime.GOMAXPROCS(0)
	if c := cpuid.CPU.PhysicalCores; c > 0 && c < n {
		n = c
	}
	return n
}

// A Runner owns the threads and buffers of forward passes over one model. It
// must not be used by two goroutines at once; open one for each.
type Runner struct {
	model         *Model
	options       RunnerOptions
	pool          *tensor.Pool
	mul           *tensor.Multiplier
	attendScratch []tensor.AttentionScratch // one per worker

	// Rotations of blocks that see everything and of those with a sliding window.
	rope, localRope *tensor.Rope

	// Buffers of a chunk, row after row; each row is padded to whole panels.
	x        []float32 // the residual stream
	norm     []float32 // its normalised form
	q, k, v  []float32
	heads    []float32 // attention's result before the output projection
	out      []float32 // what is added to the stream
	gate, up []float32
	mixture  mixture

	// The current chunk.
	parts     []part
	rows      []Row
	logitRows []int // indices into rows
	groups    []group
	ops       []rowOp // to be run before the next product
	attention []attentionItem
	alone     []int // rows that are the only ones of their sequences
	tainted   []int // per row: first block that undeclared edits reach
	block     int
	rowJob    rowJob
	opsJob    opsJob
	storeJob  storeJob
	attnJob   attentionJob
	divided   dividedJob
	lost      atomic.Int64 // the first row whose keys or values became infinite
	sets      *editSets
	view      View

	undeclared bool // the current pass has tainted a sequence

	// The feed-forward layer that is being computed and where its output goes.
	layer    *feedForward
	layerOut []float32

	logits      []float32
	newLogits   []float32 // those of the current chunk
	logitsWidth int
	logitSpans  []int // first row of logits of each span, and the end

	freePages  []*tensor.Page
	sparePages []*tensor.Page // never used so far
	pagesMade  int
	closed     bool
}

// NewRunner starts a runner's threads. Close ends them.
func (m *Model) NewRunner(o RunnerOptions) (*Runner, error) {
	if o.Threads < 0 || o.BatchTokens < 0 || o.Context < 0 {
		return nil, fmt.Errorf("llama: negative runner option: %d threads, %d batch tokens, context %d", o.Threads, o.BatchTokens, o.Context)
	}
	if most := max(m.config.Context, m.config.LongContext); o.Context > most {
		return nil, fmt.Errorf("llama: %s: a context of %d: %w of %d", m.file.Path, o.Context, ErrContext, most)
	}
	if !o.Precision.Valid() {
		return nil, fmt.Errorf("llama: %v is %w", o.Precision, ErrUnsupported)
	}
	if !o.KV.Valid() {
		return nil, fmt.Errorf("llama: %v is %w", o.KV, ErrUnsupported)
	}
	if o.Threads == 0 {
		o.Threads = DefaultThreads()
	}
	if o.BatchTokens == 0 {
		o.BatchTokens = 512
	}
	if o.Context == 0 {
		o.Context = m.config.Context
	}
	if err := m.addRunner(); err != nil {
		return nil, err
	}
	r := &Runner{model: m, options: o, pool: tensor.NewPool(o.Threads)}
	r.mul = tensor.NewMultiplier(r.pool, o.Precision)
	r.rope, r.localRope = m.ropes(o.Context)
	r.attendScratch = make([]tensor.AttentionScratch, r.pool.Size())
	r.rowJob.r, r.opsJob.r, r.storeJob.r, r.attnJob.r, r.divided.r = r, r, r, r, r
	r.logitsWidth = m.output.Stride()
	return r, nil
}

// Close ends the runner's threads and waits for them. The runner's sequences
// must not be used afterwards.
func (r *Runner) Close() {
	if !r.closed {
		r.closed = true
		r.pool.Close()
		r.model.dropRunner()
	}
}

// Model is the runner's model.
func (r *Runner) Model() *Model { return r.model }

// Options are the runner's options, with defaults filled in.
func (r *Runner) Options() RunnerOptions { return r.options }

// LogitsWanted says at which tokens of a span logits are computed.
type LogitsWanted uint8

// What a span may want.
const (
	NoLogits LogitsWanted = iota
	LastLogits
	AllLogits
)

// A Span is some tokens to be appended to a sequence.
type Span struct {
	Seq    *Sequence
	Tokens []token.Token
	// Roles says who speaks, for each token; nil means RoleText.
	Roles  []Role
	Logits LogitsWanted
}

// A Pass is one call of Forward.
type Pass struct {
	// Spans are the tokens to compute, of different sequences.
	Spans []Span
	Hooks []*Hook
	// Full makes the pass compute the keys and values of every block, also
	// where neither hooks nor logits need them, so that any later pass can
	// build on its positions.
	Full bool
	// Recompute makes the pass compute a sequence anew from the first
	// position that was computed under other edits or less deep, instead of
	// failing. Hooks see those positions again. Where such a pass fails, the
	// positions that it did not complete are gone.
	Recompute bool
}

// stage is how far into a block a pass goes.
type stage uint8

const (
	stageInput stage = iota // only the block's input is needed
	stageKV                 // keys and values
	stageAttn               // attention
	stageMLP                // everything
	stageHead               // the final norm
)

// extent is where a pass can stop: after a stage of a block.
type extent struct {
	block int
	stage stage
}

// depth is the number of blocks whose keys and values are computed.
func (e extent) depth() int {
	if e.stage == stageInput {
		return e.block
	}
	return e.block + 1
}

// extentOf finds the last thing that a pass needs. Without logits and hooks it
// is the keys and values of the last block.
func (r *Runner) extentOf(p *Pass) (extent, error) {
	last := r.model.config.Blocks - 1
	e := extent{-1, stageInput}
	raise := func(to extent) {
		if to.block > e.block || to.block == e.block && to.stage > e.stage {
			e = to
		}
	}
	stages := map[Point]stage{
		ResidPre: stageInput, AttnOut: stageAttn, ResidMid: stageAttn, MLPOut: stageMLP, ResidPost: stageMLP,
	}
	editors := 0
	for _, h := range p.Hooks {
		if h.Edits != nil {
			editors++
		}
		for _, s := range h.Sites {
			switch {
			case !s.Valid(r.model.config.Blocks):
				return e, fmt.Errorf("llama: hook %s: the model has no site %v: its blocks are 0 to %d", h.Name, s, last)
			case s.Point == FinalNorm:
				raise(extent{last, stageHead})
			default:
				raise(extent{s.Block, stages[s.Point]})
			}
		}
	}
	if editors > maxEditors {
		return e, fmt.Errorf("llama: %d editing hooks in one pass, at most %d are possible", editors, maxEditors)
	}
	for i := range p.Spans {
		if p.Spans[i].Logits != NoLogits {
			raise(extent{last, stageHead})
		}
	}
	if p.Full || e.block < 0 {
		raise(extent{last, stageKV})
	}
	return e, nil
}

// Forward computes the tokens of the pass and appends them to their sequences.
// It goes only as deep as hooks and logits need.
//
// It fails with ErrEdited, ErrShallow or ErrContext where a sequence cannot be
// continued as asked, with the error of a hook, and with the context's error
// where that ends first: then the sequences keep those positions of the pass
// that were complete.
func (r *Runner) Forward(ctx context.Context, p *Pass) error {
	if r.closed {
		return errors.New("llama: the runner is closed")
	}
	e, err := r.extentOf(p)
	if err != nil {
		return err
	}
	if r.sets == nil || !r.sets.key.equal(passKey{p.Hooks, e.depth()}) {
		r.sets = newEditSets(passKey{slices.Clone(p.Hooks), e.depth()})
	}
	if err := r.check(p); err != nil {
		return err
	}
	spans := p.Spans
	if p.Recompute {
		if spans, err = r.rewind(p.Spans); err != nil {
			return err
		}
	} else {
		for i := range spans {
			if _, err := spans[i].Seq.mismatch(r.sets); err != nil {
				return fmt.Errorf("llama: span %d: %w", i, err)
			}
		}
	}

	r.logitSpans = r.logitSpans[:0]
	total := 0
	for i := range spans {
		r.logitSpans = append(r.logitSpans, total)
		switch spans[i].Logits {
		case LastLogits:
			total += min(1, len(spans[i].Tokens))
		case AllLogits:
			total += len(spans[i].Tokens)
		}
		// Until the pass has ended well, its positions are to be looked at.
		spans[i].Seq.checked = passKey{}
	}
	r.logitSpans = append(r.logitSpans, total)
	r.logits = resize(r.logits, total*r.logitsWidth)

	done := 0
	r.undeclared = false
	for next := (cursor{spans: spans}); ; {
		r.parts = next.take(r.parts[:0], r.options.BatchTokens)
		if len(r.parts) == 0 {
			break
		}
		n, err := r.chunk(ctx, r.parts, p, e, done)
		if err != nil {
			return err
		}
		done += n
	}
	if !r.undeclared {
		for i := range spans {
			spans[i].Seq.checked = r.sets.key
		}
	}
	return nil
}

// part is a piece of the span with the given index.
type part struct {
	Span
	index int
}

// A cursor cuts spans into chunks.
type cursor struct {
	spans []Span
	span  int // the next span, and the tokens of it already taken
	taken int
}

// take appends to parts the next pieces, of at most limit tokens in all.
func (c *cursor) take(parts []part, limit int) []part {
	for limit > 0 && c.span < len(c.spans) {
		s := c.spans[c.span]
		n := min(len(s.Tokens)-c.taken, limit)
		rest := c.taken + n
		p := part{s, c.span}
		p.Tokens = s.Tokens[c.taken:rest]
		if s.Roles != nil {
			p.Roles = s.Roles[c.taken:rest]
		}
		if rest < len(s.Tokens) && s.Logits == LastLogits {
			p.Logits = NoLogits
		}
		parts = append(parts, p)
		limit -= n
		c.taken = rest
		if rest == len(s.Tokens) {
			c.span, c.taken = c.span+1, 0
		}
	}
	return parts
}

// Logits are the logits of span i of the last pass: one row, as long as the
// vocabulary, for LastLogits, and one for each token for AllLogits, of which
// Logits gives the first; see LogitsAt. They are valid until the next pass.
func (r *Runner) Logits(span int) []float32 { return r.LogitsAt(span, 0) }

// LogitsAt is row i of the logits of a span.
func (r *Runner) LogitsAt(span, i int) []float32 {
	row := r.logitSpans[span] + i
	if row >= r.logitSpans[span+1] {
		panic(fmt.Sprintf("llama: span %d has no logits at %d", span, i))
	}
	n := r.model.config.Vocabulary
	return r.logits[row*r.logitsWidth:][:n:n]
}

// check looks at a pass's spans before anything is computed.
func (r *Runner) check(p *Pass) error {
	for i := range p.Spans {
		s := &p.Spans[i]
		if s.Seq == nil || s.Seq.runner != r {
			return fmt.Errorf("llama: span %d: the sequence belongs to another runner", i)
		}
		for j := range i {
			if p.Spans[j].Seq == s.Seq {
				return fmt.Errorf("llama: spans %d and %d are of the same sequence", j, i)
			}
		}
		if s.Roles != nil && len(s.Roles) != len(s.Tokens) {
			return fmt.Errorf("llama: span %d: %d roles for %d tokens", i, len(s.Roles), len(s.Tokens))
		}
		for _, t := range s.Tokens {
			if t.ID < 0 || int(t.ID) >= r.model.config.Vocabulary {
				return fmt.Errorf("llama: span %d: token %d is outside the vocabulary of %d", i, t.ID, r.model.config.Vocabulary)
			}
		}
		if n := s.Seq.Len() + len(s.Tokens); n > r.options.Context {
			return fmt.Errorf("llama: span %d: %d positions: %w of %d", i, n, ErrContext, r.options.Context)
		}
	}
	return nil
}

// rewind truncates sequences to where they can be continued, and puts the
// tokens that must be computed again before the new ones.
func (r *Runner) rewind(spans []Span) ([]Span, error) {
	for i := range spans {
		if _, err := spans[i].Seq.mismatch(r.sets); err != nil && spans[i].Logits == AllLogits {
			return nil, errors.New("llama: logits at all tokens cannot be had from a pass that recomputes")
		}
	}
	spans = slices.Clone(spans)
	for i := range spans {
		s := &spans[i]
		from, err := s.Seq.mismatch(r.sets)
		if err == nil {
			continue
		}
		var tokens []token.Token
		var roles []Role
		for _, p := range s.Seq.rows[from:] {
			tokens = append(tokens, p.token)
			roles = append(roles, p.role)
		}
		if s.Roles == nil {
			s.Roles = make([]Role, len(s.Tokens))
		}
		s.Seq.Truncate(from)
		s.Roles = append(roles, s.Roles...)
		s.Tokens = append(tokens, s.Tokens...)
	}
	return spans, nil
}

// resize gives a slice of n float32, reusing buf where it is large enough.
func resize(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return tensor.MakeBuffer[float32](n)
	}
	return buf[:n]
}

func (r *Runner) newPage() *tensor.Page {
	if n := len(r.freePages); n > 0 {
		p := r.freePages[n-1]
		r.freePages = r.freePages[:n-1]
		p.Refs = 1
		return p
	}
	if len(r.sparePages) == 0 {
		// As many as there are, so that long texts come to have large pieces.
		c := &r.model.config
		shape := tensor.PageShape{Heads: c.KVHeads, Dim: c.HeadDim, Type: r.options.KV}
		r.sparePages = tensor.NewPages(shape, max(1, min(r.pagesMade, maxPagesBytes/shape.Bytes())))
		r.pagesMade += len(r.sparePages)
	}
	last := len(r.sparePages) - 1
	p := r.sparePages[last]
	r.sparePages = r.sparePages[:last]
	p.Refs = 1
	return p
}

// maxPagesBytes is how much memory is allocated for keys and values at a time, at most.
const maxPagesBytes = 32 << 20

func (r *Runner) release(p *tensor.Page) {
	p.Refs--
	if p.Refs == 0 {
		r.freePages = append(r.freePages, p)
	}
}

// padded is the distance of rows of width n, as products write them.
func padded(n int) int { return tensor.Stride(n) }

// firstNonFinite is the first of n rows that holds a NaN or an infinity, or -1.
func firstNonFinite(xs []float32, stride, width, n int) int {
	for i := range n {
		if !asm.Finite(xs[i*stride:][:width]) {
			return i
		}
	}
	return -1
}
