package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/pipeline"
)

func TestScoreKeepsOrderAndRejectsBadLines(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	var in strings.Builder
	var want []string
	const lines = 3000
	for i := range lines {
		switch {
		case i%100 == 7:
			fmt.Fprintln(&in, "no JSON")
		case i%100 == 8:
			fmt.Fprintln(&in, `{"review_id":"x","text":""}`)
		default:
			fmt.Fprintf(&in, "{\"review_id\":\"r%d\",\"text\":\"review %d\",\"item_id\":%d}\n", i, i, i)
			want = append(want, fmt.Sprintf("r%d", i))
		}
	}
	write(t, path("in.jsonl"), in.String())
	r := execute(t, "", "score", "--model", "sentiment", "--models", repository(t),
		"--in", path("in.jsonl"), "--out", path("out.jsonl"), "--rejects", path("rejects.jsonl"))
	r.ok(t)
	wantAll(t, "standard error", r.err, "3000 lines: 2940 scored, 60 rejected")

	var got []string
	for _, line := range readLines(t, path("out.jsonl")) {
		var result struct {
			ID        string `json:"review_id"`
			Sentiment struct {
				Label string `json:"label"`
			} `json:"sentiment"`
		}
		if err := json.Unmarshal([]byte(line), &result); err != nil || result.Sentiment.Label != "positive" {
			t.Fatalf("got result %s (%v), want a sentiment", line, err)
		}
		got = append(got, result.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d results, from %.5q on, want the %d good lines in their order", len(got), got, len(want))
	}
	rejects := readLines(t, path("rejects.jsonl"))
	if len(rejects) != 60 {
		t.Fatalf("got %d rejects, want 60", len(rejects))
	}
	wantAll(t, "the first two rejects", rejects[0]+rejects[1], `"line":8,"class":"`+string(pipeline.ClassDecode)+`"`, `"line":9,"class":"`+string(pipeline.ClassInvalid)+`"`, `"cause":"`)
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestScoreReadsOtherFieldsThroughAPipe(t *testing.T) {
	r := execute(t, `{"meta":{"uuid":"u1"},"body":"Good."}`+"\nbad\n", "score", "--model", "sentiment", "--models", repository(t),
		"--id", "meta.uuid", "--text", "body", "--copy", "meta.uuid")
	r.ok(t)
	wantAll(t, "standard output", r.out, `"u1"`, `"label":"positive"`)
	wantAll(t, "standard error", r.err, `"line":2`, `"value":"bad"`)
	if n := strings.Count(r.out, "\n"); n != 1 {
		t.Errorf("got %d results, want 1: %s", n, r.out)
	}
}
