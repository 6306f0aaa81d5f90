package openaiimages

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// reply is a body in this protocol, a success or a failure.
type reply struct {
	Data []struct {
		Base64        adapter.Encoded `json:"b64_json"`
		URL           string          `json:"url"`
		RevisedPrompt string          `json:"revised_prompt"`
	} `json:"data"`
	Size string `json:"size"` // of the gpt-image models: what was drawn

	Error   json.RawMessage `json:"error"`   // an object, or a text
	Detail  json.RawMessage `json:"detail"`  // FastAPI's way to fail
	Message string          `json:"message"` // that of some relays
	failure                 // vLLM's older way: the error's fields without the object around them
}

// failure is what an error says of itself. A code is a text or a number.
type failure struct {
	Type  string          `json:"type"`
	Param string          `json:"param"`
	Code  json.RawMessage `json:"code"`
}

// read makes out what a reply says. Of a picture, it puts what is known of it into d.
func read(rep adapter.Reply, d *imagegen.Drawing) adapter.Answer {
	var r reply
	body := bytes.TrimSpace(bytes.TrimPrefix(rep.Body, []byte("\ufeff")))
	if len(body) == 0 || body[0] != '{' || !decode(body, &r) {
		return adapter.Answer{Verdict: verdict(rep.Status, failure{})}
	}
	a := adapter.Answer{JSON: true}
	why := r.explain(&a)
	// A failure beside a 5xx does not say that nothing was drawn and charged before it.
	a.Declined = a.Text != "" && len(r.Data) == 0 && rep.Status < http.StatusInternalServerError
	if rep.Status != http.StatusOK || a.Declined {
		a.Verdict = verdict(rep.Status, why)
	}
	if rep.Status == http.StatusOK && !a.Declined {
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

// explain puts what a failure says into a, and returns what it says of itself.
func (r reply) explain(a *adapter.Answer) failure {
	why := r.failure
	var object struct {
		failure

		Message string `json:"message"`
	}
	for _, raw := range []json.RawMessage{r.Error, r.Detail} {
		if a.Text = text(raw); a.Text != "" {
			return why
		}
		if len(raw) > 0 && raw[0] == '{' && decode(raw, &object) && object.Message != "" {
			a.Text = object.Message
			return object.failure
		}
	}
	if a.Text = adapter.Details(r.Detail); a.Text == "" {
		a.Text = r.Message
	}
	return why
}

// text is the string in raw, or empty for any other value.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

// The codes and types of failures that mean more than their status says.
var (
	contentCodes = []string{"content_policy_violation", "moderation_blocked", "content_filter"}
	quotaCodes   = []string{"insufficient_quota", "insufficient_user_quota", "billing_hard_limit_reached", "billing_not_active"}
)

// verdict is what the protocol makes of a failure, or nil: it knows no more than its status.
func verdict(status int, why failure) *imagegen.CallError {
	code := text(why.Code)
	says := func(codes []string) bool { return slices.Contains(codes, code) || slices.Contains(codes, why.Type) }
	switch {
	case says(quotaCodes):
		return adapter.Account(imagegen.OutcomeQuota)
	case status == http.StatusUnauthorized, status == http.StatusPaymentRequired:
		return nil
	case says(contentCodes):
		return adapter.Refused(imagegen.KindContentPolicy)
	case code == "model_not_found", status == http.StatusMethodNotAllowed:
		return adapter.Unavailable()
	case status == http.StatusNotFound && (why.Param == "" || why.Param == "model"): // else a parameter names what is not there
		return adapter.Unavailable()
	case status == http.StatusBadRequest && why.Param == "model": // which the client has no say in
		return adapter.Unavailable()
	default:
		return nil
	}
}

// picture reads the first picture of a success.
func (r reply) picture(d *imagegen.Drawing) (err error) {
	if len(r.Data) == 0 {
		return errors.New("success without a picture")
	}
	first := r.Data[0]
	d.RevisedPrompt = first.RevisedPrompt
	if size, ok := imagegen.ParseSize(r.Size); ok {
		d.Width, d.Height = size.Width, size.Height
	}
	switch {
	case first.Base64.Present():
		d.Data, err = first.Base64.Picture()
	case strings.HasPrefix(first.URL, "data:"): // so do some relays
		d.Data, err = adapter.EncodedAs(first.URL).Picture()
	default:
		d.URL, err = first.URL, adapter.CheckImageURL(first.URL)
	}
	return err
}
