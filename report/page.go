package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed page/tokens.html
var tokensHTML string

//go:embed page/tokens.css
var tokensCSS string

//go:embed page/tokens.js
var tokensJS string

//go:embed page/probe.html
var probeHTML string

var tokensTemplate = template.Must(template.Must(template.New("tokens").Parse(probeHTML)).Parse(tokensHTML))

// WriteTokens writes a scored text as one HTML file: the text coloured by one
// emotion, the scores along the text, the means, a table of tokens, and how
// everything was computed.
func WriteTokens(w io.Writer, t Tokens) error {
	if err := t.Check(); err != nil {
		return err
	}
	// Names come from files too.
	t.Emotions, t.Shown = visible(t.Emotions), visible(t.Shown)
	page := newTokensPage(&t)
	page.HasTable = true
	if err := tokensTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func visible(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, Visible(n))
	}
	return out
}

// How much a page shows at once.
const (
	chosen     = 6   // emotions in the chart and the table of tokens, unless the result names them
	mostStrips = 12  // emotions there, however many the result names
	fewMeans   = 24  // emotions of which the table shows all
	topMeans   = 12  // of more, it shows so many from the top
	lastMeans  = 6   // and from the bottom
	fewTokens  = 120 // tokens with which the table of tokens is open from the start
)

// tokensPage is what the template shows.
type tokensPage struct {
	StyleHash, ScriptHash string
	Style                 template.CSS
	Script                template.JS
	Data                  pageData
	Prefix                string // of ids, where a page shows several texts
	HasTable              bool   // the page has the table of tokens too

	Title, Model, Site, SiteWords, Score, Formula, Center, Version string
	First                                                          string
	Emotions                                                       []option
	Swatches                                                       []string
	Scale, ScaleLow, ScaleHigh, Count                              string
	Pieces                                                         []pagePiece
	HasBOS                                                         bool
	BOS                                                            string

	Strips                     []strip
	StripNames, StripWhich     string
	ChartHeight                int
	TickY, AxisY               int
	Ticks                      []tick
	Range, RangeLow, RangeHigh string

	Means, Middle, Last []meanRow
	MeanOver, MeanRange string

	OpenTokens bool
	TokenCount string
	Columns    []string
	Rows       []tokenRow

	Facts []fact
}

// pageData is what the script works on.
type pageData struct {
	Emotions []string    `json:"emotions"`
	Tokens   []string    `json:"tokens"`
	Scores   [][]float64 `json:"scores"`
	From     int         `json:"from"`
	Scale    float64     `json:"scale"`
	Levels   int         `json:"levels"`
}

type option struct {
	Name  string
	First bool
}

// A pagePiece is a token in the text. Kind is the part of its class that does
// not depend on the emotion shown.
type pagePiece struct {
	Class, Kind string
	Index       int
	Title       string
	Lines       []string
}

type strip struct {
	Top                       int
	Name, Mean                string
	Curve, Positive, Negative string
}

type tick struct {
	X     string
	Label int
}

type meanRow struct {
	Rank                              int
	Name, Mean, Cosine, Low, High, At string
	X, Width, Class                   string
}

type tokenRow struct {
	Index        int
	Bytes, Token string
	Values       []string
	Highest      string
}

type fact struct {
	Name, Text string
	Mono       bool
}

func newTokensPage(t *Tokens) *tokensPage {
	display := t.Display(chosen)
	first := display[0]
	scale := t.Scale()
	style := tokensCSS + levelStyles()
	p := &tokensPage{
		Style: template.CSS(style), StyleHash: cspHash(style),
		Script: template.JS(tokensJS), ScriptHash: cspHash(tokensJS),
		Title: "Emotion scores, token by token", Model: Visible(t.Provenance.Model), Site: Visible(t.Site), Score: Visible(t.Score),
		Formula: Visible(t.Provenance.Definitions["score"]), Version: Visible(t.Provenance.Limbic),
		First: t.Emotions[first], Count: counted(len(t.Emotions), "emotion"),
		Scale: plain(scale), ScaleLow: number(-scale), ScaleHigh: number(scale),
		TokenCount: counted(len(t.Tokens), "token"), OpenTokens: len(t.Tokens) <= fewTokens,
		MeanOver: counted(t.MeanCount(), "token"),
	}
	if len(t.ID) > 0 {
		id := string(t.ID)
		// What is no string is shown as it is written.
		_ = json.Unmarshal(t.ID, &id)
		p.Title += ": " + Visible(id)
	}
	if p.Model == "" {
		p.Model = "without a name"
	}
	if t.Score == "centered" {
		if p.Center = t.Provenance.Definitions["center"]; p.Center == "" {
			p.Center = t.Center
		}
		p.Center = Visible(p.Center)
	}
	for _, s := range t.Provenance.Sites {
		if s.Site == t.Site {
			p.SiteWords = Visible(s.Description)
		}
	}
	for i, name := range t.Emotions {
		p.Emotions = append(p.Emotions, option{name, i == first})
	}
	for n := -Levels; n <= Levels; n++ {
		p.Swatches = append(p.Swatches, levelClass(n))
	}
	p.addText(t, first, scale)
	display = display[:min(len(display), mostStrips)]
	p.addChart(t, display)
	p.addMeans(t)
	p.addRows(t, display)
	p.addFacts(t)
	p.Data = pageData{Emotions: t.Emotions, From: t.MeanFrom, Scale: scale, Levels: Levels, Tokens: []string{}, Scores: [][]float64{}}
	for i, row := range t.Scores {
		p.Data.Tokens = append(p.Data.Tokens, strconv.Quote(t.Tokens[i].Text))
		// Four digits are what the script shows, and half the size.
		values := make([]float64, len(row))
		for k, v := range row {
			values[k], _ = strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', 4, 32), 64)
		}
		p.Data.Scores = append(p.Data.Scores, values)
	}
	return p
}

func (p *tokensPage) addText(t *Tokens, first int, scale float64) {
	for i, piece := range t.Pieces() {
		tok := t.Tokens[i]
		out := pagePiece{Index: i}
		text := Visible(piece.Text)
		switch {
		case piece.Special:
			out.Kind = "s"
		case piece.Partial:
			out.Kind, text = "e", "▯"
		}
		out.Lines = strings.Split(text, "\n")
		out.Class = out.Kind
		if i >= t.MeanFrom {
			out.Class = strings.TrimSpace(out.Kind + " " + levelClass(Level(float64(t.Scores[i][first]), scale)))
		} else {
			p.HasBOS, p.BOS = true, Visible(tok.Text)
		}
		out.Title = fmt.Sprintf("token %d %s, bytes %d to %d\n%s %s\nhighest: %s", i, strconv.Quote(tok.Text), tok.Start, tok.End,
			t.Emotions[first], number(float64(t.Scores[i][first])), t.highest(i, 3))
		p.Pieces = append(p.Pieces, out)
	}
}

// highest names the emotions that score highest at a token.
func (t *Tokens) highest(token, n int) string {
	var list []string
	for _, e := range t.Highest(token, n) {
		list = append(list, t.Emotions[e]+" "+number(float64(t.Scores[token][e])))
	}
	return strings.Join(list, ", ")
}

// The chart's geometry, in the units of its view box, which is 720 wide.
const (
	plotLeft, plotRight = 46, 712
	stripHeight         = 80
	stripZero           = 42 // within the strip
	stripReach          = 24 // from zero to the range's end
)

func (p *tokensPage) addChart(t *Tokens, display []int) {
	n := len(t.Tokens) - t.MeanFrom
	if n == 0 {
		return
	}
	most := 0.0
	for _, row := range t.Scores[t.MeanFrom:] {
		for _, e := range display {
			most = max(most, math.Abs(float64(row[e])))
		}
	}
	if most == 0 {
		most = 1
	}
	p.Range, p.RangeLow, p.RangeHigh = plain(most), number(-most), number(most)
	x := func(i int) float64 { // of the middle of the token's place
		return plotLeft + (plotRight-plotLeft)*(float64(i)+0.5)/float64(n)
	}
	var names []string
	for k, e := range display {
		s := strip{Top: k * stripHeight, Name: short(t.Emotions[e], 40), Mean: number(t.Mean[e])}
		ys := make([]float64, n)
		for i := range n {
			ys[i] = float64(t.Scores[t.MeanFrom+i][e]) / most
		}
		s.Curve, s.Positive, s.Negative = paths(ys, x)
		p.Strips = append(p.Strips, s)
		names = append(names, t.Emotions[e])
	}
	p.StripNames = strings.Join(names, ", ")
	p.StripWhich = "the emotions asked for"
	switch {
	case len(t.Shown) > len(display):
		p.StripWhich = fmt.Sprintf("the first %d of the emotions asked for", len(display))
	case len(t.Shown) == 0:
		p.StripWhich = fmt.Sprintf("the %d emotions with the highest means", len(display))
	}
	p.TickY = len(display)*stripHeight + 4
	p.AxisY = p.TickY + 16
	p.ChartHeight = p.AxisY + 6
	step := 1
	for i := 0; n/step > 12; i++ {
		step = []int{2, 5, 10}[i%3] * int(math.Pow10(i/3))
	}
	for i := range n {
		if label := t.MeanFrom + i; label%step == 0 {
			p.Ticks = append(p.Ticks, tick{coordinate(x(i)), label})
		}
	}
}

// paths draws values between -1 and 1 as a curve, and fills what lies between
// it and zero, above and below apart. A single value is drawn as a short line.
func paths(ys []float64, x func(int) float64) (curve, positive, negative string) {
	type point struct{ x, y float64 }
	var pts []point
	if len(ys) == 1 {
		pts = []point{{x(0) - 12, ys[0]}, {x(0) + 12, ys[0]}}
	}
	for i, y := range ys {
		if len(ys) == 1 {
			break
		}
		// Where the curve crosses zero, both fillings need a point there.
		if i > 0 && (y > 0) != (ys[i-1] > 0) {
			share := ys[i-1] / (ys[i-1] - y)
			pts = append(pts, point{x(i-1) + share*(x(i)-x(i-1)), 0})
		}
		pts = append(pts, point{x(i), y})
	}
	draw := func(start string, clip func(float64) float64, end string) string {
		var b strings.Builder
		b.WriteString(start)
		for i, p := range pts {
			if i > 0 || start != "" {
				b.WriteByte('L')
			} else {
				b.WriteByte('M')
			}
			b.WriteString(coordinate(p.x) + " " + coordinate(stripZero-stripReach*clip(p.y)))
		}
		return b.String() + end
	}
	start := "M" + coordinate(pts[0].x) + " " + coordinate(stripZero)
	end := "L" + coordinate(pts[len(pts)-1].x) + " " + coordinate(stripZero) + "Z"
	return draw("", func(y float64) float64 { return y }, ""),
		draw(start, func(y float64) float64 { return max(y, 0) }, end),
		draw(start, func(y float64) float64 { return min(y, 0) }, end)
}

func (p *tokensPage) addMeans(t *Tokens) {
	most := 0.0
	for _, m := range t.Mean {
		if !math.IsNaN(m) {
			most = max(most, math.Abs(m))
		}
	}
	if most == 0 {
		most = 1
	}
	p.MeanRange = plain(most)
	var rows []meanRow
	for rank, e := range t.Order() {
		r := meanRow{Rank: rank + 1, Name: t.Emotions[e], Mean: number(t.Mean[e]), Cosine: "–", Low: "–", High: "–", X: "0", Width: "0"}
		if m := t.Mean[e] / most; !math.IsNaN(m) {
			r.X, r.Width, r.Class = coordinate4(min(m, 0)), coordinate4(math.Abs(m)), "fp"
			if m < 0 {
				r.Class = "fn"
			}
		}
		low, high, at, cosine := math.Inf(1), math.Inf(-1), 0, 0.0
		for i := range t.Tokens {
			if !t.MeanOver(i) {
				continue
			}
			v := float64(t.Scores[i][e])
			low = min(low, v)
			if v > high {
				high, at = v, i
			}
			cosine += float64(t.Cosine[i][e])
		}
		if n := t.MeanCount(); n > 0 {
			r.Cosine, r.Low, r.High = number(cosine/float64(n)), number(low), number(high)
			r.At = fmt.Sprintf("%d %s", at, short(strconv.Quote(t.Tokens[at].Text), 24))
		}
		rows = append(rows, r)
	}
	p.Means = rows
	if len(rows) > fewMeans {
		p.Means, p.Middle, p.Last = rows[:topMeans], rows[topMeans:len(rows)-lastMeans], rows[len(rows)-lastMeans:]
	}
}

func (p *tokensPage) addRows(t *Tokens, display []int) {
	for _, e := range display {
		p.Columns = append(p.Columns, t.Emotions[e])
	}
	for i, tok := range t.Tokens {
		r := tokenRow{Index: i, Bytes: fmt.Sprintf("%d–%d", tok.Start, tok.End), Token: strconv.Quote(tok.Text), Highest: t.highest(i, 2)}
		for _, e := range display {
			r.Values = append(r.Values, number(float64(t.Scores[i][e])))
		}
		p.Rows = append(p.Rows, r)
	}
}

func (p *tokensPage) addFacts(t *Tokens) {
	add := func(name, text string) {
		if text != "" {
			p.Facts = append(p.Facts, fact{name, Visible(text), false})
		}
	}
	hash := func(name, text string) {
		if text != "" {
			p.Facts = append(p.Facts, fact{name, Visible(text), true})
		}
	}
	list := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
	}
	v := &t.Provenance
	add("model", list(p.Model, v.Architecture, v.Quantisation))
	hash("model SHA-256", v.ModelSHA256)
	hash("tokenizer SHA-256", v.TokenizerSHA256)
	add("site", list(t.Site, p.SiteWords))
	add("score", list(t.Score, p.Formula))
	add("centre", p.Center)
	add("cosine", v.Definitions["cosine"])
	add("mean", v.Definitions["mean"])
	add("BOS", v.Definitions["bos"])
	add("special tokens in the text", v.Definitions["special_tokens_in_text"])
	add("steering", strings.Join(v.Steering, "; "))
	if len(v.Vectors) > 0 {
		x := v.Vectors[0]
		hands := "not centred within hands"
		if x.CentredInHands {
			hands = "centred within hands"
		}
		neutral := fmt.Sprintf("principal components with %.0f %% of the variance of %s (%s) removed",
			100*x.NeutralVariance, counted(x.NeutralTexts, "neutral text"), x.Neutral)
		if x.NeutralVariance == 0 || x.NeutralTexts == 0 {
			neutral = "no neutral components removed"
		}
		by := ""
		if x.Limbic != "" {
			by = "built by limbic " + x.Limbic
		}
		add("vectors", list("form "+x.Form, fmt.Sprintf("%s, %s on %s", counted(x.Emotions, "emotion"), plural(x.Stories, "story", "stories"), counted(x.Topics, "topic")),
			fmt.Sprintf("pooled from token %d to the last", x.From), hands, neutral, "text format "+x.Format, by))
		hash("vectors file SHA-256", x.FileSHA256)
		hash("corpus SHA-256", x.CorpusSHA256)
		hash("raw means SHA-256", x.MeansSHA256)
	}
	add("computed", list("limbic "+v.Limbic, v.Revision, "kernels "+v.Kernels, "precision "+v.Precision, keysAndValues(v.KV)))
}

// keysAndValues says how they were kept, where that is known.
func keysAndValues(kv string) string {
	if kv == "" {
		return ""
	}
	return "keys and values in " + kv
}

// levelClass is the class that gives a level its colour.
func levelClass(level int) string {
	switch {
	case level > 0:
		return "p" + strconv.Itoa(level)
	case level < 0:
		return "n" + strconv.Itoa(-level)
	}
	return ""
}

// cspHash is the source expression that allows a style or script of the page.
func cspHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// number is Number with a true minus sign and dash.
func number(x float64) string {
	s := Number(x)
	if s == "-" {
		return "–"
	}
	return strings.Replace(s, "-", "−", 1)
}

// plain is Number without the sign of a positive number.
func plain(x float64) string { return strings.TrimPrefix(number(x), "+") }

func coordinate(x float64) string { return trimmed(x, 1) }

func coordinate4(x float64) string { return trimmed(x, 4) }

func trimmed(x float64, digits int) string {
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if s = strings.TrimRight(strings.TrimRight(s, "0"), "."); s == "-0" {
		return "0"
	}
	return s
}

// short cuts a text at n characters.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) > n {
		return string([]rune(s)[:n-1]) + "…"
	}
	return s
}

func counted(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(int64(n)) + " " + many
}
