package picture

import (
	"bytes"
	"slices"
)

// MaxBytes is the largest picture that is handled.
const MaxBytes = 32 << 20

// Format is a picture's file format.
type Format string

// The formats that are known.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	WebP Format = "webp"
	GIF  Format = "gif"
	AVIF Format = "avif"
)

// Formats lists all formats.
func Formats() []Format { return []Format{PNG, JPEG, WebP, GIF, AVIF} }

// MediaType returns the format's registered media type.
func (f Format) MediaType() string { return "image/" + string(f) }

// Extension returns the format's usual file name extension, with its point.
func (f Format) Extension() string {
	if f == JPEG {
		return ".jpg"
	}
	return "." + string(f)
}

// Picture is one picture.
type Picture struct {
	Format Format
	Data   []byte
}

// Sniff tells the format by the first bytes. ok is false where it is none of the known ones.
func Sniff(data []byte) (f Format, ok bool) {
	has := func(at int, magic string) bool {
		return len(data) >= at+len(magic) && string(data[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "\x89PNG\r\n\x1a\n"):
		return PNG, true
	case has(0, "\xff\xd8\xff"):
		return JPEG, true
	case has(0, "RIFF") && has(8, "WEBPVP8"):
		return WebP, true
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return GIF, true
	case has(4, "ftyp") && isAVIF(data):
		return AVIF, true
	}
	return "", false
}

// isAVIF looks for AVIF among the brands of an ISO base media file (ISO/IEC 14496-12): the major one or a compatible one.
func isAVIF(data []byte) bool {
	size := int(data[0])<<24 | int(data[1])<<16 | int(data[2])<<8 | int(data[3])
	brands := data[8:min(len(data), max(size, 12), 256)]
	for i, brand := range slices.Collect(slices.Chunk(brands, 4)) {
		if i == 1 {
			continue // the version of the major brand
		}
		if bytes.Equal(brand, []byte("avif")) || bytes.Equal(brand, []byte("avis")) {
			return true
		}
	}
	return false
}
