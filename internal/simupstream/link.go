package simupstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream/paint"
)

// maxCaption is how much of a prompt a link carries, in bytes: more than a picture has room for.
const maxCaption = 360

// link is a picture as its address tells it.
type link struct {
	seed          uint64
	variant       uint32 // of all that was asked for
	width, height int
	caption       string
}

func (l link) id() string {
	return fmt.Sprintf("%d-%dx%d-%08x", l.seed, l.width, l.height, l.variant)
}

// path is the link's address on the server: its id and the caption in letters that need no escaping.
func (l link) path() string {
	return "/images/" + l.id() + "-" + base64.RawURLEncoding.EncodeToString([]byte(l.caption)) + ".png"
}

var errNoPicture = errors.New("no such picture")

// parseLink reads the last segment of a path.
func parseLink(name string) (link, error) {
	name, isPNG := strings.CutSuffix(name, ".png")
	parts := strings.SplitN(name, "-", 4) // the caption's letters include the dash
	if !isPNG || len(parts) != 4 || len(parts[3]) > base64.RawURLEncoding.EncodedLen(maxCaption) {
		return link{}, errNoPicture
	}
	w, h, _ := strings.Cut(parts[1], "x")
	seed, err1 := strconv.ParseUint(parts[0], 10, 64)
	width, err2 := strconv.Atoi(w)
	height, err3 := strconv.Atoi(h)
	variant, err4 := strconv.ParseUint(parts[2], 16, 32)
	caption, err5 := base64.RawURLEncoding.DecodeString(parts[3])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || !utf8.Valid(caption) {
		return link{}, errNoPicture
	}
	return link{seed: seed, variant: uint32(variant), width: width, height: height, caption: string(caption)}, nil
}

// picture draws what a link tells.
func (s *Server) picture(w http.ResponseWriter, r *http.Request) {
	l, err := parseLink(r.PathValue("name"))
	if err != nil {
		http.Error(w, "no such picture", http.StatusNotFound)
		return
	}
	if min(l.width, l.height) < paint.MinSide || max(l.width, l.height) > paint.MaxSide {
		http.Error(w, "sides are 64 to 2048 pixels", http.StatusBadRequest)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "image/png")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "public, max-age=31536000, immutable")
	head.Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodHead {
		return
	}
	_ = s.draw(r, w, l) // the sides were checked, so it can only be a client that left
}

// draw paints a picture for a request. It takes 16 MiB and a processor: those that come at once wait in line.
func (s *Server) draw(r *http.Request, w io.Writer, l link) error {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	return l.picture().WritePNG(w)
}

// paint returns the picture itself, for replies that hold it.
func (s *Server) paint(r *http.Request, l link) ([]byte, error) {
	var b bytes.Buffer
	err := s.draw(r, &b, l)
	return b.Bytes(), err
}

// linkTo describes the picture that a call asks for.
func linkTo(req Request) link {
	b := req.Body
	l := link{width: b.Width, height: b.Height, caption: shorten(b.Prompt)}
	if b.Seed != nil {
		l.seed = uint64(*b.Seed) //nolint:gosec // any number will do, and a negative one stays itself
	} else {
		l.seed = uint64(req.Call) //nolint:gosec // counts from 1
	}
	// What the caption does not show makes another picture too. A form's own bytes are never twice the same.
	h := fnv.New32a()
	if len(req.Picture) > 0 {
		_, _ = h.Write([]byte(b.Prompt))
		_, _ = h.Write(req.Picture)
	} else {
		_, _ = h.Write(req.Raw)
	}
	l.variant = h.Sum32()
	return l
}

func (l link) picture() paint.Picture {
	h := fnv.New64a()
	_, _ = h.Write([]byte(l.id() + "\x00" + l.caption))
	return paint.Picture{
		Width: l.width, Height: l.height, Scene: h.Sum64(), Caption: l.caption,
		Footnote: fmt.Sprintf("seed %d · %d×%d", l.seed, l.width, l.height),
	}
}

// shorten cuts a prompt to what a link carries, at a character's border.
func shorten(prompt string) string {
	prompt = strings.ToValidUTF8(prompt, "")
	if len(prompt) <= maxCaption {
		return prompt
	}
	const ellipsis = "…"
	end := maxCaption - len(ellipsis)
	for !utf8.RuneStart(prompt[end]) {
		end--
	}
	return prompt[:end] + ellipsis
}
