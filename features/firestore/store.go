//go:build !nocloud

// Package firestore is a store of features in Google Cloud Firestore, which all replicas share and other tools read: a document for each key of a
// view, in the collection PREFIX-VIEW, with a field for each feature, and beside them @at, @source and @offset.
//
// Firestore indexes each field of each document unless it is told not to, and removes what has expired only where it is told to; for a view item:
//
//	gcloud firestore indexes fields update '*' --collection-group=nearline-item --disable-indexes
//	gcloud firestore fields ttls update '`@expires`' --collection-group=nearline-item --enable-ttl
package firestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	firestore "cloud.google.com/go/firestore/apiv1"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/googleapis/gax-go/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"nearline/features"
)

const (
	// maxWrites documents are written by one request, of maxWritten bytes at most. Firestore takes 500, and 10 MiB; its emulator takes 4.
	maxWrites  = 100
	maxWritten = 3 << 20
	// maxReads documents are asked for by one request, so that the answer is no stream of many megabytes. It is a guess.
	maxReads = 1000
	// stuck is how long a request may take. It is a guess.
	stuck = 10 * time.Second
	// puts is how often a put is tried before whoever puts is told. It is a guess: who comes first changes with each try.
	puts = 12
)

// Store of features in Firestore.
//
// An older entry of the same source must never take the place of a younger one, whoever else is putting. Transactions of a key each would need three
// requests for each key, and one of several keys is undone when somebody else writes one of these. So the versions of a hundred documents are read
// by one request; what is younger is written by another, each document on the condition that nobody wrote it since; and those whose condition did
// not hold are read again. This is the generated client, since the vendor's other one has no such condition on a whole document, and holds back
// its batches for a second and more.
type Store struct {
	client   *firestore.Client
	conn     *grpc.ClientConn // of an emulator
	config   Config
	database string
	where    string // for errors
	// strange are the features of which some value could not be read or put, each of which is told of once.
	strange features.Strange
}

var _ features.Lasting = (*Store)(nil)

// Open makes a store of a config that has been validated. It looks for credentials, and connects with the first call.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{
		config: c, database: "projects/" + c.Project + "/databases/" + c.Database,
		where: fmt.Sprintf("Firestore database %s of project %s", c.Database, c.Project),
	}
	var options []option.ClientOption
	if c.Emulator != "" {
		s.where += " at " + c.Emulator
		const most = 1 << 30
		var err error
		s.conn, err = grpc.NewClient(c.Emulator, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(owner{}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most)))
		if err != nil {
			return nil, fmt.Errorf("features.store.firestore.emulator is %q: %w", c.Emulator, err)
		}
		options = append(options, option.WithGRPCConn(s.conn))
	}
	var err error
	if s.client, err = firestore.NewClient(ctx, options...); err != nil {
		if s.conn != nil {
			err = errors.Join(err, s.conn.Close())
		}
		return nil, fmt.Errorf("open %s: look whether there are credentials, as by gcloud auth application-default login, or a service account: %w", s.where, err)
	}
	return s, nil
}

// owner is who may do everything in an emulator.
type owner struct{}

func (owner) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (owner) RequireTransportSecurity() bool { return false }

// Ping says whether the database is there, and may be read.
func (s *Store) Ping(ctx context.Context) error {
	const path = "features.store.firestore"
	_, err := s.read(ctx, []string{s.fillingName("ping")})
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%s.database is %q: Firestore answers, but refuses; look at the roles of the account, which wants roles/datastore.user, and whether "+
			"the project has the API enabled: %w", path, s.config.Database, err)
	case codes.NotFound, codes.FailedPrecondition, codes.InvalidArgument:
		return fmt.Errorf("%s.database is %q: %w", path, s.config.Database, s.explained(err))
	default:
		return fmt.Errorf("%s.database is %q: there is no way to %s; look at project and emulator of %s: %w", path, s.config.Database, s.where, path, err)
	}
}

// explained adds the remedy where there is one.
func (s *Store) explained(err error) error {
	switch status.Code(err) {
	case codes.NotFound, codes.FailedPrecondition:
		return fmt.Errorf("look whether there is such a database in native mode; make it by: gcloud firestore databases create --project=%s --database='%s' "+
			"--location=REGION --type=firestore-native: %w", s.config.Project, s.config.Database, err)
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

// Filling is a name that the first who asks puts into the collection PREFIX@filling, under the view's name. A database that lost everything has
// none. One that was brought back from a backup has that of the backup, and its marks are too low (features.Filling).
func (s *Store) Filling(ctx context.Context, view string) (string, error) {
	named, err := s.filling(ctx, s.fillingName(view))
	if err != nil {
		return "", fmt.Errorf("ask %s what it has of view %s: %w", s.where, view, s.explained(err))
	}
	return named, nil
}

func (s *Store) fillingName(view string) string {
	return s.database + "/documents/" + s.config.Prefix + "@filling/" + view
}

func (s *Store) filling(ctx context.Context, name string) (string, error) {
	named := func() (string, bool, error) {
		found, err := s.read(ctx, []string{name})
		document, there := found[name]
		text, _ := textOf(document.GetFields()[nameField])
		return text, there, err
	}
	have, there, err := named()
	if err == nil && !there {
		var said []error
		said, err = s.write(ctx, []*firestorepb.Write{{
			Operation:       &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name, Fields: fields{nameField: text(rand.Text())}}},
			CurrentDocument: unchanged(nil),
		}})
		if err == nil { // whoever wrote it
			have, there, err = named()
		}
		if err == nil && !there {
			err = said[0]
		}
	}
	if err == nil && have == "" {
		err = fmt.Errorf("document %s has no %s: remove it", s.short(name), nameField)
	}
	return have, err
}

// unchanged is the condition that nobody has written a document since it was read; nil was not there.
func unchanged(have *firestorepb.Document) *firestorepb.Precondition {
	if have == nil {
		return &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: false}}
	}
	return &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_UpdateTime{UpdateTime: have.GetUpdateTime()}}
}

// read documents, by their names; with fields, only these. What is not there is not in found.
func (s *Store) read(ctx context.Context, names []string, only ...string) (found map[string]*firestorepb.Document, err error) {
	request := &firestorepb.BatchGetDocumentsRequest{Database: s.database, Documents: names}
	if len(only) > 0 {
		request.Mask = &firestorepb.DocumentMask{FieldPaths: only}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, err := s.client.BatchGetDocuments(ctx, request)
	if err != nil {
		return nil, err
	}
	found = make(map[string]*firestorepb.Document, len(names))
	for {
		answer, err := answers.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if document := answer.GetFound(); document != nil {
			found[document.GetName()] = document
		}
	}
}

// write documents, each by itself: what is said of each is in the order of writes.
func (s *Store) write(ctx context.Context, writes []*firestorepb.Write) (said []error, err error) {
	answer, err := s.client.BatchWrite(ctx, &firestorepb.BatchWriteRequest{Database: s.database, Writes: writes})
	if err != nil {
		return nil, err
	}
	if len(answer.GetStatus()) != len(writes) {
		return nil, fmt.Errorf("the server says something of %d writes: want %d", len(answer.GetStatus()), len(writes))
	}
	said = make([]error, len(writes))
	for i, of := range answer.GetStatus() {
		said[i] = status.ErrorProto(of)
	}
	return said, nil
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

// name of the document of a key.
func (s *Store) name(view, key string) string {
	return s.database + "/documents/" + s.config.Prefix + "-" + view + "/" + idOf(key)
}

// Put takes entries, unless there are younger ones of the same source: each by itself, those of different keys in any order.
func (s *Store) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	putting := features.NewPutting("Firestore", &s.strange, entries)
	if err := s.put(ctx, entries, putting); err != nil {
		return features.Outcome{}, fmt.Errorf("put %d entries into %s: %w", len(entries), s.where, s.explained(ended(ctx, err)))
	}
	return putting.Outcome(), nil
}

// waiting entries of one document, by their places. Of them last is to be written, and newer is how many are older than what there is.
type waiting struct {
	name        string
	places      []int
	last, newer int
}

func (s *Store) put(outer context.Context, entries []features.Entry, putting *features.Putting) error {
	group, ctx := errgroup.WithContext(outer)
	group.SetLimit(s.config.Concurrency)
	for documents := range slices.Chunk(s.sameKey(entries), maxWrites) {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return s.putUntil(ctx, entries, documents, putting) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return outer.Err()
}

// sameKey has the places of each key's entries, in their order.
func (s *Store) sameKey(entries []features.Entry) []waiting {
	documents := make([]waiting, 0, len(entries))
	for _, places := range features.ByKey(entries) {
		first := &entries[places[0]]
		documents = append(documents, waiting{name: s.name(first.View, first.Key), places: places})
	}
	return documents
}

// pauses between tries of one change.
func pauses() gax.Backoff {
	return gax.Backoff{Initial: 20 * time.Millisecond, Max: 2 * time.Second, Multiplier: 1.5}
}

// putUntil no document is left.
func (s *Store) putUntil(ctx context.Context, entries []features.Entry, documents []waiting, putting *features.Putting) error {
	pause := pauses()
	for try := 1; ; try++ {
		trying, cancel := context.WithTimeout(ctx, stuck)
		left, err := s.putOnce(trying, entries, documents, putting)
		cancel()
		switch documents = left; {
		case len(left) == 0:
			return err
		case err == nil: // of a key whose youngest entry was refused for its own sake, the next has its turn
			try--
		case try == puts || gax.Sleep(ctx, pause.Pause()) != nil:
			return err
		}
	}
}

// overtaken says that somebody else wrote a document after it was read.
func overtaken(err error) bool {
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.AlreadyExists, codes.NotFound:
		return true
	default:
		return false
	}
}

// ofDocument says that a document is refused for what it is, such as its size.
func ofDocument(err error) bool { return status.Code(err) == codes.InvalidArgument }

// without the entry that was to be written, which is refused for its own sake, those before it are left for another try.
func (s *Store) without(d waiting, err error, left []waiting, putting *features.Putting) []waiting {
	putting.Unfit(d.last, err)
	if d.places = slices.DeleteFunc(slices.Clone(d.places), func(i int) bool { return i == d.last }); len(d.places) > 0 {
		left = append(left, d)
	}
	return left
}

// passing says that the same may go otherwise after a while.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Aborted, codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Internal:
		return true
	default:
		return errors.Is(err, context.DeadlineExceeded) // of one try
	}
}

// putOnce says which documents are left for another try, and why one of them is.
func (s *Store) putOnce(ctx context.Context, entries []features.Entry, documents []waiting, putting *features.Putting) (left []waiting, why error) {
	names := make([]string, len(documents))
	for i, d := range documents {
		names[i] = d.name
	}
	have, err := s.read(ctx, names, "`"+sourceField+"`", "`"+offsetField+"`")
	if err != nil {
		if passing(err) {
			left = documents
		}
		return left, err
	}
	var writes []*firestorepb.Write
	var written []waiting
	now := time.Now()
	for _, d := range documents {
		if d.last, d.newer = youngest(entries, d.places, versionOf(have[d.name].GetFields())); d.last < 0 {
			putting.Newer(d.newer)
			continue
		}
		of, err := s.fieldsOf(&entries[d.last], now)
		if err != nil {
			left = s.without(d, err, left, putting)
			continue
		}
		written = append(written, d)
		writes = append(writes, &firestorepb.Write{
			Operation:       &firestorepb.Write_Update{Update: &firestorepb.Document{Name: d.name, Fields: of}},
			CurrentDocument: unchanged(have[d.name]),
		})
	}
	alone := len(writes)
	for len(writes) > 0 {
		n := min(fitting(writes), alone)
		said, err := s.write(ctx, writes[:n])
		switch {
		case err != nil && passing(err):
			return append(left, written...), err
		case ofDocument(err) && n == 1:
			said = []error{err}
		case ofDocument(err):
			// One of them is refused for its own sake, and which is not said.
			alone = 1
			continue
		case err != nil:
			return nil, err
		}
		for i, refused := range said {
			name := s.short(written[i].name)
			switch {
			case refused == nil:
				putting.Newer(written[i].newer)
			case ofDocument(refused):
				left = s.without(written[i], refused, left, putting)
			case overtaken(refused):
				left, why = append(left, written[i]), fmt.Errorf("%s: somebody else writes it at the same time, time after time: %v", name, refused) //nolint:errorlint // its code means something else of a call
			case passing(refused):
				left, why = append(left, written[i]), fmt.Errorf("%s: %w", name, refused)
			default:
				return nil, fmt.Errorf("%s: %w", name, refused)
			}
		}
		writes, written = writes[n:], written[n:]
	}
	return left, why
}

// fitting says how many of the writes, which are not none, go into one request.
func fitting(writes []*firestorepb.Write) int {
	size := 0
	for i, w := range writes {
		if size += proto.Size(w); size > maxWritten && i > 0 {
			return i
		}
	}
	return len(writes)
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
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = s.name(view.Name(), k)
	}
	wanted := slices.Clone(names)
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	batches := slices.Collect(slices.Chunk(wanted, maxReads))
	found := make([]map[string]*firestorepb.Document, len(batches))
	group, ctx := errgroup.WithContext(limited)
	group.SetLimit(s.config.Concurrency)
	for i, asked := range batches {
		group.Go(func() (err error) {
			found[i], err = s.read(ctx, asked)
			return err
		})
	}
	if err := ended(limited, group.Wait()); err != nil {
		if outer.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no answer within features.store.firestore.timeout, %v: %w", s.config.Timeout, err)
		}
		return nil, err
	}
	fieldNames, now := view.Fields(), time.Now()
	entries := make([]*features.Entry, len(keys))
	for i, name := range names {
		at, _ := slices.BinarySearch(wanted, name)
		document := found[at/maxReads][name]
		entries[i] = s.entryOf(view, fieldNames, keys[i], document.GetFields(), now)
	}
	return entries, nil
}

// short is the collection and the id.
func (s *Store) short(name string) string { return strings.TrimPrefix(name, s.database+"/documents/") }

// left tells of a feature that a document has no room for, once for all keys.
func (s *Store) left(e *features.Entry, name string) {
	s.strange.Left("a document of Firestore", e.View, s.short(s.name(e.View, e.Key)), name, maxDocument)
}
