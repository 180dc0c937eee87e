package token

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"slices"
)

// sum hashes what determines the tokenizer's behaviour, after defaults, so
// that two files that say the same thing in different ways have one hash. Every
// item has a length or a fixed size, so that no two vocabularies share bytes.
func (t *Tokenizer) sum(v *Vocab) string {
	h := sha256.New()
	w := bufio.NewWriterSize(h, 1<<16)
	var buf [8]byte
	num := func(x int) {
		binary.LittleEndian.PutUint64(buf[:], uint64(x))
		w.Write(buf[:]) // a hash takes any write; so does its buffer
	}
	str := func(s string) {
		num(len(s))
		w.WriteString(s)
	}
	flag := func(b bool) {
		if b {
			num(1)
		} else {
			num(0)
		}
	}
	str("limbic tokenizer 1")
	str(t.model)
	str(t.pre)
	num(len(t.texts))
	for id, text := range t.texts {
		str(text)
		num(int(t.types[id]))
	}
	if t.spm != nil { // BPE ignores scores, SentencePiece ignores merges
		for _, s := range v.Scores {
			num(int(math.Float32bits(s)))
		}
	} else {
		num(len(v.Merges))
		for _, m := range v.Merges {
			str(m)
		}
	}
	for _, id := range []int32{t.bos, t.eos, t.eot, t.eom, t.unk, t.pad} {
		num(int(id))
	}
	flag(t.addBOS)
	flag(t.addEOS)
	flag(t.addPrefix)
	// What most vocabularies don't have comes with its name, and only if it is
	// there.
	if t.spm == nil {
		if s, _ := splitterByName(t.pre); s.wholeWords != t.bpe.wholeWords {
			str("whole words")
			flag(t.bpe.wholeWords)
		}
	}
	if t.spm != nil && t.addPrefix && t.prefix != PrefixEach {
		str("prefix " + string(t.prefix))
	}
	if t.trim {
		str("trim spaces")
	}
	if t.nfc {
		str("nfc")
	}
	for _, id := range slices.Sorted(maps.Keys(t.edges)) {
		str("edge")
		num(int(id))
		num(int(t.edges[id]))
	}
	for _, id := range slices.Sorted(slices.Values(v.EOG)) {
		str("eog")
		num(int(id))
	}
	w.Flush()
	return hex.EncodeToString(h.Sum(nil))
}
