//go:build emulators && !nocloud

package dynamodb

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/pipeline"
)

// The tag, and the emulator, are e2e/stores.sh's.
func TestStoreOnAnEmulator(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store { return withTable(t, emulated(t)) }, spoils...)
}

// spoils are what other tools may do to an item.
var spoils = []storetest.Spoil{
	{Name: "ATimeAsInRFC3339", Do: spoiled(item{"@at": text("2026-11-29T15:00:00Z")})},
	{Name: "ATimeBeyondAllYears", Do: spoiled(item{"@at": number("9000000000000000000")})},
	{Name: "ATimeThatIsNoNumber", Do: spoiled(item{"@at": &types.AttributeValueMemberBOOL{Value: true}})},
	{Name: "AnOffsetThatIsNoNumber", Do: spoiled(item{"@at": text("now"), "@offset": text("99")})},
	{Name: "AnItemOfSomebodyElse", Do: spoiled(item{"@at": number("0.5"), "@source": number("1"), "reviews": &types.AttributeValueMemberL{}})},
}

func spoiled(with item) func(t *testing.T, of features.Store, view, key string) {
	return func(t *testing.T, of features.Store, view, k string) {
		t.Helper()
		s, ok := of.(*Store)
		if !ok {
			t.Fatalf("this is a %T", of)
		}
		have := stored(t, s, key(view, k))
		if have == nil {
			have = item{"pk": text(key(view, k))}
		}
		maps.Copy(have, with)
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.config.Table, Item: have}); err != nil {
			t.Fatal(err)
		}
	}
}

func emulated(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.Endpoint, c.Timeout = os.Getenv("NEARLINE_DYNAMODB"), time.Minute
	c.Concurrency = 8 // emulators are one thread, among which all requests share the time that each may take
	if c.Endpoint == "" {
		t.Fatal("NEARLINE_DYNAMODB is not set: want the URL of an emulator, such as http://localhost:8000")
	}
	return c
}

var tables atomic.Int64

// withTable opens a store with a table of its own, which goes at the end of the test.
func withTable(t *testing.T, c Config) *Store {
	t.Helper()
	c.Table = fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), tables.Add(1))
	s := opened(t, c)
	create(t, s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &c.Table}); err != nil {
			t.Errorf("remove the test's table: %v", err)
		}
	})
	return s
}

// create the table that creation describes.
func create(t *testing.T, s *Store) {
	t.Helper()
	_, err := s.client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &s.config.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableExistsWaiter(s.client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 10 * time.Millisecond }).
		Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &s.config.Table}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// stored is what other tools see.
func stored(t *testing.T, s *Store, key string) item {
	t.Helper()
	found, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &s.config.Table, Key: item{"pk": text(key)}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return found.Item
}

// shown writes attributes as DynamoDB's own notation does, in short.
func shown(of item) map[string]string {
	texts := map[string]string{}
	for name, v := range of {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			texts[name] = "S " + v.Value
		case *types.AttributeValueMemberN:
			texts[name] = "N " + v.Value
		case *types.AttributeValueMemberBOOL:
			texts[name] = fmt.Sprint("BOOL ", v.Value)
		default:
			texts[name] = fmt.Sprintf("%T", v)
		}
	}
	return texts
}

func TestOtherToolsReadAnItemForEachKey(t *testing.T) {
	s := withTable(t, emulated(t))
	mustPut(t, s, storetest.Entry("4711 a", 12))
	equal(t, shown(stored(t, s, "view:4711 a")), map[string]string{
		"pk": "S view:4711 a", "reviews": "N 12", "spent": "N 0.30000000000000004", "sentiment": "N 0.75", "latest": `S ["ann","b\"b"]`,
		"@at": "N 1800000000000", "@source": "S topic/0", "@offset": "N 12",
	})
	gone := features.Entry{View: "view", Key: "4711 a", Source: "topic/0", Offset: 13, Deleted: true}
	mustPut(t, s, gone)
	got := shown(stored(t, s, "view:4711 a"))
	expires, err := strconv.ParseInt(strings.TrimPrefix(got["@expires"], "N "), 10, 64)
	if left := time.Until(time.Unix(expires, 0)); err != nil || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("a deleted key expires at %s, in %v: want in a day", got["@expires"], left)
	}
	delete(got, "@expires")
	equal(t, got, map[string]string{"pk": "S view:4711 a", "@source": "S topic/0", "@offset": "N 13", "@deleted": "BOOL true"})
}

func TestNumbersThatDynamoDBWouldRoundAreTexts(t *testing.T) {
	s := withTable(t, emulated(t))
	for _, c := range []struct {
		x    float64
		want string
	}{{1e300, "S 1e+300"}, {5e-324, "S 5e-324"}, {1e-130, "N"}, {1e21, "N"}} {
		e := storetest.Entry("a", 1)
		e.Source = fmt.Sprint(c.x)
		e.Values[1].Value = pipeline.FloatValue(c.x)
		mustPut(t, s, e)
		if got := shown(stored(t, s, "view:a"))["spent"]; !strings.HasPrefix(got, c.want) {
			t.Errorf("%g is put as %s, want %s", c.x, got, c.want)
		}
		if got := mustGet(t, s, "a")[0].Values[1].Value.Float; got != c.x {
			t.Errorf("%g comes back as %g", c.x, got)
		}
	}
}

func TestAnItemOfSomebodyElseYields(t *testing.T) {
	s := withTable(t, emulated(t))
	for i, of := range []item{{"reviews": text("many")}, {"@source": text("topic/0")}, {"@offset": number("99")}, {"@source": number("1"), "@offset": text("99")}} {
		k := fmt.Sprint("key-", i)
		of["pk"] = text(key("view", k))
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.config.Table, Item: of}); err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, s, k)[0]; got != nil {
			t.Errorf("an item without a time is %v", got)
		}
		mustPut(t, s, storetest.Entry(k, 1))
		if got := mustGet(t, s, k)[0]; got == nil || got.Values[0].Value.Int != 12 {
			t.Errorf("in place of %v there is %v", shown(of), got)
		}
	}
}

func TestWhatExpiredIsGoneBeforeItIsRemoved(t *testing.T) {
	c := emulated(t)
	c.TTL = time.Hour
	s := withTable(t, c)
	mustPut(t, s, storetest.Entry("a", 1))
	if mustGet(t, s, "a")[0] == nil {
		t.Error("it expired at once")
	}
	of := stored(t, s, "view:a")
	of["@expires"] = number(strconv.FormatInt(time.Now().Unix()-1, 10))
	if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.config.Table, Item: of}); err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, s, "a")[0]; got != nil {
		t.Errorf("after its time there is %v", got)
	}
}

func TestAnEntryTooLargeForAnItemHasDefaults(t *testing.T) {
	s := withTable(t, emulated(t))
	e := storetest.Entry("a", 1)
	list := &e.Values[3].Value
	for range 500 {
		list.List = append(list.List, pipeline.StringValue(strings.Repeat("x", 1024)))
	}
	mustPut(t, s, e)
	got := mustGet(t, s, "a")[0]
	if v := got.Values; v[0].Value.Int != 12 || v[3].Value.Kind != pipeline.List || len(v[3].Value.List) != 0 {
		t.Errorf("got %d reviews and %d texts, want 12 and none", v[0].Value.Int, len(v[3].Value.List))
	}
	list.List = list.List[:300] // about what there is room for
	e.Offset = 2
	mustPut(t, s, e)
	if got := mustGet(t, s, "a")[0]; len(got.Values[3].Value.List) != 300 {
		t.Errorf("got %d texts, want 300", len(got.Values[3].Value.List))
	}
}

func TestALookupOfMoreThanABatchHoldsIsWhole(t *testing.T) {
	s := withTable(t, emulated(t))
	var entries []features.Entry
	var keys []string
	for i := range 90 {
		e := storetest.Entry(fmt.Sprint("key-", i), 1)
		for range 250 {
			e.Values[3].Value.List = append(e.Values[3].Value.List, pipeline.StringValue(strings.Repeat("x", 1024)))
		}
		entries, keys = append(entries, e), append(keys, e.Key)
	}
	mustPut(t, s, entries...)
	for i, e := range mustGet(t, s, keys...) { // of 23 MB, where a batch has 16
		if e == nil || len(e.Values[3].Value.List) != 252 {
			t.Fatalf("key %d is not whole", i)
		}
	}
}

func TestAFillingLastsAsLongAsTheTable(t *testing.T) {
	s := withTable(t, emulated(t))
	first := storetest.Filling(t, s, "view")
	if _, err := s.client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &s.config.Table}); err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableNotExistsWaiter(s.client, func(o *dynamodb.TableNotExistsWaiterOptions) { o.MinDelay = 10 * time.Millisecond }).
		Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &s.config.Table}, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err := s.Filling(t.Context(), "view")
	wants(t, err, s.config.Table, "aws dynamodb create-table", "ResourceNotFound")
	create(t, s)
	if anew := storetest.Filling(t, s, "view"); anew == first {
		t.Error("a table that was made anew has the filling of before")
	}
}

func TestPingSaysWhichTableToMake(t *testing.T) {
	c := emulated(t)
	c.Table = "not-there"
	missing := opened(t, c)
	for _, err := range []error{missing.Ping(t.Context()), putError(t, missing, storetest.Entry("a", 1))} {
		wants(t, err, "not-there", "aws dynamodb create-table --table-name not-there", "AttributeName=pk,KeyType=HASH", `"AttributeName": "@expires"`)
	}
	s := withTable(t, emulated(t))
	if _, err := s.client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &s.config.Table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("@expires"), Enabled: aws.Bool(true)}}); err != nil {
		t.Logf("this emulator has no time to live: %v", err)
	} else if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
