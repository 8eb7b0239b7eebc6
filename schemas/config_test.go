package schemas

import (
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestConfigReadsAsDocumented(t *testing.T) {
	var got struct {
		Input  InputConfig  `yaml:"input"`
		Output OutputConfig `yaml:"output"`
	}
	text := `
input: {format: json, map: {id: meta.uuid, text: body.content, title: title}, max_value_bytes: 2000, max_depth: 5}
output: {format: avro, schema: out.avsc, id: key, copy: [item_id, meta.user, who: meta.name]}
`
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	in := InputConfig{Format: "json", Map: &Mapping{ID: "meta.uuid", Text: "body.content", Title: "title"}, MaxValueBytes: 2000, MaxDepth: 5}
	out := OutputConfig{Format: "avro", Schema: "out.avsc", ID: "key", Copy: []CopyField{{"item_id", "item_id"}, {"user", "meta.user"}, {"who", "meta.name"}}}
	if !reflect.DeepEqual(got.Input, in) || !reflect.DeepEqual(got.Output, out) {
		t.Errorf("got  %+v\nwant %+v %+v", got, in, out)
	}
	if err := yaml.Unmarshal([]byte("{copy: [{a: b, c: d}]}"), &OutputConfig{}); err == nil {
		t.Error("got nil, want two names in one entry refused")
	}
}

func TestEmptyConfigsAreTheBuiltInReviews(t *testing.T) {
	if err := (InputConfig{}).Validate("input"); err != nil {
		t.Error(err)
	}
	if err := (OutputConfig{}).Validate("output", InputConfig{}); err != nil {
		t.Error(err)
	}
}

func TestEmptyCopyListCopiesNothing(t *testing.T) {
	if got := (OutputConfig{Copy: []CopyField{}}).copies(InputConfig{}); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	if got := (OutputConfig{}).copies(InputConfig{Map: &Mapping{Text: "t"}}); len(got) != 0 {
		t.Errorf("got %v, want none with a mapping of one's own", got)
	}
}

func TestConfigNamesEveryProblemWithItsRemedy(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want []string
	}{
		{"input", InputConfig{Format: "xml", Map: &Mapping{ID: "a..b"}, MaxValueBytes: -1, MaxDepth: 5000}.validate("pipelines[0].input", Wanted{}), []string{
			`pipelines[0].input.format is "xml": want json or avro`,
			`pipelines[0].input.map.text is missing: name the field with the text, such as "text"`,
			`pipelines[0].input.map.id is "a..b": want names joined by single dots, such as body.content`,
			`pipelines[0].input.max_value_bytes is -1: want at least 1, or 0 for the default of 1048576`,
			`pipelines[0].input.max_depth is 5000: want 1 to 1000, or 0 for the default of 100`,
		}},
		{"avro without a schema", InputConfig{Format: "avro"}.Validate("input"), []string{
			`input.schema is missing: format avro wants the schema's file, such as review.avsc`,
		}},
		{"json with a schema", InputConfig{Schema: "a.avsc"}.Validate("input"), []string{
			`input.schema is "a.avsc": format json has none, remove it or set format: avro`,
		}},
		{"output", OutputConfig{Format: "csv", ID: "x", Schema: "s", Copy: []CopyField{{"model", "model"}, {"a", "a"}, {"a", "b.a"}, {}, {"c", ".c"}}}.Validate("output", InputConfig{Map: &Mapping{Text: "t"}}), []string{
			`output.format is "csv": want json or avro`,
			`output.id is "x": the input maps no id, so add one to input.map or remove it`,
			`output.copy[0] is "model": every result has a field of that name, copy it under another (model_copied: model)`,
			`output.copy[2] is "a": copy[1] already has that name, copy it under another (a_copied: b.a)`,
			`output.copy[3] is empty: want a field's path, such as item_id`,
			`output.copy[4] is ".c": want names joined by single dots, such as body.content`,
		}},
		{"id taken", OutputConfig{Copy: []CopyField{{"review_id", "x"}}}.Validate("output", InputConfig{}), []string{
			`output.copy[0] is "review_id": id already has that name, copy it under another (review_id_copied: x)`,
		}},
		{"id reserved", OutputConfig{ID: "source"}.Validate("output", InputConfig{}), []string{
			`output.id is "source": every result has a field of that name, choose another`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if want := strings.Join(c.want, "\n"); c.err == nil || c.err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", c.err, want)
			}
		})
	}
}
