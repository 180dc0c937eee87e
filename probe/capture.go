package probe

import (
	"context"
	"fmt"
	"slices"

	"github.com/limbic-go/limbic/asm"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/token"
)

// A Text is a text to be pooled: its tokens, as the model reads them.
type Text struct {
	Tokens []token.Token
	// Skip is the number of leading tokens that are no text (BOS): positions
	// are counted from the first behind them.
	Skip int
	// Cut says that the text went on beyond the model's context.
	Cut bool
}

// Pooled is what capturing a text gives.
type Pooled struct {
	// Tokens is the number of tokens of the text, without BOS.
	Tokens int
	// Cut is the text's: it went on beyond the model's context.
	Cut bool
	// Positions is how many of them were pooled; 0 where the text is shorter
	// than the first pooled position.
	Positions int
	// Means holds, for each site, the mean over the pooled positions, rounded
	// to float32 from the exact sum: [sites, width]. It is nil where nothing
	// was pooled.
	Means []float32
	// Norms holds, where asked for, the norm of the stream at every position
	// but 0: [sites][positions].
	Norms [][]float32
}

// A Capturer pools texts. It may be used for any number of batches, by one
// goroutine.
type Capturer struct {
	runner *llama.Runner
	sites  []llama.Site
	from   int
	norms  bool
	hook   *llama.Hook

	texts []Text
	sums  [][]Sum // [text][site]
	out   []Pooled
}

// NewCapturer makes a capturer that pools, at each of the sites, the positions
// of a text from number from (counted from 1, without BOS) to the last, and
// records norms if asked.
func NewCapturer(r *llama.Runner, sites []llama.Site, from int, norms bool) (*Capturer, error) {
	if from < 1 {
		return nil, fmt.Errorf("probe: pooling from token %d: tokens count from 1", from)
	}
	if len(sites) == 0 {
		return nil, fmt.Errorf("probe: no sites to capture")
	}
	for i, s := range sites {
		if slices.Contains(sites[:i], s) {
			return nil, fmt.Errorf("probe: site %v is given twice", s)
		}
	}
	c := &Capturer{runner: r, sites: sites, from: from, norms: norms}
	c.hook = &llama.Hook{Name: "capture", Sites: sites, Func: c.see}
	return c, nil
}

// Capture runs texts through the model, as a batch, and pools them. The result
// for a text does not depend on its company. It is valid until the next call.
func (c *Capturer) Capture(ctx context.Context, texts []Text) ([]Pooled, error) {
	c.texts = texts
	c.out = c.out[:0]
	pass := &llama.Pass{Hooks: []*llama.Hook{c.hook}}
	for i, t := range texts {
		s := c.runner.NewSequence()
		defer s.Close()
		pass.Spans = append(pass.Spans, llama.Span{Seq: s, Tokens: t.Tokens})
		if i == len(c.sums) {
			c.sums = append(c.sums, make([]Sum, len(c.sites)))
		}
		for k := range c.sums[i] {
			c.sums[i][k].Reset()
		}
		p := Pooled{Tokens: len(t.Tokens) - t.Skip, Cut: t.Cut}
		if c.norms {
			p.Norms = make([][]float32, len(c.sites))
		}
		c.out = append(c.out, p)
	}
	if err := c.runner.Forward(ctx, pass); err != nil {
		return nil, err
	}
	width := c.runner.Model().Config().Width
	for i := range c.out {
		p := &c.out[i]
		if p.Positions = int(c.sums[i][0].N); p.Positions == 0 {
			continue
		}
		p.Means = make([]float32, len(c.sites)*width)
		for k := range c.sites {
			c.sums[i][k].Mean(p.Means[k*width:][:width])
		}
	}
	return c.out, nil
}

// see is the hook: it adds the rows of a site to the sums of their texts.
func (c *Capturer) see(v *llama.View) error {
	site := 0
	for c.sites[site] != v.Site {
		site++
	}
	for i := range v.Rows {
		row := &v.Rows[i]
		h := v.At(i)
		if number := row.Pos - c.texts[row.Span].Skip + 1; number >= c.from {
			if err := c.sums[row.Span][site].Add(h); err != nil {
				return err
			}
		}
		if c.norms && row.Pos > 0 {
			p := &c.out[row.Span]
			p.Norms[site] = append(p.Norms[site], asm.Norm(h))
		}
	}
	return nil
}
