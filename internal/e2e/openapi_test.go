package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// client returns an HTTP client that fails the test where a reply of the gateway is not as the OpenAPI document says.
func (g *gateway) client() *http.Client { return &http.Client{Transport: inspector{g.t}} }

// inspector is a transport that checks what comes back.
type inspector struct{ t testing.TB }

// RoundTrip makes one request.
func (i inspector) RoundTrip(req *http.Request) (*http.Response, error) {
	base := req.URL.Scheme + "://" + req.URL.Host
	// Before the request, as the gateway may be about to stop. Where it is gone already, the request says so.
	d, unread := documentOf(base)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if unread != nil {
		i.t.Errorf("a gateway that answers does not give its document: %v", unread)
		return resp, nil
	}
	if err := d.checkHead(req, resp); err != nil {
		i.t.Errorf("%s %s: %d %v is not as documented: %v", req.Method, req.URL, resp.StatusCode, resp.Header, err)
		return resp, nil
	}
	resp.Body = &inspectedBody{ReadCloser: resp.Body, check: func(body []byte, whole bool) {
		if err := d.checkBody(req, resp, body, whole); err != nil {
			i.t.Errorf("%s %s: the body of %d is not as documented: %v", req.Method, req.URL, resp.StatusCode, err)
		}
	}}
	return resp, nil
}

// inspectedBody checks a body once it was read, or given up.
type inspectedBody struct {
	io.ReadCloser
	mu    sync.Mutex // HTTP clients may close from another goroutine
	read  bytes.Buffer
	done  bool
	check func(body []byte, whole bool)
}

// Read reads and keeps what was read.
func (b *inspectedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	_, _ = b.read.Write(p[:n])
	b.mu.Unlock()
	if err != nil {
		b.finish(errors.Is(err, io.EOF))
	}
	return n, err
}

// Close closes the body.
func (b *inspectedBody) Close() error {
	b.finish(false)
	return b.ReadCloser.Close()
}

func (b *inspectedBody) finish(whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		b.check(b.read.Bytes(), whole)
	}
}

// wrongReply is what the inspection is tried on.
type wrongReply struct {
	method, target string
	status         int
	header         map[string]string // beside x-request-id and the type of JSON
	body           string
	complaint      string // empty: there must be none
}

// TestOpenAPIInspection sees that the inspection finds what is wrong: of each fault there is a right reply too.
func TestOpenAPIInspection(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{noWorker: true})
	d, err := documentOf(g.url)
	if err != nil {
		t.Fatal(err)
	}
	const (
		models  = `{"object":"list","data":[]}`
		unknown = `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"unknown_url"}}`
		piece   = `{"id":"chatcmpl-a","object":"chat.completion.chunk","created":1,"model":"Z-Image","choices":[]}`
		picture = `{"type":"image_generation.completed","created_at":1,"url":"http://x/a.png","size":"8x8","quality":"auto","background":"auto",` +
			`"usage":{"input_tokens":0,"input_tokens_details":{"image_tokens":0,"text_tokens":0},"output_tokens":0,"total_tokens":0}}`
	)
	events := map[string]string{"Content-Type": "text/event-stream; charset=utf-8"}
	drawn := map[string]string{"Content-Type": "text/event-stream", "X-Job-Id": "job_a"}
	for name, c := range map[string]wrongReply{
		"models":                 {"GET", "/v1/models", 200, nil, models, ""},
		"another form of a path": {"GET", "/v1/v1/models/?x=1", 200, nil, models, ""},
		"a field missing":        {"GET", "/models", 200, nil, `{"object":"list"}`, "missing"},
		"a field too many":       {"GET", "/models", 200, nil, `{"object":"list","data":[],"more":1}`, "additional"},
		"a type":                 {"GET", "/models", 200, nil, `{"object":"list","data":{}}`, "want array"},
		"a null":                 {"GET", "/models", 200, nil, `{"object":"list","data":null}`, "want array"},
		"half a body":            {"GET", "/models", 200, nil, models[:10], "no JSON"},
		"an unknown status":      {"GET", "/models", 202, nil, models, "knows no reply 202"},
		"a header too many":      {"GET", "/models", 200, map[string]string{"X-Job-Id": "job_a"}, models, "X-Job-Id is not in the document"},
		"no request id":          {"GET", "/models", 200, map[string]string{"X-Request-Id": ""}, models, "missing"},
		"the media type":         {"GET", "/models", 200, map[string]string{"Content-Type": "text/plain"}, models, "text/plain"},
		"no such path":           {"GET", "/nothing", 404, nil, unknown, ""},
		"no envelope":            {"GET", "/nothing", 404, nil, `{"message":"m"}`, "missing"},
		"something at no path":   {"GET", "/nothing", 200, nil, models, "no such operation"},
		"no such method":         {"DELETE", "/models", 405, map[string]string{"Allow": "GET"}, unknown, ""},
		"what else there is":     {"DELETE", "/models", 405, nil, unknown, "missing"},
		"not now":                {"POST", "/jobs", 503, map[string]string{"Retry-After": "2", "Retry-After-Ms": "2000", "X-Should-Retry": "true"}, unknown, ""},
		"not now, for long":      {"POST", "/jobs", 503, map[string]string{"Retry-After": "90", "Retry-After-Ms": "2000", "X-Should-Retry": "true"}, unknown, "maximum"},
		"a stream":               {"POST", "/chat/completions", 200, events, ": waiting\ndata: " + piece + "\n\ndata: [DONE]\n\n", ""},
		"a wrong chunk":          {"POST", "/chat/completions", 200, events, "data: " + piece + "\n\ndata: {}\n\ndata: [DONE]\n\n", "event {}"},
		"a stream's failure":     {"POST", "/chat/completions", 200, events, "data: " + unknown + "\n\n", ""},
		"a wrong line":           {"POST", "/chat/completions", 200, events, "retry: 1\n\n", "no part of an event"},
		"named events":           {"POST", "/images/generations", 200, drawn, "event: image_generation.completed\ndata: " + picture + "\n\n", ""},
		"an event without name":  {"POST", "/images/generations", 200, drawn, "data: " + picture + "\n\n", "its name"},
	} {
		got := ""
		if err := inspect(d, c); err != nil {
			got = err.Error()
		}
		if (got == "") != (c.complaint == "") || !strings.Contains(got, c.complaint) {
			t.Errorf("%s: the complaint is %q, want %q", name, got, c.complaint)
		}
	}
}

func inspect(d *document, c wrongReply) error {
	req := httptest.NewRequest(c.method, c.target, nil) //nolint:noctx // it is sent nowhere
	resp := &http.Response{StatusCode: c.status, Header: http.Header{
		"Content-Type": {"application/json"}, "X-Request-Id": {"req_a"}, "X-Content-Type-Options": {"nosniff"},
	}}
	for name, value := range c.header {
		if resp.Header.Set(name, value); value == "" {
			resp.Header.Del(name)
		}
	}
	return errors.Join(d.checkHead(req, resp), d.checkBody(req, resp, []byte(c.body), true))
}
