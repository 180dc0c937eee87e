package token

import (
	"sort"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A Token is a token of a text: its id and which bytes of the input it stands
// for.
type Token struct {
	ID         int32
	Start, End int
}

// A Policy says whether Encode adds a token.
type Policy uint8

// The policies. A token that the vocabulary doesn't have is never added.
const (
	AsModel Policy = iota // as the model file asks
	Never
	Always
)

func (p Policy) adds(model bool) bool { return p == Always || p == AsModel && model }

// EncodeOptions are options of Encode. The zero value encodes plain text as
// the model file asks.
type EncodeOptions struct {
	BOS, EOS Policy // whether to begin with BOS and to end with EOS

	// Special makes text that spells a control or unknown token, such as <s> or
	// <|im_end|>, that token. Otherwise it is text like any other, which is what
	// text from outside should be. User-defined tokens are found either way.
	Special bool

	// Literal gives the parts of the text, as byte offsets [start, end) in order
	// and without overlap, in which Special has no effect: a control or unknown
	// token is not found where it would hold a byte of them. So a chat template's
	// own tokens are told from what a user wrote, while both are encoded as the
	// one text that they are.
	Literal [][2]int
}

// literal reports whether bytes start to end, start < end, touch a literal part.
func (o *EncodeOptions) literal(start, end int) bool {
	i := sort.Search(len(o.Literal), func(i int) bool { return o.Literal[i][1] > start })
	return i < len(o.Literal) && o.Literal[i][0] < end
}

var workspaces = sync.Pool{New: func() any { return new(merging) }}

// maxPooled is the largest workspace, in symbols, that is kept for reuse.
const maxPooled = 1 << 20

// Encode turns a text into tokens. The text may be any bytes. Time is
// O(n log n) in its length, whatever it holds. A BOS or EOS that the text itself
// spells where one would be added (with Special set) is not added again.
func (t *Tokenizer) Encode(text string, opt EncodeOptions) []Token {
	out := make([]Token, 0, len(text)/3+4)
	bos := opt.BOS.adds(t.addBOS) && t.bos >= 0
	if bos {
		out = append(out, Token{ID: t.bos})
	}
	w := workspaces.Get().(*merging)
	t.parts(text, &opt, func(start, end int, id int32) {
		switch {
		case id < 0:
			out = t.encodePart(out, text, start, end, w)
		case bos && id == t.bos && start == 0:
			out[0] = Token{id, start, end}
		default:
			out = append(out, Token{id, start, end})
		}
	})
	if cap(w.syms) <= maxPooled {
		workspaces.Put(w)
	}
	if opt.EOS.adds(t.addEOS) && t.eos >= 0 {
		last := len(out) - 1
		if last < 0 || out[last].ID != t.eos || out[last].Start == out[last].End {
			out = append(out, Token{t.eos, len(text), len(text)})
		}
	}
	return out
}

// parts calls yield with the parts of a text in order: tokens that it spells,
// and what is between them, with id -1.
func (t *Tokenizer) parts(text string, opt *EncodeOptions, yield func(start, end int, id int32)) {
	m := &t.user
	literal := false
	if opt.Special {
		m = &t.specials
		literal = len(opt.Literal) > 0
	}
	var allowed func(start, end int, id int32) bool
	if literal || len(t.edges) > 0 {
		allowed = func(start, end int, id int32) bool {
			return (!literal || !t.hidden(id) || !opt.literal(start, end)) &&
				(t.edges[id]&singleWord == 0 || !wordBefore(text[:start]) && !wordAfter(text[end:]))
		}
	}
	if len(t.edges) == 0 {
		m.cut(text, allowed, yield)
		return
	}
	// Tokens may take the white space beside them, so each part waits for the
	// next one.
	begin, wait, waiting := 0, -1, int32(-1) // the part that waits; it ends at wait
	m.cut(text, allowed, func(start, end int, id int32) {
		start = max(start, begin)
		if wait >= 0 {
			if id >= 0 && waiting < 0 && t.edges[id]&stripLeft != 0 {
				wait = begin + len(strings.TrimRightFunc(text[begin:wait], unicode.IsSpace))
			}
			if wait > begin {
				yield(begin, wait, waiting)
			}
			start = wait
		}
		if id >= 0 && t.edges[id]&stripRight != 0 {
			end = max(end, start) // what is stripped already is not looked at again
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		begin, wait, waiting = start, max(end, start), id
	})
	if wait > begin {
		yield(begin, wait, waiting)
	}
}

func wordBefore(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return s != "" && isWord(r)
}

func wordAfter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && isWord(r)
}

// isWord reports whether a character is matched by \w.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.Is(unicode.Nd, r) || unicode.Is(unicode.Pc, r)
}

// encodePart appends the tokens of a part of a text that spells no token as such.
func (t *Tokenizer) encodePart(out []Token, text string, start, end int, w *merging) []Token {
	s, from := t.normalize(text[start:end], start == 0, end == len(text))
	if s == "" {
		return out
	}
	n, base := len(out), start
	if from != nil {
		base = 0
	}
	if t.spm != nil {
		out = t.encodeSPM(out, s, base, t.prefixed(s, start), w)
	} else {
		out = t.encodeBPE(out, s, base, w)
	}
	if from != nil {
		from.restore(out[n:], start)
	}
	return out
}

// prefixed reports whether a prefix space comes before a part of a text that
// begins at start.
func (t *Tokenizer) prefixed(s string, start int) bool {
	switch {
	case !t.addPrefix:
		return false
	case t.prefix == PrefixEach:
		return true
	}
	return s[0] != ' ' && (t.prefix == PrefixMissing || start == 0)
}
