package exacg

import (
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// order is the request body.
type order struct {
	Prompt         string  `json:"prompt"`
	Width          int     `json:"width"`
	Height         int     `json:"height"`
	Steps          int     `json:"steps"`
	CFG            float64 `json:"cfg"`
	ModelIndex     int     `json:"model_index"`
	Seed           uint32  `json:"seed"`
	NegativePrompt *string `json:"negative_prompt,omitempty"`
}

// edit is the request body of the models that change a picture; they take nothing else of the gateway's own.
type edit struct {
	Prompt      string `json:"prompt"`
	ModelIndex  int    `json:"model_index"`
	ImageSource string `json:"image_source"`
}

func encode(o imagegen.Order) ([]byte, error) {
	var body any = order{
		Prompt: o.Prompt, Width: o.Width, Height: o.Height, Steps: o.Steps, CFG: o.CFG,
		ModelIndex: o.ModelIndex, Seed: o.Seed, NegativePrompt: o.NegativePrompt,
	}
	if o.Source != "" {
		body = edit{Prompt: o.Prompt, ModelIndex: o.ModelIndex, ImageSource: o.Source}
	}
	return adapter.EncodeBody(body, o.Extra)
}
