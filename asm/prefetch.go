package asm

import "unsafe"

// Prefetch asks for s to be brought from memory to a nearer cache, and does not
// wait. It has a use where what is read next lies elsewhere, so that the processor
// cannot foresee it. It has no effect on results, and elsewhere than on amd64 none at all.
func Prefetch[T float32 | uint16](s []T) {
	if lines := (len(s)*int(unsafe.Sizeof(*new(T))) + 63) / 64; lines > 0 {
		prefetch((*byte)(unsafe.Pointer(&s[0])), lines)
	}
}
