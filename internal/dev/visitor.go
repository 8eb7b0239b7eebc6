package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// Visitor is a person who asks again and again in which order a shop would show them some items, and whom the view follows. Reviews of what they see first
// turn bad now and then: see Disappointed.
type Visitor struct {
	Connection        kafka.Connection
	Requests, Results string // topics

	mu     sync.Mutex // guards all below
	latest Ranking
	past   []Ranking // of the last ten seconds, the oldest first
}

// Ranking is a result of what was asked.
type Ranking struct {
	At     time.Time
	UserID string
	Items  []RankedItem
	// Before are the items as they stood some ten seconds earlier; empty where nobody looked then.
	Before []string
	// Blamed is the item that a burst of bad reviews is of just now, "" for none.
	Blamed string
}

// RankedItem is one of a ranking.
type RankedItem struct {
	ItemID string  `json:"item_id"`
	Score  float64 `json:"score"`
}

const (
	visitorID   = "user-00042"
	askEvery    = time.Second
	rankedItems = 6
)

// candidates are neither so well known that a burst of reviews would not move them, nor unknown.
func candidates() (ids []string) {
	for i := range rankedItems {
		ids = append(ids, fmt.Sprintf("item-%04d", 40+10*i))
	}
	return ids
}

// Run asks until ctx ends, which is no error.
func (v *Visitor) Run(ctx context.Context) error {
	client, err := v.Connection.Client(kgo.ConsumeTopics(v.Results), kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordDeliveryTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("visitor: %w", err)
	}
	defer client.Close()
	go func() {
		ticker := time.NewTicker(askEvery)
		defer ticker.Stop()
		for n := 0; ; n++ {
			request, _ := json.Marshal(map[string]any{"request_id": fmt.Sprintf("q-%d", n), "user_id": visitorID, "candidates": candidates()}) // texts
			client.Produce(ctx, &kgo.Record{Topic: v.Requests, Key: []byte(visitorID), Value: request}, nil)                                   // one that is lost is asked again
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) { v.see(r.Value, time.Now()) })
	}
}

// Tell prints the latest ranking, a line every few seconds, until ctx ends, which is no error.
func (v *Visitor) Tell(ctx context.Context, out io.Writer) error {
	ticker := time.NewTicker(trend / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if latest, ok := v.Latest(); ok {
			if _, err := fmt.Fprintln(out, latest.Line()); err != nil {
				return err
			}
		}
	}
}

// see a result.
func (v *Visitor) see(value []byte, now time.Time) {
	var result struct {
		UserID  string       `json:"user_id"`
		Ranking []RankedItem `json:"ranking"`
	}
	if json.Unmarshal(value, &result) != nil || result.UserID != visitorID || len(result.Ranking) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.past = slices.DeleteFunc(v.past, func(old Ranking) bool { return now.Sub(old.At) > trend })
	v.latest.At, v.latest.UserID, v.latest.Items, v.latest.Before = now, result.UserID, result.Ranking, nil
	if len(v.past) > 0 {
		v.latest.Before = v.past[0].ids()
	}
	v.past = append(v.past, v.latest)
}

// Latest ranking; false is none yet.
func (v *Visitor) Latest() (Ranking, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.latest, len(v.latest.Items) > 0
}

// Disappointed is the item that stands first, for a burst of bad reviews, and notes that it is blamed until the next call. "" where nothing is ranked yet.
func (v *Visitor) Disappointed() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.latest.Blamed = ""
	if len(v.latest.Items) > 0 {
		v.latest.Blamed = v.latest.Items[0].ItemID
	}
	return v.latest.Blamed
}

func (r Ranking) ids() []string {
	ids := make([]string, len(r.Items))
	for i, item := range r.Items {
		ids[i] = item.ItemID
	}
	return ids
}

// arrow of the item at a place: where it was before, if anywhere.
func (r Ranking) arrow(place int) string {
	switch before := slices.Index(r.Before, r.Items[place].ItemID); {
	case before < 0 || before == place:
		return ""
	case before > place:
		return "▲"
	default:
		return "▼"
	}
}

// Line is the ranking in words.
func (r Ranking) Line() string {
	items := make([]string, len(r.Items))
	for i, item := range r.Items {
		items[i] = clean(item.ItemID) + r.arrow(i)
	}
	blamed := ""
	if r.Blamed != "" {
		blamed = "; bad reviews of " + clean(r.Blamed)
	}
	return fit(fmt.Sprintf("ranking  for %s: %s%s", clean(r.UserID), strings.Join(items, ", "), blamed), lineWidth, "…")
}

// ranking of the board as one line.
func (d *drawing) ranking(b *Board) string {
	if len(b.ranking.Items) == 0 {
		return ""
	}
	var line strings.Builder
	line.WriteString("for " + clean(b.ranking.UserID))
	for i, item := range b.ranking.Items {
		style, arrow := d.style.dim, b.ranking.arrow(i)
		switch arrow {
		case "▲":
			style = d.style.good
		case "▼":
			style = d.style.bad
		}
		fmt.Fprintf(&line, "   %s", style.Render(clean(item.ItemID)+arrow))
	}
	if b.ranking.Blamed != "" {
		line.WriteString(d.style.dim.Render("   bad reviews of ") + d.style.bad.Render(clean(b.ranking.Blamed)))
	}
	return line.String()
}
