package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxMistake      = 300 // runes of one
	maxFileMistakes = 200 // of one file: who gets more has begun with the wrong file
)

// path names a value of CONFIG_FILE: models[1].ratios["1:1"]. The empty path is the whole file.
type path string

func (p path) field(name string) path {
	if p == "" {
		return path(name)
	}
	return p + "." + path(name)
}

func (p path) index(i int) path    { return p + path("["+strconv.Itoa(i)+"]") }
func (p path) key(key string) path { return p + path("["+strconv.Quote(key)+"]") }

// within reports whether p is the value q, or in it.
func (p path) within(q path) bool {
	rest, ok := strings.CutPrefix(string(p), string(q))
	return ok && (rest == "" || q == "" || rest[0] == '.' || rest[0] == '[')
}

// place is a position in CONFIG_FILE, both numbers from 1.
type place struct{ line, column int }

// report collects what is wrong with CONFIG_FILE. It knows where every value stood, so that whoever finds a mistake later
// only has to say in which value.
type report struct {
	file   string // its name, without directories
	places map[path]place
	hidden map[path]bool // values that came out of variables: no message repeats them
	broken []path        // values that could not be read: nothing that would follow from them is said
	found  []finding
}

type finding struct {
	place
	text string
}

func newReport(file string) *report {
	return &report{file: file, places: map[path]place{"": {1, 1}}, hidden: map[path]bool{}}
}

// has reports whether the file holds a value there. Null is none.
func (r *report) has(p path) bool {
	_, ok := r.places[p]
	return ok
}

// at returns where a value stands, or the least part of the file that should hold it.
func (r *report) at(p path) place {
	for p != "" {
		if at, ok := r.places[p]; ok {
			return at
		}
		// A dot or a bracket within a key only makes for a further round.
		p = p[:max(0, strings.LastIndexAny(string(p), ".["))]
	}
	return r.places[""]
}

// sound reports whether nothing in a value, and nothing that it is in, was unreadable.
func (r *report) sound(p path) bool {
	return !slices.ContainsFunc(r.broken, func(b path) bool { return b.within(p) || p.within(b) })
}

// mistake notes what is wrong with a value that was read, unless that follows from what could not be.
func (r *report) mistake(p path, format string, args ...any) {
	if r.sound(p) {
		r.add(r.at(p), p, format, args...)
	}
}

// unreadable notes a value that could not be read.
func (r *report) unreadable(at place, p path, format string, args ...any) {
	r.broken = append(r.broken, p)
	r.add(at, p, format, args...)
}

func (r *report) add(at place, p path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p != "" {
		text = string(p) + ": " + text
	}
	r.found = append(r.found, finding{at, oneLine(text)})
}

// quote shows a value as it is written in the file.
func (r *report) quote(p path, text string) string {
	if r.hidden[p] {
		return "its value"
	}
	return quote(text)
}

// lines returns the mistakes in the order of the file, each on one line.
func (r *report) lines() []string {
	slices.SortStableFunc(r.found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var lines []string
	for i, f := range r.found {
		if i == maxFileMistakes {
			lines = append(lines, fmt.Sprintf("CONFIG_FILE: %s: %d more mistakes", r.file, len(r.found)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("CONFIG_FILE: %s:%d:%d: %s", r.file, f.line, f.column, f.text))
	}
	return lines
}

// oneLine makes a message fit for a line: no control characters, and not at any length.
func oneLine(text string) string {
	line := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	return string(line[:min(len(line), maxMistake)])
}
