package jinja

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// A value is what an expression gives: nil (Python's None), bool, int64,
// float64, str, *list, *dict, *namespace, undefined, or callable.
type value any

// undefined is the value of a name, attribute or item that is not there.
type undefined struct{ what string }

// A list is a list or a tuple; templates cannot change either.
type list struct {
	items []value
	tuple bool
}

// A dict keeps its entries in order. Its values are only set while it is made.
type dict struct {
	keys   []value
	values []value
	index  map[string]int // by hash
	source int            // of a marked object
}

// A namespace is a dict whose values templates can set.
type namespace struct{ dict }

// A callable is a function, a method bound to its object, or a macro.
type callable struct {
	name string
	call func(r *renderer, a args) (value, error)
}

// args are the arguments of a call.
type args struct {
	pos   []value
	names []string // of the values behind the positional ones
	named []value
}

// take gives the arguments in the order of the parameters' names, nil where one
// is missing; missing reports which were.
func (a args) take(what string, params ...string) ([]value, error) {
	if len(a.pos) > len(params) {
		return nil, fmt.Errorf("%s takes at most %d arguments, not %d", what, len(params), len(a.pos))
	}
	out := make([]value, len(params))
	for i := range out {
		out[i] = missing{}
	}
	copy(out, a.pos)
	for i, name := range a.names {
		found := false
		for k, p := range params {
			if p == name {
				if _, ok := out[k].(missing); !ok {
					return nil, fmt.Errorf("%s: argument %q is given twice", what, name)
				}
				out[k], found = a.named[i], true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s has no parameter %q", what, name)
		}
	}
	return out, nil
}

// missing stands for an argument that was not given.
type missing struct{}

func given(v value) bool { _, no := v.(missing); return !no }

func (r *renderer) newDict() *dict {
	r.spend(sizeOfDict)
	return newDict()
}

func newDict() *dict { return &dict{index: map[string]int{}} }

// hash makes a key of a value that can be one: equal values give equal keys.
func (r *renderer) hash(v value, depth int) (string, error) {
	r.step()
	if depth > maxDepth {
		return "", errDeep
	}
	switch v := v.(type) {
	case nil:
		return "n", nil
	case str:
		return "s" + v.s, nil
	case bool, int64, float64:
		f, i, isInt := number(v)
		if isInt {
			return "i" + strconv.FormatInt(i, 10), nil
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return "i" + strconv.FormatInt(int64(f), 10), nil
		}
		return "f" + strconv.FormatFloat(f, 'g', -1, 64), nil
	case *list:
		if v.tuple {
			var b strings.Builder
			b.WriteByte('t')
			for _, x := range v.items {
				h, err := r.hash(x, depth+1)
				if err != nil {
					return "", err
				}
				r.spend(len(h))
				fmt.Fprintf(&b, "%d:%s", len(h), h)
			}
			return b.String(), nil
		}
	}
	return "", fmt.Errorf("unhashable type: %s", typeName(v))
}

func (r *renderer) set(d *dict, key, v value) error {
	h, err := r.hash(key, 0)
	if err != nil {
		return err
	}
	r.scan(len(h))
	if i, ok := d.index[h]; ok {
		d.values[i] = v
		return nil
	}
	r.spend(sizeOfEntry + len(h))
	d.index[h] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, v)
	return nil
}

func (r *renderer) get(d *dict, key value) (value, bool) {
	h, err := r.hash(key, 0)
	if err != nil {
		return nil, false
	}
	r.scan(len(h))
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *dict) pairs() []value {
	out := make([]value, len(d.keys))
	for i := range d.keys {
		out[i] = &list{[]value{d.keys[i], d.values[i]}, true}
	}
	return out
}

// typeName is what Python calls the type of a value.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case str:
		return "str"
	case *list:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case *namespace:
		return "namespace"
	case *callable:
		return "function"
	case *loop:
		return "loop"
	case undefined:
		return "undefined"
	}
	return fmt.Sprintf("%T", v)
}

// defined refuses an undefined value.
func defined(v value) error {
	if u, ok := v.(undefined); ok {
		return fmt.Errorf("%s is undefined", u.what)
	}
	return nil
}

func truth(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case str:
		return v.s != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// number gives a number's value; ok is false for what is none. Booleans are
// integers, as in Python.
func number(v value) (f float64, i int64, isInt bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true
		}
		return 0, 0, true
	case int64:
		return float64(v), v, true
	case float64:
		return v, 0, false
	}
	return 0, 0, false
}

func isNumber(v value) bool {
	switch v.(type) {
	case bool, int64, float64:
		return true
	}
	return false
}

func (r *renderer) equal(a, b value) bool { return r.equalAt(a, b, maxDepth) }

func (r *renderer) equalAt(a, b value, depth int) bool {
	r.step()
	if depth == 0 {
		return false
	}
	if isNumber(a) && isNumber(b) {
		fa, ia, inta := number(a)
		fb, ib, intb := number(b)
		if inta && intb {
			return ia == ib
		}
		return fa == fb
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case str:
		b, ok := b.(str)
		if !ok || len(a.s) != len(b.s) {
			return false
		}
		r.scan(len(a.s))
		return a.s == b.s
	case *list:
		b, ok := b.(*list)
		if !ok || a.tuple != b.tuple || len(a.items) != len(b.items) {
			return false
		}
		if a == b {
			return true
		}
		for i := range a.items {
			if !r.equalAt(a.items[i], b.items[i], depth-1) {
				return false
			}
		}
		return true
	case *dict:
		b, ok := b.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		if a == b {
			return true
		}
		for i, k := range a.keys {
			v, ok := r.get(b, k)
			if !ok || !r.equalAt(a.values[i], v, depth-1) {
				return false
			}
		}
		return true
	case *namespace:
		b, ok := b.(*namespace)
		return ok && a == b
	case *callable:
		b, ok := b.(*callable)
		return ok && a == b
	}
	return false
}

// compare orders two values.
func (r *renderer) compare(a, b value) (int, error) { return r.compareAt(a, b, maxDepth) }

func (r *renderer) compareAt(a, b value, depth int) (int, error) {
	r.step()
	if err := defined(a); err != nil {
		return 0, err
	}
	if err := defined(b); err != nil {
		return 0, err
	}
	if isNumber(a) && isNumber(b) {
		fa, ia, inta := number(a)
		fb, ib, intb := number(b)
		if inta && intb {
			return cmp.Compare(ia, ib), nil
		}
		return cmp.Compare(fa, fb), nil
	}
	if x, ok := a.(str); ok {
		if y, ok := b.(str); ok {
			r.scan(min(len(x.s), len(y.s)))
			return strings.Compare(x.s, y.s), nil // UTF-8 sorts as code points do
		}
	}
	if x, ok := a.(*list); ok && depth > 0 {
		if y, ok := b.(*list); ok && x.tuple == y.tuple {
			for i := range min(len(x.items), len(y.items)) {
				if r.equal(x.items[i], y.items[i]) {
					continue
				}
				return r.compareAt(x.items[i], y.items[i], depth-1)
			}
			return cmp.Compare(len(x.items), len(y.items)), nil
		}
	}
	return 0, fmt.Errorf("%s and %s have no order", typeName(a), typeName(b))
}

// text is a value as it is printed: Python's str.
func (r *renderer) text(v value) (str, error) {
	switch v := v.(type) {
	case str:
		return v, nil
	case undefined:
		return str{}, nil
	}
	var t textBuilder
	if err := r.repr(&t, v, 0); err != nil {
		return str{}, err
	}
	return t.text(), nil
}

// repr writes a value as Python's repr does.
func (r *renderer) repr(t *textBuilder, v value, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	r.step()
	before := t.b.Len()
	defer func() { r.spend(t.b.Len() - before) }()
	each := func(items []value) error {
		for i, x := range items {
			if i > 0 {
				t.addString(", ")
			}
			if err := r.repr(t, x, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	switch v := v.(type) {
	case nil:
		t.addString("None")
	case bool:
		if v {
			t.addString("True")
		} else {
			t.addString("False")
		}
	case int64:
		t.addString(strconv.FormatInt(v, 10))
	case float64:
		t.addString(floatText(v))
	case str:
		t.add(quoted(v))
	case *list:
		open, end := "[", "]"
		if v.tuple {
			open, end = "(", ")"
			if len(v.items) == 1 {
				end = ",)"
			}
		}
		t.addString(open)
		if err := each(v.items); err != nil {
			return err
		}
		t.addString(end)
	case *dict:
		return r.reprDict(t, v, depth)
	case *namespace:
		t.addString("<Namespace ")
		if err := r.reprDict(t, &v.dict, depth); err != nil {
			return err
		}
		t.addString(">")
	case undefined:
		t.addString("Undefined")
	default:
		return fmt.Errorf("a %s has no text", typeName(v))
	}
	return nil
}

func (r *renderer) reprDict(t *textBuilder, v *dict, depth int) error {
	t.addString("{")
	for i, k := range v.keys {
		if i > 0 {
			t.addString(", ")
		}
		if err := r.repr(t, k, depth+1); err != nil {
			return err
		}
		t.addString(": ")
		if err := r.repr(t, v.values[i], depth+1); err != nil {
			return err
		}
	}
	t.addString("}")
	return nil
}

// floatText writes a float as Python does.
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quoted writes a string as Python's repr does.
func quoted(s str) str {
	quote := '\''
	if strings.Contains(s.s, "'") && !strings.Contains(s.s, `"`) {
		quote = '"'
	}
	body := s.mapRunes(func(_ int, c rune) string {
		switch {
		case c == quote || c == '\\':
			return `\` + string(c)
		case c == '\n':
			return `\n`
		case c == '\r':
			return `\r`
		case c == '\t':
			return `\t`
		case c < ' ' || c == 0x7f || c > 0x7f && c < 0x100 && !unicode.IsPrint(c):
			return fmt.Sprintf(`\x%02x`, c)
		case c >= 0x100 && c < 0x10000 && !unicode.IsPrint(c):
			return fmt.Sprintf(`\u%04x`, c)
		case c >= 0x10000 && !unicode.IsPrint(c):
			return fmt.Sprintf(`\U%08x`, c)
		}
		return string(c)
	})
	return concat(plain(string(quote)), body, plain(string(quote)))
}
