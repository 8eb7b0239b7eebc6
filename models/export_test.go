package models

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/models/onnx"
	"nearline/models/tokenizer"
)

// read is a file of onnx/testdata.
func read(t testing.TB, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"onnx", "testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const pointer = "version https://git-lfs.example/spec/v1\noid sha256:0\nsize 438002432\n"

func TestFoldersThatAreNoWholeExportAreRefusedWithWhatToDo(t *testing.T) {
	whole, external := read(t, "single_label", "model.onnx"), read(t, "graphs", "external.onnx")
	tokens := read(t, "single_label", "tokenizer.json")
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"PyTorch's weights", map[string]string{"model.safetensors": "x", "tokenizer.json": tokens},
			[]string{"PyTorch's weights (model.safetensors) and no ONNX graph", "`optimum-cli export onnx --model ", "--task text-classification OUT`"}},
		{"older weights in parts", map[string]string{"pytorch_model-00001-of-00002.bin": "x", "pytorch_model-00002-of-00002.bin": "x"},
			[]string{"(pytorch_model-00001-of-00002.bin, pytorch_model-00002-of-00002.bin)"}},
		{"TensorFlow's weights", map[string]string{"tf_model.h5": "x"}, []string{"has tf_model.h5 and no ONNX graph: want model.onnx"}},
		{"a model that writes text", map[string]string{"encoder_model.onnx": whole, "decoder_model.onnx": whole},
			[]string{"decoder_model.onnx, encoder_model.onnx: that is a model that writes text"}},
		{"the same in its folder", map[string]string{"onnx/decoder_model_merged.onnx": whole},
			[]string{"onnx/decoder_model_merged.onnx: that is a model that writes text"}},
		{"a pointer of git-lfs", map[string]string{"model.onnx": pointer, "tokenizer.json": tokens},
			[]string{"model.onnx is a pointer of git-lfs and not the content: run `git lfs install && git lfs pull`"}},
		{"the tokenizer a pointer", map[string]string{"model.onnx": whole, "tokenizer.json": pointer},
			[]string{"tokenizer.json is a pointer of git-lfs"}},
		{"a web page", map[string]string{"model.onnx": "<!DOCTYPE html>\n<html class=\"\">", "tokenizer.json": tokens},
			[]string{"model.onnx is a web page and not the content: download the file itself"}},
		{"the tokenizer a web page", map[string]string{"model.onnx": whole, "tokenizer.json": "<html>"}, []string{"tokenizer.json is a web page"}},
		{"a graph cut short", map[string]string{"model.onnx": whole[:len(whole)/2], "tokenizer.json": tokens},
			[]string{"it is not a whole ONNX file: it ends in the middle"}},
		{"an empty graph", map[string]string{"model.onnx": "", "tokenizer.json": tokens}, []string{"model.onnx is empty: copy or download it again"}},
		{"no external data", map[string]string{"model.onnx": external, "tokenizer.json": tokens},
			[]string{"keeps its weights in external.bin, which is not there: put it beside the graph, under that name"}},
		{"external data a pointer", map[string]string{"model.onnx": external, "external.bin": pointer, "tokenizer.json": tokens},
			[]string{"external.bin is a pointer of git-lfs"}},
		{"external data cut short", map[string]string{"model.onnx": external, "external.bin": "abc", "tokenizer.json": tokens},
			[]string{"external.bin has 3 bytes, and the graph reads 1024 of it: it was cut short"}},
		{"no tokenizer", map[string]string{"model.onnx": whole}, []string{"has no tokenizer.json: want the one that the model was trained with"}},
		{"a vocabulary alone", map[string]string{"model.onnx": whole, "vocab.txt": "a"},
			[]string{"an older form (vocab.txt) and no tokenizer.json: make it with `python -c 'from transformers", ".save_pretrained("}},
		{"sentence pieces alone", map[string]string{"model.onnx": whole, "sentencepiece.bpe.model": "a"}, []string{"(sentencepiece.bpe.model)"}},
		{"byte pairs alone", map[string]string{"model.onnx": whole, "vocab.json": "{}", "merges.txt": "a"}, []string{"(vocab.json, merges.txt)"}},
		{"an input that nobody knows", map[string]string{"model.onnx": whole, "tokenizer.json": tokens, "nearline.yaml": "inputs: {ids: input_ids}\n"},
			[]string{"inputs.ids: the graph has no such input, want one of input_ids, attention_mask"}},
		{"labels that are lists", map[string]string{"config.json": `{"id2label": {"0": ["a"]}}`, "model.onnx": whole, "tokenizer.json": tokens},
			[]string{`id2label has ["a"]: want names`}},
	} {
		files := map[string]string{"m/1/config.json": read(t, "single_label", "config.json")}
		for name, content := range c.files {
			files["m/1/"+name] = content
		}
		config := repository(t, nil, files)
		_, err := Load(t.Context(), config, "m", config.NewDevice(), NewMetrics(nil))
		if err == nil {
			t.Errorf("%s: it loaded", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want it to say %q", c.name, err, want)
			}
		}
	}
}

func TestGraphsThatWantMoreThanTextAreRefusedByName(t *testing.T) {
	full, err := tokenizer.Load(filepath.Join("onnx", "testdata", "single_label", "tokenizer.json"))
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

func TestGraphsThatAnswerForPlacesAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		want    string
		outputs []onnx.Info
	}{
		{"", []onnx.Info{{Name: "logits", Type: onnx.Float32, Shape: []int64{-1, 3}}}},
		{"", []onnx.Info{{Name: "last_hidden_state", Type: onnx.Float32, Shape: []int64{-1, -1, 32}}}},
		{"the graph answers logits float32[?, ?, 9], for each token: want a model that answers for whole texts",
			[]onnx.Info{{Name: "logits", Type: onnx.Float32, Shape: []int64{-1, -1, 9}}}},
		{"the graph answers start_logits float32[?, ?], which marks places in a text", []onnx.Info{
			{Name: "start_logits", Type: onnx.Float32, Shape: []int64{-1, -1}}, {Name: "end_logits", Type: onnx.Float32, Shape: []int64{-1, -1}}}},
	} {
		err := checkOutputs(c.outputs)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// readConfig are the settings of a folder with this config.json.
func readConfig(t *testing.T, config string) Settings {
	t.Helper()
	s, err := ReadSettings(filepath.Join(repository(t, nil, map[string]string{"m/1/config.json": config}).Repository, "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPositionsAreWhatTheModelTypeCounts(t *testing.T) {
	for _, c := range []struct {
		config      string
		limit       int
		first       int64
		relative    bool
		roomForMore bool // max_tokens 1024 is taken
		tokenizers  int64
		pad         int64
	}{
		{config: `{"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}`, limit: 512},
		{config: `{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "roberta", "max_position_embeddings": 130, "pad_token_id": 1}`, limit: 128, first: 2, pad: 1},
		{config: `{"model_type": "xlm-roberta", "max_position_embeddings": 514}`, limit: 512, first: 2, tokenizers: 1, pad: 1},
		{config: `{"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "longformer", "max_position_embeddings": 4098, "pad_token_id": 1}`, limit: 4096, first: 2, roomForMore: true, pad: 1},
		{config: `{"model_type": "albert", "max_position_embeddings": 512, "pad_token_id": 0}`, limit: 512},
		{config: `{"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": false, "pad_token_id": 0}`,
			limit: 512, relative: true, roomForMore: true},
		{config: `{"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": true}`, limit: 512},
		{config: `{"model_type": "gpt2", "n_positions": 1024, "pad_token_id": 50256, "vocab_size": 50257}`, limit: 1024, roomForMore: true, pad: 50256},
		{config: `{"model_type": "gpt2", "n_positions": 1024, "pad_token_id": 50257, "vocab_size": 50257}`, limit: 1024, roomForMore: true, tokenizers: 7, pad: 7},
		{config: `{"model_type": "llama", "max_position_embeddings": 4096, "pad_token_id": -1}`, limit: 4096, roomForMore: true, tokenizers: 2, pad: 2},
		{config: `{"model_type": "modernbert", "max_position_embeddings": 8192, "pad_token_id": 50283}`, limit: 8192, roomForMore: true, pad: 50283},
		{config: `{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 9223372036854775807}`, limit: 512, first: 2, pad: math.MaxInt64},
	} {
		s := readConfig(t, c.config)
		limit, _, err := maxTokens(manifest{}, s, 0)
		if err != nil || limit != c.limit || s.relative != c.relative {
			t.Errorf("%s: got %d tokens, relative: %v, %v, want %d, %v", c.config, limit, s.relative, err, c.limit, c.relative)
		}
		if s.first != c.first {
			t.Errorf("%s: got first position %d, want %d", c.config, s.first, c.first)
		}
		if got := s.padID(c.tokenizers); got != c.pad {
			t.Errorf("%s: got padding %d, want %d", c.config, got, c.pad)
		}
		if _, _, err := maxTokens(manifest{MaxTokens: 1024}, s, 0); (err == nil) != c.roomForMore {
			t.Errorf("%s: max_tokens 1024: got %v, want it taken: %v", c.config, err, c.roomForMore)
		}
	}
}

func TestLabelsAreWhatConfigSaysOrTransformersNames(t *testing.T) {
	for config, want := range map[string][]string{
		`{"model_type": "bert", "id2label": {"1": "b", "0": "a"}}`:    {"a", "b"},
		`{"model_type": "bert", "id2label": {"0": 1, "1": 2.5}}`:      {"1", "2.5"},
		`{"model_type": "bert", "id2label": {"0": false, "1": true}}`: {"false", "true"},
		`{"model_type": "bert"}`:                                      {"LABEL_0", "LABEL_1"},
		`{"model_type": "bert", "id2label": null, "num_labels": 3}`:   {"LABEL_0", "LABEL_1", "LABEL_2"},
		`{"model_type": "bert", "id2label": {"1": "a", "2": "b"}}`:    nil,
		`{}`: {},
	} {
		s := readConfig(t, config)
		if got := s.labels(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", config, got, want)
		}
	}
}

// A text that spells padding out does not count for RoBERTa: fairseq's positions are those of the other tokens.
func TestPositionsGoPastPaddingInTheText(t *testing.T) {
	var got []int64
	s := readConfig(t, `{"model_type": "roberta", "pad_token_id": 1}`)
	text, _ := fakeTextOf(t, s, []onnx.Info{{Name: "input_ids"}, {Name: "position_ids"}, {Name: "attention_mask"}}, 1,
		runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
			got = slices.Clone(inputs[1].Data)
			return []onnx.Output{{Shape: []int64{int64(inputs[0].Rows)}, Data: make([]float32, inputs[0].Rows)}}, nil
		}))
	plain, spelt := &row{ids: []int64{0, 9, 8, 2}}, &row{ids: []int64{0, 1, 2}}
	for _, c := range []struct {
		rows []*row
		want []int64
	}{
		{[]*row{plain}, []int64{2, 3, 4, 5}},
		{[]*row{spelt}, []int64{2, 1, 3}},
		{[]*row{plain, spelt}, []int64{2, 3, 4, 5, 2, 1, 3, 1}},
	} {
		for _, r := range c.rows {
			text.place(r)
		}
		if err := text.answer(text.lanes[0], c.rows); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("got positions %v, %v, want %v", got, err, c.want)
		}
	}
}

func TestGraphOfFixedLengthIsPaddedToIt(t *testing.T) {
	var got []onnx.Input
	fixed := []int64{1, 6}
	text, _ := fakeText(t, []onnx.Info{{Name: "input_ids", Shape: fixed}, {Name: "attention_mask", Shape: fixed}}, 1,
		runnerFunc(func(inputs []onnx.Input) ([]onnx.Output, error) {
			got = inputs
			return []onnx.Output{{Shape: []int64{1}, Data: []float32{1}}}, nil
		}))
	if err := text.answer(text.lanes[0], []*row{{ids: []int64{2, 9, 3}}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0].Data, []int64{2, 9, 3, 0, 0, 0}) || !slices.Equal(got[1].Data, []int64{1, 1, 1, 0, 0, 0}) {
		t.Errorf("got %v, want 3 tokens and 3 of padding", got)
	}
	if why := text.alone(&onnx.Graph{}, settings{}); !strings.Contains(why, "takes one row") {
		t.Errorf("got rows alone because %q, want that the graph takes one", why)
	}
}

func TestDecoderThatCannotTellPaddingRunsAlone(t *testing.T) {
	text, _ := fakeText(t, idsAndMask, 0, nil)
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

func TestGraphInputsMayBeNamedInOurFile(t *testing.T) {
	m := manifest{Inputs: map[string]columnNames{"input.1": {"input_ids"}}}
	got, _, err := m.named([]onnx.Info{{Name: "input.1"}, {Name: "attention_mask"}})
	if err != nil || got[0].Name != "input_ids" || got[1].Name != "attention_mask" {
		t.Errorf("got %v, %v, want input_ids and attention_mask", got, err)
	}
}
