//go:build redisserver

package redis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
	"nearline/features/storetest"
)

// The tag, and the server, are e2e/redis.sh's.
func TestStoreOnARealServer(t *testing.T) {
	addresses := realServer(t)
	storetest.Run(t, func(t *testing.T) features.Store { return Open(ownPrefix(t, patient(addresses...))) }, spoils...)
}

func realServer(t testing.TB) []string {
	t.Helper()
	given := os.Getenv("NEARLINE_REDIS")
	if given == "" {
		t.Fatal("NEARLINE_REDIS is not set: want host:port of a server, or several of a cluster with commas")
	}
	return strings.Split(given, ",")
}

var prefixes atomic.Int64

// ownPrefix gives the test keys of its own, and removes them at its end.
func ownPrefix(t testing.TB, c Config) Config {
	t.Helper()
	c.Prefix = fmt.Sprintf("nearline-test-%d-%d", time.Now().UnixNano(), prefixes.Add(1))
	t.Cleanup(func() {
		s := Open(c)
		defer s.Close()
		remove := func(ctx context.Context, server *goredis.Client) error {
			keys := server.Scan(ctx, 0, c.Prefix+":*", 1000).Iterator()
			pipe := server.Pipeline()
			for keys.Next(ctx) {
				pipe.Unlink(ctx, keys.Val())
			}
			_, err := pipe.Exec(ctx)
			return errors.Join(err, keys.Err())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var err error
		switch client := s.client.(type) {
		case *goredis.ClusterClient:
			err = client.ForEachMaster(ctx, remove)
		case *goredis.Client:
			err = remove(ctx, client)
		}
		if err != nil {
			t.Errorf("remove the test's keys: %v", err)
		}
	})
	return c
}

// BenchmarkLookup compares a lookup of 4,096 keys with 4,096 lookups of one, in the same process on the same server.
func BenchmarkLookup(b *testing.B) {
	const n = 4096
	s := opened(b, ownPrefix(b, patient(realServer(b)...)))
	entries := make([]features.Entry, n)
	keys := make([]string, n)
	for i := range entries {
		keys[i] = fmt.Sprint("item-", i)
		entries[i] = entry(keys[i], int64(i))
	}
	mustPut(b, s, entries...)
	b.ReportAllocs()
	var together, apart time.Duration
	for b.Loop() {
		begin := time.Now()
		mustGet(b, s, keys...)
		middle := time.Now()
		for key := range slices.Values(keys) {
			mustGet(b, s, key)
		}
		together, apart = together+middle.Sub(begin), apart+time.Since(middle)
	}
	rate := func(took time.Duration) float64 { return float64(b.N*n) / took.Seconds() }
	b.ReportMetric(rate(together), "keys/s")
	b.ReportMetric(rate(apart), "keys/s_one_by_one")
	b.ReportMetric(apart.Seconds()/together.Seconds(), "ratio")
	b.ReportMetric(together.Seconds()*1e3/float64(b.N), "ms/4096_keys")
}
