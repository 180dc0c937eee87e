package experiment

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// planted makes vectors of all 171 emotions at two sites of a model of three
// blocks: at the default site, block 2, those that plant gives, and at block 0
// noise.
func planted(seed uint64, width int, plant func(name string, r *emotion.Rating, noise func() float64) []float64) *probe.Vectors {
	rng := rand.New(rand.NewPCG(seed, 99))
	v := &probe.Vectors{Emotions: emotion.Emotions(), Width: width, Provenance: probe.Provenance{Blocks: 3, Topics: []string{"sea", "cafe"}, MeansSHA256: "m"}}
	var rows, noise []float32
	for _, name := range v.Emotions {
		var rating *emotion.Rating
		if r, ok := emotion.RatingOf(name); ok {
			rating = &r
		}
		row := plant(name, rating, rng.NormFloat64)
		for k := range width {
			x := 0.0
			if k < len(row) {
				x = row[k]
			}
			rows = append(rows, float32(x))
			noise = append(noise, float32(rng.NormFloat64()))
		}
		v.Counts, v.MeanTokens = append(v.Counts, 2), append(v.MeanTokens, 100+10*rng.NormFloat64())
	}
	for _, s := range []struct {
		block int
		rows  []float32
	}{{0, noise}, {2, rows}} {
		forms := map[probe.Form][]float32{}
		for _, f := range probe.Forms() {
			forms[f] = s.rows
		}
		v.Sites = append(v.Sites, probe.SiteVectors{Site: llama.Site{Point: llama.ResidPost, Block: s.block}, ByForm: forms})
	}
	return v
}

// affect plants valence along one direction and arousal without valence along
// another, half as far.
func affect(_ string, r *emotion.Rating, noise func() float64) []float64 {
	row := []float64{noise(), noise(), noise() * 0.3, noise() * 0.3}
	if r != nil {
		row[0] = 3*(r.Valence-5) + 0.3*noise()
		row[1] = 2*(r.Arousal-5-0.3*(r.Valence-5)) + 0.3*noise()
	}
	return row
}

func quick(o GeometryOptions) GeometryOptions {
	o.Permutations, o.Bootstrap, o.Draws, o.Restarts = 199, 200, 20, 10
	return o
}

func geometry(t *testing.T, v *probe.Vectors, o GeometryOptions) *GeometryResult {
	t.Helper()
	got, err := Geometry(t.Context(), v, quick(o))
	require.NoError(t, err)
	return got
}

func TestGeometryFindsValenceAndArousal(t *testing.T) {
	got := geometry(t, planted(1, 16, affect), GeometryOptions{})
	require.Equal(t, "resid_post:2", got.Site)
	require.Len(t, got.Explained, 3)
	require.Len(t, got.ValenceR, 3)
	require.Len(t, got.ArousalR, 3)
	// Valence is on the first component, turned upwards; arousal on the second.
	require.Greater(t, got.ValenceR[0], 0.95)
	require.Greater(t, got.ArousalPartialR[1], 0.9)
	require.Equal(t, 1, got.Tests[RateValence].Component)
	require.Equal(t, 2, got.Tests[RateArousalPartial].Component)
	require.Equal(t, 1/200., got.Tests[RateValence].P[0])
	require.Greater(t, got.Tests[RateValence].P[2], 0.05, "the third component is noise")
	in := got.Tests[RateValence].Intervals[0]
	require.True(t, in[0] < got.ValenceR[0] && got.ValenceR[0] < in[1] && in[0] > 0.9, "%v", in)
	require.Equal(t, []int{82, 41, 123}, []int{got.Ratings[0].N, got.Ratings[1].N, got.Ratings[2].N})
	require.Greater(t, got.Ratings[1].ValenceR[0], 0.9, "proxies were planted too")
	// The best of all sites is where it was planted, and the noise at the
	// other site is part of the null.
	sweep := got.Sweep[RateValence]
	require.Equal(t, "resid_post:2", sweep.Site)
	require.Equal(t, 6, sweep.Tried)
	require.Equal(t, 1/200., sweep.P)
	require.Greater(t, sweep.Null95, got.Tests[RateValence].Null95)
	require.Less(t, got.Controls[ControlRandom].Best95[RateValence], 0.5)
	require.Equal(t, 1/21., got.Controls[ControlRandom].P[RateValence])
	require.NotContains(t, got.Controls, ControlShuffled, "there is no sidecar")
	require.Contains(t, got.Ends[0].High, "loving")
	require.InDelta(t, 1, sum(got.Spectrum), 1e-6)
	require.True(t, math.Abs(got.LengthR[0]) < 0.3, "lengths are noise")
	require.Equal(t, []string{"resid_post:0", "resid_post:2"}, []string{got.Sites[0].Site, got.Sites[1].Site})
	require.Equal(t, got.ValenceR, got.Sites[1].ValenceR)
	// Two sites with nothing in common.
	require.InDelta(t, 0, got.Layers.RSA[0][1], 0.15)
	require.Equal(t, 1.0, got.Layers.RSA[1][1])
}

func sum(x []float64) float64 { return mean(x) * float64(len(x)) }

// Arousal that is only there because valence is: the plain correlation shows
// it, the partial one does not.
func TestGeometryPartialCorrelation(t *testing.T) {
	got := geometry(t, planted(2, 8, func(_ string, r *emotion.Rating, noise func() float64) []float64 {
		row := []float64{noise(), 0.2 * noise(), 0.2 * noise()}
		if r != nil {
			row[0] = r.Valence - 5 + 0.5*noise()
		}
		return row
	}), GeometryOptions{})
	require.Greater(t, got.ArousalR[0], 0.4)
	require.InDelta(t, 0, got.ArousalPartialR[0], 0.2)
	require.Greater(t, got.Tests[RateArousalPartial].P[0], 0.05)
	require.Less(t, got.Tests[RateArousal].P[0], 0.02)
}

// Under noise alone p is uniform: small ones come as rarely as they say, for
// the best of three components too.
func TestGeometryOfNoise(t *testing.T) {
	small := map[string]int{}
	const trials = 40
	for seed := range uint64(trials) {
		v := planted(100+seed, 10, func(_ string, _ *emotion.Rating, noise func() float64) []float64 {
			var row []float64
			for range 10 {
				row = append(row, noise())
			}
			return row
		})
		g, err := newGeometer(v, GeometryOptions{Permutations: 199, Bootstrap: 1, Restarts: 1, Seed: seed})
		require.NoError(t, err)
		require.NoError(t, g.form())
		require.NoError(t, g.measure())
		for kind, x := range g.out.Tests {
			if slices.Min(x.P) <= 0.1 {
				small[kind]++
			}
		}
		if g.out.Agreement.P.ARI <= 0.1 {
			small["families"]++
		}
	}
	for kind, n := range small {
		// Ten or more of 40 where 4 are expected: about 1 in 200.
		assert.Less(t, n, 10, kind)
	}
	assert.NotEmpty(t, small, "p values that are never small are no p values")
}

func TestGeometryFindsFamilies(t *testing.T) {
	families := emotion.Families()
	family := func(name string, _ *emotion.Rating, noise func() float64) []float64 {
		f, _ := emotion.FamilyOf(name)
		at := slices.IndexFunc(families, func(x emotion.Family) bool { return x.Name == f })
		row := make([]float64, 12)
		for k := range row {
			row[k] = 0.1 * noise()
		}
		row[at]++
		return row
	}
	got := geometry(t, planted(3, 12, family), GeometryOptions{})
	require.Greater(t, got.Agreement.ARI, 0.95)
	require.Greater(t, got.Agreement.NMI, 0.95)
	require.Greater(t, got.Agreement.Purity, 0.95)
	require.Less(t, got.Agreement.Chance95.ARI, 0.05)
	require.Equal(t, Agreement{1 / 200., 1 / 200., 1 / 200.}, got.Agreement.P)
	require.Equal(t, 171, got.Agreement.N)
	require.Len(t, got.Clusters, 10)
	var all []string
	for _, c := range got.Clusters {
		require.Equal(t, c.Members[0], c.Name)
		require.Greater(t, c.Share, 0.9)
		all = append(all, c.Members...)
	}
	var ordered []string
	for _, i := range got.Order {
		ordered = append(ordered, got.Emotions[i])
	}
	require.Equal(t, all, ordered)
	for i, p := range got.Points {
		require.Contains(t, got.Clusters[p.Cluster].Members, p.Emotion)
		require.Len(t, p.Neighbours, 5)
		require.GreaterOrEqual(t, p.Neighbours[0].Cosine, p.Neighbours[4].Cosine)
		j := slices.Index(got.Emotions, p.Neighbours[0].Emotion)
		require.NotEqual(t, i, j)
		require.Equal(t, p.Neighbours[0].Cosine, got.Similarity[i][j])
	}
	// A family's neighbours are of the family.
	happy := got.Points[slices.Index(got.Emotions, "happy")]
	for _, n := range happy.Neighbours {
		f, _ := emotion.FamilyOf(n.Emotion)
		require.Equal(t, "Exuberant Joy", f)
	}
}

func TestGeometryRepeats(t *testing.T) {
	v := planted(4, 8, affect)
	a, b := toJSON(t, geometry(t, v, GeometryOptions{Seed: 5})), toJSON(t, geometry(t, v, GeometryOptions{Seed: 5}))
	require.Equal(t, a, b)
	require.NotEqual(t, a, toJSON(t, geometry(t, v, GeometryOptions{Seed: 6})))
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(a), &doc))
	for _, field := range []string{"site", "explained", "valence_r", "arousal_r", "clusters", "in_sample", "similarity", "definitions"} {
		require.Contains(t, doc, field)
	}
}

// Few emotions, most without ratings: what cannot be said is null, and nothing
// fails.
func TestGeometryOfFew(t *testing.T) {
	v := planted(5, 8, affect)
	few := []string{"afraid", "calm", "brooding", "envious"}
	var at []int
	for _, name := range few {
		at = append(at, slices.Index(v.Emotions, name))
	}
	for k := range v.Sites {
		for f, rows := range v.Sites[k].ByForm {
			var kept []float32
			for _, i := range at {
				kept = append(kept, rows[i*v.Width:][:v.Width]...)
			}
			v.Sites[k].ByForm[f] = kept
		}
	}
	v.Emotions, v.MeanTokens = few, v.MeanTokens[:4]
	got := geometry(t, v, GeometryOptions{})
	require.Len(t, got.Explained, 3)
	require.Len(t, got.Clusters, 2)
	require.True(t, math.IsNaN(got.ValenceR[0]))
	text := toJSON(t, got)
	require.Contains(t, text, `"valence_r":[null,null,null]`)
	var back GeometryResult
	require.NoError(t, json.Unmarshal([]byte(text), &back))
	require.Equal(t, text, toJSON(t, &back))

	for k := range v.Sites {
		for f, rows := range v.Sites[k].ByForm {
			v.Sites[k].ByForm[f] = rows[:2*v.Width]
		}
	}
	v.Emotions = few[:2]
	_, err := Geometry(t.Context(), v, GeometryOptions{})
	require.ErrorContains(t, err, "2 emotions")
}

func TestGeometryErrors(t *testing.T) {
	v := planted(6, 8, affect)
	flat := planted(6, 8, func(string, *emotion.Rating, func() float64) []float64 { return []float64{1, 2, 3} })
	at := llama.Site{Point: llama.ResidPost, Block: 1}
	for text, x := range map[string]struct {
		v *probe.Vectors
		o GeometryOptions
	}{
		"no site":                   {v, GeometryOptions{Site: &at}},
		`no form "x"`:               {v, GeometryOptions{Form: "x"}},
		"172 clusters of 171":       {v, GeometryOptions{Clusters: 172}},
		"-1 components":             {v, GeometryOptions{Components: -1}},
		`stories on "moon"`:         {v, GeometryOptions{Topics: []string{"moon"}}},
		"unseen topics":             {v, GeometryOptions{UnseenTopics: []string{"moon"}}},
		"no topic is left of the 2": {v, GeometryOptions{ExcludeTopics: []string{"sea", "cafe"}}},
		"*.stories.safetensors":     {v, GeometryOptions{Topics: []string{"sea"}}},
		"another corpus":            {v, GeometryOptions{Corpus: emotion.Embedded()}},
		"do not differ":             {flat, GeometryOptions{}},
		"none.safetensors":          {v, GeometryOptions{Sidecar: "none.safetensors"}},
	} {
		_, err := Geometry(t.Context(), x.v, x.o)
		require.ErrorContains(t, err, text, text)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestGeometryInSample(t *testing.T) {
	v := planted(7, 4, affect)
	for _, x := range []struct {
		unseen []string
		want   bool
	}{
		{nil, true}, {[]string{"sea"}, true}, {[]string{"cafe", "sea"}, false}, {[]string{AllTopics}, false},
	} {
		g, err := newGeometer(v, GeometryOptions{UnseenTopics: x.unseen})
		require.NoError(t, err)
		require.Equal(t, x.want, g.out.InSample, x.unseen)
	}
}

// With a real model: vectors of some topics are those that Build finds in the
// stories on these topics, and the baselines are there.
func TestGeometryOfTopics(t *testing.T) {
	x := newTrial(t)
	o := GeometryOptions{Sidecar: x.sidecar, Corpus: x.train, Runner: x.runner}
	got := geometry(t, x.v, o)
	require.True(t, got.InSample)
	require.Equal(t, x.v.Provenance.Stories, got.Stories)
	for _, name := range Baselines() {
		require.Contains(t, got.Baselines, name)
		require.Len(t, got.Baselines[name].ValenceR, 3)
		require.Contains(t, got.Paired[name], RateValence)
	}
	require.Contains(t, got.Controls, ControlShuffled)
	require.NotNil(t, got.Controls[ControlShuffled].Best)

	o.Topics, o.UnseenTopics = []string{"farm", "stage"}, []string{"stage", "farm", "garden"}
	o.Form = probe.Contrast // no neutral texts have a part in it
	some := geometry(t, x.v, o)
	require.Equal(t, []string{"farm", "stage"}, some.Topics)
	require.False(t, some.InSample)
	require.Equal(t, 12, some.Stories)
	part, err := x.train.Select(emotion.Filter{Topics: o.Topics})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "part.safetensors")
	built, err := probe.Build(t.Context(), x.runner, part, probe.BuildOptions{Out: path, Journal: path + ".journal"})
	require.NoError(t, err)
	alone := geometry(t, built.Vectors, GeometryOptions{Form: probe.Contrast})
	require.Equal(t, alone.Similarity, some.Similarity)
	require.NotEqual(t, got.Similarity, some.Similarity)

	// All topics named are the vectors of the file.
	o.Topics, o.Form = trialTopics, ""
	require.Equal(t, got.Similarity, geometry(t, x.v, o).Similarity)

	first := x.v.Sites[0].Site
	o.Topics, o.Site = []string{"farm"}, &first
	_, err = Geometry(t.Context(), x.v, o)
	require.ErrorContains(t, err, "can be formed at "+x.v.DefaultSite().String()+" only")

	other := *x.v
	other.Provenance.MeansSHA256 = "other"
	_, err = Geometry(t.Context(), &other, GeometryOptions{Sidecar: x.sidecar})
	require.ErrorContains(t, err, "written with other vectors")
}

// Class means centred within hands are the contrast vectors of package probe.
func TestClassMeans(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, classes, hands, width = 60, 5, 3, 4
	s := probe.Samples{Width: width, Emotions: classes, Hands: hands}
	rows := make([][]float64, n)
	for i := range n {
		s.Emotion, s.Hand = append(s.Emotion, i%classes), append(s.Hand, rng.IntN(hands))
		for range width {
			x := float32(rng.NormFloat64() + float64(s.Hand[i]))
			s.Means = append(s.Means, x)
			rows[i] = append(rows[i], float64(x))
		}
	}
	want, err := s.Derive()
	require.NoError(t, err)
	got := centredRows(classMeans(s.Emotion, s.Hand, classes, hands, width, dense(rows)))
	for c := range got {
		for j := range got[c] {
			require.InDelta(t, want.ByForm[probe.Contrast][c*width+j], got[c][j], 1e-6)
		}
	}
}

// The values of scikit-learn's metrics for the same labels.
func TestAgree(t *testing.T) {
	for _, x := range []struct {
		clusters, families []int
		want               Agreement
	}{
		{[]int{0, 0, 1, 1}, []int{1, 1, 0, 0}, Agreement{1, 1, 1}},
		{[]int{0, 0, 1, 2}, []int{0, 0, 1, 1}, Agreement{1, 0.5714285714, 0.8}},
		{[]int{0, 0, 1, 1}, []int{0, 1, 0, 1}, Agreement{0.5, -0.5, 0}},
		{[]int{0, 0, 0, 0}, []int{0, 1, 2, 3}, Agreement{0.25, 0, 0}},
		{[]int{0, 0, 0}, []int{0, 0, 0}, Agreement{1, 1, 1}},
		{[]int{0, 0, 0, 1, 1, 1}, []int{0, 0, 1, 1, 2, 2}, Agreement{4 / 6., 0.2424242424, 0.5158037429}},
		{nil, nil, Agreement{}},
	} {
		got := agree(x.clusters, x.families, 4, 4)
		require.InDeltaSlice(t, []float64{x.want.Purity, x.want.ARI, x.want.NMI}, []float64{got.Purity, got.ARI, got.NMI}, 1e-9, "%v %v", x.clusters, x.families)
	}
}

func TestCluster(t *testing.T) {
	// Two pairs and one alone, on a line.
	g := gramOf([][]float64{{0}, {1}, {10}, {11}, {30}})
	x := cluster(g, 3, 20, 1)
	require.Equal(t, x.of[0], x.of[1])
	require.Equal(t, x.of[2], x.of[3])
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(x.of))), 3)
	require.InDelta(t, 1, x.inertia, 1e-9)
	require.InDeltaSlice(t, []float64{0.25, 0.25, 0.25, 0.25, 0}, x.distance, 1e-9)
	// As many clusters as vectors, some of which are equal.
	same := cluster(gramOf([][]float64{{1}, {1}, {1}, {2}}), 4, 3, 1)
	require.InDelta(t, 0, same.inertia, 1e-9)
	require.Len(t, same.of, 4)
}

func TestComponents(t *testing.T) {
	// Points on an ellipse: variances 8 and 2 along the axes.
	a, err := components(gramOf([][]float64{{2, 5}, {-2, 5}, {0, 6}, {0, 4}}), 3)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0.8, 0.2}, a.spectrum, 1e-12)
	require.InDeltaSlice(t, []float64{2, -2, 0, 0}, scaledTo(a.coordinates[0], 2), 1e-9)
	require.InDeltaSlice(t, []float64{0, 0, 1, -1}, scaledTo(a.coordinates[1], 1), 1e-9)
}

// scaledTo turns a list so that the entry furthest from zero that comes first
// has the sign of x.
func scaledTo(v []float64, x float64) []float64 {
	for _, y := range v {
		if math.Abs(y) > 1e-6 {
			if y*x < 0 {
				negate(v)
			}
			break
		}
	}
	return v
}

func TestPearsonAndRanks(t *testing.T) {
	require.InDelta(t, 0.7745966692, pearson([]float64{1, 2, 3, 4, 5}, []float64{2, 4, 5, 4, 5}), 1e-9)
	require.True(t, math.IsNaN(pearson([]float64{1, 2}, []float64{3, 4})), "two points say nothing")
	require.True(t, math.IsNaN(pearson([]float64{1, 2, 3}, []float64{0.1, 0.1, 0.1})), "constant")
	require.Equal(t, []float64{1.5, 0, 1.5, 3}, ranks([]float64{2, 1, 2, 7}))
	require.Equal(t, 0.1, reached([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 10))
	require.Equal(t, 0.5, reached([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 6))
}

// The moments of a Wishart matrix, also where there are more vectors than
// dimensions.
func TestRandomGram(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, width := range []int{3, 40} {
		w := float64(width)
		var diagonal [6][]float64
		var off []float64
		for range 300 {
			g := randomGram(6, width, rng)
			for i := range diagonal {
				diagonal[i] = append(diagonal[i], g[i][i])
			}
			off = append(off, g[5][4]*g[5][4])
		}
		for i := range diagonal {
			assert.InDelta(t, w, mean(diagonal[i]), 6*math.Sqrt(2*w/300), "%d of width %d", i, width)
		}
		assert.InDelta(t, w, mean(off), 0.5*w)
	}
}

// The null of the partial correlation, by its textbook formula on arousal made
// anew from what valence predicts and permuted residuals.
func TestNullOfPartialCorrelation(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const n = 7
	s := ratingSet{}
	a := &axes{coordinates: [][]float64{nil, nil}}
	for i := range n {
		v := rng.NormFloat64()
		s.add(i, &emotion.Rating{Valence: v, Arousal: v + rng.NormFloat64()})
		a.coordinates[0] = append(a.coordinates[0], v+rng.NormFloat64())
		a.coordinates[1] = append(a.coordinates[1], rng.NormFloat64())
	}
	d := newGeometryDraws(n, nil, GeometryOptions{Permutations: 20})
	null := d.null(&s, a)
	va := pearson(s.valence, s.arousal)
	slope := va * spread(s.arousal) / spread(s.valence)
	for k, p := range d.ratings {
		most, mostValence := 0.0, 0.0
		arousal, valence := make([]float64, n), make([]float64, n)
		for i, at := range p {
			arousal[i] = slope*s.valence[i] + s.arousal[at] - slope*s.valence[at]
			valence[i] = s.valence[at]
		}
		for _, x := range a.coordinates {
			xa, xv, av := pearson(x, arousal), pearson(x, s.valence), pearson(arousal, s.valence)
			most = max(most, math.Abs(xa-xv*av)/math.Sqrt((1-xv*xv)*(1-av*av)))
			mostValence = max(mostValence, math.Abs(pearson(x, valence)))
		}
		require.InDelta(t, most, null[RateArousalPartial][k], 1e-9)
		require.InDelta(t, mostValence, null[RateValence][k], 1e-9)
	}
}

// spread is a list's standard deviation, up to a factor.
func spread(x []float64) float64 {
	m, sum := mean(x), 0.0
	for _, v := range x {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum)
}

// TestGeometryOfTrainedModel runs on a small trained model, where the shared
// test material lies beside the checkout.
func TestGeometryOfTrainedModel(t *testing.T) {
	r := trainedModel(t)
	out := filepath.Join(t.TempDir(), "v.safetensors")
	built, err := probe.Build(t.Context(), r, emotion.Embedded(), probe.BuildOptions{Out: out, Journal: out + ".journal"})
	require.NoError(t, err)
	got, err := Geometry(t.Context(), built.Vectors, GeometryOptions{Sidecar: probe.SidecarPath(out), Corpus: emotion.Embedded(), Runner: r})
	require.NoError(t, err)
	// The words of the stories carry arousal, and neighbouring layers agree.
	require.InDelta(t, 0.48, math.Abs(got.Baselines[BaseTFIDF].ArousalR[1]), 0.02)
	require.Greater(t, got.Layers.RSA[0][1], 0.9)
	require.Less(t, got.Agreement.P.ARI, 0.001)
	require.True(t, got.Hands)
	require.False(t, strings.Contains(toJSON(t, got), "NaN"))
}
