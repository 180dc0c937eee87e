package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Ollama keeps a manifest for each model, at
// manifests/HOST/NAMESPACE/MODEL/TAG, which names the blobs it consists of by
// their digests. Newer versions write manifests-v2 in its place, whose files
// are links to blobs, and there may be lists of manifests, one for each program
// that can run the model.

const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
	ollamaWeights   = "application/vnd.ollama.image.model"
	maxManifest     = 4 << 20 // bytes
)

var digestForm = regexp.MustCompile(`^sha256[:-]([0-9a-fA-F]{64})$`)

// An ollamaManifest is what is read of a manifest, or of a list of them.
type ollamaManifest struct {
	Layers []struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
	} `json:"layers"`
	Manifests []ollamaManifest `json:"manifests"`
	Digest    string           `json:"digest"` // of the manifest itself, in a list that only refers to it
}

// weights gives the SHA-256 of the model's GGUF file. blob reads a manifest by
// its digest.
func (m *ollamaManifest) weights(blob func(sha string) ([]byte, error)) (string, error) {
	sha, err := m.own()
	if err == nil || len(m.Manifests) == 0 {
		return sha, err
	}
	for i := range m.Manifests {
		child := &m.Manifests[i]
		if digest := digestForm.FindStringSubmatch(child.Digest); digest != nil && len(child.Layers) == 0 {
			b, err := blob(strings.ToLower(digest[1]))
			if err != nil {
				continue
			}
			if child, err = parseManifest(b); err != nil {
				continue
			}
		}
		if sha, err := child.own(); err == nil {
			return sha, nil
		}
	}
	return "", errors.New("none of its variants is one GGUF file")
}

// own is weights for a manifest that is no list.
func (m *ollamaManifest) own() (string, error) {
	found := ""
	for _, layer := range m.Layers {
		if layer.MediaType != ollamaWeights {
			continue
		}
		digest := digestForm.FindStringSubmatch(layer.Digest)
		switch {
		case digest == nil:
			return "", fmt.Errorf("digest %.80q is no SHA-256", layer.Digest)
		case found != "":
			return "", errors.New("its weights lie in several files")
		}
		found = strings.ToLower(digest[1])
	}
	if found == "" {
		return "", errors.New("it names no weights in a GGUF file")
	}
	return found, nil
}

func parseManifest(b []byte) (*ollamaManifest, error) {
	var m ollamaManifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("its manifest is damaged: %w", err)
	}
	return &m, nil
}

// An ollamaName is the place of a manifest.
type ollamaName struct {
	root     string // Ollama's folder
	manifest string // path
	full     string // host/namespace/model:tag
}

// short leaves out what is usual.
func (n *ollamaName) short() string {
	s := strings.TrimPrefix(n.full, ollamaHost+"/")
	return strings.TrimPrefix(s, ollamaNamespace+"/")
}

func (s *Store) ollamaNames() []ollamaName {
	var all []ollamaName
	seen := map[string]bool{}
	for _, root := range s.Ollama {
		for _, folder := range []string{"manifests-v2", "manifests"} {
			paths, _ := filepath.Glob(filepath.Join(escapeGlob(root), folder, "*", "*", "*", "*"))
			for _, path := range paths {
				rel, err := filepath.Rel(filepath.Join(root, folder), path)
				if err != nil {
					continue
				}
				p := strings.Split(filepath.ToSlash(rel), "/")
				full := p[0] + "/" + p[1] + "/" + p[2] + ":" + p[3]
				if !seen[full] {
					seen[full] = true
					all = append(all, ollamaName{root, path, full})
				}
			}
		}
	}
	return all
}

// model reads the manifest and looks at the blob.
func (n *ollamaName) model() (Model, error) {
	b, err := readSmall(n.manifest, maxManifest)
	if err != nil {
		return Model{}, err
	}
	m, err := parseManifest(b)
	if err != nil {
		return Model{}, err
	}
	blob := func(sha string) string { return filepath.Join(n.root, "blobs", "sha256-"+sha) }
	sha, err := m.weights(func(sha string) ([]byte, error) { return readSmall(blob(sha), maxManifest) })
	if err != nil {
		return Model{}, err
	}
	path := blob(sha)
	info, err := os.Stat(path)
	if err != nil {
		return Model{}, fmt.Errorf("its file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Model{}, fmt.Errorf("its file %s is not a regular file", path)
	}
	return Model{
		Name: n.short(), Source: Ollama, Path: path,
		Files: []File{{Name: filepath.Base(path), Path: path, Size: info.Size(), SHA256: sha}},
	}, nil
}

// findOllama finds a model by the name that Ollama has for it, in any case;
// owner/repo means one that Ollama fetched from the Hub, too.
func (s *Store) findOllama(name string) (Model, error) {
	if strings.Contains(name, "://") || strings.Contains(name, "@") {
		return Model{}, fs.ErrNotExist
	}
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		name += ":latest"
	}
	var wanted []string
	switch strings.Count(name, "/") {
	case 0:
		wanted = []string{ollamaHost + "/" + ollamaNamespace + "/" + name}
	case 1:
		wanted = []string{ollamaHost + "/" + name, "hf.co/" + name, "huggingface.co/" + name}
	case 2:
		wanted = []string{name}
		if rest, found := strings.CutPrefix(name, "hf.co/"); found {
			wanted = append(wanted, "huggingface.co/"+rest)
		}
	}
	names := s.ollamaNames()
	for _, w := range wanted {
		for _, n := range names {
			if strings.EqualFold(n.full, w) {
				m, err := n.model()
				if errors.Is(err, fs.ErrNotExist) {
					err = fmt.Errorf("is incomplete (%v)", err)
				}
				return m, err
			}
		}
	}
	return Model{}, fs.ErrNotExist
}

func (s *Store) listOllama() []Model {
	var all []Model
	for _, n := range s.ollamaNames() {
		if m, err := n.model(); err == nil {
			all = append(all, m)
		}
	}
	return all
}
