package imagestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/blob/s3blob"
)

const (
	// dirMode and otherBits keep pictures from other users of the machine.
	dirMode   = os.FileMode(0o750)
	otherBits = os.FileMode(0o007)
	// strandedAge is when a temporary file is surely nobody's any more: writing a picture takes at most putTimeout.
	strandedAge = time.Hour
)

// usable are the URLs to use.
const usable = "s3://bucket, gs://bucket or file:///absolute/directory"

// openBucket opens the bucket that rawURL names. Its errors never quote the URL, which may hold a password.
func openBucket(ctx context.Context, rawURL string, memory *Memory) (*blob.Bucket, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL; use " + usable)
	}
	switch u.Scheme {
	case fileblob.Scheme:
		return openDir(u)
	case s3blob.Scheme, gcsblob.Scheme:
		return openCloud(ctx, u)
	case memblob.Scheme:
		if memory == nil {
			return nil, errors.New("mem:// is for standalone only: other processes cannot see what is in memory; use " + usable)
		}
		return memory.bucket, nil
	case "":
		return nil, errors.New("the URL has no scheme; use " + usable)
	default:
		return nil, fmt.Errorf("%s:// is not supported; use %s or, in standalone only, mem://", u.Scheme, usable)
	}
}

func openDir(u *url.URL) (*blob.Bucket, error) {
	if u.User != nil || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") || u.Path == "/" {
		return nil, errors.New("file:// takes an absolute directory after three slashes, as in file:///absolute/directory")
	}
	for name := range u.Query() {
		switch name {
		case "create_dir", "no_tmp_dir", "metadata": // the Go CDK's, as set below whatever they say
		default:
			return nil, fmt.Errorf("file:// takes no parameter %q", name)
		}
	}
	dir := filepath.FromSlash(u.Path)
	if os.PathSeparator != '/' {
		dir = strings.TrimPrefix(dir, string(os.PathSeparator)) // C:\… on Windows
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: dirMode,
		// A temporary file elsewhere could not be renamed across file systems, and its name would be seen there.
		NoTempDir: true,
		// The name tells the media type, so a second file beside each picture has nothing to say.
		Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	if err := prepare(dir); err != nil {
		return nil, errors.Join(err, bucket.Close())
	}
	return bucket, nil
}

// prepare finds a directory that another user owns at the start, not at the first picture that was paid for, and removes
// what dead processes left in ours.
func prepare(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	probe := strings.ToLower(rand.Text()) + ".tmp"
	if err := root.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("write to the directory: %w", err)
	}
	if err := root.Remove(probe); err != nil {
		return fmt.Errorf("delete from the directory: %w", err)
	}
	return removeStranded(root)
}

// removeStranded removes the temporary files of processes that died while writing, "<name>.<hex>.tmp": nothing else knows
// of them.
func removeStranded(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	for _, e := range entries {
		stem, temporary := strings.CutSuffix(e.Name(), ".tmp")
		if name := strings.TrimSuffix(stem, filepath.Ext(stem)); !temporary || !ValidName(name) {
			continue
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < strandedAge {
			continue // gone meanwhile, or being written
		}
		if err := root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a leftover: %w", err)
		}
	}
	return nil
}

// closeToOthers takes the rights of other users of the machine from a file that fileblob made with those of the umask.
func closeToOthers(as func(any) bool) error {
	var f *os.File
	if !as(&f) {
		return nil // not a file
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the new file: %w", err)
	}
	if err := f.Chmod(info.Mode().Perm() &^ otherBits); err != nil {
		return fmt.Errorf("set the new file's mode: %w", err)
	}
	return nil
}
