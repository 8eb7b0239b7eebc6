//go:build cgo

package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

func TestScoreIntoSaysWhatTheStoreRefuses(t *testing.T) {
	server := miniredis.RunT(t)
	zoo, err := filepath.Abs(filepath.Join("..", "..", "models", "zoo"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	write(t, path("daily.yaml"), fmt.Sprintf(`
kafka: {brokers: ["kafka:9092"]}
models: {repository: %q}
features:
  lookup: {deadline: 5s}
  store: {redis: {addresses: [%q], timeout: 5s}}
  views:
    - {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 50}}]}
    - {name: daily, key: user_id, source: store, fields: [{name: items, type: texts}]}
pipelines:
  - name: job
    input: {topic: jobs, map: {id: request_id}}
    steps:
      - rank:
          model: recommender
          history: {view: user, field: items}
          inputs: {popularity: {of: absent}, sentiment: {of: absent}, helpfulness: {of: absent}}
    output: {topic: jobs.done, copy: [user_id]}
    dead_letters: jobs.dlq
`, zoo, server.Addr()))
	write(t, path("in.jsonl"), `{"request_id":"1","user_id":"ann","candidates":["1"]}
{"request_id":"2","user_id":"ben","candidates":["50"]}
`)
	run := func() result {
		return execute(t, "", "score", "--config", path("daily.yaml"), "--pipeline", "job", "--in", path("in.jsonl"), "--out", path("out.jsonl"), "--into", "daily.items")
	}
	newer := func(key string) {
		server.HSet("nearline:daily:"+key, "items", `["2"]`, "@at", "1", "@source", "job", "@offset", "9000000000000000000")
	}

	first := run()
	first.ok(t)
	wantAll(t, "standard error", first.err, "2 lines: 2 scored, 0 rejected, in")
	newer("ann")
	one := run()
	one.ok(t)
	wantAll(t, "standard error", one.err, "2 lines: 2 scored, 0 rejected, 1 refused (the store has newer lists of these keys)")
	newer("ben")
	all := run()
	all.fails(t, "--into daily.items", "all 2 keys", "nothing was changed")
	wantAll(t, "standard error", all.err, "2 refused")
}
