// Package storetest says what a features.Store has to do, as tests that run against every implementation.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nearline/features"
	"nearline/pipeline"
)

// Run tests the stores that open returns, each of them empty; what is only asked of a features.Lasting, the others pass. It closes them; what else there is to clean up is open's, by t.Cleanup.
// Spoils are the ways in which somebody else may leave a key; a store that nobody else can write to has none.
func Run(t *testing.T, open func(t *testing.T) features.Store, spoils ...Spoil) {
	cases := []struct {
		name string
		test func(t *testing.T, s store)
	}{
		{"EveryKindOfValueComesBackExactly", everyKind},
		{"KeysAndTextsAreAnyText", anyText},
		{"MissingKeysAreNil", missing},
		{"AnswersAreInTheOrderOfTheKeys", inOrder},
		{"AnOlderEntryOfTheSameSourceIsNotTaken", older},
		{"OffsetsAreComparedToTheLastDigit", lastDigit},
		{"AnEntryOfAnotherSourceIsTaken", otherSource},
		{"TheSameEntriesAgainChangeNothing", replay},
		{"ADeletedKeyStaysDeletedForOlderEntries", deleted},
		{"EntriesAreTheCallersAgain", reused},
		{"ViewsAreApart", views},
		{"AFieldThatIsNoLongerDeclaredVanishes", vanished},
		{"ManyEntriesGoInOneCall", many},
		{"ItDoesAsASimpleMapWould", model},
		{"CallsMayBeConcurrent", concurrent},
		{"ACancelledCallIsAnError", cancelled},
		{"AFillingIsNamedOnce", filled},
		{"AnEntryThatIsRefusedHurtsNobodyElse", refused},
		{"JobsAreNumberedUpwards", numbered},
		{"ItSaysHowManyEntriesAreOlderThanWhatItHas", counted},
	}
	for _, spoil := range spoils {
		cases = append(cases, struct {
			name string
			test func(t *testing.T, s store)
		}{"AKeyThatIsNotOursHurtsNobodyElse/" + spoil.Name, spoil.test})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			opened := open(t)
			defer func() {
				if err := opened.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			c.test(t, store{t, opened})
		})
	}
}

// store under test.
type store struct {
	t *testing.T
	features.Store
}

func (s store) put(entries ...features.Entry) features.Outcome {
	s.t.Helper()
	outcome, err := s.Put(s.t.Context(), entries)
	if err != nil {
		s.t.Fatalf("put %d entries: %v", len(entries), err)
	}
	return outcome
}

func (s store) get(view *features.View, keys ...string) []*features.Entry {
	s.t.Helper()
	got, err := s.Get(s.t.Context(), view, keys)
	if err != nil {
		s.t.Fatalf("get %d keys: %v", len(keys), err)
	}
	if len(got) != len(keys) {
		s.t.Fatalf("asked for %d keys, got %d answers", len(keys), len(got))
	}
	return got
}

// want says what the store has of a key; none for nothing.
func (s store) want(view *features.View, key string, want *features.Entry) {
	s.t.Helper()
	if got := s.get(view, key)[0]; !same(got, want) {
		s.t.Errorf("of %q of view %s: got %s, want %s", key, view.Name(), show(got), show(want))
	}
}

// same compares what a reader sees of entries, numbers by their bits. Where an entry came from is the store's own.
func same(a, b *features.Entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.View == b.View && a.Key == b.Key && a.At == b.At && a.Deleted == b.Deleted && slices.EqualFunc(a.Values, b.Values, sameField)
}

func sameField(a, b pipeline.Field) bool { return a.Name == b.Name && sameValue(a.Value, b.Value) }

func sameValue(a, b pipeline.Value) bool {
	return a.Kind == b.Kind && a.Int == b.Int && math.Float64bits(a.Float) == math.Float64bits(b.Float) && a.Str == b.Str &&
		slices.EqualFunc(a.List, b.List, sameValue) && slices.EqualFunc(a.Fields, b.Fields, sameField)
}

func show(e *features.Entry) string {
	if e == nil {
		return "none"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%q as of %d", e.Key, e.At)
	for _, f := range e.Values {
		fmt.Fprintf(&s, " %s=%s", f.Name, features.FormatValue(f.Value))
	}
	return s.String()
}

func everyKind(_ *testing.T, s store) {
	numbers := []float64{
		0, math.Copysign(0, -1), 1, 0.30000000000000004, 1.0 / 3, 1 << 53, 123456789.123456789, -1e21, 1e-7,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308,
	}
	integers := []int64{0, 1, -1, math.MaxInt32, 1<<53 + 1, math.MaxInt64, math.MinInt64}
	var entries []features.Entry
	for i, x := range numbers {
		n := integers[i%len(integers)]
		entries = append(entries, entryOf(fmt.Sprint("key-", i), "topic/0", int64(i), pipeline.IntValue(n), pipeline.FloatValue(x), pipeline.FloatValue(x/2),
			pipeline.FloatValue(x/3), texts("a", "b", "a"), list(ranked("a", x), ranked("b", x/7)), pipeline.IntValue(-n)))
	}
	empty := entryOf("empty", "topic/0", 100, pipeline.IntValue(0), pipeline.FloatValue(0), pipeline.FloatValue(0), pipeline.FloatValue(0.75),
		list(), list(), pipeline.IntValue(0))
	early := plain("early", "topic/0", 101, 5)
	early.At = -62_135_596_800_000 // the year 1
	entries = append(entries, empty, early)
	s.put(entries...)
	for i := range entries {
		s.want(item, entries[i].Key, &entries[i])
	}
}

func anyText(_ *testing.T, s store) {
	strange := []string{
		"", " ", "a b", "a:b", ":", "a:", "{a}", "{", "}", "}{", "{}", "a{b}c", "x{}{y}", "item", "item:a", "@at", "@deleted", "*", "a?[b]", "\x00", "a\x00b",
		"\r\n", "$5\r\nhello\r\n", "naïve", "日本語", "😀", "مرحبا", "\"quoted\"", `back\slash`, "'", "null", "5", "-0", "[]", "<&>", "\u2028", "e\u0301",
		strings.Repeat("long", 256),
	}
	entries := make([]features.Entry, len(strange))
	for i, text := range strange {
		entries[i] = entryOf(text, text, int64(i), pipeline.IntValue(int64(i)), pipeline.FloatValue(0.5), pipeline.FloatValue(1), pipeline.FloatValue(2),
			texts(text, text+text), list(ranked(text, float64(i))), pipeline.IntValue(1))
	}
	s.put(entries...)
	for i, got := range s.get(item, strange...) {
		if !same(got, &entries[i]) {
			s.t.Errorf("got %s, want %s", show(got), show(&entries[i]))
		}
	}
}

func missing(t *testing.T, s store) {
	s.put()
	there := plain("there", "topic/0", 0, 1)
	s.put(there)
	s.put()
	s.want(item, "absent", nil)
	s.want(small, "there", nil)
	for i, got := range s.get(item, "absent", "there", "There", "there ", " there") {
		if want := i == 1; (got != nil) != want {
			t.Errorf("answer %d is %s", i, show(got))
		}
	}
	if got := s.get(item); len(got) != 0 {
		t.Errorf("no keys have %d answers", len(got))
	}
}

func inOrder(t *testing.T, s store) {
	want := map[string]features.Entry{}
	for i := range int64(20) {
		e := plain(fmt.Sprint("key-", i), "topic/0", i, i)
		want[e.Key] = e
		s.put(e)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	keys := make([]string, 200)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", rng.IntN(30)) // a third are missing, and most come again
	}
	for i, got := range s.get(item, keys...) {
		e, there := want[keys[i]]
		if there != (got != nil) || there && !same(got, &e) {
			t.Fatalf("answer %d, of %s, is %s", i, keys[i], show(got))
		}
	}
}

func older(_ *testing.T, s store) {
	first, second, third := plain("key", "topic/0", 9, 1), plain("key", "topic/0", 10, 2), plain("key", "topic/0", 100, 3)
	s.put(second)
	s.put(first)
	s.want(item, "key", &second) // 9 is before 10, though not as text
	s.put(third)
	s.put(second, first)
	s.want(item, "key", &third)
	same := plain("key", "topic/0", 100, 4)
	s.put(same)
	s.want(item, "key", &third)

	several := []features.Entry{plain("other", "topic/0", 3, 3), plain("other", "topic/0", 5, 5), plain("other", "topic/0", 4, 4)}
	s.put(several...)
	s.want(item, "other", &several[1])
}

func lastDigit(_ *testing.T, s store) {
	before, after := plain("key", "topic/0", math.MaxInt64-1, 1), plain("key", "topic/0", math.MaxInt64, 2)
	s.put(before)
	s.put(after)
	s.want(item, "key", &after)
	s.put(before)
	s.want(item, "key", &after)
}

func otherSource(_ *testing.T, s store) {
	before, after := plain("key", "topic/1", 1000, 1), plain("key", "topic/10", 3, 2)
	s.put(before)
	s.put(after)
	s.want(item, "key", &after)
	s.put(before)
	s.want(item, "key", &before)
}

func replay(_ *testing.T, s store) {
	var entries []features.Entry
	for i := range int64(30) {
		entries = append(entries, plain(fmt.Sprint("key-", i%10), "topic/0", i, i))
	}
	for range 3 {
		s.put(entries...)
		for i := range 10 {
			s.want(item, fmt.Sprint("key-", i), &entries[20+i])
		}
	}
	s.put(entries[5:15]...)
	for i := range 10 {
		s.want(item, fmt.Sprint("key-", i), &entries[20+i])
	}
}

func deleted(_ *testing.T, s store) {
	before, after := plain("key", "topic/0", 5, 1), plain("key", "topic/0", 9, 2)
	s.put(before)
	s.put(deletion(item, "key", "topic/0", 7))
	s.want(item, "key", nil)
	s.put(before, plain("key", "topic/0", 7, 3))
	s.want(item, "key", nil)
	s.put(after)
	s.want(item, "key", &after)
	s.put(deletion(item, "key", "topic/0", 8))
	s.want(item, "key", &after)

	s.put(deletion(item, "never there", "topic/0", 7))
	s.put(plain("never there", "topic/0", 6, 4))
	s.want(item, "never there", nil)
	anew := plain("never there", "another/0", 0, 5)
	s.put(anew)
	s.want(item, "never there", &anew)
}

func reused(_ *testing.T, s store) {
	want := plain("key", "topic/0", 1, 1)
	entries := []features.Entry{want}
	s.put(entries...)
	entries[0] = plain("other", "topic/0", 2, 2)
	s.want(item, "key", &want)
}

func views(_ *testing.T, s store) {
	of, n := plain("key", "topic/0", 10, 1), count("key", "topic/0", 5, 7)
	s.put(of, n)
	s.want(item, "key", &of)
	s.want(small, "key", &n)
	s.put(deletion(item, "key", "topic/0", 11))
	s.want(item, "key", nil)
	s.want(small, "key", &n)
}

func vanished(_ *testing.T, s store) {
	fields := []features.FieldConfig{{Name: "stays", Count: &features.CountConfig{}}, {Name: "goes", Last: &features.LastConfig{Of: "user_id", N: 5}}}
	before := features.NewView(features.ViewConfig{Name: "changes", Key: "item_id", Fields: fields})
	after := features.NewView(features.ViewConfig{Name: "changes", Key: "item_id", Fields: fields[:1]})
	was := entry(before, "key", "topic/0", 1, pipeline.IntValue(1), texts("a"))
	s.put(was)
	s.want(before, "key", &was)
	is := entry(after, "key", "topic/0", 2, pipeline.IntValue(2))
	s.put(is)
	s.want(after, "key", &is)
}

// lots is how many entries go in one call: more than a pipeline of any store takes at once.
const lots = 5_000

func many(t *testing.T, s store) {
	entries := make([]features.Entry, lots)
	keys := make([]string, lots)
	for i := range entries {
		keys[i] = fmt.Sprint("key-", i)
		entries[i] = plain(keys[i], fmt.Sprint("topic/", i%12), int64(i), int64(i))
	}
	s.put(entries...)
	for i, got := range s.get(item, keys...) {
		if !same(got, &entries[i]) {
			t.Fatalf("got %s, want %s", show(got), show(&entries[i]))
		}
	}
}

// model puts entries at random, and compares with a map.
func model(t *testing.T, s store) {
	rng := rand.New(rand.NewPCG(2, 1))
	want := map[string]features.Entry{}
	for range 60 {
		entries := make([]features.Entry, rng.IntN(20))
		for i := range entries {
			key, source, offset := fmt.Sprint("key-", rng.IntN(8)), fmt.Sprint("topic/", rng.IntN(2)), rng.Int64N(200)
			if entries[i] = count(key, source, offset, rng.Int64()); rng.IntN(4) == 0 {
				entries[i] = deletion(small, key, source, offset)
			}
			if have, ok := want[key]; !ok || have.Source != source || have.Offset < offset {
				want[key] = entries[i]
			}
		}
		s.put(entries...)
		for i := range 8 {
			key := fmt.Sprint("key-", i)
			if e, ok := want[key]; ok && !e.Deleted {
				s.want(small, key, &e)
			} else {
				s.want(small, key, nil)
			}
		}
	}
}

func concurrent(t *testing.T, s store) {
	const writers, rounds, shared = 4, 25, 10
	keys := make([]string, shared)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range int64(rounds) {
				entries := make([]features.Entry, shared)
				for i, key := range keys {
					entries[i] = count(key, "topic/0", n, n)
				}
				if _, err := s.Put(t.Context(), entries); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
		wg.Go(func() {
			last := make([]int64, shared)
			for range rounds {
				got, err := s.Get(t.Context(), small, keys)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				for i, e := range got {
					if e == nil {
						continue
					}
					if n := e.Values[0].Value.Int; n < last[i] {
						t.Errorf("%s went from %d back to %d", keys[i], last[i], n)
					} else {
						last[i] = n
					}
				}
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		want := count(key, "topic/0", rounds-1, rounds-1)
		s.want(small, key, &want)
	}
}

func cancelled(t *testing.T, s store) {
	there := plain("key", "topic/0", 1, 1)
	s.put(there)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, []features.Entry{plain("key", "topic/0", 2, 2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("put: got error %v, want that it was cancelled", err)
	}
	if _, err := s.Get(ctx, item, []string{"key"}); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got error %v, want that it was cancelled", err)
	}
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	if _, err := s.Get(late, item, []string{"key"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get after its deadline: got error %v, want that it is exceeded", err)
	}
	s.want(item, "key", &there)
}

// filled asks for the name of a filling, many at once, and with keys that might take its place.
func filled(t *testing.T, s store) {
	lasting, ok := s.Store.(features.Lasting)
	if !ok {
		return
	}
	names := make(chan string, 8)
	for range cap(names) {
		go func() {
			name, _ := lasting.Filling(t.Context(), item.Name())
			names <- name
		}()
	}
	first := Filling(t, lasting, item.Name())
	for range cap(names) {
		if again := <-names; again != first {
			t.Errorf("the same filling is called %s and %s", first, again)
		}
	}
	if other := Filling(t, lasting, small.Name()); other == first {
		t.Error("two views have one filling")
	}
	s.put(plain("@filling", "topic/0", 1, 1), plain("filling", "topic/0", 1, 1))
	if again := Filling(t, lasting, item.Name()); again != first {
		t.Errorf("keys took the filling's place: it is %s, was %s", again, first)
	}
}

// Filling of a view in a store, which has to have one.
func Filling(t *testing.T, s features.Lasting, view string) string {
	t.Helper()
	name, err := s.Filling(t.Context(), view)
	if err != nil || name == "" {
		t.Fatalf("got %q and %v, want a name", name, err)
	}
	return name
}
