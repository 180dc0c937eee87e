package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// names lists a folder, so that tests see what was left behind.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return s
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "result.json")
	for _, text := range []string{"first", "", "a longer second"} {
		require.NoError(t, Write(path, 0o640, func(w io.Writer) error {
			if text == "" {
				return nil
			}
			_, err := io.WriteString(w, text)
			return err
		}))
		require.Equal(t, text, content(t, path))
		require.Equal(t, []string{"result.json"}, names(t, dir))
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o640), info.Mode())
	}
}

// A bare name means the current folder.
func TestWriteHere(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, Write("here", 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, "x")
		return err
	}))
	require.Equal(t, []string{"here"}, names(t, "."))
}

// Data larger than the buffer arrives in order.
func TestWriteLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	var want bytes.Buffer
	require.NoError(t, Write(path, 0o644, func(w io.Writer) error {
		for i := range 50_000 {
			if _, err := fmt.Fprintln(io.MultiWriter(w, &want), i); err != nil {
				return err
			}
		}
		return nil
	}))
	require.True(t, want.String() == content(t, path))
}

// Every failure leaves the old contents and nothing else.
func TestWriteFails(t *testing.T) {
	some := func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	}
	for _, c := range []struct {
		name  string
		write func(w io.Writer) error
		cause error
		want  string // with PATH for the target
	}{
		{
			"disk full, seen by the caller",
			func(w io.Writer) error { some(w); return fmt.Errorf("row 7: %w", syscall.ENOSPC) },
			syscall.ENOSPC,
			"atomicfile: write PATH: row 7: no space left on device",
		},
		{
			"disk full, named by the system with the temporary file",
			func(w io.Writer) error {
				return &fs.PathError{Op: "write", Path: w.(*File).temp.Name(), Err: syscall.ENOSPC}
			},
			syscall.ENOSPC,
			"atomicfile: write PATH: no space left on device",
		},
		{
			"a write fails and the caller reports it",
			func(w io.Writer) error {
				w.(*File).temp.Close()
				_, err := w.Write(make([]byte, 1<<20))
				return fmt.Errorf("logits: %w", err)
			},
			fs.ErrClosed,
			"logits: atomicfile: write PATH: file already closed",
		},
		{
			"a write fails and the caller does not notice",
			func(w io.Writer) error {
				w.(*File).temp.Close()
				w.Write(make([]byte, 1<<20))
				return nil
			},
			fs.ErrClosed,
			"atomicfile: write PATH: file already closed",
		},
		{
			"the last flush fails",
			func(w io.Writer) error { some(w); return w.(*File).temp.Close() },
			fs.ErrClosed,
			"atomicfile: write PATH: file already closed",
		},
		{
			"the sync fails",
			func(w io.Writer) error { return w.(*File).temp.Close() },
			fs.ErrClosed,
			"atomicfile: write PATH: file already closed",
		},
		{
			"the caller gives up",
			func(w io.Writer) error { some(w); return io.ErrUnexpectedEOF },
			io.ErrUnexpectedEOF,
			"atomicfile: write PATH: unexpected EOF",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "target")
			require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
			err := Write(path, 0o644, c.write)
			require.ErrorIs(t, err, c.cause)
			require.EqualError(t, err, strings.ReplaceAll(c.want, "PATH", path))
			require.Equal(t, "old", content(t, path))
			require.Equal(t, []string{"target"}, names(t, dir))
		})
	}
}

func TestWritePanics(t *testing.T) {
	dir := t.TempDir()
	require.PanicsWithValue(t, "no", func() {
		_ = Write(filepath.Join(dir, "x"), 0o644, func(io.Writer) error { panic("no") })
	})
	require.Empty(t, names(t, dir))
}

func TestCreateFails(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	for _, c := range []struct{ name, path, want string }{
		{"no folder", filepath.Join(dir, "none", "x"), "no such file"},
		{"a folder", filepath.Join(dir, "sub"), "it is a folder"},
		{"a socket", listening(t, t.TempDir()), "it is not a regular file"},
		{"a folder, with a slash", filepath.Join(dir, "sub") + "/", "it is a folder"},
		{"a missing folder, with a slash", filepath.Join(dir, "none") + "/", "does not name a file"},
		{"nothing", "", "does not name a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Write(c.path, 0o644, func(io.Writer) error { t.Error("called"); return nil })
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, c.path)
			require.Equal(t, []string{"sub"}, names(t, dir))
		})
	}
}

// The target becomes a folder while the file is being written.
func TestRenameFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	err := Write(path, 0o644, func(w io.Writer) error { return os.MkdirAll(filepath.Join(path, "y"), 0o755) })
	require.ErrorContains(t, err, "atomicfile: write "+path+": ")
	require.NotContains(t, err.Error(), ".tmp")
	require.Equal(t, []string{"x"}, names(t, dir))
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")

	f, err := Create(path, 0o644)
	require.NoError(t, err)
	_, err = f.Write([]byte("abc"))
	require.NoError(t, err)
	require.NoFileExists(t, path)
	require.NoError(t, f.Commit())
	require.Equal(t, "abc", content(t, path))

	// A finished file takes nothing more and harms nothing.
	require.NoError(t, f.Close())
	_, err = f.Write([]byte("d"))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, f.Commit(), fs.ErrClosed)
	require.Equal(t, "abc", content(t, path))

	f, err = Create(path, 0o644)
	require.NoError(t, err)
	_, err = f.Write([]byte("lost"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	require.Equal(t, "abc", content(t, path))
	require.Equal(t, []string{"x"}, names(t, dir))
}

// Two writers of one target do not disturb each other; the last one wins.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	a, err := Create(path, 0o644)
	require.NoError(t, err)
	b, err := Create(path, 0o644)
	require.NoError(t, err)
	_, errA := a.Write([]byte("a"))
	_, errB := b.Write([]byte("b"))
	require.NoError(t, errors.Join(errA, errB, b.Commit(), a.Commit()))
	require.Equal(t, "a", content(t, path))
	require.Equal(t, []string{"x"}, names(t, dir))
}

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "vectors.json")

	err = Write(path, 0o644, func(w io.Writer) error {
		_, err := fmt.Fprint(w, `{"calm": [1, 0]}`)
		return err
	})
	text, _ := os.ReadFile(path)
	fmt.Println(string(text), err)

	// A writer that fails half way leaves the file as it was.
	err = Write(path, 0o644, func(w io.Writer) error {
		fmt.Fprint(w, `{"calm": [`)
		return errors.New("interrupted")
	})
	text, _ = os.ReadFile(path)
	fmt.Println(string(text), errors.Unwrap(err))
	// Output:
	// {"calm": [1, 0]} <nil>
	// {"calm": [1, 0]} interrupted
}

// listening makes a socket, which stands for devices and pipes here.
func listening(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return path
}
