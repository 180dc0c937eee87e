package probe

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// rat is the exact value of a sum.
func (f Fixed) rat() *big.Rat {
	v := new(big.Int).SetUint64(f.Hi)
	v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(f.Lo))
	if f.Hi>>63 == 1 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return new(big.Rat).SetFrac(v, new(big.Int).Lsh(big.NewInt(1), 64))
}

func TestFixedOf(t *testing.T) {
	for _, x := range []float32{0, 1, -1, 0.1, -2.5e-7, 1.5e18, -1.5e18, 1 << 62, 0x1p-41, -0x1p-64, 0x1p-40 + 0x1p-63} {
		f, ok := fixedOf(x)
		require.True(t, ok)
		require.Zero(t, f.rat().Cmp(new(big.Rat).SetFloat64(float64(x))), "%v", x)
	}
	// Below the unit: rounded to nearest, ties to even.
	for x, units := range map[float32]int64{
		0x1p-65: 0, 0x1.8p-64: 2, 0x1.4p-64: 1, 0x1.cp-64: 2, -0x1.8p-65: -1, 0x1p-66: 0,
		math.SmallestNonzeroFloat32: 0, 0x1.000002p-65: 1,
	} {
		f, ok := fixedOf(x)
		require.True(t, ok)
		require.Zero(t, f.rat().Cmp(big.NewRat(0, 1).SetFrac(big.NewInt(units), new(big.Int).Lsh(big.NewInt(1), 64))), "%x", x)
	}
	for _, x := range []float32{0x1p63, -0x1p63, math.MaxFloat32, float32(math.NaN()), float32(math.Inf(-1))} {
		_, ok := fixedOf(x)
		require.False(t, ok, "%v", x)
	}
}

func TestFixedMeanRoundsOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := Fixed{r.Uint64() >> r.IntN(65), r.Uint64()}
		if r.IntN(3) == 0 {
			f.Hi = 0
			f.Lo >>= r.IntN(64)
		}
		if r.IntN(2) == 0 {
			f = f.negated()
		}
		n := uint64(1 + r.IntN(1<<r.IntN(30)))
		want, _ := new(big.Rat).Quo(f.rat(), new(big.Rat).SetUint64(n)).Float64()
		require.Equal(t, want, f.Mean(n), "%x / %d", f, n)
	}
}

func TestFixedSumsInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	vectors := make([][]float32, 200)
	for i := range vectors {
		vectors[i] = []float32{float32(r.NormFloat64()), float32(math.Ldexp(r.NormFloat64(), r.IntN(60)-30))}
	}
	var forward Sum
	for _, v := range vectors {
		require.NoError(t, forward.Add(v))
	}
	var merged Sum
	for _, order := range [][]int{r.Perm(100), r.Perm(100)} {
		var part Sum
		for _, i := range order {
			require.NoError(t, part.Add(vectors[i+int(merged.N)]))
		}
		require.NoError(t, merged.Merge(&part))
	}
	require.Equal(t, forward, merged)
}

// Sum.Add has a short way for common magnitudes: it must equal the long one.
func TestSumAddEqualsFixedAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Sum
	want := make([]Fixed, 1)
	for range 100_000 {
		x := math.Float32frombits(r.Uint32())
		if !(x < 0x1p40 && x > -0x1p40) {
			continue
		}
		require.NoError(t, s.Add([]float32{x}))
		require.True(t, want[0].Add(x))
		if s.Components[0] != want[0] {
			t.Fatalf("adding %x gives %x, want %x", x, s.Components[0], want[0])
		}
	}
}

func TestFixedOverflowIsAnError(t *testing.T) {
	var f Fixed
	require.True(t, f.Add(0x1.fffffep62))
	require.True(t, f.Add(0x1p38))
	before := f
	require.False(t, f.Add(0x1p40))
	require.Equal(t, before, f)

	var s Sum
	require.ErrorIs(t, s.Add([]float32{float32(math.NaN())}), ErrOverflow)
}

func BenchmarkSumAdd(b *testing.B) {
	x := make([]float32, 1024)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	var s Sum
	b.SetBytes(4 * int64(len(x)))
	for b.Loop() {
		_ = s.Add(x)
	}
}
