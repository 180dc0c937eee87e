package jinja

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// An Error says what is wrong with a template, or with what it was given, and
// where.
type Error struct {
	Line int    // of the template, from 1
	Msg  string // what is wrong
	Err  error  // the cause: ErrLimit, ErrRaised, the error of a context, or nil
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrLimit is wrapped by the error of a template that computes more than
	// Options allow.
	ErrLimit = errors.New("the template exceeds a limit")
	// ErrRaised is wrapped by the error of a template that calls
	// raise_exception; the message is the template's own.
	ErrRaised = errors.New("raised by the template")
)

// A Template is a parsed template. It does not change and is safe for concurrent
// use.
type Template struct{ body []stmt }

// maxSource bounds the length of a template in bytes; real ones have some ten
// thousand.
const maxSource = 1 << 20

// Parse reads a template. Its error is an *Error.
func Parse(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, &Error{1, fmt.Sprintf("the template has %d bytes, more than %d", len(source), maxSource), ErrLimit}
	}
	items, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{items: items}
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Options are what a template is rendered with.
type Options struct {
	// Variables by name: nil, bool, int, float64, string, Marked, Object and
	// []any of these.
	Variables map[string]any
	// Now is what strftime_now tells; where it is zero, templates do not have
	// that function.
	Now time.Time
	// MaxSteps bounds the number of computations, and MaxBytes the length of
	// all strings that are made, in bytes. 0 means DefaultMaxSteps and
	// DefaultMaxBytes.
	MaxSteps, MaxBytes int
}

// The limits of a rendering unless Options say others: a few seconds, and a
// few hundred megabytes of memory at the very most.
const (
	DefaultMaxSteps = 10_000_000
	DefaultMaxBytes = 64 << 20
)

// Marked is a string whose bytes are known again in the output.
type Marked struct {
	Text   string
	Source int // above 0
}

// An Object is a mapping with fields in order, such as a message. Text that is
// written while a loop is at an object with a Source above 0 is of its turn.
type Object struct {
	Source int
	Fields []Field
}

// A Field is one field of an Object, with a value as in Options.
type Field struct {
	Name  string
	Value any
}

// An Output is a rendered text.
type Output struct {
	Text string
	// Parts cover the text in order, without empty ones.
	Parts []Part
	// Dated says that the template asked for the date or the time.
	Dated bool
}

// A Part is a run of bytes of one origin.
type Part struct {
	Start, End int
	// Source is that of the Marked text that the bytes are from, 0 for what the
	// template wrote itself.
	Source int
	// Turn is the Source of the Object that the innermost loop over such was
	// at, 0 outside of loops.
	Turn int
}

// Render renders the template. Its error is an *Error, also where ctx ends
// (errors.Is ctx.Err()).
func (t *Template) Render(ctx context.Context, o Options) (out *Output, err error) {
	if o.MaxSteps == 0 {
		o.MaxSteps = DefaultMaxSteps
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	r := &renderer{ctx: ctx, now: o.Now, steps: o.MaxSteps, bytes: o.MaxBytes, line: 1}
	// What exceeds a limit deep inside a computation ends it at once.
	defer func() {
		switch p := recover().(type) {
		case nil:
		case limit:
			out, err = nil, &Error{r.line, p.err.Error(), p.err}
		default:
			panic(p)
		}
	}()
	top := &scope{vars: map[string]value{}}
	r.globals(top)
	names := make([]string, 0, len(o.Variables))
	for n := range o.Variables {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		v, err := r.convert(o.Variables[n], 0)
		if err != nil {
			return nil, &Error{1, fmt.Sprintf("variable %q: %v", n, err), nil}
		}
		top.vars[n] = v
	}
	w := &writer{main: true}
	r.out = w
	if err := r.run(t.body, &scope{vars: map[string]value{}, outer: top}); err != nil {
		var at *Error
		if !errors.As(err, &at) {
			at = &Error{r.line, err.Error(), errors.Unwrap(err)}
		}
		return nil, at
	}
	return &Output{Text: w.b.String(), Parts: w.parts, Dated: r.dated}, nil
}

// convert makes a value of a variable.
func (r *renderer) convert(v any, depth int) (value, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	r.step()
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		return v, nil
	case int:
		return int64(v), nil
	case float64:
		return v, nil
	case string:
		return plain(v), nil
	case Marked:
		if v.Text == "" {
			return str{}, nil
		}
		return str{v.Text, []seg{{len(v.Text), v.Source}}}, nil
	case Object:
		d := newDict()
		d.source = v.Source
		for _, f := range v.Fields {
			x, err := r.convert(f.Value, depth+1)
			if err != nil {
				return nil, err
			}
			if err := r.set(d, plain(f.Name), x); err != nil {
				return nil, err
			}
		}
		return d, nil
	case []any:
		l := &list{}
		for _, e := range v {
			x, err := r.convert(e, depth+1)
			if err != nil {
				return nil, err
			}
			l.items = append(l.items, x)
		}
		return l, nil
	}
	return nil, fmt.Errorf("a %T cannot be given to a template", v)
}
