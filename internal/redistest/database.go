package redistest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/zimage-gateway/zimage-gateway/internal/redisconn"
)

// Database 0 is never given to a test: it holds who uses the others, as several test binaries may share a server.
const (
	leasePrefix = "redistest:lease:" // + database: string, held while a test uses it
	ownedKey    = "redistest:owned"  // set of the databases that tests have written to
	// leaseTTL frees the database of a test that was killed; longer than a test may take.
	leaseTTL = 15 * time.Minute
	// takeTimeout bounds the wait for a database where others use them all.
	takeTimeout = 2 * time.Minute
)

// nextDatabase spreads the search, so that a database is not used again at once.
var nextDatabase atomic.Int64

// takeDatabase gives t a database of the server at base.
func takeDatabase(tb testing.TB, base string) string {
	tb.Helper()
	admin, err := connect(base, 0)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeTimeout)
	defer cancel()
	db, err := lease(ctx, admin, base)
	if err != nil {
		_ = admin.Close()
		tb.Fatalf("redistest: take a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := errors.Join(flush(ctx, base, db), admin.Del(ctx, leasePrefix+strconv.Itoa(db)).Err(), admin.Close())
		if err != nil {
			tb.Errorf("redistest: give database %d back: %v", db, err)
		}
	})
	return withDatabase(base, db)
}

// lease waits until a database is free, and empties it.
func lease(ctx context.Context, admin redis.UniversalClient, base string) (int, error) {
	count := databaseCount(ctx, admin)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		for range count - 1 {
			db := 1 + int(nextDatabase.Add(1))%(count-1)
			ok, err := tryLease(ctx, admin, base, db)
			if ok || err != nil {
				return db, err
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("none of %d is free: %w", count-1, ctx.Err())
		}
	}
}

// tryLease takes one database unless it is in use, by a test or by whoever keeps data of their own there.
func tryLease(ctx context.Context, admin redis.UniversalClient, base string, db int) (bool, error) {
	key := leasePrefix + strconv.Itoa(db)
	err := admin.SetArgs(ctx, key, os.Getpid(), redis.SetArgs{Mode: "NX", TTL: leaseTTL}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lease database %d: %w", db, err)
	}
	owned, err := admin.SIsMember(ctx, ownedKey, db).Result()
	if err != nil {
		return false, fmt.Errorf("look up database %d: %w", db, err)
	}
	if !owned {
		empty, err := isEmpty(ctx, base, db)
		if err != nil || !empty {
			return false, errors.Join(err, admin.Del(ctx, key).Err())
		}
	}
	if err := admin.SAdd(ctx, ownedKey, db).Err(); err != nil {
		return false, fmt.Errorf("mark database %d: %w", db, err)
	}
	return true, flush(ctx, base, db)
}

func isEmpty(ctx context.Context, base string, db int) (bool, error) {
	c, err := connect(base, db)
	if err != nil {
		return false, err
	}
	n, err := c.DBSize(ctx).Result()
	return n == 0, errors.Join(err, c.Close())
}

func flush(ctx context.Context, base string, db int) error {
	c, err := connect(base, db)
	if err != nil {
		return err
	}
	return errors.Join(c.FlushDB(ctx).Err(), c.Close())
}

// databaseCount asks the server, and takes the usual number if it will not tell.
func databaseCount(ctx context.Context, admin redis.UniversalClient) int {
	const usual = 16
	conf, err := admin.ConfigGet(ctx, "databases").Result()
	if err != nil {
		return usual
	}
	n, err := strconv.Atoi(conf["databases"])
	if err != nil || n < 2 {
		return usual
	}
	return n
}

//nolint:ireturn // as redisconn.New
func connect(base string, db int) (redis.UniversalClient, error) {
	opts, err := redisconn.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("TEST_REDIS_URL: %w", err)
	}
	if opts.IsClusterMode || opts.MasterName != "" {
		return nil, errors.New("TEST_REDIS_URL: has to name a single server")
	}
	return redisconn.New(withDatabase(base, db))
}

// withDatabase returns the URL of another database of the server.
func withDatabase(base string, db int) string {
	u, err := url.Parse(base)
	if err != nil {
		return base // connect reports it
	}
	if u.Scheme != "unix" {
		u.Path = "/" + strconv.Itoa(db)
	}
	q := u.Query()
	q.Del("db")
	if u.Scheme == "unix" {
		q.Set("db", strconv.Itoa(db))
	}
	u.RawQuery = q.Encode()
	return u.String()
}
