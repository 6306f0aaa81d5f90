package config

import (
	"fmt"
	"io"
	"strings"
)

// Usage writes the environment variables of a process ("api" or "worker") with default and meaning, for -help.
func Usage(w io.Writer, process string) error {
	var b strings.Builder
	b.WriteString("Environment variables (an empty one counts as unset; durations as in 500ms, 30s, 5m):\n\n")
	for _, v := range processVariables(process) {
		fmt.Fprintf(&b, "  %s (%s)\n", v.name, v.defaultText())
		for _, line := range wrap(v.meaning(), 92) {
			fmt.Fprintf(&b, "        %s\n", line)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	return nil
}

func processVariables(process string) []variable {
	if process == "worker" {
		return variables(Worker{})
	}
	return variables(API{})
}

func (v variable) defaultText() string {
	if v.def != "" {
		return "default " + v.def
	}
	return v.unset
}

// meaning is the description with what the other tags add to it.
func (v variable) meaning() string {
	s := v.doc
	if v.secret {
		s += "; or " + v.name + fileSuffix + ": the path of a file that holds it"
	}
	return s
}

// wrap breaks text into lines of at most width bytes, where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
