package models

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Bare runs texts through a model's graph and nothing else: no queue, no tokenizer, no answers made of logits. It is for
// benchmarks, as what everything around the graph is measured against. It has lanes of its own, so that the model may
// answer at the same time, but then both are slower.
type Bare struct {
	text *textModel
	rows []*row
	all  []*lane
}

// NewBare tokenizes the texts for a model.
func NewBare(m *Model, texts []string) (*Bare, error) {
	t, ok := m.engine.(*textModel)
	if !ok {
		return nil, errors.New("a constant has no graph to run")
	}
	b := &Bare{text: t}
	for _, text := range texts {
		var r row
		if _, err := t.prepare(Input{Text: text}, &r); err != nil {
			return nil, err
		}
		b.rows = append(b.rows, &r)
	}
	for slot := range t.lanes {
		b.all = append(b.all, t.newLane(t.sessions[min(slot, len(t.sessions)-1)].Runner()))
	}
	return b, nil
}

// Tokens is how many tokens the texts have.
func (b *Bare) Tokens() (tokens int) {
	for _, r := range b.rows {
		tokens += len(r.ids)
	}
	return tokens
}

// Run runs all texts once, in their order, on as many slots as the model has, batch rows at a time, padded to the longest
// of them: 1 is the bare runtime, 32 what a server does that batches whatever comes first.
func (b *Bare) Run(batch int) error {
	return eachBatch(b.all, b.rows, batch, func(l *lane, rows []*row) error {
		b.text.fill(l, rows)
		_, err := l.runner.Run(l.inputs)
		return err
	})
}

// eachBatch runs all rows once, in their order, so many at a time, on all lanes at once.
func eachBatch[L any](lanes []L, rows []*row, batch int, run func(L, []*row) error) error {
	var next atomic.Int64
	var slots errgroup.Group
	for _, l := range lanes {
		slots.Go(func() error {
			for {
				end := int(next.Add(int64(batch)))
				if end-batch >= len(rows) {
					return nil
				}
				if err := run(l, rows[end-batch:min(end, len(rows))]); err != nil {
					return err
				}
			}
		})
	}
	return slots.Wait()
}
