package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/limbic-go/limbic/demo"
	"github.com/limbic-go/limbic/llama/hub"
)

// modelPath gives the path of the model that MODEL names: the name itself where
// there is such a file or folder, or else that of a model that lies on this
// machine under this name. It never fetches anything.
func modelPath(name string) (string, error) {
	_, err := os.Stat(name)
	if err == nil {
		return name, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && looksLikePath(name) {
		return "", fmt.Errorf("model %q: %w", name, pathCause(err))
	}
	store := hub.DefaultStore()
	m, err := store.Find(name)
	if err == nil {
		return m.Path, nil
	}
	if !errors.Is(err, hub.ErrNotFound) {
		return "", unprefixed{err, "hub: "}
	}
	ref, refErr := hub.ParseRef(name)
	if refErr != nil || looksLikePath(name) {
		return "", fmt.Errorf("model %q: no such file, and no model of that name on this machine; MODEL is a path to a .gguf file, a name that limbic models lists, or %s for the model in the program", name, demo.Name)
	}
	if ref.URL != "" {
		return "", fmt.Errorf("%w; limbic pull with this address fetches it", unprefixed{err, "hub: "})
	}
	return "", fmt.Errorf("%w; limbic pull %s fetches it", unprefixed{err, "hub: "}, ref)
}

// looksLikePath tells names that can only be meant as paths.
func looksLikePath(name string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") || strings.Contains(name, `\`)
}

type modelsResult struct {
	Models     []modelRow `json:"models"`
	Provenance provenance `json:"provenance"`
}

type modelRow struct {
	Name   string    `json:"name"`   // works as MODEL
	Source string    `json:"source"` // embedded, huggingface, lmstudio, ollama or url
	Path   string    `json:"path,omitempty"`
	Commit string    `json:"commit,omitempty"`
	Size   int64     `json:"size"` // bytes
	Files  []fileRow `json:"files,omitempty"`
}

type fileRow struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256,omitempty"`
}

func newModelRow(m *hub.Model) modelRow {
	row := modelRow{Name: m.Name, Source: m.Source, Path: m.Path, Commit: m.Commit, Size: m.Size()}
	for _, f := range m.Files {
		row.Files = append(row.Files, fileRow(f))
	}
	return row
}

func newModels(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "models",
		Short: "List the models on this machine",
		Long: `List the models on this machine that the other commands find by name: the one in
the program, and those in the Hugging Face cache, in LM Studio's folder, in
Ollama's, and in limbic's own cache for plain addresses. Nothing is fetched.

The environment variables HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, OLLAMA_MODELS
and LIMBIC_CACHE say where to look, as they do for the programs they belong to.`,
		Example: examples(
			"limbic models",
			"limbic models --json",
		),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			embedded, err := demo.File()
			if err != nil {
				return err
			}
			size := embedded.Size()
			if err := embedded.Close(); err != nil {
				return err
			}
			r := modelsResult{Provenance: programProvenance(), Models: []modelRow{{Name: demo.Name, Source: "embedded", Size: size}}}
			store := hub.DefaultStore()
			for _, m := range store.List() {
				r.Models = append(r.Models, newModelRow(&m))
			}
			if a.json {
				return a.writeJSON(r)
			}
			t := table{head: []string{"model", "size", "where"}, right: []bool{false, true, false}}
			for _, m := range r.Models {
				t.add(oneLine(m.Name), byteSize(m.Size), m.Source)
			}
			return a.print(&t)
		},
	}
}
