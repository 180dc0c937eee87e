package probe

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two emotions and two hands, small enough to follow on paper. Hand 2 adds 10
// to the first component, and wrote more of emotion 1.
func TestDeriveCentresWithinHands(t *testing.T) {
	s := siteSums{byHand: [][]Sum{make([]Sum, 2), make([]Sum, 2)}}
	add := func(e, h int, x ...float32) { require.NoError(t, s.byHand[e][h].Add(x)) }
	add(0, 0, 1, 0)
	add(0, 0, 3, 0)
	add(0, 1, 12, 0)
	add(1, 0, 4, 6)
	add(1, 1, 14, 6)
	add(1, 1, 16, 6)
	v, err := s.derive(2, 0.5, true)
	require.NoError(t, err)

	// Raw means: (16/3, 0) and (34/3, 6).
	require.InDeltaSlice(t, []float32{16. / 3, 0, 34. / 3, 6}, v.ByForm[RawMean], 1e-6)
	require.InDeltaSlice(t, []float32{25. / 3, 3}, v.Grand, 1e-6)
	require.InDeltaSlice(t, []float32{-3, -3, 3, 3}, v.ByForm[PlainContrast], 1e-6)
	// Hand means: (8/3, 2) and (14, 4). Emotion 0 minus its hands:
	// (16/3 - (2·8/3+14)/3, 0 - (2·2+4)/3) = (-10/9, -8/3); emotion 1:
	// (34/3 - (8/3+2·14)/3, 6 - (2+2·4)/3) = (10/9, 8/3).
	require.InDeltaSlice(t, []float32{-10. / 9, -8. / 3, 10. / 9, 8. / 3}, v.ByForm[Contrast], 1e-6)
	// Without neutral texts nothing is removed.
	require.Equal(t, v.ByForm[Contrast], v.ByForm[Denoised])
	require.Empty(t, v.Basis)
	require.Nil(t, v.NeutralMean)
}

// With one hand, centring within hands changes nothing but the common offset.
func TestDeriveWithOneHand(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := siteSums{byHand: make([][]Sum, 5)}
	for e := range s.byHand {
		s.byHand[e] = make([]Sum, 1)
		for range 4 {
			require.NoError(t, s.byHand[e][0].Add([]float32{r.Float32(), r.Float32(), r.Float32()}))
		}
	}
	v, err := s.derive(3, 0.5, true)
	require.NoError(t, err)
	require.InDeltaSlice(t, v.ByForm[PlainContrast], v.ByForm[Contrast], 1e-6)
}

// Texts that vary along known directions, more texts than dimensions and fewer.
func TestLeadingComponents(t *testing.T) {
	for _, n := range []int{6, 200} {
		const width = 12
		r := rand.New(rand.NewPCG(3, 4))
		texts := make([][]float32, n)
		for i := range texts {
			texts[i] = make([]float32, width)
			for j := range texts[i] {
				texts[i][j] = 100 + float32(r.NormFloat64())*0.01
			}
			texts[i][2] += float32(i%2)*10 - 5       // variance 25
			texts[i][7] += float32(i/2%2)*8 - 4      // variance 16
			texts[i][9] += (float32(i/4%2) - .5) * 2 // small
		}
		basis, shares, err := leadingComponents(texts, width, 0.5)
		require.NoError(t, err)
		require.Len(t, basis, width, "one component holds half")
		require.InDelta(t, 1, math.Abs(float64(basis[2])), 0.3)
		require.Greater(t, basis[2], float32(0), "the sign is fixed")
		require.InDelta(t, 1, norm64(basis), 1e-6)

		basis, more, err := leadingComponents(texts, width, 0.9)
		require.NoError(t, err)
		require.Equal(t, shares, more)
		require.Len(t, basis, 2*width)
		require.InDelta(t, 0, dot64(basis[:width], basis[width:]), 1e-6)
		total := 0.0
		for i, s := range more {
			total += s
			require.True(t, i == 0 || s <= more[i-1])
		}
		require.InDelta(t, 1, total, 1e-9)

		// What was removed is gone, what is orthogonal stays.
		v := make([]float32, width)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		clean := without(v, basis, width)
		require.InDelta(t, 0, dot64(clean, basis[:width]), 1e-6)
		require.InDelta(t, 0, dot64(clean, basis[width:]), 1e-6)
		require.InDeltaSlice(t, clean, without(clean, basis, width), 1e-6)
	}
}

func TestLeadingComponentsOfNothing(t *testing.T) {
	for _, texts := range [][][]float32{nil, {{1, 2}}, {{1, 2}, {1, 2}}} {
		basis, shares, err := leadingComponents(texts, 2, 0.5)
		require.NoError(t, err)
		require.Empty(t, basis)
		require.Empty(t, shares)
	}
	basis, _, err := leadingComponents([][]float32{{1, 2}, {3, 4}}, 2, -1)
	require.NoError(t, err)
	require.Empty(t, basis, "a threshold below 0 removes nothing")
}

func TestNorms(t *testing.T) {
	var n Norms
	require.Zero(t, n.Mean())
	require.Zero(t, n.Quantile(0.5))
	for i := 1; i <= 1000; i++ {
		require.NoError(t, n.Add(float32(i)))
	}
	require.Equal(t, 500.5, n.Mean())
	require.InEpsilon(t, 500, n.Quantile(0.5), 1e-4)
	require.InEpsilon(t, 990, n.Quantile(0.99), 1e-4)
	require.InEpsilon(t, 1, n.Quantile(0), 1e-4)
	require.InEpsilon(t, 1000, n.Quantile(1), 1e-4)
	require.ErrorIs(t, n.Add(-1), ErrOverflow)
	require.ErrorIs(t, n.Add(float32(math.NaN())), ErrOverflow)
	require.False(t, Calibration{Mean: 1.1, Median: 1}.Skewed())
	require.True(t, Calibration{Mean: 1.3, Median: 1}.Skewed())
}

func TestProjections(t *testing.T) {
	p := newProjections([]float32{2, 0, 0, 5}, 2)
	p.add(1, []float32{3, 4})
	p.add(0, []float32{1, 2})
	mean, sd := p.moments()
	require.Equal(t, []float32{2, 3}, mean)
	require.InDeltaSlice(t, []float32{math.Sqrt2, math.Sqrt2}, sd, 1e-6)
}
