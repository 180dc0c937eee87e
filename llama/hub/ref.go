package hub

import (
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Ref says which model is meant. It is comparable.
type Ref struct {
	Owner    string // of a repository of the Hub; empty for an address
	Repo     string
	Revision string // a branch, a tag or a commit; empty means main
	File     string // one file of the repository, with slashes; or
	Tag      string // what its name says about its quantisation, such as Q4_K_M
	URL      string // an address outside of the Hub; then all else is empty
}

// Limits on what is read from a reference or from a server. File systems allow
// no longer names.
const (
	maxRef       = 2048 // bytes
	maxComponent = 255
	maxPath      = 1024
)

// hubHosts are the hosts whose addresses are read as repositories.
var hubHosts = map[string]bool{"huggingface.co": true, "www.huggingface.co": true, "hf.co": true}

var (
	// As the Hub has it: letters, digits, - _ and ., none of - and . at either
	// end. What goes further is in checkRepo.
	repoPart    = regexp.MustCompile(`^\w(?:[\w.-]{0,94}\w)?$`)
	tagForm     = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	commitForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Form  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	revisionSet = regexp.MustCompile(`^[\w./-]+$`)
)

// ParseRef reads a reference to a model:
//
//	owner/repo                     the repository's usual file; see [Client.Pull]
//	owner/repo:Q4_K_M              the file with this quantisation, in any case
//	owner/repo/file.gguf           this file
//	owner/repo@v1.0:Q8_0           of a branch, tag or commit
//	hf.co/owner/repo…              the same; also huggingface.co/… and hf://…
//	https://huggingface.co/owner/repo/resolve/main/file.gguf
//	https://example.org/model.gguf a file outside of the Hub
//
// A slash within a revision is written %2F.
func ParseRef(s string) (Ref, error) {
	r, err := parseRef(s)
	if err != nil {
		if len(s) > 100 {
			s = strings.ToValidUTF8(s[:100], "") + "…"
		}
		return Ref{}, prefixed(fmt.Errorf("model reference %q: %w", s, err))
	}
	return r, nil
}

func parseRef(s string) (Ref, error) {
	switch {
	case s == "":
		return Ref{}, fmt.Errorf("is empty")
	case len(s) > maxRef:
		return Ref{}, fmt.Errorf("has %d bytes; at most %d are read", len(s), maxRef)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return Ref{}, fmt.Errorf("holds characters that are not text")
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		first, path, _ := strings.Cut(s, "/")
		if hubHosts[strings.ToLower(first)] {
			return parseHubPath(path)
		}
		if strings.Count(s, "/") == 1 && strings.HasSuffix(strings.ToLower(s), ".gguf") {
			return Ref{}, fmt.Errorf("looks like a path, but there is no such file (owner/repo/file.gguf names a file of a repository, hf.co/%s a repository)", s)
		}
		return parseRepo(s)
	}
	switch strings.ToLower(scheme) {
	case "hf":
		return parseRepo(strings.TrimPrefix(rest, "models/"))
	case "http", "https":
	default:
		return Ref{}, fmt.Errorf("unknown scheme %q (known: https, http, hf)", scheme)
	}
	u, err := url.Parse(s)
	if err != nil {
		return Ref{}, fmt.Errorf("is no valid address")
	}
	if u.Hostname() == "" {
		return Ref{}, fmt.Errorf("names no host")
	}
	if hubHosts[strings.ToLower(u.Host)] {
		return parseHubPath(strings.TrimPrefix(u.EscapedPath(), "/"))
	}
	if strings.Trim(u.Path, "/") == "" || strings.HasSuffix(u.Path, "/") {
		return Ref{}, fmt.Errorf("names no file")
	}
	u.Fragment, u.RawFragment = "", ""
	u.Scheme = strings.ToLower(u.Scheme)
	return Ref{URL: u.String()}, nil
}

// parseHubPath reads what stands after the Hub's host: a reference, or the path
// of one of its pages.
func parseHubPath(path string) (Ref, error) {
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	switch {
	case len(parts) < 2:
		return Ref{}, fmt.Errorf("is not owner/repo")
	case parts[0] == "datasets" || parts[0] == "spaces":
		return Ref{}, fmt.Errorf("names one of the Hub's %s, not a model", parts[0])
	case len(parts) < 4:
		return parseRepo(strings.Join(parts, "/"))
	}
	switch parts[2] {
	default:
		return parseRepo(strings.Join(parts, "/"))
	case "resolve", "blob", "raw", "tree":
	}
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return Ref{}, fmt.Errorf("%q is not a valid part of an address", p)
		}
	}
	r := Ref{Owner: parts[0], Repo: parts[1], Revision: parts[3]}
	if parts[2] != "tree" {
		r.File = strings.Join(parts[4:], "/")
	}
	return r.checked()
}

func parseRepo(s string) (Ref, error) {
	owner, rest, found := strings.Cut(s, "/")
	if !found {
		return Ref{}, fmt.Errorf("is not owner/repo, owner/repo:Q4_K_M, owner/repo/file.gguf or an address")
	}
	repo, file, hasFile := strings.Cut(rest, "/")
	if hasFile && file == "" {
		return Ref{}, fmt.Errorf("ends in a slash")
	}
	r := Ref{Owner: owner, File: file}
	repo, tag, hasTag := strings.Cut(repo, ":")
	if hasTag && hasFile {
		return Ref{}, fmt.Errorf("has both a file and the tag %q", tag)
	}
	if hasTag && tag == "" {
		return Ref{}, fmt.Errorf("has no tag after the colon")
	}
	r.Tag = tag
	repo, revision, hasRevision := strings.Cut(repo, "@")
	if hasRevision {
		var err error
		if r.Revision, err = url.PathUnescape(revision); err != nil || revision == "" {
			return Ref{}, fmt.Errorf("%q is not a revision", revision)
		}
	}
	r.Repo = repo
	return r.checked()
}

// checked makes sure that no part of a reference can leave the folder that it
// gets in a cache.
func (r Ref) checked() (Ref, error) {
	for _, p := range []struct{ what, name string }{{"an owner", r.Owner}, {"a repository", r.Repo}} {
		if !repoPart.MatchString(p.name) || strings.Contains(p.name, "--") || strings.Contains(p.name, "..") {
			return Ref{}, fmt.Errorf("%q is not the name of %s", p.name, p.what)
		}
	}
	if strings.HasSuffix(strings.ToLower(r.Repo), ".git") {
		return Ref{}, fmt.Errorf("%q is not the name of a repository: it ends in .git", r.Repo)
	}
	if r.Revision == "main" {
		r.Revision = ""
	}
	if r.Revision != "" && (!revisionSet.MatchString(r.Revision) || !safePath(r.Revision)) {
		return Ref{}, fmt.Errorf("%q is not a revision", r.Revision)
	}
	if r.File != "" && !safePath(r.File) {
		return Ref{}, fmt.Errorf("%q is not the name of a file in a repository", r.File)
	}
	if r.File != "" && !isGGUF(r.File) {
		return Ref{}, fmt.Errorf("%q is no .gguf file", r.File)
	}
	if r.Tag != "" && !tagForm.MatchString(r.Tag) {
		return Ref{}, fmt.Errorf("%q is not a tag", r.Tag)
	}
	return r, nil
}

// safePath reports whether a name with slashes, whoever gave it, stays below
// the folder that it is joined to, on every system.
func safePath(name string) bool {
	if len(name) > maxPath || name == "." || !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxComponent || strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || strings.ContainsRune(`\:*?"<>|`, r)
	})
}

func isGGUF(name string) bool {
	return len(name) > len(".gguf") && strings.EqualFold(name[len(name)-len(".gguf"):], ".gguf")
}

// revision is the branch, tag or commit, which is main unless said.
func (r Ref) revision() string {
	if r.Revision == "" {
		return "main"
	}
	return r.Revision
}

// repo is the repository alone.
func (r Ref) repo() string { return r.Owner + "/" + r.Repo }

// plain is String without what may be secret in an address.
func (r Ref) plain() string {
	if u, err := url.Parse(r.URL); err == nil && r.URL != "" {
		return plainURL(u)
	}
	return r.String()
}

// String writes the reference so that [ParseRef] gives it again.
func (r Ref) String() string {
	if r.URL != "" {
		return r.URL
	}
	s := r.repo()
	if r.Revision != "" {
		s += "@" + url.PathEscape(r.Revision)
	}
	switch {
	case r.File != "":
		s += "/" + r.File
	case r.Tag != "":
		s += ":" + r.Tag
	case r.Revision == "" && isGGUF(s):
		s = "hf.co/" + s // or it would be taken for a path
	}
	return s
}
