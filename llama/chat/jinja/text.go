package jinja

import (
	"strings"
	"unicode/utf8"
)

// A str is a string that knows where its bytes are from.
type str struct {
	s    string
	from []seg // in order, covering s; nil means that all is the template's
}

// A seg is a run of bytes of one source; 0 is the template.
type seg struct {
	n      int
	source int
}

func plain(s string) str { return str{s: s} }

// sub is bytes i to j.
func (a str) sub(i, j int) str {
	if i >= j {
		return str{}
	}
	b := str{s: a.s[i:j]}
	at := 0
	for _, g := range a.from {
		lo, hi := max(at, i), min(at+g.n, j)
		if lo < hi {
			b.from = append(b.from, seg{hi - lo, g.source})
		}
		at += g.n
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
		t.grow(seg{len(a.s), 0})
		return
	}
	for _, g := range a.from {
		t.grow(g)
	}
}

func (t *textBuilder) addString(s string) { t.add(plain(s)) }

func (t *textBuilder) grow(g seg) {
	if g.n == 0 {
		return
	}
	t.marked = t.marked || g.source != 0
	if n := len(t.from); n > 0 && t.from[n-1].source == g.source {
		t.from[n-1].n += g.n
		return
	}
	t.from = append(t.from, g)
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
		for i := at; i < at+g.n; {
			r, n := utf8.DecodeRuneInString(a.s[i:])
			s := a.s[i : i+n]
			if r != utf8.RuneError || n > 1 {
				s = f(i, r)
			}
			t.b.WriteString(s)
			t.grow(seg{len(s), g.source})
			i += n
		}
		at += g.n
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
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
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
	rest := a.strip(!right, right, isSpace) // what is left over keeps its other end
	for rest.s != "" {
		i := strings.IndexFunc(rest.s, isSpace)
		if right {
			i = strings.LastIndexFunc(rest.s, isSpace)
		}
		if n == 0 || i < 0 {
			parts = append(parts, rest)
			break
		}
		if n > 0 {
			n--
		}
		if right {
			_, w := utf8.DecodeRuneInString(rest.s[i:])
			parts = append(parts, rest.sub(i+w, len(rest.s)))
			rest = rest.sub(0, i).strip(false, true, isSpace)
		} else {
			parts = append(parts, rest.sub(0, i))
			rest = rest.sub(i, len(rest.s)).strip(true, false, isSpace)
		}
	}
	if right {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
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
