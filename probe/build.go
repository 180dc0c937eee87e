package probe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
)

// BuildOptions are the options of Build.
type BuildOptions struct {
	// Sites to capture, in any order; nil means the output of every block.
	Sites []llama.Site
	// From is the first pooled token of a text, counted from 1 without BOS;
	// 0 means 50.
	From int
	// Neutral says which neutral texts are used: "dialogues", "passages" or
	// "both" ("" means both).
	Neutral string
	// Threshold is the share of neutral variance whose principal components
	// are removed; 0 means 0.5, a negative value means none.
	Threshold float64
	// Parts are selections of the corpus of which vectors are built too, from
	// the same reading: its topics but some, for one, to test on those. What
	// they give is what Build gives for each of them alone, to the bit, with
	// the topics that they leave out as Excluded. Out does not write them.
	Parts []*emotion.Corpus
	// Excluded names the topics that were left out of the corpus, for the
	// record.
	Excluded []string
	// Version is the version of limbic, for the record.
	Version string
	// Journal is the path of the file in which an unfinished build is kept.
	// An interrupted build with the same model, corpus and options goes on
	// from it; a finished one removes it. "" keeps it in a temporary file,
	// which is removed however the build ends: it can't be resumed then.
	Journal string
	// Out is the path of the vectors file; the sidecar with the story means
	// goes beside it (see SidecarPath). "" writes neither.
	Out string
	// Progress, if not nil, is told how many of the corpus's texts are done:
	// at the start, where an earlier run may have left some, and after every
	// batch.
	Progress func(done, total int)
}

// A Report is what a build has to say beside the vectors.
type Report struct {
	// Resumed is how many texts were taken from an earlier, interrupted run.
	Resumed int
	// TokensPerSecond of this run, or 0 where everything was there.
	TokensPerSecond float64
	// Sites compares the forms of vectors at each site.
	Sites []SiteReport
}

// A SiteReport compares the forms of vectors at a site.
type SiteReport struct {
	Site string `json:"site"`
	// Components is the number of neutral components removed, and Share the
	// share of neutral variance that they hold.
	Components int     `json:"neutral_components"`
	Share      float64 `json:"neutral_share"`
	// Removed is the mean over emotions of the share of the contrast
	// vector's norm that went with them: 1 - |denoised| / |contrast|.
	// RemovedPlain is the same without centring within hands.
	Removed      float64 `json:"removed_norm"`
	RemovedPlain float64 `json:"removed_norm_plain"`
	// Hands is the mean over emotions of the cosine between the contrast
	// vectors with and without centring within hands, and HandsMin the least.
	Hands    float64 `json:"cosine_hands_mean"`
	HandsMin float64 `json:"cosine_hands_min"`
	// ContrastNorm is the mean norm of contrast vectors as a fraction of the
	// calibrated norm (as it is where there is no calibration), and
	// ContrastNormPlain the same without centring within hands.
	ContrastNorm      float64     `json:"contrast_norm"`
	ContrastNormPlain float64     `json:"contrast_norm_plain"`
	Norm              Calibration `json:"norm"`
}

// StoryMeans are the pooled means of single stories at one site, from which
// bootstraps, held-out topics and confound regressions are computed.
type StoryMeans struct {
	Site llama.Site
	// Index says which story of the corpus each row is, in rising order.
	Index []int
	// Means is [rows, width].
	Means []float32
}

// Result is what Build gives.
type Result struct {
	Vectors *Vectors
	// Stories are the pooled means of all stories at the default site.
	Stories *StoryMeans
	Report  Report
	// Parts are the results of BuildOptions.Parts, in their order.
	Parts []*Result
}

// batchTexts is how many texts go through the model together.
const batchTexts = 16

// Build runs a corpus through a model and finds the emotion vectors.
//
// Raw means, counts and calibration are the same bits for the same model file,
// corpus and options, on every machine, for any number of threads and however
// often the build was interrupted; Provenance.MeansSHA256 is their hash.
// Where ctx ends, what was done is in the journal.
func Build(ctx context.Context, r *llama.Runner, c *emotion.Corpus, o BuildOptions) (*Result, error) {
	b, err := newBuilder(ctx, r, c, o)
	if err != nil {
		return nil, err
	}
	defer b.journal.close()
	if err := b.capture(ctx); err != nil {
		return nil, err
	}
	res, err := b.finish()
	if err != nil {
		return nil, err
	}
	for _, part := range b.parts {
		r, err := part.finish()
		if err != nil {
			return nil, err
		}
		res.Parts = append(res.Parts, r)
	}
	if o.Out != "" {
		if err := res.Vectors.Save(o.Out); err != nil {
			return nil, err
		}
		if err := res.Stories.Save(SidecarPath(o.Out), res.Vectors, c); err != nil {
			return nil, err
		}
	}
	return res, b.journal.remove()
}

type builder struct {
	runner *llama.Runner
	corpus *emotion.Corpus
	opts   BuildOptions
	prov   Provenance

	neutral []emotion.Neutral
	hands   []string
	journal *journal
	report  Report

	parts []*builder
	// places says, of a part, which of its units each unit of the journal is;
	// nil where the journal is the builder's own.
	places map[int][]int
}

func newBuilder(ctx context.Context, r *llama.Runner, c *emotion.Corpus, o BuildOptions) (*builder, error) {
	m := r.Model()
	cfg := m.Config()
	if o.From == 0 {
		o.From = 50
	}
	if o.Threshold == 0 {
		o.Threshold = 0.5
	}
	if o.Sites == nil {
		for b := range cfg.Blocks {
			o.Sites = append(o.Sites, llama.Site{Point: llama.ResidPost, Block: b})
		}
	}
	o.Sites = inOrder(o.Sites)
	if !(o.Threshold <= 1) {
		return nil, fmt.Errorf("probe: neutral variance %v is above 1", o.Threshold)
	}
	for _, s := range o.Sites {
		if !s.Valid(cfg.Blocks) {
			return nil, fmt.Errorf("probe: the model has no site %v", s)
		}
	}
	if len(c.Stories) == 0 {
		return nil, fmt.Errorf("probe: the corpus has no stories")
	}
	b := &builder{runner: r, corpus: c, opts: o}
	switch o.Neutral {
	case "", "both":
		b.opts.Neutral = "both"
		b.neutral = c.Neutral
	case "dialogues":
		b.neutral = c.NeutralOf(emotion.KindDialogue)
	case "passages":
		b.neutral = c.NeutralOf(emotion.KindPassage)
	default:
		return nil, fmt.Errorf("probe: neutral texts %q: want dialogues, passages or both", o.Neutral)
	}
	b.hands = handsOf(c)

	// Hours may pass before these stories would be missed.
	for _, e := range c.Emotions {
		if !slices.ContainsFunc(c.StoriesOf(e), func(s emotion.Story) bool {
			t := Encode(m, s.Text)
			return len(t.Tokens)-t.Skip >= o.From
		}) {
			return nil, fmt.Errorf("probe: no story of %q has %d tokens or more: pool from an earlier token", e, o.From)
		}
	}

	sum, err := m.SHA256(ctx)
	if err != nil {
		return nil, err
	}
	b.prov = Provenance{
		Limbic: o.Version, Model: cfg.Name, ModelSHA256: sum, Architecture: cfg.Architecture,
		Quantisation: m.Quantisation(), Tokenizer: m.Tokenizer().Hash(), Blocks: cfg.Blocks,
		Corpus: c.Hash(), Format: FormatRaw, From: o.From, Topics: c.Topics, Excluded: o.Excluded,
		Neutral: b.opts.Neutral, Hands: len(CentringHands(c)) > 0, Threshold: max(o.Threshold, 0),
		Precision: r.Options().Precision.String(),
	}
	if kv := r.Options().KV; kv != llama.KVFloat32 {
		b.prov.KV = kv.String()
	}
	for i, part := range o.Parts {
		p, err := b.part(part)
		if err != nil {
			return nil, fmt.Errorf("probe: part %d of the corpus: %w", i, err)
		}
		b.parts = append(b.parts, p)
	}
	key, err := json.Marshal(struct {
		Journal string
		P       Provenance
		Sites   []string
	}{"limbic build 1", b.prov, siteNames(o.Sites)})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	b.journal, err = openJournal(o.Journal, string(key), len(o.Sites), cfg.Width, b.units())
	if err != nil {
		return nil, err
	}
	b.report.Resumed = len(b.journal.done)
	for _, p := range b.parts {
		p.journal = b.journal
	}
	return b, nil
}

// handsOf names the hands of a corpus. Hand 0 stands for stories whose writer
// is not known.
func handsOf(c *emotion.Corpus) []string { return append([]string{""}, c.Writers()...) }

// part is the builder of a selection of the corpus, which shares the journal.
func (b *builder) part(c *emotion.Corpus) (*builder, error) {
	p := &builder{runner: b.runner, corpus: c, opts: b.opts, prov: b.prov, hands: handsOf(c), places: map[int][]int{}}
	stories := map[emotion.Story]int{}
	for i, s := range b.corpus.Stories {
		stories[s] = i
	}
	for i, s := range c.Stories {
		unit, ok := stories[s]
		if !ok {
			return nil, fmt.Errorf("story %d, of %q on %q, is not in the corpus", i, s.Emotion, s.Topic)
		}
		p.places[unit] = append(p.places[unit], i)
	}
	type key struct{ kind, topic, text string }
	neutral := map[key]int{}
	for i, n := range b.neutral {
		neutral[key{n.Kind, n.Topic, n.Text}] = len(b.corpus.Stories) + i
	}
	for _, n := range c.Neutral {
		if b.opts.Neutral != "both" && b.opts.Neutral != n.Kind+"s" {
			continue
		}
		unit, ok := neutral[key{n.Kind, n.Topic, n.Text}]
		if !ok {
			return nil, fmt.Errorf("a neutral text on %q is not in the corpus", n.Topic)
		}
		p.places[unit] = append(p.places[unit], len(c.Stories)+len(p.neutral))
		p.neutral = append(p.neutral, n)
	}
	p.prov.Corpus, p.prov.Topics, p.prov.Excluded, p.prov.Hands = c.Hash(), c.Topics, nil, len(CentringHands(c)) > 0
	for _, t := range b.corpus.Topics {
		if !slices.Contains(c.Topics, t) {
			p.prov.Excluded = append(p.prov.Excluded, t)
		}
	}
	return p, nil
}

// each calls f for every text of the builder that was captured, in the order of
// the journal; the Pooled is valid during the call.
func (b *builder) each(f func(unit int, got Pooled) error) error {
	width := b.runner.Model().Config().Width
	return b.journal.each(len(b.opts.Sites), width, func(unit int, got Pooled, _ int64) error {
		if b.places == nil {
			return f(unit, got)
		}
		for _, u := range b.places[unit] {
			if err := f(u, got); err != nil {
				return err
			}
		}
		return nil
	})
}

// inOrder sorts sites as a forward pass reaches them, each once.
func inOrder(sites []llama.Site) []llama.Site {
	final := func(s llama.Site) int {
		if s.Point == llama.FinalNorm {
			return 1
		}
		return 0
	}
	return slices.Compact(slices.SortedFunc(slices.Values(sites), func(a, b llama.Site) int {
		return cmp.Or(cmp.Compare(final(a), final(b)), cmp.Compare(a.Block, b.Block), cmp.Compare(a.Point, b.Point))
	}))
}

func siteNames(sites []llama.Site) []string {
	var names []string
	for _, s := range sites {
		names = append(names, s.String())
	}
	return names
}

// minEmotionsOfHand is how many emotions a hand must have written for its mean to
// stand for its style. The mean of a hand that wrote one emotion is that
// emotion: centring by it would leave nothing.
const minEmotionsOfHand = 10

// CentringHands gives the hands within which Build centres a corpus: those that
// wrote it, or none, where one of them wrote stories of fewer than ten of its
// emotions, as in a small selection. Stories whose writer is not known count as
// those of one more hand.
func CentringHands(c *emotion.Corpus) []string {
	if len(c.Writers()) == 0 {
		return nil
	}
	wrote := map[string]map[string]bool{}
	for i := range c.Stories {
		s := &c.Stories[i]
		if wrote[s.Writer] == nil {
			wrote[s.Writer] = map[string]bool{}
		}
		wrote[s.Writer][s.Emotion] = true
	}
	for _, emotions := range wrote {
		if len(emotions) < minEmotionsOfHand {
			return nil
		}
	}
	return c.Writers()
}

// units is the number of texts: the stories, then the neutral texts.
func (b *builder) units() int { return len(b.corpus.Stories) + len(b.neutral) }

func (b *builder) isStory(unit int) bool { return unit < len(b.corpus.Stories) }

func (b *builder) text(unit int) string {
	if b.isStory(unit) {
		return b.corpus.Stories[unit].Text
	}
	return b.neutral[unit-len(b.corpus.Stories)].Text
}

// capture runs the texts that the journal does not have yet.
func (b *builder) capture(ctx context.Context) error {
	start, tokens := time.Now(), 0
	if b.opts.Progress != nil {
		b.opts.Progress(b.report.Resumed, b.units())
	}
	for _, stories := range []bool{true, false} {
		c, err := NewCapturer(b.runner, b.opts.Sites, b.opts.From, !stories)
		if err != nil {
			return err
		}
		var units []int
		var texts []Text
		flush := func() error {
			if len(units) == 0 {
				return nil
			}
			pooled, err := c.Capture(ctx, texts)
			if err != nil {
				return err
			}
			if err := b.journal.append(units, pooled); err != nil {
				return err
			}
			if b.opts.Progress != nil {
				b.opts.Progress(len(b.journal.done), b.units())
			}
			units, texts = units[:0], texts[:0]
			return nil
		}
		for u := range b.units() {
			if b.isStory(u) != stories || b.journal.done[u] {
				continue
			}
			t := Encode(b.runner.Model(), b.text(u))
			tokens += len(t.Tokens) - t.Skip
			units, texts = append(units, u), append(texts, t)
			if len(units) == batchTexts {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if tokens > 0 {
		b.report.TokensPerSecond = float64(tokens) / time.Since(start).Seconds()
	}
	return b.journal.sync()
}

// finish reads the journal and computes the vectors.
func (b *builder) finish() (*Result, error) {
	width := b.runner.Model().Config().Width
	emotions, hands := indexOf(b.corpus.Emotions), indexOf(b.hands)
	v := &Vectors{
		Provenance: b.prov, Emotions: b.corpus.Emotions, Width: width,
		Counts: make([]int, len(emotions)), MeanTokens: make([]float64, len(emotions)),
	}
	sums := make([]siteSums, len(b.opts.Sites))
	for i := range sums {
		sums[i].byHand = make([][]Sum, len(emotions))
		for e := range sums[i].byHand {
			sums[i].byHand[e] = make([]Sum, len(b.hands))
		}
	}
	// Neutral means are kept in the order of texts, which is not that of the
	// journal where a build was interrupted.
	neutralMeans := make([][]float32, len(b.neutral))
	p := &v.Provenance
	err := b.each(func(unit int, got Pooled) error {
		p.Tokens += got.Tokens
		if got.Cut {
			p.Cut++
		}
		if !b.isStory(unit) {
			for k, norms := range got.Norms { // none of a text of one token
				for _, n := range norms {
					if err := sums[k].norms.Add(n); err != nil {
						return err
					}
				}
			}
			if got.Positions > 0 {
				neutralMeans[unit-len(b.corpus.Stories)] = slices.Clone(got.Means)
			}
			return nil
		}
		if got.Positions == 0 {
			p.Dropped++
			return nil
		}
		p.Stories++
		s := &b.corpus.Stories[unit]
		e, h := emotions[s.Emotion], hands[s.Writer]
		v.Counts[e]++
		v.MeanTokens[e] += float64(got.Tokens)
		for k := range sums {
			if err := sums[k].byHand[e][h].Add(got.Means[k*width:][:width]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, b.damaged(err)
	}
	for e, n := range v.Counts {
		if n == 0 { // newBuilder saw to it, except in parts
			return nil, fmt.Errorf("probe: no story of %q has %d tokens or more", v.Emotions[e], b.opts.From)
		}
		v.MeanTokens[e] /= float64(n)
	}
	for _, m := range neutralMeans {
		if m == nil {
			continue
		}
		p.Texts++
		for k := range sums {
			mean := m[k*width:][:width]
			sums[k].texts = append(sums[k].texts, mean)
			if err := sums[k].neutral.Add(mean); err != nil {
				return nil, err
			}
		}
	}
	p.MeansSHA256 = b.hash(v, sums)

	var proj []*projections
	for k := range sums {
		sv, err := sums[k].derive(width, p.Threshold, p.Hands)
		if err != nil {
			return nil, err
		}
		sv.Site = b.opts.Sites[k]
		v.Sites = append(v.Sites, sv)
		proj = append(proj, newProjections(sv.ByForm[Denoised], width))
	}
	res := &Result{Vectors: v, Stories: &StoryMeans{Site: v.DefaultSite()}}
	if err := b.project(v, proj, res.Stories); err != nil {
		return nil, b.damaged(err)
	}
	for k := range v.Sites {
		b.report.Sites = append(b.report.Sites, v.Sites[k].Report())
	}
	res.Report = b.report
	return res, nil
}

// project reads the stories' means once more, in the order of stories: for z
// scores, and to keep those of the default site.
func (b *builder) project(v *Vectors, proj []*projections, keep *StoryMeans) error {
	width := v.Width
	kept := slices.Index(b.opts.Sites, keep.Site)
	rows := make([][]float32, len(b.corpus.Stories))
	err := b.each(func(unit int, got Pooled) error {
		if b.isStory(unit) && got.Positions > 0 {
			rows[unit] = slices.Clone(got.Means[kept*width:][:width])
			for k := range proj {
				proj[k].add(unit, got.Means[k*width:][:width])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k := range proj {
		v.Sites[k].ProjectionMean, v.Sites[k].ProjectionSD = proj[k].moments()
	}
	for unit, row := range rows {
		if row != nil {
			keep.Index = append(keep.Index, unit)
			keep.Means = append(keep.Means, row...)
		}
	}
	return nil
}

// damaged explains an error in reading back what was just written.
func (b *builder) damaged(err error) error {
	if err == errDamaged {
		return fmt.Errorf("probe: %s was damaged while the build ran; run it again", b.journal.path)
	}
	return err
}

func indexOf(names []string) map[string]int {
	m := make(map[string]int, len(names))
	for i, n := range names {
		m[n] = i
	}
	return m
}

// hash is the SHA-256 of the canonical bytes of sums, counts and calibration:
// names and numbers each with its length, big-endian, in the order of the
// lists. Neither times nor hosts nor thread counts are in it.
func (b *builder) hash(v *Vectors, sums []siteSums) string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, s := range parts {
			buf := binary.BigEndian.AppendUint64(nil, uint64(len(s)))
			h.Write(append(buf, s...))
		}
	}
	put("limbic means 1", fmt.Sprint(v.Width), strings.Join(siteNames(b.opts.Sites), ","), strings.Join(v.Emotions, ","), strings.Join(b.hands, ","))
	var buf []byte
	sum := func(s *Sum) {
		buf = binary.BigEndian.AppendUint64(buf[:0], s.N)
		for _, c := range s.Components {
			buf = c.appendTo(buf)
		}
		h.Write(buf)
	}
	for k := range sums {
		for e := range sums[k].byHand {
			for i := range sums[k].byHand[e] {
				sum(&sums[k].byHand[e][i])
			}
		}
		sum(&sums[k].neutral)
		h.Write(sums[k].norms.appendTo(nil))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Norm is the L2 norm of a vector, computed in float64.
func Norm(v []float32) float64 { return norm64(v) }

// Removed is the share of a contrast vector's norm that went with the neutral
// components: 1 - |denoised| / |contrast|, and 0 for a contrast of 0.
func Removed(contrast, denoised []float32) float64 {
	norm := norm64(contrast)
	if norm == 0 {
		return 0
	}
	return 1 - norm64(denoised)/norm
}

// Report compares the forms of the vectors at a site, such as Build and Load
// give.
func (s *SiteVectors) Report() SiteReport {
	width := len(s.Grand)
	r := SiteReport{Site: s.Site.String(), Components: len(s.Basis) / width, Norm: s.Norm, HandsMin: 1}
	for _, share := range s.Shares[:r.Components] {
		r.Share += share
	}
	contrast := s.ByForm[Contrast]
	n := float64(len(contrast) / width)
	for at := 0; at < len(contrast); at += width {
		c, d, p := contrast[at:at+width], s.ByForm[Denoised][at:at+width], s.ByForm[PlainContrast][at:at+width]
		r.ContrastNorm += norm64(c) / n
		r.ContrastNormPlain += norm64(p) / n
		r.Removed += Removed(c, d) / n
		r.RemovedPlain += Removed(p, s.ByForm[PlainDenoised][at:at+width]) / n
		cos := Cosine(c, p)
		r.Hands += cos / n
		r.HandsMin = min(r.HandsMin, cos)
	}
	if s.Norm.Mean > 0 {
		r.ContrastNorm /= s.Norm.Mean
		r.ContrastNormPlain /= s.Norm.Mean
	}
	return r
}
