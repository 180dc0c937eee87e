package steer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// A Loader gives the vectors that a plan refers to. It should refuse vectors
// of another model (see probe.Vectors.CheckModel).
type Loader func(reference string) (*probe.Vectors, error)

// Files loads vectors from files, and refuses those that were built from
// another model than m. The hash of the model's file is computed for that.
func Files(ctx context.Context, m *llama.Model) Loader {
	return func(path string) (*probe.Vectors, error) { return probe.LoadFor(ctx, path, m) }
}

// From gives the same vectors for every reference.
func From(v *probe.Vectors) Loader {
	return func(string) (*probe.Vectors, error) { return v, nil }
}

// Options are the options of New. The zero value is good.
type Options struct {
	// Form of the emotions' vectors; "" means probe.Denoised.
	Form probe.Form
}

// An Injector edits the residual stream as plans say and keeps account of it.
// Its hooks run in passes of one Runner at a time, and the injector itself
// must not be used while one runs.
type Injector struct {
	tokenizer *token.Tokenizer
	hooks     []*llama.Hook
	plans     []*plan
	warnings  []string
}

// plan is a Plan with its vectors.
type plan struct {
	Plan
	form    probe.Form // of the vectors; "given" for a Direction
	blocks  int
	targets []*target // by site, in the order given
	edits   bool      // something is added somewhere
}

// target is what a plan adds at one site, and what came of it.
type target struct {
	site llama.Site
	a    float32 // the coefficient: strength × mean norm
	unit []float32
	size float64 // the length of a·unit
	mean float64 // the calibrated mean norm

	visited     bool // some pass came by
	edits       uint64
	first, last Position
	measured    uint64      // edited rows that had a norm
	change      probe.Fixed // sum of (‖x'‖−‖x‖)/‖x‖ over them
	added       probe.Fixed // sum of ‖a·unit‖/‖x‖
}

// New resolves plans for a model: it loads the vectors that they name, each
// once, and finds emotions and sites in them.
//
// Vectors must fit the model's width, blocks and tokenizer; that they come from
// the same file is for the Loader to check. Emotions must be among the vectors
// (the error of one that is not wraps emotion.UnknownError), and sites must be
// among the model's, the vectors' and of the point resid_post (else the error
// wraps llama.ErrUnsupported). Plans that meet at a site are applied in the
// order given.
func New(m *llama.Model, plans []Plan, load Loader, o Options) (*Injector, error) {
	switch o.Form {
	case "":
		o.Form = probe.Denoised
	case probe.RawMean:
		return nil, errors.New("steer: raw means are no directions to steer along")
	}
	in := &Injector{tokenizer: m.Tokenizer()}
	loaded := map[string]*probe.Vectors{}
	warned := map[string]bool{}
	for _, p := range plans {
		v, ok := loaded[p.Vectors]
		if !ok {
			var err error
			if v, err = load(p.Vectors); err != nil {
				return nil, fmt.Errorf("steer: plan %q: %w", p, err)
			}
			if err := checkModel(v, m); err != nil {
				return nil, fmt.Errorf("steer: plan %q: %w", p, err)
			}
			loaded[p.Vectors] = v
		}
		r, err := resolve(p, v, o.Form)
		if err != nil {
			return nil, fmt.Errorf("steer: plan %q: %w", p, err)
		}
		in.plans = append(in.plans, r)
		in.hooks = append(in.hooks, r.hook())
		for _, w := range r.warnings(v) {
			if !warned[w] {
				warned[w] = true
				in.warnings = append(in.warnings, w)
			}
		}
	}
	return in, nil
}

// checkModel looks at what can be told without reading the model's file.
func checkModel(v *probe.Vectors, m *llama.Model) error {
	c := m.Config()
	if err := v.CheckModel(v.Provenance.ModelSHA256, m.Tokenizer().Hash(), c.Width); err != nil {
		return err
	}
	if v.Provenance.Blocks != c.Blocks {
		return fmt.Errorf("the vectors are of a model of %d blocks, the model has %d", v.Provenance.Blocks, c.Blocks)
	}
	if len(v.Sites) == 0 {
		return errors.New("the vectors have no sites")
	}
	return nil
}

// resolve finds what a plan adds.
func resolve(p Plan, v *probe.Vectors, form probe.Form) (*plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	r := &plan{Plan: p, form: form, blocks: v.Provenance.Blocks}
	e := 0
	if p.Direction == nil {
		var err error
		if e, err = v.Index(p.Emotion); err != nil {
			return nil, err
		}
		r.Emotion = v.Emotions[e]
	} else {
		if len(p.Direction) != v.Width {
			return nil, fmt.Errorf("a direction of %d elements for width %d", len(p.Direction), v.Width)
		}
		r.form = "given"
	}
	sites := []llama.Site{v.DefaultSite()}
	if len(p.Sites) > 0 {
		var err error
		if sites, err = llama.ParseSites(strings.Join(p.Sites, ","), r.blocks); err != nil {
			return nil, err
		}
	}
	for _, s := range sites {
		if s.Point != llama.ResidPost {
			return nil, fmt.Errorf("steering at %v is %w in this version, only at resid_post", s, llama.ErrUnsupported)
		}
		sv, err := v.At(s)
		if err != nil {
			return nil, err
		}
		t := &target{site: s, mean: sv.Norm.Mean}
		if !(t.mean > 0) {
			return nil, fmt.Errorf("the vectors have no calibrated norm at %v: the strength has no unit", s)
		}
		direction := p.Direction
		if direction == nil {
			if direction, err = v.Vector(s, form, e); err != nil {
				return nil, err
			}
		}
		t.unit = probe.Unit(direction)
		length := norm(t.unit)
		if length == 0 {
			return nil, fmt.Errorf("the vector of %q at %v is zero", r.Emotion, s)
		}
		t.a = float32(p.Strength * t.mean)
		if t.size = math.Abs(float64(t.a)) * length; math.IsInf(t.size, 0) {
			return nil, fmt.Errorf("strength %v of a mean norm of %v is beyond float32", p.Strength, t.mean)
		}
		r.edits = r.edits || t.a != 0
		r.targets = append(r.targets, t)
	}
	return r, nil
}

// warnings says what makes the plan's numbers doubtful.
func (p *plan) warnings(v *probe.Vectors) (list []string) {
	for _, t := range p.targets {
		sv, err := v.At(t.site)
		if err == nil && sv.Norm.Skewed() {
			list = append(list, fmt.Sprintf("%v of %q: a few large norms dominate the unit of strengths: the mean norm %.4g is %.2f times the median",
				t.site, p.Vectors, sv.Norm.Mean, sv.Norm.Mean/sv.Norm.Median))
		}
	}
	if n := len(p.targets); n > 1 && p.edits {
		list = append(list, fmt.Sprintf("plan %q adds at %d sites: the effects compound", p.Plan, n))
	}
	return list
}

// hook makes the hook of a plan, one for all its sites since a pass takes a
// limited number of editing hooks. A plan that adds nothing gets one that only
// reads: a fused multiply-add of zero would change the sign of a zero, and
// keys and values are to be those of a run without the plan.
func (p *plan) hook() *llama.Hook {
	h := &llama.Hook{Name: "steer " + p.Plan.String(), Func: p.see}
	for _, t := range p.targets {
		h.Sites = append(h.Sites, t.site)
	}
	if p.edits {
		h.Edits = &llama.Edits{
			Fingerprint: p.fingerprint(),
			At:          func(row llama.Row) bool { return p.Scope.covers(&row) },
		}
	}
	return h
}

// fingerprint names operator, emotion, strength and scope, and holds a hash of
// sites, coefficients and vectors: all that the effect depends on.
func (p *plan) fingerprint() string {
	h := sha256.New()
	for _, t := range p.targets {
		fmt.Fprintf(h, "%v %08x %d\n", t.site, math.Float32bits(t.a), len(t.unit))
		var b []byte
		for _, x := range t.unit {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		h.Write(b)
	}
	return fmt.Sprintf("%s %s %+g to %v [%s]", operatorAdd, p.Emotion, p.Strength, p.Scope, hex.EncodeToString(h.Sum(nil)[:16]))
}

// see is the hook's function.
func (p *plan) see(v *llama.View) error {
	var t *target
	for _, t = range p.targets {
		if t.site == v.Site {
			break
		}
	}
	t.visited = true
	for i := range v.Rows {
		row := &v.Rows[i]
		if !p.Scope.covers(row) {
			continue
		}
		x := v.At(i)
		if len(x) != len(t.unit) {
			return fmt.Errorf("steer: a stream of width %d, a vector of width %d", len(x), len(t.unit))
		}
		before := norm(x)
		after := before
		if t.a != 0 {
			x = v.Edit(i)
			asm.Axpy(x, t.unit, t.a)
			after = norm(x)
		}
		if err := t.record(row, before, after); err != nil {
			return err
		}
	}
	return nil
}

// record keeps account of an edit.
func (t *target) record(row *llama.Row, before, after float64) error {
	if t.edits == 0 || row.Pos < t.first.Pos {
		t.first = Position{Pos: row.Pos, ID: row.ID}
	}
	if t.edits == 0 || row.Pos > t.last.Pos {
		t.last = Position{Pos: row.Pos, ID: row.ID}
	}
	t.edits++
	if before == 0 {
		return nil
	}
	t.measured++
	if !add(&t.change, (after-before)/before) || !add(&t.added, t.size/before) {
		return fmt.Errorf("steer: position %d: the norm changes from %v to %v, out of all proportion", row.Pos, before, after)
	}
	return nil
}

// add adds x to a sum that does not depend on the order of what is added, to
// 48 bits of x, and reports whether that is in range.
func add(sum *probe.Fixed, x float64) bool {
	high := float32(x)
	return sum.Add(high) && sum.Add(float32(x-float64(high)))
}

// norm is the Euclidean length of x, in float64 in index order.
func norm(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(float64(v) * float64(v))
	}
	return math.Sqrt(sum)
}

// Hooks are the hooks that edit, one a plan, in the order of plans. They are
// the same at each call. Give them before hooks that read the edited stream.
func (in *Injector) Hooks() []*llama.Hook { return in.hooks }
