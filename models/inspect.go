package models

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearline/batching"
	"nearline/internal/files"
	"nearline/models/onnx"
	"nearline/models/tokenizer"
	"nearline/pipeline"
)

// Report is what a model folder turned out to be.
type Report struct {
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
	Devices   []DeviceFacts     `json:"devices,omitempty"`
	Problems  []string          `json:"problems,omitempty"` // the folder does not load while there is one
	Warnings  []string          `json:"warnings,omitempty"` // it loads all the same
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

// DeviceFacts are what came of trying the model on a device.
type DeviceFacts struct {
	Device string `json:"device"`
	// Missing says why there is no such device here; "" where there is.
	Missing string  `json:"missing,omitempty"`
	Slots   int     `json:"slots,omitempty"`
	Load    float64 `json:"load_seconds,omitempty"`
	Paces   []Pace  `json:"paces,omitempty"`
}

// InspectOptions say how thoroughly to look.
type InspectOptions struct {
	// Speed has it measured, for about Round a figure; 0 is a fifth of a second.
	Speed bool
	Round time.Duration
}

// Inspect looks at a model folder, wherever it lies, and tries it: it loads as Load does it, on CPU and, where there is
// one, on the first GPU. A folder that does not load is no error: the report's Problems say everything that is wrong with
// it. The error is for a folder that is none.
func Inspect(ctx context.Context, c Config, folder string, o InspectOptions) (*Report, error) {
	stat, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("inspect model: %w", err)
	}
	if !stat.IsDir() {
		return nil, fmt.Errorf("inspect model: %s is a file: want the folder that it lies in", folder)
	}
	r := &Report{Folder: folder}
	r.Name, r.Version = placeOf(folder)
	if r.Bytes, err = sizeOf(folder); err != nil {
		return nil, fmt.Errorf("inspect model: %w", err)
	}
	if err := CheckKinds(folder); err != nil { // nothing in it is read then
		r.problem(err, nil)
		r.warn()
		return r, nil
	}
	examined := r.examine(folder)
	for _, device := range []string{"cpu", "cuda"} {
		c.Device = device
		if err := r.try(ctx, c, o); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return nil, cause
			}
			r.problem(err, examined)
			break // what is wrong here is wrong on any device
		}
	}
	r.warn()
	return r, nil
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

// examine describes what the files say, and returns everything that is wrong with them. Whether the folder loads is not
// decided here: loading it decides.
func (r *Report) examine(folder string) (wrong []error) {
	manifest, err := ReadManifest(folder)
	r.Golden, r.Tolerance = len(manifest.Golden), manifest.GoldenTolerance()
	if manifest.IsConstant() {
		r.Task = string(taskConstant)
		fields, err := manifest.ConstantColumns()
		for _, f := range fields {
			r.Columns = append(r.Columns, Column{Name: f.Name, Kind: string(taskConstant)})
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
	p, more := ReadParts(r.Name, folder, said)
	r.describe(folder, &p)
	if r.Task == "" {
		r.Task = string(manifest.Task)
	}
	return append(wrong, more...)
}

// describe takes over what there is of the parts.
func (r *Report) describe(folder string, p *Parts) {
	r.Task, r.MaxTokens, r.LimitFrom = p.task(), p.MaxTokens, p.limitFrom
	for _, h := range p.Heads {
		r.Columns = append(r.Columns, Column{h.Name, string(h.Kind), h.Output, h.Labels, string(h.Activation)})
	}
	if p.Tokens != nil {
		r.Tokenizer = &TokenizerFacts{Kind: tokenizerKind(p.tokensPath), Vocabulary: p.Tokens.VocabSize()}
	}
	if p.Graph == nil {
		return
	}
	file, err := filepath.Rel(folder, p.GraphPath)
	if err != nil {
		file = p.GraphPath
	}
	r.Graph = &GraphFacts{
		File: filepath.ToSlash(file), Producer: p.Graph.Producer, Opset: p.Graph.Opset,
		Inputs: described(p.Graph.Inputs), Outputs: described(p.Graph.Outputs),
		Precision: precision(p.Graph), Alone: p.Alone(),
	}
	if p.Table != nil {
		r.Reads = p.Table.Columns
	}
	for _, n := range p.Graph.Weights {
		r.Graph.Weights += n
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

// try loads the model on the config's device, and measures it.
func (r *Report) try(ctx context.Context, c Config, o InspectOptions) error {
	device := c.NewDevice()
	m, err := loadFolder(ctx, c, Info{Name: r.Name, Version: r.Version, Folder: r.Folder}, device, NewMetrics(nil))
	if cuda := c.Device != "cpu"; cuda && errors.Is(err, onnx.ErrUnavailable) {
		why := err.Error()
		if _, after, ok := strings.Cut(why, onnx.ErrUnavailable.Error()+": "); ok {
			why = after
		}
		r.Devices = append(r.Devices, DeviceFacts{Device: c.Device, Missing: why})
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = m.Close(context.WithoutCancel(ctx)) }() // nothing waits in it, and nothing was written
	facts := DeviceFacts{Device: m.info.Device, Slots: device.Slots(), Load: m.info.LoadTime.Seconds()}
	if o.Speed {
		switch engine := m.engine.(type) {
		case *textModel:
			facts.Paces, err = r.paces(ctx, engine, m.info.Limits, o.Round)
		case *tableModel:
			facts.Paces, err = engine.paces(ctx, m.info.Limits, cmp.Or(o.Round, defaultRound))
		}
		if err != nil {
			return fmt.Errorf("measure on %s: %w", facts.Device, err)
		}
	}
	r.Devices = append(r.Devices, facts)
	return nil
}

// defaultRound is how long a figure is measured.
const defaultRound = 200 * time.Millisecond

// paces measures a few lengths and batch sizes.
func (r *Report) paces(ctx context.Context, t *textModel, limits batching.Limits, round time.Duration) ([]Pace, error) {
	round = cmp.Or(round, defaultRound)
	batches := []int{1, 8, limits.MaxItems}
	if r.Graph != nil && r.Graph.Alone != "" {
		batches = []int{1}
	}
	slices.Sort(batches)
	batches = slices.Compact(batches)
	lengths := slices.Compact([]int{min(16, t.MaxTokens), min(128, t.MaxTokens), t.MaxTokens})
	var paces []Pace
	for _, tokens := range lengths {
		for _, batch := range batches {
			if batch > 1 && batch*tokens > limits.MaxTokens {
				continue // such a batch is never formed
			}
			p, err := t.measure(ctx, tokens, batch, round)
			if err != nil {
				return nil, err
			}
			paces = append(paces, p)
		}
	}
	return paces, nil
}

// problem takes note of what kept the folder from loading, and of everything else that was found.
func (r *Report) problem(load error, examined []error) {
	// Loading stops at the first error, which is among the examined ones unless it took a run to find it.
	known := slices.ContainsFunc(examined, func(err error) bool { return strings.Contains(load.Error(), err.Error()) })
	if !known {
		examined = append(examined, load)
	}
	for _, err := range examined {
		for line := range strings.Lines(err.Error()) { // joined errors are a line each
			r.Problems = append(r.Problems, strings.TrimSpace(line))
		}
	}
}

// warn says what could be better in a folder that loads.
func (r *Report) warn() {
	if len(r.Problems) > 0 || r.Task == string(taskConstant) {
		return
	}
	add := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	example := "{text: ..., expect: {COLUMN: ...}}"
	if len(r.Reads) > 0 {
		example = "{columns: {COLUMN: ...}, expect: {COLUMN: ...}}"
	}
	if r.Golden == 0 {
		add("no golden examples: nothing would notice that a wrong tokenizer or another runtime changed its answers; put some into "+
			"nearline.yaml as golden: [%s]", example)
	}
	for _, c := range r.Columns {
		if generic(c.Labels) {
			add("column %s has the labels %s, which name nothing: set id2label in config.json, or labels of its head in nearline.yaml",
				c.Name, strings.Join(c.Labels[:min(3, len(c.Labels))], ", "))
		}
	}
	if strings.HasPrefix(r.LimitFrom, "nobody") {
		add("no file says how many tokens it takes: %d is assumed; set max_tokens in nearline.yaml", r.MaxTokens)
	}
	cuda := slices.ContainsFunc(r.Devices, func(d DeviceFacts) bool { return d.Device != "cpu" && d.Missing == "" })
	if cuda && r.Graph != nil && r.Graph.Alone != "" {
		add("its rows run one at a time, which leaves a GPU idle: give it a float16 graph there (see docs/models.md)")
	}
}

// generic says that labels are what a library writes when nobody has named them.
func generic(labels []string) bool {
	for i, l := range labels {
		if l != "LABEL_"+strconv.Itoa(i) {
			return false
		}
	}
	return len(labels) > 0
}
