package httpapi_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// limitHeaders are those that tell of limits, without the empty ones.
func limitHeaders(get func(string) string) map[string]string {
	got := map[string]string{}
	for _, name := range []string{
		"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", "Retry-After", "Retry-After-Ms", "X-Should-Retry",
	} {
		if v := get(name); v != "" {
			got[name] = v
		}
	}
	return got
}

func TestRefusalsForLimits(t *testing.T) {
	t.Parallel()
	spent := &job.Rate{Limit: 60, Reset: 59*time.Second + 999_600*time.Microsecond}
	cases := map[string]struct {
		rate   *job.Rate
		err    *imagegen.Error
		status int
		code   string
		want   map[string]string
	}{
		"too many requests": {
			spent, &imagegen.Error{Kind: imagegen.KindRateLimited, Message: "no", RetryAfter: 900 * time.Millisecond}, 429, "rate_limit_exceeded",
			map[string]string{
				"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1m0s",
				"Retry-After": "1", "Retry-After-Ms": "1000", "X-Should-Retry": "true",
			},
		},
		"too many pictures of a key": {
			nil, &imagegen.Error{Kind: imagegen.KindRateLimited, Message: "no", RetryAfter: 5 * time.Second}, 429, "rate_limit_exceeded",
			map[string]string{"Retry-After": "5", "Retry-After-Ms": "5000", "X-Should-Retry": "true"},
		},
		"a day that is used up": {
			nil, &imagegen.Error{Kind: imagegen.KindQuota, Message: "no", RetryAfter: 5 * time.Hour}, 429, "insufficient_quota",
			map[string]string{"Retry-After": "60", "Retry-After-Ms": "60000", "X-Should-Retry": "true"},
		},
		"a full queue": {
			nil, &imagegen.Error{Kind: imagegen.KindQueueFull, Message: "no"}, 503, "queue_full",
			map[string]string{"Retry-After": "2", "Retry-After-Ms": "2000", "X-Should-Retry": "true"},
		},
	}
	for name, c := range cases {
		for path, body := range map[string]string{
			"/v1/chat/completions": `{"prompt":"a"}`, "/v1/images/generations": `{"prompt":"a","stream":true}`, "/v1/responses": `{"input":"a","background":true}`,
			"/v1/jobs": `{"prompt":"a"}`,
		} {
			w := send(t, newServer(t, refusing(c.rate, c.err)), "POST", path, body, "Prefer", "respond-async")
			wantError(t, w, c.status, c.code, "")
			if diff := cmp.Diff(limitHeaders(w.Header().Get), c.want); diff != "" {
				t.Errorf("%s, %s: -got +want:\n%s", name, path, diff)
			}
			if w.Header().Get("Preference-Applied") != "" || w.Header().Get("X-Job-Id") != "" {
				t.Errorf("%s, %s: got %v", name, path, w.Header())
			}
		}
	}
}

func TestRepliesTellWhatIsLeftOfTheRate(t *testing.T) {
	t.Parallel()
	rate := &job.Rate{Limit: 60, Remaining: 58, Reset: 1500 * time.Millisecond}
	want := map[string]string{"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "58", "X-Ratelimit-Reset-Requests": "1.5s"}
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"prompt":"a"}`, "/v1/images/generations": `{"prompt":"a","stream":true,"response_format":"url"}`, "/v1/responses": `{"input":"a","background":true}`,
		"/v1/jobs": `{"prompt":"a"}`,
	} {
		jobs := &fakeJobs{submitFunc: func(_ context.Context, n job.New) (job.Submission, error) {
			return job.Submission{Job: finished(newJob(n)), Rate: rate}, nil
		}}
		w := send(t, newServer(t, jobs), "POST", path, body)
		if diff := cmp.Diff(limitHeaders(w.Header().Get), want); diff != "" || w.Code >= 300 {
			t.Errorf("%s: got %d, -got +want:\n%s", path, w.Code, diff)
		}
		w = send(t, newServer(t, &fakeJobs{}), "POST", path, body)
		if got := w.Header().Get("X-Ratelimit-Limit-Requests"); got != "" {
			t.Errorf("%s: without a limit there is one of %s", path, got)
		}
	}
}

// What a key may do goes with the job to where it is counted.
func TestLimitsOfAKey(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	limited := func(c *httpapi.Config) {
		c.Keys[0].RPM, c.Keys[0].MaxPending, c.Keys[0].ImagesPerDay = 1, 2, 3
	}
	send(t, newServer(t, jobs, limited), "POST", "/v1/jobs", `{"prompt":"a"}`)
	if diff := cmp.Diff(jobs.last(t).Limits, job.Limits{RPM: 1, MaxPending: 2, ImagesPerDay: 3}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
	send(t, newServer(t, jobs, limited), "POST", "/v1/jobs", `{"prompt":"a"}`, "Authorization", "Bearer "+otherKey)
	if got := jobs.last(t).Limits; got != (job.Limits{}) {
		t.Errorf("another key has limits %+v", got)
	}
}
