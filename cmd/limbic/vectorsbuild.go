package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/probe"
)

type vectorsBuildResult struct {
	Out         string             `json:"out"`
	Sidecar     string             `json:"sidecar"` // the single stories' means
	MeansSHA256 string             `json:"means_sha256"`
	FileSHA256  string             `json:"file_sha256"`
	Emotions    int                `json:"emotions"`
	Sites       []string           `json:"sites"`
	DefaultSite siteNote           `json:"default_site"`
	Stories     int                `json:"stories"` // pooled
	Dropped     int                `json:"dropped"` // stories too short to pool
	Cut         int                `json:"cut"`     // texts cut at the model's context
	Neutral     int                `json:"neutral_texts"`
	Tokens      int                `json:"tokens"` // read, BOS excluded, those of earlier runs included
	Rate        float64            `json:"tokens_per_second"`
	Seconds     float64            `json:"seconds"` // of this run
	Resumed     int                `json:"resumed"` // texts taken from an earlier run
	Report      []probe.SiteReport `json:"report"`
	Recipe      probe.Provenance   `json:"recipe"` // provenance as it stands in the file
	Provenance  provenance         `json:"provenance"`
}

// vectorsBuildFlags say what vectors are built from and how.
type vectorsBuildFlags struct {
	corpus                     string
	emotions, topics, excluded nameList
	sites                      string
	from                       int
	neutral                    string
	variance                   float64
	format                     string
	out                        string
	resume                     bool
}

func (f *vectorsBuildFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.corpus, "corpus", embeddedCorpus, "build from the corpus in the folder `DIR`, or from the embedded one")
	fs.Var(&f.emotions, "emotions", "use only the stories of these emotions")
	fs.Var(&f.topics, "topics", "use only the stories and neutral texts on these topics")
	fs.Var(&f.excluded, "exclude-topics", "leave out the stories and neutral texts on these topics, to test on them later")
	fs.StringVar(&f.sites, "sites", "", "build at the sites `S[,S...]` (default: the output of every block)")
	fs.IntVar(&f.from, "from", 50, "pool tokens from number `N` on, counted from 1 without BOS")
	fs.StringVar(&f.neutral, "neutral", "both", "neutral texts to use: `KIND` is both, dialogues or passages")
	fs.Float64Var(&f.variance, "neutral-variance", 0.5, "remove the components that hold the share `P` of neutral variance; 0 removes none")
	fs.StringVar(&f.format, "format", string(probe.FormatRaw), "how texts are wrapped: raw")
	fs.StringVar(&f.out, "out", "", "write to the file `F` (default: MODEL.vectors.safetensors in the current folder)")
	fs.BoolVar(&f.resume, "resume", false, "go on with an unfinished build; this is done without the flag too")
}

// check is called before a model is opened.
func (f *vectorsBuildFlags) check(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "sites", "out"); err != nil {
		return err
	}
	switch {
	case f.from < 1:
		return usagef("--from %d: tokens count from 1", f.from)
	case !slices.Contains([]string{"both", emotion.KindDialogue + "s", emotion.KindPassage + "s"}, f.neutral):
		return usagef("--neutral %s is not known: both, dialogues or passages", abbreviated(f.neutral))
	case !(f.variance >= 0 && f.variance <= 1):
		return usagef("--neutral-variance %v is not between 0 and 1", f.variance)
	case f.format != string(probe.FormatRaw):
		return usagef("--format %s: this version has raw", abbreviated(f.format))
	}
	return nil
}

// selection gives the part of the corpus that the flags choose, and the topics
// that they leave out.
func (f *vectorsBuildFlags) selection() (*emotion.Corpus, []string, error) {
	c, err := loadCorpus("corpus", f.corpus)
	if err != nil {
		return nil, nil, err
	}
	var filter emotion.Filter
	for _, l := range []struct {
		flag  string
		names nameList
		find  func(string) (string, error)
		to    *[]string
	}{
		{"emotions", f.emotions, c.Emotion, &filter.Emotions},
		{"topics", f.topics, c.Topic, &filter.Topics},
		{"exclude-topics", f.excluded, c.Topic, &filter.ExcludeTopics},
	} {
		if *l.to, err = l.names.resolve(l.flag, l.find); err != nil {
			return nil, nil, err
		}
	}
	if len(filter.Emotions)+len(filter.Topics)+len(filter.ExcludeTopics) == 0 {
		return c, nil, nil
	}
	chosen, err := c.Select(filter)
	if err != nil {
		return nil, nil, usagef("--emotions, --topics, --exclude-topics: %w", unprefixed{err, "emotion: select: "})
	}
	var excluded []string
	for _, t := range c.Topics {
		if !slices.Contains(chosen.Topics, t) {
			excluded = append(excluded, t)
		}
	}
	return chosen, excluded, nil
}

// outs are the files that a build writes: vectors, story means, and what is
// done so far.
func (f *vectorsBuildFlags) outs(model string) (out, sidecar, journal string, err error) {
	out = f.out
	if out == "" {
		base := filepath.Base(model)
		if ext := filepath.Ext(base); strings.EqualFold(ext, ".gguf") {
			base = strings.TrimSuffix(base, ext)
		}
		out = base + ".vectors.safetensors"
	}
	sidecar, journal = probe.SidecarPath(out), out+".part"
	for _, path := range []string{out, sidecar, journal} {
		if err := checkOut(path); err != nil {
			return "", "", "", err
		}
		there, err := os.Stat(path)
		if err != nil {
			continue // there is nothing yet
		}
		if m, err := os.Stat(model); err == nil && os.SameFile(there, m) {
			return "", "", "", fmt.Errorf("write %s: is the model itself", path)
		}
	}
	return out, sidecar, journal, nil
}

func newVectorsBuild(a *app) *cobra.Command {
	var flags engineFlags
	var f vectorsBuildFlags
	cmd := &cobra.Command{
		Use:   "build MODEL",
		Short: "Build emotion vectors from stories",
		Long: `Run stories that show emotions through the model and build a vector for each
emotion at the output of every block, by the recipe of the study: a story's mean
over its tokens from the 50th on, emotion means centred within the hands that
wrote the stories (where each wrote of enough emotions), minus the mean over
emotions, without the leading components of emotion-free texts. The forms before
each step are kept too.

Beside the vectors, F.safetensors, the single stories' means at the default site
go to F.stories.safetensors. What is done so far is in F.safetensors.part: if the
command is interrupted or fails, the same command goes on from there. Files come
out the same, byte for byte, however often that happens, and for any --threads.

Names are separated by commas and may be spelled with spaces or hyphens. A topic
left out is recorded, and "limbic vectors eval" tests on it.`,
		Example: vectorsExamples(
			`limbic vectors build MODEL --emotions afraid,calm --topics sea --out /tmp/two.safetensors`,
			`limbic vectors build MODEL --emotions afraid,calm,at-ease --topics sea,cafe --exclude-topics cafe --sites 2/3 --out /tmp/three.safetensors --json`,
		),
		Args: oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := f.check(cmd); err != nil {
				return err
			}
			corpus, excluded, err := f.selection()
			if err != nil {
				return err
			}
			out, sidecar, journal, err := f.outs(args[0])
			if err != nil {
				return err
			}
			e, err := openEngine(args[0], &flags)
			if err != nil {
				return err
			}
			defer e.close()
			o := probe.BuildOptions{
				From: f.from, Neutral: f.neutral, Threshold: f.variance, Excluded: excluded,
				Version: version, Journal: journal, Out: out,
			}
			if f.variance == 0 {
				o.Threshold = -1 // for 0 stands for the default there
			}
			if f.sites != "" {
				if o.Sites, err = e.parseSites("sites", f.sites); err != nil {
					return err
				}
			}
			start := time.Now()
			res, err := a.buildVectors(ctx, e, corpus, o)
			if err != nil {
				return err
			}
			r, err := buildResult(ctx, e, res, out, sidecar, time.Since(start))
			if err != nil {
				return err
			}
			a.warnOfNorms(r.Report)
			if !a.json {
				return a.printBuild(r)
			}
			return a.writeJSON(r)
		},
	}
	flags.register(cmd)
	f.register(cmd)
	return cmd
}

// buildResult sums up a build whose files are written.
func buildResult(ctx context.Context, e *engine, res *probe.Result, out, sidecar string, took time.Duration) (*vectorsBuildResult, error) {
	v := res.Vectors
	p := v.Provenance
	r := &vectorsBuildResult{
		Out: out, Sidecar: sidecar, MeansSHA256: p.MeansSHA256, Emotions: len(v.Emotions), Sites: v.SiteNames(),
		DefaultSite: siteNote{v.DefaultSite().String(), v.DefaultSite().Describe(e.blocks)},
		Stories:     p.Stories, Dropped: p.Dropped, Cut: p.Cut, Neutral: p.Texts, Tokens: p.Tokens,
		Rate: res.Report.TokensPerSecond, Seconds: took.Seconds(), Resumed: res.Report.Resumed,
		Report: res.Report.Sites, Recipe: p,
	}
	var err error
	if r.FileSHA256, err = probe.FileSHA256(out); err != nil {
		return nil, err
	}
	var sites []llama.Site
	for _, s := range v.Sites {
		sites = append(sites, s.Site)
	}
	if r.Provenance, err = e.provenance(ctx, sites); err != nil {
		return nil, err
	}
	contrast := "emotion mean minus the mean of emotion means"
	if p.Hands {
		contrast = "emotion mean, stories minus the mean of their hand, minus the mean of such emotion means"
	}
	r.Provenance.define(
		"pooling", fmt.Sprintf("mean of the residual stream over tokens %d to the last, counted from 1 without BOS; shorter stories are dropped", p.From),
		"contrast", contrast,
		"means_sha256", "hash of all sums, counts and calibrations, which are exact",
		"format", string(p.Format),
	)
	r.Provenance.defineSites()
	return r, nil
}

// buildVectors is probe.Build with its progress shown.
func (a *app) buildVectors(ctx context.Context, e *engine, c *emotion.Corpus, o probe.BuildOptions) (*probe.Result, error) {
	update, finish := a.progress("vectors")
	begun, resumed, done, total := false, 0, 0, 0
	o.Progress = func(d, t int) {
		done, total = d, t
		if !begun {
			begun, resumed = true, d
			if d > 0 {
				fmt.Fprintf(a.stderr, "limbic: continuing %s (%s of %s done)\n", oneLine(o.Journal), grouped(d), counted(t, "text"))
			}
		}
		// Without the texts of earlier runs, from which no rate follows.
		update(d-resumed, t-resumed)
	}
	res, err := probe.Build(ctx, e.runner, c, o)
	finish()
	switch {
	case err == nil:
		return res, nil
	case done > 0:
		return nil, interruptedError{err, fmt.Sprintf("after %s of %s, which are kept in %s; the same command goes on from there", grouped(done), counted(total, "text"), o.Journal)}.orJust(ctx)
	}
	return nil, interruptedError{err, "before anything was done"}.orJust(ctx)
}

// printBuild writes the result for people.
func (a *app) printBuild(r *vectorsBuildResult) error {
	p := &r.Recipe
	t := table{head: []string{"", ""}}
	t.add("emotions", grouped(r.Emotions))
	t.add("stories", fmt.Sprintf("%s on %s; %s too short", grouped(r.Stories), counted(len(p.Topics), "topic"), grouped(r.Dropped)))
	t.add("hands", describeHands(p))
	if len(p.Excluded) > 0 {
		t.add("left out", strings.Join(p.Excluded, ", "))
	}
	t.add("neutral texts", fmt.Sprintf("%s (%s)", grouped(r.Neutral), p.Neutral))
	if r.Cut > 0 {
		t.add("cut", counted(r.Cut, "text")+" longer than the model's context")
	}
	rate := ""
	if r.Rate > 0 {
		rate = fmt.Sprintf(" (%s a second)", grouped(int(r.Rate)))
	}
	t.add("tokens", grouped(r.Tokens)+rate)
	if r.Resumed > 0 {
		t.add("resumed", counted(r.Resumed, "text")+" of an earlier run")
	}
	t.add("default site", r.DefaultSite.Site+": "+r.DefaultSite.Description)
	t.add("means_sha256", r.MeansSHA256)
	t.add("file_sha256", r.FileSHA256)
	if err := a.print(&t); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	if err := a.printSites(r.Report, p.Hands); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "wrote %s and %s\n", r.Out, r.Sidecar)
	return err
}
