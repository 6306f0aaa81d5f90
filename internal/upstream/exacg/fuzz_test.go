package exacg_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

func FuzzReply(f *testing.F) {
	for _, body := range []string{
		`{"success":true,"data":{"image_url":"https://x.test/a.png"}}`, `{"success":false,"error":{"message":"busy"}}`,
		`{"success":1,"data":[]}`, `<html>`, ``, `null`, `[]`, "\ufeff{}", `{"success":false,"error":"` + key + ` http://10.0.0.1"}`,
	} {
		f.Add(200, body, "a cat")
		f.Add(400, body, "insufficient")
		f.Add(500, body, "")
	}
	f.Fuzz(func(t *testing.T, status int, body, prompt string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		picture, e := ask(t, answers{status: status, body: body}, imagegen.Order{Prompt: prompt, Seed: 3, Width: 64, Height: 64})
		if e == nil {
			u, err := url.Parse(picture.URL)
			if status != http.StatusOK || err != nil || u.Host == "" || u.User != nil || strings.ContainsFunc(picture.URL, unicode.IsSpace) {
				t.Errorf("took %q at %d", picture.URL, status)
			}
			return
		}
		if utf8.RuneCountInString(e.Message) > 300 || e.Message == "" || !utf8.ValidString(e.Message) || strings.ContainsFunc(e.Message, unicode.IsControl) {
			t.Errorf("got message %q", e.Message)
		}
		if strings.Contains(e.Error(), key) {
			t.Errorf("the key is in %q", e)
		}
		if e.Transient == (e.Kind == imagegen.KindUpstreamRejected || e.Kind == imagegen.KindUpstreamAccount) || e.Outcome == "" || e.Billed == "" {
			t.Errorf("got %+v, which does not fit together", e)
		}
	})
}
