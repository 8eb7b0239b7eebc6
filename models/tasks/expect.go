package tasks

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"nearline/pipeline"
)

// Expect is what a golden example wants of one column. In YAML it is
//
//   - {label: positive, score: 0.993} for a classification, the score optional
//   - {labels: [fit, price], scores: {fit: 0.91}} for several labels: all that reach their threshold, in any order, or
//     some of the probabilities, or both
//   - a number for a score, and {scores: {warmth: 0.4}} for one with several numbers
//   - a list of numbers for an embedding: the vector, or how it begins
type Expect struct {
	Label  string
	Score  *float64
	Labels []string // nil for none expected; empty for no label at all
	Scores map[string]float64
	Vector []float64
}

// UnmarshalYAML reads either form.
func (e *Expect) UnmarshalYAML(unmarshal func(any) error) error {
	var number float64
	if err := unmarshal(&number); err == nil {
		e.Score = &number
		return nil
	}
	var vector []float64
	if err := unmarshal(&vector); err == nil {
		e.Vector = vector
		return nil
	}
	var object struct {
		Label  string             `yaml:"label"`
		Score  *float64           `yaml:"score"`
		Labels []string           `yaml:"labels"`
		Scores map[string]float64 `yaml:"scores"`
	}
	if err := unmarshal(&object); err != nil {
		return err
	}
	e.Label, e.Score, e.Labels, e.Scores = object.Label, object.Score, object.Labels, object.Scores
	return nil
}

// Fits says whether the head can be expected to answer this, as an error if not.
func (e Expect) Fits(h *Head) error {
	labels, vector := e.Label != "" || e.Labels != nil, e.Vector != nil
	var fits bool
	var want string
	switch {
	case h.Kind == Embedding:
		fits = len(e.Vector) > 0 && !labels && e.Score == nil && e.Scores == nil
		want = "an embedding: want a list of numbers, the vector or how it begins"
	case h.Kind == Score && len(h.Labels) == 0:
		fits = e.Score != nil && !labels && !vector && e.Scores == nil
		want = "a score: want a number"
	case h.Kind == Score:
		fits = len(e.Scores) > 0 && !labels && !vector && e.Score == nil
		want = "a score of several numbers: want {scores: {" + h.Labels[0] + ": ...}}"
	case h.Kind == MultiLabel:
		fits = (e.Labels != nil || len(e.Scores) > 0) && e.Label == "" && !vector && e.Score == nil
		want = "of several labels: want {labels: [...]}, {scores: {...}} or both"
	default:
		fits = e.Label != "" && e.Labels == nil && !vector
		want = "a classification: want {label: ..., score: ...}"
	}
	if !fits {
		return fmt.Errorf("column %s is %s", h.Name, want)
	}
	names := append(sortedKeys(e.Scores), e.Labels...)
	if e.Label != "" {
		names = append(names, e.Label)
	}
	for _, name := range names {
		if !slices.Contains(h.Labels, name) {
			return fmt.Errorf("column %s has no label %q: want one of %s", h.Name, name, listed(h.Labels))
		}
	}
	if len(e.Scores) > 0 && h.Kind == Classification && h.Scores == "" && h.Top == 0 {
		return fmt.Errorf("column %s has no scores: want scores: all in its head", h.Name)
	}
	if h.Kind == Embedding && h.Dimension > 0 && len(e.Vector) > h.numbers(h.Dimension) {
		return fmt.Errorf("column %s has %d numbers: got %d", h.Name, h.numbers(h.Dimension), len(e.Vector))
	}
	return nil
}

// Check compares an answer: the same labels, and numbers at most tolerance away. Of a vector that is the length of the
// difference over the length of what is expected; bits are given as the bytes that they are in.
func (e Expect) Check(got pipeline.Value, tolerance float64) error {
	if e.Vector != nil {
		return e.checkVector(got, tolerance)
	}
	label, score := "", got.Float
	if got.Kind == pipeline.Object {
		l, _ := got.Lookup("label")
		s, _ := got.Lookup("score")
		label, score = l.Str, s.Float
	}
	if e.Label != "" || e.Score != nil {
		switch {
		case e.Label != label:
			return fmt.Errorf("got %s, want %s", describe(label, &score), describe(e.Label, e.Score))
		case e.Score != nil && !near(score, *e.Score, tolerance):
			return fmt.Errorf("got %s, want %s within %v", describe(label, &score), describe(e.Label, e.Score), tolerance)
		}
	}
	if e.Labels != nil {
		if found := labelsOf(got); !sameNames(found, e.Labels) {
			return fmt.Errorf("got labels %s, want %s", listed(found), listed(e.Labels))
		}
	}
	for _, name := range sortedKeys(e.Scores) {
		number, ok := scoreOf(got, name)
		if !ok {
			return fmt.Errorf("got no score for %q, which is not among the labels listed: want scores: all in the head, or another example", name)
		}
		if !near(number, e.Scores[name], tolerance) {
			return fmt.Errorf("got %s, want %s within %v", describe(name, &number), describe(name, new(e.Scores[name])), tolerance)
		}
	}
	return nil
}

func (e Expect) checkVector(got pipeline.Value, tolerance float64) error {
	var numbers []float64
	for _, f := range got.Floats {
		numbers = append(numbers, float64(f))
	}
	for i := range len(got.Str) {
		switch got.Kind {
		case pipeline.Int8s:
			numbers = append(numbers, float64(int8(got.Str[i])))
		case pipeline.Uint8s:
			numbers = append(numbers, float64(got.Str[i]))
		}
	}
	if len(numbers) < len(e.Vector) {
		return fmt.Errorf("got %d numbers, want at least %d", len(numbers), len(e.Vector))
	}
	difference, length := 0.0, 0.0
	for i, want := range e.Vector {
		difference += (numbers[i] - want) * (numbers[i] - want)
		length += want * want
	}
	if off := math.Sqrt(difference) / max(math.Sqrt(length), 1e-12); !(off <= tolerance) {
		return fmt.Errorf("got %.4f, which is off by %.4f of its length: want %.4f within %v", numbers[:len(e.Vector)], off, e.Vector, tolerance)
	}
	return nil
}

// near is written so that NaN is not.
func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

// labelsOf are the names in the column's list.
func labelsOf(column pipeline.Value) []string {
	list, _ := column.Lookup("labels")
	names := make([]string, 0, len(list.List))
	for _, item := range list.List {
		name, _ := item.Lookup("label")
		names = append(names, name.Str)
	}
	return names
}

// scoreOf finds a label's number: among all scores, in the list, or as a field of a score of several numbers.
func scoreOf(column pipeline.Value, name string) (float64, bool) {
	if scores, ok := column.Lookup("scores"); ok && scores.Kind == pipeline.Object {
		number, ok := scores.Lookup(name)
		return number.Float, ok
	}
	if list, ok := column.Lookup("labels"); ok && list.Kind == pipeline.List {
		for _, item := range list.List {
			if label, _ := item.Lookup("label"); label.Str == name {
				number, ok := item.Lookup("score")
				return number.Float, ok
			}
		}
		return 0, false
	}
	number, ok := column.Lookup(name)
	return number.Float, ok && number.Kind == pipeline.Float
}

func sameNames(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// listed is enough of a list of names to know it by.
func listed(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
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

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
