// Command peers measures limbic beside other engines, on the same files, with
// the same numbers of threads and tokens, in turn: A, B, C, A, B, C and so on.
//
//	go build -o limbic ./cmd/limbic
//	go run ./bench/cmd/peers -limbic limbic=./limbic -peer llama=PATH/llama-bench -peer 'ik-rtr=PATH/llama-bench -rtr 1' MODEL.gguf
//
// See README.md in the folder bench.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/limbic-go/limbic/bench"
	"github.com/limbic-go/limbic/internal/atomicfile"
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
	models  []string
	threads []int
	tests   []test
	rounds  int
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
		fmt.Fprintln(stderr, "usage: peers [flags] MODEL.gguf ...")
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
	threads := flags.String("threads", strconv.Itoa(llama.DefaultThreads()), "numbers of threads, separated by commas")
	prompts := flags.String("prompt", "128,512", "lengths of prompts, separated by commas; 0 for none")
	gens := flags.String("gen", "64", "numbers of tokens to generate, separated by commas; 0 for none")
	texts := flags.Int("texts", bench.BatchTexts, "number of texts to extract from; 0 for none")
	textTokens := flags.Int("text-tokens", 120, "length of each text")
	flags.IntVar(&s.rounds, "rounds", 5, "how often each engine runs each test")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Minute, "give a run up after so long")
	memory := flags.Int("memory", bench.MemoryBytes>>20, "measure the memory's bandwidth on so many `MiB`, more than caches hold")
	flags.DurationVar(&s.limits.Each, "limit-time", 100*time.Millisecond, "measure limits for so long, five times each")
	flags.StringVar(&s.json, "json", "", "write all samples to the file `F`, too")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.models = flags.Args()
	switch {
	case len(s.engines) == 0:
		return s, errors.New("no engine: give -limbic NAME=PATH and -peer NAME=PATH")
	case len(s.models) == 0:
		return s, errors.New("no model: give the paths of GGUF files")
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
	var err error
	if s.threads, err = numbers("threads", *threads); err != nil {
		return s, err
	}
	if len(s.threads) == 0 {
		return s, errors.New("-threads: none")
	}
	for _, list := range []struct {
		kind        kind
		flag, value string
	}{{prompt, "prompt", *prompts}, {generate, "gen", *gens}} {
		ns, err := numbers(list.flag, list.value)
		if err != nil {
			return s, err
		}
		for _, n := range ns {
			s.tests = append(s.tests, test{kind: list.kind, tokens: n})
		}
	}
	if *texts > 0 {
		s.tests = append(s.tests, test{kind: extract, tokens: *textTokens, texts: *texts})
	}
	if len(s.tests) == 0 {
		return s, errors.New("-prompt, -gen and -texts leave nothing to measure")
	}
	return s, nil
}

// numbers reads positive numbers separated by commas; "0" and "" are none.
func numbers(flag, value string) ([]int, error) {
	var ns []int
	if value == "" || value == "0" {
		return nil, nil
	}
	for _, part := range strings.Split(value, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-%s %s: %q is no positive number", flag, value, part)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	r := report{
		Started: time.Now().UTC().Format(time.RFC3339),
		CPU:     cpuid.CPU.BrandName, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	costs := map[string]bench.Cost{}
	for _, m := range s.models {
		f, err := gguf.Open(m)
		if err != nil {
			return err
		}
		costs[m] = bench.CostOf(f)
		if err := f.Close(); err != nil {
			return err
		}
	}
	memory, err := bench.NewMemory(s.memory)
	if err != nil {
		return err
	}
	defer memory.Close()
	r.measureLimits(&s, memory)
	for _, l := range r.Limits {
		fmt.Fprintln(stdout, l)
	}
	failures := 0
	for _, m := range s.models {
		// The first engine to run must not be the one to wait for the disk.
		if err := readOnce(m); err != nil {
			return err
		}
		for _, threads := range s.threads {
			g := r.group(&s, m, costs[m], threads)
			failures += g.measure(ctx, &s, memory, stderr)
			g.sum()
			if err := g.print(stdout, &r); err != nil {
				return err
			}
			// After each group, so that an end by force costs one at most.
			if s.json != "" {
				if err := r.write(s.json); err != nil {
					return err
				}
			}
			if err := ctx.Err(); err != nil {
				return errors.New("interrupted; what was measured before is shown")
			}
		}
	}
	if failures > 0 {
		return fmt.Errorf("%d runs failed", failures)
	}
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

func (r *report) write(path string) error {
	return atomicfile.Write(path, 0o644, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}
