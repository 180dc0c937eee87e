package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/steer"
)

type generateResult struct {
	PromptTokens []int32 `json:"prompt_tokens"`
	continuation
	Copies      []continuation `json:"copies,omitempty"` // with --n above 1: all of them, the first included
	Receipt     *steer.Receipt `json:"receipt"`          // of steering, for all copies together
	Interrupted bool           `json:"interrupted,omitempty"`
	Provenance  provenance     `json:"provenance"`
}

// A continuation is one text that the model wrote. Tokens holds all new tokens,
// those that spell a stop string and an end token included, and Text what they
// say up to that.
type continuation struct {
	Tokens []int32 `json:"tokens"`
	Text   string  `json:"text"`
	// TextBase64 has the bytes of a text that is not valid UTF-8, which a JSON
	// string cannot hold.
	TextBase64 []byte        `json:"text_base64,omitempty"`
	Finish     string        `json:"finish"` // what ended it: end, stop, length, context or interrupted
	Trace      *emotionTrace `json:"trace"`  // with --probe
}

// What can end a continuation.
const (
	finishEnd         = "end"     // the model's end token
	finishStop        = "stop"    // a stop string
	finishLength      = "length"  // --max-tokens
	finishContext     = "context" // the end of the model's context
	finishInterrupted = "interrupted"
)

type generateFlags struct {
	maxTokens int
	copies    int
	ignoreEnd bool
	stops     []string
	sampling  samplingFlags
}

func (f *generateFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.IntVar(&f.maxTokens, "max-tokens", 128, "generate at most `N` tokens")
	f.sampling.register(cmd)
	fs.IntVar(&f.copies, "n", 1, "generate `COPIES` continuations, each with random draws of its own")
	fs.StringArrayVar(&f.stops, "stop", nil, "end before the text `S`; may be given several times")
	fs.BoolVar(&f.ignoreEnd, "ignore-eos", false, "go on after the model's end token")
}

// check is called before a model is opened.
func (f *generateFlags) check() error {
	switch {
	case f.maxTokens < 0:
		return usagef("--max-tokens %d is negative", f.maxTokens)
	case f.copies < 1:
		return usagef("--n %d: at least 1 continuation is needed", f.copies)
	}
	for _, s := range f.stops {
		if s == "" {
			return usagef("--stop is empty: generation would end at once")
		}
	}
	return f.sampling.check()
}

// samplingFlags say how tokens are chosen.
type samplingFlags struct{ llama.Sampling }

func (f *samplingFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Float32Var(&f.Temperature, "temp", 0, "temperature `T`; 0 always takes the likeliest token")
	fs.IntVar(&f.TopK, "top-k", 0, "draw from the `K` likeliest tokens; 0 means all")
	fs.Float32Var(&f.TopP, "top-p", 0, "draw from the fewest likeliest tokens that together reach probability `P`; 0 means all")
	fs.Float32Var(&f.MinP, "min-p", 0, "draw from tokens at least `P` times as likely as the likeliest; 0 means all")
	fs.Float32Var(&f.RepeatPenalty, "repeat-penalty", 0, "make the last 64 tokens less likely by the factor `R`; 0 and 1 do nothing")
	fs.Uint64Var(&f.Seed, "seed", 0, "seed `N` of the random draws")
}

// check is called before a model is opened.
func (f *samplingFlags) check() error {
	if _, err := llama.NewSampler(f.Sampling, 0); err != nil {
		return usagef("%w", unprefixed{err, "llama: "})
	}
	return nil
}

func newGenerate(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var gen generateFlags
	var plans steerFlags
	var probed meterFlags
	cmd := &cobra.Command{
		Use:   "generate MODEL TEXT",
		Short: "Continue a text, steered or with its emotions read if asked",
		Long: `Continue a text. The new text is written as it comes; the text itself is not
repeated. The same command with the same --seed gives the same text everywhere.

` + chatHelp + `
The answer ends at the model's end-of-turn token, or before the next "Human:".

` + steerHelp + `

--probe VECTORS[:NAME,...] reads emotions while the model writes, at each state
that chose a new token: the last of the text chose the first. Scores follow the
text on standard error, those of the named emotions or of the five strongest;
--json has all. They are read after the edits of --steer unless --before-edit.`,
		Example: examples(
			`limbic generate MODEL "Once upon a time" --max-tokens 32`,
			`limbic generate MODEL "Once upon a time" --max-tokens 32 --temp 0.8 --top-p 0.95 --seed 7 --n 3 --json`,
			`limbic generate MODEL "Once upon a time" --max-tokens 32 --steer VECTORS:calm=+0.1#generated --probe VECTORS`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := cmp.Or(gen.check(), plans.check(), probed.check(cmd)); err != nil {
				return err
			}
			from, e, err := a.openPrompt(ctx, args, &text, &flags, errEmptyPrompt)
			if err != nil {
				return err
			}
			defer e.close()
			if err := from.answerable(); err != nil {
				return err
			}
			prompt := from.Tokens
			gen.stops = append(gen.stops, from.format.Stops()...)

			steered, err := plans.open(ctx, a, e)
			if err != nil {
				return err
			}
			m, err := probed.open(e, steered.files)
			if err != nil {
				return err
			}

			r := generateResult{PromptTokens: ids(prompt)}
			copies, err := a.generate(ctx, e, prompt, &gen, steered, m)
			var interrupted error
			if err != nil {
				if ctx.Err() == nil || len(copies) == 0 {
					return err
				}
				done := fmt.Sprintf("after %s", counted(len(copies[len(copies)-1].Tokens), "new token"))
				if gen.copies > 1 {
					done += fmt.Sprintf(" of copy %d of %d", len(copies), gen.copies)
				}
				interrupted = interruptedError{err, done}
			} else if err := steered.err(); err != nil {
				return err
			}
			r.Receipt = steered.receipt()
			if !a.json {
				if err := printReceipt(a.stderr, r.Receipt); err != nil {
					return err
				}
				return interrupted
			}
			r.continuation = copies[0]
			if gen.copies > 1 {
				r.Copies = copies
			}
			r.Interrupted = interrupted != nil
			if r.Provenance, err = e.provenance(ctx, m.sites()); err != nil {
				return err
			}
			r.Provenance.Seed = gen.sampling.Seed
			r.Provenance.definePrompt(&text, from)
			r.Provenance.define("sampling", describeSampling(gen.sampling.Sampling))
			if m == nil {
				steered.note(&r.Provenance)
			} else {
				steered.noteCapture(&r.Provenance)
				m.note(&r.Provenance)
			}
			r.Provenance.Vectors = steered.files.notes
			if err := a.writeJSON(r); err != nil {
				return err
			}
			return interrupted
		},
	}
	text.registerChat(cmd)
	flags.register(cmd)
	flags.registerContext(cmd)
	gen.register(cmd)
	plans.registerCapture(cmd)
	probed.register(cmd)
	return cmd
}

var errEmptyPrompt = errors.New("the text is empty and no BOS is added: there is nothing to continue")

// describeSampling states how tokens are chosen.
func describeSampling(s llama.Sampling) string {
	var parts []string
	if s.RepeatPenalty != 0 && s.RepeatPenalty != 1 {
		parts = append(parts, fmt.Sprintf("repetition penalty %v over 64 tokens", s.RepeatPenalty))
	}
	if s.Temperature == 0 {
		return strings.Join(append(parts, "greedy"), ", ")
	}
	if s.TopK > 0 {
		parts = append(parts, fmt.Sprintf("top-k %d", s.TopK))
	}
	if s.TopP > 0 && s.TopP < 1 {
		parts = append(parts, fmt.Sprintf("top-p %v", s.TopP))
	}
	if s.MinP > 0 {
		parts = append(parts, fmt.Sprintf("min-p %v", s.MinP))
	}
	return strings.Join(append(parts, fmt.Sprintf("temperature %v", s.Temperature)), ", ")
}

// generate makes all continuations of a prompt, which is computed once, and
// writes them as they come unless there is to be JSON. Where it fails it gives
// those it has, the last of them unfinished. m is nil where no emotions are
// read.
func (a *app) generate(ctx context.Context, e *engine, prompt []token.Token, f *generateFlags, steered *steering, m *meter) ([]continuation, error) {
	// The last token of the prompt is left to each copy, which needs its logits.
	base := e.runner.NewSequence()
	defer base.Close()
	base.SetPrompt(len(prompt))
	hooks := steered.hooks(m.hooks()...)
	rest := len(prompt) - 1
	progress, finish := a.progress("prompt")
	err := e.prefill(ctx, base, prompt[:rest], hooks, progress)
	finish()
	if err != nil {
		return nil, err
	}
	if err := steered.promptErr(); err != nil {
		return nil, err
	}
	var copies []continuation
	for i := range f.copies {
		var w io.Writer = io.Discard
		if !a.json {
			w = a.stdout
			if f.copies > 1 {
				if _, err := fmt.Fprintf(w, "--- %d of %d ---\n", i+1, f.copies); err != nil {
					return copies, err
				}
			}
			if a.stdoutTerminal {
				w = terminalText{w}
			}
		}
		s := base
		if i < f.copies-1 {
			s = base.Fork()
		}
		c, err := e.continueText(ctx, s, prompt[rest:], f, uint64(i), hooks, w)
		s.Close()
		c.Trace = m.take(len(c.Tokens))
		copies = append(copies, c)
		// A shell's prompt belongs on a line of its own, a pipe gets the text
		// alone.
		if !a.json && (a.stdoutTerminal || f.copies > 1) {
			if _, err := io.WriteString(a.stdout, "\n"); err != nil {
				return copies, err
			}
		}
		if !a.json {
			if err := a.printTrace(c.Trace, m); err != nil {
				return copies, err
			}
		}
		if err != nil {
			return copies, err
		}
	}
	return copies, nil
}

// continueText makes one continuation and writes it as it comes.
func (e *engine) continueText(ctx context.Context, s *llama.Sequence, prompt []token.Token, f *generateFlags,
	stream uint64, hooks []*llama.Hook, w io.Writer) (continuation, error) {
	c := continuation{Tokens: []int32{}, Finish: finishLength}
	stop := stopper{stops: f.stops}
	var text []byte
	emit := func(b []byte) error {
		text = append(text, b...)
		_, err := w.Write(b)
		return err
	}
	err := func() error {
		if f.maxTokens == 0 {
			return nil
		}
		for step, err := range e.runner.Generate(ctx, s, llama.GenerateOptions{
			Prompt: prompt, MaxTokens: f.maxTokens, IgnoreEnd: f.ignoreEnd, Sampling: f.sampling.Sampling, Stream: stream, Hooks: hooks,
		}) {
			if err != nil {
				return err
			}
			c.Tokens = append(c.Tokens, step.ID)
			ready, stopped := stop.add(step.Text)
			if err := emit(ready); err != nil {
				return err
			}
			if stopped {
				c.Finish = finishStop
				return nil
			}
			if e.tok.IsEOG(step.ID) && !f.ignoreEnd {
				c.Finish = finishEnd
			}
		}
		if c.Finish == finishLength && len(c.Tokens) < f.maxTokens {
			c.Finish = finishContext
		}
		return nil
	}()
	if err != nil && ctx.Err() != nil {
		c.Finish = finishInterrupted
	}
	if c.Finish != finishStop {
		if e := emit(stop.pending); err == nil {
			err = e
		}
	}
	c.Text = string(text)
	if !utf8.Valid(text) {
		c.TextBase64 = text
	}
	return c, err
}

// A stopper finds the first stop string in a text that comes in pieces, and
// holds back what may be the beginning of one.
type stopper struct {
	stops   []string
	pending []byte
}

// add gives what can be shown after a piece, and whether the text ends there.
func (s *stopper) add(piece []byte) (ready []byte, stopped bool) {
	s.pending = append(s.pending, piece...)
	// The one that is complete first, so that it does not matter how the text
	// was cut into pieces; of those, the longest.
	start, end := -1, 0
	for _, stop := range s.stops {
		i := bytes.Index(s.pending, []byte(stop))
		if e := i + len(stop); i >= 0 && (start < 0 || e < end || e == end && i < start) {
			start, end = i, e
		}
	}
	if start >= 0 {
		ready, s.pending = s.pending[:start], nil
		return ready, true
	}
	hold := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.pending)); n > hold; n-- {
			if bytes.HasSuffix(s.pending, []byte(stop[:n])) {
				hold = n
			}
		}
	}
	cut := len(s.pending) - hold
	ready, s.pending = s.pending[:cut:cut], bytes.Clone(s.pending[cut:])
	return ready, false
}

// terminalText writes generated text to a terminal.
type terminalText struct{ w io.Writer }

func (t terminalText) Write(p []byte) (int, error) {
	if _, err := t.w.Write(forTerminal(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
