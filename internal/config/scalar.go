package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// upstreamKey is an upstream's key, which the api has no need of.
type upstreamKey string

// clientDigest is the digest of a client's key as it is written, which the worker has no need of.
type clientDigest string

var (
	upstreamKeyType  = reflect.TypeFor[upstreamKey]()
	clientDigestType = reflect.TypeFor[clientDigest]()
)

// scalar reads text, a number or a boolean.
func (d *decoder) scalar(n ast.Node, v reflect.Value, p path) {
	text, kind := scalarOf(n)
	if kind == scalarNone {
		d.unreadable(position(n), p, "this is a list or a mapping where a single value is expected")
		return
	}
	secret := v.Type() == upstreamKeyType || v.Type() == clientDigestType
	if strings.Contains(text, "${") && kind == scalarText {
		if slices.Contains(d.unread, v.Type()) {
			d.broken = append(d.broken, p) // which is no mistake, but nothing can be said of it
			return
		}
		d.hidden[p] = true
		var err error
		if text, err = d.vars.expand(text, secret); err != nil {
			d.unreadable(position(n), p, "%s", err)
			return
		}
		kind = scalarExpanded
	}
	if what := set(v, text, kind); what != "" {
		if secret {
			d.hidden[p] = true
		}
		d.unreadable(position(n), p, "%s %s", d.quote(p, text), what)
	}
}

// set gives v the value of a text, or returns what the text is not.
func set(v reflect.Value, text string, kind scalarKind) (mistake string) {
	if r, ok := reflect.TypeAssert[textReader](v.Addr()); ok {
		if err := r.readText(text); err != nil {
			return err.Error()
		}
		return ""
	}
	number := kind == scalarNumber || kind == scalarExpanded
	if v.Type() == durationType {
		d, err := parseDuration(text)
		if err != nil {
			return "is not a duration such as 500ms, 30s or 5m"
		}
		v.SetInt(int64(d))
		return ""
	}
	switch {
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, 32)
		if err != nil || !number {
			return "is not a whole number"
		}
		v.SetInt(i)
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !number || math.IsNaN(f) || math.IsInf(f, 0) {
			return "is not a number"
		}
		v.SetFloat(f)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" || kind != scalarBool && kind != scalarExpanded {
			return "is neither true nor false"
		}
		v.SetBool(text == "true")
	case kind != scalarText && kind != scalarExpanded:
		return fmt.Sprintf("is %s where text is expected: put it in quotes", kind)
	default:
		v.SetString(text) // it panics for any other type, which is the struct's fault
	}
	return ""
}
