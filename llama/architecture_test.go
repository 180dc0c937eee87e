package llama

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// smallOf gives the small spec the ways of an architecture.
func smallOf(arch string, change func(s *spec)) spec {
	s := small
	s.arch = arch
	if change != nil {
		change(&s)
	}
	return s
}

// small models that between them have all the ways of the architectures. Their
// windows are shorter than a page of keys and values, so that a text of 70 tokens
// begins and ends within pages.
var smallArchitectures = map[string]spec{
	"llama mixture": smallOf("llama", func(s *spec) { s.experts, s.used, s.window = 4, 2, 33 }),
	"qwen2":         smallOf("qwen2", nil),
	"qwen3":         smallOf("qwen3", func(s *spec) { s.yarn = 4 }),
	"qwen3moe":      smallOf("qwen3moe", func(s *spec) { *s = s.of(tensor.Q4_0); s.experts, s.used = 5, 2 }),
	"gemma2":        smallOf("gemma2", func(s *spec) { s.window = 20 }),
	"gemma3":        smallOf("gemma3", func(s *spec) { s.window, s.blocks, s.ropeScaling = 20, 6, 8 }),
	"phi3":          smallOf("phi3", func(s *spec) { s.fused, s.ropeDim, s.longrope, s.window = true, 6, 256, 50 }),
	"smollm3":       smallOf("smollm3", func(s *spec) { s.blocks = 4 }),
	"granite":       smallOf("granite", func(s *spec) { s.biases = true }),
	"olmo2":         smallOf("olmo2", func(s *spec) { s.window, s.yarn, s.blocks = 20, 8, 4 }),
}

func TestSmallArchitecturesAreAll(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range smallArchitectures {
		seen[s.arch] = true
	}
	require.Equal(t, Architectures(), slices.Sorted(maps.Keys(seen)))
}

// goldenArchitectures are hashes as in golden.
var goldenArchitectures = map[string]string{
	"gemma2":        "274cf37166fd1a54ad7df74cd58e8b981bd23c35e85e629b6bd354cf402e61ab",
	"gemma3":        "9110b0b4bbe5440dde69e5224a4ca6a2fcdb9ab737fa1848864d80ab4a344189",
	"granite":       "542819e8e313a29f08878bc270eb0c93d21143b2c6789311a35533b3045c7f40",
	"llama mixture": "4bb54f9f18bdf99293ad8b86493d7c6b74a5342dd4cd570709a26faacdd9f1b1",
	"olmo2":         "5bc39198cc97b202d07328e534381829e95ca08d63ff585e8ef3178bf03b1167",
	"phi3":          "094a93611205da4ae9b9b52b29ae7f088f6a10cc146f4e747fba70b666e9fad9",
	"qwen2":         "34b4e9f2ae02ec05c0fca64176adb383e6ecdd3ac49401367bf03a0819bd6f2e",
	"qwen3":         "2f6b240f8fea945d5062179349bf6c969161cd7eb9383aaccd12c63388564ce6",
	"qwen3moe":      "ee76d5363f197d9f7549821f393728f314a456ae8b5fcbf39a6d5e409b370735",
	"smollm3":       "50312b2e938a28276d512ce93e525176462b483c0887708aedb0dc2556615741",
}

func TestGoldenArchitectures(t *testing.T) {
	for name, s := range smallArchitectures {
		t.Run(name, func(t *testing.T) {
			m := s.model(t)
			require.Equal(t, goldenArchitectures[name], variant{}.run(t, m, text(m, 70, 0)).both())
		})
	}
}

// Windows, caps and mixtures, computed in every way and under every set of
// kernels, give the same bits.
func TestArchitectureContract(t *testing.T) {
	for _, name := range []string{"gemma2", "olmo2", "qwen3moe"} {
		t.Run(name, func(t *testing.T) {
			m := smallArchitectures[name].model(t)
			tokens := text(m, 70, 0)
			want := variant{}.run(t, m, tokens)
			for _, level := range asm.Levels() {
				restore, err := asm.Use(level)
				require.NoError(t, err)
				defer restore()
				for kind, v := range variants {
					t.Run(fmt.Sprintf("%v/%s", level, kind), func(t *testing.T) {
						if level < asm.Best() && v.threads == 0 {
							t.Skip("slow in generic Go; threads have no part in the kernels")
						}
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

func TestArchitecturesDoNotAllocate(t *testing.T) {
	for name, s := range smallArchitectures {
		t.Run(name, func(t *testing.T) {
			m := s.model(t)
			r := runner(t, m, RunnerOptions{Threads: 2})
			q := r.NewSequence()
			next := make([]token.Token, 1)
			p := &Pass{Spans: []Span{{Seq: q, Tokens: text(m, 10, 0), Logits: LastLogits}}}
			require.NoError(t, r.Forward(t.Context(), p))
			step := func() {
				next[0].ID = (next[0].ID + 7) % int32(m.config.Vocabulary)
				p.Spans[0].Tokens = next
				if err := r.Forward(t.Context(), p); err != nil {
					t.Error(err)
				}
			}
			for range 40 {
				step()
			}
			q.Truncate(12)
			require.Zero(t, testing.AllocsPerRun(30, step))
		})
	}
}

// attn_out and mlp_out are what is added to the stream: after the norms of Gemma
// and OLMo, and after the factor of Granite.
func TestWhatIsAdded(t *testing.T) {
	tokens := func(m *Model) []token.Token { return text(m, 9, 0) }
	added := func(m *Model, s Site) []float32 {
		r := runner(t, m, RunnerOptions{})
		q, rec := r.NewSequence(), record(s)
		require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: tokens(m)}}, Hooks: []*Hook{&rec.Hook}}))
		r.Close()
		return rec.at(q, s, 9)
	}
	for _, name := range []string{"gemma2", "gemma3", "olmo2"} {
		f := smallArchitectures[name].file()
		f.meta[name+".attention.layer_norm_rms_epsilon"] = gguf.Scalar(float32(1e-12)) // or the lengths would not be 1
		m, err := f.load(t)
		require.NoError(t, err)
		defer m.Close()
		for b := range m.config.Blocks {
			for point, norm := range map[Point][]float32{AttnOut: m.blocks[b].postAttnNorm, MLPOut: m.blocks[b].postFFNNorm} {
				all := added(m, Site{point, b})
				for pos := range 9 {
					squares := 0.0
					for i, v := range all[pos*m.config.Width:][:m.config.Width] {
						x := float64(v) / float64(norm[i])
						squares += x * x
					}
					require.InDelta(t, 1, squares/float64(m.config.Width), 1e-5, "%s: %v of block %d has passed its norm", name, point, b)
				}
			}
		}
	}

	// The same files, but for the factor.
	f := smallArchitectures["granite"].file()
	scaled, err := f.load(t)
	require.NoError(t, err)
	defer scaled.Close()
	f.meta["granite.residual_scale"] = gguf.Scalar(float32(1))
	plain, err := f.load(t)
	require.NoError(t, err)
	defer plain.Close()
	want := added(plain, Site{AttnOut, 0})
	scale(want, 0.22)
	requireBits(t, want, added(scaled, Site{AttnOut, 0}))
}

// Phi 3's rotations are those for short texts unless the runner asks for more.
func TestLongRope(t *testing.T) {
	s := smallOf("phi3", func(s *spec) { s.longrope, s.blocks = 64, 2 })
	f := s.file()
	m, err := f.load(t)
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, 64, m.Config().Context)
	require.Equal(t, 512, m.Config().LongContext)
	for context, long := range map[int]bool{0: false, 50: false, 64: false, 65: true, 512: true} {
		t.Run(fmt.Sprint(context), func(t *testing.T) {
			r := runner(t, m, RunnerOptions{Context: context})
			defer r.Close()
			most := r.Options().Context
			n := min(most, 70)
			q, tokens := r.NewSequence(), text(m, n, 0)
			rec := record(Site{ResidPost, 1})
			require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: tokens}}, Hooks: []*Hook{&rec.Hook}}))
			resid, _ := plainForward(f, s, tokens, long)
			require.Less(t, relative(t, narrow(resid[1]), rec.at(q, Site{ResidPost, 1}, n)), maxError)
			other, _ := plainForward(f, s, tokens, !long)
			require.Greater(t, relative(t, narrow(other[1]), rec.at(q, Site{ResidPost, 1}, n)), 100*maxError, "or the test could not fail")
			if most < 512 {
				err = r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: text(m, most-n+1, 0)}}})
				require.ErrorIs(t, err, ErrContext)
				require.ErrorContains(t, err, fmt.Sprintf("of %d", most))
			}
		})
	}
	_, err = m.NewRunner(RunnerOptions{Context: 513})
	require.ErrorIs(t, err, ErrContext)
	_, err = m.NewRunner(RunnerOptions{Context: -1})
	require.Error(t, err)

	// A model without such factors has one context, which a runner may bound.
	_, err = small.model(t).NewRunner(RunnerOptions{Context: 513})
	require.ErrorIs(t, err, ErrContext)
}

// Which blocks have a sliding window.
func TestWindows(t *testing.T) {
	for name, c := range map[string]struct {
		arch    string
		window  any // uint32, or nothing
		pattern any
		size    int
		want    string // a letter a block: w where it has one
	}{
		"none":                       {arch: "llama", want: ""},
		"every block of Mistral":     {arch: "llama", window: uint32(9), size: 9, want: "wwwwwww"},
		"every block of Phi":         {arch: "phi3", window: uint32(9), size: 9, want: "wwwwwww"},
		"0 means none":               {arch: "phi3", window: uint32(0), want: ""},
		"every other one":            {arch: "gemma2", window: uint32(8), size: 8, want: "w-w-w-w"},
		"Gemma 2's default":          {arch: "gemma2", size: 4096, want: "w-w-w-w"},
		"five of six":                {arch: "gemma3", window: uint32(8), size: 8, want: "wwwww-w"},
		"Gemma 3 has no default":     {arch: "gemma3", want: ""},
		"three of four":              {arch: "olmo2", window: uint32(8), size: 8, want: "www-www"},
		"a pattern as number":        {arch: "olmo2", window: uint32(8), pattern: uint32(3), size: 8, want: "ww-ww-w"},
		"of 0: every block":          {arch: "gemma3", window: uint32(8), pattern: uint32(0), size: 8, want: "wwwwwww"},
		"of 1: no block":             {arch: "gemma3", window: uint32(8), pattern: uint32(1), want: ""},
		"a pattern as list":          {arch: "olmo2", window: uint32(8), pattern: []bool{true, false, false, true, true, false, false}, size: 8, want: "w--ww--"},
		"a list for others":          {arch: "qwen3", window: uint32(8), pattern: []bool{true, false, false, true, true, false, false}, size: 8, want: "w--ww--"},
		"longer than the context":    {arch: "qwen3", window: uint32(512), want: ""},
		"a list that has none of it": {arch: "gemma3", window: uint32(8), pattern: make([]bool, 7), want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := smallOf(c.arch, func(s *spec) { s.blocks = 7 })
			f := s.file()
			if w, ok := c.window.(uint32); ok {
				f.meta[c.arch+".attention.sliding_window"] = gguf.Scalar(w)
			}
			switch p := c.pattern.(type) {
			case uint32:
				f.meta[c.arch+".attention.sliding_window_pattern"] = gguf.Scalar(p)
			case []bool:
				f.meta[c.arch+".attention.sliding_window_pattern"] = gguf.Array(p)
			}
			g, err := gguf.Parse(f.encode(t), "random.gguf")
			require.NoError(t, err)
			config, err := ConfigOf(g)
			require.NoError(t, err)
			require.Equal(t, c.size, config.Window)
			got := ""
			for b := range config.Blocks {
				if config.Windowed(b) {
					got += "w"
				} else if c.want != "" {
					got += "-"
				}
			}
			require.Equal(t, c.want, got)
		})
	}
}

// The numbers that a file need not state, and those that it does.
func TestArchitectureNumbers(t *testing.T) {
	config := func(arch string, change func(s *spec, f *modelFile)) Config {
		s := smallOf(arch, nil)
		f := &modelFile{}
		if change != nil {
			change(&s, f)
		}
		g := s.file()
		maps.Copy(g.meta, f.meta)
		parsed, err := gguf.Parse(g.encode(t), "random.gguf")
		require.NoError(t, err)
		c, err := ConfigOf(parsed)
		require.NoError(t, err)
		return c
	}
	meta := func(kv map[string]any) func(*spec, *modelFile) {
		return func(_ *spec, f *modelFile) {
			f.meta = map[string]gguf.Value{}
			for k, v := range kv {
				switch v := v.(type) {
				case float32:
					f.meta[k] = gguf.Scalar(v)
				case uint32:
					f.meta[k] = gguf.Scalar(v)
				case string:
					f.meta[k] = gguf.Scalar(v)
				case bool:
					f.meta[k] = gguf.Scalar(v)
				}
			}
		}
	}
	c := config("gemma2", nil)
	require.Equal(t, float32(math.Sqrt(40)), c.EmbeddingScale)
	require.Equal(t, []float32{50, 30}, []float32{c.AttentionCap, c.LogitCap})
	require.Equal(t, float32(1/math.Sqrt(10)), c.AttentionScale)
	require.Equal(t, c.Rope, c.LocalRope)
	// The largest Gemma 2 and 3 scale by width over heads: 40/4 here, with heads of 12.
	wide := func(blocks int) func(s *spec, f *modelFile) {
		return func(s *spec, _ *modelFile) { s.blocks, s.headDim, s.ropeDim = blocks, 12, 12 }
	}
	require.Equal(t, float32(1/math.Sqrt(10)), config("gemma2", wide(46)).AttentionScale)
	require.Equal(t, float32(1/math.Sqrt(12)), config("gemma2", wide(45)).AttentionScale)
	require.Equal(t, float32(1/math.Sqrt(10)), config("gemma3", wide(62)).AttentionScale)
	require.Equal(t, float32(1/math.Sqrt(12)), config("gemma3", wide(46)).AttentionScale)

	c = config("gemma3", meta(map[string]any{"gemma3.rope.freq_base": float32(1e6), "gemma3.rope.scaling.factor": float32(8), "gemma3.attn_logit_softcapping": float32(20)}))
	require.Equal(t, RopeConfig{Base: 1e6, Scale: 0.125, Magnitude: 1}, c.Rope)
	require.Equal(t, RopeConfig{Base: 10000, Scale: 1, Magnitude: 1}, c.LocalRope)
	require.Equal(t, []float32{20, 0}, []float32{c.AttentionCap, c.LogitCap})
	require.Equal(t, 5000.0, config("gemma3", meta(map[string]any{"gemma3.rope.freq_base_swa": float32(5000)})).LocalRope.Base)

	c = config("granite", nil)
	require.Equal(t, []float32{12, 0.22, 0.25, 1. / 8}, []float32{c.EmbeddingScale, c.ResidualScale, c.AttentionScale, c.LogitScale})
	require.True(t, c.rotated(0))
	require.False(t, func() bool {
		c := config("granite", meta(map[string]any{"granite.rope.scaling.finetuned": false}))
		return c.rotated(0)
	}())

	yarn := map[string]any{"olmo2.rope.scaling.type": "yarn", "olmo2.rope.scaling.factor": float32(8), "olmo2.rope.scaling.original_context_length": uint32(64)}
	c = config("olmo2", meta(yarn))
	want := RopeConfig{Base: 10000, Scale: 0.125, Magnitude: 0.1*math.Log(8) + 1, Yarn: tensor.Yarn{Context: 64, Fast: 32, Slow: 1}}
	require.InDelta(t, want.Magnitude, c.Rope.Magnitude, 1e-15)
	want.Magnitude = c.Rope.Magnitude
	require.Equal(t, want, c.Rope)
	require.Equal(t, RopeConfig{Base: 10000, Scale: 1, Magnitude: 1}, c.LocalRope)
	// A further factor multiplies the magnitude, unless it is the magnitude itself.
	yarn["olmo2.rope.scaling.attn_factor"] = float32(1.5)
	require.InDelta(t, 1.5*want.Magnitude, config("olmo2", meta(yarn)).Rope.Magnitude, 1e-12)
	yarn["olmo2.rope.scaling.attn_factor"] = float32(want.Magnitude)
	require.Equal(t, want.Magnitude, config("olmo2", meta(yarn)).Rope.Magnitude)

	long := func(s *spec, _ *modelFile) { s.longrope = 64 }
	require.InDelta(t, math.Sqrt(1.5), config("phi3", long).Rope.Magnitude, 1e-15, "512 = 64 to the power 1.5")
	require.Equal(t, 1.25, config("phi3", func(s *spec, f *modelFile) {
		long(s, f)
		f.meta = map[string]gguf.Value{"phi3.rope.scaling.attn_factor": gguf.Scalar(float32(1.25))}
	}).Rope.Magnitude)
}

// The router takes the highest scores, of equal ones the lower index, and lists
// them by index.
func TestRoute(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, c := range map[string]struct {
		scores []float32
		chosen []int
		ratio  float64 // of the first weight to the second
	}{
		"highest":        {[]float32{1, 4, 2, 3}, []int{1, 3}, math.E},
		"by index":       {[]float32{3, 1, 2, 4}, []int{0, 3}, 1 / math.E},
		"ties":           {[]float32{2, 5, 5, 5}, []int{1, 2}, 1},
		"a tie below":    {[]float32{0, 1, 0, 0}, []int{0, 1}, 1 / math.E},
		"all the same":   {[]float32{7, 7, 7, 7}, []int{0, 1}, 1},
		"large":          {[]float32{-3e38, 3e38, 3e38, 0}, []int{1, 2}, 1},
		"not a number":   {[]float32{1, nan, 2, 3}, nil, nan64},
		"not the chosen": {[]float32{1, 2, 3, nan}, nil, nan64},
		"infinite":       {[]float32{1, inf, 2, 3}, nil, nan64},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Runner{model: &Model{config: Config{Experts: 4, ExpertsUsed: 2, Width: 16}}}
			r.mixture.resize(&r.model.config, 2)
			copy(r.mixture.scores[padded(4):], c.scores)
			routeRow(r, 1)
			w := r.mixture.weights[2:4]
			if c.chosen == nil {
				require.True(t, w[0] != w[0] && w[1] != w[1], "damage must not be hidden: %v", w)
				return
			}
			require.Equal(t, c.chosen, r.mixture.chosen[2:4])
			require.InEpsilon(t, c.ratio, float64(w[0]/w[1]), 1e-6)
			require.InDelta(t, 1, w[0]+w[1], 1e-6)
		})
	}
}

var nan64 = math.NaN()

// Hostile and strange files of the other architectures.
func TestLoadRefusesArchitectures(t *testing.T) {
	set := func(key string, v gguf.Value) func(*modelFile) { return func(f *modelFile) { f.meta[key] = v } }
	number := func(key string, v uint32) func(*modelFile) { return set(key, gguf.Scalar(v)) }
	float := func(key string, v float64) func(*modelFile) { return set(key, gguf.Scalar(float32(v))) }
	remove := func(name string) func(*modelFile) { return func(f *modelFile) { delete(f.tensors, name) } }
	dims := func(name string, dims ...int) func(*modelFile) {
		return func(f *modelFile) {
			d := f.tensors[name]
			d.Dims = dims
			f.tensors[name] = d
		}
	}
	zero := func(name string, n int) func(*modelFile) {
		return func(f *modelFile) { f.setVector(name, make([]float32, n)) }
	}
	both := func(a, b func(*modelFile)) func(*modelFile) { return func(f *modelFile) { a(f); b(f) } }
	for name, c := range map[string]struct {
		model       string
		edit        func(*modelFile)
		unsupported bool
		want        string
	}{
		"huge window":          {"gemma2", set("gemma2.attention.sliding_window", gguf.Scalar(uint64(1)<<40)), false, `key "gemma2.attention.sliding_window": 1099511627776 is outside 0 to 2147483647`},
		"negative window":      {"gemma2", set("gemma2.attention.sliding_window", gguf.Scalar(int32(-1))), false, `key "gemma2.attention.sliding_window"`},
		"window as text":       {"gemma3", set("gemma3.attention.sliding_window", gguf.Scalar("wide")), false, `key "gemma3.attention.sliding_window"`},
		"short pattern":        {"gemma3", set("gemma3.attention.sliding_window_pattern", gguf.Array([]bool{true})), false, `key "gemma3.attention.sliding_window_pattern": is neither a number nor a list of 6 truth values`},
		"pattern as text":      {"olmo2", set("olmo2.attention.sliding_window_pattern", gguf.Scalar("LLG")), false, `key "olmo2.attention.sliding_window_pattern"`},
		"window somewhere":     {"qwen3", number("qwen3.attention.sliding_window", 64), true, `key "qwen3.attention.sliding_window": a sliding window of 64, without a word on which blocks have it`},
		"cap, NaN":             {"gemma2", float("gemma2.attn_logit_softcapping", math.NaN()), false, `key "gemma2.attn_logit_softcapping"`},
		"cap, negative":        {"gemma2", float("gemma2.final_logit_softcapping", -30), false, `key "gemma2.final_logit_softcapping": -30 is outside 0 to`},
		"scale, negative":      {"granite", float("granite.embedding_scale", -1), false, `key "granite.embedding_scale": -1 is outside`},
		"scale, infinite":      {"granite", float("granite.residual_scale", math.Inf(1)), false, `key "granite.residual_scale"`},
		"scale, tiny":          {"granite", float("granite.logit_scale", 1e-30), false, `key "granite.logit_scale"`},
		"scale as text":        {"granite", set("granite.attention.scale", gguf.Scalar("1")), false, `key "granite.attention.scale"`},
		"scale elsewhere":      {"qwen2", float("qwen2.logit_scale", 8), true, `key "qwen2.logit_scale": 8 is not supported for architecture "qwen2"`},
		"switch as number":     {"granite", number("granite.rope.scaling.finetuned", 1), false, `key "granite.rope.scaling.finetuned"`},
		"huge mixture":         {"qwen3moe", number("qwen3moe.expert_count", 1<<20), false, `key "qwen3moe.expert_count": 1048576 is outside 0 to 1024`},
		"more used than there": {"qwen3moe", number("qwen3moe.expert_used_count", 6), false, `key "qwen3moe.expert_used_count": 6 is outside 1 to 5`},
		"none used":            {"qwen3moe", number("qwen3moe.expert_used_count", 0), false, `key "qwen3moe.expert_used_count": 0 is outside 1 to 5`},
		"narrow experts":       {"qwen3moe", number("qwen3moe.expert_feed_forward_length", 32), false, `tensor "blk.0.ffn_gate_exps.weight": has 480 rows`},
		"no width":             {"qwen3moe", number("qwen3moe.expert_feed_forward_length", 0), false, `key "qwen3moe.expert_feed_forward_length"`},
		"experts elsewhere":    {"gemma2", number("gemma2.expert_count", 4), true, `mixture of 4 experts is not supported for architecture "gemma2"`},
		"shared experts":       {"qwen3moe", number("qwen3moe.expert_shared_count", 1), true, `key "qwen3moe.expert_shared_count": 1 is not supported`},
		"other gate":           {"qwen3moe", number("qwen3moe.expert_gating_func", 2), true, `key "qwen3moe.expert_gating_func": 2 is not supported`},
		"transposed experts":   {"qwen3moe", dims("blk.1.ffn_up_exps.weight", 64, 5, 96), false, `tensor "blk.1.ffn_up_exps.weight": has dimensions [64 5 96], want 64 by 96 for each of 5 experts`},
		"flat experts":         {"qwen3moe", dims("blk.1.ffn_down_exps.weight", 96, 64*5), false, `tensor "blk.1.ffn_down_exps.weight": has dimensions [96 320]`},
		"no router":            {"qwen3moe", remove("blk.0.ffn_gate_inp.weight"), false, `tensor "blk.0.ffn_gate_inp.weight": missing`},
		"not causal":           {"qwen2", set("qwen2.attention.causal", gguf.Scalar(false)), true, `key "qwen2.attention.causal": 0 is not supported`},
		"no bias":              {"qwen2", remove("blk.1.attn_k.bias"), false, `tensor "blk.1.attn_k.bias": missing`},
		"no norm of queries":   {"qwen3", remove("blk.1.attn_q_norm.weight"), false, `tensor "blk.1.attn_q_norm.weight": missing`},
		"no norm afterwards":   {"olmo2", remove("blk.1.post_ffw_norm.weight"), false, `tensor "blk.1.post_ffw_norm.weight": missing`},
		"a norm before":        {"olmo2", zero("blk.0.attn_norm.weight", 40), true, `tensor "blk.0.attn_norm.weight": a tensor that this architecture does not use`},
		"narrow queries":       {"phi3", dims("blk.0.attn_qkv.weight", 80, 40), false, `tensor "blk.0.attn_qkv.weight": has 40 rows of 80 elements, want 80 rows of 40`},
		"half a gate":          {"phi3", dims("blk.0.ffn_up.weight", 80, 52), false, `tensor "blk.0.ffn_gate.weight": missing`},
		"no long factors":      {"phi3", both(remove("rope_factors_long.weight"), set("phi3.rope.scaling.type", gguf.Scalar("longrope"))), false, `tensor "rope_factors_long.weight": missing`},
		"only short factors":   {"phi3", remove("rope_factors_long.weight"), true, `tensor "rope_factors_short.weight": a tensor that this architecture does not use`},
		"factor 0":             {"phi3", zero("rope_factors_long.weight", 3), false, `tensor "rope_factors_long.weight": factor 0 is 0`},
		"first context 0":      {"phi3", number("phi3.rope.scaling.original_context_length", 0), false, `key "phi3.rope.scaling.original_context_length"`},
		"magnitude, NaN":       {"phi3", float("phi3.rope.scaling.attn_factor", math.NaN()), false, `key "phi3.rope.scaling.attn_factor"`},
		"YaRN, no slow":        {"qwen3", float("qwen3.rope.scaling.yarn_beta_slow", 0), false, `key "qwen3.rope.scaling.yarn_beta_fast": YaRN with betas 32 and 0`},
		"YaRN, base 1":         {"qwen3", float("qwen3.rope.freq_base", 1), false, `a base of 1 is not possible`},
		"YaRN, multiplier":     {"qwen3", float("qwen3.rope.scaling.yarn_log_multiplier", 0.1), true, `key "qwen3.rope.scaling.yarn_log_multiplier"`},
		"YaRN, tiny factor":    {"qwen3", float("qwen3.rope.scaling.factor", 1e-30), false, `key "qwen3.rope.scaling.factor": factor`},
		"local base":           {"gemma3", float("gemma3.rope.freq_base_swa", 0.5), false, `key "gemma3.rope.freq_base_swa": 0.5 is outside 1 to`},
		"two kinds of factors": {"phi3", zero("rope_freqs.weight", 3), true, `tensor "rope_freqs.weight": a tensor that this architecture does not use`},
	} {
		t.Run(name, func(t *testing.T) {
			f := smallArchitectures[c.model].file()
			c.edit(f)
			m, err := f.load(t)
			require.Nil(t, m)
			require.ErrorContains(t, err, "random.gguf")
			require.ErrorContains(t, err, c.want)
			if c.unsupported {
				require.ErrorIs(t, err, ErrUnsupported)
			} else {
				require.NotErrorIs(t, err, ErrUnsupported)
			}
		})
	}
}

// unstacked gives every expert of a mixture tensors of its own.
func (f *modelFile) unstacked(experts int) *modelFile {
	for name, all := range f.tensors {
		stem, ok := strings.CutSuffix(name, "_exps.weight")
		if !ok {
			continue
		}
		delete(f.tensors, name)
		for e := range experts {
			one := all
			one.Name, one.Dims = fmt.Sprintf("%s.%d.weight", stem, e), all.Dims[:2]
			one.Data = all.Data[e*len(all.Data)/experts:][:len(all.Data)/experts]
			f.tensors[one.Name] = one
		}
	}
	return f
}

// Old files of Mixtral have a tensor for each expert. They give the same bits as
// those that stack them, and miss none quietly.
func TestUnstackedExperts(t *testing.T) {
	s := smallArchitectures["llama mixture"]
	for _, s := range []spec{s, s.of(tensor.Q4_0)} {
		stacked := s.model(t)
		apart, err := s.file().unstacked(s.experts).load(t)
		require.NoError(t, err)
		defer apart.Close()
		var logits [2][]float32
		for i, m := range []*Model{stacked, apart} {
			r := runner(t, m, RunnerOptions{Threads: 1})
			seq := r.NewSequence()
			require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: seq, Tokens: text(m, 20, 0), Logits: LastLogits}}}))
			logits[i] = slices.Clone(r.Logits(0))
		}
		require.Equal(t, logits[0], logits[1])
	}
	f := s.file().unstacked(s.experts)
	delete(f.tensors, "blk.1.ffn_up.3.weight")
	_, err := f.load(t)
	require.ErrorContains(t, err, `tensor "blk.1.ffn_up.3.weight": missing`)
	f = s.file().unstacked(s.experts)
	f.tensors["blk.1.ffn_up.4.weight"] = gguf.TensorData{Name: "blk.1.ffn_up.4.weight", Type: tensor.F32, Dims: []int{1}, Data: make([]byte, 4)}
	_, err = f.load(t)
	require.ErrorContains(t, err, `tensor "blk.1.ffn_up.4.weight": a tensor that this architecture does not use`)
}
