package models

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/pipeline"
)

// loadTable loads the model of the parts, and completes m.info.
func loadTable(ctx context.Context, c Config, p *folder.Parts, slots int, m *Model) (_ *tableModel, err error) {
	t := newTable(p.Table, p.Heads, m.series)
	m.info.Reads, m.info.Alone = t.Columns, p.Alone()
	m.info.Limits = c.tableLimits(m.info.Alone != "")
	t.most = m.info.Limits.MaxTokens
	rowsOf := ""
	if t.Items != nil {
		m.info.Items, rowsOf = t.Items.Len(), "candidates"
		if t.Items.ReadHistory() {
			m.info.History = t.Items.Most
			t.most -= t.Items.Most
		}
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	err = t.open(ctx, c, p.GraphPath, rowsOf, slots, func(r runner) {
		t.slots = append(t.slots, t.newSlot(r))
	})
	if err != nil {
		return nil, err
	}
	if err := t.check(ctx, p.Manifest, m.info.Limits.MaxItems > 1); err != nil {
		return nil, err
	}
	if m.info.Limits.MaxItems > 1 {
		enterStage(ctx, "trying whether neighbours matter")
		if m.info.Alone = t.coupled(); m.info.Alone != "" {
			m.info.Limits.MaxItems = 1
		}
	}
	return t, nil
}

// check tries the model before anybody's row goes through it.
func (t *tableModel) check(ctx context.Context, m folder.Manifest, neighbours bool) error {
	enterStage(ctx, "answering its golden examples")
	if err := t.checkGolden(ctx, m, neighbours); err != nil {
		return err
	}
	if t.sample.Load() != nil {
		return nil
	}
	// Nobody says what its rows are like. It may refuse one of zeros, as a category that it does not know.
	blank := row{table: Table{Rows: 1, Numbers: make([]float64, t.Numbers), Texts: make([]string, t.Texts), List: t.Items != nil, Items: []string{""}}}
	enterStage(ctx, "trying a row of zeros")
	err := t.answer(t.slots[0], []*row{&blank})
	switch {
	case errors.Is(err, onnx.ErrRuntime), errors.Is(err, errShape), errors.Is(err, onnx.ErrShape):
		return fmt.Errorf("try: %w", err)
	case err == nil && blank.err == nil:
		t.sample.Store(&blank.table)
		t.example = blank.columns
	}
	return nil
}

// coupled says why rows have to run one at a time, or "": it tries whether a row that is known to work is answered alike beside others.
func (t *tableModel) coupled() string {
	sample := t.sample.Load()
	if sample == nil {
		return ""
	}
	other := sample.clone()
	for i := range other.Numbers {
		other.Numbers[i] = other.Numbers[i]*2 + 1 + float64(i%3)
	}
	beside := []*row{{table: *other}, {table: *sample}, {table: *other}}
	alone := &row{table: *sample}
	if t.answer(t.slots[0], []*row{alone}) != nil || alone.err != nil {
		return "" // it did so before
	}
	if err := t.answer(t.slots[0], beside); err != nil {
		return fmt.Sprintf("rows together fail where one alone does not: %v", err)
	}
	for i, column := range alone.columns {
		if beside[1].err != nil || !alike(column.Value, beside[1].columns[i].Value) {
			return fmt.Sprintf("rows beside each other move each other's answers: %v became %v", column.Value.Any(), beside[1].columns[i].Value.Any())
		}
	}
	return ""
}

// besideTolerance is what arithmetic in another order may move, as a share of the number.
const besideTolerance = 1e-3

// alike says whether two answers are the same, but for arithmetic.
func alike(a, b pipeline.Value) bool {
	near := func(x, y float64) bool { return x == y || math.Abs(x-y) <= besideTolerance*max(1, math.Abs(x)) }
	if a.Kind != b.Kind || a.Str != b.Str || !near(a.Float, b.Float) || len(a.Floats) != len(b.Floats) || len(a.List) != len(b.List) || len(a.Fields) != len(b.Fields) {
		return false
	}
	for i := range a.Floats {
		if !near(float64(a.Floats[i]), float64(b.Floats[i])) {
			return false
		}
	}
	for i := range a.List {
		if !alike(a.List[i], b.List[i]) {
			return false
		}
	}
	for i := range a.Fields {
		if !alike(a.Fields[i].Value, b.Fields[i].Value) {
			return false
		}
	}
	return true
}

// checkGolden compares the answers to the golden examples, each alone and, with neighbours, all in one batch.
func (t *tableModel) checkGolden(ctx context.Context, m folder.Manifest, neighbours bool) error {
	var rows []*row
	for i, g := range m.Golden {
		r := &row{}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		table, err := t.golden(g)
		if err == nil {
			_, err = t.prepare(Input{Table: table}, r)
		}
		if err == nil {
			err = t.answer(t.slots[0], []*row{r})
		}
		if err == nil {
			err = r.err
		}
		if err == nil {
			err = g.Compare(r.columns, m.GoldenTolerance())
		}
		if err != nil {
			return fmt.Errorf("golden[%d]: %w", i, err)
		}
		if t.sample.Load() == nil {
			t.sample.Store(&table)
			t.example = r.columns
		}
		rows = append(rows, r)
	}
	if !neighbours || len(rows) < 2 {
		return nil
	}
	if err := t.answer(t.slots[0], rows); err != nil {
		return fmt.Errorf("golden examples in one batch: %w", err)
	}
	for i, g := range m.Golden {
		err := rows[i].err
		if err == nil {
			err = g.Compare(rows[i].columns, m.GoldenTolerance())
		}
		if err != nil {
			return fmt.Errorf("golden[%d], in one batch with the others: rows of the graph move each other: %w", i, err)
		}
	}
	return nil
}

// golden is the table of a golden example. A column that it leaves out is missing.
func (t *tableModel) golden(g folder.Golden) (Table, error) {
	switch {
	case g.Text != "":
		return Table{}, errNoTable
	case g.History != nil && t.Items == nil:
		return Table{}, errors.New("history is for a model that knows items, remove it")
	case g.Candidates == nil && t.Items != nil:
		return Table{}, errors.New("candidates is missing: the model ranks, want [{item: ID, COLUMN: ...}, ...]")
	case g.Candidates == nil:
		table := Table{Rows: 1}
		return table, t.goldenRow(&table, g.Columns, "columns")
	}
	table := Table{Rows: len(g.Candidates), List: true, History: g.History}
	for i, candidate := range g.Candidates {
		if t.Items != nil {
			if candidate["item"] == nil {
				return table, fmt.Errorf("candidates[%d].item is missing: want the id of the candidate, or one that the model does not know", i)
			}
			table.Items = append(table.Items, fmt.Sprint(candidate["item"]))
			candidate = maps.Clone(candidate)
			delete(candidate, "item")
		}
		if err := t.goldenRow(&table, candidate, fmt.Sprintf("candidates[%d]", i)); err != nil {
			return table, err
		}
	}
	return table, nil
}

// goldenRow adds a row to a table.
func (t *tableModel) goldenRow(table *Table, columns map[string]any, path string) error {
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if !slices.ContainsFunc(t.Columns, func(c pipeline.Column) bool { return c.Name == name }) {
			return fmt.Errorf("%s.%s: the model has no such column, want %s", path, name, t.names())
		}
	}
	for _, c := range t.Columns {
		value, given := columns[c.Name]
		text, isText := value.(string)
		number, isNumber := asNumber(value)
		switch {
		case c.Text && (isText || !given):
			table.Texts = append(table.Texts, text)
		case !c.Text && isNumber:
			table.Numbers = append(table.Numbers, number)
		case !c.Text && !given && !c.Whole:
			table.Numbers = append(table.Numbers, math.NaN())
		default:
			return fmt.Errorf("%s.%s is %v: want a %s", path, c.Name, value, map[bool]string{true: "text", false: "number"}[c.Text])
		}
	}
	return nil
}

func (t *tableModel) names() string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// asNumber reads what YAML has for a number.
func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case uint64:
		return float64(v), true
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	case bool:
		return map[bool]float64{true: 1}[v], true
	}
	return 0, false
}
