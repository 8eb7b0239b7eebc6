//go:build synctests

package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/export"
	"nearline/steps"
)

// school is a bench whose views have every kind of feature, what was looked up in them, and the rows that ask for the same afterwards.
type school struct {
	*bench
	rng    *rand.Rand
	events map[string]int // by view and key
	rows   strings.Builder
	online []lesson
}

// lesson is what was looked up just before an event, by view; nil is nothing.
type lesson struct {
	event string
	views map[string]map[string]any
}

func (s *school) config() *config.Config {
	c := s.bench.config("posts", "events")
	c.Features.Partitions = 3
	fields := func(of, other string) []features.FieldConfig {
		return []features.FieldConfig{
			{Name: "events", Count: &features.CountConfig{}},
			{Name: "lately", Count: &features.CountConfig{HalfLife: time.Minute}},
			{Name: "value", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
			{Name: "popularity", Sum: &features.SumConfig{
				Operand: features.Operand{Of: "kind", Values: map[string]float64{"view": 1, "purchase": 10}}, HalfLife: 20 * time.Second}},
			{Name: "sentiment", Default: new(features.FieldDefault(0.7)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "sentiment", Label: "negative"}}},
			{Name: "rating", Default: new(features.FieldDefault(3.0)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "value"}, HalfLife: 2 * time.Minute},
				Where: map[string][]string{"kind": {"review", "purchase"}}},
			{Name: "latest", Last: &features.LastConfig{Of: other, N: 3}},
			{Name: "best", Top: &features.TopConfig{Of: other, By: features.Operand{Of: "value"}, N: 3}},
			{Name: "different", Distinct: &features.DistinctConfig{Of: other}},
		}
	}
	c.Features.Views = []features.ViewConfig{
		{Name: "item", Key: "item_id", Time: "created_at", Fields: fields("item_id", "user_id")},
		{Name: "user", Key: "user_id", Time: "created_at", Fields: fields("user_id", "item_id")},
	}
	posts, events := &c.Pipelines[0], &c.Pipelines[1]
	for _, view := range c.Features.Views {
		posts.Steps = append(posts.Steps, steps.Config{Aggregate: &steps.Aggregate{View: view.Name}})
	}
	renamed := map[string]string{"item_id": "product.sku", "user_id": "who"}
	events.Steps = []steps.Config{{Aggregate: &steps.Aggregate{View: "item", Map: renamed}}, {Aggregate: &steps.Aggregate{View: "user", Map: renamed}}}
	events.Output.Topic = ""
	if err := c.Validate(); err != nil {
		s.Fatal(err)
	}
	return c
}

// learn n events, one after another, each when all before it are known, and looks up what is known of its keys in the moment that it is written.
// Said is the time that the event has.
func (s *school) learn(r *running, n int, said func(now time.Time) time.Time) {
	s.Helper()
	for i := range n {
		time.Sleep(2*time.Second + time.Duration(s.rng.IntN(20_000))*time.Millisecond)
		keys := map[string]string{"item": fmt.Sprint("item-", s.rng.IntN(4)), "user": fmt.Sprint("user-", s.rng.IntN(6))}
		l := lesson{event: fmt.Sprint("e", i), views: map[string]map[string]any{}}
		for view, key := range keys {
			id := view + " " + key
			r.until(time.Minute, id, func() bool {
				status, body := r.ask("/v1/features/" + view + "/" + key)
				if status == http.StatusNotFound {
					return s.events[id] == 0
				}
				return body["values"].(map[string]any)["events"] == float64(s.events[id])
			})
		}
		now := time.Now()
		for view, key := range keys {
			if status, body := r.ask("/v1/features/" + view + "/" + key); status == http.StatusOK {
				l.views[view] = body["values"].(map[string]any)
			}
			s.events[view+" "+key]++
		}
		s.online = append(s.online, l)
		at, asked := said(now).UTC().Format(time.RFC3339Nano), now.UTC().Format(time.RFC3339Nano)
		fmt.Fprintf(&s.rows, "{\"id\":%q, \"item_id\":%q,\"user_id\":%q,\"at\":%q,\"asked\":%q}\n", l.event, keys["item"], keys["user"], at, asked)
		value, kind := s.rng.IntN(50), []string{"view", "purchase", "review"}[s.rng.IntN(3)]
		record := &kgo.Record{Topic: "posts.raw", Key: []byte(l.event), Timestamp: now, Value: fmt.Appendf(nil,
			`{"review_id":%q,"text":"good","item_id":%q,"user_id":%q,"created_at":%q,"kind":%q,"value":%d}`, l.event, keys["item"], keys["user"], at, kind, value)}
		if s.rng.IntN(3) == 0 {
			record.Topic, record.Value = "events.raw", fmt.Appendf(nil,
				`{"event_id":%q,"product":{"sku":%q},"who":%q,"created_at":%q,"kind":%q,"value":%d}`, l.event, keys["item"], keys["user"], at, kind, value)
		}
		s.produce(record)
	}
}

// exported rows by the id of their event.
func (s *school) exported(c *config.Config, o export.Options, id string, view func(*export.View)) map[string]map[string]any {
	s.Helper()
	var out bytes.Buffer
	o.Connection, o.Out = s.world.Connection(s.world.Line()), &out
	for _, declared := range c.Features.Views {
		v := export.View{View: features.NewView(declared), Updates: c.Features.UpdatesTopic(declared.Name), As: declared.Name, Key: declared.Key}
		view(&v)
		o.Views = append(o.Views, v)
	}
	if _, err := export.Run(s.Context(), o); err != nil {
		s.Fatal(err)
	}
	rows := map[string]map[string]any{}
	for line := range strings.Lines(out.String()) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			s.Fatalf("%v in %s", err, line)
		}
		rows[row[id].(string)] = row
	}
	return rows
}

// agree says that rows have what was looked up. Numbers may differ in their last bits.
func (s *school) agree(what string, c *config.Config, rows map[string]map[string]any) {
	s.Helper()
	compared := 0
	for _, l := range s.online {
		row := rows[l.event]
		if row == nil {
			continue
		}
		for _, declared := range c.Features.Views {
			want, known := l.views[declared.Name]
			if !known {
				if row[declared.Name+"_at"] != nil {
					s.Errorf("%s: %s of event %s is of %v, want nothing to be known", what, declared.Name, l.event, row[declared.Name+"_at"])
				}
				want = map[string]any{"events": 0.0, "lately": 0.0, "value": 0.0, "popularity": 0.0, "sentiment": 0.7, "rating": 3.0,
					"latest": []any{}, "best": []any{}, "different": 0.0}
			}
			got := row[declared.Name].(map[string]any)
			for name, value := range want {
				if !same(got[name], value) {
					s.Errorf("%s: %s.%s of event %s is %v, and was %v online", what, declared.Name, name, l.event, got[name], value)
				}
			}
			if len(got) != len(want) {
				s.Errorf("%s: %s of event %s has %d values, and %d online", what, declared.Name, l.event, len(got), len(want))
			}
			compared++
		}
	}
	if compared < len(s.online) {
		s.Errorf("%s: only %d answers were compared, of %d events", what, compared, len(s.online))
	}
}

func same(a, b any) bool {
	x, ok := a.(float64)
	y, both := b.(float64)
	if ok && both {
		return math.Abs(x-y) <= 1e-9*max(1, math.Abs(x))
	}
	return reflect.DeepEqual(a, b)
}

func inSchool(t *testing.T, f func(s *school)) {
	with(t, func(b *bench) {
		b.pipelines("posts", "events")
		f(&school{bench: b, rng: rand.New(rand.NewPCG(5, 5)), events: map[string]int{}})
	})
}

func TestExportedRowsHaveWhatWasServedAtTheirTime(t *testing.T) {
	inSchool(t, func(s *school) {
		c := s.config()
		r := s.run(s.open(c))
		s.learn(r, 120, func(now time.Time) time.Time { return now })
		time.Sleep(time.Minute)
		rows := s.rows.String()
		for _, by := range []export.By{export.ByEvent, export.ByArrival} {
			s.agree(fmt.Sprint("lines, by ", by), c, s.exported(c, export.Options{By: by, In: strings.NewReader(rows)}, "id", func(v *export.View) { v.Time = "at" }))
			s.agree(fmt.Sprint("posts, by ", by), c, s.exported(c, export.Options{By: by, Topic: "posts.raw"}, "review_id", func(v *export.View) { v.Time = "created_at" }))
		}
		r.end()
	})
}

// Some events come in minutes late, and some are of the future by clocks that are ahead.
func TestExportByArrivalHasWhatWasServedWhateverCameLate(t *testing.T) {
	inSchool(t, func(s *school) {
		c := s.config()
		r := s.run(s.open(c))
		s.learn(r, 120, func(now time.Time) time.Time {
			return now.Add([]time.Duration{0, 0, -time.Duration(s.rng.IntN(300)) * time.Second, time.Hour}[s.rng.IntN(4)])
		})
		time.Sleep(time.Minute)
		rows := s.rows.String()
		s.agree("lines", c, s.exported(c, export.Options{By: export.ByArrival, In: strings.NewReader(rows)}, "id", func(v *export.View) { v.Time = "asked" }))
		s.agree("posts", c, s.exported(c, export.Options{By: export.ByArrival, Topic: "posts.raw"}, "review_id", func(*export.View) {}))
		r.end()
	})
}
