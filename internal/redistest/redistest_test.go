package redistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	c, err := redisconn.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestURLGivesDatabasesOfOnesOwn(t *testing.T) { //nolint:tparallel // looks at what its subtest left
	t.Parallel()
	var used string
	t.Run("two tests do not meet", func(t *testing.T) {
		used = redistest.URL(t)
		a, b := connect(t, used), connect(t, redistest.URL(t))
		if err := a.Set(t.Context(), "key", "a", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if n, err := b.DBSize(t.Context()).Result(); n != 0 || err != nil {
			t.Errorf("the other database holds %d keys, %v", n, err)
		}
	})
	if used == "" {
		t.Skip("the subtest was skipped")
	}
	if n, err := connect(t, used).DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("a test left %d keys behind, %v", n, err)
	}
}

func TestTakeDatabaseSparesForeignData(t *testing.T) { //nolint:tparallel // its subtests follow each other
	t.Parallel()
	server := redistest.Start(t, redistest.Options{Args: []string{"--databases", "4"}})
	foreign := connect(t, server.URL()+"?db=2")
	if err := foreign.Set(t.Context(), "precious", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 { //nolint:paralleltest // databases that were given back are used again
		t.Run("take all", func(t *testing.T) {
			got := map[string]bool{redistest.TakeDatabase(t, server.URL()): true, redistest.TakeDatabase(t, server.URL()): true}
			if !got["redis://"+server.Addr()+"/1"] || !got["redis://"+server.Addr()+"/3"] {
				t.Errorf("took %v, want databases 1 and 3", got)
			}
			for url := range got {
				if err := connect(t, url).Set(t.Context(), "key", "1", 0).Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if v, err := foreign.Get(t.Context(), "precious").Result(); v != "1" {
		t.Errorf("foreign data is %q, %v", v, err)
	}
}

func TestTakeDatabaseWaitsForAFreeOne(t *testing.T) { //nolint:tparallel // the server outlives the group
	t.Parallel()
	server := redistest.Start(t, redistest.Options{Args: []string{"--databases", "2"}})
	first := make(chan struct{})
	t.Run("group", func(t *testing.T) {
		t.Run("holder", func(t *testing.T) {
			t.Parallel()
			redistest.TakeDatabase(t, server.URL())
			close(first)
		})
		t.Run("waiter", func(t *testing.T) {
			t.Parallel()
			<-first
			if got, want := redistest.TakeDatabase(t, server.URL()), "redis://"+server.Addr()+"/1"; got != want {
				t.Errorf("took %s, want %s", got, want)
			}
		})
	})
}

func TestMiniMovesItsClock(t *testing.T) {
	t.Parallel()
	c := connect(t, redistest.Mini(t))
	if err := c.Set(t.Context(), "key", "1", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	await(ctx, t, "the key to expire", func() bool { return c.Exists(ctx, "key").Val() == 0 })
}

func TestBothRunsTwice(t *testing.T) { //nolint:tparallel // looks at what its subtest left
	t.Parallel()
	urls := make(chan string, 2)
	t.Run("both", func(t *testing.T) {
		redistest.Both(t, func(t *testing.T, url string) {
			if err := connect(t, url).Ping(t.Context()).Err(); err != nil {
				t.Error(err)
			}
			urls <- url
		})
	})
	close(urls)
	if a, b := <-urls, <-urls; a == b {
		t.Errorf("ran on %q and %q, want two servers", a, b)
	}
}

func TestServerSurvivesWhatItIsMadeFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options redistest.Options
		want    string
	}{
		"an append-only server keeps its data":  {redistest.Options{AppendOnly: true}, "1"},
		"a server without forgets over restart": {redistest.Options{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, tt.options)
			c := connect(t, server.URL())
			if err := c.Set(t.Context(), "key", "1", 0).Err(); err != nil {
				t.Fatal(err)
			}

			server.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := c.Ping(ctx).Err(); err == nil {
				t.Error("a frozen server answers")
			}
			server.Thaw()
			if v, err := c.Get(t.Context(), "key").Result(); v != "1" {
				t.Errorf("after the thaw the key is %q, %v", v, err)
			}

			server.Kill()
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := c.Ping(ctx).Err(); err == nil {
				t.Error("a dead server answers")
			}
			server.Restart()
			fresh := connect(t, server.URL())
			if v := fresh.Get(t.Context(), "key").Val(); v != tt.want {
				t.Errorf("after the restart the key is %q, want %q", v, tt.want)
			}
			server.Freeze() // the end of the test has to cope with a frozen server
		})
	}
}

// await looks again and again until ok says yes.
func await(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
