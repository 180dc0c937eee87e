package token

import (
	"unicode"
	"unicode/utf8"
)

// kind sorts characters more finely than class does.
type kind uint8

const (
	upper   kind = 1 << iota // \p{Lu}, \p{Lt}
	lower                    // \p{Ll}
	uncased                  // \p{Lm}, \p{Lo}
	mark                     // \p{M}
	digit                    // \p{N}
	white                    // \s
	sign                     // \p{P}, \p{S}
)

var asciiKind = func() (t [utf8.RuneSelf]kind) {
	for c := range t {
		t[c] = kindOf(rune(c))
	}
	return t
}()

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		switch {
		case unicode.Is(unicode.Ll, r):
			return lower
		case unicode.In(r, unicode.Lu, unicode.Lt):
			return upper
		}
		return uncased
	case unicode.IsMark(r):
		return mark
	case unicode.IsNumber(r):
		return digit
	case unicode.IsSpace(r):
		return white
	case unicode.IsPunct(r), unicode.IsSymbol(r):
		return sign
	}
	return 0
}

// kindAt gives the kind and the size of the character at s[i]. An invalid byte
// counts as U+FFFD, which is a sign.
func kindAt(s string, i int) (kind, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return asciiKind[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return kindOf(r), n
}

// runKinds gives the end of the run of characters of the kinds that begins at
// s[i].
func runKinds(s string, i int, kinds kind) int {
	for i < len(s) {
		k, n := kindAt(s, i)
		if k&kinds == 0 {
			break
		}
		i += n
	}
	return i
}

// newlines gives the end of the line breaks, and slashes if wanted, at s[i].
func newlines(s string, i int, slashes bool) int {
	for i < len(s) && (isNewline(s[i]) || slashes && s[i] == '/') {
		i++
	}
	return i
}

// splitCased is, with most the greatest length of a number,
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// with the contractions only if so asked.
func splitCased(s string, most int, contractions bool, yield func(start, end int)) {
	eachWord(s, yield, func(s string, i int) int { return casedWord(s, i, most, contractions) })
}

func casedWord(s string, i, most int, contractions bool) int {
	const letters = upper | lower | uncased
	k, n := kindAt(s, i)
	j := i // where the letters begin
	if k&(letters|digit) == 0 && !isNewline(s[i]) {
		j += n
	}
	end := lowerEnd(s, j)
	if end < 0 && k == mark {
		// Leading nothing, a mark is a letter as good as any.
		end = i + n
	}
	if end < 0 {
		// Only capitals are left for the second alternative.
		if e := runKinds(s, j, upper); e > j {
			end = e
		}
	}
	switch {
	case end >= 0:
		if contractions && end < len(s) && s[end] == '\'' {
			end += contraction(s[end:], true)
		}
		return end
	case k == digit:
		return numbers(s, i+n, most-1)
	case k != white:
		return newlines(s, run(s, i+n, other), true)
	case s[i] == ' ' && j < len(s):
		if next, n := at(s, j); next == other {
			return newlines(s, run(s, j+n, other), true)
		}
	}
	return blanks(s, i, true)
}

// lowerEnd gives the end of
//
//	[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
//
// at s[i], or -1. The first part takes all it can. If no small letter follows,
// it gives back down to the last character that is of both classes.
func lowerEnd(s string, i int) int {
	both := -1
	for i < len(s) {
		k, n := kindAt(s, i)
		if k == lower {
			return runKinds(s, i, lower|uncased|mark)
		}
		if k&(upper|uncased|mark) == 0 {
			break
		}
		i += n
		if k != upper {
			both = i
		}
	}
	return both
}

// splitQwen35 is the expression at splitLlama3 with numbers one by one and with
// marks among the letters:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}
//	| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitQwen35(s string, yield func(start, end int)) {
	eachWord(s, yield, qwen35Word)
}

func qwen35Word(s string, i int) int {
	const word = upper | lower | uncased | mark
	// A character of no kind is like a sign here.
	at := func(i int) (kind, int) {
		k, n := kindAt(s, i)
		if k == 0 {
			k = sign
		}
		return k, n
	}
	if s[i] == '\'' {
		if n := contraction(s[i:], true); n > 0 {
			return i + n
		}
	}
	k, n := at(i)
	j := i + n
	switch {
	case k&word != 0:
		return runKinds(s, j, word)
	case k == digit:
		return j
	}
	if j < len(s) && !isNewline(s[i]) {
		switch next, n := at(j); {
		case next&word != 0:
			return runKinds(s, j+n, word)
		case next == sign && s[i] == ' ':
			k, j = sign, j+n
		}
	}
	if k == white {
		return blanks(s, i, true)
	}
	for j < len(s) {
		k, n := at(j)
		if k != sign {
			break
		}
		j += n
	}
	return newlines(s, j, false)
}

// splitSeedCoder is the expression at splitLlama3 with numbers one by one and
// without line breaks after signs:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}
//	| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+
func splitSeedCoder(s string, yield func(start, end int)) {
	eachWord(s, yield, func(s string, i int) int {
		end := llama3Word(s, i, 1)
		// Only a word that begins otherwise ends with line breaks that don't
		// belong to it.
		trimmed := end
		for trimmed > i && isNewline(s[trimmed-1]) {
			trimmed--
		}
		if trimmed == i {
			return end
		}
		if r, _ := utf8.DecodeLastRuneInString(s[i:trimmed]); unicode.IsSpace(r) {
			return end // white space up to its last line break
		}
		return trimmed
	})
}
