package redisconn_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
	"github.com/zimage-gateway/zimage-gateway/internal/redistest"
)

// wire takes the place of Redis: it shows what is sent, and answers it when it is told to.
type wire struct {
	sent chan []redis.Cmder
	held chan error // what becomes of each round trip; nil: every command is answered with its argument
}

var (
	errWire  = errors.New("the wire is cut")
	errPanic = errors.New("a hook panics")
)

func (w wire) send(ctx context.Context, cmds []redis.Cmder) error {
	w.sent <- cmds
	err := <-w.held
	if errors.Is(err, errPanic) {
		panic(err)
	}
	if deadline, ok := ctx.Deadline(); err == nil && ok && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	for _, cmd := range cmds {
		if cmd.SetErr(err); err == nil {
			cmd.(*redis.StringCmd).SetVal(cmd.Args()[1].(string)) //nolint:errcheck // echo's
		}
	}
	return err
}

func combined() (redisconn.Combiner, wire) {
	w := wire{sent: make(chan []redis.Cmder, 10), held: make(chan error, 10)}
	return redisconn.NewCombiner(w.send, time.Minute), w
}

// echo sends two commands in a goroutine, and returns what becomes of them.
func echo(ctx context.Context, c redisconn.Combiner, n int) <-chan error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				result <- errPanic
			}
		}()
		first, second := redis.NewStringCmd(ctx, "echo", strconv.Itoa(n)), redis.NewStringCmd(ctx, "echo", strconv.Itoa(-n))
		if err := c.Exec(ctx, first, second); err != nil {
			result <- err
			return
		}
		if first.Val() != strconv.Itoa(n) || second.Val() != strconv.Itoa(-n) {
			result <- errors.New("answers are " + first.Val() + " and " + second.Val() + " for " + strconv.Itoa(n))
			return
		}
		result <- nil
	}()
	return result
}

// follow sends for n callers while a round trip is under way.
func follow(ctx context.Context, c redisconn.Combiner, n int) (results []<-chan error) {
	for i := range n {
		results = append(results, echo(ctx, c, i+1))
	}
	c.AwaitWaiting(n)
	return results
}

func TestCommandsShareARoundTrip(t *testing.T) {
	t.Parallel()
	client, w := combined()
	leader := echo(t.Context(), client, 100)
	if cmds := <-w.sent; len(cmds) != 2 {
		t.Fatalf("a lone caller's round trip has %d commands, want its own 2", len(cmds))
	}
	others := follow(t.Context(), client, 5)
	w.held <- nil
	if err := <-leader; err != nil {
		t.Error(err)
	}
	cmds := <-w.sent
	if len(cmds) != 10 {
		t.Errorf("the next round trip has %d commands, want the 10 that came meanwhile", len(cmds))
	}
	for i := 0; i < len(cmds); i += 2 {
		if cmds[i].Args()[1].(string) != strings.TrimPrefix(cmds[i+1].Args()[1].(string), "-") { //nolint:errcheck // echo's argument
			t.Error("the commands of a pipeline were torn apart")
		}
	}
	w.held <- nil
	for _, result := range others {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestAFailureIsEverybodysWhoWasOnTheWay(t *testing.T) {
	t.Parallel()
	client, w := combined()
	leader := echo(t.Context(), client, 100)
	<-w.sent
	others := follow(t.Context(), client, 3)
	w.held <- errWire
	if err := <-leader; !errors.Is(err, errWire) {
		t.Errorf("leader got %v, want what its wire said", err)
	}
	<-w.sent
	last := follow(t.Context(), client, 1)
	w.held <- errWire
	for _, result := range others {
		if err := <-result; !errors.Is(err, errWire) {
			t.Errorf("one on the way got %v, want what the wire said", err)
		}
	}
	<-w.sent
	w.held <- nil
	if err := <-last[0]; err != nil {
		t.Errorf("the next got %v", err)
	}
}

// On a real client, single commands and pipelines of many callers get their own answers and errors.
func TestCombinedAnswersAreTheirCallersOwn(t *testing.T) {
	t.Parallel()
	redistest.Both(t, func(t *testing.T, url string) {
		client, err := redisconn.New(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		redisconn.Combine(client)
		if err := client.HSet(t.Context(), "hash", "f", "v").Err(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := client.HGet(t.Context(), "hash", "none").Err(); !errors.Is(err, redis.Nil) {
					t.Errorf("a field that is not there: %v", err)
				}
			})
			all.Go(func() {
				if got, err := client.HGet(t.Context(), "hash", "f").Result(); err != nil || got != "v" {
					t.Errorf("a field that is there: %q, %v", got, err)
				}
			})
			all.Go(func() {
				if err := client.EvalSha(t.Context(), "0123456789012345678901234567890123456789", nil).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
					t.Errorf("a script that is not there: %v", err)
				}
			})
			all.Go(func() {
				pipe := client.Pipeline()
				wrong, right := pipe.LPush(t.Context(), "hash", "x"), pipe.HGetAll(t.Context(), "hash")
				_, err := pipe.Exec(t.Context())
				if !redis.HasErrorPrefix(err, "WRONGTYPE") || wrong.Err() == nil || right.Val()["f"] != "v" {
					t.Errorf("a pipeline with a mistake: %v, %v", err, right)
				}
			})
			all.Go(func() {
				tx := client.TxPipeline()
				got := tx.HGet(t.Context(), "hash", "f")
				if _, err := tx.Exec(t.Context()); err != nil || got.Val() != "v" {
					t.Errorf("a transaction: %q, %v", got.Val(), err)
				}
			})
		}
		all.Wait()
	})
}

func TestWhoGivesUpIsNotSent(t *testing.T) {
	t.Parallel()
	client, w := combined()
	leader := echo(t.Context(), client, 100)
	<-w.sent
	ctx, cancel := context.WithCancel(t.Context())
	impatient := echo(ctx, client, 1)
	client.AwaitWaiting(1)
	patient := echo(t.Context(), client, 2)
	client.AwaitWaiting(2)
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	w.held <- nil
	w.held <- nil
	if cmds := <-w.sent; len(cmds) != 2 {
		t.Errorf("%d commands were sent, want those of the one who waits", len(cmds))
	}
	if err := errors.Join(<-leader, <-patient); err != nil {
		t.Error(err)
	}
}

func TestWhoHasLittleTimeGoesAlone(t *testing.T) {
	t.Parallel()
	client, w := combined()
	leader := echo(t.Context(), client, 100)
	<-w.sent
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	hasty := echo(ctx, client, 1)
	if cmds := <-w.sent; len(cmds) != 2 {
		t.Errorf("%d commands were sent", len(cmds))
	}
	w.held <- nil
	w.held <- nil
	if err := errors.Join(<-leader, <-hasty); err != nil {
		t.Error(err)
	}
}

// Commands share the earliest deadline of those that travel together, so only those do whose deadlines are close.
func TestDeadlinesThatAreClose(t *testing.T) {
	t.Parallel()
	client, w := combined()
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	leader := echo(t.Context(), client, 100)
	<-w.sent
	soon := within(1500 * time.Millisecond)
	early := echo(soon, client, 1)
	client.AwaitWaiting(1)
	others := []<-chan error{echo(within(1700*time.Millisecond), client, 2), echo(within(time.Minute), client, 3)}
	client.AwaitWaiting(3)
	w.held <- nil
	if cmds := <-w.sent; len(cmds) != 4 {
		t.Errorf("%d commands went together, want the 4 whose deadlines are close", len(cmds))
	}
	<-soon.Done()
	w.held <- nil // sent with a deadline that is over
	for i, result := range []<-chan error{early, others[0]} {
		if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d of those that went together got %v, want the deadline", i, err)
		}
	}
	if cmds := <-w.sent; len(cmds) != 2 {
		t.Errorf("%d commands went last, want the 2 that have time", len(cmds))
	}
	w.held <- nil
	if err := errors.Join(<-leader, <-others[1]); err != nil {
		t.Error(err)
	}
}

// A connection that does not answer holds nobody up for long but those whose commands it has.
func TestWhoHasWaitedGoesAlone(t *testing.T) {
	t.Parallel()
	w := wire{sent: make(chan []redis.Cmder, 10), held: make(chan error)}
	client := redisconn.NewCombiner(w.send, time.Millisecond)
	leader := echo(t.Context(), client, 100)
	<-w.sent
	others := []<-chan error{echo(t.Context(), client, 1), echo(t.Context(), client, 2)}
	for range others {
		if cmds := <-w.sent; len(cmds) != 2 {
			t.Errorf("%d commands were sent, want one caller's", len(cmds))
		}
	}
	for range 3 {
		w.held <- nil
	}
	for _, result := range append(others, leader) {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestAHookThatPanicsLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	client, w := combined()
	leader := echo(t.Context(), client, 100)
	<-w.sent
	others := follow(t.Context(), client, 1)
	w.held <- errPanic
	w.held <- nil
	if err := <-leader; !errors.Is(err, errPanic) {
		t.Errorf("the panic was lost: %v", err)
	}
	if err := <-others[0]; err != nil {
		t.Error(err)
	}
}
