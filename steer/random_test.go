package steer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/probe"
)

// Directions are a promise: the same bits for a seed on every machine. A change
// of this hash is a change of every control that was ever run.
func TestRandomDirectionsGolden(t *testing.T) {
	require.Equal(t, "80b2babc6c63c73bfeb4158149700b7ad0999a46914619ec7998a13c3846df6e", hashFloats(RandomDirections(7, 3, 131)...))
}

func TestRandomDirections(t *testing.T) {
	const n, width = 40, 512
	dirs := RandomDirections(1, n, width)
	require.Len(t, dirs, n)
	sum, most := 0.0, 0.0
	for i, d := range dirs {
		require.Len(t, d, width)
		require.InDelta(t, 1, length(d), 1e-6)
		for _, e := range dirs[:i] {
			c := probe.Cosine(d, e)
			sum += c
			most = max(most, math.Abs(c))
		}
	}
	// A cosine has standard deviation 1/√512 = 0.044; there are 780.
	require.InDelta(t, 0, sum/(n*(n-1)/2), 4*0.044/math.Sqrt(780))
	require.Less(t, most, 5*0.044)

	// A direction does not depend on how many are drawn, and does on the seed.
	require.Equal(t, dirs[:3], RandomDirections(1, 3, width))
	require.NotEqual(t, dirs[0], RandomDirections(2, 1, width)[0])
	require.NotEqual(t, dirs[0], dirs[1])
	require.Empty(t, RandomDirections(1, 0, width))
}

// Isotropic means that the projection on any axis is distributed alike, also on
// one that stands oblique to the coordinates, where sums of uniform numbers
// would differ. Its fourth moment tells: E(x⁴) = 3/(d(d+2)).
func TestRandomDirectionsAreIsotropic(t *testing.T) {
	const n, d = 60000, 3
	axes := [][]float32{{1, 0, 0}, {0, 0, 1}, probe.Unit([]float32{1, 1, 1}), probe.Unit([]float32{1, -1, 0})}
	m1, m2, m4 := make([]float64, len(axes)), make([]float64, len(axes)), make([]float64, len(axes))
	for _, x := range RandomDirections(3, n, d) {
		for i, axis := range axes {
			p := probe.Cosine(x, axis)
			m1[i] += p / n
			m2[i] += p * p / n
			m4[i] += p * p * p * p / n
		}
	}
	for i := range axes {
		require.InDelta(t, 0, m1[i], 0.01)
		require.InDelta(t, 1.0/d, m2[i], 0.005)
		require.InDelta(t, 3.0/(d*(d+2)), m4[i], 0.005)
	}
}

func TestGaussian(t *testing.T) {
	g := gaussian{src: rand.NewPCG(1, 1)}
	const n = 200000
	var m1, m2, m3, m4 float64
	beyond := 0
	for range n {
		x := g.next()
		m1 += x / n
		m2 += x * x / n
		m3 += x * x * x / n
		m4 += x * x * x * x / n
		if math.Abs(x) > 3 {
			beyond++
		}
	}
	// Standard errors are √(1/n), √(2/n), √(15/n), √(96/n).
	require.InDelta(t, 0, m1, 4*math.Sqrt(1.0/n))
	require.InDelta(t, 1, m2, 4*math.Sqrt(2.0/n))
	require.InDelta(t, 0, m3, 4*math.Sqrt(15.0/n))
	require.InDelta(t, 3, m4, 4*math.Sqrt(96.0/n))
	require.InDelta(t, 0.0026998*n, beyond, 4*math.Sqrt(0.0027*n))
}

func TestExponential(t *testing.T) {
	g := gaussian{src: rand.NewPCG(2, 1)}
	const n = 100000
	mean, above1, above4 := 0.0, 0.0, 0.0
	for range n {
		x := g.exponential()
		mean += x / n
		if x > 1 {
			above1++
		}
		if x > 4 {
			above4++
		}
	}
	require.InDelta(t, 1, mean, 4/math.Sqrt(n))
	require.InDelta(t, math.Exp(-1), above1/n, 0.006)
	require.InDelta(t, math.Exp(-4), above4/n, 0.002)
}

func TestPermuted(t *testing.T) {
	v := vectorsFor(tinyModel(t)).Sites[0].ByForm[probe.Denoised][:128]
	before := slices.Clone(v)
	p := Permuted(v, 4)
	require.Equal(t, before, v)
	require.NotEqual(t, v, p)
	require.Equal(t, slices.Sorted(slices.Values(v)), slices.Sorted(slices.Values(p)))
	require.Equal(t, p, Permuted(v, 4))
	require.NotEqual(t, p, Permuted(v, 5))
	require.Empty(t, Permuted(nil, 1))

	// All orders of three are equally likely, and the same on every machine.
	counts := map[[3]float32]int{}
	for seed := range uint64(6000) {
		counts[[3]float32(Permuted([]float32{1, 2, 3}, seed))]++
	}
	require.Len(t, counts, 6)
	for _, n := range counts {
		require.InDelta(t, 1000, n, 4*math.Sqrt(1000))
	}
	require.Equal(t, []float32{6, 4, 2, 3, 7, 8, 1, 5}, Permuted([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 1))
}

func TestWithoutSubspace(t *testing.T) {
	v := vectorsFor(tinyModel(t))
	var vectors [][]float32
	for e := range v.Emotions {
		vectors = append(vectors, v.Sites[0].ByForm[probe.Denoised][e*v.Width:][:v.Width])
	}
	// A vector that is the sum of others changes nothing.
	sum := make([]float32, v.Width)
	for i := range sum {
		sum[i] = vectors[0][i] + vectors[1][i]
	}
	d := RandomDirections(5, 1, v.Width)[0]
	want, err := WithoutSubspace(d, vectors)
	require.NoError(t, err)
	got, err := WithoutSubspace(d, append(vectors, sum, make([]float32, v.Width)))
	require.NoError(t, err)
	require.InDeltaSlice(t, want, got, 1e-6)
	require.InDelta(t, 1, length(got), 1e-6)
	for _, x := range append(vectors, sum) {
		require.InDelta(t, 0, probe.Cosine(got, x), 1e-7)
	}
	// What is left is the direction's own part: 128 dimensions without 4.
	require.InDelta(t, math.Sqrt(124.0/128), probe.Cosine(got, d), 0.05)

	// With nothing to take out the direction is only scaled.
	got, err = WithoutSubspace([]float32{3, 4}, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0.6, 0.8}, got)

	_, err = WithoutSubspace(sum, vectors)
	require.ErrorContains(t, err, "nothing of the direction is left")
	_, err = WithoutSubspace(make([]float32, 128), vectors)
	require.ErrorContains(t, err, "nothing of the direction is left")
	_, err = WithoutSubspace([]float32{1}, vectors)
	require.ErrorContains(t, err, "vector 0 has 128 elements, the direction 1")
}
