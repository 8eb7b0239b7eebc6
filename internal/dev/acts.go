package dev

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Act is one event of events.raw: what a person did, beside writing reviews.
type Act struct {
	EventID   string  `json:"event_id"`
	UserID    string  `json:"user_id"`
	ItemID    string  `json:"item_id"`
	Kind      string  `json:"kind"`            // view, cart, purchase or rating
	Value     float64 `json:"value,omitempty"` // of a purchase the price, of a rating the stars
	CreatedAt string  `json:"created_at"`
}

// actsPerReview is how many acts the sample stream has for each review.
const actsPerReview = 2

// Acts is an endless stream of what people do with the items that the sample reviews. Not safe for concurrent use.
type Acts struct {
	seed  uint64
	rng   *rand.Rand
	now   func() time.Time
	clock time.Time
	n     int
}

// NewActs starts the stream from the seed of a sample.
func NewActs(cfg SampleConfig) *Acts {
	return &Acts{seed: cfg.Seed, rng: rand.New(rand.NewPCG(cfg.Seed, 0x61637473)), now: cfg.Now, clock: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)}
}

// Next makes the next act. Its bytes are the caller's; its key is the person.
func (a *Acts) Next() Event {
	a.n++
	if a.now != nil {
		a.clock = a.now()
	} else {
		a.clock = a.clock.Add(time.Duration(a.rng.ExpFloat64() * float64(25*time.Millisecond)))
	}
	act := Act{
		EventID:   fmt.Sprintf("e%x-%d", a.seed, a.n),
		UserID:    fmt.Sprintf("user-%05d", a.rng.IntN(20000)),
		ItemID:    itemID(a.rng.Float64()),
		Kind:      "view",
		CreatedAt: a.clock.UTC().Format(time.RFC3339Nano),
	}
	switch at := a.rng.IntN(20); {
	case at == 0:
		act.Kind, act.Value = "purchase", math.Round(a.rng.ExpFloat64()*4000)/100
	case at == 1:
		act.Kind, act.Value = "rating", float64(1+a.rng.IntN(5))
	case at < 5:
		act.Kind = "cart"
	}
	value, err := json.Marshal(act)
	if err != nil {
		panic(err) // texts and a finite number
	}
	return Event{Key: []byte(act.UserID), Value: value}
}

// itemID of a share from 0 to 1: a few items get most of all that happens.
func itemID(share float64) string { return fmt.Sprintf("item-%04d", item(share)) }

func item(share float64) int { return int(itemCount * (share * share)) }
