package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The roles of this program beside running the benchmark. Each is a process of its own, as what it stands for would be.
const (
	roleUpstream    = "upstream"
	roleProxy       = "proxy"
	roleAsynqAPI    = "asynq-api"
	roleAsynqWorker = "asynq-worker"
	roleRequester   = "queue-requester"
	roleQueueWorker = "queue-worker"
)

// roleFlag is the first argument of a role; its name is the second.
const roleFlag = "-role"

// roleReady is what a role logs, with its address if it has one, when it can be used.
const roleReady = "role is ready"

// roleOptions are the flags of roles.
type roleOptions struct {
	redis       string // host:port
	upstream    string // URL
	kind        string // of queue
	concurrency int
	calls       int
	latency     time.Duration
	interval    time.Duration
}

// runRole plays a role until ctx ends.
func runRole(ctx context.Context, role string, args []string, out, logs io.Writer) error {
	var o roleOptions
	flags := flag.NewFlagSet(role, flag.ContinueOnError)
	flags.StringVar(&o.redis, "redis", "", "host:port of its Redis")
	flags.StringVar(&o.upstream, "upstream", "", "the URL it calls")
	flags.StringVar(&o.kind, "kind", "", "which queue")
	flags.IntVar(&o.concurrency, "concurrency", 1, "calls at once")
	flags.IntVar(&o.calls, "calls", 1, "how many calls")
	flags.DurationVar(&o.latency, "latency", 0, "how long a call takes")
	flags.DurationVar(&o.interval, "interval", 0, "how often it polls; zero: asynq's default")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(logs, nil))
	switch role {
	case roleUpstream:
		return runUpstream(ctx, o, log)
	case roleProxy:
		return runProxy(ctx, o, log)
	case roleAsynqAPI:
		return runAsynqAPI(ctx, o, log)
	case roleAsynqWorker:
		return runAsynqWorker(ctx, o, log)
	case roleRequester:
		return runRequester(ctx, o, out)
	case roleQueueWorker:
		return runQueueWorker(ctx, o, log)
	}
	return fmt.Errorf("there is no role %q", role)
}

func runUpstream(ctx context.Context, o roleOptions, log *slog.Logger) error {
	return serve(ctx, gatedUpstream(o.latency), log)
}

// serve serves on a free port of the loopback interface until ctx ends.
func serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	const headerTimeout = 10 * time.Second
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	log.InfoContext(ctx, roleReady, slog.String("address", l.Addr().String()))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// ask calls one of a role's own paths.
func ask(ctx context.Context, addr, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	client := &http.Client{Timeout: callTimeout}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask %s: %d %s (%w)", path, resp.StatusCode, body, err)
	}
	return string(body), nil
}
