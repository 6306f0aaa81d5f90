package simupstream

import (
	"encoding/json"
	"net/http"
	"strings"
)

// exacg is the native protocol.
var exacg = protocol{
	maxBody: maxBody, parse: parseExacg, authorized: (*Server).hasBearer, complaint: complainExacg,
	failure: func(_ int, message string) any { return failure{Error: message} },
	answer:  func(s *Server, r *http.Request, req Request) (any, error) { return s.answerExacg(r, req), nil },
}

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

// failure is the protocol's way to decline.
type failure struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
}

func parseExacg(req *Request, _ *http.Request) {
	if json.Unmarshal(req.Raw, &req.Body) != nil {
		req.Body = Body{}
	}
}

func complainExacg(req Request) string {
	const maxSteps = 50
	b := req.Body
	switch {
	case b.Prompt == "":
		return "prompt is required"
	case b.ImageSource != "":
		return ""
	case !b.canBeDrawn():
		return "width and height must be between 64 and 2048"
	case b.Steps < 1 || b.Steps > maxSteps:
		return "steps must be between 1 and 50"
	default:
		return ""
	}
}

func (s *Server) answerExacg(r *http.Request, req Request) reply {
	const editSide = 1024
	if req.Body.ImageSource != "" {
		req.Body.Width, req.Body.Height = editSide, editSide
	}
	l := linkTo(req)
	return reply{Success: true, Data: data{
		ImageURL: s.base(r) + l.path(), ImageID: l.id(), ModelName: "Simulated", PointsUsed: 1, RemainingPoints: 999_999,
	}}
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
