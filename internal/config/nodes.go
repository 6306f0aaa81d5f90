package config

import (
	"errors"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML returns the one document of a text; nil where there is none. What is wrong with it is noted.
func parseYAML(text []byte, r *report) ast.Node { //nolint:ireturn // a node of any kind
	// Keys given twice are the decoder's to find: the parser would stop there.
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.unreadable(syntaxError(err))
		return nil
	}
	var root ast.Node
	for _, doc := range f.Docs {
		_, directive := doc.Body.(*ast.DirectiveNode)
		switch {
		case isNull(doc.Body):
		case directive:
			r.unreadable(position(doc.Body), "", "directives are not read here")
			return nil
		case root != nil:
			r.unreadable(position(doc.Body), "", "a second document begins here: only one is read")
			return nil
		default:
			root = doc.Body
		}
	}
	return root
}

// syntaxError returns where a text is no YAML, and why. The parser's message is taken without the lines around, which may
// hold a secret.
func syntaxError(err error) (at place, p path, message string) {
	at, message = place{1, 1}, "this is not YAML"
	var known interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &known) {
		message += ": " + known.GetMessage()
		if t := known.GetToken(); t != nil && t.Position != nil {
			at = place{t.Position.Line, t.Position.Column}
		}
	}
	return at, "", message
}

// scalarKind is what a scalar is to YAML.
type scalarKind string

const (
	scalarNone     scalarKind = ""
	scalarText     scalarKind = "text"
	scalarNumber   scalarKind = "a number"
	scalarBool     scalarKind = "true or false"
	scalarExpanded scalarKind = "made of variables" // and may be any of these
)

// scalarOf returns a scalar as it is written, without quotes.
func scalarOf(n ast.Node) (string, scalarKind) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, scalarText
	case *ast.LiteralNode:
		return n.Value.Value, scalarText
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, scalarNumber
	case *ast.BoolNode:
		return n.GetToken().Value, scalarBool
	}
	return "", scalarNone
}

// keyOf returns a mapping's key as it is written; ok is false where it is more than that.
func keyOf(n ast.Node) (key string, ok bool) {
	if n, ok := n.(*ast.NullNode); ok {
		return n.GetToken().Value, true
	}
	text, kind := scalarOf(n)
	return text, kind != scalarNone
}

// pairsOf returns the pairs of a mapping.
func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// unsupported says of what kind a node is that nothing in the file needs. To follow aliases would let a small file be large.
func unsupported(n ast.Node) string {
	switch n.(type) {
	case *ast.AnchorNode:
		return "anchors"
	case *ast.AliasNode:
		return "aliases"
	case *ast.TagNode:
		return "tags"
	}
	return ""
}

func isNull(n ast.Node) bool {
	switch n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return true
	}
	return false
}

// position returns where a node begins.
func position(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}
