package tasks

import (
	"errors"
	"fmt"

	"nearline/pipeline"
)

// resolveScore completes a score. One logit has no label; several have one each.
func (h *Head) resolveScore(s Source, output Output) error {
	if h.Activation == "" {
		h.Activation = Identity
	}
	if h.Activation != Identity && h.Activation != Sigmoid {
		return fmt.Errorf(".activation is %q: want %s or %s", h.Activation, Identity, Sigmoid)
	}
	switch {
	case output.Width == 1 && len(h.Labels) > 0:
		return errors.New(".labels: a score has none, remove them or choose kind classification")
	case output.Width == 1:
		return nil
	case output.Width == 0 && len(h.Labels) == 0 && (s.ProblemType != "regression" || len(s.Labels) < 2):
		return nil // one logit, as far as anybody says
	}
	return h.takeLabels(s, output)
}

func (h *Head) score(logits []float32) pipeline.Value {
	activated := func(v float32) float64 {
		if h.Activation == Sigmoid {
			return sigmoid(float64(v))
		}
		return float64(v)
	}
	if len(h.Labels) == 0 {
		return rounded(activated(logits[0]))
	}
	numbers := make([]float64, len(logits))
	for i, v := range logits {
		numbers[i] = activated(v)
	}
	return h.named(numbers)
}

// AppendScores appends the scores of an output that has one number for each of many rows; otherwise as Column.
func (h *Head) AppendScores(scores, logits []float32) ([]float32, error) {
	if err := h.finite(logits); err != nil {
		return nil, err
	}
	from := len(scores)
	scores = append(scores, logits...)
	if h.Activation == Sigmoid {
		for i, v := range logits {
			scores[from+i] = float32(sigmoid(float64(v)))
		}
	}
	return scores, nil
}
