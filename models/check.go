package models

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/models/folder"
	"nearline/models/onnx"
	"nearline/models/tasks"
)

// check warms the model up and tries it, before anybody's text goes through it. neighbours says whether to try them too.
func (t *textModel) check(ctx context.Context, m folder.Manifest, limits batching.Limits, neighbours bool) error {
	t.sample = t.filler(min(t.MaxTokens, 8))
	enterStage(ctx, "warming up: a run of the graph")
	if err := t.warmUp(limits); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	enterStage(ctx, "trying a sample")
	if err := t.trySample(); err != nil {
		return fmt.Errorf("try: %w", err)
	}
	enterStage(ctx, "answering its golden examples")
	if err := t.checkGolden(ctx, m); err != nil {
		return err
	}
	if !neighbours || limits.MaxItems == 1 {
		return nil
	}
	enterStage(ctx, "trying whether neighbours matter")
	return t.checkNeighbours(m)
}

// warmUp runs the largest batch on all slots at once, so that memory is taken, or found lacking, now.
func (t *textModel) warmUp(limits batching.Limits) error {
	items := max(1, min(limits.MaxItems, limits.MaxTokens/t.MaxTokens))
	var running errgroup.Group
	for _, s := range t.slots {
		running.Go(func() error {
			rows := make([]*row, items)
			for i := range rows {
				longest := t.filler(t.MaxTokens)
				rows[i] = &longest
			}
			_, err := t.compute(s, rows)
			if err != nil && !errors.Is(err, onnx.ErrRuntime) {
				return fmt.Errorf("%d rows of %d tokens: %w; if the model takes fewer tokens, want max_tokens in nearline.yaml to say how "+
					"many, and if it was exported without dynamic axes, another export", items, t.MaxTokens, err)
			}
			return err
		})
	}
	return running.Wait()
}

// trySample sees whether the outputs are what the heads want, and how long their vectors are: a graph may leave shapes open.
func (t *textModel) trySample() error {
	r := t.sample
	if len(r.ids) <= t.Prompted {
		r = t.filler(t.MaxTokens)
	}
	if err := t.answer(t.slots[0], []*row{&r}); err != nil {
		return err
	}
	if errors.Is(r.err, tasks.ErrNotFinite) {
		return nil // so it may be of tokens that mean nothing
	}
	if r.err != nil {
		return r.err
	}
	t.example = r.columns
	answers, err := t.answers(t.slots[0], &r)
	if err != nil {
		return err
	}
	for h := range t.heads {
		if head := &t.heads[h]; head.Kind == tasks.Embedding {
			head.Dimension = len(answers[h])
		}
	}
	return nil
}

// filler is a row of so many tokens that mean nothing, each of which the model knows.
func (t *textModel) filler(tokens int) row {
	e := t.Tokens.Encode("a")
	if len(e.IDs) == 0 {
		e.IDs, e.TypeIDs = []int64{t.Tokens.PadID()}, []int64{0}
	}
	var r row
	for i := range tokens {
		r.ids = append(r.ids, e.IDs[i%len(e.IDs)])
		r.types = append(r.types, e.TypeIDs[i%len(e.IDs)])
	}
	t.place(&r)
	return r
}

// mostGolden is how many golden examples are named that did not reproduce: a wrong tokenizer fails all of them alike.
const mostGolden = 3

// checkGolden compares the answers to the golden examples.
func (t *textModel) checkGolden(ctx context.Context, m folder.Manifest) error {
	var errs []error
	for i, g := range m.Golden {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := t.tryGolden(g, m.GoldenTolerance()); err != nil {
			errs = append(errs, fmt.Errorf("golden[%d] %q: %w", i, shortened(g.Text), err))
		}
	}
	if more := len(errs) - mostGolden; more > 0 {
		errs = append(errs[:mostGolden], fmt.Errorf("and %d more of %d golden examples", more, len(m.Golden)))
	}
	return errors.Join(errs...)
}

func (t *textModel) tryGolden(g folder.Golden, tolerance float64) error {
	if g.Columns != nil || g.Candidates != nil || g.History != nil {
		return errors.New("the model reads texts: want text, and no columns, candidates or history")
	}
	var r row
	if _, err := t.prepare(Input{Text: g.Text}, &r); err != nil {
		return err
	}
	if err := t.answer(t.slots[0], []*row{&r}); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	return g.Compare(r.columns, tolerance)
}

// coarseTolerance is how far padding and a neighbour may move a logit before the model is refused. It is to tell a graph
// that heeds its attention mask, in whatever precision (thousandths), from one that does not (tenths). A guess.
const coarseTolerance = 0.05

// checkNeighbours tries, where rows are to share batches, whether they leave each other alone.
func (t *textModel) checkNeighbours(m folder.Manifest) error {
	longest := t.filler(t.MaxTokens)
	rows := []row{t.filler(1 + t.MaxTokens/8), t.filler(1 + t.MaxTokens/2)}
	for _, g := range m.Golden[:min(8, len(m.Golden))] {
		var r row
		if _, err := t.prepare(Input{Text: g.Text}, &r); err != nil {
			return err
		}
		rows = append(rows, r)
	}
	s := t.slots[0]
	for i := range rows {
		alone, err := t.answers(s, &rows[i])
		if err != nil {
			return err
		}
		padded, err := t.answers(s, &rows[i], &longest)
		if err != nil {
			return err
		}
		for h := range t.heads {
			if what, d := t.moved(h, alone[h], padded[h]); !(d <= coarseTolerance) {
				return fmt.Errorf("padding from %d to %d tokens moves a %s by %.3f, want at most %v: the graph does not heed its "+
					"attention mask, or takes scales over the batch; want models.batch.max_items 1, or another export",
					len(rows[i].ids), len(longest.ids), what, d, coarseTolerance)
			}
		}
	}
	return nil
}

// answers are the first row's, by head: logits, or a vector.
func (t *textModel) answers(s *textSlot, rows ...*row) ([][]float32, error) {
	outputs, err := t.compute(s, rows)
	if err != nil {
		return nil, err
	}
	all := make([][]float32, len(t.heads))
	for h := range t.heads {
		cut := t.cut(outputs[t.reads[h]], 0, rows[0])
		if t.heads[h].Kind != tasks.Embedding {
			all[h] = slices.Clone(cut.Values)
			continue
		}
		cut.Prompt = 0
		if all[h], err = t.heads[h].Embed(cut); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// moved is how far two answers of a head are apart: the largest difference of a logit, or the length of the difference of
// two vectors over the length of one.
func (t *textModel) moved(h int, a, b []float32) (what string, by float64) {
	squares, length := 0.0, 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		by = max(by, d)
		squares += d * d
		length += float64(a[i]) * float64(a[i])
	}
	if t.heads[h].Kind == tasks.Embedding {
		return "vector of length 1", math.Sqrt(squares) / max(math.Sqrt(length), 1e-12)
	}
	return "logit", by
}

// shortened is enough of a text to know it by.
func shortened(text string) string {
	const most = 60
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "..."
}
