package simupstream

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Where the server takes calls of the Stable Diffusion web UI's protocol. Such a server's base URL is its root.
const (
	Txt2ImgPath  = "/sdapi/v1/txt2img"
	Img2ImgPath  = "/sdapi/v1/img2img"
	ProgressPath = "/sdapi/v1/progress"
)

// sdWebUI is the protocol of AUTOMATIC1111, Forge and SD.Next. The key is that of --api-auth, a user:password, or the
// password alone, whoever the user is. Unlike those, this server draws any number of pictures at once.
var sdWebUI = protocol{
	maxBody: maxPictureBody, parse: parseSDWebUI, authorized: (*Server).hasBasic, complaint: complainSDWebUI,
	failure: func(_ int, message string) any {
		return map[string]any{"error": "HTTPException", "detail": message, "body": "", "errors": ""}
	},
	answer: func(s *Server, r *http.Request, req Request) (any, error) { return s.answerSDWebUI(r, req) },
}

// sdBody is what a call may say.
type sdBody struct {
	Prompt         string   `json:"prompt"`
	NegativePrompt *string  `json:"negative_prompt"`
	Width          int      `json:"width"`
	Height         int      `json:"height"`
	Steps          int      `json:"steps"`
	CFG            float64  `json:"cfg_scale"`
	Seed           *int64   `json:"seed"` // -1: the server's choice
	Images         []string `json:"init_images"`
	Settings       struct {
		Checkpoint string `json:"sd_model_checkpoint"`
	} `json:"override_settings"`
}

func parseSDWebUI(req *Request, _ *http.Request) {
	const side, steps, cfg = 512, 50, 7.0 // what the real ones default to
	b := sdBody{Width: side, Height: side, Steps: steps, CFG: cfg}
	if json.Unmarshal(req.Raw, &b) != nil {
		return
	}
	req.Body = Body{
		Prompt: b.Prompt, NegativePrompt: b.NegativePrompt, Width: b.Width, Height: b.Height, Steps: b.Steps, CFG: b.CFG,
		Seed: b.Seed, Model: b.Settings.Checkpoint,
	}
	if b.Seed != nil && *b.Seed < 0 {
		req.Body.Seed = nil
	}
	if len(b.Images) > 0 {
		_, text, isURL := strings.Cut(b.Images[0], ",")
		if !isURL {
			text = b.Images[0]
		}
		if picture, err := base64.StdEncoding.DecodeString(text); err == nil {
			req.Picture = picture
		}
	}
}

func complainSDWebUI(req Request) string {
	switch {
	case !req.Body.canBeDrawn():
		return "width and height must be between 64 and 2048"
	case req.Path == Img2ImgPath && len(req.Picture) == 0:
		return "Invalid encoded image"
	default:
		return ""
	}
}

func (s *Server) answerSDWebUI(r *http.Request, req Request) (any, error) {
	l := linkTo(req)
	picture, err := s.paint(r, l)
	if err != nil {
		return nil, err
	}
	info, err := json.Marshal(map[string]any{
		"prompt": req.Body.Prompt, "seed": l.seed, "all_seeds": []uint64{l.seed}, "width": l.width, "height": l.height,
		"steps": req.Body.Steps, "cfg_scale": req.Body.CFG, "index_of_first_image": 0,
	})
	if err != nil {
		return nil, fmt.Errorf("encode info: %w", err)
	}
	return map[string]any{
		"images":     [][]byte{picture}, // encoded as base64
		"parameters": map[string]any{"prompt": req.Body.Prompt, "width": l.width, "height": l.height, "steps": req.Body.Steps},
		"info":       string(info),
	}, nil
}

// progress tells how far the oldest picture under way is.
func (s *Server) progress(w http.ResponseWriter, r *http.Request) {
	if !s.hasBasic(r) {
		writeJSON(w, http.StatusUnauthorized, sdWebUI.failure(http.StatusUnauthorized, "Incorrect username or password"))
		return
	}
	done, left, drawing := s.pace.progress(time.Now())
	state := map[string]any{"skipped": false, "interrupted": false, "job": "", "job_count": 0, "job_no": 0}
	if drawing {
		state["job"], state["job_count"] = "scripts_txt2img", 1
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"progress": done, "eta_relative": left.Seconds(), "state": state, "current_image": nil, "textinfo": nil,
	})
}
