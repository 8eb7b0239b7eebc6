package deadletters

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/committed"
	"nearline/pipeline"
	"nearline/producers"
)

// Original of a letter: what the letter carries, or, where it does not carry all of it, what its source still has at the
// letter's coordinates. It is checked to be the same. An error that is a *Missing tells why there is none.
func (t *Topic) Original(ctx context.Context, l *producers.Letter) (*pipeline.Record, error) {
	if l.Whole() {
		return &pipeline.Record{
			Topic: l.Source.Topic, Partition: l.Source.Partition, Offset: l.Source.Offset,
			Key: l.Key, Value: l.Value, Headers: l.Headers, Timestamp: l.SourceTimestamp,
		}, nil
	}
	original, err := record(ctx, t.sources, l.Source)
	if err != nil {
		return nil, err
	}
	if w := original.Verdict.Withheld; w != nil {
		return nil, &Missing{Why: "it does not fit into memory", Detail: fmt.Sprintf("%s: %d bytes, in a batch that decompresses to more than %v", l.Source, w.Length, w.Limit)}
	}
	if err := l.Same(original); err != nil {
		return nil, &Missing{Why: "its source has another record in its place", Detail: fmt.Sprintf("%s: %v", l.Source, err)}
	}
	return original, nil
}

// Missing says why the original of a dead letter is not to be had.
type Missing struct {
	Why    string // the same for all letters with the same trouble
	Detail string
}

func (m *Missing) Error() string { return m.Why + ": " + m.Detail }

// lookTimeout is how long one record may take that is known to be there.
const lookTimeout = 30 * time.Second

// record reads one record.
func record(ctx context.Context, from *committed.Reader, at pipeline.Coordinates) (*pipeline.Record, error) {
	admin := kadm.NewClient(from.Client)
	start, err := offset(ctx, admin.ListStartOffsets, at)
	if err != nil {
		return nil, err
	}
	end, err := offset(ctx, admin.ListCommittedOffsets, at)
	if err != nil {
		return nil, err
	}
	switch {
	case at.Offset < start:
		return nil, &Missing{"retention has removed it", fmt.Sprintf("%s begins at offset %d", at, start)}
	case at.Offset >= end:
		return nil, &Missing{"its offset does not exist", fmt.Sprintf("%s: what is committed ends at offset %d", at, end)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, fmt.Errorf("read %s: no answer within %v", at, lookTimeout))
	defer cancel()
	var found *pipeline.Record
	one := committed.Part{Topic: at.Topic, Partition: at.Partition, From: at.Offset, End: at.Offset + 1}
	err = from.Scan(ctx, one, func(r *pipeline.Record) error {
		found = r
		return errEnough
	})
	var tooMuch *kgo.ErrDecompressTooLarge
	switch {
	case errors.As(err, &tooMuch):
		return nil, &Missing{"it does not fit into memory", fmt.Sprintf("%s: %v", at, err)}
	case found != nil:
		return found, nil
	case err != nil:
		return nil, err
	default:
		return nil, &Missing{"compaction or an aborted transaction has removed it", at.String()}
	}
}

// offset that a partition begins or ends at.
func offset(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), at pipeline.Coordinates) (int64, error) {
	if !pipeline.LegalTopic(at.Topic) {
		return 0, &Missing{"its source is no topic", strconv.Quote(at.Topic)}
	}
	listed, err := list(ctx, at.Topic)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", at, err)
	}
	found, ok := listed.Lookup(at.Topic, at.Partition)
	switch {
	case !ok, errors.Is(found.Err, kerr.UnknownTopicOrPartition), errors.Is(found.Err, kerr.InvalidTopicException):
		return 0, &Missing{"its topic or partition does not exist", at.String()}
	case found.Err != nil:
		return 0, fmt.Errorf("look up %s: %w", at, found.Err)
	}
	return found.Offset, nil
}

// isMissing is errors.As for a *Missing.
func isMissing(err error) (*Missing, bool) {
	var missing *Missing
	return missing, errors.As(err, &missing)
}
