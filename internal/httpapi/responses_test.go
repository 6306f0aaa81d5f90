package httpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func response(t *testing.T, body []byte) openai.Response {
	t.Helper()
	var r openai.Response
	if err := json.Unmarshal(body, &r); err != nil || r.Object != "response" {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

func TestResponses(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, withPictures(t))
	w := send(t, s, "POST", "/v1/responses", `{"input":"a","metadata":{"k":"v"},"tools":[{"type":"image_generation","size":"512x512","output_format":"jpeg"}]}`)
	r := response(t, w.Body.Bytes())
	if w.Code != 200 || r.ID != "resp_abc" || r.Status != "completed" || len(r.Output) != 2 || r.Metadata["k"] != "v" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if r.Output[0].OutputFormat != "jpeg" || r.Output[0].Size != "512x512" || !strings.HasPrefix((*r.Output[1].Content)[0].Text, "![a](") {
		t.Errorf("output = %s", w.Body)
	}
	n := jobs.last(t)
	if diff := cmp.Diff(n.Wish, job.Wish{Metadata: map[string]string{"k": "v"}, BaseURL: "http://example.com"}); diff != "" || n.Class != job.ClassInteractive {
		t.Errorf("lane %s (-got +want):\n%s", n.Class, diff)
	}
}

func TestBackgroundResponses(t *testing.T) {
	t.Parallel()
	j := dogJob()
	jobs := &fakeJobs{getFunc: func(_ context.Context, _ string, id job.ID) (job.Job, error) {
		if id != "job_abc" {
			return job.Job{}, &imagegen.Error{Kind: imagegen.KindJobNotFound, Message: "no such job"}
		}
		return j, nil
	}}
	s := newServer(t, jobs, withPictures(t))
	w := send(t, s, "POST", "/v1/responses", `{"input":"a","background":true}`)
	if r := response(t, w.Body.Bytes()); w.Code != 200 || r.Status != "queued" || !r.Background || r.Output == nil || len(r.Output) != 0 || w.Header().Get("Openai-Poll-After-Ms") == "" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if jobs.last(t).Class != job.ClassBatch || !jobs.last(t).Background {
		t.Errorf("made %+v", jobs.last(t))
	}
	j.Status = job.StatusInProgress
	w = send(t, s, "GET", "/responses/resp_abc?include[]=x", "")
	if r := response(t, w.Body.Bytes()); r.Status != "in_progress" || len(r.Output) != 0 || w.Header().Get("Openai-Poll-After-Ms") == "" {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
	j = finished(dogJob())
	w = send(t, s, "GET", "/v1/responses/resp_abc", "")
	if r := response(t, w.Body.Bytes()); r.Status != "completed" || len(r.Output) != 2 || w.Header().Get("Openai-Poll-After-Ms") != "" {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
	j = failed(dogJob(), imagegen.KindUpstreamRejected)
	w = send(t, s, "GET", "/v1/responses/resp_abc", "")
	if r := response(t, w.Body.Bytes()); w.Code != 200 || r.Status != "failed" || r.Error.Code != "upstream_rejected" || r.Error.Type == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for _, id := range []string{"resp_other", "job_abc", "x", "%2e%2e"} {
		wantError(t, send(t, s, "GET", "/v1/responses/"+id, ""), 404, "job_not_found", "")
		wantError(t, send(t, s, "POST", "/v1/responses/"+id+"/cancel", ""), 404, "job_not_found", "")
	}
}

func TestCancelResponse(t *testing.T) {
	t.Parallel()
	var cancelled job.ID
	jobs := &fakeJobs{cancelFunc: func(_ context.Context, _ string, id job.ID) (job.Job, error) {
		cancelled = id
		j := dogJob()
		j.Status = job.StatusCancelled
		return j, nil
	}}
	for _, headers := range [][]string{nil, {"Content-Type", "application/json"}} {
		w := send(t, newServer(t, jobs), "POST", "/v1/responses/resp_abc/cancel", "", headers...)
		if r := response(t, w.Body.Bytes()); w.Code != 200 || r.Status != "cancelled" || cancelled != "job_abc" {
			t.Errorf("got %d %s of %s", w.Code, w.Body, cancelled)
		}
	}
}

func TestResponseStreams(t *testing.T) {
	t.Parallel()
	get := func(context.Context, string, job.ID) (job.Job, error) { return finished(dogJob()), nil }
	s := newServer(t, &fakeJobs{getFunc: get, waitFunc: func(context.Context, string, job.ID) (job.Job, error) { return finished(dogJob()), nil }}, withPictures(t))
	whole := send(t, s, "POST", "/v1/responses", `{"input":"a","stream":true}`).Body.String()
	if !strings.HasPrefix(whole, "event: response.created\n") || strings.Count(whole, "\nevent: response.completed\n") != 1 || strings.Contains(whole, "[DONE]") {
		t.Errorf("got %s", whole)
	}
	// A client that lost its stream gets the rest of it.
	rest := send(t, s, "GET", "/v1/responses/resp_abc?stream=true&starting_after=4", "").Body.String()
	if rest == "" || !strings.HasSuffix(whole, rest) || !strings.Contains(rest, `"sequence_number":5`) || strings.Contains(rest, `"sequence_number":4`) {
		t.Errorf("the rest is\n%s\nof\n%s", rest, whole)
	}
	wantError(t, send(t, s, "GET", "/v1/responses/resp_abc?stream=true&starting_after=x", ""), 400, "invalid_value", "starting_after")

	broken := newServer(t, &fakeJobs{waitFunc: func(context.Context, string, job.ID) (job.Job, error) {
		return failed(dogJob(), imagegen.KindUpstreamRejected), nil
	}}, func(c *httpapi.Config) {})
	got := send(t, broken, "POST", "/v1/responses", `{"input":"a","stream":true}`).Body.String()
	if !strings.Contains(got, "event: response.failed\n") || strings.Contains(got, "response.completed") || !strings.Contains(got, `"code":"upstream_rejected"`) {
		t.Errorf("got %s", got)
	}
}
