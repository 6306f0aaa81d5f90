package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// waiting is a job service whose one job takes that long and moves up in the queue, one place every ten seconds.
func waiting(d time.Duration, end job.Job) *fakeJobs {
	start := time.Now()
	return &fakeJobs{
		waitFunc: after(d, end),
		outlookFunc: func(ctx context.Context, jobs ...job.Job) ([]job.Outlook, error) {
			return foresee(job.Outlook{Position: max(0, 5-int(time.Since(start)/(10*time.Second)))})(ctx, jobs...)
		},
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	two := dogJob()
	two.Spec.Seeds, two.Pictures = []uint32{123, 124}, make([]job.Picture, 2)
	cases := map[string]struct {
		takes  time.Duration
		end    job.Job
		body   string
		golden string
	}{
		"a picture that is there at once": {0, finished(dogJob()), `{"prompt":"a","stream":true}`, "stream_at_once.txt"},
		"a picture that takes a minute":   {time.Minute + time.Second, finished(dogJob()), `{"prompt":"a","stream":true,"stream_options":{"include_usage":true}}`, "stream_minute.txt"},
		"two pictures":                    {time.Second, finished(two), `{"prompt":"a","n":2,"stream":true,"stream_options":null}`, "stream_two.txt"},
		"a failure":                       {11 * time.Second, failed(dogJob(), imagegen.KindUpstreamError), `{"prompt":"a","stream":true}`, "stream_failure.txt"},
		"a picture that does not come":    {time.Hour, finished(dogJob()), `{"prompt":"a","stream":true}`, "stream_timeout.txt"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, waiting(c.takes, c.end), func(cfg *httpapi.Config) { cfg.SyncTimeout = 65 * time.Second })
				w := send(t, s, "POST", "/v1/chat/completions", c.body)
				golden(t, c.golden, w.Body.Bytes())
				if regexp.MustCompile(`(?m)^:.*\n\n`).MatchString(w.Body.String()) {
					t.Error("a comment is followed by an empty line")
				}
				want := map[string]string{
					"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
					"X-Job-Id": "job_abc",
				}
				got := map[string]string{}
				for name := range want {
					got[name] = w.Header().Get(name)
				}
				if diff := cmp.Diff(got, want); diff != "" || w.Code != 200 {
					t.Errorf("status %d, -got +want:\n%s", w.Code, diff)
				}
			})
		})
	}
}

// Front ends that count only data give up after 30 seconds, whatever the pause between comments.
func TestStreamsAreNeverSilentForLong(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{time.Second, 7 * time.Second, 10 * time.Second, 13 * time.Second, 25 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			jobs := waiting(3*time.Minute, finished(dogJob()))
			s := newServer(t, jobs, func(c *httpapi.Config) { c.StreamKeepalive = pause })
			w := &dataTimes{ResponseRecorder: httptest.NewRecorder()}
			s.ServeHTTP(w, request(t, "POST", "/v1/chat/completions", `{"prompt":"a","stream":true}`))
			if len(w.at) < 8 {
				t.Fatalf("got data at %v", w.at)
			}
			for i := 1; i < len(w.at); i++ {
				if silence := w.at[i].Sub(w.at[i-1]); silence > 25*time.Second {
					t.Errorf("pause %s: got %s without data", pause, silence)
				}
			}
		})
	}
}

// dataTimes notes when data lines were written.
type dataTimes struct {
	*httptest.ResponseRecorder

	at []time.Time
}

func (d *dataTimes) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "data:") {
		d.at = append(d.at, time.Now())
	}
	return d.ResponseRecorder.Write(b)
}

func TestAStreamGoesOnWithoutAPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := waiting(11*time.Second, finished(dogJob()))
		jobs.outlookFunc = func(ctx context.Context, _ ...job.Job) ([]job.Outlook, error) {
			<-ctx.Done()
			return []job.Outlook{{Position: 3}}, context.Cause(ctx)
		}
		w := send(t, newServer(t, jobs), "POST", "/v1/chat/completions", `{"prompt":"a","stream":true}`)
		if got := w.Body.String(); !strings.Contains(got, ": waiting\ndata: ") || !strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("got %s", got)
		}
	})
}

var errPipe = errors.New("broken pipe")

// deafAfter takes so many writes.
type deafAfter struct {
	*httptest.ResponseRecorder

	writes int
}

func (d *deafAfter) Write(b []byte) (int, error) {
	if d.writes--; d.writes < 0 {
		return 0, errPipe
	}
	return d.ResponseRecorder.Write(b)
}

// A client that is gone without a word is noticed at the next write, not after the whole wait.
func TestAStreamEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for writes, want := range map[int]time.Duration{0: 0, 1: 10 * time.Second, 2: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m := &fakeMetrics{}
			s := newServer(t, waiting(time.Hour, finished(dogJob())), func(c *httpapi.Config) { c.Metrics = m })
			start := time.Now()
			s.ServeHTTP(&deafAfter{httptest.NewRecorder(), writes}, request(t, "POST", "/v1/chat/completions", `{"prompt":"a","stream":true}`))
			if got := time.Since(start); got != want {
				t.Errorf("%d writes: ended after %s, want %s", writes, got, want)
			}
			if len(m.calls) != 1 || m.calls[0].status != 499 {
				t.Errorf("%d writes: got %v", writes, m.calls)
			}
		})
	}
}

// Over a real connection the client sees the answer begin before the picture exists, and can use the connection again.
func TestAStreamBeginsAtOnce(t *testing.T) {
	t.Parallel()
	draw := make(chan struct{})
	jobs := &fakeJobs{waitFunc: func(ctx context.Context, _ string, _ job.ID) (job.Job, error) {
		select {
		case <-draw:
			return finished(dogJob()), nil
		case <-ctx.Done():
			return job.Job{}, context.Cause(ctx)
		}
	}}
	server := httptest.NewServer(newServer(t, jobs))
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/chat/completions", strings.NewReader(`{"prompt":"a","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	reply, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(reply.Body)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, `"role":"assistant"`) {
		t.Fatalf("got %q, %v", first, err)
	}
	close(draw)
	if rest := readAll(t, lines); !strings.HasSuffix(rest, "data: [DONE]\n\n") {
		t.Errorf("got %q", rest)
	}
	if err := reply.Body.Close(); err != nil {
		t.Fatal(err)
	}
}
