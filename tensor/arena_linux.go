package tensor

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages. It is advice: a refusal costs only speed.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
