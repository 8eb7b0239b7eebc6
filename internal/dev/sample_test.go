package dev

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestSampleIsFixedByItsSeed(t *testing.T) {
	write := func(seed uint64) string {
		var b bytes.Buffer
		if err := WriteSample(&b, 200, seed); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if first, again := write(7), write(7); first != again {
		t.Error("one seed made two streams")
	}
	if write(7) == write(8) {
		t.Error("two seeds made one stream")
	}
}

func TestSampleIsVariedAndPlausible(t *testing.T) {
	const n = 8_000
	var b bytes.Buffer
	if err := WriteSample(&b, n, 1); err != nil {
		t.Fatal(err)
	}
	ids, texts, languages, ratings := map[string]bool{}, map[string]bool{}, map[string]int{}, map[int]int{}
	words, short, long, shouted := 0, maxWords, 0, 0
	lines := bufio.NewScanner(&b)
	for lines.Scan() {
		var r Review
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if strings.ContainsAny(r.Text+r.Title, "{}") {
			t.Fatalf("an unfilled slot: %s", lines.Text())
		}
		if _, err := time.Parse(time.RFC3339, r.CreatedAt); err != nil || r.ItemID == "" || r.UserID == "" {
			t.Fatalf("incomplete: %s", lines.Text())
		}
		ids[r.ReviewID], texts[r.Text] = true, true
		languages[r.Language]++
		ratings[r.Rating]++
		if r.Text == strings.ToUpper(r.Text) && r.Language == "en" {
			shouted++
		}
		if r.Language == "en" {
			count := len(strings.Fields(r.Text))
			words, short, long = words+count, min(short, count), max(long, count)
		}
	}
	if len(ids) != n {
		t.Errorf("%d ids for %d reviews", len(ids), n)
	}
	if len(texts) < n*93/100 { // short ones repeat, as they do in life
		t.Errorf("only %d different texts in %d reviews", len(texts), n)
	}
	if len(languages) != 1+len(tongues) || languages["en"] < n*9/10 {
		t.Errorf("languages: %v", languages)
	}
	for rating := 1; rating <= 5; rating++ {
		if ratings[rating] < n/20 {
			t.Errorf("rating %d: %d of %d reviews", rating, ratings[rating], n)
		}
	}
	// About 1.3 tokens a word: a mean of 60 tokens.
	if mean := float64(words) / float64(languages["en"]); mean < 42 || mean > 52 {
		t.Errorf("mean of %.1f words, want about 46", mean)
	}
	if short < minWords || long > maxWords+1 || short > 8 || long < 120 { // one more: the emoji
		t.Errorf("from %d to %d words, want about %d to %d", short, long, minWords, maxWords)
	}
	if shouted == 0 {
		t.Error("nobody shouts")
	}
}

func TestSampleHasHostileRecords(t *testing.T) {
	const n, every = 10_000, 50
	sample := NewSample(SampleConfig{Seed: 3, HostileEvery: every, Tombstones: true})
	hostile, tombstones, invalid := 0, 0, 0
	for range n {
		event := sample.Next()
		if event.Value == nil {
			tombstones++
		} else if !utf8.Valid(event.Value) {
			invalid++
		}
		if event.Hostile {
			hostile++
		} else if event.Value != nil {
			var r Review
			if err := json.Unmarshal(event.Value, &r); err != nil || r.Text == "" {
				t.Fatalf("%s is said to be fine: %v", event.Value, err)
			}
		}
	}
	if hostile < n/every/2 || hostile > n/every*2 || tombstones == 0 || invalid == 0 {
		t.Errorf("%d hostile records, %d tombstones, %d with invalid UTF-8 of %d, want about 1 in %d", hostile, tombstones, invalid, n, every)
	}
}

func TestSampleStreamSendsBacklogThenRate(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	stream := SampleStream{Brokers: []string{b.Addr()}, Topic: TopicRaw, Backlog: 500, Rate: 1000, Sample: SampleConfig{Seed: 1, HostileEvery: 50, Tombstones: true}}
	go func() {
		n, err := stream.Run(ctx)
		done <- result{n, err}
	}()
	reader := newClient(t, b.Addr(), kgo.ConsumeTopics(TopicRaw), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := 0
	for got < 700 {
		fetches := reader.PollFetches(testContext(t))
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		got += fetches.NumRecords()
	}
	cancel()
	r := <-done
	if r.err != nil || r.n < got {
		t.Errorf("stream ended with %v after %d acknowledged records, %d were read", r.err, r.n, got)
	}
}

func TestSampleStreamNamesTheTopicThatRefuses(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	_, err := SampleStream{Brokers: []string{b.Addr()}, Topic: "not.there", Backlog: 1}.Run(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "not.there") {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}
