// Package openai is the wire: what OpenAI clients send and what they want back.
//
// Decoding turns a request body into [imagegen.Params] and a few options of the reply; encoding turns a job into a chat
// completion, a stream of chunks, an images reply or the job object, and a classified failure into status, type and
// code. Decoding is tolerant, as real clients are many: unknown fields are ignored, null means absent, numbers may come
// as strings. It checks types, not meaning: bounds, sizes and defaults are the domain's.
//
// The package serves no requests and knows no queue.
package openai
