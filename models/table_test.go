//go:build cgo

package models

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearline/batching"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// tensor is an input or output as training/tables.py writes it: what LightGBM, XGBoost and scikit-learn were given, and what they
// answered themselves.
type tensor struct {
	Type   string
	Shape  []int
	Values []any
	Maps   []map[string]float64
}

type tableCase struct {
	Tolerance       float64
	Inputs, Outputs map[string]tensor
}

func tableCases(t *testing.T) map[string]tableCase {
	t.Helper()
	data, err := os.ReadFile("testdata/tables/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]tableCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 8 {
		t.Fatalf("got %d cases, want those of tables.py", len(cases))
	}
	return cases
}

// tableRepository has each of the models alone in a folder, as its exporter left it, and the files.
func tableRepository(t testing.TB, files map[string]string, names ...string) Config {
	t.Helper()
	c := repository(t, nil, files)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", "tables", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(c.Repository, name, "1")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "model.onnx"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// tables makes a table of each row of a case, for the columns that the model reads.
func (c *tableCase) tables(t *testing.T, m *Model) []Table {
	t.Helper()
	var tables []Table
	for row := range c.rows() {
		table := Table{Rows: 1}
		for _, column := range m.Info().Reads {
			in, at := c.Inputs[column.Name], row
			if in.Shape == nil { // a column of the only input
				for _, in = range c.Inputs {
				}
				var n int
				if _, err := fmt.Sscanf(column.Name, "f%d", &n); err != nil {
					t.Fatalf("column %s: %v", column.Name, err)
				}
				at = row*in.Shape[1] + n
			}
			switch v := in.Values[at].(type) {
			case string:
				table.Texts = append(table.Texts, v)
			case float64:
				table.Numbers = append(table.Numbers, v)
			default:
				table.Numbers = append(table.Numbers, math.NaN())
			}
		}
		tables = append(tables, table)
	}
	return tables
}

func (c *tableCase) rows() int {
	for _, in := range c.Inputs {
		return in.Shape[0]
	}
	return 0
}

// want says whether a column is what the library answered.
func (c *tableCase) want(t *testing.T, row int, got pipeline.Value) {
	t.Helper()
	near := func(a, b float64) bool { return math.Abs(a-b) <= c.Tolerance*max(1, math.Abs(b)) }
	if c.wantSeveral(t, row, got, near) {
		return
	}
	for _, name := range []string{"probabilities", "output_probability"} {
		out, ok := c.Outputs[name]
		if !ok {
			continue
		}
		best, label := math.Inf(-1), ""
		if out.Maps != nil {
			for class, p := range out.Maps[row] {
				if p > best {
					best, label = p, class
				}
			}
		} else {
			for class := range out.Shape[1] {
				if p := out.Values[row*out.Shape[1]+class].(float64); p > best {
					best, label = p, fmt.Sprint(class)
				}
			}
		}
		gotLabel, _ := got.Lookup("label")
		score, _ := got.Lookup("score")
		if gotLabel.Str != label || !near(score.Float, best) {
			t.Errorf("row %d: got %v, want %s with %v", row, got.Any(), label, best)
		}
		return
	}
	if want := c.Outputs["variable"].Values[row].(float64); got.Kind != pipeline.Float || !near(got.Float, want) {
		t.Errorf("row %d: got %v, want %v", row, got.Any(), want)
	}
}

// wantSeveral says whether a row has the labels that the library gave it, where it may have several.
func (c *tableCase) wantSeveral(t *testing.T, row int, got pipeline.Value, near func(a, b float64) bool) bool {
	t.Helper()
	set, probabilities := c.Outputs["label"], c.Outputs["probabilities"]
	if set.Shape == nil {
		set, probabilities = c.Outputs["output_label"], c.Outputs["output_probability"]
	}
	if len(set.Shape) < 2 {
		return false
	}
	want := map[string]float64{}
	for n := range set.Shape[1] {
		if at := row*set.Shape[1] + n; set.Values[at].(float64) == 1 {
			want[fmt.Sprint(n)] = probabilities.Values[at].(float64)
		}
	}
	labels, ok := got.Lookup("labels")
	same := ok && labels.Len() == len(want)
	for _, found := range labels.List {
		label, _ := found.Lookup("label")
		score, _ := found.Lookup("score")
		p, has := want[label.Str]
		same = same && has && near(score.Float, p)
	}
	if !same {
		t.Errorf("row %d: got %v, want the labels %v", row, got.Any(), want)
	}
	return true
}

// matrixLabels names the labels of a matrix, which has no names.
const matrixLabels = "heads: [{kind: multi_label, labels: ['0', '1', '2'], output: probabilities, name: sklearn-labels-matrix}]\n"

// TestTablesAnswerAsTheirLibraries runs exports of LightGBM, XGBoost and scikit-learn as they are, row by row and together, and compares with what
// the libraries answered themselves.
func TestTablesAnswerAsTheirLibraries(t *testing.T) {
	for name, c := range tableCases(t) {
		t.Run(name, func(t *testing.T) {
			config := tableRepository(t, map[string]string{"sklearn-labels-matrix/1/nearline.yaml": matrixLabels}, name)
			m := loaded(t, config, name, running(t, config))
			if m.Info().Alone != "" || !m.Info().Limits.Packed {
				t.Errorf("got limits %+v, alone %q, want packed rows together", m.Info().Limits, m.Info().Alone)
			}
			tables := c.tables(t, m)
			var inputs []Input
			whole := Table{List: true}
			for _, table := range tables {
				inputs = append(inputs, Input{Table: table})
				whole.Rows++
				whole.Numbers, whole.Texts = append(whole.Numbers, table.Numbers...), append(whole.Texts, table.Texts...)
			}
			predictions, faults, err := m.Predict(t.Context(), batching.Online, append(inputs, Input{Table: whole}))
			if err != nil {
				t.Fatal(err)
			}
			for row := range tables {
				if faults[row] != nil {
					t.Fatalf("row %d: %v", row, faults[row])
				}
				c.want(t, row, predictions[row].Columns[0].Value)
			}
			if faults[len(tables)] != nil {
				t.Fatal(faults[len(tables)])
			}
			list := predictions[len(tables)].Columns[0]
			for _, score := range list.Value.Floats {
				list.Value.List = append(list.Value.List, pipeline.FloatValue(float64(score)))
			}
			if list.Name != name || len(list.Value.List) != len(tables) {
				t.Fatalf("got %s with %d answers, want %s with %d", list.Name, len(list.Value.List), name, len(tables))
			}
			for row, value := range list.Value.List {
				c.want(t, row, value)
			}
		})
	}
}

func TestTablesSayWhatTheyRead(t *testing.T) {
	config := tableRepository(t, map[string]string{
		"lightgbm-regressor/1/nearline.yaml": "inputs: {input: [price, visits, age, words, rating]}\n",
	}, "sklearn-columns", "lightgbm-regressor", "xgboost-classes")
	device := running(t, config)
	for name, want := range map[string]string{
		"sklearn-columns":    "[colour (text) size (text) price visits (whole number)]",
		"lightgbm-regressor": "[price visits age words rating]",
		"xgboost-classes":    "[f0 f1 f2 f3 f4]",
	} {
		if got := fmt.Sprint(loaded(t, config, name, device).Info().Reads); got != want {
			t.Errorf("%s reads %s, want %s", name, got, want)
		}
	}
}

// A row that cannot be answered is its own fault; the others are answered.
func TestOneBadRowOfATableHurtsNoOther(t *testing.T) {
	name := "sklearn-columns"
	c := tableCases(t)[name]
	config := tableRepository(t, nil, name)
	m := loaded(t, config, name, running(t, config))
	tables := c.tables(t, m)
	broken := tables[1]
	broken.Numbers = []float64{broken.Numbers[0], 2.5} // of visits, which are whole
	missing := tables[2]
	missing.Numbers = []float64{missing.Numbers[0], math.NaN()}
	rounded := tables[0]
	rounded.Numbers = []float64{rounded.Numbers[0], 1 << 53} // which 2^53+1 has come to be
	inputs := []Input{{Table: tables[0]}, {Table: broken}, {Table: missing}, {Text: "a text"}, {Table: tables[3]}, {Table: rounded}}
	predictions, faults, err := m.Predict(t.Context(), batching.Stream, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{1: "column visits is 2.5: want a whole number", 2: "column visits is NaN", 3: "the table has 0 rows", 5: "want a whole number between -2^53 and 2^53"} {
		if faults[i] == nil || !strings.Contains(faults[i].Error(), want) {
			t.Errorf("row %d: got %v, want it to say %q", i, faults[i], want)
		}
	}
	for i, row := range map[int]int{0: 0, 4: 3} {
		if faults[i] != nil {
			t.Fatal(faults[i])
		}
		c.want(t, row, predictions[i].Columns[0].Value)
	}
}

func TestTablesReproduceTheirGoldenExamples(t *testing.T) {
	// What LightGBM answers to the first rows of the case.
	golden := func(third string) string {
		return `inputs: {input: [a, b, c, d, e]}
golden:
  - columns: {a: 0.34558418, b: 0.82161814, c: 0.33043706, d: -1.3031572, e: 0.9053559}
    expect: {lightgbm-regressor: -1.2350888}
  - columns: {a: 0.44637457, b: -0.5369532, c: 0.5811181, d: 0.3645724, e: 0.2941325}
    expect: {lightgbm-regressor: ` + third + "}\n"
	}
	for _, c := range []struct{ yaml, want string }{
		{golden("-0.02794905"), ""},
		{golden("0.3"), "golden[1]: lightgbm-regressor"},
		{"golden: [{text: a text, expect: {lightgbm-regressor: 1}}]\n", "golden[0]: the model reads tables of columns, and a text was given"},
		{"golden: [{columns: {f0: many}, expect: {lightgbm-regressor: 1}}]\n", "golden[0]: columns.f0 is many: want a number"},
		{"golden: [{columns: {price: 1}, expect: {lightgbm-regressor: 1}}]\n", "golden[0]: columns.price: the model has no such column, want f0, f1, f2, f3, f4"},
		{"inputs: {input: [a, b]}\n", "inputs.input names 2 columns"},
		{"inputs: {input: [a, b, a, c, d]}\n", `two columns have the name "a"`},
		{"inputs: {price: [a]}\n", "inputs.price: the graph has no such input, want one of input"},
		{"inputs: {input: input_ids}\n", "has no tokenizer.json"},
	} {
		config := tableRepository(t, map[string]string{"lightgbm-regressor/1/nearline.yaml": c.yaml}, "lightgbm-regressor")
		m, err := Load(t.Context(), config, "lightgbm-regressor", config.NewDevice(), NewMetrics(nil))
		if err == nil {
			defer m.Close(t.Context())
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s got %v, want %q", c.yaml, err, c.want)
		}
	}
}

// Names that mean something to a ranker mean nothing elsewhere, and what a ZipMap made are probabilities, however they are called.
func TestNamesOfTablesMeanNothing(t *testing.T) {
	c := tableCases(t)["sklearn-columns"]
	config := tableRepository(t, nil, "odd-user", "odd-chances")
	device := running(t, config)
	renamed := tableCase{Tolerance: c.Tolerance, Outputs: c.Outputs, Inputs: map[string]tensor{
		"user": c.Inputs["colour"], "size": c.Inputs["size"], "price": c.Inputs["price"], "visits": c.Inputs["visits"],
	}}
	for name, c := range map[string]*tableCase{"odd-user": &renamed, "odd-chances": &c} {
		m := loaded(t, config, name, device)
		for row, table := range c.tables(t, m) {
			predictions, faults, err := m.Predict(t.Context(), batching.Online, []Input{{Table: table}})
			if err != nil || faults[0] != nil {
				t.Fatal(err, faults[0])
			}
			c.want(t, row, predictions[0].Columns[0].Value)
		}
	}
}

func TestATextWithAZeroByteIsItsRowsFault(t *testing.T) {
	name := "sklearn-columns"
	c := tableCases(t)[name]
	config := tableRepository(t, nil, name)
	m := loaded(t, config, name, running(t, config))
	table := c.tables(t, m)[0]
	table.Texts = []string{table.Texts[0], "small\x00er"}
	_, faults, err := m.Predict(t.Context(), batching.Online, []Input{{Table: table}})
	if err != nil || faults[0] == nil || !strings.Contains(faults[0].Error(), "column size has a text with a zero byte") {
		t.Errorf("got %v, %v, want the column named", faults[0], err)
	}
}

func TestInspectDescribesTables(t *testing.T) {
	config := tableRepository(t, nil, "sklearn-columns")
	r, err := Inspect(t.Context(), config, filepath.Join(config.Repository, "sklearn-columns", "1"), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) > 0 || r.Task != "table" || len(r.Reads) != 4 || len(r.Columns) != 1 || strings.Join(r.Columns[0].Labels, " ") != "leaves looks orders" {
		t.Errorf("got %+v, want a table of four columns and three labels", r)
	}
}

// What an output's shape says of labels is believed, or refused.
func TestSeveralLabelsAreNeverTakenForOne(t *testing.T) {
	matrix := func(head string) map[string]string {
		return map[string]string{"sklearn-labels-matrix/1/nearline.yaml": "heads: [{" + head + "}]\n"}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // in the error; "" loads as multi_label
	}{
		{"sklearn-labels", nil, ""},
		{"sklearn-labels-network", nil, ""},
		{"sklearn-labels-matrix", nil, "labels is missing"},
		{"sklearn-labels-matrix", matrix("labels: [a, b, c]"), ""},
		{"sklearn-labels-matrix", matrix("output: label, labels: [a, b, c]"), ""},
		{"sklearn-labels-matrix", matrix("kind: classification, labels: [a, b, c]"), `kind is "classification": output "label" says of each label whether a row has it, want kind multi_label`},
		{"odd-matrices", nil, "with a matrix for each of several labels: want one matrix"},
		{"odd-twice", map[string]string{"odd-twice/1/nearline.yaml": "heads: [{labels: [a, b]}]\n"}, "the graph does not answer in the shape that its file states"},
	} {
		config := tableRepository(t, c.files, c.name)
		m, err := Load(t.Context(), config, c.name, config.NewDevice(), NewMetrics(nil))
		if err == nil {
			defer m.Close(t.Context())
			if kind := m.Info().Heads[0].Kind; kind != tasks.MultiLabel {
				t.Errorf("%s with %v: got kind %s, want %s", c.name, c.files, kind, tasks.MultiLabel)
			}
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v: got %v, want %q", c.name, c.files, err, c.want)
		}
	}
}
