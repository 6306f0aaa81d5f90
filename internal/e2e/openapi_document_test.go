package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pb33f/jsonschema/v6"
)

// documentName is the document's name among the schemas; it is in their messages.
const documentName = "mem:openapi.json"

// document is the OpenAPI document of the gateway under test. It is safe for concurrent use.
type document struct {
	root  map[string]any
	paths map[string]*regexp.Regexp // by the form in the document

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by pointer
}

// published is the document, once it was read: all gateways of a run are the same program.
var published struct {
	mu       sync.Mutex
	document *document
}

// documentOf returns the document that the gateway at base publishes.
func documentOf(base string) (*document, error) {
	published.mu.Lock()
	defer published.mu.Unlock()
	if published.document != nil {
		return published.document, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/openapi.json", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the document: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the document: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	published.document, err = newDocument(resp.Body)
	return published.document, err
}

func newDocument(r io.Reader) (*document, error) {
	v, err := jsonschema.UnmarshalJSON(r)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the document is no object")
	}
	d := &document{
		root: root, paths: map[string]*regexp.Regexp{}, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{},
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := d.compiler.AddResource(documentName, root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	for path := range d.at("/paths") {
		form := regexp.MustCompile(`\\\{[^/]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+")
		if path == "/v1/models/{id}" {
			form = "/v1/models/.+" // the slash of a name need not be escaped
		}
		d.paths[path] = regexp.MustCompile("^" + form + "$")
	}
	return d, nil
}

// at returns the object at a JSON pointer, or nil.
func (d *document) at(pointer string) map[string]any {
	o := d.root
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		o, _ = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)].(map[string]any)
	}
	return o
}

// follow returns where the object at a pointer really is.
func (d *document) follow(pointer string) string {
	if ref, ok := d.at(pointer)["$ref"].(string); ok {
		return strings.TrimPrefix(ref, "#")
	}
	return pointer
}

// below returns the pointer to a member.
func below(pointer, name string) string {
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// validate checks a value against the schema at a pointer.
func (d *document) validate(pointer string, v any) error {
	d.mu.Lock()
	s := d.schemas[pointer]
	if s == nil {
		var err error
		escaped := strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer)
		if s, err = d.compiler.Compile(documentName + "#" + escaped); err != nil {
			d.mu.Unlock()
			return fmt.Errorf("compile %s: %w", pointer, err)
		}
		d.schemas[pointer] = s
	}
	d.mu.Unlock()
	return s.Validate(v)
}

// canonical returns the form of a path that the document has.
func canonical(path string) string {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(segments) == 0 || len(segments) == 1 && (segments[0] == "healthz" || segments[0] == "openapi.json") {
		return "/" + strings.Join(segments, "/")
	}
	for range 2 {
		if len(segments) > 0 && segments[0] == "v1" {
			segments = segments[1:]
		}
	}
	return "/" + strings.Join(append([]string{"v1"}, segments...), "/")
}

// response returns the pointer to what the document says of a reply.
func (d *document) response(req *http.Request, status int) (string, error) {
	path := d.path(canonical(req.URL.EscapedPath()))
	operation := d.operation(path, req)
	if operation != "" {
		pointer := d.follow(below(operation+"/responses", strconv.Itoa(status)))
		if d.at(pointer) == nil {
			return "", fmt.Errorf("the document knows no reply %d", status)
		}
		return pointer, nil
	}
	switch {
	case status == http.StatusUnauthorized: // who has no key is not told which paths exist
		return "/components/responses/Unauthorized", nil
	case status == http.StatusNotFound && path == "":
		return "/components/responses/UnknownURL", nil
	case status == http.StatusMethodNotAllowed && path != "":
		return "/components/responses/MethodNotAllowed", nil
	}
	return "", fmt.Errorf("the document has no such operation, and the reply is %d", status)
}

// operation returns the pointer to what the document says of a request, or nothing where it has no such path or method.
func (d *document) operation(path string, req *http.Request) string {
	method := strings.ToLower(req.Method)
	if method == "head" {
		method = "get"
	}
	operations := below("/paths", path)
	_, posted := d.at(operations)["post"]
	if method == "get" && posted && req.URL.Query().Has("wait") {
		method = "post" // a call that was sent round
	}
	if path == "" || d.at(below(operations, method)) == nil {
		return ""
	}
	return below(operations, method)
}

// path returns the form in the document that fits, or nothing.
func (d *document) path(target string) string {
	for _, path := range slices.Sorted(maps.Keys(d.paths)) {
		if d.paths[path].MatchString(target) {
			return path
		}
	}
	return ""
}
