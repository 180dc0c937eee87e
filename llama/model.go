package llama

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// A Model is a language model: its shape, tokenizer and weights, none of which
// change. It may be used by many goroutines at once.
type Model struct {
	config    Config
	file      *gguf.File
	tokenizer *token.Tokenizer
	arena     tensor.Arena

	embedding  *tensor.Matrix // [vocabulary, width]
	output     *tensor.Matrix // the same matrix where the file ties them
	outputNorm []float32
	blocks     []block

	// Divisors of the rotary frequencies; nil where there are none. The long
	// ones are for contexts beyond Config.Context.
	ropeFactors, longFactors []float32

	mu      sync.Mutex
	runners int // open runners: Close refuses while there are any
	closed  bool
}

// block holds the weights of one transformer block. What an architecture does
// not have is nil.
type block struct {
	attnNorm     []float32
	q, k, v, o   linear
	qNorm, kNorm []float32 // as wide as what is normalised together
	postAttnNorm []float32

	ffnNorm     []float32
	ffn         feedForward
	router      *tensor.Matrix // [experts, width], float32 whatever the file has
	experts     []feedForward
	postFFNNorm []float32
}

// linear is a matrix and what is added to its product.
type linear struct {
	w    *tensor.Matrix
	bias []float32
}

// feedForward is a gated feed-forward layer.
type feedForward struct{ gate, up, down linear }

// Open reads a model from a GGUF file, or from a folder in the format of Hugging
// Face (see OpenFile). Its errors name the file and the key or tensor;
// errors.Is(err, ErrUnsupported) tells a file that is sound but not for this
// version.
//
// Float32 weights are repacked into memory of their own; quantised weights are
// read from the mapped file, which must not change until Close.
func Open(path string) (*Model, error) {
	f, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	m, err := New(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// New makes a model of an open GGUF file, which belongs to the model from then
// on, unless New fails.
func New(f *gguf.File) (*Model, error) {
	m := &Model{file: f}
	if err := m.read(&m.arena); err != nil {
		m.arena.Close()
		return nil, err
	}
	return m, nil
}

// Check reports what New would fail with, except for a lack of memory, without
// loading the weights.
func Check(f *gguf.File) error {
	m := &Model{file: f}
	return m.read(nil)
}

// read fills the model from its file. Without an arena it only checks that it
// could.
func (m *Model) read(arena *tensor.Arena) error {
	f := m.file
	var err error
	if m.config, err = ConfigOf(f); err != nil {
		return err
	}
	if m.tokenizer, err = token.FromGGUF(f); err != nil {
		return err
	}
	l := loader{file: f, arena: arena, used: map[string]bool{}}
	m.load(&l)
	if l.err == nil {
		l.checkAllUsed()
	}
	if l.err != nil {
		return l.err
	}
	if n := m.tokenizer.Size(); n > m.config.Vocabulary {
		return fmt.Errorf("llama: %s: the tokenizer has %d tokens, the embedding %d rows", f.Path, n, m.config.Vocabulary)
	}
	return nil
}

// load reads all tensors; the first error stays in the loader.
func (m *Model) load(l *loader) {
	c := &m.config
	if t, ok := l.file.Tensor("token_embd.weight"); ok {
		c.Vocabulary = t.Rows()
	}
	m.embedding = l.matrix("token_embd.weight", c.Vocabulary, c.Width)
	m.output = m.embedding
	if l.has("output.weight") {
		m.output = l.matrix("output.weight", c.Vocabulary, c.Width)
	}
	m.outputNorm = l.vector("output_norm.weight", c.Width)
	if c.longrope {
		m.ropeFactors = l.ropeFactors(shortFactors, c, c.Context)
		m.longFactors = l.ropeFactors(longFactors, c, c.LongContext)
	} else if l.has("rope_freqs.weight") {
		m.ropeFactors = l.ropeFactors("rope_freqs.weight", c, c.Context)
	}
	for i := range c.Blocks {
		if l.err != nil {
			return
		}
		m.blocks = append(m.blocks, l.block(c, fmt.Sprintf("blk.%d.", i)))
	}
}

// ropes makes the rotations for sequences up to a length, of blocks without and
// with a sliding window.
func (m *Model) ropes(context int) (global, local *tensor.Rope) {
	c := &m.config
	factors := m.ropeFactors
	if context > c.Context {
		factors = m.longFactors
	}
	of := func(rc RopeConfig, factors []float32) *tensor.Rope {
		return tensor.NewRope(tensor.RopeOptions{
			Dim: c.RopeDim, Halves: c.arch.halves, Base: rc.Base, Scale: rc.Scale, Factors: factors, Magnitude: rc.Magnitude, Yarn: rc.Yarn,
		})
	}
	global = of(c.Rope, factors)
	switch {
	case c.arch.localPlain:
		return global, of(c.LocalRope, nil)
	case c.LocalRope != c.Rope:
		return global, of(c.LocalRope, factors)
	}
	return global, global
}

// A loader reads tensors from a file and remembers which, and the first error.
type loader struct {
	file  *gguf.File
	arena *tensor.Arena // nil: only check
	used  map[string]bool
	err   error
}

var errMissing = errors.New("missing")

func (l *loader) fail(name string, err error) {
	if l.err == nil {
		l.err = fmt.Errorf("llama: %s: tensor %q: %w", l.file.Path, name, err)
	}
}

func (l *loader) has(name string) bool {
	_, ok := l.file.Tensor(name)
	return ok
}

// tensor finds a tensor of the given rows and columns.
func (l *loader) tensor(name string, rows, cols int) (*gguf.Tensor, []byte) {
	if l.err != nil {
		return nil, nil
	}
	t, ok := l.file.Tensor(name)
	if !ok {
		l.fail(name, errMissing)
		return nil, nil
	}
	l.used[name] = true
	if t.Dims[0] != cols || t.Rows() != rows {
		l.fail(name, fmt.Errorf("has %d rows of %d elements, want %d rows of %d", t.Rows(), t.Dims[0], rows, cols))
		return nil, nil
	}
	// Tensors of a folder may have to be converted, which a mere check spares
	// itself but for vectors.
	read := rows
	if l.arena == nil && rows > 1 {
		read = 0
	}
	data, err := t.ReadRows(0, read)
	if err != nil {
		l.err = err
		return nil, nil
	}
	return t, data
}

func (l *loader) matrix(name string, rows, cols int) *tensor.Matrix {
	return l.matrices(name, cols, rows)[0]
}

// matrices reads a tensor that holds matrices one below the other, of so many
// rows each. Without an arena they are nil.
func (l *loader) matrices(name string, cols int, rows ...int) []*tensor.Matrix {
	total := 0
	for _, n := range rows {
		total += n
	}
	ms := make([]*tensor.Matrix, len(rows))
	t, data := l.tensor(name, total, cols)
	if l.err != nil || l.arena == nil {
		return ms
	}
	rowBytes := len(data) / total
	for i, n := range rows {
		var err error
		if ms[i], err = tensor.NewMatrix(t.Type, n, cols, data[:n*rowBytes], l.arena); err != nil {
			l.fail(name, err)
			return ms
		}
		data = data[n*rowBytes:]
	}
	if t.Type == tensor.F32 {
		t.Release() // the copy is what will be read
	}
	return ms
}

// linears reads matrices that a tensor holds one below the other, with their
// biases, if the file has any.
func (l *loader) linears(name string, cols int, rows ...int) []linear {
	ls := make([]linear, len(rows))
	total := 0
	for i, w := range l.matrices(name+".weight", cols, rows...) {
		ls[i].w = w
		total += rows[i]
	}
	if l.err != nil || !l.has(name+".bias") {
		return ls
	}
	bias := l.vector(name+".bias", total)
	if l.err != nil {
		return ls
	}
	for i, n := range rows {
		ls[i].bias, bias = bias[:n:n], bias[n:]
	}
	return ls
}

// block reads the tensors of a block, whose names begin with prefix.
func (l *loader) block(c *Config, prefix string) (b block) {
	query, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	one := func(name string, rows, cols int) linear { return l.linears(prefix+name, cols, rows)[0] }
	weights := func(name string, n int) []float32 { return l.vector(prefix+name+".weight", n) }

	if !c.arch.noPreNorm {
		b.attnNorm = weights("attn_norm", c.Width)
		b.ffnNorm = weights("ffn_norm", c.Width)
	}
	if c.arch.postNorm {
		b.postAttnNorm = weights("post_attention_norm", c.Width)
		b.postFFNNorm = weights("post_ffw_norm", c.Width)
	}
	if l.has(prefix + "attn_qkv.weight") {
		qkv := l.linears(prefix+"attn_qkv", c.Width, query, kv, kv)
		b.q, b.k, b.v = qkv[0], qkv[1], qkv[2]
	} else {
		b.q = one("attn_q", query, c.Width)
		b.k = one("attn_k", kv, c.Width)
		b.v = one("attn_v", kv, c.Width)
	}
	if c.arch.qkvBias {
		for i, x := range []linear{b.q, b.k, b.v} {
			if x.bias == nil {
				l.fail(prefix+[]string{"attn_q", "attn_k", "attn_v"}[i]+".bias", errMissing)
			}
		}
	}
	switch c.arch.qkNorm {
	case headNorm:
		b.qNorm, b.kNorm = weights("attn_q_norm", c.HeadDim), weights("attn_k_norm", c.HeadDim)
	case rowNorm:
		b.qNorm, b.kNorm = weights("attn_q_norm", query), weights("attn_k_norm", kv)
	}
	b.o = one("attn_output", c.Width, query)

	if c.Experts > 0 {
		b.router = l.float32Matrix(prefix+"ffn_gate_inp.weight", c.Experts, c.Width)
		b.experts = l.experts(c, prefix)
		return b
	}
	if up, ok := l.file.Tensor(prefix + "ffn_up.weight"); ok && up.Rows() == 2*c.FeedForward && !l.has(prefix+"ffn_gate.weight") {
		both := l.linears(prefix+"ffn_up", c.Width, c.FeedForward, c.FeedForward)
		b.ffn.gate, b.ffn.up = both[0], both[1]
	} else {
		b.ffn.gate = one("ffn_gate", c.FeedForward, c.Width)
		b.ffn.up = one("ffn_up", c.FeedForward, c.Width)
	}
	b.ffn.down = one("ffn_down", c.Width, c.FeedForward)
	return b
}

// experts reads the feed-forward layers of a mixture, which lie one behind the
// other in tensors of three dimensions, or in tensors of their own, as in files of
// Mixtral from before April 2024.
func (l *loader) experts(c *Config, prefix string) []feedForward {
	all := make([]feedForward, c.Experts)
	read := func(name string, rows, cols int, set func(f *feedForward, x linear)) {
		name = prefix + name
		if !l.has(name+"_exps.weight") && l.has(name+".0.weight") {
			for i := range all {
				set(&all[i], l.linears(fmt.Sprintf("%s.%d", name, i), cols, rows)[0])
			}
			return
		}
		name += "_exps"
		if t, ok := l.file.Tensor(name + ".weight"); ok && (len(t.Dims) != 3 || t.Dims[2] != c.Experts) {
			l.fail(name+".weight", fmt.Errorf("has dimensions %v, want %d by %d for each of %d experts", t.Dims, cols, rows, c.Experts))
			return
		}
		for i, x := range l.linears(name, cols, slices.Repeat([]int{rows}, c.Experts)...) {
			set(&all[i], x)
		}
	}
	read("ffn_gate", c.FeedForward, c.Width, func(f *feedForward, x linear) { f.gate = x })
	read("ffn_up", c.FeedForward, c.Width, func(f *feedForward, x linear) { f.up = x })
	read("ffn_down", c.Width, c.FeedForward, func(f *feedForward, x linear) { f.down = x })
	return all
}

// float32Matrix reads a matrix that is to be multiplied in float32 whatever the
// precision of a runner: it is dequantised once and for all.
func (l *loader) float32Matrix(name string, rows, cols int) *tensor.Matrix {
	t, data := l.tensor(name, rows, cols)
	if l.err != nil || l.arena == nil {
		return nil
	}
	if t.Type != tensor.F32 {
		x := make([]float32, rows*cols)
		if err := tensor.Dequantize(x, t.Type, data); err != nil {
			l.fail(name, err)
			return nil
		}
		data = make([]byte, 0, 4*len(x))
		for _, v := range x {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	m, err := tensor.NewMatrix(tensor.F32, rows, cols, data, l.arena)
	if err != nil {
		l.fail(name, err)
	}
	return m
}

// ropeFactors reads divisors of the rotary frequencies, for positions below
// context.
func (l *loader) ropeFactors(name string, c *Config, context int) []float32 {
	fs := l.vector(name, c.RopeDim/2)
	for i, f := range fs {
		if angle := float64(context) * c.maxFrequency() / float64(f); !(f > 0 && angle <= maxAngle) {
			l.fail(name, fmt.Errorf("factor %d is %v, not positive or too small for a context of %d", i, f, context))
		}
	}
	return fs
}

func (l *loader) vector(name string, n int) []float32 {
	t, data := l.tensor(name, 1, n)
	if l.err != nil {
		return nil
	}
	v := make([]float32, n)
	if err := tensor.Dequantize(v, t.Type, data); err != nil {
		l.fail(name, err)
	}
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			l.fail(name, fmt.Errorf("element %d is %v", i, x))
			break
		}
	}
	return v
}

// checkAllUsed refuses a file with tensors that the forward pass does not
// know: leaving a bias or a norm out would give plausible, wrong activations.
func (l *loader) checkAllUsed() {
	for _, t := range l.file.Tensors() {
		if !l.used[t.Name] {
			l.fail(t.Name, fmt.Errorf("a tensor that this architecture does not use: running without it is %w", ErrUnsupported))
			return
		}
	}
}

// Config is the model's shape.
func (m *Model) Config() Config { return m.config }

// Tokenizer is the model's own tokenizer.
func (m *Model) Tokenizer() *token.Tokenizer { return m.tokenizer }

// File is the file that the model was read from.
func (m *Model) File() *gguf.File { return m.file }

// SHA256 is the hash of the model's file in hexadecimal. It is computed at
// the first call, which ctx may cancel, and kept.
func (m *Model) SHA256(ctx context.Context) (string, error) { return m.file.SHA256(ctx) }

// Quantisation names the storage format that holds most of the model's weights,
// such as "Q4_K".
func (m *Model) Quantisation() string {
	elements := map[tensor.Type]int{}
	for _, t := range m.file.Tensors() {
		elements[t.Type] += t.Elements()
	}
	var most tensor.Type
	for t, n := range elements {
		if best := elements[most]; n > best || n == best && t < most {
			most = t
		}
	}
	return most.String()
}

// addRunner counts a runner in, unless the model is closed.
func (m *Model) addRunner() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("llama: %s: the model is closed", m.file.Path)
	}
	m.runners++
	return nil
}

func (m *Model) dropRunner() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runners--
}

// Close releases the model's memory. It fails, and releases nothing, while
// runners are open: they read that memory.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runners > 0 {
		return fmt.Errorf("llama: %s: cannot be closed before its %d runners", m.file.Path, m.runners)
	}
	m.closed = true
	err := m.arena.Close()
	if e := m.file.Close(); err == nil {
		err = e
	}
	return err
}
