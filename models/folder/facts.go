package folder

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"nearline/internal/files"
	"nearline/models/onnx"
	"nearline/models/tokenizer"
	"nearline/pipeline"
)

// Facts are what the files of a model's folder say of it. Nothing is loaded for them.
type Facts struct {
	Folder  string `json:"folder"`
	Name    string `json:"name"`              // as it would have in a repository
	Version int    `json:"version,omitempty"` // 0 where the folder is no version of a repository
	Bytes   int64  `json:"bytes"`             // of all files
	Task    string `json:"task,omitempty"`

	Columns   []Column          `json:"columns,omitempty"`
	Tokenizer *TokenizerFacts   `json:"tokenizer,omitempty"`
	Reads     []pipeline.Column `json:"reads,omitempty"` // of a model of tables
	MaxTokens int               `json:"max_tokens,omitempty"`
	LimitFrom string            `json:"max_tokens_from,omitempty"` // the file and key that said so
	Graph     *GraphFacts       `json:"graph,omitempty"`
	Golden    int               `json:"golden"` // examples
	Tolerance float64           `json:"tolerance,omitempty"`
}

// Look at a folder, wherever it lies: what it is called, and how large it is. The error is for what is no folder.
func Look(folder string) (Facts, error) {
	f := Facts{Folder: folder}
	stat, err := os.Stat(folder)
	if err != nil {
		return f, err
	}
	if !stat.IsDir() {
		return f, fmt.Errorf("%s is a file: want the folder that it lies in", folder)
	}
	f.Name, f.Version = placeOf(folder)
	f.Bytes, err = sizeOf(folder)
	return f, err
}

// Column is what a model answers with.
type Column struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Output     string   `json:"output,omitempty"` // of the graph
	Labels     []string `json:"labels,omitempty"`
	Activation string   `json:"activation,omitempty"`
}

// TokenizerFacts are read from tokenizer.json.
type TokenizerFacts struct {
	Kind       string `json:"kind"`
	Vocabulary int    `json:"vocabulary"`
}

// GraphFacts are what the ONNX file says of itself.
type GraphFacts struct {
	File      string   `json:"file"`
	Producer  string   `json:"producer,omitempty"`
	Opset     int64    `json:"opset"`
	Inputs    []string `json:"inputs"`
	Outputs   []string `json:"outputs"`
	Precision string   `json:"precision"`
	Weights   int64    `json:"weights"`         // values
	Alone     string   `json:"alone,omitempty"` // why rows have to be run one at a time
}

// placeOf reads NAME/VERSION off a path; another folder's name is the model's.
func placeOf(folder string) (name string, version int) {
	if whole, err := filepath.Abs(folder); err == nil {
		folder = whole
	}
	n, err := strconv.Atoi(filepath.Base(folder))
	if err == nil && n > 0 {
		return filepath.Base(filepath.Dir(folder)), n
	}
	return filepath.Base(folder), 0
}

// sizeOf adds up the files of a folder.
func sizeOf(folder string) (bytes int64, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		stat, err := os.Stat(path) // of what a link leads to
		if err != nil {
			return err
		}
		bytes += stat.Size()
		return nil
	})
	return bytes, err
}

// Examine describes what the files say, and returns everything that is wrong with them. Whether the folder loads is not
// decided here: loading it decides.
func (f *Facts) Examine() (wrong []error) {
	manifest, err := ReadManifest(f.Folder)
	f.Golden, f.Tolerance = len(manifest.Golden), manifest.GoldenTolerance()
	if manifest.IsConstant() {
		f.Task = string(taskConstant)
		fields, err := manifest.ConstantColumns()
		for _, field := range fields {
			f.Columns = append(f.Columns, Column{Name: field.Name, Kind: string(taskConstant)})
		}
		if err != nil {
			wrong = append(wrong, err)
		}
		return wrong
	}
	said := &manifest
	if err != nil {
		wrong, said = append(wrong, err), nil
	}
	p, more := ReadParts(f.Name, f.Folder, said)
	f.describe(&p)
	if f.Task == "" {
		f.Task = string(manifest.Task)
	}
	return append(wrong, more...)
}

// IsConstant says that there is no model: every text has the same answer.
func (f *Facts) IsConstant() bool { return f.Task == string(taskConstant) }

// describe takes over what there is of the parts.
func (f *Facts) describe(p *Parts) {
	f.Task, f.MaxTokens, f.LimitFrom = p.task(), p.MaxTokens, p.limitFrom
	for _, h := range p.Heads {
		f.Columns = append(f.Columns, Column{h.Name, string(h.Kind), h.Output, h.Labels, string(h.Activation)})
	}
	if p.Tokens != nil {
		f.Tokenizer = &TokenizerFacts{Kind: tokenizerKind(p.tokensPath), Vocabulary: p.Tokens.VocabSize()}
	}
	if p.Graph == nil {
		return
	}
	file, err := filepath.Rel(f.Folder, p.GraphPath)
	if err != nil {
		file = p.GraphPath
	}
	f.Graph = &GraphFacts{
		File: filepath.ToSlash(file), Producer: p.Graph.Producer, Opset: p.Graph.Opset,
		Inputs: described(p.Graph.Inputs), Outputs: described(p.Graph.Outputs),
		Precision: precision(p.Graph), Alone: p.Alone(),
	}
	if p.Table != nil {
		f.Reads = p.Table.Columns
	}
	for _, n := range p.Graph.Weights {
		f.Graph.Weights += n
	}
}

func described(infos []onnx.Info) []string {
	list := []string{}
	for _, i := range infos {
		list = append(list, i.String())
	}
	return list
}

// precision names the type that most weights have, and what the graph does with them.
func precision(g *onnx.Graph) string {
	most, all := onnx.Type(0), int64(0)
	for _, t := range sortedTypes(g.Weights) {
		all += g.Weights[t]
		if g.Weights[t] > g.Weights[most] {
			most = t
		}
	}
	switch {
	case all == 0:
		return "no weights"
	case most != onnx.Int8 && most != onnx.Uint8:
		return most.String()
	case g.Coupled != "":
		return most.String() + " weights, quantised further while it runs"
	}
	return most.String() + " weights"
}

func sortedTypes(weights map[onnx.Type]int64) []onnx.Type {
	var types []onnx.Type
	for t := range weights {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// tokenizerKind is model.type of a tokenizer.json that has been read already.
func tokenizerKind(path string) string {
	var file struct {
		Model struct {
			Type string `json:"type"`
		} `json:"model"`
	}
	data, err := files.ReadText(path, tokenizer.MaxBytes)
	if err != nil || json.Unmarshal(data, &file) != nil || file.Model.Type == "" {
		return "of a kind that it does not name"
	}
	return file.Model.Type
}
