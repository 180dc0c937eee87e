package llama

import (
	"context"
	"fmt"
	"math"
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

	embedding   *tensor.Matrix // [vocabulary, width]
	output      *tensor.Matrix // the same matrix where the file ties them
	outputNorm  []float32
	ropeFactors []float32 // nil, or a divisor for each rotary frequency
	blocks      []block

	mu      sync.Mutex
	runners int // open runners: Close refuses while there are any
	closed  bool
}

// block holds the weights of one transformer block.
type block struct {
	attnNorm   []float32
	q, k, v, o *tensor.Matrix
	ffnNorm    []float32
	gate, up   *tensor.Matrix
	down       *tensor.Matrix
}

// Open reads a model from a GGUF file. Its errors name the file and the key or
// tensor; errors.Is(err, ErrUnsupported) tells a file that is sound but not
// for this version.
//
// Float32 weights are repacked into memory of their own; quantised weights are
// read from the mapped file, which must not change until Close.
func Open(path string) (*Model, error) {
	f, err := gguf.Open(path)
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

// maxAngle is the largest rotary angle, in radians: up to it sines and cosines
// are exact enough, and alike everywhere.
const maxAngle = 1e9

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
	if l.has("rope_freqs.weight") {
		m.ropeFactors = l.vector("rope_freqs.weight", c.RopeDim/2)
		for i, f := range m.ropeFactors {
			if angle := float64(c.Context) * c.RopeScale / float64(f); !(f > 0 && angle <= maxAngle) {
				l.fail("rope_freqs.weight", fmt.Errorf("factor %d is %v, not positive or too small for a context of %d", i, f, c.Context))
			}
		}
	}
	query, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	for i := range c.Blocks {
		if l.err != nil {
			return
		}
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", i, s) }
		m.blocks = append(m.blocks, block{
			attnNorm: l.vector(name("attn_norm"), c.Width),
			q:        l.matrix(name("attn_q"), query, c.Width),
			k:        l.matrix(name("attn_k"), kv, c.Width),
			v:        l.matrix(name("attn_v"), kv, c.Width),
			o:        l.matrix(name("attn_output"), c.Width, query),
			ffnNorm:  l.vector(name("ffn_norm"), c.Width),
			gate:     l.matrix(name("ffn_gate"), c.FeedForward, c.Width),
			up:       l.matrix(name("ffn_up"), c.FeedForward, c.Width),
			down:     l.matrix(name("ffn_down"), c.Width, c.FeedForward),
		})
	}
}

// A loader reads tensors from a file and remembers which, and the first error.
type loader struct {
	file  *gguf.File
	arena *tensor.Arena // nil: only check
	used  map[string]bool
	err   error
}

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
		l.fail(name, fmt.Errorf("missing"))
		return nil, nil
	}
	l.used[name] = true
	if t.Dims[0] != cols || t.Rows() != rows {
		l.fail(name, fmt.Errorf("has %d rows of %d elements, want %d rows of %d", t.Rows(), t.Dims[0], rows, cols))
		return nil, nil
	}
	data, err := t.Data()
	if err != nil {
		l.err = err
		return nil, nil
	}
	return t, data
}

func (l *loader) matrix(name string, rows, cols int) *tensor.Matrix {
	t, data := l.tensor(name, rows, cols)
	if l.err != nil || l.arena == nil {
		return nil
	}
	m, err := tensor.NewMatrix(t.Type, rows, cols, data, l.arena)
	if err != nil {
		l.fail(name, err)
		return nil
	}
	if t.Type == tensor.F32 {
		t.Release() // the copy is what will be read
	}
	return m
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
