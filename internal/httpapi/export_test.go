package httpapi

import (
	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Routes are what the server answers, for tests.
func (s *Server) Routes() chi.Routes { return s.mux }

// KeyFinder returns what looks for the key that a request presents.
func KeyFinder(keys []Key, catalog *imagegen.Catalog) (func(presented string) *Key, error) {
	ring, err := newKeyring(keys, catalog)
	return ring.find, err
}
