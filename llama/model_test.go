package llama

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// plainForward is all architectures in two pages of float64, without caches,
// blocks or kernels: the residual stream after each block, [block][position],
// and the logits. long takes the long factors of the rotations.
func plainForward(f *modelFile, s spec, tokens []token.Token, long bool) (resid [][][]float64, logits [][]float64) {
	t := s.traits()
	memo := map[string][]float64{}
	weights := func(name string) []float64 {
		if y, ok := memo[name]; ok {
			return y
		}
		d, ok := f.tensors[name]
		if !ok {
			return nil
		}
		n := 1
		for _, k := range d.Dims {
			n *= k
		}
		x := make([]float32, n)
		if err := tensor.Dequantize(x, d.Type, d.Data); err != nil {
			panic(err)
		}
		y := make([]float64, n)
		for i, v := range x {
			y[i] = float64(v)
		}
		memo[name] = y
		return y
	}
	mul := func(w []float64, x []float64) []float64 {
		y := make([]float64, len(w)/len(x))
		for r := range y {
			for i, v := range x {
				y[r] += w[r*len(x)+i] * v
			}
		}
		return y
	}
	linear := func(name string, x []float64) []float64 {
		y := mul(weights(name+".weight"), x)
		for i, v := range weights(name + ".bias") {
			y[i] += v
		}
		return y
	}
	norm := func(x, w []float64) []float64 {
		sum := 0.0
		for _, v := range x {
			sum += v * v
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v / math.Sqrt(sum/float64(len(x))+float64(float32(1e-5))) * w[i]
		}
		return y
	}
	// frequency of a pair, and what the rotated is multiplied with
	frequency := func(i int, local bool) (f, magnitude float64) {
		f, magnitude = math.Pow(10000, -2*float64(i)/float64(s.ropeDim)), 1
		if local && t.localPlain {
			return f, magnitude
		}
		factors := weights("rope_freqs.weight")
		if s.longrope != 0 {
			factors = weights("rope_factors_short.weight")
			if long {
				factors = weights("rope_factors_long.weight")
			}
			magnitude = math.Sqrt(1 + math.Log(float64(s.context)/float64(s.longrope))/math.Log(float64(s.longrope)))
		}
		if factors != nil {
			f /= factors[i]
		}
		if s.ropeScaling != 0 {
			f /= float64(s.ropeScaling)
		}
		if s.yarn != 0 {
			dim := func(turns float64) float64 {
				return float64(s.ropeDim) * math.Log(16/(turns*2*math.Pi)) / (2 * math.Log(10000))
			}
			low, high := max(math.Floor(dim(32)), 0), min(math.Ceil(dim(1)), float64(s.ropeDim-1))
			share := min(max((float64(i)-low)/max(high-low, 0.001), 0), 1)
			f = f*(1-share) + f/float64(s.yarn)*share
			magnitude = 0.1*math.Log(float64(s.yarn)) + 1
		}
		return f, magnitude
	}
	rotate := func(x []float64, pos int, local bool) { // one head
		for i := range s.ropeDim / 2 {
			f, magnitude := frequency(i, local)
			sin, cos := math.Sincos(float64(pos) * f)
			sin, cos = sin*magnitude, cos*magnitude
			first, second := 2*i, 2*i+1
			if t.halves {
				first, second = i, i+s.ropeDim/2
			}
			a, b := x[first], x[second]
			x[first], x[second] = a*cos-b*sin, a*sin+b*cos
		}
	}
	residual, attention, inLogits := 1.0, 1/math.Sqrt(float64(s.headDim)), 1.0
	embedding := weights("token_embd.weight")
	x := make([][]float64, len(tokens))
	for pos, tok := range tokens {
		x[pos] = append([]float64(nil), embedding[int(tok.ID)*s.width:][:s.width]...)
		for i := range x[pos] {
			if t.embedding {
				x[pos][i] *= math.Sqrt(float64(s.width))
			}
			if t.scales {
				x[pos][i] *= 12
			}
		}
	}
	if t.scales {
		residual, attention, inLogits = float64(float32(0.22)), 0.25, 1./8
	}
	dim := s.headDim
	feedForward := func(gate, up []float64, down func(x []float64) []float64) []float64 {
		y := make([]float64, len(gate))
		for i, g := range gate {
			if t.gelu {
				y[i] = 0.5 * g * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g))) * up[i]
			} else {
				y[i] = g / (1 + math.Exp(-g)) * up[i]
			}
		}
		return down(y)
	}
	for b := range s.blocks {
		name := func(n string) string { return fmt.Sprintf("blk.%d.%s", b, n) }
		w := func(n string) []float64 { return weights(name(n) + ".weight") }
		local := s.window > 0 && !t.global(b)
		var q, k, v [][]float64
		for pos := range x {
			n := x[pos]
			if t.preNorm {
				n = norm(n, w("attn_norm"))
			}
			var qp, kp, vp []float64
			if s.fused {
				all := linear(name("attn_qkv"), n)
				qp, kp, vp = all[:s.heads*dim], all[s.heads*dim:(s.heads+s.kvHeads)*dim], all[(s.heads+s.kvHeads)*dim:]
			} else {
				qp, kp, vp = linear(name("attn_q"), n), linear(name("attn_k"), n), linear(name("attn_v"), n)
			}
			if t.rowNorm {
				qp, kp = norm(qp, w("attn_q_norm")), norm(kp, w("attn_k_norm"))
			}
			for h := range s.heads + s.kvHeads {
				head, what := qp, "attn_q_norm"
				if h >= s.heads {
					head, what = kp[(h-s.heads)*dim:][:dim], "attn_k_norm"
				} else {
					head = head[h*dim:][:dim]
				}
				if t.headNorm {
					copy(head, norm(head, w(what)))
				}
				if t.rotates(b) {
					rotate(head, pos, local)
				}
			}
			q, k, v = append(q, qp), append(k, kp), append(v, vp)
		}
		for pos := range x {
			from := 0
			if local {
				from = max(0, pos+1-s.window)
			}
			heads := make([]float64, s.heads*dim)
			for h := range s.heads {
				shared := h / (s.heads / s.kvHeads) * dim
				scores, total, greatest := make([]float64, pos+1), 0.0, math.Inf(-1)
				for i := from; i <= pos; i++ {
					for d := range dim {
						scores[i] += q[pos][h*dim+d] * k[i][shared+d]
					}
					scores[i] *= attention
					if t.attentionCap != 0 {
						scores[i] = t.attentionCap * math.Tanh(scores[i]/t.attentionCap)
					}
					greatest = max(greatest, scores[i])
				}
				for i := from; i <= pos; i++ {
					scores[i] = math.Exp(scores[i] - greatest)
					total += scores[i]
				}
				for i := from; i <= pos; i++ {
					for d := range dim {
						heads[h*dim+d] += scores[i] / total * v[i][shared+d]
					}
				}
			}
			add := func(y []float64, post string) {
				if t.postNorm {
					y = norm(y, w(post))
				}
				for i, v := range y {
					x[pos][i] += v * residual
				}
			}
			add(linear(name("attn_output"), heads), "post_attention_norm")
			n := x[pos]
			if t.preNorm {
				n = norm(n, w("ffn_norm"))
			}
			down := func(x []float64) []float64 { return linear(name("ffn_down"), x) }
			switch {
			case s.experts > 0:
				add(plainExperts(mul(w("ffn_gate_inp"), n), s.used, func(e int) []float64 {
					of := func(what string) []float64 {
						all := w(what)
						return all[e*len(all)/s.experts:][:len(all)/s.experts]
					}
					return feedForward(mul(of("ffn_gate_exps"), n), mul(of("ffn_up_exps"), n), func(x []float64) []float64 { return mul(of("ffn_down_exps"), x) })
				}), "post_ffw_norm")
			case s.fused:
				both := linear(name("ffn_up"), n)
				add(feedForward(both[:s.ff], both[s.ff:], down), "post_ffw_norm")
			default:
				add(feedForward(linear(name("ffn_gate"), n), linear(name("ffn_up"), n), down), "post_ffw_norm")
			}
		}
		var after [][]float64
		for pos := range x {
			after = append(after, append([]float64(nil), x[pos]...))
		}
		resid = append(resid, after)
	}
	output := embedding
	if s.separateOutput {
		output = weights("output.weight")
	}
	for pos := range x {
		y := mul(output, norm(x[pos], weights("output_norm.weight")))
		for i := range y {
			y[i] *= inLogits
			if t.capEnd != 0 {
				y[i] = t.capEnd * math.Tanh(y[i]/t.capEnd)
			}
		}
		logits = append(logits, y)
	}
	return resid, logits
}

// plainExperts is the softmax over all experts, of which the likeliest are kept
// and rescaled: another way round than the engine's.
func plainExperts(scores []float64, used int, expert func(e int) []float64) []float64 {
	order := make([]int, len(scores))
	total := 0.0
	for e, s := range scores {
		order[e] = e
		total += math.Exp(s)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	kept := 0.0
	for _, e := range order[:used] {
		kept += math.Exp(scores[e]) / total
	}
	var sum []float64
	for _, e := range order[:used] {
		y := expert(e)
		if sum == nil {
			sum = make([]float64, len(y))
		}
		for i, v := range y {
			sum[i] += math.Exp(scores[e]) / total / kept * v
		}
	}
	return sum
}

// Shapes that fit nothing: every head size, width and vocabulary must give
// what the plain computation gives.
func TestShapes(t *testing.T) {
	for _, s := range []spec{
		{blocks: 1, width: 2, ff: 1, heads: 1, kvHeads: 1, headDim: 2, ropeDim: 2, vocab: 3},
		{blocks: 2, width: 15, ff: 17, heads: 3, kvHeads: 1, headDim: 2, ropeDim: 2, vocab: 5},
		{blocks: 2, width: 24, ff: 33, heads: 4, kvHeads: 4, headDim: 8, ropeDim: 8, vocab: 31, ropeScaling: 4},
		{blocks: 2, width: 24, ff: 33, heads: 6, kvHeads: 2, headDim: 8, ropeDim: 4, vocab: 31, separateOutput: true},
		{blocks: 3, width: 40, ff: 52, heads: 4, kvHeads: 2, headDim: 10, ropeDim: 10, vocab: 277},
		{blocks: 3, width: 70, ff: 100, heads: 8, kvHeads: 1, headDim: 10, ropeDim: 6, vocab: 48, separateOutput: true, ropeFactors: true},
		{blocks: 2, width: 36, ff: 16, heads: 2, kvHeads: 1, headDim: 18, ropeDim: 18, vocab: 33, ropeFactors: true},
		{blocks: 2, width: 54, ff: 30, heads: 3, kvHeads: 3, headDim: 18, ropeDim: 18, vocab: 17},
		{blocks: 1, width: 128, ff: 200, heads: 2, kvHeads: 1, headDim: 64, ropeDim: 64, vocab: 300, separateOutput: true},
		{blocks: 1, width: 20, ff: 20, heads: 1, kvHeads: 1, headDim: 66, ropeDim: 64, vocab: 20},
		small.of(tensor.BF16),
		small.of(tensor.Q5_0),
		small.of(tensor.Q3_K),

		// What other architectures have, and the reference files do not show.
		{biases: true, window: 9, blocks: 2, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31},
		{experts: 3, used: 3, blocks: 2, width: 24, ff: 19, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31},
		{arch: "qwen2", fused: true, biases: true, yarn: 4, blocks: 2, width: 18, ff: 20, heads: 3, kvHeads: 1, headDim: 6, ropeDim: 6, vocab: 31},
		{arch: "qwen3", blocks: 2, width: 20, ff: 33, heads: 2, kvHeads: 2, headDim: 14, ropeDim: 14, vocab: 31, yarn: 2.5},
		{arch: "qwen3moe", experts: 7, used: 3, blocks: 2, width: 24, ff: 10, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31},
		{arch: "qwen3moe", experts: 5, used: 2, blocks: 2, width: 64, ff: 96, heads: 4, kvHeads: 2, headDim: 16, ropeDim: 16, vocab: 31, typ: tensor.Q4_0},
		{arch: "gemma2", window: 5, blocks: 3, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 10, ropeDim: 10, vocab: 31},
		{arch: "gemma3", window: 3, ropeScaling: 8, blocks: 7, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 10, ropeDim: 10, vocab: 31},
		{arch: "phi3", fused: true, window: 6, blocks: 2, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 6, vocab: 31, longrope: 256},
		{arch: "phi3", fused: true, blocks: 2, width: 64, ff: 64, heads: 4, kvHeads: 4, headDim: 16, ropeDim: 16, vocab: 31, typ: tensor.Q8_0},
		{arch: "smollm3", yarn: 2, blocks: 5, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31},
		{arch: "granite", biases: true, blocks: 2, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31},
		{arch: "olmo2", window: 4, yarn: 8, blocks: 4, width: 24, ff: 33, heads: 4, kvHeads: 2, headDim: 8, ropeDim: 8, vocab: 31}, // as OLMo 3
	} {
		s.context = 512
		t.Run(fmt.Sprintf("%s %v width %d ff %d heads %d of %d of %d vocabulary %d", s.architecture(), s.typ, s.width, s.ff, s.kvHeads, s.heads, s.headDim, s.vocab), func(t *testing.T) {
			n := 70
			if s.typ.Block() == 256 {
				n = 5
			}
			f := s.file()
			m, err := f.load(t)
			require.NoError(t, err)
			defer m.Close()
			require.Equal(t, !s.separateOutput, m.output == m.embedding)
			r := runner(t, m, RunnerOptions{Threads: 2, BatchTokens: 50})
			defer r.Close()
			tokens := text(m, n, 0)
			seq := r.NewSequence()
			rec := record(allBlocks(m, ResidPost)...)
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{{Seq: seq, Tokens: tokens, Logits: AllLogits}}, Hooks: []*Hook{&rec.Hook},
			}))
			resid, logits := plainForward(f, s, tokens, false)
			for b, rows := range resid {
				require.Less(t, relative(t, narrow(rows), rec.at(seq, Site{ResidPost, b}, n)), maxError, "output of block %d", b)
			}
			var got []float32
			for i := range tokens {
				got = append(got, r.LogitsAt(0, i)...)
			}
			require.Less(t, relative(t, narrow(logits), got), maxError, "logits")
		})
	}
}

func narrow(rows [][]float64) []float32 {
	var all []float32
	for _, row := range rows {
		for _, v := range row {
			all = append(all, float32(v))
		}
	}
	return all
}

func TestConfig(t *testing.T) {
	s := small
	s.ropeDim = 6
	f := s.file()
	f.meta["llama.rope.freq_base"] = gguf.Scalar(float32(500000))
	f.meta["llama.rope.scaling.type"] = gguf.Scalar("linear")
	f.meta["llama.rope.scaling.factor"] = gguf.Scalar(float32(4))
	m, err := f.load(t)
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, Config{
		Architecture: "llama", Name: "random", Blocks: 3, Width: 40, FeedForward: 52, Heads: 4, KVHeads: 2, HeadDim: 10,
		RopeDim: 6, Context: 512, Vocabulary: 277, NormEpsilon: 1e-5,
		Rope: RopeConfig{Base: 500000, Scale: 0.25, Magnitude: 1}, LocalRope: RopeConfig{Base: 500000, Scale: 0.25, Magnitude: 1},
		EmbeddingScale: 1, AttentionScale: float32(1 / math.Sqrt(10)), ResidualScale: 1, LogitScale: 1,
		arch: architectures["llama"], rotates: true,
	}, m.Config())
	require.Equal(t, 277, m.Tokenizer().Size())
	require.Equal(t, "random.gguf", m.File().Path)
	hash, err := m.SHA256(t.Context())
	require.NoError(t, err)
	require.Len(t, hash, 64)

	// What a file may leave out.
	f = small.file()
	for _, key := range []string{"general.name", "llama.attention.head_count_kv", "llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count"} {
		delete(f.meta, key)
	}
	g, err := gguf.Parse(f.encode(t), "random.gguf")
	require.NoError(t, err)
	c, err := ConfigOf(g)
	require.NoError(t, err)
	require.Equal(t, Config{
		Architecture: "llama", Blocks: 3, Width: 40, FeedForward: 52, Heads: 4, KVHeads: 4, HeadDim: 10,
		RopeDim: 10, Context: 512, NormEpsilon: 1e-5,
		Rope: RopeConfig{Base: 10000, Scale: 1, Magnitude: 1}, LocalRope: RopeConfig{Base: 10000, Scale: 1, Magnitude: 1},
		EmbeddingScale: 1, AttentionScale: float32(1 / math.Sqrt(10)), ResidualScale: 1, LogitScale: 1,
		arch: architectures["llama"], rotates: true,
	}, c)

	for _, c := range []struct {
		keys map[string]gguf.Value
		want float64
	}{
		{map[string]gguf.Value{"scale_linear": gguf.Scalar(float32(2))}, 0.5},
		{map[string]gguf.Value{"scaling.factor": gguf.Scalar(float32(8))}, 0.125},
		{map[string]gguf.Value{"scaling.factor": gguf.Scalar(float32(8)), "scaling.type": gguf.Scalar("none")}, 1},
	} {
		f := small.file()
		for k, v := range c.keys {
			f.meta["llama.rope."+k] = v
		}
		m, err := f.load(t)
		require.NoError(t, err)
		require.Equal(t, c.want, m.Config().Rope.Scale)
		require.NoError(t, m.Close())
	}
}

// A file that is damaged, or that asks for something else than what limbic
// computes, is refused, and the error says which key or tensor of which file.
func TestLoadRefuses(t *testing.T) {
	set := func(key string, v gguf.Value) func(*modelFile) {
		return func(f *modelFile) { f.meta[key] = v }
	}
	number := func(key string, v uint32) func(*modelFile) { return set("llama."+key, gguf.Scalar(v)) }
	remove := func(keys ...string) func(*modelFile) {
		return func(f *modelFile) {
			for _, key := range keys {
				delete(f.meta, key)
				delete(f.tensors, key)
			}
		}
	}
	vector := func(name string, n int, x float32) func(*modelFile) {
		return func(f *modelFile) {
			v := make([]float32, n)
			for i := range v {
				v[i] = 1
			}
			v[n-1] = x
			f.setVector(name, v)
		}
	}
	all := func(edits ...func(*modelFile)) func(*modelFile) {
		return func(f *modelFile) {
			for _, e := range edits {
				e(f)
			}
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		edit        func(*modelFile)
		unsupported bool
		want        []string
	}{
		"no architecture":       {remove("general.architecture"), false, []string{`key "general.architecture"`}},
		"other architecture":    {set("general.architecture", gguf.Scalar("mamba")), true, []string{`"mamba" is not supported`, "(supported: gemma2, gemma3, granite, llama, olmo2, phi3, qwen2, qwen3, qwen3moe, smollm3)"}},
		"an adapter":            {set("general.type", gguf.Scalar("adapter")), true, []string{`key "general.type": the file holds an adapter (LoRA) for a model, and no model`}},
		"a projector":           {set("general.type", gguf.Scalar("mmproj")), true, []string{`the part of a model that reads images or sound`}},
		"number as type":        {set("general.type", gguf.Scalar(uint32(1))), false, []string{`key "general.type"`}},
		"number as name":        {set("general.name", gguf.Scalar(uint32(1))), false, []string{`key "general.name"`}},
		"experts":               {number("expert_count", 8), false, []string{`key "llama.expert_used_count"`}},
		"rope scaling":          {set("llama.rope.scaling.type", gguf.Scalar("dynamic")), true, []string{`key "llama.rope.scaling.type": rope scaling "dynamic" is not supported (supported: none, linear, yarn, longrope)`}},
		"rope factor":           {set("llama.rope.scaling.factor", gguf.Scalar(float32(0))), false, []string{`key "llama.rope.scaling.factor"`}},
		"rope factor, NaN":      {set("llama.rope.scaling.factor", gguf.Scalar(nan)), false, []string{`key "llama.rope.scaling.factor"`}},
		"rope base":             {set("llama.rope.freq_base", gguf.Scalar(float32(0.5))), false, []string{`key "llama.rope.freq_base": 0.5 is outside 1 to`}},
		"rope base, NaN":        {set("llama.rope.freq_base", gguf.Scalar(nan)), false, []string{`key "llama.rope.freq_base"`}},
		"no blocks key":         {remove("llama.block_count"), false, []string{`key "llama.block_count"`}},
		"no blocks":             {number("block_count", 0), false, []string{`key "llama.block_count": 0 is outside 1 to 4096`}},
		"too many blocks":       {number("block_count", 5000), false, []string{`key "llama.block_count": 5000`}},
		"no width":              {number("embedding_length", 0), false, []string{`key "llama.embedding_length"`}},
		"absurd width":          {number("embedding_length", 1<<31), false, []string{`key "llama.embedding_length": 2147483648`}},
		"absurd feed-forward":   {number("feed_forward_length", 1<<30), false, []string{`key "llama.feed_forward_length"`}},
		"absurd heads":          {all(number("attention.head_count", 1<<20), number("attention.head_count_kv", 1<<20)), false, []string{"1048576 heads of size 10 are too large"}},
		"absurd context":        {set("llama.context_length", gguf.Scalar(uint64(1)<<40)), false, []string{`key "llama.context_length"`}},
		"no heads":              {number("attention.head_count", 0), false, []string{`key "llama.attention.head_count"`}},
		"heads per layer":       {set("llama.attention.head_count", gguf.Array([]uint32{4, 4, 4})), false, []string{`key "llama.attention.head_count"`}},
		"uneven groups":         {number("attention.head_count_kv", 3), false, []string{"4 heads are no multiple of 3 key-value heads"}},
		"width by heads":        {all(number("attention.head_count", 3), remove("llama.attention.key_length")), false, []string{"width 40 is no multiple of the 3 heads"}},
		"odd head size":         {all(number("attention.key_length", 9), number("attention.value_length", 9), number("rope.dimension_count", 8)), false, []string{"head size 9"}},
		"odd rotation":          {number("rope.dimension_count", 7), false, []string{"7 rotated dimensions"}},
		"rotation beyond head":  {number("rope.dimension_count", 12), false, []string{"12 rotated dimensions"}},
		"values of other size":  {number("attention.value_length", 8), true, []string{"keys of size 10 and values of size 8"}},
		"no epsilon":            {remove("llama.attention.layer_norm_rms_epsilon"), false, []string{`key "llama.attention.layer_norm_rms_epsilon"`}},
		"epsilon, NaN":          {set("llama.attention.layer_norm_rms_epsilon", gguf.Scalar(nan)), false, []string{`key "llama.attention.layer_norm_rms_epsilon"`}},
		"epsilon, negative":     {set("llama.attention.layer_norm_rms_epsilon", gguf.Scalar(float32(-1))), false, []string{`key "llama.attention.layer_norm_rms_epsilon": -1 is outside 0 to 1`}},
		"no tokenizer":          {remove("tokenizer.ggml.tokens"), false, []string{`key "tokenizer.ggml.tokens"`}},
		"more tokens than rows": {func(f *modelFile) { f.setTokenizer(278) }, false, []string{"the tokenizer has 278 tokens, the embedding 277 rows"}},

		"no embedding":           {remove("token_embd.weight"), false, []string{`tensor "token_embd.weight": missing`}},
		"no final norm":          {remove("output_norm.weight"), false, []string{`tensor "output_norm.weight": missing`}},
		"no matrix":              {remove("blk.1.ffn_gate.weight"), false, []string{`tensor "blk.1.ffn_gate.weight": missing`}},
		"no norm":                {remove("blk.2.attn_norm.weight"), false, []string{`tensor "blk.2.attn_norm.weight": missing`}},
		"transposed":             {func(f *modelFile) { f.tensors["blk.0.ffn_up.weight"] = swap(f.tensors["blk.0.ffn_up.weight"]) }, false, []string{`tensor "blk.0.ffn_up.weight": has 40 rows of 52 elements, want 52 rows of 40`}},
		"short norm":             {vector("blk.0.ffn_norm.weight", 39, 1), false, []string{`tensor "blk.0.ffn_norm.weight": has 1 rows of 39 elements, want 1 rows of 40`}},
		"smaller output":         {vector("output.weight", 40, 1), false, []string{`tensor "output.weight": has 1 rows of 40 elements, want 277 rows of 40`}},
		"more blocks than said":  {number("block_count", 2), true, []string{`tensor "blk.2.`, "does not use"}},
		"fewer blocks than said": {number("block_count", 4), false, []string{`tensor "blk.3.attn_norm.weight": missing`}},
		"a strange norm":         {vector("blk.0.attn_q_norm.weight", 10, 1), true, []string{`tensor "blk.0.attn_q_norm.weight": a tensor that this architecture does not use`}},
		"a short bias":           {vector("blk.0.attn_q.bias", 39, 1), false, []string{`tensor "blk.0.attn_q.bias": has 1 rows of 39 elements, want 1 rows of 40`}},
		"NaN in a norm":          {vector("blk.1.attn_norm.weight", 40, nan), false, []string{`tensor "blk.1.attn_norm.weight": element 39 is NaN`}},
		"infinite norm":          {vector("output_norm.weight", 40, inf), false, []string{`tensor "output_norm.weight": element 39 is -Inf`}},
		"factor not positive":    {vector("rope_freqs.weight", 5, 0), false, []string{`tensor "rope_freqs.weight": factor 4 is 0, not positive or too small`}},
		"too many factors":       {vector("rope_freqs.weight", 6, 1), false, []string{`tensor "rope_freqs.weight": has 1 rows of 6 elements, want 1 rows of 5`}},
	} {
		t.Run(name, func(t *testing.T) {
			f := small.file()
			c.edit(f)
			m, err := f.load(t)
			require.Error(t, err)
			require.Nil(t, m)
			require.ErrorContains(t, err, "random.gguf")
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			if c.unsupported {
				require.ErrorIs(t, err, ErrUnsupported)
			} else {
				require.NotErrorIs(t, err, ErrUnsupported)
			}
		})
	}
}

// swap exchanges the dimensions that a tensor claims.
func swap(t gguf.TensorData) gguf.TensorData {
	t.Dims = []int{t.Dims[1], t.Dims[0]}
	return t
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "none.gguf"))
	require.ErrorIs(t, err, os.ErrNotExist)

	path := filepath.Join(dir, "text.gguf")
	require.NoError(t, os.WriteFile(path, []byte("this is a text, no model"), 0o644))
	_, err = Open(path)
	require.ErrorIs(t, err, gguf.ErrNotGGUF)
	require.ErrorContains(t, err, path)

	f := small.file()
	delete(f.tensors, "output_norm.weight")
	path = filepath.Join(dir, "half.gguf")
	require.NoError(t, os.WriteFile(path, f.encode(t), 0o644))
	_, err = Open(path)
	require.ErrorContains(t, err, path)
}

// Many goroutines may use a model at once, each with a runner of its own.
func TestModelIsSafeForConcurrentUse(t *testing.T) {
	m := small.of(tensor.Q4_0).model(t)
	tokens := text(m, 20, 0)
	want := variant{}.run(t, m, tokens)
	t.Run("group", func(t *testing.T) {
		for i := range 4 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, want, variant{threads: 2}.run(t, m, tokens))
			})
		}
	})
}

func TestCloseRefusesWhileRunnersAreOpen(t *testing.T) {
	m, err := Open(filepath.Join("..", "testdata", "models", "tiny-f32.gguf"))
	require.NoError(t, err)
	r, err := m.NewRunner(RunnerOptions{})
	require.NoError(t, err)
	require.ErrorContains(t, m.Close(), "before its 1 runners")
	r.Close()
	r.Close() // twice is once
	require.NoError(t, m.Close())
	_, err = m.NewRunner(RunnerOptions{})
	require.ErrorContains(t, err, "the model is closed")
}

// Damage that the residual stream does not show: in the output matrix alone.
func TestLogitsThatAreNotFinite(t *testing.T) {
	s := small
	s.separateOutput = true
	f := s.file()
	d := f.tensors["output.weight"]
	d.Data = slices.Clone(d.Data)
	binary.LittleEndian.PutUint32(d.Data[4*s.width*7:], math.Float32bits(float32(math.NaN())))
	f.tensors["output.weight"] = d
	m, err := f.load(t)
	require.NoError(t, err)
	defer m.Close()
	r := runner(t, m, RunnerOptions{})
	q := r.NewSequence()
	err = r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: ids(1, 2), Logits: LastLogits}}})
	require.ErrorContains(t, err, "the logits at position 1 of span 0 are not finite")
	require.Zero(t, q.Len())
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: q, Tokens: ids(1, 2)}}}))
}
