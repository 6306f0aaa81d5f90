package imagegen

import (
	"fmt"
	"math"
	"strings"
)

// maxCFG bounds the guidance scale. Upstreams name no bound; models use 0 (guidance off) to about 30, so 100 refuses
// only slips of the keyboard, which would otherwise be paid for.
const maxCFG = 100.0

// maxPrompt bounds prompts, in bytes: each is kept with its job. It is far beyond what any model reads.
const maxPrompt = 1 << 20

// maxSeed is the highest seed a client may name; random ones stay below randomSeeds, as some upstreams read a signed 32-bit number.
const (
	maxSeed     = math.MaxUint32
	randomSeeds = math.MaxInt32 // 0 to 2147483646
)

// NewSpec checks what a client asked of the model and settles every value left open. The error is an [*Error] that
// names the field at fault. random yields seeds for the pictures whose seed the client left open, one call each.
func (m Model) NewSpec(p Params, random func() uint32) (Spec, error) {
	if err := m.source(p.Source); err != nil {
		return Spec{}, err
	}
	prompt, ratio, err := m.prompt(p.Prompt)
	if err != nil {
		return Spec{}, err
	}
	n, err := pictures(p.N)
	if err != nil {
		return Spec{}, err
	}
	quality, tier, err := m.quality(p.Quality)
	if err != nil {
		return Spec{}, err
	}
	size, err := m.size(p, ratio, tier)
	if err != nil {
		return Spec{}, err
	}
	steps, err := m.steps(p.Steps, tier)
	if err != nil {
		return Spec{}, err
	}
	cfg, err := m.cfg(p.CFG)
	if err != nil {
		return Spec{}, err
	}
	seeds, err := seeds(p.Seed, n, random)
	if err != nil {
		return Spec{}, err
	}
	negative, err := negativePrompt(p.NegativePrompt)
	if err != nil {
		return Spec{}, err
	}
	format, compression, err := output(p.OutputFormat, p.OutputCompression)
	if err != nil {
		return Spec{}, err
	}
	extra, err := m.extra(p.Extra)
	if err != nil {
		return Spec{}, err
	}
	return Spec{
		Model: m.ID, Upstreams: m.Upstreams, ModelIndex: m.ModelIndex,
		Prompt: prompt, NegativePrompt: negative,
		Width: size.Width, Height: size.Height, Steps: steps, CFG: cfg, Quality: quality, Seeds: seeds,
		Source: p.Source, SourceFile: p.SourceFile, Extra: extra, OutputFormat: format, OutputCompression: compression,
	}, nil
}

// source checks that there is a picture to edit where the model edits, and none where it cannot.
func (m Model) source(url string) error {
	switch {
	case m.Edit && url == "":
		return missing("image", "image is required: the model "+m.ID+" edits a picture")
	case !m.Edit && url != "":
		return invalid("image", "the model %s cannot edit pictures: send none, or choose a model that can", m.ID)
	}
	return nil
}

// output settles the format in which pictures are handed over. A compression is taken for what it can mean: OpenAI's is
// 0 to 100 and 100 where it is not given, for a jpeg that is its quality.
func output(format string, compression *int) (string, int, error) {
	switch format = strings.ToLower(strings.TrimSpace(format)); format {
	case "", "png", "webp":
		return format, 0, nil
	case "jpg":
		format = "jpeg"
	case "jpeg":
	default:
		return "", 0, invalid("output_format", "output_format must be png, jpeg or webp")
	}
	if compression == nil {
		return format, 0, nil
	}
	return format, min(max(*compression, 1), 100), nil
}

// invalid returns the failure of a parameter that can never work.
func invalid(param, format string, args ...any) *Error {
	return &Error{Kind: KindInvalidValue, Param: param, Message: fmt.Sprintf(format, args...)}
}

// missing returns the failure of a parameter that is not there.
func missing(param, message string) *Error {
	return &Error{Kind: KindMissingParameter, Param: param, Message: message}
}

// prompt returns the prompt without its ratios, and the last of them.
func (m Model) prompt(text string) (clean, ratio string, err error) {
	if strings.TrimSpace(text) == "" {
		return "", "", missing("prompt", "prompt is required: say what to draw")
	}
	if len(text) > maxPrompt {
		return "", "", invalid("prompt", "prompt must be at most %d bytes long", maxPrompt)
	}
	clean, ratio, _ = ParsePrompt(text, m.Ratios)
	if strings.TrimSpace(clean) == "" {
		return "", "", invalid("prompt", "prompt holds a ratio (%s) and nothing else: say what to draw", ratio)
	}
	return clean, ratio, nil
}

func negativePrompt(text *string) (*string, error) {
	switch {
	case text == nil || *text == "":
		return nil, nil //nolint:nilnil // none is a value
	case len(*text) > maxPrompt:
		return nil, invalid("negative_prompt", "negative_prompt must be at most %d bytes long", maxPrompt)
	}
	own := *text
	return &own, nil
}

func pictures(n *int) (int, error) {
	switch {
	case n == nil:
		return 1, nil
	case *n < 1 || *n > MaxPictures:
		return 0, invalid("n", "n must be 1 to %d", MaxPictures)
	}
	return *n, nil
}

// quality returns the word the client used, in lower case, and the tier it stands for; the zero tier changes nothing.
func (m Model) quality(text string) (name string, tier Quality, err error) {
	switch name = strings.ToLower(strings.TrimSpace(text)); name {
	case "":
		return "auto", Quality{}, nil
	case "auto", "standard":
		return name, Quality{}, nil
	case "low", "medium", "high":
		return name, m.Qualities[name], nil
	case "hd":
		return name, m.Qualities["high"], nil
	}
	return "", Quality{}, invalid("quality", "quality must be low, medium, high, standard, hd or auto")
}

// size settles the size by rank: width and height, size, the ratio in the prompt, the model's default. The tier bounds
// only what the client did not spell out.
func (m Model) size(p Params, ratio string, tier Quality) (Size, error) {
	if p.Width != nil || p.Height != nil {
		return m.widthAndHeight(p.Width, p.Height)
	}
	if text := strings.TrimSpace(p.Size); text != "" && !strings.EqualFold(text, "auto") {
		size, ok := ParseSize(text)
		if !ok || !m.Limits.holds(size) {
			return Size{}, invalid("size", "size must look like 1024x1024, each side %s", m.Limits.sidesInWords())
		}
		return m.Limits.round(size), nil
	}
	size, ok := m.Ratios[ratio]
	if !ok {
		size = m.DefaultSize
	}
	return m.Limits.fit(size, tier.MaxSide), nil
}

func (m Model) widthAndHeight(width, height *int) (Size, error) {
	switch {
	case width == nil:
		return Size{}, missing("width", "width is required where height is given: send both or neither")
	case height == nil:
		return Size{}, missing("height", "height is required where width is given: send both or neither")
	case !m.Limits.holdsSide(*width):
		return Size{}, invalid("width", "width must be %s", m.Limits.sidesInWords())
	case !m.Limits.holdsSide(*height):
		return Size{}, invalid("height", "height must be %s", m.Limits.sidesInWords())
	}
	return m.Limits.round(Size{Width: *width, Height: *height}), nil
}

// holdsSteps reports whether a number of steps is within the limits.
func (l Limits) holdsSteps(steps int) bool { return l.MinSteps <= steps && steps <= l.MaxSteps }

// steps settles the number of steps: the client's, else the tier's, else the model's.
func (m Model) steps(asked *int, tier Quality) (int, error) {
	switch {
	case asked == nil && tier.Steps != 0:
		return tier.Steps, nil
	case asked == nil:
		return m.Steps, nil
	case !m.Limits.holdsSteps(*asked):
		return 0, invalid("steps", "steps must be %d to %d", m.Limits.MinSteps, m.Limits.MaxSteps)
	}
	return *asked, nil
}

func validCFG(cfg float64) bool { return cfg >= 0 && cfg <= maxCFG } // false for NaN

func (m Model) cfg(asked *float64) (float64, error) {
	switch {
	case asked == nil:
		return m.CFG, nil
	case !validCFG(*asked):
		return 0, invalid("cfg", "cfg must be a number from 0 to %v", maxCFG)
	}
	return *asked, nil
}

// seeds returns one seed a picture: consecutive ones from the client's, wrapping to 0, or fresh random ones.
func seeds(asked *int64, n int, random func() uint32) ([]uint32, error) {
	all := make([]uint32, n)
	if asked == nil || *asked == -1 {
		for i := range all {
			// The remainder favours 0 and 1 by one part in two thousand million, which no picture shows.
			all[i] = random() % randomSeeds
		}
		return all, nil
	}
	if *asked < 0 || *asked > maxSeed {
		return nil, invalid("seed", "seed must be 0 to %d, or -1 for a random one", uint32(maxSeed))
	}
	next := uint32(*asked)
	for i := range all {
		all[i] = next
		next++ // wraps to 0
	}
	return all, nil
}
