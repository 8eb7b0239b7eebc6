//go:build emulators && !nocloud

package firestore

import (
	"fmt"
	"maps"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/pipeline"
)

// The tag, and the emulator, are e2e/stores.sh's.
func TestStoreOnAnEmulator(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store {
		s, err := Open(t.Context(), emulated(t))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, spoils...)
}

// spoils are what other tools may do to a document.
var spoils = []storetest.Spoil{
	{Name: "ATimeAsInRFC3339", Do: spoiled(fields{"@at": text("2026-11-29T15:00:00Z")})},
	{Name: "ATimeBeyondAllYears", Do: spoiled(fields{"@at": integer(9_000_000_000_000_000_000)})},
	{Name: "ATimestamp", Do: spoiled(fields{"@at": {ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.Now()}}})},
	{Name: "AnOffsetThatIsNoNumber", Do: spoiled(fields{"@at": text("now"), "@offset": text("99")})},
}

func spoiled(with fields) func(t *testing.T, of features.Store, view, key string) {
	return func(t *testing.T, of features.Store, view, key string) {
		t.Helper()
		s, ok := of.(*Store)
		if !ok {
			t.Fatalf("this is a %T", of)
		}
		name := s.name(view, key)
		found, err := s.read(t.Context(), []string{name})
		if err != nil {
			t.Fatal(err)
		}
		have := fields{}
		maps.Copy(have, found[name].GetFields())
		maps.Copy(have, with)
		said, err := s.write(t.Context(), []*firestorepb.Write{{
			Operation: &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name, Fields: have}},
		}})
		if err != nil || said[0] != nil {
			t.Fatal(err, said)
		}
	}
}

var prefixes atomic.Int64

// emulated has collections of its own.
func emulated(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.Project, c.Emulator, c.Timeout = "project", os.Getenv("NEARLINE_FIRESTORE"), time.Minute
	if c.Emulator == "" {
		t.Fatal("NEARLINE_FIRESTORE is not set: want host:port of an emulator")
	}
	c.Prefix = fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), prefixes.Add(1))
	return c
}

// stored is what other tools see.
func stored(t *testing.T, s *Store, key string) fields {
	t.Helper()
	name := s.name("view", key)
	found, err := s.read(t.Context(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return found[name].GetFields()
}

func mustWrite(t *testing.T, s *Store, key string, of fields) {
	t.Helper()
	said, err := s.write(t.Context(), []*firestorepb.Write{{
		Operation: &firestorepb.Write_Update{Update: &firestorepb.Document{Name: s.name("view", key), Fields: of}},
	}})
	if err != nil || said[0] != nil {
		t.Fatal(err, said)
	}
}

func shown(of fields) map[string]string {
	texts := map[string]string{}
	for name, v := range of {
		texts[name] = strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	}
	return texts
}

func TestOtherToolsReadADocumentForEachKey(t *testing.T) {
	s := opened(t, emulated(t))
	mustPut(t, s, storetest.Entry("4711/a", 12))
	equal(t, shown(stored(t, s, "4711/a")), shown(fields{
		"reviews": integer(12), "spent": {ValueType: &firestorepb.Value_DoubleValue{DoubleValue: 0.30000000000000004}},
		"sentiment": {ValueType: &firestorepb.Value_DoubleValue{DoubleValue: 0.75}}, "latest": text(`["ann","b\"b"]`),
		"@at": integer(1_800_000_000_000), "@source": text("topic/0"), "@offset": integer(12),
	}))
	mustPut(t, s, features.Entry{View: "view", Key: "4711/a", Source: "topic/0", Offset: 13, Deleted: true})
	got := stored(t, s, "4711/a")
	if left := time.Until(got["@expires"].GetTimestampValue().AsTime()); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("a deleted key expires in %v: want in a day", left)
	}
	delete(got, "@expires")
	equal(t, shown(got), shown(fields{
		"@source": text("topic/0"), "@offset": integer(13), "@deleted": {ValueType: &firestorepb.Value_BooleanValue{BooleanValue: true}},
	}))
	long := strings.Repeat("/", 1000)
	mustPut(t, s, storetest.Entry(long, 1))
	if got := stored(t, s, long)["@key"].GetStringValue(); got != long {
		t.Errorf("the key is %q, want it whole", got)
	}
}

func TestADocumentOfSomebodyElseYields(t *testing.T) {
	s := opened(t, emulated(t))
	for i, of := range []fields{{}, {"reviews": text("many")}, {"@source": text("topic/0")}, {"@offset": integer(99)}, {"@source": integer(1), "@offset": text("99")}} {
		k := fmt.Sprint("key-", i)
		mustWrite(t, s, k, of)
		if got := mustGet(t, s, k)[0]; got != nil {
			t.Errorf("a document without a time is %v", got)
		}
		mustPut(t, s, storetest.Entry(k, 1))
		if got := mustGet(t, s, k)[0]; got == nil || got.Values[0].Value.Int != 12 {
			t.Errorf("in place of %v there is %v", of, got)
		}
	}
}

func TestAFeatureThatCannotBeReadHasTheViewsDefault(t *testing.T) {
	s := opened(t, emulated(t))
	mustPut(t, s, storetest.Entry("a", 1), storetest.Entry("b", 2))
	of := stored(t, s, "a")
	of["sentiment"], of["spent"] = text("good"), integer(100)
	of["latest"] = &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: &firestorepb.ArrayValue{}}}
	delete(of, "reviews")
	mustWrite(t, s, "a", of)
	got := mustGet(t, s, "a", "b")
	if v := got[0].Values; v[0].Value.Int != 0 || v[1].Value.Float != 100 || v[2].Value.Float != 0.5 || v[3].Value.Kind != pipeline.List || len(v[3].Value.List) != 0 {
		t.Errorf("got %v, want 100 spent, and the defaults of the others", v)
	}
	if v := got[1].Values; v[2].Value.Float != 0.75 {
		t.Errorf("its neighbour has %v, want 0.75", v[2].Value)
	}
	of["@at"] = text("now")
	mustWrite(t, s, "a", of)
	got = mustGet(t, s, "a", "b")
	wants(t, got[0].Bad, "@at", `"now"`)
	if got[1].Bad != nil || got[1].Values[2].Value.Float != 0.75 {
		t.Errorf("its neighbour has %v, want 0.75", got[1])
	}
}

func TestWhatExpiredIsGoneBeforeItIsRemoved(t *testing.T) {
	c := emulated(t)
	c.TTL = time.Hour
	s := opened(t, c)
	mustPut(t, s, storetest.Entry("a", 1))
	if mustGet(t, s, "a")[0] == nil {
		t.Error("it expired at once")
	}
	of := stored(t, s, "a")
	of["@expires"] = &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(time.Now().Add(-time.Second))}}
	mustWrite(t, s, "a", of)
	if got := mustGet(t, s, "a")[0]; got != nil {
		t.Errorf("after its time there is %v", got)
	}
}

func TestAnEntryTooLargeForADocumentHasDefaults(t *testing.T) {
	s := opened(t, emulated(t))
	e := storetest.Entry("a", 1)
	list := &e.Values[3].Value
	for range 500 {
		list.List = append(list.List, pipeline.StringValue(strings.Repeat("\x01", 1024))) // six bytes each, as JSON
	}
	mustPut(t, s, e)
	if v := mustGet(t, s, "a")[0].Values; v[0].Value.Int != 12 || v[3].Value.Kind != pipeline.List || len(v[3].Value.List) != 0 {
		t.Errorf("got %d reviews and %d texts, want 12 and none", v[0].Value.Int, len(v[3].Value.List))
	}
	list.List = list.List[:160] // about what there is room for
	e.Offset = 2
	mustPut(t, s, e)
	if got := mustGet(t, s, "a")[0]; len(got.Values[3].Value.List) != 160 {
		t.Errorf("got %d texts, want 160", len(got.Values[3].Value.List))
	}
}

func TestLargeDocumentsGoInSeveralRequests(t *testing.T) {
	s := opened(t, emulated(t))
	var entries []features.Entry
	var keys []string
	for i := range 30 {
		e := storetest.Entry(fmt.Sprint("key-", i), 1)
		for range 500 {
			e.Values[3].Value.List = append(e.Values[3].Value.List, pipeline.StringValue(strings.Repeat("x", 1024)))
		}
		entries, keys = append(entries, e), append(keys, e.Key)
	}
	mustPut(t, s, entries...) // 15 MB
	for i, e := range mustGet(t, s, keys...) {
		if e == nil || len(e.Values[3].Value.List) != 502 {
			t.Fatalf("key %d is not whole", i)
		}
	}
}

func TestManyWritersOfOneKeyEndWithTheYoungest(t *testing.T) {
	s := opened(t, emulated(t))
	const writers = 8
	ended := make(chan error, writers)
	for w := range writers {
		go func() {
			for offset := range int64(10) {
				if _, err := s.Put(t.Context(), []features.Entry{storetest.Entry("a", offset*writers+int64(w))}); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	for range writers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := stored(t, s, "a")["@offset"].GetIntegerValue(); got != 79 {
		t.Errorf("the offset is %d, want 79", got)
	}
}

func TestZeroKeepsItsSign(t *testing.T) {
	s := opened(t, emulated(t))
	e := storetest.Entry("a", 1)
	e.Values[1].Value = pipeline.FloatValue(math.Copysign(0, -1))
	mustPut(t, s, e)
	if got := mustGet(t, s, "a")[0].Values[1].Value.Float; got != 0 || !math.Signbit(got) {
		t.Errorf("minus zero comes back as %v", got)
	}
}

func TestAFillingLastsAsLongAsTheDatabase(t *testing.T) {
	s := opened(t, emulated(t))
	first := storetest.Filling(t, s, "view")
	said, err := s.write(t.Context(), []*firestorepb.Write{{Operation: &firestorepb.Write_Delete{Delete: s.fillingName("view")}}})
	if err != nil || said[0] != nil {
		t.Fatal(err, said)
	}
	if anew := storetest.Filling(t, s, "view"); anew == first {
		t.Error("a database that lost everything has the filling of before")
	}
}

func TestPingFindsTheDatabase(t *testing.T) {
	if err := opened(t, emulated(t)).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func mustGet(t *testing.T, s *Store, keys ...string) []*features.Entry {
	t.Helper()
	entries, err := s.Get(t.Context(), view, keys)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
