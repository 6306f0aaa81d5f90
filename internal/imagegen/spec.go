package imagegen

import "encoding/json"

// Params is what a client asked for, still unchecked. Pointers are nil, and strings empty, where the request was silent.
type Params struct {
	Prompt         string
	NegativePrompt *string
	N              *int
	Width, Height  *int
	Size           string // "WxH", "auto" or empty
	Quality        string
	CFG            *float64
	Steps          *int
	Seed           *int64 // nil or -1: a fresh random seed for every picture
	Source         string // URL of the picture to edit; empty: none
	SourceFile     string // its name in the image store; empty: it is elsewhere
	// Extra holds the request's other fields, of which the model takes those it passes through: JSON by name. Null means
	// absent.
	Extra        map[string]json.RawMessage
	OutputFormat string // png, jpeg, webp or empty
	// OutputCompression is the quality of a jpeg picture, 0 to 100.
	OutputCompression *int
}

// MaxPictures is the most pictures one request may ask for (the OpenAI API's own bound).
const MaxPictures = 10

// Spec is a checked request: n pictures of one prompt. It is stored with the job as JSON.
type Spec struct {
	Model          string   `json:"model"`     // the catalogue's id, never an alias
	Upstreams      []string `json:"upstreams"` // names of those that may draw it, the first choice first
	ModelIndex     int      `json:"model_index"`
	Prompt         string   `json:"prompt"` // cleaned: without ratios
	NegativePrompt *string  `json:"negative_prompt"`
	Width          int      `json:"width"`
	Height         int      `json:"height"`
	Steps          int      `json:"steps"`
	CFG            float64  `json:"cfg"`
	Quality        string   `json:"quality"`
	Seeds          []uint32 `json:"seeds"` // one a picture; len(Seeds) is n
	// Source is the URL of the picture to edit; empty for models that draw from nothing.
	Source string `json:"source,omitempty"`
	// SourceFile is the name of that picture in the image store, where it came with the request; empty: it is elsewhere.
	SourceFile string `json:"source_file,omitempty"`
	// Extra holds the request's fields that go to the upstream as they are: JSON by name.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
	// OutputFormat is png, jpeg or webp; empty: as the upstream made it. It holds for pictures that pass through us.
	OutputFormat      string `json:"output_format,omitempty"`
	OutputCompression int    `json:"output_compression,omitempty"` // quality of a jpeg, 1 to 100; 0: the default
}

// N returns the number of pictures asked for.
func (s Spec) N() int { return len(s.Seeds) }

// Image is one finished picture.
type Image struct {
	URL string `json:"url"` // absolute http(s)
	// File is its name in the image store, from where URL has it; empty: it is elsewhere.
	File   string `json:"file,omitempty"`
	Seed   uint32 `json:"seed"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	// RevisedPrompt is what the upstream made of the prompt; empty: it said nothing of that.
	RevisedPrompt string `json:"revised_prompt,omitempty"`
}
