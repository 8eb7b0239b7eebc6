package producers

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"nearline/pipeline"
)

// Builder makes the records to publish. It is safe for concurrent use.
//
// Every result and dead letter that it returns fits the topic that it is for, because a broker that refuses one record
// refuses the batch around it.
type Builder struct {
	config          Config
	encoder         pipeline.Encoder // nil makes no results
	outputLimit     int
	deadLetterLimit int
	times           pipeline.TopicTimes // of the topic of results
	scratch         *sync.Pool          // of *[]byte
}

var _ pipeline.Builder = (*Builder)(nil)

// New makes a builder of results, which the encoder writes. It fails when the config is not valid, or there is no encoder.
func New(config Config, encoder pipeline.Encoder) (*Builder, error) {
	if encoder == nil {
		return nil, errors.New("a builder of results needs an encoder")
	}
	return makeBuilder(config, encoder)
}

// NewResultless makes a builder of neither results nor tombstones: what a pipeline's steps put beside them is the effect of its records. The config
// may go without a topic.
func NewResultless(config Config) (*Builder, error) { return makeBuilder(config, nil) }

func makeBuilder(config Config, encoder pipeline.Encoder) (*Builder, error) {
	if err := config.validate("output", encoder != nil); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	b := &Builder{
		config:          config,
		encoder:         encoder,
		outputLimit:     config.MaxRecordBytes,
		deadLetterLimit: config.MaxRecordBytes,
		scratch:         &sync.Pool{New: func() any { return new([]byte) }},
	}
	return b, nil
}

// WithLimits is the builder for topics that take records of at most so many bytes, which the broker knows: the topics'
// max.message.bytes. 0 keeps the limit as it is. It fails when a limit is too small for a dead letter to be told of.
func (b *Builder) WithLimits(output, deadLetter int) (*Builder, error) {
	limited := b.clone()
	if output != 0 {
		limited.outputLimit = output
	}
	if deadLetter != 0 {
		limited.deadLetterLimit = deadLetter
	}
	if limited.deadLetterLimit < minMaxRecordBytes {
		return nil, fmt.Errorf("topic %s takes records of at most %d bytes: raise its max.message.bytes to at least %d",
			b.config.DeadLetters, limited.deadLetterLimit, minMaxRecordBytes)
	}
	return limited, nil
}

// WithTimes is the builder for a topic of results that does so with timestamps.
func (b *Builder) WithTimes(times pipeline.TopicTimes) *Builder {
	timed := b.clone()
	timed.times = times
	return timed
}

// WithEncoder is the builder of another program's results. A builder of no results has none of that one either.
func (b *Builder) WithEncoder(encoder pipeline.Encoder) *Builder {
	if b.encoder == nil {
		return b
	}
	encoding := b.clone()
	encoding.encoder = encoder
	return encoding
}

func (b *Builder) clone() *Builder {
	c := *b
	return &c
}

// stamp of what is made of a record: its own timestamp, or none, for the time of writing, and why.
func (b *Builder) stamp(record *pipeline.Record) (time.Time, pipeline.Restamp) {
	if why := b.times.Restamp(record, time.Now()); why != "" {
		return time.Time{}, why
	}
	return record.Timestamp, ""
}

// The headers of results and tombstones.
const (
	ownPrefix             = "nearline-"
	headerSourceTopic     = "nearline-source-topic"
	headerSourcePartition = "nearline-source-partition"
	headerSourceOffset    = "nearline-source-offset"
	headerModel           = "nearline-model"
	headerModelVersion    = "nearline-model-version"
	// headerSourceTimestamp is the input's timestamp, in milliseconds since 1970 as it stands there, where the result has the time of writing.
	headerSourceTimestamp = "nearline-source-timestamp"
	lineageHeaders        = 6
)

// maxScratch is the largest buffer that is kept for the next result.
const maxScratch = 256 << 10

// Result encodes a row. All bytes of a result that are not the input's share one allocation, and its headers another.
func (b *Builder) Result(row *pipeline.Row) (pipeline.Output, *pipeline.Fault) {
	if b.encoder == nil {
		return pipeline.Output{}, nil
	}
	scratch := b.scratch.Get().(*[]byte) //nolint:errcheck // the pool holds nothing else
	defer b.scratch.Put(scratch)
	buf, fault := b.encoder.Append((*scratch)[:0], row)
	if fault != nil {
		return pipeline.Output{}, fault
	}
	valueEnd := len(buf)

	record := row.Record
	headers := b.passed(record)
	lineage := len(headers)
	var ends [lineageHeaders]int
	add := func(key string, extended []byte) {
		ends[len(headers)-lineage] = len(extended)
		headers = append(headers, pipeline.Header{Key: key})
		buf = extended
	}
	add(headerSourceTopic, append(buf, record.Topic...))
	add(headerSourcePartition, strconv.AppendInt(buf, int64(record.Partition), 10))
	add(headerSourceOffset, strconv.AppendInt(buf, record.Offset, 10))
	if n := len(row.Predictions); n > 0 {
		last := &row.Predictions[n-1]
		add(headerModel, append(buf, last.Model...))
		add(headerModelVersion, strconv.AppendInt(buf, int64(last.Version), 10))
	}
	timestamp, restamped := b.stamp(record)
	if restamped != "" {
		add(headerSourceTimestamp, strconv.AppendInt(buf, record.Timestamp.UnixMilli(), 10))
	}
	if cap(buf) <= maxScratch {
		*scratch = buf
	}

	own := make([]byte, len(buf))
	copy(own, buf)
	start := valueEnd
	for i := range headers[lineage:] {
		headers[lineage+i].Value = own[start:ends[i]:ends[i]]
		start = ends[i]
	}
	out := pipeline.Output{
		Topic: b.config.Topic, Key: record.Key, Value: own[:valueEnd:valueEnd], Headers: headers,
		Timestamp: timestamp, Restamped: restamped, Source: record,
	}
	if size := batchSize(out.Key, out.Value, out.Headers); size > b.outputLimit {
		return pipeline.Output{}, pipeline.Faultf(pipeline.ClassTooLarge, pipeline.StageEncode,
			"the result is %d bytes with %d of key and %d of value, and topic %s takes %d: raise its max.message.bytes and max_record_bytes, or copy less from the input",
			size, len(out.Key), len(out.Value), b.config.Topic, b.outputLimit)
	}
	return out, nil
}

// Tombstone passes a tombstone on with its key, so that the result of that key is deleted too. A tombstone without a
// key deletes nothing; the cycle makes it a dead letter before it comes here.
func (b *Builder) Tombstone(record *pipeline.Record) pipeline.Output {
	if b.encoder == nil {
		return pipeline.Output{}
	}
	timestamp, restamped := b.stamp(record)
	out := pipeline.Output{
		Topic: b.config.Topic, Key: record.Key, Timestamp: timestamp, Restamped: restamped, Source: record,
		Headers: append(b.passed(record),
			pipeline.Header{Key: headerSourceTopic, Value: []byte(record.Topic)},
			pipeline.Header{Key: headerSourcePartition, Value: strconv.AppendInt(nil, int64(record.Partition), 10)},
			pipeline.Header{Key: headerSourceOffset, Value: strconv.AppendInt(nil, record.Offset, 10)},
		),
	}
	if restamped != "" {
		out.Headers = append(out.Headers, pipeline.Header{Key: headerSourceTimestamp, Value: strconv.AppendInt(nil, record.Timestamp.UnixMilli(), 10)})
	}
	return out
}

// passed are the input's headers that go through, with room for the lineage. Ours are left out: they told of the
// record's way here, and would stand beside those that tell of its way on.
func (b *Builder) passed(record *pipeline.Record) []pipeline.Header {
	headers := make([]pipeline.Header, 0, len(record.Headers)+lineageHeaders)
	for _, h := range record.Headers {
		trace := h.Key == "traceparent" || h.Key == "tracestate"
		if trace || b.config.Headers == HeadersCopy && !strings.HasPrefix(h.Key, ownPrefix) {
			headers = append(headers, h)
		}
	}
	return headers
}
