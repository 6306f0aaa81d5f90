package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
)

const (
	defaultTimeout = 15 * time.Second
	maxReply       = 64 << 10
	// maxIdle bounds the connections that are kept for the next event.
	maxIdle = 64
)

var (
	// ErrGone says that the receiver wants no more events: it answered 410.
	ErrGone = errors.New("the receiver wants no more")

	errTimeout = errors.New("no reply in time")
	errClosed  = errors.New("the connection was closed without a reply")
	errReply   = errors.New("the reply is not understood as HTTP")
)

// StatusError is an answer other than a 2xx. That of 410 wraps [ErrGone].
type StatusError struct{ Code int }

// Error returns the code.
func (e *StatusError) Error() string { return "HTTP " + strconv.Itoa(e.Code) }

// Unwrap returns ErrGone where that was the answer.
func (e *StatusError) Unwrap() error {
	if e.Code == http.StatusGone {
		return ErrGone
	}
	return nil
}

// Config says how events are sent.
type Config struct {
	Secret  Secret
	Guard   netguard.Guard
	Timeout time.Duration // of one try; 0: 15 s
	Version string        // of the gateway, for the header User-Agent
}

// Sender sends events. It is safe for concurrent use.
type Sender struct {
	secret    Secret
	guard     netguard.Guard
	timeout   time.Duration
	userAgent string
	// http is no Client: that would follow redirects, and repeat the URL in errors.
	http *http.Transport
}

// NewSender returns a sender. It is an error if there is no secret.
func NewSender(c Config) (*Sender, error) {
	if len(c.Secret.key) == 0 {
		return nil, errSecret
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	transport := c.Guard.Transport()
	transport.MaxIdleConns = maxIdle
	return &Sender{
		secret: c.Secret, guard: c.Guard, timeout: c.Timeout, userAgent: "zimage-gateway/" + c.Version, http: transport,
	}, nil
}

// CloseIdleConnections closes the connections that no try is using.
func (s *Sender) CloseIdleConnections() { s.http.CloseIdleConnections() }

// Send makes one try to deliver a message. Any 2xx is success, a redirect is not. Where there was another answer, the
// error is a [*StatusError]; where ctx ended, it is ctx's cause. It names the URL's host and nothing else of the URL.
func (s *Sender) Send(ctx context.Context, rawURL string, m Message) error {
	u, err := s.guard.Check(rawURL)
	if err != nil {
		return fmt.Errorf("deliver webhook: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(m.Payload))
	if err != nil {
		return fmt.Errorf("deliver webhook to %s: the URL makes no request", u.Host) // err repeats it
	}
	if err := s.setHeader(req.Header, m); err != nil {
		return fmt.Errorf("deliver webhook to %s: %w", u.Host, err)
	}
	resp, err := s.http.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("deliver webhook to %s: %w", u.Host, reason(ctx, err))
	}
	defer resp.Body.Close() //nolint:errcheck // nothing of it is wanted
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// The body is not even read: that of a 101 would not end with ctx.
		return fmt.Errorf("deliver webhook to %s: %w", u.Host, &StatusError{resp.StatusCode})
	}
	// A connection can be used again if its answer was read. The event has arrived, whatever happens here.
	_, _ = io.CopyN(io.Discard, resp.Body, maxReply)
	return nil
}

// setHeader fills in the header of a try that is made now.
func (s *Sender) setHeader(h http.Header, m Message) error {
	now := time.Now()
	signature, err := s.secret.sign(m.ID, now, m.Payload)
	if err != nil {
		return err
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", s.userAgent)
	h.Set(standardwebhooks.HeaderWebhookID, m.ID)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}

// reason returns what may be told of why there was no answer: errors of known kinds. Others may repeat what the receiver
// sent, and a receiver may send back what it was asked.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[net.Error](err); ok { // dialling, DNS, reset, TLS alerts; a refusal of the guard is within
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok { // no TLS there
		return e
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errClosed
	}
	return errReply
}
