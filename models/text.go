package models

import (
	"context"
	"errors"
	"slices"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/tasks"
)

// textModel is the engine of a graph that reads tokens.
type textModel struct {
	graphEngine
	*folder.TextGraph

	limits batching.Limits // of batches, for how far they are padded
	types  bool            // token types are among the graph's inputs

	slots  []*textSlot // by slot
	ones   []int64     // the mask of a row without padding
	counts []int64     // First, First+1 and so on: the positions of a row
	sample row         // a text that is known to work
}

// loadText loads the model of the parts, and completes m.info.
func loadText(ctx context.Context, c Config, p *folder.Parts, slots int, m *Model) (_ *textModel, err error) {
	t := newText(p.Text, p.Heads, m.series)
	m.info.MaxTokens, m.info.Alone = p.MaxTokens, p.Alone()
	given := m.info.Limits.MaxItems > 0
	if !given {
		if m.info.Limits, err = c.limits(p.MaxTokens, m.info.Alone != ""); err != nil {
			return nil, err
		}
	}
	t.limits = m.info.Limits
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.open(ctx, c, p.GraphPath, "", slots, func(r runner) { t.slots = append(t.slots, t.newSlot(r)) }); err != nil {
		return nil, err
	}
	return t, t.check(ctx, p.Manifest, m.info.Limits, !given)
}

// newText makes an engine that has no slots yet.
func newText(g *folder.TextGraph, heads []tasks.Head, s series) *textModel {
	t := &textModel{
		graphEngine: newGraphEngine(heads, s), TextGraph: g,
		types: slices.Contains(g.Inputs, folder.TokenTypes), ones: slices.Repeat([]int64{1}, g.MaxTokens),
	}
	for i := range g.MaxTokens {
		t.counts = append(t.counts, g.First+int64(i))
	}
	return t
}

var errNoTokens = errors.New("the text has no tokens")

func (t *textModel) prepare(in Input, r *row) (int, error) {
	text := in.Text
	if t.Prompt != "" {
		text = t.Prompt + text
	}
	if t.types {
		e, err := t.Tokens.TryEncode(text)
		if err != nil {
			return 0, err
		}
		r.ids, r.types = e.IDs, e.TypeIDs
	} else {
		var err error
		// English has four to five bytes a token.
		if r.ids, err = t.Tokens.TryAppendIDs(make([]int64, 0, min(t.MaxTokens, len(text)/4+8)), text); err != nil {
			return 0, err
		}
	}
	if len(r.ids) == 0 {
		return 0, errNoTokens
	}
	t.place(r)
	if len(r.ids) == t.MaxTokens {
		if longer, err := t.Longer.TryAppendIDs(nil, text); err != nil || len(longer) > t.MaxTokens {
			t.series.truncated.Inc()
		}
	}
	return len(r.ids), nil
}

// place gives a row positions of its own where it has padding in it, as a text that spells out "<pad>" does, and the model
// is one that does not count such tokens.
func (t *textModel) place(r *row) {
	r.positions = nil
	if t.First == 0 || !slices.Contains(t.Inputs, folder.Positions) || !slices.Contains(r.ids, t.Pad) {
		return
	}
	at := t.First
	for _, id := range r.ids {
		if id == t.Pad {
			r.positions = append(r.positions, t.First-1)
			continue
		}
		r.positions = append(r.positions, at)
		at++
	}
}

func (t *textModel) run(slot int, batch []batching.Item[*row]) error {
	s := t.slots[slot]
	s.rows = s.rows[:0]
	for _, item := range batch {
		s.rows = append(s.rows, item.Value)
	}
	defer clear(s.rows)
	return verdict(t.answer(s, s.rows), len(batch), func() error {
		return t.answer(s, []*row{{ids: t.sample.ids, types: t.sample.types, positions: t.sample.positions}})
	})
}
