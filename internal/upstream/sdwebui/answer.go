package sdwebui

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// reply is a body in this protocol, a success or a failure. It leaves out the parameters, which repeat the request.
type reply struct {
	// Images holds the picture, and after it what extensions add, such as the map that ControlNet went by.
	Images []adapter.Encoded `json:"images"`
	Info   string            `json:"info"` // JSON of what was drawn

	Error  string          `json:"error"`  // the exception's class
	Detail json.RawMessage `json:"detail"` // of an HTTPException; a list where a field is wrong
	Errors string          `json:"errors"` // of any other exception, what it says
}

// info is what the server says of its picture.
type info struct {
	Seed   float64 `json:"seed"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
}

// read makes out what a reply says. Of a picture, it puts what is known of it into d.
func read(rep adapter.Reply, d *imagegen.Drawing) adapter.Answer {
	var r reply
	body := bytes.TrimSpace(rep.Body)
	if len(body) == 0 || body[0] != '{' || !decode(body, &r) {
		return adapter.Answer{Verdict: verdict(rep.Status, "")}
	}
	a := adapter.Answer{JSON: true, Text: r.text(), Verdict: verdict(rep.Status, adapter.Details(r.Detail))}
	if rep.Status == http.StatusOK {
		a.Unusable = r.picture(d)
	}
	return a
}

// decode reads JSON without minding fields of a wrong type: a reply is worth as much as can be read of it.
func decode(body []byte, into any) bool {
	err := json.Unmarshal(body, into)
	_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
	return err == nil || wrongType
}

// text is what a failure says: the detail is made for readers, an exception's text less so, its class hardly.
func (r reply) text() string {
	for _, said := range []string{adapter.Details(r.Detail), r.Errors, r.Error} {
		if said = strings.TrimSpace(said); said != "" {
			return said
		}
	}
	return ""
}

// verdict is what the protocol makes of a status and its detail, or nil: the table knows. A server that was started without
// --api, or one behind a wrong path, has no such endpoint: that is not the request's fault. FastAPI then has the status's own
// words as the detail; any other is the endpoint's, which answers so what it does not find of the request's.
func verdict(status int, detail string) *imagegen.CallError {
	ofEndpoint := detail != "" && !strings.EqualFold(detail, http.StatusText(http.StatusNotFound)) &&
		!strings.EqualFold(detail, http.StatusText(http.StatusMethodNotAllowed))
	switch {
	case status == http.StatusMethodNotAllowed, status == http.StatusNotFound && !ofEndpoint:
		return adapter.Unavailable()
	default:
		return nil
	}
}

// picture reads the picture of a success.
func (r reply) picture(d *imagegen.Drawing) (err error) {
	if len(r.Images) == 0 {
		return errors.New("success without a picture")
	}
	about := info{Seed: -1}
	_ = decode([]byte(r.Info), &about) // nothing in it is needed
	if about.Seed >= 0 && about.Seed <= math.MaxUint32 {
		d.Seed = uint32(about.Seed)
	}
	if about.Width > 0 && about.Height > 0 {
		d.Width, d.Height = about.Width, about.Height
	}
	d.Data, err = r.Images[0].Picture()
	return err
}
