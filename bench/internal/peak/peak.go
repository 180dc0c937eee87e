// Package peak holds loops that do nothing but keep a processor's multipliers
// or its memory busy. How fast they run is what kernels are compared with.
//
// The loops are assembly, for amd64. They belong here and not in package asm
// because nothing that limbic computes uses them.
package peak

import (
	"math"
	"sync/atomic"
)

// A Loop repeats independent instructions.
type Loop struct {
	// Name says which instructions, such as "vfmadd231ps zmm".
	Name string
	// Ops is the number of operations of a round; a multiplication with its
	// addition counts as two.
	Ops int
	// Run does some rounds.
	Run func(rounds int)
}

// Float32 is the loop of the widest fused multiply-adds of float32 that limbic
// knows on this processor. It reports false where there is none.
func Float32() (Loop, bool) { return float32Loop() }

// Int8 is the loop of the fastest products of 8-bit integers, added up in 32
// bits, that limbic knows on this processor. Matrix units (AMX) are not among
// them. It reports false where there is none.
func Int8() (Loop, bool) { return int8Loop() }

// Read reads all of x and says how: by vector loads, or by plain Go, which need
// not be enough to keep memory busy.
func Read(x []float32) { read(x) }

// Reader says how Read reads.
func Reader() string { return reader() }

// sink keeps the compiler from leaving reads out.
var sink atomic.Uint32

// readGeneric adds up every element in sixteen sums.
func readGeneric(x []float32) {
	var s [16]float32
	for ; len(x) >= 16; x = x[16:] {
		for i, v := range (*[16]float32)(x) {
			s[i] += v
		}
	}
	total := float32(0)
	for _, v := range s {
		total += v
	}
	for _, v := range x {
		total += v
	}
	sink.Store(math.Float32bits(total))
}
