package openaiimages_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/openaiimages"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/upstreamtest"
)

func newClient(t *testing.T, c openaiimages.Config) *openaiimages.Client {
	t.Helper()
	client, err := openaiimages.New(c)
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
			return newClient(t, openaiimages.Config{URL: url + "/v1", APIKey: upstreamtest.Key, Timeout: timeout})
		},
		Auth:   "Bearer " + upstreamtest.Key,
		Prompt: upstreamtest.JSONPrompt,
		Picture: func(w http.ResponseWriter, imageURL string) {
			send(w, http.StatusOK, images(map[string]any{"url": imageURL}))
		},
		Data: func(w http.ResponseWriter, picture []byte) {
			upstreamtest.SendEncoded(w, `{"created":1713833628,"data":[{"b64_json":"`, picture, `"}]}`)
		},
		Decline: func(w http.ResponseWriter, status int, message string) {
			send(w, status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "param": nil, "code": nil}})
		},
		LacksModel:    true,
		LacksEndpoint: true,
		SaysPoints:    true,
		MaxReply:      44_739_244 + 1<<20,
	})
}

// images is a success as OpenAI sends it.
func images(picture map[string]any) map[string]any {
	return map[string]any{"created": 1713833628, "data": []any{picture}}
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
