package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/probe"
)

// MODEL and VECTORS may be demo, in every place where a file may be, and a file
// of that name does not get in the way.
func TestDemoFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, demo.Name), []byte("no model"), 0o666))
	t.Chdir(dir)

	info := okJSON[infoResult](t, "info", "demo")
	require.Equal(t, demo.ModelSHA256, info.SHA256)
	require.Equal(t, "demo", info.Provenance.ModelPath)
	limbic("info", "./demo").fails(t, exitFailed, "not a GGUF file")

	text := "She felt at home."
	probed := okJSON[probeResult](t, "probe", "demo", "demo", text, "--emotions", "calm,happy", "--steer", "demo:calm=-0.1")
	require.Equal(t, demo.ModelSHA256, probed.Provenance.ModelSHA256)
	require.Equal(t, "demo", probed.Provenance.Vectors[0].Path)
	require.Equal(t, demo.VectorsSHA256, probed.Provenance.Vectors[0].FileSHA256)
	require.Equal(t, demo.MeansSHA256, probed.Provenance.Vectors[0].MeansSHA256)
	require.Len(t, probed.Provenance.Vectors, 1, "steered with the same vectors")
	require.Equal(t, -0.1, probed.Receipt.Edits[0].Strength)

	steered := okJSON[steerResult](t, "steer", "demo", text, "--vector", "demo:happy", "--strengths", "0.5", "--max-tokens", "2", "--kl-tokens", "2")
	require.Equal(t, "happy", steered.Rows[0].Name)
	generated := okJSON[generateResult](t, "generate", "demo", text, "--max-tokens", "2", "--probe", "demo:calm")
	require.Equal(t, []string{"calm"}, generated.Trace.Emotions)
	shown := okJSON[vectorsShowResult](t, "vectors", "show", "demo")
	require.Equal(t, demo.VectorsSHA256, shown.FileSHA256)

	// What a file would have beside it.
	limbic("steer", "demo", text, "--vector", "demo:happy", "--strengths", "0.5", "--random", "1", "--control", "labels").
		fails(t, exitFailed, "--control labels", "no means of single stories", "limbic vectors build demo")
	limbic("probe", "demo", filepath.Join(dir, "v"), text).fails(t, exitFailed, "no such file")
	limbic("probe", "missing.gguf", "demo", text).fails(t, exitFailed, "or demo for the model in the program")
	limbic("info").fails(t, exitUsage, "or demo")
}

// Vectors of the embedded model are not for others.
func TestDemoVectorsOfAnotherModel(t *testing.T) {
	limbic("probe", testModel, "demo", "Once").fails(t, exitFailed, "demo: ", "the vectors")
}

// A demonstration with another model, on a part of the corpus.
func TestDemo(t *testing.T) {
	slowInPlainGo(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	args := []string{"demo", testModel, "--emotions", "afraid,calm,desperate,happy", "--topics", "sea", "--out", dir}
	r := okJSON[demoResult](t, args...)
	require.Equal(t, filepath.Join(dir, "report.html"), r.Report)
	for name, doc := range map[string]any{
		"vectors": r.Vectors, "story": r.Story, "conversation": r.Conversation, "steer": r.Steer, "feelings": r.Feelings, "demo": r,
	} {
		want, err := json.Marshal(doc)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name+".json"))
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got), name)
	}
	require.False(t, r.Model.Embedded)
	require.Equal(t, 4, r.Vectors.Emotions)
	require.Equal(t, r.Vectors.MeansSHA256, r.MeansSHA256)
	v, err := probe.Load(filepath.Join(dir, "vectors.safetensors"))
	require.NoError(t, err)
	require.Equal(t, r.MeansSHA256, v.Provenance.MeansSHA256)

	// Nothing is stated of other models, and too little is there for some steps.
	require.Len(t, r.Checks, 2)
	require.Empty(t, r.Checks[0].Want+r.Checks[1].Want)
	require.Len(t, r.ReadmeSHA256, 64)
	require.Nil(t, r.Card)
	require.Nil(t, r.Geometry.Unseen)
	require.Nil(t, r.Identification)
	require.Contains(t, r.Skipped, "geometry")
	require.Contains(t, r.Skipped, "identification")

	story := decode[probeResult](t, string(r.Story)+"\n")
	require.True(t, strings.HasPrefix(*story.Text, "Don't look at the window"), *story.Text)
	require.Equal(t, "afraid", story.Emotions[0])
	talk := decode[probeResult](t, string(r.Conversation)+"\n")
	require.Contains(t, *talk.Text, "Human: My back hurt")
	require.Contains(t, *talk.Text, "Assistant: Please")
	steered := decode[steerResult](t, string(r.Steer)+"\n")
	require.Len(t, steered.Rows, 5+5*4)
	require.Len(t, r.Feelings.Emotions, 4)
	require.Len(t, r.Feelings.Counts, 2)
	page, err := os.ReadFile(r.Report)
	require.NoError(t, err)
	for _, part := range []string{`id="steering"`, `id="story"`, `id="talk"`, `id="texts"`, r.MeansSHA256, r.ReadmeSHA256, "Left out: geometry"} {
		require.Contains(t, string(page), part)
	}
	require.NotContains(t, string(page), `id="geometry"`)

	// The same again, told to a person.
	text := ok(t, args...)
	for _, part := range []string{r.MeansSHA256, r.ReadmeSHA256, "1. Emotion vectors", "3. A story", "4. The same prompt", "random-1", "words for a feeling", "report.html"} {
		require.Contains(t, text, part)
	}
	require.Less(t, strings.Count(text, "\n"), 48)

	// An emotion that the steps need is missing.
	limbic("demo", testModel, "--emotions", "calm", "--topics", "sea", "--out", dir).fails(t, exitFailed, "afraid")
	limbic("demo", testModel, "--out", "").fails(t, exitUsage, "--out is empty")
	limbic("demo", testModel, "more").fails(t, exitUsage, "more")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	limbic("demo", testModel, "--out", file).fails(t, exitFailed, file)
}

// The demonstration as it stands: the vectors are those in the program, and
// the hashes those of the README.
func TestDemoOfEmbeddedModel(t *testing.T) {
	slowInPlainGo(t)
	dir := t.TempDir()
	r := okJSON[demoResult](t, "demo", "--out", dir)
	require.True(t, r.Model.Embedded)
	require.Equal(t, demo.MeansSHA256, r.MeansSHA256)
	require.Equal(t, demo.ReadmeSHA256, r.ReadmeSHA256)
	for _, c := range r.Checks {
		require.True(t, c.Match, c.Name)
	}
	require.NotNil(t, r.Card)
	require.Empty(t, r.Skipped)

	// The vectors in the program are those that were built, form by form.
	built, err := probe.Load(filepath.Join(dir, "vectors.safetensors"))
	require.NoError(t, err)
	embedded, err := demo.Vectors()
	require.NoError(t, err)
	require.Equal(t, built.Emotions, embedded.Emotions)
	for i := range built.Sites {
		for form, want := range built.Sites[i].ByForm {
			if form == probe.RawMean {
				continue
			}
			// Principal components agree between machines to about 1e-9 of
			// their length.
			got := embedded.Sites[i].ByForm[form]
			require.InDeltaSlice(t, want, got, 1e-5*built.Sites[i].Norm.Mean, "%v, %s", built.Sites[i].Site, form)
		}
	}

	g := r.Geometry
	require.Len(t, g.Unseen.Topics, 6)
	require.False(t, g.Unseen.InSample)
	require.True(t, g.All.InSample)
	require.Len(t, g.All.Topics, 24)
	require.ElementsMatch(t, demo.UnseenTopics(), r.Identification.Topics)
	require.False(t, r.Identification.InSample)
	require.Len(t, r.Feelings.Emotions, 12)
	page, err := os.ReadFile(r.Report)
	require.NoError(t, err)
	for _, part := range []string{`id="geometry"`, `id="similarity"`, `id="stories"`, "as the README states", "The model was trained on no text about these topics"} {
		require.Contains(t, string(page), part)
	}
	require.Less(t, len(page), 2<<20)
}

// Hashes that differ end the command with a failure, after all is written.
func TestDemoWarnsOfOtherBits(t *testing.T) {
	slowInPlainGo(t)
	a := &app{stdout: &output{w: &strings.Builder{}}, stderr: &strings.Builder{}, json: true}
	d := &demonstration{app: a, name: testModel, out: t.TempDir(), flags: &engineFlags{}}
	var err error
	d.engine, err = openEngine(testModel, d.flags)
	require.NoError(t, err)
	defer d.engine.close()
	d.result.Report = d.path("report.html")
	d.check(demoCheck{Name: "means_sha256", Got: "aa", Want: "bb"})
	err = d.finish(t.Context(), time.Now())
	require.ErrorContains(t, err, "means_sha256 is aa where the README states bb")
	page, err := os.ReadFile(d.result.Report)
	require.NoError(t, err)
	require.Contains(t, string(page), "aa, but the README states bb")
	require.Contains(t, string(page), "do not trust the figures above")
}
