package hub

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// PullOptions say what [Client.Pull] fetches. The zero value is usable.
type PullOptions struct {
	// Safetensors asks for the model in safetensors (configuration, tokenizer
	// and weights) where a repository holds GGUF files, too.
	Safetensors bool
	// SHA256 is what the hash of a model from a plain address has to be, as 64
	// hexadecimal digits. Files of the Hub are always checked.
	SHA256 string
}

// Check reports what is wrong with the options for a reference. Pull does, too.
func (o PullOptions) Check(r Ref) error { return prefixed(o.check(r)) }

func (o PullOptions) check(r Ref) error {
	switch {
	case o.SHA256 != "" && !sha256Form.MatchString(strings.ToLower(o.SHA256)):
		return fmt.Errorf("the hash %q is not 64 hexadecimal digits", o.SHA256)
	case o.SHA256 != "" && r.URL == "":
		return errors.New("a hash is given only for a plain address: the Hub states those of its files")
	case o.SHA256 != "" && splitForm.MatchString(r.URL):
		return errors.New("a hash cannot be given for a file in several parts")
	case o.Safetensors && (r.URL != "" || r.File != "" || r.Tag != ""):
		return errors.New("a model in safetensors is a whole repository: owner/repo")
	}
	return nil
}

// Pulled says what [Client.Pull] did.
type Pulled struct {
	Model
	Fetched  int64 // bytes that came over the network
	Borrowed int64 // bytes that another program had fetched: they were linked or copied
}

// An Interrupted error says how far a pull came before its context ended. The
// same pull goes on from there.
type Interrupted struct {
	Done, Total int64 // bytes; Total is -1 where unknown
	Err         error // of the context
}

func (e *Interrupted) Error() string {
	total := ""
	if e.Total >= 0 {
		total = " of " + byteSize(e.Total)
	}
	return fmt.Sprintf("hub: with %s%s here; the same command goes on from there: %v", byteSize(e.Done), total, e.Err)
}

func (e *Interrupted) Unwrap() error { return e.Err }

// Pull fetches the model that the reference means, unless it is on this machine
// already, and says where it is. Nothing else in this package uses the network.
//
// Of a repository it takes the file with the reference's tag, with all parts
// of a split one. Without a tag it takes the only model that there is, or the
// first quantisation of [Preferred] that there is; where that leaves a choice,
// the error lists the alternatives. Where there is no GGUF file, or if asked
// to, it takes the model in safetensors.
//
// Every file is checked against the size and hash that the Hub states. What
// has come stays when a pull is interrupted, as a file that ends in .incomplete,
// and the next pull goes on from there. Files that Ollama or LM Studio has, or
// another repository in the cache, are linked, or copied where that fails. The
// free space is looked at beforehand.
func (c *Client) Pull(ctx context.Context, r Ref, o PullOptions) (Pulled, error) {
	p := &pull{client: c, ref: r, options: o, total: -1}
	err := p.run(ctx)
	if err != nil && ctx.Err() != nil {
		return Pulled{}, &Interrupted{p.done + p.current, p.total, ctx.Err()}
	}
	if err != nil {
		return Pulled{}, prefixed(fmt.Errorf("pull %s: %w", r.plain(), err))
	}
	return p.result, nil
}

// A pull is one call of Pull.
type pull struct {
	client  *Client
	http    *http.Client
	ref     Ref
	options PullOptions

	result  Pulled
	total   int64
	done    int64 // bytes of files that are here
	current int64 // bytes of the file at work
	file    string
}

// report tells how much of the current file is there.
func (p *pull) report(n int64) {
	p.current = n
	if p.client.Progress != nil {
		p.client.Progress(Progress{File: p.file, Done: p.done + n, Total: p.total})
	}
}

func (p *pull) run(ctx context.Context) error {
	o := p.options
	if p.client.Offline {
		return errors.New("HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set: nothing is fetched")
	}
	if err := o.check(p.ref); err != nil {
		return err
	}
	var err error
	if p.http, err = p.client.http(); err != nil {
		return err
	}
	if p.ref.URL != "" {
		return p.address(ctx)
	}
	return p.repository(ctx)
}

// A hubInfo is what the Hub says about a repository at a revision.
type hubInfo struct {
	SHA      string   `json:"sha"`
	Siblings siblings `json:"siblings"`
}

// A sibling is a file of a repository.
type sibling struct {
	Name   string `json:"rfilename"`
	Size   *int64 `json:"size"`
	BlobID string `json:"blobId"`
	LFS    *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

// siblings are read one by one, because a list of nothing would take up a
// multiple of its bytes.
type siblings []sibling

func (s *siblings) UnmarshalJSON(b []byte) error {
	*s = nil
	if string(b) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("siblings is no list")
	}
	for d.More() {
		if len(*s) == maxFiles {
			return fmt.Errorf("a repository of more than %d files", maxFiles)
		}
		var one sibling
		if err := d.Decode(&one); err != nil {
			return err
		}
		*s = append(*s, one)
	}
	return nil
}

// files gives the files with safe names.
func (h *hubInfo) files() []listed {
	var files []listed
	for _, s := range h.Siblings {
		if !safePath(s.Name) {
			continue
		}
		f := listed{name: s.Name, size: -1}
		if s.Size != nil && *s.Size >= 0 {
			f.size = *s.Size
		}
		if s.LFS != nil && sha256Form.MatchString(s.LFS.SHA256) {
			f.sha256 = s.LFS.SHA256
			if s.LFS.Size > 0 {
				f.size = s.LFS.Size
			}
		} else if commitForm.MatchString(s.BlobID) {
			f.gitHash = s.BlobID
		}
		files = append(files, f)
	}
	return files
}

func (p *pull) repository(ctx context.Context) error {
	if p.client.Store.HubCache == "" {
		return errors.New("no folder for models is known: set HF_HOME")
	}
	endpoint := strings.TrimRight(cmp.Or(p.client.Endpoint, DefaultEndpoint), "/")
	var info hubInfo
	address := endpoint + "/api/models/" + p.ref.repo() + "/revision/" + url.PathEscape(p.ref.revision()) + "?blobs=true"
	if err := p.client.getJSON(ctx, p.http, p.ref.repo(), address, &info); err != nil {
		return p.client.explain(p.ref, err)
	}
	if !commitForm.MatchString(info.SHA) {
		return fmt.Errorf("the Hub names %.50q as the commit", info.SHA)
	}
	chosen, folder, err := p.choose(info.files())
	if err != nil {
		return err
	}
	cache := p.client.Store.repoCache(p.ref)
	base := endpoint + "/" + p.ref.repo() + "/resolve/" + info.SHA + "/"
	for i := range chosen {
		f := &chosen[i]
		if f.etag() == "" || f.size < 0 {
			if err := p.client.head(ctx, p.http, base+escapePath(f.name), f); err != nil {
				return p.client.explain(p.ref, err)
			}
		}
	}
	p.total = 0
	var missing int64
	for _, f := range chosen {
		if f.size > math.MaxInt64-p.total {
			return fmt.Errorf("%s: the Hub states sizes that cannot be: more than %s", f.name, byteSize(math.MaxInt64))
		}
		p.total += f.size
		if !cache.has(info.SHA, &f) && len(p.elsewhere(&f)) == 0 {
			missing += f.size - min(f.size, partSize(cache.blob(f.etag())+incomplete))
		}
	}
	if missing > 0 {
		if err := os.MkdirAll(cache.dir(), 0o777); err != nil {
			return err
		}
		tagCache(cache.cache)
		if err := checkSpace(cache.dir(), missing); err != nil {
			return err
		}
	}
	m := &p.result.Model
	for i := range chosen {
		f := &chosen[i]
		p.file, p.current = f.name, 0
		if err := p.place(ctx, cache, info.SHA, base+escapePath(f.name), f); err != nil {
			return p.client.explain(p.ref, err)
		}
		p.done, p.current = p.done+f.size, 0
		path := filepath.Join(cache.snapshot(info.SHA), filepath.FromSlash(f.name))
		m.Files = append(m.Files, File{Name: f.name, Path: path, Size: f.size, SHA256: f.sha256})
	}
	if err := cache.setRef(p.ref.revision(), info.SHA); err != nil {
		return err
	}
	name := Ref{Owner: p.ref.Owner, Repo: p.ref.Repo, Revision: p.ref.Revision}
	m.Source, m.Commit, m.Path = HuggingFace, info.SHA, cache.snapshot(info.SHA)
	if !folder {
		name.File, m.Path = m.Files[0].Name, m.Files[0].Path
	}
	m.Name = name.String()
	return nil
}

// choose picks the files to fetch; folder says that they are a model together.
func (p *pull) choose(files []listed) (chosen []listed, folder bool, err error) {
	groups := groupFiles(files)
	if !p.options.Safetensors && len(groups) > 0 {
		g, err := choose(groups, p.ref)
		if err == nil {
			err = g.whole()
		}
		if err != nil {
			return nil, false, err
		}
		return g.files, false, nil
	}
	if p.ref.File != "" || p.ref.Tag != "" {
		return nil, false, fmt.Errorf("%s has no GGUF file", p.ref.repo())
	}
	chosen = safetensorsFiles(files)
	has := func(name string) bool {
		return slices.ContainsFunc(chosen, func(f listed) bool { return f.name == name })
	}
	if !has("config.json") || !slices.ContainsFunc(chosen, func(f listed) bool { return isWeights(f.name) }) {
		return nil, false, fmt.Errorf("%s holds no model that limbic reads: neither GGUF files, nor config.json with .safetensors files", p.ref.repo())
	}
	// The weights last: what is wrong with the others shows early, and a pull
	// that is interrupted leaves nothing that looks like a model.
	order := func(f listed) int {
		if isWeights(f.name) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(chosen, func(a, b listed) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.size, b.size))
	})
	return chosen, true, nil
}

func escapePath(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// head asks for the size and hash of a file that the list did not give. It
// follows redirects within the Hub, but not those to where the contents lie.
func (c *Client) head(ctx context.Context, hc *http.Client, address string, f *listed) error {
	return c.retry(ctx, f.name, func() (bool, error) {
		ctx, _, stop := c.watched(ctx)
		defer stop()
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
		if err != nil {
			return false, finalError{err}
		}
		req.Header.Set("User-Agent", cmp.Or(c.UserAgent, "limbic"))
		req.Header.Set("Accept-Encoding", "identity")
		within := *hc
		within.CheckRedirect = func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != via[0].URL.Host || next.URL.Scheme != via[0].URL.Scheme || len(via) >= 10 {
				return http.ErrUseLastResponse
			}
			return nil
		}
		resp, err := within.Do(req)
		if err != nil {
			return false, causeOf(ctx, err)
		}
		resp.Body.Close()
		if resp.StatusCode >= 400 {
			return false, &statusError{
				url: resp.Request.URL, status: resp.StatusCode, code: resp.Header.Get("X-Error-Code"),
				message: resp.Header.Get("X-Error-Message"), after: retryAfter(resp.Header, time.Now()),
			}
		}
		etag := cmp.Or(resp.Header.Get("X-Linked-Etag"), resp.Header.Get("ETag"))
		etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
		size := resp.Header.Get("X-Linked-Size")
		if size == "" && resp.StatusCode == http.StatusOK {
			size = resp.Header.Get("Content-Length")
		}
		switch n, err := parseSize(size); {
		case err != nil:
			return false, finalError{fmt.Errorf("%s: the Hub doesn't say how large it is", f.name)}
		case sha256Form.MatchString(etag):
			f.sha256, f.size = etag, n
		case commitForm.MatchString(etag):
			f.gitHash, f.size = etag, n
		default:
			return false, finalError{fmt.Errorf("%s: the Hub doesn't state its hash", f.name)}
		}
		return false, nil
	})
}

func parseSize(s string) (int64, error) {
	_, n, err := contentRange("bytes 0-0/" + s)
	if err == nil && n < 0 {
		err = errors.New("unknown")
	}
	return n, err
}

// incomplete ends the names of partial files.
const incomplete = ".incomplete"

func partSize(path string) int64 {
	if info, err := os.Stat(path); err == nil {
		return info.Size()
	}
	return 0
}

// isFile reports whether there is a regular file of that size.
func isFile(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// has reports whether a file is there, in the snapshot or as a blob.
func (c repoCache) has(commit string, f *listed) bool {
	return isFile(filepath.Join(c.snapshot(commit), filepath.FromSlash(f.name)), f.size) || isFile(c.blob(f.etag()), f.size)
}

// place makes sure that a snapshot has a file.
func (p *pull) place(ctx context.Context, cache repoCache, commit, address string, f *listed) error {
	pointer := filepath.Join(cache.snapshot(commit), filepath.FromSlash(f.name))
	if isFile(pointer, f.size) {
		p.report(f.size)
		return nil
	}
	unlock, err := p.lock(ctx, cache.lock(f.etag()))
	if err != nil {
		return err
	}
	defer unlock()
	if isFile(pointer, f.size) { // another program was faster
		p.report(f.size)
		return nil
	}
	blob := cache.blob(f.etag())
	if isFile(blob, f.size) {
		p.report(f.size)
		return cache.link(ctx, f.etag(), commit, f.name, false)
	}
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		return err
	}
	if p.borrow(ctx, f, blob) {
		p.result.Borrowed += f.size
		return cache.link(ctx, f.etag(), commit, f.name, true)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d := &download{
		what: f.name, address: address, part: blob + incomplete, size: f.size,
		want: f.etag(), digest: f.digest, report: p.report,
		room: func(need int64) error { return checkSpace(cache.dir(), need) },
	}
	_, err = p.client.fetch(ctx, p.http, d)
	p.result.Fetched += d.came
	if err != nil {
		return err
	}
	// A blob of another size may stand there: a link to nothing, or damage.
	if err := os.Rename(d.part, blob); err != nil {
		return err
	}
	return cache.link(ctx, f.etag(), commit, f.name, true)
}

// digest makes the hash that a file's etag is of.
func (f *listed) digest() hash.Hash {
	if f.sha256 != "" {
		return sha256.New()
	}
	return gitDigest(f.size)()
}

// lock waits for the lock that Hugging Face's libraries take as well.
func (p *pull) lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	l := flock.New(path, flock.SetPermissions(0o664))
	held, err := l.TryLock()
	if err == nil && !held {
		p.client.notice("%s: another program is fetching it; waiting", p.file)
		_, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return func() {}, nil // without a lock, at worst the same bytes come twice
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// elsewhere gives the paths of files that other programs keep and that may be
// a large file: those of the right size where it would be.
func (p *pull) elsewhere(f *listed) []string {
	if f.sha256 == "" {
		return nil
	}
	s := &p.client.Store
	var paths []string
	for _, dir := range s.Ollama {
		paths = append(paths, filepath.Join(dir, "blobs", "sha256-"+f.sha256))
	}
	for _, dir := range s.LMStudio {
		dir = filepath.Join(dir, p.ref.Owner, p.ref.Repo)
		name := filepath.FromSlash(f.name)
		paths = append(paths, filepath.Join(dir, name), filepath.Join(dir, filepath.Base(name)))
	}
	others, _ := filepath.Glob(filepath.Join(escapeGlob(s.HubCache), "models--*", "blobs", f.sha256))
	paths = append(paths, others...)
	return slices.DeleteFunc(paths, func(path string) bool { return !isFile(path, f.size) })
}

// borrow links or copies a file that another program keeps, if its hash is
// right. What is wrong with such a file is no reason not to fetch it.
func (p *pull) borrow(ctx context.Context, f *listed, blob string) bool {
	for _, path := range p.elsewhere(f) {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		if sum, err := p.hashFile(ctx, path); err != nil || sum != f.sha256 {
			continue
		}
		// A dangling link or a damaged blob may be in the way.
		if err := os.Remove(blob); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if os.Link(path, blob) != nil && copyFile(ctx, path, blob) != nil {
			continue
		}
		os.Remove(blob + incomplete)
		p.client.notice("%s: taken from %s", f.name, path)
		return true
	}
	return false
}

func (p *pull) hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, buf, n := sha256.New(), make([]byte, 1<<18), int64(0)
	for ctx.Err() == nil {
		k, err := f.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		p.report(n)
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// checkSpace fails where a disk has less room than is needed.
func checkSpace(dir string, need int64) error {
	if free, ok := freeSpace(dir); ok && free < need {
		return fmt.Errorf("%s more are needed in %s, and %s are free", byteSize(need), dir, byteSize(free))
	}
	return nil
}

// A note lies beside a file from a plain address.
type note struct {
	URL       string `json:"url"`       // without what may be secret
	Validator string `json:"validator"` // ETag or Last-Modified
	SHA256    string `json:"sha256,omitempty"`
	Size      int64  `json:"size,omitempty"` // of a partial file: what is surely on the disk
}

func readNote(path string) (n note) {
	b, err := readSmall(path, 1<<16)
	if err == nil && json.Unmarshal(b, &n) != nil {
		n = note{}
	}
	return n
}
