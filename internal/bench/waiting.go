package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	waitingCallers    = 10_000
	waitingArrivals   = 1000 // a second
	maxWaitingMemory  = 400 << 20
	maxWaitingClients = 100 // connections to Redis
)

// wait is one run of the scenario waiting.
type wait struct {
	errors, peak  float64
	clients, rate float64 // connections to Redis, and its commands a second, while all wait
	deliver       float64 // calls a second, once they wait no more
}

// waiting lets 10,000 callers wait at once for an upstream that answers none of them, looks at what that costs, and then
// lets the upstream answer.
func (b *bench) waiting(ctx context.Context) ([]table, error) {
	callers := b.amount(waitingCallers, waitingCallers/10)
	const spare = 500 // the upstream, Redis, logs
	if b.files < callers+spare {
		return nil, fmt.Errorf("%d connections need more open files than the %d this system allows: raise the hard limit (ulimit -Hn)", callers, b.files)
	}
	runs := make([]wait, 0, b.runs)
	for n := range b.runs {
		w, err := b.waitingRun(ctx, callers)
		if err != nil {
			return nil, err
		}
		b.say("  run %d: %+v", n+1, w)
		runs = append(runs, w)
	}
	of := func(f func(wait) float64) float64 { return medianOf(runs, f) }
	t := table{
		title: fmt.Sprintf("%s callers of one API process, arriving at %s a second, until all of them wait at once; default settings but QUEUE_MAX_PENDING=%d:",
			thousands(int64(callers)), thousands(waitingArrivals), 2*callers),
		head: []string{"", "ours", "goal", ""},
	}
	add := func(what string, u unit, v float64, g goal) {
		t.rows = append(t.rows, append([]string{what, u.write(v)}, g.cells(u, v)...))
	}
	failed := 0.0
	for _, r := range runs {
		failed += r.errors
	}
	add("calls that failed, all runs together", plain, failed, atMost(0))
	add("memory of the api", mebibytes, of(func(w wait) float64 { return w.peak }), atMost(maxWaitingMemory))
	add("of that, for each caller", kibibytes, of(func(w wait) float64 { return w.peak / float64(callers) }), goal{})
	add("connections to Redis while they wait, of all processes", plain, of(func(w wait) float64 { return w.clients }), atMost(maxWaitingClients))
	add("Redis commands a second while they wait", commandsUnit, of(func(w wait) float64 { return w.rate }), atMost(maxIdleRate))
	add("calls a second answered once the upstream answers", perSecond, of(func(w wait) float64 { return w.deliver }), goal{})
	return []table{t}, nil
}

func (b *bench) waitingRun(ctx context.Context, callers int) (w wait, err error) {
	l, err := b.newLab(ctx, settings{apiEnv: []string{fmt.Sprintf("QUEUE_MAX_PENDING=%d", 2*callers)}})
	if err != nil {
		return w, err
	}
	defer l.close()
	g, err := l.ours(ctx)
	if err != nil {
		return w, err
	}
	if _, err := ask(ctx, l.upAddr, pathHold); err != nil {
		return w, err
	}
	type result struct {
		measured
		err error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		m, err := g.measure(ctx, func(ctx context.Context, t target) (outcome, error) {
			// None has its reply before all have called, so each makes one call. It connects when it does: a server closes
			// connections that are opened and left alone.
			return openLoop(ctx, t, unconnected(callers), schedule{every: time.Second / waitingArrivals, calls: callers})
		})
		done <- result{m, err}
	}()
	if err := g.awaitWaiters(ctx, callers); err != nil {
		cancel()
		return w, errors.Join(err, (<-done).first) // those that do not wait may have said why
	}
	if w.clients, w.rate, err = b.whileWaiting(ctx, g.redis); err != nil {
		return w, err
	}
	released := time.Now()
	if _, err := ask(ctx, l.upAddr, pathRelease); err != nil {
		return w, err
	}
	r := <-done
	if r.err != nil {
		return w, r.err
	}
	if r.first != nil {
		b.say("    %v", r.first)
	}
	w.deliver = float64(callers) / time.Since(released).Seconds()
	w.errors, w.peak = float64(r.errors), r.peak(partAPI)
	return w, l.check()
}

// whileWaiting looks at Redis for a while in which nothing should happen.
func (b *bench) whileWaiting(ctx context.Context, r *redisServer) (clients, rate float64, err error) {
	if err := pause(ctx, time.Second); err != nil { // until the last one's wait has settled
		return 0, 0, err
	}
	before, err := r.commands(ctx)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := pause(ctx, time.Duration(b.amount(10, 5))*time.Second); err != nil {
		return 0, 0, err
	}
	after, err := r.commands(ctx)
	if err != nil {
		return 0, 0, err
	}
	rate = float64(after-before) / time.Since(began).Seconds()
	text, err := r.info(ctx, "Clients", "connected_clients")
	if err != nil {
		return 0, 0, err
	}
	clients, err = strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read the number of connections: %w", err)
	}
	return clients - 1, rate, nil // one is ours
}

// awaitWaiters returns when the api says that so many callers wait.
func (g *gateway) awaitWaiters(ctx context.Context, callers int) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		metrics, err := ask(ctx, g.admin, "/metrics")
		if err != nil {
			return err
		}
		if n, ok := metric(metrics, "zimage_waiters"); ok && int(n) >= callers {
			return nil
		}
		const look = 100 * time.Millisecond
		if err := pause(ctx, look); err != nil {
			n, _ := metric(metrics, "zimage_waiters")
			return fmt.Errorf("of %d callers only %.0f wait: %w", callers, n, err)
		}
	}
}

// metric reads the value of a metric without labels.
func metric(metrics, name string) (float64, bool) {
	lines := bufio.NewScanner(strings.NewReader(metrics))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			return v, err == nil
		}
	}
	return 0, false
}

// kibibytes writes bytes.
func kibibytes(bytes float64) string { return number(bytes/(1<<10)) + " KiB" }
