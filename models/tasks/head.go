// Package tasks says what a model's outputs mean: a head turns what the graph answers for one row into one column of a
// prediction. It knows classification with one label and with several, scores, and embeddings; a ranking is the order of scores.
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

// The kinds of heads, and the columns that they make. Columns have the same shape for every text, so that one Avro schema
// fits: an Object is a record or a map, whatever its names; a List is an array.
const (
	// Classification: one of several labels. The column is an Object {label, score}; score is the label's probability.
	// With top: N it also has labels, a List of the N likeliest as {label, score}, likeliest first. With scores: all it
	// also has scores, an Object with the probability of each label, in the order of the logits.
	Classification Kind = "classification"
	// MultiLabel: any number of labels, none too. The column is an Object {labels}: a List of {label, score}, likeliest
	// first, of the labels whose probability is at least the threshold, at most top of them. With scores: all it also has
	// scores, an Object with the probability of each label: for those who want to choose their threshold later.
	//
	// Not one field for each label that was found: then a result's fields would differ from text to text, and no record of
	// an Avro schema, and no table, could hold them.
	MultiLabel Kind = "multi_label"
	// Score: a number that means something by itself. The column is a Float; of an output with several numbers it is an
	// Object with a Float for each label.
	Score Kind = "score"
	// Embedding: a vector that means something beside other vectors. The column is Floats, or what its type says.
	Embedding Kind = "embedding"
)

// kinds to choose from.
const kinds = "classification, multi_label, score or embedding"

// Activation is what logits go through.
type Activation string

// The activations.
const (
	Identity Activation = "identity" // the default of a score; of a classification: the graph answers probabilities already
	Sigmoid  Activation = "sigmoid"  // to between 0 and 1, each by itself; the default of several labels
	Softmax  Activation = "softmax"  // to probabilities that add up to 1; the default of a classification
)

// ErrNotFinite says that a model answered with NaN or an infinity: it failed on this row.
var ErrNotFinite = errors.New("answer is not finite")

// Head is one column of a model's predictions, as nearline.yaml states it and, after Resolve, complete.
type Head struct {
	Name       string     `yaml:"name"`       // of the column
	Output     string     `yaml:"output"`     // of the graph
	Kind       Kind       `yaml:"kind"`       //
	Labels     []string   `yaml:"labels"`     // in the order of the logits: of all kinds but embedding
	Activation Activation `yaml:"activation"` // of all kinds but embedding

	// Threshold is the probability from which on a label of several is one; nil is 0.5. Thresholds are those of labels
	// that have one of their own.
	Threshold  *float64           `yaml:"threshold"`
	Thresholds map[string]float64 `yaml:"thresholds"`
	// Top is how many labels the column lists; 0 is none for a classification, and all that reach it for several labels.
	Top int `yaml:"top"`
	// Scores is all, or "": whether the column has every label's probability too.
	Scores string `yaml:"scores"`

	Vector `yaml:",inline"` // of an embedding

	above bool // a probability has to be above the threshold, as scikit-learn has it, and not at it
}

// Output is an output of the graph, as far as heads care.
type Output struct {
	Name string
	// Width is how many numbers there are for each row, or for each token, 0 when the graph leaves it open.
	Width int
	// Tokens says that there are as many for each token of a row: [batch, tokens, width].
	Tokens bool
}

// Source is what a model's other files say, for what its heads leave out.
type Source struct {
	Model       string   // its name
	Outputs     []Output // those that heads can read
	Labels      []string // id2label of config.json, by id
	ProblemType string   // problem_type of config.json
	// Probabilities are the outputs whose numbers are probabilities already, as classifiers of scikit-learn's kind answer them.
	Probabilities []string
	// Sets are outputs that say of each of several labels whether a row has it, 0 or 1; a Width of 0 is not known.
	Sets []Output
	// Embedding says that heads without a kind, and a model without heads, are embeddings, made as Vector says.
	Embedding bool
	Vector    Vector
	// Unsupported says which of the model's modules pooling leaves out, and what to do; "" when there is none.
	Unsupported string
}

// Row is what an output has for one row. It is valid for the time of a call.
type Row struct {
	// Values has Width numbers; of an output with tokens it has as many for each token, one token after the other.
	Values []float32
	Width  int
	// Tokens is how many of the tokens are the row's, the first ones: the rest is padding. 0 for an output without tokens.
	Tokens int
	// Prompt is how many of them are a prompt that pooling may pass by.
	Prompt int
}

// Resolve fills in what the heads leave out, and checks them against the graph. Without heads there is one: of an embedding
// for the output "sentence_embedding", "last_hidden_state" or "token_embeddings", otherwise for "logits", or for probabilities, or
// else for the only output. The error joins everything that is wrong; keys are those of nearline.yaml.
//
//   - name: the output's, if there are several heads; the model's for the only one
//   - output: the one named as the head, or else the only one
//   - kind: embedding for an output with tokens, and where a key of an embedding is set; multi_label for problem_type multi_label_classification, and where
//     another output says that rows have several labels; score for one logit and for problem_type regression; classification otherwise
//   - labels: id2label, where there are as many as logits
//   - pooling, normalize: what the files of sentence-transformers say
func Resolve(heads []Head, s Source) ([]Head, error) {
	if len(heads) == 0 {
		heads = []Head{{Output: s.usual(s.Embedding)}}
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

// usual is the output that exporters give the answer, "" when there is none of their names.
func (s Source) usual(embedding bool) string {
	usual := append([]string{"logits"}, s.Probabilities...)
	if embedding {
		usual = []string{"sentence_embedding", "last_hidden_state", "token_embeddings"}
	}
	for _, name := range usual {
		if _, ok := s.output(name); ok {
			return name
		}
	}
	return ""
}

// resolve returns an error that begins with the key below the head.
func (h *Head) resolve(s Source, heads int) error {
	if h.Output == "" {
		if _, ok := s.output(h.Name); ok {
			h.Output = h.Name
		} else if only := s.readable(h.Kind); len(only) == 1 {
			h.Output = only[0].Name
		} else if usual := s.usual(true); usual != "" && (h.Kind == Embedding || h.Kind == "" && s.Embedding) {
			h.Output = usual
		} else if usual := s.usual(false); slices.Contains(s.Probabilities, usual) && heads == 1 && h.Kind != Embedding {
			h.Output = usual
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
	set, several := s.set(output)
	switch {
	case h.Kind == "":
		h.Kind = s.kind(h, output)
	case several && h.Kind == Classification:
		return fmt.Errorf(".kind is %q: output %q says of each label whether a row has it, want kind %s", h.Kind, set, MultiLabel)
	}
	if output.Tokens && h.Kind != Embedding {
		return fmt.Errorf(".output is %q with a vector for each token: a %s has one row of logits for each text, want kind embedding, "+
			"or another output", output.Name, h.Kind)
	}
	if err := h.misplaced(); err != nil {
		return err
	}
	switch h.Kind {
	case Classification, MultiLabel:
		return h.resolveLabels(s, output)
	case Score:
		return h.resolveScore(s, output)
	case Embedding:
		return h.resolveEmbedding(s, output)
	}
	return fmt.Errorf(".kind is %q: want %s", h.Kind, kinds)
}

// kind of a head that does not say it.
func (s Source) kind(h *Head, o Output) Kind {
	labelled := len(h.Labels) > 0 || h.Activation != "" || h.Threshold != nil || h.Thresholds != nil || h.Top != 0 || h.Scores != ""
	switch {
	case o.Tokens, h.vectorKey() != "", s.Embedding && !labelled && o.Name != "logits" && o.Width != 1:
		return Embedding
	case s.several(o):
		return MultiLabel
	case s.ProblemType == "multi_label_classification" && (o.Width != 1 || len(s.Labels) == 1):
		return MultiLabel
	case o.Width == 1 || s.ProblemType == "regression":
		return Score
	}
	return Classification
}

// set is the output that says which labels a row has, of those that another one has probabilities of, or which it is itself.
func (s Source) set(o Output) (name string, ok bool) {
	for _, set := range s.Sets {
		known := set.Width > 0 && o.Width > 0
		if o.Name == set.Name || known && o.Width == set.Width || !known && o.Width != 1 && slices.Contains(s.Probabilities, o.Name) {
			return set.Name, true
		}
	}
	return "", false
}

func (s Source) several(o Output) bool {
	_, ok := s.set(o)
	return ok
}

// misplaced refuses keys that belong to other kinds.
func (h *Head) misplaced() error {
	labelled := h.Kind == Classification || h.Kind == MultiLabel
	switch {
	case h.Kind != MultiLabel && h.Threshold != nil:
		return fmt.Errorf(".threshold is %v: it is for kind multi_label, remove it", *h.Threshold)
	case h.Kind != MultiLabel && len(h.Thresholds) > 0:
		return errors.New(".thresholds: they are for kind multi_label, remove them")
	case !labelled && h.Top != 0:
		return fmt.Errorf(".top is %d: it is for kind classification and multi_label, remove it", h.Top)
	case !labelled && h.Scores != "":
		return fmt.Errorf(".scores is %q: it is for kind classification and multi_label, remove it", h.Scores)
	case h.Kind == Embedding && len(h.Labels) > 0:
		return errors.New(".labels: an embedding has none, remove them")
	case h.Kind == Embedding && h.Activation != "":
		return fmt.Errorf(".activation is %q: an embedding has none, remove it", h.Activation)
	case h.Kind != Embedding && h.vectorKey() != "":
		return fmt.Errorf(".%s: it is for kind embedding, remove it", h.vectorKey())
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

// readable are the outputs that a head of the kind could read.
func (s Source) readable(kind Kind) []Output {
	if kind == Embedding || kind == "" && s.Embedding {
		return s.Outputs
	}
	flat := slices.DeleteFunc(slices.Clone(s.Outputs), func(o Output) bool { return o.Tokens })
	if len(flat) == 0 && kind == "" {
		return s.Outputs
	}
	return flat
}

func (s Source) names() string {
	if len(s.Outputs) == 0 {
		return "none (no output has the shape [batch], [batch, logits] or [batch, tokens, hidden])"
	}
	var list []string
	for _, o := range s.Outputs {
		list = append(list, o.Name)
	}
	return strings.Join(list, ", ")
}

// Column turns what an output has for a row into the head's column. The error wraps ErrNotFinite where a number of it is
// NaN or infinite: such an answer is never handed on. Numbers are as exact as the logits are, 32 bits, and no more: digits
// beyond would be noise, and cost bytes in every result.
func (h *Head) Column(row Row) (pipeline.Field, error) {
	var value pipeline.Value
	var err error
	switch h.Kind {
	case Embedding:
		value, err = h.embedding(row)
	case MultiLabel:
		if err = h.sound(row, len(h.Labels)); err == nil {
			value, err = h.multiLabel(row.Values)
		}
	case Classification:
		if err = h.sound(row, len(h.Labels)); err == nil {
			value, err = h.classification(row.Values)
		}
	default:
		if err = h.sound(row, max(1, len(h.Labels))); err == nil {
			value = h.score(row.Values)
		}
	}
	return pipeline.Field{Name: h.Name, Value: value}, err
}

// sound says whether there are as many logits as there should be, all of them finite.
func (h *Head) sound(row Row, want int) error {
	if row.Tokens > 0 {
		return fmt.Errorf("output %s has a vector for each token: want a row of %d logits", h.Output, want)
	}
	if err := h.finite(row.Values); err != nil {
		return err
	}
	if len(row.Values) != want {
		return fmt.Errorf("output %s has %d logits for a row: want %d", h.Output, len(row.Values), want)
	}
	return nil
}

func (h *Head) finite(values []float32) error {
	for _, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%w: output %s has %v", ErrNotFinite, h.Output, v)
		}
	}
	return nil
}

// rounded is a number in the 32 bits that it is worth.
func rounded(f float64) pipeline.Value { return pipeline.FloatValue(float64(float32(f))) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
