package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/webhook"
)

// Secrets of webhooks.
const (
	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // an example of Standard Webhooks
	otherSecret   = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// TestWebhookWithOpenAISDK has the official JavaScript client verify a delivery, as OpenAI's own webhooks are verified.
func TestWebhookWithOpenAISDK(t *testing.T) {
	t.Parallel()
	node := nodePath(t)
	ended := job.Job{
		ID: job.NewID(), Status: job.StatusFailed, CreatedAt: time.Now(), CompletedAt: time.Now(),
		Spec:     imagegen.Spec{Model: "Z-Image", Prompt: "一只可爱的小狗 <&>", Width: 64, Height: 64, Seeds: []uint32{1}},
		Pictures: []job.Picture{{Error: &imagegen.Error{Kind: imagegen.KindUpstreamRejected, Message: "no"}}},
	}
	body, header := deliver(t, webhookSecret, ended)
	got := unwrap(t, node, body, header, webhookSecret, otherSecret)
	e := got.Event
	if e.Type != "job.failed" || e.Data.ID != string(ended.ID) || e.Data.Object != "job" || !e.Timestamp.Equal(ended.CompletedAt.Truncate(time.Second)) {
		t.Errorf("the event is %+v", e)
	}
	if got.Refused != "InvalidWebhookSignatureError" {
		t.Errorf("another secret: %s", got.Refused)
	}
}

// unwrapped is what the official JavaScript client made of a delivery.
type unwrapped struct {
	Event struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			ID     string `json:"id"`
			Object string `json:"object"`
		} `json:"data"`
	} `json:"event"`
	Refused string `json:"refused"` // how the other secret was
}

// unwrap has the official JavaScript client verify a delivery with its secret, and with another one.
func unwrap(t *testing.T, node string, body []byte, header http.Header, secret, other string) (got unwrapped) {
	t.Helper()
	headers := map[string]string{}
	for name := range header {
		headers[name] = header.Get(name)
	}
	input, err := json.Marshal(map[string]any{"body": string(body), "headers": headers, "secret": secret, "other": other})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "webhook.mjs")
	cmd.Dir, cmd.Stdin = "node", bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// deliver sends the event of a job's end to a server and returns what arrived there.
func deliver(t *testing.T, secret string, j job.Job) (body []byte, header http.Header) {
	t.Helper()
	type delivery struct {
		body   []byte
		header http.Header
	}
	arrived := make(chan delivery, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- delivery{b, r.Header}
	}))
	defer receiver.Close()
	key, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webhook.NewSender(webhook.Config{Secret: key, Guard: netguard.Guard{AllowPrivate: true}, Version: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.CloseIdleConnections()
	m, err := webhook.NewMessage(j, openai.NewJob(j, job.Outlook{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), receiver.URL+"/hook", m); err != nil {
		t.Fatal(err)
	}
	d := <-arrived
	return d.body, d.header
}
