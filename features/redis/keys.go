package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
)

var _ features.Lister = (*Store)(nil)

// Keys of a view by SCAN, on every server that takes entries. A key that the servers move meanwhile may be missed.
func (s *Store) Keys(ctx context.Context, view string, yield func(key, source string, offset int64)) error {
	var mu sync.Mutex // held while yield is called
	list := func(ctx context.Context, server *goredis.Client) error {
		prefix := s.key(view, "")
		for cursor := uint64(0); ; {
			names, next, err := server.Scan(ctx, cursor, prefix+"*", maxPiped).Result()
			if err != nil {
				return err
			}
			pipe := server.Pipeline()
			answers := make([]*goredis.SliceCmd, len(names))
			for i, name := range names {
				answers[i] = pipe.HMGet(ctx, name, sourceField, offsetField, deletedField)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				if _, refused := errors.AsType[goredis.Error](err); !refused { // a key of somebody else is none of ours
					return err
				}
			}
			mu.Lock()
			for i, answer := range answers {
				texts := answer.Val()
				if answer.Err() != nil || len(texts) != 3 || texts[2] != nil {
					continue
				}
				source, _ := texts[0].(string)
				digits, _ := texts[1].(string)
				if offset, err := strconv.ParseInt(digits, 10, 64); err == nil {
					yield(strings.TrimPrefix(names[i], prefix), source, offset)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	var err error
	switch client := s.client.(type) {
	case *goredis.ClusterClient:
		err = client.ForEachMaster(ctx, list)
	case *goredis.Client:
		err = list(ctx, client)
	}
	if err != nil {
		return fmt.Errorf("list the keys of view %s in Redis at %q: %w", view, s.addresses, err)
	}
	return nil
}
