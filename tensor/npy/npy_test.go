package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrays are those of testdata/golden.py.
func arrays() map[string]Array {
	inf := float32(math.Inf(1))
	return map[string]Array{
		"float32": {[]int{2, 3}, []float32{0, float32(math.Copysign(0, -1)), 1.5, inf, -inf, 1e-45}},
		"float64": {[]int{3}, []float64{0.1, -1e300, 5e-324}},
		"int32":   {[]int{1, 2, 1}, []int32{math.MinInt32, math.MaxInt32}},
		"int64":   {[]int{3}, []int64{math.MinInt64, 0, math.MaxInt64}},
		"scalar":  {[]int{}, []float64{2.5}},
		"empty":   {[]int{0, 3}, []float32{}},
		"text":    {[]int{2, 2}, []string{"", "joy", "Weltschmerz", "日本😀"}},
	}
}

// long is the array that only the deflated archive has, of more than a chunk.
func long() Array {
	x := make([]int32, 20000)
	for i := range x {
		x[i] = int32(i % 100)
	}
	return Array{[]int{len(x)}, x}
}

func bytesOf(t *testing.T, a Array) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, a))
	return b.Bytes()
}

// We read what NumPy writes, and write the same bytes.
func TestGolden(t *testing.T) {
	for name, want := range arrays() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".npy")
			got, err := ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, want, got)

			file, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, file, bytesOf(t, want))

			// From a stream of unknown length, with something behind.
			r := bytes.NewReader(append(file, "next"...))
			got, err = Read(r)
			require.NoError(t, err)
			require.Equal(t, want, got)
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "next", string(rest))
		})
	}
	got, err := ReadFile("testdata/version2.npy")
	require.NoError(t, err)
	require.Equal(t, arrays()["float64"], got)
}

// NaN keeps its payload.
func TestNaN(t *testing.T) {
	bits := []uint32{0x7fc00000, 0xffc12345, 0x7f800001}
	var x []float32
	for _, b := range bits {
		x = append(x, math.Float32frombits(b))
	}
	a, err := Read(bytes.NewReader(bytesOf(t, Array{[]int{3}, x})))
	require.NoError(t, err)
	for i, y := range a.Data.([]float32) {
		require.Equal(t, bits[i], math.Float32bits(y))
	}
}

// Python's own reader is content with our files, and reads no pickle.
func TestNumPyReads(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import numpy").Run() != nil {
		t.Skip("no Python with NumPy")
	}
	path := filepath.Join(t.TempDir(), "ours.npz")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := NewArchiveWriter(f)
	for name, a := range arrays() {
		require.NoError(t, w.Add(name, a))
	}
	s, err := AddStream[float32](w, "streamed", 3, 2)
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, s.Append(float32(i), -float32(i)))
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())

	script := `
import sys, zipfile, numpy as np
assert zipfile.ZipFile(sys.argv[1]).testzip() is None
got, want = np.load(sys.argv[1], allow_pickle=False), np.load(sys.argv[2], allow_pickle=False)
assert set(got) == set(want) | {"streamed"}, set(got)
for name in want:
    assert got[name].dtype == want[name].dtype and got[name].shape == want[name].shape, name
    assert got[name].tobytes() == want[name].tobytes(), name
assert (got["streamed"] == np.array([[0, 0], [1, -1], [2, -2]], np.float32)).all()
`
	out, err := exec.Command(python, "-c", script, path, "testdata/stored.npz").CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestReadRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"fortran":    "npy: the array is in Fortran order, which is not supported: save numpy.ascontiguousarray of it",
		"bigendian":  `npy: dtype ">f4" is big-endian, which is not supported`,
		"object":     "npy: arrays of objects are not read: they hold a Python pickle, which can run code",
		"structured": "npy: structured arrays are not supported",
		"half":       `npy: dtype "<f2" is not supported: only <f4, <f8, <i4, <i8 and <U`,
	} {
		path := filepath.Join("testdata", name+".npy")
		_, err := ReadFile(path)
		require.EqualError(t, err, want+" (in "+path+")")
	}
}

// file builds a .npy file of version 1.0 from the text of its header.
func file(head string, data int) []byte {
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(head)))
	b = append(b, head...)
	return append(b, make([]byte, data)...)
}

func dict(descr, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape)
}

// Python's freedom in writing a dictionary is accepted.
func TestReadHeaders(t *testing.T) {
	for _, c := range []struct {
		head  string
		data  int
		shape []int
	}{
		{`{"shape":(2,3),"fortran_order":False,"descr":"<f4"}`, 24, []int{2, 3}},
		{"{ 'descr' : '<i8' , 'fortran_order' : False,\t'shape' : ( 2 , ) }   \n", 16, []int{2}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, )}", 8, []int{1, 2}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3L,)}", 12, []int{3}},
		{"{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}", 12, []int{3}}, // one dimension has one order
		{dict("<f4", "(0, 5)"), 0, []int{0, 5}},
		{dict("<U2", "(3,)"), 24, []int{3}},
	} {
		a, err := Read(bytes.NewReader(file(c.head, c.data)))
		require.NoError(t, err, c.head)
		require.Equal(t, c.shape, a.Shape)
	}
}

func TestReadMalformed(t *testing.T) {
	good := file(dict("<f4", "(2, 3)"), 24)
	cut := good[:len(good)-5]
	utf32 := func(c uint32) []byte {
		return binary.LittleEndian.AppendUint32(file(dict("<U1", "()"), 0), c)
	}
	v2 := append([]byte(magic), 2, 0, 0xff, 0xff, 0xff, 0xff)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "npy: the data end within the header: unexpected EOF"},
		{"no magic", []byte("PK\x03\x04 is a zip file"), `npy: not a .npy file: it does not begin with \x93NUMPY`},
		{"version 3", append([]byte(magic), 3, 0), "npy: version 3.0 is not supported"},
		{"header cut off", good[:30], "npy: the data end within the header: unexpected EOF"},
		{"header of 4 GiB", v2, "npy: the header of 4294967295 bytes is longer than 65536"},
		{"data cut off", cut, "npy: the data end after 4 of 6 elements: unexpected EOF"},
		{"no data", file(dict("<U3", "(2,)"), 0), "npy: the data end after 0 of 2 elements: unexpected EOF"},
		{"no dictionary", file("[]", 0), `npy: malformed header: no "{" where it should be`},
		{"empty dictionary", file("{}", 0), `npy: malformed header: no "descr"`},
		{"no shape", file("{'descr': '<f4', 'fortran_order': False}", 0), `npy: malformed header: no "shape"`},
		{"twice", file("{'descr': '<f4', 'descr': '<f4'}", 0), `npy: malformed header: a second "descr"`},
		{"unknown key", file("{'dtype': '<f4'}", 0), `npy: malformed header: an unknown key "dtype"`},
		{"open string", file("{'descr: 1}", 0), "npy: malformed header: a string that does not end"},
		{"no string", file("{1: 1}", 0), "npy: malformed header: no string where one should be"},
		{"not a bool", file("{'fortran_order': 0}", 0), `npy: malformed header: no "False" where it should be`},
		{"trailing text", file(dict("<f4", "(1,)")+"x", 4), "npy: malformed header: more text after it"},
		{"shape is a number", file(dict("<f4", "3"), 12), `npy: malformed header: no "(" where it should be`},
		{"shape is in brackets", file(dict("<f4", "(3)"), 12), "npy: malformed header: a shape that is no tuple"},
		{"negative", file(dict("<f4", "(-3,)"), 12), "npy: malformed header: the shape is not made of sizes that fit this machine"},
		{"beyond an int", file(dict("<f4", "(99999999999999999999,)"), 12), "npy: malformed header: the shape is not made of sizes that fit this machine"},
		{"65 dimensions", file(dict("<f4", "("+strings.Repeat("1, ", 65)+")"), 4), "npy: malformed header: more than 64 dimensions"},
		{"product overflows", file(dict("<f4", "(4294967296, 4294967296)"), 16), "npy: shape [4294967296 4294967296] is too large"},
		{"product overflows beside 0", file(dict("<f4", "(4294967296, 0, 4294967296)"), 16), "npy: shape [4294967296 0 4294967296] is too large"},
		{"bytes overflow", file(dict("<f8", "(2305843009213693952,)"), 16), `npy: shape [2305843009213693952] of "<f8" is too large`},
		{"bytes of strings overflow", file(dict("<U536870911", "(8589934592,)"), 16), `npy: shape [8589934592] of "<U536870911" is too large`},
		{"strings of no width", file(dict("<U0", "(1000000000000,)"), 0), `npy: dtype "<U0" is not supported: only <f4, <f8, <i4, <i8 and <U`},
		{"width overflows", file(dict("<U9999999999", "()"), 0), `npy: dtype "<U9999999999" is not supported: only <f4, <f8, <i4, <i8 and <U`},
		{"a surrogate", utf32(0xd800), "npy: string 0 holds 0xd800, which is no character"},
		{"beyond Unicode", utf32(0x80000041), "npy: string 0 holds 0x80000041, which is no character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(c.file))
			require.EqualError(t, err, c.want)
		})
	}
}

// A header that claims far more than there is costs little memory.
func TestReadClaims(t *testing.T) {
	for _, descr := range []string{"<f4", "<i8", "<U100000000"} {
		claim := file(dict(descr, "(10000000000,)"), 100)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(bytes.NewReader(claim))
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), descr)
	}
}

// A file has a size, so that the lie is seen before anything is read, and it
// must end with the array.
func TestReadFileSize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.npy")
	require.NoError(t, os.WriteFile(path, file(dict("<f4", "(10000000000,)"), 100), 0o600))
	_, err := ReadFile(path)
	require.EqualError(t, err, `npy: shape [10000000000] of "<f4" takes 40000000000 bytes, but there are 100 (in `+path+")")

	require.NoError(t, os.WriteFile(path, file(dict("<f4", "(25,)"), 101), 0o600))
	_, err = ReadFile(path)
	require.EqualError(t, err, "npy: there is more data than the array has (in "+path+")")

	_, err = ReadFile(filepath.Join(dir, "none.npy"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWriteErrors(t *testing.T) {
	for _, c := range []struct {
		array Array
		want  string
	}{
		{Array{[]int{2, 3}, make([]float32, 5)}, "npy: an array of shape [2 3] has 6 elements, not 5"},
		{Array{[]int{}, []string{}}, "npy: an array of shape [] has 1 elements, not 0"},
		{Array{[]int{-1}, []int64{}}, "npy: shape [-1] has a negative dimension"},
		{Array{make([]int, 65), []int64{}}, "npy: 65 dimensions are more than 64"},
		{Array{[]int{math.MaxInt, 3}, []int64{}}, fmt.Sprintf("npy: shape [%d 3] is too large", math.MaxInt)},
		{Array{[]int{1}, []int{1}}, "npy: arrays of []int cannot be written"},
		{Array{}, "npy: arrays of <nil> cannot be written"},
		{Array{[]int{2}, []string{"ok", "\xff"}}, `npy: string 1 ("\xff") is not valid UTF-8`},
		{Array{[]int{1}, []string{"a\x00"}}, `npy: string 0 ("a\x00") ends in a NUL character, which would be lost`},
	} {
		var b bytes.Buffer
		require.EqualError(t, Write(&b, c.array), c.want)
		require.Zero(t, b.Len(), "nothing is written")
	}
}

func TestAs(t *testing.T) {
	a := Array{[]int{2}, []int32{1, 2}}
	x, err := As[int32](a)
	require.NoError(t, err)
	require.Equal(t, []int32{1, 2}, x)
	_, err = As[float32](a)
	require.EqualError(t, err, "npy: the array is []int32, not []float32")
}

// Strings keep inner NULs, and are put together across the pieces in which
// data are read.
func TestStrings(t *testing.T) {
	for _, s := range [][]string{
		{"a\x00b", "\x00\x00c", ""},
		{strings.Repeat("é", 40_000), "x", strings.Repeat("\x00", 30_000) + "y"},
	} {
		a := Array{[]int{3}, s}
		got, err := Read(bytes.NewReader(bytesOf(t, a)))
		require.NoError(t, err)
		require.True(t, reflect.DeepEqual(a, got))
	}
}

// A Writer takes elements in any portions and gives the bytes of Write.
func TestWriter(t *testing.T) {
	want := bytesOf(t, long())
	for _, portion := range []int{1, 7, 16384, 16385, 20000} {
		var b bytes.Buffer
		w, err := NewWriter[int32](&b, 20000)
		require.NoError(t, err)
		for rest := long().Data.([]int32); len(rest) > 0; {
			k := min(portion, len(rest))
			require.NoError(t, w.Append(rest[:k]...))
			rest = rest[k:]
		}
		require.NoError(t, w.Close())
		require.True(t, bytes.Equal(want, b.Bytes()))
	}
}

func TestWriterErrors(t *testing.T) {
	w, err := NewWriter[float64](io.Discard, 2, 2)
	require.NoError(t, err)
	require.NoError(t, w.Append(1, 2, 3))
	require.EqualError(t, w.Append(4, 5), "npy: an array of shape [2 2] has room for 1 more elements, not 2")
	require.EqualError(t, w.Close(), "npy: an array of shape [2 2] lacks its last 1 elements")
	require.NoError(t, w.Append(4))
	require.NoError(t, w.Close())

	_, err = NewWriter[float64](io.Discard, math.MaxInt/4)
	require.EqualError(t, err, fmt.Sprintf("npy: shape [%d] is too large", math.MaxInt/4))

	full := &limited{room: 10}
	_, err = NewWriter[float32](full, 1)
	require.ErrorIs(t, err, errFull)
	full.room = 128 + 5
	w2, err := NewWriter[float32](full, 4)
	require.NoError(t, err)
	require.ErrorIs(t, w2.Append(1, 2, 3), errFull)
	full.room = 1000
	require.ErrorIs(t, w2.Append(4), errFull, "what follows a failed write would be misplaced")
	require.ErrorIs(t, w2.Close(), errFull)
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

// Whatever is read can be written and read again with the same bytes.
func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.npy")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := Read(bytes.NewReader(file))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "npy: ") {
				t.Fatal(err)
			}
			return
		}
		var once, twice bytes.Buffer
		if err := Write(&once, a); err != nil {
			t.Fatal(err)
		}
		b, err := Read(bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(&twice, b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%v became %v", a, b)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	if err := Write(&file, Array{[]int{1 << 18}, make([]float32, 1<<18)}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if _, err := read(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	a := Array{[]int{1 << 18}, make([]float32, 1<<18)}
	b.SetBytes(4 << 18)
	for b.Loop() {
		if err := Write(io.Discard, a); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	var file bytes.Buffer
	err := Write(&file, Array{Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := Read(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := As[float32](a)
	fmt.Println(a.Shape, x, err)
	// Output: [2 2] [1 2 3 4] <nil>
}

// Logits of many positions go to the file row by row.
func ExampleNewWriter() {
	var file bytes.Buffer
	w, err := NewWriter[float32](&file, 3, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	for position := range 3 {
		row := []float32{float32(position), -1}
		if err := w.Append(row...); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return
	}
	a, err := Read(&file)
	fmt.Println(a.Shape, a.Data, err)
	// Output: [3 2] [0 -1 1 -1 2 -1] <nil>
}
