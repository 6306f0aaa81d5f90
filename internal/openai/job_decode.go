package openai

import (
	"encoding/json"
	"fmt"
)

// JobOrder is what the gateway reads from the body of POST /v1/jobs: that of an images generation, and more.
type JobOrder struct {
	ImagesRequest
	Metadata   map[string]string
	WebhookURL string // unchecked; empty: nobody is told
}

// DecodeJob reads the body of POST /v1/jobs. Its error is a classified *imagegen.Error.
func DecodeJob(body []byte) (JobOrder, error) {
	o := decodeObject(body)
	if o.err != nil {
		return JobOrder{}, o.err
	}
	images, err := o.images()
	if err != nil {
		return JobOrder{}, err
	}
	r := JobOrder{ImagesRequest: images, Metadata: o.strictMetadata(), WebhookURL: value(o.text("webhook_url"))}
	return r, o.err
}

// strictMetadata is metadata for a field of our own: what could not be kept is refused.
func (o *object) strictMetadata() map[string]string {
	raw, ok := o.member("metadata")
	if !ok {
		return nil
	}
	var all map[string]*string
	if json.Unmarshal(raw, &all) != nil {
		o.fail("metadata", "an object whose values are strings")
		return nil
	}
	m := make(map[string]string, len(all))
	for k, v := range all {
		if v != nil { // null means absent, as everywhere
			m[k] = *v
		}
	}
	if len(m) > maxMetadata {
		o.fail("metadata", fmt.Sprintf("an object of at most %d pairs", maxMetadata))
	}
	for k, v := range m {
		if len(k) > maxMetadataKey || len(v) > maxMetadataValue {
			o.fail("metadata", fmt.Sprintf("an object with keys of at most %d and values of at most %d bytes", maxMetadataKey, maxMetadataValue))
		}
	}
	return m
}
