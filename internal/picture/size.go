package picture

import "bytes"

// Size returns a picture's width and height in pixels, as its header has them. ok is false where they cannot be told: that
// of an AVIF file, or of one that is damaged.
func Size(p Picture) (width, height int, ok bool) {
	defer func() {
		if recover() != nil { // a header that strangers made
			width, height, ok = 0, 0, false
		}
	}()
	c, known := codecs[p.Format]
	if !known {
		return 0, 0, false
	}
	size, err := c.config(bytes.NewReader(p.Data))
	if err != nil || size.Width <= 0 || size.Height <= 0 {
		return 0, 0, false
	}
	return size.Width, size.Height, true
}
