package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// telling has the server take webhooks, save those to places that are called private.
func telling(c *httpapi.Config) {
	c.CheckWebhookFunc = func(rawURL string) error {
		if strings.Contains(rawURL, "private") {
			return errors.New("webhook_url is private")
		}
		return nil
	}
}

func TestCreateJobKeepsWhatTheClientSays(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("k", 64)
	cases := map[string]struct {
		more string // members of the body
		want job.Wish
	}{
		"nothing":               {``, job.Wish{}},
		"null is nothing":       {`,"metadata":null,"webhook_url":null`, job.Wish{}},
		"an empty webhook":      {`,"webhook_url":""`, job.Wish{}},
		"metadata":              {`,"metadata":{"order":"17","说":"你好","empty":""}`, job.Wish{Metadata: map[string]string{"order": "17", "说": "你好", "empty": ""}}},
		"a null among metadata": {`,"metadata":{"a":"b","c":null}`, job.Wish{Metadata: map[string]string{"a": "b"}}},
		"no pairs":              {`,"metadata":{}`, job.Wish{Metadata: map[string]string{}}},
		"metadata at its limits": {
			fmt.Sprintf(`,"metadata":{%q:%q}`, longest, strings.Repeat("v", 512)),
			job.Wish{Metadata: map[string]string{longest: strings.Repeat("v", 512)}},
		},
		"a webhook": {`,"webhook_url":"https://client.example/hook?a=1"`, job.Wish{WebhookURL: "https://client.example/hook?a=1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			w := send(t, newServer(t, jobs, telling), "POST", "/v1/jobs", `{"prompt":"a"`+c.more+`}`)
			if w.Code != 202 {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			got := jobs.last(t)
			c.want.BaseURL = "http://example.com"
			if diff := cmp.Diff(got.Wish, c.want); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
			if got.Class != job.ClassBatch || got.WaitFor != 0 {
				t.Errorf("got class %q and a caller for %s", got.Class, got.WaitFor)
			}
		})
	}
}

func TestCreateJobRefuses(t *testing.T) {
	t.Parallel()
	pairs := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"k%d":"v"`, i)
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	if w := send(t, newServer(t, &fakeJobs{}), "POST", "/v1/jobs", `{"prompt":"a","metadata":`+pairs(16)+`}`); w.Code != 202 {
		t.Errorf("16 pairs: got %d %s", w.Code, w.Body)
	}
	cases := map[string]struct {
		more, param string
		webhooks    func(*httpapi.Config)
	}{
		"metadata that is a list":      {`"metadata":["a"]`, "metadata", telling},
		"metadata that is a text":      {`"metadata":"a"`, "metadata", telling},
		"a number among metadata":      {`"metadata":{"a":1}`, "metadata", telling},
		"an object among metadata":     {`"metadata":{"a":{}}`, "metadata", telling},
		"too many pairs":               {`"metadata":` + pairs(17), "metadata", telling},
		"a key that is too long":       {`"metadata":{"` + strings.Repeat("k", 65) + `":"v"}`, "metadata", telling},
		"a value that is too long":     {`"metadata":{"k":"` + strings.Repeat("v", 513) + `"}`, "metadata", telling},
		"a webhook that is a number":   {`"webhook_url":1`, "webhook_url", telling},
		"a webhook that is refused":    {`"webhook_url":"http://private/"`, "webhook_url", telling},
		"a webhook where they are off": {`"webhook_url":"https://client.example/"`, "webhook_url", func(*httpapi.Config) {}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			w := send(t, newServer(t, jobs, c.webhooks), "POST", "/v1/jobs", `{"prompt":"a",`+c.more+`}`)
			message := wantError(t, w, 400, "invalid_value", c.param)
			if !strings.HasPrefix(message, c.param) {
				t.Errorf("the message does not begin with what it is about: %s", message)
			}
			if len(jobs.made) > 0 {
				t.Errorf("made %v", jobs.made)
			}
		})
	}
}

func TestCreateJobSaysWhenToLookAgain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		outlook           job.Outlook
		retryAfter, shown string
	}{
		"nothing is known":          {job.Outlook{}, "1", `"queue_position":null,"eta_seconds":null`},
		"a place alone":             {job.Outlook{Position: 3}, "4", `"queue_position":3,"eta_seconds":null`},
		"a time counts more":        {job.Outlook{Position: 3, ETA: 11200 * time.Millisecond}, "12", `"queue_position":3,"eta_seconds":12`},
		"a time without a place":    {job.Outlook{ETA: 5 * time.Second}, "5", `"queue_position":null,"eta_seconds":5`},
		"a time of many minutes":    {job.Outlook{Position: 900, ETA: time.Hour}, "60", `"queue_position":900,"eta_seconds":3600`},
		"a time of next to nothing": {job.Outlook{ETA: time.Millisecond}, "1", `"eta_seconds":1`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := send(t, newServer(t, &fakeJobs{outlookFunc: foresee(c.outlook)}), "POST", "/v1/jobs", `{"prompt":"a"}`)
			if got := w.Header().Get("Retry-After"); w.Code != 202 || got != c.retryAfter || !strings.Contains(w.Body.String(), c.shown) {
				t.Errorf("got %d, Retry-After %q, %s", w.Code, got, w.Body)
			}
			if w.Header().Get("Preference-Applied") != "" {
				t.Error("a preference was applied that nobody has")
			}
		})
	}
}

// A job's reply never waits long for a guess.
func TestCreateJobWithoutAnOutlook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := &fakeJobs{outlookFunc: func(ctx context.Context, _ ...job.Job) ([]job.Outlook, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}}
		start := time.Now()
		w := send(t, newServer(t, jobs), "POST", "/v1/jobs", `{"prompt":"a"}`)
		if took := time.Since(start); took > time.Second || w.Code != 202 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("got %d %v after %s", w.Code, w.Header(), took)
		}
	})
}

func TestCreateJobWithAPreference(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		prefer, applied string
		takes, want     time.Duration
		status          string
	}{
		"it need not wait":      {"respond-async", "respond-async", time.Hour, 0, "queued"},
		"the end comes in time": {"wait=10", "wait=10", 4 * time.Second, 4 * time.Second, "completed"},
		"the end does not":      {"wait=10", "wait=10", time.Hour, 10 * time.Second, "in_progress"},
		"longer than a minute":  {"wait=600", "wait=60", time.Hour, time.Minute, "in_progress"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				running := dogJob()
				running.Status = job.StatusInProgress
				jobs := reading(running)
				jobs.waitFunc = after(c.takes, finished(dogJob()))
				start := time.Now()
				w := send(t, newServer(t, jobs), "POST", "/v1/jobs", `{"prompt":"a"}`, "Prefer", c.prefer)
				if got := time.Since(start); got != c.want {
					t.Errorf("got an answer after %s, want %s", got, c.want)
				}
				if w.Code != 202 || !strings.Contains(w.Body.String(), `"status":"`+c.status+`"`) || w.Header().Get("Location") != "/v1/jobs/job_abc" {
					t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
				}
				if got := w.Header().Get("Preference-Applied"); got != c.applied {
					t.Errorf("got Preference-Applied %q, want %q", got, c.applied)
				}
				if got := w.Header().Get("Retry-After"); (got != "") != (c.status != "completed") {
					t.Errorf("got Retry-After %q", got)
				}
				// The job goes on whoever waits.
				if len(jobs.line) > 0 || jobs.last(t).WaitFor != 0 {
					t.Errorf("line %v, %s", jobs.line, jobs.last(t).WaitFor)
				}
			})
		})
	}
}
