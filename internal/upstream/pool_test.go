package upstream_test

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// answer is a provider that answers as it is told.
type answer struct {
	mu    sync.Mutex
	err   error
	calls int
	while func() // runs during a call
}

func (a *answer) Generate(context.Context, imagegen.Order) (imagegen.Drawing, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.while != nil {
		a.while()
	}
	return imagegen.Drawing{}, a.err
}

func (a *answer) CloseIdleConnections() {}

func (a *answer) say(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// notes are what a pool tells.
type notes struct {
	mu      sync.Mutex
	said    []string
	resumed int
}

func (n *notes) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, what)
}

func (n *notes) UpstreamPaused(_ string, paused bool) { n.note("paused " + strconv.FormatBool(paused)) }

func (n *notes) KeyRests(_ string, key int, rests bool) {
	n.note("key " + strconv.Itoa(key) + " rests " + strconv.FormatBool(rests))
}
func (n *notes) Points(string, int, *float64, *float64) {}

func (n *notes) resume(context.Context, string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resumed++
	return nil
}

// process is a worker process with one upstream.
type process struct {
	t      *testing.T
	client redis.UniversalClient
	pool   *upstream.Pool
	gate   *upstream.Gate
	notes  notes
}

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newProcess(t *testing.T, url string, rules upstream.Rules, keys ...*answer) *process {
	t.Helper()
	p := &process{t: t, client: connect(t, url)}
	all := make([]upstream.Key, len(keys))
	for i, k := range keys {
		all[i] = upstream.Key{Digest: upstream.DigestOf("key " + strconv.Itoa(i)), Provider: k}
	}
	p.pool = upstream.NewPool(upstream.Config{
		Name: "exacg", Keys: all, Rules: rules, Redis: p.client, Resume: p.notes.resume, Metrics: &p.notes,
		Log: slog.New(slog.DiscardHandler),
	})
	p.gate = upstream.NewGate(p.pool)
	return p
}

// look asks Redis how the upstream does, as the queue's server does before it takes tasks.
func (p *process) look() {
	p.t.Helper()
	pipe := p.client.Pipeline()
	read := p.gate.Load(p.t.Context(), pipe)
	if _, err := pipe.Exec(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	read()
}

// call makes one call, and reports whether a key was there for it.
func (p *process) call(probe string) bool {
	p.t.Helper()
	turn, ok := p.pool.Turn(p.t.Context(), probe)
	if !ok {
		return false
	}
	defer turn.End()
	_, _ = turn.Generate(p.t.Context(), imagegen.Order{})
	return true
}

// allows returns how many calls the gate allows, as a fresh look tells; probe says that it has to be claimed.
func (p *process) allows() (most int, probe bool) {
	p.t.Helper()
	p.look()
	a := p.gate.Allow("exacg")
	return a.Most, a.Probe
}

func (p *process) wantAllowed(most int) {
	p.t.Helper()
	if got, probe := p.allows(); got != most || probe {
		p.t.Fatalf("%d calls are allowed (probe: %t), want %d", got, probe, most)
	}
}

// awaitProbe waits until the pause is over, and claims the probe.
func (p *process) awaitProbe() string {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		p.look()
		a := p.gate.Allow("exacg")
		if !a.Probe {
			<-time.After(time.Until(a.Until))
			continue
		}
		probe, ok, err := p.gate.Claim(p.t.Context(), "exacg")
		if err != nil {
			p.t.Fatal(err)
		}
		if ok {
			return probe
		}
	}
	p.t.Fatal("no probe is due")
	return ""
}

var (
	broken    = &imagegen.CallError{Outcome: imagegen.OutcomeStatus, Transient: true, Billed: imagegen.BilledUnknown}
	nudity    = &imagegen.CallError{Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamRejected}
	errBadKey = &imagegen.CallError{Outcome: imagegen.OutcomeAuth, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount}
	errBroke  = &imagegen.CallError{Outcome: imagegen.OutcomeQuota, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount}
	ended     = &imagegen.CallError{Outcome: imagegen.OutcomeCancelled, Transient: true, Billed: imagegen.BilledUnknown}
)

func rules(threshold int, cooldown time.Duration) upstream.Rules {
	return upstream.Rules{Threshold: threshold, Cooldown: cooldown}
}

// Failures in a row count over all processes, and every process keeps away after the last of them.
func TestFailuresOfAllProcessesCountTogether(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		dead := &answer{err: broken}
		one, two := newProcess(t, url, rules(3, time.Minute), dead), newProcess(t, url, rules(3, time.Minute), dead)
		one.wantAllowed(-1)
		one.call("")
		two.wantAllowed(2) // no more at once than it takes to find out
		two.call("")
		one.wantAllowed(1)
		one.call("")
		one.wantAllowed(0)
		two.wantAllowed(0)
		if d := time.Until(two.pool.PausedUntil()); d < 55*time.Second || d > time.Minute {
			t.Errorf("the pause is %v long, want a minute", d)
		}
		if diff := cmp.Diff([]string{"paused true"}, two.notes.said); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		// The first failure and the pause are told to those that wait: they may rely on a look of seconds ago.
		if got := one.notes.resumed + two.notes.resumed; got != 2 {
			t.Errorf("waiting workers were woken %d times, want 2", got)
		}
	})
}

func TestWhatEndsARow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		last error
		most int
	}{
		"a picture":                         {nil, -1},
		"a refusal: it works":               {nudity, -1},
		"a refused key: it works":           {errBadKey, -1},
		"a failure does not":                {broken, 1},
		"a call that was cancelled: not":    {ended, 2},
		"a picture to edit that is not had": {&imagegen.CallError{Outcome: imagegen.OutcomeNetwork, Transient: true, NotUpstream: true}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &answer{err: broken}
			p := newProcess(t, redistest.Mini(t), rules(3, time.Minute), a)
			p.call("")
			p.wantAllowed(2)
			a.say(c.last)
			p.call("")
			p.wantAllowed(c.most)
		})
	}
}

// turn begins a call that is under way until the test ends it.
func (p *process) turn() *upstream.Turn {
	p.t.Helper()
	turn, ok := p.pool.Turn(p.t.Context(), "")
	if !ok {
		p.t.Fatal("no key")
	}
	return turn
}

// What was sent before an upstream died says nothing of it, however long it takes to come back; what was sent since does.
func TestCallsFromBefore(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		a := &answer{err: broken}
		p := newProcess(t, url, rules(2, time.Minute), a)
		before := []*upstream.Turn{p.turn(), p.turn(), p.turn()}
		succeed := func(turn *upstream.Turn) {
			t.Helper()
			a.say(nil)
			if _, err := turn.Generate(t.Context(), imagegen.Order{}); err != nil {
				t.Fatal(err)
			}
			turn.End()
			a.say(broken)
		}
		<-time.After(5 * time.Millisecond) // Redis counts in whole milliseconds
		p.call("")
		p.look()
		succeed(before[0])
		p.wantAllowed(1) // every call since has failed
		since := p.turn()
		succeed(before[1])
		p.wantAllowed(-1) // one has not
		since.End()
		p.call("")
		p.call("")
		succeed(before[2])
		p.wantAllowed(0) // only a probe ends a pause
	})
}

// After each pause one call tries the upstream; the pauses double.
func TestOneProbe(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		a := &answer{err: broken}
		one, two := newProcess(t, url, rules(1, 100*time.Millisecond), a), newProcess(t, url, rules(1, 100*time.Millisecond), a)
		one.call("")
		probe := one.awaitProbe()
		two.wantAllowed(0)
		if _, ok, err := two.gate.Claim(t.Context(), "exacg"); ok || err != nil {
			t.Fatalf("a second probe: %t, %v", ok, err)
		}
		two.call("") // one that was under way when the others failed changes nothing
		two.wantAllowed(0)
		one.call(probe)
		one.look()
		if d := time.Until(one.pool.PausedUntil()); d < 100*time.Millisecond || d > 200*time.Millisecond {
			t.Errorf("the second pause ends in %v, want at most 200 ms", d)
		}
		probe = two.awaitProbe()
		a.say(nil)
		two.call(probe)
		one.wantAllowed(-1)
		two.wantAllowed(-1)
		if n, err := one.client.Exists(t.Context(), "zimage:{dispatch}:breaker:exacg").Result(); n != 0 || err != nil {
			t.Errorf("%d states are left of an upstream that is well (%v)", n, err)
		}
	})
}

// A probe that was not made, or says nothing, is given back, and another may be sent at once.
func TestAProbeIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(p *process, probe string){
		"not made":  func(p *process, probe string) { p.gate.GiveBack(p.t.Context(), "exacg", probe) },
		"cancelled": func(p *process, probe string) { p.call(probe) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &answer{err: broken}
			p := newProcess(t, redistest.Mini(t), rules(1, time.Millisecond), a)
			p.call("")
			probe := p.awaitProbe()
			p.wantAllowed(0)
			a.say(ended)
			use(p, probe)
			if _, due := p.allows(); !due {
				t.Error("no other probe may be sent")
			}
			if second := p.awaitProbe(); second == probe {
				t.Error("the second probe has the first one's name")
			}
			p.gate.GiveBack(t.Context(), "exacg", probe)
			p.wantAllowed(0) // the second one is still under way
		})
	}
}

// A probe that takes its time stays the only one, and its word counts.
func TestALongProbe(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		const key = "zimage:{dispatch}:breaker:exacg"
		a := &answer{err: broken}
		p := newProcess(t, url, rules(1, time.Millisecond), a)
		p.pool.SetRenewal(time.Millisecond)
		p.call("")
		probe := p.awaitProbe()
		a.say(nil)
		a.while = func() {
			if err := p.client.HSet(t.Context(), key, "until", time.Now().UnixMilli()).Err(); err != nil { // its minute is over
				t.Error(err)
			}
			for deadline := time.Now().Add(10 * time.Second); ; {
				until, err := p.client.HGet(t.Context(), key, "until").Int64()
				if err != nil || time.Now().After(deadline) {
					t.Errorf("the probe is not kept: %v", err)
					return
				}
				if time.Until(time.UnixMilli(until)) > 50*time.Second {
					return
				}
			}
		}
		p.call(probe)
		p.wantAllowed(-1)
	})
}

func TestARetryAfterMakesThePauseLonger(t *testing.T) {
	t.Parallel()
	busy := *broken
	busy.RetryAfter = 30 * time.Second
	p := newProcess(t, redistest.Mini(t), rules(1, time.Second), &answer{err: &busy})
	p.call("")
	p.look()
	if d := time.Until(p.pool.PausedUntil()); d < 25*time.Second || d > 30*time.Second {
		t.Errorf("the pause is %v long, want 30 s", d)
	}
}

func TestKeysAreUsedInTurn(t *testing.T) {
	t.Parallel()
	keys := []*answer{{}, {}, {}}
	p := newProcess(t, redistest.Mini(t), rules(3, time.Minute), keys...)
	for range 9 {
		p.call("")
	}
	for i, k := range keys {
		if k.calls != 3 {
			t.Errorf("%d calls with key %d, want 3", k.calls, i+1)
		}
	}
	// Those with calls under way come later.
	first, _ := p.pool.Turn(t.Context(), "")
	defer first.End()
	for range 4 {
		p.call("")
	}
	if keys[0].calls != 3 || keys[1].calls != 5 || keys[2].calls != 5 {
		t.Errorf("%d, %d and %d calls, want 3, 5 and 5", keys[0].calls, keys[1].calls, keys[2].calls)
	}
}

// A refused key rests in every process, and comes back by itself: one call tries it after a minute.
func TestARefusedKeyRests(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{"refused": errBadKey, "out of points": errBroke} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				bad, good := &answer{err: refusal}, &answer{}
				one, two := newProcess(t, url, rules(3, time.Minute), bad, good), newProcess(t, url, rules(3, time.Minute), bad, good)
				one.call("")
				two.look()
				for _, p := range []*process{one, two} {
					for range 4 {
						p.call("")
					}
				}
				if bad.calls != 1 || good.calls != 8 {
					t.Fatalf("%d calls with the refused key and %d with the other, want 1 and 8", bad.calls, good.calls)
				}
				if diff := cmp.Diff([]string{"key 1 rests true"}, two.notes.said); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				endRests(t, one.client)
				for _, p := range []*process{one, two} {
					p.look()
					p.call("")
				}
				if bad.calls != 2 || good.calls != 9 {
					t.Fatalf("after a minute: %d and %d calls, want 2 and 9: one call tries the key", bad.calls, good.calls)
				}
				bad.say(nil)
				endRests(t, one.client)
				one.look()
				one.call("")
				two.look()
				two.call("")
				if two.call(""); bad.calls != 4 || good.calls != 10 {
					t.Errorf("after it was taken again: %d and %d calls, want 4 and 10", bad.calls, good.calls)
				}
			})
		})
	}
}

// Words about our account may be an echo of the client's: a key rests only when two different orders have heard them.
func TestADoubtfulRefusal(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		doubtful := *errBroke
		doubtful.Doubtful = true
		a := &answer{err: &doubtful}
		p := newProcess(t, url, rules(3, time.Minute), a)
		ask := func(prompt string) bool {
			t.Helper()
			p.look()
			turn, ok := p.pool.Turn(t.Context(), "")
			if !ok {
				return false
			}
			defer turn.End()
			_, _ = turn.Generate(t.Context(), imagegen.Order{Prompt: prompt})
			return true
		}
		for range 3 {
			if !ask("balance") {
				t.Fatal("the key rests for what one order says")
			}
		}
		a.say(nil)
		ask("a cat") // the key is good
		a.say(&doubtful)
		if !ask("points") || !ask("a dog") {
			t.Fatal("the key rests too early")
		}
		if ask("a cow") {
			t.Error("the key does not rest after two different orders")
		}
	})
}

func TestNoTurnWhileAllKeysRest(t *testing.T) {
	t.Parallel()
	bad := &answer{err: errBroke}
	p := newProcess(t, redistest.Mini(t), rules(1, time.Minute), bad, bad)
	p.call("")
	p.call("")
	if p.call("") || bad.calls != 2 {
		t.Errorf("a third call was made: %d", bad.calls)
	}
	p.wantAllowed(-1) // tasks are not held: their pictures fail, or go elsewhere
	endRests(t, p.client)
	p.look()
	if one, two, three := p.call(""), p.call(""), p.call(""); !one || !two || three || bad.calls != 4 {
		t.Errorf("%d calls after a minute, want one to try each key", bad.calls-2)
	}
}

// An upstream that works with one key only is not spared calls: the key with which it fails rests.
func TestAKeyThatAlwaysFailsRests(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		bad, good := &answer{err: broken}, &answer{}
		p := newProcess(t, url, rules(3, time.Minute), bad, good)
		for range 20 {
			p.look()
			p.call("")
		}
		if bad.calls != 3 || good.calls != 17 {
			t.Errorf("%d and %d calls, want 3 and 17", bad.calls, good.calls)
		}
		p.wantAllowed(-1)
	})
}

// An upstream that is down makes no key rest, however long: its jobs wait, they do not fail.
func TestNoKeyRestsWhereTheUpstreamIsDown(t *testing.T) {
	t.Parallel()
	down := &answer{err: broken}
	p := newProcess(t, redistest.Mini(t), rules(3, time.Millisecond), down, down)
	for range 3 {
		p.call("")
	}
	for range 4 {
		p.call(p.awaitProbe())
	}
	for _, said := range p.notes.said {
		if said != "paused true" {
			t.Errorf("told: %q", said)
		}
	}
}

func TestNothingIsWrittenWhileAllIsWell(t *testing.T) {
	t.Parallel()
	p := newProcess(t, redistest.Mini(t), rules(3, time.Minute), &answer{})
	var log bytes.Buffer
	p.pool.Log = slog.New(slog.NewTextHandler(&log, nil))
	_ = p.client.Close() // what cannot be written is logged
	p.call("")
	if log.Len() != 0 {
		t.Errorf("logged: %s", log.String())
	}
	p.call("a probe") // this one is
	if log.Len() == 0 {
		t.Error("nothing was to be written for a probe")
	}
}

func TestDigestTellsKeysApartAndNothingElse(t *testing.T) {
	t.Parallel()
	if a, b := upstream.DigestOf("sk-one"), upstream.DigestOf("sk-two"); a == b || len(a) != 8 || a != upstream.DigestOf("sk-one") {
		t.Errorf("digests %q and %q", a, b)
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	p := newProcess(t, redistest.Mini(t), rules(1, time.Minute), &answer{err: broken})
	p.call("")
	got, err := upstream.Pauses(t.Context(), p.client, "exacg", "other")
	if err != nil || len(got) != 1 {
		t.Fatalf("pauses: %v, %v", got, err)
	}
	if d := time.Until(got["exacg"]); d < 55*time.Second || d > time.Minute {
		t.Errorf("paused for %v, want a minute", d)
	}
}

// endRests lets the minute of all resting keys pass.
func endRests(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	const key = "zimage:{dispatch}:breaker:exacg"
	fields, err := client.HKeys(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if strings.HasPrefix(f, "k:") {
			client.HSet(t.Context(), key, f, time.Now().Add(-time.Second).UnixMilli())
		}
	}
}
