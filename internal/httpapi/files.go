package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
)

// filesPath is where stored pictures are served, to whoever knows a name: upstreams and browsers send no key.
const filesPath = "/v1/files/"

func (s *Server) getFile(w http.ResponseWriter, r *http.Request) error {
	name, _ := url.PathUnescape(chi.URLParam(r, "name"))
	if s.files == nil || !imagestore.ValidName(name) {
		return noSuchFile(nil)
	}
	f, err := s.files.Open(r.Context(), name)
	if errors.Is(err, imagestore.ErrNotFound) {
		return noSuchFile(err)
	}
	if err != nil {
		return &imagegen.Error{Kind: imagegen.KindQueueUnavailable, Message: cannotRead, Err: err}
	}
	defer f.Close() //nolint:errcheck // nothing was written
	h := w.Header()
	h.Set("Content-Type", f.Format.MediaType())
	h.Set("X-Content-Type-Options", "nosniff")
	// A name never gets another picture. Shared caches would keep it beyond its job.
	h.Set("Cache-Control", "private, max-age=86400, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Etag", f.ETag)
	allowTime(w, int(f.Size))
	http.ServeContent(w, r, "", f.ModTime, f)
	return nil
}

func noSuchFile(err error) error {
	return &imagegen.Error{Kind: imagegen.KindUnknownURL, Message: "There is no such picture, or it has expired.", Err: err}
}
