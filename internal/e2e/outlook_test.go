package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// The waiting jobs of one key are numbered in the order in which they came, whatever their lanes.
func TestQueuePositions(t *testing.T) {
	t.Parallel()
	const jobs = 20
	g := newGateway(t, setup{noWorker: true})
	c := g.as(clientKey)
	made := make([]orderedJob, jobs)
	for i := range made {
		made[i] = c.order(jobOrder("a cat"))
	}
	for i, j := range made {
		r := c.do(http.MethodGet, "/v1/jobs/"+j.ID, nil)
		var now orderedJob
		r.into(t, &now)
		if now.QueuePosition == nil || *now.QueuePosition != i+1 {
			t.Errorf("job %d in its order: %s", i+1, r.body)
		}
		if after, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || after < 1 || after > 60 {
			t.Errorf("job %d: Retry-After %q", i+1, r.header.Get("Retry-After"))
		}
		if now.ETASeconds != nil {
			t.Errorf("job %d is done in %d s, say workers that there are not", i+1, *now.ETASeconds)
		}
	}
	listed := c.list("limit=100").Data
	for i, j := range listed {
		if j.QueuePosition == nil || *j.QueuePosition != jobs-i {
			t.Errorf("job %d of the list: %+v", i, j)
		}
	}
}

// With two slots and twenty pictures of half a second, what is told of the last one's end is about true.
func TestETA(t *testing.T) {
	t.Parallel()
	const waiting, each = 20, 500 * time.Millisecond
	g := newGateway(t, setup{workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Latency: each}})
	g.startWorker()
	mine, other := g.as(clientKey), g.as(otherKey)
	waitUntil(t, "the workers have told how long a picture takes", patience, func() bool {
		j := mine.order(jobOrder("before"))
		mine.order(jobOrder("before"))
		told := mine.look(j.ID).ETASeconds != nil
		return mine.look(j.ID+"?wait=30s").Status == "completed" && told
	})
	waitUntil(t, "nothing waits", patience, func() bool { return g.upstream.InFlight() == 0 && len(mine.list("status=queued").Data) == 0 })
	var calls []<-chan later
	for i := range 5 {
		calls = append(calls, g.goChat(fmt.Sprintf("call %d", i)))
	}
	for range waiting - 5 - 4 {
		mine.order(jobOrder("batch"))
	}
	for range 4 {
		other.order(jobOrder("batch of another key"))
	}
	read := time.Now()
	var last orderedJob
	var owner jobClient
	for _, c := range []jobClient{mine, other} {
		for _, j := range c.list("limit=100&status=queued").Data {
			if j.QueuePosition == nil || j.ETASeconds == nil {
				t.Fatalf("job %s waits without position or end: %+v", j.ID, j)
			}
			if last.ETASeconds == nil || *j.ETASeconds > *last.ETASeconds || *j.QueuePosition > *last.QueuePosition {
				last, owner = j, c
			}
		}
	}
	r := owner.do(http.MethodGet, "/v1/jobs/"+last.ID, nil)
	if after, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || after > *last.ETASeconds || after < *last.ETASeconds-2 {
		t.Errorf("Retry-After is %q, want about %d", r.header.Get("Retry-After"), *last.ETASeconds)
	}
	if ended := owner.look(last.ID + "?wait=60s"); ended.Status != "completed" {
		t.Fatalf("the last job is %+v", ended)
	}
	took := time.Since(read).Seconds()
	for _, c := range calls {
		g.wantPicture(c, patience)
	}
	told := float64(*last.ETASeconds)
	t.Logf("position %d: told %.0f s, took %.1f s (ideal %.1f s)", *last.QueuePosition, told, took, (waiting * each / 2).Seconds())
	if told < took/2 || told > took*1.5 {
		t.Errorf("the last job was to be done in %.0f s, and was in %.1f s", told, took)
	}
}
