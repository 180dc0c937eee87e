package llama

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// A spec is the shape of a random model. Models are made in memory from the
// spec alone, with integers and powers of two only, so that they are the same
// bytes on every machine.
type spec struct {
	typ              tensor.Type
	blocks           int
	width, ff        int
	heads, kvHeads   int
	headDim, ropeDim int
	vocab            int
	context          int
	separateOutput   bool
	ropeFactors      bool
	ropeScaling      float32 // linear; 0 means none

	// What architectures other than Llama's have; see traits.
	arch          string // "" is llama
	window        int
	experts, used int
	biases        bool    // of all matrices
	fused         bool    // one tensor for queries, keys and values, and one for gate and up
	yarn          float32 // a scaling; the first context is 16
	longrope      int     // the first context, with short and long factors; 0 means none
}

func (s spec) architecture() string {
	if s.arch == "" {
		return "llama"
	}
	return s.arch
}

// traits say how the models of an architecture differ: the table of
// architectures once more, in the words of their publications.
type traits struct {
	halves               bool // rotation by halves
	preNorm, postNorm    bool
	headNorm, rowNorm    bool // of queries and keys
	bias                 bool // of queries, keys and values
	gelu                 bool
	embedding            bool // times √width
	scales               bool // Granite's multipliers
	attentionCap, capEnd float64
	global               func(block int) bool // sees everything, where there is a window
	rotates              func(block int) bool
	localBase            float64
	localPlain           bool
}

func (s spec) traits() traits {
	always, never := func(int) bool { return true }, func(int) bool { return false }
	each := func(n int) func(int) bool { return func(b int) bool { return b%n == n-1 } }
	t := traits{preNorm: true, rotates: always, global: never, localBase: 10000}
	switch s.architecture() {
	case "qwen2":
		t.halves, t.bias = true, true
	case "qwen3", "qwen3moe":
		t.halves, t.headNorm = true, true
	case "gemma2":
		t.halves, t.postNorm, t.gelu, t.embedding = true, true, true, true
		t.attentionCap, t.capEnd, t.global = 50, 30, each(2)
	case "gemma3":
		t.halves, t.postNorm, t.gelu, t.embedding, t.headNorm = true, true, true, true, true
		t.global, t.localPlain = each(6), true
	case "phi3":
		t.halves = true
	case "smollm3":
		t.rotates = func(b int) bool { return b%4 != 3 }
	case "granite":
		t.scales = true
	case "olmo2":
		t.halves, t.preNorm, t.postNorm, t.rowNorm = true, false, true, true
		t.global, t.localPlain = each(4), true
	}
	return t
}

// small is a spec that fits no multiple of 16 anywhere.
var small = spec{
	typ: tensor.F32, blocks: 3, width: 40, ff: 52, heads: 4, kvHeads: 2, headDim: 10, ropeDim: 10,
	vocab: 277, context: 512,
}

// of gives the spec with another storage format, widened to its blocks.
func (s spec) of(typ tensor.Type) spec {
	s.typ = typ
	switch typ.Block() {
	case 32:
		s.width, s.ff, s.headDim, s.ropeDim = 64, 96, 16, 12
	case 256:
		s.blocks, s.width, s.ff, s.heads, s.headDim, s.ropeDim = 2, 256, 256, 8, 32, 32
	}
	return s
}

// modelFile is a GGUF file before it is encoded, for tests to damage.
type modelFile struct {
	meta    map[string]gguf.Value
	tensors map[string]gguf.TensorData
}

func (s spec) file() *modelFile {
	t, arch := s.traits(), s.architecture()
	f := &modelFile{meta: map[string]gguf.Value{
		"general.architecture": gguf.Scalar(arch),
		"general.name":         gguf.Scalar("random"),
	}, tensors: map[string]gguf.TensorData{}}
	number := func(key string, n int) { f.meta[arch+"."+key] = gguf.Scalar(uint32(n)) }
	float := func(key string, x float32) { f.meta[arch+"."+key] = gguf.Scalar(x) }
	number("block_count", s.blocks)
	number("embedding_length", s.width)
	number("feed_forward_length", s.ff)
	number("attention.head_count", s.heads)
	number("attention.head_count_kv", s.kvHeads)
	number("attention.key_length", s.headDim)
	number("attention.value_length", s.headDim)
	number("rope.dimension_count", s.ropeDim)
	number("context_length", s.context)
	float("attention.layer_norm_rms_epsilon", 1e-5)
	if s.ropeScaling != 0 {
		f.meta[arch+".rope.scaling.type"] = gguf.Scalar("linear")
		float("rope.scaling.factor", s.ropeScaling)
	}
	if s.yarn != 0 {
		f.meta[arch+".rope.scaling.type"] = gguf.Scalar("yarn")
		float("rope.scaling.factor", s.yarn)
		number("rope.scaling.original_context_length", 16)
	}
	if s.longrope != 0 {
		number("rope.scaling.original_context_length", s.longrope)
	}
	if s.window != 0 {
		number("attention.sliding_window", s.window)
	}
	if s.experts != 0 {
		number("expert_count", s.experts)
		number("expert_used_count", s.used)
	}
	if t.scales {
		float("embedding_scale", 12)
		float("residual_scale", 0.22)
		float("attention.scale", 0.25)
		float("logit_scale", 8)
	}
	f.setTokenizer(s.vocab)

	r := rand.New(rand.NewPCG(uint64(s.width), uint64(s.typ)))
	bias := func(name string, n int) {
		x := make([]float32, n)
		for i := range x {
			x[i] = uniform(r) / 4
		}
		f.setVector(name+".bias", x)
	}
	matrix := func(name string, rows, cols int) {
		f.tensors[name+".weight"] = gguf.TensorData{Name: name + ".weight", Type: s.typ, Dims: []int{cols, rows}, Data: randomData(r, s.typ, rows, cols)}
		if s.biases && strings.HasPrefix(name, "blk") {
			bias(name, rows)
		}
	}
	vector := func(name string, n int) {
		x := make([]float32, n)
		for i := range x {
			x[i] = 1 + uniform(r)/4
		}
		f.setVector(name+".weight", x)
	}
	matrix("token_embd", s.vocab, s.width)
	if s.separateOutput {
		matrix("output", s.vocab, s.width)
	}
	if s.ropeFactors {
		vector("rope_freqs", s.ropeDim/2)
	}
	if s.longrope != 0 {
		vector("rope_factors_short", s.ropeDim/2)
		vector("rope_factors_long", s.ropeDim/2)
	}
	vector("output_norm", s.width)
	query, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	for b := range s.blocks {
		name := func(n string) string { return fmt.Sprintf("blk.%d.%s", b, n) }
		if t.preNorm {
			vector(name("attn_norm"), s.width)
		}
		if s.fused {
			matrix(name("attn_qkv"), query+2*kv, s.width)
		} else {
			matrix(name("attn_q"), query, s.width)
			matrix(name("attn_k"), kv, s.width)
			matrix(name("attn_v"), kv, s.width)
		}
		if t.bias && !s.biases {
			bias(name("attn_q"), query)
			bias(name("attn_k"), kv)
			bias(name("attn_v"), kv)
		}
		matrix(name("attn_output"), s.width, query)
		switch {
		case t.headNorm:
			vector(name("attn_q_norm"), s.headDim)
			vector(name("attn_k_norm"), s.headDim)
		case t.rowNorm:
			vector(name("attn_q_norm"), query)
			vector(name("attn_k_norm"), kv)
		}
		if t.postNorm {
			vector(name("post_attention_norm"), s.width)
			vector(name("post_ffw_norm"), s.width)
		}
		if t.preNorm {
			vector(name("ffn_norm"), s.width)
		}
		if s.experts > 0 {
			data := gguf.TensorData{Name: name("ffn_gate_inp.weight"), Type: tensor.F32, Dims: []int{s.width, s.experts}}
			data.Data = randomData(r, tensor.F32, s.experts, s.width)
			f.tensors[data.Name] = data
			stack := func(what string, rows, cols int) {
				data := gguf.TensorData{Name: name(what + ".weight"), Type: s.typ, Dims: []int{cols, rows, s.experts}}
				data.Data = randomData(r, s.typ, rows*s.experts, cols)
				f.tensors[data.Name] = data
			}
			stack("ffn_gate_exps", s.ff, s.width)
			stack("ffn_up_exps", s.ff, s.width)
			stack("ffn_down_exps", s.width, s.ff)
			continue
		}
		if s.fused {
			matrix(name("ffn_up"), 2*s.ff, s.width)
		} else {
			matrix(name("ffn_gate"), s.ff, s.width)
			matrix(name("ffn_up"), s.ff, s.width)
		}
		matrix(name("ffn_down"), s.width, s.ff)
	}
	return f
}

// setTokenizer gives the file n tokens, if n allows with every byte among them.
func (f *modelFile) setTokenizer(n int) {
	tokens := []string{"<unk>", "<s>", "</s>"}
	types := []int32{token.TypeUnknown, token.TypeControl, token.TypeControl}
	for b := range 256 {
		tokens = append(tokens, fmt.Sprintf("<0x%02X>", b))
		types = append(types, token.TypeByte)
	}
	for i := len(tokens); i < n; i++ {
		tokens = append(tokens, fmt.Sprintf("▁%c", 'a'+i-259))
		types = append(types, token.TypeNormal)
	}
	tokens, types = tokens[:n], types[:n]
	f.meta["tokenizer.ggml.model"] = gguf.Scalar("llama")
	f.meta["tokenizer.ggml.tokens"] = gguf.Array(tokens)
	f.meta["tokenizer.ggml.token_type"] = gguf.Array(types)
	f.meta["tokenizer.ggml.scores"] = gguf.Array(make([]float32, n))
}

func (f *modelFile) setVector(name string, x []float32) {
	f.tensors[name] = gguf.TensorData{Name: name, Type: tensor.F32, Dims: []int{len(x)}, Data: bytesOf(x)}
}

func (f *modelFile) encode(t testing.TB) []byte {
	t.Helper()
	var kvs []gguf.KV
	for _, k := range slices.Sorted(maps.Keys(f.meta)) {
		kvs = append(kvs, gguf.KV{Key: k, Value: f.meta[k]})
	}
	var ts []gguf.TensorData
	for _, k := range slices.Sorted(maps.Keys(f.tensors)) {
		ts = append(ts, f.tensors[k])
	}
	var buf bytes.Buffer
	require.NoError(t, gguf.Encode(&buf, kvs, ts, gguf.EncodeOptions{}))
	return buf.Bytes()
}

// load makes the model of the file. Check must say what New says.
func (f *modelFile) load(t testing.TB) (*Model, error) {
	t.Helper()
	g, err := gguf.Parse(f.encode(t), "random.gguf")
	require.NoError(t, err)
	checked := Check(g)
	m, err := New(g)
	require.Equal(t, err, checked)
	return m, err
}

// model makes the spec's model, which is closed at the end of the test.
func (s spec) model(t testing.TB) *Model {
	t.Helper()
	m, err := s.file().load(t)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// open opens a model's file, and closes it at the end of the test.
func open(t testing.TB, path string) *Model {
	t.Helper()
	m, err := Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// runner makes a runner that is closed at the end of the test.
func runner(t testing.TB, m *Model, o RunnerOptions) *Runner {
	t.Helper()
	r, err := m.NewRunner(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// uniform is a multiple of 2^-23 in [-1, 1).
func uniform(r *rand.Rand) float32 { return float32(int32(r.Uint32()>>8)-1<<23) / (1 << 23) }

// randomData fills a matrix in any storage format with weights of about the
// size 1/√cols. Blocks have random bytes and fixed scales.
func randomData(r *rand.Rand, typ tensor.Type, rows, cols int) []byte {
	half := max(bits.Len(uint(cols))/2-1, 0) // weights are about 2^-half
	size, err := typ.RowBytes(cols)
	if err != nil {
		panic(err)
	}
	data := make([]byte, rows*size)
	le := binary.LittleEndian
	switch typ {
	case tensor.F32:
		for i := 0; i < len(data); i += 4 {
			le.PutUint32(data[i:], math.Float32bits(uniform(r)/float32(int(1)<<half)))
		}
		return data
	case tensor.F16, tensor.BF16:
		// A sign, one of four exponents, any mantissa.
		bias, mantissa := uint16(15), uint16(10)
		if typ == tensor.BF16 {
			bias, mantissa = 127, 7
		}
		for i := 0; i < len(data); i += 2 {
			v := uint16(r.Uint32())
			exponent := bias - uint16(half) - 1 - v>>10&3
			le.PutUint16(data[i:], v&0x8000|exponent<<mantissa|v&(1<<mantissa-1))
		}
		return data
	}
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	l := blockScales[typ]
	block := size / (cols / typ.Block())
	for i := 0; i < len(data); i += block {
		le.PutUint16(data[i+l.d:], powerOfTwo(l.exponent-half))
		if l.m > 0 {
			le.PutUint16(data[i+l.m:], l.offset|powerOfTwo(l.exponent-half+l.mShift))
		}
	}
	return data
}

// blockScales says where the block formats keep their float16 scale d, which
// power of two makes a block's values about 1, and where the offset or its
// scale is, with the power of two times d that centres the values.
var blockScales = map[tensor.Type]struct {
	d, exponent int
	m, mShift   int
	offset      uint16 // the sign bit where the offset is added
}{
	tensor.Q8_0:  {d: 0, exponent: -6},
	tensor.Q4_0:  {d: 0, exponent: -2},
	tensor.Q4_1:  {d: 0, exponent: -2, m: 2, mShift: 3, offset: 0x8000},
	tensor.Q5_0:  {d: 0, exponent: -3},
	tensor.Q5_1:  {d: 0, exponent: -3, m: 2, mShift: 4, offset: 0x8000},
	tensor.Q2_K:  {d: 80, exponent: -4, m: 82, mShift: 1},
	tensor.Q3_K:  {d: 108, exponent: -6},
	tensor.Q4_K:  {d: 0, exponent: -8, m: 2, mShift: 3},
	tensor.Q5_K:  {d: 0, exponent: -9, m: 2, mShift: 4},
	tensor.Q6_K:  {d: 208, exponent: -10},
	tensor.IQ4NL: {d: 0, exponent: -6},
	tensor.IQ4XS: {d: 0, exponent: -10},
}

// powerOfTwo is 2^e as a float16, for e from -24 to 15.
func powerOfTwo(e int) uint16 {
	if e < -14 {
		return 1 << (e + 24)
	}
	return uint16(e+15) << 10
}

func bytesOf(x []float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// ids makes tokens that stand at made-up offsets of three bytes each.
func ids(list ...int32) []token.Token {
	var ts []token.Token
	for i, id := range list {
		ts = append(ts, token.Token{ID: id, Start: 3 * i, End: 3*i + 3})
	}
	return ts
}

// text makes n tokens that repeat nowhere soon; texts of other seeds differ.
func text(m *Model, n, seed int) []token.Token {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32((7*i*i + 31*i + 101*seed + 5) % m.config.Vocabulary)
	}
	return ids(list...)
}

// allBlocks lists a point of every block.
func allBlocks(m *Model, p Point) []Site {
	var sites []Site
	for b := range m.config.Blocks {
		sites = append(sites, Site{p, b})
	}
	return sites
}

// A recorder is a hook that keeps what it reads, by sequence, site and
// position. A position that is computed again replaces the first reading.
type recorder struct {
	Hook
	rows map[recordKey][]float32
}

type recordKey struct {
	seq  *Sequence
	site Site
	pos  int
}

func record(sites ...Site) *recorder {
	c := &recorder{rows: map[recordKey][]float32{}}
	c.Hook = Hook{Name: "record", Sites: sites, Func: func(v *View) error {
		for i, row := range v.Rows {
			c.rows[recordKey{row.Seq, v.Site, row.Pos}] = slices.Clone(v.At(i))
		}
		return nil
	}}
	return c
}

// at gives what was read at a site: the rows of positions 0 to n-1 in a row.
func (c *recorder) at(s *Sequence, site Site, n int) []float32 {
	var all []float32
	for pos := range n {
		all = append(all, c.rows[recordKey{s, site, pos}]...)
	}
	return all
}

// addFloats hashes the bits of x.
func addFloats(h hash.Hash, x []float32) { h.Write(bytesOf(x)) }

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// requireBits fails unless both slices have the same bits.
func requireBits(t testing.TB, want, got []float32, msg ...any) {
	t.Helper()
	require.Len(t, got, len(want), msg...)
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			require.Failf(t, "bits differ", "element %d is %v, want %v; %s", i, got[i], want[i], fmt.Sprint(msg...))
		}
	}
}

// relative is the root mean square of the differences, relative to that of want.
func relative(t testing.TB, want, got []float32) float64 {
	t.Helper()
	require.Len(t, got, len(want))
	require.NotEmpty(t, want)
	var d, n float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		d += e * e
		n += float64(w) * float64(w)
	}
	require.Positive(t, n)
	return math.Sqrt(d / n)
}

// shared finds a file of the shared test material, which lies beside the
// checkout where there is any.
func shared(t testing.TB, path ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{"..", "..", "shared"}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("the shared test material is not beside this checkout: no %s", p)
	}
	return p
}
