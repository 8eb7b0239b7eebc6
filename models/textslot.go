package models

import (
	"fmt"
	"slices"
	"time"

	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// runner is an *onnx.Runner, or a fake.
type runner interface {
	Run(inputs []onnx.Input) ([]onnx.Output, error)
}

// textSlot is what one slot runs with; its buffers are used again for every run.
type textSlot struct {
	runner runner
	inputs []onnx.Input
	padded [][]int64 // by input, for batches of several rows
	rows   []*row
}

func (t *textModel) newSlot(r runner) *textSlot {
	return &textSlot{runner: r, inputs: make([]onnx.Input, len(t.Inputs)), padded: make([][]int64, len(t.Inputs))}
}

// answer runs rows as one batch, and gives each its columns or its own error.
func (t *textModel) answer(s *textSlot, rows []*row) error {
	outputs, err := t.compute(s, rows)
	if err != nil {
		return err
	}
	now := time.Now()
	for i, r := range rows {
		r.columns, r.err = t.columns(outputs, i, r)
		r.at = now
	}
	return nil
}

// compute runs rows as one batch. The outputs are valid until the slot's next run, and have a row of logits for each row, or
// a vector for each of its tokens.
func (t *textModel) compute(s *textSlot, rows []*row) ([]onnx.Output, error) {
	tokens := t.fill(s, rows)
	began := time.Now()
	outputs, err := s.runner.Run(s.inputs)
	t.series.ran(began, tokens)
	if err != nil {
		return nil, err
	}
	for i, o := range outputs {
		tokens := len(o.Shape) == 3 && o.Shape[1] == int64(s.inputs[0].Columns)
		if n := len(o.Shape); n == 0 || n > 2 && !tokens || o.Shape[0] != int64(len(rows)) {
			return nil, fmt.Errorf("output %s has shape %v for %d rows of %d tokens: want [batch], [batch, logits] or [batch, tokens, hidden]",
				t.outputs[i], o.Shape, len(rows), s.inputs[0].Columns)
		}
	}
	return outputs, nil
}

// fill puts rows into the slot's inputs, padded on the right to the width that the limits say, or to what the graph takes, and
// returns how many tokens they have. A row that is alone and needs no padding is handed on where it lies.
func (t *textModel) fill(s *textSlot, rows []*row) (tokens int) {
	longest := 0
	for _, r := range rows {
		longest = max(longest, len(r.ids))
		tokens += len(r.ids)
	}
	width := t.Fixed
	if width == 0 {
		width = t.limits.Width(longest, len(rows), tokens)
	}
	for i, kind := range t.Inputs {
		in := &s.inputs[i]
		in.Rows, in.Columns = len(rows), width
		if len(rows) == 1 && len(rows[0].ids) == width {
			in.Data, _ = t.values(kind, rows[0])
			continue
		}
		data := slices.Grow(s.padded[i][:0], len(rows)*width)
		for _, r := range rows {
			values, padding := t.values(kind, r)
			data = append(data, values...)
			for range width - len(values) {
				data = append(data, padding)
			}
		}
		s.padded[i], in.Data = data, data
	}
	return tokens
}

// values are what a row has for an input, and what is put where other rows are longer.
func (t *textModel) values(kind folder.TokenInput, r *row) (values []int64, padding int64) {
	switch kind {
	case folder.InputIDs:
		return r.ids, t.Pad
	case folder.AttentionMask:
		return t.ones[:len(r.ids)], 0
	case folder.TokenTypes:
		return r.types, 0
	default:
		if r.positions != nil {
			return r.positions, t.First - 1
		}
		return t.counts[:len(r.ids)], max(0, t.First-1)
	}
}

// columns are the answer to row i.
func (t *textModel) columns(outputs []onnx.Output, i int, r *row) ([]pipeline.Field, error) {
	columns := make([]pipeline.Field, len(t.heads))
	for h := range t.heads {
		var err error
		if columns[h], err = t.heads[h].Column(t.cut(outputs[t.reads[h]], i, r)); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// cut is what an output has for row i.
func (t *textModel) cut(o onnx.Output, i int, r *row) tasks.Row {
	size := len(o.Data) / int(o.Shape[0])
	values := o.Data[i*size : (i+1)*size]
	if len(o.Shape) < 3 {
		return tasks.Row{Values: values, Width: size}
	}
	return tasks.Row{Values: values, Width: int(o.Shape[2]), Tokens: len(r.ids), Prompt: t.Prompted}
}
