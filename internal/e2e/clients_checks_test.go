package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// clientChecks are what clients need of a reply, by the names that fixtures use.
var clientChecks = map[string]func(*testing.T, exchange){
	"images_reply":                imagesReply,
	"images_b64_only":             imagesB64Only,
	"images_url_only":             imagesURLOnly,
	"url_ends_in_png":             urlEndsInPNG,
	"picture_fetchable":           pictureFetchable,
	"chat_strict_types":           chatStrictTypes,
	"chat_one_markdown_picture":   chatOneMarkdownPicture,
	"chat_images_no_markdown":     chatImagesNoMarkdown,
	"stream_headers":              streamHeaders,
	"stream_plain_lines":          streamPlainLines,
	"stream_json_lines_below_64k": streamJSONLines,
	"stream_one_picture_delta":    streamOnePictureDelta,
	"stream_usage":                func(t *testing.T, x exchange) { t.Helper(); streamUsage(t, x, true) },
	"stream_no_usage":             func(t *testing.T, x exchange) { t.Helper(); streamUsage(t, x, false) },
	"models_strict_types":         modelsStrictTypes,
	"models_one_not_hidden":       modelsOneNotHidden,
	"answered_within_5s":          answeredWithin5s,
}

// imagesReply: created is a whole number of seconds, and there are as many entries as pictures.
func imagesReply(t *testing.T, x exchange) {
	t.Helper()
	if got := x.reply.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("the reply is %s", got) // SDKs hand out a string then
	}
	var r struct {
		Created int64             `json:"created"`
		Data    []json.RawMessage `json:"data"`
	}
	x.reply.into(t, &r)
	if age := time.Since(time.Unix(r.Created, 0)); age < -time.Hour || age > time.Hour {
		t.Errorf("created is %d", r.Created)
	}
	if len(r.Data) != x.want.Pictures {
		t.Errorf("%d pictures, want %d", len(r.Data), x.want.Pictures)
	}
}

// imagesB64Only: clients that find a url prefer it, so there must be no such key, not even an empty one.
func imagesB64Only(t *testing.T, x exchange) {
	t.Helper()
	for i, entry := range imageData(t, x) {
		var encoded string
		if err := json.Unmarshal(entry["b64_json"], &encoded); err != nil {
			t.Fatalf("picture %d has no b64_json: %v", i, keys(entry))
		}
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatalf("picture %d is not plain base64: %.40s… (%v)", i, encoded, err)
		}
		if _, err := png.DecodeConfig(bytes.NewReader(raw)); err != nil {
			t.Errorf("picture %d is no PNG, which is what clients take it for: %v", i, err)
		}
		if _, ok := entry["url"]; ok {
			t.Errorf("picture %d has a url too", i)
		}
	}
}

func imagesURLOnly(t *testing.T, x exchange) {
	t.Helper()
	for i, entry := range imageData(t, x) {
		if _, ok := entry["b64_json"]; ok {
			t.Errorf("picture %d has b64_json too", i)
		}
	}
	urls := pictureURLs(t, x)
	slices.Sort(urls)
	if got := len(slices.Compact(urls)); got != x.want.Pictures {
		t.Errorf("%d different urls, want %d", got, x.want.Pictures)
	}
}

func urlEndsInPNG(t *testing.T, x exchange) {
	t.Helper()
	for _, u := range pictureURLs(t, x) {
		if path, _, _ := strings.Cut(u, "?"); !strings.HasSuffix(path, ".png") {
			t.Errorf("%s tells no extension", u)
		}
	}
}

// pictureFetchable: every address is absolute and answers a GET, the client's key included, with a picture at once.
func pictureFetchable(t *testing.T, x exchange) {
	t.Helper()
	urls := pictureURLs(t, x)
	if len(urls) != x.want.Pictures {
		t.Errorf("%d addresses, want %d", len(urls), x.want.Pictures)
	}
	for _, u := range urls {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", x.fixture.Headers["Authorization"])
		r, err := fetch(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.header.Get("Content-Type"); r.status != http.StatusOK || !strings.HasPrefix(got, "image/") {
			t.Errorf("%s is %d %s", u, r.status, got)
		}
		if _, _, err := image.DecodeConfig(bytes.NewReader(r.body)); err != nil {
			t.Errorf("%s is no picture: %v", u, err)
		}
	}
}

// markdownURL finds the address as LobeChat and others do.
var markdownURL = regexp.MustCompile(`!\[[^\]]*\]\(([^)\s]+)\)`)

// pictureURLs returns the addresses in a reply, wherever its form has them.
func pictureURLs(t *testing.T, x exchange) (urls []string) {
	t.Helper()
	var texts []string
	switch {
	case x.want.Stream:
		for _, c := range chunks(t, x) {
			for _, choice := range c.Choices {
				texts = append(texts, value(choice.Delta.Content))
			}
		}
	case strings.Contains(x.fixture.Path, "/chat/"):
		for _, choice := range completion(t, x).Choices {
			texts = append(texts, value(choice.Message.Content))
			for _, img := range choice.Message.Images {
				urls = append(urls, img.ImageURL.URL)
			}
		}
	default:
		for i, entry := range imageData(t, x) {
			var u string
			if err := json.Unmarshal(entry["url"], &u); err != nil {
				t.Fatalf("picture %d has no url: %v", i, keys(entry))
			}
			urls = append(urls, u)
		}
	}
	for _, text := range texts {
		for _, found := range markdownURL.FindAllStringSubmatch(text, -1) {
			urls = append(urls, found[1])
		}
	}
	return urls
}

// imageData returns the entries of an images reply, key by key.
func imageData(t *testing.T, x exchange) []map[string]json.RawMessage {
	t.Helper()
	var r struct {
		Data []map[string]json.RawMessage `json:"data"`
	}
	x.reply.into(t, &r)
	return r.Data
}

func keys(entry map[string]json.RawMessage) (names []string) {
	for name := range entry {
		names = append(names, name)
	}
	return names
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// modelsStrictTypes: clients that check types give up the whole list for one wrong entry.
func modelsStrictTypes(t *testing.T, x exchange) {
	t.Helper()
	var ids []string
	for _, m := range modelList(t, x) {
		if value(m.ID) == "" || value(m.Object) != "model" || m.Created == nil || value(m.OwnedBy) == "" {
			t.Errorf("an entry is not complete: %s", x.reply.body)
		}
		ids = append(ids, value(m.ID))
	}
	for _, want := range []string{"Z-Image", "dall-e-3", "gpt-image-1", "grok-2-image"} {
		if !slices.Contains(ids, want) {
			t.Errorf("%s is not in the list %q", want, ids)
		}
	}
}

type listedModel struct {
	ID      *string `json:"id"`
	Object  *string `json:"object"`
	Created *int64  `json:"created"`
	OwnedBy *string `json:"owned_by"`
}

func modelList(t *testing.T, x exchange) []listedModel {
	t.Helper()
	var r struct {
		Object string        `json:"object"`
		Data   []listedModel `json:"data"`
	}
	x.reply.into(t, &r)
	if r.Object != "list" || len(r.Data) == 0 {
		t.Errorf("no list: %s", x.reply.body)
	}
	return r.Data
}

// modelsOneNotHidden: LobeChat hides ids that hold one of these words, dall-e among them, wherever it stands in the id.
func modelsOneNotHidden(t *testing.T, x exchange) {
	t.Helper()
	words := []string{"embedding", "davinci", "curie", "moderation", "ada", "babbage", "tts", "whisper", "dall-e"}
	for _, m := range modelList(t, x) {
		id := strings.ToLower(value(m.ID))
		if !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(id, word) }) {
			return
		}
	}
	t.Errorf("every model is hidden: %s", x.reply.body)
}

func answeredWithin5s(t *testing.T, x exchange) {
	t.Helper()
	if x.took > 5*time.Second {
		t.Errorf("the reply took %v", x.took)
	}
}
