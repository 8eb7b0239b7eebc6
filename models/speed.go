package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
)

// Pace is how fast a model's graph runs texts of one length, or rows of tables, so many at a time, on all slots at once. It is the graph's
// alone: reading, tokenizing and writing come on top, and run beside it.
type Pace struct {
	Tokens int     `json:"tokens,omitempty"` // of each text; 0 for rows of tables
	Batch  int     `json:"batch"`            // texts, or rows, in a run
	Texts  float64 `json:"texts_per_second"` // or rows
}

// Pace measures the graph alone on all slots at once, for about so long, with made-up texts of so many tokens, batch at a
// time whatever the limits say. No text may be in the model meanwhile.
func (m *Model) Pace(ctx context.Context, tokens, batch int, long time.Duration) (Pace, error) {
	t, ok := m.engine.(*textModel)
	switch {
	case !ok:
		return Pace{}, errors.New("the model has no graph that reads texts")
	case tokens < 1 || tokens > t.MaxTokens || batch < 1:
		return Pace{}, fmt.Errorf("pace of %d texts of %d tokens: want at least one, of 1 to %d", batch, tokens, t.MaxTokens)
	}
	return t.measure(ctx, tokens, batch, long)
}

// measure runs rows of made-up text for about so long.
func (t *textModel) measure(ctx context.Context, tokens, batch int, long time.Duration) (Pace, error) {
	rows := make([]*row, batch)
	for i := range rows {
		filler := t.filler(tokens)
		rows[i] = &filler
	}
	return runsFor(ctx, tokens, batch, long, t.slots, func(s *textSlot) error {
		_, err := t.compute(s, rows)
		return err
	})
}

// paces measures runs of one row, of some, and of as many as share one.
func (t *tableModel) paces(ctx context.Context, limits batching.Limits, long time.Duration) (paces []Pace, err error) {
	sample := t.sample.Load()
	if sample == nil {
		return nil, nil // nobody says what its rows are like: want golden examples
	}
	batches := []int{1, 32, limits.MaxItems}
	slices.Sort(batches)
	for _, batch := range slices.Compact(batches) {
		lists := max(1, batch/sample.Rows) // of a model that ranks
		if batch > limits.MaxItems || lists*sample.Rows > limits.MaxTokens {
			break
		}
		rows := make([]*row, lists)
		for i := range rows {
			rows[i] = &row{table: *sample}
		}
		p, err := runsFor(ctx, 0, lists*sample.Rows, long, t.slots, func(s *tableSlot) error {
			t.fill(s, rows)
			_, err := s.runner.Run(s.inputs)
			return err
		})
		if err != nil {
			return nil, err
		}
		paces = append(paces, p)
	}
	return paces, nil
}

// runsFor runs batches on all slots for about so long. The first run of each is not counted: it takes memory that the others find.
func runsFor[S any](ctx context.Context, tokens, batch int, long time.Duration, slots []S, run func(S) error) (Pace, error) {
	on := func(again func() bool) (runs int64, err error) {
		var total atomic.Int64
		var running errgroup.Group
		for _, s := range slots {
			running.Go(func() error {
				for done := 0; done < 1 || again(); done++ {
					if err := context.Cause(ctx); err != nil {
						return err
					}
					if err := run(s); err != nil {
						return err
					}
					total.Add(1)
				}
				return nil
			})
		}
		err = running.Wait()
		return total.Load(), err
	}
	if _, err := on(func() bool { return false }); err != nil {
		return Pace{}, err
	}
	began := time.Now()
	runs, err := on(func() bool { return time.Since(began) < long })
	if err != nil {
		return Pace{}, err
	}
	return Pace{Tokens: tokens, Batch: batch, Texts: float64(runs) * float64(batch) / time.Since(began).Seconds()}, nil
}
