package config

import (
	"fmt"
	"slices"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// Summary says what settings that were loaded amount to, counting the keys of clients, and warns of what is hardly meant: a
// line each.
func (c *API) Summary() []string { return c.summary(len(c.Keys) + len(c.ClientKeys)) }

// Summary says what settings that were loaded amount to, counting the keys of upstreams, and warns of what is hardly meant:
// a line each.
func (w *Worker) Summary() []string {
	keys := 0
	for _, u := range w.Upstreams {
		keys += len(u.APIKeys)
	}
	return w.summary(keys)
}

func (c *Common) summary(keys int) []string {
	models := c.Models
	if models == nil {
		models = []imagegen.Model{imagegen.DefaultModel()}
	}
	lines := []string{fmt.Sprintf("configuration ok: %d models, %d upstreams, %d keys", len(models), len(c.Upstreams), keys)}
	for _, u := range c.Upstreams {
		if !slices.ContainsFunc(models, func(m imagegen.Model) bool { return slices.Contains(m.Upstreams, u.Name) }) {
			lines = append(lines, fmt.Sprintf("warning: upstream %s: no model names it", u.Name))
		}
	}
	return lines
}
