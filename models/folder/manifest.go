package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"nearline/internal/files"
	"nearline/internal/plainyaml"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
	"nearline/pipeline"
)

// manifest is nearline.yaml: what only we need. Every value has a default, read from the other files.
type manifest struct {
	Task task `yaml:"task"`
	// Prompt is put before every text, and PromptName names one of config_sentence_transformers.json; without either it is
	// that file's default_prompt_name, or nothing.
	Prompt     string `yaml:"prompt"`
	PromptName string `yaml:"prompt_name"`
	// Graph is the path of the graph below the folder, where there are several.
	Graph     string `yaml:"graph"`
	MaxTokens int    `yaml:"max_tokens"`
	// Inputs says what inputs of the graph are whose names do not: input_ids by input.1, for example; and of a model of tables, how the
	// columns are called that an input has, as float_input: [price, visits].
	Inputs map[string]columnNames `yaml:"inputs"`
	Heads  []tasks.Head           `yaml:"heads"`
	Golden []golden               `yaml:"golden"`
	// Tolerance is how far the scores of golden examples may be off: kinds of CPU differ.
	Tolerance *float64 `yaml:"tolerance"`
	// Columns are what a constant answers.
	Columns yaml.MapSlice `yaml:"columns"`
}

// columnNames are one name, or a list of them.
type columnNames []string

// UnmarshalYAML reads either form.
func (n *columnNames) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*n = columnNames{one}
		return nil
	}
	return unmarshal((*[]string)(n))
}

// golden is a text, or a row of a table, with the answer that the model is known to give.
type golden struct {
	Text    string         `yaml:"text"`
	Columns map[string]any `yaml:"columns"`
	// History and Candidates are of a model that ranks: ids, oldest first; and a row for each candidate, with its id as item.
	History    []string                `yaml:"history"`
	Candidates []map[string]any        `yaml:"candidates"`
	Expect     map[string]tasks.Expect `yaml:"expect"` // by column of the answer
}

// Compare an answer with what is expected.
func (g *golden) Compare(answer []pipeline.Field, tolerance float64) error {
	for _, column := range answer {
		expect, ok := g.Expect[column.Name]
		if !ok {
			continue
		}
		if err := expect.Check(column.Value, tolerance); err != nil {
			return fmt.Errorf("%s: %w", column.Name, err)
		}
	}
	return nil
}

// Manifest is nearline.yaml, by the name that other packages know it by. Its own stands in what YAML says of a value that is of the wrong kind.
type Manifest = manifest

// Golden is a golden example, by the name that other packages know it by.
type Golden = golden

// Settings is what an export's own files say, by the name that other packages know it by.
type Settings = settings

// IsConstant says that there is no model: every text has the same answer, which is ConstantColumns.
func (m *manifest) IsConstant() bool { return m.Task == taskConstant }

type task string

const (
	taskClassification task = "classification" // the default
	taskEmbedding      task = "embedding"      // heads without a kind are embeddings; the default of sentence-transformers' folders
	taskTable          task = "table"          // the model reads named columns; the default of graphs that have no input of tokens
	taskConstant       task = "constant"       // no model: the same answer for every text
)

// defaultTolerance is 0.02, as kinds of CPU differ in how they round int8.
const defaultTolerance = 0.02

// GoldenTolerance is how far the scores of golden examples may be off.
func (m *manifest) GoldenTolerance() float64 {
	if m.Tolerance != nil {
		return *m.Tolerance
	}
	return defaultTolerance
}

// Bounds of files, all of them guesses far above any: nearline.yaml may have many golden examples, and what JSON says of a model may be
// its tokenizer.
const (
	maxManifestBytes = 4 << 20
	maxSettingsBytes = tokenizer.MaxBytes
)

// ReadManifest reads nearline.yaml, strictly. A folder without one has an empty one.
func ReadManifest(folder string) (Manifest, error) {
	var m manifest
	path := filepath.Join(folder, "nearline.yaml")
	data, err := files.ReadText(path, maxManifestBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := plainyaml.Check(data); err != nil {
		if bound, ok := errors.AsType[*plainyaml.BoundError](err); ok {
			return m, fmt.Errorf("%s:%d: %w", path, bound.Line, err)
		}
		return m, fmt.Errorf("%s: %w", path, err)
	}
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.Strict(), yaml.UseOrderedMap()).Decode(&m)
	if err != nil && !errors.Is(err, io.EOF) { // it is empty
		return m, unreadable(path, data, err)
	}
	var problems []error
	for _, problem := range separate(m.validate()) {
		problems = append(problems, fmt.Errorf("%s: %w", path, problem))
	}
	return m, errors.Join(problems...)
}

func (m *manifest) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch m.Task {
	case "", taskClassification, taskEmbedding, taskTable, taskConstant:
	default:
		add("task is %q: want %s, %s, %s or %s", m.Task, taskClassification, taskEmbedding, taskTable, taskConstant)
	}
	if m.Prompt != "" && m.PromptName != "" {
		add("prompt_name is %q, and there is a prompt: want one of the two", m.PromptName)
	}
	if m.Graph != "" && !filepath.IsLocal(m.Graph) {
		add("graph is %q: want a path below the folder, such as onnx/model.onnx", m.Graph)
	}
	if m.MaxTokens < 0 {
		add("max_tokens is %d: want at least 1, or leave it out", m.MaxTokens)
	}
	if t := m.Tolerance; t != nil && !(*t >= 0) {
		add("tolerance is %v: want 0 or more, such as %v", *t, defaultTolerance)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Inputs)) {
		if names := m.Inputs[name]; len(names) == 0 || slices.Contains(names, "") {
			add("inputs.%s is %v: want what the input is, or the names of its columns", name, names)
		}
	}
	for i, g := range m.Golden {
		if len(g.Expect) == 0 {
			add("golden[%d].expect is empty: want what the model answers, such as {sentiment: {label: positive, score: 0.99}}", i)
		}
	}
	switch {
	case m.Task == taskConstant && len(m.Columns) == 0:
		add("columns is empty: want what the constant answers, such as {sentiment: {label: positive, score: 0.5}}")
	case m.Task != taskConstant && len(m.Columns) > 0:
		add("columns is for task %s: a model computes its own, remove them", taskConstant)
	}
	return errors.Join(errs...)
}

// checkGolden says which examples expect what no head can answer.
func (m *manifest) checkGolden(heads []tasks.Head) error {
	var errs []error
	for i, g := range m.Golden {
		for _, name := range slices.Sorted(maps.Keys(g.Expect)) {
			at := slices.IndexFunc(heads, func(h tasks.Head) bool { return h.Name == name })
			if at < 0 {
				errs = append(errs, fmt.Errorf("golden[%d].expect.%s: there is no such head, want %s", i, name, oneOf(headNames(heads))))
			} else if g.Candidates != nil && (heads[at].Kind != tasks.Score || len(g.Expect[name].Vector) != len(g.Candidates)) {
				errs = append(errs, fmt.Errorf("golden[%d].expect: want %s to be a score, and a list with one for each of the %d candidates", i, name, len(g.Candidates)))
			} else if g.Candidates != nil {
				continue
			} else if err := g.Expect[name].Fits(&heads[at]); err != nil {
				errs = append(errs, fmt.Errorf("golden[%d].expect: %w", i, err))
			}
		}
	}
	return errors.Join(errs...)
}

func headNames(heads []tasks.Head) []string {
	var names []string
	for _, h := range heads {
		names = append(names, h.Name)
	}
	return names
}

// named gives inputs of the graph the names that nearline.yaml has for them. The columns of a table's input are named elsewhere.
func (m *manifest) named(inputs []onnx.Info) (_ []onnx.Info, table bool, err error) {
	inputs = slices.Clone(inputs)
	columns := m.Task == taskTable
	for _, name := range slices.Sorted(maps.Keys(m.Inputs)) {
		at := slices.IndexFunc(inputs, func(i onnx.Info) bool { return i.Name == name })
		if at < 0 {
			var have []string
			for _, i := range inputs {
				have = append(have, i.Name)
			}
			return nil, readsTables(inputs), fmt.Errorf("inputs.%s: the graph has no such input, want %s", name, oneOf(have))
		}
		names := m.Inputs[name]
		if _, token := inputNames[names[0]]; token && len(names) == 1 {
			inputs[at].Name = names[0]
		} else {
			columns = true
		}
	}
	table = readsTables(inputs)
	if columns && !table {
		return nil, false, fmt.Errorf("nearline.yaml has columns (inputs, task %s), and the graph wants %s: want matrices of float32, float64, int64, int32 or string; "+
			"the inputs of a model that reads texts are %s", taskTable, strings.Join(described(inputs), ", "), oneOf(inputKinds))
	}
	return inputs, table, nil
}

// ConstantColumns are what a constant answers.
func (m *manifest) ConstantColumns() ([]pipeline.Field, error) {
	value, err := constantValue(m.Columns)
	return value.Fields, err
}

func constantValue(v any) (pipeline.Value, error) {
	switch v := v.(type) {
	case nil:
		return pipeline.Value{}, nil
	case bool:
		return pipeline.Value{Kind: pipeline.Bool, Bool: v}, nil
	case uint64:
		return pipeline.IntValue(int64(v)), nil
	case int64:
		return pipeline.IntValue(v), nil
	case float64:
		return pipeline.FloatValue(v), nil
	case string:
		return pipeline.StringValue(v), nil
	case []any:
		list := pipeline.Value{Kind: pipeline.List}
		for _, item := range v {
			value, err := constantValue(item)
			if err != nil {
				return value, err
			}
			list.List = append(list.List, value)
		}
		return list, nil
	case yaml.MapSlice:
		object := pipeline.ObjectValue()
		for _, item := range v {
			value, err := constantValue(item.Value)
			if err != nil {
				return value, err
			}
			object.Fields = append(object.Fields, pipeline.Field{Name: fmt.Sprint(item.Key), Value: value})
		}
		return object, nil
	}
	return pipeline.Value{}, fmt.Errorf("columns: %v is a %T: want texts, numbers, true, false, lists and mappings", v, v)
}
