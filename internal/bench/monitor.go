package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// event is a command that Redis ran, as MONITOR tells.
type event struct {
	inScript bool // a script ran it
	args     []string
}

var errMonitorEnded = errors.New("the connection with MONITOR has ended")

// monitor listens to everything that a Redis does. It slows Redis down, so nothing else is measured meanwhile.
type monitor struct {
	server *redisServer
	conn   net.Conn

	mu     sync.Mutex
	events []event
	grown  chan struct{} // closed and replaced at every event
	err    error
}

func (s *redisServer) monitor(ctx context.Context) (*monitor, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to Redis: %w", err)
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen to Redis: %w", err)
	}
	const longest = 1 << 20
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, longest)
	if !lines.Scan() { // +OK: from here on nothing is missed
		_ = conn.Close()
		return nil, fmt.Errorf("listen to Redis: %w", errors.Join(errMonitorEnded, lines.Err()))
	}
	m := &monitor{server: s, conn: conn, grown: make(chan struct{})}
	go m.read(lines)
	return m, nil
}

// close ends the reader with the connection.
func (m *monitor) close() { _ = m.conn.Close() }

func (m *monitor) read(lines *bufio.Scanner) {
	for lines.Scan() {
		e, ok := parseEvent(lines.Text())
		if !ok {
			continue // nothing of interest
		}
		m.mu.Lock()
		m.events = append(m.events, e)
		close(m.grown)
		m.grown = make(chan struct{})
		m.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = errors.Join(errMonitorEnded, lines.Err())
	close(m.grown)
	m.grown = nil
}

// parseEvent reads a line such as
//
//	+1339518083.107412 [0 127.0.0.1:60866] "GET" "key"
//
// in which commands of scripts have "lua" in place of the address.
func parseEvent(line string) (e event, ok bool) {
	_, rest, ok := strings.Cut(line, " [")
	if !ok {
		return event{}, false
	}
	source, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return event{}, false
	}
	e.inScript = strings.HasSuffix(source, " lua")
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		quoted, err := strconv.QuotedPrefix(rest) // Redis escapes as Go does
		if err != nil {
			return event{}, false
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return event{}, false
		}
		e.args = append(e.args, arg)
		rest = rest[len(quoted):]
	}
	return e, len(e.args) > 0
}

// take returns what happened since the last time, but for what this program asked for itself.
func (m *monitor) take(ctx context.Context) ([]event, error) {
	marker := rand.Text() // all that went before it has arrived when it has
	if err := m.server.client.Echo(ctx, marker).Err(); err != nil {
		return nil, fmt.Errorf("mark the end: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	seen := 0
	for {
		m.mu.Lock()
		for ; seen < len(m.events); seen++ {
			if args := m.events[seen].args; len(args) == 2 && args[1] == marker {
				events := m.events[:seen:seen]
				m.events = append([]event(nil), m.events[seen+1:]...)
				m.mu.Unlock()
				return events, nil
			}
		}
		grown, err := m.grown, m.err
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for MONITOR: %w", context.Cause(ctx))
		}
	}
}

// settle waits as long as work goes on that a reply did not wait for.
func settle(ctx context.Context) {
	const pause = 60 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
