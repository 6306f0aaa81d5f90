package adapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// EncodeBody encodes a request's own fields, which are a struct or a map, and adds the extra ones, in order of their names.
// An extra field never takes the place of an own one, whatever the case of its letters. Prompts go out as they came in:
// nothing is escaped that JSON does not ask for.
func EncodeBody(own any, extra map[string]json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(own); err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(extra) == 0 {
		return body, nil
	}
	var taken map[string]json.RawMessage
	if err := json.Unmarshal(body, &taken); err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	out := bytes.NewBuffer(bytes.TrimSuffix(body, []byte("}")))
	empty := len(taken) == 0
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if holds(taken, name) {
			continue
		}
		if !empty {
			out.WriteByte(',')
		}
		empty = false
		key, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("encode the name of a field: %w", err)
		}
		out.Write(append(key, ':'))
		if err := json.Compact(out, extra[name]); err != nil {
			return nil, fmt.Errorf("encode field %q: %w", name, err)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// holds reports whether there is a field of that name; case does not count, as some servers do not mind it.
func holds(fields map[string]json.RawMessage, name string) bool {
	for own := range fields {
		if strings.EqualFold(own, name) {
			return true
		}
	}
	return false
}

// Unencodable is the failure of an order that makes no request: a mistake of the gateway's own.
func Unencodable(err error) *imagegen.CallError {
	return &imagegen.CallError{
		Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindInternal,
		Message: "internal error", Err: err,
	}
}
