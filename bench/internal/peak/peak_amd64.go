//go:build amd64 && !purego

package peak

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/cpu"
)

// The loops read their operands from x: multiplying zeros might let a processor
// run at a higher clock than it does at work.

//go:noescape
func fmaAVX2(rounds int, x *[64]byte)

//go:noescape
func fmaAVX512(rounds int, x *[64]byte)

//go:noescape
func maddAVX2(rounds int, x *[64]byte)

//go:noescape
func vnniAVX512(rounds int, x *[64]byte)

// readAVX2 reads n bytes, a multiple of 512.
//
//go:noescape
func readAVX2(p *float32, n int)

// Sums of products of these floats stay finite, and no pair of products of
// these bytes exceeds 16 bits.
var floats, bytes = func() (f, b [64]byte) {
	for i := range b {
		b[i] = byte(i + 1)
	}
	for i := range 16 {
		binary.LittleEndian.PutUint32(f[4*i:], math.Float32bits(0.5+float32(i)/16))
	}
	return f, b
}()

func hasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

func float32Loop() (Loop, bool) {
	switch {
	case cpu.X86.HasAVX512F:
		return Loop{"vfmadd231ps zmm", 16 * 16 * 2, func(n int) { fmaAVX512(n, &floats) }}, true
	case hasAVX2():
		return Loop{"vfmadd231ps ymm", 12 * 8 * 2, func(n int) { fmaAVX2(n, &floats) }}, true
	}
	return Loop{}, false
}

func int8Loop() (Loop, bool) {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI:
		return Loop{"vpdpbusd zmm", 16 * 64 * 2, func(n int) { vnniAVX512(n, &bytes) }}, true
	case hasAVX2():
		return Loop{"vpmaddubsw, vpmaddwd and vpaddd ymm", 8 * 32 * 2, func(n int) { maddAVX2(n, &bytes) }}, true
	}
	return Loop{}, false
}

func read(x []float32) {
	if !hasAVX2() {
		readGeneric(x)
		return
	}
	const step = 512 / 4
	if n := len(x) / step * step; n > 0 {
		readAVX2(&x[0], 4*n)
		x = x[n:]
	}
	readGeneric(x)
}

func reader() string {
	if hasAVX2() {
		return "ymm loads"
	}
	return "plain Go"
}
