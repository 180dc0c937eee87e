package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type methodFunc func(r *renderer, s str, a args) (value, error)

// stringMethods are Python's methods of strings.
var stringMethods map[string]methodFunc

func init() {
	cased := func(f func(string) string) methodFunc {
		return func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			return s.mapRunes(func(_ int, c rune) string { return f(string(c)) }), nil
		}
	}
	stripped := func(left, right bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("strip", "chars")
			if err != nil {
				return nil, err
			}
			r.spend(len(s.s))
			cut := isSpace
			switch c := got[0].(type) {
			case missing, nil:
			case str:
				cut = func(r rune) bool { return strings.ContainsRune(c.s, r) }
			default:
				return nil, fmt.Errorf("strip by a %s", typeName(c))
			}
			return s.strip(left, right, cut), nil
		}
	}
	cutUp := func(right bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("split", "sep", "maxsplit")
			if err != nil {
				return nil, err
			}
			n, err := integer(got[1], -1)
			if err != nil {
				return nil, err
			}
			r.spend(len(s.s))
			most := int(max(min(n, math.MaxInt32), -1))
			var parts []str
			switch sep := got[0].(type) {
			case missing, nil:
				parts = s.words(most, right)
			case str:
				if sep.s == "" {
					return nil, errors.New("split by nothing")
				}
				parts = s.split(sep.s, most, right)
			default:
				return nil, fmt.Errorf("split by a %s", typeName(sep))
			}
			return r.strings(parts), nil
		}
	}
	ends := func(has func(s, x string) bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("startswith and endswith take one argument here")
			}
			any := []value{a.pos[0]}
			if l, ok := a.pos[0].(*list); ok && l.tuple {
				any = l.items
			}
			for _, x := range any {
				x, ok := x.(str)
				if !ok {
					return nil, errors.New("startswith and endswith take strings")
				}
				r.scan(len(x.s))
				if has(s.s, x.s) {
					return true, nil
				}
			}
			return false, nil
		}
	}
	found := func(index func(s, x string) int, must bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("find takes one argument here")
			}
			x, ok := a.pos[0].(str)
			if !ok {
				return nil, fmt.Errorf("find of a %s", typeName(a.pos[0]))
			}
			r.spend(len(s.s))
			i := index(s.s, x.s)
			if i < 0 {
				if must {
					return nil, errors.New("substring not found")
				}
				return int64(-1), nil
			}
			return int64(utf8.RuneCountInString(s.s[:i])), nil
		}
	}
	all := func(is func(c rune) bool) methodFunc {
		return func(r *renderer, s str, _ args) (value, error) {
			r.spend(len(s.s))
			return s.s != "" && strings.IndexFunc(s.s, func(c rune) bool { return !is(c) }) < 0, nil
		}
	}
	parted := func(right bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("partition takes one argument")
			}
			sep, ok := a.pos[0].(str)
			if !ok || sep.s == "" {
				return nil, errors.New("partition needs a separator")
			}
			r.spend(len(s.s))
			i := strings.Index(s.s, sep.s)
			if right {
				i = strings.LastIndex(s.s, sep.s)
			}
			switch {
			case i < 0 && right:
				return &list{[]value{str{}, str{}, s}, true}, nil
			case i < 0:
				return &list{[]value{s, str{}, str{}}, true}, nil
			}
			j := i + len(sep.s)
			return &list{[]value{s.sub(0, i), s.sub(i, j), s.sub(j, len(s.s))}, true}, nil
		}
	}
	padded := func(left, right bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("ljust", "width", "fillchar")
			if err != nil {
				return nil, err
			}
			width, err := integer(got[0], 0)
			if err != nil {
				return nil, err
			}
			fill := plain(" ")
			if f, ok := got[1].(str); ok {
				fill = f
			}
			n := int(min(max(width-int64(s.length()), 0), math.MaxInt32))
			r.spend(len(s.s) + n*max(len(fill.s), 1))
			before, after := 0, n
			switch {
			case left && right: // as Python's center
				before = n/2 + n&int(width)&1
				after = n - before
			case left:
				before, after = n, 0
			}
			return concat(plain(strings.Repeat(fill.s, before)), s, plain(strings.Repeat(fill.s, after))), nil
		}
	}
	affix := func(has func(s, x string) bool, left bool) methodFunc {
		return func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("removeprefix and removesuffix take one argument")
			}
			x, ok := a.pos[0].(str)
			if !ok {
				return nil, errors.New("removeprefix and removesuffix take a string")
			}
			r.scan(len(x.s))
			switch {
			case !has(s.s, x.s):
				return s, nil
			case left:
				return s.sub(len(x.s), len(s.s)), nil
			}
			return s.sub(0, len(s.s)-len(x.s)), nil
		}
	}
	stringMethods = map[string]methodFunc{
		"upper": cased(upper), "lower": cased(lower), "casefold": cased(strings.ToLower),
		"strip": stripped(true, true), "lstrip": stripped(true, false), "rstrip": stripped(false, true),
		"split": cutUp(false), "rsplit": cutUp(true), "partition": parted(false), "rpartition": parted(true),
		"startswith": ends(strings.HasPrefix), "endswith": ends(strings.HasSuffix),
		"find": found(strings.Index, false), "rfind": found(strings.LastIndex, false),
		"index": found(strings.Index, true), "rindex": found(strings.LastIndex, true),
		"isdigit": all(unicode.IsDigit), "isdecimal": all(unicode.IsDigit), "isnumeric": all(unicode.IsNumber), "isspace": all(isSpace),
		"isalpha": all(unicode.IsLetter), "isalnum": all(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"ljust": padded(false, true), "rjust": padded(true, false), "center": padded(true, true),
		"removeprefix": affix(strings.HasPrefix, true), "removesuffix": affix(strings.HasSuffix, false),
		"islower": func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			return strings.ToLower(s.s) == s.s && strings.ToUpper(s.s) != s.s, nil
		},
		"isupper": func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			return strings.ToUpper(s.s) == s.s && strings.ToLower(s.s) != s.s, nil
		},
		"capitalize": func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			return s.mapRunes(func(i int, c rune) string {
				if i == 0 {
					return string(unicode.ToTitle(c))
				}
				return strings.ToLower(string(c))
			}), nil
		},
		"title": func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			inside := false
			return s.mapRunes(func(_ int, c rune) string {
				out := unicode.ToTitle(c)
				if inside {
					out = unicode.ToLower(c)
				}
				inside = unicode.IsLetter(c)
				return string(out)
			}), nil
		},
		"swapcase": func(r *renderer, s str, _ args) (value, error) {
			r.spend(2 * len(s.s))
			return s.mapRunes(func(_ int, c rune) string {
				if unicode.IsUpper(c) {
					return strings.ToLower(string(c))
				}
				return strings.ToUpper(string(c))
			}), nil
		},
		"replace": func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("replace", "old", "new", "count")
			if err != nil {
				return nil, err
			}
			old, err1 := r.argText(got[0])
			new, err2 := r.argText(got[1])
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			n := int64(-1)
			if given(got[2]) && got[2] != nil {
				if n, err = integer(got[2], -1); err != nil {
					return nil, err
				}
			}
			places := strings.Count(s.s, old.s)
			r.count(places)
			if len(new.s) > 0 && places > math.MaxInt32/len(new.s) {
				r.spend(math.MaxInt)
			}
			r.spend(len(s.s) + places*len(new.s))
			return s.replace(old.s, new, int(max(min(n, math.MaxInt32), -1))), nil
		},
		"count": func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("count takes one argument here")
			}
			x, ok := a.pos[0].(str)
			if !ok {
				return nil, fmt.Errorf("count of a %s", typeName(a.pos[0]))
			}
			r.spend(len(s.s))
			return int64(strings.Count(s.s, x.s)), nil
		},
		"join": func(r *renderer, s str, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("join takes one argument")
			}
			items, err := r.iterate(a.pos[0])
			if err != nil {
				return nil, err
			}
			return r.join(items, s, func(v value) (str, error) {
				t, ok := v.(str)
				if !ok {
					return t, fmt.Errorf("join of a %s", typeName(v))
				}
				return t, nil
			})
		},
		"splitlines": func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("splitlines", "keepends")
			if err != nil {
				return nil, err
			}
			keep := given(got[0]) && truth(got[0])
			r.spend(len(s.s))
			var parts []str
			for at := 0; at < len(s.s); {
				i := strings.IndexFunc(s.s[at:], func(c rune) bool {
					return c >= '\n' && c <= '\r' || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029
				})
				if i < 0 {
					parts = append(parts, s.sub(at, len(s.s)))
					break
				}
				end := at + i
				_, w := utf8.DecodeRuneInString(s.s[end:])
				if strings.HasPrefix(s.s[end:], "\r\n") {
					w = 2
				}
				if keep {
					parts = append(parts, s.sub(at, end+w))
				} else {
					parts = append(parts, s.sub(at, end))
				}
				at = end + w
			}
			return r.strings(parts), nil
		},
		"zfill": func(r *renderer, s str, a args) (value, error) {
			got, err := a.take("zfill", "width")
			if err != nil {
				return nil, err
			}
			width, err := integer(got[0], 0)
			if err != nil {
				return nil, err
			}
			n := int(min(max(width-int64(s.length()), 0), math.MaxInt32))
			r.spend(len(s.s) + n)
			sign := 0
			if s.s != "" && (s.s[0] == '-' || s.s[0] == '+') {
				sign = 1
			}
			return concat(s.sub(0, sign), plain(strings.Repeat("0", n)), s.sub(sign, len(s.s))), nil
		},
		"format": func(r *renderer, s str, a args) (value, error) { return r.format(s, a) },
	}
}

// upper and lower change one character as Python does, which for some gives
// several.
func upper(c string) string {
	if c == "ß" {
		return "SS"
	}
	return strings.ToUpper(c)
}

func lower(c string) string {
	if c == "İ" {
		return "i̇"
	}
	return strings.ToLower(c)
}

// argText is an argument that must be a string, or has the text of one.
func (r *renderer) argText(v value) (str, error) {
	if !given(v) {
		return str{}, errors.New("an argument is missing")
	}
	return r.text(v)
}

// strings makes a list of strings.
func (r *renderer) strings(parts []str) *list {
	r.count(len(parts))
	l := &list{items: make([]value, 0, len(parts))}
	for _, p := range parts {
		l.items = append(l.items, p)
	}
	return l
}

// method binds a method of a value, nil where it has none.
func (r *renderer) method(of value, name string) value {
	m := method(of, name)
	if m != nil {
		r.spend(sizeOfFunc)
	}
	return m
}

// method does that. The sandbox has no methods that change a list or a dict.
func method(of value, name string) value {
	bind := func(f func(r *renderer, a args) (value, error)) value { return &callable{name, f} }
	switch v := of.(type) {
	case str:
		if f, ok := stringMethods[name]; ok {
			return bind(func(r *renderer, a args) (value, error) { return f(r, v, a) })
		}
	case *dict:
		switch name {
		case "items":
			return bind(func(r *renderer, _ args) (value, error) {
				r.count(len(v.keys))
				return &list{items: v.pairs()}, nil
			})
		case "keys":
			return bind(func(*renderer, args) (value, error) { return &list{items: v.keys}, nil })
		case "values":
			return bind(func(*renderer, args) (value, error) { return &list{items: v.values}, nil })
		case "copy":
			return bind(func(*renderer, args) (value, error) { return v, nil }) // nothing can change either
		case "get":
			return bind(func(r *renderer, a args) (value, error) {
				got, err := a.take("get", "key", "default")
				if err != nil {
					return nil, err
				}
				if x, ok := r.get(v, got[0]); ok {
					return x, nil
				}
				if given(got[1]) {
					return got[1], nil
				}
				return nil, nil
			})
		}
	case *list:
		switch name {
		case "index", "count":
			return bind(func(r *renderer, a args) (value, error) {
				if len(a.pos) != 1 {
					return nil, fmt.Errorf("%s takes one argument", name)
				}
				n := int64(0)
				for i, x := range v.items {
					if r.equal(x, a.pos[0]) {
						if name == "index" {
							return int64(i), nil
						}
						n++
					}
				}
				if name == "index" {
					return nil, errors.New("the item is not in the list")
				}
				return n, nil
			})
		case "append", "extend", "insert", "pop", "remove", "sort", "reverse", "clear":
			return bind(func(*renderer, args) (value, error) {
				return nil, fmt.Errorf("%s would change a list, which templates may not", name)
			})
		}
	}
	return nil
}

// percent is Python's format % values, for %s, %r, %d, %i, %f, %x and %%.
func (r *renderer) percent(format str, values []value) (value, error) {
	var t textBuilder
	next := 0
	for i := 0; i < len(format.s); {
		j := strings.IndexByte(format.s[i:], '%')
		if j < 0 {
			t.add(format.sub(i, len(format.s)))
			break
		}
		t.add(format.sub(i, i+j))
		i += j + 1
		from := i
		for i < len(format.s) && strings.IndexByte("-+ #0123456789.", format.s[i]) >= 0 {
			i++
		}
		if i == len(format.s) {
			return nil, errors.New("incomplete format")
		}
		flags, verb := format.s[from:i], format.s[i]
		i++
		if verb == '%' {
			t.addString("%")
			continue
		}
		if next == len(values) {
			return nil, errors.New("not enough arguments for the format")
		}
		v := values[next]
		next++
		if err := checkFlags(flags); err != nil {
			return nil, err
		}
		var s str
		var err error
		switch verb {
		case 's':
			s, err = r.text(v)
		case 'r':
			var b textBuilder
			err = r.repr(&b, v, 0)
			s = b.text()
		case 'd', 'i', 'x', 'f':
			if !isNumber(v) {
				return nil, fmt.Errorf("%%%c of a %s", verb, typeName(v))
			}
			f, n, isInt := number(v)
			switch {
			case verb == 'f':
				s = plain(fmt.Sprintf("%"+flags+"f", f))
			case !isInt && verb != 'x' && math.Abs(f) < 1<<62:
				s = plain(fmt.Sprintf("%"+flags+"d", int64(f)))
			case verb == 'x':
				s = plain(fmt.Sprintf("%"+flags+"x", n))
			default:
				s = plain(fmt.Sprintf("%"+flags+"d", n))
			}
			flags = ""
		default:
			return nil, fmt.Errorf("the format %%%c is not supported", verb)
		}
		if err != nil {
			return nil, err
		}
		if flags != "" {
			s = derived(fmt.Sprintf("%"+flags+"s", s.s), s)
		}
		r.spend(len(s.s))
		t.add(s)
	}
	// Python takes what has items for named fields, of which there may be none.
	if next == 0 && len(values) == 1 {
		switch values[0].(type) {
		case *dict, *list:
			next = 1
		}
	}
	if next < len(values) {
		return nil, errors.New("not all arguments are used by the format")
	}
	r.spend(len(format.s))
	return t.text(), nil
}

// checkFlags refuses widths that nobody wants.
func checkFlags(flags string) error {
	for _, n := range strings.FieldsFunc(flags, func(c rune) bool { return c < '0' || c > '9' }) {
		if len(n) > 3 {
			return fmt.Errorf("the width %s of a format is too large", n)
		}
	}
	return nil
}

// format is Python's str.format, for {}, {0} and {name} without specifications.
func (r *renderer) format(s str, a args) (value, error) {
	var t textBuilder
	next := 0
	for i := 0; i < len(s.s); {
		j := strings.IndexAny(s.s[i:], "{}")
		if j < 0 {
			t.add(s.sub(i, len(s.s)))
			break
		}
		t.add(s.sub(i, i+j))
		i += j
		if i+1 < len(s.s) && s.s[i+1] == s.s[i] {
			t.add(s.sub(i, i+1))
			i += 2
			continue
		}
		end := strings.IndexByte(s.s[i:], '}')
		if s.s[i] == '}' || end < 0 {
			return nil, errors.New("a single brace in the format")
		}
		field := s.s[i+1 : i+end]
		i += end + 1
		var v value = missing{}
		if field == "" {
			field = strconv.Itoa(next)
			next++
		}
		if n, err := strconv.Atoi(field); err == nil {
			if n >= 0 && n < len(a.pos) {
				v = a.pos[n]
			}
		} else {
			for k, name := range a.names {
				if name == field {
					v = a.named[k]
				}
			}
		}
		if !given(v) {
			return nil, fmt.Errorf("the format's field {%s} is not supported or has no value", field)
		}
		x, err := r.text(v)
		if err != nil {
			return nil, err
		}
		r.spend(len(x.s))
		t.add(x)
	}
	r.spend(len(s.s))
	return t.text(), nil
}
