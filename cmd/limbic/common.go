package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// exampleModel is the MODEL of the examples in help texts, which run from the
// root of the repository.
const exampleModel = "testdata/models/quant-q4_k_m.gguf"

// examples formats a command's examples; MODEL in them becomes exampleModel,
// and VECTORS exampleVectors.
func examples(lines ...string) string {
	r := strings.NewReplacer("MODEL", exampleModel, "VECTORS", exampleVectors)
	return "  " + r.Replace(strings.Join(lines, "\n  "))
}

// noArgs and oneModel check positional arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

func oneModel(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usagef("MODEL is missing: a path to a .gguf file, a name that limbic models lists, or %s", demo.Name)
	case 1:
		return nil
	}
	return usagef("unexpected argument %q", args[1])
}

// openFile opens the file that MODEL names: the embedded one for demo.Name,
// also where there is a file of that name, which is ./demo.
func openFile(name string) (*gguf.File, error) {
	if name == demo.Name {
		return demo.File()
	}
	path, err := modelPath(name)
	if err != nil {
		return nil, err
	}
	return llama.OpenFile(path)
}

// loadVectors reads the file that VECTORS names, and gives its hash: the
// embedded one for demo.Name.
func loadVectors(name string) (*probe.Vectors, string, error) {
	if name == demo.Name {
		v, err := demo.Vectors()
		return v, demo.VectorsSHA256, err
	}
	v, err := probe.Load(name)
	if err != nil {
		return nil, "", err
	}
	sum, err := probe.FileSHA256(name)
	return v, sum, err
}

// loadStories reads the story means that lie beside the file that VECTORS
// names. The embedded vectors have none.
func loadStories(vectors string) (*probe.StoryFile, error) {
	if vectors == demo.Name {
		return nil, fmt.Errorf("the embedded vectors have no means of single stories beside them; limbic vectors build %s makes both", demo.Name)
	}
	return probe.LoadStories(probe.SidecarPath(vectors))
}

// maxThreads is far above what any machine has: more are a slip of the finger.
const maxThreads = 1 << 12

// engineFlags are the flags of every command that runs a model.
type engineFlags struct {
	threads   int
	precision precisionFlag
	kv        kvFlag
	context   int // of sequences; 0 means the model's
}

func (f *engineFlags) register(cmd *cobra.Command) { f.registerWith(cmd, llama.Probe) }

// registerExact is register for commands whose numbers are compared with those
// of other programs.
func (f *engineFlags) registerExact(cmd *cobra.Command) { f.registerWith(cmd, llama.Exact) }

func (f *engineFlags) registerWith(cmd *cobra.Command, precision llama.Precision) {
	cmd.Flags().IntVar(&f.threads, "threads", 0, "compute with `N` threads; 0 means one for each physical core")
	f.precision.Precision = precision
	cmd.Flags().Var(&f.precision, "precision", "how activations meet quantised weights: exact (float32), probe (16 bits) or fast (8 bits)")
	cmd.Flags().Var(&f.kv, "kv", "how keys and values are kept: f32, or f16, which takes half the memory and rounds them")
}

// registerContext is for commands on single texts and conversations. Vectors are
// built, and tested, with the rotations that a model has for short texts.
func (f *engineFlags) registerContext(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.context, "context", 0, "hold up to `N` tokens; more than the model's context only where that can be stretched, as Phi 3's: then rotations are those for long texts (default: the model's context)")
}

// check is called before a model is opened.
func (f *engineFlags) check() error {
	if f.context < 0 {
		return usagef("--context %d is negative", f.context)
	}
	if f.threads < 0 || f.threads > maxThreads {
		return usagef("--threads %d is not between 0 and %d", f.threads, maxThreads)
	}
	return nil
}

// precisionFlag makes a flag of a precision, so that a bad value is an error of
// usage.
type precisionFlag struct{ llama.Precision }

// Type is what the help calls the value.
func (*precisionFlag) Type() string { return "mode" }

// Set reads the value of the flag.
func (f *precisionFlag) Set(s string) error {
	p, err := llama.ParsePrecision(s)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "tensor: "))
	}
	f.Precision = p
	return nil
}

// kvFlag is precisionFlag for the form of keys and values.
type kvFlag struct{ llama.KVType }

// Type is what the help calls the value.
func (*kvFlag) Type() string { return "type" }

// Set reads the value of the flag.
func (f *kvFlag) Set(s string) error {
	t, err := llama.ParseKVType(s)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "tensor: "))
	}
	f.KVType = t
	return nil
}

// An engine is a model that is ready to run.
type engine struct {
	model  *llama.Model
	runner *llama.Runner
	tok    *token.Tokenizer
	blocks int
}

// openEngine opens the model that MODEL names and starts its threads. Whoever
// opens it closes it.
func openEngine(name string, f *engineFlags) (*engine, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := openFile(name)
	if err != nil {
		return nil, err
	}
	m, err := llama.New(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	if c := m.Config(); f.context > max(c.Context, c.LongContext) {
		m.Close()
		if c.LongContext > 0 {
			return nil, usagef("--context %d is more than the model's context of %d, stretched", f.context, c.LongContext)
		}
		return nil, usagef("--context %d is more than the model's context of %d", f.context, c.Context)
	}
	r, err := m.NewRunner(llama.RunnerOptions{Threads: f.threads, Precision: f.precision.Precision, KV: f.kv.KVType, Context: f.context})
	if err != nil {
		m.Close()
		return nil, err
	}
	return &engine{model: m, runner: r, tok: m.Tokenizer(), blocks: m.Config().Blocks}, nil
}

func (e *engine) close() {
	e.runner.Close()
	e.model.Close()
}

// context is how many tokens a sequence may have.
func (e *engine) context() int { return e.runner.Options().Context }

// checkContext refuses tokens that the context does not hold, before work is
// spent on those that it does.
func (e *engine) checkContext(tokens []token.Token) error {
	n, held, c := len(tokens), e.context(), e.model.Config()
	switch {
	case n <= held:
		return nil
	case held < c.Context:
		return fmt.Errorf("the text has %s, BOS included; --context %d holds no more than that", counted(n, "token"), held)
	case held < c.LongContext:
		return fmt.Errorf("the text has %s, BOS included; the model's context holds %s, and --context up to %s", counted(n, "token"), grouped(held), grouped(c.LongContext))
	}
	return fmt.Errorf("the text has %s, BOS included; the model's context holds %s", counted(n, "token"), grouped(held))
}

// stepTokens is how many tokens feed computes between reports of progress.
const stepTokens = 512

// maxLogits bounds the memory for logits of one step: 64 MiB.
const maxLogits = 16 << 20

// feed appends tokens to a sequence in steps, so that progress can be shown and
// the memory for logits stays bounded. With AllLogits, each is called after
// every step with the indices of the tokens that Logits then holds; with
// LastLogits the runner holds those of the last token at the end. Without
// logits the passes go no deeper than their hooks, and the sequence cannot be
// continued with logits; see prefill.
func (e *engine) feed(ctx context.Context, s *llama.Sequence, tokens []token.Token, logits llama.LogitsWanted,
	hooks []*llama.Hook, progress func(done, total int), each func(from, until int) error) error {
	return e.passes(ctx, s, tokens, logits, llama.Pass{Hooks: hooks, Full: logits != llama.NoLogits}, progress, each)
}

// prefill appends the beginning of a text that is to be continued, as feed
// does.
func (e *engine) prefill(ctx context.Context, s *llama.Sequence, tokens []token.Token, hooks []*llama.Hook, progress func(done, total int)) error {
	return e.passes(ctx, s, tokens, llama.NoLogits, llama.Pass{Hooks: hooks, Full: true}, progress, nil)
}

// passes is what feed and prefill have in common; pass lacks its spans.
func (e *engine) passes(ctx context.Context, s *llama.Sequence, tokens []token.Token, logits llama.LogitsWanted,
	pass llama.Pass, progress func(done, total int), each func(from, until int) error) error {
	step := stepTokens
	if logits == llama.AllLogits {
		step = max(1, min(step, maxLogits/e.model.Config().Vocabulary))
	}
	for from := 0; from < len(tokens); from += step {
		until := min(from+step, len(tokens))
		span := llama.Span{Seq: s, Tokens: tokens[from:until], Logits: logits}
		if logits == llama.LastLogits && until < len(tokens) {
			span.Logits = llama.NoLogits
		}
		pass.Spans = []llama.Span{span}
		if err := e.runner.Forward(ctx, &pass); err != nil {
			return interruptedError{err, fmt.Sprintf("after %d of %s", from, counted(len(tokens), "token"))}.orJust(ctx)
		}
		if each != nil {
			if err := each(from, until); err != nil {
				return err
			}
		}
		progress(until, len(tokens))
	}
	return nil
}

// orJust is the error itself unless the context ended.
func (e interruptedError) orJust(ctx context.Context) error {
	if ctx.Err() == nil {
		return e.err
	}
	return e
}

// siteError tells a site that is misspelled, which is wrong usage, from one that
// this model does not have.
func siteError(where string, err error) error {
	err = fmt.Errorf("%s: %w", where, unprefixed{err, "llama: "})
	if errors.Is(err, llama.ErrNoSite) {
		return err
	}
	return usageError{err}
}

// parseSites reads a flag that names sites; "" is the default site.
func (e *engine) parseSites(flag, value string) ([]llama.Site, error) {
	if value == "" {
		return []llama.Site{llama.DefaultSite(e.blocks)}, nil
	}
	sites, err := llama.ParseSites(value, e.blocks)
	if err != nil {
		return nil, siteError("--"+flag, err)
	}
	return sites, nil
}

// A provenance says what a result was made from and how. Every JSON document
// and every file carries one.
type provenance struct {
	Limbic          string            `json:"limbic"`
	Revision        string            `json:"revision,omitempty"`
	Go              string            `json:"go"`
	Kernels         string            `json:"kernels"`
	Model           string            `json:"model,omitempty"`
	ModelPath       string            `json:"model_path,omitempty"`
	ModelSHA256     string            `json:"model_sha256,omitempty"`
	Architecture    string            `json:"architecture,omitempty"`
	Quantisation    string            `json:"quantisation,omitempty"`
	TokenizerSHA256 string            `json:"tokenizer_sha256,omitempty"`
	Precision       string            `json:"precision,omitempty"`
	KV              string            `json:"kv,omitempty"` // how keys and values were kept
	Threads         int               `json:"threads,omitempty"`
	Context         int               `json:"context,omitempty"` // where it is stretched, which changes rotations
	Seed            uint64            `json:"seed"`
	Sites           []siteNote        `json:"sites,omitempty"`
	Vectors         []vectorsNote     `json:"vectors,omitempty"`
	Steering        []string          `json:"steering,omitempty"` // plans, in their text form
	Prompt          *promptNote       `json:"prompt,omitempty"`   // how a conversation was wrapped
	Definitions     map[string]string `json:"definitions,omitempty"`
}

// A siteNote names a site and says in words what it is.
type siteNote struct {
	Site        string `json:"site"`
	Description string `json:"description"`
}

// programProvenance is what every provenance begins with.
func programProvenance() provenance {
	return provenance{
		Limbic: version, Revision: revision(), Go: runtime.Version(), Kernels: asm.Current().String(),
	}
}

// fileProvenance is that of a result that comes from a model's file without
// running it. tok is nil where the file has no usable tokenizer. It reads the
// whole file once, for its hash.
func fileProvenance(ctx context.Context, f *gguf.File, tok *token.Tokenizer) (provenance, error) {
	p := programProvenance()
	p.ModelPath = f.Path
	// These may be missing or have another type: then there's nothing to state.
	p.Model, _ = f.StringOr("general.name", "")
	p.Architecture, _ = f.StringOr("general.architecture", "")
	p.Quantisation = quantisationOf(f).label
	if tok != nil {
		p.TokenizerSHA256 = tok.Hash()
	}
	var err error
	p.ModelSHA256, err = f.SHA256(ctx)
	return p, err
}

// provenance is that of a result that running the model gave.
func (e *engine) provenance(ctx context.Context, sites []llama.Site) (provenance, error) {
	// What was computed is not to be lost to an interrupt: the hash is still
	// taken then.
	p, err := fileProvenance(context.WithoutCancel(ctx), e.model.File(), e.tok)
	if err != nil {
		return p, err
	}
	o := e.runner.Options()
	p.Precision, p.KV, p.Threads = o.Precision.String(), o.KV.String(), o.Threads
	if o.Context > e.model.Config().Context {
		p.Context = o.Context
	}
	for _, s := range sites {
		p.Sites = append(p.Sites, siteNote{s.String(), s.Describe(e.blocks)})
	}
	return p, nil
}

// define adds definitions to a provenance, given as name and text in turn.
func (p *provenance) define(pairs ...string) {
	if p.Definitions == nil {
		p.Definitions = map[string]string{}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		p.Definitions[pairs[i]] = pairs[i+1]
	}
}

// defineText states how a text became tokens.
func (p *provenance) defineText(f *textFlags) {
	bos := "as the model file says"
	if f.noBOS {
		bos = "none"
	}
	special := "text"
	if f.special {
		special = "tokens"
	}
	p.define("bos", bos, "special_tokens_in_text", special, "format", "raw")
}

// finite refuses numbers that JSON cannot hold, by name.
func finite(what string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%s is %v: the model or its input is out of range", what, x)
	}
	return nil
}

// notEmpty refuses flags that are given with an empty value.
func notEmpty(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return usagef("--%s is empty", name)
		}
	}
	return nil
}

// unknownValue refuses the value of a flag that is none of the known ones.
func unknownValue(flag, value string, known []string) error {
	return usagef("--%s %s is not known: %s", flag, abbreviated(value), strings.Join(known, ", "))
}
