// Package atomicfile writes files that are seen either complete or not at all.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write calls write with a buffered writer and then puts what was written in
// the place of path, with the permissions perm (before umask). Whatever happens
// on the way, a crash included, path holds either its old contents or all of
// the new ones.
//
// The data goes to a temporary file in the folder of path, which is flushed,
// synced and renamed over path; then the folder is synced. Where path is a
// symbolic link, the link is replaced and not the file that it points to.
//
// An error names path and wraps its cause. It leaves path as it was and no
// temporary file behind, with one exception: if only the folder could not be
// synced, path has its new contents, but a crash may still undo that.
func Write(path string, perm fs.FileMode, write func(w io.Writer) error) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return f.wrap(err)
	}
	return f.Commit()
}

// A File is being written and will replace another, for writers that outlive
// one function; others use [Write]. It is not safe for concurrent use.
//
//	f, err := atomicfile.Create(path, 0o644)
//	if err != nil {
//		return err
//	}
//	defer f.Close() // discards it on every way out before Commit
//	…
//	return f.Commit()
type File struct {
	path string // the target
	temp *os.File
	buf  *bufio.Writer
	done bool // committed or discarded
}

// Create starts a file that [File.Commit] will put in the place of path, with
// the permissions perm (before umask). The folder must exist, and path, if it
// exists, must be a regular file.
func Create(path string, perm fs.FileMode) (*File, error) {
	// A rename would put a file in the place of a device such as /dev/null, for
	// every program on the machine.
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("atomicfile: write %s: it is a folder", path)
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("atomicfile: write %s: it is not a regular file", path)
	}
	dir, base := filepath.Split(path)
	if base == "" {
		return nil, fmt.Errorf("atomicfile: %q does not name a file", path)
	}
	for {
		// Not os.CreateTemp, which makes files private whatever the umask says.
		name := filepath.Join(dir, fmt.Sprintf(".atomicfile-%016x.tmp", rand.Uint64()))
		temp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			return &File{path: path, temp: temp, buf: bufio.NewWriterSize(temp, 1<<16)}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("atomicfile: write %s: %w", path, cause(err))
		}
	}
}

// Write appends p. The error of a full disk may come only with a later Write
// or with Commit, because the data is buffered.
func (f *File) Write(p []byte) (int, error) {
	if f.done {
		return 0, f.wrap(fs.ErrClosed)
	}
	n, err := f.buf.Write(p)
	if err != nil {
		err = f.wrap(err)
	}
	return n, err
}

// Commit puts what was written in the place of the target; see [Write] for the
// steps and for what an error means. The File is closed afterwards.
func (f *File) Commit() error {
	if f.done {
		return f.wrap(fs.ErrClosed)
	}
	defer f.Close()
	if err := f.buf.Flush(); err != nil {
		return f.wrap(err)
	}
	// Without this the rename may reach the disk before the data does.
	if err := f.temp.Sync(); err != nil {
		return f.wrap(err)
	}
	if err := f.temp.Close(); err != nil {
		return f.wrap(err)
	}
	if err := os.Rename(f.temp.Name(), f.path); err != nil {
		return f.wrap(err)
	}
	f.done = true
	if err := syncFolder(filepath.Dir(f.path)); err != nil {
		return f.wrap(fmt.Errorf("sync its folder: %w", err))
	}
	return nil
}

// Close discards what was written, unless it was committed. The target stays
// as it was. Calling it again, or after Commit, does nothing.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	f.temp.Close() // fails if Commit has closed it; nothing is lost
	if err := os.Remove(f.temp.Name()); err != nil {
		return f.wrap(err)
	}
	return nil
}

// wrap names the target in an error, once.
func (f *File) wrap(err error) error {
	var known *writeError
	if errors.As(err, &known) {
		return err // from our own Write, by way of the caller's function
	}
	return &writeError{f.path, cause(err)}
}

// A writeError says which file could not be written.
type writeError struct {
	path string
	err  error
}

func (e *writeError) Error() string { return fmt.Sprintf("atomicfile: write %s: %v", e.path, e.err) }
func (e *writeError) Unwrap() error { return e.err }

// cause drops the name of the temporary file, which says nothing to a reader.
func cause(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}

// syncFolder makes a rename in a folder last. Where folders cannot be synced,
// as on Windows and some network file systems, there is nothing to do.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
