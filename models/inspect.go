package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/onnx"
)

// Report is what a model folder turned out to be.
type Report struct {
	folder.Facts

	Devices  []DeviceFacts `json:"devices,omitempty"`
	Problems []string      `json:"problems,omitempty"` // the folder does not load while there is one
	Warnings []string      `json:"warnings,omitempty"` // it loads all the same
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
func Inspect(ctx context.Context, c Config, path string, o InspectOptions) (*Report, error) {
	facts, err := folder.Look(path)
	if err != nil {
		return nil, fmt.Errorf("inspect model: %w", err)
	}
	r := &Report{Facts: facts}
	if err := folder.CheckKinds(path); err != nil { // nothing in it is read then
		r.problem(err, nil)
		r.warn()
		return r, nil
	}
	examined := r.Examine()
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
	if len(r.Problems) > 0 || r.IsConstant() {
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
