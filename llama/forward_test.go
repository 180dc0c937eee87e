package llama

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// allSites lists every site of a model in the order a pass reaches them.
func allSites(m *Model) []Site {
	var sites []Site
	for b := range m.config.Blocks {
		for _, p := range []Point{ResidPre, AttnOut, ResidMid, MLPOut, ResidPost} {
			sites = append(sites, Site{p, b})
		}
	}
	return append(sites, Site{Point: FinalNorm})
}

// add is the sum, element by element, rounded as float32.
func add(x, y []float32) []float32 {
	z := make([]float32, len(x))
	for i := range x {
		z[i] = x[i] + y[i]
	}
	return z
}

// Every point holds what its name says.
func TestPoints(t *testing.T) {
	for _, s := range append(slices.Collect(maps.Values(smallArchitectures)), small) {
		t.Run(s.architecture(), func(t *testing.T) { checkPoints(t, s.model(t)) })
	}
}

func checkPoints(t *testing.T, m *Model) {
	r := runner(t, m, RunnerOptions{Threads: 2})
	s := r.NewSequence()
	rec := record(allSites(m)...)
	tokens := text(m, 20, 0)
	n := len(tokens)
	require.NoError(t, r.Forward(t.Context(), &Pass{
		Spans: []Span{{Seq: s, Tokens: tokens, Logits: AllLogits}},
		Hooks: []*Hook{&rec.Hook},
	}))
	at := func(p Point, b int) []float32 { return rec.at(s, Site{p, b}, n) }

	var embedded []float32
	row := make([]float32, m.config.Width)
	for _, tok := range tokens {
		m.embedding.Row(row, int(tok.ID))
		scale(row, m.config.EmbeddingScale)
		embedded = append(embedded, row...)
	}
	requireBits(t, embedded, at(ResidPre, 0))
	for b := range m.config.Blocks {
		requireBits(t, add(at(ResidPre, b), at(AttnOut, b)), at(ResidMid, b), "resid_mid = resid_pre + attn_out")
		requireBits(t, add(at(ResidMid, b), at(MLPOut, b)), at(ResidPost, b), "resid_post = resid_mid + mlp_out")
		if b > 0 {
			requireBits(t, at(ResidPost, b-1), at(ResidPre, b), "a block's input is the output of the one before")
		}
	}

	// The final norm and the logits, in float64.
	width := m.config.Width
	last, final := at(ResidPost, m.config.Blocks-1), rec.at(s, Site{Point: FinalNorm}, n)
	for i := range n {
		x, normed := last[i*width:][:width], make([]float32, width)
		var squares float64
		for _, v := range x {
			squares += float64(v) * float64(v)
		}
		for k, v := range x {
			normed[k] = float32(float64(v) / math.Sqrt(squares/float64(width)+float64(m.config.NormEpsilon)) * float64(m.outputNorm[k]))
		}
		require.Less(t, relative(t, normed, final[i*width:][:width]), 2e-7)

		logits := make([]float32, m.config.Vocabulary)
		for id := range logits {
			m.output.Row(row, id)
			dot := 0.0
			for k, w := range row {
				dot += float64(w) * float64(final[i*width+k])
			}
			dot *= float64(m.config.LogitScale)
			if limit := float64(m.config.LogitCap); limit != 0 {
				dot = limit * math.Tanh(dot/limit)
			}
			logits[id] = float32(dot)
		}
		require.Less(t, relative(t, logits, r.LogitsAt(0, i)), 1e-6)
	}
}

func TestHooksAreCalledInOrder(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	var calls []string
	note := func(name string, sites ...Site) *Hook {
		return &Hook{Name: name, Sites: sites, Func: func(v *View) error {
			calls = append(calls, name+" "+v.Site.String())
			return nil
		}}
	}
	// Sites come as the pass reaches them, whatever order they are listed in;
	// at a site the hooks come in the order given.
	sites := allSites(m)
	slices.Reverse(sites)
	require.NoError(t, r.Forward(t.Context(), &Pass{
		Spans: []Span{{Seq: r.NewSequence(), Tokens: text(m, 3, 0)}},
		Hooks: []*Hook{note("b", sites...), note("a", Site{ResidMid, 1}), note("none")},
	}))
	var want []string
	for _, s := range allSites(m) {
		want = append(want, "b "+s.String())
		if s == (Site{ResidMid, 1}) {
			want = append(want, "a "+s.String())
		}
	}
	require.Equal(t, want, calls)
}

// plus is a hook that adds an amount to the first element of the rows that at
// selects (nil: all), and declares it.
func plus(amount float32, at func(Row) bool, sites ...Site) *Hook {
	return &Hook{Name: "plus", Sites: sites, Func: func(v *View) error {
		for i, row := range v.Rows {
			if at == nil || at(row) {
				v.Edit(i)[0] += amount
			}
		}
		return nil
	}, Edits: &Edits{Fingerprint: fmt.Sprint("plus ", amount), At: at}}
}

// undeclared makes a hook's edits undeclared.
func undeclared(h *Hook) *Hook {
	h.Edits = nil
	return h
}

func TestReadsSeeEarlierEdits(t *testing.T) {
	m := small.model(t)
	for _, site := range allSites(m) {
		t.Run(site.String(), func(t *testing.T) {
			r := runner(t, m, RunnerOptions{})
			defer r.Close()
			s := r.NewSequence()
			first := func(row Row) bool { return row.Pos == 1 }
			before, after, end := record(site), record(site), record(Site{Point: FinalNorm})
			tokens := text(m, 3, 0)
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{{Seq: s, Tokens: tokens, Logits: LastLogits}},
				Hooks: []*Hook{&before.Hook, plus(2, first, site), plus(-0.5, first, site), &after.Hook, &end.Hook},
			}))
			for pos := range tokens {
				want := slices.Clone(before.rows[recordKey{s, site, pos}])
				if pos == 1 {
					want[0] = want[0] + 2 - 0.5
				}
				requireBits(t, want, after.rows[recordKey{s, site, pos}])
			}

			// The edit reaches the end of the edited position, and that of
			// later positions where later blocks attend to it; never that of
			// earlier ones.
			plain := r.NewSequence()
			require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: plain, Tokens: tokens}}, Hooks: []*Hook{&end.Hook}}))
			final := Site{Point: FinalNorm}
			for pos, reached := range []bool{false, true, site.firstAffected() < m.config.Blocks} {
				same := slices.Equal(end.rows[recordKey{s, final, pos}], end.rows[recordKey{plain, final, pos}])
				require.Equal(t, reached, !same, "position %d", pos)
			}
		})
	}
}

func TestEditOfFinalNormReachesLogits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	zero := &Hook{Sites: []Site{{Point: FinalNorm}}, Func: func(v *View) error {
		clear(v.Edit(1))
		return nil
	}}
	require.NoError(t, r.Forward(t.Context(), &Pass{
		Spans: []Span{{Seq: r.NewSequence(), Tokens: text(m, 3, 0), Logits: AllLogits}}, Hooks: []*Hook{zero},
	}))
	requireBits(t, make([]float32, m.config.Vocabulary), r.LogitsAt(0, 1))
	require.NotZero(t, r.LogitsAt(0, 0)[0])
	require.NotZero(t, r.LogitsAt(0, 2)[0])
}

// What hooks are told about each row.
func TestRows(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{BatchTokens: 3})
	a, b := r.NewSequence(), r.NewSequence()
	var got []Row
	look := &Hook{Sites: []Site{{ResidPre, 0}}, Func: func(v *View) error {
		require.Equal(t, Site{ResidPre, 0}, v.Site)
		require.Equal(t, len(v.Rows), v.Len())
		for i := range v.Len() {
			require.Len(t, v.At(i), m.config.Width)
		}
		got = append(got, v.Rows...)
		return nil
	}}
	pass := func(spans ...Span) []Row {
		got = nil
		require.NoError(t, r.Forward(t.Context(), &Pass{Spans: spans, Hooks: []*Hook{look}}))
		return got
	}
	require.Equal(t, []Row{
		{Token: token.Token{ID: 11, Start: 0, End: 3}, Seq: a, Span: 0, Pos: 0, Role: RoleUser},
		{Token: token.Token{ID: 12, Start: 3, End: 6}, Seq: a, Span: 0, Pos: 1, Role: RoleTemplate},
		{Token: token.Token{ID: 21, Start: 0, End: 3}, Seq: b, Span: 2, Pos: 0},
		{Token: token.Token{ID: 22, Start: 3, End: 6}, Seq: b, Span: 2, Pos: 1},
	}, pass(
		Span{Seq: a, Tokens: ids(11, 12), Roles: []Role{RoleUser, RoleTemplate}},
		Span{Seq: r.NewSequence()}, // nothing to do
		Span{Seq: b, Tokens: ids(21, 22)},
	))
	require.Equal(t, []Row{
		{Token: token.Token{ID: 23, Start: 0, End: 3}, Seq: b, Span: 0, Pos: 2},
		{Token: token.Token{ID: 13, Start: 0, End: 3}, Seq: a, Span: 1, Pos: 2, Role: RoleAssistant},
	}, pass(
		Span{Seq: b, Tokens: ids(23)},
		Span{Seq: a, Tokens: ids(13), Roles: []Role{RoleAssistant}},
	))
	require.Equal(t, 3, a.Len())
	require.Equal(t, token.Token{ID: 12, Start: 3, End: 6}, a.Token(1))

	require.False(t, Row{Seq: a, Pos: 2}.Generated(), "no prompt is set")
	a.SetPrompt(2)
	for pos, want := range []bool{false, true, true} { // the state at the prompt's last token emits the first new one
		require.Equal(t, want, Row{Seq: a, Pos: pos}.Generated(), "position %d", pos)
	}
	require.Equal(t, 2, a.Prompt())
}

func TestRoleNames(t *testing.T) {
	for role, want := range map[Role]string{
		RoleText: "text", RoleSystem: "system", RoleUser: "user", RoleAssistant: "assistant", RoleTemplate: "template", 9: "Role(9)",
	} {
		require.Equal(t, want, role.String())
	}
}

// A pass goes only as deep as its hooks and logits need: what a shallower one
// leaves out is not computed at all.
func TestPassesStopEarly(t *testing.T) {
	m := small.model(t)
	for _, c := range []struct {
		sites  []Site
		logits LogitsWanted
		depth  int // blocks whose keys and values are computed
	}{
		{sites: []Site{{ResidPre, 0}}, depth: 0},
		{sites: []Site{{ResidPre, 2}}, depth: 2},
		{sites: []Site{{AttnOut, 1}}, depth: 2},
		{sites: []Site{{ResidMid, 1}}, depth: 2},
		{sites: []Site{{MLPOut, 0}}, depth: 1},
		{sites: []Site{{ResidPost, 1}}, depth: 2},
		{sites: []Site{{ResidPost, 1}, {ResidPre, 0}}, depth: 2},
		{sites: []Site{{ResidPost, 2}}, depth: 3},
		{sites: []Site{{Point: FinalNorm}}, depth: 3},
		{sites: []Site{{ResidPost, 0}}, logits: LastLogits, depth: 3},
		{depth: 3}, // to fill the cache
	} {
		t.Run(fmt.Sprint(c.sites, c.logits), func(t *testing.T) {
			r := runner(t, m, RunnerOptions{})
			defer r.Close()
			s := r.NewSequence()
			rec := record(c.sites...)
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{{Seq: s, Tokens: text(m, 4, 0), Logits: c.logits}}, Hooks: []*Hook{&rec.Hook},
			}))
			require.Equal(t, c.depth, s.rows[3].depth)
			for b, pages := range s.pages {
				require.Equal(t, b < c.depth, len(pages) > 0, "pages of block %d", b)
			}
			for _, site := range c.sites {
				require.Len(t, rec.at(s, site, 4), 4*m.config.Width)
			}
		})
	}
}

// What lies behind the last hook is not even touched: here it would fail.
func TestTheRestIsNotComputed(t *testing.T) {
	for _, c := range []struct {
		broken string // a tensor with a NaN in it
		sites  []Site
		works  bool
	}{
		{"blk.2.attn_k.weight", []Site{{ResidPost, 1}}, true},
		{"blk.2.attn_k.weight", []Site{{ResidPre, 2}}, true},
		{"blk.2.attn_k.weight", []Site{{AttnOut, 2}}, false},
		{"blk.2.attn_q.weight", nil, true}, // keys and values are all that is wanted
		{"blk.2.attn_q.weight", []Site{{ResidMid, 2}}, false},
		{"blk.2.ffn_up.weight", []Site{{ResidMid, 2}}, true},
		{"blk.2.ffn_up.weight", []Site{{AttnOut, 2}}, true},
		{"blk.2.ffn_up.weight", []Site{{MLPOut, 2}}, false},
		{"blk.2.ffn_up.weight", []Site{{Point: FinalNorm}}, false},
		{"blk.1.ffn_up.weight", []Site{{ResidPre, 2}}, false},
	} {
		t.Run(fmt.Sprint(c.broken, c.sites), func(t *testing.T) {
			f := small.file()
			copy(f.tensors[c.broken].Data, bytesOf([]float32{float32(math.NaN())}))
			m, err := f.load(t)
			require.NoError(t, err)
			defer m.Close()
			r := runner(t, m, RunnerOptions{})
			defer r.Close()
			s := r.NewSequence()
			p := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 4, 0)}}}
			if c.sites != nil {
				p.Hooks = []*Hook{&record(c.sites...).Hook}
			}
			err = r.Forward(t.Context(), p)
			if c.works {
				require.NoError(t, err)
				require.Equal(t, 4, s.Len())
				return
			}
			require.ErrorContains(t, err, "residual stream at position 0 of span 0 is not finite")
			require.Zero(t, s.Len())
		})
	}
}

func TestGoingDeeper(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	tokens := text(m, 9, 0)
	shallow, deep := record(Site{ResidPost, 1}), record(Site{ResidPost, 2})
	s := r.NewSequence()
	pass := func(s *Sequence, tokens []token.Token, recompute bool, rec *recorder) error {
		return r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens}}, Hooks: []*Hook{&rec.Hook}, Recompute: recompute})
	}
	require.NoError(t, pass(s, tokens[:5], false, shallow))
	require.NoError(t, pass(s, tokens[5:6], false, shallow))

	err := pass(s, tokens[6:], false, deep)
	require.ErrorIs(t, err, ErrShallow)
	require.ErrorContains(t, err, "span 0: position 0 has 2 blocks, the pass needs 3")
	require.Equal(t, 6, s.Len())

	require.NoError(t, pass(s, tokens[6:], true, deep))
	require.Equal(t, 9, s.Len())
	fresh := r.NewSequence()
	require.NoError(t, pass(fresh, tokens, false, deep))
	requireBits(t, deep.at(fresh, Site{ResidPost, 2}, 9), deep.at(s, Site{ResidPost, 2}, 9))

	// A deep sequence may go on shallow, and then no longer deep.
	require.NoError(t, pass(s, tokens[:1], false, shallow))
	err = pass(s, tokens[1:2], false, deep)
	require.ErrorIs(t, err, ErrShallow)
	require.ErrorContains(t, err, "position 9 has 2 blocks")
}

// A full pass leaves a sequence that any pass can go on with, however shallow its
// hooks.
func TestFullPasses(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{BatchTokens: 3})
	tokens := text(m, 9, 0)
	logits := func(s *Sequence, tokens []token.Token, hooks ...*Hook) []float32 {
		require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens, Logits: LastLogits}}, Hooks: hooks}))
		return slices.Clone(r.Logits(0))
	}
	for name, hook := range map[string]*Hook{
		"reads":          &record(Site{ResidPost, 0}).Hook,
		"edits":          plus(2, nil, Site{ResidPost, 0}),
		"reads the last": &record(Site{ResidPost, m.config.Blocks - 1}).Hook,
	} {
		t.Run(name, func(t *testing.T) {
			whole := logits(r.NewSequence(), tokens, hook)
			s := r.NewSequence()
			require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens[:7]}}, Hooks: []*Hook{hook}, Full: true}))
			requireBits(t, whole, logits(s, tokens[7:], hook))
		})
	}
	// Without it the same is an error.
	s, hook := r.NewSequence(), &record(Site{ResidPost, 0}).Hook
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens[:7]}}, Hooks: []*Hook{hook}}))
	err := r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens[7:], Logits: LastLogits}}, Hooks: []*Hook{hook}})
	require.ErrorIs(t, err, ErrShallow)

	// A full pass needs a full sequence itself.
	err = r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens[7:]}}, Hooks: []*Hook{hook}, Full: true})
	require.ErrorIs(t, err, ErrShallow)
}

// What may follow what: a sequence whose keys and values were computed under
// some edits continues only under edits that would have been the same there.
func TestEditedSequences(t *testing.T) {
	m := small.model(t)
	last := m.config.Blocks - 1
	mid := Site{ResidPost, 1}
	from := func(pos int) func(Row) bool { return func(r Row) bool { return r.Pos >= pos } }
	never := func(Row) bool { return false }
	user := func(r Row) bool { return r.Role == RoleUser }
	hooks := func(hs ...*Hook) []*Hook { return hs }
	same, free := plus(2, nil, mid), undeclared(plus(2, nil, mid))
	const n = 5 // tokens that are computed first, all RoleText
	for name, c := range map[string]struct {
		first, then []*Hook
		err         string // "" where the sequence may go on
	}{
		"no edits":                  {nil, nil, ""},
		"a hook that reads":         {hooks(&record(mid).Hook), nil, ""},
		"the same hook":             {hooks(same), hooks(same), ""},
		"an equal hook":             {hooks(plus(2, nil, mid)), hooks(plus(2, nil, mid)), ""},
		"an edit ends":              {hooks(plus(2, nil, mid)), nil, "position 0: edits then plus 2 at resid_post:1, now none"},
		"an edit begins":            {nil, hooks(plus(2, nil, mid)), "position 0: edits then none, now plus 2 at resid_post:1"},
		"another strength":          {hooks(plus(2, nil, mid)), hooks(plus(3, nil, mid)), "then plus 2 at resid_post:1, now plus 3 at"},
		"another site":              {hooks(plus(2, nil, mid)), hooks(plus(2, nil, Site{ResidPost, 0})), "now plus 2 at resid_post:0"},
		"more sites":                {hooks(plus(2, nil, mid)), hooks(plus(2, nil, mid, Site{ResidPre, 0})), "position 0"},
		"two hooks, same order":     {hooks(plus(2, nil, mid), plus(3, nil, mid)), hooks(plus(2, nil, mid), plus(3, nil, mid)), ""},
		"two hooks, other order":    {hooks(plus(2, nil, mid), plus(3, nil, mid)), hooks(plus(3, nil, mid), plus(2, nil, mid)), "position 0"},
		"other order, other places": {hooks(plus(2, nil, mid), plus(3, nil, Site{ResidMid, 1})), hooks(plus(3, nil, Site{ResidMid, 1}), plus(2, nil, mid)), ""},
		"only later rows":           {nil, hooks(plus(2, from(n), mid)), ""},
		"from the last row on":      {nil, hooks(plus(2, from(n-1), mid)), "position 4: edits then none"},
		"other rows":                {hooks(plus(2, from(2), mid)), hooks(plus(2, from(3), mid)), "position 2: edits then plus 2 at resid_post:1, now none"},
		"other rows that are later": {hooks(plus(2, from(7), mid)), hooks(plus(2, from(6), mid)), ""},
		"a role that is not there":  {nil, hooks(plus(2, user, mid)), ""},
		"never":                     {hooks(plus(2, never, mid)), nil, ""},

		// Keys and values of the last block come before what these edit.
		"at the last output":       {hooks(plus(2, nil, Site{ResidPost, last})), nil, ""},
		"at the last attention":    {nil, hooks(plus(2, nil, Site{AttnOut, last})), ""},
		"at the final norm":        {hooks(plus(2, nil, Site{Point: FinalNorm})), nil, ""},
		"at the last input":        {hooks(plus(2, nil, Site{ResidPre, last})), nil, "position 0"},
		"undeclared at the end":    {hooks(undeclared(plus(2, nil, Site{ResidPost, last}))), nil, ""},
		"undeclared":               {hooks(undeclared(plus(2, nil, mid))), nil, "position 0: edits then undeclared edit, now none"},
		"undeclared, same hook":    {hooks(free), hooks(free), "undeclared edit"},
		"undeclared, later row":    {hooks(undeclared(plus(2, from(3), mid))), nil, "position 3: edits then undeclared edit"},
		"undeclared beside others": {hooks(plus(2, nil, mid), undeclared(plus(3, nil, mid))), hooks(plus(2, nil, mid)), "undeclared edit"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runner(t, m, RunnerOptions{})
			defer r.Close()
			s := r.NewSequence()
			// Keys and values of all blocks, whatever the hooks ask for.
			require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, n, 0), Logits: LastLogits}}, Hooks: c.first}))
			err := r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 1, 0), Logits: LastLogits}}, Hooks: c.then})
			if c.err == "" {
				require.NoError(t, err)
				require.Equal(t, n+1, s.Len())
				return
			}
			require.ErrorIs(t, err, ErrEdited)
			require.ErrorContains(t, err, c.err)
			require.Equal(t, n, s.Len())
		})
	}
}

// An edit that a hook declares for some rows and makes at another is not
// declared there.
func TestEditOutsideItsDeclaration(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	h := plus(2, nil, Site{ResidPost, 0})
	h.Edits.At = func(row Row) bool { return row.Pos < 2 }
	s, other := r.NewSequence(), r.NewSequence()
	h.Func = func(v *View) error {
		for i, row := range v.Rows {
			if row.Seq == s {
				v.Edit(i)[0]++
			}
		}
		return nil
	}
	deep := record(Site{ResidPost, 2}) // else no later block would see the edit
	pass := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 4, 0)}, {Seq: other, Tokens: text(m, 4, 0)}}, Hooks: []*Hook{h, &deep.Hook}}
	require.NoError(t, r.Forward(t.Context(), pass))

	pass.Spans = []Span{{Seq: other, Tokens: text(m, 1, 0)}} // is not tainted by its neighbour
	require.NoError(t, r.Forward(t.Context(), pass))
	pass.Spans = []Span{{Seq: s, Tokens: text(m, 1, 0)}}
	err := r.Forward(t.Context(), pass)
	require.ErrorIs(t, err, ErrEdited)
	require.ErrorContains(t, err, "position 2")

	s.Truncate(2) // the rest was declared
	pass.Spans[0].Tokens = nil
	require.NoError(t, r.Forward(t.Context(), pass))
}

// A depth at which an edit reaches no keys and values does not remember it.
func TestEditBelowTheDepthOfAPass(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	s := r.NewSequence()
	edit, read := plus(2, nil, Site{ResidPost, 1}), record(Site{ResidPost, 1})
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 4, 0)}}, Hooks: []*Hook{edit}}))
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 1, 0)}}, Hooks: []*Hook{&read.Hook}}))
}

// A plan that touches only generated rows costs a forked prefix nothing, as
// long as the last token of the prompt, whose state emits the first generated
// one, is not part of the prefix.
func TestForkBeforeEdits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	site := Site{ResidPost, 0}
	prompt := text(m, 6, 0)
	more := text(m, 3, 1)
	end := record(Site{Point: FinalNorm})
	run := func(s *Sequence, tokens []token.Token, strength float32) error {
		return r.Forward(t.Context(), &Pass{
			Spans: []Span{{Seq: s, Tokens: tokens}},
			Hooks: []*Hook{plus(strength, Row.Generated, site), &end.Hook},
		})
	}
	prefix := r.NewSequence()
	forward(t, r, prefix, prompt[:5], Pass{})
	for _, strength := range []float32{1, 2, 3} {
		f := prefix.Fork()
		f.SetPrompt(len(prompt))
		require.NoError(t, run(f, prompt[5:], strength))
		require.NoError(t, run(f, more, strength))

		fresh := r.NewSequence()
		fresh.SetPrompt(len(prompt))
		require.NoError(t, run(fresh, append(slices.Clone(prompt), more...), strength))
		final := Site{Point: FinalNorm}
		requireBits(t, end.at(fresh, final, 9)[5*m.config.Width:], end.at(f, final, 9))
	}

	forward(t, r, prefix, prompt[5:], Pass{})
	prefix.SetPrompt(len(prompt))
	err := run(prefix.Fork(), more, 1)
	require.ErrorIs(t, err, ErrEdited)
	require.ErrorContains(t, err, "position 5")
}

// Which rows are generated depends on the prompt, and with them the edits.
func TestSetPromptChangesEdits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	s := r.NewSequence()
	h := plus(1, Row.Generated, Site{ResidPost, 0})
	s.SetPrompt(3)
	pass := &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 6, 0), Logits: LastLogits}}, Hooks: []*Hook{h}}
	require.NoError(t, r.Forward(t.Context(), pass))
	s.SetPrompt(5)
	err := r.Forward(t.Context(), pass)
	require.ErrorIs(t, err, ErrEdited)
	require.ErrorContains(t, err, "position 2")
	s.SetPrompt(3)
	require.NoError(t, r.Forward(t.Context(), pass))
}

// Recomputing gives what a fresh run under the edits gives, to the bit, and
// repeats no position that agrees.
func TestRecompute(t *testing.T) {
	m := small.model(t)
	tokens := text(m, 80, 0)
	for name, c := range map[string]struct {
		first, then []*Hook
		from        int // first position that is computed again
	}{
		"edit begins":        {nil, []*Hook{plus(2, func(r Row) bool { return r.Pos >= 66 }, Site{ResidPost, 0})}, 66},
		"edit ends":          {[]*Hook{plus(2, nil, Site{ResidPost, 0})}, nil, 0},
		"undeclared edit":    {[]*Hook{undeclared(plus(2, func(r Row) bool { return r.Pos == 3 }, Site{ResidPost, 0}))}, nil, 3},
		"by role":            {nil, []*Hook{plus(2, func(r Row) bool { return r.Role == RoleUser }, Site{AttnOut, 1})}, 7},
		"nothing to do":      {nil, nil, 70},
		"below the last end": {[]*Hook{plus(2, nil, Site{ResidPost, 2})}, nil, 70},
	} {
		t.Run(name, func(t *testing.T) {
			r := runner(t, m, RunnerOptions{Threads: 2, BatchTokens: 32})
			defer r.Close()
			roles := make([]Role, len(tokens))
			roles[7] = RoleUser
			s := r.NewSequence()
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{{Seq: s, Tokens: tokens[:70], Roles: roles[:70], Logits: LastLogits}}, Hooks: c.first,
			}))
			seen := record(Site{ResidPost, 2})
			companion := r.NewSequence()
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{
					{Seq: companion, Tokens: text(m, 3, 4), Logits: AllLogits},
					{Seq: s, Tokens: tokens[70:], Logits: LastLogits},
				},
				Hooks: append(slices.Clone(c.then), &seen.Hook), Recompute: true,
			}))
			logits := slices.Clone(r.Logits(1))
			for pos := range tokens {
				_, again := seen.rows[recordKey{s, Site{ResidPost, 2}, pos}]
				require.Equal(t, pos >= c.from, again, "position %d", pos)
			}
			require.Equal(t, 80, s.Len())

			fresh, all := r.NewSequence(), record(Site{ResidPost, 2})
			require.NoError(t, r.Forward(t.Context(), &Pass{
				Spans: []Span{{Seq: fresh, Tokens: tokens, Roles: roles, Logits: LastLogits}},
				Hooks: append(slices.Clone(c.then), &all.Hook),
			}))
			requireBits(t, r.Logits(0), logits)
			requireBits(t, all.at(fresh, Site{ResidPost, 2}, 80)[c.from*m.config.Width:], seen.at(s, Site{ResidPost, 2}, 80))
			for pos := range tokens {
				require.Equal(t, fresh.row(pos).Token, s.row(pos).Token)
				require.Equal(t, fresh.row(pos).Role, s.row(pos).Role)
			}
		})
	}
}

func TestRecomputeWithoutNewTokens(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	s, fresh := r.NewSequence(), r.NewSequence()
	tokens := text(m, 5, 0)
	forward(t, r, s, tokens, Pass{})
	h := []*Hook{plus(2, nil, Site{ResidPost, 0})}
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Logits: LastLogits}}, Hooks: h, Recompute: true}))
	got := slices.Clone(r.Logits(0))
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: fresh, Tokens: tokens, Logits: LastLogits}}, Hooks: h}))
	requireBits(t, r.Logits(0), got)
}

// The logits of all tokens of a span would be those of its new tokens only:
// such a pass is refused before it changes any sequence.
func TestRecomputeRefusesAllLogits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	a, b := r.NewSequence(), r.NewSequence()
	forward(t, r, a, text(m, 5, 0), Pass{})
	forward(t, r, b, text(m, 5, 0), Pass{})
	h := []*Hook{plus(2, nil, Site{ResidPost, 0})}
	err := r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: a}, {Seq: b, Tokens: text(m, 1, 0), Logits: AllLogits}}, Hooks: h, Recompute: true})
	require.ErrorContains(t, err, "logits at all tokens")
	require.Equal(t, 5, a.Len())
	require.Equal(t, 5, b.Len())
}

// A pass that is refused has no effect on its sequences.
func TestForwardRefuses(t *testing.T) {
	m := small.model(t)
	r, other := runner(t, m, RunnerOptions{}), runner(t, m, RunnerOptions{})
	s, stranger := r.NewSequence(), other.NewSequence()
	tokens := text(m, 4, 0)
	forward(t, r, s, tokens, Pass{})
	closed := runner(t, m, RunnerOptions{})
	closed.Close()
	closed.Close() // twice is allowed

	one := func(seq *Sequence, tokens []token.Token) *Pass {
		return &Pass{Spans: []Span{{Seq: seq, Tokens: tokens}}}
	}
	site := func(sites ...Site) *Pass {
		return &Pass{Spans: []Span{{Seq: s, Tokens: tokens}}, Hooks: []*Hook{{Name: "look", Sites: sites, Func: func(*View) error { return nil }}}}
	}
	many := one(s, tokens)
	for range maxEditors + 1 {
		many.Hooks = append(many.Hooks, plus(1, nil, Site{ResidPost, 0}))
	}
	for name, c := range map[string]struct {
		r    *Runner
		p    *Pass
		is   error
		want string
	}{
		"too long":            {r, one(s, text(m, 509, 0)), ErrContext, "span 0: 513 positions: the sequence exceeds the model's context of 512"},
		"negative id":         {r, one(s, ids(1, -1)), nil, "token -1 is outside the vocabulary of 277"},
		"large id":            {r, one(s, ids(277)), nil, "token 277 is outside the vocabulary of 277"},
		"no sequence":         {r, one(nil, tokens), nil, "span 0: the sequence belongs to another runner"},
		"another's sequence":  {r, one(stranger, tokens), nil, "belongs to another runner"},
		"the same twice":      {r, &Pass{Spans: []Span{{Seq: r.NewSequence()}, {Seq: s}, {Seq: s}}}, nil, "spans 1 and 2 are of the same sequence"},
		"roles":               {r, &Pass{Spans: []Span{{Seq: s, Tokens: tokens, Roles: make([]Role, 3)}}}, nil, "3 roles for 4 tokens"},
		"no such block":       {r, site(Site{ResidPost, 3}), nil, "hook look: the model has no site resid_post:3: its blocks are 0 to 2"},
		"negative block":      {r, site(Site{ResidPost, -1}), nil, "no site resid_post:-1"},
		"no such point":       {r, site(Site{Point(9), 0}), nil, "no site Point(9):0"},
		"too many edits":      {r, many, nil, "65 editing hooks in one pass, at most 64"},
		"a runner that ended": {closed, one(closed.NewSequence(), tokens), nil, "the runner is closed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.r.Forward(t.Context(), c.p)
			require.ErrorContains(t, err, c.want)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			require.Equal(t, 4, s.Len())
		})
	}
	// The whole context can be used.
	require.NoError(t, r.Forward(t.Context(), one(s, text(m, 508, 0))))
	require.ErrorIs(t, r.Forward(t.Context(), one(s, ids(1))), ErrContext)
}

// A hook's error and the context's come back wrapped. Positions of the pass
// that were complete stay, others leave no trace.
func TestFailedPasses(t *testing.T) {
	m := small.model(t)
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	fail := func(at Site, pos int, f func(*View) error) *Hook {
		return &Hook{Name: "fail", Sites: []Site{at}, Func: func(v *View) error {
			for _, row := range v.Rows {
				if row.Pos == pos {
					return f(v)
				}
			}
			return nil
		}}
	}
	for _, c := range []struct {
		name string
		hook *Hook
		is   error
		want string
		kept int // positions of the pass that stay
	}{
		{"hook's error", fail(Site{ResidPost, 1}, 4, func(*View) error { return broken }), broken, "llama: hook fail at resid_post:1: broken", 0},
		{"hook's error at the end", fail(Site{Point: FinalNorm}, 4, func(*View) error { return broken }), broken, "at final_norm", 0},
		{"hook's error in the second batch", fail(Site{ResidPost, 1}, 10, func(*View) error { return broken }), broken, "broken", 4},
		{"not a number", fail(Site{ResidPost, 2}, 5, func(v *View) error { v.Edit(1)[3] = float32(math.NaN()); return nil }), nil, "residual stream at position 5 of span 0 is not finite", 0},
		{"infinite", fail(Site{AttnOut, 0}, 9, func(v *View) error { v.Edit(0)[0] = float32(math.Inf(1)); return nil }), nil, "position 8 of span 0 is not finite", 4},
		{"cancelled", fail(Site{ResidPre, 1}, 9, func(*View) error { cancel(); return nil }), context.Canceled, "context canceled", 4},
		{"cancelled before", nil, context.Canceled, "stopped before block 0: context canceled", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runner(t, m, RunnerOptions{BatchTokens: 4})
			defer r.Close()
			s := r.NewSequence()
			tokens := text(m, 12, 0)
			forward(t, r, s, tokens[:4], Pass{})
			p := &Pass{Spans: []Span{{Seq: s, Tokens: tokens[4:], Logits: AllLogits}}}
			if c.hook != nil {
				p.Hooks = []*Hook{c.hook}
			}
			err := r.Forward(ctx, p)
			require.ErrorContains(t, err, c.want)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			require.Equal(t, 4+c.kept, s.Len())

			// The sequence goes on as if nothing had happened.
			rec := record(Site{ResidPost, 2})
			fresh := r.NewSequence()
			forward(t, r, s, tokens[s.Len():], Pass{Hooks: []*Hook{&rec.Hook}})
			forward(t, r, fresh, tokens, Pass{Hooks: []*Hook{&rec.Hook}})
			got := rec.at(s, Site{ResidPost, 2}, 12)
			want := rec.at(fresh, Site{ResidPost, 2}, 12)
			requireBits(t, want[len(want)-len(got):], got)
		})
	}
}

// The positions that a failed pass leaves behind carry its edits.
func TestFailedPassRemembersItsEdits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{BatchTokens: 4})
	s := r.NewSequence()
	plain := Pass{}
	forward(t, r, s, text(m, 4, 0), plain)
	edit := plus(2, func(row Row) bool { return row.Pos >= 4 }, Site{ResidPost, 0})
	broken := errors.New("broken")
	stop := &Hook{Sites: []Site{{ResidPost, 2}}, Func: func(v *View) error {
		if v.Rows[0].Pos == 8 {
			return broken
		}
		return nil
	}}
	err := r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 8, 1)}}, Hooks: []*Hook{edit, stop}})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 8, s.Len())
	err = r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: text(m, 1, 1)}}})
	require.ErrorIs(t, err, ErrEdited)
	require.ErrorContains(t, err, "position 4")
}

func TestLogits(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{BatchTokens: 3})
	spans := []Span{
		{Seq: r.NewSequence(), Tokens: text(m, 5, 0), Logits: AllLogits},
		{Seq: r.NewSequence(), Tokens: text(m, 4, 1)},
		{Seq: r.NewSequence(), Logits: LastLogits},
		{Seq: r.NewSequence(), Tokens: text(m, 4, 2), Logits: LastLogits},
	}
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: spans}))
	all, last := make([][]float32, 5), slices.Clone(r.Logits(3))
	for i := range all {
		all[i] = slices.Clone(r.LogitsAt(0, i))
		require.Len(t, all[i], m.config.Vocabulary)
	}
	requireBits(t, all[0], r.Logits(0))
	require.Panics(t, func() { r.LogitsAt(0, 5) })
	require.Panics(t, func() { r.Logits(1) })
	require.Panics(t, func() { r.Logits(2) })
	require.Panics(t, func() { r.LogitsAt(3, 1) })

	// Each is what a pass of the tokens up to there gives.
	for i := range all {
		require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: r.NewSequence(), Tokens: spans[0].Tokens[:i+1], Logits: LastLogits}}}))
		requireBits(t, r.Logits(0), all[i])
	}
	require.NoError(t, r.Forward(t.Context(), &Pass{Spans: []Span{{Seq: r.NewSequence(), Tokens: spans[3].Tokens, Logits: LastLogits}}}))
	requireBits(t, r.Logits(0), last)
}

// pages lists the distinct pages of sequences.
func pages(ss ...*Sequence) map[*tensor.Page]bool {
	all := map[*tensor.Page]bool{}
	for _, s := range ss {
		for _, ps := range s.pages {
			for _, p := range ps {
				all[p] = true
			}
		}
	}
	return all
}

// Forks share memory until one of them writes.
func TestForkSharesMemory(t *testing.T) {
	m := small.model(t)
	blocks := m.config.Blocks
	r := runner(t, m, RunnerOptions{})
	tokens := text(m, 2*tensor.PageLen+30, 0)
	s := r.NewSequence()
	forward(t, r, s, tokens[:tensor.PageLen+10], Pass{})
	require.Len(t, pages(s), 2*blocks)

	f, g := s.Fork(), s.Fork()
	require.Equal(t, s.Len(), f.Len())
	require.Equal(t, pages(s), pages(s, f, g))

	// A write copies the page it goes to; the full one stays shared.
	rec := record(Site{ResidPost, blocks - 1})
	hooks := Pass{Hooks: []*Hook{&rec.Hook}}
	forward(t, r, f, text(m, 3, 7), hooks)
	require.Len(t, pages(s, f, g), 3*blocks)
	require.Equal(t, pages(s), pages(s, g))
	forward(t, r, s, tokens[s.Len():], hooks) // s still shares with g
	require.Len(t, pages(s, g), (1+1+2)*blocks)
	forward(t, r, g, text(m, 3, 7), hooks) // g is alone with its last page now

	// Nobody has written into another's memory.
	fresh := r.NewSequence()
	forward(t, r, fresh, tokens, hooks)
	site := Site{ResidPost, blocks - 1}
	got := rec.at(s, site, len(tokens))
	want := rec.at(fresh, site, len(tokens))
	requireBits(t, want[len(want)-len(got):], got)
	requireBits(t, rec.at(f, site, 200), rec.at(g, site, 200))

	// Closing gives back what nobody else uses.
	require.Empty(t, r.freePages)
	f.Close()
	require.Zero(t, f.Len())
	require.Len(t, r.freePages, blocks)
	g.Close()
	s.Close()
	fresh.Close()
	require.Len(t, r.freePages, (1+1+1+2+3)*blocks, "the shared page, one of each fork, two of s, three of fresh")
	for _, p := range r.freePages {
		require.Zero(t, p.Refs)
	}
	free := len(r.freePages)
	forward(t, r, s, tokens, Pass{}) // and memory is used again
	require.Len(t, r.freePages, free-3*blocks)
}

func TestTruncate(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	s := r.NewSequence()
	forward(t, r, s, text(m, 2*tensor.PageLen+1, 0), Pass{})
	for _, c := range []struct{ n, pages int }{{129, 3}, {128, 2}, {65, 2}, {64, 1}, {1, 1}, {0, 0}} {
		s.Truncate(c.n)
		require.Equal(t, c.n, s.Len())
		require.Len(t, pages(s), c.pages*m.config.Blocks)
	}
	require.Panics(t, func() { s.Truncate(1) })
	require.Panics(t, func() { s.Truncate(-1) })
}

func TestCommon(t *testing.T) {
	m := small.model(t)
	s := runner(t, m, RunnerOptions{}).NewSequence()
	tokens := text(m, 5, 0)
	require.Zero(t, s.Common(tokens))
	forward(t, s.runner, s, tokens, Pass{})
	other := slices.Clone(tokens)
	other[3].ID = (other[3].ID + 1) % int32(m.config.Vocabulary)
	moved := slices.Clone(tokens)
	moved[1].Start, moved[1].End = 7, 9 // where a token stands in a text does not count
	for _, c := range []struct {
		tokens []token.Token
		want   int
	}{{nil, 0}, {tokens[:2], 2}, {tokens, 5}, {append(slices.Clone(tokens), tokens...), 5}, {other, 3}, {moved, 5}, {tokens[1:], 0}} {
		require.Equal(t, c.want, s.Common(c.tokens))
	}
}

func TestRunnerOptions(t *testing.T) {
	m := small.model(t)
	r := runner(t, m, RunnerOptions{})
	require.Equal(t, RunnerOptions{Threads: DefaultThreads(), BatchTokens: 512, Precision: Exact, Context: 512}, r.Options())
	require.Same(t, m, r.Model())
	require.Positive(t, DefaultThreads())
	for _, o := range []RunnerOptions{{Threads: -1}, {BatchTokens: -1}, {Precision: 7}} {
		_, err := m.NewRunner(o)
		require.Error(t, err, o)
	}
	require.Equal(t, "Precision(7)", Precision(7).String())
	for _, want := range []Precision{Exact, Probe, Fast} {
		p, err := ParsePrecision(want.String())
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
	p, err := ParsePrecision("Fast")
	require.NoError(t, err)
	require.Equal(t, Fast, p)
	_, err = ParsePrecision("sloppy")
	require.ErrorContains(t, err, `unknown precision "sloppy" (known: exact, probe, fast)`)
}

// A value that float16 cannot hold ends the pass, whichever thread found it; a
// page of float32 takes it.
func TestKeysAndValuesBeyondFloat16(t *testing.T) {
	f := small.file()
	weight := make([]float32, f.tensors["blk.1.attn_norm.weight"].Dims[0])
	for i := range weight {
		weight[i] = 1e6
	}
	f.setVector("blk.1.attn_norm.weight", weight)
	m, err := f.load(t)
	require.NoError(t, err)
	defer m.Close()
	for _, threads := range []int{1, 3} {
		tokens := text(m, 90, 0)
		half, full := runner(t, m, RunnerOptions{KV: KVFloat16, Threads: threads}), runner(t, m, RunnerOptions{Threads: threads})
		s := half.NewSequence()
		err = half.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens}}})
		require.ErrorContains(t, err, "a key or value of block 1 at position 0 of span 0 is beyond the range of float16: keep them as f32")
		require.Zero(t, s.Len())
		// Where the block is not reached, nothing is wrong.
		require.NoError(t, half.Forward(t.Context(), &Pass{Spans: []Span{{Seq: s, Tokens: tokens}}, Hooks: []*Hook{&record(Site{ResidPost, 0}).Hook}}))
		require.NoError(t, full.Forward(t.Context(), &Pass{Spans: []Span{{Seq: full.NewSequence(), Tokens: tokens}}}))
		half.Close()
		full.Close()
	}
	_, err = m.NewRunner(RunnerOptions{KV: 7})
	require.ErrorIs(t, err, ErrUnsupported)
}
