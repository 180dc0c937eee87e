package token

import (
	"fmt"
	"math"
	"strings"
)

// Byte-level BPE writes each byte as a printable character, so that a token is
// printable text whatever bytes it stands for: printable characters of Latin-1
// stand for themselves, the other bytes, in order, for U+0100 and up.
//
// runeBytes is the way back, -1 for characters outside that alphabet.
var runeBytes = func() (t [0x144]int16) {
	for r := range t {
		t[r] = -1
	}
	moved := 0x100
	for b := range 256 {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			t[b] = int16(b)
			continue
		}
		t[moved] = int16(b)
		moved++
	}
	return t
}()

// appendBytesOf appends the bytes that text in the byte alphabet stands for.
// Where text has another character it reports false and appends nothing.
func appendBytesOf(dst []byte, text string) ([]byte, bool) {
	n := len(dst)
	for _, r := range text {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return dst[:n], false
		}
		dst = append(dst, byte(runeBytes[r]))
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
	words  map[string]int32  // symbols by what they spell; nil unless the splitter wants whole words
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
	// has precedence. The keys share the memory of one string.
	spelled := string(t.blob)
	var buf []byte
	symbols := make(map[string]int32, len(t.texts))
	for id, typ := range t.types {
		key := spelled[t.pieces[id]:t.pieces[id+1]]
		switch {
		case key == "":
		case typ == TypeNormal || typ == TypeUnused:
			// Written in the byte alphabet? Otherwise no bytes make this token.
			var ok bool
			if buf, ok = appendBytesOf(buf[:0], t.texts[id]); ok {
				symbols[key] = int32(id)
			}
		case typ == TypeUserDefined:
			if _, ok := symbols[key]; !ok {
				symbols[key] = int32(id)
			}
		}
	}
	if s.wholeWords {
		m.words = symbols
	}

	virtual := m.size
	intern := func(b []byte) int32 {
		id, ok := symbols[string(b)]
		if !ok {
			id = virtual
			virtual++
			symbols[string(b)] = id
		}
		return id
	}
	for b := range m.bytes {
		id := intern([]byte{byte(b)})
		m.bytes[b] = id
		t.byteIDs[b] = -1
		if id < m.size {
			t.byteIDs[b] = id
		}
	}
	for rank, text := range merges {
		l, r, ok := strings.Cut(text, " ")
		if !ok || l == "" || r == "" || len(text) > 2*maxTokenLen+1 {
			return nil, fmt.Errorf("merge %d %q is not two parts with a space between them", rank, clip(text))
		}
		left, ok1 := appendBytesOf(buf[:0], l)
		n := len(left)
		both, ok2 := appendBytesOf(left, r)
		buf = both
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("merge %d %q is not written in the byte alphabet", rank, clip(text))
		}
		a, b := intern(both[:n]), intern(both[n:])
		key := uint64(a)<<32 | uint64(b)
		if _, dup := m.merges[key]; dup {
			continue // a merge that is listed twice has its first rank
		}
		m.merges[key] = uint64(rank)<<32 | uint64(intern(both))
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
		if id, ok := m.words[word]; ok && id < m.size {
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
