package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
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
)

// A test is what engines are measured by.
type test struct {
	kind   kind
	tokens int // of the prompt, generated, or of each text
	texts  int // of extract
}

// String is the test's short name, such as "pp128".
func (t test) String() string {
	switch t.kind {
	case prompt:
		return fmt.Sprintf("pp%d", t.tokens)
	case generate:
		return fmt.Sprintf("tg%d", t.tokens)
	}
	return fmt.Sprintf("ex%d", t.tokens)
}

// An engine is a program that measures itself: "limbic bench", or a llama-bench
// of llama.cpp or of a project that branched off from it.
type engine struct {
	name   string
	path   string
	args   []string // behind those that run gives
	limbic bool
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
		case extract:
			args = append(args, "--prompt", "0", "--gen", "0", "--texts", strconv.Itoa(t.texts), "--text-tokens", n)
		}
	} else {
		args = []string{"-m", model, "-t", strconv.Itoa(threads), "-r", "1", "-o", "json"}
		switch t.kind {
		case generate:
			args = append(args, "-p", "0", "-n", n)
		default: // the nearest to extraction that llama-bench has
			args = append(args, "-p", n, "-n", "0")
		}
	}
	return append(append([]string{e.path}, args...), e.args...)
}

// A measurement is what a run of an engine reported.
type measurement struct {
	tps   float64 // tokens per second
	build string  // what the engine says about itself
}

// run measures once. An error says what the engine printed last.
func (e *engine) run(ctx context.Context, timeout time.Duration, model string, threads int, t test) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	line := e.command(model, threads, t)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	fail := func(err error) (measurement, error) {
		return measurement{}, fmt.Errorf("%s, %v: %s: %w", e.name, t, strings.Join(line, " "), err)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
		if said := lastLine(stderr.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return fail(err)
	}
	parse := parseLlamaBench
	if e.limbic {
		parse = parseLimbic
	}
	m, err := parse(stdout.Bytes(), t)
	if err != nil {
		return fail(err)
	}
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
	p := r.Provenance
	return checked(*tps, strings.Join(strings.Fields(strings.Join([]string{p.Limbic, p.Revision, p.Kernels, p.Precision}, " ")), " "))
}

// parseLlamaBench reads what "llama-bench -o json" prints: an array with an
// object for each test. Some builds print other lines before it.
func parseLlamaBench(data []byte, t test) (measurement, error) {
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
		if r.Prompt == p && r.Generate == g && len(r.Samples) == 1 {
			return checked(r.Samples[0], strings.TrimSpace(fmt.Sprintf("%s (%d)", r.Commit, r.Number)))
		}
	}
	return measurement{}, fmt.Errorf("its output has no result of %d prompt and %d generated tokens with one sample", p, g)
}

func checked(tps float64, build string) (measurement, error) {
	if !(tps > 0 && tps < math.MaxFloat64) {
		return measurement{}, fmt.Errorf("it reports %v tokens per second", tps)
	}
	return measurement{tps, build}, nil
}
