package steer

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// Every row is, to the bit, what runs of its own give.
func TestSweepEqualsFreshRuns(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	prompt := text(m, 9, 0)
	strengths := []float64{-6, 0, 9}
	dirs := RandomDirections(11, 2, v.Width)
	greedily, drawn := llama.Sampling{}, llama.Sampling{Temperature: 4, Seed: 3}
	for plan, sampling := range map[string]llama.Sampling{
		"v:calm=0#generated":                 drawn,
		"v:calm=0@resid_post:0,resid_post:1": greedily,
		"v:at-ease=0@resid_post:0#prompt":    drawn,
	} {
		t.Run(plan, func(t *testing.T) {
			// Small batches, so that KL takes several passes.
			r := newRunner(t, m, llama.RunnerOptions{Threads: 1, BatchTokens: 4})
			p := parse(t, plan)
			var progress []int
			rows, err := Sweep(t.Context(), r, prompt, SweepOptions{
				Plan: p, Load: From(v), Strengths: strengths, Random: 2, Seed: 11,
				MaxTokens: 8, KLTokens: 7, Sampling: sampling, IgnoreEnd: true,
				Progress: func(done, total int) { progress = append(progress, done, total) },
			})
			require.NoError(t, err)
			require.Equal(t, []int{1, 7, 2, 7, 3, 7, 4, 7, 5, 7, 6, 7, 7, 7}, progress)

			fresh := newRunner(t, m, llama.RunnerOptions{Threads: 1})
			var greedy []token.Token
			for step, err := range fresh.Generate(t.Context(), fresh.NewSequence(), llama.GenerateOptions{Prompt: prompt, MaxTokens: 7, IgnoreEnd: true}) {
				require.NoError(t, err)
				greedy = append(greedy, token.Token{ID: step.ID})
			}
			name := map[string]string{"calm": "calm", "at-ease": "at ease"}[p.Emotion]
			var want []Plan
			for _, s := range strengths {
				want = append(want, Plan{Vectors: "v", Emotion: name, Strength: s, Sites: p.Sites, Scope: p.Scope})
			}
			for i, d := range dirs {
				for _, s := range []float64{-6, 9} {
					want = append(want, Plan{Vectors: "v", Emotion: fmt.Sprint("random-", i+1), Strength: s, Sites: p.Sites, Scope: p.Scope, Direction: d})
				}
			}
			require.Len(t, rows, len(want))
			texts := map[string]bool{}
			for i, p := range want {
				row := rows[i]
				require.Equal(t, p.Emotion, row.Name)
				require.Equal(t, p.Strength, row.Strength)
				in, err := New(m, []Plan{p}, From(v), Options{})
				require.NoError(t, err)
				var ids []int32
				var text []byte
				for step, err := range fresh.Generate(t.Context(), fresh.NewSequence(), llama.GenerateOptions{
					Prompt: prompt, MaxTokens: 8, Sampling: sampling, Hooks: in.Hooks(), IgnoreEnd: true,
				}) {
					require.NoError(t, err)
					ids = append(ids, step.ID)
					text = append(text, step.Text...)
				}
				require.Equal(t, ids, row.Tokens)
				require.Equal(t, string(text), row.Text)
				require.Equal(t, in.Receipt(), row.Receipt)
				kl, err := MeanKL(t.Context(), fresh, prompt, greedy, in.Hooks())
				require.NoError(t, err)
				require.Equal(t, kl, row.KL)
				require.Equal(t, len(greedy), row.KLTokens)
				require.Equal(t, p.Strength == 0, row.KL == 0)
				texts[row.Text] = true
			}
			require.Greater(t, len(texts), 1) // steering did change the text
		})
	}
}

// Random directions are as long as the vectors that they stand beside.
func TestSweepNormsMatch(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	rows, err := Sweep(t.Context(), r, text(m, 4, 0), SweepOptions{
		Plan: parse(t, "v:calm=0"), Load: From(vectorsFor(m)), Strengths: []float64{0.2}, Random: 3, MaxTokens: 2, KLTokens: 2,
	})
	require.NoError(t, err)
	require.Len(t, rows, 4)
	for _, row := range rows {
		require.InDelta(t, 0.2*6, row.Receipt.Edits[0].Absolute, 1e-6)
	}
}

// KL is the mean over 64 tokens unless said, whatever is generated.
func TestSweepDefaults(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	kl := func(tokens int) float64 {
		rows, err := Sweep(t.Context(), r, text(m, 4, 0), SweepOptions{
			Plan: parse(t, "v:calm=0@resid_post:1"), Load: From(vectorsFor(m)), Strengths: []float64{9},
			MaxTokens: 1, KLTokens: tokens, IgnoreEnd: true,
		})
		require.NoError(t, err)
		require.Len(t, rows[0].Tokens, 1)
		return rows[0].KL
	}
	require.Equal(t, kl(64), kl(0))
	require.NotEqual(t, kl(64), kl(63))
}

func TestSweepJSON(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	rows, err := Sweep(t.Context(), r, text(m, 4, 0), SweepOptions{
		Plan: parse(t, "v:calm=0"), Load: From(vectorsFor(m)), Strengths: []float64{0}, MaxTokens: 2, KLTokens: 2,
	})
	require.NoError(t, err)
	data, err := json.Marshal(rows)
	require.NoError(t, err)
	var got []map[string]any
	require.NoError(t, json.Unmarshal(data, &got))
	require.Len(t, got, 1)
	for _, field := range []string{"name", "strength", "text", "tokens", "kl", "kl_tokens", "receipt"} {
		require.Contains(t, got[0], field)
	}
	require.Len(t, got[0], 7)
}

func TestSweepErrors(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	for _, tt := range []struct {
		plan   string
		tokens int
		spoil  func(*SweepOptions)
		want   string
	}{
		{plan: "v:calm=0", want: "the prompt is empty"},
		{plan: "v:calm=0", tokens: 3, spoil: func(o *SweepOptions) { o.Strengths = nil }, want: "no strengths"},
		{plan: "v:calm=0", tokens: 3, spoil: func(o *SweepOptions) { o.Random = -1 }, want: "none may be negative"},
		{plan: "v:clam=0", tokens: 3, want: `unknown emotion "clam": did you mean "calm"`},
		{plan: "v:calm=0@resid_post:7", tokens: 3, want: "block 7 does not exist"},
		{plan: "v:calm=0#prompt", tokens: 2, want: "no token in the scope prompt at resid_post:2"},
		{plan: "v:calm=0", tokens: 1, spoil: func(o *SweepOptions) { o.MaxTokens = 1 }, want: "no token in the scope all"},
		{plan: "v:calm=0", tokens: 3, spoil: func(o *SweepOptions) { o.Sampling.Temperature = -1 }, want: "temperature -1"},
		{plan: "v:calm=0", tokens: 3, spoil: func(o *SweepOptions) {
			o.Load = func(string) (*probe.Vectors, error) { return nil, context.DeadlineExceeded }
		}, want: "deadline exceeded"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			o := SweepOptions{Plan: parse(t, tt.plan), Load: From(v), Strengths: []float64{0.1}, MaxTokens: 3, KLTokens: 3}
			if tt.spoil != nil {
				tt.spoil(&o)
			}
			_, err := Sweep(t.Context(), r, text(m, tt.tokens, 0), o)
			require.ErrorContains(t, err, tt.want)
		})
	}

	// A prompt of one token is steered from the second on.
	rows, err := Sweep(t.Context(), r, text(m, 1, 0), SweepOptions{Plan: parse(t, "v:calm=0"), Load: From(v), Strengths: []float64{0.1}, MaxTokens: 3, KLTokens: 3, IgnoreEnd: true})
	require.NoError(t, err)
	require.Equal(t, 2, rows[0].Receipt.Edits[0].Edits)
}

// Rows that were complete when the context ended are given.
func TestSweepCancelled(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := Sweep(ctx, r, text(m, 4, 0), SweepOptions{
		Plan: parse(t, "v:calm=0"), Load: From(vectorsFor(m)), Strengths: []float64{0, 0.1, 0.2}, MaxTokens: 2, KLTokens: 2,
		Progress: func(done, total int) {
			if done == 2 {
				cancel()
			}
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, rows, 2)
}

// On a model that writes stories, stronger steering moves predictions further.
func TestSweepOfAWritingModel(t *testing.T) {
	m := stories(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 2})
	prompt := probe.Encode(m, "Once upon a time, there was a little girl named").Tokens
	rows, err := Sweep(t.Context(), r, prompt, SweepOptions{
		Plan: parse(t, "v:calm=0#generated"), Load: From(v), Strengths: []float64{0, 0.01, 0.1, 1}, Random: 2, MaxTokens: 40, KLTokens: 24,
	})
	require.NoError(t, err)
	require.Contains(t, rows[0].Text, "Lily")
	for _, i := range []int{1, 4, 7} {
		require.Less(t, 0.0, rows[i].KL)
		require.Less(t, rows[i].KL, rows[i+1].KL)
		require.Less(t, rows[i+1].KL, rows[i+2].KL)
	}
}
