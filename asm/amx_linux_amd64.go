//go:build !purego

package asm

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// requestTiles asks Linux to let this process use the tile registers of AMX,
// whose state it saves only for processes that asked. All threads, also those
// to come, share the permission. The kernel refuses where a thread's signal stack
// could not hold that state; those of Go's runtime do.
func requestTiles() bool {
	const (
		archReqXCompPerm = 0x1023
		tileData         = 18
	)
	_, _, err := syscall.RawSyscall(unix.SYS_ARCH_PRCTL, archReqXCompPerm, tileData, 0)
	return err == 0
}
