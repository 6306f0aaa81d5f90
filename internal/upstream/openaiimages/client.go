package openaiimages

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// Config says which server is called, and how.
type Config struct {
	Name string // the upstream's name, for the operator's errors; empty: openai
	// URL is the API's base, such as https://api.openai.com/v1; a whole endpoint (…/images/generations) will do.
	URL     string
	APIKey  string        // sent as a bearer token, and taken out of every text that leaves the package; empty: none is sent
	Timeout time.Duration // bounds one call, the fetching of a picture to edit included; zero: 3 minutes
	// Models has the server's own name for each of our model ids; absent: our id as it is.
	Models map[string]string
	// Fields names the fields that carry what OpenAI has no field for, by ours: seed, steps, cfg, negative_prompt. One that
	// is absent is not sent.
	Fields map[string]string
	// ResponseFormat is the response_format asked for: "none" for not asking, any other value goes out as it is; empty:
	// b64_json, but nothing where the server's model is one of OpenAI's gpt-image or chatgpt-image models.
	ResponseFormat string
	// Source returns the picture of an edit; nil: edits are refused.
	Source adapter.SourceFunc
	// Transport carries the calls; nil: a transport of the client's own.
	Transport http.RoundTripper
}

// noFormat is the response format of those that must not be asked for one.
const noFormat = "none"

// orderFields are the order's values that Config.Fields may name.
var orderFields = []string{"seed", "steps", "cfg", "negative_prompt"}

// Client calls one server with one key. It is safe for concurrent use.
type Client struct {
	generations, edits string // endpoints
	auth               string
	config             Config
	caller             *adapter.Caller
}

// New returns a client, or an error that names the mistake in c without repeating its values.
func New(c Config) (*Client, error) {
	base, err := adapter.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("openai: %w", err)
	}
	if err := adapter.CheckKey(c.APIKey); err != nil {
		return nil, fmt.Errorf("openai: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		if !slices.Contains(orderFields, name) {
			return nil, fmt.Errorf("openai: no field %q of an order: there are %s", name, strings.Join(orderFields, ", "))
		}
	}
	if c.Name == "" {
		c.Name = "openai"
	}
	if c.Transport == nil {
		transport := adapter.NewTransport()
		transport.IdleConnTimeout = adapter.ShortIdle // many of these servers are vLLM and its like
		c.Transport = transport
	}
	caller, err := adapter.New(adapter.Config{
		Name: c.Name, Secrets: []string{c.APIKey}, Timeout: c.Timeout, Transport: c.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("openai: %w", err)
	}
	return &Client{
		generations: endpoint(*base, "generations"), edits: endpoint(*base, "edits"),
		auth: adapter.Bearer(c.APIKey), config: c, caller: caller,
	}, nil
}

// endpoint returns one of the two endpoints under a base, which may itself be one. A query stays, as Azure's api-version.
func endpoint(base url.URL, name string) string {
	path := strings.TrimRight(base.EscapedPath(), "/")
	path = strings.TrimSuffix(strings.TrimSuffix(path, "/images/generations"), "/images/edits")
	return base.Scheme + "://" + base.Host + path + "/images/" + name + query(base)
}

func query(u url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}

// CloseIdleConnections closes the connections that no call is using.
func (c *Client) CloseIdleConnections() { c.caller.CloseIdleConnections() }

// Generate asks for one picture and waits for it. An error is always an [*imagegen.CallError], with every field that
// its caller decides by set.
func (c *Client) Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error) {
	d, failure := c.generate(ctx, o)
	if failure != nil {
		return imagegen.Drawing{}, c.caller.Fail(failure)
	}
	return d, nil
}

func (c *Client) generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, *imagegen.CallError) {
	ctx, cancel := c.caller.WithTimeout(ctx)
	defer cancel()
	request, failure := c.request(ctx, o)
	if failure != nil {
		return imagegen.Drawing{}, failure
	}
	rep, failure := c.caller.Call(ctx, request)
	if failure != nil {
		return imagegen.Drawing{}, failure
	}
	d := imagegen.Drawing{Seed: o.Seed, Width: o.Width, Height: o.Height}
	if failure := c.caller.Classify(rep, read(rep, &d), o); failure != nil {
		return imagegen.Drawing{}, failure
	}
	return d, nil
}
