//go:build !nocloud

package bigtable

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigtable"
	btpb "cloud.google.com/go/bigtable/apiv2/bigtablepb"
	"cloud.google.com/go/bigtable/bttest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/pipeline"
)

var view = storetest.View

// server is the vendor's own in memory, with a table as it has to be.
func server(t *testing.T, options ...grpc.ServerOption) Config {
	t.Helper()
	s, err := bttest.NewServer("127.0.0.1:0", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := DefaultConfig()
	c.Project, c.Instance, c.Emulator, c.Timeout = "project", "instance", s.Addr, time.Minute
	admin := adminOf(t, c)
	if err := admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: c.Table, Families: map[string]bigtable.GCPolicy{
		"features": bigtable.MaxVersionsPolicy(1), "deleted": bigtable.UnionPolicy(bigtable.MaxAgePolicy(24*time.Hour), bigtable.MaxVersionsPolicy(1)),
	}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func adminOf(t *testing.T, c Config) *bigtable.AdminClient {
	t.Helper()
	conn, err := grpc.NewClient(c.Emulator, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	admin, err := bigtable.NewAdminClient(t.Context(), c.Project, c.Instance, option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	return admin
}

// opened closes the store at the end of the test.
func opened(t *testing.T, c Config) *Store {
	t.Helper()
	if err := c.Validate("features.store.bigtable"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// putError is what the store says of a put that cannot be.
func putError(t *testing.T, s *Store, e features.Entry) error {
	t.Helper()
	_, err := s.Put(t.Context(), []features.Entry{e})
	return err
}

func mustPut(t *testing.T, s *Store, entries ...features.Entry) {
	t.Helper()
	if _, err := s.Put(t.Context(), entries); err != nil {
		t.Fatal(err)
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

func mustApply(t *testing.T, s *Store, key string, m *bigtable.Mutation) {
	t.Helper()
	if err := s.table.Apply(t.Context(), key, m); err != nil {
		t.Fatal(err)
	}
}

// cells are what other tools see: all of them, also such as are not the latest.
func cells(t *testing.T, s *Store, key string) map[string]string {
	t.Helper()
	row, err := s.table.ReadRow(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, family := range row {
		for _, cell := range family {
			texts[cell.Column] += string(cell.Value)
		}
	}
	return texts
}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
}

// The server is the one that the vendor's own emulator is made of.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) features.Store {
		s, err := Open(t.Context(), server(t))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, spoils...)
}

// spoils are what other tools may do to a row.
var spoils = []storetest.Spoil{
	{Name: "ATimeAsInRFC3339", Do: spoiled("2026-11-29T15:00:00Z")},
	{Name: "ATimeBeyondAllYears", Do: spoiled("9000000000000000000")},
	{Name: "ATimeInEightBytes", Do: spoiled("\x00\x00\x01\xa3\x18\x5c\x50\x00")},
}

func spoiled(at string) func(t *testing.T, of features.Store, view, key string) {
	return func(t *testing.T, of features.Store, view, key string) {
		t.Helper()
		s, ok := of.(*Store)
		if !ok {
			t.Fatalf("this is a %T", of)
		}
		m := bigtable.NewMutation()
		m.Set("features", "@at", forever, []byte(at))
		m.Set("features", "else", forever, []byte("x"))
		mustApply(t, s, rowKey(view, key), m)
	}
}

func TestOtherToolsReadARowForEachKey(t *testing.T) {
	s := opened(t, server(t))
	mustPut(t, s, storetest.Entry("4711 a", 12))
	want := map[string]string{
		"features:reviews": "12", "features:spent": "0.30000000000000004", "features:sentiment": "0.75", "features:latest": `["ann","b\"b"]`,
		"features:@at": "1800000000000", "features:@version": "7:topic/0@00000000000000000012",
	}
	equal(t, cells(t, s, "view#4711 a"), want)
	mustPut(t, s, storetest.Entry("4711 a", 13))
	want["features:@version"] = "7:topic/0@00000000000000000013"
	equal(t, cells(t, s, "view#4711 a"), want)
	mustPut(t, s, features.Entry{View: "view", Key: "4711 a", Source: "topic/0", Offset: 14, Deleted: true})
	equal(t, cells(t, s, "view#4711 a"), map[string]string{"deleted:@version": "7:topic/0@00000000000000000014"})
}

func TestVersionsOfASourceAreInOneRange(t *testing.T) {
	of := func(source string, offset int64) string {
		return string(versionOf(&features.Entry{Source: source, Offset: offset}))
	}
	begin, end := of("a", 5), "1:a@~"
	for _, c := range []struct {
		source string
		offset int64
		in     bool
	}{
		{"a", 4, false}, {"a", 5, true}, {"a", 10, true}, {"a", 1<<63 - 1, true},
		{"b", 7, false}, {"", 7, false}, {"a@00000000000000000007", 7, false}, {"1:a", 7, false}, {"@", 7, false}, {"aa", 7, false},
	} {
		if v := of(c.source, c.offset); (v >= begin && v < end) != c.in {
			t.Errorf("%s between %s and %s: want %v", v, begin, end, c.in)
		}
	}
}

func TestARowOfSomebodyElseYields(t *testing.T) {
	s := opened(t, server(t))
	for i, column := range []string{"reviews", "@version", "else"} {
		k := fmt.Sprint("key-", i)
		m := bigtable.NewMutation()
		m.Set("features", column, forever, []byte("many"))
		mustApply(t, s, rowKey("view", k), m)
		if got := mustGet(t, s, k)[0]; got != nil {
			t.Errorf("a row without a time is %v", got)
		}
		mustPut(t, s, storetest.Entry(k, 1))
		if got := mustGet(t, s, k)[0]; got == nil || got.Values[0].Value.Int != 12 {
			t.Errorf("in place of column %s there is %v", column, got)
		}
	}
}

func TestAFeatureThatIsMissingOrCannotBeReadHasTheViewsDefault(t *testing.T) {
	s := opened(t, server(t))
	mustPut(t, s, storetest.Entry("a", 1), storetest.Entry("b", 2))
	m := bigtable.NewMutation()
	m.Set("features", "sentiment", forever, []byte("good"))
	m.DeleteCellsInColumn("features", "latest")
	mustApply(t, s, "view#a", m)
	got := mustGet(t, s, "a", "b")
	if v := got[0].Values; v[2].Value.Float != 0.5 || v[3].Value.Kind != pipeline.List || len(v[3].Value.List) != 0 || v[0].Value.Int != 12 {
		t.Errorf("got %v, want defaults for sentiment and latest, and 12 reviews", v)
	}
	if v := got[1].Values; v[2].Value.Float != 0.75 {
		t.Errorf("its neighbour has %v, want 0.75", v[2].Value)
	}
	m = bigtable.NewMutation()
	m.Set("features", "@at", forever, []byte("now"))
	mustApply(t, s, "view#a", m)
	got = mustGet(t, s, "a", "b")
	wants(t, got[0].Bad, "@at", `"now"`)
	if got[1].Bad != nil || got[1].Values[2].Value.Float != 0.75 {
		t.Errorf("its neighbour has %v, want 0.75", got[1])
	}
}

func TestWhatExpiredIsGoneBeforeItIsRemoved(t *testing.T) {
	c := server(t)
	c.TTL = time.Hour
	s := opened(t, c)
	mustPut(t, s, storetest.Entry("new", 1))
	for key, age := range map[string]time.Duration{"young": 59 * time.Minute, "old": 61 * time.Minute} {
		mustApply(t, s, rowKey("view", key), replacement(new(storetest.Entry(key, 1)), time.Now().Add(-age)))
	}
	got := mustGet(t, s, "new", "young", "old")
	if got[0] == nil || got[1] == nil || got[2] != nil {
		t.Errorf("got %v, want all but what is an hour old", got)
	}
	name, err := s.Filling(t.Context(), "view")
	if again, _ := s.Filling(t.Context(), "view"); err != nil || again != name {
		t.Errorf("got %s, then %s, and %v", name, again, err)
	}
}

func TestAFillingLastsAsLongAsTheTable(t *testing.T) {
	c := server(t)
	s := opened(t, c)
	first := storetest.Filling(t, s, "view")
	if err := adminOf(t, c).DropAllRows(t.Context(), c.Table); err != nil {
		t.Fatal(err)
	}
	if anew := storetest.Filling(t, s, "view"); anew == first {
		t.Error("a table that lost everything has the filling of before")
	}
}

func TestPingSaysWhichTableToMake(t *testing.T) {
	c := server(t)
	s := opened(t, c)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got := cells(t, s, "@ping"); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
	const remedy = `cbt -project project -instance instance createtable `
	if err := adminOf(t, c).DeleteColumnFamily(t.Context(), c.Table, "deleted"); err != nil {
		t.Fatal(err)
	}
	families := remedy + `nearline "features:maxversions=1,deleted:maxage=1d||maxversions=1"`
	families = strings.Replace(families, `"features`, `"families=features`, 1)
	wants(t, s.Ping(t.Context()), `features.store.bigtable.table is "nearline"`, families)
	c.Table, c.TTL = "elsewhere", time.Hour
	missing := opened(t, c)
	_, got := missing.Get(t.Context(), view, []string{"a"})
	_, filled := missing.Filling(t.Context(), "view")
	for _, err := range []error{missing.Ping(t.Context()), got, filled, putError(t, missing, storetest.Entry("a", 1))} {
		wants(t, err, "elsewhere", remedy+`elsewhere "families=features:maxage=3600s||maxversions=1,deleted:`)
	}
}

func TestNobodyThereIsAnErrorThatSaysWhatToLookAt(t *testing.T) {
	c := server(t)
	c.Emulator, c.Timeout = "127.0.0.1:1", 200*time.Millisecond
	s := opened(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wants(t, s.Ping(ctx), "features.store.bigtable", "project, instance and emulator", "127.0.0.1:1", "refused")
	_, err := s.Get(t.Context(), view, []string{"a"})
	wants(t, err, "127.0.0.1:1", "features.store.bigtable.timeout", "200ms")
}

// answering lets the test say what is answered in place of the server; nil is what the server says.
func answering(answer func(method string, request any) error) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := answer(info.FullMethod, request); err != nil {
				return nil, err
			}
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := answer(info.FullMethod, nil); err != nil {
				return err
			}
			return handle(server, stream)
		}),
	}
}

func TestAPutIsTriedAgainWhereThatMayHelp(t *testing.T) {
	var tries atomic.Int64
	var refusals int64
	var code codes.Code
	s := opened(t, server(t, answering(func(_ string, request any) error {
		if _, ok := request.(*btpb.CheckAndMutateRowRequest); ok && tries.Add(1) <= refusals {
			return status.Error(code, "said the test")
		}
		return nil
	})...))
	for _, c := range []struct {
		code     codes.Code
		refusals int64
		tries    int64
		want     []string
	}{
		{codes.Unavailable, 2, 3, nil},
		{codes.Aborted, 1, 2, nil},
		{codes.PermissionDenied, 9, 1, []string{"said the test", "view#a", "put 1 entries"}},
		{codes.FailedPrecondition, 9, 1, []string{"features.store.bigtable.app_profile", "single cluster"}},
		{codes.Unavailable, 9, puts, []string{"said the test"}},
	} {
		tries.Store(0)
		code, refusals = c.code, c.refusals
		_, err := s.Put(t.Context(), []features.Entry{storetest.Entry("a", 1)})
		if c.want == nil && err != nil {
			t.Error(err)
		}
		wants(t, err, c.want...)
		if got := tries.Load(); got != c.tries {
			t.Errorf("%v was tried %d times, want %d", c.code, got, c.tries)
		}
	}
	code, refusals = codes.PermissionDenied, 9
	tries.Store(0)
	wants(t, s.Ping(t.Context()), "roles/bigtable.user", "said the test")
}

func TestALookupOfManyKeysIsOneRequest(t *testing.T) {
	var requests atomic.Int64
	s := opened(t, server(t, answering(func(method string, _ any) error {
		if strings.HasSuffix(method, "/ReadRows") {
			requests.Add(1)
		}
		return nil
	})...))
	keys := make([]string, 4096)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
	}
	mustPut(t, s, storetest.Entry(keys[17], 1))
	if got := mustGet(t, s, keys...); got[17] == nil || got[18] != nil {
		t.Errorf("got %v and %v", got[17], got[18])
	}
	if got := requests.Load(); got != 1 {
		t.Errorf("there were %d requests, want 1", got)
	}
	if got := mustGet(t, s, strings.Repeat("x", maxKey))[0]; got != nil || requests.Load() != 1 {
		t.Errorf("a key that no row may have: got %v after %d requests", got, requests.Load())
	}
}

func TestKeysGoTogetherAsFarAsARequestTakesThem(t *testing.T) {
	long := strings.Repeat("x", maxAsked/2)
	for _, c := range []struct {
		keys []string
		want []int
	}{
		{nil, nil}, {[]string{"a"}, []int{1}}, {[]string{long, long}, []int{2}}, {[]string{long, long, "a"}, []int{2, 1}},
		{[]string{"a", long, long + long, "b", "c"}, []int{2, 1, 2}},
	} {
		var got []int
		var keys []string
		for list := range together(c.keys) {
			got, keys = append(got, len(list)), append(keys, list...)
		}
		if !slices.Equal(got, c.want) || !slices.Equal(keys, c.keys) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}
