package simupstream

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxBody bounds a call's body.
const maxBody = 1 << 20

// Request is one generate call as it arrived.
type Request struct {
	Call   int // from 1, in order of arrival
	At     time.Time
	Header http.Header
	Raw    []byte
	Body   Body // zero where Raw is not the JSON it should be
}

// Body is what the protocol lets a client say.
type Body struct {
	Prompt         string  `json:"prompt"`
	NegativePrompt *string `json:"negative_prompt"`
	Width          int     `json:"width"`
	Height         int     `json:"height"`
	Steps          int     `json:"steps"`
	CFG            float64 `json:"cfg"`
	ModelIndex     int     `json:"model_index"`
	Seed           *int64  `json:"seed"`
	ImageSource    string  `json:"image_source"` // edit models only; these take no size
}

// read takes a call off the wire.
func read(w http.ResponseWriter, r *http.Request) (Request, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return Request{}, fmt.Errorf("read call: %w", err)
	}
	req := Request{At: time.Now(), Header: r.Header.Clone(), Raw: raw}
	if json.Unmarshal(raw, &req.Body) != nil {
		req.Body = Body{}
	}
	return req, nil
}

// complaint is what the service has against a call, or empty.
func (b Body) complaint() string {
	const minSide, maxSide, maxSteps = 64, 2048, 50
	switch {
	case b.Prompt == "":
		return "prompt is required"
	case b.ImageSource != "":
		return ""
	case b.Width < minSide || b.Width > maxSide || b.Height < minSide || b.Height > maxSide:
		return "width and height must be between 64 and 2048"
	case b.Steps < 1 || b.Steps > maxSteps:
		return "steps must be between 1 and 50"
	default:
		return ""
	}
}
