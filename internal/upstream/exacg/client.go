package exacg

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// Config says which endpoint is called, and how.
type Config struct {
	Name    string        // the upstream's name, for the operator's errors; empty: exacg
	URL     string        // the endpoint, absolute http(s)
	APIKey  string        // sent as a bearer token, and taken out of every text that leaves the package
	Timeout time.Duration // bounds one call from dial to the reply's last byte; zero: 3 minutes
	// Transport carries the calls; nil: a transport of the client's own, made by adapter.NewTransport.
	Transport http.RoundTripper
}

// Client calls one endpoint with one key. It is safe for concurrent use.
type Client struct {
	url    string
	auth   string
	caller *adapter.Caller
}

// New returns a client, or an error that names the mistake in c without repeating its values.
func New(c Config) (*Client, error) {
	if _, err := adapter.ParseURL(c.URL); err != nil {
		return nil, fmt.Errorf("exacg: %w", err)
	}
	if c.APIKey == "" {
		return nil, errors.New("exacg: an API key is required")
	}
	if err := adapter.CheckKey(c.APIKey); err != nil {
		return nil, fmt.Errorf("exacg: %w", err)
	}
	if c.Name == "" {
		c.Name = "exacg"
	}
	caller, err := adapter.New(adapter.Config{
		Name: c.Name, Secrets: []string{c.APIKey}, Timeout: c.Timeout, Transport: c.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("exacg: %w", err)
	}
	return &Client{url: c.URL, auth: adapter.Bearer(c.APIKey), caller: caller}, nil
}

// CloseIdleConnections closes the connections that no call is using.
func (c *Client) CloseIdleConnections() { c.caller.CloseIdleConnections() }

// Generate asks for one picture and waits for it. An error is always an [*imagegen.CallError], with every field that
// its caller decides by set; its Transient is true for a cancelled call, since nothing speaks against another.
func (c *Client) Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error) {
	d, failure := c.generate(ctx, o)
	if failure != nil {
		return imagegen.Drawing{}, c.caller.Fail(failure)
	}
	return d, nil
}

func (c *Client) generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, *imagegen.CallError) {
	body, err := encode(o)
	if err != nil {
		return imagegen.Drawing{}, adapter.Unencodable(err)
	}
	ctx, cancel := c.caller.WithTimeout(ctx)
	defer cancel()
	rep, failure := c.caller.Call(ctx, adapter.Request{URL: c.url, Auth: c.auth, Body: body})
	if failure != nil {
		return imagegen.Drawing{}, failure
	}
	r := parse(rep.Body)
	if failure := c.caller.Classify(rep, r.Answer, o); failure != nil {
		return imagegen.Drawing{}, failure
	}
	return imagegen.Drawing{
		URL: r.imageURL, Seed: o.Seed, Width: o.Width, Height: o.Height, PointsUsed: r.pointsUsed, PointsLeft: r.pointsLeft,
	}, nil
}
