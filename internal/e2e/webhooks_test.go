package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// swept is how long a lost webhook may take: a minute until its task counts as lost, and a pause of the sweeper.
const swept = 90 * time.Second

// arrival is one try of a delivery, as its receiver sees it.
type arrival struct {
	path   string
	at     time.Time
	header http.Header
	body   []byte
}

// receiver is a client's server. answer sends its reply; nil: 200.
type receiver struct {
	t        *testing.T
	url      string
	arrivals chan arrival
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{t: t, arrivals: make(chan arrival, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("read a delivery: %v", err)
		}
		r.arrivals <- arrival{req.URL.Path, time.Now(), req.Header, body}
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// next waits for the next try.
func (r *receiver) next(within time.Duration) arrival {
	r.t.Helper()
	select {
	case a := <-r.arrivals:
		return a
	case <-time.After(within):
		r.t.Fatalf("no delivery within %v", within)
	}
	panic("unreachable")
}

// none checks that nothing has come and nothing comes for a while.
func (r *receiver) none(during time.Duration) {
	r.t.Helper()
	select {
	case a := <-r.arrivals:
		r.t.Errorf("an unwanted delivery to %s: %s", a.path, a.body)
	case <-time.After(during):
	}
}

// webhookSetup is a gateway that sends webhooks to this machine.
func webhookSetup(u simupstream.Config) setup {
	env := []string{"WEBHOOK_SECRET=" + webhookSecret, "ALLOW_PRIVATE_ADDRESSES=true"}
	return setup{apiEnv: env, workerEnv: append(env, "WORKER_CONCURRENCY=2"), upstream: u}
}

// wantEvent checks the signature of a delivery and its event, whose data is what the job's own call tells.
func (c jobClient) wantEvent(a arrival, kind, id string) {
	t := c.g.t
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.Verify(a.body, a.header); err != nil {
		t.Errorf("%s: %v", kind, err)
	}
	wrong, err := standardwebhooks.NewWebhook(otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	if wrong.Verify(a.body, a.header) == nil {
		t.Errorf("%s: another secret verifies it", kind)
	}
	var event struct {
		Type      string         `json:"type"`
		Timestamp time.Time      `json:"timestamp"`
		Data      map[string]any `json:"data"`
	}
	if err := json.Unmarshal(a.body, &event); err != nil {
		t.Fatalf("%s: %v: %s", kind, err, a.body)
	}
	var own map[string]any
	c.do(http.MethodGet, "/v1/jobs/"+id, nil).into(t, &own)
	for _, m := range []map[string]any{event.Data, own} {
		delete(m, "queue_position")
		delete(m, "eta_seconds")
	}
	if diff := cmp.Diff(own, event.Data); diff != "" {
		t.Errorf("%s: the job and the event's data (-job +data):\n%s", kind, diff)
	}
	completed, _ := own["completed_at"].(float64)
	if event.Type != kind || float64(event.Timestamp.Unix()) != completed {
		t.Errorf("event %s of %v, want %s of %v", event.Type, event.Timestamp, kind, completed)
	}
	if got := a.header.Get("Webhook-Id"); got != "msg_"+strings.TrimPrefix(id, "job_") || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: id %q of %s, type %q", kind, got, id, a.header.Get("Content-Type"))
	}
}

// webhookOrder is a job whose end is told to a URL.
func webhookOrder(prompt, url string) map[string]any {
	return map[string]any{"prompt": prompt, "webhook_url": url, "metadata": map[string]string{"for": "<a & b>"}}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	g := newGateway(t, webhookSetup(simupstream.Config{Behave: byPrompt}))
	c := g.as(clientKey)
	for prompt, kind := range map[string]string{"a cat": "job.completed", "refuse this": "job.failed", "a slow one": "job.cancelled"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, nil)
			id := c.order(webhookOrder(prompt, r.url+"/hook?x=1")).ID
			if kind == "job.cancelled" {
				waitUntil(t, "it runs", patience, func() bool { return c.look(id).Status == "in_progress" })
				c.do(http.MethodPost, "/v1/jobs/"+id+"/cancel", nil)
			}
			a := r.next(patience)
			c.wantEvent(a, kind, id)
			r.none(200 * time.Millisecond)
			if kind != "job.completed" {
				return
			}
			node := nodePath(t)
			got := unwrap(t, node, a.body, a.header, webhookSecret, otherSecret)
			if got.Event.Type != kind || got.Event.Data.ID != id || got.Refused != "InvalidWebhookSignatureError" {
				t.Errorf("the official client has %+v", got)
			}
		})
	}
	t.Run("of a queued job that is cancelled", func(t *testing.T) {
		t.Parallel()
		idle := newGateway(t, webhookSetup(simupstream.Config{Behave: byPrompt}))
		c := idle.as(clientKey)
		for range 2 {
			c.order(jobOrder("slow"))
		}
		waitUntil(t, "both slots are taken", patience, func() bool { return idle.upstream.InFlight() == 2 })
		r := newReceiver(t, nil)
		id := c.order(webhookOrder("a cat", r.url)).ID
		c.do(http.MethodPost, "/v1/jobs/"+id+"/cancel", nil)
		c.wantEvent(r.next(patience), "job.cancelled", id) // though no slot is free for a picture
	})
}

// A receiver that fails, or sends elsewhere, is asked again after five seconds with the same event.
func TestWebhookIsTriedAgain(t *testing.T) {
	t.Parallel()
	g := newGateway(t, webhookSetup(simupstream.Config{}))
	c := g.as(clientKey)
	for name, first := range map[string]http.HandlerFunc{
		"after a 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"after a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := make(chan http.HandlerFunc, 1)
			answers <- first
			r := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
				select {
				case answer := <-answers:
					answer(w, r)
				default:
				}
			})
			id := c.order(webhookOrder("a cat", r.url+"/hook")).ID
			one, two := r.next(patience), r.next(patience)
			c.wantEvent(one, "job.completed", id)
			c.wantEvent(two, "job.completed", id)
			pause := two.at.Sub(one.at)
			t.Logf("tried again after %v", pause.Round(time.Millisecond))
			if pause < 4900*time.Millisecond || pause > 9*time.Second {
				t.Errorf("tried again after %v, want about 5 s", pause)
			}
			if one.path != "/hook" || two.path != "/hook" || one.header.Get("Webhook-Id") != two.header.Get("Webhook-Id") || string(one.body) != string(two.body) {
				t.Errorf("the first try was\n%s %v %s\nthe second\n%s %v %s", one.path, one.header, one.body, two.path, two.header, two.body)
			}
			r.none(200 * time.Millisecond)
		})
	}
}

// A URL to which nothing would be sent is refused at once.
func TestWebhookURLs(t *testing.T) {
	t.Parallel()
	const secret = "WEBHOOK_SECRET=" + webhookSecret
	guarded := newGateway(t, setup{noWorker: true, apiEnv: []string{secret}})
	off := newGateway(t, setup{noWorker: true})
	for name, c := range map[string]struct {
		g      *gateway
		url    string
		status int
	}{
		"loopback":          {guarded, "http://127.0.0.1:8080/hook", http.StatusBadRequest},
		"loopback in IPv6":  {guarded, "http://[::1]/hook", http.StatusBadRequest},
		"localhost":         {guarded, "http://localhost:8080/hook", http.StatusBadRequest},
		"a private address": {guarded, "https://10.1.2.3/hook", http.StatusBadRequest},
		"link-local":        {guarded, "http://169.254.169.254/latest", http.StatusBadRequest},
		"another scheme":    {guarded, "ftp://example.com/hook", http.StatusBadRequest},
		"a public name":     {guarded, "https://example.com/hook", http.StatusAccepted},
		"without a secret":  {off, "https://example.com/hook", http.StatusBadRequest},
	} {
		r := c.g.as(clientKey).do(http.MethodPost, "/v1/jobs", webhookOrder("a cat", c.url))
		var e struct {
			Error struct {
				Param, Code string
			}
		}
		r.into(t, &e)
		if r.status != c.status || c.status == http.StatusBadRequest && (e.Error.Param != "webhook_url" || e.Error.Code != "invalid_value") {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.status)
		}
	}
}

// A delivery whose task was lost, as when the worker is killed between the end of a job and its webhook, is made by the
// sweeper.
func TestLostWebhook(t *testing.T) {
	t.Parallel()
	g := newGateway(t, webhookSetup(simupstream.Config{}))
	c := g.as(clientKey)
	r := newReceiver(t, nil)
	id := c.order(webhookOrder("a cat", r.url)).ID
	first := r.next(patience)
	admin := g.redis()
	record := "zimage:job:{" + id + "}"
	waitUntil(t, "the delivery is settled", patience, func() bool { return admin.HGet(t.Context(), record, "hook").Val() == "sent" })
	// As it was before the task was queued.
	_, err := admin.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.HSet(t.Context(), record, "hook", "due")
		pipe.HDel(t.Context(), record, "ht")
		pipe.ZAdd(t.Context(), "zimage:jobs:open", redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: id})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	second := r.next(swept)
	t.Logf("delivered %v after it was lost", time.Since(began).Round(time.Second))
	c.wantEvent(second, "job.completed", id)
	if first.header.Get("Webhook-Id") != second.header.Get("Webhook-Id") {
		t.Errorf("ids %q and %q", first.header.Get("Webhook-Id"), second.header.Get("Webhook-Id"))
	}
	waitUntil(t, "the delivery is settled again", patience, func() bool { return admin.HGet(t.Context(), record, "hook").Val() == "sent" })
	// A task for what was told already tells nothing.
	task := job.WebhookTask(job.ID(id))
	if err := queue.NewClient(admin).Enqueue(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the task is done", patience, func() bool {
		return admin.Exists(t.Context(), "asynq:{webhooks}:t:"+task.ID()).Val() == 0
	})
	r.none(200 * time.Millisecond)
}

// A worker is killed while the receiver takes its time; another worker delivers.
func TestWorkerKilledWhileItDelivers(t *testing.T) {
	t.Parallel()
	g := newGateway(t, webhookSetup(simupstream.Config{}))
	c := g.as(clientKey)
	slow := make(chan struct{}, 1)
	slow <- struct{}{}
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-slow:
			<-req.Context().Done()
		default:
		}
	})
	id := c.order(webhookOrder("a cat", r.url)).ID
	first := r.next(patience)
	g.worker.kill()
	died := time.Now()
	g.startWorker()
	second := r.next(recovery)
	t.Logf("delivered %v after the kill", time.Since(died).Round(time.Second))
	c.wantEvent(second, "job.completed", id)
	if first.header.Get("Webhook-Id") != second.header.Get("Webhook-Id") {
		t.Errorf("ids %q and %q", first.header.Get("Webhook-Id"), second.header.Get("Webhook-Id"))
	}
}
