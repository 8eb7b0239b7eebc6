package dev

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Bounds of what the view remembers of the input: 6 partitions of it are some 4 MB.
const (
	// keptInputs of a partition, the youngest ones.
	keptInputs = 2048
	// keptText of an input, in bytes: more than a line of any terminal.
	keptText = 256
	// lead is how far the reader runs ahead of the results before it pauses. It goes on at half of that: what a client has
	// fetched it drops when it pauses, and a batch may be a megabyte.
	lead = keptInputs / 2
	// inputsAtOnce are taken from the client in one go, so that the lead is passed by little.
	inputsAtOnce = 256
	// patience with an input that a result answers but that has not been read yet.
	patience = 300 * time.Millisecond
	// blindness follows where patience ran out: results are shown without their text rather than late.
	blindness = time.Second
	// jumpEvery is the least time between two jumps of a partition: results that are far apart, as after a group was
	// reset, would have the reader jump to and fro.
	jumpEvery = time.Second
)

// inputs remembers the recent records of the input topic, so that results can be shown with their text and measured.
//
// With a backlog the topic's end is far from what is being answered. So the reader of a partition stays within a lead of
// the latest result of that partition: it pauses there, and jumps when the results are elsewhere.
type inputs struct {
	topic    string
	client   *kgo.Client
	patience time.Duration // fixed; tests have more of it

	// mu guards all below, and the order of pausing and resuming: a pause that overtook the resume after it would last
	// for good. Both only set a flag in the client.
	mu         sync.Mutex
	partitions map[int32]*readAhead
	changed    chan struct{} // closed and replaced whenever records come in
}

// seenInput is what is kept of one record.
type seenInput struct {
	offset int64
	at     time.Time
	said   Said
}

type readAhead struct {
	held     map[int64]seenInput
	order    ring[int64] // of held, to forget the oldest
	next     int64       // the next offset to be read
	answered int64       // the highest offset that a result has asked for, or where reading began
	paused   bool
	blind    time.Time // no waiting until then
	jumped   time.Time
}

func newInputs(topic string, client *kgo.Client) *inputs {
	return &inputs{topic: topic, client: client, patience: patience, partitions: map[int32]*readAhead{}, changed: make(chan struct{})}
}

// begin says where reading of a partition begins.
func (in *inputs) begin(partition int32, offset int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	p := in.partition(partition)
	p.next, p.answered = offset, offset
}

// partition is called with mu held.
func (in *inputs) partition(p int32) *readAhead {
	if in.partitions[p] == nil {
		in.partitions[p] = &readAhead{held: map[int64]seenInput{}}
	}
	return in.partitions[p]
}

// add remembers records, and pauses the partitions that are far enough ahead.
func (in *inputs) add(records []*kgo.Record) {
	if len(records) == 0 {
		return
	}
	var pause []int32
	in.mu.Lock()
	for _, r := range records {
		p := in.partition(r.Partition)
		written := pipeline.Record{Timestamp: pipeline.Timestamp(r.Timestamp)}
		p.keep(seenInput{r.Offset, written.Written(time.Now()), readSaid(r.Value)}) // no latency of decades for a timestamp that is none
		if !p.paused && p.next-p.answered > lead {
			p.paused = true
			pause = append(pause, r.Partition)
		}
	}
	close(in.changed)
	in.changed = make(chan struct{})
	if len(pause) > 0 {
		in.client.PauseFetchPartitions(map[string][]int32{in.topic: pause})
	}
	in.mu.Unlock()
}

func (p *readAhead) keep(in seenInput) {
	p.next = in.offset + 1
	if _, again := p.held[in.offset]; !again {
		if len(p.order.kept) == keptInputs {
			delete(p.held, p.order.latest(keptInputs-1))
		}
		p.order.add(in.offset, keptInputs)
	}
	p.held[in.offset] = in
}

// wait finds an input, and waits a little where it is on its way.
func (in *inputs) wait(partition int32, offset int64) (seenInput, bool) {
	enough := time.NewTimer(in.patience)
	defer enough.Stop()
	for {
		in.mu.Lock()
		p := in.partition(partition)
		p.answered = max(p.answered, offset)
		found, ok := p.held[offset]
		changed := in.changed
		now := time.Now()
		blind := now.Before(p.blind)
		jump := !ok && !blind && now.Sub(p.jumped) >= jumpEvery && (offset < p.next || offset > p.next+lead)
		if jump {
			p.next, p.answered, p.jumped = offset, offset, now
		}
		gone := !ok && !jump && offset < p.next // read, and forgotten since
		resume := p.paused && (jump || p.next-p.answered <= lead/2)
		if resume {
			p.paused = false
			in.client.ResumeFetchPartitions(map[string][]int32{in.topic: {partition}})
		}
		in.mu.Unlock()

		if jump {
			in.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{in.topic: {partition: {Epoch: -1, Offset: offset}}})
		}
		if ok || blind || gone {
			return found, ok
		}
		select {
		case <-changed:
		case <-enough.C:
			in.mu.Lock()
			p.blind = time.Now().Add(blindness)
			in.mu.Unlock()
			return seenInput{}, false
		}
	}
}

// readSaid is the beginning of what a review says, or of whatever the value is.
func readSaid(value []byte) (said Said) {
	var review struct {
		Title    string  `json:"title"`
		Text     string  `json:"text"`
		Rating   float64 `json:"rating"`
		Language string  `json:"language"`
	}
	// A field of another type is left out, and the others are there.
	if _ = json.Unmarshal(value, &review); review.Text == "" {
		return Said{Text: kept(string(value[:min(len(value), keptText)]))}
	}
	said = Said{Title: kept(review.Title), Text: kept(review.Text), Language: kept(review.Language)}
	if stars := int(review.Rating); float64(stars) == review.Rating && stars >= 1 && stars <= 5 {
		said.Stars = stars
	}
	return said
}

func kept(text string) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), keptText)], ""))
}
