package llama

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// Package llama promises that for a model file and tokens every float has the
// same bits on every processor, whatever else happens. The hashes below are
// the proof across machines: every architecture compares with the same ones.
// A change to any of them is a change of results, and means that everything
// computed before cannot be compared to the bit with what is computed after.
var golden = map[string]string{
	"F32":                           "829c9346256c9b95a8d9c0aa8051c7bfd491aa01a8dc3838b5ef3b3b6cb191cd",
	"F16":                           "e02fcd2fc1343db84bcf83cb6577afe19659b9cb82db1ecb7643428239d44687",
	"Q4_0":                          "853ceec45c16b9be6af588c4e8fdbb5786364ebefdeacbbea920f93ba67072dd",
	"Q4_1":                          "86a2d779962f5572ec19d2b0f75ed9daf8947995f3ddb3b403ce84712b1a6e8c",
	"Q5_0":                          "5212ec42e46ced61393b2da48a6559cabfa658593ec1eeb695bd24528222c132",
	"Q5_1":                          "a727ce8e4e8b9c46be672023e21e5f72ebff9ad652812caec7f4ff43c744a8bb",
	"Q8_0":                          "f10bea2cad117ce127e7972901fefd6b3492e120d1268dfe11f7bf87cc26d682",
	"Q2_K":                          "1a7bfbf41619a6a1c22f8516195ed9325944cf911b267621b9a1e2cf80d04036",
	"Q3_K":                          "718023c50c285acdeed778363f9e2f1e5c4b64803351ed34b19494aa248436bc",
	"Q4_K":                          "cf80d33c50c6d0084568716255cd9b103d465b610ed816fef31c9e598e5676b1",
	"Q5_K":                          "36e786799263a1a1db88a6d7ba1aba9d091c1cb4fb2ccc70d8bb56d84a06ad60",
	"Q6_K":                          "5662251077216fbd41880d16c826f8172a55719c99702fa053af0419e4c00a4e",
	"IQ4_NL":                        "9b5236110181474939e8b14eca4bb918e7a29ea53cc7e00eb5b4b42f888d427f",
	"IQ4_XS":                        "1a408994c68eb000c876dc5224c7a4d942e1726898d924cfb6a76c099a496076",
	"BF16":                          "855e541542f0bcdc0daf7742a99545e278ac6aebf1baa91e0968cc649b83558f",
	"llama-tied-ropescaled-mqa-f32": "2015c59e9cf3104fb8b4cc2612ec9d50daf8f2f4a89e753c630c75e6ab4d7d79",
	"quant-q4_0":                    "0011f18df08acc5cbede153845025d3534077b93c46dc002c167dcc2b6f51d6c",
	"quant-q2_k":                    "5486c31a557d8d046611746fd173bf49e4d3383da6b0eba6b82ab26f29670477",
	"quant-q4_k_m":                  "8d7fb01f912bde02c1cc62e2c90a06ab0cbf68d5a1aca7d4cfee22dd111d7f1d",
	"quant-iq4_xs":                  "db76813fa5cbe8a91253999e207a2d9ab22d1422b20f13016f0de8fc86f73e3c",
}

// goldenInts are the same for the precisions that round activations, by
// precision and format.
var goldenInts = map[Precision]map[string]string{
	Probe: {
		"Q4_0":   "256507fbb3611f4efa48def992e803fec6bf693458eb396d4e779b205b0ce534",
		"Q4_1":   "bfaa2afc7997fc2cfabe477e9ae92f25126dc05fb61d8dc77a0516d20bcb44b6",
		"Q5_0":   "02ae1113ab3e38c68b6968b9d5160568856e37a3f97fb782422472af9e67a907",
		"Q5_1":   "279a0e0f0259d577e00e5aa5799eb4f007c072bcde93bb62993ba9ae02b16714",
		"Q8_0":   "1d2bbff2624e4dab105ffb662e2a6953df774e445de303e57a95d7e0a92d0826",
		"Q2_K":   "2b0949e43cd2b2f9b52fd783cc880ec9827a8606cad9550ce639d50c352d58ea",
		"Q3_K":   "25fbd071a01d7a97cf1927a51346cf29ea398cebc5c00d1d53c347164effb218",
		"Q4_K":   "5ea7f975260cb55042d850405fd1e956ae679aa9f0a26e9fc710edb60ec3dcc7",
		"Q5_K":   "4444d3eac5b31705ee85bb9dd9de030694433342baad77675aec906f8c9c6c69",
		"Q6_K":   "4a2d5d53514f194be05377e59e9d291e69d5f8ccda85a9f55e64ccd708b0e45b",
		"IQ4_NL": "84e015f922da428d24ced9263e9d880b7f90ac55f66f723fa4dcfff4039041b6",
		"IQ4_XS": "ca73c0dfb2f53f93087602a5e74415b922844d5ddc5c9955c5e7f3e6d02876f3",
	},
	Fast: {
		"Q4_0":   "2917fcaeb0ea715252a9187ea317fecae549ed3474e67f7857ea7cb0ac29b79b",
		"Q4_1":   "b75c80c4e3774945175b7cf341ba8feeae7012d90f158e8716295960cffaa4c9",
		"Q5_0":   "75a448cedeb175cd6815fe55c6605edf3d91f3265950ec17e172c8fd0b63387b",
		"Q5_1":   "2347b6b59bdb08818fae50bdf6d2e0085033bd68b976e282aa05b5167beaf45a",
		"Q8_0":   "5471d84f324c21640ae96cb011db22c228685fd40935c5f39684045ea878535c",
		"Q2_K":   "f9eea6ae506c298413cfaf03a7add88c9d5fe0b01a8dd8e33ea6035dfb815052",
		"Q3_K":   "898703011e66e5ebef9919c878de354844091ec25b55f7d4c71d8a3b61ad16e9",
		"Q4_K":   "a06dd8f70705cee9ca67b3dfb63f021989c55667b779b4717366777cdd8a7e8f",
		"Q5_K":   "03fd30b5521953f851ad8786ea911dbb695bd1a4ae72b86d1c6f57ba1b2dc4b1",
		"Q6_K":   "1c4a34677932e05ea47a5e24330957b7d6d69bd68f7406d71dfcc2495ab3093d",
		"IQ4_NL": "bbc7023bfe9eef1e7c5a0196ad13337b523f386a2f2e28418d9810dbf7d3a821",
		"IQ4_XS": "87350ea09ec12a7a3305e6b0d2e561b0cc686405ae6a55696aff85af0c6eb22f",
	},
}

// goldenHalf are the same where keys and values are kept as float16.
var goldenHalf = map[string]string{
	"F32":       "ed68256a5da7f5e9919c363bea1101c0493d3c9e0922bc05f282c7cb3b179197",
	"Q8_0 fast": "b41f8120a85a050025c06d6e577650570f907f4c1d699311fd868ec7541e13b6",
}

// goldenOf is the golden hash of a random model: float weights meet float
// activations in every precision.
func goldenOf(p Precision, typ tensor.Type) string {
	if p == Exact || typ.Block() == 1 {
		return golden[typ.String()]
	}
	return goldenInts[p][typ.String()]
}

// goldenText is as long as is quick in generic Go, and longer than a page of
// keys and values where that is.
func goldenText(m *Model, typ tensor.Type) []token.Token {
	if typ.Block() == 256 { // these formats need wide models
		return text(m, 12, 0)
	}
	return text(m, 70, 0)
}

// Random models in all fifteen storage formats: the golden hashes need no
// file, and take about a second in generic Go.
func TestGoldenFormats(t *testing.T) {
	for typ := range tensor.Type(64) {
		if !typ.Known() {
			continue
		}
		m := small.of(typ).model(t)
		for _, p := range []Precision{Exact, Probe, Fast} {
			t.Run(typ.String()+" "+p.String(), func(t *testing.T) {
				require.Equal(t, goldenOf(p, typ), variant{precision: p}.run(t, m, goldenText(m, typ)).both())
			})
		}
	}
}

func TestGoldenModels(t *testing.T) {
	for _, name := range []string{"llama-tied-ropescaled-mqa-f32", "quant-q4_0", "quant-q2_k", "quant-q4_k_m", "quant-iq4_xs"} {
		t.Run(name, func(t *testing.T) {
			m := open(t, filepath.Join("..", "testdata", "models", name+".gguf"))
			require.Equal(t, golden[name], variant{}.run(t, m, text(m, 6, 0)).both())
		})
	}
}

// A variant is a way to compute a text that must not change a bit.
type variant struct {
	precision Precision
	kv        KVType

	threads int
	batch   int   // RunnerOptions.BatchTokens
	cuts    []int // lengths of the first passes; the rest follows in one
	each    bool  // one token a pass
	before  []int // lengths of other texts in the same passes
	after   []int
	unread  bool // no hook: only logits

	// prepare makes the sequence that the text is appended to, with its first
	// tokens, if it wants any, already computed.
	prepare func(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence
}

// outcome is what a variant computed for a text: hashes of the logits and of
// the residual streams of all blocks, at every position.
type outcome struct{ logits, resid string }

func (o outcome) both() string { return o.logits[:32] + o.resid[:32] }

func (v variant) run(t *testing.T, m *Model, tokens []token.Token) outcome {
	t.Helper()
	r := runner(t, m, RunnerOptions{Threads: max(v.threads, 1), BatchTokens: v.batch, Precision: v.precision, KV: v.kv})
	defer r.Close()
	rec := record(allBlocks(m, ResidPost)...)
	p := Pass{Hooks: []*Hook{&rec.Hook}}
	if v.unread {
		p.Hooks = nil
	}
	rows := make([][]float32, len(tokens))
	forward := func(spans []Span, at int) { // the text's span is spans[at]
		t.Helper()
		p := p
		p.Spans = spans
		require.NoError(t, r.Forward(t.Context(), &p))
		s := spans[at].Seq
		for i := range spans[at].Tokens {
			pos := s.Len() - len(spans[at].Tokens) + i
			rows[pos] = append([]float32(nil), r.LogitsAt(at, i)...)
		}
	}
	var s *Sequence
	if v.prepare != nil {
		s = v.prepare(t, r, tokens, p)
		// What is to be proved concerns what follows the prepared tokens. They
		// themselves come from a fresh sequence.
		if n := s.Len(); n > 0 {
			fresh := r.NewSequence()
			forward([]Span{{Seq: fresh, Tokens: tokens[:n], Logits: AllLogits}}, 0)
			for _, site := range rec.Sites {
				for pos := range n {
					rec.rows[recordKey{s, site, pos}] = rec.rows[recordKey{fresh, site, pos}]
				}
			}
		}
	} else {
		s = r.NewSequence()
	}

	company := func(lengths []int, seed int) (spans []Span) {
		for i, n := range lengths {
			spans = append(spans, Span{Seq: r.NewSequence(), Tokens: text(m, n, seed+i), Logits: LogitsWanted(i % 3)})
		}
		return spans
	}
	cuts := v.cuts
	for s.Len() < len(tokens) {
		n := len(tokens) - s.Len()
		if len(cuts) > 0 {
			n = min(n, cuts[0])
			if len(cuts) > 1 {
				cuts = cuts[1:] // the last length repeats
			}
		}
		if v.each {
			n = 1
		}
		spans := company(v.before, 50)
		at := len(spans)
		spans = append(spans, Span{Seq: s, Tokens: tokens[s.Len():][:n], Logits: AllLogits})
		spans = append(spans, company(v.after, 80)...)
		forward(spans, at)
	}

	var o outcome
	h := sha256.New()
	for _, row := range rows {
		addFloats(h, row)
	}
	o.logits = sum(h)
	h.Reset()
	for _, site := range allBlocks(m, ResidPost) {
		addFloats(h, rec.at(s, site, len(tokens)))
	}
	o.resid = sum(h)
	return o
}

// variants are all the things that must not change a bit.
var variants = map[string]variant{
	"2 threads":              {threads: 2},
	"7 threads":              {threads: 7},
	"passes of 1":            {each: true},
	"passes of 1, 2 threads": {each: true, threads: 2},
	"passes of 3":            {cuts: []int{3}},
	"passes of 16":           {cuts: []int{16}},
	"passes of 5, 1, 17":     {cuts: []int{5, 1, 17}},
	"batches of 1":           {batch: 1},
	"batches of 7":           {batch: 7, threads: 2},
	"company before":         {before: []int{1, 9}},
	"company after":          {after: []int{5, 1}},
	"company around, cut":    {before: []int{2, 10}, after: []int{1, 1, 1}, cuts: []int{1, 29}, batch: 16, threads: 3},
	"no hooks":               {unread: true},
	"no hooks, passes of 1":  {unread: true, each: true},
	"forked":                 {prepare: forked},
	"forked from longer":     {prepare: forkedFromLonger},
	"truncated":              {prepare: truncated},
	"after a cancelled pass": {prepare: cancelled},
	"reused memory":          {prepare: reused},
}

func forward(t *testing.T, r *Runner, s *Sequence, tokens []token.Token, p Pass) {
	t.Helper()
	p.Spans = []Span{{Seq: s, Tokens: tokens}}
	require.NoError(t, r.Forward(t.Context(), &p))
}

// forked gives a fork of half of the text, while its origin goes on with
// something else.
func forked(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence {
	s := r.NewSequence()
	forward(t, r, s, tokens[:len(tokens)/2], p)
	f := s.Fork()
	forward(t, r, s, text(r.model, 3, 9), p)
	return f
}

// forkedFromLonger shares a page of which the fork wants only the beginning.
func forkedFromLonger(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence {
	s := r.NewSequence()
	forward(t, r, s, tokens[:len(tokens)/3], p)
	forward(t, r, s, text(r.model, 7, 9), p)
	f := s.Fork()
	f.Truncate(len(tokens) / 3)
	return f
}

// truncated replaces the second half of another text by that of this one.
func truncated(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence {
	s := r.NewSequence()
	forward(t, r, s, tokens[:len(tokens)/2], p)
	forward(t, r, s, text(r.model, len(tokens), 9), p)
	s.Truncate(len(tokens) / 2)
	return s
}

// cancelled ends a pass with other tokens in the midst of its blocks.
func cancelled(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence {
	s := r.NewSequence()
	forward(t, r, s, tokens[:len(tokens)/2], p)
	ctx, cancel := context.WithCancel(t.Context())
	stop := Hook{Name: "stop", Sites: []Site{{ResidMid, r.model.config.Blocks - 1}}, Func: func(*View) error {
		cancel()
		return ctx.Err()
	}}
	err := r.Forward(ctx, &Pass{Spans: []Span{{Seq: s, Tokens: text(r.model, 5, 9), Logits: AllLogits}}, Hooks: []*Hook{&stop}})
	require.ErrorIs(t, err, context.Canceled)
	return s
}

// reused leaves keys and values of other texts in the memory that the
// sequence will get.
func reused(t *testing.T, r *Runner, tokens []token.Token, p Pass) *Sequence {
	s := r.NewSequence()
	forward(t, r, s, text(r.model, len(tokens)+9, 9), p)
	s.Close()
	require.NotEmpty(t, r.freePages)
	return s
}

// One float32 model and one of every family of quantised formats, computed in
// every way, under every set of kernels: all bits are those of the golden run.
func TestContract(t *testing.T) {
	for _, c := range []struct {
		typ       tensor.Type
		precision Precision
		kv        KVType
		golden    string
	}{
		{tensor.F32, Exact, KVFloat32, golden["F32"]},
		{tensor.BF16, Exact, KVFloat32, golden["BF16"]},
		{tensor.Q5_1, Exact, KVFloat32, golden["Q5_1"]},
		{tensor.Q4_K, Exact, KVFloat32, golden["Q4_K"]},
		{tensor.IQ4XS, Exact, KVFloat32, golden["IQ4_XS"]},
		{tensor.Q5_1, Probe, KVFloat32, goldenInts[Probe]["Q5_1"]},
		{tensor.Q8_0, Fast, KVFloat32, goldenInts[Fast]["Q8_0"]},
		{tensor.Q4_K, Fast, KVFloat32, goldenInts[Fast]["Q4_K"]},
		{tensor.Q6_K, Probe, KVFloat32, goldenInts[Probe]["Q6_K"]},
		{tensor.F32, Exact, KVFloat16, goldenHalf["F32"]},
		{tensor.Q8_0, Fast, KVFloat16, goldenHalf["Q8_0 fast"]},
	} {
		typ := c.typ
		t.Run(fmt.Sprint(typ, c.precision, c.kv), func(t *testing.T) {
			m := small.of(typ).model(t)
			tokens := goldenText(m, typ)
			want := variant{precision: c.precision, kv: c.kv}.run(t, m, tokens)
			require.Equal(t, c.golden, want.both())
			for _, level := range asm.Levels() {
				restore, err := asm.Use(level)
				require.NoError(t, err)
				defer restore()
				for name, v := range variants {
					t.Run(fmt.Sprintf("%v/%s", level, name), func(t *testing.T) {
						if testing.Short() && level < asm.Best() && v.threads == 0 {
							t.Skip("slow in generic Go")
						}
						v.precision, v.kv = c.precision, c.kv
						got := v.run(t, m, tokens)
						require.Equal(t, want.logits, got.logits, "logits")
						if !v.unread {
							require.Equal(t, want.resid, got.resid, "residual streams")
						}
					})
				}
			}
		})
	}
}

// Far into a text, the attention of a single token is divided among threads
// whose number does not divide that of the key-value heads. That changes no bit,
// and allocates nothing.
func TestContractFarIntoAText(t *testing.T) {
	window := smallArchitectures["gemma2"]
	window.context = 512
	for name, s := range map[string]spec{"llama": small, "with a window": window} {
		for _, kv := range []KVType{KVFloat32, KVFloat16} {
			t.Run(name+" "+kv.String(), func(t *testing.T) {
				m := s.model(t)
				tokens := text(m, dividedFrom+70, 0)
				var want string
				for _, threads := range []int{1, 3, 7} {
					r := runner(t, m, RunnerOptions{Threads: threads, KV: kv})
					defer r.Close()
					q := r.NewSequence()
					p := &Pass{Spans: []Span{{Seq: q, Tokens: tokens[:dividedFrom-2], Logits: LastLogits}}}
					require.NoError(t, r.Forward(t.Context(), p))
					h := sha256.New()
					step := func() {
						p.Spans[0].Tokens = tokens[q.Len():][:1]
						if err := r.Forward(t.Context(), p); err != nil {
							t.Error(err)
						}
						addFloats(h, r.Logits(0))
					}
					for q.Len() < len(tokens) {
						step()
					}
					require.Equal(t, threads > 1, r.unbalanced(), "what is to be tested")
					if got := sum(h); want == "" {
						want = got
					} else {
						require.Equal(t, want, got, "%d threads", threads)
					}
					q.Truncate(dividedFrom + 5)
					require.Zero(t, testing.AllocsPerRun(20, func() {
						p.Spans[0].Tokens = tokens[q.Len():][:1]
						if err := r.Forward(t.Context(), p); err != nil {
							t.Error(err)
						}
					}))
				}
			})
		}
	}
}

// A hash that could not change would prove nothing.
func TestContractNotices(t *testing.T) {
	m := small.model(t)
	tokens := text(m, 9, 0)
	want := variant{}.run(t, m, tokens)
	tokens[3].ID++
	got := variant{}.run(t, m, tokens)
	require.NotEqual(t, want.logits, got.logits)
	require.NotEqual(t, want.resid, got.resid)

	// One bit of one weight; the lowest can drown in rounding.
	f := small.file()
	data := f.tensors["blk.2.ffn_down.weight"].Data
	data[4*101] ^= 0x80
	other, err := f.load(t)
	require.NoError(t, err)
	defer other.Close()
	tokens[3].ID--
	got = variant{}.run(t, other, tokens)
	require.NotEqual(t, want.resid, got.resid)
}
