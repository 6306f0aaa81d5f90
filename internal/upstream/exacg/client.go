package exacg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	defaultTimeout     = 3 * time.Minute
	maxReplyBytes      = 1 << 20
	maxReplyHeader     = 64 << 10
	maxIdleConnections = 512 // above any sensible number of calls at once
	// idleConnTimeout is short because a kept connection that the server closes just as a call goes out makes that
	// call's outcome unknown. Common servers keep theirs for 60 s or more.
	idleConnTimeout = 30 * time.Second
	userAgent       = "zimage-gateway"
)

// Config says which endpoint is called, and how.
type Config struct {
	Name    string        // the upstream's name, for the operator's errors; empty: exacg
	URL     string        // the endpoint, absolute http(s)
	APIKey  string        // sent as a bearer token, and taken out of every text that leaves the package
	Timeout time.Duration // bounds one call from dial to the reply's last byte; zero: 3 minutes
	// Transport carries the calls; nil: a transport of the client's own, made by NewTransport.
	Transport http.RoundTripper
}

// Client calls one endpoint with one key. It is safe for concurrent use.
type Client struct {
	name    string
	url     string
	auth    string
	timeout time.Duration
	http    *http.Client
	scrub   scrubber
}

// New returns a client, or an error that names the mistake in c without repeating its values.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("exacg: the URL must be an absolute http or https one")
	case u.User != nil:
		return nil, errors.New("exacg: the URL must hold no user name or password")
	case c.APIKey == "":
		return nil, errors.New("exacg: an API key is required")
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("exacg: the API key must be visible ASCII characters without spaces")
	case c.Timeout < 0:
		return nil, errors.New("exacg: the timeout must not be negative")
	}
	if c.Name == "" {
		c.Name = "exacg"
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	return &Client{
		name: c.Name, url: c.URL, auth: "Bearer " + c.APIKey, timeout: c.Timeout, scrub: newScrubber(c.APIKey),
		http: &http.Client{
			Transport: c.Transport,
			// A redirect would carry the prompt, and on the same host the key, to a place nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// NewTransport returns the transport that a Client makes for itself, for callers that wrap it.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxReplyHeader,
		DisableCompression:     true, // replies are a few hundred bytes
		// Calls are silent for minutes and share one HTTP/2 connection: pings find out when it has died.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// CloseIdleConnections closes the connections that no call is using.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// errCallTimeout is the cause of a call's context when the call's own time is up, which tells that apart from a
// caller who cancelled.
var errCallTimeout = errors.New("the call took longer than its timeout")

// Generate asks for one picture and waits for it. An error is always an [*imagegen.CallError], with every field that
// its caller decides by set; its Transient is true for a cancelled call, since nothing speaks against another.
func (c *Client) Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error) {
	body, err := encode(o)
	if err != nil {
		return imagegen.Drawing{}, c.fail(&imagegen.CallError{
			Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindInternal,
			Message: "internal error", Err: err,
		})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errCallTimeout)
	defer cancel()

	rep, sent, err := c.roundTrip(ctx, body)
	if err != nil {
		return imagegen.Drawing{}, c.fail(interrupted(ctx, sent, err))
	}
	picture, failure := c.classify(rep, o)
	if failure != nil {
		return imagegen.Drawing{}, c.fail(failure)
	}
	return imagegen.Drawing{URL: picture, Seed: o.Seed, Width: o.Width, Height: o.Height}, nil
}

// fail names the upstream in the operator's cause and makes sure that the key is in neither text.
func (c *Client) fail(e *imagegen.CallError) error {
	e.Message = c.scrub.key(e.Message)
	err := fmt.Errorf("upstream %s: %w", c.name, e.Err)
	if clean := c.scrub.key(err.Error()); clean != err.Error() {
		// The chain is dropped with the text: whoever unwrapped it would print the key after all.
		err = errors.New(clean)
	}
	e.Err = err
	return e
}
