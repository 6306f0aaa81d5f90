package job_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func waitUntil(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// Whoever follows a job sees it as it is, each change, and its end; whoever comes again only what is new.
func TestFollow(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		made := submit(t, s, newJob(1, 2))
		changes, ended := make(chan job.Job), make(chan error, 1)
		go func() {
			ended <- s.service.Follow(t.Context(), "owner", made.ID, 0, job.Beat{}, func(j job.Job) error {
				changes <- j
				return nil
			})
		}()
		want := func(status job.Status, pictures int) int64 {
			t.Helper()
			j := <-changes
			drawn := 0
			for _, p := range j.Pictures {
				if p.Image != nil {
					drawn++
				}
			}
			if j.Status != status || drawn != pictures {
				t.Errorf("got %s with %d pictures, want %s with %d", j.Status, drawn, status, pictures)
			}
			return j.Version
		}
		want(job.StatusQueued, 0)
		first, second := s.queue.next(t), s.queue.next(t)
		begin := func(task job.Task) {
			t.Helper()
			if _, err := s.store.Start(t.Context(), task, "call", "exacg", options); err != nil {
				t.Fatal(err)
			}
		}
		end := func(task job.Task) {
			t.Helper()
			if _, err := s.store.Finish(t.Context(), task, "call", done(1)); err != nil {
				t.Fatal(err)
			}
		}
		begin(first)
		want(job.StatusInProgress, 0)
		end(first)
		seen := want(job.StatusInProgress, 1)
		begin(second)
		want(job.StatusInProgress, 1)
		end(second)
		last := want(job.StatusCompleted, 2)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// Again, after each of the versions.
		for version, want := range map[int64][]job.Status{seen: {job.StatusCompleted}, last: nil, 0: {job.StatusCompleted}} {
			var got []job.Status
			if err := s.service.Follow(t.Context(), "owner", made.ID, version, job.Beat{}, func(j job.Job) error {
				got = append(got, j.Status)
				return nil
			}); err != nil || !cmp.Equal(got, want) {
				t.Errorf("after version %d: %v, %v; want %v", version, got, err, want)
			}
		}
	})
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	s := newSystem(t, redistest.URL(t))
	made := submit(t, s, newJob(1))
	gone := errors.New("the client is gone")
	if err := s.service.Follow(t.Context(), "owner", made.ID, 0, job.Beat{}, func(job.Job) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("follow = %v, want what tell returned", err)
	}
	beat := job.Beat{Every: time.Millisecond, Func: func(context.Context) error { return gone }}
	if err := s.service.Follow(t.Context(), "owner", made.ID, made.Version, beat, func(job.Job) error {
		t.Error("told what was seen")
		return nil
	}); !errors.Is(err, gone) {
		t.Errorf("follow = %v, want what the beat returned", err)
	}
	ended := make(chan error, 1)
	told := make(chan struct{}, 1)
	go func() {
		ended <- s.service.Follow(t.Context(), "owner", made.ID, 0, job.Beat{}, func(job.Job) error {
			signalled(told)
			return nil
		})
	}()
	<-told
	if err := s.service.Delete(t.Context(), "owner", made.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil && imagegen.AsError(err).Kind != imagegen.KindJobNotFound {
		t.Errorf("follow of a deleted job = %v", err)
	}
}

func signalled(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func TestOutlook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		places []int
		pace   job.Pace
		want   job.Outlook
	}{
		"the last picture counts, and takes a call": {
			[]int{3, 9}, job.Pace{Slots: 4, Call: 8 * time.Second}, job.Outlook{Position: 3, ETA: 26 * time.Second},
		},
		"nobody knows the pace": {[]int{3, 9}, job.Pace{}, job.Outlook{Position: 3}},
		"no worker runs":        {[]int{3, 9}, job.Pace{Call: time.Second}, job.Outlook{Position: 3}},
		"one is under way":      {[]int{0, 2}, job.Pace{Slots: 1, Call: time.Second}, job.Outlook{Position: 2, ETA: 3 * time.Second}},
		"both are":              {[]int{0, 0}, job.Pace{Slots: 1, Call: 10 * time.Second}, job.Outlook{ETA: 10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, redistest.Mini(t))
			s.queue.places, s.queue.pace = c.places, c.pace
			drawn := submit(t, s, newJob(1))
			draw(t, s.store, s.queue.next(t))
			drawn, err := s.store.Get(t.Context(), drawn.ID)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.service.Outlook(t.Context(), drawn, submit(t, s, newJob(1, 2)))
			if diff := cmp.Diff(got, []job.Outlook{{}, c.want}); err != nil || diff != "" {
				t.Errorf("outlook, %v (-got +want):\n%s", err, diff)
			}
		})
	}
}

// Each picture is judged by its own upstream, and one that is spared calls is waited for.
func TestOutlookOfSeveralUpstreams(t *testing.T) {
	t.Parallel()
	fast, slow := job.Pace{Slots: 4, Call: 2 * time.Second}, job.Pace{Slots: 1, Call: 10 * time.Second}
	for name, c := range map[string]struct {
		paces  map[string]job.Pace
		paused time.Duration // from now
		eta    time.Duration
		held   bool
	}{
		"by its own":                      {map[string]job.Pace{"exacg": fast, "local": slow}, 0, 4 * time.Second, false},
		"no worker serves it":             {map[string]job.Pace{"local": slow}, 0, 0, false},
		"by all, if it has not drawn yet": {map[string]job.Pace{"exacg": {Slots: 4}, "local": slow}, 0, 50 * time.Second, false},
		"it is spared calls":              {map[string]job.Pace{"exacg": fast}, 30 * time.Second, 34 * time.Second, true},
		"it is being tried again":         {map[string]job.Pace{"exacg": fast}, -time.Second, 4 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var until time.Time
			s := newSystemWith(t, redistest.Mini(t), job.ServiceConfig{
				MaxPending: 1000, Drop: job.DropQueued,
				PausesFunc: func(_ context.Context, upstreams ...string) (map[string]time.Time, error) {
					if c.paused == 0 || !slices.Contains(upstreams, "exacg") {
						return nil, nil
					}
					until = time.Now().Add(c.paused)
					return map[string]time.Time{"exacg": until}, nil
				},
			})
			s.queue.places, s.queue.pace, s.queue.paces = []int{4}, slow, c.paces
			got, err := s.service.Outlook(t.Context(), submit(t, s, newJob(1)))
			if err != nil || got[0].Position != 4 || got[0].ETA.Round(time.Second) != c.eta || c.held != !got[0].Held.IsZero() || !got[0].Held.Equal(until) {
				t.Errorf("outlook = %+v, %v; want an ETA of %v, held: %t", got, err, c.eta, c.held)
			}
		})
	}
}

// A job goes to the first of its model's upstreams that has workers; where none has, it is refused and leaves nothing.
func TestUpstreamsWithoutWorkers(t *testing.T) {
	t.Parallel()
	served := []string{"local"}
	s := newSystemWith(t, redistest.Mini(t), job.ServiceConfig{
		MaxPending: 1000, Drop: job.DropQueued,
		ServedFunc: func(upstreams []string) []string {
			return slices.DeleteFunc(slices.Clone(upstreams), func(u string) bool { return !slices.Contains(served, u) })
		},
	})
	n := newJob(1)
	n.Spec.Upstreams = []string{"exacg", "local"}
	j := submit(t, s, n)
	if got := j.Pictures[0].Queue; got != "local-express" {
		t.Errorf("queued in %s, want local-express", got)
	}
	served = nil
	_, err := s.service.Submit(t.Context(), n)
	if e := imagegen.AsError(err); e.Kind != imagegen.KindUpstreamAccount {
		t.Errorf("submitted without a worker: %v, want upstream_unavailable", err)
	}
	if waiting := s.client.ZCard(t.Context(), "zimage:{admission}:waiting").Val(); waiting != 1 {
		t.Errorf("%d pictures wait, want 1", waiting)
	}
}

// Of a job that nobody follows only the end is told: every API process reads each message.
func TestOnlyFollowersHearOfWhatIsNotTheEnd(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		s := newSystem(t, url)
		sub := s.client.Subscribe(t.Context(), job.EventsChannel)
		t.Cleanup(func() { _ = sub.Close() })
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		hear := func(id job.ID, want ...string) {
			t.Helper()
			for _, status := range want {
				m, err := sub.ReceiveMessage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if words := strings.Fields(m.Payload); words[0] != string(id) || words[2] != status {
					t.Errorf("heard %q, want %s of %s", m.Payload, status, id)
				}
			}
		}
		alone := submit(t, s, newJob(1))
		draw(t, s.store, s.queue.next(t))
		hear(alone.ID, "completed")

		followed, enough := submit(t, s, newJob(1)), errors.New("enough")
		err := s.service.Follow(t.Context(), "owner", followed.ID, 0, job.Beat{}, func(job.Job) error { return enough })
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		draw(t, s.store, s.queue.next(t))
		hear(followed.ID, "in_progress", "completed")
	})
}
