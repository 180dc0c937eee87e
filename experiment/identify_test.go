package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

// A trial is a small model, vectors that were built from a part of the corpus,
// and stories held out.
type trial struct {
	runner      *llama.Runner
	train, test *emotion.Corpus
	v           *probe.Vectors
	sidecar     string
}

var (
	trialEmotions = []string{"angry", "calm", "furious", "happy", "peaceful", "sad"}
	trialTopics   = []string{"school", "farm", "garden", "stage"}
	trialHeldOut  = []string{"sea", "cafe"}
)

// pick selects stories and cuts them: the time that tests take is that of
// running texts through the model in plain Go.
func pick(t *testing.T, topics []string) *emotion.Corpus {
	c, err := emotion.Embedded().Select(emotion.Filter{Emotions: trialEmotions, Topics: topics})
	require.NoError(t, err)
	const most = 220
	for i := range c.Stories {
		c.Stories[i].Text = strings.ToValidUTF8(c.Stories[i].Text[:most], "")
	}
	for i := range c.Neutral {
		c.Neutral[i].Text = strings.ToValidUTF8(c.Neutral[i].Text[:most], "")
	}
	return c
}

// newTrial builds vectors of a random model.
func newTrial(t *testing.T) *trial {
	m, err := llama.Open(filepath.Join("..", "testdata", "models", "tiny-f32.gguf"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	x := &trial{train: pick(t, trialTopics), test: pick(t, trialHeldOut)}
	x.runner, err = m.NewRunner(llama.RunnerOptions{})
	require.NoError(t, err)
	t.Cleanup(x.runner.Close)
	// A few neutral texts are enough here.
	x.train.Neutral = slices.Concat(x.train.Neutral[:3], x.train.Neutral[10:13])
	out := filepath.Join(t.TempDir(), "v.safetensors")
	_, err = probe.Build(t.Context(), x.runner, x.train, probe.BuildOptions{
		Excluded: trialHeldOut, Out: out, Journal: out + ".journal",
	})
	require.NoError(t, err)
	x.sidecar = probe.SidecarPath(out)
	x.v, err = probe.Load(out)
	require.NoError(t, err)
	return x
}

// identify takes the training means from the sidecar unless told otherwise.
func (x *trial) identify(t *testing.T, test *emotion.Corpus, o IdentifyOptions) *Identification {
	t.Helper()
	switch o.Sidecar {
	case "":
		o.Sidecar = x.sidecar
	case "none":
		o.Sidecar = ""
	}
	got, err := Identify(t.Context(), x.runner, x.v, x.train, test, o)
	require.NoError(t, err)
	return got
}

func TestIdentify(t *testing.T) {
	x := newTrial(t)
	stages := map[string]int{}
	got := x.identify(t, x.test, IdentifyOptions{Sidecar: "none", Progress: func(stage string, done, total int) {
		require.LessOrEqual(t, done, total)
		stages[stage] = total
	}})
	require.Equal(t, map[string]int{"test stories": 12, "training stories": 24, "neutral texts": 6, "regressions": 3}, stages)

	t.Run("what it says", func(t *testing.T) {
		require.Equal(t, 12, got.N)
		require.Equal(t, 6, got.Emotions)
		require.Equal(t, trialHeldOut, got.Topics)
		require.Equal(t, 24, got.TrainStories)
		require.Equal(t, "resid_post:2", got.Site)
		require.False(t, got.InSample)
		require.Equal(t, ReadCenteredGrand, got.Readout)
		require.Equal(t, "grand", got.Center)
		require.Equal(t, got.Readouts[ReadCenteredGrand], got.Score)
		require.Equal(t, got.Baselines[BaseEmbeddings].Readouts[ReadCenteredGrand], got.Baselines[BaseEmbeddings].Score)
		require.Equal(t, got.Regressed[RegressStyle].Readouts[ReadCenteredGrand], got.Regressed[RegressStyle].Score)
		require.Contains(t, got.Definitions["headline"], ReadCenteredGrand)
		require.InDelta(t, 1.0/6, got.Chance.Top1, 1e-15)
		require.InDelta(t, 5.0/6, got.Chance.Top5, 1e-15)
		require.InDelta(t, harmonic(6)/6, got.Chance.MRR, 1e-15)
		require.Len(t, got.Readouts, len(Readouts()))
		require.Len(t, got.Baselines, len(Baselines()))
		require.Len(t, got.Regressed, len(Regressions()))
		require.Len(t, got.Paired, len(pairedReadouts()))
		for _, r := range pairedReadouts() {
			for _, b := range Baselines() {
				base := got.Baselines[b].Score
				if b == BaseEmbeddings {
					base = got.Baselines[b].Readouts[r]
				}
				require.InDelta(t, got.Readouts[r].MRR-base.MRR, got.Paired[r][b].MRR, 1e-15, r+" "+b)
			}
			for _, g := range Regressions() {
				require.InDelta(t, got.Regressed[g].Readouts[r].MRR-got.Readouts[r].MRR, got.Regressed[g].Difference[r].MRR, 1e-15, r+" "+g)
			}
		}
		n, hits := 0, 0.0
		for _, f := range got.Families {
			n += f.N
			hits += f.Top1 * float64(f.N)
		}
		require.Equal(t, 12, n)
		require.InDelta(t, got.Top1*12, hits, 1e-9)
		wrong := 0
		for _, c := range got.Confused {
			require.NotEqual(t, c.Emotion, c.ReadAs)
			wrong += c.Count
		}
		require.Equal(t, 12-int(hits+0.5), wrong, "fewer than twenty pairs: all are listed")
		require.InDelta(t, got.Top5, (got.PerTopic[0].Top5+got.PerTopic[1].Top5)/2, 1e-12)
	})

	t.Run("readings are those of probe", func(t *testing.T) {
		// Read one story by hand and compare its rank with the result of a
		// test of that story alone.
		one := &emotion.Corpus{Emotions: x.test.Emotions, Topics: x.test.Topics[:1], Stories: x.test.Stories[2:3]}
		alone := x.identify(t, one, IdentifyOptions{})
		c, err := probe.NewCapturer(x.runner, []llama.Site{x.v.DefaultSite()}, 50, false)
		require.NoError(t, err)
		pooled, err := c.Capture(t.Context(), []probe.Text{probe.Encode(x.runner.Model(), one.Stories[0].Text)})
		require.NoError(t, err)
		for read, score := range map[string]probe.Score{ReadCentered: probe.Centered, ReadZ: probe.Z, ReadCosine: probe.CosineOf} {
			reader, err := x.v.NewReader(probe.ReaderOptions{Score: score})
			require.NoError(t, err)
			scores := make([]float32, len(x.v.Emotions))
			reader.Read(pooled[0].Means, scores, nil)
			own, rank := scores[slices.Index(x.v.Emotions, one.Stories[0].Emotion)], 1.0
			for _, s := range scores {
				if s > own {
					rank++
				}
			}
			require.InDelta(t, 1/rank, alone.Readouts[read].MRR, 1e-15, read)
		}
		require.Nil(t, alone.Intervals)
	})

	t.Run("the sidecar saves work and changes nothing", func(t *testing.T) {
		with := x.identify(t, x.test, IdentifyOptions{})
		require.Equal(t, "sidecar", with.TrainMeans)
		require.Equal(t, "captured", got.TrainMeans)
		with.TrainMeans = got.TrainMeans
		require.Equal(t, toJSON(t, got), toJSON(t, with), "which shows that a run repeats, too")
	})

	t.Run("seed", func(t *testing.T) {
		other := x.identify(t, x.test, IdentifyOptions{Seed: 1})
		require.Equal(t, got.Figures, other.Figures)
		require.NotEqual(t, toJSON(t, got.Readouts), toJSON(t, other.Readouts))
	})

	t.Run("nothing is fitted to test stories", func(t *testing.T) {
		// How one story is read does not depend on the others, but for the
		// readouts that say so. Figures of two topics are then the mean of
		// those of each.
		first, second := x.identify(t, pick(t, trialHeldOut[:1]), IdentifyOptions{}), x.identify(t, pick(t, trialHeldOut[1:]), IdentifyOptions{})
		check := func(name string, all, a, b Figures) {
			require.InDelta(t, all.MRR, (a.MRR+b.MRR)/2, 1e-12, name)
			require.InDelta(t, all.Top1, (a.Top1+b.Top1)/2, 1e-12, name)
			require.InDelta(t, all.Top5, (a.Top5+b.Top5)/2, 1e-12, name)
			// The topics have the same emotions, hence the same families.
			require.InDelta(t, all.Family, (a.Family+b.Family)/2, 1e-12, name)
		}
		for _, name := range Readouts() {
			if name != ReadCenteredSet && name != ReadZSet {
				check(name, got.Readouts[name].Figures, first.Readouts[name].Figures, second.Readouts[name].Figures)
			}
		}
		for _, name := range Baselines() {
			check(name, got.Baselines[name].Figures, first.Baselines[name].Figures, second.Baselines[name].Figures)
		}
		for _, name := range Regressions() {
			check(name, got.Regressed[name].Figures, first.Regressed[name].Figures, second.Regressed[name].Figures)
			require.Equal(t, got.Regressed[name].Explained, first.Regressed[name].Explained)
		}
		set := func(r *Identification) float64 {
			return r.Readouts[ReadZSet].Family + r.Readouts[ReadCenteredSet].Family
		}
		require.Greater(t, abs(set(got)-(set(first)+set(second))/2), 1e-6, "the comparison would see it")
	})

	t.Run("regressing nothing out changes nothing", func(t *testing.T) {
		r := x.identify(t, x.test, IdentifyOptions{Ridge: 1e12})
		for _, name := range Regressions() {
			for _, read := range pairedReadouts() {
				require.Equal(t, got.Readouts[read].Figures, r.Regressed[name].Readouts[read].Figures, name+" "+read)
			}
			require.InDelta(t, 0, r.Regressed[name].Explained, 1e-9)
			require.Greater(t, got.Regressed[name].Explained, 0.1)
		}
	})

	t.Run("another site", func(t *testing.T) {
		site := llama.Site{Point: llama.ResidPost, Block: 0}
		r := x.identify(t, x.test, IdentifyOptions{Site: &site})
		require.Equal(t, "resid_post:0", r.Site)
		require.Equal(t, "captured", r.TrainMeans, "the sidecar is for the default site")
		require.Equal(t, got.Baselines, r.Baselines)
		require.NotEqual(t, got.Readouts, r.Readouts)
	})

	t.Run("another center", func(t *testing.T) {
		for center, readout := range map[string]string{"neutral": ReadCentered, "set": ReadCenteredSet} {
			r := x.identify(t, x.test, IdentifyOptions{Center: center})
			require.Equal(t, center, r.Center)
			require.Equal(t, readout, r.Readout)
			require.Equal(t, got.Readouts[readout], r.Score)
			require.Equal(t, r.Regressed[RegressStyle].Readouts[readout], r.Regressed[RegressStyle].Score)
			require.Equal(t, r.Baselines[BaseEmbeddings].Readouts[readout], r.Baselines[BaseEmbeddings].Score)
			require.Contains(t, r.Definitions["headline"], readout)
			// All but the two that follow the headline stay what they are.
			for _, name := range Readouts() {
				if name != ReadContrast && name != ReadPlain {
					require.Equal(t, got.Readouts[name], r.Readouts[name], name)
				}
			}
			if center == "neutral" {
				require.NotEqual(t, got.Readouts[ReadContrast].Figures, r.Readouts[ReadContrast].Figures)
			}
			var b bytes.Buffer
			require.NoError(t, r.WriteTable(&b))
			require.Contains(t, b.String(), readout+" (headline)")
			require.Contains(t, b.String(), "\n"+ReadCenteredGrand+" ")
		}
	})

	t.Run("table and JSON", func(t *testing.T) {
		var b bytes.Buffer
		require.NoError(t, got.WriteTable(&b))
		for _, want := range slices.Concat([]string{"12 stories on 2 topics (sea, cafe)", "chance", "Hostile Anger"}, Readouts()[1:], Baselines(), Regressions()) {
			require.Contains(t, b.String(), want)
		}
		require.NotContains(t, b.String(), "%!")
		require.NotContains(t, b.String(), "IN SAMPLE")
		for line := range strings.Lines(b.String()) {
			require.Equal(t, strings.TrimRight(line, " \n"), strings.TrimSuffix(line, "\n"))
		}
		var doc map[string]any
		require.NoError(t, json.Unmarshal([]byte(toJSON(t, got)), &doc))
		require.Equal(t, got.Top1, doc["top1"])
		require.Equal(t, got.Top5, doc["top5"])
		require.Equal(t, got.Family, doc["family"])
		for _, base := range Baselines() {
			row := doc["baselines"].(map[string]any)[base].(map[string]any)
			require.Equal(t, got.Baselines[base].Top5, row["top5"])
			require.Len(t, row["intervals"].(map[string]any)["family"], 2)
		}
		for _, key := range []string{"chance", "readouts", "paired", "n", "topics", "emotions", "site", "regressed", "seed", "definitions", "in_sample", "intervals", "families", "confused"} {
			require.Contains(t, doc, key)
		}
		for _, name := range slices.Concat(Readouts(), Baselines()) {
			require.NotEmpty(t, got.Definitions[name])
		}
	})

	t.Run("writers not known", func(t *testing.T) {
		// Nothing is taken out for a hand that wrote no training story.
		other := *x.test
		other.Stories = slices.Clone(other.Stories)
		for i := range other.Stories {
			other.Stories[i].Writer = "h99"
		}
		r := x.identify(t, &other, IdentifyOptions{})
		require.Equal(t, got.Readouts, r.Readouts)
		require.Equal(t, got.Regressed[RegressStyle], r.Regressed[RegressStyle])
		e := &identifier{hands: map[string]int{"": 0, "h01": 1, "h02": 2}}
		for _, w := range []string{"h01", "h01", "h01", "h02"} {
			e.train.keep(emotion.Story{Writer: w}, 0, probe.Text{})
		}
		e.test.keep(emotion.Story{Writer: "h02"}, 0, probe.Text{})
		e.test.keep(emotion.Story{Writer: "h99"}, 0, probe.Text{})
		require.Equal(t, [][]float64{{0, 1}, {0.75, 0.25}}, e.confounds(&e.test, RegressWriter))
	})

	t.Run("in sample", func(t *testing.T) {
		seen := pick(t, []string{"farm", "sea"})
		_, err := Identify(t.Context(), x.runner, x.v, x.train, seen, IdentifyOptions{})
		require.ErrorIs(t, err, ErrInSample)
		require.ErrorContains(t, err, "farm")
		r := x.identify(t, seen, IdentifyOptions{InSample: true})
		require.True(t, r.InSample)
		require.Equal(t, []string{"farm"}, r.SharedTopics)
		require.Equal(t, 6, r.SharedStories)
		var b bytes.Buffer
		require.NoError(t, r.WriteTable(&b))
		require.Contains(t, b.String(), "IN SAMPLE")

		// A training story under another name is found out too.
		renamed := pick(t, []string{"sea"})
		renamed.Stories[1].Text = x.train.Stories[0].Text
		_, err = Identify(t.Context(), x.runner, x.v, x.train, renamed, IdentifyOptions{})
		require.ErrorIs(t, err, ErrInSample)
	})

	t.Run("short stories", func(t *testing.T) {
		short := pick(t, trialHeldOut)
		short.Stories[0].Text = "He smiled."
		r := x.identify(t, short, IdentifyOptions{})
		require.Equal(t, 11, r.N)
		require.Equal(t, 1, r.Dropped)
		for i := range short.Stories {
			short.Stories[i].Text = "He smiled."
		}
		_, err := Identify(t.Context(), x.runner, x.v, x.train, short, IdentifyOptions{})
		require.ErrorContains(t, err, "none of the 12 test stories has the 50 tokens")
	})

	t.Run("refusals", func(t *testing.T) {
		fails := func(want string, v *probe.Vectors, train, test *emotion.Corpus, o IdentifyOptions) {
			t.Helper()
			_, err := Identify(t.Context(), x.runner, v, train, test, o)
			require.ErrorContains(t, err, want)
		}
		fails("built from another corpus", x.v, x.test, x.test, IdentifyOptions{})
		fails(`unknown center "mean" (known: grand, neutral, set)`, x.v, x.train, x.test, IdentifyOptions{Center: "mean"})
		fails("no test stories", x.v, x.train, &emotion.Corpus{}, IdentifyOptions{})
		fails("none may be negative", x.v, x.train, x.test, IdentifyOptions{Ridge: -1})
		fails("no site resid_mid:1", x.v, x.train, x.test, IdentifyOptions{Site: &llama.Site{Point: llama.ResidMid, Block: 1}})

		foreign := *x.v
		foreign.Provenance.ModelSHA256 = "0123"
		fails("model_sha256", &foreign, x.train, x.test, IdentifyOptions{})
		foreign = *x.v
		foreign.Provenance.Precision = "fast"
		fails(`precision "fast"`, &foreign, x.train, x.test, IdentifyOptions{})
		foreign = *x.v
		foreign.Provenance.MeansSHA256 = "0123"
		fails("written with other vectors", &foreign, x.train, x.test, IdentifyOptions{Sidecar: x.sidecar})
		fails("no such file", x.v, x.train, x.test, IdentifyOptions{Sidecar: filepath.Join(t.TempDir(), "none")})

		strange := pick(t, trialHeldOut)
		strange.Stories[3].Emotion = "weltschmerz"
		fails("weltschmerz", x.v, x.train, strange, IdentifyOptions{})

		// Means that are not those of the vectors.
		bent := *x.v
		bent.Sites = slices.Clone(x.v.Sites)
		forms := map[probe.Form][]float32{}
		for f, m := range bent.Sites[2].ByForm {
			forms[f] = slices.Clone(m)
		}
		forms[probe.RawMean][0]++
		bent.Sites[2].ByForm = forms
		fails("not those that the vectors were built from", &bent, x.train, x.test, IdentifyOptions{})

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Identify(ctx, x.runner, x.v, x.train, x.test, IdentifyOptions{})
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("without neutral texts", func(t *testing.T) {
		bare := *x.train
		bare.Neutral = nil
		out := filepath.Join(t.TempDir(), "v")
		built, err := probe.Build(t.Context(), x.runner, &bare, probe.BuildOptions{Excluded: trialHeldOut, Journal: out})
		require.NoError(t, err)
		r, err := Identify(t.Context(), x.runner, built.Vectors, &bare, x.test, IdentifyOptions{})
		require.NoError(t, err)
		require.Equal(t, r.Readouts[ReadCenteredGrand], r.Readouts[ReadCentered])
		require.Contains(t, r.Definitions[ReadCentered], "for want of neutral texts")
		_, err = Identify(t.Context(), x.runner, built.Vectors, &bare, x.test, IdentifyOptions{Center: CenterNeutral})
		require.ErrorContains(t, err, "no neutral mean")
	})

	t.Run("token embeddings as the site", func(t *testing.T) {
		// Then model and baseline are the same, which makes the recipes of
		// Build and of the baseline each other's test.
		out := filepath.Join(t.TempDir(), "v")
		built, err := probe.Build(t.Context(), x.runner, x.train, probe.BuildOptions{Sites: []llama.Site{embeddings}, Excluded: trialHeldOut, Journal: out})
		require.NoError(t, err)
		r, err := Identify(t.Context(), x.runner, built.Vectors, x.train, x.test, IdentifyOptions{})
		require.NoError(t, err)
		require.Equal(t, r.Readouts, r.Baselines[BaseEmbeddings].Readouts)
		require.Equal(t, got.Baselines, r.Baselines)
	})
}

func abs(x float64) float64 { return max(x, -x) }

func toJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// trainedModel is a runner of a small trained model, where the shared test
// material lies beside the checkout.
func trainedModel(t *testing.T) *llama.Runner {
	t.Helper()
	path := filepath.Join("..", "..", "shared", "models", "stories260K-f32.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no shared test material: %v", err)
	}
	if testing.Short() {
		t.Skip("takes a minute")
	}
	m, err := llama.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	r, err := m.NewRunner(llama.RunnerOptions{})
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// TestTrainedModel runs the whole experiment on a small trained model, where
// the shared test material lies beside the checkout.
func TestTrainedModel(t *testing.T) {
	r := trainedModel(t)

	held := []string{"cafe", "court", "hotel", "night", "interview", "machine"}
	base := emotion.Embedded()
	train, err := base.Select(emotion.Filter{ExcludeTopics: held})
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "v.safetensors")
	built, err := probe.Build(t.Context(), r, train, probe.BuildOptions{
		Sites: []llama.Site{llama.DefaultSite(r.Model().Config().Blocks)}, Excluded: held, Out: out, Journal: out + ".journal",
	})
	require.NoError(t, err)

	again, err := TrainingCorpus(built.Vectors, base)
	require.NoError(t, err)
	test, err := HeldOutCorpus(built.Vectors, base, nil)
	require.NoError(t, err)
	got, err := Identify(t.Context(), r, built.Vectors, again, test, IdentifyOptions{Sidecar: probe.SidecarPath(out)})
	require.NoError(t, err)

	var b strings.Builder
	require.NoError(t, got.WriteTable(&b))
	t.Log("\n" + b.String())
	require.Equal(t, 1026, got.N)
	require.Equal(t, 171, got.Emotions)
	// The words alone find the emotion about as often as the corpus's own
	// documentation says.
	require.InDelta(t, 0.17, got.Baselines[BaseTFIDF].Top1, 0.02)
	require.InDelta(t, 0.41, got.Baselines[BaseTFIDF].Top5, 0.03)
	// Even a model of 260,000 parameters knows more than chance, and more than
	// its embeddings; a neutral mean as the center would hide it.
	require.Less(t, got.P.Top5, 0.005)
	require.Greater(t, got.Top5, 0.2)
	require.Greater(t, got.Top1, 2*got.Readouts[ReadCentered].Top1)
	require.Greater(t, got.Paired[ReadCenteredGrand][BaseEmbeddings].Top5, 0.0)
}

// Known story means give what reading the stories again gives.
func TestIdentifyKnown(t *testing.T) {
	x := newTrial(t)
	want := x.identify(t, x.test, IdentifyOptions{Permutations: 20, Bootstrap: 20})

	all, err := emotion.Embedded().Select(emotion.Filter{Emotions: trialEmotions, Topics: slices.Concat(trialTopics, trialHeldOut)})
	require.NoError(t, err)
	cut := map[[2]string]string{}
	for _, c := range []*emotion.Corpus{x.train, x.test} {
		for _, s := range c.Stories {
			cut[[2]string{s.Emotion, s.Topic}] = s.Text
		}
	}
	for i := range all.Stories {
		s := &all.Stories[i]
		s.Text = cut[[2]string{s.Emotion, s.Topic}]
	}
	all.Neutral = nil
	out := filepath.Join(t.TempDir(), "all.safetensors")
	_, err = probe.Build(t.Context(), x.runner, all, probe.BuildOptions{Out: out})
	require.NoError(t, err)
	known, err := probe.LoadStories(probe.SidecarPath(out))
	require.NoError(t, err)

	o := IdentifyOptions{Sidecar: "none", Known: known, KnownCorpus: all, Permutations: 20, Bootstrap: 20}
	read := map[string]int{}
	o.Progress = func(stage string, done, _ int) { read[stage] = done }
	got := x.identify(t, x.test, o)
	require.Equal(t, "sidecar", got.TrainMeans)
	require.JSONEq(t, toJSON(t, want), toJSON(t, got))

	known.Means[0]++
	_, err = Identify(t.Context(), x.runner, x.v, x.train, x.test, IdentifyOptions{Known: known, KnownCorpus: all})
	require.ErrorContains(t, err, "are not those that the vectors were built from", "known means are used")
	_, err = Identify(t.Context(), x.runner, x.v, x.train, x.test, IdentifyOptions{Known: known, KnownCorpus: x.test})
	require.ErrorIs(t, err, ErrCorpus)
	known.Provenance.From++
	_, err = Identify(t.Context(), x.runner, x.v, x.train, x.test, IdentifyOptions{Known: known, KnownCorpus: all})
	require.ErrorContains(t, err, "from is 51")
}
