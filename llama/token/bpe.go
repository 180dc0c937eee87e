package token

import (
	"fmt"
	"math"
	"strings"
)

// Byte-level BPE writes each byte as a printable character, so that a token is
// printable text whatever bytes it stands for: printable characters of Latin-1
// stand for themselves, the other bytes, in order, for U+0100 and up.
var runeBytes = func() map[rune]byte {
	all := make(map[rune]byte, 256)
	moved := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = moved
			moved++
		}
		all[r] = byte(b)
	}
	return all
}()

// appendBytesOf appends the bytes that text in the byte alphabet stands for.
// Where text has another character it reports false and appends nothing.
func appendBytesOf(dst []byte, text string) ([]byte, bool) {
	n := len(dst)
	for _, r := range text {
		b, ok := runeBytes[r]
		if !ok {
			return dst[:n], false
		}
		dst = append(dst, b)
	}
	return dst, true
}

// bpeModel merges bytes by rank. Symbols are numbered like tokens; what a merge
// makes that is no token gets a number beyond the vocabulary, so that it can
// still be merged further.
type bpeModel struct {
	splitter
	merges map[uint64]uint64 // left<<32 | right → rank<<32 | into
	bytes  [256]int32        // symbol of one byte
	words  map[string]int32  // whole words; nil unless the splitter wants them
	size   int32             // number of tokens
}

func newBPE(t *Tokenizer, s splitter, merges []string) (*bpeModel, error) {
	m := &bpeModel{
		splitter: s,
		merges:   make(map[uint64]uint64, len(merges)),
		size:     int32(len(t.texts)),
	}

	// Symbols by the bytes they stand for. A user-defined token is written as
	// plain text and may stand for the same bytes as a normal one, which then
	// has precedence.
	symbols := make(map[string]int32, len(t.texts))
	for id, typ := range t.types {
		switch typ {
		case TypeNormal, TypeUnused:
			if b, ok := appendBytesOf(nil, t.texts[id]); ok && len(b) > 0 {
				symbols[string(b)] = int32(id)
			}
		}
	}
	for id, typ := range t.types {
		if typ == TypeUserDefined && t.texts[id] != "" {
			if _, ok := symbols[t.texts[id]]; !ok {
				symbols[t.texts[id]] = int32(id)
			}
		}
	}
	if s.wholeWords {
		m.words = make(map[string]int32, len(symbols))
		for b, id := range symbols {
			m.words[b] = id
		}
	}

	virtual := m.size
	intern := func(b string) int32 {
		id, ok := symbols[b]
		if !ok {
			id = virtual
			virtual++
			symbols[b] = id
		}
		return id
	}
	for b := range m.bytes {
		id := intern(string([]byte{byte(b)}))
		m.bytes[b] = id
		t.byteIDs[b] = -1
		if id < m.size {
			t.byteIDs[b] = id
		}
	}
	var buf []byte
	for rank, text := range merges {
		// The left part may itself begin with a space only in vocabularies that
		// are not byte-level; so the first space after it parts the two.
		cut := -1
		if len(text) > 0 {
			cut = strings.IndexByte(text[1:], ' ') + 1
		}
		if cut < 1 || len(text) > 2*maxTokenLen+1 {
			return nil, fmt.Errorf("token: merge %d %q is not two parts with a space between them", rank, clip(text))
		}
		left, ok1 := appendBytesOf(buf[:0], text[:cut])
		n := len(left)
		both, ok2 := appendBytesOf(left, text[cut+1:])
		buf = both
		if !ok1 || !ok2 || n == len(both) {
			return nil, fmt.Errorf("token: merge %d %q is not written in the byte alphabet", rank, clip(text))
		}
		a, b := intern(string(both[:n])), intern(string(both[n:]))
		key := uint64(a)<<32 | uint64(b)
		if _, dup := m.merges[key]; dup {
			continue // a merge that is listed twice has its first rank
		}
		m.merges[key] = uint64(rank)<<32 | uint64(intern(string(both)))
	}
	return m, nil
}

func (m *bpeModel) pair(left, right int32, _ string) (key uint32, into int32) {
	e, ok := m.merges[uint64(left)<<32|uint64(right)]
	if !ok {
		return noMerge, 0
	}
	return uint32(e >> 32), int32(e & math.MaxUint32)
}

// encodeBPE appends the tokens of a text that begins at base in the input.
func (t *Tokenizer) encodeBPE(out []Token, text string, base int, w *merging) []Token {
	m := t.bpe
	m.split(text, func(start, end int) {
		for end-start > maxWord {
			out = t.encodeWord(out, text[start:start+maxWord], base+start, w)
			start += maxWord
		}
		out = t.encodeWord(out, text[start:end], base+start, w)
	})
	return out
}

func (t *Tokenizer) encodeWord(out []Token, word string, base int, w *merging) []Token {
	m := t.bpe
	if m.words != nil {
		if id, ok := m.words[word]; ok {
			return append(out, Token{id, base, base + len(word)})
		}
	}
	w.syms = w.syms[:0]
	for i := range len(word) {
		w.add(i, m.bytes[word[i]])
	}
	w.run(word, m)
	for i := int32(0); i >= 0; i = w.syms[i].next {
		s := &w.syms[i]
		start, end := int(s.start), w.end(i, word)
		if s.id < m.size {
			out = append(out, Token{s.id, base + start, base + end})
			continue
		}
		for j := start; j < end; j++ {
			id := t.byteIDs[word[j]]
			if id < 0 {
				id = t.unk
			}
			if id >= 0 {
				out = append(out, Token{id, base + j, base + j + 1})
			}
		}
	}
	return out
}
