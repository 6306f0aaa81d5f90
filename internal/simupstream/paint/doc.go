// Package paint draws the pictures of the simulated upstream: a quiet scene chosen by a number, with a caption.
//
// The same [Picture] is always the same bytes. Drawing is made to be cheap (a 2048×2048 picture takes around a tenth of
// a second with its encoding): colours are smooth and edges few, which is what makes both the drawing and PNG fast.
package paint
