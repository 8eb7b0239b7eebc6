package models

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
	"nearline/pipeline"
)

// runnerFunc is a graph written in Go.
type runnerFunc func(inputs []onnx.Input) ([]onnx.Output, error)

func (f runnerFunc) Run(inputs []onnx.Input) ([]onnx.Output, error) { return f(inputs) }

// lastIDs answers each row with the last id that its mask leaves, inputs being ids and mask.
func lastIDs(inputs []onnx.Input) ([]onnx.Output, error) {
	ids, mask := inputs[0], inputs[1]
	out := onnx.Output{Shape: []int64{int64(ids.Rows)}}
	for row := range ids.Rows {
		last := int64(-1)
		for column := range ids.Columns {
			if at := row*ids.Columns + column; mask.Data[at] == 1 {
				last = ids.Data[at]
			}
		}
		out.Data = append(out.Data, float32(last))
	}
	return []onnx.Output{out}, nil
}

var idsAndMask = []onnx.Info{{Name: "input_ids", Type: onnx.Int64}, {Name: "attention_mask", Type: onnx.Int64}}

// fakeText is a model with the tiny tokenizer, of 32 tokens, and a graph written in Go with one score.
func fakeText(t testing.TB, inputs []onnx.Info, slots int, r runner) (*textModel, *Metrics) {
	t.Helper()
	return fakeTextOf(t, folder.Settings{}, inputs, slots, r)
}

// fakeTextOf is fakeText with these settings.
func fakeTextOf(t testing.TB, s folder.Settings, inputs []onnx.Info, slots int, r runner) (*textModel, *Metrics) {
	t.Helper()
	full, err := tokenizer.Load(filepath.Join("onnx", "testdata", "single_label", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	heads := []tasks.Head{{Name: "last", Output: "last", Kind: tasks.Score, Activation: tasks.Identity}}
	metrics := NewMetrics(nil)
	graph, err := folder.NewTextGraph(full, 32, inputs, s)
	if err != nil {
		t.Fatal(err)
	}
	text := newText(graph, heads, metrics.version("fake", 7))
	for range slots {
		text.slots = append(text.slots, text.newSlot(r))
	}
	text.sample = text.filler(4)
	return text, metrics
}

// fakeModel puts the text model behind a device that runs for the time of the test.
func fakeModel(t testing.TB, items int, r runner) *Model {
	t.Helper()
	c := DefaultConfig()
	c.Slots = 2
	text, metrics := fakeText(t, idsAndMask, c.Slots, r)
	limits := batching.Limits{MaxItems: items, MaxTokens: 1024, MaxPadding: 16, Bound: 1024}
	m := &Model{info: Info{Name: "fake", Version: 7, Device: "cpu", Heads: text.heads, Limits: limits}, engine: text, metrics: metrics, series: text.series}
	m.queue = batching.NewQueue(running(t, c), "fake", limits, text.run)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

func TestRowsArePaddedToTheLongestWithEveryInput(t *testing.T) {
	var got []onnx.Input
	text, _ := fakeText(t, []onnx.Info{
		{Name: "attention_mask"}, {Name: "input_ids"}, {Name: "position_ids"}, {Name: "token_type_ids"},
	}, 1, runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
		got = nil
		for _, in := range inputs {
			in.Data = slices.Clone(in.Data)
			got = append(got, in)
		}
		return []onnx.Output{{Shape: []int64{int64(inputs[0].Rows)}, Data: make([]float32, inputs[0].Rows)}}, nil
	}))
	a, b := &row{ids: []int64{2, 9, 8, 3}, types: []int64{0, 0, 1, 1}}, &row{ids: []int64{2, 3}, types: []int64{0, 1}}
	check := func(rows []*row, want ...[]int64) {
		t.Helper()
		if err := text.answer(text.slots[0], rows); err != nil {
			t.Fatal(err)
		}
		for i, in := range got {
			if in.Rows != len(rows) || !slices.Equal(in.Data, want[i]) {
				t.Errorf("input %d: got %+v, want %v", i, in, want[i])
			}
		}
	}
	check([]*row{a, b},
		[]int64{1, 1, 1, 1, 1, 1, 0, 0}, []int64{2, 9, 8, 3, 2, 3, 0, 0}, []int64{0, 1, 2, 3, 0, 1, 0, 0}, []int64{0, 0, 1, 1, 0, 1, 0, 0})
	check([]*row{b}, []int64{1, 1}, []int64{2, 3}, []int64{0, 1}, []int64{0, 1})
	check([]*row{b, b}, []int64{1, 1, 1, 1}, []int64{2, 3, 2, 3}, []int64{0, 1, 0, 1}, []int64{0, 1, 0, 1})
}

func TestRowsArePaddedToABucket(t *testing.T) {
	var got []onnx.Input
	text, _ := fakeText(t, idsAndMask, 1, runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
		got = inputs
		return lastIDs(inputs)
	}))
	text.limits = batching.Limits{MaxItems: 8, MaxTokens: 64, MaxPadding: 1.5, Buckets: []int{4, 6, 32}}
	short, five := &row{ids: []int64{2, 3}}, &row{ids: []int64{2, 9, 8, 7, 3}}
	for _, c := range []struct {
		rows  []*row
		width int
	}{
		{[]*row{five}, 6},              // alone, and padded all the same
		{[]*row{short}, 2},             // twice its length is past the bound
		{[]*row{five, five, five}, 6},  //
		{[]*row{five, five, short}, 6}, // 18 for 12 is just within
		{[]*row{five, short, short}, 5},
	} {
		if err := text.answer(text.slots[0], c.rows); err != nil {
			t.Fatal(err)
		}
		if got[0].Columns != c.width || len(got[0].Data) != c.width*len(c.rows) || len(got[1].Data) != len(got[0].Data) {
			t.Errorf("%d rows: got %+v, want %d columns", len(c.rows), got[0], c.width)
		}
		for _, r := range c.rows {
			if last := r.columns[0].Value.Float; last != 3 {
				t.Errorf("got last id %v, want 3", last)
			}
		}
	}
}

func TestPredictAnswersInTheOrderOfTheTexts(t *testing.T) {
	// The last token of each text is [SEP], id 3: the graph below takes the one before.
	m := fakeModel(t, 8, runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
		out := onnx.Output{Shape: []int64{int64(inputs[0].Rows), 1}}
		for row := range inputs[0].Rows {
			before := int64(-1)
			for column := range inputs[0].Columns {
				if inputs[0].Data[row*inputs[0].Columns+column] == 3 {
					before = inputs[0].Data[row*inputs[0].Columns+column-1]
				}
			}
			out.Data = append(out.Data, float32(before))
		}
		return []onnx.Output{out}, nil
	}))
	var texts []string
	for i := range 200 {
		texts = append(texts, strings.Repeat("good ", i%7)+string(rune('a'+i%26)))
	}
	predictions, faults, err := m.Predict(t.Context(), batching.Online, Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := fakeText(t, idsAndMask, 0, nil)
	for i, p := range predictions {
		ids := text.Tokens.AppendIDs(nil, texts[i])
		want := float64(ids[len(ids)-2])
		if faults[i] != nil || p.Columns[0].Value.Float != want || p.Model != "fake" || p.Version != 7 || p.At.IsZero() {
			t.Errorf("text %d: got %+v, %v, want last %v of fake version 7", i, p, faults[i], want)
		}
	}
}

// containing fails runs that have a text with the id, once the other runs have been let through.
func containing(id int64, fail error) runnerFunc {
	return func(inputs []onnx.Input) ([]onnx.Output, error) {
		if slices.Contains(inputs[0].Data, id) {
			return nil, fail
		}
		return lastIDs(inputs)
	}
}

func TestOnlyTheGuiltyTextFails(t *testing.T) {
	const letterQ = 10 + 'q' - 'a'
	m := fakeModel(t, 32, containing(letterQ, errors.New("index out of range")))
	texts := []string{"good", "q", "bad", "good q bad", "day"}
	predictions, faults, err := m.Predict(t.Context(), batching.Stream, Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		guilty := strings.Contains(text, "q")
		if (faults[i] != nil) != guilty || (predictions[i].Columns == nil) != guilty {
			t.Errorf("%q: got %+v, %v, want a fault: %v", text, predictions[i], faults[i], guilty)
		}
	}
}

func TestRuntimeFailureIsNobodysFault(t *testing.T) {
	for _, c := range []struct {
		name string
		run  runnerFunc
	}{
		{"the runtime says so", containing(10, fmt.Errorf("%w: out of memory", onnx.ErrRuntime))},
		{"everything fails", func([]onnx.Input) ([]onnx.Output, error) { return nil, errors.New("something is wrong") }},
	} {
		m := fakeModel(t, 4, c.run)
		_, _, err := m.Predict(t.Context(), batching.Stream, Texts("good", "a", "bad"))
		if pipeline.Assign(err) != pipeline.BlameRuntime {
			t.Errorf("%s: got %v, want the runtime blamed", c.name, err)
		}
	}
}

func TestEndOfContextLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var active, runs atomic.Int32
		release := make(chan struct{})
		m := fakeModel(t, 1, runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
			runs.Add(1)
			active.Add(1)
			defer active.Add(-1)
			<-release
			return lastIDs(inputs)
		}))
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("shutdown")
		go func() {
			synctest.Wait() // both slots run, the other rows wait
			cancel(cause)
			synctest.Wait() // the others are withdrawn
			close(release)
		}()
		predictions, faults, err := m.Predict(ctx, batching.Stream, Texts(numbered(50)...))
		if active, runs := active.Load(), runs.Load(); active != 0 || runs != 2 {
			t.Errorf("got %d runs, %d of them after the end, want 2 and none", runs, active)
		}
		if !errors.Is(err, cause) || predictions != nil || faults != nil {
			t.Errorf("got %v, want the cause and no answers", err)
		}
	})
}

func TestClosedModelRefuses(t *testing.T) {
	m := fakeModel(t, 1, runnerFunc(lastIDs))
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Predict(t.Context(), batching.Online, Texts("good")); !errors.Is(err, batching.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestTruncatedTextsAreCounted(t *testing.T) {
	m := fakeModel(t, 1, runnerFunc(lastIDs))
	// 30 words and the two special tokens are just what fits.
	texts := []string{"good", strings.Repeat("good ", 30), strings.Repeat("good ", 31), strings.Repeat("bad ", 1000)}
	if _, _, err := m.Predict(t.Context(), batching.Stream, Texts(texts...)); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, m.series.truncated); got != 2 {
		t.Errorf("got %v truncated, want 2", got)
	}
	if got, want := counted(t, m.series.tokens), float64(3+32+32+32); got != want {
		t.Errorf("got %v tokens, want %v", got, want)
	}
}
