package folder

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestGraphIsFoundWhereExportsPutIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		graph string
		want  string // a path, or part of an error
	}{
		{"at the top", []string{"model.onnx", "onnx/model.onnx"}, "", "model.onnx"},
		{"below", []string{"onnx/model.onnx", "onnx/model_fp16.onnx"}, "", "onnx/model.onnx"},
		{"the only one", []string{"onnx/model_quantized.onnx"}, "", "onnx/model_quantized.onnx"},
		{"named", []string{"model.onnx", "onnx/model_fp16.onnx"}, "onnx/model_fp16.onnx", "onnx/model_fp16.onnx"},
		{"named, missing", []string{"model.onnx"}, "onnx/model.onnx", "there is no such file"},
		{"the only one, with a name of its own", []string{"reviews-12.onnx"}, "", "reviews-12.onnx"},
		{"as it was exported, among variants", []string{"model.onnx", "model_quantized.onnx", "model_optimized.onnx"}, "", "model.onnx"},
		{"a variant, named", []string{"model.onnx", "model_quantized.onnx"}, "model_quantized.onnx", "model_quantized.onnx"},
		{"in two places", []string{"model_quantized.onnx", "onnx/model_fp16.onnx"}, "", "one of model_quantized.onnx, onnx/model_fp16.onnx"},
		{"several", []string{"onnx/model_a.onnx", "onnx/model_b.onnx"}, "", "one of onnx/model_a.onnx, onnx/model_b.onnx"},
		{"none", nil, "", "has no model.onnx"},
	} {
		files := map[string]string{"m/1/config.json": "{}"}
		for _, f := range c.files {
			files["m/1/"+f] = ""
		}
		folder := filepath.Join(repository(t, nil, files), "m", "1")
		m := manifest{Graph: c.graph}
		path, err := m.graphPath(folder)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		} else if path != filepath.Join(folder, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, path, c.want)
		}
	}
}
