package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/experiment"
	"github.com/limbic-go/limbic/internal/atomicfile"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
	"github.com/limbic-go/limbic/report"
)

type geometryResult struct {
	*experiment.GeometryResult
	Vectors    string     `json:"vectors"` // path
	HTML       string     `json:"html,omitempty"`
	Provenance provenance `json:"provenance"`
}

// geometryFlags say which vectors are measured and how.
type geometryFlags struct {
	site                     string
	form                     string
	unit                     bool
	topics, excluded, unseen nameList
	components, clusters     int
	model                    string
	corpus                   string
	html                     string
	seed                     uint64
}

func (f *geometryFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.site, "site", "", "the vectors at the site `S`, chosen beforehand (default: the output of the block at 2/3 of the depth)")
	fs.StringVar(&f.form, "form", string(probe.Denoised), "`FORM` of the vectors: denoised, contrast, denoised_plain, contrast_plain or mean")
	fs.BoolVar(&f.unit, "unit", false, "scale vectors to length 1 before taking components")
	fs.IntVar(&f.components, "components", 3, "compare the first `K` components with ratings")
	fs.IntVar(&f.clusters, "clusters", 0, "find `K` clusters (default: 10, at most half as many as emotions)")
	fs.Var(&f.topics, "topics", "form the vectors from the stories on these topics only")
	fs.Var(&f.excluded, "exclude-topics", "form the vectors without the stories on these topics")
	fs.Var(&f.unseen, "unseen-topics", "state that the model was not trained on stories on these topics, or on any: all. A result that uses no others is marked as out of sample")
	fs.StringVar(&f.model, "model", "", "the `MODEL` of the vectors, for the baseline of its token embeddings")
	fs.StringVar(&f.corpus, "corpus", embeddedCorpus, "the vectors were built from the corpus in the folder `DIR`, or from the embedded one; for the baselines of words and style")
	fs.StringVar(&f.html, "html", "", "write a page to the file `F.html`")
	fs.Uint64Var(&f.seed, "seed", 0, "seed `N` of permutations, bootstrap, clustering and controls")
}

// check is called before anything is opened.
func (f *geometryFlags) check(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "site", "model", "html"); err != nil {
		return err
	}
	var forms []string
	for _, form := range probe.Forms() {
		forms = append(forms, string(form))
	}
	switch {
	case !slices.Contains(forms, f.form):
		return unknownValue("form", f.form, forms)
	case f.components < 1:
		return usagef("--components %d is less than 1", f.components)
	case cmd.Flags().Changed("clusters") && f.clusters < 1:
		return usagef("--clusters %d is less than 1", f.clusters)
	case f.html != "":
		return checkOut(f.html)
	}
	return nil
}

// chosen fills in the topics, in the spelling of the vectors.
func (f *geometryFlags) chosen(o *experiment.GeometryOptions, v *probe.Vectors) error {
	find := (&emotion.Corpus{Topics: v.Provenance.Topics}).Topic
	var err error
	if o.Topics, err = f.topics.resolve("topics", find); err != nil {
		return err
	}
	if o.ExcludeTopics, err = f.excluded.resolve("exclude-topics", find); err != nil {
		return err
	}
	if slices.Equal(f.unseen, nameList{experiment.AllTopics}) {
		o.UnseenTopics = f.unseen
		return nil
	}
	o.UnseenTopics, err = f.unseen.resolve("unseen-topics", find)
	return err
}

func newGeometry(a *app) *cobra.Command {
	var flags engineFlags
	var f geometryFlags
	cmd := &cobra.Command{
		Use:   "geometry VECTORS",
		Short: "Compare how emotion vectors lie with how people rate emotions",
		Long: `Show how the vectors of emotions lie to each other: their principal components and
what these have to do with valence and arousal as people rate the words, the
clusters that they form, the nearest neighbours of each, and how far the layers
agree. --html writes a page with a map of the emotions.

Every figure stands beside its control. p allows for the choice of the best
component; intervals are over words. Baselines are the words, the style and (with
--model) the token embeddings of the same stories, measured in the same way;
controls are random vectors and, where the file of story means lies beside the
vectors, vectors from shuffled labels.

--topics and --exclude-topics form vectors from a part of the stories, and need
that file. A model that was trained on such stories is described in sample;
--unseen-topics says which topics it has not seen.`,
		Example: examples(
			`limbic geometry VECTORS --site resid_post:0`,
			`limbic geometry VECTORS --html /tmp/geometry.html`,
			`limbic geometry VECTORS --model MODEL --unseen-topics all --json`,
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("VECTORS is missing: a file that limbic vectors build wrote, or %s", demo.Name)
			case 1:
				return nil
			}
			return usagef("unexpected argument %q", args[1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := f.check(cmd); err != nil {
				return err
			}
			v, sum, err := loadVectors(args[0])
			if err != nil {
				return err
			}
			o := experiment.GeometryOptions{
				Form: probe.Form(f.form), Unit: f.unit, Components: f.components, Clusters: f.clusters, Seed: f.seed,
			}
			at := v.DefaultSite()
			if cmd.Flags().Changed("site") {
				if at, err = parseSite("site", f.site, v.Provenance.Blocks); err != nil {
					return err
				}
			}
			o.Site = &at
			if err := f.chosen(&o, v); err != nil {
				return err
			}
			if path := probe.SidecarPath(args[0]); args[0] != demo.Name && exists(path) {
				o.Sidecar = path
			}
			if o.Corpus, err = f.stories(a, cmd, v); err != nil {
				return err
			}
			r := geometryResult{Vectors: args[0], HTML: f.html, Provenance: vectorsProvenance(v)}
			if f.model != "" {
				e, err := openEngine(f.model, &flags)
				if err != nil {
					return err
				}
				defer e.close()
				o.Runner = e.runner
				if r.Provenance, err = e.provenance(ctx, []llama.Site{at}); err != nil {
					return err
				}
			}
			var finish func()
			o.Progress, finish = a.stages()
			r.GeometryResult, err = experiment.Geometry(ctx, v, o)
			finish()
			if err != nil {
				return err
			}
			r.Provenance.Seed = f.seed
			r.Provenance.Vectors = []vectorsNote{{args[0], sum, v.Provenance.MeansSHA256, len(v.Emotions)}}
			r.Provenance.define("figures", "see definitions at the top level")
			if f.html != "" {
				if err := r.writeHTML(f.html); err != nil {
					return err
				}
			}
			if a.json {
				return a.writeJSON(r)
			}
			return a.printGeometry(&r)
		},
	}
	flags.register(cmd)
	f.register(cmd)
	return cmd
}

// stories gives the corpus for the baselines, or nil, with a warning, where
// none was named and the embedded one is not that of the vectors.
func (f *geometryFlags) stories(a *app, cmd *cobra.Command, v *probe.Vectors) (*emotion.Corpus, error) {
	base, err := loadCorpus("corpus", f.corpus)
	if err != nil {
		return nil, err
	}
	c, err := experiment.TrainingCorpus(v, base)
	if errors.Is(err, experiment.ErrCorpus) && !cmd.Flags().Changed("corpus") {
		if f.model != "" {
			return nil, fmt.Errorf("--model is for the baseline of token embeddings, which needs the stories: %w; --corpus DIR names them", err)
		}
		a.warn("the vectors were not built from the embedded stories: there are no baselines; --corpus DIR names their corpus")
		return nil, nil
	}
	return c, err
}

// writeHTML writes the page. It is drawn from what --json prints and nothing
// else.
func (r *geometryResult) writeHTML(path string) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("the result has no JSON form: %w", err)
	}
	var g report.Geometry
	if err := json.Unmarshal(doc, &g); err != nil {
		return err
	}
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return report.WriteGeometry(w, g) })
}
