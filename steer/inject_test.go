package steer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// capture is a hook that keeps the rows that it reads, by site and position.
func capture(sites ...llama.Site) (*llama.Hook, map[llama.Site]map[int][]float32) {
	got := map[llama.Site]map[int][]float32{}
	return &llama.Hook{Name: "capture", Sites: sites, Func: func(v *llama.View) error {
		if got[v.Site] == nil {
			got[v.Site] = map[int][]float32{}
		}
		for i, row := range v.Rows {
			got[v.Site][row.Pos] = slices.Clone(v.At(i))
		}
		return nil
	}}, got
}

func residPost(b int) llama.Site { return llama.Site{Point: llama.ResidPost, Block: b} }

// unitOf and coefficient say, apart from the package, what a plan adds.
func unitOf(v *probe.Vectors, block, e int) []float32 {
	row := v.Sites[block].ByForm[probe.Denoised][e*v.Width:][:v.Width]
	sum := 0.0
	for _, x := range row {
		sum += float64(x) * float64(x)
	}
	unit := make([]float32, len(row))
	for i, x := range row {
		unit[i] = float32(float64(x) / math.Sqrt(sum))
	}
	return unit
}

func coefficient(v *probe.Vectors, block int, strength float64) float32 {
	return float32(strength * v.Sites[block].Norm.Mean)
}

// Rows that the scope covers become fma(a, v, h), and nothing else changes.
func TestEditIsExactAndInScope(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	for _, tt := range []struct {
		scope  string
		prompt int // of 9 tokens
		want   []int
	}{
		{"", 5, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"#prompt", 5, []int{1, 2, 3}},
		{"#generated", 5, []int{4, 5, 6, 7, 8}}, // 4 emits the first new token
		{"#generated", 9, []int{8}},
		{"#prompt", 9, []int{1, 2, 3, 4, 5, 6, 7}},
		{"#prompt", 2, nil},
		{"#generated", 1, []int{1, 2, 3, 4, 5, 6, 7, 8}}, // position 0 is never edited
		// Where no prompt is set, nothing is generated.
		{"", 0, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"#prompt", 0, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"#generated", 0, nil},
	} {
		t.Run(fmt.Sprintf("prompt of %d%s", tt.prompt, tt.scope), func(t *testing.T) {
			r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
			in := inject(t, m, v, "v:calm=-0.3@resid_post:0,resid_post:2"+tt.scope)
			sites := []llama.Site{residPost(0), residPost(1), residPost(2)}
			before, h := capture(sites...)
			after, x := capture(sites...)
			s := r.NewSequence()
			s.SetPrompt(tt.prompt)
			hooks := append([]*llama.Hook{before}, in.Hooks()...)
			forward(t, r, s, text(m, 9, 0), append(hooks, after)...)
			for _, site := range sites {
				for pos := range 9 {
					want := slices.Clone(h[site][pos])
					if slices.Contains(tt.want, pos) && site.Block != 1 {
						a, unit := coefficient(v, site.Block, -0.3), unitOf(v, site.Block, 1)
						for i := range want {
							want[i] = asm.FMA(a, unit[i], want[i])
						}
						require.NotEqual(t, h[site][pos], want)
					}
					requireBits(t, want, x[site][pos], fmt.Sprintf("%v, position %d", site, pos))
				}
			}

			// Outside the reach of the edits all is as without them: at block
			// 0 before the edit everywhere, later until the first edit.
			plain, p := capture(sites...)
			fresh := r.NewSequence()
			forward(t, r, fresh, text(m, 9, 0), plain)
			for pos := range 9 {
				requireBits(t, p[sites[0]][pos], h[sites[0]][pos], "block 0")
				if len(tt.want) == 0 || pos < tt.want[0] {
					requireBits(t, p[sites[2]][pos], x[sites[2]][pos], "block 2")
				}
			}

			receipt := in.Receipt()
			require.Len(t, receipt.Edits, 2)
			for _, e := range receipt.Edits {
				require.Equal(t, len(tt.want), e.Edits)
			}
			if len(tt.want) == 0 {
				require.ErrorIs(t, receipt.Err(), ErrNotReached)
			} else {
				require.NoError(t, receipt.Err())
				require.Equal(t, tt.want[0], receipt.Edits[0].First.Pos)
				require.Equal(t, tt.want[len(tt.want)-1], receipt.Edits[0].Last.Pos)
			}
		})
	}
}

// Plans that meet at a site are applied in the order given: sums of floats are
// not associative, so that the order shows in the bits.
func TestPlansInOrder(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	run := func(plans ...string) (before, after []float32) {
		in := inject(t, m, v, plans...)
		b, h := capture(residPost(1))
		a, x := capture(residPost(1))
		hooks := append([]*llama.Hook{b}, in.Hooks()...)
		forward(t, r, r.NewSequence(), text(m, 3, 0), append(hooks, a)...)
		return h[residPost(1)][2], x[residPost(1)][2]
	}
	h, x := run("v:calm=0.3@resid_post:1", "v:desperate=0.7@resid_post:1")
	want := slices.Clone(h)
	for _, p := range []struct {
		e int
		s float64
	}{{1, 0.3}, {2, 0.7}} {
		unit, a := unitOf(v, 1, p.e), coefficient(v, 1, p.s)
		for i := range want {
			want[i] = asm.FMA(a, unit[i], want[i])
		}
	}
	requireBits(t, want, x, "calm, then desperate")
	_, y := run("v:desperate=0.7@resid_post:1", "v:calm=0.3@resid_post:1")
	require.NotEqual(t, x, y)
	require.InDeltaSlice(t, x, y, 1e-5)
}

// However a steered text is computed, its logits have the same bits, and the
// receipt is the same.
func TestPassesDoNotMatter(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	tokens := text(m, 23, 0)
	const prompt = 9
	for _, scope := range []string{"", "#prompt", "#generated"} {
		plans := []string{"v:calm=0.2" + scope, "v:at ease=-0.1@resid_post:0,resid_post:1"}
		in := inject(t, m, v, plans...)
		r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
		want := allLogits(t, r, tokens, prompt, len(tokens), in.Hooks()...)
		receipt := in.Receipt()
		require.NoError(t, receipt.Err())
		require.NotEqual(t, hashFloats(want), hashFloats(allLogits(t, r, tokens, prompt, len(tokens))))

		for name, o := range map[string]struct {
			pass int
			llama.RunnerOptions
		}{
			"one token a pass": {1, llama.RunnerOptions{Threads: 1}},
			"passes of 5":      {5, llama.RunnerOptions{Threads: 1}},
			"batches of 7":     {23, llama.RunnerOptions{Threads: 2, BatchTokens: 7}},
			"3 threads":        {16, llama.RunnerOptions{Threads: 3}},
		} {
			in := inject(t, m, v, plans...)
			r := newRunner(t, m, o.RunnerOptions)
			requireBits(t, want, allLogits(t, r, tokens, prompt, o.pass, in.Hooks()...), name+scope)
			require.Equal(t, receipt, in.Receipt(), name+scope)
		}

		// In company: every row goes by its own sequence's prompt.
		in = inject(t, m, v, plans...)
		var spans []llama.Span
		for i, n := range []int{4, 1, 30} {
			s := r.NewSequence()
			s.SetPrompt(i) // none, 1, 2
			spans = append(spans, llama.Span{Seq: s, Tokens: text(m, n, i+1)})
		}
		s := r.NewSequence()
		s.SetPrompt(prompt)
		spans = slices.Insert(spans, 1, llama.Span{Seq: s, Tokens: tokens, Logits: llama.AllLogits})
		require.NoError(t, r.Forward(t.Context(), &llama.Pass{Spans: spans, Hooks: in.Hooks()}))
		var got []float32
		for i := range tokens {
			got = append(got, r.LogitsAt(1, i)...)
		}
		requireBits(t, want, got, "in company"+scope)
		rows := map[string]int{
			"":           22 + 3 + 0 + 29,
			"#prompt":    7 + 3 + 0 + 0,
			"#generated": 15 + 0 + 0 + 29,
		}
		require.Equal(t, rows[scope], in.Receipt().Edits[0].Edits)
		require.Equal(t, 22+3+0+29, in.Receipt().Edits[1].Edits)
	}
}

// Steered runs have the same bits on every processor: every architecture
// compares with this hash. A change of it is a change of results.
func TestSteeredGolden(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	in := inject(t, m, vectorsFor(m), "v:calm=0.05", "v:at ease=-1.5@resid_post:0,resid_post:1#generated")
	require.Equal(t, "0ece15d0cb85eb3b8f27c870066a077ce5b5a235c9b0532045bfc88817c892da", hashFloats(allLogits(t, r, text(m, 12, 0), 5, 12, in.Hooks()...)))
	data, err := json.Marshal(in.Receipt().Edits)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	require.Equal(t, "be4f43b756dde37d5fc9aee78351145dc5d738bd1ed690caf10d3c96aa4f987f", hex.EncodeToString(sum[:]), "receipt")
}

// What was computed before the first edited token can be forked and steered in
// many ways, without recomputing and with the bits of a run of its own.
func TestForkOfAPrefix(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	tokens := text(m, 20, 0)
	const prompt = 12
	prefix := r.NewSequence()
	forward(t, r, prefix, tokens[:prompt-1])
	for _, strength := range []string{"-0.2", "0", "0.1", "0.5"} {
		plan := "v:calm=" + strength + "#generated"
		in := inject(t, m, v, plan)
		s := prefix.Fork()
		s.SetPrompt(prompt)
		forward(t, r, s, tokens[prompt-1:], in.Hooks()...)
		var got []float32
		for i := range tokens[prompt-1:] {
			got = append(got, r.LogitsAt(0, i)...)
		}
		fresh := allLogits(t, r, tokens, prompt, len(tokens), inject(t, m, v, plan).Hooks()...)
		requireBits(t, fresh[len(fresh)-len(got):], got, strength)
		require.Equal(t, len(tokens)-prompt+1, in.Receipt().Edits[0].Edits)
		s.Close()
	}
}

// A steered sequence goes on only under the same edits, or anew.
func TestOtherEditsAreRefused(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	tokens := text(m, 12, 0)
	const plan = "v:calm=0.1@resid_post:0"
	steered := func() *llama.Sequence {
		s := r.NewSequence()
		s.SetPrompt(3)
		forward(t, r, s, tokens[:8], inject(t, m, v, plan).Hooks()...)
		return s
	}
	other := vectorsFor(m)
	other.Sites[0].ByForm[probe.Denoised][1*v.Width+7] += 0.5
	louder := vectorsFor(m)
	louder.Sites[0].Norm.Mean *= 1.001
	for name, hooks := range map[string][]*llama.Hook{
		"other strength": inject(t, m, v, "v:calm=0.2@resid_post:0").Hooks(),
		"opposite":       inject(t, m, v, "v:calm=-0.1@resid_post:0").Hooks(),
		"other emotion":  inject(t, m, v, "v:at ease=0.1@resid_post:0").Hooks(),
		"other site":     inject(t, m, v, "v:calm=0.1@resid_post:1").Hooks(),
		"other scope":    inject(t, m, v, plan+"#generated").Hooks(),
		"other vector":   inject(t, m, other, plan).Hooks(),
		"other norm":     inject(t, m, louder, plan).Hooks(),
		"twice":          inject(t, m, v, plan, plan).Hooks(),
		"strength 0":     inject(t, m, v, "v:calm=0@resid_post:0").Hooks(),
		"none":           nil,
	} {
		pass := &llama.Pass{Hooks: hooks, Spans: []llama.Span{{Seq: steered(), Tokens: tokens[8:], Logits: llama.LastLogits}}}
		require.ErrorIs(t, r.Forward(t.Context(), pass), llama.ErrEdited, name)

		// Recomputing gives what a fresh sequence gives.
		pass.Recompute = true
		require.NoError(t, r.Forward(t.Context(), pass), name)
		got := slices.Clone(r.Logits(0))
		want := allLogits(t, r, tokens, 3, len(tokens), hooks...)
		requireBits(t, want[len(want)-len(got):], got, name)
	}

	// Another injector of the same plan does the same, whatever the file was
	// called.
	same := inject(t, m, v, "elsewhere:calm=+1e-1@resid_post:0")
	s := steered()
	forward(t, r, s, tokens[8:], same.Hooks()...)
	got := slices.Clone(r.LogitsAt(0, 3))
	want := allLogits(t, r, tokens, 3, len(tokens), same.Hooks()...)
	requireBits(t, want[len(want)-len(got):], got, "same")

	// The message says what is what.
	pass := &llama.Pass{Hooks: inject(t, m, v, "v:desperate=0.2@resid_post:0").Hooks(), Spans: []llama.Span{{Seq: steered(), Tokens: tokens[8:], Logits: llama.LastLogits}}}
	require.ErrorContains(t, r.Forward(t.Context(), pass), "add calm +0.1 to all")
}

// A position that is computed again counts again.
func TestRecomputedPositionsCountAgain(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	tokens := text(m, 10, 0)
	s := r.NewSequence()
	forward(t, r, s, tokens[:6]) // without steering
	in := inject(t, m, v, "v:calm=0.1@resid_post:0")
	pass := &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: tokens[6:8], Logits: llama.LastLogits}}, Hooks: in.Hooks(), Recompute: true}
	require.NoError(t, r.Forward(t.Context(), pass))
	require.Equal(t, 7, in.Receipt().Edits[0].Edits) // positions 1 to 7, once

	s.Truncate(6)
	pass.Spans[0].Tokens = tokens[6:]
	require.NoError(t, r.Forward(t.Context(), pass))
	require.Equal(t, 7+4, in.Receipt().Edits[0].Edits)
}

// Strength 0 is a run without steering, to the bit and in what may follow it,
// with a receipt.
func TestStrengthZero(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	tokens := text(m, 12, 0)
	want := allLogits(t, r, tokens, 4, 12)
	// 1e-60 is no float32.
	for _, plan := range []string{"v:calm=0", "v:calm=-0#prompt", "v:calm=0@resid_post:all#generated", "v:calm=1e-60"} {
		in := inject(t, m, v, plan)
		requireBits(t, want, allLogits(t, r, tokens, 4, 12, in.Hooks()...), plan)
		receipt := in.Receipt()
		require.NoError(t, receipt.Err())
		for _, e := range receipt.Edits {
			require.Positive(t, e.Edits)
			require.NotNil(t, e.First)
			require.Zero(t, e.Absolute)
			require.Zero(t, e.NormChange)
			require.Zero(t, e.AddedNorm)
		}

		// With and without its hooks a sequence goes on.
		for _, hooks := range [][2][]*llama.Hook{{in.Hooks(), nil}, {nil, in.Hooks()}} {
			s := r.NewSequence()
			s.SetPrompt(4)
			forward(t, r, s, tokens[:7], hooks[0]...)
			forward(t, r, s, tokens[7:], hooks[1]...)
			got := r.LogitsAt(0, 4)
			requireBits(t, want[len(want)-len(got):], got, plan)
		}
	}
}

func TestDirection(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	tokens := text(m, 6, 0)
	row := v.Sites[2].ByForm[probe.Denoised][1*v.Width:][:v.Width]
	long := make([]float32, len(row))
	for i, x := range row {
		long[i] = 8 * x // a power of two changes no bit of the unit vector
	}
	given, err := New(m, []Plan{{Emotion: "mine", Strength: 0.2, Direction: long}}, From(v), Options{})
	require.NoError(t, err)
	named := inject(t, m, v, "v:calm=0.2")
	requireBits(t, allLogits(t, r, tokens, 0, 6, named.Hooks()...), allLogits(t, r, tokens, 0, 6, given.Hooks()...), "direction")
	got, want := given.Receipt().Edits[0], named.Receipt().Edits[0]
	require.Equal(t, "mine", got.Emotion)
	require.Equal(t, probe.Form("given"), got.Form)
	got.Plan, got.Emotion, got.Form = want.Plan, want.Emotion, want.Form
	require.Equal(t, want, got)
}

func TestForm(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in, err := New(m, []Plan{parse(t, "v:calm=1@resid_post:0")}, From(v), Options{Form: probe.PlainContrast})
	require.NoError(t, err)
	require.Equal(t, probe.PlainContrast, in.Receipt().Edits[0].Form)
	before, h := capture(residPost(0))
	after, x := capture(residPost(0))
	forward(t, r, r.NewSequence(), text(m, 2, 0), before, in.Hooks()[0], after)
	vector, err := v.Vector(residPost(0), probe.PlainContrast, 1)
	require.NoError(t, err)
	moved := make([]float32, v.Width)
	for i := range moved {
		moved[i] = x[residPost(0)][1][i] - h[residPost(0)][1][i]
	}
	require.InDelta(t, 1, probe.Cosine(moved, vector), 1e-6)
}

func TestNewErrors(t *testing.T) {
	m := tinyModel(t)
	for _, tt := range []struct {
		plan  string
		spoil func(v *probe.Vectors)
		want  string
	}{
		{plan: "v:desprate=0.1", want: `unknown emotion "desprate": did you mean "desperate"?`},
		{plan: "v:calm=0.1@resid_post:3", want: "block 3 does not exist; the model has blocks 0 to 2"},
		{plan: "v:calm=0.1@3", want: "a bare number is ambiguous"},
		{plan: "v:calm=0.1@attic:1", want: `unknown point "attic"`},
		{plan: "v:calm=0.1@resid_mid:1", want: "steering at resid_mid:1 is not supported in this version, only at resid_post"},
		{plan: "v:calm=0.1@final_norm", want: "steering at final_norm is not supported in this version, only at resid_post"},
		{plan: "v:calm=0.1@resid_post:1", spoil: func(v *probe.Vectors) { v.Sites = slices.Delete(v.Sites, 1, 2) }, want: "the vectors have no site resid_post:1; they have [resid_post:0 resid_post:2]"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { v.Sites = nil }, want: "the vectors have no sites"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { v.Width = 64 }, want: "the vectors have width 64, the model 128"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { v.Provenance.Tokenizer = "other" }, want: "tokenizer_sha256 is other"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { v.Provenance.Blocks = 4 }, want: "the vectors are of a model of 4 blocks, the model has 3"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { v.Sites[2].Norm.Mean = 0 }, want: "no calibrated norm at resid_post:2"},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { clear(v.Sites[2].ByForm[probe.Denoised]) }, want: `the vector of "calm" at resid_post:2 is zero`},
		{plan: "v:calm=0.1", spoil: func(v *probe.Vectors) { delete(v.Sites[2].ByForm, probe.Denoised) }, want: `no form "denoised"`},
		{plan: "v:calm=1e60", want: "strength 1e+60 of a mean norm of 6 is beyond float32"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			v := vectorsFor(m)
			if tt.spoil != nil {
				tt.spoil(v)
			}
			p := parse(t, tt.plan)
			_, err := New(m, []Plan{p}, From(v), Options{})
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, fmt.Sprintf("steer: plan %q: ", p)) // says which
		})
	}

	v := vectorsFor(m)
	_, err := New(m, []Plan{parse(t, "v:desprate=0.1")}, From(v), Options{})
	var unknown *emotion.UnknownError
	require.ErrorAs(t, err, &unknown)
	_, err = New(m, []Plan{parse(t, "v:calm=0.1@mlp_out:1")}, From(v), Options{})
	require.ErrorIs(t, err, llama.ErrUnsupported)
	_, err = New(m, nil, From(v), Options{Form: probe.RawMean})
	require.ErrorContains(t, err, "raw means are no directions")
	_, err = New(m, []Plan{{Emotion: "x", Direction: []float32{1}}}, From(v), Options{})
	require.ErrorContains(t, err, "a direction of 1 elements for width 128")
	_, err = New(m, []Plan{{Emotion: "x", Direction: make([]float32, 128)}}, From(v), Options{})
	require.ErrorContains(t, err, `the vector of "x" at resid_post:2 is zero`)
	_, err = New(m, []Plan{{Emotion: "x", Direction: []float32{0, float32(math.Inf(1))}}}, From(v), Options{})
	require.ErrorContains(t, err, "direction: element 1 is +Inf")
	_, err = New(m, []Plan{{Emotion: "x", Strength: math.NaN()}}, From(v), Options{})
	require.ErrorContains(t, err, "strength NaN is not finite")
}

// An emotion's name is written as the vectors have it.
func TestSpellings(t *testing.T) {
	m := tinyModel(t)
	for spelling, want := range map[string]string{"At-Ease": "at ease", "at ease": "at ease", "grief stricken": "grief-stricken"} {
		require.Equal(t, want, inject(t, m, vectorsFor(m), "v:"+spelling+"=1").Receipt().Edits[0].Emotion)
	}
}

func TestLoader(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	var asked []string
	load := func(reference string) (*probe.Vectors, error) {
		asked = append(asked, reference)
		if reference == "gone" {
			return nil, context.DeadlineExceeded
		}
		return v, nil
	}
	_, err := New(m, []Plan{parse(t, "a:calm=1"), parse(t, "b:calm=1"), parse(t, "a:desperate=1")}, load, Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, asked)
	_, err = New(m, []Plan{parse(t, "gone:calm=1")}, load, Options{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestFiles(t *testing.T) {
	m := tinyModel(t)
	sum, err := m.SHA256(t.Context())
	require.NoError(t, err)
	v := vectorsFor(m)
	for i := range v.Sites {
		s := &v.Sites[i]
		s.Grand = make([]float32, v.Width)
		s.ProjectionMean, s.ProjectionSD = make([]float32, 4), make([]float32, 4)
	}
	v.Counts, v.MeanTokens = make([]int, 4), make([]float64, 4)
	v.Provenance.ModelSHA256 = sum
	path := filepath.Join(t.TempDir(), "a=b:c#d.safetensors")
	require.NoError(t, v.Save(path))

	load := Files(t.Context(), m)
	in, err := New(m, []Plan{parse(t, path+":calm=0.1")}, load, Options{})
	require.NoError(t, err)
	// The file's vectors do what those in memory do.
	require.Equal(t, inject(t, m, v, "v:calm=0.1").Hooks()[0].Edits.Fingerprint, in.Hooks()[0].Edits.Fingerprint)

	v.Provenance.ModelSHA256 = "other"
	require.NoError(t, v.Save(path))
	_, err = load(path)
	require.ErrorContains(t, err, "built from another model file: model_sha256 is other")
	require.ErrorContains(t, err, path)
	_, err = load(path + "x")
	require.Error(t, err)
}

// Hooks that run in another model's passes say so.
func TestOtherWidth(t *testing.T) {
	m := tinyModel(t)
	in := inject(t, m, vectorsFor(m), "v:calm=0.1@resid_post:0")
	wide := openModel(t, filepath.Join("..", "testdata", "models", "quant-q4_0.gguf"))
	r := newRunner(t, wide, llama.RunnerOptions{Threads: 1})
	err := r.Forward(t.Context(), &llama.Pass{Spans: []llama.Span{{Seq: r.NewSequence(), Tokens: text(wide, 2, 0)}}, Hooks: in.Hooks()})
	require.ErrorContains(t, err, "a stream of width 256, a vector of width 128")
}

// An absurd edit is an error, not a NaN.
func TestOutOfProportion(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in := inject(t, m, vectorsFor(m), "v:calm=1e30")
	err := r.Forward(t.Context(), &llama.Pass{Spans: []llama.Span{{Seq: r.NewSequence(), Tokens: text(m, 2, 0)}}, Hooks: in.Hooks()})
	require.ErrorContains(t, err, "out of all proportion")
}

// Steered generation allocates no more than generation.
func TestSteadyHooksAllocateNothing(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in := inject(t, m, vectorsFor(m), "v:calm=0.1@resid_post:0,resid_post:1", "v:desperate=0.1#generated", "v:calm=0")
	s := r.NewSequence()
	s.SetPrompt(2)
	forward(t, r, s, text(m, 8, 0), in.Hooks()...)
	pass := &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: []token.Token{{ID: 5}}, Logits: llama.LastLogits}}, Hooks: in.Hooks()}
	require.NoError(t, r.Forward(t.Context(), pass))
	plain := r.NewSequence()
	forward(t, r, plain, text(m, 8, 0))
	base := &llama.Pass{Spans: []llama.Span{{Seq: plain, Tokens: []token.Token{{ID: 5}}, Logits: llama.LastLogits}}}
	require.NoError(t, r.Forward(t.Context(), base))
	allocs := func(p *llama.Pass) float64 {
		return testing.AllocsPerRun(20, func() {
			if err := r.Forward(context.Background(), p); err != nil {
				panic(err)
			}
		})
	}
	// The other pass makes the runner forget its edit sets, so each goes first
	// once before it is measured.
	allocs(base)
	want := allocs(base)
	allocs(pass)
	require.LessOrEqual(t, allocs(pass), want)
}
