package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/report"
	"github.com/limbic-go/limbic/steer"
)

// newChat makes the command that talks with a model.
func newChat(a *app) *cobra.Command {
	var flags engineFlags
	var text textFlags
	var plans steerFlags
	var probed meterFlags
	var gen generateFlags
	cmd := &cobra.Command{
		Use:   "chat MODEL",
		Short: "Talk with a model, steered or with its emotions read if asked",
		Long: `Talk with a model: each line is what you say, and the answer is written as it
comes. Ctrl-C stops an answer, Ctrl-D or /quit ends the conversation.

  /steer PLAN   steer from now on, as --steer does, in addition to other plans
  /steer none   steer no more; /steer alone says what steers
  /reset        begin a new conversation
  /save FILE    write the conversation as JSON, which --messages reads
  /help         list these
  /quit         leave

Turns are wrapped with the chat template in the model's file, or as "Human: ..."
and "Assistant: ..." with --format human-assistant. A model without a template
needs that. --messages goes on from a conversation in a file.

` + steerHelp + `

--probe VECTORS[:NAME,...] reads emotions at each state that chose a token of an
answer. Their means and courses follow the answer on standard error, those of the
named emotions or of the five strongest; a terminal shows the answer coloured by
the first of those named.

Lines may come from a pipe: then standard output holds the answers alone, with
--json each as a line of JSON, and the first error ends the program.`,
		Example: examples(
			`echo "How do you feel?" | limbic chat MODEL --format human-assistant --max-tokens 16`,
			`printf 'Hello.\n/steer VECTORS:calm=0.1\nHow are you?\n' | limbic chat MODEL --format human-assistant --max-tokens 16 --probe VECTORS`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(gen.check(), plans.check(), probed.check(cmd)); err != nil {
				return err
			}
			c := &chatSession{app: a, text: &text, gen: &gen, plans: &plans, typed: isTerminal(a.stdin)}
			if text.chat.given.messages {
				from, _, err := text.source(cmd.Context(), a, args)
				if err != nil {
					return err
				}
				c.opening = from.Messages
			} else if text.chat.given.system {
				c.opening = []chat.Message{{Role: chat.System, Content: text.chat.system}}
			}
			e, err := openEngine(args[0], &flags)
			if err != nil {
				return err
			}
			defer e.close()
			return c.run(cmd.Context(), e, &probed)
		},
	}
	flags.register(cmd)
	flags.registerContext(cmd)
	plans.registerCapture(cmd)
	probed.register(cmd)
	fs := cmd.Flags()
	fs.IntVar(&gen.maxTokens, "max-tokens", 512, "answer with at most `N` tokens")
	gen.sampling.register(cmd)
	gen.copies = 1
	fs.StringVar(&text.chat.messages, "messages", "", "go on from the conversation in the file `F.json`, a list of {\"role\", \"content\"}")
	fs.StringVar(&text.chat.format, "format", "", "wrap turns as `chat|human-assistant`; chat is the model's own template")
	text.chat.registerWrapping(cmd)
	text.chat.chat = true
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case text.chat.format == chat.NameRaw:
			return usagef("--format raw: raw text has no turns; want chat or human-assistant")
		case text.chat.messages == "-":
			return usagef("--messages -: standard input is what you say")
		}
		return cmp.Or(oneModel(cmd, args), text.chat.check(cmd, false))
	}
	return cmd
}

// A chatSession is a conversation with a model.
type chatSession struct {
	app   *app
	text  *textFlags
	gen   *generateFlags
	plans *steerFlags
	typed bool // a person types

	engine  *engine
	prompts *prompter
	files   *vectorFiles
	meter   *meter
	opening []chat.Message // what the conversation begins with
	history []chat.Message
	answers []generateResult
	seq     *llama.Sequence
	scale   float64 // of colours: the largest score so far

	mu   sync.Mutex
	stop context.CancelFunc // stops the answer that is being written
	idle chan struct{}      // gets Ctrl-C while none is
}

// errQuit ends a conversation.
var errQuit = errors.New("quit")

func (c *chatSession) run(ctx context.Context, e *engine, probed *meterFlags) error {
	// Ctrl-C ends ctx, but not the conversation.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	c.idle = make(chan struct{}, 1)
	defer c.watch(ctx, base, end)()

	c.engine, c.prompts, c.files = e, c.text.prompter(c.app, e.model.File(), e.tok), newVectorFiles(base, e)
	c.history = slices.Clone(c.opening)
	c.seq = e.runner.NewSequence()
	defer func() { c.seq.Close() }()
	// What is wrong with the model shows before anybody has typed.
	if _, err := c.prompts.format(c.text.chat.formatOf(true)); err != nil {
		return err
	}
	var err error
	if c.meter, err = probed.open(e, c.files); err != nil {
		return err
	}
	if _, err := c.steering(true); err != nil {
		return err
	}
	if c.typed {
		fmt.Fprintf(c.app.stderr, "Talking with %s. /help lists commands, Ctrl-C stops an answer, /quit leaves.\n", c.name())
	}
	lines := readLines(base, c.app.stdin)
	leaving := false
	for {
		if c.typed {
			fmt.Fprint(c.app.stderr, "\n> ")
		}
		var l line
		open := true
		select {
		case l, open = <-lines:
		case <-c.idle:
			if leaving {
				return nil
			}
			leaving = true
			fmt.Fprint(c.app.stderr, "\n(Ctrl-C again, Ctrl-D or /quit leaves)")
			continue
		case <-base.Done():
			return ctx.Err()
		}
		leaving = false
		switch {
		case !open:
			if base.Err() != nil {
				return ctx.Err()
			}
			return nil
		case l.err != nil:
			return fmt.Errorf("standard input: %w", l.err)
		}
		err := c.line(base, strings.TrimRight(string(l.text), "\r\n"))
		switch {
		case errors.Is(err, errQuit):
			return nil
		case base.Err() != nil:
			return ctx.Err()
		case err == nil:
		case !c.typed || c.app.stdout.err != nil:
			return err
		default:
			fmt.Fprintf(c.app.stderr, "limbic: %s\n", oneLine(err.Error()))
		}
	}
}

// name is what the model is called.
func (c *chatSession) name() string {
	if name, _ := c.engine.model.File().StringOr("general.name", ""); name != "" {
		return oneLine(name)
	}
	return filepath.Base(c.engine.model.File().Path)
}

// watch makes Ctrl-C stop answers. ctx ends with Ctrl-C, too; any other cause is
// to end the program.
func (c *chatSession) watch(ctx, base context.Context, end context.CancelFunc) (stop func()) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	pressed := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stop != nil {
			c.stop()
			return
		}
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
	go func() {
		ended := ctx.Done()
		for {
			select {
			case <-interrupts:
				pressed()
			case <-ended:
				// The first Ctrl-C ends ctx for good, and comes here as well.
				ended = nil
				if cause := context.Cause(ctx); cause == nil || !strings.HasPrefix(cause.Error(), os.Interrupt.String()+" signal") {
					end()
					return
				}
			case <-base.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(interrupts) }
}

// answering makes Ctrl-C stop what happens until the function that it gives is
// called.
func (c *chatSession) answering(base context.Context) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(base)
	c.mu.Lock()
	c.stop = cancel
	c.mu.Unlock()
	return ctx, func() {
		c.mu.Lock()
		c.stop = nil
		c.mu.Unlock()
		cancel()
	}
}

// line does what one line says.
func (c *chatSession) line(base context.Context, s string) error {
	command, arg, _ := strings.Cut(s, " ")
	arg = strings.TrimSpace(arg)
	switch {
	case strings.TrimSpace(s) == "":
		return nil
	case !strings.HasPrefix(s, "/"):
		return c.say(base, s)
	case command == "/quit" || command == "/exit":
		return errQuit
	case command == "/help":
		_, err := fmt.Fprint(c.app.stderr, "/steer PLAN   steer from now on: VECTORS:NAME=STRENGTH[@SITES][#SCOPE]\n"+
			"/steer none   steer no more; /steer alone says what steers\n"+
			"/reset        begin a new conversation\n/save FILE    write the conversation as JSON\n/quit         leave\n")
		return err
	case command == "/reset":
		c.history, c.answers = slices.Clone(c.opening), nil
		c.seq.Truncate(0)
		return nil
	case command == "/steer":
		return c.steer(arg)
	case command == "/save":
		return c.save(base, arg)
	}
	return fmt.Errorf("unknown command %s; /help lists them", abbreviated(command))
}

// steering is what plans ask for, for one answer, so that each has a receipt of
// its own. Warnings are for plans that are new.
func (c *chatSession) steering(warn bool) (*steering, error) {
	if warn {
		return c.plans.openWith(c.app, c.engine, c.files)
	}
	s := &steering{beforeEdit: c.plans.beforeEdit, files: c.files, plans: c.plans.plans}
	if len(s.plans) == 0 {
		return s, nil
	}
	var err error
	s.injector, err = steer.New(c.engine.model, s.plans, c.files.load, steer.Options{})
	return s, err
}

// steer changes what steers.
func (c *chatSession) steer(arg string) error {
	before := *c.plans
	switch arg {
	case "":
	case "none":
		c.plans.texts, c.plans.plans = nil, nil
	default:
		c.plans.texts = append(slices.Clone(c.plans.texts), arg)
		err := c.plans.check()
		if err == nil {
			_, err = c.steering(true)
		}
		if err != nil {
			*c.plans = before
			// Not the command line is wrong.
			return fmt.Errorf("/steer: %s", strings.TrimPrefix(err.Error(), "--steer: "))
		}
	}
	if len(c.plans.plans) == 0 {
		fmt.Fprintln(c.app.stderr, "nothing steers")
	}
	for _, p := range c.plans.plans {
		fmt.Fprintf(c.app.stderr, "steers: %s\n", oneLine(p.String()))
	}
	return nil
}

// say answers what somebody says.
func (c *chatSession) say(base context.Context, s string) error {
	e, a := c.engine, c.app
	conversation := chat.Conversation{Messages: append(slices.Clone(c.history), chat.Message{Role: chat.User, Content: s})}
	from, err := c.prompts.prompt(base, conversation, true)
	if err != nil {
		return err
	}
	if n, most := len(from.Tokens), e.context(); n >= most {
		return fmt.Errorf("the conversation has %s, which leaves the context of %s no room for an answer; /reset begins a new one", counted(n, "token"), grouped(most))
	}
	steered, err := c.steering(false)
	if err != nil {
		return err
	}
	// What the model has read before, it need not read again.
	same := min(c.seq.Common(from.Tokens), len(from.Tokens)-1)
	c.seq.Truncate(same)
	c.meter.take(0) // of an answer that failed
	ctx, done := c.answering(base)
	got, err := c.answer(ctx, from, same, steered)
	done()
	stopped := err != nil && ctx.Err() != nil && base.Err() == nil && got.Finish == finishInterrupted
	if err != nil && !stopped {
		return err
	}
	if stopped && len(got.Tokens) == 0 {
		fmt.Fprintln(a.stderr, "(stopped before the first token; forgotten)")
		return nil
	}
	if stopped && c.typed {
		fmt.Fprintln(a.stderr, "(stopped)")
	}
	got.Trace = c.meter.take(len(got.Tokens))
	c.history = append(conversation.Messages, chat.Message{Role: chat.Assistant, Content: got.Text})
	r := generateResult{PromptTokens: ids(from.Tokens), continuation: got, Receipt: steered.receipt(), Interrupted: stopped}
	if a.json {
		if r.Provenance, err = c.provenance(base, from, steered); err != nil {
			return err
		}
		c.answers = append(c.answers, r)
		return a.writeJSON(r)
	}
	// The file is not hashed for a conversation that nobody saves.
	c.answers = append(c.answers, r)
	return a.printMeter(got.Trace, c.meter)
}

// provenance is that of the last answer.
func (c *chatSession) provenance(ctx context.Context, from *prompt, steered *steering) (provenance, error) {
	p, err := c.engine.provenance(ctx, c.meter.sites())
	if err != nil {
		return p, err
	}
	p.Seed = c.gen.sampling.Seed
	if from != nil {
		p.definePrompt(c.text, from)
	}
	p.define("sampling", describeSampling(c.gen.sampling.Sampling))
	steered.noteCapture(&p)
	if c.meter != nil {
		c.meter.note(&p)
	}
	p.Vectors = c.files.notes
	return p, nil
}

// answer writes an answer as it comes. The first tokens of the prompt are in
// the sequence.
func (c *chatSession) answer(ctx context.Context, from *prompt, same int, steered *steering) (continuation, error) {
	out := continuation{Tokens: []int32{}, Finish: finishLength}
	if c.gen.maxTokens == 0 {
		return out, nil
	}
	a, tok := c.app, c.engine.tok
	stop := stopper{stops: from.format.Stops()}
	var text []byte
	emit := func(b []byte) error {
		if len(text) == 0 { // templates leave the space to the model
			b = bytes.TrimLeft(b, " ")
		}
		text = append(text, b...)
		return c.show(b)
	}
	err := func() error {
		// A steered answer is read again as part of the prompt where plans say
		// something else of a prompt: hence Recompute.
		for step, err := range c.engine.runner.Generate(ctx, c.seq, llama.GenerateOptions{
			Prompt: from.Tokens[same:], Roles: from.Roles[same:], MaxTokens: c.gen.maxTokens, Recompute: true,
			Sampling: c.gen.sampling.Sampling, Stream: uint64(len(c.answers)), Hooks: steered.hooks(c.meter.hooks()...),
		}) {
			if err != nil {
				return err
			}
			out.Tokens = append(out.Tokens, step.ID)
			ready, stopped := stop.add(step.Text)
			if err := emit(ready); err != nil {
				return err
			}
			if stopped {
				out.Finish = finishStop
				return nil
			}
			if tok.IsEOG(step.ID) {
				out.Finish = finishEnd
			}
		}
		if out.Finish == finishLength && len(out.Tokens) < c.gen.maxTokens {
			out.Finish = finishContext
		}
		return nil
	}()
	if err != nil && ctx.Err() != nil {
		out.Finish = finishInterrupted
	}
	if out.Finish != finishStop {
		if e := emit(stop.pending); err == nil {
			err = e
		}
	}
	out.Text = string(text)
	if !utf8.Valid(text) {
		out.TextBase64 = text
	}
	if !a.json {
		if _, e := io.WriteString(a.stdout, "\n"); err == nil {
			err = e
		}
	}
	return out, err
}

// show writes a piece of an answer, coloured by the score of the state that
// chose it where there is colour.
func (c *chatSession) show(b []byte) error {
	a := c.app
	if a.json || len(b) == 0 {
		return nil
	}
	if !a.stdoutTerminal {
		_, err := a.stdout.Write(b)
		return err
	}
	b = forTerminal(b)
	if m := c.meter; m != nil && m.named && len(m.scores) > 0 && a.colour() {
		score := float64(m.scores[len(m.scores)-1][0])
		c.scale = max(c.scale, score, -score, 1e-9)
		style := newPainter().level(report.Level(score, c.scale))
		// A line's colour must end with it, or terminals fill the rest.
		b = []byte(style + strings.ReplaceAll(string(b), "\n", ansiReset+"\n"+style) + ansiReset)
	}
	_, err := a.stdout.Write(b)
	return err
}

// printMeter shows the emotions of an answer on one line of standard error.
func (a *app) printMeter(t *emotionTrace, m *meter) error {
	if t == nil || len(t.Scores) == 0 {
		return nil
	}
	const width = 10 // of a curve
	type mean struct {
		e    int
		mean float64
	}
	means := make([]mean, len(t.Emotions))
	for e := range t.Emotions {
		means[e].e = e
		for _, row := range t.Scores {
			means[e].mean += float64(row[e]) / float64(len(t.Scores))
		}
	}
	if !m.named {
		slices.SortStableFunc(means, func(a, b mean) int { return cmp.Compare(b.mean, a.mean) })
		means = means[:min(shownEmotions, len(means))]
	}
	scale := 0.0
	for _, x := range means {
		for _, row := range t.Scores {
			scale = max(scale, float64(row[x.e]), -float64(row[x.e]))
		}
	}
	var parts []string
	for _, x := range means {
		cells := squeeze(len(t.Scores), width, func(i int) float64 { return float64(t.Scores[i][x.e]) })
		part := fmt.Sprintf("%s %s %s", t.Emotions[x.e], report.Number(x.mean), sparkline(cells, -scale, scale))
		if a.stderrTerminal && a.colour() {
			part = newPainter().level(report.Level(x.mean, scale)) + " " + part + " " + ansiReset
		}
		parts = append(parts, part)
	}
	_, err := fmt.Fprintf(a.stderr, "[%s]\n", strings.Join(parts, "  "))
	return err
}

// A savedChat is what /save writes.
type savedChat struct {
	Messages   []chat.Message   `json:"messages"`
	Answers    []generateResult `json:"answers"` // those of this session, in order
	Provenance provenance       `json:"provenance"`
}

// save writes the conversation to a file.
func (c *chatSession) save(ctx context.Context, path string) error {
	if path == "" {
		return errors.New("/save needs the name of a file")
	}
	if err := checkOut(path); err != nil {
		return err
	}
	steered, err := c.steering(false)
	if err != nil {
		return err
	}
	s := savedChat{Messages: append([]chat.Message{}, c.history...), Answers: append([]generateResult{}, c.answers...)}
	if s.Provenance, err = c.provenance(ctx, nil, steered); err != nil {
		return err
	}
	f, err := c.prompts.format(c.text.chat.formatOf(true))
	if err != nil {
		return err
	}
	s.Provenance.define("format", f.Name())
	err = atomicfile.Write(path, 0o644, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		return e.Encode(s)
	})
	if err == nil {
		fmt.Fprintf(c.app.stderr, "wrote %s\n", path)
	}
	return err
}
