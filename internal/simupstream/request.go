package simupstream

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream/paint"
)

// maxBody bounds the body of a call that carries no picture.
const maxBody = 1 << 20

// Request is one call for a picture as it arrived.
type Request struct {
	Call    int // from 1, in order of arrival
	At      time.Time
	Path    string // which of the protocols, and of its endpoints
	Header  http.Header
	Raw     []byte
	Body    Body   // zero where Raw is not what it should be
	Picture []byte // the one to edit, where the call brought it
}

// Body is what the protocols let a client say, under the native one's names.
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

	// Model is the model's name in the OpenAI protocol, the checkpoint in the web UI's.
	Model          string `json:"-"`
	ResponseFormat string `json:"-"` // of the OpenAI protocol
}

// read takes a call off the wire.
func read(w http.ResponseWriter, r *http.Request, p protocol) (Request, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.maxBody))
	if err != nil {
		return Request{}, fmt.Errorf("read call: %w", err)
	}
	req := Request{At: time.Now(), Path: r.URL.Path, Header: r.Header.Clone(), Raw: raw}
	p.parse(&req, r)
	return req, nil
}

// canBeDrawn reports whether the sides are within what the painter can.
func (b Body) canBeDrawn() bool {
	return min(b.Width, b.Height) >= paint.MinSide && max(b.Width, b.Height) <= paint.MaxSide
}
