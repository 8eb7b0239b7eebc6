package models

import (
	"cmp"
	"context"
	"fmt"
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
	Lists(ctx context.Context, rows []*pipeline.Row) ([]CandidateList, error)
	// Fields are examples of what lists have for the result.
	Fields() []pipeline.Field
}

// CandidateList is what a row has to be ranked.
type CandidateList struct {
	// Items are the candidates' ids.
	Items []string
	// Table has a row for each of them.
	Table Table
	// Fields go into the result beside the ranking.
	Fields []pipeline.Field
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

// Columns that the step adds to a result, with an example.
func (s *RankStep) Columns() []pipeline.Field {
	entry := pipeline.ObjectValue(pipeline.Field{Name: "item_id", Value: pipeline.StringValue("")}, pipeline.Field{Name: "score", Value: pipeline.FloatValue(0)})
	return append(s.of.Fields(), pipeline.Field{Name: s.as, Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{entry}}})
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
		inputs, asked = append(inputs, Input{Table: lists[i].Table}), append(asked, i)
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

// answer puts the ranking into the row.
func (s *RankStep) answer(r *pipeline.Row, list *CandidateList, p pipeline.Prediction, scores []float32) {
	order := make([]int, len(list.Items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	if s.top > 0 {
		order = order[:min(s.top, len(order))]
	}
	ranking := pipeline.Value{Kind: pipeline.List, List: make([]pipeline.Value, len(order))}
	fields := make([]pipeline.Field, 2*len(order)) // of all of them
	for n, i := range order {
		fields[0] = pipeline.Field{Name: "item_id", Value: pipeline.StringValue(list.Items[i])}
		fields[1] = pipeline.Field{Name: "score", Value: pipeline.FloatValue(float64(scores[i]))}
		ranking.List[n], fields = pipeline.ObjectValue(fields[:2:2]...), fields[2:]
	}
	p.Columns = []pipeline.Field{{Name: s.as, Value: ranking}}
	r.Predictions = append(r.Predictions, p)
	r.Features = append(r.Features, list.Fields...)
}
