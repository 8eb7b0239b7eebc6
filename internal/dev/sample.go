package dev

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// Review is one event of the built-in schema, as reviews.raw carries it.
type Review struct {
	ReviewID  string `json:"review_id"`
	ItemID    string `json:"item_id"`
	UserID    string `json:"user_id"`
	Title     string `json:"title,omitempty"`
	Text      string `json:"text"`
	Rating    int    `json:"rating"`
	Language  string `json:"language"`
	CreatedAt string `json:"created_at"`
}

// Event is one record of the sample stream. A nil Value is a tombstone.
type Event struct {
	Key   []byte
	Value []byte
	// Hostile says that the record is wrong on purpose; a tombstone with a key is not.
	Hostile bool
}

// SampleConfig says what the sample stream is like.
type SampleConfig struct {
	// Seed fixes every word of it.
	Seed uint64
	// HostileEvery is the mean number of records from one that is hostile, or a tombstone, to the next; zero means none.
	HostileEvery int
	// Tombstones allows records without a value among the hostile ones.
	Tombstones bool
	// Now dates the reviews. Nil dates them by the seed alone, so that the stream is the same at every run.
	Now func() time.Time
}

// DefaultHostileEvery shows a dead letter every ten seconds at the default rate.
const DefaultHostileEvery = 200

// Sample is an endless stream of reviews of goods, films and places, put together of our own sentences: some 46 words on
// average, from 5 to 150. Each has one stance, which its stars agree with: one or two are bad, four or five good, and three are of two minds.
// Now and then one has emoji, is in capitals, without punctuation or in another language. Not safe for concurrent use.
type Sample struct {
	cfg    SampleConfig
	rng    *rand.Rand
	said   *library
	writer writer
	n      int
	clock  time.Time
	buf    bytes.Buffer
}

// NewSample starts the stream from its seed.
func NewSample(cfg SampleConfig) *Sample {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x6e6561726c696e65))
	return &Sample{cfg: cfg, rng: rng, said: readLibrary(), writer: writer{rng: rng}, clock: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)}
}

// Next makes the next record. Its bytes are the caller's.
func (s *Sample) Next() Event {
	review := s.review()
	key := []byte(review.ItemID)
	value := s.encode(review)
	if s.cfg.HostileEvery > 0 && s.rng.IntN(s.cfg.HostileEvery) == 0 {
		return s.hostile(review, key, value)
	}
	return Event{Key: key, Value: value}
}

// Blame makes a bad review of an item.
func (s *Sample) Blame(itemID string) Event {
	review := s.review()
	item := 0
	_, _ = fmt.Sscanf(itemID, "item-%d", &item) // of any other item it is of the first subject
	review.ItemID, review.Rating, review.Language = itemID, 1, "en"
	review.Title, review.Text, _ = s.writer.write(&s.subjectOf(item).opinions[bad], bad, s.words(), true)
	return Event{Key: []byte(itemID), Value: s.encode(review)}
}

func (s *Sample) encode(v any) []byte {
	s.buf.Reset()
	encoder := json.NewEncoder(&s.buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("sample: encode %T: %v", v, err)) // strings and numbers: cannot fail
	}
	return bytes.Clone(bytes.TrimSuffix(s.buf.Bytes(), []byte("\n")))
}

// hostile makes a record of what arrives in every real topic sooner or later.
func (s *Sample) hostile(r Review, key, value []byte) Event {
	kinds := 7
	if s.cfg.Tombstones {
		kinds = 9
	}
	switch s.rng.IntN(kinds) {
	case 0: // cut off on the way
		return Event{Key: key, Value: value[:len(value)*2/3], Hostile: true}
	case 1: // not JSON at all
		return Event{Key: key, Value: []byte("PING " + r.ItemID), Hostile: true}
	case 2: // nothing was said
		r.Text = ""
		return Event{Key: key, Value: s.encode(r), Hostile: true}
	case 3: // a number where a text belongs
		return Event{Key: key, Value: s.encode(map[string]any{"review_id": r.ReviewID, "item_id": r.ItemID, "text": r.Rating}), Hostile: true}
	case 4: // the text is under another name
		return Event{Key: key, Value: s.encode(map[string]any{"review_id": r.ReviewID, "body": r.Text}), Hostile: true}
	case 5: // a list of reviews
		return Event{Key: key, Value: s.encode([]Review{r}), Hostile: true}
	case 6: // bytes of an older encoding
		return Event{Key: key, Value: []byte("{\"review_id\":\"" + r.ReviewID + "\",\"text\":\"tr\xe8s d\xe9\xe7u\"}"), Hostile: true}
	case 7: // the review was taken back
		return Event{Key: key}
	default: // a tombstone that deletes nothing
		return Event{Hostile: true}
	}
}

// itemCount is how many items there are.
const itemCount = 800

// subjectOf an item: it is the same thing in every review.
func (s *Sample) subjectOf(item int) *subject { return s.said.subjects[item%len(s.said.subjects)] }

func (s *Sample) review() Review {
	s.n++
	if s.cfg.Now != nil {
		s.clock = s.cfg.Now()
	} else {
		s.clock = s.clock.Add(time.Duration(s.rng.ExpFloat64() * float64(50*time.Millisecond)))
	}
	r := Review{
		ReviewID:  fmt.Sprintf("r%x-%d", s.cfg.Seed, s.n),
		UserID:    fmt.Sprintf("user-%05d", s.rng.IntN(20000)),
		CreatedAt: s.clock.UTC().Format(time.RFC3339Nano),
	}
	for fresh, again := false, 0; !fresh && again < 8; again++ {
		fresh = s.say(&r)
	}
	return r
}

// say something of any item, with any stance. It is not fresh if it was said lately.
func (s *Sample) say(r *Review) (fresh bool) {
	item, stance := item(s.rng.Float64()), s.stance()
	r.ItemID, r.Rating, r.Language = fmt.Sprintf("item-%04d", item), pick(s.rng, stars[stance]), "en"
	about, words, titled := s.subjectOf(item), s.words(), s.rng.IntN(5) > 0
	opinions := &about.opinions
	if tongue := pick(s.rng, s.said.tongues); stance != mixed && s.rng.IntN(13) == 0 && tongue.domains[about.domain] != nil {
		r.Language, opinions, words = tongue.code, &tongue.domains[about.domain].opinions, min(words/2, 40)
	}
	r.Title, r.Text, fresh = s.writer.write(&opinions[stance], stance, words, titled)
	return fresh
}

// stars that go with a stance.
var stars = [stances][]int{good: {5, 5, 5, 4, 4}, bad: {1, 1, 1, 2}, mixed: {3}}

func (s *Sample) stance() stance {
	switch at := s.rng.IntN(100); {
	case at < 58:
		return good
	case at < 88:
		return bad
	default:
		return mixed
	}
}

// words is how many to write: most reviews are short, a few are very long.
func (s *Sample) words() int {
	return min(max(int(31*math.Exp(0.8*s.rng.NormFloat64())), minWords), maxWords)
}

// WriteSample writes n reviews as JSON lines, the same ones for the same seed.
func WriteSample(w io.Writer, n int, seed uint64) error {
	out := bufio.NewWriterSize(w, 64<<10)
	sample := NewSample(SampleConfig{Seed: seed})
	for range n {
		// bufio keeps the first error for Flush.
		_, _ = out.Write(sample.Next().Value)
		_ = out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write sample: %w", err)
	}
	return nil
}

// SampleStream says where the sample goes, and how fast.
type SampleStream struct {
	Connection kafka.Connection
	Topic      string
	Sample     SampleConfig
	// Backlog is sent at once at the start, so that the service is seen at full speed.
	Backlog int
	// Events is the topic of what people do beside writing, two events a review; "" sends none.
	Events string
	// Rate is reviews a second after that; zero means none.
	Rate float64
	// Blame says now and then which item a burst of bad reviews is to be of, among the others; "" is none. Nil has no bursts.
	Blame func() string
}

// The bursts of bad reviews: as many reviews of one item as this, one beside every third of the others, and then none for as long.
const (
	blameReviews = 60
	blameBeside  = 3
	blameEvery   = 25 * time.Second
)

// DefaultRate of the sample stream leaves room for what people send themselves.
const DefaultRate = 20

// DefaultBacklog is what the sample stream begins with: some eight seconds of work for all cores of the machine.
func DefaultBacklog() int { return 500 * runtime.GOMAXPROCS(0) }

// Run sends the sample until ctx ends, which is no error, and returns how many reviews were acknowledged.
func (s SampleStream) Run(ctx context.Context) (int, error) {
	client, err := s.Connection.Client(
		kgo.RecordDeliveryTimeout(10 * time.Second),
	)
	if err != nil {
		return 0, fmt.Errorf("sample stream: %w", err)
	}
	defer client.Close()

	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var acked atomic.Int64
	sample := NewSample(s.Sample)
	// Without running's end: what was handed over is still acknowledged when the stream stops.
	produce := func(topic string, event Event) {
		client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Key: event.Key, Value: event.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(fmt.Errorf("sample stream to %s: %w", topic, err))
			} else if topic == s.Topic {
				acked.Add(1)
			}
		})
	}
	acts := NewActs(s.Sample)
	var blamed string
	made, left, again := 0, 0, time.Now().Add(blameEvery/2)
	send := func(n int) {
		for ; n > 0 && running.Err() == nil; n-- {
			produce(s.Topic, sample.Next())
			if made++; left > 0 && made%blameBeside == 0 {
				left--
				produce(s.Topic, sample.Blame(blamed))
			}
			for range actsPerReview {
				if s.Events != "" {
					produce(s.Events, acts.Next())
				}
			}
		}
	}

	send(s.Backlog)
	if s.Rate > 0 {
		// A tick sends all that has fallen due, since no ticker goes at 100,000 a second.
		ticker := time.NewTicker(max(time.Duration(float64(time.Second)/s.Rate), 5*time.Millisecond))
		defer ticker.Stop()
		for begin, sent := time.Now(), 0; running.Err() == nil; {
			select {
			case <-running.Done():
			case now := <-ticker.C:
				if s.Blame != nil && now.After(again) {
					again = now.Add(blameEvery)
					if blamed = s.Blame(); blamed != "" {
						left = blameReviews
					}
				}
				due := int(now.Sub(begin).Seconds() * s.Rate)
				send(due - sent)
				sent = due
			}
		}
	}
	<-running.Done()
	if ctx.Err() == nil {
		return int(acked.Load()), context.Cause(running)
	}
	flush, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := client.Flush(flush); err != nil {
		return int(acked.Load()), fmt.Errorf("sample stream to %s: flush: %w", s.Topic, err)
	}
	return int(acked.Load()), nil
}
