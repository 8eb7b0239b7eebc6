package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
)

// job is features.JobNumber, in one step on the server. What is there and is no number counts as none.
var job = goredis.NewScript(`
local n = math.max((tonumber(redis.call('GET', KEYS[1]) or '0') or 0) + 1, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', n))
return n`)

// Job numbers a job of a view. The last number stands beside the view's keys, under PREFIX:VIEW@job.
func (s *Store) Job(ctx context.Context, view string) (int64, error) {
	key := s.prefix + ":" + view + "@job"
	number, err := job.Run(ctx, s.client, []string{key}, strconv.FormatInt(time.Now().Unix(), 10)).Int64()
	if err == nil {
		_, err = features.JobNumber(number-1, time.Time{})
	}
	if err != nil {
		return 0, fmt.Errorf("ask Redis at %q for the number of a job of view %s: %w", s.addresses, view, keyError(key, err))
	}
	return number, nil
}
