package sdwebui_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/upstreamtest"
)

func newClient(t *testing.T, c sdwebui.Config) *sdwebui.Client {
	t.Helper()
	client, err := sdwebui.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestConformance(t *testing.T) {
	t.Parallel()
	const login = "operator:" + upstreamtest.Key
	upstreamtest.Run(t, upstreamtest.Protocol{
		New: func(t *testing.T, url string, timeout time.Duration) upstreamtest.Provider {
			t.Helper()
			return newClient(t, sdwebui.Config{URL: url, APIKey: login, Timeout: timeout})
		},
		Auth:   "Basic " + base64.StdEncoding.EncodeToString([]byte(login)),
		Prompt: upstreamtest.JSONPrompt,
		Data: func(w http.ResponseWriter, picture []byte) {
			upstreamtest.SendEncoded(w, `{"images":["`, picture, `"],"parameters":{"steps":8},"info":"{\"seed\": 42}"}`)
		},
		Decline: func(w http.ResponseWriter, status int, message string) {
			send(w, status, map[string]any{"error": "HTTPException", "detail": message, "body": "", "errors": ""})
		},
		LacksEndpoint: true,
		MaxReply:      44_739_244 + 1<<20,
	})
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
