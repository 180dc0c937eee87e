package mmap

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	require.NoError(t, os.WriteFile(path, want, 0o600))
	f, err := Open(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, f.Data))
	for _, r := range [][2]int{{0, len(want)}, {100, 200}, {5000, 60000}, {7, 7}} {
		f.Release(r[0], r[1])
		require.True(t, bytes.Equal(want, f.Data), "released pages come back")
	}
	require.NoError(t, f.Close())
	require.Nil(t, f.Data)
	require.NoError(t, f.Close())
	f.Release(0, 10)
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "nope"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "nope")
	_, err = Open(dir)
	require.ErrorContains(t, err, dir)

	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	f, err := Open(empty)
	require.NoError(t, err)
	require.Empty(t, f.Data)
	require.NoError(t, f.Close())
}
