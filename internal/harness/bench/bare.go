package main

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"nearline/models"
)

// bareRuntime runs inputs through a model's graph and nothing else, on as many slots as the model has.
type bareRuntime struct {
	slots  []*models.BareSlot
	inputs []*models.Prepared
}

func newBare(m *models.Model, inputs []models.Input) (*bareRuntime, error) {
	slots, err := m.Bare()
	if err != nil {
		return nil, err
	}
	b := &bareRuntime{slots: slots}
	for _, in := range inputs {
		prepared, err := m.Prepare(in)
		if err != nil {
			return nil, err
		}
		b.inputs = append(b.inputs, prepared)
	}
	return b, nil
}

// run runs all inputs once, in their order, so many at a time: one text is the bare runtime, 32 what a server does that batches whatever comes first.
func (b *bareRuntime) run(batch int) error {
	var next atomic.Int64
	var slots errgroup.Group
	for _, s := range b.slots {
		slots.Go(func() error {
			for {
				end := int(next.Add(int64(batch)))
				if end-batch >= len(b.inputs) {
					return nil
				}
				if err := s.Run(b.inputs[end-batch : min(end, len(b.inputs))]); err != nil {
					return err
				}
			}
		})
	}
	return slots.Wait()
}

// inputsOf are inputs of tables.
func inputsOf(tables []models.Table) []models.Input {
	inputs := make([]models.Input, len(tables))
	for i, table := range tables {
		inputs[i].Table = table
	}
	return inputs
}

// paddedTables are copies of tables, those that run together each as long as the longest of them, with rows of nothing, as servers do that take a matrix.
func paddedTables(tables []models.Table, together int) (padded []models.Table) {
	for batch := range slices.Chunk(tables, together) {
		longest := 0
		for _, table := range batch {
			longest = max(longest, table.Rows)
		}
		for _, table := range batch {
			more := longest - table.Rows
			table.Numbers = append(slices.Clip(table.Numbers), make([]float64, more*len(table.Numbers)/table.Rows)...)
			table.Texts = append(slices.Clip(table.Texts), make([]string, more*len(table.Texts)/table.Rows)...)
			table.Items = append(slices.Clip(table.Items), make([]string, more*len(table.Items)/table.Rows)...)
			table.Rows = longest
			padded = append(padded, table)
		}
	}
	return padded
}
