// Package exacg calls the default upstream: one JSON POST that answers with the address of a finished picture.
//
// It owns that protocol and its failures. Every way a call can end is classified here, once, as an [imagegen.CallError]:
// what happened, whether the picture may have been paid for, whether another attempt may help, and what the client may
// be told. It makes one call at a time and repeats nothing: attempts, pauses, breakers and keys are its caller's.
//
// Nothing the upstream says is trusted. Replies are read up to a bound, an image address is taken only if it is an
// absolute http(s) URL, redirects are not followed, and no text leaves the package with the API key in it: not even in
// the operator's cause, where an upstream that echoes its request would otherwise put it into the log.
package exacg
