package imagegen_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func TestExtra(t *testing.T) {
	t.Parallel()
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
	for name, c := range map[string]struct {
		extra map[string]json.RawMessage
		want  map[string]json.RawMessage
		param string // at fault
	}{
		"nothing":                    {},
		"nothing that is passed":     {extra: map[string]json.RawMessage{"c": text(9), "A": text(9)}},
		"null":                       {extra: map[string]json.RawMessage{"a": json.RawMessage(" null ")}},
		"spaces":                     {extra: map[string]json.RawMessage{"a": json.RawMessage("\n{ \"b c\" : [ 1 ] }")}, want: map[string]json.RawMessage{"a": json.RawMessage(`{"b c":[1]}`)}},
		"no JSON":                    {extra: map[string]json.RawMessage{"a": json.RawMessage("{")}, param: "a"},
		"as much as there may be":    {extra: map[string]json.RawMessage{"a": text(65530), "b": text(6)}, want: map[string]json.RawMessage{"a": text(65530), "b": text(6)}},
		"a byte more":                {extra: map[string]json.RawMessage{"a": text(65530), "b": text(7)}, param: "b"},
		"one that is too large":      {extra: map[string]json.RawMessage{"a": text(65537), "b": text(7)}, param: "a"},
		"what is not passed, larger": {extra: map[string]json.RawMessage{"a": text(9), "c": text(1 << 20)}, want: map[string]json.RawMessage{"a": text(9)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(func(m *imagegen.Model) { m.Passthrough = []string{"a", "b"} })
			spec, err := m.NewSpec(imagegen.Params{Prompt: "a cat", Extra: c.extra}, counter())
			if c.param != "" {
				e, ok := errors.AsType[*imagegen.Error](err)
				if !ok || e.Kind != imagegen.KindInvalidValue || e.Param != c.param {
					t.Fatalf("error is %v, want one of an invalid value in %s", err, c.param)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, spec.Extra); diff != "" {
				t.Errorf("extra (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, spec.Order(0).Extra); diff != "" {
				t.Errorf("extra of the order (-want +got):\n%s", diff)
			}
		})
	}
}
