package steer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
)

// KL is the Kullback–Leibler divergence KL(base‖steered) in nats between the
// softmax distributions of two rows of logits: the mean, over tokens drawn from
// base, of log p_base − log p_steered. It is computed in float64; equal logits
// give 0 exactly. The rows have equal length.
//
// It goes through math.Exp and math.Log and is not promised to the last bit
// across machines.
func KL(base, steered []float32) float64 {
	if len(base) != len(steered) {
		panic(fmt.Sprintf("steer: %d and %d logits", len(base), len(steered)))
	}
	b, s := llama.LogSumExp(base), llama.LogSumExp(steered)
	sum := 0.0
	for i, x := range base {
		lp := float64(x) - b
		if p := math.Exp(lp); p > 0 {
			sum += float64(p * (lp - (float64(steered[i]) - s)))
		}
	}
	return max(sum, 0) // it is never negative but for rounding
}

// MeanKL is the mean of KL over the positions that predict a continuation of a
// prompt: from the prompt's last token, whose state emits the first token of
// the continuation, to the last but one. Both runs read the same tokens, one
// without hooks and one with them. By definition (see Sweep) the continuation
// is the unsteered greedy one.
//
// Both must have a token at least. The hooks see the prompt's end where it is
// (llama.Sequence.SetPrompt).
func MeanKL(ctx context.Context, r *llama.Runner, prompt, continuation []token.Token, hooks []*llama.Hook) (float64, error) {
	if len(prompt) == 0 || len(continuation) == 0 {
		return 0, fmt.Errorf("steer: KL of a prompt of %d tokens and a continuation of %d: both must have some", len(prompt), len(continuation))
	}
	base, steered := r.NewSequence(), r.NewSequence()
	defer base.Close()
	defer steered.Close()
	base.SetPrompt(len(prompt))
	steered.SetPrompt(len(prompt))
	tokens := slices.Concat(prompt, continuation[:len(continuation)-1])
	rows := rowsAtOnce(r)
	kept := make([][]float32, min(rows, len(continuation)))
	var mean meanKL
	for from := 0; from < len(continuation); from += rows {
		n := min(rows, len(continuation)-from)
		until := len(prompt) + from + n - 1
		err := advance(ctx, r, base, tokens[base.Len():until], n, nil, func(i int, logits []float32) {
			kept[i] = append(kept[i][:0], logits...)
		})
		if err != nil {
			return 0, err
		}
		err = advance(ctx, r, steered, tokens[steered.Len():until], n, hooks, func(i int, logits []float32) {
			mean.add(kept[i], logits)
		})
		if err != nil {
			return 0, err
		}
	}
	return mean.result()
}

// rowsAtOnce bounds the memory for logits to some 64 MiB.
func rowsAtOnce(r *llama.Runner) int {
	return max(1, min(r.Options().BatchTokens, 16<<20/r.Model().Config().Vocabulary))
}

// advance appends tokens to a sequence and shows the logits of the last n.
func advance(ctx context.Context, r *llama.Runner, s *llama.Sequence, tokens []token.Token, n int, hooks []*llama.Hook, see func(i int, logits []float32)) error {
	if rest := len(tokens) - n; rest > 0 {
		pass := &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: tokens[:rest]}}, Hooks: hooks, Full: true}
		if err := r.Forward(ctx, pass); err != nil {
			return err
		}
		tokens = tokens[rest:]
	}
	pass := &llama.Pass{Spans: []llama.Span{{Seq: s, Tokens: tokens, Logits: llama.AllLogits}}, Hooks: hooks}
	if err := r.Forward(ctx, pass); err != nil {
		return err
	}
	for i := range n {
		see(i, r.LogitsAt(0, i))
	}
	return nil
}

type meanKL struct {
	sum float64
	n   int
}

func (m *meanKL) add(base, steered []float32) {
	m.sum += KL(base, steered)
	m.n++
}

func (m *meanKL) result() (float64, error) {
	mean := m.sum / float64(m.n)
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		return 0, errors.New("steer: the KL divergence is not finite: some logits are not")
	}
	return mean, nil
}
