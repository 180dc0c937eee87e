package npy

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// zipped builds an archive from its entries; method is zip.Store or Deflate.
func zipped(t testing.TB, method uint16, entries ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: entries[i].(string), Method: method})
		require.NoError(t, err)
		_, err = w.Write(entries[i+1].([]byte))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func archive(t *testing.T, file []byte) *Archive {
	t.Helper()
	a, err := NewArchive(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return a
}

// We read what numpy.savez and numpy.savez_compressed write.
func TestArchiveGolden(t *testing.T) {
	names := []string{"float32", "float64", "int32", "int64", "scalar", "empty", "text"}
	for _, c := range []struct {
		path  string
		names []string
	}{
		{"testdata/stored.npz", names},
		{"testdata/deflated.npz", append([]string{"long"}, names...)},
	} {
		a, err := OpenArchive(c.path)
		require.NoError(t, err)
		require.ElementsMatch(t, c.names, a.Names())
		for _, name := range c.names {
			want := arrays()[name]
			if name == "long" {
				want = long()
			}
			got, err := a.Read(name)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.NoError(t, a.Close())
	}
}

func TestArchiveWriter(t *testing.T) {
	write := func() []byte {
		var b bytes.Buffer
		w := NewArchiveWriter(&b)
		require.NoError(t, w.Add("text", arrays()["text"]))
		s, err := AddStream[float64](w, "rows/2", 2, 2)
		require.NoError(t, err)
		require.NoError(t, s.Append(1, 2))
		require.NoError(t, s.Append(3, 4))
		require.NoError(t, w.Add("last", arrays()["int32"]))
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	file := write()
	require.Equal(t, file, write(), "the same arrays give the same bytes")

	a := archive(t, file)
	require.Equal(t, []string{"text", "rows/2", "last"}, a.Names())
	got, err := a.Read("rows/2")
	require.NoError(t, err)
	require.Equal(t, Array{[]int{2, 2}, []float64{1, 2, 3, 4}}, got)
	got, err = a.Read("last")
	require.NoError(t, err)
	require.Equal(t, arrays()["int32"], got)
	require.NoError(t, a.Close())
}

func TestArchiveWriterErrors(t *testing.T) {
	one := Array{[]int{}, []int32{1}}
	for _, c := range []struct {
		name string
		do   func(w *ArchiveWriter) error
		want string
	}{
		{"a name twice", func(w *ArchiveWriter) error { w.Add("x", one); return w.Add("x", one) },
			`npy: the archive already has such an array (array "x")`},
		{"no name", func(w *ArchiveWriter) error { return w.Add("", one) },
			`npy: an array in an archive needs a name (array "")`},
		{"wrong shape", func(w *ArchiveWriter) error { return w.Add("x", Array{[]int{3}, []int32{1}}) },
			`npy: an array of shape [3] has 3 elements, not 1 (array "x")`},
		{"a stream of a wrong shape", func(w *ArchiveWriter) error { _, err := AddStream[int32](w, "x", -3); return err },
			`npy: shape [-3] has a negative dimension (array "x")`},
		{"next array too early", func(w *ArchiveWriter) error { AddStream[int32](w, "x", 3); return w.Add("y", one) },
			`npy: an array of shape [3] lacks its last 3 elements (array "x")`},
		{"closed too early", func(w *ArchiveWriter) error { AddStream[int32](w, "x", 3); return w.Close() },
			`npy: an array of shape [3] lacks its last 3 elements (array "x")`},
		{"used after its end", func(w *ArchiveWriter) error { w.Close(); return w.Add("x", one) },
			"npy: the archive is closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewArchiveWriter(&bytes.Buffer{})
			require.EqualError(t, c.do(w), c.want)
			require.EqualError(t, w.Add("z", one), c.want, "an error stays")
			require.EqualError(t, w.Close(), c.want)
		})
	}

	// The disk may be full at any byte.
	fill := func(w io.Writer) error {
		z := NewArchiveWriter(w)
		z.Add("x", one)
		return z.Close()
	}
	var whole bytes.Buffer
	require.NoError(t, fill(&whole))
	for room := range whole.Len() {
		require.ErrorIs(t, fill(&limited{room: room}), errFull)
	}

	// A stream takes nothing once the next array has begun.
	w := NewArchiveWriter(&bytes.Buffer{})
	s, err := AddStream[int32](w, "x", 1)
	require.NoError(t, err)
	require.NoError(t, s.Append(1))
	require.NoError(t, w.Add("y", one))
	require.Error(t, s.Append(2))
}

func TestArchiveMalformed(t *testing.T) {
	array := bytesOf(t, Array{[]int{4}, []float32{1, 2, 3, 4}})
	big := bytesOf(t, Array{[]int{1 << 16}, make([]float32, 1<<16)})
	broken := func(method uint16, change func(dir []byte)) []byte {
		b := zipped(t, method, "x.npy", array)
		change(b[bytes.LastIndex(b, []byte("PK\x01\x02")):])
		return b
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"not in it", zipped(t, zip.Store, "y.npy", array), `npy: the archive has no such array: file does not exist (array "x")`},
		{"not an array", zipped(t, zip.Store, "x.npy", []byte("hello world")), `npy: not a .npy file: it does not begin with \x93NUMPY (array "x")`},
		{"stored, too short", zipped(t, zip.Store, "x.npy", array[:len(array)-1]), `npy: shape [4] of "<f4" takes 16 bytes, but there are 15 (array "x")`},
		{"deflated, too short", zipped(t, zip.Deflate, "x.npy", array[:len(array)-1]), `npy: the data end after 3 of 4 elements: unexpected EOF (array "x")`},
		{"stored, too long", zipped(t, zip.Store, "x.npy", append(array, 0)), `npy: there is more data than the array has (array "x")`},
		{"deflated, too long", zipped(t, zip.Deflate, "x.npy", append(array, 0)), `npy: there is more data than the array has (array "x")`},
		{"deflated, too large", zipped(t, zip.Deflate, "x.npy", big), `npy: inflated it has 262272 bytes, more than 100000 (array "x")`},
		{"checksum", broken(zip.Store, func(d []byte) { d[16] ^= 1 }), `npy: zip: checksum error (array "x")`},
		{"stored, sizes differ", broken(zip.Store, func(d []byte) { d[24]++ }), `npy: its size of 145 bytes cannot be right (array "x")`},
		{"stored, beyond the file", broken(zip.Store, func(d []byte) { d[22], d[26] = 1, 1 }), `npy: its size of 65680 bytes cannot be right (array "x")`},
		{"an unknown compression", broken(zip.Store, func(d []byte) { d[10] = 99; d[11] = 0 }), `npy: zip: unsupported compression algorithm (array "x")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := archive(t, c.file)
			a.MaxBytes = 100_000
			_, err := a.Read("x")
			require.EqualError(t, err, c.want)
		})
	}

	// A directory that understates an array does not let more be read.
	a := archive(t, broken(zip.Deflate, func(d []byte) { d[24] -= 8 }))
	_, err := a.Read("x")
	require.Error(t, err)

	_, err = NewArchive(strings.NewReader("no zip"), 6)
	require.EqualError(t, err, "npy: not a .npz file: zip: not a valid zip file")
	twice := zipped(t, zip.Store, "x.npy", array, "readme.txt", []byte("ignored"), "x.npy", array)
	_, err = NewArchive(bytes.NewReader(twice), int64(len(twice)))
	require.EqualError(t, err, `npy: the archive has two arrays "x"`)
}

func TestOpenArchiveErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenArchive(filepath.Join(dir, "none.npz"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	path := filepath.Join(dir, "x.npz")
	require.NoError(t, os.WriteFile(path, []byte("no zip"), 0o600))
	_, err = OpenArchive(path)
	require.EqualError(t, err, "npy: not a .npz file: zip: not a valid zip file (in "+path+")")

	// The limit applies to what is compressed, however large it is set.
	a, err := OpenArchive("testdata/deflated.npz")
	require.NoError(t, err)
	defer a.Close()
	a.MaxBytes = math.MaxInt64
	_, err = a.Read("long")
	require.NoError(t, err)
}

// Inflating reuses buffers between calls, which confuses the fuzzer's search for
// smaller inputs: run it with -fuzzminimizetime=10x.
func FuzzArchive(f *testing.F) {
	for _, path := range []string{"testdata/stored.npz", "testdata/deflated.npz"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	small := bytes.Buffer{}
	if err := Write(&small, Array{[]int{2}, []string{"a", "bc"}}); err != nil {
		f.Fatal(err)
	}
	f.Add(zipped(f, zip.Store, "a.npy", small.Bytes()))
	f.Add(zipped(f, zip.Deflate, "a.npy", small.Bytes(), "b.npy", small.Bytes()))
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := NewArchive(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		a.MaxBytes = 1 << 20
		for _, name := range a.Names() {
			array, err := a.Read(name)
			if err != nil {
				continue
			}
			n, err := count(array.Shape)
			if err != nil {
				t.Fatal(err)
			}
			if x, err := As[float32](array); err == nil && len(x) != n {
				t.Fatalf("%d elements of shape %v", len(x), array.Shape)
			}
		}
	})
}

func ExampleArchiveWriter() {
	var file bytes.Buffer
	w := NewArchiveWriter(&file)
	err := w.Add("emotions", Array{Shape: []int{2}, Data: []string{"calm", "desperate"}})
	if err == nil {
		err = w.Add("scores", Array{Shape: []int{2}, Data: []float64{0.5, -0.25}})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	a, err := NewArchive(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	names := a.Names()
	slices.Sort(names)
	for _, name := range names {
		array, err := a.Read(name)
		fmt.Println(name, array.Shape, array.Data, err)
	}
	// Output:
	// emotions [2] [calm desperate] <nil>
	// scores [2] [0.5 -0.25] <nil>
}
