package imagegen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Catalog is the checked list of models a gateway offers. It never changes, so any number of goroutines may read it;
// the models it hands out share their maps and slices, which are not to be written to.
type Catalog struct {
	models []Model
	byName map[string]int // index in models, by id or alias in lower case
}

// Entry is one name under which a model is offered.
type Entry struct {
	ID    string // the model's id or one of its aliases
	Model Model
}

// ModelError is one thing that makes a model of a list impossible to serve.
type ModelError struct {
	Index int    // of the model in the list
	ID    string // of the model
	// Field is what is at fault, as CONFIG_FILE names it: steps, limits.steps, aliases[0], ratios["1:1"].
	Field string
	Text  string // what is wrong with it
}

// Error returns all of it on one line.
func (e *ModelError) Error() string { return fmt.Sprintf("model %q: %s: %s", e.ID, e.Field, e.Text) }

// NewCatalog checks the models and lists them. The error joins every mistake there is, each a [*ModelError].
func NewCatalog(models []Model) (*Catalog, error) {
	if len(models) == 0 {
		return nil, errors.New("no models: the catalogue needs at least one")
	}
	c, found := list(models)
	if len(found) == 0 {
		return c, nil
	}
	mistakes := make([]error, len(found))
	for i, e := range found {
		mistakes[i] = e
	}
	return nil, errors.Join(mistakes...)
}

// CheckModels returns everything that makes one of the models impossible to serve, in their order.
func CheckModels(models []Model) []*ModelError {
	_, found := list(models)
	return found
}

func list(models []Model) (c *Catalog, found []*ModelError) {
	c = &Catalog{models: slices.Clone(models), byName: make(map[string]int)}
	for i, m := range models {
		for _, e := range append(c.addNames(i), m.mistakes()...) {
			found = append(found, &ModelError{Index: i, ID: m.ID, Field: e.field, Text: e.text})
		}
	}
	return c, found
}

// mistake is what is wrong with one field of a model.
type mistake struct{ field, text string }

// mistakes collects what is wrong with a model.
type mistakes []mistake

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, mistake{field, fmt.Sprintf(format, args...)})
}

// addNames claims the names of model i.
func (c *Catalog) addNames(i int) (found mistakes) {
	m := c.models[i]
	names := append([]string{m.ID}, m.Aliases...)
	for n, name := range names {
		field := "id"
		if n > 0 {
			field = fmt.Sprintf("aliases[%d]", n-1)
		}
		key := strings.ToLower(name)
		owner, taken := c.byName[key]
		// The id in another case is an alias without need, not a conflict.
		respelled := owner == i && strings.EqualFold(name, m.ID) && !slices.Contains(names[:n], name)
		switch {
		case name == "" || strings.TrimSpace(name) != name:
			found.add(field, "%q is empty or has spaces around it", name)
		case taken && !respelled:
			found.add(field, "%q is taken by model %q (case does not count)", name, c.models[owner].ID)
		default:
			c.byName[key] = i
		}
	}
	return found
}

// Lookup returns the model with that id or alias; case does not count.
func (c *Catalog) Lookup(name string) (Model, bool) {
	i, ok := c.byName[strings.ToLower(name)]
	if !ok {
		return Model{}, false
	}
	return c.models[i], true
}

// Default returns the first model, the one meant when a request names none.
func (c *Catalog) Default() Model { return c.models[0] }

// First returns the first model that fits.
func (c *Catalog) First(fits func(Model) bool) (Model, bool) {
	if i := slices.IndexFunc(c.models, fits); i >= 0 {
		return c.models[i], true
	}
	return Model{}, false
}

// Entries returns every name on offer: the models in order, each followed by its aliases.
func (c *Catalog) Entries() []Entry {
	var entries []Entry
	for _, m := range c.models {
		entries = append(entries, Entry{ID: m.ID, Model: m})
		for _, alias := range m.Aliases {
			entries = append(entries, Entry{ID: alias, Model: m})
		}
	}
	return entries
}

// mistakes returns what makes the model impossible to serve, apart from its names.
func (m Model) mistakes() (found mistakes) {
	if len(m.Upstreams) == 0 || slices.Contains(m.Upstreams, "") {
		found.add("upstream", "none is named")
	}
	if m.ModelIndex < 0 {
		found.add("model_index", "%d is negative", m.ModelIndex)
	}
	found = append(found, m.passthroughMistakes()...)
	l := m.Limits
	if smallest, largest := l.sides(); l.MinSide < 1 || smallest > largest {
		found.add("limits", "a side of %s can be no positive multiple of %d", l.sidesInWords(), sideStep)
		return found // every size would be out of limits: one mistake, told once
	}
	if l.MinSteps < 1 || l.MinSteps > l.MaxSteps {
		found.add("limits.steps", "%d to %d holds no positive number", l.MinSteps, l.MaxSteps)
		return found
	}
	if !l.holdsSteps(m.Steps) {
		found.add("steps", "%d is outside %d to %d", m.Steps, l.MinSteps, l.MaxSteps)
	}
	if !validCFG(m.CFG) {
		found.add("cfg", "%v is not a number from 0 to %v", m.CFG, maxCFG)
	}
	if !l.holds(m.DefaultSize) {
		found.add("default_size", "%s has a side outside %s", m.DefaultSize, l.sidesInWords())
	}
	return append(found, m.tableMistakes()...)
}

func (m Model) passthroughMistakes() (found mistakes) {
	for i, name := range m.Passthrough {
		field := fmt.Sprintf("passthrough[%d]", i)
		if text := passthroughMistake(name); text != "" {
			found.add(field, "%s", text)
		}
		if slices.Contains(m.Passthrough[:i], name) {
			found.add(field, "%s is listed twice", name)
		}
	}
	return found
}

// tableMistakes returns what is wrong with the ratios and the qualities, in the order of their names.
func (m Model) tableMistakes() (found mistakes) {
	l := m.Limits
	for _, ratio := range slices.Sorted(maps.Keys(m.Ratios)) {
		field := fmt.Sprintf("ratios[%q]", ratio)
		if !validRatio(ratio) {
			found.add(field, "a ratio looks like 16:9")
		}
		if size := m.Ratios[ratio]; !l.holds(size) {
			found.add(field, "%s has a side outside %s", size, l.sidesInWords())
		}
	}
	smallest, _ := l.sides()
	for _, name := range slices.Sorted(maps.Keys(m.Qualities)) {
		field := fmt.Sprintf("qualities[%q]", name)
		if name != "low" && name != "medium" && name != "high" {
			found.add(field, "it can never be asked for: tiers are low, medium and high")
		}
		q := m.Qualities[name]
		if q.MaxSide != 0 && (q.MaxSide < smallest || q.MaxSide > l.MaxSide) {
			found.add(field+".max_side", "%d is outside %d to %d", q.MaxSide, smallest, l.MaxSide)
		}
		if q.Steps != 0 && !l.holdsSteps(q.Steps) {
			found.add(field+".steps", "%d is outside %d to %d", q.Steps, l.MinSteps, l.MaxSteps)
		}
	}
	return found
}

// validRatio reports whether a table's key can be found in a prompt: two numbers of 1 to 4 digits, as they are written.
func validRatio(ratio string) bool {
	w, h, ok := strings.Cut(ratio, ":")
	return ok && validRatioSide(w) && validRatioSide(h)
}

func validRatioSide(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && len(text) <= 4 && strconv.FormatUint(n, 10) == text
}

// DefaultModel returns the model a gateway offers when nothing else is configured. Every call makes its own maps.
func DefaultModel() Model {
	return Model{
		ID: "Z-Image", OwnedBy: "sd-exacg-gateway", Created: 1730800000,
		Upstreams: []string{"exacg"}, ModelIndex: 5,
		Steps: 8, CFG: 7.0,
		Limits:      Limits{MinSide: 64, MaxSide: 2048, MinSteps: 1, MaxSteps: 50},
		DefaultSize: Size{Width: 2048, Height: 2048},
		Ratios: map[string]Size{
			"1:1":  {Width: 2048, Height: 2048},
			"1:2":  {Width: 1024, Height: 2048},
			"2:1":  {Width: 2048, Height: 1024},
			"2:3":  {Width: 1280, Height: 1920},
			"3:2":  {Width: 1920, Height: 1280},
			"3:4":  {Width: 1536, Height: 2048},
			"4:3":  {Width: 2048, Height: 1536},
			"9:16": {Width: 1152, Height: 2048},
			"16:9": {Width: 2048, Height: 1152},
			"21:9": {Width: 2016, Height: 864},
		},
		Qualities: map[string]Quality{"low": {MaxSide: 1024}, "medium": {MaxSide: 1536}, "high": {MaxSide: 2048}},
	}
}
