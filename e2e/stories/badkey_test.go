package stories

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
)

// TestOneBadKeyOfTheStoreHurtsNobodyElse has somebody else write to two keys of a view, one as a text and one with a time that is none, while lookups
// wait for the store. Their events are scored with defaults, all others with what the store has, and the sink that writes beside them goes on.
func TestOneBadKeyOfTheStoreHurtsNobodyElse(t *testing.T) {
	s := begin(t, "badkey")
	server := s.redis()
	s.topics(6)
	ask := func(arguments ...string) {
		t.Helper()
		_, err := server.ask(t.Context(), arguments...)
		s.must("ask Redis", err)
	}
	for i := range keys {
		ask("HSET", fmt.Sprintf("nearline:facts:item-%d", i), "price", "7")
	}
	ask("DEL", "nearline:facts:item-3")
	ask("SET", "nearline:facts:item-3", "x")
	ask("HSET", "nearline:facts:item-5", "@at", "2026-11-29T15:00:00Z")
	ask("SET", "nearline:seen:item-9", "x") // of a view of the topic: the sink takes it back
	looking := func(o *settings) {
		o.steps = ", {lookup: {views: [facts], wait: true}}, {aggregate: {view: seen}}"
		o.output = "copy: [item_id]"
		o.features = fmt.Sprintf(`features: {partitions: 6, topics: story.badkey, dead_letters: story.badkey.dlq, store: {redis: {addresses: ['127.0.0.1:%d'], timeout: 1s}}, views: [
  {name: facts, key: item_id, source: store, fields: [{name: price, type: number, default: 1}]},
  {name: seen, key: item_id, fields: [{name: reviews, count: {}}]}]}
`, server.port)
	}
	a := s.replica("a", looking)
	s.produce(1000)
	s.await("what all events say of each item", func(ctx context.Context) error {
		for i := range keys {
			want := 0
			for n := i; n < 1000; n += keys {
				if n%badEvery != badEvery-1 {
					want++
				}
			}
			key := fmt.Sprintf("item-%d", i)
			got, err := server.hash(ctx, "nearline:seen:"+key)
			if err != nil {
				return err
			}
			if got["reviews"] != strconv.Itoa(want) {
				return fmt.Errorf("Redis has %v of %s, want %d reviews", got, key, want)
			}
		}
		return nil
	})
	if lines := a.logged("facts"); len(lines) == 0 {
		t.Errorf("the log names neither bad key; see %s", a.log)
	}
	s.expectScored()
	for id, outputs := range s.ledger.outputsByID() {
		if r := outputs[0]; r.Topic == s.scored {
			var result struct{ Facts struct{ Price float64 } }
			s.must("read a result", json.Unmarshal(r.Value, &result))
			want := 7.0
			if key := string(r.Key); key == "item-3" || key == "item-5" {
				want = 1
			}
			if result.Facts.Price != want {
				t.Errorf("the price of %s, of %s, is %v, want %v", r.Key, id, result.Facts.Price, want)
			}
		}
	}
}
