package llama

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// Ids in the vocabulary of random models.
const endID = 2

func byteID(b byte) int32 { return int32(b) + 3 }

// script is a hook that makes a model say the given tokens after a prompt of n
// tokens: it puts the embedding of each where its logits are computed from. A
// model with tied embeddings then finds it the likeliest.
func script(m *Model, n int, say ...int32) *Hook {
	return &Hook{Name: "script", Sites: []Site{{Point: FinalNorm}}, Func: func(v *View) error {
		for i, row := range v.Rows {
			if k := row.Pos - (n - 1); k >= 0 && k < len(say) {
				m.embedding.Row(v.Edit(i), int(say[k]))
			}
		}
		return nil
	}}
}

// collect runs Generate to its end.
func collect(t *testing.T, r *Runner, s *Sequence, o GenerateOptions) (ids []int32, texts []string, err error) {
	t.Helper()
	for step, e := range r.Generate(t.Context(), s, o) {
		if e != nil {
			require.Nil(t, err, "only one error")
			err = e
			continue
		}
		require.NoError(t, err, "nothing follows an error")
		require.Len(t, step.Logits, r.model.config.Vocabulary)
		if o.Sampling == (Sampling{}) {
			require.Equal(t, argmax(step.Logits), step.ID)
		}
		ids = append(ids, step.ID)
		texts = append(texts, string(step.Text))
	}
	return ids, texts, err
}

func TestGenerate(t *testing.T) {
	a, b, c := byteID('a'), byteID('b'), byteID('c')
	prompt := ids(1, 30, 31)
	for name, x := range map[string]struct {
		say      []int32
		o        GenerateOptions
		context  int // 0 means 512
		want     []int32
		computed int // of the new tokens
		texts    []string
	}{
		"as many as asked":            {say: []int32{a, b, c, a}, o: GenerateOptions{MaxTokens: 3}, want: []int32{a, b, c}, computed: 2, texts: []string{"a", "b", "c"}},
		"one":                         {say: []int32{a}, o: GenerateOptions{MaxTokens: 1}, want: []int32{a}, computed: 0, texts: []string{"a"}},
		"the end token ends":          {say: []int32{a, endID, b}, o: GenerateOptions{MaxTokens: 9}, want: []int32{a, endID}, computed: 1, texts: []string{"a", ""}},
		"the end token is ignored":    {say: []int32{a, endID, b, c}, o: GenerateOptions{MaxTokens: 4, IgnoreEnd: true}, want: []int32{a, endID, b, c}, computed: 3, texts: []string{"a", "", "b", "c"}},
		"the context ends":            {say: []int32{a, b, c, a, b}, context: 6, o: GenerateOptions{MaxTokens: 9}, want: []int32{a, b, c, a}, computed: 3, texts: []string{"a", "b", "c", "a"}},
		"a word with its space":       {say: []int32{259, 260}, o: GenerateOptions{MaxTokens: 2}, want: []int32{259, 260}, computed: 1, texts: []string{" a", " b"}},
		"two bytes, one character":    {say: []int32{byteID(0xc3), byteID(0xa9), a}, o: GenerateOptions{MaxTokens: 3}, want: []int32{byteID(0xc3), byteID(0xa9), a}, computed: 2, texts: []string{"", "é", "a"}},
		"four bytes, one character":   {say: []int32{a, byteID(0xf0), byteID(0x9f), byteID(0x98), byteID(0x80), a}, o: GenerateOptions{MaxTokens: 6}, want: []int32{a, byteID(0xf0), byteID(0x9f), byteID(0x98), byteID(0x80), a}, computed: 5, texts: []string{"a", "", "", "", "😀", "a"}},
		"no character after all":      {say: []int32{byteID(0xf0), byteID(0x9f), a}, o: GenerateOptions{MaxTokens: 3}, want: []int32{byteID(0xf0), byteID(0x9f), a}, computed: 2, texts: []string{"", "", "\xf0\x9fa"}},
		"a byte that begins nothing":  {say: []int32{byteID(0xff), byteID(0x80), a}, o: GenerateOptions{MaxTokens: 3}, want: []int32{byteID(0xff), byteID(0x80), a}, computed: 2, texts: []string{"\xff", "\x80", "a"}},
		"half a character at the end": {say: []int32{a, byteID(0xc3)}, o: GenerateOptions{MaxTokens: 2}, want: []int32{a, byteID(0xc3)}, computed: 1, texts: []string{"a", "\xc3"}},
		"half, then the end token":    {say: []int32{byteID(0xc3), endID}, o: GenerateOptions{MaxTokens: 9}, want: []int32{byteID(0xc3), endID}, computed: 1, texts: []string{"", "\xc3"}},
		"half, a mark, the rest":      {say: []int32{byteID(0xc3), 1, byteID(0xa9)}, o: GenerateOptions{MaxTokens: 3}, want: []int32{byteID(0xc3), 1, byteID(0xa9)}, computed: 2, texts: []string{"", "", "é"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := small
			if x.context > 0 {
				s.context = x.context
			}
			m := s.model(t)
			r := runner(t, m, RunnerOptions{})
			seq := r.NewSequence()
			x.o.Prompt = prompt
			x.o.Hooks = []*Hook{script(m, len(prompt), x.say...)}
			got, texts, err := collect(t, r, seq, x.o)
			require.NoError(t, err)
			require.Equal(t, x.want, got)
			require.Equal(t, x.texts, texts)
			require.Equal(t, len(prompt), seq.Prompt())

			// All but the last token are in the sequence; their offsets follow
			// those of the prompt without a gap.
			require.Equal(t, len(prompt)+x.computed, seq.Len())
			end := prompt[2].End
			for i := range x.computed {
				tok := seq.Token(len(prompt) + i)
				require.Equal(t, x.want[i], tok.ID)
				require.Equal(t, end, tok.Start)
				end = tok.Start + len(m.tokenizer.Piece(tok.ID))
				require.Equal(t, end, tok.End)
			}
		})
	}
}

func TestGenerateDefaults(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	got, _, err := collect(t, r, r.NewSequence(), GenerateOptions{Prompt: text(m, 4, 0), IgnoreEnd: true})
	require.NoError(t, err)
	require.Len(t, got, 128)
}

// Generation goes on where a sequence ends, and gives what it gives when the
// prompt comes in one piece.
func TestGenerateContinues(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	prompt := text(m, 66, 0)
	run := func(s *Sequence, prompt []token.Token) []int32 {
		got, _, err := collect(t, r, s, GenerateOptions{Prompt: prompt, MaxTokens: 6, IgnoreEnd: true})
		require.NoError(t, err)
		require.Equal(t, 66, s.Prompt())
		require.Equal(t, 71, s.Len())
		return got
	}
	want := run(r.NewSequence(), prompt)
	for _, already := range []int{1, 64, 65, 66} {
		s := r.NewSequence()
		forward(t, r, s, prompt[:already], Pass{})
		require.Equal(t, want, run(s, prompt[already:]), "%d tokens were there", already)
	}

	// A loop that is left early leaves a sequence that can go on.
	s := r.NewSequence()
	var got []int32
	for step, err := range r.Generate(t.Context(), s, GenerateOptions{Prompt: prompt, MaxTokens: 6, IgnoreEnd: true}) {
		require.NoError(t, err)
		if got = append(got, step.ID); len(got) == 3 {
			break
		}
	}
	require.Equal(t, 68, s.Len())
	more, _, err := collect(t, r, s, GenerateOptions{Prompt: ids(got[2]), MaxTokens: 3, IgnoreEnd: true})
	require.NoError(t, err)
	require.Equal(t, want, append(got, more...))
}

// Hooks see which rows emit generated tokens.
func TestGenerateTellsGeneratedRows(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	s := r.NewSequence()
	forward(t, r, s, text(m, 2, 1), Pass{Hooks: []*Hook{&record(Site{Point: FinalNorm}).Hook}})
	var got []bool
	var roles []Role
	look := &Hook{Sites: []Site{{ResidPost, 0}}, Func: func(v *View) error {
		for _, row := range v.Rows {
			got = append(got, row.Generated())
			roles = append(roles, row.Role)
		}
		return nil
	}}
	_, _, err := collect(t, r, s, GenerateOptions{
		Prompt: text(m, 3, 0), Roles: []Role{RoleUser, RoleUser, RoleTemplate}, MaxTokens: 3, IgnoreEnd: true, Hooks: []*Hook{look},
	})
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true, true, true}, got)
	require.Equal(t, []Role{RoleUser, RoleUser, RoleTemplate, RoleText, RoleText}, roles)
}

func TestGenerateSamples(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	run := func(s Sampling, stream uint64) []int32 {
		s.Temperature = 1
		got, _, err := collect(t, r, r.NewSequence(), GenerateOptions{Prompt: text(m, 4, 0), MaxTokens: 12, IgnoreEnd: true, Sampling: s, Stream: stream})
		require.NoError(t, err)
		return got
	}
	require.Equal(t, run(Sampling{Seed: 1}, 0), run(Sampling{Seed: 1}, 0))
	require.NotEqual(t, run(Sampling{Seed: 1}, 0), run(Sampling{Seed: 2}, 0))
	require.NotEqual(t, run(Sampling{Seed: 1}, 0), run(Sampling{Seed: 1}, 1))
}

// The penalty sees the prompt, that which was in the sequence already too.
func TestGeneratePenalisesThePrompt(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	a, b := byteID('a'), byteID('b')
	for name, c := range map[string]struct {
		before, prompt []token.Token
		want           int32
	}{
		"not seen":        {ids(40), ids(41), a},
		"in the prompt":   {ids(40), ids(a), b},
		"in the sequence": {ids(a), ids(40), b},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.NewSequence()
			// Something between a and b, nearer to a.
			mix := &Hook{Sites: []Site{{Point: FinalNorm}}, Func: func(v *View) error {
				x, y := make([]float32, m.config.Width), make([]float32, m.config.Width)
				m.embedding.Row(x, int(a))
				m.embedding.Row(y, int(b))
				for i := range v.Rows {
					state := v.Edit(i)
					for k := range state {
						state[k] = 1.1*x[k] + y[k]
					}
				}
				return nil
			}}
			pass := Pass{Hooks: []*Hook{mix}}
			forward(t, r, s, c.before, pass)
			got, _, err := collect(t, r, s, GenerateOptions{Prompt: c.prompt, MaxTokens: 1, Hooks: pass.Hooks, Sampling: Sampling{RepeatPenalty: 3}})
			require.NoError(t, err)
			require.Equal(t, []int32{c.want}, got)
		})
	}
}

func TestGenerateIsCancelled(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	prompt := text(m, 5, 0)
	want, _, err := collect(t, r, r.NewSequence(), GenerateOptions{Prompt: prompt, MaxTokens: 6, IgnoreEnd: true})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := r.NewSequence()
	var got []int32
	var last error
	for step, err := range r.Generate(ctx, s, GenerateOptions{Prompt: prompt, MaxTokens: 6, IgnoreEnd: true}) {
		require.NoError(t, last, "nothing follows an error")
		if last = err; err != nil {
			continue
		}
		if got = append(got, step.ID); len(got) == 3 {
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Equal(t, want[:3], got)
	require.Equal(t, len(prompt)+2, s.Len())
}

// Where nothing could be generated, the sequence is as it was.
func TestGenerateFails(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		o      GenerateOptions
		is     error
		want   string
		length int // of the sequence before
	}{
		"nothing to continue":     {t.Context(), GenerateOptions{}, nil, "nothing to continue", 0},
		"negative":                {t.Context(), GenerateOptions{MaxTokens: -1}, nil, "-1 new tokens", 5},
		"bad sampling":            {t.Context(), GenerateOptions{Sampling: Sampling{TopP: 2}}, nil, "top-p 2", 5},
		"cancelled":               {ctx, GenerateOptions{}, context.Canceled, "", 5},
		"cancelled, page begins":  {ctx, GenerateOptions{}, context.Canceled, "", tensor.PageLen + 1},
		"cancelled with a prompt": {ctx, GenerateOptions{Prompt: ids(3)}, context.Canceled, "", 5},
		"too long":                {t.Context(), GenerateOptions{Prompt: text(m, 508, 0)}, ErrContext, "", 5},
		"hook's error": {t.Context(), GenerateOptions{Hooks: []*Hook{{Name: "x", Sites: []Site{{ResidPost, 2}}, Func: func(v *View) error {
			clear(v.Edit(0))
			return broken
		}}}}, broken, "", 5},
		"edited":            {t.Context(), GenerateOptions{Hooks: []*Hook{plus(1, nil, Site{ResidPost, 0})}}, ErrEdited, "", 5},
		"failed recompute":  {ctx, GenerateOptions{Recompute: true, Hooks: []*Hook{plus(1, nil, Site{ResidPost, 0})}}, context.Canceled, "", 5},
		"undeclared edits":  {t.Context(), GenerateOptions{Hooks: []*Hook{undeclared(plus(1, nil, Site{ResidPost, 0}))}, MaxTokens: 1, Prompt: ids(-1)}, nil, "token -1", 5},
		"an unknown hook's": {t.Context(), GenerateOptions{Hooks: []*Hook{{Sites: []Site{{ResidPost, 3}}}}}, nil, "no site resid_post:3", 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.NewSequence()
			tokens := text(m, c.length, 0)
			forward(t, r, s, tokens, Pass{})
			steps := 0
			for step, err := range r.Generate(c.ctx, s, c.o) {
				steps++
				require.Error(t, err)
				require.ErrorContains(t, err, c.want)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Zero(t, step)
			}
			require.Equal(t, 1, steps)
			require.Equal(t, c.length, s.Len())

			// And goes on as if nothing had happened.
			s.SetPrompt(0)
			rec := record(Site{ResidPost, 2})
			hooks := Pass{Hooks: []*Hook{&rec.Hook}}
			forward(t, r, s, ids(50, 51), hooks)
			fresh := r.NewSequence()
			forward(t, r, fresh, append(slices.Clone(tokens), ids(50, 51)...), hooks)
			n := c.length + 2
			want := rec.at(fresh, Site{ResidPost, 2}, n)
			requireBits(t, want[c.length*m.config.Width:], rec.at(s, Site{ResidPost, 2}, n))
		})
	}
}

// The loop may be left at an error too.
func TestGenerateErrorThenBreak(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	for _, err := range r.Generate(t.Context(), r.NewSequence(), GenerateOptions{}) {
		require.Error(t, err)
		break
	}
}
