package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// backend is one upstream of a configuration.
type backend struct {
	*simupstream.Server

	url      string
	dead     atomic.Bool // it resets every connection
	noImages atomic.Bool // the pictures' own server fails
}

// newBackend starts an upstream; its key is upstreamKey.
func newBackend(t testing.TB, c simupstream.Config) *backend {
	t.Helper()
	b := &backend{}
	behave := c.Behave
	c.APIKey = upstreamKey
	c.Behave = func(r simupstream.Request) simupstream.Behaviour {
		switch {
		case b.dead.Load():
			return simupstream.Behaviour{Latency: -1, Fault: simupstream.FaultReset}
		case behave != nil:
			return behave(r)
		}
		return simupstream.Behaviour{}
	}
	b.Server = simupstream.New(c)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.noImages.Load() && strings.HasPrefix(r.URL.Path, "/images/") {
			http.Error(w, "the storage is away", http.StatusServiceUnavailable)
			return
		}
		b.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.Close()
		server.Close()
	})
	b.url = server.URL
	return b
}

// entry is an exacg upstream in CONFIG_FILE; more may add fields.
func (b *backend) entry(name, more string) string { return b.entryOf("exacg", name, more) }

// entryOf is an upstream of any type: the backend speaks all protocols.
func (b *backend) entryOf(kind, name, more string) string {
	base := map[string]string{"exacg": simupstream.GeneratePath, "openai": simupstream.OpenAIBase}[kind]
	user := map[string]string{"sdwebui": "me:"}[kind]
	return fmt.Sprintf("  - {name: %s, type: %s, url: %q, api_keys: [\"%s${SD_API_KEY}\"]%s}\n", name, kind, b.url+base, user, more)
}

// configured is a setup whose processes all read one file.
func configured(t testing.TB, yaml string, workerEnv ...string) setup {
	t.Helper()
	file := configFile(t, yaml)
	return setup{apiEnv: []string{file}, workerEnv: append([]string{file}, workerEnv...)}
}

func modelOrder(model, prompt string) map[string]any {
	return map[string]any{"model": model, "prompt": prompt}
}

// orderAll makes n jobs of a model and returns their ids.
func (c jobClient) orderAll(model string, n int) (ids []string) {
	c.g.t.Helper()
	for i := range n {
		ids = append(ids, c.order(modelOrder(model, fmt.Sprintf("picture %d", i))).ID)
	}
	return ids
}

// wantCompleted waits until all of the jobs are completed.
func (c jobClient) wantCompleted(ids []string, within time.Duration) {
	c.g.t.Helper()
	deadline := time.Now().Add(within)
	for _, id := range ids {
		for j := c.look(id); j.Status != "completed"; j = c.look(id + "?wait=10s") {
			if j.Status == "failed" || j.Status == "cancelled" || time.Now().After(deadline) {
				c.g.t.Fatalf("job %s is %s: %+v", id, j.Status, j)
			}
		}
	}
}

// limited is a gateway with two upstreams, whose limits are 2 and 5, and no worker yet.
type limited struct {
	*gateway

	two, five *backend
}

func newLimited(t testing.TB, latency time.Duration) limited {
	t.Helper()
	l := limited{two: newBackend(t, simupstream.Config{Latency: latency}), five: newBackend(t, simupstream.Config{Latency: latency})}
	s := configured(t, "models:\n  - {id: Two, model_index: 1, upstream: two}\n  - {id: Five, model_index: 2, upstream: five}\nupstreams:\n"+
		l.two.entry("two", ", max_concurrency: 2")+l.five.entry("five", ", max_concurrency: 5"), "WORKER_CONCURRENCY=10")
	s.noWorker = true
	l.gateway = newGateway(t, s)
	return l
}

func (l limited) startWorkers(n int) (all []*process) {
	l.t.Helper()
	for range n {
		all = append(all, l.startWorker())
	}
	return all
}

func (l limited) full() bool { return l.two.InFlight() == 2 && l.five.InFlight() == 5 }

// wantHighWater checks that both limits were reached and not passed.
func (l limited) wantHighWater() {
	l.t.Helper()
	if l.two.MaxInFlight() != 2 || l.five.MaxInFlight() != 5 {
		l.t.Errorf("%d and %d calls at once, want 2 and 5", l.two.MaxInFlight(), l.five.MaxInFlight())
	}
}

// Two upstreams have limits of their own over four workers: both are kept, and both are used.
func TestLimitsOfTwoUpstreams(t *testing.T) { //nolint:paralleltest // it measures time: nothing runs beside it
	const latency, jobsTwo, jobsFive = 300 * time.Millisecond, 57, 143
	l := newLimited(t, latency)
	c := l.as(clientKey)
	ids := append(c.orderAll("Two", jobsTwo), c.orderAll("Five", jobsFive)...)
	l.startWorkers(4)
	waitUntil(t, "the first call", patience, func() bool { return l.two.Calls()+l.five.Calls() > 0 })
	began := time.Now()
	waitUntil(t, "all are drawn", time.Minute, func() bool {
		return l.two.Calls() == jobsTwo && l.five.Calls() == jobsFive && l.two.InFlight()+l.five.InFlight() == 0
	})
	took := time.Since(began)
	c.wantCompleted(ids, patience)
	ideal := time.Duration(max(rounds(jobsTwo, 2), rounds(jobsFive, 5))) * latency
	t.Logf("high-water marks %d and %d; %v, %.3f of the ideal %v",
		l.two.MaxInFlight(), l.five.MaxInFlight(), took, float64(took)/float64(ideal), ideal)
	l.wantHighWater()
	if took > ideal*11/10 {
		t.Errorf("it took %v, more than a tenth over the ideal %v", took, ideal)
	}
}

// A worker that dies takes no part of the limits away for longer than a minute.
func TestADeadWorkersShareComesBack(t *testing.T) {
	t.Parallel()
	l := newLimited(t, time.Hour) // until whoever calls is gone
	workers := l.startWorkers(4)
	c := l.as(clientKey)
	c.orderAll("Two", 6)
	c.orderAll("Five", 14)
	waitUntil(t, "all slots are in use", patience, l.full)
	l.busiest(workers).kill()
	killed := time.Now()
	waitUntil(t, "the upstreams have lost its calls", patience, func() bool { return !l.full() })
	lost := 7 - l.two.InFlight() - l.five.InFlight()
	waitUntil(t, "both limits are used fully again", time.Minute, l.full)
	t.Logf("%d calls ended with a worker; both limits were used fully again after %v", lost, time.Since(killed))
	l.wantHighWater()
}

// busiest returns the worker with the most calls under way.
func (g *gateway) busiest(workers []*process) (w *process) {
	g.t.Helper()
	most := -1
	for _, candidate := range workers {
		n := 0
		for line := range strings.Lines(metrics(g.t, candidate)) {
			if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, "zimage_upstream_in_flight{") {
				in, _ := strconv.Atoi(value)
				n += in
			}
		}
		if n > most {
			w, most = candidate, n
		}
	}
	return w
}

// rounds returns in how many rounds of so many at once n calls are made.
func rounds(n, atOnce int) int { return (n + atOnce - 1) / atOnce }

// An upstream dies for twenty seconds under a hundred jobs: all of them complete, and it is asked no more often than it takes
// to find out that it is dead, and that it is back.
func TestUpstreamDies(t *testing.T) {
	t.Parallel()
	const jobs = 100
	up := newBackend(t, simupstream.Config{Latency: time.Second})
	s := configured(t, "models:\n  - {id: Z-Image, model_index: 5}\nupstreams:\n"+up.entry("exacg", ""))
	s.noWorker = true
	g := newGateway(t, s)
	c := g.as(clientKey)
	ids := c.orderAll("Z-Image", jobs)
	g.worker = g.startWorker()
	second := g.startWorker()
	waitUntil(t, "the upstream is busy", patience, func() bool { return up.InFlight() >= 15 })
	up.dead.Store(true)
	inFlight, before := up.InFlight(), up.Calls()
	time.AfterFunc(20*time.Second, func() { up.dead.Store(false) })
	waitUntil(t, "it is spared calls", patience, func() bool {
		return strings.Contains(g.worker.output()+second.output(), "upstream fails: it is spared calls")
	})
	// Those that wait say so.
	last := ids[len(ids)-1]
	if j := c.look(last); j.HeldUntil == nil || j.QueuePosition == nil || j.Attempts != 0 {
		t.Errorf("a waiting job: %+v, want its place and until when the upstream is spared calls", j)
	}
	call := g.goChat("a call that waits")
	c.wantCompleted(ids, 2*time.Minute)
	g.wantPicture(call, patience)
	probes := strings.Count(g.worker.output()+second.output(), "upstream is tried again")
	t.Logf("%d calls for %d jobs; %d in flight when it died after %d calls; %d probes", up.Calls(), jobs+1, inFlight, before, probes)
	if most := jobs + 1 + probes + inFlight; up.Calls() > most {
		t.Errorf("%d calls, want at most %d", up.Calls(), most)
	}
	if probes < 2 || probes > 4 {
		t.Errorf("%d probes in 20 s, want those after 5 s and 15 s, and the one that succeeds", probes)
	}
}

// The next upstream of a list draws while the first is dead, and the first again when it is back.
func TestTheNextUpstreamOfAList(t *testing.T) {
	t.Parallel()
	one, two := newBackend(t, simupstream.Config{}), newBackend(t, simupstream.Config{})
	s := configured(t, "models:\n  - {id: Z-Image, model_index: 5, upstream: [one, two]}\nupstreams:\n"+one.entry("one", "")+two.entry("two", ""),
		"BREAKER_COOLDOWN=1s", "BREAKER_THRESHOLD=3", "RETRY_BASE_DELAY=100ms")
	g := newGateway(t, s)
	c := g.as(clientKey)
	one.dead.Store(true)
	c.wantCompleted(c.orderAll("Z-Image", 30), time.Minute)
	if one.Calls() > 10 || two.Calls() != 30 {
		t.Errorf("%d calls to the dead one and %d to the other, want a few and 30", one.Calls(), two.Calls())
	}
	one.dead.Store(false)
	waitUntil(t, "the first draws again", patience, func() bool {
		before := one.Calls()
		c.wantCompleted(c.orderAll("Z-Image", 1), patience)
		return one.Calls() > before && two.Calls() >= 30
	})
	if metrics := metrics(t, g.worker); !strings.Contains(metrics, `zimage_upstream_moves_total{from="one",to="two"}`) {
		t.Errorf("moves are not counted:\n%s", metrics)
	}
}

// Jobs that cannot go elsewhere are there when their upstream is back, whatever other models may do meanwhile.
func TestHeldJobsGoOnWhenTheirUpstreamIsBack(t *testing.T) {
	t.Parallel()
	one, two := newBackend(t, simupstream.Config{}), newBackend(t, simupstream.Config{})
	g := newGateway(t, configured(t, "models:\n  - {id: Single, model_index: 1, upstream: two}\n  - {id: List, model_index: 2, upstream: [two, one]}\nupstreams:\n"+
		one.entry("one", "")+two.entry("two", ""), "BREAKER_COOLDOWN=1s"))
	c := g.as(clientKey)
	two.dead.Store(true)
	single := c.orderAll("Single", 20)
	list := c.orderAll("List", 5)
	c.wantCompleted(list, patience) // by the other upstream, meanwhile
	two.dead.Store(false)
	back := time.Now()
	c.wantCompleted(single, patience)
	// The pauses are 1, 2, 4 and 8 s, so the next probe is at most 8 s away.
	if took := time.Since(back); took > 20*time.Second {
		t.Errorf("the jobs were done %v after their upstream was back", took)
	}
}

// An upstream that failed once, and that nobody has needed since, is tried again when the first of its list dies.
func TestTheNextUpstreamIsNotForgotten(t *testing.T) {
	t.Parallel()
	one, two := newBackend(t, simupstream.Config{}), newBackend(t, simupstream.Config{})
	g := newGateway(t, configured(t, "models:\n  - {id: List, model_index: 1, upstream: [one, two]}\n  - {id: Two, model_index: 2, upstream: two}\nupstreams:\n"+
		one.entry("one", "")+two.entry("two", ""), "BREAKER_COOLDOWN=1s", "BREAKER_THRESHOLD=1", "MAX_ATTEMPTS=1"))
	c := g.as(clientKey)
	two.dead.Store(true)
	if r := c.do(http.MethodPost, "/v1/chat/completions", map[string]any{"model": "Two", "prompt": "a cat"}); r.status != http.StatusBadGateway {
		t.Fatalf("a dead upstream: %d %s", r.status, r.body)
	}
	two.dead.Store(false)
	one.dead.Store(true)
	began := time.Now()
	c.wantCompleted(c.orderAll("List", 20), patience)
	if took := time.Since(began); took > 20*time.Second || two.Calls() != 21 {
		t.Errorf("done after %v, with %d calls to the second upstream", took, two.Calls()-1)
	}
}

// Of two keys the refused one rests, and the other draws; no job notices.
func TestARefusedKeyRests(t *testing.T) {
	t.Parallel()
	up := newBackend(t, simupstream.Config{})
	s := configured(t, "models:\n  - {id: Z-Image, model_index: 5}\nupstreams:\n"+
		fmt.Sprintf("  - {name: exacg, type: exacg, url: %q, api_keys: [sk-revoked-upstream-key, \"${SD_API_KEY}\"]}\n", up.url+simupstream.GeneratePath))
	g := newGateway(t, s)
	c := g.as(clientKey)
	ids := c.orderAll("Z-Image", 20)
	c.wantCompleted(ids, patience)
	refused := 0
	for _, id := range ids {
		for _, call := range c.look(id).Calls {
			if call.Outcome == "refused" {
				refused++
			}
		}
	}
	if refused < 1 || refused > 10 || up.Calls() != 20+refused {
		t.Errorf("%d calls were refused of %d, want those of the first moment", refused, up.Calls())
	}
	said := metrics(t, g.worker)
	for _, want := range []string{
		`zimage_upstream_key_resting{key="1",upstream="exacg"} 1`, `zimage_upstream_key_resting{key="2",upstream="exacg"} 0`,
		fmt.Sprintf(`zimage_upstream_attempts_total{outcome="auth",upstream="exacg"} %d`, refused),
	} {
		if !strings.Contains(said, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	for _, p := range []*process{g.api, g.worker} {
		if strings.Contains(p.output()+said, "sk-revoked") {
			t.Errorf("%s tells the key", p.name)
		}
	}
}

// Processes that read different files say so: a model that no worker draws is refused, not left waiting.
func TestDifferentCatalogues(t *testing.T) {
	t.Parallel()
	s := configured(t, "models:\n  - {id: Z-Image, model_index: 5}\n  - {id: Other, upstream: nowhere}\n"+
		"upstreams:\n  - {name: exacg, type: exacg, api_keys: [x]}\n  - {name: nowhere, type: sdwebui, url: \"http://127.0.0.1:9\"}\n")
	s.workerEnv = nil // the worker's only upstream is exacg
	g := newGateway(t, s)
	complaint := func(what string) {
		t.Helper()
		g.api.line(what, func(line string) bool {
			return strings.Contains(line, "give them the same CONFIG_FILE") && strings.Contains(line, what)
		})
	}
	complaint("refused: Other")
	c := g.as(clientKey)
	var e errorBody
	r := c.do(http.MethodPost, "/v1/jobs", modelOrder("Other", "a cat"))
	r.into(t, &e)
	if r.status != http.StatusBadGateway || e.Error.Code != "upstream_unavailable" || !strings.Contains(e.Error.Message, "Other") {
		t.Errorf("a model without a worker: %d %s", r.status, r.body)
	}
	c.wantCompleted(c.orderAll("Z-Image", 1), patience)
	launch(t, "worker", []string{
		"REDIS_URL=" + g.setup.redisURL, "SD_API_KEY=x", "SD_API_URL=http://127.0.0.1:9/elsewhere", "ADMIN_ADDR=127.0.0.1:0",
	})
	complaint("different ones: exacg")
	resp, err := http.Get(g.admin + "/readyz") //nolint:noctx // bounded by the test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "refused: Other") || !strings.Contains(string(text), "ones: exacg") {
		t.Errorf("readyz: %d %s (%v)", resp.StatusCode, text, err)
	}
}
