package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestInspectReadsWhatAGraphIsMadeOf(t *testing.T) {
	got, err := Inspect("testdata/graphs/inputs.onnx")
	if err != nil {
		t.Fatal(err)
	}
	open := []int64{-1, -1}
	want := &Graph{
		Producer: "make 1",
		Opset:    17,
		Inputs: []Info{
			{"input_ids", Int32, open}, {"attention_mask", Int32, open}, {"token_type_ids", Int32, open}, {"position_ids", Int32, open},
		},
		Outputs: []Info{{"half", Float16, []int64{-1, 2}}, {"open", Float32, open}, {"long", Int64, []int64{-1}}},
		Ops:     map[string]int{"Mul": 2, "Add": 1, "ReduceSum": 2, "Concat": 1, "Cast": 3, "Squeeze": 1},
		Weights: map[Type]int64{Int64: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInspectCountsWeightsByType(t *testing.T) {
	for path, want := range map[string]map[Type]int64{
		"single_label/model.onnx": {Float32: 285, Int64: 2},
		"graphs/external.onnx":    {Float32: 256, Int64: 1}, // its values are in another file
	} {
		g, err := Inspect(filepath.Join("testdata", path))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(g.Weights, want) {
			t.Errorf("%s: got %v, want %v", path, g.Weights, want)
		}
	}
	// Writers other than Python's may pack the dimensions; sizes that no tensor has are not multiplied.
	number := func(num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	}
	tensor := bytes.Join([][]byte{field(8, []byte("w")), number(2, uint64(Float16)), field(1, []byte{3, 5})}, nil)
	absurd := bytes.Join([][]byte{field(8, []byte("x")), number(2, uint64(Int8)), number(1, 1<<62), number(1, 1<<62)}, nil)
	data := model(graphOf(tensor, absurd))
	g, err := inspect(bytes.NewReader(data), int64(len(data)))
	if want := (map[Type]int64{Float16: 15, Int8: 0}); err != nil || !reflect.DeepEqual(g.Weights, want) {
		t.Errorf("got %v, %v, want %v", g, err, want)
	}
}

func TestInspectTellsGraphsWhoseRowsAreCoupled(t *testing.T) {
	for path, want := range map[string]string{
		"constant":     "",
		"single_label": "",
		"failing":      "",
		"dynamic_int8": "DynamicQuantizeLinear takes the scale of its activations over the whole batch",
	} {
		g, err := Inspect(filepath.Join("testdata", path, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if g.Coupled != want {
			t.Errorf("%s: got %q, want %q", path, g.Coupled, want)
		}
	}

	computed := "QuantizeLinear quantises with a scale that is computed while it runs"
	for _, c := range []struct {
		name  string
		model []byte
		want  string
	}{
		{"scale from an initializer", model(graphOf(initializer("s"), nodeOf("QuantizeLinear", "x s z", "y"))), ""},
		{"scale from a constant", model(graphOf(nodeOf("Constant", "", "s"), nodeOf("QuantizeLinear", "x s z", "y"))), ""},
		{"scale computed from constants", model(graphOf(initializer("s"), nodeOf("Sqrt", "s", "r"), nodeOf("QuantizeLinear", "x r", "y"))), ""},
		{"scale computed from the input", model(graphOf(nodeOf("ReduceMax", "x", "m"), nodeOf("QuantizeLinear", "x m", "y"))), computed},
		{"initializer after its use", model(graphOf(nodeOf("QuantizeLinear", "x s", "y"), initializer("s"))), ""},
		{"another domain", model(graphOf(inDomain("com.microsoft", nodeOf("DynamicQuantizeMatMul", "x", "y")))),
			"DynamicQuantizeMatMul takes the scale of its activations over the whole batch"},
		{"kernels by number of rows", model(graphOf(inDomain("com.microsoft", nodeOf("MatMulNBits", "x w s", "y")))),
			"MatMulNBits computes differently for different numbers of rows"},
		{"in a branch", model(graphOf(withBody(nodeOf("If", "c", "y"), graphOf(nodeOf("DynamicQuantizeLinear", "x", "y s z"))))),
			"DynamicQuantizeLinear takes the scale of its activations over the whole batch"},
		{"constants of a branch", model(graphOf(withBody(nodeOf("If", "c", "y"), graphOf(initializer("s"), nodeOf("QuantizeLinear", "x s", "y"))))), ""},
		{"in a function", append(model(graphOf(nodeOf("Mine", "x", "y"))), field(25, field(7, nodeOf("QuantizeLinear", "x s", "y")))...), computed},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := inspect(bytes.NewReader(c.model), int64(len(c.model)))
			if err != nil {
				t.Fatal(err)
			}
			if g.Coupled != c.want {
				t.Errorf("got %q, want %q", g.Coupled, c.want)
			}
		})
	}
}

func TestInspectListsTheFilesOfWeights(t *testing.T) {
	g, err := Inspect("testdata/graphs/external.onnx")
	if want := []External{{File: "external.bin", Size: 1024}}; err != nil || !slices.Equal(g.External, want) {
		t.Errorf("got %v, %v, want %v", g, err, want)
	}
	stored := func(name string, entries ...string) []byte {
		tensor := initializer(name)
		for i := 0; i < len(entries); i += 2 {
			tensor = append(tensor, field(13, append(field(1, []byte(entries[i])), field(2, []byte(entries[i+1]))...))...)
		}
		return tensor
	}
	data := model(graphOf(
		stored("a", "location", "w.data", "offset", "4096", "length", "100"),
		stored("b", "location", "w.data", "offset", "0", "length", "4000"),
		stored("c", "location", "../up.data"),
		stored("d", "location", "w.data", "offset", "9223372036854775807", "length", "1"),
	))
	g, err = inspect(bytes.NewReader(data), int64(len(data)))
	if want := []External{{"w.data", 4196}, {"../up.data", 0}, {"w.data", 0}}; err != nil || !slices.Equal(g.External, want) {
		t.Errorf("got %v, %v, want %v", g, err, want)
	}
	data = model(graphOf(stored("a", "location", "w.data", "offset", "far")))
	if _, err := inspect(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), `offset is "far"`) {
		t.Errorf("got %v, want an error that names the offset", err)
	}
}

func TestInspectRefusesWhatIsNotAGraph(t *testing.T) {
	deep := nodeOf("If", "c", "y")
	for range 40 {
		deep = withBody(nodeOf("If", "c", "y"), graphOf(deep))
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":               {nil, "no graph"},
		"text":                  {[]byte("version https://git-lfs.example/spec/v1\n"), "inspect"},
		"a length past the end": {field(7, nil)[:1], "ends in the middle"},
		"graphs in graphs":      {model(graphOf(deep)), "deep"},
	} {
		path := filepath.Join(t.TempDir(), "model.onnx")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, c.want)
		}
	}
}

func FuzzInspect(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/*.onnx")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := inspect(bytes.NewReader(data), int64(len(data)))
		if (g == nil) == (err == nil) {
			t.Errorf("got %v and %v, want one of them", g, err)
		}
	})
}

func field(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func model(graph []byte) []byte { return field(7, graph) }

func graphOf(parts ...[]byte) []byte {
	var g []byte
	for _, p := range parts {
		// A tensor is told from a node by what initializer puts first.
		if len(p) > 0 && p[0] == tensorMark[0] {
			g = append(g, field(5, p)...)
		} else {
			g = append(g, field(1, p)...)
		}
	}
	return g
}

// tensorMark is field 8 of a TensorProto, its name; a node begins with its inputs, outputs or operator.
var tensorMark = protowire.AppendTag(nil, 8, protowire.BytesType)

func initializer(name string) []byte { return field(8, []byte(name)) }

func nodeOf(op, inputs, outputs string) []byte {
	var n []byte
	for name := range strings.FieldsSeq(inputs) {
		n = append(n, field(1, []byte(name))...)
	}
	for name := range strings.FieldsSeq(outputs) {
		n = append(n, field(2, []byte(name))...)
	}
	return append(n, field(4, []byte(op))...)
}

func inDomain(domain string, node []byte) []byte { return append(node, field(7, []byte(domain))...) }

func withBody(node, graph []byte) []byte { return append(node, field(5, field(6, graph))...) }
