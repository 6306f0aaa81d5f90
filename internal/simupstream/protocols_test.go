package simupstream_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/openaiimages"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
)

// provider is the client of a protocol.
type provider interface {
	Generate(ctx context.Context, o imagegen.Order) (imagegen.Drawing, error)
	CloseIdleConnections()
}

// black is the picture that edits begin with.
func black(context.Context, imagegen.Order) (picture.Picture, error) {
	return picture.Picture{Format: picture.JPEG, Data: []byte("\xff\xd8\xff black")}, nil
}

// others are the protocols beside the native one, as clients of a server.
var others = map[string]func(base, key string) (provider, error){
	"openai": func(base, key string) (provider, error) {
		return openaiimages.New(openaiimages.Config{
			URL: base + simupstream.OpenAIBase, APIKey: key, Source: black, Fields: map[string]string{"seed": "seed", "negative_prompt": "negative_prompt"},
		})
	},
	"openai with links": func(base, key string) (provider, error) {
		return openaiimages.New(openaiimages.Config{URL: base + simupstream.OpenAIBase, APIKey: key, Source: black, ResponseFormat: "url"})
	},
	"gpt-image": func(base, key string) (provider, error) {
		return openaiimages.New(openaiimages.Config{
			URL: base + simupstream.OpenAIBase, APIKey: key, Source: black, Models: map[string]string{"Z-Image": "gpt-image-1.5"},
		})
	},
	"sdwebui": func(base, key string) (provider, error) {
		return sdwebui.New(sdwebui.Config{URL: base, APIKey: "me:" + key, Source: black, Models: map[string]string{"Z-Image": "zimage"}})
	},
}

// serveOther serves a simulated upstream and returns it with its base URL and a client of that protocol.
func serveOther(t *testing.T, c simupstream.Config, protocol string) (*simupstream.Server, string, provider) {
	t.Helper()
	s := simupstream.New(c)
	server := httptest.NewServer(s)
	client, err := others[protocol](server.URL, key)
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

func TestEveryProtocolDraws(t *testing.T) {
	t.Parallel()
	for protocol := range others {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s, _, client := serveOther(t, simupstream.Config{APIKey: key}, protocol)
			plain, edit := cat, cat
			plain.Model, edit.Model, edit.Source = "Z-Image", "Z-Image", "https://x.test/a.jpg"
			var pages [][]byte
			for _, o := range []imagegen.Order{plain, plain, edit, edit} {
				got, err := client.Generate(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				data := got.Data
				if got.URL != "" {
					data = fetch(t, http.MethodGet, got.URL, "").body
				}
				if p, err := png.DecodeConfig(bytes.NewReader(data)); err != nil || p.Width != 256 || p.Height != 128 || got.Width != 256 {
					t.Fatalf("got a picture of %d by %d, %v; want 256 by 128", p.Width, p.Height, err)
				}
				if got.Seed != cat.Seed {
					t.Errorf("got seed %d, want %d", got.Seed, cat.Seed)
				}
				pages = append(pages, data)
			}
			if protocol == "openai" || protocol == "sdwebui" { // the others have no seed
				if !bytes.Equal(pages[0], pages[1]) || !bytes.Equal(pages[2], pages[3]) {
					t.Error("the same order drew two pictures")
				}
			}
			if bytes.Equal(pages[1], pages[2]) {
				t.Error("an edit drew what a call without a picture does")
			}
			last := s.Requests()[3]
			if want, _ := black(t.Context(), edit); !bytes.Equal(last.Picture, want.Data) || last.Body.Prompt != "a cat" || last.Body.Width != 256 || last.Body.Model == "" {
				t.Errorf("got an edit of %q by %+v", last.Picture, last.Body)
			}
			if s.Calls() != 4 || s.MaxInFlight() != 1 || s.InFlight() != 0 {
				t.Errorf("got %d calls, at most %d at once, and %d now; want 4, 1, 0", s.Calls(), s.MaxInFlight(), s.InFlight())
			}
		})
	}
}

func TestEveryProtocolFails(t *testing.T) {
	t.Parallel()
	for protocol := range others {
		for name, c := range map[string]struct {
			behaviour simupstream.Behaviour
			want      imagegen.Outcome
			message   string
		}{
			"refused": {simupstream.Decline(400, "not this prompt"), imagegen.OutcomeRefused, "not this prompt"},
			"busy":    {simupstream.Decline(429, "slow down"), imagegen.OutcomeRateLimited, ""},
			"our key": {simupstream.Decline(403, "forbidden"), imagegen.OutcomeAuth, ""},
			"broken":  {simupstream.Decline(500, "boom"), imagegen.OutcomeStatus, ""},
			"reset":   {simupstream.Behaviour{Fault: simupstream.FaultReset}, imagegen.OutcomeNetwork, ""},
			"cut off": {simupstream.Behaviour{Fault: simupstream.FaultCut}, imagegen.OutcomeNetwork, ""},
			"garbled": {simupstream.Behaviour{Body: `{"success":true,"data":{}}`}, imagegen.OutcomeMalformed, ""},
		} {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				s, _, client := serveOther(t, simupstream.Config{Behave: func(simupstream.Request) simupstream.Behaviour { return c.behaviour }}, protocol)
				_, err := client.Generate(t.Context(), cat)
				e, ok := errors.AsType[*imagegen.CallError](err)
				if !ok || e.Outcome != c.want || c.message != "" && e.Message != c.message {
					t.Errorf("got %v, want %s %s", err, c.want, c.message)
				}
				waitIdle(t, s)
			})
		}
		t.Run(protocol+", another key", func(t *testing.T) {
			t.Parallel()
			_, _, client := serveOther(t, simupstream.Config{APIKey: "sk-another"}, protocol)
			_, err := client.Generate(t.Context(), cat)
			if e, ok := errors.AsType[*imagegen.CallError](err); !ok || e.Outcome != imagegen.OutcomeAuth {
				t.Errorf("got %v, want it refused for the key", err)
			}
		})
	}
}

func TestComplaintsOfTheOtherProtocols(t *testing.T) {
	t.Parallel()
	_, base, _ := start(t, simupstream.Config{})
	for name, c := range map[string]struct {
		path, body, want string
		status           int
	}{
		"no prompt":             {simupstream.GenerationsPath, `{"size":"64x64"}`, "Missing required parameter: 'prompt'.", 400},
		"a size of no sense":    {simupstream.GenerationsPath, `{"prompt":"a","size":"big"}`, "Invalid size", 400},
		"too large a size":      {simupstream.GenerationsPath, `{"prompt":"a","size":"4096x64"}`, "Invalid size", 400},
		"gpt-image's format":    {simupstream.GenerationsPath, `{"prompt":"a","model":"gpt-image-2","response_format":"b64_json"}`, "Unknown parameter: 'response_format'.", 400},
		"an edit of nothing":    {simupstream.EditsPath, `{"prompt":"a"}`, "Missing required parameter: 'image'.", 400},
		"no JSON":               {simupstream.GenerationsPath, `hello`, "Missing required parameter: 'prompt'.", 400},
		"a link":                {simupstream.GenerationsPath, `{"prompt":"a","model":"dall-e-3"}`, "1024x1024", 200},
		"too large a picture":   {simupstream.Txt2ImgPath, `{"prompt":"a","width":4096}`, "width and height", 400},
		"an img2img of nothing": {simupstream.Img2ImgPath, `{"prompt":"a"}`, "Invalid encoded image", 400},
		"an img2img of a text":  {simupstream.Img2ImgPath, `{"prompt":"a","init_images":["?"]}`, "Invalid encoded image", 400},
		"an img2img":            {simupstream.Img2ImgPath, `{"prompt":"a","width":64,"height":64,"seed":-1,"init_images":["data:image/png;base64,YQ=="]}`, `\"seed\":`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fetch(t, http.MethodPost, base+c.path, c.body)
			if got.status != c.status || !strings.Contains(string(got.body), c.want) {
				t.Errorf("got HTTP %d %.300s, want %d and %s", got.status, got.body, c.status, c.want)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s, base, client := serveOther(t, simupstream.Config{APIKey: key, Behave: func(simupstream.Request) simupstream.Behaviour {
		close(arrived)
		return simupstream.Behaviour{Latency: 2500 * time.Millisecond}
	}}, "sdwebui")
	if got := progress(t, base); got.Progress != 0 || got.State.JobCount != 0 {
		t.Errorf("got %+v before there is anything to draw", got)
	}
	var told []float64
	o := cat
	o.Progress = func(done float64) { told = append(told, done) }
	finished := make(chan error, 1)
	go func() {
		_, err := client.Generate(t.Context(), o)
		finished <- err
	}()
	<-arrived
	if got := progress(t, base); got.Progress <= 0 || got.Progress > 0.9 || got.State.JobCount != 1 {
		t.Errorf("got %+v at the beginning", got)
	}
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 || !slices.IsSorted(told) || told[0] < 0.3 || told[len(told)-1] > 1 {
		t.Errorf("got progress %v, want it to grow", told)
	}
	if got := progress(t, base); got.Progress != 0 || s.Calls() != 1 {
		t.Errorf("got %+v after it, and %d calls", got, s.Calls())
	}
	if got := fetch(t, http.MethodGet, base+simupstream.ProgressPath, ""); got.status != http.StatusUnauthorized {
		t.Errorf("got HTTP %d without a key, want 401", got.status)
	}
}

// state is what the web UI says of its progress.
type state struct {
	Progress float64 `json:"progress"`
	State    struct {
		JobCount int `json:"job_count"`
	} `json:"state"`
}

func progress(t *testing.T, base string) (got state) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+simupstream.ProgressPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:"+key)))
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheSameFieldsReachEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"openai", "sdwebui"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s, _, client := serveOther(t, simupstream.Config{}, protocol)
			o := cat
			o.NegativePrompt = new("a dog")
			if _, err := client.Generate(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			b := s.Requests()[0].Body
			type fields struct {
				Prompt, Negative string
				Width, Height    int
				Seed             int64
			}
			want := fields{"a cat", "a dog", 256, 128, 42}
			if diff := cmp.Diff(want, fields{b.Prompt, *b.NegativePrompt, b.Width, b.Height, *b.Seed}); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}
