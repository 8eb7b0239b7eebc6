package folder

import (
	"path/filepath"
	"strings"
	"testing"

	"nearline/models/onnx"
	"nearline/models/tokenizer"
)

func TestGraphsThatWantMoreThanTextAreRefusedByName(t *testing.T) {
	full, err := tokenizer.Load(filepath.Join("..", "onnx", "testdata", "single_label", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	open := []int64{-1, -1}
	ids, mask := onnx.Info{Name: "input_ids", Type: onnx.Int64, Shape: open}, onnx.Info{Name: "attention_mask", Type: onnx.Int64, Shape: open}
	for _, c := range []struct {
		want   string
		inputs []onnx.Info
	}{
		{"the graph wants input pixel_values float32[?, 3, 224, 224]: it reads images", []onnx.Info{ids, mask,
			{Name: "pixel_values", Type: onnx.Float32, Shape: []int64{-1, 3, 224, 224}}}},
		{"bbox int64[?, ?, 4]: it reads pages", []onnx.Info{ids, {Name: "bbox", Type: onnx.Int64, Shape: []int64{-1, -1, 4}}}},
		{"it reads sound", []onnx.Info{{Name: "input_values", Type: onnx.Float32, Shape: open}}},
		{"decoder_input_ids int64[?, ?]: it writes text", []onnx.Info{ids, mask, {Name: "decoder_input_ids", Type: onnx.Int64, Shape: open}}},
		{"past_key_values.0.key float32[?, 2, ?, 16]: it writes text", []onnx.Info{ids, mask,
			{Name: "past_key_values.0.key", Type: onnx.Float32, Shape: []int64{-1, 2, -1, 16}}}},
		{"it reads vectors in place of tokens", []onnx.Info{{Name: "inputs_embeds", Type: onnx.Float32, Shape: []int64{-1, -1, 32}}}},
		{"input head_mask int64[?, ?]: want one of input_ids, attention_mask, token_type_ids, position_ids alone; if it is one of these, " +
			"say which in nearline.yaml, as inputs: {head_mask: input_ids}", []onnx.Info{ids, {Name: "head_mask", Type: onnx.Int64, Shape: open}}},
		{"input input_mask int64[?, ?], which has another as well: want one for attention_mask",
			[]onnx.Info{ids, mask, {Name: "input_mask", Type: onnx.Int64, Shape: open}}},
		{"input input_ids int64[?]: want the shape [batch, tokens]", []onnx.Info{{Name: "input_ids", Type: onnx.Int64, Shape: []int64{-1}}}},
		{"input_ids int64[8, ?], 8 rows at a time: want an export with dynamic axes",
			[]onnx.Info{{Name: "input_ids", Type: onnx.Int64, Shape: []int64{8, -1}}, mask}},
		{"the graph takes 16 tokens, no more and no less, and has no attention_mask",
			[]onnx.Info{{Name: "input_ids", Type: onnx.Int64, Shape: []int64{1, 16}}}},
		{"attention_mask int64[1, 32], and another of 16 tokens", []onnx.Info{{Name: "input_ids", Type: onnx.Int64, Shape: []int64{1, 16}},
			{Name: "attention_mask", Type: onnx.Int64, Shape: []int64{1, 32}}}},
	} {
		if _, err := NewTextGraph(full, 16, c.inputs, Settings{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want it to say %q", err, c.want)
		}
	}
}

func TestDecoderThatCannotTellPaddingRunsAlone(t *testing.T) {
	full, err := tokenizer.Load(filepath.Join("..", "onnx", "testdata", "single_label", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := NewTextGraph(full, 32, []onnx.Info{{Name: "input_ids", Type: onnx.Int64}, {Name: "attention_mask", Type: onnx.Int64}}, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	zero := int64(0)
	for _, c := range []struct {
		settings settings
		alone    bool
	}{
		{settings{ModelType: "gpt2"}, true},
		{settings{ModelType: "gpt2", PadTokenID: &zero}, false},
		{settings{ModelType: "bert"}, false},
	} {
		if why := text.alone(&onnx.Graph{}, c.settings); (why != "") != c.alone {
			t.Errorf("%s: got %q, want alone: %v", c.settings.ModelType, why, c.alone)
		}
	}
}

func TestGraphInputsThatAreNotKnownAreRefused(t *testing.T) {
	full, err := tokenizer.Load(filepath.Join("..", "onnx", "testdata", "single_label", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	for want, inputs := range map[string][]onnx.Info{
		"the graph wants input pixels": {{Name: "input_ids"}, {Name: "pixels"}},
		"no input input_ids":           {{Name: "attention_mask"}},
	} {
		_, err := NewTextGraph(full, 32, inputs, Settings{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
