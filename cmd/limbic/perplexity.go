package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/steer"
)

type perplexityResult struct {
	Perplexity  float64        `json:"perplexity"`
	StdErr      float64        `json:"stderr"`
	Tokens      int            `json:"tokens"` // scored
	NLL         float64        `json:"nll"`    // mean, in nats
	Windows     int            `json:"windows"`
	Context     int            `json:"context"`     // positions of a window
	TextTokens  int            `json:"text_tokens"` // BOS not included
	Receipt     *steer.Receipt `json:"receipt"`     // of steering
	Interrupted bool           `json:"interrupted,omitempty"`
	Provenance  provenance     `json:"provenance"`
}

func newPerplexity(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var plans steerFlags
	var window int
	cmd := &cobra.Command{
		Use:   "perplexity MODEL --file F",
		Short: "Measure how well the model predicts a text",
		Long: `Measure the perplexity of a text, with its standard error. The text is cut into
windows of --context tokens that know nothing of each other; each begins with
BOS if the model adds it. All tokens of a window but its first are scored.

The standard error takes the scores of tokens to be independent. An interrupted
run reports on the tokens scored so far.

` + steerHelp + `

All of every window is prompt, so that #prompt is the same as no scope and
#generated is refused. The last token of a window predicts nothing that is
scored; it is not computed, nor edited.`,
		Example: examples(
			`limbic perplexity MODEL --file LICENSE --context 64`,
			`limbic perplexity MODEL "Once upon a time there was a little girl." --json`,
			`limbic perplexity MODEL --file LICENSE --context 64 --steer VECTORS:calm=0.1`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if cmd.Flags().Changed("context") && window < 2 {
				return usagef("--context %d: a window needs at least 2 tokens", window)
			}
			if err := plans.check(); err != nil {
				return err
			}
			for _, p := range plans.plans {
				if p.Scope == steer.Generated {
					return usagef("--steer: plan %q: nothing is generated: all of the text is prompt", p)
				}
			}
			flags.context = window
			s, e, err := a.openText(ctx, args, &text, &flags)
			if err != nil {
				return err
			}
			defer e.close()
			if window == 0 {
				window = e.context()
			}
			steered, err := plans.open(ctx, a, e)
			if err != nil {
				return err
			}
			// BOS is added to every window, not to the text.
			tokens := e.tok.Encode(s, token.EncodeOptions{BOS: token.Never, EOS: token.Never, Special: text.special})

			progress, finish := a.progress("perplexity")
			p, err := llama.Perplexity(ctx, e.runner, tokens, llama.PerplexityOptions{
				Context: window, NoBOS: text.noBOS, Hooks: steered.hooks(), Progress: progress,
			})
			finish()
			var interrupted error
			if err != nil {
				if ctx.Err() == nil || p.Tokens < 2 {
					return err
				}
				interrupted = interruptedError{err, fmt.Sprintf("after %s", counted(p.Tokens, "scored token"))}
			} else if err := steered.err(); err != nil {
				return err
			}
			r := perplexityResult{
				Perplexity: p.Perplexity, StdErr: p.StdErr, Tokens: p.Tokens, NLL: p.NLL, Windows: p.Windows,
				Context: window, TextTokens: len(tokens), Receipt: steered.receipt(), Interrupted: interrupted != nil,
			}
			if err := errors.Join(finite("the perplexity", p.Perplexity), finite("its standard error", p.StdErr)); err != nil {
				return err
			}
			if a.json {
				if r.Provenance, err = e.provenance(ctx, nil); err != nil {
					return err
				}
				r.Provenance.defineText(&text)
				steered.note(&r.Provenance)
				r.Provenance.define(
					"scored", "all tokens of a window but its first, natural log-softmax in float64",
					"stderr", "perplexity times the standard error of the mean score, scores taken as independent",
				)
				err = a.writeJSON(r)
			} else {
				if _, err = fmt.Fprintf(a.stdout, "perplexity %.4f ± %.4f (standard error)\n%s scored in %s of up to %s\n",
					r.Perplexity, r.StdErr, counted(r.Tokens, "token"), counted(r.Windows, "window"), counted(r.Context, "token")); err != nil {
					return err
				}
				err = printReceipt(a.stdout, r.Receipt)
			}
			if err != nil {
				return err
			}
			return interrupted
		},
	}
	text.register(cmd)
	flags.registerExact(cmd)
	plans.register(cmd)
	cmd.Flags().IntVar(&window, "context", 0, "`N` tokens in a window, BOS included (default: the model's context)")
	return cmd
}
