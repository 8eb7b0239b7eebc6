package folder

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

// Parts are what the files of a model's folder say, before anything of it is on a device. Loading and inspecting begin
// with the same parts, so that they cannot disagree.
type Parts struct {
	Manifest Manifest
	settings settings

	GraphPath string
	Graph     *onnx.Graph
	Heads     []tasks.Head

	tokensPath string
	Tokens     *tokenizer.Tokenizer // cuts texts as its file says
	MaxTokens  int
	limitFrom  string // the file and key that said so

	Text  *TextGraph  // nil for one that reads tables
	Table *TableGraph // nil for one that reads texts
}

// ReadParts reads each file by itself, so that what is wrong with one does not hide what is wrong with the next. It returns
// what it could read, and everything that is wrong; with anything wrong the parts are fit to be described, not to be loaded.
//
// The manifest of a folder whose nearline.yaml could not be read is nil; what hangs on it is left alone then.
func ReadParts(model, folder string, m *Manifest) (p Parts, wrong []error) {
	note := func(err error) bool {
		if err != nil {
			wrong = append(wrong, err)
		}
		return err == nil
	}
	prefixed := func(place string, err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	said := m != nil
	if said {
		p.Manifest = *m
	}
	var err error
	p.settings, err = ReadSettings(folder)
	settled := note(err)
	var inputs []onnx.Info
	tables := false
	p.GraphPath, p.Graph, err = p.Manifest.readGraph(folder)
	drawn := note(err)
	if drawn {
		inputs, tables, err = p.Manifest.named(p.Graph.Inputs)
		drawn = note(prefixed(folder, err))
		// Tokens are whole numbers too, by whatever name: with a tokenizer beside it, a graph reads texts unless it is said.
		tables = tables && (p.Manifest.Task == taskTable || len(p.Manifest.Inputs) > 0 || !tokenized(folder))
		p.settings.fix(inputs)
	}
	if drawn && len(p.Manifest.Heads) == 0 {
		check := checkOutputs
		if tables {
			check = checkTableOutputs
		}
		drawn = note(prefixed(p.GraphPath, check(p.Graph.Outputs)))
	}
	if drawn && settled && said {
		source := p.Manifest.source(model, p.settings, p.Graph)
		if tables {
			source.Probabilities = slices.Concat(probabilityOutputs, p.Graph.Zipped)
			source.Sets = labelSets(p.Graph)
		}
		p.Heads, err = tasks.Resolve(p.Manifest.Heads, source)
		if note(prefixed(folder, err)) {
			note(prefixed(folder, p.Manifest.checkGolden(p.Heads)))
		}
	}
	if drawn && !tables && !tokenized(folder) {
		if err := neither(inputs); err != nil {
			note(prefixed(p.GraphPath, err))
			return p, wrong
		}
	}
	if tables {
		table, err := newTableGraph(inputs, p.Manifest.Inputs)
		if note(prefixed(p.GraphPath, err)) && (table.Items == nil || note(table.Items.read(folder))) {
			p.Table = table
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
	if p.Tokens, err = tokenizer.LoadWith(p.tokensPath, beside); !note(err) {
		return p, wrong
	}
	p.MaxTokens, p.limitFrom, err = maxTokens(p.Manifest, p.settings, p.Tokens.MaxTokens())
	if !note(prefixed(folder, err)) || !drawn {
		return p, wrong
	}
	text, err := NewTextGraph(p.Tokens, p.MaxTokens, inputs, p.settings)
	if !note(prefixed(p.GraphPath, err)) {
		return p, wrong
	}
	prompt, err := p.settings.sentence.promptText(p.Manifest)
	if note(prefixed(folder, err)) {
		text.SetPrompt(prompt)
		p.Text = text
	}
	return p, wrong
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
func (p *Parts) task() string {
	switch {
	case p.Manifest.Task != "":
		return string(p.Manifest.Task)
	case p.Table != nil:
		return string(taskTable)
	case len(p.Heads) > 0:
		return string(p.Heads[0].Kind)
	}
	return ""
}

// Alone says why rows have to run one at a time, or "".
func (p *Parts) Alone() string {
	switch {
	case p.Text != nil:
		return p.Text.alone(p.Graph, p.settings)
	case p.Table != nil:
		return p.Table.alone(p.Graph)
	case p.Graph != nil:
		return p.Graph.Coupled
	}
	return ""
}
