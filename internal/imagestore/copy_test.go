package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	pngcodec "image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/netguard"
	"github.com/zimage-gateway/zimage-gateway/internal/picture"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// drawn is a whole picture of 40 x 30 pixels.
func drawn(t *testing.T, format picture.Format) []byte {
	t.Helper()
	var b bytes.Buffer
	img := image.NewRGBA(image.Rect(0, 0, 40, 30))
	err := pngcodec.Encode(&b, img)
	if format == picture.JPEG {
		b.Reset()
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// avif is a file that Sniff knows and nothing here can decode.
var avif = []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1 and pixels")

func newCopier(t *testing.T, s fixture, guard netguard.Guard, timeout time.Duration) *imagestore.Copier {
	t.Helper()
	fetcher := picture.NewFetcher(picture.Config{Guard: guard, Timeout: timeout})
	t.Cleanup(fetcher.CloseIdleConnections)
	return imagestore.NewCopier(s.Store, fetcher, slog.New(slog.DiscardHandler))
}

// upstream serves pictures and counts the calls.
func upstream(t *testing.T, answer func(call int32, w http.ResponseWriter, r *http.Request)) (url string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(calls.Add(1), w, r) }))
	t.Cleanup(server.Close)
	return server.URL + "/drawn.png?signature=s3cr3t", calls
}

// stored returns the picture of that name.
func stored(t *testing.T, s *imagestore.Store, name string) picture.Picture {
	t.Helper()
	f, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p, err := f.Picture()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCopy(t *testing.T) {
	t.Parallel()
	for does, c := range map[string]struct {
		data   func(t *testing.T) []byte
		format string
		want   imagestore.Copied
		same   bool // the bytes stay
	}{
		"keeps a picture as it came": {
			func(t *testing.T) []byte { t.Helper(); return drawn(t, picture.PNG) },
			"",
			imagestore.Copied{Format: picture.PNG, Width: 40, Height: 30},
			true,
		},
		"converts none that has its format": {
			func(t *testing.T) []byte { t.Helper(); return drawn(t, picture.JPEG) },
			"jpeg",
			imagestore.Copied{Format: picture.JPEG, Width: 40, Height: 30},
			true,
		},
		"converts to jpeg": {
			func(t *testing.T) []byte { t.Helper(); return drawn(t, picture.PNG) },
			"jpeg",
			imagestore.Copied{Format: picture.JPEG, Width: 40, Height: 30},
			false,
		},
		"converts to webp": {
			func(t *testing.T) []byte { t.Helper(); return drawn(t, picture.JPEG) },
			"webp",
			imagestore.Copied{Format: picture.WebP, Width: 40, Height: 30},
			false,
		},
		"keeps what cannot be decoded": {func(*testing.T) []byte { return avif }, "png", imagestore.Copied{Format: picture.AVIF}, true},
		"keeps what is damaged":        {func(*testing.T) []byte { return png.Data }, "webp", imagestore.Copied{Format: picture.PNG}, true},
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			data := c.data(t)
			url, _ := upstream(t, func(_ int32, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
			for from, d := range map[string]imagegen.Drawing{"a URL": {URL: url}, "bytes": {Data: data}} {
				s := newFixture(t, redistest.Mini(t), "mem://")
				stem := imagestore.NewStem()
				got, err := newCopier(t, s, netguard.Guard{AllowPrivate: true}, 0).Copy(t.Context(), "job_1", stem, d, c.format, 80)
				if err != nil {
					t.Fatalf("from %s: %v", from, err)
				}
				want := c.want
				want.Name = stem + want.Format.Extension()
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("from %s (-got +want):\n%s", from, diff)
				}
				p := stored(t, s.Store, got.Name)
				if sniffed, _ := picture.Sniff(p.Data); sniffed != got.Format || bytes.Equal(p.Data, data) != c.same {
					t.Errorf("from %s: stored %d bytes of %s", from, len(p.Data), sniffed)
				}
				sweep(t, s.Store)
				if n := keys(t, s.client); n != 0 {
					t.Errorf("from %s: %d keys outlive the job", from, n)
				}
			}
		})
	}
}

// TestCopyAgain is what follows a record that could not be written: the same copy once more.
func TestCopyAgain(t *testing.T) {
	t.Parallel()
	data := drawn(t, picture.PNG)
	s := newFixture(t, redistest.Mini(t), "mem://")
	c := newCopier(t, s, netguard.Guard{}, 0)
	stem := imagestore.NewStem()
	var names []string
	for range 2 {
		got, err := c.Copy(t.Context(), "job_1", stem, imagegen.Drawing{Data: data}, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, got.Name)
	}
	if n := s.client.ZCard(t.Context(), dueKey).Val(); names[0] != names[1] || n != 1 {
		t.Errorf("names %v, %d entries, want one", names, n)
	}
	other, err := c.Copy(t.Context(), "job_1", "", imagegen.Drawing{Data: data}, "", 0)
	if err != nil || other.Name == names[0] || !imagestore.ValidName(other.Name) {
		t.Errorf("without a stem: %+v, %v", other, err)
	}
}

func TestCopyWithoutBucket(t *testing.T) {
	t.Parallel()
	url, calls := upstream(t, func(_ int32, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s := newFixture(t, redistest.Mini(t), "")
	c := newCopier(t, s, netguard.Guard{AllowPrivate: true}, 0)
	if c.Keeps(imagegen.Drawing{URL: url}) || !c.Keeps(imagegen.Drawing{Data: []byte("x")}) {
		t.Error("without a bucket only bytes are to be kept")
	}
	got, err := c.Copy(t.Context(), "job_1", "", imagegen.Drawing{URL: url}, "webp", 0)
	if diff := cmp.Diff(got, imagestore.Copied{}); diff != "" || err != nil || calls.Load() != 0 {
		t.Errorf("a URL: %v, %d calls, (-got +want):\n%s", err, calls.Load(), diff)
	}
	data := drawn(t, picture.JPEG)
	got, err = c.Copy(t.Context(), "job_1", "", imagegen.Drawing{Data: data}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if p := stored(t, s.Store, got.Name); !bytes.Equal(p.Data, data) {
		t.Errorf("stored %d bytes", len(p.Data))
	}
}

func TestCopyFails(t *testing.T) {
	t.Parallel()
	whole := drawn(t, picture.PNG)
	for is, c := range map[string]struct {
		answer    func(call int32, w http.ResponseWriter, r *http.Request)
		permanent bool
		timeout   time.Duration // of the fetch; 0: plenty
	}{
		"failing": {func(_ int32, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, false, 0},
		"slow":    {func(_ int32, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false, time.Second},
		"cut off": {func(_ int32, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(whole)
			panic(http.ErrAbortHandler)
		}, false, 0},
		"oversized": {func(_ int32, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(whole)
			_, _ = w.Write(make([]byte, picture.MaxBytes))
		}, true, 0},
		"missing": {func(_ int32, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, false, 0},
		"a page":  {func(_ int32, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>no</html>")) }, true, 0},
	} {
		t.Run(is, func(t *testing.T) {
			t.Parallel()
			url, _ := upstream(t, c.answer)
			s := newFixture(t, redistest.Mini(t), "mem://")
			copier := newCopier(t, s, netguard.Guard{AllowPrivate: true}, c.timeout)
			wantFailure(t, s, copier, imagegen.Drawing{URL: url}, c.permanent)
		})
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	url, calls := upstream(t, func(int32, http.ResponseWriter, *http.Request) {})
	s := newFixture(t, redistest.Mini(t), "mem://")
	c := newCopier(t, s, netguard.Guard{}, 0)
	for _, d := range []imagegen.Drawing{
		{URL: url},
		{URL: "http://169.254.169.254/latest/meta-data"},
		{URL: "file:///etc/passwd"},
		{URL: ""},
		{Data: []byte("<html>")},
		{Data: []byte{}},
		{Data: append(drawn(t, picture.PNG), make([]byte, picture.MaxBytes)...)},
	} {
		wantFailure(t, s, c, d, true)
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls to a private address", calls.Load())
	}
}

func wantFailure(t *testing.T, s fixture, c *imagestore.Copier, d imagegen.Drawing, permanent bool) {
	t.Helper()
	_, err := c.Copy(t.Context(), "job_1", "", d, "", 0)
	failure, ok := errors.AsType[*imagestore.CopyError](err)
	if !ok || failure.Permanent != permanent {
		t.Errorf("%q, %d bytes: %T %v, want permanent %v", d.URL, len(d.Data), err, err, permanent)
	}
	if n := keys(t, s.client); n != 0 {
		t.Errorf("%d keys after a failure", n)
	}
}

func TestCopyAfterTrouble(t *testing.T) {
	t.Parallel()
	data := drawn(t, picture.PNG)
	url, calls := upstream(t, func(call int32, w http.ResponseWriter, _ *http.Request) {
		if call <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(data)
	})
	s := newFixture(t, redistest.Mini(t), "mem://")
	got, err := newCopier(t, s, netguard.Guard{AllowPrivate: true}, 0).Copy(t.Context(), "job_1", "", imagegen.Drawing{URL: url}, "", 0)
	if err != nil || calls.Load() != 3 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
	if p := stored(t, s.Store, got.Name); !bytes.Equal(p.Data, data) {
		t.Errorf("stored %d bytes", len(p.Data))
	}
}

func TestCopyWithoutStore(t *testing.T) {
	t.Parallel()
	s := newFixture(t, redistest.Mini(t), "mem://")
	c := newCopier(t, s, netguard.Guard{}, 0)
	d := imagegen.Drawing{Data: drawn(t, picture.PNG)}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Copy(ended, "job_1", "", d, "jpeg", 0)
	if failure, ok := errors.AsType[*imagestore.CopyError](err); !ok || failure.Permanent {
		t.Errorf("after the end of the context: %v", err)
	}
	if err := s.client.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = c.Copy(t.Context(), "job_1", "", d, "", 0)
	if failure, ok := errors.AsType[*imagestore.CopyError](err); !ok || failure.Permanent {
		t.Errorf("without redis: %v", err)
	}
}

// A link may not be there yet: the next try finds the picture.
func TestCopyOfALinkThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	data := drawn(t, picture.PNG)
	url, _ := upstream(t, func(call int32, w http.ResponseWriter, _ *http.Request) {
		if call == 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	})
	s := newFixture(t, redistest.Mini(t), "mem://")
	c := newCopier(t, s, netguard.Guard{AllowPrivate: true}, 0)
	_, err := c.Copy(t.Context(), "job_1", "", imagegen.Drawing{URL: url}, "", 0)
	if failure, ok := errors.AsType[*imagestore.CopyError](err); !ok || failure.Permanent || failure.Status != http.StatusNotFound {
		t.Fatalf("the first try: %v, want one that may be repeated, with its status", err)
	}
	if _, err := c.Copy(t.Context(), "job_1", "", imagegen.Drawing{URL: url}, "", 0); err != nil {
		t.Errorf("the second try: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	for name, bucket := range map[string]string{"bucket": "mem://", "redis": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, redistest.Mini(t), bucket)
			c := newCopier(t, s, netguard.Guard{}, 0)
			got, err := c.Copy(t.Context(), "job_1", "", imagegen.Drawing{Data: drawn(t, picture.PNG)}, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.Discard(t.Context(), "job_1", got.Name); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Open(t.Context(), got.Name); !errors.Is(err, imagestore.ErrNotFound) || keys(t, s.client) != 0 {
				t.Errorf("after it was discarded: %v, %d keys", err, keys(t, s.client))
			}
		})
	}
}
