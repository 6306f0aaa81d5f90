// Package imagegen is the domain: what a client may ask for, what a picture is, and what can go wrong.
//
// It owns the catalogue of models, the rules that turn a request into a [Spec] (prompt, ratio, size, seed, limits) and
// the closed list of failures. It does no I/O, knows no HTTP status and reads no environment. A Spec is only made by
// [Model.NewSpec], so code that holds one need not check it again.
package imagegen
