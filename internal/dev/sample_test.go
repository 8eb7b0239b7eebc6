package dev

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
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
	if len(languages) != 1+len(readLibrary().tongues) || languages["en"] < n*9/10 {
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

// letters of a text, in small: what typing does not change, but for typos.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || r == ' ' {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// sayings are all that a part can say, in letters.
func (p *part) sayings() []string {
	said := []string{""}
	for _, alternatives := range p.text {
		var longer []string
		for _, s := range said {
			for _, a := range alternatives {
				longer = append(longer, s+letters(a))
			}
		}
		said = longer
	}
	return said
}

func TestAReviewOfTheSampleHasTheOneStanceOfItsStars(t *testing.T) {
	said := map[*subject]map[string]stance{}
	for _, about := range readLibrary().subjects {
		said[about] = map[string]stance{}
		for at, o := range about.opinions {
			for _, parts := range [][]*part{o.openings, o.points, o.closings, o.sharedOpenings, o.sharedClosings} {
				for _, p := range parts {
					for _, s := range p.sayings() {
						if other, again := said[about][s]; again && other != stance(at) {
							t.Errorf("%s: %q is said of what is %s and of what is %s", about.name, s, stanceNames[other], stanceNames[at])
						}
						said[about][s] = stance(at)
					}
				}
			}
		}
	}
	sample := NewSample(SampleConfig{Seed: 6})
	found := 0
	for range 2000 {
		r := sample.review()
		if r.Language != "en" {
			continue
		}
		item := 0
		if _, err := fmt.Sscanf(r.ItemID, "item-%d", &item); err != nil {
			t.Fatal(err)
		}
		want := mixed
		switch {
		case r.Rating > 3:
			want = good
		case r.Rating < 3:
			want = bad
		}
		text := letters(r.Text)
		for s, stance := range said[sample.subjectOf(item)] {
			if len(s) > 20 && strings.Contains(text, s) {
				found++
				if stance != want {
					t.Errorf("%d stars, and %q is %s: %s", r.Rating, s, stanceNames[stance], r.Text)
				}
			}
		}
	}
	if found < 4000 {
		t.Errorf("only %d sentences of 2,000 reviews are known", found)
	}
}

func TestSampleDoesNotRepeatItselfWithinMinutes(t *testing.T) {
	const n = 6000 // five minutes at the default rate
	sample := NewSample(SampleConfig{Seed: 5})
	texts, begun, leads, worst := map[string]bool{}, map[string]int{}, map[*part]int{}, n
	for i := range n {
		r := sample.review()
		if texts[r.Text] {
			t.Errorf("again: %s", r.Text)
		}
		texts[r.Text] = true
		if r.Language == "en" {
			begun[beginningOf(r.Title, r.Text)]++
		}
		lead := sample.writer.led.order.latest(0)
		if last, again := leads[lead]; again {
			worst = min(worst, i-last)
		}
		leads[lead] = i
	}
	again := 0
	for _, times := range begun {
		again += times - 1
	}
	if again > n/200 {
		t.Errorf("%d of %d reviews begin like another one", again, n)
	}
	if worst < ledApart/2 {
		t.Errorf("one thought begins two reviews that are %d apart, want some %d", worst, ledApart)
	}
}

func TestPartsThatAreWrittenWronglyAreNamed(t *testing.T) {
	for content, want := range map[string]string{
		"[goods]\n":                             "line 1: no stance",
		"- a point of nothing":                  "line 1: what is",
		"[goods good]\n? what":                  `line 2: what is "? what"`,
		"[goods good]\n- {a|{b}} c":             "line 2: braces",
		"[goods good]\n- a } b":                 "line 2: braces",
		"[goods good]\n- outside|of braces":     "line 2: braces",
		"[goods good]\n\n# said\n- never {shut": "line 4: braces",
	} {
		if err := new(library).parse(map[string]*subject{}, content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
}

func TestEverySubjectHasSomethingToSayWithEachStance(t *testing.T) {
	l := readLibrary()
	if len(l.subjects) < 20 || len(l.tongues) < 4 {
		t.Errorf("%d subjects and %d languages", len(l.subjects), len(l.tongues))
	}
	for _, about := range l.subjects {
		for at, least := range [stances]int{good: 8, bad: 8, mixed: 4} {
			o := about.opinions[at]
			if len(o.points) < least || len(o.titles) == 0 || len(o.openings)+len(o.sharedOpenings) < 2 || len(o.closings)+len(o.sharedClosings) < 2 {
				t.Errorf("%s, %s: too few parts", about.name, stanceNames[at])
			}
		}
	}
	for _, tongue := range l.tongues {
		for domain, about := range tongue.domains {
			for _, at := range []stance{good, bad} {
				if o := about.opinions[at]; len(o.points) < 3 || len(o.openings) == 0 || len(o.closings) == 0 {
					t.Errorf("%s/%s, %s: too few parts", tongue.code, domain, stanceNames[at])
				}
			}
		}
	}
}

func TestNoTrainingReadsTheSample(t *testing.T) {
	read := 0
	look := func(path string, entry fs.DirEntry, err error) error {
		switch filepath.Ext(path) {
		case ".py", ".sh", ".md", ".txt", ".tsv":
		default:
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for _, sign := range []string{"internal/dev", "--sample", "reviews/goods", "reviews/films", "reviews/places"} {
			if strings.Contains(string(content), sign) {
				t.Errorf("%s reads the sample: %s", path, sign)
			}
		}
		return nil
	}
	err := errors.Join(filepath.WalkDir("../../models", look), filepath.WalkDir("../../training", look))
	if err != nil || read < 20 {
		t.Errorf("%d files of training were read: %v", read, err)
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
	stream := SampleStream{Connection: b.Connection(), Topic: TopicRaw, Backlog: 500, Rate: 1000, Sample: SampleConfig{Seed: 1, HostileEvery: 50, Tombstones: true}}
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
	_, err := SampleStream{Connection: b.Connection(), Topic: "not.there", Backlog: 1}.Run(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "not.there") {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}
