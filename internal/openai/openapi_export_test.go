package openai

// Replies are zero values of all that the encoders write, by the name of its schema in the OpenAPI document, for tests.
func Replies() map[string]any {
	return map[string]any{
		"ChatCompletion":      ChatCompletion{},
		"ChatCompletionChunk": chunk{},
		"ErrorReply":          ErrorReply{},
		"ImageStreamEvent":    imageEvent{},
		"ImagesReply":         ImagesReply{},
		"Job":                 Job{},
		"JobList":             JobList{},
		"ModelList":           ModelList{},
		"Response":            Response{},
		"ResponseStreamEvent": responseEvent{},
	}
}
