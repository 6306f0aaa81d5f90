package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// pages reads a whole list.
func (c jobClient) pages(query string) (ids []string, sizes []int) {
	c.g.t.Helper()
	after := ""
	for {
		page := c.list(query + after)
		if n := len(page.Data); n > 0 && (page.FirstID == nil || *page.FirstID != page.Data[0].ID || page.LastID == nil || *page.LastID != page.Data[n-1].ID) {
			c.g.t.Errorf("a page names others as its first and last: %+v", page)
		}
		ids, sizes = append(ids, page.ids()...), append(sizes, len(page.Data))
		if !page.HasMore {
			return ids, sizes
		}
		after = "&after=" + *page.LastID
	}
}

func TestListOfJobs(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Behave: byPrompt}})
	c := g.as(clientKey)
	if page := c.list(""); page.Object != "list" || len(page.Data) != 0 || page.HasMore || page.FirstID != nil || page.LastID != nil {
		t.Errorf("an empty list is %+v", page)
	}
	var made, failed []string
	for i := range 25 {
		switch i % 5 {
		case 0: // a synchronous call
			r := c.do(http.MethodPost, "/v1/chat/completions", chat(fmt.Sprintf("call %d", i)))
			if r.status != http.StatusOK {
				t.Fatalf("a call: %d %s", r.status, r.body)
			}
			made = append(made, r.header.Get("X-Job-Id"))
		case 1:
			j := c.order(jobOrder("refuse this"))
			made, failed = append(made, j.ID), append(failed, j.ID)
		default:
			made = append(made, c.order(jobOrder(fmt.Sprintf("job %d", i))).ID)
		}
		// Jobs of the same millisecond have no order.
		tick := time.NewTimer(2 * time.Millisecond)
		<-tick.C
	}
	for _, id := range made {
		c.look(id + "?wait=30s")
	}
	slices.Reverse(made)
	slices.Reverse(failed)
	ids, sizes := c.pages("limit=10")
	if diff := cmp.Diff(made, ids); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{10, 10, 5}, sizes); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	ids, _ = c.pages("limit=2&status=failed")
	if diff := cmp.Diff(failed, ids); diff != "" {
		t.Errorf("failed jobs (-want +got):\n%s", diff)
	}
	if n := len(c.list("").Data); n != 20 {
		t.Errorf("a page has %d jobs, want 20", n)
	}
	if page := c.list("limit=1000&status=completed"); len(page.Data) != 20 || page.HasMore {
		t.Errorf("%d completed jobs, and more: %v; want 20", len(page.Data), page.HasMore)
	}
	if n := len(c.list("status=queued").Data) + len(c.list("status=in_progress").Data) + len(c.list("status=cancelled").Data); n != 0 {
		t.Errorf("%d jobs go on or were cancelled", n)
	}
	if ids := g.as(otherKey).list("").ids(); len(ids) != 0 {
		t.Errorf("another key sees %v", ids)
	}
	for name, query := range map[string]string{
		"no job": "after=job_aaaaaaaaaaaaaaaaaaaaaaaaaa", "no status": "status=done", "nothing": "limit=0", "no number": "limit=x",
	} {
		if r := c.do(http.MethodGet, "/v1/jobs?"+query, nil); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := g.as(otherKey).do(http.MethodGet, "/v1/jobs?after="+made[0], nil); r.status != http.StatusBadRequest {
		t.Errorf("another key's cursor: %d %s", r.status, r.body)
	}
}

func TestDeletedJobs(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{workerEnv: []string{"WORKER_CONCURRENCY=1"}, upstream: simupstream.Config{Behave: byPrompt}})
	c := g.as(clientKey)
	forgotten := func(id string) {
		t.Helper()
		if r := g.as(otherKey).do(http.MethodDelete, "/v1/jobs/"+id, nil); r.status != http.StatusNotFound {
			t.Errorf("another key deletes it: %d %s", r.status, r.body)
		}
		if r := c.do(http.MethodDelete, "/v1/jobs/"+id, nil); r.status != http.StatusNoContent || len(r.body) != 0 {
			t.Fatalf("delete: %d %s", r.status, r.body)
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if r := c.do(method, "/v1/jobs/"+id, nil); r.status != http.StatusNotFound {
				t.Errorf("%s after that: %d %s", method, r.status, r.body)
			}
		}
		if slices.Contains(c.list("").ids(), id) {
			t.Errorf("the job is in the list")
		}
	}
	done := c.order(jobOrder("a cat")).ID
	c.look(done + "?wait=30s")
	forgotten(done)

	running := c.order(jobOrder("a slow one")).ID
	waitUntil(t, "it runs", patience, func() bool { return g.upstream.InFlight() == 1 })
	waiting := c.order(jobOrder("waits")).ID
	forgotten(waiting)
	began := time.Now()
	forgotten(running)
	waitUntil(t, "its call is cut off", patience, func() bool { return g.upstream.InFlight() == 0 })
	t.Logf("the call was cut off %v after the job was deleted", time.Since(began).Round(time.Millisecond))
	// The slot is free, and what waited was not drawn.
	if r := c.do(http.MethodPost, "/v1/chat/completions", chat("another")); r.status != http.StatusOK {
		t.Errorf("the next call: %d %s", r.status, r.body)
	}
	if g.startedAt("waits") != 0 || len(c.list("").Data) != 1 {
		t.Errorf("the deleted job was drawn, or jobs are left: %v", c.list("").ids())
	}
}
