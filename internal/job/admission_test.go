package job_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// older moves the time at the end of a claim into the past.
func older(t *testing.T, claim string, d time.Duration) string {
	t.Helper()
	words := strings.Fields(claim)
	ms, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	words[2] = strconv.FormatInt(ms-d.Milliseconds(), 10)
	return strings.Join(words, " ")
}

// of returns a job of n pictures.
func of(owner string, class job.Class, n int) job.New {
	j := newJob(make([]uint32, n)...)
	j.Owner, j.Class = owner, class
	return j
}

// waiting returns how many pictures count as waiting, in all and of the test's owner.
func (s system) waiting(t *testing.T) [2]int64 {
	t.Helper()
	return [2]int64{
		s.client.ZCard(t.Context(), "zimage:{admission}:waiting").Val(),
		s.client.ZCard(t.Context(), "zimage:{admission}:waiting:owner").Val(),
	}
}

// A key's first waiting picture goes ahead, the others the further back the more there are, batches one lane lower.
func TestLanes(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		lanes := func(n job.New) map[string]int {
			t.Helper()
			submit(t, s, n)
			got := map[string]int{}
			for range n.Spec.N() {
				got[strings.TrimPrefix(s.queue.next(t).Queue, "exacg-")]++
			}
			return got
		}
		for _, step := range []struct {
			what string
			job  job.New
			want map[string]int
		}{
			{"the first pictures of a caller", of("owner", job.ClassInteractive, 10), map[string]int{"express": 1, "fast": 3, "normal": 6}},
			{"more of them", of("owner", job.ClassInteractive, 10), map[string]int{"normal": 6, "slow": 4}},
			{"a batch of the same key", of("owner", job.ClassBatch, 10), map[string]int{"fast": 1, "normal": 3, "slow": 6}},
			{"more of it", of("owner", job.ClassBatch, 10), map[string]int{"slow": 6, "bulk": 4}},
			{"another key", of("other", job.ClassInteractive, 1), map[string]int{"express": 1}},
		} {
			if diff := cmp.Diff(lanes(step.job), step.want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", step.what, diff)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	limited := func(n job.New, l job.Limits) job.New {
		n.Limits = l
		return n
	}
	for name, c := range map[string]struct {
		first, second job.New
		want          imagegen.Kind
		after         time.Duration
	}{
		"the queue is full": {of("owner", job.ClassBatch, 8), of("other", job.ClassInteractive, 5), imagegen.KindQueueFull, 5 * 4 * time.Second / 10},
		"there is room":     {of("owner", job.ClassBatch, 8), of("other", job.ClassInteractive, 4), "", 0},
		"the key's share is": {
			of("owner", job.ClassInteractive, 3), limited(of("owner", job.ClassBatch, 2), job.Limits{MaxPending: 4}), imagegen.KindRateLimited, 800 * time.Millisecond,
		},
		"another key's share is its own": {
			of("owner", job.ClassInteractive, 3), limited(of("other", job.ClassBatch, 2), job.Limits{MaxPending: 4}), "", 0,
		},
		"the day is over": {
			limited(of("owner", job.ClassBatch, 3), job.Limits{ImagesPerDay: 4}), limited(of("owner", job.ClassBatch, 2), job.Limits{ImagesPerDay: 4}),
			imagegen.KindQuota, time.Minute,
		},
		"the day holds one more": {
			limited(of("owner", job.ClassBatch, 3), job.Limits{ImagesPerDay: 4}), limited(of("owner", job.ClassBatch, 1), job.Limits{ImagesPerDay: 4}), "", 0,
		},
		"more than may ever wait": {of("owner", job.ClassBatch, 1), of("owner", job.ClassBatch, 13), imagegen.KindInvalidValue, 0},
		"more than may ever wait of this key": {
			of("owner", job.ClassBatch, 1), limited(of("owner", job.ClassBatch, 3), job.Limits{MaxPending: 2}), imagegen.KindInvalidValue, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystemWith(t, redistest.URL(t), job.ServiceConfig{MaxPending: 12, Drop: job.DropQueued})
			s.queue.pace = job.Pace{Slots: 10, Call: 4 * time.Second}
			submit(t, s, c.first)
			before := s.waiting(t)
			_, err := s.service.Submit(t.Context(), c.second)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := imagegen.AsError(err); err == nil || e.Kind != c.want || e.RetryAfter != c.after {
				t.Errorf("got %v after %v, want %s after %v", err, e.RetryAfter, c.want, c.after)
			}
			if after := s.waiting(t); after != before {
				t.Errorf("%v pictures wait after the refusal, %v before", after, before)
			}
		})
	}
}

func TestTheRate(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := newJob(1)
		n.Limits.RPM = 3
		for left := 2; left >= 0; left-- {
			sub, err := s.service.Submit(t.Context(), n)
			if err != nil || sub.Rate == nil || sub.Rate.Limit != 3 || sub.Rate.Remaining != left || sub.Rate.Reset <= 0 {
				t.Fatalf("submit = %+v, %v; want %d left of 3", sub.Rate, err, left)
			}
		}
		sub, err := s.another(t).Submit(t.Context(), n)
		e := imagegen.AsError(err)
		if e.Kind != imagegen.KindRateLimited || sub.Rate == nil || sub.Rate.Remaining != 0 || e.RetryAfter <= 0 || e.RetryAfter > 20*time.Second {
			t.Errorf("the fourth, on another process: %v after %v, %+v", err, e.RetryAfter, sub.Rate)
		}
	})
}

// What counts as waiting is what no worker has: until the first call, and between a failed one and the next.
func TestWhatCountsAsWaiting(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		n := newJob(1, 2)
		n.Limits.ImagesPerDay = 10
		made := submit(t, s, n)
		first, second := s.queue.next(t), s.queue.next(t)
		want := func(what string, waiting, today int64) {
			t.Helper()
			got := [3]int64{s.waiting(t)[0], s.waiting(t)[1], s.client.ZCard(t.Context(), "zimage:{admission}:today:owner").Val()}
			if got != [3]int64{waiting, waiting, today} {
				t.Errorf("%s: %v wait, wait of the key, count today; want %d, %d, %d", what, got, waiting, waiting, today)
			}
		}
		want("submitted", 2, 2)
		begin := func(task job.Task, call string) job.Start {
			t.Helper()
			start, err := s.store.Start(t.Context(), task, call, "exacg", options)
			if err != nil {
				t.Fatal(err)
			}
			return start
		}
		end := func(task job.Task, call string, f job.Finish) {
			t.Helper()
			if _, err := s.store.Finish(t.Context(), task, call, f); err != nil {
				t.Fatal(err)
			}
		}
		start := begin(first, "a")
		want("one is being drawn", 1, 2)
		again := retry(start.Attempt, imagegen.BilledNo)
		again.Class = start.Class
		end(first, "a", again)
		want("it failed and comes again", 2, 2)
		start = begin(first, "b")
		end(first, "b", failed(start.Attempt))
		want("it failed for good, and costs nothing of the day", 1, 1)
		if _, err := s.service.Cancel(t.Context(), "owner", made.ID); err != nil {
			t.Fatal(err)
		}
		want("the other is cancelled", 0, 0)
		_ = second
	})
}

// The script that admits and the one that records may each be heard twice, or never: the sets are mended.
func TestSweepMendsTheWaiting(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		submit(t, s, newJob(1))
		lost := "owner/" + string(job.NewID()) + "/0" // its maker died before the record
		for _, key := range []string{"zimage:{admission}:waiting", "zimage:{admission}:waiting:owner"} {
			if err := s.client.ZAdd(t.Context(), key, z(1, lost)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		sweep(t, record{t: t, store: s.store, client: s.client}, false)
		if got := s.waiting(t); got != [2]int64{1, 1} {
			t.Errorf("%v pictures wait, want the one of the job", got)
		}
	})
}

// What was sent to an upstream counts for the day, whoever cancels it then.
func TestCancellingDoesNotRefundWhatWasSent(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	n := newJob(1, 2)
	n.Limits.ImagesPerDay = 2
	made := submit(t, s, n)
	if _, err := s.store.Start(t.Context(), s.queue.next(t), "call", "exacg", options); err != nil {
		t.Fatal(err)
	}
	if _, err := s.service.Cancel(t.Context(), "owner", made.ID); err != nil {
		t.Fatal(err)
	}
	n = newJob(1)
	n.Limits.ImagesPerDay = 2
	submit(t, s, n)
	if _, err := s.service.Submit(t.Context(), n); imagegen.AsError(err).Kind != imagegen.KindQuota {
		t.Errorf("a third picture of a day of two, one of which was sent: %v", err)
	}
}

// A picture whose worker died waits again, and counts.
func TestSweepCountsWhatWaitsAgain(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		submit(t, s, newJob(1))
		short := options
		short.MarkTTL = time.Millisecond
		if _, err := s.store.Start(t.Context(), s.queue.next(t), "call", "exacg", short); err != nil {
			t.Fatal(err)
		}
		r := record{t: t, store: s.store, client: s.client}
		waitUntil(t, "its mark is over", func() bool { return len(sweep(t, r, true).queued) == 1 })
		if got := s.waiting(t); got != [2]int64{1, 1} {
			t.Errorf("%v pictures wait, want 1", got)
		}
	})
}

// An API that dies right after it has cancelled a job leaves nothing that counts as waiting, webhook or not.
func TestSweepMendsACancellation(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		made := submit(t, s, told(1, 2, 3))
		if _, err := s.store.Cancel(t.Context(), made.ID, nil, false); err != nil {
			t.Fatal(err)
		}
		sweep(t, record{t: t, store: s.store, client: s.client}, false)
		if got := s.waiting(t); got != [2]int64{} {
			t.Errorf("%v pictures wait, want none", got)
		}
	})
}
