package e2e_test

import (
	"errors"
	"net/http"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/zimage-gateway/zimage-gateway/internal/simupstream"
)

// onePicture is the Markdown of exactly one picture with an absolute URL.
var onePicture = regexp.MustCompile(`^!\[[^\]\n]*\]\(https?://[^()\s]+\)$`)

// TestOpenAIGo drives the gateway with the official Go client, whose base URL may or may not end in /v1.
func TestOpenAIGo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, setup{
		apiEnv:   []string{"STREAM_KEEPALIVE=40ms"}, // so that a waiting stream really sends comments
		upstream: simupstream.Config{Latency: 300 * time.Millisecond},
	})
	for name, base := range map[string]string{"with /v1": g.url + "/v1", "without /v1": g.url} {
		client := openai.NewClient(option.WithBaseURL(base), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("chat", func(t *testing.T) { t.Parallel(); openAIChat(t, client) })
			t.Run("stream", func(t *testing.T) { t.Parallel(); openAIStream(t, client) })
			t.Run("images", func(t *testing.T) { t.Parallel(); openAIImages(t, client) })
			t.Run("models", func(t *testing.T) { t.Parallel(); openAIModels(t, client) })
			t.Run("errors", func(t *testing.T) { t.Parallel(); openAIErrors(t, client, base) })
		})
	}
}

func chatParams(prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "Z-Image", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

func openAIChat(t *testing.T, client openai.Client) {
	t.Helper()
	reply, err := client.Chat.Completions.New(t.Context(), chatParams("一只可爱的小狗，16:9"))
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Choices) != 1 || !onePicture.MatchString(reply.Choices[0].Message.Content) || reply.Choices[0].FinishReason != "stop" {
		t.Errorf("choices = %+v", reply.Choices)
	}
	if reply.Model != "Z-Image" || reply.Object != "chat.completion" || reply.Created == 0 {
		t.Errorf("reply = %+v", reply)
	}
}

func openAIStream(t *testing.T, client openai.Client) {
	t.Helper()
	params := chatParams("a cat")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
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
	if len(acc.Choices) != 1 || !onePicture.MatchString(acc.Choices[0].Message.Content) || acc.Choices[0].FinishReason != "stop" {
		t.Errorf("choices = %+v", acc.Choices)
	}
}

func openAIImages(t *testing.T, client openai.Client) {
	t.Helper()
	reply, err := client.Images.Generate(t.Context(), openai.ImageGenerateParams{
		Model: "Z-Image", Prompt: "a cat", N: openai.Int(2), Size: "512x512",
		ResponseFormat: openai.ImageGenerateParamsResponseFormatURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Data) != 2 || reply.Data[0].URL == "" || reply.Data[0].URL == reply.Data[1].URL || reply.Created == 0 {
		t.Errorf("reply = %+v", reply)
	}
}

func openAIModels(t *testing.T, client openai.Client) {
	t.Helper()
	models, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(models.Data) != 1 || models.Data[0].ID != "Z-Image" || models.Data[0].OwnedBy != "sd-exacg-gateway" {
		t.Errorf("models = %+v", models.Data)
	}
	if m, err := client.Models.Get(t.Context(), "Z-Image"); err != nil || m.ID != "Z-Image" {
		t.Errorf("model = %+v, %v", m, err)
	}
}

func openAIErrors(t *testing.T, client openai.Client, base string) {
	t.Helper()
	want := func(err error, status int, code, param string) {
		t.Helper()
		e, ok := errors.AsType[*openai.Error](err)
		if !ok || e.StatusCode != status || e.Code != code || e.Param != param || e.Message == "" {
			t.Errorf("error = %v, want %d %s of %q", err, status, code, param)
		}
	}
	stranger := openai.NewClient(option.WithBaseURL(base), option.WithAPIKey("sk-nobody"), option.WithMaxRetries(0))
	_, err := stranger.Chat.Completions.New(t.Context(), chatParams("a cat"))
	want(err, http.StatusUnauthorized, "invalid_api_key", "")
	_, err = client.Images.Generate(t.Context(), openai.ImageGenerateParams{Prompt: "a cat", Size: "9999x9999"})
	want(err, http.StatusBadRequest, "invalid_value", "size")
	unknown := chatParams("a cat")
	unknown.Model = "gpt-9"
	_, err = client.Chat.Completions.New(t.Context(), unknown)
	want(err, http.StatusNotFound, "model_not_found", "model")
	_, err = client.Models.Get(t.Context(), "no/such model")
	want(err, http.StatusNotFound, "model_not_found", "model")
}

// The client repeats failures by itself, up to twice, unless it is told that the worker has done so already.
func TestOpenAIGoRetries(t *testing.T) {
	t.Parallel()
	broken := simupstream.Behaviour{Status: http.StatusInternalServerError, Body: "oops"}
	g := newGateway(t, setup{workerEnv: []string{"MAX_ATTEMPTS=1"}, upstream: simupstream.Config{Behave: always(broken)}})
	var replies atomic.Int32
	client := openai.NewClient(
		option.WithBaseURL(g.url), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey), option.WithMaxRetries(2),
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			replies.Add(1)
			return next(r)
		}),
	)
	_, err := client.Chat.Completions.New(t.Context(), chatParams("a cat"))
	e, ok := errors.AsType[*openai.Error](err)
	if !ok || e.StatusCode != http.StatusBadGateway || e.Code != "upstream_error" {
		t.Errorf("error = %v", err)
	}
	if replies.Load() != 1 || g.upstream.Calls() != 1 {
		t.Errorf("the client called %d times and the upstream was called %d times, want once each", replies.Load(), g.upstream.Calls())
	}
}

// What may be repeated is: here a caller that was sent away by SYNC_TIMEOUT gets the picture in the end.
func TestOpenAIGoComesAgain(t *testing.T) {
	t.Parallel()
	upstream, release := held()
	defer release()
	g := newGateway(t, setup{apiEnv: []string{"SYNC_TIMEOUT=500ms"}, upstream: upstream})
	client := openai.NewClient(option.WithBaseURL(g.url), option.WithHTTPClient(g.client()), option.WithAPIKey(clientKey), option.WithMaxRetries(2))
	var first atomic.Int32 // the status of the first reply
	reply, err := client.Images.Generate(t.Context(), openai.ImageGenerateParams{Prompt: "a cat"}, option.WithMiddleware(
		func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			resp, err := next(r)
			if err == nil {
				first.CompareAndSwap(0, int32(resp.StatusCode)) //nolint:gosec // three digits
			}
			release()
			return resp, err
		},
	))
	if status := first.Load(); status != http.StatusGatewayTimeout {
		t.Errorf("the first reply is %d, want 504", status)
	}
	if err != nil || len(reply.Data) != 1 || reply.Data[0].URL == "" {
		t.Errorf("got %+v, %v", reply, err)
	}
}
