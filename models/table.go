package models

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// Table is rows of named columns, as Info.Reads names them: a row after the other, the numbers and the texts each by themselves, in the order of
// the columns. What it points to is not changed, and not kept after the answer.
type Table struct {
	Rows    int
	Numbers []float64 // Rows × the columns that are not of texts
	Texts   []string  // Rows × the columns of texts
	// List asks for an answer for each row, as a list; otherwise there is one row, and the answer is its own. The list of a score is Floats.
	List bool
	// Items and History are for a model that knows items by their ids: the item of each row, and those that somebody had before, oldest first.
	Items   []string
	History []string
}

// tableModel is the engine of a graph that reads columns.
type tableModel struct {
	graphEngine
	*folder.TableGraph

	most  int          // rows in a run
	slots []*tableSlot // by slot

	sample atomic.Pointer[Table] // a row that is known to work; nil until one is
}

// newTable makes an engine that has no slots yet.
func newTable(g *folder.TableGraph, heads []tasks.Head, s series) *tableModel {
	return &tableModel{graphEngine: newGraphEngine(heads, s), TableGraph: g}
}

func (t *tableModel) prepare(in Input, r *row) (int, error) {
	table := in.Table
	switch {
	case table.Rows < 1 || !table.List && table.Rows != 1:
		return 0, fmt.Errorf("the table has %d rows: want at least one, and for an answer that is no list one", table.Rows)
	case table.Rows > t.most:
		return 0, fmt.Errorf("the table has %d rows: want at most %d, as many as a run takes (models.batch.max_tokens)", table.Rows, t.most)
	case t.Items != nil && len(table.Items) != table.Rows:
		return 0, fmt.Errorf("the table has %d items for %d rows: want one for each", len(table.Items), table.Rows)
	case len(table.Numbers) != table.Rows*t.Numbers || len(table.Texts) != table.Rows*t.Texts:
		return 0, fmt.Errorf("the table has %d numbers and %d texts for %d rows: want %d and %d for each", len(table.Numbers), len(table.Texts), table.Rows, t.Numbers, t.Texts)
	}
	number := 0
	for _, c := range t.Columns {
		if c.Text {
			continue
		}
		for at := number; c.Whole && at < len(table.Numbers); at += t.Numbers {
			// From 2^53 on a number may be not the one that was written: 2^53+1 has come to be 2^53.
			if v := table.Numbers[at]; v != math.Trunc(v) || !(math.Abs(v) < 1<<53) {
				return 0, fmt.Errorf("column %s is %v: want a whole number between -2^53 and 2^53", c.Name, v)
			}
		}
		number++
	}
	for i, text := range table.Texts {
		if strings.IndexByte(text, 0) >= 0 { // where the runtime would end it
			return 0, fmt.Errorf("column %s has a text with a zero byte, which no model reads", t.textColumn(i%t.Texts))
		}
	}
	r.table = table
	return table.Rows + t.historyCost(table.History), nil
}

// textColumn is the name of a column of texts.
func (t *tableModel) textColumn(n int) string {
	for _, c := range t.Columns {
		if c.Text {
			if n == 0 {
				return c.Name
			}
			n--
		}
	}
	return ""
}

func (t *tableModel) run(slot int, batch []batching.Item[*row]) error {
	s := t.slots[slot]
	s.rows = s.rows[:0]
	for _, item := range batch {
		s.rows = append(s.rows, item.Value)
	}
	defer clear(s.rows)
	var probe func() error
	if sample := t.sample.Load(); sample != nil {
		probe = func() error { return t.answer(s, []*row{{table: *sample}}) }
	}
	err := t.answer(s, s.rows)
	if err == nil && probe == nil {
		t.sample.CompareAndSwap(nil, s.rows[0].table.clone())
	}
	return verdict(err, len(batch), probe)
}

// tableSlot is what one slot runs with; its buffers are used again for every run.
type tableSlot struct {
	runner runner
	inputs []onnx.Input
	rows   []*row
}

func (t *tableModel) newSlot(r runner) *tableSlot {
	return &tableSlot{runner: r, inputs: make([]onnx.Input, len(t.Inputs))}
}

// answer runs tables as one batch, and gives each its columns or its own error.
func (t *tableModel) answer(s *tableSlot, rows []*row) error {
	total := t.fill(s, rows)
	began := time.Now()
	outputs, err := s.runner.Run(s.inputs)
	t.series.ran(began, total)
	if err != nil {
		return err
	}
	for i, o := range outputs {
		if n := len(o.Shape); n == 0 || n > 2 || o.Shape[0] != int64(total) {
			return fmt.Errorf("%w: output %s has shape %v for %d rows: want [rows] or [rows, numbers]", errShape, t.outputs[i], o.Shape, total)
		}
	}
	for h := range t.heads {
		head, o := &t.heads[h], &outputs[t.reads[h]]
		if width, labels := len(o.Data)/total, len(head.Labels); labels > 0 && width != labels {
			return fmt.Errorf("%w: output %s has %d numbers for a row, and %s %d labels (%s)", errShape, head.Output, width, head.Name, labels, strings.Join(head.Labels, ", "))
		}
	}
	now, from := time.Now(), 0
	for _, r := range rows {
		r.at = now
		r.columns, r.err = t.answers(outputs, from, r.table)
		from += r.table.Rows
	}
	return nil
}

// fill puts tables into the slot's inputs, one after the other, and returns how many rows they have.
func (t *tableModel) fill(s *tableSlot, rows []*row) (total int) {
	for _, r := range rows {
		total += r.table.Rows
	}
	for i := range t.Inputs {
		in, of := &s.inputs[i], &t.Inputs[i]
		if of.Role != folder.NoItems {
			t.fillItems(in, of.Role, rows, total)
			continue
		}
		in.Rows, in.Columns = total, of.Width
		in.Data, in.Floats, in.Doubles, in.Texts = in.Data[:0], in.Floats[:0], in.Doubles[:0], in.Texts[:0]
		for _, r := range rows {
			for n := range r.table.Rows {
				if of.Kind == onnx.String {
					in.Texts = append(in.Texts, r.table.Texts[n*t.Texts+of.From:][:of.Width]...)
					continue
				}
				numbers := r.table.Numbers[n*t.Numbers+of.From:][:of.Width]
				switch of.Kind {
				case onnx.Float32:
					in.Floats = appended(in.Floats, numbers)
				case onnx.Float64:
					in.Doubles = append(in.Doubles, numbers...)
				default:
					in.Data = appended(in.Data, numbers)
				}
			}
		}
	}
	return total
}

func appended[T float32 | int64](to []T, numbers []float64) []T {
	for _, v := range numbers {
		to = append(to, T(v))
	}
	return to
}

// answers are the columns for a table whose rows begin at from.
func (t *tableModel) answers(outputs []onnx.Output, from int, table Table) ([]pipeline.Field, error) {
	columns := make([]pipeline.Field, len(t.heads))
	for h := range t.heads {
		head, o := &t.heads[h], outputs[t.reads[h]]
		width := len(o.Data) / int(o.Shape[0])
		at := func(n int) (pipeline.Field, error) {
			return head.Column(tasks.Row{Values: o.Data[(from+n)*width:][:width], Width: width})
		}
		var err error
		if !table.List {
			if columns[h], err = at(0); err != nil {
				return nil, err
			}
			continue
		}
		if head.Kind == tasks.Score && len(head.Labels) == 0 && width == 1 {
			scores, err := head.AppendScores(make([]float32, 0, table.Rows), o.Data[from:][:table.Rows])
			if err != nil {
				return nil, err
			}
			columns[h] = pipeline.Field{Name: head.Name, Value: pipeline.FloatsValue(scores)}
			continue
		}
		list := pipeline.Value{Kind: pipeline.List, List: make([]pipeline.Value, table.Rows)}
		for n := range table.Rows {
			field, err := at(n)
			if err != nil {
				return nil, fmt.Errorf("row %d of %d: %w", n+1, table.Rows, err)
			}
			list.List[n] = field.Value
		}
		columns[h] = pipeline.Field{Name: head.Name, Value: list}
	}
	return columns, nil
}

// errShape says that the graph is not what it has to be, whatever it is given.
var errShape = errors.New("the graph does not answer as it says")

// clone keeps a table for longer than its caller does.
func (t *Table) clone() *Table {
	c := *t
	c.Numbers, c.Texts, c.Items, c.History = slices.Clone(t.Numbers), slices.Clone(t.Texts), slices.Clone(t.Items), slices.Clone(t.History)
	return &c
}

var errNoTable = errors.New("the model reads tables of columns, and a text was given")
