package httpapi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
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
		if r.Header.Get(retryCount) != "" {
			exchangeOf(r).digest = digest(r.Header.Get("Content-Type"), b)
		}
		return b, nil
	}
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(over.Limit)
	}
	return nil, &imagegen.Error{Kind: imagegen.KindInvalidJSON, Message: "The request body could not be read whole.", Err: err}
}

// digest tells bodies apart. The boundary of a form, which is drawn anew for each try, does not count.
func digest(contentType string, body []byte) [sha256.Size]byte {
	if media, params, err := mime.ParseMediaType(contentType); err == nil && media == "multipart/form-data" {
		if boundary := params["boundary"]; boundary != "" {
			body = bytes.ReplaceAll(body, []byte(boundary), nil)
		}
	}
	return sha256.Sum256(body)
}

func tooLarge(limit int64) *imagegen.Error {
	return &imagegen.Error{
		Kind:    imagegen.KindRequestTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}
