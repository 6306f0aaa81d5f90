package upstreamtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Provider is what is tested.
type Provider interface {
	Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error)
}

// Key is the API key that a provider is given. It must show up nowhere but in the request.
const Key = "sk-conformance/0123+abcdefXYZ"

// Protocol is a provider with the server's side of its protocol.
type Protocol struct {
	// New returns a provider that calls url with Key, one call taking at most timeout.
	New func(t *testing.T, url string, timeout time.Duration) Provider
	// Order is what is asked for; its zero value is a small picture.
	Order imagegen.Order
	// Auth is the Authorization header that a call must have.
	Auth string
	// Prompt reads the prompt that a call asks for.
	Prompt func(r *http.Request) string
	// Picture answers with a picture at imageURL; nil: the protocol has no such answer.
	Picture func(w http.ResponseWriter, imageURL string)
	// Data answers with the picture itself; nil: the protocol has no such answer.
	Data func(w http.ResponseWriter, picture []byte)
	// Decline answers with a failure that says message.
	Decline func(w http.ResponseWriter, status int, message string)
	// LacksModel says that a failure with 404 means a model that the server does not have, and LacksEndpoint that a page with
	// 404 means an endpoint: neither is the request's fault. Otherwise it is any other refusal.
	LacksModel, LacksEndpoint bool
	// SaysPoints says that the server tells in words when our account is out of points. Otherwise no words mean that.
	SaysPoints bool
	// MaxReply is how long a success may be, in bytes; 0: 1 MiB.
	MaxReply int
}

// Run puts the provider through every case, each a parallel subtest.
func Run(t *testing.T, p Protocol) {
	t.Helper()
	if cmp.Equal(p.Order, imagegen.Order{}) {
		p.Order = imagegen.Order{Prompt: "a small cat", Width: 512, Height: 768, Steps: 8, CFG: 7, ModelIndex: 5, Seed: 42}
	}
	if p.MaxReply == 0 {
		p.MaxReply = 1 << 20
	}
	t.Run("pictures", p.pictures)
	t.Run("answers", p.answers)
	t.Run("connections", p.connections)
	t.Run("contexts", p.contexts)
	t.Run("secrets", p.secrets)
}

// JSONPrompt reads the prompt where it is a member of the body's JSON object.
func JSONPrompt(r *http.Request) string {
	var body struct {
		Prompt string `json:"prompt"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body) // none is as wrong as another
	return body.Prompt
}

// succeed answers with a picture, in a way that the protocol has.
func (p Protocol) succeed(w http.ResponseWriter) {
	if p.Picture != nil {
		p.Picture(w, pictureURL)
		return
	}
	p.Data(w, pictureOf(1))
}

// want is the part of a CallError that decisions are made by.
type want struct {
	Outcome    imagegen.Outcome
	Billed     imagegen.Billed
	Transient  bool
	RetryAfter time.Duration
	Kind       imagegen.Kind
	Elsewhere  bool
	Doubtful   bool
}

// ample is a timeout that no test should reach.
const ample = 30 * time.Second

// patient is one for replies of 44 MB, which take their time on a busy machine that looks for races.
const patient = 5 * time.Minute

// call asks a provider for the picture, from a server that answers with h.
func (p Protocol) call(t *testing.T, timeout time.Duration, h http.HandlerFunc) (imagegen.Drawing, error) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return p.New(t, server.URL, timeout).Generate(t.Context(), p.Order)
}

// check compares a failure with what it should be.
func check(t *testing.T, err error, w want) {
	t.Helper()
	e := callError(t, err)
	got := want{
		Outcome: e.Outcome, Billed: e.Billed, Transient: e.Transient, RetryAfter: e.RetryAfter, Kind: e.Kind,
		Elsewhere: e.Elsewhere(), Doubtful: e.Doubtful,
	}
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// callError unpacks a failure, which is always of this type, says something to both readers, and holds no key.
func callError(t *testing.T, err error) *imagegen.CallError {
	t.Helper()
	e, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		t.Fatalf("got error %v, want a *imagegen.CallError", err)
	}
	if e.Message == "" || e.Err == nil {
		t.Errorf("got message %q and cause %v, want both", e.Message, e.Err)
	}
	if strings.Contains(err.Error()+e.Message, Key) {
		t.Errorf("the key is in %q", err)
	}
	return e
}
