package e2e_test

import (
	"encoding/base64"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// TestOpenAIGoSurface drives what lies beyond one picture by link: several choices, base64, streamed images, responses.
func TestOpenAIGoSurface(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv: clientEnv, workerEnv: []string{"ALLOW_PRIVATE_ADDRESSES=true"},
		upstream: simupstream.Config{Latency: 300 * time.Millisecond, Behave: byPrompt},
	})
	client := openai.NewClient(option.WithBaseURL(g.url), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
	for name, test := range map[string]func(*testing.T, openai.Client){
		"choices":                openAIChoices,
		"choices, streamed":      openAIChoicesStreamed,
		"images in base64":       openAIImagesBase64,
		"images, streamed":       openAIImagesStreamed,
		"response":               openAIResponse,
		"response to parts":      openAIResponseToParts,
		"response, polled":       openAIResponsePolled,
		"response, cancelled":    openAIResponseCancelled,
		"response, streamed":     openAIResponseStreamed,
		"response that fails":    openAIResponseFails,
		"failures in mid-stream": openAIStreamsFail,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, client) })
	}
}

func openAIChoices(t *testing.T, client openai.Client) {
	t.Helper()
	params := chatParams("a cat")
	params.N = openai.Int(3)
	reply, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	wantChoices(t, reply.Choices, 3)
}

func openAIChoicesStreamed(t *testing.T, client openai.Client) {
	t.Helper()
	params := chatParams("a cat")
	params.N = openai.Int(2)
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close() //nolint:errcheck // it was read
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Errorf("chunk does not fit: %+v", stream.Current())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	wantChoices(t, acc.Choices, 2)
}

func wantChoices(t *testing.T, choices []openai.ChatCompletionChoice, n int) {
	t.Helper()
	different := map[string]bool{}
	for i, c := range choices {
		different[c.Message.Content] = true
		if c.Index != int64(i) || !onePicture.MatchString(c.Message.Content) || c.FinishReason != "stop" {
			t.Errorf("choice %d = %+v", i, c)
		}
	}
	if len(different) != n {
		t.Errorf("%d different pictures in %d choices, want %d", len(different), len(choices), n)
	}
}

// wantPNG checks base64 without a data: prefix.
func wantPNG(t *testing.T, b64 string) {
	t.Helper()
	if _, err := png.DecodeConfig(base64.NewDecoder(base64.StdEncoding, strings.NewReader(b64))); err != nil {
		t.Errorf("not a PNG in base64: %v: %.60q", err, b64)
	}
}

func openAIImagesBase64(t *testing.T, client openai.Client) {
	t.Helper()
	for name, params := range map[string]openai.ImageGenerateParams{
		"asked for": {Model: "Z-Image", ResponseFormat: openai.ImageGenerateParamsResponseFormatB64JSON},
		"by name":   {Model: "gpt-image-1"},
	} {
		params.Prompt, params.Size, params.N = "a cat", "256x256", openai.Int(2)
		reply, err := client.Images.Generate(t.Context(), params)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(reply.Data) != 2 {
			t.Errorf("%s: %d pictures", name, len(reply.Data))
		}
		for _, picture := range reply.Data {
			if picture.URL != "" {
				t.Errorf("%s: a URL as well: %s", name, picture.URL)
			}
			wantPNG(t, picture.B64JSON)
		}
	}
}

func openAIImagesStreamed(t *testing.T, client openai.Client) {
	t.Helper()
	stream := client.Images.GenerateStreaming(t.Context(), openai.ImageGenerateParams{
		Model: "Z-Image", Prompt: "a cat", Size: "256x256", PartialImages: openai.Int(1),
	})
	defer stream.Close() //nolint:errcheck // it was read
	events := 0
	for ; stream.Next(); events++ {
		event := stream.Current()
		if event.Type != "image_generation.completed" || event.CreatedAt == 0 {
			t.Errorf("event %s of %d", event.Type, event.CreatedAt)
		}
		wantPNG(t, event.B64JSON)
	}
	if err := stream.Err(); err != nil || events != 1 {
		t.Errorf("%d events, %v", events, err)
	}
}

func openAIStreamsFail(t *testing.T, client openai.Client) {
	t.Helper()
	chats := client.Chat.Completions.NewStreaming(t.Context(), chatParams("please refuse this"))
	for chats.Next() {
		if content := chats.Current().Choices[0].Delta.Content; content != "" {
			t.Errorf("content %q", content)
		}
	}
	images := client.Images.GenerateStreaming(t.Context(), openai.ImageGenerateParams{Prompt: "please refuse this"})
	for images.Next() {
		t.Errorf("event %s", images.Current().Type)
	}
	for name, err := range map[string]error{"chat": chats.Err(), "images": images.Err()} {
		if err == nil || !strings.Contains(err.Error(), "refuse") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	var last responses.ResponseStreamEventUnion
	stream := client.Responses.NewStreaming(t.Context(), responseParams("please refuse this"))
	for stream.Next() {
		last = stream.Current()
	}
	if last.Type != "response.failed" || last.Response.Error.Code != "upstream_rejected" || stream.Err() != nil {
		t.Errorf("responses: last event %s %+v, error %v", last.Type, last.Response.Error, stream.Err())
	}
}
