package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

func (s *Server) generateImages(w http.ResponseWriter, r *http.Request) (rest, error) {
	body, err := readBody(r)
	if err != nil {
		return rest{}, err
	}
	req, err := openai.DecodeImages(body)
	if err != nil {
		return rest{}, err
	}
	o, err := s.order(r, req.Ask, nil)
	if err != nil {
		return rest{}, err
	}
	return s.images(w, r, req, o, false)
}

func (s *Server) editImages(w http.ResponseWriter, r *http.Request) (rest, error) {
	body, err := readBody(r)
	if err != nil {
		return rest{}, err
	}
	req, err := openai.DecodeEdit(r.Header.Get("Content-Type"), body)
	if err != nil {
		return rest{}, err
	}
	if req.Model == "" {
		req.Model = s.firstEditor(exchangeOf(r).key).ID
	}
	o, err := s.order(r, req.Ask, nil)
	if err != nil {
		return rest{}, err
	}
	return s.images(w, r, req, o, true)
}

func (s *Server) images(w http.ResponseWriter, r *http.Request, req openai.ImagesRequest, o order, edit bool) (rest, error) {
	format := req.Format.Resolve(o.model, req.Model)
	if req.Stream {
		// The events of OpenAI's image streams hold the picture itself, unless somebody asks for something else.
		if req.Format == openai.FormatDefault && o.model.DefaultResponseFormat == "" {
			format = openai.FormatBase64
		}
		return s.streamImages(w, r, o, edit, format)
	}
	return s.plain(w, r, o, url.Values{"format": {string(format)}}, s.renderImages)
}

func (s *Server) renderImages(ctx context.Context, j job.Job, show url.Values) (any, error) {
	format := openai.ResponseFormat(show.Get("format"))
	var contents []*openai.Content
	if format.Needs() {
		var err error
		if contents, err = s.contents(ctx, j); err != nil {
			return nil, err
		}
	}
	return openai.NewImagesReply(j, format, contents), nil
}
