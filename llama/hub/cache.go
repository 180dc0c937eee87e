package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/limbic-go/limbic/internal/atomicfile"
)

// A repoCache is the folder of one repository in the Hugging Face cache.
type repoCache struct {
	cache string // the cache that it is in
	name  string // models--OWNER--REPO
}

func (s *Store) repoCache(r Ref) repoCache {
	return repoCache{s.HubCache, "models--" + r.Owner + "--" + r.Repo}
}

func (c repoCache) dir() string                { return filepath.Join(c.cache, c.name) }
func (c repoCache) blob(etag string) string    { return filepath.Join(c.dir(), "blobs", etag) }
func (c repoCache) snapshot(sha string) string { return filepath.Join(c.dir(), "snapshots", sha) }
func (c repoCache) ref(revision string) string {
	return filepath.Join(c.dir(), "refs", filepath.FromSlash(revision))
}

func (c repoCache) lock(etag string) string {
	return filepath.Join(c.cache, ".locks", c.name, etag+".lock")
}

// A snapshot is the state of a repository at a commit.
type snapshot struct {
	dir    string
	commit string
	when   time.Time
}

// snapshots gives those that a reference may mean, the likeliest first. What
// main was when it was last looked at comes before what it was earlier: another
// program may have asked for a small file of a newer commit since the model was
// fetched.
func (c repoCache) snapshots(r Ref) []snapshot {
	commit := ""
	if b, err := readSmall(c.ref(r.revision()), 64); err == nil && commitForm.Match(b) {
		commit = string(b)
	} else if commitForm.MatchString(r.Revision) {
		commit = r.Revision
	}
	if r.Revision != "" {
		if commit == "" {
			return nil
		}
		return []snapshot{{dir: c.snapshot(commit), commit: commit}}
	}
	entries, err := os.ReadDir(filepath.Join(c.dir(), "snapshots"))
	if err != nil {
		return nil
	}
	var all []snapshot
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && commitForm.MatchString(e.Name()) {
			all = append(all, snapshot{c.snapshot(e.Name()), e.Name(), info.ModTime()})
		}
	}
	slices.SortStableFunc(all, func(a, b snapshot) int {
		if (a.commit == commit) != (b.commit == commit) {
			if a.commit == commit {
				return -1
			}
			return 1
		}
		return cmp.Or(b.when.Compare(a.when), cmp.Compare(a.commit, b.commit))
	})
	return all
}

// files lists a snapshot. Where it consists of links, their targets name the
// contents.
func (s *snapshot) files() ([]listed, error) {
	files, err := filesIn(s.dir)
	for i := range files {
		if target, err := os.Readlink(filepath.Join(s.dir, filepath.FromSlash(files[i].name))); err == nil {
			if base := filepath.Base(target); sha256Form.MatchString(base) {
				files[i].sha256 = base
			}
		}
	}
	return files, err
}

// findHub finds a model in the Hugging Face cache.
func (s *Store) findHub(r Ref) (Model, error) {
	err := error(fs.ErrNotExist)
	if s.HubCache == "" {
		return Model{}, err
	}
	for _, snap := range s.repoCache(r).snapshots(r) {
		files, e := snap.files()
		if e != nil {
			continue
		}
		groups := wholeGroups(files)
		if len(groups) == 0 && r.File == "" && r.Tag == "" {
			if m, ok := safetensorsModel(&snap, files); ok {
				m.Name = r.String()
				return m, nil
			}
			continue
		}
		g, e := choose(groups, r)
		if e == nil {
			m := g.model(snap.dir, HuggingFace, Ref{Owner: r.Owner, Repo: r.Repo, Revision: r.Revision, File: g.files[0].name}.String())
			m.Commit = snap.commit
			return m, nil
		}
		// What doesn't fit in an older snapshot is not worth a word.
		if errors.Is(err, fs.ErrNotExist) {
			err = e
		}
	}
	return Model{}, err
}

// safetensorsModel makes a model of a snapshot that holds one in safetensors
// with all of its weights.
func safetensorsModel(snap *snapshot, files []listed) (Model, bool) {
	has := map[string]bool{}
	for _, f := range files {
		has[f.name] = true
	}
	kept := safetensorsFiles(files)
	if !has["config.json"] || !slices.ContainsFunc(kept, func(f listed) bool { return isWeights(f.name) }) {
		return Model{}, false
	}
	if has[weightsIndex] {
		b, err := readSmall(filepath.Join(snap.dir, weightsIndex), maxJSON)
		if err != nil {
			return Model{}, false
		}
		var index struct {
			Files map[string]string `json:"weight_map"`
		}
		if json.Unmarshal(b, &index) != nil {
			return Model{}, false
		}
		for _, name := range index.Files {
			if !has[name] {
				return Model{}, false
			}
		}
	}
	g := group{files: kept}
	m := g.model(snap.dir, HuggingFace, "")
	m.Path, m.Commit = snap.dir, snap.commit
	return m, true
}

const weightsIndex = "model.safetensors.index.json"

// variantForm is how a second copy of the weights in another precision is named.
var variantForm = regexp.MustCompile(`^model\.b?fp?\d+[.-]`)

func isWeights(name string) bool { return strings.HasSuffix(name, ".safetensors") }

// safetensorsFiles picks the files that a model in safetensors consists of:
// configuration, tokenizer and weights, from the repository's first level.
func safetensorsFiles(files []listed) []listed {
	isModel := func(name string) bool {
		return strings.HasPrefix(name, "model") && isWeights(name) && !variantForm.MatchString(name)
	}
	// Some repositories hold the same weights a second time, in another layout
	// or precision, or an adapter beside them.
	standard := slices.ContainsFunc(files, func(f listed) bool { return isModel(f.name) })
	var kept []listed
	for _, f := range files {
		switch ext := filepath.Ext(f.name); {
		case strings.Contains(f.name, "/"):
		case ext == ".safetensors":
			if isModel(f.name) || !standard {
				kept = append(kept, f)
			}
		case ext == ".json", ext == ".model", ext == ".jinja", f.name == "merges.txt", f.name == "vocab.txt":
			kept = append(kept, f)
		}
	}
	return kept
}

// listHub lists the models in the Hugging Face cache. Names without a commit
// mean the likeliest snapshot that has the file.
func (s *Store) listHub() []Model {
	if s.HubCache == "" {
		return nil
	}
	entries, err := os.ReadDir(s.HubCache)
	if err != nil {
		return nil
	}
	var all []Model
	for _, e := range entries {
		name, found := strings.CutPrefix(e.Name(), "models--")
		owner, repo, two := strings.Cut(name, "--")
		r, err := ParseRef("hf.co/" + owner + "/" + repo)
		if !found || !two || err != nil {
			continue
		}
		seen := map[string]string{}
		for _, snap := range s.repoCache(r).snapshots(r) {
			files, err := snap.files()
			if err != nil {
				continue
			}
			add := func(m Model, key string) {
				at := r
				at.File = key
				real, err := filepath.EvalSymlinks(m.Path)
				if err != nil {
					return
				}
				if first, known := seen[key]; known {
					if first == real {
						return
					}
					at.Revision = snap.commit
				} else {
					seen[key] = real
				}
				m.Name, m.Commit = at.String(), snap.commit
				all = append(all, m)
			}
			groups := wholeGroups(files)
			for _, g := range groups {
				add(g.model(snap.dir, HuggingFace, ""), g.files[0].name)
			}
			if m, ok := safetensorsModel(&snap, files); ok && len(groups) == 0 {
				add(m, "")
			}
		}
	}
	return all
}

// link puts a file of a snapshot in its place: a relative link to the blob, or
// the file itself where there are no links. alone says that nothing else can
// refer to the blob yet, so that it may be moved.
func (c repoCache) link(ctx context.Context, etag, commit, name string, alone bool) error {
	blob := c.blob(etag)
	pointer := filepath.Join(c.snapshot(commit), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(pointer), 0o777); err != nil {
		return err
	}
	if err := os.Remove(pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !isTrue(os.Getenv("HF_HUB_DISABLE_SYMLINKS")) {
		target, err := filepath.Rel(filepath.Dir(pointer), blob)
		if err != nil {
			return err
		}
		if symlink(target, pointer) == nil {
			return nil
		}
	}
	if alone {
		return os.Rename(blob, pointer)
	}
	return copyFile(ctx, blob, pointer)
}

// symlink is replaced in tests by a file system that has none.
var symlink = os.Symlink

// setRef writes down which commit a branch or tag was.
func (c repoCache) setRef(revision, commit string) error {
	if revision == commit {
		return nil
	}
	path := c.ref(revision)
	if b, err := readSmall(path, 64); err == nil && string(b) == commit {
		return nil // the cache may be read-only
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.Write(path, 0o666, func(w io.Writer) error {
		_, err := io.WriteString(w, commit)
		return err
	})
}

// cacheTag marks a folder for backup programs, which may then leave it out
// (https://bford.info/cachedir/).
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n" +
	"# This file is a cache directory tag created by limbic.\n" +
	"# For information about cache directory tags see https://bford.info/cachedir/\n"

// tagCache marks a cache that is not marked yet. A cache without a mark works
// as well, so that failing is no error.
func tagCache(dir string) {
	path := filepath.Join(dir, "CACHEDIR.TAG")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		_ = os.WriteFile(path, []byte(cacheTag), 0o666)
	}
}

// readSmall reads a file of at most so many bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: has more than %d bytes", path, limit)
	}
	return b, err
}

// copyFile copies a file; the copy is complete or not there.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return atomicfile.Write(to, 0o666, func(w io.Writer) error {
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := io.CopyN(w, in, 1<<20); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
}
