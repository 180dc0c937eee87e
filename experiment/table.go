package experiment

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteTable writes the result as tables for people: all figures in percent
// but p, with 95 % intervals in brackets.
func (r *Identification) WriteTable(w io.Writer) error {
	b := bufio.NewWriter(w)
	line := func(format string, args ...any) {
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	line("Emotions of %d stories on %d topics (%s), %d candidates, read at %s (%s).",
		r.N, len(r.Topics), strings.Join(r.Topics, ", "), r.Emotions, r.Site, r.SiteText)
	if r.InSample {
		line("IN SAMPLE: the vectors were built from some of these topics or stories. These are no held-out figures.")
	}
	if r.Dropped+r.Cut > 0 {
		line("%d stories were too short and are left out; %d were cut at the model's context.", r.Dropped, r.Cut)
	}
	if r.Intervals != nil {
		line("Brackets: 95 %% of %d bootstrap draws of the %d topics. p: permuted labels, for the family figure.", r.Bootstrap, len(r.Topics))
	} else {
		line("No intervals: one topic is no sample of topics. p: permuted labels, for the family figure.")
	}
	const row = "%-28s %-20s %-20s %-20s %-20s %6s"
	score := func(name string, s Score) {
		iv := [4]string{}
		if s.Intervals != nil {
			iv = [4]string{percents(s.Intervals.Top1), percents(s.Intervals.Top5), percents(s.Intervals.MRR), percents(s.Intervals.Family)}
		}
		line(row, name, percent(s.Top1)+iv[0], percent(s.Top5)+iv[1], percent(s.MRR)+iv[2], percent(s.Family)+iv[3], fmt.Sprintf("%.4f", s.P.Family))
	}
	title := func(name, p string) {
		line("")
		line(row, name, "top 1", "top 5", "mean 1/rank", "family (macro)", p)
	}
	title("Model", "p")
	score(r.Readout+" (headline)", r.Score)
	readouts, paired := r.headlineFirst(Readouts()), r.headlineFirst(pairedReadouts())
	for _, name := range readouts[1:] {
		score(name, r.Readouts[name])
	}
	line(row, "chance", percent(r.Chance.Top1), percent(r.Chance.Top5), percent(r.Chance.MRR), percent(r.Chance.Family)+percents(r.Chance.FamilyInterval), "")
	title("Baselines", "p")
	for _, name := range Baselines() {
		score(name, r.Baselines[name].Score)
	}
	for _, name := range paired[1:] {
		score(BaseEmbeddings+", "+name, r.Baselines[BaseEmbeddings].Readouts[name])
	}
	title("Regressed out", "p")
	for _, name := range Regressions() {
		g, ok := r.Regressed[name]
		if !ok {
			continue
		}
		for _, read := range paired {
			score(name+", "+read, g.Readouts[read])
		}
	}
	difference := func(name string, d Difference) {
		iv := [4]string{}
		if d.Intervals != nil {
			iv = [4]string{percents(d.Intervals.Top1), percents(d.Intervals.Top5), percents(d.Intervals.MRR), percents(d.Intervals.Family)}
		}
		line(row, name, signedPercent(d.Top1)+iv[0], signedPercent(d.Top5)+iv[1], signedPercent(d.MRR)+iv[2], signedPercent(d.Family)+iv[3], "")
	}
	for _, read := range paired {
		title("Model ("+read+") minus", "")
		for _, name := range Baselines() {
			difference(name, r.Paired[read][name])
		}
	}
	title("Regressed minus not", "")
	for _, name := range Regressions() {
		if g, ok := r.Regressed[name]; ok {
			for _, read := range paired[:2] {
				difference(name+", "+read, g.Difference[read])
			}
		}
	}

	line("")
	line("The headline readout by family and topic:")
	line("%-28s %6s %8s %8s %8s", "Family", "n", "family", "top 1", "chosen")
	for _, f := range r.Families {
		line("%-28s %6d %8s %8s %8d", f.Family, f.N, percent(f.Accuracy), percent(f.Top1), f.Chosen)
	}
	line("")
	line("%-28s %6s %8s %8s %8s", "Topic", "n", "top 1", "top 5", "family")
	for _, t := range r.PerTopic {
		line("%-28s %6d %8s %8s %8s", t.Topic, t.N, percent(t.Top1), percent(t.Top5), percent(t.Family))
	}
	line("")
	line("Most often confused by the headline readout: story of, read as")
	for _, c := range r.Confused {
		line("%-20s %-20s %d of %d", c.Emotion, c.ReadAs, c.Count, c.N)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return nil
}

// headlineFirst moves the headline readout to the front of a list that has it.
func (r *Identification) headlineFirst(names []string) []string {
	rest := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == r.Readout })
	return append([]string{r.Readout}, rest...)
}

func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }

func signedPercent(x float64) string { return fmt.Sprintf("%+.1f", 100*x) }

func percents(i Interval) string { return fmt.Sprintf(" [%.1f, %.1f]", 100*i[0], 100*i[1]) }
