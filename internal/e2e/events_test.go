package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// jobEvent is an event of a job.
type jobEvent struct {
	id     int
	status string
}

// watch follows a job after the event lastID (empty: from the start) and sends what it is told until the stream ends by
// itself; err is not nil if it ended otherwise. It may be called from any goroutine.
func (c jobClient) watch(ctx context.Context, job, lastID string, seen func(jobEvent)) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/v1/jobs/"+job+"/events", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if lastID != "" {
		req.Header.Set("Last-Event-Id", lastID)
	}
	resp, err := c.g.client().Do(req)
	if err != nil {
		return 0, fmt.Errorf("follow job: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var e jobEvent
	name := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			if e.id, err = strconv.Atoi(value); err != nil {
				return resp.StatusCode, fmt.Errorf("id of an event: %w", err)
			}
		case "event":
			name = value
		case "data":
			var j orderedJob
			if err := json.Unmarshal([]byte(value), &j); err != nil || name != "job" || j.ID != job {
				return resp.StatusCode, fmt.Errorf("event %s of job %s: %s (%w)", name, job, value, err)
			}
			e.status = j.Status
			seen(e)
		}
	}
	if err := lines.Err(); err != nil {
		return resp.StatusCode, fmt.Errorf("read events: %w", err)
	}
	return resp.StatusCode, nil
}

// Twenty clients follow one job through two API processes, each of which has one subscription.
func TestEventsOfAJob(t *testing.T) {
	t.Parallel()
	const watchers = 20
	upstream := &gate{}
	// Channels belong to all databases of a server, so this one is the test's own.
	g := newGateway(t, setup{
		noWorker: true, redisURL: redistest.Start(t, redistest.Options{}).URL(), upstream: simupstream.Config{Behave: upstream.behave},
		apiEnv: []string{"STREAM_KEEPALIVE=50ms"},
	})
	defer upstream.open()
	upstream.hold()
	apis := []jobClient{g.as(clientKey)}
	g.startAPI()
	apis = append(apis, g.as(clientKey))
	id := apis[0].order(jobOrder("a cat")).ID

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	type told struct {
		watcher int
		event   jobEvent
		end     bool
		err     error
	}
	events := make(chan told, 10*watchers)
	for i := range watchers {
		go func() {
			_, err := apis[i%2].watch(ctx, id, "", func(e jobEvent) { events <- told{watcher: i, event: e} })
			events <- told{watcher: i, end: true, err: err}
		}()
	}
	history := make([][]jobEvent, watchers)
	ended := map[int]bool{}
	// all waits until every watcher was told of the status, or without one until every stream has ended.
	all := func(status string) {
		t.Helper()
		left := map[int]bool{}
		for i := range watchers {
			if status != "" || !ended[i] {
				left[i] = true
			}
		}
		for len(left) > 0 {
			var e told
			select {
			case e = <-events:
			case <-ctx.Done():
				t.Fatalf("watchers %v were never told %q; all were told %v", left, status, history)
			}
			if e.end {
				ended[e.watcher] = true
				if e.err != nil || left[e.watcher] && status != "" {
					t.Fatalf("the stream of watcher %d ended while waiting for %q, after %v: %v", e.watcher, status, history[e.watcher], e.err)
				}
				delete(left, e.watcher)
				continue
			}
			history[e.watcher] = append(history[e.watcher], e.event)
			if e.event.status == status {
				delete(left, e.watcher)
			}
		}
	}
	all("queued")
	g.startWorker()
	all("in_progress")
	g.wantSubscriptions(2) // one for each api process
	queuedAs, runningAs := history[0][0].id, history[0][len(history[0])-1].id

	// One that comes again is told what is new, and only that.
	again := make(chan []jobEvent, 4)
	for i, last := range []int{queuedAs, runningAs} {
		for _, api := range apis {
			go func() {
				var got []jobEvent
				if status, err := api.watch(ctx, id, strconv.Itoa(last), func(e jobEvent) { got = append(got, e) }); err != nil || status != http.StatusOK {
					t.Errorf("watcher that came again after event %d: %d, %v", i, status, err)
				}
				again <- got
			}()
		}
	}
	upstream.open()
	all("completed")
	for i, h := range history {
		var statuses []string
		for k, e := range h {
			statuses = append(statuses, e.status)
			if k > 0 && e.id <= h[k-1].id {
				t.Errorf("watcher %d: event %d follows %d", i, e.id, h[k-1].id)
			}
		}
		if statuses = slices.Compact(statuses); !slices.Equal(statuses, []string{"queued", "in_progress", "completed"}) {
			t.Errorf("watcher %d was told %v", i, statuses)
		}
	}
	for range cap(again) {
		for _, e := range <-again {
			if e.id <= queuedAs || e.status == "queued" {
				t.Errorf("a watcher that came again was told %+v, though it knew event %d", e, queuedAs)
			}
		}
	}
	all("")
	end := strconv.Itoa(history[0][len(history[0])-1].id)
	for _, api := range apis {
		if status, err := api.watch(ctx, id, end, func(e jobEvent) { t.Errorf("told %+v after the end", e) }); err != nil || status != http.StatusNoContent {
			t.Errorf("one that knows the end: %d, %v; want 204", status, err)
		}
		var late []jobEvent
		if status, err := api.watch(ctx, id, "", func(e jobEvent) { late = append(late, e) }); err != nil || status != http.StatusOK || len(late) != 1 || late[0].status != "completed" {
			t.Errorf("one that is late: %d %v, %v", status, late, err)
		}
	}
	g.wantSubscriptions(2) // one for each api process
}

// wantSubscriptions checks that so many connections listen to the changes of jobs, as Redis sees it.
func (g *gateway) wantSubscriptions(want int64) {
	g.t.Helper()
	admin := g.redis()
	const channel = "zimage:events"
	counts, err := admin.PubSubNumSub(g.t.Context(), channel).Result()
	if err != nil {
		g.t.Fatal(err)
	}
	clients, err := admin.Do(g.t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Logf("%d subscriptions of %s; %d connections listen to anything", counts[channel], channel, strings.Count(clients, "\n"))
	if counts[channel] != want {
		g.t.Errorf("%d subscriptions of %s, want %d:\n%s", counts[channel], channel, want, clients)
	}
}
