package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleGeometry is what "limbic geometry --json" printed for the test vectors
// of four emotions.
func sampleGeometry(t *testing.T) Geometry {
	t.Helper()
	b, err := os.ReadFile("testdata/geometry.json")
	require.NoError(t, err)
	var g Geometry
	require.NoError(t, json.Unmarshal(b, &g))
	return g
}

// manyEmotions is a crowded geometry of 171 emotions in ten clusters.
func manyEmotions() Geometry {
	rng := rand.New(rand.NewPCG(7, 7))
	g := Geometry{
		Site: "resid_post:3", Explained: []float64{0.3, 0.2}, ValenceR: Means{0.8, 0.1}, ArousalR: Means{0.2, math.NaN()},
		ArousalPartialR: Means{0, 0}, InSample: true,
	}
	const n, clusters = 171, 10
	for c := range clusters {
		g.Clusters = append(g.Clusters, GeometryCluster{Name: fmt.Sprintf("emotion-%03d", c*18)})
	}
	for i := range n {
		p := GeometryPoint{Emotion: fmt.Sprintf("emotion-%03d", i), Cluster: i * clusters / n, Family: "Family", Coordinates: []float64{rng.NormFloat64(), rng.NormFloat64()}}
		if i%2 == 0 {
			v := 1 + 8*rng.Float64()
			p.Valence, p.Arousal, p.Proxy = &v, &v, i%4 == 0
		}
		row := make([]float64, n)
		for j := range row {
			row[j] = 2*rng.Float64() - 1
		}
		g.Emotions, g.Points, g.Similarity, g.Order = append(g.Emotions, p.Emotion), append(g.Points, p), append(g.Similarity, row), append(g.Order, i)
	}
	return g
}

func geometryPageOf(t *testing.T, g Geometry) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteGeometry(&b, g))
	return b.String()
}

func TestGeometryGolden(t *testing.T) {
	const golden = "testdata/geometry.html"
	got := between(t, geometryPageOf(t, sampleGeometry(t)), "<main>", "</main>")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// attributes lists the names of all attributes of a well-formed fragment.
func attributes(t *testing.T, fragment string) map[string]bool {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<x>" + fragment + "</x>"))
	d.Entity = xml.HTMLEntity
	names := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				names[a.Name.Local] = true
			}
		}
	}
}

func TestGeometryStandsAlone(t *testing.T) {
	for name, g := range map[string]Geometry{"few": sampleGeometry(t), "many": manyEmotions()} {
		t.Run(name, func(t *testing.T) {
			p := geometryPageOf(t, g)
			policy := html.UnescapeString(between(t, p, `"Content-Security-Policy" content="`, `"`))
			assert.Equal(t, fmt.Sprintf("default-src 'none'; style-src '%s'; base-uri 'none'; form-action 'none'", cspHash(between(t, p, "<style>", "</style>"))), policy)
			assert.Empty(t, regexp.MustCompile(`(?i)https?:|url\(|@import|<link|<img|<script|<iframe|<base`).FindAllString(strings.ReplaceAll(p, "https://doi.org", ""), -1))
			main := between(t, p, "<main>", "</main>")
			for _, folded := range []string{"<details>", "<details open>"} {
				main = strings.ReplaceAll(main, folded, "<details>")
			}
			for a := range attributes(t, main) {
				assert.False(t, a == "style" || a == "src" || a == "href" || strings.HasPrefix(a, "on"), a)
			}
			assert.Less(t, len(p), 1<<20, "random cosines are the worst that there is")
		})
	}
}

func TestGeometryEscapes(t *testing.T) {
	const evil = `</title><script>alert(1)</script>"'><img src=x onerror=alert(1)>` + "\x1b\u202e"
	g := sampleGeometry(t)
	g.Site, g.SiteText, g.Form, g.Source = evil, evil, evil, evil
	g.Emotions = slices.Clone(g.Emotions)
	g.Emotions[0], g.Points[0].Emotion, g.Points[0].Family = evil, evil, evil
	g.Points[1].Neighbours[0].Emotion = evil
	for i := range g.Clusters {
		g.Clusters[i] = GeometryCluster{Name: evil, Members: []string{evil}, Family: evil}
	}
	g.Layers.Sites[0] = evil
	g.Topics = []string{evil}
	g.Definitions = map[string]string{"clusters": evil}
	g.Provenance = Provenance{Model: evil, Limbic: evil, Vectors: []Vectors{{FileSHA256: evil}}}
	p := geometryPageOf(t, g)
	assert.NotContains(t, p, "<script")
	assert.NotContains(t, p, "<img")
	assert.False(t, strings.ContainsAny(html.UnescapeString(p), "\x1b\u202e"))
	attributes(t, strings.ReplaceAll(between(t, p, "<main>", "</main>"), "<details open>", "<details>"))

	// Of many emotions the matrix names clusters.
	many := manyEmotions()
	many.Clusters[0].Name, many.Clusters[1].Members = evil, []string{evil}
	p = geometryPageOf(t, many)
	assert.NotContains(t, p, "<script")
	assert.False(t, strings.ContainsAny(html.UnescapeString(p), "\x1b\u202e"))
}

// Labels meet neither each other, nor points, nor the frame; those that matter
// most are there.
func TestMapLabels(t *testing.T) {
	g := manyEmotions()
	g.Points[100].Emotion, g.Emotions[100] = "happy", "happy"
	m := newEmotionMap(&g)
	for _, size := range []float64{allSize, fewSize} {
		labels := m.labels(&g, size, len(g.Emotions))
		var first []int
		for k, l := range labels {
			first = append(first, l.point)
			assert.True(t, l.box.x1 >= 0 && l.box.y1 >= 0 && l.box.x2 <= mapWidth && l.box.y2 <= m.height, "%v", l.box)
			assert.InDelta(t, textWidth(g.Emotions[l.point], size), l.box.x2-l.box.x1, 1e-9)
			for _, other := range labels[:k] {
				assert.False(t, l.box.meets(other.box), "%s and %s", g.Emotions[l.point], g.Emotions[other.point])
			}
			for i, p := range m.at {
				assert.False(t, l.box.meets(box{p.x - mapDot, p.y - mapDot, p.x + mapDot, p.y + mapDot}), "%s on %s", g.Emotions[l.point], g.Emotions[i])
			}
			// No label is so far away that it seems to be another point's.
			p := m.at[l.point]
			near := math.Hypot(min(max(p.x, l.box.x1), l.box.x2)-p.x, min(max(p.y, l.box.y1), l.box.y2)-p.y)
			assert.Less(t, near, 3.2*size)
		}
		assert.Equal(t, 100, first[0], "an emotion of the study's small figures")
		assert.Greater(t, len(labels), 20)
	}
	// Two points apart have their labels, one on top of the other has one.
	g.Points[0].Coordinates = g.Points[1].Coordinates
	assert.NotEmpty(t, newEmotionMap(&g).labels(&g, allSize, 171))
}

// One step is equally long along both components, and everything is inside.
func TestMapPlaces(t *testing.T) {
	for _, c := range [][][]float64{
		{{-1, 0}, {1, 0}, {0, 0.5}},
		{{0, -9}, {0.1, 9}, {0, 0}},
		{{5}, {-5}, {1}},
		{{0, 0}, {0, 0}, {0, 0}},
		{{math.Inf(1), 0}, {1, math.NaN()}, {0, 1}},
	} {
		g := Geometry{Explained: make([]float64, len(c[0]))}
		for _, x := range c {
			g.Points = append(g.Points, GeometryPoint{Coordinates: x})
		}
		m := newEmotionMap(&g)
		for _, p := range m.at {
			assert.True(t, p.x >= mapLeft && p.x <= mapWidth-mapRight && p.y >= mapTop && p.y <= m.height-mapBottom, "%v of %v", p, c)
		}
		assert.True(t, m.height >= mapLeast && m.height <= mapMost)
	}
	g := Geometry{Explained: make([]float64, 2)}
	for _, x := range [][]float64{{0, 0}, {1, 0}, {0, 1}} {
		g.Points = append(g.Points, GeometryPoint{Coordinates: x})
	}
	at := newEmotionMap(&g).at
	assert.InDelta(t, at[1].x-at[0].x, at[0].y-at[2].y, 1e-9)
}

// The matrix's paths hold every cell once, at the level of its cosine.
func TestMatrixCells(t *testing.T) {
	g := manyEmotions()
	slices.Reverse(g.Order[:18]) // within a cluster any order will do
	page, err := SimilarityMatrix(&g)
	require.NoError(t, err)
	scale := g.cosineScale()
	cells := map[[2]int]string{}
	for _, p := range regexp.MustCompile(`<path class="([pn]\d+)" d="([^"]*)"`).FindAllStringSubmatch(string(page), -1) {
		for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(p[2], -1) {
			var x, y, w, back int
			_, err := fmt.Sscan(strings.Join(run[1:], " "), &x, &y, &w, &back)
			require.NoError(t, err)
			require.Equal(t, w, back)
			for k := range w {
				require.Empty(t, cells[[2]int{y, x + k}], "drawn twice")
				cells[[2]int{y, x + k}] = p[1]
			}
		}
	}
	for y, i := range g.Order {
		for x, j := range g.Order {
			require.Equal(t, levelClass(Level(g.Similarity[i][j], scale)), cells[[2]int{y, x}])
		}
	}
	assert.Equal(t, 100, strings.Count(string(page), `class="hit"`))
	assert.Contains(t, string(page), "within 3 emotion-036: mean cosine")
}

func TestGeometryCheck(t *testing.T) {
	g := sampleGeometry(t)
	require.NoError(t, g.Check())
	for field, damage := range map[string]func(*Geometry){
		"emotions":     func(g *Geometry) { g.Emotions = nil },
		"explained":    func(g *Geometry) { g.Explained = nil },
		"points":       func(g *Geometry) { g.Points = g.Points[1:] },
		"cluster 9":    func(g *Geometry) { g.Points[0].Cluster = 9 },
		"in the place": func(g *Geometry) { g.Points[0].Emotion = "x" },
		"coordinates":  func(g *Geometry) { g.Points[0].Coordinates = nil },
		"similarity":   func(g *Geometry) { g.Similarity[1] = nil },
		"order":        func(g *Geometry) { g.Order = []int{0, 1, 2, 2} },
		"comes after":  func(g *Geometry) { slices.Reverse(g.Order) },
		"valence_r":    func(g *Geometry) { g.ValenceR = nil },
		"tests":        func(g *Geometry) { g.Tests["valence"] = GeometryTest{} },
		"layers":       func(g *Geometry) { g.Layers.RSA[0] = nil },
	} {
		g := sampleGeometry(t)
		damage(&g)
		for _, draw := range []func() error{
			func() error { return WriteGeometry(io.Discard, g) },
			func() error { _, err := EmotionMap(&g); return err },
			func() error { _, err := SimilarityMatrix(&g); return err },
			func() error { _, err := ClusterTable(&g); return err },
			func() error { _, err := NeighbourTable(&g); return err },
			func() error { _, err := GeometrySummary(&g); return err },
			func() error { _, err := LayerTable(&g); return err },
		} {
			require.ErrorContains(t, draw(), field)
		}
	}
}
