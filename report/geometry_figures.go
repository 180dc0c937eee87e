package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed page/geometry.css
var geometryCSS string

// GeometryCSS are the style rules of the figures of a Geometry. A page that
// shows the figures needs beside them:
//
//   - the variables --bg, --fg, --soft, --line and --panel, for light and for
//     dark surroundings,
//   - the classes of colour levels that every page of this package has (p1 to
//     p12 and n1 to n12: fill, background and colour),
//   - rules for table, th, td, td.n, .wide, .note and details.
//
// The figures need no script and no style attributes, so that a content
// security policy may allow the page's own style by hash and nothing else.
func GeometryCSS() string { return geometryCSS }

// esc makes a text safe to stand in HTML, in an attribute too.
func esc(s string) string { return template.HTMLEscapeString(Visible(s)) }

// The geometry of the map, in the units of its view box.
const (
	mapWidth            = 960.0
	mapLeft, mapTop     = 34.0, 10.0
	mapRight, mapBottom = 10.0, 34.0
	mapLeast, mapMost   = 420.0, 860.0 // height
	mapDot              = 4.0
	fewDot              = 8.0  // in narrow windows
	mapPad              = 26.0 // between the outermost points and the frame
)

// Label sizes of the two layers of the map: one with all labels for wide
// windows, one with few and large ones for narrow windows. They are those of
// the style sheet.
const allSize, fewSize = 11.0, 27.0

// valenceScale is how far from the middle of the scale of ratings, 5, colours
// are strongest.
const valenceScale = 3.5

// valenceClass is the colour class of a rating.
func valenceClass(v *float64) string {
	if v == nil {
		return "unrated"
	}
	if c := levelClass(Level(*v-5, valenceScale)); c != "" {
		return c
	}
	return "z"
}

// EmotionMap draws the emotions by their first two components, coloured by how
// pleasant people find the word. Labels don't overlap: the twelve emotions that
// the study uses as examples, centres of clusters and rated words are labelled
// first, and what finds no room shows its name when a pointer rests on it.
func EmotionMap(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	m := newEmotionMap(g)
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="figure map"><svg viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n",
		coordinate(mapWidth), coordinate(m.height), esc(fmt.Sprintf("Map of %s by the first two components of their vectors, coloured by people's ratings of valence", counted(len(g.Emotions), "emotion"))))
	fmt.Fprintf(&b, `<path class="zero" d="M%s %sV%sM%s %sH%s"/>`+"\n",
		coordinate(m.x0), coordinate(mapTop), coordinate(m.height-mapBottom), coordinate(mapLeft), coordinate(m.y0), coordinate(mapWidth-mapRight))
	all, few := m.labels(g, allSize, len(g.Emotions)), m.labels(g, fewSize, 24)
	m.writeLabels(&b, "all", g, all, allSize)
	m.writeLabels(&b, "few", g, few, fewSize)
	b.WriteString("<g>\n")
	for i := range g.Points {
		p := &g.Points[i]
		class := valenceClass(p.Valence)
		if p.Proxy {
			class += " proxy"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%s" cy="%s" r="%s"><title>%s</title></circle>`+"\n",
			class, coordinate(m.at[i].x), coordinate(m.at[i].y), coordinate(mapDot), esc(g.about(i)))
	}
	b.WriteString("</g>\n</svg></div>\n")
	fmt.Fprintf(&b, `<div class="key"><span>valence, as people rate the word: 1%s9</span><span>dashed: a related word was rated</span><span>grey: not rated</span></div>`+"\n", swatches())
	hidden := len(g.Emotions) - len(all)
	note := fmt.Sprintf("What it shows: where %s lie on the first two components of their vectors, which hold %s. One step is equally long in both directions.", counted(len(g.Emotions), "emotion"), g.sharesText(2))
	if len(g.Explained) == 1 {
		note = fmt.Sprintf("What it shows: where %s lie on the one component that their vectors have.", counted(len(g.Emotions), "emotion"))
	}
	if hidden > 0 {
		note += fmt.Sprintf(" For %s there is no room, nor in a narrow window for most; a pointer shows the name.", counted(hidden, "label"))
	}
	if g.InSample {
		note += " In sample: unless the model saw no such stories in training."
	}
	fmt.Fprintf(&b, `<p class="note">%s</p>`+"\n", esc(note))
	return template.HTML(b.String()), nil
}

// swatches is a small scale of colours.
func swatches() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d 1" preserveAspectRatio="none" aria-hidden="true">`, 2*Levels+1)
	for n := -Levels; n <= Levels; n++ {
		class := levelClass(n)
		if class == "" {
			class = "z"
		}
		fmt.Fprintf(&b, `<rect x="%d" y="0" width="1.02" height="1" class="%s"/>`, n+Levels, class)
	}
	b.WriteString("</svg>")
	return b.String()
}

// about says of an emotion what is known.
func (g *Geometry) about(i int) string {
	p := &g.Points[i]
	s := p.Emotion
	if p.Valence != nil && p.Arousal != nil {
		s += fmt.Sprintf("\nvalence %.2f, arousal %.2f", *p.Valence, *p.Arousal)
		if p.Proxy {
			s += " (of a related word)"
		}
	} else {
		s += "\nnot rated"
	}
	s += fmt.Sprintf("\ncluster %d, %s", p.Cluster+1, g.Clusters[p.Cluster].Name)
	if p.Family != "" {
		s += "\nfamily " + p.Family
	}
	if len(p.Neighbours) > 0 {
		s += "\nnearest: " + neighbourText(p, 3)
	}
	return s
}

func neighbourText(p *GeometryPoint, most int) string {
	var list []string
	for _, n := range p.Neighbours[:min(most, len(p.Neighbours))] {
		list = append(list, fmt.Sprintf("%s %s", n.Emotion, cosineText(n.Cosine)))
	}
	return strings.Join(list, ", ")
}

func cosineText(x float64) string { return strings.Replace(fmt.Sprintf("%.2f", x), "-", "−", 1) }

// shareText is a share in percent.
func shareText(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// sharesText says how much of the variance the first components hold.
func (g *Geometry) sharesText(k int) string {
	var list []string
	for _, x := range g.Explained[:min(k, len(g.Explained))] {
		list = append(list, shareText(x))
	}
	return strings.Join(list, " and ") + " of their variance"
}

// axisText is the caption of a component.
func (g *Geometry) axisText(k int) string {
	s := fmt.Sprintf("component %d: %s of variance", k+1, shareText(g.Explained[k]))
	if !math.IsNaN(g.ValenceR[k]) {
		s += fmt.Sprintf("; r with valence %s, with arousal %s (%d words)", rText(g.ValenceR[k]), rText(g.ArousalR[k]), g.rated())
	}
	return s
}

func rText(r float64) string {
	if math.IsNaN(r) {
		return "–"
	}
	return strings.Replace(fmt.Sprintf("%+.2f", r), "-", "−", 1)
}

type xy struct{ x, y float64 }

// An emotionMap places points in the view box.
type emotionMap struct {
	height float64
	x0, y0 float64 // of the origin
	at     []xy
}

func newEmotionMap(g *Geometry) *emotionMap {
	m := &emotionMap{}
	value := func(i, k int) float64 {
		if k < len(g.Points[i].Coordinates) {
			if x := g.Points[i].Coordinates[k]; x-x == 0 {
				return x
			}
		}
		return 0
	}
	var lo, hi [2]float64
	for i := range g.Points {
		for k := range lo {
			lo[k], hi[k] = min(lo[k], value(i, k)), max(hi[k], value(i, k))
		}
	}
	w, h := hi[0]-lo[0], hi[1]-lo[1]
	innerWidth := mapWidth - mapLeft - mapRight - 2*mapPad
	scale := 1.0
	if w > 0 {
		scale = innerWidth / w
	}
	around := mapTop + mapBottom + 2*mapPad
	m.height = min(max(h*scale+around, mapLeast), mapMost)
	if most := m.height - around; h*scale > most {
		scale = most / h
	}
	// What is left of either direction is put on both sides.
	m.x0 = mapLeft + mapPad + (innerWidth-w*scale)/2 - lo[0]*scale
	m.y0 = m.height - mapBottom - mapPad - (m.height-around-h*scale)/2 + lo[1]*scale
	for i := range g.Points {
		m.at = append(m.at, xy{m.x0 + scale*value(i, 0), m.y0 - scale*value(i, 1)})
	}
	return m
}

// A label is the name of a point, with its baseline's start.
type label struct {
	point     int
	box       box
	lead      bool // far enough from its point to need a line
	from, end xy   // of that line
}

// A box has its upper left and lower right corners.
type box struct{ x1, y1, x2, y2 float64 }

func (b box) meets(c box) bool { return b.x1 < c.x2 && c.x1 < b.x2 && b.y1 < c.y2 && c.y1 < b.y2 }

// textWidth estimates the width of a text in a sans-serif font, on the side of
// too much, for the fonts that pages ask for.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("ijlft'.,-:; r", r):
			w += 0.4
		case strings.ContainsRune("mwMW%", r):
			w += 0.92
		case r < 0x250:
			w += 0.6
		default:
			w++
		}
	}
	return w * size
}

// labels finds room for at most so many labels of a size. Those that matter
// most are placed first; each takes the first place around its point where it
// meets no other label, no point and not the frame.
func (m *emotionMap) labels(g *Geometry, size float64, most int) []label {
	order := labelOrder(g)
	dot := mapDot
	if size == fewSize {
		dot = fewDot
	}
	dots := make([]box, len(m.at))
	for i, p := range m.at {
		dots[i] = box{p.x - dot, p.y - dot, p.x + dot, p.y + dot}
	}
	// Captions stand below and to the left.
	frame := box{mapLeft, mapTop, mapWidth - mapRight, m.height - mapBottom}
	if size == fewSize {
		frame.x1 = 0
	}
	var out []label
	for _, i := range order {
		if len(out) == most {
			break
		}
		w, h := textWidth(short(Visible(g.Emotions[i]), 40), size), size
		p := m.at[i]
		for _, c := range places(w, h, size, dot) {
			b := box{p.x + c.x, p.y + c.y, p.x + c.x + w, p.y + c.y + h}
			if b.x1 < frame.x1 || b.x2 > frame.x2 || b.y1 < frame.y1 || b.y2 > frame.y2 {
				continue
			}
			if slices.ContainsFunc(dots, b.meets) || slices.ContainsFunc(out, func(l label) bool { return l.box.meets(b) }) {
				continue
			}
			l := label{point: i, box: b}
			// From the dot's rim to the nearest point of the box.
			end := xy{min(max(p.x, b.x1), b.x2), min(max(p.y, b.y1), b.y2)}
			if d := math.Hypot(end.x-p.x, end.y-p.y); d > dot+0.5*size {
				l.lead, l.end = true, end
				l.from = xy{p.x + (end.x-p.x)*dot/d, p.y + (end.y-p.y)*dot/d}
			}
			out = append(out, l)
			break
		}
	}
	return out
}

// places are where a label's upper left corner may stand relative to its point,
// the best first: beside it, above and below, then further out all around.
func places(w, h, size, dot float64) []xy {
	var out []xy
	for _, r := range []float64{dot + 0.15*size, dot + 0.7*size, dot + 1.4*size, dot + 2.2*size} {
		for _, a := range []float64{0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240, 15, 345, 165, 195, 75, 285, 105, 255, 45, 315, 135, 225} {
			s, c := math.Sincos(a * math.Pi / 180)
			// The label touches the circle of radius r from outside.
			x, y := r*c, -r*s
			switch {
			case c < -0.01:
				x -= w * min(1, -c*1.6)
				if c > -0.6 {
					x -= w * (1 - min(1, -c*1.6)) / 2
				}
			case c < 0.6:
				x -= w * (1 - min(1, c*1.6)) / 2
			}
			switch {
			case s > 0.01: // above
				y -= h * (0.5 + 0.5*min(1, s*1.4))
			default:
				y -= h * (0.5 - 0.5*min(1, -s*1.4))
			}
			out = append(out, xy{x, y})
		}
	}
	return out
}

// labelOrder puts first what a reader looks for first.
func labelOrder(g *Geometry) []int {
	rank := make([]int, len(g.Emotions))
	for i := range g.Points {
		p := &g.Points[i]
		switch {
		case slices.Contains(examples, p.Emotion):
			rank[i] = 0
		case g.Clusters[p.Cluster].Name == p.Emotion:
			rank[i] = 1
		case p.Valence != nil && !p.Proxy:
			rank[i] = 2
		case p.Valence != nil:
			rank[i] = 3
		default:
			rank[i] = 4
		}
	}
	order := make([]int, len(rank))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank[a] - rank[b] })
	return order
}

// examples are the emotions that the study uses in its small figures.
var examples = []string{
	"happy", "inspired", "loving", "proud", "calm", "desperate",
	"angry", "guilty", "sad", "afraid", "nervous", "surprised",
}

// writeLabels writes one layer: labels and captions.
func (m *emotionMap) writeLabels(b *strings.Builder, class string, g *Geometry, labels []label, size float64) {
	fmt.Fprintf(b, `<g class="%s">`+"\n", class)
	var lines strings.Builder
	for _, l := range labels {
		if l.lead {
			fmt.Fprintf(&lines, "M%s %sL%s %s", coordinate(l.from.x), coordinate(l.from.y), coordinate(l.end.x), coordinate(l.end.y))
		}
	}
	if lines.Len() > 0 {
		fmt.Fprintf(b, `<path class="lead" d="%s"/>`+"\n", lines.String())
	}
	for _, l := range labels {
		// The baseline stands a fifth above the lower edge of the box.
		fmt.Fprintf(b, `<text x="%s" y="%s">%s</text>`+"\n", coordinate(l.box.x1), coordinate(l.box.y2-0.2*size), esc(short(g.Emotions[l.point], 40)))
	}
	caption := func(k int) string {
		if class == "all" {
			return g.axisText(k)
		}
		return fmt.Sprintf("component %d, %s", k+1, shareText(g.Explained[k]))
	}
	y := m.height - 8
	fmt.Fprintf(b, `<text class="caption soft" x="%s" y="%s" text-anchor="end">%s →</text>`+"\n", coordinate(mapWidth-mapRight), coordinate(y), esc(caption(0)))
	if len(g.Explained) > 1 {
		x := 14.0
		if class == "few" {
			x = 24
		}
		fmt.Fprintf(b, `<text class="caption soft" x="%s" y="%s" text-anchor="end" transform="rotate(-90 %s %s)">%s →</text>`+"\n",
			coordinate(x), coordinate(mapTop), coordinate(x), coordinate(mapTop), esc(caption(1)))
	}
	b.WriteString("</g>\n")
}

// The geometry of the matrix, in the units of its view box.
const (
	simWidth = 960.0
	simLeft  = 190.0 // names of clusters, or of emotions
	simTop   = 26.0
	simBand  = 9.0 // colours of valence
	simGap   = 3.0
	simFew   = 48 // emotions of which each is named
)

// SimilarityMatrix draws the cosines between all emotions' vectors, emotions
// ordered by clusters, with the limits of the clusters. A pointer shows the mean
// cosine of a pair of clusters, and in the bands along the edges, which are
// coloured by valence, the emotions.
func SimilarityMatrix(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	n := len(g.Emotions)
	scale := g.cosineScale()
	left, top := simLeft+simBand+simGap, simTop+simBand+simGap
	cell := (simWidth - left - 2) / float64(n)
	side := cell * float64(n)
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="figure sim"><svg viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n",
		coordinate(simWidth), coordinate(top+side+4), esc(fmt.Sprintf("Cosines between the vectors of %s, ordered by %s", counted(n, "emotion"), counted(len(g.Clusters), "cluster"))))
	// One path for each level of colour holds runs of cells: a page with a
	// shape for every cell would be ten times as large.
	paths := make([]strings.Builder, 2*Levels+1)
	for y, i := range g.Order {
		for x := 0; x < n; {
			level := Level(g.Similarity[i][g.Order[x]], scale)
			end := x + 1
			for end < n && Level(g.Similarity[i][g.Order[end]], scale) == level {
				end++
			}
			if level != 0 {
				fmt.Fprintf(&paths[level+Levels], "M%d %dh%dv1h-%dz", x, y, end-x, end-x)
			}
			x = end
		}
	}
	fmt.Fprintf(&b, `<g transform="translate(%s %s) scale(%s)" shape-rendering="crispEdges">`+"\n", coordinate(left), coordinate(top), trimmed(cell, 5))
	for k := range paths {
		if paths[k].Len() > 0 {
			fmt.Fprintf(&b, `<path class="%s" d="%s"/>`+"\n", levelClass(k-Levels), paths[k].String())
		}
	}
	starts := g.clusterStarts()
	var edges strings.Builder
	for _, at := range starts {
		fmt.Fprintf(&edges, "M%d 0V%dM0 %dH%d", at, n, at, n)
	}
	fmt.Fprintf(&b, `<path class="edge" d="%s"/>`+"\n", edges.String())
	for r := range g.Clusters {
		for c := range g.Clusters {
			h, w := starts[r+1]-starts[r], starts[c+1]-starts[c]
			if h == 0 || w == 0 {
				continue
			}
			fmt.Fprintf(&b, `<rect class="hit" x="%d" y="%d" width="%d" height="%d"><title>%s</title></rect>`+"\n",
				starts[c], starts[r], w, h, esc(g.pairText(r, c, starts)))
		}
	}
	b.WriteString("</g>\n")
	g.writeBands(&b, left, top, cell)
	g.writeNames(&b, left, top, cell, starts)
	b.WriteString("</svg></div>\n")
	fmt.Fprintf(&b, `<div class="key"><span>cosine: %s%s%s</span><span>bands along the edges: valence of the word, grey where not rated</span></div>`+"\n", cosineText(-scale), swatches(), cosineText(scale))
	note := fmt.Sprintf("What it shows: the cosine between the vectors of every two of %s, red above zero and blue below, strongest from ±%s on, the 99th percentile. Emotions stand by their clusters, %d by k-means, each from its centre outwards; a cluster is named after the emotion nearest to its centre. A pointer shows the mean of a block.",
		counted(n, "emotion"), cosineText(scale), len(g.Clusters))
	fmt.Fprintf(&b, `<p class="note">%s</p>`+"\n", esc(note))
	return template.HTML(b.String()), nil
}

// cosineScale is the 99th percentile of the absolute cosines of two emotions.
func (g *Geometry) cosineScale() float64 {
	var all []float64
	for i, row := range g.Similarity {
		for _, x := range row[i+1:] {
			all = append(all, math.Abs(x))
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	if s := all[(len(all)*99+99)/100-1]; s > 0 {
		return s
	}
	return 1
}

// clusterStarts are the places in the order where clusters begin, and its end.
func (g *Geometry) clusterStarts() []int {
	starts := make([]int, len(g.Clusters)+1)
	for i := range g.Points {
		starts[g.Points[i].Cluster+1]++
	}
	for c := range g.Clusters {
		starts[c+1] += starts[c]
	}
	return starts
}

// pairText says how close two clusters are, or how close one is in itself.
func (g *Geometry) pairText(r, c int, starts []int) string {
	sum, count := 0.0, 0
	for _, i := range g.Order[starts[r]:starts[r+1]] {
		for _, j := range g.Order[starts[c]:starts[c+1]] {
			if i != j {
				sum += g.Similarity[i][j]
				count++
			}
		}
	}
	name := func(k int) string { return fmt.Sprintf("%d %s", k+1, g.Clusters[k].Name) }
	switch {
	case count == 0:
		return name(r) + ": one emotion"
	case r == c:
		return fmt.Sprintf("within %s: mean cosine %s", name(r), cosineText(sum/float64(count)))
	}
	return fmt.Sprintf("%s and %s: mean cosine %s", name(r), name(c), cosineText(sum/float64(count)))
}

// writeBands writes the colours of valence along the edges.
func (g *Geometry) writeBands(b *strings.Builder, left, top, cell float64) {
	b.WriteString(`<g shape-rendering="crispEdges">` + "\n")
	for at, i := range g.Order {
		p := &g.Points[i]
		class := valenceClass(p.Valence)
		along := float64(at) * cell
		fmt.Fprintf(b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`,
			class, coordinate(simLeft), trimmed(top+along, 2), coordinate(simBand), trimmed(cell, 2), esc(g.about(i)))
		fmt.Fprintf(b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`+"\n",
			class, trimmed(left+along, 2), coordinate(simTop), trimmed(cell, 2), coordinate(simBand), esc(p.Emotion))
	}
	b.WriteString("</g>\n")
}

// writeNames names clusters to the left and numbers them above; of few emotions
// it names each instead.
func (g *Geometry) writeNames(b *strings.Builder, left, top, cell float64, starts []int) {
	if n := len(g.Emotions); n <= simFew {
		for at, i := range g.Order {
			fmt.Fprintf(b, `<text x="%s" y="%s" text-anchor="end">%s</text>`+"\n",
				coordinate(simLeft-8), coordinate(top+(float64(at)+0.5)*cell+4), esc(short(g.Emotions[i], 24)))
		}
	}
	const line = 22.0 // between two names, for the larger size too
	last := math.Inf(-1)
	for c := range g.Clusters {
		size := starts[c+1] - starts[c]
		if size == 0 {
			continue
		}
		middle := (float64(starts[c]) + float64(size)/2) * cell
		fmt.Fprintf(b, `<text class="soft" x="%s" y="%s" text-anchor="middle">%d</text>`+"\n", coordinate(left+middle), coordinate(simTop-8), c+1)
		if len(g.Emotions) <= simFew {
			continue
		}
		y := max(top+middle+4, last+line)
		last = y
		fmt.Fprintf(b, `<text x="%s" y="%s" text-anchor="end">%s<title>%s</title></text>`+"\n", coordinate(simLeft-8), coordinate(y),
			esc(fmt.Sprintf("%d %s (%d)", c+1, short(g.Clusters[c].Name, 18), size)), esc(strings.Join(g.Clusters[c].Members, ", ")))
	}
}

// ClusterTable lists the clusters with their members, the commonest family of
// the study, mean rating of valence and mean cosine between members.
func ClusterTable(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`<div class="wide geo"><table>
<thead><tr><th class="n">#</th><th>centre</th><th class="n">emotions</th><th>commonest family</th><th class="n">share</th><th class="n">valence</th><th class="n">cosine</th><th>members, from the centre outwards</th></tr></thead>
<tbody>`)
	for i, c := range g.Clusters {
		family, share := "–", "–"
		if c.Family != "" {
			family, share = c.Family, fmt.Sprintf("%.0f %%", 100*c.Share)
		}
		fmt.Fprintf(&b, `<tr><td class="n">%d</td><td>%s</td><td class="n">%d</td><td>%s</td><td class="n">%s</td>%s<td class="n">%s</td><td class="names">%s</td></tr>`+"\n",
			i+1, esc(c.Name), len(c.Members), esc(family), share, valenceCell(c.Valence), optional(c.Cohesion), esc(strings.Join(c.Members, ", ")))
	}
	b.WriteString("</tbody>\n</table></div>\n")
	note := "What it shows: clusters by k-means on the vectors' directions; the family of the study that most members are of; the mean of people's ratings of valence, 1 to 9, over members rated as words; and the mean cosine between two members."
	if a := g.Agreement; a != nil {
		note += fmt.Sprintf(" Agreement with the study's families, which were found in another model: purity %.2f (%.2f with permuted families), adjusted Rand index %.2f (%.2f, p %s), normalised mutual information %.2f (%.2f).",
			a.Purity, a.Chance.Purity, a.ARI, math.Abs(a.Chance.ARI), pText(a.P.ARI), a.NMI, a.Chance.NMI)
	}
	fmt.Fprintf(&b, `<p class="note">%s</p>`+"\n", esc(note))
	return template.HTML(b.String()), nil
}

func optional(x *float64) string {
	if x == nil {
		return "–"
	}
	return cosineText(*x)
}

// valenceCell is a cell coloured by a rating.
func valenceCell(v *float64) string {
	if v == nil {
		return `<td class="n">–</td>`
	}
	return fmt.Sprintf(`<td class="n %s">%.2f</td>`, valenceClass(v), *v)
}

func pText(p float64) string {
	if math.IsNaN(p) {
		return "–"
	}
	return fmt.Sprintf("%.4f", p)
}

// NeighbourTable lists every emotion with its ratings, cluster and nearest
// neighbours. Of many emotions the table is folded.
func NeighbourTable(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<details%s><summary>%s, each with its nearest neighbours</summary>`+"\n", openIf(len(g.Emotions) <= fewMeans), counted(len(g.Emotions), "emotion"))
	b.WriteString(`<div class="wide geo"><table>
<thead><tr><th>emotion</th><th>family</th><th class="n">cluster</th><th class="n">valence</th><th class="n">arousal</th><th>nearest, with cosines</th></tr></thead>
<tbody>`)
	for i := range g.Points {
		p := &g.Points[i]
		arousal := optional(p.Arousal)
		if p.Proxy {
			arousal += "*"
		}
		fmt.Fprintf(&b, `<tr><td>%s</td><td>%s</td><td class="n">%d</td>%s<td class="n">%s</td><td class="names">%s</td></tr>`+"\n",
			esc(p.Emotion), esc(p.Family), p.Cluster+1, valenceCell(p.Valence), arousal, esc(neighbourText(p, len(p.Neighbours))))
	}
	b.WriteString("</tbody>\n</table></div>\n")
	b.WriteString(`<p class="note">Ratings from 1 to 9; * a related word was rated.</p></details>` + "\n")
	return template.HTML(b.String()), nil
}

func openIf(open bool) string {
	if open {
		return " open"
	}
	return ""
}

// ratingRows are the ratings and how pages call them.
var ratingRows = []struct{ key, name string }{
	{"valence", "valence"}, {"arousal", "arousal"}, {"arousal_partial", "arousal*"},
}

// baselineNames are the baselines and controls in the order of tables.
var baselineNames = []struct{ key, name string }{
	{"tfidf", "words of the stories (tf-idf)"}, {"function_words", "function words"},
	{"punctuation_length", "punctuation and length"}, {"embeddings", "token embeddings"},
}

var controlNames = []struct{ key, name string }{
	{"random", "random vectors, 95th percentile"}, {"shuffled_labels", "shuffled labels, 95th percentile"},
}

// GeometrySummary is two tables: the components with their correlations, and
// the best correlation of these vectors beside those of baselines and controls.
func GeometrySummary(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`<div class="wide geo"><table>` + "\n" + `<thead><tr><th class="n">component</th><th class="n">variance</th>`)
	for _, row := range ratingRows {
		fmt.Fprintf(&b, `<th class="n">r with %s</th><th class="n">p</th>`, row.name)
	}
	b.WriteString("</tr></thead>\n<tbody>")
	for k, share := range g.Explained {
		fmt.Fprintf(&b, `<tr><td class="n">%d</td><td class="n">%s</td>`, k+1, shareText(share))
		for _, row := range ratingRows {
			t, ok := g.Tests[row.key]
			if !ok {
				b.WriteString(`<td class="n">–</td><td class="n">–</td>`)
				continue
			}
			text := rText(t.R[k])
			if in := t.Intervals[k]; in != nil {
				text += fmt.Sprintf(" [%s, %s]", rText(in[0]), rText(in[1]))
			}
			fmt.Fprintf(&b, `<td class="n">%s</td><td class="n">%s</td>`, text, pText(t.P[k]))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody>\n</table></div>\n")
	note := fmt.Sprintf("What it shows: Pearson correlations of the emotions' coordinates with people's ratings, over %s rated as such, with 95 %% bootstrap intervals over words. p allows for the choice of the component: it compares with the largest |r| of all components under permuted ratings. * arousal with valence regressed out. A component's sign means nothing: it is turned so that the larger of its correlations with valence and arousal is positive.", counted(g.rated(), "word"))
	fmt.Fprintf(&b, `<p class="note">%s</p>`+"\n", esc(note))

	b.WriteString(`<div class="wide geo"><table>` + "\n<thead><tr><th>largest |r| of the components</th>")
	for _, row := range ratingRows {
		fmt.Fprintf(&b, `<th class="n">%s</th><th class="n">p</th>`, row.name)
	}
	b.WriteString(`<th class="n">families, Rand</th><th class="n">p</th></tr></thead>` + "\n<tbody>")
	add := func(name string, tests map[string]GeometryTest, a *GeometryAgreement) {
		fmt.Fprintf(&b, "<tr><td>%s</td>", esc(name))
		for _, row := range ratingRows {
			t := tests[row.key]
			r, p := t.best()
			text := "–"
			if !math.IsNaN(r) {
				text = fmt.Sprintf("%.2f", r)
			}
			fmt.Fprintf(&b, `<td class="n">%s</td><td class="n">%s</td>`, text, pText(p))
		}
		if a != nil {
			fmt.Fprintf(&b, `<td class="n">%s</td><td class="n">%s</td></tr>`+"\n", cosineText(a.ARI), pText(a.P.ARI))
		} else {
			b.WriteString(`<td class="n">–</td><td class="n">–</td></tr>` + "\n")
		}
	}
	add("these vectors", g.Tests, g.Agreement)
	for _, base := range baselineNames {
		if x, ok := g.Baselines[base.key]; ok {
			add(base.name, x.Tests, x.Agreement)
		}
	}
	for _, c := range controlNames {
		x, ok := g.Controls[c.key]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "<tr><td>%s</td>", c.name)
		for _, row := range ratingRows {
			r, ok := x.Best95[row.key]
			if !ok {
				b.WriteString(`<td class="n">–</td><td class="n">–</td>`)
				continue
			}
			fmt.Fprintf(&b, `<td class="n">%.2f</td><td class="n">%s</td>`, r, pText(x.P[row.key]))
		}
		b.WriteString(`<td></td><td></td></tr>` + "\n")
	}
	b.WriteString("</tbody>\n</table></div>\n")
	b.WriteString(`<p class="note">What it shows: the same measurement of vectors made from the words, the style and the token embeddings of the same stories, and of vectors without emotion. Where a baseline does as well, the vectors show no more than it does. In rows of controls, p is the share of their draws that do as well as these vectors.</p>` + "\n")
	return template.HTML(b.String()), nil
}

// LayerTable shows how far the geometries at different sites agree: the
// Spearman correlation between the cosines of all pairs of emotions.
func LayerTable(g *Geometry) (template.HTML, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`<div class="wide geo"><table>` + "\n<thead><tr><th></th>")
	for _, s := range g.Layers.Sites {
		fmt.Fprintf(&b, `<th class="n">%s</th>`, esc(shortSite(s)))
	}
	b.WriteString("</tr></thead>\n<tbody>")
	for i, row := range g.Layers.RSA {
		fmt.Fprintf(&b, "<tr><td>%s</td>", esc(g.Layers.Sites[i]))
		for _, x := range row {
			text, class := "–", ""
			if !math.IsNaN(x) {
				text, class = cosineText(x), levelClass(Level(x, 1))
			}
			fmt.Fprintf(&b, `<td class="%s">%s</td>`, strings.TrimSpace("heat "+class), text)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody>\n</table></div>\n")
	b.WriteString(`<p class="note">What it shows: the Spearman correlation between the cosines of all pairs of emotions at one site and those at another; 1 means that emotions lie to each other in the same way.</p>` + "\n")
	return template.HTML(b.String()), nil
}

// shortSite is the number of a block, for the head of a column.
func shortSite(s string) string {
	if _, block, ok := strings.Cut(s, ":"); ok && utf8.RuneCountInString(block) <= 4 {
		return block
	}
	return s
}
