package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/limbic-go/limbic/experiment"
)

// viewWidth is how wide lists of names are.
const viewWidth = 96

// printGeometry writes the result for people.
func (a *app) printGeometry(r *geometryResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s, %s; form %s\n", counted(len(r.Emotions), "emotion"), r.Site, r.SiteText, r.Form)
	fmt.Fprintf(&b, "from %s stories on %s; %s\n", grouped(r.Stories), counted(len(r.Topics), "topic"), inSampleText(r.GeometryResult))
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "without a story on these topics, and left out: %s\n", strings.Join(r.Missing, ", "))
	}
	b.WriteByte('\n')
	if _, err := a.stdout.Write([]byte(b.String())); err != nil {
		return err
	}
	for _, t := range []*table{componentTable(r.GeometryResult), comparisonTable(r.GeometryResult)} {
		if err := a.print(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.stdout); err != nil {
			return err
		}
	}
	b.Reset()
	writeLegend(&b, r.GeometryResult)
	writeClusters(&b, r.GeometryResult)
	if _, err := a.stdout.Write([]byte(b.String())); err != nil {
		return err
	}
	if err := a.print(layerTable(r.GeometryResult)); err != nil {
		return err
	}
	if r.HTML != "" {
		_, err := fmt.Fprintf(a.stdout, "\nwrote %s\n", r.HTML)
		return err
	}
	return nil
}

func inSampleText(r *experiment.GeometryResult) string {
	if r.InSample {
		return "in sample, unless the model saw none of them in training (--unseen-topics)"
	}
	return "stated to be unseen by the model"
}

// rateNames are the ratings for people.
var rateNames = map[string]string{
	experiment.RateValence: "valence", experiment.RateArousal: "arousal", experiment.RateArousalPartial: "arousal*",
}

// componentTable shows the components, one a row.
func componentTable(r *experiment.GeometryResult) *table {
	t := &table{head: []string{"component", "variance"}, right: []bool{true, true, true, true, true, true}}
	for _, kind := range experiment.RatingKinds() {
		t.head = append(t.head, "r "+rateNames[kind])
	}
	t.head = append(t.head, "r length")
	for k := range r.Explained {
		row := []string{fmt.Sprint(k + 1), inPercent(r.Explained[k])}
		for _, kind := range experiment.RatingKinds() {
			x := r.Tests[kind]
			s := correlation(x.R[k])
			if in := x.Intervals[k]; in != nil {
				s += fmt.Sprintf(" [%+.2f, %+.2f]", in[0], in[1])
			}
			row = append(row, s)
		}
		t.add(append(row, correlation(r.LengthR[k]))...)
	}
	return t
}

func correlation(r float64) string {
	if math.IsNaN(r) {
		return "-"
	}
	return fmt.Sprintf("%+.2f", r)
}

// bestOf gives the largest |r| and its p.
func bestOf(t experiment.RatingTest) (r, p string) {
	if t.Component == 0 {
		return "-", "-"
	}
	return fmt.Sprintf("%.2f", math.Abs(t.R[t.Component-1])), fmt.Sprintf("%.4f", t.P[t.Component-1])
}

// comparisonTable sets the vectors beside baselines and controls.
func comparisonTable(r *experiment.GeometryResult) *table {
	t := &table{head: []string{"best |r|", "valence", "p", "arousal", "p", "arousal*", "p", "purity", "Rand", "p"}}
	t.right = []bool{false, true, true, true, true, true, true, true, true, true}
	add := func(name string, f *experiment.GeometryFigures) {
		row := []string{name}
		for _, kind := range experiment.RatingKinds() {
			best, p := bestOf(f.Tests[kind])
			row = append(row, best, p)
		}
		if g := f.Agreement; g != nil {
			row = append(row, fmt.Sprintf("%.2f", g.Purity), fmt.Sprintf("%.2f", g.ARI), fmt.Sprintf("%.4f", g.P.ARI))
		} else {
			row = append(row, "-", "-", "-")
		}
		t.add(row...)
	}
	add("these vectors", &r.GeometryFigures)
	for _, name := range experiment.Baselines() {
		if f, ok := r.Baselines[name]; ok {
			add("baseline "+name, &f)
		}
	}
	null := []string{"permuted, 95 %"}
	for _, kind := range experiment.RatingKinds() {
		if t := r.Tests[kind]; t.Component > 0 {
			null = append(null, fmt.Sprintf("%.2f", t.Null95), "")
		} else {
			null = append(null, "-", "")
		}
	}
	if g := r.Agreement; g != nil {
		null = append(null, fmt.Sprintf("%.2f", g.Chance95.Purity), fmt.Sprintf("%.2f", g.Chance95.ARI), "")
	}
	t.add(null...)
	for _, name := range []string{experiment.ControlRandom, experiment.ControlShuffled} {
		c, ok := r.Controls[name]
		if !ok {
			continue
		}
		row := []string{strings.ReplaceAll(name, "_", " ") + ", 95 %"}
		for _, kind := range experiment.RatingKinds() {
			if x, ok := c.Best95[kind]; ok {
				row = append(row, fmt.Sprintf("%.2f", x), fmt.Sprintf("%.4f", c.P[kind]))
			} else {
				row = append(row, "-", "-")
			}
		}
		t.add(row...)
	}
	return t
}

func writeLegend(b *strings.Builder, r *experiment.GeometryResult) {
	for k, e := range r.Ends {
		fmt.Fprintf(b, "component %d runs from %s to %s\n", k+1, strings.Join(e.Low, ", "), strings.Join(e.High, ", "))
	}
	fmt.Fprintf(b, `r: Pearson, with people's ratings of %s, and 95 %% of %s draws of the words; of
r with valence and with arousal the larger is made positive. * valence regressed out.
length: of the stories. p: permuted ratings, the best of %s taken each time;
beside controls, the share of their draws that do as well. purity, Rand (adjusted):
agreement of clusters with the study's families, with p from permuted families.
`, counted(r.Ratings[0].N, "word"), grouped(r.Bootstrap), counted(len(r.Explained), "component"))
	for _, kind := range experiment.RatingKinds() {
		if s := r.Sweep[kind]; s.Component > 0 && len(r.Sites) > 1 {
			fmt.Fprintf(b, "best of all %d sites, %s: %s, component %d, r %+.2f, p %.4f over %s\n",
				len(r.Sites), rateNames[kind], s.Site, s.Component, s.R, s.P, counted(s.Tried, "component"))
		}
	}
	for _, s := range r.Ratings[1:] {
		if s.N < 3 {
			continue
		}
		which := "words and proxies"
		if s.Set == "proxies" {
			which = "proxies (a related word was rated)"
		}
		fmt.Fprintf(b, "over %d %s: valence %s; arousal %s\n", s.N, which, correlations(s.ValenceR), correlations(s.ArousalR))
	}
}

func correlations(r experiment.Numbers) string {
	var list []string
	for _, x := range r {
		list = append(list, correlation(x))
	}
	return strings.Join(list, " ")
}

func writeClusters(b *strings.Builder, r *experiment.GeometryResult) {
	fmt.Fprintf(b, "\n%s, by k-means; commonest family of the study", counted(len(r.Clusters), "cluster"))
	if g := r.Agreement; g != nil {
		fmt.Fprintf(b, " (purity %.2f, chance %.2f; mutual information %.2f, chance %.2f)", g.Purity, g.Chance.Purity, g.NMI, g.Chance.NMI)
	}
	b.WriteString(":\n")
	for i, c := range r.Clusters {
		head := fmt.Sprintf("%2d %s", len(c.Members), c.Family)
		if c.Family == "" {
			head = fmt.Sprintf("%2d", len(c.Members))
		} else {
			head += fmt.Sprintf(" %.0f %%", 100*c.Share)
		}
		line := fmt.Sprintf("%2d. %-31s", i+1, head)
		pad := strings.Repeat(" ", utf8.RuneCountInString(line))
		for k, m := range c.Members {
			if k < len(c.Members)-1 {
				m += ","
			}
			if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(m) > viewWidth {
				b.WriteString(line + "\n")
				line = pad
			}
			line += " " + m
		}
		b.WriteString(line + "\n")
	}
	b.WriteByte('\n')
}

// mostLayers is how many sites the table of layers shows.
const mostLayers = 12

// layerTable shows how far layers agree: all, or some evenly spaced.
func layerTable(r *experiment.GeometryResult) *table {
	n := len(r.Layers.Sites)
	var shown []int
	if n <= mostLayers {
		for i := range n {
			shown = append(shown, i)
		}
	} else {
		for k := range mostLayers {
			shown = append(shown, k*(n-1)/(mostLayers-1))
		}
	}
	t := &table{head: []string{"layers' agreement"}, right: []bool{false}}
	for _, i := range shown {
		t.head = append(t.head, r.Layers.Sites[i])
		t.right = append(t.right, true)
	}
	for _, i := range shown {
		row := []string{r.Layers.Sites[i]}
		for _, j := range shown {
			row = append(row, strings.TrimPrefix(correlation(r.Layers.RSA[i][j]), "+"))
		}
		t.add(row...)
	}
	return t
}
