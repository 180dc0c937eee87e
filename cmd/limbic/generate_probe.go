package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/steer"
)

// meterFlags are the flags that read emotions while text is generated.
type meterFlags struct {
	text  string
	site  string
	score string

	vectors  string
	emotions []string // nil means all
	kind     probe.Score
}

func (f *meterFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.text, "probe", "", "read emotions at each new token: `VECTORS[:NAME,...]`")
	fs.StringVar(&f.site, "probe-site", "", "with --probe: the site `S` to read (default: the vectors' default site)")
	fs.StringVar(&f.score, "score", string(probe.Centered), "with --probe: the score `KIND`: centered, cosine, dot or z")
}

// check is called before a model is opened.
func (f *meterFlags) check(cmd *cobra.Command) error {
	fs := cmd.Flags()
	if !fs.Changed("probe") {
		for _, name := range []string{"probe-site", "score"} {
			if fs.Changed(name) {
				return usagef("--%s needs --probe", name)
			}
		}
		return nil
	}
	var err error
	if f.vectors, f.emotions, err = parseProbe(f.text); err != nil {
		return usagef("--probe %q: %w", f.text, unprefixed{err, "steer: "})
	}
	if f.kind, err = probe.ParseScore(f.score); err != nil {
		return usagef("--score: %w", unprefixed{err, "probe: "})
	}
	return nil
}

// parseProbe reads VECTORS[:NAME,...]. Names are told from a path with a colon
// by what no name holds: the last colon counts unless a separator of paths, or
// a vectors file's extension, is behind it.
func parseProbe(s string) (vectors string, emotions []string, err error) {
	if s == "" {
		return "", nil, fmt.Errorf("no vectors file is named")
	}
	if q := s[:1]; (q == `"` || q == "'") && len(s) > 2 && strings.Count(s, q) == 2 && strings.HasSuffix(s, q) {
		return s[1 : len(s)-1], nil, nil
	}
	behind := s[strings.LastIndexByte(s, ':')+1:]
	if len(behind) == len(s) || strings.ContainsAny(behind, `/\`) || strings.HasSuffix(behind, ".safetensors") {
		return s, nil, nil
	}
	vectors, names, err := steer.ParseVector(s)
	if err != nil {
		return "", nil, err
	}
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return "", nil, fmt.Errorf("an emotion's name is empty")
		}
		emotions = append(emotions, name)
	}
	return vectors, emotions, nil
}

// open makes the meter that the flags ask for: nil for none.
func (f *meterFlags) open(e *engine, files *vectorFiles) (*meter, error) {
	if f.vectors == "" {
		return nil, nil
	}
	v, err := files.load(f.vectors)
	if err != nil {
		return nil, err
	}
	o := probe.ReaderOptions{Emotions: f.emotions, Score: f.kind}
	if f.site != "" {
		site, err := llama.ParseSite(f.site, e.blocks)
		if err != nil {
			return nil, siteError("--probe-site", err)
		}
		o.Site = &site
	}
	r, err := v.NewReader(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.vectors, err)
	}
	m := &meter{reader: r, named: f.emotions != nil, where: r.Site().Describe(e.blocks)}
	m.hook = r.Hook(m.see)
	return m, nil
}

// An emotionTrace holds the scores of emotions at the states that chose new
// tokens: row i is the state whose logits chose token i. Cosine is the
// uncentred twin of the scores.
type emotionTrace struct {
	Site     string      `json:"site"`
	Score    probe.Score `json:"score"`
	Emotions []string    `json:"emotions"`
	Scores   [][]float32 `json:"scores"` // [new tokens][emotions]
	Cosine   [][]float32 `json:"cosine"`
}

// A meter reads emotions while text is generated. A nil meter reads nothing.
type meter struct {
	reader *probe.Reader
	hook   *llama.Hook
	named  bool   // emotions were named, rather than all taken
	where  string // the site in words

	scores, cosine [][]float32
}

func (m *meter) hooks() []*llama.Hook {
	if m == nil {
		return nil
	}
	return []*llama.Hook{m.hook}
}

func (m *meter) sites() []llama.Site {
	if m == nil {
		return nil
	}
	return []llama.Site{m.reader.Site()}
}

// see keeps the scores of rows that emit new tokens. Those of a sequence come
// in the order of their positions.
func (m *meter) see(row llama.Row, scores, cosine []float32) error {
	if row.Generated() {
		m.scores = append(m.scores, slices.Clone(scores))
		m.cosine = append(m.cosine, slices.Clone(cosine))
	}
	return nil
}

// take gives what was seen since the last call, for n new tokens: a pass that
// was interrupted may have come by the site without emitting one.
func (m *meter) take(n int) *emotionTrace {
	if m == nil {
		return nil
	}
	t := &emotionTrace{m.reader.Site().String(), m.reader.Score(), m.reader.Emotions(), [][]float32{}, [][]float32{}}
	t.Scores = append(t.Scores, m.scores[:min(n, len(m.scores))]...)
	t.Cosine = append(t.Cosine, m.cosine[:min(n, len(m.cosine))]...)
	m.scores, m.cosine = nil, nil
	return t
}

// note says in a provenance what the scores are.
func (m *meter) note(p *provenance) {
	p.define(
		"trace", "row i is the state whose logits chose new token i",
		"score", definitionsOfScores[m.reader.Score()],
		"cosine", definitionsOfScores[probe.CosineOf],
	)
}

var definitionsOfScores = map[probe.Score]string{
	probe.Centered: "centered: cosine(h - c, v), c the mean of neutral texts in the vectors' text format, v the denoised contrast vector",
	probe.CosineOf: "cosine(h, v), v the denoised contrast vector",
	probe.Dot:      "dot: inner product of h and v, v the denoised contrast vector, not normalised",
	probe.Z:        "z: projection of h on the unit denoised contrast vector, standardised over the stories' means",
}

// scoreNames are the scores for people.
var scoreNames = map[probe.Score]string{
	probe.Centered: "centered cosine", probe.CosineOf: "cosine", probe.Dot: "dot product", probe.Z: "z score",
}

// shownEmotions is how many emotions a person gets to see unless some are
// named, and sparkWidth the width of their curves at most.
const (
	shownEmotions = 5
	sparkWidth    = 60
)

// printTrace shows the course of emotions on standard error: those that were
// named, or those with the highest means.
func (a *app) printTrace(t *emotionTrace, m *meter) error {
	if t == nil || len(t.Scores) == 0 {
		return nil
	}
	type curve struct {
		name  string
		mean  float64
		cells []float64
	}
	var curves []curve
	width := 0
	for e, name := range t.Emotions {
		c := curve{name: name, cells: squeeze(len(t.Scores), sparkWidth, func(i int) float64 { return float64(t.Scores[i][e]) })}
		for _, row := range t.Scores {
			c.mean += float64(row[e]) / float64(len(t.Scores))
		}
		curves = append(curves, c)
	}
	if !m.named {
		slices.SortStableFunc(curves, func(a, b curve) int { return cmp.Compare(b.mean, a.mean) })
		curves = curves[:min(shownEmotions, len(curves))]
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		width = max(width, len(c.name))
		low, high = min(low, slices.Min(c.cells)), max(high, slices.Max(c.cells))
	}
	if _, err := fmt.Fprintf(a.stderr, "emotions at the %s: mean %s over %s, and its course from %.3f to %.3f\n",
		m.where, scoreNames[t.Score], counted(len(t.Scores), "token"), low, high); err != nil {
		return err
	}
	for _, c := range curves {
		if _, err := fmt.Fprintf(a.stderr, "  %-*s  %+.3f  %s\n", width, c.name, c.mean, sparkline(c.cells, low, high)); err != nil {
			return err
		}
	}
	return nil
}

// squeeze gives n values as at most width means over equal stretches.
func squeeze(n, width int, at func(i int) float64) []float64 {
	cells := make([]float64, min(n, width))
	for c := range cells {
		from, until := c*n/len(cells), (c+1)*n/len(cells)
		for i := from; i < until; i++ {
			cells[c] += at(i) / float64(until-from)
		}
	}
	return cells
}

// sparkline draws values between low and high.
func sparkline(values []float64, low, high float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, x := range values {
		level := 0
		if high > low {
			level = int((x-low)/(high-low)*float64(len(bars)-1) + 0.5)
		}
		b.WriteRune(bars[min(max(level, 0), len(bars)-1)])
	}
	return b.String()
}
