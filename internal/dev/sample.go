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
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers/decompress"
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

// Sample is an endless stream of plausible product reviews, made of our own words by a small grammar: some 46 words on
// average, from 5 to 150, happy, angry and in two minds, now and then with emoji, in capitals, without punctuation or in
// another language. Not safe for concurrent use.
type Sample struct {
	cfg   SampleConfig
	rng   *rand.Rand
	n     int
	clock time.Time
	buf   bytes.Buffer
}

// NewSample starts the stream from its seed.
func NewSample(cfg SampleConfig) *Sample {
	return &Sample{
		cfg:   cfg,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0x6e6561726c696e65)),
		clock: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC),
	}
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
	w := writer{rng: s.rng, product: pick(s.rng, products)}
	review.ItemID, review.Rating, review.Language, review.Title, review.Text = itemID, 1, "en", w.title(), w.write(s.words())
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

// mood is how the writer feels: the chance that a sentence praises, and the ratings that go with it.
type mood struct {
	weight  int
	praise  float64
	ratings []int
}

var moods = []mood{
	{weight: 13, praise: 0, ratings: []int{1, 1, 1, 2}},
	{weight: 15, praise: 0.18, ratings: []int{1, 2, 2, 3}},
	{weight: 14, praise: 0.5, ratings: []int{3, 3, 3, 2, 4}},
	{weight: 26, praise: 0.85, ratings: []int{4, 4, 5}},
	{weight: 32, praise: 1, ratings: []int{5, 5, 5, 4}},
}

func (s *Sample) review() Review {
	s.n++
	m := s.mood()
	if s.cfg.Now != nil {
		s.clock = s.cfg.Now()
	} else {
		s.clock = s.clock.Add(time.Duration(s.rng.ExpFloat64() * float64(50*time.Millisecond)))
	}
	item := item(s.rng.Float64())
	r := Review{
		ReviewID:  fmt.Sprintf("r%x-%d", s.cfg.Seed, s.n),
		ItemID:    fmt.Sprintf("item-%04d", item),
		UserID:    fmt.Sprintf("user-%05d", s.rng.IntN(20000)),
		Rating:    pick(s.rng, m.ratings),
		Language:  "en",
		CreatedAt: s.clock.UTC().Format(time.RFC3339Nano),
	}
	if s.rng.IntN(14) == 0 {
		tongue := pick(s.rng, tongues)
		r.Language = tongue.code
		r.Text = tongue.write(s.rng, m.praise, s.words()/2)
		return r
	}
	w := writer{rng: s.rng, product: products[item%len(products)], praise: m.praise}
	r.Text = w.write(s.words())
	if s.rng.IntN(4) != 0 {
		r.Title = w.title()
	}
	return r
}

func (s *Sample) mood() mood {
	total := 0
	for _, m := range moods {
		total += m.weight
	}
	at := s.rng.IntN(total)
	for _, m := range moods {
		if at -= m.weight; at < 0 {
			return m
		}
	}
	panic("sample: no mood")
}

// words is how many to write: most reviews are short, a few are very long.
func (s *Sample) words() int {
	return min(max(int(29*math.Exp(0.8*s.rng.NormFloat64())), minWords), maxWords)
}

const (
	minWords = 5
	maxWords = 150
)

// writer writes one review in English.
type writer struct {
	rng     *rand.Rand
	product product
	praise  float64
	used    map[string]bool
}

// write makes about n words, and no more than maxWords.
func (w *writer) write(n int) string {
	w.used = map[string]bool{}
	var sentences []string
	count := 0
	add := func(sentence string) bool {
		words := len(strings.Fields(sentence))
		if count+words > maxWords {
			return false
		}
		sentences, count = append(sentences, sentence), count+words
		return true
	}
	if n < 12 {
		add(w.sentence(pick(w.rng, w.verdicts())))
	} else if w.rng.IntN(3) > 0 {
		add(w.sentence(pick(w.rng, openings)))
	}
	for count < n {
		if !add(w.sentence(w.template())) {
			break
		}
	}
	if n >= 12 && w.rng.IntN(2) == 0 {
		add(w.sentence(pick(w.rng, w.verdicts())))
	}
	for count < minWords {
		add(w.sentence(pick(w.rng, w.verdicts())))
	}
	text := strings.Join(sentences, " ")
	switch {
	case w.rng.IntN(25) == 0:
		text = strings.ToUpper(strings.TrimRight(text, ".!")) + "!!!"
	case w.rng.IntN(16) == 0:
		text = strings.Map(func(r rune) rune {
			if strings.ContainsRune(".,;!'", r) {
				return -1
			}
			return unicode.ToLower(r)
		}, text)
	case w.rng.IntN(20) == 0:
		text = typos(w.rng, text)
	}
	if w.rng.IntN(11) == 0 {
		emoji := emojiBad
		if w.rng.Float64() < w.praise {
			emoji = emojiGood
		}
		text += " " + strings.Repeat(pick(w.rng, emoji), 1+w.rng.IntN(3))
	}
	return text
}

// template is the next thing to say: praise, blame, both at once, or neither.
func (w *writer) template() string {
	for range 8 {
		var t string
		switch likes := w.rng.Float64() < w.praise; {
		case w.rng.IntN(7) == 0:
			t = pick(w.rng, neutral)
		case w.praise > 0 && w.praise < 1 && w.rng.IntN(3) == 0:
			t = pick(w.rng, both)
		case likes:
			t = pick(w.rng, praises)
		default:
			t = pick(w.rng, blames)
		}
		if !w.used[t] {
			w.used[t] = true
			return t
		}
	}
	return pick(w.rng, neutral)
}

func (w *writer) verdicts() []string {
	switch {
	case w.praise > 0.6:
		return verdictsGood
	case w.praise < 0.4:
		return verdictsBad
	default:
		return verdictsMixed
	}
}

func (w *writer) title() string {
	title := w.expand(pick(w.rng, w.titles()))
	return strings.ToUpper(title[:1]) + title[1:]
}

func (w *writer) titles() []string {
	switch {
	case w.praise > 0.6:
		return titlesGood
	case w.praise < 0.4:
		return titlesBad
	default:
		return titlesMixed
	}
}

// sentence expands a template and gives it a capital and an end.
func (w *writer) sentence(template string) string {
	s := w.expand(template)
	runes := []rune(s)
	runes[0] = unicode.ToUpper(runes[0])
	s = string(runes)
	if strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	switch w.rng.IntN(9) {
	case 0:
		return s + "!"
	case 1:
		return s + "..."
	default:
		return s + "."
	}
}

// expand fills the {slots} of a template.
func (w *writer) expand(template string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		slot, after, _ := strings.Cut(rest, "}")
		b.WriteString(w.fill(slot))
		template = after
	}
}

func (w *writer) fill(slot string) string {
	switch slot {
	case "product":
		return w.product.name
	case "aspect":
		return pick(w.rng, w.product.aspects)
	case "number":
		return fmt.Sprint(2 + w.rng.IntN(11))
	}
	words, ok := slots[slot]
	if !ok {
		panic("sample: no words for {" + slot + "}")
	}
	return w.expand(pick(w.rng, words))
}

// typos swaps neighbouring letters, as hurried thumbs do.
func typos(rng *rand.Rand, text string) string {
	b := []byte(text)
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' }
	for i := 1; i+2 < len(b); i++ {
		if letter(b[i]) && letter(b[i+1]) && rng.IntN(40) == 0 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	}
	return string(b)
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

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
	Brokers []string
	Topic   string
	Sample  SampleConfig
	// Backlog is sent at once at the start, so that the service is seen at full speed.
	Backlog int
	// Events is the topic of what people do beside writing, two events a review; "" sends none.
	Events string
	// Rate is reviews a second after that; zero means none.
	Rate float64
	// Blame says now and then which item a burst of bad reviews is to be of, among the others; "" is none. Nil has no bursts.
	Blame func() string
}

// The bursts of bad reviews: as many reviews of one item as this, one beside each of the others, and then none for as long.
const (
	blameReviews = 60
	blameEvery   = 25 * time.Second
)

// DefaultRate of the sample stream leaves room for what people send themselves.
const DefaultRate = 20

// DefaultBacklog is what the sample stream begins with: some eight seconds of work for all cores of the machine.
func DefaultBacklog() int { return 500 * runtime.GOMAXPROCS(0) }

// Run sends the sample until ctx ends, which is no error, and returns how many reviews were acknowledged.
func (s SampleStream) Run(ctx context.Context) (int, error) {
	client, err := decompress.NewClient(
		kgo.SeedBrokers(s.Brokers...),
		kgo.RecordDeliveryTimeout(10*time.Second),
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
	left, again := 0, time.Now().Add(blameEvery/2)
	send := func(n int) {
		for ; n > 0 && running.Err() == nil; n-- {
			produce(s.Topic, sample.Next())
			if left > 0 {
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
