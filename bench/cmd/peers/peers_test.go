package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/bench"
	"github.com/limbic-go/limbic/bench/synth"
)

// The test binary plays engines, where its last argument names one.
func TestMain(m *testing.M) {
	last := os.Args[len(os.Args)-1]
	if play, ok := fakes[last]; ok {
		play(os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// argument is the value behind a flag.
func argument(args []string, flag string) string {
	for i, a := range args {
		if a == flag && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

var fakes = map[string]func(args []string){
	// Twice as fast as fake-llama, and with what a real document has besides.
	"fake-limbic": func(args []string) {
		tps := func(flag string, speed float64) any {
			if argument(args, flag) == "0" {
				return nil
			}
			return speed
		}
		if args[0] == "generate" {
			fmt.Println("a")
			return
		}
		depth, _ := strconv.Atoi(argument(args, "--depth"))
		json.NewEncoder(os.Stdout).Encode(map[string]any{
			"generate_depth": depth, "prompt_tps": tps("--prompt", 200), "generate_tps": tps("--gen", 40), "extract_tps": tps("--texts", 300),
			"limits":     []int{},
			"provenance": map[string]any{"limbic": "0.1", "kernels": "avx512", "precision": "exact"},
		})
	},
	"fake-llama": func(args []string) {
		if slices.Contains(args, "-h") {
			fmt.Print("usage: llama-bench [options]\n  --no-warmup      skip warmup runs\n  -d, --n-depth <n>     (default: 0)\n")
			os.Exit(1)
		}
		speed := 100.0
		if argument(args, "-p") == "0" {
			speed = 20
		}
		fmt.Printf("a line that some builds print\n[\n  {\n    \"build_commit\": \"abc\",\n    \"build_number\": 7,\n"+
			"    \"n_prompt\": %s,\n    \"n_gen\": %s,\n    \"n_depth\": %s,\n    \"samples_ns\": [ 1 ],\n    \"samples_ts\": [ %v ]\n  }\n]\n",
			argument(args, "-p"), argument(args, "-n"), cmp.Or(argument(args, "-d"), "0"), speed)
	},
	// Its first prompt is slow, and it has a context only as a prompt.
	"fake-ik": func(args []string) {
		if slices.Contains(args, "-h") {
			fmt.Print("  -gp <pp,tg>         (default: )\n  -w, --warmup <0|1>    (default: 1)\n  -rtr <0|1>\n")
			return
		}
		p, n, samples := argument(args, "-p"), argument(args, "-n"), "25"
		if context, gen, ok := strings.Cut(argument(args, "-gp"), ","); ok {
			p, n = context, gen
		}
		if argument(args, "-r") == "2" {
			samples = "1, 125"
		}
		fmt.Printf("[{\"build_commit\": \"def\", \"build_number\": 8, \"n_prompt\": %s, \"n_gen\": %s, \"samples_ts\": [%s]}]\n", p, n, samples)
	},
	"fake-broken": func([]string) {
		fmt.Fprintln(os.Stderr, "loading\ncannot load the model")
		os.Exit(3)
	},
	"fake-silent": func([]string) {},
	"fake-slow":   func([]string) { time.Sleep(time.Minute) },
}

func model(t *testing.T) string {
	t.Helper()
	s, err := synth.ShapeByName("tiny")
	require.NoError(t, err)
	m, err := synth.MixByName("Q8_0")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, synth.Write(f, s, m, 1))
	require.NoError(t, f.Close())
	return path
}

// quick keeps limits short.
var quick = []string{"-memory", "1", "-limit-time", "1ms", "-threads", "2"}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	require.NotContains(t, path, " ")
	return path
}

func TestPeers(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.json")
	var stdout, stderr bytes.Buffer
	args := append([]string{
		"-limbic", "limbic=" + self(t) + " fake-limbic", "-peer", "llama=" + self(t) + " fake-llama", "-peer", "ik=" + self(t) + " fake-ik",
		"-prompt", "8,16", "-gen", "4", "-depth", "0,8", "-texts", "2", "-text-tokens", "12", "-load", "-rounds", "3", "-json", out,
	}, quick...)
	require.NoError(t, run(context.Background(), append(args, model(t)), &stdout, &stderr), stderr.String())
	text := stdout.String()
	for _, s := range []string{
		"| memory read, GB/s", "| 1 thread | 2 threads |", "**tiny, 2 threads**", "| tiny | pp8 | limbic | 200 (200–200) |", "| limbic is faster by |",
		"| tiny | pp16 |", "| tiny | tg4 |", "| tiny | tg4@8 |", "| tiny | ex12 |", "| tiny | load |",
		"|  |  | llama | 100 (100–100) | 2.00 (2.00–2.00) |", "% of memory read", "nothing is read",
		"| llama | abc (7) | `-m MODEL -t 2 -r 1 -o json -p 8 -n 0 fake-llama` |",
	} {
		assert.Contains(t, text, s)
	}
	r := read(t, out)
	require.Len(t, r.Sections, 6)
	for i, want := range []struct {
		test         string
		llama, ik    float64
		ratio, other float64
	}{
		{"pp8", 100, 125, 2, 1.6}, {"pp16", 100, 125, 2, 1.6}, {"tg4", 20, 25, 2, 1.6}, {"tg4@8", 20, 25, 2, 1.6}, {"ex12", 100, 125, 3, 2.4}, {"load", 0, 0, 0, 0},
	} {
		s := r.Sections[i]
		require.Equal(t, want.test, s.Test)
		require.Len(t, s.Rows, 3)
		assert.Len(t, s.Memory.Samples, 3, "one before each round")
		for j, build := range []string{"0.1 avx512 exact", "abc (7)", "def (8)"} {
			assert.Len(t, s.Rows[j].Rounds, 3)
			if want.test != "load" || j > 0 {
				assert.Equal(t, build, s.Rows[j].Build)
			}
			require.Len(t, s.Rows[j].Ratios, 1)
			assert.Equal(t, "limbic", s.Rows[j].Ratios[0].Engine)
		}
		assert.Equal(t, 1.0, s.Rows[0].Ratios[0].Median)
		if want.test == "load" {
			for _, row := range s.Rows {
				assert.Greater(t, row.Value.Min, 0.0, "seconds")
			}
			continue
		}
		assert.Equal(t, []float64{want.llama, want.ik}, []float64{s.Rows[1].Value.Median, s.Rows[2].Value.Median}, want.test)
		assert.Equal(t, []float64{want.ratio, want.other}, []float64{s.Rows[1].Ratios[0].Median, s.Rows[2].Ratios[0].Median}, want.test)
	}
}

func read(t *testing.T, path string) (r report) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	return r
}

// A run goes on from its file: what is there is not measured again, and another
// program, a further round or a further test is no reason to forget it.
func TestResume(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.json")
	m := model(t)
	measure := func(engine string, more ...string) (string, string, error) {
		var stdout, stderr bytes.Buffer
		args := append([]string{"-limbic", "limbic=" + self(t) + " " + engine, "-texts", "0", "-gen", "0", "-json", out}, quick...)
		err := run(context.Background(), append(append(args, more...), m), &stdout, &stderr)
		return stdout.String(), stderr.String(), err
	}
	_, told, err := measure("fake-limbic", "-prompt", "8", "-rounds", "1")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(told, "pp8"), told)
	_, told, err = measure("fake-limbic", "-prompt", "8,16", "-rounds", "2")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(told, "pp8"), told)
	assert.Equal(t, 2, strings.Count(told, "pp16"), told)
	text, told, err := measure("fake-limbic", "-prompt", "16", "-rounds", "2")
	require.NoError(t, err)
	assert.Empty(t, told)
	assert.Contains(t, text, "pp8", "still in the file")
	r := read(t, out)
	require.Len(t, r.Sections, 2)
	for _, s := range r.Sections {
		assert.Len(t, s.Rows[0].Rounds, 2)
		assert.Len(t, s.Memory.Samples, 2)
	}

	r.Sections[0].Rows[0].SHA256 = "other"
	require.NoError(t, r.write(out))
	_, _, err = measure("fake-limbic", "-prompt", "8")
	assert.ErrorContains(t, err, "has changed since")
	r.CPU += "x"
	require.NoError(t, r.write(out))
	_, _, err = measure("fake-limbic", "-prompt", "8")
	assert.ErrorContains(t, err, "give another file")
	require.NoError(t, os.WriteFile(out, []byte("x"), 0o644))
	_, _, err = measure("fake-limbic", "-prompt", "8")
	assert.ErrorContains(t, err, "not a file of peers")
}

// An interrupted round is measured anew, so that its ratios compare what was
// measured together.
func TestInterrupted(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.json")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	args := append([]string{
		"-limbic", "limbic=" + self(t) + " fake-limbic", "-limbic", "slow=" + self(t) + " fake-slow",
		"-prompt", "8", "-gen", "0", "-texts", "0", "-json", out,
	}, quick...)
	require.ErrorContains(t, run(ctx, append(args, model(t)), &stdout, &stderr), "interrupted")
	assert.Contains(t, stdout.String(), "| tiny | pp8 | limbic | - |")
	assert.NoFileExists(t, out)
}

// Every part of the suites finds its engines and its models.
func TestSuites(t *testing.T) {
	engines := []engine{{name: "limbic", path: "l", limbic: true}}
	for _, name := range []string{"llama", "llama-noamx", "llama-avx2", "ik", "ik-rtr", "ik-avx2"} {
		engines = append(engines, engine{name: name, path: name})
	}
	names := func(s *section) string {
		var ns []string
		for _, e := range s.engines {
			ns = append(ns, e.name)
		}
		return strings.Join(ns, ", ")
	}
	sections, err := suites["full"].sections(engines, "dir", 2)
	require.NoError(t, err)
	got := map[string]string{}
	for _, s := range sections {
		require.NotContains(t, got, s.String())
		got[s.String()] = names(s)
	}
	for s, want := range map[string]string{
		"Prompts, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, pp512":                        "limbic fast, limbic probe, limbic exact, llama, llama-noamx, ik",
		"Prompts, Llama-3.2-1B-Q6_K.gguf, 2 threads, pp512":                          "limbic fast, llama, llama-noamx, ik",
		"Generation, Llama-3.2-1B-Q8_0.gguf, 2 threads, tg64":                        "limbic fast, llama, ik, ik-rtr",
		"Generation on one thread, Llama-3.2-1B-Q4_K_M.gguf, 1 thread, tg64":         "limbic fast, llama, ik, ik-rtr",
		"Extraction, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, ex120":                     "limbic probe, llama",
		"A small model, SmolLM2-135M-Q8_0.gguf, 2 threads, pp512":                    "limbic fast, llama, llama-noamx, ik, ik-rtr",
		"AVX2 only, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, tg64":                       "limbic fast, llama-avx2, ik-avx2",
		"Generation after a context, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, tg32@4096": "limbic fast, llama, ik",
		"Load to first token, Llama-3.2-1B-Q4_K_M.gguf, 2 threads, load":             "limbic fast, llama, ik, ik-rtr",
	} {
		assert.Equal(t, want, got[s], s)
	}
	for _, s := range sections {
		assert.Equal(t, "dir", filepath.Dir(s.Model))
		if s.avx2 {
			assert.Equal(t, []string{"LIMBIC_KERNELS=avx2"}, s.engines[0].env)
		}
		for _, g := range s.goals {
			assert.Contains(t, names(s), g.precision)
			assert.Contains(t, names(s), g.over)
		}
	}
	fewer, err := suites["quick"].sections(engines, "dir", 2)
	require.NoError(t, err)
	for _, s := range fewer {
		assert.Contains(t, got, s.String())
	}
	assert.Less(t, len(fewer), len(sections)/2)
	_, err = suites["full"].sections(engines[1:], "dir", 2)
	assert.ErrorContains(t, err, "-limbic")
	s := settings{engines: engines, suite: suites["full"], threads: []int{2}, only: regexp.MustCompile("tg32@512$")}
	only, err := s.sections()
	require.NoError(t, err)
	assert.Len(t, only, 1)
}

// What a goal says of what was measured.
func TestGoals(t *testing.T) {
	make := func(test test, rounds map[string][]float64) *section {
		s := &section{Title: "x", Model: "m.gguf", Threads: 2, Test: test.String(), test: test}
		for _, name := range []string{"limbic fast", "llama", "ik", "ik-rtr"} {
			if rs, ok := rounds[name]; ok {
				r := &row{Engine: name, engine: &engine{name: name, limbic: name == "limbic fast"}}
				for i := range rs {
					r.Rounds = append(r.Rounds, &rs[i])
				}
				s.Rows = append(s.Rows, r)
			}
		}
		s.sum()
		return s
	}
	s := make(test{kind: generate, tokens: 64}, map[string][]float64{
		"limbic fast": {40, 44, 48}, "llama": {20, 20, 20}, "ik": {30, 30, 30}, "ik-rtr": {40, 40, 40},
	})
	s.Memory, s.Cost.Bytes = bench.NewSpread([]float64{50}), 1e9
	for _, c := range []struct {
		goal            goal
		least, measured string
		reached         string
	}{
		{goal{over: "llama", least: 2}, "2 × llama", "2.20 (2.00–2.40) × llama", "yes"},
		{goal{over: "llama", least: 2.1}, "2.1 × llama", "2.20 (2.00–2.40) × llama", "yes, not in every round"},
		{goal{over: "ik", least: 1.15}, "1.15 × ik", "1.10 (1.00–1.20) × ik-rtr", "no, but in some rounds"},
		{goal{over: "ik", least: 1.3}, "1.3 × ik", "1.10 (1.00–1.20) × ik-rtr", "no"},
		{goal{over: "ik", least: 1.3, orMemory: 0.85}, "1.3 × ik, or 85% of memory read", "1.10 (1.00–1.20) × ik-rtr; 88% of memory read", "yes, by memory"},
		{goal{over: "other", least: 1}, "1 × other", "", "not measured"},
	} {
		c.goal.precision = "limbic fast"
		assert.Equal(t, []string{c.least, c.measured, c.reached}, s.judge(c.goal))
	}

	// After a context limbic keeps 91 % of its speed and ik 83 %.
	deep := make(test{kind: generate, tokens: 32, depth: 512}, map[string][]float64{"limbic fast": {40}, "ik": {25}})
	r := report{Sections: []*section{s, deep}}
	assert.Equal(t, []string{"keeps more of its speed than others", "limbic fast 91%, ik 83%", "yes"}, r.judgeDepth(deep))
	assert.Nil(t, (&report{Sections: []*section{deep}}).judgeDepth(deep))

	// Of a load, less is better.
	loads := make(test{kind: load}, map[string][]float64{"limbic fast": {0.5}, "llama": {1}})
	assert.Equal(t, 2.0, loads.Rows[1].Ratios[0].Median)
}

// A run that fails leaves a gap and does not end the others.
func TestPeersFailure(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := append([]string{
		"-limbic", "limbic=" + self(t) + " fake-limbic", "-peer", "bad=" + self(t) + " fake-broken", "-peer", "silent=" + self(t) + " fake-silent",
		"-prompt", "8", "-gen", "0", "-texts", "0", "-rounds", "2",
	}, quick...)
	err := run(context.Background(), append(args, model(t)), &stdout, &stderr)
	require.EqualError(t, err, "4 runs failed")
	assert.Contains(t, stderr.String(), "bad, pp8: ")
	assert.Contains(t, stderr.String(), "exit status 3: cannot load the model")
	assert.Contains(t, stderr.String(), "no JSON array")
	assert.Contains(t, stdout.String(), "failed")
	assert.Contains(t, stdout.String(), "200 (200–200)")
}

func TestPeersTimeout(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := append([]string{
		"-limbic", "slow=" + self(t) + " fake-slow", "-prompt", "8", "-gen", "0", "-texts", "0", "-rounds", "1", "-timeout", "50ms",
	}, quick...)
	require.EqualError(t, run(context.Background(), append(args, model(t)), &stdout, &stderr), "1 runs failed")
	assert.Contains(t, stderr.String(), "deadline exceeded")
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ args, err string }{
		{"m", "no engine"},
		{"-limbic a=b", "no model"},
		{"-limbic a= m", "want NAME=PATH"},
		{"-limbic a m", "want NAME=PATH"},
		{"-limbic a=b -peer a=c m", `two engines named "a"`},
		{"-limbic a=b -rounds 0 m", "-rounds 0"},
		{"-limbic a=b -threads 0 m", "-threads: none"},
		{"-limbic a=b -threads 1,x m", `"x" is no number of at least 1`},
		{"-limbic a=b -prompt -3 m", `"-3" is no number of at least 1`},
		{"-limbic a=b -prompt 0 -gen 0 -texts 0 m", "nothing to measure"},
		{"-limbic a=b -depth -1 m", `"-1" is no number of at least 0`},
		{"-limbic a=b -suite none", "no such suite, but full or quick"},
		{"-limbic a=b -suite full m", "own models"},
		{"-limbic a=b -suite full -threads 1,2", "takes one number"},
		{"-limbic a=b -only ( m", "error parsing regexp"},
		{"-limbic a=b -texts 2 -text-tokens 0 m", "-text-tokens 0"},
		{"-limbic a=b -memory 0 m", "-memory 0"},
		{"-limbic a=b -limit-time 0s m", "-limit-time 0s"},
	} {
		_, err := parseSettings(strings.Fields(c.args), io.Discard)
		assert.ErrorContains(t, err, c.err, c.args)
	}
	s, err := parseSettings([]string{"-limbic", "a=b --precision fast", "-threads", "1, 2", "m"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, s.threads)
	assert.Equal(t, []string{"--precision", "fast"}, s.engines[0].args)
	assert.Equal(t, "[pp128 pp512 tg64 ex120]", fmt.Sprint(s.tests))
	assert.ErrorContains(t, run(context.Background(), []string{"-limbic", "a=b", "no-such-file.gguf"}, io.Discard, io.Discard), "no-such-file.gguf")
}

func TestCommand(t *testing.T) {
	limbic := engine{name: "l", path: "l", args: []string{"--precision", "fast"}, limbic: true}
	llama := engine{name: "p", path: "p", args: []string{"-fa", "1"}, flags: parseHelp("-d, --n-depth <n>\n--no-warmup ")}
	ik := engine{name: "p", path: "p", args: []string{"-rtr", "1"}, flags: parseHelp("  -gp <pp,tg>  \n  -w, --warmup <0|1>")}
	for _, c := range []struct {
		engine engine
		test   test
		want   string
	}{
		{limbic, test{kind: prompt, tokens: 8}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 8 --gen 0 --texts 0 --precision fast"},
		{limbic, test{kind: generate, tokens: 8}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 0 --gen 8 --texts 0 --precision fast"},
		{limbic, test{kind: generate, tokens: 8, depth: 5}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 0 --gen 8 --texts 0 --depth 5 --precision fast"},
		{limbic, test{kind: extract, tokens: 9, texts: 3}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 0 --gen 0 --texts 3 --text-tokens 9 --precision fast"},
		{limbic, test{kind: load, tokens: 1}, "l generate m a --max-tokens 1 --threads 2 --precision fast"},
		{llama, test{kind: prompt, tokens: 8}, "p -m m -t 2 -r 1 -o json -p 8 -n 0 -fa 1"},
		{llama, test{kind: generate, tokens: 8}, "p -m m -t 2 -r 1 -o json -p 0 -n 8 -fa 1"},
		{llama, test{kind: generate, tokens: 8, depth: 5}, "p -m m -t 2 -r 1 -o json -p 0 -n 8 -d 5 -fa 1"},
		{llama, test{kind: extract, tokens: 9, texts: 3}, "p -m m -t 2 -r 1 -o json -p 9 -n 0 -fa 1"},
		{llama, test{kind: load, tokens: 1}, "p -m m -t 2 -r 1 -o json -p 1 -n 0 --no-warmup -fa 1"},
		{ik, test{kind: prompt, tokens: 8}, "p -m m -t 2 -r 2 -o json -p 8 -n 0 -w 0 -rtr 1"},
		{ik, test{kind: generate, tokens: 8}, "p -m m -t 2 -r 1 -o json -p 0 -n 8 -rtr 1"},
		{ik, test{kind: generate, tokens: 8, depth: 5}, "p -m m -t 2 -r 1 -o json -p 0 -n 0 -gp 5,8 -rtr 1"},
		{ik, test{kind: load, tokens: 1}, "p -m m -t 2 -r 1 -o json -p 1 -n 0 -w 0 -rtr 1"},
	} {
		assert.Equal(t, c.want, strings.Join(c.engine.command("m", 2, c.test), " "))
	}
	unknown := engine{name: "p", path: "p"}
	_, err := unknown.run(context.Background(), time.Minute, "m", 2, test{kind: generate, tokens: 8, depth: 5})
	assert.ErrorContains(t, err, "no flag for generation after a context")
}

func TestParse(t *testing.T) {
	p8, g8 := test{kind: prompt, tokens: 8}, test{kind: generate, tokens: 8, depth: 5}
	for _, c := range []struct {
		output  string
		test    test
		samples int
		err     string
	}{
		{``, p8, 1, "no JSON array"},
		{`[`, p8, 1, "no array of results"},
		{`[]`, p8, 1, "no result of 8 prompt and 0 generated tokens"},
		{`[{"n_prompt": 9, "n_gen": 0, "samples_ts": [1]}]`, p8, 1, "no result of 8 prompt"},
		{`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [1, 2]}]`, p8, 1, "with 1 samples"},
		{`[{"n_prompt": 8, "n_gen": 0, "n_depth": 5, "samples_ts": [1]}]`, p8, 1, "no result of 8 prompt"},
		{`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [0]}]`, p8, 1, "it reports 0"},
		{`[{"n_prompt": 0, "n_gen": 8, "samples_ts": [1]}]`, g8, 1, "after 5"},
		{`[{"n_prompt": 4, "n_gen": 8, "samples_ts": [1]}]`, g8, 1, "after 5"},
	} {
		_, err := parseLlamaBench([]byte(c.output), c.test, c.samples)
		assert.ErrorContains(t, err, c.err, c.output)
	}
	for _, c := range []struct {
		output  string
		test    test
		samples int
	}{
		{`[{"n_prompt": 8, "n_gen": 0, "n_depth": 0, "samples_ts": [3]}]`, p8, 1},
		{"build: 1\n[{\"n_prompt\": 8, \"n_gen\": 0, \"samples_ts\": [1, 3]}]", p8, 2},
		{`[{"n_prompt": 0, "n_gen": 8, "n_depth": 5, "samples_ts": [3]}]`, g8, 1},      // llama.cpp
		{`[{"n_prompt": 5, "n_gen": 8, "test": "tg8@pp5", "samples_ts": [3]}]`, g8, 1}, // ik_llama.cpp
	} {
		m, err := parseLlamaBench([]byte(c.output), c.test, c.samples)
		require.NoError(t, err, c.output)
		assert.Equal(t, 3.0, m.value)
	}
	for _, c := range []struct{ output, err string }{
		{``, "no document"},
		{`{"prompt_tps": null}`, "no speed of prompt"},
		{`{"prompt_tps": -1}`, "it reports -1"},
		{`{"prompt_tps": 1, "generate_depth": 5}`, "after a context of 5, not 0"},
	} {
		_, err := parseLimbic([]byte(c.output), p8)
		assert.ErrorContains(t, err, c.err, c.output)
	}
}

// Whatever an engine prints, a measurement is a positive number.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [1.5]}]`))
	f.Add([]byte(`{"prompt_tps": 3}`))
	llama := func(data []byte, t test) (measurement, error) { return parseLlamaBench(data, t, 1) }
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte, test) (measurement, error){parseLimbic, llama} {
			if m, err := parse(data, test{kind: prompt, tokens: 8}); err == nil && !(m.value > 0) {
				t.Fatalf("%v tokens per second", m.value)
			}
		}
	})
}
