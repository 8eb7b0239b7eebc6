package stories

import (
	"encoding/json"
	"testing"
)

// TestReviewsAreScored is the first thing that anybody does, with the model that ships: produce to reviews.raw, read
// reviews.scored.
func TestReviewsAreScored(t *testing.T) {
	s := begin(t, "reviews")
	s.topics(6)
	s.replica("a", realModel)
	s.produce(200)
	s.expectScored()

	for id, outputs := range s.ledger.outputsByID() {
		if outputs[0].Topic != s.scored {
			continue
		}
		var result struct {
			Item      string `json:"item_id"`
			Sentiment struct {
				Label string
				Score float64
			}
		}
		if err := json.Unmarshal(outputs[0].Value, &result); err != nil || result.Sentiment.Label != "positive" || result.Sentiment.Score < 0.5 ||
			result.Item != string(outputs[0].Key) {
			t.Fatalf("the result of %s is %s (%v), want that it is positive, with the item's id", id, outputs[0].Value, err)
		}
	}
}
