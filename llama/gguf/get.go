package gguf

import (
	"fmt"
	"math"
	"slices"
)

// Keys gives the metadata keys in file order.
func (f *File) Keys() []string { return slices.Clone(f.keys) }

// Get gives the value of a key as it stands in the file, and whether the file
// has the key.
func (f *File) Get(key string) (Value, bool) {
	e, ok := f.meta[key]
	return e.value, ok
}

// valueError reports that the value of a key is not what was asked for.
func (f *File) valueError(key string, format string, args ...any) error {
	return &FormatError{File: f.Path, Offset: f.meta[key].offset, Item: keyItem(key), Msg: fmt.Sprintf(format, args...)}
}

// get decodes the value of a key with conv, which returns a message where the
// value does not convert.
func get[T any](f *File, key, want string, conv func(Value) (T, string)) (T, error) {
	e, ok := f.meta[key]
	if !ok {
		var none T
		return none, &FormatError{File: f.Path, Offset: -1, Item: keyItem(key), Msg: "key is missing, want " + want, Err: ErrMissing}
	}
	x, msg := conv(e.value)
	if msg != "" {
		var none T
		return none, f.valueError(key, "%s, want %s", msg, want)
	}
	return x, nil
}

// getOr is get, with a default for a missing key.
func getOr[T any](f *File, key string, def T, get func(string) (T, error)) (T, error) {
	if _, ok := f.meta[key]; !ok {
		return def, nil
	}
	return get(key)
}

// wrong is the message for a value of another type than was asked for.
func wrong(v Value) string { return "value is " + v.describe() }

// String gives the string under a key. The bytes are the file's and need not
// be valid UTF-8. It fails where the key is missing (errors.Is ErrMissing) or
// has another type, as do the other typed getters.
func (f *File) String(key string) (string, error) {
	return get(f, key, "a string", func(v Value) (string, string) {
		if v.typ != TypeString {
			return "", wrong(v)
		}
		return v.raw[minString:], ""
	})
}

// Bool gives the bool under a key.
func (f *File) Bool(key string) (bool, error) {
	return get(f, key, "a bool", func(v Value) (bool, string) {
		if v.typ != TypeBool {
			return false, wrong(v)
		}
		return v.bits(0) != 0, ""
	})
}

// Uint gives the integer under a key, whichever integer type the file uses for
// it, as writers differ. A negative integer is an error.
func (f *File) Uint(key string) (uint64, error) {
	return get(f, key, "a non-negative integer", asUint)
}

func asUint(v Value) (uint64, string) {
	if !v.typ.integer() {
		return 0, wrong(v)
	}
	if v.typ == TypeUint64 {
		return v.bits(0), ""
	}
	x, _ := v.signed(0)
	if x < 0 {
		return 0, wrong(v)
	}
	return uint64(x), ""
}

// Int gives the integer under a key, whichever integer type the file uses for
// it. An integer above the largest int64 is an error.
func (f *File) Int(key string) (int64, error) {
	return get(f, key, "a 64-bit signed integer", func(v Value) (int64, string) {
		if !v.typ.integer() {
			return 0, wrong(v)
		}
		x, ok := v.signed(0)
		if !ok {
			return 0, wrong(v)
		}
		return x, ""
	})
}

// Float gives the float32 or float64 under a key.
func (f *File) Float(key string) (float64, error) {
	return get(f, key, "a float", func(v Value) (float64, string) {
		switch v.typ {
		case TypeFloat32, TypeFloat64:
			return v.float(0), ""
		}
		return 0, wrong(v)
	})
}

// float gives element i of a float type.
func (v Value) float(i int) float64 {
	if v.elem == TypeFloat32 {
		return float64(math.Float32frombits(uint32(v.bits(i))))
	}
	return math.Float64frombits(v.bits(i))
}

// Strings gives the array of strings under a key. The strings share memory
// with the file's metadata, which therefore lives as long as they do.
func (f *File) Strings(key string) ([]string, error) {
	return get(f, key, "an array of strings", func(v Value) ([]string, string) {
		if v.typ != TypeArray || v.elem != TypeString {
			return nil, wrong(v)
		}
		return v.strings(v.n), ""
	})
}

// Floats gives the array of floats under a key; float64 elements are rounded
// to float32.
func (f *File) Floats(key string) ([]float32, error) {
	return get(f, key, "an array of floats", func(v Value) ([]float32, string) {
		if v.typ != TypeArray || v.elem != TypeFloat32 && v.elem != TypeFloat64 {
			return nil, wrong(v)
		}
		all := make([]float32, v.n)
		for i := range all {
			all[i] = float32(v.float(i))
		}
		return all, ""
	})
}

// Bools gives the array of bools under a key.
func (f *File) Bools(key string) ([]bool, error) {
	return get(f, key, "an array of bools", func(v Value) ([]bool, string) {
		if v.typ != TypeArray || v.elem != TypeBool {
			return nil, wrong(v)
		}
		all := make([]bool, v.n)
		for i := range all {
			all[i] = v.bits(i) != 0
		}
		return all, ""
	})
}

// Ints gives the array of integers under a key, whichever integer type its
// elements have. An element above the largest int64 is an error.
func (f *File) Ints(key string) ([]int64, error) {
	return get(f, key, "an array of 64-bit signed integers", func(v Value) ([]int64, string) {
		return ints[int64](v, math.MinInt64, math.MaxInt64)
	})
}

// Int32s is Ints for arrays such as token types: an element that does not fit
// an int32 is an error.
func (f *File) Int32s(key string) ([]int32, error) {
	return get(f, key, "an array of 32-bit signed integers", func(v Value) ([]int32, string) {
		return ints[int32](v, math.MinInt32, math.MaxInt32)
	})
}

func ints[T int32 | int64](v Value, least, most int64) ([]T, string) {
	if v.typ != TypeArray || !v.elem.integer() {
		return nil, wrong(v)
	}
	all := make([]T, v.n)
	for i := range all {
		x, ok := v.signed(i)
		if !ok || x < least || x > most {
			return nil, fmt.Sprintf("element %d is %s", i, v.element(i))
		}
		all[i] = T(x)
	}
	return all, ""
}

// StringOr is String, with a default for a missing key.
func (f *File) StringOr(key, def string) (string, error) { return getOr(f, key, def, f.String) }

// BoolOr is Bool, with a default for a missing key.
func (f *File) BoolOr(key string, def bool) (bool, error) { return getOr(f, key, def, f.Bool) }

// UintOr is Uint, with a default for a missing key.
func (f *File) UintOr(key string, def uint64) (uint64, error) { return getOr(f, key, def, f.Uint) }

// IntOr is Int, with a default for a missing key.
func (f *File) IntOr(key string, def int64) (int64, error) { return getOr(f, key, def, f.Int) }

// FloatOr is Float, with a default for a missing key.
func (f *File) FloatOr(key string, def float64) (float64, error) {
	return getOr(f, key, def, f.Float)
}
