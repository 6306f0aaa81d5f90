package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Encode returns v as one line of JSON that ends in a newline. Characters that only HTML minds stay as they are: image
// URLs are full of ampersands, and people read them.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode reply: %w", err)
	}
	return b.Bytes(), nil
}

// object reads the members of a JSON object that the gateway knows. Its methods return nil or zero for a member that is
// absent or null. The first member of a wrong type is kept in err, so callers read them all and look once.
type object struct {
	members map[string]json.RawMessage
	err     error
}

// decodeObject reads a whole body. It goes into a map because struct fields would also match names in another case.
func decodeObject(body []byte) *object {
	o := &object{}
	// Some clients on Windows begin with a byte order mark, which parsers may ignore (RFC 8259, section 8.1).
	err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &o.members)
	if err == nil && o.members != nil {
		return o
	}
	message := "The request body must be a JSON object."
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		message = fmt.Sprintf("The request body is not valid JSON: %s (at byte %d).", syntax, syntax.Offset)
	}
	o.err = &imagegen.Error{Kind: imagegen.KindInvalidJSON, Message: message, Err: err}
	return o
}

func invalid(param, message string) *imagegen.Error {
	return &imagegen.Error{Kind: imagegen.KindInvalidValue, Param: param, Message: message}
}

func (o *object) fail(param, want string) {
	if o.err == nil {
		o.err = invalid(param, param+" must be "+want)
	}
}

// member returns the named member; ok is false if it is absent or null.
func (o *object) member(name string) (json.RawMessage, bool) {
	raw, ok := o.members[name]
	return raw, ok && !isNull(raw)
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// quoted reads a string. Whether it is one is told by its first byte: trying costs as much as reading, and some are large.
func quoted(raw json.RawMessage) (string, bool) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func (o *object) text(name string) *string {
	raw, ok := o.member(name)
	if !ok {
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		o.fail(name, "a string")
		return nil
	}
	return &s
}

func (o *object) boolean(name string) bool {
	raw, ok := o.member(name)
	if !ok {
		return false
	}
	var b bool
	if json.Unmarshal(raw, &b) != nil {
		o.fail(name, "true or false")
	}
	return b
}

func (o *object) nested(name string) *object {
	raw, ok := o.member(name)
	if !ok {
		return &object{}
	}
	n := &object{}
	if json.Unmarshal(raw, &n.members) != nil {
		o.fail(name, "an object")
	}
	return n
}

func (o *object) number(name string) *float64 {
	digits, ok := o.digits(name, "a number")
	if !ok {
		return nil
	}
	// Only the range can be wrong: 1e400.
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		o.fail(name, "a number of sensible size")
		return nil
	}
	return &f
}

func (o *object) integer64(name string) *int64 {
	digits, ok := o.digits(name, "an integer")
	if !ok {
		return nil
	}
	if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return &i
	}
	// JavaScript and Python clients may say 8.0 or 1e3.
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		o.fail(name, "an integer of sensible size")
		return nil
	}
	i := int64(f)
	return &i
}

func (o *object) integer(name string) *int {
	wide := o.integer64(name)
	if wide == nil {
		return nil
	}
	i := int(*wide)
	if int64(i) != *wide {
		o.fail(name, "an integer of sensible size")
		return nil
	}
	return &i
}

// digits returns the text of a JSON number, or of a string that holds one, as forms and some front ends send it.
func (o *object) digits(name, want string) (string, bool) {
	raw, ok := o.member(name)
	if !ok {
		return "", false
	}
	s := string(bytes.TrimSpace(raw))
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		s = strings.TrimSpace(quoted)
	}
	if !isNumber(s) {
		o.fail(name, want)
		return "", false
	}
	return s, true
}

// isNumber reports whether a text is a number as JSON writes it. Go would also read NaN, hex and underscores.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && json.Valid([]byte(s))
}
