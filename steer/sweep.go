package steer

import (
	"context"
	"errors"
	"fmt"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
)

// SweepOptions are the options of Sweep. Plan, Load and Strengths must be set.
type SweepOptions struct {
	// Plan is what to steer with; its strength does not count.
	Plan Plan
	// Load gives the plan's vectors.
	Load Loader
	// Form of the vectors; "" means probe.Denoised.
	Form probe.Form
	// Strengths to compare. 0 is the run without steering.
	Strengths []float64
	// Random is the number of random directions beside the plan's vector,
	// each at all strengths but 0, and Seed their seed. One direction serves
	// all sites.
	Random int
	Seed   uint64
	// Control is their kind; "" means Isotropic. Kinds other than that are
	// made at the plan's first site, some of them from Stories.
	Control Control
	Stories *probe.StoryFile
	// MaxTokens bounds the new tokens of a row; 0 means 128.
	MaxTokens int
	// KLTokens is the number of positions that KL is the mean over; 0 means
	// 64.
	KLTokens int
	// Sampling chooses tokens; the zero value is greedy. All rows draw the
	// same random numbers, so that they differ by what is added alone.
	Sampling llama.Sampling
	// IgnoreEnd goes on after a token that ends generation.
	IgnoreEnd bool
	// Progress, if not nil, is told after every row how many are done.
	Progress func(done, total int)
}

// A Row is one run of a Sweep.
type Row struct {
	// Name is the emotion, or random-1, random-2 … for controls.
	Name     string  `json:"name"`
	Strength float64 `json:"strength"`
	// Text is the continuation, and Tokens are its ids, the end token included
	// if it came.
	Text   string  `json:"text"`
	Tokens []int32 `json:"tokens"`
	// KL is the mean KL(base‖steered) in nats over the unsteered greedy
	// continuation of the prompt: see MeanKL. It is 0 for strength 0.
	KL float64 `json:"kl"`
	// KLTokens is the number of positions that KL is the mean over: less than
	// was asked for where the model ends the continuation before.
	KLTokens int `json:"kl_tokens"`
	// Receipt is that of generating Text.
	Receipt *Receipt `json:"receipt"`
}

// Sweep continues one prompt at several strengths of a vector, and then of
// random directions to which vectors of the same lengths are added. Rows come
// in that order, each block in the order of the strengths.
//
// The tokens that no edit touches, which is the first, or for the scope
// Generated all but the last, are computed once and shared by all rows. That
// changes no bit: a row is what a run of its own would give.
//
// It is an error where the plan reaches nothing (ErrNotReached). Where ctx ends
// first, the complete rows are given beside its error.
func Sweep(ctx context.Context, r *llama.Runner, prompt []token.Token, o SweepOptions) ([]Row, error) {
	s, err := newSweep(ctx, r, prompt, o)
	if err != nil {
		return nil, err
	}
	defer s.prefix.Close()
	var rows []Row
	for _, p := range s.plans {
		row, err := s.run(ctx, p)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
		if o.Progress != nil {
			o.Progress(len(rows), len(s.plans))
		}
	}
	return rows, nil
}

type sweep struct {
	r      *llama.Runner
	o      SweepOptions
	prompt []token.Token
	plans  []Plan
	prefix *llama.Sequence // what all rows begin with

	forced []token.Token // the unsteered greedy continuation
	base   [][]float32   // the logits that it was chosen by
}

// maxBaseLogits bounds the memory for the logits of the run without steering:
// 1 GiB.
const maxBaseLogits = 1 << 28

func newSweep(ctx context.Context, r *llama.Runner, prompt []token.Token, o SweepOptions) (*sweep, error) {
	switch {
	case len(prompt) == 0:
		return nil, errors.New("steer: the prompt is empty")
	case len(o.Strengths) == 0:
		return nil, errors.New("steer: no strengths")
	case o.Random < 0 || o.KLTokens < 0 || o.MaxTokens < 0:
		return nil, fmt.Errorf("steer: %d random directions, %d tokens, KL over %d: none may be negative", o.Random, o.MaxTokens, o.KLTokens)
	case o.KLTokens > maxBaseLogits/r.Model().Config().Vocabulary:
		return nil, fmt.Errorf("steer: KL over %d tokens would keep more than %d logits of a vocabulary of %d", o.KLTokens, maxBaseLogits, r.Model().Config().Vocabulary)
	}
	if o.KLTokens == 0 {
		o.KLTokens = 64
	}
	v, err := o.Load(o.Plan.Vectors)
	if err != nil {
		return nil, fmt.Errorf("steer: %w", err)
	}
	o.Load = From(v)

	s := &sweep{r: r, o: o, prompt: prompt}
	label := o.Plan.Emotion
	directions := [][]float32{o.Plan.Direction}
	controls, err := s.controls(v)
	if err != nil {
		return nil, err
	}
	directions = append(directions, controls...)
	for i, d := range directions {
		for _, strength := range o.Strengths {
			p := o.Plan
			p.Strength, p.Emotion, p.Direction = strength, label, d
			if i > 0 {
				p.Emotion = fmt.Sprintf("random-%d", i)
				if strength == 0 {
					continue
				}
			}
			s.plans = append(s.plans, p)
		}
	}
	// What is wrong with a plan shows before anything is computed.
	if _, err := New(r.Model(), s.plans, o.Load, Options{Form: o.Form}); err != nil {
		return nil, err
	}

	s.prefix = r.NewSequence()
	if n := o.Plan.Scope.untouched(len(prompt)); n > 0 {
		pass := &llama.Pass{Spans: []llama.Span{{Seq: s.prefix, Tokens: prompt[:n]}}}
		if err := r.Forward(ctx, pass); err != nil {
			s.prefix.Close()
			return nil, err
		}
	}
	if err := s.greedy(ctx); err != nil {
		s.prefix.Close()
		return nil, err
	}
	return s, nil
}

// controls makes the random directions.
func (s *sweep) controls(v *probe.Vectors) ([][]float32, error) {
	o := &s.o
	if o.Random == 0 {
		return nil, nil
	}
	if o.Control == "" || o.Control == Isotropic {
		return RandomDirections(o.Seed, o.Random, v.Width), nil
	}
	// The plan's own sites and emotion, found as the injector finds them.
	in, err := New(s.r.Model(), []Plan{o.Plan}, o.Load, Options{Form: o.Form})
	if err != nil {
		return nil, err
	}
	e, err := v.Index(o.Plan.Emotion)
	if err != nil {
		return nil, err
	}
	source := ControlSource{Vectors: v, Form: o.Form, Site: in.plans[0].targets[0].site, Emotion: e, Stories: o.Stories}
	if source.Form == "" {
		source.Form = probe.Denoised
	}
	return source.Directions(o.Control, o.Seed, o.Random)
}

// greedy finds the unsteered greedy continuation with its logits.
func (s *sweep) greedy(ctx context.Context) error {
	seq := s.prefix.Fork()
	defer seq.Close()
	options := llama.GenerateOptions{
		Prompt: s.prompt[seq.Len():], MaxTokens: s.o.KLTokens, IgnoreEnd: s.o.IgnoreEnd,
	}
	end := s.prompt[len(s.prompt)-1].End
	for step, err := range s.r.Generate(ctx, seq, options) {
		if err != nil {
			return err
		}
		n := len(s.r.Model().Tokenizer().Piece(step.ID))
		s.forced = append(s.forced, token.Token{ID: step.ID, Start: end, End: end + n})
		s.base = append(s.base, append([]float32(nil), step.Logits...))
		end += n
	}
	return nil
}

// run gives the row of a plan.
func (s *sweep) run(ctx context.Context, p Plan) (Row, error) {
	in, err := New(s.r.Model(), []Plan{p}, s.o.Load, Options{Form: s.o.Form})
	if err != nil {
		return Row{}, err
	}
	row := Row{Name: in.plans[0].Emotion, Strength: p.Strength + 0, KLTokens: len(s.forced)}
	seq := s.prefix.Fork()
	defer seq.Close()
	options := llama.GenerateOptions{
		Prompt: s.prompt[seq.Len():], MaxTokens: s.o.MaxTokens, IgnoreEnd: s.o.IgnoreEnd,
		Sampling: s.o.Sampling, Hooks: in.Hooks(),
	}
	var text []byte
	for step, err := range s.r.Generate(ctx, seq, options) {
		if err != nil {
			return Row{}, err
		}
		text = append(text, step.Text...)
		row.Tokens = append(row.Tokens, step.ID)
	}
	row.Text, row.Receipt = string(text), in.Receipt()
	if err := row.Receipt.Err(); err != nil {
		return Row{}, err
	}
	if in.plans[0].edits { // else the logits are the same
		row.KL, err = s.kl(ctx, in.Hooks())
	}
	return row, err
}

// kl is MeanKL with the prefix and the base logits that are there already.
func (s *sweep) kl(ctx context.Context, hooks []*llama.Hook) (float64, error) {
	seq := s.prefix.Fork()
	defer seq.Close()
	seq.SetPrompt(len(s.prompt))
	tokens := append(s.prompt[:len(s.prompt):len(s.prompt)], s.forced[:len(s.forced)-1]...)
	rows := rowsAtOnce(s.r)
	var mean meanKL
	for from := 0; from < len(s.forced); from += rows {
		n := min(rows, len(s.forced)-from)
		until := len(s.prompt) + from + n - 1
		err := advance(ctx, s.r, seq, tokens[seq.Len():until], n, hooks, func(i int, logits []float32) {
			mean.add(s.base[from+i], logits)
		})
		if err != nil {
			return 0, err
		}
	}
	return mean.result()
}
