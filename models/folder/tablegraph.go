package folder

import (
	"fmt"
	"slices"
	"strconv"

	"nearline/models/onnx"
	"nearline/pipeline"
)

// TableGraph is what a graph that reads columns takes: trees, linear models, whole pipelines of scikit-learn, and rankers. It is not changed once it
// is read.
type TableGraph struct {
	Columns        []pipeline.Column
	Inputs         []TableInput // of the graph, in its order
	Numbers, Texts int          // columns of each kind
	Single         bool         // the graph takes one row
	Items          *Items       // nil for a model that does not know items
}

// TableInput is an input of the graph, and where its columns are among those of its kind.
type TableInput struct {
	Kind        onnx.Type
	From, Width int
	Role        ItemRole // NoItems for columns
}

// readsTables says whether the inputs are columns rather than tokens.
func readsTables(inputs []onnx.Info) bool {
	if len(inputs) == 0 {
		return false
	}
	roles := rolesOf(inputs)
	for _, i := range inputs {
		_, token := inputNames[i.Name]
		whole := i.Type == onnx.Int64 || i.Type == onnx.Int32
		tokens := token || whole && len(i.Shape) == 2 && i.Shape[1] < 1 // of any number
		if _, ok := roles[i.Name]; ok {
			continue
		}
		if tokens || len(i.Shape) < 1 || len(i.Shape) > 2 || !slices.Contains(tableTypes, i.Type) {
			return false
		}
	}
	return true
}

var tableTypes = []onnx.Type{onnx.Float32, onnx.Float64, onnx.Int64, onnx.Int32, onnx.String}

// newTableGraph reads what a graph of these inputs takes. names are those that nearline.yaml has for the columns of inputs.
func newTableGraph(inputs []onnx.Info, names map[string]columnNames) (*TableGraph, error) {
	t := &TableGraph{}
	roles := rolesOf(inputs)
	for _, i := range inputs {
		if role, ok := roles[i.Name]; ok {
			if err := t.takesItems(i, role); err != nil {
				return nil, err
			}
			continue
		}
		if err := t.takes(i, names[i.Name], len(inputs) == 1); err != nil {
			return nil, err
		}
	}
	if err := t.Items.whole(); err != nil {
		return nil, err
	}
	for i, c := range t.Columns {
		if slices.ContainsFunc(t.Columns[:i], func(other pipeline.Column) bool { return other.Name == c.Name }) {
			return nil, fmt.Errorf("two columns have the name %q: give one another in nearline.yaml, as inputs: {INPUT: [NAME, ...]}", c.Name)
		}
	}
	return t, nil
}

// takes adds the columns of an input.
func (t *TableGraph) takes(i onnx.Info, names columnNames, only bool) error {
	if i.Shape[0] > 1 {
		return fmt.Errorf("the graph wants input %s, %d rows at a time: want an export with a dynamic batch axis", i, i.Shape[0])
	}
	t.Single = t.Single || i.Shape[0] == 1
	width := 1
	if len(i.Shape) == 2 {
		width = int(i.Shape[1])
	}
	if width < 1 {
		width = len(names)
	}
	switch {
	case width < 1:
		return fmt.Errorf("the graph wants input %s, and does not say how many columns that has: name them in nearline.yaml, as inputs: {%s: [NAME, ...]}", i, i.Name)
	case len(names) > 0 && len(names) != width:
		return fmt.Errorf("the graph wants input %s: inputs.%s names %d columns", i, i.Name, len(names))
	case len(names) == 0 && width == 1:
		names = columnNames{i.Name}
	case len(names) == 0:
		prefix := i.Name + "_"
		if only {
			prefix = "f" // as XGBoost calls columns without names
		}
		for n := range width {
			names = append(names, prefix+strconv.Itoa(n))
		}
	}
	in := TableInput{Kind: i.Type, From: t.Numbers, Width: width}
	if i.Type == onnx.String {
		in.From = t.Texts
		t.Texts += width
	} else {
		t.Numbers += width
	}
	t.Inputs = append(t.Inputs, in)
	for _, name := range names {
		t.Columns = append(t.Columns, pipeline.Column{Name: name, Text: i.Type == onnx.String, Whole: i.Type == onnx.Int64 || i.Type == onnx.Int32})
	}
	return nil
}

// alone says why rows have to run one at a time, or "".
func (t *TableGraph) alone(g *onnx.Graph) string {
	if g.Coupled == "" && t.Single {
		return "the graph takes one row at a time: it was exported without a dynamic batch axis"
	}
	return g.Coupled
}

// takesItems adds an input of items.
func (t *TableGraph) takesItems(i onnx.Info, role ItemRole) error {
	want := 1
	if role == ItemHistory {
		want = 2
	}
	if len(i.Shape) != want || i.Type != onnx.Int64 || i.Shape[0] > 0 {
		return fmt.Errorf("the graph wants input %s: want history int64[?, ?], candidates int64[?] and user int64[?], each with a dynamic first axis", i)
	}
	if t.Items == nil {
		t.Items = &Items{Most: defaultHistory}
	}
	if role == ItemHistory && i.Shape[1] > 0 {
		t.Items.Fixed, t.Items.Most = int(i.Shape[1]), int(i.Shape[1])
	}
	t.Items.has[role] = true
	t.Inputs = append(t.Inputs, TableInput{Kind: i.Type, Role: role})
	return nil
}
