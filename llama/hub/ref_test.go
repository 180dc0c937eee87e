package hub

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRef(t *testing.T) {
	repo := Ref{Owner: "owner", Repo: "repo-GGUF"}
	with := func(f func(*Ref)) Ref { r := repo; f(&r); return r }
	q4 := with(func(r *Ref) { r.Tag = "Q4_K_M" })
	file := with(func(r *Ref) { r.File = "sub/m-q8_0.gguf" })
	v1 := with(func(r *Ref) { r.Revision = "v1.0"; r.Tag = "q8_0" })
	pr := with(func(r *Ref) { r.Revision = "refs/pr/1" })
	for _, c := range []struct {
		text string
		want Ref
		out  string // what String writes, if not the text
	}{
		{"owner/repo-GGUF", repo, ""},
		{"owner/repo-GGUF:Q4_K_M", q4, ""},
		{"owner/repo-GGUF/sub/m-q8_0.gguf", file, ""},
		{"owner/repo-GGUF@v1.0:q8_0", v1, ""},
		{"owner/repo-GGUF@main", repo, "owner/repo-GGUF"},
		{"owner/repo-GGUF@refs%2Fpr%2F1", pr, ""},
		{"hf.co/owner/repo-GGUF:Q4_K_M", q4, "owner/repo-GGUF:Q4_K_M"},
		{"huggingface.co/owner/repo-GGUF", repo, "owner/repo-GGUF"},
		{"HF.co/owner/repo-GGUF", repo, "owner/repo-GGUF"},
		{"hf://owner/repo-GGUF/sub/m-q8_0.gguf", file, "owner/repo-GGUF/sub/m-q8_0.gguf"},
		{"hf://models/owner/repo-GGUF", repo, "owner/repo-GGUF"},
		{"https://huggingface.co/owner/repo-GGUF", repo, "owner/repo-GGUF"},
		{"https://huggingface.co/owner/repo-GGUF/", repo, "owner/repo-GGUF"},
		{"https://huggingface.co/owner/repo-GGUF/tree/main", repo, "owner/repo-GGUF"},
		{"https://huggingface.co/owner/repo-GGUF/resolve/main/sub/m-q8_0.gguf?download=true", file, "owner/repo-GGUF/sub/m-q8_0.gguf"},
		{"https://huggingface.co/owner/repo-GGUF/blob/main/sub/m%2Dq8_0.gguf", file, "owner/repo-GGUF/sub/m-q8_0.gguf"},
		{"https://huggingface.co/owner/repo-GGUF/tree/refs%2Fpr%2F1", pr, "owner/repo-GGUF@refs%2Fpr%2F1"},
		{"hf.co/owner/repo.gguf", Ref{Owner: "owner", Repo: "repo.gguf"}, ""},
		{"https://example.org/a/m.gguf?key=1#part", Ref{URL: "https://example.org/a/m.gguf?key=1"}, "https://example.org/a/m.gguf?key=1"},
		{"http://localhost:8080/m.gguf", Ref{URL: "http://localhost:8080/m.gguf"}, ""},
	} {
		t.Run(c.text, func(t *testing.T) {
			r, err := ParseRef(c.text)
			require.NoError(t, err)
			assert.Equal(t, c.want, r)
			if c.out == "" {
				c.out = c.text
			}
			assert.Equal(t, c.out, r.String())
			again, err := ParseRef(r.String())
			require.NoError(t, err)
			assert.Equal(t, r, again)
		})
	}
}

func TestParseRefErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "is empty"},
		{"model", "is not owner/repo"},
		{"llama3.2:1b", "is not owner/repo"},
		{"models/m.gguf", "no such file"},
		{"owner/repo:", "no tag"},
		{"owner/repo/", "slash"},
		{"owner/repo@:Q8_0", "not a revision"},
		{"owner/repo@a/b", "is no .gguf file"},
		{"owner/repo/m.gguf:Q8_0", "not the name of a file"},
		{"owner/repo:Q8_0/m.gguf", "both a file and the tag"},
		{"owner/repo/config.json", "is no .gguf file"},
		{"owner/repo:a b", "not a tag"},
		{"../repo", `".."`},
		{"owner/..", `".."`},
		{"/etc/passwd", `""`},
		{"owner/a--b", `"a--b"`},
		{"owner/.repo", `".repo"`},
		{"owner/repo.git", ".git"},
		{"owner/" + strings.Repeat("a", 97), "not the name of a repository"},
		{"owner/repo/../m.gguf", "not the name of a file"},
		{"owner/repo//m.gguf", "not the name of a file"},
		{`owner/repo/a\..\m.gguf`, "not the name of a file"},
		{"owner/repo/C:m.gguf", "not the name of a file"},
		{"owner/repo/" + strings.Repeat("a", 256) + ".gguf", "not the name of a file"},
		{"owner/repo@../../x", "not a revision"},
		{"owner/repo@..%2F..%2Fx", "not a revision"},
		{"owner/repo\x00", "not text"},
		{"owner/\xff", "not text"},
		{strings.Repeat("a", 5000), "at most"},
		{"ftp://example.org/m.gguf", `unknown scheme "ftp"`},
		{"https:///m.gguf", "names no host"},
		{"https://example.org/", "names no file"},
		{"https://[::1/m.gguf", "no valid address"},
		{"hf.co/owner", "is not owner/repo"},
		{"https://huggingface.co/datasets/a/b", "datasets"},
		{"https://huggingface.co/owner/repo/resolve/main/%2e%2e/%2e%2e/m.gguf", "not the name of a file"},
	} {
		t.Run(c.text, func(t *testing.T) {
			_, err := ParseRef(c.text)
			require.ErrorContains(t, err, c.want)
			assert.Less(t, len(err.Error()), 600)
		})
	}
}

// Whatever is read as a reference stays in its folder and reads again.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"owner/repo", "hf.co/o/r:Q4_K_M", "o/r@v1/x/y.gguf", "https://e.org/a.gguf?x#y", "hf://models/o/r",
		"https://hf.co/o/r/resolve/refs%2Fpr%2F1/a.gguf", "../x/y.gguf", "o/r@%2e%2e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		again, err := ParseRef(r.String())
		if err != nil || again != r {
			t.Fatalf("%q is %+v, written %q, read again %+v, %v", s, r, r.String(), again, err)
		}
		store := Store{HubCache: "cache", Addresses: "addresses"}
		var paths []string
		if r.URL != "" {
			p, err := store.addressPlace(r)
			if err != nil {
				return
			}
			for _, path := range p.files {
				if rel, err := filepath.Rel("addresses", path); err != nil || strings.Count(filepath.ToSlash(rel), "/") != 2 {
					t.Fatalf("%q lies at %q", s, path)
				}
			}
			paths = p.files
		} else {
			c := store.repoCache(r)
			paths = []string{c.ref(r.revision()), filepath.Join(c.snapshot("x"), filepath.FromSlash(r.File))}
			for _, path := range paths {
				if !strings.HasPrefix(path, c.dir()+string(filepath.Separator)) {
					t.Fatalf("%q lies at %q", s, path)
				}
			}
		}
		for _, path := range paths {
			if !filepath.IsLocal(path) {
				t.Fatalf("%q lies at %q", s, path)
			}
		}
	})
}

func TestSafePath(t *testing.T) {
	for _, name := range []string{"m.gguf", "a/b/c.gguf", "mit Leerzeichen.gguf", "模型.gguf", "a..b.gguf"} {
		assert.True(t, safePath(name), name)
	}
	for _, name := range []string{"", ".", "..", "/m", "a/../b", "a//b", "a/", `a\b`, "C:x", "a\nb", "a\x00b", "a.", "a /b", "a*", strings.Repeat("x/", 600) + "x"} {
		assert.False(t, safePath(name), name)
	}
}
