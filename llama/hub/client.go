package hub

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// DefaultEndpoint is the Hub's address unless HF_ENDPOINT names another.
const DefaultEndpoint = "https://huggingface.co"

// A Client fetches models. [NewClient] makes one as the environment says. Its
// methods may not be called at the same time.
type Client struct {
	Store    Store
	Endpoint string // scheme and host of the Hub, perhaps with a path
	// Token is sent to the endpoint's own scheme, host and port and nowhere
	// else, whatever is redirected where. It may be empty.
	Token     string
	Offline   bool // refuse to fetch anything
	UserAgent string
	// Progress, if set, is told how a download goes on.
	Progress func(Progress)
	// Notice, if set, is told what a user may want to know: that a download
	// starts anew, or that it is tried again after an error.
	Notice func(string)

	transport http.RoundTripper // nil: one of its own
	timing    timing
}

// Progress is how far a pull is.
type Progress struct {
	File        string // that is being fetched, or checked
	Done, Total int64  // bytes of all files; Total is -1 where the server didn't say
}

// timing is how long is waited for what.
type timing struct {
	connect time.Duration // for a connection
	stall   time.Duration // for the next byte, or the first
	retry   time.Duration // before the first repetition; each further one takes twice as long
	patient time.Duration // the most that a server may ask to wait
}

var defaultTiming = timing{connect: 15 * time.Second, stall: 60 * time.Second, retry: time.Second, patient: 5 * time.Minute}

// tries is how often a request is made that fails without any progress.
const tries = 5

// maxJSON bounds what is read of an answer that is no model.
const maxJSON = 64 << 20

// NewClient makes a client from the environment: HF_ENDPOINT, HF_TOKEN (or
// HUGGING_FACE_HUB_TOKEN, or the file HF_TOKEN_PATH, which is HF_HOME/token
// unless set), HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_OFFLINE (or
// TRANSFORMERS_OFFLINE), and the places of [DefaultStore].
func NewClient() (*Client, error) {
	c := &Client{Store: DefaultStore(), Endpoint: DefaultEndpoint, UserAgent: "limbic"}
	if e := os.Getenv("HF_ENDPOINT"); e != "" {
		c.Endpoint = strings.TrimRight(e, "/")
	}
	if _, err := c.endpoint(); err != nil {
		return nil, prefixed(fmt.Errorf("HF_ENDPOINT: %w", err))
	}
	c.Offline = isTrue(cmp.Or(os.Getenv("HF_HUB_OFFLINE"), os.Getenv("TRANSFORMERS_OFFLINE")))
	if isTrue(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return c, nil
	}
	source := "HF_TOKEN"
	c.Token = strings.TrimSpace(cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN")))
	if c.Token == "" {
		home, _ := os.UserHomeDir()
		path := expand(home, os.Getenv("HF_TOKEN_PATH"))
		if hf := hfHome(home); path == "" && hf != "" {
			path = filepath.Join(hf, "token")
		}
		if b, err := readSmall(path, maxRef); err == nil {
			source, c.Token = path, strings.TrimSpace(string(b))
		}
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == 0x7f }) {
		return nil, prefixed(fmt.Errorf("the token in %s holds characters that a token cannot have", source))
	}
	return c, nil
}

func isTrue(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

func (c *Client) endpoint() (*url.URL, error) {
	u, err := url.Parse(cmp.Or(c.Endpoint, DefaultEndpoint))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("%q is no address of the form https://host", c.Endpoint)
	}
	return u, nil
}

func (c *Client) notice(format string, args ...any) {
	if c.Notice != nil {
		c.Notice(fmt.Sprintf(format, args...))
	}
}

func (c *Client) times() timing {
	if c.timing == (timing{}) {
		return defaultTiming
	}
	return c.timing
}

// http makes the HTTP client of one pull.
func (c *Client) http() (*http.Client, error) {
	endpoint, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	base := c.transport
	if base == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = (&net.Dialer{Timeout: c.times().connect, KeepAlive: 15 * time.Second}).DialContext
		t.TLSHandshakeTimeout = c.times().connect
		base = t
	}
	return &http.Client{
		Transport: &tokenTransport{base: base, endpoint: endpoint, token: c.Token},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) >= 10:
				return finalError{errors.New("stopped after 10 redirects")}
			case req.URL.Scheme != "https" && via[0].URL.Scheme == "https":
				return finalError{fmt.Errorf("redirected from https to %s", req.URL.Scheme)}
			}
			// It would tell the next host the whole address, with what may be
			// secret in it.
			req.Header.Del("Referer")
			return nil
		},
	}, nil
}

// A tokenTransport adds the token to requests that go to the endpoint. It is
// not left to http.Client, which would send it on to other ports and to
// subdomains.
type tokenTransport struct {
	base     http.RoundTripper
	endpoint *url.URL
	token    string
}

func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.token != "" && req.URL.Scheme == t.endpoint.Scheme && strings.EqualFold(req.URL.Host, t.endpoint.Host) {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	return t.base.RoundTrip(req)
}

// A statusError is an answer other than what was asked for.
type statusError struct {
	url     *url.URL
	status  int
	code    string        // the Hub's word for it
	message string        // for people
	after   time.Duration // how long to wait, if the server said so
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("%s: status %d", plainURL(e.url), e.status)
	if text := http.StatusText(e.status); text != "" {
		s += " " + text
	}
	if e.message != "" {
		s += ": " + e.message
	}
	return s
}

// plainURL writes an address without what may be secret.
func plainURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// request makes one request. Its answer has one of the wanted statuses, and its
// body is to be closed.
func (c *Client) request(ctx context.Context, hc *http.Client, address string, header http.Header, wanted ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not a valid address")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", cmp.Or(c.UserAgent, "limbic"))
	req.Header.Set("Accept-Encoding", "identity") // or sizes and ranges would be those of something else
	resp, err := hc.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = fmt.Errorf("%s: %w", plainURL(req.URL), wrapped.Err)
		}
		return nil, err
	}
	for _, status := range wanted {
		if resp.StatusCode == status {
			return resp, nil
		}
	}
	defer resp.Body.Close()
	e := &statusError{
		url: resp.Request.URL, status: resp.StatusCode,
		code: resp.Header.Get("X-Error-Code"), message: resp.Header.Get("X-Error-Message"),
		after: retryAfter(resp.Header, time.Now()),
	}
	if e.message == "" && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		var body struct {
			Error string `json:"error"`
		}
		if b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16)); err == nil && json.Unmarshal(b, &body) == nil {
			e.message = body.Error
		}
	}
	if len(e.message) > 300 {
		e.message = strings.ToValidUTF8(e.message[:300], "") + "…"
	}
	return nil, e
}

// rateForm is in the RateLimit header: what is left, and the seconds until
// there is more (draft-ietf-httpapi-ratelimit-headers).
var rateForm = regexp.MustCompile(`;\s*r\s*=\s*0+\s*;\s*t\s*=\s*(\d{1,6})`)

// retryAfter reads how long a server asks to wait; 0 where it doesn't say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if m := rateForm.FindStringSubmatch(h.Get("RateLimit")); v == "" && m != nil {
		v = m[1]
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// errStalled is the cause of a context that ended because nothing came.
type errStalled struct{ after time.Duration }

func (e errStalled) Error() string { return fmt.Sprintf("nothing came for %v", e.after) }

// A watch ends a context when it is not patted in time.
type watch struct {
	timer *time.Timer
	after time.Duration
}

// watched gives a context that ends where nothing is done for too long.
func (c *Client) watched(ctx context.Context) (context.Context, *watch, func()) {
	after := c.times().stall
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(after, func() { cancel(errStalled{after}) })
	return ctx, &watch{timer, after}, func() { timer.Stop(); cancel(nil) }
}

func (w *watch) pat() { w.timer.Reset(w.after) }

// causeOf gives the reason why a context ended in the place of an error that
// only says that it did.
func causeOf(ctx context.Context, err error) error {
	var stalled errStalled
	if err != nil && errors.As(context.Cause(ctx), &stalled) {
		return stalled
	}
	return err
}

// A finalError is not worth another try.
type finalError struct{ err error }

func (e finalError) Error() string { return e.err.Error() }
func (e finalError) Unwrap() error { return e.err }

// worthRetry tells failures of the moment from those that stay. What is neither
// an answer nor known to stay is a connection that failed.
func worthRetry(err error) bool {
	var status *statusError
	var name *net.DNSError
	switch {
	case errors.As(err, new(finalError)):
		return false
	case errors.As(err, &status):
		switch status.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	case errors.As(err, &name):
		return !name.IsNotFound
	}
	return !errors.As(err, new(*tls.CertificateVerificationError))
}

// retry calls f until it succeeds, fails in a way that stays, or fails too
// often in a row. f says whether it got any further, which makes the count
// start anew.
func (c *Client) retry(ctx context.Context, what string, f func() (progress bool, err error)) error {
	t := c.times()
	for n, delay := 1, t.retry; ; n, delay = n+1, 2*delay {
		progress, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			n, delay = 1, t.retry
		}
		var status *statusError
		wait := delay
		if errors.As(err, &status) {
			wait = max(wait, status.after)
		}
		switch {
		case !worthRetry(err):
			return err
		case n == tries:
			return fmt.Errorf("%w (tried %d times)", err, n)
		case wait > t.patient:
			return fmt.Errorf("%w (the server asks to wait for %v)", err, wait)
		}
		c.notice("%s: %v; trying again in %v", what, err, wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// getJSON fetches a document.
func (c *Client) getJSON(ctx context.Context, hc *http.Client, what, address string, v any) error {
	return c.retry(ctx, what, func() (bool, error) {
		ctx, w, stop := c.watched(ctx)
		defer stop()
		resp, err := c.request(ctx, hc, address, http.Header{"Accept": {"application/json"}}, http.StatusOK)
		if err != nil {
			return false, causeOf(ctx, err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(&pattingReader{resp.Body, w}, maxJSON+1))
		if err != nil {
			return false, causeOf(ctx, err)
		}
		if len(b) > maxJSON {
			return false, finalError{fmt.Errorf("%s: the answer has more than %s", plainURL(resp.Request.URL), byteSize(maxJSON))}
		}
		if err := json.Unmarshal(b, v); err != nil {
			return false, finalError{fmt.Errorf("%s: the answer is not what the Hub sends: %w", plainURL(resp.Request.URL), err)}
		}
		return false, nil
	})
}

// A pattingReader tells a watch that something came.
type pattingReader struct {
	r io.Reader
	w *watch
}

func (r *pattingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.w.pat()
	}
	return n, err
}

// explain says what a refusal of the Hub means, and what can be done.
func (c *Client) explain(r Ref, err error) error {
	var status *statusError
	endpoint, e := c.endpoint()
	if e != nil || !errors.As(err, &status) || status.url.Host != endpoint.Host {
		return err
	}
	page := endpoint.String() + "/" + r.repo()
	const give = "give it in the environment variable HF_TOKEN, or log in with \"hf auth login\""
	var why string
	switch {
	case status.code == "GatedRepo" && c.Token == "":
		why = fmt.Sprintf("%s is gated: accept its terms at %s, make a token at %s/settings/tokens and %s", r.repo(), page, endpoint, give)
	case status.code == "GatedRepo":
		why = fmt.Sprintf("%s is gated, and the token's account may not read it (yet): accept its terms at %s", r.repo(), page)
	case status.code == "RevisionNotFound":
		why = fmt.Sprintf("%s has no revision %q", r.repo(), r.revision())
	case status.code == "EntryNotFound":
		why = fmt.Sprintf("%s has no such file", r.repo())
	case status.status == http.StatusUnauthorized && c.Token != "" && status.code != "RepoNotFound":
		why = "the token is not accepted; it may have expired"
	case (status.code == "RepoNotFound" || status.status == http.StatusUnauthorized || status.status == http.StatusNotFound) && c.Token == "":
		why = fmt.Sprintf("there is no repository %s, or it is private; for a private one make a token and %s", r.repo(), give)
	case status.code == "RepoNotFound" || status.status == http.StatusNotFound:
		why = fmt.Sprintf("there is no repository %s, or the token's account may not see it", r.repo())
	case status.status == http.StatusForbidden:
		why = fmt.Sprintf("reading %s is forbidden; a token of an account that may goes into the environment variable HF_TOKEN", r.repo())
	case status.status == http.StatusTooManyRequests:
		why = "too many requests; wait a while, or give a token in HF_TOKEN, which raises the limit"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", why, err)
}
