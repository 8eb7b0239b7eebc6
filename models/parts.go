package models

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"nearline/internal/files"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
)

// parts are what the files of a model's folder say, before anything of it is on a device. Loading and inspecting begin
// with the same parts, so that they cannot disagree.
type parts struct {
	manifest manifest
	settings settings

	graphPath string
	graph     *onnx.Graph
	heads     []tasks.Head

	tokensPath string
	tokens     *tokenizer.Tokenizer // cuts texts as its file says
	maxTokens  int
	limitFrom  string // the file and key that said so

	text  *textModel  // without lanes; nil for one that reads tables
	table *tableModel // without lanes; nil for one that reads texts
}

// readParts reads each file by itself, so that what is wrong with one does not hide what is wrong with the next. It returns
// what it could read, and everything that is wrong; with anything wrong the parts are fit to be described, not to be loaded.
//
// The manifest of a folder whose nearline.yaml could not be read is nil; what hangs on it is left alone then.
func readParts(model, folder string, m *manifest, s series) (p parts, wrong []error) {
	note := func(err error) bool {
		if err != nil {
			wrong = append(wrong, err)
		}
		return err == nil
	}
	in := func(place string, err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	said := m != nil
	if said {
		p.manifest = *m
	}
	var err error
	p.settings, err = readSettings(folder)
	settled := note(err)
	var inputs []onnx.Info
	tables := false
	p.graphPath, p.graph, err = p.manifest.readGraph(folder)
	drawn := note(err)
	if drawn {
		inputs, tables, err = p.manifest.named(p.graph.Inputs)
		drawn = note(in(folder, err))
		// Tokens are whole numbers too, by whatever name: with a tokenizer beside it, a graph reads texts unless it is said.
		tables = tables && (p.manifest.Task == taskTable || len(p.manifest.Inputs) > 0 || !tokenized(folder))
		p.settings.fix(inputs)
	}
	if drawn && len(p.manifest.Heads) == 0 {
		check := checkOutputs
		if tables {
			check = checkTableOutputs
		}
		drawn = note(in(p.graphPath, check(p.graph.Outputs)))
	}
	if drawn && settled && said {
		source := p.manifest.source(model, p.settings, p.graph)
		if tables {
			source.Probabilities = slices.Concat(probabilityOutputs, p.graph.Zipped)
			source.Sets = labelSets(p.graph)
		}
		p.heads, err = tasks.Resolve(p.manifest.Heads, source)
		if note(in(folder, err)) {
			note(in(folder, p.manifest.checkGolden(p.heads)))
		}
	}
	if drawn && !tables && !tokenized(folder) {
		if err := neither(inputs); err != nil {
			note(in(p.graphPath, err))
			return p, wrong
		}
	}
	if tables {
		table, err := newTable(p.heads, inputs, p.manifest.Inputs, s)
		if note(in(p.graphPath, err)) && (table.items == nil || note(table.items.read(folder))) {
			p.table = table
		}
		return p, wrong
	}
	if p.tokensPath, err = tokenizerPath(folder); !note(err) {
		return p, wrong
	}
	beside, err := besideTokenizer(folder, p.settings)
	if !note(err) {
		return p, wrong
	}
	if p.tokens, err = tokenizer.LoadWith(p.tokensPath, beside); !note(err) {
		return p, wrong
	}
	p.maxTokens, p.limitFrom, err = maxTokens(p.manifest, p.settings, p.tokens.MaxTokens())
	if !note(in(folder, err)) || !drawn {
		return p, wrong
	}
	text, err := newText(p.tokens, p.maxTokens, p.heads, inputs, s)
	if !note(in(p.graphPath, err)) {
		return p, wrong
	}
	text.settle(p.settings)
	if note(in(folder, text.setPrompt(p.manifest, p.settings.sentence))) {
		p.text = text
	}
	return p, wrong
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

// neither says what a graph wants that is neither a text nor a table, if so.
func neither(inputs []onnx.Info) error {
	for _, i := range inputs {
		_, token := inputNames[i.Name]
		foreign := slices.ContainsFunc(foreignInputs, func(f struct{ prefix, what string }) bool { return strings.HasPrefix(i.Name, f.prefix) })
		switch {
		case token || foreign || i.Shape == nil:
			return nil // it is told of as a model of texts
		case !slices.Contains(tableTypes, i.Type) || len(i.Shape) < 1 || len(i.Shape) > 2:
			return fmt.Errorf("the graph wants input %s, and there is no tokenizer.json: want columns of float32, float64, int64, int32 or string, as [rows] or "+
				"[rows, columns], or a model that reads texts, with its tokenizer", i)
		}
	}
	return nil
}

// besideTokenizer reads the files by which transformers changes what tokenizer.json says.
func besideTokenizer(folder string, s settings) (*tokenizer.Companions, error) {
	beside := &tokenizer.Companions{Class: s.TokenizerClass, ModelType: s.ModelType}
	for name, content := range map[string]*[]byte{
		"tokenizer_config.json": &beside.Config, "special_tokens_map.json": &beside.SpecialTokens, "added_tokens.json": &beside.AddedTokens,
	} {
		data, err := files.Read(placed(folder, name), maxSettingsBytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		*content = data
	}
	return beside, nil
}

// tokenized says whether there is a tokenizer in the folder.
func tokenized(folder string) bool {
	return len(globbed(folder, "tokenizer.json", "onnx/tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "*.model")) > 0
}

// task is what nearline.yaml calls it, or else what the first head does.
func (p *parts) task() string {
	switch {
	case p.manifest.Task != "":
		return string(p.manifest.Task)
	case p.table != nil:
		return string(taskTable)
	case len(p.heads) > 0:
		return string(p.heads[0].Kind)
	}
	return ""
}
