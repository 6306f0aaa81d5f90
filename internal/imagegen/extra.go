package imagegen

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	// maxExtra bounds the fields of a request that are passed through, in bytes of JSON, all together: they are kept with
	// the job.
	maxExtra = 64 << 10
	// maxFieldName bounds the name of such a field, in bytes.
	maxFieldName = 64
)

// reserved are the fields that no model passes through, in lower case. The first part are those that the gateway reads on
// any of its generation endpoints, or knows from OpenAI's and does not hand on; a test of package openai holds it against
// the OpenAPI document. The second are those that adapters write for themselves, or that would undo the gateway's own
// limits: more pictures than were counted, another checkpoint, no picture in the reply.
var reserved = set(
	"background", "cfg", "height", "image", "image[]", "images", "input", "instructions", "mask", "messages", "metadata",
	"modalities", "model", "n", "negative_prompt", "output_compression", "output_format", "partial_images", "prompt", "quality",
	"response_format", "seed", "size", "steps", "stream", "stream_options", "tools", "user", "webhook_url", "width",

	"batch_size", "cfg_scale", "do_not_save_grid", "do_not_save_samples", "force_task_id", "image_source",
	"include_init_images", "init_images", "model_index", "n_iter", "override_settings", "override_settings_restore_afterwards",
	"save_images", "send_images",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// Reserved reports whether a field of a request is the gateway's or an adapter's own, so that no model passes it through.
// Case does not count: some servers do not mind it.
func Reserved(name string) bool { return reserved[strings.ToLower(name)] }

// passthroughMistake returns what is wrong with the name of a field to be passed through, or an empty string.
func passthroughMistake(name string) string {
	odd := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
	switch {
	case name == "" || len(name) > maxFieldName || odd:
		return "a field is named by 1 to 64 letters, digits, dots, underscores and hyphens"
	case Reserved(name):
		return "the gateway or the upstream's adapter has a use of its own for the field " + name
	}
	return ""
}

// extra takes the fields that the model passes through from those of a request. The error names the first that is too much.
func (m Model) extra(all map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	var taken map[string]json.RawMessage
	size := 0
	for _, name := range m.Passthrough {
		raw, ok := all[name]
		if !ok || string(bytes.TrimSpace(raw)) == "null" {
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, &Error{Kind: KindInvalidValue, Param: name, Message: name + " must be a JSON value", Err: err}
		}
		if size += compact.Len(); size > maxExtra {
			return nil, invalid(name, "%s is too large: fields for the upstream may hold %d bytes together", name, maxExtra)
		}
		if taken == nil {
			taken = map[string]json.RawMessage{}
		}
		taken[name] = compact.Bytes()
	}
	return taken, nil
}
