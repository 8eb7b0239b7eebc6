package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/config"
	"nearline/internal/dev"
	"nearline/internal/export"
	"nearline/kafka"
)

const itemUpdates = "nearline.features.item.updates"

// shopFile is a configuration with two views, and topics that events of theirs come from.
func shopFile(t *testing.T, broker string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, `
kafka: {brokers: ["`+broker+`"], replica: test}
models: {repository: "`+repository(t)+`"}
features:
  views:
    - name: item
      key: item_id
      time: created_at
      fields:
        - {name: reviews, count: {}}
        - {name: rating, default: 3, mean: {of: rating}}
        - {name: latest, last: {of: user_id, n: 2}}
    - name: user
      key: user_id
      fields: [{name: reviews, count: {}}]
pipelines:
  - name: reviews
    input: {topic: reviews.raw}
    steps: [{aggregate: {view: item}}]
    dead_letters: reviews.raw.dlq
  - name: orders
    input: {topic: orders}
    steps: [{aggregate: {view: item, map: {item_id: product.sku, created_at: at}}}]
    dead_letters: reviews.raw.dlq
  - name: more
    input: {topic: mixed}
    steps: [{aggregate: {view: item, map: {item_id: sku}}}]
    dead_letters: reviews.raw.dlq
  - name: others
    input: {topic: mixed}
    steps: [{aggregate: {view: item}}]
    dead_letters: reviews.raw.dlq
  - name: binary
    input: {topic: binary, format: avro, schema: review.avsc}
    steps: [{aggregate: {view: item}}]
    dead_letters: reviews.raw.dlq
serving: {http: "127.0.0.1:0"}
`)
	return path
}

// second s of a morning, in milliseconds since 1970.
func second(s int) int64 { return time.Date(2026, 1, 31, 9, 0, s, 0, time.UTC).UnixMilli() }

// startShop is a broker that has the updates of three reviews: of a kettle at second 10 and 20, and of a pot at 30.
func startShop(t *testing.T) (broker, config string) {
	t.Helper()
	var topics []dev.Topic
	for _, name := range []string{"reviews.raw", "orders", itemUpdates, "nearline.features.user.updates"} {
		topics = append(topics, dev.Topic{Name: name, Partitions: 2, Retention: 16 << 20})
	}
	broker = startBroker(t, topics...)
	var records []*kgo.Record
	for i, key := range []string{"kettle", "kettle", "pot"} {
		at := second(10 * (i + 1))
		records = append(records, &kgo.Record{
			Topic: itemUpdates, Key: []byte(key), Timestamp: time.UnixMilli(at),
			Value: fmt.Appendf(nil, `{"at":%d,"of":{"rating":%d,"user_id":"u%d"}}`, at, i+1, i),
		})
	}
	produce(t, broker, records...)
	return broker, shopFile(t, broker)
}

func produce(t *testing.T, broker string, records ...*kgo.Record) {
	t.Helper()
	client, err := kafka.Connection{Brokers: []string{broker}}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestExportAddsFeaturesToLines(t *testing.T) {
	_, config := startShop(t)
	in := `{"item_id": "kettle", "created_at": "2026-01-31T09:00:20Z", "returned": true}
{"created_at":"2026-01-31T10:00:25.5+01:00","item_id":"kettle"}

{"item_id":"lamp","created_at":1769850000}
`
	r := execute(t, in, "features", "export", "--config", config, "--rows", "-", "--view", "item")
	r.ok(t)
	want := `{"item_id": "kettle", "created_at": "2026-01-31T09:00:20Z", "returned": true,"item":{"reviews":1,"rating":1,"latest":["u0"]},"item_at":"2026-01-31T09:00:10.000Z","item_age_seconds":10}
{"created_at":"2026-01-31T10:00:25.5+01:00","item_id":"kettle","item":{"reviews":2,"rating":1.5,"latest":["u1","u0"]},"item_at":"2026-01-31T09:00:20.000Z","item_age_seconds":5.5}
{"item_id":"lamp","created_at":1769850000,"item":{"reviews":0,"rating":3,"latest":[]},"item_at":null,"item_age_seconds":null}
`
	if r.out != want {
		t.Errorf("got\n%swant\n%s", r.out, want)
	}

	folder := t.TempDir()
	rows, out := filepath.Join(folder, "rows.jsonl"), filepath.Join(folder, "out.jsonl")
	write(t, rows, strings.ReplaceAll(in, "item_id", "sku"))
	write(t, out, "of before")
	file := execute(t, "", "features", "export", "--config", config, "--rows", rows, "--out", out, "--view", "item", "--key", "item=sku", "--as", "item=product")
	file.ok(t)
	wantAll(t, "standard error", file.err, "3 rows, in ")
	got := strings.Join(readLines(t, out), "\n") + "\n"
	for old, renamed := range map[string]string{`"item":`: `"product":`, `"item_a`: `"product_a`, "item_id": "sku"} {
		want = strings.ReplaceAll(want, old, renamed)
	}
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	execute(t, "no JSON", "features", "export", "--config", config, "--rows", "-", "--out", out, "--view", "item").fails(t, "line 1")
	if left := readLines(t, out); len(left) != 3 {
		t.Errorf("after an export that failed the file has %d lines, want the 3 of before", len(left))
	}
	if files, _ := os.ReadDir(folder); len(files) != 2 {
		t.Errorf("the folder has %v, want nothing left of what was written", files)
	}
}

func TestExportReadsRowsFromATopicAsItsPipelinesDo(t *testing.T) {
	broker, config := startShop(t)
	at := func(s int) time.Time { return time.UnixMilli(second(s)) }
	produce(t, broker,
		&kgo.Record{Topic: "orders", Key: []byte("a"), Timestamp: at(40), Value: []byte(`{"product":{"sku":"kettle"},"user_id":"u","at":"2026-01-31T09:00:15Z"}`)},
		&kgo.Record{Topic: "orders", Key: []byte("a"), Timestamp: at(40), Value: []byte(`{"product":{"sku":"pot"},"user_id":"u"}`)},
		&kgo.Record{Topic: "orders", Key: []byte("a"), Timestamp: at(41), Value: []byte(`{"product":"none"}`)},
		&kgo.Record{Topic: "orders", Key: []byte("a"), Timestamp: at(42)},
	)
	args := []string{"features", "export", "--config", config, "--topic", "orders"}
	execute(t, "", args...).fails(t, "orders[", "@2: product.sku is missing: it is the key of view item", "--key", "--skip-bad")
	r := execute(t, "", append(args, "--skip-bad")...)
	r.ok(t)
	wantAll(t, "the rows", r.out, `"item":{"reviews":1,`, `"item_at":"2026-01-31T09:00:10.000Z"`, `"user":{"reviews":0},"user_at":null`)
	wantAll(t, "standard error", r.err, "1 rows are left out: product.sku is missing, such as orders[", "1 records of orders are tombstones", "nothing was known of any row's key in view user")
	arrival := execute(t, "", append(args, "--skip-bad", "--by", "arrival", "--view", "item", "--until", "2026-01-31T09:00:41Z")...)
	arrival.ok(t)
	wantAll(t, "the rows", arrival.out, `"item":{"reviews":2,`, `"item_age_seconds":20}`)
}

func TestExportSaysThatHistoryIsMissing(t *testing.T) {
	path := shopFile(t, "127.0.0.1:1")
	loaded, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	(&exportFlags{}).describe(&out, loaded, export.Report{Rows: 9, Views: []export.ViewReport{
		{View: "item", Cut: true, Since: time.UnixMilli(second(0)), Blind: 3, Short: 4},
	}})
	wantAll(t, "standard error", out.String(), "HISTORY IS MISSING for view item: nearline.features.item.updates begins at 2026-01-31T09:00:00Z",
		"3 rows are of a time before that", "4 are later", "features.retention (now 168h0m0s)")
}

func TestExportMistakesAreNamed(t *testing.T) {
	broker, config := startShop(t)
	without := configFile(t, broker)
	folder := t.TempDir()
	row := `{"item_id":"a","user_id":"u","created_at":5}`
	for _, c := range []struct {
		name string
		args string
		in   string
		says []string
	}{
		{"no rows", "", "", []string{"rows", "topic"}},
		{"rows twice", "--rows - --topic orders", "", []string{"rows", "topic"}},
		{"a file that is missing", "--rows " + folder + "/none --time t", "", []string{"--rows", folder + "/none"}},
		{"an out that cannot be", "--rows - --time t --out " + folder + "/none/out", "", []string{"--out", folder + "/none"}},
		{"a view that is not there", "--rows - --view thing", "", []string{"--view thing", "no such view", "item, user"}},
		{"a comparison that is none", "--rows - --by name", "", []string{"--by", `"name"`, "event or arrival"}},
		{"times for a file", "--rows - --since 1h", "", []string{"--since", "topic"}},
		{"a time that is none", "--topic orders --since noon", "", []string{"--since noon", "90m"}},
		{"a key of a view that is not there", "--rows - --key thing=a", "", []string{"--key thing=a", `no view "thing"`, "item, user"}},
		{"a key that is nothing", "--rows - --key item=", "", []string{"--key item=", "after the ="}},
		{"a key twice", "--rows - --key a --key b", "", []string{"--key b", "twice"}},
		{"a path that is none", "--rows - --key a..b --time t", "", []string{`"a..b" is no path`}},
		{"a name of no view", "--rows - --as thing", "", []string{"--as thing", "VIEW=NAME"}},
		{"two views of one name", "--rows - --time t --as user=item", "", []string{`both write "item"`}},
		{"a view without a time", "--rows -", row, []string{"view user", "--time PATH"}},
		{"a row that is none", "--rows - --view item", row + "\nx", []string{"line 2: not JSON", "--skip-bad"}},
		{"a row without a key", "--rows - --view item --key sku", row, []string{"line 1: sku is missing", "--key"}},
		{"a row whose time is none", "--rows - --view item --time user_id", row, []string{"line 1: user_id is no time", "RFC 3339"}},
		{"a row that has the values' name", "--rows - --view item", `{"item_id":"a","created_at":5,"item":1}`, []string{"line 1: item is there", "--as"}},
		{"a topic that is not there", "--topic nowhere", "", []string{"nowhere", "UNKNOWN_TOPIC"}},
		{"a topic that two pipelines read otherwise", "--topic mixed", "", []string{"more and others", "--key item=PATH"}},
		{"a topic of Avro", "--topic binary", "", []string{"binary", "Avro", "--rows"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			execute(t, c.in, append([]string{"features", "export", "--config", config}, strings.Fields(c.args)...)...).fails(t, c.says...)
		})
	}
	execute(t, "", "features", "export", "--config", without, "--rows", "-").fails(t, without, "no features.views")
	execute(t, "", "features", "export", "--config", shopFile(t, "127.0.0.1:1"), "--rows", "-", "--view", "item").fails(t, "reach [127.0.0.1:1]", "refused")
}
