package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/offline"
)

// SendOptions of Send.
type SendOptions struct {
	// Key names the field of each line whose value becomes the record's key, such as item_id; "" sends records without
	// a key, and then the lines need not be JSON.
	Key string
	// Progress is called now and then, and at the end, with how many records are acknowledged and how many bytes were
	// read. Nil means never.
	Progress func(sent, read int64)
}

// LineError says which line of an input was at fault.
type LineError struct {
	Line int64
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Send writes each line of r to the topic as one record, in order and without doubles, and returns how many the brokers
// have acknowledged. Blank lines are skipped. It stops at the first line that is at fault, with a *LineError; the lines
// before it are sent.
func Send(ctx context.Context, connection kafka.Connection, topic string, r io.Reader, opts SendOptions) (int64, error) {
	client, err := connection.Client(
		kgo.DefaultProduceTopic(topic),
		kgo.MaxBufferedBytes(64<<20),
		kgo.RecordDeliveryTimeout(30*time.Second),
		kgo.UnknownTopicRetries(2),
	)
	if err != nil {
		return 0, fmt.Errorf("send to %s: %w", topic, err)
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return 0, fmt.Errorf("send to %s: reach %v: %w", topic, connection.Brokers, err)
	}

	sending, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var sent atomic.Int64
	lines := offline.NewLines(r, 0)
	report := func() {
		if opts.Progress != nil {
			opts.Progress(sent.Load(), lines.Read())
		}
	}
	reading := func() error {
		for sending.Err() == nil {
			line, err := lines.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read: %w", err)
			}
			if line.Number%1000 == 0 {
				report()
			}
			if line.Blank() {
				continue
			}
			record, err := recordOf(line, opts.Key)
			if err != nil {
				return &LineError{line.Number, err}
			}
			number := line.Number
			client.Produce(sending, record, func(_ *kgo.Record, err error) {
				if err != nil {
					fail(&LineError{number, err}) // only the first one counts
					return
				}
				sent.Add(1)
			})
		}
		return nil
	}
	err = reading()
	if flushed := client.Flush(sending); err == nil && flushed != nil {
		err = flushed
	}
	// What the brokers said comes before what followed from it.
	if cause := context.Cause(sending); cause != nil {
		err = cause
	}
	report()
	if err != nil {
		return sent.Load(), fmt.Errorf("send to %s: %w", topic, err)
	}
	return sent.Load(), nil
}

// recordOf a line. Its bytes are copied.
func recordOf(line offline.Line, key string) (*kgo.Record, error) {
	if line.TooLong {
		return nil, fmt.Errorf("%d bytes: want at most %d", line.Size, offline.DefaultMaxLine)
	}
	record := &kgo.Record{Value: append([]byte(nil), line.Text...)}
	if key == "" {
		return record, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line.Text, &fields); err != nil {
		return nil, fmt.Errorf("no JSON object to take the key %s from: %w", key, err)
	}
	raw, ok := fields[key]
	if !ok {
		return nil, fmt.Errorf("no field %s to take the key from", key)
	}
	var text string
	switch err := json.Unmarshal(raw, &text); {
	case string(raw) == "null":
		return record, nil // a null is no key
	case err == nil:
		record.Key = []byte(text)
	case raw[0] == '{' || raw[0] == '[':
		return nil, fmt.Errorf("field %s is no key: want a string or a number", key)
	default:
		record.Key = append([]byte(nil), raw...)
	}
	return record, nil
}
