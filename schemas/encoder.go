package schemas

import (
	"errors"
	"fmt"
	"slices"

	"nearline/pipeline"
)

// Encoder writes a row's result. Implementations are safe for concurrent use.
type Encoder interface {
	pipeline.Encoder
	// Check says, once the models are known and before any record, whether results with these prediction columns can
	// be written: one error with every problem, each with its remedy. Columns are of all steps, in order; their values are
	// examples of what they hold, or Null where there is none.
	Check(columns []pipeline.Field) error
}

// NewEncoder makes the encoder of an output. It fails when a config is not valid, or when the schema's file cannot be
// used for results.
func NewEncoder(out OutputConfig, in InputConfig) (Encoder, error) {
	if err := out.Validate("output", in); err != nil {
		return nil, err
	}
	out = out.withDefaults()
	names := newNames(out, in)
	if out.Format == FormatJSON {
		return &jsonEncoder{names}, nil
	}
	text := DefaultResultSchema
	if out.Schema != "" {
		var err error
		if text, err = readSchema(out.Schema); err != nil {
			return nil, fmt.Errorf("output.schema: %w", err)
		}
	}
	return newAvroEncoder(text, names)
}

// names are the fields that a result has beside its predictions.
type names struct {
	id     string // "" when events have no id
	copies []string
}

func newNames(out OutputConfig, in InputConfig) names {
	n := names{id: out.idName(in)}
	for _, c := range out.copies(in) {
		n.copies = append(n.copies, c.As)
	}
	return n
}

// taken says that a prediction's column cannot have that name.
func (n names) taken(name string) bool {
	return name == n.id || reserved(name) || slices.Contains(n.copies, name)
}

func (n names) Check(columns []pipeline.Field) error {
	var errs []error
	for i, column := range columns {
		name := column.Name
		switch {
		case n.taken(name):
			errs = append(errs, fmt.Errorf("the column %q of a prediction and a field of output have one name: copy the field under another", name))
		case named(columns[:i], name) >= 0:
			errs = append(errs, fmt.Errorf("two predictions have a column %q: name one of them otherwise in its step", name))
		}
	}
	return errors.Join(errs...)
}

// named is the index of the column with that name, or -1.
func named(columns []pipeline.Field, name string) int {
	return slices.IndexFunc(columns, func(c pipeline.Field) bool { return c.Name == name })
}

// clash finds a column that Check would have refused: predictions are the models' affair, and a result with one name
// twice is none.
func (n names) clash(row *pipeline.Row) (string, bool) {
	for i, p := range row.Predictions {
		for j, c := range p.Columns {
			if n.taken(c.Name) {
				return c.Name, true
			}
			for _, other := range p.Columns[:j] {
				if other.Name == c.Name {
					return c.Name, true
				}
			}
			for _, earlier := range row.Predictions[:i] {
				for _, other := range earlier.Columns {
					if other.Name == c.Name {
						return c.Name, true
					}
				}
			}
		}
	}
	return "", false
}

func encodeFault(format string, args ...any) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassEncode, pipeline.StageEncode, format, args...)
}
