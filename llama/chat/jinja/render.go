package jinja

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// A renderer is one rendering.
type renderer struct {
	ctx   context.Context
	now   time.Time
	dated bool
	out   *writer
	turn  int // the source of the object that the innermost loop over such is at
	line  int // of what is being computed

	steps, bytes int // that are left
	nest, calls  int
}

// limit is what ends a rendering from deep inside.
type limit struct{ err error }

// The limits of nesting while a template runs. Each level takes some hundred
// bytes of stack; Go's limit is far away.
const (
	maxNest  = 20_000 // of expressions and statements
	maxCalls = 200    // of macros and recursive loops
)

var errDeep = fmt.Errorf("%w: nested more than %d deep", ErrLimit, maxDepth)

// step counts a computation.
func (r *renderer) step() {
	if r.steps--; r.steps < 0 {
		panic(limit{fmt.Errorf("%w: too many steps", ErrLimit)})
	}
	if r.steps&1023 == 0 {
		if err := r.ctx.Err(); err != nil {
			panic(limit{err})
		}
	}
}

// spend counts n bytes of a string, if possible before it is made.
func (r *renderer) spend(n int) {
	if r.bytes -= n; r.bytes < 0 || n < 0 {
		panic(limit{fmt.Errorf("%w: too many bytes of text", ErrLimit)})
	}
	r.step()
}

// scan counts that n bytes are looked at, and none are made.
func (r *renderer) scan(n int) {
	if n >= 32 {
		r.steps -= n / 32
		r.step()
	}
}

// What values take up beside their contents, in bytes, roughly.
const (
	sizeOfList  = 64
	sizeOfDict  = 256
	sizeOfEntry = 128 // of a dict
	sizeOfFunc  = 128
)

// count counts n elements of a list.
func (r *renderer) count(n int) {
	if n < 0 || n > r.steps {
		panic(limit{fmt.Errorf("%w: too many steps", ErrLimit)})
	}
	r.steps -= n
	r.spend(16 * n)
}

// deeper counts nesting; the caller takes it back with r.nest--.
func (r *renderer) deeper() {
	if r.nest++; r.nest > maxNest {
		panic(limit{fmt.Errorf("%w: nested too deep", ErrLimit)})
	}
}

// A writer collects output.
type writer struct {
	textBuilder
	main  bool
	parts []Part
}

func (w *writer) write(a str, turn int) {
	if !w.main {
		w.add(a)
		return
	}
	from := a.from
	if from == nil {
		from = []seg{{len(a.s), 0}}
	}
	base := w.b.Len()
	at := base
	w.b.WriteString(a.s)
	for _, g := range from {
		n, end := len(w.parts), base+g.end
		switch {
		case end == at:
		case n > 0 && w.parts[n-1].Source == g.source && w.parts[n-1].Turn == turn:
			w.parts[n-1].End = end
		default:
			w.parts = append(w.parts, Part{at, end, g.source, turn})
		}
		at = end
	}
}

// A scope holds variables.
type scope struct {
	vars  map[string]value
	outer *scope
}

func (s *scope) get(name string) (value, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (s *scope) inner() *scope { return &scope{outer: s} }

func (s *scope) set(name string, v value) {
	if s.vars == nil {
		s.vars = map[string]value{}
	}
	s.vars[name] = v
}

// jump is how break and continue leave the statements of a loop.
type jump struct{ next bool }

func (jump) Error() string { return "outside of a loop" }

// at gives an error its line, unless it has one.
func (r *renderer) at(line int, err error) error {
	var have *Error
	if err == nil || errors.As(err, &have) {
		return err
	}
	if _, ok := err.(jump); ok {
		return err
	}
	e := &Error{Line: line, Msg: err.Error()}
	for _, cause := range []error{ErrLimit, ErrRaised} {
		if errors.Is(err, cause) {
			e.Err = cause
		}
	}
	return e
}

// run runs statements.
func (r *renderer) run(body []stmt, s *scope) error {
	r.deeper()
	defer func() { r.nest-- }()
	for _, n := range body {
		r.step()
		if err := r.statement(n, s); err != nil {
			return err
		}
	}
	return nil
}

// capture runs statements and gives what they write.
func (r *renderer) capture(body []stmt, s *scope) (str, error) {
	outer := r.out
	r.out = &writer{}
	defer func() { r.out = outer }()
	err := r.run(body, s)
	return r.out.text(), err
}

func (r *renderer) write(a str) {
	r.spend(len(a.s))
	r.out.write(a, r.turn)
}

func (r *renderer) statement(n stmt, s *scope) error {
	switch n := n.(type) {
	case *data:
		r.write(plain(n.text))
	case *print:
		v, err := r.eval(n.of, s)
		if err != nil {
			return r.at(n.line, err)
		}
		r.line = n.line
		t, err := r.text(v)
		if err != nil {
			return r.at(n.line, err)
		}
		r.write(t)
	case *ifElse:
		r.line = n.line
		c, err := r.eval(n.cond, s)
		if err != nil {
			return r.at(n.line, err)
		}
		if truth(c) {
			return r.run(n.then, s)
		}
		return r.run(n.not, s)
	case *forLoop:
		r.line = n.line
		over, err := r.eval(n.over, s)
		if err != nil {
			return r.at(n.line, err)
		}
		return r.at(n.line, r.loop(n, over, s, 0))
	case *assign:
		r.line = n.line
		v, err := r.eval(n.value, s)
		if err != nil {
			return r.at(n.line, err)
		}
		return r.at(n.line, r.assign(n.target, v, s))
	case *assignBlock:
		v, err := r.capture(n.body, s.inner())
		if err != nil {
			return err
		}
		r.line = n.line
		w, err := r.filtered(n.filters, v, s)
		if err != nil {
			return r.at(n.line, err)
		}
		return r.at(n.line, r.assign(n.target, w, s))
	case *filterBlock:
		v, err := r.capture(n.body, s.inner())
		if err != nil {
			return err
		}
		w, err := r.filtered(n.filters, v, s)
		if err != nil {
			return err
		}
		t, err := r.text(w)
		if err != nil {
			return err
		}
		r.write(t)
	case *macroDef:
		s.set(n.name, r.macro(n, s))
	case *callBlock:
		r.line = n.line
		v, err := r.call(n.of, s, r.macro(n.macro, s))
		if err != nil {
			return r.at(n.line, err)
		}
		t, err := r.text(v)
		if err != nil {
			return r.at(n.line, err)
		}
		r.write(t)
	case *scopeBlock:
		in := s.inner()
		for i, v := range n.values {
			r.line = n.line
			x, err := r.eval(v, s)
			if err != nil {
				return r.at(n.line, err)
			}
			if err := r.assign(n.targets[i], x, in); err != nil {
				return r.at(n.line, err)
			}
		}
		return r.run(n.body, in)
	case *group:
		return r.run(n.body, s.inner())
	case *loopJump:
		return jump{n.next}
	default:
		return fmt.Errorf("statement %T", n)
	}
	return nil
}

// filtered applies filters to a captured text.
func (r *renderer) filtered(fs []*filter, v value, s *scope) (value, error) {
	for _, f := range fs {
		a, err := r.arguments(&f.arguments, s)
		if err != nil {
			return nil, r.at(f.line, err)
		}
		if v, err = r.apply("filter", filterFuncs, f.name, v, a); err != nil {
			return nil, r.at(f.line, err)
		}
	}
	return v, nil
}

// apply applies a filter or a test of a name.
func (r *renderer) apply(what string, funcs map[string]filterFunc, name string, v value, a args) (value, error) {
	f, ok := funcs[name]
	if !ok {
		return nil, fmt.Errorf("the %s %q is unknown or not supported", what, name)
	}
	out, err := f(r, v, a)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, name, err)
	}
	return out, nil
}

func (r *renderer) assign(t target, v value, s *scope) error {
	switch {
	case t.many != nil:
		items, err := r.iterate(v)
		if err != nil {
			return err
		}
		if len(items) != len(t.many) {
			return fmt.Errorf("%d values for %d names", len(items), len(t.many))
		}
		for i, to := range t.many {
			if err := r.assign(to, items[i], s); err != nil {
				return err
			}
		}
		return nil
	case t.attr != "":
		on, _ := s.get(t.name)
		ns, ok := on.(*namespace)
		if !ok {
			return fmt.Errorf("cannot set an attribute of %s, which is no namespace", t.name)
		}
		return r.set(&ns.dict, plain(t.attr), v)
	}
	s.set(t.name, v)
	return nil
}

// A loop is the variable loop of a for statement.
type loop struct {
	items []value
	index int // from 0
	depth int // from 0
	last  []value
	again *callable // of a recursive loop
}

func (r *renderer) loop(n *forLoop, over value, s *scope, depth int) error {
	if err := defined(over); err != nil && n.recursive && depth > 0 {
		return err
	}
	items, err := r.iterate(over)
	if err != nil {
		return err
	}
	if n.cond != nil {
		var kept []value
		for _, v := range items {
			in := s.inner()
			if err := r.assign(n.target, v, in); err != nil {
				return err
			}
			c, err := r.eval(n.cond, in)
			if err != nil {
				return err
			}
			if truth(c) {
				kept = append(kept, v)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		return r.run(n.not, s.inner())
	}
	l := &loop{items: items, depth: depth}
	if n.recursive {
		l.again = &callable{"loop", func(r *renderer, a args) (value, error) {
			got, err := a.take("loop", "items")
			if err != nil {
				return nil, err
			}
			if !given(got[0]) {
				return nil, errors.New("loop is called without items")
			}
			outer, turn := r.out, r.turn
			r.out = &writer{}
			defer func() { r.out, r.turn = outer, turn }()
			if r.calls++; r.calls > maxCalls {
				return nil, fmt.Errorf("%w: calls nested more than %d deep", ErrLimit, maxCalls)
			}
			defer func() { r.calls-- }()
			err = r.loop(n, got[0], s, depth+1)
			return r.out.text(), err
		}}
	}
	turn := r.turn
	defer func() { r.turn = turn }()
	for i, v := range items {
		r.step()
		l.index = i
		r.turn = turn
		if d, ok := v.(*dict); ok && d.source != 0 {
			r.turn = d.source
		}
		in := s.inner()
		if err := r.assign(n.target, v, in); err != nil {
			return err
		}
		in.set("loop", l)
		err := r.run(n.body, in)
		if j, ok := err.(jump); ok {
			if j.next {
				continue
			}
			break
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attr is an attribute of the variable loop.
func (l *loop) attr(name string) (value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.index + 1), true
	case "index0":
		return int64(l.index), true
	case "revindex":
		return int64(n - l.index), true
	case "revindex0":
		return int64(n - l.index - 1), true
	case "first":
		return l.index == 0, true
	case "last":
		return l.index == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if l.index > 0 {
			return l.items[l.index-1], true
		}
		return undefined{"there is no previous item, so loop.previtem"}, true
	case "nextitem":
		if l.index < n-1 {
			return l.items[l.index+1], true
		}
		return undefined{"there is no next item, so loop.nextitem"}, true
	case "cycle":
		return &callable{"cycle", func(_ *renderer, a args) (value, error) {
			if len(a.pos) == 0 {
				return nil, errors.New("cycle has nothing to cycle through")
			}
			return a.pos[l.index%len(a.pos)], nil
		}}, true
	case "changed":
		return &callable{"changed", func(r *renderer, a args) (value, error) {
			same := l.last != nil && r.equal(&list{items: l.last}, &list{items: a.pos})
			l.last = append([]value{}, a.pos...)
			return !same, nil
		}}, true
	}
	return nil, false
}

// macro makes a macro callable where it is defined.
func (r *renderer) macro(n *macroDef, s *scope) *callable {
	r.spend(4 * sizeOfFunc) // with the variables that it sees
	return &callable{n.name, func(r *renderer, a args) (value, error) {
		if r.calls++; r.calls > maxCalls {
			return nil, fmt.Errorf("%w: calls nested more than %d deep", ErrLimit, maxCalls)
		}
		defer func() { r.calls-- }()
		in := s.inner()
		// A caller is passed along by a call block.
		var rest args
		rest.pos = a.pos
		for i, name := range a.names {
			if name == "caller" {
				in.set("caller", a.named[i])
				continue
			}
			rest.names, rest.named = append(rest.names, name), append(rest.named, a.named[i])
		}
		got, err := rest.take("macro "+n.name, n.params...)
		if err != nil {
			return nil, err
		}
		for i, p := range n.params {
			v := got[i]
			if !given(v) {
				v = undefined{fmt.Sprintf("parameter %q was not provided: it", p)}
				if d := i - (len(n.params) - len(n.defaults)); d >= 0 {
					if v, err = r.eval(n.defaults[d], in); err != nil {
						return nil, err
					}
				}
			}
			in.set(p, v)
		}
		return r.capture(n.body, in)
	}}
}

// iterate gives the items of a value.
func (r *renderer) iterate(v value) ([]value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, nil
	case *list:
		return v.items, nil
	case *dict:
		return v.keys, nil
	case str:
		n := v.length()
		r.count(n)
		items := make([]value, 0, n)
		at := 0
		for i := range v.s {
			if i > 0 {
				items = append(items, v.sub(at, i))
			}
			at = i
		}
		if v.s != "" {
			items = append(items, v.sub(at, len(v.s)))
		}
		return items, nil
	}
	return nil, fmt.Errorf("a %s cannot be looped over", typeName(v))
}

// eval computes an expression.
func (r *renderer) eval(e expr, s *scope) (value, error) {
	r.step()
	r.deeper()
	defer func() { r.nest-- }()
	switch e := e.(type) {
	case *constant:
		return e.v, nil
	case *name:
		if v, ok := s.get(e.name); ok {
			return v, nil
		}
		return undefined{fmt.Sprintf("%q", e.name)}, nil
	case *sequence:
		items, err := r.all(e.items, s)
		r.spend(sizeOfList + 16*len(items))
		return &list{items, e.tuple}, err
	case *mapping:
		d := r.newDict()
		for i := range e.keys {
			k, err := r.eval(e.keys[i], s)
			if err != nil {
				return nil, err
			}
			v, err := r.eval(e.values[i], s)
			if err != nil {
				return nil, err
			}
			if err := r.set(d, k, v); err != nil {
				return nil, err
			}
		}
		return d, nil
	case *attribute:
		of, err := r.eval(e.of, s)
		if err != nil {
			return nil, err
		}
		v, err := r.attribute(of, e.name)
		return v, r.at(e.line, err)
	case *subscript:
		of, err := r.eval(e.of, s)
		if err != nil {
			return nil, err
		}
		i, err := r.eval(e.index, s)
		if err != nil {
			return nil, err
		}
		v, err := r.item(of, i)
		return v, r.at(e.line, err)
	case *slice:
		v, err := r.slice(e, s)
		return v, r.at(e.line, err)
	case *call:
		r.line = e.line
		v, err := r.call(e, s, nil)
		return v, r.at(e.line, err)
	case *filter:
		of, err := r.eval(e.of, s)
		if err != nil {
			return nil, err
		}
		a, err := r.arguments(&e.arguments, s)
		if err != nil {
			return nil, r.at(e.line, err)
		}
		r.line = e.line
		v, err := r.apply("filter", filterFuncs, e.name, of, a)
		return v, r.at(e.line, err)
	case *test:
		of, err := r.eval(e.of, s)
		if err != nil {
			return nil, err
		}
		a, err := r.arguments(&e.arguments, s)
		if err != nil {
			return nil, r.at(e.line, err)
		}
		v, err := r.apply("test", testFuncs, e.name, of, a)
		return v, r.at(e.line, err)
	case *unary:
		v, err := r.eval(e.of, s)
		if err != nil {
			return nil, err
		}
		v, err = negate(e.op, v)
		return v, r.at(e.line, err)
	case *binary:
		left, err := r.eval(e.left, s)
		if err != nil {
			return nil, err
		}
		switch e.op {
		case "and":
			if !truth(left) {
				return left, nil
			}
			return r.eval(e.right, s)
		case "or":
			if truth(left) {
				return left, nil
			}
			return r.eval(e.right, s)
		}
		right, err := r.eval(e.right, s)
		if err != nil {
			return nil, err
		}
		r.line = e.line
		v, err := r.binary(e.op, left, right)
		return v, r.at(e.line, err)
	case *comparison:
		left, err := r.eval(e.first, s)
		if err != nil {
			return nil, err
		}
		for i, op := range e.ops {
			right, err := r.eval(e.rest[i], s)
			if err != nil {
				return nil, err
			}
			ok, err := r.holds(op, left, right)
			if err != nil {
				return nil, r.at(e.line, err)
			}
			if !ok {
				return false, nil
			}
			left = right
		}
		return true, nil
	case *choice:
		c, err := r.eval(e.cond, s)
		if err != nil {
			return nil, err
		}
		if truth(c) {
			return r.eval(e.then, s)
		}
		if e.otherwise == nil {
			return undefined{"an if without else"}, nil
		}
		return r.eval(e.otherwise, s)
	}
	return nil, fmt.Errorf("expression %T", e)
}

func (r *renderer) all(es []expr, s *scope) ([]value, error) {
	r.count(len(es))
	out := make([]value, 0, len(es))
	for _, e := range es {
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *renderer) arguments(a *arguments, s *scope) (args, error) {
	var out args
	var err error
	if out.pos, err = r.all(a.pos, s); err != nil {
		return out, err
	}
	out.names = a.names
	if out.named, err = r.all(a.named, s); err != nil {
		return out, err
	}
	if a.splat != nil {
		v, err := r.eval(a.splat, s)
		if err != nil {
			return out, err
		}
		items, err := r.iterate(v)
		if err != nil {
			return out, err
		}
		r.count(len(items))
		out.pos = append(out.pos, items...)
	}
	if a.splatted != nil {
		v, err := r.eval(a.splatted, s)
		if err != nil {
			return out, err
		}
		d, ok := v.(*dict)
		if !ok {
			return out, fmt.Errorf("** of a %s, which is no dict", typeName(v))
		}
		out.names = append([]string{}, out.names...)
		for i, k := range d.keys {
			n, ok := k.(str)
			if !ok {
				return out, errors.New("** of a dict with a key that is no string")
			}
			out.names, out.named = append(out.names, n.s), append(out.named, d.values[i])
		}
	}
	return out, nil
}

// call calls what e says; a call block passes itself along as caller.
func (r *renderer) call(e *call, s *scope, caller *callable) (value, error) {
	f, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	a, err := r.arguments(&e.arguments, s)
	if err != nil {
		return nil, err
	}
	if caller != nil {
		a.names, a.named = append(append([]string{}, a.names...), "caller"), append(a.named, caller)
	}
	r.line = e.line
	switch f := f.(type) {
	case *callable:
		return f.call(r, a)
	case *loop:
		if f.again != nil {
			return f.again.call(r, a)
		}
		return nil, errors.New("loop is called, but the loop is not recursive")
	case undefined:
		return nil, fmt.Errorf("%s is undefined and cannot be called", f.what)
	}
	return nil, fmt.Errorf("a %s cannot be called", typeName(f))
}

// attribute is of.name: Jinja2 looks for an attribute, then for an item.
func (r *renderer) attribute(of value, name string) (value, error) {
	switch v := of.(type) {
	case undefined:
		return nil, fmt.Errorf("%s is undefined, so it has no attribute %q", v.what, name)
	case *loop:
		if x, ok := v.attr(name); ok {
			r.spend(sizeOfFunc) // which some are
			return x, nil
		}
	case *namespace:
		if x, ok := r.get(&v.dict, plain(name)); ok {
			return x, nil
		}
	case *dict:
		if m := r.method(of, name); m != nil {
			return m, nil
		}
		if x, ok := r.get(v, plain(name)); ok {
			return x, nil
		}
	default:
		if m := r.method(of, name); m != nil {
			return m, nil
		}
	}
	r.spend(len(name))
	return undefined{fmt.Sprintf("attribute %q of a %s", name, typeName(of))}, nil
}

// item is of[i]: Jinja2 looks for an item, then for an attribute.
func (r *renderer) item(of, i value) (value, error) {
	switch v := of.(type) {
	case undefined:
		return nil, fmt.Errorf("%s is undefined, so it has no items", v.what)
	case *dict:
		if x, ok := r.get(v, i); ok {
			return x, nil
		}
	case *list:
		if _, k, isInt := number(i); isInt {
			if k < 0 {
				k += int64(len(v.items))
			}
			if k >= 0 && k < int64(len(v.items)) {
				return v.items[k], nil
			}
			return undefined{fmt.Sprintf("item %d of a %s of %d", k, typeName(of), len(v.items))}, nil
		}
	case str:
		if _, k, isInt := number(i); isInt {
			r.spend(len(v.s))
			n := int64(v.length())
			if k < 0 {
				k += n
			}
			if k >= 0 && k < n {
				return v.sub(v.offset(int(k)), v.offset(int(k)+1)), nil
			}
			return undefined{fmt.Sprintf("character %d of a string of %d", k, n)}, nil
		}
	}
	if s, ok := i.(str); ok {
		if _, isDict := of.(*dict); isDict {
			if m := r.method(of, s.s); m != nil {
				return m, nil
			}
		} else {
			return r.attribute(of, s.s)
		}
	}
	return undefined{fmt.Sprintf("an item of a %s", typeName(of))}, nil
}

// slice is of[from:to:step].
func (r *renderer) slice(e *slice, s *scope) (value, error) {
	of, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	if err := defined(of); err != nil {
		return nil, err
	}
	var n int
	switch v := of.(type) {
	case *list:
		n = len(v.items)
	case str:
		r.spend(len(v.s))
		n = v.length()
	default:
		return undefined{fmt.Sprintf("a slice of a %s", typeName(of))}, nil
	}
	part := func(e expr) (int64, bool, error) {
		if e == nil {
			return 0, false, nil
		}
		v, err := r.eval(e, s)
		if err != nil || v == nil {
			return 0, false, err
		}
		_, i, isInt := number(v)
		if !isInt {
			return 0, false, fmt.Errorf("a slice by a %s", typeName(v))
		}
		return i, true, nil
	}
	from, hasFrom, err := part(e.from)
	if err != nil {
		return nil, err
	}
	to, hasTo, err := part(e.to)
	if err != nil {
		return nil, err
	}
	step, hasStep, err := part(e.step)
	if err != nil {
		return nil, err
	}
	if !hasStep {
		step = 1
	}
	if step == 0 {
		return nil, errors.New("a slice by steps of 0")
	}
	// Python's rules: bounds count from the end where negative, and are cut to
	// what there is.
	low, high := int64(0), int64(n)
	if step < 0 {
		low, high = -1, int64(n)-1
	}
	bound := func(i int64, has bool, otherwise int64) int64 {
		if !has {
			return otherwise
		}
		if i < 0 {
			i = max(i, math.MinInt64/2) + int64(n)
		}
		return min(max(i, low), high)
	}
	if step > 0 {
		from, to = bound(from, hasFrom, low), bound(to, hasTo, high)
	} else {
		from, to = bound(from, hasFrom, high), bound(to, hasTo, low)
	}
	if text, ok := of.(str); ok && step == 1 {
		return text.sub(text.offset(int(from)), text.offset(int(max(from, to)))), nil
	}
	items, err := r.iterate(of)
	if err != nil {
		return nil, err
	}
	var out []value
	step = min(max(step, -int64(n)-1), int64(n)+1)
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		r.count(1)
		out = append(out, items[i])
	}
	if _, ok := of.(str); ok {
		var t textBuilder
		for _, c := range out {
			t.add(c.(str))
		}
		return t.text(), nil
	}
	return &list{out, of.(*list).tuple}, nil
}

func negate(op string, v value) (value, error) {
	if op == "not" {
		return !truth(v), nil
	}
	if err := defined(v); err != nil {
		return nil, err
	}
	if !isNumber(v) {
		return nil, fmt.Errorf("%s of a %s", op, typeName(v))
	}
	f, i, isInt := number(v)
	switch {
	case !isInt && op == "-":
		return -f, nil
	case !isInt:
		return f, nil
	case op == "-":
		if i == math.MinInt64 {
			return nil, errOverflow
		}
		return -i, nil
	}
	return i, nil
}

var errOverflow = errors.New("an integer exceeds 64 bits")

// holds reports whether a comparison is true.
func (r *renderer) holds(op string, a, b value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b), nil
	case "!=":
		return !r.equal(a, b), nil
	case "in", "not in":
		in, err := r.contains(b, a)
		return in == (op == "in"), err
	}
	c, err := r.compare(a, b)
	if err != nil {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

func (r *renderer) contains(in, v value) (bool, error) {
	switch in := in.(type) {
	case str:
		s, ok := v.(str)
		if !ok {
			return false, fmt.Errorf("a %s cannot be in a string", typeName(v))
		}
		r.spend(len(in.s))
		return strings.Contains(in.s, s.s), nil
	case *list:
		for _, x := range in.items {
			if r.equal(x, v) {
				return true, nil
			}
		}
		return false, nil
	case *dict:
		_, ok := r.get(in, v)
		return ok, nil
	case undefined:
		return false, nil
	}
	return false, fmt.Errorf("nothing can be in a %s", typeName(in))
}

// binary computes an operator on two values.
func (r *renderer) binary(op string, a, b value) (value, error) {
	if op == "~" {
		x, err := r.text(a)
		if err != nil {
			return nil, err
		}
		y, err := r.text(b)
		if err != nil {
			return nil, err
		}
		r.spend(len(x.s) + len(y.s))
		return concat(x, y), nil
	}
	if err := defined(a); err != nil {
		return nil, err
	}
	if err := defined(b); err != nil {
		return nil, err
	}
	bad := func() (value, error) {
		return nil, fmt.Errorf("%s %s %s is not possible", typeName(a), op, typeName(b))
	}
	if isNumber(a) && isNumber(b) {
		return arithmetic(op, a, b)
	}
	switch x := a.(type) {
	case str:
		switch op {
		case "+":
			if y, ok := b.(str); ok {
				r.spend(len(x.s) + len(y.s))
				return concat(x, y), nil
			}
		case "*":
			return r.repeat(x, b, bad)
		case "%":
			if y, ok := b.(*list); ok && y.tuple {
				return r.percent(x, y.items)
			}
			return r.percent(x, []value{b})
		}
	case *list:
		switch op {
		case "+":
			if y, ok := b.(*list); ok && x.tuple == y.tuple {
				r.count(len(x.items) + len(y.items))
				return &list{append(append([]value{}, x.items...), y.items...), x.tuple}, nil
			}
		case "*":
			return r.repeat(x, b, bad)
		}
	default:
		if op == "*" {
			switch b.(type) {
			case str, *list:
				return r.repeat(b, a, bad)
			}
		}
	}
	return bad()
}

// repeat is a string or a list, n times.
func (r *renderer) repeat(of, n value, bad func() (value, error)) (value, error) {
	_, k, isInt := number(n)
	if !isInt {
		return bad()
	}
	k = max(k, 0)
	size := 1
	switch v := of.(type) {
	case str:
		size = len(v.s)
	case *list:
		size = len(v.items)
	}
	if size > 0 && k > int64(r.bytes/size) {
		r.spend(r.bytes + 1)
	}
	if v, ok := of.(str); ok {
		r.spend(size * int(k))
		if v.from == nil {
			return plain(strings.Repeat(v.s, int(k))), nil
		}
		var t textBuilder
		for range k {
			t.add(v)
		}
		return t.text(), nil
	}
	v := of.(*list)
	r.count(size * int(k))
	out := make([]value, 0, size*int(k))
	if size > 0 {
		for range k {
			out = append(out, v.items...)
		}
	}
	return &list{out, v.tuple}, nil
}

// arithmetic computes with numbers, as Python does.
func arithmetic(op string, a, b value) (value, error) {
	fa, ia, inta := number(a)
	fb, ib, intb := number(b)
	if (op == "/" || op == "//" || op == "%") && fb == 0 {
		return nil, errors.New("division by zero")
	}
	if !inta || !intb || op == "/" || op == "**" && ib < 0 {
		switch op {
		case "+":
			return fa + fb, nil
		case "-":
			return fa - fb, nil
		case "*":
			return fa * fb, nil
		case "/":
			return fa / fb, nil
		case "//":
			return math.Floor(fa / fb), nil
		case "%":
			m := math.Mod(fa, fb)
			if m != 0 && (m < 0) != (fb < 0) {
				m += fb
			}
			return m, nil
		case "**":
			return math.Pow(fa, fb), nil
		}
		return nil, fmt.Errorf("unknown operator %q", op)
	}
	switch op {
	case "+":
		c := ia + ib
		if (c > ia) != (ib > 0) && ib != 0 {
			return nil, errOverflow
		}
		return c, nil
	case "-":
		c := ia - ib
		if (c < ia) != (ib > 0) && ib != 0 {
			return nil, errOverflow
		}
		return c, nil
	case "*":
		return multiply(ia, ib)
	case "//":
		if ia == math.MinInt64 && ib == -1 {
			return nil, errOverflow
		}
		q := ia / ib
		if ia%ib != 0 && (ia < 0) != (ib < 0) {
			q--
		}
		return q, nil
	case "%":
		if ib == -1 {
			return int64(0), nil
		}
		m := ia % ib
		if m != 0 && (m < 0) != (ib < 0) {
			m += ib
		}
		return m, nil
	case "**":
		// Squares: at most 64 rounds before the result is 0, 1, -1 or too large.
		result := value(int64(1))
		for base := ia; ib > 0; {
			var err error
			if ib&1 == 1 {
				if result, err = multiply(result.(int64), base); err != nil {
					return nil, err
				}
			}
			if ib >>= 1; ib > 0 {
				sq, err := multiply(base, base)
				if err != nil {
					return nil, err
				}
				base = sq.(int64)
			}
		}
		return result, nil
	}
	return nil, fmt.Errorf("unknown operator %q", op)
}

func multiply(a, b int64) (value, error) {
	if a == 0 || b == 0 {
		return int64(0), nil
	}
	c := a * b
	if c/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64 {
		return nil, errOverflow
	}
	return c, nil
}
