package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// busy is a prompt that the upstream never comes to the end of.
const busy = "busy"

// occupied is a gateway with one worker that makes one call at a time, which is under way and does not end by itself.
func occupied(t *testing.T, apiEnv ...string) (g *gateway, running *caller, id string) {
	t.Helper()
	g = newGateway(t, setup{
		apiEnv: apiEnv, workerEnv: []string{"WORKER_CONCURRENCY=1"},
		upstream: simupstream.Config{Behave: func(r simupstream.Request) simupstream.Behaviour {
			if strings.HasPrefix(r.Body.Prompt, busy) {
				return simupstream.Behaviour{Latency: time.Hour}
			}
			return simupstream.Behaviour{}
		}},
	})
	running = g.calls("/v1/chat/completions", chat(busy), nil)
	g.waitForCall()
	return g, running, g.jobOf(busy)
}

// free ends the call that is under way.
func (g *gateway) free(id string) {
	g.t.Helper()
	if r := g.must(http.MethodPost, "/v1/jobs/"+id+"/cancel", nil, nil); r.status != http.StatusOK {
		g.t.Fatalf("cancel: %d %s", r.status, r.body)
	}
}

// leaver is a call whose client hangs up.
type leaver struct {
	path   string
	body   map[string]any
	header map[string]string
}

// leavers are the ways to wait for a picture and hang up, by what they draw.
func leavers(prompt string) map[string]leaver {
	streamed := chat(prompt + " streamed")
	streamed["stream"] = true
	return map[string]leaver{
		prompt:                     {path: "/v1/chat/completions", body: chat(prompt)},
		prompt + " streamed":       {path: "/v1/chat/completions", body: streamed},
		prompt + " of images":      {path: "/v1/images/generations", body: map[string]any{"prompt": prompt + " of images"}},
		prompt + " with events":    {path: "/v1/images/generations", body: map[string]any{"prompt": prompt + " with events", "stream": true}},
		prompt + " of a response":  {path: "/v1/responses", body: map[string]any{"input": prompt + " of a response"}},
		prompt + " with responses": {path: "/v1/responses", body: map[string]any{"input": prompt + " with responses", "stream": true}},
		prompt + " with patience": {
			path: "/v1/images/generations", body: map[string]any{"prompt": prompt + " with patience"},
			header: map[string]string{"Prefer": "wait=60"},
		},
	}
}

// witness makes a call, hangs up and waits until its job is dropped: whatever was left before at this API process, and
// may be dropped, is dropped by then.
func (g *gateway) witness(prompt string) {
	g.t.Helper()
	c := g.calls("/v1/chat/completions", chat(prompt), nil)
	id := g.jobOf(prompt)
	c.leave()
	began := time.Now()
	g.becomes(id, "cancelled")
	took := time.Since(began)
	g.t.Logf("dropped %v after its caller left", took.Round(10*time.Millisecond))
	if took < 4*time.Second || took > 10*time.Second {
		g.t.Errorf("a job was dropped %v after its caller left, want 5 to 10 s", took)
	}
}

// wantStatus checks the state of jobs.
func (g *gateway) wantStatus(status string, ids ...string) {
	g.t.Helper()
	for _, id := range ids {
		if j := g.job(id); j.Status != status {
			g.t.Errorf("the job of %q is %s, want %s", j.Request.Prompt, j.Status, status)
		}
	}
}

// A job that waits and whose caller hung up is dropped, whatever the form of the call. One that has started goes on, and
// one that somebody was promised.
func TestCallersHangUp(t *testing.T) {
	t.Parallel()
	g, running, runs := occupied(t)
	var dropped []string
	var callers []*caller
	for prompt, l := range leavers("left") {
		callers = append(callers, g.calls(l.path, l.body, l.header))
		dropped = append(dropped, g.jobOf(prompt))
	}
	g.waiters(len(callers) + 1)
	batch := g.calls("/v1/jobs", map[string]any{"prompt": "a batch"}, map[string]string{"Prefer": "wait=60"})
	kept := []string{g.jobOf("a batch")}
	g.waiters(len(callers) + 2)
	async := g.must(http.MethodPost, "/v1/chat/completions", chat("for later"), map[string]string{"Prefer": "respond-async"})
	promised := g.must(http.MethodPost, "/v1/chat/completions", chat("patience is over"), map[string]string{"Prefer": "wait=1"})
	for _, r := range []reply{async, promised} {
		if r.status != http.StatusAccepted {
			t.Errorf("got %d %s", r.status, r.body)
		}
		kept = append(kept, r.jobID())
	}
	for _, c := range append(callers, batch, running) {
		c.leave()
	}
	g.witness("the last one")
	g.wantStatus("cancelled", dropped...)
	g.wantStatus("queued", kept...)
	g.wantStatus("in_progress", runs)
	if n := g.upstream.InFlight(); n != 1 {
		t.Errorf("%d upstream calls under way, want the one that had started", n)
	}
	g.free(runs)
	for _, id := range kept {
		g.becomes(id, "completed")
	}
	g.wantStatus("cancelled", dropped...)
	g.wantDrawn(busy, "a batch", "for later", "patience is over")
}

// wantDrawn checks which prompts have reached the upstream, in any order.
func (g *gateway) wantDrawn(prompts ...string) {
	g.t.Helper()
	var got []string
	for _, r := range g.upstream.Requests() {
		got = append(got, r.Body.Prompt)
	}
	slices.Sort(got)
	slices.Sort(prompts)
	if !slices.Equal(got, prompts) {
		g.t.Errorf("the upstream drew %q, want %q", got, prompts)
	}
}

// A caller that joined at another API process keeps the job: one that came before the first one left, and one whose retry
// comes after it.
func TestOtherCallersStay(t *testing.T) {
	t.Parallel()
	g, _, runs := occupied(t)
	other := g.beside()
	counted := func(n string) map[string]string { return map[string]string{"X-Stainless-Retry-Count": n} }
	streamed := chat("streamed again")
	streamed["stream"] = true
	const path = "/v1/chat/completions"

	early := g.calls(path, chat("two at once"), keyed("two"))
	g.jobOf("two at once")
	again := g.calls(path, chat("came again"), counted("0"))
	g.jobOf("came again")
	stream := g.calls(path, streamed, counted("0"))
	g.jobOf("streamed again")
	g.waiters(4)
	stay := []*caller{other.calls(path, chat("two at once"), keyed("two"))}
	other.joined(1)
	early.leave()
	again.leave()
	stream.leave()
	g.waiters(1)
	stay = append(stay, other.calls(path, chat("came again"), counted("1")), other.calls(path, streamed, counted("1")))
	other.joined(3)
	g.witness("nobody stays")
	other.waiters(3)
	g.wantStatus("queued", g.jobOf("two at once"), g.jobOf("came again"), g.jobOf("streamed again"))
	g.free(runs)
	for _, c := range stay {
		if r := c.wait(); r.status != http.StatusOK || !strings.Contains(string(r.body), "](http") {
			t.Errorf("got %d %s", r.status, r.body)
		}
	}
	g.wantDrawn(busy, "two at once", "came again", "streamed again")
}

// The last caller to leave counts, wherever it is.
func TestAllCallersLeave(t *testing.T) {
	t.Parallel()
	g, _, runs := occupied(t)
	other := g.beside()
	first := g.calls("/v1/chat/completions", chat("left twice"), keyed("k"))
	id := g.jobOf("left twice")
	g.waiters(2)
	second := other.calls("/v1/chat/completions", chat("left twice"), keyed("k"))
	other.joined(1)
	first.leave()
	g.witness("the first has left")
	g.wantStatus("queued", id)
	second.leave()
	g.becomes(id, "cancelled")
	g.free(runs)
	g.wantPicture(g.goChat("last"), patience)
	g.wantDrawn(busy, "last")
}

// A caller that is sent round is between two calls again and again, and stays on the line all the same, until it hangs up.
func TestCallersSentRound(t *testing.T) {
	t.Parallel()
	g, _, runs := occupied(t, "SYNC_KEEPALIVE=1s")
	header := map[string]string{"X-Stainless-Lang": "js"}
	stays := g.calls("/v1/chat/completions", chat("stays"), header)
	leaves := g.calls("/v1/chat/completions", chat("leaves"), header)
	ids := []string{g.jobOf("stays"), g.jobOf("leaves")}
	g.api.line("a round that is over", func(line string) bool {
		return strings.Contains(line, `"status":303`) && strings.Contains(line, ids[1])
	})
	leaves.leave()
	g.witness("left as well")
	g.becomes(ids[1], "cancelled")
	g.wantStatus("queued", ids[0])
	g.free(runs)
	if r := stays.wait(); r.status != http.StatusOK || r.jobID() != ids[0] {
		t.Errorf("got %d %s", r.status, r.body)
	}
	g.wantDrawn(busy, "stays")
}

// Who was told that the job goes on can rely on it, even if its retry hangs up.
func TestTimedOutCallers(t *testing.T) {
	t.Parallel()
	g, _, runs := occupied(t, "SYNC_TIMEOUT=3s")
	other := g.beside("SYNC_TIMEOUT=1m")
	header := map[string]string{"X-Stainless-Retry-Count": "0"}
	streamed := chat("timed out, streamed")
	streamed["stream"] = true
	for _, body := range []map[string]any{chat("timed out"), streamed} {
		if r := g.must(http.MethodPost, "/v1/chat/completions", body, header); !strings.Contains(string(r.body), "generation_timeout") {
			t.Errorf("got %d %s, want generation_timeout", r.status, r.body)
		}
	}
	kept := []string{g.jobOf("timed out"), g.jobOf("timed out, streamed")}
	again := other.calls("/v1/chat/completions", chat("timed out"), map[string]string{"X-Stainless-Retry-Count": "1"})
	other.joined(1)
	other.waiters(1)
	again.leave()
	other.witness("never timed out")
	g.wantStatus("queued", kept...)
	g.free(runs)
	for _, id := range kept {
		g.becomes(id, "completed")
	}
	g.wantDrawn(busy, "timed out", "timed out, streamed")
}

// With CANCEL_ON_DISCONNECT=never every job is drawn.
func TestNeverCancelOnDisconnect(t *testing.T) {
	t.Parallel()
	g, _, runs := occupied(t)
	never := g.beside("CANCEL_ON_DISCONNECT=never")
	prompts, ids := []string{busy}, []string{}
	for prompt, l := range leavers("unwanted") {
		c := never.calls(l.path, l.body, l.header)
		prompts, ids = append(prompts, prompt), append(ids, never.jobOf(prompt))
		never.waiters(1)
		c.leave()
		never.waiters(0)
	}
	g.witness("of another API")
	g.wantStatus("queued", ids...)
	g.free(runs)
	for _, id := range ids {
		g.becomes(id, "completed")
	}
	g.wantDrawn(prompts...)
}

// With CANCEL_ON_DISCONNECT=always a call under way is broken off too, unless somebody else waits for its job.
func TestAlwaysCancelOnDisconnect(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv: []string{"CANCEL_ON_DISCONNECT=always"}, workerEnv: []string{"WORKER_CONCURRENCY=20"},
		upstream: simupstream.Config{Latency: time.Hour},
	})
	other := g.beside()
	var callers []*caller
	var dropped []string
	for prompt, l := range leavers("under way") {
		callers = append(callers, g.calls(l.path, l.body, l.header))
		dropped = append(dropped, g.jobOf(prompt))
	}
	shared := g.calls("/v1/chat/completions", chat("shared"), map[string]string{"X-Stainless-Retry-Count": "0"})
	batch := g.calls("/v1/jobs", map[string]any{"prompt": "a batch"}, map[string]string{"Prefer": "wait=60"})
	kept := []string{g.jobOf("shared"), g.jobOf("a batch")}
	all := len(callers) + 2
	waitUntil(t, "all calls are under way", patience, func() bool { return g.upstream.InFlight() == all })
	g.waiters(all)
	shared.leave()
	batch.leave()
	stays := other.calls("/v1/chat/completions", chat("shared"), map[string]string{"X-Stainless-Retry-Count": "1"})
	other.joined(1)
	for _, c := range callers {
		c.leave()
	}
	g.witness("the last one")
	for _, id := range dropped {
		g.becomes(id, "cancelled")
	}
	waitUntil(t, "the calls are broken off", patience, func() bool { return g.upstream.InFlight() == 2 })
	for _, id := range dropped {
		waitUntil(t, "the ledger says so", patience, func() bool { return g.ledger(id) == "cancelled/unknown" })
	}
	g.wantStatus("in_progress", kept...)
	stays.leave()
	other.becomes(kept[0], "cancelled")
	waitUntil(t, "its call is broken off", patience, func() bool { return g.upstream.InFlight() == 1 })
	if n := g.upstream.Calls(); n != all+1 {
		t.Errorf("%d upstream calls, want %d", n, all+1)
	}
}
