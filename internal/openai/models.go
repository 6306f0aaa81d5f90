package openai

import "github.com/zimage-gateway/zimage-gateway/internal/imagegen"

// Model is one name that clients may put in the model field.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // unix seconds
	OwnedBy string `json:"owned_by"`
}

// ModelList is the reply to GET /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// NewModel encodes a name of the catalogue.
func NewModel(e imagegen.Entry) Model {
	return Model{ID: e.ID, Object: "model", Created: e.Model.Created, OwnedBy: e.Model.OwnedBy}
}

// NewModelList encodes the catalogue.
func NewModelList(entries []imagegen.Entry) ModelList {
	l := ModelList{Object: "list", Data: make([]Model, 0, len(entries))}
	for _, e := range entries {
		l.Data = append(l.Data, NewModel(e))
	}
	return l
}
