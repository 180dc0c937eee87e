package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The demonstration is the commands that it is made of: its results are theirs.
func TestDemo(t *testing.T) {
	slowInPlainGo(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	args := []string{"demo", testModel, "--emotions", "afraid,calm,desperate,happy", "--topics", "sea", "--out", dir}
	r := okJSON[demoResult](t, args...)
	require.Equal(t, filepath.Join(dir, "report.html"), r.Report)
	for name, doc := range map[string]string{"vectors": string(r.Vectors), "probe": string(r.Probe), "steer": string(r.Steer)} {
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		require.NoError(t, err)
		require.JSONEq(t, doc, string(b))
	}
	built := decode[vectorsBuildResult](t, string(r.Vectors)+"\n")
	require.Equal(t, built.MeansSHA256, r.MeansSHA256)
	require.Equal(t, 4, built.Emotions)
	probed := decode[probeResult](t, string(r.Probe)+"\n")
	require.Equal(t, demoText, *probed.Text)
	steered := decode[steerResult](t, string(r.Steer)+"\n")
	require.Len(t, steered.Rows, 5)
	page, err := os.ReadFile(r.Report)
	require.NoError(t, err)
	require.Contains(t, string(page), "<html")

	// The same again, told to a person.
	text := ok(t, args...)
	for _, part := range []string{r.MeansSHA256, "1. Emotion vectors", "2. A text", "3. The same prompt", "[control] random-1 +0.3", "report.html"} {
		require.Contains(t, text, part)
	}

	// An emotion that the steps need is missing.
	limbic("demo", testModel, "--emotions", "calm", "--topics", "sea", "--out", dir).fails(t, exitFailed, "afraid")
	limbic("demo", testModel, "--out", "").fails(t, exitUsage, "--out is empty")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	limbic("demo", testModel, "--out", file).fails(t, exitFailed, file)
}
