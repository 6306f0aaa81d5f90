package imagestore_test

import (
	"strings"
	"testing"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
)

const random = "abcdefghijklmnopqrstuv2345"

func TestNewName(t *testing.T) {
	t.Parallel()
	for _, f := range picture.Formats() {
		a, b := imagestore.NewName(f), imagestore.NewName(f)
		if a == b || !strings.HasSuffix(a, f.Extension()) || len(a) != len(random)+len(f.Extension()) {
			t.Errorf("two names of %s pictures: %q, %q", f, a, b)
		}
		if !imagestore.ValidName(a) {
			t.Errorf("the new name %q is not valid", a)
		}
	}
}

// badNames are names that NewName does not make.
var badNames = map[string]string{
	"empty":               "",
	"no extension":        random,
	"only a dot":          random + ".",
	"other extension":     random + ".html",
	"sidecar of fileblob": random + ".png.attrs",
	"temporary file":      random + ".png.18f.tmp",
	"two extensions":      random + ".png.png",
	"upper case":          strings.ToUpper(random) + ".png",
	"extension in caps":   random + ".PNG",
	"other digit":         "1" + random[1:] + ".png",
	"too short":           random[1:] + ".png",
	"too long":            "a" + random + ".png",
	"parent":              "../" + random + ".png",
	"parent, fitting":     "../" + random[3:] + ".png",
	"backslashes":         `..\` + random[3:] + ".png",
	"absolute":            "/" + random[1:] + ".png",
	"subdirectory":        "a/" + random[2:] + ".png",
	"escaped slash":       "%2f" + random[3:] + ".png",
	"zero byte":           "\x00" + random[1:] + ".png",
	"zero byte at end":    random + ".png\x00",
	"newline at end":      random + ".png\n",
	"not ASCII":           "ä" + random[2:] + ".png",
	"dots":                "..",
	"space":               random + ".png job",
}

func TestValidName(t *testing.T) {
	t.Parallel()
	if name := random + ".png"; !imagestore.ValidName(name) {
		t.Errorf("ValidName(%q) = false", name)
	}
	for is, name := range badNames {
		if imagestore.ValidName(name) {
			t.Errorf("%s: ValidName(%q) = true", is, name)
		}
	}
}
