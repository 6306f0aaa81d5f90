package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
)

// desertedAge is how long no worker may serve an upstream before the pictures that wait for it are rescued: workers restart.
const desertedAge = 2 * time.Minute

// anyAttempts lets a picture be moved wherever it was tried before.
const anyAttempts = 1 << 30

// isDeserted reports whether a picture waits for an upstream that no worker has served for a while, although workers run: it
// was renamed or removed, and the picture would wait for ever.
func (s *Sweeper) isDeserted(t Task, served []string) bool {
	u := t.Upstream()
	if len(served) == 0 || u == "" || slices.Contains(served, u) {
		return false
	}
	since, seen := s.deserted[u]
	if !seen {
		s.deserted[u] = time.Now()
		s.log.Warn("pictures wait for an upstream that no worker serves", slog.String("upstream", u))
		return false
	}
	return time.Since(since) >= s.patience
}

// rescue sends a picture to another upstream of its model that some worker serves; where there is none it fails.
func (s *Sweeper) rescue(ctx context.Context, t Task, served []string) error {
	to, err := s.store.upstreams(ctx, t.Job)
	if err != nil {
		return err
	}
	to = slices.DeleteFunc(to, func(u string) bool { return !slices.Contains(served, u) })
	log := s.log.With(slog.String("job_id", string(t.Job)), slog.Int("image", t.Image), slog.String("upstream", t.Upstream()))
	if len(to) > 0 {
		moved, err := s.store.Move(ctx, t, Move{From: t.Upstream(), To: to, MaxAttempts: anyAttempts})
		if err != nil || !moved.OK {
			return err
		}
		log.WarnContext(ctx, "picture goes to another upstream: no worker serves its own", slog.String("to", moved.Task.Upstream()))
		if err := errors.Join(s.queue.Enqueue(ctx, moved.Task), s.queue.Remove(ctx, t)); err != nil {
			return fmt.Errorf("queue task %s: %w", moved.Task.ID(), err)
		}
		return nil
	}
	f := Finish{Verdict: FinishFailed, Error: &imagegen.Error{
		Kind: imagegen.KindUpstreamAccount, Message: "Nothing in this gateway draws for the job's model any more.",
	}}
	bought, ok, err := s.store.bought(ctx, t)
	switch {
	case err != nil:
		return err
	case ok: // it is paid for, and nobody is left to copy it
		f = Finish{Verdict: FinishDone, Image: &bought}
	default:
		log.ErrorContext(ctx, "picture given up: no worker serves any upstream of its model")
	}
	end, err := s.store.Finish(ctx, t, "sweeper", f)
	if err != nil {
		return err
	}
	if end.Webhook {
		err = s.queue.Enqueue(ctx, WebhookTask(t.Job))
	}
	return errors.Join(err, s.queue.Remove(ctx, t))
}

// bought returns the picture that is drawn and waits to be copied; ok is false where there is none.
func (s *Store) bought(ctx context.Context, t Task) (image imagegen.Image, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	text, err := s.client.HGet(ctx, recordKey(t.Job), pictureField("d", t.Image)).Result()
	if errors.Is(err, redis.Nil) {
		return image, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &image)
	}
	if err != nil {
		return image, false, fmt.Errorf("read what was bought for task %s: %w", t.ID(), err)
	}
	return image, true, nil
}

// upstreams returns those of a job's model.
func (s *Store) upstreams(ctx context.Context, id ID) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	text, err := s.client.HGet(ctx, recordKey(id), "spec").Result()
	if err != nil {
		return nil, fmt.Errorf("read the upstreams of job %s: %w", id, err)
	}
	var spec imagegen.Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return nil, fmt.Errorf("decode the spec of job %s: %w", id, err)
	}
	return spec.Upstreams, nil
}
