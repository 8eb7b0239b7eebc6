//go:build cgo

package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
)

// ordersConfig reads events into an export of scikit-learn's that has columns of texts, of numbers and of whole numbers.
func ordersConfig(t *testing.T, inputs string) *config.Config {
	t.Helper()
	folder := t.TempDir()
	graph, err := os.ReadFile(filepath.Join("..", "..", "models", "testdata", "tables", "sklearn-columns.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(folder, "visitors", "1")
	if err := os.MkdirAll(version, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(version, "model.onnx"), graph, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Parse(filepath.Join(folder, "orders.yaml"), []byte(`
kafka: {brokers: ["kafka:9092"]}
models: {repository: .}
features: {views: [{name: shopper, key: user_id, fields: [{name: visits, count: {}}]}]}
pipelines:
  - name: orders
    input: {topic: orders, map: {id: order_id}}
    steps: [{lookup: {views: [shopper]}}, {predict: {model: visitors, inputs: `+inputs+`}}]
    output: {topic: orders.scored}
    dead_letters: orders.dlq
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const visitorInputs = `{colour: {default: red}, size: meta.size, price: meta.price, visits: shopper.visits}`

// visitors is the model, for the time of the test.
func visitors(t *testing.T, c *config.Config) map[string]*models.Model {
	t.Helper()
	device := c.Models.NewDevice()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- device.Run(ctx) }()
	m, err := models.Load(t.Context(), c.Models, "visitors", device, models.NewMetrics(nil))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return map[string]*models.Model{"visitors": m}
}

// What scikit-learn itself answers to the rows is in models/testdata/tables/golden.json; here it is whether events, lookups and defaults come to be those
// columns, without a text in the event.
func TestEventsAndLookupsBecomeColumns(t *testing.T) {
	c := ordersConfig(t, visitorInputs)
	loaded := visitors(t, c)
	made, err := checked(c, &c.Pipelines[0], loaded)
	if err != nil {
		t.Fatal(err)
	}
	var rows []*pipeline.Row
	for i, value := range []string{
		`{"order_id": "a", "user_id": "u", "colour": "blue", "meta": {"size": "small", "price": 27.670914}}`,
		`{"order_id": "b", "user_id": "u", "meta": {"size": "small", "price": 27.670914}}`,
		`{"order_id": "c", "user_id": "u", "colour": "red", "meta": {"size": "small", "price": 27.670914}}`,
		`{"order_id": "d", "user_id": "u", "colour": ["blue"], "meta": {"size": "small", "price": 27.670914}}`,
		`{"order_id": "e", "user_id": "u", "colour": "blue", "meta": {"size": "small", "price": "dear"}}`,
	} {
		row, fault := made.Decoder.Decode(&pipeline.Record{Topic: "orders", Offset: int64(i), Value: []byte(value), Timestamp: time.Now()})
		if fault != nil {
			t.Fatal(fault)
		}
		rows = append(rows, row)
	}
	for _, step := range made.Steps {
		if err := step.Run(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	answers := make([]string, 3)
	for i := range answers {
		if rows[i].Fault != nil {
			t.Fatal(rows[i].Fault)
		}
		label, _ := rows[i].Predictions[0].Columns[0].Value.Lookup("label")
		score, _ := rows[i].Predictions[0].Columns[0].Value.Lookup("score")
		answers[i] = label.Str + " " + time.Duration(score.Float*1e9).String()
	}
	if answers[1] != answers[2] || answers[0] == answers[1] {
		t.Errorf("got %v, want the default's answer to be that of red, and another for blue", answers)
	}
	for i, want := range map[int]string{3: "column colour: colour is neither a text nor a number", 4: `column price: "dear" is a text, and model visitors reads a number`} {
		if f := rows[i].Fault; f == nil || !strings.Contains(f.Cause, want) || f.Model != "visitors" || f.Stage != pipeline.StagePredict {
			t.Errorf("row %d: got %+v, want %q of model visitors", i, f, want)
		}
	}
}

func TestCheckSaysWhichColumnsDoNotFit(t *testing.T) {
	for inputs, want := range map[string]string{
		visitorInputs:                    "",
		`{colour: c, size: s, price: p}`: "pipeline orders: steps[1].predict: inputs has nothing for visits, which model visitors reads",
		`{colour: c, size: s, price: p, visits: shopper.visit}`:    "inputs has shopper.visit: shopper has visits",
		`{colour: c, size: s, price: p, visits: v, rating: r}`:     "inputs has rating: model visitors reads no such column, want colour, size, price, visits",
		`{colour: {of: c, hash: 3}, size: s, price: p, visits: v}`: "inputs.colour makes a number, and the model reads texts there",
	} {
		c := ordersConfig(t, inputs)
		err := CheckSteps(c, &c.Pipelines[0], visitors(t, c))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", inputs, err, want)
		}
	}
}

// Whether the text is read is known when the model is: one of tables has no use for it, whether its columns are declared or taken by their names.
func TestATableNeedsNeitherInputsNorAText(t *testing.T) {
	for _, c := range []struct{ model, input, want string }{
		{"visitors", "{topic: orders, map: {id: order_id}}", ""},
		{"visitors", "{topic: orders}", ""},
		{"words", "{topic: orders, map: {id: order_id, text: note}}", ""},
		{"words", "{topic: orders, map: {id: order_id}}", `input.map.text is missing: name the field with the text, such as "text"`},
	} {
		made := ordersConfig(t, visitorInputs)
		words := filepath.Join(made.Models.Repository, "words", "1")
		if err := os.MkdirAll(words, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(words, "nearline.yaml"), []byte("task: constant\ncolumns: {words: 1}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		parsed, _, err := config.Parse(filepath.Join(made.Models.Repository, "orders.yaml"), []byte(`
kafka: {brokers: ["kafka:9092"]}
models: {repository: .}
pipelines:
  - name: orders
    input: `+c.input+`
    steps: [{predict: {model: `+c.model+`}}]
    output: {topic: orders.scored}
    dead_letters: orders.dlq
`))
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		loaded := visitors(t, parsed)
		if loaded["words"], err = models.Load(t.Context(), parsed.Models, "words", parsed.Models.NewDevice(), models.NewMetrics(nil)); err != nil {
			t.Fatal(err)
		}
		defer loaded["words"].Close(t.Context())
		err = CheckSteps(parsed, &parsed.Pipelines[0], loaded)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
