package httpapi

import "github.com/go-chi/chi/v5"

// Routes are what the server answers, for tests.
func (s *Server) Routes() chi.Routes { return s.mux }
