package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
	"github.com/limbic-go/limbic/tensor/npy"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

// TestExampleVectors checks that the vectors file of examples and tests is what
// its recipe gives.
func TestExampleVectors(t *testing.T) {
	slowInPlainGo(t)
	m, err := llama.Open(exampleModel)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	r, err := m.NewRunner(llama.RunnerOptions{Precision: llama.Probe}) // the default of commands
	require.NoError(t, err)
	defer r.Close()
	c, err := emotion.Embedded().Select(emotion.Filter{
		Emotions: []string{"at ease", "calm", "desperate", "happy"}, Topics: []string{"school", "kitchen", "office"},
	})
	require.NoError(t, err)
	res, err := probe.Build(t.Context(), r, c, probe.BuildOptions{Journal: filepath.Join(t.TempDir(), "j")})
	require.NoError(t, err)
	if *update {
		require.NoError(t, res.Vectors.Save(exampleVectors))
	}
	v, err := probe.Load(exampleVectors)
	require.NoError(t, err)
	require.Equal(t, res.Vectors.Provenance.MeansSHA256, v.Provenance.MeansSHA256)
	require.Equal(t, res.Vectors.Emotions, v.Emotions)
	require.Equal(t, res.Vectors.SiteNames(), v.SiteNames())
}

func loadExampleVectors(t *testing.T) *probe.Vectors {
	v, err := probe.Load(exampleVectors)
	require.NoError(t, err)
	return v
}

const steerText = "Once upon a time there was a little girl"

func TestSteer(t *testing.T) {
	args := []string{"steer", testModel, steerText, "--vector", exampleVectors + ":at-ease", "--max-tokens", "12", "--kl-tokens", "9", "--ignore-eos"}
	with := func(more ...string) []string { return slices.Concat(args, more) }
	fields(t, ok(t, with("--json")...), "rows", "prompt_tokens", "scope", "form", "units")
	r := okJSON[steerResult](t, with("--strengths", "-0.8,0,0.8", "--random", "2", "--seed", "3")...)
	ran(t, r.Provenance)
	assert.Equal(t, uint64(3), r.Provenance.Seed)
	assert.Equal(t, []siteNote{{"resid_post:1", "output of block 1 of 2 (counted from 0)"}}, r.Provenance.Sites)
	v := loadExampleVectors(t)
	sum, err := probe.FileSHA256(exampleVectors)
	require.NoError(t, err)
	assert.Equal(t, []vectorsNote{{exampleVectors, sum, v.Provenance.MeansSHA256, 4}}, r.Provenance.Vectors)
	for _, name := range []string{"kl", "strength", "scope", "steering", "random", "sampling"} {
		assert.Contains(t, r.Provenance.Definitions, name)
	}
	assert.Equal(t, []steerUnit{{"resid_post:1", v.Sites[1].Norm}}, r.Units)
	assert.Equal(t, okJSON[logitsResult](t, "logits", testModel, steerText).Tokens, r.PromptTokens)
	assert.False(t, r.Interrupted)

	var names []string
	for _, row := range r.Rows {
		names = append(names, fmt.Sprintf("%s %v", row.Name, row.Strength))
		assert.Equal(t, strings.HasPrefix(row.Name, "random"), row.Control)
		assert.Len(t, row.Tokens, 12)
		assert.Equal(t, 9, row.KLTokens)
		assert.Equal(t, row.Strength == 0, row.KL == 0)
		require.Len(t, row.Receipt.Edits, 1)
		e := row.Receipt.Edits[0]
		assert.Equal(t, len(r.PromptTokens)-1+11, e.Edits)
		assert.InDelta(t, abs(row.Strength)*v.Sites[1].Norm.Mean, e.Absolute, 1e-4)
	}
	assert.Equal(t, []string{"at ease -0.8", "at ease 0", "at ease 0.8", "random-1 -0.8", "random-1 0.8", "random-2 -0.8", "random-2 0.8"}, names)
	assert.NotEqual(t, r.Rows[0].Tokens, r.Rows[1].Tokens)
	assert.NotEqual(t, r.Rows[1].Tokens, r.Rows[2].Tokens)

	// Rows are what generate gives.
	plain := okJSON[generateResult](t, "generate", testModel, steerText, "--max-tokens", "12", "--ignore-eos")
	assert.Equal(t, plain.Tokens, r.Rows[1].Tokens)
	assert.Equal(t, plain.Text, r.Rows[1].Text)
	assert.Equal(t, plain.TextBase64, r.Rows[1].TextBase64)
	steered := okJSON[generateResult](t, "generate", testModel, steerText, "--max-tokens", "12", "--ignore-eos", "--steer", exampleVectors+":at ease=-0.8")
	assert.Equal(t, steered.Tokens, r.Rows[0].Tokens)
	assert.Equal(t, steered.Receipt, r.Rows[0].Receipt)

	// The form of the vector, and the seed of the directions, matter.
	form := okJSON[steerResult](t, with("--strengths", "0.8", "--form", "contrast")...)
	assert.Equal(t, probe.Contrast, form.Rows[0].Receipt.Edits[0].Form)
	assert.NotEqual(t, r.Rows[2].KL, form.Rows[0].KL)
	seed := okJSON[steerResult](t, with("--strengths", "0.8", "--random", "1", "--seed", "4")...)
	assert.Equal(t, r.Rows[2].KL, seed.Rows[0].KL)
	assert.NotEqual(t, r.Rows[4].KL, seed.Rows[1].KL)
}

func abs(x float64) float64 { return max(x, -x) }

func TestSteerFlags(t *testing.T) {
	v := exampleVectors + ":calm"
	rows := func(args ...string) []steerRow {
		t.Helper()
		return okJSON[steerResult](t, append([]string{"steer", "--max-tokens", "3", "--kl-tokens", "3"}, args...)...).Rows
	}
	want := rows(testModel, steerText, "--vector", v)
	require.Len(t, want, 3)
	assert.Equal(t, -0.1, want[0].Strength)
	assert.Equal(t, 0.1, want[2].Strength)
	assert.Equal(t, want, rows("--vector", v, testModel, "--strengths", "-0.1,0,0.1", steerText))
	assert.Equal(t, want[:1], rows("--vector="+v, testModel, steerText, "--strengths=-0.1"))
	assert.Equal(t, want, rows(testModel, steerText, "--vector", `"`+exampleVectors+`":Calm`, "--strengths", " -1e-1, -0 ,+.1"))

	// Here seed 99 draws the end token third.
	drawn := []string{testModel, steerText, "--vector", v, "--strengths", "0", "--max-tokens", "9", "--temp", "50", "--seed", "99"}
	assert.Len(t, rows(drawn...)[0].Tokens, 3)
	assert.Len(t, rows(append(drawn, "--ignore-eos")...)[0].Tokens, 9)

	generated := rows(testModel, steerText, "--vector", v, "--scope", "generated", "--sites", "l_out-0", "--strengths", "0.5")
	e := generated[0].Receipt.Edits[0]
	assert.Equal(t, 3, e.Edits)
	assert.Equal(t, "resid_post:0", e.Site)
	assert.Equal(t, exampleVectors+":calm=+0.5@resid_post:0#generated", e.Plan)

	r := limbic("steer", testModel, steerText, "--vector", v, "--sites", "resid_post:all", "--strengths", "0,0.5,1", "--max-tokens", "2", "--kl-tokens", "2")
	require.Equal(t, exitDone, r.status, r.stderr)
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	assert.Contains(t, r.stderr, "warning: plan")
	assert.Contains(t, r.stderr, "the effects compound")
	assert.Regexp(t, `calm \+0\.5   KL \d\.\d{4} nats/token, norm [-+]\d+\.\d %, [-+]\d+\.\d %`, r.stdout)
}

func TestSteerForPeople(t *testing.T) {
	out := ok(t, "steer", testModel, steerText, "--vector", exampleVectors+":calm", "--random", "1", "--max-tokens", "6")
	for _, part := range []string{
		"calm of " + exampleVectors, "output of block 1 of 2 (counted from 0), where strength 1 is", "median",
		"\ncalm -0.1   KL ", "\nno steering   KL 0.0000 nats/token, norm +0.0 %\n", "\ncalm +0.1   KL ",
		"\ncontrols: random directions of the same length\n\n[control] random-1 -0.1   KL ", "[control] random-1 +0.1",
	} {
		assert.Contains(t, out, part)
	}
	assert.NotContains(t, out, "no controls")
	r := okJSON[steerResult](t, "steer", testModel, steerText, "--vector", exampleVectors+":calm", "--strengths", "0", "--max-tokens", "6")
	if r.Rows[0].TextBase64 == nil {
		assert.Contains(t, out, "norm +0.0 %\n  "+strings.ReplaceAll(strings.TrimRight(r.Rows[0].Text, "\n"), "\n", "\n  ")+"\n")
	}
	assert.Contains(t, ok(t, "steer", testModel, steerText, "--vector", exampleVectors+":calm", "--max-tokens", "1"), "--random 3")
}

func TestSteerUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, parts string }{
		{"steer|m|t", "--vector is missing|VECTORS:NAME"},
		{"steer|m|t|--vector|v", `vector "v"|no colon`},
		{"steer|m|t|--vector|v:", `"v:"|no emotion`},
		{"steer|m|t|--vector|:calm", `":calm"|no vectors file`},
		{"steer|m|t|--vector|v:calm|--strengths|0.1,x", `"x" is not a finite number|--strengths`},
		{"steer|m|t|--vector|v:calm|--strengths|nan", `"nan"|--strengths`},
		{"steer|m|t|--vector|v:calm|--strengths=", `--strengths`},
		{"steer|m|t|--vector|v:calm|--random|-1", "--random -1"},
		{"steer|m|t|--vector|v:calm|--scope|some", `unknown scope "some"|all, prompt, generated`},
		{"steer|m|t|--vector|v:calm|--form|mean", `unknown form "mean"|denoised, contrast`},
		{"steer|m|t|--vector|v:calm|--max-tokens|0", "--max-tokens 0"},
		{"steer|m|t|--vector|v:calm|--kl-tokens|0", "--kl-tokens 0"},
		{"steer|m|t|--vector|v:calm|--temp|-1", "temperature -1"},
		{"steer|m|t|--vector|v:calm|--sites=", "--sites"},
		{"steer|m|--vector|v:calm", "TEXT is missing"},
		{"generate|m|t|--steer|v:calm", `--steer: plan "v:calm"|want VECTORS:NAME=STRENGTH[@SITES][#SCOPE]`},
		{"logits|m|t|--steer|v:calm=strong", `strength "strong" is not a number`},
		{"trace|m|t|--out|f.npz|--steer|v:calm=1#user", `unknown scope "user"`},
		{"perplexity|m|t|--steer|project:v:calm", `"project"|not supported`},
		{"perplexity|m|t|--steer|v:calm=1#generated", `v:calm=+1#generated|nothing is generated`},
		{"generate|m|t|--probe=", "--probe|no vectors file"},
		{"generate|m|t|--probe|v:", `--probe "v:"|no emotion`},
		{"generate|m|t|--probe|v:calm,,happy", `--probe "v:calm,,happy"|empty`},
		{"generate|m|t|--probe|v|--score|best", `--score|"best"|centered`},
		{"generate|m|t|--score|z", "--score needs --probe"},
		{"generate|m|t|--probe-site|2/3", "--probe-site needs --probe"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := limbic(strings.Split(c.args, "|")...)
			r.fails(t, exitUsage, strings.Split(c.parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
}

func TestSteerFailures(t *testing.T) {
	const tiny, other = "testdata/models/tiny-f32.gguf", "testdata/models/quant-q4_0.gguf"
	v := exampleVectors
	out := filepath.Join(t.TempDir(), "t.npz")
	for _, c := range []struct{ args, parts string }{
		{"steer|" + testModel + "|t|--vector|" + v + ":clam", `"clam"|did you mean "calm"`},
		{"steer|" + testModel + "|t|--vector|none.safetensors:calm", "none.safetensors|no such file"},
		{"steer|" + testModel + "|t|--vector|" + testModel + ":calm", testModel},
		{"steer|" + testModel + "|t|--vector|" + v + ":calm|--sites|resid_mid:1", "resid_mid:1|not supported"},
		{"steer|" + testModel + "||--vector|" + v + ":calm|--no-bos", "empty"},
		{"steer|" + testModel + "||--vector|" + v + ":calm|--scope|prompt", "reached nothing|no token in the scope prompt"},
		{"steer|" + tiny + "|t|--vector|" + v + ":calm", v + "|width 256, the model 32"},
		{"steer|" + other + "|t|--vector|" + v + ":calm", v + "|model_sha256 is"},
		{"logits|" + other + "|t|--steer|" + v + ":calm=1", v + "|model_sha256 is"},
		{"generate|" + other + "|t|--probe|" + v, v + "|model_sha256 is"},
		{"generate|" + testModel + "|t|--probe|" + v + ":calm,clam", v + `|"clam"|did you mean "calm"`},
		{"generate|" + testModel + "|t|--probe|" + v + "|--probe-site|resid_mid:0", "no site resid_mid:0|resid_post:1"},
		{"generate|" + testModel + "|t|--steer|" + v + ":clam=1", `"clam"|did you mean "calm"`},
		{"generate|" + testModel + "||--steer|" + v + ":calm=1#prompt", "reached nothing|calm=+1#prompt"},
		{"generate|" + testModel + "|t|--max-tokens|0|--steer|" + v + ":calm=1#generated", "reached nothing|no token in the scope generated"},
		{"generate|" + testModel + "|t|--max-tokens|0|--json|--steer|" + v + ":calm=1#generated", "reached nothing"},
		{"logits|" + testModel + "||--steer|" + v + ":calm=1", "reached nothing|no token in the scope all"},
		{"logits|" + testModel + "||--out|" + out + "|--steer|" + v + ":calm=1", "reached nothing"},
		{"trace|" + testModel + "||--out|" + out + "|--steer|" + v + ":calm=1", "reached nothing"},
		{"trace|" + testModel + "||--no-bos|--out|" + out + "|--steer|" + v + ":calm=1", "reached nothing"},
		{"perplexity|" + testModel + "|" + steerText + "|--context|2|--steer|" + v + ":calm=1", "reached nothing"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := limbic(strings.Split(c.args, "|")...)
			r.fails(t, exitFailed, strings.Split(c.parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
	assert.NoFileExists(t, out)
	for _, args := range [][]string{
		{"steer", testModel, "x", "--vector", v + ":calm"},
		{"generate", testModel, "x", "--steer", v + ":calm=1", "--probe", v, "--json"},
	} {
		var stderr strings.Builder
		status := run(context.Background(), args, strings.NewReader(""), failingWriter{syscall.ENOSPC}, &stderr)
		result{status, "", stderr.String()}.fails(t, exitFailed, "standard output", "no space left")
	}
}

func TestSteerInterrupted(t *testing.T) {
	args := []string{"steer", testModel, steerText, "--vector", exampleVectors + ":calm", "--strengths", "0,0.1,0.2", "--max-tokens", "8", "--kl-tokens", "4", "--ignore-eos"}
	full := okJSON[steerResult](t, args...)
	seen := map[int]bool{}
	for n := int64(0); n < 400 && len(seen) < 3; n++ {
		r := limbicIn(endAfter(n), "", append(args, "--json")...)
		if r.status == exitDone {
			break
		}
		r.fails(t, exitInterrupted, "interrupted")
		if r.stdout == "" {
			seen[0] = true
			continue
		}
		part := decode[steerResult](t, r.stdout)
		assert.True(t, part.Interrupted)
		assert.Equal(t, full.Rows[:len(part.Rows)], part.Rows)
		assert.NotEmpty(t, part.Provenance.ModelSHA256)
		if !seen[len(part.Rows)] {
			seen[len(part.Rows)] = true
			r.fails(t, exitInterrupted, fmt.Sprintf("interrupted after %s", counted(len(part.Rows), "row")))
			human := limbicIn(endAfter(n), "", args...)
			human.fails(t, exitInterrupted, "interrupted after")
			assert.Equal(t, len(part.Rows), strings.Count(human.stdout, "KL 0."))
		}
	}
	assert.Equal(t, map[int]bool{0: true, 1: true, 2: true}, seen)
}

func TestSteeredLogits(t *testing.T) {
	plan := func(p string) string { return exampleVectors + ":calm" + p }
	logits := func(args ...string) logitsResult {
		t.Helper()
		return okJSON[logitsResult](t, append([]string{"logits", testModel, steerText, "--top", "512"}, args...)...)
	}
	plain := logits()
	assert.Nil(t, plain.Receipt)
	assert.Empty(t, plain.Provenance.Vectors)
	n := len(plain.Tokens)
	zero := logits("--steer", plan("=0"))
	assert.Equal(t, plain.Top, zero.Top)
	assert.Equal(t, n-1, zero.Receipt.Edits[0].Edits)
	for p, want := range map[string]struct{ edits, first, last int }{
		"=0.5":                        {n - 1, 1, n - 1},
		"=-0.5@resid_post:0":          {n - 1, 1, n - 1},
		"=0.5#generated":              {1, n - 1, n - 1},
		"=0.5@resid_post:0#generated": {1, n - 1, n - 1},
		"=0.5@resid_post:0#prompt":    {n - 2, 1, n - 2},
	} {
		r := logits("--steer", plan(p))
		assert.NotEqual(t, plain.Top, r.Top, p)
		e := r.Receipt.Edits[0]
		assert.Equal(t, want.edits, e.Edits, p)
		assert.Equal(t, want.first, e.First.Pos, p)
		assert.Equal(t, want.last, e.Last.Pos, p)
		assert.Len(t, r.Provenance.Vectors, 1)
		assert.Len(t, r.Provenance.Steering, 1)
		// The first new token is chosen by the same logits.
		g := okJSON[generateResult](t, "generate", testModel, steerText, "--max-tokens", "1", "--ignore-eos", "--precision", "exact", "--steer", plan(p))
		assert.Equal(t, r.Top[0].ID, g.Tokens[0], p)
		assert.Equal(t, r.Receipt, g.Receipt, p)
	}

	// Plans add up, and steps of a long text do not change them.
	two := logits("--steer", plan("=0.25"), "--steer", plan("=0.25"))
	assert.Len(t, two.Receipt.Edits, 2)
	near(t, logitsOf(logits("--steer", plan("=0.5"))), logitsOf(two), 1e-5)
	long := strings.Repeat("little words ", 150)
	out := filepath.Join(t.TempDir(), "l.npy")
	all := okJSON[logitsResult](t, "logits", testModel, long, "--steer", plan("=0.5@resid_post:0"), "--out", out)
	require.Greater(t, len(all.Tokens), stepTokens)
	last := okJSON[logitsResult](t, "logits", testModel, long, "--steer", plan("=0.5@resid_post:0"))
	assert.Equal(t, all.Top, last.Top)
	assert.Equal(t, all.Receipt, last.Receipt)

	human := ok(t, "logits", testModel, steerText, "--steer", plan("=0.5#generated"))
	assert.Regexp(t, `steered: calm \+0\.5 at the output of block 1 of 2 \(counted from 0\), scope generated: 1 edit at positions \d+ to \d+, added \d+\.\d % of the norm, norm changed by [-+]\d+\.\d %\n$`, human)
}

// logitsOf lists logits by token id.
func logitsOf(r logitsResult) []float32 {
	x := make([]float32, len(r.Top))
	for _, row := range r.Top {
		x[row.ID] = row.Logit
	}
	return x
}

func TestSteeredTrace(t *testing.T) {
	dir := t.TempDir()
	trace := func(site string, args ...string) ([]float32, traceResult) {
		t.Helper()
		out := filepath.Join(dir, "t.npz")
		r := okJSON[traceResult](t, append([]string{"trace", testModel, steerText, "--sites", site, "--out", out}, args...)...)
		z, err := npy.OpenArchive(out)
		require.NoError(t, err)
		defer z.Close()
		a, err := z.Read(r.Sites[0])
		require.NoError(t, err)
		x, err := npy.As[float32](a)
		require.NoError(t, err)
		return x, r
	}
	v := loadExampleVectors(t)
	vector, err := v.Vector(llama.Site{Point: llama.ResidPost, Block: 0}, probe.Denoised, 1)
	require.NoError(t, err)
	unit := probe.Unit(vector)
	scale := float32(0.5 * v.Sites[0].Norm.Mean)
	steerAt0 := []string{"--steer", exampleVectors + ":calm=0.5@resid_post:0"}

	plain, r := trace("resid_post:0")
	assert.Nil(t, r.Receipt)
	n := len(r.Tokens)
	after, r := trace("resid_post:0", steerAt0...)
	assert.Equal(t, n-1, r.Receipt.Edits[0].Edits)
	assert.Equal(t, "after the edits", r.Provenance.Definitions["captures"])
	before, r := trace("resid_post:0", append(steerAt0, "--before-edit")...)
	assert.Equal(t, n-1, r.Receipt.Edits[0].Edits)
	assert.Contains(t, r.Provenance.Definitions["captures"], "before the edits of their own site")
	assert.Equal(t, plain, before)
	assert.Equal(t, plain[:256], after[:256], "position 0 is never edited")
	for i := 256; i < len(after); i++ {
		require.InDelta(t, scale*unit[i%256], after[i]-before[i], 1e-4, "element %d", i)
	}

	// A site behind the edit shows it either way; one before it does not.
	behind, _ := trace("resid_post:1", steerAt0...)
	behindBefore, _ := trace("resid_post:1", append(steerAt0, "--before-edit")...)
	assert.Equal(t, behind, behindBefore)
	plainBehind, _ := trace("resid_post:1")
	assert.NotEqual(t, plainBehind, behind)
	ahead, r := trace("resid_post:0", "--steer", exampleVectors+":calm=0.5@resid_post:1")
	assert.Equal(t, plain, ahead)
	assert.Equal(t, n-1, r.Receipt.Edits[0].Edits)

	// Where the vectors lie does not change the file; what they are does.
	b, err := os.ReadFile(exampleVectors)
	require.NoError(t, err)
	moved := filepath.Join(dir, "a:b=c.safetensors")
	require.NoError(t, os.WriteFile(moved, b, 0o644))
	file := func(plan string) string {
		out := filepath.Join(dir, "f.safetensors")
		human := ok(t, "trace", testModel, steerText, "--out", out, "--steer", plan)
		assert.Contains(t, human, "steered: calm")
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		return string(b)
	}
	here := file(exampleVectors + ":calm=0.5")
	assert.True(t, here == file(moved+":calm=0.5"), "the files differ")
	assert.Contains(t, here, r.Provenance.Vectors[0].FileSHA256+":calm=+0.5")
	assert.NotContains(t, here, exampleVectors)
}

func TestSteeredPerplexity(t *testing.T) {
	args := []string{"perplexity", testModel, steerText + " who went to the park to play with a big red ball.", "--context", "16"}
	plain := okJSON[perplexityResult](t, args...)
	assert.Nil(t, plain.Receipt)
	zero := okJSON[perplexityResult](t, append(args, "--steer", exampleVectors+":calm=0")...)
	assert.Equal(t, plain.NLL, zero.NLL)
	for _, plan := range []string{":calm=1", ":calm=1#prompt"} {
		r := okJSON[perplexityResult](t, append(args, "--steer", exampleVectors+plan)...)
		assert.NotEqual(t, plain.NLL, r.NLL)
		// Of each window all but position 0 and the last token.
		assert.Equal(t, plain.Tokens-plain.Windows, r.Receipt.Edits[0].Edits)
		assert.Equal(t, 1, r.Receipt.Edits[0].First.Pos)
		assert.Equal(t, 14, r.Receipt.Edits[0].Last.Pos)
		assert.Len(t, r.Provenance.Vectors, 1)
	}
	assert.Contains(t, ok(t, append(args, "--steer", exampleVectors+":calm=1")...), "\nsteered: calm +1 at")
}

func TestSteeredGenerate(t *testing.T) {
	args := []string{"generate", testModel, steerText, "--max-tokens", "10", "--ignore-eos"}
	with := func(more ...string) []string { return slices.Concat(args, more) }
	plain := okJSON[generateResult](t, args...)
	p := len(plain.PromptTokens)
	for plan, want := range map[string]struct{ edits, first, last int }{
		":calm=0.9":                        {p - 1 + 9, 1, p + 8},
		":calm=0.9@resid_post:0#generated": {10, p - 1, p + 8},
		":calm=0.9@resid_post:0#prompt":    {p - 2, 1, p - 2},
	} {
		r := okJSON[generateResult](t, with("--steer", exampleVectors+plan)...)
		assert.NotEqual(t, plain.Tokens, r.Tokens, plan)
		e := r.Receipt.Edits[0]
		assert.Equal(t, want.edits, e.Edits, plan)
		assert.Equal(t, want.first, e.First.Pos, plan)
		assert.Equal(t, want.last, e.Last.Pos, plan)
		assert.Equal(t, r.PromptTokens[1], okJSON[tokenizeResult](t, "tokenize", testModel, steerText).Tokens[1].ID)

		// Copies share the prompt and its edits.
		two := okJSON[generateResult](t, with("--steer", exampleVectors+plan, "--n", "2")...)
		assert.Equal(t, r.Tokens, two.Copies[0].Tokens)
		assert.Equal(t, r.Tokens, two.Copies[1].Tokens)
		shared := 0
		if strings.HasSuffix(plan, "0.9") {
			shared = p - 2
		} else if strings.HasSuffix(plan, "prompt") {
			shared = p - 2
		}
		assert.Equal(t, 2*(e.Edits-shared)+shared, two.Receipt.Edits[0].Edits, plan)
	}
	zero := okJSON[generateResult](t, with("--steer", exampleVectors+":calm=0")...)
	assert.Equal(t, plain.Tokens, zero.Tokens)
	assert.Equal(t, p-1+9, zero.Receipt.Edits[0].Edits)

	r := limbic(with("--steer", exampleVectors+":calm=0")...)
	assert.Equal(t, exitDone, r.status)
	assert.Equal(t, ok(t, args...), r.stdout, "standard output is the text alone")
	assert.Regexp(t, `^steered: calm \+0 at the output of block 1 of 2 .*, scope all: \d+ edits at positions 1 to \d+, added 0\.0 % .*\n$`, r.stderr)
}

// direct reads a text with the library alone.
func direct(t *testing.T, o probe.ReaderOptions, prompt, generated []int32) (scores, cosine [][]float32) {
	m, err := llama.Open(testModel)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	r, err := m.NewRunner(llama.RunnerOptions{Threads: 1, Precision: llama.Probe})
	require.NoError(t, err)
	defer r.Close()
	reader, err := loadExampleVectors(t).NewReader(o)
	require.NoError(t, err)
	var tokens []token.Token
	for _, id := range slices.Concat(prompt, generated[:len(generated)-1]) {
		tokens = append(tokens, token.Token{ID: id})
	}
	require.NoError(t, r.Forward(t.Context(), &llama.Pass{
		Spans: []llama.Span{{Seq: r.NewSequence(), Tokens: tokens}},
		Hooks: []*llama.Hook{reader.Hook(func(row llama.Row, s, c []float32) error {
			if row.Pos >= len(prompt)-1 {
				scores, cosine = append(scores, slices.Clone(s)), append(cosine, slices.Clone(c))
			}
			return nil
		})},
	}))
	return scores, cosine
}

func TestGenerateProbe(t *testing.T) {
	args := []string{"generate", testModel, steerText, "--max-tokens", "10", "--ignore-eos"}
	with := func(more ...string) []string { return slices.Concat(args, more) }
	plain := okJSON[generateResult](t, args...)
	assert.Nil(t, plain.Trace)

	r := okJSON[generateResult](t, with("--probe", exampleVectors)...)
	assert.Equal(t, plain.Tokens, r.Tokens)
	scores, cosine := direct(t, probe.ReaderOptions{}, r.PromptTokens, r.Tokens)
	assert.Equal(t, &emotionTrace{"resid_post:1", probe.Centered, []string{"at ease", "calm", "desperate", "happy"}, scores, cosine}, r.Trace)
	assert.Equal(t, []siteNote{{"resid_post:1", "output of block 1 of 2 (counted from 0)"}}, r.Provenance.Sites)
	assert.Len(t, r.Provenance.Vectors, 1)
	assert.Contains(t, r.Provenance.Definitions, "score")
	assert.NotContains(t, r.Provenance.Definitions, "steering")

	at0 := llama.Site{Point: llama.ResidPost, Block: 0}
	some := okJSON[generateResult](t, with("--probe", exampleVectors+":happy, at-ease", "--score", "z", "--probe-site", "resid_post:0", "--n", "2", "--temp", "2", "--seed", "9")...)
	require.Len(t, some.Copies, 2)
	require.NotEqual(t, some.Copies[0].Tokens, some.Copies[1].Tokens)
	for _, c := range some.Copies {
		scores, cosine := direct(t, probe.ReaderOptions{Site: &at0, Emotions: []string{"happy", "at ease"}, Score: probe.Z}, some.PromptTokens, c.Tokens)
		assert.Equal(t, &emotionTrace{"resid_post:0", probe.Z, []string{"happy", "at ease"}, scores, cosine}, c.Trace)
	}
	assert.Equal(t, some.Copies[0].Trace, some.Trace)

	// A stop string and an interrupt end the rows with the tokens.
	text := ok(t, args...)
	stopped := okJSON[generateResult](t, with("--probe", exampleVectors, "--stop", text[len(text)/2:][:3])...)
	require.Less(t, len(stopped.Tokens), 10)
	assert.Equal(t, r.Trace.Scores[:len(stopped.Tokens)], stopped.Trace.Scores)
	cut := limbicIn(endAfter(22), "", with("--probe", exampleVectors, "--json")...)
	cut.fails(t, exitInterrupted, "new token")
	part := decode[generateResult](t, cut.stdout)
	require.NotEmpty(t, part.Tokens)
	require.Less(t, len(part.Tokens), 10)
	assert.Equal(t, r.Trace.Scores[:len(part.Tokens)], part.Trace.Scores)
	tokens := 0
	for n := int64(14); n < 100; n++ {
		// Some of these end between the site and the token.
		r := limbicIn(endAfter(n), "", with("--probe", exampleVectors, "--probe-site", at0.String(), "--json")...)
		if r.status == exitDone {
			break
		}
		require.Equal(t, exitInterrupted, r.status)
		if r.stdout != "" {
			part := decode[generateResult](t, r.stdout)
			require.Len(t, part.Trace.Scores, len(part.Tokens))
			require.Len(t, part.Trace.Cosine, len(part.Tokens))
			tokens = max(tokens, len(part.Tokens))
		}
	}
	require.Greater(t, tokens, 2)
	none := okJSON[generateResult](t, "generate", testModel, steerText, "--max-tokens", "0", "--probe", exampleVectors)
	assert.NotNil(t, none.Trace.Scores)
	assert.Empty(t, none.Trace.Scores)

	// For people.
	human := limbic(with("--probe", exampleVectors+":happy,calm")...)
	assert.Equal(t, text, human.stdout)
	lines := strings.Split(human.stderr, "\n")
	require.Len(t, lines, 4, human.stderr)
	assert.Regexp(t, `^emotions at the output of block 1 of 2 \(counted from 0\): mean centered cosine over 10 tokens, and its course from -?\d\.\d{3} to -?\d\.\d{3}$`, lines[0])
	assert.Regexp(t, `^  happy  [-+]\d\.\d{3}  [▁▂▃▄▅▆▇█]{10}$`, lines[1])
	assert.Regexp(t, `^  calm   [-+]\d\.\d{3}  [▁▂▃▄▅▆▇█]{10}$`, lines[2])
	assert.Contains(t, human.stderr, "▁")
	assert.Contains(t, human.stderr, "█")
}

// Emotions are read after the edit of their site unless they are to be read
// before it.
func TestGenerateProbeSteered(t *testing.T) {
	run := func(more ...string) generateResult {
		t.Helper()
		return okJSON[generateResult](t, slices.Concat([]string{"generate", testModel, steerText, "--max-tokens", "6", "--ignore-eos", "--probe", exampleVectors + ":calm", "--score", "dot"}, more)...)
	}
	plan := exampleVectors + ":calm=0.3#generated"
	plain, after, before := run(), run("--steer", plan), run("--steer", plan, "--before-edit")
	assert.Equal(t, after.Tokens, before.Tokens)
	assert.Equal(t, after.Receipt, before.Receipt)
	assert.Equal(t, plain.Trace.Scores[0], before.Trace.Scores[0])
	v := loadExampleVectors(t)
	vector, err := v.Vector(v.DefaultSite(), probe.Denoised, 1)
	require.NoError(t, err)
	length := 0.0
	for i, u := range probe.Unit(vector) {
		length += float64(u) * float64(vector[i])
	}
	for i := range after.Trace.Scores {
		assert.InEpsilon(t, 0.3*v.Sites[1].Norm.Mean*length, after.Trace.Scores[i][0]-before.Trace.Scores[i][0], 1e-3)
	}
	assert.Equal(t, "after the edits", after.Provenance.Definitions["captures"])
	assert.Contains(t, before.Provenance.Definitions["captures"], "before")
	assert.Len(t, after.Provenance.Vectors, 1, "the same file twice")
}

func TestParseProbe(t *testing.T) {
	for s, want := range map[string]struct {
		vectors  string
		emotions []string
	}{
		"v.safetensors":                 {"v.safetensors", nil},
		"v:calm":                        {"v", []string{"calm"}},
		"v: calm , at ease,at-ease":     {"v", []string{"calm", "at ease", "at-ease"}},
		"a:b.safetensors":               {"a:b.safetensors", nil},
		`C:\dir\v`:                      {`C:\dir\v`, nil},
		"a:b/v":                         {"a:b/v", nil},
		"a:b.safetensors:calm":          {"a:b.safetensors", []string{"calm"}},
		`"a:b"`:                         {"a:b", nil},
		`'a:b'`:                         {"a:b", nil},
		`"a:b":calm,happy`:              {"a:b", []string{"calm", "happy"}},
		`"a/b:c.safetensors":desperate`: {"a/b:c.safetensors", []string{"desperate"}},
	} {
		vectors, emotions, err := parseProbe(s)
		require.NoError(t, err, s)
		assert.Equal(t, want.vectors, vectors, s)
		assert.Equal(t, want.emotions, emotions, s)
	}
}

func TestSparkline(t *testing.T) {
	assert.Equal(t, "▁▄█", sparkline([]float64{-1, -0.1, 1}, -1, 1))
	assert.Equal(t, "▁▁", sparkline([]float64{2, 2}, 2, 2))
	at := func(i int) float64 { return float64(i) }
	assert.Equal(t, []float64{0, 1, 2}, squeeze(3, 5, at))
	assert.Equal(t, []float64{0.5, 2, 3.5}, squeeze(5, 3, func(i int) float64 { return []float64{0.5, 1, 3, 3, 4}[i] }))
	assert.Empty(t, squeeze(0, 5, at))
}

// The kinds of controls that are made of the stories need the file beside the
// vectors.
func TestSteerControls(t *testing.T) {
	dir := t.TempDir()
	v := filepath.Join(dir, "v.safetensors")
	const model = "testdata/models/tiny-f32.gguf"
	ok(t, "vectors", "build", model, "--emotions", "afraid,calm,happy", "--topics", "sea,cafe", "--out", v)
	args := []string{"steer", model, "Once", "--vector", v + ":calm", "--strengths", "0.5", "--random", "2", "--max-tokens", "2"}
	seen := map[float64]bool{}
	for _, kind := range steer.Controls() {
		r := okJSON[steerResult](t, append(args, "--control", string(kind))...)
		require.Len(t, r.Rows, 3)
		assert.Equal(t, "random-2", r.Rows[2].Name)
		assert.Contains(t, r.Provenance.Definitions["random"], controlDefinitions[kind])
		assert.False(t, seen[r.Rows[1].KL], "%s is like another kind", kind)
		seen[r.Rows[1].KL] = true
	}
	require.NoError(t, os.Remove(probe.SidecarPath(v)))
	limbic(append(args, "--control", "labels")...).fails(t, exitFailed, "--control labels", "v.stories.safetensors", "no such file")
	limbic(append(args, "--control", "noise")...).fails(t, exitUsage, `unknown control "noise"`)
}
