// Package adapter is what the adapters of all upstreams have in common: one HTTP call, and what its end means.
//
// It owns the call itself (its deadline, how much of an answer is read, whether any of the request was sent) and the table
// of failures: every way a call can end is classified here, once, as an [imagegen.CallError]: what happened, whether the
// picture may have been paid for, whether another attempt may help, and what the client may be told. An adapter adds its
// protocol: the request's body, and what it reads out of a reply as an [Answer].
//
// Nothing an upstream says is trusted. Replies are read up to a bound, a picture's address is taken only if it is an
// absolute http(s) URL, and a picture's bytes only if they are one of a known type; redirects are not followed, and no text
// leaves the package with a secret in it: not even in the operator's cause, where an upstream that echoes its request would
// otherwise put it into the log.
//
// It makes one call at a time and repeats nothing: attempts, pauses, breakers and the choice of keys are the caller's.
package adapter
