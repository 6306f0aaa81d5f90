package adapter

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// The most that is read of a reply, in bytes: any reply, and a success that holds the picture itself.
const (
	MaxReply        = 1 << 20
	maxPictureReply = (picture.MaxBytes+2)/3*4 + MaxReply // base64 and what is around it
)

// Request is one request to an upstream.
type Request struct {
	Method      string // empty: POST
	URL         string
	ContentType string // of Body; empty: JSON
	Auth        string // the Authorization header; empty: none
	Body        []byte
	HasPicture  bool // a success holds the picture itself, and may be as long as that takes
}

// Reply is an HTTP answer, its body read as far as bodies are read.
type Reply struct {
	Status  int
	Header  http.Header
	Body    []byte // nil where it was too long, or broke off and the status says enough
	TooLong int64  // the bound that the body went over, in bytes; 0: it did not
}

// Call makes one request and reads its reply, within a context made by WithTimeout. A failure is one that brought no
// complete reply.
func (c *Caller) Call(ctx context.Context, r Request) (Reply, *imagegen.CallError) {
	rep, sent, err := c.roundTrip(ctx, r)
	if err != nil {
		return Reply{}, interrupted(ctx, sent, err)
	}
	return rep, nil
}

// roundTrip makes the call. With an error, sent tells whether any of the request may have reached the upstream.
func (c *Caller) roundTrip(ctx context.Context, r Request) (rep Reply, sent bool, err error) {
	var onWire atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// A new round means that the transport knows nothing of the last one was taken: it repeats a POST by itself
		// only then.
		GetConn: func(string) { onWire.Store(false) },
		// Writing begins once there is a connection. The hooks that follow come too late to rely on: a call that is
		// cancelled returns while they may still be about to run.
		GotConn: func(httptrace.GotConnInfo) { onWire.Store(true) },
	})
	req, err := r.build(traced)
	if err != nil {
		return Reply{}, false, err
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return Reply{}, onWire.Load(), fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = res.Body.Close() }()

	rep = Reply{Status: res.StatusCode, Header: res.Header}
	most := int64(MaxReply)
	if r.HasPicture && res.StatusCode == http.StatusOK {
		most = maxPictureReply
	}
	rep.Body, err = readAll(res, most+1)
	switch {
	case err != nil && (res.StatusCode == http.StatusOK || cancelled(ctx)):
		return Reply{}, true, fmt.Errorf("read reply (HTTP %d): %w", res.StatusCode, err)
	case err != nil:
		rep.Body = nil // any other status says enough without its page
	case int64(len(rep.Body)) > most:
		rep.Body, rep.TooLong = nil, most
	}
	return rep, true, nil
}

// build returns the request for the transport.
func (r Request) build(ctx context.Context) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, errors.New("build request: the URL makes none") // err repeats the URL
	}
	if r.Auth != "" {
		req.Header.Set("Authorization", r.Auth)
	}
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

// readAll reads a body, at most so many bytes of it. A length that the server names saves copying a picture's 44 MB again
// and again while they grow; it is believed only as far as the bound.
func readAll(res *http.Response, most int64) ([]byte, error) {
	var b bytes.Buffer
	if n := min(res.ContentLength, most); n > 0 {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(res.Body, most))
	return b.Bytes(), err
}

// interrupted classifies a call that brought no complete answer.
func interrupted(ctx context.Context, sent bool, err error) *imagegen.CallError {
	e := &imagegen.CallError{Billed: imagegen.BilledNo, Transient: true, Kind: imagegen.KindUpstreamError, Err: err}
	if sent {
		e.Billed = imagegen.BilledUnknown
	}
	ne, isNet := errors.AsType[net.Error](err)
	switch {
	case cancelled(ctx):
		e.Outcome, e.Message = imagegen.OutcomeCancelled, "the call was cancelled"
	case ctx.Err() != nil, isNet && ne.Timeout(): // the second: the dialler's and TLS's own bounds
		e.Outcome, e.Kind, e.Message = imagegen.OutcomeTimeout, imagegen.KindUpstreamTimeout, "the image service did not answer in time"
	default:
		e.Outcome, e.Message = imagegen.OutcomeNetwork, "the image service could not be reached, or broke off its answer"
	}
	return e
}

// Bearer returns the Authorization header for a key; empty without one.
func Bearer(key string) string {
	if key == "" {
		return ""
	}
	return "Bearer " + key
}

// Basic returns the Authorization header for "user:password"; empty without it.
func Basic(userinfo string) string {
	if userinfo == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
}
