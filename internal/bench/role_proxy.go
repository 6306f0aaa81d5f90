package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// The proxy side is the plainest program that passes calls straight through: one process with Go's own HTTP server and client,
// which reads the request, calls the upstream and writes the reply. It has no queue and no records, limits nothing and logs
// nothing, and what it was doing when it breaks is lost.

func runProxy(ctx context.Context, o roleOptions, log *slog.Logger) error {
	client, done := upstreamClient(o)
	defer done()
	return serve(ctx, pictures(func(ctx context.Context, order []byte) (string, error) {
		return orderPicture(ctx, client, o.upstream, order)
	}), log)
}

// upstreamClient returns a client that keeps as many connections as there are calls at once, until done is called.
func upstreamClient(o roleOptions) (client *http.Client, done func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: o.concurrency}
	return &http.Client{Transport: transport, Timeout: callTimeout}, transport.CloseIdleConnections
}

// pictures serves chat requests: draw is given the order for the upstream and returns the picture's address.
func pictures(draw func(ctx context.Context, order []byte) (url string, err error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+chatPath, func(w http.ResponseWriter, r *http.Request) {
		order, err := readOrder(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		url, err := draw(r.Context(), order)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"object": "chat.completion", "model": "Z-Image", "created": time.Now().Unix(),
			"choices": []any{map[string]any{
				"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": "![a cat](" + url + ")"},
			}},
		})
	})
	return mux
}

// readOrder returns what the upstream is to be sent for a chat request.
func readOrder(r *http.Request) ([]byte, error) {
	var call struct {
		Messages []struct {
			Content string `json:"content"`
		} `json:"messages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if len(call.Messages) == 0 {
		return nil, errors.New("the request has no message")
	}
	order, err := json.Marshal(map[string]any{
		"prompt": call.Messages[0].Content, "width": 2048, "height": 2048, "steps": 8, "cfg": 7, "model_index": 5, "seed": 1,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the order: %w", err)
	}
	return order, nil
}
