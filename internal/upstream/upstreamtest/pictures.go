package upstreamtest

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

const (
	pictureURL = "https://pictures.test/a%20cat.png?sign=abc%2Bdef"
	maxPicture = 32 << 20 // bytes
)

// pictureOf returns so many bytes that begin as a PNG does, and never fewer than that takes.
func pictureOf(size int) []byte {
	const magic = "\x89PNG\r\n\x1a\n"
	data := make([]byte, max(size, len(magic)))
	copy(data, magic)
	return data
}

// SendEncoded answers with JSON around a picture as base64. An encoder of JSON would take many times as long over 44 MB.
func SendEncoded(w http.ResponseWriter, before string, picture []byte, after string) {
	body := before + base64.StdEncoding.EncodeToString(picture) + after
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}

// pictures are what a success holds, fit to be used and not.
func (p Protocol) pictures(t *testing.T) {
	t.Parallel()
	for name, c := range p.usable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var auth string
			got, err := p.call(t, patient, func(w http.ResponseWriter, r *http.Request) {
				auth = r.Header.Get("Authorization")
				c.answer(w)
			})
			if err != nil {
				t.Fatal(err)
			}
			if auth != p.Auth {
				t.Errorf("got Authorization %q, want %q", auth, p.Auth)
			}
			c.want.Seed, c.want.Width, c.want.Height = p.Order.Seed, p.Order.Width, p.Order.Height
			if diff := cmp.Diff(c.want, got, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("drawing (-want +got):\n%.2000s", diff)
			}
		})
	}
	for name, answer := range p.unusable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := p.call(t, patient, func(w http.ResponseWriter, _ *http.Request) { answer(w) })
			check(t, err, garbled)
		})
	}
	for name, prompt := range map[string]string{
		"a prompt of marks":     `<b>"a" & 'b'</b> \ / % + = ; -- ${x} {{y}}`,
		"a prompt of lines":     "one\ntwo\r\n\tthree \u2028four\u2029",
		"a prompt of languages": "一只可爱的小狗，在屋顶上 🐶👨‍👩‍👧 кот قطة",
		"a long prompt":         strings.Repeat("很长的提示词 ", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := p
			asked.Order.Prompt = prompt
			var got string
			if _, err := asked.call(t, patient, func(w http.ResponseWriter, r *http.Request) {
				got = p.Prompt(r)
				p.succeed(w)
			}); err != nil {
				t.Fatal(err)
			}
			if got != prompt {
				t.Errorf("got prompt %.200q, want it unchanged: %.200q", got, prompt)
			}
		})
	}
}

// success is an answer with what it must be read as, apart from the order's own values.
type success struct {
	answer func(w http.ResponseWriter)
	want   imagegen.Drawing
}

func (p Protocol) usable() map[string]success {
	all := map[string]success{}
	if p.Picture != nil {
		all["a URL"] = success{func(w http.ResponseWriter) { p.Picture(w, pictureURL) }, imagegen.Drawing{URL: pictureURL}}
	}
	if p.Data != nil {
		all["bytes"] = success{func(w http.ResponseWriter) { p.Data(w, pictureOf(1000)) }, imagegen.Drawing{Data: pictureOf(1000)}}
		all["as many bytes as are allowed"] = success{
			func(w http.ResponseWriter) { p.Data(w, pictureOf(maxPicture)) }, imagegen.Drawing{Data: pictureOf(maxPicture)},
		}
	}
	return all
}

func (p Protocol) unusable() map[string]func(w http.ResponseWriter) {
	all := map[string]func(w http.ResponseWriter){}
	if p.Picture != nil {
		for name, url := range map[string]string{
			"no URL": "", "a URL not of http": "javascript:alert(1)", "a URL without a host": "/a.png", "a URL with a user": "https://me@x.test/a.png",
		} {
			all[name] = func(w http.ResponseWriter) { p.Picture(w, url) }
		}
	}
	if p.Data != nil {
		for name, data := range map[string][]byte{
			"no bytes": {}, "bytes that are no picture": []byte("<html><body>not a picture</body></html>"), "too many bytes": pictureOf(maxPicture + 1),
		} {
			all[name] = func(w http.ResponseWriter) { p.Data(w, data) }
		}
	}
	return all
}
