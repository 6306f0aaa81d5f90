package adapter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// defaultTimeout is of a call whose timeout nobody set.
const defaultTimeout = 3 * time.Minute

// Config says how a Caller calls.
type Config struct {
	Name    string        // the upstream's name, for the operator's errors
	Secrets []string      // taken out of every text that leaves the package; empty ones are skipped
	Timeout time.Duration // bounds one call from its preparation to the reply's last byte; zero: 3 minutes
	// Transport carries the calls; nil: one of the caller's own, made by NewTransport.
	Transport http.RoundTripper
}

// Caller makes the calls of one adapter and says what their ends mean. It is safe for concurrent use.
type Caller struct {
	name    string
	timeout time.Duration
	// transport is used without a client, which would follow redirects: that would carry the prompt, and on the same host the
	// key, to a place nobody configured.
	transport http.RoundTripper
	scrub     scrubber
}

// New returns a caller, or an error that names the mistake in c without repeating its values.
func New(c Config) (*Caller, error) {
	if c.Timeout < 0 {
		return nil, errors.New("the timeout must not be negative")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	return &Caller{name: c.Name, timeout: c.Timeout, scrub: newScrubber(c.Secrets), transport: c.Transport}, nil
}

// CloseIdleConnections closes the connections that no call is using.
func (c *Caller) CloseIdleConnections() {
	client := http.Client{Transport: c.transport} // which knows whether it keeps any
	client.CloseIdleConnections()
}

// errCallTimeout is the cause of a call's context when the call's own time is up, which tells that apart from a
// caller who cancelled.
var errCallTimeout = errors.New("the call took longer than its timeout")

// WithTimeout returns the context of one call, to be passed to Call and Source. It ends when the call's time is up.
func (c *Caller) WithTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout, errCallTimeout)
}

// cancelled reports whether a call's context ended before the call's own time was up.
func cancelled(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCallTimeout)
}

// Fail finishes a failure for those who asked for the call: it names the upstream in the operator's cause and makes sure
// that no secret is in either text. Every failure of an adapter goes through it, once.
func (c *Caller) Fail(e *imagegen.CallError) error {
	e.Message = c.scrub.key(e.Message)
	err := fmt.Errorf("upstream %s: %w", c.name, e.Err)
	if clean := c.scrub.key(err.Error()); clean != err.Error() {
		// The chain is dropped with the text: whoever unwrapped it would print the key after all.
		err = errors.New(clean)
	}
	e.Err = err
	return e
}
