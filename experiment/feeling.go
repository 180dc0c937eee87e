package experiment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

// FeelingOptions are the options of Feelings. The zero value is good.
type FeelingOptions struct {
	// Site to steer at; nil means the vectors' default site.
	Site *llama.Site
	// Form of the vectors; "" means probe.Denoised.
	Form probe.Form
	// Prompts end where a word for a feeling is due; nil means
	// FeelingPrompts.
	Prompts []string
	// Encode makes tokens of a prompt, or of a prompt with a space and a word
	// behind it; nil means probe.Encode: raw text, behind BOS where the model
	// adds one.
	Encode func(text string) []token.Token
	// Emotions to steer with and to look for; nil means emotion.Canonical12.
	// There must be two at least.
	Emotions []string
	// Words for each of the emotions; nil means FeelingWords. No word may
	// stand for two emotions.
	Words map[string][]string
	// Strengths to compare, rising, from below 0 to above it; nil means
	// FeelingStrengths.
	Strengths []float64
	// Random is the number of random directions of each kind; 0 means 10.
	Random int
	// Controls are the kinds of random directions, the headline first: kinds
	// that do not depend on the emotion, which are steer.Isotropic and
	// steer.Covariance. nil means steer.Isotropic.
	Controls []steer.Control
	// Stories are the means beside the vectors; steer.Covariance needs them.
	Stories *probe.StoryFile
	// Seed of directions and permutations.
	Seed uint64
	// Permutations of the vectors among the emotions; 0 means 10000.
	Permutations int
	// Progress, if not nil, is told how many of all runs of the prompts are
	// done.
	Progress func(done, total int)
}

// FeelingStrengths are the default strengths of Feelings.
func FeelingStrengths() []float64 { return []float64{-0.5, -0.25, 0, 0.25, 0.5} }

// FeelingPrompts are the default prompts of Feelings: nothing in them says how
// somebody feels.
func FeelingPrompts() []string {
	return []string{
		"Tom put the plate on the table and sat down. How does he feel?\nHe feels",
		"Anna closed the door and walked to the shop. How does she feel?\nShe feels",
		"The man stood at the bus stop and looked at the road. How does he feel?\nHe feels",
		"Mia opened the letter and read it. How does she feel?\nShe feels",
		"Ben washed the cup and put it away. How does he feel?\nHe feels",
		"The teacher came into the room and looked around. How does she feel?\nShe feels",
		"Sam took the phone out of his bag. How does he feel?\nHe feels",
		"Lily sat by the window and looked at the street. How does she feel?\nShe feels",
	}
}

// FeelingWords are the default words of Feelings: for each emotion of
// emotion.Canonical12 itself and near synonyms, most of them of its family.
func FeelingWords() map[string][]string {
	return map[string][]string{
		"happy":     {"happy", "cheerful", "joyful", "delighted", "pleased", "glad"},
		"inspired":  {"inspired", "hopeful", "fulfilled"},
		"loving":    {"loving", "kind", "compassionate", "loved"},
		"proud":     {"proud", "triumphant", "self-confident"},
		"calm":      {"calm", "peaceful", "relaxed", "serene", "content"},
		"desperate": {"desperate", "trapped", "hopeless", "tormented"},
		"angry":     {"angry", "furious", "mad", "enraged", "annoyed", "irritated"},
		"guilty":    {"guilty", "ashamed", "remorseful", "regretful", "sorry"},
		"sad":       {"sad", "unhappy", "heartbroken", "gloomy", "miserable", "lonely"},
		"afraid":    {"afraid", "scared", "frightened", "terrified"},
		"nervous":   {"nervous", "anxious", "worried", "tense", "uneasy"},
		"surprised": {"surprised", "amazed", "astonished", "shocked"},
	}
}

// A FeelingEmotion is what steering with an emotion's vector does to words for
// feelings.
type FeelingEmotion struct {
	Emotion string   `json:"emotion"`
	Words   []string `json:"words"`
	// Curve is the log-odds of the emotion's words at each strength, mean over
	// prompts: ln of the probability that the prompt goes on with one of them,
	// minus ln of the probability that it goes on with a word of another
	// emotion. In nats.
	Curve []float64 `json:"curve"`
	// Effect is Curve at the highest strength minus Curve at the lowest, and
	// PromptEffects the same for each prompt.
	Effect        float64   `json:"effect"`
	PromptEffects []float64 `json:"prompt_effects"`
	// Effects is what the vector does to the words of each emotion, its own
	// among them, in the order of FeelingResult.Emotions.
	Effects []float64 `json:"effects"`
	// Controls are by kind.
	Controls map[string]FeelingControl `json:"controls"`
	// Pass is that of the headline control.
	Pass bool `json:"pass"`
}

// A FeelingControl is what random directions, to which vectors of the same
// length are added, do to an emotion's words.
type FeelingControl struct {
	// Curves is [directions][strengths], as FeelingEmotion.Curve, and Effects
	// [directions], as FeelingEmotion.Effect.
	Curves  [][]float64 `json:"curves"`
	Effects []float64   `json:"effects"`
	// Largest is the largest |effect|: the opposite of a random direction is a
	// random direction.
	Largest float64 `json:"largest"`
	// Pass says that the emotion's effect is above Largest.
	Pass bool `json:"pass"`
}

// A FeelingCount counts the emotions that pass beside a control.
type FeelingCount struct {
	Passes int `json:"passes"`
	// Chance is how many would pass on average if the emotions' vectors were
	// random directions: each 1 in 2(directions + 1).
	Chance float64 `json:"chance"`
	// Dealt is how many pass on average when the vectors are dealt to the
	// emotions at random, and P is (k+1)/(N+1), with k the number of N deals
	// in which as many pass.
	Dealt float64 `json:"dealt"`
	P     float64 `json:"p"`
}

// A FeelingResult is the result of Feelings.
type FeelingResult struct {
	Experiment string    `json:"experiment"` // "feeling_words"
	Site       string    `json:"site"`
	SiteText   string    `json:"site_text"`
	Form       string    `json:"form"`
	Strengths  []float64 `json:"strengths"`
	Prompts    []string  `json:"prompts"`
	Directions int       `json:"directions"` // of each kind

	// FeelingCount is that of the headline control.
	FeelingCount
	// Counts are by kind of control, and Control is the headline.
	Counts  map[string]FeelingCount `json:"counts"`
	Control string                  `json:"control"`
	// Risen is the number of emotions whose effect is above 0, and RisenP the
	// probability of so many or more if signs were coins.
	Risen  int     `json:"risen"`
	RisenP float64 `json:"risen_p"`

	Emotions     []FeelingEmotion  `json:"emotions"`
	Seed         uint64            `json:"seed"`
	Permutations int               `json:"permutations"`
	Definitions  map[string]string `json:"definitions"`
}

// Feelings measures whether steering with an emotion's vector makes a model
// find words for that emotion, rather than for others, where it is to say how
// somebody feels.
//
// An emotion passes where the log-odds of its words rise from the lowest
// strength to the highest, and do so by more than they change in either
// direction under any of the random directions. Every word is scored by the sum
// of the log-probabilities of all its tokens behind the prompt and a space,
// steered at every token but the first. Logarithms are those of package math and
// not promised to the last bit across machines.
func Feelings(ctx context.Context, r *llama.Runner, v *probe.Vectors, o FeelingOptions) (*FeelingResult, error) {
	f, err := newFeeler(ctx, r, v, o)
	if err != nil {
		return nil, err
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	f.finish()
	return &f.out, nil
}

// feeler runs Feelings.
type feeler struct {
	runner *llama.Runner
	v      *probe.Vectors
	o      FeelingOptions
	site   llama.Site
	out    FeelingResult

	emotions []int                    // indices into the vectors' emotions
	prompts  []feelingPrompt          //
	words    int                      // of all emotions together
	of       []int                    // emotion of each word
	controls map[string][][]float32   // directions by kind
	base     [][]float64              // log-odds without steering, [prompts][emotions]
	runs     int                      // done
	total    int                      //
	effects  [][]float64              // [emotions' vectors][emotions]
	random   map[string][][][]float64 // by kind: [directions][strengths][emotions]
}

// A feelingPrompt is a prompt with its continuations.
type feelingPrompt struct {
	tokens []token.Token
	words  [][]token.Token // of each word, those behind the prompt
}

func newFeeler(ctx context.Context, r *llama.Runner, v *probe.Vectors, o FeelingOptions) (*feeler, error) {
	m := r.Model()
	sum, err := m.SHA256(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.CheckModel(sum, m.Tokenizer().Hash(), m.Config().Width); err != nil {
		return nil, err
	}
	if o.Form == "" {
		o.Form = probe.Denoised
	}
	if o.Prompts == nil {
		o.Prompts = FeelingPrompts()
	}
	if o.Encode == nil {
		o.Encode = func(text string) []token.Token { return probe.Encode(m, text).Tokens }
	}
	if o.Emotions == nil {
		o.Emotions = emotion.Canonical12()
	}
	if o.Words == nil {
		o.Words = FeelingWords()
	}
	if o.Strengths == nil {
		o.Strengths = FeelingStrengths()
	}
	if o.Random == 0 {
		o.Random = 10
	}
	if o.Controls == nil {
		o.Controls = []steer.Control{steer.Isotropic}
	}
	if o.Permutations == 0 {
		o.Permutations = 10000
	}
	f := &feeler{runner: r, v: v, o: o, site: v.DefaultSite(), controls: map[string][][]float32{}, random: map[string][][][]float64{}}
	if o.Site != nil {
		f.site = *o.Site
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := f.encode(); err != nil {
		return nil, err
	}
	source := steer.ControlSource{Vectors: v, Form: o.Form, Site: f.site, Emotion: f.emotions[0], Stories: o.Stories}
	directions := len(f.emotions)
	for _, kind := range o.Controls {
		if f.controls[string(kind)], err = source.Directions(kind, o.Seed, o.Random); err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
		directions += o.Random
	}
	f.total = 1 + directions*(len(o.Strengths)-1)
	f.out = FeelingResult{
		Experiment: "feeling_words", Site: f.site.String(), SiteText: f.site.Describe(v.Provenance.Blocks), Form: string(o.Form),
		Strengths: o.Strengths, Prompts: o.Prompts, Directions: o.Random, Control: string(o.Controls[0]),
		Counts: map[string]FeelingCount{}, Seed: o.Seed, Permutations: o.Permutations,
		Definitions: map[string]string{
			"curve":    "ln P(a word of the emotion) - ln P(a word of another of the emotions), as continuation of the prompt, mean over prompts, in nats; the probability of a word is that of all its tokens, behind a space",
			"effect":   "curve at the highest strength minus curve at the lowest",
			"pass":     "the effect is positive and larger than the absolute effect of every random direction",
			"strength": "fraction of the calibrated mean norm of the residual stream at the site, added along the unit vector at every token but the first",
			"chance":   "1/(2(directions + 1)) for each emotion",
			"dealt":    "passes when the vectors are dealt to the emotions at random: mean, and p = (k+1)/(N+1) over N deals",
		},
	}
	return f, nil
}

func (f *feeler) check() error {
	o := &f.o
	s := o.Strengths
	switch {
	case len(o.Prompts) == 0:
		return errors.New("experiment: feelings: there are no prompts")
	case len(o.Emotions) < 2:
		return fmt.Errorf("experiment: feelings: %d emotions: words of one are compared with those of others", len(o.Emotions))
	case !slices.IsSorted(s) || len(slices.Compact(slices.Clone(s))) != len(s):
		return fmt.Errorf("experiment: feelings: strengths %v do not rise", s)
	case len(s) < 2 || s[0] >= 0 || s[len(s)-1] <= 0 || !slices.Contains(s, 0):
		return fmt.Errorf("experiment: feelings: strengths %v: want some below 0, 0, and some above", s)
	case o.Random < 0 || o.Permutations < 0:
		return fmt.Errorf("experiment: feelings: %d random directions and %d permutations: neither may be negative", o.Random, o.Permutations)
	case len(o.Controls) == 0:
		return errors.New("experiment: feelings: there are no controls")
	}
	for _, kind := range o.Controls {
		if kind != steer.Isotropic && kind != steer.Covariance {
			return fmt.Errorf("experiment: feelings: control %q is made for each emotion by itself; want %s or %s", kind, steer.Isotropic, steer.Covariance)
		}
	}
	owner := map[string]string{}
	for _, name := range o.Emotions {
		e, err := f.v.Index(name)
		if err != nil {
			return err
		}
		if slices.Contains(f.emotions, e) {
			return fmt.Errorf("experiment: feelings: %q is named twice", name)
		}
		f.emotions = append(f.emotions, e)
		words := o.Words[f.v.Emotions[e]]
		if len(words) == 0 {
			return fmt.Errorf("experiment: feelings: there are no words for %q", name)
		}
		for _, w := range words {
			if other, ok := owner[w]; ok {
				return fmt.Errorf("experiment: feelings: the word %q stands for %q and for %q", w, other, name)
			}
			owner[w] = name
			f.of = append(f.of, len(f.emotions)-1)
		}
	}
	f.words = len(f.of)
	return nil
}

// encode makes tokens of the prompts and of their continuations.
func (f *feeler) encode() error {
	context := f.runner.Model().Config().Context
	for _, text := range f.o.Prompts {
		p := feelingPrompt{tokens: f.o.Encode(text)}
		n := len(p.tokens)
		if n < 2 {
			return fmt.Errorf("experiment: feelings: prompt %q has %d tokens; one is never steered", text, n)
		}
		for _, e := range f.emotions {
			for _, word := range f.o.Words[f.v.Emotions[e]] {
				all := f.o.Encode(text + " " + word)
				if len(all) >= context { // or cut
					return fmt.Errorf("experiment: feelings: prompt %q and %q have %d tokens or more, the model's context holds %d", text, word, len(all), context)
				}
				if len(all) <= n || !slices.Equal(token.IDs(all[:n]), token.IDs(p.tokens)) {
					return fmt.Errorf("experiment: feelings: with %q behind it, prompt %q has other tokens than by itself", word, text)
				}
				p.words = append(p.words, all[n:])
			}
		}
		f.prompts = append(f.prompts, p)
	}
	return nil
}

// run measures all directions at all strengths.
func (f *feeler) run(ctx context.Context) error {
	var err error
	if f.base, err = f.odds(ctx, nil); err != nil {
		return err
	}
	last := len(f.o.Strengths) - 1
	for i, e := range f.emotions {
		name := f.v.Emotions[e]
		got, err := f.sweep(ctx, steer.Plan{Emotion: name})
		if err != nil {
			return err
		}
		x := FeelingEmotion{Emotion: name, Words: f.o.Words[name], Controls: map[string]FeelingControl{}}
		for s := range got {
			x.Curve = append(x.Curve, meanOver(got[s])[i])
		}
		x.Effect = x.Curve[last] - x.Curve[0]
		for p := range f.prompts {
			x.PromptEffects = append(x.PromptEffects, got[last][p][i]-got[0][p][i])
		}
		low, high := meanOver(got[0]), meanOver(got[last])
		for k := range f.emotions {
			x.Effects = append(x.Effects, high[k]-low[k])
		}
		f.effects = append(f.effects, x.Effects)
		f.out.Emotions = append(f.out.Emotions, x)
	}
	for _, kind := range f.o.Controls {
		for i, d := range f.controls[string(kind)] {
			got, err := f.sweep(ctx, steer.Plan{Emotion: fmt.Sprintf("random-%d", i+1), Direction: d})
			if err != nil {
				return err
			}
			var means [][]float64
			for s := range got {
				means = append(means, meanOver(got[s]))
			}
			f.random[string(kind)] = append(f.random[string(kind)], means)
		}
	}
	return nil
}

// meanOver is the mean over prompts of [prompts][emotions].
func meanOver(rows [][]float64) []float64 {
	m := make([]float64, len(rows[0]))
	for _, r := range rows {
		for i, x := range r {
			m[i] += x
		}
	}
	for i := range m {
		m[i] /= float64(len(rows))
	}
	return m
}

// sweep gives the log-odds along a plan's direction: [strengths][prompts][emotions].
func (f *feeler) sweep(ctx context.Context, plan steer.Plan) ([][][]float64, error) {
	var out [][][]float64
	for _, s := range f.o.Strengths {
		if s == 0 {
			out = append(out, f.base)
			continue
		}
		plan.Strength, plan.Sites = s, []string{f.site.String()}
		in, err := steer.New(f.runner.Model(), []steer.Plan{plan}, steer.From(f.v), steer.Options{Form: f.o.Form})
		if err != nil {
			return nil, fmt.Errorf("experiment: feelings: %w", err)
		}
		got, err := f.odds(ctx, in.Hooks())
		if err != nil {
			return nil, err
		}
		out = append(out, got)
	}
	return out, nil
}

// maxFeelingLogits bounds the memory for logits of one pass: 64 MiB.
const maxFeelingLogits = 16 << 20

// odds gives the log-odds of each emotion's words behind each prompt:
// [prompts][emotions].
func (f *feeler) odds(ctx context.Context, hooks []*llama.Hook) ([][]float64, error) {
	logs, err := f.logProbabilities(ctx, hooks)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(f.prompts))
	for p, words := range logs {
		for e := range f.emotions {
			var own, others []float64
			for w, l := range words {
				if f.of[w] == e {
					own = append(own, l)
				} else {
					others = append(others, l)
				}
			}
			out[p] = append(out[p], logSum(own)-logSum(others))
		}
	}
	f.runs++
	if f.o.Progress != nil {
		f.o.Progress(f.runs, f.total)
	}
	return out, nil
}

// logProbabilities gives, for each prompt and word, the sum of the
// log-probabilities of the word's tokens: [prompts][words].
func (f *feeler) logProbabilities(ctx context.Context, hooks []*llama.Hook) ([][]float64, error) {
	logs := make([][]float64, len(f.prompts))
	b := feelingBatch{runner: f.runner, hooks: hooks, limit: max(1, maxFeelingLogits/f.runner.Model().Config().Vocabulary)}
	prefixes := make([]*llama.Sequence, len(f.prompts))
	for i := range prefixes {
		prefixes[i] = f.runner.NewSequence()
		defer prefixes[i].Close()
	}
	// The prompts, and the first tokens of all words.
	for i := range f.prompts {
		p := &f.prompts[i]
		logs[i] = make([]float64, len(p.words))
		err := b.add(ctx, llama.Span{Seq: prefixes[i], Tokens: p.tokens, Logits: llama.LastLogits}, 1, func(rows []logitRow) {
			for w, tokens := range p.words {
				logs[i][w] = rows[0].of(tokens[0])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	// The further tokens of longer words, each behind a copy of its prompt.
	for i := range f.prompts {
		for w, t := range f.prompts[i].words {
			if len(t) == 1 {
				continue
			}
			fork := prefixes[i].Fork()
			defer fork.Close()
			err := b.add(ctx, llama.Span{Seq: fork, Tokens: t[:len(t)-1], Logits: llama.AllLogits}, len(t)-1, func(rows []logitRow) {
				for k := range rows {
					logs[i][w] += rows[k].of(t[k+1])
				}
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return logs, b.flush(ctx)
}

// A feelingBatch runs spans together, as many as there is room for logits.
type feelingBatch struct {
	runner *llama.Runner
	hooks  []*llama.Hook
	limit  int // rows of logits
	spans  []llama.Span
	rows   []int
	then   []func(rows []logitRow)
	size   int
	buf    []float32
}

// add appends a span that gives n rows of logits, with what is done with them.
func (b *feelingBatch) add(ctx context.Context, s llama.Span, n int, then func(rows []logitRow)) error {
	if b.size > 0 && b.size+n > b.limit {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.spans, b.rows, b.then, b.size = append(b.spans, s), append(b.rows, n), append(b.then, then), b.size+n
	return nil
}

func (b *feelingBatch) flush(ctx context.Context) error {
	if len(b.spans) == 0 {
		return nil
	}
	if err := b.runner.Forward(ctx, &llama.Pass{Spans: b.spans, Hooks: b.hooks}); err != nil {
		return err
	}
	for i, then := range b.then {
		rows := make([]logitRow, b.rows[i])
		for k := range rows {
			rows[k].logits = b.runner.LogitsAt(i, k)
			// In float32, which is exact enough and the same everywhere.
			b.buf = append(b.buf[:0], rows[k].logits...)
			top := asm.Max(b.buf)
			rows[k].sum = float64(top) + math.Log(float64(asm.ExpSum(b.buf, 1, top)))
		}
		then(rows)
	}
	b.spans, b.rows, b.then, b.size = b.spans[:0], b.rows[:0], b.then[:0], 0
	return nil
}

// A logitRow is logits with the logarithm of the sum of their exponentials.
type logitRow struct {
	logits []float32
	sum    float64
}

// of is the log-probability of a token.
func (r *logitRow) of(t token.Token) float64 { return float64(r.logits[t.ID]) - r.sum }

// logSum is ln of the sum of exponentials.
func logSum(logs []float64) float64 {
	most := slices.Max(logs)
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - most)
	}
	return most + math.Log(sum)
}

// finish compares the emotions with the controls.
func (f *feeler) finish() {
	out, last := &f.out, len(f.o.Strengths)-1
	largest := map[string][]float64{} // by kind, of each emotion
	for kind, directions := range f.random {
		for e := range out.Emotions {
			x := &out.Emotions[e]
			var c FeelingControl
			for _, d := range directions {
				curve := make([]float64, len(d))
				for s := range d {
					curve[s] = d[s][e]
				}
				effect := curve[last] - curve[0]
				c.Curves, c.Effects = append(c.Curves, curve), append(c.Effects, effect)
				c.Largest = max(c.Largest, math.Abs(effect))
			}
			c.Pass = x.Effect > c.Largest
			x.Controls[kind] = c
			largest[kind] = append(largest[kind], c.Largest)
		}
	}
	for e := range out.Emotions {
		x := &out.Emotions[e]
		x.Pass = x.Controls[out.Control].Pass
		if x.Effect > 0 {
			out.Risen++
		}
	}
	n := len(out.Emotions)
	out.RisenP = coins(n, out.Risen)
	for _, kind := range f.o.Controls {
		out.Counts[string(kind)] = f.count(largest[string(kind)])
	}
	out.FeelingCount = out.Counts[out.Control]
}

// count counts passes, with the vectors where they belong and dealt at random.
// An emotion's effect must exceed its element of largest.
func (f *feeler) count(largest []float64) FeelingCount {
	n := len(largest)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	passes := func() int {
		k := 0
		for e, v := range order {
			if f.effects[v][e] > largest[e] {
				k++
			}
		}
		return k
	}
	c := FeelingCount{Passes: passes(), Chance: float64(n) / float64(2*(f.o.Random+1))}
	src := rand.NewPCG(f.o.Seed, 1<<32) // away from the streams of the directions
	reached, sum := 0, 0
	for range f.o.Permutations {
		for i := n - 1; i > 0; i-- {
			j, _ := bits.Mul64(src.Uint64(), uint64(i)+1)
			order[i], order[j] = order[j], order[i]
		}
		k := passes()
		sum += k
		if k >= c.Passes {
			reached++
		}
	}
	c.Dealt = float64(sum) / float64(max(1, f.o.Permutations))
	c.P = float64(reached+1) / float64(f.o.Permutations+1)
	return c
}

// coins is the probability of k heads or more in n throws.
func coins(n, k int) float64 {
	p, ways := 0.0, 1.0
	for i := 0; i <= n; i++ {
		if i >= k {
			p += ways
		}
		ways *= float64(n-i) / float64(i+1)
	}
	return p / math.Pow(2, float64(n))
}
