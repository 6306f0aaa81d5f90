package openai_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	const request, limit, server = "invalid_request_error", "rate_limit_error", "server_error"
	cases := map[imagegen.Kind]openai.Class{
		imagegen.KindInternal:            {Status: 500, Type: server, Code: "internal_error"},
		imagegen.KindInvalidJSON:         {Status: 400, Type: request, Code: "invalid_json"},
		imagegen.KindMissingParameter:    {Status: 400, Type: request, Code: "missing_required_parameter"},
		imagegen.KindInvalidValue:        {Status: 400, Type: request, Code: "invalid_value"},
		imagegen.KindUpstreamRejected:    {Status: 400, Type: request, Code: "upstream_rejected"},
		imagegen.KindInvalidAPIKey:       {Status: 401, Type: request, Code: "invalid_api_key"},
		imagegen.KindModelNotAllowed:     {Status: 403, Type: request, Code: "model_not_allowed"},
		imagegen.KindModelNotFound:       {Status: 404, Type: request, Code: "model_not_found"},
		imagegen.KindJobNotFound:         {Status: 404, Type: request, Code: "job_not_found"},
		imagegen.KindUnknownURL:          {Status: 404, Type: request, Code: "unknown_url"},
		imagegen.KindMethodNotAllowed:    {Status: 405, Type: request, Code: "method_not_allowed"},
		imagegen.KindRequestTooLarge:     {Status: 413, Type: request, Code: "request_too_large"},
		imagegen.KindKeyReused:           {Status: 422, Type: request, Code: "idempotency_key_reused"},
		imagegen.KindRateLimited:         {Status: 429, Type: limit, Code: "rate_limit_exceeded"},
		imagegen.KindQuota:               {Status: 429, Type: limit, Code: "insufficient_quota"},
		imagegen.KindUpstreamError:       {Status: 502, Type: server, Code: "upstream_error"},
		imagegen.KindUpstreamTimeout:     {Status: 502, Type: server, Code: "upstream_timeout"},
		imagegen.KindUpstreamAccount:     {Status: 502, Type: server, Code: "upstream_unavailable"},
		imagegen.KindUpstreamUnavailable: {Status: 502, Type: server, Code: "upstream_unavailable"},
		imagegen.KindContentPolicy:       {Status: 400, Type: request, Code: "content_policy_violation"},
		imagegen.KindUpstreamAmbiguous:   {Status: 502, Type: server, Code: "upstream_outcome_unknown"},
		imagegen.KindQueueFull:           {Status: 503, Type: server, Code: "queue_full"},
		imagegen.KindQueueUnavailable:    {Status: 503, Type: server, Code: "queue_unavailable"},
		imagegen.KindShuttingDown:        {Status: 503, Type: server, Code: "shutting_down"},
		imagegen.KindGenerationTimeout:   {Status: 504, Type: server, Code: "generation_timeout"},
		"a kind of a newer process":      {Status: 500, Type: server, Code: "internal_error"},
	}
	for kind, want := range cases {
		if diff := cmp.Diff(openai.ClassOf(kind), want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", kind, diff)
		}
	}
}

func TestErrorReply(t *testing.T) {
	t.Parallel()
	goldenJSON(t, "error.json", openai.NewErrorReply(&imagegen.Error{
		Kind: imagegen.KindInvalidValue, Param: "size", Message: "size must look like <width>x<height>", Err: errors.New("secret"),
	}, "req_1"))
	goldenJSON(t, "error_internal.json", openai.NewErrorReply(&imagegen.Error{
		Kind: imagegen.KindInternal, Param: "p", Message: "runtime error at 0xc000", Err: errors.New("secret"),
	}, "req_1"))
}

func TestAStoredInternalErrorTellsNothing(t *testing.T) {
	t.Parallel()
	j := refused(queued(1), 0)
	j.Pictures[0].Error = &imagegen.Error{Kind: imagegen.KindInternal, Message: "nil pointer at 0xc000"}
	if got := openai.NewJob(j, job.Outlook{}).Error.Message; strings.Contains(got, "0xc000") {
		t.Errorf("got %q", got)
	}
}
