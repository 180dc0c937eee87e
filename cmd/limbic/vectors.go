package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/emotion"
	"github.com/limbic-go/limbic/probe"
)

// vectorsModel is the MODEL of the examples of commands that build vectors. It
// is smaller than exampleModel, since they run it on many texts.
const vectorsModel = "testdata/models/tiny-f32.gguf"

// vectorsExamples is examples with that model.
func vectorsExamples(lines ...string) string {
	return strings.ReplaceAll(examples(lines...), exampleModel, vectorsModel)
}

func newVectors(a *app) *cobra.Command {
	return newGroup("vectors", "Build, show and evaluate emotion vectors",
		newVectorsBuild(a),
		newVectorsShow(a),
		newVectorsEval(a),
	)
}

// A nameList is a flag that lists names, separated by commas. It may be given
// several times.
type nameList []string

// Type is what the help calls the value.
func (*nameList) Type() string { return "NAME,..." }

func (l *nameList) String() string { return strings.Join(*l, ",") }

// Set reads the value of the flag.
func (l *nameList) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return errors.New("a name is empty")
		}
		*l = append(*l, name)
	}
	return nil
}

// resolve gives the names as find spells them, which is told one name at a
// time.
func (l nameList) resolve(flag string, find func(name string) (string, error)) ([]string, error) {
	var names []string
	for _, name := range l {
		found, err := find(name)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, unprefixed{err, "emotion: "})
		}
		if !slices.Contains(names, found) {
			names = append(names, found)
		}
	}
	return names, nil
}

// embeddedCorpus is how the flag --corpus names the corpus in the program.
const embeddedCorpus = "embedded"

// loadCorpus reads the corpus that a flag names.
func loadCorpus(flag, name string) (*emotion.Corpus, error) {
	if name == embeddedCorpus {
		return emotion.Embedded(), nil
	}
	c, err := emotion.LoadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--%s %s: %w (a corpus is a folder with emotions.txt and stories)", flag, abbreviated(name), unprefixed{err, "emotion: "})
	}
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, abbreviated(name), unprefixed{err, "emotion: "})
	}
	return c, nil
}

// describeCorpus says for people which corpus a hash belongs to.
func describeCorpus(p *probe.Provenance) string {
	if p.Corpus == emotion.EmbeddedHash {
		return p.Corpus + " (embedded, version " + emotion.Version + ")"
	}
	return p.Corpus
}

// skewed names the sites of reports whose mean norm is no good unit.
func skewed(sites []probe.SiteReport) []string {
	var names []string
	for _, s := range sites {
		if s.Norm.Skewed() {
			names = append(names, s.Site)
		}
	}
	return names
}

// warnOfNorms says what is doubtful about the unit of strengths.
func (a *app) warnOfNorms(sites []probe.SiteReport) {
	if len(sites) > 0 && sites[0].Norm.N == 0 {
		a.warn("there are no neutral texts: strengths have no unit, and no neutral components are removed")
	}
	if names := skewed(sites); len(names) > 0 {
		a.warn("a few large norms dominate the mean at %s (mean/median above 1.2): strengths are fractions of the mean", strings.Join(names, ", "))
	}
}

// describeHands says for people whether vectors were centred within hands.
func describeHands(p *probe.Provenance) string {
	if p.Hands {
		return "emotions compared within the hands that wrote the stories"
	}
	return "not told apart: the corpus names none, or one that wrote too few of the emotions"
}

// printSites writes what reports say about each site. hands says whether
// centring within hands makes a difference.
func (a *app) printSites(sites []probe.SiteReport, hands bool) error {
	t := table{
		head:  []string{"site", "components", "share", "removed", "contrast", "norm", "median", "p99"},
		right: []bool{false, true, true, true, true, true, true, true, true, true, true, true},
	}
	if hands {
		t.head = slices.Insert(t.head, 5, "removed*", "contrast*", "cosine*", "least*")
	}
	for _, s := range sites {
		row := []string{
			s.Site, fmt.Sprint(s.Components), inPercent(s.Share), inPercent(s.Removed), inPercent(s.ContrastNorm),
			fmt.Sprintf("%.4g", s.Norm.Mean), fmt.Sprintf("%.4g", s.Norm.Median), fmt.Sprintf("%.4g", s.Norm.P99),
		}
		if hands {
			row = slices.Insert(row, 5, inPercent(s.RemovedPlain), inPercent(s.ContrastNormPlain), fmt.Sprintf("%.3f", s.Hands), fmt.Sprintf("%.3f", s.HandsMin))
		}
		t.add(row...)
	}
	if err := a.print(&t); err != nil {
		return err
	}
	legend := `components removed, with the share of neutral variance they hold and the share of
the contrast vectors' norm that went with them; contrast: mean norm of contrast
vectors, in % of norm; norm: mean over neutral texts, the unit of strengths.
`
	if hands {
		legend += `* without centring within hands; cosine: between the contrast vectors with and
without it, mean and least over emotions.
`
	}
	_, err := fmt.Fprint(a.stdout, legend)
	return err
}

func inPercent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// siteDefinitions explains the fields of a probe.SiteReport.
func (p *provenance) defineSites() {
	p.define(
		"neutral_components", "leading principal components of centred neutral-text means that together hold the share neutral_variance of their variance; removed from the contrast vectors",
		"removed_norm", "mean over emotions of 1 - |denoised| / |contrast|",
		"contrast_norm", "mean norm of contrast vectors as a fraction of the site's mean norm (absolute where there are no neutral texts)",
		"plain", "fields that end in _plain: without centring within hands",
		"cosine_hands", "between an emotion's contrast vectors with and without centring within hands; mean and least over emotions",
		"norm", "L2 norm of the residual stream over all positions of the neutral texts but position 0",
	)
}
