package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/llama/gguf"
	"github.com/limbic-go/limbic/tensor"
)

// asLimbic makes the test binary be limbic, for tests that need a process.
const asLimbic = "LIMBIC_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asLimbic) != "" {
		main()
	}
	// Paths, those in examples included, are relative to the repository.
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	testModel = exampleModel
	tiedModel = "testdata/models/llama-tied-ropescaled-mqa-f32.gguf"
)

// slowInPlainGo leaves a test out of short runs, where it would take minutes
// without assembly. What it covers of the engine, faster tests cover too.
func slowInPlainGo(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes in plain Go")
	}
}

// testBinary is the test binary.
func testBinary(t *testing.T) string {
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// shared gives a file of the test material that may lie beside the checkout.
func shared(t *testing.T, name string) string {
	path := filepath.Join("..", "shared", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no shared test material: %v", err)
	}
	return path
}

// A result is what a command line did.
type result struct {
	status         int
	stdout, stderr string
}

func limbicIn(ctx context.Context, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

func limbic(args ...string) result { return limbicIn(context.Background(), "", args...) }

// ok runs a command line that must succeed without a word on standard error.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := limbic(args...)
	require.Equal(t, 0, r.status, "%q: %s", args, r.stderr)
	require.Empty(t, r.stderr, "%q", args)
	return r.stdout
}

// okJSON runs a command line with --json and decodes the one document.
func okJSON[T any](t *testing.T, args ...string) T {
	t.Helper()
	return decode[T](t, ok(t, append(args, "--json")...))
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	require.NoError(t, d.Decode(&v), text)
	_, err := d.Token()
	require.Equal(t, io.EOF, err, "more than one document: %s", text)
	require.True(t, strings.HasSuffix(text, "}\n"))
	return v
}

// fails checks that a command failed with one line that has all the parts.
func (r result) fails(t *testing.T, status int, parts ...string) {
	t.Helper()
	assert.Equal(t, status, r.status, r.stderr)
	line, rest, _ := strings.Cut(r.stderr, "\n")
	assert.True(t, strings.HasPrefix(line, "limbic: "), r.stderr)
	assert.Empty(t, rest, "more than one line")
	if status == exitUsage {
		assert.Regexp(t, ` \(see 'limbic.* --help'\)$`, line)
	}
	for _, p := range parts {
		assert.Contains(t, line, p)
	}
	assert.NotContains(t, r.stdout, "Usage:")
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args  string // separated by |
		parts string // of the message, separated by |
	}{
		{"foo", `unknown command "foo"`},
		{"toknize", `"toknize"|did you mean tokenize?`},
		{"--nonsense", "unknown flag: --nonsense"},
		{"help|foo", `unknown command "foo"`},
		{"version|x", `unexpected argument "x"`},
		{"info", "MODEL is missing"},
		{"info|a|b", `unexpected argument "b"`},
		{"tokenize", "MODEL is missing"},
		{"tokenize|m", "TEXT is missing"},
		{"tokenize|m|a|b", `unexpected argument "b"`},
		{"tokenize|m|a|--file|f", `TEXT "a"|--file "f"`},
		{"tokenize|m|--file=", "--file names no file"},
		{"tokenize|m|--file", "--file"},
		{"tokenize|m|-x", "-x|goes after --"},
		{"logits|m|t|--top|x", `"x"|--top|invalid syntax`},
		{"logits|m|t|--top|-1", "--top -1"},
		{"logits|m|t|--out=", "--out"},
		{"logits|m|t|--precision|best", `unknown precision "best"|exact, probe, fast`},
		{"logits|m|t|--kv|f8", `unknown type of keys and values "f8"|f32, f16`},
		{"logits|" + testModel + "|t|--threads|-2", "--threads -2"},
		{"logits|" + testModel + "|t|--threads|1000000", "--threads 1000000"},
		{"trace|m|t", "--out is missing"},
		{"trace|m|t|--out|f.txt", `"f.txt"|.npz`},
		{"trace|m|t|--out|f.npz|--sites=", "--sites"},
		{"trace|" + testModel + "|t|--out|f.npz|--sites|-1", `--sites|"-1"`},
		{"perplexity|m|t|--context|1", "--context 1"},
		{"perplexity|" + testModel + "|t|--context|4000", "--context 4000|2048"},
		{"logits|m|t|--context|-1", "--context -1"},
		{"generate|" + testModel + "|t|--context|4000", "--context 4000|2048"},
		{"logits|testdata/hf/phi3|t|--context|65", "--context 65|64, stretched"},
		{"generate|m|t|--max-tokens|-1", "--max-tokens -1"},
		{"generate|m|t|--n|0", "--n 0"},
		{"generate|m|t|--stop|", "--stop"},
		{"generate|m|t|--temp|nan", "temperature NaN"},
		{"generate|m|t|--temp|-1", "temperature -1"},
		{"generate|m|t|--top-p|2", "top-p 2"},
		{"generate|m|t|--min-p|-0.5", "min-p -0.5"},
		{"generate|m|t|--top-k|-3", "top-k -3"},
		{"generate|m|t|--repeat-penalty|-3", "penalty -3"},
		{"generate|m|t|--seed|-1", `"-1"|--seed`},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := limbic(strings.Split(c.args, "|")...)
			r.fails(t, exitUsage, strings.Split(c.parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	file := func(name, data string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(data), 0o644))
		return path
	}
	model, err := os.ReadFile(testModel)
	require.NoError(t, err)
	header := file("header.gguf", string(model[:4000]))
	weights := file("weights.gguf", string(model[:len(model)-100]))
	text := file("not-a-model.gguf", "hello, world")
	for _, c := range []struct {
		args  string
		parts string
	}{
		{"info|" + dir + "/none.gguf", "none.gguf|no such file|.gguf"},
		{"info|demonstration", `"demonstration"|no such file|.gguf|limbic models`},
		{"info|" + dir, dir + "|folder"},
		{"info|" + text, text + "|not a GGUF file"},
		{"info|" + header, header + "|tokenizer.ggml.tokens"},
		{"tokenize|" + header + "|x", header + "|tokenizer.ggml.tokens"},
		{"logits|" + weights + "|x", weights},
		{"tokenize|" + testModel + "|--file|" + dir + "/none.txt", "none.txt|no such file"},
		{"tokenize|" + testModel + "|--file|" + dir, dir + "|directory"},
		{"logits|" + testModel + "||--no-bos", "empty"},
		{"generate|" + testModel + "||--no-bos", "empty"},
		{"logits|" + testModel + "|" + strings.Repeat("hello ", 3000), "2,048"},
		{"logits|" + testModel + "|hello hello|--context|2", "--context 2 holds no more"},
		{"logits|testdata/hf/phi3|" + strings.Repeat("the cat ", 20), "holds 32, and --context up to 64"},
		{"trace|" + testModel + "|x|--out|" + dir + "/none/t.npz", "none/t.npz|no such file"},
		{"logits|" + testModel + "|x|--out|" + dir + "/none/t.npy", "none/t.npy|no such file"},
		{"logits|" + testModel + "|x|--out|" + dir, dir + "|folder"},
		{"logits|" + testModel + "|x|--out|" + text + "/t.npy", "t.npy"},
		{"perplexity|" + testModel + "|", "too short"},
		{"perplexity|" + testModel + "|a b|--context|2|--no-bos", "too short"},
	} {
		t.Run(c.args[:min(len(c.args), 100)], func(t *testing.T) {
			r := limbic(strings.Split(c.args, "|")...)
			r.fails(t, exitFailed, strings.Split(c.parts, "|")...)
			assert.Empty(t, r.stdout)
		})
	}
}

func TestUnsupportedArchitecture(t *testing.T) {
	limbic("logits", foreignModel(t), "x").fails(t, exitFailed, "rwkv9", "not supported", "supported: gemma2")
}

// foreignModel writes a sound file of an architecture that limbic does not have.
func foreignModel(t *testing.T) string {
	var b bytes.Buffer
	require.NoError(t, gguf.Encode(&b, []gguf.KV{
		{Key: "general.architecture", Value: gguf.Scalar("rwkv9")},
		{Key: "rwkv9.block_count", Value: gguf.Scalar(uint32(3))},
		{Key: "rwkv9.embedding_length", Value: gguf.Scalar(uint32(128))},
		{Key: "rwkv9.attention.head_count", Value: gguf.Scalar(uint32(4))},
	}, []gguf.TensorData{{Name: "output_norm.weight", Type: tensor.F32, Dims: []int{1}, Data: make([]byte, 4)}}, gguf.EncodeOptions{}))
	path := filepath.Join(t.TempDir(), "foreign.gguf")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

// TestExamples runs every example of every command as it stands.
func TestExamples(t *testing.T) {
	slowInPlainGo(t)
	a := &app{stdout: &output{w: io.Discard}, stderr: io.Discard}
	var commands []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, c := range c.Commands() {
			if c.Name() != "help" && c.Name() != "completion" {
				commands = append(commands, c)
				walk(c)
			}
		}
	}
	walk(a.root())
	require.NotEmpty(t, commands)
	for _, c := range commands {
		t.Run(c.CommandPath(), func(t *testing.T) {
			if c.HasSubCommands() {
				return
			}
			require.NotEmpty(t, c.Long)
			lines := strings.Split(c.Example, "\n")
			assert.GreaterOrEqual(t, len(lines), 2)
			assert.LessOrEqual(t, len(lines), 3)
			if c.Name() == "pull" {
				lines = nil // TestPullExamples runs them, with a Hub of its own
			}
			for _, line := range lines {
				cmd := exec.Command("sh", "-c", "limbic() { "+asLimbic+"=1 '"+testBinary(t)+"' \"$@\"; }; set -e\n"+line)
				out, err := cmd.CombinedOutput()
				assert.NoError(t, err, "%s\n%s", line, out)
				assert.NotEmpty(t, out)
			}
			help := ok(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			assert.Contains(t, help, "Examples:")
			assert.Contains(t, help, exampleModelOr(c))
		})
	}
}

// exampleModelOr is what a command's help must show.
func exampleModelOr(c *cobra.Command) string {
	switch c.Name() {
	case "version":
		return "limbic version --json"
	case "models":
		return "limbic models --json"
	case "pull":
		return "limbic pull Qwen/"
	case "convert":
		return exampleFolder
	}
	if c.Parent().Name() == "vectors" {
		if c.Name() == "show" {
			return exampleVectors
		}
		return vectorsModel
	}
	return exampleModel
}

func TestHelp(t *testing.T) {
	help := ok(t)
	assert.Contains(t, help, "Usage:")
	assert.Equal(t, help, ok(t, "--help"))
	assert.Equal(t, help, ok(t, "help"))
	assert.Equal(t, ok(t, "info", "--help"), ok(t, "help", "info"))
	for _, c := range []string{"version", "info", "tokenize", "logits", "trace", "perplexity", "generate", "steer"} {
		assert.Contains(t, help, "\n  "+c+" ")
	}
	assert.Equal(t, "limbic version "+version+"\n", ok(t, "--version"))
}

func TestGroup(t *testing.T) {
	child := &cobra.Command{Use: "build", RunE: func(*cobra.Command, []string) error { return nil }}
	group := newGroup("vectors", "all about vectors", child)
	root := &cobra.Command{Use: "limbic", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(group)
	var out bytes.Buffer
	root.SetOut(&out)
	for args, want := range map[string]string{"build": "", "": "", "bild --x": `unknown command "bild" (did you mean build?)`} {
		root.SetArgs(append([]string{"vectors"}, strings.Fields(args)...))
		err := root.Execute()
		if want == "" {
			assert.NoError(t, err)
			continue
		}
		var usage usageError
		require.ErrorAs(t, err, &usage)
		assert.Equal(t, want, err.Error())
	}
	assert.Contains(t, out.String(), "all about vectors")
}

func TestFlagsAnywhere(t *testing.T) {
	want := ok(t, "tokenize", testModel, "a b", "--no-bos", "--json")
	for _, args := range [][]string{
		{"tokenize", "--no-bos", testModel, "--json", "a b"},
		{"--json", "tokenize", testModel, "a b", "--no-bos"},
		{"--no-bos", "--json", "tokenize", testModel, "a b"},
		{"tokenize", "--json", "--no-bos", "--", testModel, "a b"},
	} {
		assert.Equal(t, want, ok(t, args...), "%q", args)
	}
	r := decode[tokenizeResult](t, ok(t, "tokenize", "--json", testModel, "--", "--no-bos"))
	assert.Equal(t, len("--no-bos"), r.Tokens[len(r.Tokens)-1].End)
}

func TestStandardOutputFails(t *testing.T) {
	run2 := func(err error, args ...string) result {
		var stderr bytes.Buffer
		status := run(context.Background(), args, strings.NewReader(""), failingWriter{err}, &stderr)
		return result{status, "", stderr.String()}
	}
	for _, args := range [][]string{
		{},
		{"version"},
		{"version", "--json"},
		{"info", testModel},
		{"tokenize", testModel, "x"},
		{"logits", testModel, "x"},
		{"perplexity", testModel, "some words"},
		{"generate", testModel, "x", "--max-tokens", "8"},
		{"generate", testModel, "x", "--max-tokens", "8", "--n", "2"},
		{"generate", testModel, "x", "--max-tokens", "8", "--json"},
	} {
		run2(syscall.ENOSPC, args...).fails(t, exitFailed, "standard output", "no space left")
		r := run2(&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, args...)
		assert.Equal(t, result{exitFailed, "", ""}, r, "%q", args)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestStandardInputFails(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := run(context.Background(), []string{"tokenize", testModel, "-"}, failingReader{}, &stdout, &stderr)
	result{status, stdout.String(), stderr.String()}.fails(t, exitFailed, "standard input", "broken")
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// A countdown is a context that ends when it has been asked often enough.
type countdown struct {
	context.Context
	left atomic.Int64
}

func endAfter(n int64) *countdown {
	c := &countdown{Context: context.Background()}
	c.left.Store(n)
	return c
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestInterrupt(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"info", testModel},
		{"tokenize", testModel, "x", "--json"},
		{"logits", testModel, "x"},
		{"logits", testModel, "x", "--out", filepath.Join(dir, "l.npy")},
		{"trace", testModel, "x", "--out", filepath.Join(dir, "t.npz")},
		{"perplexity", testModel, "some words"},
		{"generate", testModel, "x"},
		{"generate", testModel, "x", "--json"},
	} {
		r := limbicIn(ended, "", args...)
		r.fails(t, exitInterrupted, "interrupted")
	}
	// A read that never returns must not hold up the end.
	hanging, w := io.Pipe()
	defer w.Close()
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitInterrupted, run(ended, []string{"tokenize", testModel, "-"}, hanging, &stdout, &stderr))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "files were left behind")
}

func TestInterruptKeepsWhatWasDone(t *testing.T) {
	full := okJSON[generateResult](t, "generate", testModel, "x", "--max-tokens", "40", "--ignore-eos")
	r := limbicIn(endAfter(20), "", "generate", testModel, "x", "--max-tokens", "40", "--ignore-eos", "--json")
	r.fails(t, exitInterrupted, "interrupted after", "new tokens")
	part := decode[generateResult](t, r.stdout)
	assert.True(t, part.Interrupted)
	assert.Equal(t, finishInterrupted, part.Finish)
	require.NotEmpty(t, part.Tokens)
	require.Less(t, len(part.Tokens), 40)
	assert.Equal(t, full.Tokens[:len(part.Tokens)], part.Tokens)
	assert.NotEmpty(t, part.Provenance.ModelSHA256)

	r = limbicIn(endAfter(12), "", "perplexity", testModel, "--file", "LICENSE", "--context", "32", "--json")
	r.fails(t, exitInterrupted, "interrupted after", "scored tokens")
	p := decode[perplexityResult](t, r.stdout)
	assert.True(t, p.Interrupted)
	assert.Greater(t, p.Tokens, 1)
}

func TestKernelsEnvironment(t *testing.T) {
	cmd := exec.Command(testBinary(t), "version")
	cmd.Env = append(os.Environ(), asLimbic+"=1", "LIMBIC_KERNELS=fast")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}.fails(t, exitUsage, "LIMBIC_KERNELS=fast")

	cmd = exec.Command(testBinary(t), "version", "--json")
	cmd.Env = append(os.Environ(), asLimbic+"=1", "LIMBIC_KERNELS=generic")
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "generic", decode[versionResult](t, string(out)).Kernels)
}

func TestOneLine(t *testing.T) {
	assert.Equal(t, "a b c", oneLine("a\nb\x1bc\n"))
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		assert.Equal(t, want, grouped(n))
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 20: "1.5 GiB"} {
		assert.Equal(t, want, byteSize(n))
	}
	assert.Equal(t, "1 token", counted(1, "token"))
	assert.Equal(t, "0 tokens", counted(0, "token"))
}

func TestJSONRefusesNaN(t *testing.T) {
	var b bytes.Buffer
	a := &app{stdout: &output{w: &b}}
	zero := 0.0
	assert.ErrorContains(t, a.writeJSON(map[string]float64{"x": zero / zero}), "NaN")
	assert.Empty(t, b.String())
}
