package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

type filterFunc func(r *renderer, v value, a args) (value, error)

// filterFuncs are the filters, and testFuncs the tests. They are set in init
// because some of them look others up by name.
var (
	filterFuncs map[string]filterFunc
	testFuncs   map[string]filterFunc
)

func init() {
	filterFuncs = map[string]filterFunc{
		"abs": filterAbs, "attr": filterAttr, "batch": filterBatch, "capitalize": viaMethod("capitalize"),
		"count": filterLength, "d": filterDefault, "default": filterDefault, "dictsort": filterDictSort,
		"e": filterEscape, "escape": filterEscape, "first": filterFirst, "float": filterFloat, "format": filterFormat,
		"indent": filterIndent, "int": filterInt, "items": filterItems, "join": filterJoin, "last": filterLast,
		"length": filterLength, "list": filterList, "lower": viaMethod("lower"), "map": filterMap, "max": filterMax,
		"min": filterMin, "reject": choose(false, false), "rejectattr": choose(true, false), "replace": filterReplace,
		"reverse": filterReverse, "round": filterRound, "safe": filterString, "select": choose(false, true),
		"selectattr": choose(true, true), "sort": filterSort, "string": filterString, "sum": filterSum,
		"title": filterTitle, "tojson": filterJSON, "trim": filterTrim, "unique": filterUnique, "upper": viaMethod("upper"),
		"wordcount": filterWords,
	}
	compared := func(op string) filterFunc {
		return func(r *renderer, v value, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("needs one argument")
			}
			return r.holds(op, v, a.pos[0])
		}
	}
	kindOf := func(is func(v value) bool) filterFunc {
		return func(_ *renderer, v value, _ args) (value, error) { return is(v), nil }
	}
	isOf := func(names ...string) filterFunc {
		return kindOf(func(v value) bool { return slices.Contains(names, typeName(v)) })
	}
	remainder := func(of2 float64) filterFunc {
		return func(_ *renderer, v value, _ args) (value, error) {
			f, _, _ := number(v)
			if !isNumber(v) {
				return nil, fmt.Errorf("of a %s", typeName(v))
			}
			return math.Abs(math.Mod(f, 2)) == of2, nil
		}
	}
	testFuncs = map[string]filterFunc{
		"==": compared("=="), "eq": compared("=="), "equalto": compared("=="), "ne": compared("!="), "!=": compared("!="),
		"lt": compared("<"), "lessthan": compared("<"), "<": compared("<"), "le": compared("<="), "<=": compared("<="),
		"gt": compared(">"), "greaterthan": compared(">"), ">": compared(">"), "ge": compared(">="), ">=": compared(">="),
		"in": compared("in"),
		"defined": func(_ *renderer, v value, _ args) (value, error) {
			_, no := v.(undefined)
			return !no, nil
		},
		"undefined": isOf("undefined"), "none": isOf("None"), "string": isOf("str"), "mapping": isOf("dict"),
		"number": isOf("int", "float", "bool"), "integer": isOf("int"), "float": isOf("float"), "boolean": isOf("bool"),
		"true":     kindOf(func(v value) bool { return v == true }),
		"false":    kindOf(func(v value) bool { return v == false }),
		"sequence": isOf("list", "tuple", "str", "dict", "undefined"),
		"iterable": isOf("list", "tuple", "str", "dict", "undefined"),
		"callable": isOf("function"),
		"odd":      remainder(1),
		"even":     remainder(0),
		"divisibleby": func(_ *renderer, v value, a args) (value, error) {
			if len(a.pos) != 1 {
				return nil, errors.New("needs one argument")
			}
			m, err := arithmetic("%", orNone(v), orNone(a.pos[0]))
			return err == nil && r0(m), err
		},
		"lower": func(r *renderer, v value, a args) (value, error) {
			s, ok := v.(str)
			if !ok {
				return false, nil
			}
			return stringMethods["islower"](r, s, a)
		},
		"upper": func(r *renderer, v value, a args) (value, error) {
			s, ok := v.(str)
			if !ok {
				return false, nil
			}
			return stringMethods["isupper"](r, s, a)
		},
	}
}

// orNone is a number, or one that no arithmetic takes for zero.
func orNone(v value) value {
	if isNumber(v) {
		return v
	}
	return math.NaN()
}

// r0 reports whether a number is zero.
func r0(v value) bool {
	f, i, isInt := number(v)
	return isInt && i == 0 || !isInt && f == 0
}

// viaMethod makes a filter of a method of strings.
func viaMethod(name string) filterFunc {
	return func(r *renderer, v value, a args) (value, error) {
		s, err := r.text(v)
		if err != nil {
			return nil, err
		}
		return stringMethods[name](r, s, a)
	}
}

func integer(v value, otherwise int64) (int64, error) {
	if !given(v) {
		return otherwise, nil
	}
	_, i, isInt := number(v)
	if !isInt {
		return 0, fmt.Errorf("a %s where an integer is needed", typeName(v))
	}
	return i, nil
}

func filterAbs(_ *renderer, v value, _ args) (value, error) {
	if err := defined(v); err != nil {
		return nil, err
	}
	if f, i, isInt := number(v); isNumber(v) {
		if isInt && i >= 0 {
			return i, nil
		}
		if isInt {
			return negate("-", i)
		}
		return math.Abs(f), nil
	}
	return nil, fmt.Errorf("of a %s", typeName(v))
}

func filterAttr(r *renderer, v value, a args) (value, error) {
	if len(a.pos) != 1 {
		return nil, errors.New("needs a name")
	}
	n, ok := a.pos[0].(str)
	if !ok {
		return nil, errors.New("needs a name")
	}
	if _, ok := v.(*dict); ok { // whose items are no attributes
		if m := r.method(v, n.s); m != nil {
			return m, nil
		}
		return undefined{fmt.Sprintf("attribute %q of a dict", n.s)}, nil
	}
	return r.attribute(v, n.s)
}

func filterBatch(r *renderer, v value, a args) (value, error) {
	got, err := a.take("batch", "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := integer(got[0], 0)
	if err != nil || n < 1 {
		return nil, errors.New("needs a number above 0")
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	r.count(len(items))
	out := &list{}
	for part := range slices.Chunk(items, int(min(n, math.MaxInt32))) {
		part = slices.Clone(part)
		for given(got[1]) && got[1] != nil && int64(len(part)) < n {
			r.count(1)
			part = append(part, got[1])
		}
		out.items = append(out.items, &list{items: part})
	}
	return out, nil
}

func filterDefault(_ *renderer, v value, a args) (value, error) {
	got, err := a.take("default", "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	if !given(got[0]) {
		got[0] = str{}
	}
	_, no := v.(undefined)
	if no || given(got[1]) && truth(got[1]) && !truth(v) {
		return got[0], nil
	}
	return v, nil
}

func filterDictSort(r *renderer, v value, a args) (value, error) {
	got, err := a.take("dictsort", "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("of a %s", typeName(v))
	}
	at := 0
	if s, ok := got[1].(str); ok && s.s == "value" {
		at = 1
	}
	r.count(len(d.keys))
	pairs := d.pairs()
	err = r.sort(pairs, func(v value) (value, error) {
		return r.folded(v.(*list).items[at], given(got[0]) && truth(got[0])), nil
	}, given(got[2]) && truth(got[2]))
	return &list{items: pairs}, err
}

// folded is a string without regard to case, unless that counts.
func (r *renderer) folded(v value, sensitive bool) value {
	if s, ok := v.(str); ok && !sensitive {
		r.spend(len(s.s))
		return plain(strings.ToLower(s.s))
	}
	return v
}

// sort sorts values by keys, keeping the order of equals.
func (r *renderer) sort(items []value, key func(value) (value, error), reverse bool) error {
	type entry struct{ v, key value }
	es := make([]entry, len(items))
	for i, v := range items {
		k, err := key(v)
		if err != nil {
			return err
		}
		es[i] = entry{v, k}
	}
	var failed error
	slices.SortStableFunc(es, func(a, b entry) int {
		c, err := r.compare(a.key, b.key)
		if err != nil && failed == nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	for i, e := range es {
		items[i] = e.v
	}
	return failed
}

func filterEscape(r *renderer, v value, _ args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	r.spend(5 * len(s.s))
	entities := map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\'': "&#39;", '"': "&#34;"}
	return s.mapRunes(func(_ int, c rune) string {
		if e, ok := entities[c]; ok {
			return e
		}
		return string(c)
	}), nil
}

func filterFirst(r *renderer, v value, _ args) (value, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"the first item of nothing"}, nil
	}
	return items[0], nil
}

func filterLast(r *renderer, v value, _ args) (value, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"the last item of nothing"}, nil
	}
	return items[len(items)-1], nil
}

func filterFloat(r *renderer, v value, a args) (value, error) {
	got, err := a.take("float", "default")
	if err != nil {
		return nil, err
	}
	otherwise := value(0.0)
	if given(got[0]) {
		otherwise = got[0]
	}
	if isNumber(v) {
		f, _, _ := number(v)
		return f, nil
	}
	if s, ok := v.(str); ok {
		r.spend(len(s.s))
		if f, err := strconv.ParseFloat(strings.TrimFunc(s.s, isSpace), 64); err == nil {
			return f, nil
		}
	}
	return otherwise, nil
}

func filterInt(r *renderer, v value, a args) (value, error) {
	got, err := a.take("int", "default", "base")
	if err != nil {
		return nil, err
	}
	otherwise := value(int64(0))
	if given(got[0]) {
		otherwise = got[0]
	}
	base, err := integer(got[1], 10)
	if err != nil {
		return nil, err
	}
	toInt := func(f float64) value {
		if math.Abs(f) < 1<<62 {
			return int64(f)
		}
		return otherwise
	}
	if isNumber(v) {
		f, i, isInt := number(v)
		if isInt {
			return i, nil
		}
		return toInt(f), nil
	}
	if s, ok := v.(str); ok {
		r.spend(len(s.s))
		text := strings.ReplaceAll(strings.TrimFunc(s.s, isSpace), "_", "")
		if base == 16 || base == 8 || base == 2 {
			text = strings.TrimPrefix(strings.ToLower(text), map[int64]string{16: "0x", 8: "0o", 2: "0b"}[base])
		}
		if base >= 2 && base <= 36 {
			if i, err := strconv.ParseInt(text, int(base), 64); err == nil {
				return i, nil
			}
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return toInt(f), nil
		}
	}
	return otherwise, nil
}

func filterFormat(r *renderer, v value, a args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	if len(a.names) > 0 {
		return nil, errors.New("named arguments are not supported")
	}
	return r.percent(s, a.pos)
}

func filterIndent(r *renderer, v value, a args) (value, error) {
	got, err := a.take("indent", "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	var pad str
	if t, ok := got[0].(str); ok {
		pad = t
	} else {
		n, err := integer(got[0], 4)
		if err != nil {
			return nil, err
		}
		r.spend(int(min(max(n, 0), math.MaxInt32)))
		pad = plain(strings.Repeat(" ", int(max(n, 0))))
	}
	lines := s.split("\n", -1, false)
	r.count(len(lines))
	if len(pad.s) > 0 && len(lines) > math.MaxInt32/len(pad.s) {
		r.spend(math.MaxInt)
	}
	r.spend(len(s.s) + len(lines)*len(pad.s))
	var t textBuilder
	for i, line := range lines {
		if i > 0 {
			t.addString("\n")
		}
		blank := line.s == "" && !(given(got[2]) && truth(got[2]))
		if i > 0 && !blank || i == 0 && given(got[1]) && truth(got[1]) {
			t.add(pad)
		}
		t.add(line)
	}
	return t.text(), nil
}

func filterItems(r *renderer, v value, _ args) (value, error) {
	switch v := v.(type) {
	case undefined:
		return &list{}, nil
	case *dict:
		r.count(len(v.keys))
		return &list{items: v.pairs()}, nil
	}
	return nil, fmt.Errorf("of a %s", typeName(v))
}

// field gives the value of items that an attribute such as "a.b.0" names.
func (r *renderer) field(path value) (func(value) (value, error), error) {
	switch p := path.(type) {
	case missing, nil:
		return func(v value) (value, error) { return v, nil }, nil
	case str:
		parts := strings.Split(p.s, ".")
		return func(v value) (value, error) {
			for _, part := range parts {
				key := value(plain(part))
				if i, err := strconv.ParseInt(part, 10, 64); err == nil {
					key = i
				}
				var err error
				if v, err = r.item(v, key); err != nil {
					return nil, err
				}
			}
			return v, nil
		}, nil
	case int64:
		return func(v value) (value, error) { return r.item(v, p) }, nil
	}
	return nil, fmt.Errorf("an attribute that is a %s", typeName(path))
}

func filterJoin(r *renderer, v value, a args) (value, error) {
	got, err := a.take("join", "d", "attribute")
	if err != nil {
		return nil, err
	}
	var sep str
	if given(got[0]) {
		if sep, err = r.text(got[0]); err != nil {
			return nil, err
		}
	}
	of, err := r.field(got[1])
	if err != nil {
		return nil, err
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	return r.join(items, sep, func(v value) (str, error) {
		if v, err = of(v); err != nil {
			return str{}, err
		}
		return r.text(v)
	})
}

func (r *renderer) join(items []value, sep str, of func(value) (str, error)) (value, error) {
	r.count(len(items))
	var t textBuilder
	for i, v := range items {
		s, err := of(v)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			r.spend(len(sep.s))
			t.add(sep)
		}
		r.spend(len(s.s))
		t.add(s)
	}
	return t.text(), nil
}

func filterLength(r *renderer, v value, _ args) (value, error) {
	switch v := v.(type) {
	case str:
		r.scan(len(v.s))
		return int64(v.length()), nil
	case *list:
		return int64(len(v.items)), nil
	case *dict:
		return int64(len(v.keys)), nil
	case undefined:
		return int64(0), nil
	}
	return nil, fmt.Errorf("of a %s", typeName(v))
}

func filterList(r *renderer, v value, _ args) (value, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	r.count(len(items))
	return &list{items: slices.Clone(items)}, nil
}

func filterMap(r *renderer, v value, a args) (value, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	out := &list{}
	if len(a.pos) == 0 {
		got, err := a.take("map", "attribute", "default")
		if err != nil {
			return nil, err
		}
		of, err := r.field(got[0])
		if err != nil {
			return nil, err
		}
		for _, x := range items {
			r.count(1)
			y, err := of(x)
			if err != nil {
				return nil, err
			}
			if _, no := y.(undefined); no && given(got[1]) {
				y = got[1]
			}
			out.items = append(out.items, y)
		}
		return out, nil
	}
	n, ok := a.pos[0].(str)
	f := filterFuncs[n.s]
	if !ok || f == nil {
		return nil, fmt.Errorf("the filter %q is unknown or not supported", n.s)
	}
	r.deeper()
	defer func() { r.nest-- }()
	a.pos = a.pos[1:]
	for _, x := range items {
		r.count(1)
		y, err := f(r, x, a)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, y)
	}
	return out, nil
}

// choose makes select, reject and their twins for attributes.
func choose(attr, keep bool) filterFunc {
	return func(r *renderer, v value, a args) (value, error) {
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		of := func(v value) (value, error) { return v, nil }
		if attr {
			if len(a.pos) == 0 {
				return nil, errors.New("needs an attribute")
			}
			if of, err = r.field(a.pos[0]); err != nil {
				return nil, err
			}
			a.pos = a.pos[1:]
		}
		test := func(_ *renderer, v value, _ args) (value, error) { return truth(v), nil }
		if len(a.pos) > 0 {
			n, ok := a.pos[0].(str)
			f := testFuncs[n.s]
			if !ok || f == nil {
				return nil, fmt.Errorf("the test %q is unknown or not supported", n.s)
			}
			test = f
			a.pos = a.pos[1:]
		}
		out := &list{}
		for _, x := range items {
			r.count(1)
			y, err := of(x)
			if err != nil {
				return nil, err
			}
			ok, err := test(r, y, a)
			if err != nil {
				return nil, err
			}
			if truth(ok) == keep {
				out.items = append(out.items, x)
			}
		}
		return out, nil
	}
}

func extreme(sign int) filterFunc {
	return func(r *renderer, v value, a args) (value, error) {
		got, err := a.take("", "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		of, err := r.field(got[1])
		if err != nil {
			return nil, err
		}
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return undefined{"an extreme of nothing"}, nil
		}
		var best, bestKey value
		for i, x := range items {
			k, err := of(x)
			if err != nil {
				return nil, err
			}
			k = r.folded(k, given(got[0]) && truth(got[0]))
			if i > 0 {
				c, err := r.compare(k, bestKey)
				if err != nil {
					return nil, err
				}
				if c*sign <= 0 {
					continue
				}
			}
			best, bestKey = x, k
		}
		return best, nil
	}
}

var filterMax, filterMin = extreme(1), extreme(-1)

func filterReplace(r *renderer, v value, a args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	return stringMethods["replace"](r, s, a)
}

func filterReverse(r *renderer, v value, _ args) (value, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	r.count(len(items))
	items = slices.Clone(items)
	slices.Reverse(items)
	if _, ok := v.(str); ok {
		return r.join(items, str{}, func(v value) (str, error) { return v.(str), nil })
	}
	return &list{items: items}, nil
}

func filterRound(_ *renderer, v value, a args) (value, error) {
	got, err := a.take("round", "precision", "method")
	if err != nil {
		return nil, err
	}
	places, err := integer(got[0], 0)
	if err != nil {
		return nil, err
	}
	if !isNumber(v) || places < -300 || places > 300 {
		return nil, fmt.Errorf("of a %s to %d places", typeName(v), places)
	}
	f, _, isInt := number(v)
	method := "common"
	if s, ok := got[1].(str); ok {
		method = s.s
	}
	scale := math.Pow(10, float64(places))
	switch method {
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	case "common":
		if _, i, _ := number(v); isInt && places >= 0 {
			return i, nil
		}
		if places < 0 {
			return math.RoundToEven(f*scale) / scale, nil
		}
		// To the nearest decimal, as it is written.
		out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(places), 64), 64)
		return out, err
	}
	return nil, fmt.Errorf("unknown method %q", method)
}

func filterString(r *renderer, v value, _ args) (value, error) { return r.text(v) }

func filterSort(r *renderer, v value, a args) (value, error) {
	got, err := a.take("sort", "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	of, err := r.field(got[2])
	if err != nil {
		return nil, err
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	r.count(len(items))
	items = slices.Clone(items)
	err = r.sort(items, func(v value) (value, error) {
		k, err := of(v)
		return r.folded(k, given(got[1]) && truth(got[1])), err
	}, given(got[0]) && truth(got[0]))
	return &list{items: items}, err
}

func filterSum(r *renderer, v value, a args) (value, error) {
	got, err := a.take("sum", "attribute", "start")
	if err != nil {
		return nil, err
	}
	of, err := r.field(got[0])
	if err != nil {
		return nil, err
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	sum := value(int64(0))
	if given(got[1]) {
		sum = got[1]
	}
	for _, x := range items {
		if x, err = of(x); err != nil {
			return nil, err
		}
		if sum, err = r.binary("+", sum, x); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func filterTitle(r *renderer, v value, _ args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	r.spend(len(s.s))
	start := true
	return s.mapRunes(func(_ int, c rune) string {
		out := unicode.ToLower(c)
		if start {
			out = unicode.ToUpper(c)
		}
		start = isSpace(c) || strings.ContainsRune("-({[<", c)
		return string(out)
	}), nil
}

func filterTrim(r *renderer, v value, a args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	return stringMethods["strip"](r, s, a)
}

func filterUnique(r *renderer, v value, a args) (value, error) {
	got, err := a.take("unique", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	of, err := r.field(got[1])
	if err != nil {
		return nil, err
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	out := &list{}
	seen := map[string]bool{}
	for _, x := range items {
		r.count(1)
		k, err := of(x)
		if err != nil {
			return nil, err
		}
		h, err := r.hash(r.folded(k, given(got[0]) && truth(got[0])), 0)
		if err != nil {
			return nil, err
		}
		if !seen[h] {
			seen[h] = true
			out.items = append(out.items, x)
		}
	}
	return out, nil
}

func filterWords(r *renderer, v value, _ args) (value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	r.spend(8 * len(s.s)) // of which there may be a word to every second byte
	return int64(len(strings.FieldsFunc(s.s, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '_'
	}))), nil
}

// filterJSON writes JSON as transformers has Python's json.dumps write it.
func filterJSON(r *renderer, v value, a args) (value, error) {
	got, err := a.take("tojson", "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := jsonWriter{r: r, item: ", ", key: ": ", indent: -1}
	if len(a.pos) > 0 {
		// Jinja2's own filter has indent first, transformers' ensure_ascii.
		if _, ok := a.pos[0].(bool); !ok {
			return nil, errors.New("arguments must be named")
		}
	}
	w.ascii = given(got[0]) && truth(got[0])
	w.sorted = given(got[3]) && truth(got[3])
	if given(got[1]) && got[1] != nil {
		n, err := integer(got[1], 0)
		if err != nil || n < 0 || n > 64 {
			return nil, errors.New("indent must be a number from 0 to 64")
		}
		w.indent, w.item = int(n), ","
	}
	if l, ok := got[2].(*list); ok && len(l.items) == 2 {
		item, ok1 := l.items[0].(str)
		key, ok2 := l.items[1].(str)
		if !ok1 || !ok2 {
			return nil, errors.New("separators must be two strings")
		}
		w.item, w.key = item.s, key.s
	}
	if err := w.write(v, 0); err != nil {
		return nil, err
	}
	return w.t.text(), nil
}

type jsonWriter struct {
	r         *renderer
	t         textBuilder
	item, key string
	indent    int // -1 for one line
	ascii     bool
	sorted    bool
}

func (w *jsonWriter) line(depth int) {
	if w.indent >= 0 {
		w.r.spend(depth * w.indent)
		w.t.addString("\n" + strings.Repeat(" ", depth*w.indent))
	}
}

func (w *jsonWriter) write(v value, depth int) error {
	w.r.step()
	if depth > maxDepth {
		return errDeep
	}
	switch v := v.(type) {
	case nil:
		w.t.addString("null")
	case bool:
		w.t.addString(strconv.FormatBool(v))
	case int64:
		w.t.addString(strconv.FormatInt(v, 10))
	case float64:
		s := floatText(v)
		if math.IsInf(v, 0) || math.IsNaN(v) {
			s = map[string]string{"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[s]
		}
		w.t.addString(s)
	case str:
		w.r.spend(6 * len(v.s))
		w.string(v)
	case *list:
		return w.group("[", "]", len(v.items), depth, func(i int) error { return w.write(v.items[i], depth+1) })
	case *dict:
		order := make([]int, len(v.keys))
		for i := range order {
			order[i] = i
		}
		if w.sorted {
			keys := v.keys
			slices.SortStableFunc(order, func(a, b int) int {
				c, _ := w.r.compare(keys[a], keys[b])
				return c
			})
		}
		return w.group("{", "}", len(v.keys), depth, func(i int) error {
			k := v.keys[order[i]]
			switch k.(type) {
			case nil, bool, int64, float64:
				w.t.addString(`"`)
				if err := w.write(k, depth+1); err != nil {
					return err
				}
				w.t.addString(`"`)
			case str:
				if err := w.write(k, depth+1); err != nil {
					return err
				}
			default:
				return fmt.Errorf("a key that is a %s", typeName(k))
			}
			w.t.addString(w.key)
			return w.write(v.values[order[i]], depth+1)
		})
	default:
		return fmt.Errorf("a %s has no JSON form", typeName(v))
	}
	return nil
}

func (w *jsonWriter) group(open, end string, n, depth int, each func(i int) error) error {
	w.t.addString(open)
	for i := range n {
		if i > 0 {
			w.t.addString(w.item)
		}
		w.line(depth + 1)
		if err := each(i); err != nil {
			return err
		}
		w.r.spend(8)
	}
	if n > 0 {
		w.line(depth)
	}
	w.t.addString(end)
	return nil
}

func (w *jsonWriter) string(s str) {
	w.t.addString(`"`)
	w.t.add(s.mapRunes(func(_ int, c rune) string {
		switch c {
		case '"':
			return `\"`
		case '\\':
			return `\\`
		case '\n':
			return `\n`
		case '\r':
			return `\r`
		case '\t':
			return `\t`
		case '\b':
			return `\b`
		case '\f':
			return `\f`
		}
		switch {
		case c < ' ':
			return fmt.Sprintf(`\u%04x`, c)
		case c > 0x7e && w.ascii:
			b, _ := json.Marshal(string(c))
			if len(b) > 2 && b[1] == '\\' {
				return strings.ToLower(string(b[1 : len(b)-1]))
			}
			if c < 0x10000 {
				return fmt.Sprintf(`\u%04x`, c)
			}
			c -= 0x10000
			return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		}
		return string(c)
	}))
	w.t.addString(`"`)
}
