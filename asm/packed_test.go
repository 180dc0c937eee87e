package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A packedCase fills the parts of a block.
type packedCase struct {
	name string
	code func(r *rand.Rand, most int) byte
	half func(r *rand.Rand) uint16
	sub  func(r *rand.Rand) byte
}

func packedCases() []packedCase {
	anyByte := func(r *rand.Rand) byte { return byte(r.Uint32()) }
	sane := func(r *rand.Rand) uint16 { return uint16(r.IntN(2))<<15 | 0x2000 + uint16(r.IntN(0x1000)) }
	return []packedCase{
		{"any", anyCode, sane, anyByte},
		{"highest", func(_ *rand.Rand, most int) byte { return byte(most) }, func(*rand.Rand) uint16 { return 0x7bff }, func(*rand.Rand) byte { return 0x7f }},
		{"lowest", func(*rand.Rand, int) byte { return 0 }, sane, func(*rand.Rand) byte { return 0x80 }},
		{"extremes", func(r *rand.Rand, most int) byte { return byte(r.IntN(2) * most) }, sane, func(r *rand.Rand) byte { return byte(-r.IntN(2)) }},
		{"subnormal scales", anyCode, func(r *rand.Rand) uint16 { return uint16(r.IntN(2))<<15 | uint16(r.IntN(0x400)) }, anyByte},
		{"no scales", anyCode, func(*rand.Rand) uint16 { return 0 }, func(*rand.Rand) byte { return 0 }},
		{"infinite scales", anyCode, func(r *rand.Rand) uint16 { return []uint16{0x7c00, 0xfc00, 0x3c00}[r.IntN(3)] }, anyByte},
	}
}

// packedBlocks makes some panels, in memory before unreadable pages, and gives
// the blocks by [panel][block][row].
func packedBlocks(t testing.TB, r *rand.Rand, p Packing, c packedCase, panels, blocks int) (*PackedPanels, [][][Rows]Block) {
	n := blocks * p.Block()
	w := &PackedPanels{Packing: p, CodeStride: p.CodeBytes(n), ScaleStride: p.ScaleBytes(n)}
	w.Codes, w.Scales = guardedBytes(t, panels*w.CodeStride), guardedBytes(t, panels*w.ScaleStride)
	all := make([][][Rows]Block, panels)
	f := packings[p]
	for i := range all {
		all[i] = make([][Rows]Block, blocks)
		for j := range all[i] {
			for row := range Rows {
				b := &all[i][j][row]
				for k := range p.Block() {
					b.Codes[k] = c.code(r, 1<<(f.low+f.high)-1)
				}
				b.D, b.M = c.half(r), c.half(r)
				for k := range b.S {
					b.S[k], b.Ms[k] = c.sub(r), c.sub(r)
					if f.scales == scaleNibbles {
						b.S[k], b.Ms[k] = b.S[k]&15, b.Ms[k]&15
					}
				}
				p.Put(w.Codes[i*w.CodeStride:][:w.CodeStride], w.Scales[i*w.ScaleStride:][:w.ScaleStride], row, j, b)
			}
		}
	}
	return w, all
}

func newTile(t testing.TB, p Packing, panels, n int) *IntPanels {
	tile := &IntPanels{CodeStride: n * Rows, ScaleStride: n / p.Sub() * Rows, Sub: p.Sub(), Offset: p.Offset()}
	tile.Codes = guardedBytes(t, panels*tile.CodeStride)
	tile.Scales = guarded(t, panels*tile.ScaleStride)
	if p.Offset() == 0 {
		tile.Mins = guarded(t, len(tile.Scales))
	}
	return tile
}

func eachPacking(t *testing.T, test func(t *testing.T, p Packing, c packedCase)) {
	for p := range packingCount {
		for _, c := range packedCases() {
			t.Run(fmt.Sprintf("%d/%s", p, c.name), func(t *testing.T) { test(t, p, c) })
		}
	}
}

// What was put in comes out: the codes in IntPanels' layout, the scales as the
// layouts say.
func TestUnpack(t *testing.T) {
	eachPacking(t, func(t *testing.T, p Packing, c packedCase) {
		const panels, blocks = 2, 3
		f := packings[p]
		w, all := packedBlocks(t, rand.New(rand.NewPCG(uint64(p), 1)), p, c, panels, blocks)
		n := blocks * p.Block()
		eachLevel(t, func(t *testing.T) {
			tile := newTile(t, p, panels, n)
			for i := range panels {
				w.Unpack(tile, i, i, 0, n)
			}
			for i := range panels {
				for col := range n {
					for row := range Rows {
						b := &all[i][col/p.Block()][row]
						want := b.Codes[col%p.Block()]
						if f.levels != nil {
							want = f.levels[want]
						}
						if got := tile.Codes[i*tile.CodeStride+col/4*4*Rows+4*row+col%4]; got != want {
							t.Fatalf("panel %d column %d row %d: code %d, want %d", i, col, row, got, want)
						}
						if col%p.Sub() > 0 {
							continue
						}
						sub := col % p.Block() / p.Sub()
						scale, minimum := Float16(b.D), Float16(b.M)
						switch f.scales {
						case scaleSigned:
							scale *= float32(int8(b.S[sub]))
						case scaleMin, scaleNibbles:
							scale *= float32(b.S[sub])
							minimum = -float32(minimum * float32(b.Ms[sub]))
						}
						at := i*tile.ScaleStride + col/p.Sub()*Rows + row
						sameBits(t, quiet([]float32{scale}), quiet(tile.Scales[at:][:1]), "scale")
						if tile.Mins != nil {
							sameBits(t, quiet([]float32{minimum}), quiet(tile.Mins[at:][:1]), "minimum")
						}
					}
				}
			}
			// From the middle on.
			part := newTile(t, p, 1, n-p.Block())
			w.Unpack(part, 0, 1, p.Block(), n-p.Block())
			require.Equal(t, tile.Codes[tile.CodeStride+p.Block()*Rows:], part.Codes)
			sameBits(t, quiet(tile.Scales[tile.ScaleStride+p.Block()/p.Sub()*Rows:]), quiet(part.Scales), "part")
		})
	})
}

func TestMulPackedEqualsGeneric(t *testing.T) {
	eachPacking(t, func(t *testing.T, p Packing, c packedCase) {
		testMulPacked(t, p, c, QuantizeInt8, MulInt8, MulPackedInt8)
		testMulPacked(t, p, c, QuantizeInt16, MulInt16, MulPackedInt16)
	})
}

type mulPackedFunc[T int8 | int16] func(y []float32, w *PackedPanels, first int, x []T, t []Term, n, panels int)

func testMulPacked[T int8 | int16](t *testing.T, p Packing, c packedCase, quantize func([]T, []float32, []int32, []float32), mul mulInt[T], mulPacked mulPackedFunc[T]) {
	r := rand.New(rand.NewPCG(uint64(p), 2))
	for _, blocks := range []int{1, 2, 5} {
		const panels, first, some = 5, 1, 3
		w, _ := packedBlocks(t, r, p, c, panels, blocks)
		n := blocks * p.Block()
		for _, filler := range []string{"normal", "tiny", "wide", "one"} {
			f, ok := fillers[filler]
			if !ok {
				f = func(r *rand.Rand) float32 { return float32(2*r.IntN(2) - 1) }
			}
			x, scales, sums := guardedInts[T](t, n), make([]float32, n/32), make([]int32, n/16)
			quantize(x, scales, sums, fill(t, r, n, f))
			terms := guardedTerms(t, n/p.Sub())
			MakeTerms(terms, 1, scales, sums, p.Sub(), p.Offset(), 1)
			want := make([]float32, some*Rows)
			mulPackedGeneric(want, w, first, x, terms, n, some)
			eachLevel(t, func(t *testing.T) {
				y := guarded(t, some*Rows)
				for i := range y {
					y[i] = float32(math.NaN()) // must be overwritten
				}
				mulPacked(y, w, first, x, terms, n, some)
				sameBits(t, quiet(want), quiet(y), filler)
				// The same in two steps.
				tile := newTile(t, p, some, n)
				for i := range some {
					w.Unpack(tile, i, first+i, 0, n)
				}
				mul(y, some*Rows, tile, x, n, terms, 1, n, some, 1, false)
				sameBits(t, quiet(want), quiet(y), filler+", unpacked first")
			})
		}
	}
}

// quiet gives all NaNs one form: infinite scales make them, and their bits are
// not promised.
func quiet(x []float32) []float32 {
	x = slices.Clone(x)
	for i, v := range x {
		if v != v {
			x[i] = float32(math.NaN())
		}
	}
	return x
}

func TestMulPackedRefuses(t *testing.T) {
	w, _ := packedBlocks(t, rand.New(rand.NewPCG(1, 1)), PackedQ4_K, packedCases()[0], 2, 1)
	y, x, terms := make([]float32, 2*Rows), make([]int8, 256), make([]Term, 8)
	require.NotPanics(t, func() { MulPackedInt8(y, w, 0, x, terms, 256, 2) })
	require.NotPanics(t, func() { MulPackedInt8(nil, w, 0, nil, nil, 0, 0) })
	for name, call := range map[string]func(){
		"outputs":   func() { MulPackedInt8(y[:31], w, 0, x, terms, 256, 2) },
		"quants":    func() { MulPackedInt8(y, w, 0, x[:255], terms, 256, 2) },
		"terms":     func() { MulPackedInt8(y, w, 0, x, terms[:7], 256, 2) },
		"panels":    func() { MulPackedInt8(y, w, 1, x, terms, 256, 2) },
		"a block":   func() { MulPackedInt8(y, w, 0, x, terms, 32, 2) },
		"unpacking": func() { w.Unpack(newTile(t, PackedQ6_K, 1, 256), 0, 0, 0, 256) },
	} {
		require.Panics(t, call, name)
	}
}

func TestDequantizeInts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range intCases() {
		for _, k := range []int{c.sub, 3 * c.sub} {
			w := makeInt(t, r, c, (k+31)/32*32, 3, 1, QuantizeInt8).w
			want := make([]float32, 3*k*Rows)
			for p := range 3 {
				var mins []float32
				if w.Mins != nil {
					mins = w.Mins[p*w.ScaleStride:]
				}
				dequantizeIntsGeneric(want[p*k*Rows:][:k*Rows], w.Codes[p*w.CodeStride:], w.Scales[p*w.ScaleStride:], mins, w.Sub, w.Offset)
			}
			eachLevel(t, func(t *testing.T) {
				got := guarded(t, 3*k*Rows)
				w.Dequantize(got, k*Rows, k, 3)
				sameBits(t, want, got, c.name)
			})
		}
	}
}

func TestWidenBFloat16(t *testing.T) {
	src, want := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range want {
		src[i], want[i] = uint16(i), math.Float32frombits(uint32(i)<<16)
	}
	eachLevel(t, func(t *testing.T) {
		got := make([]float32, len(want))
		WidenBFloat16(got, src)
		sameBits(t, want, got, "every number")
		for n := range 40 {
			to := guarded(t, n)
			WidenBFloat16(to, src[0x3f00:][:n])
			sameBits(t, want[0x3f00:][:n], to, fmt.Sprint(n))
		}
	})
}
