package adapter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// Encoded is a picture as JSON carries it: a string of base64, which may begin as a data URL does. Its zero value, and
// what it is decoded to from anything but a string, is none.
type Encoded struct {
	data []byte
	err  error
}

// UnmarshalJSON decodes the picture. It fails on nothing: what is wrong is told by Picture, so that one bad field does not
// make a reply unreadable.
func (e *Encoded) UnmarshalJSON(raw []byte) error {
	*e = Encoded{}
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 { // some encoders escape the slash
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil //nolint:nilerr // what is not there is told by Picture
		}
		text = []byte(s)
	}
	e.decode(text)
	return nil
}

// EncodedAs returns the picture in a text.
func EncodedAs(text string) *Encoded {
	e := new(Encoded)
	e.decode([]byte(text))
	return e
}

func (e *Encoded) decode(text []byte) {
	if bytes.HasPrefix(text, []byte("data:")) {
		head, rest, _ := bytes.Cut(text, []byte(","))
		if !bytes.HasSuffix(head, []byte(";base64")) {
			e.err = errors.New("the picture is a data URL without base64")
			return
		}
		text = rest
	}
	if len(text) > base64.StdEncoding.EncodedLen(picture.MaxBytes) {
		e.err = fmt.Errorf("the picture is larger than %d bytes", picture.MaxBytes)
		return
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		e.err = errors.New("the picture is no base64")
		return
	}
	e.data = data[:n]
}

// Present reports whether there was anything to decode.
func (e *Encoded) Present() bool { return len(e.data) > 0 || e.err != nil }

// Picture returns the picture's bytes, or why they are none of a known type and at most 32 MiB.
func (e *Encoded) Picture() ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	_, known := picture.Sniff(e.data)
	switch {
	case len(e.data) == 0:
		return nil, errors.New("success without a picture")
	case len(e.data) > picture.MaxBytes:
		return nil, fmt.Errorf("the picture is larger than %d bytes", picture.MaxBytes)
	case !known:
		return nil, fmt.Errorf("the %d bytes of the picture are none of a known type", len(e.data))
	}
	return e.data, nil
}
