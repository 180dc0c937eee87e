package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/limbic-go/limbic/report"
)

// probeSpark is the width of the curves at most: with the longest name and the
// mean before it, a line has 80 characters.
const probeSpark = 48

// printProbe shows a scored text to a person: the course of some emotions and
// then the tokens, by colour where there is colour and by table where not.
func (a *app) printProbe(r *probeResult, top int, named bool) error {
	t := &r.Tokens
	scale := t.Scale()
	model := r.Provenance.Model
	if model == "" {
		model = r.Provenance.ModelPath
	}
	head := fmt.Sprintf("%s, %s: %s; score %s", model, t.Site, r.Provenance.Sites[0].Description, t.Score)
	if t.Center != "none" {
		head += ", centre " + t.Center
	}
	if len(t.Read) > 0 {
		head += fmt.Sprintf("; read at %s, %s", r.Provenance.Prompt.Read, counted(len(t.Read), "token"))
	}
	if _, err := fmt.Fprintf(a.stdout, "%s\n\n", oneLine(head)); err != nil {
		return err
	}
	display := t.Display(top)
	display = display[:min(top, len(display))]
	if err := a.printProbeCurves(t, display, scale, named); err != nil {
		return err
	}
	if a.colour() {
		return a.printProbeText(t, display[0], scale)
	}
	return a.printProbeTable(t, display[0], scale)
}

// printProbeCurves shows emotions with their means and their course over the
// text.
func (a *app) printProbeCurves(t *report.Tokens, display []int, scale float64, named bool) error {
	n := len(t.Scores) - t.MeanFrom
	if n == 0 {
		_, err := fmt.Fprintf(a.stdout, "no tokens but BOS: no means\n\n")
		return err
	}
	title, mean := "emotion", "mean"
	if len(t.Read) > 0 {
		mean = "read"
	}
	if !named && len(display) < len(t.Emotions) {
		title = fmt.Sprintf("highest of %d", len(t.Emotions))
	}
	curves := table{head: []string{title, mean, fmt.Sprintf("%s, ▁ %s to █ %s", counted(n, "token"), report.Number(-scale), report.Number(scale))}, right: []bool{false, true, false}}
	if n > probeSpark {
		curves.head[2] += fmt.Sprintf(", means of about %.0f", float64(n)/probeSpark)
	}
	for _, e := range display {
		cells := squeeze(n, probeSpark, func(i int) float64 { return float64(t.Scores[t.MeanFrom+i][e]) })
		curves.add(t.Emotions[e], report.Number(t.Mean[e]), a.signedSparkline(cells, scale))
	}
	if err := a.print(&curves); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.stdout)
	return err
}

// signedSparkline draws values between -scale and scale, coloured by their
// sign where there is colour.
func (a *app) signedSparkline(values []float64, scale float64) string {
	if !a.colour() {
		return sparkline(values, -scale, scale)
	}
	var b strings.Builder
	for _, v := range values {
		code := "31" // red
		if v < 0 {
			code = "34" // blue
		}
		b.WriteString("\x1b[" + code + "m" + sparkline([]float64{v}, -scale, scale))
	}
	return b.String() + ansiReset
}

// printProbeTable shows the tokens as a table, with bars for one emotion.
func (a *app) printProbeTable(t *report.Tokens, e int, scale float64) error {
	const most = 2 // emotions named at each token
	bars := fmt.Sprintf("%-*s0%*s", barHalf, report.Number(-scale), barHalf, report.Number(scale))
	rows := table{head: []string{"#", t.Emotions[e], bars, "token", "highest"}, right: []bool{true, true, false, false, false}}
	if len(t.Emotions) == 1 {
		rows.head[4] = ""
	}
	for i, tok := range t.Tokens {
		v := float64(t.Scores[i][e])
		bar := ""
		if i >= t.MeanFrom {
			bar = signedBar(v / scale)
		}
		var highest []string
		if len(t.Emotions) > 1 {
			for _, k := range t.Highest(i, most) {
				highest = append(highest, t.Emotions[k]+" "+report.Number(float64(t.Scores[i][k])))
			}
		}
		text := strconv.Quote(tok.Text)
		if slices.Contains(t.Read, i) {
			text += readMark
		}
		rows.add(strconv.Itoa(i), report.Number(v), bar, text, strings.Join(highest, ", "))
	}
	return a.print(&rows)
}

// barHalf is the width of a bar to each side of zero.
const barHalf = 9

// signedBar draws a value between -1 and 1 as a bar to the left or the right of
// zero.
func signedBar(v float64) string {
	halves := int(math.Round(max(-1, min(1, v)) * 2 * barHalf))
	bar := []rune(strings.Repeat(" ", barHalf) + "│" + strings.Repeat(" ", barHalf))
	step, half := 1, '▌'
	if halves < 0 {
		step, half, halves = -1, '▐', -halves
	}
	at := barHalf + step
	for ; halves >= 2; halves -= 2 {
		bar[at] = '█'
		at += step
	}
	if halves == 1 {
		bar[at] = half
	}
	return string(bar)
}

const ansiReset = "\x1b[0m"

// printProbeText shows the text coloured by one emotion, with its scale.
func (a *app) printProbeText(t *report.Tokens, e int, scale float64) error {
	paint := newPainter()
	var b bytes.Buffer
	fmt.Fprintf(&b, "\x1b[1m%s\x1b[0m  %s ", t.Emotions[e], report.Number(-scale))
	for n := -report.Levels; n <= report.Levels; n += 2 {
		b.WriteString(paint.level(n) + " " + ansiReset)
	}
	fmt.Fprintf(&b, " %s\n\n", report.Number(scale))
	for i, piece := range t.Pieces() {
		text, style := report.Visible(piece.Text), ""
		if i >= t.MeanFrom {
			style = paint.level(report.Level(float64(t.Scores[i][e]), scale))
		}
		if slices.Contains(t.Read, i) {
			style += "\x1b[4m"
		}
		switch {
		case piece.Special:
			style += "\x1b[2m"
		case piece.Partial:
			text = "▯"
		}
		// A line's colour must end with it, or terminals fill the rest.
		for k, line := range strings.Split(text, "\n") {
			if k > 0 {
				b.WriteString(style + "↵" + ansiReset + "\n")
			}
			if line != "" {
				b.WriteString(style + line + ansiReset)
			}
		}
	}
	b.WriteString("\n")
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// A painter knows the colours of a terminal.
type painter struct {
	light bool // the background
	full  bool // 24 bits to a colour, rather than a palette of 256
}

// newPainter asks the environment. Terminals don't tell their background
// reliably; most that don't tell it at all are dark.
func newPainter() painter {
	var p painter
	if bits := os.Getenv("COLORTERM"); bits == "truecolor" || bits == "24bit" {
		p.full = true
	}
	// COLORFGBG is "foreground;background", 7 and 9 to 15 being light.
	fgbg := os.Getenv("COLORFGBG")
	n, err := strconv.Atoi(fgbg[strings.LastIndexByte(fgbg, ';')+1:])
	p.light = err == nil && (n == 7 || n >= 9)
	return p
}

// paletteRamps are indices into the palette of 256 colours, for two levels
// each: by light and by sign, positive first. The nearest colours to those of
// 24 bits would do worse: near black and white the palette has greys only.
var paletteRamps = map[bool][2][report.Levels / 2]int{
	false: {{52, 88, 124, 160, 196, 203}, {17, 18, 24, 25, 32, 75}},
	true:  {{224, 217, 210, 203, 196, 160}, {189, 153, 117, 75, 32, 26}},
}

// level gives the codes for the colours of a level: none for 0.
func (p painter) level(n int) string {
	if n == 0 {
		return ""
	}
	if p.full {
		ramp := report.DarkRamp
		if p.light {
			ramp = report.LightRamp
		}
		back, text := ramp.At(n)
		return fmt.Sprintf("\x1b[38;2;%d;%d;%d;48;2;%d;%d;%dm", text[0], text[1], text[2], back[0], back[1], back[2])
	}
	sign := 0
	if n < 0 {
		sign, n = 1, -n
	}
	back := paletteRamps[p.light][sign][(n-1)/2]
	text := 16 // black
	if c := palette(back); report.Contrast(c, report.RGB{255, 255, 255}) > report.Contrast(c, report.RGB{}) {
		text = 231 // white
	}
	return fmt.Sprintf("\x1b[38;5;%d;48;5;%dm", text, back)
}

// palette gives a colour of the palette of 256 within its cube, 16 to 231.
func palette(n int) report.RGB {
	steps := [6]uint8{0, 95, 135, 175, 215, 255}
	n -= 16
	return report.RGB{steps[n/36], steps[n/6%6], steps[n%6]}
}
