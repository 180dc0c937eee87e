package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/experiment"
	"github.com/limbic-go/limbic/probe"
)

// shortCorpus writes a folder with a part of the embedded corpus, its texts
// cut: running texts through the model is what takes the time of these tests.
func shortCorpus(t *testing.T, emotions, topics []string) (dir string) {
	t.Helper()
	c, err := emotion.Embedded().Select(emotion.Filter{Emotions: emotions, Topics: topics})
	require.NoError(t, err)
	short := *c
	short.Dialogues, short.Neutral = nil, nil
	for i := range c.Stories {
		short.Stories[i].Text = strings.TrimSpace(strings.ToValidUTF8(c.Stories[i].Text[:220], ""))
	}
	// Four neutral texts on each topic.
	kept := map[string]int{}
	for _, n := range c.Neutral {
		if n.Kind != emotion.KindPassage || kept[n.Topic] == 4 {
			continue
		}
		kept[n.Topic]++
		n.Text = strings.TrimSpace(strings.ToValidUTF8(n.Text[:220], ""))
		short.Neutral = append(short.Neutral, n)
	}
	dir = t.TempDir()
	require.NoError(t, short.Export(dir))
	return dir
}

func shortStudy(t *testing.T) (dir string) {
	return shortCorpus(t, []string{"afraid", "at ease", "calm"}, []string{"sea", "cafe", "hotel"})
}

// names lists the files of a folder.
func names(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestVectorsBuild(t *testing.T) {
	corpus, dir := shortStudy(t), t.TempDir()
	out := filepath.Join(dir, "v.safetensors")
	args := []string{"vectors", "build", vectorsModel, "--corpus", corpus, "--out", out,
		"--emotions", "calm,at-ease", "--emotions", "Afraid", "--topics", "sea, cafe", "--exclude-topics", "cafe", "--threads", "1"}
	doc := ok(t, append(args, "--json")...)
	fields(t, doc, "out", "means_sha256", "file_sha256", "emotions", "sites", "tokens", "tokens_per_second",
		"stories", "dropped", "cut", "neutral_texts", "resumed", "sidecar", "report", "default_site", "recipe")
	r := decode[vectorsBuildResult](t, doc)
	assert.Equal(t, []string{"v.safetensors", "v.stories.safetensors"}, names(t, dir))
	assert.Equal(t, out, r.Out)
	assert.Equal(t, 3, r.Emotions)
	assert.Equal(t, []string{"resid_post:0", "resid_post:1", "resid_post:2"}, r.Sites)
	assert.Equal(t, siteNote{"resid_post:2", "output of block 2 of 3 (counted from 0)"}, r.DefaultSite)
	assert.Equal(t, 3, r.Stories)
	assert.Equal(t, 4, r.Neutral)
	assert.Zero(t, r.Resumed+r.Dropped+r.Cut)
	assert.Greater(t, r.Rate, 0.0)
	assert.Greater(t, r.Tokens, 7*50)
	assert.Len(t, r.Report, 3)
	assert.Greater(t, r.Report[0].Norm.Mean, 0.0)
	assert.Equal(t, []string{"sea"}, r.Recipe.Topics)
	assert.Equal(t, []string{"cafe", "hotel"}, r.Recipe.Excluded, "by either flag")
	assert.Equal(t, version, r.Recipe.Limbic)
	assert.Equal(t, "tiny", r.Provenance.Model)
	assert.Len(t, r.Provenance.Sites, 3)

	// What it says is what the files hold.
	v, err := probe.Load(out)
	require.NoError(t, err)
	assert.Equal(t, v.Provenance, r.Recipe)
	assert.Equal(t, v.Provenance.MeansSHA256, r.MeansSHA256)
	sum, err := probe.FileSHA256(out)
	require.NoError(t, err)
	assert.Equal(t, sum, r.FileSHA256)
	stories, err := probe.LoadStories(r.Sidecar)
	require.NoError(t, err)
	assert.Equal(t, []int{0, 1, 2}, stories.Index)

	// The number of threads changes nothing, nor does the order of names.
	again := okJSON[vectorsBuildResult](t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", out,
		"--topics", "Sea", "--sites", "resid_post:2,resid_post:1,resid_post:0", "--threads", "2")
	assert.Equal(t, r.MeansSHA256, again.MeansSHA256)
	assert.Equal(t, r.FileSHA256, again.FileSHA256)

	human := ok(t, append(args, "--resume")...)
	for _, s := range []string{"emotions", "3 on 1 topic", "cafe, hotel", "4 (both)", r.MeansSHA256, r.FileSHA256, "resid_post:2", "not told apart", out} {
		assert.Contains(t, human, s)
	}
	assert.NotContains(t, human, "resumed")
}

func TestVectorsBuildOptions(t *testing.T) {
	corpus, out := shortStudy(t), filepath.Join(t.TempDir(), "v")
	build := func(args ...string) vectorsBuildResult {
		t.Helper()
		return okJSON[vectorsBuildResult](t, append([]string{"vectors", "build", vectorsModel, "--corpus", corpus, "--topics", "sea", "--out", out}, args...)...)
	}
	r := build("--sites", "2/3", "--from", "30", "--neutral-variance", "0")
	assert.Equal(t, []string{"resid_post:2"}, r.Sites)
	assert.Equal(t, 30, r.Recipe.From)
	assert.Zero(t, r.Recipe.Threshold)
	assert.Zero(t, r.Report[0].Components)
	assert.Zero(t, r.Report[0].Removed)
	assert.Equal(t, out+".stories.safetensors", r.Sidecar)
	r = build("--neutral-variance", "0.9")
	assert.Equal(t, 0.9, r.Recipe.Threshold)
	assert.Greater(t, r.Report[0].Components, 1)

	// There are no dialogues, and so nothing to calibrate with.
	w := limbic("vectors", "build", vectorsModel, "--corpus", corpus, "--topics", "sea", "--out", out, "--neutral", "dialogues", "--json")
	require.Equal(t, 0, w.status)
	assert.Contains(t, w.stderr, "limbic: warning: there are no neutral texts")
	bare := decode[vectorsBuildResult](t, w.stdout)
	assert.Zero(t, bare.Neutral)
	assert.Equal(t, "dialogues", bare.Recipe.Neutral)
	ok(t, "vectors", "show", out)

	// The name of the model gives that of the vectors.
	model, err := filepath.Abs(vectorsModel)
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	ok(t, "vectors", "build", model, "--corpus", corpus, "--topics", "sea")
	assert.Equal(t, []string{"tiny-f32.vectors.safetensors", "tiny-f32.vectors.stories.safetensors"}, names(t, "."))
}

func TestVectorsBuildWarnsOfSkewedNorms(t *testing.T) {
	var b bytes.Buffer
	a := &app{stderr: &b}
	a.warnOfNorms([]probe.SiteReport{
		{Site: "resid_post:0", Norm: probe.Calibration{Mean: 1.1, Median: 1, N: 5}},
		{Site: "resid_post:1", Norm: probe.Calibration{Mean: 1.3, Median: 1, N: 5}},
	})
	assert.Equal(t, "limbic: warning: a few large norms dominate the mean at resid_post:1 (mean/median above 1.2): strengths are fractions of the mean\n", b.String())
}

// Both ways stand side by side where hands are told apart.
func TestVectorsBuildWithinHands(t *testing.T) {
	corpus, out := shortCorpus(t, emotion.Emotions()[:10], []string{"sea"}), filepath.Join(t.TempDir(), "v")
	args := []string{"vectors", "build", vectorsModel, "--corpus", corpus, "--out", out}
	r := okJSON[vectorsBuildResult](t, args...)
	require.True(t, r.Recipe.Hands)
	assert.Contains(t, r.Provenance.Definitions["contrast"], "hand")
	for _, text := range []string{ok(t, args...), ok(t, "vectors", "show", out)} {
		assert.Contains(t, text, "within the hands")
		assert.Contains(t, text, "cosine*")
		assert.Contains(t, text, "* without centring within hands")
	}
}

// An interrupted build says where it stands, and the same command goes on.
func TestVectorsBuildGoesOn(t *testing.T) {
	corpus := shortCorpus(t, emotion.Emotions()[:8], []string{"sea", "cafe", "hotel"})
	dir := t.TempDir()
	out := filepath.Join(dir, "v.safetensors")
	args := []string{"vectors", "build", vectorsModel, "--corpus", corpus, "--out", out, "--sites", "resid_post:0", "--json"}
	whole := decode[vectorsBuildResult](t, ok(t, args...))
	require.NoError(t, os.Remove(out))
	require.NoError(t, os.Remove(whole.Sidecar))

	// Ended at different times: before anything is done, within stories (24
	// in two batches), within neutral texts.
	kept := map[string]bool{}
	for n := int64(1); ; n++ {
		r := limbicIn(endAfter(n), "", args...)
		if r.status == exitDone {
			break
		}
		require.Equal(t, exitInterrupted, r.status, r.stderr)
		require.Empty(t, r.stdout)
		require.NoFileExists(t, out)
		lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
		last := lines[len(lines)-1]
		if !strings.Contains(last, "of 36 texts") {
			assert.Regexp(t, `^limbic: interrupted`, last)
			continue
		}
		var done int
		_, err := fmt.Sscanf(last, "limbic: interrupted after %d of 36 texts, which are kept in", &done)
		require.NoError(t, err, last)
		assert.Contains(t, last, out+".part; the same command goes on from there")
		assert.Equal(t, []string{"v.safetensors.part"}, names(t, dir))
		if kept[last] {
			require.Less(t, n, int64(10000), "no end in sight")
			continue
		}
		kept[last] = true

		// Other settings don't touch what is there.
		limbic(append(args, "--from", "20")...).fails(t, exitFailed, out+".part", "unfinished build of something else", "remove it, or write to another file")
		// What was done is the same, whoever did it.
		journal, err := os.ReadFile(out + ".part")
		require.NoError(t, err)
		r = limbic(append(args, "--resume")...)
		require.Equal(t, 0, r.status, r.stderr)
		assert.Equal(t, fmt.Sprintf("limbic: continuing %s.part (%d of 36 texts done)\n", out, done), r.stderr)
		got := decode[vectorsBuildResult](t, r.stdout)
		assert.Equal(t, done, got.Resumed)
		assert.Equal(t, whole.MeansSHA256, got.MeansSHA256)
		assert.Equal(t, whole.FileSHA256, got.FileSHA256)
		assert.Equal(t, whole.Tokens, got.Tokens)
		assert.Equal(t, []string{"v.safetensors", "v.stories.safetensors"}, names(t, dir))
		require.NoError(t, os.Remove(out))
		require.NoError(t, os.Remove(got.Sidecar))
		require.NoError(t, os.WriteFile(out+".part", journal, 0o666))
	}
	assert.Len(t, kept, 2, "after each of the first two of three batches")
}

func TestVectorsUsage(t *testing.T) {
	for args, parts := range map[string]string{
		"vectors|bild":                                               `unknown command "bild"|did you mean build?`,
		"vectors|build":                                              "MODEL is missing",
		"vectors|build|m|x":                                          `unexpected argument "x"`,
		"vectors|build|m|--from|0":                                   "--from 0",
		"vectors|build|m|--neutral|none":                             `--neutral "none"|both, dialogues or passages`,
		"vectors|build|m|--neutral-variance|1.5":                     "--neutral-variance 1.5",
		"vectors|build|m|--neutral-variance|nan":                     "--neutral-variance NaN",
		"vectors|build|m|--format|chat":                              `--format "chat"|this version has raw`,
		"vectors|build|m|--out=":                                     "--out is empty",
		"vectors|build|m|--sites=":                                   "--sites is empty",
		"vectors|build|m|--emotions|calm,,sad":                       "--emotions|a name is empty",
		"vectors|build|m|--topics|sea|--exclude-topics|sea":          "--exclude-topics|leaves no stories",
		"vectors|build|" + vectorsModel + "|--threads|-1":            "--threads -1",
		"vectors|show":                                               "VECTORS is missing",
		"vectors|show|a|b":                                           `unexpected argument "b"`,
		"vectors|eval|m":                                             "VECTORS is missing",
		"vectors|eval|m|v|x":                                         `unexpected argument "x"`,
		"vectors|eval|m|v|--center|mean":                             `--center "mean"|grand, neutral, set`,
		"vectors|eval|m|v|--site=":                                   "--site is empty",
		"vectors|eval|m|v|--stories=":                                "--stories is empty",
		"vectors|eval|m|v|--seed|-1":                                 "--seed",
		"vectors|build|" + vectorsModel + "|--precision|approximate": "approximate",
	} {
		r := limbic(strings.Split(args, "|")...)
		r.fails(t, exitUsage, strings.Split(parts, "|")...)
		assert.Empty(t, r.stdout, args)
	}
}

func TestVectorsFailures(t *testing.T) {
	corpus, dir := shortStudy(t), t.TempDir()
	out := filepath.Join(dir, "v.safetensors")
	fails := func(args string, parts ...string) {
		t.Helper()
		r := limbic(strings.Split(args, "|")...)
		r.fails(t, exitFailed, parts...)
		assert.Empty(t, r.stdout)
	}
	build := "vectors|build|" + vectorsModel + "|--corpus|" + corpus + "|--topics|sea|--out|"
	fails(build+dir+"/none/v", "none/v", "no such file")
	fails(build+dir, dir, "folder")
	fails(build+out+"|--from|1000", "1000 tokens or more")
	fails("vectors|build|"+dir+"/none.gguf|--out|"+out, "none.gguf", "no such file")
	fails("vectors|build|"+vectorsModel+"|--corpus|"+dir+"/none", "--corpus", dir+"/none", "no such file")
	assert.Empty(t, names(t, dir), "nothing is left behind")
	require.NoError(t, os.Mkdir(probe.SidecarPath(out), 0o777))
	fails(build+out, probe.SidecarPath(out), "folder")
	require.NoError(t, os.Remove(probe.SidecarPath(out)))

	// A model must not be replaced by its vectors.
	model, err := os.ReadFile(vectorsModel)
	require.NoError(t, err)
	copied := filepath.Join(dir, "m.gguf")
	require.NoError(t, os.WriteFile(copied, model, 0o666))
	fails("vectors|build|"+copied+"|--corpus|"+corpus+"|--topics|sea|--out|"+copied, copied, "is the model itself")

	fails("vectors|show|"+out, out, "no such file")
	fails("vectors|show|"+vectorsModel, vectorsModel)
	fails("vectors|eval|"+vectorsModel+"|"+out, out, "no such file")
}

func TestVectorsShow(t *testing.T) {
	corpus, out := shortStudy(t), filepath.Join(t.TempDir(), "v.safetensors")
	built := okJSON[vectorsBuildResult](t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", out, "--exclude-topics", "hotel")
	v, err := probe.Load(out)
	require.NoError(t, err)

	doc := ok(t, "--json", "vectors", "show", out)
	fields(t, doc, "vectors", "file_sha256", "means_sha256", "site", "site_text", "default_site", "sites", "emotions", "recipe")
	r := decode[vectorsShowResult](t, doc)
	assert.Equal(t, built.FileSHA256, r.FileSHA256)
	assert.Equal(t, built.MeansSHA256, r.MeansSHA256)
	assert.Equal(t, built.Report, r.Sites)
	assert.Equal(t, built.Recipe, r.Recipe)
	assert.Equal(t, built.DefaultSite, r.DefaultSite)
	assert.Equal(t, "resid_post:2", r.Site)
	assert.Equal(t, built.Provenance.ModelSHA256, r.Provenance.ModelSHA256)
	require.Len(t, r.Emotions, 3)
	for e, row := range r.Emotions {
		contrast, err := v.Vector(v.DefaultSite(), probe.Contrast, e)
		require.NoError(t, err)
		assert.Equal(t, v.Emotions[e], row.Emotion)
		assert.Equal(t, 2, row.Stories)
		assert.Equal(t, v.MeanTokens[e], row.MeanTokens)
		assert.InDelta(t, probe.Norm(contrast)/v.Sites[2].Norm.Mean, row.ContrastNorm, 1e-12)
		assert.InDelta(t, 1-row.DenoisedNorm/row.ContrastNorm, row.Removed, 1e-9)
		require.NotNil(t, row.Nearest)
		require.NotNil(t, row.Farthest)
		assert.NotEqual(t, row.Emotion, row.Nearest.Emotion)
		assert.NotEqual(t, row.Nearest.Emotion, row.Farthest.Emotion, "of two others one is nearer")
		assert.Greater(t, row.Nearest.Cosine, row.Farthest.Cosine)
	}

	one := okJSON[vectorsShowResult](t, "vectors", "show", out, "--emotion", "At-Ease", "--site", "0%")
	require.Len(t, one.Emotions, 1)
	assert.Equal(t, "at ease", one.Emotions[0].Emotion)
	assert.Equal(t, "resid_post:0", one.Site)
	assert.NotEqual(t, r.Emotions[1].ContrastNorm, one.Emotions[0].ContrastNorm)

	human := ok(t, "vectors", "show", out, "--emotion", "calm")
	for _, s := range []string{"tiny", "3 blocks", "2: sea, cafe", "1: hotel", r.FileSHA256, r.MeansSHA256, "At resid_post:2, output of block 2 of 3", "\ncalm "} {
		assert.Contains(t, human, s)
	}
	assert.NotContains(t, human, "\nat ease ")

	limbic("vectors", "show", out, "--emotion", "clam").fails(t, exitFailed, `--emotion: unknown emotion "clam"`, `did you mean "calm"`)
	limbic("vectors", "show", out, "--site", "resid_post:3").fails(t, exitFailed, "--site", "resid_post:3", "0 to 2")
	limbic("vectors", "show", out, "--site", "resid_pre:1").fails(t, exitFailed, "no site resid_pre:1")

	// One emotion has no others to be near to.
	single := filepath.Join(t.TempDir(), "one")
	ok(t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", single, "--emotions", "calm", "--topics", "sea")
	row := okJSON[vectorsShowResult](t, "vectors", "show", single).Emotions[0]
	assert.Nil(t, row.Nearest)
	assert.Nil(t, row.Farthest)
	assert.Zero(t, row.ContrastNorm)
	ok(t, "vectors", "show", single)
}

func TestVectorsEval(t *testing.T) {
	corpus, dir := shortStudy(t), t.TempDir()
	out := filepath.Join(dir, "v.safetensors")
	ok(t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", out, "--exclude-topics", "hotel")
	eval := func(args ...string) vectorsEvalResult {
		t.Helper()
		return okJSON[vectorsEvalResult](t, append([]string{"vectors", "eval", vectorsModel, out, "--corpus", corpus}, args...)...)
	}

	doc := ok(t, "vectors", "eval", vectorsModel, out, "--corpus", corpus, "--json")
	m := fields(t, doc, "top1", "top5", "family", "baselines", "chance", "readouts", "readout", "center", "paired", "regressed", "definitions", "site", "topics", "vectors")
	for _, b := range experiment.Baselines() {
		assert.Contains(t, m["baselines"], b)
	}
	r := decode[vectorsEvalResult](t, doc)
	assert.Equal(t, []string{"hotel"}, r.Topics)
	assert.Equal(t, 3, r.N)
	assert.Equal(t, "resid_post:2", r.Site)
	assert.Equal(t, "sidecar", r.TrainMeans)
	assert.False(t, r.InSample)
	assert.Equal(t, "grand", r.Center)
	assert.Equal(t, r.Readouts[experiment.ReadCenteredGrand], r.Score)
	assert.Equal(t, r.Means, r.Provenance.Vectors[0].MeansSHA256)
	assert.Equal(t, []siteNote{{"resid_post:2", "output of block 2 of 3 (counted from 0)"}}, r.Provenance.Sites)

	other := eval("--center", "neutral", "--seed", "5", "--site", "resid_post:0")
	assert.Equal(t, other.Readouts[experiment.ReadCentered], other.Score)
	assert.Equal(t, "resid_post:0", other.Site)
	assert.Equal(t, "captured", other.TrainMeans)
	assert.Equal(t, uint64(5), other.Seed)
	assert.Equal(t, uint64(5), other.Provenance.Seed)

	// Without the story means the training stories are read again.
	side, err := os.ReadFile(probe.SidecarPath(out))
	require.NoError(t, err)
	require.NoError(t, os.Remove(probe.SidecarPath(out)))
	again := eval()
	assert.Equal(t, "captured", again.TrainMeans)
	assert.Equal(t, r.Score, again.Score)
	require.NoError(t, os.WriteFile(probe.SidecarPath(out), side, 0o666))

	in := eval("--in-sample")
	assert.True(t, in.InSample)
	assert.Equal(t, []string{"sea", "cafe"}, in.SharedTopics)
	assert.Equal(t, 6, in.N)

	// Stories from elsewhere, one emotion among them that the vectors lack.
	elsewhere := shortCorpus(t, []string{"at ease", "calm", "sad"}, []string{"farm", "stage"})
	w := limbic("vectors", "eval", vectorsModel, out, "--corpus", corpus, "--stories", elsewhere, "--json")
	require.Equal(t, 0, w.status, w.stderr)
	assert.Contains(t, w.stderr, "1 emotion of "+elsewhere+" left out")
	els := decode[vectorsEvalResult](t, w.stdout)
	assert.Equal(t, 4, els.N)
	assert.ElementsMatch(t, []string{"farm", "stage"}, els.Topics)
	w = limbic("vectors", "eval", vectorsModel, out, "--corpus", corpus, "--stories", elsewhere, "--topics", "farm", "--json")
	require.Equal(t, 0, w.status, w.stderr)
	assert.Equal(t, []string{"farm"}, decode[vectorsEvalResult](t, w.stdout).Topics)

	human := ok(t, "vectors", "eval", vectorsModel, out, "--corpus", corpus)
	assert.Contains(t, human, "centered_grand (headline)")

	fails := func(status int, args []string, parts ...string) {
		t.Helper()
		limbic(append([]string{"vectors", "eval"}, args...)...).fails(t, status, parts...)
	}
	fails(exitFailed, []string{vectorsModel, out}, "another corpus", "--corpus DIR")
	fails(exitFailed, []string{testModel, out, "--corpus", corpus}, "the vectors have width 32, the model 256")
	fails(exitFailed, []string{vectorsModel, out, "--corpus", corpus, "--topics", "sea"}, "not held out", "sea", "(--in-sample)")
	fails(exitFailed, []string{vectorsModel, out, "--corpus", corpus, "--site", "resid_pre:1"}, "no site resid_pre:1")
	fails(exitFailed, []string{vectorsModel, out, "--corpus", corpus, "--site", "resid_post:7"}, "--site", "0 to 2")
	fails(exitFailed, []string{vectorsModel, out, "--corpus", corpus, "--topics", "hotl"}, `--topics: unknown topic "hotl"`, `"hotel"`)
	fails(exitFailed, []string{vectorsModel, out, "--corpus", corpus, "--stories", dir + "/none"}, "--stories", "none", "no such file")
	r2 := limbicIn(endAfter(3), "", "vectors", "eval", vectorsModel, out, "--corpus", corpus, "--json")
	r2.fails(t, exitInterrupted, "interrupted")

	// Nothing is held out of these.
	all := filepath.Join(dir, "all.safetensors")
	ok(t, "vectors", "build", vectorsModel, "--corpus", corpus, "--out", all)
	fails(exitFailed, []string{vectorsModel, all, "--corpus", corpus}, "not held out", "--exclude-topics", "--in-sample")
	// And the story means of other vectors are none.
	require.NoError(t, os.WriteFile(probe.SidecarPath(all), side, 0o666))
	fails(exitFailed, []string{vectorsModel, all, "--corpus", corpus, "--in-sample"}, probe.SidecarPath(all), "written with other vectors")
}

func TestExists(t *testing.T) {
	dir := t.TempDir()
	assert.True(t, exists(dir))
	assert.False(t, exists(filepath.Join(dir, "none")))
}

// Stages follow each other, and the last may be finished twice.
func TestStages(t *testing.T) {
	var b bytes.Buffer
	a := &app{stderr: &b}
	update, finish := a.stages()
	finish() // before anything began
	update("one", 1, 2)
	update("one", 2, 2)
	update("two", 1, 1)
	finish()
	finish()
	assert.Empty(t, b.String(), "this is no terminal")
}
