//go:build linux || darwin || freebsd

package hub

import "golang.org/x/sys/unix"

// freeSpace gives the bytes that may still be written below a folder.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	// The types differ between systems.
	free := uint64(s.Bavail) * uint64(s.Bsize)
	if int64(s.Bavail) < 0 || free > 1<<62 {
		return 0, int64(s.Bavail) < 0
	}
	return int64(free), true
}
