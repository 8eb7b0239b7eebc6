package dev

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// rankedResult is a result as the service writes it.
func rankedResult(user string, items ...string) []byte {
	entries := make([]string, len(items))
	for i, item := range items {
		entries[i] = fmt.Sprintf(`{"item_id":%q,"score":%d}`, item, 9-i)
	}
	return fmt.Appendf(nil, `{"request_id":"q-1","user_id":%q,"ranking":[%s],"model":"recommender"}`, user, strings.Join(entries, ","))
}

func TestAVisitorSeesWhatMovesInTheirRanking(t *testing.T) {
	var v Visitor
	if _, ok := v.Latest(); ok {
		t.Error("there is a ranking before any result")
	}
	if blamed := v.Disappointed(); blamed != "" {
		t.Errorf("%s is blamed before anything is ranked", blamed)
	}
	v.see([]byte("not JSON"), noon)
	v.see(rankedResult("somebody else", "kettle"), noon)
	v.see(rankedResult(visitorID), noon)
	if _, ok := v.Latest(); ok {
		t.Error("results of others, and empty ones, are taken for the visitor's")
	}
	v.see(rankedResult(visitorID, "kettle", "lamp", "rug"), noon)
	first, ok := v.Latest()
	if want := "ranking  for user-00042: kettle, lamp, rug"; !ok || first.Line() != want {
		t.Errorf("got %q, want %q", first.Line(), want)
	}
	if blamed := v.Disappointed(); blamed != "kettle" {
		t.Errorf("%s is blamed, want what stands first", blamed)
	}
	v.see(rankedResult(visitorID, "lamp", "rug", "kettle"), noon.Add(5*time.Second))
	moved, _ := v.Latest()
	if want := "ranking  for user-00042: lamp▲, rug▲, kettle▼; bad reviews of kettle"; moved.Line() != want {
		t.Errorf("got %q, want %q", moved.Line(), want)
	}
	// What is long past is forgotten.
	v.see(rankedResult(visitorID, "lamp", "rug", "kettle"), noon.Add(time.Minute))
	if still, _ := v.Latest(); still.Line() != "ranking  for user-00042: lamp, rug, kettle; bad reviews of kettle" {
		t.Errorf("got %q, want nothing to have moved for ten seconds", still.Line())
	}
}

func TestReviewsThatBlameAreBadAndOfTheItem(t *testing.T) {
	sample := NewSample(SampleConfig{Seed: 4})
	for range 50 {
		event := sample.Blame("item-0040")
		if text := string(event.Value); string(event.Key) != "item-0040" || !strings.Contains(text, `"item_id":"item-0040"`) || !strings.Contains(text, `"rating":1`) {
			t.Fatalf("got %s, want a bad review of item-0040", text)
		}
	}
}
