package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// textName is a name of testdata/golden.py that needs escapes.
const textName = "b \"quoted\" \\ <&> \n é 😀"

// golden opens a file of testdata both ways.
func golden(t *testing.T, name string) map[string]*File {
	t.Helper()
	path := filepath.Join("testdata", name)
	opened, err := Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	parsed, err := Parse(b)
	require.NoError(t, err)
	return map[string]*File{"Open": opened, "Parse": parsed}
}

// The files were written by the reference implementation.
func TestReadGolden(t *testing.T) {
	inf := float32(math.Inf(1))
	for how, f := range golden(t, "types.safetensors") {
		t.Run(how, func(t *testing.T) {
			require.Equal(t, map[string]string{"format": "np"}, f.Metadata())
			require.Equal(t, []string{"i64", "f64", "empty", "f32", "scalar"}, f.Names()[:5])

			for name, want := range map[string][]float32{
				"f32":    {0, float32(math.Copysign(0, -1)), 1.5, inf, -inf, 1e-45},
				"f16":    {1, -0.5, 65504, 0x1p-24},
				"scalar": {2.5},
				"empty":  {},
			} {
				got, err := f.Float32s(name)
				require.NoError(t, err)
				require.Equal(t, want, got, name)
				require.True(t, len(got) < 2 || math.Signbit(float64(got[1])), "-0 is not 0")
			}
			got64, err := f.Float64s("f64")
			require.NoError(t, err)
			require.Equal(t, []float64{0.1, -1e300}, got64)
			for name, want := range map[string][]int64{
				"i64": {math.MinInt64, math.MaxInt64},
				"i32": {math.MinInt32, math.MaxInt32},
				"i16": {math.MinInt16, math.MaxInt16},
				"i8":  {-128, 127},
				"u32": {0, math.MaxUint32},
				"u16": {0, math.MaxUint16},
				"u8":  {0, 255},
			} {
				got, err := f.Int64s(name)
				require.NoError(t, err)
				require.Equal(t, want, got, name)
			}
			truths, err := f.Bools("bool")
			require.NoError(t, err)
			require.Equal(t, []bool{true, false, true}, truths)

			b, err := f.Bytes("i32")
			require.NoError(t, err)
			require.Equal(t, []byte{0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0x7f}, b)
			b, err = f.Bytes("empty")
			require.NoError(t, err)
			require.Empty(t, b)
			s, err := f.Section("u16")
			require.NoError(t, err)
			b, err = io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, []byte{0, 0, 0xff, 0xff}, b)

			info, err := f.Info("f32")
			require.NoError(t, err)
			require.Equal(t, Info{"f32", F32, []int{2, 3}, 24}, info)
			info, err = f.Info("scalar")
			require.NoError(t, err)
			require.Equal(t, Info{"scalar", F32, []int{}, 4}, info)
		})
	}
	for _, f := range golden(t, "bf16.safetensors") {
		require.Empty(t, f.Metadata())
		x, err := f.Float32s("bf16")
		require.NoError(t, err)
		require.Equal(t, []float32{1, -2, math.Float32frombits(0x7f7f0000), math.Float32frombits(0x00010000)}, x)
	}
	for _, f := range golden(t, "text.safetensors") {
		require.Equal(t, []string{"a", textName}, f.Names())
		require.Equal(t, map[string]string{"vectors": "{\"emotion\": \"joy & <grief>\", \"é\": \"\t\"}"}, f.Metadata())
	}
}

func TestWrongNamesAndTypes(t *testing.T) {
	for _, f := range golden(t, "types.safetensors") {
		_, err := f.Float32s("none")
		require.EqualError(t, err, `safetensors: no tensor "none": file does not exist`)
		require.ErrorIs(t, err, fs.ErrNotExist)
		for _, get := range []func() error{
			func() error { _, err := f.Info("none"); return err },
			func() error { _, err := f.Bytes("none"); return err },
			func() error { _, err := f.Section("none"); return err },
		} {
			require.ErrorIs(t, get(), fs.ErrNotExist)
		}

		_, err = f.Float32s("f64")
		require.EqualError(t, err, `safetensors: tensor "f64" is of type F64, which is not read as []float32`)
		_, err = f.Float64s("f32")
		require.EqualError(t, err, `safetensors: tensor "f32" is of type F32, which is not read as []float64`)
		_, err = f.Int64s("bool")
		require.EqualError(t, err, `safetensors: tensor "bool" is of type BOOL, which is not read as []int64`)
		_, err = f.Bools("u8")
		require.EqualError(t, err, `safetensors: tensor "u8" is of type U8, which is not read as []bool`)
	}
}

// What was read belongs to the caller: changing it changes no later reading.
func TestCopies(t *testing.T) {
	for _, f := range golden(t, "types.safetensors") {
		for range 2 {
			info, err := f.Info("f32")
			require.NoError(t, err)
			require.Equal(t, []int{2, 3}, info.Shape)
			require.Equal(t, "i64", f.Names()[0])
			require.Equal(t, "np", f.Metadata()["format"])
			x, err := f.Float32s("scalar")
			require.NoError(t, err)
			require.Equal(t, float32(2.5), x[0])
			info.Shape[0], f.Names()[0], f.Metadata()["format"], x[0] = 9, "", "", 9
		}
	}
}

// We write the bytes of the reference implementation, where it leaves no choice.
func TestWriteGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/text.safetensors")
	require.NoError(t, err)
	a := []float32{0, 1, 2, 3, 4, 5}
	for name, data := range map[string]any{
		"elements": a,
		"bytes":    rawFloats(a),
		"function": func(w io.Writer) error {
			for _, x := range a { // in pieces
				if _, err := w.Write(rawFloats([]float32{x})); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		var b bytes.Buffer
		require.NoError(t, Write(&b,
			map[string]string{"vectors": "{\"emotion\": \"joy & <grief>\", \"é\": \"\t\"}"},
			[]Tensor{
				{Name: "a", DType: F32, Shape: []int{2, 3}, Data: data},
				{Name: textName, Shape: []int{1}, Data: []float32{7}},
			}))
		require.Equal(t, string(want), b.String(), name)
	}
}

func rawFloats(x []float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Everything that can be written comes back, from more than a chunk of data
// too; metadata are sorted and tensors are not.
func TestRoundTrip(t *testing.T) {
	long := make([]float32, chunk/4+3)
	for i := range long {
		long[i] = float32(i)
	}
	meta := map[string]string{"z": "", "": "empty key", "a": "日本"}
	tensors := []Tensor{
		{Name: "z", Shape: []int{len(long)}, Data: long},
		{Name: "", Shape: []int{2}, Data: []float64{1, math.Inf(-1)}},
		{Name: "i64", Shape: []int{1, 2}, Data: []int64{math.MinInt64, 5}},
		{Name: "i32", Shape: []int{}, Data: []int32{-7}},
		{Name: "bool", Shape: []int{3}, Data: []bool{false, true, false}},
		{Name: "none", Shape: []int{0, 4}, Data: []float32{}},
		{Name: "half", DType: F16, Shape: []int{1}, Data: []byte{0x00, 0x3c}},
	}
	var file bytes.Buffer
	require.NoError(t, Write(&file, meta, tensors))
	for range 10 {
		var again bytes.Buffer
		require.NoError(t, Write(&again, meta, tensors))
		require.True(t, bytes.Equal(file.Bytes(), again.Bytes()))
	}
	require.True(t, strings.HasPrefix(file.String()[8:], `{"__metadata__":{"":"empty key","a":"日本","z":""},"z":{`))

	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
	opened, err := Open(path)
	require.NoError(t, err)
	defer opened.Close()
	parsed, err := Parse(file.Bytes())
	require.NoError(t, err)
	for _, f := range []*File{opened, parsed} {
		require.Equal(t, meta, f.Metadata())
		require.Equal(t, []string{"z", "", "i64", "i32", "bool", "none", "half"}, f.Names())
		x, err := f.Float32s("z")
		require.NoError(t, err)
		require.Equal(t, long, x)
		d, err := f.Float64s("")
		require.NoError(t, err)
		require.Equal(t, tensors[1].Data, d)
		for _, name := range []string{"i64", "i32"} {
			_, err = f.Int64s(name)
			require.NoError(t, err)
		}
		b, err := f.Bools("bool")
		require.NoError(t, err)
		require.Equal(t, tensors[4].Data, b)
		h, err := f.Float32s("half")
		require.NoError(t, err)
		require.Equal(t, []float32{1}, h)
		info, err := f.Info("none")
		require.NoError(t, err)
		require.Equal(t, Info{"none", F32, []int{0, 4}, 0}, info)
	}
}

// The reference implementation reads what we write.
func TestPythonReads(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import safetensors, numpy").Run() != nil {
		t.Skip("no Python with safetensors")
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, Write(f, map[string]string{"b": "2", "a": "\"<é>\u2028"}, []Tensor{
		{Name: "bool", Shape: []int{3}, Data: []bool{true, false, true}}, // what follows is not aligned
		{Name: "f32", Shape: []int{1, 2}, Data: []float32{0.5, -1}},
		{Name: textName, Shape: []int{1}, Data: []int64{-5}},
		{Name: "empty", Shape: []int{0}, Data: []float64{}},
	}))
	require.NoError(t, f.Close())
	script := `
import sys, numpy as np
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as f:
    assert f.metadata() == {"b": "2", "a": '"<é>\u2028'}, f.metadata()
    assert (f.get_tensor("bool") == np.array([True, False, True])).all()
    x = f.get_tensor("f32")
    assert x.dtype == np.float32 and x.shape == (1, 2) and (x == np.array([[0.5, -1]])).all()
    assert f.get_tensor(sys.argv[2]).tolist() == [-5]
    assert f.get_tensor("empty").shape == (0,)
    assert len(f.keys()) == 4
`
	out, err := exec.Command(python, "-c", script, path, textName).CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestWriteErrors(t *testing.T) {
	one := []float32{1}
	for _, c := range []struct {
		name    string
		meta    map[string]string
		tensors []Tensor
		want    string
	}{
		{"two of a name", nil, []Tensor{{Name: "x", Data: one}, {Name: "x", Data: one}}, `safetensors: the name "x" is taken`},
		{"the metadata's name", nil, []Tensor{{Name: "__metadata__", Data: one}}, `safetensors: the name "__metadata__" is taken`},
		{"too few elements", nil, []Tensor{{Name: "x", Shape: []int{2, 3}, Data: one}}, `safetensors: tensor "x": type F32 and shape [2 3] need 24 bytes, but there are 4`},
		{"too few bytes", nil, []Tensor{{Name: "x", DType: BF16, Shape: []int{3}, Data: make([]byte, 5)}}, `safetensors: tensor "x": type BF16 and shape [3] need 6 bytes, but there are 5`},
		{"negative", nil, []Tensor{{Name: "x", Shape: []int{-1}, Data: one}}, `safetensors: tensor "x": shape [-1] has a negative dimension`},
		{"overflow", nil, []Tensor{{Name: "x", Shape: []int{1 << 31, 1 << 31}, Data: one}}, `safetensors: tensor "x": shape [2147483648 2147483648] is too large`},
		{"65 dimensions", nil, []Tensor{{Name: "x", Shape: make([]int, 65), Data: one}}, `safetensors: tensor "x": 65 dimensions are more than 64`},
		{"another type", nil, []Tensor{{Name: "x", DType: F16, Data: one}}, `safetensors: tensor "x": data of type []float32 are not F16`},
		{"no type", nil, []Tensor{{Name: "x", Shape: []int{1}, Data: []byte{1}}}, `safetensors: tensor "x": its type "" is not known`},
		{"an unknown type", nil, []Tensor{{Name: "x", DType: "F4", Shape: []int{1}, Data: []byte{1}}}, `safetensors: tensor "x": its type "F4" is not known`},
		{"no data", nil, []Tensor{{Name: "x", DType: F32, Shape: []int{0}}}, `safetensors: tensor "x": data of type <nil> cannot be written`},
		{"not UTF-8", nil, []Tensor{{Name: "\xff", Data: one}}, `safetensors: "\xff" is not valid UTF-8`},
		{"a key not UTF-8", map[string]string{"\xff": ""}, nil, `safetensors: metadata: "\xff" is not valid UTF-8`},
		{"a value not UTF-8", map[string]string{"k": "\xff"}, nil, `safetensors: metadata "k": "\xff" is not valid UTF-8`},
		{"all too large", nil, []Tensor{
			{Name: "x", DType: U8, Shape: []int{math.MaxInt64}, Data: func(io.Writer) error { return nil }},
			{Name: "y", Data: one},
		}, "safetensors: the tensors are too large"},
		{"a header beyond the limit", map[string]string{"k": strings.Repeat("x", maxHeader)}, nil, "safetensors: the header of 100000032 bytes is longer than 100000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			require.EqualError(t, Write(&b, c.meta, c.tensors), c.want)
			require.Zero(t, b.Len(), "nothing is written")
		})
	}
}

// Functions may fail, or write another number of bytes than they should.
func TestWriteFunctionErrors(t *testing.T) {
	write := func(f func(io.Writer) error) error {
		return Write(io.Discard, nil, []Tensor{{Name: "x", DType: F32, Shape: []int{2}, Data: f}})
	}
	require.EqualError(t, write(func(w io.Writer) error { return io.ErrClosedPipe }),
		`safetensors: write tensor "x": io: read/write on closed pipe`)
	require.EqualError(t, write(func(w io.Writer) error { return nil }),
		`safetensors: tensor "x" of type F32 and shape [2] needs 8 bytes, but 0 were written`)
	require.EqualError(t, write(func(w io.Writer) error { _, err := w.Write(make([]byte, 9)); return err }),
		`safetensors: tensor "x" of type F32 and shape [2] needs 8 bytes, but 9 were written`)
}

// The disk may be full at any byte.
func TestWriteDiskFull(t *testing.T) {
	tensors := []Tensor{
		{Name: "x", Shape: []int{2}, Data: []float32{1, 2}},
		{Name: "y", DType: U8, Shape: []int{2}, Data: []byte{1, 2}},
		{Name: "z", Shape: []int{2}, Data: []bool{true, true}},
	}
	var whole bytes.Buffer
	require.NoError(t, Write(&whole, nil, tensors))
	for room := range whole.Len() {
		require.ErrorIs(t, Write(&limited{room: room}, nil, tensors), errFull)
	}
}

var errFull = errors.New("disk full")

// limited is a disk with little room.
type limited struct{ room int }

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.room)
	l.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// file builds a file from its header and so many bytes of data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	return append(b, make([]byte, data)...)
}

// What the format allows although nobody writes it.
func TestParseAccepts(t *testing.T) {
	for _, c := range []struct {
		name   string
		header string
		data   int
		names  []string
	}{
		{"nothing", "{}", 0, nil},
		{"padding", "{}      ", 0, nil},
		{"space within", "{ \"x\" : {\n\"shape\":[1 , 2], \"data_offsets\":[0,8],\"dtype\":\"F32\"} }\n", 8, []string{"x"}},
		{"another order", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2, []string{"a", "b"}},
		{"empty tensors anywhere", `{"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"c":{"dtype":"F32","shape":[3,0],"data_offsets":[2,2]}}`, 2, []string{"a", "b", "c"}},
		{"an unknown type", `{"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2, []string{"x"}},
		{"metadata last", `{"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"__metadata__":{}}`, 1, []string{"x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse(file(c.header, c.data))
			require.NoError(t, err)
			require.Equal(t, c.names, f.Names())
		})
	}

	f, err := Parse(file(`{"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2))
	require.NoError(t, err)
	b, err := f.Bytes("x")
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0}, b)
	_, err = f.Float32s("x")
	require.EqualError(t, err, `safetensors: tensor "x" is of type F4, which is not read as []float32`)
}

func TestParseMalformed(t *testing.T) {
	tensor := func(fields string) string { return `{"x":{` + fields + `}}` }
	const ok = `"dtype":"U8","shape":[1],"data_offsets":[0,1]`
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "a file of 0 bytes is too short"},
		{"seven bytes", make([]byte, 7), "a file of 7 bytes is too short"},
		{"no header", make([]byte, 8), "malformed header: it does not begin with {"},
		{"header beyond the file", file("{}", 0)[:9], "the header of 2 bytes is longer than the file of 9"},
		{"another format", []byte("GGUF\x03\x00\x00\x00 and so on"), "not a safetensors file, or damaged: a header of 14064895815 bytes is longer than 100000000"},
		{"space before", file(" {}", 0), "malformed header: it does not begin with {"},
		{"an array", file("[]", 0), "malformed header: it does not begin with {"},
		{"not JSON", file("{x}", 0), "malformed header: it is not valid JSON"},
		{"two values", file("{}{}", 0), "malformed header: it is not valid JSON"},
		{"not UTF-8", file("{\"\xff\":1}", 0), "malformed header: it is not valid UTF-8"},
		{"deep", file(`{"x":`+strings.Repeat("[", 1_000_000), 0), "malformed header: it is not valid JSON"},
		{"a tensor that is a number", file(`{"x":1}`, 0), `malformed header: tensor "x": something else where an object should be`},
		{"a tensor twice", file(`{"x":{`+ok+`},"x":{`+ok+`}}`, 1), `malformed header: a second tensor "x"`},
		{"a tensor twice in disguise", file(`{"x":{`+ok+`},"\u0078":{`+ok+`}}`, 1), `malformed header: a second tensor "x"`},
		{"a field twice", file(tensor(ok+`,"dtype":"U8"`), 1), `malformed header: tensor "x": a second "dtype"`},
		{"an unknown field", file(tensor(ok+`,"Shape":[1]`), 1), `malformed header: tensor "x": an unknown field "Shape"`},
		{"no dtype", file(tensor(`"shape":[1],"data_offsets":[0,1]`), 1), `malformed header: tensor "x": no "dtype"`},
		{"no shape", file(tensor(`"dtype":"U8","data_offsets":[0,1]`), 1), `malformed header: tensor "x": no "shape"`},
		{"no offsets", file(tensor(`"dtype":"U8","shape":[1]`), 1), `malformed header: tensor "x": no "data_offsets"`},
		{"dtype is a number", file(tensor(`"dtype":8`), 1), `malformed header: tensor "x": its dtype is not a name`},
		{"shape is a number", file(tensor(`"shape":1`), 1), `malformed header: tensor "x": its shape is not an array`},
		{"shape of strings", file(tensor(`"shape":["1"]`), 1), `malformed header: tensor "x": its shape holds something else than counts`},
		{"negative shape", file(tensor(`"shape":[-1]`), 1), `malformed header: tensor "x": its shape holds something else than counts`},
		{"fractional shape", file(tensor(`"shape":[1.0]`), 1), `malformed header: tensor "x": its shape holds something else than counts`},
		{"exponent in shape", file(tensor(`"shape":[1e3]`), 1), `malformed header: tensor "x": its shape holds something else than counts`},
		{"shape in a shape", file(tensor(`"shape":[[1]]`), 1), `malformed header: tensor "x": its shape holds something else than counts`},
		{"beyond 64 bits", file(tensor(`"shape":[99999999999999999999]`), 1), `malformed header: tensor "x": its shape holds 99999999999999999999, which is too large`},
		{"65 dimensions", file(tensor(`"shape":[1`+strings.Repeat(",1", 64)+`]`), 1), `malformed header: tensor "x": 65 dimensions are more than 64`},
		{"one offset", file(tensor(`"data_offsets":[0]`), 1), `malformed header: tensor "x": it has 1 data_offsets`},
		{"negative offset", file(tensor(`"data_offsets":[-1,0]`), 1), `malformed header: tensor "x": its data_offsets holds something else than counts`},
		{"metadata is a list", file(`{"__metadata__":[]}`, 0), `malformed header: something else where an object should be`},
		{"metadata is null", file(`{"__metadata__":null}`, 0), `malformed header: something else where an object should be`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), `malformed header: a second "__metadata__"`},
		{"a key twice", file(`{"__metadata__":{"a":"","a":""}}`, 0), `malformed header: a second "a" in the metadata`},
		{"a value that is no string", file(`{"__metadata__":{"a":1}}`, 0), `malformed header: the value of "a" in the metadata is not a string`},
		{"a value that is an object", file(`{"__metadata__":{"a":{}}}`, 0), `malformed header: the value of "a" in the metadata is not a string`},
		{"beyond the data", file(tensor(`"dtype":"U8","shape":[2],"data_offsets":[0,2]`), 1), `tensor "x" is at bytes 0 to 2 of 1`},
		{"backwards", file(tensor(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`), 1), `tensor "x" is at bytes 1 to 0 of 1`},
		{"wrong size", file(tensor(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`), 4), `tensor "x" of type F32 and shape [2] needs 8 bytes, but has 4`},
		{"overflow to the right size", file(tensor(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), 0), `tensor "x": shape [4294967296 4294967296] is too large`},
		{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), `tensor "b" overlaps the one before it`},
		{"the same data", file(`{"a":{`+ok+`},"b":{`+ok+`}}`, 1), `tensor "b" overlaps the one before it`},
		{"an empty tensor within another", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2), `tensor "b" overlaps the one before it`},
		{"a gap", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `1 bytes before tensor "a" belong to none`},
		{"more data", file(`{"a":{`+ok+`}}`, 3), "the last 2 bytes belong to no tensor"},
		{"a very long name", file(`{"`+strings.Repeat("x", 1000)+`":1}`, 0), `malformed header: tensor "` + strings.Repeat("x", 99) + `": something else where an object should be`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.file)
			require.EqualError(t, err, "safetensors: "+c.want)
		})
	}
}

// A header that claims a large size costs nothing.
func TestOpenClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	claim := binary.LittleEndian.AppendUint64(nil, maxHeader)
	require.NoError(t, os.WriteFile(path, append(claim, '{'), 0o600))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Open(path)
	runtime.ReadMemStats(&after)
	require.EqualError(t, err, "safetensors: the header of 100000000 bytes is longer than the file of 9 (in "+path+")")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<16))
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Open(dir)
	require.EqualError(t, err, "safetensors: not a regular file (in "+dir+")")

	// A file that shrinks after it was opened.
	path := filepath.Join(dir, "x")
	var b bytes.Buffer
	require.NoError(t, Write(&b, nil, []Tensor{{Name: "x", Shape: []int{4}, Data: make([]float32, 4)}}))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	f, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, int64(b.Len()-1)))
	_, err = f.Float32s("x")
	require.EqualError(t, err, `safetensors: read tensor "x": unexpected EOF`)
	_, err = f.Bytes("x")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, f.Close())
	_, err = f.Float32s("x")
	require.ErrorIs(t, err, fs.ErrClosed)
}

// A view cannot reach into the next tensor.
func TestBytesView(t *testing.T) {
	b, err := os.ReadFile("testdata/types.safetensors")
	require.NoError(t, err)
	f, err := Parse(b)
	require.NoError(t, err)
	view, err := f.Bytes("i8")
	require.NoError(t, err)
	require.Equal(t, len(view), cap(view))
	require.NoError(t, f.Close())
	require.Equal(t, []byte{0x80, 0x7f}, view)
}

// Whatever is accepted can be read in all ways, and written again.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"types", "text", "bf16"} {
		b, err := os.ReadFile("testdata/" + name + ".safetensors")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(file(`{"b":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},"__metadata__":{"a":"b"}}`, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Parse(b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "safetensors: ") {
				t.Fatal(err)
			}
			return
		}
		var tensors []Tensor
		total := 0
		for _, name := range in.Names() {
			info, err := in.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			data, err := in.Bytes(name)
			if err != nil || int64(len(data)) != info.Bytes {
				t.Fatal(len(data), info, err)
			}
			total += len(data)
			in.Float32s(name)
			in.Float64s(name)
			in.Int64s(name)
			in.Bools(name)
			if info.DType.Size() == 0 {
				return // cannot be written
			}
			tensors = append(tensors, Tensor{name, info.DType, info.Shape, data})
		}
		if total > len(b) {
			t.Fatalf("%d bytes of data in a file of %d", total, len(b))
		}
		var out, again bytes.Buffer
		if err := Write(&out, in.Metadata(), tensors); err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for i := range tensors {
			if tensors[i].Data, err = back.Bytes(tensors[i].Name); err != nil {
				t.Fatal(err)
			}
		}
		if err := Write(&again, back.Metadata(), tensors); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Fatalf("%q became %q", out.Bytes(), again.Bytes())
		}
	})
}

func BenchmarkFloat32s(b *testing.B) {
	for _, d := range []DType{F32, F16, BF16} {
		b.Run(string(d), func(b *testing.B) {
			var file bytes.Buffer
			n := 1 << 18
			if err := Write(&file, nil, []Tensor{{"x", d, []int{n}, make([]byte, n*d.Size())}}); err != nil {
				b.Fatal(err)
			}
			f, err := Parse(file.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(n * d.Size()))
			for b.Loop() {
				if _, err := f.Float32s("x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	x := make([]float32, 1<<18)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		if err := Write(io.Discard, nil, []Tensor{{Name: "x", Shape: []int{len(x)}, Data: x}}); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	var file bytes.Buffer
	err := Write(&file, map[string]string{"model": "tiny"}, []Tensor{
		{Name: "contrast", Shape: []int{2, 2}, Data: []float32{1, 0, 0.5, -1}},
		{Name: "counts", Shape: []int{2}, Data: []int64{12, 9}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	f, err := Parse(file.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	info, err := f.Info("contrast")
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := f.Float32s("contrast")
	fmt.Println(f.Metadata()["model"], f.Names(), info.DType, info.Shape, x, err)
	// Output: tiny [contrast counts] F32 [2 2] [1 0 0.5 -1] <nil>
}

// A tensor too large for memory is written by a function.
func ExampleWrite() {
	const rows = 3
	var file bytes.Buffer
	err := Write(&file, nil, []Tensor{{
		Name: "means", DType: F32, Shape: []int{rows, 2},
		Data: func(w io.Writer) error {
			for i := range rows {
				row := []float32{float32(i), 1}
				if err := binary.Write(w, binary.LittleEndian, row); err != nil {
					return err
				}
			}
			return nil
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := Parse(file.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := f.Float32s("means")
	fmt.Println(x, err)
	// Output: [0 1 1 1 2 1] <nil>
}

func TestMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	var b bytes.Buffer
	x := make([]float32, 1<<14)
	for i := range x {
		x[i] = float32(i)
	}
	require.NoError(t, Write(&b, nil, []Tensor{{Name: "x", Shape: []int{len(x)}, Data: x}, {Name: "y", Shape: []int{1}, Data: []float32{7}}}))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))

	f, err := Map(path)
	require.NoError(t, err)
	for range 2 { // released pages come back
		got, err := f.Float32s("x")
		require.NoError(t, err)
		require.Equal(t, x, got)
		view, err := f.Bytes("y")
		require.NoError(t, err)
		require.Equal(t, rawFloats([]float32{7}), view)
		require.Equal(t, len(view), cap(view))
		f.Release("x")
		f.Release("nope")
	}
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	_, err = f.Bytes("y")
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = f.Float32s("y")
	require.ErrorIs(t, err, fs.ErrClosed)
	f.Release("x")

	require.NoError(t, os.WriteFile(path, b.Bytes()[:b.Len()-1], 0o600))
	_, err = Map(path)
	require.ErrorContains(t, err, path)
	_, err = Map(filepath.Join(t.TempDir(), "nope"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}
