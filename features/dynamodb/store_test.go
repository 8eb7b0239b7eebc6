//go:build !nocloud

package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nearline/features"
	"nearline/features/storetest"
	"nearline/pipeline"
)

var view = storetest.View

// opened with credentials that nobody checks.
func opened(t *testing.T, c Config) *Store {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "none",
		"AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	if err := c.Validate("features.store.dynamodb"); err != nil {
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

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
}

// answer of a request: a status, and what is said.
type answer struct {
	status int
	body   string
}

func refusal(name string) answer {
	return answer{400, fmt.Sprintf(`{"__type": "com.amazonaws.dynamodb.v20120810#%s", "message": "said the test"}`, name)}
}

// saying answers as the test wants, by the operation's name and how often it was asked before.
func saying(t *testing.T, say func(operation string, request map[string]any, before int) answer) (Config, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		var request map[string]any
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Errorf("request: %v", err)
		}
		a := say(operation, request, int(asked.Add(1))-1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	t.Cleanup(server.Close)
	c := DefaultConfig()
	c.Endpoint, c.Timeout = server.URL, time.Minute
	return c, &asked
}

func TestARefusedConditionIsAnOlderEntry(t *testing.T) {
	c, asked := saying(t, func(string, map[string]any, int) answer { return refusal("ConditionalCheckFailedException") })
	mustPut(t, opened(t, c), storetest.Entry("a", 1), storetest.Entry("b", 2))
	if got := asked.Load(); got != 2 {
		t.Errorf("there were %d requests, want one for each entry", got)
	}
}

func TestAnItemThatIsRefusedForItsOwnSakeHurtsNobodyElse(t *testing.T) {
	for _, said := range []string{
		"Item size has exceeded the maximum allowed size", "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of 2048 bytes",
	} {
		c, asked := saying(t, func(_ string, request map[string]any, _ int) answer {
			if encoded(request["Item"].(map[string]any)["pk"]) == `{"S":"view:b"}` {
				return answer{400, fmt.Sprintf(`{"__type": "com.amazon.coral.validate#ValidationException", "message": %q}`, said)}
			}
			return answer{200, "{}"}
		})
		long := storetest.Entry(strings.Repeat("x", 2048), 4)
		outcome, err := opened(t, c).Put(t.Context(), []features.Entry{storetest.Entry("a", 1), storetest.Entry("b", 2), storetest.Entry("c", 3), long})
		if err != nil || outcome.Newer != 0 || len(outcome.Unfit) != 2 || outcome.Unfit[0].Place != 1 || outcome.Unfit[1].Place != 3 {
			t.Fatalf("got %+v and %v, want that the second and the fourth are refused", outcome, err)
		}
		wants(t, outcome.Unfit[0].Err, said)
		wants(t, outcome.Unfit[1].Err, "2053 bytes", "2048")
		if got := asked.Load(); got != 3 {
			t.Errorf("there were %d requests, want 3", got)
		}
	}
	// What is wrong with the table is not the entry's.
	c, _ := saying(t, func(string, map[string]any, int) answer {
		return answer{400, `{"__type": "com.amazon.coral.validate#ValidationException", "message": "The provided key element does not match the schema"}`}
	})
	wants(t, putError(t, opened(t, c), storetest.Entry("a", 1)), "match the schema")
}

func TestAnEntryOfSomebodyElsesIsABadOne(t *testing.T) {
	c, _ := saying(t, func(string, map[string]any, int) answer {
		return answer{200, `{"Responses": {"nearline": [{"pk": {"S": "view:a"}, "@at": {"N": "5"}, "reviews": {"N": "7"}},
			{"pk": {"S": "view:b"}, "@at": {"S": "2026-11-29T15:00:00Z"}}, {"pk": {"S": "view:c"}, "@at": {"BOOL": true}}]}}`}
	})
	got := mustGet(t, opened(t, c), "a", "b", "c")
	if got[0].Bad != nil || got[0].Values[0].Value.Int != 7 {
		t.Errorf("got %+v, want 7 reviews", got[0])
	}
	wants(t, got[1].Bad, "@at", "2026-11-29T15:00:00Z")
	wants(t, got[2].Bad, "@at")
}

func TestATableThatTakesNoMoreAtOnceIsAskedAgain(t *testing.T) {
	c, asked := saying(t, func(_ string, _ map[string]any, before int) answer {
		if before < 1 {
			return refusal("ProvisionedThroughputExceededException")
		}
		return answer{200, "{}"}
	})
	mustPut(t, opened(t, c), storetest.Entry("a", 1))
	if got := asked.Load(); got != 2 {
		t.Errorf("there were %d requests, want 2", got)
	}
}

func TestKeysThatAreNotAnsweredAreAskedForAgain(t *testing.T) {
	c, asked := saying(t, func(_ string, request map[string]any, _ int) answer {
		of := request["RequestItems"].(map[string]any)["nearline"].(map[string]any)
		keys := of["Keys"].([]any)
		said := fmt.Sprintf(`{"pk": %s, "@at": {"N": "5"}, "reviews": {"N": "7"}}`, encoded(keys[0].(map[string]any)["pk"]))
		rest := "{}"
		if len(keys) > 1 {
			of["Keys"] = keys[1:]
			rest = encoded(map[string]any{"nearline": of})
		}
		return answer{200, fmt.Sprintf(`{"Responses": {"nearline": [%s]}, "UnprocessedKeys": %s}`, said, rest)}
	})
	for i, e := range mustGet(t, opened(t, c), "a", "b", "a", "c") {
		if e == nil || e.Values[0].Value.Int != 7 || e.Values[2].Value.Float != 0.5 {
			t.Errorf("answer %d is %v, want 7 reviews and the default of sentiment", i, e)
		}
	}
	if got := asked.Load(); got != 3 {
		t.Errorf("there were %d requests, want one for each key", got)
	}
}

func encoded(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestALookupThatIsNeverAnsweredEndsAtItsTimeout(t *testing.T) {
	c, _ := saying(t, func(_ string, request map[string]any, _ int) answer {
		return answer{200, fmt.Sprintf(`{"Responses": {}, "UnprocessedKeys": %s}`, encoded(request["RequestItems"]))}
	})
	c.Timeout = 200 * time.Millisecond
	s := opened(t, c)
	begin := time.Now()
	_, err := s.Get(t.Context(), view, []string{"a"})
	if took := time.Since(begin); took < c.Timeout {
		t.Errorf("it ended after %v, want %v", took, c.Timeout)
	}
	wants(t, err, "features.store.dynamodb.timeout", "200ms", "1 keys of view view", "table nearline in eu-west-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, view, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that it was cancelled", err)
	}
}

func TestAKeyThatNoItemMayHaveIsNotAskedFor(t *testing.T) {
	c, asked := saying(t, func(string, map[string]any, int) answer { return answer{200, "{}"} })
	if got := mustGet(t, opened(t, c), strings.Repeat("x", 2048))[0]; got != nil {
		t.Errorf("got %v", got)
	}
	if got := asked.Load(); got != 0 {
		t.Errorf("there were %d requests", got)
	}
}

func TestAFeatureThatCannotBeReadHasTheViewsDefault(t *testing.T) {
	c, _ := saying(t, func(string, map[string]any, int) answer {
		return answer{200, `{"Responses": {"nearline": [{"pk": {"S": "view:a"}, "@at": {"N": "5"}, "reviews": {"N": "7"}, "spent": {"N": "1E2"},
			"sentiment": {"S": "good"}, "latest": {"L": []}}]}}`}
	})
	got := mustGet(t, opened(t, c), "a")[0].Values
	if got[0].Value.Int != 7 || got[1].Value.Float != 100 || got[2].Value.Float != 0.5 || got[3].Value.Kind != pipeline.List {
		t.Errorf("got %v, want 7, 100 and the defaults of sentiment and latest", got)
	}
}

func TestWhatIsWrongSaysWhatToLookAt(t *testing.T) {
	describe := func(name string, described answer, lives answer) error {
		c, _ := saying(t, func(operation string, _ map[string]any, _ int) answer {
			if operation == "DescribeTable" {
				return described
			}
			return lives
		})
		return opened(t, c).Ping(t.Context())
	}
	table := func(key, kind string) answer {
		return answer{200, fmt.Sprintf(`{"Table": {"TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": %q, "KeyType": "HASH"}],
			"AttributeDefinitions": [{"AttributeName": %[1]q, "AttributeType": %q}]}}`, key, kind)}
	}
	lives := func(attribute string) answer {
		return answer{200, fmt.Sprintf(`{"TimeToLiveDescription": {"AttributeName": %q, "TimeToLiveStatus": "ENABLED"}}`, attribute)}
	}
	for _, c := range []struct {
		name             string
		described, lives answer
		want             []string // none where nothing is wrong
	}{
		{"as it has to be", table("pk", "S"), lives("@expires"), nil},
		{"without the permission to see how long items live", table("pk", "S"), refusal("AccessDeniedException"), nil},
		{"another key", table("id", "S"), lives("@expires"), []string{"partition key pk", "aws dynamodb create-table --table-name nearline --region eu-west-1 --endpoint-url http://127.0.0.1:"}},
		{"another type of key", table("pk", "N"), lives("@expires"), []string{"partition key pk of type S"}},
		{"nothing expires", table("pk", "S"), answer{200, `{"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}`},
			[]string{"aws dynamodb update-time-to-live --table-name nearline"}},
		{"something else expires", table("pk", "S"), lives("other"), []string{"update-time-to-live"}},
		{"no table", refusal("ResourceNotFoundException"), answer{}, []string{"aws dynamodb create-table", "update-time-to-live", "@expires"}},
		{"no permission", refusal("AccessDeniedException"), answer{}, []string{"permissions", "PutItem", "AccessDenied"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := describe(c.name, c.described, c.lives)
			if c.want == nil && err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				wants(t, err, append(c.want, `features.store.dynamodb.table is "nearline"`)...)
			}
		})
	}
	c := DefaultConfig()
	c.Endpoint, c.Timeout = "http://127.0.0.1:1", time.Minute // however slow the machine is, the last try has said why
	gone := opened(t, c)
	wants(t, gone.Ping(t.Context()), "features.store.dynamodb", "endpoint", "credentials", "http://127.0.0.1:1", "refused")
	_, err := gone.Get(t.Context(), view, []string{"a"})
	wants(t, err, "http://127.0.0.1:1", "refused")
}

func TestARegionIsNeeded(t *testing.T) {
	for name, value := range map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"} {
		t.Setenv(name, value)
	}
	_, err := Open(t.Context(), DefaultConfig())
	wants(t, err, "features.store.dynamodb.region is empty", "eu-west-1")
	c := DefaultConfig()
	c.Region = "eu-west-1"
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
