package folder

import (
	"fmt"
	"slices"

	"nearline/models/onnx"
	"nearline/models/tasks"
)

// rowOutputs are the outputs that heads can read: of shape [batch], [batch, logits] or [batch, tokens, hidden], or not stated.
func rowOutputs(infos []onnx.Info) []tasks.Output {
	var outputs []tasks.Output
	for _, i := range infos {
		switch {
		case i.Type == onnx.String: // classes by name, of which there are the probabilities too
		case i.Shape == nil:
			tokens := i.Name == "last_hidden_state" || i.Name == "token_embeddings"
			outputs = append(outputs, tasks.Output{Name: i.Name, Tokens: tokens})
		case len(i.Shape) == 1:
			outputs = append(outputs, tasks.Output{Name: i.Name, Width: 1})
		case len(i.Shape) == 2:
			outputs = append(outputs, tasks.Output{Name: i.Name, Width: int(max(0, i.Shape[1]))})
		case len(i.Shape) == 3:
			outputs = append(outputs, tasks.Output{Name: i.Name, Width: int(max(0, i.Shape[2])), Tokens: true})
		}
	}
	return outputs
}

// checkOutputs names graphs whose answers are about places in a text.
func checkOutputs(outputs []onnx.Info) error {
	for _, o := range outputs {
		switch {
		case o.Name == "logits" && len(o.Shape) == 3:
			return fmt.Errorf("the graph answers %s, for each token: want a model that answers for whole texts, exported with "+
				"--task text-classification", o)
		case o.Name == "start_logits":
			return fmt.Errorf("the graph answers %s, which marks places in a text: want a model that answers for whole texts, exported "+
				"with --task text-classification", o)
		}
	}
	return nil
}

// probabilityOutputs are what exporters of classifiers call their probabilities: onnxmltools and skl2onnx.
var probabilityOutputs = []string{"probabilities", "output_probability"}

// labelSets are the outputs that say which of several labels a row has.
func labelSets(graph *onnx.Graph) []tasks.Output {
	var sets []tasks.Output
	for _, name := range graph.Sets {
		set := tasks.Output{Name: name}
		if o, ok := graph.Output(name); ok && len(o.Shape) == 2 {
			set.Width = int(max(0, o.Shape[1]))
		}
		sets = append(sets, set)
	}
	return sets
}

// checkTableOutputs refuses probabilities that are no row of numbers for each row: a matrix for each of several labels, as scikit-learn's trees, neighbours and
// MultiOutputClassifier answer.
func checkTableOutputs(outputs []onnx.Info) error {
	for _, o := range outputs {
		if slices.Contains(probabilityOutputs, o.Name) && (o.Type == onnx.Sequence || len(o.Shape) > 2) {
			return fmt.Errorf("the graph answers %s, with a matrix for each of several labels: want one matrix, as of scikit-learn's OneVsRestClassifier; "+
				"or name what else it answers in nearline.yaml, such as heads: [{output: label, kind: multi_label, labels: [A, B]}], which goes without probabilities", o)
		}
	}
	return nil
}

// source is what the files say of the heads.
func (m *manifest) source(model string, s settings, graph *onnx.Graph) tasks.Source {
	labels := s.labels()
	if len(labels) == 0 {
		labels = graph.Classes
	}
	return tasks.Source{
		Model:       model,
		Outputs:     rowOutputs(graph.Outputs),
		Labels:      labels,
		ProblemType: s.ProblemType,
		Embedding:   m.embeds(s, graph),
		Vector:      s.sentence.vector,
		Unsupported: s.sentence.unsupported,
	}
}

// embeds says whether the model makes vectors where nobody says what its heads do: a folder of sentence-transformers, or an
// encoder without a head. A graph with logits does not.
func (m *manifest) embeds(s settings, graph *onnx.Graph) bool {
	if m.Task != "" {
		return m.Task == taskEmbedding
	}
	found := s.sentence.present
	for _, name := range []string{"sentence_embedding", "last_hidden_state", "token_embeddings"} {
		_, ok := graph.Output(name)
		found = found || ok
	}
	_, logits := graph.Output("logits")
	return found && !logits
}
