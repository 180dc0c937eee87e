package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		json.NewEncoder(os.Stdout).Encode(map[string]any{
			"prompt_tps": tps("--prompt", 200), "generate_tps": tps("--gen", 40), "extract_tps": tps("--texts", 300),
			"limits":     []int{},
			"provenance": map[string]any{"limbic": "0.1", "kernels": "avx512", "precision": "exact"},
		})
	},
	"fake-llama": func(args []string) {
		speed := 100.0
		if argument(args, "-p") == "0" {
			speed = 20
		}
		fmt.Printf("a line that some builds print\n[\n  {\n    \"build_commit\": \"abc\",\n    \"build_number\": 7,\n"+
			"    \"n_prompt\": %s,\n    \"n_gen\": %s,\n    \"samples_ns\": [ 1 ],\n    \"samples_ts\": [ %v ]\n  }\n]\n",
			argument(args, "-p"), argument(args, "-n"), speed)
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
		"-limbic", "limbic=" + self(t) + " fake-limbic", "-peer", "llama=" + self(t) + " fake-llama",
		"-prompt", "8,16", "-gen", "4", "-texts", "2", "-text-tokens", "12", "-rounds", "3", "-json", out,
	}, quick...)
	require.NoError(t, run(context.Background(), append(args, model(t)), &stdout, &stderr), stderr.String())
	text := stdout.String()
	for _, s := range []string{
		"memory read, 1 thread: ", "memory read, 2 threads: ", "float32 peak, 2 threads: ", "tiny.gguf, 2 threads",
		"pp8 ", "pp16 ", "tg4 ", "ex12 ", "200 (200–200)", "2.00 (2.00–2.00)", "% of memory read", "nothing is read",
	} {
		assert.Contains(t, text, s)
	}
	var r report
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	require.Len(t, r.Groups, 1)
	g := r.Groups[0]
	require.Len(t, g.Rows, 8)
	assert.Len(t, g.Memory.Samples, 3*4, "one before each round of each test")
	for i, row := range g.Rows {
		assert.Len(t, row.Rounds, 3)
		if i%2 == 0 {
			assert.Equal(t, "limbic", row.Engine)
			assert.Equal(t, "0.1 avx512 exact", row.Build)
			assert.Equal(t, 1.0, row.Ratio.Median)
		} else {
			assert.Equal(t, "abc (7)", row.Build)
		}
	}
	assert.Equal(t, 3.0, g.Rows[7].Ratio.Median) // extraction, 300 against a prompt's 100
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
		"-peer", "slow=" + self(t) + " fake-slow", "-prompt", "8", "-gen", "0", "-texts", "0", "-rounds", "1", "-timeout", "50ms",
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
		{"-limbic a=b -threads 1,x m", `"x" is no positive number`},
		{"-limbic a=b -prompt -3 m", `"-3" is no positive number`},
		{"-limbic a=b -prompt 0 -gen 0 -texts 0 m", "nothing to measure"},
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
	llama := engine{name: "p", path: "p", args: []string{"-rtr", "1"}}
	for _, c := range []struct {
		engine engine
		test   test
		want   string
	}{
		{limbic, test{kind: prompt, tokens: 8}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 8 --gen 0 --texts 0 --precision fast"},
		{limbic, test{kind: generate, tokens: 8}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 0 --gen 8 --texts 0 --precision fast"},
		{limbic, test{extract, 9, 3}, "l bench m --json --limits=false --repeat 1 --threads 2 --prompt 0 --gen 0 --texts 3 --text-tokens 9 --precision fast"},
		{llama, test{kind: prompt, tokens: 8}, "p -m m -t 2 -r 1 -o json -p 8 -n 0 -rtr 1"},
		{llama, test{kind: generate, tokens: 8}, "p -m m -t 2 -r 1 -o json -p 0 -n 8 -rtr 1"},
		{llama, test{extract, 9, 3}, "p -m m -t 2 -r 1 -o json -p 9 -n 0 -rtr 1"},
	} {
		assert.Equal(t, c.want, strings.Join(c.engine.command("m", 2, c.test), " "))
	}
}

func TestParse(t *testing.T) {
	p8 := test{kind: prompt, tokens: 8}
	for _, c := range []struct{ output, err string }{
		{``, "no JSON array"},
		{`[`, "no array of results"},
		{`[]`, "no result of 8 prompt and 0 generated tokens"},
		{`[{"n_prompt": 9, "n_gen": 0, "samples_ts": [1]}]`, "no result of 8 prompt"},
		{`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [1, 2]}]`, "with one sample"},
		{`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [0]}]`, "it reports 0"},
	} {
		_, err := parseLlamaBench([]byte(c.output), p8)
		assert.ErrorContains(t, err, c.err, c.output)
	}
	for _, c := range []struct{ output, err string }{
		{``, "no document"},
		{`{"prompt_tps": null}`, "no speed of prompt"},
		{`{"prompt_tps": -1}`, "it reports -1"},
	} {
		_, err := parseLimbic([]byte(c.output), p8)
		assert.ErrorContains(t, err, c.err, c.output)
	}
}

// Whatever an engine prints, a measurement is a positive number.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"n_prompt": 8, "n_gen": 0, "samples_ts": [1.5]}]`))
	f.Add([]byte(`{"prompt_tps": 3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte, test) (measurement, error){parseLimbic, parseLlamaBench} {
			if m, err := parse(data, test{kind: prompt, tokens: 8}); err == nil && !(m.tps > 0) {
				t.Fatalf("%v tokens per second", m.tps)
			}
		}
	})
}
