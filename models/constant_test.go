package models

import (
	"reflect"
	"testing"

	"nearline/batching"
	"nearline/pipeline"
)

func TestConstantAnswersEveryTextAlikeWithoutARuntime(t *testing.T) {
	c := constantModel(t)
	m := loaded(t, c, "plumbing", running(t, c))
	predictions, faults, err := m.Predict(t.Context(), batching.Stream, Texts(numbered(100)...))
	if err != nil {
		t.Fatal(err)
	}
	want := []pipeline.Field{
		{Name: "sentiment", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "label", Value: pipeline.StringValue("positive")},
			pipeline.Field{Name: "score", Value: pipeline.FloatValue(0.5)})},
		{Name: "helpfulness", Value: pipeline.FloatValue(0.25)},
	}
	for i, p := range predictions {
		if faults[i] != nil {
			t.Fatalf("text %d: got fault %v", i, faults[i])
		}
		if p.Model != "plumbing" || p.Version != 1 || p.At.IsZero() || !reflect.DeepEqual(p.Columns, want) {
			t.Fatalf("text %d: got %+v, want the columns of nearline.yaml", i, p)
		}
	}
}
