package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

// Demo is what "limbic demo --json" prints.
type Demo struct {
	Seconds        float64           `json:"seconds"`
	MeansSHA256    string            `json:"means_sha256"`
	ReadmeSHA256   string            `json:"readme_sha256"`
	Model          DemoModel         `json:"model"`
	Checks         []DemoCheck       `json:"checks"`
	Vectors        DemoVectors       `json:"vectors"`
	Geometry       DemoGeometry      `json:"geometry"`
	Identification *Identification   `json:"identification"`
	Story          *Tokens           `json:"story"`
	Conversation   *Tokens           `json:"conversation"`
	Prompt         string            `json:"prompt"`
	Steer          DemoSweep         `json:"steer"`
	Feelings       *Feelings         `json:"feelings"`
	Card           *Card             `json:"card"`
	Skipped        map[string]string `json:"skipped"`
	Provenance     Provenance        `json:"provenance"`
}

// A DemoGeometry is how the vectors lie to each other, formed from stories on
// topics that were left out, and from all.
type DemoGeometry struct {
	Unseen *Geometry `json:"unseen"`
	All    *Geometry `json:"all"`
}

// Shown is the geometry that figures are drawn of; nil if there is none.
func (g *DemoGeometry) Shown() *Geometry {
	if g.Unseen != nil {
		return g.Unseen
	}
	return g.All
}

// A DemoModel says what model was looked at.
type DemoModel struct {
	Name       string `json:"name"`
	Embedded   bool   `json:"embedded"` // in the program
	SHA256     string `json:"sha256"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
	Blocks     int    `json:"blocks"`
	Width      int    `json:"width"`
	Vocabulary int    `json:"vocabulary"`
	Context    int    `json:"context"`
	Format     string `json:"quantisation"`
}

// A DemoCheck compares a hash with what the README states.
type DemoCheck struct {
	Name  string `json:"name"`
	What  string `json:"what"`
	Got   string `json:"got"`
	Want  string `json:"want"` // "" where nothing is stated
	Match bool   `json:"match"`
}

// DemoVectors says what vectors were built.
type DemoVectors struct {
	Emotions    int      `json:"emotions"`
	Sites       []string `json:"sites"`
	DefaultSite Site     `json:"default_site"`
	Stories     int      `json:"stories"`
	Neutral     int      `json:"neutral_texts"`
	Tokens      int      `json:"tokens"`
	Seconds     float64  `json:"seconds"`
	Recipe      struct {
		Corpus string   `json:"corpus_sha256"`
		From   int      `json:"from"`
		Topics []string `json:"topics"`
		Hands  bool     `json:"centred_in_hands"`
	} `json:"recipe"`
}

// A DemoSweep is a prompt continued at several strengths: what "limbic steer
// --json" prints.
type DemoSweep struct {
	Rows []DemoRow `json:"rows"`
}

// A DemoRow is a continuation at one strength. KL is in nats a token.
type DemoRow struct {
	Name     string  `json:"name"` // of the emotion or the control
	Strength float64 `json:"strength"`
	Text     string  `json:"text"`
	KL       float64 `json:"kl"`
	Control  bool    `json:"control"`
}

// Identification is how often vectors find the emotion of stories that were left
// out: the part that pages show of what "limbic vectors eval --json" prints.
type Identification struct {
	IdentificationScore
	Chance struct {
		Top1   float64 `json:"top1"`
		Top5   float64 `json:"top5"`
		Family float64 `json:"family"`
	} `json:"chance"`
	Baselines map[string]IdentificationScore `json:"baselines"`
	Families  []struct {
		Family   string  `json:"family"`
		N        int     `json:"n"`
		Accuracy float64 `json:"accuracy"`
		Top1     float64 `json:"top1"`
		Chosen   int     `json:"chosen"`
	} `json:"families"`
	Readout      string   `json:"readout"`
	SiteText     string   `json:"site_text"`
	N            int      `json:"n"`
	Topics       []string `json:"topics"`
	TrainTopics  []string `json:"train_topics"`
	TrainStories int      `json:"train_stories"`
	Emotions     int      `json:"emotions"`
	Bootstrap    int      `json:"bootstrap"`
}

// Count is the number of test stories, in words.
func (id *Identification) Count() string { return plural(id.N, "story", "stories") }

// Trained is the number of training stories, in words.
func (id *Identification) Trained() string { return plural(id.TrainStories, "story", "stories") }

// An IdentificationScore is how well one way of reading does. Figures are
// shares.
type IdentificationScore struct {
	IdentificationFigures
	Intervals *struct {
		Top1   [2]float64 `json:"top1"`
		Top5   [2]float64 `json:"top5"`
		Family [2]float64 `json:"family"`
	} `json:"intervals"`
	P IdentificationFigures `json:"p"`
}

// IdentificationFigures are shares of stories, or p values of such.
type IdentificationFigures struct {
	Top1   float64 `json:"top1"`
	Top5   float64 `json:"top5"`
	Family float64 `json:"family"`
}

// A Card says of a model what it does not show itself.
type Card struct {
	Made    []string     `json:"made"` // paragraphs
	Figures []CardFigure `json:"figures"`
}

// A CardFigure is something that was measured when the model was trained.
type CardFigure struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Beside string `json:"beside"` // what to compare it with
	Note   string `json:"note"`   // how it was measured
}

//go:embed page/demo.html
var demoHTML string

//go:embed page/demo.css
var demoCSS string

var demoTemplate = template.Must(template.Must(template.New("demo").Parse(probeHTML)).Parse(demoHTML))

// demoPage is what the template shows.
type demoPage struct {
	StyleHash, ScriptHash string
	Style                 template.CSS
	Script                template.JS

	*Demo
	Title, ModelName, Size, Version string
	Headlines                       []headline
	Basis                           string // of the geometry
	Unseen                          bool   // the model has not read the topics
	Stories                         string

	Summary, Map, Matrix, Clusters, Neighbours, Layers, Curves, FeelingRows template.HTML

	Ways, FamilyRows          []wayRow
	StoryPage, Talk           *tokensPage
	SteerName                 string
	Continuations             []continuation
	ControlNames              []string
	Others                    []continuation
	Facts                     []fact
	Hashes                    []fact
	HeadlineControl, Harder   string
	FeelingLow, FeelingHigh   string
	FeelingChance, HarderText string
}

// A headline is a figure beside what to compare it with.
type headline struct {
	Question, Section string
	Value, Detail     string
	Beside            []string
}

type wayRow struct {
	Name                 string
	Top1, Top5, Family   string
	Head                 bool
	Stories, Named, Read string
}

// A continuation is what a prompt goes on with at one strength, under the
// emotion's vector and under random directions.
type continuation struct {
	Strength string
	Text, KL string
	Controls []string
}

// WriteDemo writes a demonstration as one HTML file: the headline figures beside
// chance, baselines and controls, the map and the matrix of emotions, a story
// and a conversation coloured token by token, steering beside random
// directions, and the hashes to check.
func WriteDemo(w io.Writer, d Demo) error {
	style := tokensCSS + levelStyles() + geometryCSS + demoCSS
	p := &demoPage{
		Style: template.CSS(style), StyleHash: cspHash(style), Script: template.JS(tokensJS), ScriptHash: cspHash(tokensJS),
		Demo: &d, ModelName: Visible(d.Model.Name), Version: Visible(d.Provenance.Limbic),
		Size: fmt.Sprintf("%s parameters in %s of width %d, %s, %.1f MB", thousands(d.Model.Parameters), counted(d.Model.Blocks, "block"), d.Model.Width, Visible(d.Model.Format), float64(d.Model.Bytes)/1e6),
	}
	p.Stories = thousands(int64(d.Vectors.Stories))
	if p.ModelName == "" {
		p.ModelName = "a model without a name"
	}
	p.Title = "Emotion vectors of " + p.ModelName
	for _, step := range []func() error{p.addGeometry, p.addIdentification, p.addTexts, p.addSteering} {
		if err := step(); err != nil {
			return err
		}
	}
	p.addHashes()
	p.addFacts()
	if err := demoTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// thousands writes a number in groups of three digits.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(x float64) string {
	if x < 0.0995 {
		return fmt.Sprintf("%.1f %%", 100*x)
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

func (p *demoPage) addGeometry() error {
	g, all := p.Geometry.Unseen, p.Geometry.All
	if g == nil {
		g, all = all, nil
	}
	if g == nil {
		return nil
	}
	p.Unseen = !g.InSample
	p.Basis = fmt.Sprintf("%s on %s (%s)", plural(g.Stories, "story", "stories"), counted(len(g.Topics), "topic"), Visible(strings.Join(g.Topics, ", ")))
	if len(g.Topics) > 8 {
		p.Basis = fmt.Sprintf("%s on %s", plural(g.Stories, "story", "stories"), counted(len(g.Topics), "topic"))
	}
	for _, f := range []struct {
		to   *template.HTML
		draw func(*Geometry) (template.HTML, error)
	}{
		{&p.Summary, GeometrySummary}, {&p.Map, EmotionMap}, {&p.Matrix, SimilarityMatrix},
		{&p.Clusters, ClusterTable}, {&p.Neighbours, NeighbourTable}, {&p.Layers, LayerTable},
	} {
		var err error
		if *f.to, err = f.draw(g); err != nil {
			return err
		}
	}
	for _, x := range []struct{ key, question string }{
		{"valence", "Do the vectors order emotions by how pleasant people find them?"},
		{"arousal", "And by how exciting?"},
	} {
		t := g.Tests[x.key]
		r, pv := t.best()
		if math.IsNaN(r) {
			continue
		}
		h := headline{Question: x.question, Section: "geometry", Value: fmt.Sprintf("r %.2f", r), Detail: fmt.Sprintf("component %d of the vectors, p %s", t.Component, pText(pv))}
		if in := t.Intervals[t.Component-1]; in != nil {
			low, high := in[0], in[1]
			if t.R[t.Component-1] < 0 {
				low, high = -high, -low
			}
			h.Detail = fmt.Sprintf("95 %%: %s to %s; %s", rText(low), rText(high), h.Detail)
		}
		h.Beside = append(h.Beside, fmt.Sprintf("%.2f with permuted ratings (95th percentile)", t.Null95))
		if c, ok := g.Controls["shuffled_labels"]; ok {
			h.Beside = append(h.Beside, fmt.Sprintf("%.2f from stories with shuffled labels (95th percentile)", c.Best95[x.key]))
		}
		for _, b := range baselineNames {
			base, ok := g.Baselines[b.key]
			if !ok || b.key != "tfidf" && b.key != "embeddings" {
				continue
			}
			bt := base.Tests[x.key]
			if br, _ := bt.best(); !math.IsNaN(br) {
				h.Beside = append(h.Beside, fmt.Sprintf("%.2f from the %s alone", br, strings.TrimSuffix(b.name, " (tf-idf)")))
			}
		}
		if all != nil {
			at := all.Tests[x.key]
			if ar, _ := at.best(); !math.IsNaN(ar) {
				h.Beside = append(h.Beside, fmt.Sprintf("%.2f from all %d topics, in sample", ar, len(all.Topics)))
			}
		}
		p.Headlines = append(p.Headlines, h)
	}
	if a := g.Agreement; a != nil {
		p.Headlines = append(p.Headlines, headline{
			Question: "Do their clusters fall into the study's families of emotions?", Section: "geometry",
			Value: fmt.Sprintf("Rand %s", cosineText(a.ARI)), Detail: "adjusted for chance, p " + pText(a.P.ARI),
			Beside: []string{fmt.Sprintf("%s with permuted families", cosineText(a.Chance.ARI)), "1 would be the same families"},
		})
	}
	return nil
}

// wayNames are the baselines of identification, in the order of tables.
var wayNames = []struct{ key, name string }{
	{"tfidf", "words of the stories (tf-idf)"}, {"function_words", "function words alone"},
	{"punctuation_length", "punctuation and length alone"}, {"embeddings", "token embeddings, read in the same way"},
}

func (p *demoPage) addIdentification() error {
	id := p.Identification
	if id == nil {
		return nil
	}
	cell := func(x float64, in *[2]float64) string {
		if in == nil {
			return percent(x)
		}
		return fmt.Sprintf("%s [%.0f, %.0f]", percent(x), 100*in[0], 100*in[1])
	}
	add := func(name string, s *IdentificationScore, head bool) {
		row := wayRow{Name: name, Head: head, Top1: percent(s.Top1), Top5: percent(s.Top5), Family: percent(s.Family)}
		if in := s.Intervals; in != nil {
			row.Top1, row.Top5, row.Family = cell(s.Top1, &in.Top1), cell(s.Top5, &in.Top5), cell(s.Family, &in.Family)
		}
		p.Ways = append(p.Ways, row)
	}
	add("these vectors", &id.IdentificationScore, true)
	for _, b := range wayNames {
		if s, ok := id.Baselines[b.key]; ok {
			add(b.name, &s, false)
		}
	}
	p.Ways = append(p.Ways, wayRow{Name: "chance", Top1: percent(id.Chance.Top1), Top5: percent(id.Chance.Top5), Family: percent(id.Chance.Family)})
	for _, f := range id.Families {
		p.FamilyRows = append(p.FamilyRows, wayRow{Name: Visible(f.Family), Stories: fmt.Sprint(f.N), Family: percent(f.Accuracy), Top1: percent(f.Top1), Read: fmt.Sprint(f.Chosen)})
	}
	h := headline{
		Question: fmt.Sprintf("Do they find the emotion of a story, one of %d?", id.Emotions), Section: "stories",
		Value:  percent(id.Family),
		Detail: fmt.Sprintf("family found (of ten, macro-averaged); the emotion itself %s, among the first five %s", percent(id.Top1), percent(id.Top5)),
		Beside: []string{fmt.Sprintf("%s by chance (the emotion itself %s)", percent(id.Chance.Family), percent(id.Chance.Top1))},
	}
	for _, b := range wayNames {
		if s, ok := id.Baselines[b.key]; ok && b.key != "punctuation_length" {
			h.Beside = append(h.Beside, fmt.Sprintf("%s from %s (the emotion itself %s)", percent(s.Family), strings.Replace(b.name, "words of the stories (tf-idf)", "the stories' words", 1), percent(s.Top1)))
		}
	}
	p.Headlines = append(p.Headlines, h)
	return nil
}

// fewStrips is how many emotions a page of a demonstration draws along a text.
const fewStrips = 4

func (p *demoPage) addTexts() error {
	for _, x := range []struct {
		t      *Tokens
		prefix string
		to     **tokensPage
	}{{p.Story, "story-", &p.StoryPage}, {p.Conversation, "talk-", &p.Talk}} {
		if x.t == nil {
			continue
		}
		if err := x.t.Check(); err != nil {
			return err
		}
		t := *x.t
		t.Emotions, t.Shown = visible(t.Emotions), visible(t.Shown)
		t.Shown = t.Shown[:min(len(t.Shown), fewStrips)]
		page := newTokensPage(&t)
		page.Prefix = x.prefix
		*x.to = page
	}
	return nil
}

func (p *demoPage) addSteering() error {
	at := map[float64]int{}
	for _, r := range p.Steer.Rows {
		if r.Control {
			if !slices.Contains(p.ControlNames, Visible(r.Name)) {
				p.ControlNames = append(p.ControlNames, Visible(r.Name))
			}
			continue
		}
		p.SteerName = Visible(r.Name)
		at[r.Strength] = len(p.Continuations)
		p.Continuations = append(p.Continuations, continuation{Strength: strengthText(r.Strength), Text: continued(r.Text), KL: fmt.Sprintf("%.2f", r.KL)})
	}
	for _, r := range p.Steer.Rows {
		if i, ok := at[r.Strength]; ok && r.Control {
			p.Continuations[i].Controls = append(p.Continuations[i].Controls, fmt.Sprintf("%s (KL %.2f)", continued(r.Text), r.KL))
		}
	}
	f := p.Feelings
	if f == nil {
		return nil
	}
	var err error
	if p.Curves, err = FeelingCurves(f); err != nil {
		return err
	}
	if p.FeelingRows, err = FeelingTable(f); err != nil {
		return err
	}
	p.FeelingLow, p.FeelingHigh = strengthText(f.Strengths[0]), strengthText(f.Strengths[len(f.Strengths)-1])
	p.HeadlineControl = controlName(f.Control)
	p.FeelingChance = fmt.Sprintf("%.1f", f.Chance)
	n := len(f.Emotions)
	h := headline{
		Question: "Does steering move the words for a feeling?", Section: "steering",
		Value: fmt.Sprintf("%d of %d", f.Passes, n), Detail: fmt.Sprintf("emotions whose words rise more than under any of %d random directions, p %s", f.Directions, pText(f.P)),
		Beside: []string{
			fmt.Sprintf("%.1f if the vectors were random directions", f.Chance),
			fmt.Sprintf("%.1f with the vectors dealt to the emotions at random", f.Dealt),
		},
	}
	for _, kind := range f.kinds()[1:] {
		c := f.Counts[kind]
		p.Harder = controlName(kind)
		p.HarderText = fmt.Sprintf("%d of %d", c.Passes, n)
		h.Beside = append(h.Beside, fmt.Sprintf("%d of %d beside %d %s, a harder control", c.Passes, n, f.Directions, p.Harder))
	}
	p.Headlines = append(p.Headlines, h)
	return nil
}

// continued makes a continuation fit to show: the space that most begin with
// would only look like a mistake.
func continued(s string) string { return Visible(strings.TrimPrefix(s, " ")) }

func (p *demoPage) addHashes() {
	stated, match := 0, 0
	for _, c := range p.Checks {
		text := c.Got
		switch {
		case c.Match:
			text += ", as the README states"
		case c.Want != "":
			text += ", but the README states " + c.Want
		}
		p.Hashes = append(p.Hashes, fact{Visible(c.Name), Visible(text), true})
		if c.Want != "" {
			stated++
		}
		if c.Match {
			match++
		}
	}
	if stated == 0 {
		return
	}
	h := headline{Question: "Does this machine compute the same bits as others?", Section: "bits", Value: fmt.Sprintf("%d of %d", match, stated), Detail: "hashes are those that the README states"}
	if match < stated {
		h.Detail += ". This machine, or this build, computes something else: do not trust the figures above"
	}
	p.Headlines = append(p.Headlines, h)
}

func (p *demoPage) addFacts() {
	add := func(name, text string, mono bool) {
		if text != "" {
			p.Facts = append(p.Facts, fact{name, Visible(text), mono})
		}
	}
	v := &p.Vectors
	hands := "stories are not told apart by who wrote them"
	if v.Recipe.Hands {
		hands = "emotions are compared within the hands that wrote the stories"
	}
	add("model", p.ModelName+", "+p.Size, false)
	add("model SHA-256", p.Model.SHA256, true)
	add("vectors", fmt.Sprintf("%s at the output of %s, from %s on %s; a story's mean runs over its tokens from the %dth on; %s; components of %s removed",
		counted(v.Emotions, "emotion"), counted(len(v.Sites), "block"), plural(v.Stories, "story", "stories"), counted(len(v.Recipe.Topics), "topic"), v.Recipe.From, hands, counted(v.Neutral, "neutral text")), false)
	add("tokens", fmt.Sprintf("%s, read in %.0f s", thousands(int64(v.Tokens)), v.Seconds), false)
	add("site", v.DefaultSite.Site+", the "+v.DefaultSite.Description, false)
	add("corpus SHA-256", v.Recipe.Corpus, true)
	if g := p.Geometry.All; g != nil {
		add("human ratings", g.Source, false)
	}
	x := &p.Provenance
	add("computed", strings.Join(slices.DeleteFunc([]string{"limbic " + x.Limbic, x.Revision, "kernels " + x.Kernels, "precision " + x.Precision, keysAndValues(x.KV)}, func(s string) bool { return s == "" }), ", "), false)
	add("took", fmt.Sprintf("%.0f s", p.Seconds), false)
}
