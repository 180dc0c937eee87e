package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Figures are what identification is measured by.
type Figures struct {
	// Top1 is the share of stories whose own emotion has the highest score,
	// and Top5 the share where it is among the five highest. Of equal scores
	// the one of the emotion that is listed first is higher.
	Top1 float64 `json:"top1"`
	Top5 float64 `json:"top5"`
	// MRR is the mean of 1/rank of the story's own emotion.
	MRR float64 `json:"mrr"`
	// Family is the share of stories for which the emotion with the highest
	// score is of the story's family, averaged over the families that have
	// stories. Stories of emotions without a family don't count; where there
	// is no other it is 0.
	Family float64 `json:"family"`
}

// An Interval holds 95 % of a distribution: from its 2.5th to its 97.5th
// percentile.
type Interval [2]float64

// Intervals are one for each figure.
type Intervals struct {
	Top1   Interval `json:"top1"`
	Top5   Interval `json:"top5"`
	MRR    Interval `json:"mrr"`
	Family Interval `json:"family"`
}

// list gives the figures in a fixed order.
func (f Figures) list() [4]float64 { return [4]float64{f.Top1, f.Top5, f.MRR, f.Family} }

func figuresOf(x [4]float64) Figures { return Figures{x[0], x[1], x[2], x[3]} }

// A Score says how well one way of reading or classifying finds the emotions
// of the test stories.
type Score struct {
	Figures
	// Intervals are from a bootstrap over topics; nil where there are fewer
	// than two topics to draw from.
	Intervals *Intervals `json:"intervals"`
	// FamilyChance and FamilyChanceInterval are the mean of Family, and where
	// 95 % of it lies, when the stories' labels are permuted.
	FamilyChance         float64  `json:"family_chance"`
	FamilyChanceInterval Interval `json:"family_chance_interval"`
	// P is, for each figure, (k+1)/(N+1), with k the number of N permutations
	// of labels that reach it.
	P Figures `json:"p"`
}

// A Difference compares two ways on the same stories.
type Difference struct {
	Figures
	// Intervals are from the bootstrap over topics, the same topics drawn for
	// both sides; nil where there are fewer than two topics.
	Intervals *Intervals `json:"intervals"`
}

// labels says what the test stories are.
type labels struct {
	emotion  []int // of each story
	topic    []int
	topics   int
	emotions int
	family   []int // of each emotion; -1 where it has none
	families int
}

// A ranking is the order in which a way puts the emotions for each story.
type ranking struct {
	first []int   // of each story: the emotion with the highest score
	ranks []int32 // [stories, emotions]: rank of each, from 1
}

// rank orders the scores of each story.
func rank(scores [][]float64) (ranking, error) {
	var r ranking
	for i, row := range scores {
		order := make([]int, len(row))
		for e, x := range row {
			if math.IsNaN(x) {
				return r, fmt.Errorf("experiment: story %d has a score that is not a number", i)
			}
			order[e] = e
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case row[a] > row[b]:
				return -1
			case row[a] < row[b]:
				return 1
			}
			return 0
		})
		at := len(r.ranks)
		r.ranks = append(r.ranks, make([]int32, len(row))...)
		for k, e := range order {
			r.ranks[at+e] = int32(k + 1)
		}
		r.first = append(r.first, order[0])
	}
	return r, nil
}

// A tally counts what figures are made of.
type tally struct {
	n, top1, top5, rr float64
	hits, of          []float64 // per family
}

func newTally(families int) tally {
	return tally{hits: make([]float64, families), of: make([]float64, families)}
}

// add counts a story that is labelled as of emotion e.
func (t *tally) add(l *labels, r *ranking, story, e int) {
	rank := r.ranks[story*l.emotions+e]
	t.n++
	if rank == 1 {
		t.top1++
	}
	if rank <= 5 {
		t.top5++
	}
	t.rr += 1 / float64(rank)
	if f := l.family[e]; f >= 0 {
		t.of[f]++
		if l.family[r.first[story]] == f {
			t.hits[f]++
		}
	}
}

func (t *tally) merge(u *tally) {
	t.n += u.n
	t.top1 += u.top1
	t.top5 += u.top5
	t.rr += u.rr
	for f := range t.of {
		t.of[f] += u.of[f]
		t.hits[f] += u.hits[f]
	}
}

func (t *tally) figures() Figures {
	n := max(t.n, 1)
	f := Figures{Top1: t.top1 / n, Top5: t.top5 / n, MRR: t.rr / n}
	families := 0.0
	for k, of := range t.of {
		if of > 0 {
			families++
			f.Family += t.hits[k] / of
		}
	}
	f.Family /= max(families, 1)
	return f
}

// draws are the random choices that all ways of one result share, so that
// their differences are paired.
type draws struct {
	topics [][]int // of each bootstrap draw: topics, with replacement
	labels [][]int // of each permutation: the emotion of each story
}

// newDraws draws. Generators of their own make bootstrap and permutations
// independent of each other's number.
func newDraws(l *labels, seed uint64, bootstrap, permutations int) *draws {
	d := &draws{}
	if l.topics > 1 {
		rng := rand.New(rand.NewPCG(seed, 1))
		for range bootstrap {
			draw := make([]int, l.topics)
			for i := range draw {
				draw[i] = rng.IntN(l.topics)
			}
			d.topics = append(d.topics, draw)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	for range permutations {
		p := slices.Clone(l.emotion)
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
		d.labels = append(d.labels, p)
	}
	return d
}

// A way is a way of finding emotions that has been scored.
type way struct {
	ranking ranking
	score   Score
	perTop  []tally      // per topic
	drawn   [][4]float64 // figures of each bootstrap draw
}

// evaluate scores a way of finding emotions.
func evaluate(l *labels, d *draws, scores [][]float64) (*way, error) {
	r, err := rank(scores)
	if err != nil {
		return nil, err
	}
	w := &way{ranking: r}
	for range l.topics {
		w.perTop = append(w.perTop, newTally(l.families))
	}
	all := newTally(l.families)
	for i, e := range l.emotion {
		w.perTop[l.topic[i]].add(l, &r, i, e)
	}
	for k := range w.perTop {
		all.merge(&w.perTop[k])
	}
	w.score.Figures = all.figures()

	for _, draw := range d.topics {
		t := newTally(l.families)
		for _, k := range draw {
			t.merge(&w.perTop[k])
		}
		w.drawn = append(w.drawn, t.figures().list())
	}
	w.score.Intervals = intervals(w.drawn)

	observed := w.score.list()
	var reached [4]float64
	var family []float64
	for _, permuted := range d.labels {
		t := newTally(l.families)
		for i, e := range permuted {
			t.add(l, &r, i, e)
		}
		f := t.figures()
		family = append(family, f.Family)
		for k, x := range f.list() {
			// Equal counts may differ by rounding, since they add up in
			// another order.
			if x >= observed[k]-1e-12 {
				reached[k]++
			}
		}
	}
	n := float64(len(d.labels))
	for k := range reached {
		reached[k] = (reached[k] + 1) / (n + 1)
	}
	w.score.P = figuresOf(reached)
	for _, x := range family {
		w.score.FamilyChance += x / n
	}
	w.score.FamilyChanceInterval = interval(family)
	return w, nil
}

// minus compares two ways.
func (w *way) minus(v *way) Difference {
	a, b := w.score.list(), v.score.list()
	for k := range a {
		a[k] -= b[k]
	}
	drawn := make([][4]float64, len(w.drawn))
	for i := range drawn {
		for k := range drawn[i] {
			drawn[i][k] = w.drawn[i][k] - v.drawn[i][k]
		}
	}
	return Difference{figuresOf(a), intervals(drawn)}
}

// intervals are those of each figure over bootstrap draws; nil without draws.
func intervals(drawn [][4]float64) *Intervals {
	if len(drawn) == 0 {
		return nil
	}
	var out [4]Interval
	column := make([]float64, len(drawn))
	for k := range out {
		for i := range drawn {
			column[i] = drawn[i][k]
		}
		out[k] = interval(column)
	}
	return &Intervals{out[0], out[1], out[2], out[3]}
}

// interval is the 2.5th and the 97.5th percentile, with linear interpolation
// between order statistics: the percentile p of n sorted values stands at
// index p·(n−1).
func interval(x []float64) Interval {
	if len(x) == 0 {
		return Interval{}
	}
	s := slices.Sorted(slices.Values(x))
	at := func(p float64) float64 {
		pos := p * float64(len(s)-1)
		i := min(int(pos), len(s)-1)
		j := min(i+1, len(s)-1)
		return s[i] + (pos-float64(i))*(s[j]-s[i])
	}
	return Interval{at(0.025), at(0.975)}
}

// harmonic is 1 + 1/2 + … + 1/n.
func harmonic(n int) float64 {
	h := 0.0
	for k := n; k > 0; k-- {
		h += 1 / float64(k)
	}
	return h
}
