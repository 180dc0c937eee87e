package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/chat"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/report"
	"github.com/limbic-go/limbic/steer"
	"github.com/limbic-go/limbic/tensor/npy"
)

// A probeResult is a scored text: what a page is drawn from, and more.
type probeResult struct {
	report.Tokens
	turnsNote
	Receipt    *steer.Receipt  `json:"receipt"` // of steering
	Out        string          `json:"out,omitempty"`
	HTML       string          `json:"html,omitempty"`
	Provenance probeProvenance `json:"provenance"`
}

// A probeProvenance says more about the vectors than others do.
type probeProvenance struct {
	provenance
	Vectors []report.Vectors `json:"vectors"`
}

// probeFlags are the flags of the command, apart from those that it shares.
type probeFlags struct {
	site     string
	emotions string
	score    string
	center   string
	top      int
	html     string
	out      string
	input    string
	csv      bool

	kind  probe.Score
	names []string // as given; nil means all
}

func (f *probeFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.site, "site", "", "the site `S` to read (default: the vectors' default site)")
	fs.StringVar(&f.emotions, "emotions", "", "score only the emotions `NAME[,NAME...]`; the first one colours the text")
	fs.StringVar(&f.score, "score", string(probe.Centered), "the score `KIND`: centered, cosine, dot or z")
	fs.StringVar(&f.center, "center", "neutral", "what centered scores subtract: `neutral|grand|set:FILE|none`")
	fs.IntVar(&f.top, "top", 6, "show the `K` emotions with the highest means")
	fs.StringVar(&f.html, "html", "", "write a page to the file `F.html`")
	fs.StringVar(&f.out, "out", "", "write the scores to the file `F.npz`")
	fs.StringVar(&f.input, "input", "", "score the texts of `F.jsonl`, lines of {\"id\", \"text\"} or {\"id\", \"messages\"}; - is standard input")
	fs.BoolVar(&f.csv, "csv", false, "with --input: write CSV instead of JSON lines")
}

// centerSet begins a --center that names a file.
const centerSet = "set:"

// check is called before anything is opened.
func (f *probeFlags) check(cmd *cobra.Command, json bool) error {
	err := notEmpty(cmd, "site", "html", "out")
	if err != nil {
		return err
	}
	if f.kind, err = probe.ParseScore(f.score); err != nil {
		return usagef("--score: %w", unprefixed{err, "probe: "})
	}
	switch {
	case f.center == "neutral", f.center == "grand", f.center == "none":
	case strings.HasPrefix(f.center, centerSet) && f.center != centerSet:
	default:
		return usagef("--center %s: want neutral, grand, set:FILE or none", abbreviated(f.center))
	}
	if f.kind != probe.Centered {
		if cmd.Flags().Changed("center") {
			return usagef("--center is for --score centered; %s scores have no centre", f.kind)
		}
		f.center = "none"
	}
	f.names = nil
	if cmd.Flags().Changed("emotions") {
		for name := range strings.SplitSeq(f.emotions, ",") {
			if name = strings.TrimSpace(name); name == "" {
				return usagef("--emotions %s: a name is empty", abbreviated(f.emotions))
			}
			f.names = append(f.names, name)
		}
	}
	switch many := cmd.Flags().Changed("input"); {
	case f.top < 1:
		return usagef("--top %d is less than 1", f.top)
	case f.out != "" && strings.ToLower(filepath.Ext(f.out)) != ".npz":
		return usagef("--out %s: the name must end in .npz", abbreviated(f.out))
	case f.csv && !many:
		return usagef("--csv needs --input")
	case f.csv && cmd.Flags().Changed("read"):
		return usagef("--csv has a row for each token and no means, which --read is about")
	case f.csv && json:
		return usagef("--csv and --json exclude each other")
	case many && (f.out != "" || f.html != ""):
		return usagef("--out and --html are for one text; --input writes to standard output")
	case many && cmd.Flags().Changed("steer"):
		return usagef("--steer is for one text, not for --input")
	}
	for _, path := range []string{f.out, f.html} {
		if path != "" {
			if err := checkOut(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func newProbe(a *app) *cobra.Command {
	var text textFlags
	var flags engineFlags
	var plans steerFlags
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe MODEL VECTORS TEXT",
		Short: "Score a text for emotions, token by token",
		Long: `Score a text for emotions, token by token. A terminal shows the emotions with the
highest means and the text coloured by the first of them, red for positive
scores and blue for negative ones; elsewhere, or with NO_COLOR, it is a table.
--html writes a page for the browser and --out an .npz file with the arrays
scores and cosine [tokens, emotions], tokens, offsets and emotions.

Scores compare the state h at a token with an emotion's vector v: centered, the
cosine of h - c and v; cosine, that of h and v; dot, their inner product; z, the
projection of h on v in standard deviations of the stories' means. Uncentred
cosines are always given too. The centre c is the mean of neutral texts, of the
emotions' means (--center grand), of the texts in a file (set:FILE, pooled like
the stories; lines of {"text"} where FILE ends in .jsonl, one text otherwise),
or zero (none). Means are over all tokens but BOS, or over those of --read: last;
user_end, the last character of the last user message; assistant_start, the token
whose state emits the first of the answer; span:"TEXT"; or mean:ROLE, all that
system, user or assistant say.

With --input every line of a file is a text, {"id": ..., "text": "..."}, or a
conversation, {"id": ..., "messages": [...]}, and gives a line of JSON, or rows of
CSV, as soon as it is scored.

` + chatHelp + `

` + steerHelp,
		Example: examples(
			`limbic probe MODEL VECTORS "She could not stop shaking."`,
			`limbic probe MODEL VECTORS "My dog ran away." --format human-assistant --read assistant_start --html /tmp/probe.html`,
			`echo '{"id": 1, "text": "At last!"}' | limbic probe MODEL VECTORS --input - --csv`,
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := f.check(cmd, a.json); err != nil {
				return err
			}
			if err := plans.check(); err != nil {
				return err
			}
			many := cmd.Flags().Changed("input")
			var c chat.Conversation
			var messages bool
			if !many {
				var err error
				if c, messages, err = text.source(ctx, a, slices.Concat(args[:1], args[2:])); err != nil {
					return err
				}
			}
			e, err := openEngine(args[0], &flags)
			if err != nil {
				return err
			}
			defer e.close()
			p := &prober{app: a, engine: e, flags: &f, text: &text, prompts: text.prompter(a, e.model.File(), e.tok)}
			if err := p.open(ctx, args[1]); err != nil {
				return err
			}
			if many {
				return p.many(ctx)
			}
			from, err := p.prompts.prompt(ctx, c, messages)
			if err != nil {
				return err
			}
			if err := e.checkContext(from.Tokens); err != nil {
				return err
			}
			steered, err := plans.open(ctx, a, e)
			if err != nil {
				return err
			}
			return p.one(ctx, from, steered)
		},
	}
	text.registerChat(cmd)
	text.registerRead(cmd, "take means over these tokens")
	flags.register(cmd)
	flags.registerContext(cmd)
	plans.registerCapture(cmd)
	f.register(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1:
			return usagef("VECTORS is missing: a vectors file made from the model")
		case len(args) < 2:
			return text.args(cmd, args)
		case !cmd.Flags().Changed("input"):
			return text.args(cmd, slices.Concat(args[:1], args[2:]))
		case f.input == "":
			return usagef("--input names no file")
		case len(args) > 2 || cmd.Flags().Changed("file") || cmd.Flags().Changed("messages"):
			return usagef("--input takes the place of TEXT, --file and --messages")
		}
		return text.chat.check(cmd, true)
	}
	return cmd
}

// A prober scores texts.
type prober struct {
	app    *app
	engine *engine
	flags  *probeFlags
	text   *textFlags

	prompts    *prompter
	vectors    *probe.Vectors
	reader     *probe.Reader
	provenance probeProvenance
}

// open loads the vectors and makes ready to read with them.
func (p *prober) open(ctx context.Context, path string) error {
	e, f := p.engine, p.flags
	files := newVectorFiles(ctx, e)
	v, err := files.load(path)
	if err != nil {
		return err
	}
	p.vectors = v
	o := probe.ReaderOptions{Score: f.kind}
	site := v.DefaultSite()
	if f.site != "" {
		if site, err = llama.ParseSite(f.site, e.blocks); err != nil {
			return siteError("--site", err)
		}
	}
	o.Site = &site
	sv, err := v.At(site)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range f.names {
		i, err := v.Index(name)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !slices.Contains(o.Emotions, v.Emotions[i]) {
			o.Emotions = append(o.Emotions, v.Emotions[i])
		}
	}
	about := ""
	switch {
	case f.kind != probe.Centered:
	case f.center == "neutral":
		about = fmt.Sprintf("the mean of the means of %s, text format %s", counted(v.Provenance.Texts, "neutral text"), v.Provenance.Format)
	case f.center == "grand":
		o.Center, about = sv.Grand, "the mean of the emotions' mean activations"
	case f.center == "none":
		o.Center, about = make([]float32, v.Width), "zero: nothing is subtracted"
	default:
		file := strings.TrimPrefix(f.center, centerSet)
		if o.Center, about, err = p.centerOf(ctx, file, site); err != nil {
			return fmt.Errorf("--center %s: %w", f.center, err)
		}
	}
	if p.reader, err = v.NewReader(o); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}

	p.provenance.provenance, err = e.provenance(ctx, []llama.Site{site})
	if err != nil {
		return err
	}
	from, note := v.Provenance, files.notes[0]
	p.provenance.Vectors = []report.Vectors{{
		Path: note.Path, FileSHA256: note.FileSHA256, MeansSHA256: note.MeansSHA256, Emotions: note.Emotions,
		CorpusSHA256: from.Corpus, Form: string(probe.Denoised), Limbic: from.Limbic, Format: string(from.Format), From: from.From,
		Topics: len(from.Topics), Stories: from.Stories, Neutral: from.Neutral, NeutralTexts: from.Texts,
		NeutralVariance: from.Threshold, CentredInHands: from.Hands, Precision: from.Precision, KV: from.KVName(),
	}}
	p.provenance.define(
		"score", probeFormulas[f.kind],
		"cosine", probeFormulas[probe.CosineOf],
		"mean", p.meanOver(),
		"rows", "one for each token, BOS included",
	)
	if about != "" {
		p.provenance.define("center", about)
	}
	return nil
}

// meanOver says which tokens means are over.
func (p *prober) meanOver() string {
	if r := p.text.read.Reading; !r.IsZero() {
		return fmt.Sprintf("over the tokens of --read %v", r)
	}
	return "over all tokens but BOS; null where there are none"
}

// probeFormulas define the scores.
var probeFormulas = map[probe.Score]string{
	probe.Centered: "cosine(h - c, v), with h the state at the token, c the centre and v the emotion's denoised contrast vector",
	probe.CosineOf: "cosine(h, v), with h the state at the token and v the emotion's denoised contrast vector",
	probe.Dot:      "inner product of h and v, with h the state at the token and v the emotion's denoised contrast vector, not normalised",
	probe.Z:        "(h·v/|v| - m)/s, with h the state at the token, v the emotion's denoised contrast vector, m and s the mean and standard deviation of the same projection over the stories' means",
}

// one scores one text and shows the result as the flags say.
func (p *prober) one(ctx context.Context, from *prompt, steered *steering) error {
	e, f, a := p.engine, p.flags, p.app
	tokens := from.Tokens
	d := &probeDoc{prompt: from}
	s := e.runner.NewSequence()
	defer s.Close()
	s.SetPrompt(len(tokens))
	progress, finish := a.progress("probe")
	defer finish()
	hook := p.reader.Hook(func(_ llama.Row, scores, cosine []float32) error {
		d.add(scores, cosine)
		return nil
	})
	if err := e.feed(ctx, s, tokens, llama.NoLogits, steered.hooks(hook), progress, nil); err != nil {
		return err
	}
	finish()
	if err := steered.err(); err != nil {
		return err
	}
	r, err := p.result(d)
	if err != nil {
		return err
	}
	r.Receipt, r.Out, r.HTML = steered.receipt(), f.out, f.html
	p.noteSteering(r, steered)
	if f.out != "" {
		if err := atomicfile.Write(f.out, 0o644, func(w io.Writer) error { return r.writeNPZ(w, steered) }); err != nil {
			return err
		}
	}
	if f.html != "" {
		if err := r.writeHTML(f.html); err != nil {
			return err
		}
	}
	if a.json {
		return a.writeJSON(r)
	}
	if err := a.printProbe(r, f.top, f.names != nil); err != nil {
		return err
	}
	if err := printReceipt(a.stdout, r.Receipt); err != nil {
		return err
	}
	for _, path := range []string{f.out, f.html} {
		if path != "" {
			if _, err := fmt.Fprintf(a.stdout, "wrote %s\n", path); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteSteering adds to the provenance what steered, with the files of vectors
// that were not read with.
func (p *prober) noteSteering(r *probeResult, steered *steering) {
	steered.noteCapture(&r.Provenance.provenance)
	for _, note := range r.Provenance.provenance.Vectors {
		if note.FileSHA256 != r.Provenance.Vectors[0].FileSHA256 {
			r.Provenance.Vectors = append(r.Provenance.Vectors, report.Vectors{
				Path: note.Path, FileSHA256: note.FileSHA256, MeansSHA256: note.MeansSHA256, Emotions: note.Emotions,
			})
		}
	}
}

// A probeDoc is a text on its way through the model.
type probeDoc struct {
	id             json.RawMessage // nil for a single text
	prompt         *prompt
	scores, cosine [][]float32
}

// add takes the scores of the next token.
func (d *probeDoc) add(scores, cosine []float32) {
	d.scores = append(d.scores, slices.Clone(scores))
	d.cosine = append(d.cosine, slices.Clone(cosine))
}

// result is what a text that went through the model gives.
func (p *prober) result(d *probeDoc) (*probeResult, error) {
	tok := p.engine.tok
	r := &probeResult{
		Tokens: report.Tokens{
			ID: d.id, Site: p.reader.Site().String(), Score: string(p.reader.Score()), Center: p.flags.center,
			Emotions: p.reader.Emotions(), Tokens: []report.Token{},
			// Never nil, which JSON would write null.
			Scores: append([][]float32{}, d.scores...), Cosine: append([][]float32{}, d.cosine...),
		},
		turnsNote:  d.prompt.turns(),
		Provenance: p.provenance,
	}
	r.Provenance.definePrompt(p.text, d.prompt)
	r.Read = d.prompt.read
	if p.flags.names != nil {
		r.Shown = r.Emotions
	}
	if text := d.prompt.Text; utf8.ValidString(text) {
		r.Text = &text
	} else {
		r.TextBase64 = []byte(text)
	}
	for _, row := range tokenRows(tok, d.prompt.Tokens) {
		r.Tokens.Tokens = append(r.Tokens.Tokens, report.Token(row))
	}
	if bos, ok := tok.BOS(); ok && len(d.prompt.Tokens) > 0 && d.prompt.Tokens[0].ID == bos {
		r.MeanFrom = 1
	}
	r.Mean = make(report.Means, len(r.Emotions))
	for k, name := range r.Emotions {
		for i, row := range r.Scores {
			for _, x := range []float32{row[k], r.Cosine[i][k]} {
				if err := finite(fmt.Sprintf("the score of %q at token %d", name, i), float64(x)); err != nil {
					return nil, err
				}
			}
			if r.MeanOver(i) {
				r.Mean[k] += float64(row[k])
			}
		}
		if n := r.MeanCount(); n > 0 {
			r.Mean[k] /= float64(n)
		} else {
			r.Mean[k] = math.NaN()
		}
	}
	return r, nil
}

// writeNPZ writes the scores as arrays.
func (r *probeResult) writeNPZ(w io.Writer, steered *steering) error {
	// What doesn't change the numbers must not change the file.
	p := r.Provenance
	p.portable(steered)
	p.Vectors = slices.Clone(p.Vectors)
	for i := range p.Vectors {
		p.Vectors[i].Path = ""
	}
	meta, err := json.Marshal(p)
	if err != nil {
		return err
	}
	n, e := len(r.Scores), len(r.Emotions)
	tokens, offsets := make([]int32, 0, n), make([]int32, 0, 2*n)
	for _, t := range r.Tokens.Tokens {
		tokens, offsets = append(tokens, t.ID), append(offsets, int32(t.Start), int32(t.End))
	}
	z := npy.NewArchiveWriter(w)
	for _, x := range []struct {
		name  string
		array npy.Array
	}{
		{"scores", npy.Array{Shape: []int{n, e}, Data: slices.Concat(append(r.Scores, []float32{})...)}},
		{"cosine", npy.Array{Shape: []int{n, e}, Data: slices.Concat(append(r.Cosine, []float32{})...)}},
		{"tokens", npy.Array{Shape: []int{n}, Data: tokens}},
		{"offsets", npy.Array{Shape: []int{n, 2}, Data: offsets}},
		{"emotions", npy.Array{Shape: []int{e}, Data: r.Emotions}},
		{"provenance", npy.Array{Shape: []int{}, Data: []string{string(meta)}}},
	} {
		if err := z.Add(x.name, x.array); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeHTML writes the page. It is drawn from what --json prints and nothing
// else.
func (r *probeResult) writeHTML(path string) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("the result has no JSON form: %w", err)
	}
	var t report.Tokens
	if err := json.Unmarshal(doc, &t); err != nil {
		return err
	}
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return report.WriteTokens(w, t) })
}
