package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// SourceFunc returns the picture that an order edits. An [imagegen.Error] says that it cannot be had for good, in words
// for the client that name the image; any other error is worth another try. It is called by many goroutines at once.
type SourceFunc func(ctx context.Context, o imagegen.Order) (picture.Picture, error)

// Source returns the picture to edit, within a context made by WithTimeout. Nothing was sent where it fails.
func (c *Caller) Source(ctx context.Context, get SourceFunc, o imagegen.Order) (picture.Picture, *imagegen.CallError) {
	if get == nil {
		e := Unavailable()
		e.Err = errors.New("this upstream was set up without a way to fetch the picture to edit")
		return picture.Picture{}, e
	}
	p, err := get(ctx, o)
	if err == nil {
		return p, nil
	}
	err = fmt.Errorf("get the picture to edit: %w", err)
	if final, ok := errors.AsType[*imagegen.Error](err); ok && ctx.Err() == nil {
		return picture.Picture{}, &imagegen.CallError{
			Outcome: imagegen.OutcomeRefused, Billed: imagegen.BilledNo, NotUpstream: true, Kind: final.Kind, Message: final.Message, Err: err,
		}
	}
	e := interrupted(ctx, false, err)
	e.NotUpstream = true
	if e.Outcome == imagegen.OutcomeNetwork {
		e.Message = "the image to edit could not be fetched"
	}
	return picture.Picture{}, e
}
