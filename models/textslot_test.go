package models

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
)

// fakeEncoder is a model with the tiny tokenizer, heads, and a graph written in Go, on one slot.
func fakeEncoder(t *testing.T, r runner, heads ...tasks.Head) *textModel {
	t.Helper()
	full, err := tokenizer.Load(filepath.Join("onnx", "testdata", "single_label", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := folder.NewTextGraph(full, 32, idsAndMask, folder.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	text := newText(graph, heads, NewMetrics(nil).version("fake", 1))
	text.slots = []*textSlot{text.newSlot(r)}
	text.sample = text.filler(4)
	return text
}

// echo answers each token with the vector [id, spoiled(columns)].
func echo(spoiled func(columns int) float32) runnerFunc {
	return func(inputs []onnx.Input) ([]onnx.Output, error) {
		ids := inputs[0]
		out := onnx.Output{Shape: []int64{int64(ids.Rows), int64(ids.Columns), 2}}
		for _, id := range ids.Data {
			out.Data = append(out.Data, float32(id), spoiled(ids.Columns))
		}
		return []onnx.Output{out}, nil
	}
}

func one(int) float32 { return 1 }

func mean() tasks.Head {
	return tasks.Head{Name: "v", Output: "last_hidden_state", Kind: tasks.Embedding, Vector: tasks.Vector{Pooling: tasks.Poolings{tasks.Mean}}}
}

func TestVectorsArePooledOverARowsOwnTokens(t *testing.T) {
	text := fakeEncoder(t, echo(one), mean())
	rows := []*row{{ids: []int64{2, 10, 3}}, {ids: []int64{2, 20, 30, 40, 3}}, {ids: []int64{7}}}
	if err := text.answer(text.slots[0], rows); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float32{{5, 1}, {19, 1}, {7, 1}} {
		if got := rows[i].columns; rows[i].err != nil || !slices.Equal(got[0].Value.Floats, want) {
			t.Errorf("row %d: got %+v, %v, want %v", i, got, rows[i].err, want)
		}
	}
}

func TestVectorThatIsNotANumberIsTheRowsOwnFault(t *testing.T) {
	text := fakeEncoder(t, runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
		out, err := echo(one)(inputs)
		for i := range out[0].Data {
			if out[0].Data[i] == 99 {
				out[0].Data[i] = float32(math.NaN())
			}
		}
		return out, err
	}), mean())
	rows := []*row{{ids: []int64{2, 3}}, {ids: []int64{2, 99, 3}}}
	if err := text.answer(text.slots[0], rows); err != nil {
		t.Fatal(err)
	}
	if rows[0].err != nil || rows[1].err == nil || !strings.Contains(rows[1].err.Error(), "not finite") {
		t.Errorf("got %v and %v, want a fault of the second row alone", rows[0].err, rows[1].err)
	}
}

func TestOutputsOfOtherShapesAreErrors(t *testing.T) {
	for _, shape := range [][]int64{{}, {2}, {1, 3, 2, 1}, {1, 2, 2}, {2, 3, 1}} {
		size := int64(1)
		for _, n := range shape {
			size *= n
		}
		text := fakeEncoder(t, runnerFunc(func([]onnx.Input) ([]onnx.Output, error) {
			return []onnx.Output{{Shape: shape, Data: make([]float32, size)}}, nil
		}), mean())
		err := text.answer(text.slots[0], []*row{{ids: []int64{2, 10, 3}}})
		if err == nil || !strings.Contains(err.Error(), "want [batch], [batch, logits] or [batch, tokens, hidden]") {
			t.Errorf("%v for 1 row of 3 tokens: got %v, want an error", shape, err)
		}
	}
}

func TestPaddingThatMovesAVectorIsFoundOut(t *testing.T) {
	if err := fakeEncoder(t, echo(one), mean()).checkNeighbours(folder.Manifest{}); err != nil {
		t.Errorf("an encoder that heeds its mask: got %v", err)
	}
	// The second number of each vector grows with the padding.
	err := fakeEncoder(t, echo(func(columns int) float32 { return float32(columns) }), mean()).checkNeighbours(folder.Manifest{})
	if err == nil || !strings.Contains(err.Error(), "moves a vector of length 1 by") {
		t.Errorf("one that does not: got %v, want it refused", err)
	}
}

func TestPromptComesBeforeTheTextAndItsTokensAreCounted(t *testing.T) {
	text := fakeEncoder(t, echo(one), mean())
	text.SetPrompt("good film ")
	var r row
	if _, err := text.prepare(Input{Text: "bad day"}, &r); err != nil {
		t.Fatal(err)
	}
	if want := text.Tokens.AppendIDs(nil, "good film bad day"); !slices.Equal(r.ids, want) || text.Prompted != 3 {
		t.Errorf("got %v with %d tokens of the prompt, want %v with 3 ([CLS] and two words)", r.ids, text.Prompted, want)
	}
}
