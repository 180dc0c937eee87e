// Package fakehub plays the Hugging Face Hub for tests: the API that lists a
// repository, the addresses of its files, and another host where the contents
// of large files lie.
package fakehub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Hub is a server for the Hub and one for contents.
type Hub struct {
	API      *httptest.Server
	Contents *httptest.Server

	mu       sync.Mutex
	repos    map[string]*Repo // by owner/repo
	requests []Request
	fault    func(http.ResponseWriter, *http.Request) bool
}

// A Repo is the only commit of a repository.
type Repo struct {
	Commit string // 40 hexadecimal digits
	Files  map[string][]byte
	// Token is needed for the files, if set; then the repository is gated.
	Token string
	// Terse leaves sizes and hashes out of the list of files.
	Terse bool
}

// A Request is one that a server got.
type Request struct {
	Host, Method, Path, Range, Authorization string
}

// New starts the servers.
func New() *Hub {
	h := &Hub{repos: map[string]*Repo{}}
	h.API = httptest.NewServer(h.noted(h.api))
	h.Contents = httptest.NewServer(h.noted(h.contents))
	return h
}

// Close stops the servers.
func (h *Hub) Close() {
	for _, s := range []*httptest.Server{h.API, h.Contents} {
		s.CloseClientConnections()
		s.Close()
	}
}

// Put makes a repository, in the place of an earlier one of that name.
func (h *Hub) Put(name string, r *Repo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repos[name] = r
}

// Fault sets a function that gets every request first, and reports whether it
// answered it. nil takes it away.
func (h *Hub) Fault(f func(http.ResponseWriter, *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// Requests gives the requests since it was last called.
func (h *Hub) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.requests
	h.requests = nil
	return r
}

func (h *Hub) noted(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, Request{r.Host, r.Method, r.URL.EscapedPath(), r.Header.Get("Range"), r.Header.Get("Authorization")})
		fault := h.fault
		h.mu.Unlock()
		if fault == nil || !fault(w, r) {
			next(w, r)
		}
	}
}

// SHA256 is the hash of contents in hexadecimal digits.
func SHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// GitHash is git's name for contents.
func GitHash(data []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
	return hex.EncodeToString(sum[:])
}

// large tells which files lie at the other host.
func large(name string) bool {
	return strings.HasSuffix(name, ".gguf") || strings.HasSuffix(name, ".safetensors")
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", "the message for "+code)
	w.WriteHeader(status)
}

func (h *Hub) api(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	list := strings.HasPrefix(path, "api/models/")
	path = strings.TrimPrefix(path, "api/models/")
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 4 {
		http.NotFound(w, r)
		return
	}
	repo := h.repos[parts[0]+"/"+parts[1]]
	switch {
	case repo == nil:
		refuse(w, http.StatusUnauthorized, "RepoNotFound") // also where it is private
		return
	case parts[3] != "main" && parts[3] != repo.Commit:
		refuse(w, http.StatusNotFound, "RevisionNotFound")
		return
	}
	if list && parts[2] == "revision" {
		repo.list(w, parts[0]+"/"+parts[1])
		return
	}
	if parts[2] != "resolve" || len(parts) != 5 {
		http.NotFound(w, r)
		return
	}
	data, found := repo.Files[parts[4]]
	switch {
	case !found:
		refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	case repo.Token != "" && r.Header.Get("Authorization") == "":
		refuse(w, http.StatusUnauthorized, "GatedRepo")
		return
	case repo.Token != "" && r.Header.Get("Authorization") != "Bearer "+repo.Token:
		refuse(w, http.StatusForbidden, "GatedRepo")
		return
	}
	w.Header().Set("X-Repo-Commit", repo.Commit)
	if !large(parts[4]) {
		w.Header().Set("ETag", `"`+GitHash(data)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	w.Header().Set("ETag", `"`+GitHash([]byte("pointer to "+SHA256(data)))+`"`)
	w.Header().Set("X-Linked-Etag", `"`+SHA256(data)+`"`)
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(data)))
	w.Header().Set("Location", h.Contents.URL+"/"+parts[0]+"/"+parts[1]+"/"+parts[4]+"?signature=secret")
	w.WriteHeader(http.StatusFound)
}

func (r *Repo) list(w http.ResponseWriter, name string) {
	type lfs struct {
		SHA256 string `json:"sha256"`
		Size   int    `json:"size"`
	}
	type sibling struct {
		Name   string `json:"rfilename"`
		Size   *int   `json:"size,omitempty"`
		BlobID string `json:"blobId,omitempty"`
		LFS    *lfs   `json:"lfs,omitempty"`
	}
	info := struct {
		ID       string    `json:"id"`
		SHA      string    `json:"sha"`
		Siblings []sibling `json:"siblings"`
	}{name, r.Commit, nil}
	for file, data := range r.Files {
		s := sibling{Name: file}
		if size := len(data); !r.Terse {
			s.Size, s.BlobID = &size, GitHash(data)
			if large(file) {
				s.LFS = &lfs{SHA256(data), size}
			}
		}
		info.Siblings = append(info.Siblings, s)
	}
	slices.SortFunc(info.Siblings, func(a, b sibling) int { return strings.Compare(a.Name, b.Name) })
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(info)
}

func (h *Hub) contents(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	var data []byte
	found := false
	if len(parts) == 3 && h.repos[parts[0]+"/"+parts[1]] != nil {
		data, found = h.repos[parts[0]+"/"+parts[1]].Files[parts[2]]
	}
	h.mu.Unlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+SHA256(data)[:32]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
