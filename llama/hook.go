package llama

import (
	"fmt"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/llama/token"
)

// A Hook is called at sites of a forward pass with the rows that pass through
// it. Hooks are called in the order given, on the goroutine that called
// Forward; a hook sees the edits of those before it.
type Hook struct {
	// Name stands for the hook in errors.
	Name string
	// Sites are where the hook is called.
	Sites []Site
	// Func reads the rows, and may edit them through View.Edit. An error ends
	// the pass, which then has no effect on its sequences.
	Func func(*View) error
	// Edits declares what Func may edit; nil means that it only reads.
	Edits *Edits
}

// Edits declares the edits of a hook, so that keys and values that were
// computed under them are not mistaken for those of another run.
type Edits struct {
	// Fingerprint says what the edit does. Two hooks with equal fingerprints
	// and sites must do the same to the same row.
	Fingerprint string
	// At reports whether the hook may edit a row; nil means every row. It
	// must depend on the row alone.
	At func(Row) bool
}

// A Role says who speaks in a token of a conversation.
type Role uint8

// The roles. RoleText is plain text; RoleTemplate marks the tokens that a chat
// template puts around contents.
const (
	RoleText Role = iota
	RoleSystem
	RoleUser
	RoleAssistant
	RoleTemplate
)

func (r Role) String() string {
	names := [...]string{"text", "system", "user", "assistant", "template"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("Role(%d)", int(r))
}

// A Row describes one position of a sequence.
type Row struct {
	token.Token           // id and byte span in the text
	Seq         *Sequence // the sequence
	Span        int       // index of the span within the pass; -1 outside a pass
	Pos         int       // absolute position, from 0
	Role        Role
}

// Generated reports whether the row's state emits a generated token: it is at
// or behind the last token of the sequence's prompt (see Sequence.SetPrompt).
func (r Row) Generated() bool { return r.Seq.prompt > 0 && r.Pos >= r.Seq.prompt-1 }

// A View shows a hook the rows at a site. It and its slices are valid only
// during the call.
type View struct {
	// Site is where the pass is.
	Site Site
	// Rows describes the rows, in the order of the pass's spans.
	Rows []Row

	data   []float32
	stride int
	width  int
	edits  *Edits
	runner *Runner
}

// Len is the number of rows.
func (v *View) Len() int { return len(v.Rows) }

// At is row i, as wide as the residual stream. It must only be read.
func (v *View) At(i int) []float32 { return v.data[i*v.stride:][:v.width:v.width] }

// Edit is row i, to be changed in place. Editing a row that the hook has not
// declared taints its sequence: what follows from it cannot be told apart from
// other runs, so that a later pass on the sequence fails with ErrEdited
// unless it recomputes.
func (v *View) Edit(i int) []float32 {
	if v.edits == nil || v.edits.At != nil && !v.edits.At(v.Rows[i]) {
		v.runner.tainted[i] = min(v.runner.tainted[i], v.Site.firstAffected())
	}
	return v.At(i)
}

// firstAffected is the first block whose keys and values an edit at the site
// reaches.
func (s Site) firstAffected() int {
	switch s.Point {
	case FinalNorm:
		return 1 << 30
	case ResidPre:
		return s.Block
	}
	return s.Block + 1
}

// An edit is what remains of a declared edit at a position: its fingerprint
// with its site, and the first block whose keys and values it reached.
type edit struct {
	what  string
	site  Site
	first int
}

// taint stands for edits that were not declared.
const taint = "undeclared edit"

// declared lists a hook's edits as they are compared, one for each site.
func (h *Hook) declared() []edit {
	if h.Edits == nil {
		return nil
	}
	var es []edit
	for _, s := range h.Sites {
		es = append(es, edit{fmt.Sprintf("%s at %v", h.Edits.Fingerprint, s), s, s.firstAffected()})
	}
	return es
}

// A passKey names what decides whether a sequence may be continued: hooks, by
// identity, and depth.
type passKey struct {
	hooks []*Hook
	depth int
}

func (k passKey) equal(l passKey) bool { return k.depth == l.depth && slices.Equal(k.hooks, l.hooks) }

// editSets gives the declared edits of the key's hooks that reach the keys and
// values of its depth. A list is made once for each set of hooks that apply to a
// row, so that steady generation allocates nothing.
type editSets struct {
	key  passKey
	sets map[uint64][]edit
}

// maxEditors bounds the editing hooks of a pass: they are bits of a mask.
const maxEditors = 64

func newEditSets(k passKey) *editSets { return &editSets{key: k, sets: map[uint64][]edit{}} }

// at gives the effective edits at a row.
func (e *editSets) at(row Row) []edit {
	var mask uint64
	bit := 0
	for _, h := range e.key.hooks {
		if h.Edits == nil {
			continue
		}
		if h.Edits.At == nil || h.Edits.At(row) {
			mask |= 1 << bit
		}
		bit++
	}
	if mask == 0 {
		return nil
	}
	es, ok := e.sets[mask]
	if !ok {
		bit = 0
		for _, h := range e.key.hooks {
			if h.Edits == nil {
				continue
			}
			if mask>>bit&1 == 1 {
				es = append(es, h.declared()...)
			}
			bit++
		}
		es = effective(es, e.key.depth)
		e.sets[mask] = es
	}
	return es
}

// effective keeps the edits that reach blocks below depth, in canonical order.
func effective(es []edit, depth int) []edit {
	es = slices.DeleteFunc(slices.Clone(es), func(e edit) bool { return e.first >= depth })
	// Sites are reached in order of depth; within a site hooks keep the order
	// given, since edits need not commute.
	slices.SortStableFunc(es, func(a, b edit) int {
		switch {
		case a.site.before(b.site):
			return -1
		case b.site.before(a.site):
			return 1
		}
		return 0
	})
	return es
}

func describeEdits(es []edit) string {
	if len(es) == 0 {
		return "none"
	}
	var parts []string
	for _, e := range es {
		parts = append(parts, e.what)
	}
	return strings.Join(parts, ", ")
}
