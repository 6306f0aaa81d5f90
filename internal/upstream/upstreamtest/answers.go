package upstreamtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// answers are complete HTTP answers of every kind.
func (p Protocol) answers(t *testing.T) {
	t.Parallel()
	t.Run("a redirect is not followed", func(t *testing.T) {
		t.Parallel()
		var followed atomic.Bool
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			followed.Store(true)
			p.succeed(w)
		}))
		t.Cleanup(elsewhere.Close)
		_, err := p.call(t, ample, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		})
		check(t, err, want{Outcome: imagegen.OutcomeStatus, Billed: imagegen.BilledNo, Transient: true, Kind: imagegen.KindUpstreamError})
		if followed.Load() {
			t.Error("the redirect was followed")
		}
	})
	t.Run("a refusal's message is for the client and short", func(t *testing.T) {
		t.Parallel()
		_, err := p.call(t, ample, func(w http.ResponseWriter, _ *http.Request) {
			p.Decline(w, http.StatusBadRequest, "提示词过长 "+strings.Repeat("很长", 400))
		})
		check(t, err, refused)
		e := callError(t, err)
		if got := utf8.RuneCountInString(e.Message); got > 300 || !strings.HasPrefix(e.Message, "提示词过长") {
			t.Errorf("got %d characters, want at most 300 of the upstream's message: %q", got, e.Message)
		}
	})
	t.Run("a refusal that is too long to read", func(t *testing.T) {
		t.Parallel()
		_, err := p.call(t, ample, func(w http.ResponseWriter, _ *http.Request) {
			p.Decline(w, http.StatusBadRequest, strings.Repeat("no ", 1<<20))
		})
		check(t, err, refused)
		if e := callError(t, err); strings.Contains(e.Message, "no no") {
			t.Errorf("got message %q, want one of our own", e.Message)
		}
	})
	t.Run("a refusal that repeats the request", func(t *testing.T) {
		t.Parallel()
		asked := p
		asked.Order.Prompt = "quota"
		asked.Order.Extra = map[string]json.RawMessage{"style": json.RawMessage(`{"named":["balance"]}`)}
		_, err := asked.call(t, ample, func(w http.ResponseWriter, _ *http.Request) {
			p.Decline(w, http.StatusBadRequest, `no style 'balance' for the prompt "quota"`)
		})
		check(t, err, refused)
	})
	for name, c := range p.statuses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := p.call(t, ample, c.answer)
			check(t, err, c.want)
		})
	}
}

var (
	refused = want{Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamRejected}
	garbled = want{Outcome: imagegen.OutcomeMalformed, Billed: imagegen.BilledUnknown, Transient: true, Kind: imagegen.KindUpstreamError}
)

type statusCase struct {
	answer http.HandlerFunc
	want   want
}

func (p Protocol) statuses() map[string]statusCase {
	decline := func(status int, message string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			p.Decline(w, status, message)
		}
	}
	page := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	later := func(o imagegen.Outcome, b imagegen.Billed) want {
		return want{Outcome: o, Billed: b, Transient: true, Kind: imagegen.KindUpstreamError}
	}
	account := func(o imagegen.Outcome) want {
		return want{Outcome: o, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount, Elsewhere: true}
	}
	limited := later(imagegen.OutcomeRateLimited, imagegen.BilledNo)
	limited.RetryAfter = 7 * time.Second
	missing := func(lacks bool) want {
		w := refused
		if lacks {
			w.Kind, w.Elsewhere = imagegen.KindUpstreamUnavailable, true
		}
		return w
	}
	pointless := refused
	if p.SaysPoints {
		pointless = account(imagegen.OutcomeQuota)
		pointless.Doubtful = true
	}
	const html = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>checking</body></html>"
	return map[string]statusCase{
		"400":                  {decline(400, "the prompt is not allowed"), refused},
		"400 about points":     {decline(400, "insufficient points"), pointless},
		"404":                  {decline(404, "no such model"), missing(p.LacksModel)},
		"404 page":             {page(404, html), missing(p.LacksEndpoint)},
		"422":                  {decline(422, "bad size"), refused},
		"401":                  {decline(401, "invalid key"), account(imagegen.OutcomeAuth)},
		"403":                  {decline(403, "forbidden"), account(imagegen.OutcomeAuth)},
		"402":                  {decline(402, "payment required"), account(imagegen.OutcomeQuota)},
		"429 with Retry-After": {decline(429, "slow down", "Retry-After", "7"), limited},
		"408":                  {decline(408, "late"), later(imagegen.OutcomeStatus, imagegen.BilledNo)},
		"425":                  {decline(425, "early"), later(imagegen.OutcomeStatus, imagegen.BilledNo)},
		"503":                  {decline(503, "down"), later(imagegen.OutcomeStatus, imagegen.BilledNo)},
		"500 page":             {page(500, html), later(imagegen.OutcomeStatus, imagegen.BilledUnknown)},
		"502 page":             {page(502, html), later(imagegen.OutcomeStatus, imagegen.BilledUnknown)},
		"504 page":             {page(504, html), later(imagegen.OutcomeStatus, imagegen.BilledUnknown)},
		"520 page":             {page(520, html), later(imagegen.OutcomeStatus, imagegen.BilledUnknown)},
		"529 page":             {page(529, html), later(imagegen.OutcomeStatus, imagegen.BilledUnknown)},
		"bot wall":             {page(403, html), later(imagegen.OutcomeStatus, imagegen.BilledNo)},
		"page with 200":        {page(200, html), garbled},
		"empty body":           {page(200, ""), garbled},
		"half a JSON":          {page(200, `{"success": tr`), garbled},
		"wrong JSON":           {page(200, `[1, "two", null]`), garbled},
		"an object of nothing": {page(200, `{}`), garbled},
		"too large a body":     {page(200, strings.Repeat(" ", p.MaxReply)+`{}`), garbled},
	}
}
