package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// raced is what is seen of a job that was cancelled at about its end.
type raced struct {
	id, answer string   // the status that the cancelling caller was told
	events     []string // the states that a follower was told, the first and repeated ones too
	err        error
}

// Jobs cancelled at about the end of their call end once, one way or the other, and everybody is told the same.
func TestCancelAtTheEnd(t *testing.T) {
	t.Parallel()
	const jobs = 40
	ending := make([]chan struct{}, jobs) // closed when the upstream is about to answer
	for i := range ending {
		ending[i] = make(chan struct{})
	}
	g := newGateway(t, setup{
		workerEnv: []string{"WORKER_CONCURRENCY=4"},
		upstream: simupstream.Config{Behave: func(r simupstream.Request) simupstream.Behaviour {
			var i int
			if _, err := fmt.Sscanf(r.Body.Prompt, "race %d", &i); err != nil {
				return simupstream.Behaviour{}
			}
			close(ending[i]) // a second call would panic here
			return simupstream.Behaviour{Latency: time.Duration(max(i-8, 0)) * time.Millisecond / 2}
		}},
	})
	other := g.beside()
	results := make(chan raced, jobs)
	for i := range jobs {
		r := g.must(http.MethodPost, "/v1/jobs", map[string]string{"prompt": fmt.Sprintf("race %d", i)}, nil)
		go func() { results <- race(g, other, r.jobID(), ending[i]) }()
	}
	ends, all := map[string]int{}, map[string]raced{}
	for range jobs {
		select {
		case r := <-results:
			if r.err != nil {
				t.Fatal(r.err)
			}
			all[r.id] = r
		case <-time.After(patience):
			t.Fatal("a job has not ended")
		}
	}
	// A worker that was late has come to the end of what it does with those jobs.
	waitUntil(t, "the worker is idle", patience, func() bool { return count(t, g.worker, "zimage_upstream_in_flight") == 0 })
	g.wantPicture(g.goChat("the last"), patience)
	for id, r := range all {
		j := other.job(id)
		ends[j.Status]++
		g.wantOneEnd(j, r)
		if again := g.must(http.MethodPost, "/v1/jobs/"+id+"/cancel", nil, nil); !strings.Contains(string(again.body), `"status":"`+j.Status+`"`) {
			t.Errorf("cancelled again, a job that is %s is %s", j.Status, again.body)
		}
	}
	t.Logf("%v", ends)
	if ends["completed"] == 0 || ends["cancelled"] == 0 || ends["completed"]+ends["cancelled"] != jobs {
		t.Errorf("%d jobs ended as %v, want some completed, some cancelled and none else", jobs, ends)
	}
	listed := map[string]int{}
	for _, j := range g.jobs() {
		listed[j.Status]++
	}
	listed["completed"]-- // the last
	finished := count(t, g.api, "zimage_jobs_finished_total") + count(t, other.api, "zimage_jobs_finished_total") + count(t, g.worker, "zimage_jobs_finished_total")
	if listed["completed"] != ends["completed"] || listed["cancelled"] != ends["cancelled"] || finished != jobs+1 {
		t.Errorf("the list has %v, the jobs ended as %v, and %d ends were counted", listed, ends, finished)
	}
}

// race follows a job at one API process and cancels it at another when its call is about to end.
func race(g, other *gateway, id string, ending <-chan struct{}) (r raced) {
	r.id = id
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	followed := make(chan error, 1)
	go func() {
		events, err := g.ask(ctx, http.MethodGet, "/v1/jobs/"+id+"/events", nil, nil)
		r.events = states(events.body)
		followed <- err
	}()
	select {
	case <-ending:
	case <-ctx.Done():
		r.err = fmt.Errorf("%s was never drawn", id)
		return r
	}
	reply, err := other.ask(ctx, http.MethodPost, "/v1/jobs/"+id+"/cancel", nil, nil)
	if err != nil || reply.status != http.StatusOK {
		r.err = fmt.Errorf("cancel: %d %s (%w)", reply.status, reply.body, err)
		return r
	}
	var j jobView
	if r.err = json.Unmarshal(reply.body, &j); r.err == nil {
		r.answer, r.err = j.Status, <-followed
	}
	return r
}

// states returns the states of a job that a stream of its events tells.
func states(stream []byte) (all []string) {
	lines := bufio.NewScanner(bytes.NewReader(stream))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var j jobView
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok && json.Unmarshal(data, &j) == nil {
			all = append(all, j.Status)
		}
	}
	return all
}

// wantOneEnd compares how a job ended with what was told meanwhile.
func (g *gateway) wantOneEnd(j jobView, r raced) {
	g.t.Helper()
	if r.answer != j.Status {
		g.t.Errorf("%s is %s, and the caller that cancelled it was told %s", j.ID, j.Status, r.answer)
	}
	terminal := 0
	for _, s := range r.events {
		if s != "queued" && s != "in_progress" {
			terminal++
		}
	}
	if terminal != 1 || r.events[len(r.events)-1] != j.Status {
		g.t.Errorf("%s is %s, and its events say %v", j.ID, j.Status, r.events)
	}
	if drawn := j.Result != nil && len(j.Result.Data) == 1; drawn != (j.Status == "completed") {
		g.t.Errorf("%s is %s with the result %v", j.ID, j.Status, j.Result)
	}
}

// A job that is being drawn is cancelled at another API process than its callers wait at: its call ends at once, at
// whichever worker, and all are told.
func TestCancelledElsewhere(t *testing.T) {
	t.Parallel()
	const atOne = 2
	g := newGateway(t, setup{workerEnv: []string{"WORKER_CONCURRENCY=2"}, upstream: simupstream.Config{Latency: time.Hour}})
	second := g.startWorker()
	other := g.beside()
	callers := map[string]*caller{}
	for i := range 2 * atOne {
		prompt := fmt.Sprintf("cat %d", i)
		c := g.calls("/v1/chat/completions", chat(prompt), nil)
		callers[g.jobOf(prompt)] = c
	}
	for _, w := range []*process{g.worker, second} {
		waitUntil(t, "the worker is busy", patience, func() bool { return count(t, w, "zimage_upstream_in_flight") == atOne })
	}
	left, slowest := len(callers), time.Duration(0)
	for id, c := range callers {
		began := time.Now()
		if r := other.must(http.MethodPost, "/v1/jobs/"+id+"/cancel", nil, nil); r.status != http.StatusOK || !strings.Contains(string(r.body), `"status":"cancelled"`) {
			t.Errorf("cancel: %d %s", r.status, r.body)
		}
		left--
		waitUntil(t, "the call is broken off", patience, func() bool { return g.upstream.InFlight() == left })
		if r := c.wait(); r.status != http.StatusBadRequest || r.code(t) != "job_cancelled" {
			t.Errorf("the caller got %d %s", r.status, r.body)
		}
		slowest = max(slowest, time.Since(began))
		waitUntil(t, "the ledger has the call", patience, func() bool { return g.ledger(id) == "cancelled/unknown" })
	}
	t.Logf("the slowest of %d calls ended %v after it was cancelled", len(callers), slowest.Round(time.Millisecond))
	if slowest > time.Second {
		t.Errorf("a call ended %v after its job was cancelled", slowest)
	}
	if n := g.upstream.Calls(); n != len(callers) {
		t.Errorf("%d upstream calls, want %d", n, len(callers))
	}
}
