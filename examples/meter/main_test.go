package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama/chat"
)

const (
	otherModel   = "../../testdata/models/quant-q4_k_m.gguf"
	otherVectors = "../../testdata/vectors/quant-q4_k_m.safetensors"
)

// The README shows the function meter as it stands here.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## In your own program\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	_, code, found := strings.Cut(section, "```go\n")
	require.True(t, found)
	code, _, found = strings.Cut(code, "```\n")
	require.True(t, found)
	require.Contains(t, code, "func meter(")
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Contains(t, string(source), code)
}

func TestRun(t *testing.T) {
	other := []string{"-model", otherModel, "-vectors", otherVectors}
	for _, c := range []struct {
		name  string
		args  []string
		in    string
		lines []string // with who speaks
		bars  []string
		of    string
	}{
		{name: "nothing to read", lines: []string{"user: My dog", "assistant: I am so sorry", "user: Wait", "assistant: Oh"}, bars: shown, of: "171"},
		{name: "lines in turn, blank ones aside", in: "Hi.\n\nHow are you?\n  \nI am fine.", lines: []string{"user: Hi.", "assistant: How are you?", "user: I am fine."}, bars: shown, of: "171"},
		{name: "another model", args: other, in: "Hi.\n", lines: []string{"user: Hi."}, bars: []string{"calm", "desperate", "happy"}, of: "4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, run(c.args, strings.NewReader(c.in), &out))
			blocks := strings.Split(strings.TrimSuffix(out.String(), "\n\n"), "\n\n")
			require.Len(t, blocks, len(c.lines))
			for i, b := range blocks {
				require.True(t, strings.HasPrefix(b, c.lines[i]), b)
				require.Equal(t, len(c.bars), strings.Count(b, "│"), "one bar for each emotion that the vectors have")
				for _, name := range c.bars {
					require.Regexp(t, `\n  `+name+` +[+-]0\.\d{3} [ █]{12}│`, b)
				}
				require.Regexp(t, `\n  highest of `+c.of+`: [a-z -]+ [+-]0\.\d{3}$`, b)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		err  string
	}{
		{[]string{"-model", otherModel}, "-vectors"},
		{[]string{"-vectors", otherVectors}, "-model"},
		{[]string{"-model", "none.gguf", "-vectors", otherVectors}, "none.gguf"},
		{[]string{"-model", otherModel, "-vectors", "none.safetensors"}, "none.safetensors"},
		{[]string{"-model", "../../testdata/models/quant-q4_0.gguf", "-vectors", otherVectors}, "model_sha256"},
	} {
		require.ErrorContains(t, run(c.args, strings.NewReader("Hi."), &strings.Builder{}), c.err)
	}
}

// A line is read behind those before it, and does not know those after it.
func TestLinesAreOneConversation(t *testing.T) {
	model, err := demo.Model()
	require.NoError(t, err)
	defer model.Close()
	vectors, err := demo.Vectors()
	require.NoError(t, err)
	scores := func(text string) (all [][]float64) {
		require.NoError(t, meter(t.Context(), model, vectors, strings.NewReader(text), func(_ chat.Message, emotions []string, s []float64) error {
			require.Len(t, s, len(emotions))
			all = append(all, append([]float64(nil), s...))
			return nil
		}))
		return all
	}
	both := scores("Hi.\nHello there.\n")
	require.Equal(t, scores("Hi.\n")[0], both[0])
	require.NotEqual(t, both[0], both[1])
	require.NotEqual(t, scores("Oh no!\nHello there.\n")[1], both[1], "the second line is read without the first")
}

func TestBar(t *testing.T) {
	for score, want := range map[float64]string{
		0:     "            │",
		0.05:  "            │██",
		0.3:   "            │████████████",
		2:     "            │████████████",
		-0.05: "          ██│",
		-2:    "████████████│",
	} {
		require.Equal(t, want, bar(score))
	}
}
