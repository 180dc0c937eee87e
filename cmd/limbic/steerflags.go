package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

// exampleVectors is the VECTORS of the examples in help texts, made from
// exampleModel.
const exampleVectors = "testdata/vectors/quant-q4_k_m.safetensors"

// steerHelp is what commands' help texts say about --steer.
const steerHelp = `--steer VECTORS:NAME=STRENGTH[@SITES][#SCOPE] adds an emotion vector while the
model runs, as in v.safetensors:calm=+0.05@resid_post:67%#generated. STRENGTH is
a fraction of the mean norm of the residual stream. Without @SITES it acts at
the vectors' default site, without #SCOPE on every token but the first.`

// steerFlags are the flags of every command that can be steered.
type steerFlags struct {
	texts      []string
	beforeEdit bool

	plans []steer.Plan
}

func (f *steerFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.texts, "steer", nil,
		"add an emotion vector: `VECTORS:NAME=STRENGTH[@SITES][#SCOPE]`; may be given several times")
}

// registerCapture is register for a command that reads activations.
func (f *steerFlags) registerCapture(cmd *cobra.Command) {
	f.register(cmd)
	cmd.Flags().BoolVar(&f.beforeEdit, "before-edit", false, "with --steer: read activations before they are edited at the same site, not after")
}

// check is called before a model is opened.
func (f *steerFlags) check() error {
	f.plans = nil
	for _, text := range f.texts {
		p, err := steer.ParsePlan(text)
		if err != nil {
			return usagef("--steer: %w", unprefixed{err, "steer: "})
		}
		f.plans = append(f.plans, p)
	}
	return nil
}

// unprefixed drops a package's name from the beginning of an error's message.
type unprefixed struct {
	err    error
	prefix string
}

func (e unprefixed) Error() string { return strings.TrimPrefix(e.err.Error(), e.prefix) }
func (e unprefixed) Unwrap() error { return e.err }

// open resolves the plans for a model and writes what is doubtful about them
// as warnings. Without plans it gives a steering that does nothing.
func (f *steerFlags) open(ctx context.Context, a *app, e *engine) (*steering, error) {
	return f.openWith(a, e, newVectorFiles(ctx, e))
}

// openWith is open with vectors files that may have been loaded before.
func (f *steerFlags) openWith(a *app, e *engine, files *vectorFiles) (*steering, error) {
	s := &steering{beforeEdit: f.beforeEdit, files: files}
	if len(f.plans) == 0 {
		return s, nil
	}
	for i := range f.plans {
		p := &f.plans[i]
		if len(p.Sites) == 0 {
			continue
		}
		sites, err := llama.ParseSites(strings.Join(p.Sites, ","), e.blocks)
		if err != nil {
			return nil, siteError(fmt.Sprintf("--steer: plan %q", *p), err)
		}
		p.Sites = siteNames(sites)
	}
	var err error
	if s.injector, err = steer.New(e.model, f.plans, s.files.load, steer.Options{}); err != nil {
		return nil, err
	}
	s.plans = f.plans
	for _, w := range s.injector.Receipt().Warnings {
		a.warn("%s", w)
	}
	return s, nil
}

func siteNames(sites []llama.Site) []string {
	var names []string
	for _, s := range sites {
		names = append(names, s.String())
	}
	return names
}

// A steering is what --steer asks for, ready to run once.
type steering struct {
	injector   *steer.Injector // nil where nothing is asked for
	plans      []steer.Plan
	beforeEdit bool
	files      *vectorFiles
}

// hooks gives the hooks that edit, with those that read where the flags want
// them.
func (s *steering) hooks(reads ...*llama.Hook) []*llama.Hook {
	switch {
	case s.injector == nil:
		return reads
	case s.beforeEdit:
		return slices.Concat(reads, s.injector.Hooks())
	}
	return slices.Concat(s.injector.Hooks(), reads)
}

// receipt says what was done so far; nil where nothing was asked for.
func (s *steering) receipt() *steer.Receipt {
	if s.injector == nil {
		return nil
	}
	return s.injector.Receipt()
}

// err is an error where a plan reached nothing.
func (s *steering) err() error {
	if s.injector == nil {
		return nil
	}
	return s.injector.Receipt().Err()
}

// promptErr is err for what can be told once all of the prompt but its last
// token is computed.
func (s *steering) promptErr() error {
	if s.injector == nil {
		return nil
	}
	for _, e := range s.injector.Receipt().Edits {
		if e.Scope == steer.Prompt && e.Edits == 0 {
			return fmt.Errorf("--steer: plan %q: %w: the text has no token that its scope covers: prompt is all but the first and the last", e.Plan, steer.ErrNotReached)
		}
	}
	return nil
}

// note adds to a provenance what steered.
func (s *steering) note(p *provenance) {
	if s.injector == nil {
		return
	}
	p.Vectors = s.files.notes
	for _, plan := range s.plans {
		p.Steering = append(p.Steering, plan.String())
	}
	p.define(
		"steering", "h + strength * mean norm * v/|v| at every token of the scope but position 0; v is the denoised contrast vector",
		"strength", definitionOfStrength,
		"scope", "generated begins with the last token of the text, whose state emits the first new one; prompt ends before it; all is both",
	)
}

const definitionOfStrength = "fraction of the calibrated mean norm of the residual stream at the site, position 0 excluded"

// noteCapture is note for a command that reads activations.
func (s *steering) noteCapture(p *provenance) {
	s.note(p)
	switch {
	case s.injector == nil:
	case s.beforeEdit:
		p.define("captures", "before the edits of their own site, after those of the sites before it")
	default:
		p.define("captures", "after the edits")
	}
}

// printReceipt writes the main figures of a receipt for people.
func printReceipt(w io.Writer, r *steer.Receipt) error {
	if r == nil {
		return nil
	}
	for _, e := range r.Edits {
		if _, err := fmt.Fprintf(w, "steered: %s %+g at the %s, scope %v: %s\n",
			e.Emotion, e.Strength, e.Where, e.Scope, describeEdits(&e)); err != nil {
			return err
		}
	}
	return nil
}

// describeEdits says what was done at a site.
func describeEdits(e *steer.SiteReceipt) string {
	if e.Edits == 0 {
		return "no edits"
	}
	return fmt.Sprintf("%s at positions %d to %d, added %.1f %% of the norm, norm changed by %+.1f %%",
		counted(e.Edits, "edit"), e.First.Pos, e.Last.Pos, 100*e.AddedNorm, 100*e.NormChange)
}

// A vectorsNote says which vectors file had a part in a result.
type vectorsNote struct {
	Path        string `json:"path,omitempty"`
	FileSHA256  string `json:"file_sha256"`
	MeansSHA256 string `json:"means_sha256"`
	Emotions    int    `json:"emotions"`
}

// vectorFiles loads vectors files for a model, each once, and takes note of
// them.
type vectorFiles struct {
	ctx    context.Context
	engine *engine
	loaded map[string]*probe.Vectors
	notes  []vectorsNote
}

func newVectorFiles(ctx context.Context, e *engine) *vectorFiles {
	return &vectorFiles{ctx: ctx, engine: e, loaded: map[string]*probe.Vectors{}}
}

// load is a steer.Loader: it refuses vectors of another model.
func (f *vectorFiles) load(path string) (*probe.Vectors, error) {
	if v, ok := f.loaded[path]; ok {
		return v, nil
	}
	v, sum, err := loadVectors(path)
	if err != nil {
		return nil, err
	}
	m := f.engine.model
	model, err := m.SHA256(f.ctx)
	if err != nil {
		return nil, err
	}
	if err := v.CheckModel(model, m.Tokenizer().Hash(), m.Config().Width); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.loaded[path] = v
	f.notes = append(f.notes, vectorsNote{path, sum, v.Provenance.MeansSHA256, len(v.Emotions)})
	return v, nil
}

// portable takes out of a provenance what does not change the numbers: paths
// and the number of threads. Plans then name vectors files by their hash.
func (p *provenance) portable(s *steering) {
	p.ModelPath, p.Threads, p.Steering = "", 0, nil
	notes := slices.Clone(p.Vectors)
	hashes := map[string]string{}
	for i := range notes {
		hashes[notes[i].Path] = notes[i].FileSHA256
		notes[i].Path = ""
	}
	p.Vectors = notes
	for _, plan := range s.plans {
		plan.Vectors = hashes[plan.Vectors]
		p.Steering = append(p.Steering, plan.String())
	}
}
