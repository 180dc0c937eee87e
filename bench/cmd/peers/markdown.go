package main

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/limbic-go/limbic/bench"
)

// print writes the report in Markdown, with what one must know to judge it.
func (r *report) print(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s (%s), %s", r.CPU, r.Platform, r.Started)
	if r.Ended != "" {
		fmt.Fprintf(b, " to %s", r.Ended)
	}
	var load []float64
	for _, s := range r.Sections {
		load = append(load, s.Load.Samples...)
	}
	if l := bench.NewSpread(load); len(load) > 0 {
		fmt.Fprintf(b, "; load average %.1f (%.1f–%.1f), this run's own threads in it", l.Median, l.Min, l.Max)
	}
	b.WriteString(".\nFigures are medians (least–greatest) of all rounds; ratios are taken within each round.\n")
	r.printLimits(b)
	r.printGoals(b)
	for i := 0; i < len(r.Sections); {
		n := 1
		for i+n < len(r.Sections) && r.Sections[i+n].heading() == r.Sections[i].heading() {
			n++
		}
		r.printSections(b, r.Sections[i:i+n])
		i += n
	}
	r.printEngines(b)
	_, err := io.WriteString(w, b.String())
	return err
}

// heading is the same for sections that share a table.
func (s *section) heading() string {
	return fmt.Sprintf("%s, %s", s.Title, threads(s.Threads))
}

func threads(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}

// line writes a row of a table.
func line(w io.Writer, cells ...string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

// head writes the first rows of a table; all columns but the first left are
// numbers.
func head(w io.Writer, left int, cells ...string) {
	fmt.Fprintln(w)
	line(w, cells...)
	rule := make([]string, len(cells))
	for i := range rule {
		rule[i] = "---"
		if i >= left {
			rule[i] = "--:"
		}
	}
	line(w, rule...)
}

func (r *report) printLimits(w io.Writer) {
	var counts []int
	for _, l := range r.Limits {
		if !slices.Contains(counts, l.Threads) {
			counts = append(counts, l.Threads)
		}
	}
	cells := []string{"limit"}
	for _, n := range counts {
		cells = append(cells, threads(n))
	}
	head(w, 1, cells...)
	for i, l := range r.Limits {
		if slices.IndexFunc(r.Limits, func(k bench.Limit) bool { return k.Name == l.Name }) < i {
			continue
		}
		name := fmt.Sprintf("%s, %s", l.Name, l.Unit)
		if l.How != "" {
			name += fmt.Sprintf(" (%s)", l.How)
		}
		cells := []string{name}
		for _, n := range counts {
			cell := "not measured"
			if k, ok := r.limit(l.Name, n); ok {
				cell = k.Spread.String()
			}
			cells = append(cells, cell)
		}
		line(w, cells...)
	}
}

// printSections writes a table of sections with one title.
func (r *report) printSections(w io.Writer, sections []*section) {
	fmt.Fprintf(w, "\n**%s**\n", sections[0].heading())
	var references []string
	for _, s := range sections {
		for _, row := range s.Rows {
			for _, q := range row.Ratios {
				if !slices.Contains(references, q.Engine) {
					references = append(references, q.Engine)
				}
			}
		}
	}
	cells := []string{"model", "test", "engine", "tokens/s"}
	if sections[0].Test == string(load) {
		cells[3] = "seconds"
	}
	for _, e := range references {
		cells = append(cells, e+" is faster by")
	}
	head(w, 3, append(cells, "share of a limit", "memory read beside, GB/s")...)
	for _, s := range sections {
		for i, row := range s.Rows {
			cells := []string{"", "", row.Engine, row.Value.String()}
			if i == 0 {
				cells[0], cells[1] = strings.TrimSuffix(filepath.Base(s.Model), ".gguf"), s.Test
			}
			for _, e := range references {
				cell := ""
				for _, q := range row.Ratios {
					if q.Engine == e && e != row.Engine && len(q.Samples) > 0 {
						cell = q.Spread.String()
					}
				}
				cells = append(cells, cell)
			}
			cells = append(cells, r.share(s, row), "")
			if i == 0 {
				cells[len(cells)-1] = s.Memory.String()
			}
			line(w, cells...)
		}
	}
}

// share puts a row's speed beside what limits it.
func (r *report) share(s *section, row *row) string {
	if len(row.Value.Samples) == 0 {
		if len(row.Rounds) > 0 {
			return "failed"
		}
		return ""
	}
	kind, _, _ := strings.Cut(strings.TrimRight(s.Test, "0123456789@"), "@")
	switch kind {
	case "pp":
		gops := row.Value.Median * s.Cost.PromptOps() / 1e9
		text := fmt.Sprintf("%.0f GOP/s", gops)
		for _, name := range []string{"float32 peak", "int8 peak"} {
			if l, ok := r.limit(name, s.Threads); ok {
				text += fmt.Sprintf(", %.0f%% of %s", 100*gops/l.Median, name)
			}
		}
		return text
	case "tg":
		if share := s.memoryShare(row); share > 0 {
			return fmt.Sprintf("%.1f GB/s, %.0f%% of memory read", row.Value.Median*float64(s.Cost.Bytes)/1e9, 100*share)
		}
	case "ex":
		if !slices.ContainsFunc(row.Ratios, func(q ratio) bool { return q.Engine == row.Engine }) {
			return "a plain prompt: nothing is read"
		}
	case "load":
		if row.Peak.Median > 0 {
			return fmt.Sprintf("at most %.0f MiB, %.2f × the file", row.Peak.Median/(1<<20), row.Peak.Median/float64(s.Bytes))
		}
	}
	return ""
}

// memoryShare is how much of the bandwidth of memory reading the weights takes.
func (s *section) memoryShare(row *row) float64 {
	if s.Memory.Median <= 0 {
		return 0
	}
	return row.Value.Median * float64(s.Cost.Bytes) / 1e9 / s.Memory.Median
}

// printEngines says what was run.
func (r *report) printEngines(w io.Writer) {
	head(w, 3, "engine", "build", "arguments")
	var seen []string
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			name := strings.Join(append([]string{row.Engine}, row.Environment...), " ")
			if slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
			arguments := slices.Clone(row.Command[1:])
			for i, a := range arguments {
				if a == s.Model {
					arguments[i] = "MODEL"
				}
			}
			line(w, row.Engine, row.Build, "`"+strings.Join(append(slices.Clone(row.Environment), arguments...), " ")+"`")
		}
	}
}

// printGoals says which goals of a suite were reached.
func (r *report) printGoals(w io.Writer) {
	var lines [][]string
	for _, s := range r.Sections {
		what := fmt.Sprintf("%s %s, %s", s.Test, strings.TrimSuffix(filepath.Base(s.Model), ".gguf"), threads(s.Threads))
		if s.avx2 {
			what += ", AVX2"
		}
		for _, g := range s.goals {
			lines = append(lines, append([]string{what + ", " + g.precision}, s.judge(g)...))
		}
		if s.test.depth > 0 {
			if cells := r.judgeDepth(s); cells != nil {
				lines = append(lines, append([]string{what}, cells...))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	head(w, 4, "work", "goal", "measured", "reached")
	for _, l := range lines {
		line(w, l...)
	}
}

// judge compares a goal with what was measured.
func (s *section) judge(g goal) []string {
	text := fmt.Sprintf("%v × %s", g.least, g.over)
	if g.orMemory > 0 {
		text += fmt.Sprintf(", or %.0f%% of memory read", 100*g.orMemory)
	}
	own := s.row(g.precision)
	var best *row
	for _, row := range s.Rows {
		if row.Engine == g.over || strings.HasPrefix(row.Engine, g.over+"-") {
			if best == nil || row.Value.Median > best.Value.Median {
				best = row
			}
		}
	}
	if own == nil || best == nil {
		return []string{text, "", "not measured"}
	}
	var q bench.Spread
	for _, x := range best.Ratios {
		if x.Engine == own.Engine {
			q = x.Spread
		}
	}
	if len(q.Samples) == 0 {
		return []string{text, "", "not measured"}
	}
	measured := fmt.Sprintf("%v × %s", q, best.Engine)
	reached := "no"
	switch {
	case q.Min >= g.least:
		reached = "yes"
	case q.Median >= g.least:
		reached = "yes, not in every round"
	case g.orMemory > 0 && s.memoryShare(own) >= g.orMemory:
		reached = "yes, by memory"
	case q.Max >= g.least:
		reached = "no, but in some rounds"
	}
	if g.orMemory > 0 {
		measured += fmt.Sprintf("; %.0f%% of memory read", 100*s.memoryShare(own))
	}
	return []string{text, measured, reached}
}

// judgeDepth compares how much of its speed each engine keeps after a context:
// medians over those of the section that generates from the start.
func (r *report) judgeDepth(s *section) []string {
	i := slices.IndexFunc(r.Sections, func(o *section) bool {
		return o.Model == s.Model && o.Threads == s.Threads && o.test.kind == generate && o.test.depth == 0 && o.avx2 == s.avx2
	})
	if i < 0 || len(s.Rows) < 2 {
		return nil
	}
	var texts []string
	own, most := 0.0, 0.0
	for j, row := range s.Rows {
		base := r.Sections[i].row(row.Engine)
		if base == nil || base.Value.Median == 0 || row.Value.Median == 0 {
			continue
		}
		kept := row.Value.Median / base.Value.Median
		texts = append(texts, fmt.Sprintf("%s %.0f%%", row.Engine, 100*kept))
		if j == 0 {
			own = kept
		} else {
			most = math.Max(most, kept)
		}
	}
	if len(texts) < 2 || own == 0 {
		return []string{"keeps more of its speed than others", "", "not measured"}
	}
	reached := "no"
	if own > most {
		reached = "yes"
	}
	return []string{"keeps more of its speed than others", strings.Join(texts, ", "), reached}
}
