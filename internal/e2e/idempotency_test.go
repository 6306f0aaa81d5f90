package e2e_test

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

func keyed(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }

// code returns the code of an error reply.
func (r reply) code(t testing.TB) string {
	t.Helper()
	var e errorBody
	r.into(t, &e)
	return e.Error.Code
}

func (r reply) jobID() string { return r.header.Get("X-Job-Id") }

func (r reply) replayed() bool { return r.header.Get("Idempotent-Replayed") == "true" }

// atOnce makes the same POST n times at the same moment, at one API process after the other.
func atOnce(t *testing.T, n int, path, body string, header map[string]string, apis ...*gateway) []reply {
	t.Helper()
	start, done := make(chan struct{}), make(chan later, n)
	for i := range n {
		g := apis[i%len(apis)]
		go func() {
			<-start
			r, err := g.post(context.Background(), path, []byte(body), header)
			done <- later{r, err}
		}()
	}
	close(start)
	replies := make([]reply, 0, n)
	for range n {
		replies = append(replies, answer(t, done))
	}
	return replies
}

// Fifty requests with one key, at the same moment at two API processes, are one job and one picture.
func TestManyWithOneIdempotencyKey(t *testing.T) {
	t.Parallel()
	const n = 50
	g := newGateway(t, setup{upstream: simupstream.Config{Latency: 500 * time.Millisecond}})
	other := g.beside()
	for name, c := range map[string]struct {
		path   string
		status int
	}{
		"waiting":  {"/v1/images/generations", http.StatusOK},
		"as a job": {"/v1/jobs", http.StatusAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, bodies, replayed := map[string]int{}, map[string]int{}, 0
			for _, r := range atOnce(t, n, c.path, `{"prompt":"`+name+`"}`, keyed("k"), g, other) {
				if r.status != c.status {
					t.Errorf("got %d %s", r.status, r.body)
				}
				ids[r.jobID()]++
				bodies[string(r.body)]++
				if r.replayed() {
					replayed++
				}
			}
			if len(ids) != 1 || replayed != n-1 {
				t.Errorf("%d jobs, %d replies replayed; want 1 and %d", len(ids), replayed, n-1)
			}
			if c.status == http.StatusOK && len(bodies) != 1 {
				t.Errorf("different replies: %v", bodies)
			}
			calls := 0
			for id := range ids {
				g.becomes(id, "completed")
			}
			for _, r := range g.upstream.Requests() {
				if r.Body.Prompt == name {
					calls++
				}
			}
			if calls != 1 {
				t.Errorf("%d upstream calls, want 1", calls)
			}
		})
	}
}

// What a key stands for: one body at one path, whatever became of its job.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{workerEnv: []string{"MAX_ATTEMPTS=1"}, upstream: simupstream.Config{Behave: func(r simupstream.Request) simupstream.Behaviour {
		if strings.Contains(r.Body.Prompt, "break") {
			return simupstream.Behaviour{Status: http.StatusInternalServerError, Body: "oops"}
		}
		return byPrompt(r)
	}}})
	other := g.beside()
	const path = "/v1/images/generations"
	prompt := func(p string) map[string]string { return map[string]string{"prompt": p} }

	t.Run("another body", func(t *testing.T) {
		t.Parallel()
		first := g.must(http.MethodPost, path, prompt("a cat"), keyed("body"))
		if r := other.must(http.MethodPost, path, prompt("a dog"), keyed("body")); r.status != http.StatusUnprocessableEntity || r.code(t) != "idempotency_key_reused" {
			t.Errorf("got %d %s", r.status, r.body)
		}
		again := other.must(http.MethodPost, path, prompt("a cat"), keyed("body"))
		if again.status != http.StatusOK || !again.replayed() || again.jobID() != first.jobID() || !bytes.Equal(again.body, first.body) {
			t.Errorf("got %d %s, want what the first got: %s", again.status, again.body, first.body)
		}
		if r := other.must(http.MethodPost, "/v1/jobs", prompt("a dog"), keyed("body")); r.status != http.StatusAccepted || r.replayed() {
			t.Errorf("at another path the key is another, got %d %s", r.status, r.body)
		}
	})
	for name, c := range map[string]struct {
		status int
		code   string
	}{
		"please refuse this": {http.StatusBadRequest, "upstream_rejected"},
		"please break":       {http.StatusBadGateway, "upstream_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := g.must(http.MethodPost, path, prompt(name), keyed(name))
			for _, api := range []*gateway{g, other} {
				r := api.must(http.MethodPost, path, prompt(name), keyed(name))
				if r.status != c.status || r.code(t) != c.code || !r.replayed() || r.jobID() != first.jobID() || first.replayed() {
					t.Errorf("got %d %s, replayed: %t; want that of %s", r.status, r.body, r.replayed(), first.body)
				}
			}
			if n := g.drawn(name); n != 1 {
				t.Errorf("%d upstream calls, want 1", n)
			}
		})
	}
	t.Run("refused as invalid", func(t *testing.T) {
		t.Parallel()
		if r := g.must(http.MethodPost, path, map[string]any{"prompt": "a cat", "n": 11}, keyed("invalid")); r.status != http.StatusBadRequest {
			t.Errorf("got %d %s", r.status, r.body)
		}
		if r := other.must(http.MethodPost, path, prompt("a cat"), keyed("invalid")); r.status != http.StatusOK || r.replayed() {
			t.Errorf("got %d %s, replayed: %t; want a picture of its own", r.status, r.body, r.replayed())
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		first := g.must(http.MethodPost, "/v1/jobs", prompt("a slow one"), keyed("cancelled"))
		g.must(http.MethodPost, "/v1/jobs/"+first.jobID()+"/cancel", nil, nil)
		again := other.must(http.MethodPost, "/v1/jobs", prompt("a slow one"), keyed("cancelled"))
		var j jobView
		again.into(t, &j)
		if again.status != http.StatusAccepted || !again.replayed() || j.ID != first.jobID() || j.Status != "cancelled" {
			t.Errorf("got %d %s", again.status, again.body)
		}
	})
	// Nobody will ever answer for the first job: after a while the key is free.
	t.Run("forgotten", func(t *testing.T) {
		t.Parallel()
		first := g.must(http.MethodPost, path, prompt("a cat"), keyed("forgotten"))
		if r := g.must(http.MethodDelete, "/v1/jobs/"+first.jobID(), nil, nil); r.status != http.StatusNoContent {
			t.Fatalf("delete: %d %s", r.status, r.body)
		}
		ids := map[string]bool{}
		for _, r := range atOnce(t, 10, path, `{"prompt":"a cat"}`, keyed("forgotten"), g, other) {
			if r.status != http.StatusOK {
				t.Errorf("got %d %s", r.status, r.body)
			}
			ids[r.jobID()] = true
		}
		if len(ids) != 1 || ids[first.jobID()] {
			t.Errorf("ten requests made the jobs %v, want one that is not %s", ids, first.jobID())
		}
	})
}

// drawn counts the upstream calls for a prompt.
func (g *gateway) drawn(prompt string) (n int) {
	for _, r := range g.upstream.Requests() {
		if r.Body.Prompt == prompt {
			n++
		}
	}
	return n
}

// Forms are compared by their fields: clients draw a new boundary for each try.
func TestIdempotencyKeyOfAForm(t *testing.T) {
	t.Parallel()
	env := []string{configFile(t, editModels), "IMAGE_STORE_URL=file://" + t.TempDir(), "ALLOW_PRIVATE_ADDRESSES=true"}
	g := newGateway(t, setup{apiEnv: env, workerEnv: env})
	other := g.beside()
	edit := func(api *gateway, prompt string, header map[string]string) (r reply, boundary string) {
		t.Helper()
		body, contentType, err := encodeForm([]formField{
			{Name: "model", Value: "Qwen-Image-Edit"}, {Name: "prompt", Value: prompt}, {Name: "image", File: "png", Filename: "a.png", Type: "image/png"},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{"Content-Type": contentType}
		maps.Copy(all, header)
		if r, err = api.post(t.Context(), "/v1/images/edits", body, all); err != nil {
			t.Fatal(err)
		}
		return r, contentType
	}
	retry := func(count string) map[string]string { return map[string]string{"X-Stainless-Retry-Count": count} }
	for name, c := range map[string]struct{ first, again map[string]string }{
		"a key":          {keyed("form"), keyed("form")},
		"a client's own": {retry("0"), retry("1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, boundary := edit(g, name, c.first)
			again, another := edit(other, name, c.again)
			if boundary == another {
				t.Fatal("the boundary is the same")
			}
			if first.status != http.StatusOK || again.status != http.StatusOK || first.jobID() != again.jobID() || g.drawn(name) != 1 {
				t.Errorf("got %d %s and %d %s after %d upstream calls", first.status, first.body, again.status, again.body, g.drawn(name))
			}
		})
	}
	edit(g, "one", keyed("other"))
	if r, _ := edit(other, "two", keyed("other")); r.status != http.StatusUnprocessableEntity {
		t.Errorf("another field: got %d %s", r.status, r.body)
	}
}
