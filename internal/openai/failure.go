package openai

import (
	"net/http"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Class is how a kind of failure looks to a client.
type Class struct {
	Status int
	Type   string
	Code   string
}

const (
	typeRequest = "invalid_request_error"
	typeLimit   = "rate_limit_error"
	typeServer  = "server_error"
)

// ClassOf returns the class of a kind: the one place where failures become HTTP.
func ClassOf(k imagegen.Kind) Class {
	switch k {
	case imagegen.KindInvalidJSON:
		return Class{http.StatusBadRequest, typeRequest, "invalid_json"}
	case imagegen.KindMissingParameter:
		return Class{http.StatusBadRequest, typeRequest, "missing_required_parameter"}
	case imagegen.KindInvalidValue:
		return Class{http.StatusBadRequest, typeRequest, "invalid_value"}
	case imagegen.KindUpstreamRejected:
		return Class{http.StatusBadRequest, typeRequest, "upstream_rejected"}
	case imagegen.KindContentPolicy:
		return Class{http.StatusBadRequest, typeRequest, "content_policy_violation"}
	case imagegen.KindInvalidAPIKey:
		return Class{http.StatusUnauthorized, typeRequest, "invalid_api_key"}
	case imagegen.KindModelNotAllowed:
		return Class{http.StatusForbidden, typeRequest, "model_not_allowed"}
	case imagegen.KindModelNotFound:
		return Class{http.StatusNotFound, typeRequest, "model_not_found"}
	case imagegen.KindJobNotFound:
		return Class{http.StatusNotFound, typeRequest, "job_not_found"}
	case imagegen.KindJobCancelled: // not to be tried again: somebody did not want it
		return Class{http.StatusBadRequest, typeRequest, "job_cancelled"}
	case imagegen.KindUnknownURL:
		return Class{http.StatusNotFound, typeRequest, "unknown_url"}
	case imagegen.KindMethodNotAllowed:
		return Class{http.StatusMethodNotAllowed, typeRequest, "method_not_allowed"}
	case imagegen.KindRequestTooLarge:
		return Class{http.StatusRequestEntityTooLarge, typeRequest, "request_too_large"}
	case imagegen.KindKeyReused:
		return Class{http.StatusUnprocessableEntity, typeRequest, "idempotency_key_reused"}
	case imagegen.KindRateLimited:
		return Class{http.StatusTooManyRequests, typeLimit, "rate_limit_exceeded"}
	case imagegen.KindQuota:
		return Class{http.StatusTooManyRequests, typeLimit, "insufficient_quota"}
	case imagegen.KindUpstreamError:
		return Class{http.StatusBadGateway, typeServer, "upstream_error"}
	case imagegen.KindUpstreamTimeout:
		return Class{http.StatusBadGateway, typeServer, "upstream_timeout"}
	case imagegen.KindUpstreamAccount, imagegen.KindUpstreamUnavailable: // why is the operator's business
		return Class{http.StatusBadGateway, typeServer, "upstream_unavailable"}
	case imagegen.KindUpstreamAmbiguous:
		return Class{http.StatusBadGateway, typeServer, "upstream_outcome_unknown"}
	case imagegen.KindQueueFull:
		return Class{http.StatusServiceUnavailable, typeServer, "queue_full"}
	case imagegen.KindQueueUnavailable:
		return Class{http.StatusServiceUnavailable, typeServer, "queue_unavailable"}
	case imagegen.KindShuttingDown:
		return Class{http.StatusServiceUnavailable, typeServer, "shutting_down"}
	case imagegen.KindGenerationTimeout:
		return Class{http.StatusGatewayTimeout, typeServer, "generation_timeout"}
	case imagegen.KindInternal:
	}
	// Kinds are stored by name: a record may also hold one that only a newer process knows.
	return Class{http.StatusInternalServerError, typeServer, "internal_error"}
}

// ErrorReply is the body of every failed request.
type ErrorReply struct {
	Error ErrorObject `json:"error"`
}

// ErrorObject is a failure as clients read it.
type ErrorObject struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

// NewErrorReply encodes a failure. Of an internal one the client learns nothing but the id to quote.
func NewErrorReply(e *imagegen.Error, requestID string) ErrorReply {
	o := newErrorObject(e)
	if ClassOf(e.Kind).Status == http.StatusInternalServerError {
		o.Message = internalMessage + " If it happens again, report it with the request id " + requestID + "."
	}
	return ErrorReply{Error: o}
}

const internalMessage = "The server had an error while processing the request."

func newErrorObject(e *imagegen.Error) ErrorObject {
	c := ClassOf(e.Kind)
	o := ErrorObject{Message: e.Message, Type: c.Type, Code: c.Code}
	if e.Param != "" {
		o.Param = &e.Param
	}
	if c.Status == http.StatusInternalServerError {
		o.Message, o.Param = internalMessage, nil
	}
	return o
}
