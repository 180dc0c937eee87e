package llama

import (
	"context"
	"fmt"
	"math"

	"github.com/limbic-go/limbic/llama/token"
)

// PerplexityOptions are the options of Perplexity. The zero value is good.
type PerplexityOptions struct {
	// Context is the length of a window in positions, BOS included; 0 means
	// that of the runner.
	Context int
	// NoBOS starts windows without BOS, also where the model's file asks for
	// it.
	NoBOS bool
	// Hooks see and edit every position that is computed.
	Hooks []*Hook
	// Progress, if not nil, is told now and then how many of the text's tokens
	// are done.
	Progress func(done, total int)
}

// A PerplexityResult says how well a model predicts a text.
type PerplexityResult struct {
	// Perplexity is e to the power NLL.
	Perplexity float64
	// StdErr is the standard error of Perplexity.
	StdErr float64
	// NLL is the mean negative log-likelihood of a scored token in nats.
	NLL float64
	// Tokens is the number of tokens scored.
	Tokens int
	// Windows is the number of windows that held a scored token.
	Windows int
}

// Perplexity measures how well the model predicts a text, given as its tokens
// without BOS.
//
// The text is cut into windows of options.Context positions, the last one
// shorter. Each is a sequence of its own that knows nothing of the others. If
// the tokenizer adds BOS, and unless options.NoBOS, a window is BOS and then
// tokens of the text. Every token of a window but its first is scored, given
// those before it in the window: with BOS that is every token of the text,
// without BOS every token but the first of each window. This is harder on the
// model than a score of the second half of each window only, as llama.cpp
// gives, because the first tokens of a window have little to go by.
//
// A score is a log-softmax in float64. The standard error is that of the mean
// of independent scores, carried over to the perplexity by the delta method:
// StdErr = Perplexity · sd(scores)/√Tokens. Scores of neighbouring tokens are
// not quite independent, so it is a little too small. All figures go through
// math.Exp and math.Log and are not promised to the last bit across machines.
//
// Fewer than two scored tokens are an error. Where ctx ends first, the result
// is that of the tokens scored so far, beside the error.
func Perplexity(ctx context.Context, r *Runner, tokens []token.Token, o PerplexityOptions) (PerplexityResult, error) {
	if o.Context == 0 {
		o.Context = r.options.Context
	}
	if o.Context < 2 || o.Context > r.options.Context {
		return PerplexityResult{}, fmt.Errorf("llama: perplexity over windows of %d tokens: must be 2 to %d, the runner's context", o.Context, r.options.Context)
	}
	var start []token.Token
	if bos, ok := r.model.tokenizer.BOS(); ok && r.model.tokenizer.AddsBOS() && !o.NoBOS {
		start = []token.Token{{ID: bos}}
	}
	perWindow := o.Context - len(start)
	scored := len(tokens)
	if len(start) == 0 {
		scored -= (len(tokens) + perWindow - 1) / perWindow
	}
	if scored < 2 {
		return PerplexityResult{}, fmt.Errorf("llama: perplexity: the text is too short: of its tokens (%d), %d can be scored, and at least 2 are needed", len(tokens), max(scored, 0))
	}

	var sum nllSum
	window := make([]token.Token, 0, o.Context)
	s := r.NewSequence()
	defer s.Close()
	for from := 0; from < len(tokens); from += perWindow {
		until := min(from+perWindow, len(tokens))
		window = append(append(window[:0], start...), tokens[from:until]...)
		if len(window) < 2 {
			break // nothing before it to predict it from
		}
		s.Truncate(0)
		done := func(n int) {
			if o.Progress != nil {
				o.Progress(from+max(n-len(start), 0), len(tokens))
			}
		}
		if err := r.scoreWindow(ctx, s, window, o.Hooks, &sum, done); err != nil {
			return sum.result(), err
		}
		sum.windows++
	}
	if o.Progress != nil {
		o.Progress(len(tokens), len(tokens))
	}
	return sum.result(), nil
}

// maxLogits bounds the memory for the logits of one pass: 64 MiB.
const maxLogits = 16 << 20

// scoreWindow adds the scores of all tokens of a window but the first. The last
// token's state predicts nothing that is scored, and is not computed.
func (r *Runner) scoreWindow(ctx context.Context, s *Sequence, window []token.Token, hooks []*Hook, sum *nllSum, done func(n int)) error {
	step := max(1, min(r.options.BatchTokens, maxLogits/r.model.config.Vocabulary))
	pass := &Pass{Spans: make([]Span, 1), Hooks: hooks}
	for from := 0; from < len(window)-1; from += step {
		until := min(from+step, len(window)-1)
		pass.Spans[0] = Span{Seq: s, Tokens: window[from:until], Logits: AllLogits}
		if err := r.Forward(ctx, pass); err != nil {
			return err
		}
		for i := range until - from {
			logits := r.LogitsAt(0, i)
			sum.add(LogSumExp(logits) - float64(logits[window[from+i+1].ID]))
		}
		done(until + 1)
	}
	return nil
}

// nllSum keeps the mean of scores and the sum of squared deviations from it
// (Welford, 1962), which unlike a sum of squares does not cancel.
type nllSum struct {
	n, windows int
	mean, m2   float64
}

func (s *nllSum) add(x float64) {
	s.n++
	d := x - s.mean
	s.mean += d / float64(s.n)
	s.m2 += d * (x - s.mean)
}

func (s *nllSum) result() PerplexityResult {
	p := PerplexityResult{NLL: s.mean, Tokens: s.n, Windows: s.windows}
	if s.n > 0 {
		p.Perplexity = math.Exp(s.mean)
	}
	if s.n > 1 {
		n := float64(s.n)
		p.StdErr = p.Perplexity * math.Sqrt(s.m2/(n-1)/n)
	}
	return p
}

// LogSumExp is the logarithm of the sum of e^x over a row of logits, in
// float64: the log-probability of token i is float64(logits[i]) minus it.
func LogSumExp(logits []float32) float64 {
	top := math.Inf(-1)
	for _, x := range logits {
		top = max(top, float64(x))
	}
	if math.IsInf(top, 0) {
		return top // of no logits, or of ones that no softmax has
	}
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum)
}
