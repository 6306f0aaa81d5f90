package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// rival is a queue that makes the same round trips.
type rival struct {
	name       string
	alone      int // how many trips, one at a time
	busy       int // and with many in flight
	startFunc  func(ctx context.Context, f *family, redis string) error
	makeFunc   func(f *family, redis string, inFlight, trips int) (*process, error)
	connection *redisServer
}

func (b *bench) rivals(ctx context.Context) []*rival {
	ofGo := func(name, kind string, interval time.Duration, alone, busy int) *rival {
		return &rival{
			name: name, alone: alone, busy: busy * connections,
			startFunc: func(ctx context.Context, f *family, redis string) error {
				_, _, err := f.startRole(ctx, roleQueueWorker, "-kind", kind, "-redis", redis,
					"-concurrency", strconv.Itoa(connections), "-interval", interval.String())
				return err
			},
			makeFunc: func(f *family, redis string, inFlight, trips int) (*process, error) {
				return f.start(roleRequester, self, nil, roleFlag, roleRequester, "-kind", kind, "-redis", redis,
					"-concurrency", strconv.Itoa(inFlight), "-calls", strconv.Itoa(trips))
			},
		}
	}
	const tight = 5 * time.Millisecond
	all := []*rival{
		ofGo(nameOurs, nameOurs, 0, b.amount(2000, 500), b.amount(100, 20)),
		ofGo("asynq", nameAsynq, 0, b.amount(8, 3), b.amount(40, 10)),
		ofGo("asynq, polling every 5 ms", nameAsynq, tight, b.amount(300, 100), b.amount(100, 20)),
	}
	if node, err := b.findBullMQ(ctx); err != nil {
		b.say("  without BullMQ: %v", err)
	} else {
		all = append(all, node.rival(b))
	}
	return all
}

// queue measures round trips through the queue alone.
func (b *bench) queue(ctx context.Context) ([]table, error) {
	f, err := newFamily()
	if err != nil {
		return nil, err
	}
	defer f.close()
	all := b.rivals(ctx)
	for _, r := range all {
		if r.connection, err = f.startRedis(ctx); err != nil {
			return nil, err
		}
	}
	alone, busy := make(map[string][]trips), make(map[string][]trips)
	for n := range b.runs {
		for _, r := range all {
			one, many, err := b.queueRun(ctx, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			b.say("  run %d, %s: %.2f ms; %.0f/s", n+1, r.name, one.MedianMS, many.Rate)
			alone[r.name], busy[r.name] = append(alone[r.name], one), append(busy[r.name], many)
		}
	}
	return []table{queueTable(all, alone, busy)}, nil
}

// queueRun measures one queue with a worker of its own: one that polls would take time from the others.
func (b *bench) queueRun(ctx context.Context, r *rival) (one, many trips, err error) {
	f, err := newFamily()
	if err != nil {
		return one, many, err
	}
	defer f.close()
	if err := r.startFunc(ctx, f, r.connection.addr); err != nil {
		return one, many, err
	}
	if one, err = r.trips(ctx, f, 1, r.alone); err != nil {
		return one, many, err
	}
	many, err = r.trips(ctx, f, connections, r.busy)
	return one, many, err
}

// trips runs a requester to its end, and returns what it says.
func (r *rival) trips(ctx context.Context, f *family, inFlight, count int) (t trips, err error) {
	p, err := r.makeFunc(f, r.connection.addr, inFlight, count)
	if err != nil {
		return t, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return t, context.Cause(ctx)
	}
	output, err := os.ReadFile(p.log)
	if err != nil {
		return t, fmt.Errorf("read what the requester says: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &t); err != nil || t.Trips == 0 {
		return t, errors.Join(p.failure("did not measure"), err)
	}
	return t, nil
}

func queueTable(all []*rival, alone, busy map[string][]trips) table {
	t := table{
		title: fmt.Sprintf("Round trips; ahead of each means that the ratios are above 1. One at a time, and %d in flight:", connections),
		head:  []string{"", "its trip ÷ ours", "our rate ÷ its", "one at a time, median", "p99", fmt.Sprintf("%d in flight", connections), "ours is ahead"},
	}
	const milli = 1e3
	trip := func(name string) float64 {
		return medianOf(alone[name], func(t trips) float64 { return t.MedianMS / milli })
	}
	rate := func(name string) float64 { return medianOf(busy[name], func(t trips) float64 { return t.Rate }) }
	for _, r := range all {
		slower, more := trip(r.name)/trip(nameOurs), rate(nameOurs)/rate(r.name)
		row := []string{r.name, times(slower), times(more), millis(trip(r.name)), millis(medianOf(alone[r.name], func(t trips) float64 { return t.P99MS / milli })), perSecond(rate(r.name)), ""}
		switch {
		case r.name == nameOurs:
			row[1], row[2] = "", ""
		case slower > 1 && more > 1:
			row[6] = "✓"
		default:
			row[6] = "**missed**"
		}
		t.rows = append(t.rows, row)
	}
	return t
}
