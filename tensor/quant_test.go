package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/x448/float16"
)

// allTypes are the known types in the order of their numbers.
func allTypes() []Type {
	var ts []Type
	for t := range known {
		ts = append(ts, t)
	}
	slices.Sort(ts)
	return ts
}

// golden reads a file of testdata.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

// goldenFloats reads a file of testdata that holds float32.
func goldenFloats(t *testing.T, name string) []float32 {
	t.Helper()
	b := golden(t, name)
	require.Zero(t, len(b)%4)
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// requireSameBits compares floats by their bits, so that −0 is not 0.
func requireSameBits(t *testing.T, want, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if w, g := math.Float32bits(want[i]), math.Float32bits(got[i]); w != g {
			require.FailNowf(t, "values differ", "element %d: want %v (%#08x), got %v (%#08x)", i, want[i], w, got[i], g)
		}
	}
}

// The files were written by the Python package gguf, the ecosystem's own
// reading of each format.
func TestDequantizeGolden(t *testing.T) {
	for _, typ := range allTypes() {
		t.Run(typ.String(), func(t *testing.T) {
			src := golden(t, "dequant/"+typ.String()+".blocks")
			want := goldenFloats(t, "dequant/"+typ.String()+".f32")
			require.NotEmpty(t, want)
			got := make([]float32, len(want))
			require.NoError(t, Dequantize(got, typ, src))
			requireSameBits(t, want, got)
		})
	}
}

func TestQuantizeGolden(t *testing.T) {
	src := goldenFloats(t, "quant/input.f32")
	for _, typ := range []Type{F32, F16, BF16, Q8_0, Q4_0} {
		t.Run(typ.String(), func(t *testing.T) {
			want := golden(t, "quant/"+typ.String()+".blocks")
			got := make([]byte, len(want))
			require.NoError(t, Quantize(got, typ, src))
			for i := range want {
				if want[i] != got[i] {
					block, size := known[typ].block, known[typ].bytes
					first := i / size * block
					require.FailNowf(t, "bytes differ", "byte %d of block %d: want %d, got %d for %v",
						i%size, i/size, want[i], got[i], src[first:first+block])
				}
			}
		})
	}
}

// Every short length goes through the wide loops and their remainders, and
// nothing beyond the slice is written.
func TestDequantizeLengths(t *testing.T) {
	for _, typ := range allTypes() {
		block := typ.Block()
		all := golden(t, "dequant/"+typ.String()+".blocks")
		values := goldenFloats(t, "dequant/"+typ.String()+".f32")
		for blocks := range min(20, len(values)/block) {
			src, want := all[:blocks*known[typ].bytes], values[:blocks*block]
			room := make([]float32, blocks*block+1)
			room[blocks*block] = 7
			require.NoError(t, Dequantize(room[:blocks*block], typ, src))
			requireSameBits(t, append(slices.Clone(want), 7), room)
		}
	}
}

// All float16 numbers, in an order that puts neighbours side by side and in
// one that mixes subnormals, normals and NaN in a word.
func TestFloat16Exhaustive(t *testing.T) {
	for _, stride := range []int{1, 40503} {
		src, want := make([]byte, 2<<16), make([]float32, 1<<16)
		for i := range want {
			h := uint16(i * stride)
			binary.LittleEndian.PutUint16(src[2*i:], h)
			want[i] = float16.Frombits(h).Float32()
		}
		got := make([]float32, 1<<16)
		require.NoError(t, Dequantize(got, F16, src))
		requireSameBits(t, want, got)
		for i := range got { // one by one, as scales are read
			got[i] = f16at(src[2*i:])
		}
		requireSameBits(t, want, got)
	}
}

// What a format can hold comes back unchanged.
func TestQuantizeRoundTrip(t *testing.T) {
	t.Run("F16", func(t *testing.T) {
		var src []byte
		for i := range 1 << 16 {
			if h := uint16(i); float16.Frombits(h).IsFinite() {
				src = binary.LittleEndian.AppendUint16(src, h)
			}
		}
		requireRoundTrip(t, F16, src)
	})
	t.Run("BF16", func(t *testing.T) {
		var src []byte
		for i := range 1 << 16 {
			if i&0x7f80 != 0x7f80 {
				src = binary.LittleEndian.AppendUint16(src, uint16(i))
			}
		}
		requireRoundTrip(t, BF16, src)
	})
	t.Run("Q8_0", func(t *testing.T) { // with a scale of 1
		src := []byte{0x00, 0x3c, 127}
		for i := range 31 {
			src = append(src, byte(i*8-127))
		}
		requireRoundTrip(t, Q8_0, src)
	})
	t.Run("Q4_0", func(t *testing.T) { // with a scale of −½
		src := []byte{0x00, 0xb8}
		for i := range 16 {
			src = append(src, byte(i|(i*7+3)<<4))
		}
		requireRoundTrip(t, Q4_0, src)
	})
}

func requireRoundTrip(t *testing.T, typ Type, src []byte) {
	t.Helper()
	n := len(src) / known[typ].bytes * known[typ].block
	x, back := make([]float32, n), make([]byte, len(src))
	require.NoError(t, Dequantize(x, typ, src))
	require.NoError(t, Quantize(back, typ, x))
	for i := range src {
		if src[i] != back[i] {
			require.FailNowf(t, "bytes differ", "byte %d: %#02x became %#02x", i, src[i], back[i])
		}
	}
}

func TestDequantizeErrors(t *testing.T) {
	dst := func(n int) []float32 { return make([]float32, n) }
	for _, c := range []struct {
		name string
		dst  []float32
		typ  Type
		src  []byte
		want string
	}{
		{"unknown type", dst(32), 19, make([]byte, 32), "tensor: type 19 is not supported"},
		{"part of a block", dst(48), Q8_0, make([]byte, 51), "tensor: a row of 48 elements cannot be stored as Q8_0, whose blocks hold 32"},
		{"source too short", dst(256), Q4_K, make([]byte, 143), "tensor: 256 elements of Q4_K take 144 bytes, not 143"},
		{"source too long", dst(3), F16, make([]byte, 7), "tensor: 3 elements of F16 take 6 bytes, not 7"},
		{"source missing", dst(1), F32, nil, "tensor: 1 elements of F32 take 4 bytes, not 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.dst[0] = 7
			require.EqualError(t, Dequantize(c.dst, c.typ, c.src), c.want)
			require.Equal(t, float32(7), c.dst[0], "dst is untouched")
		})
	}
}

func TestQuantizeErrors(t *testing.T) {
	with := func(i int, x float32) []float32 {
		s := make([]float32, 64)
		s[i] = x
		return s
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name string
		typ  Type
		src  []float32
		want string
	}{
		{"unknown type", 19, with(0, 0), "tensor: type 19 is not supported"},
		{"only read", Q4_1, with(0, 0), "tensor: Q4_1 can be read but not written"},
		{"part of a block", Q4_0, make([]float32, 33), "tensor: a row of 33 elements cannot be stored as Q4_0, whose blocks hold 32"},
		{"NaN", F32, with(5, nan), "tensor: element 5 is NaN: only finite numbers can be stored as F32"},
		{"infinite", Q8_0, with(40, inf), "tensor: element 40 is +Inf: only finite numbers can be stored as Q8_0"},
		{"negative infinite", BF16, with(63, -inf), "tensor: element 63 is -Inf: only finite numbers can be stored as BF16"},
		{"too large for a float16", F16, with(1, -65520), "tensor: element 1 is -65520: too large to be stored as F16"},
		{"too large for a bfloat16", BF16, with(2, math.MaxFloat32), "tensor: element 2 is 3.4028235e+38: too large to be stored as BF16"},
		{"scale of Q8_0 too large", Q8_0, with(33, 65520*127), "tensor: element 33 is 8.32104e+06: too large to be stored as Q8_0"},
		{"scale of Q4_0 too large", Q4_0, with(0, -65520*8), "tensor: element 0 is -524160: too large to be stored as Q4_0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size, _ := c.typ.RowBytes(len(c.src))
			dst := make([]byte, size)
			require.EqualError(t, Quantize(dst, c.typ, c.src), c.want)
			require.Equal(t, make([]byte, size), dst, "dst is untouched")
		})
	}
	require.EqualError(t, Quantize(make([]byte, 33), Q8_0, make([]float32, 32)),
		"tensor: 32 elements of Q8_0 take 34 bytes, not 33")
}

// The largest number below each limit of TestQuantizeErrors is stored with a
// finite scale.
func TestQuantizeLargest(t *testing.T) {
	for _, c := range []struct {
		typ   Type
		limit float32
		want  float32
	}{
		{F16, 65520, 65504},
		{BF16, math.Float32frombits(0x7f7f8000), math.Float32frombits(0x7f7f0000)},
		{Q8_0, 65520 * 127, 65504 * 127},
		{Q4_0, 65520 * 8, 65504 * 8},
	} {
		t.Run(c.typ.String(), func(t *testing.T) {
			x := make([]float32, 32)
			x[9] = math.Nextafter32(c.limit, 0)
			size, err := c.typ.RowBytes(len(x))
			require.NoError(t, err)
			stored := make([]byte, size)
			require.NoError(t, Quantize(stored, c.typ, x))
			require.NoError(t, Dequantize(x, c.typ, stored))
			require.Equal(t, c.want, x[9])
		})
	}
}

func TestDequantizeAllocatesNothing(t *testing.T) {
	dst := make([]float32, 256)
	for _, typ := range allTypes() {
		size, err := typ.RowBytes(len(dst))
		require.NoError(t, err)
		src := make([]byte, size)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			if err := Dequantize(dst, typ, src); err != nil {
				panic(err)
			}
		}), typ)
	}
}

// Any bytes decode, a whole number of blocks and nothing else is accepted, and
// finite numbers survive being written again where the format can be written.
func FuzzDequantize(f *testing.F) {
	for _, typ := range allTypes() {
		f.Add(uint32(typ), make([]byte, 2*known[typ].bytes))
		f.Add(uint32(typ), make([]byte, known[typ].bytes-1))
	}
	f.Fuzz(func(t *testing.T, number uint32, src []byte) {
		typ := Type(number)
		if !typ.Known() {
			if Dequantize(make([]float32, len(src)), typ, src) == nil {
				t.Fatal("an unknown type was decoded")
			}
			return
		}
		block, size := known[typ].block, known[typ].bytes
		n := len(src) / size * block
		room := make([]float32, n+1)
		room[n] = 7
		err := Dequantize(room[:n], typ, src)
		if whole := len(src)%size == 0; whole != (err == nil) {
			t.Fatalf("%d bytes of %v: %v", len(src), typ, err)
		}
		if room[n] != 7 {
			t.Fatal("wrote beyond the end")
		}
		if Dequantize(room, typ, src) == nil {
			t.Fatal("decoded more elements than there are")
		}
		if err != nil || known[typ].quantize == nil {
			return
		}
		stored := make([]byte, len(src))
		if Quantize(stored, typ, room[:n]) != nil {
			return // not finite
		}
		if typ == F32 || typ == F16 || typ == BF16 {
			if string(stored) != string(src) {
				t.Fatalf("%x became %x", src, stored)
			}
		}
	})
}

func ExampleDequantize() {
	// A block of Q8_0: the scale 0.5 as a float16, and 32 integers.
	block := make([]byte, 34)
	block[0], block[1] = 0x00, 0x38
	block[2], block[3], block[4] = 1, 2, 0xff

	weights := make([]float32, Q8_0.Block())
	if err := Dequantize(weights, Q8_0, block); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(weights[:4])
	// Output: [0.5 1 -0.5 0]
}

func ExampleQuantize() {
	row := make([]float32, 64)
	row[0], row[1] = -1, 0.25
	size, err := Q4_0.RowBytes(len(row))
	if err != nil {
		fmt.Println(err)
		return
	}
	stored := make([]byte, size)
	if err := Quantize(stored, Q4_0, row); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d elements in %d bytes\n", len(row), len(stored))

	row[3] = float32(math.Inf(1))
	fmt.Println(Quantize(stored, Q4_0, row))
	// Output:
	// 64 elements in 36 bytes
	// tensor: element 3 is +Inf: only finite numbers can be stored as Q4_0
}
