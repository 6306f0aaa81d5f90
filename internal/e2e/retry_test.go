package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// always answers every call in the same way.
func always(b simupstream.Behaviour) func(simupstream.Request) simupstream.Behaviour {
	return func(simupstream.Request) simupstream.Behaviour { return b }
}

// once answers the first call so, later ones with a picture.
func once(b simupstream.Behaviour) func(simupstream.Request) simupstream.Behaviour {
	return func(r simupstream.Request) simupstream.Behaviour {
		if r.Call == 1 {
			return b
		}
		return simupstream.Behaviour{}
	}
}

type errorBody struct {
	Error struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    string `json:"code"`
	} `json:"error"`
}

type jobBody struct {
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
	Calls    []struct {
		Image    int    `json:"image"`
		Attempt  int    `json:"attempt"`
		Upstream string `json:"upstream"`
		Outcome  string `json:"outcome"`
		Billed   string `json:"billed"`
	} `json:"calls"`
}

// ledger is the calls of a job of one picture in short: "refused/no ok/yes".
func (g *gateway) ledger(id string) string {
	g.t.Helper()
	var j jobBody
	g.do(http.MethodGet, "/v1/jobs/"+id, nil).into(g.t, &j)
	calls := make([]string, len(j.Calls))
	for i, c := range j.Calls {
		calls[i] = c.Outcome + "/" + c.Billed
		if c.Image != 0 || c.Attempt != i+1 || c.Upstream != "exacg" {
			g.t.Errorf("call %d of the ledger is %+v", i, c)
		}
	}
	if j.Attempts != len(calls) {
		g.t.Errorf("%d attempts, and %d calls in the ledger", j.Attempts, len(calls))
	}
	return strings.Join(calls, " ")
}

// metrics scrapes a running process.
func metrics(t testing.TB, p *process) string {
	t.Helper()
	message := map[string]string{"api": "api is listening", "worker": "worker is running"}[p.name]
	resp, err := http.Get(fmt.Sprintf("http://%s/metrics", p.logged(message)["admin_address"])) //nolint:noctx // a scrape
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %d (%v)", resp.StatusCode, err)
	}
	return string(text)
}

// outcomes are the worker's upstream calls as its metrics count them, in the order of their names.
func (g *gateway) outcomes() string {
	g.t.Helper()
	var seen []string
	for line := range strings.Lines(metrics(g.t, g.worker)) {
		var outcome string
		var count int
		line = strings.NewReplacer(`"`, " ", "}", " ").Replace(line)
		if _, err := fmt.Sscanf(line, "zimage_upstream_attempts_total{outcome= %s ,upstream= exacg   %d", &outcome, &count); err == nil {
			seen = append(seen, slices.Repeat([]string{outcome}, count)...)
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, " ")
}

const (
	// accountText is what the upstream says about our account, and no client may read.
	accountText = "account 4711 of acme"
	// reason is why it refuses a prompt, which the client should read, and details what the client should not.
	reason  = "prompt not allowed"
	details = "see https://intern.example/rules?id=4 or 10.20.30.40:8080, key sk-live-abcdef0123456789abcdef "
)

// upstreamFailures is the table of what the upstream does wrong, and what the client is told and the ledger and the
// metrics keep. Each job may make two calls.
var upstreamFailures = map[string]struct {
	behave           func(simupstream.Request) simupstream.Behaviour // nil: it is not called at all
	env              []string
	status           int
	code             string
	ledger, outcomes string
}{
	"busy, then a picture":      {once(simupstream.Decline(503, "try later")), nil, 200, "", "refused/no ok/yes", "ok status"},
	"busy in words":             {once(simupstream.Decline(200, "服务器繁忙，请稍后再试")), nil, 200, "", "refused/no ok/yes", "ok rate_limited"},
	"too many, then a picture":  {once(simupstream.Decline(429, "slow down")), nil, 200, "", "refused/no ok/yes", "ok rate_limited"},
	"a reset, then a picture":   {once(simupstream.Behaviour{Fault: simupstream.FaultReset}), nil, 200, "", "unknown/unknown ok/yes", "network ok"},
	"half an answer":            {once(simupstream.Behaviour{Fault: simupstream.FaultCut}), nil, 200, "", "unknown/unknown ok/yes", "network ok"},
	"success without a picture": {once(simupstream.Behaviour{Body: `{"success":true,"data":{}}`}), nil, 200, "", "unknown/unknown ok/yes", "malformed ok"},
	"a bot wall, then a picture": {
		once(simupstream.Behaviour{Status: 403, Body: "<html><title>Just a moment...</title>", Header: http.Header{"Content-Type": {"text/html"}}}),
		nil, 200, "", "refused/no ok/yes", "ok status",
	},
	"a redirect, to itself": { // followed, it would be called more often than the ledger says
		once(simupstream.Behaviour{Status: 307, Header: http.Header{"Location": {simupstream.GeneratePath}}}),
		nil, 200, "", "refused/no ok/yes", "ok status",
	},
	"always 500":                {always(simupstream.Behaviour{Status: 500, Body: "oops"}), nil, 502, "upstream_error", "unknown/unknown unknown/unknown", "status status"},
	"always busy":               {always(simupstream.Decline(503, "try later")), nil, 502, "upstream_error", "refused/no refused/no", "status status"},
	"HTML with 200":             {always(simupstream.Behaviour{Body: "<html>hello"}), nil, 502, "upstream_error", "unknown/unknown unknown/unknown", "malformed malformed"},
	"a refusal is not repeated": {always(simupstream.Decline(400, reason+", "+details)), nil, 400, "upstream_rejected", "refused/no", "refused"},
	"a refusal with 200":        {always(simupstream.Decline(200, reason+strings.Repeat(" 不行", 300))), nil, 400, "upstream_rejected", "refused/no", "refused"},
	"our key is refused":        {always(simupstream.Decline(401, accountText)), nil, 502, "upstream_unavailable", "refused/no", "auth"},
	"our key is forbidden":      {always(simupstream.Decline(403, accountText)), nil, 502, "upstream_unavailable", "refused/no", "auth"},
	"our points are spent":      {always(simupstream.Decline(402, accountText)), nil, 502, "upstream_unavailable", "refused/no", "quota"},
	"our points, in words":      {always(simupstream.Decline(200, "积分不足 "+accountText)), nil, 502, "upstream_unavailable", "refused/no", "quota"},
	"it never answers": {
		always(simupstream.Behaviour{Fault: simupstream.FaultHang}),
		[]string{"UPSTREAM_TIMEOUT=150ms"},
		502, "upstream_timeout", "unknown/unknown unknown/unknown", "timeout timeout",
	},
	"it never answers, one try": {
		always(simupstream.Behaviour{Fault: simupstream.FaultHang}),
		[]string{"UPSTREAM_TIMEOUT=200ms", "MAX_ATTEMPTS=1"},
		502, "upstream_timeout", "unknown/unknown", "timeout",
	},
	"nobody listens": {
		nil, []string{"SD_API_URL=http://127.0.0.1:1" + simupstream.GeneratePath}, 502, "upstream_error", "failed/no failed/no", "network network",
	},
	"unknown outcomes once only": {
		always(simupstream.Behaviour{Fault: simupstream.FaultReset}),
		[]string{"RETRY_AMBIGUOUS=false"},
		502, "upstream_outcome_unknown", "unknown/unknown", "network",
	},
	"but refusals more than once": {
		once(simupstream.Decline(429, "slow down")),
		[]string{"RETRY_AMBIGUOUS=false"},
		200, "", "refused/no ok/yes", "ok rate_limited",
	},
}

func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	for name, c := range upstreamFailures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, setup{
				workerEnv: append([]string{"RETRY_BASE_DELAY=1ms", "MAX_ATTEMPTS=2"}, c.env...), upstream: simupstream.Config{Behave: c.behave},
			})
			r := g.do(http.MethodPost, "/v1/chat/completions", chat("a cat"))
			var e errorBody
			r.into(t, &e)
			if r.status != c.status || e.Error.Code != c.code {
				t.Errorf("got %d %s, want %d %s", r.status, r.body, c.status, c.code)
			}
			if got := r.header.Get("X-Should-Retry"); r.status == http.StatusBadGateway && got != "false" {
				t.Errorf("x-should-retry = %q, want false", got)
			}
			wantFitToTell(t, e)
			if got := g.ledger(r.header.Get("X-Job-Id")); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
			if got := g.outcomes(); got != c.outcomes {
				t.Errorf("metrics count %q, want %q", got, c.outcomes)
			}
			if got, want := g.upstream.Calls(), len(strings.Fields(c.ledger)); c.behave != nil && got != want {
				t.Errorf("%d upstream calls, want %d", got, want)
			}
		})
	}
}

// wantFitToTell checks that an error says why a prompt was refused, and nothing that is none of the client's business.
func wantFitToTell(t *testing.T, e errorBody) {
	t.Helper()
	if e.Error.Code == "upstream_rejected" && !strings.Contains(e.Error.Message, reason) {
		t.Errorf("the client is not told why: %q", e.Error.Message)
	}
	if n := utf8.RuneCountInString(e.Error.Message); n > 300 {
		t.Errorf("the message has %d characters, want at most 300", n)
	}
	for _, secret := range append(strings.Fields(accountText), "intern.example", "10.20.30.40", "127.0.0.1", "sk-live", "abcdef0123456789") {
		if secret != "of" && strings.Contains(e.Error.Message, secret) {
			t.Errorf("the client is told %q: %q", secret, e.Error.Message)
		}
	}
}

// A job of three pictures of which one fails brings two, and the ledger and the metrics keep all calls.
func TestPicturesThereAreAreKept(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Behave: once(simupstream.Decline(http.StatusBadRequest, "not this one"))}})
	r := g.do(http.MethodPost, "/v1/images/generations", map[string]any{"prompt": "a cat", "n": 3, "seed": 4294967295})
	var images struct {
		Data []struct {
			URL string `json:"url"`
		} `json:"data"`
	}
	r.into(t, &images)
	if r.status != http.StatusOK || len(images.Data) != 2 || images.Data[0].URL == images.Data[1].URL {
		t.Errorf("got %d %s, want the two pictures there are", r.status, r.body)
	}
	var job struct {
		jobBody

		Error json.RawMessage `json:"error"`
	}
	g.do(http.MethodGet, "/v1/jobs/"+r.header.Get("X-Job-Id"), nil).into(t, &job)
	if job.Status != "completed" || job.Attempts != 3 || !strings.Contains(string(job.Error), "not this one") {
		t.Errorf("job is %s after %d attempts with error %s, want completed after 3 and the failure named", job.Status, job.Attempts, job.Error)
	}
	ended, drawn := map[string]int{}, map[int]bool{}
	for _, c := range job.Calls {
		ended[c.Outcome+"/"+c.Billed]++
		drawn[c.Image] = true
	}
	if diff := cmp.Diff(ended, map[string]int{"ok/yes": 2, "refused/no": 1}); diff != "" || len(drawn) != 3 {
		t.Errorf("ledger of %d pictures (-got +want):\n%s", len(drawn), diff)
	}
	seeds := map[uint32]bool{}
	for _, q := range g.upstream.Requests() {
		var body struct {
			Seed uint32 `json:"seed"`
		}
		if err := json.Unmarshal(q.Raw, &body); err != nil {
			t.Fatal(err)
		}
		seeds[body.Seed] = true
	}
	if !seeds[4294967295] || !seeds[0] || !seeds[1] || len(seeds) != 3 {
		t.Errorf("seeds %v, want 4294967295, 0 and 1", seeds)
	}
	if got := g.outcomes(); got != "ok ok refused" {
		t.Errorf("metrics count %q", got)
	}
}
