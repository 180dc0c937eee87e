package report

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleFeelings is two emotions at three strengths beside two directions of
// each kind: calm passes, sad does not.
func sampleFeelings() *Feelings {
	return &Feelings{
		SiteText: "output of block 1 of 2", Form: "denoised", Strengths: []float64{-0.5, 0, 0.5}, Prompts: []string{"He feels"},
		Directions: 2, Control: "isotropic", FeelingCount: FeelingCount{Passes: 1, Chance: 0.333, Dealt: 0.25, P: 0.5},
		Counts: map[string]FeelingCount{"isotropic": {Passes: 1, Chance: 0.333, Dealt: 0.25, P: 0.5}, "covariance": {Passes: 0, Chance: 0.333, P: 1}},
		Emotions: []FeelingEmotion{
			{
				Emotion: "calm", Words: []string{"calm", "still"}, Curve: []float64{-3, -1, 1}, Effect: 4, PromptEffects: []float64{4}, Effects: []float64{4, -1}, Pass: true,
				Controls: map[string]FeelingControl{
					"isotropic":  {Curves: [][]float64{{-1.5, -1, 0}, {-0.5, -1, -0.75}}, Largest: 1.5, Pass: true},
					"covariance": {Curves: [][]float64{{1, -1, -4}}, Largest: 5},
				},
			},
			{
				Emotion: "sad", Words: []string{"sad"}, Curve: []float64{0, 0, 0.5}, Effect: 0.5, PromptEffects: []float64{0.5}, Effects: []float64{-2, 0.5},
				Controls: map[string]FeelingControl{
					"isotropic":  {Curves: [][]float64{{1, 0, 0}}, Largest: 1},
					"covariance": {Curves: [][]float64{{0, 0, 0}}, Largest: 0},
				},
			},
		},
	}
}

func TestFeelingCurves(t *testing.T) {
	f := sampleFeelings()
	curves, err := FeelingCurves(f)
	require.NoError(t, err)
	s := string(curves)
	assert.Equal(t, 2, strings.Count(s, `role="img"`))
	// The scale is that of the farthest change: the covariance direction's −3.
	assert.Contains(t, s, "+3.0</text>")
	y := func(v float64) string { return coordinate(panelMiddle - panelReach*v/3) }
	left, middle, right := coordinate(panelLeft), coordinate((panelLeft+panelRight)/2), coordinate(panelRight)
	assert.Contains(t, s, fmt.Sprintf(`<path class="curve" d="M%s %sL%s %sL%s %s"/>`, left, y(-2), middle, y(0), right, y(2)))
	assert.Contains(t, s, fmt.Sprintf(`<path class="band" d="M%s %sL%s %sL%s %sL%s %sL%s %sL%s %sZ"/>`,
		left, y(0.5), middle, y(0), right, y(1), right, y(0.25), middle, y(0), left, y(-0.5)))
	assert.Contains(t, s, ">+4.00, passes</text>")
	assert.Contains(t, s, `class="soft" x="224" y="15" text-anchor="end">+0.50</text>`)
	assert.Contains(t, s, "calm at strength +0.5: +2.00 nats\nrandom directions: +0.25 to +1.00")

	table, err := FeelingTable(f)
	require.NoError(t, err)
	assert.Contains(t, string(table), `<tr><td>calm</td><td class="n">+4.00</td><td class="n">1 of 1</td><td class="n">−2.00</td><td class="n">1.50</td><td>yes</td><td class="n">5.00</td><td>no</td>`)
	assert.Contains(t, string(table), "random mixtures of how stories differ")
}

func TestFeelingsCheck(t *testing.T) {
	for want, spoil := range map[string]func(*Feelings){
		"strengths":  func(f *Feelings) { f.Strengths = []float64{0.5, 0, 1} },
		"emotions":   func(f *Feelings) { f.Emotions = nil },
		"curve":      func(f *Feelings) { f.Emotions[1].Curve = f.Emotions[1].Curve[1:] },
		"effects":    func(f *Feelings) { f.Emotions[0].Effects = nil },
		"controls":   func(f *Feelings) { f.Control = "labels" },
		"covariance": func(f *Feelings) { f.Emotions[0].Controls["covariance"].Curves[0] = nil },
	} {
		f := sampleFeelings()
		spoil(f)
		_, err := FeelingCurves(f)
		require.ErrorContains(t, err, want)
		_, err = FeelingTable(f)
		require.ErrorContains(t, err, want)
	}
}

// sampleDemo has all that a demonstration can have.
func sampleDemo(t *testing.T) Demo {
	t.Helper()
	unseen, all := manyEmotions(), manyEmotions()
	story, talk := sample(t), sample(t)
	d := Demo{
		Seconds: 42, Model: DemoModel{Name: "small", Embedded: true, Parameters: 4295936, Blocks: 6, Width: 256, Bytes: 4700000, Format: "Q8_0"},
		Checks:       []DemoCheck{{"means_sha256", "means", "aa11", "aa11", true}, {"readme_sha256", "states", "bb22", "bb22", true}},
		Vectors:      DemoVectors{Emotions: 171, Stories: 4104, Sites: []string{"resid_post:0"}},
		Geometry:     DemoGeometry{Unseen: &unseen, All: &all},
		Story:        &story,
		Conversation: &talk,
		Prompt:       "Once", Feelings: sampleFeelings(),
		Card: &Card{Made: []string{"It was made."}},
	}
	unseen.InSample = false
	unseen.Topics, unseen.Stories = []string{"night", "cafe"}, 342
	unseen.Tests = map[string]GeometryTest{"valence": {R: Means{0.71, 0.1}, Intervals: []*[2]float64{{0.6, 0.8}, nil}, P: Means{0.0005, 1}, Component: 1, Null95: 0.26}}
	unseen.Controls = map[string]GeometryControl{"shuffled_labels": {Best95: map[string]float64{"valence": 0.25}}}
	unseen.Baselines = map[string]GeometryBaseline{"tfidf": {Tests: map[string]GeometryTest{"valence": {R: Means{-0.45, 0}, P: Means{0.1, 1}, Intervals: []*[2]float64{nil, nil}, Component: 1}}}}
	all.Topics = make([]string, 24)
	all.Tests = map[string]GeometryTest{"valence": {R: Means{0.8, 0}, Intervals: []*[2]float64{nil, nil}, P: Means{0.0005, 1}, Component: 1}}
	d.Identification = &Identification{
		IdentificationScore: IdentificationScore{IdentificationFigures: IdentificationFigures{Top1: 0.12, Top5: 0.3, Family: 0.45}}, N: 342, Emotions: 171,
		Baselines: map[string]IdentificationScore{"tfidf": {IdentificationFigures: IdentificationFigures{Top1: 0.17, Top5: 0.41, Family: 0.36}}},
	}
	d.Identification.Chance.Family, d.Identification.Chance.Top1 = 0.1, 0.0058
	for _, r := range []struct {
		name     string
		strength float64
		control  bool
	}{{"happy", -0.5, false}, {"happy", 0, false}, {"random-1", -0.5, true}, {"random-2", -0.5, true}} {
		d.Steer.Rows = append(d.Steer.Rows, DemoRow{Name: r.name, Strength: r.strength, Control: r.control, Text: " text of " + r.name, KL: 0.25})
	}
	d.Card.Figures = append(d.Card.Figures, CardFigure{Name: "loss", Value: "2.1 nats", Beside: "3.0 of counts", Note: "held out"})
	return d
}

func demoPageOf(t *testing.T, d Demo) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteDemo(&b, d))
	return b.String()
}

// The page's figures are the document's, each beside what to compare it with.
func TestDemoPage(t *testing.T) {
	p := demoPageOf(t, sampleDemo(t))
	heads := between(t, p, `id="headlines"`, "</section>")
	for _, part := range []string{
		"<b>r 0.71</b><span>95 %: &#43;0.60 to &#43;0.80; component 1 of the vectors, p 0.0005</span>",
		"<li>0.26 with permuted ratings (95th percentile)</li><li>0.25 from stories with shuffled labels (95th percentile)</li><li>0.45 from the words of the stories alone</li><li>0.80 from all 24 topics, in sample</li>",
		"<b>45 %</b>", "10 % by chance (the emotion itself 0.6 %)", "36 % from the stories&#39; words (the emotion itself 17 %)",
		"<b>1 of 2</b>", "0.3 if the vectors were random directions", "0 of 2 beside 2 random mixtures of how stories differ, a harder control",
		"<b>2 of 2</b>", "The model was trained on no text about these topics",
	} {
		assert.Contains(t, heads, part)
	}
	for _, id := range []string{"geometry", "similarity", "stories", "story", "talk", "steering", "texts", "bits", "model"} {
		assert.Equal(t, 1, strings.Count(p, `id="`+id+`"`), id)
		assert.Contains(t, p, `href="#`+id+`"`)
	}
	assert.Contains(t, p, "aa11, as the README states")
	assert.Contains(t, p, "text of random-1 (KL 0.25)")
	assert.Contains(t, p, "<td>loss</td><td class=\"n\">2.1 nats</td><td>3.0 of counts</td>")
	assert.Equal(t, 3, strings.Count(p, "<script"), "two texts' data and the script")
	// Every figure says how it was made and what a failure would look like.
	assert.Equal(t, 7, strings.Count(p, "What a failure would look like"))
	assert.Equal(t, 7, strings.Count(p, "How it was computed"))

	other := sampleDemo(t)
	other.Checks[1] = DemoCheck{Name: "readme_sha256", Got: "cc", Want: "bb22"}
	p = demoPageOf(t, other)
	assert.Contains(t, p, "cc, but the README states bb22")
	assert.Contains(t, p, "do not trust the figures above")
}

// What a demonstration lacks leaves no empty section and no link to it.
func TestDemoPageOfLittle(t *testing.T) {
	p := demoPageOf(t, Demo{Skipped: map[string]string{"geometry": "too few"}})
	for _, id := range []string{"geometry", "similarity", "stories", "story", "talk", "steering", "texts"} {
		assert.NotContains(t, p, `id="`+id+`"`)
		assert.NotContains(t, p, `href="#`+id+`"`)
	}
	assert.Contains(t, p, "a model without a name")

	bad := sampleDemo(t)
	bad.Story.Scores = nil
	require.ErrorContains(t, WriteDemo(&bytes.Buffer{}, bad), "scores")
	bad = sampleDemo(t)
	bad.Geometry.Unseen.Order = nil
	require.ErrorContains(t, WriteDemo(&bytes.Buffer{}, bad), "order")
}

// The page is well-formed, asks for nothing from elsewhere and allows its own
// style and script only, whatever the document says.
func TestDemoPageStandsAlone(t *testing.T) {
	const evil = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>` + "\x1b\u202e"
	d := sampleDemo(t)
	d.Model.Name, d.Model.Format, d.Prompt = evil, evil, evil
	d.Checks[0].Name, d.Checks[0].Got = evil, evil
	d.Feelings.Emotions[0].Emotion, d.Feelings.Emotions[0].Words = evil, []string{evil}
	d.Feelings.Prompts, d.Feelings.SiteText = []string{evil}, evil
	d.Steer.Rows[0].Name, d.Steer.Rows[0].Text, d.Steer.Rows[2].Text = evil, evil, evil
	d.Card.Made, d.Card.Figures[0].Note = []string{evil}, evil
	d.Skipped = map[string]string{evil: evil}
	d.Geometry.Unseen.Topics = []string{evil}
	d.Provenance.Limbic = evil
	d.Vectors.DefaultSite.Site = evil
	p := demoPageOf(t, d)
	assert.Equal(t, 3, strings.Count(p, "<script"))
	assert.NotContains(t, p, "<img")
	policy := html.UnescapeString(between(t, p, `"Content-Security-Policy" content="`, `"`))
	script := p[strings.LastIndex(p, "<script>")+len("<script>"):]
	script, _, _ = strings.Cut(script, "</script>")
	style := between(t, p, "<style>", "</style>")
	assert.Equal(t, fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", cspHash(style), cspHash(script)), policy)
	assert.Empty(t, regexp.MustCompile(`(?i)https?:|url\(|@import|<link|<img|<iframe|<base`).FindAllString(p, -1))

	outside := strings.Replace(strings.Replace(p, style, "", 1), script, "", 1)
	var open []string
	tag := regexp.MustCompile(`<(/?)([a-zA-Z0-9]+)((?:\s+[a-zA-Z:-]+(?:="[^"<]*")?)*)\s*(/?)>`)
	for _, m := range tag.FindAllStringSubmatch(outside, -1) {
		for _, a := range regexp.MustCompile(`([a-zA-Z:-]+)(?:="([^"]*)")?`).FindAllStringSubmatch(m[3], -1) {
			assert.False(t, a[1] == "style" || a[1] == "src" || strings.HasPrefix(a[1], "on"), a[0])
			assert.False(t, a[1] == "href" && !strings.HasPrefix(a[2], "#"), a[0])
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
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 4295936: "4,295,936"} {
		assert.Equal(t, want, thousands(n))
	}
}
