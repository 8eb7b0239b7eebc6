package models

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"nearline/batching"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// RankStep orders each row's candidates by a model's scores.
type RankStep struct {
	model *Model
	class batching.Class
	of    Candidates
	as    string
	top   int
}

var _ pipeline.Step = (*RankStep)(nil)

// Candidates says what rows have to be ranked.
type Candidates interface {
	// Lists of rows, in their order, all at once. Those with a fault have none; a row whose candidates cannot be had gets its fault.
	Lists(ctx context.Context, rows []*pipeline.Row) ([]pipeline.CandidateList, error)
	// Fields are examples of what lists have for the result.
	Fields() []pipeline.Field
}

// NewRankStep makes a step that answers with a column: a list of {item_id, score}, the highest score first, and of equal ones the one that came
// first; at most top of them, and all with 0. The model has a score for each row of a table.
func NewRankStep(model *Model, class batching.Class, of Candidates, as string, top int) (*RankStep, error) {
	info := model.Info()
	if info.Reads == nil && info.Items == 0 || len(info.Heads) != 1 || info.Heads[0].Kind != tasks.Score || len(info.Heads[0].Labels) > 0 {
		return nil, fmt.Errorf("model %s does not rank: want one that reads columns or items, and answers with one score for each", info.Name)
	}
	if info.Alone != "" {
		return nil, fmt.Errorf("model %s does not rank: its rows run one at a time, since %s", info.Name, info.Alone)
	}
	return &RankStep{model: model, class: class, of: of, as: as, top: top}, nil
}

// Name is rank and the model.
func (s *RankStep) Name() string { return "rank " + s.model.info.Name }

// Candidates are what the step ranks.
func (s *RankStep) Candidates() Candidates { return s.of }

// Columns that the step adds to a result, with an example.
func (s *RankStep) Columns() []pipeline.Field {
	entry := pipeline.TableValue(
		pipeline.Field{Name: pipeline.CandidateID, Value: pipeline.StringsValue([]string{""})},
		pipeline.Field{Name: "score", Value: pipeline.FloatsValue([]float32{0})})
	return append(s.of.Fields(), pipeline.Field{Name: s.as, Value: entry})
}

// Run ranks for the rows that have no fault yet. A row without candidates has an empty ranking, and the model is not asked.
func (s *RankStep) Run(ctx context.Context, rows []*pipeline.Row) error {
	lists, err := s.of.Lists(ctx, rows)
	if err != nil {
		return err
	}
	var inputs []Input
	var asked []int // rows
	for i, r := range rows {
		if r.Fault != nil {
			continue
		}
		if len(lists[i].Items) == 0 {
			s.answer(r, &lists[i], pipeline.Prediction{Model: s.model.info.Name, Version: s.model.info.Version, At: time.Now()}, nil)
			continue
		}
		inputs, asked = append(inputs, Input{Table: s.table(&lists[i])}), append(asked, i)
	}
	predictions, faults, err := s.model.Predict(ctx, s.class, inputs)
	if err != nil {
		return err
	}
	for n, i := range asked {
		r := rows[i]
		if faults[n] != nil {
			r.Fault = pipeline.Faultf(pipeline.ClassModel, pipeline.StagePredict, "%v", faults[n])
			r.Fault.Model, r.Fault.Version = s.model.info.Name, s.model.info.Version
			continue
		}
		s.answer(r, &lists[i], predictions[n], predictions[n].Columns[0].Value.Floats)
	}
	return nil
}

// table of a list, with a row for each candidate.
func (s *RankStep) table(list *pipeline.CandidateList) Table {
	table := Table{Rows: len(list.Items), Numbers: list.Numbers, Texts: list.Texts, List: true}
	if s.model.info.Items > 0 {
		table.Items, table.History = list.Items, list.History
	}
	return table
}

// answer puts the ranking into the row.
func (s *RankStep) answer(r *pipeline.Row, list *pipeline.CandidateList, p pipeline.Prediction, scores []float32) {
	order := descending(scores)
	if s.top > 0 {
		order = order[:min(s.top, len(order))]
	}
	items, ranked := make([]string, len(order)), make([]float32, len(order))
	for n, at := range order {
		i := uint32(at) //nolint:gosec // the lower half
		items[n], ranked[n] = list.Items[i], scores[i]
	}
	ranking := pipeline.TableValue(
		pipeline.Field{Name: pipeline.CandidateID, Value: pipeline.StringsValue(items)},
		pipeline.Field{Name: "score", Value: pipeline.FloatsValue(ranked)})
	p.Columns = []pipeline.Field{{Name: s.as, Value: ranking}}
	r.Predictions = append(r.Predictions, p)
	r.Features = append(r.Features, list.Fields...)
}

// descending orders scores, none of which is NaN, the highest first, and of equal ones the first: the lower half of each number is a score's index. The
// upper half orders them, as numbers are compared faster than a function is called.
func descending(scores []float32) []uint64 {
	const sign = 1 << 31
	order := make([]uint64, len(scores))
	for i, score := range scores {
		bits := math.Float32bits(score + 0) // -0 is 0
		if bits&sign != 0 {
			bits = ^bits // the larger, the further below 0
		} else {
			bits |= sign
		}
		order[i] = uint64(^bits)<<32 | uint64(i) //nolint:gosec // an index
	}
	slices.Sort(order)
	return order
}
