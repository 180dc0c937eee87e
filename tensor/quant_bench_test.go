package tensor

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkDequantize decodes a row of 4096 elements, which with its result
// fits the nearest caches. Bytes are those of the format.
func BenchmarkDequantize(b *testing.B) {
	const n = 4096
	for _, t := range allTypes() {
		b.Run(t.String(), func(b *testing.B) {
			size, err := t.RowBytes(n)
			if err != nil {
				b.Fatal(err)
			}
			src, dst := make([]byte, size), make([]float32, n)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range dst {
				dst[i] = float32(rng.NormFloat64()) * 0.02
			}
			if Quantize(src, t, dst) != nil { // only read
				for i := range src {
					src[i] = byte(rng.Uint32()) &^ 0x44 // no scale is infinite or NaN
				}
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := Dequantize(dst, t, src); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/elem")
		})
	}
}

func BenchmarkQuantize(b *testing.B) {
	const n = 4096
	for _, t := range []Type{F32, F16, BF16, Q8_0, Q4_0} {
		b.Run(t.String(), func(b *testing.B) {
			size, err := t.RowBytes(n)
			if err != nil {
				b.Fatal(err)
			}
			src, dst := make([]float32, n), make([]byte, size)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range src {
				src[i] = float32(rng.NormFloat64()) * 0.02
			}
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := Quantize(dst, t, src); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/elem")
		})
	}
}
