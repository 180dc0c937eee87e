package gguf

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func nested(t testing.TB, arrays ...Value) Value {
	t.Helper()
	v, err := Nested(arrays...)
	require.NoError(t, err)
	return v
}

// encode writes a file to memory and reads it back.
func encode(t testing.TB, kvs []KV, tensors []TensorData, opts EncodeOptions) (*File, []byte) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Encode(&b, kvs, tensors, opts))
	f, err := Parse(b.Bytes(), "test.gguf")
	require.NoError(t, err)
	return f, b.Bytes()
}

// Every type that metadata can have: what the file says it is, what it decodes
// to, and how it prints.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		value  Value
		typ    ValueType
		elem   ValueType
		any    any
		prints string
	}{
		{Scalar(uint8(255)), TypeUint8, TypeUint8, uint8(255), "255"},
		{Scalar(int8(-128)), TypeInt8, TypeInt8, int8(-128), "-128"},
		{Scalar(uint16(65535)), TypeUint16, TypeUint16, uint16(65535), "65535"},
		{Scalar(int16(-2)), TypeInt16, TypeInt16, int16(-2), "-2"},
		{Scalar(uint32(1 << 31)), TypeUint32, TypeUint32, uint32(1 << 31), "2147483648"},
		{Scalar(int32(-3)), TypeInt32, TypeInt32, int32(-3), "-3"},
		{Scalar(float32(0.1)), TypeFloat32, TypeFloat32, float32(0.1), "0.1"},
		{Scalar(true), TypeBool, TypeBool, true, "true"},
		{Scalar(false), TypeBool, TypeBool, false, "false"},
		{Scalar("a\x00\xff"), TypeString, TypeString, "a\x00\xff", `"a\x00\xff"`},
		{Scalar(""), TypeString, TypeString, "", `""`},
		{Scalar(uint64(math.MaxUint64)), TypeUint64, TypeUint64, uint64(math.MaxUint64), "18446744073709551615"},
		{Scalar(int64(math.MinInt64)), TypeInt64, TypeInt64, int64(math.MinInt64), "-9223372036854775808"},
		{Scalar(-0.1), TypeFloat64, TypeFloat64, -0.1, "-0.1"},

		{Array([]uint8{1, 2}), TypeArray, TypeUint8, []uint8{1, 2}, "[1 2]"},
		{Array([]int8{-1, 2}), TypeArray, TypeInt8, []int8{-1, 2}, "[-1 2]"},
		{Array([]uint16{1, 65535}), TypeArray, TypeUint16, []uint16{1, 65535}, "[1 65535]"},
		{Array([]int16{-1, 2}), TypeArray, TypeInt16, []int16{-1, 2}, "[-1 2]"},
		{Array([]uint32{1, 2}), TypeArray, TypeUint32, []uint32{1, 2}, "[1 2]"},
		{Array([]int32{-1, 2}), TypeArray, TypeInt32, []int32{-1, 2}, "[-1 2]"},
		{Array([]float32{-1.5, 2}), TypeArray, TypeFloat32, []float32{-1.5, 2}, "[-1.5 2]"},
		{Array([]bool{true, false}), TypeArray, TypeBool, []bool{true, false}, "[true false]"},
		{Array([]string{"", "b c"}), TypeArray, TypeString, []string{"", "b c"}, `["" "b c"]`},
		{Array([]uint64{1, 2}), TypeArray, TypeUint64, []uint64{1, 2}, "[1 2]"},
		{Array([]int64{-1, 2}), TypeArray, TypeInt64, []int64{-1, 2}, "[-1 2]"},
		{Array([]float64{-1.5, 2}), TypeArray, TypeFloat64, []float64{-1.5, 2}, "[-1.5 2]"},
		{Array([]string{}), TypeArray, TypeString, []string{}, "[]"},
		{Array([]uint16{}), TypeArray, TypeUint16, []uint16{}, "[]"},
		{
			nested(t, Array([]uint8{1}), nested(t, Array([]string{"x"}))), TypeArray, TypeArray,
			[]Value{Array([]uint8{1}), nested(t, Array([]string{"x"}))}, `[[1] [["x"]]]`,
		},
		{nested(t), TypeArray, TypeArray, []Value{}, "[]"},
	} {
		t.Run(c.value.Type().String()+c.prints, func(t *testing.T) {
			for _, version := range []int{2, 3} {
				f, _ := encode(t, []KV{{"first", Scalar("x")}, {"k", c.value}, {"last", Scalar(uint8(9))}}, nil, EncodeOptions{Version: version})
				require.Equal(t, version, f.Version)
				require.Equal(t, []string{"first", "k", "last"}, f.Keys())

				v, ok := f.Get("k")
				require.True(t, ok)
				require.Equal(t, c.value, v)
				require.True(t, c.value == v)
				require.Equal(t, c.typ, v.Type())
				require.Equal(t, c.elem, v.Elem())
				require.Equal(t, c.any, v.Any())
				require.Equal(t, c.prints, v.String())

				last, err := f.Uint("last")
				require.NoError(t, err)
				require.EqualValues(t, 9, last)
			}
		})
	}
}

func TestValueBits(t *testing.T) {
	// A NaN's payload is part of the file and survives.
	nan := math.Float32frombits(0x7fc12345)
	f, _ := encode(t, []KV{{"nan", Scalar(nan)}}, nil, EncodeOptions{})
	v, _ := f.Get("nan")
	require.Equal(t, uint32(0x7fc12345), math.Float32bits(v.Any().(float32)))
}

func TestValueString(t *testing.T) {
	require.Equal(t, "invalid", Value{}.String())
	require.Nil(t, Value{}.Any())
	require.Equal(t, "[0 1 2 3 4 5 6 7 ... (10 elements)]", Array([]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}).String())
	require.Equal(t, `["a" "a" "a" "a" "a" "a" "a" "a" ... (9 elements)]`, Array(strings.Split("aaaaaaaaa", "")).String())
	require.Equal(t, `"`+strings.Repeat("x", 100)+`"... (300 bytes)`, Scalar(strings.Repeat("x", 300)).String())
	require.Equal(t, "value type 13", ValueType(13).String())
	require.Equal(t, "value type 4294967295", ValueType(math.MaxUint32).String())
}

func TestNestedErrors(t *testing.T) {
	_, err := Nested(Array([]int8{1}), Scalar(int8(1)))
	require.EqualError(t, err, "gguf: element 1 of an array of arrays is int8 1")
	_, err = Nested(Value{})
	require.EqualError(t, err, "gguf: element 0 of an array of arrays is no value")

	v := Array([]int8{1})
	for range maxDepth - 1 {
		v = nested(t, v)
	}
	encode(t, []KV{{"deep", v}}, nil, EncodeOptions{}) // what can be made can be read
	_, err = Nested(v)
	require.EqualError(t, err, "gguf: arrays nest more than 8 deep")
	_, err = Nested(v.Any().([]Value)[0], v)
	require.Error(t, err, "depth survives decoding")
}

// What each getter takes and what it says where it does not.
func TestGetters(t *testing.T) {
	f, _ := encode(t, []KV{
		{"u8", Scalar(uint8(200))},
		{"i8", Scalar(int8(-7))},
		{"i32", Scalar(int32(7))},
		{"big", Scalar(uint64(1 << 63))},
		{"f32", Scalar(float32(0.5))},
		{"f64", Scalar(0.1)},
		{"yes", Scalar(true)},
		{"s", Scalar("text")},
		{"strings", Array([]string{"a", "", "c"})},
		{"f32s", Array([]float32{1, 2.5})},
		{"f64s", Array([]float64{0.1})},
		{"i32s", Array([]int32{-1, 6})},
		{"u8s", Array([]uint8{3, 255})},
		{"u32s", Array([]uint32{1, 1 << 31})},
		{"u64s", Array([]uint64{1 << 63})},
		{"bools", Array([]bool{true, false})},
		{"none", Array([]int16{})},
	}, nil, EncodeOptions{})

	any2 := func(x any, err error) func() (any, error) { return func() (any, error) { return x, err } }
	str := func(k string) func() (any, error) { x, err := f.String(k); return any2(x, err) }
	uns := func(k string) func() (any, error) { x, err := f.Uint(k); return any2(x, err) }
	sig := func(k string) func() (any, error) { x, err := f.Int(k); return any2(x, err) }
	flt := func(k string) func() (any, error) { x, err := f.Float(k); return any2(x, err) }
	boo := func(k string) func() (any, error) { x, err := f.Bool(k); return any2(x, err) }
	strs := func(k string) func() (any, error) { x, err := f.Strings(k); return any2(x, err) }
	flts := func(k string) func() (any, error) { x, err := f.Floats(k); return any2(x, err) }
	ints := func(k string) func() (any, error) { x, err := f.Ints(k); return any2(x, err) }
	int32s := func(k string) func() (any, error) { x, err := f.Int32s(k); return any2(x, err) }
	bools := func(k string) func() (any, error) { x, err := f.Bools(k); return any2(x, err) }

	for name, c := range map[string]struct {
		get  func() (any, error)
		want any    // where it succeeds
		err  string // what the message says after the offset, where it fails
	}{
		"string":                {str("s"), "text", ""},
		"string of bool":        {str("yes"), nil, `value is bool true, want a string`},
		"string of strings":     {str("strings"), nil, `value is an array of 3 string, want a string`},
		"uint of uint8":         {uns("u8"), uint64(200), ""},
		"uint of int32":         {uns("i32"), uint64(7), ""},
		"uint of uint64":        {uns("big"), uint64(1 << 63), ""},
		"uint of negative":      {uns("i8"), nil, `value is int8 -7, want a non-negative integer`},
		"uint of float":         {uns("f32"), nil, `value is float32 0.5, want a non-negative integer`},
		"uint of bool":          {uns("yes"), nil, `value is bool true, want a non-negative integer`},
		"uint of array":         {uns("u8s"), nil, `value is an array of 2 uint8, want a non-negative integer`},
		"int of int8":           {sig("i8"), int64(-7), ""},
		"int of uint8":          {sig("u8"), int64(200), ""},
		"int of large uint64":   {sig("big"), nil, `value is uint64 9223372036854775808, want a 64-bit signed integer`},
		"int of string":         {sig("s"), nil, `value is string "text", want a 64-bit signed integer`},
		"float of float32":      {flt("f32"), 0.5, ""},
		"float of float64":      {flt("f64"), 0.1, ""},
		"float of int":          {flt("i32"), nil, `value is int32 7, want a float`},
		"bool":                  {boo("yes"), true, ""},
		"bool of int":           {boo("u8"), nil, `value is uint8 200, want a bool`},
		"strings":               {strs("strings"), []string{"a", "", "c"}, ""},
		"strings of string":     {strs("s"), nil, `value is string "text", want an array of strings`},
		"strings of ints":       {strs("i32s"), nil, `value is an array of 2 int32, want an array of strings`},
		"floats":                {flts("f32s"), []float32{1, 2.5}, ""},
		"floats of float64":     {flts("f64s"), []float32{0.1}, ""},
		"floats of ints":        {flts("i32s"), nil, `value is an array of 2 int32, want an array of floats`},
		"floats of float":       {flts("f32"), nil, `value is float32 0.5, want an array of floats`},
		"ints of int32":         {ints("i32s"), []int64{-1, 6}, ""},
		"ints of uint8":         {ints("u8s"), []int64{3, 255}, ""},
		"ints of none":          {ints("none"), []int64{}, ""},
		"ints of large uint64":  {ints("u64s"), nil, `element 0 is 9223372036854775808, want an array of 64-bit signed integers`},
		"ints of int":           {ints("i32"), nil, `value is int32 7, want an array of 64-bit signed integers`},
		"ints of floats":        {ints("f32s"), nil, `value is an array of 2 float32, want an array of 64-bit signed integers`},
		"int32s":                {int32s("i32s"), []int32{-1, 6}, ""},
		"int32s of large":       {int32s("u32s"), nil, `element 1 is 2147483648, want an array of 32-bit signed integers`},
		"int32s of large64":     {int32s("u64s"), nil, `element 0 is 9223372036854775808, want an array of 32-bit signed integers`},
		"bools":                 {bools("bools"), []bool{true, false}, ""},
		"bools of ints":         {bools("u8s"), nil, `value is an array of 2 uint8, want an array of bools`},
		"missing names no byte": {str("nope"), nil, `gguf: test.gguf: key "nope": key is missing, want a string`},
		"missing array":         {flts("nope"), nil, `gguf: test.gguf: key "nope": key is missing, want an array of floats`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.get()
			if c.err == "" {
				require.NoError(t, err)
				require.Equal(t, c.want, got)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.Equal(t, strings.HasPrefix(name, "missing"), errors.Is(err, ErrMissing))
			var format *FormatError
			require.ErrorAs(t, err, &format)
			require.Equal(t, "test.gguf", format.File)
			require.Contains(t, format.Item, "key ")
		})
	}
}

func TestGettersWithDefault(t *testing.T) {
	f, _ := encode(t, []KV{
		{"s", Scalar("x")}, {"u", Scalar(uint16(1))}, {"i", Scalar(int16(-1))}, {"f", Scalar(float32(2))}, {"b", Scalar(true)},
	}, nil, EncodeOptions{})

	s, err := f.StringOr("s", "def")
	require.NoError(t, err)
	require.Equal(t, "x", s)
	s, err = f.StringOr("nope", "def")
	require.NoError(t, err)
	require.Equal(t, "def", s)

	u, err := f.UintOr("u", 5)
	require.NoError(t, err)
	require.EqualValues(t, 1, u)
	u, err = f.UintOr("nope", 5)
	require.NoError(t, err)
	require.EqualValues(t, 5, u)

	i, err := f.IntOr("i", 5)
	require.NoError(t, err)
	require.EqualValues(t, -1, i)
	i, err = f.IntOr("nope", -5)
	require.NoError(t, err)
	require.EqualValues(t, -5, i)

	x, err := f.FloatOr("f", 0.5)
	require.NoError(t, err)
	require.EqualValues(t, 2, x)
	x, err = f.FloatOr("nope", 0.5)
	require.NoError(t, err)
	require.EqualValues(t, 0.5, x)

	b, err := f.BoolOr("b", false)
	require.NoError(t, err)
	require.True(t, b)
	b, err = f.BoolOr("nope", true)
	require.NoError(t, err)
	require.True(t, b)

	// A default stands in for a missing key, never for a wrong type.
	_, err = f.UintOr("s", 5)
	require.ErrorContains(t, err, `key "s" at byte 37: value is string "x", want a non-negative integer`)
	require.NotErrorIs(t, err, ErrMissing)
}
