package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/limbic-go/limbic/bench"
)

// A report holds everything that was measured.
type report struct {
	Started  string        `json:"started"`
	CPU      string        `json:"cpu"`
	Platform string        `json:"platform"`
	Limits   []bench.Limit `json:"limits"` // with one thread and with each number asked for
	Groups   []*group      `json:"groups"`
}

// A group is a model with a number of threads.
type group struct {
	Model   string     `json:"model"`
	Threads int        `json:"threads"`
	Cost    bench.Cost `json:"cost"`
	// Memory is what memory gave, in GB/s: a sample before each round of each
	// test.
	Memory bench.Spread `json:"memory_read"`
	Rows   []*row       `json:"rows"`
}

// A row is an engine in a test.
type row struct {
	Test    string   `json:"test"`
	Tokens  int      `json:"tokens"`
	Texts   int      `json:"texts,omitempty"`
	Engine  string   `json:"engine"`
	Build   string   `json:"build,omitempty"`
	Command []string `json:"command"`
	// Rounds are tokens per second, in order; null where a run failed.
	Rounds []*float64   `json:"rounds"`
	Speed  bench.Spread `json:"tokens_per_second"`
	// Ratio is the first engine's speed over this one's, round by round. Of a
	// peer in a test of extraction it compares with a plain prompt.
	Ratio bench.Spread `json:"first_over_this"`

	test   test
	engine *engine
}

// measureLimits measures what the machine gives to one thread, and to as many
// as are asked for.
func (r *report) measureLimits(s *settings, memory *bench.Memory) {
	threads := []int{1}
	for _, n := range s.threads {
		if n != 1 {
			threads = append(threads, n)
		}
	}
	for _, n := range threads {
		r.Limits = append(r.Limits, memory.Read(n, s.limits), bench.Float32Peak(n, s.limits), bench.PanelPeak(n, s.limits), bench.Int8Peak(n, s.limits))
	}
}

func (r *report) limit(name string, threads int) (bench.Limit, bool) {
	for _, l := range r.Limits {
		if l.Name == name && l.Threads == threads && l.Measured() {
			return l, true
		}
	}
	return bench.Limit{}, false
}

// group adds an empty group.
func (r *report) group(s *settings, model string, cost bench.Cost, threads int) *group {
	g := &group{Model: model, Threads: threads, Cost: cost}
	for _, t := range s.tests {
		for i := range s.engines {
			e := &s.engines[i]
			g.Rows = append(g.Rows, &row{
				Test: t.String(), Tokens: t.tokens, Texts: t.texts, Engine: e.name, Command: e.command(model, threads, t), test: t, engine: e,
			})
		}
	}
	r.Groups = append(r.Groups, g)
	return g
}

// measure runs all rounds and gives the number of runs that failed. In each
// round the engines take turns within a test, so that what is compared is
// measured within seconds.
func (g *group) measure(ctx context.Context, s *settings, memory *bench.Memory, stderr io.Writer) (failures int) {
	var bandwidth []float64
	beside := s.limits
	beside.Runs = 1
	for range s.rounds {
		for i, row := range g.Rows {
			if i%len(s.engines) == 0 {
				bandwidth = append(bandwidth, memory.Read(g.Threads, beside).Samples...)
			}
			m, err := row.engine.run(ctx, s.timeout, g.Model, g.Threads, row.test)
			if ctx.Err() != nil {
				g.Memory = bench.NewSpread(bandwidth)
				return failures
			}
			if err != nil {
				failures++
				fmt.Fprintln(stderr, "peers:", err)
				row.Rounds = append(row.Rounds, nil)
				continue
			}
			row.Rounds = append(row.Rounds, &m.tps)
			row.Build = m.build
		}
	}
	g.Memory = bench.NewSpread(bandwidth)
	return failures
}

// sum computes spreads and ratios.
func (g *group) sum() {
	var first *row
	for _, r := range g.Rows {
		if first == nil || r.Test != first.Test {
			first = r
		}
		var all, a, b []float64
		for i, x := range r.Rounds {
			if x == nil {
				continue
			}
			all = append(all, *x)
			if i < len(first.Rounds) && first.Rounds[i] != nil {
				a, b = append(a, *first.Rounds[i]), append(b, *x)
			}
		}
		r.Speed = bench.NewSpread(all)
		r.Ratio = bench.Ratios(bench.NewSpread(a), bench.NewSpread(b))
	}
}

// print writes the group as a table.
func (g *group) print(w io.Writer, r *report) error {
	threads := "1 thread"
	if g.Threads != 1 {
		threads = fmt.Sprintf("%d threads", g.Threads)
	}
	fmt.Fprintf(w, "\n%s, %s; memory read beside the runs: %v GB/s\n", filepath.Base(g.Model), threads, g.Memory)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	first := g.Rows[0].Engine
	fmt.Fprintf(t, "test\tengine\ttokens/s\t%s/engine\tshare of a limit\n", first)
	previous := ""
	for _, row := range g.Rows {
		name := row.Test
		if name == previous {
			name = ""
		}
		previous = row.Test
		fmt.Fprintf(t, "%s\t%s\t%v\t%v\t%s\n", name, row.Engine, row.Speed, row.Ratio, g.share(row, r))
	}
	return t.Flush()
}

// share puts a row's speed beside what limits it.
func (g *group) share(row *row, r *report) string {
	if len(row.Speed.Samples) == 0 {
		return "failed"
	}
	switch row.test.kind {
	case prompt:
		gops := row.Speed.Median * g.Cost.PromptOps() / 1e9
		text := fmt.Sprintf("%.0f GOP/s", gops)
		for _, name := range []string{"float32 peak", "int8 peak"} {
			if l, ok := r.limit(name, g.Threads); ok {
				text += fmt.Sprintf(", %.0f%% of %s", 100*gops/l.Median, name)
			}
		}
		return text
	case generate:
		gb := row.Speed.Median * float64(g.Cost.Bytes) / 1e9
		if g.Memory.Median > 0 {
			return fmt.Sprintf("%.1f GB/s, %.0f%% of memory read", gb, 100*gb/g.Memory.Median)
		}
	case extract:
		if !row.engine.limbic {
			return "a plain prompt: nothing is read"
		}
		return fmt.Sprintf("%d texts", row.Texts)
	}
	return ""
}
