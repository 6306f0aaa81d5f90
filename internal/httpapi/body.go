package httpapi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// limitBody refuses bodies over the limit, before reading them where they say how long they are.
func (s *Server) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > s.maxBody {
			w.Header().Set("Connection", "close") // the rest of the body is in the way of another request
			s.fail(w, r, tooLarge(s.maxBody))
			return
		}
		// The server's own writer, as the reader asks it to close the connection.
		r.Body = http.MaxBytesReader(exchangeOf(r).w.Unwrap(), r.Body, s.maxBody)
		next.ServeHTTP(w, r)
	})
}

// bodyTimeout is how long a client may take to send its body. It leaves room for an upload over a slow line.
const bodyTimeout = 2 * time.Minute

func readBody(r *http.Request) ([]byte, error) {
	// Recorders in tests know no deadlines. Without one left behind, the connection still tells when its client goes away.
	conn := http.NewResponseController(exchangeOf(r).w.Unwrap())
	if err := conn.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
		defer conn.SetReadDeadline(time.Time{}) //nolint:errcheck // it could be set
	}
	b, err := io.ReadAll(r.Body)
	if err == nil {
		if r.Header.Get(retryCount) != "" || r.Header.Get(idempotencyKey) != "" {
			exchangeOf(r).digest = digest(r.Header.Get("Content-Type"), b)
		}
		return b, nil
	}
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(over.Limit)
	}
	return nil, &imagegen.Error{Kind: imagegen.KindInvalidJSON, Message: "The request body could not be read whole.", Err: err}
}

// digest tells bodies apart: by their bytes, forms by their fields, as the boundary between these is drawn anew for each
// try. What cannot be read as a form is no more than bytes.
func digest(contentType string, body []byte) [sha256.Size]byte {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/form-data" {
		return sha256.Sum256(body)
	}
	fields := sha256.New()
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err == io.EOF { // a wrapped one tells of a form that is none, or is cut off
			return [sha256.Size]byte(fields.Sum(nil))
		}
		if err != nil {
			return sha256.Sum256(body)
		}
		content := sha256.New()
		if _, err := io.Copy(content, part); err != nil {
			return sha256.Sum256(body)
		}
		name := sha256.Sum256([]byte(part.FormName()))
		_, _ = fields.Write(name[:])
		_, _ = fields.Write(content.Sum(nil))
	}
}

func tooLarge(limit int64) *imagegen.Error {
	return &imagegen.Error{
		Kind:    imagegen.KindRequestTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}
