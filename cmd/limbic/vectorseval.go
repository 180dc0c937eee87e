package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/experiment"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

type vectorsEvalResult struct {
	*experiment.Identification
	Vectors    string     `json:"vectors"` // path
	Provenance provenance `json:"provenance"`
}

// vectorsEvalFlags say what vectors are tested on and how.
type vectorsEvalFlags struct {
	corpus   string
	topics   nameList
	stories  string
	inSample bool
	site     string
	center   string
	seed     uint64
}

func (f *vectorsEvalFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&f.topics, "topics", "test on the stories on these topics (default: those that the vectors leave out)")
	fs.StringVar(&f.stories, "stories", "", "test on the stories of the corpus in the folder `DIR`")
	fs.BoolVar(&f.inSample, "in-sample", false, "allow stories that the vectors were built from, and without --topics and --stories test on them; the result is marked")
	fs.StringVar(&f.corpus, "corpus", embeddedCorpus, "the vectors were built from the corpus in the folder `DIR`, or from the embedded one")
	fs.StringVar(&f.site, "site", "", "read at the site `S`, chosen beforehand (default: the output of the block at 2/3 of the depth)")
	fs.StringVar(&f.center, "center", experiment.CenterGrand, "`MEAN` to subtract from stories: grand (of the training emotions), neutral (texts) or set (of the test stories)")
	fs.Uint64Var(&f.seed, "seed", 0, "seed `N` of bootstrap and permutations")
}

// check is called before anything is opened.
func (f *vectorsEvalFlags) check(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "site", "stories"); err != nil {
		return err
	}
	if !slices.Contains(experiment.Centers(), f.center) {
		return unknownValue("center", f.center, experiment.Centers())
	}
	return nil
}

// training gives the stories that vectors were built from.
func (f *vectorsEvalFlags) training(v *probe.Vectors) (base, train *emotion.Corpus, err error) {
	if base, err = loadCorpus("corpus", f.corpus); err != nil {
		return nil, nil, err
	}
	train, err = experiment.TrainingCorpus(v, base)
	if errors.Is(err, experiment.ErrCorpus) {
		err = fmt.Errorf("%w; --corpus DIR names their corpus", err)
	}
	return base, train, err
}

// test gives the stories to test on.
func (f *vectorsEvalFlags) test(a *app, v *probe.Vectors, base *emotion.Corpus) (*emotion.Corpus, error) {
	if f.stories != "" {
		var err error
		if base, err = loadCorpus("stories", f.stories); err != nil {
			return nil, err
		}
	}
	topics, err := f.topics.resolve("topics", base.Topic)
	if err != nil {
		return nil, err
	}
	switch {
	case len(topics) > 0:
	case f.stories != "":
		topics = base.Topics
	case f.inSample:
		topics = v.Provenance.Topics
	}
	test, err := experiment.HeldOutCorpus(v, base, topics)
	if errors.Is(err, experiment.ErrInSample) {
		err = fmt.Errorf("%w (vectors build --exclude-topics, --stories or --in-sample)", err)
	}
	if err == nil && f.stories != "" {
		if n := len(base.Emotions) - len(test.Emotions); n > 0 {
			a.warn("%s of %s left out: not among those of the vectors, or without stories on the topics", counted(n, "emotion"), f.stories)
		}
	}
	return test, err
}

func newVectorsEval(a *app) *cobra.Command {
	var flags engineFlags
	var f vectorsEvalFlags
	cmd := &cobra.Command{
		Use:   "eval MODEL VECTORS",
		Short: "Test vectors on stories they were not built from",
		Long: `Test how often vectors find the emotion of stories on topics that they were not
built from: the right emotion first, among the first five, and its family, with
intervals from a bootstrap over topics. Beside it stand chance; what words,
function words, punctuation and the model's token embeddings alone find in the
same stories; and what is left when writer and style are regressed out.

Test stories are those on the topics that the vectors leave out (see "limbic
vectors build --exclude-topics"), or on --topics, or those of --stories DIR.

The figures at the top are for cosine(h - c, v), with c the mean of the training
emotions' means: a mean of neutral texts leaves in what all stories have in
common. --center chooses another c; the others stand beside it.

Take figures for what they are: of the site given, on these stories.`,
		Example: vectorsExamples(
			`limbic vectors build MODEL --emotions afraid,calm --topics sea,cafe --exclude-topics cafe --out /tmp/eval.safetensors`,
			`limbic vectors eval MODEL /tmp/eval.safetensors --topics cafe`,
			`limbic vectors eval MODEL /tmp/eval.safetensors --topics cafe,hotel --center neutral --json`,
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("MODEL is missing: a path to a .gguf file")
			case 1:
				return usagef("VECTORS is missing: a file that limbic vectors build wrote")
			case 2:
				return nil
			}
			return usagef("unexpected argument %q", args[2])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := f.check(cmd); err != nil {
				return err
			}
			e, err := openEngine(args[0], &flags)
			if err != nil {
				return err
			}
			defer e.close()
			files := newVectorFiles(ctx, e)
			v, err := files.load(args[1])
			if err != nil {
				return err
			}
			at := v.DefaultSite()
			if cmd.Flags().Changed("site") {
				if at, err = parseSite("site", f.site, e.blocks); err != nil {
					return err
				}
			}
			base, train, err := f.training(v)
			if err != nil {
				return err
			}
			test, err := f.test(a, v, base)
			if err != nil {
				return err
			}
			o := experiment.IdentifyOptions{Site: &at, Center: f.center, InSample: f.inSample, Seed: f.seed}
			if path := probe.SidecarPath(args[1]); args[1] != demo.Name && exists(path) {
				o.Sidecar = path
			}
			var finish func()
			o.Progress, finish = a.stages()
			got, err := experiment.Identify(ctx, e.runner, v, train, test, o)
			finish()
			if errors.Is(err, experiment.ErrInSample) {
				return fmt.Errorf("%w (--in-sample)", err)
			}
			if err != nil {
				return err
			}
			if !a.json {
				return got.WriteTable(a.stdout)
			}
			r := vectorsEvalResult{Identification: got, Vectors: args[1]}
			if r.Provenance, err = e.provenance(ctx, []llama.Site{at}); err != nil {
				return err
			}
			r.Provenance.Seed, r.Provenance.Vectors = f.seed, files.notes
			r.Provenance.define("format", string(v.Provenance.Format), "figures", "see definitions at the top level")
			return a.writeJSON(r)
		},
	}
	flags.register(cmd)
	f.register(cmd)
	return cmd
}

// exists reports whether a file is there; any other trouble with it is for
// whoever reads it.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// stages is progress for work that has several stages, each with its own bar.
func (a *app) stages() (update func(stage string, done, total int), finish func()) {
	current, show, end := "", func(int, int) {}, func() {}
	update = func(stage string, done, total int) {
		if stage != current {
			end()
			current = stage
			show, end = a.progress(stage)
		}
		show(done, total)
	}
	return update, func() { end() }
}
