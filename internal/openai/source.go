package openai

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// Source is a picture that a request brings along: exactly one field is set.
type Source struct {
	URL  string // absolute http(s)
	Data []byte // an upload; its type is not known yet
}

// maxSourceURL bounds a picture's URL, in bytes; it is kept with the job.
const maxSourceURL = 8 << 10

// parseSource reads a URL or a data: URI. ok is false where it is neither.
func parseSource(text string) (s *Source, ok bool) {
	text = strings.TrimSpace(text)
	if scheme, rest, _ := strings.Cut(text, ":"); strings.EqualFold(scheme, "data") {
		data, ok := parseDataURI(rest)
		return &Source{Data: data}, ok
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(text) > maxSourceURL {
		return nil, false
	}
	return &Source{URL: text}, true
}

// parseDataURI reads what follows data: (RFC 2397), base64 only. The media type is not trusted, so it is not read.
func parseDataURI(text string) ([]byte, bool) {
	kind, encoded, ok := strings.Cut(text, ",")
	if !ok || !strings.HasSuffix(strings.ToLower(strings.TrimSpace(kind)), ";base64") {
		return nil, false
	}
	return parseBase64(encoded)
}

func parseBase64(text string) ([]byte, bool) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		data, err = base64.RawStdEncoding.DecodeString(strings.TrimSpace(text))
	}
	return data, err == nil && len(data) > 0
}

// sourceOf reads a picture in any of the forms that clients use: a string, or an object with image_url, url or b64_json,
// where image_url is a string or an object with url. file_id names files of another service.
func (o *object) sourceOf(raw json.RawMessage, param string) *Source {
	if text, ok := sourceText(raw, maxSourceDepth); ok {
		if s, ok := parseSource(text); ok {
			return s
		}
	}
	if o.err == nil {
		o.err = invalid(param, "the picture in "+param+" must be an absolute http(s) URL or a data: URI with base64")
	}
	return nil
}

// maxSourceDepth is how deep a picture may lie: each level is read again.
const maxSourceDepth = 2

func sourceText(raw json.RawMessage, depth int) (string, bool) {
	if text, ok := quoted(raw); ok {
		return text, text != ""
	}
	n := &object{}
	if depth == 0 || json.Unmarshal(raw, &n.members) != nil {
		return "", false
	}
	if encoded, ok := n.member("b64_json"); ok {
		text, ok := quoted(encoded)
		return "data:;base64," + text, ok
	}
	for _, name := range []string{"image_url", "url"} {
		if inner, ok := n.member(name); ok {
			return sourceText(inner, depth-1)
		}
	}
	return "", false
}

// markdownPicture is a CommonMark picture with a remote URL.
var markdownPicture = regexp.MustCompile(`^!\[(?:\\.|[^\]\\])*\]\(<?(https?://[^)\s>]+)>?`)

// lastMarkdownPicture returns the last picture in a text, or nil.
func lastMarkdownPicture(text string) *Source {
	// From the last place where one can be: histories are long, and the expression is slow.
	for end, tries := len(text), 0; tries < maxPlaces; tries++ {
		at := strings.LastIndex(text[:end], "![")
		if at < 0 {
			return nil
		}
		if m := markdownPicture.FindStringSubmatch(text[at:min(len(text), at+maxSourceURL)]); m != nil {
			s, _ := parseSource(m[1])
			return s
		}
		end = at
	}
	return nil
}

// maxPlaces is how many places of a text are looked at for a picture.
const maxPlaces = 100
