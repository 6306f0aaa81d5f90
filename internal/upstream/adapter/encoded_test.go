package adapter_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/upstream/adapter"
)

func TestEncoded(t *testing.T) {
	t.Parallel()
	jpeg := []byte("\xff\xd8\xff\xe0 and more, ü?>")
	text := base64.StdEncoding.EncodeToString(jpeg)
	for name, c := range map[string]struct {
		json    string
		present bool
		usable  bool
	}{
		"base64":              {`"` + text + `"`, true, true},
		"a data URL":          {`"data:image/jpeg;base64,` + text + `"`, true, true},
		"a wrong media type":  {`"data:image/png;base64,` + text + `"`, true, true},
		"lines":               {`"` + text[:8] + `\n` + text[8:] + `"`, true, true},
		"escaped slashes":     {`"` + escapeSlashes(text) + `"`, true, true},
		"no padding":          {`"` + base64.RawStdEncoding.EncodeToString(append(jpeg, 'x')) + `"`, true, false},
		"letters of URLs":     {`"` + base64.URLEncoding.EncodeToString([]byte("\xff\xd8\xff\xfb\xff\xbf")) + `"`, true, false},
		"a data URL, escaped": {`"data:image/svg+xml,%3Csvg%3E"`, true, false},
		"no picture":          {`"aGVsbG8gd29ybGQ="`, true, false},
		"an address":          {`"https://x.test/a.png"`, true, false},
		"empty":               {`""`, false, false},
		"null":                {`null`, false, false},
		"a number":            {`7`, false, false},
		"an object":           {`{"a": "` + text + `"}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reply struct {
				Picture adapter.Encoded `json:"picture"`
				After   string          `json:"after"`
			}
			if err := json.Unmarshal([]byte(`{"picture": `+c.json+`, "after": "yes"}`), &reply); err != nil || reply.After != "yes" {
				t.Fatalf("got %v and %q, want the rest to be read whatever the picture is", err, reply.After)
			}
			got, err := reply.Picture.Picture()
			if (err == nil) != c.usable || reply.Picture.Present() != c.present {
				t.Fatalf("got %v, present %v; want usable %v, present %v", err, reply.Picture.Present(), c.usable, c.present)
			}
			if c.usable && !bytes.Equal(got, jpeg) {
				t.Errorf("got %q, want %q", got, jpeg)
			}
		})
	}
}

func escapeSlashes(s string) string {
	return string(bytes.ReplaceAll([]byte(s), []byte("/"), []byte(`\/`)))
}
