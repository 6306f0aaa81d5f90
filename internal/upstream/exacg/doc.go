// Package exacg calls the default upstream: one JSON POST that answers with the address of a finished picture.
//
// It owns that protocol: the request's fields, and what a reply in its words says. What the ways a call can end mean is
// package adapter's.
package exacg
