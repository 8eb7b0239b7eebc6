package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/internal/secret"
	"nearline/pipeline"
)

// patient is a config for tests on a machine that has other things to do.
func patient(addresses ...string) Config {
	c := DefaultConfig()
	c.Addresses, c.Timeout = addresses, time.Minute
	return c
}

// opened closes the store at the end of the test.
func opened(t testing.TB, c Config) *Store {
	t.Helper()
	if err := c.Validate("features.store.redis"); err != nil {
		t.Fatal(err)
	}
	s := Open(c)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store { return Open(patient(miniredis.RunT(t).Addr())) }, spoils...)
}

// spoils are what other tools may do to a key.
var spoils = []storetest.Spoil{
	spoiled("AText", true, func(s *Store, ctx context.Context, key string) error { return s.client.Set(ctx, key, "x", 0).Err() }),
	spoiled("AList", true, func(s *Store, ctx context.Context, key string) error {
		return errors.Join(s.client.Del(ctx, key).Err(), s.client.RPush(ctx, key, "x").Err())
	}),
	spoiled("ATimeAsInRFC3339", false, func(s *Store, ctx context.Context, key string) error {
		return s.client.HSet(ctx, key, "@at", "2026-11-29T15:00:00Z").Err()
	}),
	spoiled("ATimeBeyondAllYears", false, func(s *Store, ctx context.Context, key string) error {
		return s.client.HSet(ctx, key, "@at", "9000000000000000000").Err()
	}),
	spoiled("ATimeThatIsNoWholeNumber", false, func(s *Store, ctx context.Context, key string) error {
		return s.client.HSet(ctx, key, "@at", "1.8e12", "@offset", "none").Err()
	}),
}

func spoiled(name string, stays bool, do func(s *Store, ctx context.Context, key string) error) storetest.Spoil {
	return storetest.Spoil{Name: name, Stays: stays, Do: func(t *testing.T, of features.Store, view, key string) {
		t.Helper()
		if s, ok := of.(*Store); !ok {
			t.Fatalf("this is a %T", of)
		} else if err := do(s, t.Context(), s.key(view, key)); err != nil {
			t.Fatal(err)
		}
	}}
}

func TestStoreWithAClustersClient(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store {
		c := patient(miniredis.RunT(t).Addr())
		c.Cluster = true
		return Open(c)
	}, spoils...)
}

// TestStoreOnARealServer, or on a cluster where NEARLINE_REDIS lists several nodes: host:port,host:port.
var item = features.NewView(features.ViewConfig{Name: "item", Key: "item_id", Fields: []features.FieldConfig{
	{Name: "reviews", Count: &features.CountConfig{}},
	{Name: "spent", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "sentiment", Default: new(features.FieldDefault(0.5)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "value"}}},
	{Name: "latest", Last: &features.LastConfig{Of: "user_id", N: 5}},
	{Name: "best", Top: &features.TopConfig{Of: "review_id", By: features.Operand{Of: "value"}, N: 5}},
}})

func entry(key string, offset int64) features.Entry {
	return features.Entry{View: "item", Key: key, At: 1_800_000_000_000, Source: "topic/0", Offset: offset, Values: []pipeline.Field{
		{Name: "reviews", Value: pipeline.IntValue(12)},
		{Name: "spent", Value: pipeline.FloatValue(0.30000000000000004)},
		{Name: "sentiment", Value: pipeline.FloatValue(0.75)},
		{Name: "latest", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{pipeline.StringValue("ann"), pipeline.StringValue(`b"b`)}}},
		{Name: "best", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{pipeline.ObjectValue(
			pipeline.Field{Name: "of", Value: pipeline.StringValue("r1")}, pipeline.Field{Name: "by", Value: pipeline.FloatValue(0.5)})}}},
	}}
}

// putError is what the store says of a put that cannot be.
func putError(t *testing.T, s *Store, e features.Entry) error {
	t.Helper()
	_, err := s.Put(t.Context(), []features.Entry{e})
	return err
}

func mustPut(t testing.TB, s *Store, entries ...features.Entry) {
	t.Helper()
	if _, err := s.Put(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, s *Store, keys ...string) []*features.Entry {
	t.Helper()
	entries, err := s.Get(t.Context(), item, keys)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// hash is what other tools see.
func hash(t *testing.T, server *miniredis.Miniredis, key string) map[string]string {
	t.Helper()
	fields, err := server.HKeys(key)
	if err != nil && !errors.Is(err, miniredis.ErrKeyNotFound) {
		t.Fatal(err)
	}
	texts := make(map[string]string, len(fields))
	for _, field := range fields {
		texts[field] = server.HGet(key, field)
	}
	return texts
}

func TestOtherToolsReadAHashForEachKey(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	mustPut(t, s, entry("{4711}: a b", 12))
	want := map[string]string{
		"reviews": "12", "spent": "0.30000000000000004", "sentiment": "0.75",
		"latest": `["ann","b\"b"]`, "best": `[{"of":"r1","by":0.5}]`,
		"@at": "1800000000000", "@source": "topic/0", "@offset": "12",
	}
	if got := hash(t, server, "nearline:item:{4711}: a b"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if ttl := server.TTL("nearline:item:{4711}: a b"); ttl != 0 {
		t.Errorf("without a TTL in the config it expires in %v", ttl)
	}
}

func TestADeletedKeyIsRememberedForADay(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	gone := features.Entry{View: "item", Key: "4711", Source: "topic/0", Offset: 13, Deleted: true}
	mustPut(t, s, entry("4711", 12), gone)
	want := map[string]string{"@source": "topic/0", "@offset": "13", "@deleted": "1"}
	if got := hash(t, server, "nearline:item:4711"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	server.FastForward(24*time.Hour - time.Second)
	mustPut(t, s, entry("4711", 12))
	if got := mustGet(t, s, "4711")[0]; got != nil {
		t.Errorf("an older entry came back: %v", got)
	}
	server.FastForward(2 * time.Second)
	if server.Exists("nearline:item:4711") {
		t.Errorf("after a day there is still %v", hash(t, server, "nearline:item:4711"))
	}
	mustPut(t, s, entry("4711", 14), gone)
	if ttl := server.TTL("nearline:item:4711"); ttl != 0 {
		t.Errorf("a key that is there again expires in %v", ttl)
	}
}

func TestKeysExpireAfterTheTTLOfTheConfig(t *testing.T) {
	server := miniredis.RunT(t)
	c := patient(server.Addr())
	c.TTL = time.Hour
	s := opened(t, c)
	mustPut(t, s, entry("4711", 1))
	server.FastForward(40 * time.Minute)
	mustPut(t, s, entry("4711", 2))
	server.FastForward(40 * time.Minute)
	if mustGet(t, s, "4711")[0] == nil {
		t.Error("it expired 40 minutes after it was put")
	}
	server.FastForward(21 * time.Minute)
	if got := mustGet(t, s, "4711")[0]; got != nil {
		t.Errorf("61 minutes after it was put there is still %v", got)
	}
}

func TestAFieldThatIsNotThereHasTheViewsDefault(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	mustPut(t, s, entry("4711", 1))
	server.HDel("nearline:item:4711", "sentiment")
	server.HDel("nearline:item:4711", "latest")
	got := mustGet(t, s, "4711")[0]
	if sentiment, latest := got.Values[2].Value, got.Values[3].Value; sentiment.Float != 0.5 || latest.Kind != pipeline.List || len(latest.List) != 0 {
		t.Errorf("got %v and %v, want 0.5 and an empty list", sentiment, latest)
	}
	if got.Values[0].Value.Int != 12 {
		t.Errorf("reviews is %v, want 12", got.Values[0].Value)
	}
}

func TestAFieldThatCannotBeReadHasTheViewsDefault(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	mustPut(t, s, entry("a", 1), entry("b", 2))
	server.HSet("nearline:item:a", "sentiment", "good")
	server.HSet("nearline:item:a", "latest", "ann")
	got := mustGet(t, s, "a", "b")
	if v := got[0].Values; v[2].Value.Float != 0.5 || v[3].Value.Kind != pipeline.List || len(v[3].Value.List) != 0 || v[0].Value.Int != 12 {
		t.Errorf("got %v, want defaults for sentiment and latest, and 12 reviews", v)
	}
	if v := got[1].Values; v[2].Value.Float != 0.75 {
		t.Errorf("its neighbour has %v, want 0.75", v[2].Value)
	}
}

func TestAServerThatLostEverythingIsFilledAnew(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	first := storetest.Filling(t, s, "item")
	server.FlushAll()
	if anew := storetest.Filling(t, s, "item"); anew == first {
		t.Error("a server that lost everything has the filling of before")
	}
}

func TestAFieldThatIsNoLongerPutIsRemoved(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	before, after := entry("4711", 1), entry("4711", 2)
	after.Values = after.Values[:1]
	mustPut(t, s, before)
	mustPut(t, s, after)
	want := map[string]string{"reviews": "12", "@at": "1800000000000", "@source": "topic/0", "@offset": "2"}
	if got := hash(t, server, "nearline:item:4711"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAHashWithoutATimeIsNoEntry(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	server.HSet("nearline:item:4711", "reviews", "12")
	if got := mustGet(t, s, "4711")[0]; got != nil {
		t.Errorf("got %v, want none", got)
	}
	mustPut(t, s, entry("4711", 0)) // nor does it stand in the way
	if mustGet(t, s, "4711")[0] == nil {
		t.Error("the entry was not taken")
	}
}

func TestPrefixesAreApart(t *testing.T) {
	server := miniredis.RunT(t)
	one, other := patient(server.Addr()), patient(server.Addr())
	other.Prefix = "shop:features"
	mustPut(t, opened(t, one), entry("4711", 1))
	s := opened(t, other)
	if got := mustGet(t, s, "4711")[0]; got != nil {
		t.Errorf("got %v, want none", got)
	}
	mustPut(t, s, entry("4711", 1))
	if !server.Exists("shop:features:item:4711") {
		t.Errorf("the keys are %v", server.Keys())
	}
}

func TestAServerThatForgotTheScriptLearnsItAgain(t *testing.T) {
	server := miniredis.RunT(t)
	c := patient(server.Addr())
	s := opened(t, c)
	for offset := range int64(3) {
		mustPut(t, s, entry("a", 2*offset), entry("b", 2*offset+1))
		if got := server.HGet("nearline:item:b", "@offset"); got != fmt.Sprint(2*offset+1) {
			t.Errorf("the offset is %s, want %d", got, 2*offset+1)
		}
		if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// counted counts the round trips of a connection: how often something is written after something was read.
type counted struct {
	net.Conn
	trips   *atomic.Int64
	waiting bool
}

func (c *counted) Write(b []byte) (int, error) {
	if !c.waiting {
		c.waiting = true
		c.trips.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.waiting = false
	return n, err
}

func TestALookupOfManyKeysIsOneRoundTrip(t *testing.T) {
	server := miniredis.RunT(t)
	var trips, dialled atomic.Int64
	s := open(patient(server.Addr()), func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &counted{Conn: conn, trips: &trips}, err
	})
	defer s.Close()
	entries := make([]features.Entry, 4096)
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = fmt.Sprint("key-", i)
		entries[i] = entry(keys[i], int64(i))
	}
	mustPut(t, s, entries...)
	for _, n := range []int{1, 100, len(keys)} {
		before := trips.Load()
		for i, e := range mustGet(t, s, keys[:n]...) {
			if e == nil || e.Key != keys[i] {
				t.Fatalf("key %d is %v", i, e)
			}
		}
		if got := trips.Load() - before; got != 1 {
			t.Errorf("%d keys took %d round trips, want 1", n, got)
		}
	}
	before := trips.Load()
	mustPut(t, s, entries...)
	if got, want := trips.Load()-before, int64(5); got != want {
		t.Errorf("%d entries took %d round trips, want %d of 1000", len(entries), got, want)
	}
	if got := dialled.Load(); got != 1 {
		t.Errorf("it connected %d times, want once", got)
	}
}

// silent is a server that takes whatever is said and answers nothing.
func silent(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		for buffer := make([]byte, 4096); ; {
			if _, err := there.Read(buffer); err != nil {
				return
			}
		}
	}()
	return here, nil
}

func TestALookupEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.Addresses = []string{"redis:6379"}
		s := open(c, silent)
		defer s.Close()
		begin := time.Now()
		_, err := s.Get(t.Context(), item, []string{"4711"})
		if got := time.Since(begin); got != c.Timeout {
			t.Errorf("it took %v, want %v", got, c.Timeout)
		}
		for _, want := range []string{"features.store.redis.timeout", "100ms", "redis:6379", "1 keys of view item"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one with %s", err, want)
			}
		}
		begin = time.Now()
		if _, err := s.Put(t.Context(), []features.Entry{entry("4711", 1)}); err == nil {
			t.Error("it was put where nobody answers")
		}
		if got := time.Since(begin); got > 3*stuck {
			t.Errorf("a put took %v, want two tries of %v", got, stuck)
		}
	})
}

func TestNobodyThereIsAnErrorThatSaysWhatToLookAt(t *testing.T) {
	server := miniredis.RunT(t)
	address := server.Addr()
	server.RequireUserAuth("ann", "right")
	c := patient(address)
	c.Username, c.Password = named("ann"), secret.Plain("wrong-and-secret")
	refused := opened(t, c)
	c.Password = secret.Plain("right")
	if err := opened(t, c).Ping(t.Context()); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	err := refused.Ping(t.Context())
	wants(t, err, address, "features.store.redis.addresses", "password", "WRONGPASS")
	_, looked := refused.Get(t.Context(), item, []string{"4711"})
	for _, err := range []error{err, looked, putError(t, refused, entry("4711", 1))} {
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got error %v, want one without the password", err)
		}
	}
	server.Close()
	for _, clustered := range []bool{false, true} {
		c.Cluster = clustered
		gone := opened(t, c)
		wants(t, gone.Ping(t.Context()), address, "features.store.redis.addresses", "refused")
		_, err := gone.Get(t.Context(), item, []string{"4711"})
		wants(t, err, address, "refused")
		if strings.Contains(err.Error(), "nearline:") {
			t.Errorf("it is no fault of a key: %v", err)
		}
		wants(t, putError(t, gone, entry("4711", 1)), address, "refused")
	}
}

func TestAClusterThatIsTakenForOneServerSaysSo(t *testing.T) {
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	server.SetError("MOVED 3999 127.0.0.1:1")
	_, err := s.Get(t.Context(), item, []string{"4711"})
	wants(t, err, "nearline:item:4711", "features.store.redis.cluster")
	wants(t, putError(t, s, entry("4711", 1)), "nearline:item:4711", "features.store.redis.cluster")
}

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
}

func TestAViewThatOthersFillIsReadAsTheyWroteIt(t *testing.T) {
	facts := features.NewView(features.ViewConfig{Name: "facts", Key: "item_id", Source: features.SourceStore, Fields: []features.FieldConfig{
		{Name: "price", Type: features.TypeNumber, Default: new(features.FieldDefault(1.5))},
		{Name: "brand", Type: features.TypeText},
		{Name: "colours", Type: features.TypeTexts},
	}})
	server := miniredis.RunT(t)
	s := opened(t, patient(server.Addr()))
	server.HSet("nearline:facts:a", "price", "12.25", "brand", "Acme", "colours", `["red","blue"]`, "@at", "1800000000000")
	server.HSet("nearline:facts:b", "brand", "12", "more", "of theirs")
	server.HSet("nearline:facts:c", "more", "of theirs")
	began := time.Now()
	entries, err := s.Get(t.Context(), facts, []string{"a", "b", "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := entries[0], entries[1]
	if a.At != 1_800_000_000_000 || a.Values[0].Value.Float != 12.25 || a.Values[1].Value.Str != "Acme" || len(a.Values[2].Value.List) != 2 {
		t.Errorf("got %v, want what was written", a)
	}
	if b.Age(began) > time.Second || b.Values[0].Value.Float != 1.5 || b.Values[1].Value.Str != "12" || len(b.Values[2].Value.List) != 0 {
		t.Errorf("got %v, want defaults for what was not written, as of now", b)
	}
	if entries[2] != nil || entries[3] != nil {
		t.Errorf("got %v and %v of keys without a field of the view, want none", entries[2], entries[3])
	}
}
