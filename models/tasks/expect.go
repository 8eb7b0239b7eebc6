package tasks

import (
	"fmt"
	"math"

	"nearline/pipeline"
)

// Expect is what a golden example wants of one column: in YAML {label: positive, score: 0.993} for a classification, the
// score optional; a number for a score.
type Expect struct {
	Label string
	Score *float64
}

// UnmarshalYAML reads either form.
func (e *Expect) UnmarshalYAML(unmarshal func(any) error) error {
	var number float64
	if err := unmarshal(&number); err == nil {
		e.Score = &number
		return nil
	}
	var object struct {
		Label string   `yaml:"label"`
		Score *float64 `yaml:"score"`
	}
	if err := unmarshal(&object); err != nil {
		return err
	}
	e.Label, e.Score = object.Label, object.Score
	return nil
}

// Fits says whether the head can be expected to answer this, as an error if not.
func (e Expect) Fits(h *Head) error {
	switch {
	case h.Kind == Score && (e.Label != "" || e.Score == nil):
		return fmt.Errorf("column %s is a score: want a number", h.Name)
	case h.Kind == Classification && e.Label == "":
		return fmt.Errorf("column %s is a classification: want {label: ..., score: ...}", h.Name)
	}
	return nil
}

// Check compares an answer: the same label, and a score at most tolerance away.
func (e Expect) Check(got pipeline.Value, tolerance float64) error {
	label, score := "", got.Float
	if got.Kind == pipeline.Object {
		l, _ := got.Lookup("label")
		s, _ := got.Lookup("score")
		label, score = l.Str, s.Float
	}
	switch {
	case e.Label != label:
		return fmt.Errorf("got %s, want %s", describe(label, &score), describe(e.Label, e.Score))
	// Written so that NaN fails.
	case e.Score != nil && !(math.Abs(score-*e.Score) <= tolerance):
		return fmt.Errorf("got %s, want %s within %v", describe(label, &score), describe(e.Label, e.Score), tolerance)
	}
	return nil
}

func describe(label string, score *float64) string {
	switch {
	case score == nil:
		return label
	case label == "":
		return fmt.Sprintf("%.4f", *score)
	}
	return fmt.Sprintf("%s %.4f", label, *score)
}
