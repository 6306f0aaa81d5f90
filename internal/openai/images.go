package openai

import "github.com/zimage-gateway/zimage-gateway/internal/job"

// ImagesReply is the reply to an images call.
type ImagesReply struct {
	Created int64       `json:"created"` // unix seconds
	Data    []ImageData `json:"data"`
}

// ImageData is one picture of an images reply.
type ImageData struct {
	URL string `json:"url"`
}

// NewImagesReply encodes a finished job that has pictures: see [JobError].
func NewImagesReply(j job.Job) ImagesReply {
	r := ImagesReply{Created: j.CreatedAt.Unix(), Data: []ImageData{}}
	for _, p := range pictures(j) {
		r.Data = append(r.Data, ImageData{URL: p.URL})
	}
	return r
}
