package sdwebui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// Config says which server is called, and how.
type Config struct {
	Name string // the upstream's name, for the operator's errors; empty: sdwebui
	// URL is where the web UI is, such as http://127.0.0.1:7860.
	URL string
	// APIKey is the "user:password" of the server's --api-auth; empty: there is none. It is taken out of every text that
	// leaves the package.
	APIKey  string
	Timeout time.Duration // bounds one call, its wait in the server included; zero: 3 minutes
	// Models has the checkpoint (its title or name in the server) for each of our model ids; absent: what is loaded draws.
	Models map[string]string
	// Source returns the picture of an edit; nil: edits are refused.
	Source adapter.SourceFunc
	// Transport carries the calls; nil: a transport of the client's own.
	Transport http.RoundTripper
}

// Client calls one server. It is safe for concurrent use.
type Client struct {
	txt2img, img2img, progress string // endpoints
	auth                       string
	models                     map[string]string
	source                     adapter.SourceFunc
	caller                     *adapter.Caller
	underWay                   atomic.Int32 // calls
}

// minSecret is the shortest password that is looked for in texts: a shorter one would spoil them, and says little.
const minSecret = 4

// New returns a client, or an error that names the mistake in c without repeating its values.
func New(c Config) (*Client, error) {
	base, err := adapter.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("sdwebui: %w", err)
	}
	user, password, isPair := strings.Cut(c.APIKey, ":")
	if c.APIKey != "" && (!isPair || user == "") {
		return nil, errors.New("sdwebui: the API key must be the user:password of the server's --api-auth")
	}
	if c.Name == "" {
		c.Name = "sdwebui"
	}
	if c.Transport == nil {
		transport := adapter.NewTransport()
		transport.IdleConnTimeout = adapter.ShortIdle
		c.Transport = transport
	}
	secrets := []string{c.APIKey}
	if len(password) >= minSecret {
		secrets = append(secrets, password)
	}
	caller, err := adapter.New(adapter.Config{Name: c.Name, Secrets: secrets, Timeout: c.Timeout, Transport: c.Transport})
	if err != nil {
		return nil, fmt.Errorf("sdwebui: %w", err)
	}
	return &Client{
		txt2img: endpoint(*base, "txt2img"), img2img: endpoint(*base, "img2img"),
		progress: endpoint(*base, "progress") + "?skip_current_image=true",
		auth:     adapter.Basic(c.APIKey), models: c.Models, source: c.Source, caller: caller,
	}, nil
}

// endpoint returns an endpoint of the API under a base, which may be in a folder.
func endpoint(base url.URL, name string) string {
	return base.Scheme + "://" + base.Host + strings.TrimRight(base.EscapedPath(), "/") + "/sdapi/v1/" + name
}

// CloseIdleConnections closes the connections that no call is using.
func (c *Client) CloseIdleConnections() { c.caller.CloseIdleConnections() }

// Generate asks for one picture and waits for it. An error is always an [*imagegen.CallError], with every field that
// its caller decides by set. It tells the order's Progress, if set, about once a second.
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
	rep, failure := c.draw(ctx, request, o.Progress)
	if failure != nil {
		return imagegen.Drawing{}, failure
	}
	d := imagegen.Drawing{Seed: o.Seed, Width: o.Width, Height: o.Height}
	if failure := c.caller.Classify(rep, read(rep, &d), o); failure != nil {
		return imagegen.Drawing{}, failure
	}
	return d, nil
}

// draw makes the call, and watches the server's progress meanwhile if anybody wants to know.
func (c *Client) draw(ctx context.Context, r adapter.Request, tell func(float64)) (adapter.Reply, *imagegen.CallError) {
	c.underWay.Add(1)
	defer c.underWay.Add(-1)
	if tell != nil {
		defer c.watch(ctx, tell)()
	}
	return c.caller.Call(ctx, r)
}
