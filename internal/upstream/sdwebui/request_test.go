package sdwebui_test

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
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
)

var dog = imagegen.Order{Model: "Z-Image", Prompt: "小狗 & <b>", Width: 1024, Height: 768, Steps: 8, CFG: 4.5, Seed: 4294967295}

// png is a picture of one black pixel.
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	with := func(change func(*imagegen.Order)) imagegen.Order {
		o := dog
		change(&o)
		return o
	}
	const rest = `"width":1024,"height":768,"batch_size":1,"n_iter":1,"send_images":true,"save_images":false`
	type extra = map[string]json.RawMessage
	for name, c := range map[string]struct {
		config sdwebui.Config
		order  imagegen.Order
		auth   string
		path   string
		body   string
	}{
		"plain": {
			sdwebui.Config{},
			dog, "", "/sdapi/v1/txt2img",
			`{"prompt":"小狗 & <b>","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `}`,
		},
		"a negative prompt and a login": {
			sdwebui.Config{APIKey: "me:pass:word"},
			with(func(o *imagegen.Order) { o.NegativePrompt = new("ugly") }), "Basic bWU6cGFzczp3b3Jk", "/sdapi/v1/txt2img",
			`{"prompt":"小狗 & <b>","negative_prompt":"ugly","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `}`,
		},
		"a checkpoint": {
			sdwebui.Config{Models: map[string]string{"Z-Image": "zimage.safetensors [abc]"}},
			dog, "", "/sdapi/v1/txt2img",
			`{"prompt":"小狗 & <b>","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `,"override_settings":{"sd_model_checkpoint":"zimage.safetensors [abc]"},"override_settings_restore_afterwards":false}`,
		},
		"extra fields": {
			sdwebui.Config{},
			with(func(o *imagegen.Order) {
				o.Extra = extra{"sampler": []byte(`"Euler a"`), "tiling": []byte(`true`), "batch_size": []byte(`9`), "alwayson_scripts": []byte(`{"a":{"args":[1]}}`)}
			}), "", "/sdapi/v1/txt2img",
			`{"prompt":"小狗 & <b>","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `,"alwayson_scripts":{"a":{"args":[1]}},"sampler_name":"Euler a","tiling":true}`,
		},
		"a sampler by both names": {
			sdwebui.Config{},
			with(func(o *imagegen.Order) { o.Extra = extra{"sampler": []byte(`"a"`), "sampler_name": []byte(`"b"`)} }), "", "/sdapi/v1/txt2img",
			`{"prompt":"小狗 & <b>","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `,"sampler_name":"b"}`,
		},
		"an edit": {
			sdwebui.Config{},
			with(func(o *imagegen.Order) {
				o.Source, o.Extra = "https://x.test/a.png", extra{"denoising_strength": []byte(`0.4`)}
			}), "", "/sdapi/v1/img2img",
			`{"init_images":["YSBwaWN0dXJl"],"prompt":"小狗 & <b>","seed":4294967295,"steps":8,"cfg_scale":4.5,` + rest + `,"denoising_strength":0.4}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, _ := io.ReadAll(r.Body)
				got = []string{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(raw)}
				send(w, http.StatusOK, map[string]any{"images": []string{png}, "info": "{}"})
			}))
			defer server.Close()
			c.config.URL = server.URL + "/"
			c.config.Source = func(context.Context, imagegen.Order) (picture.Picture, error) {
				return picture.Picture{Format: picture.PNG, Data: []byte("a picture")}, nil
			}
			before := len(c.order.Extra)
			if _, err := newClient(t, c.config).Generate(t.Context(), c.order); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"POST", c.path, c.auth, "application/json", c.body}, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if len(c.order.Extra) != before {
				t.Errorf("the order's own fields became %v", c.order.Extra)
			}
		})
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]sdwebui.Config{
		"no URL":             {},
		"a password in it":   {URL: "http://me:hunter2@x.test/"},
		"no password":        {URL: "http://x.test/", APIKey: "hunter2"},
		"no user":            {URL: "http://x.test/", APIKey: ":hunter2"},
		"a negative timeout": {URL: "http://x.test/", Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sdwebui.New(c)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want an error without the password", err)
			}
		})
	}
}

func TestThePasswordAloneIsASecretToo(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		send(w, http.StatusBadRequest, map[string]any{"detail": "the password correct horse is not for this"})
	}))
	defer server.Close()
	_, err := newClient(t, sdwebui.Config{URL: server.URL, APIKey: "me:correct horse"}).Generate(t.Context(), dog)
	if err == nil || strings.Contains(err.Error(), "horse") {
		t.Errorf("got %v, want an error without the password", err)
	}
}
