package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/limbic-go/limbic/bench"
	"github.com/limbic-go/limbic/internal/atomicfile"
)

// A report holds everything that was measured.
type report struct {
	Started  string        `json:"started"` // the first time, where it went on later
	Ended    string        `json:"ended,omitempty"`
	CPU      string        `json:"cpu"`
	Platform string        `json:"platform"`
	Limits   []bench.Limit `json:"limits"` // with one thread and with each number asked for
	Sections []*section    `json:"sections"`
}

// A section is one test of one model with a number of threads.
type section struct {
	Title   string     `json:"title"`
	Model   string     `json:"model"`
	Bytes   int64      `json:"model_bytes"`
	Threads int        `json:"threads"`
	Test    string     `json:"test"`
	Cost    bench.Cost `json:"cost"`
	// Memory is what memory gave, in GB/s, and Load how many processes ran or
	// wanted to, over a minute: a sample before each round.
	Memory bench.Spread `json:"memory_read"`
	Load   bench.Spread `json:"load_average"`
	Rows   []*row       `json:"rows"`

	test    test
	engines []engine
	rounds  int // at most; 0 for as many as asked for
	avx2    bool
	goals   []goal
}

// A row is an engine in a test.
type row struct {
	Engine      string   `json:"engine"`
	Build       string   `json:"build,omitempty"`
	SHA256      string   `json:"sha256"` // of the program
	Environment []string `json:"environment,omitempty"`
	Command     []string `json:"command"`
	// Rounds are tokens per second, or seconds of a load, in order; null where
	// a run failed.
	Rounds []*float64   `json:"rounds"`
	Value  bench.Spread `json:"values"`
	// Peak is the most memory of a load, in bytes, 0 where unknown.
	Peak bench.Spread `json:"peak_bytes"`
	// Ratios say how much faster others were, round by round: limbic, in every
	// form that takes part, or the first engine where it does not. Of a peer in
	// a test of extraction they compare with a plain prompt.
	Ratios []ratio `json:"ratios"`

	engine *engine
}

// A ratio is how much faster another engine was.
type ratio struct {
	Engine string `json:"engine"`
	bench.Spread
}

// prepare fills in what is measured: a row for each engine.
func (s *section) prepare(hashes map[string]string) error {
	for i := range s.engines {
		e := &s.engines[i]
		hash, ok := hashes[e.path]
		if !ok {
			var err error
			if hash, err = e.hash(); err != nil {
				return err
			}
			hashes[e.path] = hash
		}
		s.Rows = append(s.Rows, &row{
			Engine: e.name, SHA256: hash, Environment: e.env, Command: e.command(s.Model, s.Threads, s.test), engine: e,
		})
	}
	return nil
}

// key is the same for sections that measure the same.
func (s *section) key() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.Title, s.Model, s.Threads, s.Test)
	for _, r := range s.Rows {
		fmt.Fprintln(&b, r.Engine, r.Environment, r.Command)
	}
	return b.String()
}

// done is how many rounds were measured.
func (s *section) done() int {
	if len(s.Rows) == 0 {
		return 0
	}
	return len(s.Rows[0].Rounds)
}

// last is how many rounds are to be measured.
func (s *section) last(rounds int) int {
	if s.rounds > 0 {
		return min(rounds, s.rounds)
	}
	return rounds
}

// resume takes over what a file of an earlier run holds; without one there is
// nothing to take over. What was measured with other programs or on another
// processor cannot go on.
func (r *report) resume(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old report
	if err := json.Unmarshal(data, &old); err != nil {
		return fmt.Errorf("%s: not a file of peers: %w", path, err)
	}
	if old.CPU != r.CPU || old.Platform != r.Platform {
		return fmt.Errorf("%s: measured on %s (%s), not on %s (%s): give another file", path, old.CPU, old.Platform, r.CPU, r.Platform)
	}
	if old.Started != "" {
		r.Started = old.Started
	}
	r.Limits = old.Limits
	var others []*section
	for _, o := range old.Sections {
		i := slices.IndexFunc(r.Sections, func(s *section) bool { return s.key() == o.key() })
		if i < 0 {
			others = append(others, o)
			continue
		}
		s := r.Sections[i]
		rounds := o.done()
		for j, row := range s.Rows {
			was := o.Rows[j]
			if was.SHA256 != row.SHA256 {
				return fmt.Errorf("%s: %s has changed since: give another file", path, row.Command[0])
			}
			if len(was.Rounds) != rounds {
				return fmt.Errorf("%s: engines of %s have different numbers of rounds", path, s.Test)
			}
			row.Rounds, row.Build, row.Peak = was.Rounds, was.Build, was.Peak
		}
		s.Memory, s.Load = o.Memory, o.Load
	}
	r.Sections = append(r.Sections, others...)
	return nil
}

func (r *report) write(path string) error {
	return atomicfile.Write(path, 0o644, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// measureLimits measures what the machine gives to one thread, and to as many
// as are asked for, besides what was measured before.
func (r *report) measureLimits(threads []int, timing bench.Timing, memory *bench.Memory) {
	threads = slices.Compact(slices.Sorted(slices.Values(append([]int{1}, threads...))))
	for _, n := range threads {
		for _, l := range []bench.Limit{memory.Read(n, timing), bench.Float32Peak(n, timing), bench.PanelPeak(n, timing), bench.Int8Peak(n, timing)} {
			i := slices.IndexFunc(r.Limits, func(k bench.Limit) bool { return k.Name == l.Name && k.Threads == l.Threads && k.How == l.How })
			if i < 0 {
				r.Limits = append(r.Limits, l)
			} else {
				r.Limits[i].Spread = with(r.Limits[i].Spread, l.Samples...)
			}
		}
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

// with adds samples to a spread.
func with(s bench.Spread, samples ...float64) bench.Spread {
	return bench.NewSpread(append(slices.Clone(s.Samples), samples...))
}

// measure runs a round: every engine once, so that what is compared is measured
// within seconds. It keeps nothing of a round that ctx ends.
func (s *section) measure(ctx context.Context, timeout time.Duration, timing bench.Timing, memory *bench.Memory, stderr io.Writer) (failures int) {
	timing.Runs = 1
	bandwidth := memory.Read(s.Threads, timing)
	average, known := loadAverage()
	results := make([]*measurement, len(s.Rows))
	for i, r := range s.Rows {
		m, err := r.engine.run(ctx, timeout, s.Model, s.Threads, s.test)
		if ctx.Err() != nil {
			return failures
		}
		if err != nil {
			failures++
			fmt.Fprintln(stderr, "peers:", err)
			continue
		}
		results[i] = &m
	}
	s.Memory = with(s.Memory, bandwidth.Samples...)
	if known {
		s.Load = with(s.Load, average)
	}
	for i, r := range s.Rows {
		m := results[i]
		if m == nil {
			r.Rounds = append(r.Rounds, nil)
			continue
		}
		r.Rounds = append(r.Rounds, &m.value)
		if m.build != "" {
			r.Build = m.build
		}
		if s.test.kind == load && m.peak > 0 {
			r.Peak = with(r.Peak, float64(m.peak))
		}
	}
	s.sum()
	return failures
}

// loadAverage is the system's, over a minute.
func loadAverage() (float64, bool) {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, false
	}
	var x float64
	_, err = fmt.Sscan(string(data), &x)
	return x, err == nil
}

// sum computes spreads and ratios.
func (s *section) sum() {
	var references []*row
	for _, r := range s.Rows {
		if r.engine.limbic {
			references = append(references, r)
		}
	}
	if len(references) == 0 {
		references = s.Rows[:1]
	}
	for _, r := range s.Rows {
		var all []float64
		for _, x := range r.Rounds {
			if x != nil {
				all = append(all, *x)
			}
		}
		r.Value = bench.NewSpread(all)
		r.Ratios = nil
		for _, other := range references {
			var a, b []float64
			for i, x := range r.Rounds {
				if y := other.Rounds[i]; x != nil && y != nil {
					a, b = append(a, *y), append(b, *x)
				}
			}
			if s.test.kind == load { // the shorter, the better
				a, b = b, a
			}
			r.Ratios = append(r.Ratios, ratio{other.Engine, bench.Ratios(bench.NewSpread(a), bench.NewSpread(b))})
		}
	}
}

func (s *section) row(engine string) *row {
	for _, r := range s.Rows {
		if r.Engine == engine {
			return r
		}
	}
	return nil
}
