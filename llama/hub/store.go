package hub

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// A Store is the set of places on this machine where models lie. An empty
// field is a place that is not there.
type Store struct {
	HubCache  string   // the cache of Hugging Face's libraries
	Addresses string   // limbic's own, for models from plain addresses
	LMStudio  []string // folders of LM Studio, which hold publisher/repository/file.gguf
	Ollama    []string // folders of Ollama, which hold manifests and blobs
}

// DefaultStore gives the places that the environment names, as the programs
// that own them find them: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME and
// XDG_CACHE_HOME, OLLAMA_MODELS, and the pointer that LM Studio leaves in the
// home folder. LIMBIC_CACHE is the place of limbic's own cache.
func DefaultStore() Store {
	home, _ := os.UserHomeDir() // without one, only what variables name remains
	var s Store
	s.HubCache = expand(home, cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE")))
	if hf := hfHome(home); s.HubCache == "" && hf != "" {
		s.HubCache = filepath.Join(hf, "hub")
	}
	if s.Addresses = expand(home, os.Getenv("LIMBIC_CACHE")); s.Addresses == "" {
		if caches, err := os.UserCacheDir(); err == nil {
			s.Addresses = filepath.Join(caches, "limbic", "models")
		}
	}
	if dir := os.Getenv("OLLAMA_MODELS"); dir != "" {
		s.Ollama = append(s.Ollama, expand(home, dir))
	} else {
		if home != "" {
			s.Ollama = append(s.Ollama, filepath.Join(home, ".ollama", "models"))
		}
		if runtime.GOOS == "linux" {
			// Where its service, which is a user of its own, keeps them.
			s.Ollama = append(s.Ollama, "/usr/share/ollama/.ollama/models")
		}
	}
	if home != "" {
		if b, err := os.ReadFile(filepath.Join(home, ".lmstudio-home-pointer")); err == nil && len(b) < maxRef {
			if dir := strings.TrimSpace(string(b)); filepath.IsAbs(dir) {
				s.LMStudio = append(s.LMStudio, filepath.Join(dir, "models"))
			}
		}
		for _, dir := range []string{filepath.Join(home, ".lmstudio", "models"), filepath.Join(home, ".cache", "lm-studio", "models")} {
			if !slices.Contains(s.LMStudio, dir) {
				s.LMStudio = append(s.LMStudio, dir)
			}
		}
	}
	return s
}

// hfHome is the folder of Hugging Face's libraries.
func hfHome(home string) string {
	if dir := expand(home, os.Getenv("HF_HOME")); dir != "" {
		return dir
	}
	if dir := expand(home, os.Getenv("XDG_CACHE_HOME")); dir != "" {
		return filepath.Join(dir, "huggingface")
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface")
}

// expand replaces a leading ~ and variables, as Hugging Face's libraries do.
func expand(home, path string) string {
	if rest, found := strings.CutPrefix(path, "~"); found && home != "" && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		path = home + rest
	}
	return os.Expand(path, func(name string) string {
		if v, ok := os.LookupEnv(name); ok {
			return v
		}
		return "$" + name // a part of a name, perhaps
	})
}

// Find looks on this machine, and only there, for the model that a name means:
// a reference as for [ParseRef], or the name of a model of Ollama's. The
// Hugging Face cache is looked at first, then LM Studio's folders, then
// Ollama's. Where a reference names no quantisation, what it means is chosen
// among the files that are here.
//
// The error wraps [ErrNotFound] where there is no such model, and says which
// files there are where they don't fit.
func (s *Store) Find(name string) (Model, error) {
	r, refErr := ParseRef(name)
	if refErr == nil && r.URL != "" {
		m, err := s.findAddress(r)
		return m, prefixed(err)
	}
	missing := ErrNotFound
	if refErr == nil {
		for _, look := range []func(Ref) (Model, error){s.findHub, s.findLMStudio} {
			m, err := look(r)
			switch {
			case err == nil:
				return m, nil
			case errors.Is(err, errNoFile):
				missing = fmt.Errorf("%w: %w", ErrNotFound, err)
			case !errors.Is(err, fs.ErrNotExist):
				return Model{}, prefixed(fmt.Errorf("model %s: %w", r, err))
			}
		}
	}
	if m, err := s.findOllama(name); err == nil {
		return m, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Model{}, prefixed(fmt.Errorf("model %s of Ollama's: %w", name, err))
	}
	if refErr == nil {
		name = r.String()
	}
	return Model{}, prefixed(fmt.Errorf("model %s: %w", name, missing))
}

// List gives all models on this machine, sorted by source and name. What
// cannot be read is left out.
func (s *Store) List() []Model {
	var all []Model
	all = append(all, s.listHub()...)
	all = append(all, s.listLMStudio()...)
	all = append(all, s.listOllama()...)
	all = append(all, s.listAddresses()...)
	slices.SortStableFunc(all, func(a, b Model) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Bounds on what is walked: a folder that holds more is not what it seems.
const (
	maxDepth = 6
	maxFiles = 100_000
)

// filesIn lists the regular files below a folder, through symbolic links to
// files but not to folders, by their names with slashes.
func filesIn(dir string) ([]listed, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	var files []listed
	// A walk below a symbolic link sees nothing without the slash.
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not there
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if strings.Count(name, "/") >= maxDepth {
				return fs.SkipDir
			}
			return nil
		}
		// A link may point to nothing.
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, listed{name: name, size: info.Size()})
		}
		if len(files) > maxFiles {
			return fs.SkipAll
		}
		return nil
	})
	return files, err
}

// model makes a Model of a group of files below dir.
func (g *group) model(dir, source, name string) Model {
	m := Model{Name: name, Source: source}
	for _, f := range g.files {
		m.Files = append(m.Files, File{Name: f.name, Path: filepath.Join(dir, filepath.FromSlash(f.name)), Size: f.size, SHA256: f.sha256})
	}
	m.Path = m.Files[0].Path
	return m
}

// wholeGroups leaves out the models of which parts are missing.
func wholeGroups(files []listed) []*group {
	return slices.DeleteFunc(groupFiles(files), func(g *group) bool { return g.whole() != nil })
}

// findLMStudio finds a model in LM Studio's folders, which have no revisions.
func (s *Store) findLMStudio(r Ref) (Model, error) {
	err := error(fs.ErrNotExist)
	if r.Revision != "" {
		return Model{}, err
	}
	for _, root := range s.LMStudio {
		dir := filepath.Join(root, r.Owner, r.Repo)
		files, e := filesIn(dir)
		if e != nil {
			continue
		}
		g, e := choose(wholeGroups(files), r)
		if e == nil {
			return g.model(dir, LMStudio, r.repo()+"/"+g.files[0].name), nil
		}
		err = e
	}
	return Model{}, err
}

func (s *Store) listLMStudio() []Model {
	var all []Model
	for _, root := range s.LMStudio {
		repos, _ := filepath.Glob(filepath.Join(escapeGlob(root), "*", "*"))
		for _, dir := range repos {
			r, err := ParseRef("hf.co/" + filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir))
			if err != nil {
				continue
			}
			files, _ := filesIn(dir)
			for _, g := range wholeGroups(files) {
				all = append(all, g.model(dir, LMStudio, r.repo()+"/"+g.files[0].name))
			}
		}
	}
	return all
}

// escapeGlob makes a path stand for itself in a pattern.
func escapeGlob(path string) string {
	if runtime.GOOS == "windows" {
		return path // has no escapes there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
