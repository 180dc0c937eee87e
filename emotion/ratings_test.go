package emotion

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRatings(t *testing.T) {
	rs := Ratings()
	require.Len(t, rs, 123)
	var words, proxies, senses []string
	// In hundredths, so that sums are exact: any slip of a digit shows.
	var bare, proxy, sense [2]int
	cents := func(x float64) int {
		n := int(math.Round(x * 100))
		require.InDelta(t, float64(n)/100, x, 1e-12)
		return n
	}
	for _, r := range rs {
		require.Contains(t, emotions, r.Word)
		switch {
		case r.Proxy:
			proxies = append(proxies, r.Word)
			require.NotEqual(t, r.Word, r.Source)
			require.Equal(t, r.Valence, r.BareValence)
			require.Equal(t, r.Arousal, r.BareArousal)
			proxy[0] += cents(r.Valence)
			proxy[1] += cents(r.Arousal)
			continue
		case r.Source != r.Word:
			require.Regexp(t, `^`+r.Word+` \([a-z]+\)$`, r.Source)
			senses = append(senses, r.Source)
			sense[0] += cents(r.Valence)
			sense[1] += cents(r.Arousal)
		default:
			require.Equal(t, r.Valence, r.BareValence)
			require.Equal(t, r.Arousal, r.BareArousal)
		}
		words = append(words, r.Word)
		bare[0] += cents(r.BareValence)
		bare[1] += cents(r.BareArousal)
	}
	require.Len(t, words, 82)
	require.Len(t, proxies, 41)
	require.Equal(t, []string{
		"content (happy)", "kind (nice)", "mad (angry)", "patient (tolerant)", "tense (strained)", "upset (sad)",
	}, senses)
	require.Equal(t, [2]int{38542, 41920}, bare)
	require.Equal(t, [2]int{18585, 22204}, proxy)
	require.Equal(t, [2]int{3030, 3257}, sense)

	// In order and without repetition, so no word is both rated and a proxy.
	for i := 1; i < len(rs); i++ {
		require.Less(t, rs[i-1].Word, rs[i].Word)
	}
	unrated := strings.Split("alarmed, bewildered, brooding, compassionate, dependent, disoriented, dispirited, droopy, "+
		"dumbstruck, energized, envious, exasperated, exuberant, fulfilled, grumpy, heartbroken, hysterical, impatient, "+
		"indignant, invigorated, irate, melancholy, mortified, mystified, nostalgic, obstinate, on edge, overwhelmed, "+
		"perplexed, rattled, rejuvenated, resigned, restless, self-conscious, self-critical, shaken, smug, sorry, spiteful, "+
		"stimulated, stubborn, unnerved, unsettled, vengeful, vibrant, vindictive, vulnerable, worthless", ", ")
	union := slices.Concat(words, proxies, unrated)
	slices.Sort(union)
	require.Equal(t, Emotions(), union)

	rs[0].Word = "x"
	require.Equal(t, "afraid", Ratings()[0].Word)
}

func TestRatingOf(t *testing.T) {
	r, ok := RatingOf("Content")
	require.True(t, ok)
	require.Equal(t, Rating{"content", 8.16, 6.55, false, "content (happy)", 5.94, 3.97}, r)
	r, ok = RatingOf("worn-out")
	require.True(t, ok)
	require.Equal(t, Rating{"worn out", 3.94, 3.28, true, "worn", 3.94, 3.28}, r)
	r, ok = RatingOf("afraid")
	require.True(t, ok)
	require.Equal(t, Rating{"afraid", 2.21, 5.51, false, "afraid", 2.21, 5.51}, r)
	for _, name := range []string{"alarmed", "worthless", "glad"} {
		_, ok = RatingOf(name)
		require.False(t, ok, name)
	}
}

// Over these words valence and arousal are correlated in the norms, which
// whoever correlates arousal with anything has to reckon with.
func TestRatingsCorrelation(t *testing.T) {
	var n, sv, sa, svv, saa, sva float64
	for _, r := range Ratings() {
		if r.Proxy {
			continue
		}
		v, a := r.BareValence, r.BareArousal
		n, sv, sa, svv, saa, sva = n+1, sv+v, sa+a, svv+v*v, saa+a*a, sva+v*a
	}
	require.InDelta(t, 0.5634, (n*sva-sv*sa)/math.Sqrt((n*svv-sv*sv)*(n*saa-sa*sa)), 1e-4)
}

func TestParseRatingsErrors(t *testing.T) {
	const head = "word,entry,kind,valence,arousal\n"
	for table, want := range map[string]string{
		"":                                      "unexpected columns",
		"word,valence\n":                        "unexpected columns",
		head + "sad,sad,word,2\n":               "wrong number of fields",
		head + "sad,sad,word,x,2\n":             ":2: sad: rating is not a number",
		head + "sad,sad,word,2,NaN\n":           ":2: sad: rating is not a number",
		head + "sad,sad,word,0.9,2\n":           ":2: sad: rating is not a number",
		head + "sad,sad,word,2,9.1\n":           ":2: sad: rating is not a number",
		head + "sad,sad,wrd,2,2\n":              `:2: sad: unexpected kind "wrd"`,
		head + "sad,sad (x),sense,2,2\n":        `:2: sad: unexpected kind "sense"`,
		head + "b,b,word,2,2\na,a,word,2,2\n":   ":3: a: not in alphabetical order",
		head + "a,a,word,2,2\na,b,proxy,2,2\n":  ":3: a: not in alphabetical order",
		head + "a,b,proxy,2,2\na,a x,sense,2,2": `:3: a: unexpected kind "sense"`,
	} {
		_, err := parseRatings(table)
		require.ErrorContains(t, err, "emotion: ratings.csv")
		require.ErrorContains(t, err, want, table)
	}
}
