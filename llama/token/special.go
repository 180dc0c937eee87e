package token

import (
	"cmp"
	"slices"
)

// A matcher finds tokens that are written out in a text.
type matcher struct {
	texts []string // sorted
	ids   []int32
	first [257]int32 // texts[first[c]:first[c+1]] begin with byte c
}

func newMatcher(texts []string, ids []int32) matcher {
	ids = slices.SortedFunc(slices.Values(ids), func(a, b int32) int { return cmp.Compare(texts[a], texts[b]) })
	m := matcher{ids: ids, texts: make([]string, len(ids))}
	for i, id := range ids {
		m.texts[i] = texts[id]
		m.first[int(texts[id][0])+1]++
	}
	for c := range 256 {
		m.first[c+1] += m.first[c]
	}
	return m
}

// longest gives the longest token of at most most bytes that s spells at i; n
// is 0 where there is none.
func (m *matcher) longest(s string, i, most int) (id int32, n int) {
	s = s[i:]
	if len(s) > most {
		s = s[:most]
	}
	if s == "" {
		return 0, 0
	}
	// texts[lo:hi] agree with s in the first depth bytes. Being sorted, the one
	// that ends there comes first.
	lo, hi := m.first[s[0]], m.first[int(s[0])+1]
	for depth := 1; lo < hi; depth++ {
		if len(m.texts[lo]) == depth {
			id, n = m.ids[lo], depth
			lo++
		}
		if depth == len(s) {
			break
		}
		lo, hi = m.narrow(lo, hi, depth, s[depth])
	}
	return id, n
}

// narrow gives the part of texts[lo:hi] that have byte c at depth.
func (m *matcher) narrow(lo, hi int32, depth int, c byte) (int32, int32) {
	bound := func(lo, hi int32, least int) int32 {
		for lo < hi {
			mid := lo + (hi-lo)/2
			if int(m.texts[mid][depth]) < least {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		return lo
	}
	lo = bound(lo, hi, int(c))
	return lo, bound(lo, hi, int(c)+1)
}

type hit struct {
	pos, n int
	id     int32
}

// cut calls yield with the parts of a text in order: tokens found in it, and
// what is between them, with id -1. Where allowed is not nil, a token is found
// only where it allows that.
//
// Longer tokens have precedence over shorter ones anywhere in the text, and
// among tokens of one length the leftmost: that is what cutting out one token
// after the other, the longest first, comes to.
func (m *matcher) cut(text string, allowed func(start, end int, id int32) bool, yield func(start, end int, id int32)) {
	if text == "" {
		return
	}
	longest := func(i, most int) (id int32, n int) {
		id, n = m.longest(text, i, most)
		for n > 0 && allowed != nil && !allowed(i, i+n, id) {
			id, n = m.longest(text, i, n-1)
		}
		return id, n
	}
	// By length, where the longest token at a position has that length.
	var hits map[int][]hit
	for i := range len(text) {
		if c := text[i]; m.first[c] == m.first[int(c)+1] {
			continue
		}
		if id, n := longest(i, len(text)); n > 0 {
			if hits == nil {
				hits = make(map[int][]hit)
			}
			hits[n] = append(hits[n], hit{i, n, id})
		}
	}
	if hits == nil {
		yield(0, len(text), -1)
		return
	}

	lengths := make([]int, 0, len(hits))
	for n := range hits {
		lengths = append(lengths, n)
	}
	slices.Sort(lengths)
	byPos := func(a, b hit) int { return cmp.Compare(a.pos, b.pos) }
	taken := make([]bool, len(text))
	var found []hit
	for len(lengths) > 0 {
		n := lengths[len(lengths)-1]
		lengths = lengths[:len(lengths)-1]
		slices.SortFunc(hits[n], byPos)
		for _, h := range hits[n] {
			if taken[h.pos] {
				continue
			}
			// What is taken so far is at least as long as this, so it can't lie
			// between the two ends.
			if taken[h.pos+n-1] {
				if id, k := longest(h.pos, n-1); k > 0 {
					if _, ok := hits[k]; !ok {
						at, _ := slices.BinarySearch(lengths, k)
						lengths = slices.Insert(lengths, at, k)
					}
					hits[k] = append(hits[k], hit{h.pos, k, id})
				}
				continue
			}
			for i := range n {
				taken[h.pos+i] = true
			}
			found = append(found, h)
		}
	}
	slices.SortFunc(found, byPos)
	at := 0
	for _, h := range found {
		if h.pos > at {
			yield(at, h.pos, -1)
		}
		at = h.pos + h.n
		yield(h.pos, at, h.id)
	}
	if at < len(text) {
		yield(at, len(text), -1)
	}
}
