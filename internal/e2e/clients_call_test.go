package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"testing"
	"time"
)

// stays is a client that shows redirects, as many HTTP clients turn a redirected POST into a GET.
var stays = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// call makes the request as the client does, with its headers and no others. It never fails the test, so that any
// goroutine may use it.
func (f fixture) call(ctx context.Context, g *gateway, want outcome) exchange {
	x := exchange{fixture: f, want: want}
	body, contentType := []byte(f.Body), ""
	if f.Form != nil {
		if body, contentType, x.err = encodeForm(f.Form); x.err != nil {
			return x
		}
	}
	req, err := http.NewRequestWithContext(ctx, f.Method, g.url+f.Path, bytes.NewReader(body))
	if err != nil {
		x.err = err
		return x
	}
	for name, value := range f.Headers {
		req.Header.Set(name, value)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	began := time.Now()
	x.reply, x.err = fetch(req)
	x.took = time.Since(began)
	return x
}

// fetch makes a request and reads the reply.
func fetch(req *http.Request) (reply, error) {
	resp, err := stays.Do(req)
	if err != nil {
		return reply{}, fmt.Errorf("%s %s: %w", req.Method, req.URL, err)
	}
	body, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: body}, errors.Join(err, resp.Body.Close())
}

func encodeForm(fields []formField) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, field := range fields {
		if field.File == "" {
			err = errors.Join(err, w.WriteField(field.Name, field.Value))
			continue
		}
		part, e := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition(field.Name, field.Filename)},
			"Content-Type":        {field.Type},
		})
		if e == nil {
			e = encodePicture(part)
		}
		err = errors.Join(err, e)
	}
	err = errors.Join(err, w.Close()) // before the bytes are taken: it writes the last boundary
	return b.Bytes(), w.FormDataContentType(), err
}

// encodePicture writes a small PNG.
func encodePicture(w io.Writer) error {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 {
		img.Set(i, i, color.RGBA{R: 200, A: 255})
	}
	return png.Encode(w, img)
}

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encodePicture(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
