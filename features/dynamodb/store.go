//go:build !nocloud

// Package dynamodb is a store of features in a table of Amazon DynamoDB, which all replicas share and other tools read: an item for each key of
// a view, whose partition key pk is VIEW:KEY, with an attribute for each feature, and beside them @at, @source and @offset.
package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/errgroup"

	"nearline/features"
)

const (
	// maxBatch is how many items a batch may ask for.
	maxBatch = 100
	// stuck is how long a request may take. It is a guess.
	stuck = 5 * time.Second
	// hasty and patient are the longest pauses between tries of a lookup, which has little time, and of a put, which waits for a table that has
	// reached what it is provisioned for to take more. They are guesses.
	hasty   = 50 * time.Millisecond
	patient = 5 * time.Second
	// puts is how often a put is tried before whoever puts is told. It is a guess.
	puts = 8
)

// younger is what must hold of the item in the table for another to take its place. Who wrote no source, or an offset that is no number, is somebody
// else, and yields.
var younger = aws.String("attribute_not_exists(#source) OR attribute_not_exists(#offset) OR #source <> :source OR #offset < :offset " +
	"OR NOT attribute_type(#offset, :number)")

// Store of features in DynamoDB.
//
// Each entry is put by a request of its own, with a condition, so that an older one of the same source never takes the place of a younger one,
// whoever else is putting. There is no batch of writes with conditions; a transaction takes several, but the refusal of one, which here is no
// failure, undoes them all. So many are under way at once instead.
type Store struct {
	client    *dynamodb.Client
	transport *http.Transport
	patient   aws.Retryer
	config    Config
	region    string
	where     string // for errors
	// strange are the features of which some value could not be read or put, each of which is told of once.
	strange features.Strange
}

var _ features.Lasting = (*Store)(nil)

// Open makes a store of a config that has been validated. It looks for region and credentials, and connects with the first call.
func Open(ctx context.Context, c Config) (*Store, error) {
	const path = "features.store.dynamodb"
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*c.Concurrency, 2*c.Concurrency // puts and lookups
	})
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(client), awsconfig.WithLogger(debugLog{}),
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = retry.NewExponentialJitterBackoff(hasty) })
		}),
	}
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	found, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("look for region and credentials of %s in the environment and in ~/.aws: %w", path, err)
	}
	if found.Region == "" {
		return nil, fmt.Errorf("%s.region is empty, and neither the environment nor ~/.aws has one: want one such as eu-west-1", path)
	}
	// The vendor's client has no way to let go of its connections, so another has its transport, with the certificates that the environment names.
	transport := &http.Transport{}
	if client, ok := found.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = client.GetTransport()
	}
	found.HTTPClient = &http.Client{
		Transport: transport, Timeout: stuck, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s := &Store{
		config: c, transport: transport, region: found.Region, where: fmt.Sprintf("DynamoDB table %s in %s", c.Table, found.Region),
		client: dynamodb.NewFromConfig(found, func(o *dynamodb.Options) {
			if c.Endpoint != "" {
				o.BaseEndpoint = &c.Endpoint
			}
		}),
		patient: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = puts, retry.NewExponentialJitterBackoff(patient)
			o.RateLimiter = ratelimit.None // many puts may have to wait at once
		}),
	}
	if c.Endpoint != "" {
		s.where += " at " + c.Endpoint
	}
	return s, nil
}

// debugLog is where the client says what it returns as errors as well.
type debugLog struct{}

// Logf is the client's.
func (debugLog) Logf(_ logging.Classification, format string, args ...any) {
	slog.Debug("dynamodb: " + fmt.Sprintf(format, args...))
}

// Ping says whether the table is there and as it has to be.
func (s *Store) Ping(ctx context.Context) error {
	const path = "features.store.dynamodb"
	described, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.config.Table})
	var answered smithy.APIError
	switch missing := (*types.ResourceNotFoundException)(nil); {
	case errors.As(err, &missing):
		return fmt.Errorf("%s.table is %q: %w", path, s.config.Table, s.explained(err))
	case errors.As(err, &answered):
		return fmt.Errorf("%s.table is %q: DynamoDB answers, but refuses; look at the permissions of the credentials, which want DescribeTable, BatchGetItem, "+
			"GetItem and PutItem on it: %w", path, s.config.Table, err)
	case err != nil:
		return fmt.Errorf("%s.table is %q: there is no way to %s; look at region and endpoint of %s, and whether there are credentials in the environment, "+
			"in ~/.aws or from a role: %w", path, s.config.Table, s.where, path, err)
	}
	if !keyed(described.Table) {
		return fmt.Errorf("%s.table is %q: it is a table with another key; want one with the partition key %s of type S and no sort key, as made by: %s",
			path, s.config.Table, keyAttribute, s.creation())
	}
	// Without this permission it does its work all the same.
	if lives, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.config.Table}); err == nil {
		if d := lives.TimeToLiveDescription; d == nil || d.AttributeName == nil || *d.AttributeName != expiresAttribute {
			return fmt.Errorf("%s.table is %q: what has expired, and what remembers deleted keys, would stay for good; say once: %s",
				path, s.config.Table, s.timeToLive())
		}
	}
	return nil
}

func keyed(table *types.TableDescription) bool {
	if table == nil || len(table.KeySchema) != 1 || aws.ToString(table.KeySchema[0].AttributeName) != keyAttribute {
		return false
	}
	return slices.ContainsFunc(table.AttributeDefinitions, func(d types.AttributeDefinition) bool {
		return aws.ToString(d.AttributeName) == keyAttribute && d.AttributeType == types.ScalarAttributeTypeS
	})
}

// command of the vendor's own tool, for this table.
func (s *Store) command(does, arguments string) string {
	line := fmt.Sprintf("aws dynamodb %s --table-name %s --region %s", does, s.config.Table, s.region)
	if s.config.Endpoint != "" {
		line += " --endpoint-url " + s.config.Endpoint
	}
	return line + arguments
}

// creation is how the table is made.
func (s *Store) creation() string {
	return s.command("create-table", fmt.Sprintf(" --attribute-definitions AttributeName=%s,AttributeType=S --key-schema AttributeName=%[1]s,KeyType=HASH "+
		"--billing-mode PAY_PER_REQUEST", keyAttribute))
}

func (s *Store) timeToLive() string {
	return s.command("update-time-to-live", fmt.Sprintf(` --time-to-live-specification '{"Enabled": true, "AttributeName": %q}'`, expiresAttribute))
}

// explained adds the remedy where there is one.
func (s *Store) explained(err error) error {
	if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return fmt.Errorf("there is no such table; make it by: %s && %s && %s: %w", s.creation(), s.command("wait table-exists", ""), s.timeToLive(), err)
	}
	return err
}

// Close lets go of connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Filling is a name that the first who asks puts beside the view's keys, as the item VIEW@filling. A table that was made anew has none. One that
// was brought back from a backup has that of the backup, and its marks are too low (features.Filling).
func (s *Store) Filling(ctx context.Context, view string) (string, error) {
	named, err := s.filling(ctx, view+"@filling")
	if err != nil {
		return "", fmt.Errorf("ask %s what it has of view %s: %w", s.where, view, s.explained(err))
	}
	return named, nil
}

func (s *Store) filling(ctx context.Context, key string) (string, error) {
	named, err := s.named(ctx, key)
	if err != nil || named != "" {
		return named, err
	}
	own := rand.Text()
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.config.Table, Item: item{keyAttribute: text(key), nameAttribute: text(own)},
		ConditionExpression: aws.String("attribute_not_exists(" + keyAttribute + ")"),
	})
	switch refused := (*types.ConditionalCheckFailedException)(nil); {
	case err == nil:
		return own, nil
	case !errors.As(err, &refused):
		return "", err
	}
	if named, err = s.named(ctx, key); err == nil && named == "" {
		err = fmt.Errorf("item %s has no text %s: remove it", key, nameAttribute)
	}
	return named, err
}

func (s *Store) named(ctx context.Context, key string) (string, error) {
	found, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.config.Table, Key: item{keyAttribute: text(key)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return "", err
	}
	named, _ := textOf(found.Item[nameAttribute])
	return named, nil
}

// key of an item. No view's name has a colon or an @.
func key(view, key string) string { return view + ":" + key }

// Put takes entries, unless there are younger ones of the same source: each by itself, those of different keys in any order.
func (s *Store) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	putting := features.NewPutting("DynamoDB", &s.strange, entries)
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
					return fmt.Errorf("%s: %w", key(entries[i].View, entries[i].Key), err)
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
	of, err := s.itemOf(e, time.Now())
	if err != nil {
		putting.Unfit(place, err)
		return nil
	}
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.config.Table, Item: of, ConditionExpression: younger,
		ExpressionAttributeNames:  map[string]string{"#source": sourceAttribute, "#offset": offsetAttribute},
		ExpressionAttributeValues: item{":source": of[sourceAttribute], ":offset": of[offsetAttribute], ":number": text("N")},
		// There may be this one, of a try that was not answered.
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, func(o *dynamodb.Options) { o.Retryer = s.patient })
	var refused *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &refused):
		if have, ok := wholeNumber(refused.Item[offsetAttribute]); !ok || have != e.Offset {
			putting.Newer(1)
		}
		return nil
	case ofItem(err):
		putting.Unfit(place, err)
		return nil
	default:
		return err
	}
}

// ofItem says that DynamoDB refuses an item for what it is, such as its size, and not for what the table is.
func ofItem(err error) bool {
	answered, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch answered.ErrorCode() {
	case "ItemCollectionSizeLimitExceededException":
		return true
	case "ValidationException":
		said := strings.ToLower(answered.ErrorMessage())
		return strings.Contains(said, "item size") || strings.Contains(said, "size has exceeded") || strings.Contains(said, "size of hashkey") ||
			strings.Contains(said, "attributevalue") || strings.Contains(said, "number overflow") || strings.Contains(said, "number underflow")
	default:
		return false
	}
}

// Get reads keys of a view, in batches that are under way together. The entries do not say their source and offset.
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
	ctx, cancel := context.WithTimeout(outer, s.config.Timeout)
	defer cancel()
	asked := make(map[string]int, len(keys)) // places in found; a batch may ask for an item once
	for _, k := range keys {
		if k = key(view.Name(), k); len(k) <= maxKey { // a longer one was never put
			asked[k] = -1
		}
	}
	wanted := make([]item, 0, len(asked))
	for k := range asked {
		asked[k] = len(wanted)
		wanted = append(wanted, item{keyAttribute: text(k)})
	}
	found := make([]item, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.config.Concurrency)
	for batch := range slices.Chunk(wanted, maxBatch) {
		group.Go(func() error {
			return s.batch(ctx, batch, s.config.Consistent || view.OfMarks(), func(of item) {
				if k, ok := textOf(of[keyAttribute]); ok {
					if i, ok := asked[k]; ok {
						found[i] = of
					}
				}
			})
		})
	}
	if err := group.Wait(); err != nil {
		if outer.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no answer within features.store.dynamodb.timeout, %v: %w", s.config.Timeout, err)
		}
		return nil, err
	}
	names, now := view.Fields(), time.Now()
	entries := make([]*features.Entry, len(keys))
	for i, k := range keys {
		at, ok := asked[key(view.Name(), k)]
		if !ok || found[at] == nil {
			continue
		}
		entries[i] = s.entryOf(view, names, k, found[at], now)
	}
	return entries, nil
}

// batch hands over the items of at most maxBatch keys. What DynamoDB does not get to, since a batch has at most 16 MB or the table gives no more
// at once, is asked for again.
func (s *Store) batch(ctx context.Context, wanted []item, consistent bool, take func(item)) error {
	left := types.KeysAndAttributes{Keys: wanted, ConsistentRead: &consistent}
	for try := 0; ; try++ {
		answer, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{s.config.Table: left},
		})
		if err != nil {
			return err
		}
		items := answer.Responses[s.config.Table]
		for _, of := range items {
			take(of)
		}
		if left = answer.UnprocessedKeys[s.config.Table]; len(left.Keys) == 0 {
			return nil
		}
		if len(items) > 0 {
			try = 0
		}
		if err := pause(ctx, try); err != nil {
			return fmt.Errorf("%d keys are not answered: %w", len(left.Keys), err)
		}
	}
}

// pause before the next try: up to 10 ms at first, up to hasty at last.
func pause(ctx context.Context, try int) error {
	longest := min(10*time.Millisecond<<min(try, 8), hasty)
	timer := time.NewTimer(mathrand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unread tells of a feature that is not what the view declares, once for all keys.
func (s *Store) unread(view, k, name string, err error) {
	s.strange.Unread("DynamoDB", view, key(view, k), name, err)
}

// foreign tells of an item that is no entry, once for all keys of a view.
func (s *Store) foreign(view, k string, err error) {
	s.strange.Foreign("DynamoDB", view, key(view, k), features.ForeignFound, err)
}

// left tells of a feature that an item has no room for, once for all keys.
func (s *Store) left(e *features.Entry, name string) {
	s.strange.Left("an item of DynamoDB", e.View, key(e.View, e.Key), name, maxItem)
}
