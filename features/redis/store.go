// Package redis is a store of features in Redis, which all replicas share and other tools read: a hash for each key of a view, called
// PREFIX:VIEW:KEY, with a field for each feature, and beside them @at, @source and @offset. It takes Redis 4 or later, or what speaks like it:
// one server, a cluster, or a server that sentinels look after.
package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"nearline/features"
	"nearline/internal/certs"
	"nearline/internal/secret"
)

// Fields of a hash that are not features: no feature's name has an @.
const (
	atField      = "@at" // in milliseconds since 1970; a hash without it is no entry
	sourceField  = "@source"
	offsetField  = "@offset"
	deletedField = "@deleted" // only beside source and offset
)

const (
	// maxPiped entries go to the server before its answers are read, so that neither side holds more of them than that. It is a guess.
	maxPiped = 1000
	// stuck is how long a server that takes entries may say nothing. It is a guess.
	stuck = 10 * time.Second
)

//go:embed put.lua
var putScript string

var put = goredis.NewScript(putScript)

// clearing removes a key that is no hash.
var clearing = goredis.NewScript(`if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then redis.call('DEL', KEYS[1]) end return 1`)

// Store of features in Redis.
type Store struct {
	client    goredis.UniversalClient
	files     *certs.Files // nil without TLS
	addresses []string
	username  secret.Name
	prefix    string
	ttl       time.Duration
	timeout   time.Duration
	// strange are the features of which some text could not be read, each of which is told of once.
	strange features.Strange
}

var _ features.Lasting = (*Store)(nil)

// Open makes a store of a config that has been validated. It connects with the first call.
func Open(c Config) *Store { return open(c, nil) }

// open with another way to dial, for tests.
func open(c Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Store {
	goredis.SetLogger(debugLog{})
	options := &goredis.UniversalOptions{
		Addrs: c.Addresses, IsClusterMode: c.Cluster, MasterName: c.Master,
		DB:     c.Database,
		Dialer: dial,
		// RESP3 is for what servers say unasked, and is looked for before each reply.
		Protocol:                 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// Two tries, soon after each other: a lookup has no time for more, which would only end with the time and not say why, and who puts tries
		// again.
		MaxRetries: 1, DialerRetries: 1,
		ContextTimeoutEnabled: true,
		ReadTimeout:           stuck, WriteTimeout: stuck, DialTimeout: stuck,
		// All calls are pipelines, so one pool serves them.
		PoolSize: c.PoolSize, PipelinePoolSize: -1,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	}
	if !c.Password.Empty() {
		options.CredentialsProviderContext = func(context.Context) (username, password string, err error) {
			return c.Username.Value(), c.Password.Value(), nil
		}
	}
	var files *certs.Files
	if c.TLS != nil {
		files = certs.New("features.store.redis.tls", *c.TLS)
		options.Dialer = secured(dial, files)
	}
	return &Store{
		client: goredis.NewUniversalClient(options), files: files, addresses: slices.Clone(c.Addresses),
		username: c.Username, prefix: c.Prefix, ttl: c.TTL, timeout: c.Timeout,
	}
}

// secured dials by TLS: the client's own way to do that keeps the certificates that it was made with.
func secured(dial func(ctx context.Context, network, address string) (net.Conn, error), files *certs.Files) func(ctx context.Context, network, address string) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: stuck}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, stuck)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		handshaken, err := files.Handshake(ctx, conn, address)
		if err != nil {
			return nil, err
		}
		return told{handshaken}, nil
	}
}

// Certificates that the store shows and trusts; nil without TLS.
func (s *Store) Certificates() *certs.Files { return s.files }

// debugLog is where the client, which has one log for the process, says what it returns as errors as well.
type debugLog struct{}

// Printf is the client's.
func (debugLog) Printf(ctx context.Context, format string, args ...any) {
	if slog.Default().Enabled(ctx, slog.LevelDebug) {
		slog.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
	}
}

// Ping says whether all servers that take entries answer, and keep what is put into them.
func (s *Store) Ping(ctx context.Context) error {
	ping := func(ctx context.Context, server *goredis.Client) error { return server.Ping(ctx).Err() }
	var err error
	if cluster, ok := s.client.(*goredis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, ping)
	} else {
		err = s.client.Ping(ctx).Err()
	}
	const key = "features.store.redis"
	switch refused, ok := errors.AsType[goredis.Error](err); {
	case err == nil:
		return s.keeps(ctx)
	case s.explains(err) != "":
		return fmt.Errorf("%s.tls: %s", key, s.explains(err))
	case ok:
		return fmt.Errorf("%s.addresses is %q: a server answers there, but refuses; look at username, password, database, cluster and master of %s: %w",
			key, s.addresses, key, refused)
	default:
		return fmt.Errorf("%s.addresses is %q: no Redis answers there; look whether it runs, and whether its port wants TLS, for which %s.tls stands: %w",
			key, s.addresses, key, err)
	}
}

// explains an error that is about TLS, if there is any.
func (s *Store) explains(err error) string {
	if s.files == nil || err == nil {
		return ""
	}
	if words, ok := errors.AsType[*certs.HandshakeError](err); ok {
		return words.Error()
	}
	return s.files.Explain(strings.Join(s.addresses, ", "), err) // where a server refuses a certificate after the handshake
}

// Close lets go of connections.
func (s *Store) Close() error { return s.client.Close() }

// Filling is a name that the first who asks puts beside the view's keys, under PREFIX:VIEW@filling. A server that came back empty has none.
func (s *Store) Filling(ctx context.Context, view string) (string, error) {
	key := s.prefix + ":" + view + "@filling"
	pipe := s.client.Pipeline()
	pipe.SetNX(ctx, key, rand.Text(), 0)
	named := pipe.Get(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil {
		return "", fmt.Errorf("ask Redis at %q what it has of view %s: %w", s.addresses, view, keyError(key, err))
	}
	return named.Val(), nil
}

// key of the hash.
func (s *Store) key(view, key string) string { return s.prefix + ":" + view + ":" + key }

// Put takes entries, unless there are younger ones of the same source: each by itself, in one step on the server that has its key. A call
// that is cancelled while a server says nothing ends some seconds later.
func (s *Store) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	putting := features.NewPutting("Redis", &s.strange, entries)
	for from := 0; from < len(entries); from += maxPiped {
		if err := s.put(ctx, entries, from, min(from+maxPiped, len(entries)), putting); err != nil {
			return features.Outcome{}, fmt.Errorf("put %d entries into Redis at %q: %w", len(entries), s.addresses, err)
		}
	}
	return putting.Outcome(), nil
}

// put the entries from one place to before another.
func (s *Store) put(ctx context.Context, entries []features.Entry, from, to int, putting *features.Putting) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	calls := make([]call, 0, to-from)
	for i := range entries[from:to] {
		e := &entries[from+i]
		calls = append(calls, call{place: from + i, key: s.key(e.View, e.Key), args: s.args(e)})
	}
	unknown, foreign, err := s.run(ctx, put.EvalSha, calls, putting)
	if err == nil && len(unknown) > 0 {
		// Servers that do not know the script, since they are new or began anew, learn it from its text.
		var more []call
		_, more, err = s.run(ctx, put.Eval, unknown, putting)
		foreign = append(foreign, more...)
	}
	if err != nil || len(foreign) == 0 {
		return err
	}
	return s.replace(ctx, entries, foreign, putting)
}

// call of the script for the entry at a place.
type call struct {
	place int
	key   string
	args  []any
}

// errForeign is that of an entry whose key is no hash, and not ours to remove.
var errForeign = errors.New("the key is no hash, and in a view that others fill it is not Nearline's to remove: remove it")

// replace what is no hash at all by entries. It stays where others write to the view.
func (s *Store) replace(ctx context.Context, entries []features.Entry, foreign []call, putting *features.Putting) error {
	own := make([]call, 0, len(foreign))
	for _, c := range foreign {
		e := &entries[c.place]
		if e.Others {
			putting.Unfit(c.place, fmt.Errorf("%s: %w", c.key, errForeign))
			continue
		}
		s.strange.Foreign("Redis", e.View, c.key, features.ForeignReplaced, errors.New("the key is no hash"))
		own = append(own, call{key: c.key})
	}
	if _, _, err := s.run(ctx, clearing.Eval, own, putting); err != nil {
		return err
	}
	own = own[:0]
	for _, c := range foreign {
		if !entries[c.place].Others {
			own = append(own, c)
		}
	}
	_, again, err := s.run(ctx, put.Eval, own, putting)
	for _, c := range again {
		putting.Unfit(c.place, fmt.Errorf("%s: somebody else puts what is no hash there, time after time", c.key))
	}
	return err
}

// args of the script.
func (s *Store) args(e *features.Entry) []any {
	kept := s.ttl
	switch {
	case e.Deleted:
		kept = features.DeletedFor
	case e.ForGood:
		kept = 0
	}
	args := append(make([]any, 0, 7+2*len(e.Values)),
		strconv.FormatInt(kept.Milliseconds(), 10), sourceField, e.Source, offsetField, strconv.FormatInt(e.Offset, 10))
	if e.Deleted {
		return append(args, deletedField, "1")
	}
	args = append(args, atField, strconv.FormatInt(e.At, 10))
	for _, f := range e.Values {
		args = append(args, f.Name, features.FormatValue(f.Value))
	}
	return args
}

// eval is how a script is called.
type eval func(ctx context.Context, c goredis.Scripter, keys []string, args ...any) *goredis.Cmd

// older is what the script answers where there is a younger entry.
const older = 0

// run the script for each key, and say for which of them the server did not know it, and which keys are no hashes.
func (s *Store) run(ctx context.Context, eval eval, calls []call, putting *features.Putting) (unknown, foreign []call, err error) {
	if len(calls) == 0 {
		return nil, nil, nil
	}
	pipe := s.client.Pipeline()
	for _, c := range calls {
		eval(ctx, pipe, []string{c.key}, c.args...)
	}
	commands, err := pipe.Exec(ctx)
	for i, command := range commands {
		switch failed := command.Err(); {
		case failed == nil:
			if said, ok := command.(*goredis.Cmd).Val().(int64); ok && said == older {
				putting.Newer(1)
			}
		case goredis.HasErrorPrefix(failed, "NOSCRIPT"):
			unknown = append(unknown, calls[i])
		case wrongType(failed):
			foreign = append(foreign, calls[i])
		default:
			return nil, nil, keyError(calls[i].key, failed)
		}
	}
	if len(unknown)+len(foreign) == 0 {
		return nil, nil, err
	}
	return unknown, foreign, nil
}

// wrongType says that a key is no hash. From a script the code may stand within what is said.
func wrongType(err error) bool {
	_, refused := errors.AsType[goredis.Error](err)
	return refused && strings.Contains(err.Error(), "WRONGTYPE")
}

// keyError names the key, unless the error is the connection's.
func keyError(key string, err error) error {
	_, refused := errors.AsType[goredis.Error](err)
	switch {
	case goredis.HasErrorPrefix(err, "MOVED"):
		return fmt.Errorf("%s is elsewhere, so this is a cluster: features.store.redis.cluster wants to be true: %w", key, err)
	case refused:
		return fmt.Errorf("%s: %w", key, err)
	default:
		return err
	}
}

// Get reads keys of a view, all in one round trip to each server that has some of them. The entries do not say their source and offset.
func (s *Store) Get(ctx context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	entries, err := s.get(ctx, view, keys)
	if err != nil {
		return nil, fmt.Errorf("look up %d keys of view %s in Redis at %q: %w", len(keys), view.Name(), s.addresses, err)
	}
	return entries, nil
}

// unread tells of a feature that is not what the view declares, once for all keys.
func (s *Store) unread(view, key, name string, err error) {
	s.strange.Unread("Redis", view, s.key(view, key), name, err)
}

func (s *Store) get(outer context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	ctx, cancel := context.WithTimeout(outer, s.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	reader := newReader(view)
	pipe := s.client.Pipeline()
	replies := make([]*goredis.SliceCmd, len(keys))
	for i, key := range keys {
		replies[i] = goredis.NewSliceCmd(ctx, reader.command(s.key(view.Name(), key))...)
		if err := pipe.Process(ctx, replies[i]); err != nil {
			return nil, err
		}
	}
	_, failed := pipe.Exec(ctx)
	if late := errors.Is(failed, os.ErrDeadlineExceeded) || errors.Is(failed, context.DeadlineExceeded); late && outer.Err() == nil {
		return nil, fmt.Errorf("no answer within features.store.redis.timeout, %v: %w", s.timeout, failed)
	}
	entries := make([]*features.Entry, len(keys))
	for i, reply := range replies {
		switch texts, err := reply.Result(); {
		case wrongType(err):
			entries[i] = view.BadEntry(keys[i], fmt.Errorf("key %s is no hash", s.key(view.Name(), keys[i])))
		case err != nil:
			return nil, keyError(s.key(view.Name(), keys[i]), err)
		default:
			if entries[i], err = reader.entry(keys[i], texts, s.unread); err != nil {
				return nil, fmt.Errorf("%s: %w", s.key(view.Name(), keys[i]), err)
			}
		}
		if e := entries[i]; e != nil && e.Bad != nil {
			s.strange.Foreign("Redis", view.Name(), s.key(view.Name(), keys[i]), features.ForeignFound, e.Bad)
		}
	}
	if wrongType(failed) {
		failed = nil
	}
	return entries, failed
}
