//go:build synctests

package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/harness/kafkatest"
	"nearline/serving"
	"nearline/steps"
)

// shop is a bench with a view that reviews and events are aggregated into, and what is expected of it.
type shop struct {
	*bench
	clock int
	want  map[string]*expected
}

func inShop(t *testing.T, f func(s *shop)) {
	with(t, func(b *bench) {
		b.pipelines("posts", "events")
		f(&shop{bench: b, want: map[string]*expected{}})
	})
}

func (b *shop) config() *config.Config {
	c := b.bench.config("posts", "events")
	c.Features.Partitions = 3
	c.Features.Views = []features.ViewConfig{{Name: "item", Key: "item_id", Time: "created_at", Fields: []features.FieldConfig{
		{Name: "reviews", Count: &features.CountConfig{}, Where: map[string][]string{"kind": {"review"}}},
		{Name: "sentiment", Default: new(features.FieldDefault(0.9)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "sentiment", Label: "negative"}}},
		{Name: "value", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
		{Name: "latest", Last: &features.LastConfig{Of: "user_id", N: 3}},
	}}}
	c.Pipelines[0].Steps = append(c.Pipelines[0].Steps, steps.Config{Aggregate: &steps.Aggregate{View: "item"}})
	events := &c.Pipelines[1]
	events.Steps = []steps.Config{{Aggregate: &steps.Aggregate{View: "item", Map: map[string]string{"user_id": "who"}}}}
	events.Output.Topic = ""
	if err := c.Validate(); err != nil {
		b.Fatal(err)
	}
	return c
}

// ask the online API.
func (r *running) ask(path string) (status int, body map[string]any) {
	r.b.Helper()
	recorder := httptest.NewRecorder()
	serving.FeaturesHandler(r.Service.Features()).ServeHTTP(recorder, httptest.NewRequestWithContext(r.b.Context(), http.MethodGet, path, nil))
	if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil {
		r.b.Fatalf("%s is not JSON: %v", recorder.Body, err)
	}
	return recorder.Code, body
}

// expected is what a naive computation makes of what was sent.
type expected struct {
	reviews, events int
	value           float64
	last            []string // in order of time
}

func (e *expected) values() string {
	latest := slices.Clone(e.last)
	slices.Reverse(latest)
	sentiment := 0.9
	if e.reviews > 0 {
		sentiment = 0.5 // the constant model is sure of neither
	}
	text, _ := json.Marshal(map[string]any{
		"reviews": e.reviews, "sentiment": sentiment, "value": e.value, "latest": append([]string{}, latest[:min(3, len(latest))]...),
	})
	return string(text)
}

// load sends n records to both topics together.
func (b *shop) load(n int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(uint64(b.clock), 1))
	for i := range n {
		item, at := fmt.Sprint("item-", rng.IntN(7)), time.Now().Add(-time.Hour).Add(time.Duration(b.clock)*time.Second).UTC().Format(time.RFC3339)
		b.clock++
		if b.want[item] == nil {
			b.want[item] = &expected{}
		}
		e, user := b.want[item], fmt.Sprint("user-", rng.IntN(1000))
		e.last = append(e.last, user)
		if rng.IntN(2) == 0 {
			b.event("posts.raw", fmt.Sprint("r", i), fmt.Sprintf(
				`{"review_id":"r%d","text":"good","item_id":%q,"user_id":%q,"created_at":%q,"kind":"review"}`, i, item, user, at))
			e.reviews++
		} else {
			value := rng.IntN(10)
			b.event("events.raw", fmt.Sprint("e", i), fmt.Sprintf(
				`{"event_id":"e%d","item_id":%q,"who":%q,"created_at":%q,"kind":"purchase","value":%d}`, i, item, user, at, value))
			e.events++
			e.value += float64(value)
		}
	}
}

func (b *shop) event(topic, key, value string) {
	b.Helper()
	b.produce(&kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)})
}

// learned waits until a replica answers with what is wanted, and fails with what it answers otherwise.
func (r *running) learned(limit time.Duration, want map[string]*expected) {
	r.b.Helper()
	var wrong string
	deadline := time.Now().Add(limit)
	for ; ; time.Sleep(100 * time.Millisecond) {
		wrong = ""
		for _, item := range slices.Sorted(maps.Keys(want)) {
			_, body := r.ask("/v1/features/item/" + item)
			got, _ := json.Marshal(body["values"])
			if string(got) != want[item].values() {
				wrong += fmt.Sprintf("%s: got %s, want %s\n", item, got, want[item].values())
			}
		}
		if wrong == "" || time.Now().After(deadline) {
			break
		}
	}
	if wrong != "" {
		r.b.Fatalf("not within %v:\n%s", limit, wrong)
	}
}

func TestEventsOfTwoTopicsBecomeFeatures(t *testing.T) {
	inShop(t, func(b *shop) {
		r := b.run(b.open(b.config()))
		b.load(200)
		b.event("posts.raw", "r", `{"review_id":"r","text":"of no item"}`)
		b.event("posts.raw", "r", `{"review_id":"r","text":"bad","item_id":"item-1","created_at":"yesterday"}`)
		r.learned(time.Minute, b.want)
		if status, body := r.ask("/v1/features/item/unheard-of"); status != http.StatusNotFound || !strings.Contains(fmt.Sprint(body["error"]), "unheard-of") {
			t.Errorf("an unknown key is answered with %d %v, want 404 and its name", status, body)
		}
		if status, body := r.ask("/v1/features/user/x"); status != http.StatusNotFound || !strings.Contains(fmt.Sprint(body["error"]), "there is item") {
			t.Errorf("an unknown view is answered with %d %v, want 404 and the views that there are", status, body)
		}
		r.committed(time.Minute, 202)
		b.count("posts.dlq", 1)
		// The review of no item is a result all the same, and events have none.
		reviews := 1
		for _, e := range b.want {
			reviews += e.reviews
		}
		b.count("posts.scored", reviews)
		b.count("events.scored", 0)
		r.end()
	})
}

func TestFeaturesGoOnAfterARestart(t *testing.T) {
	inShop(t, func(b *shop) {
		for range 3 {
			r := b.run(b.open(b.config()))
			b.load(60)
			r.learned(time.Minute, b.want)
			r.end()
		}
	})
}

// What a key had is gone from its topic and the store after the ttl, also for a replica that begins later, and an event begins it anew.
func TestAKeyIsForgottenAfterItsTTL(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Features.Partitions, c.Features.Views[0].TTL = 1, time.Hour
		said := func(item string, ago time.Duration, value int) {
			b.event("events.raw", item, fmt.Sprintf(`{"event_id":"e","item_id":%q,"who":"u","created_at":%q,"value":%d}`,
				item, time.Now().Add(-ago).UTC().Format(time.RFC3339), value))
		}
		keys := func(r *running, want int) {
			t.Helper()
			var views []serving.View
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if views = r.Service.Features().Views(); len(views) == 1 && views[0].Keys != nil && *views[0].Keys == want {
					return
				}
			}
			text, _ := json.Marshal(views)
			t.Fatalf("got %s, want %d keys", text, want)
		}
		r := b.run(b.open(c))
		said("item-1", 100*time.Minute, 5)
		keys(r, 1) // else the two may come in either order, since their events are in different partitions
		said("item-2", 90*time.Minute, 3)
		keys(r, 2)
		said("item-3", 35*time.Minute, 8)
		r.learned(time.Minute, map[string]*expected{"item-3": {events: 1, value: 8, last: []string{"u"}}})
		keys(r, 2) // the first is gone
		r.end()
		r = b.run(b.open(c))
		keys(r, 2)
		said("item-1", 0, 7)
		r.learned(time.Minute, map[string]*expected{"item-1": {events: 1, value: 7, last: []string{"u"}}, "item-3": {events: 1, value: 8, last: []string{"u"}}})
		keys(r, 2) // the second is gone
		r.end()
		var last []string
		for _, state := range b.read("nearline.features.item.state") {
			last = append(last, fmt.Sprint(string(state.Key), state.Value == nil))
		}
		for _, want := range []string{"item-1true", "item-2true"} {
			if !slices.Contains(last, want) {
				t.Errorf("the topic of states has %v, and no tombstone among them as %s", last, want)
			}
		}
	})
}

// A ttl may forget more keys at once than a cycle has records: their tombstones are published all the same, and the view goes on.
func TestAViewGoesOnWhenManyKeysExpireAtOnce(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Features.Partitions, c.Features.Views[0].TTL = 1, time.Hour
		const old = 10_500
		records := make([]*kgo.Record, old, old+1)
		say := func(item string, ago time.Duration) *kgo.Record {
			return &kgo.Record{Topic: "events.raw", Key: []byte(item), Value: fmt.Appendf(nil, `{"event_id":"e","item_id":%q,"who":"u","created_at":%q,"value":5}`,
				item, time.Now().Add(-ago).UTC().Format(time.RFC3339))}
		}
		for i := range records {
			records[i] = say(fmt.Sprint("old-", i), 2*time.Hour)
		}
		b.produce(append(records, say("stays", 90*time.Minute))...)
		r := b.run(b.open(c))
		r.keys(old+1, 5*time.Minute)
		b.produce(say("new", 0))
		r.learned(time.Minute, map[string]*expected{"new": {events: 1, value: 5, last: []string{"u"}}})
		b.produce(say("new", 0))
		r.learned(time.Minute, map[string]*expected{"new": {events: 2, value: 10, last: []string{"u", "u"}}})
		r.keys(1, time.Minute)
		r.end()
	})
}

// A view takes as many keys as it is declared to, and what it refuses is not lost: it can be put back once there is room.
func TestAFullViewsRefusedUpdatesAreDeadLettersThatCanBePutBack(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Features.Partitions, c.Features.Views[0].MaxKeys = 1, 3
		say := func(items ...string) {
			for _, item := range items {
				b.event("events.raw", "one partition", fmt.Sprintf(`{"event_id":"e","item_id":%q,"who":"u","created_at":%q,"value":5}`, item, time.Now().UTC().Format(time.RFC3339)))
			}
		}
		twice := &expected{events: 2, value: 10, last: []string{"u", "u"}}
		r := b.run(b.open(c))
		say("a", "b", "c", "d", "e", "a", "b", "c")
		r.learned(time.Minute, map[string]*expected{"a": twice, "b": twice, "c": twice})
		r.keys(3, time.Minute)
		b.count("nearline.features.dlq", 2)
		refused := b.read("nearline.features.dlq")
		for i, key := range []string{"d", "e"} {
			class := ""
			for _, h := range refused[i].Headers {
				if h.Key == "nearline-dlq-class" {
					class = string(h.Value)
				}
			}
			if string(refused[i].Key) != key || class != "full" {
				t.Errorf("a dead letter has the key %s and the class %s, want %s and full", refused[i].Key, class, key)
			}
		}
		if got, _ := r.sum("nearline_features_refused_updates_total", "", ""); got != 2 {
			t.Errorf("%v updates are counted as refused, want 2", got)
		}
		if got, _ := r.sum("nearline_features_fullness_ratio", "", ""); got != 1 {
			t.Errorf("the view is full to %v, want 1", got)
		}
		r.end()
		c.Features.Views[0].MaxKeys = 4
		r = b.run(b.open(c))
		for _, record := range refused {
			b.produce(&kgo.Record{Topic: "nearline.features.item.updates", Key: record.Key, Value: record.Value})
		}
		r.learned(time.Minute, map[string]*expected{"a": twice, "d": {events: 1, value: 5, last: []string{"u"}}})
		b.count("nearline.features.dlq", 3)
		r.end()
	})
}

// keys waits until the view has so many.
func (r *running) keys(want int, limit time.Duration) {
	r.b.Helper()
	got := -1
	for end := time.Now().Add(limit); got != want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.b.Fatalf("the view has %d keys after %v, want %d", got, limit, want)
		}
		if views := r.Service.Features().Views(); len(views) == 1 && views[0].Keys != nil {
			got = *views[0].Keys
		}
	}
}

// Replicas are cut off in the middle of their work, again and again, while others take over; what is learned must be what all events
// together mean, each once.
func TestFeaturesCountEachEventOnceWhileReplicasDie(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inShop(t, func(b *shop) {
				rng := rand.New(rand.NewPCG(seed, 7))
				replica := func(i int) *running {
					b.line = b.world.Line()
					c := b.config()
					c.Kafka.Replica, c.Kafka.SessionTimeout = fmt.Sprint("replica-", i), 6*time.Second
					if rng.IntN(2) == 0 {
						c.Kafka.Replica = fmt.Sprint("replica-", i%2) // which fences what the last one left open
					}
					return b.run(b.open(c))
				}
				lines := map[*running]*kafkatest.Line{}
				var alive []*running
				start := func(i int) {
					r := replica(i)
					lines[r] = b.line
					alive = append(alive, r)
				}
				start(0)
				start(1)
				for i := range 6 {
					for range 4 {
						b.load(15)
						time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
					}
					victim := rng.IntN(len(alive))
					dead := alive[victim]
					alive = slices.Delete(alive, victim, victim+1)
					lines[dead].Cut()
					dead.stop()
					start(2 + i)
					time.Sleep(time.Duration(rng.IntN(9000)) * time.Millisecond)
				}
				for _, r := range alive {
					r.learned(3*time.Minute, b.want)
				}
			})
		})
	}
}

func TestResultsHaveWhatIsKnownOfTheirKey(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		posts := &c.Pipelines[0]
		posts.Steps = append([]steps.Config{{Lookup: &steps.Lookup{Views: []steps.LookupView{{View: "item", As: "product", Fields: []string{"value", "latest"}}}}}}, posts.Steps...)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		r := b.run(b.open(c))
		b.load(100)
		r.learned(time.Minute, b.want)
		before := b.want["item-3"].values()
		b.event("posts.raw", "r", `{"review_id":"asked","text":"good","item_id":"item-3","user_id":"me"}`)
		b.event("posts.raw", "r", `{"review_id":"new","text":"good","item_id":"of today"}`)
		b.event("posts.raw", "r", `{"review_id":"none","text":"good"}`)
		results := map[string]map[string]any{}
		r.until(time.Minute, "three results", func() bool {
			for _, record := range b.read("posts.scored") {
				var result map[string]any
				if err := json.Unmarshal(record.Value, &result); err != nil {
					t.Fatal(err)
				}
				results[fmt.Sprint(result["review_id"])] = result
			}
			return results["asked"] != nil && results["new"] != nil && results["none"] != nil
		})
		var known map[string]any
		if err := json.Unmarshal([]byte(before), &known); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(results["asked"]["product"])
		want, _ := json.Marshal(map[string]any{"value": known["value"], "latest": known["latest"]})
		if string(got) != string(want) || results["asked"]["features"] != "fresh" {
			t.Errorf("got %s, %v, want %s, fresh", got, results["asked"]["features"], want)
		}
		for _, id := range []string{"new", "none"} {
			if got, _ := json.Marshal(results[id]["product"]); string(got) != `{"latest":[],"value":0}` || results[id]["features"] != "default" {
				t.Errorf("%s: got %s, %v, want defaults that are told to be such", id, got, results[id]["features"])
			}
		}
		r.end()
	})
}

// Replicas come and go while nothing happens, so that partitions change hands between the updates of a key.
func TestFeaturesAreRightAfterReplicasCameAndWentAtRest(t *testing.T) {
	inShop(t, func(b *shop) {
		replica := func(i int) *running {
			b.line = b.world.Line()
			c := b.config()
			c.Kafka.Replica = fmt.Sprint("replica-", i)
			return b.run(b.open(c))
		}
		first := replica(0)
		b.load(60)
		first.learned(time.Minute, b.want)
		time.Sleep(time.Minute)
		second := replica(1)
		time.Sleep(time.Minute)
		third := replica(2)
		time.Sleep(time.Minute)
		b.load(60)
		third.learned(time.Minute, b.want)
		time.Sleep(time.Minute)
		third.end()
		time.Sleep(time.Minute)
		second.end()
		time.Sleep(time.Minute)
		b.load(60)
		first.learned(time.Minute, b.want)
		first.end()
	})
}
