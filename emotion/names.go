package emotion

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// prefix begins every error of this package.
const prefix = "emotion: "

// ErrUnknown is what every [*UnknownError] wraps.
var ErrUnknown = errors.New("unknown name")

// An UnknownError says that a list does not hold a name, and which of its names
// come near.
type UnknownError struct {
	Noun string   // what was looked for: "emotion" or "topic"
	Name string   // as given
	Near []string // at most three, nearest first; may be empty
}

// Error returns a message such as
// `emotion: unknown emotion "desprate": did you mean "desperate"?`.
func (e *UnknownError) Error() string {
	msg := fmt.Sprintf("%sunknown %s %q", prefix, e.Noun, e.Name)
	if len(e.Near) == 0 {
		return msg
	}
	quoted := make([]string, len(e.Near))
	for i, n := range e.Near {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	last := len(quoted) - 1
	list := quoted[last]
	if last > 0 {
		list = strings.Join(quoted[:last], ", ") + " or " + list
	}
	return msg + ": did you mean " + list + "?"
}

// Unwrap returns [ErrUnknown].
func (e *UnknownError) Unwrap() error { return ErrUnknown }

// Canonical returns the spelling that the list of 171 emotions uses for a name:
// "At Ease", "at-ease" and "at_ease" are all "at ease". It is false if the name
// is not one of them.
func Canonical(name string) (string, bool) {
	return find(emotions, name)
}

// Resolve returns the spelling that a list of emotions uses for a name. Case
// does not matter, nor whether words are joined by spaces, hyphens or
// underscores; an exact match always wins. A name that is not in the list gives
// an [*UnknownError] with up to three near ones.
func Resolve(list []string, name string) (string, error) {
	return resolve("emotion", list, name)
}

// Emotion is [Resolve] over the emotions of the corpus.
func (c *Corpus) Emotion(name string) (string, error) {
	return resolve("emotion", c.Emotions, name)
}

// Topic is [Resolve] over the topics of the corpus.
func (c *Corpus) Topic(name string) (string, error) {
	return resolve("topic", c.Topics, name)
}

func resolve(noun string, list []string, name string) (string, error) {
	if s, ok := find(list, name); ok {
		return s, nil
	}
	return "", &UnknownError{Noun: noun, Name: name, Near: near(list, name)}
}

func find(list []string, name string) (string, bool) {
	if slices.Contains(list, name) {
		return name, true
	}
	k := key(name)
	if k == "" {
		return "", false
	}
	for _, s := range list {
		if key(s) == k {
			return s, true
		}
	}
	return "", false
}

// key is what two spellings of one name have in common: lower case, with words
// separated by one space.
func key(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == '-' || r == '_' || unicode.IsSpace(r)
	}), " ")
}

// near returns up to three names of the list by edit distance, nearest first.
// Of equals the one that shares the longer beginning comes first, then list
// order. Names more than half of whose letters would have to change are not
// near, nor are those more than two edits further off than the nearest. A name that the given one begins (three letters or more) counts as one
// edit away: people abbreviate.
func near(list []string, name string) []string {
	type candidate struct {
		name           string
		dist, sameHead int
	}
	k := key(name)
	if k == "" || len(k) > 100 {
		return nil
	}
	var cands []candidate
	for _, s := range list {
		ks := key(s)
		d := editDistance(k, ks)
		if len(k) >= 3 && strings.HasPrefix(ks, k) {
			d = 1
		}
		if longer := max(utf8.RuneCountInString(k), utf8.RuneCountInString(ks)); 2*d <= longer {
			head := 0
			for head < len(k) && head < len(ks) && k[head] == ks[head] {
				head++
			}
			cands = append(cands, candidate{s, d, head})
		}
	}
	slices.SortStableFunc(cands, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(b.sameHead, a.sameHead))
	})
	var out []string
	for _, c := range cands[:min(3, len(cands))] {
		if c.dist <= cands[0].dist+2 {
			out = append(out, c.name)
		}
	}
	return out
}

// editDistance is the number of letters to insert, delete, replace, or swap
// with their neighbour (the restricted Damerau–Levenshtein distance).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range x {
		cur[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j+1]+1, cur[j]+1, prev[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(y)]
}
