package experiment

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// fourStories are of emotions 0, 1, 1, 2 on two topics; emotions 0 and 1 are
// of family 0, emotion 2 of family 1.
func fourStories() *labels {
	return &labels{
		emotion: []int{0, 1, 1, 2}, topic: []int{0, 0, 1, 1}, topics: 2,
		emotions: 3, family: []int{0, 0, 1}, families: 3,
	}
}

func TestFigures(t *testing.T) {
	l := fourStories()
	w, err := evaluate(l, newDraws(l, 0, 200, 200), [][]float64{
		{3, 2, 1}, // own emotion first
		{3, 2, 1}, // second, of the same family
		{1, 2, 3}, // second, of the other family
		{3, 2, 1}, // third
	})
	require.NoError(t, err)
	f := w.score.Figures
	require.InDelta(t, 0.25, f.Top1, 1e-15)
	require.InDelta(t, 1, f.Top5, 1e-15)
	require.InDelta(t, (1+0.5+0.5+1.0/3)/4, f.MRR, 1e-15)
	// Two of three stories of family 0, none of family 1; family 2 has no
	// stories. Not weighted by stories, which would give 1/2.
	require.InDelta(t, (2.0/3+0)/2, f.Family, 1e-15)
	// Topic 0 has one of two right, topic 1 none: draws give 1/2, 1/4 or 0.
	require.Equal(t, Interval{0, 0.5}, w.score.Intervals.Top1)
	// Drawing topic 0 alone leaves family 0 alone, all of it right.
	require.Equal(t, Interval{0, 1}, w.score.Intervals.Family)
}

func TestTies(t *testing.T) {
	r, err := rank([][]float64{{1, 2, 2, 0}, {0, 0, 0, 0}})
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, r.first)
	require.Equal(t, []int32{3, 1, 2, 4, 1, 2, 3, 4}, r.ranks)
	_, err = rank([][]float64{{1, math.NaN()}})
	require.ErrorContains(t, err, "story 0")
}

func TestFamilyWithoutMembers(t *testing.T) {
	l := fourStories()
	l.family = []int{-1, -1, -1}
	w, err := evaluate(l, newDraws(l, 0, 10, 10), [][]float64{{3, 2, 1}, {3, 2, 1}, {3, 2, 1}, {3, 2, 1}})
	require.NoError(t, err)
	require.Zero(t, w.score.Family, "neither a hit nor a division by zero")
}

// square makes labels of so many emotions, each once on each topic, in
// families of four.
func square(emotions, topics int) *labels {
	l := &labels{topics: topics, emotions: emotions, families: (emotions + 3) / 4}
	for e := range emotions {
		l.family = append(l.family, e/4)
		for k := range topics {
			l.emotion, l.topic = append(l.emotion, e), append(l.topic, k)
		}
	}
	return l
}

// guess gives random scores, in which the right emotion gets a bonus.
func guess(l *labels, rng *rand.Rand, bonus func(story int) float64) [][]float64 {
	scores := make([][]float64, len(l.emotion))
	for i, e := range l.emotion {
		for range l.emotions {
			scores[i] = append(scores[i], rng.Float64())
		}
		scores[i][e] += bonus(i)
	}
	return scores
}

func TestPermutations(t *testing.T) {
	l := square(12, 5)
	d := newDraws(l, 7, 10, 199)
	w, err := evaluate(l, d, guess(l, rand.New(rand.NewPCG(1, 1)), func(int) float64 { return 1 }))
	require.NoError(t, err)
	require.Equal(t, Figures{1, 1, 1, 1}, w.score.Figures)
	require.Equal(t, Figures{1.0 / 200, 1.0 / 200, 1.0 / 200, 1.0 / 200}, w.score.P)
	require.InDelta(t, 1.0/3, w.score.FamilyChance, 0.02, "three families of four")
	require.Less(t, w.score.FamilyChanceInterval[0], 1.0/3)
	require.Greater(t, w.score.FamilyChanceInterval[1], 1.0/3)

	// One answer for everything gets one family right, whatever the labels:
	// every permutation reaches it.
	one := make([][]float64, len(l.emotion))
	for i := range one {
		one[i] = make([]float64, l.emotions)
		one[i][5] = 1
	}
	w, err = evaluate(l, d, one)
	require.NoError(t, err)
	require.InDelta(t, 1.0/3, w.score.Family, 1e-12)
	require.Equal(t, 1.0, w.score.P.Family)
	require.InDelta(t, 1.0/3, w.score.FamilyChance, 1e-12)
}

// TestPermutationLevel: guesses without knowledge are significant at 5 % in
// about 5 % of cases.
func TestPermutationLevel(t *testing.T) {
	l := square(12, 5)
	d := newDraws(l, 3, 1, 99)
	rng := rand.New(rand.NewPCG(4, 4))
	const runs = 400
	below, mean := 0.0, 0.0
	for range runs {
		w, err := evaluate(l, d, guess(l, rng, func(int) float64 { return 0 }))
		require.NoError(t, err)
		if w.score.P.MRR <= 0.05 {
			below++
		}
		mean += w.score.Top1 / runs
	}
	require.InDelta(t, 0.05, below/runs, 0.033, "three standard errors")
	require.InDelta(t, 1.0/12, mean, 0.01)
}

// TestBootstrapCoverage: intervals hold the true figure about as often as they
// claim with many topics, and less often with six, as Identify says.
func TestBootstrapCoverage(t *testing.T) {
	coverage := func(topics int) float64 {
		l := square(8, topics)
		d := newDraws(l, 5, 400, 0)
		rng := rand.New(rand.NewPCG(6, uint64(topics)))
		const runs = 300
		held := 0.0
		for range runs {
			// Topics differ in how hard they are; the right emotion wins
			// with a chance that is 1/2 on average.
			ease := make([]float64, topics)
			for k := range ease {
				ease[k] = 0.2 + 0.6*rng.Float64()
			}
			w, err := evaluate(l, d, guess(l, rng, func(i int) float64 {
				if rng.Float64() < ease[l.topic[i]] {
					return 1
				}
				return -1
			}))
			require.NoError(t, err)
			if iv := w.score.Intervals.Top1; iv[0] <= 0.5 && 0.5 <= iv[1] {
				held++
			}
		}
		return held / runs
	}
	require.InDelta(t, 0.94, coverage(40), 0.045)
	require.InDelta(t, 0.86, coverage(6), 0.06)
}

func TestPairedDifferences(t *testing.T) {
	l := square(8, 10)
	rng := rand.New(rand.NewPCG(9, 9))
	d := newDraws(l, 1, 500, 20)
	// Hard topics are hard for both, so that the difference varies less than
	// either side.
	hard := func(bonus float64) [][]float64 {
		return guess(l, rng, func(i int) float64 { return bonus - 0.15*float64(l.topic[i]) })
	}
	a, err := evaluate(l, d, hard(1))
	require.NoError(t, err)
	b, err := evaluate(l, d, hard(0.7))
	require.NoError(t, err)
	diff := a.minus(b)
	require.InDelta(t, a.score.Top1-b.score.Top1, diff.Top1, 1e-15)
	require.InDelta(t, a.score.Family-b.score.Family, diff.Family, 1e-15)
	wide := func(i Interval) float64 { return i[1] - i[0] }
	require.Less(t, wide(diff.Intervals.Top1), wide(a.score.Intervals.Top1))
	require.Greater(t, wide(diff.Intervals.Top1), 0.0)
	same := a.minus(a)
	require.Equal(t, Difference{Figures{}, &Intervals{}}, same)
	back := b.minus(a)
	require.InDelta(t, -diff.Intervals.Top5[1], back.Intervals.Top5[0], 1e-12)
}

func TestSeeds(t *testing.T) {
	l := square(8, 6)
	scores := guess(l, rand.New(rand.NewPCG(1, 2)), func(int) float64 { return 0.3 })
	score := func(seed uint64) Score {
		w, err := evaluate(l, newDraws(l, seed, 300, 300), scores)
		require.NoError(t, err)
		return w.score
	}
	require.Equal(t, score(1), score(1))
	other := score(2)
	require.Equal(t, score(1).Figures, other.Figures)
	require.NotEqual(t, score(1).FamilyChance, other.FamilyChance)
	// How many permutations there are does not change the bootstrap.
	w, err := evaluate(l, newDraws(l, 1, 300, 10), scores)
	require.NoError(t, err)
	require.Equal(t, score(1).Intervals, w.score.Intervals)
}

func TestOneTopic(t *testing.T) {
	l := square(8, 1)
	w, err := evaluate(l, newDraws(l, 0, 100, 10), guess(l, rand.New(rand.NewPCG(1, 2)), func(int) float64 { return 0 }))
	require.NoError(t, err)
	require.Nil(t, w.score.Intervals)
	require.Nil(t, w.minus(w).Intervals)
}

func TestInterval(t *testing.T) {
	x := make([]float64, 101)
	for i := range x {
		x[i] = float64(100 - i)
	}
	got := interval(x)
	require.InDeltaSlice(t, []float64{2.5, 97.5}, got[:], 1e-12)
	require.Equal(t, Interval{4, 4}, interval([]float64{4}))
}

func TestHarmonic(t *testing.T) { require.InDelta(t, 1+0.5+1.0/3+0.25, harmonic(4), 1e-15) }
