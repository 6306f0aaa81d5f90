// Package vp8l writes lossless WebP files.
//
// It owns the writing half of the format, of which it uses a part that suits drawn pictures: green is taken from the
// other colours, every tile gets the best of a few predictors, equal pixels in a row become a run, and the rest is
// entropy coded. There is no colour cache, no palette and no search for repeats, so flat drawings come out larger than
// from the reference encoder, and nothing else does by much. Reading is golang.org/x/image/webp's.
package vp8l
