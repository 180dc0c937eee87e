package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files anew")

func sample(t *testing.T) Tokens {
	t.Helper()
	b, err := os.ReadFile("testdata/tokens.json")
	require.NoError(t, err)
	var r Tokens
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

func page(t *testing.T, r Tokens) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteTokens(&b, r))
	return b.String()
}

// between is what stands in s between the first start and the next end.
func between(t *testing.T, s, start, end string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s, start)
	require.True(t, ok, start)
	in, _, ok := strings.Cut(rest, end)
	require.True(t, ok, end)
	return in
}

func TestPageGolden(t *testing.T) {
	const golden = "testdata/tokens.html"
	got := between(t, page(t, sample(t)), "<main>", "</main>")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// A page is one well-formed file that asks for nothing from elsewhere and
// allows its own style and script only.
func TestPageStandsAlone(t *testing.T) {
	p := page(t, sample(t))
	policy := html.UnescapeString(between(t, p, `"Content-Security-Policy" content="`, `"`))
	assert.Equal(t, fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'",
		cspHash(between(t, p, "<style>", "</style>")), cspHash(between(t, p, "<script>", "</script>"))), policy)
	assert.Less(t, strings.Index(p, policy[:5]), strings.Index(p, "<style>"))

	assert.Empty(t, regexp.MustCompile(`(?i)https?:|//[a-z]|url\(|@import|<link|<img|<iframe|<base`).FindAllString(p, -1))
	attributes := map[string]bool{}
	var open []string
	outside := p
	for _, in := range []string{between(t, p, "<style>", "</style>"), between(t, p, "<script>", "</script>")} {
		outside = strings.Replace(outside, in, "", 1)
	}
	tag := regexp.MustCompile(`<(/?)([a-zA-Z0-9]+)((?:\s+[a-zA-Z:-]+(?:="[^"<]*")?)*)\s*(/?)>`)
	for _, m := range tag.FindAllStringSubmatch(outside, -1) {
		for _, a := range regexp.MustCompile(`([a-zA-Z:-]+)(?:="[^"]*")?`).FindAllStringSubmatch(m[3], -1) {
			attributes[a[1]] = true
		}
		switch {
		case m[1] == "/":
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], m[2])
			open = open[:len(open)-1]
		case m[4] == "" && m[2] != "meta":
			open = append(open, m[2])
		}
	}
	assert.Empty(t, open)
	assert.Equal(t, 1, strings.Count(tag.ReplaceAllString(outside, ""), "<"), "a < that begins no tag, beside the doctype's")
	for a := range attributes {
		assert.False(t, a == "style" || a == "src" || a == "href" || strings.HasPrefix(a, "on"), a)
	}
}

func TestPageEscapes(t *testing.T) {
	const evil = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>--><!--` + "\x1b\u202e`${1}"
	text := evil + "\n"
	r := sample(t)
	r.Text, r.TextBase64 = &text, nil
	r.Tokens = []Token{{1, evil, 0, 0}, {2, evil, 0, len(evil)}, {3, evil, len(evil), len(text)}}
	r.Scores, r.Cosine, r.MeanFrom = r.Scores[:3], r.Cosine[:3], 1
	r.Emotions = []string{evil, "calm"}
	r.Site, r.Score, r.Center = evil, "centered", evil
	id, err := json.Marshal(evil)
	require.NoError(t, err)
	r.ID = id
	v := &r.Provenance
	v.Limbic, v.Revision, v.Kernels, v.Model, v.ModelSHA256, v.Precision = evil, evil, evil, evil, evil, evil
	v.Architecture, v.Quantisation, v.TokenizerSHA256 = evil, evil, evil
	v.Sites = []Site{{evil, evil}}
	v.Steering = []string{evil}
	v.Definitions = map[string]string{"score": evil, "center": evil, "cosine": evil, "mean": evil, "bos": evil}
	v.Vectors[0] = Vectors{FileSHA256: evil, MeansSHA256: evil, CorpusSHA256: evil, Form: evil, Limbic: evil, Format: evil, Neutral: evil, NeutralTexts: 1, NeutralVariance: 1}
	p := page(t, r)
	assert.Equal(t, 2, strings.Count(p, "<script"))
	assert.Equal(t, 2, strings.Count(p, "</script"))
	assert.NotContains(t, p, "<img")
	assert.NotContains(t, p, "<!--")
	// The text itself is all there, and safe to look at.
	shown := between(t, p, `data-t="1"`, "</span>")
	_, shown, _ = strings.Cut(shown, ">")
	assert.Equal(t, Visible(evil), html.UnescapeString(shown))
	assert.False(t, strings.ContainsAny(html.UnescapeString(p), "\x1b\u202e"), "a control character is on the page")
	var data pageData
	require.NoError(t, json.Unmarshal([]byte(between(t, p, `id="data">`, "</script>")), &data))
	assert.Equal(t, Visible(evil), data.Emotions[0])
}

func TestPageData(t *testing.T) {
	r := sample(t)
	r.Scores[1][0] = 0.123456789
	p := page(t, r)
	var data pageData
	require.NoError(t, json.Unmarshal([]byte(between(t, p, `id="data">`, "</script>")), &data))
	assert.Equal(t, r.Emotions, data.Emotions)
	assert.Equal(t, []float64{0.1235, -0.25}, data.Scores[1])
	assert.Equal(t, r.Scale(), data.Scale)
	assert.Equal(t, 1, data.From)
	assert.Equal(t, `"\x1b[1m"`, data.Tokens[5])
	// The first emotion is the one with the highest mean, or the one asked for.
	assert.Contains(t, p, "coloured by <span class=\"shown\">&lt;i&gt;odd&lt;/i&gt;</span>")
	r.Shown = []string{"calm"}
	assert.Contains(t, page(t, r), "coloured by <span class=\"shown\">calm</span>")
}

func TestPageOfManyEmotions(t *testing.T) {
	r := sample(t)
	r.Emotions, r.Mean = nil, nil
	for k := range 50 {
		r.Emotions = append(r.Emotions, fmt.Sprintf("e%02d", k))
		r.Mean = append(r.Mean, float64(k))
	}
	for i := range r.Scores {
		r.Scores[i] = slices.Repeat([]float32{float32(i)}, 50)
		r.Cosine[i] = r.Scores[i]
	}
	p := page(t, r)
	assert.Contains(t, p, "The 32 emotions between")
	for _, e := range r.Emotions {
		assert.Contains(t, p, "<td>"+e+"</td>")
	}
	assert.Equal(t, 6, strings.Count(p, `class="curve"`))
	r.Shown = r.Emotions
	p = page(t, r)
	assert.Equal(t, mostStrips, strings.Count(p, `class="curve"`))
	assert.Contains(t, p, "the first 12 of the emotions asked for")
}

func TestPageOfNothing(t *testing.T) {
	for n := range 3 { // no token, BOS alone, one token
		r := sample(t)
		r.Text, r.Tokens, r.Scores, r.Cosine, r.MeanFrom = nil, r.Tokens[:n], r.Scores[:n], r.Cosine[:n], min(n, 1)
		if n < 2 {
			r.Mean = Means{math.NaN(), math.NaN()}
		}
		p := page(t, r)
		assert.NotContains(t, p, "NaN")
		assert.Equal(t, n == 2, strings.Contains(p, `class="curve"`))
	}
}

func TestCheck(t *testing.T) {
	for want, spoil := range map[string]func(*Tokens){
		"emotions":  func(r *Tokens) { r.Emotions = nil },
		"mean":      func(r *Tokens) { r.Mean = r.Mean[1:] },
		"mean: +I":  func(r *Tokens) { r.Mean[1] = math.Inf(1) },
		"mean_from": func(r *Tokens) { r.MeanFrom = 7 },
		"scores":    func(r *Tokens) { r.Scores = r.Scores[1:] },
		"row 2":     func(r *Tokens) { r.Scores[2] = nil },
		"cosine":    func(r *Tokens) { r.Cosine = nil },
		"is NaN":    func(r *Tokens) { r.Cosine[3][1] = float32(math.NaN()) },
		"shown":     func(r *Tokens) { r.Shown = []string{"sad"} },
	} {
		r := sample(t)
		spoil(&r)
		var b bytes.Buffer
		assert.ErrorContains(t, WriteTokens(&b, r), want)
		assert.Empty(t, b.String())
	}
}

func TestScale(t *testing.T) {
	r := sample(t)
	assert.Equal(t, 1.0, r.Scale(), "the largest of ten; the first token, 9, does not count")
	r.Scores = make([][]float32, 101)
	for i := range r.Scores {
		r.Scores[i] = []float32{-float32(i), float32(i)}
	}
	assert.Equal(t, 99.0, r.Scale(), "the 198th of 200")
	r.Scores = [][]float32{{5, 5}, {0, 0}}
	assert.Equal(t, 1.0, r.Scale())
	r.Scores = r.Scores[:1]
	assert.Equal(t, 1.0, r.Scale())
}

func TestOrders(t *testing.T) {
	r := Tokens{Emotions: []string{"a", "b", "c", "d"}, Mean: Means{1, 3, 1, 2}, Scores: [][]float32{{0, 2, 3, 2}}}
	assert.Equal(t, []int{1, 3, 0, 2}, r.Order())
	assert.Equal(t, []int{1, 3}, r.Display(2))
	assert.Equal(t, []int{2, 1, 3}, r.Highest(0, 3))
	assert.Equal(t, []int{2, 1, 3, 0}, r.Highest(0, 9))
	r.Shown = []string{"d", "a"}
	assert.Equal(t, []int{3, 0}, r.Display(1))
}

func TestMeans(t *testing.T) {
	b, err := json.Marshal(Means{0.5, math.NaN()})
	require.NoError(t, err)
	assert.Equal(t, "[0.5,null]", string(b))
	var m Means
	require.NoError(t, json.Unmarshal(b, &m))
	assert.Equal(t, 0.5, m[0])
	assert.True(t, math.IsNaN(m[1]))
	assert.Error(t, json.Unmarshal([]byte(`["x"]`), &m))
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"a\tb\nc":                "a\tb\nc",
		"\x1b[31m\x00\r\x7f":     "␛[31m␀␍␡",
		"\u0085\u202e\u2028":     "<U+0085><U+202E><U+2028>",
		"\xffé\xc3":              "<0xFF>é<0xC3>",
		"👨\u200d👩\u200d👧 \ufffd": "👨\u200d👩\u200d👧 \ufffd",
	} {
		assert.Equal(t, want, Visible(in))
	}
}

func TestPieces(t *testing.T) {
	pieces := func(text string, ends ...int) []Piece {
		r := Tokens{TextBase64: []byte(text), Tokens: []Token{{Text: "<s>"}}}
		at := 0
		for _, end := range ends {
			r.Tokens = append(r.Tokens, Token{Text: "name", Start: at, End: end})
			at = end
		}
		return r.Pieces()[1:]
	}
	partial := Piece{Partial: true}
	r := sample(t)
	assert.Equal(t, []Piece{{Text: "<s>", Special: true}, {Text: "Hi "}, partial, {Text: "😀"}, {Text: "\n<b>&"}, {Text: "\x1b[1m"}}, r.Pieces())
	assert.Equal(t, []Piece{{Text: "a"}, partial, partial, {Text: "😀b"}}, pieces("a😀b", 2, 3, 4, 6))
	assert.Equal(t, []Piece{{Text: "\xff"}, {Text: "\xf0x"}}, pieces("\xff\xf0x", 1, 3))
	assert.Equal(t, []Piece{partial, {Text: "\xf0\x9f"}}, pieces("\xf0\x9f", 1, 2), "cut at the end of the text")
	assert.Equal(t, []Piece{{Text: "\x80"}, {Text: "\x80\x80\x80\x80"}}, pieces("\x80\x80\x80\x80\x80", 1, 5))
	assert.Equal(t, []Piece{{Text: "a"}, {Text: "name", Special: true}, {Text: "b"}}, pieces("ab", 1, 1, 2))
	space := sample(t)
	space.Tokens[0].Text = " "
	assert.Equal(t, Piece{Text: "␣", Special: true}, space.Pieces()[0])
	// Offsets that do not fit are not believed.
	for _, ends := range [][]int{{1}, {1, 3}, {2, 1}} {
		for _, p := range pieces("ab", ends...) {
			assert.Equal(t, "name", p.Text)
		}
	}
}

func TestLevels(t *testing.T) {
	assert.Equal(t, 0, Level(0, 1))
	assert.Equal(t, Levels, Level(0.3, 0.2))
	assert.Equal(t, -Levels, Level(-0.2, 0.2))
	assert.Equal(t, -Levels/2, Level(-0.1, 0.2))
	for _, ramp := range []Ramp{LightRamp, DarkRamp} {
		for n := 1; n <= Levels; n++ {
			for _, level := range []int{n, -n} {
				back, text := ramp.At(level)
				assert.GreaterOrEqual(t, Contrast(back, text), 4.5, "level %d", level)
				if n > 1 {
					before, _ := ramp.At(level - level/n)
					assert.Greater(t, Contrast(ramp.Zero, back), Contrast(ramp.Zero, before), "level %d is no stronger than the one before", level)
				}
			}
		}
		back, _ := ramp.At(Levels)
		assert.Greater(t, back[0], back[2], "red is positive")
	}
	assert.InDelta(t, 21, Contrast(RGB{}, RGB{255, 255, 255}), 1e-9)
	assert.Equal(t, "#0a80ff", RGB{10, 128, 255}.String())
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0.000", -0.0001: "0.000", 0.12345: "+0.123", -2: "-2.000", 12345.6: "+1.235e+04", -123.45: "-123.5"} {
		assert.Equal(t, want, Number(x))
	}
	assert.Equal(t, "-", Number(math.NaN()))
}

func TestPaths(t *testing.T) {
	x := func(i int) float64 { return float64(10 * i) }
	curve, positive, negative := paths([]float64{1, -1, 0}, x)
	assert.Equal(t, "M0 18L5 42L10 66L20 42", curve)
	assert.Equal(t, "M0 42L0 18L5 42L10 42L20 42L20 42Z", positive)
	assert.Equal(t, "M0 42L0 42L5 42L10 66L20 42L20 42Z", negative)
	curve, _, _ = paths([]float64{0.5}, x)
	assert.Equal(t, "M-12 30L12 30", curve)
}
