package picture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
)

const (
	defaultTimeout     = 60 * time.Second
	defaultConcurrency = 16
	maxRedirects       = 3
	maxTries           = 3
	firstPause         = 250 * time.Millisecond // doubles
	userAgent          = "zimage-gateway"
)

// Config says how pictures are fetched.
type Config struct {
	Guard       netguard.Guard
	Timeout     time.Duration // of one picture, all tries together; 0: 60 s
	Concurrency int           // pictures at once; 0: 16. It bounds memory: each may take MaxBytes
}

// Fetcher fetches pictures. It is safe for concurrent use.
type Fetcher struct {
	guard   netguard.Guard
	timeout time.Duration
	places  chan struct{}
	// http follows no redirects and is no Client: that would repeat a URL's query to the next server, as the Referer,
	// and in errors.
	http *http.Transport
}

// NewFetcher returns a fetcher.
func NewFetcher(c Config) *Fetcher {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Concurrency <= 0 {
		c.Concurrency = defaultConcurrency
	}
	return &Fetcher{
		guard: c.Guard, timeout: c.Timeout, places: make(chan struct{}, c.Concurrency), http: c.Guard.Transport(),
	}
}

// CloseIdleConnections closes the connections that no fetch is using.
func (f *Fetcher) CloseIdleConnections() { f.http.CloseIdleConnections() }

// permanent is a failure that another try will not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent reports whether an error of [Fetcher.Fetch] is one that another try will not mend: there is no picture at the
// URL, it is too large, or its address is not allowed.
func Permanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok || errors.Is(err, netguard.ErrAddress)
}

// StatusError is the HTTP status that a picture's server answered with in place of the picture.
type StatusError int

// Error names the status.
func (e StatusError) Error() string { return fmt.Sprintf("HTTP %d", int(e)) }

// Fetch gets the picture at a URL, with a few tries where its server or the way there fails. Errors do not repeat the
// URL's query, which may be a signature.
func (f *Fetcher) Fetch(ctx context.Context, rawURL string) (Picture, error) {
	u, err := f.guard.Check(rawURL)
	if err != nil {
		return Picture{}, fmt.Errorf("fetch picture: %w", permanent{err})
	}
	if err := f.enter(ctx); err != nil {
		return Picture{}, fmt.Errorf("fetch picture from %s: %w", u.Host, err)
	}
	defer func() { <-f.places }()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		p, err := f.fetch(ctx, u)
		if err == nil {
			return p, nil
		}
		if Permanent(err) || try == maxTries || !rest(ctx, pause) {
			return Picture{}, fmt.Errorf("fetch picture from %s: %w", u.Host, err)
		}
	}
}

// enter waits for a place, which does not count as time of the fetch.
func (f *Fetcher) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	select {
	case f.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// rest waits; false where ctx ends before.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch is one try: it follows redirects, each to where the guard allows.
func (f *Fetcher) fetch(ctx context.Context, u *url.URL) (Picture, error) {
	for range maxRedirects + 1 {
		p, next, err := f.get(ctx, u)
		if err != nil || next == nil {
			return p, err
		}
		u = next
	}
	return Picture{}, permanent{fmt.Errorf("more than %d redirects", maxRedirects)}
}

// get asks once; next is where the server says to ask instead.
func (f *Fetcher) get(ctx context.Context, u *url.URL) (p Picture, next *url.URL, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Picture{}, nil, permanent{errors.New("the URL makes no request")}
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "image/*")
	resp, err := f.http.RoundTrip(req)
	if err != nil {
		return Picture{}, nil, err //nolint:wrapcheck // wrapped by Fetch
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err = f.follow(resp)
	default:
		p, err = read(resp)
	}
	return p, next, err
}

// follow returns the address that a redirect names.
func (f *Fetcher) follow(resp *http.Response) (*url.URL, error) {
	to, err := resp.Location()
	if err != nil {
		return nil, permanent{errors.New("a redirect to nowhere")} // err repeats the address
	}
	to.Fragment = ""
	to, err = f.guard.Check(to.String())
	if err != nil {
		return nil, permanent{fmt.Errorf("redirect: %w", err)}
	}
	return to, nil
}

// read returns the picture that an answer holds.
func read(resp *http.Response) (Picture, error) {
	switch s := resp.StatusCode; {
	case s == http.StatusOK:
	case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return Picture{}, StatusError(s)
	default:
		return Picture{}, permanent{StatusError(s)}
	}
	if resp.ContentLength > MaxBytes {
		return Picture{}, permanent{fmt.Errorf("%d bytes are more than %d", resp.ContentLength, MaxBytes)}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxBytes+1))
	if err != nil {
		return Picture{}, fmt.Errorf("read: %w", err)
	}
	if len(data) > MaxBytes {
		return Picture{}, permanent{fmt.Errorf("more than %d bytes", MaxBytes)}
	}
	format, ok := Sniff(data)
	if !ok {
		return Picture{}, permanent{fmt.Errorf("%d bytes are no picture of a known type", len(data))}
	}
	return Picture{Format: format, Data: data}, nil
}
