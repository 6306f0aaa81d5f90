package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// TestPreferWithOpenAIGo has the official Go client ask for a job in place of a long wait.
func TestPreferWithOpenAIGo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Latency: 2500 * time.Millisecond}})
	client := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
	image := openai.ImageGenerateParams{Model: "Z-Image", Prompt: "a cat", ResponseFormat: openai.ImageGenerateParamsResponseFormatURL}
	for name, ask := range map[string]func(t *testing.T, options ...option.RequestOption) (raw string, picture bool, err error){
		"chat": func(t *testing.T, options ...option.RequestOption) (string, bool, error) {
			t.Helper()
			reply, err := client.Chat.Completions.New(t.Context(), chatParams("a cat"), options...)
			if err != nil {
				return "", false, err
			}
			return reply.RawJSON(), len(reply.Choices) == 1 && onePicture.MatchString(reply.Choices[0].Message.Content), nil
		},
		"images": func(t *testing.T, options ...option.RequestOption) (string, bool, error) {
			t.Helper()
			reply, err := client.Images.Generate(t.Context(), image, options...)
			if err != nil {
				return "", false, err
			}
			return reply.RawJSON(), len(reply.Data) == 1 && reply.Data[0].URL != "", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for prefer, want := range map[string]struct {
				status      int
				least, most time.Duration
			}{
				"respond-async":          {http.StatusAccepted, 0, 900 * time.Millisecond},
				"wait=1":                 {http.StatusAccepted, time.Second, 2400 * time.Millisecond},
				"respond-async, wait=20": {http.StatusOK, 2400 * time.Millisecond, 15 * time.Second},
			} {
				t.Run(prefer, func(t *testing.T) {
					t.Parallel()
					var resp *http.Response
					began := time.Now()
					raw, picture, err := ask(t, option.WithHeader("Prefer", prefer), option.WithResponseInto(&resp))
					took := time.Since(began)
					if err != nil {
						t.Fatal(err)
					}
					applied := prefer[strings.LastIndex(prefer, " ")+1:]
					if resp.StatusCode != want.status || resp.Header.Get("Preference-Applied") != applied || picture != (want.status == http.StatusOK) {
						t.Errorf("%d %v %s", resp.StatusCode, resp.Header, raw)
					}
					if took < want.least || took > want.most {
						t.Errorf("answered after %v, want %v to %v", took, want.least, want.most)
					}
					id := resp.Header.Get("X-Job-Id")
					if want.status == http.StatusAccepted {
						var j orderedJob
						if err := json.Unmarshal([]byte(raw), &j); err != nil || j.ID != id || j.Status != "queued" && j.Status != "in_progress" ||
							resp.Header.Get("Location") != "/v1/jobs/"+id || resp.Header.Get("Retry-After") == "" {
							t.Errorf("the client was handed %s (%v) with %v", raw, err, resp.Header)
						}
					}
					if j := g.as(clientKey).look(id + "?wait=30s"); j.Status != "completed" {
						t.Errorf("the job ended as %s", j.Status)
					}
				})
			}
		})
	}
}
