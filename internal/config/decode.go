package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder reads parsed YAML into structs by their yaml tags; a field tagged required must be there. The library's own
// decoder stops at the first mistake, this one goes on and notes each with its place. It reads no more than the structs
// can hold, and follows no aliases.
type decoder struct {
	*report
	vars environment
	// unread are the types of secrets that the process has no need of: they may be made of variables that it is not given.
	unread []reflect.Type
}

// textReader is a value that is written as text. Its error is shown, and does not repeat the text.
type textReader interface{ readText(text string) error }

// oneOrMore is a list of which a single entry may stand alone.
type oneOrMore []string

var (
	durationType  = reflect.TypeFor[time.Duration]()
	oneOrMoreType = reflect.TypeFor[oneOrMore]()
)

// decode reads a node into v, which can be set. Null leaves v as it is.
func (d *decoder) decode(n ast.Node, v reflect.Value, p path) {
	if isNull(n) {
		return
	}
	d.places[p] = position(n)
	if what := unsupported(n); what != "" {
		d.unreadable(position(n), p, "%s are not read here: write the value itself", what)
		return
	}
	t := v.Type()
	_, scalar := scalarOf(n)
	_, written := reflect.TypeAssert[textReader](v.Addr())
	switch {
	case written || t == durationType:
		d.scalar(n, v, p)
	case t == oneOrMoreType && scalar != scalarNone:
		v.Set(reflect.ValueOf(make(oneOrMore, 1)))
		d.decode(n, v.Index(0), p.index(0))
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.decode(n, v.Elem(), p)
	case t.Kind() == reflect.Struct:
		d.structure(n, v, p)
	case t.Kind() == reflect.Slice:
		d.list(n, v, p)
	case t.Kind() == reflect.Map:
		d.table(n, v, p)
	default:
		d.scalar(n, v, p)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, p path) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.unreadable(position(n), p, "this is not a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, entry := range seq.Values {
		if isNull(entry) {
			at := d.at(p)
			if entry != nil {
				at = position(entry)
			}
			d.unreadable(at, p.index(i), "this entry is empty")
			continue
		}
		d.decode(entry, v.Index(i), p.index(i))
	}
}

func (d *decoder) table(n ast.Node, v reflect.Value, p path) {
	pairs, ok := pairsOf(n)
	if !ok {
		d.unreadable(position(n), p, "this is not a mapping of names to values")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(pairs)))
	for _, m := range d.members(pairs, p, path.key) {
		p := p.key(m.name)
		if isNull(m.Value) {
			d.unreadable(position(m.Key), p, "this entry is empty")
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(m.Value, value, p)
		v.SetMapIndex(reflect.ValueOf(m.name), value)
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, p path) {
	pairs, ok := pairsOf(n)
	if !ok {
		d.unreadable(position(n), p, "this is not a mapping of fields to values")
		return
	}
	fields := fieldsOf(v.Type())
	for _, m := range d.members(pairs, p, path.field) {
		if f, known := fields[m.name]; known {
			d.decode(m.Value, v.FieldByIndex(f.Index), p.field(m.name))
			continue
		}
		d.unknown(m, p)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name].Tag.Get("required") == "true" && !d.has(p.field(name)) {
			d.mistake(p.field(name), "this is required")
		}
	}
}

// unknown notes a field that there is not. A lone word between commas is not repeated: it may be the second of two secrets
// that should have been a list.
func (d *decoder) unknown(m member, p path) {
	if isNull(m.Value) && !strings.HasSuffix(strings.TrimSpace(m.Start.Origin), ":") {
		d.add(position(m.Key), p, "an unknown field without a value")
		return
	}
	d.add(position(m.Key), p, "unknown field %s", quote(m.name))
}

// member is a pair of a mapping whose key is text.
type member struct {
	*ast.MappingValueNode
	name string
}

// members returns the pairs of a mapping without those whose key was there already, or is none.
func (d *decoder) members(pairs []*ast.MappingValueNode, p path, in func(path, string) path) []member {
	first := map[string]int{} // line
	var all []member
	for _, pair := range pairs {
		at := position(pair.Key)
		name, ok := keyOf(pair.Key)
		if !ok {
			d.add(at, p, "a key must be plain text: anchors, aliases, tags and merge keys are not read here")
			continue
		}
		if line, given := first[name]; given {
			d.add(at, in(p, name), "this is given twice, first on line %d", line)
			continue
		}
		first[name] = at.line
		all = append(all, member{pair, name})
	}
	return all
}

// fieldsOf returns the fields of a struct by their names in the file.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("yaml"); name != "" {
			fields[name] = f
		}
	}
	return fields
}
