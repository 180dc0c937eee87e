package experiment

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// A selection is the stories that vectors are formed from.
type selection struct {
	emotion, hand []int // of each story; emotions of the vectors, hands of the sidecar
	row           []int // in the sidecar, or in the corpus where there is none
	hands         int   // 1 if nothing is centred within hands
}

// AllTopics, alone in GeometryOptions.UnseenTopics, stands for every topic.
const AllTopics = "all"

// chooseTopics checks the topics asked for and states what is used.
func (g *geometer) chooseTopics() error {
	o, known := &g.opts, g.v.Provenance.Topics
	find := func(what string, names []string) ([]string, error) {
		var out []string
		for _, name := range names {
			i := slices.Index(known, name)
			if i < 0 {
				return nil, fmt.Errorf("experiment: %s: the vectors were not built from stories on %q; they were from %s", what, name, strings.Join(known, ", "))
			}
			out = append(out, known[i])
		}
		return out, nil
	}
	wanted, err := find("topics", o.Topics)
	if err != nil {
		return err
	}
	excluded, err := find("topics to exclude", o.ExcludeTopics)
	if err != nil {
		return err
	}
	unseen := known
	if !slices.Equal(o.UnseenTopics, []string{AllTopics}) {
		if unseen, err = find("unseen topics", o.UnseenTopics); err != nil {
			return err
		}
	}
	var used []string
	for _, t := range known {
		if (len(wanted) == 0 || slices.Contains(wanted, t)) && !slices.Contains(excluded, t) {
			used = append(used, t)
		}
	}
	if len(used) == 0 {
		return fmt.Errorf("experiment: no topic is left of the %d that the vectors were built from", len(known))
	}
	g.out.Topics = used
	for _, t := range used {
		g.out.InSample = g.out.InSample || !slices.Contains(unseen, t)
	}
	if len(used) == len(known) {
		return nil
	}
	if g.sidecar == nil {
		return fmt.Errorf("experiment: vectors of %d of %d topics need the stories' means: the file that was written beside the vectors, %s", len(used), len(known), "*.stories.safetensors")
	}
	if g.sidecar.Site != g.site.Site {
		return fmt.Errorf("experiment: vectors of %d of %d topics can be formed at %v only, where the stories' means are, not at %v", len(used), len(known), g.sidecar.Site, g.site.Site)
	}
	return nil
}

// form gives the vectors that are measured.
func (g *geometer) form() error {
	if g.sidecar != nil && g.sidecar.Site == g.site.Site {
		if err := g.selectStories(); err != nil {
			return err
		}
	}
	for e, name := range g.v.Emotions {
		if g.stories.row == nil || slices.Contains(g.stories.emotion, e) {
			g.keep = append(g.keep, e)
			g.out.Emotions = append(g.out.Emotions, name)
		} else {
			g.out.Missing = append(g.out.Missing, name)
		}
	}
	vectors, width := g.site.ByForm[g.opts.Form], g.v.Width
	rows := g.keep
	if len(g.out.Topics) < len(g.v.Provenance.Topics) {
		s := &probe.Samples{
			Site: g.site.Site, Width: width, Emotions: len(g.keep), Hands: g.stories.hands,
			Emotion: g.compact(g.stories.emotion), Hand: g.stories.hand, Basis: append([]float32{}, g.site.Basis...),
		}
		for _, at := range g.stories.row {
			s.Means = append(s.Means, g.sidecar.Means[at*width:][:width]...)
		}
		sv, err := s.Derive()
		if err != nil {
			return err
		}
		vectors = sv.ByForm[g.opts.Form]
		g.out.Stories = len(s.Emotion)
		rows = make([]int, len(g.keep))
		for i := range rows {
			rows[i] = i
		}
	}
	for _, e := range rows {
		g.rows = append(g.rows, vectors[e*width:][:width])
	}
	return nil
}

// compact counts emotions of the vectors by their place among those kept.
func (g *geometer) compact(emotions []int) []int {
	out := make([]int, len(emotions))
	for i, e := range emotions {
		out[i] = slices.Index(g.keep, e)
	}
	return out
}

// selectStories finds the sidecar's stories on the topics used. They are
// centred within hands if the vectors were and the choice of topics allows it.
func (g *geometer) selectStories() error {
	f := g.sidecar
	var c emotion.Corpus
	for i, t := range f.Topic {
		if slices.Contains(g.out.Topics, f.Topics[t]) {
			g.stories.row = append(g.stories.row, i)
			g.stories.emotion = append(g.stories.emotion, f.Emotion[i])
			g.stories.hand = append(g.stories.hand, f.Writer[i])
			c.Stories = append(c.Stories, emotion.Story{Emotion: f.Emotions[f.Emotion[i]], Topic: f.Topics[t], Writer: f.Writers[f.Writer[i]]})
		}
	}
	if len(c.Stories) == 0 {
		return fmt.Errorf("experiment: the file of story means has no story on %s", strings.Join(g.out.Topics, ", "))
	}
	g.stories.hands = 1
	if g.v.Provenance.Hands && len(probe.CentringHands(&c)) > 0 {
		g.stories.hands = len(f.Writers)
	} else {
		clear(g.stories.hand)
		g.out.Hands = false
	}
	return nil
}

// texts gives the stories of the corpus that the vectors are formed from, with
// their emotions among those kept and their hands.
func (g *geometer) texts() (texts []string, emotions, hands []int, count int) {
	c := g.opts.Corpus
	names := append([]string{""}, c.Writers()...)
	add := func(at, e int) {
		texts = append(texts, c.Stories[at].Text)
		emotions = append(emotions, e)
		hands = append(hands, slices.Index(names, c.Stories[at].Writer))
	}
	if g.stories.row != nil {
		for i, e := range g.compact(g.stories.emotion) {
			add(g.sidecar.Index[g.stories.row[i]], e)
		}
	} else {
		for i := range c.Stories {
			if e := slices.Index(g.out.Emotions, c.Stories[i].Emotion); e >= 0 {
				add(i, e)
			}
		}
	}
	count = 1
	if g.out.Hands {
		count = len(names)
	} else {
		clear(hands)
	}
	return texts, emotions, hands, count
}

// classMeans averages rows by class, each minus the mean of its hand: add adds
// row i, times a weight, to dst. With one hand nothing is subtracted but the
// mean of all, which makes no difference to components.
func classMeans(class, hand []int, classes, hands, width int, add func(i int, weight float64, dst []float64)) [][]float64 {
	ofHand := make([]float64, hands)
	of := make([]float64, classes)
	for i, c := range class {
		ofHand[hand[i]]++
		of[c]++
	}
	handMeans := make([][]float64, hands)
	for h := range handMeans {
		handMeans[h] = make([]float64, width)
	}
	for i, h := range hand {
		add(i, 1/ofHand[h], handMeans[h])
	}
	out := make([][]float64, classes)
	share := make([][]float64, classes)
	for c := range out {
		out[c], share[c] = make([]float64, width), make([]float64, hands)
	}
	for i, c := range class {
		add(i, 1/of[c], out[c])
		share[c][hand[i]] += 1 / of[c]
	}
	for c := range out {
		for h, s := range share[c] {
			for j, x := range handMeans[h] {
				out[c][j] -= float64(s * x)
			}
		}
	}
	return out
}

// dense adds rows that are given in full.
func dense(rows [][]float64) func(i int, weight float64, dst []float64) {
	return func(i int, weight float64, dst []float64) {
		for j, x := range rows[i] {
			dst[j] += float64(weight * x)
		}
	}
}

// baselines measures what words, style and token embeddings of the same
// stories give.
func (g *geometer) baselines(ctx context.Context) error {
	if g.opts.Corpus == nil {
		return nil
	}
	texts, class, hand, hands := g.texts()
	classes := len(g.out.Emotions)
	for c, name := range g.out.Emotions {
		if !slices.Contains(class, c) {
			return fmt.Errorf("experiment: the corpus has no story of %q", name)
		}
	}
	for k, name := range []string{BaseTFIDF, BaseFunctionWords, BaseForm} {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.progress("baselines", k, 3)
		var vectors [][]float64
		if name == BaseTFIDF {
			t := newTFIDF(texts, make([]int, len(texts)), 1)
			vectors = classMeans(class, hand, classes, hands, len(t.idf), func(i int, weight float64, dst []float64) {
				at, w := t.weights(texts[i])
				for j, word := range at {
					dst[word] += float64(weight * w[j])
				}
			})
		} else {
			features := functionWordRates
			if name == BaseForm {
				features = form
			}
			rows := make([][]float64, len(texts))
			for i, t := range texts {
				rows[i] = features(t)
			}
			s := fitScaling(rows)
			for i := range rows {
				rows[i] = s.apply(rows[i])
			}
			vectors = classMeans(class, hand, classes, hands, len(rows[0]), dense(rows))
		}
		if err := g.addBaseline(name, gramOf(centredRows(vectors))); err != nil {
			return err
		}
	}
	g.progress("baselines", 3, 3)
	if g.opts.Runner == nil {
		return nil
	}
	return g.embeddings(ctx, texts, class, hand, hands)
}

// centredRows subtracts the mean of the rows, as vectors have none.
func centredRows(rows [][]float64) [][]float64 {
	for j := range rows[0] {
		mean := 0.0
		for i := range rows {
			mean += rows[i][j] / float64(len(rows))
		}
		for i := range rows {
			rows[i][j] -= mean
		}
	}
	return rows
}

func (g *geometer) addBaseline(name string, m gram) error {
	got, err := g.measureGram(m)
	if err != nil {
		return fmt.Errorf("%w (baseline %q)", err, name)
	}
	g.out.Baselines[name] = got.figures
	g.out.Paired[name] = g.whole.minus(got)
	return nil
}

// embeddings measures the vectors that the recipe finds in the model's token
// embeddings.
func (g *geometer) embeddings(ctx context.Context, texts []string, class, hand []int, hands int) error {
	r, p := g.opts.Runner, &g.v.Provenance
	m := r.Model()
	sum, err := m.SHA256(ctx)
	if err != nil {
		return err
	}
	if err := g.v.CheckModel(sum, m.Tokenizer().Hash(), m.Config().Width); err != nil {
		return err
	}
	s := &probe.Samples{
		Site: embeddings, Width: g.v.Width, Emotions: len(g.out.Emotions), Hands: hands, Threshold: p.Threshold,
	}
	var kept []probe.Text
	for i, text := range texts {
		if t := probe.Encode(m, text); len(t.Tokens)-t.Skip >= p.From {
			kept = append(kept, t)
			s.Emotion, s.Hand = append(s.Emotion, class[i]), append(s.Hand, hand[i])
		}
	}
	sites := []llama.Site{embeddings}
	means, err := poolTexts(ctx, r, p.From, "embeddings of stories", kept, sites, g.opts.Progress)
	if err != nil {
		return err
	}
	s.Means = slices.Concat(means...)
	if s.Neutral, err = poolTexts(ctx, r, p.From, "embeddings of neutral texts", neutralTexts(m, p, g.opts.Corpus), sites, g.opts.Progress); err != nil {
		return err
	}
	sv, err := s.Derive()
	if err != nil {
		return err
	}
	var rows [][]float32
	for e := range g.out.Emotions {
		rows = append(rows, sv.ByForm[g.opts.Form][e*g.v.Width:][:g.v.Width])
	}
	return g.addBaseline(BaseEmbeddings, gramOf(rows))
}

// controls measures vectors without emotion.
func (g *geometer) controls(ctx context.Context) error {
	n, width := len(g.rows), g.v.Width
	rng := rand.New(rand.NewPCG(g.opts.Seed, 15))
	err := g.control(ctx, ControlRandom, func() gram { return randomGram(n, width, rng) })
	if err != nil || g.stories.row == nil {
		return err
	}
	rng = rand.New(rand.NewPCG(g.opts.Seed, 16))
	labels := g.compact(g.stories.emotion)
	byHand := map[int][]int{}
	for i := range labels {
		// Labels are shuffled within hands, whether or not vectors are
		// centred by them.
		h := g.sidecar.Writer[g.stories.row[i]]
		byHand[h] = append(byHand[h], i)
	}
	hands, centring := g.stories.hands, g.stories.hand
	if !handsMatter(g.opts.Form) {
		hands, centring = 1, make([]int, len(labels))
	}
	add := func(i int, weight float64, dst []float64) {
		for j, x := range g.sidecar.Means[g.stories.row[i]*width:][:width] {
			dst[j] += float64(weight * float64(x))
		}
	}
	return g.control(ctx, ControlShuffled, func() gram {
		for h := range g.sidecar.Writers {
			at := byHand[h]
			rng.Shuffle(len(at), func(i, j int) { labels[at[i]], labels[at[j]] = labels[at[j]], labels[at[i]] })
		}
		rows := centredRows(classMeans(labels, centring, n, hands, width, add))
		if denoises(g.opts.Form) {
			for _, row := range rows {
				removeBasis(row, g.site.Basis)
			}
		}
		return gramOf(rows)
	})
}

// removeBasis takes from a row what lies along the orthonormal rows of basis.
func removeBasis(row []float64, basis []float32) {
	for b := range slices.Chunk(basis, len(row)) {
		along := 0.0
		for i, x := range b {
			along += float64(float64(x) * row[i])
		}
		for i, x := range b {
			row[i] -= float64(along * float64(x))
		}
	}
}

// control measures draws of vectors.
func (g *geometer) control(ctx context.Context, name string, draw func() gram) error {
	c := GeometryControl{Draws: g.opts.Draws, Best: map[string]float64{}, Best95: map[string]float64{}, P: map[string]float64{}}
	best := map[string][]float64{}
	for k := range g.opts.Draws {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.progress(name, k, g.opts.Draws)
		a, err := g.axesOf(draw())
		if err != nil {
			return fmt.Errorf("%w (control %q)", err, name)
		}
		for i, share := range a.shares() {
			if i == len(c.Explained) {
				c.Explained = append(c.Explained, 0)
			}
			c.Explained[i] += share / float64(g.opts.Draws)
		}
		for kind, r := range a.correlate(&g.rated.words) {
			if most := largest(r); !math.IsNaN(most) {
				best[kind] = append(best[kind], most)
			}
		}
	}
	for _, kind := range RatingKinds() {
		t := g.out.Tests[kind]
		if len(best[kind]) == 0 || t.Component == 0 {
			continue
		}
		c.Best[kind], c.Best95[kind] = mean(best[kind]), percentile95(best[kind])
		c.P[kind] = reached(best[kind], t.best())
	}
	g.out.Controls[name] = c
	g.progress(name, g.opts.Draws, g.opts.Draws)
	return nil
}

// randomGram draws the Gram matrix of n Gaussian vectors of a width without
// drawing all of them: turned so that each new vector needs but one more
// dimension, they form a triangular matrix with normal numbers below the
// diagonal and, on it, the root of what χ² gives for the dimensions that are
// left (Bartlett 1933).
func randomGram(n, width int, rng *rand.Rand) gram {
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, n)
		for j := range min(i, width) {
			rows[i][j] = rng.NormFloat64()
		}
		if i < width {
			sum := 0.0
			for range width - i {
				x := rng.NormFloat64()
				sum += float64(x * x)
			}
			rows[i][i] = math.Sqrt(sum)
		}
	}
	return gramOf(rows)
}
