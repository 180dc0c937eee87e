//go:build linux || darwin

package main

import (
	"os"
	"runtime"
	"syscall"
)

// peakMemory is the most memory that a process had at a time, in bytes, or 0
// where that is not known. Linux begins the count of a new process with what
// its parent had: nothing below that can be told.
func peakMemory(p *os.ProcessState) int64 {
	child, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" { // in bytes there, not in KiB
		return child.Maxrss
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil || child.Maxrss <= own.Maxrss {
		return 0
	}
	return child.Maxrss << 10
}
