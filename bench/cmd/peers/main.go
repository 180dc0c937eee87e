// Command peers measures limbic beside other engines, on the same files, with
// the same numbers of threads and tokens, in turn: A, B, C, A, B, C and so on.
//
//	go build -o limbic ./cmd/limbic
//	go run ./bench/cmd/peers -limbic limbic=./limbic -peer llama=PATH/llama-bench -peer 'ik-rtr=PATH/llama-bench -rtr 1' MODEL.gguf
//
// With -suite it measures all that limbic has set itself as goals, in a run that
// may be interrupted and go on.
//
// See README.md in the folder bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/limbic-go/limbic/bench"
	"github.com/limbic-go/limbic/llama"
	"github.com/limbic-go/limbic/llama/gguf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "peers:", err)
		}
		os.Exit(1)
	}
}

// settings are what the command line asks for.
type settings struct {
	engines []engine
	suite   suite // nil without one
	dir     string
	models  []string
	threads []int
	tests   []test
	rounds  int
	only    *regexp.Regexp
	timeout time.Duration
	memory  int // bytes
	limits  bench.Timing
	json    string
}

func parseSettings(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: peers [flags] MODEL.gguf ...\n       peers [flags] -suite NAME")
		flags.PrintDefaults()
	}
	add := func(limbic bool) func(string) error {
		return func(v string) error {
			e, err := parseEngine(v, limbic)
			for _, other := range s.engines {
				if err == nil && other.name == e.name {
					err = fmt.Errorf("there are two engines named %q", e.name)
				}
			}
			s.engines = append(s.engines, e)
			return err
		}
	}
	flags.Func("limbic", "a limbic program, as `NAME=PATH` and more arguments of limbic bench; may be given several times", add(true))
	flags.Func("peer", "a llama-bench program, as `NAME=PATH` and more of its arguments; may be given several times", add(false))
	names := strings.Join(slices.Sorted(maps.Keys(suites)), " or ")
	flags.Func("suite", "measure a fixed list of models and tests, `NAME` being "+names+"; see README.md", func(v string) error {
		u, ok := suites[v]
		if !ok {
			return fmt.Errorf("there is no such suite, but %s", names)
		}
		s.suite = u
		return nil
	})
	flags.StringVar(&s.dir, "dir", ".", "the folder of a suite's models, as bench/cmd/synth writes them")
	threads := flags.String("threads", strconv.Itoa(llama.DefaultThreads()), "numbers of threads, separated by commas; one for a suite")
	prompts := flags.String("prompt", "128,512", "lengths of prompts, separated by commas; 0 for none")
	gens := flags.String("gen", "64", "numbers of tokens to generate, separated by commas; 0 for none")
	depths := flags.String("depth", "0", "lengths of the context before those, separated by commas")
	texts := flags.Int("texts", bench.BatchTexts, "number of texts to extract from; 0 for none")
	textTokens := flags.Int("text-tokens", 120, "length of each text")
	loads := flags.Bool("load", false, "measure how long a process takes to open a model and compute a token, and its memory")
	flags.IntVar(&s.rounds, "rounds", 5, "how often each engine runs each test")
	flags.Func("only", "measure only where the `PATTERN`, a regular expression, matches a line such as \"Prompts, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, pp512\"", func(v string) (err error) {
		s.only, err = regexp.Compile(v)
		return err
	})
	flags.DurationVar(&s.timeout, "timeout", 10*time.Minute, "give a run up after so long")
	memory := flags.Int("memory", bench.MemoryBytes>>20, "measure the memory's bandwidth on so many `MiB`, more than caches hold")
	flags.DurationVar(&s.limits.Each, "limit-time", 100*time.Millisecond, "measure limits for so long, five times each")
	flags.StringVar(&s.json, "json", "", "write all samples to the file `F`, too, and go on from what it holds")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.models = flags.Args()
	switch {
	case len(s.engines) == 0:
		return s, errors.New("no engine: give -limbic NAME=PATH and -peer NAME=PATH")
	case s.suite == nil && len(s.models) == 0:
		return s, errors.New("no model: give the paths of GGUF files, or -suite NAME")
	case s.suite != nil && len(s.models) > 0:
		return s, errors.New("a suite has its own models: give either -suite or paths")
	case s.rounds < 1:
		return s, fmt.Errorf("-rounds %d is less than 1", s.rounds)
	case *texts < 0 || *texts > 0 && *textTokens < 1:
		return s, fmt.Errorf("-texts %d of -text-tokens %d cannot be", *texts, *textTokens)
	case *memory < 1 || *memory > 1<<20:
		return s, fmt.Errorf("-memory %d is not between 1 and %d MiB", *memory, 1<<20)
	case s.limits.Each <= 0:
		return s, fmt.Errorf("-limit-time %v is not positive", s.limits.Each)
	}
	s.memory = *memory << 20
	var lists [4][]int
	for i, list := range []struct {
		flag, value string
		least       int
	}{{"threads", *threads, 1}, {"prompt", *prompts, 1}, {"gen", *gens, 1}, {"depth", *depths, 0}} {
		var err error
		if lists[i], err = numbers(list.flag, list.value, list.least); err != nil {
			return s, err
		}
	}
	s.threads = lists[0]
	switch {
	case len(s.threads) == 0:
		return s, errors.New("-threads: none")
	case s.suite != nil && len(s.threads) > 1:
		return s, fmt.Errorf("-threads %s: a suite takes one number", *threads)
	}
	for _, n := range lists[1] {
		s.tests = append(s.tests, test{kind: prompt, tokens: n})
	}
	for _, n := range lists[2] {
		for _, d := range lists[3] {
			s.tests = append(s.tests, test{kind: generate, tokens: n, depth: d})
		}
	}
	if *texts > 0 {
		s.tests = append(s.tests, test{kind: extract, tokens: *textTokens, texts: *texts})
	}
	if *loads {
		s.tests = append(s.tests, test{kind: load, tokens: 1})
	}
	if len(s.tests) == 0 {
		return s, errors.New("-prompt, -gen, -texts and -load leave nothing to measure")
	}
	return s, nil
}

// numbers reads numbers separated by commas. Where the least is 1, "0" and ""
// are none.
func numbers(flag, value string, least int) ([]int, error) {
	var ns []int
	if least == 1 && (value == "" || value == "0") {
		return nil, nil
	}
	for _, part := range strings.Split(value, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < least {
			return nil, fmt.Errorf("-%s %s: %q is no number of at least %d", flag, value, part, least)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// sections are what is to be measured.
func (s *settings) sections() ([]*section, error) {
	var sections []*section
	if s.suite != nil {
		var err error
		if sections, err = s.suite.sections(s.engines, s.dir, s.threads[0]); err != nil {
			return nil, err
		}
	}
	for _, m := range s.models {
		for _, threads := range s.threads {
			for _, t := range s.tests {
				sections = append(sections, &section{
					Title: strings.TrimSuffix(filepath.Base(m), ".gguf"), Model: m, Threads: threads, Test: t.String(),
					test: t, engines: slices.Clone(s.engines),
				})
			}
		}
	}
	if s.only != nil {
		sections = slices.DeleteFunc(sections, func(c *section) bool { return !s.only.MatchString(c.String()) })
	}
	if len(sections) == 0 {
		return nil, errors.New("nothing is left to measure")
	}
	return sections, nil
}

// String is what -only looks at, and what progress shows.
func (s *section) String() string {
	return fmt.Sprintf("%s, %s, %s, %s", s.Title, filepath.Base(s.Model), threads(s.Threads), s.Test)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	for i := range s.engines {
		if err := s.engines[i].ask(ctx); err != nil {
			return err
		}
	}
	r := report{
		Started: time.Now().UTC().Format(time.RFC3339),
		CPU:     cpuid.CPU.BrandName, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if r.Sections, err = s.sections(); err != nil {
		return err
	}
	sections := slices.Clone(r.Sections)
	hashes, files := map[string]string{}, map[string]*section{}
	for _, c := range sections {
		if of, ok := files[c.Model]; ok {
			c.Cost, c.Bytes = of.Cost, of.Bytes
		} else if err := c.open(); err != nil {
			if s.suite != nil && errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w (bench/cmd/synth makes the models of a suite; -dir says where they are)", err)
			}
			return err
		}
		files[c.Model] = c
		if err := c.prepare(hashes); err != nil {
			return err
		}
	}
	if s.json != "" {
		if err := r.resume(s.json); err != nil {
			return err
		}
	}
	memory, err := bench.NewMemory(s.memory)
	if err != nil {
		return err
	}
	defer memory.Close()
	r.measureLimits(s.threads, s.limits, memory)
	failures, err := r.measure(ctx, &s, sections, memory, stderr)
	r.Ended = time.Now().UTC().Format(time.RFC3339)
	for _, c := range sections {
		c.sum()
	}
	if err := errors.Join(err, r.print(stdout)); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("%d runs failed", failures)
	}
	return nil
}

// measure runs the rounds: each goes through all sections, so that each meets
// many states of the machine, and an end by force leaves figures for all.
func (r *report) measure(ctx context.Context, s *settings, sections []*section, memory *bench.Memory, stderr io.Writer) (failures int, err error) {
	read := map[string]bool{}
	for round := range s.rounds {
		for _, c := range sections {
			if c.done() > round || round >= c.last(s.rounds) {
				continue
			}
			// The first engine to run must not be the one to wait for the disk.
			if !read[c.Model] {
				if err := readOnce(c.Model); err != nil {
					return failures, err
				}
				read[c.Model] = true
			}
			start := time.Now()
			failures += c.measure(ctx, s.timeout, s.limits, memory, stderr)
			if ctx.Err() != nil {
				return failures, errors.New("interrupted; what was measured before is shown")
			}
			fmt.Fprintf(stderr, "round %d of %d, %v:%s (%.0f s)\n", round+1, c.last(s.rounds), c, c.latest(), time.Since(start).Seconds())
			if s.json != "" {
				r.Ended = time.Now().UTC().Format(time.RFC3339)
				if err := r.write(s.json); err != nil {
					return failures, err
				}
			}
		}
	}
	return failures, nil
}

// latest is the last round, for those who watch.
func (s *section) latest() string {
	var b strings.Builder
	for _, r := range s.Rows {
		if x := r.Rounds[len(r.Rounds)-1]; x != nil {
			fmt.Fprintf(&b, " %s %.3g", r.Engine, *x)
		} else {
			fmt.Fprintf(&b, " %s failed", r.Engine)
		}
	}
	return b.String()
}

// open looks into the section's model.
func (s *section) open() error {
	f, err := gguf.Open(s.Model)
	if err != nil {
		return err
	}
	s.Cost = bench.CostOf(f)
	if err := f.Close(); err != nil {
		return err
	}
	info, err := os.Stat(s.Model)
	if err != nil {
		return err
	}
	s.Bytes = info.Size()
	return nil
}

func readOnce(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
