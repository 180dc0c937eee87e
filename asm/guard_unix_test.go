//go:build unix

package asm

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// guarded allocates n float32 that end exactly where an unreadable page
// begins, so that a kernel which touches one element too many crashes.
func guarded(t testing.TB, n int) []float32 {
	page := unix.Getpagesize()
	size := (n*4 + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	require.NoError(t, unix.Mprotect(b[size:], unix.PROT_NONE))
	t.Cleanup(func() { unix.Munmap(b) })
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[size-n*4])), n)
}
