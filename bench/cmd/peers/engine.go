package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A kind of test.
type kind string

const (
	prompt   kind = "prompt"   // many tokens at once
	generate kind = "generate" // one after the other
	extract  kind = "extract"  // texts whose states are read
	load     kind = "load"     // a whole process that opens the model and computes one token
)

// A test is what engines are measured by.
type test struct {
	kind   kind
	tokens int // of the prompt, generated, or of each text
	depth  int // of generate: tokens of context before the first
	texts  int // of extract
}

// String is the test's short name, such as "pp128".
func (t test) String() string {
	switch t.kind {
	case prompt:
		return fmt.Sprintf("pp%d", t.tokens)
	case generate:
		if t.depth > 0 {
			return fmt.Sprintf("tg%d@%d", t.tokens, t.depth)
		}
		return fmt.Sprintf("tg%d", t.tokens)
	case load:
		return string(load)
	}
	return fmt.Sprintf("ex%d", t.tokens)
}

// An engine is a program that measures itself: "limbic bench", or a llama-bench
// of llama.cpp or of a project that branched off from it.
type engine struct {
	name   string
	path   string
	args   []string // behind those that run gives
	env    []string // besides those of this process
	limbic bool
	flags  dialect // of a llama-bench
}

// A dialect says how a llama-bench spells what the projects do not spell alike.
type dialect struct {
	// Depth stands before a number of tokens of context: llama.cpp's "-d", or
	// ik_llama.cpp's "-gp", which names the number of new tokens, too.
	depth string
	// NoWarmup are the arguments that leave out the pass before those that are
	// timed.
	noWarmup []string
	// ShortWarmup: that pass is one token, so that the first prompt meets
	// buffers that were never touched.
	shortWarmup bool
}

// parseEngine reads "NAME=PATH ARGUMENT…".
func parseEngine(s string, limbic bool) (engine, error) {
	name, command, ok := strings.Cut(s, "=")
	words := strings.Fields(command)
	if !ok || strings.TrimSpace(name) == "" || len(words) == 0 {
		return engine{}, fmt.Errorf("engine %q: want NAME=PATH, and arguments behind it if any", s)
	}
	return engine{name: strings.TrimSpace(name), path: words[0], args: words[1:], limbic: limbic}, nil
}

// with is the engine with another name and more arguments.
func (e engine) with(name string, args ...string) engine {
	e.name = name
	e.args = append(slices.Clone(args), e.args...)
	return e
}

// ask finds out which dialect a llama-bench speaks, from what its -h prints.
func (e *engine) ask(ctx context.Context) error {
	if e.limbic {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.path, append([]string{"-h"}, e.args...)...)
	cmd.WaitDelay = time.Second
	help, err := cmd.CombinedOutput()
	// Some versions end with status 1 after their help.
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("%s: %s -h: %w", e.name, e.path, err)
	}
	e.flags = parseHelp(string(help))
	return ctx.Err()
}

func parseHelp(help string) dialect {
	var d dialect
	words := strings.FieldsFunc(help, func(r rune) bool { return strings.ContainsRune(" \t\r\n,[]", r) })
	has := func(word string) bool { return slices.Contains(words, word) }
	switch {
	case has("--n-depth"):
		d.depth = "-d"
	case has("-gp"):
		d.depth = "-gp"
	}
	switch {
	case has("--no-warmup"):
		d.noWarmup = []string{"--no-warmup"}
	case has("--warmup"):
		d.noWarmup, d.shortWarmup = []string{"-w", "0"}, true
	}
	return d
}

// repeats is how often a llama-bench measures; the last one counts.
func (e *engine) repeats(t test) int {
	if t.kind != generate && t.kind != load && e.flags.shortWarmup {
		return 2
	}
	return 1
}

// command is the command line for one measurement.
func (e *engine) command(model string, threads int, t test) []string {
	n := strconv.Itoa(t.tokens)
	var args []string
	if e.limbic {
		args = []string{"bench", model, "--json", "--limits=false", "--repeat", "1", "--threads", strconv.Itoa(threads)}
		switch t.kind {
		case prompt:
			args = append(args, "--prompt", n, "--gen", "0", "--texts", "0")
		case generate:
			args = append(args, "--prompt", "0", "--gen", n, "--texts", "0")
			if t.depth > 0 {
				args = append(args, "--depth", strconv.Itoa(t.depth))
			}
		case extract:
			args = append(args, "--prompt", "0", "--gen", "0", "--texts", strconv.Itoa(t.texts), "--text-tokens", n)
		case load:
			args = []string{"generate", model, "a", "--max-tokens", "1", "--threads", strconv.Itoa(threads)}
		}
	} else {
		args = []string{"-m", model, "-t", strconv.Itoa(threads), "-r", strconv.Itoa(e.repeats(t)), "-o", "json"}
		switch t.kind {
		case generate:
			switch {
			case t.depth == 0:
				args = append(args, "-p", "0", "-n", n)
			case e.flags.depth == "-gp":
				args = append(args, "-p", "0", "-n", "0", "-gp", strconv.Itoa(t.depth)+","+n)
			default:
				args = append(args, "-p", "0", "-n", n, "-d", strconv.Itoa(t.depth))
			}
		case load:
			args = append(append(args, "-p", n, "-n", "0"), e.flags.noWarmup...)
		default: // the nearest to extraction that llama-bench has
			args = append(args, "-p", n, "-n", "0")
			if e.flags.shortWarmup {
				args = append(args, e.flags.noWarmup...)
			}
		}
	}
	return append(append([]string{e.path}, args...), e.args...)
}

// A measurement is what a run of an engine reported.
type measurement struct {
	value float64 // tokens per second; seconds of a load
	build string  // what the engine says about itself
	peak  int64   // most bytes in memory at a time, 0 where unknown
}

// run measures once. An error says what the engine printed last.
func (e *engine) run(ctx context.Context, timeout time.Duration, model string, threads int, t test) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	line := e.command(model, threads, t)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), e.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	fail := func(err error) (measurement, error) {
		return measurement{}, fmt.Errorf("%s, %v: %s: %w", e.name, t, strings.Join(line, " "), err)
	}
	if t.depth > 0 && !e.limbic && e.flags.depth == "" {
		return fail(errors.New("its help names no flag for generation after a context (-d or -gp)"))
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
		if said := lastLine(stderr.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return fail(err)
	}
	took := time.Since(start).Seconds()
	var m measurement
	var err error
	switch {
	case e.limbic && t.kind == load:
		// What it writes is one random token.
	case e.limbic:
		m, err = parseLimbic(stdout.Bytes(), t)
	default:
		m, err = parseLlamaBench(stdout.Bytes(), t, e.repeats(t))
	}
	if err != nil {
		return fail(err)
	}
	if t.kind == load {
		m.value = took
	}
	m.peak = peakMemory(cmd.ProcessState)
	return m, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// parseLimbic reads the document of "limbic bench --json".
func parseLimbic(data []byte, t test) (measurement, error) {
	var r struct {
		Prompt     *float64 `json:"prompt_tps"`
		Generate   *float64 `json:"generate_tps"`
		Extract    *float64 `json:"extract_tps"`
		Depth      int      `json:"generate_depth"`
		Provenance struct {
			Limbic    string `json:"limbic"`
			Revision  string `json:"revision"`
			Kernels   string `json:"kernels"`
			Precision string `json:"precision"`
		} `json:"provenance"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return measurement{}, fmt.Errorf("its output is no document of limbic bench: %w", err)
	}
	tps := map[kind]*float64{prompt: r.Prompt, generate: r.Generate, extract: r.Extract}[t.kind]
	if tps == nil {
		return measurement{}, fmt.Errorf("its output has no speed of %s", t.kind)
	}
	if r.Depth != t.depth {
		return measurement{}, fmt.Errorf("it generated after a context of %d, not %d", r.Depth, t.depth)
	}
	p := r.Provenance
	return checked(*tps, strings.Join(strings.Fields(strings.Join([]string{p.Limbic, p.Revision, p.Kernels, p.Precision}, " ")), " "))
}

// parseLlamaBench reads what "llama-bench -o json" prints: an array with an
// object for each test. Some builds print other lines before it. Of the samples
// of a test, which must be as many as were asked for, the last counts.
func parseLlamaBench(data []byte, t test, samples int) (measurement, error) {
	text := data
	if !bytes.HasPrefix(text, []byte("[")) {
		i := bytes.Index(text, []byte("\n["))
		if i < 0 {
			return measurement{}, errors.New("its output has no JSON array")
		}
		text = text[i+1:]
	}
	var results []struct {
		Prompt   int       `json:"n_prompt"`
		Generate int       `json:"n_gen"`
		Depth    int       `json:"n_depth"` // of llama.cpp
		Samples  []float64 `json:"samples_ts"`
		Commit   string    `json:"build_commit"`
		Number   int       `json:"build_number"`
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&results); err != nil {
		return measurement{}, fmt.Errorf("its output is no array of results: %w", err)
	}
	p, g := t.tokens, 0
	if t.kind == generate {
		p, g = 0, t.tokens
	}
	for _, r := range results {
		if r.Depth == 0 && t.depth > 0 { // ik_llama.cpp has a prompt in its place
			r.Prompt, r.Depth = 0, r.Prompt
		}
		if r.Prompt == p && r.Generate == g && r.Depth == t.depth && len(r.Samples) == samples {
			return checked(r.Samples[samples-1], strings.TrimSpace(fmt.Sprintf("%s (%d)", r.Commit, r.Number)))
		}
	}
	return measurement{}, fmt.Errorf("its output has no result of %d prompt and %d generated tokens after %d, with %d samples", p, g, t.depth, samples)
}

func checked(tps float64, build string) (measurement, error) {
	if !(tps > 0 && tps < math.MaxFloat64) {
		return measurement{}, fmt.Errorf("it reports %v tokens per second", tps)
	}
	return measurement{value: tps, build: build}, nil
}

// hash is the program's SHA-256, so that a run that goes on after an
// interruption can tell that it still measures the same.
func (e *engine) hash() (string, error) {
	path, err := exec.LookPath(e.path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", e.name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", e.name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", e.name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
