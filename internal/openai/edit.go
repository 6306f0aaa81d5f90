package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// maxFormParts is the most parts a form may have: OpenAI takes 16 pictures, and there are some 30 fields.
const maxFormParts = 200

// DecodeEdit reads the body of POST /v1/images/edits: a form, or JSON with image or images. Of several pictures the first
// is taken; a mask is not read, as no upstream takes one. Its error is a classified *imagegen.Error.
func DecodeEdit(contentType string, body []byte) (ImagesRequest, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && media == "multipart/form-data" {
		return decodeForm(params["boundary"], body)
	}
	o := decodeObject(body)
	if o.err != nil {
		return ImagesRequest{}, o.err
	}
	r, err := o.images()
	if err != nil {
		return r, err
	}
	r.Source = o.firstSource("image", "images")
	if o.err == nil && r.Source == nil {
		o.err = missing("image", "image is required: send the picture to edit")
	}
	return r, o.err
}

// firstSource returns the first picture of the members, each of which may be one or a list.
func (o *object) firstSource(names ...string) *Source {
	for _, name := range names {
		raw, ok := o.member(name)
		if !ok {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return o.sourceOf(raw, name)
		}
		if len(list) > 0 {
			return o.sourceOf(list[0], name)
		}
	}
	return nil
}

// decodeForm reads a form: its fields are those of the JSON body, as text.
func decodeForm(boundary string, body []byte) (ImagesRequest, error) {
	o := &object{members: map[string]json.RawMessage{}}
	source, err := o.readForm(multipart.NewReader(bytes.NewReader(body), boundary))
	if err != nil {
		// The reader's errors repeat pieces of the form, prompts among them, which are not for the log.
		return ImagesRequest{}, &imagegen.Error{
			Kind: imagegen.KindInvalidValue, Message: "The request body is not a readable multipart form.",
		}
	}
	r, err := o.images()
	if err != nil {
		return r, err
	}
	if r.Source = source; source == nil {
		r.Source = o.firstSource("image", "image[]")
	}
	if o.err == nil && r.Source == nil {
		o.err = missing("image", "image is required: send the picture to edit")
	}
	return r, o.err
}

var errTooManyParts = errors.New("too many parts")

// readForm keeps the fields as JSON strings, the first of each name, and returns the first file that is a picture to edit.
func (o *object) readForm(form *multipart.Reader) (source *Source, err error) {
	for range maxFormParts {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			return source, nil
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // for the operator, who is told what was tried by the caller
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
		name := part.FormName()
		if part.FileName() != "" {
			if source == nil && (name == "image" || strings.HasPrefix(name, "image[")) {
				source = &Source{Data: data}
			}
			continue
		}
		if _, taken := o.members[name]; taken || len(data) == 0 {
			continue
		}
		if o.members[name], err = formValue(name, string(data)); err != nil {
			return nil, err
		}
	}
	return nil, errTooManyParts
}

// formValue turns a field's text into what a JSON body would hold: numbers are read from strings too, booleans are not. What
// may be for the upstream is a number or a boolean where it looks like one.
func formValue(name, text string) (json.RawMessage, error) {
	boolean := text == "true" || text == "false"
	if boolean && name == "stream" || !imagegen.Reserved(name) && (boolean || isNumber(text)) {
		return json.RawMessage(text), nil
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return nil, fmt.Errorf("read field %s: %w", name, err)
	}
	return raw, nil
}
