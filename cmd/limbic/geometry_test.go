package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/experiment"
	"github.com/limbic-go/limbic/report"
)

func TestGeometry(t *testing.T) {
	out := filepath.Join(t.TempDir(), "g.html")
	doc := ok(t, "geometry", exampleVectors, "--html", out, "--json")
	fields(t, doc, "experiment", "site", "site_text", "form", "explained", "valence_r", "arousal_r", "arousal_partial_r",
		"tests", "agreement", "clusters", "points", "similarity", "layers", "baselines", "controls", "in_sample", "topics", "vectors", "html", "provenance")
	r := decode[geometryResult](t, doc)
	assert.Equal(t, "resid_post:1", r.Site)
	assert.Len(t, r.Explained, 3)
	assert.Len(t, r.ValenceR, 3)
	assert.Len(t, r.ArousalR, 3)
	assert.Len(t, r.Clusters, 2)
	assert.True(t, r.InSample)
	assert.Equal(t, exampleVectors, r.Vectors)
	assert.Equal(t, "quant-base", r.Provenance.Model)
	assert.Len(t, r.Provenance.Vectors[0].FileSHA256, 64)
	assert.Contains(t, r.Baselines, experiment.BaseTFIDF)
	assert.NotContains(t, r.Baselines, experiment.BaseEmbeddings, "there is no model")
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	var g report.Geometry
	require.NoError(t, json.Unmarshal([]byte(doc), &g))
	var again strings.Builder
	require.NoError(t, report.WriteGeometry(&again, g))
	assert.Equal(t, again.String(), string(page), "the page shows what the JSON says")

	human := ok(t, "geometry", exampleVectors, "--site", "resid_post:0", "--html", out)
	for _, s := range []string{"4 emotions at resid_post:0", "in sample", "r valence", "baseline tfidf", "random, 95 %", "2 clusters", "desperate", "resid_post:1", "wrote " + out} {
		assert.Contains(t, human, s)
	}
	assert.Equal(t, doc, ok(t, "geometry", exampleVectors, "--html", out, "--json"))
	stated := okJSON[geometryResult](t, "geometry", exampleVectors, "--unseen-topics", "all", "--model", testModel, "--components", "1", "--clusters", "3")
	assert.False(t, stated.InSample)
	assert.Len(t, stated.Explained, 1)
	assert.Len(t, stated.Clusters, 3)
	assert.Contains(t, stated.Baselines, experiment.BaseEmbeddings)
}

// Vectors of some topics come from the file of story means; the corpus is the
// one that they were built from.
func TestGeometryTopics(t *testing.T) {
	corpus, out := shortStudy(t), filepath.Join(t.TempDir(), "v.safetensors")
	ok(t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", out)
	r := okJSON[geometryResult](t, "geometry", out, "--corpus", corpus, "--topics", "Sea,hotel", "--unseen-topics", "sea,hotel")
	assert.Equal(t, []string{"sea", "hotel"}, r.Topics)
	assert.Equal(t, 6, r.Stories)
	assert.False(t, r.InSample)
	assert.Contains(t, r.Controls, experiment.ControlShuffled)
	assert.Contains(t, ok(t, "geometry", out, "--corpus", corpus, "--exclude-topics", "cafe"), "from 6 stories on 2 topics; in sample")

	// Other stories than the embedded ones, not named: no baselines, and a warning.
	got := limbic("geometry", out, "--json")
	assert.Zero(t, got.status)
	assert.Contains(t, got.stderr, "no baselines; --corpus")
	assert.Empty(t, decode[geometryResult](t, got.stdout).Baselines)

	for args, parts := range map[string]string{
		"--corpus|embedded":                                        "another corpus|corpus_sha256",
		"--corpus|" + corpus + "|--topics|se":                      `--topics|unknown topic "se"|did you mean "sea"`,
		"--corpus|" + corpus + "|--unseen-topics|moo":              "--unseen-topics|unknown topic",
		"--corpus|" + corpus + "|--topics|sea|--site|resid_post:0": "resid_post:2 only",
		"--model|" + vectorsModel:                                  "--corpus DIR",
		"--corpus|" + corpus + "|--model|" + testModel:             "width",
		"--corpus|" + corpus + "|--clusters|9":                     "9 clusters of 3 emotions",
		"--site|resid_post:7":                                      "--site|resid_post:7|0 to 2",
		"--html|" + filepath.Dir(out):                              "folder",
	} {
		limbic(append([]string{"geometry", out}, strings.Split(args, "|")...)...).fails(t, exitFailed, strings.Split(parts, "|")...)
	}
}

func TestGeometryUsage(t *testing.T) {
	for args, parts := range map[string]string{
		"":                      "VECTORS is missing",
		"v|w":                   `unexpected argument "w"`,
		"v|--form|x":            `--form "x"|denoised_plain`,
		"v|--components|0":      "--components 0",
		"v|--clusters|0":        "--clusters 0",
		"v|--site=":             "--site is empty",
		"v|--model=":            "--model is empty",
		"v|--html=":             "--html is empty",
		"v|--topics|a,,b":       "a name is empty",
		"v|--site|resid_pots:1": "resid_pots:1",
	} {
		list := []string{"geometry"}
		if args != "" {
			list = append(list, strings.Split(strings.Replace(args, "v|", exampleVectors+"|", 1), "|")...)
		}
		limbic(list...).fails(t, exitUsage, strings.Split(parts, "|")...)
	}
	limbic("geometry", "none.safetensors").fails(t, exitFailed, "none.safetensors")
}
