package httpapi

import (
	_ "embed"
	"errors"
	"net/http"
)

// openAPI describes the public API. docs/openapi.json is a copy.
//
//go:embed openapi.json
var openAPI []byte

func (s *Server) getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	setJSON(w.Header())
	if _, err := w.Write(openAPI); err != nil {
		return errors.Join(errClientGone, err)
	}
	return nil
}
