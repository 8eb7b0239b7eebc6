package schemas

import (
	"fmt"
	"sync"
	"testing"

	"nearline/pipeline"
)

func TestDecodersAndEncodersAreSafeForConcurrentUse(t *testing.T) {
	avro := codec(t, richSchema)
	for _, format := range []struct {
		name    string
		decoder pipeline.Decoder
		value   func(id string) []byte
	}{
		{FormatJSON, decoder(t, InputConfig{}, OutputConfig{}), func(id string) []byte {
			return fmt.Appendf(nil, `{"review_id":%q,"item_id":%q,"title":%q,"text":%q}`, id, id, id, id)
		}},
		{FormatAvro, richDecoder(t), func(id string) []byte {
			text := native{"string": id}
			return binaryOf(t, avro, event(native{"review_id": text, "item_id": text, "title": text, "text": text}))
		}},
	} {
		t.Run(format.name, func(t *testing.T) {
			e := encoder(t, OutputConfig{Format: format.name}, InputConfig{})
			var group sync.WaitGroup
			for worker := range 4 {
				group.Go(func() {
					for i := range 200 {
						id := fmt.Sprintf("%d-%d", worker, i)
						row, fault := format.decoder.Decode(&pipeline.Record{Value: format.value(id)})
						if fault != nil || row.ID != id || row.Text != id+". "+id || row.Copied[0].Value.Str != id {
							t.Errorf("got %+v, %v; want every field to be %s", row, fault, id)
							return
						}
						row.Predictions = scoredRow().Predictions
						if _, fault := e.Append(nil, row); fault != nil {
							t.Error(fault)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}
