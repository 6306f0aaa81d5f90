package openaiimages_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/openaiimages"
)

const key = "sk-proj-9f8e7d6c5b4a"

var dog = imagegen.Order{
	Model: "Z-Image", Prompt: "一只可爱的小狗 & <b>", NegativePrompt: new("ugly"), Width: 1024, Height: 2048, Steps: 8, CFG: 4.5, Seed: 4294967295,
}

// png is a picture of one black pixel.
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	extra := dog
	extra.Extra = map[string]json.RawMessage{"background": []byte(`"opaque"`), "size": []byte(`"1x1"`)}
	plain := dog
	plain.NegativePrompt = nil
	every := map[string]string{"seed": "seed", "steps": "num_inference_steps", "cfg": "guidance_scale", "negative_prompt": "negative_prompt"}
	for name, c := range map[string]struct {
		config openaiimages.Config
		order  imagegen.Order
		auth   string
		want   string
	}{
		"plain":             {openaiimages.Config{APIKey: key}, dog, "Bearer " + key, `{"model":"Z-Image","n":1,"prompt":"一只可爱的小狗 & <b>","response_format":"b64_json","size":"1024x2048"}`},
		"no key":            {openaiimages.Config{}, dog, "", `{"model":"Z-Image","n":1,"prompt":"一只可爱的小狗 & <b>","response_format":"b64_json","size":"1024x2048"}`},
		"a model of theirs": {openaiimages.Config{Models: map[string]string{"Z-Image": "openai/GPT-Image-1.5"}}, dog, "", `{"model":"openai/GPT-Image-1.5","n":1,"prompt":"一只可爱的小狗 & <b>","size":"1024x2048"}`},
		"a format of one's own": {
			openaiimages.Config{ResponseFormat: "base64"}, dog, "", `{"model":"Z-Image","n":1,"prompt":"一只可爱的小狗 & <b>","response_format":"base64","size":"1024x2048"}`,
		},
		"no format": {openaiimages.Config{ResponseFormat: "none"}, dog, "", `{"model":"Z-Image","n":1,"prompt":"一只可爱的小狗 & <b>","size":"1024x2048"}`},
		"extra":     {openaiimages.Config{ResponseFormat: "none"}, extra, "", `{"model":"Z-Image","n":1,"prompt":"一只可爱的小狗 & <b>","size":"1024x2048","background":"opaque"}`},
		"every field": {
			openaiimages.Config{ResponseFormat: "none", Fields: every},
			dog, "",
			`{"guidance_scale":4.5,"model":"Z-Image","n":1,"negative_prompt":"ugly","num_inference_steps":8,"prompt":"一只可爱的小狗 & <b>","seed":4294967295,"size":"1024x2048"}`,
		},
		"every field but one": {
			openaiimages.Config{ResponseFormat: "none", Fields: every},
			plain, "",
			`{"guidance_scale":4.5,"model":"Z-Image","n":1,"num_inference_steps":8,"prompt":"一只可爱的小狗 & <b>","seed":4294967295,"size":"1024x2048"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, _ := io.ReadAll(r.Body)
				got = []string{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(raw)}
				send(w, http.StatusOK, images(map[string]any{"b64_json": png}))
			}))
			defer server.Close()
			c.config.URL = server.URL + "/v1/"
			if _, err := newClient(t, c.config).Generate(t.Context(), c.order); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"POST", "/v1/images/generations", c.auth, "application/json", c.want}, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEditIsAForm(t *testing.T) {
	t.Parallel()
	const jpeg = "\xff\xd8\xff\xe0 a picture"
	fields, path, image := map[string][]string{}, "", []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		form, err := parts.ReadForm(1 << 20)
		if err != nil {
			t.Error(err)
			return
		}
		fields, path = form.Value, r.URL.Path
		for name, files := range form.File {
			f, err := files[0].Open()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = f.Close() }()
			data, _ := io.ReadAll(f)
			image = append(image, name, files[0].Filename, files[0].Header.Get("Content-Type"), string(data))
		}
		send(w, http.StatusOK, images(map[string]any{"b64_json": png}))
	}))
	defer server.Close()
	o := dog
	o.SourceFile, o.Prompt, o.Extra = "a.jpg", "line\nsecond \"line\" 小狗", map[string]json.RawMessage{"input_fidelity": []byte(`"high"`), "mask": []byte(`{"a":1}`)}
	client := newClient(t, openaiimages.Config{
		URL: server.URL, Fields: map[string]string{"seed": "seed"},
		Source: func(_ context.Context, asked imagegen.Order) (picture.Picture, error) {
			if asked.SourceFile != o.SourceFile {
				t.Errorf("asked for %q, want the order's %q", asked.SourceFile, o.SourceFile)
			}
			return picture.Picture{Format: picture.JPEG, Data: []byte(jpeg)}, nil
		},
	})
	if _, err := client.Generate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"model": {"Z-Image"}, "prompt": {o.Prompt}, "n": {"1"}, "size": {"1024x2048"}, "response_format": {"b64_json"}, "seed": {"4294967295"},
		"input_fidelity": {"high"}, "mask": {`{"a":1}`},
	}
	if diff := cmp.Diff(want, fields); diff != "" || path != "/images/edits" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	if diff := cmp.Diff([]string{"image", "image.jpg", "image/jpeg", jpeg}, image); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://x.test/v1":                               "http://x.test/v1/images/generations",
		"http://x.test/v1/":                              "http://x.test/v1/images/generations",
		"http://x.test":                                  "http://x.test/images/generations",
		"http://x.test/v1/images/generations":            "http://x.test/v1/images/generations",
		"http://x.test/v1/images/edits/":                 "http://x.test/v1/images/generations",
		"http://x.test/a%2Fb?api-version=2025-04-01&x=1": "http://x.test/a%2Fb/images/generations?api-version=2025-04-01&x=1",
	} {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			var got string
			client := newClient(t, openaiimages.Config{URL: base, Transport: transport(func(r *http.Request) (*http.Response, error) {
				got = r.URL.String()
				return answer(http.StatusOK, `{"data":[{"url":"http://x.test/a.png"}]}`), nil
			})})
			if _, err := client.Generate(t.Context(), dog); err != nil || got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]openaiimages.Config{
		"no URL":             {APIKey: key},
		"a password in it":   {URL: "https://me:" + key + "@x.test/", APIKey: key},
		"a key of two lines": {URL: "https://x.test/", APIKey: key + "\nX-Evil: 1"},
		"a negative timeout": {URL: "https://x.test/", Timeout: -1},
		"an unknown field":   {URL: "https://x.test/", Fields: map[string]string{"prompt": "text"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openaiimages.New(c)
			if err == nil || strings.Contains(err.Error(), key) {
				t.Errorf("got %v, want an error without the key", err)
			}
		})
	}
}

// transport answers in memory.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}
