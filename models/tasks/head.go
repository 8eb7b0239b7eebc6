// Package tasks says what a model's outputs mean: a head turns one row's logits into one column of a prediction. It knows
// classification with one label, and scores; ranking, embedding and several labels are to join them.
//
// It knows nothing of graphs, texts and batches: whoever runs the model cuts its outputs into rows.
package tasks

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"nearline/pipeline"
)

// Kind is what a head answers.
type Kind string

// The kinds of heads.
const (
	// Classification: one of several labels. The column is an Object {label, score}; score is the label's probability by
	// softmax over the logits.
	Classification Kind = "classification"
	// Score: one number. The column is a Float.
	Score Kind = "score"
)

// Activation is what a score's logit goes through.
type Activation string

// The activations.
const (
	Identity Activation = "identity" // the default
	Sigmoid  Activation = "sigmoid"  // to between 0 and 1
)

// ErrNotFinite says that a model answered with NaN or an infinity: it failed on this row.
var ErrNotFinite = errors.New("answer is not finite")

// Head is one column of a model's predictions, as nearline.yaml states it and, after Resolve, complete.
type Head struct {
	Name       string     `yaml:"name"`       // of the column
	Output     string     `yaml:"output"`     // of the graph
	Kind       Kind       `yaml:"kind"`       //
	Labels     []string   `yaml:"labels"`     // of a classification, in the order of the logits
	Activation Activation `yaml:"activation"` // of a score
}

// Output is an output of the graph, as far as heads care.
type Output struct {
	Name string
	// Width is the number of logits for each row, 0 when the graph leaves it open.
	Width int
}

// Source is what a model's other files say, for what its heads leave out.
type Source struct {
	Model       string   // its name
	Outputs     []Output // those of one row of logits for each row
	Labels      []string // id2label of config.json, by id
	ProblemType string   // problem_type of config.json
}

// Resolve fills in what the heads leave out, and checks them against the graph. Without heads there is one, for the
// output "logits", or else for the only one. The error joins everything that is wrong; keys are those of nearline.yaml.
//
//   - name: the output's, if there are several heads; the model's for the only one
//   - output: the one named as the head, or else the only one
//   - kind: score for one logit and for problem_type regression, classification otherwise
//   - labels: id2label, where there are as many as logits
func Resolve(heads []Head, s Source) ([]Head, error) {
	if s.ProblemType == "multi_label_classification" && len(heads) == 0 {
		return nil, errors.New("config.json has problem_type multi_label_classification: several labels for one text are not " +
			"supported yet; want heads in nearline.yaml that take each text to have one")
	}
	if len(heads) == 0 {
		heads = []Head{{}}
		if _, ok := s.output("logits"); ok {
			heads[0].Output = "logits"
		}
	}
	heads = slices.Clone(heads)
	var errs []error
	for i := range heads {
		if err := heads[i].resolve(s, len(heads)); err != nil {
			errs = append(errs, fmt.Errorf("heads[%d]%w", i, err))
			continue
		}
		for j := range i {
			if heads[j].Name == heads[i].Name {
				errs = append(errs, fmt.Errorf("heads[%d].name is %q: heads[%d] has that name, choose another", i, heads[i].Name, j))
			}
		}
	}
	return heads, errors.Join(errs...)
}

// resolve returns an error that begins with the key below the head.
func (h *Head) resolve(s Source, heads int) error {
	if h.Output == "" {
		if _, ok := s.output(h.Name); ok {
			h.Output = h.Name
		} else if len(s.Outputs) == 1 {
			h.Output = s.Outputs[0].Name
		} else {
			return fmt.Errorf(".output is missing, and the graph has several: want one of %s", s.names())
		}
	}
	output, ok := s.output(h.Output)
	if !ok {
		return fmt.Errorf(".output is %q: the graph has no such output with a row of logits, want one of %s", h.Output, s.names())
	}
	switch {
	case h.Name != "":
	case heads > 1:
		h.Name = h.Output
	default:
		h.Name = s.Model
	}
	if h.Kind == "" {
		h.Kind = Classification
		if output.Width == 1 || s.ProblemType == "regression" {
			h.Kind = Score
		}
	}
	switch h.Kind {
	case Classification:
		return h.resolveClassification(s, output)
	case Score:
		return h.resolveScore(output)
	}
	return fmt.Errorf(".kind is %q: want %s or %s", h.Kind, Classification, Score)
}

func (h *Head) resolveClassification(s Source, output Output) error {
	if h.Activation != "" {
		return fmt.Errorf(".activation is %q: a classification goes through softmax, remove it", h.Activation)
	}
	if len(h.Labels) == 0 && (output.Width == 0 || output.Width == len(s.Labels)) {
		h.Labels = s.Labels
	}
	switch n := len(h.Labels); {
	case n == 0 && output.Width > 0:
		return fmt.Errorf(".labels is missing, and id2label of config.json does not have %d: want the names of the %d labels of "+
			"output %q, in its order", output.Width, output.Width, output.Name)
	case n == 0:
		return fmt.Errorf(".labels is missing, and config.json has no id2label: want the labels of output %q, in its order", output.Name)
	case n == 1:
		return errors.New(".labels has one name: want at least two, or kind score")
	case output.Width > 0 && n != output.Width:
		return fmt.Errorf(".labels has %d names: want %d, as output %q has", n, output.Width, output.Name)
	}
	for i, label := range h.Labels {
		if label == "" {
			return fmt.Errorf(".labels[%d] is empty: want a name", i)
		}
		if slices.Contains(h.Labels[:i], label) {
			return fmt.Errorf(".labels[%d] is %q: another one has that name, choose another", i, label)
		}
	}
	return nil
}

func (h *Head) resolveScore(output Output) error {
	if len(h.Labels) > 0 {
		return errors.New(".labels: a score has none, remove them or choose kind classification")
	}
	if h.Activation == "" {
		h.Activation = Identity
	}
	if h.Activation != Identity && h.Activation != Sigmoid {
		return fmt.Errorf(".activation is %q: want %s or %s", h.Activation, Identity, Sigmoid)
	}
	if output.Width > 1 {
		return fmt.Errorf(".output is %q with %d logits for each row: a score has one, want kind classification", output.Name, output.Width)
	}
	return nil
}

func (s Source) output(name string) (Output, bool) {
	for _, o := range s.Outputs {
		if o.Name == name {
			return o, true
		}
	}
	return Output{}, false
}

func (s Source) names() string {
	if len(s.Outputs) == 0 {
		return "none (no output has the shape [batch] or [batch, logits])"
	}
	var list []string
	for _, o := range s.Outputs {
		list = append(list, o.Name)
	}
	return strings.Join(list, ", ")
}

// Column turns one row's logits into the head's column. The error wraps ErrNotFinite where a logit is NaN or infinite:
// such an answer is never handed on. Numbers are as exact as the logits are, 32 bits, and no more: digits beyond would be
// noise, and cost bytes in every result.
func (h *Head) Column(logits []float32) (pipeline.Field, error) {
	for _, v := range logits {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return pipeline.Field{}, fmt.Errorf("%w: output %s has %v", ErrNotFinite, h.Output, v)
		}
	}
	switch h.Kind {
	case Classification:
		if len(logits) != len(h.Labels) {
			return pipeline.Field{}, fmt.Errorf("output %s has %d logits for a row: want %d", h.Output, len(logits), len(h.Labels))
		}
		best, probability := softmaxMax(logits)
		return pipeline.Field{Name: h.Name, Value: pipeline.ObjectValue(
			pipeline.Field{Name: "label", Value: pipeline.StringValue(h.Labels[best])},
			pipeline.Field{Name: "score", Value: pipeline.FloatValue(float64(float32(probability)))},
		)}, nil
	default:
		if len(logits) != 1 {
			return pipeline.Field{}, fmt.Errorf("output %s has %d logits for a row: want 1", h.Output, len(logits))
		}
		score := float64(logits[0])
		if h.Activation == Sigmoid {
			score = 1 / (1 + math.Exp(-score))
		}
		return pipeline.Field{Name: h.Name, Value: pipeline.FloatValue(float64(float32(score)))}, nil
	}
}

// softmaxMax returns the index of the largest logit, the first among equals, and its probability.
func softmaxMax(logits []float32) (best int, probability float64) {
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - float64(logits[best]))
	}
	return best, 1 / sum
}
