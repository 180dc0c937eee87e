package token

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// A splitter cuts a text into the words within which byte-level BPE merges. It
// calls yield with the bounds of every word; the words cover the text in order.
//
// Published splitters are regular expressions with lookahead, which the
// standard library's regexp doesn't have. They are written out by hand below,
// each beneath the expression that defines it.
type splitter struct {
	name  string   // canonical
	alias []string // other names in tokenizer.ggml.pre
	split func(s string, yield func(start, end int))

	wholeWords bool // a word that is a token is that token, whatever the merges say
	addBOS     bool // Encode adds BOS where the file doesn't say
}

// splitters is the one place where a splitter is added: a name, other names,
// and a function. The first entry also serves files that name no splitter.
var splitters = []splitter{
	{
		name: "gpt-2", split: splitGPT2,
		alias: []string{
			"", "default", "phi-2", "gigachat", "mpt", "olmo", "jais", "exaone4", "trillion", "granite-docling",
			"a.x-4.0", "mellum",
		},
	},
	{
		name: "llama-bpe", wholeWords: true, addBOS: true,
		alias: []string{"llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
		split: func(s string, yield func(start, end int)) { splitLlama3(s, 3, yield) },
	},
	{
		name: "dbrx", alias: []string{"smaug-bpe", "glm4", "chatglm-bpe"},
		split: func(s string, yield func(start, end int)) { splitLlama3(s, 3, yield) },
	},
	{
		name: "qwen2",
		alias: []string{
			"deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "kormo", "solar-open", "grok-2",
			"bailingmoe", "bailingmoe2", "llada-moe",
		},
		split: func(s string, yield func(start, end int)) { splitLlama3(s, 1, yield) },
	},
	{
		name:  "qwen35",
		split: splitQwen35,
	},
	{
		name: "gpt-4o", alias: []string{"llama4", "kanana2", "talkie", "minimax-m2"},
		split: func(s string, yield func(start, end int)) { splitCased(s, 3, true, yield) },
	},
	{
		name: "tekken", wholeWords: true, addBOS: true,
		split: func(s string, yield func(start, end int)) { splitCased(s, 1, false, yield) },
	},
	{
		name:  "deepseek-llm",
		split: func(s string, yield func(start, end int)) { cascade(deepseekLLM, s, 0, yield) },
	},
	{
		name:  "deepseek-coder",
		split: func(s string, yield func(start, end int)) { cascade(deepseekCoder, s, 0, yield) },
	},
	{
		name: "deepseek-v3", alias: []string{"hunyuan-dense", "joyai-llm"},
		split: func(s string, yield func(start, end int)) { cascade(deepseekV3, s, 0, yield) },
	},
	{
		name: "smollm", alias: []string{"starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
		split: splitSmolLM,
	},
	{
		name:  "falcon",
		split: func(s string, yield func(start, end int)) { cascade(falcon, s, 0, yield) },
	},
	{
		name: "minicpm5", wholeWords: true,
		split: func(s string, yield func(start, end int)) { cascade(miniCPM5, s, 0, yield) },
	},
	{
		name:  "seed-coder",
		split: splitSeedCoder,
	},
}

func splitterByName(name string) (splitter, bool) {
	for _, s := range splitters {
		if s.name == name || slices.Contains(s.alias, name) {
			return s, true
		}
	}
	return splitter{}, false
}

// Splitters lists the names of the supported splitters (values of the key
// tokenizer.ggml.pre), sorted by splitter, each followed by its other names.
// A file that names none gets the first, gpt-2.
func Splitters() []string {
	var names []string
	for _, s := range splitters {
		names = append(names, s.name)
		for _, a := range s.alias {
			if a != "" {
				names = append(names, a)
			}
		}
	}
	return names
}

// class sorts characters as the expressions do: \p{L}, \p{N}, \s, and the rest.
type class uint8

const (
	other class = iota
	letter
	number
	blank
)

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for c := range t {
		t[c] = classOf(rune(c))
	}
	return t
}()

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return blank
	}
	return other
}

// at gives the class and the size of the character at s[i]. An invalid byte
// counts as U+FFFD, which is of class other.
func at(s string, i int) (class, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// run gives the end of the run of characters of class c that begins at s[i].
func run(s string, i int, c class) int {
	for i < len(s) {
		k, n := at(s, i)
		if k != c {
			break
		}
		i += n
	}
	return i
}

func isNewline(c byte) bool { return c == '\r' || c == '\n' }

// blanks gives the end of the word that the white space at s[i] makes. It
// covers
//
//	\s+(?!\S)|\s+
//
// : the whole run at the end of the text, otherwise all but the last character,
// which belongs to the next word, but at least one. With newlines set, the
// alternative \s*[\r\n]+ comes first: up to the last line break in the run.
func blanks(s string, i int, newlines bool) int {
	lastBreak, lastStart, end := -1, i, i
	for end < len(s) {
		k, n := at(s, end)
		if k != blank {
			break
		}
		lastStart = end
		end += n
		if isNewline(s[end-1]) {
			lastBreak = end
		}
	}
	switch {
	case newlines && lastBreak >= 0:
		return lastBreak
	case end == len(s) || lastStart == i:
		return end
	}
	return lastStart
}

// eachWord calls yield with one word after another; end gives the end of the one
// that begins at s[i].
func eachWord(s string, yield func(start, end int), end func(s string, i int) int) {
	for i := 0; i < len(s); {
		next := end(s, i)
		yield(i, next)
		i = next
	}
}

// splitGPT2 is
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func splitGPT2(s string, yield func(start, end int)) { eachWord(s, yield, gpt2Word) }

func gpt2Word(s string, i int) int {
	if s[i] == '\'' {
		if n := contraction(s[i:], false); n > 0 {
			return i + n
		}
	}
	j := i
	if s[i] == ' ' && i+1 < len(s) {
		j++
	}
	k, n := at(s, j)
	if k == blank {
		return blanks(s, i, false)
	}
	return run(s, j+n, k)
}

// contraction gives the length of 's, 't, 're, 've, 'm, 'll or 'd at the start
// of s, which begins with an apostrophe, or 0.
func contraction(s string, fold bool) int {
	lower := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if c := s[i]; fold && 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return s[i]
	}
	switch c, d := lower(1), lower(2); {
	case c == 's', c == 't', c == 'm', c == 'd':
		return 2
	case c == 'r' && d == 'e', c == 'v' && d == 'e', c == 'l' && d == 'l':
		return 3
	case fold && c == 0xC5 && d == 0xBF: // ſ, the long s, folds to s
		return 3
	}
	return 0
}

// splitLlama3 is, with most the greatest length of a number,
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}
//	| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitLlama3(s string, most int, yield func(start, end int)) {
	eachWord(s, yield, func(s string, i int) int { return llama3Word(s, i, most) })
}

func llama3Word(s string, i, most int) int {
	if s[i] == '\'' {
		if n := contraction(s[i:], true); n > 0 {
			return i + n
		}
	}
	k, n := at(s, i)
	j := i + n
	switch k {
	case letter:
		return run(s, j, letter)
	case number:
		return numbers(s, j, most-1)
	}
	// One character of another kind may lead letters; a space may lead signs.
	if j < len(s) && !isNewline(s[i]) {
		switch next, n := at(s, j); {
		case next == letter:
			return run(s, j+n, letter)
		case next == other && s[i] == ' ':
			k, j = other, j+n
		}
	}
	if k == other {
		j = run(s, j, other)
		for j < len(s) && isNewline(s[j]) {
			j++
		}
		return j
	}
	return blanks(s, i, true)
}

// numbers gives the end of at most most numbers at s[i].
func numbers(s string, i, most int) int {
	for ; most > 0 && i < len(s); most-- {
		k, n := at(s, i)
		if k != number {
			break
		}
		i += n
	}
	return i
}

// splitSmolLM cuts out every \p{N} as a word of its own and splits what is
// between them as splitGPT2 does; there, the end of the part is the end of the
// text as far as (?!\S) can see.
func splitSmolLM(s string, yield func(start, end int)) {
	for i := 0; i < len(s); {
		end := i
		size := 0 // of the number that ends the part
		for end < len(s) {
			k, n := at(s, end)
			if k == number {
				size = n
				break
			}
			end += n
		}
		part := s[:end]
		for i < end {
			next := gpt2Word(part, i)
			yield(i, next)
			i = next
		}
		if size > 0 {
			yield(i, i+size)
			i += size
		}
	}
}

// A finder gives the bounds of the first match in s at or after i, with start
// < 0 where there is none.
type finder func(s string, i int) (start, end int)

// cascade applies expressions one after the other: the matches of the first
// and the gaps between them are each split by the next.
func cascade(stages []finder, s string, base int, yield func(start, end int)) {
	if len(stages) == 0 {
		yield(base, base+len(s))
		return
	}
	i := 0
	for i < len(s) {
		start, end := stages[0](s, i)
		if start < 0 {
			break
		}
		if start > i {
			cascade(stages[1:], s[i:start], base+i, yield)
		}
		cascade(stages[1:], s[start:end], base+start, yield)
		i = end
	}
	if i < len(s) {
		cascade(stages[1:], s[i:], base+i, yield)
	}
}

// deepseekLLM is, stage by stage,
//
//	[\r\n]
//	\s?[cased letters]+
//	\s?[!-/:-~！-／：-～‘-‟　-。]+
//	\s+$
//	[一-龥ࠀ-一가-퟿]+
//	\p{N}
//
// The second class also takes the ASCII letters in :-~; that is what the
// published expression says, and it does cut "Äpfel" after the Ä.
var deepseekLLM = []finder{
	findNewline,
	blankThen(deepseekLetters),
	blankThen(newRunes([][2]rune{
		{'!', '/'}, {':', '~'}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E},
	})),
	func(s string, i int) (int, int) {
		start := len(s)
		for start > i {
			r, n := utf8.DecodeLastRuneInString(s[i:start])
			if !unicode.IsSpace(r) {
				break
			}
			start -= n
		}
		if start == len(s) {
			return -1, -1
		}
		return start, len(s)
	},
	runOf(deepseekIdeographs),
	numbersUpTo(1),
}

// deepseekCoder is, stage by stage,
//
//	[\r\n]
//	\s?\p{L}+
//	\s?\p{P}+
//	[一-龥ࠀ-一가-퟿]+
//	\p{N}
var deepseekCoder = []finder{
	findNewline,
	blankThen(unicode.L),
	blankThen(unicode.P),
	runOf(deepseekIdeographs),
	numbersUpTo(1),
}

var deepseekIdeographs = newRunes([][2]rune{{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}})

// deepseekV3 is, stage by stage,
//
//	\p{N}{1,3}
//	[一-龥぀-ゟ゠-ヿ]+
//	[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
//	| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// The last one passes over what is of none of these classes, such as control
// characters.
var deepseekV3 = []finder{
	numbersUpTo(3),
	runOf(newRunes([][2]rune{{0x3040, 0x30FF}, {0x4E00, 0x9FA5}})),
	func(s string, i int) (int, int) {
		for i < len(s) {
			if end := deepseekV3Word(s, i); end > i {
				return i, end
			}
			_, n := kindAt(s, i)
			i += n
		}
		return -1, -1
	},
}

// deepseekV3Word gives the end of the match at s[i], i where there is none.
func deepseekV3Word(s string, i int) int {
	const word = upper | lower | uncased | mark
	k, n := kindAt(s, i)
	j := i + n
	switch {
	case k&word != 0:
		return runKinds(s, j, word)
	case k&sign != 0:
		if s[i] < utf8.RuneSelf && j < len(s) && isASCIILetter(s[j]) {
			for j < len(s) && isASCIILetter(s[j]) {
				j++
			}
			return j
		}
		return newlines(s, runKinds(s, j, sign), false)
	case isNewline(s[i]):
	case j < len(s):
		switch next, n := kindAt(s, j); {
		case next&word != 0:
			return runKinds(s, j+n, word)
		case next&sign != 0 && s[i] == ' ':
			return newlines(s, runKinds(s, j+n, sign), false)
		}
	}
	if k&white != 0 {
		return blanks(s, i, true)
	}
	return i
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// falcon is, stage by stage,
//
//	[\p{P}$+<=>^`|~]+
//	as splitGPT2
//	runs of numeric characters
//	[0-9][0-9][0-9]
//
// The last two look at words in which bytes are written as characters, where
// six bytes of other characters are written as numeric ones: ¹²³¼½¾.
var falcon = []finder{
	func(s string, i int) (int, int) {
		start := -1
		for i < len(s) {
			r, n := utf8.DecodeRuneInString(s[i:])
			if unicode.Is(unicode.P, r) || r < utf8.RuneSelf && unicode.IsSymbol(r) {
				if start < 0 {
					start = i
				}
			} else if start >= 0 {
				break
			}
			i += n
		}
		return start, i
	},
	func(s string, i int) (int, int) { return i, gpt2Word(s, i) },
	func(s string, i int) (int, int) {
		for i < len(s) && !numericByte(s[i]) {
			i++
		}
		start := i
		for i < len(s) && numericByte(s[i]) {
			i++
		}
		if start == i {
			return -1, -1
		}
		return start, i
	},
	func(s string, i int) (int, int) {
		for at := i; at < len(s); at++ {
			if c := s[at]; c < '0' || c > '9' {
				i = at + 1
			} else if at == i+2 {
				return i, i + 3
			}
		}
		return -1, -1
	},
}

func numericByte(b byte) bool {
	return '0' <= b && b <= '9' || b == 0xB2 || b == 0xB3 || b == 0xB9 || 0xBC <= b && b <= 0xBE
}

// miniCPM5 is \p{N}{1,3}, then the expression at splitLlama3.
var miniCPM5 = []finder{
	numbersUpTo(3),
	func(s string, i int) (int, int) { return i, llama3Word(s, i, 3) },
}

func findNewline(s string, i int) (start, end int) {
	for ; i < len(s); i++ {
		if isNewline(s[i]) {
			return i, i + 1
		}
	}
	return -1, -1
}

// numbersUpTo finds \p{N}{1,most}.
func numbersUpTo(most int) finder {
	return func(s string, i int) (int, int) {
		for i < len(s) {
			k, n := at(s, i)
			if k == number {
				return i, numbers(s, i+n, most-1)
			}
			i += n
		}
		return -1, -1
	}
}

// runOf finds [set]+.
func runOf(set *unicode.RangeTable) finder {
	return func(s string, i int) (int, int) {
		start := -1
		for i < len(s) {
			r, n := utf8.DecodeRuneInString(s[i:])
			if unicode.Is(set, r) {
				if start < 0 {
					start = i
				}
			} else if start >= 0 {
				break
			}
			i += n
		}
		return start, i
	}
}

// blankThen finds \s?[set]+.
func blankThen(set *unicode.RangeTable) finder {
	find := runOf(set)
	return func(s string, i int) (int, int) {
		start, end := find(s, i)
		if start > i {
			if r, n := utf8.DecodeLastRuneInString(s[i:start]); unicode.IsSpace(r) {
				start -= n
			}
		}
		return start, end
	}
}

// newRunes makes a table from ranges in ascending order.
func newRunes(ranges [][2]rune) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for _, r := range ranges {
		if r[1] <= unicode.MaxLatin1 {
			t.LatinOffset++
		}
		if r[1] <= 0xFFFF {
			t.R16 = append(t.R16, unicode.Range16{Lo: uint16(r[0]), Hi: uint16(r[1]), Stride: 1})
		} else {
			t.R32 = append(t.R32, unicode.Range32{Lo: uint32(r[0]), Hi: uint32(r[1]), Stride: 1})
		}
	}
	return t
}

// deepseekLetters are the letters that have case, as of the version of Unicode
// that the expression was generated from, without some scripts.
var deepseekLetters = newRunes([][2]rune{
	{0x0041, 0x005A}, {0x0061, 0x007A}, {0x00B5, 0x00B5}, {0x00C0, 0x00D6}, {0x00D8, 0x00F6},
	{0x00F8, 0x01BA}, {0x01BC, 0x01BF}, {0x01C4, 0x0293}, {0x0295, 0x02AF}, {0x0370, 0x0373},
	{0x0376, 0x0376}, {0x0377, 0x0377}, {0x037B, 0x037D}, {0x037F, 0x037F}, {0x0386, 0x0386},
	{0x0388, 0x038A}, {0x038C, 0x038C}, {0x038E, 0x03A1}, {0x03A3, 0x03F5}, {0x03F7, 0x0481},
	{0x048A, 0x052F}, {0x0531, 0x0556}, {0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD},
	{0x1C90, 0x1CBA}, {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A},
	{0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57},
	{0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4},
	{0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3},
	{0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102},
	{0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124},
	{0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134}, {0x2139, 0x2139},
	{0x213C, 0x213F}, {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2183}, {0x2184, 0x2184},
	{0x2C00, 0x2C7B}, {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF2}, {0x2CF3, 0x2CF3},
	{0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F}, {0xA771, 0xA787}, {0xA78B, 0xA78E},
	{0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A},
	{0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2},
	{0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
})
