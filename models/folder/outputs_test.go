package folder

import (
	"strings"
	"testing"

	"nearline/models/onnx"
)

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
