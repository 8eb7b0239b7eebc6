package folder

import (
	"fmt"
	"slices"
	"strings"

	"nearline/models/onnx"
	"nearline/models/tokenizer"
)

// TextGraph is what a graph that reads tokens takes, and how texts become that. It is not changed once it is read.
type TextGraph struct {
	Tokens    *tokenizer.Tokenizer // cuts texts to MaxTokens
	Longer    *tokenizer.Tokenizer // with room for one token more, to see whether a text was cut
	MaxTokens int

	Prompt   string // is put before every text
	Prompted int    // tokens that it has

	Inputs []TokenInput // of the graph, in its order
	Pad    int64        // id
	First  int64        // position of a row's first token; those before it are for padding
	Fixed  int          // tokens that every run has, padded; 0 where they may be any number
	Single bool         // the graph takes one row
}

// TokenInput is what a graph of tokens may ask for.
type TokenInput uint8

// The inputs, as transformers has them.
const (
	InputIDs TokenInput = iota
	AttentionMask
	TokenTypes
	Positions
)

// inputKinds are the inputs by their names in transformers.
var inputKinds = []string{InputIDs: "input_ids", AttentionMask: "attention_mask", TokenTypes: "token_type_ids", Positions: "position_ids"}

// inputNames are those names, and the ones of BERT's first releases.
var inputNames = map[string]TokenInput{
	"input_ids":      InputIDs,
	"attention_mask": AttentionMask,
	"input_mask":     AttentionMask,
	"token_type_ids": TokenTypes,
	"segment_ids":    TokenTypes,
	"position_ids":   Positions,
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

// NewTextGraph reads what a graph of these inputs takes, whose texts are cut to so many tokens. Padding and positions are what the settings say.
func NewTextGraph(full *tokenizer.Tokenizer, limit int, inputs []onnx.Info, s Settings) (*TextGraph, error) {
	t := &TextGraph{MaxTokens: limit, Pad: s.padID(full.PadID()), First: s.first}
	var err error
	if t.Tokens, err = full.WithMaxTokens(limit); err != nil {
		return nil, fmt.Errorf("max_tokens: %w", err)
	}
	if t.Longer, err = full.WithMaxTokens(limit + 1); err != nil {
		return nil, fmt.Errorf("max_tokens: %w", err)
	}
	for _, i := range inputs {
		if err := t.takes(i); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(t.Inputs, InputIDs) {
		return nil, fmt.Errorf("the graph has no input input_ids: want a graph that reads tokens; if it has under another name, say "+
			"which in nearline.yaml, as inputs: {%s: input_ids}", firstName(inputs))
	}
	if t.Fixed > 0 && !slices.Contains(t.Inputs, AttentionMask) {
		return nil, fmt.Errorf("the graph takes %d tokens, no more and no less, and has no attention_mask, so that padding would count "+
			"as text: want an export with dynamic axes", t.Fixed)
	}
	return t, nil
}

// takes adds an input of the graph, and refuses one that there is nothing to give for.
func (t *TextGraph) takes(i onnx.Info) error {
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
	case slices.Contains(t.Inputs, kind):
		return fmt.Errorf("the graph wants input %s, which has another as well: want one for %s", i, inputKinds[kind])
	case i.Shape != nil && len(i.Shape) != 2:
		return fmt.Errorf("the graph wants input %s: want the shape [batch, tokens]", i)
	}
	t.Inputs = append(t.Inputs, kind)
	if i.Shape == nil {
		return nil
	}
	if i.Shape[0] > 1 {
		return fmt.Errorf("the graph wants input %s, %d rows at a time: want an export with dynamic axes, or of one row", i, i.Shape[0])
	}
	t.Single = t.Single || i.Shape[0] == 1
	if n := int(i.Shape[1]); n > 0 {
		if t.Fixed > 0 && t.Fixed != n {
			return fmt.Errorf("the graph wants input %s, and another of %d tokens: want an export with dynamic axes", i, t.Fixed)
		}
		t.Fixed = n
	}
	return nil
}

func firstName(inputs []onnx.Info) string {
	if len(inputs) == 0 {
		return "NAME"
	}
	return inputs[0].Name
}

// alone says why rows have to run one at a time, or "".
func (t *TextGraph) alone(g *onnx.Graph, s Settings) string {
	switch {
	case g.Coupled != "":
		return g.Coupled
	case t.Single:
		return "the graph takes one row at a time: it was exported without a dynamic batch axis"
	case !slices.Contains(t.Inputs, AttentionMask):
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

// SetPrompt puts a prompt before every text, and counts its tokens as sentence-transformers does: with the special tokens
// before it, without the one after it.
func (t *TextGraph) SetPrompt(prompt string) {
	if t.Prompt = prompt; prompt == "" {
		return
	}
	ids, none := t.Tokens.AppendIDs(nil, prompt), t.Tokens.AppendIDs(nil, "")
	t.Prompted = len(ids)
	if n := len(none); n > 0 && none[n-1] == ids[len(ids)-1] {
		t.Prompted--
	}
}
