package experiment

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	require.Equal(t, []string{"i", "don't", "know", "mr", "o'hara's", "3rd", "café"}, words("I don’t know, Mr O'Hara's '3rd' Café—"))
	require.Empty(t, words(" … ' — "))
	require.Equal(t, []string{"don", "know", "mr", "hara", "3rd", "café"}, terms("I don’t know, Mr O'Hara's '3rd' Café—"))
}

func TestFunctionWordRates(t *testing.T) {
	rates := functionWordRates("The dog and the cat.")
	sum := 0.0
	for i, r := range rates {
		switch functionWords[i] {
		case "the":
			require.InDelta(t, 0.4, r, 1e-15)
		case "and":
			require.InDelta(t, 0.2, r, 1e-15)
		default:
			require.Zero(t, r, functionWords[i])
		}
		sum += r
	}
	require.InDelta(t, 0.6, sum, 1e-15)
	require.Len(t, functionWordRates(""), len(functionWords))
}

func TestForm(t *testing.T) {
	got := form("“No,” he said… Why? 2.5 miles!\n\nIt's a well-known (old) tale; go.")
	// no he said why 2 5 miles it's a well known old tale go
	const n = 14
	want := map[string]float64{
		", a word": 1, ". a word": 2, "; a word": 1, ": a word": 0, "? a word": 1, "! a word": 1,
		"- a word": 1, "–— a word": 0, "'’‘ a word": 1, "\"“” a word": 2, "… a word": 1, "() a word": 2,
	}
	require.Len(t, got, len(formNames))
	for i, name := range formNames {
		if w, ok := want[name]; ok {
			require.InDelta(t, w/n, got[i], 1e-15, name)
		}
	}
	at := len(want)
	require.InDelta(t, math.Log(n), got[at], 1e-15)
	// … ? ! and the last full stop end sentences; the point of 2.5 does not.
	require.InDelta(t, n/4.0, got[at+1], 1e-15)
	require.InDelta(t, (2+2+4+3+1+1+5+4+1+4+5+3+4+2)/float64(n), got[at+2], 1e-15)
	require.InDelta(t, math.Log(2), got[at+3], 1e-15)
	for i, x := range form("") {
		require.False(t, math.IsNaN(x) || math.IsInf(x, 0), formNames[i])
	}
}

func TestScaling(t *testing.T) {
	s := fitScaling([][]float64{{1, 0.1, 5}, {3, 0.1, 5}, {5, 0.1, 8}})
	require.InDeltaSlice(t, []float64{3, 0.1, 6}, s.mean, 1e-12)
	got := s.apply([]float64{5, 7, 6})
	require.InDelta(t, 2/math.Sqrt(8.0/3), got[0], 1e-12)
	require.Zero(t, got[1], "a constant column says nothing")
	require.InDelta(t, 0, got[2], 1e-12)
}

func TestNearestCentroid(t *testing.T) {
	length := func(s string) []float64 { return []float64{float64(len(s))} }
	c := newNearestCentroid(length, []string{"a", "bbb", "cccccccc", "dddddddd"}, []int{0, 0, 1, 1}, 2)
	// Lengths 1 3 8 8: mean 5, variance (16+4+9+9)/4; centroids at 2 and 8.
	sd := math.Sqrt(38.0 / 4)
	require.InDeltaSlice(t, []float64{-math.Pow(2/sd, 2), -math.Pow(4/sd, 2)}, c.scores("xxxx"), 1e-12)
}

func TestTFIDF(t *testing.T) {
	c := newTFIDF([]string{"cat cat dog", "dog bird"}, []int{0, 1}, 2)
	// cat stands in one of two texts, dog in both.
	rare, common := math.Log(3.0/2)+1, 1.0
	norm := math.Hypot(2*rare, common)
	require.InDelta(t, 2*rare/norm, c.centroids[0][c.index["cat"]], 1e-12)
	require.InDelta(t, common/norm, c.centroids[0][c.index["dog"]], 1e-12)

	got := c.scores("Cat unicorn")
	require.InDelta(t, 2*rare/norm, got[0], 1e-12, "an unknown word is left out")
	require.Zero(t, got[1])
	got = c.scores("dog")
	require.InDelta(t, common/norm, got[0], 1e-12)
	require.InDelta(t, common/math.Hypot(rare, common), got[1], 1e-12)
	require.Equal(t, []float64{0, 0}, c.scores("unicorn"))

	// A centroid averages texts of length 1: a long text counts no more than
	// a short one.
	c = newTFIDF([]string{"cat cat cat cat", "dog"}, []int{0, 0}, 1)
	require.InDelta(t, math.Sqrt(0.5), c.centroids[0][c.index["cat"]], 1e-12)
	require.InDelta(t, math.Sqrt(0.5), c.centroids[0][c.index["dog"]], 1e-12)
}
