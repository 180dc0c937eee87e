package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/limbic-go/limbic/internal/fakehub"
)

const (
	commit1 = "1111111111111111111111111111111111111111"
	commit2 = "2222222222222222222222222222222222222222"
)

// contents makes a file that is no two bytes the same for long.
func contents(seed byte, n int) []byte {
	b := []byte("GGUF")
	for i := 0; len(b) < n; i++ {
		b = append(b, seed+byte(i)^byte(i>>8)*31)
	}
	return b
}

var (
	q4 = contents(4, 300_000)
	q8 = contents(8, 500_000)
)

// setUp starts a Hub with one repository, and makes a client with empty caches.
func setUp(t *testing.T) (*fakehub.Hub, *Client) {
	t.Helper()
	h := fakehub.New()
	t.Cleanup(h.Close)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: map[string][]byte{
		"README.md": []byte("hello"), "m-Q4_K_M.gguf": q4, "m-Q8_0.gguf": q8,
	}})
	dir := t.TempDir()
	return h, &Client{
		Endpoint: h.API.URL,
		Store:    Store{HubCache: filepath.Join(dir, "hub"), Addresses: filepath.Join(dir, "urls")},
		timing:   timing{connect: time.Second, stall: 5 * time.Second, retry: time.Millisecond, patient: time.Minute},
	}
}

func pullOf(t *testing.T, c *Client, ref string) (Pulled, error) {
	t.Helper()
	r, err := ParseRef(ref)
	require.NoError(t, err)
	return c.Pull(context.Background(), r, PullOptions{})
}

func pulled(t *testing.T, c *Client, ref string) Pulled {
	t.Helper()
	p, err := pullOf(t, c, ref)
	require.NoError(t, err)
	return p
}

// tree lists a folder: files with their size, links with their target.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		got[filepath.ToSlash(rel)] = "file"
		if target, err := os.Readlink(path); err == nil {
			got[filepath.ToSlash(rel)] = "-> " + filepath.ToSlash(target)
		}
		return nil
	}))
	return got
}

func same(t *testing.T, want []byte, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%s has %d bytes, not the %d wanted", path, len(got), len(want))
}

// The cache is as Hugging Face's libraries make it.
func TestPullLayout(t *testing.T) {
	h, c := setUp(t)
	p := pulled(t, c, "owner/repo")
	sum := fakehub.SHA256(q4)
	assert.Equal(t, map[string]string{
		"CACHEDIR.TAG": "file",
		".locks/models--owner--repo/" + sum + ".lock":                 "file",
		"models--owner--repo/blobs/" + sum:                            "file",
		"models--owner--repo/refs/main":                               "file",
		"models--owner--repo/snapshots/" + commit1 + "/m-Q4_K_M.gguf": "-> ../../blobs/" + sum,
	}, tree(t, c.Store.HubCache))
	same(t, []byte(commit1), filepath.Join(c.Store.HubCache, "models--owner--repo", "refs", "main"))
	same(t, q4, p.Path)
	assert.Equal(t, "owner/repo/m-Q4_K_M.gguf", p.Name)
	assert.Equal(t, int64(len(q4)), p.Fetched)
	assert.Equal(t, commit1, p.Commit)
	assert.Equal(t, sum, p.Files[0].SHA256)

	// A second time, nothing comes.
	h.Requests()
	p = pulled(t, c, "owner/repo:q4_k_m")
	assert.Zero(t, p.Fetched)
	assert.Len(t, h.Requests(), 1)

	// The other commands find it, and only it.
	for _, name := range []string{"owner/repo", "hf.co/owner/repo:Q4_K_M", "owner/repo/m-Q4_K_M.gguf", "owner/repo@" + commit1} {
		m, err := c.Store.Find(name)
		require.NoError(t, err)
		assert.Equal(t, p.Path, m.Path)
	}
	_, err := c.Store.Find("owner/repo:Q8_0")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "there is owner/repo:Q4_K_M")
	_, err = c.Store.Find("owner/other")
	require.ErrorIs(t, err, ErrNotFound)
	list := c.Store.List()
	require.Len(t, list, 1)
	assert.Equal(t, "owner/repo/m-Q4_K_M.gguf", list[0].Name)
}

func TestPullNewCommit(t *testing.T) {
	h, c := setUp(t)
	pulled(t, c, "owner/repo")
	changed := contents(5, 200_000)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit2, Files: map[string][]byte{"m-Q4_K_M.gguf": changed, "m-Q8_0.gguf": q8}})
	p := pulled(t, c, "owner/repo")
	same(t, changed, p.Path)
	m, err := c.Store.Find("owner/repo")
	require.NoError(t, err)
	same(t, changed, m.Path)
	m, err = c.Store.Find("owner/repo@" + commit1)
	require.NoError(t, err)
	same(t, q4, m.Path)
	list := c.Store.List()
	require.Len(t, list, 2)
	for _, m := range list {
		again, err := c.Store.Find(m.Name)
		require.NoError(t, err)
		assert.Equal(t, m.Path, again.Path)
	}
	// What is the same in both commits comes once.
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: map[string][]byte{"again-Q8_0.gguf": changed}})
	assert.Zero(t, pulled(t, c, "owner/repo").Fetched)
}

func TestPullSplitAndFolders(t *testing.T) {
	h, c := setUp(t)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: map[string][]byte{
		"Q8_0/m-Q8_0-00001-of-00002.gguf": q4, "Q8_0/m-Q8_0-00002-of-00002.gguf": q8, "m-Q2_K.gguf": contents(2, 10),
	}})
	p := pulled(t, c, "owner/repo:Q8_0")
	require.Len(t, p.Files, 2)
	same(t, q4, p.Path)
	same(t, q8, p.Files[1].Path)
	assert.Equal(t, int64(800_000), p.Size())
	target, err := os.Readlink(p.Path)
	require.NoError(t, err)
	assert.Equal(t, "../../../blobs/"+fakehub.SHA256(q4), filepath.ToSlash(target))
	m, err := c.Store.Find("owner/repo:Q8_0")
	require.NoError(t, err)
	assert.Equal(t, p.Path, m.Path)
	// Without one of its parts it is no model.
	require.NoError(t, os.Remove(p.Files[1].Path))
	_, err = c.Store.Find("owner/repo:Q8_0")
	require.ErrorIs(t, err, ErrNotFound)
}

func TestPullSafetensors(t *testing.T) {
	h, c := setUp(t)
	files := map[string][]byte{
		"config.json": []byte("{}"), "tokenizer.json": []byte(`{"a":1}`), "merges.txt": []byte("a b"), "README.md": []byte("x"),
		"model-00001-of-00002.safetensors": q4, "model-00002-of-00002.safetensors": q8, "consolidated.safetensors": q8,
		weightsIndex:       []byte(`{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}`),
		"onnx/config.json": []byte("{}"), "pytorch_model.bin": q8, "m-Q8_0.gguf": q8,
	}
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: files})
	r, err := ParseRef("owner/repo")
	require.NoError(t, err)
	p, err := c.Pull(context.Background(), r, PullOptions{Safetensors: true})
	require.NoError(t, err)
	var names []string
	for _, f := range p.Files {
		names = append(names, f.Name)
		same(t, files[f.Name], f.Path)
		assert.Equal(t, filepath.Join(p.Path, f.Name), f.Path)
	}
	assert.ElementsMatch(t, []string{"config.json", "tokenizer.json", "merges.txt", weightsIndex, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}, names)
	m, err := c.Store.Find("owner/repo")
	require.NoError(t, err)
	assert.Equal(t, p.Path, m.Path)
	assert.Equal(t, "owner/repo", c.Store.List()[0].Name)
	// A small file's name is git's name for it.
	assert.FileExists(t, filepath.Join(c.Store.HubCache, "models--owner--repo", "blobs", fakehub.GitHash(files["merges.txt"])))

	delete(files, "m-Q8_0.gguf")
	assert.Zero(t, pulled(t, c, "owner/repo").Fetched) // no GGUF file: the same
	require.NoError(t, os.Remove(filepath.Join(p.Path, "model-00002-of-00002.safetensors")))
	_, err = c.Store.Find("owner/repo")
	require.ErrorIs(t, err, ErrNotFound)
	delete(files, "config.json")
	_, err = pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "holds no model that limbic reads")
}

// A list without sizes and hashes, as some mirrors give it.
func TestPullTerse(t *testing.T) {
	h, c := setUp(t)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Terse: true, Files: map[string][]byte{"m.gguf": q4}})
	same(t, q4, pulled(t, c, "owner/repo").Path)
	h.Put("owner/st", &fakehub.Repo{Commit: commit1, Terse: true, Files: map[string][]byte{"config.json": []byte("{}"), "model.safetensors": q4}})
	same(t, []byte("{}"), filepath.Join(pulled(t, c, "owner/st").Path, "config.json"))
}

// cut answers with only the first n bytes of what was asked for, and then
// breaks the connection.
func cut(n int, data []byte) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(data))
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes()[:min(n, rec.Body.Len())])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Connections that break all the time still bring every byte once.
func TestPullTruncated(t *testing.T) {
	h, c := setUp(t)
	var notices []string
	c.Notice = func(s string) { notices = append(notices, s) }
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") {
			return false
		}
		cut(70_000, q4)(w, r)
		return true
	})
	p := pulled(t, c, "owner/repo")
	same(t, q4, p.Path)
	assert.Equal(t, int64(len(q4)), p.Fetched)
	var ranges []string
	for _, r := range h.Requests() {
		if strings.HasSuffix(r.Path, ".gguf") && !strings.Contains(r.Path, "resolve") {
			ranges = append(ranges, r.Range)
		}
	}
	require.Len(t, ranges, 5) // five times 70,000 bytes
	assert.Empty(t, ranges[0])
	assert.Regexp(t, `^bytes=\d+-$`, ranges[4])
	require.NotEmpty(t, notices)
	assert.Regexp(t, `^m-Q4_K_M.gguf: .*EOF; trying again in 1ms$`, notices[0])
}

// An interrupted pull keeps what came, and goes on from there.
func TestPullInterrupted(t *testing.T) {
	h, c := setUp(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	waiting := make(chan struct{})
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(q4)))
		w.Write(q4[:100_000])
		w.(http.Flusher).Flush()
		<-waiting
		return true
	})
	c.Progress = func(p Progress) {
		assert.Equal(t, int64(len(q4)), p.Total)
		if p.Done == 100_000 {
			cancel()
		}
	}
	r, _ := ParseRef("owner/repo")
	_, err := c.Pull(ctx, r, PullOptions{})
	close(waiting)
	var at *Interrupted
	require.ErrorAs(t, err, &at)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, int64(100_000), at.Done)
	assert.Equal(t, "hub: with 97.7 KiB of 293.0 KiB here; the same command goes on from there: context canceled", err.Error())
	part := filepath.Join(c.Store.HubCache, "models--owner--repo", "blobs", fakehub.SHA256(q4)+".incomplete")
	same(t, q4[:100_000], part)
	_, err = c.Store.Find("owner/repo")
	require.ErrorIs(t, err, ErrNotFound)

	h.Fault(nil)
	h.Requests()
	c.Progress = nil
	p := pulled(t, c, "owner/repo")
	same(t, q4, p.Path)
	assert.Equal(t, int64(200_000), p.Fetched)
	assert.NoFileExists(t, part)
	requests := h.Requests()
	assert.Equal(t, "bytes=100000-", requests[len(requests)-1].Range)
}

// A partial file that is not the beginning of the file is found out.
func TestPullBadPart(t *testing.T) {
	for _, c := range []struct {
		name    string
		part    []byte
		fetched int
	}{
		{"other bytes", bytes.Repeat([]byte{1}, 100_000), len(q4) - 100_000 + len(q4)},
		{"as long, other bytes", bytes.Repeat([]byte{1}, len(q4)), len(q4)},
		{"longer", append(bytes.Clone(q4), 1), len(q4)},
		{"complete", q4, 0},
		{"empty", nil, len(q4)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, client := setUp(t)
			blobs := filepath.Join(client.Store.HubCache, "models--owner--repo", "blobs")
			require.NoError(t, os.MkdirAll(blobs, 0o777))
			require.NoError(t, os.WriteFile(filepath.Join(blobs, fakehub.SHA256(q4)+incomplete), c.part, 0o666))
			p := pulled(t, client, "owner/repo")
			same(t, q4, p.Path)
			assert.Equal(t, int64(c.fetched), p.Fetched)
		})
	}
}

// What does not have the stated hash or size never gets a name.
func TestPullWrongContents(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"another hash", append(bytes.Clone(q4[:len(q4)-1]), 0), "has the hash"},
		{"too short", q4[:1000], "the server has 1000 bytes, but the file should have 300000"},
		{"too long", append(bytes.Clone(q4), 0), "the server has 300001 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, client := setUp(t)
			h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") {
					return false
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(c.data))
				return true
			})
			_, err := pullOf(t, client, "owner/repo")
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "m-Q4_K_M.gguf")
			for path := range tree(t, client.Store.HubCache) {
				assert.NotContains(t, path, "snapshots/")
				assert.NotContains(t, path, "refs/")
			}
			if c.name == "another hash" {
				assert.NotContains(t, tree(t, client.Store.HubCache), "models--owner--repo/blobs/"+fakehub.SHA256(q4)+incomplete)
			}
		})
	}
}

func TestPullMoreThanStated(t *testing.T) {
	h, c := setUp(t)
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") {
			return false
		}
		w.(http.Flusher).Flush() // no length
		io.Copy(w, io.MultiReader(bytes.NewReader(q4), bytes.NewReader(q8)))
		return true
	})
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "more came than the 300000 bytes")
}

// Answers that pass are waited for; others are not.
func TestPullRetries(t *testing.T) {
	var n atomic.Int32
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		times  int32
		want   string // the error, if any
		asked  int32
	}{
		{"503", func(w http.ResponseWriter) { w.WriteHeader(503) }, 2, "", 3},
		{"500 for ever", func(w http.ResponseWriter) { w.WriteHeader(500) }, 99, "500 Internal Server Error (tried 5 times)", 5},
		{"429 with a date", func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}, 1, "", 2},
		{"429 for long", func(w http.ResponseWriter) { w.Header().Set("Retry-After", "3600"); w.WriteHeader(429) }, 99, "asks to wait for 1h0m0s", 1},
		{"429 for long, as the Hub says it", func(w http.ResponseWriter) {
			w.Header().Set("RateLimit", `"api";r=0;t=3600`)
			w.WriteHeader(429)
		}, 99, "asks to wait for 1h0m0s", 1},
		{"403", func(w http.ResponseWriter) { w.WriteHeader(403) }, 99, "forbidden", 1},
		{"broken connections", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 2, "", 3},
		{"no JSON", func(w http.ResponseWriter) { io.WriteString(w, "<html>") }, 99, "not what the Hub sends", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, client := setUp(t)
			n.Store(0)
			h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/api/") || n.Add(1) > c.times {
					return false
				}
				c.answer(w)
				return true
			})
			_, err := pullOf(t, client, "owner/repo")
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
			assert.Equal(t, c.asked, n.Load())
		})
	}
}

// A server that sends nothing for too long is asked again.
func TestPullStalled(t *testing.T) {
	h, c := setUp(t)
	c.timing.stall = 300 * time.Millisecond
	var n atomic.Int32
	release := make(chan struct{})
	defer close(release)
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") || n.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(q4)))
		w.Write(q4[:50_000])
		w.(http.Flusher).Flush()
		<-release
		return true
	})
	var notices []string
	c.Notice = func(s string) { notices = append(notices, s) }
	p := pulled(t, c, "owner/repo")
	same(t, q4, p.Path)
	assert.Equal(t, int64(len(q4)), p.Fetched)
	require.NotEmpty(t, notices)
	assert.Equal(t, "m-Q4_K_M.gguf: nothing came for 300ms; trying again in 1ms", notices[0])
}

// A server that cannot continue a file starts from its beginning.
func TestPullNoRanges(t *testing.T) {
	h, c := setUp(t)
	var n, breaks atomic.Int32
	breaks.Store(99)
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host != strings.TrimPrefix(h.Contents.URL, "http://") {
			return false
		}
		r.Header.Del("Range")
		if n.Add(1) <= breaks.Load() {
			cut(70_000, q4)(w, r)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(q4))
		return true
	})
	// If it always breaks off, that ends some time.
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "(tried 5 times)")
	n.Store(0)
	breaks.Store(1)
	p := pulled(t, c, "owner/repo")
	same(t, q4, p.Path)
}

// Tokens go to the Hub and nowhere else; what is missing is said.
func TestPullToken(t *testing.T) {
	h, c := setUp(t)
	h.Put("owner/gated", &fakehub.Repo{Commit: commit1, Token: "hf_right", Files: map[string][]byte{"m.gguf": q4}})
	c.Token = "hf_right"
	pulled(t, c, "owner/gated")
	seen := 0
	for _, r := range h.Requests() {
		if "http://"+r.Host == h.API.URL {
			assert.Equal(t, "Bearer hf_right", r.Authorization)
			seen++
		} else {
			assert.Empty(t, r.Authorization, r.Path)
			seen += 10
		}
	}
	assert.Equal(t, 12, seen)

	for _, e := range []struct{ token, ref, want string }{
		{"", "owner/gated", "owner/gated is gated: accept its terms at " + h.API.URL + "/owner/gated, make a token"},
		{"hf_wrong", "owner/gated", "the token's account may not read it"},
		{"", "owner/none", "there is no repository owner/none, or it is private; for a private one make a token and give it in the environment variable HF_TOKEN"},
		{"hf_x", "owner/none", "there is no repository owner/none, or the token's account may not see it"},
		{"", "owner/repo@v9", `owner/repo has no revision "v9"`},
		{"", "owner/repo:Q3_K", "no such file with the tag Q3_K; there is owner/repo:Q4_K_M (293.0 KiB), owner/repo:Q8_0"},
		{"", "owner/repo/x.gguf", "no such file as x.gguf; there is owner/repo:Q4_K_M"},
	} {
		_, c := setUp(t)
		c.Endpoint, c.Token = h.API.URL, e.token
		_, err := pullOf(t, c, e.ref)
		require.ErrorContains(t, err, e.want)
		require.NotContains(t, err.Error(), "secret")
	}
}

// The names in a list are not trusted.
func TestPullHostileNames(t *testing.T) {
	h, c := setUp(t)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: map[string][]byte{
		"../../../../m-Q4_K_M.gguf": q4, "/m-Q8_0.gguf": q8, `..\m.gguf`: q4, "C:m.gguf": q4, "a/../../b.gguf": q8, strings.Repeat("a", 300) + ".gguf": q4, "x\x00.gguf": q4,
	}})
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "holds no model")
	assert.NoDirExists(t, c.Store.HubCache)
	for _, commit := range []string{"", "../../x", "main", strings.Repeat("g", 40)} {
		h.Put("owner/repo", &fakehub.Repo{Commit: commit, Files: map[string][]byte{"m.gguf": q4}})
		_, err := pullOf(t, c, "owner/repo")
		require.ErrorContains(t, err, "as the commit")
	}
}

func TestPullOffline(t *testing.T) {
	h, c := setUp(t)
	c.Offline = true
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "HF_HUB_OFFLINE")
	assert.Empty(t, h.Requests())
}

func TestPullNoSymlinks(t *testing.T) {
	h, c := setUp(t)
	symlink = func(string, string) error { return errors.ErrUnsupported }
	defer func() { symlink = os.Symlink }()
	p := pulled(t, c, "owner/repo")
	assert.Equal(t, "file", tree(t, c.Store.HubCache)["models--owner--repo/snapshots/"+commit1+"/m-Q4_K_M.gguf"])
	same(t, q4, p.Path)
	assert.Zero(t, pulled(t, c, "owner/repo").Fetched)
	m, err := c.Store.Find("owner/repo")
	require.NoError(t, err)
	assert.Equal(t, p.Path, m.Path)
	h.Requests()
}

// Another program that holds the lock is waited for, and its file taken.
func TestPullLocked(t *testing.T) {
	_, c := setUp(t)
	cache := c.Store.repoCache(Ref{Owner: "owner", Repo: "repo"})
	etag := fakehub.SHA256(q4)
	require.NoError(t, os.MkdirAll(filepath.Dir(cache.lock(etag)), 0o777))
	l := flock.New(cache.lock(etag))
	require.NoError(t, l.Lock())
	c.Notice = func(s string) {
		assert.Equal(t, "m-Q4_K_M.gguf: another program is fetching it; waiting", s)
		require.NoError(t, os.MkdirAll(filepath.Dir(cache.blob(etag)), 0o777))
		require.NoError(t, os.WriteFile(cache.blob(etag), q4, 0o666))
		require.NoError(t, l.Unlock())
	}
	p := pulled(t, c, "owner/repo")
	assert.Zero(t, p.Fetched)
	same(t, q4, p.Path)
}

func TestPullDamagedCache(t *testing.T) {
	_, c := setUp(t)
	p := pulled(t, c, "owner/repo")
	blob := c.Store.repoCache(Ref{Owner: "owner", Repo: "repo"}).blob(fakehub.SHA256(q4))
	require.NoError(t, os.Truncate(blob, 10))
	assert.Equal(t, int64(len(q4)), pulled(t, c, "owner/repo").Fetched)
	same(t, q4, p.Path)
	require.NoError(t, os.Remove(blob)) // the link now points to nothing
	assert.Equal(t, int64(len(q4)), pulled(t, c, "owner/repo").Fetched)
	same(t, q4, p.Path)
}

func TestCheckSpace(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, checkSpace(dir, 1))
	if _, known := freeSpace(dir); !known {
		t.Skip("free space is not known on " + runtime.GOOS)
	}
	require.ErrorContains(t, checkSpace(dir, 1<<62), "4.0 EiB more are needed in "+dir)
	h, c := setUp(t)
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			return false
		}
		fmt.Fprintf(w, `{"sha": %q, "siblings": [{"rfilename": "m.gguf", "lfs": {"sha256": %q, "size": %d}}]}`, commit1, fakehub.SHA256(q4), int64(1)<<61)
		return true
	})
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "2.0 EiB more are needed")
}

// What other programs have is not fetched again.
func TestPullBorrows(t *testing.T) {
	for _, where := range []string{"ollama", "lmstudio", "another repository", "ollama, damaged"} {
		t.Run(where, func(t *testing.T) {
			h, c := setUp(t)
			other := t.TempDir()
			c.Store.Ollama, c.Store.LMStudio = []string{other}, []string{other}
			path := filepath.Join(other, "blobs", "sha256-"+fakehub.SHA256(q4))
			data := q4
			switch where {
			case "lmstudio":
				path = filepath.Join(other, "owner", "repo", "m-Q4_K_M.gguf")
			case "another repository":
				path = filepath.Join(c.Store.HubCache, "models--a--b", "blobs", fakehub.SHA256(q4))
			case "ollama, damaged":
				data = bytes.Repeat([]byte{1}, len(q4))
			}
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
			require.NoError(t, os.WriteFile(path, data, 0o666))
			p := pulled(t, c, "owner/repo")
			same(t, q4, p.Path)
			if where == "ollama, damaged" {
				assert.Equal(t, int64(len(q4)), p.Fetched)
				return
			}
			assert.Zero(t, p.Fetched)
			assert.Equal(t, int64(len(q4)), p.Borrowed)
			require.NoError(t, os.Remove(path))
			same(t, q4, p.Path)
			h.Requests()
		})
	}
}

// addresses serves files that may change.
func addresses(t *testing.T) (base string, put func(path, etag string, data []byte), fault *atomic.Pointer[http.HandlerFunc]) {
	files := map[string][]byte{}
	etags := map[string]string{}
	fault = new(atomic.Pointer[http.HandlerFunc])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Authorization"))
		if tag := etags[r.URL.Path]; tag != "" {
			w.Header().Set("ETag", tag)
		}
		if f := fault.Load(); f != nil {
			(*f)(w, r)
			return
		}
		data, found := files[r.URL.Path]
		if !found {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s.URL, func(path, etag string, data []byte) { files[path], etags[path] = data, etag }, fault
}

func TestPullAddress(t *testing.T) {
	_, c := setUp(t)
	c.Token = "hf_secret"
	base, put, fault := addresses(t)
	put("/a/m.gguf", `"1"`, q4)
	ref := base + "/a/m.gguf"
	p := pulled(t, c, ref)
	same(t, q4, p.Path)
	assert.Equal(t, fakehub.SHA256(q4), p.Files[0].SHA256)
	assert.Equal(t, "m.gguf", filepath.Base(p.Path))
	m, err := c.Store.Find(ref)
	require.NoError(t, err)
	assert.Equal(t, p.Path, m.Path)
	require.Len(t, c.Store.List(), 1)
	assert.Equal(t, ref, c.Store.List()[0].Name)
	assert.Zero(t, pulled(t, c, ref).Fetched) // 304

	// A new state comes; it changes half way, which starts it anew.
	put("/a/m.gguf", `"2"`, q8)
	first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			return // unlike it
		}
		fault.Store(nil)
		put("/a/m.gguf", `"3"`, contents(9, 400_000))
		cut(100_000, q8)(w, r)
	})
	fault.Store(&first)
	p = pulled(t, c, ref)
	same(t, contents(9, 400_000), p.Path)

	for _, e := range []struct{ path, want string }{{"/none.gguf", "404"}, {"/page.gguf", "no GGUF file"}, {"/short.gguf", "no GGUF file"}} {
		put("/page.gguf", "", []byte("<!DOCTYPE html>"))
		put("/short.gguf", "", []byte("GG"))
		_, err := pullOf(t, c, base+e.path+"?key=verysecret")
		require.ErrorContains(t, err, e.want)
		require.NotContains(t, err.Error(), "verysecret")
		_, err = c.Store.Find(base + e.path + "?key=verysecret")
		require.ErrorIs(t, err, ErrNotFound)
	}
}

func TestPullAddressHash(t *testing.T) {
	_, c := setUp(t)
	base, put, _ := addresses(t)
	put("/m.gguf", "", q4)
	r, _ := ParseRef(base + "/m.gguf")
	_, err := c.Pull(context.Background(), r, PullOptions{SHA256: fakehub.SHA256(q8)})
	require.ErrorContains(t, err, "has the hash "+fakehub.SHA256(q4)+", not "+fakehub.SHA256(q8))
	_, err = c.Store.Find(r.String())
	require.ErrorIs(t, err, ErrNotFound)
	p, err := c.Pull(context.Background(), r, PullOptions{SHA256: strings.ToUpper(fakehub.SHA256(q4))})
	require.NoError(t, err)
	same(t, q4, p.Path)
	_, err = c.Pull(context.Background(), r, PullOptions{SHA256: "abc"})
	require.ErrorContains(t, err, `"abc" is not 64 hexadecimal digits`)
}

func TestPullAddressParts(t *testing.T) {
	_, c := setUp(t)
	base, put, _ := addresses(t)
	put("/m-00001-of-00002.gguf", `"1"`, q4)
	put("/m-00002-of-00002.gguf", `"2"`, q8)
	p := pulled(t, c, base+"/m-00002-of-00002.gguf")
	require.Len(t, p.Files, 2)
	same(t, q4, p.Path)
	same(t, q8, p.Files[1].Path)
	assert.Equal(t, filepath.Dir(p.Path), filepath.Dir(p.Files[1].Path))
	m, err := c.Store.Find(base + "/m-00001-of-00002.gguf")
	require.NoError(t, err)
	assert.Equal(t, p.Path, m.Path)
	assert.Zero(t, pulled(t, c, base+"/m-00001-of-00002.gguf").Fetched)
}

// A partial file of another state of an address is not continued.
func TestPullAddressInterrupted(t *testing.T) {
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprint("changed ", changed), func(t *testing.T) {
			_, c := setUp(t)
			base, put, fault := addresses(t)
			put("/m.gguf", `"1"`, q4)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			half := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cut(100_000, q4)(w, r) })
			fault.Store(&half)
			c.Progress = func(p Progress) {
				if p.Done == 100_000 {
					cancel()
				}
			}
			r, _ := ParseRef(base + "/m.gguf")
			_, err := c.Pull(ctx, r, PullOptions{})
			require.ErrorIs(t, err, context.Canceled)
			fault.Store(nil)
			c.Progress = nil
			want, fetched := q4, len(q4)-100_000
			if changed {
				want, fetched = q8, len(q8)
				put("/m.gguf", `"2"`, q8)
			}
			p := pulled(t, c, base+"/m.gguf")
			same(t, want, p.Path)
			assert.Equal(t, int64(fetched), p.Fetched)
		})
	}
}

// An error page that comes in the place of a model is not continued into one.
func TestPullAddressPage(t *testing.T) {
	_, c := setUp(t)
	base, put, fault := addresses(t)
	page := append([]byte("<!DOCTYPE html>"), q8...)
	put("/m.gguf", `"1"`, page)
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cut(5000, page)(w, r) })
	fault.Store(&slow)
	_, err := pullOf(t, c, base+"/m.gguf")
	require.ErrorContains(t, err, "no GGUF file")
	fault.Store(nil)
	for range 2 { // once more with what the first time left
		_, err = pullOf(t, c, base+"/m.gguf")
		require.ErrorContains(t, err, "no GGUF file")
	}
	_, err = c.Store.Find(base + "/m.gguf")
	require.ErrorIs(t, err, ErrNotFound)
	// Nor what a version that kept it left behind.
	r, _ := ParseRef(base + "/m.gguf")
	place, err := c.Store.addressPlace(r)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(place.files[0]+incomplete, page[:5000], 0o666))
	require.NoError(t, writeNote(place.files[0]+incomplete+".json", note{URL: base + "/m.gguf", Validator: `"1"`}))
	_, err = pullOf(t, c, base+"/m.gguf")
	require.ErrorContains(t, err, "no GGUF file")
}

// Of a partial file, only what was put on the disk is continued.
func TestPullAddressKept(t *testing.T) {
	for _, kept := range []int64{0, 60_000, 100_000, 200_000} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			_, c := setUp(t)
			base, put, _ := addresses(t)
			put("/m.gguf", `"1"`, q4)
			r, _ := ParseRef(base + "/m.gguf")
			place, err := c.Store.addressPlace(r)
			require.NoError(t, err)
			part := place.files[0] + incomplete
			require.NoError(t, os.MkdirAll(filepath.Dir(part), 0o777))
			data := bytes.Clone(q4[:100_000])
			clear(data[min(kept, 100_000):]) // as after a loss of power
			require.NoError(t, os.WriteFile(part, data, 0o666))
			require.NoError(t, writeNote(part+".json", note{URL: base + "/m.gguf", Validator: `"1"`, Size: kept}))
			p := pulled(t, c, base+"/m.gguf")
			same(t, q4, p.Path)
			assert.Equal(t, int64(len(q4))-min(kept, 100_000), p.Fetched)
		})
	}
}

// Without anything that tells one state of a file from another, a broken
// connection makes the file start anew: the rest may be of another one.
func TestPullAddressUnsure(t *testing.T) {
	_, c := setUp(t)
	base, put, fault := addresses(t)
	put("/m.gguf", "", q8)
	first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault.Store(nil)
		cut(100_000, q4)(w, r)
	})
	fault.Store(&first)
	same(t, q8, pulled(t, c, base+"/m.gguf").Path)
}

// What is half here is no model, and what stands in another file's note is not
// said of this one.
func TestPullAddressCrash(t *testing.T) {
	_, c := setUp(t)
	base, put, fault := addresses(t)
	put("/m.gguf", `"1"`, q4)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	half := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cut(100_000, q4)(w, r) })
	fault.Store(&half)
	c.Progress = func(p Progress) {
		if p.Done == 100_000 {
			cancel()
		}
	}
	r, _ := ParseRef(base + "/m.gguf")
	_, err := c.Pull(ctx, r, PullOptions{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, c.Store.List())
	c.Progress = nil
	fault.Store(nil)
	p := pulled(t, c, r.String())
	require.Len(t, c.Store.List(), 1)

	// The program ends between the last two steps of putting a new file of the
	// same size in the place of the old one.
	put("/m.gguf", `"2"`, contents(7, len(q4)))
	note := p.Path + ".json"
	require.NoError(t, os.Remove(note))
	require.NoError(t, os.MkdirAll(filepath.Join(note, "x"), 0o777)) // it cannot be written
	_, err = pullOf(t, c, r.String())
	require.Error(t, err)
	require.NoError(t, os.RemoveAll(note))
	m, err := c.Store.Find(r.String())
	require.NoError(t, err)
	assert.Empty(t, m.Files[0].SHA256)
	p, err = c.Pull(context.Background(), r, PullOptions{SHA256: fakehub.SHA256(contents(7, len(q4)))})
	require.NoError(t, err)
	same(t, contents(7, len(q4)), p.Path)
}

// Addresses with a secret part, and parts of split files, are listed once each.
func TestListAddresses(t *testing.T) {
	_, c := setUp(t)
	base, put, _ := addresses(t)
	for _, path := range []string{"/m.gguf", "/s-00001-of-00002.gguf", "/s-00002-of-00002.gguf"} {
		put(path, `"1"`, q4)
	}
	pulled(t, c, base+"/m.gguf")
	secret := pulled(t, c, base+"/m.gguf?key=verysecret")
	split := pulled(t, c, base+"/s-00001-of-00002.gguf?key=verysecret")
	var names []string
	for _, m := range c.Store.List() {
		names = append(names, m.Name)
		assert.Len(t, m.Files, map[bool]int{true: 2, false: 1}[m.Path == split.Path])
	}
	assert.ElementsMatch(t, []string{base + "/m.gguf", secret.Path, split.Path}, names)
	require.NoError(t, os.Remove(split.Files[1].Path))
	assert.Len(t, c.Store.List(), 2)
}

// What is secret in an address is not told to the host that it redirects to.
func TestPullRedirectSecret(t *testing.T) {
	_, c := setUp(t)
	c.Token = "hf_secret"
	var got atomic.Pointer[http.Header]
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(&r.Header)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(q4))
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/x.gguf", http.StatusFound)
	}))
	defer first.Close()
	same(t, q4, pulled(t, c, strings.Replace(first.URL, "http://", "http://user:password@", 1)+"/m.gguf?key=verysecret").Path)
	for name, values := range *got.Load() {
		for _, secret := range []string{"verysecret", "password", "hf_secret", "dXNlcjpwYXNzd29yZA"} {
			assert.NotContains(t, strings.Join(values, " "), secret, name)
		}
	}
}

// A list whose sizes add up beyond all numbers, or that is longer than any.
func TestPullHostileList(t *testing.T) {
	h, c := setUp(t)
	lfs := fmt.Sprintf(`"lfs": {"sha256": %q, "size": %d}`, fakehub.SHA256(q4), int64(1)<<62)
	answer := fmt.Sprintf(`{"sha": %q, "siblings": [{"rfilename": "m-00001-of-00002.gguf", %s}, {"rfilename": "m-00002-of-00002.gguf", %s}]}`, commit1, lfs, lfs)
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		io.WriteString(w, answer)
		return strings.HasPrefix(r.URL.Path, "/api/")
	})
	_, err := pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "m-00002-of-00002.gguf: the Hub states sizes that cannot be")
	answer = fmt.Sprintf(`{"sha": %q, "siblings": [%s{}]}`, commit1, strings.Repeat("{},", maxFiles))
	_, err = pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "more than 100000 files")
	answer = fmt.Sprintf(`{"sha": %q, "siblings": {}}`, commit1)
	_, err = pullOf(t, c, "owner/repo")
	require.ErrorContains(t, err, "siblings is no list")
}

// Two programs that want the same file at once get it once, also where the
// file system has no links, so that the first leaves nothing but the snapshot.
func TestPullTogether(t *testing.T) {
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprint("links ", links), func(t *testing.T) {
			if !links {
				t.Setenv("HF_HUB_DISABLE_SYMLINKS", "1")
			}
			h, first := setUp(t)
			second := &Client{Endpoint: first.Endpoint, Store: first.Store, timing: first.timing}
			waiting, going := make(chan struct{}), make(chan struct{})
			second.Notice = func(string) { close(going) } // it waits for the lock
			h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				if "http://"+r.Host == h.Contents.URL {
					close(waiting)
					<-going
				}
				return false
			})
			done := make(chan Pulled)
			go func() {
				<-waiting
				p, err := pullOf(t, second, "owner/repo")
				assert.NoError(t, err)
				done <- p
			}()
			a := pulled(t, first, "owner/repo")
			b := <-done
			assert.Equal(t, int64(len(q4)), a.Fetched)
			assert.Zero(t, b.Fetched)
			same(t, q4, b.Path)
		})
	}
}

// An interrupted pull of a model in safetensors leaves nothing that is taken
// for one.
func TestPullSafetensorsInterrupted(t *testing.T) {
	h, c := setUp(t)
	h.Put("owner/repo", &fakehub.Repo{Commit: commit1, Files: map[string][]byte{
		"config.json": []byte("{}"), "tokenizer.json": bytes.Repeat([]byte(" "), 1000), "model.safetensors": q4[:100], "model.fp16.safetensors": q4[:50],
	}})
	h.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "tokenizer.json") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err := pullOf(t, c, "owner/repo")
	require.Error(t, err)
	_, err = c.Store.Find("owner/repo")
	require.ErrorIs(t, err, ErrNotFound)
	h.Fault(nil)
	p := pulled(t, c, "owner/repo")
	require.Len(t, p.Files, 3)
	assert.Equal(t, "model.safetensors", p.Files[2].Name)
}
