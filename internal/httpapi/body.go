package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"

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

func readBody(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		return b, nil
	}
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(over.Limit)
	}
	return nil, &imagegen.Error{Kind: imagegen.KindInvalidJSON, Message: "The request body could not be read whole.", Err: err}
}

func tooLarge(limit int64) *imagegen.Error {
	return &imagegen.Error{
		Kind:    imagegen.KindRequestTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}
