package models

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"nearline/batching"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
	"nearline/pipeline"
)

// textModel is the engine of a graph that reads tokens.
type textModel struct {
	tokens *tokenizer.Tokenizer
	longer *tokenizer.Tokenizer // with room for one token more, to see whether a text was cut
	max    int                  // tokens

	prompt   string           // is put before every text
	prompted int              // tokens that it has
	example  []pipeline.Field // the answer to the sample; nil when that is not a number

	inputs  []input  // of the graph, in its order
	types   bool     // token types are among them
	outputs []string // of the graph, that heads read
	heads   []tasks.Head
	reads   []int // by head: the index of its output
	series  series

	sessions []*onnx.Session
	lanes    []*lane // by slot
	ones     []int64 // the mask of a row without padding
	counts   []int64 // 0, 1, 2 and so on: the positions of a row
	sample   row     // a text that is known to work
}

// input is what a graph may ask for.
type input uint8

const (
	inputIDs input = iota
	attentionMask
	tokenTypes
	positions
)

var inputNames = map[string]input{
	"input_ids":      inputIDs,
	"attention_mask": attentionMask,
	"token_type_ids": tokenTypes,
	"position_ids":   positions,
}

// loadText loads the model in the folder of m.info, and completes m.info.
func loadText(ctx context.Context, c Config, manifest manifest, slots int, m *Model) (_ *textModel, err error) {
	folder := m.info.Folder
	settings, err := readSettings(folder)
	if err != nil {
		return nil, err
	}
	path, err := manifest.graphPath(folder)
	if err != nil {
		return nil, err
	}
	graph, err := onnx.Inspect(path)
	if err != nil {
		return nil, err
	}
	heads, err := tasks.Resolve(manifest.Heads, manifest.source(m.info.Name, settings, graph))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	if err := manifest.checkGolden(heads); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	full, err := tokenizer.Load(filepath.Join(folder, "tokenizer.json"))
	if err != nil {
		return nil, err
	}
	limit, err := maxTokens(manifest, settings, full.MaxTokens())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	t, err := newText(full, limit, heads, graph.Inputs, m.series)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.info.Heads, m.info.MaxTokens, m.info.Alone = heads, limit, graph.Coupled
	if m.info.Limits, err = c.limits(limit, graph.Coupled != ""); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.open(ctx, c, path, slots); err != nil {
		return nil, err
	}
	if err := t.setPrompt(manifest, settings.sentence); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	return t, t.check(ctx, manifest, m.info.Limits, c.Override == nil)
}

// rowOutputs are the outputs that heads can read: of shape [batch], [batch, logits] or [batch, tokens, hidden], or not stated.
func rowOutputs(infos []onnx.Info) []tasks.Output {
	var outputs []tasks.Output
	for _, i := range infos {
		switch {
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

// newText makes an engine that has no lanes yet.
func newText(full *tokenizer.Tokenizer, limit int, heads []tasks.Head, inputs []onnx.Info, s series) (*textModel, error) {
	t := &textModel{max: limit, heads: heads, series: s, ones: slices.Repeat([]int64{1}, limit)}
	for i := range limit {
		t.counts = append(t.counts, int64(i))
	}
	var err error
	if t.tokens, err = full.WithMaxTokens(limit); err != nil {
		return nil, fmt.Errorf("max_tokens: %w", err)
	}
	if t.longer, err = full.WithMaxTokens(limit + 1); err != nil {
		return nil, fmt.Errorf("max_tokens: %w", err)
	}
	for _, i := range inputs {
		kind, ok := inputNames[i.Name]
		if !ok {
			return nil, fmt.Errorf("the graph wants input %s: want %s alone", i, oneOf(sortedKeys(inputNames)))
		}
		t.inputs = append(t.inputs, kind)
	}
	if !slices.Contains(t.inputs, inputIDs) {
		return nil, errors.New("the graph has no input input_ids: want a graph that reads tokens")
	}
	t.types = slices.Contains(t.inputs, tokenTypes)
	for _, h := range heads {
		at := slices.Index(t.outputs, h.Output)
		if at < 0 {
			at = len(t.outputs)
			t.outputs = append(t.outputs, h.Output)
		}
		t.reads = append(t.reads, at)
	}
	return t, nil
}

// open opens the sessions and makes the lanes.
func (t *textModel) open(ctx context.Context, c Config, path string, slots int) error {
	device, _, threads := c.machine()
	options := onnx.Options{Library: c.Runtime, Device: device, Threads: threads, Outputs: t.outputs}
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
			t.sessions = append(t.sessions, session)
		}
		t.lanes = append(t.lanes, t.newLane(t.sessions[len(t.sessions)-1].Runner()))
	}
	return nil
}

func (t *textModel) close() error {
	var errs []error
	for _, s := range t.sessions {
		errs = append(errs, s.Close())
	}
	t.sessions = nil
	return errors.Join(errs...)
}

var errNoTokens = errors.New("the text has no tokens")

func (t *textModel) prepare(text string, r *row) (int, error) {
	if t.prompt != "" {
		text = t.prompt + text
	}
	if t.types {
		e := t.tokens.Encode(text)
		r.ids, r.types = e.IDs, e.TypeIDs
	} else {
		// English has four to five bytes a token.
		r.ids = t.tokens.AppendIDs(make([]int64, 0, min(t.max, len(text)/4+8)), text)
	}
	if len(r.ids) == 0 {
		return 0, errNoTokens
	}
	if len(r.ids) == t.max && len(t.longer.AppendIDs(nil, text)) > t.max {
		t.series.truncated.Inc()
	}
	return len(r.ids), nil
}

func (t *textModel) run(slot int, batch []batching.Item[*row]) error {
	l := t.lanes[slot]
	l.rows = l.rows[:0]
	for _, item := range batch {
		l.rows = append(l.rows, item.Value)
	}
	defer clear(l.rows)
	err := t.answer(l, l.rows)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, onnx.ErrRuntime):
		return fmt.Errorf("%w: %w", batching.ErrDevice, err)
	case len(batch) > 1:
		return err // it is halved until it is known whose fault this is
	}
	// The row, or the runtime? A text that is known to work tells.
	if probe := t.answer(l, []*row{{ids: t.sample.ids, types: t.sample.types}}); probe != nil {
		return fmt.Errorf("%w: a text that used to work fails as well: %w", batching.ErrDevice, err)
	}
	return err
}
