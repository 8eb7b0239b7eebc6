package models

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/models/folder"
	"nearline/models/onnx"
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

// A text that spells padding out does not count for RoBERTa: fairseq's positions are those of the other tokens.
func TestPositionsGoPastPaddingInTheText(t *testing.T) {
	var got []int64
	c := repository(t, nil, map[string]string{"m/1/config.json": `{"model_type": "roberta", "pad_token_id": 1}`})
	s, err := folder.ReadSettings(filepath.Join(c.Repository, "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
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
		if err := text.answer(text.slots[0], c.rows); err != nil || !slices.Equal(got, c.want) {
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
	if err := text.answer(text.slots[0], []*row{{ids: []int64{2, 9, 3}}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0].Data, []int64{2, 9, 3, 0, 0, 0}) || !slices.Equal(got[1].Data, []int64{1, 1, 1, 0, 0, 0}) {
		t.Errorf("got %v, want 3 tokens and 3 of padding", got)
	}
	if why := (&folder.Parts{Graph: &onnx.Graph{}, Text: text.TextGraph}).Alone(); !strings.Contains(why, "takes one row") {
		t.Errorf("got rows alone because %q, want that the graph takes one", why)
	}
}
