package e2e_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// An SDK's own retry gets what became of the job; a call that only looks the same is another one.
func TestRetriesOfOneCall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{upstream: simupstream.Config{Behave: byPrompt}})
	other := g.beside()
	call := func(api *gateway, path, prompt, count string) reply {
		t.Helper()
		header := map[string]string{}
		if count != "" {
			header["X-Stainless-Retry-Count"] = count
		}
		return api.must(http.MethodPost, path, map[string]string{"prompt": prompt}, header)
	}
	const path = "/v1/images/generations"

	t.Run("of a failed job", func(t *testing.T) {
		t.Parallel()
		first, again := call(g, path, "refuse once", "0"), call(other, path, "refuse once", "1")
		if again.status != http.StatusBadRequest || again.code(t) != "upstream_rejected" || again.jobID() != first.jobID() || g.drawn("refuse once") != 1 {
			t.Errorf("got %d %s of %s after %d upstream calls, want the failure of %s", again.status, again.body, again.jobID(), g.drawn("refuse once"), first.jobID())
		}
	})
	t.Run("of a cancelled job", func(t *testing.T) {
		t.Parallel()
		first := call(g, "/v1/jobs", "a slow one", "0")
		g.must(http.MethodPost, "/v1/jobs/"+first.jobID()+"/cancel", nil, nil)
		again := call(other, "/v1/jobs", "a slow one", "1")
		if again.status != http.StatusAccepted || again.jobID() == first.jobID() {
			t.Errorf("got %d %s, want a new job", again.status, again.body)
		}
		if third := call(g, "/v1/jobs", "a slow one", "2"); third.jobID() != again.jobID() {
			t.Errorf("the next retry got %s, want %s", third.jobID(), again.jobID())
		}
	})
	t.Run("of the newest", func(t *testing.T) {
		t.Parallel()
		first, second := call(g, path, "twice", "0"), call(other, path, "twice", "0")
		again := call(g, path, "twice", "1")
		if first.jobID() == second.jobID() || again.jobID() != second.jobID() || !bytes.Equal(again.body, second.body) {
			t.Errorf("jobs %s and %s, and the retry got that of %s", first.jobID(), second.jobID(), again.jobID())
		}
	})
	t.Run("without the header", func(t *testing.T) {
		t.Parallel()
		first, second := call(g, path, "plain", ""), call(g, path, "plain", "")
		if first.status != http.StatusOK || second.status != http.StatusOK || first.jobID() == second.jobID() || g.drawn("plain") != 2 {
			t.Errorf("jobs %s and %s after %d upstream calls, want two", first.jobID(), second.jobID(), g.drawn("plain"))
		}
	})
	t.Run("of nothing", func(t *testing.T) {
		t.Parallel()
		if r := call(g, path, "lost on the way", "1"); r.status != http.StatusOK {
			t.Errorf("got %d %s, want a picture", r.status, r.body)
		}
		if r := call(g, path, "lost on the way, too", "1"); r.status != http.StatusOK || g.drawn("lost on the way, too") != 1 {
			t.Errorf("got %d %s, want a picture", r.status, r.body)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		ids := map[string]int{}
		for _, r := range atOnce(t, 20, path, `{"prompt":"stampede"}`, map[string]string{"X-Stainless-Retry-Count": "1"}, g, other) {
			if r.status != http.StatusOK {
				t.Errorf("got %d %s", r.status, r.body)
			}
			ids[r.jobID()]++
		}
		if len(ids) != 1 || g.drawn("stampede") != 1 {
			t.Errorf("jobs %v after %d upstream calls, want one", ids, g.drawn("stampede"))
		}
	})
}
