package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
)

// Repetitions are told by what an official SDK says of them, and by key, path and body.
func TestRepetitions(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, withEditor(&fakeFiles{}))
	ask := func(path, body string, headers ...string) job.New {
		t.Helper()
		if w := send(t, s, "POST", path, body, headers...); w.Code != 200 {
			t.Fatalf("%s: got %d %s", path, w.Code, w.Body)
		}
		return jobs.last(t)
	}
	const path, body, count = "/v1/images/generations", `{"prompt":"a"}`, "X-Stainless-Retry-Count"
	first := ask(path, body, count, "0")
	if first.Claim.Mode != job.ClaimFirst || first.Claim.Key == "" {
		t.Errorf("first = %+v", first)
	}
	for name, n := range map[string]job.New{
		"second": ask("/images/generations/", body, count, "1"), "third": ask(path, body, count, "2"),
	} {
		if n.Claim.Key != first.Claim.Key || n.Claim.Mode != job.ClaimRetry {
			t.Errorf("%s = %+v", name, n)
		}
	}
	for name, n := range map[string]job.New{
		"body": ask(path, `{"prompt": "a"}`, count, "1"), "path": ask("/v1/chat/completions", body, count, "1"),
		"key": ask(path, body, count, "1", "Authorization", "Bearer "+otherKey),
	} {
		if n.Claim.Key == first.Claim.Key {
			t.Errorf("another %s has the same name", name)
		}
	}
	if n := ask(path, body); n.Claim != (job.Claim{Mode: job.ClaimNothing}) {
		t.Errorf("a client that does not count = %+v", n)
	}
	type1, body1 := upload(t, smallPNG(t).Data, "prompt", "a", "model", "Editor")
	type2, body2 := upload(t, smallPNG(t).Data, "prompt", "a", "model", "Editor")
	if a, b := ask("/v1/images/edits", body1, "Content-Type", type1, count, "0"), ask("/v1/images/edits", body2, "Content-Type", type2, count, "1"); body1 == body2 || a.Claim.Key != b.Claim.Key {
		t.Error("the boundary of a form counts")
	}
}

// claimed returns what a request claims.
func claimed(t *testing.T, path, body string, headers ...string) job.Claim {
	t.Helper()
	jobs := &fakeJobs{}
	w := send(t, newServer(t, jobs, withEditor(&fakeFiles{})), "POST", path, body, headers...)
	if w.Code != 200 && w.Code != 202 {
		t.Fatalf("%s: got %d %s", path, w.Code, w.Body)
	}
	return jobs.last(t).Claim
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	const path, body, header = "/v1/images/generations", `{"prompt":"a"}`, "Idempotency-Key"
	first := claimed(t, path, body, header, "k1")
	if first.Mode != job.ClaimByKey || first.Key == "" || first.Body == "" || strings.Contains(first.Key, "k1") {
		t.Fatalf("got %+v", first)
	}
	cases := map[string]struct {
		got               job.Claim
		sameKey, sameBody bool
	}{
		"the same again":          {claimed(t, path, body, header, "k1"), true, true},
		"a path of the same call": {claimed(t, "/images/generations/", body, header, "k1"), true, true},
		"another body":            {claimed(t, path, `{"prompt": "a"}`, header, "k1"), true, false},
		"another key":             {claimed(t, path, body, header, "k2"), false, true},
		"another path":            {claimed(t, "/v1/jobs", body, header, "k1"), false, true},
		"another API key":         {claimed(t, path, body, header, "k1", "Authorization", "Bearer "+otherKey), false, true},
		"a first try that counts": {claimed(t, path, body, header, "k1", "X-Stainless-Retry-Count", "0"), true, true},
		"a retry that counts":     {claimed(t, path, body, header, "k1", "X-Stainless-Retry-Count", "1"), true, true},
	}
	for name, c := range cases {
		if c.got.Mode != job.ClaimByKey || (c.got.Key == first.Key) != c.sameKey || (c.got.Body == first.Body) != c.sameBody {
			t.Errorf("%s: got %+v, the first was %+v", name, c.got, first)
		}
	}
}

// Words that run together are not the same words.
func TestClaimsDoNotMeet(t *testing.T) {
	t.Parallel()
	const body = `{"prompt":"a"}`
	counted := claimed(t, "/v1/jobs", body, "X-Stainless-Retry-Count", "0")
	if named := claimed(t, "/v1/jobs", body, "Idempotency-Key", counted.Body); named.Key == counted.Key {
		t.Error("an idempotency key meets a body")
	}
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key    string
		status int
	}{
		"none":                            {"", 200},
		"one that fits":                   {strings.Repeat("k", 255), 200},
		"one that fits in its characters": {strings.Repeat("键", 255), 200},
		"one that does not":               {strings.Repeat("k", 256), 400},
	} {
		jobs := &fakeJobs{}
		w := send(t, newServer(t, jobs), "POST", "/v1/chat/completions", `{"prompt":"a"}`, "Idempotency-Key", c.key)
		if w.Code != c.status || (len(jobs.made) == 1) != (c.status == 200) {
			t.Errorf("%s: got %d with %d jobs", name, w.Code, len(jobs.made))
		}
		if c.status == 400 {
			wantError(t, w, 400, "invalid_value", "Idempotency-Key")
		}
	}
}

func TestRetryCounts(t *testing.T) {
	t.Parallel()
	for count, want := range map[string]job.ClaimMode{
		"": job.ClaimNothing, "0": job.ClaimFirst, "00": job.ClaimFirst, "1": job.ClaimRetry, "2": job.ClaimRetry, "10": job.ClaimRetry,
	} {
		got := claimed(t, "/v1/chat/completions", `{"prompt":"a"}`, "X-Stainless-Retry-Count", count)
		if got.Mode != want || (got.Key == "") != (want == job.ClaimNothing) {
			t.Errorf("%q: got %+v, want mode %s", count, got, want)
		}
	}
}

func TestFormsAreComparedByTheirFields(t *testing.T) {
	t.Parallel()
	png := smallPNG(t).Data
	claim := func(data []byte, fields ...string) job.Claim {
		t.Helper()
		contentType, body := upload(t, data, fields...)
		return claimed(t, "/v1/images/edits", body, "Content-Type", contentType, "Idempotency-Key", "k")
	}
	first := claim(png, "prompt", "a", "model", "Editor")
	for name, c := range map[string]struct {
		got  job.Claim
		same bool
	}{
		"another boundary":         {claim(png, "prompt", "a", "model", "Editor"), true},
		"another value":            {claim(png, "prompt", "b", "model", "Editor"), false},
		"another field":            {claim(png, "prompt", "a", "model", "Editor", "n", "1"), false},
		"another name":             {claim(png, "prompt", "a", "model", "Editor", "user", "1"), false},
		"another file":             {claim(append(slices.Clip(png), 0), "prompt", "a", "model", "Editor"), false},
		"values that change place": {claim(png, "prompt", "Editor", "model", "Editor"), false},
	} {
		if (c.got.Body == first.Body) != c.same || c.got.Key != first.Key {
			t.Errorf("%s: got %+v, the first was %+v", name, c.got, first)
		}
	}
}

// A body that is no form, whatever its type says, is compared by its bytes: two of them are not one request.
func TestWhatIsNoFormIsComparedByItsBytes(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{
		"multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x", "/;;", "",
	} {
		claim := func(body string) job.Claim {
			t.Helper()
			return claimed(t, "/v1/images/generations", body, "Content-Type", contentType, "X-Stainless-Retry-Count", "1")
		}
		first := claim(`{"prompt":"a"}`)
		if again := claim(`{"prompt":"a"}`); again != first {
			t.Errorf("%q: got %+v, then %+v", contentType, first, again)
		}
		if other := claim(`{"prompt":"b"}`); other.Key == first.Key || other.Body == first.Body {
			t.Errorf("%q: another body is the same request", contentType)
		}
	}
}

func TestRepliesToJoinedRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		joined  bool
		headers []string
		want    string
	}{
		"the first with its key":     {false, []string{"Idempotency-Key", "k"}, ""},
		"the second with its key":    {true, []string{"Idempotency-Key", "k"}, "true"},
		"a retry that counts":        {true, []string{"X-Stainless-Retry-Count", "1"}, ""},
		"a retry with key and count": {true, []string{"X-Stainless-Retry-Count", "1", "Idempotency-Key", "k"}, "true"},
		"one that repeats nothing":   {false, nil, ""},
	} {
		for path, body := range map[string]string{
			"/v1/chat/completions": `{"prompt":"a"}`, "/v1/jobs": `{"prompt":"a"}`, "/v1/images/generations": `{"prompt":"a","stream":true,"response_format":"url"}`,
		} {
			jobs := &fakeJobs{}
			if c.joined {
				jobs = joining(dogJob())
			}
			w := send(t, newServer(t, jobs), "POST", path, body, c.headers...)
			if got := w.Header().Get("Idempotent-Replayed"); got != c.want || w.Code >= 300 {
				t.Errorf("%s, %s: got %d, Idempotent-Replayed %q, want %q", name, path, w.Code, got, c.want)
			}
		}
	}
}

// An upload that came with a request that joins another's job is not kept: that job has it.
func TestUploadsOfJoinedRequestsAreDropped(t *testing.T) {
	t.Parallel()
	for name, jobs := range map[string]*fakeJobs{
		"joined":  joining(dogJob()),
		"refused": refusing(nil, &imagegen.Error{Kind: imagegen.KindKeyReused, Param: "Idempotency-Key", Message: "no"}),
	} {
		files := &fakeFiles{}
		contentType, body := upload(t, smallPNG(t).Data, "prompt", "a", "model", "Editor")
		w := send(t, newServer(t, jobs, withEditor(files)), "POST", "/v1/images/edits", body, "Content-Type", contentType, "Idempotency-Key", "k")
		if len(files.jobs) != 1 || len(files.kept) != 0 {
			t.Errorf("%s: %d uploads, of which %d are kept", name, len(files.jobs), len(files.kept))
		}
		if name == "refused" {
			wantError(t, w, http.StatusUnprocessableEntity, "idempotency_key_reused", "Idempotency-Key")
		}
	}
}
