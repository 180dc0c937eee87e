package emotion

import (
	"archive/tar"
	"compress/gzip"
	_ "embed" // for the archive
	"fmt"
	"io"
	"strings"
	"sync"
)

// Version names the embedded corpus. It changes whenever [EmbeddedHash] does.
const Version = "1"

// EmbeddedHash is the [Corpus.Hash] of the embedded corpus, so that a program
// can record or compare it without decoding the archive.
const EmbeddedHash = "4204ee9009a91e84cccfafc744b251163c88dd63bf60d3c8e2293d646bb7eb6e"

//go:generate go run ./_gen -embedded -o corpus.tar.gz

//go:embed corpus.tar.gz
var archive string

var embedded = sync.OnceValue(func() *Corpus {
	c, err := decode(archive)
	if err != nil {
		// The archive is part of the program; the tests read all of it.
		panic(err)
	}
	return c
})

// Embedded returns the corpus that comes with limbic: 171 emotions, each shown
// in 24 stories on the same 24 topics, with 240 neutral texts and 171 chats. It
// is decoded on the first call, in some tens of milliseconds, and shared by all
// callers, who must not change it.
func Embedded() *Corpus { return embedded() }

// decode reads a corpus from a gzipped tar archive of its folder.
func decode(archive string) (*Corpus, error) {
	zr, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("emotion: embedded archive: %w", err)
	}
	files := make(map[string]string)
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("emotion: embedded archive: %w", err)
		}
		b := make([]byte, h.Size)
		if _, err := io.ReadFull(tr, b); err != nil {
			return nil, fmt.Errorf("emotion: embedded archive: %s: %w", h.Name, err)
		}
		files[h.Name] = string(b)
	}
	// Reading to the end makes gzip check its checksum.
	if _, err := io.Copy(io.Discard, zr); err != nil {
		return nil, fmt.Errorf("emotion: embedded archive: %w", err)
	}
	return parse(files)
}
