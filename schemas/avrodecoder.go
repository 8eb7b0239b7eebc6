package schemas

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"nearline/pipeline"
)

// avroDecoder reads an event in Avro's binary form by the schema that it was written with, and keeps only what the
// mapping asks for.
//
// It walks the bytes itself rather than through goavro's maps: goavro reserves memory for as many items as a hostile
// length claims, and a guard against that has to walk every byte anyway. Goavro checks the schema, and the tests hold
// this reader against it.
type avroDecoder struct {
	layout   *layout
	framing  framing
	maxBytes int
	maxDepth int
	pool     sync.Pool // of *draft
}

var _ pipeline.Decoder = (*avroDecoder)(nil)

// framing finds the schema that a value was written with, and where the event's own bytes begin. A registry's wire
// format is another one of these.
type framing func(value []byte) (schema *avroType, payload []byte, fault *pipeline.Fault)

// bare values have no frame: the schema is the configured one.
func bare(schema *avroType) framing {
	return func(value []byte) (*avroType, []byte, *pipeline.Fault) { return schema, value, nil }
}

func newAvroDecoder(in InputConfig, out OutputConfig, wanted Wanted, text string) (*avroDecoder, error) {
	schema, err := parseAvro(text)
	if err != nil {
		return nil, fmt.Errorf("input.schema: %w", err)
	}
	d := &avroDecoder{layout: newLayout(in, out, wanted), framing: bare(schema), maxBytes: in.MaxValueBytes, maxDepth: in.MaxDepth}
	var errs []error
	for slot, t := range d.layout.targets {
		// What nobody named is optional: the built-in schema's id, title and copied fields.
		named := in.Map != nil || slot == slotText
		if slot >= slotCopies {
			named = out.Copy != nil || slot >= d.layout.reads
		}
		if named && t.path != "" && !schema.holds(strings.Split(t.path, ".")) {
			errs = append(errs, fmt.Errorf("input.schema has no field %q, which the config takes for %s: map it to a field of the schema", t.path, t.name))
		}
	}
	d.pool.New = func() any { return newDraft(d.layout) }
	return d, errors.Join(errs...)
}

func (d *avroDecoder) Decode(record *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	if len(record.Value) > d.maxBytes {
		return nil, tooLarge(len(record.Value), d.maxBytes)
	}
	schema, payload, fault := d.framing(record.Value)
	if fault != nil {
		return nil, fault
	}
	draft := d.pool.Get().(*draft) //nolint:errcheck // the pool holds nothing else
	defer d.pool.Put(draft)
	draft.reset()
	r := avroReader{
		rest: payload, total: len(record.Value), draft: draft, maxDepth: d.maxDepth,
		items: len(payload) + 1,
	}
	if fault := r.value(schema, d.layout.root); fault != nil {
		return nil, fault
	}
	if len(r.rest) > 0 {
		return nil, r.malformed("%d bytes follow the record", len(r.rest))
	}
	return draft.row(record)
}
