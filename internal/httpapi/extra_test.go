package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Every generation endpoint hands on the fields that the model passes through, and no others.
func TestFieldsForTheUpstream(t *testing.T) {
	t.Parallel()
	for target, body := range map[string]string{
		"/v1/chat/completions":   `"messages":[{"role":"user","content":"a dog"}]`,
		"/v1/images/generations": `"prompt":"a dog"`,
		"/v1/images/edits":       `"prompt":"a dog","model":"Editor","image":"https://x.example/y.png"`,
		"/v1/jobs":               `"prompt":"a dog"`,
		"/v1/responses":          `"input":"a dog"`,
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			jobs := &fakeJobs{}
			s := newServer(t, jobs, func(c *httpapi.Config) {
				draws, edits := imagegen.DefaultModel(), imagegen.DefaultModel()
				edits.ID, edits.Edit = "Editor", true
				draws.Passthrough, edits.Passthrough = []string{"style", "tiling"}, []string{"style", "tiling"}
				var err error
				if c.Catalog, err = imagegen.NewCatalog([]imagegen.Model{draws, edits}); err != nil {
					panic(err)
				}
			}, withPictures(t))
			w := send(t, s, http.MethodPost, target, `{`+body+`,"style":{"name": "ink"},"tiling":null,"sampler":"x"}`)
			if w.Code >= http.StatusBadRequest {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			want := map[string]json.RawMessage{"style": json.RawMessage(`{"name":"ink"}`)}
			if diff := cmp.Diff(want, jobs.last(t).Spec.Extra); diff != "" {
				t.Errorf("fields of the job (-want +got):\n%s", diff)
			}
			w = send(t, s, http.MethodPost, target, `{`+body+`,"style":1,"tiling":"`+strings.Repeat("x", 64<<10)+`"}`)
			wantError(t, w, http.StatusBadRequest, "invalid_value", "tiling")
		})
	}
}
