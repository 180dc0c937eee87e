package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/internal/fakehub"
)

// ownHub makes a Hub that has the example model, and empty caches.
func ownHub(t *testing.T) *fakehub.Hub {
	t.Helper()
	h := fakehub.New()
	t.Cleanup(h.Close)
	model, err := os.ReadFile(exampleModel)
	require.NoError(t, err)
	files := map[string][]byte{"m-q4_k_m.gguf": model, "m-Q8_0.gguf": model}
	for _, name := range []string{"Qwen/Qwen2.5-0.5B-Instruct-GGUF", "bartowski/SmolLM2-135M-Instruct-GGUF"} {
		h.Put(name, &fakehub.Repo{Commit: strings.Repeat("1", 40), Files: files})
	}
	dir := t.TempDir()
	for name, value := range map[string]string{
		"HF_ENDPOINT": h.API.URL, "HF_HOME": filepath.Join(dir, "hf"), "HF_HUB_CACHE": "", "HF_TOKEN": "", "HF_HUB_OFFLINE": "",
		"HF_TOKEN_PATH": "", "OLLAMA_MODELS": filepath.Join(dir, "ollama"), "LIMBIC_CACHE": filepath.Join(dir, "limbic"), "HOME": dir,
	} {
		t.Setenv(name, value)
	}
	return h
}

func TestPull(t *testing.T) {
	h := ownHub(t)
	const ref = "hf.co/Qwen/Qwen2.5-0.5B-Instruct-GGUF"
	r := limbic("info", ref)
	r.fails(t, exitFailed, "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "not on this machine", "limbic pull Qwen/Qwen2.5-0.5B-Instruct-GGUF fetches it")
	assert.Empty(t, h.Requests(), "info fetched something")

	got := okJSON[pullResult](t, "pull", ref)
	model, err := os.ReadFile(exampleModel)
	require.NoError(t, err)
	assert.Equal(t, "Qwen/Qwen2.5-0.5B-Instruct-GGUF/m-q4_k_m.gguf", got.Name)
	assert.Equal(t, int64(len(model)), got.Fetched)
	assert.Equal(t, fakehub.SHA256(model), got.Files[0].SHA256)
	assert.NotEmpty(t, got.Provenance.Limbic)
	assert.Contains(t, ok(t, "pull", ref), "was here already")
	h.Requests()

	for _, name := range []string{ref, got.Name, "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", got.Path} {
		info := okJSON[infoResult](t, "info", name)
		assert.Equal(t, fakehub.SHA256(model), info.SHA256)
	}
	assert.Contains(t, ok(t, "tokenize", ref, "a"), "a")
	list := okJSON[modelsResult](t, "models")
	require.Len(t, list.Models, 2)
	assert.Equal(t, "demo", list.Models[0].Name)
	assert.Positive(t, list.Models[0].Size)
	assert.Equal(t, got.Name, list.Models[1].Name)
	assert.Equal(t, got.Path, list.Models[1].Path)
	assert.Contains(t, ok(t, "models"), got.Name)
	assert.Empty(t, h.Requests(), "something was fetched that nobody asked for")

	assert.Contains(t, ok(t, "pull", exampleModel), "is here already")
}

// TestPullExamples runs the examples in the help.
func TestPullExamples(t *testing.T) {
	ownHub(t)
	for _, line := range strings.Split(newPull(&app{}).Example, "\n") {
		cmd := exec.Command("sh", "-c", "limbic() { "+asLimbic+"=1 '"+testBinary(t)+"' \"$@\"; }; set -e\n"+line)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, out)
		assert.NotEmpty(t, out)
	}
}

func TestPullErrors(t *testing.T) {
	ownHub(t)
	limbic("pull").fails(t, exitUsage, "REF is missing")
	limbic("pull", "a/b", "c").fails(t, exitUsage, `unexpected argument "c"`)
	limbic("pull", "model").fails(t, exitUsage, `"model"`, "is not owner/repo")
	limbic("pull", "models/none.gguf").fails(t, exitUsage, "looks like a path, but there is no such file")
	limbic("pull", "owner/none").fails(t, exitFailed, "there is no repository owner/none", "HF_TOKEN")
	limbic("pull", "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q2_K").fails(t, exitFailed, "tag Q2_K; there is ", "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M (")
	limbic("pull", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "--sha256", "12").fails(t, exitUsage, `"12" is not 64 hexadecimal digits`)
	limbic("pull", "owner/repo", "--sha256", "").fails(t, exitUsage, "--sha256 is empty")
	limbic("pull", "owner/repo", "--sha256", strings.Repeat("0", 64)).fails(t, exitUsage, "only for a plain address")
	limbic("pull", "https://localhost:1/m-00001-of-00002.gguf", "--sha256", strings.Repeat("0", 64)).fails(t, exitUsage, "in several parts")
	limbic("pull", "owner/repo:Q8_0", "--safetensors").fails(t, exitUsage, "a model in safetensors is a whole repository")
	limbic("info", "./none/none").fails(t, exitFailed, "no such file")
	limbic("info", "http://localhost:1/m.gguf").fails(t, exitFailed, "limbic pull with this address fetches it")
	t.Setenv("HF_ENDPOINT", "x")
	limbic("pull", "owner/none").fails(t, exitFailed, "HF_ENDPOINT")
}

func TestPullInterrupted(t *testing.T) {
	h := ownHub(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	release := make(chan struct{})
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if "http://"+r.Host != h.Contents.URL {
			return false
		}
		cancel()
		<-release
		return true
	})
	r := limbicIn(ctx, "", "pull", "Qwen/Qwen2.5-0.5B-Instruct-GGUF")
	close(release)
	r.fails(t, exitInterrupted, "interrupted with 0 B of", "here; the same command goes on from there")
	assert.Empty(t, r.stdout)
}
