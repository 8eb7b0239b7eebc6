package models

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Pace is how fast a model's graph runs texts of one length, so many at a time, on all slots at once. It is the graph's
// alone: reading, tokenizing and writing come on top, and run beside it.
type Pace struct {
	Tokens int     `json:"tokens"` // of each text
	Batch  int     `json:"batch"`  // texts in a run
	Texts  float64 `json:"texts_per_second"`
}

// Pace measures the graph alone on all slots at once, for about so long, with made-up texts of so many tokens, batch at a
// time whatever the limits say. No text may be in the model meanwhile.
func (m *Model) Pace(ctx context.Context, tokens, batch int, long time.Duration) (Pace, error) {
	t, ok := m.engine.(*textModel)
	switch {
	case !ok:
		return Pace{}, errors.New("a constant has no graph to measure")
	case tokens < 1 || tokens > t.max || batch < 1:
		return Pace{}, fmt.Errorf("pace of %d texts of %d tokens: want at least one, of 1 to %d", batch, tokens, t.max)
	}
	return t.measure(ctx, tokens, batch, long)
}

// measure runs rows of made-up text for about so long. The first run of each slot is not
// counted: it takes memory that the others find.
func (t *textModel) measure(ctx context.Context, tokens, batch int, long time.Duration) (Pace, error) {
	rows := make([]*row, batch)
	for i := range rows {
		filler := t.filler(tokens)
		rows[i] = &filler
	}
	on := func(again func() bool) (runs int64, err error) {
		var total atomic.Int64
		var slots errgroup.Group
		for _, l := range t.lanes {
			slots.Go(func() error {
				for done := 0; done < 1 || again(); done++ {
					if err := context.Cause(ctx); err != nil {
						return err
					}
					if _, err := t.compute(l, rows); err != nil {
						return err
					}
					total.Add(1)
				}
				return nil
			})
		}
		err = slots.Wait()
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
