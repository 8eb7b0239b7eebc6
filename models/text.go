package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/models/onnx"
	"nearline/models/tasks"
	"nearline/models/tokenizer"
)

// textModel is the engine of a graph that reads tokens.
type textModel struct {
	graphEngine

	tokens *tokenizer.Tokenizer
	longer *tokenizer.Tokenizer // with room for one token more, to see whether a text was cut
	max    int                  // tokens
	limits batching.Limits      // of batches, for how far they are padded

	prompt   string // is put before every text
	prompted int    // tokens that it has

	inputs []input // of the graph, in its order
	types  bool    // token types are among them

	lanes  []*lane // by slot
	pad    int64   // id
	first  int64   // position of a row's first token; those before it are for padding
	fixed  int     // tokens that every run has, padded; 0 where they may be any number
	single bool    // the graph takes one row
	ones   []int64 // the mask of a row without padding
	counts []int64 // first, first+1 and so on: the positions of a row
	sample row     // a text that is known to work
}

// input is what a graph may ask for.
type input uint8

const (
	inputIDs input = iota
	attentionMask
	tokenTypes
	positions
)

// inputKinds are the inputs by their names in transformers.
var inputKinds = []string{inputIDs: "input_ids", attentionMask: "attention_mask", tokenTypes: "token_type_ids", positions: "position_ids"}

// inputNames are those names, and the ones of BERT's first releases.
var inputNames = map[string]input{
	"input_ids":      inputIDs,
	"attention_mask": attentionMask,
	"input_mask":     attentionMask,
	"token_type_ids": tokenTypes,
	"segment_ids":    tokenTypes,
	"position_ids":   positions,
}

// foreignInputs say, by how an input's name begins, what a graph is that wants it.
var foreignInputs = []struct{ prefix, what string }{
	{"pixel_", "it reads images, and Nearline reads texts"},
	{"bbox", "it reads pages with the places of their words, and Nearline reads texts"},
	{"input_features", "it reads sound, and Nearline reads texts"},
	{"input_values", "it reads sound, and Nearline reads texts"},
	{"decoder_", "it writes text, and Nearline does not: want a model that classifies, exported with --task text-classification"},
	{"encoder_", "it writes text, and Nearline does not: want a model that classifies, exported with --task text-classification"},
	{"past_key_values", "it writes text, and Nearline does not: want a model that classifies, exported with --task text-classification"},
	{"use_cache", "it writes text, and Nearline does not: want a model that classifies, exported with --task text-classification"},
	{"inputs_embeds", "it reads vectors in place of tokens: want an export that takes input_ids"},
	{"langs", "it wants the language of each token, which nobody tells: want a model that does without"},
}

// loadText loads the model of the parts, and completes m.info.
func loadText(ctx context.Context, c Config, p *parts, slots int, m *Model) (_ *textModel, err error) {
	t := p.text
	m.info.MaxTokens, m.info.Alone = p.maxTokens, t.alone(p.graph, p.settings)
	given := m.info.Limits.MaxItems > 0
	if !given {
		if m.info.Limits, err = c.limits(p.maxTokens, m.info.Alone != ""); err != nil {
			return nil, err
		}
	}
	t.limits = m.info.Limits
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.open(ctx, c, p.graphPath, "", slots, func(r runner) { t.lanes = append(t.lanes, t.newLane(r)) }); err != nil {
		return nil, err
	}
	return t, t.check(ctx, p.manifest, m.info.Limits, !given)
}

// rowOutputs are the outputs that heads can read: of shape [batch], [batch, logits] or [batch, tokens, hidden], or not stated.
func rowOutputs(infos []onnx.Info) []tasks.Output {
	var outputs []tasks.Output
	for _, i := range infos {
		switch {
		case i.Type == onnx.String: // classes by name, of which there are the probabilities too
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
	t := &textModel{graphEngine: newGraphEngine(heads, s), max: limit, pad: full.PadID(), ones: slices.Repeat([]int64{1}, limit)}
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
		if err := t.takes(i); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(t.inputs, inputIDs) {
		return nil, fmt.Errorf("the graph has no input input_ids: want a graph that reads tokens; if it has under another name, say "+
			"which in nearline.yaml, as inputs: {%s: input_ids}", firstName(inputs))
	}
	if t.fixed > 0 && !slices.Contains(t.inputs, attentionMask) {
		return nil, fmt.Errorf("the graph takes %d tokens, no more and no less, and has no attention_mask, so that padding would count "+
			"as text: want an export with dynamic axes", t.fixed)
	}
	t.types = slices.Contains(t.inputs, tokenTypes)
	return t, nil
}

// takes adds an input of the graph, and refuses one that there is nothing to give for.
func (t *textModel) takes(i onnx.Info) error {
	kind, ok := inputNames[i.Name]
	switch {
	case !ok:
		for _, f := range foreignInputs {
			if strings.HasPrefix(i.Name, f.prefix) {
				return fmt.Errorf("the graph wants input %s: %s", i, f.what)
			}
		}
		return fmt.Errorf("the graph wants input %s: want %s alone; if it is one of these, say which in nearline.yaml, as inputs: "+
			"{%s: input_ids}", i, oneOf(inputKinds), i.Name)
	case slices.Contains(t.inputs, kind):
		return fmt.Errorf("the graph wants input %s, which has another as well: want one for %s", i, inputKinds[kind])
	case i.Shape != nil && len(i.Shape) != 2:
		return fmt.Errorf("the graph wants input %s: want the shape [batch, tokens]", i)
	}
	t.inputs = append(t.inputs, kind)
	if i.Shape == nil {
		return nil
	}
	if i.Shape[0] > 1 {
		return fmt.Errorf("the graph wants input %s, %d rows at a time: want an export with dynamic axes, or of one row", i, i.Shape[0])
	}
	t.single = t.single || i.Shape[0] == 1
	if n := int(i.Shape[1]); n > 0 {
		if t.fixed > 0 && t.fixed != n {
			return fmt.Errorf("the graph wants input %s, and another of %d tokens: want an export with dynamic axes", i, t.fixed)
		}
		t.fixed = n
	}
	return nil
}

func firstName(inputs []onnx.Info) string {
	if len(inputs) == 0 {
		return "NAME"
	}
	return inputs[0].Name
}

// settle takes from the settings what padding and positions are.
func (t *textModel) settle(s settings) {
	t.pad, t.first = s.padID(t.pad), s.first
	for i := range t.counts {
		t.counts[i] = t.first + int64(i)
	}
}

// alone says why rows have to run one at a time, or "".
func (t *textModel) alone(g *onnx.Graph, s settings) string {
	switch {
	case g.Coupled != "":
		return g.Coupled
	case t.single:
		return "the graph takes one row at a time: it was exported without a dynamic batch axis"
	case !slices.Contains(t.inputs, attentionMask):
		return "the graph has no attention_mask, so that padding would count as text"
	case s.PadTokenID == nil && slices.Contains(decoders, s.ModelType):
		return "the graph answers from the last token of a row, and config.json has no pad_token_id to tell it from padding"
	}
	return ""
}

// decoders are model types that classify by the last token that is not padding, which they know by its id.
var decoders = []string{
	"bloom", "codegen", "ctrl", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "llama",
	"mistral", "mixtral", "mpt", "openai-gpt", "opt", "phi", "phi3", "qwen2", "qwen3", "stablelm", "starcoder2",
}

var errNoTokens = errors.New("the text has no tokens")

func (t *textModel) prepare(in Input, r *row) (int, error) {
	text := in.Text
	if t.prompt != "" {
		text = t.prompt + text
	}
	if t.types {
		e, err := t.tokens.TryEncode(text)
		if err != nil {
			return 0, err
		}
		r.ids, r.types = e.IDs, e.TypeIDs
	} else {
		var err error
		// English has four to five bytes a token.
		if r.ids, err = t.tokens.TryAppendIDs(make([]int64, 0, min(t.max, len(text)/4+8)), text); err != nil {
			return 0, err
		}
	}
	if len(r.ids) == 0 {
		return 0, errNoTokens
	}
	t.place(r)
	if len(r.ids) == t.max {
		if longer, err := t.longer.TryAppendIDs(nil, text); err != nil || len(longer) > t.max {
			t.series.truncated.Inc()
		}
	}
	return len(r.ids), nil
}

// place gives a row positions of its own where it has padding in it, as a text that spells out "<pad>" does, and the model
// is one that does not count such tokens.
func (t *textModel) place(r *row) {
	r.positions = nil
	if t.first == 0 || !slices.Contains(t.inputs, positions) || !slices.Contains(r.ids, t.pad) {
		return
	}
	at := t.first
	for _, id := range r.ids {
		if id == t.pad {
			r.positions = append(r.positions, t.first-1)
			continue
		}
		r.positions = append(r.positions, at)
		at++
	}
}

func (t *textModel) run(slot int, batch []batching.Item[*row]) error {
	l := t.lanes[slot]
	l.rows = l.rows[:0]
	for _, item := range batch {
		l.rows = append(l.rows, item.Value)
	}
	defer clear(l.rows)
	return verdict(t.answer(l, l.rows), len(batch), func() error {
		return t.answer(l, []*row{{ids: t.sample.ids, types: t.sample.types, positions: t.sample.positions}})
	})
}
