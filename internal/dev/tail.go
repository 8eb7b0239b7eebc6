package dev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/plain"
	"nearline/kafka"
)

// TailOptions of Tail.
type TailOptions struct {
	// FromBeginning starts at the oldest record rather than at the end.
	FromBeginning bool
	// Max records are printed; zero means no end.
	Max int64
	// UntilEnd stops where the topic ended when Tail began.
	UntilEnd bool
	// Uncommitted shows records of transactions that are open or were aborted too.
	Uncommitted bool
	// Keys and Headers go before the value, each with a tab after it.
	Keys, Headers bool
}

// Tail prints the values of a topic's records, one a line, until ctx ends, which is no error. A value that would not be
// one line of text is quoted, a tombstone is <tombstone>, and bytes that are no text are shown in hexadecimal. Order is
// kept within a partition. It returns how many records were printed.
func Tail(ctx context.Context, connection kafka.Connection, topic string, w io.Writer, opts TailOptions) (int64, error) {
	printed, err := tail(ctx, connection, topic, w, opts)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("tail %s: %w", topic, err)
	}
	return printed, err
}

func tail(ctx context.Context, connection kafka.Connection, topic string, w io.Writer, opts TailOptions) (int64, error) {
	isolation := kgo.ReadCommitted()
	if opts.Uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	client, err := connection.Client(kgo.FetchIsolationLevel(isolation), kgo.FetchMaxBytes(8<<20), kgo.KeepControlRecords())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return 0, fmt.Errorf("reach %v: %w", connection.Brokers, err)
	}
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, err
	}
	list := admin.ListCommittedOffsets
	if opts.Uncommitted {
		list = admin.ListEndOffsets
	}
	ends, err := list(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, err
	}
	from := map[int32]kgo.Offset{}
	behind := map[int32]int64{} // partitions whose end has not been seen, with that end
	ends.Each(func(end kadm.ListedOffset) {
		from[end.Partition] = kgo.NewOffset().At(end.Offset)
		if start, ok := starts.Lookup(topic, end.Partition); ok && opts.FromBeginning {
			from[end.Partition] = kgo.NewOffset().At(start.Offset)
			if start.Offset < end.Offset {
				behind[end.Partition] = end.Offset
			}
		}
	})
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})

	out := bufio.NewWriter(w)
	var line []byte
	printed := int64(0)
	for !opts.UntilEnd || len(behind) > 0 {
		fetches := client.PollFetches(ctx)
		if err := kafka.FetchError(fetches); err != nil {
			return printed, err
		}
		for r := range fetches.RecordsAll() {
			if end, ok := behind[r.Partition]; ok && r.Offset+1 >= end {
				delete(behind, r.Partition)
			}
			if r.Attrs.IsControl() {
				continue
			}
			line = appendRecord(line[:0], r, opts)
			_, _ = out.Write(line) // bufio keeps the error for Flush
			if printed++; printed == opts.Max {
				return printed, out.Flush()
			}
		}
		if err := out.Flush(); err != nil {
			return printed, err
		}
	}
	return printed, nil
}

func appendRecord(dst []byte, r *kgo.Record, opts TailOptions) []byte {
	if opts.Headers {
		for i, h := range r.Headers {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = appendVisible(dst, []byte(h.Key), "")
			dst = append(dst, '=')
			dst = appendVisible(dst, h.Value, "<null>")
		}
		dst = append(dst, '\t')
	}
	if opts.Keys {
		dst = append(appendVisible(dst, r.Key, "<null>"), '\t')
	}
	return append(appendVisible(dst, r.Value, "<tombstone>"), '\n')
}

// shownBytes of a value that is no text.
const shownBytes = 64

// appendVisible makes one line of a value; absent stands for none at all.
func appendVisible(dst, value []byte, absent string) []byte {
	switch {
	case value == nil:
		return append(dst, absent...)
	case !utf8.Valid(value):
		dst = fmt.Appendf(dst, "<%d bytes: %x", len(value), value[:min(len(value), shownBytes)])
		if len(value) > shownBytes {
			dst = append(dst, "…"...)
		}
		return append(dst, '>')
	case bytes.IndexByte(value, '\n') >= 0, plain.DrivesTerminal(string(value)):
		return strconv.AppendQuoteToGraphic(dst, string(value))
	default:
		return append(dst, value...)
	}
}
