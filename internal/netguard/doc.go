// Package netguard decides which network addresses may be dialled for URLs that came from outside, such as those of
// pictures that an upstream names.
//
// The address that is checked is the one that is dialled, after name resolution, so a name that resolves to something
// else the second time gains nothing. Errors are for the operator: they tell what a client may not learn.
package netguard
