package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
)

const testModel = "../testdata/models/tiny-f32.gguf"

func openModel(t testing.TB) *llama.Model {
	t.Helper()
	m, err := llama.Open(testModel)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func newRunner(t testing.TB, m *llama.Model, o llama.RunnerOptions) *llama.Runner {
	t.Helper()
	r, err := m.NewRunner(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// smallCorpus is a slice of the embedded corpus: few emotions from different
// hands, few topics from both halves, a few texts of each kind, shortened so
// that plain Go gets through them in a second or two.
func smallCorpus(t testing.TB) *emotion.Corpus {
	t.Helper()
	c, err := emotion.Embedded().Select(emotion.Filter{
		Emotions: []string{"afraid", "calm", "jealous", "sad"},
		Topics:   []string{"school", "cafe"},
	})
	require.NoError(t, err)
	short := *c
	short.Stories = slices.Clone(c.Stories)
	for i := range short.Stories {
		short.Stories[i].Text = short.Stories[i].Text[:200]
	}
	short.Neutral = slices.Clone(c.Neutral[3:7])
	for i := range short.Neutral {
		short.Neutral[i].Text = short.Neutral[i].Text[:200]
	}
	return &short
}

func build(t testing.TB, r *llama.Runner, c *emotion.Corpus, o BuildOptions) *Result {
	t.Helper()
	if o.Journal == "" {
		o.Journal = filepath.Join(t.TempDir(), "journal")
	}
	res, err := Build(context.Background(), r, c, o)
	require.NoError(t, err)
	require.NoFileExists(t, o.Journal)
	return res
}

// goldenMeans is the hash of smallCorpus's raw means under testModel, on every
// processor and architecture.
const goldenMeans = "6cdd1669c279a355bd887ddc0295eac5d2fc2f4bd3fabfee3875586685b59c57"

// Raw means do not depend on kernels, threads or batches.
func TestGoldenMeans(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	want := build(t, newRunner(t, m, llama.RunnerOptions{Threads: 1}), c, BuildOptions{}).Vectors.Provenance.MeansSHA256
	require.Equal(t, goldenMeans, want)
	if testing.Short() {
		return
	}
	for _, o := range []llama.RunnerOptions{{Threads: 2}, {Threads: 3, BatchTokens: 100}} {
		got := build(t, newRunner(t, m, o), c, BuildOptions{}).Vectors.Provenance.MeansSHA256
		require.Equal(t, want, got, "%+v", o)
	}
	if asm.Best() > asm.Generic {
		restore, err := asm.Use(asm.Generic)
		require.NoError(t, err)
		defer restore()
		got := build(t, newRunner(t, m, llama.RunnerOptions{}), c, BuildOptions{}).Vectors.Provenance.MeansSHA256
		require.Equal(t, want, got)
	}
}

// An interrupted build goes on, wherever it stopped, and ends with the same
// bytes.
func TestBuildResumes(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.safetensors")
	build(t, r, c, BuildOptions{Out: whole})
	want := fileBytes(t, whole)
	wantStories := fileBytes(t, SidecarPath(whole))

	// Cancelled after the first batch.
	journal, out := filepath.Join(dir, "journal"), filepath.Join(dir, "out.safetensors")
	ctx, cancel := context.WithCancel(context.Background())
	o := BuildOptions{Journal: journal, Out: out, Progress: func(done, total int) {
		if done > 0 {
			cancel()
		}
	}}
	_, err := Build(ctx, r, c, o)
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, out)
	partial := fileBytes(t, journal)

	o.Progress = nil
	for name, content := range map[string][]byte{
		"as it was left":          partial,
		"cut within a record":     partial[:len(partial)-100],
		"a flipped bit":           flip(partial, len(partial)-100),
		"nothing but the line":    partial[:bytesToLine(partial)],
		"cut within the line":     partial[:20],
		"empty":                   nil,
		"garbage after a record":  append(slices.Clone(partial), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
		"the last record repeats": append(slices.Clone(partial), lastRecord(t, partial)...),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(journal, content, 0o666))
			res, err := Build(context.Background(), r, c, o)
			require.NoError(t, err)
			if name == "as it was left" {
				require.Equal(t, len(c.Stories), res.Report.Resumed)
			}
			require.Equal(t, want, fileBytes(t, out))
			require.Equal(t, wantStories, fileBytes(t, SidecarPath(out)))
			require.NoFileExists(t, journal)
		})
	}

	// Whoever waits hears at once where a build goes on.
	require.NoError(t, os.WriteFile(journal, partial, 0o666))
	var heard []int
	o.Progress = func(done, total int) { heard = append(heard, done, total) }
	_, err = Build(context.Background(), r, c, o)
	require.NoError(t, err)
	require.Equal(t, []int{8, 12, 12, 12}, heard)
	o.Progress = nil

	// Other settings are another build.
	require.NoError(t, os.WriteFile(journal, partial, 0o666))
	o.From = 20
	_, err = Build(context.Background(), r, c, o)
	require.ErrorContains(t, err, "unfinished build of something else")
	require.Equal(t, partial, fileBytes(t, journal), "it must not be touched")
}

// A build that did nothing leaves nothing behind, and one without a journal
// leaves nothing behind in any case.
func TestBuildJournalsThatDoNotStay(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	journal := filepath.Join(t.TempDir(), "journal")
	// The hash of the model file is known: otherwise the build ends before.
	_, err := m.SHA256(context.Background())
	require.NoError(t, err)
	_, err = Build(ended, r, c, BuildOptions{Journal: journal})
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, journal)

	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	seen := 0
	look := func(int, int) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		seen += len(entries)
	}
	res, err := Build(context.Background(), r, c, BuildOptions{Progress: look})
	require.NoError(t, err)
	require.Equal(t, goldenMeans, res.Vectors.Provenance.MeansSHA256)
	require.Equal(t, 3, seen, "there is a file at the start and after each of the two batches")
	ctx, cancel := context.WithCancel(context.Background())
	_, err = Build(ctx, r, c, BuildOptions{Progress: func(int, int) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// Two processes that run the same build don't harm each other.
func TestBuildTwiceAtOnce(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	other := newRunner(t, m, llama.RunnerOptions{Threads: 1})
	o := BuildOptions{Journal: filepath.Join(t.TempDir(), "journal")}
	twice := o
	second := ""
	twice.Progress = func(done, total int) {
		if done == 8 {
			res, err := Build(context.Background(), other, c, o)
			require.NoError(t, err)
			require.Equal(t, 8, res.Report.Resumed)
			second = res.Vectors.Provenance.MeansSHA256
		}
	}
	res, err := Build(context.Background(), r, c, twice)
	require.NoError(t, err)
	require.Equal(t, goldenMeans, res.Vectors.Provenance.MeansSHA256)
	require.Equal(t, goldenMeans, second)
	require.NoFileExists(t, o.Journal)
}

// The order in which sites are named doesn't matter, nor does naming one twice.
func TestBuildOrdersSites(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	site := func(p llama.Point, b int) llama.Site { return llama.Site{Point: p, Block: b} }
	dir := t.TempDir()
	var files [2]string
	for i, sites := range [][]llama.Site{
		{site(llama.AttnOut, 0), site(llama.ResidPost, 0), site(llama.ResidPre, 1), site(llama.FinalNorm, 0)},
		{site(llama.FinalNorm, 0), site(llama.ResidPre, 1), site(llama.ResidPost, 0), site(llama.AttnOut, 0), site(llama.ResidPre, 1)},
	} {
		files[i] = filepath.Join(dir, fmt.Sprint(i))
		v := build(t, r, c, BuildOptions{Sites: sites, Out: files[i]}).Vectors
		require.Equal(t, []string{"attn_out:0", "resid_post:0", "resid_pre:1", "final_norm"}, v.SiteNames())
	}
	require.Equal(t, fileBytes(t, files[0]), fileBytes(t, files[1]))
}

// The report holds both forms side by side.
func TestReport(t *testing.T) {
	s := SiteVectors{
		Grand: make([]float32, 2), Basis: []float32{1, 0}, Shares: []float64{0.6, 0.4}, Norm: Calibration{Mean: 10},
		ByForm: map[Form][]float32{
			Contrast: {3, 4, -3, -4}, Denoised: {0, 4, 0, -4},
			PlainContrast: {0, 2, 0, 0}, PlainDenoised: {0, 2, 0, 0},
		},
	}
	r := s.Report()
	require.Equal(t, 1, r.Components)
	require.Equal(t, 0.6, r.Share)
	require.InDelta(t, 0.2, r.Removed, 1e-15)
	require.Zero(t, r.RemovedPlain)
	require.InDelta(t, 0.5, r.ContrastNorm, 1e-15)
	require.InDelta(t, 0.1, r.ContrastNormPlain, 1e-15)
	require.InDelta(t, 0.4, r.Hands, 1e-15)
	require.Zero(t, r.HandsMin, "a vector of length 0")
}

func fileBytes(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x10
	return b
}

func bytesToLine(b []byte) int { return slices.Index(b, '\n') + 1 }

func lastRecord(t testing.TB, b []byte) []byte {
	t.Helper()
	at := bytesToLine(b)
	for {
		n := 8 + int(uint32(b[at])|uint32(b[at+1])<<8|uint32(b[at+2])<<16)
		if at+n == len(b) {
			return b[at:]
		}
		at += n
	}
}

// The pooled means are those of a plain computation: each text alone, every
// position captured, float64 sums.
func TestBuildPoolsWhatItSays(t *testing.T) {
	m, c := openModel(t), smallCorpus(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	const from = 30
	site := llama.Site{Point: llama.ResidPost, Block: 1}
	res := build(t, r, c, BuildOptions{From: from, Sites: []llama.Site{{Point: llama.ResidPost, Block: 0}, site}})
	v := res.Vectors
	width := v.Width
	sv, err := v.At(site)
	require.NoError(t, err)

	states := func(text string) (rows [][]float32) {
		s := r.NewSequence()
		defer s.Close()
		require.NoError(t, r.Forward(context.Background(), &llama.Pass{
			Spans: []llama.Span{{Seq: s, Tokens: Encode(m, text).Tokens}},
			Hooks: []*llama.Hook{{Name: "all", Sites: []llama.Site{site}, Func: func(v *llama.View) error {
				for i := range v.Rows {
					rows = append(rows, slices.Clone(v.At(i)))
				}
				return nil
			}}},
		}))
		return rows
	}
	means := make([][]float64, len(v.Emotions))
	for e := range means {
		means[e] = make([]float64, width)
	}
	for _, s := range c.Stories {
		e, err := v.Index(s.Emotion)
		require.NoError(t, err)
		rows := states(s.Text)
		// Row 0 is BOS, so that token number n is row n.
		for _, row := range rows[from:] {
			for i, x := range row {
				means[e][i] += float64(x) / float64(len(rows)-from) / 2
			}
		}
	}
	for e := range means {
		for i, want := range means[e] {
			require.InDelta(t, want, float64(sv.ByForm[RawMean][e*width+i]), 1e-5)
		}
	}
	var norms []float64
	neutral := make([]float64, width)
	for _, n := range c.Neutral {
		rows := states(n.Text)
		for _, row := range rows[1:] {
			norms = append(norms, norm64(row))
		}
		for _, row := range rows[from:] {
			for i, x := range row {
				neutral[i] += float64(x) / float64(len(rows)-from) / float64(len(c.Neutral))
			}
		}
	}
	slices.Sort(norms)
	require.Equal(t, len(norms), sv.Norm.N)
	sum := 0.0
	for _, n := range norms {
		sum += n
	}
	require.InEpsilon(t, sum/float64(len(norms)), sv.Norm.Mean, 1e-6)
	require.InEpsilon(t, norms[(len(norms)-1)/2], sv.Norm.Median, 1e-4)
	require.InEpsilon(t, norms[int(math.Ceil(0.99*float64(len(norms))))-1], sv.Norm.P99, 1e-4)
	for i, want := range neutral {
		require.InDelta(t, want, float64(sv.NeutralMean[FormatRaw][i]), 1e-5)
	}
	require.Equal(t, 8, v.Provenance.Stories)
	require.Equal(t, len(c.Neutral), v.Provenance.Texts)
	require.Equal(t, []int{2, 2, 2, 2}, v.Counts)
}

func TestBuildDropsAndCuts(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	c := smallCorpus(t)
	_, err := Build(context.Background(), r, c, BuildOptions{From: 400, Journal: filepath.Join(t.TempDir(), "j")})
	require.ErrorContains(t, err, `no story of "afraid" has 400 tokens or more`)

	// One story becomes too short, another too long for the context.
	short := *c
	short.Stories = slices.Clone(c.Stories)
	short.Stories[0].Text = "Too short."
	long := ""
	for range 5 {
		long += emotion.Embedded().Stories[1].Text
	}
	short.Stories[1].Text = long
	v := build(t, r, &short, BuildOptions{Sites: []llama.Site{{Point: llama.ResidPost, Block: 0}}}).Vectors
	require.Equal(t, 1, v.Provenance.Dropped)
	require.Equal(t, 1, v.Provenance.Cut)
	require.Equal(t, 7, v.Provenance.Stories)
	require.Equal(t, []int{1, 2, 2, 2}, v.Counts)
}

func TestBuildErrors(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	c := smallCorpus(t)
	for want, o := range map[string]BuildOptions{
		"tokens count from 1":              {From: -1},
		"want dialogues, passages or both": {Neutral: "none"},
		"no site resid_post:3":             {Sites: []llama.Site{{Point: llama.ResidPost, Block: 3}}},
		"is above 1":                       {Threshold: 1.5},
	} {
		o.Journal = filepath.Join(t.TempDir(), "j")
		_, err := Build(context.Background(), r, c, o)
		require.ErrorContains(t, err, want)
	}
	_, err := Build(context.Background(), r, &emotion.Corpus{}, BuildOptions{Journal: "j"})
	require.ErrorContains(t, err, "no stories")
	_, err = Build(context.Background(), r, c, BuildOptions{Journal: filepath.Join(t.TempDir(), "no", "j")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSaveAndLoad(t *testing.T) {
	m := openModel(t)
	res := build(t, newRunner(t, m, llama.RunnerOptions{}), smallCorpus(t), BuildOptions{})
	path := filepath.Join(t.TempDir(), "v.safetensors")
	require.NoError(t, res.Vectors.Save(path))
	got, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, res.Vectors, got)

	again := filepath.Join(t.TempDir(), "v.safetensors")
	require.NoError(t, got.Save(again))
	require.Equal(t, fileBytes(t, path), fileBytes(t, again))

	sum, err := m.SHA256(context.Background())
	require.NoError(t, err)
	require.NoError(t, got.CheckModel(sum, m.Tokenizer().Hash(), m.Config().Width))
	require.ErrorContains(t, got.CheckModel("00", m.Tokenizer().Hash(), m.Config().Width), "model_sha256")
	require.ErrorContains(t, got.CheckModel(sum, "00", m.Config().Width), "tokenizer_sha256")
	require.ErrorContains(t, got.CheckModel(sum, "00", 7), "width 32, the model 7")

	// Damaged files name the file.
	whole := fileBytes(t, path)
	for _, n := range []int{0, 5, 100, len(whole) / 2, len(whole) - 1} {
		require.NoError(t, os.WriteFile(again, whole[:n], 0o666))
		_, err := Load(again)
		require.ErrorContains(t, err, again, "%d bytes", n)
	}
	bad := *res.Vectors
	bad.Sites = slices.Clone(bad.Sites)
	bad.Sites[1].Grand = slices.Clone(bad.Sites[1].Grand)
	bad.Sites[1].Grand[3] = float32(math.NaN())
	require.NoError(t, bad.Save(again))
	_, err = Load(again)
	require.ErrorContains(t, err, `tensor "resid_post.1/grand_mean": element 3 is NaN`)
}

func TestJournalOfTheWrongFile(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	path := filepath.Join(t.TempDir(), "precious.txt")
	require.NoError(t, os.WriteFile(path, []byte("someone's notes\n"), 0o666))
	_, err := Build(context.Background(), r, smallCorpus(t), BuildOptions{Journal: path})
	require.ErrorContains(t, err, path)
	require.Equal(t, "someone's notes\n", string(fileBytes(t, path)))
}

func TestCaptureErrors(t *testing.T) {
	r := newRunner(t, openModel(t), llama.RunnerOptions{})
	_, err := NewCapturer(r, nil, 50, false)
	require.ErrorContains(t, err, "no sites")
	_, err = NewCapturer(r, []llama.Site{{Point: llama.ResidPost}}, 0, false)
	require.ErrorContains(t, err, "tokens count from 1")
	_, err = NewCapturer(r, []llama.Site{{Point: llama.ResidPost}, {Point: llama.ResidPost}}, 1, false)
	require.ErrorContains(t, err, "resid_post:0 is given twice")
	c, err := NewCapturer(r, []llama.Site{{Point: llama.ResidPost}}, 1, false)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Capture(ctx, []Text{Encode(r.Model(), "Hello")})
	require.True(t, errors.Is(err, context.Canceled))
}

// A hand that wrote few of the emotions says more about them than about itself.
func TestCentringHands(t *testing.T) {
	all := emotion.Embedded()
	require.Equal(t, all.Writers(), CentringHands(all))
	few, err := all.Select(emotion.Filter{Emotions: emotion.Canonical12()})
	require.NoError(t, err)
	require.Empty(t, CentringHands(few))

	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	v := build(t, r, smallCorpus(t), BuildOptions{}).Vectors
	require.False(t, v.Provenance.Hands)
	for _, s := range v.Sites {
		require.Equal(t, s.ByForm[PlainContrast], s.ByForm[Contrast])
	}
	// Stories of unknown writers are one hand more.
	anonymous := *all
	anonymous.Stories = slices.Clone(all.Stories)
	anonymous.Stories[0].Writer = ""
	require.Empty(t, CentringHands(&anonymous))
	require.Empty(t, CentringHands(&emotion.Corpus{}))
	// One topic: every hand has its full block of emotions.
	half, err := all.Select(emotion.Filter{Topics: []string{"sea"}})
	require.NoError(t, err)
	half.Neutral = half.Neutral[:2]
	require.NotEmpty(t, CentringHands(half))
}

// A neutral text of one token has no norms: position 0 is left out.
func TestBuildWithATextOfOneToken(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{})
	c := smallCorpus(t)
	c.Neutral[0].Text = ""
	v := build(t, r, c, BuildOptions{}).Vectors
	require.Equal(t, len(c.Neutral)-1, v.Provenance.Texts)
}

// Position 50 of a story is its 50th token, whatever else is in the batch.
func TestPoolingCountsRealPositions(t *testing.T) {
	m := openModel(t)
	r := newRunner(t, m, llama.RunnerOptions{BatchTokens: 16})
	for _, tokens := range []int{49, 50, 51, 80} {
		text := Encode(m, emotion.Embedded().Stories[0].Text)
		text.Tokens = text.Tokens[:tokens+text.Skip]
		c, err := NewCapturer(r, []llama.Site{{Point: llama.ResidPost}}, 50, true)
		require.NoError(t, err)
		company := Encode(m, "Quite another text, of another length.")
		got, err := c.Capture(context.Background(), []Text{company, text, company})
		require.NoError(t, err)
		require.Equal(t, max(0, tokens-49), got[1].Positions)
		require.Equal(t, tokens, got[1].Tokens)
		require.Len(t, got[1].Norms[0], tokens) // all but BOS
		require.Zero(t, got[0].Positions)
		require.Nil(t, got[0].Means)
	}
}

func ExampleBuild() {
	m, err := llama.Open(testModel)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	r, err := m.NewRunner(llama.RunnerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	corpus, err := emotion.Embedded().Select(emotion.Filter{Emotions: []string{"afraid", "calm"}, Topics: []string{"sea"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	res, err := Build(context.Background(), r, corpus, BuildOptions{Journal: filepath.Join(dir, "vectors.part")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Vectors.Emotions, res.Vectors.SiteNames(), res.Vectors.DefaultSite())
	// Output: [afraid calm] [resid_post:0 resid_post:1 resid_post:2] resid_post:2
}
