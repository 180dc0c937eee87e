package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/steer"
	"github.com/limbic-go/limbic/tensor/npy"
)

type logitsResult struct {
	Tokens     []int32        `json:"tokens"`
	Top        []topRow       `json:"top"`
	Out        string         `json:"out,omitempty"`
	Receipt    *steer.Receipt `json:"receipt"` // of steering
	Provenance provenance     `json:"provenance"`
}

// A topRow is a candidate for the next token.
type topRow struct {
	ID      int32   `json:"id"`
	Text    string  `json:"text"`
	Logit   float32 `json:"logit"`
	LogProb float64 `json:"logprob"` // natural logarithm
}

func newLogits(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var plans steerFlags
	var top int
	var out string
	cmd := &cobra.Command{
		Use:   "logits MODEL TEXT",
		Short: "Show what the model expects after a text",
		Long: `Show the likeliest next tokens after a text, with their logits and natural
log-probabilities. --out also writes the logits after every token of the text,
as a NumPy array float32 [tokens, vocabulary].

` + chatHelp + `

` + steerHelp + `

All of the text is prompt: #generated is its last token alone.`,
		Example: examples(
			`limbic logits MODEL "Once upon a time"`,
			`limbic logits MODEL "Once upon a time" --top 3 --json`,
			`limbic logits MODEL "Once upon a time" --out /tmp/logits.npy --steer VECTORS:calm=0.1`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if top < 0 {
				return usagef("--top %d is negative", top)
			}
			if cmd.Flags().Changed("out") && out == "" {
				return usagef("--out names no file")
			}
			if out != "" {
				if err := checkOut(out); err != nil {
					return err
				}
			}
			if err := plans.check(); err != nil {
				return err
			}
			from, e, err := a.openPrompt(ctx, args, &text, &flags, errors.New("the text is empty and no BOS is added: there is no token to compute logits after"))
			if err != nil {
				return err
			}
			defer e.close()
			tokens := from.Tokens
			steered, err := plans.open(ctx, a, e)
			if err != nil {
				return err
			}
			last, err := a.computeLogits(ctx, e, tokens, steered, out)
			if err != nil {
				return err
			}
			r := logitsResult{Tokens: ids(tokens), Top: topTokens(e.tok, last, top), Out: out, Receipt: steered.receipt()}
			if a.json {
				if r.Provenance, err = e.provenance(ctx, nil); err != nil {
					return err
				}
				r.Provenance.definePrompt(&text, from)
				steered.note(&r.Provenance)
				r.Provenance.define("logprob", "natural logarithm of the softmax over the whole vocabulary, in float64")
				return a.writeJSON(r)
			}
			return a.printLogits(&r)
		},
	}
	text.registerChat(cmd)
	flags.registerExact(cmd)
	flags.registerContext(cmd)
	plans.register(cmd)
	cmd.Flags().IntVar(&top, "top", 10, "show the `K` likeliest tokens")
	cmd.Flags().StringVar(&out, "out", "", "write the logits at all positions to the file `F.npy`")
	return cmd
}

// computeLogits gives the logits after the last token. If out is not "", those
// after every token go to that file.
func (a *app) computeLogits(ctx context.Context, e *engine, tokens []token.Token, steered *steering, out string) ([]float32, error) {
	progress, finish := a.progress("logits")
	defer finish()
	s := e.runner.NewSequence()
	defer s.Close()
	s.SetPrompt(len(tokens))
	if out == "" {
		if err := e.feed(ctx, s, tokens, llama.LastLogits, steered.hooks(), progress, nil); err != nil {
			return nil, err
		}
		return slices.Clone(e.runner.Logits(0)), steered.err()
	}
	var last []float32
	err := atomicfile.Write(out, 0o644, func(w io.Writer) error {
		array, err := npy.NewWriter[float32](w, len(tokens), e.model.Config().Vocabulary)
		if err != nil {
			return err
		}
		err = e.feed(ctx, s, tokens, llama.AllLogits, steered.hooks(), progress, func(from, until int) error {
			for i := range until - from {
				row := e.runner.LogitsAt(0, i)
				if err := array.Append(row...); err != nil {
					return err
				}
				if from+i == len(tokens)-1 {
					last = slices.Clone(row)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := steered.err(); err != nil {
			return err
		}
		return array.Close()
	})
	return last, err
}

// topTokens gives the n likeliest tokens; of equals, those with lower ids.
func topTokens(tok *token.Tokenizer, logits []float32, n int) []topRow {
	order := make([]int32, len(logits))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b))
	})
	total := llama.LogSumExp(logits)
	rows := make([]topRow, 0, min(n, len(order)))
	for _, id := range order[:min(n, len(order))] {
		rows = append(rows, topRow{id, tok.Text(id), logits[id], float64(logits[id]) - total})
	}
	return rows
}

func (a *app) printLogits(r *logitsResult) error {
	if _, err := fmt.Fprintf(a.stdout, "after %s:\n", counted(len(r.Tokens), "token")); err != nil {
		return err
	}
	t := table{head: []string{"id", "logit", "logprob", "text"}, right: []bool{true, true, true, false}}
	for _, row := range r.Top {
		t.add(strconv.Itoa(int(row.ID)), fmt.Sprintf("%.4f", row.Logit), fmt.Sprintf("%.4f", row.LogProb), strconv.Quote(row.Text))
	}
	if err := a.print(&t); err != nil {
		return err
	}
	if r.Out != "" {
		if _, err := fmt.Fprintf(a.stdout, "wrote the logits at all positions to %s\n", r.Out); err != nil {
			return err
		}
	}
	return printReceipt(a.stdout, r.Receipt)
}
