package adapter_test

import (
	"encoding/json"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

func TestEncodeBody(t *testing.T) {
	t.Parallel()
	type own struct {
		Prompt string  `json:"prompt"`
		Note   *string `json:"note,omitempty"`
	}
	type fields = map[string]json.RawMessage
	for name, c := range map[string]struct {
		own   any
		extra fields
		want  string
	}{
		"nothing more":                      {own{Prompt: "<a> & \u2028"}, nil, `{"prompt":"<a> & \u2028"}`},
		"more, in order":                    {own{Prompt: "a"}, fields{"z": []byte(`1.50`), "b": []byte(` {"x" : [1, "</b>"]} `), "ü\"": []byte(`null`)}, `{"prompt":"a","b":{"x":[1,"</b>"]},"z":1.50,"ü\"":null}`},
		"never over an own field":           {own{Prompt: "a"}, fields{"prompt": []byte(`"b"`), "PROMPT": []byte(`"c"`)}, `{"prompt":"a"}`},
		"a field that is not sent is free":  {own{Prompt: "a"}, fields{"note": []byte(`"b"`)}, `{"prompt":"a","note":"b"}`},
		"nothing of one's own":              {struct{}{}, fields{"a": []byte(`1`)}, `{"a":1}`},
		"a value that ends as an object":    {map[string]any{"a": map[string]any{}}, fields{"b": []byte(`{}`)}, `{"a":{},"b":{}}`},
		"all of one's own is taken already": {struct{}{}, fields{}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := adapter.EncodeBody(c.own, c.extra)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	if got, err := adapter.EncodeBody(own{}, fields{"a": []byte(`{`)}); err == nil {
		t.Errorf("got %s for a field that is no JSON, want an error", got)
	}
}
