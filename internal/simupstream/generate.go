package simupstream

import (
	"hash/fnv"
	"net/http"
	"strings"
)

// reply is a success in the protocol's words.
type reply struct {
	Success bool `json:"success"`
	Data    data `json:"data"`
}

type data struct {
	ImageURL        string `json:"image_url"`
	ImageID         string `json:"image_id"`
	ModelName       string `json:"model_name"`
	PointsUsed      int    `json:"points_used"`
	RemainingPoints int    `json:"remaining_points"`
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	req, err := read(w, r)
	if err != nil {
		writeJSON(w, http.StatusRequestEntityTooLarge, failure{Error: "the request body cannot be read, or is too long"})
		return
	}
	s.enter(&req)
	defer s.leave()
	b := s.behaviour(req)
	if !s.pause(r, b.Latency) {
		panic(http.ErrAbortHandler)
	}
	if s.scripted(w, r, b) {
		return
	}
	switch complaint := req.Body.complaint(); {
	case !s.authorized(r):
		writeJSON(w, http.StatusUnauthorized, failure{Error: "invalid API key"})
	case complaint != "":
		writeJSON(w, http.StatusBadRequest, failure{Error: complaint})
	default:
		s.answer(w, r, req)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, req Request) {
	l := linkTo(req)
	writeJSON(w, http.StatusOK, reply{Success: true, Data: data{
		ImageURL: s.base(r) + l.path(), ImageID: l.id(), ModelName: "Simulated", PointsUsed: 1, RemainingPoints: 999_999,
	}})
}

// base is the address that links begin with, without a slash at the end.
func (s *Server) base(r *http.Request) string {
	switch {
	case s.config.PublicURL != "":
		return strings.TrimRight(s.config.PublicURL, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	default:
		return "http://" + r.Host
	}
}

// linkTo describes the picture that a call asks for.
func linkTo(req Request) link {
	const editSide = 1024
	b := req.Body
	l := link{width: b.Width, height: b.Height, caption: shorten(b.Prompt)}
	if b.ImageSource != "" {
		l.width, l.height = editSide, editSide
	}
	if b.Seed != nil {
		l.seed = uint64(*b.Seed) //nolint:gosec // any number will do, and a negative one stays itself
	} else {
		l.seed = uint64(req.Call) //nolint:gosec // counts from 1
	}
	// What the caption does not show makes another picture too.
	h := fnv.New32a()
	_, _ = h.Write(req.Raw)
	l.variant = h.Sum32()
	return l
}
