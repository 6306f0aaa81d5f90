package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// maxGrowth is how much dearer anything may be in a queue of 100,000 than in one of ten.
const maxGrowth = 1.5

const (
	jobsPath = "/v1/jobs"
	jobMark  = `"id":"job_`
	atATime  = 10 // pictures that one request asks for when the queue is filled
)

// depth is a gateway with so many pictures waiting. Its one worker makes one call at a time, which the upstream holds.
type depth struct {
	*lab
	*gateway
	waiting int
	oldest  string // jobs
	middle  string
	newest  string
}

// What is asked of a queue.
const (
	opEnqueue = "enqueue: POST /v1/jobs"
	opDequeue = "dequeue: from one call of a worker to its next"
	opNewest  = "poll the newest: GET /v1/jobs/{id}"
	opMiddle  = "poll one in the middle"
	opOldest  = "poll the oldest"
	opList    = "list: GET /v1/jobs?limit=10"
)

// depth measures what depends on how much waits. The queues are there side by side, so that they can take turns.
func (b *bench) depth(ctx context.Context) ([]table, error) {
	sizes := []int{10, 1000, 100_000}
	if b.quick {
		sizes = []int{10, 1000, 10_000}
	}
	all := make([]*depth, 0, len(sizes))
	defer func() {
		for _, d := range all {
			d.close()
		}
	}()
	for _, size := range sizes {
		d, err := b.newDepth(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
		began := time.Now()
		if err := d.fill(ctx, size); err != nil {
			return nil, fmt.Errorf("fill up to %d: %w", size, err)
		}
		b.say("  %d wait after %v", size, time.Since(began).Round(100*time.Millisecond))
	}
	costs := make(map[int]map[string][]float64) // by depth and operation, of each run
	for _, size := range sizes {
		costs[size] = make(map[string][]float64)
	}
	// The worker works last: until then the same pictures wait, so that polls and lists see the same at every depth.
	for _, what := range []func(*depth, context.Context, int) (map[string]float64, error){(*depth).readCosts, (*depth).dequeueCost} {
		for n := range b.runs {
			for _, d := range all {
				cost, err := what(d, ctx, b.amount(200, 50))
				if err != nil {
					return nil, fmt.Errorf("at %d: %w", d.waiting, err)
				}
				b.say("  run %d at %d: %v", n+1, d.waiting, cost)
				for name, c := range cost {
					costs[d.waiting][name] = append(costs[d.waiting][name], c)
				}
			}
		}
	}
	return []table{depthTable(sizes, costs)}, nil
}

func depthTable(sizes []int, costs map[int]map[string][]float64) table {
	t := table{title: "Pictures waiting. Median times, and their ratios to those at 10:", head: []string{""}}
	for _, size := range sizes[1:] {
		t.head = append(t.head, fmt.Sprintf("%s ÷ 10", thousands(int64(size))))
	}
	for _, size := range sizes {
		t.head = append(t.head, "at "+thousands(int64(size)))
	}
	t.head = append(t.head, "goal", "")
	for _, name := range []string{opEnqueue, opDequeue, opNewest, opMiddle, opOldest, opList} {
		row := []string{name}
		at := func(size int) float64 { return median(costs[size][name]) }
		for _, size := range sizes[1:] {
			row = append(row, times(at(size)/at(sizes[0])))
		}
		for _, size := range sizes {
			row = append(row, millis(at(size)))
		}
		deepest := sizes[len(sizes)-1]
		t.rows = append(t.rows, append(row, atMost(maxGrowth).cells(times, at(deepest)/at(sizes[0]))...))
	}
	return t
}

func (b *bench) newDepth(ctx context.Context) (*depth, error) {
	const room = "QUEUE_MAX_PENDING=200000"
	l, err := b.newLab(ctx, settings{concurrency: 1, apiEnv: []string{room}})
	if err != nil {
		return nil, err
	}
	d := &depth{lab: l}
	if d.gateway, err = l.ours(ctx); err == nil {
		_, err = ask(ctx, l.upAddr, pathHold)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return d, nil
}

// single makes a job of one picture.
func (d *depth) single() target {
	return newTarget(d.apis[0], jobsPath, clientKey, `{"prompt":"a cat"}`, http.StatusAccepted, jobMark)
}

// bulk makes a job of several pictures. It is a response in the background, whose reply does not tell its place in the
// queue: the fill takes no longer than it must.
func (d *depth) bulk() target {
	body := fmt.Sprintf(`{"input":"a cat","background":true,"n":%d}`, atATime)
	return newTarget(d.apis[0], "/v1/responses", clientKey, body, http.StatusOK, `"id":"resp_`)
}

// fill makes pictures wait, behind one that the upstream holds. Ten each at the front, in the middle and at the end are
// jobs of their own, so that what is polled and listed is the same whatever the depth; the others come ten a job.
func (d *depth) fill(ctx context.Context, waiting int) error {
	d.waiting = waiting
	if _, err := d.submitSingles(ctx, 1); err != nil {
		return err
	}
	const ends = 3
	bulk := max(waiting/atATime-ends, 0)
	for _, part := range []struct {
		into *string
		bulk int // jobs before it
	}{{&d.oldest, 0}, {&d.middle, bulk / 2}, {&d.newest, bulk - bulk/2}} {
		if waiting == atATime && part.into != &d.oldest {
			*part.into = d.oldest // ten are all there are
			continue
		}
		if err := d.submitBulk(ctx, part.bulk); err != nil {
			return err
		}
		id, err := d.submitSingles(ctx, atATime)
		if err != nil {
			return err
		}
		*part.into = id
	}
	return nil
}

// submitSingles makes jobs of one picture, one after the other, and returns the id of the last.
func (d *depth) submitSingles(ctx context.Context, jobs int) (id string, err error) {
	var caller caller
	defer caller.close()
	for range jobs {
		if id, err = caller.job(ctx, d.single()); err != nil {
			return "", err
		}
	}
	return id, nil
}

// submitBulk makes jobs of several pictures, many at once.
func (d *depth) submitBulk(ctx context.Context, jobs int) error {
	const atOnce = 16
	var left atomic.Int64
	left.Store(int64(jobs))
	callers, err := connect(ctx, []target{d.bulk()}, atOnce)
	if err != nil {
		return err
	}
	order := d.bulk()
	done := loop(ctx, atOnce, jobs, 0, func(ctx context.Context, i int) error {
		if left.Add(-1) < 0 {
			return nil
		}
		err := callers[i].call(ctx, order)
		if err != nil {
			left.Add(1) // a disk that is busy makes Redis refuse one now and then: another is made in its place
		}
		return err
	})
	for _, c := range callers {
		c.close()
	}
	if left.Load() > 0 {
		return done.first
	}
	return nil
}

// job makes a call whose reply is a job, and returns the job's id.
func (c *caller) job(ctx context.Context, t target) (id string, err error) {
	if err := c.call(ctx, t); err != nil {
		return "", err
	}
	var job struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(c.body.Bytes()), &job); err != nil {
		return "", fmt.Errorf("read the job: %w", err)
	}
	return job.ID, nil
}

// readCosts measures each operation but the worker's so many times, and returns their medians.
func (d *depth) readCosts(ctx context.Context, count int) (map[string]float64, error) {
	costs := make(map[string]float64)
	var err error
	if costs[opEnqueue], err = d.enqueueCost(ctx, count); err != nil {
		return nil, err
	}
	for name, path := range map[string]string{
		opNewest: jobsPath + "/" + d.newest, opMiddle: jobsPath + "/" + d.middle, opOldest: jobsPath + "/" + d.oldest,
		opList: jobsPath + "?limit=10",
	} {
		o, err := closedLoop(ctx, newGet(d.apis[0], path, clientKey, jobMark), 1, count, 0)
		if err == nil {
			err = o.first
		}
		if err != nil {
			return nil, err
		}
		costs[name] = quantile(o.samples, half)
	}
	return costs, nil
}

// enqueueCost submits jobs, and deletes each, in its own time, before the next: as many wait as before.
func (d *depth) enqueueCost(ctx context.Context, count int) (float64, error) {
	var caller caller
	defer caller.close()
	samples := make([]time.Duration, 0, count)
	for range count {
		began := time.Now()
		id, err := caller.job(ctx, d.single())
		if err != nil {
			return 0, err
		}
		samples = append(samples, time.Since(began))
		if err := caller.call(ctx, newDelete(d.apis[0], jobsPath+"/"+id, clientKey)); err != nil {
			return 0, fmt.Errorf("delete a job: %w", err)
		}
	}
	return quantile(samples, half), nil
}

// dequeueCost lets the upstream answer a few calls at a time and makes as many wait anew, so that it is not the depth that
// changes. With one call at a time, what is between two calls is the worker's work for one: to record the first, and to
// take the second from the queue.
func (d *depth) dequeueCost(ctx context.Context, count int) (map[string]float64, error) {
	var caller caller
	defer caller.close()
	var gaps []time.Duration
	for range count / atATime {
		reply, err := ask(ctx, d.upAddr, fmt.Sprintf("%s?n=%d", pathGrant, atATime))
		if err != nil {
			return nil, err
		}
		var more []time.Duration
		if err := json.Unmarshal([]byte(reply), &more); err != nil {
			return nil, fmt.Errorf("read when the calls came: %w", err)
		}
		gaps = slices.Concat(gaps, more)
		if err := caller.call(ctx, d.bulk()); err != nil {
			return nil, err
		}
	}
	return map[string]float64{opDequeue: quantile(gaps, half)}, nil
}
