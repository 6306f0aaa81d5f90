package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// section is what one scenario found.
type section struct {
	name   string
	title  string
	tables []table
	when   string // and how often, and for how long it was measured
}

// report is everything that was found.
type report struct {
	machine  string
	sections []section
}

// machineMark is the name of the part that says on what it was measured.
const machineMark = "machine"

func (s section) markdown() string {
	parts := make([]string, len(s.tables), len(s.tables)+1)
	for i, t := range s.tables {
		parts[i] = t.markdown()
	}
	return strings.Join(append(parts, s.when+"\n"), "\n")
}

// markdown is the report by itself.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(r.machine)
	for _, s := range r.sections {
		fmt.Fprintf(&b, "\n## %s: %s\n\n%s", s.name, s.title, s.markdown())
	}
	return b.String()
}

// update replaces the parts of a document that were measured, and leaves everything else as it is.
func (r *report) update(path string) error {
	document, err := os.ReadFile(path) //nolint:gosec // the one that was asked for
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	parts := map[string]string{machineMark: r.machine}
	for _, s := range r.sections {
		parts[s.name] = s.markdown()
	}
	for name, text := range parts {
		if document, err = replacePart(document, name, text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	const mode = 0o644                                         // of a new one, which this is not
	if err := os.WriteFile(path, document, mode); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// replacePart puts text between the two comments that mark the part of the name.
func replacePart(document []byte, name, text string) ([]byte, error) {
	begin, end := fmt.Sprintf("<!-- bench:%s -->\n", name), fmt.Sprintf("<!-- /bench:%s -->\n", name)
	before, rest, ok := bytes.Cut(document, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("there is no part between %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return bytes.Join([][]byte{before, []byte(begin), []byte(text), []byte(end), after}, nil), nil
}
