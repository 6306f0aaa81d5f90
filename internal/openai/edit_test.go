package openai_test

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// part is one part of a form; with a file name it is a file.
type part struct{ name, file, value string }

func form(t testing.TB, parts ...part) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		out, err := w.CreateFormField(p.name)
		if p.file != "" {
			out, err = w.CreateFormFile(p.name, p.file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(p.value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

func TestDecodeEditForms(t *testing.T) {
	t.Parallel()
	upload := func(data string) openai.ImagesRequest {
		return openai.ImagesRequest{Ask: openai.Ask{Params: imagegen.Params{Prompt: "a"}, Source: &openai.Source{Data: []byte(data)}}}
	}
	everything := upload("1")
	everything.Params, everything.Stream, everything.Format, everything.Model = allParams(), true, openai.FormatBase64, "m"
	linked := upload("")
	linked.Source = &openai.Source{URL: "https://x/y.png"}
	cases := map[string]struct {
		parts []part
		want  openai.ImagesRequest
	}{
		"one picture":                   {[]part{{name: "prompt", value: "a"}, {"image", "blob", "1"}}, upload("1")},
		"several pictures":              {[]part{{"image[]", "a.png", "1"}, {"image[]", "b.png", "2"}, {name: "prompt", value: "a"}}, upload("1")},
		"numbered pictures":             {[]part{{"image[0]", "a.png", "1"}, {"image[1]", "b.png", "2"}, {name: "prompt", value: "a"}}, upload("1")},
		"a mask is not the picture":     {[]part{{"mask", "m.png", "9"}, {"image", "a.png", "1"}, {name: "prompt", value: "a"}}, upload("1")},
		"a picture by URL":              {[]part{{name: "image", value: "https://x/y.png"}, {name: "prompt", value: "a"}}, linked},
		"empty fields are absent":       {[]part{{name: "prompt", value: "a"}, {name: "n"}, {name: "size"}, {"image", "a.png", "1"}}, upload("1")},
		"the first of a field is taken": {[]part{{name: "prompt", value: "a"}, {name: "prompt", value: "b"}, {"image", "a.png", "1"}}, upload("1")},
		"every option": {[]part{
			{name: "model", value: "m"},
			{name: "prompt", value: "a"},
			{name: "n", value: "2"},
			{name: "width", value: "512"},
			{name: "height", value: "640"},
			{name: "size", value: "auto"},
			{name: "quality", value: "high"},
			{name: "cfg", value: "3.5"},
			{name: "steps", value: "20"},
			{name: "seed", value: "4294967295"},
			{name: "stream", value: "true"},
			{name: "response_format", value: "b64_json"},
			{name: "input_fidelity", value: "high"},
			{"image", "blob", "1"},
		}, everything},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := openai.DecodeEdit(form(t, c.parts...))
			if err != nil {
				t.Fatal(err)
			}
			if name == "every option" { // a form cannot say that a field is there and empty
				c.want.Params.NegativePrompt = nil
			}
			if diff := cmp.Diff(got, c.want, ignoreExtra); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
		})
	}
}

func TestDecodeEditJSON(t *testing.T) {
	t.Parallel()
	link, data := &openai.Source{URL: "http://x/y.png"}, &openai.Source{Data: []byte("hi")}
	for body, want := range map[string]*openai.Source{
		`{"prompt":"a","image":"http://x/y.png"}`:                               link,
		`{"prompt":"a","image":["http://x/y.png","http://z"]}`:                  link,
		`{"prompt":"a","image":{"url":"http://x/y.png"}}`:                       link,
		`{"prompt":"a","images":[{"image_url":"http://x/y.png"}]}`:              link,
		`{"prompt":"a","images":[{"image_url":{"url":"http://x/y.png"}}]}`:      link,
		`{"prompt":"a","images":["data:image/png;base64,aGk="]}`:                data,
		`{"prompt":"a","images":["DATA:;Base64,aGk"]}`:                          data,
		`{"prompt":"a","image":null,"images":[{"b64_json":"aGk="}],"mask":"x"}`: data,
	} {
		got, err := openai.DecodeEdit("application/json; charset=utf-8", []byte(body))
		if diff := cmp.Diff(got.Source, want); err != nil || diff != "" {
			t.Errorf("%s: %v (-got +want):\n%s", body, err, diff)
		}
	}
}

func TestDecodeEditRefuses(t *testing.T) {
	t.Parallel()
	picture, prompt := part{"image", "a.png", "1"}, part{name: "prompt", value: "a"}
	many := []part{picture, prompt}
	for range 300 {
		many = append(many, part{name: "x", value: "y"})
	}
	for name, c := range map[string]struct {
		parts []part
		kind  imagegen.Kind
		param string
	}{
		"no prompt":        {[]part{picture}, imagegen.KindMissingParameter, "prompt"},
		"no picture":       {[]part{prompt}, imagegen.KindMissingParameter, "image"},
		"a wrong number":   {[]part{picture, prompt, {name: "n", value: "two"}}, imagegen.KindInvalidValue, "n"},
		"too many parts":   {many, imagegen.KindInvalidValue, ""},
		"a picture's name": {[]part{prompt, {name: "image", value: "a.png"}}, imagegen.KindInvalidValue, "image"},
	} {
		_, err := openai.DecodeEdit(form(t, c.parts...))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFailure(t, err, c.kind, c.param)
		})
	}
	contentType, body := form(t, picture, prompt)
	for name, c := range map[string]struct{ contentType, body string }{
		"half a form":          {contentType, string(body[:len(body)-20])},
		"a form without bound": {"multipart/form-data", string(body)},
	} {
		_, err := openai.DecodeEdit(c.contentType, []byte(c.body))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFailure(t, err, imagegen.KindInvalidValue, "")
		})
	}
	for body, param := range map[string]string{
		`{"prompt":"a"}`: "image", `{"prompt":"a","images":[]}`: "image", `{"prompt":"a","images":[{"file_id":"f"}]}`: "images",
		`{"prompt":"a","image":5}`: "image", `{"image":"http://x"}`: "prompt", `{"prompt":"a","image":"http://u:p@x/"}`: "image",
		`{"prompt":"a","image":` + strings.Repeat(`{"url":`, 9000) + `"http://x/"` + strings.Repeat("}", 9000) + `}`: "image",
		`{"prompt":"a","image":"http://x/` + strings.Repeat("y", 9000) + `"}`:                                        "image",
	} {
		_, err := openai.DecodeEdit("application/json", []byte(body))
		if e := imagegen.AsError(err); err == nil || e.Param != param {
			t.Errorf("%.40s: got %v, want a complaint about %s", body, err, param)
		}
	}
}

func FuzzDecodeEdit(f *testing.F) {
	contentType, body := form(f, part{"image", "blob", "1"}, part{name: "prompt", value: "a"}, part{name: "n", value: "2"})
	f.Add(contentType, body)
	f.Add("application/json", []byte(`{"prompt":"a","images":[{"image_url":"data:image/png;base64,aGk="}]}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r, err := openai.DecodeEdit(contentType, body)
		clientsMistake(t, err)
		if err == nil && (r.Source == nil || strings.TrimSpace(r.Params.Prompt) == "" || (r.Source.URL == "") == (len(r.Source.Data) == 0)) {
			t.Errorf("decoded %+v", r)
		}
	})
}
