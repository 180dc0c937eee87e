// Package asm holds limbic's innermost loops: kernels in assembly with their
// twins in plain Go, and the choice between them.
//
// # The twins define the bits
//
// Every kernel is specified by its generic Go function, which says in which
// order numbers are multiplied, added and rounded. An assembly kernel must
// give the same bits for every finite input; the tests compare the two over
// random, extreme and subnormal values and all tails. So a result does not
// depend on the machine that computed it. Three rules make that possible:
//
//   - An output is one chain of fused multiply-adds in index order. Registers
//     hold different outputs side by side, so their width changes nothing.
//   - A sum across elements that has no such layout (a sum of squares, the sum
//     of a softmax) runs in 16 virtual lanes: element i belongs to lane i%16,
//     and the lanes are added as a fixed tree (see Fold).
//   - Every other operation is rounded after each step. Products are converted
//     explicitly, float32(a*b)+c, because the Go compiler fuses a*b+c on arm64
//     and with GOAMD64=v3. The conversions look redundant and are not.
//
// # Where things are
//
// A kernel family has one file: panels.go (matrices), vector.go (elementwise
// operations and reductions), exp.go, quant.go. The public function checks its
// arguments, handles the tail and calls the kernel of the current Level.
// kernels_amd64.s and its stubs are written by _gen, AVX2 by main.go there and
// AVX-512 by avx512.go; run `go generate` after a change. A level without a
// kernel of its own for a function uses that of the level below.
//
// A further instruction set gets a Level in level.go, a file of kernels, and
// a case in dispatch_<arch>.go, the only file an architecture's kernels are
// called from.
package asm

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg asm"
