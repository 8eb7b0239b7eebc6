package features

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"nearline/pipeline"
)

// shop is a view with one field of every kind.
func shop() ViewConfig {
	return ViewConfig{Name: "item", Key: "item_id", Time: "created_at", Fields: []FieldConfig{
		{Name: "reviews", Count: &CountConfig{}},
		{Name: "lately", Count: &CountConfig{HalfLife: time.Hour}},
		{Name: "spent", Sum: &SumConfig{Operand: Operand{Of: "value"}}},
		{Name: "popularity", Sum: &SumConfig{Operand: Operand{Of: "kind", Values: map[string]float64{"view": 1, "purchase": 10}}, HalfLife: time.Hour}},
		{Name: "sentiment", Default: new(FieldDefault(0.5)), Mean: &MeanConfig{Operand: Operand{Of: "sentiment", Label: "positive"}, HalfLife: 2 * time.Hour}},
		{Name: "rating", Default: new(FieldDefault(3)), Mean: &MeanConfig{Operand: Operand{Of: "value"}}, Where: map[string][]string{"kind": {"rating", "purchase"}}},
		{Name: "latest", Last: &LastConfig{Of: "user_id", N: 5}},
		{Name: "best", Top: &TopConfig{Of: "review_id", By: Operand{Of: "helpfulness"}, N: 4}},
		{Name: "people", Distinct: &DistinctConfig{Of: "user_id"}},
		{Name: "valued", Count: &CountConfig{Of: "value"}},
	}}
}

// event as the naive computation has it.
type event struct {
	at                     int64
	kind, user, review     string
	value, good, helpful   float64
	valued, judged, helped bool
}

func (v *View) updateOf(e event) *Update {
	u := &Update{At: e.at, Operands: make([]pipeline.Value, len(v.operands))}
	for i, o := range v.operands {
		switch o.name() {
		case "kind":
			u.Operands[i] = pipeline.StringValue(e.kind)
		case "user_id":
			u.Operands[i] = pipeline.StringValue(e.user)
		case "review_id":
			u.Operands[i] = pipeline.StringValue(e.review)
		case "value":
			if e.valued {
				u.Operands[i] = pipeline.Value{Kind: pipeline.Number, Str: strconv.FormatFloat(e.value, 'g', -1, 64)}
			}
		case "sentiment=positive":
			if e.judged {
				u.Operands[i] = pipeline.FloatValue(e.good)
			}
		case "helpfulness":
			if e.helped {
				u.Operands[i] = pipeline.FloatValue(e.helpful)
			}
		default:
			panic(o.name())
		}
	}
	return u
}

func randomEvents(rng *rand.Rand, n int) []event {
	events := make([]event, n)
	now := int64(1_800_000_000_000)
	for i := range events {
		now += rng.Int64N(60_000)
		events[i] = event{
			at: now - rng.Int64N(3)*rng.Int64N(7_200_000), kind: []string{"view", "purchase", "rating", "other"}[rng.IntN(4)],
			user: fmt.Sprint("user-", rng.IntN(300)), review: fmt.Sprint("review-", i),
			value: float64(rng.IntN(5)), valued: rng.IntN(4) > 0, good: rng.Float64(), judged: rng.IntN(3) > 0,
			helpful: float64(rng.IntN(50)) / 50, helped: rng.IntN(3) > 0,
		}
	}
	return events
}

// naive computes the features of all events at once, as of a time.
func naive(events []event, at int64) map[string]float64 {
	out := map[string]float64{"sentiment": 0.5, "rating": 3}
	sum := func(weight func(event) float64, of func(event) (float64, bool)) (sum, weights float64) {
		for _, e := range events {
			if x, ok := of(e); ok {
				sum += weight(e) * x
				weights += weight(e)
			}
		}
		return sum, weights
	}
	aged := func(h time.Duration) func(event) float64 {
		return func(e event) float64 { return math.Exp2(-float64(at-e.at) / float64(h.Milliseconds())) }
	}
	even := func(event) float64 { return 1 }
	out["reviews"] = float64(len(events))
	_, out["valued"] = sum(even, func(e event) (float64, bool) { return e.value, e.valued })
	out["lately"], _ = sum(aged(time.Hour), func(event) (float64, bool) { return 1, true })
	out["spent"], _ = sum(even, func(e event) (float64, bool) { return e.value, e.valued })
	out["popularity"], _ = sum(aged(time.Hour), func(e event) (float64, bool) {
		x, ok := map[string]float64{"view": 1, "purchase": 10}[e.kind]
		return x, ok
	})
	if s, w := sum(aged(2*time.Hour), func(e event) (float64, bool) { return e.good, e.judged }); w > 0 {
		out["sentiment"] = s / w
	}
	if s, w := sum(even, func(e event) (float64, bool) {
		return e.value, e.valued && (e.kind == "rating" || e.kind == "purchase")
	}); w > 0 {
		out["rating"] = s / w
	}
	return out
}

func listOf(v pipeline.Value) (texts []string) {
	for _, e := range v.List {
		if of, ok := e.Lookup("of"); ok {
			e = of
		}
		texts = append(texts, e.Str)
	}
	return texts
}

func TestStatesAreWhatAllEventsTogetherGive(t *testing.T) {
	view := NewView(shop())
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := randomEvents(rng, 1+rng.IntN(400))
		state := view.newState()
		var latest int64
		for i, e := range events {
			view.add(state, view.updateOf(e))
			latest = max(latest, e.at)
			if rng.IntN(20) == 0 || i == len(events)-1 { // as when it goes through its topic
				written, err := view.encodeState(state)
				if err != nil {
					t.Fatal(err)
				}
				read, anew, err := view.DecodeState(written)
				if err != nil || anew != 0 {
					t.Fatalf("read back: %v, %d begin anew", err, anew)
				}
				state = read
			}
		}
		if state.At != latest {
			t.Fatalf("seed %d: state is of %d, want %d", seed, state.At, latest)
		}
		at := latest + rng.Int64N(3_600_000)
		want := naive(events, at)
		got := view.Values(state, at)
		later := (&Entry{At: latest, Values: view.Values(state, latest)}).Now(view, time.UnixMilli(at))
		for i, f := range got {
			switch f.Name {
			case "latest":
				sorted := slices.Clone(events)
				slices.Reverse(sorted) // of the same time, the one that came last goes first
				slices.SortStableFunc(sorted, func(a, b event) int { return cmp.Compare(b.at, a.at) })
				var users []string
				for _, e := range sorted[:min(5, len(sorted))] {
					users = append(users, e.user)
				}
				if !slices.Equal(listOf(f.Value), users) {
					t.Fatalf("seed %d: latest are %v, want %v", seed, listOf(f.Value), users)
				}
			case "best":
				sorted := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return !e.helped })
				slices.SortFunc(sorted, func(a, b event) int {
					return cmp.Or(cmp.Compare(b.helpful, a.helpful), cmp.Compare(b.at, a.at), cmp.Compare(a.review, b.review))
				})
				var reviews []string
				for _, e := range sorted[:min(4, len(sorted))] {
					reviews = append(reviews, e.review)
				}
				if !slices.Equal(listOf(f.Value), reviews) {
					t.Fatalf("seed %d: best are %v, want %v", seed, listOf(f.Value), reviews)
				}
			case "people":
				users := map[string]bool{}
				for _, e := range events {
					users[e.user] = true
				}
				if n, _ := f.Value.Number(); math.Abs(n-float64(len(users))) > 1+0.07*float64(len(users)) {
					t.Fatalf("seed %d: %v people, want about %d", seed, n, len(users))
				}
			default:
				for _, values := range [][]pipeline.Field{got, later} {
					if n, ok := values[i].Value.Number(); !ok || math.Abs(n-want[f.Name]) > 1e-9*max(1, math.Abs(want[f.Name])) {
						t.Fatalf("seed %d, %d events: %s is %v, want %v", seed, len(events), f.Name, n, want[f.Name])
					}
				}
			}
		}
	}
}

func TestTopTakesTheLastNumberOfAText(t *testing.T) {
	var c cell
	for i, e := range []entry{{"a", 0.9, 1}, {"b", 0.5, 2}, {"a", 0.1, 3}, {"b", 0.7, 1}} {
		c.insertTop(e, 3)
		if i == 2 && c.list[0].Text != "b" {
			t.Errorf("after its number fell a is still first: %v", c.list)
		}
	}
	want := []entry{{"b", 0.5, 2}, {"a", 0.1, 3}} // the last b is of an earlier time
	if !slices.Equal(c.list, want) {
		t.Errorf("got %v, want %v", c.list, want)
	}
}

func TestAFieldThatIsDeclaredOtherwiseBeginsAnew(t *testing.T) {
	before := NewView(shop())
	state := before.newState()
	for _, e := range randomEvents(rand.New(rand.NewPCG(1, 1)), 20) {
		before.add(state, before.updateOf(e))
	}
	written, err := before.encodeState(state)
	if err != nil {
		t.Fatal(err)
	}
	changed := shop()
	changed.Fields[1].Count.HalfLife = 2 * time.Hour
	changed.Fields[6].Last.N = 2
	after := NewView(changed)
	read, anew, err := after.DecodeState(written)
	if err != nil || anew != 1 {
		t.Fatalf("got %v and %d fields anew, want none and 1", err, anew)
	}
	values := after.Values(read, read.At)
	if values[1].Value.Float != 0 {
		t.Errorf("the count with another half-life is %v, want 0", values[1].Value.Float)
	}
	if values[0].Value.Int != 20 || len(values[6].Value.List) != 2 {
		t.Errorf("the plain count is %v and the shorter list has %d, want 20 and 2", values[0].Value.Int, len(values[6].Value.List))
	}
}

func TestUpdatesAreReadAsTheyWereWritten(t *testing.T) {
	view := NewView(shop())
	for i, e := range randomEvents(rand.New(rand.NewPCG(2, 1)), 200) {
		e.user = []string{e.user, "\"quoted\"", "naïve\n😀", "5"}[i%4]
		want := view.updateOf(e)
		got, err := view.ParseUpdate(view.appendUpdate(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if got.At != want.At {
			t.Fatalf("time is %d, want %d", got.At, want.At)
		}
		for j := range want.Operands {
			a, aok := got.Operands[j].Text()
			b, bok := want.Operands[j].Text()
			x, xok := got.Operands[j].Number()
			y, yok := want.Operands[j].Number()
			if a != b || aok != bok || x != y || xok != yok {
				t.Fatalf("%s is %v, want %v", view.operands[j].name(), got.Operands[j], want.Operands[j])
			}
		}
	}
}

func FuzzDecodersOfTopicsEndWell(f *testing.F) {
	view := NewView(shop())
	f.Add([]byte(`{"at":1,"of":{"value":1e308,"user_id":"x"}}`))
	f.Add([]byte(`{"at":1,"fields":{"people#00000000":{"sketch":"AAAA"}}}`))
	state := view.newState()
	view.add(state, view.updateOf(event{at: 1, user: "u", review: "r"}))
	written, err := view.encodeState(state)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Fuzz(func(t *testing.T, value []byte) {
		if update, err := view.ParseUpdate(value); err == nil {
			state := view.newState()
			view.add(state, update)
			if _, err := view.encodeState(state); err != nil {
				t.Errorf("the state of an update that was read cannot be written: %v", err)
			}
		}
		if state, _, err := view.DecodeState(value); err == nil {
			view.add(state, view.updateOf(event{at: 1, user: "u", review: "r", helped: true}))
			view.Values(state, 2)
		}
	})
}

func TestViewsOfOneNameHaveGroupsOfTheirOwn(t *testing.T) {
	c := DefaultConfig()
	if got := c.Group("item"); got != "nearline-features-item" {
		t.Errorf("got group %s, want nearline-features-item", got)
	}
	c.Topics = "shop.features"
	if got := c.Group("item"); got != "shop-features-item" {
		t.Errorf("got group %s for other topics, want shop-features-item", got)
	}
}

func TestLastRepeatsAndTopBreaksTiesByAge(t *testing.T) {
	var last, top cell
	for _, e := range []entry{{"a", 1, 10}, {"b", 1, 20}, {"a", 1, 30}, {"c", 1, 30}, {"d", 2, 5}} {
		last.insertLast(e, 4)
		top.insertTop(e, 4)
	}
	texts := func(c cell) (got string) {
		for _, e := range c.list {
			got += e.Text
		}
		return got
	}
	// The youngest first; of one time the one that came last.
	if got := texts(last); got != "caba" {
		t.Errorf("last: got %s, want every event's text, also one that comes again", got)
	}
	// The largest first; of one number the younger, then the text that is first in the alphabet. A text counts once.
	if got := texts(top); got != "dacb" {
		t.Errorf("top: got %s, want dacb", got)
	}
}

// A feature that is missing by default has no value until there is one, here and in what stores keep of it; trees heed that as missing.
func TestAFeatureMayBeMissingByDefault(t *testing.T) {
	var config ViewConfig
	if err := yaml.UnmarshalWithOptions([]byte(`
name: item
key: item_id
fields:
  - {name: n, count: {}}
  - {name: mood, default: missing, mean: {of: x}}
  - {name: known, default: 0.5, mean: {of: x}}
`), &config, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := (Config{Topics: "t", Partitions: 1, Members: 1, Retention: time.Hour, DeadLetters: "d", Lookup: DefaultLookup(), Views: []ViewConfig{config}}).Validate("features"); err != nil {
		t.Fatal(err)
	}
	view := NewView(config)
	shown := func(fields []pipeline.Field) string {
		var all []string
		for i, f := range fields {
			text := FormatValue(f.Value)
			back, err := view.Parse(i, text)
			if err != nil || FormatValue(back) != text || back.Kind != f.Value.Kind {
				t.Errorf("%s: %s of a store is %v, %v", f.Name, text, back, err)
			}
			all = append(all, f.Name+"="+text)
		}
		return strings.Join(all, " ")
	}
	if got, want := shown(view.Defaults()), "n=0 mood=null known=0.5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s := view.newState()
	view.add(s, &Update{At: 1, Operands: []pipeline.Value{{}}})
	if got, want := shown(view.Values(s, 1)), "n=1 mood=null known=0.5"; got != want {
		t.Errorf("an event without the number: got %s, want %s", got, want)
	}
	view.add(s, &Update{At: 2, Operands: []pipeline.Value{pipeline.FloatValue(0.25)}})
	if got, want := shown(view.Values(s, 2)), "n=2 mood=0.25 known=0.25"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A store may have null of a feature that has got a number by default since.
	if value, err := view.Parse(2, "null"); err != nil || value.Float != 0.5 {
		t.Errorf("got %v, %v, want the default", value, err)
	}
}

func TestDefaultsOfFeaturesAreNumbersOrMissing(t *testing.T) {
	for text, want := range map[string]string{
		"{name: a, default: mising, mean: {of: x}}": `"mising": want a number, or missing`,
		"{name: a, default: .inf, mean: {of: x}}":   "want a number, or missing",
		"{name: a, default: nan, mean: {of: x}}":    `"nan": want a number, or missing`,
	} {
		var f FieldConfig
		if err := yaml.Unmarshal([]byte(text), &f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	p := &checks{}
	(&FieldConfig{Name: "n", Default: new(FieldDefault(math.NaN())), Count: &CountConfig{}}).validate(p, "f")
	if got := fmt.Sprint(p.Err()); !strings.Contains(got, "f.default is missing: only a mean has one, and count begins without; remove it") {
		t.Errorf("got %s, want it refused", got)
	}
}
