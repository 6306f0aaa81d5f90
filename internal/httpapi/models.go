package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, openai.NewModelList(s.catalog.Entries()))
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	id, err := url.PathUnescape(chi.URLParam(r, "*"))
	if err != nil {
		return modelNotFound(chi.URLParam(r, "*"))
	}
	for _, e := range s.catalog.Entries() {
		if strings.EqualFold(e.ID, id) {
			return writeJSON(w, http.StatusOK, openai.NewModel(e))
		}
	}
	return modelNotFound(id)
}

func modelNotFound(id string) *imagegen.Error {
	return &imagegen.Error{
		Kind: imagegen.KindModelNotFound, Param: "model",
		Message: fmt.Sprintf("The model %q does not exist; GET /v1/models lists those that do.", clip(id)),
	}
}
