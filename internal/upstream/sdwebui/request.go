package sdwebui

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

// order is the request body of both endpoints.
type order struct {
	InitImages       [][]byte  `json:"init_images,omitempty"` // goes out as base64
	Prompt           string    `json:"prompt"`
	NegativePrompt   *string   `json:"negative_prompt,omitempty"`
	Seed             uint32    `json:"seed"`
	Steps            int       `json:"steps"`
	CFGScale         float64   `json:"cfg_scale"`
	Width            int       `json:"width"`
	Height           int       `json:"height"`
	BatchSize        int       `json:"batch_size"`
	Iterations       int       `json:"n_iter"`
	SendImages       bool      `json:"send_images"`
	SaveImages       bool      `json:"save_images"` // the picture is the gateway's to keep
	OverrideSettings *settings `json:"override_settings,omitempty"`
	// RestoreSettings puts the server's own checkpoint back. It stays false: loading one takes longer than drawing, and the
	// next picture is most likely of the same model. Forge never puts it back.
	RestoreSettings *bool `json:"override_settings_restore_afterwards,omitempty"`
}

// settings are the server's, changed for a call.
type settings struct {
	Checkpoint string `json:"sd_model_checkpoint"`
}

// names has the server's name of extra fields that are better known by another.
var names = map[string]string{"sampler": "sampler_name"}

// request returns the call that an order asks for.
func (c *Client) request(ctx context.Context, o imagegen.Order) (adapter.Request, *imagegen.CallError) {
	r := adapter.Request{URL: c.txt2img, Auth: c.auth, HasPicture: true}
	body := order{
		Prompt: o.Prompt, NegativePrompt: o.NegativePrompt, Seed: o.Seed, Steps: o.Steps, CFGScale: o.CFG,
		Width: o.Width, Height: o.Height, BatchSize: 1, Iterations: 1, SendImages: true,
	}
	if checkpoint := c.models[o.Model]; checkpoint != "" {
		body.OverrideSettings, body.RestoreSettings = &settings{Checkpoint: checkpoint}, new(bool)
	}
	if o.Source != "" || o.SourceFile != "" {
		image, failure := c.caller.Source(ctx, c.source, o)
		if failure != nil {
			return r, failure
		}
		r.URL, body.InitImages = c.img2img, [][]byte{image.Data}
	}
	encoded, err := adapter.EncodeBody(body, renamed(o.Extra))
	if err != nil {
		return r, adapter.Unencodable(err)
	}
	r.Body = encoded
	return r, nil
}

// renamed returns the extra fields under the server's names. One that has the server's name already goes first.
func renamed(extra map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(extra)
	for ours, theirs := range names {
		value, ok := all[ours]
		if !ok {
			continue
		}
		delete(all, ours)
		if _, taken := all[theirs]; !taken {
			all[theirs] = value
		}
	}
	return all
}
