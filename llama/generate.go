package llama

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"

	"github.com/limbic-go/limbic/llama/token"
)

// GenerateOptions are the options of Generate.
type GenerateOptions struct {
	// Prompt is what the sequence is extended by before the first new token.
	// It may be empty only where the sequence has a last token that can be
	// computed again: then generation goes on from there.
	Prompt []token.Token
	// Roles says who speaks in the prompt; nil means RoleText.
	Roles []Role
	// MaxTokens bounds the number of new tokens; 0 means 128.
	MaxTokens int
	// IgnoreEnd goes on after a token that ends generation.
	IgnoreEnd bool
	// Sampling chooses tokens; the zero value is greedy.
	Sampling Sampling
	// Stream tells the generators of several sequences of one seed apart.
	Stream uint64
	// Hooks see and edit every position, those of the prompt included.
	Hooks []*Hook
	// Recompute is Pass.Recompute, for the prompt.
	Recompute bool
}

// A Step is one generated token.
type Step struct {
	// ID is the new token; the model ends with one for which the tokenizer's
	// IsEOG holds, which is yielded too.
	ID int32
	// Text is what the token adds to the text. Characters that several tokens
	// form together come with the last of them.
	Text []byte
	// Logits are those that ID was chosen by, valid until the next step.
	Logits []float32
}

// Generate continues a sequence token by token. It sets the sequence's prompt
// to all tokens up to and with options.Prompt, so that hooks can tell prompt
// from generated rows. The state of every new token but the last yielded has
// been computed when the loop ends, and is in the sequence.
//
// Generation ends after MaxTokens, an end token, the end of the model's
// context, or an error, which is yielded last.
func (r *Runner) Generate(ctx context.Context, s *Sequence, o GenerateOptions) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := r.generate(ctx, s, o, yield); err != nil {
			yield(Step{}, err)
		}
	}
}

func (r *Runner) generate(ctx context.Context, s *Sequence, o GenerateOptions, yield func(Step, error) bool) error {
	if o.MaxTokens < 0 {
		return fmt.Errorf("llama: %d new tokens", o.MaxTokens)
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 128
	}
	sampler, err := NewSampler(o.Sampling, o.Stream)
	if err != nil {
		return err
	}
	prompt, roles := o.Prompt, o.Roles
	if len(prompt) == 0 {
		if s.Len() == 0 {
			return errors.New("llama: nothing to continue: the prompt and the sequence are empty")
		}
		// The last token's logits are not kept: compute it once more.
		last := s.rows[s.Len()-1]
		prompt, roles = []token.Token{last.token}, []Role{last.role}
		before := s.Fork()
		s.Truncate(s.Len() - 1)
		defer func() {
			if s.Len() < before.Len() { // that failed
				*s, *before = *before, *s
			}
			before.Close()
		}()
	}
	s.SetPrompt(s.Len() + len(prompt))
	for _, row := range s.rows {
		sampler.Accept(row.token.ID)
	}
	for _, t := range prompt {
		sampler.Accept(t.ID)
	}
	tok := r.model.tokenizer
	end := 0
	if n := len(prompt); n > 0 {
		end = prompt[n-1].End
	}
	text := textBuffer{}
	pass := &Pass{
		Spans:     []Span{{Seq: s, Tokens: prompt, Roles: roles, Logits: LastLogits}},
		Hooks:     o.Hooks,
		Recompute: o.Recompute,
	}
	next := make([]token.Token, 1)
	for n := 1; ; n++ {
		if err := r.Forward(ctx, pass); err != nil {
			return err
		}
		logits := r.Logits(0)
		id := sampler.Next(logits)
		step := Step{ID: id, Logits: logits}
		last := n == o.MaxTokens || tok.IsEOG(id) && !o.IgnoreEnd || s.Len() == r.options.Context
		// Control tokens have no text, but one may end the text before it.
		step.Text = text.add(tok.Piece(id), last)
		if !yield(step, nil) || last {
			return nil
		}
		piece := len(tok.Piece(id))
		next[0] = token.Token{ID: id, Start: end, End: end + piece}
		end += piece
		pass.Spans[0] = Span{Seq: s, Tokens: next, Logits: LastLogits}
	}
}

// textBuffer holds back the bytes of a character until it is complete.
type textBuffer struct{ pending []byte }

// add gives the text that is complete after a piece; all of it if flush is
// set, or where the pending bytes can no longer become a character.
func (b *textBuffer) add(piece []byte, flush bool) []byte {
	b.pending = append(b.pending, piece...)
	n := len(b.pending)
	if !flush {
		// At most the last three bytes can begin an unfinished character.
		for i := max(0, n-utf8.UTFMax+1); i < n; i++ {
			if utf8.RuneStart(b.pending[i]) && !utf8.FullRune(b.pending[i:]) {
				n = i
				break
			}
		}
	}
	out := slices.Clone(b.pending[:n])
	b.pending = append(b.pending[:0], b.pending[n:]...)
	return out
}
