package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// Input is what a model is to answer: a text, or a table for a model that reads columns.
type Input struct {
	Text  string
	Table Table
}

// Texts are inputs of texts.
func Texts(texts ...string) []Input {
	inputs := make([]Input, len(texts))
	for i, text := range texts {
		inputs[i].Text = text
	}
	return inputs
}

// engine computes rows. prepare is called from many goroutines, run from one goroutine a slot.
type engine interface {
	// prepare makes a row of the input, and says what it costs, in tokens or in rows of a table.
	prepare(in Input, r *row) (cost int, err error)
	// run answers rows, as batching.Run asks for it.
	run(slot int, batch []batching.Item[*row]) error
	// close frees what the engine holds. No run is under way, and none follows.
	close() error
}

// row is one input on its way through the model.
type row struct {
	ids, types []int64
	positions  []int64 // nil where they are plain
	table      Table
	columns    []pipeline.Field
	at         time.Time
	err        error // the row's own: the run went well, its answer did not
}

// graphEngine is what engines that run a graph have in common: which outputs their heads read, and the sessions that compute
// them.
type graphEngine struct {
	outputs []string // of the graph, that heads read
	heads   []tasks.Head
	reads   []int // by head: the index of its output
	series  series

	sessions []*onnx.Session
	example  []pipeline.Field // the answer to a sample; nil when that is not a number
}

func newGraphEngine(heads []tasks.Head, s series) graphEngine {
	e := graphEngine{heads: heads, series: s}
	for _, h := range heads {
		at := slices.Index(e.outputs, h.Output)
		if at < 0 {
			at = len(e.outputs)
			e.outputs = append(e.outputs, h.Output)
		}
		e.reads = append(e.reads, at)
	}
	return e
}

// open opens the sessions, and hands out a runner for each slot. rowsOf is the input that outputs have as many rows as.
func (e *graphEngine) open(ctx context.Context, c Config, path string, rowsOf string, slots int, each func(runner)) error {
	enterStage(ctx, "opening its graph")
	device, _, threads := c.machine()
	options := onnx.Options{Library: c.Runtime, Device: device, Threads: threads, Outputs: e.outputs, RowsOf: rowsOf}
	for slot := range slots {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		// Slots of one thread share a session: as fast as one each (1.00 in paired medians), with the weights in memory once.
		// Where a session has more threads, its runs would share those.
		if slot == 0 || threads > 1 || device.CUDA {
			session, err := onnx.Open(path, options)
			if err != nil {
				return err
			}
			e.sessions = append(e.sessions, session)
		}
		each(e.sessions[len(e.sessions)-1].Runner())
	}
	return nil
}

// runner of a slot, beside those that open handed out.
func (e *graphEngine) runner(slot int) runner {
	return e.sessions[min(slot, len(e.sessions)-1)].Runner()
}

func (e *graphEngine) close() error {
	var errs []error
	for _, s := range e.sessions {
		errs = append(errs, s.Close())
	}
	e.sessions = nil
	return errors.Join(errs...)
}

// verdict on a run that failed: the runtime's, nobody's yet, or the one row's. probe runs one that is known to work; nil where none is known.
func verdict(err error, rows int, probe func() error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, onnx.ErrRuntime):
		return fmt.Errorf("%w: %w", batching.ErrDevice, err)
	case rows > 1:
		return err // it is halved until it is known whose fault this is
	}
	// The row, or the runtime? One that is known to work tells.
	if probe != nil && probe() != nil {
		return fmt.Errorf("%w: a row that used to work fails as well: %w", batching.ErrDevice, err)
	}
	return err
}

// loadGraph loads the model in the folder of m.info, and completes m.info.
func loadGraph(ctx context.Context, c Config, manifest folder.Manifest, slots int, m *Model) (engine, error) {
	enterStage(ctx, "reading its files")
	p, wrong := folder.ReadParts(m.info.Name, m.info.Folder, &manifest)
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	m.info.Heads = p.Heads
	if p.Table != nil {
		return loadTable(ctx, c, &p, slots, m)
	}
	return loadText(ctx, c, &p, slots, m)
}
