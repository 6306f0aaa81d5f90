package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func (s *Server) listModels(w http.ResponseWriter, r *http.Request) error {
	key := exchangeOf(r).key
	entries := slices.DeleteFunc(s.catalog.Entries(), func(e imagegen.Entry) bool { return !key.allows(e.Model) })
	return writeJSON(w, http.StatusOK, openai.NewModelList(entries))
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	id, err := url.PathUnescape(chi.URLParam(r, "*"))
	if err != nil {
		return modelNotFound(chi.URLParam(r, "*"))
	}
	for _, e := range s.catalog.Entries() {
		if !strings.EqualFold(e.ID, id) {
			continue
		}
		if !exchangeOf(r).key.allows(e.Model) {
			return modelNotAllowed(id)
		}
		return writeJSON(w, http.StatusOK, openai.NewModel(e))
	}
	return modelNotFound(id)
}

// model returns the model that is meant, if the key may use it; images where its name had the suffix.
func (s *Server) model(key *Key, name string) (m imagegen.Model, images bool, err error) {
	if name == "" {
		return s.first(key), false, nil
	}
	m, ok := s.catalog.Lookup(name)
	if cut := len(name) - len(imageSuffix); !ok && cut > 0 && strings.EqualFold(name[cut:], imageSuffix) {
		m, images = s.catalog.Lookup(name[:cut])
	}
	switch {
	case !ok && !images:
		return imagegen.Model{}, false, modelNotFound(name)
	case !key.allows(m):
		return imagegen.Model{}, false, modelNotAllowed(name)
	}
	return m, images, nil
}

// first returns the model that is meant where a request names none.
func (s *Server) first(key *Key) imagegen.Model {
	m, ok := s.catalog.First(key.allows)
	if !ok {
		panic("httpapi: a key without a model") // the keyring has none
	}
	return m
}

// firstEditor returns the model that is meant where an edit names none. Where the key may use none that edits, it is a
// model whose refusal says so.
func (s *Server) firstEditor(key *Key) imagegen.Model {
	m, ok := s.catalog.First(func(m imagegen.Model) bool { return m.Edit && key.allows(m) })
	if !ok {
		return s.first(key)
	}
	return m
}

func modelNotFound(id string) *imagegen.Error {
	return &imagegen.Error{
		Kind: imagegen.KindModelNotFound, Param: "model",
		Message: fmt.Sprintf("The model %q does not exist; GET /v1/models lists those that do.", clip(id)),
	}
}

func modelNotAllowed(id string) *imagegen.Error {
	return &imagegen.Error{
		Kind: imagegen.KindModelNotAllowed, Param: "model",
		Message: fmt.Sprintf("This API key may not use the model %q; GET /v1/models lists those that it may.", clip(id)),
	}
}
