package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// table is one of the report's.
type table struct {
	title   string // a line before it; empty: none
	head    []string
	rows    [][]string
	listing []string // in place of head and rows: lines as they are
}

// markdown writes the table as it goes into the document. Figures stand on the right.
func (t table) markdown() string {
	var b strings.Builder
	if t.title != "" {
		b.WriteString(t.title + "\n\n")
	}
	if t.listing != nil {
		return b.String() + "```text\n" + strings.Join(t.listing, "\n") + "\n```\n"
	}
	writeRow(&b, t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	writeRow(&b, rule)
	for _, r := range t.rows {
		writeRow(&b, r)
	}
	return b.String()
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// unit writes a value for people.
type unit func(float64) string

// none stands where there is no value.
const none = "–"

// millis writes seconds.
func millis(seconds float64) string { return number(seconds*1e3) + " ms" }

// micros writes seconds.
func micros(seconds float64) string { return thousands(int64(math.Round(seconds*1e6))) + " µs" }

// perSecond writes a rate.
func perSecond(rate float64) string { return number(rate) + "/s" }

// mebibytes writes bytes.
func mebibytes(bytes float64) string { return number(bytes/(1<<20)) + " MiB" }

// times writes a ratio.
func times(ratio float64) string { return number(ratio) + "×" }

// number writes three digits that count, and no fewer than stand before the point.
func number(v float64) string {
	const one, ten, hundred = 1, 10, 100
	switch size := math.Abs(v); {
	case size >= hundred:
		return thousands(int64(math.Round(v)))
	case size >= ten:
		return fmt.Sprintf("%.1f", v)
	case size >= one || size == 0:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.2g", v)
	}
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	const group = 1000
	if n < group {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/group), n%group)
}

// write writes a value in its unit, or that there is none.
func (u unit) write(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	return u(v)
}

// goal is what a figure must keep to. Its zero value is none.
type goal struct {
	limit float64
	kind  goalKind
}

type goalKind int

const (
	goalNone goalKind = iota
	goalMost
	goalLeast
)

func atMost(limit float64) goal  { return goal{limit, goalMost} }
func atLeast(limit float64) goal { return goal{limit, goalLeast} }

// cells are the goal in its unit and whether v meets it.
func (g goal) cells(u unit, v float64) []string {
	var bound string
	var met bool
	switch g.kind {
	case goalNone:
		return []string{"", ""}
	case goalMost:
		bound, met = "≤ "+u(g.limit), v <= g.limit
	case goalLeast:
		bound, met = "≥ "+u(g.limit), v >= g.limit
	}
	if met {
		return []string{bound, "✓"}
	}
	return []string{bound, "**missed**"}
}

// comparison is a table of figures of the sides: ratios first, for they say more of the program and less of the machine.
type comparison struct {
	table
	others []string // the sides beside ours
}

func newComparison(title string, others ...string) *comparison {
	head := []string{""}
	for _, name := range others {
		head = append(head, nameOurs+" ÷ "+name)
	}
	head = slices.Concat(head, []string{nameOurs}, others, []string{"goal", ""})
	return &comparison{table{title: title, head: head}, others}
}

// add adds a figure, which of says of the side of a name: not a number where it is not known.
func (c *comparison) add(what string, u unit, of func(name string) float64, g goal) {
	ours := of(nameOurs)
	ratios, values := []string{what}, []string{u.write(ours)}
	for _, name := range c.others {
		v := of(name)
		ratios, values = append(ratios, unit(times).write(ours/v)), append(values, u.write(v))
	}
	c.rows = append(c.rows, slices.Concat(ratios, values, g.cells(u, ours)))
}
