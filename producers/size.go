package producers

import (
	"math/bits"

	"nearline/pipeline"
)

// batchOverhead is the header of a record batch of version 2, the base offset and length before it included, as the
// broker counts it against max.message.bytes.
const batchOverhead = 61

// batchSize is the size of a batch of this one record, uncompressed: what the broker compares with the topic's
// max.message.bytes. A record that fits alone can always be sent, since clients open a new batch rather than overfill
// one. https://kafka.apache.org/documentation/#recordbatch
func batchSize(key, value []byte, headers []pipeline.Header) int {
	// Attributes, timestamp delta and offset delta take a byte each in a batch of one.
	size := 3 + nullable(key) + nullable(value) + varint(len(headers))
	for i := range headers {
		size += varint(len(headers[i].Key)) + len(headers[i].Key) + nullable(headers[i].Value)
	}
	return batchOverhead + varint(size) + size
}

func nullable(b []byte) int {
	if b == nil {
		return 1 // the length -1
	}
	return varint(len(b)) + len(b)
}

// varint is the length of a zigzag varint.
func varint(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }
