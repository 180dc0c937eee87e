package llama

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func sampler(t testing.TB, s Sampling, stream uint64) *Sampler {
	t.Helper()
	x, err := NewSampler(s, stream)
	require.NoError(t, err)
	return x
}

// logs gives the logits of a distribution.
func logs(ps ...float64) []float32 {
	var ls []float32
	for _, p := range ps {
		ls = append(ls, float32(math.Log(p)))
	}
	return ls
}

func TestGreedy(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1}, 0},
		{[]float32{-3, -1, -2}, 1},
		{[]float32{1, 2, 2, 1}, 1}, // the lowest id among equals
		{[]float32{0, float32(math.Copysign(0, -1))}, 0},
		{[]float32{-inf, -5, -inf}, 1},
		{[]float32{-inf, -inf}, 0},
	} {
		require.Equal(t, c.want, sampler(t, Sampling{}, 0).Next(c.logits), c.logits)
		// The sorted path of the other options agrees.
		require.Equal(t, c.want, sampler(t, Sampling{RepeatPenalty: 2}, 0).Next(c.logits), c.logits)
		require.Equal(t, c.want, sampler(t, Sampling{Temperature: 1, TopK: 1}, 0).Next(c.logits), c.logits)
	}
}

// What each filter leaves of the distribution 0.2, 0.4, 0.1, 0.3.
func TestFilters(t *testing.T) {
	for name, c := range map[string]struct {
		s    Sampling
		want []int32
	}{
		"none":                        {Sampling{}, []int32{0, 1, 2, 3}},
		"top-k 1":                     {Sampling{TopK: 1}, []int32{1}},
		"top-k 3":                     {Sampling{TopK: 3}, []int32{0, 1, 3}},
		"top-k of more":               {Sampling{TopK: 9}, []int32{0, 1, 2, 3}},
		"top-p within the first":      {Sampling{TopP: 0.39}, []int32{1}},
		"top-p needs the second":      {Sampling{TopP: 0.41}, []int32{1, 3}},
		"top-p needs three":           {Sampling{TopP: 0.89}, []int32{0, 1, 3}},
		"top-p 1":                     {Sampling{TopP: 1}, []int32{0, 1, 2, 3}},
		"min-p":                       {Sampling{MinP: 0.49}, []int32{0, 1, 3}},
		"min-p between":               {Sampling{MinP: 0.51}, []int32{1, 3}},
		"min-p 1":                     {Sampling{MinP: 1}, []int32{1}},
		"top-p of what top-k left":    {Sampling{TopK: 2, TopP: 0.57}, []int32{1}}, // 0.4/0.7
		"top-p before temperature":    {Sampling{TopP: 0.39, Temperature: 100}, []int32{1}},
		"min-p before temperature":    {Sampling{MinP: 0.51, Temperature: 100}, []int32{1, 3}},
		"penalty before top-k":        {Sampling{TopK: 1, RepeatPenalty: 2, RepeatLast: 1}, []int32{1, 3}},
		"low temperature":             {Sampling{Temperature: 0.01}, []int32{1}},
		"all, made nearly the same":   {Sampling{Temperature: 1e6}, []int32{0, 1, 2, 3}},
		"everything at once, loosely": {Sampling{TopK: 4, TopP: 0.999, MinP: 0.01, RepeatPenalty: 1}, []int32{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.s.Temperature == 0 {
				c.s.Temperature = 1
			}
			x := sampler(t, c.s, 0)
			logits := logs(0.2, 0.4, 0.1, 0.3)
			before := slices.Clone(logits)
			var seen []int32
			for range 500 { // the rarest of them is missed with probability 1e-22
				if id := x.Next(logits); !slices.Contains(seen, id) {
					seen = append(seen, id)
				}
			}
			slices.Sort(seen)
			require.Equal(t, c.want, seen)
			require.Equal(t, before, logits, "the logits are the caller's")
		})
	}
	// Equal logits are cut by id.
	x := sampler(t, Sampling{Temperature: 1, TopK: 2}, 0)
	for range 100 {
		require.Less(t, x.Next(make([]float32, 9)), int32(2))
	}
}

func TestFrequencies(t *testing.T) {
	p := []float64{0.2, 0.4, 0.1, 0.3}
	for _, temperature := range []float64{0.5, 1, 2} {
		for seed := range uint64(3) {
			want, total := make([]float64, len(p)), 0.0
			for i := range p {
				want[i] = math.Pow(p[i], 1/temperature)
				total += want[i]
			}
			x := sampler(t, Sampling{Temperature: float32(temperature), Seed: seed}, 0)
			const n = 20000
			counts := make([]float64, len(p))
			for range n {
				counts[x.Next(logs(p...))]++
			}
			for i := range p {
				q := want[i] / total
				sigma := math.Sqrt(n * q * (1 - q))
				require.InDelta(t, n*q, counts[i], 4*sigma, "token %d at temperature %v, seed %d", i, temperature, seed)
			}
		}
	}
}

func TestSeedsAndStreams(t *testing.T) {
	draw := func(seed, stream uint64) []int32 {
		x := sampler(t, Sampling{Temperature: 1, Seed: seed}, stream)
		var ids []int32
		for range 24 {
			ids = append(ids, x.Next([]float32{-1.6, -0.9, -2.3, -1.2}))
		}
		return ids
	}
	require.Equal(t, draw(1, 0), draw(1, 0))
	require.NotEqual(t, draw(1, 0), draw(1, 1))
	require.NotEqual(t, draw(1, 0), draw(2, 0))
	require.NotEqual(t, draw(0, 1), draw(1, 0))
	// Samples are part of the numerics contract: the same on every machine.
	require.Equal(t, goldenSample, draw(7, 3))
}

var goldenSample = []int32{0, 0, 1, 0, 1, 3, 2, 1, 3, 2, 1, 3, 3, 0, 1, 1, 3, 0, 3, 3, 3, 3, 1, 1}

func TestRepetitionPenalty(t *testing.T) {
	for name, c := range map[string]struct {
		penalty float32
		last    int
		history []int32
		logits  []float32
		want    int32
	}{
		"divides a positive logit":       {2, 0, []int32{0}, []float32{3, 1.6, 1.4}, 1},
		"leaves it first":                {2, 0, []int32{0}, []float32{3, 1.4, 1.4}, 0},
		"multiplies a negative logit":    {2, 0, []int32{0}, []float32{-1, -1.9, -3}, 1},
		"once, however often it is seen": {2, 0, []int32{0, 0, 0}, []float32{4, 1.9, 1}, 0},
		"each of several":                {2, 0, []int32{0, 1, 0}, []float32{4, 3.9, 2.1}, 2},
		"forgets":                        {2, 2, []int32{0, 2, 2}, []float32{3, 2.9, 1}, 0},
		"still remembers":                {2, 2, []int32{2, 0, 2}, []float32{3, 2.9, 1}, 1},
		"1 does nothing":                 {1, 0, []int32{0}, []float32{3, 2.9, 1}, 0},
		"below 1 favours":                {0.5, 0, []int32{1}, []float32{3, 2, 1}, 1},
		"a token outside the logits":     {2, 0, []int32{9}, []float32{3, 2.9, 1}, 0},
		"64 back by default":             {2, 0, append([]int32{0}, slices.Repeat([]int32{2}, 63)...), []float32{3, 2.9, 1}, 1},
		"not 65":                         {2, 0, append([]int32{0}, slices.Repeat([]int32{2}, 64)...), []float32{3, 2.9, 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := sampler(t, Sampling{RepeatPenalty: c.penalty, RepeatLast: c.last}, 0)
			for _, id := range c.history {
				x.Accept(id)
			}
			require.Equal(t, c.want, x.Next(c.logits))
		})
	}
	// Next remembers what it chose.
	x := sampler(t, Sampling{RepeatPenalty: 2}, 0)
	require.Equal(t, int32(0), x.Next([]float32{3, 2, 1}))
	require.Equal(t, int32(1), x.Next([]float32{3, 2, 1}))
	require.Equal(t, int32(0), x.Next([]float32{3, 2, 1}))
}

func TestSamplingRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		s    Sampling
		want string
	}{
		{Sampling{Temperature: -1}, "temperature -1"},
		{Sampling{Temperature: nan}, "temperature NaN"},
		{Sampling{Temperature: float32(math.Inf(1))}, "temperature +Inf"},
		{Sampling{TopK: -1}, "top-k -1"},
		{Sampling{TopP: -0.1}, "top-p -0.1"},
		{Sampling{TopP: 1.1}, "top-p 1.1"},
		{Sampling{TopP: nan}, "top-p NaN"},
		{Sampling{MinP: 2}, "min-p 2"},
		{Sampling{MinP: nan}, "min-p NaN"},
		{Sampling{RepeatPenalty: -1}, "repetition penalty -1"},
		{Sampling{RepeatPenalty: nan}, "repetition penalty NaN"},
		{Sampling{RepeatLast: -1}, "repetition window -1"},
	} {
		_, err := NewSampler(c.s, 0)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "llama: ")
	}
}
