package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/kafka"
	"nearline/pipeline"
)

// Headers of results and dead letters that the view reads.
const (
	resultPrefix     = "nearline-"
	deadLetterPrefix = "nearline-dlq-"
	headerTopic      = "source-topic"
	headerPartition  = "source-partition"
	headerOffset     = "source-offset"
	headerClass      = deadLetterPrefix + "class"
	headerCause      = deadLetterPrefix + "cause"
)

// FeedConfig says what the view follows.
type FeedConfig struct {
	Connection  kafka.Connection
	Input       string
	Output      string
	DeadLetters string
	// Group whose lag is shown; "" shows none.
	Group string
}

// feed reads the results and dead letters, as any read-committed consumer would, and the inputs that they answer. It
// joins no group, so it changes nothing for the service.
type feed struct {
	cfg     FeedConfig
	results *kgo.Client
	inputs  *kgo.Client
	seen    *inputs
	next    map[string]map[int32]int64 // the next offset of results and dead letters; run owns it, then drain
}

// openFeed stands at the ends of the topics when it returns: what is produced from then on is seen.
func openFeed(ctx context.Context, cfg FeedConfig) (_ *feed, err error) {
	f := &feed{cfg: cfg, next: map[string]map[int32]int64{}}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	// Small fetches: what one brings is shown before the next, and results of one input partition that lie in several
	// output partitions stay close together.
	client := func(opts ...kgo.Opt) (*kgo.Client, error) {
		return cfg.Connection.Client(append([]kgo.Opt{
			kgo.FetchMaxBytes(1 << 20),
			kgo.FetchMaxPartitionBytes(128 << 10),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		}, opts...)...)
	}
	// With control records a partition has been read to its end when its end's offset has been seen, whatever the
	// transaction that lies there came to.
	if f.results, err = client(kgo.KeepControlRecords()); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	topics := []string{cfg.Input, cfg.Output, cfg.DeadLetters}
	ends, err := kadm.NewClient(f.results).ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("view: find the ends of %v: %w", topics, err)
	}
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
			f.next[o.Topic] = map[int32]int64{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset)
		f.next[o.Topic][o.Partition] = o.Offset
	})
	f.results.AddConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Output: from[cfg.Output], cfg.DeadLetters: from[cfg.DeadLetters]})
	// Short waits: a partition that goes on is fetched only when the fetch that waits for the others has come back.
	if f.inputs, err = client(kgo.FetchMaxWait(patience/3), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Input: from[cfg.Input]})); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	f.seen = newInputs(cfg.Input, f.inputs)
	for p, offset := range f.next[cfg.Input] {
		f.seen.begin(p, offset)
	}
	return f, nil
}

func (f *feed) close() {
	for _, client := range []*kgo.Client{f.results, f.inputs} {
		if client != nil {
			client.Close()
		}
	}
}

// run hands over events until ctx ends, which is no error. emit is called by two goroutines, never at once.
func (f *feed) run(ctx context.Context, emit func([]any)) error {
	var mu sync.Mutex
	one := func(events []any) {
		mu.Lock()
		defer mu.Unlock()
		emit(events)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.followLag(ctx, one) })
	group.Go(func() error {
		return f.withInputs(ctx, func() error {
			for ctx.Err() == nil {
				events, err := f.poll(ctx)
				one(events)
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	return group.Wait()
}

// withInputs follows the inputs while do runs, and until do has returned: the last results have their texts too.
func (f *feed) withInputs(ctx context.Context, do func() error) error {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group errgroup.Group
	group.Go(func() error {
		f.followInputs(following)
		return nil
	})
	group.Go(func() error {
		defer stop()
		return do()
	})
	return group.Wait()
}

// drain hands over what was committed by now, after run has ended and the service has stopped.
func (f *feed) drain(ctx context.Context, emit func([]any)) error {
	ends, err := kadm.NewClient(f.results).ListCommittedOffsets(ctx, f.cfg.Output, f.cfg.DeadLetters)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("view: find the ends of %s and %s: %w", f.cfg.Output, f.cfg.DeadLetters, err)
	}
	return f.withInputs(ctx, func() error {
		for f.behind(ends) && ctx.Err() == nil {
			events, err := f.poll(ctx)
			emit(events)
			if err != nil {
				return err
			}
		}
		return context.Cause(ctx)
	})
}

func (f *feed) behind(ends kadm.ListedOffsets) bool {
	behind := false
	ends.Each(func(o kadm.ListedOffset) { behind = behind || f.next[o.Topic][o.Partition] < o.Offset })
	return behind
}

func (f *feed) followInputs(ctx context.Context) {
	for ctx.Err() == nil {
		// Errors are passed over: without the inputs, results are shown without their text.
		f.seen.add(f.inputs.PollRecords(ctx, inputsAtOnce).Records())
	}
}

func (f *feed) followLag(ctx context.Context, emit func([]any)) error {
	if f.cfg.Group == "" {
		return nil
	}
	admin := kadm.NewClient(f.inputs)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		// A group that is not there yet has no lag to show; the next second tells more.
		if lags, err := admin.Lag(ctx, f.cfg.Group); err == nil && lags.Error() == nil {
			if of, ok := lags[f.cfg.Group].Lag.TotalByTopic()[f.cfg.Input]; ok {
				emit([]any{Lag{Records: of.Lag}})
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// poll waits for results or dead letters. The end of ctx is no error, and even then no record is lost.
func (f *feed) poll(ctx context.Context) ([]any, error) {
	fetches := f.results.PollFetches(ctx)
	now := time.Now()
	var records []*kgo.Record
	for r := range fetches.RecordsAll() {
		f.next[r.Topic][r.Partition] = r.Offset + 1
		if !r.Attrs.IsControl() {
			records = append(records, r)
		}
	}
	// Results carry the time of their input: this is the order in which people wrote, whatever partitions they lie in.
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	events := make([]any, len(records))
	for i, r := range records {
		events[i] = f.event(r, now)
	}
	for _, failed := range kafka.FetchErrors(fetches) {
		// What passes, kgo retries by itself. Lost records are the service's to alarm about.
		if lost := (*kgo.ErrDataLoss)(nil); !errors.As(failed.Err, &lost) && ctx.Err() == nil {
			return events, fmt.Errorf("view: read %s[%d]: %w", failed.Topic, failed.Partition, failed.Err)
		}
	}
	return events, nil
}

func (f *feed) event(r *kgo.Record, now time.Time) any {
	if r.Topic == f.cfg.DeadLetters {
		source, known := coordinates(r, deadLetterPrefix)
		e := DeadLetter{At: now, Class: header(r, headerClass), Cause: header(r, headerCause)}
		if known {
			e.Source = source.String()
		}
		if e.Class == "" {
			e.Class = "unknown"
		}
		return e
	}
	if r.Value == nil {
		return Tombstone{At: now}
	}
	e := Scored{At: now}
	e.read(r.Value)
	if source, known := coordinates(r, resultPrefix); known && source.Topic == f.cfg.Input {
		if in, ok := f.seen.wait(source.Partition, source.Offset); ok {
			e.Input, e.Said = in.at, in.said
		}
	}
	return e
}

// read takes what it finds: another pipeline's results may look different.
func (s *Scored) read(value []byte) {
	var result struct {
		ReviewID  string `json:"review_id"`
		ItemID    string `json:"item_id"`
		Text      string `json:"text"`
		Sentiment struct {
			Label string  `json:"label"`
			Score float64 `json:"score"`
		} `json:"sentiment"`
		Helpfulness *float64 `json:"helpfulness"`
	}
	if err := json.Unmarshal(value, &result); err != nil {
		s.Label, s.Said.Text = "unread", kept(string(value))
		return
	}
	s.ReviewID, s.ItemID, s.Said.Text = result.ReviewID, result.ItemID, kept(result.Text)
	s.Label, s.Score = result.Sentiment.Label, result.Sentiment.Score
	if result.Helpfulness != nil {
		s.Helpfulness, s.Ranked = *result.Helpfulness, true
	}
}

// header is the last one of that name: a replayed dead letter has its old ones before it.
func header(r *kgo.Record, key string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// coordinates of the record that this one is the effect of.
func coordinates(r *kgo.Record, prefix string) (pipeline.Coordinates, bool) {
	partition, err1 := strconv.ParseInt(header(r, prefix+headerPartition), 10, 32)
	offset, err2 := strconv.ParseInt(header(r, prefix+headerOffset), 10, 64)
	return pipeline.Coordinates{Topic: header(r, prefix+headerTopic), Partition: int32(partition), Offset: offset}, err1 == nil && err2 == nil
}
