package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/limbic-go/limbic/internal/atomicfile"
)

// Models from plain addresses lie in limbic's own cache, at HOST/KEY/FILE, where
// KEY is made of the whole address, and FILE is its last part. FILE.json beside
// it says where it came from.

// An addressPlace is where the file of an address lies.
type addressPlace struct {
	url   *url.URL
	parts []string // addresses of all parts, in order
	files []string // their paths
}

// maxAddressParts is how many parts a split file from an address may have.
const maxAddressParts = 1000

// splitName is the name of another part than the one that splitForm matched.
func splitName(m []string, part int) string {
	return fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], part, m[3])
}

// addressPlace works out the place of an address, of all parts if it names one
// part of a split file.
func (s *Store) addressPlace(r Ref) (*addressPlace, error) {
	if s.Addresses == "" {
		return nil, errors.New("no folder for models is known: set LIMBIC_CACHE")
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errors.New("is no valid address")
	}
	p := &addressPlace{url: u, parts: []string{r.URL}}
	if m := splitForm.FindStringSubmatch(u.Path); m != nil {
		n, err := strconv.Atoi(m[3])
		if err != nil || n < 1 || n > maxAddressParts {
			return nil, fmt.Errorf("has %d parts", n)
		}
		p.parts = nil
		for i := 1; i <= n; i++ {
			part := *u
			part.Path, part.RawPath = splitName(m, i), ""
			p.parts = append(p.parts, part.String())
		}
	}
	key := sha256.Sum256([]byte(p.parts[0]))
	dir := filepath.Join(s.Addresses, safeName(u.Host), hex.EncodeToString(key[:8]))
	for _, part := range p.parts {
		u, err := url.Parse(part)
		if err != nil {
			return nil, errors.New("is no valid address")
		}
		p.files = append(p.files, filepath.Join(dir, safeName(u.Path[strings.LastIndexByte(u.Path, '/')+1:])))
	}
	return p, nil
}

// safeName makes a file's name of anything.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, s)
	s = strings.Trim(s[max(0, len(s)-120):], ".")
	if !safePath(s) {
		return "_"
	}
	return s
}

// findAddress finds what was fetched from an address.
func (s *Store) findAddress(r Ref) (Model, error) {
	p, err := s.addressPlace(r)
	if err != nil {
		return Model{}, fmt.Errorf("model %s: %w: %w", r, ErrNotFound, err)
	}
	m, ok := p.model()
	if !ok {
		return Model{}, fmt.Errorf("model %s: %w", plainURL(p.url), ErrNotFound)
	}
	m.Name = r.String()
	return m, nil
}

// model is what lies at the place, if it is complete.
func (p *addressPlace) model() (Model, bool) {
	m := Model{Source: Addresses, Path: p.files[0]}
	for _, path := range p.files {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return Model{}, false
		}
		m.Files = append(m.Files, File{Name: filepath.Base(path), Path: path, Size: info.Size(), SHA256: readNote(path + ".json").SHA256})
	}
	return m, true
}

func (s *Store) listAddresses() []Model {
	if s.Addresses == "" {
		return nil
	}
	paths, _ := filepath.Glob(filepath.Join(escapeGlob(s.Addresses), "*", "*", "*.json"))
	var all []Model
	for _, path := range paths {
		n := readNote(path)
		r, err := ParseRef(n.URL)
		if err != nil || r.URL == "" || n.SHA256 == "" { // without a hash: of a partial file
			continue
		}
		path = strings.TrimSuffix(path, ".json")
		if m, err := s.findAddress(r); err == nil && m.Path == path {
			all = append(all, m)
			continue
		}
		// A further part of a split file; or an address with a secret part has
		// another key: then only the path refers to the model.
		place := &addressPlace{files: []string{path}}
		if m := splitForm.FindStringSubmatch(filepath.Base(path)); m != nil {
			place.files = nil
			n, err := strconv.Atoi(m[3])
			if m[2] != "00001" || err != nil || n > maxAddressParts {
				continue
			}
			for i := range n {
				place.files = append(place.files, filepath.Join(filepath.Dir(path), splitName(m, i+1)))
			}
		}
		if m, ok := place.model(); ok {
			m.Name = path
			all = append(all, m)
		}
	}
	return all
}

func writeNote(path string, n note) error {
	return atomicfile.Write(path, 0o666, func(w io.Writer) error { return json.NewEncoder(w).Encode(n) })
}

// address fetches from a plain address.
func (p *pull) address(ctx context.Context) error {
	place, err := p.client.Store.addressPlace(p.ref)
	if err != nil {
		return err
	}
	if p.options.SHA256 != "" && len(place.parts) > 1 {
		return errors.New("a hash cannot be given for a file in several parts")
	}
	if err := os.MkdirAll(filepath.Dir(place.files[0]), 0o777); err != nil {
		return err
	}
	tagCache(p.client.Store.Addresses)
	for i, part := range place.parts {
		p.file, p.current, p.total = filepath.Base(place.files[i]), 0, -1
		if err := p.addressPart(ctx, place, part, place.files[i]); err != nil {
			return err
		}
		p.done, p.current = p.done+partSize(place.files[i]), 0
	}
	p.total = p.done
	p.result.Model, _ = place.model()
	p.result.Name = p.ref.String()
	return nil
}

func (p *pull) addressPart(ctx context.Context, place *addressPlace, address, path string) error {
	unlock, err := p.lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	want := strings.ToLower(p.options.SHA256)
	if fresh, err := p.unchanged(ctx, address, path, want); err != nil || fresh {
		return err
	}
	u := *place.url
	partNote := path + incomplete + ".json"
	before := readNote(partNote)
	var d *download
	d = &download{
		what: p.file, address: address, part: path + incomplete, size: -1, want: want,
		validator: before.Validator, kept: before.Size,
		changed: func(v string) error {
			return writeNote(partNote, note{URL: plainURL(&u), Validator: v})
		},
		keep: func(n int64) error {
			return writeNote(partNote, note{URL: plainURL(&u), Validator: d.validator, Size: n})
		},
		check: func(head []byte) error {
			if string(head) != "GGUF" {
				return fmt.Errorf("what comes is no GGUF file: it begins with %q", head)
			}
			return nil
		},
		room: func(need int64) error { return checkSpace(filepath.Dir(path), need) },
	}
	d.report = func(n int64) {
		if p.total = -1; d.size >= 0 {
			p.total = p.done + d.size
		}
		p.report(n)
	}
	digest, err := p.client.fetch(ctx, p.http, d)
	p.result.Fetched += d.came
	if err != nil {
		return err
	}
	if d.size < 4 {
		return fmt.Errorf("what came is no GGUF file: it has %d bytes", d.size)
	}
	named, err := url.Parse(address)
	if err != nil {
		return err
	}
	// The note of what was there before must not stand beside the new file.
	if err := os.Remove(path + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(d.part, path); err != nil {
		return err
	}
	os.Remove(partNote)
	return writeNote(path+".json", note{URL: plainURL(named), Validator: d.validator, SHA256: digest, Size: d.size})
}

// unchanged reports whether what is here is still what the address has.
func (p *pull) unchanged(ctx context.Context, address, path, want string) (bool, error) {
	n := readNote(path + ".json")
	if n.SHA256 == "" || !isFile(path, n.Size) {
		return false, nil
	}
	if want != "" {
		return n.SHA256 == want, nil
	}
	if n.Validator == "" {
		return false, nil
	}
	header := http.Header{"If-Modified-Since": {n.Validator}}
	if strings.HasPrefix(n.Validator, `"`) {
		header = http.Header{"If-None-Match": {n.Validator}}
	}
	fresh := false
	err := p.client.retry(ctx, p.file, func() (bool, error) {
		ctx, _, stop := p.client.watched(ctx)
		defer stop()
		resp, err := p.client.request(ctx, p.http, address, header, http.StatusOK, http.StatusNotModified)
		if err != nil {
			return false, causeOf(ctx, err)
		}
		resp.Body.Close() // the file comes with a request of its own
		fresh = resp.StatusCode == http.StatusNotModified
		return false, nil
	})
	return fresh, err
}
