package imagestore_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func z(score int64, member string) redis.Z { return redis.Z{Score: float64(score), Member: member} }

// dueAt returns when the job's picture is looked at.
func (f fixture) dueAt(t *testing.T, name, jobID string) time.Time {
	t.Helper()
	ms, err := f.client.ZScore(t.Context(), dueKey, name+" "+jobID).Result()
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(int64(ms))
}

func TestRetention(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		s := newFixture(t, redisURL, "mem://")
		kept, late, gone := put(t, s.Store, "kept"), put(t, s.Store, "late"), put(t, s.Store, "gone")
		alsoGone := put(t, s.Store, "gone")
		tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond)
		s.keeper.keep("kept", tomorrow)
		s.keeper.keep("late", time.Now().Add(-time.Hour)) // as where clocks differ
		sweep(t, s.Store)
		if !has(t, s.Store, kept) || !has(t, s.Store, late) {
			t.Error("a picture is gone although its job is there")
		}
		if has(t, s.Store, gone) || has(t, s.Store, alsoGone) {
			t.Error("a picture is there although its job is gone")
		}
		if got := s.dueAt(t, kept, "kept"); !got.Equal(tomorrow) {
			t.Errorf("the next look is at %v, want %v", got, tomorrow)
		}
		if wait := time.Until(s.dueAt(t, late, "late")); wait < 0 || wait > time.Second {
			t.Errorf("the next look is in %v, want a second at most", wait)
		}
		if n := keys(t, s.client); n != 3 {
			t.Errorf("%d keys are left, want the entries and two jobs", n)
		}
		if s.keeper.asked != 3 {
			t.Errorf("asked %d times for 3 jobs", s.keeper.asked)
		}
	})
}

func TestNotDueYet(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "mem://")
	s.config.Retention = time.Hour
	s.Store = open(t, s.config)
	name := put(t, s.Store, "job_1")
	sweep(t, s.Store)
	if !has(t, s.Store, name) || s.keeper.asked != 0 {
		t.Errorf("a picture that is not due was looked at")
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		s := newFixture(t, redisURL, "mem://")
		a, b, other := put(t, s.Store, "job_1"), put(t, s.Store, "job_1"), put(t, s.Store, "job_2")
		for range 2 {
			if err := s.Delete(t.Context(), "job_1"); err != nil {
				t.Fatal(err)
			}
		}
		if has(t, s.Store, a) || has(t, s.Store, b) || !has(t, s.Store, other) {
			t.Error("want the pictures of job_1 gone, and that of job_2 there")
		}
		if err := s.Delete(t.Context(), "job_3"); err != nil {
			t.Errorf("delete of a job without pictures: %v", err)
		}
		if wait := time.Until(s.dueAt(t, a, "job_1")); wait < time.Minute || wait > 5*time.Minute {
			t.Errorf("deletes again in %v, want after whoever may be writing now is done", wait)
		}
		for _, name := range []string{a, b} {
			s.client.ZAddXX(t.Context(), dueKey, z(0, name+" job_1"))
		}
		sweep(t, s.Store)
		if n := keys(t, s.client); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestTwoSweepAtOnce(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		dir := t.TempDir()
		a := newFixture(t, redisURL, fileURL(dir))
		b := newFixture(t, redisURL, fileURL(dir))
		const pictures = 250 // more than one page
		for i := range pictures {
			put(t, a.Store, "job_"+strconv.Itoa(i/2))
		}
		var g errgroup.Group
		g.Go(func() error { return a.Sweep(t.Context()) })
		g.Go(func() error { return b.Sweep(t.Context()) })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%d files are left, %v", len(entries), err)
		}
		if n := keys(t, a.client); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestWhatCannotBeDeletedStaysDue(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, redisURL string) {
		dir := t.TempDir()
		s := newFixture(t, redisURL, fileURL(dir))
		const stuck = 120 // more than one page, and due before the others
		for range stuck {
			name := imagestore.NewName(png.Format)
			// A directory that is not empty cannot be removed.
			if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			s.client.ZAdd(t.Context(), dueKey, z(1, name+" job_1"))
			s.client.SAdd(t.Context(), "zimage:{pictures}:job:job_1", name)
		}
		name := put(t, s.Store, "job_2")
		if err := s.Sweep(t.Context()); err == nil {
			t.Error("no error although pictures could not be deleted")
		}
		if has(t, s.Store, name) {
			t.Error("pictures that cannot be deleted keep others from being deleted")
		}
		if n := s.client.ZCount(t.Context(), dueKey, "1", "1").Val(); n != stuck {
			t.Errorf("%d entries stay due, want %d", n, stuck)
		}
		if err := s.Delete(t.Context(), "job_1"); err == nil {
			t.Error("Delete says nothing of what could not be deleted")
		}
	})
}

func TestKeeperFails(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "mem://")
	s.keeper.err = errors.New("no answer")
	name := put(t, s.Store, "job_1")
	if err := s.Sweep(t.Context()); !errors.Is(err, s.keeper.err) {
		t.Errorf("Sweep = %v", err)
	}
	if !has(t, s.Store, name) {
		t.Error("a picture was deleted although nobody knows whether its job is there")
	}
	s.keeper.err = nil
	sweep(t, s.Store)
	if has(t, s.Store, name) {
		t.Error("a picture was forgotten after the keeper failed")
	}
}

// counter counts the commands that a client sends.
type counter struct{ commands atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestIdleSweepIsCheap(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "mem://")
	sweep(t, s.Store) // connects
	c := &counter{}
	s.client.AddHook(c)
	sweep(t, s.Store)
	if n := c.commands.Load(); n != 1 {
		t.Errorf("a sweep with nothing due costs %d commands, want 1", n)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "mem://")
	name := put(t, s.Store, "job_1")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for has(t, s.Store, name) {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("waited in vain for the first sweep")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}
