package stories

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ranked is a result of a request for a ranking.
type ranked struct {
	RequestID string `json:"request_id"`
	UserID    string `json:"user_id"`
	Features  string
	Ranking   []struct {
		ItemID string `json:"item_id"`
		Score  float64
	}
}

func (r *ranked) items() (ids []string) {
	for _, entry := range r.Ranking {
		ids = append(ids, entry.ItemID)
	}
	return ids
}

// TestRankingsFollowWhatPeopleSay has two replicas score reviews with the model that ships, aggregate them into a Redis, and rank with what is there, while bad
// reviews come of what stands first and a replica is killed: every request is answered once, in the order of its asker, the blamed item falls to the end, and who asks over HTTP
// is told the same.
func TestRankingsFollowWhatPeopleSay(t *testing.T) {
	s := begin(t, "ranking")
	server := s.redis()
	s.topics(6)
	const requests, results = "ranking.requests", "ranking.results"
	s.create(6, requests, results, requests+".dlq")
	shop := func(o *settings) {
		realModel(o)
		o.steps = ", {aggregate: {view: item}}, {aggregate: {view: user}}"
		o.features = fmt.Sprintf(`features: {partitions: 6, topics: ranking.features, dead_letters: ranking.features.dlq, store: {redis: {addresses: ['127.0.0.1:%d'], timeout: 1s}}, views: [
  {name: item, key: item_id, fields: [{name: sentiment, default: 0.68, mean: {of: sentiment, label: positive, half_life: 1h}}]},
  {name: user, key: user_id, fields: [{name: items, last: {of: item_id, n: 20}}]}]}
`, server.port)
		o.pipelines = fmt.Sprintf(`  - name: ranks
    input: {topic: %s, map: {id: request_id}}
    steps: [{rank: {model: recommender, history: {view: user, field: items}, items: item,
      inputs: {popularity: {of: absent}, sentiment: item.sentiment, helpfulness: {of: absent}}}}]
    output: {topic: %s, copy: [user_id]}
    dead_letters: %s.dlq
`, requests, results, requests)
	}
	a, b := s.replica("a", shop), s.replica("b", shop)

	candidates := []string{"1", "50", "296", "318", "593", "608"} // that the recommender knows
	reviews := 0
	review := func(n int, user, item, text string) {
		t.Helper()
		for range n {
			reviews++
			value, err := json.Marshal(map[string]string{"review_id": fmt.Sprint("r", reviews), "item_id": item, "user_id": user, "text": text})
			s.must("make a review", err)
			s.writer.Produce(t.Context(), &kgo.Record{Key: []byte(item), Value: value}, nil)
		}
		s.must("write reviews", s.writer.Flush(t.Context()))
	}
	asked := 0
	body := func(id, user string) []byte {
		value, err := json.Marshal(map[string]any{"request_id": id, "user_id": user, "candidates": candidates})
		s.must("make a request", err)
		return value
	}
	ask := func(n int) {
		t.Helper()
		for range n {
			asked++
			user := fmt.Sprint("user ", asked%7)
			s.writer.Produce(t.Context(), &kgo.Record{Topic: requests, Key: []byte(user), Value: body(fmt.Sprintf("q%06d", asked), user)}, nil)
		}
		s.must("write requests", s.writer.Flush(t.Context()))
	}
	reader := s.client(kgo.ConsumeTopics(results), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	seen, last := map[string]int{}, map[string]string{} // by request; the latest request of each asker
	next := func(ctx context.Context) []ranked {
		t.Helper()
		fetches := reader.PollFetches(ctx)
		var found []ranked
		for r := range fetches.RecordsAll() {
			var result ranked
			s.must("read a ranking", json.Unmarshal(r.Value, &result))
			if seen[result.RequestID]++; seen[result.RequestID] > 1 {
				t.Errorf("%s is answered %d times", result.RequestID, seen[result.RequestID])
			}
			if before := last[result.UserID]; result.RequestID < before {
				t.Errorf("%s of %s is answered after %s", result.RequestID, result.UserID, before)
			}
			last[result.UserID] = result.RequestID
			found = append(found, result)
		}
		return found
	}
	// until a ranking is so, while requests go on.
	until := func(what string, is func(*ranked) bool) (found ranked) {
		t.Helper()
		s.await(what, func(context.Context) error {
			ask(7)
			polling, cancel := s.withDeadline()
			defer cancel()
			for _, result := range next(polling) {
				if found = result; is(&result) {
					return nil
				}
			}
			return fmt.Errorf("the latest is %+v", found)
		})
		return found
	}

	for _, item := range candidates { // each is known, and of each some good is said
		review(2, "user 1", item, "Warm, light, and worth every cent. I love it.")
	}
	first := until("a ranking with fresh features", func(r *ranked) bool { return r.Features == "fresh" && len(r.Ranking) == len(candidates) })
	blamed := first.items()[0]
	for range 5 {
		review(20, "somebody", blamed, "Broke after one day. The worst that I ever bought, a complete waste of money.")
		ask(50)
	}
	b.kill()
	review(20, "somebody", blamed, "Broke after one day. The worst that I ever bought, a complete waste of money.")
	ask(100)
	b.start(shop)
	until(blamed+" to stand last", func(r *ranked) bool { return slices.Index(r.items(), blamed) == len(candidates)-1 })

	s.await("an answer to each request", func(ctx context.Context) error {
		if len(seen) < asked {
			next(ctx)
			return fmt.Errorf("%d of %d are answered", len(seen), asked)
		}
		return nil
	})
	s.awaitResults(reviews)

	// Now that nothing changes, HTTP and the stream agree.
	s.await("the same answer over HTTP and in the stream", func(ctx context.Context) error {
		asked++
		id := fmt.Sprintf("q%06d", asked)
		s.writer.Produce(ctx, &kgo.Record{Topic: requests, Key: []byte("user 1"), Value: body(id, "user 1")}, nil)
		posted := s.posted(a, "/v1/rank", string(body(id, "user 1")))
		for {
			for _, streamed := range next(ctx) {
				if streamed.RequestID == id && fmt.Sprint(streamed) == fmt.Sprint(posted) {
					return nil
				}
				if streamed.RequestID == id {
					return fmt.Errorf("the stream says %+v, HTTP says %+v", streamed, posted)
				}
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
	s.stopAll()
}

// posted is what a replica answers to a request for a ranking.
func (s *story) posted(r *replica, page, body string) (answer ranked) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	request, err := r.request(ctx, http.MethodPost, page, []byte(body))
	s.must("make a request", err)
	response, err := r.do(request)
	s.must("post a request", err)
	defer response.Body.Close()
	s.must("read an answer", json.NewDecoder(response.Body).Decode(&answer))
	return answer
}
