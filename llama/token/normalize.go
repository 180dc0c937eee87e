package token

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// origins says where the bytes of a rewritten text come from: stretches in
// order that cover it, each a copy of bytes of the original or what replaces
// them. It ends with a stretch of no bytes at the ends of both texts.
type origins []origin

type origin struct {
	to, from int  // where it begins in the rewritten text and in the original
	copied   bool // byte by byte
}

func (o *origins) add(to, from int, copied bool) {
	if n := len(*o); n > 0 && copied && (*o)[n-1].copied {
		return // goes on
	}
	*o = append(*o, origin{to, from, copied})
}

// restore replaces the spans of tokens of the rewritten text by spans of the
// original, which begins at base. Where bytes were replaced, the token that holds
// the first of the new ones spans all of the old ones; so spans stay contiguous.
func (o origins) restore(tokens []Token, base int) {
	i := 0
	at := func(pos int) int {
		for i+1 < len(o) && o[i+1].to <= pos {
			i++
		}
		switch {
		case pos == o[i].to:
			return o[i].from
		case o[i].copied:
			return o[i].from + pos - o[i].to
		}
		return o[i+1].from
	}
	for k := range tokens {
		tokens[k].Start = base + at(tokens[k].Start)
		tokens[k].End = base + at(tokens[k].End)
	}
}

// normalize rewrites the part of a text that is to be tokenized, as the
// vocabulary asks; first and last say whether it begins and ends the text.
// Where nothing changes, the origins are nil.
func (t *Tokenizer) normalize(s string, first, last bool) (string, origins) {
	switch {
	case t.nfc:
		return compose(s)
	case t.trim:
		return trimSpaces(s, first, last)
	}
	return s, nil
}

// compose gives the normal form C of a text.
func compose(s string) (string, origins) {
	if norm.NFC.IsNormalString(s) {
		return s, nil
	}
	var b strings.Builder
	var o origins
	var it norm.Iter
	it.InitString(norm.NFC, s)
	for !it.Done() {
		from := it.Pos()
		part := it.Next()
		o.add(b.Len(), from, string(part) == s[from:it.Pos()])
		b.Write(part)
	}
	return b.String(), append(o, origin{to: b.Len(), from: len(s)})
}

// trimSpaces makes one space of several, and none at the ends of the text. What
// is taken away belongs to the character after it.
func trimSpaces(s string, first, last bool) (string, origins) {
	var b strings.Builder
	var o origins
	for i := 0; i < len(s); {
		spaces := i
		for i < len(s) && s[i] == ' ' {
			i++
		}
		n := min(i-spaces, 1) // spaces to keep
		if first && spaces == 0 || last && i == len(s) {
			n = 0
		}
		if i == len(s) {
			if n > 0 {
				o.add(b.Len(), spaces, false)
				b.WriteByte(' ')
			}
			break
		}
		end := len(s)
		if at := strings.IndexByte(s[i:], ' '); at >= 0 {
			end = i + at
		}
		if i-spaces == n {
			o.add(b.Len(), spaces, true)
			b.WriteString(s[spaces:end])
		} else {
			if n > 0 {
				o.add(b.Len(), spaces, false)
				b.WriteByte(' ')
				spaces = i
			}
			_, size := utf8.DecodeRuneInString(s[i:])
			o.add(b.Len(), spaces, n > 0)
			b.WriteString(s[i : i+size])
			if i+size < end {
				o.add(b.Len(), i+size, true)
				b.WriteString(s[i+size : end])
			}
		}
		i = end
	}
	if b.Len() == len(s) {
		return s, nil
	}
	return b.String(), append(o, origin{to: b.Len(), from: len(s)})
}
