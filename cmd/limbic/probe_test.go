package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/report"
	"github.com/limbic-go/limbic/tensor/npy"
)

const probeText = "She heard steps behind her, and began to run.\n\"Mom!\""

// probeArgs are the arguments of a probe with the example's vectors.
func probeArgs(args ...string) []string {
	return slices.Concat([]string{"probe", testModel, exampleVectors}, args)
}

// states are the activations of a text at the default site.
func states(t *testing.T, text string) [][]float32 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "t.npz")
	site := loadExampleVectors(t).DefaultSite()
	ok(t, "trace", testModel, text, "--sites", site.String(), "--out", out, "--precision", "probe")
	z, err := npy.OpenArchive(out)
	require.NoError(t, err)
	defer z.Close()
	a, err := z.Read(site.Key())
	require.NoError(t, err)
	all, err := npy.As[float32](a)
	require.NoError(t, err)
	return slices.Collect(slices.Chunk(all, a.Shape[1]))
}

// readWith gives the scores and cosines of states, computed by the library.
func readWith(t *testing.T, rows [][]float32, o probe.ReaderOptions) (scores, cosine [][]float32) {
	t.Helper()
	r, err := loadExampleVectors(t).NewReader(o)
	require.NoError(t, err)
	for _, h := range rows {
		s, c := make([]float32, len(r.Emotions())), make([]float32, len(r.Emotions()))
		r.Read(h, s, c)
		scores, cosine = append(scores, s), append(cosine, c)
	}
	return scores, cosine
}

func TestProbe(t *testing.T) {
	doc := ok(t, probeArgs(probeText, "--json")...)
	m := fields(t, doc, "site", "score", "center", "tokens", "emotions", "scores", "cosine", "mean", "text", "receipt")
	r := decode[probeResult](t, doc)
	ran(t, r.Provenance.provenance)
	v := loadExampleVectors(t)
	assert.Equal(t, v.DefaultSite().String(), r.Site)
	assert.Equal(t, "centered", r.Score)
	assert.Equal(t, "neutral", r.Center)
	assert.Equal(t, v.Emotions, r.Emotions)
	assert.Equal(t, probeText, *r.Text)
	assert.Nil(t, m["receipt"])
	assert.Equal(t, siteNote{r.Site, "output of block 1 of 2 (counted from 0)"}, r.Provenance.Sites[0])
	for _, d := range []string{"score", "cosine", "center", "mean", "bos"} {
		assert.NotEmpty(t, r.Provenance.Definitions[d], d)
	}
	require.Len(t, r.Provenance.Vectors, 1)
	sum, err := probe.FileSHA256(exampleVectors)
	require.NoError(t, err)
	assert.Equal(t, sum, r.Provenance.Vectors[0].FileSHA256)
	assert.Equal(t, v.Provenance.MeansSHA256, r.Provenance.Vectors[0].MeansSHA256)
	assert.Equal(t, v.Provenance.Corpus, r.Provenance.Vectors[0].CorpusSHA256)

	tokens := okJSON[tokenizeResult](t, "tokenize", testModel, probeText).Tokens
	require.Len(t, r.Tokens.Tokens, len(tokens))
	for i := range tokens {
		assert.Equal(t, tokens[i], tokenRow(r.Tokens.Tokens[i]))
	}
	scores, cosine := readWith(t, states(t, probeText), probe.ReaderOptions{})
	assert.Equal(t, scores, r.Scores)
	assert.Equal(t, cosine, r.Cosine)
	assert.Equal(t, 1, r.MeanFrom)
	for k := range r.Emotions {
		mean := 0.0
		for _, row := range scores[1:] {
			mean += float64(row[k])
		}
		mean /= float64(len(scores) - 1)
		assert.InDelta(t, mean, r.Mean[k], 1e-12)
		assert.Greater(t, math.Abs(float64(scores[0][k])-mean), 1e-3, "BOS would make no difference: the test misses it")
	}

	// Whatever the number of threads; and without BOS every token counts.
	one := okJSON[probeResult](t, probeArgs(probeText, "--threads", "1")...)
	assert.Equal(t, r.Tokens.Scores, one.Tokens.Scores)
	bare := okJSON[probeResult](t, probeArgs(probeText, "--no-bos")...)
	assert.Len(t, bare.Scores, len(tokens)-1)
	assert.Zero(t, bare.MeanFrom)
}

func TestProbeScores(t *testing.T) {
	rows := states(t, probeText)
	v := loadExampleVectors(t)
	sv, err := v.At(v.DefaultSite())
	require.NoError(t, err)
	dot := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	for kind, want := range map[string]func(h, v []float32, e int) float64{
		"cosine": func(h, v []float32, e int) float64 { return dot(h, v) / math.Sqrt(dot(h, h)*dot(v, v)) },
		"dot":    func(h, v []float32, e int) float64 { return dot(h, v) },
		"z": func(h, v []float32, e int) float64 {
			return (dot(h, v)/math.Sqrt(dot(v, v)) - float64(sv.ProjectionMean[e])) / float64(sv.ProjectionSD[e])
		},
	} {
		r := okJSON[probeResult](t, probeArgs(probeText, "--score", kind)...)
		assert.Equal(t, kind, r.Score)
		assert.Equal(t, "none", r.Center)
		assert.NotContains(t, r.Provenance.Definitions, "center")
		for i, h := range rows {
			for e := range r.Emotions {
				x := want(h, sv.ByForm[probe.Denoised][e*v.Width:][:v.Width], e)
				assert.InDelta(t, x, r.Scores[i][e], 1e-4*max(1, math.Abs(x)), kind)
			}
		}
		if kind == "cosine" {
			assert.Equal(t, r.Cosine, r.Scores)
		}
	}
}

func TestProbeCenters(t *testing.T) {
	rows := states(t, probeText)
	v := loadExampleVectors(t)
	sv, err := v.At(v.DefaultSite())
	require.NoError(t, err)
	none := okJSON[probeResult](t, probeArgs(probeText, "--center", "none")...)
	assert.Equal(t, none.Cosine, none.Scores)
	assert.Equal(t, "none", none.Center)

	grand := okJSON[probeResult](t, probeArgs(probeText, "--center", "grand")...)
	want, _ := readWith(t, rows, probe.ReaderOptions{Center: sv.Grand})
	assert.Equal(t, want, grand.Scores)
	assert.Equal(t, none.Cosine, grand.Cosine)

	// A set: every text's mean from token 50 on, then the mean of those.
	dir := t.TempDir()
	long, longer := strings.Repeat("over the hill ", 20), strings.Repeat("a small red boat ", 30)
	center := make([]float32, v.Width)
	for _, text := range []string{long, longer} {
		all := states(t, text)[50:]
		for k := range center {
			sum := 0.0
			for _, h := range all {
				sum += float64(h[k])
			}
			center[k] += float32(sum / float64(len(all)) / 2)
		}
	}
	set := filepath.Join(dir, "set.jsonl")
	require.NoError(t, os.WriteFile(set, fmt.Appendf(nil, "{\"text\": %q}\n\n{\"text\": %q}\n{\"text\": \"short\"}", long, longer), 0o644))
	got := limbic(probeArgs(probeText, "--json", "--center", "set:"+set)...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Contains(t, got.stderr, "warning: --center: 1 text of 3 shorter than 50 tokens")
	r := decode[probeResult](t, got.stdout)
	assert.Equal(t, "set:"+set, r.Center)
	assert.Contains(t, r.Provenance.Definitions["center"], "2 texts")
	want, _ = readWith(t, rows, probe.ReaderOptions{Center: center})
	for i := range want {
		for k := range want[i] {
			assert.InDelta(t, want[i][k], r.Scores[i][k], 1e-5)
		}
	}

	// Any other file is one text.
	plain := filepath.Join(dir, "plain.txt")
	require.NoError(t, os.WriteFile(plain, []byte(long), 0o644))
	single := filepath.Join(dir, "single.jsonl")
	require.NoError(t, os.WriteFile(single, fmt.Appendf(nil, "{\"text\": %q}", long), 0o644))
	a := okJSON[probeResult](t, probeArgs(probeText, "--center", "set:"+plain)...)
	b := okJSON[probeResult](t, probeArgs(probeText, "--center", "set:"+single)...)
	assert.Equal(t, a.Scores, b.Scores)
	assert.NotEqual(t, a.Scores, r.Scores)
}

func TestProbeEmotions(t *testing.T) {
	all := okJSON[probeResult](t, probeArgs(probeText)...)
	some := okJSON[probeResult](t, probeArgs(probeText, "--emotions", "happy, At-Ease,happy")...)
	assert.Equal(t, []string{"happy", "at ease"}, some.Emotions)
	assert.Equal(t, some.Emotions, some.Shown)
	for i := range all.Scores {
		assert.Equal(t, []float32{all.Scores[i][3], all.Scores[i][0]}, some.Scores[i])
	}
	other := okJSON[probeResult](t, probeArgs(probeText, "--site", "blocks.0.hook_resid_post")...)
	assert.Equal(t, "resid_post:0", other.Site)
	assert.NotEqual(t, all.Scores, other.Scores)
}

func TestProbeEmptyText(t *testing.T) {
	dir := t.TempDir()
	files := []string{"--out", filepath.Join(dir, "e.npz"), "--html", filepath.Join(dir, "e.html")}
	r := okJSON[probeResult](t, probeArgs(append(files, "")...)...)
	assert.Len(t, r.Scores, 1)
	assert.True(t, math.IsNaN(r.Mean[0]))
	doc := ok(t, probeArgs("", "--no-bos", "--json")...)
	for _, empty := range []string{`"tokens":[]`, `"scores":[]`, `"cosine":[]`, `"mean":[null,null,null,null]`} {
		assert.Contains(t, doc, empty)
	}
	assert.Contains(t, ok(t, probeArgs("")...), "no tokens but BOS")
	ok(t, probeArgs(append(files, "", "--no-bos")...)...)
	z, err := npy.OpenArchive(files[1])
	require.NoError(t, err)
	defer z.Close()
	a, err := z.Read("scores")
	require.NoError(t, err)
	assert.Equal(t, []int{0, 4}, a.Shape)
}

func TestProbeNPZ(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.npz"), filepath.Join(dir, "2.npz")
	r := okJSON[probeResult](t, probeArgs(probeText, "--out", one, "--threads", "1")...)
	assert.Equal(t, one, r.Out)
	assert.Contains(t, ok(t, probeArgs(probeText, "--out", two)...), "wrote "+two)
	b1, err := os.ReadFile(one)
	require.NoError(t, err)
	b2, err := os.ReadFile(two)
	require.NoError(t, err)
	assert.True(t, string(b1) == string(b2), "the files differ")

	z, err := npy.OpenArchive(one)
	require.NoError(t, err)
	defer z.Close()
	n := len(r.Scores)
	var tokens, offsets []int32
	for _, tok := range r.Tokens.Tokens {
		tokens, offsets = append(tokens, tok.ID), append(offsets, int32(tok.Start), int32(tok.End))
	}
	for name, want := range map[string]npy.Array{
		"scores":   {Shape: []int{n, 4}, Data: slices.Concat(r.Scores...)},
		"cosine":   {Shape: []int{n, 4}, Data: slices.Concat(r.Cosine...)},
		"tokens":   {Shape: []int{n}, Data: tokens},
		"offsets":  {Shape: []int{n, 2}, Data: offsets},
		"emotions": {Shape: []int{4}, Data: r.Emotions},
	} {
		a, err := z.Read(name)
		require.NoError(t, err)
		assert.Equal(t, want, a, name)
	}
	a, err := z.Read("provenance")
	require.NoError(t, err)
	var p probeProvenance
	require.NoError(t, json.Unmarshal([]byte(a.Data.([]string)[0]), &p))
	assert.Equal(t, r.Provenance.ModelSHA256, p.ModelSHA256)
	assert.Equal(t, r.Provenance.Vectors[0].FileSHA256, p.Vectors[0].FileSHA256)
	assert.Empty(t, p.ModelPath+p.Vectors[0].Path)
}

func TestProbeHTML(t *testing.T) {
	out := filepath.Join(t.TempDir(), "p.html")
	const evil = "</script><b onclick=x>\x1b \xff"
	assert.Contains(t, ok(t, probeArgs(evil, "--html", out, "--emotions", "happy,calm")...), "wrote "+out)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	page := string(b)
	assert.Equal(t, 2, strings.Count(page, "</script>"))
	assert.NotContains(t, page, "<b onclick")
	assert.NotContains(t, page, "\x1b")
	text, _, _ := strings.Cut(page[strings.Index(page, `<div class="text"`):], "</div>")
	text = html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, ""))
	assert.Equal(t, "<s>␣</script><b onclick=x>␛ <0xFF>", text)
	assert.Contains(t, page, "coloured by <span class=\"shown\">happy</span>")
}

// The page is drawn from the JSON alone.
func TestProbeJSONMakesThePage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "p.html")
	doc := ok(t, probeArgs(probeText, "--html", out, "--json")...)
	var r report.Tokens
	require.NoError(t, json.Unmarshal([]byte(doc), &r))
	var b bytes.Buffer
	require.NoError(t, report.WriteTokens(&b, r))
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.True(t, b.String() == string(page), "the pages differ")
}

func TestProbeForPeople(t *testing.T) {
	r := okJSON[probeResult](t, probeArgs("a\x1b[31m b\x07\n")...)
	shown := ok(t, probeArgs("a\x1b[31m b\x07\n")...)
	assert.True(t, strings.HasPrefix(shown, "quant-base, resid_post:1: output of block 1 of 2 (counted from 0); score centered, centre neutral\n\n"), shown)
	assert.NotContains(t, shown, "\x1b")
	assert.NotContains(t, shown, "\x07")
	first := r.Order()[0]
	assert.Regexp(t, `(?m)^emotion +mean +\d+ tokens, ▁ -`, shown)
	assert.Regexp(t, `(?m)^`+r.Emotions[first]+` +[+-]\d\.\d{3}  [▁▂▃▄▅▆▇█]+$`, shown)
	for i, row := range r.Scores {
		assert.Regexp(t, fmt.Sprintf(`(?m)^ *%d +%s .*%s  `, i, regexp.QuoteMeta(report.Number(float64(row[first]))),
			regexp.QuoteMeta(strconv.Quote(r.Tokens.Tokens[i].Text))), shown)
	}
	two := ok(t, probeArgs("a b", "--top", "2")...)
	assert.Regexp(t, `(?m)^highest of 4 +mean`, two)
	assert.Len(t, regexp.MustCompile(`(?m)[▁▂▃▄▅▆▇█]+$`).FindAllString(two, -1), 2)
	one := ok(t, probeArgs("a b", "--emotions", "calm")...)
	assert.Regexp(t, `(?m)^emotion +mean`, one)
	assert.NotContains(t, one, "highest")
}

func TestProbeInColour(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	text := "Once\x1b[2Jb \u202e😀\n\tthe\n"
	r := okJSON[probeResult](t, probeArgs(text)...)
	sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
	show := func() string {
		var b bytes.Buffer
		a := &app{stdout: &output{w: &b}, stdoutTerminal: true}
		require.NoError(t, a.printProbe(&r, 6, false))
		return b.String()
	}
	for env, code := range map[[2]string]string{
		{"", ""}: "\x1b[38;5;", {"truecolor", "15;0"}: "\x1b[38;2;255;255;255;48;2;", {"", "0;15"}: "\x1b[38;5;16;48;5;",
	} {
		t.Setenv("COLORTERM", env[0])
		t.Setenv("COLORFGBG", env[1])
		shown := show()
		assert.Contains(t, shown, code)
		assert.NotContains(t, sgr.ReplaceAllString(shown, ""), "\x1b", "only colours come with escape sequences")
		_, tokens, found := strings.Cut(sgr.ReplaceAllString(shown, ""), "\n\n<s>")
		require.True(t, found, shown)
		assert.Equal(t, "Once␛[2Jb ▯▯<U+202E>▯▯▯😀↵\n\tthe↵\n\n", tokens)
		// Colours end before their line does, and with the text.
		for line := range strings.SplitSeq(shown, "\n") {
			codes := sgr.FindAllString(line, -1)
			if len(codes) > 0 {
				assert.Equal(t, ansiReset, codes[len(codes)-1], "%q", line)
			}
		}
	}
	t.Setenv("NO_COLOR", "1")
	assert.NotContains(t, show(), "\x1b")
}

func TestPainter(t *testing.T) {
	for _, full := range []bool{false, true} {
		for _, light := range []bool{false, true} {
			p := painter{light: light, full: full}
			assert.Empty(t, p.level(0))
			for n := 1; n <= report.Levels; n++ {
				assert.NotEqual(t, p.level(n), p.level(-n))
			}
		}
	}
	for _, sides := range paletteRamps {
		for sign, ramp := range sides {
			for _, n := range ramp {
				c := palette(n)
				if sign == 0 {
					assert.Greater(t, c[0], c[2], "%d is not red", n)
				} else {
					assert.Greater(t, c[2], c[0], "%d is not blue", n)
				}
			}
		}
	}
	assert.Equal(t, report.RGB{0, 95, 215}, palette(26))
}

func TestSignedBar(t *testing.T) {
	assert.Equal(t, "         │         ", signedBar(0))
	assert.Equal(t, "         │█████████", signedBar(2))
	assert.Equal(t, "█████████│         ", signedBar(-1))
	assert.Equal(t, "        ▐│         ", signedBar(-0.06))
	assert.Equal(t, "         │█▌       ", signedBar(3.0/18))
}

func TestProbeInput(t *testing.T) {
	slowInPlainGo(t)
	texts := []string{probeText, "", "Once upon a time", strings.Repeat("again and ", 300)}
	input := fmt.Sprintf("{\"id\": \"a,\\\"b\", \"text\": %q}\n\n{\"id\": 7, \"text\": \"\", \"note\": 1}\r\n{\"text\": %q}\n{\"id\": null, \"text\": %q}", texts[0], texts[2], texts[3])
	path := filepath.Join(t.TempDir(), "in.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(input), 0o644))
	stdout := ok(t, probeArgs("--input", path)...)
	assert.Equal(t, stdout, ok(t, probeArgs("--input", path, "--json")...))
	lines := strings.SplitAfter(strings.TrimSuffix(stdout, "\n"), "\n")
	require.Len(t, lines, len(texts))
	var docs []probeResult
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\n") + "\n"
		fields(t, l, "id", "tokens", "mean", "scores", "emotions", "site", "score")
		d := decode[probeResult](t, l)
		assert.Equal(t, []string{`"a,\"b"`, "7", "4", "5"}[i], string(d.ID))
		// A text in company scores what it scores alone.
		alone := okJSON[probeResult](t, probeArgs(texts[i])...)
		assert.Equal(t, alone.Tokens.Tokens, d.Tokens.Tokens)
		assert.Equal(t, alone.Scores, d.Scores)
		assert.Equal(t, alone.Cosine, d.Cosine)
		assert.Equal(t, fmt.Sprint(alone.Mean), fmt.Sprint(d.Mean))
		docs = append(docs, d)
	}

	r := limbicIn(t.Context(), input, probeArgs("--input", "-", "--csv")...)
	require.Equal(t, 0, r.status, r.stderr)
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"id", "token_index", "start", "end", "token", "emotion", "score", "cosine"}, rows[0])
	at := 1
	for i, d := range docs {
		for n, tok := range d.Tokens.Tokens {
			for k, name := range d.Emotions {
				assert.Equal(t, []string{[]string{`a,"b`, "7", "4", "5"}[i], strconv.Itoa(n), strconv.Itoa(tok.Start), strconv.Itoa(tok.End), tok.Text, name}, rows[at][:6])
				score, err := strconv.ParseFloat(rows[at][6], 32)
				require.NoError(t, err)
				assert.Equal(t, d.Scores[n][k], float32(score))
				cosine, err := strconv.ParseFloat(rows[at][7], 32)
				require.NoError(t, err)
				assert.Equal(t, d.Cosine[n][k], float32(cosine))
				at++
			}
		}
	}
	assert.Len(t, rows, at)

	assert.Empty(t, limbicIn(t.Context(), "", probeArgs("--input", "-")...).stdout)
	none := limbicIn(t.Context(), "{\"text\":\"\"}", probeArgs("--input", "-", "--no-bos")...)
	assert.Contains(t, none.stdout, `"scores":[]`)
}

func TestProbeInputBadLines(t *testing.T) {
	good := `{"id": 1, "text": "a b"}` + "\n"
	for bad, parts := range map[string]string{
		`{"id": 2`:                  "unexpected end",
		`[1]`:                       "want {",
		`null`:                      "null",
		`{"id": 2}`:                 `"text" is missing`,
		`{"id": 2, "text": 3}`:      "want {",
		`{"id": {}, "text": "x"}`:   `"id" is neither`,
		`{"id": true, "text": "x"}`: `"id" is neither`,
		`{"id": 2, "text": "x"} {}`: "want {",
		`{"id": 2, "messages": []}`: "there are no messages",
		`{"id": 2, "messages": [{"role": "user"}]}`:                 `message 0: "content" is missing`,
		`{"id": 2, "text": "x", "messages": []}`:                    `"text" and "messages"`,
		`{"id": 2, "messages": [{"role": "user", "content": "x"}]}`: "has no chat template",
		"{\"text\": \"\xff\"}":                                      "UTF-8",
		`{"text": "` + long(3000) + `"}`:                            "2,048",
		`{"id": 2, "text": "x", "text": null}`:                      `"text" is missing`,
	} {
		r := limbicIn(t.Context(), good+"\n"+bad+"\n"+good, probeArgs("--input", "-")...)
		r.fails(t, exitFailed, "standard input: line 3: ", parts)
		assert.Equal(t, 1, strings.Count(r.stdout, "\n"), "the line before is not lost")
	}
}

func long(n int) string { return strings.Repeat("hello ", n) }

// Lines are answered as they come, and those answered stay.
func TestProbeInputInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, feed := io.Pipe()
	defer feed.Close()
	seen, stdout := io.Pipe()
	var stderr bytes.Buffer
	status := make(chan int)
	go func() {
		s := run(ctx, probeArgs("--input", "-"), in, stdout, &stderr)
		stdout.Close()
		status <- s
	}()
	var lines bytes.Buffer
	_, err := io.WriteString(feed, `{"id": 1, "text": "a b"}`+"\n")
	require.NoError(t, err)
	for !strings.HasSuffix(lines.String(), "\n") {
		_, err := io.CopyN(&lines, seen, 1)
		require.NoError(t, err)
	}
	assert.Contains(t, lines.String(), `{"id":1,`)
	cancel()
	assert.Equal(t, exitInterrupted, <-status)
	assert.Equal(t, "limbic: interrupted after 1 text\n", stderr.String())
}

func TestProbeSteered(t *testing.T) {
	base := okJSON[probeResult](t, probeArgs(probeText)...)
	steer := func(strength string, more ...string) probeResult {
		return okJSON[probeResult](t, probeArgs(slices.Concat([]string{probeText, "--steer", exampleVectors + ":happy=" + strength}, more)...)...)
	}
	zero := steer("0")
	assert.Equal(t, base.Scores, zero.Scores)
	require.NotNil(t, zero.Receipt)
	more := steer("0.3")
	assert.Equal(t, base.Scores[0], more.Scores[0], "the first token is never steered")
	for i := 1; i < len(base.Scores); i++ {
		assert.Greater(t, more.Scores[i][3], base.Scores[i][3])
	}
	assert.Len(t, more.Provenance.Vectors, 1, "the file is named once")
	assert.Equal(t, "after the edits", more.Provenance.Definitions["captures"])
	assert.Equal(t, base.Scores, steer("0.3", "--before-edit").Scores)
	assert.Contains(t, ok(t, probeArgs(probeText, "--steer", exampleVectors+":happy=0.3")...), "steered: happy +0.3")
}

func TestProbeUsage(t *testing.T) {
	v := exampleVectors
	for args, parts := range map[string]string{
		"":                                  "MODEL is missing",
		"m":                                 "VECTORS is missing",
		"m|v":                               "TEXT is missing",
		"m|v|t|u":                           `unexpected argument "u"`,
		"m|v|t|--file|f":                    `TEXT "t"|--file "f"`,
		"m|v|t|--input|f":                   "--input takes the place",
		"m|v|--input=":                      "--input names no file",
		"m|v|--input|f|--file|g":            "--input takes the place",
		"m|v|--input|f|--out|o.npz":         "--out and --html are for one text",
		"m|v|--input|f|--html|o":            "--out and --html are for one text",
		"m|v|--input|f|--steer|v:a=1":       "--steer is for one text",
		"m|v|--input|f|--csv|--json":        "--csv and --json",
		"m|v|t|--csv":                       "--csv needs --input",
		"m|v|t|--score|x":                   `"x"|centered, cosine, dot, z`,
		"m|v|t|--center|x":                  `--center "x"|neutral, grand, set:FILE or none`,
		"m|v|t|--center|set:":               `--center "set:"`,
		"m|v|t|--center|none|--score|z":     "--center is for --score centered; z scores",
		"m|v|t|--top|0":                     "--top 0",
		"m|v|t|--out|f.csv":                 `"f.csv"|.npz`,
		"m|v|t|--html=":                     "--html is empty",
		"m|v|t|--emotions|a,,b":             `--emotions "a,,b"`,
		"m|v|t|--emotions=":                 "--emotions",
		testModel + "|" + v + "|t|--site|1": `--site|ambiguous`,
	} {
		t.Run(args, func(t *testing.T) {
			list := []string{"probe"}
			if args != "" {
				list = append(list, strings.Split(args, "|")...)
			}
			limbic(list...).fails(t, exitUsage, strings.Split(parts, "|")...)
		})
	}
}

func TestProbeFailures(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short.txt")
	require.NoError(t, os.WriteFile(short, []byte("short"), 0o644))
	empty := filepath.Join(dir, "empty.jsonl")
	require.NoError(t, os.WriteFile(empty, nil, 0o644))
	bad := filepath.Join(dir, "bad.jsonl")
	require.NoError(t, os.WriteFile(bad, []byte("{\"text\":\"x\"}\n{}\n"), 0o644))
	v := exampleVectors
	for args, parts := range map[string]string{
		testModel + "|" + dir + "/none|t":                        "/none|no such file",
		testModel + "|" + testModel + "|t":                       testModel,
		"testdata/models/quant-q4_0.gguf|" + v + "|t":            v + "|model_sha256",
		"testdata/models/tiny-f32.gguf|" + v + "|t":              v + "|width",
		testModel + "|" + v + "|t|--emotions|desprate":           `"desprate"|did you mean "desperate"?`,
		testModel + "|" + v + "|t|--site|resid_mid:0":            v + "|resid_mid:0|resid_post:0",
		testModel + "|" + v + "|" + long(3000):                   "2,048",
		testModel + "|" + v + "|t|--html|" + dir:                 dir + "|folder",
		testModel + "|" + v + "|t|--out|" + dir + "/no/o.npz":    "no/o.npz|no such file",
		testModel + "|" + v + "|t|--center|set:" + dir + "/none": "--center|/none|no such file",
		testModel + "|" + v + "|t|--center|set:" + short:         "--center|none of 1 text has 50 tokens",
		testModel + "|" + v + "|t|--center|set:" + empty:         "--center|none of 0 texts",
		testModel + "|" + v + "|t|--center|set:" + bad:           "--center|bad.jsonl|line 2|text",
		testModel + "|" + v + "|--input|" + dir + "/none.jsonl":  "none.jsonl|no such file",
		testModel + "|" + v + "|--input|" + dir:                  dir + ": line 1: |directory",
	} {
		t.Run(args[:min(len(args), 120)], func(t *testing.T) {
			r := limbic(append([]string{"probe"}, strings.Split(args, "|")...)...)
			r.fails(t, exitFailed, strings.Split(parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
}
