package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A ValueType is the type of a metadata value, numbered as in GGUF files.
type ValueType uint32

// The metadata value types.
const (
	TypeUint8   ValueType = 0
	TypeInt8    ValueType = 1
	TypeUint16  ValueType = 2
	TypeInt16   ValueType = 3
	TypeUint32  ValueType = 4
	TypeInt32   ValueType = 5
	TypeFloat32 ValueType = 6
	TypeBool    ValueType = 7
	TypeString  ValueType = 8
	TypeArray   ValueType = 9
	TypeUint64  ValueType = 10
	TypeInt64   ValueType = 11
	TypeFloat64 ValueType = 12
)

// The number of bytes that a string and an array take at least: a length, and
// an element type with a count.
const (
	minString = 8
	minArray  = 12
)

// maxDepth bounds how deep arrays may nest. The files in circulation do not
// nest at all; the bound keeps a hostile one from exhausting the stack.
const maxDepth = 8

var valueTypes = [...]struct {
	name string
	size int // least bytes of an encoded value; exact for fixed-size types
}{
	TypeUint8:   {"uint8", 1},
	TypeInt8:    {"int8", 1},
	TypeUint16:  {"uint16", 2},
	TypeInt16:   {"int16", 2},
	TypeUint32:  {"uint32", 4},
	TypeInt32:   {"int32", 4},
	TypeFloat32: {"float32", 4},
	TypeBool:    {"bool", 1},
	TypeString:  {"string", minString},
	TypeArray:   {"array", minArray},
	TypeUint64:  {"uint64", 8},
	TypeInt64:   {"int64", 8},
	TypeFloat64: {"float64", 8},
}

func (t ValueType) valid() bool { return int64(t) < int64(len(valueTypes)) }
func (t ValueType) size() int   { return valueTypes[t].size }

// String gives the name of the type, such as "uint32" or "array", or
// "value type 99" for a number that GGUF does not define.
func (t ValueType) String() string {
	if !t.valid() {
		return fmt.Sprintf("value type %d", uint32(t))
	}
	return valueTypes[t].name
}

func (t ValueType) integer() bool {
	switch t {
	case TypeUint8, TypeInt8, TypeUint16, TypeInt16, TypeUint32, TypeInt32, TypeUint64, TypeInt64:
		return true
	}
	return false
}

// A Value is a metadata value: a scalar, a string or an array. It is kept as
// the file encodes it and decoded when asked, so that a vocabulary of 150,000
// strings costs nothing until it is wanted. Values are immutable, stay valid
// after the file is closed, and are equal (==) where their types and bytes are.
// The zero Value is invalid; make values with Scalar, Array and Nested.
type Value struct {
	typ   ValueType
	elem  ValueType // element type of an array; typ for others
	n     int       // elements of an array; 1 for others
	depth int       // 0 for scalars, 1 for arrays of scalars, and so on

	// raw holds the elements as encoded. It is validated where the Value is
	// made: decoding relies on that and checks nothing.
	raw string
}

// A Primitive is a Go type that GGUF metadata can hold as it is.
type Primitive interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64 | float32 | float64 | bool | string
}

// Scalar makes the value whose GGUF type is that of the Go value: Scalar("a")
// is a string, Scalar(uint32(1)) a uint32.
func Scalar[T Primitive](x T) Value {
	t := typeOf(x)
	return Value{typ: t, elem: t, n: 1, raw: string(appendPrimitive(nil, x))}
}

// Array makes an array with the elements of xs, which may be empty.
func Array[T Primitive](xs []T) Value {
	var zero T
	v := Value{typ: TypeArray, elem: typeOf(zero), n: len(xs), depth: 1}
	b := make([]byte, 0, len(xs)*v.elem.size())
	for _, x := range xs {
		b = appendPrimitive(b, x)
	}
	v.raw = string(b)
	return v
}

// Nested makes an array whose elements are arrays. It fails where one of them
// is not, and where arrays would nest more than eight deep.
func Nested(arrays ...Value) (Value, error) {
	v := Value{typ: TypeArray, elem: TypeArray, n: len(arrays), depth: 1}
	var b []byte
	for i, a := range arrays {
		if a.typ != TypeArray {
			return Value{}, &FormatError{Offset: -1, Msg: fmt.Sprintf("element %d of an array of arrays is %s", i, a.describe())}
		}
		v.depth = max(v.depth, a.depth+1)
		b = a.appendPayload(b)
	}
	if v.depth > maxDepth {
		return Value{}, &FormatError{Offset: -1, Msg: fmt.Sprintf("arrays nest more than %d deep", maxDepth)}
	}
	v.raw = string(b)
	return v, nil
}

func typeOf(x any) ValueType {
	switch x.(type) {
	case uint8:
		return TypeUint8
	case int8:
		return TypeInt8
	case uint16:
		return TypeUint16
	case int16:
		return TypeInt16
	case uint32:
		return TypeUint32
	case int32:
		return TypeInt32
	case uint64:
		return TypeUint64
	case int64:
		return TypeInt64
	case float32:
		return TypeFloat32
	case float64:
		return TypeFloat64
	case bool:
		return TypeBool
	default: // Primitive admits nothing else
		return TypeString
	}
}

func appendPrimitive(b []byte, x any) []byte {
	le := binary.LittleEndian
	switch x := x.(type) {
	case uint8:
		return append(b, x)
	case int8:
		return append(b, uint8(x))
	case uint16:
		return le.AppendUint16(b, x)
	case int16:
		return le.AppendUint16(b, uint16(x))
	case uint32:
		return le.AppendUint32(b, x)
	case int32:
		return le.AppendUint32(b, uint32(x))
	case uint64:
		return le.AppendUint64(b, x)
	case int64:
		return le.AppendUint64(b, uint64(x))
	case float32:
		return le.AppendUint32(b, math.Float32bits(x))
	case float64:
		return le.AppendUint64(b, math.Float64bits(x))
	case bool:
		if x {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return appendString(b, x)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// appendPayload appends the value as it stands in a file after its type.
func (v Value) appendPayload(b []byte) []byte {
	if v.typ == TypeArray {
		b = binary.LittleEndian.AppendUint32(b, uint32(v.elem))
		b = binary.LittleEndian.AppendUint64(b, uint64(v.n))
	}
	return append(b, v.raw...)
}

// Type is the type of the value.
func (v Value) Type() ValueType { return v.typ }

// Elem is the type of an array's elements, and Type() for other values.
func (v Value) Elem() ValueType { return v.elem }

// Len is the number of an array's elements, and 1 for other values.
func (v Value) Len() int { return v.n }

// Any decodes the value into the Go type that corresponds: uint8 … float64,
// bool, string, a slice of these, or []Value for an array of arrays. It is nil
// for the zero Value.
func (v Value) Any() any {
	if v.n == 0 && v.typ != TypeArray {
		return nil
	}
	switch v.elem {
	case TypeUint8:
		return oneOrAll(v, func(b uint64) uint8 { return uint8(b) })
	case TypeInt8:
		return oneOrAll(v, func(b uint64) int8 { return int8(b) })
	case TypeUint16:
		return oneOrAll(v, func(b uint64) uint16 { return uint16(b) })
	case TypeInt16:
		return oneOrAll(v, func(b uint64) int16 { return int16(b) })
	case TypeUint32:
		return oneOrAll(v, func(b uint64) uint32 { return uint32(b) })
	case TypeInt32:
		return oneOrAll(v, func(b uint64) int32 { return int32(b) })
	case TypeUint64:
		return oneOrAll(v, func(b uint64) uint64 { return b })
	case TypeInt64:
		return oneOrAll(v, func(b uint64) int64 { return int64(b) })
	case TypeFloat32:
		return oneOrAll(v, func(b uint64) float32 { return math.Float32frombits(uint32(b)) })
	case TypeFloat64:
		return oneOrAll(v, math.Float64frombits)
	case TypeBool:
		return oneOrAll(v, func(b uint64) bool { return b != 0 })
	case TypeString:
		if v.typ == TypeString {
			return v.raw[minString:]
		}
		return v.strings(v.n)
	default:
		return v.arrays(v.n)
	}
}

func oneOrAll[T any](v Value, decode func(bits uint64) T) any {
	if v.typ != TypeArray {
		return decode(v.bits(0))
	}
	all := make([]T, v.n)
	for i := range all {
		all[i] = decode(v.bits(i))
	}
	return all
}

// bits gives element i of a fixed-size type, zero-extended.
func (v Value) bits(i int) uint64 {
	size := v.elem.size()
	return littleEndian(v.raw[i*size : (i+1)*size])
}

func littleEndian(s string) (b uint64) {
	if len(s) == 8 { // string lengths, of which there are many: one load
		return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	}
	for i := len(s) - 1; i >= 0; i-- {
		b = b<<8 | uint64(s[i])
	}
	return b
}

// signed gives element i of an integer type, sign-extended. ok is false for a
// uint64 that is too large.
func (v Value) signed(i int) (x int64, ok bool) {
	b := v.bits(i)
	switch v.elem {
	case TypeInt8:
		return int64(int8(b)), true
	case TypeInt16:
		return int64(int16(b)), true
	case TypeInt32:
		return int64(int32(b)), true
	case TypeUint64:
		return int64(b), b <= math.MaxInt64
	}
	return int64(b), true
}

// strings gives the first n elements of an array of strings. They share the
// memory of the metadata.
func (v Value) strings(n int) []string {
	all := make([]string, n)
	rest := v.raw
	for i := range all {
		end := minString + int(littleEndian(rest[:minString]))
		all[i], rest = rest[minString:end], rest[end:]
	}
	return all
}

// arrays gives the first n elements of an array of arrays.
func (v Value) arrays(n int) []Value {
	all := make([]Value, n)
	c := cursor{data: []byte(v.raw)}
	for i := range all {
		e, start, err := c.value(TypeArray, 0)
		if err != nil { // raw was validated where v was made
			panic(err)
		}
		e.raw = v.raw[start:c.pos]
		all[i] = e
	}
	return all
}

// describe says what a value is, for messages about a wrong type.
func (v Value) describe() string {
	switch {
	case v.typ == TypeArray:
		return fmt.Sprintf("an array of %d %s", v.n, v.elem)
	case v.n == 0:
		return "no value"
	}
	return v.typ.String() + " " + v.String()
}

// String gives the value for people to read: scalars in full, strings quoted,
// and both long strings and long arrays cut, with their lengths.
func (v Value) String() string {
	const most = 8
	switch {
	case v.typ != TypeArray && v.n == 0:
		return "invalid"
	case v.typ == TypeString:
		return quote(v.raw[minString:])
	case v.typ != TypeArray:
		return v.element(0)
	}

	shown := min(v.n, most)
	parts := make([]string, 0, shown+1)
	switch v.elem {
	case TypeString:
		for _, s := range v.strings(shown) {
			parts = append(parts, quote(s))
		}
	case TypeArray:
		for _, a := range v.arrays(shown) {
			parts = append(parts, a.String())
		}
	default:
		for i := range shown {
			parts = append(parts, v.element(i))
		}
	}
	if shown < v.n {
		parts = append(parts, fmt.Sprintf("... (%d elements)", v.n))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// element formats element i of a fixed-size type.
func (v Value) element(i int) string {
	switch v.elem {
	case TypeBool:
		return strconv.FormatBool(v.bits(i) != 0)
	case TypeFloat32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(v.bits(i)))), 'g', -1, 32)
	case TypeFloat64:
		return strconv.FormatFloat(math.Float64frombits(v.bits(i)), 'g', -1, 64)
	case TypeInt8, TypeInt16, TypeInt32, TypeInt64:
		x, _ := v.signed(i)
		return strconv.FormatInt(x, 10)
	}
	return strconv.FormatUint(v.bits(i), 10)
}
