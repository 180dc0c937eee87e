package hf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// An object is a JSON object whose values are read as they are wanted. The first
// error stays in it and in all objects that come from it.
type object struct {
	file   string // for errors
	at     string // the path of keys to it, "" or ending in a dot
	fields map[string]json.RawMessage
	err    *error
}

func parseObject(file string, text []byte) (*object, error) {
	o := &object{file: file, err: new(error)}
	if err := json.Unmarshal(text, &o.fields); err != nil {
		return nil, fmt.Errorf("hf: %s: not a JSON object: %w", file, err)
	}
	return o, nil
}

func (o *object) fail(format string, args ...any) {
	if *o.err == nil {
		*o.err = fmt.Errorf("hf: %s: %w", o.file, fmt.Errorf(format, args...))
	}
}

// unsupported says that the value of a key is sound but cannot be had.
func (o *object) unsupported(key string) {
	o.fail("%.99q: %.99s is %w", o.at+key, o.fields[key], ErrUnsupported)
}

// has reports whether there is a key with a value other than null.
func (o *object) has(key string) bool {
	v, ok := o.fields[key]
	return ok && !bytes.Equal(v, []byte("null"))
}

// decode reads the value of a key, if it has one, into v.
func (o *object) decode(key string, v any, want string) bool {
	if !o.has(key) || *o.err != nil {
		return false
	}
	if err := json.Unmarshal(o.fields[key], v); err != nil {
		o.fail("%.99q: %.99s is not %s", o.at+key, o.fields[key], want)
		return false
	}
	return true
}

func (o *object) missing(key string) { o.fail("%.99q is missing", o.at+key) }

// required is a default of count that makes a missing key an error.
const required = -1

// count reads a whole number from 0 to 2³¹-1.
func (o *object) count(key string, def int) int {
	var v int64
	if !o.decode(key, &v, "a whole number") {
		if def == required {
			o.missing(key)
			return 0
		}
		return def
	}
	if v < 0 || v > math.MaxInt32 {
		o.fail("%.99q: %d is not a count", o.at+key, v)
		return 0
	}
	return int(v)
}

// number reads a finite number; NaN as its default makes a missing key an
// error.
func (o *object) number(key string, def float64) float64 {
	v := def
	if !o.decode(key, &v, "a number") && math.IsNaN(def) {
		o.missing(key)
		return 0
	}
	return v
}

func (o *object) text(key, def string) string {
	v := def
	o.decode(key, &v, "a string")
	return v
}

func (o *object) truth(key string, def bool) bool {
	v := def
	o.decode(key, &v, "true or false")
	return v
}

// object reads an object; nil where there is none.
func (o *object) object(key string) *object {
	child := &object{file: o.file, at: o.at + key + ".", err: o.err}
	if !o.decode(key, &child.fields, "an object") {
		return nil
	}
	return child
}
