package models

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/models/onnx"
)

// check warms the model up and tries it, before anybody's text goes through it. neighbours says whether to try them too.
func (t *textModel) check(ctx context.Context, m manifest, limits batching.Limits, neighbours bool) error {
	t.sample = t.filler(min(t.max, 8))
	if err := t.warmUp(limits); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	if err := t.checkGolden(ctx, m); err != nil {
		return err
	}
	if !neighbours || limits.MaxItems == 1 {
		return nil
	}
	return t.checkNeighbours(m)
}

// warmUp runs the largest batch on all slots at once, so that memory is taken, or found lacking, now.
func (t *textModel) warmUp(limits batching.Limits) error {
	items := max(1, min(limits.MaxItems, limits.MaxTokens/t.max))
	var slots errgroup.Group
	for _, l := range t.lanes {
		slots.Go(func() error {
			rows := make([]*row, items)
			for i := range rows {
				longest := t.filler(t.max)
				rows[i] = &longest
			}
			_, err := t.compute(l, rows)
			if err != nil && !errors.Is(err, onnx.ErrRuntime) {
				return fmt.Errorf("%d rows of %d tokens: %w; if the model takes fewer tokens, want max_tokens in nearline.yaml to say how "+
					"many, and if it was exported without dynamic axes, another export", items, t.max, err)
			}
			return err
		})
	}
	return slots.Wait()
}

// filler is a row of so many tokens that mean nothing, each of which the model knows.
func (t *textModel) filler(tokens int) row {
	e := t.tokens.Encode("a")
	if len(e.IDs) == 0 {
		e.IDs, e.TypeIDs = []int64{t.tokens.PadID()}, []int64{0}
	}
	var r row
	for i := range tokens {
		r.ids = append(r.ids, e.IDs[i%len(e.IDs)])
		r.types = append(r.types, e.TypeIDs[i%len(e.IDs)])
	}
	t.place(&r)
	return r
}

// checkGolden compares the answers to the golden examples.
func (t *textModel) checkGolden(ctx context.Context, m manifest) error {
	tolerance := defaultTolerance
	if m.Tolerance != nil {
		tolerance = *m.Tolerance
	}
	for i, g := range m.Golden {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		var r row
		_, err := t.prepare(g.Text, &r)
		if err == nil {
			err = t.answer(t.lanes[0], []*row{&r})
		}
		if err == nil {
			err = r.err
		}
		if err != nil {
			return fmt.Errorf("golden[%d] %q: %w", i, shortened(g.Text), err)
		}
		for _, column := range r.columns {
			expect, ok := g.Expect[column.Name]
			if !ok {
				continue
			}
			if err := expect.Check(column.Value, tolerance); err != nil {
				return fmt.Errorf("golden[%d] %q: %s: %w", i, shortened(g.Text), column.Name, err)
			}
		}
	}
	return nil
}

// coarseTolerance is how far padding and a neighbour may move a logit before the model is refused. It is to tell a graph
// that heeds its attention mask, in whatever precision (thousandths), from one that does not (tenths). A guess.
const coarseTolerance = 0.05

// checkNeighbours tries, where rows are to share batches, whether they leave each other alone.
func (t *textModel) checkNeighbours(m manifest) error {
	longest := t.filler(t.max)
	rows := []row{t.filler(1 + t.max/8), t.filler(1 + t.max/2)}
	for _, g := range m.Golden[:min(8, len(m.Golden))] {
		var r row
		if _, err := t.prepare(g.Text, &r); err != nil {
			return err
		}
		rows = append(rows, r)
	}
	l := t.lanes[0]
	for i := range rows {
		alone, err := t.logits(l, &rows[i])
		if err != nil {
			return err
		}
		padded, err := t.logits(l, &rows[i], &longest)
		if err != nil {
			return err
		}
		for j := range alone {
			if d := math.Abs(float64(alone[j]) - float64(padded[j])); !(d <= coarseTolerance) {
				return fmt.Errorf("padding from %d to %d tokens moves a logit by %.3f, want at most %v: the graph does not heed its "+
					"attention mask, or takes scales over the batch; want models.batch.max_items 1, or another export",
					len(rows[i].ids), len(longest.ids), d, coarseTolerance)
			}
		}
	}
	return nil
}

// logits of the first row, of all outputs, in memory of their own.
func (t *textModel) logits(l *lane, rows ...*row) ([]float32, error) {
	outputs, err := t.compute(l, rows)
	if err != nil {
		return nil, err
	}
	var all []float32
	for _, o := range outputs {
		all = append(all, logits(o, 0)...)
	}
	return all, nil
}

// shortened is enough of a text to know it by.
func shortened(text string) string {
	const most = 60
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "..."
}
