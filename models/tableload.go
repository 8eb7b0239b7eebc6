package models

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"nearline/models/onnx"
)

// loadTable loads the model of the parts, and completes m.info.
func loadTable(ctx context.Context, c Config, p *parts, slots int, m *Model) (_ *tableModel, err error) {
	t := p.table
	m.info.Reads, m.info.Alone = t.columns, t.alone(p.graph)
	m.info.Limits = c.tableLimits(m.info.Alone != "")
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	err = t.open(ctx, c, p.graphPath, slots, func(r runner) {
		t.lanes = append(t.lanes, &tableLane{runner: r, inputs: make([]onnx.Input, len(t.inputs))})
	})
	if err != nil {
		return nil, err
	}
	return t, t.check(ctx, p.manifest, m.info.Limits.MaxItems > 1)
}

// check tries the model before anybody's row goes through it.
func (t *tableModel) check(ctx context.Context, m manifest, neighbours bool) error {
	if err := t.checkGolden(ctx, m, neighbours); err != nil {
		return err
	}
	if t.sample != nil {
		return nil
	}
	// Nobody says what its rows are like. It may refuse one of zeros, as a category that it does not know.
	blank := row{table: Table{Rows: 1, Numbers: make([]float64, t.numbers), Texts: make([]string, t.texts)}}
	if err := t.answer(t.lanes[0], []*row{&blank}); err == nil && blank.err == nil {
		t.sample, t.example = &blank.table, blank.columns
	}
	return nil
}

// checkGolden compares the answers to the golden examples, each alone and, with neighbours, all in one batch.
func (t *tableModel) checkGolden(ctx context.Context, m manifest, neighbours bool) error {
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
			err = t.answer(t.lanes[0], []*row{r})
		}
		if err == nil {
			err = r.err
		}
		if err == nil {
			err = g.compare(r.columns, m.tolerance())
		}
		if err != nil {
			return fmt.Errorf("golden[%d]: %w", i, err)
		}
		if t.sample == nil {
			t.sample, t.example = &table, r.columns
		}
		rows = append(rows, r)
	}
	if !neighbours || len(rows) < 2 {
		return nil
	}
	if err := t.answer(t.lanes[0], rows); err != nil {
		return fmt.Errorf("golden examples in one batch: %w", err)
	}
	for i, g := range m.Golden {
		err := rows[i].err
		if err == nil {
			err = g.compare(rows[i].columns, m.tolerance())
		}
		if err != nil {
			return fmt.Errorf("golden[%d], in one batch with the others: rows of the graph move each other: %w", i, err)
		}
	}
	return nil
}

// golden is the table of a golden example. A column that it leaves out is missing.
func (t *tableModel) golden(g golden) (Table, error) {
	table := Table{Rows: 1}
	if g.Text != "" {
		return table, errNoTable
	}
	for _, name := range sortedKeys(g.Columns) {
		if !slices.ContainsFunc(t.columns, func(c InputColumn) bool { return c.Name == name }) {
			return table, fmt.Errorf("columns.%s: the model has no such column, want %s", name, t.names())
		}
	}
	for _, c := range t.columns {
		value, given := g.Columns[c.Name]
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
			return table, fmt.Errorf("columns.%s is %v: want a %s", c.Name, value, map[bool]string{true: "text", false: "number"}[c.Text])
		}
	}
	return table, nil
}

func (t *tableModel) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
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
