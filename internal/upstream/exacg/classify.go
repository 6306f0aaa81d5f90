package exacg

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

// classify turns a complete answer into the picture's address or into the failure it is.
func (c *Client) classify(rep reply, o imagegen.Order) (string, *imagegen.CallError) {
	a := parse(rep.body)
	if a.text = c.scrub.line(a.text); !a.object {
		a.text = c.scrub.line(string(rep.body)) // for the operator: a page or half an answer
	}
	said := withoutEchoes(a.text, o)
	e := judge(rep, a, said)
	if e == nil {
		return a.imageURL, nil
	}
	if a.declined {
		e.Billed = imagegen.BilledNo // whatever the status: it says itself that there is no picture
	}
	if e.Transient {
		e.RetryAfter = retryAfter(rep.header.Get("Retry-After"), time.Now())
	}
	if e.Kind == "" {
		e.Kind = imagegen.KindUpstreamError
	}
	e.Err = describe(rep.status, cut(a.text, maxOperator), e.Err)
	return "", e
}

// judge is the table of what an answer means. A nil result is a picture. The order of the cases matters: a status that
// names our account is believed before the text, a text that says busy before a status that says nothing.
func judge(rep reply, a answer, said string) *imagegen.CallError {
	status := rep.status
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden && a.object:
		return account(imagegen.OutcomeAuth)
	case status == http.StatusPaymentRequired:
		return account(imagegen.OutcomeQuota)
	case status == http.StatusTooManyRequests:
		return declinedForNow(imagegen.OutcomeRateLimited, messageBusy)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusServiceUnavailable:
		return declinedForNow(imagegen.OutcomeStatus, failedWith(status))
	case status == http.StatusForbidden: // not JSON: a bot wall in front of the upstream, which lets us through later
		return declinedForNow(imagegen.OutcomeStatus, failedWith(status))
	case a.declined && saysQuota(said):
		return account(imagegen.OutcomeQuota)
	case a.declined && saysBusy(said):
		return declinedForNow(imagegen.OutcomeRateLimited, messageBusy)
	case status >= 400 && status < 500, status < 300 && a.declined:
		return refused(a)
	case status == http.StatusOK:
		return unusable(rep, a)
	default:
		return broken(status)
	}
}

// account is a refusal of the gateway's own key. Attempts with it are spared, and the client learns nothing of it.
func account(outcome imagegen.Outcome) *imagegen.CallError {
	return &imagegen.CallError{
		Outcome: outcome, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamAccount, Message: messageAccount,
	}
}

func declinedForNow(outcome imagegen.Outcome, message string) *imagegen.CallError {
	return &imagegen.CallError{Outcome: outcome, Billed: imagegen.BilledNo, Transient: true, Message: message}
}

// refused is a refusal for good; the client is told why in the upstream's words, as far as they are fit to be told.
func refused(a answer) *imagegen.CallError {
	said := messageRefused
	if m := message(a.text); a.object && m != "" {
		said = m
	}
	return &imagegen.CallError{
		Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, Kind: imagegen.KindUpstreamRejected, Message: said,
	}
}

// unusable is nil for an answer with a picture. Any other was perhaps paid for: it did not decline.
func unusable(rep reply, a answer) *imagegen.CallError {
	var err error
	switch {
	case rep.tooLong:
		err = fmt.Errorf("the reply is longer than %d bytes", maxReplyBytes)
	case !a.object:
		err = errors.New("the reply is no JSON object")
	case !a.success:
		err = errors.New("the reply says neither success nor failure")
	default:
		if err = checkImageURL(a.imageURL); err == nil {
			return nil
		}
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
