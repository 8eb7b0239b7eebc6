//go:build cgo

package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/batching"
	"nearline/pipeline"
)

// recommender is the one that ships; loading it reproduces its golden examples.
func recommender(t *testing.T) *Model {
	t.Helper()
	c := DefaultConfig()
	c.Repository = filepath.Join("zoo")
	return loaded(t, c, "recommender", running(t, c))
}

// asked are candidates as a room would hand them over.
type asked struct {
	lists []pipeline.CandidateList
	err   error
}

func (a asked) Lists(context.Context, []*pipeline.Row) ([]pipeline.CandidateList, error) {
	return a.lists, a.err
}

func (a asked) Fields() []pipeline.Field { return nil }

// candidatesOf are items of which nothing is known but what their reviews say.
func candidatesOf(history []string, sentiment float64, items ...string) pipeline.CandidateList {
	l := pipeline.CandidateList{Items: items, History: history}
	for range items {
		l.Numbers = append(l.Numbers, 10, sentiment, math.NaN())
	}
	return l
}

func rank(t *testing.T, m *Model, top int, lists ...pipeline.CandidateList) []*pipeline.Row {
	t.Helper()
	step, err := NewRankStep(m, batching.Stream, asked{lists: lists}, "ranking", top)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]*pipeline.Row, len(lists))
	for i := range rows {
		rows[i] = &pipeline.Row{}
	}
	if err := step.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// scores of a ranking, by item; the order is checked.
func scores(t *testing.T, row *pipeline.Row) map[string]float64 {
	t.Helper()
	if row.Fault != nil {
		t.Fatal(row.Fault)
	}
	got, last := map[string]float64{}, math.Inf(1)
	ranking := &row.Predictions[0].Columns[0].Value
	for i := range ranking.Len() {
		id, _ := ranking.At(i).Lookup("item_id")
		score, _ := ranking.At(i).Lookup("score")
		if score.Float > last {
			t.Errorf("%s has %v after %v: want the highest first", id.Str, score.Float, last)
		}
		got[id.Str], last = score.Float, score.Float
	}
	return got
}

// Lists of one and of a thousand share a run, unpadded, and leave each other's scores alone.
func TestListsOfAllLengthsSharePackedRuns(t *testing.T) {
	m := recommender(t)
	known := func(n, from int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprint(1+(from+i)%3000)) // some of these it does not know
		}
		return ids
	}
	lists := []pipeline.CandidateList{
		candidatesOf([]string{"296", "593"}, 0.8, "50"),
		candidatesOf(nil, 0.8, known(1000, 7)...),
		candidatesOf(known(60, 1), 0.8, known(3, 100)...),
		candidatesOf([]string{"no-such"}, 0.8, known(117, 50)...),
	}
	together := rank(t, m, 0, lists...)
	for i, list := range lists {
		alone := scores(t, rank(t, m, 0, list)[0])
		got := scores(t, together[i])
		if len(got) != len(list.Items) {
			t.Fatalf("list %d: got %d items, want %d", i, len(got), len(list.Items))
		}
		for id, want := range alone {
			if math.Abs(got[id]-want) > 1e-4 {
				t.Errorf("list %d: %s has %v beside others, and %v alone", i, id, got[id], want)
			}
		}
	}
}

func TestBadReviewsMoveAnItemDown(t *testing.T) {
	m := recommender(t)
	list := candidatesOf([]string{"296", "593", "608"}, 0.9, "50", "318", "1")
	before := scores(t, rank(t, m, 0, list)[0])
	list.Numbers = slices.Clone(list.Numbers)
	list.Numbers[1] = 0.05 // of the first
	after := scores(t, rank(t, m, 0, list)[0])
	if !(after["50"] < before["50"]-0.5) || after["318"] != before["318"] {
		t.Errorf("got %v before and %v after bad reviews of 50, want it well below, and the others where they were", before, after)
	}
}

// What can be answered is answered: unknown people and items, no candidates, ten thousand of them.
func TestRankingsOfOddLists(t *testing.T) {
	m := recommender(t)
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprint("item-", i)
	}
	rows := rank(t, m, 3, candidatesOf(nil, math.NaN(), "never-seen"), candidatesOf([]string{"1"}, 0.5), candidatesOf([]string{"1"}, 0.5, many...),
		candidatesOf([]string{"1"}, 0.5, make([]string, 20_000)...))
	for i, want := range []int{1, 0, 3} {
		if got := scores(t, rows[i]); len(got) != want || rows[i].Predictions[0].Model != "recommender" || rows[i].Predictions[0].Version != 1 {
			t.Errorf("list %d: got %v by %+v, want %d of them by recommender 1", i, got, rows[i].Predictions[0], want)
		}
	}
	if f := rows[3].Fault; f == nil || !strings.Contains(f.Cause, "the table has 20000 rows: want at most 16334") {
		t.Errorf("got %v, want a fault that names how many there may be", f)
	}
	if want := "[item-0 item-1 item-2]"; fmt.Sprint(idsOf(rows[2])) != want {
		t.Errorf("got %v of items of which nothing is known, want those that came first", idsOf(rows[2]))
	}
}

func idsOf(row *pipeline.Row) (ids []string) {
	ranking := &row.Predictions[0].Columns[0].Value
	for i := range ranking.Len() {
		id, _ := ranking.At(i).Lookup("item_id")
		ids = append(ids, id.Str)
	}
	return ids
}

func TestTreesRankToo(t *testing.T) {
	config := tableRepository(t, nil, "lightgbm-ranker", "sklearn-columns")
	device := running(t, config)
	c := tableCases(t)["lightgbm-ranker"]
	m := loaded(t, config, "lightgbm-ranker", device)
	list := pipeline.CandidateList{}
	for i, table := range c.tables(t, m) {
		list.Items = append(list.Items, fmt.Sprint(i))
		list.Numbers = append(list.Numbers, table.Numbers...)
	}
	for id, got := range scores(t, rank(t, m, 0, list)[0]) {
		var row int
		if _, err := fmt.Sscan(id, &row); err != nil {
			t.Fatal(err)
		}
		c.want(t, row, pipeline.FloatValue(got))
	}
	_, err := NewRankStep(loaded(t, config, "sklearn-columns", device), batching.Stream, asked{}, "ranking", 0)
	if err == nil || !strings.Contains(err.Error(), "model sklearn-columns does not rank") {
		t.Errorf("got %v, want a classifier refused", err)
	}
}

// A graph whose rows move each other, or that takes one alone, would rank a list by how it was batched.
func TestModelsWhoseRowsAreNotTheirOwnDoNotRank(t *testing.T) {
	config := tableRepository(t, nil, "odd-listwise", "odd-one-row")
	device := running(t, config)
	for name, want := range map[string]string{"odd-listwise": "rows beside each other move each other's answers", "odd-one-row": "the graph takes one row at a time"} {
		m := loaded(t, config, name, device)
		if m.Info().Limits.MaxItems != 1 {
			t.Errorf("%s: got limits %+v, want rows one at a time", name, m.Info().Limits)
		}
		if _, err := NewRankStep(m, batching.Stream, asked{}, "ranking", 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
		// One by one it answers.
		_, faults, err := m.Predict(t.Context(), batching.Online, []Input{{Table: Table{Rows: 1, Numbers: []float64{1, 2}}}, {Table: Table{Rows: 1, Numbers: []float64{3, 4}}}})
		if err := errors.Join(append(faults, err)...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRankHandsOnWhatKeepsCandidatesAway(t *testing.T) {
	m := recommender(t)
	step, err := NewRankStep(m, batching.Stream, asked{err: pipeline.ErrAway}, "ranking", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Run(t.Context(), []*pipeline.Row{{}}); !errors.Is(err, pipeline.ErrAway) {
		t.Errorf("got %v, want %v", err, pipeline.ErrAway)
	}
}

func TestHighestScoreComesFirstAndOfEqualOnesTheFirst(t *testing.T) {
	inf, negativeZero := float32(math.Inf(1)), float32(math.Copysign(0, -1))
	random := rand.New(rand.NewPCG(1, 2))
	many := make([]float32, 5000)
	for i := range many {
		many[i] = float32(random.IntN(100)-50) / 8
	}
	for _, scores := range [][]float32{
		nil, {1}, {1, 2, 1, 2}, {negativeZero, 0, negativeZero, 1e-45, -1e-45}, {-inf, inf, -1, 1, -2, 2, 0}, many,
	} {
		want := make([]int, len(scores))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		for n, at := range descending(scores) {
			if got := int(uint32(at)); got != want[n] {
				t.Fatalf("place %d of %d: got score number %d, which is %v, want number %d, which is %v", n, len(scores), got, scores[got], want[n], scores[want[n]])
			}
		}
	}
}
