package simupstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/exacg"
)

const key = "sk-simulated"

var cat = imagegen.Order{Prompt: "a cat", Width: 256, Height: 128, Steps: 8, CFG: 7, ModelIndex: 5, Seed: 42}

// start serves a simulated upstream and returns it with its base URL and a client that speaks to it.
func start(t *testing.T, c simupstream.Config) (*simupstream.Server, string, *exacg.Client) {
	t.Helper()
	s := simupstream.New(c)
	server := httptest.NewServer(s)
	client, err := exacg.New(exacg.Config{URL: server.URL + simupstream.GeneratePath, APIKey: key, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.Close()
		server.Close()
	})
	return s, server.URL, client
}

// answer is an HTTP answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// fetch makes a request of its own.
func fetch(t *testing.T, method, address, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // nothing is left for goleak to see
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: raw}
}

func TestAPictureIsDrawnWhereTheLinkLeads(t *testing.T) {
	t.Parallel()
	_, base, client := start(t, simupstream.Config{APIKey: key})
	var pages [][]byte
	for _, prompt := range []string{"a cat", "a cat", "一只可爱的小狗 🐶", strings.Repeat("很长的提示词 ", 500)} {
		o := cat
		o.Prompt = prompt
		got, err := client.Generate(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.URL, base+"/images/") || !strings.HasSuffix(got.URL, ".png") || len(got.URL) > 700 {
			t.Errorf("got URL %q, want a short one below %s that ends in .png", got.URL, base)
		}
		if u, err := url.Parse(got.URL); err != nil || u.String() != got.URL || strings.ContainsAny(got.URL, "()<>%+=") {
			t.Errorf("got URL %q, want one that needs no escaping anywhere", got.URL)
		}
		page := fetch(t, http.MethodGet, got.URL, "")
		if ct := page.header.Get("Content-Type"); page.status != http.StatusOK || ct != "image/png" {
			t.Fatalf("got HTTP %d and %s", page.status, ct)
		}
		picture, err := png.Decode(bytes.NewReader(page.body))
		if err != nil {
			t.Fatal(err)
		}
		if b := picture.Bounds(); b.Dx() != 256 || b.Dy() != 128 {
			t.Errorf("got a picture of %v, want 256 by 128", b)
		}
		pages = append(pages, page.body)
	}
	if !bytes.Equal(pages[0], pages[1]) {
		t.Error("the same order drew two pictures")
	}
	if bytes.Equal(pages[1], pages[2]) {
		t.Error("two prompts drew the same picture")
	}
}

func TestLinksOfAnotherServerAndMalformedOnes(t *testing.T) {
	t.Parallel()
	_, base, _ := start(t, simupstream.Config{})
	for path, want := range map[string]int{
		"/images/42-64x64-00000000-.png":                                 200,
		"/images/42-64x2048-00000000-YQ.png":                             200,
		"/images/42-63x64-00000000-YQ.png":                               400,
		"/images/42-64x2056-00000000-YQ.png":                             400,
		"/images/42-99999999999x64-00000000-YQ.png":                      400,
		"/images/42-64-00000000-YQ.png":                                  404,
		"/images/x-64x64-00000000-YQ.png":                                404,
		"/images/42-64x64-zz-YQ.png":                                     404,
		"/images/42-64x64-00000000-%25.png":                              404,
		"/images/42-64x64-00000000-_w.png":                               404, // no UTF-8
		"/images/42-64x64-00000000-YQ.jpg":                               404,
		"/images/42-64x64-00000000-" + strings.Repeat("Y", 500) + ".png": 404,
		"/images/":     404,
		"/images/.png": 404,
		"/":            404,
	} {
		t.Run(path[:min(len(path), 40)], func(t *testing.T) {
			t.Parallel()
			if got := fetch(t, http.MethodGet, base+path, ""); got.status != want {
				t.Errorf("got HTTP %d, want %d", got.status, want)
			}
			if got := fetch(t, http.MethodHead, base+path, ""); got.status != want || len(got.body) != 0 {
				t.Errorf("HEAD: got HTTP %d, want %d", got.status, want)
			}
		})
	}
}

func TestBaseOfLinks(t *testing.T) {
	t.Parallel()
	_, _, client := start(t, simupstream.Config{PublicURL: "https://pictures.test/sim/"})
	got, err := client.Generate(t.Context(), cat)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.URL, "https://pictures.test/sim/images/42-256x128-") {
		t.Errorf("got URL %q, want it below the public URL", got.URL)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	const good = `"prompt":"a","width":64,"height":2048,"steps":50,"cfg":7,"model_index":5,"seed":1`
	_, base, _ := start(t, simupstream.Config{})
	for name, c := range map[string]struct {
		body    string
		success bool
	}{
		"at the bounds":      {`{` + good + `}`, true},
		"no seed":            {`{"prompt":"a","width":64,"height":64,"steps":1}`, true},
		"an edit":            {`{"prompt":"a","model_index":19,"image_source":"https://x.test/a.png"}`, true},
		"too narrow":         {`{"prompt":"a","width":63,"height":64,"steps":1}`, false},
		"too high":           {`{"prompt":"a","width":64,"height":2049,"steps":1}`, false},
		"no steps":           {`{"prompt":"a","width":64,"height":64}`, false},
		"too many steps":     {`{"prompt":"a","width":64,"height":64,"steps":51}`, false},
		"no prompt":          {`{"width":64,"height":64,"steps":1}`, false},
		"fields of no use":   {`{"prompt":1,"width":"64"}`, false},
		"not JSON":           {`hello`, false},
		"more than there is": {`{"prompt":"` + strings.Repeat("a", 2<<20) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fetch(t, http.MethodPost, base+simupstream.GeneratePath, c.body)
			var reply struct {
				Success bool   `json:"success"`
				Error   string `json:"error"`
			}
			if err := json.Unmarshal(got.body, &reply); err != nil {
				t.Fatalf("%v in %s", err, got.body)
			}
			if reply.Success != c.success || c.success == (reply.Error != "") || c.success != (got.status == http.StatusOK) {
				t.Errorf("got HTTP %d %s, want success to be %v", got.status, got.body, c.success)
			}
		})
	}
}

func TestTheKey(t *testing.T) {
	t.Parallel()
	_, _, client := start(t, simupstream.Config{APIKey: "sk-another"})
	_, err := client.Generate(t.Context(), cat)
	if e, ok := errors.AsType[*imagegen.CallError](err); !ok || e.Outcome != imagegen.OutcomeAuth {
		t.Errorf("got %v, want it refused for the key", err)
	}
}

func TestRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	s, _, client := start(t, simupstream.Config{KeepRequests: 2})
	for seed := range uint32(3) {
		o := cat
		o.Seed = seed
		if _, err := client.Generate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range s.Requests() {
		got = append(got, fmt.Sprintf("%d %d %s %s", r.Call, *r.Body.Seed, r.Body.Prompt, r.Header.Get("Authorization")))
		if !json.Valid(r.Raw) || r.At.IsZero() {
			t.Errorf("got raw body %s at %v", r.Raw, r.At)
		}
	}
	if diff := cmp.Diff([]string{"2 1 a cat Bearer " + key, "3 2 a cat Bearer " + key}, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if s.Calls() != 3 || s.InFlight() != 0 || s.MaxInFlight() != 1 {
		t.Errorf("got %d calls, %d in flight, at most %d; want 3, 0 and 1", s.Calls(), s.InFlight(), s.MaxInFlight())
	}
	s.Reset()
	if s.Calls() != 0 || len(s.Requests()) != 0 || s.MaxInFlight() != 0 {
		t.Errorf("got %d calls and %d requests after a reset, want none", s.Calls(), len(s.Requests()))
	}
}

func TestCloseEndsHangingCalls(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s, _, client := start(t, simupstream.Config{Behave: func(simupstream.Request) simupstream.Behaviour {
		close(arrived)
		return simupstream.Behaviour{Latency: -1, Fault: simupstream.FaultHang}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := client.Generate(ctx, cat)
		failed <- err
	}()
	<-arrived
	s.Close()
	if e, ok := errors.AsType[*imagegen.CallError](<-failed); !ok || e.Outcome != imagegen.OutcomeNetwork {
		t.Errorf("got %v, want the connection to break", e)
	}
}
