package exacg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// order is the request body.
type order struct {
	Prompt         string  `json:"prompt"`
	Width          int     `json:"width"`
	Height         int     `json:"height"`
	Steps          int     `json:"steps"`
	CFG            float64 `json:"cfg"`
	ModelIndex     int     `json:"model_index"`
	Seed           uint32  `json:"seed"`
	NegativePrompt *string `json:"negative_prompt,omitempty"`
}

// edit is the request body of the models that change a picture; they take nothing else.
type edit struct {
	Prompt      string `json:"prompt"`
	ModelIndex  int    `json:"model_index"`
	ImageSource string `json:"image_source"`
}

func encode(o imagegen.Order) ([]byte, error) {
	var body any = order{
		Prompt: o.Prompt, Width: o.Width, Height: o.Height, Steps: o.Steps, CFG: o.CFG,
		ModelIndex: o.ModelIndex, Seed: o.Seed, NegativePrompt: o.NegativePrompt,
	}
	if o.Source != "" {
		body = edit{Prompt: o.Prompt, ModelIndex: o.ModelIndex, ImageSource: o.Source}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the prompt goes out as it came in
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// reply is an HTTP answer, its body read as far as we read bodies.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	tooLong bool
}

// roundTrip makes the call. With an error, sent tells whether any of the request may have reached the upstream.
func (c *Client) roundTrip(ctx context.Context, body []byte) (rep reply, sent bool, err error) {
	var onWire atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// A new round means that the transport knows nothing of the last one was taken: it repeats a POST by itself
		// only then.
		GetConn: func(string) { onWire.Store(false) },
		// Writing begins once there is a connection. The hooks that follow come too late to rely on: a call that is
		// cancelled returns while they may still be about to run.
		GotConn: func(httptrace.GotConnInfo) { onWire.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return reply{}, false, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)

	res, err := c.http.Do(req)
	if err != nil {
		// The client's wrapping repeats the URL, whose query may hold what an operator would not log.
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return reply{}, onWire.Load(), fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = res.Body.Close() }()

	rep = reply{status: res.StatusCode, header: res.Header}
	rep.body, err = io.ReadAll(io.LimitReader(res.Body, maxReplyBytes+1))
	switch {
	case err != nil && (res.StatusCode == http.StatusOK || cancelled(ctx)):
		return reply{}, true, fmt.Errorf("read reply (HTTP %d): %w", res.StatusCode, err)
	case err != nil:
		rep.body = nil // any other status says enough without its page
	case len(rep.body) > maxReplyBytes:
		rep.body, rep.tooLong = nil, true
	}
	return rep, true, nil
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

// cancelled reports whether a call's context ended before the call's own time was up.
func cancelled(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCallTimeout)
}
