package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

var (
	errAway  = &imagestore.CopyError{Err: errors.New("the store is away")}
	errNoPNG = &imagestore.CopyError{Permanent: true, Err: errors.New("not a picture")}
	errGone  = &imagestore.CopyError{Status: 404, Err: errors.New("HTTP 404")}
	errHome  = &imagestore.CopyError{Permanent: true, Err: fmt.Errorf("fetch: %w", netguard.ErrAddress)}
)

// shelf is a keeper that fails as it is told, and then keeps.
type shelf struct {
	mu    sync.Mutex
	fails []error
	stems []string
	while func() // runs during each try
	gone  []string
	deaf  bool // it keeps what it has begun with, whoever wants that
}

func (s *shelf) Discard(_ context.Context, _, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, name)
	return nil
}

func (s *shelf) Keeps(imagegen.Drawing) bool { return true }

func (s *shelf) Copy(ctx context.Context, _, stem string, _ imagegen.Drawing, format string, _ int) (imagestore.Copied, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stems = append(s.stems, stem)
	if s.while != nil {
		s.while()
	}
	if ctx.Err() != nil && !s.deaf {
		return imagestore.Copied{}, &imagestore.CopyError{Err: ctx.Err()}
	}
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		return imagestore.Copied{}, err
	}
	return imagestore.Copied{Name: "abc." + format, Width: 32, Height: 16}, nil
}

func keptBy(k worker.Keeper) func(*setup) {
	return func(s *setup) { s.cfg.Keeper, s.baseURL, s.format = k, "https://gw.test", "png" }
}

func inBytes(context.Context) (imagegen.Drawing, error) {
	return imagegen.Drawing{Data: []byte("png"), Seed: 1, Width: 64, Height: 64, RevisedPrompt: "a fine cat"}, nil
}

func TestAPictureIsKept(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context) (imagegen.Drawing, error){"by URL": picture, "as bytes": inBytes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := &shelf{}
				b := newBenchOn(t, url, answers(answer), keptBy(s))
				ended := 0
				s.while = func() {
					if ended == 0 {
						t.Error("another call has to wait for the copy")
					}
				}
				if err := b.process(t.Context(), func(e *queue.Errand) { e.CallEnded = func() { ended++ } }); err != nil {
					t.Fatal(err)
				}
				j := b.job()
				want := &imagegen.Image{URL: "https://gw.test/v1/files/abc.png", File: "abc.png", Seed: 1, Width: 32, Height: 16}
				if name == "as bytes" {
					want.RevisedPrompt = "a fine cat"
				}
				if diff := cmp.Diff(want, j.Pictures[0].Image); diff != "" || j.Status != job.StatusCompleted {
					t.Errorf("job is %s; picture (-want +got):\n%s", j.Status, diff)
				}
				wantEntries(t, j, "exacg ok yes")
			})
		})
	}
}

// A copy that fails is tried again without buying the picture again.
func TestACopyIsTriedAgain(t *testing.T) {
	t.Parallel()
	away := func(n int) (all []error) {
		for range n {
			all = append(all, errAway)
		}
		return all
	}
	redistest.Both(t, func(t *testing.T, url string) {
		s := &shelf{fails: away(3)}
		exacg := answers(picture)
		b := newBenchOn(t, url, exacg, keptBy(s), once)
		for i := range 3 {
			after, again := pause(b.process(t.Context()))
			if bound := time.Second << i; !again || after < bound/2 || after > bound {
				t.Fatalf("try %d comes again: %t after %v, want up to %v", i+1, again, after, bound)
			}
			if j := b.job(); j.Status != job.StatusInProgress || len(j.Calls) != 1 || j.Calls[0].Billed != imagegen.BilledYes {
				t.Fatalf("job is %s with the ledger %v", j.Status, entries(j))
			}
		}
		if err := b.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		if j := b.job(); j.Status != job.StatusCompleted || j.Pictures[0].Image.File != "abc.png" || len(exacg.calls) != 1 {
			t.Errorf("job is %s with %+v after %d calls", j.Status, j.Pictures[0].Image, len(exacg.calls))
		}
	})
	t.Run("bytes are kept trying with, as they are nowhere else", func(t *testing.T) {
		t.Parallel()
		s := &shelf{fails: away(3)}
		b := newBench(t, answers(inBytes), keptBy(s))
		if err := b.process(t.Context()); err != nil || len(s.stems) != 4 || len(slices.Compact(s.stems)) != 1 {
			t.Errorf("after tries under the names %v: %v", s.stems, err)
		}
		wantEntries(t, b.job(), "exacg ok yes")
	})
}

// What is not at its address after all tries is not handed out; what may not be fetched from here is.
func TestWhatCannotBeCopied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		tries  int
		status job.Status
	}{
		"not there":                   {errGone, 10, job.StatusFailed},
		"at an address of the inside": {errHome, 1, job.StatusCompleted},
		"the store is away":           {errAway, 10, job.StatusCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{}
			for range 100 {
				s.fails = append(s.fails, c.err)
			}
			exacg := answers(picture)
			b := newBench(t, exacg, keptBy(s))
			tries := 1
			for ; ; tries++ {
				if _, again := pause(b.process(t.Context())); !again {
					break
				}
			}
			j := b.job()
			if j.Status != c.status || tries != c.tries || len(exacg.calls) != 1 {
				t.Errorf("job is %s after %d tries and %d calls, want %s after %d and 1", j.Status, tries, len(exacg.calls), c.status, c.tries)
			}
			if j.Status == job.StatusCompleted && j.Pictures[0].Image.URL != "https://example.com/a.png" {
				t.Errorf("handed out is %+v", j.Pictures[0].Image)
			}
		})
	}
}

// A job that ends while its picture is stored leaves no file; one that was paid for is still told of.
func TestEndsWhileItIsKept(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context) (imagegen.Drawing, error){"by URL": picture, "as bytes": inBytes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, url string) {
				s := &shelf{deaf: true}
				b := newBenchOn(t, url, answers(answer), keptBy(s))
				s.while = func() {
					if _, err := b.store.Cancel(t.Context(), b.task.Job, nil, false); err != nil {
						t.Error(err)
					}
				}
				if err := b.process(t.Context()); err != nil {
					t.Fatal(err)
				}
				j := b.job()
				if j.Status != job.StatusCancelled || len(s.gone) != 1 || s.gone[0] != "abc.png" {
					t.Errorf("job is %s, discarded %v", j.Status, s.gone)
				}
				wantEntries(t, j, "exacg ok yes")
				if image := j.Pictures[0].Image; (image != nil) != (name == "by URL") {
					t.Errorf("the cancelled job has %+v", image)
				}
			})
		})
	}
}

// Bytes that cannot be stored are given up when nobody wants them any more.
func TestCancellingEndsTheWaitForTheStore(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	for range 1000 {
		s.fails = append(s.fails, errAway)
	}
	b := newBench(t, answers(inBytes), keptBy(s))
	done := make(chan error, 1)
	go func() { done <- b.process(context.Background()) }()
	for tried := false; !tried; {
		s.mu.Lock()
		tried = len(s.stems) > 1
		s.mu.Unlock()
	}
	if _, err := b.store.Cancel(t.Context(), b.task.Job, nil, false); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the errand ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}

// What cannot be handed out is not bought again.
func TestWhatIsNoPictureFails(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context) (imagegen.Drawing, error){"by URL": picture, "as bytes": inBytes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exacg := answers(answer)
			b := newBench(t, exacg, keptBy(&shelf{fails: []error{errNoPNG}}))
			if err := b.process(t.Context()); !errors.Is(err, queue.ErrArchive) {
				t.Fatalf("process = %v, want the end of the task", err)
			}
			j := b.job()
			if e := j.Pictures[0].Error; e == nil || e.Kind != imagegen.KindUpstreamError || len(exacg.calls) != 1 {
				t.Errorf("failure = %+v after %d calls", e, len(exacg.calls))
			}
			wantEntries(t, j, "exacg ok yes")
		})
	}
}

// A worker that has to stop leaves a bought picture to be copied by another.
func TestAStoppedCopyIsHandedBack(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancelCause(t.Context())
	s := &shelf{while: func() { stop(queue.ErrStopping) }}
	exacg := answers(picture)
	b := newBench(t, exacg, keptBy(s))
	if after, again := pause(b.process(ctx)); !again || after != 0 {
		t.Fatalf("comes again: %t after %v, want at once", again, after)
	}
	s.while = nil
	if err := b.process(t.Context()); err != nil || b.job().Status != job.StatusCompleted || len(exacg.calls) != 1 {
		t.Errorf("the next worker: %v; job is %s after %d calls", err, b.job().Status, len(exacg.calls))
	}
}

func TestCancellingEndsACopy(t *testing.T) {
	t.Parallel()
	s := &shelf{fails: []error{errAway}}
	b := newBench(t, answers(picture), keptBy(s))
	_, _ = pause(b.process(t.Context()))
	if _, err := b.store.Cancel(t.Context(), b.task.Job, nil, false); err != nil {
		t.Fatal(err)
	}
	if err := b.process(t.Context()); err != nil || len(s.stems) != 1 {
		t.Errorf("the copy's task ended with %v after %d tries", err, len(s.stems))
	}
}

// What an upstream says of its progress stands in the record until the call has ended.
func TestProgress(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		said, release := make(chan struct{}), make(chan struct{})
		exacg := &script{}
		exacg.steps = []func(context.Context) (imagegen.Drawing, error){func(ctx context.Context) (imagegen.Drawing, error) {
			exacg.calls[0].Progress(0.2)
			exacg.calls[0].Progress(0.42) // nobody waits for the first to be written
			close(said)
			<-release
			return picture(ctx)
		}}
		b := newBenchOn(t, url, exacg)
		done := make(chan error, 1)
		go func() { done <- b.process(context.Background()) }()
		<-said
		for deadline := time.Now().Add(10 * time.Second); b.job().Pictures[0].Progress != 0.42; {
			if time.Now().After(deadline) {
				t.Fatalf("progress is %v, want 0.42", b.job().Pictures[0].Progress)
			}
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if p := b.job().Pictures[0].Progress; p != 0 {
			t.Errorf("progress is %v after the end", p)
		}
	})
}
