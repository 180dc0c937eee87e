//go:build unix && !aix && !solaris

package mmap

import (
	"fmt"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile gives the content of a file, and whether it is a mapping that unmap
// has to undo.
func mapFile(path string) (data []byte, mapped bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close() // the mapping outlives the descriptor

	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, false, &fs.PathError{Op: "map", Path: path, Err: fmt.Errorf("not a regular file (%v)", info.Mode())}
	case size == 0: // mmap refuses it
		return nil, false, nil
	case size > math.MaxInt:
		return nil, false, &fs.PathError{Op: "map", Path: path, Err: fmt.Errorf("%d bytes do not fit the address space", size)}
	default:
		data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, false, &fs.PathError{Op: "map", Path: path, Err: err}
		}
		return data, true, nil
	}
}

func unmap(data []byte) error { return unix.Munmap(data) }

// adviseUnneeded drops the pages that lie entirely within data[start:end], a
// part of a mapping. Failure costs memory only.
func adviseUnneeded(data []byte, start, end int) {
	page := os.Getpagesize() // mappings start on a page
	start = (start + page - 1) / page * page
	if end != len(data) {
		end = end / page * page
	}
	if start < end {
		_ = unix.Madvise(data[start:end], unix.MADV_DONTNEED)
	}
}
