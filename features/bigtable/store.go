//go:build !nocloud

// Package bigtable is a store of features in a table of Google Bigtable, which all replicas share and other tools read: a row for each key of a
// view, called VIEW#KEY, with a column for each feature in the family features, as text, and beside them @at and @version.
package bigtable

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/bigtable"
	"github.com/googleapis/gax-go/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"nearline/features"
)

const (
	// stuck is how long a request may take. It is a guess.
	stuck = 5 * time.Second
	// puts is how often a put is tried before whoever puts is told. It is a guess.
	puts = 5
	// forever is the timestamp of what no rule about age is to remove: one in the year 9999.
	forever = bigtable.Timestamp(253_402_300_799_000_000)
)

// Store of features in Bigtable.
//
// An older entry of the same source must never take the place of a younger one, whoever else is putting, but one of another source must. The
// offset as the timestamp of cells, with the latest of them read, would do the first without any condition, and in batches. But then nothing
// would say which of two sources was put last, and timestamps here are whole milliseconds in microseconds, which is less than an offset may have.
// So each row is changed by a request of its own, with a condition that the server looks at in the same step: whether the row's version is in the
// range of texts that are as young. Nothing is read, and doing so twice changes nothing. Instead of in batches, many are under way at once.
type Store struct {
	client *bigtable.Client
	conn   *grpc.ClientConn // of an emulator
	table  *bigtable.Table
	config Config
	where  string // for errors
	// strange are the features of which some text could not be read, each of which is told of once.
	strange features.Strange
}

var _ features.Lasting = (*Store)(nil)

// Open makes a store of a config that has been validated. It looks for credentials.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{config: c, where: fmt.Sprintf("Bigtable table %s of instance %s in project %s", c.Table, c.Instance, c.Project)}
	var options []option.ClientOption
	if c.Emulator != "" {
		s.where += " at " + c.Emulator
		const most = 1 << 28 // as the vendor's client has it
		var err error
		s.conn, err = grpc.NewClient(c.Emulator, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(most), grpc.MaxCallRecvMsgSize(most)))
		if err != nil {
			return nil, fmt.Errorf("features.store.bigtable.emulator is %q: %w", c.Emulator, err)
		}
		options = append(options, option.WithGRPCConn(s.conn))
	}
	client, err := bigtable.NewClientWithConfig(ctx, c.Project, c.Instance, bigtable.ClientConfig{
		AppProfile:      c.AppProfile,
		MetricsProvider: bigtable.NoopMetricsProvider{}, // what is measured is told to whoever runs this, not to the vendor
		DisableSession:  true,                           // conditions go the other way
	}, options...)
	if err != nil {
		if s.conn != nil {
			err = errors.Join(err, s.conn.Close())
		}
		return nil, fmt.Errorf("open %s: look whether there are credentials, as by gcloud auth application-default login, or a service account: %w", s.where, err)
	}
	s.client, s.table = client, client.Open(c.Table)
	return s, nil
}

// Ping says whether the table is there, has both families, and takes changes with conditions. What it puts, it removes in the same step.
func (s *Store) Ping(ctx context.Context) error {
	const path = "features.store.bigtable"
	nothing := bigtable.NewMutation()
	nothing.Set(valueFamily, "@ping", bigtable.Now(), nil)
	nothing.Set(deletedFamily, "@ping", bigtable.Now(), nil)
	nothing.DeleteRow()
	switch _, err := s.apply(ctx, "@ping", bigtable.NewCondMutation(bigtable.BlockAllFilter(), nil, nothing)); status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%s.table is %q: Bigtable answers, but refuses; look at the roles of the account, which wants roles/bigtable.user: %w",
			path, s.config.Table, err)
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("%s.table is %q: there is no way to %s; look at project, instance and emulator of %s: %w", path, s.config.Table, s.where, path, err)
	default:
		return fmt.Errorf("%s.table is %q: %w", path, s.config.Table, s.explained(err))
	}
}

// creation is how the table is made, by the vendor's own command.
func (s *Store) creation() string {
	rule := "maxversions=1"
	if s.config.TTL > 0 {
		rule = fmt.Sprintf("maxage=%ds||maxversions=1", int(s.config.TTL.Seconds()))
	}
	return fmt.Sprintf(`cbt -project %s -instance %s createtable %s "families=%s:%s,%s:maxage=1d||maxversions=1"`,
		s.config.Project, s.config.Instance, s.config.Table, valueFamily, rule, deletedFamily)
}

// explained adds the remedy where there is one.
func (s *Store) explained(err error) error {
	switch status.Code(err) {
	case codes.NotFound, codes.InvalidArgument, codes.Unknown: // the last is how an emulator misses a family
		return fmt.Errorf("look whether there is such a table, with the families %s and %s; make it by: %s: %w", valueFamily, deletedFamily, s.creation(), err)
	case codes.FailedPrecondition:
		return fmt.Errorf("features.store.bigtable.app_profile is %q: want one that routes to a single cluster, and allows single-row transactions: %w",
			s.config.AppProfile, err)
	default:
		return err
	}
}

// Close lets go of connections.
func (s *Store) Close() error {
	err := s.client.Close()
	if s.conn == nil {
		return err
	}
	if closed := s.conn.Close(); status.Code(closed) != codes.Canceled { // the client may have closed it
		err = errors.Join(err, closed)
	}
	return err
}

// Filling is a name that the first who asks puts beside the view's keys, as the row VIEW@filling. A table that was made anew has none. One that
// was brought back from a backup has that of the backup, and its marks are too low (features.Filling).
func (s *Store) Filling(ctx context.Context, view string) (string, error) {
	named, err := s.filling(ctx, view+"@filling")
	if err != nil {
		return "", fmt.Errorf("ask %s what it has of view %s: %w", s.where, view, s.explained(err))
	}
	return named, nil
}

func (s *Store) filling(ctx context.Context, key string) (string, error) {
	name := bigtable.NewMutation()
	name.Set(valueFamily, nameColumn, forever, []byte(rand.Text()))
	there := bigtable.ChainFilters(bigtable.FamilyFilter(valueFamily), bigtable.ColumnFilter(nameColumn))
	if _, err := s.apply(ctx, key, bigtable.NewCondMutation(there, nil, name)); err != nil {
		return "", err
	}
	row, err := s.table.ReadRow(ctx, key, bigtable.RowFilter(bigtable.ChainFilters(there, bigtable.LatestNFilter(1))))
	if err != nil {
		return "", ended(ctx, err)
	}
	named := textsOf(row)[nameColumn]
	if named == "" {
		return "", fmt.Errorf("row %s has no %s: remove it", key, nameColumn)
	}
	return named, nil
}

// ended says that it was the context's end, where it was. The server may know of it a moment before the context.
func ended(ctx context.Context, err error) error {
	why := ctx.Err()
	if why == nil && status.Code(err) == codes.DeadlineExceeded {
		why = context.DeadlineExceeded
	}
	if err != nil && why != nil && !errors.Is(err, why) {
		return fmt.Errorf("%w: %w", why, err)
	}
	return err
}

// pauses between tries of one change.
func pauses() gax.Backoff {
	return gax.Backoff{Initial: 10 * time.Millisecond, Max: time.Second, Multiplier: 2}
}

// apply a change until it is answered, which may be more than once, and say whether its condition held. The vendor's client does not try changes with
// conditions again.
func (s *Store) apply(ctx context.Context, key string, change *bigtable.Mutation) (held bool, err error) {
	pause := pauses()
	for try := 1; ; try++ {
		trying, cancel := context.WithTimeout(ctx, stuck)
		err := s.table.Apply(trying, key, change, bigtable.GetCondMutationResult(&held))
		cancel()
		switch status.Code(err) {
		case codes.OK:
			return held, nil
		case codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.ResourceExhausted:
			if try < puts && gax.Sleep(ctx, pause.Pause()) == nil {
				continue
			}
		}
		return false, ended(ctx, err)
	}
}

// Put takes entries, unless there are younger ones of the same source: each by itself, those of different keys in any order.
func (s *Store) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	putting := features.NewPutting("Bigtable", &s.strange, entries)
	if err := s.put(ctx, entries, putting); err != nil {
		return features.Outcome{}, fmt.Errorf("put %d entries into %s: %w", len(entries), s.where, s.explained(err))
	}
	return putting.Outcome(), nil
}

func (s *Store) put(outer context.Context, entries []features.Entry, putting *features.Putting) error {
	group, ctx := errgroup.WithContext(outer)
	group.SetLimit(s.config.Concurrency)
	for _, places := range features.ByKey(entries) {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			for _, i := range places {
				if err := s.putOne(ctx, &entries[i], i, putting); err != nil {
					return fmt.Errorf("%s: %w", rowKey(entries[i].View, entries[i].Key), err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return outer.Err()
}

func (s *Store) putOne(ctx context.Context, e *features.Entry, place int, putting *features.Putting) error {
	if err := unfit(e); err != nil {
		putting.Unfit(place, err)
		return nil
	}
	key := rowKey(e.View, e.Key)
	there, err := s.apply(ctx, key, bigtable.NewCondMutation(asYoung(e), nil, replacement(e, time.Now())))
	if err != nil || !there {
		return err
	}
	// There may be this one, of a try that was not answered.
	row, err := s.table.ReadRow(ctx, key, bigtable.RowFilter(asYoung(e)))
	if err != nil {
		return ended(ctx, err)
	}
	for _, family := range row {
		for _, cell := range family {
			if bytes.Equal(cell.Value, versionOf(e)) {
				return nil
			}
		}
	}
	putting.Newer(1)
	return nil
}

// Get reads keys of a view, all in one request, or where there are very many in some that are under way together. The entries do not say their
// source and offset.
func (s *Store) Get(ctx context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	entries, err := s.get(ctx, view, keys)
	if err != nil {
		return nil, fmt.Errorf("look up %d keys of view %s in %s: %w", len(keys), view.Name(), s.where, s.explained(err))
	}
	return entries, nil
}

func (s *Store) get(outer context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	if err := outer.Err(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(outer, s.config.Timeout)
	defer cancel()
	places := make(map[string]int, len(keys)) // in found
	for _, k := range keys {
		if k = rowKey(view.Name(), k); len(k) <= maxKey { // a longer one was never put
			places[k] = 0
		}
	}
	wanted := slices.Sorted(maps.Keys(places))
	for i, k := range wanted {
		places[k] = i
	}
	found := make([]map[string]string, len(wanted))
	group, ctx := errgroup.WithContext(limited)
	seen := bigtable.RowFilter(s.seen(time.Now()))
	for asked := range together(wanted) {
		group.Go(func() error {
			return s.table.ReadRows(ctx, asked, func(row bigtable.Row) bool {
				if i, ok := places[row.Key()]; ok {
					found[i] = textsOf(row)
				}
				return true
			}, seen)
		})
	}
	if err := ended(limited, group.Wait()); err != nil {
		if outer.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no answer within features.store.bigtable.timeout, %v: %w", s.config.Timeout, err)
		}
		return nil, err
	}
	names := view.Fields()
	entries := make([]*features.Entry, len(keys))
	for i, k := range keys {
		at, ok := places[rowKey(view.Name(), k)]
		if !ok || found[at] == nil {
			continue
		}
		entries[i] = s.entryOf(view, names, k, found[at])
	}
	return entries, nil
}

// together yields the keys in lists that a request takes, none of them empty: that would ask for all rows.
func together(keys []string) func(yield func(bigtable.RowList) bool) {
	return func(yield func(bigtable.RowList) bool) {
		begin, size := 0, 0
		for i, k := range keys {
			if size > 0 && size+len(k) > maxAsked {
				if !yield(keys[begin:i]) {
					return
				}
				begin, size = i, 0
			}
			size += len(k)
		}
		if begin < len(keys) {
			yield(keys[begin:])
		}
	}
}
