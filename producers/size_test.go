package producers

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/pipeline"
)

// The rival is kmsg, which encodes records as the protocol says.
func TestBatchSizeIsThatOfTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name       string
		key, value []byte
		headers    []pipeline.Header
	}{
		{name: "null key and value"},
		{name: "empty key and value", key: []byte{}, value: []byte{}},
		{name: "at the edge of a varint", key: make([]byte, 63), value: make([]byte, 64)},
		{name: "large", key: make([]byte, 8191), value: bytes.Repeat([]byte("x"), 1<<20)},
		{name: "headers", value: []byte("v"), headers: []pipeline.Header{{Key: "", Value: nil}, {Key: "k", Value: []byte{}}, {Key: "long", Value: make([]byte, 9000)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			record := kmsg.Record{Key: c.key, Value: c.value}
			for _, h := range c.headers {
				record.Headers = append(record.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
			}
			body := record.AppendTo(nil)[1:] // without the length, here zero
			record.Length = int32(len(body))
			batch := kmsg.RecordBatch{Records: record.AppendTo(nil)}
			want := len(batch.AppendTo(nil))
			if got := batchSize(c.key, c.value, c.headers); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
}
