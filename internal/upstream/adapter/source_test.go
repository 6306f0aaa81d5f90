package adapter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

func TestSource(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Outcome   imagegen.Outcome
		Billed    imagegen.Billed
		Transient bool
		Kind      imagegen.Kind
		Elsewhere bool
	}
	gone := &imagegen.Error{Kind: imagegen.KindInvalidValue, Param: "image", Message: "the image is gone"}
	fails := func(err error) adapter.SourceFunc {
		return func(context.Context, imagegen.Order) (picture.Picture, error) { return picture.Picture{}, err }
	}
	hangs := func(ctx context.Context, _ imagegen.Order) (picture.Picture, error) {
		<-ctx.Done()
		return picture.Picture{}, context.Cause(ctx)
	}
	for name, c := range map[string]struct {
		get       adapter.SourceFunc
		timeout   time.Duration
		cancelled bool
		want      verdict
		message   string
	}{
		"there is none": {nil, time.Minute, false, verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamUnavailable, true}, "not available"},
		"gone for good": {fails(gone), time.Minute, false, verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindInvalidValue, false}, "the image is gone"},
		"out of reach":  {fails(errors.New("no route to " + key)), time.Minute, false, verdict{imagegen.OutcomeNetwork, imagegen.BilledNo, true, imagegen.KindUpstreamError, false}, "the image to edit"},
		"too slow":      {hangs, time.Millisecond, false, verdict{imagegen.OutcomeTimeout, imagegen.BilledNo, true, imagegen.KindUpstreamTimeout, false}, "in time"},
		"cancelled":     {hangs, time.Minute, true, verdict{imagegen.OutcomeCancelled, imagegen.BilledNo, true, imagegen.KindUpstreamError, false}, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller := newCaller(t, adapter.Config{Name: "test", Secrets: []string{key}, Timeout: c.timeout})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancelled {
				cancel()
			}
			ctx, end := caller.WithTimeout(ctx)
			defer end()
			_, e := caller.Source(ctx, c.get, imagegen.Order{Source: "https://x.test/a.png"})
			if e == nil {
				t.Fatal("got a picture")
			}
			err := caller.Fail(e)
			got := verdict{e.Outcome, e.Billed, e.Transient, e.Kind, e.Elsewhere()}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if !strings.Contains(e.Message, c.message) || strings.Contains(err.Error(), key) {
				t.Errorf("got message %q and error %q", e.Message, err)
			}
		})
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`" Sampler not found "`: "Sampler not found",
		`[{"type":"int_parsing","loc":["body","steps"],"msg":"Input should be a valid integer","input":"x"}]`: "steps: Input should be a valid integer",
		`[{"loc":["body","a",0],"msg":"no"},{"loc":[],"msg":"neither"},{"msg":"at all"}]`:                     "0: no; neither; at all",
		`{"reason":"no"}`: "",
		`null`:            "",
		``:                "",
		`[1]`:             "",
	} {
		if got := adapter.Details([]byte(raw)); got != want {
			t.Errorf("Details(%s) = %q, want %q", raw, got, want)
		}
	}
}
