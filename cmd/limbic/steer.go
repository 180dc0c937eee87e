package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

type steerResult struct {
	Rows         []steerRow  `json:"rows"`
	PromptTokens []int32     `json:"prompt_tokens"`
	Scope        steer.Scope `json:"scope"`
	Form         probe.Form  `json:"form"`
	Units        []steerUnit `json:"units"` // of strengths, at each site
	Interrupted  bool        `json:"interrupted,omitempty"`
	Provenance   provenance  `json:"provenance"`
}

// A steerRow is a run at one strength.
type steerRow struct {
	steer.Row
	Control bool `json:"control"` // a random direction
	// TextBase64 has the bytes of a text that is not valid UTF-8, which a JSON
	// string cannot hold.
	TextBase64 []byte `json:"text_base64,omitempty"`
}

// A steerUnit is what strength 1 means at a site.
type steerUnit struct {
	Site string `json:"site"`
	probe.Calibration
}

// strengthsFlag is a list of numbers, separated by commas.
type strengthsFlag []float64

// Type is what the help calls the value.
func (*strengthsFlag) Type() string { return "X,..." }

// String is the default that the help shows.
func (f *strengthsFlag) String() string {
	var parts []string
	for _, x := range *f {
		parts = append(parts, strconv.FormatFloat(x, 'g', -1, 64))
	}
	return strings.Join(parts, ",")
}

// Set reads the value of the flag.
func (f *strengthsFlag) Set(s string) error {
	*f = nil
	for part := range strings.SplitSeq(s, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%q is not a finite number", part)
		}
		*f = append(*f, x+0) // -0 is 0
	}
	return nil
}

// scopeFlag makes a flag of a scope.
type scopeFlag struct{ steer.Scope }

// Type is what the help calls the value.
func (*scopeFlag) Type() string { return "scope" }

// Set reads the value of the flag.
func (f *scopeFlag) Set(s string) error {
	if err := f.UnmarshalText([]byte(s)); err != nil {
		return unprefixed{err, "steer: "}
	}
	return nil
}

// formFlag makes a flag of a form of vectors that can be a direction.
type formFlag struct{ probe.Form }

// Type is what the help calls the value.
func (*formFlag) Type() string { return "form" }

func (f *formFlag) String() string { return string(f.Form) }

// Set reads the value of the flag.
func (f *formFlag) Set(s string) error {
	var known []string
	for _, form := range probe.Forms() {
		if form == probe.RawMean {
			continue // no direction
		}
		if s == string(form) {
			f.Form = form
			return nil
		}
		known = append(known, string(form))
	}
	return fmt.Errorf("unknown form %q (known: %s)", s, strings.Join(known, ", "))
}

// sweepFlags are the flags of the command steer alone.
type sweepFlags struct {
	vector    string
	strengths strengthsFlag
	random    int
	control   string
	sites     string
	scope     scopeFlag
	form      formFlag
	maxTokens int
	klTokens  int
	ignoreEnd bool
	sampling  samplingFlags

	plan steer.Plan
	kind steer.Control
}

func (f *sweepFlags) register(cmd *cobra.Command) {
	f.strengths = strengthsFlag{-0.1, 0, 0.1}
	f.form.Form = probe.Denoised
	fs := cmd.Flags()
	fs.StringVar(&f.vector, "vector", "", "the emotion vector to steer with: `VECTORS:NAME`")
	fs.Var(&f.strengths, "strengths", "strengths to compare, as fractions of the mean norm; 0 is the run without steering")
	fs.IntVar(&f.random, "random", 0, "compare with `N` random directions of the same length, at all strengths but 0")
	fs.StringVar(&f.control, "control", string(steer.Isotropic), "the `KIND` of random directions: isotropic, coordinates, covariance or labels")
	fs.StringVar(&f.sites, "sites", "", "sites `S[,S...]` to steer at (default: the vectors' default site)")
	fs.Var(&f.scope, "scope", "tokens to steer: prompt, generated or all")
	fs.Var(&f.form, "form", "form of the vector: denoised, contrast, denoised_plain or contrast_plain")
	fs.IntVar(&f.maxTokens, "max-tokens", 40, "generate at most `N` tokens a row")
	fs.IntVar(&f.klTokens, "kl-tokens", 64, "measure KL over at most `N` tokens")
	fs.BoolVar(&f.ignoreEnd, "ignore-eos", false, "go on after the model's end token")
	f.sampling.register(cmd)
}

// check is called before a model is opened.
func (f *sweepFlags) check(cmd *cobra.Command) error {
	switch {
	case f.vector == "":
		return usagef("--vector is missing: VECTORS:NAME, a vectors file and an emotion")
	case cmd.Flags().Changed("sites") && f.sites == "":
		return usagef("--sites names no site")
	case f.random < 0:
		return usagef("--random %d is negative", f.random)
	case f.maxTokens < 1:
		return usagef("--max-tokens %d: at least 1 new token is needed", f.maxTokens)
	case f.klTokens < 1:
		return usagef("--kl-tokens %d: at least 1 token is needed", f.klTokens)
	}
	var err error
	if f.plan.Vectors, f.plan.Emotion, err = steer.ParseVector(f.vector); err != nil {
		return usagef("--vector: %w", unprefixed{err, "steer: "})
	}
	f.plan.Scope = f.scope.Scope
	if f.kind, err = steer.ParseControl(f.control); err != nil {
		return usagef("--control: %w", unprefixed{err, "steer: "})
	}
	return f.sampling.check()
}

// controlDefinitions say what the random directions of each kind are.
var controlDefinitions = map[steer.Control]string{
	steer.Isotropic:   "isotropic directions",
	steer.Coordinates: "the vector's coordinates in a random order",
	steer.Covariance:  "random mixtures of the deviations of the stories' means from their mean",
	steer.Labels:      "the vector by the same recipe from stories whose emotions were shuffled",
}

func newSteer(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var sweep sweepFlags
	cmd := &cobra.Command{
		Use:   "steer MODEL TEXT --vector VECTORS:NAME",
		Short: "Continue a text at several strengths of an emotion",
		Long: `Continue a text at several strengths of an emotion vector, beside random
directions of the same length if --random asks for them: what any push of that
size does says nothing about the emotion.

--control says what random means: isotropic directions; coordinates, the vector's
own in a random order; covariance, random mixtures of how the stories' means
differ; labels, the vector built again from stories whose emotions were shuffled.
The last two read the story means that lie beside the vectors.

` + chatHelp + `

A strength is a fraction of the mean norm of the residual stream at the site.
Strength 0 is the run without steering. Negative strengths steer away from the
emotion. Every token but the first is steered unless --scope says prompt (all
but the last token) or generated (from the last token on, whose state emits the
first new one).

KL is the divergence KL(base|steered) of next-token predictions in nats a token,
the mean over the greedy continuation without steering, which both runs read.
--seed is for the random directions, and for --temp; all rows draw the same
numbers. An interrupted run shows the rows that are complete.`,
		Example: examples(
			`limbic steer MODEL "Once upon a time" --vector VECTORS:calm`,
			`limbic steer MODEL "Once upon a time" --vector VECTORS:desperate --strengths -0.2,-0.1,0,0.1,0.2 --random 2 --max-tokens 16`,
			`limbic steer MODEL "Once upon a time" --vector VECTORS:calm --strengths 0,0.1 --sites resid_post:all --scope generated --json`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := sweep.check(cmd); err != nil {
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
			plan := sweep.plan
			var sites []llama.Site
			if sweep.sites != "" {
				if sites, err = e.parseSites("sites", sweep.sites); err != nil {
					return err
				}
				plan.Sites = siteNames(sites)
			}
			files := newVectorFiles(ctx, e)
			v, err := files.load(plan.Vectors)
			if err != nil {
				return err
			}
			if sites == nil {
				sites = []llama.Site{v.DefaultSite()}
			}

			var stories *probe.StoryFile
			if sweep.random > 0 && sweep.kind.NeedsStories() {
				if stories, err = loadStories(plan.Vectors); err != nil {
					return fmt.Errorf("--control %s: %w", sweep.kind, err)
				}
			}
			progress, finish := a.progress("rows")
			rows, err := steer.Sweep(ctx, e.runner, prompt, steer.SweepOptions{
				Plan: plan, Load: files.load, Form: sweep.form.Form, Strengths: sweep.strengths,
				Random: sweep.random, Control: sweep.kind, Stories: stories, Seed: sweep.sampling.Seed, MaxTokens: sweep.maxTokens, KLTokens: sweep.klTokens,
				Sampling: sweep.sampling.Sampling, IgnoreEnd: sweep.ignoreEnd, Progress: progress,
			})
			finish()
			var interrupted error
			if err != nil {
				if ctx.Err() == nil {
					return err
				}
				interrupted = interruptedError{err, fmt.Sprintf("after %s", counted(len(rows), "row"))}
				if len(rows) == 0 {
					return interrupted
				}
			}
			r := steerResult{
				Rows: steerRows(rows), PromptTokens: ids(prompt), Scope: plan.Scope, Form: sweep.form.Form,
				Interrupted: interrupted != nil,
			}
			for _, site := range sites {
				sv, err := v.At(site)
				if err != nil {
					return err
				}
				r.Units = append(r.Units, steerUnit{site.String(), sv.Norm})
			}
			a.warnOfRows(rows)
			if a.json {
				if r.Provenance, err = e.provenance(ctx, sites); err != nil {
					return err
				}
				p := &r.Provenance
				p.Seed, p.Vectors = sweep.sampling.Seed, files.notes
				p.definePrompt(&text, from)
				p.define(
					"sampling", describeSampling(sweep.sampling.Sampling),
					"steering", fmt.Sprintf("h + strength * mean norm * v/|v| at every token of the scope but position 0; v in the form %s", sweep.form),
					"strength", definitionOfStrength,
					"scope", "generated begins with the last token of the text, whose state emits the first new one; prompt ends before it; all is both",
					"kl", "mean of KL(base|steered) in nats a token over kl_tokens positions, teacher-forced on the greedy continuation without steering",
					"random", controlDefinitions[sweep.kind]+", drawn from the seed, of the same length as what is added for the emotion",
				)
				err = a.writeJSON(r)
			} else {
				err = a.printSteer(&r, from.shown(), &sweep)
			}
			if err != nil {
				return err
			}
			return interrupted
		},
	}
	text.registerChat(cmd)
	flags.register(cmd)
	sweep.register(cmd)
	return cmd
}

// steerRows completes the rows of a sweep, which begin with the emotion's.
func steerRows(rows []steer.Row) []steerRow {
	out := make([]steerRow, len(rows))
	for i, r := range rows {
		out[i] = steerRow{Row: r, Control: r.Name != rows[0].Name}
		if !utf8.ValidString(r.Text) {
			out[i].TextBase64 = []byte(r.Text)
		}
	}
	return out
}

// warnOfRows writes the warnings of one receipt that edits: those of the others
// differ by the strength that they name.
func (a *app) warnOfRows(rows []steer.Row) {
	i := max(0, slices.IndexFunc(rows, func(r steer.Row) bool { return r.Strength != 0 }))
	for _, w := range rows[i].Receipt.Warnings {
		a.warn("%s", w)
	}
}

// printSteer writes a block for each row.
func (a *app) printSteer(r *steerResult, prompt string, f *sweepFlags) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s of %s, form %s, scope %v\n", r.Rows[0].Name, f.plan.Vectors, r.Form, r.Scope)
	for i, u := range r.Units {
		fmt.Fprintf(&b, "at the %s, where strength 1 is %.4g (median norm %.4g)\n", r.Rows[0].Receipt.Edits[i].Where, u.Mean, u.Median)
	}
	fmt.Fprintf(&b, "text: %s\n", abbreviated(prompt))
	controls := false
	for _, row := range r.Rows {
		title := fmt.Sprintf("%s %+g", row.Name, row.Strength)
		if row.Strength == 0 {
			title = "no steering"
		}
		if row.Control {
			if !controls {
				fmt.Fprint(&b, "\ncontrols: random directions of the same length\n")
				controls = true
			}
			title = "[control] " + title
		}
		var changes []string
		for _, e := range row.Receipt.Edits {
			changes = append(changes, fmt.Sprintf("%+.1f %%", 100*e.NormChange))
		}
		if a.colour() {
			title = "\x1b[1m" + title + "\x1b[0m"
		}
		fmt.Fprintf(&b, "\n%s   KL %.4f nats/token, norm %s\n", title, row.KL, strings.Join(changes, ", "))
		shown := []byte(row.Text)
		if a.stdoutTerminal {
			shown = forTerminal(shown)
		}
		b.WriteString("  " + strings.ReplaceAll(strings.TrimRight(string(shown), "\n"), "\n", "\n  ") + "\n")
	}
	if f.random == 0 {
		fmt.Fprint(&b, "\nno controls: --random 3 shows what random directions of the same length do\n")
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}
