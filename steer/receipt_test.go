package steer

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama"
)

func length(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// Every number of a receipt, computed anew from captured rows.
func TestReceiptNumbers(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in := inject(t, m, v, "v:grief stricken=-0.25@resid_post:1#generated")
	before, h := capture(residPost(1))
	after, x := capture(residPost(1))
	s := r.NewSequence()
	s.SetPrompt(4)
	tokens := text(m, 9, 0)
	forward(t, r, s, tokens, before, in.Hooks()[0], after)

	receipt := in.Receipt()
	require.NoError(t, receipt.Err())
	require.Len(t, receipt.Edits, 1)
	e := receipt.Edits[0]
	require.Equal(t, "v:grief-stricken=-0.25@resid_post:1#generated", e.Plan)
	require.Equal(t, "grief-stricken", e.Emotion)
	require.Equal(t, -0.25, e.Strength)
	require.Equal(t, "resid_post:1", e.Site)
	require.Equal(t, "output of block 1 of 3 (counted from 0)", e.Where)
	require.Equal(t, Generated, e.Scope)

	require.InDelta(t, 0.25*5, e.Absolute, 1e-6) // block 1 has mean norm 5
	require.InDelta(t, 0.25, e.Fraction, 1e-7)
	require.InDelta(t, 0.25*5/math.Sqrt(128), e.PerRootWidth, 1e-7)

	require.Equal(t, 6, e.Edits)
	name := m.Tokenizer().Text
	require.Equal(t, Position{3, tokens[3].ID, name(tokens[3].ID)}, *e.First)
	require.Equal(t, Position{8, tokens[8].ID, name(tokens[8].ID)}, *e.Last)
	var change, added float64
	for pos := 3; pos < 9; pos++ {
		h, x := h[residPost(1)][pos], x[residPost(1)][pos]
		diff := make([]float32, len(h))
		for i := range h {
			diff[i] = x[i] - h[i]
		}
		change += (length(x) - length(h)) / length(h) / 6
		added += length(diff) / length(h) / 6
	}
	require.InEpsilon(t, change, e.NormChange, 1e-9)
	require.InEpsilon(t, added, e.AddedNorm, 1e-6) // the difference was rounded
	require.Greater(t, e.AddedNorm, math.Abs(e.NormChange))
}

// First and last are the lowest and the highest position of any sequence.
func TestReceiptOfSeveralSequences(t *testing.T) {
	m := tinyModel(t)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in := inject(t, m, vectorsFor(m), "v:calm=0.1#generated")
	var spans []llama.Span
	for i, prompt := range []int{5, 7, 2} {
		s := r.NewSequence()
		s.SetPrompt(prompt)
		spans = append(spans, llama.Span{Seq: s, Tokens: text(m, []int{8, 10, 9}[i], i)})
	}
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{Spans: spans, Hooks: in.Hooks()}))
	e := in.Receipt().Edits[0]
	require.Equal(t, 4+4+8, e.Edits)
	require.Equal(t, 1, e.First.Pos)
	require.Equal(t, text(m, 2, 2)[1].ID, e.First.ID)
	require.Equal(t, 9, e.Last.Pos)
	require.Equal(t, text(m, 10, 1)[9].ID, e.Last.ID)

	// A row of zeros is edited, but has no norm to change.
	zero := target{size: 2}
	require.NoError(t, zero.record(&llama.Row{Pos: 4}, 0, 2))
	require.NoError(t, zero.record(&llama.Row{Pos: 5}, 8, 9))
	require.EqualValues(t, 2, zero.edits)
	require.EqualValues(t, 1, zero.measured)
	require.Equal(t, 0.125, zero.change.Mean(zero.measured))
	require.Equal(t, 0.25, zero.added.Mean(zero.measured))
}

// The fields are a contract with scripts.
func TestReceiptJSON(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	in := inject(t, m, v, "v:calm=0@resid_post:1", "v:calm=1#generated")
	tokens := text(m, 3, 0)
	forward(t, r, r.NewSequence(), tokens, in.Hooks()...)
	data, err := json.Marshal(in.Receipt())
	require.NoError(t, err)
	name := func(i int) string {
		text, err := json.Marshal(m.Tokenizer().Text(tokens[i].ID))
		require.NoError(t, err)
		return string(text)
	}
	size, err := json.Marshal(in.Receipt().Edits[1].Absolute)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(data, &got))
	second := got["edits"].([]any)[1].(map[string]any)
	require.InDelta(t, 1, second["fraction"], 1e-7)
	require.InDelta(t, 6/math.Sqrt(128), second["per_sqrt_width"], 1e-6)
	second["fraction"], second["per_sqrt_width"] = 1, 0.5
	data, err = json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"edits": [{
			"plan": "v:calm=0@resid_post:1", "emotion": "calm", "form": "denoised", "operator": "add",
			"strength": 0, "unit": "mean_norm", "site": "resid_post:1",
			"where": "output of block 1 of 3 (counted from 0)", "scope": "all",
			"absolute": 0, "fraction": 0, "per_sqrt_width": 0, "edits": 2,
			"first": {"position": 1, "id": `+itoa(tokens[1].ID)+`, "text": `+name(1)+`},
			"last": {"position": 2, "id": `+itoa(tokens[2].ID)+`, "text": `+name(2)+`},
			"norm_change": 0, "added_norm": 0
		}, {
			"plan": "v:calm=+1#generated", "emotion": "calm", "form": "denoised", "operator": "add",
			"strength": 1, "unit": "mean_norm", "site": "resid_post:2",
			"where": "output of block 2 of 3 (counted from 0)", "scope": "generated",
			"absolute": `+string(size)+`, "fraction": 1, "per_sqrt_width": 0.5, "edits": 0,
			"first": null, "last": null, "norm_change": 0, "added_norm": 0
		}],
		"not_reached": ["plan \"v:calm=+1#generated\": no token in the scope generated at resid_post:2"],
		"warnings": []
	}`, string(data))
}

func itoa(n int32) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestNotReached(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	r := newRunner(t, m, llama.RunnerOptions{Threads: 1})

	// Position 0 alone.
	in := inject(t, m, v, "v:calm=0.1", "v:calm=0")
	require.EqualError(t, in.Receipt().Err(), `steer: a plan reached nothing: plan "v:calm=+0.1": nothing was computed at resid_post:2; plan "v:calm=0": nothing was computed at resid_post:2`)
	forward(t, r, r.NewSequence(), text(m, 1, 0), in.Hooks()...)
	err := in.Receipt().Err()
	require.ErrorIs(t, err, ErrNotReached)
	require.EqualError(t, err, `steer: a plan reached nothing: plan "v:calm=+0.1": no token in the scope all at resid_post:2; plan "v:calm=0": no token in the scope all at resid_post:2`)
	require.Nil(t, in.Receipt().Edits[0].First)

	// One of two plans.
	in = inject(t, m, v, "v:calm=0.1", "v:at ease=0.1#generated")
	forward(t, r, r.NewSequence(), text(m, 4, 0), in.Hooks()...)
	err = in.Receipt().Err()
	require.ErrorIs(t, err, ErrNotReached)
	require.NotContains(t, err.Error(), "calm")
	require.ErrorContains(t, err, `plan "v:at ease=+0.1#generated": no token in the scope generated at resid_post:2`)

	// No plan, no complaint.
	none, err := New(m, nil, From(v), Options{})
	require.NoError(t, err)
	require.Empty(t, none.Hooks())
	require.NoError(t, none.Receipt().Err())
}

func TestWarnings(t *testing.T) {
	m := tinyModel(t)
	v := vectorsFor(m)
	require.Empty(t, inject(t, m, v, "v:calm=0.1").Receipt().Warnings)

	v.Sites[2].Norm.Mean = 1.3 * v.Sites[2].Norm.Median
	// Two plans, one warning of their site.
	warnings := inject(t, m, v, "v:calm=0.1", "v:desperate=0.1").Receipt().Warnings
	require.Equal(t, []string{`resid_post:2 of "v": a few large norms dominate the unit of strengths: the mean norm 7.67 is 1.30 times the median`}, warnings)

	warnings = inject(t, m, v, "v:calm=0.1@resid_post:0,resid_post:1").Receipt().Warnings
	require.Equal(t, []string{`plan "v:calm=+0.1@resid_post:0,resid_post:1" adds at 2 sites: the effects compound`}, warnings)
	require.Empty(t, inject(t, m, v, "v:calm=0@resid_post:0,resid_post:1").Receipt().Warnings)
}
