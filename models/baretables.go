package models

import (
	"errors"
	"slices"
)

// BareTables runs tables through a model's graph and nothing else, as Bare does with texts. It is for benchmarks, as what everything around the graph is
// measured against.
type BareTables struct {
	model *tableModel
	rows  []*row
	lanes []*tableLane
}

// NewBareTables makes lanes of its own for the tables, which the model has to be able to read.
func NewBareTables(m *Model, tables []Table) (*BareTables, error) {
	t, ok := m.engine.(*tableModel)
	if !ok {
		return nil, errors.New("the model reads no tables")
	}
	b := &BareTables{model: t}
	for _, table := range tables {
		r := &row{}
		if _, err := t.prepare(Input{Table: table}, r); err != nil {
			return nil, err
		}
		b.rows = append(b.rows, r)
	}
	for slot := range t.lanes {
		b.lanes = append(b.lanes, t.newLane(t.sessions[min(slot, len(t.sessions)-1)].Runner()))
	}
	return b, nil
}

// Run runs all tables once, in their order, on as many slots as the model has, batch tables at a time, one after the other. Padded makes those that run
// together equally long first, as servers do that take a matrix: with rows of nothing.
func (b *BareTables) Run(batch int, padded bool) error {
	return eachBatch(b.lanes, b.rows, batch, func(l *tableLane, rows []*row) error {
		if padded {
			rows = b.model.padded(rows)
		}
		b.model.fill(l, rows)
		_, err := l.runner.Run(l.inputs)
		return err
	})
}

// padded copies of rows, each as long as the longest.
func (t *tableModel) padded(rows []*row) []*row {
	longest := 0
	for _, r := range rows {
		longest = max(longest, r.table.Rows)
	}
	copies := make([]*row, len(rows))
	for i, r := range rows {
		table, more := r.table, longest-r.table.Rows
		table.Rows = longest
		table.Numbers = append(slices.Clip(table.Numbers), make([]float64, more*t.Numbers)...)
		table.Texts = append(slices.Clip(table.Texts), make([]string, more*t.Texts)...)
		if t.Items != nil {
			table.Items = append(slices.Clip(table.Items), make([]string, more)...)
		}
		copies[i] = &row{table: table}
	}
	return copies
}
