package redisconn_test

import (
	"context"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestEvictionPolicyOfRealRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client, err := redisconn.New(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for _, want := range []string{"noeviction", "allkeys-lru"} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", want).Err(); err != nil {
			t.Fatal(err)
		}
		got, known, err := redisconn.EvictionPolicy(t.Context(), client)
		if err != nil || !known || got != want {
			t.Errorf("EvictionPolicy = %q, %v, %v, want %q", got, known, err, want)
		}
	}
}

func TestEvictionPolicyUnknownToMiniredis(t *testing.T) {
	t.Parallel()
	client, err := redisconn.New(redistest.Mini(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if got, known, err := redisconn.EvictionPolicy(t.Context(), client); err != nil || known {
		t.Errorf("EvictionPolicy = %q, %v, %v, want unknown and no error", got, known, err)
	}
}

func TestEvictionPolicyOfDeadRedis(t *testing.T) {
	t.Parallel()
	client, err := redisconn.New("redis://127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, known, err := redisconn.EvictionPolicy(ctx, client); err == nil || known {
		t.Errorf("EvictionPolicy = %q, %v, want an error", got, known)
	}
}

// TestConnectIsQuiet counts what a new connection costs: HELLO, SELECT and the command itself.
func TestConnectIsQuiet(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client, err := redisconn.New(server.URL() + "?db=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	stats, err := client.InfoMap(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	// HELLO, SELECT, PING and this INFO, of which the server may not yet count the last; its start was counted by none.
	if got := stats["Stats"]["total_commands_processed"]; got != "3" && got != "4" {
		t.Errorf("a first PING cost %s commands", got)
	}
}
