package hub

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
}

func TestDefaultStore(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS", "LIMBIC_CACHE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	at := func(parts ...string) string { return filepath.Join(append([]string{home}, parts...)...) }
	s := DefaultStore()
	assert.Equal(t, at(".cache", "huggingface", "hub"), s.HubCache)
	assert.Equal(t, []string{at(".lmstudio", "models"), at(".cache", "lm-studio", "models")}, s.LMStudio)
	assert.Equal(t, at(".ollama", "models"), s.Ollama[0])
	assert.NotEmpty(t, s.Addresses)

	t.Setenv("XDG_CACHE_HOME", at("xdg"))
	assert.Equal(t, at("xdg", "huggingface", "hub"), DefaultStore().HubCache)
	t.Setenv("HF_HOME", "~/hf")
	assert.Equal(t, at("hf", "hub"), DefaultStore().HubCache)
	t.Setenv("HF_HOME", "${HOME}/$LIMBIC_NO_SUCH_VARIABLE")
	assert.Equal(t, at("$LIMBIC_NO_SUCH_VARIABLE", "hub"), DefaultStore().HubCache)
	t.Setenv("HF_HUB_CACHE", at("cache"))
	t.Setenv("OLLAMA_MODELS", at("o"))
	t.Setenv("LIMBIC_CACHE", at("l"))
	write(t, at(".lmstudio-home-pointer"), at("studio")+"\n")
	s = DefaultStore()
	assert.Equal(t, at("cache"), s.HubCache)
	assert.Equal(t, []string{at("o")}, s.Ollama)
	assert.Equal(t, at("l"), s.Addresses)
	assert.Equal(t, at("studio", "models"), s.LMStudio[0])
}

func TestNewClient(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", home)
	client := func() *Client {
		c, err := NewClient()
		require.NoError(t, err)
		return c
	}
	assert.Equal(t, DefaultEndpoint, client().Endpoint)
	assert.Empty(t, client().Token)
	write(t, filepath.Join(home, "token"), "hf_file\n")
	assert.Equal(t, "hf_file", client().Token)
	t.Setenv("HF_TOKEN", " hf_variable\n")
	assert.Equal(t, "hf_variable", client().Token)
	t.Setenv("HF_ENDPOINT", "https://mirror.example/")
	t.Setenv("HF_HUB_OFFLINE", "1")
	assert.Equal(t, "https://mirror.example", client().Endpoint)
	assert.True(t, client().Offline)
	t.Setenv("HF_HUB_OFFLINE", "")
	assert.False(t, client().Offline)
	t.Setenv("TRANSFORMERS_OFFLINE", "1") // means the same
	assert.True(t, client().Offline)
	t.Setenv("HF_HUB_OFFLINE", "0")
	assert.False(t, client().Offline)
	t.Setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "true")
	assert.Empty(t, client().Token)

	t.Setenv("HF_ENDPOINT", "mirror.example")
	_, err := NewClient()
	require.ErrorContains(t, err, `HF_ENDPOINT: "mirror.example" is no address`)
	t.Setenv("HF_ENDPOINT", "")
	t.Setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")
	t.Setenv("HF_TOKEN", "hf\r\nX-Evil: 1")
	_, err = NewClient()
	require.ErrorContains(t, err, "HF_TOKEN")
	require.NotContains(t, err.Error(), "Evil")
}

func TestFindLMStudio(t *testing.T) {
	dir := t.TempDir()
	s := Store{LMStudio: []string{filepath.Join(dir, "none"), dir}}
	write(t, filepath.Join(dir, "owner", "repo", "m-Q4_K_M.gguf"), "GGUF4")
	write(t, filepath.Join(dir, "owner", "repo", "m-Q8_0.gguf"), "GGUF88")
	write(t, filepath.Join(dir, "owner", "..repo", "m.gguf"), "x")
	m, err := s.Find("owner/repo:q8_0")
	require.NoError(t, err)
	assert.Equal(t, Model{
		Name: "owner/repo/m-Q8_0.gguf", Source: LMStudio, Path: filepath.Join(dir, "owner", "repo", "m-Q8_0.gguf"),
		Files: []File{{Name: "m-Q8_0.gguf", Path: filepath.Join(dir, "owner", "repo", "m-Q8_0.gguf"), Size: 6}},
	}, m)
	_, err = s.Find("owner/repo@v1")
	require.ErrorIs(t, err, ErrNotFound)
	assert.Len(t, s.List(), 2)
}

const sha = "74701a8c35f6c8d9a4b91f3f3497643001d63e0c7a84e085bed452548fa88d45"

func manifest(digest string) string {
	return `{"schemaVersion":2,"config":{"digest":"sha256:0"},"layers":[{"mediaType":"application/vnd.ollama.image.template","digest":"sha256:1","size":3},` +
		`{"mediaType":"application/vnd.ollama.image.model","digest":"` + digest + `","size":4}]}`
}

func TestFindOllama(t *testing.T) {
	dir := t.TempDir()
	s := Store{Ollama: []string{dir}}
	path := filepath.Join(dir, "blobs", "sha256-"+sha)
	write(t, path, "GGUF")
	at := func(parts ...string) string { return filepath.Join(append([]string{dir, "manifests"}, parts...)...) }
	write(t, at("registry.ollama.ai", "library", "llama3.2", "1b"), manifest("sha256:"+sha))
	write(t, at("registry.ollama.ai", "library", "llama3.2", "latest"), manifest("sha256:"+strings.ToUpper(sha)))
	write(t, at("registry.ollama.ai", "someone", "model", "latest"), manifest("sha256-"+sha))
	write(t, at("hf.co", "owner", "repo-GGUF", "Q4_K_M"), manifest("sha256:"+sha))
	write(t, at("registry.ollama.ai", "library", "gone", "latest"), manifest("sha256:"+strings.Repeat("0", 64)))
	write(t, at("registry.ollama.ai", "library", "evil", "latest"), manifest("sha256:../../../../etc/passwd"))
	write(t, at("registry.ollama.ai", "library", "damaged", "latest"), "{")
	// A newer version's, which refers to its variants.
	child := strings.Repeat("c", 64)
	write(t, filepath.Join(dir, "blobs", "sha256-"+child), manifest("sha256:"+sha))
	write(t, filepath.Join(dir, "manifests-v2", "registry.ollama.ai", "library", "new", "latest"),
		`{"mediaType":"application/vnd.ollama.manifest.list.v2+json","manifests":[{"runner":"mlx","layers":[{"mediaType":"application/vnd.ollama.image.tensor"}]},{"runner":"ollama","digest":"sha256:`+child+`"}]}`)
	for _, name := range []string{"llama3.2:1b", "llama3.2", "LLAMA3.2:latest", "someone/model", "hf.co/owner/repo-GGUF:Q4_K_M", "owner/repo-GGUF:q4_k_m", "new", "registry.ollama.ai/library/llama3.2"} {
		m, err := s.Find(name)
		require.NoError(t, err, name)
		assert.Equal(t, path, m.Path)
		assert.Equal(t, sha, m.Files[0].SHA256)
		again, err := s.Find(m.Name)
		require.NoError(t, err)
		assert.Equal(t, m, again)
	}
	for name, want := range map[string]string{"gone": "is incomplete", "evil": "is no SHA-256", "damaged": "manifest is damaged"} {
		_, err := s.Find(name)
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, ErrNotFound)
	}
	for _, name := range []string{"llama3.2:3b", "other", "../llama3.2", ""} {
		_, err := s.Find(name)
		require.ErrorIs(t, err, ErrNotFound, name)
	}
	var names []string
	for _, m := range s.List() {
		names = append(names, m.Name)
	}
	assert.Equal(t, []string{"hf.co/owner/repo-GGUF:Q4_K_M", "llama3.2:1b", "llama3.2:latest", "new:latest", "someone/model:latest"}, names)
}

// A manifest leads to a hash or to an error, and to no other file.
func FuzzOllamaManifest(f *testing.F) {
	f.Add([]byte(manifest("sha256:" + sha)))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:` + sha + `"},{"layers":[]}]}`))
	f.Add([]byte(`{"manifests":[{"manifests":[{}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		found, err := m.weights(func(digest string) ([]byte, error) {
			if !sha256Form.MatchString(digest) {
				t.Fatalf("asks for %q", digest)
			}
			return b, nil // of itself
		})
		if err == nil && !sha256Form.MatchString(found) {
			t.Fatalf("gives %q", found)
		}
	})
}

// What lies in a cache is not trusted either.
func TestFindDamagedCache(t *testing.T) {
	dir := t.TempDir()
	s := Store{HubCache: dir}
	write(t, filepath.Join(dir, "models--owner--repo", "refs", "main"), "../../../../somewhere")
	_, err := s.Find("owner/repo")
	require.ErrorIs(t, err, ErrNotFound)
	write(t, filepath.Join(dir, "models--owner--repo", "snapshots", "x", "m.gguf"), "GGUF")
	write(t, filepath.Join(dir, "models--owner", "x"), "")
	write(t, filepath.Join(dir, "models--a--b--c", "x"), "")
	_, err = s.Find("owner/repo")
	require.ErrorIs(t, err, ErrNotFound)
	assert.Empty(t, s.List())
	// Without a ref, a snapshot is found; a link to nothing is no file.
	at := filepath.Join(dir, "models--owner--repo", "snapshots", commit1)
	write(t, filepath.Join(at, "sub", "m.gguf"), "GGUF")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(at, "n.gguf")))
	m, err := s.Find("owner/repo")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(at, "sub", "m.gguf"), m.Path)
	b, err := readSmall(m.Path, 4)
	require.NoError(t, err)
	assert.True(t, bytes.Equal([]byte("GGUF"), b))
	_, err = readSmall(m.Path, 3)
	require.ErrorContains(t, err, "more than 3 bytes")
}
