package models

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/pipeline"
)

// constant answers every text alike, at once: to see what everything around a model costs, and to test it where no
// runtime is. Its rows take the way through the scheduler that all rows take, at a cost of one token.
type constant struct {
	columns []pipeline.Field
}

func newConstant(m folder.Manifest) (*constant, error) {
	columns, err := m.ConstantColumns()
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, g := range m.Golden {
		for _, name := range slices.Sorted(maps.Keys(g.Expect)) {
			if !slices.ContainsFunc(columns, func(f pipeline.Field) bool { return f.Name == name }) {
				errs = append(errs, fmt.Errorf("golden[%d].expect.%s: columns has no such name", i, name))
			}
		}
		if err := g.Compare(columns, m.GoldenTolerance()); err != nil {
			errs = append(errs, fmt.Errorf("golden[%d]: %w", i, err))
		}
	}
	return &constant{columns}, errors.Join(errs...)
}

func (c *constant) prepare(Input, *row) (int, error) { return 1, nil }

func (c *constant) run(_ int, batch []batching.Item[*row]) error {
	now := time.Now()
	for _, item := range batch {
		item.Value.columns, item.Value.at = c.columns, now
	}
	return nil
}

func (c *constant) close() error { return nil }
