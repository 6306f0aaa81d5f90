package openaiimages

import (
	"bytes"
	"fmt"
	"maps"
	"mime/multipart"
	"net/textproto"
	"slices"

	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// form encodes the fields of a JSON body and a picture as multipart/form-data. The picture is the part "image", named and
// typed as what it is: servers go by either.
func form(fields []byte, image picture.Picture) (body []byte, contentType string, err error) {
	texts, err := values(fields)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if err := w.WriteField(name, texts[name]); err != nil {
			return nil, "", fmt.Errorf("encode field %q: %w", name, err)
		}
	}
	head := textproto.MIMEHeader{}
	head.Set("Content-Disposition", multipart.FileContentDisposition("image", "image"+image.Format.Extension()))
	head.Set("Content-Type", image.Format.MediaType())
	part, err := w.CreatePart(head)
	if err != nil {
		return nil, "", fmt.Errorf("encode image: %w", err)
	}
	if _, err := part.Write(image.Data); err != nil {
		return nil, "", fmt.Errorf("encode image: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("encode image: %w", err)
	}
	return b.Bytes(), w.FormDataContentType(), nil
}
