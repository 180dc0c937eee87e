package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/tensor"
)

// parts gives the three parts of a small split file, and the whole.
func parts(t testing.TB) (split [][]byte, whole []TensorData) {
	whole = []TensorData{
		{"a", tensor.F32, []int{2}, []byte("aaaabbbb")},
		{"b", tensor.F16, []int{1, 2}, []byte("ccdd")},
		{"c", tensor.F32, []int{1}, []byte("eeee")},
		{"d", tensor.F32, []int{1}, []byte("ffff")},
	}
	for i, n := range [][2]int{{0, 1}, {1, 3}, {3, 4}} {
		kvs := []KV{{"split.no", Scalar(uint16(i))}, {"split.count", Scalar(uint16(3))}, {"split.tensors.count", Scalar(int32(4))}}
		if i == 0 {
			kvs = append([]KV{{"general.architecture", Scalar("llama")}}, kvs...)
		}
		_, data := encode(t, kvs, whole[n[0]:n[1]], EncodeOptions{})
		split = append(split, data)
	}
	return split, whole
}

// folder writes parts under the names that they should have.
func folder(t testing.TB, split [][]byte) string {
	dir := t.TempDir()
	for i, data := range split {
		if data != nil {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, len(split))), data, 0o600))
		}
	}
	return dir
}

func TestOpenSplit(t *testing.T) {
	split, whole := parts(t)
	dir := folder(t, split)
	for i := range split {
		f, err := Open(filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", i+1)))
		require.NoError(t, err)
		require.Equal(t, filepath.Join(dir, "m-00001-of-00003.gguf"), f.Path, "whichever part was opened")
		require.EqualValues(t, len(split[0])+len(split[1])+len(split[2]), f.Size())
		require.Len(t, f.Files(), 3)
		require.Equal(t, filepath.Join(dir, "m-00003-of-00003.gguf"), f.Files()[2])
		arch, err := f.String("general.architecture")
		require.NoError(t, err)
		require.Equal(t, "llama", arch)

		require.Len(t, f.Tensors(), len(whole))
		for j, x := range f.Tensors() {
			data, err := x.Data()
			require.NoError(t, err)
			require.Equal(t, whole[j], TensorData{x.Name, x.Type, x.Dims, data})
			x.Release()
			byName, ok := f.Tensor(x.Name)
			require.True(t, ok)
			data, err = byName.ReadRows(x.Rows()-1, x.Rows())
			require.NoError(t, err)
			require.Equal(t, whole[j].Data[len(whole[j].Data)-len(data):], data)
		}

		// What `sha256sum m-*.gguf | sha256sum` prints.
		list := ""
		for j, data := range split {
			list += fmt.Sprintf("%s  m-%05d-of-00003.gguf\n", sha(data), j+1)
		}
		sum := sha256.Sum256([]byte(list))
		got, err := f.SHA256(t.Context())
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(sum[:]), got)

		last, _ := f.Tensor("d")
		require.NoError(t, f.Close())
		require.NoError(t, f.Close())
		_, err = last.Data()
		require.ErrorIs(t, err, fs.ErrClosed)
		require.ErrorContains(t, err, `m-00003-of-00003.gguf: tensor "d": file is closed`)
	}
}

func TestOpenSplitErrors(t *testing.T) {
	part := func(no, count, total int, more []KV, tensors ...TensorData) []byte {
		_, data := encode(t, append([]KV{{"split.no", Scalar(uint16(no))}, {"split.count", Scalar(uint16(count))},
			{"split.tensors.count", Scalar(int32(total))}}, more...), tensors, EncodeOptions{})
		return data
	}
	one := func(name string) TensorData { return TensorData{name, tensor.F32, []int{1}, []byte("1234")} }
	name := []KV{{"general.name", Scalar("one")}}
	first := part(0, 2, 2, name, one("a"))
	for what, c := range map[string]struct {
		split [][]byte
		err   string
		is    error
	}{
		"missing":     {[][]byte{first, nil}, `m-00001-of-00002.gguf: part 2 of 2 is missing: there is no file `, fs.ErrNotExist},
		"no GGUF":     {[][]byte{first, []byte("<html>")}, `m-00002-of-00002.gguf: at byte 0: not a GGUF file`, ErrNotGGUF},
		"cut":         {[][]byte{first, first[:60]}, `m-00002-of-00002.gguf: `, nil},
		"twice":       {[][]byte{first, first}, `m-00002-of-00002.gguf: the file says that it is part 1 of 2, where part 2 of 2 is wanted`, nil},
		"other count": {[][]byte{first, part(1, 3, 2, nil, one("b"))}, `m-00002-of-00002.gguf: the file says that it is part 2 of 3, where part 2 of 2 is wanted`, nil},
		"unsplit":     {[][]byte{first, smallModel(t)}, `m-00002-of-00002.gguf: the file says that it is part 1 of 1`, nil},
		"other model": {[][]byte{first, part(1, 2, 2, []KV{{"general.name", Scalar("two")}}, one("b"))},
			`m-00002-of-00002.gguf: key "general.name" at byte `, nil},
		"other total":  {[][]byte{first, part(1, 2, 3, nil, one("b"))}, `value is 3, but 2 in `, nil},
		"same tensor":  {[][]byte{first, part(1, 2, 2, nil, one("a"))}, `m-00002-of-00002.gguf: tensor "a" at byte `, nil},
		"too few":      {[][]byte{first, part(1, 2, 2, nil)}, `2 tensors are promised, all parts together have 1`, nil},
		"no number":    {[][]byte{encoded(t, KV{"split.count", Scalar(uint16(2))}), nil}, `key "split.no": key is missing`, ErrMissing},
		"large number": {[][]byte{part(2, 2, 2, nil), nil}, `part 2, counted from 0, of 2 parts`, nil},
		"many parts":   {[][]byte{encoded(t, KV{"split.count", Scalar(uint32(100000))}), nil}, `100000 parts are more than 99999`, nil},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := Open(filepath.Join(folder(t, c.split), "m-00001-of-00002.gguf"))
			require.ErrorContains(t, err, c.err)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}

	t.Run("name", func(t *testing.T) {
		_, err := Open(write(t, first))
		require.ErrorContains(t, err, `the file is part 1 of 2, but its name does not end in -00001-of-00002.gguf, which tells where the others are`)
	})
	t.Run("later part without the first", func(t *testing.T) {
		dir := folder(t, [][]byte{nil, part(1, 2, 2, nil, one("b"))})
		_, err := Open(filepath.Join(dir, "m-00002-of-00002.gguf"))
		require.ErrorContains(t, err, `m-00002-of-00002.gguf: part 1 of 2 is missing: there is no file `)
	})
	t.Run("one part of one", func(t *testing.T) {
		f, err := Open(write(t, part(0, 1, 1, nil, one("a"))))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	})
}

func encoded(t testing.TB, kvs ...KV) []byte {
	_, data := encode(t, kvs, nil, EncodeOptions{})
	return data
}

// FuzzSplit looks for two files that together do what one could not.
func FuzzSplit(f *testing.F) {
	split, _ := parts(f)
	f.Add(split[0], split[1])
	f.Add(split[1], split[2])
	for _, no := range []uint16{0, 1} {
		f.Add(encoded(f, KV{"split.no", Scalar(uint16(0))}, KV{"split.count", Scalar(uint16(2))}),
			encoded(f, KV{"split.no", Scalar(no)}, KV{"split.count", Scalar(uint16(2))}))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		first, err := Parse(a, "a")
		if err != nil {
			return
		}
		second, err := Parse(b, "b")
		if err != nil {
			return
		}
		whole, err := join([]*File{first, second})
		if err != nil {
			var format *FormatError
			require.ErrorAs(t, err, &format)
			return
		}
		use(t, whole)
		_, err = whole.SHA256(t.Context())
		require.NoError(t, err)
		require.NoError(t, whole.Close())
	})
}

func TestFromSource(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "config.json"), filepath.Join(dir, "weights")}
	require.NoError(t, os.WriteFile(files[0], []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(files[1], []byte("aaaabbbbcccc"), 0o600))
	closed, released := 0, 0
	broken := errors.New("broken")
	data := []byte("aaaabbbbcccc")
	s := Source{
		Path: dir, Files: files,
		KVs: []KV{{"general.architecture", Scalar("llama")}, {"n", Scalar("word")}},
		Tensors: []SourceTensor{
			{Name: "w", Type: tensor.F32, Dims: []int{1, 3},
				Read: func(from, to int) ([]byte, error) { return data[4*from : 4*to], nil }, Release: func() { released++ }},
			{Name: "short", Type: tensor.F32, Dims: []int{2}, Read: func(from, to int) ([]byte, error) { return data[:4], nil }},
			{Name: "broken", Type: tensor.F32, Dims: []int{1}, Read: func(from, to int) ([]byte, error) { return nil, broken }},
		},
		Close: func() error { closed++; return nil },
	}
	f, err := FromSource(s)
	require.NoError(t, err)
	require.EqualValues(t, 14, f.Size())
	require.Equal(t, files, f.Files())
	require.Equal(t, []string{"general.architecture", "n"}, f.Keys())
	_, err = f.Uint("n")
	require.EqualError(t, err, `gguf: `+dir+`: key "n": value is string "word", want a non-negative integer`)

	w, _ := f.Tensor("w")
	got, err := w.ReadRows(1, 3)
	require.NoError(t, err)
	require.Equal(t, []byte("bbbbcccc"), got)
	w.Release()
	require.Equal(t, 1, released)
	x, _ := f.Tensor("short")
	_, err = x.Data()
	require.EqualError(t, err, `gguf: `+dir+`: tensor "short": 1 rows came as 4 bytes, not 8`)
	x.Release()
	x, _ = f.Tensor("broken")
	_, err = x.Data()
	require.ErrorIs(t, err, broken)
	require.Panics(t, func() { _, _ = w.ReadRows(2, 4) })

	sum := sha256.Sum256([]byte(sha([]byte("{}")) + "  config.json\n" + sha(data) + "  weights\n"))
	digest, err := f.SHA256(t.Context())
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(sum[:]), digest)

	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	require.Equal(t, 1, closed)
	_, err = w.Data()
	require.ErrorIs(t, err, fs.ErrClosed)

	s.Tensors[1].Name = "w"
	_, err = FromSource(s)
	require.EqualError(t, err, `gguf: `+dir+`: tensor "w": name is there twice`)
	s.Tensors, s.Files = nil, []string{"nope"}
	_, err = FromSource(s)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
