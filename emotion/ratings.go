package emotion

import (
	_ "embed" // for the ratings
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// RatingsCitation is the work that the ratings are taken from. They are
// licensed under CC BY 4.0: whoever publishes them, or results that rest on
// them, must cite it.
const RatingsCitation = "Scott, G. G., Keitel, A., Becirspahic, M., Yao, B., & Sereno, S. C. (2019). " +
	"The Glasgow Norms: Ratings of 5,500 words on nine scales. " +
	"Behavior Research Methods, 51(3), 1258–1270. https://doi.org/10.3758/s13428-018-1099-3"

// RatingsLicence is the licence of the ratings.
const RatingsLicence = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"

// A Rating is how people rate a word, on average, from 1 to 9: valence from
// unpleasant to pleasant, arousal from calm to excited.
//
// Some words were rated both bare and with a hint at one sense ("content" and
// "content (happy)"). Valence and Arousal are then those of the sense that is
// an emotion, because raters of the bare word may have thought of another one;
// BareValence and BareArousal are those of the bare word. Elsewhere the two
// pairs are equal.
type Rating struct {
	Word    string  // one of the 171 emotions
	Valence float64 // 1 to 9
	Arousal float64 // 1 to 9

	// Proxy says that the norms lack the word and another stands in for it: a
	// related form ("amuse" for "amused") or a related word ("sulk" for
	// "sullen"). Report results with and without proxies.
	Proxy bool

	// Source is the entry of the norms that Valence and Arousal are from.
	Source string

	BareValence float64
	BareArousal float64
}

// Ratings returns the human ratings of the emotions that have any, in
// alphabetical order: 82 rated words and 41 proxies. The other 48 emotions have
// neither an entry in the norms nor an acceptable proxy. Cite
// [RatingsCitation].
func Ratings() []Rating { return slices.Clone(ratings()) }

// RatingOf returns the rating of an emotion, which may be spelled as
// [Canonical] allows. It is false if there is none.
func RatingOf(emotion string) (Rating, bool) {
	name, ok := Canonical(emotion)
	if !ok {
		return Rating{}, false
	}
	i, ok := slices.BinarySearchFunc(ratings(), name, func(r Rating, name string) int {
		return strings.Compare(r.Word, name)
	})
	if !ok {
		return Rating{}, false
	}
	return ratings()[i], true
}

//go:embed ratings.csv
var ratingsCSV string

var ratings = sync.OnceValue(func() []Rating {
	rs, err := parseRatings(ratingsCSV)
	if err != nil {
		// The table is part of the program; the tests read all of it.
		panic(err)
	}
	return rs
})

// The kinds of line in ratings.csv. A sense follows the word it belongs to.
const (
	ratingWord  = "word"
	ratingSense = "sense"
	ratingProxy = "proxy"
)

func parseRatings(table string) ([]Rating, error) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("emotion: ratings.csv: %w", err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], []string{"word", "entry", "kind", "valence", "arousal"}) {
		return nil, fmt.Errorf("emotion: ratings.csv:1: unexpected columns")
	}
	var out []Rating
	for i, row := range rows[1:] {
		word, entry, kind := row[0], row[1], row[2]
		v, errV := strconv.ParseFloat(row[3], 64)
		a, errA := strconv.ParseFloat(row[4], 64)
		// Written so that NaN fails too.
		if errV != nil || errA != nil || !(v >= 1 && v <= 9 && a >= 1 && a <= 9) {
			return nil, fmt.Errorf("emotion: ratings.csv:%d: %s: rating is not a number from 1 to 9", i+2, word)
		}
		var last *Rating
		if len(out) > 0 {
			last = &out[len(out)-1]
		}
		switch {
		case kind == ratingSense && last != nil && last.Word == word && !last.Proxy:
			last.Source, last.Valence, last.Arousal = entry, v, a
			continue
		case kind != ratingWord && kind != ratingProxy:
			return nil, fmt.Errorf("emotion: ratings.csv:%d: %s: unexpected kind %q", i+2, word, kind)
		case last != nil && last.Word >= word:
			return nil, fmt.Errorf("emotion: ratings.csv:%d: %s: not in alphabetical order", i+2, word)
		}
		out = append(out, Rating{
			Word: word, Valence: v, Arousal: a, Proxy: kind == ratingProxy,
			Source: entry, BareValence: v, BareArousal: a,
		})
	}
	return out, nil
}
