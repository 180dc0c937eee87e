package token

import (
	"sort"
	"sync"
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
// O(n log n) in its length, whatever it holds.
func (t *Tokenizer) Encode(text string, opt EncodeOptions) []Token {
	out := make([]Token, 0, len(text)/3+4)
	if opt.BOS.adds(t.addBOS) && t.bos >= 0 {
		out = append(out, Token{ID: t.bos})
	}
	w := workspaces.Get().(*merging)
	m := &t.user
	var allowed func(start, end int, id int32) bool
	if opt.Special {
		m = &t.specials
		if len(opt.Literal) > 0 {
			allowed = func(start, end int, id int32) bool { return !t.hidden(id) || !opt.literal(start, end) }
		}
	}
	prefix := t.addPrefix // at the start and after each token cut out of the text
	m.cut(text, allowed, func(start, end int, id int32) {
		switch {
		case id >= 0:
			out = append(out, Token{id, start, end})
			prefix = t.addPrefix
		case t.spm != nil:
			out = t.encodeSPM(out, text[start:end], start, prefix, w)
			prefix = false
		default:
			out = t.encodeBPE(out, text[start:end], start, w)
		}
	})
	if cap(w.syms) <= maxPooled {
		workspaces.Put(w)
	}
	if opt.EOS.adds(t.addEOS) && t.eos >= 0 {
		out = append(out, Token{t.eos, len(text), len(text)})
	}
	return out
}
