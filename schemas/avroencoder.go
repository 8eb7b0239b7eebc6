package schemas

import (
	"errors"
	"fmt"
	"time"

	"nearline/pipeline"
)

// DefaultResultSchema is the Avro schema of results when the output names none: the built-in review schema's.
const DefaultResultSchema = `{
  "type": "record", "name": "ScoredReview", "namespace": "nearline", "fields": [
    {"name": "review_id", "type": ["null", "string"], "default": null},
    {"name": "source", "default": null, "type": ["null", {"type": "record", "name": "Source", "fields": [
      {"name": "topic", "type": "string"}, {"name": "partition", "type": "int"}, {"name": "offset", "type": "long"}]}]},
    {"name": "item_id", "type": ["null", "string"], "default": null},
    {"name": "user_id", "type": ["null", "string"], "default": null},
    {"name": "sentiment", "type": {"type": "record", "name": "Sentiment", "fields": [
      {"name": "label", "type": "string"}, {"name": "score", "type": "double"}]}},
    {"name": "helpfulness", "type": ["null", "double"], "default": null},
    {"name": "model", "type": "string"},
    {"name": "model_version", "type": "int"},
    {"name": "scored_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
  ]
}`

// avroEncoder writes a result in Avro's binary form. A field of the schema is filled by what a JSON result has under
// that name; what the schema does not name is left out; a field that nothing fills gets its default, or null where it
// may be null.
type avroEncoder struct {
	names
	schema *avroType
}

var _ Encoder = (*avroEncoder)(nil)

func newAvroEncoder(text string, n names) (*avroEncoder, error) {
	schema, err := parseAvroToWrite(text)
	if err != nil {
		return nil, fmt.Errorf("output.schema: %w", err)
	}
	e := &avroEncoder{names: n, schema: schema}
	// What results always have is tried on the schema at once, rather than on the first record.
	sample := &pipeline.Row{Record: &pipeline.Record{Topic: "topic"}, ID: "1", Predictions: []pipeline.Prediction{{Model: "model", Version: 1}}}
	bare := &pipeline.Row{Record: sample.Record, Predictions: sample.Predictions}
	var errs []error
	for i := range schema.fields {
		field := &schema.fields[i]
		if field.name != n.id && !reserved(field.name) {
			continue
		}
		row := sample
		if field.name == fieldSource {
			row = bare
		}
		if _, err := e.field(nil, field, row); err != nil {
			errs = append(errs, fmt.Errorf("output.schema cannot take a result: %w", err))
		}
	}
	return e, errors.Join(errs...)
}

// Check also finds fields of the schema that nothing would fill, and those that cannot hold what their column does.
func (e *avroEncoder) Check(columns []pipeline.Field) error {
	errs := []error{e.names.Check(columns)}
	for _, field := range e.schema.fields {
		at := named(columns, field.name)
		filled := e.taken(field.name) || at >= 0
		if at >= 0 && columns[at].Value.Kind != pipeline.Null {
			if _, err := appendAvro(nil, field.typ, columns[at].Value, 0); err != nil {
				errs = append(errs, fmt.Errorf("output.schema has a field %q that cannot hold that column of a prediction: %w: change its type, or "+
					"name the column otherwise in its step", field.name, err))
			}
		}
		if !filled && field.preset == nil && !field.typ.nullable() {
			errs = append(errs, fmt.Errorf("output.schema has a field %q that no prediction and no copied field fills: copy a field under that name, or give it a default", field.name))
		}
	}
	return errors.Join(errs...)
}

func (e *avroEncoder) Append(dst []byte, row *pipeline.Row) ([]byte, *pipeline.Fault) {
	if name, clash := e.clash(row); clash {
		return dst, encodeFault("the result would have two fields %q: copy the field, or name the prediction, otherwise", name)
	}
	for i := range e.schema.fields {
		var err error
		if dst, err = e.field(dst, &e.schema.fields[i], row); err != nil {
			return dst, encodeFault("the result does not fit output.schema: %v", err)
		}
	}
	return dst, nil
}

func (e *avroEncoder) field(dst []byte, field *avroField, row *pipeline.Row) ([]byte, error) {
	v, found := e.lookup(row, field.name)
	if !found {
		return appendMissing(dst, field)
	}
	dst, err := appendAvro(dst, field.typ, v, 0)
	if err != nil {
		return dst, fmt.Errorf("field %q: %w", field.name, err)
	}
	return dst, nil
}

// lookup finds what a result has under a name.
func (e *avroEncoder) lookup(row *pipeline.Row, name string) (pipeline.Value, bool) {
	if name == e.id {
		return pipeline.StringValue(row.ID), row.ID != ""
	}
	if reserved(name) {
		return ownField(row, name)
	}
	for _, f := range row.Copied {
		if f.Name == name {
			return f.Value, true
		}
	}
	for _, f := range row.Features {
		if f.Name == name {
			return f.Value, true
		}
	}
	for _, p := range row.Predictions {
		for _, c := range p.Columns {
			if c.Name == name {
				return c.Value, true
			}
		}
	}
	return pipeline.Value{}, false
}

// ownField is one of the fields that every result has of its own.
func ownField(row *pipeline.Row, name string) (pipeline.Value, bool) {
	if name == fieldSource {
		at := row.Record.Coordinates()
		return pipeline.ObjectValue(
			pipeline.Field{Name: "topic", Value: pipeline.StringValue(at.Topic)},
			pipeline.Field{Name: "partition", Value: pipeline.IntValue(int64(at.Partition))},
			pipeline.Field{Name: "offset", Value: pipeline.IntValue(at.Offset)},
		), row.ID == ""
	}
	if len(row.Predictions) == 0 {
		return pipeline.Value{}, false
	}
	last := row.Predictions[len(row.Predictions)-1]
	switch name {
	case fieldModel:
		return pipeline.StringValue(last.Model), true
	case fieldVersion:
		return pipeline.IntValue(int64(last.Version)), true
	case fieldScoredAt:
		return pipeline.StringValue(last.At.UTC().Format(time.RFC3339Nano)), true
	}
	var list []pipeline.Value
	for _, p := range row.Predictions {
		list = append(list, pipeline.ObjectValue(
			pipeline.Field{Name: fieldModel, Value: pipeline.StringValue(p.Model)},
			pipeline.Field{Name: fieldVersion, Value: pipeline.IntValue(int64(p.Version))},
		))
	}
	return pipeline.Value{Kind: pipeline.List, List: list}, len(list) > 1
}
