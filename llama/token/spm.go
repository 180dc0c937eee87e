package token

import (
	"math"
	"strings"
	"unicode/utf8"
)

// spmModel merges characters by score. Tokens are looked up by the bytes they
// stand for, with ▁ replaced by a space, so that the input needs no rewriting
// and positions in it are positions in what is merged.
type spmModel struct {
	ids    map[string]int32
	keys   []uint32 // by id; a better score is a smaller key
	maxLen int      // of the texts in ids

	// wordwise: in no token does a space follow another character. Then nothing
	// merges across the start of a space-separated word, and words can be merged
	// one by one, which is faster and gives the same result.
	wordwise bool
}

func newSPM(t *Tokenizer, scores []float32) *spmModel {
	m := &spmModel{
		ids:      make(map[string]int32, len(t.texts)),
		keys:     make([]uint32, len(t.texts)),
		wordwise: true,
	}
	for id, text := range t.texts {
		m.keys[id] = scoreKey(scores[id])
		switch t.types[id] {
		case TypeNormal, TypeUnused, TypeUserDefined:
		default:
			continue // control, unknown and byte tokens are never made of text
		}
		if text == "" || strings.Contains(text, " ") {
			continue // spaces are written ▁ before merging: out of reach
		}
		key := strings.ReplaceAll(text, space, " ")
		m.ids[key] = int32(id)
		m.maxLen = max(m.maxLen, len(key))
		if strings.Contains(strings.TrimLeft(key, " "), " ") {
			m.wordwise = false
		}
	}
	return m
}

// scoreKey maps scores to integers in reverse order. Every key is below noMerge:
// only a NaN would reach it.
func scoreKey(s float32) uint32 {
	b := math.Float32bits(s + 0) // no negative zero
	if b>>31 != 0 {
		return b
	}
	return ^b &^ (1 << 31)
}

func (m *spmModel) pair(_, _ int32, text string) (key uint32, into int32) {
	if len(text) > m.maxLen {
		return noMerge, 0
	}
	id, ok := m.ids[text]
	if !ok {
		return noMerge, 0
	}
	return m.keys[id], id
}

// encodeSPM appends the tokens of a text that begins at base in the input.
// With prefix set, a space that isn't in the input comes before it.
func (t *Tokenizer) encodeSPM(out []Token, text string, base int, prefix bool, w *merging) []Token {
	shift := 0
	if prefix {
		text = " " + text
		shift = 1
	}
	for start := 0; start < len(text); {
		end := len(text)
		if t.spm.wordwise {
			end = wordEnd(text, start)
		}
		end = min(end, start+maxWord)
		out = t.encodeSPMWord(out, text[start:end], base+start-shift, base, w)
		start = end
	}
	return out
}

// wordEnd gives the start of the next word after start: of the next space that
// follows another character.
func wordEnd(s string, start int) int {
	i := start
	for i < len(s) && s[i] == ' ' {
		i++
	}
	if n := strings.IndexByte(s[i:], ' '); n >= 0 {
		return i + n
	}
	return len(s)
}

// encodeSPMWord appends the tokens of a word that begins at base in the input;
// base may be one before least, the position of the first byte that is really
// there.
func (t *Tokenizer) encodeSPMWord(out []Token, word string, base, least int, w *merging) []Token {
	w.syms = w.syms[:0]
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		id, ok := t.spm.ids[word[i:i+n]]
		if !ok {
			id = -1
		}
		w.add(i, id)
		i += n
	}
	w.run(word, t.spm)
	emit := func(id int32, start, end int) {
		out = append(out, Token{id, max(base+start, least), max(base+end, least)})
	}
	for i := int32(0); i >= 0; i = w.syms[i].next {
		s := &w.syms[i]
		start, end := int(s.start), w.end(i, word)
		switch {
		case s.id >= 0:
			emit(s.id, start, end)
		case t.hasBytes(word[start:end]):
			for j := start; j < end; j++ {
				emit(t.byteIDs[word[j]], j, j+1)
			}
		case t.unk >= 0:
			emit(t.unk, start, end)
		}
	}
	return out
}

// hasBytes reports whether byte tokens can spell s.
func (t *Tokenizer) hasBytes(s string) bool {
	for i := range len(s) {
		if t.byteIDs[s[i]] < 0 {
			return false
		}
	}
	return true
}
