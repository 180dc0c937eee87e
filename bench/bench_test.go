package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/bench/synth"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// The peaks that benchmarks are compared with, of one thread, measured when the
// first of them needs it.
var (
	float32Peak = sync.OnceValue(func() Limit { return Float32Peak(1, Timing{}) })
	int8Peak    = sync.OnceValue(func() Limit { return Int8Peak(1, Timing{}) })
	memoryPeak  = sync.OnceValue(func() Limit {
		m, err := NewMemory(MemoryBytes)
		if err != nil {
			return Limit{}
		}
		defer m.Close()
		return m.Read(1, Timing{})
	})
)

// reportOps reports operations per second, and their share of peaks.
func reportOps(b *testing.B, ops float64) {
	gops := ops * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(gops, "GOP/s")
	if l := float32Peak(); l.Measured() {
		b.ReportMetric(100*gops/l.Median, "%float32")
	}
	if l := int8Peak(); l.Measured() {
		b.ReportMetric(100*gops/l.Median, "%int8")
	}
}

// reportBytes reports bytes read from memory per second, and their share of
// what memory gives.
func reportBytes(b *testing.B, bytes float64) {
	gb := bytes * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(gb, "GB/s")
	if l := memoryPeak(); l.Measured() {
		b.ReportMetric(100*gb/l.Median, "%memory")
	}
}

func floats(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// BenchmarkPanels is the float32 matrix kernel, by panels of 16 rows and by
// columns, on data in the nearest cache.
func BenchmarkPanels(b *testing.B) {
	const k = 96
	for _, c := range []struct{ panels, cols int }{{1, 1}, {4, 1}, {1, 6}, {4, 6}, {1, 12}} {
		b.Run(fmt.Sprintf("%dx%d", c.panels*asm.Rows, c.cols), func(b *testing.B) {
			y, w, x := make([]float32, c.cols*c.panels*asm.Rows), floats(c.panels*k*asm.Rows), floats(c.cols*k)
			for b.Loop() {
				asm.MulPanels(y, c.panels*asm.Rows, w, k*asm.Rows, x, k, k, c.panels, c.cols, false)
			}
			reportOps(b, float64(2*k*c.panels*asm.Rows*c.cols))
		})
	}
}

// BenchmarkVectors are the elementwise kernels, on 2048 elements in the nearest
// cache.
func BenchmarkVectors(b *testing.B) {
	const n = 2048
	x, y, z := floats(n), floats(n), floats(n)
	var sink float32
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Add", func() { asm.Add(z, x) }},
		{"Axpy", func() { asm.Axpy(z, x, 1e-6) }},
		{"Dot", func() { sink += asm.Dot(x, y) }},
		{"Max", func() { sink += asm.Max(x) }},
		{"RMSNorm", func() { tensor.RMSNorm(z, x, y, 1e-5) }},
		{"SiLUMul", func() { asm.SiLUMul(z, x, y) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
		})
	}
	_ = sink
}

// precisions are those in which a storage type differs.
func precisions(t tensor.Type) []tensor.Precision {
	if t.Block() == 1 {
		return []tensor.Precision{tensor.Exact}
	}
	return []tensor.Precision{tensor.Exact, tensor.Probe, tensor.Fast}
}

// BenchmarkMatrix multiplies a matrix of 2048 rows and columns, one thread, by
// storage type, precision and number of columns: one, as when generating, where
// the bytes of the matrix count, and many, as in a prompt.
func BenchmarkMatrix(b *testing.B) {
	const n = 2048
	pool := tensor.NewPool(1)
	defer pool.Close()
	s := synth.Shape{
		Name: "one matrix", Architecture: "llama", Blocks: 1, Width: n, FeedForward: 256, Heads: n / 64, KVHeads: n / 64, HeadDim: 64,
		Vocabulary: 512, Context: 512, NormEpsilon: 1e-5, RopeBase: 10000, Splitter: "gpt-2",
	}
	for _, name := range []string{"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0", "IQ4_XS", "Q2_K"} {
		f := write(b, s, "pure-"+name)
		t, _ := f.Tensor("blk.0.attn_q.weight")
		data, err := t.Data()
		if err != nil {
			b.Fatal(err)
		}
		var arena tensor.Arena
		m, err := tensor.NewMatrix(t.Type, n, n, data, &arena)
		if err != nil {
			b.Fatal(err)
		}
		for _, precision := range precisions(t.Type) {
			multiplier := tensor.NewMultiplier(pool, precision)
			for _, cols := range []int{1, 16, 128} {
				x, y := floats(cols*n), make([]float32, cols*m.Stride())
				b.Run(fmt.Sprintf("%s/%v/%d", name, precision, cols), func(b *testing.B) {
					for b.Loop() {
						if err := multiplier.Mul(x, n, cols, tensor.Product{W: m, Y: y}); err != nil {
							b.Fatal(err)
						}
					}
					reportOps(b, 2*n*n*float64(cols))
					if cols == 1 {
						reportBytes(b, float64(len(data)))
					}
				})
			}
		}
		if err := arena.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// write makes a model in memory.
func write(tb testing.TB, s synth.Shape, mix string) *gguf.File {
	tb.Helper()
	m, err := synth.MixByName(mix)
	if err != nil {
		tb.Fatal(err)
	}
	var buf bytes.Buffer
	if err := synth.Write(&buf, s, m, 1); err != nil {
		tb.Fatal(err)
	}
	f, err := gguf.Parse(buf.Bytes(), s.Name+" "+mix)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// open opens a model until the test or benchmark ends.
func open(tb testing.TB, f *gguf.File) *llama.Model {
	tb.Helper()
	m, err := llama.New(f)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close() })
	return m
}

// start starts a runner with one thread until the test or benchmark ends.
func start(tb testing.TB, m *llama.Model, precision llama.Precision) *llama.Runner {
	tb.Helper()
	r, err := m.NewRunner(llama.RunnerOptions{Threads: 1, Precision: precision})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

// BenchmarkLayer is one block of a model, one thread: attention, feed-forward,
// norms and all, of 128 tokens at once and of one after 127 others.
func BenchmarkLayer(b *testing.B) {
	for _, name := range []string{"SmolLM2-135M", "Llama-3.2-1B"} {
		s, err := synth.ShapeByName(name)
		if err != nil {
			b.Fatal(err)
		}
		s.Blocks, s.Vocabulary = 1, 512
		for _, mix := range []string{"F16", "Q8_0", "Q4_K_M"} {
			f := write(b, s, mix)
			m := open(b, f)
			head, _ := f.Tensor("token_embd.weight")
			t, _ := f.Tensor("blk.0.attn_q.weight")
			for _, precision := range precisions(t.Type) {
				layer(b, fmt.Sprintf("%s/%s/%v", name, mix, precision), start(b, m, precision), CostOf(f), head.Size())
			}
		}
	}
}

// layer runs the one block of r's model, whose output matrix of headBytes is
// not needed.
func layer(b *testing.B, name string, r *llama.Runner, cost Cost, headBytes int) {
	hook := &llama.Hook{Name: "end", Sites: []llama.Site{{Point: llama.ResidPost}}, Func: func(*llama.View) error { return nil }}
	seq := r.NewSequence()
	tokens := make([]token.Token, 128)
	forward := func(b *testing.B, tokens []token.Token) {
		err := r.Forward(context.Background(), &llama.Pass{
			Spans: []llama.Span{{Seq: seq, Tokens: tokens}}, Hooks: []*llama.Hook{hook},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run(name+"/prompt", func(b *testing.B) {
		for b.Loop() {
			seq.Truncate(0)
			forward(b, tokens)
		}
		reportOps(b, cost.PromptOps()*float64(len(tokens)))
	})
	b.Run(name+"/token", func(b *testing.B) {
		seq.Truncate(0)
		forward(b, tokens[1:])
		for b.Loop() {
			seq.Truncate(len(tokens) - 1)
			forward(b, tokens[:1])
		}
		reportBytes(b, float64(cost.Bytes-int64(headBytes)))
	})
}

// BenchmarkEngine measures a whole model as limbic bench does: the one that the
// variable LIMBIC_BENCH_MODEL names, or else random ones in the shape of
// SmolLM2-135M.
func BenchmarkEngine(b *testing.B) {
	type model struct {
		name string
		open func(b *testing.B) *gguf.File
	}
	var models []model
	if path := os.Getenv("LIMBIC_BENCH_MODEL"); path != "" {
		models = append(models, model{"file", func(b *testing.B) *gguf.File {
			f, err := gguf.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			return f
		}})
	} else {
		s, err := synth.ShapeByName("SmolLM2-135M")
		if err != nil {
			b.Fatal(err)
		}
		for _, mix := range []string{"Q8_0", "Q4_K_M"} {
			models = append(models, model{s.Name + "/" + mix, func(b *testing.B) *gguf.File { return write(b, s, mix) }})
		}
	}
	for _, m := range models {
		b.Run(m.name, func(b *testing.B) {
			f := m.open(b)
			opened := open(b, f)
			for _, precision := range []llama.Precision{llama.Exact, llama.Probe, llama.Fast} {
				b.Run(precision.String(), func(b *testing.B) { engine(b, start(b, opened, precision), CostOf(f)) })
			}
		})
	}
}

// engine measures the three kinds of passes.
func engine(b *testing.B, r *llama.Runner, cost Cost) {
	for _, c := range []struct {
		name   string
		tokens int
		o      Options
	}{
		{"prompt", 128, Options{Prompt: 128}},
		{"generate", 16, Options{Generate: 16}},
		{"extract", 480, Options{Texts: 4, TextTokens: 120, Site: llama.DefaultSite(r.Model().Config().Blocks)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := c.o
			o.Repeat = b.N
			s, err := Run(context.Background(), r, o)
			if err != nil {
				b.Fatal(err)
			}
			speed := NewSpread(slices.Concat(s.Prompt.Samples, s.Generate.Samples, s.Extract.Samples))
			b.ReportMetric(speed.Median, "tokens/s")
			b.ReportMetric(float64(c.tokens)*1e9/speed.Median, "ns/op") // without the first, untimed pass
			switch {
			case o.Prompt > 0:
				b.ReportMetric(speed.Median*cost.PromptOps()/1e9, "GOP/s")
			case o.Generate > 0:
				b.ReportMetric(speed.Median*float64(cost.Bytes)/1e9, "GB/s")
			}
		})
	}
}

// BenchmarkPool hands jobs of two empty items to the pool: what a barrier costs.
func BenchmarkPool(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			p := tensor.NewPool(threads)
			defer p.Close()
			for b.Loop() {
				p.Run(nothing{}, 2)
			}
		})
	}
}

type nothing struct{}

func (nothing) Do(_, _ int) {}

// short is a timing for tests.
var short = Timing{Runs: 3, Each: time.Millisecond}
