package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Feelings is what steering does to words for feelings: the part that figures
// show of an experiment's result.
type Feelings struct {
	SiteText  string    `json:"site_text"`
	Form      string    `json:"form"`
	Strengths []float64 `json:"strengths"` // rising, with 0 among them
	Prompts   []string  `json:"prompts"`
	// Directions is how many random directions of each kind there are.
	Directions int    `json:"directions"`
	Control    string `json:"control"` // the headline kind
	FeelingCount
	Counts       map[string]FeelingCount `json:"counts"` // by kind of control
	Risen        int                     `json:"risen"`
	RisenP       float64                 `json:"risen_p"`
	Permutations int                     `json:"permutations"`
	Emotions     []FeelingEmotion        `json:"emotions"`
}

// A FeelingCount counts the emotions that pass beside a kind of control.
type FeelingCount struct {
	Passes int     `json:"passes"`
	Chance float64 `json:"chance"` // passes if the vectors were random directions
	Dealt  float64 `json:"dealt"`  // passes if they were dealt at random
	P      float64 `json:"p"`
}

// A FeelingEmotion is what an emotion's vector does to words for it. Curves are
// log-odds in nats by strength.
type FeelingEmotion struct {
	Emotion       string                    `json:"emotion"`
	Words         []string                  `json:"words"`
	Curve         []float64                 `json:"curve"`
	Effect        float64                   `json:"effect"`
	PromptEffects []float64                 `json:"prompt_effects"`
	Effects       []float64                 `json:"effects"` // on the words of each emotion
	Controls      map[string]FeelingControl `json:"controls"`
	Pass          bool                      `json:"pass"`
}

// A FeelingControl is what random directions do to the same words.
type FeelingControl struct {
	Curves  [][]float64 `json:"curves"` // [directions][strengths]
	Largest float64     `json:"largest"`
	Pass    bool        `json:"pass"`
}

// Check says what is wrong with a result that does not fit together. Its errors
// name the field.
func (f *Feelings) Check() error {
	n := len(f.Strengths)
	switch {
	case n < 2 || !slices.IsSorted(f.Strengths) || f.zero() < 0:
		return fmt.Errorf("report: feelings: strengths: %v do not rise with 0 among them", f.Strengths)
	case len(f.Emotions) == 0:
		return fmt.Errorf("report: feelings: emotions: there are none")
	}
	for i := range f.Emotions {
		e := &f.Emotions[i]
		if len(e.Curve) != n {
			return fmt.Errorf("report: feelings: curve: %q has %d values for %d strengths", e.Emotion, len(e.Curve), n)
		}
		if len(e.Effects) != len(f.Emotions) {
			return fmt.Errorf("report: feelings: effects: %q has %d for %d emotions", e.Emotion, len(e.Effects), len(f.Emotions))
		}
		if _, ok := e.Controls[f.Control]; !ok {
			return fmt.Errorf("report: feelings: controls: %q has none of the kind %q", e.Emotion, f.Control)
		}
		for kind, c := range e.Controls {
			for _, curve := range c.Curves {
				if len(curve) != n {
					return fmt.Errorf("report: feelings: controls: %q, %s: a curve has %d values for %d strengths", e.Emotion, kind, len(curve), n)
				}
			}
		}
	}
	return nil
}

// zero is the index of strength 0, or -1.
func (f *Feelings) zero() int { return slices.Index(f.Strengths, 0) }

// kinds are the kinds of controls that the result has, the headline first.
func (f *Feelings) kinds() []string {
	kinds := []string{f.Control}
	for _, k := range []string{"isotropic", "covariance"} {
		if _, ok := f.Counts[k]; ok && k != f.Control {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// controlWords say what kinds of random directions are.
var controlWords = map[string]string{
	"isotropic":  "random directions",
	"covariance": "random mixtures of how stories differ",
}

func controlName(kind string) string {
	if s, ok := controlWords[kind]; ok {
		return s
	}
	return kind
}

// band is the least and the greatest change of the log-odds under the
// directions of a kind, by strength.
func (f *Feelings) band(e *FeelingEmotion, kind string) (low, high []float64) {
	base := e.Curve[f.zero()]
	for s := range f.Strengths {
		l, h := 0.0, 0.0
		for i, c := range e.Controls[kind].Curves {
			x := c[s] - base
			if i == 0 {
				l, h = x, x
			}
			l, h = min(l, x), max(h, x)
		}
		low, high = append(low, l), append(high, h)
	}
	return low, high
}

// reach is the largest change of log-odds that any panel has to show.
func (f *Feelings) reach() float64 {
	most := 0.0
	for i := range f.Emotions {
		e := &f.Emotions[i]
		for _, x := range e.Curve {
			most = max(most, math.Abs(x-e.Curve[f.zero()]))
		}
		for _, kind := range f.kinds() {
			low, high := f.band(e, kind)
			for s := range low {
				most = max(most, -low[s], high[s])
			}
		}
	}
	if most == 0 {
		return 1
	}
	return most
}

// The geometry of a panel of FeelingCurves, in the units of its view box.
const (
	panelWidth, panelHeight   = 230.0, 158.0
	panelLeft, panelRight     = 42.0, 212.0
	panelTop, panelBottom     = 28.0, 130.0
	panelAxis, panelNumbers   = 148.0, 146.0
	panelMiddle               = (panelTop + panelBottom) / 2
	panelReach                = (panelBottom - panelTop) / 2
	panelTitle, panelDotRadio = 15.0, 3.0
)

// FeelingCurves draws a panel for each emotion: the change of the log-odds of
// its words by strength, on the band of random directions. All panels have one
// scale.
func FeelingCurves(f *Feelings) (template.HTML, error) {
	if err := f.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	reach := f.reach()
	first, last := f.Strengths[0], f.Strengths[len(f.Strengths)-1]
	x := func(s float64) float64 { return panelLeft + (panelRight-panelLeft)*(s-first)/(last-first) }
	y := func(v float64) float64 { return panelMiddle - panelReach*v/reach }
	b.WriteString(`<div class="panels">` + "\n")
	for i := range f.Emotions {
		e := &f.Emotions[i]
		verdict := signed2(e.Effect)
		if e.Pass {
			verdict += ", passes"
		}
		fmt.Fprintf(&b, `<svg viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n", coordinate(panelWidth), coordinate(panelHeight),
			esc(fmt.Sprintf("%s: from strength %s to %s the log-odds of its words change by %s", e.Emotion, strengthText(first), strengthText(last), verdict)))
		fmt.Fprintf(&b, `<text class="name" x="%s" y="%s">%s</text><text class="%s" x="%s" y="%s" text-anchor="end">%s</text>`+"\n",
			coordinate(panelLeft-12), coordinate(panelTitle), esc(e.Emotion), map[bool]string{true: "pass", false: "soft"}[e.Pass], coordinate(panelWidth-6), coordinate(panelTitle), esc(verdict))
		for k, kind := range f.kinds() {
			low, high := f.band(e, kind)
			var up, down []string
			for s, v := range f.Strengths {
				up = append(up, coordinate(x(v))+" "+coordinate(y(high[s])))
				down = append(down, coordinate(x(v))+" "+coordinate(y(low[s])))
			}
			if k == 0 {
				slices.Reverse(down)
				fmt.Fprintf(&b, `<path class="band" d="M%sL%sZ"/>`+"\n", strings.Join(up, "L"), strings.Join(down, "L"))
				continue
			}
			fmt.Fprintf(&b, `<path class="edge" d="M%sM%s"/>`+"\n", strings.Join(up, "L"), strings.Join(down, "L"))
		}
		fmt.Fprintf(&b, `<path class="axis" d="M%s %sV%s"/><path class="zero" d="M%s %sH%s"/>`+"\n",
			coordinate(x(0)), coordinate(panelTop), coordinate(panelBottom), coordinate(panelLeft), coordinate(panelMiddle), coordinate(panelRight))
		for _, t := range []struct {
			y    float64
			text string
		}{{panelTop + 4, signed1(reach)}, {panelMiddle + 4, "0"}, {panelBottom + 4, signed1(-reach)}} {
			fmt.Fprintf(&b, `<text class="soft" x="%s" y="%s" text-anchor="end">%s</text>`, coordinate(panelLeft-5), coordinate(t.y), t.text)
		}
		for _, s := range []float64{first, 0, last} {
			fmt.Fprintf(&b, `<text class="soft" x="%s" y="%s" text-anchor="middle">%s</text>`, coordinate(x(s)), coordinate(panelNumbers), strengthText(s))
		}
		var path []string
		base := e.Curve[f.zero()]
		for s, v := range f.Strengths {
			path = append(path, coordinate(x(v))+" "+coordinate(y(e.Curve[s]-base)))
		}
		fmt.Fprintf(&b, "\n"+`<path class="curve" d="M%s"/>`+"\n", strings.Join(path, "L"))
		for s, v := range f.Strengths {
			low, high := f.band(e, f.Control)
			fmt.Fprintf(&b, `<circle class="dot" cx="%s" cy="%s" r="%s"><title>%s</title></circle>`, coordinate(x(v)), coordinate(y(e.Curve[s]-base)), coordinate(panelDotRadio),
				esc(fmt.Sprintf("%s at strength %s: %s nats\n%s: %s to %s", e.Emotion, strengthText(v), signed2(e.Curve[s]-base), controlName(f.Control), signed2(low[s]), signed2(high[s]))))
		}
		b.WriteString("\n</svg>\n")
	}
	b.WriteString("</div>\n")
	b.WriteString(`<p class="key curves"><span><svg viewBox="0 0 24 10" aria-hidden="true"><path class="curve" d="M0 5H24"/></svg>the emotion's vector</span><span><svg viewBox="0 0 24 10" aria-hidden="true"><path class="band" d="M0 0H24V10H0Z"/></svg>` + esc(controlName(f.Control)) + `</span>`)
	if kinds := f.kinds(); len(kinds) > 1 {
		b.WriteString(`<span><svg viewBox="0 0 24 10" aria-hidden="true"><path class="edge" d="M0 1H24M0 9H24"/></svg>` + esc(controlName(kinds[1])) + `</span>`)
	}
	b.WriteString("<span>across: strength; up: change of the words' log-odds in nats; on the right from end to end</span></p>\n")
	return template.HTML(b.String()), nil
}

// FeelingTable is the same in numbers.
func FeelingTable(f *Feelings) (template.HTML, error) {
	if err := f.Check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`<div class="wide"><table>` + "\n" + `<thead><tr><th>emotion</th><th class="n">change, nats</th><th class="n">prompts that rise</th><th class="n">under other emotions' vectors</th>`)
	for _, kind := range f.kinds() {
		fmt.Fprintf(&b, `<th class="n">largest under %s</th><th>passes</th>`, esc(controlName(kind)))
	}
	b.WriteString("<th>words</th></tr></thead>\n<tbody>")
	for i := range f.Emotions {
		e := &f.Emotions[i]
		up, others := 0, 0.0
		for _, x := range e.PromptEffects {
			if x > 0 {
				up++
			}
		}
		for k := range f.Emotions {
			if k != i {
				others += f.Emotions[k].Effects[i] / float64(max(1, len(f.Emotions)-1))
			}
		}
		fmt.Fprintf(&b, `<tr><td>%s</td><td class="n">%s</td><td class="n">%d of %d</td><td class="n">%s</td>`, esc(e.Emotion), signed2(e.Effect), up, len(e.PromptEffects), signed2(others))
		for _, kind := range f.kinds() {
			c := e.Controls[kind]
			fmt.Fprintf(&b, `<td class="n">%.2f</td><td>%s</td>`, c.Largest, map[bool]string{true: "yes", false: "no"}[c.Pass])
		}
		fmt.Fprintf(&b, `<td class="names">%s</td></tr>`+"\n", esc(strings.Join(e.Words, ", ")))
	}
	b.WriteString("</tbody>\n</table></div>\n")
	return template.HTML(b.String()), nil
}

// signed1 and signed2 write a number with its sign and one or two decimals.
func signed1(x float64) string { return strings.Replace(fmt.Sprintf("%+.1f", x), "-", "−", 1) }

func signed2(x float64) string { return strings.Replace(fmt.Sprintf("%+.2f", x), "-", "−", 1) }

// strengthText writes a strength.
func strengthText(s float64) string {
	if s == 0 {
		return "0"
	}
	return strings.Replace(fmt.Sprintf("%+g", s), "-", "−", 1)
}
