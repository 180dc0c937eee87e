package steer

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
)

func TestKL(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	inf := float32(math.Inf(1))
	for name, tt := range map[string]struct {
		base, steered []float32
		want          float64
	}{
		"equal":       {[]float32{1, -2, 0.3}, []float32{1, -2, 0.3}, 0},
		"one token":   {[]float32{5}, []float32{-3}, 0},
		"shifted":     {[]float32{1, 2}, []float32{101, 102}, 0},
		"3/4 and 1/2": {[]float32{ln(3), 0}, []float32{0, 0}, 0.75*math.Log(1.5) + 0.25*math.Log(0.5)},
		"1/2 and 3/4": {[]float32{0, 0}, []float32{ln(3), 0}, 0.5*math.Log(2.0/3) + 0.5*math.Log(2)},
		"three": {
			[]float32{ln(0.5), ln(0.3), ln(0.2)}, []float32{ln(0.2), ln(0.2), ln(0.6)},
			0.5*math.Log(2.5) + 0.3*math.Log(1.5) + 0.2*math.Log(1.0/3),
		},
		"large logits":         {[]float32{3e38, 0}, []float32{3e38, 1e38}, 0},
		"sure of another":      {[]float32{1000, 0}, []float32{0, 1000}, 1000},
		"impossible in both":   {[]float32{0, -inf}, []float32{0, -inf}, 0},
		"impossible in base":   {[]float32{0, -inf}, []float32{0, 0}, math.Log(2)},
		"impossible afterward": {[]float32{0, 0}, []float32{0, -inf}, math.Inf(1)},
	} {
		t.Run(name, func(t *testing.T) {
			got := KL(tt.base, tt.steered)
			if math.IsInf(tt.want, 1) {
				require.Equal(t, tt.want, got)
				return
			}
			require.InDelta(t, tt.want, got, 1e-7)
			require.False(t, math.Signbit(got))
		})
	}
	x := RandomDirections(1, 1, 1000)[0]
	require.Equal(t, 0.0, KL(x, x))
	require.Panics(t, func() { KL([]float32{1}, []float32{1, 2}) })
}

func TestMeanKL(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	prompt, continuation := text(m, 6, 0), text(m, 11, 4)
	vocabulary := m.Config().Vocabulary
	for _, plan := range []string{"v:calm=0.5@resid_post:0", "v:calm=0.5@resid_post:1#generated", "v:calm=0.5@resid_post:0#prompt"} {
		// The definition, one token at a time: the states of tokens 5 to 15
		// predict tokens 6 to 16.
		all := append(prompt[:6:6], continuation...)
		base := allLogits(t, r, all, 6, 1)
		steered := allLogits(t, r, all, 6, 1, inject(t, m, v, plan).Hooks()...)
		want := 0.0
		for pos := 5; pos <= 15; pos++ {
			at := pos * vocabulary
			want += KL(base[at:at+vocabulary], steered[at:at+vocabulary]) / 11
		}
		require.Positive(t, want)

		for _, batch := range []int{0, 4} { // passes of all tokens, or of some
			r := newRunner(t, m, llama.RunnerOptions{Threads: 1, BatchTokens: batch})
			in := inject(t, m, v, plan)
			got, err := MeanKL(t.Context(), r, prompt, continuation, in.Hooks())
			require.NoError(t, err)
			require.InEpsilon(t, want, got, 1e-12)
			edits := map[Scope]int{All: 15, Prompt: 4, Generated: 11}
			require.Equal(t, edits[in.Receipt().Edits[0].Scope], in.Receipt().Edits[0].Edits)
		}
	}

	got, err := MeanKL(t.Context(), r, prompt, continuation, nil)
	require.NoError(t, err)
	require.Zero(t, got)
	got, err = MeanKL(t.Context(), r, prompt[:1], continuation[:1], inject(t, m, v, "v:calm=0.5").Hooks())
	require.NoError(t, err)
	require.Zero(t, got) // position 0 is not edited

	_, err = MeanKL(t.Context(), r, nil, continuation, nil)
	require.ErrorContains(t, err, "a prompt of 0 tokens")
	_, err = MeanKL(t.Context(), r, prompt, nil, nil)
	require.ErrorContains(t, err, "a continuation of 0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = MeanKL(ctx, r, prompt, continuation, nil)
	require.ErrorIs(t, err, context.Canceled)
}
