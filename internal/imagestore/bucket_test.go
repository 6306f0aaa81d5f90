package imagestore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

func TestBadURLs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	for is, c := range map[string]struct {
		url, says string
	}{
		"no URL":                {"file://%zz" + secret, "file:///"},
		"a path":                {"/var/lib/pictures", "file:///"},
		"another scheme":        {"ftp://key:" + secret + "@bucket", "ftp:// is not supported"},
		"memory":                {"mem://", "standalone"},
		"two slashes":           {"file://pictures", "file:///absolute/directory"},
		"relative":              {"file:pictures", "file:///absolute/directory"},
		"the root":              {"file:///", "file:///absolute/directory"},
		"a password":            {"file://me:" + secret + "@localhost/pictures", "file:///absolute/directory"},
		"an unknown parameter":  {fileURL(t.TempDir()) + "?base_url=" + secret, `"base_url"`},
		"a file":                {fileURL(file), "not a directory"},
		"a directory in a file": {fileURL(file) + "/pictures", "not a directory"},
	} {
		s, err := imagestore.Open(t.Context(), imagestore.Config{URL: c.url})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: %s is accepted", is, c.url)
			continue
		}
		if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q, want something with %q", is, err, c.says)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	s := newFixture(t, redistest.Mini(t), fileURL(dir)+"?create_dir=1&no_tmp_dir=1&metadata=skip")
	name := put(t, s.Store, "job_1")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the directory holds %v, %v, want %s alone", entries, err, name)
	}
	for _, path := range []string{dir, filepath.Join(dir, name)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o007 != 0 {
			t.Errorf("others may use %s: %v", path, mode)
		}
	}
}

func TestStrandedFilesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for name, modTime := range map[string]time.Time{
		random + ".png.18ab.tmp":  old,
		random + ".jpg.18ab.tmp":  time.Now(), // being written
		random + ".png":           old,
		"somebody-else's.png.tmp": old,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, png.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modTime, modTime); err != nil {
			t.Fatal(err)
		}
	}
	newFixture(t, redistest.Mini(t), fileURL(dir))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 || entries[1].Name() != random+".png" {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}
