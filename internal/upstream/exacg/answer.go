package exacg

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// reply is what can be made out of a body in this protocol.
type reply struct {
	adapter.Answer

	imageURL               string
	pointsUsed, pointsLeft *float64
}

// parse reads a body without minding fields of a wrong type: a reply is worth as much as can be read of it.
func parse(body []byte) reply {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &fields); err != nil || fields == nil {
		return reply{}
	}
	r := reply{Answer: adapter.Answer{JSON: true, Text: errorText(fields["error"], fields["message"])}}
	var data map[string]json.RawMessage
	if json.Unmarshal(fields["data"], &data) == nil {
		r.imageURL = str(data["image_url"])
		r.pointsUsed, r.pointsLeft = number(data["points_used"]), number(data["remaining_points"])
	}
	switch string(fields["success"]) {
	case "true":
		r.Unusable = adapter.CheckImageURL(r.imageURL)
	case "false", `"false"`, "0":
		r.Declined = true
	default:
		r.Declined = r.Text != "" && r.imageURL == ""
		r.Unusable = errors.New("the reply says neither success nor failure")
	}
	return r
}

// errorText joins what the two fields say. The error may be an object with a message of its own.
func errorText(errField, messageField json.RawMessage) string {
	first, second := str(errField), str(messageField)
	var object map[string]json.RawMessage
	if bytes.HasPrefix(errField, []byte("{")) && json.Unmarshal(errField, &object) == nil {
		first = str(object["message"])
	}
	switch {
	case strings.Contains(first, second):
		return first
	case strings.Contains(second, first):
		return second
	default:
		return first + ": " + second
	}
}

// str is the string in raw, or empty for any other value.
func str(raw json.RawMessage) string {
	var s string
	if !bytes.HasPrefix(raw, []byte(`"`)) || json.Unmarshal(raw, &s) != nil { // a mistake costs more than the look
		return ""
	}
	return strings.TrimFunc(s, unicode.IsSpace)
}

// number is the number in raw, which may stand in a string; nil for any other value.
func number(raw json.RawMessage) *float64 {
	text := str(raw)
	if text == "" {
		text = string(raw)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil
	}
	return &n
}
