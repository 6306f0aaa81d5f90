package imagestore_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeGCS is as much of Google Cloud Storage as a store uses: uploads and deletions in the JSON API, reads in the XML API
// (cloud.google.com/go/storage v1.67.0). It has one bucket, "pictures".
type fakeGCS struct {
	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	mediaType string
	data      []byte
	at        time.Time
}

func (f *fakeGCS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.EscapedPath()
	for prefix, handle := range map[string]func(http.ResponseWriter, *http.Request, string){
		"POST /upload/storage/v1/b/pictures/o": f.insert,
		"DELETE /storage/v1/b/pictures/o/":     f.remove,
		"GET /pictures/":                       f.get,
	} {
		if rest, ok := strings.CutPrefix(r.Method+" "+path, prefix); ok {
			name, _ := url.PathUnescape(rest)
			handle(w, r, name)
			return
		}
	}
	missing(w)
}

func missing(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"error":{"code":404,"message":"Not Found","errors":[{"reason":"notFound"}]}}`)
}

// insert takes a multipart upload: the object's metadata, then its data
// (https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object, "multipart").
func (f *fakeGCS) insert(w http.ResponseWriter, r *http.Request, _ string) {
	var about struct {
		Name        string `json:"name"`
		ContentType string `json:"contentType"`
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && r.URL.Query().Get("uploadType") == "multipart" {
		parts := multipart.NewReader(r.Body, params["boundary"])
		var data []byte
		for i := range 2 {
			part, partErr := parts.NextRawPart()
			if partErr != nil {
				err = partErr
				break
			}
			if i == 0 {
				err = json.NewDecoder(part).Decode(&about)
			} else {
				data, err = io.ReadAll(part)
			}
		}
		if err == nil {
			f.objects[about.Name] = object{mediaType: about.ContentType, data: data, at: time.Now()}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]string{
				"kind": "storage#object", "bucket": "pictures", "name": about.Name, "generation": "1", "size": strconv.Itoa(len(data)),
			})
			return
		}
	}
	w.WriteHeader(http.StatusBadRequest)
}

func (f *fakeGCS) remove(w http.ResponseWriter, _ *http.Request, name string) {
	if _, ok := f.objects[name]; !ok {
		missing(w)
		return
	}
	delete(f.objects, name)
	w.WriteHeader(http.StatusNoContent)
}

func (f *fakeGCS) get(w http.ResponseWriter, r *http.Request, name string) {
	o, ok := f.objects[name]
	if !ok {
		missing(w)
		return
	}
	w.Header().Set("Content-Type", o.mediaType)
	w.Header().Set("X-Goog-Generation", "1")
	http.ServeContent(w, r, "", o.at, bytes.NewReader(o.data))
}

// names returns the objects there are that begin with the prefix.
func (f *fakeGCS) names(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for name := range f.objects {
		if strings.HasPrefix(name, prefix) {
			all = append(all, name)
		}
	}
	return all
}
