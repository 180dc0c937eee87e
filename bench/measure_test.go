package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/bench/synth"
	"github.com/limbic-go/limbic/llama"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		samples          []float64
		median, min, max float64
		text             string
	}{
		{nil, 0, 0, 0, "-"},
		{[]float64{3}, 3, 3, 3, "3.00 (3.00–3.00)"},
		{[]float64{300, 10, 20}, 20, 10, 300, "20.0 (10.0–300)"},
		{[]float64{4, 1, 3, 2}, 2.5, 1, 4, "2.50 (1.00–4.00)"},
	} {
		s := NewSpread(c.samples)
		assert.Equal(t, []float64{c.median, c.min, c.max}, []float64{s.Median, s.Min, s.Max})
		assert.Equal(t, c.text, s.String())
		assert.Equal(t, c.samples, s.Samples, "in the order in which they were taken")
	}
}

// A machine that slows down by half after the first round leaves ratios by
// round alone; those of medians would not tell.
func TestRatios(t *testing.T) {
	r := Ratios(NewSpread([]float64{40, 20, 20}), NewSpread([]float64{20, 10, 10, 99}))
	assert.Equal(t, []float64{2, 2, 2}, r.Samples)
	assert.Empty(t, Ratios(NewSpread([]float64{1}), NewSpread([]float64{0})).Samples, "no division by 0")
	assert.Empty(t, Ratios(Spread{}, NewSpread([]float64{1})).Samples)
}

func TestLimits(t *testing.T) {
	m, err := NewMemory(0)
	require.NoError(t, err)
	defer m.Close()
	for _, threads := range []int{1, 3} {
		for _, l := range []Limit{m.Read(threads, short), Float32Peak(threads, short), Int8Peak(threads, short), PanelPeak(threads, short)} {
			assert.Equal(t, threads, l.Threads)
			assert.NotEmpty(t, l.Name)
			assert.NotEmpty(t, l.Unit)
			if !l.Measured() {
				assert.Contains(t, l.String(), "not measured")
				assert.Empty(t, l.How)
				continue
			}
			assert.Len(t, l.Samples, 3)
			assert.Positive(t, l.Min)
			assert.NotEmpty(t, l.How)
			assert.Contains(t, l.String(), l.Unit)
		}
	}
	assert.Equal(t, "x, 2 threads: not measured", Limit{Name: "x", Threads: 2}.String())
}

func tiny(t *testing.T) *llama.Runner {
	t.Helper()
	s, err := synth.ShapeByName("tiny")
	require.NoError(t, err)
	return start(t, open(t, write(t, s, "Q8_0")), llama.Exact)
}

func TestRun(t *testing.T) {
	r := tiny(t)
	var told []string
	o := Options{
		Prompt: 5, Generate: 3, Texts: 2, TextTokens: 4, Site: llama.DefaultSite(2), Repeat: 2,
		Progress: func(done, total int) { told = append(told, fmt.Sprintf("%d/%d", done, total)) },
	}
	s, err := Run(context.Background(), r, o)
	require.NoError(t, err)
	for _, x := range []Spread{s.Prompt, s.Generate, s.Extract} {
		assert.Len(t, x.Samples, 2)
		assert.Positive(t, x.Min)
	}
	assert.Equal(t, []string{"1/6", "2/6", "3/6", "4/6", "5/6", "6/6"}, told)

	s, err = Run(context.Background(), r, Options{Generate: 1})
	require.NoError(t, err)
	assert.Len(t, s.Generate.Samples, 1)
	assert.Empty(t, s.Prompt.Samples)
	assert.Empty(t, s.Extract.Samples)

	// The context is there, and each repetition begins after it: one token more,
	// and the model's would not hold them.
	s, err = Run(context.Background(), r, Options{Generate: 8, Depth: 2040, Repeat: 2})
	require.NoError(t, err)
	assert.Len(t, s.Generate.Samples, 2)
}

func TestRunErrors(t *testing.T) {
	r := tiny(t)
	for _, c := range []struct {
		o   Options
		err string
	}{
		{Options{Prompt: -1}, "negative"},
		{Options{Texts: 1}, "no tokens"},
		{Options{Prompt: 2049}, "context holds 2048"},
		{Options{Texts: 1, TextTokens: 5000}, "context holds 2048"},
		{Options{Generate: 8, Depth: 2041}, "2049 tokens: the model's context holds 2048"},
		{Options{Generate: 8, Depth: -1}, "negative"},
		{Options{Texts: 1, TextTokens: 5, Site: llama.Site{Point: llama.ResidPost, Block: 7}}, "resid_post:7"},
	} {
		_, err := Run(context.Background(), r, c.o)
		assert.ErrorContains(t, err, c.err)
	}
	// What was measured before an interrupt is kept.
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Run(ctx, r, Options{Prompt: 2, Repeat: 5, Progress: func(done, _ int) {
		if done == 2 {
			cancel()
		}
	}})
	assert.True(t, errors.Is(err, context.Canceled))
	assert.Len(t, s.Prompt.Samples, 2)
}

// The cost of a model, by hand: 256 wide, 512 in the feed-forward layers, four
// heads of 64 of which two have keys and values, 512 tokens.
func TestCost(t *testing.T) {
	s, err := synth.ShapeByName("tiny")
	require.NoError(t, err)
	const blocks = 2 * (256*256 + 256*128 + 256*128 + 256*256 + 3*256*512)
	const head = 512 * 256
	c := CostOf(write(t, s, "Q8_0"))
	assert.Equal(t, Cost{BlockWeights: blocks, HeadWeights: head, Bytes: (blocks + head) / 32 * 34}, c)
	assert.Equal(t, 2.0*blocks, c.PromptOps())
	// An embedding that is not the output matrix is not read for every token.
	s.Untied = true
	assert.Equal(t, c, CostOf(write(t, s, "Q8_0")))
}
