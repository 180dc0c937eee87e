package gguf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/tensor"
)

// write puts a file into a temporary folder and gives its path.
func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// largeModel has tensors of several pages each.
func largeModel(t *testing.T) []byte {
	a, b := make([]byte, 1<<20), make([]byte, 3<<20)
	for i := range a {
		a[i] = byte(i >> 8)
	}
	for i := range b {
		b[i] = byte(i>>8) + 1
	}
	_, data := encode(t, []KV{{"name", Scalar("large")}}, []TensorData{
		{"a", tensor.F32, []int{1 << 18}, a},
		{"b", tensor.F32, []int{1 << 18, 3}, b},
	}, EncodeOptions{})
	return data
}

func TestOpen(t *testing.T) {
	want := largeModel(t)
	path := write(t, want)
	f, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, path, f.Path)
	require.EqualValues(t, len(want), f.Size())

	for _, x := range f.Tensors() {
		data, err := x.Data()
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[x.Offset():int(x.Offset())+x.Size()], data))

		// Released pages come back when they are touched.
		x.Release()
		require.True(t, bytes.Equal(want[x.Offset():int(x.Offset())+x.Size()], data))
	}
	tokens, err := f.String("name")
	require.NoError(t, err)

	require.NoError(t, f.Close())
	require.NoError(t, f.Close())

	// Metadata outlives the mapping, tensors do not.
	require.Equal(t, "large", tokens)
	require.Equal(t, []string{"name"}, f.Keys())
	again, err := f.String("name")
	require.NoError(t, err)
	require.Equal(t, "large", again)
	x, _ := f.Tensor("a")
	_, err = x.Data()
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorContains(t, err, `m.gguf: tensor "a": file is closed`)
	x.Release()
	require.EqualValues(t, len(want), f.Size())
}

func TestOpenErrors(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "nope.gguf"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "gguf: ")
	require.ErrorContains(t, err, "nope.gguf")

	_, err = Open(t.TempDir())
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNotGGUF)

	path := write(t, nil)
	_, err = Open(path)
	require.ErrorIs(t, err, ErrNotGGUF)
	require.EqualError(t, err, "gguf: "+path+": at byte 0: not a GGUF file: it is empty")

	path = write(t, smallModel(t)[:100])
	_, err = Open(path)
	var format *FormatError
	require.ErrorAs(t, err, &format)
	require.Equal(t, path, format.File)
}

func TestSHA256(t *testing.T) {
	data := largeModel(t)
	f, err := Open(write(t, data))
	require.NoError(t, err)
	defer f.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.SHA256(ctx)
	require.ErrorIs(t, err, context.Canceled)

	// A failure is not kept; callers at once get the same hash.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got, err := f.SHA256(t.Context())
			if err != nil || got != sha(data) {
				t.Errorf("SHA256() = %q, %v; want %q", got, err, sha(data))
			}
		})
	}
	all.Wait()

	require.NoError(t, f.Close())
	got, err := f.SHA256(t.Context())
	require.NoError(t, err, "a known hash outlives the file")
	require.Equal(t, sha(data), got)

	f, err = Parse(data, "memory.gguf")
	require.NoError(t, err)
	got, err = f.SHA256(t.Context())
	require.NoError(t, err)
	require.Equal(t, sha(data), got)

	f, err = Parse(data, "memory.gguf")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = f.SHA256(t.Context())
	require.ErrorIs(t, err, fs.ErrClosed)
	require.EqualError(t, err, "gguf: memory.gguf: file is closed")
}

// Models and vocabularies that other programs wrote: each is read, written
// again, and the same in all that counts.
func TestOtherWriters(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared") // shared test material, beside the repository
	if _, err := os.Stat(shared); os.IsNotExist(err) {
		t.Skip("there is no shared test material")
	}
	var paths []string
	for _, folder := range []string{"models", "vocab"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(shared, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".gguf") {
				paths = append(paths, path)
			}
			return err
		}))
	}
	require.NotEmpty(t, paths)

	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := Open(path)
			require.NoError(t, err)
			defer f.Close()
			require.NotEmpty(t, f.Keys())
			arch, err := f.String("general.architecture")
			require.NoError(t, err)
			require.NotEmpty(t, arch)
			tokens, err := f.Strings("tokenizer.ggml.tokens")
			require.NoError(t, err)
			require.NotEmpty(t, tokens)
			types, err := f.Int32s("tokenizer.ggml.token_type")
			require.NoError(t, err)
			require.Len(t, types, len(tokens))
			if strings.Contains(path, "vocab") {
				require.Empty(t, f.Tensors())
			} else {
				require.NotEmpty(t, f.Tensors())
			}
			use(t, f)

			// These writers keep to the same order and padding as Encode, so
			// that the bytes agree too, up to padding after a bare vocabulary.
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			got := encodeAgain(t, f)
			require.True(t, bytes.HasPrefix(got, want))
			require.Less(t, len(got)-len(want), f.Alignment())
		})
	}
}

// encodeAgain writes everything that a file holds.
func encodeAgain(t *testing.T, f *File) []byte {
	t.Helper()
	var kvs []KV
	for _, key := range f.Keys() {
		v, _ := f.Get(key)
		kvs = append(kvs, KV{key, v})
	}
	var tensors []TensorData
	for _, x := range f.Tensors() {
		data, err := x.Data()
		require.NoError(t, err)
		tensors = append(tensors, TensorData{x.Name, x.Type, x.Dims, data})
	}
	var b bytes.Buffer
	require.NoError(t, Encode(&b, kvs, tensors, EncodeOptions{Version: f.Version}))
	return b.Bytes()
}

func BenchmarkOpenVocabulary(b *testing.B) {
	tokens := make([]string, 150_000)
	for i := range tokens {
		tokens[i] = strings.Repeat("x", i%12)
	}
	_, data := encode(b, []KV{{"tokens", Array(tokens)}, {"types", Array(make([]int32, len(tokens)))}}, nil, EncodeOptions{})
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		f, err := Parse(data, "")
		if err != nil {
			b.Fatal(err)
		}
		if got, err := f.Strings("tokens"); err != nil || len(got) != len(tokens) {
			b.Fatal(len(got), err)
		}
	}
}
