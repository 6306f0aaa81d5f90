package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/zimage-gateway/zimage-gateway/internal/config"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

const (
	// simulatedLatency makes the simulated upstream feel like a fast real one.
	simulatedLatency = 800 * time.Millisecond
	simulatedJitter  = 300 * time.Millisecond
	simulatedKey     = "simulated"
)

// Standalone runs API and worker in this process, on an embedded Redis and, without a key for a real one, a simulated
// upstream. It writes to out how to call it. What is queued is lost when it stops.
func Standalone(ctx context.Context, api config.API, worker config.Worker, b Build, out io.Writer) error {
	b.memory = imagestore.NewMemory()
	defer b.memory.Close() //nolint:errcheck // it is lost in any case
	redis := miniredis.NewMiniRedis()
	redis.ClockTTL(true) // keys expire by the wall clock; must be set before the start
	if err := redis.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("start embedded redis: %w", err)
	}
	defer redis.Close()
	url := config.Secret("redis://" + redis.Addr() + "/0")
	api.RedisURL, worker.RedisURL = url, url

	// Senders stop before receivers: the API drains while the worker still draws, then the worker, then what it calls.
	g := newGroup()
	u := &worker.Upstreams[0]
	simulated := u.Type == config.TypeExacg && len(u.APIKeys) == 0
	if simulated {
		l, err := listen(ctx, "simulated upstream", "127.0.0.1:0")
		if err != nil {
			return err
		}
		b.exempt = []string{l.Addr().String()}
		u.APIKeys = []config.Secret{simulatedKey}
		u.URL = "http://" + l.Addr().String() + simupstream.GeneratePath
		g.start(ctx, func(ctx context.Context) error { return simulate(ctx, l, b.Log) })
	}
	worker.AdminAddr = "" // one process, one admin listener
	g.start(ctx, func(ctx context.Context) error { return Worker(ctx, worker, b) })
	b.Log.WarnContext(ctx, "standalone: the queue is in memory, and lost when this process stops")
	g.start(ctx, func(ctx context.Context) error {
		return runAPI(ctx, api, b, func(addr net.Addr) { banner(out, api, addr, simulated) })
	})
	return g.wait(ctx)
}

// simulate serves the simulated upstream until ctx ends.
func simulate(ctx context.Context, l net.Listener, log *slog.Logger) error {
	sim := simupstream.New(simupstream.Config{APIKey: simulatedKey, Latency: simulatedLatency, Jitter: simulatedJitter})
	stop := context.AfterFunc(ctx, sim.Close)
	defer stop()
	return serve(ctx, l, sim, time.Second, log)
}

// banner says how to call the gateway, in lines that work as pasted.
func banner(out io.Writer, api config.API, addr net.Addr, simulated bool) {
	key, note := "$GATEWAY_API_KEY", " (your GATEWAY_API_KEY)"
	switch {
	case len(api.Keys) == 0:
		key, note = "YOUR_KEY", " (one of those under keys: in your CONFIG_FILE)"
	case api.Keys[0].Value() == config.StandaloneKey:
		key, note = config.StandaloneKey, ""
	}
	page := "http://" + reachable(addr)
	model := imagegen.DefaultModel().ID
	if len(api.Models) > 0 {
		model = api.Models[0].ID
	}
	upstream := "the configured upstream"
	if simulated {
		upstream = "a built-in simulated upstream (set SD_API_KEY for the real one)"
	}
	_, _ = fmt.Fprintf(out, `
Z-Image Gateway, everything in one process. Its queue is in memory: what waits is lost when it stops.

  Page      %[1]s/
  Base URL  %[1]s/v1
  API key   %[2]s%[3]s
  Pictures  come from %[4]s

Try it:

  curl %[1]s/v1/chat/completions -H "Authorization: Bearer %[2]s" -H "Content-Type: application/json" -d '{"model":%[5]q,"messages":[{"role":"user","content":"a lighthouse at dawn, 16:9"}]}'

`, page, key, note, upstream, model)
}

// reachable turns a listener's address into one that a client on this machine can call.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
