package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

type vectorsShowResult struct {
	Vectors     string             `json:"vectors"` // path
	FileSHA256  string             `json:"file_sha256"`
	MeansSHA256 string             `json:"means_sha256"`
	Site        string             `json:"site"` // of emotions
	SiteText    string             `json:"site_text"`
	DefaultSite siteNote           `json:"default_site"`
	Sites       []probe.SiteReport `json:"sites"`
	Emotions    []emotionRow       `json:"emotions"`
	Recipe      probe.Provenance   `json:"recipe"` // provenance as it stands in the file
	Provenance  provenance         `json:"provenance"`
}

// An emotionRow describes an emotion's vector at a site. Norms are fractions of
// the site's mean norm.
type emotionRow struct {
	Emotion      string   `json:"emotion"`
	Stories      int      `json:"stories"`
	MeanTokens   float64  `json:"mean_tokens"`
	ContrastNorm float64  `json:"contrast_norm"`
	DenoisedNorm float64  `json:"denoised_norm"`
	Removed      float64  `json:"removed_norm"` // share of the norm that went with neutral components
	Nearest      *cosines `json:"nearest"`      // null where there is no other emotion
	Farthest     *cosines `json:"farthest"`
}

// cosines is another emotion with the cosine between the denoised vectors.
type cosines struct {
	Emotion string  `json:"emotion"`
	Cosine  float64 `json:"cosine"`
}

func newVectorsShow(a *app) *cobra.Command {
	var site string
	var names nameList
	cmd := &cobra.Command{
		Use:   "show VECTORS",
		Short: "Show what a vectors file holds and where it comes from",
		Long: `Show what a vectors file holds: the model and the stories that it was built from,
the calibration at each site, and at one site, by default that at two thirds of
the depth, each emotion's stories, norms, and the emotions nearest to it and
farthest from it. The model is not needed.`,
		Example: examples(
			`limbic vectors show VECTORS --site resid_post:0`,
			`limbic vectors show VECTORS --emotion at-ease,calm --json`,
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("VECTORS is missing: a file that limbic vectors build wrote")
			case 1:
				return nil
			}
			return usagef("unexpected argument %q", args[1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, sum, err := loadVectors(args[0])
			if err != nil {
				return err
			}
			blocks := v.Provenance.Blocks
			at := v.DefaultSite()
			if cmd.Flags().Changed("site") {
				if at, err = parseSite("site", site, blocks); err != nil {
					return err
				}
			}
			sv, err := v.At(at)
			if err != nil {
				return err
			}
			shown := v.Emotions
			if len(names) > 0 {
				shown, err = names.resolve("emotion", func(name string) (string, error) {
					i, err := v.Index(name)
					if err != nil {
						return "", unprefixed{err, "probe: "}
					}
					return v.Emotions[i], nil
				})
				if err != nil {
					return err
				}
			}
			r := vectorsShowResult{
				Vectors: args[0], MeansSHA256: v.Provenance.MeansSHA256,
				Site: at.String(), SiteText: at.Describe(blocks),
				DefaultSite: siteNote{v.DefaultSite().String(), v.DefaultSite().Describe(blocks)},
				Emotions:    emotionRows(v, sv, shown), Recipe: v.Provenance, Provenance: vectorsProvenance(v),
			}
			r.FileSHA256 = sum
			for i := range v.Sites {
				r.Sites = append(r.Sites, v.Sites[i].Report())
			}
			if !a.json {
				return a.printVectors(&r)
			}
			r.Provenance.defineSites()
			r.Provenance.define(
				"contrast_norm of an emotion", "norm of its contrast vector as a fraction of the site's mean norm (absolute where there are no neutral texts); denoised_norm likewise",
				"nearest", "the other emotion whose denoised vector has the greatest cosine with this one's at the site; farthest: the least",
			)
			return a.writeJSON(r)
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "show the emotions at the site `S` (default: the output of the block at 2/3 of the depth)")
	cmd.Flags().Var(&names, "emotion", "show only these emotions; may be given several times")
	return cmd
}

// parseSite reads a flag that names one site.
func parseSite(flag, value string, blocks int) (llama.Site, error) {
	s, err := llama.ParseSite(value, blocks)
	if err != nil {
		return s, siteError("--"+flag, err)
	}
	return s, nil
}

// vectorsProvenance is the provenance of a result that comes from a vectors
// file without the model.
func vectorsProvenance(v *probe.Vectors) provenance {
	p, from := programProvenance(), &v.Provenance
	p.Model, p.ModelSHA256, p.Architecture = from.Model, from.ModelSHA256, from.Architecture
	p.Quantisation, p.TokenizerSHA256, p.Precision, p.Seed = from.Quantisation, from.Tokenizer, from.Precision, from.Seed
	p.KV = from.KVName()
	for _, s := range v.Sites {
		p.Sites = append(p.Sites, siteNote{s.Site.String(), s.Site.Describe(from.Blocks)})
	}
	return p
}

// emotionRows describes the named emotions at a site.
func emotionRows(v *probe.Vectors, sv *probe.SiteVectors, names []string) []emotionRow {
	row := func(f probe.Form, e int) []float32 { return sv.ByForm[f][e*v.Width:][:v.Width] }
	unit := sv.Norm.Mean
	if unit == 0 {
		unit = 1
	}
	rows := []emotionRow{}
	for e, name := range v.Emotions {
		if !slices.Contains(names, name) {
			continue
		}
		contrast, denoised := row(probe.Contrast, e), row(probe.Denoised, e)
		r := emotionRow{
			Emotion: name, Stories: v.Counts[e], MeanTokens: v.MeanTokens[e],
			ContrastNorm: probe.Norm(contrast) / unit, DenoisedNorm: probe.Norm(denoised) / unit,
			Removed: probe.Removed(contrast, denoised),
		}
		for other, name := range v.Emotions {
			if other == e {
				continue
			}
			c := probe.Cosine(denoised, row(probe.Denoised, other))
			if r.Nearest == nil || c > r.Nearest.Cosine {
				r.Nearest = &cosines{name, c}
			}
			if r.Farthest == nil || c < r.Farthest.Cosine {
				r.Farthest = &cosines{name, c}
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// printVectors writes the result for people.
func (a *app) printVectors(r *vectorsShowResult) error {
	p := &r.Recipe
	t := table{head: []string{"", ""}}
	t.add("vectors", r.Vectors)
	t.add("built by", strings.TrimSpace("limbic "+p.Limbic))
	t.add("model", fmt.Sprintf("%s (%s, %s, %s)", p.Model, p.Architecture, p.Quantisation, counted(p.Blocks, "block")))
	t.add("model_sha256", p.ModelSHA256)
	t.add("corpus_sha256", describeCorpus(p))
	t.add("topics", fmt.Sprintf("%d: %s", len(p.Topics), strings.Join(p.Topics, ", ")))
	if len(p.Excluded) > 0 {
		t.add("left out", fmt.Sprintf("%d: %s", len(p.Excluded), strings.Join(p.Excluded, ", ")))
	}
	t.add("stories", fmt.Sprintf("%s pooled from token %d on, %s too short; format %s, precision %s, keys and values in %s", grouped(p.Stories), p.From, grouped(p.Dropped), p.Format, p.Precision, p.KVName()))
	t.add("hands", describeHands(p))
	t.add("neutral texts", fmt.Sprintf("%s (%s); components of %v of their variance removed", grouped(p.Texts), p.Neutral, p.Threshold))
	t.add("tokens", fmt.Sprintf("%s; %s cut at the model's context", grouped(p.Tokens), counted(p.Cut, "text")))
	t.add("means_sha256", r.MeansSHA256)
	t.add("file_sha256", r.FileSHA256)
	t.add("default site", r.DefaultSite.Site+": "+r.DefaultSite.Description)
	if err := a.print(&t); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	if err := a.printSites(r.Sites, p.Hands); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "\nAt %s, %s:\n", r.Site, r.SiteText); err != nil {
		return err
	}
	t = table{
		head:  []string{"emotion", "stories", "tokens", "contrast", "denoised", "removed", "nearest", "", "farthest", ""},
		right: []bool{false, true, true, true, true, true, false, true, false, true},
	}
	other := func(c *cosines) (string, string) {
		if c == nil {
			return "", ""
		}
		return c.Emotion, fmt.Sprintf("%.2f", c.Cosine)
	}
	for _, e := range r.Emotions {
		near, nearCos := other(e.Nearest)
		far, farCos := other(e.Farthest)
		t.add(e.Emotion, grouped(e.Stories), fmt.Sprintf("%.1f", e.MeanTokens), inPercent(e.ContrastNorm), inPercent(e.DenoisedNorm),
			inPercent(e.Removed), near, nearCos, far, farCos)
	}
	return a.print(&t)
}
