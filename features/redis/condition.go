package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"nearline/features"
)

var _ features.Served = (*Store)(nil)

// info is what a server says of itself by INFO. The zero value says nothing.
type info struct {
	run       string // another one for each start of a server
	evicted   int64  // keys, since then
	memory    int64  // bytes it may have; 0 is any
	used      int64
	policy    string
	forbidden error // to ask
}

// evicts says that the server may remove keys of the store for want of memory.
func (i info) evicts(ttl bool) bool {
	return i.memory > 0 && (strings.HasPrefix(i.policy, "allkeys-") || ttl && strings.HasPrefix(i.policy, "volatile-"))
}

// full says that a server has less than a tenth of its memory left: what is put now may cost other keys.
func (i info) full() bool { return i.memory > 0 && i.used > i.memory/10*9 }

func parseInfo(text string) (i info) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "run_id":
			i.run = value
		case "evicted_keys":
			i.evicted = number
		case "maxmemory":
			i.memory = number
		case "used_memory":
			i.used = number
		case "maxmemory_policy":
			i.policy = value
		}
	}
	return i
}

// servers that take entries, by what they say of themselves.
func (s *Store) servers(ctx context.Context) ([]info, error) {
	var mu sync.Mutex // guards said
	var said []info
	ask := func(ctx context.Context, server *goredis.Client) error {
		text, err := server.Info(ctx).Result()
		i := parseInfo(text)
		if goredis.HasErrorPrefix(err, "NOPERM") || goredis.HasErrorPrefix(err, "ERR unknown command") {
			i.forbidden, err = err, nil
		}
		mu.Lock()
		defer mu.Unlock()
		said = append(said, i)
		return err
	}
	var err error
	switch client := s.client.(type) {
	case *goredis.ClusterClient:
		err = client.ForEachMaster(ctx, ask)
	case *goredis.Client:
		err = ask(ctx, client)
	default:
		err = errors.New("a client of another kind")
	}
	if err != nil {
		return nil, fmt.Errorf("ask Redis at %q of its condition: %w", s.addresses, err)
	}
	return said, nil
}

// Condition of the servers that take entries. Where the user may not ask by INFO, lives and evictions are not known.
func (s *Store) Condition(ctx context.Context) (features.Condition, error) {
	said, err := s.servers(ctx)
	if err != nil {
		return features.Condition{}, err
	}
	c := features.Condition{Evicted: map[string]int64{}}
	var runs []string
	for _, i := range said {
		runs = append(runs, i.run)
		if i.evicted > 0 {
			c.Evicted[i.run] = i.evicted
		}
		c.Full = c.Full || i.evicts(s.ttl > 0) && i.full()
	}
	slices.Sort(runs)
	c.Life = strings.Join(runs, " ")
	if _, cluster := s.client.(*goredis.ClusterClient); cluster {
		c.Places = placesOf(len(said))
	}
	return c, nil
}

// keeps says whether the servers keep what is put into them.
func (s *Store) keeps(ctx context.Context) error {
	const key = "features.store.redis"
	said, err := s.servers(ctx)
	if err != nil {
		return err
	}
	for _, i := range said {
		switch {
		case i.forbidden != nil:
			return fmt.Errorf("%s.username is %q: this user may not ask by INFO whether a server was started again or removes keys, so a loss may not be seen; "+
				"allow it: ACL SETUSER %[2]s +info: %w", key, s.username.Value(), i.forbidden)
		case i.evicts(s.ttl > 0):
			return fmt.Errorf("%s.addresses is %q: a server there removes keys once it has %d bytes (maxmemory-policy %s), and lookups then have defaults; "+
				"want maxmemory-policy noeviction, and enough memory: CONFIG SET maxmemory-policy noeviction", key, s.addresses, i.memory, i.policy)
		}
	}
	return nil
}
