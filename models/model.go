// Package models turns folders into models that answer: it loads a version of one (tokenizer, graph, heads, golden examples),
// and runs texts, or tables of named columns, through it on a device that several models share.
//
// What the files of a folder say is folder's to read; how rows become batches is batching's; what graphs, tokens and logits
// are is onnx's, tokenizer's and tasks'. Nothing here knows of Kafka, or of what texts and columns are about.
package models

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// Model is one loaded version of a model: it has reproduced its golden examples, and answers while its device runs. It is
// safe for concurrent use.
//
// Each loaded version has a queue of its own on the device, so that a version can be retired while its successor already
// answers, and several models share the same cores or GPU.
type Model struct {
	info    Info
	engine  engine
	queue   *batching.Queue[*row]
	metrics *Metrics
	series  series
}

// Info says what a loaded version is.
type Info struct {
	Name    string
	Version int
	Folder  string // that it was loaded from
	Device  string
	// Heads are the columns that it answers with, in their order; nil for a constant.
	Heads []tasks.Head
	// MaxTokens is what texts are cut to, special tokens included; 0 for a model that reads none.
	MaxTokens int
	// Reads are the columns that a model of tables reads, in their order; nil for one that reads texts.
	Reads []pipeline.Column
	// Items is how many items it knows by their ids: it ranks those of a table for who had others before. 0 for one that knows none.
	Items int
	// History is how many items it reads of what somebody had before, the last ones; 0 for none.
	History int
	// Golden is how many golden examples it has, all of which it reproduced.
	Golden int
	// Limits of its batches.
	Limits batching.Limits
	// Alone says why rows are run one at a time; "" when nothing demands it.
	Alone string
	// LoadTime is how long it took to load, warm-up and golden examples included.
	LoadTime time.Duration
}

// Load finds the version of the model that the config asks for, loads it, warms it up, and checks that it gives the
// answers that its golden examples want: a model that fails that never answers anybody. The device need not run yet; it
// has to be made by the same config.
//
// Loading takes from a fraction of a second to minutes. What does not come to an end within Config.LoadTimeout is left as it is, with an error that wraps
// ErrStuck; so is what does not heed the end of ctx, with ctx's cause.
func Load(ctx context.Context, c Config, name string, device *batching.Device, metrics *Metrics) (*Model, error) {
	return load(ctx, c, name, batching.Limits{}, device, metrics)
}

// LoadUnchecked is Load with these limits of a model of texts in place of those that the config and the graph demand, and nothing checks that
// neighbours do not matter. It is for benchmarks of other ways to batch.
func LoadUnchecked(ctx context.Context, c Config, name string, limits batching.Limits, device *batching.Device, metrics *Metrics) (*Model, error) {
	return load(ctx, c, name, limits, device, metrics)
}

func load(ctx context.Context, c Config, name string, limits batching.Limits, device *batching.Device, metrics *Metrics) (*Model, error) {
	m, err := loadVersion(ctx, c, name, limits, device, metrics)
	outcome := "ready"
	if err != nil {
		outcome = "failed"
	}
	metrics.loads.WithLabelValues(name, outcome).Inc()
	return m, err
}

func loadVersion(ctx context.Context, c Config, name string, limits batching.Limits, device *batching.Device, metrics *Metrics) (*Model, error) {
	path, version, err := folder.Locate(c.Repository, c.Versions, name)
	if err != nil {
		return nil, err
	}
	m, err := loadFolder(ctx, c, Info{Name: name, Version: version, Folder: path, Limits: limits}, device, metrics)
	if err != nil {
		return nil, fmt.Errorf("load model %s version %d: %w", name, version, err)
	}
	return m, nil
}

// loadFolder loads the model that lies in the folder of the info, wherever that is, within the time that it may take. Limits
// of the info, if there are any, go before the config's.
func loadFolder(ctx context.Context, c Config, info Info, device *batching.Device, metrics *Metrics) (*Model, error) {
	return inTime(ctx, c.loadLimit(), func(ctx context.Context) (*Model, error) { return readFolder(ctx, c, info, device, metrics) })
}

func readFolder(ctx context.Context, c Config, info Info, device *batching.Device, metrics *Metrics) (*Model, error) {
	began := time.Now()
	enterStage(ctx, "looking at its files")
	if err := folder.CheckKinds(info.Folder); err != nil {
		return nil, err
	}
	manifest, err := folder.ReadManifest(info.Folder)
	if err != nil {
		return nil, err
	}
	on, _, _ := c.machine()
	info.Device = on.String()
	m := &Model{info: info, metrics: metrics, series: metrics.version(info.Name, info.Version)}
	if manifest.IsConstant() {
		m.engine, err = newConstant(manifest)
		if m.info.Limits.MaxItems == 0 {
			m.info.Limits, _ = c.limits(1, false)
		}
	} else {
		m.engine, err = loadGraph(ctx, c, manifest, device.Slots(), m)
	}
	if err != nil {
		return nil, err
	}
	m.info.Golden = len(manifest.Golden)
	m.info.LoadTime = time.Since(began)
	m.queue = batching.NewQueue(device, info.Name, m.info.Limits, m.engine.run)
	metrics.add(1, m.labels())
	return m, nil
}

func (m *Model) labels() []string {
	return []string{m.info.Name, fmt.Sprint(m.info.Version), m.info.Device}
}

// Info says what the model is. Do not change what its slices point to.
func (m *Model) Info() Info { return m.info }

// Predict answers rows: one prediction and one error each, in their order. An error of a row is that row's own fault (the
// run fails with it alone, its answer is not a number), and its prediction is then of no use.
//
// The last error is nobody's: ctx has ended, the model is retired, or its runtime failed (it wraps pipeline.ErrRuntime);
// then there are no answers. Predict returns only when nothing of it runs any more. Texts are tokenized in the caller's
// goroutine, and the model starts on the first ones meanwhile.
func (m *Model) Predict(ctx context.Context, class batching.Class, inputs []Input) ([]pipeline.Prediction, []error, error) {
	rows := make([]row, len(inputs))
	faults := make([]error, len(inputs))
	group := m.queue.Group(class)
	added := make([]int, 0, len(inputs)) // indices of the rows that the group has
	var refused error
	for i, in := range inputs {
		cost, err := m.engine.prepare(in, &rows[i])
		if err != nil {
			faults[i] = err
			continue
		}
		if refused = group.Add(ctx, batching.Item[*row]{Cost: cost, Value: &rows[i]}); refused != nil {
			break
		}
		added = append(added, i)
	}
	if refused != nil {
		// The others are of no use without those that were not taken.
		withdrawn, cancel := context.WithCancelCause(ctx)
		cancel(refused)
		group.Wait(withdrawn)
		return nil, nil, fmt.Errorf("predict with %s: %w", m.info.Name, refused)
	}
	for n, err := range group.Wait(ctx) {
		i := added[n]
		switch {
		case err == nil:
			faults[i] = rows[i].err
		case errors.Is(err, batching.ErrDevice):
			return nil, nil, fmt.Errorf("predict with %s: %w: %w", m.info.Name, pipeline.ErrRuntime, err)
		case errors.Is(err, batching.ErrClosed), ctx.Err() != nil:
			return nil, nil, fmt.Errorf("predict with %s: %w", m.info.Name, err)
		default:
			faults[i] = err
		}
	}
	predictions := make([]pipeline.Prediction, len(inputs))
	for i := range rows {
		if faults[i] != nil {
			m.series.faults.Inc()
			continue
		}
		predictions[i] = pipeline.Prediction{
			Model:   m.info.Name,
			Version: m.info.Version,
			Columns: rows[i].columns,
			At:      rows[i].at,
		}
	}
	return predictions, faults, nil
}

// Close retires the model: rows that are in it end, further ones are refused, and then its memory is freed. When ctx ends
// first it returns ctx's cause, frees nothing, and may be called again: nothing is freed under a run.
func (m *Model) Close(ctx context.Context) error {
	if err := m.queue.Drain(ctx); err != nil {
		return err
	}
	m.metrics.add(-1, m.labels())
	return m.engine.close()
}
