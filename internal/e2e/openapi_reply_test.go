package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pb33f/jsonschema/v6"
)

// ours are the headers that only the gateway sets, and clients act on.
var ours = regexp.MustCompile(`(?i)^(X-.*|Openai-.*|Retry-After.*|Location|Www-Authenticate|Allow)$`)

// unspoken are those that are of no concern to a client.
var unspoken = []string{"X-Content-Type-Options", "X-Accel-Buffering"}

// checkHead checks status, headers and media type of a reply.
func (d *document) checkHead(req *http.Request, resp *http.Response) error {
	if req.Method == http.MethodOptions {
		if resp.StatusCode != http.StatusNoContent || resp.Header.Get("X-Request-Id") == "" {
			return fmt.Errorf("a preflight is answered with %d %v", resp.StatusCode, resp.Header)
		}
		return nil
	}
	pointer, err := d.response(req, resp.StatusCode)
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for name := range d.at(pointer)["headers"].(map[string]any) { //nolint:errcheck,forcetypeassert // every reply has some
		said[http.CanonicalHeaderKey(name)] = true
		if err := d.checkHeader(d.follow(below(pointer+"/headers", name)), resp.Header.Values(name)); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	for name := range resp.Header {
		if ours.MatchString(name) && !slices.Contains(unspoken, name) && !said[name] {
			return fmt.Errorf("header %s is not in the document", name)
		}
	}
	media := mediaType(resp)
	if content := d.at(pointer + "/content"); content[media] == nil && (content != nil || media != "") {
		return fmt.Errorf("the media type is %q", media)
	}
	return nil
}

func (d *document) checkHeader(pointer string, values []string) error {
	h := d.at(pointer)
	if h["required"] == true && len(values) == 0 {
		return errors.New("it is missing")
	}
	for _, value := range values {
		var v any = value
		if d.at(pointer + "/schema")["type"] == "integer" {
			number, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("%q is no number", value)
			}
			v = number
		}
		if err := d.validate(pointer+"/schema", v); err != nil {
			return err
		}
	}
	return nil
}

func mediaType(resp *http.Response) string {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return media
}

// checkBody checks the body of a reply whose head is right. Of one that is not whole, only a stream's events are checked.
func (d *document) checkBody(req *http.Request, resp *http.Response, body []byte, whole bool) error {
	if req.Method == http.MethodOptions || req.Method == http.MethodHead {
		return nil
	}
	response, err := d.response(req, resp.StatusCode)
	if err != nil {
		return err
	}
	pointer := below(response+"/content", mediaType(resp)) + "/schema"
	switch mediaType(resp) {
	case "application/json":
		if !whole {
			return nil
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("the body is no JSON: %w", err)
		}
		return d.validate(pointer, v)
	case "text/event-stream":
		return d.checkEvents(pointer, string(body))
	default:
		return nil
	}
}

// checkEvents checks every event that has come whole.
func (d *document) checkEvents(pointer, stream string) error {
	name := ""
	lines := strings.SplitAfter(stream, "\n")
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n":
			name = ""
		case field == "event":
			name = value
		case field == "data" && value == "[DONE]", field == "id":
		case field == "data":
			if err := d.checkEvent(pointer, name, value); err != nil {
				return fmt.Errorf("event %s: %w", value[:min(len(value), 500)], err)
			}
		case !strings.HasPrefix(line, ":"):
			return fmt.Errorf("line %q is no part of an event", line)
		}
	}
	return nil
}

func (d *document) checkEvent(pointer, name, data string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	o, _ := v.(map[string]any)
	if kind, ok := o["type"].(string); ok && kind != name {
		return fmt.Errorf("its name is %q", name)
	}
	return d.validate(pointer, v)
}
