package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
		Outcome string `json:"outcome"`
		Billed  string `json:"billed"`
	} `json:"calls"`
}

// ledger is the job's calls in short: "refused/no ok/yes".
func (g *gateway) ledger(id string) string {
	g.t.Helper()
	var j jobBody
	g.do(http.MethodGet, "/v1/jobs/"+id, nil).into(g.t, &j)
	calls := make([]string, len(j.Calls))
	for i, c := range j.Calls {
		calls[i] = c.Outcome + "/" + c.Billed
	}
	if j.Attempts != len(calls) {
		g.t.Errorf("%d attempts, and %d calls in the ledger", j.Attempts, len(calls))
	}
	return strings.Join(calls, " ")
}

// TestUpstreamFailures is the table of what the upstream does wrong, and what the client is told and the ledger keeps.
func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	const secretText = "account 4711 of acme"
	cases := map[string]struct {
		behave func(simupstream.Request) simupstream.Behaviour
		env    []string
		status int
		code   string
		ledger string
	}{
		"busy, then a picture":        {once(simupstream.Decline(http.StatusServiceUnavailable, "try later")), nil, 200, "", "refused/no ok/yes"},
		"busy in words":               {once(simupstream.Decline(http.StatusOK, "服务器繁忙，请稍后再试")), nil, 200, "", "refused/no ok/yes"},
		"a reset, then a picture":     {once(simupstream.Behaviour{Fault: simupstream.FaultReset}), nil, 200, "", "unknown/unknown ok/yes"},
		"always 500":                  {always(simupstream.Behaviour{Status: 500, Body: "oops"}), nil, 502, "upstream_error", "unknown/unknown unknown/unknown"},
		"HTML with 200":               {always(simupstream.Behaviour{Body: "<html>hello"}), nil, 502, "upstream_error", "unknown/unknown unknown/unknown"},
		"a refusal is not repeated":   {always(simupstream.Decline(http.StatusBadRequest, "prompt not allowed")), nil, 400, "upstream_rejected", "refused/no"},
		"our key is refused":          {always(simupstream.Decline(http.StatusUnauthorized, secretText)), nil, 502, "upstream_unavailable", "refused/no"},
		"our points are spent":        {always(simupstream.Decline(http.StatusPaymentRequired, secretText)), nil, 502, "upstream_unavailable", "refused/no"},
		"it never answers":            {always(simupstream.Behaviour{Fault: simupstream.FaultHang}), []string{"UPSTREAM_TIMEOUT=150ms"}, 502, "upstream_timeout", "unknown/unknown unknown/unknown"},
		"unknown outcomes once only":  {always(simupstream.Behaviour{Fault: simupstream.FaultReset}), []string{"RETRY_AMBIGUOUS=false"}, 502, "upstream_outcome_unknown", "unknown/unknown"},
		"but refusals more than once": {once(simupstream.Decline(http.StatusTooManyRequests, "slow down")), []string{"RETRY_AMBIGUOUS=false"}, 200, "", "refused/no ok/yes"},
	}
	for name, c := range cases {
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
			if strings.Contains(string(r.body), secretText) {
				t.Errorf("the client is told of our account: %s", r.body)
			}
			if got := r.header.Get("X-Should-Retry"); r.status == http.StatusBadGateway && got != "false" {
				t.Errorf("x-should-retry = %q, want false", got)
			}
			if got := g.ledger(r.header.Get("X-Job-Id")); got != c.ledger {
				t.Errorf("ledger %q, want %q", got, c.ledger)
			}
		})
	}
}

// A job of three pictures of which one fails brings two, and the metrics count all calls.
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
	if r.status != http.StatusOK || len(images.Data) != 2 {
		t.Errorf("got %d %s, want the two pictures there are", r.status, r.body)
	}
	var job struct {
		Status string          `json:"status"`
		Error  json.RawMessage `json:"error"`
	}
	g.do(http.MethodGet, "/v1/jobs/"+r.header.Get("X-Job-Id"), nil).into(t, &job)
	if job.Status != "completed" || !strings.Contains(string(job.Error), "not this one") {
		t.Errorf("job is %s with error %s, want completed and the failure named", job.Status, job.Error)
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

	resp, err := http.Get(fmt.Sprintf("http://%s/metrics", g.worker.logged("worker is running")["admin_address"])) //nolint:noctx // a scrape
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{outcome="ok",upstream="exacg"} 2`, `{outcome="refused",upstream="exacg"} 1`} {
		if !strings.Contains(string(metrics), "zimage_upstream_attempts_total"+want) {
			t.Errorf("metrics lack zimage_upstream_attempts_total%s", want)
		}
	}
}
