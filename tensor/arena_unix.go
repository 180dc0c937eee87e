//go:build unix

package tensor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapAnonymous allocates zeroed memory outside the garbage collector's heap,
// aligned to a page, in huge pages where the system has them.
func mapAnonymous(size int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("tensor: allocate %d bytes: %w", size, err)
	}
	adviseHuge(b)
	return b, nil
}

func unmapAnonymous(b []byte) error { return unix.Munmap(b) }
