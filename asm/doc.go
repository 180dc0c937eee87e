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
// # Products of integers
//
// Quantised weights can meet quantised activations (see tensor.Precision).
// This is what an output then is:
//
//   - A column of activations x falls into blocks of 32. With amax the largest
//     |x| of a block and L = 127 or 126, whichever loses less (int8), or 32767
//     (int16), its scale is a = amax/L and its quants are q = x·(L/amax), rounded
//     to the nearest integer, halves to even. If L/amax overflows, all are 0; if an element is
//     not finite, a is NaN.
//
//   - A weight is scale·(u - offset), or scale·u + minimum, with u an unsigned
//     byte, an offset that belongs to the storage format, and a scale and a
//     minimum that belong to a sub-block of 16 or 32 columns and are computed as
//     the exact decoder computes them.
//
//   - An output is one chain over the sub-blocks in order. For each, D is the
//     sum of (u - offset)·q, an exact integer, and A that of q:
//
//     acc = fma(minimum, float32(a·A), acc)      where there is a minimum
//     acc = fma(float32(scale·a), float32(D), acc)
//
// Integers may be added in any order because they never overflow; every other
// rounding is in these lines. See QuantizeInt8, IntPanels and MulInt8.
//
// # Where things are
//
// A kernel family has one file: panels.go (matrices), intpanels.go and
// quantize.go (matrices of integers), vector.go (elementwise operations and
// reductions), exp.go, gelu.go, rotate.go, half.go (float16), fixed.go (exact
// sums), quant.go. The public function checks its arguments,
// handles the tail and calls the kernel of the current Level. kernels_amd64.s
// and its stubs are written by _gen, AVX2 by main.go there, AVX-512 by avx512.go,
// products of integers by integer.go, quantising by quantize.go, what surrounds
// attention's products by attention.go and exact sums by fixed.go; packed_amd64.s, of
// weights as they lie in memory (packed.go), by packed.go, and amx_amd64.s by amx.go. _gen/arm64 writes
// kernels_arm64.s and packed_arm64.s. Run `go generate` after a change. A level
// without a kernel of its own for a function uses that of the level below: integers
// have kernels for AVX2 and for AVX-512 with VNNI, and products of many columns for
// AMX; on arm64 all but the products of integers are those of NEON. The kernels for
// arm64 have the same bits, under an emulator; how fast they are was not measured.
//
// AMX multiplies in tile registers, for which a process must ask the system;
// here that is done for Linux (amx_linux_amd64.go). A kernel configures the tiles
// when it begins and releases them when it ends, so that nothing else ever runs
// while they are in use but signal handlers, for which the system saves them.
//
// A further instruction set gets a Level in level.go, a file of kernels, and
// a case in dispatch_<arch>.go, the only file an architecture's kernels are
// called from.
package asm

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg asm"
//go:generate sh -c "cd _gen && go run . -family packed -out ../packed_amd64.s -stubs ../packed_amd64.go -pkg asm"
//go:generate sh -c "cd _gen && go run . -family amx -out ../amx_amd64.s -stubs ../amx_amd64.go -pkg asm"
//go:generate sh -c "cd _gen && go run ./arm64 -family kernels -out ../kernels_arm64.s -stubs ../kernels_arm64.go"
//go:generate sh -c "cd _gen && go run ./arm64 -family packed -out ../packed_arm64.s -stubs ../packed_arm64.go"
