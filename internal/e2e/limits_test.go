package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// wantRefusal checks a refusal that asks the client to come again, and that both headers say the same of when.
func (g *gateway) wantRefusal(r reply, status int, code string) {
	g.t.Helper()
	var e errorBody
	r.into(g.t, &e)
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	ms, msErr := strconv.Atoi(r.header.Get("Retry-After-Ms"))
	if r.status != status || e.Error.Code != code || e.Error.Message == "" || r.header.Get("X-Should-Retry") != "true" ||
		err != nil || seconds < 1 || seconds > 60 || msErr != nil || ms > 1000*seconds || ms <= 1000*(seconds-1) {
		g.t.Fatalf("got %d %v %s, want %d %s and when to come again", r.status, r.header, r.body, status, code)
	}
	if want := map[int]string{http.StatusTooManyRequests: "rate_limit_error", http.StatusServiceUnavailable: "server_error"}[status]; e.Error.Type != want {
		g.t.Errorf("type %q, want %q", e.Error.Type, want)
	}
}

// orderOnSlot makes a job that takes the only slot, where the upstream holds it.
func (c jobClient) orderOnSlot() {
	c.g.t.Helper()
	before := c.g.upstream.Calls()
	c.order(jobOrder("on the slot"))
	waitUntil(c.g.t, "the job is on the slot", patience, func() bool { return c.g.upstream.Calls() > before })
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	upstream := &gate{}
	g := newGateway(t, setup{
		apiEnv: []string{"QUEUE_MAX_PENDING=5"}, workerEnv: []string{"WORKER_CONCURRENCY=1"},
		upstream: simupstream.Config{Behave: upstream.behave},
	})
	defer upstream.open()
	upstream.hold()
	mine, other := g.as(clientKey), g.as(otherKey)
	mine.orderOnSlot()
	// Five wait: one of a call, two of one job, two more.
	call := g.goChat("a call")
	waitUntil(t, "the call waits", patience, func() bool { return mine.list("status=queued").has("a call") })
	mine.order(map[string]any{"prompt": "two", "n": 2})
	other.order(jobOrder("another key's"))
	last := mine.order(jobOrder("the last"))
	for name, try := range map[string]func() reply{
		"a job":         func() reply { return mine.do(http.MethodPost, "/v1/jobs", jobOrder("one more")) },
		"another key's": func() reply { return other.do(http.MethodPost, "/v1/jobs", jobOrder("one more")) },
		"a call":        func() reply { return mine.do(http.MethodPost, "/v1/chat/completions", chat("one more")) },
		"a call for Prefer": func() reply {
			return mine.do(http.MethodPost, "/v1/images/generations", jobOrder("one more"), "Prefer", "respond-async")
		},
	} {
		t.Log(name)
		g.wantRefusal(try(), http.StatusServiceUnavailable, "queue_full")
	}
	// What can never fit is no matter of time.
	r := mine.do(http.MethodPost, "/v1/jobs", map[string]any{"prompt": "six", "n": 6})
	if r.status != http.StatusBadRequest || !strings.Contains(string(r.body), `"param":"n"`) {
		t.Errorf("six pictures: %d %s", r.status, r.body)
	}
	// A place comes free by a cancellation, and by a picture that starts.
	if r := mine.do(http.MethodPost, "/v1/jobs/"+last.ID+"/cancel", nil); r.status != http.StatusOK {
		t.Fatalf("cancel: %d %s", r.status, r.body)
	}
	mine.order(jobOrder("in the free place"))
	g.wantRefusal(mine.do(http.MethodPost, "/v1/jobs", jobOrder("one more")), http.StatusServiceUnavailable, "queue_full")
	upstream.open()
	waitUntil(t, "a picture starts", patience, func() bool {
		return mine.do(http.MethodPost, "/v1/jobs", jobOrder("one more")).status == http.StatusAccepted
	})
	g.wantPicture(call, patience)
}

// Pictures that rest before their next attempt wait too.
func TestDelayedRetriesCountAsWaiting(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv:    []string{"QUEUE_MAX_PENDING=5"},
		workerEnv: []string{"RETRY_BASE_DELAY=30s", "BREAKER_THRESHOLD=100"},
		upstream:  simupstream.Config{Behave: always(simupstream.Decline(http.StatusServiceUnavailable, "not now"))},
	})
	c := g.as(clientKey)
	var ids []string
	for range 5 {
		ids = append(ids, c.order(jobOrder("a cat")).ID)
	}
	waitUntil(t, "all of them were tried", patience, func() bool {
		ended := 0
		for _, id := range ids {
			if calls := c.look(id).Calls; len(calls) == 1 && calls[0].Outcome != "" {
				ended++
			}
		}
		return ended == len(ids) && g.upstream.InFlight() == 0
	})
	g.wantRefusal(c.do(http.MethodPost, "/v1/jobs", jobOrder("one more")), http.StatusServiceUnavailable, "queue_full")
	if r := c.do(http.MethodDelete, "/v1/jobs/"+ids[2], nil); r.status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", r.status, r.body)
	}
	c.order(jobOrder("in the free place"))
}

// namedKey is an entry of CONFIG_FILE.
func namedKey(name, key, limits string) string {
	return fmt.Sprintf("  - {name: %s, sha256: %x, %s}\n", name, sha256.Sum256([]byte(key)), limits)
}

func TestPendingLimitOfAKey(t *testing.T) {
	t.Parallel()
	upstream := &gate{}
	g := newGateway(t, setup{
		apiEnv:    []string{configFile(t, "keys:\n"+namedKey("alice", "sk-alice", "max_pending: 2"))},
		workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Behave: upstream.behave},
	})
	defer upstream.open()
	upstream.hold()
	alice, other := g.as("sk-alice"), g.as(clientKey)
	other.orderOnSlot()
	alice.order(jobOrder("one"))
	two := alice.order(jobOrder("two"))
	g.wantRefusal(alice.do(http.MethodPost, "/v1/jobs", jobOrder("three")), http.StatusTooManyRequests, "rate_limit_exceeded")
	g.wantRefusal(alice.do(http.MethodPost, "/v1/chat/completions", chat("three")), http.StatusTooManyRequests, "rate_limit_exceeded")
	for range 4 {
		other.order(jobOrder("another key's"))
	}
	if r := alice.do(http.MethodDelete, "/v1/jobs/"+two.ID, nil); r.status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", r.status, r.body)
	}
	alice.order(jobOrder("in the free place"))
	g.wantRefusal(alice.do(http.MethodPost, "/v1/jobs", jobOrder("three")), http.StatusTooManyRequests, "rate_limit_exceeded")
	upstream.open()
	waitUntil(t, "her pictures start", patience, func() bool {
		return alice.do(http.MethodPost, "/v1/jobs", jobOrder("three")).status == http.StatusAccepted
	})
}

func TestPicturesADay(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv:    []string{configFile(t, "keys:\n"+namedKey("alice", "sk-alice", "images_per_day: 3"))},
		workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Behave: byPrompt},
	})
	alice := g.as("sk-alice")
	// Near midnight UTC the day would begin anew in the middle of the test.
	if left := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < time.Minute {
		t.Skipf("skipped: the day ends in %v", left)
	}
	if r := alice.do(http.MethodPost, "/v1/images/generations", map[string]any{"prompt": "a cat", "n": 2}); r.status != http.StatusOK {
		t.Fatalf("two pictures: %d %s", r.status, r.body)
	}
	g.wantRefusal(alice.do(http.MethodPost, "/v1/jobs", map[string]any{"prompt": "a cat", "n": 2}), http.StatusTooManyRequests, "insufficient_quota")
	// A picture that was refused gives its place back, and so does one that is cancelled before its call.
	for range 2 {
		if r := alice.do(http.MethodPost, "/v1/chat/completions", chat("refuse this")); r.status != http.StatusBadRequest {
			t.Fatalf("a refused picture: %d %s", r.status, r.body)
		}
	}
	cancel := func(c jobClient, j orderedJob) {
		t.Helper()
		if r := c.do(http.MethodPost, "/v1/jobs/"+j.ID+"/cancel", nil); r.status != http.StatusOK {
			t.Fatalf("cancel: %d %s", r.status, r.body)
		}
	}
	on := func(j orderedJob) orderedJob {
		t.Helper()
		waitUntil(t, "it runs", patience, func() bool { return g.startedAt(j.Request.Prompt) > 0 })
		return j
	}
	blocker := on(g.as(clientKey).order(jobOrder("a slow one, another key's")))
	queued := alice.order(jobOrder("a slow one that waits"))
	g.wantRefusal(alice.do(http.MethodPost, "/v1/jobs", jobOrder("a cat")), http.StatusTooManyRequests, "insufficient_quota")
	cancel(alice, queued)
	third := alice.order(jobOrder("a slow one that runs"))
	cancel(g.as(clientKey), blocker)
	// What may have been paid for counts.
	cancel(alice, on(third))
	g.wantRefusal(alice.do(http.MethodPost, "/v1/chat/completions", chat("a cat")), http.StatusTooManyRequests, "insufficient_quota")
	if r := g.as(clientKey).do(http.MethodPost, "/v1/chat/completions", chat("a cat")); r.status != http.StatusOK {
		t.Errorf("another key: %d %s", r.status, r.body)
	}
}

// Two API processes share a key's rate.
func TestRequestsAMinute(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{apiEnv: []string{"RATE_LIMIT_RPM=3"}})
	one := g.as(clientKey)
	g.startAPI()
	two := g.as(clientKey)
	began := time.Now()
	free := func() {
		t.Helper()
		for _, c := range []jobClient{one, two} {
			if r := c.do(http.MethodGet, "/v1/models", nil); r.status != http.StatusOK || r.header.Get("X-Ratelimit-Limit-Requests") != "" {
				t.Errorf("models: %d %v", r.status, r.header)
			}
			title := chat("### Task:\nGenerate a concise, 3-5 word title\n### Output:\nJSON format: { \"title\": \"\" }\n### Chat History:\n<chat_history>\nUSER: a\n</chat_history>")
			if r := c.do(http.MethodPost, "/v1/chat/completions", title); r.status != http.StatusOK || r.header.Get("X-Job-Id") != "" {
				t.Errorf("a title: %d %v %s", r.status, r.header, r.body)
			}
			if r := c.do(http.MethodPost, "/v1/jobs", map[string]any{}); r.status != http.StatusBadRequest {
				t.Errorf("an invalid request: %d %s", r.status, r.body)
			}
			c.list("")
		}
	}
	counted := func(c jobClient, left string, header ...string) string {
		t.Helper()
		r := c.do(http.MethodPost, "/v1/chat/completions", chat("a cat"), header...)
		if r.status != http.StatusOK || r.header.Get("X-Ratelimit-Limit-Requests") != "3" || r.header.Get("X-Ratelimit-Remaining-Requests") != left {
			t.Fatalf("%d %v %s, want a picture and %s more calls", r.status, r.header, r.body, left)
		}
		if reset, err := time.ParseDuration(r.header.Get("X-Ratelimit-Reset-Requests")); err != nil || reset <= 0 || reset > time.Minute {
			t.Errorf("all is there again after %q", r.header.Get("X-Ratelimit-Reset-Requests"))
		}
		return r.header.Get("X-Job-Id")
	}
	free()
	id := counted(one, "2", "Idempotency-Key", "k1")
	for _, c := range []jobClient{two, one, two} {
		r := c.do(http.MethodPost, "/v1/chat/completions", chat("a cat"), "Idempotency-Key", "k1")
		if r.status != http.StatusOK || r.header.Get("X-Job-Id") != id || r.header.Get("Idempotent-Replayed") != "true" {
			t.Fatalf("a joined call: %d %v %s", r.status, r.header, r.body)
		}
	}
	counted(two, "1")
	free()
	counted(one, "0")
	// Every 20 s one more call is there.
	if took := time.Since(began); took > 15*time.Second {
		t.Skipf("skipped: the calls took %v", took)
	}
	for _, c := range []jobClient{two, one} {
		r := c.do(http.MethodPost, "/v1/chat/completions", chat("a cat"))
		g.wantRefusal(r, http.StatusTooManyRequests, "rate_limit_exceeded")
		after, _ := strconv.Atoi(r.header.Get("Retry-After"))
		if after > 20 || r.header.Get("X-Ratelimit-Limit-Requests") != "3" || r.header.Get("X-Ratelimit-Remaining-Requests") != "0" {
			t.Errorf("refused with %v", r.header)
		}
		if reset, err := time.ParseDuration(r.header.Get("X-Ratelimit-Reset-Requests")); err != nil || reset < 40*time.Second || reset > time.Minute {
			t.Errorf("all is there again after %q", r.header.Get("X-Ratelimit-Reset-Requests"))
		}
	}
	r := two.do(http.MethodPost, "/v1/chat/completions", chat("a cat"), "Idempotency-Key", "k1")
	if r.status != http.StatusOK || r.header.Get("X-Job-Id") != id {
		t.Errorf("a joined call when no more are there: %d %s", r.status, r.body)
	}
	free()
	if r := (jobClient{g, two.url, otherKey}).do(http.MethodPost, "/v1/chat/completions", chat("a cat")); r.status != http.StatusOK {
		t.Errorf("another key: %d %s", r.status, r.body)
	}
	if n := g.upstream.Calls(); n != 4 {
		t.Errorf("%d pictures, want 4", n)
	}
}
