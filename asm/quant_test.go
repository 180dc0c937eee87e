package asm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// guardedBytes allocates n bytes before an unreadable page.
func guardedBytes(t testing.TB, n int) []byte {
	f := guarded(t, (n+3)/4)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 4*len(f))[4*len(f)-n:]
}

func TestDequantizeQ8_0(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(12, 13))
		for blocks := range 20 {
			src := guardedBytes(t, blocks*q8Bytes)
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			for b := range blocks {
				// Zeros, subnormal and normal scales of both signs.
				binary.LittleEndian.PutUint16(src[b*q8Bytes:], uint16(r.IntN(2)<<15|r.IntN(0x7c00)>>r.IntN(12)))
			}
			want, got := make([]float32, blocks*q8Elements), guarded(t, blocks*q8Elements)
			dequantizeQ8Generic(want, src, blocks)
			DequantizeQ8_0(got, src)
			sameBits(t, want, got, fmt.Sprint(blocks, " blocks"))
		}
		require.Panics(t, func() { DequantizeQ8_0(make([]float32, 31), make([]byte, 34)) })
	})
}

// Every scale and every quant, and what they stand for.
func TestDequantizeQ8_0Exhaustively(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		var src [q8Bytes]byte
		var got [q8Elements]float32
		for scale := range 1 << 16 {
			exponent, fraction := scale>>10&31, float64(scale&0x3ff)
			d := math.Ldexp(1024+fraction, exponent-25)
			switch {
			case exponent == 0:
				d = math.Ldexp(fraction, -24)
			case exponent == 31 && fraction == 0:
				d = math.Inf(1)
			case exponent == 31:
				d = math.NaN()
			}
			if scale>>15 == 1 {
				d = -d
			}
			binary.LittleEndian.PutUint16(src[:], uint16(scale))
			for i := range q8Elements {
				src[2+i] = byte(scale*q8Elements + i)
			}
			DequantizeQ8_0(got[:], src[:])
			for i, g := range got {
				want := float32(d * float64(int8(src[2+i])))
				if math.Float32bits(want) != math.Float32bits(g) && !(math.IsNaN(float64(want)) && math.IsNaN(float64(g))) {
					t.Fatalf("scale %#x times %d is %v, not %v", scale, int8(src[2+i]), g, want)
				}
			}
		}
	})
}

func BenchmarkDequantizeQ8_0(b *testing.B) {
	for _, l := range Levels() {
		b.Run(l.String(), func(b *testing.B) {
			restore, err := Use(l)
			require.NoError(b, err)
			defer restore()
			src, dst := make([]byte, 16*q8Bytes), make([]float32, 16*q8Elements)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				DequantizeQ8_0(dst, src)
			}
		})
	}
}
