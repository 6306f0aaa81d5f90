package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// callTimeout is how long a call may take before it counts as an error.
const callTimeout = 2 * time.Minute

// target is what a load calls: the same request over and over.
type target struct {
	addr    string // host:port
	request []byte // all of it, as it goes over the wire
	status  int    // of a good reply
	mark    []byte // what a good reply's body holds
}

// newTarget returns a POST of JSON. The request is built once: the load generator shares the machine with what it measures.
func newTarget(addr, path, key, body string, status int, mark string) target {
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, key, len(body), body)
	return target{addr: addr, request: []byte(request), status: status, mark: []byte(mark)}
}

// newGet returns a GET.
func newGet(addr, path, key, mark string) target {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, addr, key)
	return target{addr: addr, request: []byte(request), status: http.StatusOK, mark: []byte(mark)}
}

// newDelete returns a DELETE.
func newDelete(addr, path, key string) target {
	request := fmt.Sprintf("DELETE %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, addr, key)
	return target{addr: addr, request: []byte(request), status: http.StatusNoContent}
}

// caller makes calls over one connection, which it keeps.
type caller struct {
	conn   net.Conn // nil: to be opened
	reader *bufio.Reader
	body   bytes.Buffer // of the last reply
	stop   func() bool  // no longer closes the connection at the context's end
}

func (c *caller) dial(ctx context.Context, addr string) error {
	const dialTimeout = 10 * time.Second
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	const replySize = 4 << 10
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, replySize)
	c.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return nil
}

func (c *caller) close() {
	if c.conn != nil {
		c.stop()
		_ = c.conn.Close()
		c.conn = nil
	}
}

// call sends the request, and checks the reply.
func (c *caller) call(ctx context.Context, t target) error {
	if c.conn == nil {
		if err := c.dial(ctx, t.addr); err != nil {
			return err
		}
	}
	err := c.exchange(t)
	if err != nil {
		c.close() // whatever is left on it belongs to no later call
	}
	return err
}

func (c *caller) exchange(t target) error {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := c.conn.Write(t.request); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	reply, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	c.body.Reset()
	if _, err := c.body.ReadFrom(reply.Body); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	if reply.StatusCode != t.status || !bytes.Contains(c.body.Bytes(), t.mark) {
		return fmt.Errorf("reply %d: %.300s", reply.StatusCode, c.body.Bytes())
	}
	return nil
}

// outcome is what came of a load.
type outcome struct {
	samples []time.Duration // of calls that went well
	errors  int
	first   error // one of them
	elapsed time.Duration
}

func (o outcome) rate() float64 { return float64(len(o.samples)) / o.elapsed.Seconds() }

// collector gathers what callers saw.
type collector struct {
	mu  sync.Mutex
	out outcome
}

func (c *collector) add(samples []time.Duration, errs int, first error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.samples = append(c.out.samples, samples...)
	c.out.errors += errs
	if c.out.first == nil {
		c.out.first = first
	}
}

// closedLoop lets conns callers, connected beforehand, begin at once, each calling again when it has its reply: each times,
// or with each 0 until span is over.
func closedLoop(ctx context.Context, t target, conns, each int, span time.Duration) (outcome, error) {
	return spreadLoop(ctx, []target{t}, conns, each, span)
}

// spreadLoop is a closed loop over several targets. A connection stays with one address: either all targets have the same
// one, or their number divides that of the connections and they take turns.
func spreadLoop(ctx context.Context, targets []target, conns, each int, span time.Duration) (outcome, error) {
	callers, err := connect(ctx, targets, conns)
	if err != nil {
		return outcome{}, err
	}
	made := make([]int, conns) // calls of each
	o := loop(ctx, conns, each, span, func(ctx context.Context, i int) error {
		t := targets[(i+made[i]*conns)%len(targets)]
		made[i]++
		return callers[i].call(ctx, t)
	})
	for _, c := range callers {
		c.close()
	}
	return o, context.Cause(ctx)
}

// loop is the same for any kind of call, which is told the number of its caller.
func loop(ctx context.Context, callers, each int, span time.Duration, call func(context.Context, int) error) outcome {
	var all collector
	var wg sync.WaitGroup
	var over atomic.Bool
	start := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			var samples []time.Duration
			var errs int
			var first error
			<-start
			for n := 0; (each == 0 || n < each) && !over.Load() && ctx.Err() == nil && errs < maxErrors; n++ {
				began := time.Now()
				if err := call(ctx, i); err != nil {
					errs++
					first = cmp.Or(first, err)
					continue
				}
				samples = append(samples, time.Since(began))
			}
			all.add(samples, errs, first)
		})
	}
	began := time.Now()
	close(start)
	if each == 0 {
		timer := time.AfterFunc(span, func() { over.Store(true) })
		defer timer.Stop()
	}
	wg.Wait()
	all.out.elapsed = time.Since(began)
	return all.out
}

// maxErrors is after how many a caller gives up: what is broken need not be called a thousand times.
const maxErrors = 10

// unconnected returns callers that connect with their first call.
func unconnected(n int) []*caller {
	callers := make([]*caller, n)
	for i := range callers {
		callers[i] = &caller{}
	}
	return callers
}

// connect opens connections, a few at a time: the system's list of those that wait to be accepted is not what is measured.
func connect(ctx context.Context, targets []target, n int) ([]*caller, error) {
	const atOnce = 32
	callers := unconnected(n)
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for first := range atOnce {
		wg.Go(func() {
			for i := first; i < n; i += atOnce {
				if err := callers[i].dial(ctx, targets[i%len(targets)].addr); err != nil {
					errs[first] = err
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, c := range callers {
			c.close()
		}
		return nil, fmt.Errorf("open %d connections: %w", n, err)
	}
	return callers, nil
}
