package adapter

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// maxRetryAfter bounds the pause that an upstream can impose.
const maxRetryAfter = 10 * time.Minute

// What the client is told where the upstream's own words are none of its business.
const (
	messageBusy      = "the image service is busy"
	messageMalformed = "the image service gave an answer that cannot be used"
	messageAccount   = "the image service is not available to this gateway at the moment"
	messageRefused   = "the image service refused the request"
)

// Answer is what an adapter made out of a reply in its protocol.
type Answer struct {
	JSON     bool   // the body is a JSON object
	Declined bool   // it says itself that there is no picture, and nothing to pay; its words then count
	Text     string // what the upstream said; empty: the body is for the operator to read
	// Verdict is what the protocol itself makes of the reply; nil: the table decides. Only Outcome, Billed, Transient,
	// Kind and Message count; an empty Message is filled in.
	Verdict *imagegen.CallError
	// Unusable says why a reply that does not decline holds no picture; nil: it holds one.
	Unusable error
}

// Classify turns a complete reply into the failure it is; nil is a picture.
func (c *Caller) Classify(rep Reply, a Answer, o imagegen.Order) *imagegen.CallError {
	if a.Text = c.scrub.line(a.Text); !a.JSON {
		a.Text = c.scrub.line(string(rep.Body)) // for the operator: a page or half an answer
	}
	e := a.Verdict
	if e == nil {
		e = judge(rep, a, withoutEchoes(a.Text, o))
	}
	if e == nil {
		return nil
	}
	if a.Declined {
		e.Billed = imagegen.BilledNo // whatever the status: it says itself that there is no picture
	}
	if e.Transient {
		e.RetryAfter = retryAfter(rep.Header.Get("Retry-After"), time.Now())
	}
	if e.Message == "" {
		e.Message = toldOf(a)
	}
	if e.Kind == "" {
		e.Kind = imagegen.KindUpstreamError
	}
	e.Err = describe(rep.Status, cut(a.Text, maxOperator), e.Err)
	return e
}

// judge is the table of what an answer means. A nil result is a picture. The order of the cases matters: a status that
// names our account is believed before the text, a text that says busy before a status that says nothing.
func judge(rep Reply, a Answer, said string) *imagegen.CallError {
	status := rep.Status
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden && a.JSON:
		return Account(imagegen.OutcomeAuth)
	case status == http.StatusPaymentRequired:
		return Account(imagegen.OutcomeQuota)
	case status == http.StatusTooManyRequests:
		return declinedForNow(imagegen.OutcomeRateLimited, messageBusy)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusServiceUnavailable:
		return declinedForNow(imagegen.OutcomeStatus, failedWith(status))
	case status == http.StatusForbidden: // not JSON: a bot wall in front of the upstream, which lets us through later
		return declinedForNow(imagegen.OutcomeStatus, failedWith(status))
	case a.Declined && saysQuota(said):
		e := Account(imagegen.OutcomeQuota)
		e.Doubtful = true // withoutEchoes cannot know every way to repeat a request
		return e
	case a.Declined && saysBusy(said):
		return declinedForNow(imagegen.OutcomeRateLimited, messageBusy)
	case status >= 400 && status < 500, status < 300 && a.Declined:
		return Refused(imagegen.KindUpstreamRejected)
	case status == http.StatusOK:
		return unusable(rep, a)
	default:
		return broken(status)
	}
}

// Account is a refusal of the gateway's own key. Attempts with it are spared, and the client learns nothing of it.
func Account(outcome imagegen.Outcome) *imagegen.CallError {
	return &imagegen.CallError{
		Outcome: outcome, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount, Message: messageAccount,
	}
}

// Unavailable is a refusal for reasons of the upstream's own that have nothing to do with the account: it has no such
// model, or does not serve this kind of call.
func Unavailable() *imagegen.CallError {
	return &imagegen.CallError{
		Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamUnavailable, Message: messageAccount,
	}
}

// Refused is a refusal of the request for good; the client is told why in the upstream's words, as far as they are fit to
// be told.
func Refused(kind imagegen.Kind) *imagegen.CallError {
	return &imagegen.CallError{Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: kind}
}

// toldOf is what a client is told of a refusal.
func toldOf(a Answer) string {
	if m := message(a.Text); a.JSON && m != "" {
		return m
	}
	return messageRefused
}

func declinedForNow(outcome imagegen.Outcome, message string) *imagegen.CallError {
	return &imagegen.CallError{Outcome: outcome, Billed: imagegen.BilledNo, Transient: true, Message: message}
}

// unusable is nil for an answer with a picture. Any other was perhaps paid for: it did not decline.
func unusable(rep Reply, a Answer) *imagegen.CallError {
	err := a.Unusable
	switch {
	case rep.TooLong > 0:
		err = fmt.Errorf("the reply is longer than %d bytes", rep.TooLong)
	case !a.JSON:
		err = errors.New("the reply is no JSON object")
	case err == nil:
		return nil
	}
	return &imagegen.CallError{
		Outcome: imagegen.OutcomeMalformed, Billed: imagegen.BilledUnknown, Transient: true, Message: messageMalformed, Err: err,
	}
}

// broken is any status that neither answers nor declines: other 5xx, redirects, and 2xx that are not the protocol's.
func broken(status int) *imagegen.CallError {
	e := &imagegen.CallError{
		Outcome: imagegen.OutcomeStatus, Billed: imagegen.BilledUnknown, Transient: true, Message: failedWith(status),
	}
	switch status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		// These ask for the same request at another place, so nothing was drawn at this one. A 302 or 303 is different:
		// it may well be how a server answers a POST that it has carried out.
		e.Billed = imagegen.BilledNo
	}
	return e
}

func failedWith(status int) string {
	return "the image service failed (HTTP " + strconv.Itoa(status) + ")"
}

// describe is the operator's view of an answer: its status and what it said. It may hold details of our account.
func describe(status int, text string, cause error) error {
	switch {
	case cause == nil && text == "":
		return fmt.Errorf("HTTP %d", status)
	case cause == nil:
		return fmt.Errorf("HTTP %d: %s", status, text)
	case text == "":
		return fmt.Errorf("HTTP %d: %w", status, cause)
	default:
		return fmt.Errorf("HTTP %d: %w: %s", status, cause, text)
	}
}

// retryAfter reads a Retry-After header, in seconds or as a date. Zero: there is none to go by.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	d := time.Duration(0)
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		d = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
