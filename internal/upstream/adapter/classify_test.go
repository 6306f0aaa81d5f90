package adapter_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		status   int
		header   string
		from, to time.Duration
	}{
		"seconds":                {429, "12", 12 * time.Second, 12 * time.Second},
		"with spaces":            {503, " 3 ", 3 * time.Second, 3 * time.Second},
		"a date":                 {503, in(9 * time.Minute), time.Minute, 9 * time.Minute},
		"a past date":            {503, in(-time.Minute), 0, 0},
		"an hour":                {429, "3600", 10 * time.Minute, 10 * time.Minute},
		"a far date":             {429, in(48 * time.Hour), 10 * time.Minute, 10 * time.Minute},
		"the largest number":     {429, "18446744073709551615", 10 * time.Minute, 10 * time.Minute},
		"negative":               {429, "-5", 0, 0},
		"nonsense":               {429, "soon", 0, 0},
		"none":                   {429, "", 0, 0},
		"of a refusal for good":  {400, "12", 0, 0},
		"of an unusable picture": {200, "12", 12 * time.Second, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := classify(t, adapter.Reply{Status: c.status, Header: http.Header{"Retry-After": {c.header}}}, adapter.Answer{JSON: true, Unusable: errors.New("no picture")})
			if e == nil || e.RetryAfter < c.from || e.RetryAfter > c.to {
				t.Errorf("got %v, want a pause of %v to %v", e, c.from, c.to)
			}
		})
	}
}
