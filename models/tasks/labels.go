package tasks

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"nearline/pipeline"
)

// defaultThreshold is what Hugging Face and scikit-learn decide several labels by.
const defaultThreshold = 0.5

// resolveLabels completes a classification, with one label or with several.
func (h *Head) resolveLabels(s Source, output Output) error {
	isSet := slices.ContainsFunc(s.Sets, func(set Output) bool { return set.Name == output.Name })
	probabilities := isSet || slices.Contains(s.Probabilities, output.Name)
	if err := h.resolveActivation(probabilities); err != nil {
		return err
	}
	if err := h.takeLabels(s, output); err != nil {
		return err
	}
	if h.Kind == Classification && len(h.Labels) == 1 {
		return errors.New(".labels has one name: want at least two, or kind score")
	}
	if h.Top < 0 || h.Top > len(h.Labels) {
		return fmt.Errorf(".top is %d: want 1 to %d, the number of labels, or leave it out", h.Top, len(h.Labels))
	}
	if h.Scores != "" && h.Scores != "all" {
		return fmt.Errorf(".scores is %q: want all, or leave it out", h.Scores)
	}
	if h.Kind == MultiLabel {
		h.above = h.Threshold == nil && s.several(output)
		return h.resolveThresholds()
	}
	return nil
}

// usual is the activation that makes probabilities of logits.
func (h *Head) usual() Activation {
	if h.Kind == MultiLabel {
		return Sigmoid
	}
	return Softmax
}

// resolveActivation of an output that has, or has not, probabilities already.
func (h *Head) resolveActivation(probabilities bool) error {
	usual := h.usual()
	switch h.Activation {
	case "":
		if h.Activation = usual; probabilities {
			h.Activation = Identity
		}
	case usual, Identity:
	case Sigmoid:
		return fmt.Errorf(".activation is %q: the labels of a classification exclude each other, want %s, %s where the graph answers "+
			"probabilities already, or kind %s", h.Activation, Softmax, Identity, MultiLabel)
	default:
		return fmt.Errorf(".activation is %q: want %s, or %s where the graph answers probabilities already", h.Activation, usual, Identity)
	}
	return nil
}

// takeLabels takes the labels of config.json where the head has none, and checks them.
func (h *Head) takeLabels(s Source, output Output) error {
	if len(h.Labels) == 0 && (output.Width == 0 || output.Width == len(s.Labels)) {
		h.Labels = s.Labels
	}
	switch n := len(h.Labels); {
	case n == 0 && output.Width > 0:
		return fmt.Errorf(".labels is missing, and id2label of config.json does not have %d: want the names of the %d labels of "+
			"output %q, in its order, or kind: score where these are no classes", output.Width, output.Width, output.Name)
	case n == 0:
		return fmt.Errorf(".labels is missing, and config.json has no id2label: want the labels of output %q, in its order", output.Name)
	case output.Width > 0 && n != output.Width:
		return fmt.Errorf(".labels has %d names: want %d, as output %q has", n, output.Width, output.Name)
	}
	seen := make(map[string]bool, len(h.Labels))
	for i, label := range h.Labels {
		if label == "" {
			return fmt.Errorf(".labels[%d] is empty: want a name", i)
		}
		if seen[label] {
			return fmt.Errorf(".labels[%d] is %q: another one has that name, choose another", i, label)
		}
		seen[label] = true
	}
	return nil
}

func (h *Head) resolveThresholds() error {
	if h.Threshold == nil {
		threshold := defaultThreshold
		h.Threshold = &threshold
	}
	inside := func(p float64) bool { return p >= 0 && p <= 1 }
	if !inside(*h.Threshold) {
		return fmt.Errorf(".threshold is %v: want a probability from 0 to 1, such as %v", *h.Threshold, defaultThreshold)
	}
	for label, threshold := range h.Thresholds {
		if !slices.Contains(h.Labels, label) {
			return fmt.Errorf(".thresholds.%s: there is no such label, want those of labels", label)
		}
		if !inside(threshold) {
			return fmt.Errorf(".thresholds.%s is %v: want a probability from 0 to 1, such as %v", label, threshold, defaultThreshold)
		}
	}
	return nil
}

// reaches says whether a probability is enough for a label.
func (h *Head) reaches(label string, p float32) bool {
	if _, own := h.Thresholds[label]; !own && h.above {
		return p > h.threshold(label)
	}
	return p >= h.threshold(label)
}

// threshold of a label, in the 32 bits that probabilities are given in: what is shown as 0.7 reaches 0.7.
func (h *Head) threshold(label string) float32 {
	if own, ok := h.Thresholds[label]; ok {
		return float32(own)
	}
	return float32(*h.Threshold)
}

func (h *Head) classification(logits []float32) (pipeline.Value, error) {
	if h.Top == 0 && h.Scores == "" && h.Activation != Identity {
		// The common case takes no memory but the column's.
		best, probability := softmaxMax(logits)
		return h.labelled(best, probability), nil
	}
	probabilities, err := h.probabilities(logits)
	if err != nil {
		return pipeline.Value{}, err
	}
	best := 0
	for i, p := range probabilities {
		if p > probabilities[best] {
			best = i
		}
	}
	column := h.labelled(best, probabilities[best])
	if h.Top > 0 {
		column.Fields = append(column.Fields, h.list(ranking(probabilities)[:h.Top], probabilities))
	}
	return h.withScores(column, probabilities), nil
}

func (h *Head) multiLabel(logits []float32) (pipeline.Value, error) {
	probabilities, err := h.probabilities(logits)
	if err != nil {
		return pipeline.Value{}, err
	}
	ranked := slices.DeleteFunc(ranking(probabilities), func(i int) bool {
		return !h.reaches(h.Labels[i], float32(probabilities[i]))
	})
	if h.Top > 0 {
		ranked = ranked[:min(h.Top, len(ranked))]
	}
	return h.withScores(pipeline.ObjectValue(h.list(ranked, probabilities)), probabilities), nil
}

// labelled is one label with its probability.
func (h *Head) labelled(i int, probability float64) pipeline.Value {
	return pipeline.ObjectValue(
		pipeline.Field{Name: "label", Value: pipeline.StringValue(h.Labels[i])},
		pipeline.Field{Name: "score", Value: rounded(probability)},
	)
}

// list is the field with the labels of these indices.
func (h *Head) list(indices []int, probabilities []float64) pipeline.Field {
	list := pipeline.Value{Kind: pipeline.List}
	for _, i := range indices {
		list.List = append(list.List, h.labelled(i, probabilities[i]))
	}
	return pipeline.Field{Name: "labels", Value: list}
}

// withScores adds the field with all probabilities, if it is asked for.
func (h *Head) withScores(column pipeline.Value, probabilities []float64) pipeline.Value {
	if h.Scores != "" {
		column.Fields = append(column.Fields, pipeline.Field{Name: "scores", Value: h.named(probabilities)})
	}
	return column
}

// named is an Object with a number for each label.
func (h *Head) named(numbers []float64) pipeline.Value {
	object := pipeline.Value{Kind: pipeline.Object, Fields: make([]pipeline.Field, len(numbers))}
	for i, n := range numbers {
		object.Fields[i] = pipeline.Field{Name: h.Labels[i], Value: rounded(n)}
	}
	return object
}

// slack is how far past 0 and 1 a graph's own probabilities may be: half-precision sums are that rough.
const slack = 1e-3

// probabilities of the labels.
func (h *Head) probabilities(logits []float32) ([]float64, error) {
	p := make([]float64, len(logits))
	switch h.Activation {
	case Identity:
		for i, v := range logits {
			if v < -slack || v > 1+slack {
				return nil, fmt.Errorf("output %s has %v: activation %s wants a graph that answers probabilities, want %s in nearline.yaml", h.Output, v, Identity, h.usual())
			}
			p[i] = min(1, max(0, float64(v)))
		}
	case Sigmoid:
		for i, v := range logits {
			p[i] = sigmoid(float64(v))
		}
	default:
		best, highest := softmaxMax(logits)
		for i, v := range logits {
			p[i] = math.Exp(float64(v)-float64(logits[best])) * highest
		}
	}
	return p, nil
}

// ranking is the indices, the likeliest first; among equals the first.
func ranking(probabilities []float64) []int {
	indices := make([]int, len(probabilities))
	for i := range indices {
		indices[i] = i
	}
	slices.SortStableFunc(indices, func(a, b int) int {
		switch {
		case probabilities[a] > probabilities[b]:
			return -1
		case probabilities[a] < probabilities[b]:
			return 1
		}
		return 0
	})
	return indices
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
