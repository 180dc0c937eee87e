package llama

import (
	"errors"
	"fmt"
	"slices"

	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/tensor"
)

// Errors that Forward wraps where a sequence cannot be continued as asked.
var (
	// ErrEdited: the sequence's keys and values were computed under other
	// edits than those that the pass declares.
	ErrEdited = errors.New("the sequence was computed under other edits")
	// ErrShallow: earlier passes on the sequence stopped below the depth that
	// this pass needs.
	ErrShallow = errors.New("the sequence was computed to a smaller depth")
	// ErrContext: the sequence would grow longer than the model's context.
	ErrContext = errors.New("the sequence exceeds the model's context")
)

// A Sequence is a text being processed: its tokens so far with their keys and
// values. It belongs to one Runner and, like it, must not be used by two
// goroutines at once.
type Sequence struct {
	runner *Runner
	rows   []position
	pages  [][]*tensor.Page // [block][position / PageLen]
	prompt int

	// checked is the pass after which all positions are known to agree with
	// its hooks and depth, so that the next like it need not look at each.
	checked passKey
}

// position remembers what was computed at a position and how.
type position struct {
	token token.Token
	role  Role
	depth int    // blocks whose keys and values are there
	edits []edit // declared edits that reached them
}

// NewSequence makes an empty sequence.
func (r *Runner) NewSequence() *Sequence {
	return &Sequence{runner: r, pages: make([][]*tensor.Page, r.model.config.Blocks)}
}

// Len is the number of positions computed so far.
func (s *Sequence) Len() int { return len(s.rows) }

// Token is the token at position pos.
func (s *Sequence) Token(pos int) token.Token { return s.rows[pos].token }

// Common is the number of leading positions that hold the same ids as tokens:
// what need not be computed again of a text that has changed further on. To go on
// with that text, Truncate to it and append the other tokens.
func (s *Sequence) Common(tokens []token.Token) int {
	n := 0
	for n < min(len(s.rows), len(tokens)) && s.rows[n].token.ID == tokens[n].ID {
		n++
	}
	return n
}

// SetPrompt says that the first n tokens are the prompt: the state of token
// n-1 emits the first generated token (see Row.Generated). 0, the initial
// value, means that nothing is generated.
func (s *Sequence) SetPrompt(n int) {
	s.prompt = n
	s.checked = passKey{}
}

// Prompt is the number of tokens in the prompt, or 0 where none was set.
func (s *Sequence) Prompt() int { return s.prompt }

// Fork makes a sequence with the same tokens, keys and values. Memory is
// shared until either grows, so that many continuations of one prefix cost
// the prefix once.
func (s *Sequence) Fork() *Sequence {
	f := &Sequence{runner: s.runner, rows: slices.Clone(s.rows), prompt: s.prompt, checked: s.checked}
	f.pages = make([][]*tensor.Page, len(s.pages))
	for b, ps := range s.pages {
		f.pages[b] = slices.Clone(ps)
		for _, p := range ps {
			p.Refs++
		}
	}
	return f
}

// Truncate forgets the positions from n on. It panics unless 0 <= n <= Len.
func (s *Sequence) Truncate(n int) {
	if n < 0 || n > len(s.rows) {
		panic(fmt.Sprintf("llama: cannot truncate a sequence of %d positions to %d", len(s.rows), n))
	}
	s.rows = s.rows[:n]
	keep := (n + tensor.PageLen - 1) / tensor.PageLen
	for b, ps := range s.pages {
		for i := keep; i < len(ps); i++ {
			s.runner.release(ps[i])
		}
		s.pages[b] = ps[:min(keep, len(ps))]
	}
}

// Close gives the sequence's memory back to its runner. The sequence is empty
// afterwards and may be used again.
func (s *Sequence) Close() { s.Truncate(0) }

// row describes position pos, as hooks see it.
func (s *Sequence) row(pos int) Row {
	p := &s.rows[pos]
	return Row{Token: p.token, Seq: s, Span: -1, Pos: pos, Role: p.role}
}

// mismatch finds the first position that a pass with the given edits and depth
// cannot build on, and says why. It gives Len where there is none.
func (s *Sequence) mismatch(sets *editSets) (int, error) {
	if s.checked.equal(sets.key) {
		return len(s.rows), nil
	}
	depth := sets.key.depth
	for pos := range s.rows {
		p := &s.rows[pos]
		if p.depth < depth {
			return pos, fmt.Errorf("position %d has %d blocks, the pass needs %d: %w", pos, p.depth, depth, ErrShallow)
		}
		had, want := effective(p.edits, depth), sets.at(s.row(pos))
		if !slices.Equal(had, want) || slices.ContainsFunc(had, func(e edit) bool { return e.what == taint }) {
			return pos, fmt.Errorf("position %d: edits then %s, now %s: %w", pos, describeEdits(had), describeEdits(want), ErrEdited)
		}
	}
	return len(s.rows), nil
}

// prepare makes sure that the sequence alone owns the pages into which n more
// positions go, in the first depth blocks.
func (s *Sequence) prepare(n, depth int) {
	first := len(s.rows) / tensor.PageLen
	last := (len(s.rows) + n - 1) / tensor.PageLen
	for b := range depth {
		for i := first; i <= last; i++ {
			if i == len(s.pages[b]) {
				s.pages[b] = append(s.pages[b], s.runner.newPage())
			}
			if p := s.pages[b][i]; p.Refs > 1 {
				own := s.runner.newPage()
				own.CopyFrom(p)
				p.Refs--
				s.pages[b][i] = own
			}
		}
	}
}
