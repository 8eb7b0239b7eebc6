package schemas

import (
	"fmt"

	"nearline/pipeline"
)

// NewDecoder makes the decoder of an input. It takes the output's config too, because what the output copies has to be
// read, and what the steps want. It fails when a config is not valid, or when the schema's file cannot be used; validate the configs first for
// messages with their full path.
func NewDecoder(in InputConfig, out OutputConfig, wanted Wanted) (pipeline.Decoder, error) {
	if err := in.validate("input", wanted); err != nil {
		return nil, err
	}
	if err := out.Validate("output", in); err != nil {
		return nil, err
	}
	in = in.withDefaults()
	if in.Format == FormatAvro {
		schema, err := readSchema(in.Schema)
		if err != nil {
			return nil, fmt.Errorf("input.schema: %w", err)
		}
		return newAvroDecoder(in, out, wanted, schema)
	}
	return newJSONDecoder(in, out, wanted), nil
}
