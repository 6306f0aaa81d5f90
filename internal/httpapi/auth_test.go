package httpapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		headers []string // beside or in place of the test's own
		want    int
	}{
		"bearer":                           {nil, 200},
		"bearer in another case":           {[]string{"Authorization", "bEARER   " + key + " "}, 200},
		"the second key":                   {[]string{"Authorization", "Bearer " + otherKey}, 200},
		"x-api-key":                        {[]string{"Authorization", "", "X-Api-Key", key}, 200},
		"api-key":                          {[]string{"Authorization", "", "Api-Key", key}, 200},
		"an empty bearer goes on":          {[]string{"Authorization", "Bearer ", "X-Api-Key", key}, 200},
		"another scheme goes on":           {[]string{"Authorization", "Basic " + key, "X-Api-Key", key}, 200},
		"bearer wins over x-api-key":       {[]string{"Authorization", "Bearer wrong", "X-Api-Key", key}, 401},
		"x-api-key wins over api-key":      {[]string{"Authorization", "", "X-Api-Key", "wrong", "Api-Key", key}, 401},
		"no key":                           {[]string{"Authorization", ""}, 401},
		"a wrong key":                      {[]string{"Authorization", "Bearer wrong-secret"}, 401},
		"the start of a key":               {[]string{"Authorization", "Bearer " + key[:4]}, 401},
		"a key and more":                   {[]string{"Authorization", "Bearer " + key + "x"}, 401},
		"both keys as they are configured": {[]string{"Authorization", "Bearer " + key + "," + otherKey}, 401},
		"a key without a scheme":           {[]string{"Authorization", key}, 401},
		"another scheme":                   {[]string{"Authorization", "Basic " + key}, 401},
	}
	s := newServer(t, &fakeJobs{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := send(t, s, "GET", "/v1/models", "", c.headers...)
			if w.Code != c.want {
				t.Fatalf("got %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if c.want == 401 {
				wantError(t, w, 401, "invalid_api_key", "")
				if strings.Contains(w.Body.String(), "wrong") || strings.Contains(w.Body.String(), key) {
					t.Errorf("the key is repeated: %s", w.Body)
				}
			}
		})
	}
}

func TestEveryKeyIsAnOwnerOfItsOwn(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, withKeys)
	owners := map[string]bool{}
	for _, k := range []string{key, otherKey, aliceKey, key} {
		send(t, s, "POST", "/v1/jobs", `{"prompt":"a"}`, "Authorization", "Bearer "+k)
		owner := jobs.last(t).Owner
		owners[owner] = true
		digest := sha256.Sum256([]byte(k))
		if owner != hex.EncodeToString(digest[:16]) {
			t.Errorf("got owner %q", owner)
		}
	}
	if len(owners) != 3 {
		t.Errorf("got owners %v, want 3", owners)
	}
}

func TestWorkNeedsAKey(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs)
	for _, target := range []string{
		"POST /v1/chat/completions", "POST /images/generations", "POST /v1/jobs", "GET /v1/jobs/x", "GET /models", "GET /models/Z-Image",
		"DELETE /v1/jobs",
	} {
		method, path, _ := strings.Cut(target, " ")
		wantError(t, send(t, s, method, path, `{"prompt":"a"}`, "Authorization", ""), 401, "invalid_api_key", "")
	}
	if len(jobs.made) > 0 {
		t.Errorf("got jobs %v", jobs.made)
	}
}

func TestTheLastEntryOfAKeyCounts(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, func(c *httpapi.Config) {
		for _, most := range []int{3, 4} {
			k := httpapi.NewKey(key)
			k.MaxPending = most
			c.Keys = append(c.Keys, k)
		}
	})
	send(t, s, "POST", "/v1/jobs", `{"prompt":"a"}`)
	if got := jobs.last(t).Limits.MaxPending; got != 4 {
		t.Errorf("got a limit of %d, want that of the last entry", got)
	}
}

func BenchmarkFindKey(b *testing.B) {
	catalog, err := imagegen.NewCatalog([]imagegen.Model{imagegen.DefaultModel()})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 100, 10_000} {
		var keys []httpapi.Key
		for i := range n {
			keys = append(keys, httpapi.NewKey(fmt.Sprintf("sk-%026d", i)))
		}
		find, err := httpapi.KeyFinder(keys, catalog)
		if err != nil {
			b.Fatal(err)
		}
		for what, presented := range map[string]string{"known": fmt.Sprintf("sk-%026d", n/2), "unknown": "sk-none"} {
			b.Run(fmt.Sprintf("%d keys/%s", n, what), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if k := find(presented); (k != nil) != (what == "known") {
						b.Fatal(presented)
					}
				}
			})
		}
	}
}
