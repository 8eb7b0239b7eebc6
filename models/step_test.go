package models

import (
	"testing"

	"nearline/batching"
	"nearline/pipeline"
)

func TestStepAddsPredictionsAndFaults(t *testing.T) {
	const letterQ = 10 + 'q' - 'a'
	step := NewStep(fakeModel(t, 8, containing(letterQ, pipelineError("broken"))), batching.Stream, map[string]string{"last": "final"}, nil)
	earlier := pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode, "no text")
	rows := []*pipeline.Row{{Text: "good"}, {Text: "q"}, {Fault: earlier}, {Text: "bad", Predictions: []pipeline.Prediction{{Model: "before"}}}}
	if err := step.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if got := rows[0]; got.Fault != nil || len(got.Predictions) != 1 || got.Predictions[0].Columns[0].Name != "final" {
		t.Errorf("a sound row: got %+v, want one prediction with the column final", got)
	}
	f := rows[1].Fault
	if f == nil || f.Class != pipeline.ClassModel || f.Stage != pipeline.StagePredict || f.Model != "fake" || f.Version != 7 || f.Cause != "broken" {
		t.Errorf("a row that the model fails on: got %+v, want a fault of class model that names fake version 7", f)
	}
	if rows[2].Fault != earlier || rows[2].Predictions != nil {
		t.Errorf("a row with a fault: got %+v, want it untouched", rows[2])
	}
	if got := rows[3].Predictions; len(got) != 2 || got[0].Model != "before" {
		t.Errorf("got %+v, want the prediction added to the one before", got)
	}
	if step.Name() != "predict fake" {
		t.Errorf("got name %q", step.Name())
	}
}

func TestStepShowsWhatItsColumnsHold(t *testing.T) {
	c := constantModel(t)
	step := NewStep(loaded(t, c, "plumbing", running(t, c)), batching.Stream, map[string]string{"helpfulness": "helpful"}, nil)
	columns := step.Columns()
	if len(columns) != 2 || columns[0].Name != "sentiment" || columns[0].Value.Kind != pipeline.Object || columns[1].Name != "helpful" || columns[1].Value.Float != 0.25 {
		t.Errorf("a constant: got %+v", columns)
	}
	columns = NewStep(fakeModel(t, 1, runnerFunc(lastIDs)), batching.Stream, map[string]string{"last": "final"}, nil).Columns()
	if len(columns) != 1 || columns[0].Name != "final" || columns[0].Value.Kind != pipeline.Null {
		t.Errorf("a model that was never tried: got %+v", columns)
	}
}

type pipelineError string

func (e pipelineError) Error() string { return string(e) }

func TestStepOfNothingDoesNothing(t *testing.T) {
	step := NewStep(fakeModel(t, 1, runnerFunc(lastIDs)), batching.Stream, nil, nil)
	if err := step.Run(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
