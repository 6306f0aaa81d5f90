package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

const (
	aliceKey = "sk-alice" // may use Second and its aliases, and Editor 2
	bobKey   = "sk-bob"   // may use Second alone
)

// withKeys offers four models, of which alice and bob may use some.
func withKeys(c *httpapi.Config) {
	var models []imagegen.Model
	for i, id := range []string{"First", "Editor 1", "Second", "Editor 2"} {
		m := imagegen.DefaultModel()
		m.ID, m.ModelIndex, m.Edit = id, i, strings.HasPrefix(id, "Editor")
		m.Aliases = []string{"alias of " + id}
		models = append(models, m)
	}
	var err error
	if c.Catalog, err = imagegen.NewCatalog(models); err != nil {
		panic(err)
	}
	named := func(name, plain string, models ...string) httpapi.Key {
		return httpapi.Key{Name: name, Digest: sha256.Sum256([]byte(plain)), Models: models}
	}
	c.Keys = []httpapi.Key{
		httpapi.NewKey(key), named("alice", aliceKey, "ALIAS OF second", "editor 2"), named("bob", bobKey, "Second"), httpapi.NewKey(otherKey),
	}
}

func TestModelsOfAKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, withKeys)
	for name, c := range map[string]struct {
		key  string
		want []string
	}{
		"a key without a list": {key, []string{
			"First", "alias of First", "Editor 1", "alias of Editor 1", "Second", "alias of Second", "Editor 2", "alias of Editor 2",
		}},
		"a key for two": {aliceKey, []string{"Second", "alias of Second", "Editor 2", "alias of Editor 2"}},
		"a key for one": {bobKey, []string{"Second", "alias of Second"}},
	} {
		var list openai.ModelList
		w := send(t, s, "GET", "/v1/models", "", "Authorization", "Bearer "+c.key)
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s (%v)", name, w.Code, w.Body, err)
		}
		var got []string
		for _, m := range list.Data {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(got, c.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
	for path, status := range map[string]int{
		"second": 200, "Alias%20of%20Second": 200, "First": 403, "alias%20of%20FIRST": 403, "Editor%202": 403, "nope": 404,
	} {
		w := send(t, s, "GET", "/v1/models/"+path, "", "X-Api-Key", bobKey, "Authorization", "")
		switch status {
		case 403:
			if got := wantError(t, w, 403, "model_not_allowed", "model"); !strings.Contains(got, "may not use") || strings.Contains(got, "bob") {
				t.Errorf("%s: got %q", path, got)
			}
		case 404:
			wantError(t, w, 404, "model_not_found", "model")
		default:
			if w.Code != status {
				t.Errorf("%s: got %d, want %d", path, w.Code, status)
			}
		}
	}
}

// Whatever the endpoint, a key orders from the models that it may use.
func TestOrdersOfAKey(t *testing.T) {
	t.Parallel()
	const chats, generations, edits, responses, jobsPath = "/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/responses", "/v1/jobs"
	const picture = `"image":"https://img.example/b.png"`
	const titleChat = `"messages":[{"role":"user","content":"` + title + `"}]`
	for name, c := range map[string]struct {
		key, path, body string
		want            string // the job's model, or what the reply holds where none is made; empty: refused with 403
	}{
		"nothing said, all allowed":       {key, generations, `{"prompt":"a"}`, "First"},
		"nothing said":                    {aliceKey, generations, `{"prompt":"a"}`, "Second"},
		"nothing said, in a chat":         {aliceKey, chats, `{"prompt":"a"}`, "Second"},
		"nothing said, in a response":     {aliceKey, responses, `{"input":"a"}`, "Second"},
		"nothing said, in a job":          {aliceKey, jobsPath, `{"prompt":"a"}`, "Second"},
		"nothing said, to edit":           {aliceKey, edits, `{"prompt":"a",` + picture + `}`, "Editor 2"},
		"nothing said, all may be edited": {key, edits, `{"prompt":"a",` + picture + `}`, "Editor 1"},
		"an alias of an allowed one":      {bobKey, generations, `{"prompt":"a","model":"alias of second"}`, "Second"},
		"an allowed one, for pictures":    {bobKey, chats, `{"prompt":"a","model":"Second:image"}`, "Second"},
		"another":                         {bobKey, generations, `{"prompt":"a","model":"First"}`, ""},
		"another's alias":                 {bobKey, generations, `{"prompt":"a","model":"alias of First"}`, ""},
		"another, in a chat":              {bobKey, chats, `{"prompt":"a","model":"First"}`, ""},
		"another, for pictures":           {bobKey, chats, `{"prompt":"a","model":"First:image"}`, ""},
		"another, streamed":               {bobKey, chats, `{"prompt":"a","model":"First","stream":true}`, ""},
		"another, in a response":          {bobKey, responses, `{"input":"a","model":"First"}`, ""},
		"another, in a job":               {bobKey, jobsPath, `{"prompt":"a","model":"First"}`, ""},
		"another, to edit":                {bobKey, edits, `{"prompt":"a","model":"Editor 1",` + picture + `}`, ""},
		"a title":                         {bobKey, chats, `{` + titleChat + `}`, `"model":"Second"`},
		"a title of another":              {bobKey, chats, `{"model":"First",` + titleChat + `}`, ""},
		"a title of another, streamed":    {bobKey, chats, `{"model":"First","stream":true,` + titleChat + `}`, ""},
		"a response's title of another":   {bobKey, responses, `{"model":"First","input":"` + title + `"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			w := send(t, newServer(t, jobs, withKeys, withPictures(t)), "POST", c.path, c.body, "Authorization", "Bearer "+c.key)
			switch {
			case c.want == "":
				wantError(t, w, 403, "model_not_allowed", "model")
				if len(jobs.made) != 0 {
					t.Errorf("a job was made: %v", jobs.made)
				}
			case strings.HasPrefix(c.want, `"`):
				if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) || len(jobs.made) != 0 {
					t.Errorf("got %d %s and %d jobs, want %s", w.Code, w.Body, len(jobs.made), c.want)
				}
			default:
				if got := jobs.last(t).Spec.Model; w.Code/100 != 2 || got != c.want {
					t.Errorf("got %d and a job for %s, want %s: %s", w.Code, got, c.want, w.Body)
				}
			}
		})
	}
}

// Who may use no model that edits is told what is missing, not that a model is forbidden which was not asked for.
func TestAnEditOfAKeyWithoutEditor(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, withKeys)
	body := `{"prompt":"a","image":"https://img.example/b.png"}`
	w := send(t, s, "POST", "/v1/images/edits", body, "Authorization", "Bearer "+bobKey)
	if got := wantError(t, w, 400, "invalid_value", "image"); !strings.Contains(got, "edit") {
		t.Errorf("got %q", got)
	}
}

func TestTheLogNamesTheKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  string
		want any
	}{
		"with a name":    {aliceKey, "alice"},
		"without a name": {key, nil},
		"unknown":        {"sk-unknown", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			send(t, newServer(t, &fakeJobs{}, withKeys, logInto(&b)), "GET", "/v1/models", "", "Authorization", "Bearer "+c.key)
			if got := logged(t, &b)["key"]; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if strings.Contains(b.String(), c.key) {
				t.Errorf("the key itself is in the log: %s", b.String())
			}
		})
	}
}
