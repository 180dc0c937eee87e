package jinja

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// A str is a string that knows where its bytes are from.
type str struct {
	s    string
	from []seg // in order, covering s; nil means that all is the template's
}

// A seg is a run of bytes of one source, from where the one before it ends; 0 is
// the template.
type seg struct {
	end    int
	source int
}

func plain(s string) str { return str{s: s} }

// sub is bytes i to j.
func (a str) sub(i, j int) str {
	if i >= j {
		return str{}
	}
	b := str{s: a.s[i:j]}
	first := sort.Search(len(a.from), func(k int) bool { return a.from[k].end > i })
	for _, g := range a.from[first:] {
		b.from = append(b.from, seg{min(g.end, j) - i, g.source})
		if g.end >= j {
			break
		}
	}
	return b
}

// source is a source of which bytes of the string are, or 0: what is computed
// from the string as a whole is of that source.
func (a str) source() int {
	for _, g := range a.from {
		if g.source != 0 {
			return g.source
		}
	}
	return 0
}

// derived is a string that was computed from others as a whole.
func derived(s string, of ...str) str {
	for _, a := range of {
		if src := a.source(); src != 0 && s != "" {
			return str{s, []seg{{len(s), src}}}
		}
	}
	return plain(s)
}

// A textBuilder joins strings.
type textBuilder struct {
	b      strings.Builder
	from   []seg
	marked bool
}

func (t *textBuilder) add(a str) {
	t.b.WriteString(a.s)
	if a.from == nil {
		t.grow(len(a.s), 0)
		return
	}
	at := 0
	for _, g := range a.from {
		t.grow(g.end-at, g.source)
		at = g.end
	}
}

func (t *textBuilder) addString(s string) { t.add(plain(s)) }

// grow says of the next n bytes where they are from.
func (t *textBuilder) grow(n, source int) {
	if n == 0 {
		return
	}
	t.marked = t.marked || source != 0
	last := len(t.from) - 1
	if last >= 0 {
		n += t.from[last].end
		if t.from[last].source == source {
			t.from[last].end = n
			return
		}
	}
	t.from = append(t.from, seg{n, source})
}

func (t *textBuilder) text() str {
	if !t.marked {
		return plain(t.b.String())
	}
	return str{t.b.String(), t.from}
}

func concat(parts ...str) str {
	var t textBuilder
	for _, p := range parts {
		t.add(p)
	}
	return t.text()
}

// mapRunes changes a string character by character.
func (a str) mapRunes(f func(i int, r rune) string) str {
	if a.from == nil {
		var b strings.Builder
		for i, r := range a.s {
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(a.s[i:]); n == 1 {
					b.WriteByte(a.s[i])
					continue
				}
			}
			b.WriteString(f(i, r))
		}
		return plain(b.String())
	}
	var t textBuilder
	at := 0
	for _, g := range a.from {
		for i := at; i < g.end; {
			r, n := utf8.DecodeRuneInString(a.s[i:])
			s := a.s[i : i+n]
			if r != utf8.RuneError || n > 1 {
				s = f(i, r)
			}
			t.b.WriteString(s)
			t.grow(len(s), g.source)
			i += n
		}
		at = g.end
	}
	return t.text()
}

// length is the number of characters, as Python counts them. A byte that is not
// valid UTF-8 is one.
func (a str) length() int { return utf8.RuneCountInString(a.s) }

// offset is the byte at which character i begins, 0 <= i <= length.
func (a str) offset(i int) int {
	for at := range a.s {
		if i == 0 {
			return at
		}
		i--
	}
	return len(a.s)
}

// whitespace is what Python's str.strip takes for white space.
func isSpace(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r >= 0x1c && r <= ' ', r == 0x85, r == 0xa0, r == 0x1680,
		r >= 0x2000 && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

// strip takes characters off the ends; cut says which.
func (a str) strip(left, right bool, cut func(rune) bool) str {
	i, j := 0, len(a.s)
	if left {
		i = len(a.s) - len(strings.TrimLeftFunc(a.s, cut))
	}
	if right {
		j = i + len(strings.TrimRightFunc(a.s[i:], cut))
	}
	return a.sub(i, j)
}

// split cuts at a separator, at most n times if n >= 0, from the right if right.
func (a str) split(sep string, n int, right bool) []str {
	var parts []str
	s, base := a.s, 0
	if right {
		end := len(s)
		for ; n != 0; n-- {
			i := strings.LastIndex(s[:end], sep)
			if i < 0 {
				break
			}
			parts = append(parts, a.sub(i+len(sep), end))
			end = i
		}
		parts = append(parts, a.sub(0, end))
		slices.Reverse(parts)
		return parts
	}
	for ; n != 0; n-- {
		i := strings.Index(s[base:], sep)
		if i < 0 {
			break
		}
		parts = append(parts, a.sub(base, base+i))
		base += i + len(sep)
	}
	return append(parts, a.sub(base, len(s)))
}

// words splits at runs of white space, at most n times if n >= 0.
func (a str) words(n int, right bool) []str {
	var parts []str
	if right {
		for end := len(strings.TrimRightFunc(a.s, isSpace)); end > 0; n-- {
			i := strings.LastIndexFunc(a.s[:end], isSpace)
			if n == 0 || i < 0 {
				parts = append(parts, a.sub(0, end))
				break
			}
			_, w := utf8.DecodeRuneInString(a.s[i:])
			parts = append(parts, a.sub(i+w, end))
			end = len(strings.TrimRightFunc(a.s[:i], isSpace))
		}
		slices.Reverse(parts)
		return parts
	}
	// What is left over keeps its other end.
	for at := len(a.s) - len(strings.TrimLeftFunc(a.s, isSpace)); at < len(a.s); n-- {
		i := strings.IndexFunc(a.s[at:], isSpace)
		if n == 0 || i < 0 {
			parts = append(parts, a.sub(at, len(a.s)))
			break
		}
		parts = append(parts, a.sub(at, at+i))
		at = len(a.s) - len(strings.TrimLeftFunc(a.s[at+i:], isSpace))
	}
	return parts
}

// replace puts new in the place of old, at most n times if n >= 0.
func (a str) replace(old string, new str, n int) str {
	var t textBuilder
	if old == "" {
		// Python puts it between all characters and at both ends.
		for i := 0; i < len(a.s) && n != 0; n-- {
			_, w := utf8.DecodeRuneInString(a.s[i:])
			t.add(new)
			t.add(a.sub(i, i+w))
			i += w
			if n == 1 || i == len(a.s) {
				if n != 1 {
					t.add(new)
				}
				t.add(a.sub(i, len(a.s)))
				return t.text()
			}
		}
		if a.s == "" && n != 0 {
			return new
		}
		return a
	}
	for i, part := range a.split(old, n, false) {
		if i > 0 {
			t.add(new)
		}
		t.add(part)
	}
	return t.text()
}
