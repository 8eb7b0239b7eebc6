package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/pipeline"
	"nearline/producers"
)

// Ledger knows what was written, and what is to become of each record.
type Ledger struct {
	Records int
	topic   string

	mu       sync.Mutex              // guards expected while the load is written
	expected map[int32][]expectation // by offset
}

type expectation struct {
	record  Record // without its value
	length  int64
	hash    [sha256.Size]byte
	effects int
}

// Load of a topic.
type Load struct {
	Topic   string
	Records int
	Seed    uint64
	// Bombs are batches that hold so many bytes, of every codec that packs tightly.
	Bombs []int64
}

// batchRecords is the most records that one batch has.
const batchRecords = 100

// Write the load to an empty topic that nobody else writes to, to all of its partitions at once.
func (l Load) Write(ctx context.Context, client *kgo.Client) (*Ledger, error) {
	w, err := NewWriter(ctx, client, l.Topic)
	if err != nil {
		return nil, err
	}
	ledger := &Ledger{topic: l.Topic, expected: make(map[int32][]expectation)}
	writers, ctx := errgroup.WithContext(ctx)
	queues := make([]chan *Batch, w.Partitions())
	for partition := range queues {
		queues[partition] = make(chan *Batch)
		writers.Go(func() error {
			for batch := range queues[partition] {
				if err := ledger.write(ctx, w, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	l.generate(len(queues), func(batch *Batch) bool {
		select {
		case queues[batch.Partition] <- batch:
			ledger.Records += len(batch.Records)
			return true
		case <-ctx.Done():
			return false
		}
	})
	for _, queue := range queues {
		close(queue)
	}
	return ledger, writers.Wait()
}

// generate batches until there are enough records, or f says that there are. The bombs are spread evenly, each once with gzip and once
// with zstd.
func (l Load) generate(partitions int, f func(*Batch) bool) {
	generator := NewGenerator(l.Seed)
	every := l.Records / (2*len(l.Bombs) + 1)
	for records, bombs, turn := 0, 0, 0; records < l.Records; turn++ {
		partition := int32(turn % partitions) //nolint:gosec // few
		batch := generator.Batch(partition, min(batchRecords, l.Records-records))
		if bombs < 2*len(l.Bombs) && records >= (bombs+1)*every {
			codec := []kgo.CompressionCodecType{kgo.CodecGzip, kgo.CodecZstd}[bombs%2]
			batch = generator.Bomb(partition, codec, l.Bombs[bombs/2])
			bombs++
		}
		if records += len(batch.Records); !f(batch) {
			return
		}
	}
}

// write a batch, and note what is to become of it.
func (l *Ledger) write(ctx context.Context, w *Writer, batch *Batch) error {
	encoded, err := batch.Encode()
	if err != nil {
		return err
	}
	first, err := w.Write(ctx, batch.Partition, encoded)
	if err != nil {
		return err
	}
	var expected []expectation
	for _, r := range batch.Records {
		e := expectation{record: r, length: int64(len(r.Value)), hash: sha256.Sum256(r.Value)}
		if r.Filler > 0 {
			e.length = r.Filler
			sum := sha256.New()
			if _, err := io.CopyN(sum, filler{}, r.Filler); err != nil {
				return err
			}
			sum.Sum(e.hash[:0])
		}
		e.record.Value, e.record.Headers = nil, nil
		expected = append(expected, e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := int64(len(l.expected[batch.Partition])); first != next {
		return fmt.Errorf("%s[%d]: a batch was written at offset %d, want %d: somebody else writes to this topic", w.topic, batch.Partition, first, next)
	}
	l.expected[batch.Partition] = append(l.expected[batch.Partition], expected...)
	return nil
}

// Report says what became of the records.
type Report struct {
	Records, Scored, Deleted, Dead int
	Classes                        map[pipeline.Class]int
	Lost, Doubled, Wrong           int
	Examples                       []string // of what is wrong
}

// Err is nil when every record had the one effect that it is to have.
func (r *Report) Err() error {
	if r.Lost+r.Doubled+r.Wrong == 0 {
		return nil
	}
	return fmt.Errorf("%d lost, %d doubled, %d with a wrong effect, such as\n%s", r.Lost, r.Doubled, r.Wrong, strings.Join(r.Examples, "\n"))
}

func (r *Report) String() string {
	var classes []string
	for class, n := range r.Classes {
		classes = append(classes, fmt.Sprintf("%s %d", class, n))
	}
	slices.Sort(classes)
	return fmt.Sprintf("%d records: %d scored, %d tombstones, %d dead letters (%s), %d lost, %d doubled, %d wrong",
		r.Records, r.Scored, r.Deleted, r.Dead, strings.Join(classes, ", "), r.Lost, r.Doubled, r.Wrong)
}

func (r *Report) wrong(format string, args ...any) {
	r.Wrong++
	if len(r.Examples) < 20 {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// Await effects of all records in the topics of results and of dead letters, as a read-committed consumer sees them, and check
// each. It returns early where none has come for the patience.
func (l *Ledger) Await(ctx context.Context, connect func(...kgo.Opt) (*kgo.Client, error), scored, dead string, patience time.Duration) (*Report, error) {
	client, err := connect(kgo.ConsumeTopics(scored, dead), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	report := &Report{Records: l.Records, Classes: make(map[pipeline.Class]int)}
	for seen := 0; ; {
		polled, cancel := context.WithTimeout(ctx, patience)
		if seen >= l.Records {
			// Whatever comes now is too much.
			cancel()
			polled, cancel = context.WithTimeout(ctx, 2*time.Second)
		}
		fetches := client.PollFetches(polled)
		cancel()
		if err := fetches.Err(); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			break
		} else if err != nil {
			return nil, err
		}
		for r := range fetches.RecordsAll() {
			seen++
			if r.Topic == dead {
				l.checkLetter(report, r)
			} else {
				l.checkResult(report, r)
			}
		}
	}
	l.count(report)
	return report, nil
}

func (l *Ledger) at(topic string, partition int32, offset int64) *expectation {
	if expected := l.expected[partition]; topic == l.topic && offset >= 0 && offset < int64(len(expected)) {
		return &expected[offset]
	}
	return nil
}

func (l *Ledger) checkResult(report *Report, r *kgo.Record) {
	headers := make(map[string]string)
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	partition, _ := strconv.ParseInt(headers["nearline-source-partition"], 10, 32)
	offset, _ := strconv.ParseInt(headers["nearline-source-offset"], 10, 64)
	e := l.at(headers["nearline-source-topic"], int32(partition), offset) //nolint:gosec // 32 bits were read
	if e == nil {
		report.wrong("a result without a source: %v", headers)
		return
	}
	e.effects++
	if r.Value == nil {
		report.Deleted++
	} else {
		report.Scored++
	}
	if r.Value == nil && !e.record.Deleted || r.Value != nil && !e.record.Scored || !bytes.Equal(r.Key, e.record.Key) {
		report.wrong("%s (%d/%d) has the result %q: %q", e.record.Kind, partition, offset, r.Key, r.Value)
	}
}

func (l *Ledger) checkLetter(report *Report, r *kgo.Record) {
	record := &pipeline.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, pipeline.Header(h))
	}
	letter, err := producers.ReadLetter(record)
	if err != nil {
		report.wrong("a dead letter that is none: %v", err)
		return
	}
	e := l.at(letter.Source.Topic, letter.Source.Partition, letter.Source.Offset)
	if e == nil {
		report.wrong("a dead letter without a source: %+v", letter)
		return
	}
	e.effects++
	report.Dead++
	report.Classes[letter.Class]++
	length, hash := int64(len(letter.Value)), sha256.Sum256(letter.Value)
	rightKey := bytes.Equal(letter.Key, e.record.Key)
	if ref := letter.Reference; ref != nil {
		length = ref.Length
		sum, _ := hex.DecodeString(ref.SHA256)
		copy(hash[:], sum)
		if ref.KeySHA256 != "" {
			rightKey = ref.KeySHA256 == fmt.Sprintf("%x", sha256.Sum256(e.record.Key))
		}
	}
	switch {
	case !rightKey:
		report.wrong("%s (%s) is a dead letter with the key %q, want %q", e.record.Kind, letter.Source, letter.Key, e.record.Key)
	case !slices.Contains(e.record.Classes, letter.Class):
		report.wrong("%s (%s) is a dead letter of class %s, want one of %v: %s", e.record.Kind, letter.Source, letter.Class, e.record.Classes, letter.Cause)
	case letter.Cause == "" || letter.Stage == "":
		report.wrong("%s (%s) is a dead letter without a cause", e.record.Kind, letter.Source)
	case length != e.length || hash != e.hash:
		report.wrong("%s (%s) is a dead letter of %d bytes with sha256 %x, want %d with %x", e.record.Kind, letter.Source, length, hash, e.length, e.hash)
	}
}

func (l *Ledger) count(report *Report) {
	for partition, expected := range l.expected {
		for offset, e := range expected {
			switch {
			case e.effects > 1:
				report.Doubled++
			case e.effects == 0:
				report.Lost++
			default:
				continue
			}
			if len(report.Examples) < 20 {
				report.Examples = append(report.Examples, fmt.Sprintf("%s (%d/%d, %d bytes) has %d effects", e.record.Kind, partition, offset, e.length, e.effects))
			}
		}
	}
}
