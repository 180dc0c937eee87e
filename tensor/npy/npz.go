package npy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
)

// An Archive is a .npz file that is being read. Arrays are read when they are
// asked for. An Archive is safe for concurrent use.
type Archive struct {
	// MaxBytes bounds the size of one compressed array once it is inflated,
	// since a small file can claim a very large one. 0 means 4 GiB. Arrays that
	// are stored are bounded by the size of the file.
	MaxBytes int64

	names []string
	files map[string]*zip.File
	size  int64
	file  io.Closer
}

// OpenArchive opens a .npz file. The caller closes it.
func OpenArchive(path string) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		var a *Archive
		if a, err = NewArchive(f, info.Size()); err == nil {
			a.file = f
			return a, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("%w (in %s)", err, path)
}

// NewArchive reads the directory of a .npz file of the given size in bytes.
// Entries whose names do not end in .npy are ignored; two of the same name are
// an error.
func NewArchive(r io.ReaderAt, size int64) (*Archive, error) {
	z, err := zip.NewReader(r, size)
	// Names that would be unsafe to unpack are harmless here.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("npy: not a .npz file: %w", err)
	}
	a := &Archive{files: map[string]*zip.File{}, size: size}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		if a.files[name] != nil {
			return nil, fmt.Errorf("npy: the archive has two arrays %q", name)
		}
		a.files[name] = f
		a.names = append(a.names, name)
	}
	return a, nil
}

// Names lists the arrays in the order of the file, without ".npy".
func (a *Archive) Names() []string { return slices.Clone(a.names) }

// Read reads the array of that name, stored or deflated, and checks its
// checksum. The error for a name that is not there is [fs.ErrNotExist].
func (a *Archive) Read(name string) (Array, error) {
	array, err := a.read(name)
	if err != nil {
		return Array{}, fmt.Errorf("%w (array %q)", err, name)
	}
	return array, nil
}

func (a *Archive) read(name string) (Array, error) {
	f := a.files[name]
	if f == nil {
		return Array{}, fmt.Errorf("npy: the archive has no such array: %w", fs.ErrNotExist)
	}
	limit := a.MaxBytes
	if limit <= 0 {
		limit = 4 << 30
	}
	limit = min(limit, math.MaxInt64-1)
	have := int64(-1)
	switch n := f.UncompressedSize64; {
	case f.Method == zip.Store && (n != f.CompressedSize64 || n > uint64(a.size)):
		return Array{}, fmt.Errorf("npy: its size of %d bytes cannot be right", n)
	case f.Method == zip.Store:
		have = int64(n)
	case n > uint64(limit):
		return Array{}, fmt.Errorf("npy: inflated it has %d bytes, more than %d", n, limit)
	}
	r, err := f.Open()
	if err != nil {
		return Array{}, fmt.Errorf("npy: %w", err)
	}
	defer r.Close()
	// The size may be a lie: no more than it says is read, and one byte to see
	// whether there is more.
	return readAll(io.LimitReader(r, int64(f.UncompressedSize64)+1), have)
}

// Close closes the file of an archive from [OpenArchive].
func (a *Archive) Close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// An ArchiveWriter writes a .npz file. Arrays are stored uncompressed and
// without time stamps, so that the same arrays give the same bytes. After an
// error the file cannot be completed: every later call returns the same error.
type ArchiveWriter struct {
	z    *zip.Writer
	seen map[string]bool
	err  error

	// finish checks that the array being streamed, if any, is complete.
	finish func() error
}

// NewArchiveWriter starts a .npz file; [ArchiveWriter.Close] ends it.
func NewArchiveWriter(w io.Writer) *ArchiveWriter {
	return &ArchiveWriter{z: zip.NewWriter(w), seen: map[string]bool{}, finish: func() error { return nil }}
}

// Add writes an array, under a name that is not yet taken and does not include
// ".npy".
func (w *ArchiveWriter) Add(name string, a Array) error {
	return w.entry(name, func(e io.Writer) error { return Write(e, a) })
}

// AddStream starts an array that is written piece by piece, as with
// [NewWriter]. It must be complete before the next array is started and before
// the archive is closed, and takes no elements after that.
func AddStream[T Number](w *ArchiveWriter, name string, shape ...int) (*Writer[T], error) {
	var out *Writer[T]
	err := w.entry(name, func(e io.Writer) (err error) {
		out, err = NewWriter[T](e, shape...)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.finish = func() error {
		if err := out.Close(); err != nil {
			return fmt.Errorf("%w (array %q)", err, name)
		}
		return nil
	}
	return out, nil
}

// entry completes the current array and writes or begins another.
func (w *ArchiveWriter) entry(name string, write func(io.Writer) error) error {
	if err := w.complete(); err != nil {
		return err
	}
	err := func() error {
		if name == "" {
			return errors.New("npy: an array in an archive needs a name")
		}
		if w.seen[name] {
			return errors.New("npy: the archive already has such an array")
		}
		w.seen[name] = true
		e, err := w.z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err != nil {
			return fmt.Errorf("npy: write: %w", err)
		}
		return write(e)
	}()
	if err != nil {
		w.err = fmt.Errorf("%w (array %q)", err, name)
	}
	return w.err
}

// complete returns the first error, which may be that of a streamed array that
// was left incomplete.
func (w *ArchiveWriter) complete() error {
	if w.err == nil {
		w.err = w.finish()
		w.finish = func() error { return nil }
	}
	return w.err
}

// Close writes the directory of the archive. It does not close the underlying
// writer. An archive that is not closed, or whose Close fails, is not valid.
func (w *ArchiveWriter) Close() error {
	if err := w.complete(); err != nil {
		return err
	}
	if err := w.z.Close(); err != nil {
		w.err = fmt.Errorf("npy: write the archive's directory: %w", err)
		return w.err
	}
	w.err = errors.New("npy: the archive is closed")
	return nil
}
