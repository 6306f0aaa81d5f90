package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	_ "image/png" // decoder
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	_ "golang.org/x/image/webp" // decoder

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// threeKinds is a gateway with a model, and one that edits, at an upstream of each type.
type threeKinds struct {
	*gateway

	backends map[string]*backend // by type
}

func newThreeKinds(t *testing.T, latency time.Duration, env ...string) threeKinds {
	t.Helper()
	k := threeKinds{backends: make(map[string]*backend)}
	models, upstreams := "models:\n", "upstreams:\n"
	for _, kind := range []string{"exacg", "openai", "sdwebui"} {
		b := newBackend(t, simupstream.Config{Latency: latency})
		k.backends[kind] = b
		index := ""
		if kind == "exacg" {
			index = ", model_index: 5"
		}
		models += fmt.Sprintf("  - {id: %[1]s, upstream: %[1]s, passthrough: [sampler_name]%[2]s}\n  - {id: %[1]s-edit, upstream: %[1]s, edit: true%[2]s}\n", kind, index)
		upstreams += b.entryOf(kind, kind, "")
	}
	s := configured(t, models+upstreams)
	s.apiEnv = append(append(s.apiEnv, "ALLOW_PRIVATE_ADDRESSES=true"), env...)
	s.workerEnv = append(append(s.workerEnv, "ALLOW_PRIVATE_ADDRESSES=true"), env...)
	k.gateway = newGateway(t, s)
	return k
}

// drawnImages is the reply of the images endpoints.
type drawnImages struct {
	Data []struct {
		URL           string `json:"url"`
		B64           []byte `json:"b64_json"`
		RevisedPrompt string `json:"revised_prompt"`
	} `json:"data"`
}

// images asks for one picture.
func (c jobClient) images(body map[string]any) drawnImages {
	c.g.t.Helper()
	r := c.do(http.MethodPost, "/v1/images/generations", body)
	var reply drawnImages
	r.into(c.g.t, &reply)
	if r.status != http.StatusOK || len(reply.Data) != 1 {
		c.g.t.Fatalf("images of %v: %d %s", body, r.status, r.body)
	}
	return reply
}

// fetch gets a file without a key, as browsers do.
func (g *gateway) fetch(method, url string, header ...string) reply {
	g.t.Helper()
	client := g.client()
	if !strings.HasPrefix(url, g.url) {
		client = http.DefaultClient // the other one holds replies against the gateway's document
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, url, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: body}
}

// wantSize checks that bytes are a picture of a format and a size.
func wantSize(t *testing.T, data []byte, format string, width, height int) {
	t.Helper()
	c, f, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || f != format || c.Width != width || c.Height != height {
		t.Errorf("%d bytes are a %s of %d x %d (%v), want a %s of %d x %d", len(data), f, c.Width, c.Height, err, format, width, height)
	}
}

// Pictures come from every type of upstream, by URL and as base64, with an image store and without one.
func TestEveryKindOfUpstream(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"with a store": {"IMAGE_STORE_URL=file://" + t.TempDir()}, "without a store": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newThreeKinds(t, 0, env...)
			c := k.as(clientKey)
			for _, kind := range []string{"exacg", "openai", "sdwebui"} {
				by := c.images(map[string]any{"model": kind, "prompt": "a " + kind + " cat", "size": "320x256", "seed": 7, "sampler_name": "Euler a"})
				link := by.Data[0].URL
				if own := strings.HasPrefix(link, k.url+"/v1/files/"); own == (kind == "exacg" && env == nil) {
					t.Errorf("%s: the picture is at %s", kind, link)
				}
				r := k.fetch(http.MethodGet, link)
				if r.status != http.StatusOK || r.header.Get("Content-Type") != "image/png" {
					t.Errorf("%s: %s gives %d %v", kind, link, r.status, r.header)
				}
				wantSize(t, r.body, "png", 320, 256)
				b64 := c.images(map[string]any{"model": kind, "prompt": "a cat", "size": "256x320", "response_format": "b64_json"})
				wantSize(t, b64.Data[0].B64, "png", 256, 320)
				last := k.backends[kind].Requests()[0]
				if !bytes.Contains(last.Raw, []byte(`"sampler_name":"Euler a"`)) {
					t.Errorf("%s: what was to be passed through is not in %s", kind, last.Raw)
				}
				if kind != "openai" && (last.Body.Seed == nil || *last.Body.Seed != 7) {
					t.Errorf("%s: the seed is not in %s", kind, last.Raw)
				}
				if revised := by.Data[0].RevisedPrompt; (revised != "") != (kind == "openai") {
					t.Errorf("%s: revised prompt %q", kind, revised)
				}
				page := c.list("limit=1").Data[0]
				if len(page.Calls) != 1 || page.Calls[0].Upstream != kind || page.Calls[0].Billed != "yes" {
					t.Errorf("%s: ledger %+v", kind, page.Calls)
				}
			}
			if env != nil {
				webp := c.images(map[string]any{"model": "sdwebui", "prompt": "a cat", "size": "64x64", "output_format": "webp"})
				r := k.fetch(http.MethodGet, webp.Data[0].URL)
				if r.header.Get("Content-Type") != "image/webp" || !strings.HasSuffix(webp.Data[0].URL, ".webp") {
					t.Errorf("webp: %s %v", webp.Data[0].URL, r.header)
				}
				wantSize(t, r.body, "webp", 64, 64)
			}
		})
	}
}

// An uploaded picture reaches upstreams that take bytes as bytes, and those that take a URL as one they can fetch.
func TestEditsAtEveryKindOfUpstream(t *testing.T) {
	t.Parallel()
	k := newThreeKinds(t, 0, "IMAGE_STORE_URL=file://"+t.TempDir())
	c := k.as(clientKey)
	source := c.images(map[string]any{"model": "sdwebui", "prompt": "a cat", "size": "64x64", "response_format": "b64_json"}).Data[0].B64
	for kind, b := range k.backends {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("image", "blob")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(source)
		_ = w.WriteField("model", kind+"-edit")
		_ = w.WriteField("prompt", "make it blue")
		_ = w.Close()
		r := k.send(http.MethodPost, "/v1/images/edits", form.String(), map[string]string{
			"Authorization": "Bearer " + clientKey, "Content-Type": w.FormDataContentType(),
		})
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", kind, r.status, r.body)
		}
		requests := b.Requests()
		last := requests[len(requests)-1]
		got := last.Picture
		if kind == "exacg" {
			got = k.fetch(http.MethodGet, last.Body.ImageSource).body
		}
		if !bytes.Equal(got, source) {
			t.Errorf("%s: %d bytes arrived, want the %d that were sent", kind, len(got), len(source))
		}
		// The same as a data URL in a chat.
		r = c.do(http.MethodPost, "/v1/chat/completions", map[string]any{"model": kind + "-edit", "messages": []any{map[string]any{
			"role": "user", "content": []any{
				map[string]any{"type": "text", "text": "make it red"},
				map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64," + base64.StdEncoding.EncodeToString(source)}},
			},
		}}})
		if r.status != http.StatusOK {
			t.Errorf("%s: %d %s", kind, r.status, r.body)
		}
	}
}

// What an upstream says of its progress is told in the job and its events.
func TestProgressOfAJob(t *testing.T) {
	t.Parallel()
	k := newThreeKinds(t, 4*time.Second)
	c := k.as(clientKey)
	id := c.order(modelOrder("sdwebui", "a cat")).ID
	var seen []float64
	for j := c.look(id); j.Status != "completed"; j = c.look(id) {
		if j.Status == "failed" {
			t.Fatalf("job failed: %+v", j)
		}
		if j.Progress != nil && (len(seen) == 0 || seen[len(seen)-1] != *j.Progress) {
			seen = append(seen, *j.Progress)
		}
	}
	if len(seen) < 2 || !slices.IsSorted(seen) || seen[0] <= 0 || seen[len(seen)-1] > 1 {
		t.Errorf("progress %v, want several steps from 0 to 1", seen)
	}
}
