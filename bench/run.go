package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// Options say what Run measures. Tokens are drawn at random from the
// vocabulary: speed does not depend on which they are.
type Options struct {
	// Prompt is the number of tokens that are processed at once, with logits
	// for the last; 0 leaves this out.
	Prompt int
	// Generate is the number of tokens that are processed one after the other,
	// with logits for each and without sampling; 0 leaves this out. Depth is the
	// number of tokens that the sequence holds before, whose time is not
	// counted.
	Generate, Depth int
	// Texts is the number of texts, of TextTokens tokens each, that are pooled
	// at Site together, as vectors are built; 0 leaves this out.
	Texts, TextTokens int
	Site              llama.Site
	// Repeat is how often each is measured; 0 means once.
	Repeat int
	// Progress, if not nil, is told after each measurement.
	Progress func(done, total int)
}

// Speeds are what Run measured, in tokens per second.
type Speeds struct {
	Prompt, Generate, Extract Spread
}

// BatchTexts is how many texts probe.Build puts through the model together.
const BatchTexts = 16

// poolFrom is the first token that is pooled of a text: that of the usual
// recipe, unless texts are shorter.
const poolFrom = 50

// Run measures a runner's model. Each kind of pass is made once before it is
// timed, so that buffers have grown and weights have been read. Kinds take
// turns: a slow moment of the machine meets all of them.
//
// It fails where a number is negative or longer than the model's context, and
// with the error of a pass; then the speeds hold what was measured before.
func Run(ctx context.Context, r *llama.Runner, o Options) (speeds Speeds, err error) {
	if err := o.check(r.Model().Config()); err != nil {
		return speeds, err
	}
	o.Repeat = max(o.Repeat, 1)
	m := measurement{Runner: r, ctx: ctx, random: rand.New(rand.NewPCG(1, 2))}
	var kinds []kind
	if o.Prompt > 0 {
		kinds = append(kinds, kind{&speeds.Prompt, o.Prompt, func(int) error { return m.prompt(o.Prompt) }})
	}
	if o.Generate > 0 {
		s := r.NewSequence()
		defer s.Close()
		kinds = append(kinds, kind{&speeds.Generate, o.Generate, func(round int) error {
			if round < 0 {
				if err := m.extend(s, o.Depth); err != nil {
					return err
				}
				return m.generate(s, 1)
			}
			s.Truncate(o.Depth)
			return m.generate(s, o.Generate)
		}})
	}
	if o.Texts > 0 {
		capturer, err := probe.NewCapturer(r, []llama.Site{o.Site}, min(poolFrom, o.TextTokens), true)
		if err != nil {
			return speeds, err
		}
		kinds = append(kinds, kind{&speeds.Extract, o.Texts * o.TextTokens, func(round int) error {
			texts := o.Texts
			if round < 0 {
				texts = 1
			}
			return m.extract(capturer, texts, o.TextTokens)
		}})
	}
	samples := make([][]float64, len(kinds))
	defer func() { // also of what was measured before an error
		for i, k := range kinds {
			*k.to = NewSpread(samples[i])
		}
	}()
	for round := -1; round < o.Repeat; round++ {
		for i, k := range kinds {
			start := time.Now()
			if err := k.pass(round); err != nil {
				return speeds, err
			}
			if round < 0 {
				continue
			}
			samples[i] = append(samples[i], float64(k.tokens)/time.Since(start).Seconds())
			if o.Progress != nil {
				o.Progress(round*len(kinds)+i+1, o.Repeat*len(kinds))
			}
		}
	}
	return speeds, nil
}

func (o *Options) check(c llama.Config) error {
	switch {
	case min(o.Prompt, o.Generate, o.Depth, o.Texts, o.TextTokens, o.Repeat) < 0:
		return errors.New("bench: a number of tokens, texts or repetitions is negative")
	case o.Texts > 0 && o.TextTokens == 0:
		return errors.New("bench: texts of no tokens")
	}
	lengths := []int{o.Prompt, o.TextTokens}
	if o.Generate > 0 {
		lengths = append(lengths, o.Depth, o.Generate, o.Depth+o.Generate)
	}
	for _, n := range lengths {
		if n > c.Context {
			return fmt.Errorf("bench: %d tokens: the model's context holds %d", n, c.Context)
		}
	}
	return nil
}

// A kind of pass, and where its speed goes. Round -1 is not timed.
type kind struct {
	to     *Spread
	tokens int
	pass   func(round int) error
}

type measurement struct {
	*llama.Runner
	ctx    context.Context
	random *rand.Rand
}

func (m *measurement) tokens(n int) []token.Token {
	ts := make([]token.Token, n)
	for i := range ts {
		ts[i] = token.Token{ID: int32(m.random.IntN(m.Model().Config().Vocabulary)), Start: i, End: i + 1}
	}
	return ts
}

func (m *measurement) prompt(n int) error {
	s := m.NewSequence()
	defer s.Close()
	return m.extend(s, n)
}

// extend adds n tokens to a sequence, at once.
func (m *measurement) extend(s *llama.Sequence, n int) error {
	if n == 0 {
		return nil
	}
	return m.Forward(m.ctx, &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: m.tokens(n), Logits: llama.LastLogits}}})
}

// generate adds n tokens to a sequence, one after the other.
func (m *measurement) generate(s *llama.Sequence, n int) error {
	tokens := m.tokens(n)
	pass := &llama.Pass{Spans: make([]llama.Span, 1)}
	for i := range tokens {
		pass.Spans[0] = llama.Span{Seq: s, Tokens: tokens[i : i+1], Logits: llama.LastLogits}
		if err := m.Forward(m.ctx, pass); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) extract(c *probe.Capturer, texts, tokens int) error {
	for texts > 0 {
		batch := make([]probe.Text, min(texts, BatchTexts))
		for i := range batch {
			batch[i].Tokens = m.tokens(tokens)
		}
		if _, err := c.Capture(m.ctx, batch); err != nil {
			return err
		}
		texts -= len(batch)
	}
	return nil
}
