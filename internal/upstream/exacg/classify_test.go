package exacg_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/exacg"
)

// answers is a transport that always gives the same answer.
type answers struct {
	status int
	header http.Header
	body   string
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	header := a.header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

// ask returns what becomes of an answer.
func ask(t *testing.T, a answers, o imagegen.Order) (imagegen.Drawing, *imagegen.CallError) {
	t.Helper()
	client := newClient(t, exacg.Config{URL: "http://upstream.test/", APIKey: key, Transport: a})
	picture, err := client.Generate(t.Context(), o)
	if err == nil {
		return picture, nil
	}
	e, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		t.Fatalf("got error %v, want a *imagegen.CallError", err)
	}
	return picture, e
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Outcome   imagegen.Outcome
		Billed    imagegen.Billed
		Transient bool
		Kind      imagegen.Kind
		Doubtful  bool
		Message   string
	}
	const account = "the image service is not available to this gateway at the moment"
	quota := verdict{imagegen.OutcomeQuota, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, false, account}
	said := verdict{imagegen.OutcomeQuota, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, true, account} // in words alone
	auth := verdict{imagegen.OutcomeAuth, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, false, account}
	busy := verdict{imagegen.OutcomeRateLimited, imagegen.BilledNo, true, imagegen.KindUpstreamError, false, "the image service is busy"}
	garbled := verdict{imagegen.OutcomeMalformed, imagegen.BilledUnknown, true, imagegen.KindUpstreamError, false, "the image service gave an answer that cannot be used"}
	refused := func(message string) verdict {
		return verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamRejected, false, message}
	}
	failed := func(billed imagegen.Billed, message string) verdict {
		return verdict{imagegen.OutcomeStatus, billed, true, imagegen.KindUpstreamError, false, message}
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict
	}{
		"declined at 200":               {200, `{"success":false,"error":"NSFW prompt"}`, refused("NSFW prompt")},
		"declined in the message field": {200, `{"success":false,"message":"提示词违规"}`, refused("提示词违规")},
		"declined in both":              {400, `{"success":false,"error":"Bad Request","message":"prompt is too long"}`, refused("Bad Request: prompt is too long")},
		"both say the same":             {400, `{"success":false,"error":"too long","message":"too long"}`, refused("too long")},
		"the error is an object":        {422, `{"success":false,"error":{"code":7,"message":"bad size"}}`, refused("bad size")},
		"the fields have wrong types":   {200, `{"success":false,"error":[1],"message":{"a":2},"data":"x"}`, refused("the image service refused the request")},
		"success is a word":             {200, `{"success":"false","error":"no"}`, refused("no")},
		"no success field but an error": {200, `{"error":"model is gone"}`, refused("model is gone")},
		"404 page":                      {404, `<html>nothing here</html>`, refused("the image service refused the request")},
		"busy at 200":                   {200, `{"success":false,"error":"Server BUSY"}`, busy},
		"try again at 200":              {200, `{"success":false,"message":"please try again"}`, busy},
		"too many at 400":               {400, `{"success":false,"error":"Too many tasks"}`, busy},
		"rate limit at 200":             {200, `{"success":false,"error":"rate limit quota reached"}`, busy},
		"繁忙 at 200":                     {200, `{"success":false,"error":"系统繁忙"}`, busy},
		"稍后 at 500":                     {500, `{"success":false,"error":"请稍后"}`, busy},
		"排队 at 200":                     {200, `{"success":false,"error":"排队中"}`, busy},
		"429 about a quota":             {429, `{"success":false,"error":"quota"}`, busy},
		"points at 200":                 {200, `{"success":false,"error":"Insufficient points: 3 left"}`, said},
		"points at 400":                 {400, `{"success":false,"error":"remaining_points is 0"}`, said},
		"积分 and 稍后":                     {200, `{"success":false,"error":"积分不足，请充值后稍后再试"}`, said},
		"余额":                            {403, `{"success":false,"error":"余额不足"}`, auth},
		"点数不足":                          {200, `{"success":false,"message":"点数不足"}`, said},
		"not enough credits":            {402, `{"detail":1}`, quota},
		"401 that says busy":            {401, `{"success":false,"error":"busy"}`, auth},
		"401 page":                      {401, `<html></html>`, auth},
		"403 with text":                 {403, `Forbidden`, failed(imagegen.BilledNo, "the image service failed (HTTP 403)")},
		"500 that declines":             {500, `{"success":false,"error":"boom"}`, failed(imagegen.BilledNo, "the image service failed (HTTP 500)")},
		"500 that says nothing":         {500, ``, failed(imagegen.BilledUnknown, "the image service failed (HTTP 500)")},
		"503 page":                      {503, `<html></html>`, failed(imagegen.BilledNo, "the image service failed (HTTP 503)")},
		"598":                           {598, ``, failed(imagegen.BilledUnknown, "the image service failed (HTTP 598)")},
		"204":                           {204, ``, failed(imagegen.BilledUnknown, "the image service failed (HTTP 204)")},
		"302":                           {302, ``, failed(imagegen.BilledUnknown, "the image service failed (HTTP 302)")},
		"308":                           {308, ``, failed(imagegen.BilledNo, "the image service failed (HTTP 308)")},
		"a picture with 500":            {500, `{"success":true,"data":{"image_url":"https://x.test/a.png"}}`, failed(imagegen.BilledUnknown, "the image service failed (HTTP 500)")},
		"a picture without success":     {200, `{"message":"ok","data":{"image_url":"https://x.test/a.png"}}`, garbled},
		"success without data":          {200, `{"success":true}`, garbled},
		"success with null data":        {200, `{"success":true,"data":null,"error":"x"}`, garbled},
		"success with a list of data":   {200, `{"success":true,"data":[{"image_url":"https://x.test/a.png"}]}`, garbled},
		"the address is a number":       {200, `{"success":true,"data":{"image_url":1}}`, garbled},
		"two values":                    {200, `{"success":true,"data":{"image_url":"https://x.test/a.png"}}{}`, garbled},
		"null":                          {200, `null`, garbled},
		"neither success nor failure":   {200, `{}`, garbled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, e := ask(t, answers{status: c.status, body: c.body}, dog)
			if e == nil {
				t.Fatal("got a picture, want a failure")
			}
			got := verdict{e.Outcome, e.Billed, e.Transient, e.Kind, e.Doubtful, e.Message}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", e, diff)
			}
		})
	}
}

func TestAnEchoedPromptDecidesNothing(t *testing.T) {
	t.Parallel()
	negative := "too many fingers, blurry"
	o := imagegen.Order{Prompt: "a busy street, points of light", NegativePrompt: &negative, Width: 64, Height: 64, Steps: 1}
	_, e := ask(t, answers{status: 200, body: `{"success":false,"error":"not allowed: a busy street, points of light (too many fingers, blurry)"}`}, o)
	if e == nil || e.Outcome != imagegen.OutcomeRefused {
		t.Errorf("got %v, want a refusal", e)
	}
	o.Extra = map[string]json.RawMessage{"style": []byte(`"balance"`)}
	_, e = ask(t, answers{status: 400, body: `{"success":false,"error":"unknown style 'balance'"}`}, o)
	if e == nil || e.Outcome != imagegen.OutcomeRefused || e.Message != "unknown style 'balance'" {
		t.Errorf("got %v, want a refusal", e)
	}
}

func TestDrawing(t *testing.T) {
	t.Parallel()
	const start = `{"success":true,"data":{"image_url":"https://x.test/图片.png"`
	for name, c := range map[string]struct {
		data       string
		used, left *float64
	}{
		"no points":             {"", nil, nil},
		"numbers":               {`,"points_used":3,"remaining_points":12.5`, new(3.0), new(12.5)},
		"numbers in strings":    {`,"points_used":" 3 ","remaining_points":"1e3"`, new(3.0), new(1000.0)},
		"words":                 {`,"points_used":"many","remaining_points":"Infinity"`, nil, nil},
		"values of other types": {`,"points_used":null,"remaining_points":[1]`, nil, nil},
		"a number out of range": {`,"points_used":1e999,"remaining_points":true`, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, e := ask(t, answers{status: 200, body: start + c.data + `}}`}, dog)
			if e != nil {
				t.Fatal(e)
			}
			want := imagegen.Drawing{
				URL: "https://x.test/图片.png", Seed: dog.Seed, Width: dog.Width, Height: dog.Height, PointsUsed: c.used, PointsLeft: c.left,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("drawing (-want +got):\n%s", diff)
			}
		})
	}
}
