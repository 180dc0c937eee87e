package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// A download is one file that comes over the network into a partial file. What
// is in the partial file already does not come again.
type download struct {
	what    string // for messages
	address string
	part    string // path of the partial file
	size    int64  // -1 where unknown until the server says it
	want    string // the digest; empty where unknown
	digest  func() hash.Hash
	// validator is an entity tag or date that tells one state of the file from
	// another, where the digest is unknown. A partial file of another state is
	// not continued.
	validator string
	changed   func(validator string) error // called when the validator does
	// Where the digest is unknown, only what is known to be on the disk is
	// continued: a machine that loses its power may keep the length of a file and
	// not what stood in it. kept is how much that is, and keep writes it down.
	kept int64
	keep func(n int64) error

	check  func(head []byte) error // looks at the first four bytes, if set
	room   func(need int64) error  // called, if set, before so many bytes are written
	report func(done int64)        // how much of the file is there

	sum  hash.Hash
	n    int64 // bytes in the partial file
	came int64 // bytes that came over the network
	most int64 // the most that n has been between requests
}

// errAnew says that a server cannot continue the partial file, which is empty
// now.
var errAnew = errors.New("starts anew")

// gitDigest hashes as git does for the name of an object.
func gitDigest(size int64) func() hash.Hash {
	return func() hash.Hash {
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
}

// fetch runs the download. The partial file is complete, checked and on the
// disk afterwards; after an error, it can be continued unless its contents are
// wrong, in which case it is gone. It gives the digest of the file.
func (c *Client) fetch(ctx context.Context, hc *http.Client, d *download) (digest string, err error) {
	if d.digest == nil {
		d.digest = sha256.New
	}
	// Not opened to append: every byte goes to its own place, so that where a
	// file system's locks don't work, two processes write the same bytes there.
	f, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := d.resume(ctx, f); err != nil {
		return "", err
	}
	for {
		resumed := d.n > 0
		err := c.retry(ctx, d.what, func() (bool, error) {
			if d.size >= 0 && d.n == d.size {
				return false, nil
			}
			err := c.once(ctx, hc, d, f)
			if errors.Is(err, errAnew) {
				err = c.once(ctx, hc, d, f)
			}
			// Not what came: a server that always starts from the beginning and
			// breaks off would be asked for ever.
			progress := d.n > d.most
			d.most = max(d.most, d.n)
			return progress, err
		})
		if err != nil {
			d.sync(f)
			return "", err
		}
		digest = hex.EncodeToString(d.sum.Sum(nil))
		if d.want == "" || digest == d.want {
			break
		}
		if !resumed {
			f.Close()
			os.Remove(d.part)
			return "", fmt.Errorf("%s: what came has the hash %s, not %s, and was deleted", d.what, digest, d.want)
		}
		c.notice("%s: what was continued has a wrong hash; starting anew", d.what)
		if err := d.restart(f); err != nil {
			return "", err
		}
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return digest, f.Close()
}

// keepEvery is how many bytes are put on the disk at a time.
const keepEvery = 64 << 20

// sync puts what came on the disk. Where that fails, it will come again.
func (d *download) sync(f *os.File) {
	if f.Sync() == nil && d.keep != nil && d.want == "" && d.keep(d.n) == nil {
		d.kept = d.n
	}
}

// restart empties the partial file.
func (d *download) restart(f *os.File) error {
	d.sum, d.n, d.kept = d.digest(), 0, 0
	d.report(0)
	return f.Truncate(0)
}

// resume hashes what the partial file holds.
func (d *download) resume(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", d.part)
	}
	// It may be longer than the file, or of another one.
	if d.size >= 0 && info.Size() > d.size || d.unsure() {
		return d.restart(f)
	}
	size := info.Size()
	if d.want == "" && d.kept < size {
		size = d.kept
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	d.sum, d.n = d.digest(), 0
	buf := make([]byte, 1<<18)
	for d.n < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-d.n)], d.n)
		d.sum.Write(buf[:n])
		d.n += int64(n)
		d.report(d.n)
		if err != nil && !(err == io.EOF && d.n == size) {
			return err
		}
	}
	if d.checkHead(f) != nil { // of another time, when it was not looked at
		return d.restart(f)
	}
	return nil
}

// unsure says that nothing tells whether what is here is of the file that the
// server has now.
func (d *download) unsure() bool { return d.want == "" && d.validator == "" }

// checkHead looks at the first four bytes, if they are here.
func (d *download) checkHead(f *os.File) error {
	if d.check == nil || d.n < 4 {
		return nil
	}
	var head [4]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return err
	}
	return d.check(head[:])
}

// once makes one request and writes what comes of it.
func (c *Client) once(ctx context.Context, hc *http.Client, d *download, f *os.File) error {
	ctx, w, stop := c.watched(ctx)
	defer stop()
	header := http.Header{}
	if d.n > 0 && d.unsure() {
		if err := d.restart(f); err != nil {
			return finalError{err}
		}
	}
	if d.n > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.n))
		if d.want == "" {
			header.Set("If-Range", d.validator)
		}
	}
	resp, err := c.request(ctx, hc, d.address, header, http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer resp.Body.Close()
	from := plainURL(resp.Request.URL)
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return finalError{fmt.Errorf("%s: sends the file in the encoding %q, which was not asked for", from, e)}
	}
	now := validator(resp.Header)
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		if d.n == 0 {
			return finalError{fmt.Errorf("%s: %s", from, resp.Status)}
		}
		return d.anew(c, f, "the server has no more than what is here")
	case http.StatusPartialContent:
		start, total, err := contentRange(resp.Header.Get("Content-Range"))
		if err != nil || start != d.n {
			return finalError{fmt.Errorf("%s: asked for the bytes from %d on, got Content-Range %q", from, d.n, resp.Header.Get("Content-Range"))}
		}
		if d.want == "" && now != "" && now != d.validator {
			return d.anew(c, f, "the file has changed")
		}
		if err := d.setSize(total); err != nil {
			return finalError{err}
		}
	case http.StatusOK:
		if d.n > 0 {
			if err := d.anew(c, f, "the server starts from the beginning"); !errors.Is(err, errAnew) {
				return err
			}
		}
		if d.want == "" {
			d.size = -1 // it may be another file than before
			if d.validator = now; d.changed != nil {
				if err := d.changed(now); err != nil {
					return finalError{err}
				}
			}
		}
		if err := d.setSize(resp.ContentLength); err != nil {
			return finalError{err}
		}
	}
	if d.room != nil && d.size >= 0 {
		if err := d.room(d.size - d.n); err != nil {
			return finalError{err}
		}
	}
	return causeOf(ctx, d.copy(resp.Body, f, w))
}

// anew empties the partial file, and says why.
func (d *download) anew(c *Client, f *os.File, why string) error {
	c.notice("%s: %s; starting anew", d.what, why)
	if err := d.restart(f); err != nil {
		return finalError{err}
	}
	return errAnew
}

// setSize compares what a server says about the size with what is known.
func (d *download) setSize(n int64) error {
	switch {
	case n < 0:
	case d.size < 0:
		d.size = n
	case n != d.size:
		return fmt.Errorf("%s: the server has %d bytes, but the file should have %d", d.what, n, d.size)
	}
	return nil
}

func (d *download) copy(body io.Reader, f *os.File, w *watch) error {
	buf := make([]byte, 1<<18)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			w.pat()
			if d.size >= 0 && d.n+int64(n) > d.size {
				return finalError{fmt.Errorf("%s: more came than the %d bytes of the file", d.what, d.size)}
			}
			if _, err := f.WriteAt(buf[:n], d.n); err != nil {
				return finalError{err}
			}
			d.sum.Write(buf[:n])
			first := d.n < 4
			d.n += int64(n)
			d.came += int64(n)
			if first {
				if err := d.checkHead(f); err != nil {
					return finalError{errors.Join(err, d.restart(f))}
				}
			}
			d.report(d.n)
			if d.keep != nil && d.n-d.kept >= keepEvery {
				d.sync(f)
			}
		}
		switch {
		case err == io.EOF && d.size >= 0 && d.n < d.size:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			d.size = d.n // now known, if it was not
			return nil
		case err != nil:
			return err
		}
	}
}

// validator gives what tells one state of a file from another: a strong entity
// tag, or the date of the last change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes 10-99/100"; total is -1 where it is a star.
func contentRange(s string) (start, total int64, err error) {
	bad := fmt.Errorf("bad Content-Range %q", s)
	rest, found := strings.CutPrefix(s, "bytes ")
	span, size, found2 := strings.Cut(rest, "/")
	from, _, found3 := strings.Cut(span, "-")
	if !found || !found2 || !found3 {
		return 0, 0, bad
	}
	if start, err = strconv.ParseInt(from, 10, 64); err != nil || start < 0 {
		return 0, 0, bad
	}
	if size == "*" {
		return start, -1, nil
	}
	if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
		return 0, 0, bad
	}
	return start, total, nil
}
