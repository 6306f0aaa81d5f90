package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"mime/multipart"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/httpapi"
	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

// drawnURL is where finished puts pictures.
const drawnURL = "https://img.example/a.png?x=1&y=2"

func smallPNG(t *testing.T) picture.Picture {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	return picture.Picture{Format: picture.PNG, Data: b.Bytes()}
}

// withPictures has the server find the picture that was drawn.
func withPictures(t *testing.T) func(*httpapi.Config) {
	t.Helper()
	return func(c *httpapi.Config) { c.Pictures = fakePictures{drawnURL: smallPNG(t)} }
}

// withEditor adds a model that edits.
func withEditor(files httpapi.Files) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		draws, edits := imagegen.DefaultModel(), imagegen.DefaultModel()
		draws.Aliases = []string{"gpt-image-1", "dall-e-3"}
		edits.ID, edits.ModelIndex, edits.Edit = "Editor", 19, true
		var err error
		if c.Catalog, err = imagegen.NewCatalog([]imagegen.Model{draws, edits}); err != nil {
			panic(err)
		}
		if files != nil {
			c.Files = files
		}
	}
}

func imagesReply(t *testing.T, w *httptest.ResponseRecorder) openai.ImagesReply {
	t.Helper()
	var reply openai.ImagesReply
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != 200 {
		t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	return reply
}

func TestImagesAsBytes(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, withEditor(nil), withPictures(t))
	want := smallPNG(t)
	for body, bytesWanted := range map[string]bool{
		`{"prompt":"a"}`: false, `{"prompt":"a","model":"dall-e-3"}`: false, `{"prompt":"a","model":"gpt-image-1","response_format":"url"}`: false,
		`{"prompt":"a","response_format":"b64_json"}`: true, `{"prompt":"a","model":"gpt-image-1"}`: true,
	} {
		for _, d := range imagesReply(t, send(t, s, "POST", "/v1/images/generations", body)).Data {
			if (d.URL == "") != bytesWanted || bytes.Equal(d.B64JSON, want.Data) != bytesWanted {
				t.Errorf("%s: got URL %q and %d bytes", body, d.URL, len(d.B64JSON))
			}
		}
	}
	w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","response_format":"b64_json"}`)
	if encoded := base64.StdEncoding.EncodeToString(want.Data); !strings.Contains(w.Body.String(), `[{"b64_json":"`+encoded+`"}]`) {
		t.Errorf("got %s", w.Body)
	}
}

func TestImagesInAnotherFormat(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, withPictures(t))
	for format, want := range map[string]picture.Format{"png": picture.PNG, "jpeg": picture.JPEG, "jpg": picture.JPEG, "webp": picture.WebP, "": picture.PNG} {
		w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","response_format":"b64_json","output_format":"`+format+`","output_compression":50}`)
		if got, ok := picture.Sniff(imagesReply(t, w).Data[0].B64JSON); got != want || !ok {
			t.Errorf("output_format %q gives %q", format, got)
		}
	}
	wantError(t, send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","output_format":"bmp"}`), 400, "invalid_value", "output_format")
}

func TestPicturesThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	m := &fakeMetrics{}
	s := newServer(t, &fakeJobs{}, func(c *httpapi.Config) { c.Metrics = m })
	w := send(t, s, "POST", "/v1/images/generations", `{"prompt":"a","response_format":"b64_json"}`)
	if message := wantError(t, w, 502, "upstream_error", ""); !strings.Contains(message, "/v1/jobs/job_abc") {
		t.Errorf("the message does not say where the picture is: %s", message)
	}
	if m.fetched[false] != 1 {
		t.Errorf("fetches that failed = %d", m.fetched[false])
	}
	// A response has the picture in its message too.
	w = send(t, s, "POST", "/v1/responses", `{"input":"a"}`)
	if w.Code != 200 || strings.Contains(w.Body.String(), "image_generation_call") || !strings.Contains(w.Body.String(), "![a](") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestImageStreams(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, withPictures(t))
	for body, want := range map[string]string{
		`{"prompt":"a","stream":true,"n":2,"partial_images":2}`:      `"b64_json":"`,
		`{"prompt":"a","stream":true,"n":2,"response_format":"url"}`: `"url":"` + drawnURL,
	} {
		w := send(t, s, "POST", "/v1/images/generations", body)
		got := w.Body.String()
		if w.Header().Get("Content-Type") != "text/event-stream; charset=utf-8" || strings.Count(got, "event: image_generation.completed\n") != 2 ||
			strings.Count(got, want) != 2 || strings.Contains(got, "[DONE]") {
			t.Errorf("%s: got %v\n%s", body, w.Header(), got)
		}
	}
	w := send(t, newServer(t, &fakeJobs{}), "POST", "/v1/images/generations", `{"prompt":"a","stream":true}`)
	if got := w.Body.String(); w.Code != 200 || !strings.Contains(got, `data: {"error":{`) || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("got %d %s", w.Code, got)
	}
}

// upload is the body of an edit with one file.
func upload(t *testing.T, data []byte, fields ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for pair := range slices.Chunk(fields, 2) {
		if err := w.WriteField(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("image", "blob")
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func TestEditsOfAnUpload(t *testing.T) {
	t.Parallel()
	jobs, files := &fakeJobs{}, &fakeFiles{}
	s := newServer(t, jobs, withEditor(files), func(c *httpapi.Config) { c.PublicURL = "https://gateway.example/pics" })
	contentType, body := upload(t, smallPNG(t).Data, "prompt", "make it blue", "model", "editor", "n", "2", "seed", "1")
	reply := imagesReply(t, send(t, s, "POST", "/v1/images/edits", body, "Content-Type", contentType))
	if len(reply.Data) != 2 || reply.Data[0].URL != drawnURL {
		t.Errorf("reply = %+v", reply)
	}
	n := jobs.last(t)
	name, ok := strings.CutPrefix(n.Spec.Source, "https://gateway.example/pics/v1/files/")
	if !ok || !bytes.Equal(files.kept[name].Data, smallPNG(t).Data) || files.jobs[name] != string(n.ID) || n.ID == "" {
		t.Fatalf("source %q of job %q, kept %v", n.Spec.Source, n.ID, files.jobs)
	}
	if n.Spec.ModelIndex != 19 || n.Spec.Prompt != "make it blue" {
		t.Errorf("spec = %+v", n.Spec)
	}
	// The upstream fetches it without a key.
	w := send(t, s, "GET", "/v1/files/"+name, "", "Authorization", "")
	if w.Code != 200 || w.Body.String() != string(smallPNG(t).Data) {
		t.Errorf("got %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestEditsByURL(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, withEditor(nil))
	for path, body := range map[string]string{
		"/v1/images/edits":     `{"model":"Editor","prompt":"a","images":[{"image_url":"https://x/y.png"}]}`,
		"/v1/chat/completions": `{"model":"Editor","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}`,
		"/v1/responses":        `{"model":"Editor","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://x/y.png"}]}]}`,
	} {
		w := send(t, s, "POST", path, body)
		if got := jobs.last(t).Spec.Source; w.Code != 200 || got != "https://x/y.png" {
			t.Errorf("%s: got %d with source %q: %s", path, w.Code, got, w.Body)
		}
	}
	// A conversation goes on with the picture that was drawn last.
	send(t, s, "POST", "/v1/chat/completions", `{"model":"Editor","messages":[{"role":"user","content":"a cat"},`+
		`{"role":"assistant","content":"![a cat](https://x/1.png)"},{"role":"user","content":"now blue"}]}`)
	if got := jobs.last(t).Spec; got.Source != "https://x/1.png" || got.Prompt != "now blue" {
		t.Errorf("spec = %+v", got)
	}
	// A model that draws from nothing is not given it.
	send(t, s, "POST", "/v1/chat/completions", `{"messages":[{"role":"assistant","content":"![a cat](https://x/1.png)"},{"role":"user","content":"a dog"}]}`)
	if got := jobs.last(t).Spec.Source; got != "" {
		t.Errorf("source = %q", got)
	}
}

func TestEditsRefused(t *testing.T) {
	t.Parallel()
	editor, plain := newServer(t, &fakeJobs{}, withEditor(&fakeFiles{})), newServer(t, &fakeJobs{}, withEditor(nil))
	contentType, body := upload(t, smallPNG(t).Data, "prompt", "a", "model", "Editor")
	_, page := upload(t, []byte("<html>"), "prompt", "a", "model", "Editor")
	_, drawer := upload(t, smallPNG(t).Data, "prompt", "a", "model", "Z-Image")
	boundary := func(body string) string { // each form has its own
		return "multipart/form-data; boundary=" + strings.TrimPrefix(strings.SplitN(body, "\r\n", 2)[0], "--")
	}
	message := wantError(t, send(t, plain, "POST", "/v1/images/edits", body, "Content-Type", contentType), 400, "invalid_value", "image")
	if !strings.Contains(message, "image store") {
		t.Errorf("the message does not say what is missing: %s", message)
	}
	wantError(t, send(t, editor, "POST", "/v1/images/edits", page, "Content-Type", boundary(page)), 400, "invalid_value", "image")
	wantError(t, send(t, editor, "POST", "/v1/images/edits", drawer, "Content-Type", boundary(drawer)), 400, "invalid_value", "image")
	wantError(t, send(t, plain, "POST", "/v1/images/generations", `{"model":"Editor","prompt":"a"}`), 400, "missing_required_parameter", "image")
	const linked = `[{"type":"text","text":"a"},{"type":"image_url","image_url":"https://x/y.png"}]`
	wantError(t, send(t, plain, "POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":`+linked+`}]}`), 400, "invalid_value", "messages")
	wantError(t, send(t, plain, "POST", "/v1/responses", `{"model":"Editor","input":"a"}`), 400, "missing_required_parameter", "input")
	broken := newServer(t, &fakeJobs{}, withEditor(&fakeFiles{err: errors.New("disk full")}))
	wantError(t, send(t, broken, "POST", "/v1/images/edits", body, "Content-Type", contentType), 503, "queue_unavailable", "")
}

func TestPicturesBesideTheText(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{})
	for body, images := range map[string]bool{
		`{"prompt":"a"}`: false, `{"prompt":"a","modalities":["text"]}`: false, `{"prompt":"a","modalities":["image","text"]}`: true,
		`{"prompt":"a","model":"Z-Image:image"}`: true, `{"prompt":"a","model":"dall-e-3:IMAGE"}`: true,
	} {
		for _, stream := range []string{"", `,"stream":true`} {
			body := strings.TrimSuffix(body, "}") + stream + "}"
			got := send(t, s, "POST", "/v1/chat/completions", body).Body.String()
			asImage := strings.Contains(got, `"images":[{"type":"image_url","image_url":{"url":"`+drawnURL+`"}}]`)
			if asImage != images || strings.Contains(got, "![a](") == images {
				t.Errorf("%s: got %s", body, got)
			}
		}
	}
	wantError(t, send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a","model":"nobody:image"}`), 404, "model_not_found", "model")
	wantError(t, send(t, s, "POST", "/v1/chat/completions", `{"prompt":"a","model":":image"}`), 404, "model_not_found", "model")
}

const title = "### Task:\\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\\n### Guidelines:\\n- x\\n### Output:\\n" +
	"JSON format: { \\\"title\\\": \\\"your concise title here\\\" }\\n### Chat History:\\n<chat_history>\\nUSER: a red fox in the snow\\nASSISTANT: ![](http://x/y.png)\\n</chat_history>"

func TestHousekeeping(t *testing.T) {
	t.Parallel()
	jobs, m := &fakeJobs{}, &fakeMetrics{}
	s := newServer(t, jobs, func(c *httpapi.Config) { c.Metrics = m })
	body := `"messages":[{"role":"user","content":"` + title + `"}]`
	for path, body := range map[string]string{
		"/v1/chat/completions": `{` + body + `}`, "/chat/completions": `{"stream":true,` + body + `}`,
		"/v1/responses": `{"input":"` + title + `"}`, "/responses": `{"stream":true,"input":"` + title + `"}`,
	} {
		w := send(t, s, "POST", path, body)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `\"title\"`) || w.Header().Get("X-Job-Id") != "" {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
	if len(jobs.made) != 0 || m.texts != 4 {
		t.Errorf("%d jobs, %d texts", len(jobs.made), m.texts)
	}
	wantError(t, send(t, s, "POST", "/v1/chat/completions", `{"model":"nobody",`+body+`}`), 404, "model_not_found", "model")
	off := newServer(t, jobs, func(c *httpapi.Config) { c.DrawHousekeeping = true })
	if w := send(t, off, "POST", "/v1/chat/completions", `{`+body+`}`); w.Code != 200 || len(jobs.made) != 1 {
		t.Errorf("turned off: got %d with %d jobs", w.Code, len(jobs.made))
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	files := &fakeFiles{}
	const name = "abcdefghijklmnopqrstuvwxyz.png"
	if err := files.Put(t.Context(), name, "job_x", smallPNG(t)); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, &fakeJobs{}, withEditor(files))
	data := string(smallPNG(t).Data)
	w := send(t, s, "GET", "/v1/files/"+name, "", "Authorization", "", "Origin", "https://page.example")
	got := map[string]string{"body": w.Body.String()}
	want := map[string]string{
		"body": data, "Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Etag": `"abc"`,
		"Cache-Control": "private, max-age=86400, immutable", "Access-Control-Allow-Origin": "*", "Accept-Ranges": "bytes",
	}
	for h := range want {
		if h != "body" {
			got[h] = w.Header().Get(h)
		}
	}
	if diff := cmp.Diff(got, want); diff != "" || w.Code != 200 {
		t.Errorf("%d (-got +want):\n%s", w.Code, diff)
	}
	if w := send(t, s, "GET", "/files/"+name, "", "Range", "bytes=1-3"); w.Code != 206 || w.Body.String() != data[1:4] {
		t.Errorf("range: got %d %q", w.Code, w.Body)
	}
	if w := send(t, s, "GET", "/v1/files/"+name, "", "If-None-Match", `"abc"`); w.Code != 304 {
		t.Errorf("known: got %d", w.Code)
	}
	if w := send(t, s, "HEAD", "/v1/files/"+name, ""); w.Code != 200 || w.Header().Get("Content-Type") != "image/png" {
		t.Errorf("head: got %d %v", w.Code, w.Header())
	}
	for _, other := range []string{"bbcdefghijklmnopqrstuvwxyz.png", "x.png", "..%2f..%2fetc%2fpasswd"} {
		wantError(t, send(t, s, "GET", "/v1/files/"+other, "", "Authorization", ""), 404, "unknown_url", "")
	}
	wantError(t, send(t, newServer(t, &fakeJobs{}), "GET", "/v1/files/"+name, ""), 404, "unknown_url", "")
}
