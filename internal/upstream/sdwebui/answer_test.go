package sdwebui_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/sdwebui"
)

// transport answers in memory.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

// ask returns what becomes of a reply.
func ask(t *testing.T, status int, body string) (imagegen.Drawing, *imagegen.CallError) {
	t.Helper()
	client := newClient(t, sdwebui.Config{URL: "http://x.test", Transport: transport(func(*http.Request) (*http.Response, error) {
		return answer(status, body), nil
	})})
	d, err := client.Generate(t.Context(), dog)
	if err == nil {
		return d, nil
	}
	e, ok := errors.AsType[*imagegen.CallError](err)
	if !ok {
		t.Fatalf("got error %v, want a *imagegen.CallError", err)
	}
	return d, e
}

func TestPictures(t *testing.T) {
	t.Parallel()
	data, err := base64.StdEncoding.DecodeString(png)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		images, info  string
		seed          uint32
		width, height int
	}{
		"what was asked for": {`["` + png + `"]`, ``, dog.Seed, 1024, 768},
		"what was drawn":     {`["` + png + `"]`, `{"prompt":"a","seed":7,"all_seeds":[7],"subseed":3,"width":1000,"height":760,"sampler_name":"Euler","index_of_first_image":0}`, 7, 1000, 760},
		"a data URL":         {`["data:image/png;base64,` + png + `"]`, `{}`, dog.Seed, 1024, 768},
		"of several":         {`["` + png + `","aGVsbG8="]`, `{"seed":1}`, 1, 1024, 768},
		"info of no sense":   {`["` + png + `"]`, `{"seed":"x","width":-1,"height":[]}`, dog.Seed, 1024, 768},
		"a seed of no sense": {`["` + png + `"]`, `{"seed":-1,"width":512}`, dog.Seed, 1024, 768},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := json.Marshal(c.info)
			if err != nil {
				t.Fatal(err)
			}
			got, e := ask(t, http.StatusOK, `{"images":`+c.images+`,"parameters":{"prompt":"a"},"info":`+string(info)+`}`)
			if e != nil {
				t.Fatal(e)
			}
			want := imagegen.Drawing{Data: data, Seed: c.seed, Width: c.width, Height: c.height}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("drawing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Outcome   imagegen.Outcome
		Billed    imagegen.Billed
		Transient bool
		Kind      imagegen.Kind
		Message   string
	}
	const unavailable = "the image service is not available to this gateway at the moment"
	auth := verdict{imagegen.OutcomeAuth, imagegen.BilledNo, false, imagegen.KindUpstreamAccount, unavailable}
	missing := verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamUnavailable, unavailable}
	broken := verdict{imagegen.OutcomeStatus, imagegen.BilledUnknown, true, imagegen.KindUpstreamError, "the image service failed (HTTP 500)"}
	garbled := verdict{imagegen.OutcomeMalformed, imagegen.BilledUnknown, true, imagegen.KindUpstreamError, "the image service gave an answer that cannot be used"}
	refused := func(message string) verdict {
		return verdict{imagegen.OutcomeRefused, imagegen.BilledNo, false, imagegen.KindUpstreamRejected, message}
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict
	}{
		"a field":                  {422, `{"detail":[{"loc":["body","steps"],"msg":"value is not a valid integer","type":"type_error.integer"}]}`, refused("steps: value is not a valid integer")},
		"a script":                 {422, `{"error":"HTTPException","detail":"Script 'x' not found","body":"","errors":""}`, refused("Script 'x' not found")},
		"a sampler":                {400, `{"error":"HTTPException","detail":"Sampler not found","body":"","errors":""}`, refused("Sampler not found")},
		"a sampler, by Forge":      {400, `{"detail":"Sampler not found"}`, refused("Sampler not found")},
		"a sampler, earlier":       {404, `{"detail":"Sampler not found"}`, refused("Sampler not found")},
		"no image":                 {404, `{"error":"HTTPException","detail":"Init image not found","body":"","errors":""}`, refused("Init image not found")},
		"fields, with 404":         {404, `{"detail":[{"loc":["body","a"],"msg":"no such a","type":"x"}]}`, refused("a: no such a")},
		"no image, by SD.Next":     {400, `{"error":"Init image is none"}`, refused("Init image is none")},
		"words of points":          {422, `{"detail":"too many control points, try again with fewer"}`, refused("too many control points, try again with fewer")},
		"out of memory":            {500, `{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory. Tried to allocate 2.00 GiB"}`, broken},
		"any exception, by Forge":  {500, `Internal Server Error`, broken},
		"any TypeError by SD.Next": {500, `"unsupported operand"`, broken},
		"started without the API":  {404, `{"detail":"Not Found"}`, missing},
		"without it, by A1111":     {404, `{"error":"HTTPException","detail":"Not Found","body":"","errors":""}`, missing},
		"a method, with 404":       {404, `{"detail":"Method Not Allowed"}`, missing},
		"an error of another's":    {404, `{"error":"no such route"}`, missing},
		"a text of another's":      {404, `"not here"`, missing},
		"no detail":                {404, `{"detail":null}`, missing},
		"a method, in other words": {405, `{"detail":"POST is not for this"}`, missing},
		"a page of something else": {404, `<html>404</html>`, missing},
		"a page for reading":       {405, `{"detail":"Method Not Allowed"}`, missing},
		"a login":                  {401, `{"error":"HTTPException","detail":"Incorrect username or password","body":"","errors":""}`, auth},
		"no images":                {200, `{"images":[],"parameters":{},"info":"{}"}`, garbled},
		"images of null":           {200, `{"images":null,"parameters":{},"info":""}`, garbled},
		"an image of null":         {200, `{"images":[null],"info":""}`, garbled},
		"an image that is none":    {200, `{"images":["aGVsbG8gd29ybGQ="],"info":""}`, garbled},
		"an image by its path":     {200, `{"images":["/outputs/00001.png"],"info":""}`, garbled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, e := ask(t, c.status, c.body)
			if e == nil {
				t.Fatal("got a picture, want a failure")
			}
			got := verdict{e.Outcome, e.Billed, e.Transient, e.Kind, e.Message}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", e, diff)
			}
		})
	}
}
