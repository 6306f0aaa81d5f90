// Command oldclient streams one chat completion with a release of the official Go client from before its comment handling
// was mended: a comment that an empty line follows ends its stream with an error.
//
// GATEWAY_URL and GATEWAY_KEY say whom it calls. It prints what it got as JSON. It is a module of its own because one
// module cannot hold two versions of the same package.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oldclient:", err)
		os.Exit(1)
	}
}

func run() error {
	client := openai.NewClient(
		option.WithBaseURL(os.Getenv("GATEWAY_URL")), option.WithAPIKey(os.Getenv("GATEWAY_KEY")), option.WithMaxRetries(0),
	)
	stream := client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{
		Model: "Z-Image", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("a cat")},
	})
	defer stream.Close() //nolint:errcheck // it was read
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			return fmt.Errorf("chunk does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	if len(acc.Choices) != 1 {
		return fmt.Errorf("%d choices", len(acc.Choices))
	}
	choice := acc.Choices[0]
	err := json.NewEncoder(os.Stdout).Encode(map[string]string{
		"content": choice.Message.Content, "finish_reason": choice.FinishReason,
	})
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
