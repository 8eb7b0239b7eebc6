package export

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nearline/features"
)

// item is a view with one field of every kind.
func item() features.ViewConfig {
	return features.ViewConfig{Name: "item", Key: "item_id", Time: "created_at", Fields: []features.FieldConfig{
		{Name: "events", Count: &features.CountConfig{}},
		{Name: "lately", Count: &features.CountConfig{HalfLife: time.Hour}},
		{Name: "spent", Sum: &features.SumConfig{Operand: features.Operand{Of: "value"}}},
		{Name: "rating", Default: new(features.FieldDefault(3.0)), Mean: &features.MeanConfig{Operand: features.Operand{Of: "value"}, HalfLife: 2 * time.Hour},
			Where: map[string][]string{"kind": {"review"}}},
		{Name: "latest", Last: &features.LastConfig{Of: "user_id", N: 3}},
		{Name: "best", Top: &features.TopConfig{Of: "review_id", By: features.Operand{Of: "value"}, N: 3}},
		{Name: "people", Distinct: &features.DistinctConfig{Of: "user_id"}},
	}}
}

func viewOf(c features.ViewConfig) *View {
	return &View{View: features.NewView(c), Updates: "nearline.features." + c.Name + ".updates", As: c.Name, Key: c.Key, Time: c.Time}
}

// event is an update as a naive computation has it.
type event struct {
	key    string
	at     int64
	kind   string
	user   string
	review string
	value  float64
	valued bool
}

func (e event) update() []byte {
	of := map[string]any{"kind": e.kind, "user_id": e.user, "review_id": e.review}
	if e.valued {
		of["value"] = e.value
	}
	text, _ := json.Marshal(map[string]any{"at": e.at, "of": of})
	return text
}

// randomEvents of a few keys, many of them late, and many of the same time.
func randomEvents(rng *rand.Rand, n int) []event {
	events := make([]event, n)
	now := int64(1_800_000_000_000)
	for i := range events {
		if rng.IntN(3) > 0 {
			now += rng.Int64N(10_000)
		}
		at := now
		if rng.IntN(4) == 0 {
			at -= rng.Int64N(3_600_000)
		}
		events[i] = event{
			key: fmt.Sprint("k", rng.IntN(3)), at: at, kind: []string{"view", "review"}[rng.IntN(2)], user: fmt.Sprint("u", rng.IntN(40)),
			review: fmt.Sprint("r", i), value: float64(rng.IntN(6)), valued: rng.IntN(5) > 0,
		}
	}
	return events
}

// naive values of all events that are earlier than a time.
func naive(events []event, key string, at int64) map[string]any {
	var seen []event
	for _, e := range events {
		if e.key == key && e.at < at {
			seen = append(seen, e)
		}
	}
	sum := func(half time.Duration, which func(event) bool, of func(event) float64) (sum, weights float64) {
		for _, e := range seen {
			if which(e) {
				weight := 1.0
				if half > 0 {
					weight = math.Exp2(-float64(at-e.at) / float64(half.Milliseconds()))
				}
				sum, weights = sum+weight*of(e), weights+weight
			}
		}
		return sum, weights
	}
	all := func(event) bool { return true }
	one := func(event) float64 { return 1 }
	value := func(e event) float64 { return e.value }
	want := map[string]any{"events": float64(len(seen)), "rating": 3.0, "latest": []any{}, "best": []any{}}
	want["lately"], _ = sum(time.Hour, all, one)
	want["spent"], _ = sum(0, func(e event) bool { return e.valued }, value)
	if s, w := sum(2*time.Hour, func(e event) bool { return e.valued && e.kind == "review" }, value); w > 0 {
		want["rating"] = s / w
	}
	young := slices.Clone(seen)
	slices.Reverse(young) // of the same time, the one that came last goes first
	slices.SortStableFunc(young, func(a, b event) int { return cmp.Compare(b.at, a.at) })
	for _, e := range young[:min(3, len(young))] {
		want["latest"] = append(want["latest"].([]any), e.user)
	}
	best := slices.DeleteFunc(slices.Clone(seen), func(e event) bool { return !e.valued })
	slices.SortFunc(best, func(a, b event) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(b.at, a.at), cmp.Compare(a.review, b.review))
	})
	for _, e := range best[:min(3, len(best))] {
		want["best"] = append(want["best"].([]any), map[string]any{"of": e.review, "by": e.value})
	}
	people := map[string]bool{}
	for _, e := range seen {
		people[e.user] = true
	}
	want["people"] = float64(len(people)) // the sketch is exact for so few
	return want
}

// question is a row in these tests.
type question struct {
	key string
	at  int64
}

// answers of rows, from updates in the order of their partition.
func answers(t *testing.T, view *View, questions []question, events []event) [][]byte {
	t.Helper()
	a := &asked{view: view, keys: map[string]*history{}}
	for i, q := range questions {
		a.add(int32(i), q.key, q.at)
	}
	a.begin(len(questions))
	for _, e := range events {
		if h := a.keys[e.key]; h != nil {
			a.hear(h, told{at: e.at, value: e.update()})
		}
	}
	if _, err := a.answerPartition(0); err != nil {
		t.Fatal(err)
	}
	a.answerRest()
	return a.answers
}

func parse(t *testing.T, answer []byte) map[string]any {
	t.Helper()
	var parsed map[string]any
	if err := json.Unmarshal(fmt.Appendf(nil, "{%s}", answer), &parsed); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return parsed
}

func equal(got, want any) bool {
	switch want := want.(type) {
	case float64:
		n, ok := got.(float64)
		return ok && math.Abs(n-want) <= 1e-9*max(1, math.Abs(want))
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, equal)
	case map[string]any:
		object, ok := got.(map[string]any)
		for name := range want {
			ok = ok && equal(object[name], want[name])
		}
		return ok && len(object) == len(want)
	default:
		return got == want
	}
}

func randomQuestions(rng *rand.Rand, events []event, n int) []question {
	questions := make([]question, n)
	for i := range questions {
		// Most are of the very time of an event.
		e := events[rng.IntN(len(events))]
		questions[i] = question{[]string{e.key, e.key, "k1", "unheard-of"}[rng.IntN(4)], e.at + []int64{0, 0, 0, 1, -1, 5_000_000}[rng.IntN(6)]}
	}
	return questions
}

func TestRowsHaveWhatAllEarlierEventsTogetherGive(t *testing.T) {
	view := viewOf(item())
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := randomEvents(rng, 1+rng.IntN(300))
		questions := randomQuestions(rng, events, 50)
		for i, answer := range answers(t, view, questions, events) {
			q := questions[i]
			got, want := parse(t, answer), naive(events, q.key, q.at)
			if !equal(got["item"], want) {
				t.Fatalf("seed %d: %+v has %v, want %v", seed, q, got["item"], want)
			}
			latest := int64(-1)
			for _, e := range events {
				if e.key == q.key && e.at < q.at {
					latest = max(latest, e.at)
				}
			}
			wantAt, wantAge := any(nil), any(nil)
			if latest >= 0 {
				wantAt, wantAge = time.UnixMilli(latest).UTC().Format("2006-01-02T15:04:05.000Z"), float64(q.at-latest)/1000
			}
			if got["item_at"] != wantAt || !equal(got["item_age_seconds"], wantAge) {
				t.Fatalf("seed %d: %+v is of %v and %v old, want %v and %v", seed, q, got["item_at"], got["item_age_seconds"], wantAt, wantAge)
			}
		}
	}
}

func TestNothingAtOrAfterARowsTimeChangesIt(t *testing.T) {
	view := viewOf(item())
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		events := randomEvents(rng, 1+rng.IntN(300))
		questions := randomQuestions(rng, events, 50)
		together := answers(t, view, questions, events)
		for i, q := range questions {
			past := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.at >= q.at })
			if alone := answers(t, view, questions[i:i+1], past)[0]; !bytes.Equal(alone, together[i]) {
				t.Fatalf("seed %d: %+v has %s, and without what came later %s", seed, q, together[i], alone)
			}
		}
	}
}
