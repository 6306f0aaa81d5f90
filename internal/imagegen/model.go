package imagegen

// Size is a picture's width and height in pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Limits bound what a model draws.
type Limits struct {
	MinSide, MaxSide   int // pixels, both sides
	MinSteps, MaxSteps int
}

// Quality is one tier of a model. A zero field leaves the request's value as it is.
type Quality struct {
	MaxSide int // longest side in pixels; sizes from a ratio or the default are scaled down to it
	Steps   int
}

// Model is one entry of the catalogue: what clients ask for by name and what the upstream is sent for it.
type Model struct {
	ID          string
	OwnedBy     string
	Created     int64    // unix seconds; a constant of the model, not the clock
	Upstreams   []string // names of those that draw it, the first choice first
	ModelIndex  int      // the number that upstreams of the native protocol know the model by
	Steps       int      // default
	CFG         float64
	Limits      Limits
	DefaultSize Size
	Ratios      map[string]Size // by "W:H"
	Qualities   map[string]Quality
	Aliases     []string // further names that clients may use
	Passthrough []string // fields of a request that go to the upstream as they are
	Edit        bool     // it changes a picture that comes with the request, and draws none without
	// DefaultResponseFormat is how an images call that does not say gets its pictures: url, b64_json or both; empty: by
	// the name the model was asked for.
	DefaultResponseFormat string
}

// WithinLimits returns the model with its defaults and tables brought within its limits: sizes scaled down, steps cut off.
func (m Model) WithinLimits() Model {
	l := m.Limits
	m.Steps = min(max(m.Steps, l.MinSteps), l.MaxSteps)
	m.DefaultSize = l.fit(m.DefaultSize, l.MaxSide)
	ratios := make(map[string]Size, len(m.Ratios))
	for ratio, size := range m.Ratios {
		ratios[ratio] = l.fit(size, l.MaxSide)
	}
	qualities := make(map[string]Quality, len(m.Qualities))
	for name, q := range m.Qualities {
		if q.MaxSide != 0 {
			smallest, _ := l.sides()
			q.MaxSide = min(max(q.MaxSide, smallest), l.MaxSide)
		}
		if q.Steps != 0 {
			q.Steps = min(max(q.Steps, l.MinSteps), l.MaxSteps)
		}
		qualities[name] = q
	}
	m.Ratios, m.Qualities = ratios, qualities
	return m
}
