package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nearline/internal/files"
	"nearline/models/onnx"
)

// What the folder of an export may lack, and what to do then.

// graphPath finds the graph: the one that nearline.yaml names, or model.onnx, or onnx/model.onnx, or the only other one.
// Variants of a model.onnx that lie beside it (model_fp16.onnx, model_quantized.onnx) are taken only by name.
func (m *manifest) graphPath(folder string) (string, error) {
	for _, name := range []string{m.Graph, "model.onnx", "onnx/model.onnx"} {
		if name == "" {
			continue
		}
		file := filepath.Join(folder, filepath.FromSlash(name))
		if stat, err := os.Stat(file); err == nil && stat.Mode().IsRegular() {
			return file, nil
		}
		if name == m.Graph {
			return "", fmt.Errorf("graph is %q: there is no such file in %s", m.Graph, folder)
		}
	}
	names := slices.Concat(globbed(folder, "*.onnx"), globbed(folder, "onnx/*.onnx"))
	generates := func(name string) bool {
		base := path.Base(name)
		return strings.HasPrefix(base, "encoder_model") || strings.HasPrefix(base, "decoder_")
	}
	switch {
	case len(names) == 0:
		return "", noGraph(folder)
	case slices.ContainsFunc(names, generates):
		return "", fmt.Errorf("%s has %s: that is a model that writes text, in parts, which Nearline does not run; want one that "+
			"classifies, exported with --task text-classification", folder, strings.Join(names, ", "))
	case len(names) > 1:
		return "", fmt.Errorf("%s has several graphs: want graph in nearline.yaml to be %s", folder, oneOf(names))
	}
	return filepath.Join(folder, filepath.FromSlash(names[0])), nil
}

// readGraph finds the graph, and reads what it says of itself; its weights are seen to be there.
func (m *manifest) readGraph(folder string) (file string, graph *onnx.Graph, err error) {
	if file, err = m.graphPath(folder); err != nil {
		return "", nil, err
	}
	if err := checkFile(file); err != nil {
		return "", nil, err
	}
	if graph, err = onnx.Inspect(file); err != nil {
		return "", nil, err
	}
	return file, graph, checkExternal(file, graph.External)
}

// noGraph says what a folder without a graph is, and how to come by one.
func noGraph(folder string) error {
	weights := func(patterns ...string) string { return strings.Join(globbed(folder, patterns...), ", ") }
	if found := weights("*.safetensors", "pytorch_model*.bin"); found != "" {
		return fmt.Errorf("%s has PyTorch's weights (%s) and no ONNX graph: export them with "+
			"`optimum-cli export onnx --model %s --task text-classification OUT` (pip install optimum-onnx), and put OUT in its place",
			folder, found, folder)
	}
	if found := weights("tf_model*.h5", "saved_model.pb", "flax_model*.msgpack", "model*.ort", "openvino_model.xml", "*.gguf", "*.tflite"); found != "" {
		return fmt.Errorf("%s has %s and no ONNX graph: want model.onnx, exported from the PyTorch model with "+
			"`optimum-cli export onnx --model MODEL --task text-classification OUT`", folder, found)
	}
	return fmt.Errorf("%s has no model.onnx and no onnx/model*.onnx: want the folder of a Hugging Face ONNX export", folder)
}

// tokenizerPath finds tokenizer.json, or says how to make it from what is there.
func tokenizerPath(folder string) (string, error) {
	file := placed(folder, "tokenizer.json")
	err := checkFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	found := globbed(folder, "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "*.model")
	if len(found) == 0 {
		return "", fmt.Errorf("%s has no tokenizer.json: want the one that the model was trained with; transformers writes it with "+
			"AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)", folder)
	}
	return "", fmt.Errorf("%s has a tokenizer of an older form (%s) and no tokenizer.json: make it with "+
		"`python -c 'from transformers import AutoTokenizer as T; T.from_pretrained(%q, use_fast=True).save_pretrained(%[3]q)'` "+
		"(pip install transformers sentencepiece protobuf)", folder, strings.Join(found, ", "), folder)
}

// pointerMark begins the file that git-lfs leaves where it did not fetch the content.
const pointerMark = "version https://git-lfs"

// checkFile says whether a file is what its name says, as far as that can be seen without reading it.
func checkFile(file string) error {
	f, err := files.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 32)
	n, err := io.ReadFull(f, head)
	switch {
	case n == 0 && (err == nil || errors.Is(err, io.EOF)):
		return fmt.Errorf("%s is empty: copy or download it again", file)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case bytes.HasPrefix(head, []byte(pointerMark)):
		return fmt.Errorf("%s is a pointer of git-lfs and not the content: run `git lfs install && git lfs pull` where it was cloned, "+
			"and copy it again", file)
	}
	for _, mark := range []string{"<!doctype html", "<html"} {
		if bytes.HasPrefix(bytes.ToLower(head), []byte(mark)) {
			return fmt.Errorf("%s is a web page and not the content: download the file itself, whose address at Hugging Face has "+
				"/resolve/ where the page's has /blob/", file)
		}
	}
	return nil
}

// checkExternal says whether the files that a graph keeps weights in are there, and whole.
func checkExternal(graphFile string, external []onnx.External) error {
	for _, e := range external {
		if !filepath.IsLocal(filepath.FromSlash(e.File)) {
			return fmt.Errorf("%s keeps weights in %q: want a file beside it", graphFile, e.File)
		}
		file := filepath.Join(filepath.Dir(graphFile), filepath.FromSlash(e.File))
		stat, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s keeps its weights in %s, which is not there: put it beside the graph, under that name", graphFile, e.File)
		}
		if err != nil {
			return err
		}
		if err := checkFile(file); err != nil {
			return err
		}
		if leadsOut(file) {
			return fmt.Errorf("%s is a link to a file elsewhere, as Hugging Face's cache has it, which ONNX Runtime does not follow: copy "+
				"the folder with `cp -rL`, or download it with `hf download MODEL --local-dir FOLDER`", file)
		}
		if stat.Size() < e.Size {
			return fmt.Errorf("%s has %d bytes, and the graph reads %d of it: it was cut short, or is of another export; "+
				"copy or download it again", file, stat.Size(), e.Size)
		}
	}
	return nil
}

// leadsOut says whether a file is a link that leads out of its folder.
func leadsOut(file string) bool {
	folder, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return false
	}
	end, err := filepath.EvalSymlinks(file)
	if err != nil {
		return false
	}
	below, err := filepath.Rel(folder, end)
	return err != nil || !filepath.IsLocal(below)
}
