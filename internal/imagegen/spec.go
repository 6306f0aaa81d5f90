package imagegen

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
	OutputFormat   string // png, jpeg, webp or empty
	// OutputCompression is the quality of a jpeg picture, 0 to 100.
	OutputCompression *int
}

// MaxPictures is the most pictures one request may ask for (the OpenAI API's own bound).
const MaxPictures = 10

// Spec is a checked request: n pictures of one prompt. It is stored with the job as JSON.
type Spec struct {
	Model          string   `json:"model"`    // the catalogue's id, never an alias
	Upstream       string   `json:"upstream"` // name of the upstream that draws it
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
	// OutputFormat is png, jpeg or webp; empty: as the upstream made it. It holds for pictures that pass through us.
	OutputFormat      string `json:"output_format,omitempty"`
	OutputCompression int    `json:"output_compression,omitempty"` // quality of a jpeg, 1 to 100; 0: the default
}

// N returns the number of pictures asked for.
func (s Spec) N() int { return len(s.Seeds) }

// Image is one finished picture.
type Image struct {
	URL    string `json:"url"` // absolute http(s)
	Seed   uint32 `json:"seed"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}
