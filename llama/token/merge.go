package token

import "math"

// A symbol is a stretch of a word that merging has made one. The symbols of a
// word are a linked list in an array, in order of position, so that an index
// also tells which symbol is further left.
type symbol struct {
	start      int32 // in the word; it ends where the next one starts
	id         int32 // what it is; -1 for a character outside the vocabulary
	prev, next int32 // -1 at the ends
	key        uint32
	into       int32 // what it becomes together with the next one
}

// noMerge is the key of a symbol that doesn't merge with the next one.
const noMerge = math.MaxUint32

// maxWord bounds what is merged at once, so that positions fit an int32.
const maxWord = 1 << 30

// A pairer knows what two adjacent symbols merge into. Smaller keys merge
// first; the key is noMerge for a pair that doesn't merge. Text is what the
// two spell.
type pairer interface {
	pair(left, right int32, text string) (key uint32, into int32)
}

// merging is the workspace for one word after another.
type merging struct {
	syms  []symbol
	queue []uint64 // binary heap of key<<32 | index of the left symbol
}

// add appends a symbol to the word.
func (m *merging) add(start int, id int32) {
	i := int32(len(m.syms))
	m.syms = append(m.syms, symbol{start: int32(start), id: id, prev: i - 1, next: i + 1})
}

// end is where symbol i of word ends.
func (m *merging) end(i int32, word string) int {
	if next := m.syms[i].next; next >= 0 {
		return int(m.syms[next].start)
	}
	return len(word)
}

// run merges the symbols of a word until no pair merges: always the pair with
// the smallest key, the leftmost of several. It takes O(n log n) for n symbols:
// each merge looks at two new pairs, and what the queue holds about pairs that
// are gone is recognised by its key when it surfaces.
//
// A stale entry may carry the key of the pair that took the place of its own.
// Then it stands exactly where that pair's own entry stands in the order, so
// that acting on it early or late is the same.
func (m *merging) run(word string, p pairer) {
	if len(m.syms) == 0 {
		return
	}
	m.syms[len(m.syms)-1].next = -1
	m.queue = m.queue[:0]
	for i := range m.syms {
		if m.look(int32(i), word, p) {
			m.queue = append(m.queue, m.entry(int32(i)))
		}
	}
	for i := len(m.queue)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.queue) > 0 {
		top := m.queue[0]
		last := len(m.queue) - 1
		m.queue[0] = m.queue[last]
		m.queue = m.queue[:last]
		m.down(0)

		i := int32(uint32(top))
		left := &m.syms[i]
		if uint64(left.key) != top>>32 {
			continue
		}
		right := &m.syms[left.next]
		right.key = noMerge
		left.id = left.into
		left.next = right.next
		if left.next >= 0 {
			m.syms[left.next].prev = i
		}
		if left.prev >= 0 && m.look(left.prev, word, p) {
			m.push(m.entry(left.prev))
		}
		if m.look(i, word, p) {
			m.push(m.entry(i))
		}
	}
}

// look sets what symbol i merges into with the next one, and reports whether
// it does.
func (m *merging) look(i int32, word string, p pairer) bool {
	s := &m.syms[i]
	s.key = noMerge
	if s.next >= 0 {
		s.key, s.into = p.pair(s.id, m.syms[s.next].id, word[s.start:m.end(s.next, word)])
	}
	return s.key != noMerge
}

func (m *merging) entry(i int32) uint64 { return uint64(m.syms[i].key)<<32 | uint64(uint32(i)) }

func (m *merging) push(e uint64) {
	q := append(m.queue, e)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if q[up] <= e {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = e
	m.queue = q
}

func (m *merging) down(i int) {
	q := m.queue
	if i >= len(q) {
		return
	}
	e := q[i]
	for {
		kid := 2*i + 1
		if kid >= len(q) {
			break
		}
		if kid+1 < len(q) && q[kid+1] < q[kid] {
			kid++
		}
		if q[kid] >= e {
			break
		}
		q[i] = q[kid]
		i = kid
	}
	q[i] = e
}
