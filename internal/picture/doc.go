// Package picture deals with pictures as bytes: telling their formats apart, fetching them from where an upstream put
// them, and converting them.
//
// Nothing about a picture is believed: its type is what its first bytes say, its size is bounded before it is read, and
// so are its pixels before it is decoded.
package picture
