package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/queue"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

var (
	errAway  = &imagestore.CopyError{Err: errors.New("the store is away")}
	errNoPNG = &imagestore.CopyError{Permanent: true, Err: errors.New("not a picture")}
)

// shelf is a keeper that fails as it is told, and then keeps.
type shelf struct {
	mu    sync.Mutex
	fails []error
	stems []string
	while func() // runs during each try
}

func (s *shelf) Keeps(imagegen.Drawing) bool { return true }

func (s *shelf) Copy(ctx context.Context, _, stem string, _ imagegen.Drawing, format string, _ int) (imagestore.Copied, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stems = append(s.stems, stem)
	if s.while != nil {
		s.while()
	}
	if ctx.Err() != nil {
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

// A copy that fails is tried again without buying the picture again; in the end its upstream's own address is handed out.
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
	t.Run("in the end the address is handed out", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, answers(picture), keptBy(&shelf{fails: away(100)}))
		tries := 1
		for ; ; tries++ {
			if _, again := pause(b.process(t.Context())); !again {
				break
			}
		}
		if image := b.job().Pictures[0].Image; image == nil || image.File != "" || image.URL != "https://example.com/a.png" || tries != 10 {
			t.Errorf("after %d tries: %+v", tries, image)
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
