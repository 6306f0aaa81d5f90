package adapter

import (
	"encoding/json"
	"strings"
)

// Details reads the "detail" of a FastAPI server's failure: a text, or a list of what is wrong with which field. Empty: it
// is neither.
func Details(raw json.RawMessage) string {
	var said string
	if json.Unmarshal(raw, &said) == nil {
		return strings.TrimSpace(said)
	}
	var mistakes []struct {
		Where   []json.RawMessage `json:"loc"`
		Message string            `json:"msg"`
	}
	if json.Unmarshal(raw, &mistakes) != nil {
		return ""
	}
	var lines []string
	for _, m := range mistakes {
		line := m.Message
		if n := len(m.Where); n > 0 { // the last part is the field; "body" and the like come before
			line = strings.Trim(string(m.Where[n-1]), `"`) + ": " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}
