package models

import (
	"errors"

	"nearline/models/onnx"
)

// BareSlot runs batches through a model's graph and nothing else: no queue, no tokenizer, no answers made of outputs. It is for benchmarks, as what
// everything around the graph is measured against. It has buffers of its own, so that the model may answer at the same time, but then both are
// slower. It is not safe for concurrent use; the slots of a model run beside each other.
type BareSlot struct {
	runner runner
	fill   func(rows []*row) []onnx.Input
	rows   []*row
}

// Prepared is an input that a graph can run: tokenized, or a table that was looked through.
type Prepared struct{ row row }

// Tokens is how many tokens a text has.
func (p *Prepared) Tokens() int { return len(p.row.ids) }

// Prepare an input for the bare slots of the model.
func (m *Model) Prepare(in Input) (*Prepared, error) {
	p := &Prepared{}
	_, err := m.engine.prepare(in, &p.row)
	return p, err
}

// Bare makes as many slots as the model has.
func (m *Model) Bare() (slots []*BareSlot, err error) {
	switch e := m.engine.(type) {
	case *textModel:
		for slot := range e.slots {
			s := e.newSlot(e.runner(slot))
			slots = append(slots, &BareSlot{runner: s.runner, fill: func(rows []*row) []onnx.Input {
				e.fill(s, rows)
				return s.inputs
			}})
		}
	case *tableModel:
		for slot := range e.slots {
			s := e.newSlot(e.runner(slot))
			slots = append(slots, &BareSlot{runner: s.runner, fill: func(rows []*row) []onnx.Input {
				e.fill(s, rows)
				return s.inputs
			}})
		}
	default:
		return nil, errors.New("a constant has no graph to run")
	}
	return slots, nil
}

// Run inputs as one batch: texts are padded to the longest of them, tables lie one after the other.
func (s *BareSlot) Run(batch []*Prepared) error {
	s.rows = s.rows[:0]
	for _, p := range batch {
		s.rows = append(s.rows, &p.row)
	}
	_, err := s.runner.Run(s.fill(s.rows))
	return err
}
