//go:build cgo

package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"nearline/internal/config"
	"nearline/offline"
)

// dailyConfig has a job that ranks for everybody, and a pipeline whose requests may do without candidates.
func dailyConfig(t *testing.T, store string) *config.Config {
	t.Helper()
	zoo, err := filepath.Abs(filepath.Join("..", "..", "models", "zoo"))
	if err != nil {
		t.Fatal(err)
	}
	inputs := "inputs: {popularity: {of: absent}, sentiment: {of: absent}, helpfulness: {of: absent}}"
	c, _, err := config.Parse("daily.yaml", fmt.Appendf(nil, `
kafka: {brokers: ["kafka:9092"]}
models: {repository: %q}
features:
  %s
  views:
    - {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 50}}]}
    - {name: daily, key: user_id, source: store, fields: [{name: items, type: texts}]}
pipelines:
  - name: job
    input: {topic: jobs, map: {id: request_id}}
    steps: [{rank: {model: recommender, history: {view: user, field: items}, %s, top: 3}}]
    output: {topic: jobs.done, copy: [user_id]}
    dead_letters: jobs.dlq
  - name: ranks
    input: {topic: rank.requests, map: {id: request_id}}
    steps: [{rank: {model: recommender, otherwise: {view: daily, field: items}, history: {view: user, field: items}, %[3]s}}]
    output: {topic: rank.results}
    dead_letters: rank.requests.dlq
`, zoo, store, inputs))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// through runs lines through a pipeline.
func through(t *testing.T, c *config.Config, name, into, lines string) (out, rejects string) {
	t.Helper()
	o, err := OpenOffline(t.Context(), c, name, into, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	var answers, wrong bytes.Buffer
	_, err = offline.Run(t.Context(), offline.Options{
		In: strings.NewReader(lines), Out: &answers, Rejects: &wrong, Name: "lines", Programs: o.Programs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answers.String(), wrong.String()
}

func TestListsOfADailyJobAreCandidatesOfRequestsWithoutAny(t *testing.T) {
	server := miniredis.RunT(t)
	c := dailyConfig(t, fmt.Sprintf("lookup: {deadline: 5s}\n  store: {redis: {addresses: [%q], timeout: 5s}}", server.Addr()))
	out, rejects := through(t, c, "job", "daily.items", `{"request_id":"1","user_id":"ann","candidates":["1","50","318","2","296"]}
{"request_id":"2","user_id":"ben","candidates":["50"]}
{"request_id":"3","candidates":["50"]}
{"request_id":"4","user_id":"ann","candidates":["296","50","1"]}
`)
	if n := strings.Count(out, "\n"); n != 3 || !strings.Contains(rejects, "there is no user_id, the key of view daily") {
		t.Fatalf("got %d answers and rejects %s, want three, and the request of nobody rejected", n, rejects)
	}
	var last struct {
		Ranking []struct {
			ItemID string `json:"item_id"`
		}
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, entry := range last.Ranking {
		want = append(want, fmt.Sprintf("%q", entry.ItemID))
	}
	if got := server.HGet("nearline:daily:ann", "items"); got != "["+strings.Join(want, ",")+"]" {
		t.Errorf("Redis has %s for ann, want her latest list, %v", got, want)
	}
	// The next day's list replaces it, and requests that bring none have it.
	through(t, c, "job", "daily.items", `{"request_id":"5","user_id":"ann","candidates":["2","318"]}`+"\n")
	answers, _ := through(t, c, "ranks", "", `{"request_id":"a","user_id":"ann"}
{"request_id":"b","user_id":"ben"}
{"request_id":"c","user_id":"ann","candidates":["296"]}
`)
	for _, want := range []string{`"request_id":"b"`, `"item_id":"50"`, `"item_id":"318"`, `"item_id":"2"`, `"item_id":"296"`} {
		if strings.Count(answers, want) != 1 {
			t.Errorf("want %s once in\n%s", want, answers)
		}
	}
}

func TestOfflinePipelinesSayWhatIsWrong(t *testing.T) {
	server := miniredis.RunT(t)
	redis := fmt.Sprintf("lookup: {deadline: 5s}\n  store: {redis: {addresses: [%q], timeout: 5s}}", server.Addr())
	for _, c := range []struct{ pipeline, into, want string }{
		{"jobs", "", `there is no pipeline "jobs": want job or ranks`},
		{"job", "weekly.items", "into weekly.items: there is no such view"},
		{"job", "user.items", "view user is filled by its topic: want one with source: store"},
		{"job", "daily.lists", "want a view with one field, of type: texts"},
		{"job", "daily", "want a view with one field, of type: texts"},
	} {
		_, err := OpenOffline(t.Context(), dailyConfig(t, redis), c.pipeline, c.into, quiet(t))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s into %s: got %v, want %q", c.pipeline, c.into, err, c.want)
		}
	}
}

// redisStore is a configuration of a store.
func redisStore(server *miniredis.Miniredis) string {
	return fmt.Sprintf("lookup: {deadline: 5s}\n  store: {redis: {addresses: [%q], timeout: 5s}}", server.Addr())
}

func TestTheLastLineOfAKeyCountsHoweverManyAreScoredAtOnce(t *testing.T) {
	server := miniredis.RunT(t)
	o, err := OpenOffline(t.Context(), dailyConfig(t, redisStore(server)), "job", "daily.items", quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	const lines, keys = 600, 3
	var in strings.Builder
	for i := range lines {
		fmt.Fprintf(&in, "{\"request_id\":\"%d\",\"user_id\":\"user-%d\",\"candidates\":[\"%d\"]}\n", i, i%keys, i)
	}
	stats, err := offline.Run(t.Context(), offline.Options{
		In: strings.NewReader(in.String()), Out: io.Discard, Programs: o.Programs(), ChunkRows: 7, Chunks: 8,
	})
	if err != nil || stats.Scored != lines {
		t.Fatalf("got %+v and %v", stats, err)
	}
	for k := range keys {
		if got, want := server.HGet(fmt.Sprint("nearline:daily:user-", k), "items"), fmt.Sprintf(`["%d"]`, lines-keys+k); got != want {
			t.Errorf("user-%d has %s, want that of its last line, %s", k, got, want)
		}
	}
	if put, refused := o.Lists(); refused != 0 || put < lines/7 {
		t.Errorf("%d lists were put, and %d refused: a line's list stands in no other line's way", put, refused)
	}
}

func TestAJobThatBeganLaterWinsWhateverTheClocks(t *testing.T) {
	server := miniredis.RunT(t)
	c := dailyConfig(t, redisStore(server))
	list := func(id string) string { return `{"request_id":"1","user_id":"ann","candidates":["` + id + `"]}` + "\n" }
	wants := func(id string) {
		t.Helper()
		if got, want := server.HGet("nearline:daily:ann", "items"), `["`+id+`"]`; got != want {
			t.Errorf("ann has %s, want %s", got, want)
		}
	}
	// A release before put it, on a machine that is an hour ahead.
	server.HSet("nearline:daily:ann", "items", `["1"]`, "@at", "1800000000000", "@source", "bulk", "@offset", fmt.Sprint(time.Now().Add(time.Hour).UnixNano()))
	through(t, c, "job", "daily.items", list("2"))
	wants("2")
	// A machine that is an hour ahead numbers a job.
	if err := server.Set("nearline:daily@job", fmt.Sprint(time.Now().Add(time.Hour).Unix())); err != nil {
		t.Fatal(err)
	}
	through(t, c, "job", "daily.items", list("50"))
	wants("50")
	through(t, c, "job", "daily.items", list("318"))
	wants("318")

	// Of two at once it is the one that began later, whichever ends first; the other says so.
	jobs := make([]*Offline, 2)
	for i := range jobs {
		o, err := OpenOffline(t.Context(), c, "job", "daily.items", quiet(t))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		jobs[i] = o
	}
	for _, job := range []struct {
		of      int
		id      string
		refused int64
	}{{1, "296", 0}, {0, "2", 1}} {
		o := jobs[job.of]
		if _, err := offline.Run(t.Context(), offline.Options{
			In: strings.NewReader(list(job.id)), Out: io.Discard, Programs: o.Programs(),
		}); err != nil {
			t.Fatal(err)
		}
		if put, refused := o.Lists(); put != 1 || refused != job.refused {
			t.Errorf("job %d put %d lists, of which %d were refused, want 1 and %d", job.of, put, refused, job.refused)
		}
		wants("296")
	}
}

func TestAListThatTheStoreCannotTakeIsARejectAndNoOther(t *testing.T) {
	server := miniredis.RunT(t)
	if err := server.Set("nearline:daily:ann", "somebody else's"); err != nil {
		t.Fatal(err)
	}
	out, rejects := through(t, dailyConfig(t, redisStore(server)), "job", "daily.items", `{"request_id":"1","user_id":"ben","candidates":["50"]}
{"request_id":"2","user_id":"ann","candidates":["50"]}
{"request_id":"3","user_id":"ann","candidates":["2"]}
{"request_id":"4","user_id":"cid","candidates":["50"]}
`)
	if strings.Count(out, "\n") != 2 || strings.Count(rejects, "nearline:daily:ann: the key is no hash") != 2 {
		t.Errorf("got answers\n%sand rejects\n%swant two of each", out, rejects)
	}
	for key, want := range map[string]string{"ben": `["50"]`, "cid": `["50"]`} {
		if got := server.HGet("nearline:daily:"+key, "items"); got != want {
			t.Errorf("%s has %s, want %s", key, got, want)
		}
	}
	if got, err := server.Get("nearline:daily:ann"); err != nil || got != "somebody else's" {
		t.Errorf("somebody else's key is %q (%v) now", got, err)
	}
}
