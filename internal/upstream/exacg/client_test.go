package exacg_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/exacg"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/upstreamtest"
)

const key = "sk-live-9f8e7d6c5b4a"

var dog = imagegen.Order{Prompt: "一只可爱的小狗", Width: 1024, Height: 2048, Steps: 8, CFG: 7, ModelIndex: 5, Seed: 4294967295}

func newClient(t *testing.T, c exacg.Config) *exacg.Client {
	t.Helper()
	client, err := exacg.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestConformance(t *testing.T) {
	t.Parallel()
	upstreamtest.Run(t, upstreamtest.Protocol{
		New: func(t *testing.T, url string, timeout time.Duration) upstreamtest.Provider {
			t.Helper()
			return newClient(t, exacg.Config{URL: url, APIKey: upstreamtest.Key, Timeout: timeout})
		},
		Auth:   "Bearer " + upstreamtest.Key,
		Prompt: upstreamtest.JSONPrompt,
		Picture: func(w http.ResponseWriter, imageURL string) {
			_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": map[string]any{"image_url": imageURL}})
		},
		Decline: func(w http.ResponseWriter, status int, message string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "error": message})
		},
		SaysPoints: true,
	})
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	negative, empty := "ugly <b>&</b> \"hands\"", ""
	with := func(change func(*imagegen.Order)) imagegen.Order {
		o := dog
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		order imagegen.Order
		want  string
	}{
		"plain":             {dog, `{"prompt":"一只可爱的小狗","width":1024,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":4294967295}`},
		"a fraction":        {with(func(o *imagegen.Order) { o.CFG, o.Seed = 4.5, 0 }), `{"prompt":"一只可爱的小狗","width":1024,"height":2048,"steps":8,"cfg":4.5,"model_index":5,"seed":0}`},
		"a negative prompt": {with(func(o *imagegen.Order) { o.NegativePrompt = &negative }), `{"prompt":"一只可爱的小狗","width":1024,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":4294967295,"negative_prompt":"ugly <b>&</b> \"hands\""}`},
		"extra fields": {with(func(o *imagegen.Order) {
			o.Extra = map[string]json.RawMessage{"tiling": []byte("true"), "sampler": []byte(`"Euler"`), "Prompt": []byte(`"a dog"`), "seed": []byte("1")}
		}), `{"prompt":"一只可爱的小狗","width":1024,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":4294967295,"sampler":"Euler","tiling":true}`},
		"an edit": {with(func(o *imagegen.Order) {
			o.Source, o.Extra = "https://x.test/a.png?b=1&c=2", map[string]json.RawMessage{"style": []byte(`{"a": 1}`)}
		}), `{"prompt":"一只可爱的小狗","model_index":5,"image_source":"https://x.test/a.png?b=1&c=2","style":{"a":1}}`},
		"an empty one is sent too": {with(func(o *imagegen.Order) { o.NegativePrompt = &empty }), `{"prompt":"一只可爱的小狗","width":1024,"height":2048,"steps":8,"cfg":7,"model_index":5,"seed":4294967295,"negative_prompt":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var method, path, body string
			var header http.Header
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, _ := io.ReadAll(r.Body)
				method, path, body, header = r.Method, r.URL.RequestURI(), string(raw), r.Header
				_, _ = io.WriteString(w, `{"success":true,"data":{"image_url":"https://x.test/1.png"}}`)
			}))
			defer server.Close()
			if _, err := newClient(t, exacg.Config{URL: server.URL + "/api/v1/generate_image?v=1", APIKey: key}).Generate(t.Context(), c.order); err != nil {
				t.Fatal(err)
			}
			if body != c.want {
				t.Errorf("got body  %s\nwant body %s", body, c.want)
			}
			got := []string{method, path, header.Get("Authorization"), header.Get("Content-Type"), header.Get("Accept")}
			want := []string{"POST", "/api/v1/generate_image?v=1", "Bearer " + key, "application/json", "application/json"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if ua := header.Get("User-Agent"); ua == "" || strings.HasPrefix(ua, "Go-http-client") {
				t.Errorf("got User-Agent %q, want our own", ua)
			}
		})
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]exacg.Config{
		"no URL":             {APIKey: key},
		"a relative URL":     {URL: "/api", APIKey: key},
		"another scheme":     {URL: "ftp://x.test/api", APIKey: key},
		"a password in it":   {URL: "https://me:" + key + "@x.test/", APIKey: key},
		"an unparsable URL":  {URL: "https://x.test/%zz" + key, APIKey: key},
		"no key":             {URL: "https://x.test/"},
		"a key of two lines": {URL: "https://x.test/", APIKey: key + "\nX-Evil: 1"},
		"a negative timeout": {URL: "https://x.test/", APIKey: key, Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := exacg.New(c)
			if err == nil {
				t.Fatal("got no error")
			}
			if strings.Contains(err.Error(), key) {
				t.Errorf("the key is in %q", err)
			}
		})
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	const rounds, atOnce = 3, 20
	var opened atomic.Int32
	var together sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		together.Done()
		together.Wait() // each round holds all of its connections at the same time
		_, _ = io.WriteString(w, `{"success":true,"data":{"image_url":"https://x.test/1.png"}}`)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t, exacg.Config{URL: server.URL, APIKey: key})
	for range rounds {
		together.Add(atOnce)
		var calls sync.WaitGroup
		for range atOnce {
			calls.Go(func() {
				if _, err := client.Generate(t.Context(), dog); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	// The odd connection may not be back in time for the next round.
	if got := opened.Load(); got > atOnce+5 {
		t.Errorf("got %d connections for %d rounds of %d calls, want about %d", got, rounds, atOnce, atOnce)
	}
}

func ExampleNew() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":true,"data":{"image_url":"https://pictures.test/cat.png"}}`)
	}))
	defer upstream.Close()

	client, err := exacg.New(exacg.Config{URL: upstream.URL, APIKey: "sk-example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	picture, err := client.Generate(context.Background(), imagegen.Order{Prompt: "a cat", Width: 1024, Height: 1024, Steps: 8, CFG: 7, ModelIndex: 5, Seed: 1})
	fmt.Println(picture.URL, err)
	// Output: https://pictures.test/cat.png <nil>
}
